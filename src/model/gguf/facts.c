/* facts.c - keys, values and tensors -> struct gguf: what the model is, its sizes and layers. */
#include "model/gguf/header.h"

#include <errno.h>
#include <stdio.h>

/* What the engine wants to be a 32-bit number without a sign, by the key behind "<architecture>.".
 */
static const struct {
    const char *key;
    size_t at; /* in struct gguf */
} numbers[] = {
    {"context_length", offsetof(struct gguf, context)},
    {"block_count", offsetof(struct gguf, layers)},
    {"embedding_length", offsetof(struct gguf, embedding)},
    {"attention.key_length", offsetof(struct gguf, key_length)},
    {"attention.value_length", offsetof(struct gguf, value_length)},
    {"attention.key_length_swa", offsetof(struct gguf, key_length_swa)},
    {"attention.value_length_swa", offsetof(struct gguf, value_length_swa)},
    {"attention.kv_lora_rank", offsetof(struct gguf, kv_lora_rank)},
    {"attention.key_length_mla", offsetof(struct gguf, key_length_mla)},
    {"attention.sliding_window", offsetof(struct gguf, sliding_window)},
    {"attention.shared_kv_layers", offsetof(struct gguf, shared_kv_layers)},
    {"full_attention_interval", offsetof(struct gguf, full_attention_interval)},
    {"ssm.conv_kernel", offsetof(struct gguf, ssm_conv)},
    {"ssm.inner_size", offsetof(struct gguf, ssm_inner)},
    {"ssm.state_size", offsetof(struct gguf, ssm_state)},
    {"ssm.group_count", offsetof(struct gguf, ssm_groups)},
    {"ssm.time_step_rank", offsetof(struct gguf, ssm_rank)},
    {"shortconv.l_cache", offsetof(struct gguf, shortconv)},
    {"wkv.head_size", offsetof(struct gguf, wkv_head)},
    {"token_shift_count", offsetof(struct gguf, token_shift)},
    {"kda.head_dim", offsetof(struct gguf, kda_head)},
    {"expert_count", offsetof(struct gguf, experts)},
    {"expert_used_count", offsetof(struct gguf, experts_used)},
    {"expert_feed_forward_length", offsetof(struct gguf, expert_feed_forward)},
    {"nextn_predict_layers", offsetof(struct gguf, predict_layers)},
    {"pooling_type", offsetof(struct gguf, pooling)},
};

static const struct gguf_kv *find_own(const struct gguf_header *header, const struct gguf *gguf,
                                      const char *key)
{
    char name[160];
    int n = snprintf(name, sizeof(name), "%s.%s", gguf->architecture, key);
    if (n < 0 || (size_t)n >= sizeof(name))
        return NULL;
    return gguf_header_find(header, (struct str){name, (size_t)n});
}

static int read_numbers(const struct gguf_header *header, struct gguf *gguf)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uint32_t *number = (uint32_t *)(void *)((char *)gguf + numbers[i].at);
        int64_t value = *number;
        if (!gguf_kv_number(find_own(header, gguf, numbers[i].key), GGUF_U32, &value))
            return gguf_damaged(header, "'%s' is no 32-bit number", numbers[i].key);
        *number = (uint32_t)value;
    }
    return 0;
}

/* Copies of the texts; NULL stays for what is not there. */
static int read_texts(const struct gguf_header *header, struct gguf *gguf)
{
    const struct {
        struct str key;
        char **text;
    } texts[] = {
        {STR("general.architecture"), &gguf->architecture},
        {STR("general.name"), &gguf->name},
        {STR("general.license"), &gguf->licence},
        {STR("tokenizer.chat_template"), &gguf->template},
        {STR("tokenizer.ggml.model"), &gguf->tokenizer},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct gguf_kv *kv = gguf_header_find(header, texts[i].key);
        struct str text;
        if (!kv)
            continue;
        if (!gguf_kv_text(kv, &text))
            return gguf_damaged(header, "'%.*s' is no text", STR_ARG(texts[i].key));
        *texts[i].text = str_dup(text);
        if (!*texts[i].text)
            return error_set(header->err, ENOMEM, "out of memory for the header of %s",
                             header->what);
    }
    if (!gguf->architecture)
        gguf->architecture = xstrdup("");
    return 0;
}

static void read_quantisation(const struct gguf_header *header, struct gguf *gguf)
{
    const struct gguf_kv *kv = gguf_header_find(header, STR("general.file_type"));
    int64_t type = -1;
    const char *name = gguf_kv_number(kv, GGUF_TYPES, &type) ? gguf_file_type_name(type) : NULL;
    if (name)
        snprintf(gguf->quantisation, sizeof(gguf->quantisation), "%s", name);
}

