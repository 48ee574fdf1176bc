/* bring_up.c - from a request to a running engine: plan, install, prove, start, look where the
 * weights are; what fails is an input of the next plan. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <stdio.h>

enum {
    /* More attempts than any plan has choices: only a plan that offers one again and again gets
     * here. */
    SESSION_ATTEMPTS = 64,
};

/* ---- one step: install, prove or start ---- */

bool session_is_ours(int code)
{
    return code == GFXB_E_INTERRUPTED || error_is_ours(code) || code == ENOSPC || code == EDQUOT ||
           code == EACCES || code == EROFS;
}

static void session_add_failure(struct session *session, const char *fingerprint, int code,
                                const char *detail, bool broke)
{
    session->failure =
        xreallocarray(session->failure, session->n_failures + 1, sizeof(*session->failure));
    session->failure[session->n_failures++] =
        (struct session_failure){xstrdup(fingerprint), xstrdup(detail), code, broke};
}

static int session_install(const struct session_request *r, const struct plan_choice *choice,
                           struct gfxb_error *err)
{
    const struct gfx_package *row = gfx_package_find(r->tables, choice->package);
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

static const struct package *session_package_of(const struct session *session,
                                                const struct plan_choice *choice)
{
    return choice->installed ? &session->packages.item[choice->installed - session->installed]
                             : NULL;
}

/* The home of a package's engines, which they write: no other package's engine reads it. */
char *session_home(const struct session_request *r, const struct package *package)
{
    return xasprintf("%s/cache/driver/%.16s", r->data_dir, package->digest);
}

void session_spec(const struct session_request *r, const struct package *package,
                  const char *cache_dir, struct engine_spec *ret_spec)
{
    *ret_spec = (struct engine_spec){.package = package,
                                     .runtime_dir = r->runtime_dir,
                                     .cache_dir = cache_dir,
                                     .cancel = r->cancel,
                                     .unconfined = r->unconfined,
                                     .log = r->log};
}

/* This CPU's speed on the canary from its stored proofs, whatever the request leaves out; 0 when it
 * has none. A data directory may have come from another computer. */
static double session_cpu_speed(const struct session_request *r, const struct session *session)
{
    double speed = 0;
    for (size_t i = 0; i < session->n_proofs; i++) {
        const struct plan_proof *proof = &session->proof[i];
        if (proof->passed && proof->tokens_per_second > speed &&
            plan_is_own_cpu(r->machine, proof->fingerprint))
            speed = proof->tokens_per_second;
    }
    return speed;
}

struct plan_choice session_cpu_choice(void)
{
    static char *nothing[] = {NULL}; /* a proof of the CPU gives it no device anyway */
    return (struct plan_choice){.backend = PLAN_CPU,
                                .gpu_pci = nothing,
                                .env = nothing,
                                .args = nothing,
                                .warning = nothing};
}

/* Measure the CPU with the package of a GPU choice, which computes on the CPU as well: a fraction
 * of a second, so that E5 has something to compare with before any CPU package was ever proven. 0
 * when it cannot be measured. */
static double session_measure_cpu(const struct engine_trial *trial)
{
    struct plan_choice cpu = session_cpu_choice();
    struct engine_trial measure = *trial;
    struct engine_proof proof;
    measure.choice = &cpu;
    measure.spec.n_remotes = 0;
    measure.floor = 0;
    measure.speed_only = true;
    if (engine_prove(&measure, &proof, NULL) < 0)
        return 0;
    double speed = proof.passed ? proof.tokens_per_second : 0;
    engine_proof_done(&proof);
    return speed;
}

/* What a GPU must reach on the canary. lavapipe is no GPU and is never too slow. */
static double session_floor(const struct session_request *r, const struct session *session,
                            const struct engine_trial *trial)
{
    enum plan_backend backend = trial->choice->backend;
    if (backend == PLAN_CPU || backend == PLAN_VULKAN_SOFTWARE)
        return 0;
    double speed = session_cpu_speed(r, session);
    return engine_floor(speed > 0 ? speed : session_measure_cpu(trial));
}

/* Who holds memory of the choice's GPU now; empty where nobody is seen. */
static void session_tell_holders(const struct session_request *r, const struct plan_choice *choice,
                                 struct buf *ret)
{
    struct buf CLEAN_BUF holders = BUF_INIT(400);
    if (choice->gpu && r->root)
        machine_gpu_holders(r->root, choice->gpu, &holders);
    if (holders.n)
        buf_addf(ret, "; of the GPU's memory %s now", buf_text(&holders));
}

/* Too little memory comes and goes: it is told, with who holds it, and says nothing about the
 * choice. */
static bool session_lacks_memory(const struct session_request *r, const struct plan_choice *choice,
                                 struct engine_proof *proof)
{
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    if (proof->code != GFXB_E_MEMORY_TOO_SMALL)
        return false;
    buf_add_text(&text, proof->sentence);
    session_tell_holders(r, choice, &text);
    free(proof->sentence);
    proof->sentence = xstrdup(buf_text(&text));
    return true;
}

static int session_try_proof(const struct session_request *r, struct session *session,
                             const struct plan_choice *choice, struct engine_proof *ret_proof,
                             struct gfxb_error *err)
{
    const struct package *package = session_package_of(session, choice);
    char *CLEAN_FREE cache_dir = session_home(r, package);
    struct engine_trial trial = {.choice = choice,
                                 .data_dir = r->data_dir,
                                 .deadlines = r->deadlines,
                                 .thorough = r->thorough};
    session_spec(r, package, cache_dir, &trial.spec);
    log_at(r->log, LOG_INFO, "proving %s with %s", plan_backend_name(choice->backend),
           choice->package);
    trial.floor = session_floor(r, session, &trial);
    int result = session_open_links(session, choice, &trial.spec, err);
    if (result < 0)
        return result;
    result = engine_prove(&trial, ret_proof, err);
    if (result == 0 && !ret_proof->passed && session_blame_links(session, err) < 0) {
        engine_proof_done(ret_proof);
        result = -err->code;
    }
    if (result < 0 || session_lacks_memory(r, choice, ret_proof))
        return result;
    result = engine_proofs_save(r->data_dir, choice->fingerprint, ret_proof, r->cancel, err);
    if (result < 0)
        engine_proof_done(ret_proof);
    return result;
}

/* ---- settings of tune ---- */

/* As an engine takes them. */
struct session_settings {
    struct engine_words args, env;
    unsigned slots; /* 0: the plan's */
};

/* list: texts; NULL none. */
static void session_take_settings(const json_t *list, struct session_settings *ret)
{
    const json_t *one;
    size_t i;
    *ret = (struct session_settings){.slots = 0};
    json_array_foreach(list, i, one)
        engine_setting_take(json_string_value(one), &ret->args, &ret->env, &ret->slots);
}

static void session_settings_done(struct session_settings *settings)
{
    engine_words_done(&settings->args);
    engine_words_done(&settings->env);
}

/* One list of several, with a NULL behind it; the caller frees the array, its words are lent. */
static const char **session_join(const char *const *const from[], size_t n_from)
{
    const char **list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < n_from; i++) {
        for (const char *const *word = from[i]; word && *word; word++) {
            list = xreallocarray(list, n + 2, sizeof(*list));
            list[n++] = *word;
        }
    }
    list = list ? list : xcalloc(1, sizeof(*list));
    list[n] = NULL;
    return list;
}

