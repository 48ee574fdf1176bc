#include "cli/text.h"
#include "cli/wish.h"

#include <errno.h>

static const struct cli_option backends_options[] = {
    CLI_WISH_OPTIONS,
    {NULL, NULL, NULL},
};

#define BACKENDS_ENGINE "llamacpp:"

/* "llamacpp:vulkan" -> PLAN_VULKAN */
static int backends_read_name(const char *word, enum plan_backend *ret_backend,
                              struct gfxb_error *err)
{
    size_t n = strlen(BACKENDS_ENGINE);
    int backend = strncmp(word, BACKENDS_ENGINE, n) == 0 ? plan_backend_from_name(word + n) : -1;
    if (backend < 0)
        return error_set(err, GFXB_E_USAGE,
                         "no such backend: '%s'; they are llamacpp:rocm, llamacpp:vulkan and "
                         "llamacpp:cpu",
                         word);
    *ret_backend = (enum plan_backend)backend;
    return 0;
}

static struct package_env backends_env(const struct path_request *r)
{
    return (struct package_env){.data_dir = r->data_dir,
                                .tables = r->tables,
                                .root = r->root,
                                .no_network = r->wish.no_network,
                                .log = r->log};
}

/* Packages for vulkan-software are Vulkan's. */
static const char *backends_package_name(enum plan_backend backend)
{
    return plan_backend_name(backend == PLAN_VULKAN_SOFTWARE ? PLAN_VULKAN : backend);
}

/* ---- list ---- */

static json_t *backends_package_json(const struct package *p)
{
    json_t *object = json_object();
    json_object_set_new(object, "id", report_json_text(p->id));
    json_object_set_new(object, "backend", report_json_text(p->backend));
    json_object_set_new(object, "source", report_json_text(p->provider));
    json_object_set_new(object, "version", report_json_text(p->version));
    json_object_set_new(object, "digest", report_json_text(p->digest));
    json_object_set_new(object, "gfx", report_json_words(str_from(p->gfx)));
    json_object_set_new(object, "bytes", report_json_bytes(p->bytes));
    json_object_set_new(object, "pinned", json_boolean(p->pinned));
    return object;
}

static int backends_list_json(const struct path *path, struct gfxb_error *err)
{
    json_t *packages = json_array();
    for (size_t i = 0; i < path->packages.n; i++)
        json_array_append_new(packages, backends_package_json(&path->packages.item[i]));
    json_t *answer = report_json_plan(path->plan);
    json_object_set_new(answer, "packages", packages);
    return cli_print_json(answer, err);
}

static void backends_list_text(const struct path *path)
{
    bool told[PLAN_BACKENDS] = {false};
    for (size_t i = 0; i < path->plan->n_choices; i++) {
        const struct plan_choice *c = &path->plan->choice[i];
        if (told[c->backend])
            continue;
        told[c->backend] = true;
        text_print(stdout, "llamacpp:%-16s %-9s " TEXT_HANG "%s", plan_backend_name(c->backend),
                   plan_state_name(c->state), c->reason);
    }
    for (size_t i = 0; i < path->packages.n; i++) {
        const struct package *p = &path->packages.item[i];
        char size[32];
        report_bytes_text(p->bytes, size, sizeof(size));
        text_print(stdout, "installed: " TEXT_HANG "%s %s, %s%s, %.12s", p->id,
                   p->version ? p->version : "", size, p->pinned ? ", pinned" : "", p->digest);
    }
}

static int backends_list(struct cli *cli, struct path_request *r, const struct cli_args *args,
                         struct gfxb_error *err)
{
    struct path path;
    int result = path_plan(r, &path, err);
    if (result < 0)
        return result;
    if (cli->json)
        result = backends_list_json(&path, err);
    else
        backends_list_text(&path);
    path_done(&path);
    return result;
}

/* ---- what install and verify tell of a proof ---- */

static bool backends_can_verify(const struct plan_choice *c)
{
    return c->installed && (c->state != PLAN_REJECTED || c->code == GFXB_E_FAILED_BEFORE);
}

static json_t *backends_proof_json(const struct plan_choice *c, const struct engine_proof *proof)
{
    json_t *rungs = json_array();
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        json_t *rung = json_object();
        json_object_set_new(rung, "rung", json_string(plan_rung_name(proof->rung[i].rung)));
        json_object_set_new(rung, "ok", report_json_tri(proof->rung[i].ok));
        json_object_set_new(rung, "detail", report_json_text(proof->rung[i].detail));
        json_array_append_new(rungs, rung);
    }
    json_t *object = json_object();
    json_object_set_new(object, "backend", json_string(plan_backend_name(c->backend)));
    json_object_set_new(object, "package", report_json_text(c->package));
    json_object_set_new(object, "passed", json_boolean(proof->passed));
    json_object_set_new(object, "code", json_string(gfxb_code_name(proof->code)));
    json_object_set_new(object, "reason", report_json_text(proof->sentence));
    json_object_set_new(object, "device", report_json_text(proof->shown));
    json_object_set_new(object, "rungs", rungs);
    return object;
}

