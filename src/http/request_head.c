#include "http/request_head.h"

static const char *const request_methods[] = {"GET", "POST", "DELETE", "HEAD", "OPTIONS"};

struct request_reading {
    const char *base;
    struct request_head head;
    unsigned n_fields;
    bool length_given, encoding_given, seen[REQUEST_KNOWN];
    struct str connection;
    const char *why;
};

static int request_refuse(struct request_reading *r, int status, const char *why)
{
    r->why = why;
    return -status;
}

static struct request_span request_span_of(const struct request_reading *r, struct str s)
{
    return (struct request_span){(uint16_t)(s.p ? s.p - r->base : 0), (uint16_t)s.n};
}

static bool request_is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Visible ASCII, whole escapes, no "//", no "." or ".." as a segment: nothing that one reader would
 * fold and another would not. */
static bool request_path_ok(struct str path)
{
    size_t segment = 0; /* where it begins */
    for (size_t i = 0; i <= path.n; i++) {
        char c = i < path.n ? path.p[i] : '/';
        if (c == '/') {
            size_t n = i - segment;
            bool dots = n && n <= 2 && path.p[segment] == '.' && path.p[i - 1] == '.';
            if (dots || (n == 0 && i > 0 && i < path.n))
                return false;
            segment = i + 1;
        }
        if (c == '%' &&
            (i + 2 >= path.n || !request_is_hex(path.p[i + 1]) || !request_is_hex(path.p[i + 2])))
            return false;
    }
    return true;
}

static int request_target(struct request_reading *r, struct str target)
{
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '\\' || c == '"' || c == '<' || c == '>')
            return request_refuse(r, 400, "the request's address holds forbidden characters");
    }
    if (!target.n || target.p[0] != '/')
        return request_refuse(r, 400, "the request's address must be a path that begins with /");
    const char *mark = memchr(target.p, '?', target.n);
    struct str path = {target.p, mark ? (size_t)(mark - target.p) : target.n};
    struct str query = {path.p + path.n + (mark ? 1 : 0), target.n - path.n - (mark ? 1 : 0)};
    if (!request_path_ok(path))
        return request_refuse(r, 400, "the request's path is not in its normal form");
    r->head.path = request_span_of(r, path);
    r->head.query = request_span_of(r, query);
    return 0;
}

static int request_first_line(struct request_reading *r, struct str line)
{
    const char *space = line.n ? memchr(line.p, ' ', line.n) : NULL;
    const char *last = line.n ? memrchr(line.p, ' ', line.n) : NULL;
    if (!space || space == last)
        return request_refuse(r, 400, "malformed request line");
    struct str method = {line.p, (size_t)(space - line.p)};
    struct str target = {space + 1, (size_t)(last - space) - 1};
    struct str version = {last + 1, line.n - (size_t)(last + 1 - line.p)};
    if (!http_is_token(method))
        return request_refuse(r, 400, "malformed request line");
    if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0)
        return request_refuse(r, 400, "malformed request line");
    if (!str_is(version, "HTTP/1.1") && !str_is(version, "HTTP/1.0"))
        return request_refuse(r, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    r->head.minor_0 = version.p[7] == '0';
    r->head.method = HTTP_METHODS;
    for (int i = 0; i < HTTP_METHODS; i++) {
        if (str_is(method, request_methods[i]))
            r->head.method = (enum http_method)i;
    }
    return request_target(r, target);
}

