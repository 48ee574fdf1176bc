/* proof_store.c - stored proofs: DATA/proofs/SHA256-OF-THE-FINGERPRINT.proof. */
#include "engine/engine_private.h"

#include "base/digest.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DECIMAL_MAX     1e15
#define STORE_WAIT_MS   10000
#define STORE_TICK_NS   20000000
#define PROOFS_MAX      10000
#define PROOFS_READ_MAX (PROOFS_TEXT_MAX + (1u << 17))

int decimal_parse(struct str text, double *ret_value)
{
    struct str whole, fraction = text;
    uint64_t number = 0;
    if (!str_cut(&fraction, '.', &whole) || str_to_u64(whole, 10, &number) < 0)
        return -EINVAL;
    if (whole.n < text.n && fraction.n == 0)
        return -EINVAL;
    double value = (double)number, unit = 1.0;
    for (size_t i = 0; i < fraction.n; i++) {
        if (fraction.p[i] < '0' || fraction.p[i] > '9')
            return -EINVAL;
        unit /= 10.0;
        value += unit * (fraction.p[i] - '0');
    }
    if (value > DECIMAL_MAX)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

void decimal_add(struct buf *to, double value)
{
    bool fits = value >= 0.0 && value <= DECIMAL_MAX; /* false for NaN */
    uint64_t thousandths = fits ? (uint64_t)(value * 1000.0 + 0.5) : 0;
    buf_addf(to, "%" PRIu64 ".%03u", thousandths / 1000, (unsigned)(thousandths % 1000));
}

int proof_store_lock(const char *dir, int wait_ms, const atomic_int *cancel, int *ret_fd,
                     struct gfxb_error *err)
{
    char *CLEAN_FREE lock = xfs_join(dir, ".lock");
    int64_t until = clock_now_ms() + wait_ms;
    for (;;) {
        int code = fs_lock(lock, false, NULL, ret_fd, err);
        if (code != -EWOULDBLOCK)
            return code;
        if (cancel && *cancel)
            return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
        if (clock_now_ms() >= until)
            return error_set(err, EBUSY, "another gfxbridge holds %s and does not let go of it",
                             lock);
        nanosleep(&(struct timespec){.tv_nsec = STORE_TICK_NS}, NULL);
    }
}

int proof_store_write(const char *dir, const char *name, const void *bytes, size_t n,
                      const atomic_int *cancel, struct gfxb_error *err)
{
    char *CLEAN_FREE path = xfs_join(dir, name);
    char *CLEAN_FREE all = xfs_join(dir, "");
    int CLEAN_CLOSE fd = -1;
    int code = fs_make_dirs(dir, 0755, err);
    if (code == 0)
        code = proof_store_lock(dir, STORE_WAIT_MS, cancel, &fd, err);
    if (code < 0)
        return code;
    fs_sweep_writes(all);
    return fs_write(path, bytes, n, 0644, err);
}

#define PROOFS_FIRST_LINE "gfxbridge-proof 1"

/* The lines of a proof but for passed, code and the rungs. An optional one that is empty or 0 is
 * left out. */
static const struct proofs_field {
    const char *key;
    /* char *, char[size], double, uint64_t */
    enum { PROOFS_TEXT, PROOFS_FIXED, PROOFS_NUMBER, PROOFS_BYTES } type;
    bool optional;
    size_t offset, size;
} proofs_fields[] = {
#define FIELD(key, type, optional, member)                                                         \
    {                                                                                              \
        key, type, optional, offsetof(struct proofs_item, member),                                 \
            sizeof(((struct proofs_item *)0)->member)                                              \
    }
    FIELD("fingerprint", PROOFS_TEXT, false, fingerprint),
    FIELD("day", PROOFS_FIXED, false, proof.day),
    FIELD("sentence", PROOFS_TEXT, false, proof.sentence),
    FIELD("device", PROOFS_FIXED, false, proof.device),
    FIELD("shown", PROOFS_FIXED, false, proof.shown),
    FIELD("device-bytes", PROOFS_BYTES, true, proof.device_bytes),
    FIELD("gpu-bytes", PROOFS_BYTES, true, proof.gpu_bytes),
    FIELD("load-ms", PROOFS_NUMBER, false, proof.load_ms),
    FIELD("first-token-ms", PROOFS_NUMBER, false, proof.first_token_ms),
    FIELD("tokens-per-second", PROOFS_NUMBER, false, proof.tokens_per_second),
    FIELD("bench-tokens-per-second", PROOFS_NUMBER, true, proof.bench_speed),
    FIELD("bench-with", PROOFS_FIXED, true, proof.bench_with),
    FIELD("covers-types", PROOFS_FIXED, true, proof.covers.types),
    FIELD("covers-shapes", PROOFS_FIXED, true, proof.covers.shapes),
    FIELD("covers-lengths", PROOFS_FIXED, true, proof.covers.lengths),
    FIELD("covers-sequences", PROOFS_BYTES, true, proof.covers.sequences),
    FIELD("covers-canaries", PROOFS_FIXED, true, proof.covers.canaries),
    FIELD("covers-skipped", PROOFS_FIXED, true, proof.covers.skipped),
    FIELD("fails", PROOFS_FIXED, true, proof.covers.fails),
    FIELD("fails-why", PROOFS_FIXED, true, proof.covers.why),
    FIELD("model", PROOFS_TEXT, true, proof.model),
#undef FIELD
};

#define PROOFS_FIELDS (sizeof(proofs_fields) / sizeof(proofs_fields[0]))

/* One line stays one line: control characters become blanks. */
static void proofs_add_line(struct buf *to, const char *key, const char *value)
{
    buf_addf(to, "%s ", key);
    for (const char *c = value ? value : ""; *c; c++)
        buf_add_char(to, (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c);
    buf_add_char(to, '\n');
}

static void proofs_add_field(struct buf *to, const struct proofs_item *item,
                             const struct proofs_field *f)
{
    const void *at = (const char *)item + f->offset;
    if (f->type == PROOFS_BYTES) {
        if (*(const uint64_t *)at)
            buf_addf(to, "%s %" PRIu64 "\n", f->key, *(const uint64_t *)at);
        return;
    }
    if (f->type == PROOFS_NUMBER) {
        double value = *(const double *)at;
        if (f->optional && value < 0.0006) /* what three digits show */
            return;
        buf_addf(to, "%s ", f->key);
        decimal_add(to, value);
        buf_add_char(to, '\n');
        return;
    }
    const char *text = f->type == PROOFS_TEXT ? *(char *const *)at : at;
    if (!f->optional || (text && text[0]))
        proofs_add_line(to, f->key, text);
}

static const char *proofs_tri_name(enum tri value)
{
    return value == TRI_YES ? "yes" : value == TRI_NO ? "no" : "unknown";
}

void proofs_print(const struct proofs_item *item, struct buf *ret)
{
    const struct engine_proof *proof = &item->proof;
    buf_add_text(ret, PROOFS_FIRST_LINE "\n");
    proofs_add_line(ret, "passed", proof->passed ? "yes" : "no");
    proofs_add_line(ret, "code", gfxb_code_name(proof->code));
    for (size_t i = 0; i < PROOFS_FIELDS; i++)
        proofs_add_field(ret, item, &proofs_fields[i]);
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%s %s", plan_rung_name(proof->rung[i].rung),
                 proofs_tri_name(proof->rung[i].ok));
        proofs_add_line(ret, key, proof->rung[i].detail);
    }
    buf_add_text(ret, "end\n");
}

