#include "cli/directories.h"
#include "cli/request.h"
#include "cli/settings.h"
#include "session/session.h"

enum {
    SERVE_OPTION_HOST = CLI_WISH_NEXT,
    SERVE_OPTION_PORT,
    SERVE_OPTION_ALLOW_HOST,
    SERVE_OPTION_ALLOW_ORIGIN,
    SERVE_OPTION_KEEP_ALIVE,
    SERVE_OPTION_PIN,
};

static const struct cli_option serve_options[] = {
    CLI_WISH_OPTIONS,
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
    struct cli_places places;
    struct session_request path;
    if (cli->sysroot)
        return error_set(err, GFXB_E_USAGE,
                         "serve works on this computer only: a captured machine runs nothing");
    int result = cli_path_request(cli, args, &path, err);
    if (result == 0)
        result = cli_places_new(cli, &places, err);
    if (result < 0)
        return result;
    result = settings_read(cli, &settings, err);
    if (result == 0)
        result = serve_flags(args, &settings, err);
    places.env.machine = path.machine;
    settings.serve.path = &path;
    settings.serve.models = &places.env;
    settings.serve.runtime_dir = cli->runtime_dir;
    settings.serve.log = &cli->log;
    if (result == 0)
        result = serve_run(&settings.serve, err);
    settings_done(&settings);
    cli_places_done(&places);
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
    .run = serve_command_run,
};
