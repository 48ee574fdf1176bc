/*
 * inspector.h - an inspection while it grows, a file at a time, whether the files lie in a
 * directory or come out of an archive. Private to inspect/.
 */
#ifndef INSPECT_INSPECTOR_H
#define INSPECT_INSPECTOR_H

#include "inspect/blas.h"
#include "inspect/elf_file.h"
#include "inspect/inspect.h"
#include "inspect/kpack.h"

/* An ELF file seen, for looking up what it needs once all are known. */
struct inspector_elf {
    char *path;             /* owned */
    struct elf_facts facts; /* owned */
};

/* A library whose code was split off. */
struct inspector_ref {
    size_t code;          /* place in the inspection's code list */
    struct kpack_ref ref; /* owned */
};

struct inspector {
    const struct inspect_options *options; /* lent */
    struct inspection found;               /* owned until inspector_finish hands it over */
    struct names engine_gfx;               /* of the engine's own files */
    bool engine_code;                      /* such a file with GPU code was seen */
    struct names all_gfx;                  /* of all files */
    struct elf_version glibc, glibcxx;
    struct blas_targets blas[BLAS_LIBRARIES];
    struct kpack_index kpack;
    struct inspector_elf *elf;
    size_t n_elf;
    struct inspector_ref *ref;
    size_t n_refs;
};

void inspector_done(struct inspector *in);

/* Could content that begins with these bytes matter? */
bool inspector_wants(const unsigned char *bytes, size_t n);

/* True when the path alone says all there is to know: BLAS kernel files. They are noted. *ret is
 * 0 or -ENOMEM. */
bool inspector_note_path(struct inspector *in, const char *path, int *ret);

/* A file's content. -EBADMSG, -ENOTSUP with a sentence when it is damaged. */
int inspector_add(struct inspector *in, const char *path, const struct image *image,
                  struct gfxb_error *err);

/* The same, but a damaged file becomes a line in `problems`. */
int inspector_try(struct inspector *in, const char *path, const struct image *image,
                  struct gfxb_error *err);

/* Draw the conclusions that need all files. directory: of the package or of the single file, for
 * resolving what is needed; NULL: nothing is resolved. The inspection is handed over. */
int inspector_finish(struct inspector *in, const char *directory, struct inspection *ret_inspection,
                     struct gfxb_error *err);

int inspector_nomem(struct gfxb_error *err);

#endif
