/*
 * chat.h - one model of messages for all dialects: a request that every dialect is read into, and
 * an answer that every dialect is written from. The engine is asked on its chat route alone
 * (ENGINE_CALL_CHAT), and always streams. Private to api/; no I/O here.
 *
 * A dialect with chats of its own
 *   1. has handlers that call chat_serve with a function that reads a body: it walks the members
 *      with chat_read_fields (a table says of each one what becomes of it), and builds the messages
 *      with the functions below;
 *   2. has a writer: a table of functions that are told the answer block by block.
 * api/openai/responses.c is a whole example. Templates that refuse system messages, and such
 * things, are no matter of the dialect (chat_fold).
 */
#ifndef API_CHAT_CHAT_H
#define API_CHAT_CHAT_H

#include "api/dialect.h"

/*
 * ---- requests ----
 *
 * The body is OpenAI's chat request, which engines read. Faults go into *error; the functions do
 * nothing useful after one, but they are safe to call.
 */

struct chat_request {
    json_t *body;     /* owned */
    json_t *messages; /* lent by the body */
    struct dialect_error *error;
    bool hide_thinking; /* the client wants no thoughts */
    bool one_call;      /* the client takes one call of a tool an answer */
    bool no_top;        /* the client wants the probabilities of the answer's tokens alone */
};

/* The body as JSON; NULL with body->error filled. */
json_t *chat_load(struct dialect_body *body);

/* A chat has at most CHAT_OBJECTS_MAX messages, parts and calls, and as many tools: a million
 * tokens are far less, and work that grows with their square stays short. */
enum { CHAT_OBJECTS_MAX = 20000 };
void chat_check_size(const json_t *root, struct dialect_error *error);

void chat_request_init(struct chat_request *r, struct dialect_error *error);
void chat_request_done(struct chat_request *r);

/*
 * What becomes of a member of a request. Every member that the dialect defines has a row: members
 * without a row are unknown to the dialect, and are passed over as its API does.
 */
struct chat_field {
    const char *name;
    enum {
        CHAT_FIELD_IGNORED, /* changes nothing that a client could see in the answer */
        CHAT_FIELD_READ,    /* the dialect reads it itself; only its type is checked */
        CHAT_FIELD_COPIED,  /* goes to the engine as `to` */
        CHAT_FIELD_REFUSED, /* 400 with `to` behind its name, unless it is null, false or empty */
    } how;
    const char *types; /* of the value, letters of: s text, n number, b boolean, o object, a array;
                          NULL any. null is always taken as absent. */
    const char *to;    /* NULL: the same name */
};

/* Ends with a NULL name. What is wrong goes into the request's error, with the name as param. */
void chat_read_fields(struct chat_request *r, const struct chat_field *fields, const json_t *root);

/* A member that is there and not null, lent; else NULL. */
json_t *chat_get(const json_t *object, const char *name);
/* The same for a text; "" when it is absent or no text. */
const char *chat_text(const json_t *object, const char *name);

/* A new message at the end, lent. role: system, user, assistant or tool. An assistant's message
 * that follows another one is the same turn: the earlier one is given back. */
json_t *chat_add_message(struct chat_request *r, const char *role);

/* To a message's content, at its end. Values are not taken over. */
void chat_add_text(json_t *message, const char *text);
void chat_add_part(json_t *message, json_t *part); /* of OpenAI's: image_url, input_audio */
/* An image as a data: URI; another address is refused with `param`, as is what is no text. */
void chat_add_image(struct chat_request *r, json_t *message, const json_t *url, const char *param);
/* To an assistant's message. */
void chat_add_thinking(json_t *message, const char *text);
/* arguments: a text, or an object. What is no JSON object (cut off, an array) is given to the
 * template as an object that holds it, and nothing as an empty one. */
void chat_add_call(json_t *message, const char *id, const char *name, const json_t *arguments);
/* A new message with the answer of a tool; content is added to it. name: the tool's; NULL unknown.
 */