static void proofs_set_text(char **text, struct str value)
{
    free(*text);
    *text = xstr_dup(value);
}

static bool proofs_take_field(struct proofs_item *item, const struct proofs_field *f,
                              struct str value)
{
    void *at = (char *)item + f->offset;
    if (f->type == PROOFS_NUMBER)
        return decimal_parse(value, at) == 0;
    if (f->type == PROOFS_BYTES)
        return str_to_u64(value, 10, at) == 0;
    if (f->type == PROOFS_TEXT)
        proofs_set_text(at, value);
    else if (value.n < f->size)
        snprintf(at, f->size, "%.*s", STR_ARG(value));
    return f->type == PROOFS_TEXT || value.n < f->size;
}

static bool proofs_take_rung(struct engine_rung *rung, struct str value)
{
    struct str ok;
    if (!str_cut(&value, ' ', &ok))
        return false;
    rung->ok = str_is(ok, "yes") ? TRI_YES : str_is(ok, "no") ? TRI_NO : TRI_UNKNOWN;
    proofs_set_text(&rung->detail, value);
    return true;
}

static bool proofs_take(struct proofs_item *item, struct str key, struct str value)
{
    struct engine_proof *proof = &item->proof;
    if (str_is(key, "passed")) {
        proof->passed = str_is(value, "yes");
        return proof->passed || str_is(value, "no");
    }
    if (str_is(key, "code"))
        return (proof->code = error_code_number(value)) >= 0;
    for (size_t i = 0; i < PROOFS_FIELDS; i++) {
        if (str_is(key, proofs_fields[i].key))
            return proofs_take_field(item, &proofs_fields[i], value);
    }
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        if (str_is(key, plan_rung_name(proof->rung[i].rung)))
            return proofs_take_rung(&proof->rung[i], value);
    }
    return true; /* a key of a newer gfxbridge */
}

