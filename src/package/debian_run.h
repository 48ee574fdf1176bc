/* debian_run.h - running apt's and dpkg's programs: absolute paths, a clean environment with the
 * caller's proxies, messages in English, a deadline. Private to package/. */
#ifndef PACKAGE_DEBIAN_RUN_H
#define PACKAGE_DEBIAN_RUN_H

#include "base/base.h"

/*
 * Run to the end. ret_out and ret_complaints (each may be NULL) get stdout and stderr. -EIO when
 * the program says no, -ETIMEDOUT at the deadline, and *err says so; else as child_run.
 */
int debian_run(const char *const *argv, int deadline_ms, struct buf *ret_out,
               struct buf *ret_complaints, struct gfxb_error *err);

/*
 * The same for a program that fills the directory `watched`: logs how much of total_bytes is there
 * every few seconds, and ends it with -ETIMEDOUT when nothing came for stall_ms. What it says to
 * stderr passes through the file complaints_path.
 */
int debian_run_watched(const char *const *argv, const char *watched, uint64_t total_bytes,
                       int stall_ms, const char *complaints_path, struct buf *ret_complaints,
                       const struct log *log, struct gfxb_error *err);

#endif
