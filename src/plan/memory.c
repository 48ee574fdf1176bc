/* memory.c - does the model fit on what a choice computes with, and if not whole, how much of it?
 */
#include "plan/access.h"
#include "plan/device.h"
#include "plan/quirk.h"

#include <stdio.h>

/* Largest buffer that lavapipe lets a shader see (maxStorageBufferRange, measured): the engine
 * leaves what is larger on the CPU. */
#define SOFTWARE_TENSOR_MOST (UINT64_C(128) << 20)

/* Use that is told: less is the screen's. */
#define BUSY_LEAST (UINT64_C(512) << 20)

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a; /* 0 is unknown */
}

/* Numbers of a capture may be any. */
static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t host_memory(const struct machine *m, bool now)
{
    uint64_t all = least_of(m->host.memory_bytes, m->host.cgroup_limit_bytes);
    return now ? least_of(all, m->host.memory_free_bytes) : all;
}

/* What this package's own device list said of this GPU when it was proven, if its driver tells the
 * same of it today; 0 nothing yet. */
static uint64_t seen_memory(const struct builder *d, const struct candidate *c)
{
    uint64_t seen = 0;
    struct buf CLEAN_BUF on = BUF_INIT(100), package = BUF_INIT(400);
    if (!c->installed || !c->installed->digest || !c->gpu->pci[0])
        return 0;
    buf_addf(&on, "%s|%s|", plan_backend_name(c->backend), c->gpu->pci);
    buf_addf(&package, "|%.*s@%s|", STR_ARG(plan_candidate_package(c)), c->installed->digest);
    for (size_t i = 0; i < d->request->n_proofs; i++) {
        const struct plan_proof *proof = &d->request->proof[i];
        struct str name = str_from(proof->fingerprint);
        if (proof->passed && proof->device_bytes &&
            proof->gpu_bytes == machine_gpu_memory(d->m, c->gpu) &&
            str_starts(name, buf_view(&on)) && str_has(name, buf_view(&package)))
            seen = proof->device_bytes;
    }
    return seen;
}

/* Of an integrated GPU, by the row of quirks.tsv for this backend: docs/fit.md has the rules. Where
 * no row says, all that any engine could use. */
static uint64_t shared_memory(struct builder *d, const struct candidate *c, bool now)
{
    const struct machine *m = d->m;
    const struct machine_gpu *gpu = c->gpu;
    struct str rule = plan_quirk_memory(d, c);
    uint64_t used = now ? gpu->vram_used_bytes : 0;
    uint64_t own = used < gpu->vram_bytes ? gpu->vram_bytes - used : 0;
    uint64_t lent = machine_gpu_lent(m, gpu);
    uint64_t all = machine_gpu_memory(m, gpu);
    uint64_t have = now ? machine_gpu_memory_free(m, gpu) : all;
    if (!all || rule.n == 0 || str_is(rule, "heaps"))
        return have;
    if (str_is(rule, "two-thirds"))
        return least_of(have, all / 3 * 2);
    if (str_is(rule, "host"))
        return host_memory(m, now);
    if (str_is(rule, "vram") || gpu->vram_bytes >= gpu->gtt_bytes)
        return own ? own : 1;
    return now ? least_of(lent, m->host.memory_free_bytes) : lent;
}

static uint64_t gpu_memory(struct builder *d, const struct candidate *c, bool now)
{
    const struct machine *m = d->m;
    if (c->set)
        return plan_gpu_set_memory(m, c->set, now);
    uint64_t have = c->gpu->kind == GFX_INTEGRATED ? shared_memory(d, c, now)
                    : now                          ? machine_gpu_memory_free(m, c->gpu)
                                                   : machine_gpu_memory(m, c->gpu);
    uint64_t seen = seen_memory(d, c);
    return seen && (!now || !have || seen < have) ? seen : have;
}

