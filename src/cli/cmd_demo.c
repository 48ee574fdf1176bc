/* cmd_demo.c - the commands of the first minute on a described computer, for those without a
 * Radeon. */
#include "cli/cli.h"

extern const char cli_data_demo[], cli_data_demo_end[];

static void demo_step(struct cli *cli, const struct cli_command *command, const char *words,
                      const char *what)
{
    const struct cli_args args = {.n_words = 0};
    text_print(stdout, "\n" TEXT_STRONG "%s" TEXT_END "\n$ gfxbridge %s\n", what, words);
    command->run(cli, &args);
    session_done(&cli->session);
    cli->session = (struct session){.plan = NULL};
}

static int demo_run(struct cli *cli, const struct cli_args *args)
{
    struct str text = {cli_data_demo, (size_t)(cli_data_demo_end - cli_data_demo)};
    if (cli->json)
        cli_die(cli, GFXB_E_USAGE, "demo is for people: give plan --json --sysroot FILE");
    if (args->n_words)
        cli->sysroot = args->word[0];
    if (!cli->sysroot) {
        cli->sysroot = "demo";
        cli_check(cli, root_new_text("demo", text, &cli->root, &cli->err));
    }
    cli->data_dir_given = false;
    text_print(stdout, TEXT_WARN "This is a demo." TEXT_END
                                 " It shows a described computer, not yours, and runs no model.");
    demo_step(cli, &cli_command_overview, "", "1 The computer, in short");
    demo_step(cli, &cli_command_detect, "detect", "2 Its GPUs and their gfx targets");
    demo_step(cli, &cli_command_plan, "plan", "3 Every way to run a model there, best first");
    demo_step(cli, &cli_command_doctor, "doctor", "4 What could be better there, and how");
    text_print(stdout, "\nOn this computer: gfxbridge");
    return CLI_DONE;
}

const struct cli_command cli_command_demo = {
    .name = "demo",
    .words = "[MACHINE]",
    .summary = "how it works, on a computer with a Radeon that you do not need",
    .about = "Shows the first minute on a described computer (an RX 7900 XTX beside the small GPU "
             "of a Ryzen), or on MACHINE, a file that capture wrote (--sysroot names one too): "
             "the GPUs, the plan with its reasons, the problems. Nothing is installed and no model "
             "runs.",
    .run = demo_run,
};
