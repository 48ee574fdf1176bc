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

static int models_find(const struct model_env *env, const char *name, struct model *ret_model,
                       struct gfxb_error *err)
{
    return models_is_canary(name) ? models_write_canary(env, ret_model, err)
                                  : model_find(env, name, ret_model, err);
}

/* ---- aliases ---- */

/* The model that a name stands for in the end; ret_alias: the name, when it is an alias. All to be
 * freed. */
static int models_follow(const struct model_env *env, const char *name, char **ret_model,
                         char **ret_alias, struct gfxb_error *err)
{
    json_t *all = NULL, *options = NULL;
    const char *model;
    int r = model_options_read(env, &all, err);
    r = r ?: model_options_follow(all, name, &model, &options, err);
    if (r == 0) {
        *ret_model = xstrdup(model);
        *ret_alias = model == name ? NULL : xstrdup(model_options_name(all, name));
    }
    json_decref(options);
    json_decref(all);
    return r;
}

int engine_model_find(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE model = NULL;
    char *alias = NULL;
    int r =
        models_follow(env, name, &model, &alias, err) ?: models_find(env, model, ret_model, err);
    if (r == 0)
        ret_model->alias = alias;
    else if (alias)
        error_prefix(err, "%s stands for %s: ", alias, model);
    if (r < 0)
        free(alias);
    return r;
}

static bool models_is_alias(const json_t *all, const char *name)
{
    const char *own = model_options_name(all, name);
    return own && json_object_get(json_object_get(all, own), MODEL_OPTION_MODEL);
}

/* The last alias of this name; NULL none. Lent. */
static const char *models_alias_of(json_t *all, const char *name)
{
    const char *alias, *found = NULL;
    json_t *own;
    json_object_foreach(all, alias, own)
    {
        const char *model = json_string_value(json_object_get(own, MODEL_OPTION_MODEL));
        if (model && model_name_same(str_from(model), str_from(name)))
            found = alias;
    }
    return found;
}

/* The model of an alias, from a list of all that have no other name, or a file elsewhere. */
static int models_below(const struct model_env *env, const struct model_list *list,
                        const char *name, struct model *ret_model)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->item[i].name, name) == 0) {
            model_copy(&list->item[i], ret_model);
            return 0;
        }
    }
    return name[0] == '/' ? models_find(env, name, ret_model, NULL) : -ENOENT;
}

static void models_add_aliases(const struct model_env *env, struct model_list *list)
{
    struct gfxb_error err;
    json_t *all = NULL, *own, *options;
    const char *alias, *name;
    const size_t n = list->n;
    if (model_options_read(env, &all, &err) < 0)
        log_at(env->log, LOG_WARNING, "%s", err.text);
    json_object_foreach(all, alias, own)
    {
        struct model model;
        if (!json_object_get(own, MODEL_OPTION_MODEL) ||
            model_options_follow(all, alias, &name, &options, NULL) < 0)
            continue;
        json_decref(options);
        if (models_below(env, &(struct model_list){list->item, n}, name, &model) < 0)
            continue;
        model.alias = xstrdup(alias);
        list->item = xreallocarray(list->item, list->n + 1, sizeof(*list->item));
        list->item[list->n++] = model;
    }
    json_decref(all);
}

/* The name by which the model is found again. */
static int models_target(const struct model_env *env, const json_t *all, const char *word,
                         char **ret_name, struct gfxb_error *err)
{
    struct model found, again;
    int r = engine_model_find(env, word, &found, err);
    if (r < 0)
        return r;
    const char *name = model_options_name(all, word);
    if (!name || !found.alias)
        name = models_find(env, found.name, &again, NULL) == 0 ? found.name : found.path;
    if (name == found.name)
        model_done(&again);
    *ret_name = xstrdup(name);
    model_done(&found);
    return 0;
}

static int models_check_name(const struct model_env *env, const json_t *all, const char *name,
                             struct gfxb_error *err)
{
    struct model other;
    if (!model_name_is_plain(name))
        return error_set(err, EINVAL, "\"%s\" cannot be a model's name: letters, digits and -._:/",
                         name);
    if (models_is_alias(all, name) || models_find(env, name, &other, NULL) < 0)
        return 0;
    model_done(&other);
    return error_set(err, EEXIST, "a model is called %s already: choose another name", name);
}