int proofs_parse(struct str text, struct proofs_item *ret_item)
{
    struct proofs_item item = {.fingerprint = NULL, .proof = {.code = -1}};
    struct str line, key;
    bool ended = false, ok = !memchr(text.n ? text.p : "", '\0', text.n) &&
                             str_cut(&text, '\n', &line) && str_is(line, PROOFS_FIRST_LINE);
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        item.proof.rung[i].rung = PLAN_E3 + (enum plan_rung)i;
        item.proof.rung[i].ok = TRI_UNKNOWN;
    }
    while (ok && !ended && str_cut(&text, '\n', &line)) {
        ended = str_is(line, "end");
        if (!ended && str_cut(&line, ' ', &key))
            ok = proofs_take(&item, key, line);
    }
    if (ok && !item.proof.sentence)
        item.proof.sentence = xstrdup("");
    item.proof.log_tail = xstrdup("");
    /* Passed and a reason against it is no proof. */
    if (!ok || !ended || !item.fingerprint || !item.fingerprint[0] || item.proof.code < 0 ||
        item.proof.passed != (item.proof.code == GFXB_E_OK)) {
        proofs_item_done(&item);
        return -EBADMSG;
    }
    *ret_item = item;
    return 0;
}

void proofs_item_done(struct proofs_item *item)
{
    free(item->fingerprint);
    engine_proof_done(&item->proof);
    item->fingerprint = NULL;
}

bool proofs_is_name(const char *name)
{
    return strlen(name) == PROOFS_NAME + strlen(PROOFS_SUFFIX) &&
           str_ends(str_from(name), STR(PROOFS_SUFFIX)) &&
           strspn(name, "0123456789abcdef") == PROOFS_NAME;
}

void engine_proof_done(struct engine_proof *proof)
{
    for (size_t i = 0; i < ENGINE_RUNGS; i++)
        free(proof->rung[i].detail);
    free(proof->sentence);
    free(proof->log_tail);
    free(proof->model);
    *proof = (struct engine_proof){.passed = false};
}

struct engine_proofs {
    struct proofs_item *item;
    size_t n;
    struct plan_proof *for_plan; /* those that are of no model, as the plan wants them */
    size_t n_for_plan;
};

static bool proofs_read(const char *dir, const char *name, struct proofs_item *ret_item)
{
    struct proofs_item item;
    struct buf CLEAN_BUF text = BUF_INIT(PROOFS_READ_MAX);
    char *CLEAN_FREE path = xfs_join(dir, name);
    if (fs_read(path, PROOFS_TEXT_MAX, &text) < 0 || proofs_parse(buf_view(&text), &item) < 0)
        return false;
    *ret_item = item;
    return true;
}

