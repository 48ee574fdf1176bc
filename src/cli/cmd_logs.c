/* cmd_logs.c - the log of the running server, and those of engines. */
#include "cli/cli.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>

enum { LOGS_FOLLOW, LOGS_ENGINE };

enum { LOGS_TAIL = 65536, LOGS_POLL_MS = 300 };

static const struct cli_option logs_options[] = {
    {"follow", NULL, "go on with what comes, until Ctrl-C (-f)"},
    {"engine", NULL, "what the engines say: those that run, and the last one that failed"},
    {NULL, NULL, NULL},
};

/* ---- the server's ---- */

static void logs_line(const json_t *line)
{
    const char *level = cli_json_text(line, "level");
    time_t seconds = (time_t)json_number_value(json_object_get(line, "time"));
    struct tm tm = {.tm_year = 70};
    char when[32];
    localtime_r(&seconds, &tm);
    strftime(when, sizeof(when), "%F %T", &tm);
    text_print(stdout, TEXT_FAINT "%s" TEXT_END " " TEXT_HANG "%s%s" TEXT_END, when,
               strcmp(level, "warning") == 0 ? TEXT_WARN : "", cli_json_text(line, "text"));
}

/* The lines behind this one; gives the number of the last. */
static json_int_t logs_server(struct cli *cli, json_int_t after)
{
    char path[64];
    json_t *line;
    size_t i;
    snprintf(path, sizeof(path), "/gfxbridge/log?after=%lld", (long long)after);
    json_t *answer = control_ask(cli, path, NULL);
    json_int_t next = json_integer_value(json_object_get(answer, "next"));
    if (cli->json) {
        json_object_del(answer, "schema"); /* which cli_print_json puts first */
        cli_print_json(cli, json_incref(answer));
        return next;
    }
    json_array_foreach(json_object_get(answer, "lines"), i, line) logs_line(line);
    return next;
}

/* ---- the engines' ---- */

/* What is new in this file, at most its last LOGS_TAIL bytes; seen: {path: bytes}. */
static void logs_file(const char *path, json_t *seen)
{
    struct buf CLEAN_BUF text = BUF_INIT(LOGS_TAIL + 1);
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    struct str rest, line;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    bool first = !json_object_get(seen, path);
    off_t from = (off_t)json_integer_value(json_object_get(seen, path));
    if (from > st.st_size || st.st_size - from > LOGS_TAIL)
        from = st.st_size > LOGS_TAIL ? st.st_size - LOGS_TAIL : 0;
    ssize_t n = pread(fd, buf_room(&text, LOGS_TAIL), LOGS_TAIL, from);
    buf_grew(&text, n > 0 ? (size_t)n : 0);
    json_object_set_new(seen, path, json_integer((json_int_t)from + (json_int_t)text.n));
    if (first)
        text_print(stdout, TEXT_STRONG "%s" TEXT_END, path);
    rest = buf_view(&text);
    while (str_cut(&rest, '\n', &line))
        text_print(stdout, "%.*s", STR_ARG(line));
}

static json_t *logs_engines_json(char *const *paths)
{
    json_t *list = json_array();
    for (; *paths; paths++) {
        struct buf CLEAN_BUF text = BUF_INIT(16 << 20);
        if (fs_read(*paths, text.max, &text) == 0)
            json_array_append_new(list, json_pack("{s:o, s:o}", "path", report_json_text(*paths),
                                                  "text", report_json_str(buf_view(&text))));
    }
    return json_pack("{s:o}", "logs", list);
}

static void logs_engines(struct cli *cli)
{
    char **paths = cli->runtime_dir ? engine_logs(cli->runtime_dir) : NULL;
    if (!cli->answer)
        cli->answer = json_object();
    if (cli->json)
        cli_print_json(cli, logs_engines_json(paths ? paths : (char *[]){NULL}));
    for (char **path = paths; path && *path; path++) {
        if (!cli->json)
            logs_file(*path, cli->answer);
        free(*path);
    }
    free(paths);
}

static int logs_run(struct cli *cli, const struct cli_args *args)
{
    bool follow = args->value[LOGS_FOLLOW], engine = args->value[LOGS_ENGINE];
    struct pollfd out = {.fd = STDOUT_FILENO}; /* for its errors alone: a reader that went away */
    json_int_t after = 0;
    if (follow && cli->json)
        cli_die(cli, GFXB_E_USAGE, "--follow is for people: leave --json out");
    cli_catch_signals();
    do {
        if (engine)
            logs_engines(cli);
        else
            after = logs_server(cli, after);
        if (fflush(stdout) != 0 || ferror(stdout))
            break;
    } while (follow && poll(&out, 1, LOGS_POLL_MS) == 0 && !cli_cancelled);
    if (engine && !follow && !cli->json && json_object_size(cli->answer) == 0)
        text_print(stderr, "No engine runs, and none has failed.");
    return cli_cancelled ? CLI_INTERRUPTED : CLI_DONE;
}

const struct cli_command cli_command_logs = {
    .name = "logs",
    .summary = "the last lines of the running server's log",
    .about = "The last 512 lines of the server of this user, with -f also those that come. "
             "--engine shows what the engines themselves say instead, and where it is kept: of "
             "those that run, and of the last one that failed.",
    .options = logs_options,
    .live = true,
    .run = logs_run,
};
