/*
 * dialect.h - what all dialects share to read requests and to convert answers: no I/O here. Private
 * to api/; serve.h has the rest.
 *
 * A dialect is an API that client programs speak. It has a folder with its tables of routes;
 * routes.c lists them, which is where a new one is added.
 */
#ifndef API_DIALECT_H
#define API_DIALECT_H

#include "base/xalloc.h"
#include "http/http.h"
#include "report/report.h"
#include "session/session.h"

#include <jansson.h>

#define DIALECT_JSON_TYPE "application/json; charset=utf-8"

/* ---- errors ---- */

enum dialect {
    DIALECT_OPENAI,    /* {"error":{"message","type","param","code"}} */
    DIALECT_ANTHROPIC, /* {"type":"error","error":{"type","message"}} */
    DIALECT_OLLAMA,    /* {"error":"text"} */
    DIALECT_LEMONADE,  /* {"error":"text"}, or {"error":{message,path,type}} for an unknown path */
    DIALECT_OWN,       /* as OpenAI's, with one of our reason codes as code */
};

/* A fault of a request, or a failure to answer it. The first fault stays, so a handler reads on and
 * checks the status once. Zero is a valid start. */
struct dialect_error {
    int status;        /* HTTP; 0: nothing is wrong */
    const char *code;  /* "model_not_found": a constant; NULL none */
    const char *param; /* member of the request that is at fault: a constant; NULL none */
    struct str path;   /* of a request that nothing here answers; empty none */
    char message[800];
};

/* Fill *error, unless it is filled already. param: a constant; NULL none. */
void dialect_fail_about(struct dialect_error *error, int status, const char *param,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));
#define dialect_fail(error, status, ...)   dialect_fail_about(error, status, NULL, __VA_ARGS__)
#define dialect_fail_at(error, param, ...) dialect_fail_about(error, 400, param, __VA_ARGS__)

/* The same where there is no memory for a large request, or a part of it: 503. */
void dialect_fail_memory(struct dialect_error *error);

/* As much of a text as fits, without a part of a character at its end. */
void dialect_copy(char *ret, size_t size, const char *text);

/* An error of the rooms below, with the status that its code stands for: -ENOENT 404, out of
 * memory or disk 507, no usable choice 503 ... code becomes the reason code's name. */
void dialect_error_from(const struct gfxb_error *err, struct dialect_error *ret_error);

/* The body of an error in the shape of each dialect; a new reference. */
json_t *openai_error(const struct dialect_error *error);
json_t *anthropic_error(const struct dialect_error *error);
json_t *ollama_error(const struct dialect_error *error);
json_t *lemonade_error(const struct dialect_error *error);
const char *openai_error_type(int status); /* "not_found_error" */

/* The dialect of a path, for errors that no handler sees: unknown path, no key, too large. */
enum dialect dialect_of_path(struct str path);

/* The whole body of an error. */
void dialect_error_body(enum dialect dialect, const struct dialect_error *error, struct buf *ret);

/*
 * Turns the engine's answer with a status other than 200 into an error: its message and the right
 * status. The engine says 500 for some faults of the request, which a client would retry. Of a
 * request with too many tokens it says how the model takes more.
 */
void dialect_error_of_engine(const struct engine_kind *engine, const struct pool_found *model,
                             long status, struct str body, struct dialect_error *ret_error);

/*
 * The last piece of a stream whose answer began and cannot be finished. Empty when the answer is
 * not a stream: then the connection is cut.
 */
void dialect_error_event(enum dialect dialect, bool stream, const struct gfxb_error *why,
                         struct buf *ret);

/*
 * ---- JSON texts, read once ----
 *
 * Checks a text of foreign origin without building anything: it must be valid JSON and UTF-8, and
 * nest no deeper than JSON_SCAN_DEPTH. Each member of each object is shown once. A body of many
 * megabytes (images) costs one pass and no memory.
 */

/* Nested JSON schemas of real clients stay below 40. */
enum { JSON_SCAN_DEPTH = 128 };

enum json_kind {
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_BOOL,
    JSON_KIND_NULL,
};

/* One member of an object; all views are into the text. Names are as written, without quotes: a
 * name that spells an ordinary character as an escape ("mod\u0065l") is refused, so comparing the
 * bytes is comparing the names. */
struct json_scan_member {
    struct str parent; /* name of the member whose value this object is (or, through arrays, is an
                          item of); empty at the top */
    struct str name;
    struct str value; /* with quotes or brackets, blanks cut off */
    enum json_kind kind;
    unsigned depth; /* 1: of the outermost object */
};

/* Members are shown when their value has ended, so inner ones first. Negative: stop, with *err
 * filled by the callee. */
typedef int json_scan_take(void *context, const struct json_scan_member *member,
                           struct gfxb_error *err);

/* 0 when the whole text is one JSON value; else -EINVAL with a sentence that names the byte, or
 * what take said. take NULL: only look. */
