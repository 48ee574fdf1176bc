/*
 * known.h - the short list: rows of data/models.tsv. Part of model/model.h.
 */
#ifndef MODEL_KNOWN_H
#define MODEL_KNOWN_H

#include "base/base.h"

enum model_task {
    MODEL_CHAT,
    MODEL_COMPLETION, /* text that goes on: no chat template, or trained to fill in */
    MODEL_EMBEDDING,
    MODEL_RERANKING,
    MODEL_TASKS,
};

/* "chat", "completion", "embedding", "reranking": stable, in JSON. */
const char *model_task_name(enum model_task task);

/* One row; views into the table, which lives as long as the program. */
struct model_known {
    struct str name;       /* "Qwen3-4B-Instruct-2507-GGUF" */
    struct str recipe;     /* a row of data/recipes.tsv; empty: by the architecture */
    struct str repository; /* "org/repo" */
    struct str file;       /* GGUF in it; of a split model the first part; empty: see tag */
    struct str tag;        /* the quantisation in the file's name; empty with file: the usual one */
    struct str mmproj;     /* projector in it; empty none */
    struct str labels;     /* blank-separated: chat tools vision reasoning coding embedding ... */
    struct str licence;
    struct str source;    /* where the row is from */
    uint64_t bytes;       /* of file(s), as the source says; 0 unknown */
    enum model_task task; /* by the labels */
};

/* All rows, sorted by name. Read once by the caller: model_known_new. */
struct model_knowns {
    struct model_known *item;
    size_t n;
};

/* The embedded table; lent views. model_knowns_done frees the array. */
int model_knowns_new(struct model_knowns *ret_list, struct gfxb_error *err);
void model_knowns_done(struct model_knowns *list);
/* ASCII case does not matter; NULL when it is not listed. */
const struct model_known *model_knowns_find(const struct model_knowns *list, struct str name);

/* The rules of the table, for `table check`: -GFXB_E_TABLE with file and line. */
int model_tables_check(struct gfxb_error *err);

#endif