static int read_split(const struct gguf_header *header, struct gguf *gguf)
{
    const struct gguf_kv *no = gguf_header_find(header, STR("split.no"));
    const struct gguf_kv *count = gguf_header_find(header, STR("split.count"));
    const struct gguf_kv *tensors = gguf_header_find(header, STR("split.tensors.count"));
    int64_t part = 0, parts = 1, all = 0;
    bool good = gguf_kv_number(no, GGUF_U16, &part) && gguf_kv_number(count, GGUF_U16, &parts) &&
                gguf_kv_number(tensors, GGUF_TYPES, &all);
    if (good && parts == 0)
        parts = 1;
    if (!good || part >= parts || all < 0 || all > UINT32_MAX || (parts > 1 && !no))
        return gguf_damaged(header, "what it says about its parts cannot be");
    gguf->part = (uint32_t)part;
    gguf->parts = (uint32_t)parts;
    gguf->parts_tensors = (uint32_t)all;
    return 0;
}

static enum gguf_kind kind_of(const struct gguf_header *header, const struct gguf *gguf)
{
    const struct gguf_kv *kv = gguf_header_find(header, STR("general.type"));
    struct str type = STR_NONE, architecture = str_from(gguf->architecture);
    if (kv)
        (void)gguf_kv_text(kv, &type);
    if (str_is(architecture, "clip") || str_is(type, "mmproj") || str_is(type, "projector"))
        return GGUF_PROJECTOR;
    if (str_is(type, "adapter") || str_is(architecture, "controlvector") ||
        gguf_header_find(header, STR("adapter.type")))
        return GGUF_ADAPTER;
    if (str_is(type, "imatrix") || !find_own(header, gguf, "block_count"))
        return GGUF_OTHER;
    return header->n_tensors == 0 && gguf->parts == 1 ? GGUF_VOCABULARY : GGUF_MODEL;
}

/* A number for all layers, or a list with one a layer. The largest is the model's. */
static int read_layer_numbers(const struct gguf_header *header, struct gguf *gguf, const char *key,
                              size_t at_layer, uint32_t *ret_most)
{
    const struct gguf_kv *kv = find_own(header, gguf, key);
    uint32_t most = 0;
    if (!kv)
        return 0;
    if ((kv->type != GGUF_U32 && kv->type != GGUF_I32) || (kv->array && kv->n < gguf->layers))
        return gguf_damaged(header, "'%s' does not say one number a layer", key);
    for (uint32_t i = 0; i < gguf->layers; i++) {
        int64_t value;
        if (!gguf_kv_integer(kv, kv->array ? i : 0, &value) || value < 0 || value > 1 << 24)
            return gguf_damaged(header, "'%s' is impossible", key);
        uint32_t number = (uint32_t)value;
        memcpy((char *)&gguf->layer[i] + at_layer, &number, sizeof(number));
        most = number > most ? number : most;
    }
    *ret_most = most;
    return 0;
}

/* Which layers attend to the window alone: one word a layer, or the period of those that do not. */
static int read_window(const struct gguf_header *header, struct gguf *gguf)
{
    const struct gguf_kv *kv = find_own(header, gguf, "attention.sliding_window_pattern");
    int64_t value = 0;
    if (!kv)
        return 0;
    bool good = kv->array ? kv->n >= gguf->layers
                          : gguf_kv_integer(kv, 0, &value) && value > 0 && value <= UINT32_MAX;
    for (uint32_t i = 0; good && kv->array && i < gguf->layers; i++) {
        good = gguf_kv_integer(kv, i, &value);
        gguf->layer[i].windowed = value != 0;
    }
    if (!good)
        return gguf_damaged(header, "which layers have a window does not match its layers");
    gguf->window_said = kv->array;
    if (!kv->array)
        gguf->window_period = (uint32_t)value;
    return 0;
}

static int read_layers(const struct gguf_header *header, struct gguf *gguf)
{
    gguf->layer = xcalloc(gguf->layers, sizeof(*gguf->layer)); /* GGUF_LAYERS_MAX at most */
    int result = read_layer_numbers(header, gguf, "attention.head_count",
                                    offsetof(struct gguf_layer, heads), &gguf->heads);
    for (uint32_t i = 0; i < gguf->layers; i++)
        gguf->layer[i].heads_kv = gguf->layer[i].heads;
    gguf->heads_kv = gguf->heads;
    return result
               ?: read_layer_numbers(header, gguf, "attention.head_count_kv",
                                     offsetof(struct gguf_layer, heads_kv), &gguf->heads_kv)
               ?: read_layer_numbers(header, gguf, "feed_forward_length",
                                     offsetof(struct gguf_layer, feed_forward),
                                     &gguf->feed_forward)
               ?: read_window(header, gguf);
}