int json_scan(struct str text, json_scan_take *take, void *context, struct gfxb_error *err);

/* The next character of a scanned string, off *rest, which begins as its value without the quotes:
 * a byte, or the UTF-16 unit that a \u escape spells. -1 at the end. */
int json_scan_char(struct str *rest);

/*
 * ---- request bodies ----
 *
 * A body is checked before it is used. In every dialect, this refuses input that the engine
 * mishandles: numbers that wrap around or are no numbers, grammars whose nesting overflows its
 * stack, addresses that it would fetch.
 */

enum {
    DIALECT_MEMBERS_MAX = 96, /* the largest request of a real client has about 40 */
    DIALECT_NAME_MAX = 200,   /* bytes of a model's name */
    DIALECT_NAME_SIZE = DIALECT_NAME_MAX + 1,
};

struct dialect_body {
    struct str text; /* lent by the caller */
    struct json_scan_member member[DIALECT_MEMBERS_MAX];
    size_t n;
    struct dialect_error error; /* the first fault that the functions below found */
};

void dialect_body_read(struct str text, struct dialect_body *ret_body);

/* The outermost member of this name, null included; NULL when there is none. */
const struct json_scan_member *dialect_body_find(const struct dialect_body *body, const char *name);

/* A boolean member; fallback when it is absent or null. */
bool dialect_body_flag(struct dialect_body *body, const char *name, bool fallback);

/* A text member without its escapes: into ret (of `size` bytes), "" when it is absent or null. A
 * longer one is an error. */
void dialect_body_text(struct dialect_body *body, const char *name, char *ret, size_t size);

/*
 * The model that is asked for ("model", or "name" where that is absent and `also_name`): "" when
 * none is. The name follows the grammar of dialect_name_ok.
 */
void dialect_body_model(struct dialect_body *body, bool also_name,
                        char ret_name[DIALECT_NAME_SIZE]);

/* Letters, digits and -_.:/@+ only; no path: no leading "/" or ".", no "//", no "..". Or the
 * address of a page, which begins with "https://" and may hold ?=&% too. */
bool dialect_name_ok(struct str name);

/* Refuses a bad value for a number of this name. The engine takes a number that does not fit for
 * another one (4294967296 tokens are 0). */
void dialect_number_check(struct str name, double x, struct dialect_error *error);

/* ---- the engine's own figures of an answer, read in passing ---- */

enum { DIALECT_HEAD_MAX = 256, DIALECT_TAIL_MAX = 1536 };

/* The beginning and the end of what has passed: token counts stand in one of them. Zero is valid.
 */
struct dialect_tail {
    uint16_t head_n, tail_n;
    char head[DIALECT_HEAD_MAX];
    char tail[DIALECT_TAIL_MAX];
};

/* Bytes as the engine sent them. */
void dialect_tail_feed(struct dialect_tail *tail, struct str bytes);
/* The figures in them, by the engine's names (NULL: it has none) or by usage; a figure that is not
 * in them is 0. Prompt tokens count cached ones too. */
void dialect_tail_end(const struct dialect_tail *tail, const struct engine_figures *names,
                      struct pool_timings *ret);

/* ---- the engine's answer, converted on the way ---- */

/*
 * A filter converts the engine's bytes into the client's. One object serves one answer; all calls
 * come from the loop's thread. The answer begins with the first byte that the filter writes. If
 * feed writes nothing, the output of end is sent as a whole.
 */
struct serve_filter;
struct serve_filter_ops {
    /* The engine accepts: before the first feed. The content type of what is made of its answer, a
     * literal. */
    const char *(*head)(struct serve_filter *f, const struct engine_kind *engine);
    /* Some bytes of the engine's body -> bytes for the client (may be none). Negative: the exchange
     * fails with err. -EPROTO: an answer that is none, which counts against the engine. */
    int (*feed)(struct serve_filter *f, struct str bytes, struct buf *out, struct gfxb_error *err);
    /* The engine's body has ended as it should. */
    int (*end)(struct serve_filter *f, struct buf *out, struct gfxb_error *err);
    /* The stream that began cannot be finished: its last piece. NULL: an error event of the
     * dialect (dialect_error_event). */
    void (*fail)(struct serve_filter *f, enum dialect dialect, const struct gfxb_error *why,
                 struct buf *out);
    /* The engine was lost before a byte went to the client: forget this attempt, another follows.
     */
    void (*reset)(struct serve_filter *f);
    /* NULL, or: the engine has refused the request, or has answered what was asked by this function
     * before. Is it to be asked something else? Then what: ret_call and ret_body, which is
     * empty. */
    bool (*step)(struct serve_filter *f, const struct engine_kind *engine, bool refused,
                 struct str answer, enum engine_call *ret_call, struct buf *ret_body);
    void (*free)(struct serve_filter *f);
};

#endif
