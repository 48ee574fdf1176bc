/* compare.c - the first tokens of a model on a device beside the same file's on the CPU. */
#include "engine/engine_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

enum {
    COMPARE_TOKENS = 12, /* of each answer */
    COMPARE_BEST = 5,    /* of the reference's choices for a token that are compared */
    COMPARE_LIKELY = 40, /* of the device's, in which these are looked for */
    COMPARE_LEAST = 4,   /* prompts without which nothing is said */
    COMPARE_FEW = 2,     /* prompts that are far off: one alone may be an accident of rounding */
};

/* What docs/canary.md measures: of logarithms of probabilities. */
#define COMPARE_MEAN   0.40 /* on all prompts but one at most */
#define COMPARE_FAR    1.0
#define COMPARE_MARGIN 1.0

/* Two of each length at which engines change kernels. */
static const char *const compare_prompts[] = {
    "The capital of France is",
    "1, 2, 4, 8, 16, 32,",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Question: Which gas do plants take from the air, and which gas do they give back?\nAnswer:",
    "Miners used to take a small bird with them below the ground. When the air became bad, the "
    "bird "
    "fell silent long before a person noticed anything, and everybody left. A program can be "
    "watched in the same way: it is asked a few questions whose answers are known, each time in "
    "another form, and a single wrong word is enough to stop it. The questions are short, because "
    "they are asked often; they are many, because a fault may hide in one corner alone; and nobody "
    "who repairs the program may change them. What matters most is that",
    "{\"items\": [{\"name\": \"apple\", \"weight\": 182, \"colours\": [\"red\", \"green\"]}, "
    "{\"name\": "
    "\"pear\", \"weight\": 178, \"colours\": [\"green\"]}, {\"name\": \"plum\", \"weight\": 66, "
    "\"colours\": [\"blue\", \"yellow\"]}, {\"name\": \"cherry\", \"weight\": 8, \"colours\": "
    "[\"red\", \"black\"]}, {\"name\": \"lemon\", \"weight\": 58, \"colours\": [\"yellow\"]}, "
    "{\"name\": \"fig\", \"weight\": 50, \"colours\": [\"green\", \"violet\"]}], \"total\": 542, "
    "\"heaviest\": \"apple\", \"lightest\": \"",
};

#define COMPARE_PROMPTS (sizeof(compare_prompts) / sizeof(compare_prompts[0]))

struct engine_answers {
    struct engine_steps steps[COMPARE_PROMPTS];
};

int engine_answers_new(struct engine *engine, const struct engine_asking *how,
                       struct engine_answers **ret_answers, struct gfxb_error *err)
{
    struct engine_answers *answers = xcalloc(1, sizeof(*answers));
    int64_t until = clock_now_ms() + how->patience_ms;
    int code = 0;
    for (size_t i = 0; i < COMPARE_PROMPTS && code == 0; i++) {
        struct buf CLEAN_BUF body = BUF_INIT(0);
        char *CLEAN_FREE request = engine->kind->steps_request(compare_prompts[i], COMPARE_TOKENS,
                                                               COMPARE_LIKELY, how->slot);
        int64_t left = until - clock_now_ms();
        code = engine_post(engine, ENGINE_CALL_COMPLETION, request, left > 0 ? left : 0,
                           how->cancel, &body, err);
        if (code == 0)
            code = engine->kind->read_steps(buf_view(&body), &answers->steps[i]);
        if (code == -EPROTO)
            error_set(err, EPROTO, "the engine does not tell what its tokens' probabilities are");
    }
    if (code < 0)
        free(answers);
    else
        *ret_answers = answers;
    return code;
}

void engine_answers_free(struct engine_answers *answers)
{
    free(answers);
}

