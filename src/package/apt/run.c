/* run.c - apt's and dpkg's programs, with a clean environment and a deadline. */
#include "package/apt/apt.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define RUN_OUTPUT_MAX (16u << 20)
#define RUN_ENV_MAX    12
#define RUN_WATCH_MS   1000
#define RUN_REPORT_MS  5000

/* What a person set to reach the outside; apt and its transports read the same names. */
static const char *const run_inherited[] = {
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
};

/* NULL-terminated; its words are owned. */
struct run_env {
    char *word[RUN_ENV_MAX + 1];
};

static void run_env_init(struct run_env *env)
{
    size_t n = 0;
    *env = (struct run_env){0};
    env->word[n++] = xstrdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    env->word[n++] = xstrdup("LC_ALL=C.UTF-8");
    env->word[n++] = xstrdup("DEBIAN_FRONTEND=noninteractive");
    for (size_t i = 0; i < sizeof(run_inherited) / sizeof(run_inherited[0]); i++) {
        const char *value = getenv(run_inherited[i]);
        if (value)
            env->word[n++] = xasprintf("%s=%s", run_inherited[i], value);
    }
}

static void run_env_done(struct run_env *env)
{
    for (char **word = env->word; *word; word++)
        free(*word);
}

static int run_verdict(const char *program, bool ok, bool timed_out, int status,
                       struct gfxb_error *err)
{
    char how[64];
    if (ok)
        return 0;
    if (timed_out)
        return error_set(err, ETIMEDOUT, "%s did not end in time", program);
    child_status_text(status, how, sizeof(how));
    return error_set(err, EIO, "%s failed (%s)", program, how);
}

int debian_run(const char *const *argv, int deadline_ms, struct buf *ret_out,
               struct buf *ret_complaints, struct gfxb_error *err)
{
    struct run_env env;
    struct child_result result;
    struct child_spec spec = {.argv = argv,
                              .env = (const char *const *)env.word,
                              .cwd = "/",
                              .out_fd = -1,
                              .err_fd = -1,
                              .deadline_ms = deadline_ms,
                              .max_output = RUN_OUTPUT_MAX};
    run_env_init(&env);
    int r = child_run(&spec, &result, err);
    run_env_done(&env);
    if (r < 0)
        return r;
    if (ret_out)
        buf_add_str(ret_out, buf_view(&result.out));
    if (ret_complaints)
        buf_add_str(ret_complaints, buf_view(&result.err));
    r = run_verdict(argv[0], child_result_ok(&result), result.timed_out, result.status, err);
    child_result_done(&result);
    return r;
}

struct run_state {
    const struct debian_watch *watch;
    uint64_t seen;
    int64_t began, grown_at, told_at;
};

/* To the caller's progress function every time, else to the log now and then. */
static void run_tell(struct run_state *state, int64_t now)
{
    const struct debian_watch *watch = state->watch;
    const struct package_net *net = watch->env->net;
    uint64_t bytes = state->seen < watch->total_bytes ? state->seen : watch->total_bytes;
    if (!watch->total_bytes)
        return;
    if (net && net->progress) {
        uint64_t per_second = bytes * 1000 / (uint64_t)(now - state->began + 1);
        struct fetch_progress progress = {
            bytes, watch->total_bytes, per_second,
            per_second ? (int64_t)((watch->total_bytes - bytes) / per_second) : -1};
        net->progress(net->context, watch->what, &progress);
    } else if (now - state->told_at >= RUN_REPORT_MS) {
        state->told_at = now;
        log_at(watch->env->log, LOG_INFO, "%s: %.0f of %.0f MB", watch->what, (double)bytes / 1e6,
               (double)watch->total_bytes / 1e6);
    }
}

static void run_look(struct run_state *state)
{
    int64_t now = clock_now_ms();
    uint64_t bytes = 0;
    if (fs_tree_bytes(state->watch->dir, &bytes) == 0 && bytes != state->seen) {
        state->seen = bytes;
        state->grown_at = now;
    }
    run_tell(state, now);
}

/* 0 it has ended, -ETIMEDOUT, -GFXB_E_INTERRUPTED, or what waiting says. */
static int run_attend(struct child *child, const struct debian_watch *watch, int *ret_status)
{
    int64_t now = clock_now_ms();
    struct run_state state = {watch, 0, now, now, now};
    for (;;) {
        int r = child_wait(child, RUN_WATCH_MS, ret_status);
        if (r < 0) {
            child_end(child, 0, ret_status);
            return r;
        }
        run_look(&state);
        if (r > 0)
            return 0;
        bool cancelled = package_check_cancel(watch->env, NULL) < 0;
        if (!cancelled && clock_now_ms() - state.grown_at < watch->stall_ms)
            continue;
        child_end(child, 1000, ret_status);
        return cancelled ? -GFXB_E_INTERRUPTED : -ETIMEDOUT;
    }
}

static void run_read_complaints(int fd, struct buf *ret)
{
    char text[65536]; /* the beginning is what counts */
    ssize_t n = pread(fd, text, sizeof(text), 0);
    if (n > 0)
        buf_add(ret, text, (size_t)n);
}

int debian_run_watched(const char *const *argv, const struct debian_watch *watch,
                       struct buf *ret_complaints, struct gfxb_error *err)
{
    /* Not a file on the disk: that may be full, which is what will be complained of. */
    int CLEAN_CLOSE fd = memfd_create("complaints", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "cannot make a memory file: %s", error_errno_text(errno));
    struct run_env env;
    struct child child = CHILD_NONE;
    int status = 0;
    struct child_spec spec = {
        .argv = argv, .env = (const char *const *)env.word, .cwd = "/", .out_fd = -1, .err_fd = fd};
    run_env_init(&env);
    int r = child_start(&spec, &child, err);
    run_env_done(&env);
    if (r < 0)
        return r;
    r = run_attend(&child, watch, &status);
    if (r == -GFXB_E_INTERRUPTED)
        return package_check_cancel(watch->env, err);
    run_read_complaints(fd, ret_complaints);
    if (r < 0 && r != -ETIMEDOUT)
        return error_set(err, -r, "cannot wait for %s: %s", argv[0], error_errno_text(-r));
    return run_verdict(argv[0], r == 0 && status == 0, r == -ETIMEDOUT, status, err);
}