/* The arguments of tune may choose other kernels than the model's own: they are part of what the
 * model needs. Pairs of a name and a value, as these all are. */
static void session_need(const struct session_request *r, const struct session *session,
                         const struct session_settings *settings, struct engine_need *ret_need)
{
    model_use_need(session_kind(r), session->use, ret_need);
    for (size_t i = 0; i + 1 < settings->args.n; i += 2) {
        size_t n = strlen(ret_need->attention);
        snprintf(ret_need->attention + n, sizeof(ret_need->attention) - n, "%s%s=%s", n ? "," : "",
                 settings->args.word[i], settings->args.word[i + 1]);
    }
}

/* What the model needs beyond the choice's proof is tested before the first start and stored with
 * it. Where this computer has no room for that (a full disk) the proven choice serves without. */
int session_prove_need(const struct session_request *r, struct session *session,
                       const struct plan_choice *choice, const json_t *list, struct gfxb_error *err)
{
    const struct engine_proof *proof = engine_proofs_find(session->stored, choice->fingerprint);
    const struct package *package = session_package_of(session, choice);
    char *CLEAN_FREE cache_dir = session_home(r, package);
    struct plan_choice with = *choice;
    struct engine_trial trial = {.choice = &with, .deadlines = r->deadlines};
    struct session_settings settings;
    struct engine_need need;
    if (!session->use || !proof)
        return 0;
    session_spec(r, package, cache_dir, &trial.spec);
    session_take_settings(list, &settings);
    session_need(r, session, &settings, &need);
    const char **CLEAN_FREE env =
        session_join((const char *const *const[]){(const char *const *)choice->env,
                                                  (const char *const *)settings.env.word},
                     2);
    with.env = (char **)env;
    struct engine_covers covers = proof->covers;
    struct gfxb_error why;
    int result = session_open_links(session, choice, &trial.spec, &why);
    if (result == 0)
        result = engine_prove_need(&trial, proof->device, &need, &covers, &why);
    session_settings_done(&settings);
    if (result < 0 && session_blame_links(session, &why) < 0)
        return error_set(err, why.code, "%s", why.text);
    size_t before = strlen(proof->covers.canaries);
    if (strlen(covers.canaries) > before) {
        free(session->tested);
        session->tested = xstrdup(covers.canaries + before + (before > 0));
    }
    bool untested = result < 0 && (-result < GFXB_E_GFX_UNKNOWN || -result == GFXB_E_DISK_FULL);
    if (result < 0 && !untested)
        error_set(err, why.code, "%s", why.text);
    else if (untested)
        log_at(r->log, LOG_WARNING, "what this model needs is not tested: %s", why.text);
    /* Settings that fail are not used, and say nothing about the choice. */
    if (!(result < 0 && list) && memcmp(&covers, &proof->covers, sizeof(covers)) != 0 &&
        engine_proofs_set_covers(session->stored, r->data_dir, choice->fingerprint, &covers,
                                 r->cancel, &why) < 0)
        log_at(r->log, LOG_WARNING, "what was tested is not stored: %s", why.text);
    return untested ? 0 : result;
}

