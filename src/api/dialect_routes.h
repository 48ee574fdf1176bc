/* dialect_routes.h - the tables of routes, one of each file that has some, and what their handlers
 * share. Private to api/. */
#ifndef API_DIALECT_ROUTES_H
#define API_DIALECT_ROUTES_H

#include "api/api.h"
#include "api/dialect_error.h"

#include <jansson.h>

extern const struct http_route openai_routes[];
extern const struct http_route ollama_routes[];
extern const struct http_route ollama_model_routes[];
extern const struct http_route lemonade_routes[];
extern const struct http_route lemonade_model_routes[];
extern const struct http_route metrics_routes[];
extern const struct http_route gfxbridge_routes[];

/* The answer of a handler that found a fault in the request. */
void dialect_reply_error(struct http_exchange *x, const struct dialect_error *error);

/* A JSON value as the whole answer; value is taken over. */
void dialect_reply_json(struct http_exchange *x, int status, json_t *value);

/* The same two at the end of a job. */
void dialect_job_error(struct http_job *job, const struct gfxb_error *err);
void dialect_job_json(struct http_job *job, int status, json_t *value);

/* A member of the query ("show_all=true&x=1") with its %XX decoded; false: it is not there, or does
 * not fit. */
bool dialect_query(struct str query, const char *name, char *ret, size_t size);

#endif
