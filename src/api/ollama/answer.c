/* answer.c - an answer becomes Ollama's: a line for each piece of it, or one object. */
#include "api/ollama/ollama.h"

#include <errno.h>
#include <time.h>

/* The limit of an answer that is given whole. */
#define ANSWER_TEXT_MAX (64u << 20)

struct chat_writer {
    struct ollama_call about;
    ollama_clock *now;
    int64_t began, answered; /* ns; answered: the engine's first byte, 0 before */
    int calls;               /* told so far */
};

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
static json_t *answer_line(const struct chat_writer *w, const char *reason, struct str text,
                           struct str thinking, json_t *calls, json_t *logprobs)
{
    bool chat = w->about.kind == OLLAMA_CHAT;
    json_t *words = chat_string(text);
    json_t *thoughts = thinking.n ? chat_string(thinking) : NULL;
    bool whole = words && (thoughts || !thinking.n);
    json_t *line = json_pack("{s:s, s:o, s:b, s:s*}", "model", w->about.model, "created_at",
                             ollama_time(w->now()), "done", reason != NULL, "done_reason", reason);
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
static int answer_send(const struct chat_writer *w, json_t *line, struct buf *out)
{
    int code = chat_put_json(out, line);
    if (w->about.stream)
        buf_add_char(out, '\n');
    return code;
}

/* A whole call as Ollama's, arguments as an object; NULL: they were cut off. */
static json_t *answer_call(struct chat_writer *w, const struct chat_block *b)
{
    json_t *arguments = json_loads(b->text.n ? buf_text(&b->text) : "{}", 0, NULL);
    if (json_is_object(arguments))
        return json_pack("{s:s, s:{s:i, s:s, s:o}}", "id", b->id, "function", "index", w->calls++,
                         "name", b->name, "arguments", arguments);
    json_decref(arguments);
    return NULL;
}

/* ---- the stream ---- */

static const char *answer_type(struct chat_writer *w)
{
    w->answered = w->now();
    return w->about.stream ? "application/x-ndjson" : DIALECT_JSON_TYPE;
}

static int answer_piece(struct chat_writer *w, const struct chat_answer *a,
                        const struct chat_block *b, struct str text, json_t *logprobs,
                        struct buf *out)
{
    bool thinking = b->kind == CHAT_THINKING;
    (void)a;
    if (b->kind == CHAT_CALL)
        return 0;
    return answer_send(w,
                       answer_line(w, NULL, thinking ? STR_NONE : text, thinking ? text : STR_NONE,
                                   NULL, json_incref(logprobs)),
                       out);
}

/* Calls are told whole. Arguments that were cut off are told as a text, so that they are not lost.
 */
static int answer_close(struct chat_writer *w, const struct chat_answer *a,
                        const struct chat_block *b, struct buf *out)
{
    (void)a;
    if (b->kind != CHAT_CALL)
        return 0;
    json_t *call = answer_call(w, b);
    return answer_send(w,
                       answer_line(w, NULL, call ? STR_NONE : buf_view(&b->text), STR_NONE,
                                   call ? json_pack("[o]", call) : NULL, NULL),
                       out);
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

static void answer_add_durations(const struct chat_writer *w, const struct chat_answer *a,
                                 json_t *line)
{
    static const struct engine_figures none = {.object = ""};
    const struct engine_figures *names = a->figures ? a->engine->figures : &none;
    double prompt_ms = answer_number(a->figures, names->prompt_ms);
    /* The engine's head comes with its first token: what was before it and its reading of the
     * prompt is the wait for the model. */
    double load = (double)(w->answered - w->began) - prompt_ms * 1e6;
    answer_add_count(line, "total_duration", (double)(w->now() - w->began));
    answer_add_count(line, "load_duration", w->answered ? load : 0.0);
    answer_add_count(line, "prompt_eval_count", (double)a->prompt_tokens);
    answer_add_count(line, "prompt_eval_duration", prompt_ms * 1e6);
    answer_add_count(line, "eval_count", (double)a->tokens);
    answer_add_count(line, "eval_duration", answer_number(a->figures, names->tokens_ms) * 1e6);
}

/* The last line; of an answer that is given whole: all of it. */
static json_t *answer_last(struct chat_writer *w, const struct chat_answer *a)
{
    struct buf CLEAN_BUF text = BUF_INIT(ANSWER_TEXT_MAX),
                         CLEAN_BUF thinking = BUF_INIT(ANSWER_TEXT_MAX);
    json_t *calls = json_array(), *logprobs = json_array(), *line = NULL;
    for (size_t i = 0; i < a->n && !w->about.stream; i++) {
        const struct chat_block *b = &a->block[i];
        json_t *call = b->kind == CHAT_CALL ? answer_call(w, b) : NULL;
        if (call)
            json_array_append_new(calls, call);
        else
            buf_add_str(b->kind == CHAT_THINKING ? &thinking : &text, buf_view(&b->text));
        if (b->logprobs)
            json_array_extend(logprobs, b->logprobs);
    }
    if (buf_ok(&text) && buf_ok(&thinking))
        line = answer_line(w, strcmp(a->finish, "length") == 0 ? "length" : "stop", buf_view(&text),
                           buf_view(&thinking), json_array_size(calls) ? json_incref(calls) : NULL,
                           json_array_size(logprobs) ? json_incref(logprobs) : NULL);
    json_decref(calls);
    json_decref(logprobs);
    return line;
}

static int answer_end(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    json_t *line = answer_last(w, a);
    if (line)
        answer_add_durations(w, a, line);
    return answer_send(w, line, out);
}

static void answer_reset(struct chat_writer *w)
{
    w->answered = 0;
    w->calls = 0;
}

static void answer_free(struct chat_writer *w)
{
    free(w);
}

const struct chat_writer_ops ollama_writer_ops = {
    .type = answer_type,
    .piece = answer_piece,
    .close = answer_close,
    .end = answer_end,
    .reset = answer_reset,
    .free = answer_free,
};

struct chat_writer *ollama_writer_new(const struct ollama_call *call, ollama_clock *clock)
{
    struct chat_writer *w = xcalloc(1, sizeof(*w));
    clock = clock ? clock : ollama_clock_now;
    *w = (struct chat_writer){.about = *call, .now = clock, .began = clock()};
    return w;
}

void ollama_empty_answer(const struct ollama_call *call, const char *reason, struct buf *ret)
{
    struct chat_writer w = {.about = *call, .now = ollama_clock_now};
    answer_send(&w, answer_line(&w, reason, STR_NONE, STR_NONE, NULL, NULL), ret);
}