static int request_body_field(struct request_reading *r, const struct http_field *f)
{
    if (str_eq_nocase(f->name, STR("content-length"))) {
        if (r->length_given || http_length(f->value, &r->head.length) < 0)
            return request_refuse(r, 400, "malformed Content-Length");
        r->length_given = true;
    } else if (str_eq_nocase(f->name, STR("transfer-encoding"))) {
        if (r->encoding_given)
            return request_refuse(r, 400, "Transfer-Encoding is given twice");
        if (!str_eq_nocase(f->value, STR("chunked")))
            return request_refuse(r, 501, "the only transfer coding known here is chunked");
        r->encoding_given = r->head.chunked = true;
    } else if (str_eq_nocase(f->name, STR("expect"))) {
        if (!str_eq_nocase(f->value, STR("100-continue")))
            return request_refuse(r, 417, "the only expectation known here is 100-continue");
        r->head.continues = true;
    } else if (str_eq_nocase(f->name, STR("content-encoding"))) {
        if (!str_eq_nocase(f->value, STR("identity")))
            return request_refuse(r, 415, "compressed bodies are not taken here");
    } else if (str_eq_nocase(f->name, STR("connection"))) {
        if (r->connection.n)
            return request_refuse(r, 400, "Connection is given twice");
        r->connection = f->value;
    }
    return 0;
}

static int request_field(struct request_reading *r, struct str line)
{
    static const char *const known[REQUEST_KNOWN] = {
        [REQUEST_HOST] = "host",         [REQUEST_ORIGIN] = "origin",
        [REQUEST_TYPE] = "content-type", [REQUEST_AUTHORIZATION] = "authorization",
        [REQUEST_API_KEY] = "x-api-key",
    };
    struct http_field f;
    if (++r->n_fields > REQUEST_FIELDS_MAX)
        return request_refuse(r, 431, "the request has too many header fields");
    if (!http_field(line, &f))
        return request_refuse(r, 400, "malformed header field");
    for (size_t i = 0; i < REQUEST_KNOWN; i++) {
        if (!str_eq_nocase(f.name, str_from(known[i])))
            continue;
        if (r->seen[i])
            return request_refuse(r, 400, "a header field that must be single is given twice");
        r->seen[i] = true;
        r->head.known[i] = request_span_of(r, f.value);
        return 0;
    }
    return request_body_field(r, &f);
}

static int request_whole(struct request_reading *r)
{
    r->head.host_given = r->seen[REQUEST_HOST];
    if (!r->head.host_given && !r->head.minor_0)
        return request_refuse(r, 400, "the Host header is missing");
    if (r->length_given && r->head.chunked)
        return request_refuse(r, 400, "both Content-Length and Transfer-Encoding are given");
    if (r->head.chunked && r->head.minor_0)
        return request_refuse(r, 400, "HTTP/1.0 has no transfer codings");
    r->head.keep = !r->head.minor_0 && !http_list_has(r->connection, "close");
    r->head.continues = r->head.continues && !r->head.minor_0;
    return 0;
}

int request_head_read(struct str bytes, struct request_head *ret_head, const char **ret_why)
{
    struct request_reading r = {.base = bytes.p, .why = ""};
    struct str rest = bytes, line;
    int result = 0;
    if (bytes.n > REQUEST_HEAD_MAX)
        result = request_refuse(&r, 431, "the request's head is too large");
    else if (!http_line(&rest, &line))
        result = request_refuse(&r, 400, "malformed request line");
    else
        result = request_first_line(&r, line);
    if (result == 0)
        r.head.fields = request_span_of(&r, rest);
    while (result == 0) {
        if (!http_line(&rest, &line))
            result = request_refuse(&r, 400, "malformed header field");
        else if (!line.n)
            break;
        else
            result = request_field(&r, line);
    }
    if (result == 0 && rest.n)
        result = request_refuse(&r, 400, "malformed head");
    if (result == 0)
        result = request_whole(&r);
    *ret_why = r.why;
    if (result == 0)
        *ret_head = r.head;
    return result;
}

struct str request_head_field(struct str bytes, const struct request_head *head, const char *name)
{
    struct str rest = request_span_view(bytes.p, head->fields), line;
    struct http_field f;
    while (http_line(&rest, &line) && line.n) {
        if (http_field(line, &f) && str_eq_nocase(f.name, str_from(name)))
            return f.value;
    }
    return STR_NONE;
}
