/* cmd_backends.c - engine packages: list, install, verify, bundle, remove, use. */
#include "cli/request.h"
#include "session/session.h"

#include <errno.h>

enum { BACKENDS_FROM = CLI_REQUEST_NEXT, BACKENDS_FOR };

static const struct cli_option backends_options[] = {
    CLI_REQUEST_OPTIONS,
    {"from", "FILE", "install what this bundle holds, without the network"},
    {"for", "FILE.machine", "bundle what that computer needs: capture writes such a file there"},
    {NULL, NULL, NULL},
};

/* "KIND:vulkan", of which the request is from here on. */
static int backends_read_name(const char *word, struct session_request *r,
                              enum plan_backend *ret_backend, struct gfxb_error *err)
{
    struct buf CLEAN_BUF all = BUF_INIT(1024);
    if (plan_backend_read(word, &r->request.engine, ret_backend) == 0)
        return 0;
    plan_backend_list(&all);
    return error_set(err, GFXB_E_USAGE, "no such backend: '%s'; they are %s", word, buf_text(&all));
}

/* The packages of a backend of the request's kind. */
static struct package_backend backends_packages(const struct session_request *r,
                                                enum plan_backend backend)
{
    return (struct package_backend){r->request.engine, session_package_backend(backend)};
}

static struct package_env backends_env(const struct session_request *r)
{
    return (struct package_env){.data_dir = r->data_dir,
                                .tables = r->tables,
                                .root = r->root,
                                .no_network = r->request.no_network,
                                .log = r->log,
                                .net = &r->net};
}

/* ---- list ---- */

static void backends_list_text(const struct session *session)
{
    bool told[PLAN_BACKENDS] = {false};
    for (size_t i = 0; i < session->plan->n_choices; i++) {
        const struct plan_choice *c = &session->plan->choice[i];
        if (told[c->backend])
            continue;
        told[c->backend] = true;
        text_print(stdout, "%.*s:%-16s %-9s " TEXT_HANG "%s", STR_ARG(c->engine),
                   plan_backend_name(c->backend), plan_state_name(c->state), c->reason);
    }
    for (size_t i = 0; i < session->packages.n; i++) {
        const struct package *p = &session->packages.item[i];
        char size[32];
        report_bytes_text(p->bytes, size, sizeof(size));
        text_print(stdout, "installed: " TEXT_HANG "%s %s, %s%s, %.12s", p->id,
                   p->version ? p->version : "", size, p->pinned ? ", pinned" : "", p->digest);
    }
}

static int backends_list(struct cli *cli, struct session_request *r, const struct cli_args *args,
                         struct gfxb_error *err)
{
    struct session session;
    int result = session_plan(r, &session, err);
    if (result < 0)
        return result;
    if (cli->json)
        result = cli_print_json(report_json_backends(&session), err);
    else
        backends_list_text(&session);
    session_done(&session);
    return result;
}

/* ---- install from this computer's disk ---- */

/* The target of the only GPU that has one; empty: with several, a package may serve any. */
static struct str backends_only_target(const struct machine *m)
{
    struct str target = STR_NONE;
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].target && target.n)
            return STR_NONE;
        if (m->gpu[i].target)
            target = m->gpu[i].target->gfx;
    }
    return target;
}

/* The best choice with this very package: one that can be tried, else the first; NULL none. */
static const struct plan_choice *backends_find_choice(const struct plan *plan, const char *digest)
{
    const struct plan_choice *found = NULL;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (!c->installed || strcmp(c->installed->digest, digest) != 0)
            continue;
        if (session_can_prove(c))
            return c;
        found = found ? found : c;
    }
    return found;
}

/* Why is the package with this digest of no use here? */
static int backends_unusable(const struct session *session, const char *digest,
                             struct gfxb_error *err)
{
    const struct plan_choice *c = backends_find_choice(session->plan, digest);
    const struct package *package = NULL;
    for (size_t i = 0; i < session->packages.n && !package; i++) {
        if (strcmp(session->packages.item[i].digest, digest) == 0)
            package = &session->packages.item[i];
    }
    if (!package)
        return error_set(err, GFXB_E_NO_PACKAGE, "the package %.12s was removed meanwhile", digest);
    for (size_t i = 0; i < session->plan->n_choices && !c; i++) { /* no GPU to put it on */
        if (strcmp(package->backend, plan_backend_name(session->plan->choice[i].backend)) == 0)
            c = &session->plan->choice[i];
    }
    return error_set(err, c ? c->code : GFXB_E_NO_PACKAGE,
                     "%s is installed and cannot be used here: %s", package->id,
                     c ? c->reason : "the plan has no place for it");
}

