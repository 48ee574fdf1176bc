#include "engine/canary.h"

#include <errno.h>
#include <sys/stat.h>

/* path: its file, taken over. */
static int models_canary(char *path, struct model *ret_model, struct gfxb_error *err)
{
    struct model m = {.path = path,
                      .name = strdup(ENGINE_CANARY),
                      .labels = strdup("chat"),
                      .origin = MODEL_BUILTIN,
                      .task = MODEL_CHAT,
                      .bytes = canary_size()};
    struct stat st;
    if (!m.path || !m.name || !m.labels) {
        model_done(&m);
        return error_set(err, ENOMEM, "out of memory");
    }
    if (stat(path, &st) == 0)
        m.modified = st.st_mtime;
    *ret_model = m;
    return 0;
}

static int models_write_canary(const struct model_env *env, struct model *ret_model,
                               struct gfxb_error *err)
{
    char *path = NULL;
    if (!env->data_dir)
        return error_set(err, GFXB_E_USAGE,
                         "no place for the canary's file: this user has no home directory; give "
                         "--data-dir DIR");
    int code = engine_canary_path(env->data_dir, &path, err);
    return code < 0 ? code : models_canary(path, ret_model, err);
}

int engine_model_find(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err)
{
    return strcmp(name, ENGINE_CANARY) == 0 ? models_write_canary(env, ret_model, err)
                                            : model_find(env, name, ret_model, err);
}

int engine_model_list_new(const struct model_env *env, struct model_list *ret_list,
                          struct gfxb_error *err)
{
    struct model canary;
    int code = model_list_new(env, ret_list, err);
    if (code < 0 || !env->data_dir)
        return code;
    code = models_canary(canary_file(env->data_dir), &canary, err);
    struct model *item =
        code < 0 ? NULL : realloc(ret_list->item, (ret_list->n + 1) * sizeof(*item));
    if (!item) {
        if (code == 0)
            model_done(&canary);
        model_list_done(ret_list);
        return error_set(err, ENOMEM, "out of memory");
    }
    memmove(item + 1, item, ret_list->n * sizeof(*item));
    item[0] = canary;
    *ret_list = (struct model_list){item, ret_list->n + 1};
    return 0;
}
