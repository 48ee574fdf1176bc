/* from_hub.c - from a Hugging Face hub into its cache: blobs first, then the links, then "main". */
#include "model/pull/pull.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>

#define HUB_ANSWER_MAX (16u << 20)
#define HUB_PAGES_MAX  200
#define HUB_PLAIN_MAX  (16u << 20) /* of a file outside LFS: the hub itself takes less */

/* What the headers of an answer say beyond the file. */
struct hub_said {
    char code[64];     /* X-Error-Code */
    char message[256]; /* X-Error-Message */
    char etag[DIGEST_HEX + 16];
    uint64_t size;
    int hop;    /* redirects before the last answer */
    char *link; /* owned */
};

struct pull_hub {
    struct pull pull;  /* first: the context of a request's callbacks */
    char *repository;  /* owned; as the hub spells it once it has answered */
    const char *token; /* NULL none, or one that is not accepted */
    struct hub_said said;
    const struct hub_file *file; /* that is asked for; NULL: an answer of the API */
    struct hub_tree tree;
    struct hub_cache cache;
    const char **path; /* of tree.file, as pick.h wants them; owned */
    /* Of tree.file: the model's parts in order, then the projector. */
    const struct hub_file **chosen;
    size_t n_chosen;
    struct stock_record record;
};

static void pull_hub_done(struct pull_hub *p)
{
    free(p->said.link);
    free(p->repository);
    hub_tree_done(&p->tree);
    hub_cache_done(&p->cache);
    stock_record_done(&p->record);
    free(p->path);
    free(p->chosen);
}

/* ---- asking the hub ---- */

static void hub_keep(struct str value, char *ret_text, size_t size)
{
    size_t n = value.n < size ? value.n : size - 1;
    for (size_t i = 0; i < n; i++)
        ret_text[i] = value.p[i] >= ' ' && value.p[i] < 0x7f ? value.p[i] : '?';
    ret_text[n] = '\0';
}

static void hub_on_header(void *context, int hop, long status, struct str name, struct str value)
{
    struct hub_said *said = &((struct pull_hub *)context)->said;
    (void)status;
    said->hop = hop;
    if (str_eq_nocase(name, STR("x-error-code"))) {
        hub_keep(value, said->code, sizeof(said->code));
    } else if (str_eq_nocase(name, STR("x-error-message"))) {
        hub_keep(value, said->message, sizeof(said->message));
    } else if (str_eq_nocase(name, STR("x-linked-etag"))) {
        hub_etag_plain(value, said->etag, sizeof(said->etag));
    } else if (str_eq_nocase(name, STR("x-linked-size"))) {
        if (str_to_u64(value, 10, &said->size) < 0)
            said->size = 0;
    } else if (str_eq_nocase(name, STR("link"))) {
        free(said->link);
        said->link = xstr_dup(value);
    }
}

/* Before the first byte: is it the file that the list named? */
static int hub_on_begin(void *context, uint64_t size, struct gfxb_error *err)
{
    const struct pull_hub *p = context;
    const struct hub_file *file = p->file;
    const struct hub_said *said = &p->said;
    (void)size;
    if (!file || !file->lfs)
        return 0;
    if (said->etag[0] && strcmp(said->etag, file->etag) != 0)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "the hub now has another %s than its list says: pull again", file->path);
    if (said->size && said->size != file->size)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "the hub has %" PRIu64 " bytes of %s where its list says %" PRIu64,
                         said->size, file->path, file->size);
    return 0;
}

static int hub_gated(const struct pull_hub *p, struct gfxb_error *err)
{
    const struct model_env *env = p->pull.env;
    const char *message = p->said.message;
    if (strcmp(p->said.code, "GatedRepo") != 0)
        return error_set(err, GFXB_E_MODEL_GATED, "the hub does not let this account read %s%s%s",
                         p->repository, message[0] ? ": " : "", message);
    return error_set(err, GFXB_E_MODEL_GATED,
                     "%s is gated: accept its conditions at %s/%s in a browser, then %s",
                     p->repository, env->hf_endpoint, p->repository,
                     env->hf_token ? "pull again (HF_TOKEN must be that account's)"
                                   : "give a token of that account in HF_TOKEN");
}

