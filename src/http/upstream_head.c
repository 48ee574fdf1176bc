#include "http/fields.h"

#include <errno.h>

static int upstream_status(struct str line, struct http_answer *head)
{
    uint64_t status;
    if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[8] != ' ' ||
        http_length((struct str){line.p + 9, 3}, &status) < 0 || status < 100 || status > 599 ||
        (line.n > 12 && line.p[12] != ' '))
        return -EPROTO;
    head->status = (int)status;
    head->keep = line.p[7] != '0';
    return 0;
}

static int upstream_field(const struct http_field *f, struct http_answer *head, bool *length_given)
{
    if (str_eq_nocase(f->name, STR("content-type"))) {
        head->type = f->value;
    } else if (str_eq_nocase(f->name, STR("content-length"))) {
        if (*length_given || http_length(f->value, &head->length) < 0)
            return -EPROTO;
        *length_given = true;
    } else if (str_eq_nocase(f->name, STR("transfer-encoding"))) {
        if (!str_eq_nocase(f->value, STR("chunked")))
            return -EPROTO;
        head->framing = HTTP_CHUNKED;
    } else if (str_eq_nocase(f->name, STR("connection")) && http_list_has(f->value, "close")) {
        head->keep = false;
    }
    return 0;
}

int http_answer_read(struct str bytes, struct http_answer *ret_head)
{
    struct http_answer head = {.framing = HTTP_CLOSE};
    struct str rest = bytes, line;
    bool length_given = false;
    if (!http_line(&rest, &line) || upstream_status(line, &head) < 0)
        return -EPROTO;
    for (;;) {
        struct http_field f;
        if (!http_line(&rest, &line))
            return -EPROTO;
        if (!line.n)
            break;
        if (!http_field(line, &f) || upstream_field(&f, &head, &length_given) < 0)
            return -EPROTO;
    }
    if (length_given && head.framing == HTTP_CHUNKED)
        return -EPROTO;
    if (head.status == 204 || head.status == 304 || head.status < 200)
        length_given = true, head.length = 0;
    if (length_given)
        head.framing = HTTP_LENGTH;
    if (head.framing == HTTP_CLOSE)
        head.keep = false;
    *ret_head = head;
    return 0;
}
