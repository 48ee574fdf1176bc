/* builder.c - a plan while it is made: choices, their evidence, their rejection. */
#include "plan/builder.h"

#include "plan/device.h"

#include <stdio.h>

#define DRAFT_TEXT_MAX 1000

static void list_free(char **list)
{
    if (!list)
        return;
    for (size_t i = 0; list[i]; i++)
        free(list[i]);
    free(list);
}

void plan_choice_done(struct plan_choice *choice)
{
    list_free(choice->gpu_pci);
    free(choice->gfx);
    free(choice->package);
    free(choice->provider);
    free(choice->reason);
    free(choice->remedy);
    for (size_t i = 0; i < choice->n_evidence; i++)
        free(choice->evidence[i].detail);
    free(choice->evidence);
    list_free(choice->env);
    list_free(choice->args);
    list_free(choice->warning);
    free(choice->fingerprint);
    free(choice->model_check);
    free(choice->member);
}

static void builder_choice_free(struct builder_choice *dc)
{
    if (!dc)
        return;
    plan_choice_done(&dc->choice);
    buf_done(&dc->known);
    buf_done(&dc->unknown);
    free(dc);
}

void plan_builder_init(struct builder *d, const struct machine *m, const struct gfx_tables *tables,
                       const struct plan_request *request, const struct gfx_engine *engine)
{
    *d = (struct builder){.m = m, .tables = tables, .request = request, .engine = *engine};
    if (m->n_gpus == 0)
        return;
    d->gpu = calloc(m->n_gpus, sizeof(d->gpu[0]));
    if (!d->gpu) {
        d->failed = true;
        return;
    }
    d->n_gpus = m->n_gpus;
    plan_device_sort(m, plan_memory_need(request), d->gpu);
    plan_gpu_set_choose(m, request, d->gpu[0], &d->set);
}

void plan_builder_done(struct builder *d)
{
    for (size_t i = 0; i < d->n; i++)
        builder_choice_free(d->item[i]);
    free(d->item);
    free(d->gpu);
    free(d->acting.row);
    *d = (struct builder){0};
}

char *plan_text(struct builder *d, const char *format, ...)
{
    char text[DRAFT_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n >= (int)sizeof(text))
        text[utf8_whole(str_from(text)).n] = '\0';
    char *copy = n < 0 ? NULL : strdup(text);
    d->failed = d->failed || !copy;
    return copy;
}

static char *builder_copy(struct builder *d, struct str s)
{
    if (s.n == 0)
        return NULL;
    char *copy = str_dup(s);
    d->failed = d->failed || !copy;
    return copy;
}

void plan_list_add(struct builder *d, char ***list, char *text)
{
    size_t n = 0;
    if (!text)
        return;
    while (*list && (*list)[n])
        n++;
    char **grown = realloc(*list, (n + 2) * sizeof(grown[0]));
    if (!grown) {
        free(text);
        d->failed = true;
        return;
    }
    grown[n] = text;
    grown[n + 1] = NULL;
    *list = grown;
}

static size_t builder_gpu_place(const struct builder *d, const struct machine_gpu *gpu)
{
    size_t i = 0;
    while (i < d->n_gpus && d->gpu[i] != gpu)
        i++;
    return i;
}

