/* answer.h - the five questions for one gfx target: which family, which gfx, which ROCm package,
 * what if it is unavailable, does Vulkan still work. Made once, shown as JSON or as text. */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include "cli/cli.h"

struct answer_package {
    const struct gfx_package *row;
    enum gfx_via via;
    struct str used; /* the entry of its gfx list that serves */
};

struct answer {
    const struct gfx_target *target; /* NULL: no LLVM target, or unknown */
    const struct gfx_card *card;     /* one of the cards asked about; NULL when asked by target */
    struct answer_package *package;  /* owned; installable ones first, in table order */
    size_t n_packages;
    bool vulkan_works;
    const char *vulkan_reason;
    const char *no_gfx_reason; /* why target is NULL */
};

int answer_init(const struct gfx_tables *tables, enum gfx_os os, const struct gfx_target *target,
                const struct gfx_card *card, struct answer *ret_answer, struct gfxb_error *err);
void answer_done(struct answer *answer);

json_t *answer_json(const struct gfx_tables *tables, enum gfx_os os, const struct answer *answer);
/* verbose: also the quirks that are knowledge only and change nothing. */
void answer_text(const struct gfx_tables *tables, enum gfx_os os, const struct answer *answer,
                 bool verbose);

#endif
