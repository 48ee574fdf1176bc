/* answer.c - the engine's streamed answer becomes Ollama's: a line an event, or one object. */
#include "api/ollama/ollama.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* The limit of an answer that is given whole, and of the arguments of one call. */
#define ANSWER_TEXT_MAX (64u << 20)
enum { ANSWER_CALLS_MAX = 128 };

/* A call of a tool on its way: its arguments come in pieces. */
struct answer_call {
    char id[80];
    struct buf name, arguments;
};

/* One answer of the engine (server-sent events) becoming one of Ollama's: an object a line as it
 * comes, or one at the end. */
struct serve_filter {
    struct ollama_call about;
    ollama_clock *now;
    const struct engine_kind *engine; /* NULL until its head */
    int64_t began, answered;          /* ns; answered: the engine's first byte, 0 before */
    struct sse sse;
    struct buf *out;           /* where feed and end write, while they run */
    struct buf text, thinking; /* an answer that is given whole */
    json_t *logprobs;          /* likewise; NULL none */
    struct answer_call *call;  /* ANSWER_CALLS_MAX of them; NULL until the first */
    size_t n_calls;
    json_t *figures, *usage;
    char finish[16]; /* "" until the engine said why it ended */
    bool ended;      /* [DONE] */
    bool refused;    /* an error was the last line */
};

/* ---- the engine's events ---- */

/* One event of the engine, in any of its three shapes. All is lent by root. */
struct answer_chunk {
    json_t *root;
    struct str text, thinking; /* empty: none; may hold NUL bytes */
    const json_t *calls;       /* delta.tool_calls; NULL none */
    const json_t *logprobs;    /* an array; NULL none */
    const char *finish;        /* "stop", "length" ...; NULL: not yet */
    const json_t *usage;       /* NULL none */
    const json_t *error;       /* what went wrong; NULL nothing */
};

static struct str chunk_text(const json_t *value)
{
    return (struct str){json_string_value(value), json_string_length(value)};
}

/* {"choices":[{"delta":{...}}]} of chats, {"choices":[{"text":...}]} of completions. */
static void chunk_take_choice(struct answer_chunk *c, const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta");
    const json_t *logprobs = json_object_get(choice, "logprobs");
    c->text =
        chunk_text(delta ? json_object_get(delta, "content") : json_object_get(choice, "text"));
    c->thinking = chunk_text(json_object_get(delta, "reasoning_content"));
    c->calls = json_object_get(delta, "tool_calls");
    c->finish = json_string_value(json_object_get(choice, "finish_reason"));
    c->logprobs = json_object_get(logprobs, "content");
}

/* {"content":..., "stop":true, "stop_type":"limit"} of the engine's own interface (infill). */
static void chunk_take_own(struct answer_chunk *c)
{
    const char *type = json_string_value(json_object_get(c->root, "stop_type"));
    c->text = chunk_text(json_object_get(c->root, "content"));
    c->logprobs = json_object_get(c->root, "completion_probabilities");
    if (json_is_true(json_object_get(c->root, "stop")))
        c->finish = type && strcmp(type, "limit") == 0 ? "length" : "stop";
}

/* -EBADMSG: not JSON of an object. Else root is released by the caller. */
static int chunk_read(struct str field, struct str value, struct answer_chunk *ret)
{
    *ret = (struct answer_chunk){.text = STR_NONE};
    ret->root = json_loadb(value.p ? value.p : "", value.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(ret->root)) {
        json_decref(ret->root);
        return -EBADMSG;
    }
    const json_t *choices = json_object_get(ret->root, "choices");
    ret->error = str_is(field, "error") ? ret->root : json_object_get(ret->root, "error");
    ret->usage = json_object_get(ret->root, "usage");
    if (choices)
        chunk_take_choice(ret, json_array_get(choices, 0));
    else
        chunk_take_own(ret);
    return 0;
}

/* ---- time ---- */

int64_t ollama_clock_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void ollama_time_text(int64_t nanoseconds, char ret_text[OLLAMA_TIME_SIZE])
{
    time_t seconds = (time_t)(nanoseconds / 1000000000);
    struct tm tm = {.tm_year = 70};
    char day[32];
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text, OLLAMA_TIME_SIZE, "%s.%09uZ", day, (unsigned)(nanoseconds % 1000000000));
}

/* ---- lines ---- */

