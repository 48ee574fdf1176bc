/* cmd_launch.c - starts a coding agent that asks the server of this user, and undoes what it set.
 */
#include "api/api.h"
#include "cli/cli.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

extern const char cli_data_agents[], cli_data_agents_end[];

enum { LAUNCH_MODEL, LAUNCH_PRINT };
enum { LAUNCH_AGENT, LAUNCH_PROGRAM, LAUNCH_INSTALL, LAUNCH_ENV, LAUNCH_ARGS, LAUNCH_CONFIG };
enum {
    LAUNCH_WORDS_MAX = 256,
    LAUNCH_TEXT_MAX = 1 << 20,
    LAUNCH_START_MS = 60000,
    LAUNCH_KNOCK_S = 10,
    LAUNCH_LOOK_MS = 500, /* how often a server that was started here asks whether it is needed */
    LAUNCH_GRACE_MS = 30000,
    LAUNCH_CONTEXT = 32768, /* for a model that says nothing */
};

static const struct cli_option launch_options[] = {
    {"model", "MODEL",
     "the model that answers; by default the only one for chats that is loaded, or here"},
    {"print", NULL, "print it as shell commands, with the API key, and start nothing"},
    {NULL, NULL, NULL},
};

struct launch {
    struct cli *cli;
    struct table_row row; /* of data/agents.tsv */
    const char *program;  /* its path; NULL it is not installed */
    const char *address, *key, *model, *file;
    const char *variables; /* of env, as a JSON object */
    unsigned context;
    char *dir; /* of the file, for this run; NULL none */
};

/* ---- the table ---- */

static bool launch_next(struct cli *cli, struct table *t, struct table_row *ret_row)
{
    if (!t->name)
        TABLE_OPEN(t, "agents.tsv", cli_data_agents, "agent", "program", "install", "env", "args",
                   "config", "source");
    return cli_check(cli, table_next(t, ret_row, &cli->err)) > 0;
}

bool launch_agent_at(struct cli *cli, size_t index, struct str *ret_agent, struct str *ret_program)
{
    struct table t = {.name = NULL};
    struct table_row row;
    for (size_t i = 0; launch_next(cli, &t, &row); i++) {
        if (i == index) {
            *ret_agent = row.field[LAUNCH_AGENT];
            *ret_program = row.field[LAUNCH_PROGRAM];
            return true;
        }
    }
    return false;
}

/* The program's path in PATH; NULL none. */
static const char *launch_find_program(struct cli *cli, struct str program)
{
    struct str rest = str_from(getenv("PATH")), dir;
    while (str_cut(&rest, ':', &dir)) {
        char *path = xasprintf("%.*s/%.*s", STR_ARG(dir.n ? dir : STR(".")), STR_ARG(program));
        struct stat st;
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
            return cli_keep(cli, path);
        free(path);
    }
    return NULL;
}

static void launch_list(struct cli *cli)
{
    struct table t = {.name = NULL};
    struct table_row row;
    json_t *list = json_array();
    while (launch_next(cli, &t, &row)) {
        const char *path = launch_find_program(cli, row.field[LAUNCH_PROGRAM]);
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "agent",
                                              report_json_str(row.field[LAUNCH_AGENT]), "program",
                                              report_json_str(row.field[LAUNCH_PROGRAM]), "path",
                                              report_json_text(path), "install",
                                              report_json_str(row.field[LAUNCH_INSTALL])));
        if (cli->json)
            continue;
        text_print(
            stdout, "%-10.*s " TEXT_HANG "%s%s%.*s" TEXT_END, STR_ARG(row.field[LAUNCH_AGENT]),
            path ? TEXT_GOOD : TEXT_FAINT,
            path ? path : "not installed: ", STR_ARG(path ? STR_NONE : row.field[LAUNCH_INSTALL]));
    }
    if (cli->json)
        cli_print_json(cli, json_pack("{s:o}", "agents", list));
    else
        json_decref(list);
}

