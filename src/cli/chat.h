/* chat.h - a conversation on the terminal. Private to cli/. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "cli/cli.h"
#include "engine/engine.h"
#include "session/session.h"

/*
 * Ask and answer until the user ends it: line editing with a history that is kept in the data
 * directory, several lines between """ and """, /help for the rest. SIGINT stops the answer, not
 * the program. A model samples as it says, the canary greedily. *path is the request's, walked;
 * when its engine breaks it becomes the next choice's. An exit code, or a negative error with *err
 * filled.
 */
int chat_run(struct cli *cli, const struct session_request *request, struct session *path,
             unsigned max_tokens, struct gfxb_error *err);

#endif
