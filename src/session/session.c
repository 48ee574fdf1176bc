#include "session/session.h"
#include "session/session_private.h"

#include <errno.h>
#include <stdio.h>

/* More attempts than any plan has choices: only a plan that offers one again and again gets here.
 */
enum { PATH_ATTEMPTS = 64 };

/* ---- one step: install, prove or start ---- */

/* Does a failure say something about this computer as a whole, so that no other choice can help? */
static bool session_is_final(int code)
{
    return code == GFXB_E_INTERRUPTED || error_is_ours(code) || code == EACCES || code == EROFS;
}

static int session_add_failure(struct session *path, const struct session_failure *failure,
                               struct gfxb_error *err)
{
    struct session_failure *grown =
        reallocarray(path->failure, path->n_failures + 1, sizeof(*path->failure));
    if (!grown)
        return error_set(err, ENOMEM, "out of memory");
    path->failure = grown;
    struct session_failure *f = &grown[path->n_failures];
    *f = (struct session_failure){.fingerprint = strdup(failure->fingerprint),
                                  .detail = strdup(failure->detail),
                                  .code = failure->code,
                                  .broke = failure->broke};
    path->n_failures++;
    return f->fingerprint && f->detail ? 0 : error_set(err, ENOMEM, "out of memory");
}

static const struct gfx_package *session_find_row(const struct gfx_tables *tables, const char *id)
{
    for (size_t i = 0; i < tables->n_packages; i++) {
        if (str_is(tables->package[i].id, id))
            return &tables->package[i];
    }
    return NULL;
}

static int session_install(const struct session_request *r, const struct plan_choice *choice,
                           struct gfxb_error *err)
{
    const struct gfx_package *row = session_find_row(r->tables, choice->package);
    if (!row)
        return error_set(err, GFXB_E_NO_PACKAGE, "the table of packages has no row '%s'",
                         choice->package);
    struct package_env env = session_package_env(r);
    struct package_net net = r->net;
    net.fetch.cancel = r->cancel;
    env.net = &net;
    env.gfx = choice->gfx;
    log_at(r->log, LOG_INFO, "installing %s", choice->package);
    return package_install(&env, row, err);
}

static const struct package *session_package_of(const struct session *path,
                                                const struct plan_choice *choice)
{
    return choice->installed ? &path->packages.item[choice->installed - path->installed] : NULL;
}

static void session_spec(const struct session_request *r, const struct package *package,
                         const char *cache_dir, struct engine_spec *ret_spec)
{
    *ret_spec = (struct engine_spec){.package = package,
                                     .runtime_dir = r->runtime_dir,
                                     .cache_dir = cache_dir,
                                     .cancel = r->cancel,
                                     .unconfined = r->unconfined,
                                     .log = r->log};
}

/* The CPU's speed on the canary from its stored proof; 0 when it has none. */
static double session_cpu_speed(const struct session *path)
{
    for (size_t i = 0; i < path->plan->n_choices; i++) {
        const struct plan_choice *c = &path->plan->choice[i];
        if (c->backend != PLAN_CPU || c->state != PLAN_PROVEN)
            continue;
        for (size_t k = 0; k < path->n_proofs; k++) {
            if (path->proof[k].passed && strcmp(path->proof[k].fingerprint, c->fingerprint) == 0)
                return path->proof[k].tokens_per_second;
        }
    }
    return 0;
}

/* Measure the CPU with the package of a GPU choice, which computes on the CPU as well: a fraction
 * of a second, so that E5 has something to compare with before any CPU package was ever proven. 0
 * when it cannot be measured. */