static void launch_find(struct launch *l, const char *agent)
{
    struct table t = {.name = NULL};
    struct buf CLEAN_BUF names = BUF_INIT(1000);
    while (launch_next(l->cli, &t, &l->row)) {
        if (str_is(l->row.field[LAUNCH_AGENT], agent)) {
            l->program = launch_find_program(l->cli, l->row.field[LAUNCH_PROGRAM]);
            return;
        }
        buf_addf(&names, "%s%.*s", names.n ? ", " : "", STR_ARG(l->row.field[LAUNCH_AGENT]));
    }
    cli_die(l->cli, GFXB_E_USAGE, "no agent is called %s; they are %s", agent, buf_text(&names));
}

/* A text of the table with its words in braces filled in; kept. */
static const char *launch_fill(const struct launch *l, struct str text)
{
    char context[16], output[16], prompt[16];
    snprintf(context, sizeof(context), "%u", l->context);
    snprintf(output, sizeof(output), "%u", l->context / 4);
    snprintf(prompt, sizeof(prompt), "%u", l->context - l->context / 4);
    const struct {
        struct str word;
        const char *value;
    } words[] = {{STR("{address}"), l->address}, {STR("{key}"), l->key},
                 {STR("{model}"), l->model},     {STR("{file}"), l->file},
                 {STR("{context}"), context},    {STR("{output}"), output},
                 {STR("{prompt}"), prompt},      {STR("{env}"), l->variables}};
    struct buf CLEAN_BUF out = BUF_INIT(LAUNCH_TEXT_MAX);
    while (text.n) {
        size_t i = 0, n = sizeof(words) / sizeof(words[0]);
        while (i < n && !str_strip(&text, words[i].word))
            i++;
        if (i < n) {
            buf_add_text(&out, words[i].value ? words[i].value : "");
        } else {
            buf_add_char(&out, text.p[0]);
            text = str_skip(text, 1);
        }
    }
    return cli_keep(l->cli, xbuf_take(&out));
}

/* ---- the server ---- */

/* "127.0.0.1:13305" of the server that runs; NULL none. */
static const char *launch_address(struct cli *cli)
{
    json_t *address;
    size_t i;
    if (!control_runs(cli))
        return NULL;
    const json_t *status = control_ask(cli, "/internal/status", NULL);
    json_array_foreach(json_object_get(status, "addresses"), i, address)
    {
        if (strncmp(json_string_value(address), "unix:", 5) != 0)
            return cli_keep(cli, xstrdup(json_string_value(address)));
    }
    cli_die(cli, EADDRNOTAVAIL, "the server that runs listens on no TCP port");
}

static const char *launch_place(struct cli *cli, const char *name)
{
    return cli_keep(cli, xfs_join(cli->runtime_dir, name));
}

