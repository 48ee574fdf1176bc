/* fuzz_github_api.c - any bytes as the release API's answer: no digest that is none may come out of
 * them. */
#include "package/package_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct github_asset asset;
    struct gfxb_error err;
    char sha256[DIGEST_HEX];
    uint64_t bytes;
    if (!github_asset_parse(STR("https://h/o/r/releases/download/t/a.zip"), &asset))
        __builtin_trap();
    if (github_asset_find((struct str){(const char *)data, size}, &asset, sha256, &bytes, &err) ==
            0 &&
        (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64))
        __builtin_trap();
    return 0;
}
