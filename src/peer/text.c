/* text.c - the peer's files, what mends them, a unified diff, and a scanner for their languages. */
#include "peer/private.h"

#include <ctype.h>

enum { TEXT_CONTEXT = 3, TEXT_ALL_MAX = 32 << 20 };

static struct peer_text *text_find(const struct peer *p, const char *path)
{
    for (size_t i = 0; i < p->n_texts; i++) {
        if (strcmp(p->text[i]->path, path) == 0)
            return p->text[i];
    }
    return NULL;
}

/* A patch names it, and a terminal shows it. */
static bool text_has_plain_path(const char *path)
{
    for (const char *c = path; *c; c++) {
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
            return false;
    }
    return true;
}

struct peer_text *peer_open(struct peer *p, const char *path)
{
    char *CLEAN_FREE file = xfs_join(p->request->dir, path);
    const struct peer_text *before = p->before ? text_find(p->before, path) : NULL;
    struct peer_text *text = text_find(p, path);
    if (text)
        return text;
    text = xcalloc(1, sizeof(*text));
    text->bytes = BUF_INIT(PEER_TEXT_MAX);
    int r = 0;
    if (before)
        peer_mended(before, &text->bytes);
    else
        r = fs_read_below(p->request->dir, path, PEER_TEXT_MAX, &text->bytes);
    const struct str bytes = buf_view(&text->bytes);
    if (r < 0 || !buf_ok(&text->bytes))
        r = fs_error(p->err, r < 0 ? -r : ENOMEM, "read", file);
    else if ((p->text_bytes += bytes.n) > TEXT_ALL_MAX)
        r = fs_error(p->err, EFBIG, "read", file);
    else if (!text_has_plain_path(path) || (bytes.n && memchr(bytes.p, '\0', bytes.n)))
        r = error_set(p->err, GFXB_E_TABLE, "%s: it is no source text, or has an unusual name",
                      path);
    if (r < 0) {
        buf_done(&text->bytes);
        free(text);
        return NULL;
    }
    text->path = xstrdup(path);
    if (!array_grow(&p->text, p->n_texts, &p->texts_capacity, sizeof(text)))
        xalloc_die();
    p->text[p->n_texts++] = text;
    return text;
}

void peer_texts_done(struct peer *p)
{
    for (size_t i = 0; i < p->n_texts; i++) {
        struct peer_text *text = p->text[i];
        for (size_t m = 0; m < text->n_mends; m++)
            free(text->mend[m].text);
        free(text->mend);
        free(text->path);
        buf_done(&text->bytes);
        free(text);
    }
    free(p->text);
}

unsigned peer_line(const struct peer_text *text, const char *at)
{
    unsigned line = 1;
    for (const char *c = text->bytes.p;
         c && c < at && (c = memchr(c, '\n', (size_t)(at - c))) != NULL; c++)
        line++;
    return line;
}

int peer_unknown(struct peer *p, const struct peer_text *text, const char *at, const char *what)
{
    return error_set(p->err, GFXB_E_TABLE,
                     "%s:%u: this is not the layout of %s that gfxbridge knows: %s", text->path,
                     peer_line(text, at), p->request->name, what);
}

/* ---- mends ---- */

/* What goes altogether takes the rest of its lines along: blanks, and a comma behind it. */
static void mend_whole_lines(const struct peer_text *text, size_t *from, size_t *to)
{
    const char *bytes = text->bytes.p;
    size_t begin = *from, end = *to, n = text->bytes.n;
    while (begin > 0 && (bytes[begin - 1] == ' ' || bytes[begin - 1] == '\t'))
        begin--;
    while (end < n && (bytes[end] == ' ' || bytes[end] == ','))
        end++;
    if ((begin > 0 && bytes[begin - 1] != '\n') || (end < n && bytes[end] != '\n'))
        return;
    *from = begin;
    *to = end + (end < n);
}

/* At its place: what only adds comes before what replaces bytes from there on. */
static void mend_insert(struct peer_text *text, struct peer_mend new)
{
    size_t at = text->n_mends;
    if (!array_grow(&text->mend, text->n_mends, &text->mends_capacity, sizeof(new)))
        xalloc_die();
    struct peer_mend *mend = text->mend;
    while (at > 0 && (mend[at - 1].from > new.from ||
                      (mend[at - 1].from == new.to &&mend[at - 1].to > new.to)))
        at--;
    if ((at > 0 && mend[at - 1].to > new.from) || (at < text->n_mends && mend[at].from < new.to)) {
        text->overlap = true;
        free(new.text);
        return;
    }
    memmove(mend + at + 1, mend + at, (text->n_mends++ - at) * sizeof(new));
    mend[at] = new;
}

