/* parser.c - the strict reader of HTTP/1.1 heads and chunked bodies. */
#include "http/parser.h"

#include <errno.h>

/* ---- lines and fields ---- */

size_t http_head_end(struct str bytes, size_t *from)
{
    size_t start = *from > 3 ? *from - 3 : 0;
    const char *end =
        bytes.n > start ? memmem(bytes.p + start, bytes.n - start, "\r\n\r\n", 4) : NULL;
    *from = bytes.n;
    return end ? (size_t)(end - bytes.p) + 4 : 0;
}

struct head_field {
    struct str name;  /* as sent */
    struct str value; /* without blanks at its ends */
};

/* The next line without its CRLF off *rest, which ends with CRLF. False: a bare CR or LF. */
static bool head_line(struct str *rest, struct str *ret_line)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!end || end == rest->p || end[-1] != '\r')
        return false;
    size_t n = (size_t)(end - rest->p) - 1;
    if (memchr(rest->p, '\r', n))
        return false;
    *ret_line = (struct str){rest->p, n};
    rest->p += n + 2;
    rest->n -= n + 2;
    return true;
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = str_lower(c);
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') &&
            (!c || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.n > 0;
}

/* Anything but control characters. */
static bool head_is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static bool head_is_value(struct str s)
{
    size_t i = 0;
    while (i < s.n && head_is_text(s.p[i]))
        i++;
    return i == s.n;
}

/* A line as name and value; false when it is not exactly that. */
static bool head_field(struct str line, struct head_field *ret_field)
{
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
    if (!colon)
        return false;
    size_t n = (size_t)(colon - line.p);
    struct head_field field = {{line.p, n}, {colon + 1, line.n - n - 1}};
    if (!http_is_token(field.name) || !head_is_value(field.value))
        return false;
    field.value = str_trim(field.value);
    *ret_field = field;
    return true;
}

/* 0 and the number, or -EINVAL: at most 18 digits. */
static int head_length(struct str value, uint64_t *ret_length)
{
    return value.n <= 18 && str_to_u64(value, 10, ret_length) == 0 ? 0 : -EINVAL;
}

/* Does a comma-separated list hold this word (ASCII case ignored)? */
static bool head_list_has(struct str list, const char *word)
{
    struct str piece;
    while (str_cut(&list, ',', &piece)) {
        if (str_eq_nocase(str_trim(piece), str_from(word)))
            return true;
    }
    return false;
}

/* ---- what both kinds of heads say of their body and their connection ---- */

struct framing {
    bool length_given, chunked, close;
    uint64_t length;
};

/* 0, also for a field that says nothing of it; -EINVAL: a malformed length, or two; -EEXIST: two
 * codings; -ENOTSUP: a coding that is not known here. */
static int framing_field(const struct head_field *f, struct framing *framing)
{
    if (str_eq_nocase(f->name, STR("content-length"))) {
        if (framing->length_given || head_length(f->value, &framing->length) < 0)
            return -EINVAL;
        framing->length_given = true;
    } else if (str_eq_nocase(f->name, STR("transfer-encoding"))) {
        if (framing->chunked)
            return -EEXIST;
        if (!str_eq_nocase(f->value, STR("chunked")))
            return -ENOTSUP;
        framing->chunked = true;
    } else if (str_eq_nocase(f->name, STR("connection"))) {
        framing->close |= head_list_has(f->value, "close");
    }
    return 0;
}

/* ---- a request's head ---- */

const char *const http_method_names[] = {"GET", "POST", "DELETE", "HEAD", "OPTIONS"};

struct request_reading {
    struct request_head head;
    struct framing framing;
    bool seen[REQUEST_KNOWN];
    struct str authority; /* of an address in absolute form; empty: it is none */
    const char *why;
};

static int request_refuse(struct request_reading *r, int status, const char *why)
{
    r->why = why;
    return -status;
}

/* Whole escapes, no "." or ".." as a segment: nothing that one reader would fold and another would
 * not. */
