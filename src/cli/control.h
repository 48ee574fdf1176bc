/* control.h - what status, load, unload and stop share: the running server. Private to cli/. */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "api/api.h"
#include "cli/cli.h"

/*
 * Ask this user's server; body is taken over (NULL: GET). On success *ret_answer is the JSON of a
 * good answer, for the caller to release. Its refusal is an error with its own words.
 */
int control_ask(const struct cli *cli, const char *path, json_t *body, json_t **ret_answer,
                struct gfxb_error *err);

#endif