/* Tokens of one request. Of the canary no plan says how much fits: all of it always does. */
static unsigned session_context(const struct session_request *r, const struct session *session,
                                const struct plan_choice *choice)
{
    unsigned most = session_kind(r)->canary->context;
    if (session->use)
        return choice->context;
    return r->context && r->context < most ? r->context : most;
}

/* list: settings of tune; NULL none. They stand behind the choice's own, before the model's recipe
 * and the request's. */
static int session_start_with(const struct session_request *r, struct session *session,
                              const struct plan_choice *choice, const json_t *list,
                              struct gfxb_error *err)
{
    const struct engine_proof *proof = engine_proofs_find(session->stored, choice->fingerprint);
    const struct package *package = session_package_of(session, choice);
    char *CLEAN_FREE cache_dir = session_home(r, package);
    char *CLEAN_FREE keep_log = engine_failed_log(r->runtime_dir);
    struct session_settings settings;
    struct engine_spec spec;
    session_take_settings(list, &settings);
    const char **CLEAN_FREE args = session_join(
        (const char *const *const[]){
            (const char *const *)choice->args, (const char *const *)settings.args.word,
            session->use ? (const char *const *)session->use->launch.args : NULL, r->args},
        4);
    const char **CLEAN_FREE env =
        session_join((const char *const *const[]){(const char *const *)choice->env,
                                                  (const char *const *)settings.env.word},
                     2);
    session_spec(r, package, cache_dir, &spec);
    spec.keep_log = keep_log;
    engine_spec_choose(&spec, choice);
    spec.model = session->model;
    spec.args = args;
    spec.env = env;
    spec.http_threads = r->http_threads;
    spec.context = session->context = session_context(r, session, choice);
    session->slots = choice->slots ? choice->slots : r->slots ? r->slots : 1;
    if (session->trial && settings.slots)
        session->slots = settings.slots;
    spec.slots = session->slots;
    if (proof && proof->device[0])
        spec.device = proof->device;
    session->with_settings = json_array_size(list) > 0;
    free(session->model_state);
    session->model_state = session_model_state(r, session);
    int result = session_open_links(session, choice, &spec, err);
    session_slots_open(r, session, spec.n_remotes ? NULL : choice->fingerprint);
    spec.slots_dir = session->slots_dir;
    if (result == 0)
        result = engine_start(&spec, &session->engine, err);
    session_settings_done(&settings);
    if (result == -GFXB_E_MEMORY_TOO_SMALL) {
        struct buf CLEAN_BUF holders = BUF_INIT(500);
        struct gfxb_error why = *err;
        session_tell_holders(r, choice, &holders);
        error_set(err, why.code, "%s%s", why.text, buf_text(&holders));
    }
    if (result == 0)
        result = engine_verify(session->engine, &session->placement, err);
    if (result == 0) {
        session->load_ms = engine_load_ms(session->engine);
        session_slots_restore(r, session);
        return 0;
    }
    if (!session_is_ours(-result) && session_blame_links(session, err) < 0)
        result = -err->code;
    session_stop_engine(session);
    return result;
}

