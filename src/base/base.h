/*
 * base.h - the outward header of base/: nothing here knows about GPUs.
 *
 * Errors, text, files below a root, tables, child processes, log. libc alone. Digests (libcrypto)
 * are in base/digest.h, which the core does not use.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <gfxbridge.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/table.h"
#include "base/utf8.h"

/* The struct that holds this member. */
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#include "base/banned.h"

#endif