/* ---- install ---- */

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
        if (backends_can_verify(c))
            return c;
        found = found ? found : c;
    }
    return found;
}

/* Prove the package with this digest and no other, and tell the outcome. */
static int backends_prove_package(struct cli *cli, struct path_request *r, const char *digest,
                                  struct path *path, struct gfxb_error *err)
{
    struct engine_proof proof;
    int result = path_plan(r, path, err);
    if (result < 0)
        return result;
    const struct plan_choice *c = backends_find_choice(path->plan, digest);
    if (!c)
        return error_set(err, GFXB_E_NO_PACKAGE, "the package %.12s was removed meanwhile", digest);
    if (!backends_can_verify(c))
        return error_set(err, c->code, "%s is installed and cannot be used here: %s", c->package,
                         c->reason);
    result = path_prove(r, path, (size_t)(c - path->plan->choice), &proof, err);
    if (result < 0)
        return result;
    if (!proof.passed)
        text_print(stderr, "gfxbridge: %s is installed and failed its proof: %s", c->package,
                   proof.sentence);
    else if (!cli->json)
        text_print(stdout, "%s is installed and proven: %s", c->package, proof.shown);
    result = proof.passed ? CLI_DONE : CLI_PROOF_FAILED;
    if (cli->json && cli_print_json(backends_proof_json(c, &proof), err) < 0)
        result = CLI_FAILED;
    engine_proof_done(&proof);
    return result;
}

/* A package that is on this computer's disk. backend NULL: the best that is in it. */
static int backends_install_local(struct cli *cli, struct path_request *r, const char *file,
                                  const char *backend, struct gfxb_error *err)
{
    const struct package_local local = {.path = file, .backend = backend};
    struct package_env env = backends_env(r);
    struct path path = {0};
    char digest[DIGEST_HEX];
    struct str target = backends_only_target(r->machine);
    char *CLEAN_FREE gfx = target.n ? str_dup(target) : NULL;
    env.gfx = gfx;
    int result = package_install_local(&env, &local, digest, err);
    if (result == 0)
        result = backends_prove_package(cli, r, digest, &path, err);
    path_done(&path);
    return result;
}

static int backends_install(struct cli *cli, struct path_request *r, const struct cli_args *args,
                            struct gfxb_error *err)
{
    enum plan_backend backend = PLAN_BACKENDS;
    struct path path = {0};
    const char *word = args->word[1];
    if (args->n_words == 2 && strncmp(word, BACKENDS_ENGINE, strlen(BACKENDS_ENGINE)) != 0 &&
        (strchr(word, '/') || access(word, F_OK) == 0))
        return backends_install_local(cli, r, word, NULL, err);
    int result = backends_read_name(word, &backend, err);
    if (result < 0)
        return result;
    if (args->n_words > 2) {
        r->wish.backend = (int)backend;
        return backends_install_local(cli, r, args->word[2], backends_package_name(backend), err);
    }
    r->wish.backend = (int)backend;
    result = path_walk(r, &path, err);
    if (result < 0)
        result = cli_nowhere(cli, &path, result, err);
    else if (cli->json)
        result = cli_print_json(report_json_choice(path.running), err);
    else
        text_print(stdout, "%s is installed and proven: %s", path.package->id,
                   path.running->reason);
    path_done(&path);
    return result;
}

/* ---- verify ---- */

static int backends_verify_choice(const struct path_request *r, struct path *path, size_t i,
                                  json_t *results, bool *all_passed, struct gfxb_error *err)
{
    const struct plan_choice *c = &path->plan->choice[i];
    struct engine_proof proof;
    int result = path_prove(r, path, i, &proof, err);
    if (result < 0)
        return result;
    *all_passed &= proof.passed;
    if (results)
        json_array_append_new(results, backends_proof_json(c, &proof));
    else
        text_print(stdout, "%s with %s: %s", plan_backend_name(c->backend), c->package,
                   proof.passed ? proof.shown : proof.sentence);
    engine_proof_done(&proof);
    return 0;
}

static int backends_verify(struct cli *cli, struct path_request *r, const struct cli_args *args,
                           struct gfxb_error *err)
{
    enum plan_backend only = PLAN_BACKENDS;
    int result = args->n_words > 1 ? backends_read_name(args->word[1], &only, err) : 0;
    struct path path = {0};
    if (result == 0 && only != PLAN_BACKENDS)
        r->wish.backend = (int)only;
    if (result == 0)
        result = path_plan(r, &path, err);
    if (result < 0)
        return result;
    json_t *results = cli->json ? json_array() : NULL;
    bool passed = true, any = false;
    for (size_t i = 0; i < path.plan->n_choices && result == 0; i++) {
        if (!backends_can_verify(&path.plan->choice[i]))
            continue;
        any = true;
        result = backends_verify_choice(r, &path, i, results, &passed, err);
    }
    if (result == 0 && !any)
        result = error_set(err, GFXB_E_NO_PACKAGE,
                           "nothing is installed that could be proven: gfxbridge backends install "
                           "llamacpp:cpu brings the first");
    if (result == 0 && results)
        result = cli_print_json(json_pack("{s:O}", "results", results), err);
    json_decref(results);
    path_done(&path);
    return result == 0 && !passed ? CLI_PROOF_FAILED : result;
}

