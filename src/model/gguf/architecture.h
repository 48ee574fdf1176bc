/* architecture.h - rows of data/architectures.tsv. Private to model/. */
#ifndef MODEL_GGUF_ARCHITECTURE_H
#define MODEL_GGUF_ARCHITECTURE_H

#include "model/known.h"

struct architecture {
    enum model_task task;
    uint32_t period; /* 0: the file says it */
    bool first;
    uint32_t window; /* 0: the file says it */
};

/* The row of this name, or a zero one. An error of the table is *err's. */
int architecture_find(struct str name, struct architecture *ret_row, struct gfxb_error *err);
/* The rules of the table, for model_tables_check. */
int architectures_check(struct gfxb_error *err);

#endif
