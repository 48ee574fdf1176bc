/*
 * sources.h - from a host's apt sources to the archives where its distribution's engine
 * packages can be got: what the user configured (mirror, keys) with another suite. Private to
 * package/.
 */
#ifndef PACKAGE_APT_SOURCES_H
#define PACKAGE_APT_SOURCES_H

#include "base/base.h"
#include "sysroot/sysroot.h"

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
    size_t n_archives;
};

/* Read os-release and the apt sources below root. no-package: not Debian or Ubuntu, or no source
 * names their archive. -ENODATA: a capture that does not hold them. */
int debian_host_new(const struct root *root, struct debian_host *ret_host, struct gfxb_error *err);
void debian_host_done(struct debian_host *host);

#endif
