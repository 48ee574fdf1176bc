/*
 * test_sandbox.c - a hostile engine: what it tries outside of its place fails in the sandbox, and
 * succeeds without it, so that each case can fail. What an engine needs works in both.
 */
#include "faults.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A home directory beside the data, with a file of a person in it. */
struct home {
    struct stage stage;
    char *dir, *letter;
};

static void write_letter(const struct home *h)
{
    assert_int_equal(fs_write(h->letter, "private\n", 8, 0600, NULL), 0);
}

static struct home home_new(void)
{
    struct home h = {.stage = stage_new()};
    h.dir = stage_join(h.stage.data, "home");
    h.letter = stage_join(h.dir, "letter");
    assert_int_equal(fs_make_dirs(h.dir, 0700, NULL), 0);
    write_letter(&h);
    return h;
}

static void home_done(struct home *h)
{
    stage_done(&h->stage);
    free(h->dir);
    free(h->letter);
}

/* The engine tries it while it lists its devices. What it said on stderr, to be freed. */
static char *list_with(const struct stage *s, const char *attempt, bool unconfined)
{
    char behaviour[512];
    snprintf(behaviour, sizeof(behaviour), "try %s\n", attempt);
    struct fault f = {.name = "hostile", .backend = PLAN_VULKAN, .behaviour = behaviour};
    char *CLEAN_FREE dir = stage_install(s, "debian-vulkan", PLAN_VULKAN, &f);
    struct package package = stage_package(dir);
    struct engine_spec spec = {.package = &package,
                               .runtime_dir = s->run,
                               .backend = PLAN_VULKAN,
                               .unconfined = unconfined};
    struct engine_devices devices;
    struct gfxb_error err = {.text = ""};
    if (engine_list_devices(&spec, 10000, &devices, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(devices.n, 1);
    char *said = strdup(devices.said);
    engine_devices_done(&devices);
    return said;
}

/* The same while it starts to serve. */
static char *serve_with(const struct stage *s, const char *attempt, bool unconfined)
{
    char behaviour[512];
    snprintf(behaviour, sizeof(behaviour), "try %s\n", attempt);
    struct fault f = {.name = "hostile", .backend = PLAN_CPU, .behaviour = behaviour};
    struct buf CLEAN_BUF log = BUF_INIT(1u << 17);
    struct engine *engine = NULL;
    struct gfxb_error err = {.text = ""};
    if (stage_start(s, &f, unconfined, NULL, &engine, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(engine_log_tail(engine, 1u << 16, &log), 0);
    engine_stop(engine);
    return strdup(buf_text(&log));
}

/* Fails in the sandbox, in the device list as in serving, and succeeds without. The letter is put
 * back after each success. */
static void check_kept(const struct home *h, const char *attempt)
{
    char kind[16], done[32];
    snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(attempt, " "), attempt);
    snprintf(done, sizeof(done), "try %s: done", kind);
    char *CLEAN_FREE list = list_with(&h->stage, attempt, false);
    char *CLEAN_FREE serve = serve_with(&h->stage, attempt, false);
    char *CLEAN_FREE free_list = list_with(&h->stage, attempt, true);
    write_letter(h);
    char *CLEAN_FREE free_serve = serve_with(&h->stage, attempt, true);
    write_letter(h);
    if (strstr(list, done) || !strstr(list, "try ") || strstr(serve, done))
        fail_msg("in the sandbox, '%s': %s", attempt, list);
    if (!strstr(free_list, done) || !strstr(free_serve, done))
        fail_msg("without the sandbox, '%s': %s", attempt, free_list);
}

static void needs(bool (*has)(const struct engine_sandbox *s))
{
    struct engine_sandbox s;
    engine_sandbox_state(false, &s);
    if (!has(&s))
        skip();
}

static bool has_files(const struct engine_sandbox *s)
{
    return s->files && s->rename && s->cut;
}

static bool has_network(const struct engine_sandbox *s)
{
    return s->network;
}

static bool has_processes(const struct engine_sandbox *s)
{
    return s->alone && s->signals;
}

static void it_cannot_write_outside_its_run_directory(void **state)
{
    static const char *const kinds[] = {"write", "cut", "mode", "move"};
    struct home h = home_new();
    char attempt[300];
    (void)state;
    needs(has_files);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        snprintf(attempt, sizeof(attempt), "%s %s", kinds[i], h.letter);
        check_kept(&h, attempt);
    }
    snprintf(attempt, sizeof(attempt), "write %s/new", h.dir);
    check_kept(&h, attempt);
    check_kept(&h, "write ./its-own-package");
    home_done(&h);
}

static void it_cannot_read_the_home_directory(void **state)
{
    struct home h = home_new();
    char attempt[300];
    (void)state;
    needs(has_files);
    snprintf(attempt, sizeof(attempt), "read %s", h.letter);
    check_kept(&h, attempt);
    snprintf(attempt, sizeof(attempt), "list %s", h.dir);
    check_kept(&h, attempt);
    home_done(&h);
}

static void it_cannot_open_a_connection(void **state)
{
    struct home h = home_new();
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(inet);
    char attempt[300];
    (void)state;
    needs(has_network);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(tcp, (struct sockaddr *)&inet, sizeof(inet)) | listen(tcp, 8), 0);
    assert_int_equal(getsockname(tcp, (struct sockaddr *)&inet, &n), 0);
    snprintf(attempt, sizeof(attempt), "tcp %d", ntohs(inet.sin_port));
    check_kept(&h, attempt);
    snprintf(attempt, sizeof(attempt), "udp %d", ntohs(inet.sin_port));
    check_kept(&h, attempt);
    snprintf(attempt, sizeof(attempt), "socket %d", AF_NETLINK);
    check_kept(&h, attempt);
    close(tcp);
    home_done(&h);
}

/* A bound unix socket of this type: at a path, or abstract when the address begins with '@'. */
static int bound(int type, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(text);
    assert_true(n < sizeof(address.sun_path));
    memcpy(address.sun_path, text, n);
    if (text[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (text[0] != '@'));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    if (type == SOCK_STREAM || type == SOCK_SEQPACKET)
        assert_int_equal(listen(fd, 64), 0);
    return fd;
}

/* How many messages wait in a datagram socket; they are taken out. */
static size_t messages(int fd)
{
    size_t n = 0;
    char text[16];
    while (recv(fd, text, sizeof(text), 0) >= 0)
        n++;
    return n;
}

/* Whoever has datagram sockets (the journal, the session's manager) gets nothing, by a path or an
 * abstract address, by sendto and sendmsg, from a socket or from one of a pair. */
static void it_cannot_send_datagrams(void **state)
{
    static const char *const ways[] = {"sendto", "sendmsg", "pair"};
    static const int types[] = {SOCK_DGRAM, SOCK_RAW}; /* a raw unix socket is a datagram one */
    struct home h = home_new();
    char attempt[300], address[2][100];
    (void)state;
    needs(has_network);
    snprintf(address[0], sizeof(address[0]), "%s/journal", h.dir);
    snprintf(address[1], sizeof(address[1]), "@gfxbridge-test-%d", (int)getpid());
    for (size_t a = 0; a < 2; a++) {
        int fd = bound(SOCK_DGRAM, address[a]);
        for (size_t i = 0; i < 2 * sizeof(ways) / sizeof(ways[0]); i++) {
            snprintf(attempt, sizeof(attempt), "%s %d %s", ways[i / 2], types[i % 2], address[a]);
            check_kept(&h, attempt);
            assert_int_equal(messages(fd), 2); /* of the two tries without the sandbox */
        }
        close(fd);
    }
    home_done(&h);
}

/* The session's bus starts programs on request. */
static void it_cannot_connect_to_other_programs(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    struct home h = home_new();
    char attempt[300], address[2][100];
    (void)state;
    needs(has_network);
    for (size_t i = 0; i < 2 * sizeof(types) / sizeof(types[0]); i++) {
        snprintf(address[0], sizeof(address[0]), "%s/bus%zu", h.dir, i);
        snprintf(address[1], sizeof(address[1]), "@gfxbridge-bus-%d-%zu", (int)getpid(), i);
        int fd = bound(types[i / 2], address[i % 2]);
        snprintf(attempt, sizeof(attempt), "connect %d %s", types[i / 2], address[i % 2]);
        check_kept(&h, attempt);
        close(fd);
    }
    home_done(&h);
}

/* What would do all of it past the filter, or as a program that no file rule knows. */
static void it_cannot_get_around_the_filter(void **state)
{
    struct home h = home_new();
    char attempt[300];
    (void)state;
    needs(has_network);
    check_kept(&h, "execveat -");
    snprintf(attempt, sizeof(attempt), "exec %s", h.letter);
    check_kept(&h, attempt);
    long ring = syscall(SYS_io_uring_setup, 1, (char[256]){""});
    if (ring >= 0)
        close((int)ring);
    if (ring >= 0) /* some kernels have none, or not for everybody */
        check_kept(&h, "uring -");
    home_done(&h);
}

/* A process of this user that lets anybody trace it, with a byte to write to. */
static pid_t start_victim(char **ret_byte)
{
    char *byte = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(byte != MAP_FAILED);
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        close(told[1]);
        close(told[0]);
        for (;;)
            pause();
    }
    close(told[1]);
    assert_int_equal(read(told[0], byte, 1), 0); /* it has said whom it lets */
    close(told[0]);
    *ret_byte = byte;
    return pid;
}

static void it_cannot_touch_other_processes(void **state)
{
    struct home h = home_new();
    char attempt[64], *byte;
    (void)state;
    needs(has_processes);
    snprintf(attempt, sizeof(attempt), "kill %d", (int)getpid());
    check_kept(&h, attempt);
    check_kept(&h, "spawn -");
    check_kept(&h, "share -");
    pid_t victim = start_victim(&byte);
    snprintf(attempt, sizeof(attempt), "ptrace %d", (int)victim);
    check_kept(&h, attempt);
    snprintf(attempt, sizeof(attempt), "poke %d %lx", (int)victim, (unsigned long)(uintptr_t)byte);
    check_kept(&h, attempt);
    assert_int_equal(*byte, '!'); /* without the sandbox */
    snprintf(attempt, sizeof(attempt), "environ %d", (int)victim);
    check_kept(&h, attempt);
    kill(victim, SIGKILL);
    assert_int_equal(waitpid(victim, NULL, 0), victim);
    munmap(byte, 4096);
    home_done(&h);
}

/* Who stays, by the log of an engine whose parent was killed right after its start. */
static pid_t start_and_die(const struct stage *s, bool unconfined)
{
    static const struct fault f = {
        .name = "stays", .backend = PLAN_CPU, .behaviour = "try stay -\n"};
    char *CLEAN_FREE path = NULL;
    struct buf CLEAN_BUF log = BUF_INIT(1u << 17);
    int told[2], status = 0;
    char run[512] = "";
    assert_int_equal(pipe(told), 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct engine *engine = NULL;
        if (stage_start(s, &f, unconfined, NULL, &engine, NULL) == 0)
            dprintf(told[1], "%s", engine_log(engine));
        kill(getpid(), SIGKILL);
    }
    close(told[1]);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(read(told[0], run, sizeof(run) - 1) > 0);
    close(told[0]);
    assert_int_equal(fs_read(run, 1u << 16, &log), 0);
    const char *stays = strstr(buf_text(&log), "stays ");
    assert_non_null(stays);
    return (pid_t)strtol(stays + 6, NULL, 10);
}

static void it_cannot_outlive_its_parent(void **state)
{
    struct home h = home_new();
    (void)state;
    needs(has_processes);
    assert_true(stage_is_gone(start_and_die(&h.stage, false)));
    assert_int_equal(stage_count_engines(&h.stage), 0);
    pid_t stays = start_and_die(&h.stage, true);
    assert_int_equal(kill(stays, 0), 0); /* without: it is there */
    assert_int_equal(kill(stays, SIGKILL), 0);
    home_done(&h);
}

/* What is tried goes on to work: its run directory, its model, its driver's cache. */
/* ---- with workers on other computers ---- */

/* The double as the program of a package that can use workers. To be freed. */
static char *install_with_worker(const struct stage *s, const struct fault *f)
{
    static const char *const parts[] = {"llama-server", "ggml-rpc-server", "libggml-rpc.so"};
    struct buf CLEAN_BUF program = BUF_INIT(1u << 26);
    char *dir = stage_install(s, "debian-cpu", PLAN_CPU, f);
    assert_int_equal(fs_read(getenv("GFXB_TEST_FAKE_ENGINE"), 1u << 25, &program), 0);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *CLEAN_FREE path = stage_join(dir, parts[i]);
        assert_int_equal(fs_write(path, program.p, program.n, 0755, NULL), 0);
    }
    return dir;
}