static double session_measure_cpu(const struct engine_trial *trial)
{
    static char device[] = "--device", none[] = "none";
    char *args[] = {device, none, NULL}, *nothing[] = {NULL};
    struct plan_choice cpu = {
        .backend = PLAN_CPU, .gpu_pci = nothing, .env = nothing, .args = args, .warning = nothing};
    struct engine_trial measure = *trial;
    struct engine_proof proof;
    measure.choice = &cpu;
    measure.floor = 0;
    if (engine_prove(&measure, &proof, NULL, NULL) < 0)
        return 0;
    double speed = proof.passed ? proof.tokens_per_second : 0;
    engine_proof_done(&proof);
    return speed;
}

/* What a GPU must reach on the canary. lavapipe is no GPU and is never too slow. */
static double session_floor(const struct session *path, const struct engine_trial *trial)
{
    enum plan_backend backend = trial->choice->backend;
    if (backend == PLAN_CPU || backend == PLAN_VULKAN_SOFTWARE)
        return 0;
    double speed = session_cpu_speed(path);
    return engine_floor(speed > 0 ? speed : session_measure_cpu(trial));
}

static int session_try_proof(const struct session_request *r, const struct session *path,
                             const struct plan_choice *choice, struct engine_proof *ret_proof,
                             struct engine **ret_engine, struct gfxb_error *err)
{
    char *CLEAN_FREE cache_dir = fs_join(r->data_dir, "cache/driver");
    if (!cache_dir)
        return error_set(err, ENOMEM, "out of memory");
    struct engine_trial trial = {
        .choice = choice, .data_dir = r->data_dir, .deadlines = r->deadlines};
    session_spec(r, session_package_of(path, choice), cache_dir, &trial.spec);
    log_at(r->log, LOG_INFO, "proving %s with %s", plan_backend_name(choice->backend),
           choice->package);
    trial.floor = session_floor(path, &trial);
    int result = engine_prove(&trial, ret_proof, ret_engine, err);
    if (result < 0)
        return result;
    result = engine_proofs_save(r->data_dir, choice->fingerprint, ret_proof, r->cancel, err);
    if (result < 0) {
        engine_proof_done(ret_proof);
        if (ret_engine)
            engine_stop(*ret_engine);
    }
    return result;
}

enum { PATH_ARGS_MAX = 64 };

/* The arguments of the model on this choice, then the request's. list is as large as it says. */
static int session_add_args(const struct session_request *r, const char *const *own,
                            const char *list[PATH_ARGS_MAX], struct gfxb_error *err)
{
    const char *const *const from[] = {own, r->args};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        for (const char *const *arg = from[i]; arg && *arg; arg++) {
            if (n == PATH_ARGS_MAX - 1)
                return error_set(err, E2BIG, "too many arguments for the engine");
            list[n++] = *arg;
        }
    }
    list[n] = NULL;
    return 0;
}

/* Start the model on a choice whose proof is stored, and look where this start put the weights. */
static int session_start(const struct session_request *r, struct session *path,
                         const struct plan_choice *choice, struct gfxb_error *err)
{
    const struct engine_proof *proof = engine_proofs_find(path->stored, choice->fingerprint);
    char *CLEAN_FREE cache_dir = fs_join(r->data_dir, "cache/driver");
    const char **CLEAN_FREE own = model_use_args(path->use, choice);
    const char *args[PATH_ARGS_MAX];
    if (!cache_dir || !own)
        return error_set(err, ENOMEM, "out of memory");
    struct engine_spec spec;
    session_spec(r, session_package_of(path, choice), cache_dir, &spec);
    engine_spec_choose(&spec, choice);
    spec.model = path->model;
    spec.args = args;
    spec.slots = r->slots;
    spec.http_threads = r->http_threads;
    spec.context = choice->context ? choice->context : r->context;
    if (proof && proof->device[0])
        spec.device = proof->device;
    int result = session_add_args(r, own, args, err);
    if (result == 0 && r->on_load)
        r->on_load(r->load_context);
    if (result == 0)
        result = engine_start(&spec, &path->engine, err);
    if (result == 0)
        result = engine_verify(path->engine, &path->placement, err);
    if (result == 0)
        path->load_ms = engine_load_ms(path->engine);
    else
        session_stop_engine(path);
    return result;
}

