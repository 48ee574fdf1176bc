/*
 * child.h - child processes: argv only, no shell; all descriptors but 0-2 closed; a clean
 * environment; its own process group; SIGKILL when our process dies; a deadline.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include "base/buf.h"
#include "base/error.h"
#include <sys/types.h>

struct child_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is a path, or a name looked up in PATH */
    const char *const *env;  /* NULL-terminated "NAME=value"; NULL is the empty environment */
    const char *cwd;         /* NULL: ours */
    const char *input;       /* for child_run: bytes for stdin; NULL is /dev/null */
    int out_fd;              /* for child_start: where stdout goes; -1 is /dev/null */
    int err_fd;              /* for child_start: where stderr goes; -1 is /dev/null */
    int deadline_ms;         /* for child_run: SIGKILL for the group after it; 0 none */
    bool idle;               /* runs only while nobody else wants the processors */
    size_t max_output;       /* for child_run: bytes kept of each stream; the rest is read away */
    /* Runs in the child after fork and before exec, async-signal-safe calls only; NULL none. A
     * negative errno ends the child, and starting it fails with it. For sandboxing. */
    int (*before_exec)(void *context);
    void *context;
};

struct child_result {
    int status;     /* as waitpid gives it */
    bool timed_out; /* ended by us at the deadline */
    struct buf out; /* owned: child_result_done */
    struct buf err;
};

/* Run to the end and collect. 0 even when the child failed: read status. Negative when it could not
 * be started (-ENOENT: no such program). */
int child_run(const struct child_spec *spec, struct child_result *ret_result,
              struct gfxb_error *err);
void child_result_done(struct child_result *result);
/* Exit code 0 and not timed out? */
bool child_result_ok(const struct child_result *result);

/* A running child. pid is -1 when there is none. */
struct child {
    pid_t pid;
    int pidfd; /* readable when it has ended */
};

#define CHILD_NONE ((struct child){-1, -1})

int child_start(const struct child_spec *spec, struct child *ret_child, struct gfxb_error *err);

/* Wait up to ms (-1: no limit). 1 it ended and *ret_status is filled, 0 still running, or -errno.
 */
int child_wait(struct child *child, int ms, int *ret_status);

/* Is it stopped by a signal now? */
bool child_is_stopped(const struct child *child);

/* SIGTERM, up to grace_ms for an orderly end, then SIGKILL to its whole group; reaps it. Sets
 * *child to CHILD_NONE. Fine on CHILD_NONE. ret_status may be NULL; it stays as it is when somebody
 * else has reaped the child. */
void child_end(struct child *child, int grace_ms, int *ret_status);

/* "exit code 1", "signal 9 (SIGKILL)" */
void child_status_text(int status, char *ret_text, size_t size);

/*
 * First thing in main: where stdin, stdout or stderr is closed, no file that is opened later may
 * take its number and get what is meant for it. /dev/null takes it, opened the wrong way round, so
 * that reading and writing still fail with EBADF. 0 or -errno.
 */
int child_open_standard_fds(void);

#endif
