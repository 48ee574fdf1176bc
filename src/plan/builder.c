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

/* A formatted copy, cut at a stated length; NULL when out of memory. */
static char *builder_text(struct builder *d, const char *format, va_list args)
{
    char text[DRAFT_TEXT_MAX];
    int n = vsnprintf(text, sizeof(text), format, args);
    if (n >= (int)sizeof(text))
        text[utf8_whole(str_from(text)).n] = '\0';
    char *copy = n < 0 ? NULL : strdup(text);
    if (!copy)
        d->failed = true;
    return copy;
}

static char *builder_copy(struct builder *d, struct str s)
{
    if (s.n == 0)
        return NULL;
    char *copy = str_dup(s);
    if (!copy)
        d->failed = true;
    return copy;
}

/* Add an owned text (NULL after a failure) to a NULL-terminated list. */
static void list_add(struct builder *d, char ***list, char *text)
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

/* "" where it is unknown. */
static char *builder_address(struct builder *d, const struct machine_gpu *gpu)
{
    char *copy = strdup(gpu->pci);
    d->failed = d->failed || !copy;
    return copy;
}

static void builder_fill_set(struct builder *d, struct plan_choice *choice,
                             const struct plan_gpu_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        list_add(d, &choice->gpu_pci, builder_address(d, set->gpu[i]));
}

static void builder_fill(struct builder *d, struct builder_choice *dc, const struct candidate *c)
{
    struct plan_choice *choice = &dc->choice;
    dc->candidate = *c;
    dc->gpu_place = builder_gpu_place(d, c->gpu);
    dc->row_place = c->row ? (size_t)(c->row - d->tables->package) : SIZE_MAX;
    dc->number = d->n;
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
    else if (c->set)
        builder_fill_set(d, choice, c->set);
    else if (c->gpu)
        list_add(d, &choice->gpu_pci, builder_address(d, c->gpu));
}

struct builder_choice *plan_builder_add(struct builder *d, const struct candidate *c)
{
    if (d->n == d->capacity) {
        size_t capacity = d->capacity ? d->capacity * 2 : 32;
        struct builder_choice **grown =
            realloc(d->item, capacity * sizeof(struct builder_choice *));
        if (!grown) {
            d->failed = true;
            return NULL;
        }
        d->item = grown;
        d->capacity = capacity;
    }
    struct builder_choice *dc = calloc(1, sizeof(*dc));
    if (!dc) {
        d->failed = true;
        return NULL;
    }
    builder_fill(d, dc, c);
    d->item[d->n++] = dc;
    return dc;
}

static void evidence_add(struct builder *d, struct builder_choice *dc, enum plan_rung rung,
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

void plan_builder_tell(struct builder *d, struct builder_choice *dc, enum plan_rung rung,
                       enum tri ok, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    evidence_add(d, dc, rung, ok, builder_text(d, format, args));
    va_end(args);
}

static void reason_set(struct builder_choice *dc, char *text)
{
    free(dc->choice.reason);
    dc->choice.reason = text;
}

bool plan_builder_reject(struct builder *d, struct builder_choice *dc, enum plan_rung rung,
                         int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = builder_text(d, format, args);
    va_end(args);
    dc->choice.state = PLAN_REJECTED;
    dc->choice.code = code;
    dc->reached = (int)rung;
    reason_set(dc, text);
    evidence_add(d, dc, rung, TRI_NO, text ? strdup(text) : NULL);
    return false;
}

void plan_builder_refuse(struct builder *d, const struct candidate *c, int code, const char *format,
                         ...)
{
    struct builder_choice *dc = plan_builder_add(d, c);
    if (!dc)
        return;
    va_list args;
    va_start(args, format);
    reason_set(dc, builder_text(d, format, args));
    va_end(args);
    dc->choice.state = PLAN_REJECTED;
    dc->choice.code = code;
}

void plan_builder_reason(struct builder *d, struct builder_choice *dc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reason_set(dc, builder_text(d, format, args));
    va_end(args);
}

void plan_builder_remedy(struct builder *d, struct builder_choice *dc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(dc->choice.remedy);
    dc->choice.remedy = builder_text(d, format, args);
    va_end(args);
}

static bool env_has(char *const *list, const char *entry)
{
    const char *end = strchr(entry, '=');
    size_t n = end ? (size_t)(end - entry) + 1 : strlen(entry);
    for (size_t i = 0; list && list[i]; i++) {
        if (strncmp(list[i], entry, n) == 0)
            return true;
    }
    return false;
}

void plan_builder_env(struct builder *d, struct builder_choice *dc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = builder_text(d, format, args);
    va_end(args);
    if (text && env_has(dc->choice.env, text))
        free(text);
    else
        list_add(d, &dc->choice.env, text);
}

void plan_builder_arg(struct builder *d, struct builder_choice *dc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    list_add(d, &dc->choice.args, builder_text(d, format, args));
    va_end(args);
}

void plan_builder_warn(struct builder *d, struct builder_choice *dc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    list_add(d, &dc->choice.warning, builder_text(d, format, args));
    va_end(args);
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
