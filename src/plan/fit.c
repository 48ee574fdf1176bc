/* fit.c - does a model fit into memory, with how much context and how many layers. */
#include "plan/fit.h"

#define BATCH       512 /* the engine's own -ub */
#define CELLS       256 /* the engine rounds a cache up to a multiple of these */
#define NUMBER      4   /* bytes of a number while computing */
#define HALF        2   /* bytes of one in an attention mask */
#define HOST_COPIES 4   /* of a batch's tokens, on the way to and from a GPU */
#define MIB         (UINT64_C(1) << 20)

/* Between computers, measured: docs/nodes.md. */
#define LINK_FIRST 3    /* numbers of a token that go to the first node, in widths */
#define LINK_CALLS 3200 /* bytes of what a node is asked for one token, beside numbers */
#define LINK_LAYER 52   /* bytes of a layer's graph, sent again every 256 tokens */

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint32_t slots_of(const struct fit_use *use)
{
    return use->slots ? use->slots : 1;
}

static uint64_t batch_of(const struct fit_use *use, uint32_t context)
{
    uint64_t batch = use->batch ? use->batch : BATCH, all = (uint64_t)context * slots_of(use);
    return batch < all ? batch : all;
}

/* Tokens that one kind of cache has room for, of all slots. */
static uint64_t cells_of(const struct fit_model *m, const struct fit_use *use, uint32_t context,
                         bool windowed)
{
    uint64_t own = round_up(context, CELLS);
    uint64_t seen = round_up(m->window + batch_of(use, context), CELLS);
    return slots_of(use) * (windowed && seen < own ? seen : own);
}

/* The masks that say which token sees which: one for each kind of cache. */
static uint64_t masks_of(const struct fit_model *m, const struct fit_use *use, uint32_t context)
{
    uint64_t batch = batch_of(use, context), cells = 0;
    bool full = false, windowed = false;
    for (size_t i = 0; i < m->n_layers; i++) {
        full = full || (m->layer[i].cache && !m->layer[i].windowed);
        windowed = windowed || (m->layer[i].cache && m->layer[i].windowed);
    }
    if (!m->cached)
        return batch * batch * (NUMBER + HALF);
    if (full)
        cells += cells_of(m, use, context, false);
    if (windowed)
        cells += cells_of(m, use, context, true);
    return cells * batch * HALF / slots_of(use);
}

static void count_layer(const struct fit_model *m, const struct fit_use *use, uint32_t context,
                        const struct fit_layer *layer, struct fit_part *part)
{
    part->weights += layer->weights;
    part->cache += layer->cache * cells_of(m, use, context, layer->windowed);
    part->state += layer->state * slots_of(use);
}

/* Can the output matrix be on the device? The engine asks it with a whole batch's result. */
static bool takes_output(const struct fit_model *m, const struct fit_use *use)
{
    uint64_t matrix = m->output_repeated ? m->output_repeated : m->output_weights;
    uint64_t result = (uint64_t)m->vocabulary * BATCH * NUMBER;
    return !use->tensor_most || (matrix <= use->tensor_most && result <= use->tensor_most);
}

static void count_output(const struct fit_model *m, const struct fit_use *use, bool on_gpu,
                         struct fit_need *need)
{
    bool taken = on_gpu && takes_output(m, use);
    struct fit_part *part = taken ? &need->gpu : &need->host;
    part->weights += m->output_weights;
    if (taken)
        part->weights += m->output_repeated;
    need->host.output =
        m->cached || m->vocabulary ? (uint64_t)m->vocabulary * NUMBER * slots_of(use) : 0;
}

static void count_compute(const struct fit_model *m, const struct fit_use *use, uint32_t context,
                          bool on_gpu, bool whole, struct fit_need *need)
{
    uint64_t batch = batch_of(use, context), masks = masks_of(m, use, context);
    uint64_t all = batch * m->live * NUMBER + masks;
    uint64_t carried = batch * m->width * NUMBER * HOST_COPIES + masks;
    /* What comes from layers on the CPU has to be brought. */
    need->gpu.compute = !on_gpu ? 0 : whole ? all : all + batch * m->width * NUMBER;
    need->gpu.compute *= use->gpus ? use->gpus : 1;
    need->host.compute = !on_gpu ? all : whole || carried > all ? carried : all;
}

