/*
 * format.c - the .machine text format: parsing and writing. docs/adding-a-card.md describes it
 * for people; everything is decoded in place, so that entries are views into the one text.
 */
#include "sysroot/root_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define FORMAT_HEADER       "gfxbridge machine 1"
#define FORMAT_INDENT       "    "
#define FORMAT_HEX_PER_LINE 32
#define FORMAT_ERRNO_MAX    134 /* behind the last errno value of Linux */

struct format_reader {
    const char *name; /* for messages */
    char *p, *end;    /* what is left of the text */
    unsigned line;    /* of the line read last */
    struct root_capture *capture;
    struct gfxb_error *err;
};

/* Bytes of a word that a message shows. */
#define FORMAT_SHOWN(word) (int)((word).n < 120 ? (word).n : 120)

#define FORMAT_FAIL(reader, ...) format_fail(reader, (reader)->line, __VA_ARGS__)

static int __attribute__((format(printf, 3, 4)))
format_fail(const struct format_reader *r, unsigned line, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_set(r->err, EINVAL, "%s:%u: %s", r->name, line, text);
}

/* The next line without its newline and CR; its bytes may be overwritten. */
static bool format_next_line(struct format_reader *r, struct str *ret_line)
{
    if (r->p >= r->end)
        return false;
    char *newline = memchr(r->p, '\n', (size_t)(r->end - r->p));
    char *stop = newline ? newline : r->end;
    *ret_line = (struct str){r->p, (size_t)(stop - r->p)};
    if (ret_line->n && stop[-1] == '\r')
        ret_line->n--;
    r->p = newline ? newline + 1 : r->end;
    r->line++;
    return true;
}

