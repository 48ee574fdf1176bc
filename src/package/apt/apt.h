/*
 * apt.h - apt with a root of our own: its own lists, archives and an empty list of installed
 * packages, but the host's proxies, credentials and keys. Needs no rights and changes nothing on
 * the system. apt verifies signatures and digests. Private to package/.
 */
#ifndef PACKAGE_APT_APT_H
#define PACKAGE_APT_APT_H

#include "package/apt/sources.h"
#include "package/package.h"

struct debian_apt {
    const struct package_env *env; /* lent */
    char *dir;                     /* absolute; the root */
    char *conf;                    /* absolute; its apt.conf */
    const char *suite;             /* lent by the distribution's row */
    const char *origin;            /* lent; what the signed Release file must call itself */
};

/* Write the root for one suite of one archive into cache_dir/<suite>. */
int debian_apt_open(const struct package_env *env, const char *cache_dir,
                    const struct debian_host *host, const struct debian_archive *archive,
                    const char *suite, struct debian_apt *ret_apt, struct gfxb_error *err);
void debian_apt_close(struct debian_apt *apt);

/* Write one file of the root. */
int debian_apt_write(const struct debian_apt *apt, const char *name, const struct buf *text,
                     struct gfxb_error *err);

/* Fetch the package index; at most once an hour. offline, package-unavailable (no such suite, not
 * signed with a known key, another distribution's), disk-full. */
int debian_apt_update(const struct debian_apt *apt, struct gfxb_error *err);

/* The next debian_apt_update fetches again, however young the index is. */
void debian_apt_forget(const struct debian_apt *apt);

/* "apt-get install --print-uris" for these blank-separated packages: one line a package. */
int debian_apt_closure(const struct debian_apt *apt, struct str packages, struct buf *ret_text,
                       struct gfxb_error *err);

/* "apt-cache show" for these packages: stanzas. */
int debian_apt_show(const struct debian_apt *apt, struct str packages, struct buf *ret_text,
                    struct gfxb_error *err);

/* Download the packages and all that they need into dir/archives, verified. total_bytes is for the
 * progress that the log gets. */
int debian_apt_download(const struct debian_apt *apt, struct str packages, uint64_t total_bytes,
                        struct gfxb_error *err);

#endif
