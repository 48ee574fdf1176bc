/*
 * inspect_private.h - the readers of single formats, and an inspection while it grows. Private to
 * inspect/.
 */
#ifndef INSPECT_INSPECT_PRIVATE_H
#define INSPECT_INSPECT_PRIVATE_H

#include "base/xalloc.h"
#include "inspect/inspect.h"

/* ---- image.c: bytes of a file at any offset, by pread: nothing is mapped, so that a file of
 * gigabytes costs no memory and one that shrinks while it is read costs no SIGBUS ---- */

struct image {
    const unsigned char *bytes; /* a copy in memory instead of a file; NULL: fd. Lent. */
    int fd;                     /* lent */
    uint64_t size;
};

/* Part of an image. */
struct extent {
    uint64_t offset;
    uint64_t size;
};

/* -EINVAL when fd is not a regular file. */
int image_from_fd(int fd, struct image *ret_image);
struct image image_from_bytes(const void *bytes, size_t n);

/* Exactly n bytes; -ENODATA when they are not all inside the file, else -errno. */
int image_read(const struct image *image, uint64_t offset, void *ret_bytes, size_t n);

/* Up to n bytes: how many there were goes into *ret_n. */
int image_read_some(const struct image *image, uint64_t offset, void *ret_bytes, size_t n,
                    size_t *ret_n);

/* The same from the beginning of a part, and not beyond its end. */
int image_read_head(const struct image *image, struct extent where, void *ret_bytes, size_t n,
                    size_t *ret_n);

bool image_holds(const struct image *image, struct extent where);

/* Little-endian numbers. */
uint16_t image_u16(const unsigned char *p);
uint32_t image_u32(const unsigned char *p);
uint64_t image_u64(const unsigned char *p);

/* ---- elf_file.c ---- */

bool elf_begins(const unsigned char *bytes, size_t n);
/* And is it of the kind that elf_read reads? */
bool elf_is_known(const unsigned char *bytes, size_t n);

/* As elf_read_file. */
int elf_read(const struct image *image, struct elf_facts *ret_facts, struct gfxb_error *err);

/* The sections of this name that have bytes in the file, the first `max` of them. A file without
 * section headers has none. */
int elf_find_sections(const struct image *image, const char *name, struct extent *ret_where,
                      size_t max, size_t *ret_n, struct gfxb_error *err);

/* "2.34", "3.4.30"; "" for none. */
void elf_version_text(uint64_t version, char *ret_text, size_t size);

/* ---- pe.c: Windows programs and libraries: only where their device code is ---- */

bool pe_begins(const unsigned char *bytes, size_t n);

/* The section that HIP's compiler puts code-object bundles into; size 0: there is none.
 * *ret_program: a program, not a DLL. -EBADMSG when it is not a PE file or cut off. */
int pe_read(const struct image *image, struct extent *ret_fatbin, bool *ret_program);

/* ---- offload_bundle.c: code-object bundles, plain and compressed (CCOB versions 1 to 3, zlib or
 * zstd), as clang-offload-bundler writes them and as they lie one after the other in a .hip_fatbin
 * section. Only headers and entry tables are read, compressed ones decompressed up to the table's
 * end ---- */

/* Does a bundle begin with these n bytes? */
bool bundle_begins(const unsigned char *bytes, size_t n);

/*
 * Add what is in all bundles of this part of the image to *code. Space between bundles is passed
 * over in steps of 4096, their alignment. -EBADMSG when a bundle contradicts itself or its
 * surroundings, -ENOTSUP for a version or method that is not known.
 */
int bundle_walk(const struct image *image, struct extent where, struct inspection_code *code,
                struct gfxb_error *err);

/* The target in a bundle entry's id ("hipv4-amdgcn-amd-amdhsa--gfx90a:xnack-" gives
 * "gfx90a:xnack-"); empty for the host and for SPIR-V. */
struct str bundle_entry_target(struct str id);

/* ---- msgpack.c: a reader of MessagePack bytes, an item at a time, without recursion: nesting
 * costs nothing, and a count is believed only as far as the bytes reach ---- */

struct msgpack {
    const unsigned char *p; /* what is left */
    size_t n;
};

