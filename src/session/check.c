/* check.c - is a model computed on its device as on the CPU? Compared, stored, read again. */
#include "base/digest.h"
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>

enum {
    CHECK_CONTEXT = 2048, /* tokens: its prompts are short */
    CHECK_ARGS_MAX = 64,
};

/* The model's own arguments, but for its projector, which no text needs. */
static void check_args(const struct session_request *r, const struct session *session,
                       const char *ret_args[CHECK_ARGS_MAX])
{
    char *const *own = session->use->launch.args;
    size_t n = 0;
    for (size_t i = 0; own[i] && n + 1 < CHECK_ARGS_MAX; i++) {
        if (r->mmproj && own[i + 1] && strcmp(own[i + 1], r->mmproj) == 0)
            i++;
        else
            ret_args[n++] = own[i];
    }
    ret_args[n] = NULL;
}

static void check_digest(const char *text, char ret_hex[static DIGEST_HEX])
{
    if (digest_bytes(text, strlen(text), ret_hex) < 0)
        xalloc_die();
}

char *session_model_state(const struct session_request *r, const struct session *session)
{
    const char *args[CHECK_ARGS_MAX];
    char hex[DIGEST_HEX];
    struct buf CLEAN_BUF text = BUF_INIT(2 << 20);
    char *CLEAN_FREE files = r->model && session->use ? model_files_state(r->model) : NULL;
    if (!files)
        return NULL;
    buf_add_text(&text, files);
    check_args(r, session, args);
    for (size_t i = 0; args[i]; i++)
        buf_addf(&text, "%s\n", args[i]);
    check_digest(buf_text(&text), hex);
    return xasprintf("%.16s %s", hex, r->model);
}

/* What the outcome for a model file on a choice is stored under, whatever the file's state. To be
 * freed. */
static char *check_name(const char *model, const char *fingerprint)
{
    char hex[DIGEST_HEX];
    check_digest(model, hex);
    return xasprintf("%s|model=%.16s", fingerprint, hex);
}

/* state: of the model's files now; NULL: what is stored counts for nothing. */
static void check_read(const struct session_request *r, const struct session *session,
                       const struct engine_need *need, const char *state, struct plan_proof *proof)
{
    const struct engine_proof *whole = engine_proofs_find(session->stored, proof->fingerprint);
    if (whole && engine_covers_fail(session_kind(r), &whole->covers, need, &proof->model_what)) {
        proof->model_code = GFXB_E_CANARY_MISMATCH;
        return;
    }
    proof->model_what = STR_NONE;
    char *CLEAN_FREE name = state ? check_name(r->model, proof->fingerprint) : NULL;
    const struct engine_proof *check = name ? engine_proofs_find(session->stored, name) : NULL;
    if (!check || !check->model || strcmp(check->model, state) != 0)
        return;
    proof->model_code = check->code;
    proof->model_what = str_from(check->passed ? check->shown : check->sentence);
    proof->model_day = check->day;
}

void session_read_checks(const struct session_request *r, struct session *session)
{
    struct engine_need need;
    if (!session->use)
        return;
    char *CLEAN_FREE state = r->recheck ? NULL : session_model_state(r, session);
    model_use_need(session_kind(r), session->use, &need);
    for (size_t i = session->n_failures; i < session->n_proofs; i++) {
        if (session->proof[i].passed)
            check_read(r, session, &need, state, &session->proof[i]);
    }
}

static int check_save(const struct session_request *r, const struct session *session,
                      const struct engine_comparison *c, const struct gfxb_error *why,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE name = check_name(session->model, session->running->fingerprint);
    struct engine_proof proof = {.passed = !why->code,
                                 .code = why->code,
                                 .sentence = xstrdup(why->code ? why->text : ""),
                                 .model = xstrdup(session->model_state)};
    snprintf(proof.shown, sizeof(proof.shown),
             "the first tokens of %u prompts, log-probabilities at most %.2f apart (%.2f allowed)",
             c->prompts, c->greatest, c->allowed);
    for (size_t i = 0; i < ENGINE_RUNGS; i++)
        proof.rung[i] = (struct engine_rung){PLAN_E3 + (enum plan_rung)i, TRI_UNKNOWN, NULL};
    proof.rung[PLAN_E4 - PLAN_E3].ok = why->code ? TRI_NO : TRI_YES;
    int result = engine_proofs_save(r->data_dir, name, &proof, r->cancel, err);
    engine_proof_done(&proof);
    return result;
}

