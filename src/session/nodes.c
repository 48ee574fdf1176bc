/*
 * nodes.c - other computers that a session may use: asked what they have, linked while an engine
 * runs on them, and left alone for a while when they failed.
 */
#include "base/xalloc.h"
#include "node/node.h"
#include "session/session_private.h"

#include <stdio.h>
#include <time.h>

enum {
    NODES_ASK_MS = 2000,
    NODES_OPEN_MS = 20000, /* its worker is started, and its driver with it */
    NODES_PAUSE_MS = 1000, /* a node that failed is not asked for so long; doubled each time */
    NODES_PAUSE_MAX_MS = 60000,
    NODES_LOST_MS = 8000, /* for the loss of a link to be noticed: more than node/ needs */
    NODES_LOOK_MS = 100,
    NODES_LEAVE_MS = 3000, /* a node that was just left may still call itself busy */
    NODES_PROTOCOLS = 16,
};

/* A node that failed. */
struct nodes_failure {
    char key[DIGEST_HEX];
    struct gfxb_error why; /* does not name it */
    int64_t until, pause_ms;
};

struct session_nodes {
    struct node_identity *identity;
    struct node_answer *answer;
    struct plan_node *node; /* of the answers, which lend it everything */
    size_t n;
    char computer[DIGEST_HEX];
    bool asked; /* since the bring-up began */
    struct nodes_failure failure[NODE_PEERS_MAX];
    size_t n_failures;
    /* Open, in the order of the choice's members: */
    struct node_link *link[FIT_NODES_MOST];
    struct engine_remote remote[FIT_NODES_MOST];
    struct node_peer peer[FIT_NODES_MOST];
    size_t n_links;
    int64_t left_at; /* when links were closed; 0 never */
    /* Of packages, as their workers told: */
    struct {
        char *digest, *text; /* owned */
    } protocol[NODES_PROTOCOLS];
    size_t n_protocols;
};

/* ---- those that failed ---- */

static struct nodes_failure *nodes_failure_of(struct session_nodes *nodes, const char *key)
{
    for (size_t i = 0; i < nodes->n_failures; i++) {
        if (strcmp(nodes->failure[i].key, key) == 0)
            return &nodes->failure[i];
    }
    return NULL;
}

static void nodes_fail(struct session_nodes *nodes, const struct node_peer *peer,
                       const struct gfxb_error *why)
{
    struct nodes_failure *f = nodes_failure_of(nodes, peer->key);
    char *CLEAN_FREE prefix = xasprintf("node %s: ", peer->name);
    size_t skip = str_starts(str_from(why->text), str_from(prefix)) ? strlen(prefix) : 0;
    int64_t now = clock_now_ms();
    if (!f && nodes->n_failures == NODE_PEERS_MAX)
        return;
    if (!f) {
        f = &nodes->failure[nodes->n_failures++];
        *f = (struct nodes_failure){.pause_ms = 0};
        snprintf(f->key, sizeof(f->key), "%s", peer->key);
    }
    /* One that has worked for long begins again. */
    bool again = f->pause_ms && now - f->until < NODES_PAUSE_MAX_MS;
    f->pause_ms = again ? 2 * f->pause_ms : NODES_PAUSE_MS;
    f->pause_ms = f->pause_ms < NODES_PAUSE_MAX_MS ? f->pause_ms : NODES_PAUSE_MAX_MS;
    f->until = now + f->pause_ms;
    error_set(&f->why, why->code, "%s", why->text + skip);
}

/* ---- what they have ---- */

/* A code and a reason where it cannot help now. */
static void nodes_judge(struct session_nodes *nodes, size_t i)
{
    const struct node_answer *a = &nodes->answer[i];
    const struct nodes_failure *f = nodes_failure_of(nodes, a->peer.key);
    struct plan_node *node = &nodes->node[i];
    if (a->err.code) {
        node->code = a->err.code;
        node->reason = a->err.text;
    } else if (f && clock_now_ms() < f->until) {
        node->code = f->why.code;
        node->reason = f->why.text;
    } else if (a->status.code) {
        node->code = a->status.code;
        node->reason = a->status.reason;
    } else if (a->status.busy) {
        node->code = GFXB_E_NODE_BUSY;
        node->reason = "another computer uses it";
    }
}

static void nodes_fill(struct session_nodes *nodes)
{
    nodes->node = xcalloc(nodes->n + 1, sizeof(*nodes->node));
    for (size_t i = 0; i < nodes->n; i++) {
        const struct node_status *s = &nodes->answer[i].status;
        nodes->node[i] = (struct plan_node){
            .name = nodes->answer[i].peer.name,
            .identity = nodes->answer[i].peer.key,
            .computer = s->computer,
            .card = s->device,
            .gfx = s->gfx[0] ? s->gfx : NULL,
            .backend = s->backend,
            .package = s->package,
            .digest = s->package_digest,
            .version = s->engine,
            .protocol = s->protocol,
            .fingerprint = s->fingerprint,
            .total_bytes = s->total,
            .free_bytes = s->free,
            .bytes_per_second = s->bytes_per_second,
            .round_trip_us = s->round_trip_us,
        };
        nodes_judge(nodes, i);
    }
}

