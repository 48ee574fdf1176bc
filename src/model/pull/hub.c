/* hub.c - asking the Hugging Face hub: what a repository holds, and one file of it. */
#include "model/pull/pull.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>

/* ---- what it answers ---- */

#define HUB_FILES_MAX 100000
#define HUB_URL_MAX   8192
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

int hub_info_parse(struct str json, char ret_commit[static HUB_COMMIT], struct gfxb_error *err)
{
    json_t *info = hub_load(json);
    const char *commit = json_string_value(json_object_get(info, "sha"));
    int r = 0;
    if (hub_is_hex(commit, HUB_COMMIT - 1))
        memcpy(ret_commit, commit, HUB_COMMIT);
    else
        r = error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                      "the answer is not that of a model hub: it names no commit");
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

/* ---- asking it ---- */

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

struct fetch_config hub_fetch_config(const struct model_env *env)
{
    struct fetch_config config = env->fetch;
    config.cancel = env->cancel;
    config.log = env->log;
    return config;
}

static void hub_keep(struct str value, char *ret_text, size_t size)
{
    size_t n = value.n < size ? value.n : size - 1;
    for (size_t i = 0; i < n; i++)
        ret_text[i] = value.p[i] >= ' ' && value.p[i] < 0x7f ? value.p[i] : '?';
    ret_text[n] = '\0';
}

static void hub_on_header(void *context, int hop, long status, struct str name, struct str value)
{
    struct hub_said *said = context;
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

/* ---- refusals in words ---- */

static int hub_gated(const struct model_env *env, const char *repository,
                     const struct hub_said *said, struct gfxb_error *err)
{
    if (strcmp(said->code, "GatedRepo") != 0)
        return error_set(err, GFXB_E_MODEL_GATED, "the hub does not let this account read %s%s%s",
                         repository, said->message[0] ? ": " : "", said->message);
    return error_set(err, GFXB_E_MODEL_GATED,
                     "%s is gated: accept its conditions at %s/%s in a browser, then %s",
                     repository, env->hf_endpoint, repository,
                     env->hf_token ? "pull again (HF_TOKEN must be that account's)"
                                   : "give a token of that account in HF_TOKEN");
}

/* Why a repository or file was refused, instead of the fetch's own words. */
static int hub_refused(const struct model_env *env, const char *repository, const char *file,
                       const struct hub_said *said, long status, struct gfxb_error *err)
{
    if (status == 429)
        return error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                         "the hub takes no more requests from here for now: wait some minutes%s",
                         env->hf_token ? "" : ", or give a token in HF_TOKEN");
    if (said->hop > 0 && !said->code[0])
        return -err->code; /* the storage behind the hub: not about the repository */
    if (strcmp(said->code, "GatedRepo") == 0 || status == 403)
        return hub_gated(env, repository, said, err);
    if (strcmp(said->code, "EntryNotFound") == 0 || (status == 404 && file))
        return error_set(err, GFXB_E_MODEL_UNKNOWN, "%s has no file %s", repository,
                         file ? file : "of that name");
    if (strcmp(said->code, "RevisionNotFound") == 0)
        return error_set(err, GFXB_E_MODEL_UNKNOWN, "%s is empty: it has no branch main",
                         repository);
    if (status == 401 && env->hf_token && strcmp(said->code, "RepoNotFound") != 0)
        return error_set(err, GFXB_E_MODEL_GATED,
                         "the token in HF_TOKEN is not accepted%s%s: it may have expired; make a "
                         "new one in the account's settings",
                         said->message[0] ? ": " : "", said->message);
    if (status == 401 || status == 404)
        return error_set(err, GFXB_E_MODEL_UNKNOWN, "there is no repository %s at %s%s", repository,
                         env->hf_endpoint,
                         env->hf_token ? " that the account of HF_TOKEN may read"
                                       : ", or it is private: then give a token in HF_TOKEN");
    return -err->code;
}

