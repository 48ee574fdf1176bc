/* run.c - apt's and dpkg's programs, with a clean environment and a deadline. */
#include "package/apt/apt.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define RUN_ENV_MAX   12
#define RUN_WATCH_MS  1000
#define RUN_REPORT_MS 5000

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

static void run_look(struct run_state *state, int64_t now)
{
    uint64_t bytes = 0;
    if (fs_tree_bytes(state->watch->dir, &bytes) == 0 && bytes != state->seen) {
        state->seen = bytes;
        state->grown_at = now;
    }
    run_tell(state, now);
}

/* 0 it has ended, -ETIMEDOUT, -GFXB_E_INTERRUPTED, or what waiting says. */
static int run_attend(struct child *child, int deadline_ms, const struct debian_watch *watch,
                      int *ret_status)
{
    int64_t now = clock_now_ms();
    struct run_state state = {watch, 0, now, now, now};
    for (;;) {
        int r = child_wait(child, RUN_WATCH_MS, ret_status);
        now = clock_now_ms();
        if (r >= 0 && watch)
            run_look(&state, now);
        if (r == 0 && watch && package_check_cancel(watch->env, NULL) < 0)
            r = -GFXB_E_INTERRUPTED;
        if (r == 0 && now - state.grown_at >= deadline_ms)
            r = -ETIMEDOUT;
        if (r < 0)
            child_end(child, 1000, ret_status);
        if (r != 0)
            return r < 0 ? r : 0;
    }
}

static int run_start(const char *const *argv, int out, int complaints, struct child *ret_child,
                     struct gfxb_error *err)
{
    struct run_env env;
    run_env_init(&env);
    struct child_spec spec = {.argv = argv,
                              .env = (const char *const *)env.word,
                              .cwd = "/",
                              .out_fd = out,
                              .err_fd = complaints};
    int r = child_start(&spec, ret_child, err);
    run_env_done(&env);
    return r;
}

static void run_read(int fd, struct buf *ret)
{
    char piece[16384];
    ssize_t n;
    for (off_t at = 0; ret && (n = pread(fd, piece, sizeof(piece), at)) > 0; at += n)
        buf_add(ret, piece, (size_t)n);
}

int debian_run(const char *const *argv, int deadline_ms, const struct debian_watch *watch,
               struct buf *ret_out, struct buf *ret_complaints, struct gfxb_error *err)
{
    /* Not files on the disk: that may be full, which is what will be complained of. */
    int CLEAN_CLOSE out = memfd_create("output", MFD_CLOEXEC);
    int CLEAN_CLOSE complaints = memfd_create("complaints", MFD_CLOEXEC);
    struct child child = CHILD_NONE;
    char how[64];
    int status = 0;
    if (out < 0 || complaints < 0)
        return error_set(err, errno, "cannot make a memory file: %s", error_errno_text(errno));
    int r = run_start(argv, out, complaints, &child, err);
    if (r < 0)
        return r;
    r = run_attend(&child, deadline_ms, watch, &status);
    run_read(out, ret_out);
    run_read(complaints, ret_complaints);
    if (r == -GFXB_E_INTERRUPTED)
        return package_check_cancel(watch->env, err);
    if (r == -ETIMEDOUT)
        return error_set(err, ETIMEDOUT, "%s did not end in time", argv[0]);
    if (r < 0)
        return error_set(err, -r, "cannot wait for %s: %s", argv[0], error_errno_text(-r));
    if (status == 0)
        return 0;
    child_status_text(status, how, sizeof(how));
    return error_set(err, EIO, "%s failed (%s)", argv[0], how);
}
