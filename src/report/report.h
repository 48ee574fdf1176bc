/*
 * report.h - the outward header of report/: what the rooms below know -> JSON and findings, for the
 * command line and the server alike. Nothing here prints.
 *
 * JSON values are new references.
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "base/base.h"
#include "engine/engine.h"
#include "model/model.h"
#include "session/session.h"

#include <jansson.h>

/* ---- JSON ---- */

/* Call once, before the first value is made: from then on a small allocation of jansson's that
 * fails ends the program, as xmalloc does. Only values above 1 MiB can be NULL. */
void report_json_init(void);

/* Values of views and texts: null where empty or NULL; a byte that is no UTF-8 becomes '?'. */
json_t *report_json_str(struct str s);
json_t *report_json_text(const char *text);
json_t *report_json_string(const char *text); /* the same, but "" where empty or NULL */
json_t *report_json_bytes(uint64_t bytes);    /* null for 0 */
json_t *report_json_number(int64_t number);   /* null below 0 */
json_t *report_json_tri(enum tri value);
json_t *report_json_words(struct str list);     /* blank-separated -> array */
json_t *report_json_strings(char *const *list); /* NULL-terminated -> array */

/* The answers of `detect --json` and `plan --json`, without "schema". */
json_t *report_json_machine(const struct machine *m);
json_t *report_json_plan(const struct plan *plan);
/* One choice of a plan, with its evidence. */
json_t *report_json_choice(const struct plan_choice *choice);
/* An installed package; `backends list --json` (the plan and all of them), without "schema"; what
 * install and verify tell of a proof. */
json_t *report_json_package(const struct package *package);
json_t *report_json_backends(const struct session *session);
/* {prompt_tokens, types, shapes}: what a proof reached. */
json_t *report_json_covers(const struct engine_covers *covers);
json_t *report_json_proof(const struct plan_choice *choice, const struct engine_proof *proof);

/* A model on this disk, as `list --json` shows it. */
json_t *report_json_model(const struct model *model);
/* A row of the short list, on this disk or not. */
json_t *report_json_known(const struct model_known *row);

/* "24.0 GiB", for people: printf("%s", report_bytes(n).text). */
struct report_size {
    char text[32];
};
struct report_size report_bytes(uint64_t bytes);
struct report_size report_known_bytes(uint64_t bytes); /* "unknown" for 0 */

/* ---- doctor: problems that were found, each with its remedy as a command to copy ---- */

enum doctor_severity { DOCTOR_BLOCK, DOCTOR_WARN, DOCTOR_INFO };

/* Everything that the checks read, and what they found. */
struct doctor_case {
    bool live;            /* this computer, not a described one: directories can be checked */
    const char *data_dir; /* NULL none */
    const char *runtime_dir;
    bool unconfined;         /* engines are started without the sandbox */
    unsigned port;           /* the server's; 0: not checked */
    const struct root *root; /* what the machine was read from; NULL: files are not checked */
    const struct machine *machine;
    const struct plan *plan;
    const struct gfx_tables *tables;
    /* The caller's array, to which findings are added: {code, severity: "block", "warn" or "info",
     * what, why, remedy: null where nothing helps}. */
    json_t *findings;
    bool problem; /* one of them blocks or warns */
};

/* Adds a finding. code: a reason code, or a name of the check's own; remedy may be "". */
void doctor_tell(struct doctor_case *c, const char *code, enum doctor_severity severity,
                 const char *what, const char *why, const char *remedy);

/* Tables of this user that are ignored or broken: one finding each. broken is the error of the one
 * that stopped the reading; NULL none. */
void doctor_check_tables(struct doctor_case *c, const char *config_dir, const char *broken);

/* The data directory and the runtime directory of the live computer. */
void doctor_check_places(struct doctor_case *c);

/* Adds a finding that says why there is no plan. */
void doctor_tell_no_plan(struct doctor_case *c, const char *why);

/* Runs every check, in the order of the table. */
void doctor_examine(struct doctor_case *c);

#endif
