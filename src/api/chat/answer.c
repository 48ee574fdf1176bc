/* answer.c - the engine's streamed answer, read event by event into blocks of text, thinking and
 * calls, which a dialect's writer is told. */
#include "api/chat/chat.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

/* The limit of one block, and of the calls in an answer. */
#define ANSWER_TEXT_MAX (64u << 20)
enum { ANSWER_BLOCKS_MAX = 4096 };

/* Of one choice. */
struct answer_choice {
    size_t open;        /* 1 and the number of its open block; 0 none */
    int64_t call_index; /* the engine's number of the open call */
    json_t *logprobs;   /* of tokens whose text has not come yet; NULL none */
    uint64_t tokens;
};

struct serve_filter {
    const struct chat_writer_ops *ops;
    struct chat_writer *writer;
    struct chat_options about;
    struct chat_answer answer;
    size_t capacity; /* of answer.block */
    struct sse sse;
    struct buf *out; /* where feed and end write, while they run */
    struct answer_choice choice[CHAT_CHOICES_MAX];
    unsigned at, choices;      /* the one that the event is about; how many there are */
    json_t *stop_word, *model; /* what answer's texts point into */
    bool began;
    bool ended;        /* [DONE] */
    char refusal[400]; /* the engine's error in the middle of an answer; "" none */
};

/* ---- the engine's events ---- */

/* One event of the engine. All is lent by its JSON. */
struct answer_chunk {
    struct str text, thinking; /* empty: none; may hold NUL bytes */
    const json_t *calls;       /* delta.tool_calls; NULL none */
    const json_t *logprobs;    /* an array; NULL none */
    const char *finish;        /* "stop", "length" ...; NULL: not yet */
};

static struct str chunk_text(const json_t *value)
{
    return (struct str){json_string_value(value), json_string_length(value)};
}

/* {"choices":[{"delta":{...}}]} of chats, {"choices":[{"text":...}]} of completions. */
static struct answer_chunk chunk_of_choice(const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta");
    const json_t *logprobs = json_object_get(choice, "logprobs");
    return (struct answer_chunk){
        .text = chunk_text(json_object_get(delta ? delta : choice, delta ? "content" : "text")),
        .thinking = chunk_text(json_object_get(delta, "reasoning_content")),
        .calls = json_object_get(delta, "tool_calls"),
        .finish = json_string_value(json_object_get(choice, "finish_reason")),
        .logprobs = json_object_get(logprobs, "content"),
    };
}

/* {"content":..., "stop":true, "stop_type":"limit"} of the engine's own interface (infill). */
static struct answer_chunk chunk_of_own(const json_t *root)
{
    const char *type = json_string_value(json_object_get(root, "stop_type"));
    const char *finish = type && strcmp(type, "limit") == 0 ? "length" : "stop";
    return (struct answer_chunk){
        .text = chunk_text(json_object_get(root, "content")),
        .finish = json_is_true(json_object_get(root, "stop")) ? finish : NULL,
        .logprobs = json_object_get(root, "completion_probabilities"),
    };
}

/* ---- blocks ---- */

/* The open block of the choice that the event is about; NULL none. */
static struct chat_block *answer_block(const struct serve_filter *f)
{
    size_t open = f->choice[f->at].open;
    return open ? &f->answer.block[open - 1] : NULL;
}

static int answer_begin(struct serve_filter *f)
{
    bool first = !f->began;
    f->began = true;
    return first && f->about.stream && f->ops->begin ? f->ops->begin(f->writer, &f->answer, f->out)
                                                     : 0;
}

static int answer_close(struct serve_filter *f)
{
    struct chat_block *b = answer_block(f);
    f->choice[f->at].open = 0;
    return b && f->about.stream && f->ops->close ? f->ops->close(f->writer, &f->answer, b, f->out)
                                                 : 0;
}

