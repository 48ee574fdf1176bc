/*
 * package.h - the outward header of package/: a choice -> a directory on disk, complete or absent.
 *
 * A package lives in DATA/packages/<digest>/ with a manifest that says how its engine is started.
 * Sources (debian, github, system, file: the provider column of packages.tsv) bring it there.
 */
#ifndef PACKAGE_PACKAGE_H
#define PACKAGE_PACKAGE_H

#include "base/base.h"
#include "fetch/fetch.h"
#include "gfx/gfx.h"
#include "inspect/inspect.h"
#include "sysroot/sysroot.h"

/* How the engine inside a package is started. All paths are relative to the package directory
 * unless they begin with '/'. Owned by the struct package. */
struct package {
    char *dir;          /* absolute */
    char *id;           /* packages.tsv id */
    char *provider;     /* "debian" ... */
    char *engine;       /* its kind, a row of engines.tsv */
    char *backend;      /* "cpu", "vulkan", "rocm" */
    char *digest;       /* 64 hex digits; the directory's name */
    char *version;      /* of the engine, as its provider calls it */
    char *executable;   /* the engine's server */
    char *loader;       /* the package's own ld.so; NULL: started directly */
    char *library_path; /* colon-separated, relative entries below dir; NULL none */
    char *backend_dir;  /* where its backends are; the engine's working directory */
    char *gfx;          /* measured targets, blank-separated; NULL: not inspected */
    char *blas;         /* measured BLAS kernel targets; NULL: not inspected */
    char *facts;    /* further "key value" lines for people, as where its parts came from; NULL */
    uint64_t bytes; /* on disk */
    int64_t installed; /* seconds since 1970 */
    bool pinned;       /* `backends use` */
};

struct package_list {
    struct package *item;
    size_t n;
};

/* How this user's packages are fetched. 0 and NULL are the defaults; strings are lent. */
struct package_net {
    /* mirror, CA file, tries, cancel; its log is env's where it has none */
    struct fetch_config fetch;
    /* The user's setting of this name, as docs/fetching.md lists them (GFXBRIDGE_GITHUB ...); NULL
     * or "": not set. NULL: nothing is set. */
    const char *(*setting)(void *context, const char *name);
    /* what: the file's name. NULL none. */
    void (*progress)(void *context, const char *what, const struct fetch_progress *progress);
    /* The same of work on this computer, such as unpacking. */
    void (*working)(void *context, const char *what, const struct fetch_progress *progress);
    void *context;
};

struct package_env {
    const char *data_dir; /* DATA, an absolute path */
    const struct gfx_tables *tables;
    const struct root *root; /* the live computer */
    bool no_network;
    const struct log *log;         /* progress; NULL none */
    const struct package_net *net; /* NULL: all defaults */
    /* A described computer that packages are fetched for, instead of this one, and its glibc (""
     * unknown): they are made to run without anything that is on this one, and are not measured by
     * it. NULL: they are for this computer. */
    const struct root *other;
    const char *other_glibc;
    const char *gfx; /* exact target that it is for: decides which ROCm runtime is installed with an
                        engine that needs one, and refuses a package whose measured code does not
                        serve it. NULL: not known */
};

/* What is installed, newest first. An absent store is an empty list. Leftovers of killed installs
 * are removed on the way when nobody holds their lock. */
int package_list_new(const struct package_env *env, struct package_list *ret_list,
                     struct gfxb_error *err);
void package_list_done(struct package_list *list);
#define CLEAN_PACKAGES __attribute__((cleanup(package_list_done)))

/* Bring the package of this row here, or find it complete: when one with the row's id is installed
 * nothing is fetched. Codes: offline, no-package, package-unavailable, digest-mismatch, disk-full
 * ... Safe against kill -9 and a second process. */
int package_install(const struct package_env *env, const struct gfx_package *row,
                    struct gfxb_error *err);

/* The digest of the row's installed package that serves as env wants it. False: there is none. */
bool package_find(const struct package_env *env, const struct gfx_package *row,
                  char ret_digest[static DIGEST_HEX]);

