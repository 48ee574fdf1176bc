/* lemonade_ask.c - a running Lemonade server: its dry run of an install answers for any target on
 * any computer, and installs nothing. */
#include "peer/private.h"

#include <limits.h>

enum { ANSWER_MAX = 1 << 20, REFUSAL_STATUS = 500 };

/* What the server says of one target. */
struct answer {
    enum { ANSWER_NONE, ANSWER_REFUSED, ANSWER_NO, ANSWER_YES } says;
    char *file; /* NULL: it names none */
};

/* 1: a good answer in *ret; 0: an error of HTTP, *ret_status; negative: it does not answer. */
static int ask(struct peer *p, const char *path, const char *body, json_t **ret, long *ret_status)
{
    struct fetch_config config = *p->request->net;
    struct fetch_result result = FETCH_RESULT_INIT;
    struct buf CLEAN_BUF answer = BUF_INIT(ANSWER_MAX);
    char *CLEAN_FREE url = xasprintf("%s%s", p->request->url, path);
    struct fetch_request request = {.url = url, .what = "the answer", .body = body};
    config.tries = 1;
    int r = fetch_get(&config, &request, &answer, &result, p->err);
    *ret_status = result.status;
    if (r < 0)
        return result.status >= 400 ? 0 : r;
    *ret = json_loadb(buf_text(&answer), answer.n, 0, NULL);
    if (json_is_object(*ret))
        return 1;
    json_decref(*ret);
    return error_set(p->err, GFXB_E_PACKAGE_UNAVAILABLE, "%s answers with something else than JSON",
                     url);
}

/* Lemonade refuses with its one status for errors; any other one (a login, a limit, a pause) is no
 * answer. */
static int ask_target(struct peer *p, struct str table, const struct gfx_target *target,
                      struct answer *ret)
{
    struct str rest = table, recipe;
    json_t *answer = NULL;
    long status;
    str_cut(&rest, ':', &recipe);
    char *CLEAN_FREE body =
        xasprintf("{\"recipe\":\"%.*s\",\"backend\":\"%.*s\",\"arch\":\"%.*s\"}", STR_ARG(recipe),
                  STR_ARG(rest), STR_ARG(target->gfx));
    int r = ask(p, "/v1/install/dry-run", body, &answer, &status);
    if (r < 0)
        return r;
    const char *file = json_string_value(json_object_get(answer, "filename"));
    const json_t *supported = json_object_get(answer, "supported");
    if (file && strlen(file) > NAME_MAX)
        r = error_set(p->err, GFXB_E_PACKAGE_UNAVAILABLE,
                      "%s names a file that no system could store", p->request->url);
    else if (json_is_boolean(supported))
        *ret = (struct answer){json_is_true(supported) ? ANSWER_YES : ANSWER_NO,
                               file ? xstrdup(file) : NULL};
    else if (r == 0 && status == REFUSAL_STATUS)
        ret->says = ANSWER_REFUSED;
    json_decref(answer);
    return r < 0 ? r : 0;
}

static void judge_answer(struct peer *p, struct str table, const struct gfx_target *target,
                         const struct answer *answer)
{
    const char *file = answer->file;
    char *CLEAN_FREE place =
        xasprintf("dry run of %.*s, %s", STR_ARG(table), file ? file : "no file");
    struct peer_claim claim = {
        .path = place, .table = table, .os = p->request->os, .asset = str_from(file)};
    peer_judge_package(p, &claim, target, answer->says == ANSWER_YES);
}

/* A table of which the server decides nothing is one that it does not know: all of it is open. */
static int ask_table(struct peer *p, struct str table, bool *ret_known)
{
    const struct gfx_tables *t = p->tables;
    struct answer *answers = xcalloc(t->n_targets, sizeof(*answers));
    bool known = false;
    int r = 0;
    for (size_t i = 0; i < t->n_targets && r == 0; i++) {
        r = peer_is_chip(&t->target[i]) ? ask_target(p, table, &t->target[i], &answers[i]) : 0;
        known |= answers[i].says >= ANSWER_NO;
    }
    for (size_t i = 0; i < t->n_targets; i++) {
        if (r == 0 && peer_is_chip(&t->target[i])) {
            if (known && answers[i].says != ANSWER_NONE)
                judge_answer(p, table, &t->target[i], &answers[i]);
            else
                peer_judge_open(p);
        }
        free(answers[i].file);
    }
    free(answers);
    *ret_known |= known;
    return r;
}

int peer_lemonade_ask(struct peer *p)
{
    json_t *health = NULL;
    struct str last = STR_NONE;
    bool known = false;
    long status;
    int r = ask(p, "/v1/health", NULL, &health, &status);
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
        r = ask_table(p, last, &known);
        if (r < 0)
            return r;
    }
    if (known)
        return 0;
    return error_set(p->err, GFXB_E_PACKAGE_UNAVAILABLE,
                     "%s decides about no target: it is no Lemonade server with a dry run of "
                     "installs",
                     p->request->url);
}
