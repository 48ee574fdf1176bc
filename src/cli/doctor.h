/* doctor.h - what stands in the way, each with its remedy as a command to copy. Private to cli/. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/cli.h"
#include "engine/engine.h"

enum doctor_severity { DOCTOR_BLOCK, DOCTOR_WARN, DOCTOR_INFO };

/* One finding; the texts are lent until the sink returns. remedy may be "". */
struct doctor_finding {
    const char *code; /* a reason code, or a name of the check's own */
    enum doctor_severity severity;
    const char *what, *why, *remedy;
};

/* Everything that checks look at. */
struct doctor_case {
    const struct cli *cli;
    const struct machine *machine;
    const struct plan *plan;
    void (*sink)(void *context, const struct doctor_finding *finding);
    void *context;
};

/* Is there a GPU that an engine could use? */
bool doctor_has_gpu(const struct machine *m);

/* The tables of this person that were not taken, or cannot be: one finding each. broken is the
 * sentence of the one that stopped the reading; NULL: none did. */
void doctor_check_tables(const struct doctor_case *c, const char *config_dir, const char *broken);

/* The data directory and the runtime directory of the live computer. */
void doctor_check_places(const struct doctor_case *c);

/* Why there is no plan to examine, as one more finding. */
void doctor_tell_no_plan(const struct doctor_case *c, const char *why);

/* Every check of the table, in its order. */
void doctor_examine(const struct doctor_case *c);

/* The remedy for a rejected choice, as a command where one helps; "" when nothing does. */
void doctor_remedy(const struct doctor_case *c, const struct plan_choice *choice, struct buf *ret);

#endif