/* A package that is on this computer's disk already. Strings are lent. */
struct package_local {
    const char *path;    /* an archive, a directory with an engine's program, or that program */
    const char *backend; /* "rocm" ...; NULL: the best that is in it */
    const char *sha256;  /* that the archive must have; NULL: any */
};

/*
 * Install it without the network. An archive is unpacked into the store; one whose sha256 a row of
 * the tables has becomes that row's package. A directory or a program stays where it is: its
 * package refers to it, under the digest of the engine's files as they are now. ret_digest: of the
 * package, which may have been there before. Codes as with package_install, and -ENOENT.
 */
int package_install_local(const struct package_env *env, const struct package_local *request,
                          char ret_digest[static DIGEST_HEX], struct gfxb_error *err);

/* The first path that the package needs and that is not below its own directory, as with an engine
 * that stays where it is or the ROCm of this computer; empty: there is none. Lent. */
struct str package_outside(const struct package *package);

/* Installed packages as one file, for a computer without the network. Replaces file as a whole or
 * not at all; env's cancel ends it. Codes: no-package (n is 0), package-unavailable (one needs what
 * is outside the store), disk-full, interrupted. */
int package_write_offline(const struct package_env *env, const struct package *const *packages,
                          size_t n, const char *file, struct gfxb_error *err);

#define PACKAGE_DIGESTS_MAX 64

struct package_digests {
    char digest[PACKAGE_DIGESTS_MAX][DIGEST_HEX];
    size_t n;
};

bool package_digests_have(const struct package_digests *digests, const char *digest);

/* Install what such a file holds, under the same digests; a package that is here already stays.
 * All of it is looked at before the first is published, and env's cancel ends it until then. Codes:
 * digest-mismatch (damaged, cut short, no bundle), archive-unsafe, no-package (for other
 * processors), disk-full, interrupted, -EBADMSG (no archive at all). */
int package_install_offline(const struct package_env *env, const char *file,
                            struct package_digests *ret_digests, struct gfxb_error *err);

/* Remove one installed package and its pin. -ENOENT: no such. */
int package_remove(const struct package_env *env, const char *digest, struct gfxb_error *err);

/* A backend of one kind of engine: "KIND:BACKEND". Lent; engine empty: the first row's. */
struct package_backend {
    struct str engine;
    const char *name;
};

/* Is it a package of this backend? */
bool package_is_of(const struct package *package, struct package_backend backend);

/* Make the newest package of this backend whose digest begins so ("": any) the backend's own
 * choice; "none" takes that choice away. -ENOENT: there is none such. */
int package_use(const struct package_env *env, struct package_backend backend, const char *prefix,
                struct gfxb_error *err);

/* Remove all packages of a backend; ret_n says how many. -ENOENT: there is none. */
int package_remove_backend(const struct package_env *env, struct package_backend backend,
                           size_t *ret_n, struct gfxb_error *err);

/*
 * Which sonames the ELF files of what was inspected at path ask for and find neither in it nor on
 * the computer. False: that is not known, as with an archive, or on a capture that does not hold
 * the computer's libraries.
 */
bool package_find_missing(const struct root *root, const char *path, const struct inspection *found,
                          struct names *ret_missing);

/*
 * The command by which a person gets a missing library, from os-release's ID and ID_LIKE:
 * "apt install libgomp1", "dnf install 'libgomp.so.1()(64bit)'", "pacman -F libgomp.so.1" ... ""
 * when nothing better than the soname is known.
 */
void package_library_remedy(const char *soname, struct str distribution, struct str like,
                            char *ret_command, size_t size);

/* Does this computer certainly have no library of this soname, in ld.so.cache or in the dynamic
 * loader's own directories? */
bool package_lacks_library(const struct root *root, const char *soname);

/* package_library_remedy for this computer, with sudo in front of what installs. */
void package_library_command(const struct root *root, const char *soname, char *ret_command,
                             size_t size);

/* Can this provider bring packages to this computer at all ("debian" needs apt)? 0, or a code and
 * the reason. No network. */
int package_provider_usable(const struct package_env *env, struct str provider,
                            struct gfxb_error *err);

#endif