/* Prove the package with this digest and no other, and tell the outcome. */
static int backends_prove_package(struct cli *cli, struct session_request *r, const char *digest,
                                  struct session *session, struct gfxb_error *err)
{
    struct engine_proof proof;
    int result = session_plan(r, session, err);
    if (result < 0)
        return result;
    const struct plan_choice *c = backends_find_choice(session->plan, digest);
    if (!c || !session_can_prove(c))
        return backends_unusable(session, digest, err);
    result = session_prove(r, session, (size_t)(c - session->plan->choice), &proof, err);
    if (result < 0)
        return result;
    if (!proof.passed)
        text_print(stderr, "gfxbridge: %s is installed and failed its proof: %s", c->package,
                   proof.sentence);
    else if (!cli->json)
        text_print(stdout, "%s is installed and proven: %s", c->package, proof.shown);
    result = proof.passed ? CLI_DONE : CLI_PROOF_FAILED;
    if (cli->json && cli_print_json(report_json_proof(c, &proof), err) < 0)
        result = CLI_FAILED;
    engine_proof_done(&proof);
    return result;
}

/* A package that is on this computer's disk. backend NULL: the best that is in it. */
static int backends_install_local(struct cli *cli, struct session_request *r, const char *file,
                                  const char *backend, struct gfxb_error *err)
{
    const struct package_local local = {.path = file, .backend = backend};
    struct package_env env = backends_env(r);
    struct session session = {0};
    char digest[DIGEST_HEX];
    struct str target = backends_only_target(r->machine);
    char *CLEAN_FREE gfx = target.n ? xstr_dup(target) : NULL;
    env.gfx = gfx;
    int result = package_install_local(&env, &local, digest, err);
    if (result == 0)
        result = backends_prove_package(cli, r, digest, &session, err);
    session_done(&session);
    return result;
}

/* ---- verify ---- */

static int backends_verify_choice(const struct session_request *r, struct session *session,
                                  size_t i, json_t *results, bool *all_passed,
                                  struct gfxb_error *err)
{
    const struct plan_choice *c = &session->plan->choice[i];
    struct engine_proof proof;
    int result = session_prove(r, session, i, &proof, err);
    if (result < 0)
        return result;
    *all_passed &= proof.passed;
    if (results)
        json_array_append_new(results, report_json_proof(c, &proof));
    else
        text_print(stdout, "%s with %s: %s", plan_backend_name(c->backend), c->package,
                   proof.passed ? proof.shown : proof.sentence);
    engine_proof_done(&proof);
    return 0;
}

/* Prove every choice of an installed package; only NULL: of all packages, else of these. */
static int backends_prove_all(struct cli *cli, const struct session_request *r,
                              const struct package_digests *only, struct gfxb_error *err)
{
    struct session session = {0};
    int result = session_plan(r, &session, err);
    if (result < 0)
        return result;
    json_t *results = cli->json ? json_array() : NULL;
    bool passed = true, any = false;
    for (size_t i = 0; i < session.plan->n_choices && result == 0; i++) {
        const struct plan_choice *c = &session.plan->choice[i];
        if (!session_can_prove(c) || (only && !package_digests_have(only, c->installed->digest)))
            continue;
        any = true;
        result = backends_verify_choice(r, &session, i, results, &passed, err);
    }
    for (size_t i = 0; only && i < only->n && result == 0; i++) {
        const struct plan_choice *c = backends_find_choice(session.plan, only->digest[i]);
        struct gfxb_error why;
        if (c && session_can_prove(c))
            continue;
        backends_unusable(&session, only->digest[i], &why);
        if (any)
            text_print(stderr, "gfxbridge: %s", why.text);
        else
            result = error_set(err, why.code, "%s", why.text);
    }
    if (result == 0 && !any)
        result = error_set(err, GFXB_E_NO_PACKAGE,
                           "nothing is installed that could be proven: gfxbridge backends install "
                           "%.*s:cpu brings the first",
                           STR_ARG(gfx_engine_default()));
    if (result == 0 && results)
        result = cli_print_json(json_pack("{s:O}", "results", results), err);
    json_decref(results);
    session_done(&session);
    return result == 0 && !passed ? CLI_PROOF_FAILED : result;
}

static int backends_verify(struct cli *cli, struct session_request *r, const struct cli_args *args,
                           struct gfxb_error *err)
{
    enum plan_backend only = PLAN_BACKENDS;
    int result = args->n_words > 1 ? backends_read_name(args->word[1], r, &only, err) : 0;
    if (result < 0)
        return result;
    if (only != PLAN_BACKENDS)
        r->request.backend = (int)only;
    r->thorough = true;
    return backends_prove_all(cli, r, NULL, err);
}

