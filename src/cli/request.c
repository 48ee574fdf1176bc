#include "cli/request.h"

#include "cli/net.h"
#include "cli/text.h"
#include "session/session.h"

static int request_read(const struct cli *cli, const struct cli_args *args,
                        struct plan_request *request, struct gfxb_error *err)
{
    const char *backend = args->value[CLI_WISH_BACKEND];
    const char *policy = args->value[CLI_WISH_POLICY];
    *request = (struct plan_request){.backend = -1,
                                     .policy = PLAN_ROCM_FIRST,
                                     .os = cli->os,
                                     .no_network = cli->no_network,
                                     .gpu = args->value[CLI_WISH_GPU],
                                     .allow_override = args->value[CLI_WISH_OVERRIDE] != NULL};
    if (backend && (request->backend = plan_backend_from_name(backend)) < 0)
        return error_set(err, GFXB_E_USAGE,
                         "no such backend: '%s'; they are rocm, vulkan, cpu and vulkan-software",
                         backend);
    int number = policy ? plan_policy_from_name(policy) : PLAN_ROCM_FIRST;
    if (number < 0)
        return error_set(err, GFXB_E_USAGE,
                         "no such policy: '%s'; they are rocm-first, fastest, vulkan and cpu",
                         policy);
    request->policy = (enum plan_policy)number;
    return 0;
}

static int request_check_gpu(const struct machine *m, const char *pci, struct gfxb_error *err)
{
    for (size_t i = 0; pci && i < m->n_gpus; i++) {
        if (strcmp(m->gpu[i].pci, pci) == 0)
            return 0;
    }
    return !pci ? 0
                : error_set(err, GFXB_E_USAGE,
                            "no GPU has the PCI address '%s'; gfxbridge detect lists them", pci);
}

bool cli_is_unconfined(void)
{
    const char *request = getenv("GFXBRIDGE_SANDBOX");
    return request && strcmp(request, "off") == 0;
}

int cli_path_request(struct cli *cli, const struct cli_args *args,
                     struct session_request *ret_request, struct gfxb_error *err)
{
    struct session_request r = {.log = &cli->log, .net = cli_package_net(cli)};
    int result = request_read(cli, args, &r.request, err);
    if (result == 0)
        result = cli_machine(cli, &r.machine, err);
    if (result < 0)
        return result;
    result = request_check_gpu(r.machine, r.request.gpu, err);
    if (result < 0)
        return result;
    if (!cli->data_dir && !cli->sysroot)
        return error_set(err, GFXB_E_USAGE,
                         "no place for data: this user has no home directory; give --data-dir DIR");
    r.cancel = &cli_cancelled;
    r.tables = cli->tables;
    r.root = cli->root;
    r.data_dir = cli->sysroot && !cli->data_dir_given ? NULL : cli->data_dir;
    r.runtime_dir = cli->runtime_dir;
    r.unconfined = cli_is_unconfined();
    *ret_request = r;
    return 0;
}

void cli_why_not(const struct plan *plan, const struct plan_choice *chosen)
{
    bool told[PLAN_BACKENDS] = {false};
    told[chosen->backend] = true;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        /* enum plan_backend is in the order of preference; the software one is never preferred. */
        if (told[c->backend] || c->backend > chosen->backend || c->state != PLAN_REJECTED ||
            c->code == GFXB_E_POLICY)
            continue;
        told[c->backend] = true;
        text_print(stderr, "not %s: %s", plan_backend_name(c->backend), c->reason);
    }
}

void cli_tell_path(const struct session *path)
{
    char device[256];
    engine_placement_text(&path->placement, device, sizeof(device));
    text_print(stderr,
               TEXT_GOOD "path:" TEXT_END " %s on %s, package %s %s, proven on this computer",
               plan_backend_name(path->running->backend), device, path->package->id,
               path->package->version ? path->package->version : "");
    cli_why_not(path->plan, path->running);
    for (char *const *w = path->running->warning; *w; w++)
        text_print(stderr, "note: %s", *w);
}

int cli_nowhere(const struct cli *cli, const struct session *path, int result,
                const struct gfxb_error *err)
{
    if (!path->plan || path->plan->chosen >= 0 || result == -GFXB_E_INTERRUPTED)
        return result;
    text_print(stderr, "gfxbridge: %s", err->text);
    for (size_t i = 0; cli->verbose && i < path->plan->n_choices; i++) {
        const struct plan_choice *c = &path->plan->choice[i];
        text_print(stderr, "not %s: %s", plan_backend_name(c->backend), c->reason);
    }
    return path->proof_failed ? CLI_PROOF_FAILED : CLI_NOTHING_USABLE;
}
