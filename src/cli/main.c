/* main.c - the program begins here. */
#include "cli/cli.h"

#include <locale.h>

static struct cli cli;

static void main_write_log(void *context, enum log_level level, const char *line)
{
    if ((level == LOG_DEBUG && !cli.verbose) || (level == LOG_INFO && cli.quiet))
        return;
    text_print(stderr, "%s%s", level == LOG_WARNING ? TEXT_WARN "warning:" TEXT_END " " : "", line);
}

int main(int argc, char **argv)
{
    struct cli_args args;
    setlocale(LC_CTYPE, "");   /* which characters the terminal has; numbers stay those of C */
    child_open_standard_fds(); /* cron and supervisors may have closed some */
    signal(SIGPIPE, SIG_IGN);  /* a reader that went away is an error of write, not our end */
    signal(SIGCHLD, SIG_DFL);  /* inherited as ignored, no child could be waited for */
    buf_no_memory = xalloc_die;
    report_json_init();
    cli.log = (struct log){main_write_log, NULL};
    const struct cli_command *command = cli_parse(&cli, argc, argv, &args);
    cli_find_dirs(&cli);
    cli_exit(&cli, command->run(&cli, &args));
}