/* Why a repository or file was refused, instead of the fetch's own words. */
static int hub_refused(const struct pull_hub *p, struct gfxb_error *err)
{
    const struct model_env *env = p->pull.env;
    const struct hub_said *said = &p->said;
    long status = p->pull.status;
    if (err->code == GFXB_E_RATE_LIMITED) {
        struct gfxb_error why = *err;
        return error_set(err, why.code, "%s%s", why.text,
                         p->token ? "" : "; a token in HF_TOKEN raises the hub's limit");
    }
    if (said->hop > 0 && !said->code[0])
        return -err->code; /* the storage behind the hub: not about the repository */
    if (strcmp(said->code, "GatedRepo") == 0 || status == 403)
        return hub_gated(p, err);
    if (strcmp(said->code, "EntryNotFound") == 0 || (status == 404 && p->file))
        return error_set(err, GFXB_E_MODEL_UNKNOWN, "%s has no file %s", p->repository,
                         p->file ? p->file->path : "of that name");
    if (strcmp(said->code, "RevisionNotFound") == 0)
        return error_set(err, GFXB_E_MODEL_UNKNOWN, "%s is empty: it has no branch main",
                         p->repository);
    if (status == 401 && env->hf_token && strcmp(said->code, "RepoNotFound") != 0)
        return error_set(err, GFXB_E_MODEL_GATED,
                         "the token in HF_TOKEN is not accepted%s%s: it may have expired; make a "
                         "new one in the account's settings",
                         said->message[0] ? ": " : "", said->message);
    if (status == 401 || status == 404)
        return error_set(err, GFXB_E_MODEL_UNKNOWN, "there is no repository %s at %s%s",
                         p->repository, env->hf_endpoint,
                         env->hf_token ? " that the account of HF_TOKEN may read"
                                       : ", or it is private: then give a token in HF_TOKEN");
    return -err->code;
}

static int hub_ask_once(struct pull_hub *p, struct fetch_request *request, struct buf *answer,
                        struct gfxb_error *err)
{
    free(p->said.link);
    p->said = (struct hub_said){.link = NULL};
    request->token = p->token;
    request->begin = hub_on_begin;
    request->header = hub_on_header;
    int r = pull_fetch(&p->pull, request, answer, err);
    return r == -GFXB_E_MODEL_UNAVAILABLE || r == -GFXB_E_RATE_LIMITED ? hub_refused(p, err) : r;
}

/* With the token, and without it where it is not accepted: what is public needs none. */
static int hub_ask(struct pull_hub *p, struct fetch_request *request, struct buf *answer,
                   struct gfxb_error *err)
{
    struct gfxb_error second = {0};
    int r = hub_ask_once(p, request, answer, err);
    if (r == 0 || !p->token || p->pull.status != 401 || p->said.hop > 0)
        return r;
    p->token = NULL;
    int again = hub_ask_once(p, request, answer, &second);
    if (again == -GFXB_E_MODEL_GATED || again == -GFXB_E_MODEL_UNKNOWN)
        return r; /* it was about the token */
    if (again == 0)
        log_at(p->pull.env->log, LOG_WARNING, "%s; asked without it", err->text);
    else
        *err = second;
    return again;
}

/* An answer of the API. */
static int hub_get(struct pull_hub *p, const char *url, struct buf *answer, struct gfxb_error *err)
{
    struct fetch_request request = {.url = url, .what = "the list of files"};
    buf_clear(answer);
    return hub_ask(p, &request, answer, err);
}

