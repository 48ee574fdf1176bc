/* options.c - Lemonade's calls about the options that are stored for a model. */
#include "api/lemonade/lemonade.h"

#define OPTIONS_AUTOMATIC                                                                          \
    "{s:i, s:s, s:s}", "ctx_size", -1, "llamacpp_backend", "auto", "llamacpp_args", ""

/* A stored option by our name or Lemonade's, which differ in two. */
static const char *options_name(const char *name, bool theirs)
{
    static const char *const names[][2] = {{"num_ctx", "ctx_size"},
                                           {"backend", "llamacpp_backend"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i][!theirs]) == 0)
            return names[i][theirs];
    }
    return name;
}

static json_t *options_theirs(const json_t *stored)
{
    json_t *all = json_object(), *value;
    const char *name;
    json_object_foreach((json_t *)stored, name, value)
    {
        if (strcmp(name, MODEL_OPTION_MODEL) != 0)
            json_object_set(all, options_name(name, true), value);
    }
    return all;
}

/* One member of a request. null, and what means automatic, removes the option. */
static void options_set(json_t *own, const char *theirs, json_t *value, struct dialect_error *error)
{
    const char *name = options_name(theirs, false);
    json_t *automatic = json_pack(OPTIONS_AUTOMATIC);
    json_t *neutral = json_object_get(automatic, theirs);
    if (json_is_null(value) || (neutral && json_equal(value, neutral))) {
        json_object_del(own, name);
    } else if (strcmp(theirs, "llamacpp_args") == 0) {
        dialect_fail_at(error, "llamacpp_args", LEMONADE_NO_ARGS);
    } else if (strcmp(name, "num_ctx") == 0 && json_integer_value(value) <= 0) {
        dialect_fail_at(error, "ctx_size", "'ctx_size' must be -1 or a number of tokens");
    } else {
        serve_option_check(name, value, error);
        json_object_set(own, name, value);
    }
    json_decref(automatic);
}

static void options_read(struct http_exchange *x, json_t *own, struct dialect_body *body,
                         bool *ret_dry_run)
{
    json_t *value;
    const char *name;
    dialect_body_read(http_request(x)->body, body);
    *ret_dry_run = dialect_body_flag(body, "dry_run", false);
    json_t *root = body->error.status ? NULL : json_loadb(body->text.p, body->text.n, 0, NULL);
    json_object_foreach(root, name, value)
    {
        if (!str_list_has(STR("model_name dry_run"), str_from(name)))
            options_set(own, name, value, &body->error);
    }
    json_decref(root);
}

/* The tokens that a load with these options would give; null: it cannot be planned. */
static json_t *options_context(const struct http_exchange *x, const struct dialect_model *m,
                               const json_t *stored)
{
    const struct model *model = &m->model;
    struct session_request r = serve_of(x)->request;
    struct session session = {.plan = NULL};
    struct pool_options options = SERVE_OPTIONS;
    serve_options_pool(stored, &options);
    r.model = model->origin == MODEL_BUILTIN ? NULL : model->path;
    r.mmproj = model->mmproj;
    r.known = model_known_find(str_from(model->name));
    r.request.backend = options.backend;
    if (!options.context && session_plan(&r, &session, NULL) == 0 && session.plan->chosen >= 0)
        options.context = session.plan->choice[session.plan->chosen].context;
    session_done(&session);
    if (!options.context) /* the canary */
        options.context = m->gguf.context;
    return options.context ? json_integer(options.context) : json_null();
}

/* saved: what is on disk; own: what the request made of it. */
static void options_reply(struct http_exchange *x, const struct dialect_model *m,
                          const json_t *saved, const json_t *own)
{
    char *CLEAN_FREE below = NULL;
    const struct model *model = &m->model;
    const char *name = model_shown(model);
    json_t *stored = json_copy((json_t *)own);
    json_t *under =
        model->alias ? serve_options_of(&serve_of(x)->models, model->name, &below) : NULL;
    json_t *defaults = json_pack(OPTIONS_AUTOMATIC), *effective = json_pack(OPTIONS_AUTOMATIC);
    json_object_update_missing(stored, under);
    json_object_update_new(effective, options_theirs(stored));
    json_object_set_new(effective, "model_name", report_json_string(name));
    json_object_set_new(defaults, "model_name", report_json_string(name));
    dialect_reply_json(x, 200,
                       json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "model_name",
                                 report_json_string(name), "recipe", LEMONADE_RECIPE, "saved",
                                 options_theirs(saved), "effective", effective, "defaults",
                                 defaults, "resolved_ctx_size", options_context(x, m, stored)));
    json_decref(under);
    json_decref(stored);
}

static void options_of_model(struct http_exchange *x, const struct dialect_model *m)
{
    const struct model *model = &m->model;
    struct model_env env = dialect_model_env(x);
    struct dialect_body body = {.n = 0};
    struct gfxb_error err;
    json_t *all = NULL, *saved = NULL;
    bool dry_run = false;
    enum http_method method = http_request(x)->method;
    int r = model_options_read(&env, &all, &err);
    const char *row = model_options_name(all, model_shown(model));
    saved = row ? json_incref(json_object_get(all, row)) : json_object();
    json_t *own = json_copy(saved), *target = json_object_get(saved, MODEL_OPTION_MODEL);
    if (method == HTTP_DELETE)
        json_object_clear(own);
    if (method == HTTP_DELETE && target)
        json_object_set(own, MODEL_OPTION_MODEL, target);
    if (method == HTTP_POST)
        options_read(x, own, &body, &dry_run);
    bool writes = method != HTTP_GET && !dry_run && !body.error.status;
    if (r == 0 && writes)
        r = model_options_write(&env, model_shown(model), own, &err);
    if (r < 0)
        dialect_reply_failure(x, &err);
    else if (!dialect_refuse(x, &body.error))
        options_reply(x, m, writes ? own : saved, own);
    json_decref(own);
    json_decref(saved);
    json_decref(all);
}

void lemonade_options(struct http_exchange *x)
{
    struct str name = http_request(x)->rest;
    struct model_env env = dialect_model_env(x);
    struct dialect_model m;
    struct gfxb_error err;
    name.n -= str_ends(name, STR(LEMONADE_OPTIONS)) ? STR(LEMONADE_OPTIONS).n : name.n;
    char *CLEAN_FREE text = xstr_dup(name);
    if (!dialect_name_ok(name)) {
        http_fail(x, 404, "not_found", NULL, "no such path");
    } else if (dialect_model_find(&env, text, &m, &err) < 0) {
        dialect_reply_failure(x, &err);
    } else {
        options_of_model(x, &m);
        dialect_model_done(&m);
    }
}
