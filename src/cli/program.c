/* program.c - the program: its directories, its settings, one command. */
#include "base/xalloc.h"
#include "cli/cli.h"
#include "cli/table_set.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <jansson.h>
#include <locale.h>
#include <pwd.h>
#include <sys/stat.h>

static void cli_write_log(void *context, enum log_level level, const char *line)
{
    const struct cli *cli = context;
    if (level == LOG_DEBUG && !cli->verbose)
        return;
    if (level == LOG_INFO && cli->quiet)
        return;
    text_print(stderr, "%s%s", level == LOG_WARNING ? TEXT_WARN "warning:" TEXT_END " " : "", line);
}

const char *cli_home(void)
{
    const char *home = getenv("HOME");
    if (home && home[0] == '/')
        return home;
    const struct passwd *user = getpwuid(getuid());
    return user && user->pw_dir && user->pw_dir[0] == '/' ? user->pw_dir : NULL;
}

/* $variable/gfxbridge, else HOME/fallback/gfxbridge; NULL when there is neither. */
static char *cli_xdg_dir(const char *variable, const char *fallback)
{
    const char *base = getenv(variable), *home = cli_home();
    if (base && base[0] == '/')
        return xfs_join(base, "gfxbridge");
    return home ? xasprintf("%s/%s/gfxbridge", home, fallback) : NULL;
}

/* The session's runtime directory, unless it is another user's or gone (as after su). */
static char *cli_session_dir(void)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (!dir || dir[0] != '/' || stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) ||
        st.st_uid != getuid() || access(dir, W_OK | X_OK) < 0)
        return NULL;
    return xfs_join(dir, "gfxbridge");
}

static void cli_default_dirs(struct cli *cli)
{
    const char *given = getenv("GFXBRIDGE_DATA_DIR");
    if (!cli->data_dir)
        cli->data_dir =
            given && *given ? xstrdup(given) : cli_xdg_dir("XDG_DATA_HOME", ".local/share");
    cli->config_dir = cli_xdg_dir("XDG_CONFIG_HOME", ".config");
    cli->runtime_dir = cli_session_dir();
    if (!cli->runtime_dir && cli->data_dir)
        cli->runtime_dir = xfs_join(cli->data_dir, "run");
}

int cli_need_data_dir(const struct cli *cli, struct gfxb_error *err)
{
    return cli->data_dir ? 0
                         : error_set(err, GFXB_E_USAGE,
                                     "no place for data: this user has no home directory; give "
                                     "--data-dir DIR");
}

/* A data directory named relative to the current one would move when a child changes its own. */
static int cli_absolute_dir(char **dir, struct gfxb_error *err)
{
    if (!*dir || (*dir)[0] == '/')
        return 0;
    char *CLEAN_FREE here = getcwd(NULL, 0);
    if (!here)
        return error_set(err, errno, "cannot tell the current directory: %s",
                         error_errno_text(errno));
    char *absolute = xfs_join(here, *dir);
    free(*dir);
    *dir = absolute;
    return 0;
}

int cli_root(struct cli *cli, const struct root **ret_root, struct gfxb_error *err)
{
    int result = cli->root ? 0 : root_new(cli->sysroot, &cli->root, err);
    if (result == 0)
        *ret_root = cli->root;
    return result;
}

int cli_tables(struct cli *cli, const struct gfx_tables **ret_tables, struct gfxb_error *err)
{
    uint64_t version;
    char *CLEAN_FREE updated = cli->tables ? NULL : table_set_newest(cli->data_dir, &version);
    const char *const dirs[] = {cli->config_dir, updated};
    int result = cli->tables ? 0 : gfx_tables_layered(dirs, 2, &cli->tables, err);
    if (result == 0)
        *ret_tables = cli->tables;
    return result;
}

int cli_machine(struct cli *cli, const struct machine **ret_machine, struct gfxb_error *err)
{
    const struct root *root;
    const struct gfx_tables *tables;
    int result = cli->machine ? 0 : cli_root(cli, &root, err);
    if (result == 0 && !cli->machine)
        result = cli_tables(cli, &tables, err);
    if (result == 0 && !cli->machine)
        result = machine_new(root, tables, &cli->machine, err);
    if (result == 0)
        *ret_machine = cli->machine;
    return result;
}

