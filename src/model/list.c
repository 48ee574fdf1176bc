/* list.c - from the files found on this disk to models, and from a user's words to one of them. */
#include "model/model_private.h"

#include <errno.h>
#include <sys/stat.h>

const char *model_origin_name(enum model_origin origin)
{
    static const char *const name[MODEL_ORIGINS] = {
        [MODEL_BUILTIN] = "builtin",   [MODEL_HUB] = "hub",           [MODEL_OLLAMA] = "ollama",
        [MODEL_LMSTUDIO] = "lmstudio", [MODEL_LLAMACPP] = "llamacpp", [MODEL_LEMONADE] = "lemonade",
        [MODEL_LOCAL] = "local",
    };
    return name[origin];
}

const char *model_task_name(enum model_task task)
{
    static const char *const name[MODEL_TASKS] = {
        [MODEL_CHAT] = "chat",
        [MODEL_COMPLETION] = "completion",
        [MODEL_EMBEDDING] = "embedding",
        [MODEL_RERANKING] = "reranking",
    };
    return name[task];
}

const char *model_shown(const struct model *model)
{
    return model->alias ? model->alias : model->name;
}

void model_copy(const struct model *model, struct model *ret_copy)
{
    char **const texts[] = {&ret_copy->name,     &ret_copy->alias,   &ret_copy->path,
                            &ret_copy->mmproj,   &ret_copy->digest,  &ret_copy->repository,
                            &ret_copy->revision, &ret_copy->licence, &ret_copy->labels,
                            &ret_copy->file};
    *ret_copy = *model;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = xstrdup_or_null(*texts[i]);
}

void model_done(struct model *model)
{
    free(model->name);
    free(model->alias);
    free(model->path);
    free(model->mmproj);
    free(model->digest);
    free(model->repository);
    free(model->revision);
    free(model->licence);
    free(model->labels);
    free(model->file);
    *model = (struct model){.name = NULL};
}

/* ---- headers and labels ---- */

/* The row of the short list that means exactly this file. */
static const struct model_known *list_row(const struct model *item)
{
    const struct model_knowns *all = model_knowns();
    for (size_t i = 0; item->repository && item->file && i < all->n; i++) {
        if (str_eq_nocase(all->item[i].repository, str_from(item->repository)) &&
            str_is(all->item[i].file, item->file))
            return &all->item[i];
    }
    return NULL;
}

/* What a file says about itself, in the words of the short list. */
static char *list_labels(const struct model *item, const struct gguf *gguf)
{
    enum model_task task = item->task;
    struct buf CLEAN_BUF labels = BUF_INIT(256);
    const char *template = gguf->template ? gguf->template : "";
    buf_add_text(&labels, task == MODEL_COMPLETION ? "" : model_task_name(task));
    if (item->mmproj)
        buf_addf(&labels, "%svision", labels.n ? " " : "");
    if (task == MODEL_CHAT && strstr(template, "tool"))
        buf_add_text(&labels, " tools");
    if (task == MODEL_CHAT && strstr(template, "<think>"))
        buf_add_text(&labels, " reasoning");
    return xbuf_take(&labels);
}

/* Complete an item by its header. Fails for what no engine runs. */
static int list_fill(struct model *item, struct gfxb_error *err)
{
    const struct model_known *row = list_row(item);
    struct gguf gguf = {.kind = GGUF_OTHER};
    int r = gguf_read(item->path, &gguf, err) ?: gguf_require_model(&gguf, item->path, err);
    if (r == 0) {
        /* A name that got its origin before it stays: the listed one is somebody else's here. */
        if (row && str_starts(str_from(item->name), str_from(item->repository))) {
            free(item->name);
            item->name = xstr_dup(row->name);
        }
        item->task = row ? row->task : model_gguf_task(&gguf);
        item->bytes = item->bytes ? item->bytes : gguf.bytes;
        item->licence =
            row && row->licence.n ? xstr_dup(row->licence) : xstrdup_or_null(gguf.licence);
        item->labels = row ? xstr_dup(row->labels) : list_labels(item, &gguf);
    }
    gguf_done(&gguf);
    return r;
}

/* The same, and hand it over. */
static int list_take(struct model *item, struct model *ret_model, struct gfxb_error *err)
{
    int r = list_fill(item, err);
    if (r == 0) {
        *ret_model = *item;
        *item = (struct model){.name = NULL};
    }
    return r;
}

/* ---- all of them ---- */

static int list_compare(const void *a, const void *b)
{
    return strcmp(((const struct model *)a)->name, ((const struct model *)b)->name);
}

