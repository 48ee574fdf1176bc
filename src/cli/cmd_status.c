/* cmd_status.c - what the running server does. */
#include "cli/request.h"
#include "sysroot/sysroot.h"

#include <inttypes.h>

enum { STATUS_WATCH };

static const char *status_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static json_int_t status_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void status_model(const json_t *m)
{
    char size[32];
    report_bytes_text((uint64_t)status_number(m, "bytes"), size, sizeof(size));
    text_print(stdout, "%s  " TEXT_HANG "%s%s on %s%s%s, %s", status_text(m, "name"),
               strcmp(status_text(m, "state"), "ready") == 0 ? TEXT_GOOD : TEXT_WARN,
               status_text(m, "state"),
               status_text(m, "backend")[0] ? status_text(m, "backend") : "nothing yet",
               TEXT_END " ", status_text(m, "device"), size);
    text_print(stdout,
               "    " TEXT_HANG "%" JSON_INTEGER_FORMAT " active, %" JSON_INTEGER_FORMAT
               " waiting, %" JSON_INTEGER_FORMAT " answered, %" JSON_INTEGER_FORMAT " fail-overs%s",
               status_number(m, "active"), status_number(m, "waiting"),
               status_number(m, "answered"), status_number(m, "failovers"),
               json_is_true(json_object_get(m, "pinned")) ? ", pinned" : "");
    double speed = json_number_value(json_object_get(m, "tokens_per_second"));
    if (speed > 0)
        text_print(stdout, "    %.1f tokens/s in the last answer", speed);
}

/* Of how much, where both are known. */
static void status_memory(struct buf *line, const char *name, bool known, uint64_t used,
                          uint64_t all)
{
    char part[32], whole[32];
    if (!known)
        return;
    report_bytes_text(used, part, sizeof(part));
    report_bytes_text(all, whole, sizeof(whole));
    buf_addf(line, ", %s %s%s%s", name, part, all ? " of " : "", all ? whole : "");
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

static int status_gpus(struct cli *cli, struct gfxb_error *err)
{
    const struct machine *m;
    const struct root *root;
    int result = cli_machine(cli, &m, err);
    if (result == 0)
        result = cli_root(cli, &root, err);
    for (size_t i = 0; result == 0 && i < m->n_gpus; i++)
        status_gpu(root, &m->gpu[i]);
    return result;
}

static void status_show(json_t *status)
{
    const json_t *m;
    json_t *models = json_object_get(status, "models");
    size_t i;
    text_print(stdout,
               "gfxbridge %s, process %" JSON_INTEGER_FORMAT ", on http://%s for %" PRId64
               " s, %" JSON_INTEGER_FORMAT " connections",
               status_text(status, "version"), status_number(status, "pid"),
               json_string_value(json_array_get(json_object_get(status, "addresses"), 0)),
               (int64_t)status_number(status, "uptime_seconds"),
               status_number(status, "connections"));
    json_array_foreach(models, i, m) status_model(m);
    if (json_array_size(models) == 0)
        text_print(stdout, "no model is loaded: the first request loads one");
}

static int status_once(struct cli *cli, struct gfxb_error *err)
{
    json_t *status;
    int result = control_ask(cli, "/internal/status", NULL, &status, err);
    if (result < 0)
        return result;
    if (cli->json) {
        json_object_del(status, "schema"); /* which cli_print_json puts first */
        return cli_print_json(status, err);
    }
    status_show(status);
    json_decref(status);
    return CLI_DONE;
}

static int status_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    bool watch = args->value[STATUS_WATCH] != NULL, terminal = isatty(STDOUT_FILENO);
    int result = 0;
    if (watch && cli->json)
        return error_set(err, GFXB_E_USAGE, "--watch is for people: leave --json out");
    if (!watch)
        return status_once(cli, err);
    cli_catch_signals();
    while (!cli_cancelled && result >= 0) {
        if (terminal)
            fputs("\033[H\033[J", stdout);
        result = status_once(cli, err);
        if (result >= 0)
            result = status_gpus(cli, err);
        fflush(stdout);
        if (result >= 0)
            sleep(1); /* a signal ends it early */
    }
    return result < 0 ? result : CLI_INTERRUPTED;
}

static const struct cli_option status_options[] = {
    {"watch", NULL, "again each second, with what the GPUs do, until Ctrl-C"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_command_status = {
    .name = "status",
    .words = "",
    .summary = "what the running server does",
    .about = "Which models are loaded, on which backend and device, what they are doing.",
    .options = status_options,
    .run = status_run,
};

static int stop_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    json_t *answer;
    int result = control_ask(cli, "/internal/stop", json_object(), &answer, err);
    if (result < 0)
        return result;
    if (cli->json)
        return cli_print_json(answer, err);
    json_decref(answer);
    text_print(stdout, "The server ends: answers under way are finished first.");
    return CLI_DONE;
}

static const struct cli_option stop_options[] = {{NULL, NULL, NULL}};

const struct cli_command cli_command_stop = {
    .name = "stop",
    .words = "",
    .summary = "end the running server",
    .about = "Answers under way are finished first, for at most 30 seconds.",
    .options = stop_options,
    .run = stop_run,
};
