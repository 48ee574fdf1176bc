#include "model/list.h"
#include "model/pick.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* The row of the short list that means exactly this file. */
static const struct model_known *list_row(const struct cache_item *item,
                                          const struct model_knowns *knowns)
{
    for (size_t i = 0; item->repository && item->file && i < knowns->n; i++) {
        if (str_eq_nocase(knowns->item[i].repository, str_from(item->repository)) &&
            str_is(knowns->item[i].file, item->file))
            return &knowns->item[i];
    }
    return NULL;
}

/* ---- headers ---- */

/* What a file says about itself, in the words of the short list. */
static char *list_labels(const struct cache_item *item, const struct gguf *gguf,
                         enum model_task task)
{
    struct buf CLEAN_BUF labels = BUF_INIT(256);
    const char *template = gguf->template ? gguf->template : "";
    buf_add_text(&labels, task == MODEL_COMPLETION ? "" : model_task_name(task));
    if (item->mmproj)
        buf_addf(&labels, "%svision", labels.n ? " " : "");
    if (task == MODEL_CHAT && strstr(template, "tool"))
        buf_add_text(&labels, " tools");
    if (task == MODEL_CHAT && strstr(template, "<think>"))
        buf_add_text(&labels, " reasoning");
    return strdup(buf_text(&labels));
}

static char *list_copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

int list_fill(const struct cache_item *item, const struct model_knowns *knowns,
              struct model *ret_model, struct gfxb_error *err)
{
    const struct model_known *row = list_row(item, knowns);
    struct gguf gguf;
    int r = gguf_read(item->path, &gguf, err);
    if (r < 0)
        return r;
    r = gguf_require_model(&gguf, item->path, err);
    if (r < 0) {
        gguf_done(&gguf);
        return r;
    }
    /* A name that got its origin before it stays: the listed one is somebody else's here. */
    bool is_listed = row && str_starts(str_from(item->name), str_from(item->repository));
    enum model_task task = row ? row->task : model_gguf_task(&gguf);
    struct model m = {.name = is_listed ? str_dup(row->name) : strdup(item->name),
                      .path = strdup(item->path),
                      .mmproj = list_copy(item->mmproj),
                      .origin = item->origin,
                      .task = task,
                      .ours = item->ours,
                      .bytes = item->bytes ? item->bytes : gguf.bytes,
                      .modified = item->modified,
                      .digest = list_copy(item->digest),
                      .repository = list_copy(item->repository),
                      .revision = list_copy(item->revision),
                      .licence =
                          row && row->licence.n ? str_dup(row->licence) : list_copy(gguf.licence),
                      .labels = row ? str_dup(row->labels) : list_labels(item, &gguf, task)};
    gguf_done(&gguf);
    if (!m.name || !m.path || !m.labels) {
        model_done(&m);
        return error_set(err, ENOMEM, "out of memory");
    }
    *ret_model = m;
    return 0;
}

/* ---- all of them ---- */

static int list_compare(const void *a, const void *b)
{
    return strcmp(((const struct model *)a)->name, ((const struct model *)b)->name);
}

void model_list_done(struct model_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        model_done(&list->item[i]);
    free(list->item);
    *list = (struct model_list){NULL, 0};
}

static int list_read(const struct caches *c, const struct model_knowns *knowns,
                     struct model_list *list, struct gfxb_error *err)
{
    list->item = calloc(c->n ? c->n : 1, sizeof(*list->item));
    if (!list->item)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < c->n; i++) {
        struct gfxb_error why = {0};
        int r = list_fill(&c->item[i], knowns, &list->item[list->n], &why);
        if (r == 0)
            list->n++;
        else if (r == -ENOMEM)
            return error_set(err, ENOMEM, "out of memory");
        else
            log_at(c->env->log, LOG_DEBUG, "not listed: %s: %s", c->item[i].path, why.text);
    }
    if (list->n)
        qsort(list->item, list->n, sizeof(*list->item), list_compare);
    return 0;
}

int model_list_new(const struct model_env *env, struct model_list *ret_list, struct gfxb_error *err)
{
    struct caches c;
    struct model_knowns knowns;
    struct model_list list = {NULL, 0};
    int r = caches_new(env, &c, err);
    if (r < 0)
        return r;
    r = model_knowns_new(&knowns, err);
    if (r == 0) {
        r = list_read(&c, &knowns, &list, err);
        model_knowns_done(&knowns);
    }
    caches_done(&c);
    if (r < 0)
        model_list_done(&list);
    else
        *ret_list = list;
    return r;
}

int list_find_path(const struct model_env *env, const char *path, struct model *ret_model,
                   struct gfxb_error *err)
{
    struct caches c;
    struct model_knowns knowns;
    int r = caches_new(env, &c, err);
    if (r < 0)
        return r;
    r = model_knowns_new(&knowns, err);
    if (r < 0) {
        caches_done(&c);
        return r;
    }
    struct stat st;
    r = stat(path, &st) < 0 ? -errno : -ENOENT;
    /* By its very path first: the same file may have other names elsewhere. */
    for (size_t i = 0; r == -ENOENT && i < c.n; i++) {
        if (strcmp(c.item[i].path, path) == 0)
            r = list_fill(&c.item[i], &knowns, ret_model, err);
    }
    for (size_t i = 0; r == -ENOENT && i < c.n; i++) {
        if (c.item[i].inode == st.st_ino && c.item[i].device == st.st_dev)
            r = list_fill(&c.item[i], &knowns, ret_model, err);
    }
    if (r == -ENOENT)
        error_set(err, ENOENT, "%s is in none of the places where models are", path);
    model_knowns_done(&knowns);
    caches_done(&c);
    return r;
}
