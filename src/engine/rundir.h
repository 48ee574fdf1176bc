/*
 * rundir.h - the private directory of one running engine: its socket, its log, its temporary files.
 * The process that made it holds a lock in it; one whose lock is free is the leftover of a killed
 * process and is removed when the next is made. Private to engine/.
 */
#ifndef ENGINE_RUNDIR_H
#define ENGINE_RUNDIR_H

#include "base/base.h"

struct rundir {
    char *path;   /* absolute; NULL when there is none */
    char *socket; /* path/e.sock: fits into sun_path */
    char *log;    /* path/log */
    int lock_fd;  /* -1 when there is none */
};

#define RUNDIR_NONE ((struct rundir){NULL, NULL, NULL, -1})

/* Below runtime_dir, or below /tmp/gfxbridge-UID (0700, checked to be ours) where the path of a
 * unix socket in it would be too long for the kernel or holds a comma. *cancel not 0 (NULL never)
 * ends waiting for others that make theirs: -GFXB_E_INTERRUPTED. */
int rundir_open(const char *runtime_dir, const atomic_int *cancel, struct rundir *ret_rundir,
                struct gfxb_error *err);

/* Removes it with everything in it. Fine on RUNDIR_NONE. */
void rundir_close(struct rundir *rundir);

#endif