/* Start the model on a choice whose proof is stored, and look where this start put the weights.
 * Settings of tune may not work any more, where less memory is free: then it starts without. */
static int session_start(const struct session_request *r, struct session *session,
                         const struct plan_choice *choice, struct gfxb_error *err)
{
    const json_t *list = session->trial     ? session->trial
                         : session->untuned ? NULL
                                            : session_tuned_for(session, choice->fingerprint);
    int result = session_prove_need(r, session, choice, NULL, err);
    if (result == 0 && r->on_load)
        r->on_load(r->load_context);
    if (result < 0 || session->trial || !list)
        return result ?: session_start_with(r, session, choice, list, err);
    result = session_prove_need(r, session, choice, list, err)
                 ?: session_start_with(r, session, choice, list, err);
    if (result == 0 || session_is_ours(-result))
        return result;
    log_at(r->log, LOG_WARNING,
           "starting with the engine's own settings, because it does not start with those of tune: "
           "%s",
           err->text);
    return session_start_with(r, session, choice, NULL, err);
}

static int session_prove_chosen(const struct session_request *r, struct session *session,
                                const struct plan_choice *choice, struct gfxb_error *err)
{
    struct engine_proof proof;
    int result = session_try_proof(r, session, choice, &proof, err);
    if (result < 0)
        return result;
    if (!proof.passed) {
        session->proof_failed = true;
        log_at(r->log, LOG_INFO, "%s failed its proof: %s", plan_backend_name(choice->backend),
               proof.sentence);
        session_add_failure(session, choice->fingerprint, proof.code, proof.sentence, false);
    }
    engine_proof_done(&proof);
    return 0;
}

/* The engine is proven with the canary and ends by itself with this model: then the model is at
 * fault, and no other backend will do better. A crash or too little memory may be the backend's. */
static bool session_blames_model(const struct session_request *r, const struct plan_choice *choice,
                                 int code)
{
    return r->model && choice->state == PLAN_PROVEN &&
           (code == GFXB_E_ENGINE_EXIT || code == GFXB_E_MODEL_UNUSABLE);
}

/* Did it break, rather than lack memory, or end as the model made it? The CPU is the last resort:
 * it is given up for good only when not even the canary runs on it. */
static bool session_broke(const struct session_request *r, const struct plan_choice *choice,
                          int code)
{
    bool broke = code == GFXB_E_ENGINE_HANG || code == GFXB_E_ENGINE_CRASH;
    return broke && (choice->backend != PLAN_CPU || choice->n_members || !r->model);
}

/* One step with this choice. 0: look at the plan again, or done when session->engine runs. */
static int session_step(const struct session_request *r, struct session *session,
                        const struct plan_choice *choice, struct gfxb_error *err)
{
    int result;
    if (!choice->installed)
        result = session_install(r, choice, err);
    else if (choice->state == PLAN_PROVEN)
        result = session_start(r, session, choice, err);
    else
        result = session_prove_chosen(r, session, choice, err);
    /* A full disk stops a package; a smaller one may fit. Where an engine runs it is ours. */
    bool ours = session_is_ours(-result) || (choice->installed && -result == GFXB_E_DISK_FULL);
    if (result >= 0 || ours)
        return result;
    if (session_blames_model(r, choice, -result)) {
        err->code = GFXB_E_MODEL_UNUSABLE;
        error_prefix(err, "the model %s cannot be loaded: ", session->model);
        return -err->code;
    }
    log_at(r->log, LOG_INFO, "%s cannot be used: %s", plan_backend_name(choice->backend),
           err->text);
    session->proof_failed |= choice->installed != NULL;
    session_add_failure(session, choice->fingerprint, -result, err->text,
                        choice->state == PLAN_PROVEN && session_broke(r, choice, -result));
    return 0;
}

/* How much a rejected choice's reason says about what went wrong: an engine that was tried just now
 * most, then a download, then what is installed, then the rest; what the user excluded nothing. */
