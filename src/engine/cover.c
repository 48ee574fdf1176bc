/* cover.c - asks seeded canaries on a device: what a proof reaches beyond the canary. */
#include "engine/engine_private.h"
#include "engine/seeded.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    COVER_SEED = 1,         /* of the weights (tools/seeded/seeded.py) */
    COVER_ANSWER_MAX = 64,  /* bytes */
    COVER_TEXT_LETTERS = 2, /* of a token */
    COVER_ROWS_MAX = 1024,
    COVER_SLOTS = 4,      /* prompts that are asked at the same time, at most */
    COVER_TOGETHER = 200, /* tokens of the longest of them */
    COVER_ARGS_MAX = 64,
    COVER_FAILS_MAX = 3, /* kinds of model: a device that fails more of them is broken as a whole */
};

/* A row of data/seeded.tsv. */
struct cover_question {
    struct str canary, shape, types, answer;
    uint64_t length, seed;
    bool first; /* asked in every proof */
};

#define COVER_SHARE 0.5 /* of a canary's weights: what most of its work is done with */

struct cover {
    const struct engine_kind *kind;
    struct engine_spec spec;
    const struct cover_wish *wish;
    struct engine_covers *covers;
    struct rundir dir;     /* of the canaries' files: one that is killed leaves nothing for long */
    struct engine *engine; /* runs the canary that is asked; NULL none */
    struct cover_question *question;
    size_t n;
};

static const char *const cover_columns[] = {"canary", "shape",   "types",  "length", "seed",
                                            "answer", "margins", "change", "proof",  NULL};

static int cover_read_row(struct table *table, const struct table_row *row,
                          struct cover_question *ret_question, struct gfxb_error *err)
{
    struct cover_question q = {.canary = row->field[0],
                               .shape = row->field[1],
                               .types = row->field[2],
                               .answer = row->field[5],
                               .first = str_is(row->field[8], "first")};
    if (str_to_u64(row->field[3], 10, &q.length) < 0 || q.length == 0 ||
        q.length > SEEDED_CONTEXT / 2)
        return table_error(table, row, 3, err, "not a number of tokens");
    if (str_to_u64(row->field[4], 10, &q.seed) < 0)
        return table_error(table, row, 4, err, "not a seed");
    if (q.answer.n == 0 || q.answer.n >= COVER_ANSWER_MAX || q.answer.n % COVER_TEXT_LETTERS)
        return table_error(table, row, 5, err, "not an answer");
    *ret_question = q;
    return 0;
}

static int cover_read(struct cover *c, struct gfxb_error *err)
{
    const struct engine_canary *canary = c->kind->canary;
    struct str bytes = {canary->seeded, (size_t)(canary->seeded_end - canary->seeded)};
    struct table table;
    struct table_row row;
    int more, code = 0;
    table_init(&table, "data/seeded.tsv", bytes, cover_columns);
    while (code == 0 && c->n < COVER_ROWS_MAX && (more = table_next(&table, &row, err)) != 0) {
        c->question = xreallocarray(c->question, c->n + 1, sizeof(*c->question));
        code = more < 0 ? more : cover_read_row(&table, &row, &c->question[c->n++], err);
    }
    return code;
}

/* Add the words of a list that are not in it yet. What does not fit is left out. */
static void cover_note(char *list, size_t size, struct str words)
{
    struct str word;
    while (str_word(&words, &word)) {
        size_t n = strlen(list);
        if (!str_list_has(str_from(list), word) && n + word.n + 2 <= size)
            snprintf(list + n, size - n, "%s%.*s", n ? " " : "", STR_ARG(word));
    }
}

/* Is a model with these types and shapes of this kind in part? Kinds of several types are there for
 * their shape. */
static bool cover_is_part(const struct cover_question *q, const struct engine_need *need)
{
    return str_list_has(str_from(need->shapes), q->shape) &&
           (memchr(q->types.p, ' ', q->types.n) || str_list_has(str_from(need->types), q->types));
}

