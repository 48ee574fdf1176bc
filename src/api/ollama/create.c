/*
 * create.c - Ollama's writes: copy, create and blobs. A model made of another one is an alias with
 * options; one made of uploaded files is a model of ours in Ollama's layout.
 */
#include "api/ollama/ollama.h"
#include "api/serve.h"

#include <errno.h>

enum { CREATE_FILES_MAX = 8 };

/* A model's name of the body; ":latest" says nothing in it. "" with the body's error. */
static void create_name(struct dialect_body *body, const char *member, char ret[DIALECT_NAME_SIZE])
{
    dialect_body_text(body, member, ret, DIALECT_NAME_SIZE);
    struct str name = str_from(ret);
    if (!dialect_name_ok(name))
        dialect_fail_at(&body->error, member,
                        "'%s' must be a model's name: letters, digits and -_.:/@+", member);
    if (str_ends(name, STR(":latest")))
        ret[name.n - STR(":latest").n] = '\0';
}

/* ---- copy ---- */

static void create_copy(struct http_exchange *x)
{
    struct model_env env = dialect_model_env(x);
    struct dialect_body body;
    struct gfxb_error err;
    char source[DIALECT_NAME_SIZE], destination[DIALECT_NAME_SIZE];
    char *CLEAN_FREE model = NULL;
    dialect_body_read(http_request(x)->body, &body);
    create_name(&body, "source", source);
    create_name(&body, "destination", destination);
    if (dialect_refuse(x, &body.error))
        return;
    /* The copy lives on when its source is an alias that goes. */
    json_t *options = serve_options_of(&env, source, &model);
    if (engine_model_copy(&env, destination, model, options, &err) < 0)
        dialect_reply_failure(x, &err);
    else
        http_reply(x, 200, DIALECT_JSON_TYPE, STR_NONE, NULL);
    json_decref(options);
}

/* ---- create ---- */

struct create {
    struct dialect_stream stream;
    struct model_env env;
    char name[DIALECT_NAME_SIZE], from[DIALECT_NAME_SIZE];
    const char *template; /* "" none */
    struct model_file file[CREATE_FILES_MAX];
    size_t n_files;
    json_t *options;
    json_t *root; /* what the others lend from */
};

static const struct {
    const char *name, *why;
} create_refused[] = {
    {"quantize", "gfxbridge does not quantize models: pull or import the quantised file"},
    {"quantization", "gfxbridge does not quantize models: pull or import the quantised file"},
    {"adapters", "gfxbridge runs whole models: merge the adapter into the model first"},
    {"draft_files", "draft models are not supported"},
    {"draft_quantize", "draft models are not supported"},
    {"remote_host", "models that run on other computers are not supported"},
    {"renderer", "the model's own template is used"},
    {"parser", "the model's own template is used"},
    {"info", "what a model's file says cannot be replaced"},
    {"modelfile",
     "send its instructions as 'from', 'files', 'system', 'parameters' and 'messages'"},
    {"path", "send 'from' or 'files'"},
};

static bool create_is_empty(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           ((json_is_array(value) || json_is_object(value)) && json_array_size(value) == 0 &&
            json_object_size(value) == 0);
}

static void create_read_files(struct create *c, struct dialect_error *error)
{
    json_t *files = ollama_member(c->root, "files", JSON_OBJECT, error), *digest;
    const char *name;
    json_object_foreach(files, name, digest)
    {
        struct str text = str_from(json_string_value(digest));
        char *end = strrchr(name, '.');
        if (!str_strip(&text, STR("sha256:")) || text.n != DIGEST_HEX - 1)
            dialect_fail_at(error, "files", "'files' must name each file's digest as sha256:HEX");
        else if (!end || !str_eq_nocase(str_from(end), STR(".gguf")))
            dialect_fail_at(error, "files",
                            "%s is no GGUF file: llama.cpp's convert_hf_to_gguf.py makes one of "
                            "safetensors",
                            name);
        else if (c->n_files == CREATE_FILES_MAX)
            dialect_fail_at(error, "files", "more than %d files", CREATE_FILES_MAX);
        else
            c->file[c->n_files++] = (struct model_file){name, text.p};
    }
}

/* A text, or several as one. */
static void create_read_license(struct create *c)
{
    json_t *license = json_object_get(c->root, "license"), *one;
    struct buf CLEAN_BUF all = BUF_INIT(SIZE_MAX / 2);
    size_t i;
    json_array_foreach(license, i, one)
    {
        buf_addf(&all, "%s%s", i ? "\n\n" : "", json_is_string(one) ? json_string_value(one) : "");
    }
    if (json_is_array(license))
        json_object_set_new(c->root, "license", report_json_str(buf_view(&all)));
}