/* Until it ends, this process needs the server that a launch has started. */
static void launch_need_server(struct cli *cli)
{
    const char *path = launch_place(cli, "agents.lock");
    cli_check(cli, fs_make_dirs(cli->runtime_dir, 0700, &cli->err));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0) {
        if (fd < 0 || (errno != EWOULDBLOCK && errno != EINTR))
            cli_check(cli, fs_error(&cli->err, errno, "lock", path));
        if (cli_cancelled)
            cli_die(cli, GFXB_E_INTERRUPTED, "interrupted");
        /* The last one's server is ending. */
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

/* In a process of its own, as several launches may need the server: runs it until none does, and
 * ends it in order. A launch that is killed lets go of its lock too. */
static void launch_keep_server(const char *const *argv, const char *lock, int log)
    __attribute__((noreturn));

static void launch_keep_server(const char *const *argv, const char *lock, int log)
{
    struct child_spec spec = {
        .argv = argv, .env = (const char *const *)environ, .out_fd = 1, .err_fd = 2};
    struct child server = CHILD_NONE;
    struct gfxb_error err = {0};
    setsid();
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(log, 1);
    dup2(log, 2);
    close_range(3, ~0U, 0); /* the locks of the launch among them */
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    if (child_start(&spec, &server, &err) < 0)
        text_print(stderr, "gfxbridge: %s", err.text);
    while (server.pid > 0 && !cli_cancelled && child_wait(&server, LAUNCH_LOOK_MS, NULL) == 0 &&
           flock(fd, LOCK_EX | LOCK_NB) < 0)
        ;
    child_end(&server, LAUNCH_GRACE_MS, NULL);
    _exit(0);
}

/* any_port: another program has the usual one. */
static void launch_start_server(struct launch *l, bool any_port)
{
    struct cli *cli = l->cli;
    const char *log = launch_place(cli, "launch-serve.log");
    const char *lock = launch_place(cli, "agents.lock");
    /* The portable archive's starter gives its own path: /proc/self/exe is the loader there. */
    const char *self =
        program_invocation_name[0] == '/' ? program_invocation_name : "/proc/self/exe";
    const char *argv[12] = {self, "--data-dir", cli->data_dir};
    size_t n = 3;
    int64_t until = clock_now_ms() + LAUNCH_START_MS;
    if (cli->no_network)
        argv[n++] = "--no-network";
    if (cli->verbose)
        argv[n++] = "--verbose";
    if (cli->quiet)
        argv[n++] = "--quiet";
    argv[n++] = "serve";
    if (any_port) {
        argv[n++] = "--port";
        argv[n++] = "0";
    }
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        cli_check(cli, fs_error(&cli->err, errno, "write", log));
    log_at(&cli->log, LOG_INFO, "starting the server, for as long as %.*s runs",
           STR_ARG(l->row.field[LAUNCH_AGENT]));
    pid_t keeper = fork();
    if (keeper == 0)
        launch_keep_server(argv, lock, fd);
    close(fd);
    if (keeper < 0)
        cli_die(cli, errno, "cannot start the server: %s", error_errno_text(errno));
    while (!control_runs(cli)) {
        if (cli_cancelled)
            cli_die(cli, GFXB_E_INTERRUPTED, "interrupted");
        if (clock_now_ms() > until || waitpid(keeper, NULL, WNOHANG) == keeper)
            cli_die(cli, EIO, "the server does not start: %s says why, and so does gfxbridge serve",
                    log);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static json_t *launch_config(struct cli *cli)
{
    char *CLEAN_FREE path = cli->config_dir ? xfs_join(cli->config_dir, "config.json") : NULL;
    return path ? json_load_file(path, 0, NULL) : NULL;
}

/* Does anybody listen where `gfxbridge serve` would? A socket unit of systemd starts the server for
 * this request, and the answer tells that it runs. */
static bool launch_knock(struct cli *cli)
{
    static const char ask[] = "GET /api/version HTTP/1.0\r\nHost: localhost\r\n\r\n";
    json_t *config = launch_config(cli);
    const char *host = cli_setting("GFXBRIDGE_HOST"), *port = cli_setting("GFXBRIDGE_PORT");
    json_int_t number = json_integer_value(json_object_get(config, "port"));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *at = NULL;
    char text[24], byte;
    bool taken = false;
    if (!host)
        host = json_string_value(json_object_get(config, "host"));
    snprintf(text, sizeof(text), "%lld", (long long)(number ? number : SERVE_PORT));
    if (getaddrinfo(host ? host : "127.0.0.1", port ? port : text, &hints, &at) == 0) {
        int CLEAN_CLOSE fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = LAUNCH_KNOCK_S},
                   sizeof(struct timeval));
        taken = connect(fd, at->ai_addr, at->ai_addrlen) == 0 &&
                send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0;
        if (taken)
            (void)!recv(fd, &byte, 1, 0);
        freeaddrinfo(at);
    }
    json_decref(config);
    return taken;
}

/* l->address of the server that runs, which is started where none does. */
static void launch_find_server(struct launch *l)
{
    struct cli *cli = l->cli;
    int CLEAN_CLOSE turn = -1; /* one launch at a time */
    launch_need_server(cli);
    cli_check(cli,
              fs_lock(launch_place(cli, "start.lock"), true, &cli_cancelled, &turn, &cli->err));
    l->address = launch_address(cli);
    if (l->address)
        return;
    bool taken = launch_knock(cli);
    if (!taken || !control_runs(cli))
        launch_start_server(l, taken);
    l->address = launch_address(cli);
}

/* The API key that the server wants; "gfxbridge" where it wants none. */
static const char *launch_key(struct cli *cli)
{
    const char *key = cli_setting("GFXBRIDGE_API_KEY");
    json_t *config = key ? NULL : launch_config(cli);
    const json_t *first = json_array_get(json_object_get(config, "api_keys"), 0);
    if (json_is_string(first))
        key = cli_keep(cli, xstrdup(json_string_value(first)));
    json_decref(config);
    if (key && strpbrk(key, "\"\\ \t"))
        cli_die(cli, EINVAL, "launch cannot hand on an API key with quotes or blanks in it");
    return key ? key : "gfxbridge";
}

static bool launch_is_loaded(const json_t *status, const char *name)
{
    const json_t *model;
    size_t i;
    json_array_foreach(json_object_get(status, "models"), i, model)
    {
        if (strcmp(cli_json_text(model, "name"), name) == 0)
            return true;
    }
    return false;
}

/* The only model for chats that is loaded; the only one where none is. */
static const char *launch_default_model(struct cli *cli)
{
    const json_t *status =
        control_runs(cli) ? control_ask(cli, "/internal/status", NULL) : json_null();
    struct model_list list;
    const char *first[2] = {NULL, NULL}; /* [true]: of the loaded ones */
    size_t n[2] = {0, 0};
    engine_model_list_new(cli_models(cli), &list);
    for (size_t i = 0; i < list.n; i++) {
        const struct model *model = &list.item[i];
        if (model->origin == MODEL_BUILTIN || model->task != MODEL_CHAT)
            continue;
        bool loaded = launch_is_loaded(status, model_shown(model));
        if (n[loaded]++ == 0)
            first[loaded] = cli_keep(cli, xstrdup(model_shown(model)));
    }
    model_list_done(&list);
    bool loaded = n[true] > 0;
    if (n[loaded] != 1)
        cli_die(cli, GFXB_E_USAGE, "%s",
                n[loaded] ? "several models are here: say --model MODEL, a name of gfxbridge list"
                          : "no model is here that could write code: gfxbridge list --available "
                            "names some to pull");
    return first[loaded];
}

/* The tokens that one request to the model may have, as the server tells them; 0: it tells nothing.
 */
static unsigned launch_context(struct cli *cli, const char *name)
{
    char *CLEAN_FREE path = xasprintf("/v1/models/%s", name);
    const json_t *tokens = json_object_get(control_ask(cli, path, NULL), "context_length");
    return (unsigned)json_integer_value(tokens);
}

/* ---- what is set ---- */

struct launch_words {
    const char *word[LAUNCH_WORDS_MAX + 1];
    size_t n;
};

static void launch_add(struct launch *l, struct launch_words *words, const char *word)
{
    if (words->n == LAUNCH_WORDS_MAX)
        cli_die(l->cli, E2BIG, "more than %d words for the agent", LAUNCH_WORDS_MAX);
    words->word[words->n++] = word;
}

static void launch_add_all(struct launch *l, struct launch_words *words, struct str list)
{
    struct str word;
    while (str_word(&list, &word))
        launch_add(l, words, launch_fill(l, word));
}

/* Requests to the server go to no proxy, whatever else does. */
static void launch_add_no_proxy(struct launch *l, struct launch_words *env)
{
    static const char *const names[] = {"NO_PROXY", "no_proxy"};
    struct str host = {l->address, (size_t)(strrchr(l->address, ':') - l->address)};
    const char *value[] = {cli_setting(names[0]), cli_setting(names[1])};
    if (str_strip(&host, STR("[")))
        host.n--;
    for (size_t i = 0; i < 2; i++) {
        const char *old = value[i] ? value[i] : value[1 - i];
        launch_add(l, env,
                   cli_keep(l->cli, xasprintf("%s=%s%s127.0.0.1,localhost,%.*s", names[i],
                                              old ? old : "", old ? "," : "", STR_ARG(host))));
    }
}

static void launch_add_env(struct launch *l, struct launch_words *env)
{
    json_t *object = json_object();
    launch_add_all(l, env, l->row.field[LAUNCH_ENV]);
    launch_add_no_proxy(l, env);
    for (size_t i = 0; i < env->n; i++) {
        const char *value = strchr(env->word[i], '=') + 1;
        char *CLEAN_FREE name =
            xstr_dup((struct str){env->word[i], (size_t)(value - env->word[i]) - 1});
        setenv(name, value, 1);
        json_object_set_new(object, name, json_string(value));
    }
    l->variables = cli_keep(l->cli, json_dumps(object, JSON_COMPACT));
    json_decref(object);
}

/* Directories of runs that were killed: their number is no process any more. */
static void launch_sweep(const char *runtime_dir)
{
    DIR *CLEAN_DIR dir = opendir(runtime_dir);
    const char *name;
    uint64_t pid;
    while ((name = fs_next(dir))) {
        struct str rest = str_from(name);
        char *CLEAN_FREE path = xfs_join(runtime_dir, name);
        if (str_strip(&rest, STR("launch-")) && str_to_u64(rest, 10, &pid) == 0 &&
            kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            fs_remove_tree(path);
    }
}

/* Where the agent's file will be; its text is what is behind the name in the row. */
static void launch_plan_file(struct launch *l, bool print)
{
    struct str text = l->row.field[LAUNCH_CONFIG], name;
    if (!text.n || !str_cut(&text, '=', &name))
        return;
    l->row.field[LAUNCH_CONFIG] = text;
    l->dir = print ? xfs_join(l->cli->runtime_dir, "print")
                   : xasprintf("%s/launch-%d", l->cli->runtime_dir, (int)getpid());
    l->file = cli_keep(l->cli, xasprintf("%s/%.*s", l->dir, STR_ARG(name)));
}

static void launch_quote(const char *text)
{
    putchar('\'');
    for (const char *c = text; *c; c++)
        fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, stdout);
    putchar('\'');
}

static void launch_print(const struct launch *l, const struct launch_words *env,
                         const struct launch_words *argv, const char *text)
{
    if (text) {
        fputs("umask 077\nmkdir -p ", stdout);
        launch_quote(l->dir);
        fputs("\ncat >", stdout);
        launch_quote(l->file);
        printf(" <<'END'\n%s\nEND\n", text);
    }
    for (size_t i = 0; i < env->n; i++) {
        const char *value = strchr(env->word[i], '=') + 1;
        printf("export %.*s", (int)(value - env->word[i]), env->word[i]);
        launch_quote(value);
        putchar('\n');
    }
    for (size_t i = 0; i < argv->n; i++) {
        fputs(i ? " " : "", stdout);
        launch_quote(argv->word[i]);
    }
    putchar('\n');
}

/* ---- the run ---- */

static void launch_undo(struct launch *l)
{
    if (l->dir)
        fs_remove_tree(l->dir);
    free(l->dir);
    l->dir = NULL;
}

/* The signals that are for the agent, but for those that our parent ignores (nohup). */
static void launch_signals(sigset_t *ret)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    sigemptyset(ret);
    sigaddset(ret, SIGCHLD);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(ret, numbers[i]);
    }
}

