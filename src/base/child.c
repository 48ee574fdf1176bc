/* child.c - child processes: started clean, ended as a group, with a deadline. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static void child_reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < 32; number++)
        sigaction(number, &action, NULL); /* SIGKILL and SIGSTOP refuse, which is fine */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_move_fd(int from, int to)
{
    if (from == to)
        return fcntl(to, F_SETFD, 0); /* dup2 onto itself would leave close-on-exec set */
    return dup2(from, to);
}

/* Descriptors 0-2 may be closed in our own process: then a new one lands there. Lift it. */
static int child_lift_fd(int *fd)
{
    if (*fd > 2 || *fd < 0)
        return 0;
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    if (lifted < 0)
        return -errno;
    close(*fd);
    *fd = lifted;
    return 0;
}

int child_open_standard_fds(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest free number is fd, as those below it are open. */
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            return -errno;
    }
    return 0;
}

/* In the child: everything up to exec. fd[] are stdin, stdout, stderr; each is above 2 or -1. */
static _Noreturn void child_exec(const struct child_spec *spec, const int fd[3], pid_t parent,
                                 int report)
{
    static const char *const no_env[] = {NULL};
    int result = 0;
    setpgid(0, 0);
    child_reset_signals();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC); /* its errno is told below */
    if (null < 0 || child_lift_fd(&null) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        goto fail;
    errno = ESRCH;
    if (getppid() != parent) /* it died before the signal was asked for */
        goto fail;
    for (int i = 0; i < 3; i++) {
        if (child_move_fd(fd[i] >= 0 ? fd[i] : null, i) < 0)
            goto fail;
    }
    /* Nothing of ours leaks, not even what a library opened without O_CLOEXEC. */
    syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    if (spec->cwd && chdir(spec->cwd) < 0)
        goto fail;
    if (spec->idle)
        sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}); /* a favour, not a need */
    result = spec->before_exec ? spec->before_exec(spec->context) : 0;
    errno = -result;
    if (result < 0)
        goto fail;
    execvpe(spec->argv[0], (char *const *)spec->argv,
            (char *const *)(spec->env ? spec->env : no_env));
fail:;
    int code = errno;
    ssize_t told = write(report, &code, sizeof(code));
    _exit(told == sizeof(code) ? 127 : 126);
}

static void child_close_pair(int pair[2])
{
    for (int side = 0; side < 2; side++) {
        if (pair[side] >= 0)
            close(pair[side]);
        pair[side] = -1;
    }
}

static int child_pipe(int pair[2])
{
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    int result = child_lift_fd(&pair[0]);
    if (result == 0)
        result = child_lift_fd(&pair[1]);
    if (result < 0)
        child_close_pair(pair);
    return result;
}