json_t *chat_add_result(struct chat_request *r, const char *id, const char *name);

/* A file's text in place of the file: "data:text/...;base64,..." or a text. False: it is no text
 * (PDF ...), or is not UTF-8. name: the file's, shown to the model; NULL none. */
bool chat_add_file(json_t *message, const char *name, const char *data);

/* Is the function's name short enough, and can an answer keep its schema (NULL: it has none)? */
void chat_check_tool(const char *name, const json_t *parameters, struct dialect_error *error);
/* A function; description and parameters may be NULL. */
void chat_add_tool(struct chat_request *r, const char *name, const json_t *description,
                   const json_t *parameters);
/* mode: "auto", "none", "required". allowed: the only tools that may be called, an array of names;
 * NULL all. A name that is not among the tools is refused with `param`. */
void chat_set_choice(struct chat_request *r, const char *mode, const json_t *allowed,
                     const char *param);
/* The answer must be JSON: of this schema, or any (NULL). A schema that the answer would not keep
 * is refused with `param`. */
void chat_set_schema(struct chat_request *r, const json_t *schema, const char *param);
/* all: it must be kept to the letter; else (tools) only what no answer can keep is refused. NULL is
 * fine. */
void chat_check_schema(const json_t *schema, bool all, const char *param,
                       struct dialect_error *error);
/* The probabilities of the tokens, and of this many alternatives (0 to 20). */
void chat_set_logprobs(struct chat_request *r, unsigned top);
/* This many answers to one request, 1 to CHAT_CHOICES_MAX, with the tokens of all in the usage. */
void chat_set_choices(struct chat_request *r, unsigned n);
/* Templates that know thinking are told whether to think, and how hard (NULL: not said). */
void chat_set_thinking(struct chat_request *r, bool on, const char *effort);

/* The request is complete: leading system messages become one, images of tools' answers get a
 * user's message behind them, and the engine is told to stream (if `stream`). */
void chat_request_end(struct chat_request *r, bool stream);

/*
 * The model's template refused a request: another form of it, in *body. The first time late system
 * messages become part of the user's message behind them (or before them, at the end), messages of
 * the same role are joined, and calls whose arguments are no JSON object get one; the second time
 * there is no system message at all any more. False: it has no other form, *body is as it was.
 */
bool chat_fold(struct buf *body, unsigned attempt);

/* ---- answers ---- */

enum chat_block_kind { CHAT_THINKING, CHAT_TEXT, CHAT_CALL };

/* A part of an answer. Blocks come one after the other: one ends before the next one begins (of the
 * same choice, where the request asks for several). */
struct chat_block {
    enum chat_block_kind kind;
    unsigned choice;  /* 0, unless the request has "n" */
    char id[80];      /* of a call; never empty */
    char name[256];   /* of its tool */
    struct buf text;  /* all of it so far; of a call: its arguments as JSON, "" or cut off too */
    uint64_t pieces;  /* that it came in: about as many as tokens */
    json_t *logprobs; /* of its tokens, an array as OpenAI's "content"; NULL none */
};

enum { CHAT_CHOICES_MAX = 64 };

/* What is known of an answer so far. Everything is lent. */
struct chat_answer {
    const struct engine_kind *engine;
    const char *model;        /* the engine's name of it, which is ours; "" not told */
    struct chat_block *block; /* all of them; of one choice only the last one can be open */
    size_t n;
    const char *finish; /* "stop", "length", "tool_calls"; "" not ended yet; of the first choice */
    char finishes[CHAT_CHOICES_MAX][24]; /* of all */
    const char *stop_sequence; /* that ended it, where the request had "verbose"; NULL none */
    json_t *figures;           /* the engine's object of them; NULL none */
    uint64_t prompt_tokens, cached_tokens, tokens; /* prompt: cached ones, too */
};

