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

int engine_proofs_set_bench(const char *data_dir, const char *fingerprint, double speed,
                            struct gfxb_error *err)
{
    struct proofs_item item;
    struct buf CLEAN_BUF old = BUF_INIT(PROOFS_TEXT_MAX + (1u << 17));
    struct buf CLEAN_BUF text = BUF_INIT(PROOFS_TEXT_MAX);
    char *CLEAN_FREE dir = fs_join(data_dir, PROOFS_DIR);
    char *CLEAN_FREE name = proofs_name(fingerprint);
    char *CLEAN_FREE path = dir && name ? fs_join(dir, name) : NULL;
    int code = path ? fs_read(path, PROOFS_TEXT_MAX, &old) : -ENOMEM;
    if (code == 0)
        code = proofs_parse(buf_view(&old), &item);
    if (code < 0)
        return error_set(err, -code, "cannot read the stored proof: %s", error_errno_text(-code));
    item.proof.bench_speed = speed;
    proofs_print(item.fingerprint, item.day, &item.proof, &text);
    code = !buf_ok(&text) ? error_set(err, ENOMEM, "out of memory")
           : item.proof.passed
               ? kept_write(dir, name, text.p, text.n, err)
               : error_set(err, ENOENT, "the proof failed meanwhile: a failed one has no speed");
    proofs_item_done(&item);
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