/* The GGUF files of the repository's main branch. */
static int hub_look_up(struct pull_hub *p, struct gfxb_error *err)
{
    const char *base = p->pull.env->hf_endpoint;
    struct buf CLEAN_BUF answer = BUF_INIT(HUB_ANSWER_MAX);
    char *CLEAN_FREE url = xasprintf("%s/api/models/%s", base, p->repository);
    int r = hub_get(p, url, &answer, err)
                ?: hub_info_parse(buf_view(&answer), p->tree.commit, p->repository, err);
    char *page = r < 0 ? NULL : xasprintf("%s/tree/%s?recursive=true", url, p->tree.commit);
    for (size_t n = 0; r == 0 && page; n++) {
        r = n < HUB_PAGES_MAX
                ? hub_get(p, page, &answer, err) ?: hub_tree_add(&p->tree, buf_view(&answer), err)
                : error_set(err, GFXB_E_MODEL_UNAVAILABLE, "the list of %s's files does not end",
                            p->repository);
        free(page);
        page = p->said.link ? hub_next_page(str_from(p->said.link), base) : NULL;
    }
    free(page);
    hub_tree_sort(&p->tree);
    if (r == 0 && p->tree.refused)
        log_at(p->pull.env->log, LOG_WARNING,
               "%zu files of %s are not looked at: their names or digests are not usable",
               p->tree.refused, p->repository);
    return r;
}

/* ---- one file ---- */

/* git's own digest of a file that it holds itself: sha1 of "blob SIZE", a NUL and the bytes. */
static int hub_fetch_plain(struct pull_hub *p, struct fetch_request *request, const char *path,
                           struct gfxb_error *err)
{
    const struct hub_file *file = p->file;
    struct buf CLEAN_BUF bytes = BUF_INIT(HUB_PLAIN_MAX);
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    buf_addf(&bytes, "blob %" PRIu64, file->size);
    buf_add_char(&bytes, '\0');
    size_t head = bytes.n;
    int r = hub_ask(p, request, &bytes, err);
    if (r < 0)
        return r;
    if (EVP_Digest(bytes.p, bytes.n, raw, &n, EVP_sha1(), NULL) != 1)
        return error_set(err, EIO, "cannot compute git's digest of %s", file->path);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", raw[i]);
    if (strcmp(hex, file->etag) != 0)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "%s is not the file that the hub lists: its git digest is %.12s... where "
                         "%.12s... was expected; it was not used",
                         file->path, hex, file->etag);
    return fs_write(path, bytes.p + head, bytes.n - head, 0644, err);
}

/* Bring the file: an LFS file through PATH.incomplete, with its digest computed as it arrives. */
static int hub_fetch_file(struct pull_hub *p, const char *path, struct gfxb_error *err)
{
    const struct hub_file *file = p->file;
    struct buf CLEAN_BUF url = BUF_INIT(HUB_URL_MAX);
    char *CLEAN_FREE part = xasprintf("%s.incomplete", path);
    buf_addf(&url, "%s/%s/resolve/%s/", p->pull.env->hf_endpoint, p->repository, p->tree.commit);
    hub_add_path(&url, file->path);
    if (!buf_ok(&url))
        return error_set(err, EINVAL, "the address of %s is too long", file->path);
    struct fetch_request request = {
        .url = buf_text(&url), .what = file->path, .size = file->size, .progress = pull_show};
    if (!file->lfs)
        return hub_fetch_plain(p, &request, path, err);
    request.sha256 = file->etag;
    request.path = path;
    request.part = part;
    return hub_ask(p, &request, NULL, err);
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

/* All parts of the model of which path[i] is one, in order. */
static int pull_hub_take_parts(struct pull_hub *p, size_t i, struct gfxb_error *err)
{
    struct pick_split split;
    if (!pick_take_apart(str_from(p->path[i]), &split))
        return error_set(err, GFXB_E_MODEL_UNUSABLE, "%s is no GGUF file", p->path[i]);
    p->chosen = xcalloc(split.count + 1, sizeof(*p->chosen)); /* and a projector */
    for (unsigned number = 1; number <= split.count; number++) {
        char *CLEAN_FREE part = pick_part(p->path[i], number);
        size_t k;
        if (pick_file(p->path, p->tree.n, str_from(part), &k, NULL) < 0 || k == p->tree.n)
            return error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                             "part %u of %u of %s is missing at the hub: choose another "
                             "quantisation",
                             number, split.count, p->path[i]);
        p->chosen[p->n_chosen++] = &p->tree.file[k];
    }
    return 0;
}

