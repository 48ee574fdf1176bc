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
    "ORG/REPO/FILE.gguf, NAME:TAG of the Ollama library, the address of its page, a URL with "     \
    "#sha256=HEX, or a file"

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

static bool is_file(struct str s)
{
    return s.n <= 300 && str_ends(s, STR(".gguf")) && pick_is_safe(s);
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

static void lower(char *text)
{
    for (; *text; text++)
        *text = str_lower(*text);
}

/* Without a ":latest" at its end, which says nothing. */
static struct str without_latest(struct str name)
{
    const struct str latest = STR(":latest");
    size_t n = name.n > latest.n ? name.n - latest.n : name.n;
    return str_eq_nocase(str_skip(name, n), latest) ? (struct str){name.p, n} : name;
}

bool model_name_same(struct str a, struct str b)
{
    return str_eq_nocase(without_latest(a), without_latest(b));
}

static bool is_path(struct str s)
{
    return str_starts(s, STR("/")) || str_starts(s, STR("./")) || str_starts(s, STR("../"));
}

bool name_is_file(const struct model_env *env, const char *text)
{
    struct stat st;
    return is_path(str_from(text)) || (env->files && str_ends(str_from(text), STR(".gguf")) &&
                                       stat(text, &st) == 0 && S_ISREG(st.st_mode));
}

/* org/repo, org/repo:QUANT, org/repo/dir/file.gguf, org/repo:dir/file.gguf */
static bool parse_hub(struct str text, struct model_name *name)
{
    struct str rest = without_latest(text), org;
    size_t n = 0;
    if (!str_cut(&rest, '/', &org))
        return false;
    while (n < rest.n && rest.p[n] != ':' && rest.p[n] != '/')
        n++;
    struct str repo = {rest.p, n};
    char mark = n < rest.n ? rest.p[n] : '\0';
    rest = str_skip(rest, mark ? n + 1 : n);
    bool file = mark && str_ends(rest, STR(".gguf"));
    bool good = file || !mark || (mark == ':' && is_word(rest, WORD_MAX));
    if (!good || (file && !is_file(rest)) || !is_word(org, OWNER_MAX) || !is_word(repo, OWNER_MAX))
        return false;
    name->kind = MODEL_NAME_HUB;
    snprintf(name->repository, sizeof(name->repository), "%.*s/%.*s", STR_ARG(org), STR_ARG(repo));
    keep(name->tag, sizeof(name->tag), file ? STR_NONE : rest);
    keep(name->file, sizeof(name->file), file ? rest : STR_NONE);
    return true;
}

/* name, name:tag, namespace/name:tag */
static bool parse_ollama(struct str text, struct model_name *name)
{
    struct str rest = without_latest(text), space = STR("library"), model, tag = STR("latest");
    if (memchr(text.p, '/', text.n))
        (void)str_cut(&rest, '/', &space);
    bool tagged = rest.n && memchr(rest.p, ':', rest.n);
    if (!str_cut(&rest, ':', &model) || !is_word(model, WORD_MAX) || !is_word(space, WORD_MAX))
        return false;
    if (tagged)
        tag = rest;
    if (!is_word(tag, WORD_MAX))
        return false;
    name->kind = MODEL_NAME_OLLAMA;
    snprintf(name->repository, sizeof(name->repository), "%.*s/%.*s", STR_ARG(space),
             STR_ARG(model));
    lower(name->repository); /* as all names there are */
    keep(name->tag, sizeof(name->tag), tag);
    return true;
}

bool name_as_ollama(const struct model_name *name, struct model_name *ret_name)
{
    struct model_name other = {.hosted = false};
    char *CLEAN_FREE text =
        xasprintf("%s:%s", name->repository, name->tag[0] ? name->tag : "latest");
    if (name->kind != MODEL_NAME_HUB || name->hosted || name->file[0] ||
        !parse_ollama(str_from(text), &other))
        return false;
    *ret_name = other;
    return true;
}

/* ---- addresses of pages, as a browser shows them ---- */

/* "%20" -> " ". False when it does not fit. */
static bool decode(struct str text, char *ret, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n && n + 1 < size; i++) {
        int high = i + 2 < text.n ? str_hex_digit(text.p[i + 1]) : -1;
        int low = high < 0 ? -1 : str_hex_digit(text.p[i + 2]);
        bool coded = text.p[i] == '%' && low >= 0;
        ret[n++] = text.p[i];
        if (coded) {
            ret[n - 1] = (char)(high << 4 | low);
            i += 2;
        }
    }
    ret[n] = '\0';
    return n + 1 < size && strlen(ret) == n;
}

/* org/repo, org/repo/tree/main/FOLDER, org/repo/blob/main/FILE and its like */
static bool parse_hub_page(struct str path, struct str query, struct model_name *name)
{
    static const char *const views[] = {"tree/main", "blob/main", "resolve/main", "raw/main"};
    char file[sizeof(name->file)];
    struct str rest = path, org = STR_NONE, repo = STR_NONE, item;
    bool viewed = str_cut(&rest, '/', &org) && str_cut(&rest, '/', &repo) && rest.n == 0;
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]) && !viewed; i++)
        viewed = str_strip(&rest, str_from(views[i])) && (!rest.n || str_strip(&rest, STR("/")));
    if (!viewed)
        return parse_hub(path, name);
    while (str_cut(&query, '&', &item)) {
        if (str_strip(&item, STR("show_file_info=")) && decode(item, file, sizeof(file)))
            rest = str_from(file);
    }
    /* Folders of a repository are named by the quantisation in them. */
    char *CLEAN_FREE text =
        xasprintf("%.*s/%.*s%s%.*s", STR_ARG(org), STR_ARG(repo), rest.n ? ":" : "", STR_ARG(rest));
    return parse_hub(str_from(text), name);
}

