/* pick.c - which files of a repository make up a model. */
#include "model/model_private.h"

#include <stdlib.h>
#include <sys/stat.h>

#define PICK_GGUF       STR(".gguf")
#define PICK_NAME_MAX   255
#define PICK_PARTS_MAX  1000 /* of one model */
#define PICK_DIGITS     5    /* of a part's number */
#define PICK_SPLIT_TAIL 15   /* "-00001-of-00003" */

static bool pick_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool pick_is_safe(struct str path)
{
    struct str part;
    if (path.n == 0 || path.n > PICK_PATH_MAX || path.p[path.n - 1] == '/')
        return false;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c < ' ' || c == 0x7f || c == '\\')
            return false;
    }
    while (str_cut(&path, '/', &part)) {
        if (part.n == 0 || part.n > PICK_NAME_MAX || part.p[0] == '.')
            return false;
    }
    return true;
}

/* A number of exactly five digits. */
static bool pick_number(const char *p, unsigned *ret_number)
{
    unsigned number = 0;
    for (size_t i = 0; i < PICK_DIGITS; i++) {
        if (!pick_is_digit(p[i]))
            return false;
        number = number * 10 + (unsigned)(p[i] - '0');
    }
    *ret_number = number;
    return true;
}

bool pick_take_apart(struct str path, struct pick_split *ret_split)
{
    struct pick_split split = {path, 1, 1};
    if (!str_ends(path, PICK_GGUF) || path.n == PICK_GGUF.n)
        return false;
    split.prefix.n -= PICK_GGUF.n;
    unsigned index, count;
    if (split.prefix.n > PICK_SPLIT_TAIL) {
        const char *tail = split.prefix.p + split.prefix.n - PICK_SPLIT_TAIL;
        if (tail[0] == '-' && memcmp(tail + 6, "-of-", 4) == 0 && pick_number(tail + 1, &index) &&
            pick_number(tail + 10, &count) && index > 0 && index <= count &&
            count <= PICK_PARTS_MAX) {
            split.prefix.n -= PICK_SPLIT_TAIL;
            split.index = index;
            split.count = count;
        }
    }
    *ret_split = split;
    return true;
}

char *pick_part(const char *path, unsigned number)
{
    struct pick_split split;
    if (!pick_take_apart(str_from(path), &split) || split.count == 1)
        return xstrdup(path);
    return xasprintf("%.*s-%05u-of-%05u.gguf", STR_ARG(split.prefix), number, split.count);
}

char *model_files_state(const char *path)
{
    struct pick_split split = {.count = 1};
    struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
    struct stat st;
    (void)pick_take_apart(str_from(path), &split);
    for (unsigned i = 1; i <= split.count; i++) {
        char *CLEAN_FREE part = pick_part(path, i);
        if (stat(part, &st) < 0)
            return NULL;
        buf_addf(&text, "%lld %lld.%09ld\n", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                 st.st_mtim.tv_nsec);
    }
    return buf_ok(&text) ? xstrdup(buf_text(&text)) : NULL;
}

struct str pick_name(struct str path)
{
    const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
    if (!slash)
        return path;
    return (struct str){slash + 1, path.n - (size_t)(slash + 1 - path.p)};
}

/* A model or a part of one, by its name. */
static bool pick_is_model(struct str path)
{
    static const char *const others[] = {"mmproj",  "imatrix", "mtp-",
                                         "eagle3-", "dflash-", "dspark-"};
    struct str name = pick_name(path);
    if (!str_ends(path, PICK_GGUF))
        return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (str_has(name, str_from(others[i])))
            return false;
    }
    return true;
}

/* The last word behind "-" or "." of a name without its ending: "Q4_K_M", "instruct", "f16". */
static struct str pick_last_word(struct str prefix)
{
    size_t start = prefix.n;
    while (start && prefix.p[start - 1] != '-' && prefix.p[start - 1] != '.' &&
           prefix.p[start - 1] != '/')
        start--;
    if (start == 0 || prefix.p[start - 1] == '/')
        return STR_NONE;
    return (struct str){prefix.p + start, prefix.n - start};
}

static bool pick_is_quantisation(struct str word)
{
    static const char *const kinds[] = {"Q", "IQ", "TQ", "MXFP", "NVFP", "BF", "F"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct str kind = str_from(kinds[i]);
        if (str_starts_nocase(word, kind) && word.n > kind.n && pick_is_digit(word.p[kind.n]))
            return true;
    }
    return false;
}