void peer_mend(struct peer_text *text, struct str bytes, struct buf *by)
{
    char *new = xbuf_take(by);
    struct str rest = str_from(new);
    size_t from = (size_t)(bytes.p - text->bytes.p), to = from + bytes.n;
    if (rest.n == 0 && bytes.n)
        mend_whole_lines(text, &from, &to);
    /* What stays is no part of it. */
    while (from < to && rest.n && text->bytes.p[from] == rest.p[0]) {
        rest = str_skip(rest, 1);
        from++;
    }
    while (from < to && rest.n && text->bytes.p[to - 1] == rest.p[rest.n - 1]) {
        rest.n--;
        to--;
    }
    if (from == to && rest.n == 0) {
        free(new);
        return;
    }
    mend_insert(text, (struct peer_mend){from, to, xstr_dup(rest)});
    free(new);
}

/* Bytes [from, to) with the mends in them, which begin at *mend. */
static void mended_part(const struct peer_text *text, size_t from, size_t to, size_t *mend,
                        struct buf *ret)
{
    for (; *mend < text->n_mends && text->mend[*mend].to <= to; (*mend)++) {
        const struct peer_mend *m = &text->mend[*mend];
        buf_add(ret, text->bytes.p + from, m->from - from);
        buf_add_text(ret, m->text);
        from = m->to;
    }
    buf_add(ret, text->bytes.p + from, to - from);
}

void peer_mended(const struct peer_text *text, struct buf *ret)
{
    size_t mend = 0;
    mended_part(text, 0, text->bytes.n, &mend, ret);
}

/* ---- diff ---- */

/* Whole lines of the old text that a mend, or several that touch the same lines, replace. */
struct change {
    size_t from, to;     /* bytes: from the beginning of a line to behind the end of one */
    size_t first, lines; /* first counts from 0 */
    struct buf by;
    size_t by_lines;
};

static size_t diff_count(struct str bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes.n; i++)
        n += bytes.p[i] == '\n' || i + 1 == bytes.n;
    return n;
}

static struct str diff_part(const struct peer_text *text, size_t from, size_t to)
{
    return (struct str){text->bytes.p + from, to - from};
}

/* The change that begins with *mend, which is moved behind its mends. */
static void diff_next(const struct peer_text *text, size_t *mend, struct change *ret)
{
    const char *bytes = text->bytes.p;
    size_t from = text->mend[*mend].from, to, at = *mend;
    while (from > 0 && bytes[from - 1] != '\n')
        from--;
    do {
        const struct peer_mend *m = &text->mend[at];
        to = m->to;
        bool lines = m->from == from && m->to == from && str_ends(str_from(m->text), STR("\n"));
        while (!lines && to < text->bytes.n && (to == from || bytes[to - 1] != '\n'))
            to++;
        at++;
    } while (at < text->n_mends && text->mend[at].from < to);
    *ret = (struct change){.from = from, .to = to, .by = BUF_INIT(PEER_TEXT_MAX)};
    ret->first = diff_count(diff_part(text, 0, from));
    ret->lines = diff_count(diff_part(text, from, to));
    mended_part(text, from, to, mend, &ret->by);
    ret->by_lines = diff_count(buf_view(&ret->by));
}

static void diff_lines(struct str bytes, char mark, struct buf *ret)
{
    struct str line;
    bool ended = bytes.n == 0 || bytes.p[bytes.n - 1] == '\n';
    while (bytes.n && str_cut(&bytes, '\n', &line))
        buf_addf(ret, "%c%.*s\n", mark, STR_ARG(line));
    if (!ended)
        buf_add_text(ret, "\\ No newline at end of file\n");
}

/* The bytes of the whole lines before or after a place, at most `lines`. */
static struct str diff_context(const struct peer_text *text, size_t at, unsigned lines, bool after)
{
    size_t end = at;
    const char *bytes = text->bytes.p;
    for (unsigned n = 0; n < lines; n++) {
        if (after) {
            while (end < text->bytes.n && bytes[end++] != '\n')
                ;
        } else {
            for (size_t begin = end; end > 0 && (end == begin || bytes[end - 1] != '\n'); end--)
                ;
        }
    }
    return after ? diff_part(text, at, end) : diff_part(text, end, at);
}

