/*
 * offload_bundle.h - code-object bundles: which gfx targets they hold code for. Plain bundles and
 * compressed ones (CCOB versions 1 to 3, zlib or zstd) as clang-offload-bundler writes them and as
 * they lie one after the other in a .hip_fatbin section. Only headers and entry tables are read,
 * compressed ones decompressed up to the table's end. Private to inspect/.
 */
#ifndef INSPECT_OFFLOAD_BUNDLE_H
#define INSPECT_OFFLOAD_BUNDLE_H

#include "inspect/image.h"
#include "inspect/names.h"

struct bundle_facts {
    struct names gfx; /* owned */
    unsigned plain;   /* bundles found */
    unsigned compressed;
};

void bundle_facts_done(struct bundle_facts *facts);

/* Does a bundle begin with these n bytes? */
bool bundle_begins(const unsigned char *bytes, size_t n);

/*
 * Add what is in all bundles of this part of the image to *facts. Space between bundles is passed
 * over in steps of 4096, their alignment. -EBADMSG when a bundle contradicts itself or its
 * surroundings, -ENOTSUP for a version or method that is not known.
 */
int bundle_walk(const struct image *image, struct extent where, struct bundle_facts *facts,
                struct gfxb_error *err);

/* The target in a bundle entry's id ("hipv4-amdgcn-amd-amdhsa--gfx90a:xnack-" gives
 * "gfx90a:xnack-"); empty for the host and for SPIR-V. */
struct str bundle_entry_target(struct str id);

#endif
