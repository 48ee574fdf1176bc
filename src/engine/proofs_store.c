/* proofs_store.c - writing and removing stored proofs; what only reads them does without libcrypto.
 */
#include "base/digest.h"
#include "engine/kept.h"
#include "engine/proofs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

/* The file name of a fingerprint, to be freed; NULL out of memory. */
static char *proofs_name(const char *fingerprint)
{
    char hex[DIGEST_HEX], *name = NULL;
    if (digest_bytes(fingerprint, strlen(fingerprint), hex) < 0 ||
        asprintf(&name, "%s" PROOFS_SUFFIX, hex) < 0)
        return NULL;
    return name;
}

int engine_proofs_save(const char *data_dir, const char *fingerprint,
                       const struct engine_proof *proof, struct gfxb_error *err)
{
    char day[16];
    struct tm parts;
    time_t now = time(NULL);
    struct buf CLEAN_BUF text = BUF_INIT(PROOFS_TEXT_MAX);
    char *CLEAN_FREE dir = fs_join(data_dir, PROOFS_DIR);
    char *CLEAN_FREE name = proofs_name(fingerprint);
    if (fingerprint[0] == '\0' || strpbrk(fingerprint, "\r\n"))
        return error_set(err, EINVAL, "a fingerprint is one line of text");
    if (!dir || !name || !localtime_r(&now, &parts) ||
        strftime(day, sizeof(day), "%Y-%m-%d", &parts) == 0)
        return error_set(err, ENOMEM, "out of memory");
    proofs_print(fingerprint, day, proof, &text);
    if (!buf_ok(&text))
        return error_set(err, ENOMEM, "out of memory");
    return kept_write(dir, name, text.p, text.n, err);
}

/* The text of the stored proof with this figure in it. */
static int proofs_text_with(const char *path, const struct engine_proofs_speed *speed,
                            const char *with, struct buf *ret_text)
{
    struct proofs_item item;
    struct buf CLEAN_BUF old = BUF_INIT(PROOFS_TEXT_MAX + (1u << 17));
    int code = fs_read(path, PROOFS_TEXT_MAX, &old);
    if (code == 0)
        code = proofs_parse(buf_view(&old), &item);
    if (code < 0)
        return code;
    item.proof.bench_speed = speed->tokens_per_second;
    snprintf(item.proof.bench_with, sizeof(item.proof.bench_with), "%s", with);
    proofs_print(item.fingerprint, item.day, &item.proof, ret_text);
    code = item.proof.passed ? 0 : -ENOENT;
    proofs_item_done(&item);
    return code < 0 || buf_ok(ret_text) ? code : -ENOMEM;
}

struct proofs_change {
    char *name;
    struct buf text;
};

static int proofs_prepare(const char *dir, const struct engine_proofs_speed *speed,
                          const char *with, struct proofs_change *change, struct gfxb_error *err)
{
    change->text = BUF_INIT(PROOFS_TEXT_MAX);
    change->name = proofs_name(speed->fingerprint);
    char *CLEAN_FREE path = change->name ? fs_join(dir, change->name) : NULL;
    int code = path ? proofs_text_with(path, speed, with, &change->text) : -ENOMEM;
    if (code == -ENOENT)
        return error_set(err, ENOENT, "a proof is gone or has failed meanwhile: measure again");
    return code < 0
               ? error_set(err, -code, "cannot read the stored proof: %s", error_errno_text(-code))
               : 0;
}

int engine_proofs_set_bench(const char *data_dir, const struct engine_proofs_speed *speed, size_t n,
                            const char *with, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = fs_join(data_dir, PROOFS_DIR);
    struct proofs_change *change = calloc(n + 1, sizeof(*change));
    int code = dir && change ? 0 : error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n && code == 0; i++)
        code = proofs_prepare(dir, &speed[i], with, &change[i], err);
    for (size_t i = 0; i < n && code == 0; i++)
        code = kept_write(dir, change[i].name, change[i].text.p, change[i].text.n, err);
    for (size_t i = 0; i < n && change; i++) {
        free(change[i].name);
        buf_done(&change[i].text);
    }
    free(change);
    return code;
}

static int proofs_remove_all(const char *dir)
{
    DIR *stream = opendir(dir);
    if (!stream)
        return errno == ENOENT ? 0 : -errno;
    int code = 0;
    const struct dirent *entry;
    while (code == 0 && (entry = readdir(stream))) {
        if (proofs_is_name(entry->d_name) && unlinkat(dirfd(stream), entry->d_name, 0) < 0 &&
            errno != ENOENT)
            code = -errno;
    }
    closedir(stream);
    return code;
}

int engine_proofs_remove(const char *data_dir, const char *fingerprint, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = fs_join(data_dir, PROOFS_DIR);
    char *CLEAN_FREE name = fingerprint ? proofs_name(fingerprint) : NULL;
    char *CLEAN_FREE path = dir && name ? fs_join(dir, name) : NULL;
    int code = dir && (path || !fingerprint) ? 0 : -ENOMEM;
    if (code == 0 && !fingerprint)
        code = proofs_remove_all(dir);
    else if (code == 0 && unlink(path) < 0 && errno != ENOENT)
        code = -errno;
    if (code < 0)
        return error_set(err, -code, "cannot remove the stored proof: %s", error_errno_text(-code));
    return 0;
}