/* Has one that is asked in every proof the shape and the type? */
static bool cover_is_in_first(const struct cover *c, const struct cover_question *q)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct cover_question *other = &c->question[i];
        if (other->first && str_eq(other->shape, q->shape) && str_list_has(other->types, q->types))
            return true;
    }
    return false;
}

static bool cover_was_asked(const struct engine_covers *covers, struct str kind)
{
    return str_list_has(str_from(covers->canaries), kind) ||
           str_list_has(str_from(covers->fails), kind) ||
           str_list_has(str_from(covers->skipped), kind);
}

static bool cover_is_wanted(const struct cover *c, const struct cover_question *q)
{
    if (c->wish->all || !c->wish->need)
        return c->wish->all || q->first;
    /* Another dense canary may have had the same types. */
    bool known = cover_was_asked(c->covers, q->canary) || cover_is_in_first(c, q);
    return !known && cover_is_part(q, c->wish->need);
}

/* The file is needed while the engine starts: it is written each time, and removed. */
static int cover_write(const struct cover *c, const struct cover_question *q, const char *path,
                       struct gfxb_error *err)
{
    struct buf CLEAN_BUF file = BUF_INIT(2 * SEEDED_FILE_MAX);
    int code = seeded_write(q->shape, q->types, COVER_SEED, &file, err);
    return code < 0 ? code : fs_write(path, file.p, file.n, 0600, err);
}

/* Did the engine leave the running canary's weights to the CPU, for want of code for its type? */
static bool cover_is_left_to_cpu(const struct cover *c)
{
    struct engine_placement placement = {.n = 0};
    int code = c->spec.backend == PLAN_CPU ? -1 : engine_verify(c->engine, &placement, NULL);
    return code == -GFXB_E_NOT_ON_DEVICE ||
           (code == 0 && placement_device_share(&placement) < COVER_SHARE);
}

/* 1: the engine is older than the type or the shape, and does not know it; or it leaves it to the
 * CPU. That is noted as `kind`. */
static int cover_start(struct cover *c, const struct cover_question *q, struct str kind,
                       struct gfxb_error *err)
{
    char *CLEAN_FREE path = xasprintf("%s/seeded-%.*s.gguf", c->dir.path, STR_ARG(q->canary));
    int code = cover_write(c, q, path, err);
    if (code < 0)
        return code;
    c->spec.model = path;
    code = engine_start(&c->spec, &c->engine, err);
    unlink(path);
    c->spec.model = NULL;
    bool unknown = code == -GFXB_E_MODEL_UNUSABLE || code == -GFXB_E_MODEL_DAMAGED;
    if (unknown || (code == 0 && !q->first && cover_is_left_to_cpu(c))) {
        log_at(c->spec.log, LOG_INFO, "%s, and left out: %.*s",
               unknown ? "not known to this engine" : "computed on the CPU by this engine",
               STR_ARG(kind));
        cover_note(c->covers->skipped, sizeof(c->covers->skipped), kind);
        return 1;
    }
    if (code < 0)
        error_prefix(err, "a model of the kind %.*s cannot be loaded: ", STR_ARG(q->canary));
    return code;
}

/* "a prompt of 24 tokens", "prompts of 6, 24 and more tokens at once" */
static const char *cover_prompts_text(const struct cover_question *q, size_t n, char text[64])
{
    if (n == 1)
        snprintf(text, 64, "a prompt of %llu tokens", (unsigned long long)q->length);
    else
        snprintf(text, 64, "%zu prompts at once", n);
    return text;
}