/* The device and the CPU are to compute the same files: those that the engine was started with. */
static int check_files(const struct session_request *r, const struct session *session,
                       struct gfxb_error *err)
{
    char *CLEAN_FREE now = session_model_state(r, session);
    if (now && session->model_state && strcmp(now, session->model_state) == 0)
        return 0;
    return error_set(err, ESTALE, "not compared: the files of %s were changed after it was loaded",
                     session->model);
}

/* Is there memory for the model on the CPU, beside what runs? Pages of its file may be shared, and
 * are counted still. */
static int check_memory(const struct session_request *r, const struct session *session,
                        struct gfxb_error *err)
{
    struct fit_need need;
    uint64_t all = 0, now = 0, limit = r->machine->host.cgroup_limit_bytes;
    machine_memory(r->root, &all, &now);
    now = limit && limit < now ? limit : now; /* where the cgroup's use is not known */
    fit_need(&session->use->shape, &session->use->use, CHECK_CONTEXT, 0, &need);
    if (!now || need.host.total <= fit_usable(now))
        return 0;
    return error_set(err, GFXB_E_MEMORY_TOO_SMALL,
                     "not compared: beside it the CPU would need %llu MiB for the model, and %llu "
                     "MiB are free",
                     (unsigned long long)(need.host.total >> 20), (unsigned long long)(now >> 20));
}

/* They differ: is the CPU right with this package, and for models of this kind? */
static int check_cpu(const struct session_request *r, const struct session *session,
                     const struct engine_spec *spec, struct gfxb_error *err)
{
    struct plan_choice cpu = session_cpu_choice();
    struct engine_trial trial = {.spec = *spec, .choice = &cpu, .data_dir = r->data_dir};
    struct engine_proof proof;
    struct engine_need need;
    struct gfxb_error why = {.code = 0};
    model_use_need(session_kind(r), session->use, &need);
    int result = engine_prove(&trial, &proof, &why);
    if (result < 0)
        return error_set(err, why.code, "%s", why.text);
    if (!proof.passed)
        result = error_set(&why, proof.code, "%s", proof.sentence);
    else
        result = engine_prove_need(&trial, proof.device, &need, &proof.covers, &why);
    engine_proof_done(&proof);
    if (result < 0)
        return error_set(err, why.code == GFXB_E_INTERRUPTED ? why.code : EPROTO,
                         "not compared: the CPU computes wrongly with this package: %s", why.text);
    return 0;
}

int session_check_model(const struct session_request *r, struct session *session,
                        const struct session_check *check, struct engine_comparison *ret_comparison,
                        struct gfxb_error *err)
{
    char *CLEAN_FREE cache_dir = session_home(r, session->package);
    const char *args[CHECK_ARGS_MAX];
    struct engine_spec cpu;
    struct gfxb_error why = {.code = 0};
    enum model_task task = session->use->launch.task;
    if (task == MODEL_EMBEDDING || task == MODEL_RERANKING)
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "not compared: only models that write text can be");
    int result = check_files(r, session, err) ?: check_memory(r, session, err);
    if (result < 0)
        return result;
    session_spec(r, session->package, cache_dir, &cpu);
    check_args(r, session, args);
    cpu.backend = PLAN_CPU;
    cpu.args = args;
    cpu.model = session->model;
    cpu.context = CHECK_CONTEXT;
    cpu.plain = true;
    cpu.idle = check->idle;
    cpu.cancel = check->cancel;
    struct engine_compare compare = {.device = session->engine,
                                     .slot = session->slots - 1,
                                     .cpu = &cpu,
                                     .patience_ms = check->patience_ms,
                                     .cancel = check->cancel};
    result = engine_compare(&compare, ret_comparison, &why);
    if (result == -GFXB_E_MODEL_MISMATCH) {
        cpu.args = NULL;
        result = check_cpu(r, session, &cpu, err);
        if (result < 0)
            return result;
    } else if (result < 0) {
        return error_set(err, why.code, "not compared: %s", why.text);
    }
    result = check_files(r, session, err);
    if (result < 0)
        return result;
    result = check_save(r, session, ret_comparison, &why, err);
    if (!why.code)
        return result;
    if (result < 0)
        log_at(r->log, LOG_WARNING, "the model computes wrongly, and this cannot be stored: %s",
               err->text);
    return error_set(err, why.code, "%s", why.text);
}
