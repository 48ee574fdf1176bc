/*
 * openai.h - what the files of openai/ share. Private to openai/.
 */
#ifndef API_OPENAI_OPENAI_H
#define API_OPENAI_OPENAI_H

#include "api/chat/chat.h"

/* chat_read of /v1/responses, /v1/chat/completions, /v1/embeddings and /v1/rerank. */
void responses_read(struct dialect_body *body, const json_t *root, struct chat_call *call);
void completion_read(struct dialect_body *body, const json_t *root, struct chat_call *call);
void embeddings_read(struct dialect_body *body, const json_t *root, struct chat_call *call);
void rerank_read(struct dialect_body *body, const json_t *root, struct chat_call *call);

/* Is each a function with a name, and a schema that is no trap? */
void openai_check_tools(const json_t *tools, struct dialect_error *error);
/* Those of the members that an engine takes schemas of answers from: response_format and
 * json_schema. */
void openai_check_schemas(const json_t *root, struct dialect_error *error);

/* The handler of /v1/audio/transcriptions. */
void openai_transcriptions(struct http_exchange *x);

/* The writer of the answer to a chat, whose request is root. */
extern const struct chat_writer_ops completion_writer_ops;
struct chat_writer *completion_writer_new(const json_t *root, bool stream);

/* What an answer repeats of its request, and the writer of it. shape: the members of a response
 * that do not change, taken over. encrypted: reasoning items carry what gives the thoughts back. */
extern const struct chat_writer_ops responses_writer_ops;
struct chat_writer *responses_writer_new(json_t *shape, bool stream, bool encrypted);

/* Between the name of a namespace and that of its function, as the model sees it. */
#define RESPONSES_SPACE "__"

/* Before the thoughts, in encrypted_content: nothing is kept from the client here, the text only
 * has to come back as it was. */
#define RESPONSES_THOUGHTS "gfxbridge:"

#endif