/* These questions at the same time, of one canary. */
static int cover_ask_at_once(struct cover *c, const struct cover_question *q, size_t n,
                             struct gfxb_error *err)
{
    struct engine_tokens prompt[COVER_SLOTS] = {{0}};
    struct buf CLEAN_BUF body = BUF_INIT(0);
    char text[64];
    for (size_t i = 0; i < n; i++) {
        prompt[i] = (struct engine_tokens){xcalloc(q[i].length, sizeof(uint32_t)), q[i].length};
        seeded_prompt(q[i].seed, q[i].length, prompt[i].id);
    }
    char *CLEAN_FREE request =
        c->kind->tokens_request(prompt, n, (unsigned)(q->answer.n / COVER_TEXT_LETTERS));
    for (size_t i = 0; i < n; i++)
        free(prompt[i].id);
    int code = engine_post(c->engine, ENGINE_CALL_COMPLETION, request, c->wish->deadline_ms,
                           c->spec.cancel, &body, err);
    if (code < 0) {
        error_prefix(err, "%s on a model of the kind %.*s: ", cover_prompts_text(q, n, text),
                     STR_ARG(q->canary));
        if (code == -EPROTO || code == -EREMOTEIO) { /* it took the request and cannot compute it */
            err->code = GFXB_E_CANARY_MISMATCH;
            return -GFXB_E_CANARY_MISMATCH;
        }
        return code;
    }
    for (size_t i = 0; i < n; i++) {
        char answer[COVER_ANSWER_MAX] = "";
        code = c->kind->read_answer(buf_view(&body), i, answer, sizeof(answer));
        if (code < 0 || !str_is(q[i].answer, answer))
            return error_set(err, GFXB_E_CANARY_MISMATCH,
                             "it computes wrongly: a model of the kind %.*s (%.*s) answers '%.60s' "
                             "instead of '%.*s' to %s",
                             STR_ARG(q->canary), STR_ARG(q->types), answer, STR_ARG(q[i].answer),
                             cover_prompts_text(q, n, text));
    }
    return 0;
}

/* The wished questions of one canary one by one, then its shorter ones at once. */
static int cover_questions(struct cover *c, const struct cover_question *q, size_t n,
                           struct gfxb_error *err)
{
    struct engine_covers *covers = c->covers;
    size_t together = 0;
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        char length[24];
        if (!c->wish->all && !c->wish->need && !q[i].first)
            continue;
        code = cover_ask_at_once(c, &q[i], 1, err);
        snprintf(length, sizeof(length), "%llu", (unsigned long long)q[i].length);
        if (code == 0)
            cover_note(covers->lengths, sizeof(covers->lengths), str_from(length));
    }
    while (together < n && together < COVER_SLOTS && q[together].length <= COVER_TOGETHER)
        together++;
    if (code == 0 && together > 1)
        code = cover_ask_at_once(c, q, together, err);
    if (code < 0)
        return code;
    if (together > covers->sequences)
        covers->sequences = together;
    cover_note(covers->types, sizeof(covers->types), q->types);
    cover_note(covers->shapes, sizeof(covers->shapes), q->shape);
    return 0;
}

/* Does this failure say that the device, driver or engine cannot do this kind of model? */
static bool cover_is_kinds(int code)
{
    return code >= GFXB_E_GFX_UNKNOWN && code != GFXB_E_INTERRUPTED &&
           code != GFXB_E_MEMORY_TOO_SMALL && code != GFXB_E_TABLE && code != GFXB_E_DISK_FULL;
}

/* All questions of one canary. What is not part of every proof may fail alone; it is noted as
 * `kind`. */
static int cover_canary(struct cover *c, const struct cover_question *q, size_t n, struct str kind,
                        struct gfxb_error *err)
{
    struct engine_covers *covers = c->covers;
    struct gfxb_error why = {.code = 0};
    struct str fails = str_from(covers->fails), spare;
    size_t n_fails = 0;
    if (c->wish->need)
        log_at(c->spec.log, LOG_INFO, "testing models of the kind %.*s", STR_ARG(kind));
    bool always = q->first && str_eq(kind, q->canary);
    int code = -GFXB_E_ENGINE_HANG;
    /* A computer that is busy may look like a hang, once. */
    for (int tries = 0; tries < 2 && code == -GFXB_E_ENGINE_HANG; tries++) {
        code = cover_start(c, q, kind, &why);
        if (code == 0)
            code = cover_questions(c, q, n, &why);
        engine_stop(c->engine);
        c->engine = NULL;
        if (always)
            break;
    }
    while (str_word(&fails, &spare))
        n_fails++;
    if (code == 0)
        cover_note(covers->canaries, sizeof(covers->canaries), kind);
    if (code >= 0)
        return 0;
    if (always || !cover_is_kinds(-code))
        return error_set(err, why.code, "%s", why.text);
    if (n_fails == COVER_FAILS_MAX)
        return error_set(err, GFXB_E_CANARY_MISMATCH, "%s", why.text);
    log_at(c->spec.log, LOG_WARNING, "%s", why.text);
    if (!covers->fails[0])
        snprintf(covers->why, sizeof(covers->why), "%.*s", (int)sizeof(covers->why) - 1, why.text);
    cover_note(covers->fails, sizeof(covers->fails), kind);
    return 0;
}

