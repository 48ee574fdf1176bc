/* text.c - lines for people, as wide and as coloured as the terminal can show. */
#include "cli/cli.h"

#include <iconv.h>
#include <langinfo.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <wchar.h>

enum { TEXT_MAX = 1 << 20, TEXT_NARROWEST = 20 };

/* One line on its way out. */
struct text_line {
    FILE *out;
    size_t width;  /* 0 endless */
    size_t column; /* where the next character goes */
    size_t hang;   /* where continuation lines begin */
    bool color;
};

size_t text_width(FILE *out)
{
    struct winsize size;
    uint64_t columns = 0;
    const char *given = getenv("COLUMNS");
    if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col)
        columns = size.ws_col;
    else if (given)
        str_to_u64(str_from(given), 10, &columns);
    return columns == 0 || columns > 10000 ? 0
           : columns < TEXT_NARROWEST      ? TEXT_NARROWEST
                                           : columns;
}

static bool text_has_color(FILE *out)
{
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    return isatty(fileno(out)) && term && strcmp(term, "dumb") != 0 && !(no && *no);
}

/* The escape sequence of a mark; NULL: the character is none. */
static const char *text_escape(char c)
{
    static const char marks[] = TEXT_GOOD TEXT_WARN TEXT_BAD TEXT_STRONG TEXT_FAINT TEXT_END;
    static const char *const escapes[] = {"\033[32m", "\033[33m", "\033[31m",
                                          "\033[1m",  "\033[2m",  "\033[0m"};
    const char *found = c ? strchr(marks, c) : NULL;
    return found ? escapes[found - marks] : NULL;
}

/* Bytes of the first character and its columns. What is no character is one column. */
static size_t text_character(struct str s, size_t *ret_columns)
{
    wchar_t wide;
    mbstate_t state = {0};
    size_t n = mbrtowc(&wide, s.p, s.n, &state);
    int columns = n == 0 || n > s.n ? 1 : wcwidth(wide);
    *ret_columns = columns < 0 ? 1 : (size_t)columns;
    return n == 0 || n > s.n ? 1 : n;
}

static size_t text_columns(struct str s)
{
    size_t total = 0;
    while (s.n) {
        size_t columns = 0, n = 1;
        if (!text_escape(*s.p) && *s.p != TEXT_HANG[0])
            n = text_character(s, &columns);
        total += columns;
        s.p += n;
        s.n -= n;
    }
    return total;
}

size_t text_control(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = first ? (unsigned char)text[1] : 0;
    return first == 0xc2 && second >= 0x80 && second < 0xa0 ? 2
           : first && (first < 0x20 || first == 0x7f)       ? 1
                                                            : 0;
}

static void text_put(struct text_line *line, struct str s)
{
    for (; s.n; s.p++, s.n--) {
        const char *escape = text_escape(*s.p);
        if (*s.p == TEXT_HANG[0])
            continue;
        if (!escape)
            putc((unsigned char)*s.p < 0x20 || *s.p == 0x7f ? '?' : *s.p, line->out);
        else if (line->color)
            fputs(escape, line->out);
    }
}

static void text_break(struct text_line *line)
{
    fprintf(line->out, "\n%*s", (int)line->hang, "");
    line->column = line->hang;
}

/* The blanks before a word and the word, on a new line when it does not fit on this one. */
static void text_word(struct text_line *line, struct str blanks, struct str word)
{
    size_t columns = text_columns(word);
    if (line->width && line->column > line->hang &&
        line->column + blanks.n + columns > line->width) {
        text_break(line);
        blanks = STR_NONE;
    }
    text_put(line, blanks);
    text_put(line, word);
    line->column += blanks.n + columns;
}

static size_t text_span(struct str s, bool blanks)
{
    size_t n = 0;
    while (n < s.n && (s.p[n] == ' ') == blanks)
        n++;
    return n;
}

/* Where continuation lines begin: at the mark, else at the line's own first character. A margin
 * that would leave little room for the text is given up. */
static size_t text_margin(struct str s, size_t width)
{
    const char *mark = s.n ? memchr(s.p, TEXT_HANG[0], s.n) : NULL;
    size_t margin =
        mark ? text_columns((struct str){s.p, (size_t)(mark - s.p)}) : text_span(s, true);
    return margin + TEXT_NARROWEST > width ? 2 : margin;
}

static void text_put_line(FILE *out, struct str s, size_t width)
{
    struct text_line line = {
        .out = out, .width = width, .hang = text_margin(s, width), .color = text_has_color(out)};
    while (s.n) {
        struct str blanks = {s.p, text_span(s, true)};
        s.p += blanks.n;
        s.n -= blanks.n;
        struct str word = {s.p, text_span(s, false)};
        s.p += word.n;
        s.n -= word.n;
        if (word.n)
            text_word(&line, blanks, word);
    }
    putc('\n', out);
}

/* The text in the locale's own characters, where those are not UTF-8. false: as it is. */
static bool text_transliterate(struct str s, struct buf *ret)
{
    const char *codeset = nl_langinfo(CODESET);
    char name[64];
    if (strcmp(codeset, "UTF-8") == 0)
        return false;
    snprintf(name, sizeof(name), "%s//TRANSLIT", codeset);
    iconv_t conversion = iconv_open(name, "UTF-8");
    if (conversion == (iconv_t)-1)
        return false;
    char *in = (char *)s.p; /* iconv's type; it does not write there */
    size_t left = s.n;
    while (left) {
        char piece[512], *end = piece;
        size_t room = sizeof(piece);
        size_t result = iconv(conversion, &in, &left, &end, &room);
        buf_add(ret, piece, (size_t)(end - piece));
        if (result == (size_t)-1 && room >= 16 && left) { /* a byte that is no character */
            buf_add_char(ret, '?');
            in++;
            left--;
        }
    }
    iconv_close(conversion);
    return buf_ok(ret);
}

static void text_vprint(FILE *out, size_t width, const char *format, va_list arguments)
{
    struct buf CLEAN_BUF converted = BUF_INIT(TEXT_MAX);
    char *CLEAN_FREE text = NULL;
    int n = vasprintf(&text, format, arguments);
    if (n < 0)
        xalloc_die(); /* an error that is not told would be worse */
    for (char *c = text; *c; c++) {
        if (text_control(c) == 2) /* before another character set makes one byte of it */
            memcpy(c, "??", 2);
    }
    struct str rest = {text, (size_t)n}, line;
    if (text_transliterate(rest, &converted))
        rest = buf_view(&converted);
    while (str_cut(&rest, '\n', &line))
        text_put_line(out, line, width);
}

void text_print(FILE *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vprint(out, text_width(out), format, arguments);
    va_end(arguments);
}

void text_wrap(FILE *out, size_t width, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vprint(out, width, format, arguments);
    va_end(arguments);
}

void text_style(FILE *out, const char *mark)
{
    if (text_has_color(out))
        fputs(text_escape(*mark), out);
}