static void proofs_fill_plan(struct engine_proofs *proofs)
{
    proofs->for_plan = xcalloc(proofs->n + 1, sizeof(proofs->for_plan[0]));
    for (size_t i = 0; i < proofs->n; i++) {
        const struct proofs_item *item = &proofs->item[i];
        if (item->proof.model)
            continue;
        proofs->for_plan[proofs->n_for_plan++] = (struct plan_proof){
            .fingerprint = item->fingerprint,
            .passed = item->proof.passed,
            .code = item->proof.code,
            .day = item->proof.day,
            .detail = item->proof.passed ? item->proof.shown : item->proof.sentence,
            .device_bytes = item->proof.device_bytes,
            .gpu_bytes = item->proof.gpu_bytes,
            .tokens_per_second = item->proof.tokens_per_second,
            .bench_speed = item->proof.bench_speed,
            .bench_with = item->proof.bench_with,
        };
    }
}

static int proofs_order(const void *a, const void *b)
{
    return strcmp(((const struct proofs_item *)a)->fingerprint,
                  ((const struct proofs_item *)b)->fingerprint);
}

int engine_proofs_new(const char *data_dir, struct engine_proofs **ret_proofs,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE path = xfs_join(data_dir, PROOFS_DIR);
    DIR *CLEAN_DIR dir = opendir(path);
    const char *name;
    if (!dir && errno != ENOENT)
        return error_set(err, errno, "cannot read the stored proofs: %s", error_errno_text(errno));
    struct engine_proofs *proofs = xcalloc(1, sizeof(*proofs));
    while (proofs->n < PROOFS_MAX && (name = fs_next(dir))) {
        struct proofs_item item;
        if (!proofs_is_name(name) || !proofs_read(path, name, &item))
            continue;
        proofs->item = xreallocarray(proofs->item, proofs->n + 1, sizeof(item));
        proofs->item[proofs->n++] = item;
    }
    if (proofs->n)
        qsort(proofs->item, proofs->n, sizeof(proofs->item[0]), proofs_order);
    proofs_fill_plan(proofs);
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
    *ret_n = proofs->n_for_plan;
    return proofs->for_plan;
}

const struct engine_proof *engine_proofs_find(const struct engine_proofs *proofs,
                                              const char *fingerprint)
{
    const struct proofs_item wanted = {.fingerprint = (char *)(uintptr_t)fingerprint};
    const struct proofs_item *item =
        proofs->n ? bsearch(&wanted, proofs->item, proofs->n, sizeof(proofs->item[0]), proofs_order)
                  : NULL;
    return item ? &item->proof : NULL;
}

/* The file name of a fingerprint, to be freed. */
static char *proofs_name(const char *fingerprint)
{
    char hex[DIGEST_HEX];
    if (digest_bytes(fingerprint, strlen(fingerprint), hex) < 0)
        xalloc_die();
    return xasprintf("%s" PROOFS_SUFFIX, hex);
}

static int proofs_write(const char *data_dir, const struct proofs_item *item,
                        const atomic_int *cancel, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(PROOFS_TEXT_MAX);
    char *CLEAN_FREE dir = xfs_join(data_dir, PROOFS_DIR);
    char *CLEAN_FREE name = proofs_name(item->fingerprint);
    proofs_print(item, &text);
    if (!buf_ok(&text))
        return error_set(err, E2BIG, "a proof is longer than %u bytes", PROOFS_TEXT_MAX);
    return proof_store_write(dir, name, text.p, text.n, cancel, err);
}

/* Outcomes of models whose file is no more. */
static void proofs_drop_gone(const char *data_dir)
{
    char *CLEAN_FREE path = xfs_join(data_dir, PROOFS_DIR);
    DIR *CLEAN_DIR dir = opendir(path);
    const char *name;
    while ((name = fs_next(dir))) {
        struct proofs_item item;
        if (!proofs_is_name(name) || !proofs_read(path, name, &item))
            continue;
        const char *file = item.proof.model ? strchr(item.proof.model, ' ') : NULL;
        if (file && access(file + 1, F_OK) < 0 && errno == ENOENT)
            unlinkat(dirfd(dir), name, 0);
        proofs_item_done(&item);
    }
}