/* A reply without its text yet. */
static json_t *answer_line(const struct serve_filter *f, bool done)
{
    char when[OLLAMA_TIME_SIZE];
    ollama_time_text(f->now(), when);
    return json_pack("{s:s, s:s, s:b}", "model", f->about.model, "created_at", when, "done",
                     (int)done);
}

/* A long line may not fit into memory: -ENOMEM. */
static int answer_send(struct serve_filter *f, json_t *line)
{
    char *CLEAN_FREE text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    if (!text)
        return -ENOMEM;
    buf_add_text(f->out, text);
    if (f->about.stream)
        buf_add_char(f->out, '\n');
    return buf_ok(f->out) ? 0 : -ENOMEM;
}

/* Text, thoughts and calls where replies of this kind have them. calls and logprobs: NULL none,
 * taken over. -ENOMEM: a long text does not fit into memory. */
static int answer_fill(const struct serve_filter *f, json_t *line, struct str text,
                       struct str thinking, json_t *calls, json_t *logprobs)
{
    bool chat = f->about.kind == OLLAMA_CHAT;
    json_t *parent = line;
    if (chat) {
        parent = json_pack("{s:s}", "role", "assistant");
        json_object_set_new(line, "message", parent);
    }
    int code = json_object_set_new(parent, chat ? "content" : "response",
                                   json_stringn(text.p ? text.p : "", text.n));
    if (thinking.n)
        code |= json_object_set_new(parent, "thinking", json_stringn(thinking.p, thinking.n));
    if (calls)
        json_object_set_new(parent, "tool_calls", calls);
    if (logprobs)
        json_object_set_new(line, "logprobs", logprobs);
    return code ? -ENOMEM : 0;
}

static int answer_piece(struct serve_filter *f, struct str text, struct str thinking, json_t *calls,
                        json_t *logprobs)
{
    json_t *line = answer_line(f, false);
    int code = answer_fill(f, line, text, thinking, calls, logprobs);
    if (code == 0)
        return answer_send(f, line);
    json_decref(line);
    return code;
}

/* ---- calls of tools ---- */

static struct answer_call *answer_call_at(struct serve_filter *f, json_int_t index)
{
    if (index < 0 || index >= ANSWER_CALLS_MAX)
        return NULL;
    if (!f->call)
        f->call = xcalloc(ANSWER_CALLS_MAX, sizeof(*f->call));
    while (f->n_calls <= (size_t)index) {
        struct answer_call *call = &f->call[f->n_calls++];
        call->name = BUF_INIT(4096);
        call->arguments = BUF_INIT(ANSWER_TEXT_MAX);
    }
    return &f->call[index];
}

static int answer_take_calls(struct serve_filter *f, const json_t *calls)
{
    size_t i;
    json_t *delta;
    json_array_foreach((json_t *)calls, i, delta)
    {
        const json_t *function = json_object_get(delta, "function");
        const json_t *index = json_object_get(delta, "index");
        const char *id = json_string_value(json_object_get(delta, "id"));
        struct answer_call *call =
            answer_call_at(f, json_is_integer(index) ? json_integer_value(index) : (json_int_t)i);
        if (!call)
            return -EBADMSG;
        if (id)
            snprintf(call->id, sizeof(call->id), "%s", id);
        buf_add_text(&call->name, json_string_value(json_object_get(function, "name")) ?: "");
        buf_add_text(&call->arguments,
                     json_string_value(json_object_get(function, "arguments")) ?: "");
        if (!buf_ok(&call->name) || !buf_ok(&call->arguments))
            return -EBADMSG;
    }
    return 0;
}

/* Whole calls as Ollama's, arguments as an object. Arguments that were cut off are appended to
 * *text instead, so that they are not lost. NULL: there are none. */
static json_t *answer_calls(const struct serve_filter *f, struct buf *text)
{
    json_t *array = NULL;
    for (size_t i = 0; i < f->n_calls; i++) {
        const struct answer_call *c = &f->call[i];
        const char *words = c->arguments.n ? buf_text(&c->arguments) : "{}";
        json_t *arguments = json_loads(words, 0, NULL);
        if (!json_is_object(arguments)) {
            json_decref(arguments);
            buf_add_text(text, words);
            continue;
        }
        if (!array)
            array = json_array();
        json_array_append_new(array,
                              json_pack("{s:o, s:{s:i, s:s, s:o}}", "id", report_json_string(c->id),
                                        "function", "index", (int)i, "name", buf_text(&c->name),
                                        "arguments", arguments));
    }
    return array;
}

