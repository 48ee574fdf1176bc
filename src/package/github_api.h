/* github_api.h - what a release says about its files. Private to package/. */
#ifndef PACKAGE_GITHUB_API_H
#define PACKAGE_GITHUB_API_H

#include "package/package.h"

/* https://HOST/OWNER/REPO/releases/download/TAG/NAME, taken apart: views into the URL. */
struct github_asset {
    struct str scheme; /* "https:" */
    struct str host;
    struct str owner;
    struct str repository;
    struct str tag;
    struct str name;
};

/* -EINVAL: not of this form. */
int github_asset_parse(struct str url, struct github_asset *ret_asset);

/* The digest and size (0 unknown) of exactly this file in a release's JSON. package-unavailable:
 * the release does not list it, or this is no such JSON; digest-missing: listed without a sha256.
 */
int github_asset_find(struct str json, const struct github_asset *asset,
                      char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                      struct gfxb_error *err);

/* The same, asked from the API; with the user's token first where there is one. */
int github_asset_look_up(const struct package_env *env, const struct github_asset *asset,
                         char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                         struct gfxb_error *err);

#endif