static void builder_fill(struct builder *d, struct builder_choice *dc, const struct candidate *c)
{
    struct plan_choice *choice = &dc->choice;
    dc->candidate = *c;
    dc->gpu_place = builder_gpu_place(d, c->gpu);
    dc->row_place = c->row ? (size_t)(c->row - d->tables->package) : SIZE_MAX;
    dc->number = d->n;
    if (c->gpu && c->row) {
        char card[16];
        snprintf(card, sizeof(card), "%04x:%04x", c->gpu->vendor,
                 (unsigned)c->gpu->device & 0xffff);
        dc->known_elsewhere = gfx_known_of(d->tables, c->gpu->target, card,
                                           plan_backend_name(c->backend), c->row->id);
    }
    dc->reached = -1;
    dc->known = BUF_INIT(DRAFT_TEXT_MAX);
    dc->unknown = BUF_INIT(DRAFT_TEXT_MAX);
    choice->engine = d->engine.name;
    choice->backend = c->backend;
    choice->gpu = c->gpu;
    choice->gfx = c->gpu && c->gpu->target ? builder_copy(d, c->gpu->target->gfx) : NULL;
    choice->package = builder_copy(d, plan_candidate_package(c));
    choice->provider = builder_copy(d, plan_candidate_provider(c));
    choice->installed = c->installed;
    choice->state = PLAN_USABLE;
    choice->code = GFXB_E_OK;
    choice->need_bytes = d->request->need_bytes;
    choice->have_bytes = plan_memory_have(d, c);
    choice->gpu_bytes = c->gpu && !c->set ? machine_gpu_memory(d->m, c->gpu) : 0;
    choice->gpu_pci = calloc(1, sizeof(char *));
    choice->env = calloc(1, sizeof(char *));
    choice->args = calloc(1, sizeof(char *));
    choice->warning = calloc(1, sizeof(char *));
    if (!choice->gpu_pci || !choice->env || !choice->args || !choice->warning)
        d->failed = true;
    for (size_t i = 0; !d->failed && c->gpu && i < (c->set ? c->set->n : 1); i++)
        plan_list_add(d, &choice->gpu_pci,
                      plan_text(d, "%s", c->set ? c->set->gpu[i]->pci : c->gpu->pci));
}

void plan_builder_known(const struct builder_choice *dc, struct buf *ret)
{
    const struct gfx_known *known = &dc->known_elsewhere;
    if (!known->proven && !known->failed)
        return;
    buf_add_text(ret, "; elsewhere on such a GPU: ");
    gfx_known_write(known, ret);
}

struct builder_choice *plan_builder_add(struct builder *d, const struct candidate *c)
{
    struct builder_choice *dc = NULL;
    if (array_grow(&d->item, d->n, &d->capacity, sizeof(struct builder_choice *)))
        dc = calloc(1, sizeof(*dc));
    if (!dc) {
        d->failed = true;
        return NULL;
    }
    builder_fill(d, dc, c);
    d->item[d->n++] = dc;
    return dc;
}

void plan_evidence_add(struct builder *d, struct builder_choice *dc, enum plan_rung rung,
                       enum tri ok, char *detail)
{
    struct plan_choice *choice = &dc->choice;
    struct plan_evidence *grown = NULL;
    if (detail)
        grown = realloc(choice->evidence, (choice->n_evidence + 1) * sizeof(grown[0]));
    if (!grown) {
        free(detail);
        d->failed = true;
        return;
    }
    choice->evidence = grown;
    grown[choice->n_evidence++] = (struct plan_evidence){rung, ok, detail};
}

void plan_text_set(char **text, char *to)
{
    free(*text);
    *text = to;
}

static void choice_reject(struct builder_choice *dc, int code, char *reason)
{
    dc->choice.state = PLAN_REJECTED;
    dc->choice.code = code;
    plan_text_set(&dc->choice.reason, reason);
}

bool plan_reject(struct builder *d, struct builder_choice *dc, enum plan_rung rung, int code,
                 char *reason)
{
    dc->reached = (int)rung;
    choice_reject(dc, code, reason);
    plan_evidence_add(d, dc, rung, TRI_NO, reason ? strdup(reason) : NULL);
    return false;
}

void plan_refuse(struct builder *d, const struct candidate *c, int code, char *reason)
{
    struct builder_choice *dc = plan_builder_add(d, c);
    if (dc)
        choice_reject(dc, code, reason);
    else
        free(reason);
}

void plan_env_add(struct builder *d, struct builder_choice *dc, char *variable)
{
    const char *end = variable ? strchrnul(variable, '=') : NULL;
    for (char **entry = dc->choice.env; end && entry && *entry; entry++) {
        if (strncmp(*entry, variable, (size_t)(end + 1 - variable)) == 0) {
            free(variable);
            return;
        }
    }
    plan_list_add(d, &dc->choice.env, variable);
}

struct plan_choice *plan_builder_take(struct builder *d, size_t *ret_n)
{
    if (d->failed || d->n == 0)
        return NULL;
    struct plan_choice *choice = calloc(d->n, sizeof(*choice));
    if (!choice) {
        d->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < d->n; i++) {
        choice[i] = d->item[i]->choice;
        choice[i].rank = (unsigned)i + 1;
        d->item[i]->choice = (struct plan_choice){0};
    }
    *ret_n = d->n;
    return choice;
}