/* What requests get that leave it out. */
static void create_read_options(struct create *c, struct dialect_error *error)
{
    static const char *const own[] = {"system", "messages", "license"};
    json_t *parameters = ollama_member(c->root, "parameters", JSON_OBJECT, error), *value;
    const char *name;
    create_read_license(c);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (!create_is_empty(value = json_object_get(c->root, own[i]))) {
            serve_option_check(own[i], value, error);
            json_object_set(c->options, own[i], value);
        }
    }
    json_object_foreach(parameters, name, value)
    {
        if (!json_is_null(value)) {
            serve_option_check(name, value, error);
            json_object_set(c->options, name, value);
        }
    }
}

static void create_read(struct http_exchange *x, struct create *c, struct dialect_body *body)
{
    dialect_body_read(http_request(x)->body, body);
    create_name(body, dialect_body_find(body, "model") ? "model" : "name", c->name);
    if (dialect_body_find(body, "from"))
        create_name(body, "from", c->from);
    c->stream.on = dialect_body_flag(body, "stream", true);
    c->root = body->error.status ? NULL : json_loadb(body->text.p, body->text.n, 0, NULL);
    if (!c->root)
        dialect_fail(&body->error, 400, "the request holds a NUL or a number that is too large");
    for (size_t i = 0; i < sizeof(create_refused) / sizeof(create_refused[0]); i++) {
        const char *name = create_refused[i].name;
        if (!create_is_empty(json_object_get(c->root, name)))
            dialect_fail_at(&body->error, name, "'%s' is not supported: %s", name,
                            create_refused[i].why);
    }
    json_t *template = ollama_member(c->root, "template", JSON_STRING, &body->error);
    c->template = template ? json_string_value(template) : "";
    create_read_files(c, &body->error);
    create_read_options(c, &body->error);
    if (!c->from[0] == !c->n_files)
        dialect_fail(&body->error, 400, "%s",
                     c->from[0] ? "give 'from' or 'files', not both"
                                : "neither 'from' or 'files' was specified");
}

/* The template of the model is the one that is used. */
static int create_check_template(const struct create *c, const char *model, struct gfxb_error *err)
{
    struct dialect_model m;
    int r = dialect_model_find(&c->env, model, &m, err);
    if (r < 0)
        return r;
    if (c->template[0] && strcmp(c->template, m.gguf.template ? m.gguf.template : "") != 0)
        r = error_set(err, EINVAL,
                      "'template' is not supported: the template in the model's file is used, and "
                      "Ollama's templates are of another kind; leave TEMPLATE out");
    dialect_model_done(&m);
    return r;
}

/* Of another model. ret_options: what that one has. */
static int create_of_model(const struct create *c, const char *model, json_t *options,
                           struct gfxb_error *err)
{
    struct model base = {.name = NULL};
    int r = engine_model_pull(&c->env, model, &base, err) ?: create_check_template(c, model, err);
    model_done(&base);
    json_object_update(options, c->options);
    if (r == 0)
        ollama_status(&c->stream, "writing manifest");
    return r ?: engine_model_alias(&c->env, c->name, model, options, err);
}

static int create_of_files(struct create *c, struct gfxb_error *err)
{
    struct model other;
    if (engine_model_find(&c->env, c->name, &other, NULL) == 0) {
        bool stays = !other.alias && !(other.ours && other.origin == MODEL_OLLAMA);
        model_done(&other);
        if (stays)
            return error_set(err, EEXIST, "a model is called %s already: choose another name",
                             c->name);
    }
    if (c->template[0])
        return error_set(err, EINVAL,
                         "'template' is not supported: the template in the file is used");
    ollama_status(&c->stream, "parsing GGUF");
    int r = model_create(&c->env, c->name, c->file, c->n_files, err);
    if (r == 0)
        ollama_status(&c->stream, "writing manifest");
    return r ?: model_options_write(&c->env, c->name, c->options, err);
}

static bool create_has_blob(struct http_exchange *x, const char *sha256)
{
    char *CLEAN_FREE path = model_blob_find(&serve_of(x)->models, sha256);
    return path != NULL;
}

