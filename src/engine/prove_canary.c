#include "engine/canary.h"
#include "engine/prove.h"

#include <errno.h>
#include <stdio.h>

#define PROVE_SPEED_TRIES 3
#define PROVE_TOKENS_MAX  256
#define PROVE_TEXT_MAX    16384
/* Of the token that was chosen. A backend that computes right gives far more: the model is trained
 * until its answers are certain. One that comes out right by luck does not. */
#define PROVE_PROBABILITY 0.5
#define PROVE_FLOOR_SHARE 0.02

double engine_floor(double cpu_tokens_per_second)
{
    return cpu_tokens_per_second > 0.0 ? cpu_tokens_per_second * PROVE_FLOOR_SHARE : 0.0;
}

static int prove_judge(const struct canary_proof *wanted, const struct engine_reply *reply,
                       struct gfxb_error *err)
{
    struct str got = {reply->text, reply->n};
    if (!str_eq(got, wanted->answer)) {
        char where[200];
        canary_difference(got, wanted->answer, where, sizeof(where));
        return error_set(err, GFXB_E_CANARY_MISMATCH,
                         "it computes wrongly: the canary's answer to '%.*s' differs %s",
                         STR_ARG(wanted->prompt), where);
    }
    if (reply->least_probability >= 0.0 && reply->least_probability < PROVE_PROBABILITY)
        return error_set(err, GFXB_E_CANARY_MISMATCH,
                         "it computes inexactly: a token of the canary's answer to '%.*s' had "
                         "only a probability of %.2f",
                         STR_ARG(wanted->prompt), reply->least_probability);
    return 0;
}

static int prove_ask(struct prove *p, const struct canary_proof *wanted, double *least,
                     struct gfxb_error *err)
{
    struct engine_reply reply;
    char *CLEAN_FREE prompt = str_dup(wanted->prompt);
    struct engine_chat chat = {
        .prompt = prompt,
        .max_tokens = PROVE_TOKENS_MAX,
        .fixed = true,
        .probabilities = true,
        .first_ms = p->deadlines.first,
        .gap_ms = p->deadlines.gap,
        .whole_ms = p->deadlines.whole,
        .max_text = PROVE_TEXT_MAX,
        .cancel = p->spec.cancel,
        .log = p->spec.log,
    };
    if (!prompt)
        return error_set(err, ENOMEM, "out of memory");
    struct gfxb_error why;
    int code = engine_chat(p->engine, &chat, &reply, &why);
    if (code == -EPROTO || code == -EREMOTEIO || code == -EFBIG)
        return error_set(err, GFXB_E_CANARY_MISMATCH, "instead of the canary's answer to '%s': %s",
                         prompt, why.text);
    if (code < 0)
        return error_set(err, why.code, "%s", why.text);
    code = prove_judge(wanted, &reply, err);
    if (p->proof.first_token_ms <= 0.0)
        p->proof.first_token_ms = reply.first_token_ms;
    if (reply.tokens_per_second > p->proof.tokens_per_second)
        p->proof.tokens_per_second =
            reply.tokens_per_second; /* the first ones are still warming up */
    if (reply.least_probability >= 0.0 && reply.least_probability < *least)
        *least = reply.least_probability;
    engine_reply_done(&reply);
    return code;
}

static bool prove_has_floor(const struct prove *p)
{
    return (p->spec.backend == PLAN_ROCM || p->spec.backend == PLAN_VULKAN) &&
           p->trial->floor > 0.0;
}

static int prove_speed(struct prove *p, struct gfxb_error *err)
{
    double rate = p->proof.tokens_per_second, floor = p->trial->floor;
    bool gpu = p->spec.backend == PLAN_ROCM || p->spec.backend == PLAN_VULKAN;
    if (rate <= 0.0) {
        prove_set_rung(p, PLAN_E5, TRI_UNKNOWN, "the engine tells no speed");
        return 0;
    }
    if (!prove_has_floor(p)) {
        prove_set_rung(p, PLAN_E5, gpu ? TRI_UNKNOWN : TRI_YES, "%.0f tokens/s on the canary%s",
                       rate, gpu ? "; the CPU's figure is not known yet" : "");
        return 0;
    }
    prove_set_rung(p, PLAN_E5, rate >= floor ? TRI_YES : TRI_NO,
                   "%.0f tokens/s on the canary, at least %.0f are asked", rate, floor);
    if (rate < floor)
        return error_set(err, GFXB_E_TOO_SLOW,
                         "it is far too slow: %.0f tokens/s on the canary, %.0f would be the least "
                         "beside this CPU",
                         rate, floor);
    return 0;
}

/* least: of all probabilities, at most what it was. */
static int prove_ask_all(struct prove *p, const struct canary_proof *wanted, size_t n,
                         double *least, struct gfxb_error *err)
{
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++)
        code = prove_ask(p, &wanted[i], least, err);
    return code;
}

int prove_member(struct prove *p, struct gfxb_error *err)
{
    struct canary_proof wanted[CANARY_PROOFS_MAX];
    double least = 1.0;
    size_t n = 0;
    int code = canary_proofs(wanted, &n, err);
    if (code == 0)
        code = prove_ask_all(p, wanted, n, &least, err);
    p->proof.first_token_ms = p->proof.tokens_per_second = 0.0; /* what counts is all together */
    return code;
}

int prove_canary(struct prove *p, struct gfxb_error *err)
{
    struct canary_proof wanted[CANARY_PROOFS_MAX];
    struct gfxb_error why = {.code = 0};
    double least = 1.0;
    size_t n = 0;
    int code = canary_proofs(wanted, &n, &why);
    if (code == 0)
        code = prove_ask_all(p, wanted, n, &least, &why);
    /* Slow may be other work on this computer: a failure is stored, so look more than once. */
    for (int i = 0; i < PROVE_SPEED_TRIES && code == 0 && prove_has_floor(p) &&
                    p->proof.tokens_per_second < p->trial->floor;
         i++)
        code = prove_ask(p, &wanted[0], &least, &why);
    if (code < 0) {
        prove_set_rung(p, PLAN_E4, TRI_NO, "%s", why.text);
        return error_set(err, why.code, "%s", why.text);
    }
    char placement[256];
    engine_placement_text(&p->placement, placement, sizeof(placement));
    prove_set_rung(p, PLAN_E4, TRI_YES,
                   "%zu canary answers equal to the byte (least probability %.2f), %.1f MiB of "
                   "weights on %s",
                   n, least,
                   p->placement.gpu_mib > 0.0 ? p->placement.gpu_mib : p->placement.cpu_mib,
                   placement);
    return prove_speed(p, err);
}