/* ---- the end ---- */

static void answer_add_count(json_t *line, const char *name, double value)
{
    if (value > 0.0 && value < 9e15) /* Ollama leaves zeros out */
        json_object_set_new(line, name, json_integer((json_int_t)value));
}

static double answer_number(const json_t *object, const char *name)
{
    return name ? json_number_value(json_object_get(object, name)) : 0.0;
}

static void answer_add_durations(const struct serve_filter *f, json_t *line)
{
    static const struct engine_figures none = {.object = ""};
    const json_t *t = f->figures;
    const struct engine_figures *names = t ? f->engine->figures : &none;
    double prompt_ms = answer_number(t, names->prompt_ms);
    double eval_ms = answer_number(t, names->tokens_ms);
    double prompt = answer_number(t, names->prompt) + answer_number(t, names->cached);
    double eval = answer_number(t, names->tokens);
    /* The engine's head comes with its first token: what was before it and its reading of the
     * prompt is the wait for the model. */
    double load = (double)(f->answered - f->began) - prompt_ms * 1e6;
    answer_add_count(line, "total_duration", (double)(f->now() - f->began));
    answer_add_count(line, "load_duration", f->answered ? load : 0.0);
    answer_add_count(line, "prompt_eval_count",
                     t ? prompt : answer_number(f->usage, "prompt_tokens"));
    answer_add_count(line, "prompt_eval_duration", prompt_ms * 1e6);
    answer_add_count(line, "eval_count", t ? eval : answer_number(f->usage, "completion_tokens"));
    answer_add_count(line, "eval_duration", eval_ms * 1e6);
}

static int answer_finish(struct serve_filter *f)
{
    struct buf CLEAN_BUF rest = BUF_INIT(ANSWER_TEXT_MAX);
    json_t *calls = answer_calls(f, &rest);
    bool stream = f->about.stream;
    int code = 0;
    buf_add_str(stream ? &rest : &f->text, stream ? STR_NONE : buf_view(&rest));
    if (stream && (calls || rest.n)) {
        code = answer_piece(f, buf_view(&rest), STR_NONE, calls, NULL);
        calls = NULL;
    }
    json_t *line = answer_line(f, true);
    bool length = strcmp(f->finish, "length") == 0;
    json_object_set_new(line, "done_reason", json_string(length ? "length" : "stop"));
    if (code == 0 && stream)
        code = answer_fill(f, line, STR_NONE, STR_NONE, NULL, NULL);
    else if (code == 0)
        code = answer_fill(f, line, buf_view(&f->text), buf_view(&f->thinking), calls, f->logprobs);
    if (!stream)
        f->logprobs = NULL;
    answer_add_durations(f, line);
    if (code == 0)
        return answer_send(f, line);
    json_decref(line);
    return code;
}

/* ---- events ---- */

static void answer_keep(json_t **kept, const json_t *value)
{
    if (value) {
        json_decref(*kept);
        *kept = json_incref((json_t *)value);
    }
}

static int answer_take_chunk(struct serve_filter *f, const struct answer_chunk *c)
{
    struct str text = c->text;
    struct str thinking = f->about.hide_thinking ? STR_NONE : c->thinking;
    int code = c->calls ? answer_take_calls(f, c->calls) : 0;
    if (f->engine && f->engine->figures)
        answer_keep(&f->figures, json_object_get(c->root, f->engine->figures->object));
    answer_keep(&f->usage, c->usage);
    if (c->finish)
        snprintf(f->finish, sizeof(f->finish), "%s", c->finish);
    bool logprobs = f->about.logprobs && json_array_size(c->logprobs) > 0;
    if (code < 0 || (!text.n && !thinking.n && !logprobs))
        return code;
    if (f->about.stream)
        return answer_piece(f, text, thinking, NULL,
                            logprobs ? json_incref((json_t *)c->logprobs) : NULL);
    buf_add_str(&f->text, text);
    buf_add_str(&f->thinking, thinking);
    if (logprobs && !f->logprobs)
        f->logprobs = json_array();
    if (logprobs)
        json_array_extend(f->logprobs, (json_t *)c->logprobs);
    return buf_ok(&f->text) && buf_ok(&f->thinking) ? 0 : -EBADMSG;
}

