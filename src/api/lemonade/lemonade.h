/* lemonade.h - Lemonade's API, beyond what it shares with OpenAI's. Private to lemonade/. */
#ifndef API_LEMONADE_LEMONADE_H
#define API_LEMONADE_LEMONADE_H

#include "api/serve.h"

/* The only recipe that is ours: engines of llama.cpp. */
#define LEMONADE_RECIPE "llamacpp"

/* ---- events of long calls ("event: progress\ndata: {...}\n\n") ---- */

/* Where a job's progress goes: as events when the client wants a stream, else nowhere. */
struct lemonade_events {
    struct http_job *job;
    bool stream;
    int64_t told_at; /* ms: of the last progress */
};

/* Begins the stream, when it is one. */
void lemonade_events_begin(struct lemonade_events *events);
/* One more state of a download: struct model_env's progress, and struct package_net's. */
void lemonade_events_progress(void *context, const struct model_progress *p);
void lemonade_events_file(void *context, const char *file, const struct fetch_progress *p);
/* A step in words: struct log's write. */
void lemonade_events_step(void *context, enum log_level level, const char *line);
/* The end: `complete` and nothing more, or the whole answer. Takes answer over. */
void lemonade_events_complete(struct lemonade_events *events, json_t *answer);
/* `error`, or the whole answer with the error's status. Takes answer over. */
void lemonade_events_failed(struct lemonade_events *events, int status, json_t *answer,
                            const char *message);

/* ---- bodies ---- */

/* The body, and its "model_name" or "model": "" when neither is there. */
void lemonade_read(struct http_exchange *x, struct dialect_body *ret_body,
                   char ret_name[DIALECT_NAME_SIZE]);
/* Refuses an empty name. */
void lemonade_need_name(struct dialect_body *body, const char *name);

#endif
