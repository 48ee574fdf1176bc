/* node_set.c - other computers that hold a part of a model, where this one does not hold it alone.
 */
#include "plan/node_set.h"

#include "plan/builder.h"
#include "plan/device.h"

#define DIGEST_SHORT 16 /* hex digits of a digest in a fingerprint */

/* ---- may a node take part? ---- */

static bool is_known(const char *text)
{
    return text && text[0];
}

static bool is_same(const char *a, const char *b)
{
    return is_known(a) && is_known(b) && strcmp(a, b) == 0;
}

static bool is_other(const char *a, const char *b)
{
    return is_known(a) && is_known(b) && strcmp(a, b) != 0;
}

/* Does its worker fit the engine here? Packages of two providers never do. What else is not known
 * before an installation rejects nothing: then it is looked at again. */
static bool speaks(const struct builder *d, const struct candidate *c, const struct plan_node *node)
{
    const struct plan_installed *here = c->installed;
    const struct gfx_package *there =
        node->package ? gfx_package_find(d->tables, node->package) : NULL;
    if (!here)
        return !there || !c->row || str_eq(there->provider, c->row->provider);
    return is_same(here->digest, node->digest) ||
           (!is_other(here->version, node->version) && !is_other(here->protocol, node->protocol));
}

/* Can the package use other computers at all? */
static bool has_protocol(const struct candidate *c)
{
    return !c->installed || !c->installed->protocol || c->installed->protocol[0];
}

/* The name of a computer that has this memory already: one that comes first, or this one. */
static const char *counted_as(const struct plan_request *request, size_t i)
{
    const struct plan_node *node = &request->node[i];
    if (is_same(node->computer, request->computer))
        return "this computer";
    for (size_t k = 0; k < i; k++) {
        const struct plan_node *other = &request->node[k];
        if (!other->code &&
            (is_same(node->computer, other->computer) || is_same(node->identity, other->identity)))
            return other->name;
    }
    return NULL;
}

/* "debian-cpu 0.7.0 with protocol 8.0.0" */
static void tell_version(const char *package, const char *version, const char *protocol,
                         struct buf *ret)
{
    buf_addf(ret, "%s %s with protocol %s", is_known(package) ? package : "an engine",
             is_known(version) ? version : "of an unknown version",
             is_known(protocol) ? protocol : "unknown");
}

/* GFXB_E_OK, or why this node is in no set, in a sentence. */
static int refusal_of(const struct builder *d, const struct candidate *base, size_t i,
                      struct buf *ret)
{
    const struct plan_node *node = &d->request->node[i];
    const char *as = counted_as(d->request, i);
    if (node->code) {
        struct str why =
            str_from(is_known(node->reason) ? node->reason : gfxb_code_name(node->code));
        buf_addf(ret, "Node %s cannot help: %.*s%s", node->name, STR_ARG(why),
                 str_ends(why, STR(".")) ? "" : ".");
        return node->code;
    }
    if (as) {
        buf_addf(ret, "Node %s is the same computer as %s: its memory counts once.", node->name,
                 strcmp(as, "this computer") == 0 ? "this one" : as);
        return GFXB_E_POLICY;
    }
    if (!node->total_bytes && !node->free_bytes) {
        buf_addf(ret, "Node %s cannot help: it does not tell how much memory it has.", node->name);
        return GFXB_E_NODE_UNPROVEN;
    }
    if (speaks(d, base, node))
        return GFXB_E_OK;
    buf_addf(ret, "Node %s runs ", node->name);
    tell_version(node->package, node->version, node->protocol, ret);
    buf_add_text(ret, ", and this computer ");
    if (base->installed)
        tell_version(base->installed->id, base->installed->version, base->installed->protocol, ret);
    else
        buf_addf(ret, "would run %.*s, another build", STR_ARG(plan_candidate_package(base)));
    buf_addf(ret, ": both must have the same version (gfxbridge backends install %.*s:%s).",
             STR_ARG(d->engine.name), plan_backend_name(base->backend));
    return GFXB_E_NODE_VERSION;
}

static void member_set(struct builder *d, struct builder_choice *dc, size_t n)
{
    dc->choice.member = calloc(n, sizeof(*dc->choice.member));
    dc->choice.n_members = dc->choice.member ? n : 0;
    d->failed = d->failed || !dc->choice.member;
}

