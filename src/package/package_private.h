/*
 * package_private.h - one package on its way into the store: the transaction, what every source of
 * packages is, and the parts that they share. Private to package/.
 */
#ifndef PACKAGE_PACKAGE_PRIVATE_H
#define PACKAGE_PACKAGE_PRIVATE_H

#include "base/xalloc.h"
#include "package/package.h"
#include "sysroot/sysroot.h"

/* ---- store.c: DATA/packages/<digest>/, complete or absent, and DATA/cache/<source>/, what a
 * source may need again soon.
 *
 * A package is built in a stage, a directory beside the final ones that its maker holds a lock on:
 * a stage that nobody holds is the leftover of a killed process and is removed when the store is
 * next listed. ---- */

#define STORE_STAGE_PREFIX ".stage-"

struct store_stage {
    char *dir;   /* absolute; NULL when there is none */
    int lock_fd; /* -1 when there is none */
};

#define STORE_STAGE_NONE ((struct store_stage){NULL, -1})

/* Is there room in DATA for a package of this many bytes (0: not known yet)? disk-full when fewer
 * are free there; package-unavailable when programs cannot be started from it (a noexec mount). */
int store_check_place(const struct package_env *env, uint64_t need_bytes, struct gfxb_error *err);

/* A new empty directory in the store, after store_check_place. */
int store_stage_new(const struct package_env *env, uint64_t need_bytes,
                    struct store_stage *ret_stage, struct gfxb_error *err);

/* Removes what was not published. Fine on STORE_STAGE_NONE and after store_publish. */
void store_stage_done(struct store_stage *stage);

/*
 * Make the stage the package with this digest: fill in package->bytes and ->installed, write the
 * manifest, force everything to disk, rename. When another process was first its package stays and
 * this is no error.
 */
int store_publish(const struct package_env *env, struct store_stage *stage, struct package *package,
                  struct gfxb_error *err);

/* Take a package's directory out of the store at once, then remove it. */
int store_discard(const struct package_env *env, const char *dir, struct gfxb_error *err);

/* Remove a stage when its maker is gone. */
void store_sweep_stage(const char *dir);

/*
 * The source's cache directory, made when absent, for this process alone until *ret_lock_fd is
 * closed: waits, and says so, while another process has it; env's cancel ends that. It is removed
 * with everything in it when it was not used for a day.
 */
int store_cache_open(const struct package_env *env, const char *source, char **ret_dir,
                     int *ret_lock_fd, struct gfxb_error *err);

/* Remove a source's cache that nobody has open and nobody used for a day. */
void store_sweep_cache(const struct package_env *env, const char *source);

/* ---- manifest.c: package.manifest, the text file that makes a directory a package: first line
 * "gfxbridge-package 1", then one "key value" a line. Unknown keys are facts, so that an older
 * gfxbridge reads a newer one's packages ---- */

#define MANIFEST_NAME "package.manifest"

/* Write dir/package.manifest. -EINVAL when a value holds a control character or a required one is
 * missing. */
int manifest_write(const char *dir, const struct package *package, struct gfxb_error *err);

/* Read it back; ret_package is owned by the caller (manifest_package_done). dir is set from dir,
 * pinned is false. -ENOENT: no manifest; -EBADMSG: not one that this program understands. */
int manifest_read(const char *dir, struct package *ret_package);
/* Does this result of manifest_read say nothing about the package, but that we could not look? */
bool manifest_is_unknown(int r);

void manifest_package_done(struct package *package);
#define CLEAN_PACKAGE __attribute__((cleanup(manifest_package_done)))

/* ---- install.c: the transaction. One source decides and brings; everything else is done once, for
 * all of them: the lock, the stage, looking at what came, digest, publishing ---- */

struct install {
    const struct package_env *env; /* lent, as the next three */
    const struct package_source *source;
    const struct gfx_package *row;     /* NULL: a local package that no row knows */
    const struct package_local *local; /* NULL: a row's package */
    void *job;                         /* the source's own */
    char *cache;                       /* the source's directory; NULL: it has none */
    int cache_lock;                    /* -1: none */
    struct store_stage stage;
    struct package package; /* what it becomes */
    struct buf identity;    /* text whose sha256 becomes the package's digest */
    struct buf facts;       /* lines for its manifest: where its parts came from */