void list_sort(struct model_list *list)
{
    if (list->n)
        qsort(list->item, list->n, sizeof(*list->item), list_compare);
}

void model_list_done(struct model_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        model_done(&list->item[i]);
    free(list->item);
    *list = (struct model_list){NULL, 0};
}

void model_list_new(const struct model_env *env, struct model_list *ret_list)
{
    struct model_list list;
    size_t n = 0;
    caches_find(env, &list);
    for (size_t i = 0; i < list.n; i++) {
        struct gfxb_error why = {0};
        struct model item = list.item[i];
        if (list_fill(&item, &why) == 0) {
            list.item[n++] = item;
            continue;
        }
        log_at(env->log, LOG_DEBUG, "not listed: %s: %s", item.path, why.text);
        model_done(&item);
    }
    list.n = n;
    list_sort(&list);
    *ret_list = list;
}

/* Both layouts hold it beside what it names: .../snapshots/COMMIT/FILE and .../blobs/sha256-HEX. */
char *model_named_by(const struct model *model)
{
    char *CLEAN_FREE place = model->revision ? xasprintf("/snapshots/%s/", model->revision)
                             : model->origin == MODEL_OLLAMA ? xstrdup("/blobs/sha256-")
                                                             : NULL;
    const char *below = place ? strstr(model->path, place) : NULL;
    if (!below)
        return NULL;
    return xasprintf("%.*s%s%s", (int)(below - model->path), model->path,
                     model->revision ? "/refs/main" : "/manifests/",
                     model->revision ? "" : model->file);
}

int list_find_path(const struct model_env *env, const char *path, struct model *ret_model,
                   struct gfxb_error *err)
{
    struct model_list list;
    struct model *found = NULL;
    struct stat st;
    caches_find(env, &list);
    /* By its very path first: the same file may have other names elsewhere. */
    for (size_t i = 0; !found && i < list.n; i++)
        found = strcmp(list.item[i].path, path) == 0 ? &list.item[i] : NULL;
    for (size_t i = 0; !found && stat(path, &st) == 0 && i < list.n; i++) {
        if (list.item[i].inode == st.st_ino && list.item[i].device == st.st_dev)
            found = &list.item[i];
    }
    int r = found ? list_take(found, ret_model, err)
                  : error_set(err, ENOENT, "%s is in none of the places where models are", path);
    model_list_done(&list);
    return r;
}

/* ---- from a user's words to one of them ---- */

/* The one item of this name; NULL: none, or several. */
static struct model *find_by_name(const struct model_list *list, const char *name,
                                  bool (*is_same)(struct str a, struct str b))
{
    struct model *found = NULL;
    for (size_t i = 0; i < list->n; i++) {
        if (!is_same(str_from(list->item[i].name), str_from(name)))
            continue;
        if (found)
            return NULL;
        found = &list->item[i];
    }
    return found;
}

/* A file of a repository, also without its folder; file empty: what a pull would take for the tag.
 * An error: several files have this name. */
static struct model *find_in_repository(const struct model_list *list, struct str repository,
                                        struct str file, struct str tag, struct gfxb_error *err)
{
    struct model **CLEAN_FREE item = xcalloc(list->n, sizeof(*item));
    const char **CLEAN_FREE path = xcalloc(list->n, sizeof(*path));
    size_t n = 0, picked;
    for (size_t i = 0; i < list->n; i++) {
        struct model *at = &list->item[i];
        if (!at->repository || !at->file || !str_eq_nocase(str_from(at->repository), repository))
            continue;
        item[n] = at;
        path[n++] = at->file;
    }
    if (file.n)
        (void)pick_file(path, n, file, &picked, err);
    else
        picked = pick_model(path, n, tag);
    return picked < n ? item[picked] : NULL;
}

/* By its manifest: models of other origins may have such names, or have taken the name itself. */
static struct model *find_ollama(const struct model_list *list, const struct model_name *name)
{
    char *CLEAN_FREE file = xasprintf("%.*s/%s/%s", STR_ARG(model_hub_host(MODEL_HUB_OLLAMA)),
                                      name->repository, name->tag);
    struct model *found = NULL;
    for (size_t i = 0; i < list->n; i++) {
        struct model *at = &list->item[i];
        if (at->origin != MODEL_OLLAMA || !str_eq_nocase(str_from(at->file), str_from(file)))
            continue;
        if (found && strcmp(found->file, at->file) != 0)
            return NULL; /* they differ in case */
        /* Of two stores: the one whose name has no origin before it. */
        if (!found || strlen(at->name) < strlen(found->name))
            found = at;
    }
    return found;
}

