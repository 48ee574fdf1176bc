/* cover.c - asks seeded canaries on a device: what a proof reaches beyond the canary. */
#include "engine/engine_private.h"
#include "engine/seeded.h"

#include <errno.h>
#include <unistd.h>

enum {
    COVER_SEED = 1,        /* of the weights (tools/seeded/seeded.py) */
    COVER_ANSWER_MAX = 64, /* bytes */
    COVER_TEXT_LETTERS = 2 /* of a token */
};

/* A row of data/seeded.tsv. */
struct cover_question {
    struct str canary, shape, types, answer;
    uint64_t length, seed;
};

struct cover {
    const struct engine_kind *kind;
    struct engine_spec spec;
    const char *data_dir;
    int deadline_ms;
    struct engine *engine; /* runs `canary`; NULL none */
    struct str canary;
    bool unknown; /* the engine does not know what `canary` has */
};

static const char *const cover_columns[] = {"canary", "shape",   "types",  "length", "seed",
                                            "answer", "margins", "change", NULL};

static int cover_read(struct table *table, const struct table_row *row,
                      struct cover_question *ret_question, struct gfxb_error *err)
{
    struct cover_question q = {.canary = row->field[0],
                               .shape = row->field[1],
                               .types = row->field[2],
                               .answer = row->field[5]};
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

static void cover_end(struct cover *c)
{
    engine_stop(c->engine);
    c->engine = NULL;
}

/* The file is needed while the engine starts: it is written anew each time, and removed. */
static int cover_write(const struct cover *c, const struct cover_question *q, char **ret_path,
                       struct gfxb_error *err)
{
    struct buf CLEAN_BUF file = BUF_INIT(2 * SEEDED_FILE_MAX);
    char *CLEAN_FREE dir = xasprintf("%s/canary", c->data_dir);
    char *path = xasprintf("%s/seeded-%d-%.*s.gguf", dir, (int)getpid(), STR_ARG(q->canary));
    int code = seeded_write(q->shape, q->types, COVER_SEED, &file, err);
    if (code == 0)
        code = fs_make_dirs(dir, 0755, err);
    if (code == 0)
        code = fs_write(path, file.p, file.n, 0644, err);
    if (code < 0)
        free(path);
    else
        *ret_path = path;
    return code;
}

/* Does this failure to load say that the engine is older than the type or the shape? */
static bool cover_is_unknown(int code)
{
    return code == GFXB_E_MODEL_UNUSABLE || code == GFXB_E_MODEL_DAMAGED;
}

static int cover_start(struct cover *c, const struct cover_question *q, struct gfxb_error *err)
{
    char *CLEAN_FREE path = NULL;
    c->canary = q->canary;
    c->unknown = false;
    int code = cover_write(c, q, &path, err);
    if (code < 0)
        return code;
    c->spec.model = path;
    c->spec.context = SEEDED_CONTEXT / 2;
    code = engine_start(&c->spec, &c->engine, err);
    unlink(path);
    c->spec.model = NULL;
    if (code < 0 && cover_is_unknown(-code)) {
        c->unknown = true;
        log_at(c->spec.log, LOG_INFO, "not known to this engine, and left out: %.*s",
               STR_ARG(q->canary));
        return 0;
    }
    if (code < 0)
        error_prefix(err, "a model of the kind %.*s cannot be loaded: ", STR_ARG(q->canary));
    return code;
}

static int cover_question(struct cover *c, const struct cover_question *q, struct gfxb_error *err)
{
    static _Thread_local uint32_t tokens[SEEDED_CONTEXT];
    struct buf CLEAN_BUF body = BUF_INIT(0);
    char answer[COVER_ANSWER_MAX] = "";
    seeded_prompt(q->seed, q->length, tokens);
    char *CLEAN_FREE request =
        c->kind->tokens_request(tokens, q->length, (unsigned)(q->answer.n / COVER_TEXT_LETTERS));
    int code = engine_post(c->engine, ENGINE_CALL_COMPLETION, request, c->deadline_ms,
                           c->spec.cancel, &body, err);
    if (code < 0) {
        error_prefix(err, "a prompt of %llu tokens on a model of the kind %.*s: ",
                     (unsigned long long)q->length, STR_ARG(q->canary));
        return code;
    }
    code = c->kind->read_answer(buf_view(&body), answer, sizeof(answer));
    if (code == 0 && str_is(q->answer, answer))
        return 0;
    return error_set(err, GFXB_E_CANARY_MISMATCH,
                     "it computes wrongly: a model of the kind %.*s (%.*s) answers '%.60s' instead "
                     "of '%.*s' to a prompt of %llu tokens",
                     STR_ARG(q->canary), STR_ARG(q->types), answer, STR_ARG(q->answer),
                     (unsigned long long)q->length);
}

static int cover_next(struct cover *c, const struct cover_question *q, struct engine_covers *covers,
                      struct gfxb_error *err)
{
    char length[24];
    int code = 0;
    if (!str_eq(q->canary, c->canary)) {
        cover_end(c);
        code = cover_start(c, q, err);
    }
    if (code < 0 || c->unknown)
        return code;
    code = cover_question(c, q, err);
    if (code < 0)
        return code;
    snprintf(length, sizeof(length), "%llu", (unsigned long long)q->length);
    cover_note(covers->types, sizeof(covers->types), q->types);
    cover_note(covers->shapes, sizeof(covers->shapes), q->shape);
    cover_note(covers->lengths, sizeof(covers->lengths), str_from(length));
    return 0;
}

int cover_ask(const struct engine_spec *spec, const char *data_dir, int deadline_ms,
              struct engine_covers *ret_covers, struct gfxb_error *err)
{
    struct cover c = {.kind = engine_kind_of(spec->package->engine, err),
                      .spec = *spec,
                      .data_dir = data_dir,
                      .deadline_ms = deadline_ms};
    struct engine_covers covers = *ret_covers;
    struct cover_question q = {0};
    struct table table;
    struct table_row row;
    int more, code = 0;
    if (!c.kind)
        return -GFXB_E_NO_PACKAGE;
    const struct engine_canary *canary = c.kind->canary;
    struct str bytes = {canary->seeded, (size_t)(canary->seeded_end - canary->seeded)};
    log_at(spec->log, LOG_INFO,
           "testing every tensor type and shape; a GPU's driver compiles "
           "shaders for each the first time");
    table_init(&table, "data/seeded.tsv", bytes, cover_columns);
    while (code == 0 && (more = table_next(&table, &row, err)) != 0) {
        code = more < 0 ? more : cover_read(&table, &row, &q, err);
        if (code == 0)
            code = cover_next(&c, &q, &covers, err);
    }
    cover_end(&c);
    if (code == 0)
        *ret_covers = covers;
    return code;
}