    /* What decide and bring find out. */
    struct str what;            /* the package's name for people; lent */
    struct str engine, backend; /* that it is to be; empty: the best that is in it. Lent */
    uint64_t need;              /* bytes that it takes on the store's disk; 0 not known */
    char *library_path;         /* of the ROCm runtime that goes with it; owned; NULL none */
    bool is_in_place;           /* its files stay where they are; paths in package are absolute */
    bool was_brought;           /* bring has succeeded */
};

/* One publisher of packages: one file, one row of package_sources. */
struct package_source {
    const char *name;   /* the provider column of packages.tsv; the name of its cache */
    bool needs_network; /* refused with "offline" when the user said --no-network */
    bool has_cache;
    size_t job_size; /* of in->job, which is zero at first */
    /* Can it bring anything to this computer at all? No network. NULL: always. */
    int (*usable)(const struct package_env *env, struct gfxb_error *err);
    /* Does this package, which has the row's id, serve as env wants it? NULL: always. */
    bool (*serves)(const struct package_env *env, const struct gfx_package *row,
                   const struct package *package);
    /* Which parts must come, from where, with which digest? Fills what, need. */
    int (*decide)(struct install *in, struct gfxb_error *err);
    /* Bring them into the stage; fill identity and facts. Also package's version where the row does
     * not say it, and how the engine is started where contents_find cannot tell. */
    int (*bring)(struct install *in, struct gfxb_error *err);
    /* It failed with r: true when deciding and bringing once more may help. NULL: never. */
    bool (*again)(struct install *in, int r);
    /* It ended with r, wherever: keep in the cache what a later one needs, free what job owns. */
    void (*finish)(struct install *in, int r);
};

extern const struct package_source source_debian, source_file, source_github, source_system;
/* All of them, NULL-terminated. */
extern const struct package_source *const package_sources[];

/* Run the transaction. env, source and row or local are set; the rest is empty. ret_digest: of the
 * package, which may have been there before. */
int install_run(struct install *in, char ret_digest[static DIGEST_HEX], struct gfxb_error *err);

/* Unpack an open archive into the stage's directory `below`. A damaged one is package-unavailable:
 * the file is at fault, not the computer. */
int install_unpack(struct install *in, int fd, const char *name, const char *below,
                   struct gfxb_error *err);

/* A row of the sources "file" and "system", whose `locate` is a path. */
int local_install_row(const struct package_env *env, const struct gfx_package *row,
                      struct gfxb_error *err);

/* What ends work early when it is not 0; NULL: nothing does. */
const atomic_int *package_cancel(const struct package_env *env);
/* 0, or -GFXB_E_INTERRUPTED. */
int package_check_cancel(const struct package_env *env, struct gfxb_error *err);
/* How far it is, at the speed since it began (clock_now_ms); for net's progress and working. */
struct fetch_progress package_progress(uint64_t bytes, uint64_t total, int64_t began);
/* Tells net's working, where there is one. */
void package_tell(const struct package_env *env, const char *what, uint64_t bytes, uint64_t total,
                  int64_t began);
/* The user's setting of this name; NULL: not set. Lent. */
const char *package_setting(const struct package_env *env, const char *name);
/* env's fetch settings with its log filled in. */
struct fetch_config package_fetch_config(const struct package_env *env);
/* The glibc of the computer that packages are for; NULL: not known. */
const char *package_glibc(const struct package_env *env);
/* Is a version ("2.43-7") lower than another such as "2.36"? Only the first two numbers count;
 * false when either cannot be read. */
bool package_version_below(const char *version, const char *other);
/* Is it a sha256 as everybody here writes it: 64 lower-case hex digits? */
bool package_is_digest(struct str text);
/* DATA is an absolute path, or -EINVAL. */
int package_check_data_dir(const struct package_env *env, struct gfxb_error *err);

/* ---- contents.c: what a stage holds ---- */

