/* hub.c - what the Hugging Face hub answers: a repository's files, the next page of their list. */
#include "model/pull/pull.h"

#include <errno.h>
#include <jansson.h>

#define HUB_FILES_MAX 100000
#define HUB_API       "/api/models/"
#define HUB_SIZE_MAX  (1ll << 50) /* of a file; nothing real is near */

void hub_tree_done(struct hub_tree *tree)
{
    for (size_t i = 0; i < tree->n; i++)
        free(tree->file[i].path);
    free(tree->file);
    *tree = (struct hub_tree){.file = NULL};
}

static json_t *hub_load(struct str json)
{
    return json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);
}

int hub_info_parse(struct str json, char ret_commit[static HUB_COMMIT], char *repository,
                   struct gfxb_error *err)
{
    json_t *info = hub_load(json);
    const char *name = json_string_value(json_object_get(info, "id"));
    const char *commit = json_string_value(json_object_get(info, "sha"));
    int r = 0;
    if (hub_is_hex(commit, HUB_COMMIT - 1))
        memcpy(ret_commit, commit, HUB_COMMIT);
    else
        r = error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                      "the answer is not that of a model hub: it names no commit");
    if (r == 0 && str_eq_nocase(str_from(name), str_from(repository)))
        memcpy(repository, name, strlen(name));
    json_decref(info);
    return r;
}

/* 1: a GGUF file; 0: something else; -EINVAL: one that cannot be taken. */
static int hub_file_parse(const json_t *entry, struct hub_file *ret_file)
{
    const char *type = json_string_value(json_object_get(entry, "type"));
    const char *path = json_string_value(json_object_get(entry, "path"));
    const json_t *lfs = json_object_get(entry, "lfs");
    const json_t *holder = json_is_object(lfs) ? lfs : entry;
    const char *oid = json_string_value(json_object_get(holder, "oid"));
    const char *xet = json_string_value(json_object_get(entry, "xetHash"));
    json_int_t size = json_integer_value(json_object_get(holder, "size"));
    struct hub_file file = {.lfs = json_is_object(lfs)};
    if (!type || strcmp(type, "file") != 0 || !path || !str_ends(str_from(path), STR(".gguf")))
        return 0;
    if (!pick_is_safe(str_from(path)) || !hub_is_hex(oid, file.lfs ? 64 : 40) || size < 0 ||
        size > HUB_SIZE_MAX)
        return -EINVAL;
    memcpy(file.etag, oid, strlen(oid) + 1);
    if (hub_is_hex(xet, 64))
        memcpy(file.xet, xet, DIGEST_HEX);
    file.size = (uint64_t)size;
    file.path = xstrdup(path);
    *ret_file = file;
    return 1;
}

static void hub_tree_add_entry(struct hub_tree *tree, const json_t *entry)
{
    struct hub_file file;
    int r = hub_file_parse(entry, &file);
    tree->refused += r == -EINVAL;
    if (r <= 0)
        return;
    tree->file = xreallocarray(tree->file, tree->n + 1, sizeof(*tree->file));
    tree->file[tree->n++] = file;
}

int hub_tree_add(struct hub_tree *tree, struct str json, struct gfxb_error *err)
{
    json_t *page = hub_load(json);
    int r = 0;
    if (!json_is_array(page))
        r = error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                      "the answer is not that of a model hub: it lists no files");
    for (size_t i = 0; r == 0 && i < json_array_size(page); i++) {
        if (tree->n >= HUB_FILES_MAX)
            r = error_set(err, GFXB_E_MODEL_UNAVAILABLE, "more than %d files in one repository",
                          HUB_FILES_MAX);
        else
            hub_tree_add_entry(tree, json_array_get(page, i));
    }
    json_decref(page);
    return r;
}

static int hub_file_compare(const void *a, const void *b)
{
    return strcmp(((const struct hub_file *)a)->path, ((const struct hub_file *)b)->path);
}

void hub_tree_sort(struct hub_tree *tree)
{
    if (tree->n)
        qsort(tree->file, tree->n, sizeof(*tree->file), hub_file_compare);
    size_t kept = 0;
    for (size_t i = 0; i < tree->n; i++) {
        if (kept && strcmp(tree->file[kept - 1].path, tree->file[i].path) == 0)
            free(tree->file[i].path); /* pages may overlap */
        else
            tree->file[kept++] = tree->file[i];
    }
    tree->n = kept;
}

/* A page's URL, below the base in any case. A mirror may hand on the hub's own links. */
static char *hub_page_url(struct str url, const char *base)
{
    struct str begins = str_from(base);
    if (url.n > HUB_URL_MAX)
        return NULL;
    if (str_starts(url, begins) && url.n > begins.n && url.p[begins.n] == '/')
        return xstr_dup(url);
    const char *api = url.n ? memmem(url.p, url.n, HUB_API, sizeof(HUB_API) - 1) : NULL;
    return api ? xasprintf("%s%.*s", base, (int)(url.n - (size_t)(api - url.p)), api) : NULL;
}

char *hub_next_page(struct str link, const char *base)
{
    struct str item, part, url;
    while (str_cut(&link, ',', &item)) {
        bool is_next = false;
        if (!str_cut(&item, ';', &part))
            continue;
        url = str_trim(part);
        while (str_cut(&item, ';', &part))
            is_next = is_next || str_eq_nocase(str_trim(part), STR("rel=\"next\"")) ||
                      str_eq_nocase(str_trim(part), STR("rel=next"));
        if (is_next && url.n > 2 && url.p[0] == '<' && url.p[url.n - 1] == '>')
            return hub_page_url((struct str){url.p + 1, url.n - 2}, base);
    }
    return NULL;
}

void hub_etag_plain(struct str value, char *ret_etag, size_t size)
{
    value = str_trim(value);
    if (str_starts(value, STR("W/"))) {
        value.p += 2;
        value.n -= 2;
    }
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
        value = (struct str){value.p + 1, value.n - 2};
    if (value.n >= size)
        value.n = 0;
    if (value.n)
        memcpy(ret_etag, value.p, value.n);
    ret_etag[value.n] = '\0';
}

void hub_add_path(struct buf *url, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~/";
    for (; *path; path++) {
        if (strchr(plain, *path))
            buf_add_char(url, *path);
        else
            buf_addf(url, "%%%02X", (unsigned)(unsigned char)*path);
    }
}
