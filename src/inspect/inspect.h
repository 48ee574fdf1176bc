/*
 * inspect.h - what is really inside an engine package: the gfx targets that its code is for, what
 * it needs from the computer, what it can start. Measured from the bytes, never from a name. Part
 * of the outward header package/package.h.
 */
#ifndef INSPECT_INSPECT_H
#define INSPECT_INSPECT_H

#include "base/digest.h"
#include "gfx/gfx.h"
#include "inspect/names.h"

enum inspect_kind {
    INSPECT_ELF,     /* one ELF or Windows program, library or code object */
    INSPECT_BUNDLE,  /* one code-object bundle or .kpack file by itself */
    INSPECT_ARCHIVE, /* tar.gz, tar.zst, tar.xz, zip: read through, nothing is unpacked */
    INSPECT_PACKAGE, /* a directory */
};

/* GPU code in one file. */
struct inspection_code {
    char *path;          /* owned; as in the archive, or relative to the directory */
    struct names gfx;    /* owned; exact targets, features cut off, generic names kept */
    unsigned plain;      /* code-object bundles */
    unsigned compressed; /* compressed ones */
    unsigned kpack;      /* 1: the code was split off into .kpack files */
};

#define INSPECT_ENGINES_MAX 16

struct inspection {
    enum inspect_kind kind;
    char sha256[DIGEST_HEX]; /* of the file; "" for a directory, or not asked for */
    uint64_t size;           /* of the file; of a directory's regular files together */
    /*
     * Targets that the engine holds code for: of its own files where they have any,
     * since a bundled BLAS library is often built for more; else of all files together.
     */
    struct names gfx;
    struct {
        unsigned plain, compressed;
        unsigned kpack; /* libraries whose code was split off, and .kpack files */
    } bundles;
    struct {
        struct names rocblas, hipblaslt; /* targets that their kernel files serve */
    } blas;
    char glibc[16];   /* lowest version that all ELF files together can run with; "" none needed */
    char glibcxx[16]; /* likewise of libstdc++: "3.4.30" */
    bool own_libc;    /* brings its own C library: the computer's version does not matter */
    struct names needed;          /* sonames that its ELF files ask for */
    bool resolved;                /* unresolved was computed: not for archives, not on captures */
    struct names unresolved;      /* of these, what is neither inside nor on this computer */
    struct names executables;     /* paths of programs */
    unsigned engines;             /* bit i: it holds the program of gfx_engine_at(i) */
    struct names problems;        /* "path: sentence": files that are damaged or not understood */
    struct inspection_code *code; /* owned; files with GPU code, in the order they were met */
    size_t n_code;
};

struct inspect_options {
    bool digest;                     /* compute sha256: reads the whole file */
    const struct gfx_tables *tables; /* names of bare code objects' targets; NULL: not named */
    const struct root *host;         /* where unresolved libraries are looked for; NULL: nowhere,
                                      * nothing is resolved */
    const char *library_path; /* colon-separated directories below the package that its engine
                               * is started with; NULL: the manifest's, else the usual ones */
};

/*
 * Inspect a file or directory. -EBADMSG, -ENOTSUP: a single file that is damaged or of no known
 * kind; in archives and directories such files go to `problems`. GFXB_E_ARCHIVE_UNSAFE: an archive
 * that grows beyond all measure. Memory stays small whatever the sizes.
 */
int package_inspect(const char *path, const struct inspect_options *options,
                    struct inspection *ret_inspection, struct gfxb_error *err);
void package_inspection_done(struct inspection *inspection);

/* "elf", "bundle", "archive", "package" */
const char *package_inspect_kind_name(enum inspect_kind kind);

/*
 * The command by which a person gets a missing library, from os-release's ID and ID_LIKE:
 * "apt install libgomp1", "dnf install 'libgomp.so.1()(64bit)'", "pacman -F libgomp.so.1" ... ""
 * when nothing better than the soname is known.
 */
void package_library_remedy(const char *soname, struct str distribution, struct str like,
                            char *ret_command, size_t size);

#endif
