/* pull.c - brings a model here: by the hub, an Ollama registry or a URL. */
#include "model/pull/pull.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

void pull_show(void *context, const struct fetch_progress *progress)
{
    const struct pull *p = context;
    if (!p->env->progress)
        return;
    struct model_progress out = {.file = p->file,
                                 .sha256 = p->sha256,
                                 .index = p->index,
                                 .n = p->n,
                                 .at = *progress,
                                 .bytes = p->before + progress->bytes,
                                 .total = p->total,
                                 .remaining_seconds = -1};
    if (progress->bytes_per_second && out.total >= out.bytes)
        out.remaining_seconds = (int64_t)((out.total - out.bytes) / progress->bytes_per_second);
    p->env->progress(p->env->context, &out);
}

void pull_show_whole(struct pull *p, uint64_t bytes)
{
    struct fetch_progress whole = {bytes, bytes, 0, 0};
    pull_show(p, &whole);
    p->before += bytes;
    p->index++;
}

int pull_fetch(struct pull *p, struct fetch_request *request, struct buf *answer,
               struct gfxb_error *err)
{
    struct fetch_config config = p->env->fetch;
    struct fetch_result result = FETCH_RESULT_INIT;
    config.cancel = p->env->cancel;
    config.log = p->env->log;
    request->context = p;
    int r = answer ? fetch_get(&config, request, answer, &result, err)
                   : fetch_run(&config, request, &result, err);
    p->status = result.status;
    if (r == -GFXB_E_PACKAGE_UNAVAILABLE) {
        err->code = result.limited ? GFXB_E_RATE_LIMITED : GFXB_E_MODEL_UNAVAILABLE;
        r = -err->code;
    }
    return r;
}

uint64_t pull_missing(const char *path, const char *part, uint64_t size)
{
    struct stat st;
    if (hub_cache_has(path, size))
        return 0;
    uint64_t have = stat(part, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return size > have ? size - have : 0;
}

int pull_check_room(const struct pull *p, const char *dir, uint64_t bytes, struct gfxb_error *err)
{
    uint64_t room = 0;
    if (bytes == 0 || fs_free_bytes(dir, &room) < 0 || room >= bytes + PULL_SPARE)
        return 0;
    return error_set(err, GFXB_E_DISK_FULL,
                     "%s needs %.1f GB more and %.1f GB are free where %s is: free some space, or "
                     "choose a smaller quantisation; nothing was fetched",
                     p->name, (double)bytes / 1e9, (double)room / 1e9, dir);
}

int pull_check_file(const char *path, struct gfxb_error *err)
{
    struct gguf gguf = {.kind = GGUF_OTHER};
    int r = gguf_read(path, &gguf, err) ?: gguf_require_model(&gguf, path, err);
    gguf_done(&gguf);
    return r;
}

int pull_finish(const struct model_env *env, const char *path, struct model *ret_model,
                struct gfxb_error *err)
{
    return pull_check_file(path, err) ?: list_find_path(env, path, ret_model, err);
}

int model_pull(const struct model_env *env, const char *text, struct model *ret_model,
               struct gfxb_error *err)
{
    static int (*const ways[])(const struct model_env *env, const char *text,
                               const struct model_name *name, struct model *ret_model,
                               struct gfxb_error *err) = {
        [MODEL_NAME_LISTED] = pull_hub,
        [MODEL_NAME_HUB] = pull_hub,
        [MODEL_NAME_OLLAMA] = pull_ollama,
        [MODEL_NAME_URL] = pull_url,
    };
    struct model_name name;
    int r = model_name_parse(text, &name, err);
    if (r < 0)
        return r;
    if (name_is_file(env, text))
        return error_set(err, EINVAL,
                         "%s is a file on this computer: gfxbridge import takes it in, and "
                         "gfxbridge run takes its path as it is",
                         text);
    if (env->no_network && model_find(env, text, ret_model, NULL) == 0)
        return 0; /* what is here already is what a pull gives */
    if (env->no_network)
        return error_set(err, GFXB_E_OFFLINE,
                         "%s is not on this computer and the network is not to be used "
                         "(--no-network or HF_HUB_OFFLINE)",
                         text);
    if (!env->data_dir)
        return error_set(err, GFXB_E_USAGE,
                         "no place for models: this user has no home directory; give --data-dir "
                         "DIR");
    r = ways[name.kind](env, text, &name, ret_model, err);
    bool later =
        r == -GFXB_E_OFFLINE || r == -GFXB_E_RATE_LIMITED || r == -GFXB_E_MODEL_UNAVAILABLE;
    if (later && model_find(env, text, ret_model, NULL) == 0) {
        log_at(env->log, LOG_WARNING, "%s; %s is here, as it was pulled before", err->text, text);
        return 0;
    }
    return r;
}

/* ---- can it fit on this computer at all? ---- */

#define MIB UINT64_C(1048576)
/* Beside the weights: a least context and what computing needs, of even a small model. */
#define BESIDE (256 * MIB)

static void size_text(uint64_t bytes, char *ret, size_t size)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    if (bytes < 1024 * MIB)
        snprintf(ret, size, "%llu MiB", (unsigned long long)((bytes + MIB - 1) / MIB));
    else
        snprintf(ret, size, "%.1f GiB", (double)bytes / gib);
}

uint64_t model_offer_need(uint64_t bytes)
{
    return bytes + BESIDE;
}

int model_offer_check(const struct machine *m, const struct model_offer *offer, size_t n,
                      size_t chosen, struct gfxb_error *err)
{
    uint64_t have = m ? plan_memory_most(m) : 0;
    char need_text[32], have_text[32], better_text[32];
    size_t better = n;
    if (have == 0 || model_offer_need(offer[chosen].bytes) <= have)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (model_offer_need(offer[i].bytes) <= have && offer[i].bytes > 0 &&
            (better == n || offer[i].bytes > offer[better].bytes))
            better = i;
    }
    size_text(model_offer_need(offer[chosen].bytes), need_text, sizeof(need_text));
    size_text(have, have_text, sizeof(have_text));
    if (better == n)
        return error_set(err, GFXB_E_MEMORY_TOO_SMALL,
                         "%s needs at least %s of memory. This computer has %s for a model, so it "
                         "was not downloaded. Take a smaller model.",
                         offer[chosen].file, need_text, have_text);
    size_text(offer[better].bytes, better_text, sizeof(better_text));
    return error_set(err, GFXB_E_MEMORY_TOO_SMALL,
                     "%s needs at least %s of memory. This computer has %s for a model, so it was "
                     "not downloaded. The largest that fits is %s (%s).",
                     offer[chosen].file, need_text, have_text, offer[better].file, better_text);
}