/* Waits for the agent, which has the terminal. What a terminal tells all of its group has reached
 * it already; other signals, which are blocked here, are handed on. */
static int launch_wait(pid_t pid, const sigset_t *signals)
{
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int number = sigwaitinfo(signals, NULL);
        if (number > 0 && number != SIGCHLD && !(number == SIGINT && isatty(STDIN_FILENO)))
            kill(pid, number);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* In the child. It is told when we are killed: nobody would hand on a signal to it any more.
 * Returns with errno. */
static void launch_exec(const struct launch *l, const struct launch_words *argv, pid_t parent,
                        const sigset_t *signals)
{
    signal(SIGPIPE, SIG_DFL); /* which we ignore */
    sigprocmask(SIG_SETMASK, signals, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent)
        execv(l->program, (char *const *)argv->word);
}

static int launch_agent(struct launch *l, const struct launch_words *argv)
{
    sigset_t signals, before;
    volatile int result = 0;
    const pid_t self = getpid();
    launch_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, &before);
    if (cli_cancelled) {
        launch_undo(l);
        cli_die(l->cli, GFXB_E_INTERRUPTED, "interrupted");
    }
    const pid_t pid = vfork();
    if (pid == 0) {
        launch_exec(l, argv, self, &before);
        result = errno;
        _exit(127);
    }
    if (pid < 0)
        result = errno;
    int code = pid < 0 ? CLI_FAILED : launch_wait(pid, &signals);
    launch_undo(l);
    if (result != 0)
        cli_die(l->cli, result, "cannot start %s: %s", l->program, error_errno_text(result));
    return code;
}

