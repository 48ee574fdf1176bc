/* cmd_serve.c - the server, set by flags, then environment, then config.json, then defaults. */
#include "api/api.h"
#include "cli/cli.h"

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
    {"keep-alive", "DURATION", "how long an unused model stays loaded (default 5m; -1: no limit)"},
    {"pin", "MODEL", "load this model at the start and keep it"},
    {NULL, NULL, NULL},
};

enum { SETTINGS_LIST_MAX = 32, SETTINGS_FILE_MAX = 1 << 20 };

/* What a struct serve_config lends from, beside config.json; the lists end with a NULL. */
struct settings {
    const char *keys[SETTINGS_LIST_MAX + 1], *hosts[SETTINGS_LIST_MAX + 1];
    const char *origins[SETTINGS_LIST_MAX + 1], *pinned[SETTINGS_LIST_MAX + 1];
    struct serve_config serve;
};

/* "5m", "90s", "2h", "300" (seconds), "-1" (no limit), "0" (unload at once: kept for a second). */
static int64_t settings_duration(struct cli *cli, const char *text)
{
    static const struct {
        char unit;
        unsigned seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct str s = str_from(text);
    uint64_t number, factor = 1;
    if (str_is(s, "-1"))
        return POOL_KEEP_FOREVER;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (s.n && s.p[s.n - 1] == units[i].unit) {
            factor = units[i].seconds;
            s.n--;
            break;
        }
    }
    if (str_to_u64(s, 10, &number) < 0 || number > 1000000)
        cli_die(cli, GFXB_E_USAGE, "'%s' is not a duration: write 90s, 5m, 2h, or -1 for no limit",
                text);
    return number ? (int64_t)(number * factor) : 1;
}

/* ---- config.json ---- */

static void settings_bad(struct cli *cli, const char *name, const char *wanted)
    __attribute__((noreturn));

static void settings_bad(struct cli *cli, const char *name, const char *wanted)
{
    cli_die(cli, EINVAL, "config.json: \"%s\" must be %s", name, wanted);
}

static const char *settings_text(struct cli *cli, const char *name, const json_t *value)
{
    if (!json_is_string(value) || !json_string_length(value))
        settings_bad(cli, name, "a text");
    return json_string_value(value);
}

static int64_t settings_seconds(struct cli *cli, const char *name, const json_t *value)
{
    char text[32];
    if (json_is_string(value))
        return settings_duration(cli, json_string_value(value));
    if (!json_is_integer(value))
        settings_bad(cli, name, "seconds, or a text such as 5m");
    snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    return settings_duration(cli, text);
}

/* One member: where it goes, and what it may be. The first of list, text, number and off that is
 * not NULL, else seconds. */
static void settings_member(struct cli *cli, struct settings *s, const char *name,
                            const json_t *value)
{
    struct serve_config *c = &s->serve;
    const struct {
        const char *name, **list, **text;
        unsigned *number, most;
        bool *off;
    } members[] = {
        {.name = "api_keys", .list = s->keys},
        {.name = "allowed_hosts", .list = s->hosts},
        {.name = "allowed_origins", .list = s->origins},
        {.name = "pinned", .list = s->pinned},
        {.name = "host", .text = &c->http.host},
        {.name = "default_model", .text = &c->pool.default_model},
        {.name = "port", .number = &c->http.port, .most = 65535},
        {.name = "slots", .number = &c->pool.slots, .most = 256},
        {.name = "requests_per_engine", .number = &c->pool.engine_requests, .most = 4096},
        {.name = "queue", .number = &c->pool.queue, .most = 65536},
        {.name = "connections", .number = &c->http.connections, .most = 65536},
        {.name = "max_models", .number = &c->pool.max_models, .most = 64},
        {.name = "self_check", .off = &c->pool.no_self_check},
        {.name = "keep_alive"},
    };
    const size_t n_members = sizeof(members) / sizeof(members[0]);
    size_t i = 0, n = json_array_size(value);
    json_int_t number = json_integer_value(value);
    while (i < n_members && strcmp(name, members[i].name) != 0)
        i++;
    if (i == n_members)
        cli_die(cli, EINVAL, "config.json: \"%s\" is no setting of the server", name);
    if (members[i].list) {
        if (!json_is_array(value) || n > SETTINGS_LIST_MAX)
            settings_bad(cli, name, "a list of at most 32 texts");
        for (size_t k = 0; k < n; k++)
            members[i].list[k] = settings_text(cli, name, json_array_get(value, k));
    } else if (members[i].text) {
        *members[i].text = settings_text(cli, name, value);
    } else if (members[i].number) {
        if (!json_is_integer(value) || number < 0 || number > members[i].most)
            cli_die(cli, EINVAL, "config.json: \"%s\" must be a number from 0 to %u", name,
                    members[i].most);
        *members[i].number = (unsigned)number;
    } else if (members[i].off) {
        if (!json_is_boolean(value))
            settings_bad(cli, name, "true or false");
        *members[i].off = json_is_false(value);
    } else {
        c->pool.keep_alive = settings_seconds(cli, name, value);
    }
}