/* The fetch's own error, in a model's code. */
static int hub_failed(const struct model_env *env, const char *repository, const char *file,
                      const struct hub_said *said, const struct fetch_result *result,
                      struct gfxb_error *err)
{
    if (err->code != GFXB_E_PACKAGE_UNAVAILABLE)
        return -err->code;
    err->code = GFXB_E_MODEL_UNAVAILABLE;
    return hub_refused(env, repository, file, said, result->status, err);
}

/* ---- what a repository holds ---- */

static int hub_ask(const struct model_env *env, const char *url, const char *token,
                   struct buf *answer, struct hub_said *said, struct fetch_result *result,
                   struct gfxb_error *err)
{
    struct fetch_config config = hub_fetch_config(env);
    struct fetch_request request = {.url = url,
                                    .what = "the list of files",
                                    .token = token,
                                    .header = hub_on_header,
                                    .context = said};
    buf_clear(answer);
    free(said->link);
    *said = (struct hub_said){.link = NULL};
    return fetch_get(&config, &request, answer, result, err);
}

/* With the token, and without it where it is not accepted: what is public needs none. */
static int hub_get(const struct model_env *env, const char *repository, const char *url,
                   struct buf *answer, struct hub_said *said, struct gfxb_error *err)
{
    struct fetch_result result = FETCH_RESULT_INIT;
    int r = hub_ask(env, url, env->hf_token, answer, said, &result, err);
    if (r < 0)
        r = hub_failed(env, repository, NULL, said, &result, err);
    bool is_token = r < 0 && result.status == 401 && env->hf_token;
    if (!is_token)
        return r;
    struct gfxb_error second = {0};
    if (hub_ask(env, url, NULL, answer, said, &result, &second) == 0) {
        log_at(env->log, LOG_WARNING, "%s; asked without it", err->text);
        r = 0;
    }
    return r;
}

/* Takes url over. */
static int hub_look_up_pages(const struct model_env *env, const char *repository, char *url,
                             struct hub_tree *tree, struct gfxb_error *err)
{
    struct buf CLEAN_BUF answer = BUF_INIT(HUB_ANSWER_MAX);
    struct hub_said said = {.link = NULL};
    int r = 0;
    for (size_t page = 0; r == 0 && url; page++) {
        if (page == HUB_PAGES_MAX)
            r = error_set(err, GFXB_E_MODEL_UNAVAILABLE, "the list of %s's files does not end",
                          repository);
        if (r == 0)
            r = hub_get(env, repository, url, &answer, &said, err);
        if (r == 0)
            r = hub_tree_add(tree, buf_view(&answer), err);
        free(url);
        url = r == 0 && said.link ? hub_next_page(str_from(said.link), env->hf_endpoint) : NULL;
    }
    free(url);
    free(said.link);
    return r;
}

int hub_look_up(const struct model_env *env, const char *repository, struct hub_tree *ret_tree,
                struct gfxb_error *err)
{
    struct buf CLEAN_BUF answer = BUF_INIT(HUB_ANSWER_MAX);
    struct hub_said said = {.link = NULL};
    struct hub_tree tree = {.file = NULL};
    char *CLEAN_FREE url = xasprintf("%s/api/models/%s", env->hf_endpoint, repository);
    int r = hub_get(env, repository, url, &answer, &said, err);
    free(said.link);
    if (r == 0)
        r = hub_info_parse(buf_view(&answer), tree.commit, err);
    if (r == 0)
        r = hub_look_up_pages(env, repository,
                              xasprintf("%s/tree/%s?recursive=true", url, tree.commit), &tree, err);
    if (r < 0) {
        hub_tree_done(&tree);
        return r;
    }
    hub_tree_sort(&tree);
    if (tree.refused)
        log_at(env->log, LOG_WARNING,
               "%zu files of %s are not looked at: their names or digests are not usable",
               tree.refused, repository);
    *ret_tree = tree;
    return 0;
}

/* ---- one file ---- */

struct hub_arrival {
    struct hub_said said; /* first: the whole is the context of hub_on_header, too */
    const struct hub_wanted *wanted;
};