static void add_up(struct fit_part *p)
{
    p->total = p->weights + p->cache + p->state + p->compute + p->output + p->projector;
}

void fit_need(const struct fit_model *model, const struct fit_use *use, uint32_t context,
              size_t gpu_layers, struct fit_need *ret_need)
{
    struct fit_need need = {.host.weights = model->input_weights};
    bool on_gpu = gpu_layers > 0, whole = gpu_layers > model->n_layers;
    size_t repeating = whole ? model->n_layers : on_gpu ? gpu_layers - 1 : 0;
    for (size_t i = 0; i < model->n_layers; i++)
        count_layer(model, use, context, &model->layer[i],
                    i + repeating >= model->n_layers ? &need.gpu : &need.host);
    count_output(model, use, on_gpu, &need);
    count_compute(model, use, context, on_gpu, whole, &need);
    *(on_gpu ? &need.gpu.projector : &need.host.projector) = model->projector;
    add_up(&need.gpu);
    add_up(&need.host);
    *ret_need = need;
}

uint64_t fit_margin(uint64_t have)
{
    const uint64_t least = 256 * MIB, most = 1024 * MIB;
    uint64_t part = have / 16;
    return part < least ? least : part > most ? most : part;
}

uint64_t fit_usable(uint64_t have)
{
    return have > fit_margin(have) ? have - fit_margin(have) : 0;
}

/* ---- devices of other computers ---- */

#define PARTS 1024

/* Does any device but the CPU compute? */
static bool has_devices(const struct fit_memory *memory)
{
    return memory->gpu || memory->n_nodes;
}

/* A layer, or behind the last one the output matrix. */
static uint64_t layer_bytes(const struct fit_model *m, const struct fit_use *use, uint32_t context,
                            size_t i)
{
    struct fit_part part = {0};
    if (i < m->n_layers)
        count_layer(m, use, context, &m->layer[i], &part);
    else if (takes_output(m, use))
        part.weights = m->output_weights + m->output_repeated;
    return part.weights + part.cache + part.state;
}

static uint64_t usable_host(const struct fit_memory *memory)
{
    return memory->host ? fit_usable(memory->host) : UINT64_MAX;
}

/* All layers over the computers in the engine's order, one at least to each: the CPU where there is
 * no GPU here, the nodes, the GPU. Each takes the memory it computes with and its first layer, and
 * more layers while it uses no more than these parts of the rest: so a computer that is nearly
 * full with one layer says nothing about the others. c->need is that of all layers on devices. */
static bool deal(const struct fit_model *m, const struct fit_use *use,
                 const struct fit_memory *memory, unsigned parts, struct fit_choice *c)
{
    const size_t n = memory->n_nodes + 1, here = memory->gpu ? n - 1 : 0, first = !memory->gpu;
    const uint64_t compute = c->need.gpu.compute / (use->gpus ? use->gpus : 1);
    size_t layers[FIT_NODES_MOST + 1] = {0};
    uint64_t bytes[FIT_NODES_MOST + 1] = {0}, most[FIT_NODES_MOST + 1], all[FIT_NODES_MOST + 1];
    for (size_t i = 0; i < n; i++) {
        uint64_t usable = i != here     ? fit_usable(memory->node[i - first])
                          : memory->gpu ? fit_usable(memory->gpu)
                                        : usable_host(memory);
        bytes[i] = compute + (i != here ? 0 : m->projector);
        if (i == here && !memory->gpu)
            bytes[i] += c->need.host.weights + c->need.host.output;
        most[i] = bytes[i] < usable ? bytes[i] + (usable - bytes[i]) / PARTS * parts : 0;
        all[i] = bytes[i] < usable ? usable : 0;
    }
    for (size_t i = m->n_layers + 1 - c->gpu_layers, at = 0; i <= m->n_layers; i++) {
        uint64_t more = layer_bytes(m, use, c->context, i);
        size_t left = m->n_layers + 1 - i;
        if (layers[at] && at + 1 < n && (left < n - at || bytes[at] + more > most[at]))
            at++;
        bytes[at] += more;
        layers[at]++;
        if (bytes[at] > (layers[at] == 1 ? all[at] : most[at]))
            return false;
    }
    for (size_t i = 0; i < memory->n_nodes; i++) {
        c->node_layers[i] = layers[i + first];
        c->node_bytes[i] = bytes[i + first];
    }
    c->filled = parts;
    c->gpu_layers -= memory->gpu ? 0 : layers[0];
    *(memory->gpu ? &c->need.gpu.total : &c->need.host.total) = bytes[here];
    if (!memory->gpu)
        c->need.gpu.total = 0;
    return layers[n - 1] > 0;
}

