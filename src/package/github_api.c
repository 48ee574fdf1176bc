#include "package/github_api.h"
#include "package/unpack/arrival.h"

#include <errno.h>
#include <jansson.h>

#define GITHUB_ANSWER_MAX (16u << 20)
#define GITHUB_URL_MAX    8192

int github_asset_parse(struct str url, struct github_asset *ret_asset)
{
    struct github_asset a = {0};
    struct str empty, releases, download;
    struct str *const pieces[] = {&a.scheme, &empty,    &a.host, &a.owner, &a.repository,
                                  &releases, &download, &a.tag,  &a.name};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        if (!str_cut(&url, '/', pieces[i]) || (pieces[i]->n == 0) != (i == 1))
            return -EINVAL;
    }
    if (url.n || !str_is(releases, "releases") || !str_is(download, "download") ||
        (!str_is(a.scheme, "https:") && !str_is(a.scheme, "http:")))
        return -EINVAL;
    *ret_asset = a;
    return 0;
}

static bool github_is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
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
        !github_is_sha256(digest + sizeof(prefix) - 1))
        return error_set(err, GFXB_E_DIGEST_MISSING,
                         "%.*s of %.*s %.*s is published without a sha256: it is not installed, "
                         "since nothing tells whether it arrives unchanged",
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

static int github_api_url(const struct package_env *env, const struct github_asset *asset,
                          char **ret_url, struct gfxb_error *err)
{
    struct buf CLEAN_BUF url = BUF_INIT(GITHUB_URL_MAX);
    struct str base = str_from(env->net ? env->net->github_api : NULL);
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    if (base.n)
        buf_add_str(&url, base);
    else
        buf_addf(&url, "%.*s//api.%.*s", STR_ARG(asset->scheme), STR_ARG(asset->host));
    buf_addf(&url, "/repos/%.*s/%.*s/releases/tags/%.*s", STR_ARG(asset->owner),
             STR_ARG(asset->repository), STR_ARG(asset->tag));
    char *text = buf_take(&url);
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    *ret_url = text;
    return 0;
}

int github_asset_look_up(const struct package_env *env, const struct github_asset *asset,
                         char ret_sha256[static DIGEST_HEX], uint64_t *ret_size,
                         struct gfxb_error *err)
{
    static const char *const headers[] = {"Accept: application/vnd.github+json", NULL};
    struct fetch_config config = arrival_config(env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct buf CLEAN_BUF json = BUF_INIT(GITHUB_ANSWER_MAX);
    char *CLEAN_FREE url = NULL;
    char *CLEAN_FREE what = NULL;
    int r = github_api_url(env, asset, &url, err);
    if (r < 0)
        return r;
    if (asprintf(&what, "the list of files of %.*s %.*s", STR_ARG(asset->repository),
                 STR_ARG(asset->tag)) < 0) {
        what = NULL;
        return error_set(err, ENOMEM, "out of memory");
    }
    struct fetch_request request = {
        .url = url,
        .what = what,
        .headers = headers,
        .token = env->net && env->net->github_token && env->net->github_token[0]
                     ? env->net->github_token
                     : NULL,
    };
    r = fetch_get(&config, &request, &json, &result, err);
    bool is_refused = result.status == 401 || result.status == 403 || result.status == 404;
    if (r < 0 && request.token && is_refused) {
        log_at(env->log, LOG_WARNING,
               "GitHub answers %ld with the token of GITHUB_TOKEN; asking without it",
               result.status);
        request.token = NULL;
        fetch_result_done(&result);
        r = fetch_get(&config, &request, &json, &result, err);
    }
    fetch_result_done(&result);
    if (r < 0)
        return r;
    return github_asset_find(buf_view(&json), asset, ret_sha256, ret_size, err);
}