/* Of the GPU, or RAM where the backend computes on the CPU; 0 unknown. */
static uint64_t memory_for(struct builder *d, const struct candidate *c, bool now)
{
    if (c->gpu)
        return gpu_memory(d, c, now);
    return c->backend == PLAN_CPU || c->backend == PLAN_VULKAN_SOFTWARE ? host_memory(d->m, now)
                                                                        : 0;
}

uint64_t plan_memory_have(struct builder *d, const struct candidate *c)
{
    return memory_for(d, c, true);
}

/* What to do about an APU whose share of RAM is the limit; empty where nothing can be done. */
static void memory_remedy(const struct builder *d, const struct machine_gpu *gpu, uint64_t need,
                          char *ret_text, size_t size)
{
    const uint64_t gib = UINT64_C(1) << 30;
    ret_text[0] = '\0';
    if (!gpu || gpu->kind != GFX_INTEGRATED || machine_gpu_memory(d->m, gpu) >= need ||
        d->m->host.memory_bytes < 4 * gib || need > d->m->host.memory_bytes - 4 * gib)
        return;
    uint64_t pages = (need / gib + 2) * 262144;
    struct buf CLEAN_BUF where = BUF_INIT(100);
    plan_container_host(d->m, &where);
    snprintf(ret_text, size,
             "This APU borrows RAM up to a limit of the kernel: %sboot with %s.pages_limit=%llu to "
             "raise it.",
             buf_text(&where), d->m->host.amdgpu_version[0] ? "amdttm" : "ttm",
             (unsigned long long)pages);
}

/* What there is: now, or when nothing else runs. managed: the GPU uses the computer's memory. */
static struct fit_memory memory_of(struct builder *d, const struct candidate *c, bool managed,
                                   bool now)
{
    const struct machine_gpu *gpu = c->gpu;
    struct fit_memory memory = {.host = host_memory(d->m, now),
                                .n_nodes = c->nodes ? c->nodes->n : 0};
    for (size_t i = 0; i < memory.n_nodes; i++) {
        const struct plan_node *node = c->nodes->node[i];
        memory.node[i] = now || !node->total_bytes ? node->free_bytes : node->total_bytes;
    }
    if (c->backend == PLAN_CPU)
        return memory;
    memory.gpu = managed ? host_memory(d->m, now) : memory_for(d, c, now);
    memory.shared = !gpu || plan_device_shares(gpu);
    if (gpu && memory.shared && memory.host && !managed)
        /* the carve-out is no part of what the kernel counts */
        memory.host = sum_of(memory.host, gpu->vram_bytes);
    if (memory.gpu == 0)
        memory.gpu = UINT64_MAX; /* unknown: nothing is rejected for it */
    return memory;
}

/* "24.0 GiB on the GPU and 32.0 GiB beside it and 64.0 GiB on node tower" */
static void tell_memory(const struct fit_memory *memory, const struct plan_node_set *nodes,
                        struct buf *ret)
{
    char gpu[DEVICE_SIZE_MAX], host[DEVICE_SIZE_MAX];
    plan_device_size(memory->gpu, gpu);
    plan_device_size(memory->host, host);
    if (!memory->gpu)
        buf_add_text(ret, host);
    else if (memory->shared || !memory->host)
        buf_add_text(ret, gpu);
    else
        buf_addf(ret, "%s on the GPU and %s beside it", gpu, host);
    for (size_t i = 0; i < memory->n_nodes; i++) {
        plan_device_size(memory->node[i], host);
        buf_addf(ret, "%s%s on node %s", i + 1 < memory->n_nodes ? ", " : " and ", host,
                 nodes->node[i]->name);
    }
}

static void tell_used(struct buf *ret, const char *what, const char *name, uint64_t all,
                      uint64_t now)
{
    char used_text[DEVICE_SIZE_MAX], all_text[DEVICE_SIZE_MAX];
    if (all < now || all - now < BUSY_LEAST)
        return;
    plan_device_size(all - now, used_text);
    plan_device_size(all, all_text);
    buf_addf(ret, "%s%s of %s%s's %s", ret->n ? " and " : "", used_text, what, name, all_text);
}

