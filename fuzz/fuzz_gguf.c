/*
 * fuzz_gguf.c - the header of a GGUF file, what it means, the plan's arithmetic with it, and the
 * words a user may type for a model. Anything goes but a crash, a hang or an error without a
 * sentence. The first byte chooses: 0 a word, others a file whose header may be cut anywhere.
 */
#include "model/model.h"

#include <errno.h>

static void require(bool good)
{
    if (!good)
        abort();
}

static void check_word(struct str bytes)
{
    char *text = str_dup(bytes);
    struct model_name name;
    struct gfxb_error err = {0};
    if (!text || strlen(text) != bytes.n) {
        free(text);
        return;
    }
    int result = model_name_parse(text, &name, &err);
    require(result == 0 || err.text[0] != '\0');
    if (result == 0 && name.kind == MODEL_NAME_HUB)
        require(strchr(name.repository, '/') && !strstr(name.file, ".."));
    (void)model_name_is_plain(text);
    free(text);
}

/* Accepted sizes lead to finite sums. */
static void check_fit(const struct gguf *gguf)
{
    struct fit_model shape;
    struct fit_choice choice;
    struct gfxb_error err = {0};
    const struct fit_memory memory = {.gpu = UINT64_C(16) << 30, .host = UINT64_C(32) << 30};
    if (model_shape_new(gguf, 1, &shape, &err) < 0) {
        require(err.text[0] != '\0');
        return;
    }
    bool fits = fit_choose(&shape, &(struct fit_use){.slots = 2}, &memory, &choice);
    require(!fits || choice.need.gpu.total <= memory.gpu);
    model_shape_done(&shape);
}

static void check_launch(const struct gguf *gguf)
{
    struct model_launch launch;
    require(model_launch_new(gguf, NULL, 0, NULL, &launch, NULL) == 0);
    model_launch_done(&launch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf gguf;
    struct gfxb_error err = {0};
    if (size == 0)
        return 0;
    if (data[0] == 0) {
        check_word((struct str){(const char *)data + 1, size - 1});
        return 0;
    }
    /* The weights of a real file lie behind what is here. */
    uint64_t whole = size - 1 + ((uint64_t)(data[0] & 0x7f) << (data[0] & 0x80 ? 24 : 4));
    int result = gguf_read_bytes("file", data + 1, size - 1, whole, &gguf, &err);
    require(result == 0 || result == -EAGAIN || err.text[0] != '\0');
    if (result < 0)
        return 0;
    if (gguf.kind == GGUF_MODEL && gguf.layer) {
        check_fit(&gguf);
        check_launch(&gguf);
    }
    require(gguf_require_model(&gguf, "file", &err) == (gguf.kind == GGUF_MODEL ? 0 : -err.code));
    gguf_done(&gguf);
    return 0;
}
