/* fuzz_kpack.c - any bytes as a .kpack file, and as the reference to one that a library holds. */
#include "inspect/inspect_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kpack_index index = {0};
    struct kpack_ref ref;
    struct names gfx = {0};
    struct image image = image_from_bytes(data, size);
    const char *kernel = "lib/librocblas.so.5";
    kpack_index_add(&index, &image, NULL);
    bool referred = kpack_ref_read(&image, (struct extent){0, size}, &ref, NULL) == 0;
    kpack_index_find(&index, referred ? ref.kernel_name : kernel, &gfx);
    if (gfx.n > index.gfx.n)
        __builtin_trap();
    if (referred) {
        for (size_t i = 0; i < ref.search.n; i++)
            kpack_name_fits(str_from(ref.search.name[i]), STR("blas_lib_gfx1100.kpack"));
        kpack_ref_done(&ref);
    }
    names_done(&gfx);
    kpack_index_done(&index);
    return 0;
}