/* Decode %XX in place; the result is shorter or equal. */
static int format_unescape(const struct format_reader *r, struct str *text)
{
    if (!text->n || !memchr(text->p, '%', text->n))
        return 0;
    char *out = (char *)text->p; /* into the capture's own text */
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) {
        char c = text->p[i];
        if (c == '%') {
            int high = i + 2 < text->n ? str_hex_digit(text->p[i + 1]) : -1;
            int low = i + 2 < text->n ? str_hex_digit(text->p[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return FORMAT_FAIL(r, "'%%' must be followed by two hex digits, not 00");
            c = (char)(high * 16 + low);
            i += 2;
        }
        out[n++] = c;
    }
    text->n = n;
    return 0;
}

/* "/a/b" as it is kept: no "." or "..", no double or trailing slash; "/" is "". */
static int format_take_path(const struct format_reader *r, struct str *rest, struct str *ret_path)
{
    struct str path;
    if (!str_word(rest, &path))
        return FORMAT_FAIL(r, "a path is missing");
    int e = format_unescape(r, &path);
    if (e < 0)
        return e;
    if (path.p[0] != '/' || path.n >= ROOT_PATH_MAX || memchr(path.p, '\0', path.n))
        return FORMAT_FAIL(r, "'%.*s' is not an absolute path", FORMAT_SHOWN(path), path.p);
    if (path.n == 1)
        path.n = 0;
    struct str left = path, component;
    for (bool first = true; str_cut(&left, '/', &component); first = false) {
        if (first)
            continue;
        if (component.n == 0 || str_is(component, ".") || str_is(component, ".."))
            return FORMAT_FAIL(r, "a path may not hold '//', '.' or '..'");
    }
    *ret_path = path;
    return 0;
}

static bool format_is_indented(const char *p, const char *end, size_t *ret_indent)
{
    if (p < end && *p == '\t')
        *ret_indent = 1;
    else if (end - p >= 4 && memcmp(p, FORMAT_INDENT, 4) == 0)
        *ret_indent = 4;
    else
        return false;
    return true;
}

/* Is the block going on behind empty lines at the reader's place? */
static bool format_block_goes_on(const struct format_reader *r)
{
    const char *p = r->p;
    size_t indent;
    while (p < r->end && (*p == '\n' || (*p == '\r' && p + 1 < r->end && p[1] == '\n')))
        p++;
    return format_is_indented(p, r->end, &indent);
}

/*
 * The indented lines that follow, without their indents and with one newline each, moved together
 * to where the first one begins. Empty lines count when the block goes on behind them.
 */
static struct str format_take_block(struct format_reader *r)
{
    char *out = r->p;
    struct str block = {out, 0};
    size_t indent;
    while (r->p < r->end && format_block_goes_on(r)) {
        struct str line;
        bool indented = format_is_indented(r->p, r->end, &indent);
        format_next_line(r, &line);
        if (indented) {
            line.p += indent;
            line.n -= indent;
        } else {
            line.n = 0;
        }
        memmove(out + block.n, line.p, line.n);
        block.n += line.n;
        out[block.n++] = '\n'; /* the byte behind the text is ours */
    }
    return block;
}

static int format_decode_hex(const struct format_reader *r, unsigned line, struct str hex,
                             char *out, size_t *n)
{
    int high = -1;
    for (size_t i = 0; i < hex.n; i++) {
        char c = hex.p[i];
        if (c == ' ' || c == '\n' || c == '\t')
            continue;
        int digit = str_hex_digit(c);
        if (digit < 0)
            return format_fail(r, line, "not a hex digit in the bytes of a file");
        if (high < 0) {
            high = digit;
        } else {
            out[(*n)++] = (char)(high * 16 + digit);
            high = -1;
        }
    }
    return high < 0 ? 0 : format_fail(r, line, "half a byte of hex digits");
}

/* "file PATH TEXT", or "file PATH" and an indented block. */
static int format_file(struct format_reader *r, struct str rest, struct root_entry *entry)
{
    entry->mode = 0644;
    if (str_trim(rest).n == 0) {
        entry->content = format_take_block(r);
        return 0;
    }
    char *text = (char *)rest.p + 1; /* behind one blank */
    text[rest.n - 1] = '\n';         /* over the line's end, or the byte behind the text */
    entry->content = (struct str){text, rest.n};
    return 0;
}

static int format_hex(struct format_reader *r, struct str rest, struct root_entry *entry)
{
    size_t n = 0;
    char *out = (char *)rest.p;
    int e = rest.n ? format_decode_hex(r, entry->line, rest, out, &n) : 0;
    if (e == 0 && n == 0) {
        struct str block = format_take_block(r);
        out = (char *)block.p;
        e = format_decode_hex(r, entry->line, block, out, &n);
    }
    entry->mode = 0644;
    entry->content = (struct str){out, n};
    return e;
}

static int format_link(struct format_reader *r, struct str rest, struct root_entry *entry)
{
    struct str target;
    if (!str_word(&rest, &target) || str_trim(rest).n)
        return FORMAT_FAIL(r, "a link has one target");
    int e = format_unescape(r, &target);
    if (e < 0)
        return e;
    if (target.n >= ROOT_PATH_MAX || memchr(target.p, '\0', target.n))
        return FORMAT_FAIL(r, "the link's target is too long or holds a NUL");
    entry->mode = 0777;
    entry->content = target;
    return 0;
}

/* "open=ok" or "open=EACCES": 0 or -errno into *ret_result. */
static int format_open_result(struct str text, int *ret_result)
{
    if (!str_starts(text, STR("open=")))
        return -EINVAL;
    struct str name = {text.p + 5, text.n - 5};
    for (int code = 0; name.n && code < FORMAT_ERRNO_MAX; code++) {
        if (str_is(name, code ? strerrorname_np(code) : "ok")) {
            *ret_result = -code;
            return 0;
        }
    }
    return -EINVAL;
}

static int format_octal(struct str text, unsigned *ret_mode)
{
    unsigned mode = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '7' || mode > 0777)
            return -EINVAL;
        mode = mode * 8 + (unsigned)(text.p[i] - '0');
    }
    *ret_mode = mode;
    return text.n ? 0 : -EINVAL;
}

