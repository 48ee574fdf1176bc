/* host.c - which distribution this computer runs and where it gets its packages. */
#include "package/apt/apt.h"

#include <errno.h>
#include <stdio.h>

#define DEBIAN_FILE_MAX (1u << 20)

static const struct debian_distribution debian_distributions[] = {
    {"debian",
     "Debian",
     "DEBIAN_CODENAME",
     "main",
     {"testing", "unstable"},
     {"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}},
    {"ubuntu", "Ubuntu", "UBUNTU_CODENAME", "main universe", {"devel"}, {"devel"}},
};

#define DEBIAN_DISTRIBUTIONS (sizeof(debian_distributions) / sizeof(debian_distributions[0]))

static const struct debian_distribution *debian_find_distribution(struct str words)
{
    struct str id;
    while (str_word(&words, &id)) {
        for (size_t i = 0; i < DEBIAN_DISTRIBUTIONS; i++) {
            if (str_is(id, debian_distributions[i].id))
                return &debian_distributions[i];
        }
    }
    return NULL;
}

static int debian_read_release(const struct root *root, struct debian_host *host,
                               struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(65536);
    int r = root_read(root, "/etc/os-release", text.max, &text);
    if (r == -ENOENT)
        r = root_read(root, "/usr/lib/os-release", text.max, &text);
    if (r == -ENODATA)
        return error_set(err, ENODATA, "the capture does not hold /etc/os-release");
    host->distribution = debian_find_distribution(package_os_value(buf_view(&text), "ID"));
    if (!host->distribution)
        host->distribution = debian_find_distribution(package_os_value(buf_view(&text), "ID_LIKE"));
    if (!host->distribution)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "this is neither Debian nor Ubuntu, whose archives hold engine packages: "
                         "use another package source (github, file, or system for an installed "
                         "engine)");
    struct str codename = package_os_value(buf_view(&text), host->distribution->codename_key);
    if (!codename.n)
        codename = package_os_value(buf_view(&text), "VERSION_CODENAME");
    if (codename.n < sizeof(host->codename))
        snprintf(host->codename, sizeof(host->codename), "%.*s", STR_ARG(codename));
    return 0;
}

/* Is this a name of a whole release ("bookworm", "stable"), not of an addition to it
 * ("bookworm-security") and not of somebody else's repository? */
static bool debian_is_release(const struct debian_host *host, struct str suite)
{
    if (suite.n && suite.p[suite.n - 1] == '/')
        suite.n--;
    if (host->codename[0] && str_is(suite, host->codename))
        return true;
    for (const char *const *alias = host->distribution->alias; *alias; alias++) {
        if (str_is(suite, *alias))
            return true;
    }
    return false;
}

static bool debian_entry_matches(const struct debian_host *host, const struct debian_entry *entry)
{
    if (!str_list_has(entry->components, STR("main")) || str_starts(entry->uris, STR("cdrom:")))
        return false;
    struct str suites = entry->suites, suite;
    while (str_word(&suites, &suite)) {
        if (debian_is_release(host, suite))
            return true;
    }
    return false;
}

/* Those whose URI holds the distribution's name, as its mirrors do, before the others: some third
 * parties use the same suite names. */
static void debian_add_archive(struct debian_host *host, const struct debian_entry *entry)
{
    bool is_official = str_has(entry->uris, str_from(host->distribution->id));
    for (size_t i = 0; i < host->n_archives; i++) {
        if (str_is(entry->uris, host->archive[i].uris) &&
            str_is(entry->signed_by, host->archive[i].signed_by))
            return;
    }
    host->archive = xreallocarray(host->archive, host->n_archives + 1, sizeof(*host->archive));
    struct debian_archive *at = host->archive + (is_official ? host->n_official : host->n_archives);
    memmove(at + 1, at, (size_t)(host->archive + host->n_archives - at) * sizeof(*at));
    *at = (struct debian_archive){xstr_dup(entry->uris), xstr_dup(entry->signed_by)};
    host->n_official += is_official;
    host->n_archives++;
}

/* ---- one-line format: deb [ option=value ... ] uri suite component ... ---- */

/* "[ a=b c=d ]" off the front of *line; false when the bracket is never closed. */
static bool debian_line_options(struct str *line, struct str *ret_options)
{
    *line = str_trim(*line);
    *ret_options = STR_NONE;
    if (!line->n || line->p[0] != '[')
        return true;
    *line = str_skip(*line, 1);
    return memchr(line->p, ']', line->n) && str_cut(line, ']', ret_options);
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

static bool debian_line_entry(struct str rest, struct debian_entry *ret_entry)
{
    struct str line, type, options;
    if (!str_cut(&rest, '#', &line)) /* behind it is a comment */
        return false;
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

/* ---- the files ---- */

/* The archives that a sources file names. */
static int debian_read_file(const struct root *root, const char *path, struct debian_host *host)
{
    struct buf CLEAN_BUF raw = BUF_INIT(DEBIAN_FILE_MAX);
    struct buf CLEAN_BUF text = BUF_INIT(DEBIAN_FILE_MAX + 2);
    int r = root_read(root, path, DEBIAN_FILE_MAX, &raw);
    if (r < 0)
        return r == -ENODATA ? r : 0; /* unreadable for us: apt cannot either */
    deb822_strip_comments(buf_view(&raw), &text);
    struct debian_reader reader = {buf_view(&text), str_ends(str_from(path), STR(".sources"))};
    struct debian_entry entry;
    while (debian_reader_next(&reader, &entry)) {
        if (debian_entry_matches(host, &entry))
            debian_add_archive(host, &entry);
    }
    return 0;
}

static int debian_read_sources(const struct root *root, struct debian_host *host)
{
    static const char parts[] = "/etc/apt/sources.list.d";
    int r = debian_read_file(root, "/etc/apt/sources.list", host);
    struct root_names names = {NULL, 0};
    r = r ?: root_list(root, parts, &names);
    if (r == -ENOENT)
        return 0;
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        char *CLEAN_FREE path = xfs_join(parts, names.name[i]);
        if (str_ends(str_from(path), STR(".list")) || str_ends(str_from(path), STR(".sources")))
            r = debian_read_file(root, path, host);
    }
    root_names_done(&names);
    return r;
}

int debian_host_new(const struct root *root, struct debian_host *ret_host, struct gfxb_error *err)
{
    struct debian_host host = {0};
    int r = debian_read_release(root, &host, err);
    if (r < 0)
        return r;
    r = debian_read_sources(root, &host);
    if (r < 0)
        r = error_set(err, -r, "cannot read the apt sources: %s", error_errno_text(-r));
    else if (!host.n_archives)
        r = error_set(err, GFXB_E_NO_PACKAGE,
                      "the apt sources of this computer name no %s archive: add one, or use "
                      "another package source (github, file, system)",
                      host.distribution->origin);
    if (r < 0) {
        debian_host_done(&host);
        return r;
    }
    *ret_host = host;
    return 0;
}

void debian_host_done(struct debian_host *host)
{
    for (size_t i = 0; i < host->n_archives; i++) {
        free(host->archive[i].uris);
        free(host->archive[i].signed_by);
    }
    free(host->archive);
    *host = (struct debian_host){0};
}