static int session_weight(const struct session *session, const struct plan_choice *choice)
{
    if (choice->code == GFXB_E_POLICY)
        return 0;
    for (size_t i = 0; i < session->n_failures; i++) {
        if (strcmp(session->failure[i].fingerprint, choice->fingerprint) == 0)
            return choice->installed ? 4 : 3;
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

static int session_nothing(const struct session *session, struct gfxb_error *err)
{
    const struct plan *plan = session->plan;
    /* Of equal weight the last one: the last resort's reason says best what to do. */
    const struct plan_choice *last = NULL;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (!last || session_weight(session, c) >= session_weight(session, last))
            last = c;
    }
    if (!last)
        return error_set(err, GFXB_E_NO_PACKAGE, "no backend is known for this computer");
    struct buf CLEAN_BUF others = BUF_INIT(600);
    session_other_sources(plan, last, &others);
    return error_set(err, last->code, "no backend can be used here: %s%s", last->reason,
                     buf_text(&others));
}

static bool session_avoids(const struct session_history *history, const struct plan_choice *c)
{
    for (size_t i = 0; i < history->n_avoid; i++) {
        if (strcmp(history->avoid[i], c->fingerprint) == 0)
            return true;
    }
    return false;
}

/* The first choice of the plan that is installed, and proven or not yet; NULL none. */
static const struct plan_choice *session_installed(const struct plan *plan,
                                                   const struct session_history *history,
                                                   bool proven, bool avoided)
{
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (c->installed && c->state != PLAN_REJECTED && (c->state == PLAN_PROVEN) == proven &&
            session_avoids(history, c) == avoided)
            return c;
    }
    return NULL;
}

/*
 * The choice to be tried next; NULL none. While users wait for an engine that was lost, what is
 * installed and proven comes first, then what is installed and must be proven, then the choice that
 * a suspect request is not to be tried on again; fetching is for when nothing else is left.
 */
static const struct plan_choice *session_pick(const struct plan *plan,
                                              const struct session_history *history)
{
    const struct plan_choice *c = NULL;
    if (history->served) {
        c = session_installed(plan, history, true, false);
        c = c ? c : session_installed(plan, history, false, false);
        c = c ? c : session_installed(plan, history, true, true);
    }
    return c || plan->chosen < 0 ? c : &plan->choice[plan->chosen];
}

static int session_take_model(const struct session_request *r, struct session *session,
                              struct gfxb_error *err)
{
    free(session->model);
    session->model = xstrdup_or_null(r->model);
    return r->model
               ? 0
               : engine_canary_path(session_kind(r), r->data_dir, r->cancel, &session->model, err);
}

static int session_prepare(const struct session_request *r, const struct session_history *history,
                           struct session *session, struct gfxb_error *err)
{
    session_stop_engine(session);
    session_forget_nodes(session);
    session_forget_failures(session);
    session->proof_failed = false;
    for (size_t i = 0; i < history->n_failed; i++) {
        const struct session_failure *f = &history->failed[i];
        session_add_failure(session, f->fingerprint, f->code, f->detail, false);
    }
    int result = fs_make_dirs(r->runtime_dir, 0700, err);
    return result < 0 ? result : session_take_model(r, session, err);
}

/* The engine of the choice with this fingerprint runs: note which it is in the plan. */
static int session_arrive(struct session *session, const char *fingerprint, struct gfxb_error *err)
{
    for (size_t i = 0; i < session->plan->n_choices; i++) {
        const struct plan_choice *c = &session->plan->choice[i];
        if (c->installed && strcmp(c->fingerprint, fingerprint) == 0) {
            session->running = c;
            session->package = session_package_of(session, c);
            return 0;
        }
    }
    return error_set(err, GFXB_E_NO_PACKAGE,
                     "the package of the running engine was removed meanwhile; try again");
}

int session_bring_up(const struct session_request *r, const struct session_history *history,
                     struct session *session, struct gfxb_error *err)
{
    static const struct session_history none = {.served = false};
    struct gfxb_error own = {0};
    char *CLEAN_FREE fingerprint = NULL;
    history = history ? history : &none;
    int result = session_prepare(r, history, session, &own);
    for (int i = 0; result == 0 && !session->engine; i++) {
        result = session_make_plan(r, session, &own);
        if (result < 0)
            break;
        const struct plan_choice *choice = session_pick(session->plan, history);
        if (!choice || i == SESSION_ATTEMPTS) {
            result = session_nothing(session, &own);
            break;
        }
        free(fingerprint);
        fingerprint = xstrdup(choice->fingerprint);
        result = session_step(r, session, choice, &own);
    }
    if (result == 0)
        result = session_arrive(session, fingerprint, &own);
    if (result < 0)
        session_stop_engine(session);
    if (result < 0 && err)
        *err = own;
    return result;
}