/* A remote: counts, and gives one end of a pair whose other end it closes. */
static int give_pair(void *context)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[1]);
    ++*(atomic_int *)context;
    return pair[0];
}

static int start_with_remote(const struct stage *s, const char *attempt, bool unconfined,
                             atomic_int *connected, struct buf *log, struct gfxb_error *err)
{
    char behaviour[512];
    struct engine_remote remote = {.name = "attic", .connect = give_pair, .context = connected};
    snprintf(behaviour, sizeof(behaviour), "try %s\n", attempt);
    struct fault f = {.name = "hostile", .backend = PLAN_CPU, .behaviour = behaviour};
    char *CLEAN_FREE dir = install_with_worker(s, &f);
    struct package package = stage_package(dir);
    package.executable = (char *)"llama-server";
    struct engine_spec spec = {.package = &package,
                               .model = "/dev/null",
                               .runtime_dir = s->run,
                               .threads = 1,
                               .backend = PLAN_CPU,
                               .ready_ms = 10000,
                               .unconfined = unconfined,
                               .remote = &remote,
                               .n_remotes = 1};
    struct engine *engine = NULL;
    int code = engine_start(&spec, &engine, err);
    if (code == 0)
        assert_int_equal(engine_log_tail(engine, 1u << 16, log), 0);
    engine_stop(engine);
    return code;
}