/* Fork and exec; the errno of a failed exec comes back through a pipe that exec closes. */
static int child_spawn(const struct child_spec *spec, const int fd[3], struct child *ret_child,
                       struct gfxb_error *err)
{
    int report[2] = {-1, -1};
    int result = child_pipe(report);
    if (result < 0)
        return error_set(err, -result, "cannot make a pipe: %s", error_errno_text(-result));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child_exec(spec, fd, parent, report[1]);
    int code = pid < 0 ? errno : 0;
    close(report[1]);
    if (pid > 0) {
        setpgid(pid, pid); /* both sides set it: the first one counts */
        while (read(report[0], &code, sizeof(code)) < 0 && errno == EINTR)
            ;
    }
    close(report[0]);
    if (pid > 0 && code == 0) {
        *ret_child = (struct child){pid, (int)syscall(SYS_pidfd_open, pid, 0)};
        if (ret_child->pidfd >= 0)
            return 0;
        code = errno;
        kill(-pid, SIGKILL);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return error_set(err, code, "cannot start %s: %s", spec->argv[0], error_errno_text(code));
}

int child_start(const struct child_spec *spec, struct child *ret_child, struct gfxb_error *err)
{
    int fd[3] = {-1, spec->out_fd, spec->err_fd};
    int copy[3] = {-1, -1, -1};
    int result = 0;
    /* Where 0-2 were closed the caller's own file may have landed there. It stays the caller's. */
    for (int i = 1; i < 3 && result == 0; i++) {
        if (fd[i] < 0 || fd[i] > 2)
            continue;
        fd[i] = copy[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
        if (copy[i] < 0)
            result = error_set(err, errno, "cannot start %s: %s", spec->argv[0],
                               error_errno_text(errno));
    }
    if (result == 0)
        result = child_spawn(spec, fd, ret_child, err);
    child_close_pair(&copy[1]);
    return result;
}

/* flags: WNOHANG or 0. 1 it is reaped, 0 still running, or -errno. */
static int child_reap(struct child *child, int flags, int *ret_status)
{
    siginfo_t info = {.si_pid = 0};
    int status = 0, code;
    do {
        code = waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT | flags);
    } while (code < 0 && errno == EINTR);
    if (code < 0)
        return -errno;
    if (info.si_pid == 0)
        return 0;
    /* What it left of its group must not outlive it; before it is reaped, as the number may be
     * somebody else's after that. */
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    close(child->pidfd);
    *child = CHILD_NONE;
    if (ret_status)
        *ret_status = status;
    return 1;
}

bool child_is_stopped(const struct child *child)
{
    siginfo_t info = {.si_pid = 0};
    return child->pid > 0 &&
           waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == child->pid;
}

int child_wait(struct child *child, int ms, int *ret_status)
{
    int64_t end = clock_now_ms() + ms;
    for (;;) {
        struct pollfd poller = {.fd = child->pidfd, .events = POLLIN};
        int64_t left = ms < 0 ? -1 : end - clock_now_ms();
        int ready = poll(&poller, 1, ms < 0 ? -1 : left > 0 ? (int)left : 0);
        if (ready < 0 && errno != EINTR)
            return -errno;
        int result = child_reap(child, WNOHANG, ret_status);
        if (result != 0)
            return result;
        if (ms >= 0 && clock_now_ms() >= end)
            return 0;
    }
}

void child_end(struct child *child, int grace_ms, int *ret_status)
{
    if (child->pid <= 0)
        return;
    if (grace_ms > 0) {
        kill(child->pid, SIGTERM);
        kill(child->pid, SIGCONT); /* one that is stopped hears nothing until it goes on */
        if (child_wait(child, grace_ms, ret_status) == 1)
            return;
    }
    kill(-child->pid, SIGKILL);
    kill(child->pid, SIGKILL); /* also when it has left its group */
    if (child_reap(child, 0, ret_status) == 1)
        return;
    close(child->pidfd);
    *child = CHILD_NONE;
}

void child_status_text(int status, char *ret_text, size_t size)
{
    if (WIFEXITED(status)) {
        snprintf(ret_text, size, "exit code %d", WEXITSTATUS(status));
        return;
    }
    const char *name = sigabbrev_np(WTERMSIG(status));
    snprintf(ret_text, size, "signal %d (SIG%s)", WTERMSIG(status), name ? name : "?");
}

/* ---- child_run: start, feed, collect ---- */

struct child_streams {
    struct pollfd poller[4]; /* stdin's writing end, stdout, stderr, the process */
    const char *input;
    size_t input_left;
    size_t max_output;
    struct buf *kept[4];
};

static void child_stream_close(struct child_streams *s, int i)
{
    close(s->poller[i].fd);
    s->poller[i].fd = -1;
}

static void child_stream_write(struct child_streams *s)
{
    ssize_t n = s->input_left ? write(s->poller[0].fd, s->input, s->input_left) : 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        s->input += n;
        s->input_left -= (size_t)n;
    }
    if (n < 0 || s->input_left == 0)
        child_stream_close(s, 0);
}

static void child_stream_read(struct child_streams *s, int i)
{
    char piece[16384];
    ssize_t n = read(s->poller[i].fd, piece, sizeof(piece));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        child_stream_close(s, i);
        return;
    }
    size_t room = s->max_output - s->kept[i]->n;
    buf_add(s->kept[i], piece, (size_t)n < room ? (size_t)n : room);
}