/* The open block of this kind, made when there is none. id and name: of a call. */
static int answer_open(struct serve_filter *f, enum chat_block_kind kind, const char *id,
                       const char *name)
{
    struct chat_answer *a = &f->answer;
    struct chat_block *b = answer_block(f);
    if (b && kind != CHAT_CALL && b->kind == kind)
        return 0;
    int code = answer_close(f);
    if (code < 0)
        return code;
    if (a->n == ANSWER_BLOCKS_MAX)
        return -EMSGSIZE;
    if (a->n == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 4;
        a->block = xreallocarray(a->block, f->capacity, sizeof(a->block[0]));
    }
    b = &a->block[a->n++];
    *b = (struct chat_block){.kind = kind, .choice = f->at, .text = BUF_INIT(ANSWER_TEXT_MAX)};
    if (id && id[0])
        dialect_copy(b->id, sizeof(b->id), id);
    else if (kind == CHAT_CALL)
        chat_id("call_", b->id, sizeof(b->id));
    dialect_copy(b->name, sizeof(b->name), name ? name : "");
    f->choice[f->at].open = a->n;
    return f->about.stream && f->ops->open ? f->ops->open(f->writer, a, b, f->out) : 0;
}

/* To the open block. logprobs: NULL none, taken over. */
static int answer_piece(struct serve_filter *f, struct str text, json_t *logprobs)
{
    struct chat_block *b = answer_block(f);
    int code = 0;
    b->pieces++;
    buf_add_str(&b->text, text);
    if (!buf_ok(&b->text))
        code = -EMSGSIZE;
    else if (f->about.stream && (text.n || logprobs))
        code = f->ops->piece(f->writer, &f->answer, b, text, logprobs, f->out);
    if (logprobs && !b->logprobs)
        b->logprobs = json_array();
    if (logprobs)
        json_array_extend(b->logprobs, logprobs);
    json_decref(logprobs);
    return code;
}

static int answer_take_text(struct serve_filter *f, enum chat_block_kind kind, struct str text)
{
    json_t *logprobs = f->choice[f->at].logprobs;
    if (text.n == 0)
        return 0;
    int code = answer_open(f, kind, NULL, NULL);
    if (code < 0)
        return code;
    f->choice[f->at].logprobs = NULL;
    return answer_piece(f, text, logprobs);
}

/* A call begins with its name; what follows of the same number are pieces of its arguments. */
static int answer_take_calls(struct serve_filter *f, const json_t *calls)
{
    size_t i;
    json_t *delta;
    json_array_foreach((json_t *)calls, i, delta)
    {
        const json_t *function = json_object_get(delta, "function");
        const json_t *given = json_object_get(delta, "index");
        const char *name = json_string_value(json_object_get(function, "name"));
        int64_t index = json_is_integer(given) ? json_integer_value(given) : (int64_t)i;
        const struct chat_block *open = answer_block(f);
        bool is_open = open && open->kind == CHAT_CALL && f->choice[f->at].call_index == index;
        int code = 0;
        if (f->about.one_call && index > 0)
            continue;
        if (!is_open && name)
            code = answer_open(f, CHAT_CALL, json_string_value(json_object_get(delta, "id")), name);
        else if (!is_open)
            return -EBADMSG;
        f->choice[f->at].call_index = index;
        if (code == 0)
            code = answer_piece(f, chunk_text(json_object_get(function, "arguments")), NULL);
        if (code < 0)
            return code;
    }
    return json_is_array(calls) ? 0 : -EBADMSG;
}

/* ---- events ---- */

static void answer_keep(json_t **kept, const json_t *value)
{
    if (value) {
        json_decref(*kept);
        *kept = json_incref((json_t *)value);
    }
}

static uint64_t answer_count(const json_t *object, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(object, name));
    return n > 0 ? (uint64_t)n : 0;
}

