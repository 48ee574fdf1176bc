/* From the words that a user has for a model to the one on this disk. */
#include "model/list.h"
#include "model/pick.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static const struct cache_item *find_by_name(const struct caches *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->item[i].name, name) == 0)
            return &c->item[i];
    }
    for (size_t i = 0; i < c->n; i++) {
        if (str_eq_nocase(str_from(c->item[i].name), str_from(name)))
            return &c->item[i];
    }
    return NULL;
}

/* A file of a repository; file empty: what a pull would take for the tag. */
static const struct cache_item *find_in_repository(const struct caches *c, struct str repository,
                                                   struct str file, struct str tag)
{
    const struct cache_item **item = calloc(c->n + 1, sizeof(const struct cache_item *));
    const char **path = calloc(c->n + 1, sizeof(const char *));
    const struct cache_item *found = NULL;
    size_t n = 0;
    for (size_t i = 0; item && path && i < c->n; i++) {
        if (!c->item[i].repository || !c->item[i].file ||
            !str_eq_nocase(str_from(c->item[i].repository), repository))
            continue;
        if (file.n && str_eq_nocase(str_from(c->item[i].file), file) && !found)
            found = &c->item[i];
        item[n] = &c->item[i];
        path[n++] = c->item[i].file;
    }
    if (!file.n && n) {
        size_t picked = pick_model(path, n, tag);
        found = picked < n ? item[picked] : NULL;
    }
    free(item);
    free(path);
    return found;
}

static const struct cache_item *find_listed(const struct caches *c, size_t index)
{
    struct model_knowns knowns;
    if (model_knowns_new(&knowns, NULL) < 0)
        return NULL;
    const struct cache_item *found = NULL;
    if (index < knowns.n)
        found = find_in_repository(c, knowns.item[index].repository, knowns.item[index].file,
                                   knowns.item[index].tag);
    model_knowns_done(&knowns);
    return found;
}

static const struct cache_item *find_ollama(const struct caches *c, const struct model_name *name)
{
    struct str repository = str_from(name->repository);
    struct str host = name->host[0] ? str_from(name->host) : model_hub_host(MODEL_HUB_OLLAMA);
    bool is_short = !name->host[0] && str_starts(repository, STR("library/"));
    char *CLEAN_FREE text = NULL;
    int n = is_short
                ? asprintf(&text, "%s:%s", name->repository + sizeof("library/") - 1, name->tag)
                : asprintf(&text, "%.*s/%s:%s", STR_ARG(host), name->repository, name->tag);
    if (n < 0) {
        text = NULL;
        return NULL;
    }
    return find_by_name(c, text);
}

const struct cache_item *list_match(const struct caches *c, const char *text)
{
    struct model_name name;
    const struct cache_item *found = find_by_name(c, text);
    if (found || model_name_parse(text, &name, NULL) < 0)
        return found;
    switch (name.kind) {
    case MODEL_NAME_LISTED:
        return find_listed(c, name.known);
    case MODEL_NAME_HUB:
        return find_in_repository(c, str_from(name.repository), str_from(name.file),
                                  str_from(name.tag));
    case MODEL_NAME_OLLAMA:
        return find_ollama(c, &name);
    default:
        return NULL;
    }
}

/* Links stay as they are: parts of a split model are found by the name beside it. */
static char *find_absolute(const char *path)
{
    char *CLEAN_FREE here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    if (path[0] == '/')
        return strdup(path);
    return here ? fs_join(here, path) : NULL;
}

/* A file that was named by its path. */
static int find_file(const struct model_env *env, const char *path, struct model *ret_model,
                     struct gfxb_error *err)
{
    static const struct model_knowns none = {NULL, 0};
    struct stat st;
    if (stat(path, &st) < 0)
        return error_set(err, errno, "cannot read the model %s: %s", path, error_errno_text(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "the model %s is no file: give a GGUF file", path);
    struct gfxb_error ignored = {0};
    if (list_find_path(env, path, ret_model, &ignored) == 0)
        return 0;
    const char *slash = strrchr(path, '/');
    struct str base = str_from(slash ? slash + 1 : path);
    struct pick_split split;
    struct cache_item item = {.origin = MODEL_LOCAL,
                              .name = str_dup(pick_take_apart(base, &split) ? split.prefix : base),
                              .path = find_absolute(path),
                              .modified = (int64_t)st.st_mtim.tv_sec};
    int r = item.name && item.path ? list_fill(&item, &none, ret_model, err)
                                   : error_set(err, ENOMEM, "out of memory");
    cache_item_done(&item);
    return r;
}

/* ---- nothing of that name ---- */

static const char *find_name_at(const void *context, size_t i)
{
    return ((const struct caches *)context)->item[i].name;
}

/* A bare word is most likely a misspelt name: that some registry could have it is no advice. */
static bool find_is_bare(const struct model_name *name, const char *text)
{
    return name->kind == MODEL_NAME_OLLAMA && !strpbrk(text, ":/");
}

static int find_unknown(const char *text, const char *nearest, struct gfxb_error *err)
{
    struct model_knowns knowns;
    char near[300];
    int r = model_knowns_new(&knowns, err);
    if (r < 0)
        return r;
    model_name_nearest_known(&knowns, text, near, sizeof(near));
    model_knowns_done(&knowns);
    return error_set(err, GFXB_E_MODEL_UNKNOWN,
                     "no such model: %s; gfxbridge list and gfxbridge list --available name those "
                     "there are%s%s%s%s",
                     text, nearest[0] ? "; here are " : "", nearest,
                     near[0] ? "; to be pulled are " : "", near);
}

int list_nothing(const struct caches *c, const char *text, struct gfxb_error *err)
{
    struct model_name name;
    char nearest[400];
    int r = model_name_parse(text, &name, err);
    if (r < 0)
        return r;
    model_name_nearest(text, c->n, find_name_at, c, nearest, sizeof(nearest));
    if (find_is_bare(&name, text))
        return find_unknown(text, nearest, err);
    return error_set(err, GFXB_E_MODEL_UNKNOWN,
                     "the model %s is not on this computer: gfxbridge pull %s brings it%s%s", text,
                     text, nearest[0] ? "; here are " : "", nearest);
}

int model_find(const struct model_env *env, const char *name, struct model *ret_model,
               struct gfxb_error *err)
{
    struct caches c;
    struct model_knowns knowns;
    struct model_name parsed;
    if (model_name_parse(name, &parsed, NULL) == 0 && parsed.kind == MODEL_NAME_FILE)
        return find_file(env, parsed.file, ret_model, err);
    int r = caches_new(env, &c, err);
    if (r < 0)
        return r;
    const struct cache_item *item = list_match(&c, name);
    if (!item) {
        r = list_nothing(&c, name, err);
    } else {
        r = model_knowns_new(&knowns, err);
        if (r == 0) {
            r = list_fill(item, &knowns, ret_model, err);
            model_knowns_done(&knowns);
        }
    }
    caches_done(&c);
    return r;
}
