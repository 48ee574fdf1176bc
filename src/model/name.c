/* name.c - what a word that a user typed for a model can mean, and the names nearest to it. */
#include "model/model_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define OWNER_MAX 96 /* of the hub: an owner's and a repository's name */
#define WORD_MAX  80 /* of a tag */

#define FORMS                                                                                      \
    "a model is named like one of the list (gfxbridge list --available), ORG/REPO or "             \
    "ORG/REPO:QUANT, "                                                                             \
    "ORG/REPO/FILE.gguf, NAME:TAG of the Ollama library, a URL with #sha256=HEX, or a file"

#define DIGITS  "0123456789"
#define LOWER   "abcdefghijklmnopqrstuvwxyz"
#define UPPER   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LETTERS LOWER UPPER DIGITS

static bool is_only(struct str s, const char *alphabet)
{
    size_t i = 0;
    while (i < s.n && s.p[i] && strchr(alphabet, s.p[i]))
        i++;
    return i == s.n;
}

/* Letters, digits and "-._"; begins with a letter or digit; no "..". */
static bool is_word(struct str s, size_t max)
{
    return s.n > 0 && s.n <= max && is_only((struct str){s.p, 1}, LETTERS) &&
           is_only(s, LETTERS "-._") && !str_has(s, STR(".."));
}

/* Each part of a path inside a repository is a word, the last one with ".gguf". */
static bool is_file(struct str s)
{
    struct str rest = s, part;
    bool good = s.n <= 300 && str_ends(s, STR(".gguf"));
    while (good && str_cut(&rest, '/', &part))
        good = is_word(part, 200);
    return good;
}

bool model_name_is_plain(const char *text)
{
    struct str rest = str_from(text), part;
    bool good = rest.n > 0 && rest.n <= 300 && is_only(rest, LETTERS "-._:/") &&
                !strstr(text, "..") && rest.p[rest.n - 1] != '/';
    while (good && str_cut(&rest, '/', &part))
        good = part.n > 0 && is_only((struct str){part.p, 1}, LETTERS);
    return good;
}

static void keep(char *ret, size_t size, struct str s)
{
    snprintf(ret, size, "%.*s", STR_ARG(s));
}

/* Without what stands before; false when it does not. */
static bool strip(struct str *s, struct str prefix)
{
    if (!str_starts(*s, prefix))
        return false;
    *s = (struct str){s->p + prefix.n, s->n - prefix.n};
    return true;
}

static bool is_path(const char *text)
{
    struct str s = str_from(text);
    struct stat st;
    if (str_starts(s, STR("/")) || str_starts(s, STR("./")) || str_starts(s, STR("../")))
        return true;
    return str_ends(s, STR(".gguf")) && stat(text, &st) == 0 && S_ISREG(st.st_mode);
}

/* org/repo, org/repo:QUANT, org/repo/dir/file.gguf */
static bool parse_hub(struct str text, struct model_name *name)
{
    struct str rest = text, org, repo, tag = STR_NONE, after;
    if (!str_cut(&rest, '/', &org) || !str_cut(&rest, '/', &repo))
        return false;
    bool file = rest.n > 0;
    after = repo;
    if (!file && memchr(repo.p, ':', repo.n)) {
        (void)str_cut(&after, ':', &repo);
        tag = after;
        if (!is_word(tag, WORD_MAX))
            return false;
    }
    if (!is_word(org, OWNER_MAX) || !is_word(repo, OWNER_MAX) || (file && !is_file(rest)) ||
        (text.n && text.p[text.n - 1] == '/'))
        return false;
    name->kind = MODEL_NAME_HUB;
    snprintf(name->repository, sizeof(name->repository), "%.*s/%.*s", STR_ARG(org), STR_ARG(repo));
    keep(name->tag, sizeof(name->tag), tag);
    keep(name->file, sizeof(name->file), file ? rest : STR_NONE);
    return true;
}

/* name, name:tag; with a host also namespace/name:tag */
static bool parse_ollama(struct str text, bool host, struct model_name *name)
{
    struct str rest = text, space = STR("library"), model, tag = STR("latest");
    if (host && memchr(text.p, '/', text.n)) {
        (void)str_cut(&rest, '/', &space);
        if (!is_word(space, WORD_MAX))
            return false;
    }
    bool tagged = rest.n && memchr(rest.p, ':', rest.n);
    if (!str_cut(&rest, ':', &model) || !is_word(model, WORD_MAX))
        return false;
    /* Upper-case letters have no place in the Ollama library: such a word is a name misspelt. */
    if (!is_only(model, LOWER DIGITS "-._"))
        return false;
    if (tagged)
        tag = rest;
    if (!is_word(tag, WORD_MAX))
        return false;
    name->kind = MODEL_NAME_OLLAMA;
    snprintf(name->repository, sizeof(name->repository), "%.*s/%.*s", STR_ARG(space),
             STR_ARG(model));
    keep(name->tag, sizeof(name->tag), tag);
    return true;
}

/* With a host before it: the hub's (two spellings) or the Ollama registry's. */
static bool parse_hosted(struct str text, struct model_name *name, bool *ret_hosted)
{
    const struct str hub = model_hub_host(MODEL_HUB_HF), other = model_hub_host(MODEL_HUB_OLLAMA);
    struct str rest = text, host;
    *ret_hosted = false;
    if (!str_cut(&rest, '/', &host) || rest.n == 0)
        return false;
    *ret_hosted = true;
    if (str_eq_nocase(host, STR("hf.co")) || str_eq_nocase(host, hub))
        return parse_hub(rest, name);
    if (str_eq_nocase(host, other)) {
        keep(name->host, sizeof(name->host), host);
        return parse_ollama(rest, true, name);
    }
    *ret_hosted = false;
    return false;
}

