/* jobs.h - blocking work of dialects, on threads. Private to http/. */
#ifndef HTTP_JOBS_H
#define HTTP_JOBS_H

#include "api/api.h"

struct jobs;

int jobs_new(struct serve *s, struct jobs **ret_jobs, struct gfxb_error *err);
void jobs_free(struct jobs *jobs); /* only when jobs_count is 0 */
size_t jobs_count(const struct jobs *jobs);
/* All of them are to end soon. */
void jobs_cancel(struct jobs *jobs);

#endif
