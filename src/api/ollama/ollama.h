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
    bool empty;         /* no prompt: the model is only to be loaded, or unloaded */
    bool hide_thinking; /* the client wants no thoughts */
    bool logprobs;
    int64_t keep_alive; /* seconds, SERVE_KEEP_... */
    unsigned context;   /* tokens; 0 no request */
    unsigned dimensions;
    enum engine_call call;
};

/* ---- requests: what is wrong with one goes into *error, body->error for a whole one ---- */

/*
 * What the engine is asked for a call of this path ("/api/chat"): a new reference. NULL for an
 * empty call, and when something is wrong with it or with the body already.
 */
json_t *ollama_request(const char *path, struct dialect_body *body, struct ollama_call *ret_call);

/* A member of this type, lent; NULL: absent or null, or of another type, which is an error. */
json_t *ollama_member(const json_t *object, const char *name, json_type type,
                      struct dialect_error *error);

bool ollama_is_texts(const json_t *value); /* a string, or an array of them */

/* "5m", "1h30m", "300", 300, -1 -> seconds, POOL_KEEP_FOREVER for negative ones and
 * POOL_KEEP_DEFAULT for NULL and null. */
int64_t ollama_keep_alive(const json_t *value, struct dialect_error *error);

/* "options" of root into the engine's request. Returns num_ctx, 0 when it is not given. */
unsigned ollama_add_options(json_t *request, const json_t *root, struct dialect_error *error);

/* "format" and "think" into the engine's request; raw: one without a template. */
void ollama_add_format(json_t *request, const json_t *format, bool raw,
                       struct dialect_error *error);
void ollama_add_think(json_t *request, const json_t *think, struct ollama_call *call,
                      struct dialect_error *error);

/* "messages" of root as OpenAI's, and a text with the "images" of a message; new references. */
json_t *ollama_messages(const json_t *root, struct dialect_error *error);
json_t *ollama_content(json_t *text, const json_t *message, struct dialect_error *error);

/* ---- answers ---- */

/* Nanoseconds since 1970; a parameter so that tests get the same bytes every time. */
typedef int64_t ollama_clock(void);

extern const struct serve_filter_ops ollama_answer_ops; /* chat, generate, raw, infill */
extern const struct serve_filter_ops ollama_embed_ops;

/* clock NULL: the system's. */
struct serve_filter *ollama_answer_new(const struct ollama_call *call, ollama_clock *clock);
struct serve_filter *ollama_embed_new(const struct ollama_call *call, ollama_clock *clock);

int64_t ollama_clock_now(void);
json_t *ollama_time(int64_t nanoseconds); /* "2026-11-24T23:00:00.123456789Z" */

/* The answer of an empty call: {"model", "created_at", "done":true, "done_reason"}. */
void ollama_empty_answer(const struct ollama_call *call, const char *reason, struct buf *ret);

#endif