/* "attention:-x=q8_0,-y=on" */
static struct str cover_attention_name(const struct engine_need *need, char name[128])
{
    snprintf(name, 128, "attention:%s", need->attention);
    return str_from(name);
}

/* What every proof asks, with the arguments of the model's attention: its answers do not change. */
static int cover_attention(struct cover *c, struct gfxb_error *err)
{
    const struct engine_need *need = c->wish->need;
    const char *args[COVER_ARGS_MAX];
    const char *const *own = c->spec.args;
    char name[128], words[sizeof(need->attention)];
    size_t n = 0, first = 0, end;
    struct str what = need ? cover_attention_name(need, name) : STR_NONE;
    if (!need || !need->attention[0] || cover_was_asked(c->covers, what))
        return 0;
    for (const char *const *arg = own; arg && *arg && n + 1 < COVER_ARGS_MAX; arg++)
        args[n++] = *arg;
    snprintf(words, sizeof(words), "%s", need->attention);
    for (char *w = words; *w && n + 1 < COVER_ARGS_MAX;) {
        args[n++] = w;
        w += strcspn(w, ",=");
        if (*w)
            *w++ = '\0';
    }
    args[n] = NULL;
    while (first + 1 < c->n && !c->question[first].first)
        first++;
    for (end = first; end < c->n && str_eq(c->question[end].canary, c->question[first].canary);)
        end++;
    c->spec.args = args;
    int code = cover_canary(c, &c->question[first], end - first, what, err);
    c->spec.args = own;
    return code;
}

int cover_ask(const struct engine_spec *spec, const struct cover_wish *wish,
              struct engine_covers *covers, struct gfxb_error *err)
{
    struct cover c = {.kind = engine_kind_of(spec->package->engine, err),
                      .spec = *spec,
                      .wish = wish,
                      .covers = covers,
                      .dir = RUNDIR_NONE};
    if (!c.kind)
        return -GFXB_E_NO_PACKAGE;
    c.spec.context = SEEDED_CONTEXT / 2;
    c.spec.slots = COVER_SLOTS;
    int code = cover_read(&c, err);
    if (code == 0)
        code = rundir_open(spec->runtime_dir, spec->cancel, &c.dir, err);
    for (size_t i = 0, end; i < c.n && code == 0; i = end) {
        for (end = i + 1; end < c.n && str_eq(c.question[end].canary, c.question[i].canary);)
            end++;
        if (cover_is_wanted(&c, &c.question[i]))
            code = cover_canary(&c, &c.question[i], end - i, c.question[i].canary, err);
    }
    if (code == 0)
        code = cover_attention(&c, err);
    rundir_close(&c.dir);
    free(c.question);
    return code;
}

bool engine_covers_fail(const struct engine_kind *kind, const struct engine_covers *covers,
                        const struct engine_need *need, struct str *ret_kind)
{
    struct cover c = {.kind = kind};
    char name[128];
    bool fails = need->attention[0] &&
                 str_list_has(str_from(covers->fails), cover_attention_name(need, name));
    if (fails)
        *ret_kind = STR("these cache types and flash attention");
    if (!fails && covers->fails[0] && cover_read(&c, NULL) == 0) {
        for (size_t i = 0; i < c.n && !fails; i++) {
            fails = cover_is_part(&c.question[i], need) &&
                    str_list_has(str_from(covers->fails), c.question[i].canary);
            *ret_kind = c.question[i].canary;
        }
    }
    free(c.question);
    return fails;
}