/* It would fit, or fit better, if less were in use: that comes and goes, so it rejects nothing. */
static void warn_busy(struct builder *d, struct builder_choice *dc, const struct fit_memory *all,
                      const struct fit_memory *now, bool in_part)
{
    const bool card = all->gpu && !all->shared;
    struct buf CLEAN_BUF used = BUF_INIT(200);
    if (card)
        tell_used(&used, "the GPU", "", all->gpu, now->gpu);
    if (!card || !in_part)
        tell_used(&used, "the computer", "", all->host, now->host);
    for (size_t i = 0; i < all->n_nodes; i++)
        tell_used(&used, "node ", dc->candidate.nodes->node[i]->name, all->node[i], now->node[i]);
    if (used.n)
        plan_builder_warn(
            d, dc, "%s are in use at the moment, so that the model %s: close programs.",
            buf_text(&used), in_part ? "does not fit on the GPU whole" : "does not fit");
}

/* "20 of 33 layers", and what stays in the computer's memory. */
static void tell_partial(struct builder_choice *dc, const struct fit_choice *fit)
{
    char gpu[DEVICE_SIZE_MAX], host[DEVICE_SIZE_MAX];
    plan_device_size(fit->need.gpu.total, gpu);
    plan_device_size(fit->need.host.total, host);
    if (dc->known.n)
        buf_add_text(&dc->known, ", ");
    buf_addf(&dc->known,
             "%zu of the model's %zu layers fit (%s), the rest computes on the CPU (%s)",
             fit->gpu_layers, dc->choice.layers + 1, gpu, host);
}

static void take_fit(struct builder *d, struct builder_choice *dc, const struct fit_choice *fit)
{
    struct plan_choice *choice = &dc->choice;
    bool gpu = fit->gpu_layers > 0 && dc->candidate.backend != PLAN_CPU;
    choice->context = fit->context;
    choice->slots = fit->slots;
    choice->layers = d->request->model->n_layers;
    choice->gpu_layers = fit->gpu_layers;
    choice->need_bytes = gpu ? fit->need.gpu.total : fit->need.host.total;
    choice->host_bytes = gpu ? fit->need.host.total : 0;
    dc->partial = !fit->whole;
    if (dc->candidate.nodes)
        plan_node_set_take(d, dc, fit);
}

/* With the least context. */
static uint64_t least_need(const struct plan_request *request)
{
    return request->model ? fit_least(request->model, &request->use, true) : request->need_bytes;
}

/* Nothing of it, or not even a few layers: what would be needed, and what there is. */
static bool reject_model(struct builder *d, struct builder_choice *dc,
                         const struct fit_memory *memory)
{
    char need[DEVICE_SIZE_MAX], context[60] = "", remedy[200];
    struct buf CLEAN_BUF have = BUF_INIT(100);
    plan_device_size(dc->choice.need_bytes, need);
    tell_memory(memory, dc->candidate.nodes, &have);
    memory_remedy(d, dc->candidate.gpu, least_need(d->request), remedy, sizeof(remedy));
    if (d->request->model)
        snprintf(context, sizeof(context), " with a context of %u tokens", dc->choice.context);
    return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_MEMORY_TOO_SMALL,
                               "The model needs %s%s and there are %s, of which a part is left to "
                               "others: take a smaller model%s or a smaller quantisation%s.%s%s",
                               need, context, buf_text(&have), d->request->model ? "," : "",
                               d->request->model ? " or a shorter context" : "",
                               remedy[0] ? " " : "", remedy);
}

/* Only a part of it computes on the GPU: what would change that. */
static void warn_partial(struct builder *d, struct builder_choice *dc)
{
    char remedy[200];
    memory_remedy(d, dc->candidate.gpu, least_need(d->request), remedy, sizeof(remedy));
    if (remedy[0])
        plan_builder_warn(d, dc, "%s", remedy);
}

