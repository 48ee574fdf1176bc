/*
 * kpack.h - device code that was split off from its library (ROCm's kpack): the reference that the
 * library keeps, and the table of contents of a .kpack file. Private to inspect/.
 *
 * Such a library still has a .hip_fatbin section, all zero; so "no bundle" does not mean "no code".
 */
#ifndef INSPECT_KPACK_H
#define INSPECT_KPACK_H

#include "inspect/image.h"
#include "inspect/names.h"

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
int kpack_index_find(const struct kpack_index *index, const char *kernel_name, struct names *gfx);

/* Does a file's name fit the last part of a search path, with any target in place of @GFXARCH@? */
bool kpack_name_fits(struct str pattern, struct str name);

#endif