/* Sizes with which the engine would divide by zero, allocate without bounds or give up. */
static int check_sizes(const struct gguf_header *header, const struct gguf *gguf)
{
    const char *bad = NULL;
    if (gguf->layers == 0 || gguf->layers > GGUF_LAYERS_MAX)
        bad = "number of layers";
    else if (gguf->embedding == 0 || gguf->embedding > 1 << 20)
        bad = "embedding length";
    else if (gguf->context == 0 || gguf->context > INT32_MAX)
        bad = "context length";
    else if (gguf->key_length > 1 << 16 || gguf->value_length > 1 << 16)
        bad = "head size";
    else if (gguf->experts > 4096 || gguf->experts_used > gguf->experts ||
             (gguf->experts && !gguf->experts_used))
        bad = "number of experts";
    else if (gguf->predict_layers >= gguf->layers || gguf->shared_kv_layers >= gguf->layers)
        bad = "number of layers of one kind";
    else if (gguf->ssm_inner > 1 << 24 || gguf->ssm_state > 1 << 20 || gguf->ssm_conv > 1 << 16 ||
             gguf->ssm_groups > 1 << 16)
        bad = "recurrent state";
    return bad ? gguf_damaged(header, "its %s is missing or impossible", bad) : 0;
}

static int check_heads(const struct gguf_header *header, struct gguf *gguf)
{
    bool recurrent = gguf->ssm_conv || gguf->wkv_head || gguf->shortconv;
    if (gguf->heads == 0 && !recurrent)
        return gguf_damaged(header, "its number of heads is missing or impossible");
    for (uint32_t i = 0; i < gguf->layers; i++) {
        const struct gguf_layer *layer = &gguf->layer[i];
        if (layer->heads && layer->heads_kv && layer->heads % layer->heads_kv)
            return gguf_damaged(header, "%u heads cannot share %u of keys and values", layer->heads,
                                layer->heads_kv);
    }
    if (gguf->heads && !gguf->key_length)
        gguf->key_length = gguf->embedding / gguf->heads;
    if (gguf->heads && !gguf->value_length)
        gguf->value_length = gguf->embedding / gguf->heads;
    return 0;
}

int gguf_facts_read(const struct gguf_header *header, struct gguf *gguf)
{
    int64_t causal = 1, hears = 0;
    gguf->version = header->version;
    gguf->pooling = GGUF_POOLING_NOT_SAID;
    int result = read_texts(header, gguf) ?: read_split(header, gguf);
    if (result < 0)
        return result;
    read_quantisation(header, gguf);
    gguf->kind = kind_of(header, gguf);
    bool is_model = gguf->kind == GGUF_MODEL || gguf->kind == GGUF_VOCABULARY;
    if (is_model &&
        !gguf_kv_number(find_own(header, gguf, "attention.causal"), GGUF_TYPES, &causal))
        return gguf_damaged(header, "'attention.causal' is no yes or no");
    gguf->causal = causal != 0;
    (void)gguf_kv_number(gguf_header_find(header, STR("clip.has_audio_encoder")), GGUF_TYPES,
                         &hears);
    gguf->hears = hears != 0;
    if (!is_model)
        return 0;
    result = read_numbers(header, gguf) ?: gguf_vocabulary_read(header, gguf);
    if (result < 0 || gguf->kind == GGUF_VOCABULARY || gguf->part > 0)
        return result;
    return check_sizes(header, gguf) ?: read_layers(header, gguf) ?: check_heads(header, gguf);
}

/* ---- tensors -> what each layer weighs, and what lies before and behind the layers ---- */

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
                       const struct gguf_tensor *t)
{
    bool is_embedding = str_is(t->name, "token_embd.weight");
    bool is_output = str_is(t->name, "output.weight");
    if (((is_embedding || is_output) && t->dims[0] != gguf->embedding) ||
        (is_embedding && gguf->vocabulary && t->dims[1] != gguf->vocabulary))
        return gguf_damaged(header, "the tensor '%.*s' has another shape than its header says",
                            STR_ARG(t->name));
    return 0;
}

int gguf_layers_add(const struct gguf_header *header, struct gguf *gguf)
{
    for (size_t i = 0; i < header->n_tensors; i++) {
        const struct gguf_tensor *t = &header->tensor[i];
        uint64_t layer;
        struct str part;
        if (str_starts(t->name, STR("v.blk.")))
            return error_set(header->err, GFXB_E_MODEL_UNUSABLE,
                             "%s is made for Ollama's own engine: what it sees with is in the same "
                             "file. Take a GGUF file of this model with its projector (mmproj) "
                             "from the Hugging Face hub",
                             header->what);
        if (t->dims[1] > 1 && t->type < 64)
            gguf->types |= UINT64_C(1) << t->type;
        if (layer_of(t->name, &layer, &part)) {
            if (layer >= gguf->layers)
                return gguf_damaged(header, "'%.*s' is of a layer that it does not have",
                                    STR_ARG(t->name));
            layer_count(&gguf->layer[layer], part, t->bytes);
            continue;
        }
        int result = check_shape(header, gguf, t);
        if (result < 0)
            return result;
        if (str_is(t->name, "token_embd.weight"))
            gguf->token_bytes = t->bytes;
        gguf->output_own = gguf->output_own || str_is(t->name, "output.weight");
        *(is_input(t->name) ? &gguf->input_bytes : &gguf->output_bytes) += t->bytes;
    }
    return 0;
}
