/* resolve.c - what remains once E0 to E2 hold: the network, the stored proofs, the words. */
#include "plan/builder.h"
#include "plan/device.h"
#include "plan/quirk.h"

#include <stdio.h>
#include <stdlib.h>

/* What was wrong is set right by something that no fingerprint holds: a library is installed, a
 * group joined. So it is tried again. */
static bool proof_is_spent(const struct plan_proof *proof)
{
    return !proof->passed && !proof->fresh &&
           (proof->code == GFXB_E_LIBRARY_MISSING || proof->code == GFXB_E_KFD_PERMISSION ||
            proof->code == GFXB_E_RENDER_PERMISSION);
}

/* Of several records of one combination what failed just now counts, else the latest day, and of
 * one day the last. */
static const struct plan_proof *proof_find(const struct plan_request *request,
                                           const char *fingerprint)
{
    const struct plan_proof *found = NULL;
    for (size_t i = 0; fingerprint && i < request->n_proofs; i++) {
        const struct plan_proof *proof = &request->proof[i];
        if (!proof->fingerprint || strcmp(proof->fingerprint, fingerprint) != 0 ||
            proof_is_spent(proof))
            continue;
        if (proof->fresh)
            return proof;
        if (!found || str_compare(str_from(proof->day), str_from(found->day)) >= 0)
            found = proof;
    }
    return found;
}

static bool resolve_source(struct builder *d, struct builder_choice *dc)
{
    const struct plan_request *request = d->request;
    if (dc->choice.installed || request->os == GFX_WINDOWS)
        return true;
    for (size_t i = 0; i < request->n_unusable; i++) {
        if (dc->choice.provider && strcmp(dc->choice.provider, request->unusable[i].name) == 0)
            return plan_builder_reject(d, dc, PLAN_E2, request->unusable[i].code, "%s",
                                       request->unusable[i].reason);
    }
    if (d->m->host.no_apt && dc->choice.provider && strcmp(dc->choice.provider, "debian") == 0)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_NO_PACKAGE, "%s comes through apt, which %s does not have.",
            dc->choice.package,
            d->m->host.distribution[0] ? d->m->host.distribution : "this distribution");
    if (request->no_network)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_OFFLINE,
            "%s is not installed and the network may not be used: run gfxbridge "
            "backends install %.*s:%s once with a network.",
            dc->choice.package, STR_ARG(d->engine.name),
            plan_backend_name(dc->choice.backend == PLAN_VULKAN_SOFTWARE ? PLAN_VULKAN
                                                                         : dc->choice.backend));
    return true;
}

static enum plan_rung rung_of(int code)
{
    switch (code) {
    case GFXB_E_CANARY_MISMATCH:
    case GFXB_E_MODEL_MISMATCH:
    case GFXB_E_NOT_ON_DEVICE:
        return PLAN_E4;
    case GFXB_E_TOO_SLOW:
        return PLAN_E5;
    default:
        return PLAN_E3;
    }
}

static void resolve_failure(struct builder *d, struct builder_choice *dc,
                            const struct plan_proof *proof)
{
    enum plan_rung rung = rung_of(proof->code);
    const char *detail = proof->detail ? proof->detail : "";
    if (rung > PLAN_E3)
        plan_builder_tell(d, dc, PLAN_E3, TRI_YES, "the engine listed the device");
    if (rung > PLAN_E4)
        plan_builder_tell(d, dc, PLAN_E4, TRI_YES, "the canary's answers matched");
    if (proof->fresh) {
        (void)plan_builder_reject(d, dc, rung, proof->code, "%s", detail);
        return;
    }
    (void)plan_builder_reject(
        d, dc, rung, GFXB_E_FAILED_BEFORE,
        "It failed on this computer on %s (%s%s%s) and nothing has changed since: "
        "gfxbridge backends verify %.*s:%s tries it again.",
        proof->day ? proof->day : "an earlier day", gfxb_code_name(proof->code),
        detail[0] ? ": " : "", detail, STR_ARG(d->engine.name),
        plan_backend_name(dc->choice.backend));
}