static void launch_read(struct launch *l, const struct cli_args *args)
{
    struct cli *cli = l->cli;
    const char *model = args->value[LAUNCH_MODEL];
    cli_need_data_dir(cli);
    l->key = launch_key(cli);
    l->model = model ? model : launch_default_model(cli);
    struct str name = str_from(l->model);
    if (str_starts(name, STR("/")) || str_starts(name, STR("./")) || str_starts(name, STR("../")) ||
        (str_ends(name, STR(".gguf")) && access(l->model, F_OK) == 0))
        cli_die(cli, GFXB_E_USAGE,
                "the server knows models by name, not by path: gfxbridge import %s gives it one",
                l->model);
    l->context = LAUNCH_CONTEXT;
    cli_check(cli, engine_model_find(cli_models(cli), l->model, &cli->model, &cli->err));
    if (strpbrk(l->model, "\"\\ \t"))
        cli_die(cli, EINVAL,
                "launch cannot hand on this model's name: gfxbridge alias gives it "
                "another one");
}

static int launch_run(struct cli *cli, const struct cli_args *args)
{
    struct launch l = {.cli = cli};
    struct launch_words env = {.n = 0}, argv = {.n = 0};
    bool print = args->value[LAUNCH_PRINT] != NULL;
    if (args->n_words == 0) {
        launch_list(cli);
        return CLI_DONE;
    }
    launch_find(&l, args->word[0]);
    if (!l.program && !print)
        cli_die(cli, ENOENT, "%s is not installed: %.*s installs it", args->word[0],
                STR_ARG(l.row.field[LAUNCH_INSTALL]));
    launch_read(&l, args);
    cli_catch_signals();
    if (print)
        l.address = launch_address(cli);
    else
        launch_find_server(&l);
    unsigned context = l.address ? launch_context(cli, l.model) : 0;
    l.context = context ? context : l.context;
    if (!l.address)
        l.address = cli_keep(cli, xasprintf("127.0.0.1:%d", SERVE_PORT));
    launch_plan_file(&l, print);
    launch_add_env(&l, &env);
    const char *text = l.file ? launch_fill(&l, l.row.field[LAUNCH_CONFIG]) : NULL;
    launch_add(&l, &argv, l.program ? l.program : args->word[0]);
    launch_add_all(&l, &argv, l.row.field[LAUNCH_ARGS]);
    for (size_t i = 1; i < args->n_words; i++)
        launch_add(&l, &argv, args->word[i]);
    if (print) {
        launch_print(&l, &env, &argv, text);
        free(l.dir);
        return CLI_DONE;
    }
    launch_sweep(cli->runtime_dir);
    int result = text ? fs_make_dirs(l.dir, 0700, &cli->err) : 0;
    if (text && result == 0)
        result = fs_write(l.file, text, strlen(text), 0600, &cli->err);
    if (result < 0) {
        launch_undo(&l);
        cli_fail(cli);
    }
    return launch_agent(&l, &argv);
}

const struct cli_command cli_command_launch = {
    .name = "launch",
    .words = "[AGENT] [ARG...]",
    .summary = "start a coding agent on a local model",
    .about =
        "Starts claude, codex, continue, copilot, opencode or qwen so that it asks the "
        "server of this user. Where none runs yet one is started, and ends with the last agent "
        "that needs it. What the agent needs for it is set for this run alone: no file of yours "
        "is changed. The exit code is the agent's. Options of the agent come behind --: "
        "gfxbridge launch codex --model M -- exec \"fix the tests\". Without AGENT it lists "
        "them, and says which are installed.",
    .options = launch_options,
    .live = true,
    .run = launch_run,
};
