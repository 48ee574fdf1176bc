/*
 * store.h - DATA/packages/<digest>/, complete or absent, and DATA/cache/<provider>/, what a
 * provider may need again soon. For the providers of this room. Private to package/.
 *
 * A package is built in a stage, a directory beside the final ones that its maker holds a lock on:
 * a stage that nobody holds is the leftover of a killed process and is removed when the store is
 * next listed.
 */
#ifndef PACKAGE_STORE_H
#define PACKAGE_STORE_H

#include "package/package.h"

#define STORE_STAGE_PREFIX ".stage-"

struct store_stage {
    char *dir;   /* absolute; NULL when there is none */
    int lock_fd; /* -1 when there is none */
};

#define STORE_STAGE_NONE ((struct store_stage){NULL, -1})

/* Is DATA a place for a package of so many bytes (0: not known yet)? disk-full when fewer are free
 * there; package-unavailable when programs cannot be started from it (a noexec mount). */
int store_check_place(const struct package_env *env, uint64_t need_bytes, struct gfxb_error *err);

/* A new empty directory in the store, after store_check_place. */
int store_stage_new(const struct package_env *env, uint64_t need_bytes,
                    struct store_stage *ret_stage, struct gfxb_error *err);

/* Removes what was not published. Fine on STORE_STAGE_NONE and after store_publish. */
void store_stage_done(struct store_stage *stage);

/*
 * Make the stage the package with this digest: fill in package->bytes and ->installed, write the
 * manifest, force everything to disk, rename. When another process was first its package stays and
 * this is no error. facts: see manifest_write.
 */
int store_publish(const struct package_env *env, struct store_stage *stage, struct package *package,
                  struct str facts, struct gfxb_error *err);

/* Take a package's directory out of the store at once, then remove it. */
int store_discard(const struct package_env *env, const char *dir, struct gfxb_error *err);

/* Remove a stage when its maker is gone. */
void store_sweep_stage(const char *dir);

/* Is there a complete package of this packages.tsv id? */
bool store_has_id(const struct package_env *env, struct str id);

/*
 * The provider's cache directory, made when absent, for this process alone until *ret_lock_fd is
 * closed: waits, and says so, while another process has it; env's cancel ends that. It is removed
 * with everything in it when it was not used for a day.
 */
int store_cache_open(const struct package_env *env, const char *provider, char **ret_dir,
                     int *ret_lock_fd, struct gfxb_error *err);

/* Remove a provider's cache that nobody has open and nobody used for a day. */
void store_sweep_cache(const struct package_env *env, const char *provider);

#endif
