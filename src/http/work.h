/* work.h - something that blocks, on a thread of its own. Private to http/. */
#ifndef HTTP_WORK_H
#define HTTP_WORK_H

#include "http/loop.h"

/*
 * Run fn(context) on a new thread, then done(context) in the loop's thread. 0, or -EAGAIN when
 * there is no thread to be had; nothing is called then. The caller counts what is under way: the
 * loop must live until the last done.
 */
int work_run(struct loop *loop, void (*fn)(void *context), void (*done)(void *context),
             void *context);

#endif
