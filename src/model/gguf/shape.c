/* shape.c - what each layer weighs and keeps, by the file and by data/architectures.tsv. */
#include "model/gguf/header.h"
#include "model/model_private.h"

/* ---- architectures.tsv ---- */

/* Made by the build from data/architectures.tsv. */
extern const char model_data_architectures[], model_data_architectures_end[];

enum { COLUMN_NAME, COLUMN_TASK, COLUMN_PERIOD, COLUMN_FIRST, COLUMN_WINDOW };

static const char *const columns[] = {"architecture", "task",   "period", "first",
                                      "window",       "source", NULL};

static const struct rows architectures = {"architectures.tsv", model_data_architectures,
                                          model_data_architectures_end, columns};

static int read_row(const struct table *t, const struct table_row *row, struct architecture *ret,
                    struct gfxb_error *err)
{
    const struct str *field = row->field;
    struct architecture a = {.task = MODEL_CHAT, .first = str_is(field[COLUMN_FIRST], "first")};
    uint64_t period = 0, window = 0;
    if (field[COLUMN_FIRST].n && !a.first)
        return table_error(t, row, COLUMN_FIRST, err, "neither 'first' nor '-'");
    int result = rows_count(t, row, COLUMN_PERIOD, 64, &period, err)
                     ?: rows_count(t, row, COLUMN_WINDOW, 1 << 20, &window, err);
    if (result == 0 && field[COLUMN_TASK].n)
        result = rows_task(t, row, COLUMN_TASK, field[COLUMN_TASK], &a.task, err);
    a.period = (uint32_t)period;
    a.window = (uint32_t)window;
    if (result == 0)
        *ret = a;
    return result;
}

int architecture_find(struct str name, struct architecture *ret_row, struct gfxb_error *err)
{
    struct table t;
    struct table_row row;
    int result = rows_find(&architectures, name, &t, &row, err);
    if (result == 0)
        *ret_row = (struct architecture){.task = MODEL_CHAT};
    return result > 0 ? read_row(&t, &row, ret_row, err) : result;
}

static int check_row(const struct table *t, const struct table_row *row, struct gfxb_error *err)
{
    struct architecture a;
    return read_row(t, row, &a, err);
}

int architectures_check(struct gfxb_error *err)
{
    return rows_check(&architectures, check_row, err);
}

/* ---- shape ---- */

#define CACHE_NUMBER 2 /* bytes of a number in the cache: 16 bits */
#define STATE_NUMBER 4 /* of one in a recurrent state */
/* Copies of a token's numbers that every layer needs beside its own, and an encoder's. */
#define CARRIED         5
#define CARRIED_ENCODER 1

/* Does this layer look back the window alone? Files say it for each layer, or how often not;
 * architectures that files are silent about have a row. */
static bool is_windowed(const struct gguf *g, const struct architecture *a, uint32_t i)
{
    uint32_t period = g->window_period ? g->window_period : a->period;
    if (g->window_said)
        return g->layer[i].windowed;
    if (period < 2 || !a->period)
        return false;
    return a->first ? i % period != 0 : i % period < period - 1;
}

/* Does it keep keys and values? Layers that only guess ahead do not, nor those that use another
 * layer's, nor those whose tensors are a recurrent state's. */
static bool has_cache(const struct gguf *g, uint32_t i)
{
    const struct gguf_layer *layer = &g->layer[i];
    uint32_t keeping = g->layers - g->predict_layers - g->shared_kv_layers;
    bool attends = layer->attention || (layer->fused && !layer->state);
    return g->causal && layer->heads_kv > 0 && attends && i < keeping;
}

static uint64_t cache_of(const struct gguf *g, uint32_t i, bool windowed)
{
    uint64_t key = windowed && g->key_length_swa ? g->key_length_swa : g->key_length;
    uint64_t value = windowed && g->value_length_swa ? g->value_length_swa : g->value_length;
    if (g->kv_lora_rank && g->key_length_mla)
        value = 0; /* MLA: values are part of the compressed keys */
    return g->layer[i].heads_kv * (key + value) * CACHE_NUMBER;
}

/* Numbers of one conversation's recurrent state in one layer: what the convolution looks back, and
 * the state proper. */
