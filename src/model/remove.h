/* remove.h - deleting what a record says that we wrote. Private to model/. */
#ifndef MODEL_REMOVE_H
#define MODEL_REMOVE_H

#include "model/model.h"

/*
 * The links and blobs of the record of this first link, as far as they are still what we made and
 * nothing else needs them, and the directories that are empty then. Adds to *ret_bytes (NULL: not
 * counted) what that freed.
 */
int remove_record(const struct model_env *env, const char *link, uint64_t *ret_bytes,
                  struct gfxb_error *err);

#endif
