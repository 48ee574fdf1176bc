/* github_api.c - what a GitHub release says about its files: the digest that must come out. */
#include "package/package_private.h"

#include <jansson.h>

#define GITHUB_ANSWER_MAX (16u << 20)

bool github_asset_parse(struct str url, struct github_asset *ret_asset)
{
    struct github_asset a = {0};
    struct str empty, releases, download;
    struct str *const pieces[] = {&a.scheme, &empty,    &a.host, &a.owner, &a.repository,
                                  &releases, &download, &a.tag,  &a.name};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        if (!str_cut(&url, '/', pieces[i]) || (pieces[i]->n == 0) != (i == 1))
            return false;
    }
    if (url.n || !str_is(releases, "releases") || !str_is(download, "download") ||
        (!str_is(a.scheme, "https:") && !str_is(a.scheme, "http:")))
        return false;
    *ret_asset = a;
    return true;
}

static int github_take_digest(const json_t *file, const struct github_asset *asset,
                              char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                              struct gfxb_error *err)
{
    static const char prefix[] = "sha256:";
    const char *digest = json_string_value(json_object_get(file, "digest"));
    const char *state = json_string_value(json_object_get(file, "state"));
    json_int_t size = json_integer_value(json_object_get(file, "size"));
    if (state && strcmp(state, "uploaded") != 0)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%.*s of %.*s %.*s is not uploaded completely", STR_ARG(asset->name),
                         STR_ARG(asset->repository), STR_ARG(asset->tag));
    if (!digest || strncmp(digest, prefix, sizeof(prefix) - 1) != 0 ||
        !package_is_digest(str_from(digest + sizeof(prefix) - 1)))
        return error_set(err, GFXB_E_DIGEST_MISSING,
                         "%.*s of %.*s %.*s is published without a sha256: it is not installed, "
                         "because the download could not be verified",
                         STR_ARG(asset->name), STR_ARG(asset->repository), STR_ARG(asset->tag));
    memcpy(ret_sha256, digest + sizeof(prefix) - 1, DIGEST_HEX);
    *ret_size = size > 0 ? (uint64_t)size : 0;
    return 0;
}

int github_asset_find(struct str json, const struct github_asset *asset,
                      char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                      struct gfxb_error *err)
{
    json_t *release = json_loadb(json.p ? json.p : "", json.n, 0, NULL);
    const json_t *files = json_object_get(release, "assets");
    if (!json_is_array(files)) {
        json_decref(release);
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "the answer about %.*s %.*s is not that of GitHub's API",
                         STR_ARG(asset->repository), STR_ARG(asset->tag));
    }
    int r = error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                      "the release %.*s of %.*s/%.*s has no file %.*s among its %zu",
                      STR_ARG(asset->tag), STR_ARG(asset->owner), STR_ARG(asset->repository),
                      STR_ARG(asset->name), json_array_size(files));
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "name"));
        if (!name || !str_is(asset->name, name))
            continue;
        r = github_take_digest(file, asset, ret_sha256, ret_size, err);
        break;
    }
    json_decref(release);
    return r;
}

/* GFXBRIDGE_GITHUB_API stands for https://api.HOST. */
static char *github_api_url(const struct package_env *env, const struct github_asset *asset)
{
    struct str base = str_trim_end(str_from(package_setting(env, "GFXBRIDGE_GITHUB_API")), '/');
    char *CLEAN_FREE host =
        base.n ? xstr_dup(base)
               : xasprintf("%.*s//api.%.*s", STR_ARG(asset->scheme), STR_ARG(asset->host));
    return xasprintf("%s/repos/%.*s/%.*s/releases/tags/%.*s", host, STR_ARG(asset->owner),
                     STR_ARG(asset->repository), STR_ARG(asset->tag));
}

int github_asset_look_up(const struct package_env *env, const struct github_asset *asset,
                         char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                         struct gfxb_error *err)
{
    static const char *const headers[] = {"Accept: application/vnd.github+json", NULL};
    const char *token = package_setting(env, "GITHUB_TOKEN");
    struct fetch_config config = package_fetch_config(env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct buf CLEAN_BUF json = BUF_INIT(GITHUB_ANSWER_MAX);
    char *CLEAN_FREE url = github_api_url(env, asset);
    char *CLEAN_FREE what = xasprintf("the list of files of %.*s %.*s", STR_ARG(asset->repository),
                                      STR_ARG(asset->tag));
    struct fetch_request request = {.url = url,
                                    .what = what,
                                    .headers = headers,
                                    .token = token ? token : package_setting(env, "GH_TOKEN")};
    int r = fetch_get(&config, &request, &json, &result, err);
    bool is_refused = result.status == 401 || result.status == 403 || result.status == 404;
    if (r < 0 && request.token && is_refused) {
        log_at(env->log, LOG_WARNING,
               "GitHub answers %ld with the token of GITHUB_TOKEN; asking without it",
               result.status);
        request.token = NULL;
        r = fetch_get(&config, &request, &json, &result, err);
    }
    if (r < 0 && result.limited && !request.token) {
        struct gfxb_error why = *err;
        return error_set(err, why.code, "%s; a token in GITHUB_TOKEN raises GitHub's limit",
                         why.text);
    }
    return r < 0 ? r : github_asset_find(buf_view(&json), asset, ret_sha256, ret_size, err);
}