static void it_gets_the_sockets_of_its_remotes_and_no_others(void **state)
{
    static const struct {
        const char *attempt, *told;
        int connected;
    } cases[] = {
        {"tcp 1", "try tcp: done", 1},
        {"tcp 2", "try tcp: Connection refused", 0},
        {"tcp 80", "try tcp: Connection refused", 0},
        {"udp 1", "try udp: Permission denied", 0},
        {"socket 10", "try socket: Permission denied", 0},
        {"socket 16", "try socket: Permission denied", 0},
        {"socket 0", "try socket: Permission denied", 0},
        {"connect 1 /run/systemd/private", "try connect: Connection refused", 0},
        {"connect 1 @gfxbridge", "try connect: Connection refused", 0},
    };
    struct home h = home_new();
    struct gfxb_error err = {.text = ""};
    (void)state;
    if (engine_remotes_possible(false, NULL) < 0)
        skip();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf CLEAN_BUF log = BUF_INIT(1u << 17);
        atomic_int connected = 0;
        if (start_with_remote(&h.stage, cases[i].attempt, false, &connected, &log, &err) < 0)
            fail_msg("%s", err.text);
        if (!str_has(buf_view(&log), str_from(cases[i].told)) || connected != cases[i].connected)
            fail_msg("'%s', %d connected: %s", cases[i].attempt, connected, buf_text(&log));
    }
    home_done(&h);
}