static void resolve_add_tenths(struct buf *to, double value)
{
    uint64_t tenths = (uint64_t)(value * 10 + 0.5); /* without the locale's own point */
    buf_addf(to, "%llu.%llu", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
}

/* "110.0 tokens/s measured; 12.3 tokens/s in bench with MODEL, 8192 tokens"; "" when unmeasured. */
static void resolve_speed(const struct plan_proof *proof, struct builder_choice *dc,
                          struct buf *ret)
{
    const double canary = proof->tokens_per_second, bench = proof->bench_speed;
    if (canary > 0 && canary < 1e9) {
        resolve_add_tenths(ret, canary);
        buf_add_text(ret, " tokens/s measured");
    }
    if (bench > 0 && bench < 1e9 && proof->bench_with) {
        dc->bench_speed = bench;
        dc->bench_with = proof->bench_with;
        buf_add_text(ret, ret->n ? "; " : "");
        resolve_add_tenths(ret, bench);
        buf_addf(ret, " tokens/s in bench with %s", proof->bench_with);
    }
    dc->preferred = proof->preferred;
    if (proof->preferred)
        buf_addf(ret, "%sthe fastest for this model in tune", ret->n ? "; " : "");
}

/* The proof stands, and is not enough for this model. True: the choice is rejected. */
static bool resolve_model(struct builder *d, struct builder_choice *dc,
                          const struct plan_proof *proof)
{
    const char *day = proof->model_day ? proof->model_day : "an earlier day";
    struct str what = proof->model_what;
    if (!what.n)
        return false;
    if (proof->model_code != GFXB_E_CANARY_MISMATCH)
        plan_text_set(&dc->choice.model_check,
                      plan_text(d, "%s on %s: %.*s", proof->model_code ? "differed" : "passed", day,
                                STR_ARG(what)));
    if (proof->model_code == GFXB_E_OK) {
        plan_builder_tell(d, dc, PLAN_E4, TRI_YES, "this model computes as on the CPU (%s): %.*s",
                          day, STR_ARG(what));
        return false;
    }
    if (proof->model_code == GFXB_E_CANARY_MISMATCH)
        return !plan_builder_reject(
            d, dc, PLAN_E4, proof->model_code,
            "On it models of the kind %.*s, such as this one, fail: gfxbridge backends verify "
            "%.*s:%s tests it again.",
            STR_ARG(what), STR_ARG(d->engine.name), plan_backend_name(dc->choice.backend));
    return !plan_builder_reject(d, dc, PLAN_E4, proof->model_code,
                                "This model computes otherwise on it than on the CPU (%s): %.*s. "
                                "gfxbridge verify MODEL tests it again.",
                                day, STR_ARG(what));
}

static void resolve_pass(struct builder *d, struct builder_choice *dc,
                         const struct plan_proof *proof)
{
    const char *day = proof->day ? proof->day : "an earlier day";
    const char *detail = proof->detail ? proof->detail : "";
    struct buf CLEAN_BUF speed = BUF_INIT(600);
    dc->choice.state = PLAN_PROVEN;
    resolve_speed(proof, dc, &speed);
    plan_builder_tell(d, dc, PLAN_E3, TRI_YES, "the engine listed the device on %s%s%s", day,
                      detail[0] ? ": " : "", detail);
    plan_builder_tell(d, dc, PLAN_E4, TRI_YES,
                      "the canary's answers matched to the byte on %s, with the weights on %s", day,
                      detail[0] ? detail : "the device");
    if (resolve_model(d, dc, proof))
        return;
    if (speed.n)
        plan_builder_tell(d, dc, PLAN_E5, TRI_YES, "%s", buf_text(&speed));
    plan_builder_reason(d, dc, "Proven on this computer on %s%s%s.", day, speed.n ? ", " : "",
                        buf_text(&speed));
}

/* "Ready: installs debian-cpu (19.4 MiB) and tests it on first use." */
static void resolve_usable(struct builder *d, struct builder_choice *dc)
{
    const struct candidate *c = &dc->candidate;
    char size[DEVICE_SIZE_MAX], download[DEVICE_SIZE_MAX + 8] = "";
    const char *pinned = c->installed && c->installed->pinned ? ", pinned by backends use" : "";
    if (c->installed) {
        plan_builder_reason(d, dc, "Ready: %s is installed%s and is tested on first use.",
                            dc->choice.package, pinned);
        return;
    }
    if (d->request->os == GFX_WINDOWS) {
        plan_builder_reason(d, dc, "%s serves it on Windows.", dc->choice.package);
        return;
    }
    if (c->row && c->row->size > 0) {
        plan_device_size(c->row->size, size);
        snprintf(download, sizeof(download), " (%s)", size);
    }
    plan_builder_reason(d, dc, "Ready: installs %s%s and tests it on first use.",
                        dc->choice.package, download);
}

/* What it means that the model does not fit whole, or over which computers it does, behind how the
 * choice stands. */
static void resolve_partial(struct builder *d, struct builder_choice *dc)
{
    char *CLEAN_FREE reason = dc->choice.reason ? strdup(dc->choice.reason) : NULL;
    struct buf CLEAN_BUF nodes = BUF_INIT(900);
    plan_node_set_words(&dc->choice, &nodes);
    if (!reason || dc->choice.state == PLAN_REJECTED || (!dc->partial && !nodes.n))
        return;
    if (nodes.n) {
        plan_builder_reason(d, dc, "%s%s", reason, buf_text(&nodes));
        return;
    }
    if (!d->request->model) {
        plan_builder_reason(
            d, dc,
            "%s Some of the model's layers run on the CPU; how many is known after the "
            "download.",
            reason);
        return;
    }
    plan_builder_reason(d, dc,
                        "%s %zu of the model's %zu layers fit on the GPU%s, the others run on the "
                        "CPU.",
                        reason, dc->choice.gpu_layers, dc->choice.layers + 1,
                        dc->candidate.set ? "s" : "");
}

void plan_resolve_choice(struct builder *d, struct builder_choice *dc)
{
    plan_quirk_apply(d, dc);
    plan_fingerprint_write(d, dc);
    if (!resolve_source(d, dc))
        return;
    const struct plan_proof *proof = proof_find(d->request, dc->choice.fingerprint);
    if (!proof)
        resolve_usable(d, dc);
    else if (proof->passed)
        resolve_pass(d, dc, proof);
    else
        resolve_failure(d, dc, proof);
    resolve_partial(d, dc);
}
