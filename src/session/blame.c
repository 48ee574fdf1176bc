/* blame.c - the rule of blame: an engine was lost, so was it the request's fault, the choice's, or
 * nobody's? Pure: it counts, and says what follows. */
#include "base/xalloc.h"
#include "session/session_private.h"

enum {
    BLAME_KILLED_MAX = 3,      /* engines killed in a row without an answer: the choice rests */
    BLAME_UNEXPLAINED_MAX = 3, /* engines that broke for no known reason: likewise */
    BLAME_FAULTS = 2,          /* of a choice that has worked: the second one is no accident */
    BLAME_BROKE_MAX = 2,       /* engines that a request may cost */
    BLAME_UNDER_KILLS_MAX = 12 /* engines killed from outside under one request */
};

static struct blame_choice *blame_choice_of(struct blame *b, const char *fingerprint)
{
    for (size_t i = 0; i < b->n; i++) {
        if (strcmp(b->choice[i].fingerprint, fingerprint) == 0)
            return &b->choice[i];
    }
    b->choice = xreallocarray(b->choice, b->n + 1, sizeof(*b->choice));
    b->choice[b->n] = (struct blame_choice){.fingerprint = xstrdup(fingerprint)};
    return &b->choice[b->n++];
}

static void blame_set_aside(struct blame_choice *c, const struct gfxb_error *why)
{
    c->aside = true;
    c->why = *why;
    c->killed = c->unexplained = 0;
}

static struct blame_case *blame_case_new(const struct blame_choice *c, const struct gfxb_error *why)
{
    struct blame_case *k = xcalloc(1, sizeof(*k));
    k->fingerprint = xstrdup(c->fingerprint);
    k->why = *why;
    k->first = c->answers == 0;
    return k;
}

void blame_cases_free(struct blame_case *list)
{
    while (list) {
        struct blame_case *next = list->next;
        free(list->fingerprint);
        free(list);
        list = next;
    }
}

static void blame_unlink(struct blame *b, struct blame_case *k)
{
    struct blame_case **link = &b->open;
    while (*link != k)
        link = &(*link)->next;
    *link = k->next;
    k->next = NULL;
}

/* The choice is at fault: true when that is enough to reject it on disk. */
static bool blame_convict(struct blame *b, const struct blame_case *k)
{
    struct blame_choice *c = blame_choice_of(b, k->fingerprint);
    c->faults++;
    if (!k->first && c->faults < BLAME_FAULTS)
        return false;
    blame_set_aside(c, &k->why);
    /* A smaller model may fit, and nothing is left behind the CPU. */
    return !c->last_resort && k->why.code != GFXB_E_MEMORY_TOO_SMALL;
}

/* Nobody is a suspect in it any more. The case itself, when it is decided against its choice. */
static struct blame_case *blame_decide(struct blame *b, struct blame_case *k)
{
    struct blame_choice *c = blame_choice_of(b, k->fingerprint);
    if (!k->excused && blame_convict(b, k))
        return k;
    if (k->excused && !k->explained && ++c->unexplained >= BLAME_UNEXPLAINED_MAX)
        blame_set_aside(c, &k->why);
    blame_cases_free(k);
    return NULL;
}

/* One suspect less. The case, when it is decided against its choice by that. */
static struct blame_case *blame_close(struct blame *b, struct blame_request *r, bool excuse)
{
    struct blame_case *k = r->suspect;
    r->suspect = NULL;
    if (!k)
        return NULL;
    k->excused |= excuse;
    if (--k->open)
        return NULL;
    blame_unlink(b, k);
    return blame_decide(b, k);
}

void blame_done(struct blame *b)
{
    for (size_t i = 0; i < b->n; i++)
        free(b->choice[i].fingerprint);
    free(b->choice);
    blame_cases_free(b->open);
    blame_cases_free(b->starts);
    *b = (struct blame){.n = 0};
}

void blame_up(struct blame *b, const char *fingerprint, bool last_resort,
              const struct session_failure *failed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct gfxb_error why;
        if (!failed[i].broke)
            continue;
        error_set(&why, failed[i].code, "%s", failed[i].detail);
        struct blame_case *k = blame_case_new(blame_choice_of(b, failed[i].fingerprint), &why);
        k->next = b->starts;
        b->starts = k;
    }
    struct blame_choice *c = blame_choice_of(b, fingerprint);
    c->last_resort = last_resort;
    b->running = (size_t)(c - b->choice);
    b->away = b->open && b->running != b->home;
}

static void blame_kill(struct blame *b, const struct gfxb_error *why,
                       struct blame_request *const *requests, size_t n)
{
    struct blame_choice *c = &b->choice[b->running];
    if (++c->killed >= BLAME_KILLED_MAX)
        blame_set_aside(c, why);
    for (size_t i = 0; i < n; i++)
        requests[i]->fate =
            ++requests[i]->killed >= BLAME_UNDER_KILLS_MAX ? BLAME_ENOUGH : BLAME_AGAIN;
}

