/*
 * anthropic.h - Anthropic's messages in the model of api/chat: requests there, answers back.
 * Private to anthropic/.
 */
#ifndef API_ANTHROPIC_ANTHROPIC_H
#define API_ANTHROPIC_ANTHROPIC_H

#include "api/chat/chat.h"

chat_read anthropic_read;       /* /v1/messages */
chat_read anthropic_read_count; /* /v1/messages/count_tokens: its request alone */

/* What an answer must know of its request. */
struct anthropic_about {
    char model[DIALECT_NAME_SIZE];
    bool stream;
    uint64_t max_tokens;
    bool omit_thinking; /* blocks of thinking have no text */
    bool edits; /* the client asked for context_management: it is told that there was none */
};

extern const struct chat_writer_ops anthropic_writer_ops;
struct chat_writer *anthropic_writer_new(const struct anthropic_about *about);

#endif