struct str pick_tag(struct str path)
{
    struct pick_split split;
    if (!pick_take_apart(path, &split))
        return STR_NONE;
    struct str word = pick_last_word(split.prefix);
    if (!pick_is_quantisation(word))
        return STR_NONE;
    /* Files quantised layer by layer are named UD-Q4_K_XL beside a plain Q4_K_XL. */
    struct str before = {split.prefix.p, split.prefix.n - word.n};
    if (str_ends(before, STR("-UD-")) || str_ends(before, STR(".UD-")) ||
        str_ends(before, STR("/UD-")))
        return (struct str){word.p - 3, word.n + 3};
    return word;
}

/* Is the tag in the path, with "." or "-" behind it? whole: and not in the middle of a word. */
static bool pick_has_tag(struct str path, struct str tag, bool whole)
{
    for (size_t i = 0; tag.n && i + tag.n < path.n; i++) {
        char behind = path.p[i + tag.n];
        char before = i ? path.p[i - 1] : '/';
        if ((behind == '.' || behind == '-') &&
            (!whole || before == '-' || before == '.' || before == '_' || before == '/') &&
            str_eq_nocase((struct str){path.p + i, tag.n}, tag))
            return true;
    }
    return false;
}

bool pick_is_first_part(struct str path)
{
    struct pick_split split;
    return pick_is_model(path) && pick_take_apart(path, &split) && split.index == 1;
}

size_t pick_model(const char *const *path, size_t n, struct str tag)
{
    struct str wanted[] = {tag, tag, STR("Q4_K_M"), STR("Q8_0")};
    size_t first = tag.n ? 0 : 2, end = tag.n ? 2 : 4;
    for (size_t w = first; w < end; w++) {
        for (size_t i = 0; i < n; i++) {
            /* "F16" is found in "BF16" only when there is no F16 itself. */
            if (pick_is_first_part(str_from(path[i])) &&
                pick_has_tag(str_from(path[i]), wanted[w], w == 0))
                return i;
        }
    }
    for (size_t i = 0; i < n && tag.n == 0; i++) {
        if (pick_is_first_part(str_from(path[i])))
            return i;
    }
    return n;
}

bool pick_is_part(struct str first, struct str path, unsigned *ret_index)
{
    struct pick_split a, b;
    if (!pick_take_apart(first, &a) || !pick_take_apart(path, &b) || a.count != b.count ||
        !str_eq(a.prefix, b.prefix))
        return false;
    *ret_index = b.index;
    return true;
}

static bool pick_is_named(struct str path, struct str wanted)
{
    return str_eq_nocase(pick_name(path), wanted);
}

int pick_file(const char *const *path, size_t n, struct str wanted, size_t *ret_index,
              struct gfxb_error *err)
{
    static bool (*const ways[])(struct str a, struct str b) = {str_eq, str_eq_nocase,
                                                               pick_is_named};
    struct buf CLEAN_BUF all = BUF_INIT(1000);
    size_t found = n;
    bool several = false;
    for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]) && found == n; w++) {
        for (size_t i = 0; i < n; i++) {
            if (!ways[w](str_from(path[i]), wanted))
                continue;
            several = several || (found < n && strcmp(path[found], path[i]) != 0);
            found = found < n ? found : i;
            buf_addf(&all, "%s%s", all.n ? ", " : "", path[i]);
        }
    }
    *ret_index = several ? n : found;
    return several ? error_set(err, GFXB_E_MODEL_UNKNOWN,
                               "%.*s can be each of these files: %s. Write the one that you mean "
                               "with its folder, as it stands here.",
                               STR_ARG(wanted), buf_text(&all))
                   : 0;
}

/* Q4_0 -> 4, F16 -> 16; 0 when the name says nothing. */
static int pick_bits(struct str path)
{
    struct pick_split split;
    int bits = 0;
    if (!pick_take_apart(path, &split))
        return 0;
    struct str word = pick_last_word(split.prefix);
    size_t i = 0;
    while (i < word.n && !pick_is_digit(word.p[i]))
        i++;
    for (; i < word.n && pick_is_digit(word.p[i]) && bits < 1000; i++)
        bits = bits * 10 + (word.p[i] - '0');
    return bits;
}

/* The length of the directory part, with its slash. */
static size_t pick_directory(struct str path)
{
    return path.n - pick_name(path).n;
}

size_t pick_projector(const char *const *path, size_t n, struct str model)
{
    size_t best = n, best_directory = 0;
    int best_difference = 0;
    for (size_t i = 0; i < n; i++) {
        struct str candidate = str_from(path[i]);
        size_t directory = pick_directory(candidate);
        if (!str_ends(candidate, PICK_GGUF) || !str_has(candidate, STR("mmproj")) ||
            directory > pick_directory(model) || memcmp(candidate.p, model.p, directory) != 0)
            continue;
        int difference = abs(pick_bits(candidate) - pick_bits(model));
        if (best == n || directory > best_directory ||
            (directory == best_directory && difference < best_difference)) {
            best = i;
            best_directory = directory;
            best_difference = difference;
        }
    }
    return best;
}
