/*
 * recipe.h - what a model needs on the engine's command line. Part of model/model.h.
 */
#ifndef MODEL_RECIPE_H
#define MODEL_RECIPE_H

#include "model/gguf/gguf.h"
#include "model/known.h"

/* What a model is for: by its pooling and its architecture's row. Name and labels may say more. */
enum model_task model_gguf_task(const struct gguf *gguf);

/* How a model is started, whatever the backend; the plan's choice adds its own. Owned. */
struct model_launch {
    enum model_task task;
    uint32_t context; /* tokens that the recipe wants; 0: as many as are usual and fit */
    uint32_t batch;   /* tokens of one batch; 0: the engine's own */
    char **args;      /* NULL-terminated */
    char *recipes;    /* the rows that had a say: "embedding, embedding-last"; "" none */
};

/*
 * The rows of data/recipes.tsv for this model: those of its task, then the one that known (NULL:
 * not listed) names or its architecture has. context: what the user wants; 0 nothing said. mmproj:
 * projector file; NULL none.
 */
int model_launch_new(const struct gguf *gguf, const struct model_known *known, uint32_t context,
                     const char *mmproj, struct model_launch *ret_launch, struct gfxb_error *err);
void model_launch_done(struct model_launch *launch);

/* For the tables' checks. */
bool recipe_exists(struct str name);
int recipes_check(struct gfxb_error *err);

#endif
