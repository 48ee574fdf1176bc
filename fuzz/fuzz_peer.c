/*
 * fuzz_peer.c - a checkout from anywhere: the readers of `table compare`, and the patch that they
 * make. The first byte chooses the peer, its files follow, each ended by a NUL byte. Anything goes
 * but a crash, a hang, an error without a sentence, or numbers that do not add up.
 */
#include "base/xalloc.h"
#include "peer/peer.h"

#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *name;
    const char *file[4];
} peers[] = {
    {"lemonade",
     {"CMakeLists.txt", "src/cpp/include/lemon/backends/trellis/trellis.h",
      "src/cpp/server/system_info.cpp"}},
    {"rocm-cli", {"crates/rocm-core/src/lib.rs"}},
    {"ollama", {"llama/server/CMakePresets.json", "discover/runner.go", "docs/gpu.mdx"}},
    {"llamacpp-rocm", {".github/workflows/build-llamacpp-rocm.yml"}},
    {"file", {"mapping.tsv"}},
};

enum { PEERS = sizeof(peers) / sizeof(peers[0]) };

static void require(bool good)
{
    if (!good)
        abort();
}

static char *write_part(const char *top, const char *name, struct str part)
{
    char *path = xfs_join(top, name);
    char *CLEAN_FREE dir = xstr_dup(fs_dir(path));
    require(fs_make_dirs(dir, 0700, NULL) == 0);
    FILE *file = fopen(path, "w");
    require(file && fwrite(part.p, 1, part.n, file) == part.n && fclose(file) == 0);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gfx_tables *tables;
    static char top[] = "/tmp/fuzz-peer-XXXXXX";
    if (!tables)
        require(gfx_tables_new(NULL, &tables, NULL) == 0 && mkdtemp(top));
    size_t which = size ? data[0] % PEERS : 0;
    struct str rest = {(const char *)data + (size > 0), size - (size > 0)}, part = STR_NONE;
    struct peer_request request = {.name = peers[which].name, .dir = top};
    char *CLEAN_FREE mapping = NULL;
    for (size_t i = 0; i < 4 && peers[which].file[i]; i++) {
        if (!str_cut(&rest, '\0', &part))
            part = STR("");
        char *path = write_part(top, peers[which].file[i], part);
        free(mapping);
        mapping = path;
    }
    if (which == PEERS - 1) {
        request.dir = NULL;
        request.file = mapping;
    }
    struct peer_result result;
    struct gfxb_error err = {.code = 0};
    size_t wrong = 0;
    int r = peer_compare(tables, &request, request.dir != NULL, &result, &err);
    require(r == 0 || (err.code == -r && err.text[0]));
    for (size_t i = 0; i < result.n; i++)
        wrong += result.mistake[i].claims;
    require(r < 0 || result.claims == result.right + result.open + wrong);
    require(r < 0 || !request.dir || (result.patch != NULL) == (wrong > 0));
    peer_result_done(&result);
    return 0;
}