static struct model *find_parsed(const struct model_list *list, const struct model_name *name,
                                 struct gfxb_error *err)
{
    switch (name->kind) {
    case MODEL_NAME_LISTED:
        return find_in_repository(list, name->known->repository, name->known->file,
                                  name->known->tag, err);
    case MODEL_NAME_HUB:
        return find_in_repository(list, str_from(name->repository), str_from(name->file),
                                  str_from(name->tag), err);
    case MODEL_NAME_OLLAMA:
        return find_ollama(list, name);
    default:
        return NULL;
    }
}

/* First the name as it stands: others may differ in case only. */
struct model *list_match(const struct model_list *list, const char *text)
{
    struct model_name name;
    struct model *found = find_by_name(list, text, str_eq);
    if (!found)
        found = find_by_name(list, text, str_eq_nocase);
    if (!found && model_name_parse(text, &name, NULL) == 0)
        found = find_parsed(list, &name, NULL);
    if (!found)
        found = find_by_name(list, text, model_name_same);
    /* Lemonade's clients name what a user added so. */
    return found || !str_starts_nocase(str_from(text), STR("user.")) ? found
                                                                     : list_match(list, text + 5);
}

/* A file that was named by its path. */
static int find_file(const struct model_env *env, const char *path, struct model *ret_model,
                     struct gfxb_error *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return fs_error(err, errno, "read the model", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "the model %s is no file: give a GGUF file", path);
    if (list_find_path(env, path, ret_model, NULL) == 0)
        return 0;
    /* Links stay as they are: parts of a split model are found by the name beside it. */
    char *CLEAN_FREE here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    struct str base = pick_name(str_from(path));
    struct pick_split split;
    struct model item = {.origin = MODEL_LOCAL,
                         .name = xstr_dup(pick_take_apart(base, &split) ? split.prefix : base),
                         .path = here ? xfs_join(here, path) : xstrdup(path),
                         .modified = (int64_t)st.st_mtim.tv_sec};
    int r = list_take(&item, ret_model, err);
    model_done(&item);
    return r;
}

/* ---- nothing of that name ---- */

int list_nothing(const struct model_list *list, const char *text, struct gfxb_error *err)
{
    struct model_name name;
    struct str *CLEAN_FREE names = xcalloc(list->n, sizeof(*names));
    char here[400], near[300];
    struct buf CLEAN_BUF same = BUF_INIT(1000);
    size_t n_same = 0;
    for (size_t i = 0; i < list->n; i++) {
        names[i] = str_from(list->item[i].name);
        if (model_name_same(names[i], str_from(text)))
            buf_addf(&same, "%s%.*s", n_same++ ? ", " : "", STR_ARG(names[i]));
    }
    if (n_same > 1)
        return error_set(err, GFXB_E_MODEL_UNKNOWN,
                         "%s can be each of these: %s. Write the one that you mean as it stands "
                         "here.",
                         text, buf_text(&same));
    struct gfxb_error several = {.code = 0};
    int r = model_name_parse(text, &name, err);
    if (r < 0)
        return r;
    (void)find_parsed(list, &name, &several);
    if (several.code)
        return error_set(err, several.code, "%s", several.text);
    name_nearest(text, names, list->n, here, sizeof(here));
    model_name_nearest_known(text, near, sizeof(near));
    /* A bare word is most likely a misspelt name: that some registry could have it is no advice. */
    if (name.kind == MODEL_NAME_OLLAMA && !strpbrk(text, ":/"))
        return error_set(err, GFXB_E_MODEL_UNKNOWN,
                         "no such model: %s; gfxbridge list and gfxbridge list --available name "
                         "those there are%s%s%s%s",
                         text, here[0] ? "; here are " : "", here,
                         near[0] ? "; to be pulled are " : "", near);
    return error_set(err, GFXB_E_MODEL_UNKNOWN,
                     "the model %s is not on this computer: gfxbridge pull %s brings it%s%s", text,
                     text, here[0] ? "; here are " : "", here);
}

int model_find(const struct model_env *env, const char *name, struct model *ret_model,
               struct gfxb_error *err)
{
    struct model_list list;
    if (name_is_file(env, name))
        return find_file(env, name, ret_model, err);
    caches_find(env, &list);
    struct model *item = list_match(&list, name);
    int r = item ? list_take(item, ret_model, err) : list_nothing(&list, name, err);
    model_list_done(&list);
    return r;
}