/* No descriptor is left for another one, and without the sandbox there is no set at all. */
static void without_what_they_need_there_are_no_remotes(void **state)
{
    struct home h = home_new();
    struct gfxb_error err = {.text = ""};
    struct buf CLEAN_BUF log = BUF_INIT(1u << 17);
    struct rlimit before;
    atomic_int connected = 0;
    (void)state;
    assert_int_equal(start_with_remote(&h.stage, "tcp 1", true, &connected, &log, &err),
                     -GFXB_E_POLICY);
    assert_non_null(strstr(err.text, "GFXBRIDGE_SANDBOX"));
    if (engine_remotes_possible(false, NULL) < 0)
        skip();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t most = 4; most < 40; most++) {
        struct rlimit few = {most, before.rlim_max};
        char *CLEAN_FREE dir = install_with_worker(&h.stage, NULL);
        struct package package = stage_package(dir);
        package.executable = (char *)"llama-server";
        struct engine_remote remote = {
            .name = "attic", .connect = give_pair, .context = &connected};
        struct engine_spec spec = {.package = &package,
                                   .model = "/dev/null",
                                   .runtime_dir = h.stage.run,
                                   .threads = 1,
                                   .backend = PLAN_CPU,
                                   .ready_ms = 10000,
                                   .remote = &remote,
                                   .n_remotes = 1};
        struct engine *engine = NULL;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int code = engine_start(&spec, &engine, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (code != 0 && code != -EMFILE)
            fail_msg("with %u descriptors: %s", (unsigned)most, err.text);
        engine_stop(engine);
    }
    assert_int_equal(stage_count_engines(&h.stage), 0);
    home_done(&h);
}