static int pull_hub_choose(struct pull_hub *p, struct str file, struct str tag, struct str mmproj,
                           struct gfxb_error *err)
{
    const size_t n = p->tree.n;
    size_t i = file.n ? n : pick_model(p->path, n, tag), projector;
    struct str wanted = file.n ? file : tag.n ? tag : STR("GGUF model");
    int r = file.n ? pick_file(p->path, n, file, &i, err) : 0;
    if (r == 0 && i == n)
        return pull_hub_no_match(p, wanted, err);
    r = r ?: pull_hub_take_parts(p, i, err);
    if (r < 0)
        return r;
    struct str first = str_from(p->chosen[0]->path);
    if (mmproj.n)
        (void)pick_file(p->path, n, mmproj, &projector, NULL);
    else
        projector = pick_projector(p->path, n, first);
    if (projector < n && projector != i)
        p->chosen[p->n_chosen++] = &p->tree.file[projector];
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
    for (size_t i = 0; i < p->tree.n; i++) {
        struct str file = str_from(p->path[i]);
        if (!pick_is_first_part(file))
            continue;
        size_t k = pick_projector(p->path, p->tree.n, file);
        uint64_t projector = k < p->tree.n ? p->tree.file[k].size : 0;
        if (&p->tree.file[i] == p->chosen[0])
            chosen = n;
        offer[n++] = (struct model_offer){p->path[i], pull_hub_bytes(p, i, projector)};
    }
    return n ? model_offer_check(p->pull.env->machine, offer, n, chosen, err) : 0;
}

/* ---- what is here already ---- */

/* Another program's copy of the same file, recognised by its digest. */
static int pull_hub_find_elsewhere(const struct pull_hub *p, struct model *ret_model)
{
    const struct hub_file *file = p->chosen[0];
    const struct model_env *env = p->pull.env;
    struct model_list list;
    int r = -ENOENT;
    if (p->n_chosen > 1 || !file->lfs)
        return -ENOENT;
    caches_find(env, &list);
    for (size_t i = 0; r < 0 && i < list.n; i++) {
        struct stat st;
        char hex[DIGEST_HEX] = "";
        const struct model *item = &list.item[i];
        bool may_be =
            item->bytes == file->size &&
            (item->digest
                 ? strcmp(item->digest, file->etag) == 0
                 : item->repository && lstat(item->path, &st) == 0 && S_ISREG(st.st_mode) &&
                       str_eq_nocase(str_from(item->repository), str_from(p->repository)));
        if (!may_be)
            continue;
        if (!item->digest) {
            log_at(env->log, LOG_INFO, "comparing %s with %s", item->path, file->path);
            if (digest_file(item->path, hex, NULL) < 0 || strcmp(hex, file->etag) != 0)
                continue;
        }
        r = list_find_path(env, item->path, ret_model, NULL);
    }
    model_list_done(&list);
    return r;
}

/* Does a file stand in the link's place already? Links are judged by what they lead to. */
static bool pull_hub_stands(const struct pull_hub *p, const char *link, const struct hub_file *file)
{
    return p->cache.way != HUB_SYMLINK && hub_cache_has(link, file->size);
}

/* Bytes of the chosen files that must be written, once it is known which blobs are ours. */
static uint64_t pull_hub_measure(struct pull_hub *p)
{
    uint64_t missing = 0;
    p->pull.n = p->n_chosen;
    for (size_t i = 0; i < p->n_chosen; i++) {
        const struct hub_file *file = p->chosen[i];
        char *CLEAN_FREE blob = hub_cache_blob(&p->cache, file->etag);
        char *CLEAN_FREE part = xasprintf("%s.incomplete", blob);
        p->pull.total += file->size;
        if (pull_hub_stands(p, p->record.file[i].link, file))
            continue;
        bool is_copied = p->cache.way == HUB_MOVE && !p->record.file[i].blob;
        missing += is_copied ? file->size : pull_missing(blob, part, file->size);
    }
    return missing;
}

/* ---- the record of what is ours ---- */