/* ---- remove and use ---- */

/* The backend of the second word, and what is installed. */
static int backends_read_list(const struct path_request *r, const struct cli_args *args,
                              enum plan_backend *ret_backend, struct package_list *ret_list,
                              struct gfxb_error *err)
{
    struct package_env env = backends_env(r);
    int result = backends_read_name(args->word[1], ret_backend, err);
    return result < 0 ? result : package_list_new(&env, ret_list, err);
}

static int backends_remove(struct cli *cli, struct path_request *r, const struct cli_args *args,
                           struct gfxb_error *err)
{
    enum plan_backend backend = PLAN_BACKENDS;
    struct package_env env = backends_env(r);
    struct package_list list;
    int result = backends_read_list(r, args, &backend, &list, err);
    if (result < 0)
        return result;
    size_t removed = 0;
    for (size_t i = 0; i < list.n && result == 0; i++) {
        if (strcmp(list.item[i].backend, backends_package_name(backend)) != 0)
            continue;
        result = package_remove(&env, list.item[i].digest, err);
        removed++;
    }
    package_list_done(&list);
    if (result == 0 && removed == 0)
        return error_set(err, ENOENT, "no package of %s is installed", args->word[1]);
    if (result == 0 && !cli->quiet)
        text_print(stderr, "removed %zu package%s", removed, removed == 1 ? "" : "s");
    return result;
}

/* The newest package of a backend whose digest begins so; NULL none. */
static const char *backends_find_digest(const struct package_list *list, const char *backend,
                                        const char *prefix)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->item[i].backend, backend) == 0 &&
            str_starts(str_from(list->item[i].digest), str_from(prefix)))
            return list->item[i].digest;
    }
    return NULL;
}

/* With a digest (its beginning is enough) that package, else the newest; "none" ends it. */
static int backends_use(struct cli *cli, struct path_request *r, const struct cli_args *args,
                        struct gfxb_error *err)
{
    enum plan_backend backend = PLAN_BACKENDS;
    struct package_env env = backends_env(r);
    struct package_list list;
    int result = backends_read_list(r, args, &backend, &list, err);
    if (result < 0)
        return result;
    const char *name = backends_package_name(backend);
    const char *prefix = args->n_words > 2 ? args->word[2] : "";
    bool none = strcmp(prefix, "none") == 0;
    const char *digest = none ? NULL : backends_find_digest(&list, name, prefix);
    if (!digest && !none)
        result = error_set(err, ENOENT,
                           "no installed package of %s has a digest that begins with '%s'; see "
                           "gfxbridge backends list",
                           args->word[1], prefix);
    else
        result = package_pin(&env, name, digest, err);
    package_list_done(&list);
    return result;
}

static const struct backends_verb {
    const char *name;
    size_t min_words;
    int (*run)(struct cli *cli, struct path_request *r, const struct cli_args *args,
               struct gfxb_error *err);
} backends_verbs[] = {
    {"install", 2, backends_install}, {"list", 1, backends_list},
    {"remove", 2, backends_remove},   {"use", 2, backends_use},
    {"verify", 1, backends_verify},
};

static int backends_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const char *verb = args->n_words ? args->word[0] : "list";
    struct path_request request;
    cli_catch_signals();
    int result = cli_path_request(cli, args, &request, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < sizeof(backends_verbs) / sizeof(backends_verbs[0]); i++) {
        if (strcmp(backends_verbs[i].name, verb) != 0)
            continue;
        if (args->n_words && args->n_words < backends_verbs[i].min_words)
            return error_set(err, GFXB_E_USAGE, "backends %s needs a backend, such as llamacpp:cpu",
                             verb);
        if (cli->sysroot && backends_verbs[i].run != backends_list)
            return error_set(err, GFXB_E_USAGE, "backends %s works on this computer only", verb);
        return backends_verbs[i].run(cli, &request, args, err);
    }
    return error_set(err, GFXB_E_USAGE,
                     "no such word: backends %s; they are list, install, verify, remove and use",
                     verb);
}

const struct cli_command cli_command_backends = {
    .name = "backends",
    .words = "[list|install|verify|remove|use] [llamacpp:BACKEND] [FILE|DIR|DIGEST]",
    .max_words = 3,
    .summary = "engine packages: install, prove again, remove, pin",
    .about = "list       " TEXT_HANG "every backend with its state, and what is installed\n"
             "install    " TEXT_HANG
             "bring the best package of a backend here and prove it; or, without the network, an "
             "archive (FILE), or a directory or llama-server, which stays where it is\n"
             "verify     " TEXT_HANG "prove what is installed again, also what failed before\n"
             "remove     " TEXT_HANG "remove the packages of a backend\n"
             "use        " TEXT_HANG
             "prefer one installed package (DIGEST or its beginning); 'none' ends that",
    .options = backends_options,
    .run = backends_run,
};