/* "char PATH MODE UID GID [open=ok|ERRNO]" */
static int format_char(struct format_reader *r, struct str rest, struct root_entry *entry)
{
    struct str mode, uid, gid, open;
    uint64_t u, g;
    if (!str_word(&rest, &mode) || !str_word(&rest, &uid) || !str_word(&rest, &gid) ||
        format_octal(mode, &entry->mode) < 0 || str_to_u64(uid, 10, &u) < 0 || u > UINT32_MAX ||
        str_to_u64(gid, 10, &g) < 0 || g > UINT32_MAX)
        return FORMAT_FAIL(r, "a device node needs an octal mode, a uid and a gid");
    if (str_word(&rest, &open) && format_open_result(open, &entry->open_result) < 0)
        return FORMAT_FAIL(r, "'open=' needs 'ok' or the name of an error such as EACCES");
    if (str_trim(rest).n)
        return FORMAT_FAIL(r, "words behind the device node");
    entry->uid = (unsigned)u;
    entry->gid = (unsigned)g;
    return 0;
}

static int format_bare(struct format_reader *r, struct str rest, struct root_entry *entry)
{
    entry->mode = entry->kind == ROOT_ENTRY_DIR ? 0755 : 0;
    return str_trim(rest).n ? FORMAT_FAIL(r, "words behind the path") : 0;
}

static const struct format_word {
    const char *word;
    enum root_entry_kind kind;
    int (*take)(struct format_reader *r, struct str rest, struct root_entry *entry);
} format_words[] = {
    {"file", ROOT_ENTRY_FILE, format_file},     {"hex", ROOT_ENTRY_FILE, format_hex},
    {"link", ROOT_ENTRY_LINK, format_link},     {"char", ROOT_ENTRY_CHAR, format_char},
    {"dir", ROOT_ENTRY_DIR, format_bare},       {"absent", ROOT_ENTRY_ABSENT, format_bare},
    {"denied", ROOT_ENTRY_DENIED, format_bare},
};

static int format_entry(struct format_reader *r, struct str line)
{
    struct str word;
    struct root_entry entry = {.line = r->line, .open_result = -ENODATA};
    if (!str_word(&line, &word))
        return 0;
    int e = format_take_path(r, &line, &entry.path);
    if (e < 0)
        return e;
    size_t i = 0, n = sizeof(format_words) / sizeof(format_words[0]);
    while (i < n && !str_is(word, format_words[i].word))
        i++;
    if (i == n)
        return FORMAT_FAIL(r, "'%.*s' is none of file, hex, link, char, dir, absent, denied",
                           FORMAT_SHOWN(word), word.p);
    entry.kind = format_words[i].kind;
    e = format_words[i].take(r, line, &entry);
    if (e < 0)
        return e;
    struct root_capture *c = r->capture;
    if (!array_grow(&c->entry, c->n, &c->capacity, sizeof(*c->entry)))
        return error_set(r->err, ENOMEM, "out of memory");
    c->entry[c->n++] = entry;
    return 0;
}