/* ---- bundles for a computer without the network ---- */

/* What "bundle" is asked for: a FILE, and the backend where one is named, in either order. */
static int backends_read_bundle(const struct cli_args *args, struct session_request *r,
                                const char **ret_file, enum plan_backend *ret_backend,
                                struct gfxb_error *err)
{
    *ret_file = NULL;
    *ret_backend = PLAN_BACKENDS;
    for (size_t i = 1; i < args->n_words; i++) {
        const char *word = args->word[i];
        if (plan_backend_read(word, &r->request.engine, ret_backend) == 0)
            continue;
        if (*ret_file) /* then one of the two must be a backend */
            return backends_read_name(word, r, ret_backend, err);
        *ret_file = word;
    }
    if (!*ret_file)
        return error_set(err, GFXB_E_USAGE, "backends bundle needs the name of a file");
    return 0;
}

/* Write the bundle, and tell what is in it. */
static int backends_write_bundle(struct cli *cli, const struct package_env *env, const char *file,
                                 const struct package *const *packages, size_t n,
                                 struct gfxb_error *err)
{
    int result = package_write_offline(env, packages, n, file, err);
    if (result < 0)
        return result;
    if (cli->json)
        return cli_print_json(json_pack("{s:s, s:i}", "path", file, "packages", (int)n), err);
    text_print(stdout,
               "%s holds %zu package%s: gfxbridge backends install --from FILE takes it on another "
               "computer",
               file, n, n == 1 ? "" : "s");
    return 0;
}

/* Fetch the package of this choice for the described computer. */
static int backends_fetch(const struct session_request *r, const struct plan_choice *c,
                          const struct root *here, char ret_digest[static DIGEST_HEX],
                          struct gfxb_error *err)
{
    const struct gfx_package *row = gfx_package_find(r->tables, c->package);
    struct package_env env = backends_env(r);
    env.root = here;
    env.other = r->root;
    env.other_glibc = r->machine->host.glibc;
    env.gfx = c->gfx;
    int result = row ? package_install(&env, row, err) : -GFXB_E_NO_PACKAGE;
    if (result == 0 && !package_find(&env, row, ret_digest))
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%s uses files outside of it and cannot be bundled", c->package);
    return result;
}

/* Of each backend that the described computer's plan can use, its best package that can be fetched:
 * what is chosen, and what it falls back to. */
static int backends_fetch_all(const struct session_request *r, const struct root *here,
                              struct package_digests *ret_digests, struct gfxb_error *err)
{
    struct session_request request = *r;
    struct session session;
    struct gfxb_error why = {0}, first = {0};
    bool fetched[PLAN_BACKENDS] = {false};
    request.data_dir = NULL; /* nothing is installed there */
    request.request.no_network = false;
    int result = session_plan(&request, &session, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < session.plan->n_choices && !session_is_ours(-result); i++) {
        const struct plan_choice *c = &session.plan->choice[i];
        if (c->state == PLAN_REJECTED || fetched[c->backend])
            continue;
        result = backends_fetch(r, c, here, ret_digests->digest[ret_digests->n], &why);
        fetched[c->backend] = result == 0;
        ret_digests->n += result == 0;
        if (result < 0)
            log_at(r->log, LOG_WARNING, "not %s with %s: %s", plan_backend_name(c->backend),
                   c->package, why.text);
        if (result < 0 && !first.code)
            first = why;
    }
    if (session.plan->chosen < 0)
        result = error_set(err, session.plan->choice[0].code, "that computer can use nothing: %s",
                           session.plan->choice[0].reason);
    else if (session_is_ours(-result))
        result = error_set(err, why.code, "%s", why.text);
    else if (!ret_digests->n)
        result = error_set(err, first.code, "nothing could be fetched for that computer: %s",
                           first.text);
    else
        result = 0;
    session_done(&session);
    return result;
}

/* bundle --for: what that computer needs is fetched into this one's store, then written. */
static int backends_bundle_for(struct cli *cli, const struct session_request *r, const char *file,
                               struct gfxb_error *err)
{
    struct package_env env = backends_env(r);
    struct package_digests wanted = {.n = 0};
    struct package_list list = {NULL, 0};
    const struct package *chosen[PLAN_BACKENDS];
    struct root *here = NULL;
    size_t n = 0;
    int result = root_new(NULL, &here, err);
    env.root = here;
    if (result == 0)
        result = backends_fetch_all(r, here, &wanted, err);
    if (result == 0)
        result = package_list_new(&env, &list, err);
    for (size_t i = 0; result == 0 && i < list.n; i++) {
        if (package_digests_have(&wanted, list.item[i].digest))
            chosen[n++] = &list.item[i];
    }
    if (result == 0)
        result = backends_write_bundle(cli, &env, file, chosen, n, err);
    package_list_done(&list);
    root_free(here);
    return result;
}

