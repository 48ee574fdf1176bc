/* kinds.c - the stable words for what a model is for and whose it is. */
#include "model/model.h"

const char *model_origin_name(enum model_origin origin)
{
    static const char *const name[MODEL_ORIGINS] = {
        [MODEL_BUILTIN] = "builtin",   [MODEL_HUB] = "hub",           [MODEL_OLLAMA] = "ollama",
        [MODEL_LMSTUDIO] = "lmstudio", [MODEL_LLAMACPP] = "llamacpp", [MODEL_LEMONADE] = "lemonade",
        [MODEL_LOCAL] = "local",
    };
    return name[origin];
}

const char *model_task_name(enum model_task task)
{
    static const char *const name[MODEL_TASKS] = {
        [MODEL_CHAT] = "chat",
        [MODEL_COMPLETION] = "completion",
        [MODEL_EMBEDDING] = "embedding",
        [MODEL_RERANKING] = "reranking",
    };
    return name[task];
}

void model_done(struct model *model)
{
    free(model->name);
    free(model->path);
    free(model->mmproj);
    free(model->digest);
    free(model->repository);
    free(model->revision);
    free(model->licence);
    free(model->labels);
    *model = (struct model){.name = NULL};
}
