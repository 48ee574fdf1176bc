/* contribution.c - what one computer knows as one text: written, and read back as strictly. */
#include "report/report.h"

#include "base/xalloc.h"
#include "sysroot/sysroot.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

/* The text is a .machine text: the parts are files below this, beside the computer's own. */
#define CONTRIBUTION_PLACE "/contribution"

#define CONTRIBUTION_COMMENT                                                                       \
    "# A contribution to gfxbridge (docs/adding-a-card.md). Nothing but what you read here is in " \
    "it.\n"

#define CONTRIBUTION_END "# The end of the contribution.\n"

enum { PART_MAX = 1 << 20, NAME_MAX_BYTES = 64 };

const char *const contribution_part_names[CONTRIBUTION_PARTS] = {
    "name",    "about",     "made",         "answers",    "outcomes.tsv",
    "log.txt", "cards.tsv", "packages.tsv", "quirks.tsv", "proofs.tsv",
};

void contribution_done(struct contribution *c)
{
    for (size_t i = 0; i < CONTRIBUTION_PARTS; i++)
        free(c->part[i]);
    root_free(c->own_root);
    *c = (struct contribution){.root = NULL};
}

struct str contribution_part(const struct contribution *c, enum contribution_part part)
{
    return str_trim_end(str_from(c->part[part]), '\n');
}

/* ---- personal data ---- */

/* What stands between blanks, quotes and brackets. */
static bool word_next(struct str *rest, struct str *ret_word)
{
    static const char between[] = " \t\"'`()[]{}<>,;=|";
    size_t n = 0;
    while (rest->n && strchr(between, rest->p[0]))
        *rest = str_skip(*rest, 1);
    while (n < rest->n && !strchr(between, rest->p[n]))
        n++;
    *ret_word = (struct str){rest->p, n};
    *rest = str_skip(*rest, n);
    return n > 0;
}

/* Groups of hexadecimal digits of these n sizes, with this separator between them; size 0: a
 * decimal number up to 255 as it stands in addresses. */
static bool word_is_groups(struct str word, char separator, const unsigned char *sizes, size_t n)
{
    struct str group;
    uint64_t value;
    size_t i = 0;
    for (; word.n && i < n && str_cut(&word, separator, &group); i++) {
        if (str_to_u64(group, sizes[i] ? 16 : 10, &value) < 0 ||
            (sizes[i] ? group.n != sizes[i] : value > 255 || (group.n > 1 && group.p[0] == '0')))
            return false;
    }
    return i == n && word.n == 0;
}

static bool word_is_login(struct str word)
{
    const char *at = word.n ? memchr(word.p, '@', word.n) : NULL;
    return at && at > word.p && at + 1 < word.p + word.n && isalnum((unsigned char)at[-1]) &&
           isalnum((unsigned char)at[1]);
}

static bool word_is_local_name(struct str word)
{
    static const char *const ends[] = {".local", ".localdomain", ".lan", ".home.arpa", ".internal"};
    word = str_trim_end(str_trim_end(word, ':'), '.');
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct str end = str_from(ends[i]);
        if (word.n > end.n && str_ends(word, end) &&
            isalnum((unsigned char)word.p[word.n - end.n - 1]))
            return true;
    }
    return false;
}

static const char *word_is_private(struct str word)
{
    static const unsigned char mac[] = {2, 2, 2, 2, 2, 2}, uuid[] = {8, 4, 4, 4, 12}, ip[4] = {0};
    struct str bare = str_trim_end(str_trim_end(word, '.'), ':');
    if (word_is_login(word))
        return "a login or an e-mail address";
    if (word_is_groups(bare, ':', mac, 6) || word_is_groups(bare, '-', mac, 6))
        return "a network card's address";
    if (word_is_groups(bare, '-', uuid, 5))
        return "a unique id";
    /* 0.12.123.004 is how long an engine has run. */
    if (word_is_groups(bare, '.', ip, 4) && !str_starts(bare, STR("0.")))
        return "a network address";
    return word_is_local_name(word) ? "a host's name" : NULL;
}

const char *contribution_private(struct str line)
{
    static const struct {
        const char *mark, *what;
    } marks[] = {
        {"/home/", "a home directory"},    {"/root/", "a home directory"},
        {"/users/", "a home directory"},   {"\\users\\", "a home directory"},
        {"/run/user/", "a user's number"}, {"serial", "a serial number"},
        {"unique_id", "a unique id"},      {"unique id", "a unique id"},
        {"hive_id", "a unique id"},        {"asset tag", "a serial number"},
        {"hostname", "a host's name"},     {"host name", "a host's name"},
        {"nodename", "a host's name"},     {"user name", "a user's name"},
        {"username", "a user's name"},
    };
    struct str all = line, word;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        struct str mark = str_from(marks[i].mark), rest = line;
        for (; rest.n >= mark.n; rest = str_skip(rest, 1)) {
            if (!str_starts_nocase(rest, mark))
                continue;
            struct str behind = str_skip(rest, mark.n);
            bool kept = str_is(mark, "/home/") && str_starts(behind, STR("user/")); /* capture's */
            bool longer = isalpha((unsigned char)mark.p[mark.n - 1]) && behind.n &&
                          isalpha((unsigned char)behind.p[0]); /* "serialise" */
            if (!kept && !longer)
                return marks[i].what;
        }
    }
    while (word_next(&all, &word)) {
        const char *what = word_is_private(word);
        if (what)
            return what;
    }
    return NULL;
}