/* bundle FILE [KIND:BACKEND]: what is installed of one backend, or all that can be bundled. */
static int backends_bundle(struct cli *cli, struct session_request *r, const struct cli_args *args,
                           struct gfxb_error *err)
{
    enum plan_backend backend;
    const char *file;
    struct package_env env = backends_env(r);
    struct package_list list;
    int result = backends_read_bundle(args, r, &file, &backend, err);
    if (result == 0 && args->value[BACKENDS_FOR]) {
        r->request.backend = backend == PLAN_BACKENDS ? r->request.backend : (int)backend;
        return backends_bundle_for(cli, r, file, err);
    }
    if (result == 0)
        result = package_list_new(&env, &list, err);
    if (result < 0)
        return result;
    const struct package **CLEAN_FREE chosen = xcalloc(list.n, sizeof(*chosen));
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        const struct package *p = &list.item[i];
        bool wanted = backend == PLAN_BACKENDS ? package_outside(p).n == 0
                                               : package_is_of(p, backends_packages(r, backend));
        if (wanted)
            chosen[n++] = p;
    }
    result = backends_write_bundle(cli, &env, file, chosen, n, err);
    package_list_done(&list);
    return result;
}

/* Install all that a bundle holds, then prove what of it can be used here. */
static int backends_install_bundle(struct cli *cli, struct session_request *r, const char *file,
                                   struct gfxb_error *err)
{
    struct package_env env = backends_env(r);
    struct package_digests digests;
    int result = package_install_offline(&env, file, &digests, err);
    r->request.no_network = true;
    return result < 0 ? result : backends_prove_all(cli, r, &digests, err);
}

/* ---- install by name ---- */

static int backends_install(struct cli *cli, struct session_request *r, const struct cli_args *args,
                            struct gfxb_error *err)
{
    enum plan_backend backend = PLAN_BACKENDS;
    struct session session = {0};
    if (args->value[BACKENDS_FROM])
        return backends_install_bundle(cli, r, args->value[BACKENDS_FROM], err);
    if (args->n_words < 2)
        return error_set(err, GFXB_E_USAGE,
                         "backends install needs a backend, such as %.*s:cpu, or --from FILE",
                         STR_ARG(gfx_engine_default()));
    const char *word = args->word[1];
    int result = backends_read_name(word, r, &backend, err);
    if (result < 0 && args->n_words == 2 && (strchr(word, '/') || access(word, F_OK) == 0))
        return backends_install_local(cli, r, word, NULL, err);
    if (result < 0)
        return result;
    if (args->n_words > 2) {
        r->request.backend = (int)backend;
        return backends_install_local(cli, r, args->word[2], session_package_backend(backend), err);
    }
    r->request.backend = (int)backend;
    result = session_bring_up(r, NULL, &session, err);
    if (result < 0)
        result = cli_nowhere(cli, &session, result, err);
    else if (cli->json)
        result = cli_print_json(report_json_choice(session.running), err);
    else
        text_print(stdout, "%s is installed and proven: %s", session.package->id,
                   session.running->reason);
    session_done(&session);
    return result;
}

/* ---- remove and use ---- */

static int backends_remove(struct cli *cli, struct session_request *r, const struct cli_args *args,
                           struct gfxb_error *err)
{
    enum plan_backend backend = PLAN_BACKENDS;
    struct package_env env = backends_env(r);
    size_t n = 0;
    int result = backends_read_name(args->word[1], r, &backend, err);
    if (result == 0)
        result = package_remove_backend(&env, backends_packages(r, backend), &n, err);
    if (result == 0 && !cli->quiet)
        text_print(stderr, "removed %zu package%s", n, n == 1 ? "" : "s");
    return result;
}

