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

/* ---- time ---- */

int64_t ollama_clock_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

json_t *ollama_time(int64_t nanoseconds)
{
    time_t seconds = (time_t)(nanoseconds / 1000000000);
    struct tm tm = {.tm_year = 70};
    char day[32];
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    return json_sprintf("%s.%09uZ", day, (unsigned)(nanoseconds % 1000000000));
}

/* ---- lines ---- */

/* A reply; reason: why it is the last one, NULL it is not. Text, thoughts and calls stand where
 * replies of this kind have them. calls and logprobs: NULL none, taken over. NULL: a long text does
 * not fit into memory. */
static json_t *answer_line(const struct serve_filter *f, const char *reason, struct str text,
                           struct str thinking, json_t *calls, json_t *logprobs)
{
    bool chat = f->about.kind == OLLAMA_CHAT;
    json_t *words = json_stringn(text.p ? text.p : "", text.n);
    json_t *thoughts = thinking.n ? json_stringn(thinking.p, thinking.n) : NULL;
    bool whole = words && (thoughts || !thinking.n);
    json_t *line = json_pack("{s:s, s:o, s:b, s:s*}", "model", f->about.model, "created_at",
                             ollama_time(f->now()), "done", reason != NULL, "done_reason", reason);
    json_t *said =
        json_pack("{s:s*, s:o*, s:o*, s:o*}", "role", chat ? "assistant" : NULL,
                  chat ? "content" : "response", words, "thinking", thoughts, "tool_calls", calls);
    if (chat)
        json_object_set(line, "message", said);
    else
        json_object_update(line, said);
    json_decref(said);
    if (logprobs)
        json_object_set_new(line, "logprobs", logprobs);
    if (whole)
        return line;
    json_decref(line);
    return NULL;
}

/* Takes the line over. -ENOMEM: there is none, or it does not fit into memory. */
static int answer_send(struct serve_filter *f, json_t *line)
{
    char *CLEAN_FREE text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text)
        return -ENOMEM;
    buf_add_text(f->out, text);
    if (f->about.stream)
        buf_add_char(f->out, '\n');
    return buf_ok(f->out) ? 0 : -ENOMEM;
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
    int code = 0;
    if (!f->about.stream) {
        buf_add_str(&f->text, buf_view(&rest));
    } else if (calls || rest.n) {
        code = answer_send(f, answer_line(f, NULL, buf_view(&rest), STR_NONE, calls, NULL));
        calls = NULL;
    }
    json_t *line = answer_line(f, strcmp(f->finish, "length") == 0 ? "length" : "stop",
                               buf_view(&f->text), buf_view(&f->thinking), calls, f->logprobs);
    f->logprobs = NULL;
    answer_add_durations(f, line);
    int last = answer_send(f, line);
    return code < 0 ? code : last;
}

/* ---- events ---- */

static void answer_keep(json_t **kept, const json_t *value)
{
    if (value) {
        json_decref(*kept);
        *kept = json_incref((json_t *)value);
    }
}

static int answer_take_chunk(struct serve_filter *f, const json_t *root)
{
    const json_t *choices = json_object_get(root, "choices");
    struct answer_chunk c =
        choices ? chunk_of_choice(json_array_get(choices, 0)) : chunk_of_own(root);
    struct str thinking = f->about.hide_thinking ? STR_NONE : c.thinking;
    int code = c.calls ? answer_take_calls(f, c.calls) : 0;
    if (f->engine && f->engine->figures)
        answer_keep(&f->figures, json_object_get(root, f->engine->figures->object));
    answer_keep(&f->usage, json_object_get(root, "usage"));
    if (c.finish)
        snprintf(f->finish, sizeof(f->finish), "%s", c.finish);
    bool logprobs = f->about.logprobs && json_array_size(c.logprobs) > 0;
    if (code < 0 || (!c.text.n && !thinking.n && !logprobs))
        return code;
    if (f->about.stream)
        return answer_send(f, answer_line(f, NULL, c.text, thinking, NULL,
                                          logprobs ? json_incref((json_t *)c.logprobs) : NULL));
    buf_add_str(&f->text, c.text);
    buf_add_str(&f->thinking, thinking);
    if (logprobs && !f->logprobs)
        f->logprobs = json_array();
    if (logprobs)
        json_array_extend(f->logprobs, (json_t *)c.logprobs);
    return buf_ok(&f->text) && buf_ok(&f->thinking) ? 0 : -EBADMSG;
}

/* The engine fails in the middle of an answer: an error is the last line. */
static int answer_take_error(struct serve_filter *f, const json_t *error)
{
    const char *message =
        json_string_value(json_is_string(error) ? error : json_object_get(error, "message"));
    f->refused = f->ended = true;
    return answer_send(f, json_pack("{s:s}", "error", message ? message : "the engine failed"));
}

/* -EBADMSG: the event is no JSON object, or makes no sense. */
static int answer_take(void *context, struct str field, struct str value)
{
    struct serve_filter *f = context;
    if (f->refused)
        return 0;
    if (str_is(value, "[DONE]")) {
        f->ended = true;
        return 0;
    }
    json_t *root = json_loadb(value.p ? value.p : "", value.n, JSON_ALLOW_NUL, NULL);
    const json_t *error = str_is(field, "error") ? root : json_object_get(root, "error");
    int code = -EBADMSG;
    if (json_is_object(root))
        code = error ? answer_take_error(f, error) : answer_take_chunk(f, root);
    json_decref(root);
    return code;
}

/* ---- the filter ---- */

static const char *answer_head(struct serve_filter *f, const struct engine_kind *engine)
{
    f->engine = engine;
    f->answered = f->now();
    return f->about.stream ? "application/x-ndjson" : DIALECT_JSON_TYPE;
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
    answer_forget(f);
    *f = (struct serve_filter){.about = f->about, .now = f->now, .began = f->began};
    f->text = f->thinking = BUF_INIT(ANSWER_TEXT_MAX);
    sse_init(&f->sse, answer_take, f);
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
    .free = answer_free,
    .reset = answer_reset,
};

struct serve_filter *ollama_answer_new(const struct ollama_call *call, ollama_clock *clock)
{
    struct serve_filter *f = xcalloc(1, sizeof(*f));
    clock = clock ? clock : ollama_clock_now;
    *f = (struct serve_filter){.about = *call, .now = clock, .began = clock()};
    answer_reset(f);
    return f;
}

void ollama_empty_answer(const struct ollama_call *call, const char *reason, struct buf *ret)
{
    struct serve_filter f = {.about = *call, .now = ollama_clock_now, .out = ret};
    answer_send(&f, answer_line(&f, reason, STR_NONE, STR_NONE, NULL, NULL));
}
