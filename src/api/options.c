/* options.c - options that are stored for models: requests that leave them out get them. */
#include "api/ollama/ollama.h"
#include "api/serve.h"

#include <sys/stat.h>

/* Bytes of one option as JSON. Requests get them in the server's loop. */
enum { OPTIONS_ONE_MAX = 64 << 10 };

static json_t *options_read(const struct model_env *env)
{
    json_t *all = NULL;
    struct gfxb_error err;
    if (model_options_read(env, &all, &err) < 0)
        log_at(env->log, LOG_WARNING, "%s", err.text);
    return all ? all : json_object();
}

static json_t *options_follow(const struct model_env *env, const json_t *all, const char *name,
                              char **ret_model)
{
    json_t *options = NULL;
    const char *model = name;
    struct gfxb_error err;
    if (model_options_follow(all, name, &model, &options, &err) < 0)
        log_at(env->log, LOG_WARNING, "%s", err.text);
    *ret_model = xstrdup(model);
    return options ? options : json_object();
}

json_t *serve_options_of(const struct model_env *env, const char *name, char **ret_model)
{
    json_t *all = options_read(env);
    json_t *options = options_follow(env, all, name, ret_model);
    json_decref(all);
    return options;
}

json_t *serve_options_now(struct serve *s, const char *name, char **ret_model)
{
    char *CLEAN_FREE path = model_options_path(&s->models);
    struct stat now = {.st_size = 0}, *then = &s->options_at;
    if (path && stat(path, &now) < 0)
        now = (struct stat){.st_size = 0};
    if (!s->options || now.st_ino != then->st_ino || now.st_size != then->st_size ||
        now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != then->st_mtim.tv_nsec) {
        json_decref(s->options);
        s->options = options_read(&s->models);
        s->options_at = now;
    }
    return options_follow(&s->models, s->options, name, ret_model);
}

int serve_unload(struct http_exchange *x, const char *name, struct gfxb_error *err)
{
    char *CLEAN_FREE model = NULL;
    json_decref(serve_options_of(&serve_of(x)->models, name, &model));
    return pool_unload(serve_of(x)->pool, str_from(model), err);
}

/* ---- into a request ---- */

static bool options_is_system(const json_t *message)
{
    return str_list_has(STR("system developer"),
                        str_from(json_string_value(json_object_get(message, "role"))));
}

/* The stored system text, unless the request has one, then the stored conversation. */
static void options_add_messages(const json_t *stored, json_t *messages)
{
    json_t *system = json_object_get(stored, "system"), *message;
    bool given = options_is_system(json_array_get(messages, 0));
    size_t at = given, i;
    if (system && !given)
        json_array_insert_new(messages, at++,
                              json_pack("{s:s, s:O}", "role", "system", "content", system));
    json_array_foreach(json_object_get(stored, "messages"), i, message)
    {
        json_array_insert(messages, at + i, message);
    }
}

void serve_options_fill(const json_t *stored, json_t *request)
{
    json_t *wrapped = json_pack("{s:O}", "options", stored), *options = json_object();
    json_t *messages = json_object_get(request, "messages");
    struct dialect_error ignored = {.status = 0}; /* they were checked when they were stored */
    ollama_add_options(options, wrapped, &ignored);
    /* These are one thing by three names. */
    if (json_object_get(request, "max_tokens") || json_object_get(request, "max_completion_tokens"))
        json_object_del(options, "n_predict");
    json_object_update_missing(request, options);
    if (messages)
        options_add_messages(stored, messages);
    json_decref(options);
    json_decref(wrapped);
}

void serve_options_apply(const json_t *stored, enum engine_call call, struct buf *body)
{
    static const bool takes[ENGINE_CALLS] = {
        [ENGINE_CALL_CHAT] = true,       [ENGINE_CALL_COMPLETIONS] = true,
        [ENGINE_CALL_COMPLETION] = true, [ENGINE_CALL_INFILL] = true,
        [ENGINE_CALL_TEMPLATE] = true,   [ENGINE_CALL_COUNT_TOKENS] = true,
    };
    json_t *request = json_object_size(stored) && takes[call]
                          ? json_loadb(buf_text(body), body->n, JSON_ALLOW_NUL, NULL)
                          : NULL;
    if (!request)
        return;
    serve_options_fill(stored, request);
    char *CLEAN_FREE text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (!text)
        return;
    buf_clear(body);
    body->max = SIZE_MAX / 2;
    buf_add_text(body, text);
}

void serve_options_pool(const json_t *stored, struct pool_options *options)
{
    const char *backend = json_string_value(json_object_get(stored, "backend"));
    json_int_t context = json_integer_value(json_object_get(stored, "num_ctx"));
    if (!options->context && context > 0)
        options->context = (unsigned)context;
    if (options->backend < 0 && backend)
        options->backend = plan_backend_from_name(backend);
}

/* ---- checked before they are stored ---- */

static void options_check_messages(const json_t *messages, struct dialect_error *error)
{
    const char *key;
    json_t *message, *value;
    size_t i;
    if (!json_is_array(messages))
        dialect_fail_at(error, "messages", "'messages' must be an array");
    json_array_foreach((json_t *)messages, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        if (!str_list_has(STR("system user assistant"), str_from(role)) ||
            !json_is_string(json_object_get(message, "content")))
            dialect_fail_at(error, "messages",
                            "a stored message has the role system, user or assistant, and a text "
                            "as content");
        json_object_foreach(message, key, value)
        {
            if (!str_list_has(STR("role content"), str_from(key)) && !json_is_null(value))
                dialect_fail_at(error, "messages", "'%s' is not supported in stored messages", key);
        }
    }
}

void serve_option_check(const char *name, const json_t *value, struct dialect_error *error)
{
    bool text = strcmp(name, "system") == 0 || strcmp(name, "license") == 0;
    json_t *options = json_pack("{s:{s:O}}", "options", name, value), *ignored = json_object();
    if (json_dumpb(value, NULL, 0, JSON_ENCODE_ANY) > OPTIONS_ONE_MAX)
        dialect_fail_at(error, name, "'%s' is larger than %d KiB", name, OPTIONS_ONE_MAX >> 10);
    else if (strcmp(name, "messages") == 0)
        options_check_messages(value, error);
    else if (strcmp(name, "backend") == 0 &&
             plan_backend_from_name(json_string_value(value) ? json_string_value(value) : "") < 0)
        dialect_fail_at(error, name, "no such backend; the backends are rocm, vulkan and cpu");
    else if (text && !json_is_string(value))
        dialect_fail_at(error, name, "'%s' must be a string", name);
    else if (!text && strcmp(name, "backend") != 0 && !ollama_is_option(name))
        dialect_fail(error, 400, "unknown parameter '%s'", name);
    else
        ollama_add_options(ignored, options, error);
    json_decref(ignored);
    json_decref(options);
}
