/*
 * inspect.h - the outward header of inspect/: what is really inside a file, an archive or a
 * directory. Measured from the bytes, never from a name, and with every size bounded: the bytes are
 * foreign. Nothing is run, and nothing but a temporary file is written.
 */
#ifndef INSPECT_INSPECT_H
#define INSPECT_INSPECT_H

#include "base/base.h"
#include "base/digest.h"
#include "gfx/gfx.h"

#include <stdatomic.h>

/* ---- names: a sorted set. No name is in it twice ---- */

/* More names than any package has; what a hostile file makes us keep stays bounded. */
#define NAMES_MAX 32768

struct names {
    char **name; /* owned */
    size_t n;
    size_t capacity;
};

void names_done(struct names *set); /* frees; the set is empty and usable again */
#define CLEAN_NAMES __attribute__((cleanup(names_done)))

/* Add a name, in the order of its bytes. False: it is there already. Once there are NAMES_MAX,
 * others are left out, and that is false too. */
bool names_add(struct names *set, struct str name);

/*
 * Add a gfx target to a set that is kept in the order of data/targets.tsv: length, then bytes.
 * Features are cut off ("gfx90a:sramecc+:xnack-" gives gfx90a). False: it is no target's name.
 */
bool names_add_gfx(struct names *set, struct str target);
/* Add all of another set of gfx targets. */
void names_add_all_gfx(struct names *set, const struct names *other);

/* The target's name at the beginning of text ("gfx90a", "gfx9-4-generic"), without features and
 * anything else that follows; empty when there is none. */
struct str names_gfx_prefix(struct str text);

/* ---- an inspection ---- */

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
    struct names elf; /* paths of its ELF files, code objects left out */
    struct names needed;          /* sonames that they ask for */
    struct names executables;     /* paths of programs */
    unsigned engines;             /* bit i: it holds the program of gfx_engine_at(i) */
    struct names problems;        /* "path: sentence": files that are damaged or not understood */
    struct inspection_code *code; /* owned; files with GPU code, in the order they were met */
    size_t n_code;
};

/*
 * Inspect a file or directory. tables: names of bare code objects' targets; NULL: not named.
 * digest: compute sha256, which reads the whole file. -EBADMSG, -ENOTSUP: a single file that is
 * damaged or of no known kind; in archives and directories such files go to `problems`.
 * archive-unsafe: an archive that grows beyond all measure. Memory stays small whatever the sizes.
 */
int inspect_path(const char *path, const struct gfx_tables *tables, bool digest,
                 struct inspection *ret_inspection, struct gfxb_error *err);
void inspection_done(struct inspection *inspection);

/* "elf", "bundle", "archive", "package" */
const char *inspect_kind_name(enum inspect_kind kind);

/* ---- one ELF file: what it needs from the computer ---- */

#define ELF_MACHINE_X86_64  62
#define ELF_MACHINE_AARCH64 183
#define ELF_MACHINE_AMDGPU  224

/* A symbol version such as GLIBC_2.34 or GLIBCXX_3.4.30 as one number. 0 is none. */
#define ELF_VERSION(major, minor, patch) ((major)*100000000ull + (minor)*10000ull + (patch))

struct elf_facts {
    unsigned type; /* 2 executable, 3 shared object or position-independent executable */
    unsigned machine;
    unsigned flags;      /* of an AMDGPU code object: its target and features */
    bool interpreted;    /* names a dynamic loader */
    bool pie;            /* marked as a position-independent executable */
    char *soname;        /* owned; NULL none */
    char *run_path;      /* owned: DT_RUNPATH, else DT_RPATH; NULL none */
    struct names needed; /* owned */
    uint64_t glibc;      /* ELF_VERSION: the highest that it cannot do without */
    uint64_t glibcxx;
};

/* Of the 64-bit little-endian kind that computers and GPUs of this field use, from its headers and
 * dynamic section. -ENOTSUP: another ELF file. -EBADMSG: none, or sizes that cannot be. */
int elf_read_file(int fd, struct elf_facts *ret_facts, struct gfxb_error *err);
void elf_facts_done(struct elf_facts *facts);

/* Something that can be started by itself, not a library that merely has an entry point. */
bool elf_is_program(const struct elf_facts *facts);

/* ---- names in archives: which may be written below a directory, where links may lead ---- */

#define ENTRY_PATH_MAX  2048 /* bytes: far below PATH_MAX, so that the store's path fits before */
#define ENTRY_NAME_MAX  255  /* bytes of one component */
#define ENTRY_DEPTH_MAX 64

/*
 * The entry's name as a relative path without "." components, doubled or trailing slashes, appended
 * to *ret; "" for the archive's top itself ("./"). NULL, or what is wrong with the name as the rest
 * of a sentence: "is absolute", "leads out of the archive with '..'", ...
 */
const char *entry_path_clean(struct str name, struct buf *ret);

/*
 * May a symbolic link at this clean path point to target? NULL, or what is wrong. Allowed are
 * relative targets that go up only at their beginning and never above the top: then no chain of
 * links can lead out, whatever they pass through.
 */
const char *entry_link_problem(struct str path, struct str target);

/* The name as text for a sentence: what is not printable ASCII as \xNN, long ones cut. */
void entry_path_show(struct str name, char *ret_text, size_t size);

/* ---- one pass over an archive: tar.gz, tar.zst, tar.xz, zip ---- */

/* What an archive may hold. A zero takes the default. */
struct archive_limits {
    uint64_t max_bytes;   /* of all content together; default 64 GiB */
    uint64_t max_entries; /* default 250,000 */
    uint64_t max_ratio;   /* content over archive bytes, beyond ratio_free; default 500 */
    uint64_t ratio_free;  /* content that is not measured by the ratio; default 1 GiB */
};

enum archive_entry_type { ARCHIVE_FILE, ARCHIVE_DIRECTORY, ARCHIVE_SYMLINK, ARCHIVE_HARDLINK };

/* An entry; texts are valid until the next one. */
struct archive_item {
    enum archive_entry_type type;
    const char *path;   /* clean; never "" */
    const char *target; /* of a link: a symlink's as it is, a hard link's as a clean path */
    unsigned mode;      /* permission bits */
};

/* A block of content. Between blocks there may be a hole, which reads as zeros. */
struct archive_block {
    const void *bytes;
    size_t n;
    uint64_t offset;
};

struct archive_reader;

/* fd: an open file, read from its beginning; lent. limits NULL: all defaults. cancel: not 0:
 * reading ends with "interrupted"; NULL never. */
int archive_reader_new(int fd, const struct archive_limits *limits, const atomic_int *cancel,
                       struct archive_reader **ret_reader, struct gfxb_error *err);
void archive_reader_free(struct archive_reader *reader);

/*
 * 1 and the next entry, 0 at the end. archive-unsafe: an entry that must not be written (a name
 * that leads out, a device, a set-id bit ...) or a limit reached, named in the sentence. -EBADMSG:
 * not an archive of a known kind, damaged, or empty.
 */
int archive_reader_next(struct archive_reader *reader, struct archive_item *ret_item,
                        struct gfxb_error *err);

/* 1 and the next block of the entry's content, 0 at its end. Errors as above. */
int archive_reader_block(struct archive_reader *reader, struct archive_block *ret_block,
                         struct gfxb_error *err);

/* The rest of the entry's content into an empty file, holes included. first: a block that was read
 * before; NULL none. name: of the file, for the sentence when it cannot be written. */
int archive_reader_save(struct archive_reader *reader, const struct archive_block *first, int fd,
                        const char *name, struct gfxb_error *err);

#endif