/* Before the first byte: is it the file that the list named? */
static int hub_on_begin(void *context, uint64_t size, struct gfxb_error *err)
{
    const struct hub_arrival *arrival = context;
    const struct hub_file *file = arrival->wanted->file;
    const struct hub_said *said = &arrival->said;
    (void)size;
    if (file->lfs && said->etag[0] && strcmp(said->etag, file->etag) != 0)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "the hub now has another %s than its list says: pull again", file->path);
    if (file->lfs && said->size && said->size != file->size)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "the hub has %" PRIu64 " bytes of %s where its list says %" PRIu64,
                         said->size, file->path, file->size);
    return 0;
}

static void hub_on_progress(void *context, const struct fetch_progress *progress)
{
    const struct hub_arrival *arrival = context;
    pull_show(arrival->wanted->pull, progress);
}

/* git's own digest of a file: sha1 of "blob SIZE", a NUL and the bytes. */
static int hub_check_git(const struct hub_file *file, struct str bytes, struct gfxb_error *err)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    char head[64];
    int head_n = snprintf(head, sizeof(head), "blob %zu", bytes.n);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
              EVP_DigestUpdate(context, head, (size_t)head_n + 1) == 1 &&
              EVP_DigestUpdate(context, bytes.p, bytes.n) == 1 &&
              EVP_DigestFinal_ex(context, raw, &n) == 1;
    EVP_MD_CTX_free(context);
    if (!ok)
        return error_set(err, EIO, "cannot compute git's digest of %s", file->path);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", raw[i]);
    if (strcmp(hex, file->etag) != 0)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "%s is not the file that the hub lists: its git digest is %.12s... where "
                         "%.12s... was expected; it was not used",
                         file->path, hex, file->etag);
    return 0;
}

static int hub_fetch_plain(const struct fetch_config *config, struct fetch_request *request,
                           const struct hub_wanted *wanted, struct fetch_result *result,
                           struct gfxb_error *err)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(HUB_PLAIN_MAX);
    int r = fetch_get(config, request, &bytes, result, err);
    if (r == 0)
        r = hub_check_git(wanted->file, buf_view(&bytes), err);
    return r < 0 ? r : fs_write(wanted->path, bytes.p, bytes.n, 0644, err);
}

static int hub_fetch_once(const struct fetch_config *config, struct fetch_request *request,
                          const struct hub_wanted *wanted, struct fetch_result *result,
                          struct gfxb_error *err)
{
    if (wanted->file->lfs)
        return fetch_run(config, request, result, err);
    return hub_fetch_plain(config, request, wanted, result, err);
}

int hub_fetch_file(const struct model_env *env, const struct hub_wanted *wanted,
                   struct gfxb_error *err)
{
    const struct hub_file *file = wanted->file;
    struct fetch_config config = hub_fetch_config(env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct hub_arrival arrival = {.wanted = wanted};
    struct buf CLEAN_BUF url = BUF_INIT(HUB_URL_MAX);
    char *CLEAN_FREE part = xasprintf("%s.incomplete", wanted->path);
    buf_addf(&url, "%s/%s/resolve/%s/", env->hf_endpoint, wanted->repository, wanted->commit);
    hub_add_path(&url, file->path);
    if (!buf_ok(&url))
        return error_set(err, EINVAL, "the address of %s is too long", file->path);
    struct fetch_request request = {.url = buf_text(&url),
                                    .what = file->path,
                                    .token = env->hf_token,
                                    .size = file->size,
                                    .begin = hub_on_begin,
                                    .header = hub_on_header,
                                    .progress = hub_on_progress,
                                    .context = &arrival};
    if (file->lfs) {
        request.sha256 = file->etag;
        request.path = wanted->path;
        request.part = part;
    }
    int r = hub_fetch_once(&config, &request, wanted, &result, err);
    if (r < 0 && result.status == 401 && arrival.said.hop == 0 && request.token) {
        request.token = NULL; /* not accepted: what is public needs none */
        r = hub_fetch_once(&config, &request, wanted, &result, err);
    }
    if (r < 0)
        r = hub_failed(env, wanted->repository, file->path, &arrival.said, &result, err);
    free(arrival.said.link);
    return r;
}
