#include "package/apt/sources.h"

#include "package/apt/deb822.h"

/* ---- one-line format: deb [ option=value ... ] uri suite component ... ---- */

/* "[ a=b c=d ]" off the front of *line; false when the bracket is never closed. */
static bool debian_line_options(struct str *line, struct str *ret_options)
{
    *line = str_trim(*line);
    *ret_options = STR_NONE;
    if (!line->n || line->p[0] != '[')
        return true;
    const char *end = memchr(line->p, ']', line->n);
    if (!end)
        return false;
    *ret_options = (struct str){line->p + 1, (size_t)(end - line->p) - 1};
    line->n -= (size_t)(end + 1 - line->p);
    line->p = end + 1;
    return true;
}

static struct str debian_line_signed_by(struct str options)
{
    struct str option, key;
    while (str_word(&options, &option)) {
        if (str_cut(&option, '=', &key) && str_eq_nocase(key, STR("signed-by")))
            return option;
    }
    return STR_NONE;
}

static struct str debian_cut_comment(struct str line)
{
    const char *hash = line.n ? memchr(line.p, '#', line.n) : NULL;
    return hash ? (struct str){line.p, (size_t)(hash - line.p)} : line;
}

static bool debian_line_entry(struct str line, struct debian_entry *ret_entry)
{
    struct str type, options;
    line = debian_cut_comment(line);
    if (!str_word(&line, &type) || !str_is(type, "deb") || !debian_line_options(&line, &options))
        return false;
    struct debian_entry entry = {.signed_by = debian_line_signed_by(options)};
    if (!str_word(&line, &entry.uris) || !str_word(&line, &entry.suites))
        return false;
    entry.components = str_trim(line);
    *ret_entry = entry;
    return true;
}

/* ---- deb822 format ---- */

/* What apt takes for "no" (StringToBool). */
static bool debian_is_no(struct str value)
{
    static const char *const no[] = {"no", "false", "without", "off", "disable", "0"};
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        if (str_eq_nocase(value, str_from(no[i])))
            return true;
    }
    return false;
}

static bool debian_stanza_entry(struct str stanza, struct debian_entry *ret_entry)
{
    if (!str_list_has(deb822_field(stanza, "Types"), STR("deb")) ||
        debian_is_no(deb822_field(stanza, "Enabled")))
        return false;
    *ret_entry = (struct debian_entry){
        .uris = deb822_field(stanza, "URIs"),
        .suites = deb822_field(stanza, "Suites"),
        .components = deb822_field(stanza, "Components"),
        .signed_by = deb822_field(stanza, "Signed-By"),
    };
    return ret_entry->uris.n && ret_entry->suites.n;
}

bool debian_reader_next(struct debian_reader *reader, struct debian_entry *ret_entry)
{
    struct str piece;
    while (reader->deb822 ? deb822_stanza(&reader->rest, &piece)
                          : str_cut(&reader->rest, '\n', &piece)) {
        if (reader->deb822 ? debian_stanza_entry(piece, ret_entry)
                           : debian_line_entry(piece, ret_entry))
            return true;
    }
    return false;
}