void blame_failed_proof(struct blame *b, const struct gfxb_error *why)
{
    blame_set_aside(&b->choice[b->running], why);
}

/* Its second engine. The choice that it was a suspect of is excused: not even another one could
 * answer it. */
static void blame_second(struct blame *b, struct blame_request *r, bool alone)
{
    if (r->suspect)
        r->suspect->explained |= alone;
    blame_close(b, r, true);
    r->fate = alone ? BLAME_POISON : BLAME_ENOUGH;
}

void blame_lost(struct blame *b, enum blame_loss loss, const struct gfxb_error *why,
                struct blame_request *const *requests, size_t n, bool others)
{
    bool alone = n == 1 && !others;
    if (loss == BLAME_KILLED) {
        blame_kill(b, why, requests, n);
        return;
    }
    struct blame_case *k = blame_case_new(&b->choice[b->running], why);
    k->excused = n == 0 || others;
    for (size_t i = 0; i < n; i++) {
        struct blame_request *r = requests[i];
        if (++r->broke >= BLAME_BROKE_MAX) {
            blame_second(b, r, alone);
            k->excused = true;
            k->explained |= alone;
            continue;
        }
        r->fate = BLAME_AGAIN;
        r->suspect = k;
        k->open++;
    }
    if (!k->open) {
        blame_decide(b, k);
        return;
    }
    k->next = b->open;
    b->open = k;
    if (!b->away)
        b->home = b->running;
}

/* Choices that could not start what this one has just answered. */
static struct blame_case *blame_decide_starts(struct blame *b, const char *running)
{
    struct blame_case *against = NULL;
    while (b->starts) {
        struct blame_case *k = b->starts;
        b->starts = k->next;
        k->next = NULL;
        k->excused = k->explained = strcmp(k->fingerprint, running) == 0; /* it does, by now */
        k = blame_decide(b, k);
        if (!k)
            continue;
        k->next = against;
        against = k;
    }
    return against;
}

struct blame_case *blame_answered(struct blame *b, struct blame_request *r)
{
    struct blame_choice *c = &b->choice[b->running];
    bool same = r->suspect && strcmp(r->suspect->fingerprint, c->fingerprint) == 0;
    c->answers++;
    c->killed = 0;
    struct blame_case *against = blame_decide_starts(b, c->fingerprint);
    struct blame_case *own = blame_close(b, r, same);
    if (own) {
        own->next = against;
        against = own;
    }
    *r = (struct blame_request){.suspect = NULL};
    return against;
}

void blame_innocent(struct blame *b, struct blame_request *r)
{
    struct blame_case *k = r->suspect;
    if (k) /* the others are left as suspects; if there are none, nobody knows */
        blame_close(b, r, k->open == 1);
    *r = (struct blame_request){.suspect = NULL};
}

void blame_left(struct blame *b, struct blame_request *r)
{
    blame_close(b, r, true);
    *r = (struct blame_request){.suspect = NULL};
}

/* ---- what a bring-up has to know ---- */

void blame_forget(struct blame *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->choice[i].aside = false;
}

bool blame_wants_home(const struct blame *b)
{
    return b->away && !b->open && !b->choice[b->home].aside;
}

void session_history_add(struct session_history *h, const struct session_failure *f)
{
    h->failed = xreallocarray(h->failed, h->n_failed + 1, sizeof(*h->failed));
    h->failed[h->n_failed++] =
        (struct session_failure){xstrdup(f->fingerprint), xstrdup(f->detail), f->code, f->broke};
}

void blame_history(const struct blame *b, bool served, struct session_history *ret_history)
{
    struct session_history h = {.served = served};
    for (const struct blame_case *k = b->open; k; k = k->next) {
        h.avoid = xreallocarray(h.avoid, h.n_avoid + 1, sizeof(*h.avoid));
        h.avoid[h.n_avoid++] = xstrdup(k->fingerprint);
    }
    for (size_t i = 0; i < b->n; i++) {
        struct blame_choice *c = &b->choice[i];
        struct session_failure failure = {c->fingerprint, c->why.text, c->why.code, false};
        if (c->aside)
            session_history_add(&h, &failure);
    }
    *ret_history = h;
}

void session_history_done(struct session_history *h)
{
    for (size_t i = 0; i < h->n_avoid; i++)
        free(h->avoid[i]);
    for (size_t i = 0; i < h->n_failed; i++) {
        free(h->failed[i].fingerprint);
        free(h->failed[i].detail);
    }
    free(h->avoid);
    free(h->failed);
    *h = (struct session_history){.failed = NULL};
}
