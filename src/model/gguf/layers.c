/* gguf_layers.c - tensors -> what each layer weighs, and what lies before and behind the layers. */
#include "model/gguf/header.h"

#include <errno.h>

/* "blk.12.attn_q.weight" -> 12 and "attn_q.weight"; false for what belongs to no layer. */
static bool layer_of(struct str name, uint64_t *ret_layer, struct str *ret_rest)
{
    struct str rest = name, word, number;
    if (!str_cut(&rest, '.', &word) || !str_is(word, "blk") || !str_cut(&rest, '.', &number) ||
        str_to_u64(number, 10, ret_layer) < 0)
        return false;
    *ret_rest = rest;
    return true;
}

static void layer_count(struct gguf_layer *layer, struct str part, uint64_t bytes)
{
    layer->bytes += bytes;
    if (str_has(part, STR("_exps")))
        layer->expert_bytes += bytes;
    if (str_starts(part, STR("attn_k")))
        layer->attention = true;
    if (str_starts(part, STR("attn_qkv")))
        layer->fused = true;
    if (str_starts(part, STR("ffn_gate")))
        layer->gated = true;
    if (str_starts(part, STR("ssm_")) || str_starts(part, STR("shortconv")) ||
        str_starts(part, STR("time_mix")))
        layer->state = true;
}

/* What the layers do not hold is before them when the engine keeps it on the CPU. */
static bool is_input(struct str name)
{
    static const char *const stems[] = {"token_embd", "position_embd", "token_types",
                                        "per_layer_token_embd"};
    for (size_t i = 0; i < sizeof(stems) / sizeof(stems[0]); i++) {
        if (str_starts(name, str_from(stems[i])))
            return true;
    }
    return false;
}

static int check_shape(const struct gguf_header *header, const struct gguf *gguf,
                       const struct gguf_tensor *t, struct gfxb_error *err)
{
    bool embeddings = str_is(t->name, "token_embd.weight");
    if (str_is(t->name, "output.weight") && t->dims[0] != gguf->embedding)
        return gguf_damaged(header->what, err,
                            "is damaged: the tensor 'output.weight' has another shape than its "
                            "header says");
    if (embeddings &&
        (t->dims[0] != gguf->embedding || (gguf->vocabulary && t->dims[1] != gguf->vocabulary)))
        return gguf_damaged(header->what, err,
                            "is damaged: the tensor 'token_embd.weight' has another shape than "
                            "its header says");
    return 0;
}

int gguf_layers_add(const struct gguf_header *header, struct gguf *gguf, struct gfxb_error *err)
{
    for (size_t i = 0; i < header->n_tensors; i++) {
        const struct gguf_tensor *t = &header->tensor[i];
        uint64_t layer;
        struct str part;
        if (layer_of(t->name, &layer, &part)) {
            if (layer >= gguf->layers)
                return gguf_damaged(header->what, err,
                                    "is damaged: '%.*s' is of a layer that it does not have",
                                    STR_ARG(t->name));
            layer_count(&gguf->layer[layer], part, t->bytes);
            continue;
        }
        int result = check_shape(header, gguf, t, err);
        if (result < 0)
            return result;
        if (str_is(t->name, "token_embd.weight"))
            gguf->token_bytes = t->bytes;
        gguf->output_own = gguf->output_own || str_is(t->name, "output.weight");
        if (is_input(t->name))
            gguf->input_bytes += t->bytes;
        else
            gguf->output_bytes += t->bytes;
    }
    return 0;
}