static void settings_file(struct cli *cli, struct settings *s)
{
    struct buf CLEAN_BUF text = BUF_INIT(SETTINGS_FILE_MAX);
    char *CLEAN_FREE path = cli->config_dir ? xfs_join(cli->config_dir, "config.json") : NULL;
    json_error_t problem;
    const char *name;
    json_t *value;
    if (!cli_read_file(cli, path, true, &text))
        return;
    json_t *file = json_loadb(buf_text(&text), text.n, JSON_REJECT_DUPLICATES, &problem);
    if (!file)
        cli_die(cli, EINVAL, "%s, line %d: %s", path, problem.line, problem.text);
    cli->answer = file; /* which lends its texts until the end */
    if (!json_is_object(file))
        cli_die(cli, EINVAL, "%s, line 1: this is no JSON object", path);
    json_object_foreach(file, name, value) settings_member(cli, s, name, value);
}

/* ---- environment and flags ---- */

/* The value alone, where there is one, instead of the list of config.json. */
static void settings_only(const char **list, const char *value)
{
    if (value) {
        list[0] = value;
        list[1] = NULL;
    }
}

/* The last of them that says something. NULL: it says nothing. */
static void settings_place(struct cli *cli, struct settings *s, const char *host, const char *name,
                           const char *port)
{
    if (host)
        s->serve.http.host = host;
    if (port)
        s->serve.http.port = cli_number(cli, name, port, 0, 65535);
}

static int serve_command_run(struct cli *cli, const struct cli_args *args)
{
    struct settings s = {.serve = {.request = cli_read_request(cli, args),
                                   .models = cli_models(cli),
                                   .http = {.runtime_dir = cli->runtime_dir, .port = SERVE_PORT},
                                   .log = &cli->log}};
    const char *keep_alive = args->value[SERVE_OPTION_KEEP_ALIVE];
    const char *pin = args->value[SERVE_OPTION_PIN];
    char *file = pin && str_ends(str_from(pin), STR(".gguf")) ? realpath(pin, NULL) : NULL;
    settings_file(cli, &s);
    settings_place(cli, &s, cli_setting("GFXBRIDGE_HOST"), "GFXBRIDGE_PORT",
                   cli_setting("GFXBRIDGE_PORT"));
    settings_only(s.keys, cli_setting("GFXBRIDGE_API_KEY"));
    settings_place(cli, &s, args->value[SERVE_OPTION_HOST], "--port",
                   args->value[SERVE_OPTION_PORT]);
    settings_only(s.hosts, args->value[SERVE_OPTION_ALLOW_HOST]);
    settings_only(s.origins, args->value[SERVE_OPTION_ALLOW_ORIGIN]);
    settings_only(s.pinned, file ? cli_keep(cli, file) : pin);
    if (keep_alive)
        s.serve.pool.keep_alive = settings_duration(cli, keep_alive);
    s.serve.http.keys = s.keys;
    s.serve.http.allowed_hosts = s.hosts;
    s.serve.http.allowed_origins = s.origins;
    s.serve.pool.pinned = s.pinned;
    cli->models.machine = cli->machine;
    char *CLEAN_FREE slots = xasprintf("%s/cache/slots", cli->request.data_dir);
    struct engine_kept *kept = NULL;
    if (cli->request.data_dir && engine_kept_open(slots, &kept, &cli->err) < 0)
        log_at(&cli->log, LOG_WARNING, "prompts are not kept when models make room: %s",
               cli->err.text);
    cli->request.slots_dir = kept ? engine_kept_path(kept) : NULL;
    int result = serve_run(&s.serve, &cli->err);
    engine_kept_close(kept);
    return cli_check(cli, result) < 0 ? CLI_FAILED : CLI_DONE;
}

const struct cli_command cli_command_serve = {
    .name = "serve",
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