int engine_model_alias(const struct model_env *env, const char *name, const char *model,
                       const json_t *options, struct gfxb_error *err)
{
    json_t *all = NULL, *own = options ? json_copy((json_t *)options) : json_object(), *ends = NULL;
    char *CLEAN_FREE target = NULL;
    const char *end;
    int r = model_options_read(env, &all, err) ?: models_target(env, all, model, &target, err);
    if (r == 0 && !model_name_same(str_from(target), str_from(name))) {
        const char *same = model_options_name(all, name);
        name = same ? same : name;
        r = models_check_name(env, all, name, err);
        json_object_set_new(own, MODEL_OPTION_MODEL, json_string(target));
        json_object_set(all, name, own);
        if (r == 0 && model_options_follow(all, name, &end, &ends, NULL) < 0)
            r = error_set(err, EINVAL, "%s stands for %s already, or through too many names", model,
                          name);
    }
    r = r ?: model_options_write(env, name, own, err);
    json_decref(ends);
    json_decref(own);
    json_decref(all);
    return r;
}

int engine_model_copy(const struct model_env *env, const char *name, const char *model,
                      json_t *options, struct gfxb_error *err)
{
    struct model source, other;
    int r = engine_model_find(env, model, &source, err);
    if (r < 0)
        return r;
    bool here = models_find(env, name, &other, NULL) == 0;
    bool same = here && strcmp(other.path, source.path) == 0;
    r = here && !same ? 0 : model_add_name(env, &source, name, err);
    if (here)
        model_done(&other);
    model_done(&source);
    if (r == 0)
        return engine_model_alias(env, name, model, options, err);
    return r < 0 ? r : model_options_write(env, name, options, err);
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
    models_add_aliases(env, ret_list);
}

int engine_model_pull(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE model = NULL;
    char *CLEAN_FREE alias = NULL;
    int r = models_follow(env, name, &model, &alias, err);
    if (r < 0)
        return r;
    return models_is_canary(model) ? models_find(env, model, ret_model, err)
                                   : model_pull(env, model, ret_model, err);
}

/* A model with its options, or an alias. */
static int models_remove(const struct model_env *env, json_t *all, const char *name,
                         uint64_t *ret_bytes, struct gfxb_error *err)
{
    const char *own = model_options_name(all, name), *alias = models_alias_of(all, name);
    if (alias)
        return error_set(err, EEXIST, "%s stands for %s: remove it first with gfxbridge rm %s",
                         alias, name, alias);
    if (ret_bytes)
        *ret_bytes = 0;
    int r = models_is_alias(all, name) ? 0 : model_remove(env, name, ret_bytes, err);
    return r == 0 && own ? model_options_write(env, own, NULL, err) : r;
}

int engine_model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                        struct gfxb_error *err)
{
    json_t *all = NULL;
    struct model model = {.name = NULL};
    if (models_is_canary(name))
        return error_set(err, EPERM, "%s is part of gfxbridge and cannot be removed", name);
    int r = model_options_read(env, &all, err);
    /* By its own name; what was never finished has no other. */
    bool here =
        r == 0 && !model_options_name(all, name) && models_find(env, name, &model, NULL) == 0;
    r = r ?: models_remove(env, all, here ? model.name : name, ret_bytes, err);
    model_done(&model);
    json_decref(all);
    return r;
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

uint64_t model_use_token_bytes(const struct model_use *use, uint32_t depth)
{
    const struct gguf *g = &use->gguf;
    const struct fit_model *m = &use->shape;
    uint64_t bytes = m->output_weights + m->output_repeated;
    for (uint32_t i = 0; i + g->predict_layers < g->layers; i++) {
        uint64_t routed = g->layer[i].expert_bytes;
        uint32_t seen = m->layer[i].windowed && m->window && m->window < depth ? m->window : depth;
        bytes += g->layer[i].bytes - routed + m->layer[i].cache * seen + m->layer[i].state;
        bytes += g->experts ? routed / g->experts * g->experts_used : routed;
    }
    return bytes;
}

static bool models_is_attention(const struct engine_kind *kind, const char *argument)
{
    const char *const *known = kind->attention_arguments;
    while (*known && strcmp(*known, argument) != 0)
        known++;
    return *known != NULL;
}

void model_use_need(const struct engine_kind *kind, const struct model_use *use,
                    struct engine_need *ret_need)
{
    struct buf CLEAN_BUF types = BUF_INIT(sizeof(ret_need->types));
    struct buf CLEAN_BUF attention = BUF_INIT(sizeof(ret_need->attention));
    for (char *const *arg = use->launch.args; arg && *arg && arg[1]; arg++) {
        if (models_is_attention(kind, *arg))
            buf_addf(&attention, "%s%s=%s", attention.n ? "," : "", *arg, arg[1]);
    }
    snprintf(ret_need->attention, sizeof(ret_need->attention), "%s", buf_text(&attention));
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
