/* fuzz_bundle.c - any bytes as a file that may hold GPU code: ELF files with bundles in them,
 * bundles by themselves, Windows programs. */
#include "inspect/inspect_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inspector in = {0};
    struct inspection found;
    struct gfxb_error err;
    struct image image = image_from_bytes(data, size);
    if (inspector_try(&in, "lib/libggml-hip.so", &image, &err) == 0) {
        inspector_finish(&in, &found);
        /* Whatever was in the bytes, a target's name is one. */
        for (size_t i = 0; i < found.gfx.n; i++) {
            if (!names_gfx_prefix(str_from(found.gfx.name[i])).n)
                __builtin_trap();
        }
        inspection_done(&found);
    }
    inspector_done(&in);
    return 0;
}
