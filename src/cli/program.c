/* program.c - how the program ends, and what a command finds on this computer. */
#include "cli/cli.h"
#include "sysroot/sysroot.h"

#include <pwd.h>
#include <stdarg.h>
#include <sys/stat.h>

/* ---- the end ---- */

static void cli_end(struct cli *cli, int code) __attribute__((noreturn));

static void cli_end(struct cli *cli, int code)
{
    session_done(&cli->session);
    model_done(&cli->model);
    machine_free(cli->machine);
    gfx_tables_free(cli->tables);
    root_free(cli->root);
    json_decref(cli->answer);
    json_decref(cli->options);
    while (cli->n_kept)
        free(cli->kept[--cli->n_kept]);
    free(cli->kept);
    exit(code);
}

void cli_exit(struct cli *cli, int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "gfxbridge: cannot write the answer: %s\n", error_errno_text(errno));
        code = CLI_FAILED;
    }
    cli_end(cli, code);
}

void cli_fail(struct cli *cli)
{
    int code = cli->err.code;
    text_print(stderr, "gfxbridge: %s", cli->err.text);
    cli_end(cli, code == GFXB_E_USAGE         ? CLI_USAGE
                 : code == GFXB_E_INTERRUPTED ? CLI_INTERRUPTED
                                              : CLI_FAILED);
}

void cli_die(struct cli *cli, int code, const char *format, ...)
{
    char text[sizeof(cli->err.text)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error_set(&cli->err, code, "%s", text);
    cli_fail(cli);
}

int cli_check(struct cli *cli, int result)
{
    if (result < 0)
        cli_fail(cli);
    return result;
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

/* ---- settings and directories ---- */

const char *cli_keep(struct cli *cli, char *text)
{
    if (!text)
        return NULL;
    cli->kept = xreallocarray(cli->kept, cli->n_kept + 1, sizeof(*cli->kept));
    cli->kept[cli->n_kept++] = text;
    return text;
}

const char *cli_setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
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
static const char *cli_xdg_dir(struct cli *cli, const char *variable, const char *fallback)
{
    const char *base = getenv(variable), *home = cli_home();
    if (base && base[0] == '/')
        return cli_keep(cli, xfs_join(base, "gfxbridge"));
    return home ? cli_keep(cli, xasprintf("%s/%s/gfxbridge", home, fallback)) : NULL;
}

/* The login's runtime directory, unless it is another user's or gone (as after su). */
static const char *cli_login_dir(struct cli *cli)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (!dir || dir[0] != '/' || stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) ||
        st.st_uid != getuid() || access(dir, W_OK | X_OK) < 0)
        return NULL;
    return cli_keep(cli, xfs_join(dir, "gfxbridge"));
}

/* A directory named relative to the current one would move when a child changes its own. */
static const char *cli_absolute(struct cli *cli, const char *dir)
{
    if (!dir || dir[0] == '/')
        return dir;
    char *CLEAN_FREE here = getcwd(NULL, 0);
    if (!here)
        cli_die(cli, errno, "cannot tell the current directory: %s", error_errno_text(errno));
    return cli_keep(cli, xfs_join(here, dir));
}

void cli_find_dirs(struct cli *cli)
{
    if (!cli->data_dir)
        cli->data_dir = cli_setting("GFXBRIDGE_DATA_DIR");
    if (!cli->data_dir)
        cli->data_dir = cli_xdg_dir(cli, "XDG_DATA_HOME", ".local/share");
    cli->data_dir = cli_absolute(cli, cli->data_dir);
    cli->config_dir = cli_xdg_dir(cli, "XDG_CONFIG_HOME", ".config");
    cli->runtime_dir = cli_login_dir(cli);
    if (!cli->runtime_dir && cli->data_dir)
        cli->runtime_dir = cli_keep(cli, xfs_join(cli->data_dir, "run"));
}

const char *cli_need_data_dir(struct cli *cli)
{
    if (!cli->data_dir)
        cli_die(cli, GFXB_E_USAGE,
                "no place for data: this user has no home directory; give --data-dir DIR");
    return cli->data_dir;
}

bool cli_read_file(struct cli *cli, const char *path, bool optional, struct buf *ret)
{
    int result = path ? fs_read(path, ret->max, ret) : -ENOENT;
    if (result < 0 && !(optional && result == -ENOENT))
        cli_check(cli, fs_error(&cli->err, -result, "read", path));
    return result == 0;
}

void cli_read_stdin(struct cli *cli, const char *what, struct buf *ret)
{
    ssize_t n;
    do {
        char *room = buf_room(ret, 65536);
        if (!room)
            cli_die(cli, GFXB_E_USAGE, "the %s on standard input is larger than %zu MiB", what,
                    ret->max >> 20);
        n = read(STDIN_FILENO, room, 65536);
        if (n < 0 && cli_cancelled)
            cli_die(cli, GFXB_E_INTERRUPTED, "interrupted");
        if (n < 0 && errno != EINTR)
            cli_die(cli, errno, "cannot read the %s: %s", what, error_errno_text(errno));
        buf_grew(ret, n > 0 ? (size_t)n : 0);
    } while (n);
}

void cli_join_words(const struct cli_args *args, size_t first, struct buf *ret)
{
    for (size_t i = first; i < args->n_words; i++)
        buf_addf(ret, "%s%s", i > first ? " " : "", args->word[i]);
}

/* ---- the computer and the tables ---- */

const struct root *cli_root(struct cli *cli)
{
    if (!cli->root)
        cli_check(cli, root_new(cli->sysroot, &cli->root, &cli->err));
    return cli->root;
}

const struct gfx_tables *cli_tables(struct cli *cli)
{
    uint64_t version;
    if (!cli->tables) {
        const char *const dirs[] = {cli->config_dir, cli_newest_tables(cli, &version)};
        cli_check(cli, gfx_tables_layered(dirs, 2, &cli->tables, &cli->err));
    }
    return cli->tables;
}

const struct machine *cli_machine(struct cli *cli)
{
    if (!cli->machine)
        cli_check(cli, machine_new(cli_root(cli), cli_tables(cli), &cli->machine, &cli->err));
    return cli->machine;
}

const char *cli_json_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

void cli_print_json(struct cli *cli, json_t *object)
{
    json_t *whole = json_pack("{s:i}", "schema", 1);
    bool is_whole = object && json_object_update(whole, object) == 0;
    bool written = is_whole && json_dumpf(whole, stdout, JSON_INDENT(2)) == 0 && putchar('\n') > 0;
    json_decref(whole);
    json_decref(object);
    if (!is_whole)
        cli_die(cli, EINVAL, "cannot build the JSON answer: a text in it is no UTF-8");
    if (!written)
        cli_die(cli, EIO, "cannot write the JSON answer to stdout");
}