/* A rejected choice that says why a node is in none. */
static void refuse(struct builder *d, const struct candidate *base, const struct plan_node *node,
                   int code, const char *why)
{
    static const struct plan_node_set alone = {.n = 0};
    struct candidate c = *base;
    c.nodes = &alone;
    struct builder_choice *dc = plan_builder_add(d, &c);
    if (!dc)
        return;
    member_set(d, dc, 1);
    if (dc->choice.member)
        dc->choice.member[0] = (struct plan_member){.node = node, .have_bytes = node->free_bytes};
    if (code == GFXB_E_NODE_UNREACHABLE)
        plan_builder_tell(d, dc, PLAN_E2, TRI_UNKNOWN, "what node %s has: it did not answer",
                          node->name);
    (void)plan_builder_reject(d, dc, PLAN_E2, code, "%s", why);
}

/* ---- the choices ---- */

/* The nodes that may join this base, those with most free memory first. Each one that may not gets
 * a choice that says so; what has nothing to do with the base is said once. */
static size_t choose_nodes(struct builder *d, const struct candidate *base, bool first,
                           struct plan_node_set *ret_set)
{
    size_t n = 0;
    for (size_t i = 0; i < d->request->n_nodes; i++) {
        const struct plan_node *node = &d->request->node[i];
        struct buf CLEAN_BUF why = BUF_INIT(900);
        int code = refusal_of(d, base, i, &why);
        if (code && (first || code == GFXB_E_NODE_VERSION))
            refuse(d, base, node, code, buf_text(&why));
        size_t at = n;
        while (!code && at > 0 && ret_set->node[at - 1]->free_bytes < node->free_bytes)
            at--;
        if (code || at == FIT_NODES_MOST)
            continue;
        n += n < FIT_NODES_MOST;
        memmove(&ret_set->node[at + 1], &ret_set->node[at],
                (n - 1 - at) * sizeof(ret_set->node[0]));
        ret_set->node[at] = node;
    }
    return n;
}

/* How likely it is that a node can join, best last: the package cannot do it, it is not here and
 * none can, it is here and none can, it can be installed for one, it is here and one can. */
static int prospect_of(const struct builder *d, const struct candidate *c)
{
    bool joins = false;
    for (size_t i = 0; i < d->request->n_nodes; i++)
        joins = joins || (!d->request->node[i].code && speaks(d, c, &d->request->node[i]));
    return has_protocol(c) ? 2 * joins + (c->installed != NULL) : -1;
}

/* Of a backend's first n choices the best that lacks nothing but memory, and that a node can join
 * if any can. */
static const struct builder_choice *base_of(const struct builder *d, size_t n,
                                            enum plan_backend backend)
{
    const struct builder_choice *best = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct builder_choice *dc = d->item[i];
        const struct candidate *c = &dc->candidate;
        if (c->backend != backend || c->set ||
            (dc->choice.state == PLAN_REJECTED && dc->choice.code != GFXB_E_MEMORY_TOO_SMALL))
            continue;
        int gain = best ? prospect_of(d, c) - prospect_of(d, &best->candidate) : 1;
        if (gain > 0 || (gain == 0 && plan_builder_before(dc, best)))
            best = dc;
    }
    return best;
}

static bool is_alone_enough(const struct builder *d)
{
    for (size_t i = 0; i < d->n; i++) {
        if (d->item[i]->choice.state != PLAN_REJECTED)
            return true;
    }
    return false;
}

static void build(struct builder *d, const struct candidate *base, bool first)
{
    static void (*const judges[PLAN_BACKENDS])(struct builder *, const struct candidate *) = {
        plan_rocm_judge, plan_vulkan_judge, plan_cpu_judge, plan_software_judge};
    struct plan_node_set *set = &d->node_set[base->backend];
    struct candidate c = *base;
    if (!has_protocol(base)) {
        struct buf CLEAN_BUF why = BUF_INIT(300);
        buf_addf(&why,
                 "%s has no part that uses other computers: install a package that has "
                 "(gfxbridge backends install %.*s:%s).",
                 base->installed->id, STR_ARG(d->engine.name), plan_backend_name(base->backend));
        refuse(d, base, &d->request->node[0], GFXB_E_NODE_VERSION, buf_text(&why));
        return;
    }
    size_t all = choose_nodes(d, base, first, set);
    c.nodes = set;
    if (all == 0)
        return;
    for (set->n = 1; set->n < all && !plan_memory_is_enough(d, &c); set->n++)
        ;
    judges[base->backend](d, &c);
}

