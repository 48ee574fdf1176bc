/*
 * guard.h - who may ask: the names that this server answers to, the web pages that may use it, and
 * keys. Private to http/.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include "api/api.h"
#include "http/request_head.h"

struct guard;

int guard_new(const struct serve_config *config, struct guard **ret_guard, struct gfxb_error *err);
void guard_free(struct guard *guard);

/* Is this Host value one of ours? IP addresses are: a page that was lured here by a name of its own
 * (DNS rebinding) sends that name. */
bool guard_host_ok(const struct guard *guard, struct str host);
/* May a page of this origin use the server? Local pages and programs' own schemes may. */
bool guard_origin_ok(const struct guard *guard, struct str origin);
bool guard_has_keys(const struct guard *guard);
/* Is one of the keys in the Authorization or the X-Api-Key value? In a time that tells nothing of
 * the keys. */
bool guard_key_ok(const struct guard *guard, struct str authorization, struct str api_key);

/* A media type that is JSON, whatever its parameters. */
bool guard_type_is_json(struct str type);

#endif
