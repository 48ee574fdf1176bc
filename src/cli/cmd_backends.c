/* cmd_backends.c - engine packages: list, install, verify, bundle, remove, use. */
#include "cli/cli.h"
#include "sysroot/sysroot.h"

enum { BACKENDS_FROM = CLI_REQUEST_NEXT, BACKENDS_FOR };

static const struct cli_option backends_options[] = {
    CLI_REQUEST_OPTIONS,
    {"from", "FILE", "install what this bundle holds, without the network"},
    {"for", "FILE.machine", "bundle what that computer needs: capture writes such a file there"},
    {NULL, NULL, NULL},
};

/* "KIND:vulkan", of which the request is from here on; false: it is none. */
static bool backends_try_name(struct cli *cli, const char *word)
{
    enum plan_backend backend;
    if (plan_backend_read(word, &cli->request.request.engine, &backend) < 0)
        return false;
    cli->request.request.backend = (int)backend;
    return true;
}

static void backends_read_name(struct cli *cli, const char *word)
{
    struct buf CLEAN_BUF all = BUF_INIT(1024);
    plan_backend_list(&all);
    if (!backends_try_name(cli, word))
        cli_die(cli, GFXB_E_USAGE, "no such backend: '%s'; they are %s", word, buf_text(&all));
}

/* The packages of the request's backend. */
static struct package_backend backends_packages(const struct cli *cli)
{
    const struct plan_request *r = &cli->request.request;
    return (struct package_backend){r->engine,
                                    session_package_backend((enum plan_backend)r->backend)};
}

static struct package_env backends_env(const struct cli *cli)
{
    return (struct package_env){.data_dir = cli->request.data_dir,
                                .tables = cli->tables,
                                .root = cli->root,
                                .no_network = cli->no_network,
                                .log = &cli->log,
                                .net = &cli->request.net};
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
        text_print(stdout, "installed: " TEXT_HANG "%s %s, %s%s, %.12s", p->id,
                   p->version ? p->version : "", report_known_bytes(p->bytes).text,
                   p->pinned ? ", pinned" : "", p->digest);
    }
}

static int backends_list(struct cli *cli, const struct cli_args *args)
{
    cli_plan(cli);
    if (cli->json)
        cli_print_json(cli, report_json_backends(&cli->session));
    else
        backends_list_text(&cli->session);
    return CLI_DONE;
}

/* ---- prove ---- */

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

/* cli->err: why is the package with this digest of no use here? */
static void backends_unusable(struct cli *cli, const char *digest)
{
    const struct session *session = &cli->session;
    const struct plan_choice *c = backends_find_choice(session->plan, digest);
    const struct package *package = NULL;
    for (size_t i = 0; i < session->packages.n && !package; i++) {
        if (strcmp(session->packages.item[i].digest, digest) == 0)
            package = &session->packages.item[i];
    }
    for (size_t i = 0; package && !c && i < session->plan->n_choices; i++) { /* no GPU for it */
        if (strcmp(package->backend, plan_backend_name(session->plan->choice[i].backend)) == 0)
            c = &session->plan->choice[i];
    }
    if (package)
        error_set(&cli->err, c ? c->code : GFXB_E_NO_PACKAGE,
                  "%s is installed and cannot be used here: %s", package->id,
                  c ? c->reason : "the plan has no place for it");
    else
        error_set(&cli->err, GFXB_E_NO_PACKAGE, "the package %.12s was removed meanwhile", digest);
}

/* Prove every choice of an installed package; only NULL: of all packages, else of these. */
static int backends_prove_all(struct cli *cli, const struct package_digests *only)
{
    const struct plan *plan = cli_plan(cli);
    json_t *results = cli->answer = cli->json ? json_array() : NULL;
    bool passed = true, whole = true, any = false;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        struct engine_proof proof;
        if (!session_can_prove(c) || (only && !package_digests_have(only, c->installed->digest)))
            continue;
        any = true;
        cli_check(cli, session_prove(&cli->request, &cli->session, i, &proof, &cli->err));
        passed &= proof.passed;
        whole &= !proof.covers.fails[0];
        if (results)
            json_array_append_new(results, report_json_proof(c, &proof));
        else
            text_print(stdout, "%s with %s: %s", plan_backend_name(c->backend), c->package,
                       proof.passed ? proof.shown : proof.sentence);
        if (proof.covers.fails[0])
            text_print(stderr,
                       "gfxbridge: %s with %s fails with models of these kinds, which the next "
                       "choice serves: %s (%s)",
                       plan_backend_name(c->backend), c->package, proof.covers.fails,
                       proof.covers.why);
        engine_proof_done(&proof);
    }
    for (size_t i = 0; only && i < only->n; i++) {
        const struct plan_choice *c = backends_find_choice(plan, only->digest[i]);
        if (c && session_can_prove(c))
            continue;
        backends_unusable(cli, only->digest[i]);
        if (!any)
            cli_fail(cli);
        text_print(stderr, "gfxbridge: %s", cli->err.text);
    }
    if (!any)
        cli_die(cli, GFXB_E_NO_PACKAGE,
                "nothing is installed that could be proven: gfxbridge backends install %.*s:cpu "
                "brings the first",
                STR_ARG(gfx_engine_default()));
    if (results)
        cli_print_json(cli, json_pack("{s:O}", "results", results));
    return !passed ? CLI_PROOF_FAILED : whole ? CLI_DONE : CLI_FAILED;
}