/*
 * What a dialect makes of an answer. All calls come from the loop's thread and write to *out.
 * Streams: begin, then for each block open, pieces and close, then end. Whole answers: end alone,
 * with all blocks in the answer. An answer without a token has one empty text. 0, or -ENOMEM.
 */
struct chat_writer;
struct chat_writer_ops {
    const char *(*type)(struct chat_writer *w); /* the content type; the engine has accepted */
    int (*begin)(struct chat_writer *w, const struct chat_answer *a, struct buf *out); /* or NULL */
    int (*open)(struct chat_writer *w, const struct chat_answer *a, const struct chat_block *b,
                struct buf *out); /* or NULL */
    /* text may be empty when logprobs (an array; NULL none) are not. */
    int (*piece)(struct chat_writer *w, const struct chat_answer *a, const struct chat_block *b,
                 struct str text, json_t *logprobs, struct buf *out);
    int (*close)(struct chat_writer *w, const struct chat_answer *a, const struct chat_block *b,
                 struct buf *out); /* or NULL */
    int (*end)(struct chat_writer *w, const struct chat_answer *a, struct buf *out);
    /* The stream that began cannot go on: its last piece. NULL: an error event of the dialect. */
    void (*fail)(struct chat_writer *w, const struct chat_answer *a, const struct gfxb_error *why,
                 struct buf *out);
    void (*reset)(struct chat_writer *w); /* back to the start: another attempt follows; or NULL */
    void (*free)(struct chat_writer *w);
};

struct chat_options {
    bool stream;
    bool hide_thinking, one_call, no_top; /* as of the request */
};

/* A filter for serve_relay; the writer is taken over. Its ops are chat_filter_ops. */
struct serve_filter *chat_filter_new(const struct chat_writer_ops *ops, struct chat_writer *writer,
                                     const struct chat_options *options);
extern const struct serve_filter_ops chat_filter_ops;

/*
 * ---- from a handler to the engine and back ----
 */

/* What a request of a dialect asks for. Zero is a valid start. */
struct chat_call {
    char model[DIALECT_NAME_SIZE];
    struct pool_options options; /* SERVE_OPTIONS at the start */
    enum engine_call call;       /* ENGINE_CALL_CHAT at the start */
    bool stream;
    struct chat_request request;
    bool as_it_came; /* the engine gets the client's bytes */
    /* NULL: the engine's answer passes as it is. */
    const struct chat_writer_ops *ops;
    struct chat_writer *writer; /* taken over; NULL when something is wrong */
    /* For calls that are no chats: a filter in place of a writer, taken over, with its ops. */
    const struct serve_filter_ops *filter_ops;
    struct serve_filter *filter;
    unsigned dimensions; /* as in struct serve_relay */
    /* Not NULL: the engine is not asked, this answers. */
    void (*instead)(struct http_exchange *x, const struct chat_call *call);
};

/* Reads a body; root is the same as JSON, which the request may take as its own. Faults go into
 * body->error, which is also the request's. chat_request_end is called afterwards. May run on a
 * thread: it looks at nothing else. */
typedef void chat_read(struct dialect_body *body, const json_t *root, struct chat_call *call);

/* The whole of a handler: reads the request, asks the engine and answers. A large body is read on a
 * thread, so that the loop goes on. */
void chat_serve(struct http_exchange *x, chat_read *read);

/* ---- for writers ---- */

/* "event: NAME\ndata: JSON\n\n" (name NULL: without the first line); value is taken over. -ENOMEM:
 * it is NULL, or does not fit. */
int chat_put_event(struct buf *out, const char *name, json_t *value);
/* The JSON alone, likewise. */
int chat_put_json(struct buf *out, json_t *value);
/* A block's text as a JSON text; NULL: no memory. */
json_t *chat_string(struct str text);
/* "resp_" and 24 random characters, as OpenAI's and Anthropic's ids. */
void chat_id(const char *prefix, char *ret, size_t size);

#endif
