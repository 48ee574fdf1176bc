/* lemonade_ask.c - a running Lemonade server: its dry run of an install answers for any target on
 * any computer, and installs nothing. */
#include "peer/private.h"

#include <limits.h>

enum { ANSWER_MAX = 1 << 20 };

/* 1: a good answer in *ret; 0: the server refuses; negative: it does not answer. */
static int ask(struct peer *p, const char *path, const char *body, json_t **ret)
{
    struct fetch_config config = *p->request->net;
    struct fetch_result result = FETCH_RESULT_INIT;
    struct buf CLEAN_BUF answer = BUF_INIT(ANSWER_MAX);
    char *CLEAN_FREE url = xasprintf("%s%s", p->request->url, path);
    struct fetch_request request = {.url = url, .what = "the answer", .body = body};
    config.tries = 1;
    int r = fetch_get(&config, &request, &answer, &result, p->err);
    if (r < 0)
        return result.status >= 400 ? 0 : r;
    *ret = json_loadb(buf_text(&answer), answer.n, 0, NULL);
    if (json_is_object(*ret))
        return 1;
    json_decref(*ret);
    return error_set(p->err, GFXB_E_PACKAGE_UNAVAILABLE, "%s answers with something else than JSON",
                     url);
}

/* One target of one table. *ret_known: the server has decided, not only failed. */
static int ask_target(struct peer *p, struct str table, const struct gfx_target *target,
                      enum gfx_os os, bool *ret_known)
{
    struct str rest = table, recipe;
    json_t *answer = NULL;
    str_cut(&rest, ':', &recipe);
    char *CLEAN_FREE body =
        xasprintf("{\"recipe\":\"%.*s\",\"backend\":\"%.*s\",\"arch\":\"%.*s\"}", STR_ARG(recipe),
                  STR_ARG(rest), STR_ARG(target->gfx));
    int r = ask(p, "/v1/install/dry-run", body, &answer);
    if (r < 0)
        return r;
    const char *file = json_string_value(json_object_get(answer, "filename"));
    if (file && strlen(file) > NAME_MAX) {
        json_decref(answer);
        return error_set(p->err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%s names a file that no system could store", p->request->url);
    }
    const json_t *supported = json_object_get(answer, "supported");
    struct peer_claim claim = {.table = table, .os = os, .asset = str_from(file)};
    char *CLEAN_FREE place =
        xasprintf("dry run of %.*s, %s", STR_ARG(table), file ? file : "no file");
    claim.path = place;
    peer_judge_package(p, &claim, target, json_is_true(supported));
    *ret_known |= json_is_boolean(supported);
    json_decref(answer);
    return 0;
}

int peer_lemonade_ask(struct peer *p)
{
    json_t *health = NULL;
    struct str last = STR_NONE;
    bool known = false;
    int r = ask(p, "/v1/health", NULL, &health);
    if (r == 0)
        return -p->err->code;
    if (r < 0)
        return r;
    peer_set_version(p, str_from(json_string_value(json_object_get(health, "version"))));
    json_decref(health);
    for (size_t i = 0; i < p->rows.n; i++) {
        const struct peer_row *row = &p->rows.row[i];
        if (!str_is(row->peer, p->request->name) || str_eq(row->table, last))
            continue;
        last = row->table;
        for (size_t t = 0; t < p->tables->n_targets; t++) {
            const struct gfx_target *target = &p->tables->target[t];
            r = peer_is_chip(target) ? ask_target(p, last, target, p->request->os, &known) : 0;
            if (r < 0)
                return r;
        }
    }
    if (known)
        return 0;
    return error_set(p->err, GFXB_E_PACKAGE_UNAVAILABLE,
                     "%s decides about no target: it is no Lemonade server with a dry run of "
                     "installs",
                     p->request->url);
}