static int backends_verify(struct cli *cli, const struct cli_args *args)
{
    if (args->n_words > 1)
        backends_read_name(cli, args->word[1]);
    cli->request.thorough = true;
    return backends_prove_all(cli, NULL);
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

/* Prove the package with this digest and no other, and tell the outcome. */
static int backends_prove_package(struct cli *cli, const char *digest)
{
    const struct plan *plan = cli_plan(cli);
    const struct plan_choice *c = backends_find_choice(plan, digest);
    struct engine_proof proof;
    if (!c || !session_can_prove(c)) {
        backends_unusable(cli, digest);
        cli_fail(cli);
    }
    cli_check(cli, session_prove(&cli->request, &cli->session, (size_t)(c - plan->choice), &proof,
                                 &cli->err));
    int code = proof.passed ? CLI_DONE : CLI_PROOF_FAILED;
    if (!proof.passed)
        text_print(stderr, "gfxbridge: %s is installed and failed its proof: %s", c->package,
                   proof.sentence);
    else if (!cli->json)
        text_print(stdout, "%s is installed and proven: %s", c->package, proof.shown);
    if (cli->json)
        cli_print_json(cli, report_json_proof(c, &proof));
    engine_proof_done(&proof);
    return code;
}

/* A package that is on this computer's disk. backend NULL: the best that is in it. */
static int backends_install_local(struct cli *cli, const char *file, const char *backend)
{
    const struct package_local local = {.path = file, .backend = backend};
    struct package_env env = backends_env(cli);
    char digest[DIGEST_HEX];
    struct str target = backends_only_target(cli->machine);
    env.gfx = target.n ? cli_keep(cli, xstr_dup(target)) : NULL;
    cli_check(cli, package_install_local(&env, &local, digest, &cli->err));
    return backends_prove_package(cli, digest);
}

/* Install all that a bundle holds, then prove what of it can be used here. */
static int backends_install_bundle(struct cli *cli, const char *file)
{
    struct package_env env = backends_env(cli);
    struct package_digests digests;
    cli_check(cli, package_install_offline(&env, file, &digests, &cli->err));
    cli->request.request.no_network = true;
    return backends_prove_all(cli, &digests);
}

/* ---- install by name ---- */

static int backends_install(struct cli *cli, const struct cli_args *args)
{
    const struct session *session = &cli->session;
    if (args->value[BACKENDS_FROM])
        return backends_install_bundle(cli, args->value[BACKENDS_FROM]);
    if (args->n_words < 2)
        cli_die(cli, GFXB_E_USAGE,
                "backends install needs a backend, such as %.*s:cpu, or --from FILE",
                STR_ARG(gfx_engine_default()));
    const char *word = args->word[1];
    bool is_file = args->n_words == 2 && (strchr(word, '/') || access(word, F_OK) == 0);
    if (is_file && !backends_try_name(cli, word))
        return backends_install_local(cli, word, NULL);
    backends_read_name(cli, word);
    if (args->n_words > 2)
        return backends_install_local(cli, args->word[2], backends_packages(cli).name);
    cli_check_bring_up(cli, session_bring_up(&cli->request, NULL, &cli->session, &cli->err));
    if (cli->json)
        cli_print_json(cli, report_json_choice(session->running));
    else
        text_print(stdout, "%s is installed and proven: %s", session->package->id,
                   session->running->reason);
    return CLI_DONE;
}

/* ---- bundles for a computer without the network ---- */

/* Fetch the package of this choice for the described computer. */
static int backends_fetch(struct cli *cli, const struct plan_choice *c, const struct root *here,
                          char ret_digest[static DIGEST_HEX])
{
    const struct gfx_package *row = gfx_package_find(cli->tables, c->package);
    struct package_env env = backends_env(cli);
    env.root = here;
    env.other = cli->root;
    env.other_glibc = cli->machine->host.glibc;
    env.gfx = c->gfx;
    int result = row ? package_install(&env, row, &cli->err) : -GFXB_E_NO_PACKAGE;
    if (result == 0 && !package_find(&env, row, ret_digest))
        return error_set(&cli->err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%s uses files outside of it and cannot be bundled", c->package);
    return result;
}

/* Of each backend that the described computer's plan can use, its best package that can be fetched:
 * what is chosen, and what it falls back to. */
static void backends_fetch_all(struct cli *cli, const struct root *here,
                               struct package_digests *ret_digests)
{
    struct session_request request = cli->request;
    struct gfxb_error first = {.code = 0};
    bool fetched[PLAN_BACKENDS] = {false};
    request.data_dir = NULL; /* nothing is installed there */
    request.request.no_network = false;
    cli_check(cli, session_plan(&request, &cli->session, &cli->err));
    const struct plan *plan = cli->session.plan;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (c->state == PLAN_REJECTED || fetched[c->backend])
            continue;
        int result = backends_fetch(cli, c, here, ret_digests->digest[ret_digests->n]);
        fetched[c->backend] = result == 0;
        ret_digests->n += result == 0;
        if (session_is_ours(-result))
            cli_fail(cli);
        if (result < 0)
            log_at(&cli->log, LOG_WARNING, "not %s with %s: %s", plan_backend_name(c->backend),
                   c->package, cli->err.text);
        if (result < 0 && !first.code)
            first = cli->err;
    }
    if (plan->chosen < 0)
        cli_die(cli, plan->choice[0].code, "that computer can use nothing: %s",
                plan->choice[0].reason);
    if (!ret_digests->n)
        cli_die(cli, first.code, "nothing could be fetched for that computer: %s", first.text);
}

/* bundle FILE [KIND:BACKEND], in either order: what is installed of one backend, or all that can be
 * bundled; with --for what that computer needs, which is fetched into this one's store first. */
static int backends_bundle(struct cli *cli, const struct cli_args *args)
{
    struct package_digests wanted = {.n = 0};
    struct package_list list;
    struct root *here = NULL;
    const char *file = NULL;
    bool one = false;
    size_t n = 0;
    for (size_t i = 1; i < args->n_words; i++) {
        if (backends_try_name(cli, args->word[i]))
            one = true;
        else if (file) /* then one of the two must be a backend */
            backends_read_name(cli, args->word[i]);
        else
            file = args->word[i];
    }
    if (!file)
        cli_die(cli, GFXB_E_USAGE, "backends bundle needs the name of a file");
    struct package_env env = backends_env(cli);
    if (args->value[BACKENDS_FOR]) {
        cli_check(cli, root_new(NULL, &here, &cli->err));
        env.root = here;
        backends_fetch_all(cli, here, &wanted);
    }
    cli_check(cli, package_list_new(&env, &list, &cli->err));
    const struct package **CLEAN_FREE chosen = xcalloc(list.n, sizeof(*chosen));
    for (size_t i = 0; i < list.n; i++) {
        const struct package *p = &list.item[i];
        if (here  ? package_digests_have(&wanted, p->digest)
            : one ? package_is_of(p, backends_packages(cli))
                  : package_outside(p).n == 0)
            chosen[n++] = p;
    }
    cli_check(cli, package_write_offline(&env, chosen, n, file, &cli->err));
    if (cli->json)
        cli_print_json(cli, json_pack("{s:s, s:i}", "path", file, "packages", (int)n));
    else
        text_print(stdout,
                   "%s holds %zu package%s: gfxbridge backends install --from FILE takes it on "
                   "another computer",
                   file, n, n == 1 ? "" : "s");
    package_list_done(&list);
    root_free(here);
    return CLI_DONE;
}

/* ---- remove and use ---- */

static int backends_remove(struct cli *cli, const struct cli_args *args)
{
    struct package_env env = backends_env(cli);
    size_t n = 0;
    backends_read_name(cli, args->word[1]);
    cli_check(cli, package_remove_backend(&env, backends_packages(cli), &n, &cli->err));
    if (!cli->quiet)
        text_print(stderr, "removed %zu package%s", n, n == 1 ? "" : "s");
    return CLI_DONE;
}

/* Which package is preferred now. */
static void backends_tell_use(struct cli *cli, const struct package_env *env,
                              struct package_backend backend)
{
    struct package_list list;
    const struct package *pinned = NULL;
    cli_check(cli, package_list_new(env, &list, &cli->err));
    for (size_t i = 0; i < list.n && !pinned; i++) {
        if (list.item[i].pinned && package_is_of(&list.item[i], backend))
            pinned = &list.item[i];
    }
    if (cli->json)
        cli_print_json(cli, json_pack("{s:s, s:s?, s:s?}", "backend", backend.name, "package",
                                      pinned ? pinned->id : NULL, "digest",
                                      pinned ? pinned->digest : NULL));
    else if (pinned)
        text_print(stdout, "%.*s:%s uses %s (%.12s) from now on, before all other choices",
                   STR_ARG(backend.engine), backend.name, pinned->id, pinned->digest);
    else
        text_print(stdout, "no package of %.*s:%s is preferred any more", STR_ARG(backend.engine),
                   backend.name);
    package_list_done(&list);
}

/* With a digest (its beginning is enough) that package, else the newest; "none" ends it. */
static int backends_use(struct cli *cli, const struct cli_args *args)
{
    struct package_env env = backends_env(cli);
    const char *prefix = args->n_words > 2 ? args->word[2] : "";
    backends_read_name(cli, args->word[1]);
    cli_check(cli, package_use(&env, backends_packages(cli), prefix, &cli->err));
    backends_tell_use(cli, &env, backends_packages(cli));
    return CLI_DONE;
}

static const struct backends_verb {
    const char *name;
    int (*run)(struct cli *cli, const struct cli_args *args);
    const char *needs; /* the word behind it; NULL: none, or it looks itself */
} backends_verbs[] = {
    {"list", backends_list, NULL},
    {"install", backends_install, NULL},
    {"verify", backends_verify, NULL},
    {"remove", backends_remove, "a backend: see gfxbridge backends list"},
    {"use", backends_use, "a backend: see gfxbridge backends list"},
    {"bundle", backends_bundle, "the name of a file"},
};

static const struct backends_verb *backends_find_verb(struct cli *cli, const char *name)
{
    for (size_t i = 0; i < sizeof(backends_verbs) / sizeof(backends_verbs[0]); i++) {
        if (strcmp(backends_verbs[i].name, name) == 0)
            return &backends_verbs[i];
    }
    cli_die(cli, GFXB_E_USAGE,
            "no such word: backends %s; they are list, install, verify, remove, use and bundle",
            name);
}

static int backends_run(struct cli *cli, const struct cli_args *args)
{
    const char *name = args->n_words ? args->word[0] : "list";
    const struct backends_verb *verb = backends_find_verb(cli, name);
    bool bundle = verb->run == backends_bundle;
    cli_catch_signals();
    if (verb->needs && args->n_words < 2)
        cli_die(cli, GFXB_E_USAGE, "backends %s needs %s", name, verb->needs);
    if (cli->sysroot && verb->run != backends_list)
        cli_die(cli, GFXB_E_USAGE, "backends %s works on this computer only", name);
    if (args->value[BACKENDS_FOR] && !bundle)
        cli_die(cli, GFXB_E_USAGE, "--for is an option of backends bundle");
    if (args->value[BACKENDS_FOR])
        cli->sysroot = args->value[BACKENDS_FOR]; /* the request is about that computer */
    cli_read_request(cli, args);
    if (bundle) /* of packages that are here */
        cli->request.data_dir = cli_need_data_dir(cli);
    return verb->run(cli, args);
}

const struct cli_command cli_command_backends = {
    .name = "backends",
    .words = "[list|install|verify|remove|use|bundle] [KIND:BACKEND|FILE] [FILE|DIR|DIGEST]",
    .summary = "engine packages: install, prove again, remove, pin",
    .about =
        "list       " TEXT_HANG "every backend with its state, and what is installed\n"
        "install    " TEXT_HANG
        "bring the best package of a backend here and prove it; or, without the network, an "
        "archive (FILE), or a directory or an engine's program, which stays where it is\n"
        "verify     " TEXT_HANG
        "test what is installed again, also what failed before, and thoroughly: every tensor "
        "type and shape. The exit code is 4 when a test failed, 1 when a package fails with some "
        "kinds of model alone\n"
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