enum msgpack_type {
    MSGPACK_UINT,  /* value: the number */
    MSGPACK_TEXT,  /* text */
    MSGPACK_ARRAY, /* value: how many items follow */
    MSGPACK_MAP,   /* value: how many pairs of a key and an item follow */
    MSGPACK_OTHER, /* nil, booleans, negative and floating numbers, binary data, extensions */
};

struct msgpack_item {
    enum msgpack_type type;
    uint64_t value;
    struct str text; /* a view into the bytes */
};

/* The next item; of an array or map only its beginning. -EBADMSG when it is of another type, and at
 * the end of the bytes. */
int msgpack_expect(struct msgpack *m, enum msgpack_type type, struct msgpack_item *ret_item);

/* Pass over one whole item with all that is in it. */
int msgpack_skip(struct msgpack *m);

/* ---- kpack.c: device code that was split off from its library (ROCm's kpack): the reference that
 * the library keeps, and the table of contents of a .kpack file. Such a library still has a
 * .hip_fatbin section, all zero; so "no bundle" does not mean "no code" ---- */

/* What section .rocm_kpack_ref says. Owned: kpack_ref_done. */
struct kpack_ref {
    char *kernel_name;   /* the library's name in tables of contents: "lib/librocblas.so.5" */
    struct names search; /* paths relative to the library's directory; @GFXARCH@ is the target */
};

int kpack_ref_read(const struct image *image, struct extent section, struct kpack_ref *ret_ref,
                   struct gfxb_error *err);
void kpack_ref_done(struct kpack_ref *ref);

/* What .kpack files hold: "kernel name", a tab, "target with its features". */
struct kpack_index {
    struct names code;
    struct names gfx; /* all targets, kept with names_add_gfx */
};

bool kpack_begins(const unsigned char *bytes, size_t n);

/* Add what a .kpack file holds. */
int kpack_index_add(struct kpack_index *index, const struct image *image, struct gfxb_error *err);
void kpack_index_done(struct kpack_index *index);

/* Add the targets for which the index holds this library's code to a set of gfx targets. */
void kpack_index_find(const struct kpack_index *index, const char *kernel_name, struct names *gfx);

/* Does a file's name fit the last part of a search path, with any target in place of @GFXARCH@? */
bool kpack_name_fits(struct str pattern, struct str name);

/* ---- blas.c: which file of a package is a kernel file of rocBLAS or hipBLASLt, and for which gfx
 * target. An engine has code for a target only where its BLAS libraries have kernels too: without
 * them rocBLAS ends the process ---- */

enum blas_library { BLAS_NONE, BLAS_ROCBLAS, BLAS_HIPBLASLT, BLAS_LIBRARIES };

struct blas_file {
    enum blas_library library; /* BLAS_NONE: not below a kernel directory of either */
    struct str gfx;            /* empty: a file for all targets */
    bool index;                /* the file by which the library finds a target's kernels */
};

/* Judge a path inside a package by its names alone. */
struct blas_file blas_classify(struct str path);

/* ---- inspector.c: an inspection while it grows, a file at a time ---- */

/* A library whose code was split off. */
struct inspector_ref {
    size_t code;          /* place in the inspection's code list */
    struct kpack_ref ref; /* owned */
};

struct inspector {
    const struct gfx_tables *tables; /* lent; NULL: none */
    struct inspection found;         /* owned until inspector_finish hands it over */
    uint64_t glibc, glibcxx;         /* ELF_VERSION */
    struct {
        struct names kernels; /* targets that there are kernels for */
        struct names indexed; /* targets whose kernels the library can find */
    } blas[BLAS_LIBRARIES];
    struct kpack_index kpack;
    struct inspector_ref *ref;
    size_t n_refs;
};

void inspector_done(struct inspector *in);

/* Could content that begins with these bytes matter? */
bool inspector_wants(const unsigned char *bytes, size_t n);

/* True when the path alone says all there is to know: BLAS kernel files. They are noted. */
bool inspector_note_path(struct inspector *in, const char *path);

/* A file's content. -EBADMSG, -ENOTSUP with a sentence when it is damaged. */
int inspector_add(struct inspector *in, const char *path, const struct image *image,
                  struct gfxb_error *err);

/* The same, but a damaged file becomes a line in `problems`. */
int inspector_try(struct inspector *in, const char *path, const struct image *image,
                  struct gfxb_error *err);

/* Draw the conclusions that need all files. The inspection is handed over. */
void inspector_finish(struct inspector *in, struct inspection *ret_inspection);

#endif