/* ---- writing ---- */

int contribution_machine(const struct contribution *c, struct buf *ret, struct gfxb_error *err)
{
    struct buf CLEAN_BUF capture = BUF_INIT(CONTRIBUTION_MAX);
    int r = machine_capture(c->root, &capture, err);
    struct str lines = buf_view(&capture), line;
    str_cut(&lines, '\n', &line); /* the header, and the comment */
    str_cut(&lines, '\n', &line);
    buf_add_str(ret, lines);
    return r < 0 || buf_ok(ret) ? r : error_set(err, E2BIG, "the contribution is too large");
}

int contribution_write(const struct contribution *c, struct buf *ret, struct gfxb_error *err)
{
    root_write_header(ret);
    buf_add_text(ret, CONTRIBUTION_COMMENT);
    for (size_t i = 0; i < CONTRIBUTION_PARTS; i++) {
        struct str text = contribution_part(c, (enum contribution_part)i);
        char path[64];
        snprintf(path, sizeof(path), CONTRIBUTION_PLACE "/%s", contribution_part_names[i]);
        if (text.n)
            root_write_file(ret, path, text);
    }
    int r = contribution_machine(c, ret, err);
    buf_add_text(ret, CONTRIBUTION_END);
    return r;
}

/* ---- reading ---- */

static int read_parts(const char *name, struct contribution *c, struct gfxb_error *err)
{
    for (size_t i = 0; i < CONTRIBUTION_PARTS; i++) {
        struct buf CLEAN_BUF text = BUF_INIT(PART_MAX);
        char path[64];
        snprintf(path, sizeof(path), CONTRIBUTION_PLACE "/%s", contribution_part_names[i]);
        if (root_read(c->root, path, PART_MAX, &text) < 0)
            continue;
        for (size_t k = 0; k < text.n; k++) {
            if ((text.p[k] < ' ' && text.p[k] != '\n' && text.p[k] != '\t') || text.p[k] > '~')
                return error_set(err, EINVAL, "%s: %s is not plain text", name, path);
        }
        c->part[i] = xbuf_take(&text);
    }
    return 0;
}

/* The text must be what contribution_write makes of it: so nothing is in it that no part and no
 * path on capture's allow-list accounts for. */
static int read_nothing_else(const char *name, struct str text, const struct contribution *c,
                             struct gfxb_error *err)
{
    struct buf CLEAN_BUF again = BUF_INIT(CONTRIBUTION_MAX);
    int r = contribution_write(c, &again, err);
    if (r < 0)
        return r;
    struct str want = buf_view(&again), line, other;
    for (unsigned n = 1; text.n || want.n; n++) {
        line = other = STR_NONE;
        if (!text.n)
            return error_set(err, EINVAL, "%s:%u: the contribution is cut off here", name, n);
        str_cut(&text, '\n', &line);
        str_cut(&want, '\n', &other);
        if (!str_eq(line, other))
            return error_set(err, EINVAL,
                             "%s:%u: '%.*s' does not belong here: a contribution holds what "
                             "gfxbridge contribute writes, and of a computer only what is on the "
                             "allow-list of gfxbridge capture",
                             name, n, (int)(line.n < 120 ? line.n : 120), line.p ? line.p : "");
        const char *what = line.n && line.p[0] == '#' ? NULL : contribution_private(line);
        if (what || str_starts(line, STR("hex ")))
            return error_set(err, EINVAL,
                             "%s:%u: the line holds %s: remove it, a contribution has no personal "
                             "data",
                             name, n, what ? what : "bytes that nobody can read");
    }
    return 0;
}

bool contribution_name_is_good(struct str name)
{
    bool good = name.n && name.n <= NAME_MAX_BYTES && name.p[0] != '-';
    for (size_t i = 0; i < name.n; i++)
        good = good && strchr("abcdefghijklmnopqrstuvwxyz0123456789-", name.p[i]);
    return good;
}

int contribution_read(const char *name, struct str text, struct contribution *ret,
                      struct gfxb_error *err)
{
    *ret = (struct contribution){.root = NULL};
    int r = root_new_text(name, text, &ret->own_root, err);
    if (r < 0)
        return r;
    ret->root = ret->own_root;
    r = read_parts(name, ret, err);
    if (r == 0 && !contribution_name_is_good(contribution_part(ret, CONTRIBUTION_NAME)))
        r = error_set(err, EINVAL,
                      "%s is no contribution: it has no " CONTRIBUTION_PLACE
                      "/name of small letters, digits and hyphens",
                      name);
    return r < 0 ? r : read_nothing_else(name, text, ret, err);
}