/* The proof that just passed left its engine running with the canary: keep it when that is the
 * model and nothing more is asked of it, else stop it. */
static int session_keep_engine(const struct session_request *r, struct session *path,
                               struct engine *engine, struct gfxb_error *err)
{
    if (r->model || r->slots || r->args) {
        engine_stop(engine);
        return 0;
    }
    int result = engine_verify(engine, &path->placement, err);
    if (result < 0) {
        engine_stop(engine);
        return result;
    }
    path->engine = engine;
    path->load_ms = engine_load_ms(engine);
    return 0;
}

static int session_prove_chosen(const struct session_request *r, struct session *path,
                                const struct plan_choice *choice, struct gfxb_error *err)
{
    struct engine_proof proof;
    struct engine *engine = NULL;
    int result = session_try_proof(r, path, choice, &proof, &engine, err);
    if (result < 0)
        return result;
    if (proof.passed) {
        result = session_keep_engine(r, path, engine, err);
    } else {
        path->proof_failed = true;
        log_at(r->log, LOG_INFO, "%s failed its proof: %s", plan_backend_name(choice->backend),
               proof.sentence);
        struct session_failure f = {choice->fingerprint, proof.sentence, proof.code, false};
        result = session_add_failure(path, &f, err);
    }
    engine_proof_done(&proof);
    return result;
}

/* The engine is proven with the canary and ends by itself with this model: then the model is at
 * fault, and no other backend will do better. A crash or too little memory may be the backend's. */
static bool session_blames_model(const struct session_request *r, const struct plan_choice *choice,
                                 int code)
{
    return r->model && choice->state == PLAN_PROVEN && code == GFXB_E_ENGINE_EXIT;
}

/* Did it break, rather than lack memory, or end as the model made it? The CPU is the last resort:
 * it is given up for good only when not even the canary runs on it. */
static bool session_broke(const struct session_request *r, const struct plan_choice *choice,
                          int code)
{
    bool broke = code == GFXB_E_ENGINE_HANG || code == GFXB_E_ENGINE_CRASH;
    return broke && (choice->backend != PLAN_CPU || !r->model);
}

/* One step with the plan's choice. 0: look at the plan again, or done when path->engine runs. */
static int session_step(const struct session_request *r, struct session *path,
                        struct gfxb_error *err)
{
    const struct plan_choice *choice = &path->plan->choice[path->plan->chosen];
    int result;
    if (!choice->installed)
        result = session_install(r, choice, err);
    else if (choice->state == PLAN_PROVEN)
        result = session_start(r, path, choice, err);
    else
        result = session_prove_chosen(r, path, choice, err);
    if (result >= 0 || session_is_final(-result))
        return result;
    if (session_blames_model(r, choice, -result)) {
        error_prefix(err, "the model %s cannot be loaded: ", path->model);
        return result;
    }
    log_at(r->log, LOG_INFO, "%s cannot be used: %s", plan_backend_name(choice->backend),
           err->text);
    path->proof_failed |= choice->installed != NULL;
    struct session_failure f = {choice->fingerprint, err->text, -result,
                                choice->state == PLAN_PROVEN && session_broke(r, choice, -result)};
    return session_add_failure(path, &f, err);
}

/* How much a rejected choice's reason says about what went wrong: what was tried in this walk most,
 * then what is installed, then the rest; what the user excluded nothing. */
static int session_weight(const struct session *path, const struct plan_choice *choice)
{
    if (choice->code == GFXB_E_POLICY)
        return 0;
    for (size_t i = 0; i < path->n_failures; i++) {
        if (strcmp(path->failure[i].fingerprint, choice->fingerprint) == 0)
            return 3;
    }
    return choice->installed ? 2 : 1;
}

