/* form.c - multipart/form-data: what two readers could understand differently is refused. */
#include "api/openai/form.h"

#include <stdio.h>

enum { FORM_HEAD_MAX = 4096 };

/* ---- what the type says ---- */

/* The value of a parameter, quoted or not, off *rest, which begins behind its "=". False: it is
 * neither. */
static bool form_value(struct str *rest, struct str *ret_value)
{
    bool quoted = str_strip(rest, STR("\""));
    size_t n = 0;
    while (n < rest->n && rest->p[n] != (quoted ? '"' : ';'))
        n++;
    *ret_value = (struct str){rest->p, n};
    *rest = str_skip(*rest, n);
    if (!quoted)
        *ret_value = str_trim(*ret_value);
    /* No escapes: nobody agrees what they mean. */
    return (!quoted || str_strip(rest, STR("\""))) && !memchr(ret_value->p, '\\', ret_value->n);
}

/* A parameter of "type; name=value; name="value"". False: it is not there, or something is wrong
 * with the list. */
static bool form_parameter(struct str header, const char *name, struct str *ret_value)
{
    struct str rest = header, key, value;
    bool found = false;
    if (!str_cut(&rest, ';', &key))
        return false;
    while ((rest = str_trim(rest)).n) {
        if (!str_cut(&rest, '=', &key) || !form_value(&rest, &value))
            return false;
        if (str_eq_nocase(str_trim(key), str_from(name))) {
            if (found)
                return false;
            found = true;
            *ret_value = value;
        }
        rest = str_trim(rest);
        if (rest.n && !str_strip(&rest, STR(";")))
            return false;
    }
    return found;
}

static bool form_boundary(struct str type, char ret_mark[FORM_BOUNDARY_MAX + 5])
{
    static const char others[] = "'()+_,-./:=? ";
    struct str boundary;
    if (!form_parameter(type, "boundary", &boundary) || boundary.n == 0 ||
        boundary.n > FORM_BOUNDARY_MAX || boundary.p[boundary.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < boundary.n; i++) {
        char c = boundary.p[i], low = str_lower(c);
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || !strchr(others, c)))
            return false;
    }
    snprintf(ret_mark, FORM_BOUNDARY_MAX + 5, "\r\n--%.*s", STR_ARG(boundary));
    return true;
}

/* ---- one part ---- */

/* The headers of a part: its name, and whether it is a file. */
static bool form_head(struct str head, struct form_part *part)
{
    struct str line, key, name, file;
    bool found = false;
    while (head.n) {
        const char *end = memmem(head.p, head.n, "\r\n", 2);
        line = (struct str){head.p, end ? (size_t)(end - head.p) : head.n};
        head = str_skip(head, end ? line.n + 2 : line.n);
        if (memchr(line.p, '\0', line.n) || memchr(line.p, '\r', line.n) ||
            memchr(line.p, '\n', line.n) || !str_cut(&line, ':', &key))
            return false;
        if (!str_eq_nocase(key, STR("content-disposition")))
            continue;
        struct str kind = line, rest = line;
        if (found || !str_cut(&rest, ';', &kind) ||
            !str_eq_nocase(str_trim(kind), STR("form-data")) ||
            !form_parameter(line, "name", &name) || name.n == 0 || name.n > FORM_NAME_MAX)
            return false;
        found = true;
        snprintf(part->name, sizeof(part->name), "%.*s", STR_ARG(name));
        part->file = form_parameter(line, "filename", &file);
    }
    return found;
}

static void form_take(struct form *form, const struct form_part *part, struct dialect_error *error)
{
    bool list = str_ends(str_from(part->name), STR("[]"));
    if (form->n == FORM_PARTS_MAX)
        dialect_fail(error, 400, "the form has more than %d parts", FORM_PARTS_MAX);
    else if (!list && form_find(form, part->name))
        dialect_fail(error, 400, "'%s' appears twice in the form", part->name);
    else
        form->part[form->n++] = *part;
}

/* ---- all of it ---- */

/* Nothing stands before the first boundary; "--" and at most an empty line behind the last one. */
static bool form_parts(const char *mark, struct str body, struct form *form,
                       struct dialect_error *error)
{
    size_t length = strlen(mark);
    if (body.n < length - 2 || memcmp(body.p, mark + 2, length - 2) != 0)
        return false;
    body = str_skip(body, length - 2);
    while (!error->status && str_strip(&body, STR("\r\n"))) {
        struct form_part part = {.name = ""};
        const char *blank =
            memmem(body.p, body.n < FORM_HEAD_MAX ? body.n : FORM_HEAD_MAX, "\r\n\r\n", 4);
        if (!blank || !form_head((struct str){body.p, (size_t)(blank - body.p)}, &part))
            return false;
        body = str_skip(body, (size_t)(blank - body.p) + 2); /* an empty value has one line end */
        const char *end = memmem(body.p, body.n, mark, length);
        if (!end)
            return false;
        if (end > body.p)
            part.value = (struct str){body.p + 2, (size_t)(end - body.p) - 2};
        body = str_skip(body, (size_t)(end - body.p) + length);
        form_take(form, &part, error);
    }
    return error->status || str_is(body, "--") || str_is(body, "--\r\n");
}

void form_read(struct str type, struct str body, struct form *ret_form, struct dialect_error *error)
{
    char mark[FORM_BOUNDARY_MAX + 5];
    struct str rest = type, kind = type;
    ret_form->n = 0;
    (void)str_cut(&rest, ';', &kind);
    if (!str_eq_nocase(str_trim(kind), STR("multipart/form-data")) || !form_boundary(type, mark))
        dialect_fail(error, 400,
                     "the request must be a form: multipart/form-data with its boundary");
    else if (!form_parts(mark, body, ret_form, error))
        dialect_fail(error, 400, "the form is damaged");
}

const struct form_part *form_find(const struct form *form, const char *name)
{
    for (size_t i = 0; i < form->n; i++) {
        if (strcmp(form->part[i].name, name) == 0)
            return &form->part[i];
    }
    return NULL;
}

void form_add(struct buf *out, const char *boundary, const char *name, bool file, struct str value)
{
    buf_addf(out, "--%s\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n", boundary, name,
             file ? "; filename=\"sound\"\r\nContent-Type: application/octet-stream" : "");
    buf_add_str(out, value);
    buf_add_text(out, "\r\n");
}