/* With as few parts of each computer as hold it. */
static bool deal_evenly(const struct fit_model *m, const struct fit_use *use,
                        const struct fit_memory *memory, unsigned parts, struct fit_choice *c)
{
    unsigned least = 0, most = parts;
    struct fit_use with = *use;
    struct fit_choice dealt = *c;
    with.slots = c->slots;
    if (!deal(m, &with, memory, most, &dealt))
        return false;
    while (most - least > 1) {
        unsigned middle = least + (most - least) / 2;
        struct fit_choice other = *c;
        if (deal(m, &with, memory, middle, &other)) {
            dealt = other;
            most = middle;
        } else {
            least = middle;
        }
    }
    *c = dealt;
    return true;
}

uint64_t fit_link_bytes(const struct fit_model *model, const struct fit_use *use,
                        const struct fit_choice *choice, size_t n_nodes, bool gpu)
{
    const uint64_t numbers = (uint64_t)model->width * NUMBER,
                   batch = batch_of(use, choice->context);
    uint64_t bytes = LINK_FIRST * numbers + (n_nodes - 1) * 2 * numbers;
    bytes += gpu ? numbers : (uint64_t)model->vocabulary * NUMBER;
    bytes += n_nodes * (LINK_CALLS + masks_of(model, use, choice->context) / batch);
    return bytes + choice->gpu_layers * LINK_LAYER;
}

/* ---- the best way ---- */

/* Most that may be taken of each memory, and parts of each with nodes. */
struct room {
    uint64_t gpu, host;
    unsigned parts;
};

static struct room room_of(const struct fit_memory *memory)
{
    return (struct room){fit_usable(memory->gpu), usable_host(memory), PARTS};
}

static uint64_t host_need(const struct fit_need *need, const struct fit_memory *memory)
{
    return need->host.total + (memory->shared ? need->gpu.total : 0);
}

/* What more than the least may take: a half of what the GPU has left, and a quarter of what the
 * computer has, so that other models and programs find room. Nothing where it is not known. */
static struct room room_to_grow(const struct fit_choice *choice, const struct fit_memory *memory)
{
    const struct fit_need *need = &choice->need;
    struct room room = room_of(memory);
    uint64_t host = host_need(need, memory);
    bool known = memory->gpu < UINT64_MAX && memory->host;
    return (struct room){need->gpu.total + (known ? (room.gpu - need->gpu.total) / 2 : 0),
                         host + (known ? (room.host - host) / 4 : 0),
                         choice->filled + (known ? (PARTS - choice->filled) / 2 : 0)};
}

static bool has_room(const struct fit_model *m, const struct fit_use *use,
                     const struct fit_memory *memory, const struct room *room,
                     struct fit_choice *choice)
{
    const struct fit_need *need = &choice->need;
    if (memory->n_nodes && !deal_evenly(m, use, memory, room->parts, choice))
        return false;
    return (memory->n_nodes || need->gpu.total == 0 || need->gpu.total <= room->gpu) &&
           host_need(need, memory) <= room->host;
}