/* The name of the model's first file in the cache. To be freed by the caller. */
static char *pull_hub_first(const struct pull_hub *p)
{
    return hub_cache_link_path(&p->cache, p->tree.commit, p->chosen[0]->path);
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
        const struct hub_file *file = p->chosen[i];
        char *CLEAN_FREE link = hub_cache_link_path(&p->cache, p->tree.commit, file->path);
        char *CLEAN_FREE blob = hub_cache_blob(&p->cache, file->etag);
        const struct stock_file *before = stock_record_find(&old, link);
        bool made = !hub_cache_has(link, file->size) || (before && before->made);
        bool brought = (before && before->blob) ||
                       (!pull_hub_stands(p, link, file) && !hub_cache_has(blob, file->size));
        stock_record_add(&p->record, link, made, brought ? blob : NULL);
        if (before) {
            p->record.file[i].inode = before->inode;
            p->record.file[i].bytes = before->bytes;
            p->record.file[i].modified = before->modified;
        }
        is_new = is_new || made || brought;
    }
    stock_record_done(&old);
    return is_new;
}

/* ---- the way ---- */

/* The blob that came is told by its inode, size and time from one that somebody puts there later;
 * the file that is put into a snapshot by the latter two. */
static int pull_hub_record(const struct pull_hub *p, struct stock_file *file, const char *blob,
                           struct gfxb_error *err)
{
    struct stat st;
    bool placed = file->made && p->cache.way != HUB_SYMLINK;
    if ((!file->blob && !placed) || lstat(blob, &st) < 0 || !S_ISREG(st.st_mode) ||
        (file->inode == st.st_ino && stock_is_file(file, &st)))
        return 0;
    file->inode = file->blob ? st.st_ino : 0;
    file->bytes = (uint64_t)st.st_size;
    file->modified = st.st_mtim.tv_sec;
    return stock_save_record(p->pull.env, &p->record, err);
}

static int pull_hub_bring(struct pull_hub *p, size_t i, struct gfxb_error *err)
{
    const struct hub_file *file = p->chosen[i];
    struct stock_file *record = &p->record.file[i];
    char *CLEAN_FREE blob = hub_cache_blob(&p->cache, file->etag);
    int CLEAN_CLOSE lock = -1;
    p->file = file;
    p->pull.file = file->path;
    p->pull.sha256 = file->lfs ? file->etag : "";
    int r = hub_cache_lock(p->pull.env, &p->cache, file->etag, &lock, err);
    if (r == 0 && !pull_hub_stands(p, record->link, file)) {
        if (!hub_cache_has(blob, file->size) && !hub_cache_share(&p->cache, file))
            r = hub_fetch_file(p, blob, err);
        r = r ?: pull_hub_record(p, record, blob, err);
    }
    if (r == 0)
        pull_show_whole(&p->pull, file->size);
    return r;
}

/* Into the snapshot. */
static int pull_hub_place(const struct pull_hub *p, size_t i, struct gfxb_error *err)
{
    const struct model_env *env = p->pull.env;
    int CLEAN_CLOSE lock = -1;
    return hub_cache_lock(env, &p->cache, p->chosen[i]->etag, &lock, err)
               ?: hub_cache_link(&p->cache, p->tree.commit, p->chosen[i], p->record.file[i].blob,
                                 env->cancel, err);
}

