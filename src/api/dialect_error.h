/*
 * dialect_error.h - what went wrong, in the words and the shape of the API that was asked. A client
 * library shows these to its user, or retries by them.
 */
#ifndef API_DIALECT_ERROR_H
#define API_DIALECT_ERROR_H

#include "base/base.h"

enum dialect {
    DIALECT_OPENAI,    /* {"error":{"message","type","param","code"}} */
    DIALECT_ANTHROPIC, /* {"type":"error","error":{"type","message"}} */
    DIALECT_OLLAMA,    /* {"error":"text"} */
    DIALECT_LEMONADE,  /* {"error":"text"}, or {"error":{message,path,type}} for an unknown path */
    DIALECT_OWN,       /* as OpenAI's, with one of our reason codes as code */
};

struct dialect_error {
    int status;        /* HTTP */
    const char *code;  /* "model_not_found": a constant; NULL none */
    const char *param; /* member of the request that is at fault: a constant; NULL none */
    struct str path;   /* of a request that nothing here answers; empty none */
    char message[800];
};

/* Fills *error (code and param NULL). Returns -EINVAL, so that "return dialect_fail(...)" is the
 * idiom. */
int dialect_fail(struct dialect_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same about one member of the request. param must be a constant. */
int dialect_fail_at(struct dialect_error *error, const char *param, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* There is no memory for a large request or a part of it: 503. Returns -EINVAL. */
int dialect_fail_memory(struct dialect_error *error);

/* An error of the rooms below, with the status that its code stands for: -ENOENT 404, out of
 * memory or disk 507, no usable choice 503 ... code becomes the reason code's name. */
void dialect_error_from(const struct gfxb_error *err, struct dialect_error *ret_error);

/* The dialect of a path, for errors that no handler sees: unknown path, no key, too large. */
enum dialect dialect_of_path(struct str path);

/* The whole body, a line feed at its end where the dialect's own servers send one. */
void dialect_error_body(enum dialect dialect, const struct dialect_error *error, struct buf *ret);

/*
 * What the engine answered with a status other than 200, as an error of ours: its message, and the
 * status that is right (it says 500 for some faults of the request, which a client would retry).
 */
void dialect_error_of_engine(long status, struct str body, struct dialect_error *ret_error);

#endif