static struct fit_choice choice_of(const struct fit_model *m, const struct fit_use *use,
                                   uint32_t context, uint32_t slots, size_t gpu_layers)
{
    struct fit_use with = *use;
    struct fit_choice choice = {.context = context,
                                .slots = slots,
                                .gpu_layers = gpu_layers,
                                .whole = gpu_layers == 0 || gpu_layers > m->n_layers};
    with.slots = slots;
    fit_need(m, &with, context, gpu_layers, &choice.need);
    return choice;
}

/* For one request at a time. */
static bool try_it(const struct fit_model *m, const struct fit_use *use, uint32_t context,
                   size_t gpu_layers, const struct fit_memory *memory, struct fit_choice *choice)
{
    struct room room = room_of(memory);
    *choice = choice_of(m, use, context, 1, gpu_layers);
    return has_room(m, use, memory, &room, choice);
}

/* There is room for one request: for as many as are wanted at a time, then, on a GPU, for longer
 * ones. */
static void grow(const struct fit_model *m, const struct fit_use *use,
                 const struct fit_memory *memory, struct fit_choice *choice)
{
    struct room room = room_to_grow(choice, memory);
    for (;;) {
        uint32_t context = choice->context, slots = choice->slots;
        if (slots < slots_of(use))
            slots++;
        else if (!use->context && has_devices(memory) && context < m->context_most)
            context = context < m->context_most / 2 ? 2 * context : m->context_most;
        else
            return;
        size_t layers = has_devices(memory) ? m->n_layers + 1 : 0;
        struct fit_choice more = choice_of(m, use, context, slots, layers);
        if (!has_room(m, use, memory, &room, &more))
            return;
        *choice = more;
    }
}

static uint32_t least_context(const struct fit_model *m, const struct fit_use *use)
{
    if (use->context)
        return use->context;
    return m->context_most && m->context_most < FIT_CONTEXT_LEAST ? m->context_most
                                                                  : FIT_CONTEXT_LEAST;
}

/* What is given when nobody asks. */
static uint32_t usual_context(const struct fit_model *m, const struct fit_use *use)
{
    if (use->context)
        return use->context;
    return m->context_most && m->context_most < FIT_CONTEXT_USUAL ? m->context_most
                                                                  : FIT_CONTEXT_USUAL;
}

uint64_t fit_least(const struct fit_model *model, const struct fit_use *use, bool gpu)
{
    size_t layers = gpu ? model->n_layers + 1 : 0;
    struct fit_need need = choice_of(model, use, least_context(model, use), 1, layers).need;
    return gpu ? need.gpu.total : need.host.total;
}

bool fit_choose(const struct fit_model *model, const struct fit_use *use,
                const struct fit_memory *memory, struct fit_choice *ret_choice)
{
    size_t all = has_devices(memory) ? model->n_layers + 1 : 0;
    uint32_t least = least_context(model, use), context = usual_context(model, use);
    bool fits;
    while (!(fits = try_it(model, use, context, all, memory, ret_choice)) && context > least)
        context = context / 2 > least ? context / 2 : least;
    if (fits) {
        grow(model, use, memory, ret_choice);
        return true;
    }
    /* The first "layer" is the output matrix: alone it is not worth the way. */
    for (size_t layers = model->n_layers; memory->gpu && layers > 1; layers--) {
        if (try_it(model, use, least, layers, memory, ret_choice))
            return true;
    }
    (void)try_it(model, use, least, all, memory, ret_choice);
    return false;
}

enum fit_way fit_by_size(uint64_t need, const struct fit_memory *memory)
{
    uint64_t gpu = fit_usable(memory->gpu);
    uint64_t host = usable_host(memory);
    for (size_t i = 0; i < memory->n_nodes; i++) {
        uint64_t there = fit_usable(memory->node[i]);
        need -= there < need ? there : need;
    }
    if (!memory->gpu)
        return need <= host ? FIT_WHOLE : FIT_NOWHERE;
    if (need <= gpu && (!memory->shared || need <= host))
        return FIT_WHOLE;
    uint64_t beside = memory->shared ? 0 : gpu;
    return need <= host || need - host <= beside ? FIT_PART : FIT_NOWHERE;
}