void plan_builder_nodes(struct builder *d)
{
    const struct plan_request *request = d->request;
    const size_t n = d->n;
    bool first = true;
    if (d->failed || !request->n_nodes || request->os != GFX_LINUX ||
        (!request->want_set && is_alone_enough(d)))
        return;
    for (unsigned i = 0; i < PLAN_BACKENDS; i++) {
        const struct builder_choice *base = base_of(d, n, (enum plan_backend)i);
        if (!base)
            continue;
        build(d, &base->candidate, first);
        first = false;
    }
}

/* ---- what a choice says of them ---- */

static void take_links(const struct plan_node_set *set, struct plan_choice *choice)
{
    double seconds = 0;
    for (size_t i = 0; i < set->n; i++) {
        const struct plan_node *node = set->node[i];
        if (node->bytes_per_second < 1 || node->round_trip_us <= 0)
            return;
        seconds += node->round_trip_us / 1e6 +
                   (double)choice->link_bytes / (double)set->n / node->bytes_per_second;
    }
    choice->link_ms = seconds * 1000;
}

void plan_node_set_take(struct builder *d, struct builder_choice *dc, const struct fit_choice *fit)
{
    const struct plan_node_set *set = dc->candidate.nodes;
    const struct plan_request *request = d->request;
    bool gpu = dc->candidate.backend != PLAN_CPU;
    free(dc->choice.member);
    member_set(d, dc, set->n);
    for (size_t i = 0; i < dc->choice.n_members; i++)
        dc->choice.member[i] = (struct plan_member){.node = set->node[i],
                                                    .layers = fit ? fit->node_layers[i] : 0,
                                                    .need_bytes = fit ? fit->node_bytes[i] : 0,
                                                    .have_bytes = set->node[i]->free_bytes};
    if (!fit)
        return;
    dc->choice.link_bytes = fit_link_bytes(request->model, &request->use, fit, set->n, gpu);
    take_links(set, &dc->choice);
}

void plan_node_set_words(const struct plan_choice *choice, struct buf *ret)
{
    size_t there = 0;
    for (size_t i = 0; i < choice->n_members; i++) {
        const struct plan_member *member = &choice->member[i];
        char need[DEVICE_SIZE_MAX], have[DEVICE_SIZE_MAX];
        uint64_t all = member->node->total_bytes;
        plan_device_size(member->need_bytes, need);
        plan_device_size(all ? all : member->have_bytes, have);
        there += member->layers;
        buf_addf(ret, "%s%s", i ? ", node " : " Node ", member->node->name);
        if (member->layers && i == 0)
            buf_addf(ret, " holds %zu of the model's %zu layers (%s of %s)", member->layers,
                     choice->layers + 1, need, have);
        else if (member->layers)
            buf_addf(ret, " %zu (%s of %s)", member->layers, need, have);
        else
            buf_addf(ret, " helps with %s", have);
    }
    if (!choice->n_members)
        return;
    if (there && choice->gpu_layers > there)
        buf_addf(ret, ", the GPU here %zu", choice->gpu_layers - there);
    if (there && choice->layers >= choice->gpu_layers)
        buf_addf(ret, ", the CPU here %zu", choice->layers + 1 - choice->gpu_layers);
    if (choice->link_bytes)
        buf_addf(ret, "; a token of the answer moves %llu KiB between them at most",
                 (unsigned long long)(choice->link_bytes + 1023) / 1024);
    if (choice->link_ms > 0) {
        uint64_t tenths = (uint64_t)(choice->link_ms * 10 + 0.5); /* without the locale's point */
        buf_addf(ret, ", which takes %llu.%llu ms", (unsigned long long)(tenths / 10),
                 (unsigned long long)(tenths % 10));
    }
    buf_add_char(ret, '.');
}

void plan_node_set_fingerprint(const struct plan_node_set *set, struct buf *ret)
{
    for (size_t i = 0; set && i < set->n; i++)
        buf_addf(ret, "+%.*s@%.*s", DIGEST_SHORT,
                 set->node[i]->identity ? set->node[i]->identity : "-", DIGEST_SHORT,
                 set->node[i]->fingerprint ? set->node[i]->fingerprint : "-");
}
