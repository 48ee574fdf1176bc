/*
 * apt.h - engine packages from the distribution's own archive: where the host gets its packages,
 * apt with a root of our own, what must be fetched, and what becomes of it. Private to package/.
 */
#ifndef PACKAGE_APT_APT_H
#define PACKAGE_APT_APT_H

#include "package/package_private.h"

/* ---- deb822.c: Debian's control files: stanzas of "Name: value" lines, separated by blank lines.
 * A line that begins with a blank goes on with the value above it ---- */

/* Cut the next stanza off *rest; false when none is left. */
bool deb822_stanza(struct str *rest, struct str *ret_stanza);

/* A field's value, trimmed, with the newlines of its continuation lines; empty when it is absent.
 * Names are compared without case. */
struct str deb822_field(struct str stanza, const char *name);

/* The bytes without comment lines (those that begin with '#'), which may stand inside a value. */
void deb822_strip_comments(struct str bytes, struct buf *ret);

/* ---- host.c: from a host's apt sources to the archives where its distribution's engine packages
 * can be got: what the user configured (mirror, keys) with another suite ---- */

#define DEBIAN_SUITES_MAX  3
#define DEBIAN_ALIASES_MAX 8

/* A distribution whose archive holds the engine. */
struct debian_distribution {
    const char *id;           /* ID in os-release, and part of the archive's path */
    const char *origin;       /* Origin of its signed Release files */
    const char *codename_key; /* os-release key by which derivatives name its release */
    const char *components;   /* where the engine and all that it needs are */
    const char *suite[DEBIAN_SUITES_MAX + 1];  /* tried in this order */
    const char *alias[DEBIAN_ALIASES_MAX + 1]; /* names of releases beside the codename */
};

/* One "deb" entry of a sources file: views into the text it was read from. */
struct debian_entry {
    struct str uris;       /* blank-separated */
    struct str suites;     /* blank-separated */
    struct str components; /* blank-separated */
    struct str signed_by;  /* as written: paths, fingerprints or a whole key; empty none */
};

/* Reads one sources file. deb822: the format of *.sources; else one line an entry (*.list). bytes
 * are without comment lines (deb822_strip_comments). */
struct debian_reader {
    struct str rest;
    bool deb822;
};

/* The next enabled entry for binary packages; false at the end. Malformed ones are passed over, as
 * apt has already told the user about them. */
bool debian_reader_next(struct debian_reader *reader, struct debian_entry *ret_entry);

/* An archive of the host's distribution. */
struct debian_archive {
    char *uris;
    char *signed_by; /* "" none: the host's common keys */
};

struct debian_host {
    const struct debian_distribution *distribution;
    char codename[64];              /* of the installed release; "" unknown */
    struct debian_archive *archive; /* the likelier ones first */
    size_t n_archives, n_official;
};

/* Read os-release and the apt sources below root. no-package: not Debian or Ubuntu, or no source
 * names their archive. -ENODATA: a capture that does not hold them. */
int debian_host_new(const struct root *root, struct debian_host *ret_host, struct gfxb_error *err);
void debian_host_done(struct debian_host *host);

/* ---- parts.c: what apt says must be fetched: the parts (.deb files) of an engine package ---- */

struct debian_part {
    char *file; /* its name in apt's archives directory */
    char *name; /* of the binary package */
    char *version;
    char sha256[DIGEST_HEX];
    uint64_t size; /* bytes to fetch */
};

struct debian_parts {
    struct debian_part *part; /* in apt's order */
    size_t n;
    uint64_t download_bytes;
    /* Of debian_parts_add_facts: */
    uint64_t installed_bytes;
    char *gfx; /* targets that they are said to hold code for, blank-separated; NULL not said */
};

/* The output of "apt-get install --print-uris" with SHA256 digests. -EBADMSG: a line that is not
 * understood; digest-missing: a part without a SHA-256. */
int debian_parts_parse(struct str text, struct debian_parts *ret_parts, struct gfxb_error *err);
void debian_parts_done(struct debian_parts *parts);

/* What the stanzas that "apt-cache show" gives for the parts say: the sum of Installed-Size, and
 * X-Rocm-Gpu-Architecture of the first that has it. */
void debian_parts_add_facts(struct debian_parts *parts, struct str stanzas);

/* Their names, blank-separated. */
void debian_parts_names(const struct debian_parts *parts, struct buf *ret);

const struct debian_part *debian_parts_find(const struct debian_parts *parts, struct str name);

/* The text whose digest is the package's: the sorted digests of its parts, and the version of the
 * recipe that makes a package of them. */
void debian_parts_identity(const struct debian_parts *parts, unsigned recipe, struct buf *ret);

/* ---- apt.c: apt with a root of our own: its own lists, archives and an empty list of
 * installed packages, but the host's proxies, credentials and keys. Needs no rights and changes
 * nothing on the system. apt verifies signatures and digests ---- */

struct debian_apt {
    const struct package_env *env; /* lent */
    char *dir;                     /* absolute; the root */
    char *conf;                    /* absolute; its apt.conf */
    const char *suite;             /* lent by the distribution's row */
    const char *origin;            /* lent; what the signed Release file must call itself */
};

/* Write the root for one suite of one archive into cache_dir/<suite>. */
int debian_apt_open(const struct package_env *env, const char *cache_dir,
                    const struct debian_host *host, const struct debian_archive *archive,
                    const char *suite, struct debian_apt *ret_apt, struct gfxb_error *err);
void debian_apt_close(struct debian_apt *apt);

/* Fetch the package index; at most once an hour. offline, package-unavailable (no such suite, not
 * signed with a known key, another distribution's), disk-full. */
int debian_apt_update(const struct debian_apt *apt, struct gfxb_error *err);

/* The next debian_apt_update fetches again, however young the index is. */
void debian_apt_forget(const struct debian_apt *apt);

/* "apt-get install --print-uris" for these blank-separated packages: one line a package. */
int debian_apt_closure(const struct debian_apt *apt, struct str packages, struct buf *ret_text,
                       struct gfxb_error *err);

/* "apt-cache show" for these packages: stanzas. */
int debian_apt_show(const struct debian_apt *apt, struct str packages, struct buf *ret_text,
                    struct gfxb_error *err);

/* Download the packages and all that they need into dir/archives, verified. total_bytes is for the
 * progress that the log gets. */
int debian_apt_download(const struct debian_apt *apt, struct str packages, uint64_t total_bytes,
                        struct gfxb_error *err);

/* Compare a part that was downloaded with its digest, and unpack it below dir. digest-mismatch: it
 * changed since, and was removed; disk-full; package-unavailable: damaged. */
int debian_apt_unpack(const struct debian_apt *apt, const struct debian_part *part, const char *dir,
                      struct gfxb_error *err);
/* Remove its file. */
void debian_apt_drop(const struct debian_apt *apt, const struct debian_part *part);

/* ---- recipe.c: from unpacked .deb files to a package that starts from where it is ---- */

/*
 * What the engine in a package is started by. Changes of it change every package's digest: a
 * package made by an older recipe is not taken for the same.
 */
#define DEBIAN_RECIPE 1u

/*
 * Find loader, library directories, executable and backend directory below dir and put them into
 * *package (executable, loader, library_path, backend_dir; owned by it), whose engine is filled.
 * Removes documents and translations but no licences, and changes one thing: the backend directory
 * that is compiled into the engine is made a path that cannot exist, or a host that has the
 * distribution's own backends would have them loaded into this engine, whatever their version.
 * package-unavailable: something is missing; *package then has what was found.
 */
int debian_recipe_apply(const char *dir, struct package *package, struct gfxb_error *err);

#endif
