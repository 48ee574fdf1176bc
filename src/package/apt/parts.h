/* parts.h - what apt says must be fetched: the parts (.deb files) of an engine package.
 * Private to package/. */
#ifndef PACKAGE_APT_PARTS_H
#define PACKAGE_APT_PARTS_H

#include "base/base.h"
#include "base/digest.h"

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
    char
        *gfx; /* targets that the parts are said to hold code for, blank-separated; NULL not said */
};

/* The output of "apt-get install --print-uris" with SHA256 digests. -EBADMSG: a line that is not
 * understood; digest-missing: a part without a SHA-256. */
int debian_parts_parse(struct str text, struct debian_parts *ret_parts, struct gfxb_error *err);
void debian_parts_done(struct debian_parts *parts);

/* What the stanzas that "apt-cache show" gives for the parts say: the sum of Installed-Size, and
 * X-Rocm-Gpu-Architecture of the first that has it. -ENOMEM. */
int debian_parts_add_facts(struct debian_parts *parts, struct str stanzas);

/* Their names, blank-separated. */
void debian_parts_names(const struct debian_parts *parts, struct buf *ret);

const struct debian_part *debian_parts_find(const struct debian_parts *parts, struct str name);

/* The package's digest: over the sorted digests of its parts and the version of the recipe that
 * makes a package of them. */
int debian_parts_digest(const struct debian_parts *parts, unsigned recipe,
                        char ret_hex[static DIGEST_HEX]);

/* Is the upstream version ("2.43-7") lower than one such as "2.36"? Only the first two numbers
 * count; false when either cannot be read. */
bool debian_version_below(const char *version, const char *other);

#endif
