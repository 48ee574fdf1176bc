/*
 * ollama.h - Ollama's API in the model of api/chat: requests there, answers back. Private to
 * ollama/.
 */
#ifndef API_OLLAMA_OLLAMA_H
#define API_OLLAMA_OLLAMA_H

#include "api/chat/chat.h"

/* What a call is about, besides the engine's body. */
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
    int64_t keep_alive; /* seconds, POOL_KEEP_... */
    unsigned context;   /* tokens; 0 no request */
};

/* ---- requests: what is wrong with one goes into *error, or body->error ---- */

/* Any of them: path ("/api/chat") says which. The engine's body becomes that of call->request; of
 * an empty one and of one with a fault it has no meaning. */
void ollama_read(const char *path, struct dialect_body *body, const json_t *root,
                 struct chat_call *call, struct ollama_call *ret_about);

/* A member of this type, lent; NULL: absent or null, or of another type, which is an error. */
json_t *ollama_member(const json_t *object, const char *name, json_type type,
                      struct dialect_error *error);

bool ollama_is_option(const char *name);   /* "temperature" */
bool ollama_is_texts(const json_t *value); /* a string, or an array of them */

/* "5m", "1h30m", "300", 300, -1 -> seconds, POOL_KEEP_FOREVER for negative ones and
 * POOL_KEEP_DEFAULT for NULL and null. */
int64_t ollama_keep_alive(const json_t *value, struct dialect_error *error);

/* "options" of root into the engine's request. Returns num_ctx, 0 when it is not given. */
unsigned ollama_add_options(json_t *request, const json_t *root, struct dialect_error *error);

/* "format" and "think" into the request; raw: one without a template. */
void ollama_add_format(struct chat_request *r, const json_t *format, bool raw);
void ollama_add_think(struct chat_request *r, const json_t *think);

/* "messages" of root, and the "images" of a message or of a prompt. */
void ollama_add_messages(struct chat_request *r, const json_t *root);
void ollama_add_images(struct chat_request *r, json_t *message, const json_t *from);

/* ---- answers ---- */

/* Nanoseconds since 1970; a parameter so that tests get the same bytes every time. */
typedef int64_t ollama_clock(void);

extern const struct chat_writer_ops ollama_writer_ops; /* chat, generate, raw, infill */

/* clock NULL: the system's. */
struct chat_writer *ollama_writer_new(const struct ollama_call *call, ollama_clock *clock);

int64_t ollama_clock_now(void);
json_t *ollama_time(int64_t nanoseconds); /* "2026-11-24T23:00:00.123456789Z" */

/* Calls that take long tell it line by line, when stream->on, and end with one more line or with
 * the whole answer. */
#define OLLAMA_STREAM_TYPE "application/x-ndjson"
struct dialect_stream;
void ollama_status(const struct dialect_stream *stream, const char *status);
void ollama_progress(void *stream, const struct model_progress *p);
void ollama_end(const struct dialect_stream *stream, int result, const struct gfxb_error *err);

/* The answer of an empty call: {"model", "created_at", "done":true, "done_reason"}. */
void ollama_empty_answer(const struct ollama_call *call, const char *reason, struct buf *ret);

#endif
