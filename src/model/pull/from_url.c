/* from_url.c - from a plain URL with a digest into a directory of ours. */
#include "model/pull/pull.h"

#include <errno.h>
#include <stdio.h>

/* "name.gguf" at the end of a URL, without a query: also the model's name, without its ending. */
static int pull_url_name(const char *url, char **ret_file, char **ret_name, struct gfxb_error *err)
{
    size_t n = strcspn(url, "?#");
    const char *slash = memrchr(url, '/', n);
    struct str file = slash ? (struct str){slash + 1, n - (size_t)(slash + 1 - url)} : STR_NONE;
    struct pick_split split;
    if (!pick_is_safe(file) || !pick_take_apart(file, &split) || split.count > 1)
        return error_set(err, EINVAL,
                         "%s is no single GGUF file: the last part of the URL's path ends in .gguf",
                         url);
    char *CLEAN_FREE name = xstr_dup(split.prefix);
    if (!model_name_is_plain(name))
        return error_set(err, EINVAL, "\"%s\" cannot be a model's name: letters, digits and -._",
                         name);
    *ret_file = xstr_dup(file);
    *ret_name = name;
    name = NULL;
    return 0;
}

int pull_url(const struct model_env *env, const char *text, const struct model_name *name,
             struct model *ret_model, struct gfxb_error *err)
{
    struct pull p = {.env = env, .name = text, .sha256 = name->sha256, .n = 1};
    char digest[DIGEST_HEX];
    char *CLEAN_FREE file = NULL;
    char *CLEAN_FREE model = NULL;
    char *CLEAN_FREE parts = NULL;
    int r = pull_url_name(name->file, &file, &model, err);
    if (r < 0)
        return r;
    p.file = file;
    char *CLEAN_FREE local = stock_path(env, STOCK_LOCAL);
    char *CLEAN_FREE dir = xfs_join(local, model);
    stock_read_digest(dir, digest);
    if (strcmp(digest, name->sha256) != 0) { /* else it is here already */
        r = stock_make(env, STOCK_PARTS, &parts, err);
        if (r < 0)
            return r;
        char *CLEAN_FREE part = xasprintf("%s/%s.gguf", parts, name->sha256);
        struct fetch_request request = {.url = name->file,
                                        .what = file,
                                        .sha256 = name->sha256,
                                        .path = part,
                                        .progress = pull_show};
        struct import what = {.file = part, .as = file, .name = model};
        r = pull_fetch(&p, &request, NULL, err)
                ?: pull_check_file(part, err)
                ?: import_local(&p, &what, err);
        if (r == 0)
            unlink(part); /* else it is not lost for a name that is taken */
    }
    char *CLEAN_FREE path = xfs_join(dir, file);
    return r < 0 ? r : pull_finish(env, path, ret_model, err);
}