int engine_proofs_save(const char *data_dir, const char *fingerprint,
                       const struct engine_proof *proof, const atomic_int *cancel,
                       struct gfxb_error *err)
{
    struct proofs_item item = {.fingerprint = (char *)(uintptr_t)fingerprint, .proof = *proof};
    struct tm parts;
    time_t now = time(NULL);
    if (fingerprint[0] == '\0' || strpbrk(fingerprint, "\r\n"))
        return error_set(err, EINVAL, "a fingerprint is one line of text");
    if (localtime_r(&now, &parts))
        strftime(item.proof.day, sizeof(item.proof.day), "%Y-%m-%d", &parts);
    if (proof->model)
        proofs_drop_gone(data_dir);
    return proofs_write(data_dir, &item, cancel, err);
}

int engine_proofs_set_covers(struct engine_proofs *proofs, const char *data_dir,
                             const char *fingerprint, const struct engine_covers *covers,
                             const atomic_int *cancel, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = xfs_join(data_dir, PROOFS_DIR);
    char *CLEAN_FREE name = proofs_name(fingerprint);
    struct proofs_item item;
    int code = 0;
    for (size_t i = 0; i < proofs->n; i++) {
        if (strcmp(proofs->item[i].fingerprint, fingerprint) == 0)
            proofs->item[i].proof.covers = *covers;
    }
    /* The tests took a while: the proof may have failed or gone meanwhile. */
    if (!proofs_read(dir, name, &item))
        return 0;
    item.proof.covers = *covers;
    if (item.proof.passed)
        code = proofs_write(data_dir, &item, cancel, err);
    proofs_item_done(&item);
    return code;
}

/* The text of the stored proof with this figure in it. */
static int proofs_text_with(const char *path, const struct engine_proofs_speed *speed,
                            const char *with, struct buf *ret_text)
{
    struct proofs_item item;
    struct buf CLEAN_BUF old = BUF_INIT(PROOFS_READ_MAX);
    int code = fs_read(path, PROOFS_TEXT_MAX, &old);
    if (code == 0)
        code = proofs_parse(buf_view(&old), &item);
    if (code < 0)
        return code;
    item.proof.bench_speed = speed->tokens_per_second;
    snprintf(item.proof.bench_with, sizeof(item.proof.bench_with), "%s", with);
    proofs_print(&item, ret_text);
    code = item.proof.passed ? 0 : -ENOENT;
    proofs_item_done(&item);
    return code < 0 || buf_ok(ret_text) ? code : -E2BIG;
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
    char *CLEAN_FREE path = xfs_join(dir, change->name);
    int code = proofs_text_with(path, speed, with, &change->text);
    if (code == -ENOENT)
        return error_set(err, ENOENT, "a proof is gone or has failed meanwhile: measure again");
    return code < 0
               ? error_set(err, -code, "cannot read the stored proof: %s", error_errno_text(-code))
               : 0;
}

int engine_proofs_set_bench(const char *data_dir, const struct engine_proofs_speed *speed, size_t n,
                            const char *with, const atomic_int *cancel, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = xfs_join(data_dir, PROOFS_DIR);
    struct proofs_change *change = xcalloc(n + 1, sizeof(*change));
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++)
        code = proofs_prepare(dir, &speed[i], with, &change[i], err);
    for (size_t i = 0; i < n && code == 0; i++)
        code =
            proof_store_write(dir, change[i].name, change[i].text.p, change[i].text.n, cancel, err);
    for (size_t i = 0; i < n; i++) {
        free(change[i].name);
        buf_done(&change[i].text);
    }
    free(change);
    return code;
}

static int proofs_remove_all(const char *path)
{
    DIR *CLEAN_DIR dir = opendir(path);
    const char *name;
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    while ((name = fs_next(dir))) {
        if (proofs_is_name(name) && unlinkat(dirfd(dir), name, 0) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}

int engine_proofs_remove(const char *data_dir, const char *fingerprint, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = xfs_join(data_dir, PROOFS_DIR);
    char *CLEAN_FREE name = fingerprint ? proofs_name(fingerprint) : NULL;
    char *CLEAN_FREE path = name ? xfs_join(dir, name) : NULL;
    int code = path ? 0 : proofs_remove_all(dir);
    if (path && unlink(path) < 0 && errno != ENOENT)
        code = -errno;
    return code < 0 ? error_set(err, -code, "cannot remove the stored proof: %s",
                                error_errno_text(-code))
                    : 0;
}