/* Until the process has ended and its output is read; a grandchild that keeps a pipe open does not
 * keep us: 200 ms after the end we stop listening. false at the deadline. */
static bool child_streams_serve(struct child_streams *s, int64_t deadline)
{
    int64_t stop = deadline;
    bool ended = false;
    while (!ended || s->poller[1].fd >= 0 || s->poller[2].fd >= 0) {
        int64_t left = stop ? stop - clock_now_ms() : -1;
        if (stop && left <= 0)
            return ended;
        int ready = poll(s->poller, 4, (int)left);
        if (ready < 0)
            continue;
        if (s->poller[0].fd >= 0 && s->poller[0].revents)
            child_stream_write(s);
        for (int i = 1; i < 3; i++) {
            if (s->poller[i].fd >= 0 && s->poller[i].revents)
                child_stream_read(s, i);
        }
        if (s->poller[3].fd >= 0 && s->poller[3].revents) {
            ended = true;
            s->poller[3].fd = -1;
            stop = clock_now_ms() + 200;
        }
    }
    return true;
}

static int child_run_piped(const struct child_spec *spec, int pipes[3][2],
                           struct child_result *result, struct gfxb_error *err)
{
    struct child child = CHILD_NONE;
    int fd[3] = {pipes[0][0], pipes[1][1], pipes[2][1]};
    int code = child_spawn(spec, fd, &child, err);
    for (int i = 0; i < 3; i++) {
        int side = i == 0 ? 0 : 1;
        if (pipes[i][side] >= 0)
            close(pipes[i][side]);
        pipes[i][side] = -1;
    }
    if (code < 0)
        return code;
    struct child_streams s = {
        .poller = {{pipes[0][1], POLLOUT, 0},
                   {pipes[1][0], POLLIN, 0},
                   {pipes[2][0], POLLIN, 0},
                   {child.pidfd, POLLIN, 0}},
        .input = spec->input,
        .input_left = spec->input ? strlen(spec->input) : 0,
        .max_output = spec->max_output,
        .kept = {NULL, &result->out, &result->err, NULL},
    };
    for (int i = 0; i < 3; i++) {
        if (s.poller[i].fd >= 0)
            fcntl(s.poller[i].fd, F_SETFL, O_NONBLOCK);
    }
    int64_t deadline = spec->deadline_ms ? clock_now_ms() + spec->deadline_ms : 0;
    result->timed_out = !child_streams_serve(&s, deadline);
    pipes[0][1] = s.poller[0].fd;
    pipes[1][0] = s.poller[1].fd;
    pipes[2][0] = s.poller[2].fd;
    code = result->timed_out ? 1 : child_wait(&child, -1, &result->status);
    child_end(&child, 0, &result->status); /* at the deadline, or when it cannot be waited for */
    return code < 0 ? error_set(err, -code, "cannot wait for %s: %s", spec->argv[0],
                                error_errno_text(-code))
                    : 0;
}

int child_run(const struct child_spec *spec, struct child_result *ret_result,
              struct gfxb_error *err)
{
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    struct child_result result = {.out = BUF_INIT(spec->max_output),
                                  .err = BUF_INIT(spec->max_output)};
    int code = 0;
    for (int i = spec->input ? 0 : 1; i < 3 && code == 0; i++)
        code = child_pipe(pipes[i]);
    if (code < 0)
        error_set(err, -code, "cannot make a pipe: %s", error_errno_text(-code));
    else
        code = child_run_piped(spec, pipes, &result, err);
    for (int i = 0; i < 3; i++)
        child_close_pair(pipes[i]);
    if (code < 0)
        child_result_done(&result);
    else
        *ret_result = result;
    return code;
}

void child_result_done(struct child_result *result)
{
    buf_done(&result->out);
    buf_done(&result->err);
}

bool child_result_ok(const struct child_result *result)
{
    return !result->timed_out && WIFEXITED(result->status) && WEXITSTATUS(result->status) == 0;
}