/* Which package is preferred now. */
static int backends_tell_use(const struct cli *cli, const struct package_env *env,
                             struct package_backend backend, struct gfxb_error *err)
{
    struct str engine = backend.engine;
    struct package_list list;
    const struct package *pinned = NULL;
    int result = package_list_new(env, &list, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < list.n && !pinned; i++) {
        if (list.item[i].pinned && package_is_of(&list.item[i], backend))
            pinned = &list.item[i];
    }
    if (cli->json)
        result = cli_print_json(json_pack("{s:s, s:s?, s:s?}", "backend", backend.name, "package",
                                          pinned ? pinned->id : NULL, "digest",
                                          pinned ? pinned->digest : NULL),
                                err);
    else if (pinned)
        text_print(stdout, "%.*s:%s uses %s (%.12s) from now on, before all other choices",
                   STR_ARG(engine), backend.name, pinned->id, pinned->digest);
    else
        text_print(stdout, "no package of %.*s:%s is preferred any more", STR_ARG(engine),
                   backend.name);
    package_list_done(&list);
    return result;
}

/* With a digest (its beginning is enough) that package, else the newest; "none" ends it. */
static int backends_use(struct cli *cli, struct session_request *r, const struct cli_args *args,
                        struct gfxb_error *err)
{
    enum plan_backend backend = PLAN_BACKENDS;
    struct package_env env = backends_env(r);
    const char *prefix = args->n_words > 2 ? args->word[2] : "";
    int result = backends_read_name(args->word[1], r, &backend, err);
    if (result == 0)
        result = package_use(&env, backends_packages(r, backend), prefix, err);
    return result < 0 ? result : backends_tell_use(cli, &env, backends_packages(r, backend), err);
}

static const struct backends_verb {
    const char *name;
    size_t min_words;
    int (*run)(struct cli *cli, struct session_request *r, const struct cli_args *args,
               struct gfxb_error *err);
} backends_verbs[] = {
    {"bundle", 2, backends_bundle}, {"install", 1, backends_install},
    {"list", 1, backends_list},     {"remove", 2, backends_remove},
    {"use", 2, backends_use},       {"verify", 1, backends_verify},
};

/* NULL: there is no such word. */
static const struct backends_verb *backends_find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof(backends_verbs) / sizeof(backends_verbs[0]); i++) {
        if (strcmp(backends_verbs[i].name, name) == 0)
            return &backends_verbs[i];
    }
    return NULL;
}

static int backends_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const char *name = args->n_words ? args->word[0] : "list";
    const struct backends_verb *verb = backends_find_verb(name);
    struct session_request request;
    cli_catch_signals();
    if (!verb)
        return error_set(
            err, GFXB_E_USAGE,
            "no such word: backends %s; they are list, install, verify, remove, use and bundle",
            name);
    if (args->n_words && args->n_words < verb->min_words)
        return error_set(err, GFXB_E_USAGE, "backends %s needs %s", name,
                         verb->run == backends_bundle ? "the name of a file"
                                                      : "a backend: see gfxbridge backends list");
    if (cli->sysroot && verb->run != backends_list)
        return error_set(err, GFXB_E_USAGE, "backends %s works on this computer only", name);
    if (args->value[BACKENDS_FOR]) {
        if (verb->run != backends_bundle)
            return error_set(err, GFXB_E_USAGE, "--for is an option of backends bundle");
        cli->sysroot = args->value[BACKENDS_FOR]; /* the request is about that computer */
    }
    int result = cli_session_request(cli, args, &request, err);
    if (result == 0 && cli->sysroot && verb->run == backends_bundle)
        result = cli_need_data_dir(cli, err);
    if (result < 0)
        return result;
    if (verb->run == backends_bundle)
        request.data_dir = cli->data_dir;
    request.net.fetch.cancel = request.cancel;
    return verb->run(cli, &request, args, err);
}

const struct cli_command cli_command_backends = {
    .name = "backends",
    .words = "[list|install|verify|remove|use|bundle] [KIND:BACKEND|FILE] [FILE|DIR|DIGEST]",
    .max_words = 3,
    .summary = "engine packages: install, prove again, remove, pin",
    .about = "list       " TEXT_HANG "every backend with its state, and what is installed\n"
             "install    " TEXT_HANG
             "bring the best package of a backend here and prove it; or, without the network, an "
             "archive (FILE), or a directory or an engine's program, which stays where it is\n"
             "verify     " TEXT_HANG
             "test what is installed again, also what failed before, and thoroughly: every tensor "
             "type and shape\n"
             "remove     " TEXT_HANG "remove the packages of a backend\n"
             "use        " TEXT_HANG
             "prefer one installed package (DIGEST or its beginning), an older one too, until the "
             "next use; 'none' ends that\n"
             "bundle     " TEXT_HANG
             "write the installed packages, or those of one backend, into one FILE; install --from "
             "FILE takes it on a computer without the network, under the same digests. With --for "
             "FILE.machine it first fetches what that computer needs: the best package of each "
             "backend that it can use",
    .options = backends_options,
    .run = backends_run,
};
