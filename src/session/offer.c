/* offer.c - what this computer offers to paired ones: its best proven choice that has a worker. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <stdio.h>

struct session_offer {
    const struct session_request *request;
    struct session_request alone; /* which it is, without other computers */
    struct session session;       /* its running choice is what is offered */
    struct node_status status;    /* but for what changes */
    struct engine *worker;        /* NULL none */
};

static void offer_put(char ret_text[static NODE_TEXT], const char *text)
{
    snprintf(ret_text, NODE_TEXT, "%s", text ? text : "");
}

static int offer_start(void *context, const struct node_want *want, struct gfxb_error *err)
{
    struct session_offer *offer = context;
    const struct session *s = &offer->session;
    const struct engine_proof *proof = engine_proofs_find(s->stored, s->running->fingerprint);
    char *CLEAN_FREE cache_dir = session_home(offer->request, s->package);
    struct engine_spec spec;
    uint64_t total;
    (void)want; /* an estimate: what is free here is the bound */
    session_spec(offer->request, s->package, cache_dir, &spec);
    engine_spec_choose(&spec, s->running);
    if (proof && proof->device[0])
        spec.device = proof->device;
    machine_memory(offer->request->root, &total, &spec.memory);
    return engine_start_worker(&spec, &offer->worker, err);
}

static int offer_connect(void *context)
{
    const struct session_offer *offer = context;
    return engine_connect(offer->worker);
}

static int offer_check(void *context, struct gfxb_error *err)
{
    struct session_offer *offer = context;
    int result = engine_check(offer->worker, err);
    return result == 0 && engine_is_stopped(offer->worker)
               ? error_set(err, GFXB_E_ENGINE_HANG, "its worker is stopped by a signal")
               : result;
}

static void offer_stop(void *context)
{
    struct session_offer *offer = context;
    engine_stop(offer->worker);
    offer->worker = NULL;
}

/* The computer's cards and memory now. */
static void offer_describe(void *context, struct node_status *ret_status)
{
    const struct session_offer *offer = context;
    const char *pci = offer->session.running->gpu_pci[0];
    struct machine *m = NULL;
    *ret_status = offer->status;
    if (machine_new(offer->request->root, offer->request->tables, &m, NULL) < 0)
        return;
    if (!pci)
        machine_memory(offer->request->root, &ret_status->total, &ret_status->free);
    uint64_t limit = m->host.cgroup_limit_bytes;
    if (!pci && limit && limit < ret_status->total)
        ret_status->total = limit;
    for (size_t i = 0; i < m->n_gpus && ret_status->n_cards < NODE_CARDS_MAX; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        struct node_card *card = &ret_status->card[ret_status->n_cards++];
        struct str name = gpu->card ? gfx_card_name(gpu->card) : STR("unknown card");
        snprintf(card->name, sizeof(card->name), "%.*s", STR_ARG(name));
        offer_put(card->pci, gpu->pci);
        if (gpu->target)
            snprintf(card->gfx, sizeof(card->gfx), "%.*s", STR_ARG(gpu->target->gfx));
        card->total = machine_gpu_memory(m, gpu);
        card->free = machine_gpu_memory_free(m, gpu);
        if (pci && strcmp(pci, gpu->pci) == 0) {
            memcpy(ret_status->device, card->name, sizeof(card->name));
            ret_status->total = card->total;
            ret_status->free = card->free;
        }
    }
    machine_free(m);
}

/* What does not change while it is offered. */
static int offer_fill(struct session_offer *offer, struct gfxb_error *err)
{
    struct node_status *status = &offer->status;
    const struct plan_choice *choice = offer->session.running;
    const struct package *package = offer->session.package;
    int result = offer_start(offer, &(struct node_want){.memory = 0}, err);
    if (result < 0)
        return result;
    offer_put(status->version, GFXB_VERSION);
    offer_put(status->os, offer->request->machine->host.os);
    offer_put(status->arch, offer->request->machine->host.arch);
    offer_put(status->device, offer->request->machine->host.cpu);
    offer_put(status->gfx, choice->gfx);
    offer_put(status->backend, plan_backend_name(choice->backend));
    offer_put(status->package, package->id);
    offer_put(status->engine, package->version);
    offer_put(status->protocol, engine_protocol(offer->worker));
    snprintf(status->package_digest, sizeof(status->package_digest), "%s", package->digest);
    offer_stop(offer);
    return digest_bytes(choice->fingerprint, strlen(choice->fingerprint), status->fingerprint);
}

/* Until the engine of a choice that has a worker answers. */
static int offer_prove(struct session_offer *offer, struct gfxb_error *err)
{
    struct session_history history = {.served = false};
    struct gfxb_error why = {.code = 0};
    int result;
    while ((result = session_bring_up(offer->request, &history, &offer->session, err)) == 0 &&
           engine_has_worker(offer->session.package, &why) < 0) {
        struct session_failure left_out = {.fingerprint = offer->session.running->fingerprint,
                                           .detail = why.text,
                                           .code = why.code};
        session_history_add(&history, &left_out);
    }
    session_history_done(&history);
    session_stop_engine(&offer->session);
    if (result < 0 && why.code && !session_is_ours(-result) && result != -GFXB_E_INTERRUPTED)
        return error_set(err, GFXB_E_NODE_UNPROVEN,
                         "no package here can compute for other computers: %s", why.text);
    return result;
}

int session_offer_new(const struct session_request *request, struct session_offer **ret_offer,
                      struct gfxb_error *err)
{
    struct session_offer *offer = xcalloc(1, sizeof(*offer));
    offer->alone = *request;
    /* What is lent is of this computer, never of one that it uses. */
    offer->alone.config_dir = NULL;
    offer->alone.request.want_set = false;
    offer->request = &offer->alone;
    int result = engine_remotes_possible(request->unconfined, err);
    if (result == 0)
        result = offer_prove(offer, err);
    if (result == 0)
        result = offer_fill(offer, err);
    if (result == 0)
        *ret_offer = offer;
    else
        session_offer_free(offer);
    return result;
}

void session_offer_serve(struct session_offer *offer, struct node_server *ret_server)
{
    ret_server->context = offer;
    ret_server->describe = offer_describe;
    ret_server->start = offer_start;
    ret_server->connect = offer_connect;
    ret_server->check = offer_check;
    ret_server->stop = offer_stop;
}

void session_offer_free(struct session_offer *offer)
{
    if (offer)
        session_done(&offer->session);
    free(offer);
}