static void it_has_what_it_needs(void **state)
{
    struct home h = home_new();
    char *CLEAN_FREE dir = stage_install(&h.stage, "debian-vulkan", PLAN_VULKAN, NULL);
    char *CLEAN_FREE cache = stage_join(h.stage.data, "cache");
    char *CLEAN_FREE file = stage_join(cache, "shader");
    char *CLEAN_FREE behaviour = stage_join(dir, "behaviour");
    char *CLEAN_FREE part = stage_join(h.dir, "m-00002-of-00002.gguf");
    char *CLEAN_FREE first = stage_join(h.dir, "m-00001-of-00002.gguf");
    struct buf CLEAN_BUF text = BUF_INIT(1u << 16);
    struct package package = stage_package(dir);
    const char *projector[] = {"--mmproj", h.letter, NULL};
    struct engine_devices devices;
    (void)state;
    assert_int_equal(fs_write(part, "x", 1, 0600, NULL), 0);
    assert_int_equal(fs_read(behaviour, 1u << 15, &text), 0);
    buf_addf(&text, "try write %s\ntry move %s\ntry read %s\ntry list /sys\ntry read /dev/null\n",
             file, file, part);
    assert_int_equal(fs_write(behaviour, text.p, text.n, 0644, NULL), 0);
    struct engine_spec spec = {.package = &package,
                               .runtime_dir = h.stage.run,
                               .model = first,
                               .cache_dir = cache,
                               .args = projector,
                               .backend = PLAN_VULKAN};
    assert_int_equal(engine_list_devices(&spec, 10000, &devices, NULL), 0);
    assert_non_null(strstr(devices.said, "try write: done"));
    assert_null(strstr(devices.said, "try move: done")); /* into its package */
    assert_non_null(strstr(devices.said, "try read: done\ntry list: done\ntry read: done"));
    engine_devices_done(&devices);
    home_done(&h);
}

/* An engine that puts a link in place of its log: nothing behind the link is read or cut. */
static void a_log_that_became_a_link_is_not_followed(void **state)
{
    struct home h = home_new();
    static const struct fault well = {.name = "well", .backend = PLAN_CPU};
    struct buf CLEAN_BUF tail = BUF_INIT(1u << 17);
    struct engine *engine = NULL;
    (void)state;
    assert_int_equal(stage_start(&h.stage, &well, false, NULL, &engine, NULL), 0);
    assert_int_equal(unlink(engine_log(engine)), 0);
    assert_int_equal(symlink(h.letter, engine_log(engine)), 0);
    assert_int_equal(engine_log_tail(engine, 1u << 16, &tail), 0);
    assert_null(strstr(buf_text(&tail), "private"));
    assert_non_null(strstr(buf_text(&tail), "model loaded"));
    engine_stop(engine);
    assert_int_equal(access(h.letter, F_OK), 0);
    home_done(&h);
}

/* An engine that puts a link to another program's socket in place of its own: that one gets neither
 * the prompt nor the key. */
static void a_socket_of_another_process_gets_no_prompt(void **state)
{
    struct home h = home_new();
    static const struct fault well = {.name = "well", .backend = PLAN_CPU};
    struct engine_chat chat = {.prompt = "secret"};
    struct engine_reply reply;
    struct gfxb_error err;
    struct engine *engine = NULL;
    char other[100], got[64];
    (void)state;
    assert_int_equal(stage_start(&h.stage, &well, false, NULL, &engine, NULL), 0);
    snprintf(other, sizeof(other), "%s/other", h.dir);
    int fd = bound(SOCK_STREAM, other); /* this process's */
    assert_int_equal(unlink(engine_socket(engine)), 0);
    assert_int_equal(symlink(other, engine_socket(engine)), 0);
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -EPERM);
    assert_non_null(strstr(err.text, "another process"));
    int client = accept(fd, NULL, NULL);
    assert_true(client < 0 || recv(client, got, sizeof(got), 0) <= 0);
    if (client >= 0)
        close(client);
    close(fd);
    engine_stop(engine);
    home_done(&h);
}

static void the_state_says_what_is_in_force(void **state)
{
    struct engine_sandbox on, off;
    (void)state;
    engine_sandbox_state(false, &on);
    engine_sandbox_state(true, &off);
    assert_true(off.off && !off.files && !off.network && !off.alone && off.note[0]);
    assert_int_equal(on.files, on.landlock > 0);
    if (on.landlock >= 6)
        assert_true(on.rename && on.cut && on.devices && on.signals && !on.note[0]);
    else
        assert_non_null(on.note[0]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_cannot_write_outside_its_run_directory),
        cmocka_unit_test(it_cannot_read_the_home_directory),
        cmocka_unit_test(it_cannot_open_a_connection),
        cmocka_unit_test(it_cannot_send_datagrams),
        cmocka_unit_test(it_cannot_connect_to_other_programs),
        cmocka_unit_test(it_cannot_get_around_the_filter),
        cmocka_unit_test(it_cannot_touch_other_processes),
        cmocka_unit_test(it_cannot_outlive_its_parent),
        cmocka_unit_test(it_gets_the_sockets_of_its_remotes_and_no_others),
        cmocka_unit_test(without_what_they_need_there_are_no_remotes),
        cmocka_unit_test(it_has_what_it_needs),
        cmocka_unit_test(a_log_that_became_a_link_is_not_followed),
        cmocka_unit_test(a_socket_of_another_process_gets_no_prompt),
        cmocka_unit_test(the_state_says_what_is_in_force),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