/* The C library's loader: an engine that brings one beside its libc.so.6 is started with it. */
#if defined(__aarch64__)
#define CONTENTS_LOADER  "ld-linux-aarch64.so.1"
#define CONTENTS_MACHINE ELF_MACHINE_AARCH64
#else
#define CONTENTS_LOADER  "ld-linux-x86-64.so.2"
#define CONTENTS_MACHINE ELF_MACHINE_X86_64
#endif

/*
 * Find the engine in the stage: engine, backend, executable, loader, backend_dir and library_path
 * of in->package. package-unavailable: no program of a known engine, no such backend in it.
 */
int contents_find(struct install *in, struct gfxb_error *err);

/*
 * Measure it, whatever its source said: gfx and blas of in->package where the backend needs code
 * objects (rocm); others stay "not inspected". Damaged files are told to the log. Codes:
 * glibc-too-old, gfx-not-in-package and blas-kernels-missing (nothing in it serves env->gfx),
 * library-missing.
 */
int contents_check(struct install *in, struct gfxb_error *err);

/* 0, or gfx-not-in-package when no target of the blank-separated list serves env->gfx. An unknown
 * env->gfx is served by everything. what: whose list it is, for the sentence. */
int contents_check_gfx(const struct package_env *env, struct str what, struct str list,
                       struct gfxb_error *err);

/* ---- libraries.c ---- */

/*
 * library-missing when one of these ELF files, or a library of the package that they lead to, asks
 * for what is neither in the package nor on the computer; nothing is said where the computer's
 * libraries are not known (a capture). dir: the package; roots: the program and its backends,
 * relative to dir; library_path: as in struct package; what: the package's name for people.
 */
int libraries_check(const struct package_env *env, const char *dir, const struct names *roots,
                    struct str library_path, struct str what, struct gfxb_error *err);

/* KEY=value or KEY="value" of os-release's text; empty: it has none. A view. */
struct str package_os_value(struct str text, const char *key);

/* The path of a soname's library for this ELF machine in the bytes of /etc/ld.so.cache; empty when
 * the cache has none, or is none. A view into the bytes, NUL-terminated there. */
struct str ldcache_find(struct str cache, unsigned machine, struct str soname);

/* ---- runtime.c: the ROCm that an engine without one runs with ---- */

/* Where it is in a package. */
#define RUNTIME_DIR "rocm"

/* The row of the runtime archive for env->gfx on this row's system. no-package: there is none, or
 * the target is not known. */
int runtime_choose(const struct package_env *env, const struct gfx_package *engine,
                   const struct gfx_package **ret_row, struct gfxb_error *err);

/* Its URL, with the user's base. To be freed by the caller. */
char *runtime_url(const struct package_env *env, const struct gfx_package *row);

/* Make the unpacked runtime in dir/RUNTIME_DIR what an engine needs: leave out headers and the
 * like; *ret_library_path gets its library directories, relative to dir. Owned by the caller. */
int runtime_settle(const char *dir, char **ret_library_path, struct gfxb_error *err);

/*
 * A ROCm of this computer that has what these engine files (a directory or one file) ask for, and
 * BLAS kernels for env->gfx where that is known: its library directories, absolute; owned by the
 * caller. The newest first; NULL: none, as with packages for another computer.
 */
char *runtime_on_computer(const struct package_env *env, const char *path);

/* ---- github_api.c: what a release says about its files ---- */

/* https://HOST/OWNER/REPO/releases/download/TAG/NAME, taken apart: views into the URL. */
struct github_asset {
    struct str scheme; /* "https:" */
    struct str host;
    struct str owner;
    struct str repository;
    struct str tag;
    struct str name;
};

/* False: not of this form. */
bool github_asset_parse(struct str url, struct github_asset *ret_asset);

/* The digest and size (0 unknown) of exactly this file in a release's JSON. package-unavailable:
 * the release does not list it, or this is no such JSON; digest-missing: listed without a sha256.
 */
int github_asset_find(struct str json, const struct github_asset *asset,
                      char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                      struct gfxb_error *err);

/* The same, asked from the API; with the user's token first where there is one. */
int github_asset_look_up(const struct package_env *env, const struct github_asset *asset,
                         char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                         struct gfxb_error *err);

#endif