static int pull_hub_run(struct pull_hub *p, struct model *ret_model, struct gfxb_error *err)
{
    const struct model_env *env = p->pull.env;
    hub_cache_find_way(&p->cache);
    bool is_new = pull_hub_plan_record(p);
    uint64_t missing = pull_hub_measure(p);
    if (missing && pull_hub_find_elsewhere(p, ret_model) == 0)
        return 0;
    int r = (missing ? pull_hub_check_fit(p, err) : 0)
                ?: pull_check_room(&p->pull, env->hub, missing, err);
    if (r < 0)
        return r;
    r = hub_cache_make(&p->cache, err) ?: (is_new ? stock_save_record(env, &p->record, err) : 0);
    for (size_t i = 0; r == 0 && i < p->n_chosen; i++)
        r = pull_hub_bring(p, i, err);
    /* The model's own first part is linked last: a program that looks meanwhile sees no model yet.
     */
    for (size_t i = p->n_chosen; r == 0 && i > 0; i--)
        r = pull_hub_place(p, i - 1, err);
    r = r ?: hub_cache_set_main(&p->cache, p->tree.commit, err);
    if (r < 0)
        return r;
    uint64_t freed = 0;
    char *CLEAN_FREE first = pull_hub_first(p);
    r = pull_finish(env, first, ret_model, err);
    if (r == -GFXB_E_MODEL_DAMAGED || r == -GFXB_E_MODEL_UNUSABLE) {
        remove_record(env, &p->record, &freed); /* as the hub has it, and of no use */
        error_prefix(err, "%s: ", p->pull.name);
    }
    return r;
}

/* Which files the words mean: of a listed name its row says it. */
static int pull_hub_resolve(struct pull_hub *p, const struct model_name *name,
                            struct gfxb_error *err)
{
    const struct model_known *row = name->known;
    p->path = xcalloc(p->tree.n, sizeof(*p->path));
    for (size_t i = 0; i < p->tree.n; i++)
        p->path[i] = p->tree.file[i].path;
    if (row)
        return pull_hub_choose(p, row->file, row->tag, row->mmproj, err);
    return pull_hub_choose(p, str_from(name->file), str_from(name->tag), STR_NONE, err);
}

bool pull_hub_lacks(const struct model_env *env, long status, const char *code)
{
    bool own = !str_is(model_hub_endpoint(MODEL_HUB_HF), env->hf_endpoint);
    bool registry_too = !str_is(model_hub_endpoint(MODEL_HUB_OLLAMA), env->ollama_registry);
    bool lacks = strcmp(code, "RepoNotFound") == 0 || (status == 401 && !code[0]);
    return (!own || registry_too) && lacks && (status == 404 || (status == 401 && !env->hf_token));
}

/* The hub gives no such repository: is it a user's model of the Ollama registry? */
static int pull_hub_elsewhere(const struct pull_hub *p, const struct model_name *name,
                              struct model *ret_model, struct gfxb_error *err)
{
    const struct model_env *env = p->pull.env;
    struct model_name other;
    struct gfxb_error first = *err;
    if (!name_as_ollama(name, &other))
        return -err->code;
    if (!pull_hub_lacks(env, p->pull.status, p->said.code))
        return error_set(err, first.code, "%.380s. A model of the Ollama registry: ollama.com/%s",
                         first.text, p->pull.name);
    log_at(env->log, LOG_WARNING, "%s is not on the Hugging Face hub: asking the Ollama registry",
           name->repository);
    int r = pull_ollama(env, p->pull.name, &other, ret_model, err);
    if (r == -GFXB_E_MODEL_UNKNOWN || r == -GFXB_E_OFFLINE || r == -GFXB_E_MODEL_UNAVAILABLE)
        error_prefix(err, "%.380s; ", first.text);
    return r;
}

int pull_hub(const struct model_env *env, const char *text, const struct model_name *name,
             struct model *ret_model, struct gfxb_error *err)
{
    struct pull_hub p = {.pull = {.env = env, .name = text, .file = "", .sha256 = ""},
                         .token = env->hf_token};
    if (!env->hub)
        return error_set(err, GFXB_E_USAGE, "there is no place for a hub cache: set HF_HUB_CACHE");
    p.repository = name->known ? xstr_dup(name->known->repository) : xstrdup(name->repository);
    int r = hub_cache_name(env->hub, p.repository, &p.cache, err) ?: hub_look_up(&p, err);
    hub_cache_done(&p.cache);
    if (r == -GFXB_E_MODEL_UNKNOWN)
        r = pull_hub_elsewhere(&p, name, ret_model, err);
    else
        r = r ?: hub_cache_name(env->hub, p.repository, &p.cache, err)
                ?: pull_hub_resolve(&p, name, err)
                ?: pull_hub_run(&p, ret_model, err);
    pull_hub_done(&p);
    return r;
}
