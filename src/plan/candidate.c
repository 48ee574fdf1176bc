/* candidate.c - what is known about the package of a candidate: its files first, then its row. */
#include "plan/draft.h"

bool candidate_gfx(const struct candidate *c, struct str *ret_list)
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

struct str candidate_package(const struct candidate *c)
{
    if (c->row)
        return c->row->id;
    return c->installed ? str_from(c->installed->id) : STR_NONE;
}

struct str candidate_provider(const struct candidate *c)
{
    if (c->installed && c->installed->provider)
        return str_from(c->installed->provider);
    return c->row ? c->row->provider : STR_NONE;
}

struct str candidate_runtime(const struct candidate *c)
{
    return c->row ? c->row->runtime : STR_NONE;
}