/* Why the other providers of the same backend cannot bring a package either, one reason each. */
static void session_other_sources(const struct plan *plan, const struct plan_choice *last,
                                  struct buf *ret)
{
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        bool told = c->installed || !c->provider || c->backend != last->backend ||
                    (last->provider && strcmp(c->provider, last->provider) == 0);
        for (size_t k = 0; k < i && !told; k++) {
            const struct plan_choice *o = &plan->choice[k];
            told = o->backend == c->backend && o->provider && strcmp(o->provider, c->provider) == 0;
        }
        if (!told && !last->installed)
            buf_addf(ret, " (%s: %s)", c->package ? c->package : c->provider, c->reason);
    }
}

static int session_nothing(const struct session *path, struct gfxb_error *err)
{
    const struct plan *plan = path->plan;
    /* Of equal weight the last one: the last resort's reason says best what is to be done. */
    const struct plan_choice *last = NULL;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (!last || session_weight(path, c) >= session_weight(path, last))
            last = c;
    }
    if (!last)
        return error_set(err, GFXB_E_NO_PACKAGE, "no backend is known for this computer");
    struct buf CLEAN_BUF others = BUF_INIT(600);
    session_other_sources(plan, last, &others);
    return error_set(err, last->code, "no backend can be used here: %s%s", last->reason,
                     buf_text(&others));
}

