/*
 * ollama.h - Ollama's API in the engine's: requests there, answers back. Private to ollama/.
 * Requests are read with jansson, because their messages are rewritten; answers are converted event
 * by event.
 */
#ifndef API_OLLAMA_OLLAMA_H
#define API_OLLAMA_OLLAMA_H

#include "api/dialect.h"

/* What a call of /api/chat, /api/generate or /api/embed is about, besides the engine's body. */
enum ollama_kind {
    OLLAMA_CHAT,     /* /api/chat */
    OLLAMA_GENERATE, /* /api/generate, through the model's template */
    OLLAMA_RAW,      /* the same without a template */
    OLLAMA_INFILL,   /* the same with a suffix */
    OLLAMA_EMBED,
    OLLAMA_EMBEDDINGS, /* the older one: one text, one vector */
};

struct ollama_call {
    enum ollama_kind kind;
    char model[DIALECT_NAME_SIZE]; /* as the client wrote it: replies repeat it */
    bool stream;
    bool empty;          /* no prompt: the model is only to be loaded, or unloaded */
    bool hide_thinking;  /* the client wants no thoughts */
    bool wants_thinking; /* it asks for some */
    bool logprobs;
    int64_t keep_alive; /* seconds, SERVE_KEEP_... */
    unsigned context;   /* tokens; 0 no request */
    unsigned dimensions;
    const char *engine_path;
};

/* ---- requests ---- */

/* "5m", "1h30m", "300", 300, -1 -> seconds, POOL_KEEP_FOREVER for negative ones and
 * POOL_KEEP_DEFAULT for NULL and null. */
int ollama_read_keep_alive(const json_t *value, int64_t *ret_seconds,
                           struct dialect_error *ret_error);

/* "options" into the engine's request. ret_context: num_ctx, 0 when it is not given. */
int ollama_add_options(json_t *request, const json_t *options, unsigned *ret_context,
                       struct dialect_error *ret_error);

/* "format" and "think" into the engine's request; raw: one without a template. */
int ollama_add_format(json_t *request, const json_t *format, bool raw,
                      struct dialect_error *ret_error);
int ollama_add_think(json_t *request, const json_t *think, struct ollama_call *call,
                     struct dialect_error *ret_error);

/* Ollama's messages as OpenAI's: a new reference into *ret_messages. */
int ollama_messages(const json_t *messages, json_t **ret_messages, struct dialect_error *ret_error);
/* A text with its images, or the text itself when there are none; NULL with *ret_error filled: a
 * bad image, or one that is too large. */
json_t *ollama_content(json_t *text, const json_t *images, struct dialect_error *ret_error);

/* The whole way: *ret_request is what the engine is asked (a new reference; NULL for an empty
 * call). */
int ollama_chat_request(const struct dialect_body *body, struct ollama_call *ret_call,
                        json_t **ret_request, struct dialect_error *ret_error);
int ollama_generate_request(const struct dialect_body *body, struct ollama_call *ret_call,
                            json_t **ret_request, struct dialect_error *ret_error);
int ollama_embed_request(const struct dialect_body *body, bool old, struct ollama_call *ret_call,
                         json_t **ret_request, struct dialect_error *ret_error);

/* ---- answers ---- */

/* Nanoseconds since 1970; a parameter so that tests get the same bytes every time. */
typedef int64_t ollama_clock(void);

extern const struct serve_filter_ops ollama_answer_ops; /* chat, generate, raw, infill */
extern const struct serve_filter_ops ollama_embed_ops;

/* clock NULL: the system's. */
struct serve_filter *ollama_answer_new(const struct ollama_call *call, ollama_clock *clock);
struct serve_filter *ollama_embed_new(const struct ollama_call *call, ollama_clock *clock);

int64_t ollama_clock_now(void);
/* "2026-11-24T23:00:00.123456789Z" */
enum { OLLAMA_TIME_SIZE = 48 };
void ollama_time_text(int64_t nanoseconds, char ret_text[OLLAMA_TIME_SIZE]);

/* The answer of an empty call: {"model", "created_at", "done":true, "done_reason"}. */
void ollama_empty_answer(const struct ollama_call *call, const char *reason, ollama_clock *clock,
                         struct buf *ret);

#endif
