/* instance.c - one running engine: started, waited for, watched, stopped. */
#include "engine/engine_private.h"
#include "http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define ENGINE_READY_MS    120000
#define ENGINE_STOP_MS     3000
#define ENGINE_POLL_MIN_MS 5
#define ENGINE_POLL_MAX_MS 50
#define ENGINE_PROBE_MS    500
#define ENGINE_END_MS      1000 /* for one that cut an answer off to be seen as ended */
#define ENGINE_LOG_MAX                                                                             \
    (16u << 20) /* bytes of a log; one that grows beyond while loading is a fault */

void engine_spec_choose(struct engine_spec *spec, const struct plan_choice *choice)
{
    spec->backend = choice->backend;
    spec->env = (const char *const *)choice->env;
    spec->args = (const char *const *)choice->args;
    spec->gpu_pci = choice->backend == PLAN_CPU ? NULL : (const char *const *)choice->gpu_pci;
}

static int engine_make_key(char ret_key[static INSTANCE_KEY_HEX], struct gfxb_error *err)
{
    unsigned char bytes[(INSTANCE_KEY_HEX - 1) / 2];
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        return error_set(err, errno, "no random numbers: %s", error_errno_text(errno));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(ret_key + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static void engine_free(struct engine *engine)
{
    sockets_close(engine->sockets);
    rundir_close(&engine->rundir);
    if (engine->log_fd >= 0)
        close(engine->log_fd);
    engine_words_done(&engine->gpu_pci);
    engine_words_done(&engine->remotes);
    free(engine->device);
    free(engine->keep_log);
    free(engine->package_dir);
    free(engine);
}

/* What the engine must remember of its spec. */
static struct engine *engine_new(const struct engine_kind *kind, const struct engine_spec *spec)
{
    struct engine *engine = xmalloc(sizeof(*engine));
    *engine = (struct engine){
        .kind = kind,
        .rundir = RUNDIR_NONE,
        .child = CHILD_NONE,
        .log_fd = -1,
        .device = xstrdup_or_null(launch_device(kind, spec)),
        .keep_log = xstrdup_or_null(spec->keep_log),
        .package_dir = realpath(spec->package->dir, NULL),
        .backend = spec->backend,
        .is_canary = spec->model && canary_is(kind->canary, spec->model),
    };
    for (size_t i = 0; i < spec->n_remotes; i++)
        engine_words_add(&engine->remotes, "%s", spec->remote[i].name);
    for (size_t i = 0; spec->gpu_pci && spec->gpu_pci[i]; i++)
        engine_words_add(&engine->gpu_pci, "%s", spec->gpu_pci[i]);
    return engine;
}

/* The child is started; its calls for sockets are answered from here on. */
static int engine_start_sockets(struct engine *engine, const struct engine_spec *spec, bool worker,
                                struct launch *launch, struct child_spec *child,
                                struct gfxb_error *err)
{
    int channel[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
        return error_set(err, errno, "cannot make a socket: %s", error_errno_text(errno));
    launch->sandbox.channel = channel[1];
    int code = child_start(child, &engine->child, err);
    if (code == -EBUSY) /* the kernel's answer to a second listener */
        code = error_set(err, GFXB_E_KERNEL_QUIRK,
                         "models over several computers need seccomp user notification, which the "
                         "container that gfxbridge runs in has taken for itself");
    if (code == 0)
        code = sockets_start(channel[0], spec, worker ? engine->rundir.socket : NULL,
                             &engine->sockets, err);
    close(channel[0]);
    close(channel[1]);
    return code;
}

static int engine_spawn(struct engine *engine, const struct engine_spec *spec, bool worker,
                        struct gfxb_error *err)
{
    struct engine_serving serving = {.socket = worker ? NULL : engine->rundir.socket,
                                     .key = worker ? NULL : engine->key};
    struct launch launch;
    /* O_APPEND: engine_check may cut the file while the engine writes. */
    engine->log_fd =
        open(engine->rundir.log, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (engine->log_fd < 0)
        return fs_error(err, errno, "write", engine->rundir.log);
    int code = launch_new(engine->kind, spec, engine->rundir.path, &serving, &launch, err);
    if (code < 0)
        return code;
    struct child_spec child = launch_child(&launch);
    child.out_fd = engine->log_fd;
    child.err_fd = engine->log_fd;
    struct gfxb_error why;
    code = worker || spec->n_remotes
               ? engine_start_sockets(engine, spec, worker, &launch, &child, &why)
               : child_start(&child, &engine->child, &why);
    launch_done(&launch);
    if (code == -ENOENT || code == -EACCES || code == -ENOEXEC || code == -ENOTDIR)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "the package %s is damaged: %s; remove it and install it again",
                         spec->package->id, why.text);
    return code < 0 ? error_set(err, why.code, "%s", why.text) : 0;
}

/* The end of its log: kept where the spec said, and for the caller (may be NULL). */
static void engine_keep_tail(const struct engine *engine, struct buf *tail, struct buf *ret_tail)
{
    engine_log_tail(engine, INSTANCE_LOG_TAIL, tail);
    if (engine->keep_log)
        fs_write(engine->keep_log, buf_text(tail), tail->n, 0600, NULL);
    if (ret_tail)
        buf_add_str(ret_tail, buf_view(tail));
}

/* It has ended: find out why, keep the log's end. Returns -code. */
static int engine_reap(struct engine *engine, const char *what, struct buf *ret_tail,
                       struct gfxb_error *err)
{
    struct buf CLEAN_BUF tail = BUF_INIT(INSTANCE_LOG_TAIL + 1);
    engine_keep_tail(engine, &tail, ret_tail);
    return diagnose_explain(engine->kind, engine->status, buf_view(&tail), what, err);
}

/* It is still there but of no use. Ends it. Returns -code. */
static int engine_give_up(struct engine *engine, int64_t ms, struct buf *ret_tail,
                          struct gfxb_error *err)
{
    struct buf CLEAN_BUF tail = BUF_INIT(INSTANCE_LOG_TAIL + 1);
    child_end(&engine->child, 0, &engine->status);
    engine->ended = true;
    engine_keep_tail(engine, &tail, ret_tail);
    struct str words = diagnose_last_words(engine->kind, buf_view(&tail));
    return error_set(err, GFXB_E_ENGINE_HANG,
                     "the engine was not ready after %.1f s and was ended; its last words: %.*s",
                     (double)ms / 1000.0, STR_ARG(words.n ? words : STR("none")));
}

static int64_t engine_until(void *context)
{
    return *(const int64_t *)context;
}

/* GET this path within ms. 0 and the status, or as http_ask. */
static int engine_probe(const struct engine *engine, const char *path, int ms,
                        const atomic_int *cancel, int *ret_status)
{
    int64_t until = clock_now_ms() + ms;
    struct http_ask request = {
        .socket = engine->rundir.socket,
        .path = path,
        .key = engine->key,
        .pid = (int)engine->child.pid,
        .pidfd = engine->child.pidfd,
        .cancel = cancel,
        .until = engine_until,
        .context = &until,
    };
    return http_ask(&request, ret_status);
}

int engine_connect(void *worker)
{
    const struct engine *engine = worker;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    /* A worker that accepts nobody would keep a blocking connect waiting without end. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", engine->rundir.socket);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 && fcntl(fd, F_SETFL, 0) == 0)
        return fd;
    int code = -errno;
    close(fd);
    return code;
}

/* One look at a worker: it flushes what it has said when somebody connects. As below. */
static int engine_worker_answers(struct engine *engine, struct gfxb_error *err)
{
    struct buf CLEAN_BUF log = BUF_INIT(INSTANCE_LOG_TAIL + 1);
    int CLEAN_CLOSE fd = engine_connect(engine);
    if (fd < 0)
        return fd != -EAGAIN && http_is_local(fd)
                   ? error_set(err, -fd, "cannot ask the worker: %s", error_errno_text(-fd))
                   : 0;
    return instance_read_log(engine, 0, INSTANCE_LOG_TAIL, &log) == 0 &&
           engine->kind->read_protocol(buf_view(&log), engine->protocol, sizeof(engine->protocol));
}

/* One look; what accepts a connection and then says nothing is not ready. 1 ready, 0 not yet. */
static int engine_answers(struct engine *engine, const struct engine_spec *spec, bool worker,
                          struct gfxb_error *err)
{
    int status = 0;
    if (worker)
        return engine_worker_answers(engine, err);
    int code =
        engine_probe(engine, engine->kind->ready_path, ENGINE_PROBE_MS, spec->cancel, &status);
    if (code == -EPERM)
        return error_set(err, GFXB_E_ENGINE_EXIT,
                         "the engine is of no use: another process listens on its socket");
    if (code < 0 && http_is_local(code))
        return error_set(err, -code, "cannot ask the engine: %s", error_errno_text(-code));
    return code == 0 && status == 200;
}

static uint64_t engine_log_size(const struct engine *engine)
{
    struct stat st;
    return fstat(engine->log_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

const char *instance_reason(enum plan_backend backend)
{
    switch (backend) {
    case PLAN_VULKAN:
        return "at its first start a graphics driver compiles its shaders, which can take 20 s";
    case PLAN_VULKAN_SOFTWARE:
        return "at its first start lavapipe compiles its shaders on the CPU, which takes a "
               "quarter of a minute, and more on a busy computer or with a large model";
    case PLAN_ROCM:
        return "at its first start ROCm reads and prepares its GPU code";
    default:
        return "the model is being read";
    }
}

static int engine_await(struct engine *engine, const struct engine_spec *spec, bool worker,
                        struct buf *ret_tail, struct gfxb_error *err)
{
    int64_t start = clock_now_ms();
    int64_t limit = spec->ready_ms > 0 ? spec->ready_ms : ENGINE_READY_MS;
    bool told = false;
    int pause = ENGINE_POLL_MIN_MS;
    for (;;) {
        int code = child_wait(&engine->child, pause, &engine->status);
        if (code != 0) {
            engine->ended = true;
            return code < 0 ? error_set(err, -code, "cannot wait for the engine: %s",
                                        error_errno_text(-code))
                            : engine_reap(engine, "while loading", ret_tail, err);
        }
        if (spec->cancel && *spec->cancel)
            return error_set(err, GFXB_E_INTERRUPTED, "interrupted while the engine was loading");
        code = engine_answers(engine, spec, worker, err);
        if (code > 0)
            engine->load_ms = (double)(clock_now_ms() - start);
        if (code != 0)
            return code < 0 ? code : 0;
        int64_t passed = clock_now_ms() - start;
        if (passed >= limit || engine_log_size(engine) > ENGINE_LOG_MAX)
            return engine_give_up(engine, passed, ret_tail, err);
        if (!told && passed >= INSTANCE_PATIENCE_MS) {
            log_at(spec->log, LOG_INFO, "still loading: %s", instance_reason(spec->backend));
            told = true;
        }
        if (passed > 500 && pause < ENGINE_POLL_MAX_MS)
            pause += ENGINE_POLL_MIN_MS;
    }
}

/* A worker, or with remotes: can there be one? */
static int engine_check_sockets(const struct engine_kind *kind, const struct engine_spec *spec,
                                bool worker, struct gfxb_error *err)
{
    if (!worker && !spec->n_remotes)
        return 0;
    if (!kind->add_worker_arguments)
        return error_set(err, GFXB_E_NO_PACKAGE, "%s cannot use several computers", kind->name);
    return engine_has_worker(spec->package, err) ?: engine_remotes_possible(spec->unconfined, err);
}

static int engine_begin(const struct engine_spec *spec, bool worker, struct engine **ret_engine,
                        struct buf *ret_tail, struct gfxb_error *err)
{
    const struct engine_kind *kind = engine_kind_of(spec->package->engine, err);
    int code = kind ? engine_check_sockets(kind, spec, worker, err) : -GFXB_E_NO_PACKAGE;
    if (code < 0)
        return code;
    struct engine *engine = engine_new(kind, spec);
    code = engine_make_key(engine->key, err);
    if (code == 0)
        code = rundir_open(spec->runtime_dir, spec->cancel, &engine->rundir, err);
    if (code == 0)
        code = engine_spawn(engine, spec, worker, err);
    if (code == 0)
        code = engine_await(engine, spec, worker, ret_tail, err);
    if (code < 0) {
        child_end(&engine->child, 0, NULL);
        engine_free(engine);
        return code;
    }
    *ret_engine = engine;
    return 0;
}

int instance_start(const struct engine_spec *spec, struct engine **ret_engine, struct buf *ret_tail,
                   struct gfxb_error *err)
{
    return engine_begin(spec, false, ret_engine, ret_tail, err);
}

int engine_start(const struct engine_spec *spec, struct engine **ret_engine, struct gfxb_error *err)
{
    return instance_start(spec, ret_engine, NULL, err);
}

int engine_start_worker(const struct engine_spec *spec, struct engine **ret_engine,
                        struct gfxb_error *err)
{
    return engine_begin(spec, true, ret_engine, NULL, err);
}

const char *engine_protocol(const struct engine *worker)
{
    return worker->protocol;
}

void engine_stop(struct engine *engine)
{
    if (!engine)
        return;
    child_end(&engine->child, ENGINE_STOP_MS, NULL);
    engine_free(engine);
}

const char *engine_socket(const struct engine *engine)
{
    return engine->rundir.socket;
}

const char *engine_key(const struct engine *engine)
{
    return engine->key;
}

const char *engine_log(const struct engine *engine)
{
    return engine->rundir.log;
}

pid_t engine_pid(const struct engine *engine)
{
    return engine->child.pid;
}

int engine_pidfd(const struct engine *engine)
{
    return engine->child.pidfd;
}

double engine_load_ms(const struct engine *engine)
{
    return engine->load_ms;
}

const char *engine_device(const struct engine *engine)
{
    return engine->device;
}

/* A log that has grown too long keeps its last lines. The engine appends, so cutting is safe; a
 * line that it writes in between only changes its place. */
static void engine_cut_log(struct engine *engine)
{
    struct buf CLEAN_BUF tail = BUF_INIT(INSTANCE_LOG_TAIL + 1);
    if (engine_log_size(engine) <= ENGINE_LOG_MAX)
        return;
    struct engine_placement placement;
    if (engine->placement.n == 0)
        engine_verify(engine, &placement, NULL); /* remembers what the beginning told */
    if (engine_log_tail(engine, INSTANCE_LOG_TAIL, &tail) == 0 &&
        ftruncate(engine->log_fd, 0) == 0 && write(engine->log_fd, buf_text(&tail), tail.n) < 0)
        return; /* a full disk: the old lines are lost, the engine is not */
}

int engine_check(struct engine *engine, struct gfxb_error *err)
{
    int code = engine->ended ? 1 : child_wait(&engine->child, 0, &engine->status);
    if (code == 0) {
        engine_cut_log(engine);
        return 0;
    }
    engine->ended = true;
    if (code < 0)
        return error_set(err, -code, "cannot wait for the engine: %s", error_errno_text(-code));
    return engine_reap(engine, "while serving", NULL, err);
}

bool engine_is_stopped(const struct engine *engine)
{
    return child_is_stopped(&engine->child);
}

bool engine_broke_itself(const struct engine *engine)
{
    static const int own[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
    if (!WIFSIGNALED(engine->status))
        return engine->status != 0;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (WTERMSIG(engine->status) == own[i])
            return true;
    }
    return false;
}

int instance_cut_off(struct engine *engine, bool begun, struct gfxb_error *err)
{
    struct gfxb_error why = {.code = 0};
    int64_t until = clock_now_ms() + ENGINE_END_MS;
    int code = 0;
    while (code == 0 && clock_now_ms() < until) {
        if (!engine->ended && child_wait(&engine->child, 20, &engine->status) > 0)
            engine->ended = true;
        code = engine_check(engine, &why);
    }
    if (code == 0)
        return error_set(err, EPROTO, "the engine closed the connection %s",
                         begun ? "in the middle of an answer" : "without an answer");
    return error_set(err, why.code, "%s%s", why.text, begun ? " (in the middle of an answer)" : "");
}

int instance_ask_failed(struct engine *engine, int code, bool begun, struct gfxb_error *err)
{
    if (http_is_local(code))
        return error_set(err, -code, "cannot ask the engine: %s", error_errno_text(-code));
    switch (-code) {
    case EINTR:
        return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
    case EPERM:
        return error_set(err, EPERM, "another process listens on the engine's socket");
    case ECONNREFUSED:
    case ECONNRESET:
        return instance_cut_off(engine, begun, err);
    default:
        return error_set(err, EPROTO, "the engine's answer makes no sense");
    }
}

int instance_read_log(const struct engine *engine, off_t from, size_t max, struct buf *ret)
{
    char piece[16384];
    for (size_t got = 0; got < max;) {
        size_t wanted = max - got < sizeof(piece) ? max - got : sizeof(piece);
        ssize_t n = pread(engine->log_fd, piece, wanted, from + (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        buf_add(ret, piece, (size_t)n);
        got += (size_t)n;
    }
    return buf_ok(ret) ? 0 : -ENOMEM;
}

int engine_log_tail(const struct engine *engine, size_t max, struct buf *ret)
{
    struct buf CLEAN_BUF tail = BUF_INIT(max + 1);
    uint64_t size = engine_log_size(engine);
    off_t from = size > max ? (off_t)(size - max) : 0;
    int code = instance_read_log(engine, from, max, &tail);
    struct str text = buf_view(&tail), cut;
    if (from > 0 && text.n && memchr(text.p, '\n', text.n)) /* only whole lines */
        str_cut(&text, '\n', &cut);
    buf_add_str(ret, text);
    return code < 0 ? code : buf_ok(ret) ? 0 : -ENOMEM;
}

#define HEALTH_SHARE                                                                               \
    0.2 /* of the weights in the CPU's memory: then a good part of the work is its */

/* Does the CPU do a good part of the work? Of a GPU's or worker's it may only wait, and busily. */
static bool health_by_cpu(const struct engine *engine)
{
    const struct engine_placement *p = &engine->placement;
    return (engine->backend == PLAN_CPU && !engine->remotes.n) ||
           engine->backend == PLAN_VULKAN_SOFTWARE ||
           placement_device_share(p) < 1.0 - HEALTH_SHARE;
}

/* ms of all cores that it has used so far; 0 unknown. */
static int64_t health_cpu_ms(const struct engine *engine)
{
    char path[64];
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    struct str word = STR_NONE, rest;
    uint64_t ticks[2] = {0, 0};
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)engine_pid(engine));
    if (fs_read(path, 4096, &text) < 0)
        return 0;
    const char *name_end = strrchr(buf_text(&text), ')'); /* the name may hold anything */
    rest = str_from(name_end ? name_end + 1 : "");
    for (int field = 3; field <= 15 && str_word(&rest, &word); field++) {
        if (field >= 14)
            str_to_u64(word, 10, &ticks[field - 14]); /* utime, stime: proc(5) */
    }
    return (int64_t)((ticks[0] + ticks[1]) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

bool engine_is_healthy(const struct engine *engine, int ms, const atomic_int *cancel)
{
    int64_t cpu_ms = health_cpu_ms(engine);
    int status;
    if (engine_probe(engine, engine->kind->alive_path, ms, cancel, &status) != -ETIMEDOUT)
        return true;
    /* A batch of a long prompt can take a CPU so long: then it has worked all the time. */
    return health_by_cpu(engine) && health_cpu_ms(engine) - cpu_ms > ms / 2;
}