static int format_compare(const void *a, const void *b)
{
    const struct root_entry *x = a, *y = b;
    int order = root_path_compare(x->path, y->path);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* Sort; no path twice, nothing below what is no directory. */
static int format_finish(struct format_reader *r)
{
    struct root_capture *c = r->capture;
    if (c->n)
        qsort(c->entry, c->n, sizeof(*c->entry), format_compare);
    for (size_t i = 1; i < c->n; i++) {
        const struct root_entry *before = &c->entry[i - 1], *entry = &c->entry[i];
        if (str_eq(before->path, entry->path))
            return format_fail(r, entry->line, "%.*s was recorded before, in line %u",
                               FORMAT_SHOWN(entry->path), entry->path.p, before->line);
        if (before->kind != ROOT_ENTRY_DIR && root_path_is_below(entry->path, before->path))
            return format_fail(r, entry->line, "%.*s lies below line %u, which is no directory",
                               FORMAT_SHOWN(entry->path), entry->path.p, before->line);
    }
    return 0;
}

int root_format_parse(const char *name, size_t size, struct root_capture *capture,
                      struct gfxb_error *err)
{
    struct format_reader r = {name, capture->text, capture->text + size, 0, capture, err};
    struct str line;
    int e = 0;
    if (!format_next_line(&r, &line) || !str_is(str_trim(line), FORMAT_HEADER))
        e = format_fail(&r, 1, "the first line of a .machine file is '%s'", FORMAT_HEADER);
    while (e == 0 && format_next_line(&r, &line)) {
        size_t indent;
        if (str_trim(line).n == 0 || line.p[0] == '#')
            continue;
        if (format_is_indented(line.p, line.p + line.n, &indent))
            e = FORMAT_FAIL(&r, "an indented line that belongs to no file");
        else
            e = format_entry(&r, line);
    }
    return e < 0 ? e : format_finish(&r);
}

void root_write_header(struct buf *b)
{
    buf_add_text(b, FORMAT_HEADER "\n");
}

static void format_write_path(struct buf *b, const char *word, const char *path)
{
    buf_add_text(b, word);
    buf_add_char(b, ' ');
    for (const char *p = path; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= ' ' || c == '%' || c >= 0x7f)
            buf_addf(b, "%%%02x", c);
        else
            buf_add_char(b, *p);
    }
}

static bool format_is_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t' && c != '\n') || c >= 0x7f)
            return false;
    }
    /* Empty lines at the end of a block would not be read back. */
    return s.n == 0 || (!str_is(s, "\n") && !str_ends(s, STR("\n\n")));
}

static void format_write_hex(struct buf *b, const char *path, struct str content)
{
    format_write_path(b, "hex", path);
    for (size_t i = 0; i < content.n; i++) {
        if (i % FORMAT_HEX_PER_LINE == 0)
            buf_add_text(b, "\n" FORMAT_INDENT);
        buf_addf(b, "%02x", (unsigned char)content.p[i]);
    }
    buf_add_char(b, '\n');
}

void root_write_file(struct buf *b, const char *path, struct str content)
{
    if (!format_is_text(content)) {
        format_write_hex(b, path, content);
        return;
    }
    format_write_path(b, "file", path);
    struct str line, rest = content;
    if (str_ends(rest, STR("\n")))
        rest.n--;
    if (rest.n && !memchr(rest.p, '\n', rest.n) && str_trim(rest).n == rest.n) {
        buf_addf(b, " %.*s\n", STR_ARG(rest));
        return;
    }
    buf_add_char(b, '\n');
    while (rest.n && str_cut(&rest, '\n', &line)) {
        if (line.n)
            buf_addf(b, FORMAT_INDENT "%.*s", STR_ARG(line));
        buf_add_char(b, '\n');
    }
}

void root_write_link(struct buf *b, const char *path, const char *target)
{
    format_write_path(b, "link", path);
    format_write_path(b, "", target);
    buf_add_char(b, '\n');
}

void root_write_mark(struct buf *b, const char *word, const char *path)
{
    format_write_path(b, word, path);
    buf_add_char(b, '\n');
}

void root_write_char(struct buf *b, const char *path, const struct root_stat *st, int open_result)
{
    format_write_path(b, "char", path);
    buf_addf(b, " %04o %u %u", (unsigned)st->mode & 07777, (unsigned)st->uid, (unsigned)st->gid);
    /* By name, so that captures travel. */
    const char *result = open_result == 0          ? "ok"
                         : open_result == -ENODATA ? NULL
                                                   : strerrorname_np(-open_result);
    if (result)
        buf_addf(b, " open=%s", result);
    buf_add_char(b, '\n');
}