static struct fit_use use_of(const struct builder *d, const struct candidate *c)
{
    struct fit_use use = d->request->use;
    use.gpus = c->set ? (uint32_t)c->set->n : 1;
    if (c->nodes)
        use.gpus = (uint32_t)c->nodes->n + (c->backend != PLAN_CPU);
    if (c->backend == PLAN_VULKAN_SOFTWARE)
        use.tensor_most = SOFTWARE_TENSOR_MOST;
    return use;
}

bool plan_memory_is_enough(struct builder *d, const struct candidate *c)
{
    const struct plan_request *request = d->request;
    struct fit_memory now = memory_of(d, c, false, true);
    struct fit_use use = use_of(d, c);
    struct fit_choice fit;
    return request->model ? fit_choose(request->model, &use, &now, &fit)
                          : fit_by_size(request->need_bytes, &now) != FIT_NOWHERE;
}

/* How it fits now; else how it would if nothing else ran. */
static bool choose_fit(struct builder *d, struct builder_choice *dc, struct fit_choice *ret_fit)
{
    struct fit_use use = use_of(d, &dc->candidate);
    struct fit_memory all = memory_of(d, &dc->candidate, dc->managed, false);
    struct fit_memory now = memory_of(d, &dc->candidate, dc->managed, true);
    struct fit_choice alone;
    bool fits = fit_choose(d->request->model, &use, &now, ret_fit);
    if (fits && ret_fit->whole)
        return true;
    bool could = fit_choose(d->request->model, &use, &all, &alone);
    if (!fits)
        *ret_fit = alone;
    if (!could) {
        take_fit(d, dc, &alone);
        if (dc->candidate.nodes)
            dc->choice.need_bytes = sum_of(alone.need.gpu.total, alone.need.host.total);
        return reject_model(d, dc, &all);
    }
    if (!fits || alone.whole)
        warn_busy(d, dc, &all, &now, fits);
    return true;
}

/* A model that is larger than the GPU's own memory may fit in the computer's, where a row lets this
 * package use it: said, because it is slower and has gone wrong elsewhere. */
static void try_managed(struct builder *d, struct builder_choice *dc)
{
    const struct plan_request *request = d->request;
    const struct machine_gpu *gpu = dc->candidate.gpu;
    const struct gfx_quirk *row = NULL;
    struct fit_memory own = memory_of(d, &dc->candidate, false, true);
    uint64_t least = least_need(request);
    if (dc->candidate.backend == PLAN_ROCM && gpu && !dc->candidate.nodes &&
        gpu->kind == GFX_INTEGRATED && least > fit_usable(own.gpu) &&
        least <= fit_usable(host_memory(d->m, true)))
        row = plan_quirk_managed(d, &dc->candidate);
    if (!row)
        return;
    dc->managed = true;
    dc->choice.have_bytes = host_memory(d->m, true);
    plan_builder_warn(d, dc, "The model is larger than what ROCm counts as this GPU's memory. %.*s",
                      STR_ARG(row->text));
}

static bool check_model(struct builder *d, struct builder_choice *dc)
{
    struct fit_choice fit;
    char need[DEVICE_SIZE_MAX], have[DEVICE_SIZE_MAX];
    try_managed(d, dc);
    if (!choose_fit(d, dc, &fit))
        return false;
    take_fit(d, dc, &fit);
    if (dc->choice.have_bytes == 0)
        plan_words_add(&dc->unknown, "how much memory it has");
    if ((dc->partial || dc->candidate.nodes) && d->engine.layers_arg.n) {
        plan_builder_arg(d, dc, "%.*s", STR_ARG(d->engine.layers_arg));
        plan_builder_arg(d, dc, "%zu", fit.gpu_layers);
    }
    if (dc->candidate.nodes)
        return true;
    if (dc->partial) {
        warn_partial(d, dc);
        tell_partial(dc, &fit);
        return true;
    }
    plan_device_size(dc->choice.need_bytes, need);
    plan_device_size(dc->choice.have_bytes, have);
    if (dc->choice.have_bytes)
        plan_words_add(&dc->known, have);
    buf_addf(&dc->known, "%s%s needed with a context of %u tokens",
             dc->choice.have_bytes ? " of memory for the "
             : dc->known.n         ? ", "
                                   : "",
             need, fit.context);
    return true;
}

