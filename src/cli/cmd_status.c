/* cmd_status.c - what the running server does. */
#include "cli/cli.h"
#include "sysroot/sysroot.h"

enum { STATUS_WATCH };

static long long status_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void status_model(const json_t *m)
{
    const char *state = cli_json_text(m, "state"), *backend = cli_json_text(m, "backend");
    double speed = json_number_value(json_object_get(m, "tokens_per_second"));
    text_print(stdout, "%s  " TEXT_HANG "%s%s on %s" TEXT_END " %s, %s", cli_json_text(m, "name"),
               strcmp(state, "ready") == 0 ? TEXT_GOOD : TEXT_WARN, state,
               backend[0] ? backend : "nothing yet", cli_json_text(m, "device"),
               report_known_bytes((uint64_t)status_number(m, "bytes")).text);
    text_print(
        stdout, "    " TEXT_HANG "%lld active, %lld waiting, %lld answered, %lld fail-overs%s%s",
        status_number(m, "active"), status_number(m, "waiting"), status_number(m, "answered"),
        status_number(m, "failovers"), json_is_true(json_object_get(m, "pinned")) ? ", pinned" : "",
        cli_json_text(m, "model_check")[0] ? ", computes as on the CPU" : "");
    if (speed > 0)
        text_print(stdout, "    %.1f tokens/s in the last answer", speed);
    size_t i;
    const json_t *node;
    json_array_foreach(json_object_get(m, "nodes"), i, node)
    {
        text_print(stdout,
                   "    " TEXT_HANG "node %s: %lld layers, %s of %s, link %.0f MB/s and %.2f ms",
                   cli_json_text(node, "name"), status_number(node, "layers"),
                   report_known_bytes((uint64_t)status_number(node, "need_bytes")).text,
                   report_known_bytes((uint64_t)status_number(node, "have_bytes")).text,
                   json_number_value(json_object_get(node, "bytes_per_second")) / 1e6,
                   json_number_value(json_object_get(node, "round_trip_us")) / 1e3);
    }
}

/* Of how much, where both are known. */
static void status_memory(struct buf *line, const char *name, bool known, uint64_t used,
                          uint64_t all)
{
    if (known)
        buf_addf(line, ", %s %s%s%s", name, report_known_bytes(used).text, all ? " of " : "",
                 all ? report_bytes(all).text : "");
}

static void status_gpu(const struct root *root, const struct machine_gpu *gpu)
{
    struct buf CLEAN_BUF line = BUF_INIT(1000);
    struct machine_load load;
    machine_gpu_load(root, gpu, &load);
    if (load.busy_percent >= 0)
        buf_addf(&line, ", %d %% busy", load.busy_percent);
    status_memory(&line, "VRAM", load.vram_known, load.vram_used_bytes, gpu->vram_bytes);
    status_memory(&line, "GTT", load.gtt_known, load.gtt_used_bytes, gpu->gtt_bytes);
    if (load.power_watts >= 0)
        buf_addf(&line, ", %.0f W", load.power_watts);
    if (line.n) /* a GPU of a driver that tells nothing has no line */
        text_print(stdout, "%s  " TEXT_HANG "%.*s%s", gpu->pci,
                   STR_ARG(gpu->card ? gfx_card_name(gpu->card) : STR("GPU")), buf_text(&line));
}

static void status_show(const json_t *status)
{
    const json_t *models = json_object_get(status, "models");
    text_print(stdout, "gfxbridge %s, process %lld, on http://%s for %lld s, %lld connections",
               cli_json_text(status, "version"), status_number(status, "pid"),
               json_string_value(json_array_get(json_object_get(status, "addresses"), 0)),
               status_number(status, "uptime_seconds"), status_number(status, "connections"));
    for (size_t i = 0; i < json_array_size(models); i++)
        status_model(json_array_get(models, i));
    if (json_array_size(models) == 0)
        text_print(stdout, "no model is loaded: the first request loads one");
}

static void status_once(struct cli *cli)
{
    json_t *status = control_ask(cli, "/internal/status", NULL);
    if (!cli->json) {
        status_show(status);
        return;
    }
    json_object_del(status, "schema"); /* which cli_print_json puts first */
    cli_print_json(cli, json_incref(status));
}

static int status_run(struct cli *cli, const struct cli_args *args)
{
    if (!args->value[STATUS_WATCH]) {
        status_once(cli);
        return CLI_DONE;
    }
    if (cli->json)
        cli_die(cli, GFXB_E_USAGE, "--watch is for people: leave --json out");
    cli_catch_signals();
    while (!cli_cancelled) {
        if (isatty(STDOUT_FILENO))
            fputs("\033[H\033[J", stdout);
        status_once(cli);
        for (size_t i = 0; i < cli_machine(cli)->n_gpus; i++)
            status_gpu(cli_root(cli), &cli_machine(cli)->gpu[i]);
        fflush(stdout);
        sleep(1); /* a signal ends it early */
    }
    return CLI_INTERRUPTED;
}

static const struct cli_option status_options[] = {
    {"watch", NULL, "again each second, with what the GPUs do, until Ctrl-C"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_command_status = {
    .name = "status",
    .summary = "what the running server does",
    .about = "Which models are loaded, on which backend and device, what they are doing.",
    .options = status_options,
    .run = status_run,
};
