/* run.h - running apt's and dpkg's programs: absolute paths, a clean environment with the
 * caller's proxies, messages in English, a deadline. Private to package/. */
#ifndef PACKAGE_APT_RUN_H
#define PACKAGE_APT_RUN_H

#include "package/package.h"

/*
 * Run to the end. ret_out and ret_complaints (each may be NULL) get stdout and stderr. -EIO when
 * the program says no, -ETIMEDOUT at the deadline, and *err says so; else as child_run.
 */
int debian_run(const char *const *argv, int deadline_ms, struct buf *ret_out,
               struct buf *ret_complaints, struct gfxb_error *err);

/* A program that brings something from the network into a directory. */
struct debian_watch {
    const struct package_env *env; /* its progress, cancel and log */
    const char *what;              /* for people: what comes */
    const char *dir;               /* where it collects */
    uint64_t total_bytes;          /* that dir will hold; 0 not known: no progress is told */
    int stall_ms;                  /* ended with -ETIMEDOUT when nothing came for so long */
};

/* The same for such a program. Also -GFXB_E_INTERRUPTED, within a second of *cancel. */
int debian_run_watched(const char *const *argv, const struct debian_watch *watch,
                       struct buf *ret_complaints, struct gfxb_error *err);

#endif
