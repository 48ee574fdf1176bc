/* cmd_overview.c - gfxbridge without a command: this computer in a few lines, and what to type
 * next. */
#include "cli/cli.h"

static void overview_gpu(const struct machine_gpu *gpu, const char *label)
{
    struct buf CLEAN_BUF line = BUF_INIT(600);
    buf_add_str(&line, gfx_card_name(gpu->card));
    if (!line.n)
        buf_addf(&line, "%04x:%04x", gpu->vendor, gpu->device < 0 ? 0 : (unsigned)gpu->device);
    if (gpu->target)
        buf_addf(&line, ", %.*s", STR_ARG(gpu->target->gfx));
    if (gpu->vram_bytes)
        buf_addf(&line, ", %s", report_bytes(gpu->vram_bytes).text);
    if (gpu->kind == GFX_INTEGRATED)
        buf_add_text(&line, ", integrated");
    text_print(stdout, "%-9s " TEXT_HANG "%s", label, buf_text(&line));
}

static void overview_machine(const struct machine *m)
{
    text_print(stdout, "%-9s " TEXT_HANG "%s, %s, %s of memory", "Computer",
               m->host.distribution[0] ? m->host.distribution : "unknown system",
               m->host.cpu[0] ? m->host.cpu : "unknown processor",
               report_known_bytes(m->host.memory_bytes).text);
    if (m->n_gpus == 0)
        text_print(stdout, "%-9s none found", "GPU");
    for (size_t i = 0; i < m->n_gpus; i++)
        overview_gpu(&m->gpu[i], i == 0 ? "GPU" : "");
}

/* The one command that helps most from here. */
static const char *overview_next(const struct cli *cli, const struct plan *plan)
{
    if (plan->chosen < 0 || plan->left_out >= 0)
        return "gfxbridge doctor  # what is wrong, and how to mend it";
    if (cli->sysroot)
        return "gfxbridge plan  # with the same --sysroot: all choices, with reasons";
    if (plan->choice[plan->chosen].state == PLAN_PROVEN)
        return "gfxbridge list --available  # models to pull; then gfxbridge run MODEL";
    return "gfxbridge run \"Which gfx is the RX 7900 XT?\"  # installs, tests and answers";
}

static void overview_text(const struct cli *cli, const struct plan *plan)
{
    overview_machine(cli->machine);
    if (plan->chosen < 0) {
        text_print(stdout, "%-9s " TEXT_BAD "nothing yet" TEXT_END, "Runs on");
    } else {
        const struct plan_choice *c = &plan->choice[plan->chosen];
        text_print(stdout, "%-9s " TEXT_STRONG "%s" TEXT_END "%s%s", "Runs on",
                   plan_backend_name(c->backend), c->package ? ", package " : "",
                   c->package ? c->package : "");
        text_print(stdout, "%-9s %s" TEXT_HANG "%s" TEXT_END, "State",
                   c->state == PLAN_PROVEN ? TEXT_GOOD : "", c->reason);
    }
    if (plan->left_out >= 0)
        text_print(stdout, "%-9s " TEXT_WARN TEXT_HANG "%s" TEXT_END, "Not used",
                   plan->choice[plan->left_out].reason);
    text_print(stdout, "%-9s " TEXT_HANG "%s", "Next", overview_next(cli, plan));
    text_print(stdout, "%-9s gfxbridge --help", "");
}

static int overview_run(struct cli *cli, const struct cli_args *args)
{
    cli_read_request(cli, args);
    const struct plan *plan = cli_plan(cli);
    if (!cli->json) {
        overview_text(cli, plan);
        return CLI_DONE;
    }
    json_t *machine = report_json_machine(cli->machine);
    cli_print_json(
        cli,
        json_pack("{s:O, s:O, s:o, s:s}", "host", json_object_get(machine, "host"), "gpus",
                  json_object_get(machine, "gpus"), "chosen",
                  plan->chosen < 0 ? json_null() : report_json_choice(&plan->choice[plan->chosen]),
                  "next", overview_next(cli, plan)));
    json_decref(machine);
    return CLI_DONE;
}

const struct cli_command cli_command_overview = {
    .name = "gfxbridge", /* no word on the command line */
    .run = overview_run,
};
