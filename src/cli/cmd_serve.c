/* cmd_serve.c - the server, set by flags, then environment, then config.json, then defaults. */
#include "api/api.h"
#include "cli/request.h"
#include "session/session.h"

#include <errno.h>

enum { SETTINGS_LIST_MAX = 32 };

/* What a struct serve_config lends from. */
struct settings {
    json_t *file; /* config.json; owned */
    const char *keys[SETTINGS_LIST_MAX + 1], *hosts[SETTINGS_LIST_MAX + 1];
    const char *origins[SETTINGS_LIST_MAX + 1], *pinned[SETTINGS_LIST_MAX + 1];
    struct serve_config serve;
};

enum { SETTINGS_FILE_MAX = 1 << 20 };

/* ---- values ---- */

/* "13305": 0 to 65535. name is what it is called in the sentence. */
static int settings_port(const char *text, const char *name, unsigned *ret_port,
                         struct gfxb_error *err)
{
    uint64_t port;
    if (str_to_u64(str_from(text), 10, &port) < 0 || port > 65535)
        return error_set(err, GFXB_E_USAGE, "%s is a number from 0 to 65535, not '%s'", name, text);
    *ret_port = (unsigned)port;
    return 0;
}

/* "5m", "90s", "2h", "300" (seconds), "-1" (for ever), "0" (unload at once: kept for a second). */
static int settings_duration(const char *text, int64_t *ret_seconds, struct gfxb_error *err)
{
    static const struct {
        char unit;
        unsigned seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct str s = str_from(text);
    uint64_t number, factor = 1;
    if (str_is(s, "-1")) {
        *ret_seconds = POOL_KEEP_FOREVER;
        return 0;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (s.n && s.p[s.n - 1] == units[i].unit) {
            factor = units[i].seconds;
            s.n--;
            break;
        }
    }
    if (str_to_u64(s, 10, &number) < 0 || number > 1000000)
        return error_set(err, GFXB_E_USAGE,
                         "'%s' is no duration: write 90s, 5m, 2h, or -1 for ever", text);
    *ret_seconds = number ? (int64_t)(number * factor) : 1;
    return 0;
}

/* ---- config.json ---- */

static int settings_bad(const char *name, const char *wanted, struct gfxb_error *err)
{
    return error_set(err, EINVAL, "config.json: \"%s\" must be %s", name, wanted);
}

static int settings_text(const char *name, const json_t *value, const char **ret,
                         struct gfxb_error *err)
{
    if (!json_is_string(value) || !json_string_length(value))
        return settings_bad(name, "a text", err);
    *ret = json_string_value(value);
    return 0;
}

static int settings_list(const char *name, const json_t *value, const char **ret,
                         struct gfxb_error *err)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > SETTINGS_LIST_MAX)
        return settings_bad(name, "a list of at most 32 texts", err);
    for (size_t i = 0; i < n; i++) {
        int result = settings_text(name, json_array_get(value, i), &ret[i], err);
        if (result < 0)
            return result;
    }
    ret[n] = NULL;
    return 0;
}

static int settings_number(const char *name, const json_t *value, unsigned most, unsigned *ret,
                           struct gfxb_error *err)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > most)
        return error_set(err, EINVAL, "config.json: \"%s\" must be a number from 0 to %u", name,
                         most);
    *ret = (unsigned)number;
    return 0;
}

static int settings_seconds(const char *name, const json_t *value, int64_t *ret,
                            struct gfxb_error *err)
{
    char text[32];
    if (json_is_string(value))
        return settings_duration(json_string_value(value), ret, err);
    if (!json_is_integer(value))
        return settings_bad(name, "seconds, or a text such as 5m", err);
    snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    return settings_duration(text, ret, err);
}

static int settings_member(struct settings *s, const char *name, const json_t *value,
                           struct gfxb_error *err)
{
    struct serve_config *c = &s->serve;
    const struct {
        const char *name;
        const char **list;
    } lists[] = {
        {"api_keys", s->keys},
        {"allowed_hosts", s->hosts},
        {"allowed_origins", s->origins},
        {"pinned", s->pinned},
    };
    const struct {
        const char *name;
        unsigned *number, most;
    } numbers[] = {
        {"port", &c->port, 65535},
        {"slots", &c->slots, 256},
        {"requests_per_engine", &c->engine_requests, 4096},
        {"queue", &c->queue, 65536},
        {"connections", &c->connections, 65536},
        {"max_models", &c->max_models, 64},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (strcmp(name, lists[i].name) == 0)
            return settings_list(name, value, lists[i].list, err);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) == 0)
            return settings_number(name, value, numbers[i].most, numbers[i].number, err);
    }
    if (strcmp(name, "host") == 0)
        return settings_text(name, value, &c->host, err);
    if (strcmp(name, "default_model") == 0)
        return settings_text(name, value, &c->default_model, err);
    if (strcmp(name, "keep_alive") == 0)
        return settings_seconds(name, value, &c->keep_alive, err);
    return error_set(err, EINVAL, "config.json: \"%s\" is no setting of the server", name);
}