bool session_is_last_resort(const struct session *session)
{
    const struct plan_choice *c = session->running;
    return c->backend == PLAN_CPU && !c->n_members && session->use;
}

int session_prove_again(const struct session_request *request, struct session *session,
                        struct gfxb_error *err)
{
    struct engine_proof proof;
    session_stop_engine(session);
    int result = session_try_proof(request, session, session->running, &proof, err);
    if (result < 0)
        return result;
    if (!proof.passed)
        result = error_set(err, proof.code, "%s", proof.sentence);
    engine_proof_done(&proof);
    return result;
}

int session_reject(const struct session_request *request, const char *fingerprint,
                   const struct gfxb_error *why, struct gfxb_error *err)
{
    struct engine_proof proof = {.code = why->code, .sentence = xstrdup(why->text)};
    for (size_t i = 0; i < ENGINE_RUNGS; i++)
        proof.rung[i] = (struct engine_rung){PLAN_E3 + (enum plan_rung)i, TRI_UNKNOWN, NULL};
    proof.rung[1].ok = TRI_NO; /* E4: it does not compute */
    proof.rung[1].detail = xstrdup(why->text);
    int result = engine_proofs_save(request->data_dir, fingerprint, &proof, request->cancel, err);
    engine_proof_done(&proof);
    return result;
}

int session_prove(const struct session_request *request, struct session *session, size_t choice,
                  struct engine_proof *ret_proof, struct gfxb_error *err)
{
    const struct plan_choice *c = &session->plan->choice[choice];
    int result = fs_make_dirs(request->runtime_dir, 0700, err);
    if (result < 0)
        return result;
    if (!c->installed)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "%s is not installed: gfxbridge backends install %.*s:%s brings it",
                         c->package ? c->package : "its package", STR_ARG(c->engine),
                         plan_backend_name(c->backend));
    return session_try_proof(request, session, c, ret_proof, err);
}

int session_start_proven(const struct session_request *request, struct session *session,
                         size_t choice, struct gfxb_error *err)
{
    int result = fs_make_dirs(request->runtime_dir, 0700, err);
    if (result == 0)
        result = session_take_model(request, session, err);
    return result < 0 ? result
                      : session_start(request, session, &session->plan->choice[choice], err);
}

int session_bandwidth(const struct session_request *r, struct session *session, size_t choice,
                      double *ret_bytes_per_second, struct gfxb_error *err)
{
    const struct plan_choice *c = &session->plan->choice[choice];
    const struct engine_proof *proof = engine_proofs_find(session->stored, c->fingerprint);
    char *CLEAN_FREE cache_dir = session_home(r, session_package_of(session, c));
    char *CLEAN_FREE dir = xfs_join(r->data_dir, "cache");
    struct engine_spec spec;
    int result = 0;
    *ret_bytes_per_second = 0;
    if (c->backend == PLAN_CPU || c->backend == PLAN_VULKAN_SOFTWARE) {
        *ret_bytes_per_second = engine_cpu_bandwidth(r->machine->host.memory_free_bytes);
        if (*ret_bytes_per_second <= 0)
            error_set(err, GFXB_E_MEMORY_TOO_SMALL, "too little memory is free to measure it");
    } else {
        session_spec(r, session_package_of(session, c), cache_dir, &spec);
        engine_spec_choose(&spec, c);
        spec.device = proof && proof->device[0] ? proof->device : NULL;
        result = fs_make_dirs(dir, 0700, err)
                     ?: engine_gpu_bandwidth(&spec, dir, ret_bytes_per_second, err);
    }
    return result == -GFXB_E_INTERRUPTED ? result : 0;
}

void session_stop_engine(struct session *session)
{
    engine_stop(session->engine);
    session->engine = NULL;
    session_close_links(session);
}

bool session_can_prove(const struct plan_choice *c)
{
    return c->installed && (c->state != PLAN_REJECTED || c->code == GFXB_E_FAILED_BEFORE);
}

const char *session_package_backend(enum plan_backend backend)
{
    return plan_backend_name(backend == PLAN_VULKAN_SOFTWARE ? PLAN_VULKAN : backend);
}
