/*
 * arrival.h - one archive from the network into a directory, unpacked once its digest is known to
 * be right. Private to package/.
 */
#ifndef PACKAGE_UNPACK_ARRIVAL_H
#define PACKAGE_UNPACK_ARRIVAL_H

#include "package/package.h"
#include "package/unpack/unpack.h"

/* What archives of this field unpack to, as a multiple of their own size, at least. */
#define ARRIVAL_GROWTH 2

struct arrival {
    const char *url;
    const char *what;      /* its name in sentences and in progress */
    const char *sha256;    /* 64 lower-case hex digits */
    uint64_t size;         /* 0 unknown */
    const char *cache;     /* an own directory where it collects, so that a later run goes on */
    const char *directory; /* existing, empty: the content comes here */
    bool strip_top;        /* leave out the one directory that everything is below */
};

/*
 * Fetch and unpack. What cannot be right (another digest, damaged, unsafe) is not kept; what is
 * merely incomplete, or complete and not yet published, stays in the cache for the next run:
 * arrival_forget. The directory holds rubbish after a failure: it belongs to a stage.
 * ret_size: bytes of the archive.
 */
int arrival_run(const struct package_env *env, const struct arrival *arrival, uint64_t *ret_size,
                struct gfxb_error *err);

/* Remove it from the cache. */
void arrival_forget(const struct arrival *arrival);

/* env's fetch settings with its log filled in. */
struct fetch_config arrival_config(const struct package_env *env);

#endif
