/* lemonade.h - Lemonade's API, beyond what it shares with OpenAI's. Private to lemonade/. */
#ifndef API_LEMONADE_LEMONADE_H
#define API_LEMONADE_LEMONADE_H

#include "api/serve.h"

/* The only recipe that is ours: engines of llama.cpp. */
#define LEMONADE_RECIPE "llamacpp"

/* ---- long calls, told as events ("event: progress\ndata: {...}\n\n") to who wants a stream ----
 */

void lemonade_begin(const struct dialect_stream *stream);
/* One more state of a download: struct model_env's progress, and struct package_net's. */
void lemonade_progress(void *context, const struct model_progress *p);
void lemonade_progress_file(void *context, const char *file, const struct fetch_progress *p);
/* A step in words: struct log's write. */
void lemonade_step(void *context, enum log_level level, const char *line);
/* The whole answer, or its event: `complete` with all of it, `error` with its "error" when the
 * status is not 200. Takes answer over. */
void lemonade_end(const struct dialect_stream *stream, int status, json_t *answer);

/* ---- bodies ---- */

/* The body, and its "model_name" or "model": "" when neither is there, which is an error if it is
 * needed. */
void lemonade_read(struct http_exchange *x, bool needed, struct dialect_body *ret_body,
                   char ret_name[DIALECT_NAME_SIZE]);

/* GET, POST and DELETE of "/v1/models/NAME/options". */
#define LEMONADE_OPTIONS "/options"
void lemonade_options(struct http_exchange *x);
#define LEMONADE_NO_ARGS                                                                           \
    "'llamacpp_args' is not supported: gfxbridge starts models only as they were tested on this "  \
    "computer"

#endif