static void create_run(struct create *c)
{
    struct gfxb_error err;
    struct model base;
    char *CLEAN_FREE model = NULL;
    json_t *options = serve_options_of(&c->env, c->from, &model);
    int r = 0;
    /* What is known before a line is out is an error with its status. */
    for (size_t i = 0; i < c->n_files && r == 0; i++) {
        if (!create_has_blob(c->stream.x, c->file[i].sha256))
            r = error_set(&err, EINVAL,
                          "%s: no blob sha256:%s is here: send it to /api/blobs first",
                          c->file[i].name, c->file[i].sha256);
    }
    if (c->from[0] && engine_model_find(&c->env, model, &base, NULL) == 0) {
        model_done(&base);
        r = create_check_template(c, model, &err);
    }
    if (r < 0) {
        dialect_reply_failure(c->stream.x, &err);
    } else {
        if (c->stream.on)
            http_begin(c->stream.x, OLLAMA_STREAM_TYPE);
        ollama_status(&c->stream, "reading model metadata");
        r = c->n_files ? create_of_files(c, &err) : create_of_model(c, model, options, &err);
        ollama_end(&c->stream, r, &err);
    }
    json_decref(options);
}

static void create_create(struct http_exchange *x)
{
    struct create c = {.stream = {.x = x}, .env = dialect_model_env(x), .options = json_object()};
    struct dialect_body body;
    create_read(x, &c, &body);
    c.env.progress = ollama_progress;
    c.env.context = &c.stream;
    if (!dialect_refuse(x, &body.error))
        create_run(&c);
    json_decref(c.options);
    json_decref(c.root);
}

/* ---- blobs ---- */

/* "sha256:HEX" of the path. False: it is refused. */
static bool create_digest(struct http_exchange *x, char ret_sha256[DIGEST_HEX])
{
    struct str rest = http_request(x)->rest;
    bool good = str_strip(&rest, STR("sha256:")) && rest.n == DIGEST_HEX - 1;
    for (size_t i = 0; good && i < rest.n; i++)
        good = str_hex_digit(rest.p[i]) >= 0 && str_lower(rest.p[i]) == rest.p[i];
    if (good)
        memcpy(ret_sha256, rest.p, DIGEST_HEX - 1);
    else
        http_fail(x, 400, NULL, "digest", "a digest is sha256: and 64 hexadecimal digits");
    ret_sha256[DIGEST_HEX - 1] = '\0';
    return good;
}

static void create_head_blob(struct http_exchange *x)
{
    char sha256[DIGEST_HEX];
    if (!create_digest(x, sha256))
        return;
    if (create_has_blob(x, sha256))
        http_reply(x, 200, NULL, STR_NONE, NULL);
    else
        http_fail(x, 404, NULL, "digest", "no blob sha256:%s is here", sha256);
}

static int create_receive(struct http_exchange *x, const struct model_env *env, const char *sha256,
                          struct gfxb_error *err)
{
    struct buf CLEAN_BUF piece = BUF_INIT(0);
    struct model_blob *blob = NULL;
    int more = 0, r = model_blob_begin(env, sha256, http_body_length(x), &blob, err);
    while (r == 0 && (more = http_receive(x, &piece)) > 0)
        r = model_blob_add(blob, buf_view(&piece), err);
    r = r ?: more ?: model_blob_end(blob, err);
    model_blob_free(blob);
    return r;
}

static void create_post_blob(struct http_exchange *x)
{
    struct model_env env = dialect_model_env(x);
    struct gfxb_error err;
    char sha256[DIGEST_HEX];
    if (!create_digest(x, sha256))
        return;
    if (create_has_blob(x, sha256)) {
        http_reply(x, 200, NULL, STR_NONE, NULL);
        return;
    }
    int r = create_receive(x, &env, sha256, &err);
    if (r == 0)
        http_reply(x, 201, NULL, STR_NONE, NULL);
    else if (r != -ECANCELED)
        dialect_reply_failure(x, &err);
}

const struct http_route ollama_create_routes[] = {
    {HTTP_POST, "/api/copy", create_copy, HTTP_BLOCKS, 0},
    {HTTP_POST, "/api/create", create_create, HTTP_BLOCKS, 0},
    {HTTP_HEAD, "/api/blobs/*", create_head_blob, HTTP_BLOCKS, 0},
    {HTTP_POST, "/api/blobs/*", create_post_blob, HTTP_BLOCKS | HTTP_RECEIVES | HTTP_ANY_BODY, 0},
    {0},
};
