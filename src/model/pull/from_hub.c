/* from_hub.c - from a Hugging Face hub into its cache: blobs first, then the links, then "main". */
#include "model/pull/pull.h"

#include <errno.h>
#include <sys/stat.h>

struct pull_hub {
    struct pull pull; /* first: the progress callback's context */
    const char *repository;
    struct hub_tree tree;
    struct hub_cache cache;
    const char **path; /* of tree.file, as pick.h wants them; owned */
    size_t *chosen;    /* indices of tree.file: the model's parts in order, then the projector */
    size_t n_chosen;
    struct stock_record record;
};

static void pull_hub_done(struct pull_hub *p)
{
    hub_tree_done(&p->tree);
    hub_cache_done(&p->cache);
    stock_record_done(&p->record);
    free(p->path);
    free(p->chosen);
}

static const struct hub_file *pull_hub_file(const struct pull_hub *p, size_t i)
{
    return &p->tree.file[p->chosen[i]];
}

/* ---- which files ---- */

/* "Q4_K_M, Q8_0 and 5 more" of the quantisations that there are. */
static void pull_hub_offer_text(const struct pull_hub *p, struct buf *ret_text)
{
    size_t shown = 0, all = 0;
    for (size_t i = 0; i < p->tree.n; i++) {
        struct str file = str_from(p->path[i]);
        if (!pick_is_first_part(file))
            continue;
        struct str tag = pick_tag(file);
        all++;
        if (shown == 12)
            continue;
        buf_addf(ret_text, "%s%.*s", shown++ ? ", " : "", STR_ARG(tag.n ? tag : file));
    }
    if (all > shown)
        buf_addf(ret_text, " and %zu more", all - shown);
}

static int pull_hub_no_match(const struct pull_hub *p, struct str wanted, struct gfxb_error *err)
{
    struct buf CLEAN_BUF offer = BUF_INIT(4096);
    pull_hub_offer_text(p, &offer);
    if (offer.n == 0)
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "%s holds no GGUF model: look for a repository of the same name with "
                         "-GGUF at its end",
                         p->repository);
    return error_set(err, GFXB_E_MODEL_UNKNOWN, "%s has no %.*s; it has %s", p->repository,
                     STR_ARG(wanted), buf_text(&offer));
}

static size_t pull_hub_index(const struct pull_hub *p, struct str path)
{
    size_t i = 0;
    while (i < p->tree.n && !str_eq_nocase(str_from(p->path[i]), path))
        i++;
    return i;
}

/* All parts of the model whose first or other part is number i, in order. */
static int pull_hub_take_parts(struct pull_hub *p, size_t i, struct gfxb_error *err)
{
    struct pick_split split;
    unsigned index = 0;
    if (!pick_take_apart(str_from(p->path[i]), &split))
        return error_set(err, GFXB_E_MODEL_UNUSABLE, "%s is no GGUF file", p->path[i]);
    p->chosen = xcalloc(split.count + 1, sizeof(*p->chosen)); /* and a projector */
    for (unsigned number = 1; number <= split.count; number++) {
        size_t k = 0;
        while (
            k < p->tree.n &&
            !(pick_is_part(str_from(p->path[i]), str_from(p->path[k]), &index) && index == number))
            k++;
        if (k == p->tree.n)
            return error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                             "part %u of %u of %s is missing at the hub: choose another "
                             "quantisation",
                             number, split.count, p->path[i]);
        p->chosen[p->n_chosen++] = k;
    }
    return 0;
}

static int pull_hub_choose(struct pull_hub *p, struct str file, struct str tag, struct str mmproj,
                           struct gfxb_error *err)
{
    size_t i = file.n ? pull_hub_index(p, file) : pick_model(p->path, p->tree.n, tag);
    struct str wanted = file.n ? file : tag.n ? tag : STR("GGUF model");
    if (i == p->tree.n)
        return pull_hub_no_match(p, wanted, err);
    int r = pull_hub_take_parts(p, i, err);
    if (r < 0)
        return r;
    struct str first = str_from(pull_hub_file(p, 0)->path);
    size_t projector =
        mmproj.n ? pull_hub_index(p, mmproj) : pick_projector(p->path, p->tree.n, first);
    if (projector < p->tree.n && projector != i)
        p->chosen[p->n_chosen++] = projector;
    else if (mmproj.n)
        log_at(p->pull.env->log, LOG_WARNING, "%s has no projector %.*s (any more): text only",
               p->repository, STR_ARG(mmproj));
    return 0;
}

/* ---- does it fit? ---- */