/* Without the header: the sizes alone. How many layers it would be is not known. */
static bool check_size(struct builder *d, struct builder_choice *dc)
{
    try_managed(d, dc);
    struct fit_memory all = memory_of(d, &dc->candidate, dc->managed, false);
    struct fit_memory now = memory_of(d, &dc->candidate, dc->managed, true);
    uint64_t need = dc->choice.need_bytes;
    enum fit_way alone = fit_by_size(need, &all), way = fit_by_size(need, &now);
    char need_text[DEVICE_SIZE_MAX], have_text[DEVICE_SIZE_MAX];
    if (alone == FIT_NOWHERE)
        return reject_model(d, dc, &all);
    if (way < alone)
        warn_busy(d, dc, &all, &now, way == FIT_PART);
    dc->partial = (way == FIT_NOWHERE ? alone : way) == FIT_PART;
    if (dc->partial)
        warn_partial(d, dc);
    plan_device_size(need, need_text);
    plan_device_size(dc->choice.have_bytes, have_text);
    plan_words_add(&dc->known, have_text);
    buf_addf(&dc->known, " of memory for %sthe %s needed",
             dc->partial || dc->candidate.nodes ? "a part of " : "", need_text);
    return true;
}

static bool check_memory(struct builder *d, struct builder_choice *dc)
{
    if (d->request->model)
        return check_model(d, dc);
    if (dc->choice.need_bytes == 0)
        return true;
    if (dc->choice.have_bytes > 0)
        return check_size(d, dc);
    plan_words_add(&dc->unknown, "how much memory it has");
    return true;
}

bool plan_check_memory(struct builder *d, struct builder_choice *dc)
{
    struct buf CLEAN_BUF words = BUF_INIT(900);
    if (dc->candidate.nodes && !d->request->model)
        plan_node_set_take(d, dc, NULL);
    if (!check_memory(d, dc))
        return false;
    plan_node_set_words(&dc->choice, &words);
    struct str told = str_trim(buf_view(&words));
    if (told.n)
        buf_addf(&dc->known, "%s%.*s", dc->known.n ? ", " : "", (int)told.n - 1, told.p);
    return true;
}

uint64_t plan_memory_need(const struct plan_request *request)
{
    uint64_t least = least_need(request);
    return least ? least + fit_margin(least) : 0;
}

/* Of this GPU and all like it. */
static uint64_t memory_with_equals(const struct machine *m, const struct machine_gpu *gpu)
{
    struct plan_gpu_set set;
    plan_gpu_set_like(m, gpu, &set);
    return set.n > 1 ? plan_gpu_set_memory(m, &set, false) : machine_gpu_memory(m, gpu);
}

uint64_t plan_memory_gpu(const struct machine *m)
{
    uint64_t most = 0;
    for (size_t i = 0; i < m->n_gpus; i++) {
        uint64_t have = fit_usable(memory_with_equals(m, &m->gpu[i]));
        most = have > most ? have : most;
    }
    return most;
}

uint64_t plan_memory_most(const struct machine *m)
{
    const uint64_t host = host_memory(m, false);
    uint64_t most = fit_usable(host);
    for (size_t i = 0; host && i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        uint64_t have = memory_with_equals(m, gpu);
        uint64_t with = plan_device_shares(gpu)
                            ? have ? fit_usable(sum_of(host, gpu->vram_bytes)) : 0
                            : sum_of(fit_usable(host), fit_usable(have));
        most = with > most ? with : most;
    }
    return host ? most : 0;
}
