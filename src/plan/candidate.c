/* candidate.c - what is known about the package of a candidate: its files first, then its row. */
#include "plan/builder.h"

bool plan_candidate_gfx(const struct candidate *c, struct str *ret_list)
{
    if (c->installed && c->installed->gfx) {
        *ret_list = str_from(c->installed->gfx);
        return true;
    }
    if (c->row && str_is(c->row->backend, "rocm")) {
        *ret_list = c->row->gfx;
        return true;
    }
    *ret_list = STR_NONE;
    return false;
}

struct str plan_candidate_package(const struct candidate *c)
{
    if (c->row)
        return c->row->id;
    return c->installed ? str_from(c->installed->id) : STR_NONE;
}

struct str plan_candidate_provider(const struct candidate *c)
{
    if (c->installed && c->installed->provider)
        return str_from(c->installed->provider);
    return c->row ? c->row->provider : STR_NONE;
}

struct str plan_candidate_runtime(const struct candidate *c)
{
    return c->row ? c->row->runtime : STR_NONE;
}

bool plan_candidate_row_fits(const struct builder *d, const struct gfx_package *row)
{
    const char *arch = d->m->host.arch[0] ? d->m->host.arch : "x86_64";
    return row->os == d->request->os && (row->arch.n == 0 || str_is(row->arch, arch));
}

struct candidates {
    struct builder *d;
    enum plan_backend backend;
    struct candidate *item;
    size_t n, capacity;
};

static void candidates_add(struct candidates *list, const struct gfx_package *row,
                           const struct plan_installed *installed)
{
    if (!array_grow(&list->item, list->n, &list->capacity, sizeof(*list->item))) {
        list->d->failed = true;
        return;
    }
    list->item[list->n++] =
        (struct candidate){.backend = list->backend, .row = row, .installed = installed};
}

size_t plan_candidate_list(struct builder *d, enum plan_backend backend, struct candidate **ret)
{
    struct candidates list = {.d = d, .backend = backend};
    const struct plan_request *request = d->request;
    const char *name = backend == PLAN_VULKAN_SOFTWARE ? "vulkan" : plan_backend_name(backend);
    for (size_t i = 0; i < d->tables->n_packages; i++) {
        const struct gfx_package *row = &d->tables->package[i];
        size_t before = list.n;
        if (!str_is(row->backend, name) || !plan_candidate_row_fits(d, row) ||
            (row->engine.n && !str_eq(row->engine, d->engine.name)))
            continue;
        for (size_t k = 0; k < request->n_installed; k++) {
            if (str_is(row->id, request->installed[k].id))
                candidates_add(&list, row, &request->installed[k]);
        }
        if (list.n == before && (row->installable || request->os == GFX_WINDOWS))
            candidates_add(&list, row, NULL);
    }
    /* Packages of their own making: an engine installed elsewhere, a local archive. */
    for (size_t k = 0; k < request->n_installed && request->os == GFX_LINUX; k++) {
        const struct plan_installed *installed = &request->installed[k];
        struct gfx_engine engine;
        if (strcmp(installed->backend, name) == 0 && !gfx_package_find(d->tables, installed->id) &&
            gfx_engine_find(installed->engine, &engine) && str_eq(engine.name, d->engine.name))
            candidates_add(&list, NULL, installed);
    }
    *ret = list.item;
    return list.n;
}
