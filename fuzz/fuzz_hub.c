/*
 * fuzz_hub.c - any bytes as the hub's list of files, as its Link header and as a registry's
 * manifest: no path that leads elsewhere, no next page at another host, no digest that is none may
 * come out of them.
 */
#include "model/cache/cache.h"
#include "model/model_private.h"
#include "model/pull/pull.h"

#define BASE "https://hub.example"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tree(struct str bytes)
{
    struct hub_tree tree = {.file = NULL};
    char commit[HUB_COMMIT], name[] = "org/name";
    if (hub_info_parse(bytes, commit, name, NULL) == 0 && !hub_is_hex(commit, HUB_COMMIT - 1))
        __builtin_trap();
    if (hub_tree_add(&tree, bytes, NULL) == 0)
        hub_tree_sort(&tree);
    for (size_t i = 0; i < tree.n; i++) {
        const struct hub_file *file = &tree.file[i];
        struct pick_split split;
        if (!pick_is_safe(str_from(file->path)) || strstr(file->path, "..") == file->path ||
            strstr(file->path, "/../") || file->path[0] == '/' ||
            !hub_is_hex(file->etag, file->lfs ? 64 : 40) ||
            (file->xet[0] && !hub_is_hex(file->xet, 64)))
            __builtin_trap();
        pick_tag(str_from(file->path));
        pick_take_apart(str_from(file->path), &split);
    }
    hub_tree_done(&tree);
}

static void check_link(struct str bytes)
{
    char *next = hub_next_page(bytes, BASE);
    if (next && strncmp(next, BASE "/", sizeof(BASE)) != 0)
        __builtin_trap();
    free(next);
    char etag[DIGEST_HEX];
    hub_etag_plain(bytes, etag, sizeof(etag));
}

static void check_manifest(struct str bytes)
{
    struct ollama_manifest manifest;
    if (ollama_manifest_parse(bytes, &manifest, NULL) < 0)
        return;
    for (size_t i = 0; i < manifest.n; i++) {
        if (!hub_is_hex(manifest.layer[i].sha256, DIGEST_HEX - 1))
            __builtin_trap();
    }
    ollama_manifest_done(&manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size};
    check_tree(bytes);
    check_link(bytes);
    check_manifest(bytes);
    return 0;
}