static void nodes_forget(struct session_nodes *nodes)
{
    free(nodes->answer);
    free(nodes->node);
    nodes->answer = NULL;
    nodes->node = NULL;
    nodes->n = 0;
}

bool session_wants_nodes(const struct session_request *r, const struct session *session)
{
    bool asked = session->nodes && session->nodes->asked;
    return r->config_dir && r->data_dir && !asked && !r->request.n_nodes &&
           (r->request.want_set || session->plan->chosen < 0);
}

/* Somebody else may use it, or it has not noticed yet that we do no more. */
static bool nodes_are_leaving(const struct session_nodes *nodes)
{
    return nodes->left_at && clock_now_ms() - nodes->left_at < NODES_LEAVE_MS;
}

static void nodes_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NODES_LOOK_MS * 1000000L}, NULL);
}

static bool nodes_are_busy(const struct session_nodes *nodes)
{
    for (size_t i = 0; i < nodes->n; i++) {
        if (!nodes->answer[i].err.code && nodes->answer[i].status.busy)
            return true;
    }
    return false;
}

static int nodes_ask(const struct session_request *r, struct session_nodes *nodes,
                     struct gfxb_error *err)
{
    for (;;) {
        int code =
            node_ask_all(r->config_dir, NULL, NODES_ASK_MS, true, &nodes->answer, &nodes->n, err);
        if (code < 0 || !nodes_are_leaving(nodes) || !nodes_are_busy(nodes))
            return code;
        nodes_forget(nodes);
        nodes_pause();
    }
}

int session_ask_nodes(const struct session_request *r, struct session *session,
                      struct gfxb_error *err)
{
    struct gfxb_error why;
    if (!session->nodes)
        session->nodes = xcalloc(1, sizeof(*session->nodes));
    struct session_nodes *nodes = session->nodes;
    nodes_forget(nodes);
    nodes->asked = true;
    int code = nodes_ask(r, nodes, &why);
    if (code == 0 && nodes->n && !nodes->identity)
        code = node_identity_open(r->config_dir, &nodes->identity, &why);
    if (code < 0) {
        nodes_forget(nodes);
        if (session_is_ours(-code))
            return error_set(err, why.code, "%s", why.text);
        log_at(r->log, LOG_WARNING, "other computers are not used: %s", why.text);
    }
    node_computer(nodes->computer);
    nodes_fill(nodes);
    return 0;
}

void session_take_nodes(const struct session *session, struct plan_request *request)
{
    const struct session_nodes *nodes = session->nodes;
    if (!nodes || !nodes->n)
        return;
    for (size_t i = 0; i < nodes->n; i++)
        nodes_judge(session->nodes, i); /* one may have failed since */
    request->node = nodes->node;
    request->n_nodes = nodes->n;
    request->computer = nodes->computer;
}

void session_forget_nodes(struct session *session)
{
    if (!session->nodes)
        return;
    nodes_forget(session->nodes);
    session->nodes->asked = false;
}

/* ---- the protocol of packages ---- */

static char *nodes_ask_protocol(const struct session_request *r, const struct package *package)
{
    struct engine_spec spec;
    struct engine *worker = NULL;
    struct gfxb_error why;
    char *CLEAN_FREE cache_dir = session_home(r, package);
    if (engine_has_worker(package, NULL) < 0)
        return xstrdup("");
    session_spec(r, package, cache_dir, &spec);
    spec.threads = 1;
    if (engine_start_worker(&spec, &worker, &why) < 0) {
        log_at(r->log, LOG_INFO, "the worker of %s does not start: %s", package->id, why.text);
        return NULL;
    }
    char *text = xstrdup(engine_protocol(worker));
    engine_stop(worker);
    return text;
}

const char *session_protocol(const struct session_request *r, struct session *session,
                             const struct package *package)
{
    struct session_nodes *nodes = session->nodes;
    size_t n = nodes ? nodes->n_protocols : 0;
    if (!nodes || !nodes->n)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(nodes->protocol[i].digest, package->digest) == 0)
            return nodes->protocol[i].text;
    }
    if (n == NODES_PROTOCOLS)
        return NULL;
    nodes->protocol[n].digest = xstrdup(package->digest);
    nodes->protocol[n].text = nodes_ask_protocol(r, package);
    nodes->n_protocols++;
    return nodes->protocol[n].text;
}

/* ---- links ---- */