static int session_take_model(const struct session_request *r, struct session *path,
                              struct gfxb_error *err)
{
    free(path->model);
    path->model = r->model ? strdup(r->model) : NULL;
    if (!r->model)
        return engine_canary_path(engine_kind_of_model(r->known), r->data_dir, r->cancel,
                                  &path->model, err);
    return path->model ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int session_prepare(const struct session_request *r, struct session *path,
                           struct gfxb_error *err)
{
    int result = fs_make_dirs(r->runtime_dir, 0700, err);
    for (size_t i = 0; i < r->n_failed && result == 0; i++) {
        result = session_add_failure(path, &r->failed[i], err);
    }
    if (result < 0)
        return result;
    return session_take_model(r, path, err);
}

/* The engine runs: let the plan show the proof that was just made, and note whose engine it is. */
static int session_arrive(const struct session_request *r, struct session *path,
                          struct gfxb_error *err)
{
    const struct plan_choice *choice = &path->plan->choice[path->plan->chosen];
    char *CLEAN_FREE fingerprint = strdup(choice->fingerprint);
    int result = fingerprint ? 0 : error_set(err, ENOMEM, "out of memory");
    if (result == 0 && choice->state != PLAN_PROVEN)
        result = session_make_plan(r, path, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < path->plan->n_choices; i++) {
        if (strcmp(path->plan->choice[i].fingerprint, fingerprint) == 0 &&
            path->plan->choice[i].installed) {
            path->running = &path->plan->choice[i];
            path->package = session_package_of(path, path->running);
            return 0;
        }
    }
    return error_set(err, GFXB_E_NO_PACKAGE,
                     "the package of the running engine was removed meanwhile; try again");
}

int session_walk(const struct session_request *request, struct session *ret_path,
                 struct gfxb_error *err)
{
    struct gfxb_error own = {0};
    struct session path = {0};
    int result = session_prepare(request, &path, &own);
    for (int i = 0; result == 0 && !path.engine; i++) {
        result = session_make_plan(request, &path, &own);
        if (result < 0)
            break;
        if (path.plan->chosen < 0 || i == PATH_ATTEMPTS)
            result = session_nothing(&path, &own);
        else
            result = session_step(request, &path, &own);
    }
    if (result == 0)
        result = session_arrive(request, &path, &own);
    if (result < 0 && err)
        *err = own;
    *ret_path = path;
    return result;
}

int session_start_running(const struct session_request *r, struct session *path,
                          struct gfxb_error *err)
{
    return session_start(r, path, path->running, err);
}

int session_fail_over(const struct session_request *request, struct session *path,
                      const struct gfxb_error *why, struct gfxb_error *err)
{
    struct session_request again = *request;
    struct session next = {0};
    int code = why->code == EPROTO ? GFXB_E_ENGINE_CRASH : why->code;
    char text[sizeof(why->text)];
    snprintf(text, sizeof(text), "%s", why->text);
    struct session_failure f = {path->running->fingerprint, text, code,
                                session_broke(request, path->running, code)};
    int result = session_add_failure(path, &f, err);
    session_stop_engine(path);
    again.failed = path->failure;
    again.n_failed = path->n_failures;
    if (result == 0)
        result = session_walk(&again, &next, err);
    session_done(path);
    *path = next;
    return result;
}

int session_prove_again(const struct session_request *request, struct session *path,
                        struct gfxb_error *err)
{
    struct engine_proof proof;
    session_stop_engine(path);
    int result = session_try_proof(request, path, path->running, &proof, NULL, err);
    if (result < 0)
        return result;
    if (!proof.passed)
        result = error_set(err, proof.code, "%s", proof.sentence);
    engine_proof_done(&proof);
    return result;
}

int session_remember(const char *data_dir, const char *fingerprint, const struct gfxb_error *why,
                     struct gfxb_error *err)
{
    struct engine_proof proof = {.code = why->code, .sentence = strdup(why->text)};
    for (size_t i = 0; i < ENGINE_RUNGS; i++)
        proof.rung[i] = (struct engine_rung){PLAN_E3 + (enum plan_rung)i, TRI_UNKNOWN, NULL};
    proof.rung[1].ok = TRI_NO; /* E4: it does not compute */
    proof.rung[1].detail = strdup(why->text);
    int result = proof.sentence && proof.rung[1].detail
                     ? engine_proofs_save(data_dir, fingerprint, &proof, NULL, err)
                     : error_set(err, ENOMEM, "out of memory");
    engine_proof_done(&proof);
    return result;
}

void session_settle(const struct session_request *request, const struct session *path)
{
    for (size_t i = 0; i < path->n_failures; i++) {
        const struct session_failure *f = &path->failure[i];
        struct gfxb_error why, err;
        error_set(&why, f->code, "%s", f->detail);
        if (f->broke && session_remember(request->data_dir, f->fingerprint, &why, &err) < 0)
            log_at(request->log, LOG_WARNING, "%s", err.text);
    }
}

int session_prove(const struct session_request *request, struct session *path, size_t choice,
                  struct engine_proof *ret_proof, struct gfxb_error *err)
{
    const struct plan_choice *c = &path->plan->choice[choice];
    int result = fs_make_dirs(request->runtime_dir, 0700, err);
    if (result < 0)
        return result;
    if (!c->installed)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "%s is not installed: gfxbridge backends install "
                         "llamacpp:%s brings it",
                         c->package ? c->package : "its package", plan_backend_name(c->backend));
    return session_try_proof(request, path, c, ret_proof, NULL, err);
}

int session_start_proven(const struct session_request *request, struct session *path, size_t choice,
                         struct gfxb_error *err)
{
    int result = fs_make_dirs(request->runtime_dir, 0700, err);
    if (result == 0)
        result = session_take_model(request, path, err);
    return result < 0 ? result : session_start(request, path, &path->plan->choice[choice], err);
}

void session_stop_engine(struct session *path)
{
    engine_stop(path->engine);
    path->engine = NULL;
}

bool session_can_prove(const struct plan_choice *c)
{
    return c->installed && (c->state != PLAN_REJECTED || c->code == GFXB_E_FAILED_BEFORE);
}

const char *session_package_backend(enum plan_backend backend)
{
    return plan_backend_name(backend == PLAN_VULKAN_SOFTWARE ? PLAN_VULKAN : backend);
}

void session_done(struct session *path)
{
    engine_stop(path->engine);
    session_plan_done(path);
}
