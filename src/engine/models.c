/* models.c - models as engines take them. */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* path: its file, taken over. */
static struct model models_canary(char *path)
{
    struct model m = {.path = path,
                      .name = xstrdup(ENGINE_CANARY),
                      .labels = xstrdup("chat"),
                      .origin = MODEL_BUILTIN,
                      .task = MODEL_CHAT,
                      .bytes = canary_size(engine_kind_of_model(NULL)->canary)};
    struct stat st;
    if (stat(path, &st) == 0)
        m.modified = st.st_mtime;
    return m;
}

static int models_write_canary(const struct model_env *env, struct model *ret_model,
                               struct gfxb_error *err)
{
    char *path = NULL;
    if (!env->data_dir)
        return error_set(err, GFXB_E_USAGE,
                         "no directory for the canary's file: this user has no home directory; "
                         "give --data-dir DIR");
    int code = engine_canary_path(engine_kind_of_model(NULL), env->data_dir, NULL, &path, err);
    if (code == 0)
        *ret_model = models_canary(path);
    return code;
}

static bool models_is_canary(const char *name)
{
    return model_name_same(str_from(name), STR(ENGINE_CANARY));
}

int engine_model_find(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err)
{
    return models_is_canary(name) ? models_write_canary(env, ret_model, err)
                                  : model_find(env, name, ret_model, err);
}

void engine_model_list_new(const struct model_env *env, struct model_list *ret_list)
{
    model_list_new(env, ret_list);
    if (!env->data_dir)
        return;
    struct model *item = xreallocarray(ret_list->item, ret_list->n + 1, sizeof(*item));
    memmove(item + 1, item, ret_list->n * sizeof(*item));
    item[0] = models_canary(canary_file(engine_kind_of_model(NULL)->canary, env->data_dir));
    *ret_list = (struct model_list){item, ret_list->n + 1};
}

int engine_model_pull(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err)
{
    return models_is_canary(name) ? engine_model_find(env, name, ret_model, err)
                                  : model_pull(env, name, ret_model, err);
}

int engine_model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                        struct gfxb_error *err)
{
    if (models_is_canary(name))
        return error_set(err, EPERM, "%s is part of gfxbridge and cannot be removed", name);
    return model_remove(env, name, ret_bytes, err);
}

/* The projector is one, and how large it is. */
static int read_projector(const char *file, uint64_t *ret_bytes, struct gfxb_error *err)
{
    struct gguf gguf;
    int result = gguf_read(file, &gguf, err);
    if (result < 0)
        return result;
    *ret_bytes = gguf.bytes;
    if (gguf.kind != GGUF_PROJECTOR)
        result = error_set(err, GFXB_E_MODEL_UNUSABLE, "%s is no projector", file);
    gguf_done(&gguf);
    return result;
}

int model_use_new(const struct model_request *request, struct model_use *ret_use,
                  struct gfxb_error *err)
{
    struct model_use use = {.use = {.slots = request->slots}};
    uint64_t projector = 0;
    int result = gguf_read(request->file, &use.gguf, err);
    if (result < 0)
        return result;
    result = gguf_require_model(&use.gguf, request->file, err);
    if (result == 0 && request->mmproj)
        result = read_projector(request->mmproj, &projector, err);
    if (result == 0)
        result = model_shape_new(&use.gguf, projector, &use.shape, err);
    if (result == 0)
        result = model_launch_new(&use.gguf, request->known, request->context, request->mmproj,
                                  &use.launch, err);
    if (result < 0) {
        model_use_done(&use);
        return result;
    }
    use.use.context = use.launch.context;
    use.use.batch = use.launch.batch;
    *ret_use = use;
    return 0;
}

void model_use_done(struct model_use *use)
{
    gguf_done(&use->gguf);
    model_shape_done(&use->shape);
    model_launch_done(&use->launch);
}

void model_use_need(const struct model_use *use, struct engine_need *ret_need)
{
    struct buf CLEAN_BUF types = BUF_INIT(sizeof(ret_need->types));
    for (uint32_t i = 0; i < 64; i++) {
        const char *name = use->gguf.types >> i & 1 ? gguf_type_name(i) : NULL;
        if (name)
            buf_addf(&types, "%s%s", types.n ? " " : "", name);
    }
    snprintf(ret_need->types, sizeof(ret_need->types), "%s", buf_text(&types));
    snprintf(ret_need->shapes, sizeof(ret_need->shapes), "dense%s%s",
             use->gguf.sliding_window ? " window" : "", use->gguf.experts ? " experts" : "");
}

const char **model_use_args(const struct model_use *use, const struct plan_choice *choice)
{
    size_t n = 0, of_choice = 0, of_model = 0;
    while (choice->args[of_choice])
        of_choice++;
    while (use && use->launch.args[of_model])
        of_model++;
    const char **args = xcalloc(of_choice + of_model + 1, sizeof(*args));
    for (size_t i = 0; i < of_choice; i++)
        args[n++] = choice->args[i];
    for (size_t i = 0; i < of_model; i++)
        args[n++] = use->launch.args[i];
    return args;
}