/* Usage counts all; an engine that sends none still has its figures. */
static void answer_take_usage(struct serve_filter *f, const json_t *root)
{
    struct chat_answer *a = &f->answer;
    const json_t *usage = json_object_get(root, "usage");
    const struct engine_figures *names = a->engine ? a->engine->figures : NULL;
    answer_keep(&a->figures, names ? json_object_get(root, names->object) : NULL);
    if (names && json_object_get(root, names->object))
        f->choice[f->at].tokens = answer_count(a->figures, names->tokens);
    if (json_is_object(usage)) {
        a->prompt_tokens = answer_count(usage, "prompt_tokens");
        a->tokens = answer_count(usage, "completion_tokens");
        a->cached_tokens =
            answer_count(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
    } else if (names && json_object_get(root, names->object)) {
        a->cached_tokens = answer_count(a->figures, names->cached);
        a->prompt_tokens = answer_count(a->figures, names->prompt) + a->cached_tokens;
        a->tokens = answer_count(a->figures, names->tokens);
    }
    if (f->choices > 1) {
        a->tokens = 0;
        for (unsigned i = 0; i < f->choices; i++)
            a->tokens += f->choice[i].tokens;
    }
}

static void answer_take_logprobs(struct serve_filter *f, const json_t *logprobs)
{
    size_t i;
    json_t *token;
    json_array_foreach((json_t *)logprobs, i, token)
    {
        if (f->about.no_top)
            json_object_set_new(token, "top_logprobs", json_array());
        if (!f->choice[f->at].logprobs)
            f->choice[f->at].logprobs = json_array();
        json_array_append(f->choice[f->at].logprobs, token);
    }
}

static int answer_take_chunk(struct serve_filter *f, const json_t *root)
{
    const json_t *choices = json_object_get(root, "choices"), *choice = json_array_get(choices, 0);
    struct answer_chunk c = choices ? chunk_of_choice(choice) : chunk_of_own(root);
    /* The engine's figures stand in the last event of a choice, or in one behind it without any. */
    json_int_t at = choice ? json_integer_value(json_object_get(choice, "index")) : f->at;
    if (at < 0 || at >= CHAT_CHOICES_MAX)
        return -EBADMSG;
    f->at = (unsigned)at;
    f->choices = f->choices > f->at ? f->choices : f->at + 1;
    const json_t *word =
        json_object_get(json_object_get(root, "__verbose") ?: root, "stopping_word");
    if (json_string_length(word) > 0)
        answer_keep(&f->stop_word, word);
    answer_keep(&f->model, json_object_get(root, "model"));
    f->answer.stop_sequence = json_string_value(f->stop_word);
    f->answer.model = json_string_value(f->model) ?: "";
    answer_take_usage(f, root);
    /* The engine's first event only says that it answers. */
    bool says = c.text.n || c.thinking.n || c.calls || c.finish;
    int code = says ? answer_begin(f) : 0;
    if (c.finish)
        snprintf(f->answer.finishes[at], sizeof(f->answer.finishes[at]), "%s", c.finish);
    if (!f->about.hide_thinking || !c.thinking.n)
        answer_take_logprobs(f, c.logprobs);
    if (code == 0 && !f->about.hide_thinking)
        code = answer_take_text(f, CHAT_THINKING, c.thinking);
    if (code == 0)
        code = answer_take_text(f, CHAT_TEXT, c.text);
    if (code == 0 && c.calls)
        code = answer_take_calls(f, c.calls);
    return code;
}

/* -EBADMSG: the event is no JSON object, or makes no sense. -EREMOTEIO: the engine's error.
 * -EMSGSIZE: a limit of ours, for which the engine is not to blame. */
static int answer_take(void *context, struct str field, struct str value)
{
    struct serve_filter *f = context;
    if (str_is(value, "[DONE]")) {
        f->ended = true;
        return 0;
    }
    json_t *root = json_loadb(value.p ? value.p : "", value.n, JSON_ALLOW_NUL, NULL);
    const json_t *error = str_is(field, "error") ? root : json_object_get(root, "error");
    int code = -EBADMSG;
    if (json_is_object(root) && error) {
        const char *message =
            json_string_value(json_is_string(error) ? error : json_object_get(error, "message"));
        dialect_copy(f->refusal, sizeof(f->refusal), message ? message : "the engine failed");
        code = -EREMOTEIO;
    } else if (json_is_object(root)) {
        code = answer_take_chunk(f, root);
    }
    json_decref(root);
    return code;
}

/* ---- the filter ---- */

static const char *answer_head(struct serve_filter *f, const struct engine_kind *engine)
{
    f->answer.engine = engine;
    return f->ops->type(f->writer);
}

static int answer_result(const struct serve_filter *f, int code, struct gfxb_error *err)
{
    if (code == -ENOMEM)
        return error_set(err, ENOMEM, "the engine's answer does not fit into memory");
    if (code == -EMSGSIZE)
        return error_set(err, EMSGSIZE, "the engine's answer is too long");
    if (code == -EREMOTEIO)
        return error_set(err, EREMOTEIO, "%s", f->refusal);
    return code < 0 ? error_set(err, EPROTO, "the engine's answer makes no sense") : 0;
}

static int answer_feed(struct serve_filter *f, struct str bytes, struct buf *out,
                       struct gfxb_error *err)
{
    f->out = out;
    return answer_result(f, sse_feed(&f->sse, bytes), err);
}

/* What is left of a choice. */
static int answer_end_choice(struct serve_filter *f)
{
    const struct chat_block *b = answer_block(f);
    json_t *logprobs = f->choice[f->at].logprobs;
    int code = 0;
    f->choice[f->at].logprobs = NULL;
    if (f->answer.n == 0)
        code = answer_open(f, CHAT_TEXT, NULL, NULL);
    if (b && b->kind == CHAT_TEXT && logprobs)
        code = answer_piece(f, STR_NONE, logprobs);
    else
        json_decref(logprobs);
    return code < 0 ? code : answer_close(f);
}

static int answer_end(struct serve_filter *f, struct buf *out, struct gfxb_error *err)
{
    f->out = out;
    if (!f->ended && !f->answer.finish[0])
        return error_set(err, EPROTO, "the engine's answer is incomplete");
    int code = answer_begin(f);
    for (f->at = 0; f->at == 0 || f->at < f->choices; f->at++)
        code = code < 0 ? code : answer_end_choice(f);
    if (code == 0)
        code = f->ops->end(f->writer, &f->answer, out);
    return answer_result(f, code, err);
}

static void answer_fail(struct serve_filter *f, enum dialect dialect, const struct gfxb_error *why,
                        struct buf *out)
{
    if (f->about.stream && f->ops->fail)
        f->ops->fail(f->writer, &f->answer, why, out);
    else
        dialect_error_event(dialect, f->about.stream, why, out);
}

/* Frees the parts of an answer that were read. */
static void answer_forget(struct serve_filter *f)
{
    sse_done(&f->sse);
    for (size_t i = 0; i < f->answer.n; i++) {
        buf_done(&f->answer.block[i].text);
        json_decref(f->answer.block[i].logprobs);
    }
    free(f->answer.block);
    json_decref(f->answer.figures);
    for (unsigned i = 0; i < CHAT_CHOICES_MAX; i++)
        json_decref(f->choice[i].logprobs);
    json_decref(f->stop_word);
    json_decref(f->model);
}

static void answer_init(struct serve_filter *f, const struct chat_writer_ops *ops,
                        struct chat_writer *writer, struct chat_options about)
{
    *f = (struct serve_filter){.ops = ops, .writer = writer, .about = about};
    f->answer.model = "";
    f->answer.finish = f->answer.finishes[0];
    sse_init(&f->sse, answer_take, f);
}

static void answer_reset(struct serve_filter *f)
{
    answer_forget(f);
    answer_init(f, f->ops, f->writer, f->about);
    if (f->ops->reset)
        f->ops->reset(f->writer);
}

static void answer_free(struct serve_filter *f)
{
    answer_forget(f);
    f->ops->free(f->writer);
    free(f);
}

const struct serve_filter_ops chat_filter_ops = {
    .head = answer_head,
    .feed = answer_feed,
    .end = answer_end,
    .fail = answer_fail,
    .reset = answer_reset,
    .free = answer_free,
};

struct serve_filter *chat_filter_new(const struct chat_writer_ops *ops, struct chat_writer *writer,
                                     const struct chat_options *options)
{
    struct serve_filter *f = xcalloc(1, sizeof(*f));
    answer_init(f, ops, writer, *options);
    return f;
}

/* ---- for writers ---- */

int chat_put_json(struct buf *out, json_t *value)
{
    char *CLEAN_FREE text =
        value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(value);
    if (!text)
        return -ENOMEM;
    buf_add_text(out, text);
    return buf_ok(out) ? 0 : -ENOMEM;
}

int chat_put_event(struct buf *out, const char *name, json_t *value)
{
    if (name)
        buf_addf(out, "event: %s\n", name);
    buf_add_text(out, "data: ");
    int code = chat_put_json(out, value);
    buf_add_text(out, "\n\n");
    return code;
}

json_t *chat_string(struct str text)
{
    return json_stringn(text.p ? text.p : "", text.n);
}

void chat_id(const char *prefix, char *ret, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    unsigned char random[24];
    char word[sizeof(random) + 1] = "";
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        memset(random, 0, sizeof(random)); /* never: for so few bytes it always succeeds */
    for (size_t i = 0; i < sizeof(random); i++)
        word[i] = letters[random[i] % (sizeof(letters) - 1)];
    snprintf(ret, size, "%s%s", prefix, word);
}
