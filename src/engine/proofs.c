#include "engine/proofs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define PROOFS_MAX 10000

struct engine_proofs {
    struct proofs_item *item;
    struct plan_proof *for_plan; /* the same, as the plan wants them */
    size_t n;
};

static bool proofs_read(const char *dir, const char *name, struct proofs_item *ret_item)
{
    struct proofs_item item;
    struct buf CLEAN_BUF text = BUF_INIT(PROOFS_TEXT_MAX + (1u << 17));
    char *CLEAN_FREE path = fs_join(dir, name);
    if (!path || fs_read(path, PROOFS_TEXT_MAX, &text) < 0 ||
        proofs_parse(buf_view(&text), &item) < 0)
        return false;
    *ret_item = item;
    return true;
}

static int proofs_add(struct engine_proofs *proofs, const struct proofs_item *item)
{
    size_t n = proofs->n + 1;
    if ((n & (n - 1)) == 0) { /* room for the next power of two */
        struct proofs_item *grown = realloc(proofs->item, 2 * n * sizeof(grown[0]));
        if (!grown)
            return -ENOMEM;
        proofs->item = grown;
    }
    proofs->item[proofs->n++] = *item;
    return 0;
}

static int proofs_fill_plan(struct engine_proofs *proofs)
{
    proofs->for_plan = calloc(proofs->n + 1, sizeof(proofs->for_plan[0]));
    if (!proofs->for_plan)
        return -ENOMEM;
    for (size_t i = 0; i < proofs->n; i++) {
        const struct proofs_item *item = &proofs->item[i];
        proofs->for_plan[i] = (struct plan_proof){
            .fingerprint = item->fingerprint,
            .passed = item->proof.passed,
            .code = item->proof.code,
            .day = item->day,
            .detail = item->proof.passed ? item->proof.shown : item->proof.sentence,
            .tokens_per_second = item->proof.tokens_per_second,
            .bench_speed = item->proof.bench_speed,
            .bench_with = item->proof.bench_with,
        };
    }
    return 0;
}

int engine_proofs_new(const char *data_dir, struct engine_proofs **ret_proofs,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE path = fs_join(data_dir, PROOFS_DIR);
    struct engine_proofs *proofs = calloc(1, sizeof(*proofs));
    DIR *dir = path ? opendir(path) : NULL;
    int code = proofs && path ? 0 : -ENOMEM;
    if (code == 0 && !dir && errno != ENOENT)
        code = -errno;
    const struct dirent *entry;
    while (code == 0 && dir && proofs->n < PROOFS_MAX && (entry = readdir(dir))) {
        struct proofs_item item;
        if (!proofs_is_name(entry->d_name) || !proofs_read(path, entry->d_name, &item))
            continue;
        code = proofs_add(proofs, &item);
        if (code < 0)
            proofs_item_done(&item);
    }
    if (dir)
        closedir(dir);
    if (code == 0)
        code = proofs_fill_plan(proofs);
    if (code < 0) {
        engine_proofs_free(proofs);
        return error_set(err, -code, "cannot read the stored proofs: %s", error_errno_text(-code));
    }
    *ret_proofs = proofs;
    return 0;
}

void engine_proofs_free(struct engine_proofs *proofs)
{
    if (!proofs)
        return;
    for (size_t i = 0; i < proofs->n; i++)
        proofs_item_done(&proofs->item[i]);
    free(proofs->item);
    free(proofs->for_plan);
    free(proofs);
}

const struct plan_proof *engine_proofs_for_plan(const struct engine_proofs *proofs, size_t *ret_n)
{
    *ret_n = proofs->n;
    return proofs->for_plan;
}

const struct engine_proof *engine_proofs_find(const struct engine_proofs *proofs,
                                              const char *fingerprint)
{
    for (size_t i = 0; i < proofs->n; i++) {
        if (strcmp(proofs->item[i].fingerprint, fingerprint) == 0)
            return &proofs->item[i].proof;
    }
    return NULL;
}