static int parse_url(const char *text, struct model_name *name, struct gfxb_error *err)
{
    const struct str mark = STR("#sha256=");
    struct str all = str_from(text), digest = STR_NONE, url = all;
    const char *at = strchr(text, '#');
    if (at) {
        url.n = (size_t)(at - text);
        digest = str_from(at);
    }
    bool good = url.n > 12 && url.n < sizeof(name->file) && str_starts(url, STR("https://"));
    for (size_t i = 0; good && i < url.n; i++)
        good = url.p[i] > ' ' && url.p[i] <= '~' && url.p[i] != '\\' && url.p[i] != '"';
    if (!good)
        return error_set(err, EINVAL,
                         "'%s' is no URL that can be pulled: it has to begin with "
                         "https:// and to be shorter than %zu characters",
                         text, sizeof(name->file));
    if (!strip(&digest, mark) || digest.n != DIGEST_HEX - 1 ||
        !is_only(digest, DIGITS "abcdefABCDEF"))
        return error_set(err, EINVAL,
                         "'%s' says nothing about what has to come: add #sha256= and "
                         "the file's 64 hexadecimal digits (sha256sum FILE, or the page it is on)",
                         text);
    name->kind = MODEL_NAME_URL;
    keep(name->file, sizeof(name->file), url);
    for (size_t i = 0; i < digest.n; i++)
        name->sha256[i] = str_lower(digest.p[i]);
    return 0;
}

void model_name_nearest_known(const char *text, char *ret_text, size_t size)
{
    const struct model_knowns *list = model_knowns();
    struct str *CLEAN_FREE names = xcalloc(list->n, sizeof(*names));
    for (size_t i = 0; i < list->n; i++)
        names[i] = list->item[i].name;
    name_nearest(text, names, list->n, ret_text, size);
}

static int parse_words(const char *text, struct model_name *name, struct gfxb_error *err)
{
    struct str all = str_from(text);
    char near[300];
    bool hosted;
    name->known = model_known_find(all);
    if (name->known) {
        name->kind = MODEL_NAME_LISTED;
        return 0;
    }
    if (parse_hosted(all, name, &hosted))
        return 0;
    if (!hosted &&
        (memchr(all.p, '/', all.n) ? parse_hub(all, name) : parse_ollama(all, false, name)))
        return 0;
    model_name_nearest_known(text, near, sizeof(near));
    return error_set(err, EINVAL, "'%.200s' names no model%s%s%s; %s", text,
                     near[0] ? ": did you mean " : "", near, near[0] ? "?" : "", FORMS);
}

int model_name_parse(const char *text, struct model_name *ret_name, struct gfxb_error *err)
{
    struct model_name name = {.kind = MODEL_NAME_FILE};
    int result = 0;
    if (text[0] == '\0' || strlen(text) > 4000)
        return error_set(err, EINVAL, "no model is named: %s", FORMS);
    if (is_path(text)) {
        if (strlen(text) >= sizeof(name.file))
            return error_set(err, ENAMETOOLONG, "the path %.60s... is longer than %zu characters",
                             text, sizeof(name.file) - 1);
        keep(name.file, sizeof(name.file), str_from(text));
    } else if (strstr(text, "://")) {
        result = parse_url(text, &name, err);
    } else {
        result = parse_words(text, &name, err);
    }
    if (result == 0)
        *ret_name = name;
    return result;
}

/* ---- the names with the fewest letters to change ---- */

#define LETTERS_MAX 96
#define NEAREST_MAX 3

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static char plain(char c)
{
    return c == '_' || c == ' ' ? '-' : str_lower(c);
}

/* Letters to insert, delete or replace (Levenshtein), whatever the case. */
static unsigned distance(struct str a, struct str b)
{
    unsigned row[LETTERS_MAX + 1];
    if (a.n > LETTERS_MAX || b.n > LETTERS_MAX)
        return LETTERS_MAX;
    for (unsigned k = 0; k <= b.n; k++)
        row[k] = k;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (unsigned k = 1; k <= b.n; k++) {
            unsigned kept = corner + (plain(a.p[i - 1]) != plain(b.p[k - 1]));
            corner = row[k];
            row[k] = least(kept, least(row[k], row[k - 1]) + 1);
        }
    }
    return row[b.n];
}

/* A name that begins with all of the text is nearer than its length says. */
static unsigned rate(struct str text, struct str name)
{
    unsigned far = distance(text, name);
    bool begins = text.n >= 3 && name.n > text.n && str_starts_nocase(name, text);
    return begins ? least(far, 1 + (unsigned)(name.n - text.n) / 8) : far;
}

void name_nearest(const char *text, const struct str *name, size_t n, char *ret_text, size_t size)
{
    struct str wanted = str_from(text);
    struct {
        struct str name;
        unsigned far;
    } best[NEAREST_MAX + 1];
    size_t n_best = 0;
    unsigned limit = 2 + (unsigned)least((unsigned)wanted.n, LETTERS_MAX) / 4;
    struct buf CLEAN_BUF out = BUF_INIT(1000);
    for (size_t i = 0; i < n; i++) {
        unsigned far = rate(wanted, name[i]);
        size_t place = n_best;
        if (far > limit)
            continue;
        for (; place > 0 && best[place - 1].far > far; place--)
            best[place] = best[place - 1];
        best[place].name = name[i];
        best[place].far = far;
        n_best = n_best < NEAREST_MAX ? n_best + 1 : NEAREST_MAX;
    }
    for (size_t i = 0; i < n_best; i++)
        buf_addf(&out, "%s%.*s",
                 i == 0            ? ""
                 : i + 1 == n_best ? " or "
                                   : ", ",
                 STR_ARG(best[i].name));
    snprintf(ret_text, size, "%s", buf_text(&out));
}