/* library/name:tag, user/name, and the list of a model's tags */
static bool parse_ollama_page(struct str path, struct model_name *name)
{
    const struct str tags = STR("/tags");
    if (str_ends(path, tags))
        path.n -= tags.n;
    return parse_ollama(path, name);
}

/* With a host before it, one of data/hubs.tsv: a name or the address of a page. */
static bool parse_hosted(struct str text, struct model_name *name)
{
    char path[sizeof(name->file)];
    struct str host, page = STR_NONE, plain = STR_NONE;
    enum model_hub hub;
    if (!str_strip(&text, STR("https://")))
        (void)str_strip(&text, STR("http://"));
    if (!str_cut(&text, '/', &host) || !hub_of_host(host, &hub))
        return false;
    name->hosted = true;
    if (!str_cut(&text, '#', &page) || !str_cut(&page, '?', &plain) ||
        !decode(str_trim_end(plain, '/'), path, sizeof(path)))
        return false;
    return hub == MODEL_HUB_HF ? parse_hub_page(str_from(path), page, name)
                               : parse_ollama_page(str_from(path), name);
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
    if (!str_strip(&digest, mark) || digest.n != DIGEST_HEX - 1 ||
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

/* ollama: the command before it says that a name without a host is Ollama's. */
static int parse_words(struct str text, bool ollama, struct model_name *name,
                       struct gfxb_error *err)
{
    char near[300];
    name->known = model_known_find(without_latest(text));
    if (name->known) {
        name->kind = MODEL_NAME_LISTED;
        return 0;
    }
    if (parse_hosted(text, name))
        return 0;
    ollama = ollama || !memchr(text.p, '/', text.n);
    if (!name->hosted && (ollama ? parse_ollama(text, name) : parse_hub(text, name)))
        return 0;
    if (name->hosted)
        return error_set(err, EINVAL,
                         "'%.*s' is not the page of a model: give that of a repository, or of a "
                         "GGUF file in its branch main",
                         (int)(text.n < 200 ? text.n : 200), text.p);
    char *CLEAN_FREE word = xstr_dup(text);
    model_name_nearest_known(word, near, sizeof(near));
    return error_set(err, EINVAL, "'%.200s' names no model%s%s%s; %s", word,
                     near[0] ? ": did you mean " : "", near, near[0] ? "?" : "", FORMS);
}

/* The name in a command that a page shows beside a model; to be freed. ret_ollama: it is Ollama's.
 */
static int strip_command(struct str text, char **ret_name, bool *ret_ollama, struct gfxb_error *err)
{
    static const struct {
        const char *words;
        bool ollama;
    } commands[] = {{"ollama run ", true},
                    {"ollama pull ", true},
                    {"hf download ", false},
                    {"huggingface-cli download ", false}};
    struct str rest = text, word = text, file = STR_NONE, more;
    *ret_ollama = false;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && word.p == text.p; i++) {
        if (!str_strip(&rest, str_from(commands[i].words)) || !str_word(&rest, &word))
            continue;
        *ret_ollama = commands[i].ollama;
        (void)str_word(&rest, &file);
        if (str_word(&rest, &more) || (file.n && (*ret_ollama || !is_file(file))))
            return error_set(err, EINVAL, "'%.*s': only the model can stand behind \"%s\"%s",
                             (int)(text.n < 200 ? text.n : 200), text.p, commands[i].words,
                             *ret_ollama ? "" : ", and one GGUF file of it");
    }
    *ret_name = xasprintf("%.*s%s%.*s", STR_ARG(word), file.n ? "/" : "", STR_ARG(file));
    return 0;
}

int model_name_parse(const char *text, struct model_name *ret_name, struct gfxb_error *err)
{
    struct model_name name = {.kind = MODEL_NAME_FILE};
    struct str trimmed = str_trim(str_from(text));
    char *CLEAN_FREE word = NULL;
    bool ollama = false;
    if (trimmed.n == 0 || trimmed.n > 4000)
        return error_set(err, EINVAL, "no model is named: %s", FORMS);
    int result = strip_command(trimmed, &word, &ollama, err);
    if (result < 0)
        return result;
    if (is_path(str_from(text))) {
        if (strlen(text) >= sizeof(name.file))
            return error_set(err, ENAMETOOLONG, "the path %.60s... is longer than %zu characters",
                             text, sizeof(name.file) - 1);
        keep(name.file, sizeof(name.file), str_from(text));
    } else if (strstr(text, "#sha256=")) {
        result = parse_url(text, &name, err);
    } else {
        result = parse_words(str_from(word), ollama, &name, err);
        if (result == -EINVAL && !name.hosted && strstr(text, "://"))
            result = parse_url(text, &name, err);
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