static bool request_path_ok(struct str path)
{
    size_t segment = 0; /* where it begins */
    for (size_t i = 0; i <= path.n; i++) {
        char c = i < path.n ? path.p[i] : '/';
        if (c == '/') {
            size_t n = i - segment;
            if (n && n <= 2 && path.p[segment] == '.' && path.p[i - 1] == '.')
                return false;
            segment = i + 1;
        }
        if (c == '%' && (i + 2 >= path.n || str_hex_digit(path.p[i + 1]) < 0 ||
                         str_hex_digit(path.p[i + 2]) < 0))
            return false;
    }
    return true;
}

/* "http://host:80/path?query": the host counts instead of the field's, the rest is a path. */
static bool request_authority(struct request_reading *r, struct str *target)
{
    struct str rest = str_skip(*target, 7);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    r->authority = (struct str){rest.p, n};
    *target = str_skip(rest, n);
    return n > 0 && !memchr(r->authority.p, '@', n);
}

static int request_target(struct request_reading *r, struct str target)
{
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c <= 0x20 || c >= 0x7f || strchr("#\\\"<>", c))
            return request_refuse(r, 400, "the request's address holds forbidden characters");
    }
    if (r->head.method == HTTP_OPTIONS && str_is(target, "*")) {
        r->head.path = target;
        return 0;
    }
    if (target.n > 7 && str_eq_nocase((struct str){target.p, 7}, STR("http://")) &&
        !request_authority(r, &target))
        return request_refuse(r, 400, "malformed authority in the request's address");
    struct str path = STR_NONE;
    str_cut(&target, '?', &path);
    if (!path.n && r->authority.n) /* means "/": the last one of "http://" */
        path = (struct str){r->authority.p - 1, 1};
    if (!path.n || path.p[0] != '/')
        return request_refuse(r, 400, "the request's address must be a path that begins with /");
    if (!request_path_ok(path))
        return request_refuse(r, 400, "the request's path is not in its normal form");
    r->head.path = path;
    r->head.query = target;
    return 0;
}