static uint64_t pull_hub_bytes(const struct pull_hub *p, size_t first, uint64_t projector)
{
    uint64_t bytes = projector;
    unsigned index;
    for (size_t i = 0; i < p->tree.n; i++) {
        if (pick_is_part(str_from(p->path[first]), str_from(p->path[i]), &index))
            bytes += p->tree.file[i].size;
    }
    return bytes;
}

static int pull_hub_check_fit(const struct pull_hub *p, struct gfxb_error *err)
{
    struct model_offer *CLEAN_FREE offer = xcalloc(p->tree.n, sizeof(*offer));
    size_t n = 0, chosen = 0;
    if (!p->pull.env->machine)
        return 0;
    for (size_t i = 0; i < p->tree.n; i++) {
        struct str file = str_from(p->path[i]);
        if (!pick_is_first_part(file))
            continue;
        size_t k = pick_projector(p->path, p->tree.n, file);
        uint64_t projector = k < p->tree.n ? p->tree.file[k].size : 0;
        if (i == p->chosen[0])
            chosen = n;
        offer[n++] = (struct model_offer){p->path[i], pull_hub_bytes(p, i, projector)};
    }
    return n ? model_offer_check(p->pull.env->machine, offer, n, chosen, err) : 0;
}

/* ---- what is here already ---- */

/* Another program's copy of the very file, told by its digest. */
static int pull_hub_find_elsewhere(const struct pull_hub *p, struct model *ret_model)
{
    const struct hub_file *file = pull_hub_file(p, 0);
    const struct model_env *env = p->pull.env;
    struct gfxb_error ignored = {0};
    struct model_list list;
    int r = -ENOENT;
    if (p->n_chosen > 1 || !file->lfs)
        return -ENOENT;
    caches_find(env, &list);
    for (size_t i = 0; r < 0 && i < list.n; i++) {
        char hex[DIGEST_HEX] = "";
        const struct model *item = &list.item[i];
        bool may_be =
            item->bytes == file->size &&
            (item->digest ? strcmp(item->digest, file->etag) == 0
                          : item->origin == MODEL_LMSTUDIO && item->repository &&
                                str_eq_nocase(str_from(item->repository), str_from(p->repository)));
        if (!may_be)
            continue;
        if (!item->digest) {
            log_at(env->log, LOG_INFO, "comparing %s with %s", item->path, file->path);
            if (digest_file(item->path, hex, NULL) < 0 || strcmp(hex, file->etag) != 0)
                continue;
        }
        r = list_find_path(env, item->path, ret_model, &ignored);
    }
    model_list_done(&list);
    return r;
}

/* Bytes of the chosen files that are not on this disk yet. */
static uint64_t pull_hub_measure(struct pull_hub *p)
{
    uint64_t missing = 0;
    p->pull.n = p->n_chosen;
    for (size_t i = 0; i < p->n_chosen; i++) {
        const struct hub_file *file = pull_hub_file(p, i);
        char *CLEAN_FREE blob = hub_cache_blob(&p->cache, file->etag);
        char *CLEAN_FREE part = xasprintf("%s.incomplete", blob);
        p->pull.total += file->size;
        missing += pull_missing(blob, part, file->size);
    }
    return missing;
}

/* ---- the record of what is ours ---- */

/* The name of the model's first file in the cache. To be freed by the caller. */
static char *pull_hub_first(const struct pull_hub *p)
{
    return hub_cache_link_path(&p->cache, p->tree.commit, pull_hub_file(p, 0)->path);
}

/* Before anything is written: what will be. What an earlier run began is still ours. Is there
 * anything of ours at all? */
static bool pull_hub_plan_record(struct pull_hub *p)
{
    struct stock_record old = {.file = NULL};
    char *CLEAN_FREE first = pull_hub_first(p);
    bool is_new = false;
    p->record.repository = xstrdup(p->repository);
    stock_load_record(p->pull.env, first, &old);
    for (size_t i = 0; i < p->n_chosen; i++) {
        const struct hub_file *file = pull_hub_file(p, i);
        char *CLEAN_FREE link = hub_cache_link_path(&p->cache, p->tree.commit, file->path);
        char *CLEAN_FREE blob = hub_cache_blob(&p->cache, file->etag);
        const struct stock_file *before = stock_record_find(&old, link);
        bool made = !hub_cache_has(link, file->size) || (before && before->made);
        bool brought = !hub_cache_has(blob, file->size) || (before && before->blob);
        stock_record_add(&p->record, link, made, brought ? blob : NULL);
        if (before)
            p->record.file[i].inode = before->inode;
        is_new = is_new || made || brought;
    }
    stock_record_done(&old);
    return is_new;
}