/* The CPU's engine is started for this, and serves nobody. */
static int compare_ask_cpu(const struct engine_compare *job, struct engine_answers **ret_answers,
                           struct gfxb_error *err)
{
    struct engine *engine = NULL;
    struct engine_spec spec = *job->cpu;
    struct engine_asking how = {.patience_ms = job->patience_ms, .cancel = job->cancel};
    spec.cancel = job->cancel;
    spec.ready_ms = job->patience_ms;
    int code = engine_start(&spec, &engine, err);
    if (code < 0)
        return code;
    code = engine_answers_new(engine, &how, ret_answers, err);
    child_end(&engine->child, 0, NULL);
    engine_stop(engine);
    return code;
}

static double compare_log_of(const struct engine_step *step, uint32_t token)
{
    for (size_t i = 0; i < step->n; i++) {
        if (step->likely[i].token == token)
            return step->likely[i].log;
    }
    return step->likely[step->n - 1].log; /* or less */
}

/* Of one prompt: the mean difference of what the reference holds most likely, as long as both take
 * the same tokens; and how sure it was where they part, 0 never. */
static double compare_prompt(const struct engine_steps *reference, const struct engine_steps *other,
                             double *ret_margin)
{
    double sum = 0;
    size_t n = 0;
    bool same = true;
    *ret_margin = 0;
    for (size_t i = 0; i < reference->n && i < other->n && same; i++) {
        const struct engine_step *a = &reference->step[i], *b = &other->step[i];
        for (size_t k = 0; k < a->n && k < COMPARE_BEST; k++, n++)
            sum += fabs(a->likely[k].log - compare_log_of(b, a->likely[k].token));
        same = a->token == b->token;
        if (!same && a->n > 1)
            *ret_margin = a->likely[0].log - a->likely[1].log;
    }
    return n ? sum / (double)n : 0;
}

int engine_answers_compare(const struct engine_answers *reference,
                           const struct engine_answers *answers, const char *where,
                           struct engine_comparison *ret, struct gfxb_error *err)
{
    struct engine_comparison result = {.allowed = COMPARE_FAR};
    char first[200] = "";
    unsigned far_off = 0;
    for (size_t i = 0; i < COMPARE_PROMPTS; i++) {
        double margin, mean = compare_prompt(&reference->steps[i], &answers->steps[i], &margin);
        if (!reference->steps[i].n)
            continue;
        /* No number at all is no small difference. */
        bool far = !answers->steps[i].n || !(mean <= COMPARE_FAR) || margin > COMPARE_MARGIN;
        bool differs = far || mean > COMPARE_MEAN;
        far_off += far;
        result.prompts++;
        result.differ += differs;
        result.greatest = mean > result.greatest ? mean : result.greatest;
        if (differs && !first[0])
            snprintf(first, sizeof(first), "'%.40s%s' (log-probabilities %.2f apart%s)",
                     compare_prompts[i], strlen(compare_prompts[i]) > 40 ? "..." : "", mean,
                     margin > COMPARE_MARGIN ? ", and it is sure of another token there" : "");
    }
    if (result.prompts < COMPARE_LEAST)
        return error_set(err, EPROTO, "the engine gives too few answers %s to compare with", where);
    *ret = result;
    if (far_off < COMPARE_FEW && result.differ + 1 < result.prompts)
        return 0;
    return error_set(err, GFXB_E_MODEL_MISMATCH,
                     "%u of %u prompts begin otherwise than %s: the first is %s", result.differ,
                     result.prompts, where, first);
}

int engine_compare(const struct engine_compare *job, struct engine_comparison *ret_comparison,
                   struct gfxb_error *err)
{
    struct engine_asking how = {job->slot, job->patience_ms, job->cancel};
    struct engine_answers *device = NULL, *cpu = NULL;
    int code = engine_answers_new(job->device, &how, &device, err);
    if (code < 0)
        error_prefix(err, "on the device: ");
    if (code == 0) {
        code = compare_ask_cpu(job, &cpu, err);
        if (code < 0)
            error_prefix(err, "on the CPU, to compare with: ");
    }
    if (code == 0)
        code = engine_answers_compare(cpu, device, "on the CPU", ret_comparison, err);
    engine_answers_free(device);
    engine_answers_free(cpu);
    return code;
}
