/* Which distribution this computer runs and where it gets its packages. */
#include "package/apt/sources.h"

#include "package/apt/deb822.h"
#include "sysroot/sysroot.h"

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

/* KEY=value or KEY="value" of os-release; empty when absent. */
static struct str debian_os_value(struct str text, const char *key)
{
    struct str line, name;
    while (str_cut(&text, '\n', &line)) {
        if (!str_cut(&line, '=', &name) || !str_is(str_trim(name), key))
            continue;
        line = str_trim(line);
        if (line.n >= 2 && (line.p[0] == '"' || line.p[0] == '\'') &&
            line.p[line.n - 1] == line.p[0])
            line = (struct str){line.p + 1, line.n - 2};
        return line;
    }
    return STR_NONE;
}

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
    host->distribution = debian_find_distribution(debian_os_value(buf_view(&text), "ID"));
    if (!host->distribution)
        host->distribution = debian_find_distribution(debian_os_value(buf_view(&text), "ID_LIKE"));
    if (!host->distribution)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "this is neither Debian nor Ubuntu, whose archives hold engine packages: "
                         "use another package source (github, file, or system for an installed "
                         "engine)");
    struct str codename = debian_os_value(buf_view(&text), host->distribution->codename_key);
    if (!codename.n)
        codename = debian_os_value(buf_view(&text), "VERSION_CODENAME");
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

static int debian_add_archive(struct debian_host *host, const struct debian_entry *entry)
{
    for (size_t i = 0; i < host->n_archives; i++) {
        if (str_is(entry->uris, host->archive[i].uris) &&
            str_is(entry->signed_by, host->archive[i].signed_by))
            return 0;
    }
    struct debian_archive *grown =
        reallocarray(host->archive, host->n_archives + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    host->archive = grown;
    struct debian_archive archive = {str_dup(entry->uris), str_dup(entry->signed_by)};
    host->archive[host->n_archives++] = archive;
    return archive.uris && archive.signed_by ? 0 : -ENOMEM;
}

/* The archives that a sources file names. official: only those whose URI holds the distribution's
 * name, as its mirrors do; else only the others (some third parties use the same suite names). */
static int debian_read_file(const struct root *root, const char *path, bool official,
                            struct debian_host *host)
{
    struct buf CLEAN_BUF raw = BUF_INIT(DEBIAN_FILE_MAX);
    struct buf CLEAN_BUF text = BUF_INIT(DEBIAN_FILE_MAX + 2);
    int r = root_read(root, path, DEBIAN_FILE_MAX, &raw);
    if (r < 0)
        return r == -ENODATA || r == -ENOMEM ? r : 0; /* unreadable for us: apt cannot either */
    deb822_strip_comments(buf_view(&raw), &text);
    struct debian_reader reader = {buf_view(&text), str_ends(str_from(path), STR(".sources"))};
    struct debian_entry entry;
    while (r == 0 && debian_reader_next(&reader, &entry)) {
        if (debian_entry_matches(host, &entry) &&
            str_has(entry.uris, str_from(host->distribution->id)) == official)
            r = debian_add_archive(host, &entry);
    }
    return r;
}

/* Names that apt reads: *.list and *.sources. */
static bool debian_is_sources_name(const char *name)
{
    struct str s = str_from(name);
    return str_ends(s, STR(".list")) || str_ends(s, STR(".sources"));
}

static int debian_read_sources(const struct root *root, bool official, struct debian_host *host)
{
    static const char parts[] = "/etc/apt/sources.list.d";
    int r = debian_read_file(root, "/etc/apt/sources.list", official, host);
    struct root_names names = {NULL, 0};
    if (r == 0)
        r = root_list(root, parts, &names);
    if (r == -ENOENT)
        return 0;
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        char *CLEAN_FREE path = fs_join(parts, names.name[i]);
        if (!path)
            r = -ENOMEM;
        else if (debian_is_sources_name(path))
            r = debian_read_file(root, path, official, host);
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
    r = debian_read_sources(root, true, &host);
    if (r == 0)
        r = debian_read_sources(root, false, &host);
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