static int settings_file(const struct cli *cli, struct settings *s, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(SETTINGS_FILE_MAX);
    char *CLEAN_FREE path = cli->config_dir ? xfs_join(cli->config_dir, "config.json") : NULL;
    json_error_t problem;
    const char *name;
    json_t *value;
    int result = path ? fs_read(path, SETTINGS_FILE_MAX, &text) : -ENOENT;
    if (result == -ENOENT)
        return 0;
    if (result < 0)
        return fs_error(err, -result, "read", path);
    s->file = json_loadb(buf_text(&text), text.n, JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_object(s->file))
        return error_set(err, EINVAL, "%s, line %d: %s", path, s->file ? 1 : problem.line,
                         s->file ? "this is no JSON object" : problem.text);
    json_object_foreach(s->file, name, value)
    {
        result = settings_member(s, name, value, err);
        if (result < 0)
            return result;
    }
    return 0;
}

static int settings_environment(struct settings *s, struct gfxb_error *err)
{
    const char *host = getenv("GFXBRIDGE_HOST"), *port = getenv("GFXBRIDGE_PORT");
    const char *key = getenv("GFXBRIDGE_API_KEY");
    if (host && *host)
        s->serve.host = host;
    if (key && *key) {
        s->keys[0] = key;
        s->keys[1] = NULL;
    }
    return port && *port ? settings_port(port, "GFXBRIDGE_PORT", &s->serve.port, err) : 0;
}

static void settings_done(struct settings *settings)
{
    json_decref(settings->file);
    settings->file = NULL;
}

/* A member of config.json that is unknown or of the wrong kind is -EINVAL with its name. */
static int settings_read(const struct cli *cli, struct settings *ret_settings,
                         struct gfxb_error *err)
{
    *ret_settings = (struct settings){.serve.port = SERVE_PORT};
    int result = settings_file(cli, ret_settings, err);
    if (result == 0)
        result = settings_environment(ret_settings, err);
    if (result < 0) {
        settings_done(ret_settings);
        return result;
    }
    ret_settings->serve.keys = ret_settings->keys;
    ret_settings->serve.allowed_hosts = ret_settings->hosts;
    ret_settings->serve.allowed_origins = ret_settings->origins;
    ret_settings->serve.pinned = ret_settings->pinned;
    return 0;
}

enum {
    SERVE_OPTION_HOST = CLI_REQUEST_NEXT,
    SERVE_OPTION_PORT,
    SERVE_OPTION_ALLOW_HOST,
    SERVE_OPTION_ALLOW_ORIGIN,
    SERVE_OPTION_KEEP_ALIVE,
    SERVE_OPTION_PIN,
};

static const struct cli_option serve_options[] = {
    CLI_REQUEST_OPTIONS,
    {"host", "ADDRESS", "listen there (default 127.0.0.1); another one needs a key"},
    {"port", "N", "listen on this port (default 13305; 0: any free one)"},
    {"allow-host", "NAME", "also answer to this Host name (\"*\": to all)"},
    {"allow-origin", "ORIGIN", "let this web page's scripts use the server (\"*\": all)"},
    {"keep-alive", "DURATION", "keep an unused model loaded so long (default 5m; -1: for ever)"},
    {"pin", "MODEL", "load this model at the start and keep it"},
    {NULL, NULL, NULL},
};

/* The flag's value alone, instead of the list of config.json. */
static void serve_set_list(const char *value, const char **list)
{
    if (value) {
        list[0] = value;
        list[1] = NULL;
    }
}

static int serve_flags(const struct cli_args *args, struct settings *s, struct gfxb_error *err)
{
    const char *port = args->value[SERVE_OPTION_PORT];
    const char *keep = args->value[SERVE_OPTION_KEEP_ALIVE];
    if (args->value[SERVE_OPTION_HOST])
        s->serve.host = args->value[SERVE_OPTION_HOST];
    serve_set_list(args->value[SERVE_OPTION_ALLOW_HOST], s->hosts);
    serve_set_list(args->value[SERVE_OPTION_ALLOW_ORIGIN], s->origins);
    serve_set_list(args->value[SERVE_OPTION_PIN], s->pinned);
    int result = port ? settings_port(port, "--port", &s->serve.port, err) : 0;
    if (result == 0 && keep)
        result = settings_duration(keep, &s->serve.keep_alive, err);
    return result;
}

static int serve_command_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct settings settings;
    struct cli_models models;
    struct session_request request;
    int result = cli_session_request(cli, args, &request, err);
    if (result < 0)
        return result;
    cli_models_init(cli, &models);
    result = settings_read(cli, &settings, err);
    if (result == 0)
        result = serve_flags(args, &settings, err);
    models.env.machine = request.machine;
    settings.serve.request = &request;
    settings.serve.models = &models.env;
    settings.serve.runtime_dir = cli->runtime_dir;
    settings.serve.log = &cli->log;
    if (result == 0)
        result = serve_run(&settings.serve, err);
    settings_done(&settings);
    cli_models_done(&models);
    return result < 0 ? result : CLI_DONE;
}

const struct cli_command cli_command_serve = {
    .name = "serve",
    .words = "",
    .summary = "one local address for every program that speaks to a model",
    .about = "Listens on 127.0.0.1:13305 and speaks the interfaces of OpenAI, Anthropic, Ollama "
             "and Lemonade. A model is loaded on first use, on the best path that is proven on "
             "this computer; when its engine is lost, the next one takes over what has not been "
             "answered.\n"
             "Settings come from flags, then from GFXBRIDGE_HOST, GFXBRIDGE_PORT and "
             "GFXBRIDGE_API_KEY, then from config.json in the config directory. An address that "
             "other computers can reach needs a key. Sockets of systemd are taken over. SIGTERM, "
             "or gfxbridge stop, lets answers under way finish.",
    .options = serve_options,
    .live = true,
    .run = serve_command_run,
};