void session_close_links(struct session *session)
{
    struct session_nodes *nodes = session->nodes;
    for (size_t i = 0; nodes && i < nodes->n_links; i++)
        node_link_close(nodes->link[i]);
    if (nodes && nodes->n_links)
        nodes->left_at = clock_now_ms();
    if (nodes)
        nodes->n_links = 0;
}

static const struct node_answer *nodes_answer_of(const struct session_nodes *nodes,
                                                 const struct plan_node *node)
{
    for (size_t i = 0; i < nodes->n; i++) {
        if (node == &nodes->node[i])
            return &nodes->answer[i];
    }
    return NULL;
}

static int nodes_open(struct session_nodes *nodes, const struct plan_member *member,
                      struct gfxb_error *err)
{
    const struct node_answer *a = nodes_answer_of(nodes, member->node);
    size_t i = nodes->n_links;
    struct node_want want = {.memory = member->need_bytes};
    if (!a || i == FIT_NODES_MOST) /* of a plan that this session did not make */
        return error_set(err, GFXB_E_NODE_LOST, "node %s was not asked", member->node->name);
    /* What it said is what the plan went by: it must still be so. */
    snprintf(want.package_digest, sizeof(want.package_digest), "%s", a->status.package_digest);
    snprintf(want.fingerprint, sizeof(want.fingerprint), "%s", a->status.fingerprint);
    snprintf(want.protocol, sizeof(want.protocol), "%s", a->status.protocol);
    int code;
    while ((code = node_link_open(nodes->identity, &a->peer, &want, NODES_OPEN_MS, &nodes->link[i],
                                  err)) == -GFXB_E_NODE_BUSY &&
           nodes_are_leaving(nodes))
        nodes_pause();
    if (code < 0) {
        nodes_fail(nodes, &a->peer, err);
        return code;
    }
    nodes->peer[i] = a->peer;
    nodes->remote[i] = (struct engine_remote){.name = nodes->peer[i].name,
                                              .layers = (unsigned)member->layers,
                                              .connect = node_link_connect,
                                              .context = nodes->link[i]};
    nodes->n_links++;
    return 0;
}

/* Are these the choice's, and all of them good? */
static bool nodes_are_open(const struct session_nodes *nodes, const struct plan_choice *choice)
{
    bool same = nodes->n_links == choice->n_members;
    for (size_t i = 0; same && i < nodes->n_links; i++)
        same = strcmp(nodes->peer[i].key, choice->member[i].node->identity) == 0 &&
               node_link_state(nodes->link[i], NULL) == 0;
    return same;
}

int session_open_links(struct session *session, const struct plan_choice *choice,
                       struct engine_spec *spec, struct gfxb_error *err)
{
    struct session_nodes *nodes = session->nodes;
    size_t there = 0;
    if (choice->n_members && !nodes)
        return error_set(err, GFXB_E_NODE_LOST, "no other computer was asked");
    if (!choice->n_members || !nodes_are_open(nodes, choice))
        session_close_links(session);
    if (!choice->n_members)
        return 0;
    for (size_t i = 0; i < choice->n_members; i++) {
        int code = i < nodes->n_links ? 0 : nodes_open(nodes, &choice->member[i], err);
        if (code < 0) {
            session_close_links(session);
            return code;
        }
        there += choice->member[i].layers;
    }
    spec->remote = nodes->remote;
    spec->n_remotes = nodes->n_links;
    spec->layers = choice->gpu_layers > there ? (unsigned)(choice->gpu_layers - there) : 0;
    return 0;
}

int session_check_links(struct session *session, struct gfxb_error *err)
{
    struct session_nodes *nodes = session->nodes;
    for (size_t i = 0; nodes && i < nodes->n_links; i++) {
        struct gfxb_error why;
        if (node_link_state(nodes->link[i], &why) < 0) {
            nodes_fail(nodes, &nodes->peer[i], &why);
            return error_set(err, why.code, "%s", why.text);
        }
    }
    return 0;
}

int session_blame_links(struct session *session, struct gfxb_error *err)
{
    int64_t until = clock_now_ms() + NODES_LOST_MS;
    int code = session_check_links(session, err);
    while (code == 0 && session->nodes && session->nodes->n_links && clock_now_ms() < until) {
        nodes_pause();
        code = session_check_links(session, err);
    }
    return code;
}

bool session_is_nodes(int code)
{
    return code >= GFXB_E_NODE_UNREACHABLE && code <= GFXB_E_NODE_LOST;
}

void session_nodes_done(struct session *session)
{
    struct session_nodes *nodes = session->nodes;
    if (!nodes)
        return;
    session_close_links(session);
    nodes_forget(nodes);
    for (size_t i = 0; i < nodes->n_protocols; i++) {
        free(nodes->protocol[i].digest);
        free(nodes->protocol[i].text);
    }
    node_identity_free(nodes->identity);
    free(nodes);
    session->nodes = NULL;
}