/* The blob that came is told by its inode from one that somebody puts there later. */
static int pull_hub_note(struct pull_hub *p, size_t i, struct gfxb_error *err)
{
    struct stock_file *file = &p->record.file[i];
    struct stat st;
    if (!file->blob || lstat(file->blob, &st) < 0 || !S_ISREG(st.st_mode) ||
        file->inode == st.st_ino)
        return 0;
    file->inode = st.st_ino;
    return stock_save_record(p->pull.env, &p->record, err);
}

/* ---- the way ---- */

static int pull_hub_bring(struct pull_hub *p, size_t i, struct gfxb_error *err)
{
    const struct hub_file *file = pull_hub_file(p, i);
    char *CLEAN_FREE blob = hub_cache_blob(&p->cache, file->etag);
    int CLEAN_CLOSE lock = -1;
    p->pull.file = file->path;
    p->pull.sha256 = file->lfs ? file->etag : "";
    int r = hub_cache_lock(p->pull.env, &p->cache, file->etag, &lock, err);
    if (r < 0)
        return r;
    if (!hub_cache_has(blob, file->size) && !hub_cache_share(&p->cache, file)) {
        struct hub_wanted wanted = {.repository = p->repository,
                                    .commit = p->tree.commit,
                                    .file = file,
                                    .path = blob,
                                    .pull = &p->pull};
        r = hub_fetch_file(p->pull.env, &wanted, err);
    }
    if (r == 0)
        r = pull_hub_note(p, i, err);
    if (r == 0)
        pull_show_whole(&p->pull, file->size);
    return r;
}

/* The model's own first part is linked last: whoever looks meanwhile sees no model yet. */
static int pull_hub_link(const struct pull_hub *p, struct gfxb_error *err)
{
    int r = 0;
    for (size_t i = p->n_chosen; r == 0 && i > 0; i--)
        r = hub_cache_link(&p->cache, p->tree.commit, pull_hub_file(p, i - 1), err);
    return r < 0 ? r : hub_cache_set_main(&p->cache, p->tree.commit, err);
}

static int pull_hub_run(struct pull_hub *p, struct model *ret_model, struct gfxb_error *err)
{
    const struct model_env *env = p->pull.env;
    uint64_t missing = pull_hub_measure(p);
    if (missing && pull_hub_find_elsewhere(p, ret_model) == 0)
        return 0;
    int r = missing ? pull_hub_check_fit(p, err) : 0;
    if (r == 0)
        r = pull_check_room(&p->pull, env->hub, missing, err);
    bool is_new = r == 0 && pull_hub_plan_record(p);
    if (r == 0)
        r = hub_cache_make(&p->cache, err);
    if (r == 0 && is_new)
        r = stock_save_record(env, &p->record, err);
    for (size_t i = 0; r == 0 && i < p->n_chosen; i++)
        r = pull_hub_bring(p, i, err);
    if (r == 0)
        r = pull_hub_link(p, err);
    if (r < 0)
        return r;
    char *CLEAN_FREE first = pull_hub_first(p);
    r = pull_finish(env, first, ret_model, err);
    if (r == -GFXB_E_MODEL_DAMAGED || r == -GFXB_E_MODEL_UNUSABLE) {
        remove_record(env, first, NULL, NULL); /* as the hub has it, and of no use */
        error_prefix(err, "%s: ", p->pull.name);
    }
    return r;
}

/* Which files the words mean: of a listed name its row says it. */
static int pull_hub_resolve(struct pull_hub *p, const struct model_name *name,
                            struct gfxb_error *err)
{
    const struct model_known *row = name->known;
    int r = hub_look_up(p->pull.env, p->repository, &p->tree, err);
    if (r < 0)
        return r;
    p->path = xcalloc(p->tree.n, sizeof(*p->path));
    for (size_t i = 0; i < p->tree.n; i++)
        p->path[i] = p->tree.file[i].path;
    if (row)
        return pull_hub_choose(p, row->file, row->tag, row->mmproj, err);
    return pull_hub_choose(p, str_from(name->file), str_from(name->tag), STR_NONE, err);
}

int pull_hub(const struct model_env *env, const char *text, const struct model_name *name,
             struct model *ret_model, struct gfxb_error *err)
{
    struct pull_hub p = {.pull = {.env = env, .name = text, .file = "", .sha256 = ""}};
    if (!env->hub)
        return error_set(err, GFXB_E_USAGE, "there is no place for a hub cache: set HF_HUB_CACHE");
    char *CLEAN_FREE repository =
        name->known ? xstr_dup(name->known->repository) : xstrdup(name->repository);
    p.repository = repository;
    int r = hub_cache_name(env->hub, repository, &p.cache, err);
    if (r == 0)
        r = pull_hub_resolve(&p, name, err);
    if (r == 0)
        r = pull_hub_run(&p, ret_model, err);
    pull_hub_done(&p);
    return r;
}