void peer_diff(const struct peer_text *text, struct buf *ret)
{
    long shift = 0; /* by which lines of the new text are further down */
    if (text->n_mends)
        buf_addf(ret, "--- a/%s\n+++ b/%s\n", text->path, text->path);
    for (size_t mend = 0; mend < text->n_mends;) {
        struct buf CLEAN_BUF hunk = BUF_INIT(PEER_TEXT_MAX);
        struct change c;
        diff_next(text, &mend, &c);
        struct str context = diff_context(text, c.from, TEXT_CONTEXT, false);
        size_t lines = diff_count(context), begin = c.first - lines;
        long grown = 0;
        diff_lines(context, ' ', &hunk);
        for (;;) {
            diff_lines(diff_part(text, c.from, c.to), '-', &hunk);
            diff_lines(buf_view(&c.by), '+', &hunk);
            buf_done(&c.by);
            lines += c.lines;
            grown += (long)c.by_lines - (long)c.lines;
            size_t end = c.to;
            context = diff_context(text, end, 2 * TEXT_CONTEXT, true);
            if (mend == text->n_mends || text->mend[mend].from > end + context.n)
                break;
            diff_next(text, &mend, &c);
            context = diff_part(text, end, c.from);
            diff_lines(context, ' ', &hunk);
            lines += diff_count(context);
        }
        context = diff_context(text, c.to, TEXT_CONTEXT, true);
        diff_lines(context, ' ', &hunk);
        lines += diff_count(context);
        buf_addf(ret, "@@ -%zu,%zu +%ld,%ld @@\n", begin + 1, lines, (long)begin + 1 + shift,
                 (long)lines + grown);
        buf_add_str(ret, buf_view(&hunk));
        shift += grown;
    }
}

/* ---- scanner ---- */

static void scan_skip_space(struct peer_scan *s)
{
    for (;;) {
        struct str before = s->rest, line;
        while (s->rest.n && isspace((unsigned char)s->rest.p[0]))
            s->rest = str_skip(s->rest, 1);
        if (str_starts(s->rest, STR("//"))) {
            str_cut(&s->rest, '\n', &line);
        } else if (str_strip(&s->rest, STR("/*"))) {
            while (s->rest.n && !str_starts(s->rest, STR("*/")))
                s->rest = str_skip(s->rest, 1);
            str_strip(&s->rest, STR("*/"));
        }
        if (s->rest.n == before.n)
            return;
    }
}

void peer_scan_next(struct peer_scan *s)
{
    if (s->token.p)
        s->end = s->token.p + s->token.n + s->is_string;
    scan_skip_space(s);
    s->is_string = s->rest.n && s->rest.p[0] == '"';
    s->rest = str_skip(s->rest, s->is_string);
    size_t n = 0;
    const char *p = s->rest.p;
    while (n < s->rest.n &&
           (s->is_string ? p[n] != '"' : isalnum((unsigned char)p[n]) || p[n] == '_'))
        n += 1u + (s->is_string && p[n] == '\\' && n + 1 < s->rest.n);
    if (!s->is_string && n == 0 && s->rest.n)
        n = 1;
    bool ends = s->rest.n == 0 || peer_stopped(s->p);
    s->token = ends ? STR_NONE : (struct str){p, n};
    s->is_string &= !ends;
    s->rest = str_skip(s->rest, !ends && n < s->rest.n ? n + s->is_string : s->rest.n);
}

void peer_scan_init(struct peer_scan *s, struct peer *p, const struct peer_text *text,
                    const char *from)
{
    *s = (struct peer_scan){.p = p, .text = text, .end = from};
    s->rest = (struct str){from, (size_t)(text->bytes.p + text->bytes.n - from)};
    peer_scan_next(s);
}

bool peer_scan_is(const struct peer_scan *s, const char *token)
{
    return !s->is_string && s->token.p && str_is(s->token, token);
}

bool peer_scan_take(struct peer_scan *s, const char *token)
{
    bool is = peer_scan_is(s, token);
    if (is)
        peer_scan_next(s);
    return is;
}

int peer_scan_need(struct peer_scan *s, const char *tokens, struct str *ret_string)
{
    struct str rest = str_from(tokens), word;
    while (str_word(&rest, &word)) {
        bool string = str_is(word, "$");
        if (string ? !s->is_string : s->is_string || !str_eq(s->token, word)) {
            char *CLEAN_FREE what = xasprintf(
                "'%.*s' stands where %s%.*s%s was expected", STR_ARG(s->token), string ? "" : "'",
                STR_ARG(string ? STR("a string") : word), string ? "" : "'");
            return peer_unknown(s->p, s->text, s->token.p ? s->token.p : s->end, what);
        }
        if (string && ret_string)
            *ret_string = s->token;
        peer_scan_next(s);
    }
    return 0;
}

int peer_scan_find(struct peer_scan *s, struct peer *p, const struct peer_text *text,
                   const char *mark)
{
    const char *at =
        text->bytes.n ? memmem(text->bytes.p, text->bytes.n, mark, strlen(mark)) : NULL;
    if (!at) {
        char *CLEAN_FREE what = xasprintf("there is no '%s' in it", mark);
        return peer_unknown(p, text, text->bytes.p, what);
    }
    peer_scan_init(s, p, text, at + strlen(mark));
    return 0;
}