static uint64_t state_of(const struct gguf *g)
{
    uint64_t width = g->embedding, heads = g->heads;
    uint64_t back = g->ssm_conv ? g->ssm_conv - 1 : 0;
    if (g->wkv_head)
        return width * (g->token_shift ? g->token_shift : 2) + width * g->wkv_head;
    if (g->shortconv)
        return width * (g->shortconv - 1);
    if (g->kda_head)
        return 3 * back * heads * g->kda_head + heads * g->kda_head * g->kda_head;
    return back * (g->ssm_inner + 2 * (uint64_t)g->ssm_groups * g->ssm_state) +
           (uint64_t)g->ssm_state * g->ssm_inner;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Numbers of one token that the feed-forward part needs at once. */
static uint64_t live_of_feed_forward(const struct gguf *g, const struct gguf_layer *layer)
{
    uint64_t inner = (uint64_t)g->experts_used * g->expert_feed_forward;
    uint64_t outer = (uint64_t)g->experts_used * g->embedding;
    if (!layer->expert_bytes)
        return (layer->gated ? 3 : 2) * (uint64_t)layer->feed_forward;
    if (!inner)
        inner = (uint64_t)g->experts_used * layer->feed_forward;
    /* The results of the experts only find room where their inner numbers were if they are fewer.
     */
    return 3 * inner + (outer > 2 * inner ? outer : 0);
}

static uint64_t live_of_attention(const struct gguf *g, const struct gguf_layer *layer)
{
    if (g->kv_lora_rank && g->key_length_mla)
        return 2 * (uint64_t)layer->heads * (g->key_length_mla + g->kv_lora_rank);
    return 2 * (uint64_t)layer->heads * g->key_length +
           2 * (uint64_t)layer->heads_kv * most(g->key_length, g->value_length);
}

static uint64_t live_of_state(const struct gguf *g)
{
    uint64_t convolved = g->ssm_inner + 2 * (uint64_t)g->ssm_groups * g->ssm_state;
    uint64_t projected = g->ssm_inner + convolved + g->ssm_rank;
    if (!g->ssm_inner)
        return 4 * (uint64_t)g->embedding;
    /* Projected, convolved with what came before, the scan's result with its state. */
    return projected + 2 * convolved + g->ssm_inner + g->ssm_inner / 4;
}

static uint64_t live_of_layer(const struct gguf *g, const struct gguf_layer *layer)
{
    uint64_t live = most(live_of_feed_forward(g, layer), live_of_attention(g, layer));
    return layer->state ? most(live, live_of_state(g)) : live;
}

static void fill_layers(const struct gguf *g, const struct architecture *a, struct fit_model *m,
                        uint64_t *ret_live)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < g->layers; i++) {
        struct fit_layer *layer = &m->layer[i];
        layer->weights = g->layer[i].bytes;
        layer->windowed = m->window && is_windowed(g, a, i);
        layer->cache = has_cache(g, i) ? cache_of(g, i, layer->windowed) : 0;
        layer->state = g->layer[i].state ? state_of(g) * STATE_NUMBER : 0;
        m->cached = m->cached || layer->cache || layer->state;
        live = most(live, live_of_layer(g, &g->layer[i]));
    }
    *ret_live = live + (g->causal ? CARRIED : CARRIED_ENCODER) * (uint64_t)g->embedding;
}

int model_shape_new(const struct gguf *gguf, uint64_t projector_bytes, struct fit_model *ret_model,
                    struct gfxb_error *err)
{
    struct architecture a;
    uint64_t live = 0;
    int result = architecture_find(str_from(gguf->architecture), &a, err);
    if (result < 0)
        return result;
    struct fit_model m = {.n_layers = gguf->layers,
                          .input_weights = gguf->input_bytes,
                          .output_weights = gguf->output_bytes,
                          .output_repeated =
                              gguf->output_own || !gguf->causal ? 0 : gguf->token_bytes,
                          .projector = projector_bytes,
                          .window = gguf->sliding_window ? gguf->sliding_window : a.window,
                          .context_most = gguf->context,
                          .width = gguf->embedding,
                          .vocabulary = gguf->vocabulary};
    m.layer = xcalloc(gguf->layers, sizeof(*m.layer));
    fill_layers(gguf, &a, &m, &live);
    m.live = live > UINT32_MAX ? UINT32_MAX : (uint32_t)live;
    *ret_model = m;
    return 0;
}

void model_shape_done(struct fit_model *model)
{
    free(model->layer);
    *model = (struct fit_model){.layer = NULL};
}