static int request_first_line(struct request_reading *r, struct str line)
{
    struct str method = STR_NONE, target = STR_NONE;
    if (!str_cut(&line, ' ', &method) || !str_cut(&line, ' ', &target) || !http_is_token(method) ||
        line.n != 8 || !str_starts(line, STR("HTTP/")))
        return request_refuse(r, 400, "malformed request line");
    if (!str_is(line, "HTTP/1.1") && !str_is(line, "HTTP/1.0"))
        return request_refuse(r, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    r->head.minor_0 = line.p[7] == '0';
    r->head.method = HTTP_METHODS;
    for (int i = 0; i < HTTP_METHODS; i++) {
        if (str_is(method, http_method_names[i]))
            r->head.method = (enum http_method)i;
    }
    return request_target(r, target);
}

static int request_body_field(struct request_reading *r, const struct head_field *f)
{
    switch (framing_field(f, &r->framing)) {
    case -EINVAL:
        return request_refuse(r, 400, "malformed Content-Length");
    case -EEXIST:
        return request_refuse(r, 400, "Transfer-Encoding is given twice");
    case -ENOTSUP:
        return request_refuse(r, 501, "the only transfer coding known here is chunked");
    }
    if (str_eq_nocase(f->name, STR("expect"))) {
        if (!str_eq_nocase(f->value, STR("100-continue")))
            return request_refuse(r, 417, "the only expectation known here is 100-continue");
        r->head.continues = true;
    }
    if (str_eq_nocase(f->name, STR("content-encoding")) &&
        !str_eq_nocase(f->value, STR("identity")))
        return request_refuse(r, 415, "compressed bodies are not taken here");
    return 0;
}

static int request_field(struct request_reading *r, struct str line)
{
    static const char *const known[REQUEST_KNOWN] = {
        [REQUEST_HOST] = "host",         [REQUEST_ORIGIN] = "origin",
        [REQUEST_TYPE] = "content-type", [REQUEST_AUTHORIZATION] = "authorization",
        [REQUEST_API_KEY] = "x-api-key",
    };
    struct head_field f;
    if (!head_field(line, &f))
        return request_refuse(r, 400, "malformed header field");
    r->head.browser |= str_starts_nocase(f.name, STR("sec-fetch-"));
    for (size_t i = 0; i < REQUEST_KNOWN; i++) {
        if (!str_eq_nocase(f.name, str_from(known[i])))
            continue;
        if (r->seen[i])
            return request_refuse(r, 400, "a header field that must be single is given twice");
        r->seen[i] = true;
        r->head.known[i] = f.value;
        return 0;
    }
    return request_body_field(r, &f);
}

static int request_whole(struct request_reading *r)
{
    r->head.host_given = r->seen[REQUEST_HOST] || r->authority.n;
    r->head.browser |= r->seen[REQUEST_ORIGIN];
    if (!r->seen[REQUEST_HOST] && !r->head.minor_0)
        return request_refuse(r, 400, "the Host header is missing");
    if (r->authority.n)
        r->head.known[REQUEST_HOST] = r->authority;
    if (r->framing.length_given && r->framing.chunked)
        return request_refuse(r, 400, "both Content-Length and Transfer-Encoding are given");
    if (r->framing.chunked && r->head.minor_0)
        return request_refuse(r, 400, "HTTP/1.0 has no transfer codings");
    r->head.length = r->framing.length;
    r->head.chunked = r->framing.chunked;
    r->head.keep = !r->head.minor_0 && !r->framing.close;
    r->head.continues = r->head.continues && !r->head.minor_0;
    return 0;
}

static int request_read(struct request_reading *r, struct str rest)
{
    struct str line;
    if (rest.n > PARSER_HEAD_MAX)
        return request_refuse(r, 431, "the request's head is too large");
    if (!head_line(&rest, &line))
        return request_refuse(r, 400, "malformed request line");
    int result = request_first_line(r, line);
    r->head.fields = rest;
    while (result == 0) {
        if (!head_line(&rest, &line))
            return request_refuse(r, 400, "malformed header field");
        if (!line.n)
            return rest.n ? request_refuse(r, 400, "malformed head") : request_whole(r);
        result = request_field(r, line);
    }
    return result;
}

int request_head_read(struct str bytes, struct request_head *ret_head, const char **ret_why)
{
    struct request_reading r = {.why = ""};
    int result = request_read(&r, bytes);
    *ret_why = r.why;
    if (result == 0)
        *ret_head = r.head;
    return result;
}

struct str request_head_field(const struct request_head *head, const char *name)
{
    struct str rest = head->fields, line;
    struct head_field f;
    while (head_line(&rest, &line) && line.n) {
        if (head_field(line, &f) && str_eq_nocase(f.name, str_from(name)))
            return f.value;
    }
    return STR_NONE;
}

/* ---- an answer's head ---- */

static int answer_status(struct str line, struct http_answer *head)
{
    uint64_t status;
    if (line.n < 12 || !str_starts(line, STR("HTTP/1.")) || line.p[8] != ' ' ||
        head_length((struct str){line.p + 9, 3}, &status) < 0 || status < 100 || status > 599 ||
        (line.n > 12 && line.p[12] != ' '))
        return -EPROTO;
    head->status = (int)status;
    head->keep = line.p[7] != '0';
    return 0;
}

int http_answer_read(struct str bytes, struct http_answer *ret_head)
{
    struct http_answer head = {.framing = HTTP_CLOSE};
    struct framing framing = {.length = 0};
    struct str rest = bytes, line;
    struct head_field f;
    if (!head_line(&rest, &line) || answer_status(line, &head) < 0)
        return -EPROTO;
    for (;;) {
        if (!head_line(&rest, &line))
            return -EPROTO;
        if (!line.n)
            break;
        if (!head_field(line, &f) || framing_field(&f, &framing) < 0)
            return -EPROTO;
        if (str_eq_nocase(f.name, STR("content-type")))
            head.type = f.value;
    }
    if (framing.length_given && framing.chunked)
        return -EPROTO;
    bool empty = head.status == 204 || head.status == 304 || head.status < 200;
    if (empty || framing.length_given)
        head.framing = HTTP_LENGTH;
    else if (framing.chunked)
        head.framing = HTTP_CHUNKED;
    head.length = empty ? 0 : framing.length;
    head.keep &= !framing.close && head.framing != HTTP_CLOSE;
    *ret_head = head;
    return 0;
}

/* ---- chunked bodies ---- */

enum {
    CHUNKS_SIZE,
    CHUNKS_BLANK, /* behind the size, before an extension */
    CHUNKS_EXTENSION,
    CHUNKS_SIZE_LF,
    CHUNKS_DATA,
    CHUNKS_DATA_CR,
    CHUNKS_DATA_LF,
    CHUNKS_TRAILER,
    CHUNKS_TRAILER_LF,
    CHUNKS_ENDED,
};

enum { CHUNKS_DIGITS_MAX = 16 };

static bool chunks_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int chunks_size(struct http_chunks *chunks, char c)
{
    int digit = str_hex_digit(c);
    if (digit >= 0 && chunks->digits < CHUNKS_DIGITS_MAX && !(chunks->left >> 28)) {
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        chunks->digits++;
        return 0;
    }
    if (!chunks->digits || digit >= 0)
        return -EINVAL;
    if (c == '\r')
        chunks->state = CHUNKS_SIZE_LF;
    else
        chunks->state = c == ';' ? CHUNKS_EXTENSION : CHUNKS_BLANK;
    chunks->extras |= c != '\r';
    return c == '\r' || c == ';' || chunks_is_blank(c) ? 0 : -EINVAL;
}

static int chunks_extension(struct http_chunks *chunks, char c)
{
    if (chunks->state == CHUNKS_BLANK && !chunks_is_blank(c) && c != ';')
        return -EINVAL;
    if (c == ';')
        chunks->state = CHUNKS_EXTENSION;
    else if (c == '\r')
        chunks->state = CHUNKS_SIZE_LF;
    return c == '\r' || head_is_text(c) ? 0 : -EINVAL;
}

static int chunks_trailer(struct http_chunks *chunks, char c)
{
    if (c == '\r') {
        chunks->state = CHUNKS_TRAILER_LF;
        return chunks->empty || chunks->colon ? 0 : -EINVAL;
    }
    if (!head_is_text(c) || (chunks->empty && (chunks_is_blank(c) || c == ':')))
        return -EINVAL;
    chunks->extras = true;
    chunks->empty = false;
    chunks->colon |= c == ':';
    return 0;
}

static int chunks_trailer_end(struct http_chunks *chunks, char c)
{
    chunks->state = chunks->empty ? CHUNKS_ENDED : CHUNKS_TRAILER;
    chunks->empty = true;
    chunks->colon = false;
    return c == '\n' ? 0 : -EINVAL;
}

static int chunks_size_end(struct http_chunks *chunks, char c)
{
    chunks->state = chunks->left ? CHUNKS_DATA : CHUNKS_TRAILER;
    chunks->empty = true;
    chunks->line = chunks->digits = 0;
    return c == '\n' ? 0 : -EINVAL;
}

/* One byte that is not content. */
static int chunks_mark(struct http_chunks *chunks, char c)
{
    if (++chunks->line > PARSER_CHUNK_LINE_MAX)
        return -EINVAL;
    switch (chunks->state) {
    case CHUNKS_SIZE:
        return chunks_size(chunks, c);
    case CHUNKS_BLANK:
    case CHUNKS_EXTENSION:
        return chunks_extension(chunks, c);
    case CHUNKS_SIZE_LF:
        return chunks_size_end(chunks, c);
    case CHUNKS_DATA_CR:
        chunks->state = CHUNKS_DATA_LF;
        return c == '\r' ? 0 : -EINVAL;
    case CHUNKS_DATA_LF:
        chunks->state = CHUNKS_SIZE;
        chunks->line = 0;
        return c == '\n' ? 0 : -EINVAL;
    case CHUNKS_TRAILER:
        return chunks_trailer(chunks, c);
    default:
        return chunks_trailer_end(chunks, c);
    }
}

int http_chunks_take(struct http_chunks *chunks, char *bytes, size_t n, size_t *ret_n,
                     size_t *ret_used)
{
    size_t in = 0, out = 0;
    while (in < n && chunks->state != CHUNKS_ENDED) {
        if (chunks->state != CHUNKS_DATA) {
            if (chunks_mark(chunks, bytes[in++]) < 0)
                return -EINVAL;
            continue;
        }
        size_t piece = n - in < chunks->left ? n - in : (size_t)chunks->left;
        memmove(bytes + out, bytes + in, piece);
        in += piece;
        out += piece;
        chunks->left -= piece;
        if (!chunks->left)
            chunks->state = CHUNKS_DATA_CR;
    }
    *ret_n = out;
    *ret_used = in;
    return chunks->state == CHUNKS_ENDED;
}