int cli_print_json(json_t *object, struct gfxb_error *err)
{
    json_t *whole = json_pack("{s:i}", "schema", 1);
    int result = 0;
    if (!object || !whole || json_object_update(whole, object) < 0)
        result = error_set(err, EINVAL, "cannot build the JSON answer: a text in it is no UTF-8");
    else if (json_dumpf(whole, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF)
        result = error_set(err, EIO, "cannot write the JSON answer to stdout");
    json_decref(whole);
    json_decref(object);
    return result;
}

static void cli_done(struct cli *cli)
{
    machine_free(cli->machine);
    gfx_tables_free(cli->tables);
    root_free(cli->root);
    free(cli->data_dir);
    free(cli->config_dir);
    free(cli->runtime_dir);
}

static int cli_run_command(struct cli *cli, int argc, char **argv, struct gfxb_error *err)
{
    const struct cli_command *command = cli_find_command(argv[0]);
    if (!command)
        return error_set(err, GFXB_E_USAGE, "no such command: '%s'; see gfxbridge --help", argv[0]);
    struct cli_args args;
    bool help = false;
    int result = cli_parse(cli, command, argc, argv, &args, &help, err);
    if (result == 0 && help) {
        cli_command_help(command, stdout);
        return CLI_DONE;
    }
    cli_default_dirs(cli);
    if (result == 0)
        result = cli_absolute_dir(&cli->data_dir, err);
    if (result == 0)
        result = cli_absolute_dir(&cli->runtime_dir, err);
    return result == 0 ? command->run(cli, &args, err) : result;
}

static int cli_start(struct cli *cli, int argc, char **argv, struct gfxb_error *err)
{
    int next = 0;
    bool help = false, version = false;
    int result = cli_parse_global(cli, argc, argv, &next, &help, &version, err);
    if (result < 0)
        return result;
    if (version) {
        printf("gfxbridge %s\n", GFXB_VERSION);
        return CLI_DONE;
    }
    if (help) {
        cli_help(stdout);
        return CLI_DONE;
    }
    if (next == argc)
        return error_set(err, GFXB_E_USAGE, "a command is missing; see gfxbridge --help");
    return cli_run_command(cli, argc - next, argv + next, err);
}

static int cli_exit_code(int result)
{
    switch (-result) {
    case GFXB_E_USAGE:
        return CLI_USAGE;
    case GFXB_E_INTERRUPTED:
        return CLI_INTERRUPTED;
    default:
        return CLI_FAILED;
    }
}

atomic_int cli_cancelled;

static void cli_on_signal(int number)
{
    cli_cancelled = number;
}

/* What our parent ignores (nohup) stays ignored. Without SA_RESTART: a read that waits must end. */
void cli_catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) < 0 || action.sa_handler == SIG_IGN)
            continue;
        action = (struct sigaction){.sa_handler = cli_on_signal};
        sigaction(numbers[i], &action, NULL);
    }
}

/* JSON that lacks a member because there was no memory would be a wrong answer. */
static void *cli_alloc_json(size_t n)
{
    void *p = malloc(n);
    if (!p && n <= BUF_SMALL)
        xalloc_die();
    return p;
}

int cli_main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");   /* which characters the terminal has; numbers stay those of C */
    child_open_standard_fds(); /* cron and supervisors may have closed some */
    signal(SIGPIPE, SIG_IGN);  /* a reader that went away is an error of write, not our end */
    signal(SIGCHLD, SIG_DFL);  /* inherited as ignored, no child could be waited for */
    buf_no_memory = xalloc_die;
    json_set_alloc_funcs(cli_alloc_json, free);
    struct cli cli = {0};
    cli.log = (struct log){cli_write_log, &cli};
    struct gfxb_error err = {0};
    int result = cli_start(&cli, argc, argv, &err);
    if (result < 0)
        text_print(stderr, "gfxbridge: %s", err.text);
    if (result >= 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "gfxbridge: cannot write the answer: %s\n", error_errno_text(errno));
        result = CLI_FAILED;
    }
    cli_done(&cli);
    return result < 0 ? cli_exit_code(result) : result;
}