/* The engine fails in the middle of an answer: an error is the last line. */
static int answer_take_error(struct serve_filter *f, const json_t *error)
{
    const char *message =
        json_string_value(json_is_string(error) ? error : json_object_get(error, "message"));
    f->refused = true;
    f->ended = true;
    return answer_send(f, json_pack("{s:s}", "error", message ? message : "the engine failed"));
}

static int answer_take(void *context, struct str field, struct str value)
{
    struct serve_filter *f = context;
    struct answer_chunk chunk;
    if (f->refused)
        return 0;
    if (str_is(value, "[DONE]")) {
        f->ended = true;
        return 0;
    }
    int code = chunk_read(field, value, &chunk);
    if (code < 0)
        return code;
    code = chunk.error ? answer_take_error(f, chunk.error) : answer_take_chunk(f, &chunk);
    json_decref(chunk.root);
    return code;
}

/* ---- the filter ---- */

static void answer_head(struct serve_filter *f, const struct engine_kind *engine,
                        struct str engine_type, const char **type)
{
    f->engine = engine;
    f->answered = f->now();
    *type = f->about.stream ? "application/x-ndjson" : "application/json; charset=utf-8";
}

static int answer_result(int code, struct gfxb_error *err)
{
    if (code == -ENOMEM)
        return error_set(err, ENOMEM, "the engine's answer does not fit into memory");
    return code < 0 ? error_set(err, EPROTO, "the engine's answer makes no sense") : 0;
}

static int answer_feed(struct serve_filter *f, struct str bytes, struct buf *out,
                       struct gfxb_error *err)
{
    f->out = out;
    return answer_result(sse_feed(&f->sse, bytes), err);
}

static int answer_end(struct serve_filter *f, struct buf *out, struct gfxb_error *err)
{
    f->out = out;
    if (f->refused)
        return 0;
    if (!f->ended && !f->finish[0])
        return error_set(err, EPROTO, "the engine's answer is incomplete");
    return answer_result(answer_finish(f), err);
}

static void answer_fail(struct serve_filter *f, const struct gfxb_error *why, struct buf *out)
{
    dialect_error_event(DIALECT_OLLAMA, f->about.stream, why, out);
}

static void answer_init(struct serve_filter *f, const struct ollama_call *call, ollama_clock *now)
{
    *f = (struct serve_filter){.about = *call,
                               .now = now,
                               .text = BUF_INIT(ANSWER_TEXT_MAX),
                               .thinking = BUF_INIT(ANSWER_TEXT_MAX)};
    sse_init(&f->sse, answer_take, f);
}

/* Frees the parts of an answer that were read. */
static void answer_forget(struct serve_filter *f)
{
    sse_done(&f->sse);
    buf_done(&f->text);
    buf_done(&f->thinking);
    for (size_t i = 0; i < f->n_calls; i++) {
        buf_done(&f->call[i].name);
        buf_done(&f->call[i].arguments);
    }
    free(f->call);
    json_decref(f->logprobs);
    json_decref(f->figures);
    json_decref(f->usage);
}

static void answer_reset(struct serve_filter *f)
{
    const struct ollama_call about = f->about;
    int64_t began = f->began;
    answer_forget(f);
    answer_init(f, &about, f->now);
    f->began = began;
}

static void answer_free(struct serve_filter *f)
{
    answer_forget(f);
    free(f);
}

const struct serve_filter_ops ollama_answer_ops = {
    .head = answer_head,
    .feed = answer_feed,
    .end = answer_end,
    .fail = answer_fail,
    .free = answer_free,
    .reset = answer_reset,
};

struct serve_filter *ollama_answer_new(const struct ollama_call *call, ollama_clock *clock)
{
    struct serve_filter *f = xcalloc(1, sizeof(*f));
    answer_init(f, call, clock ? clock : ollama_clock_now);
    f->began = f->now();
    return f;
}

void ollama_empty_answer(const struct ollama_call *call, const char *reason, ollama_clock *clock,
                         struct buf *ret)
{
    struct serve_filter f = {.about = *call, .now = clock ? clock : ollama_clock_now, .out = ret};
    json_t *line = answer_line(&f, true);
    json_object_set_new(line, "done_reason", json_string(reason));
    answer_fill(&f, line, STR_NONE, STR_NONE, NULL, NULL);
    answer_send(&f, line);
}
