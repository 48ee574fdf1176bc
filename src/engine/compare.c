/* compare.c - the first tokens of a model on a device beside the same file's on the CPU. */
#include "engine/engine_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

enum {
    COMPARE_TOKENS = 12, /* of each answer */
    COMPARE_BEST = 5,    /* of the CPU's choices for a token that are compared */
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

struct compare {
    const struct engine_compare *job;
    int64_t until; /* of the engine that is asked: ms */
    struct engine_steps device[COMPARE_PROMPTS], cpu[COMPARE_PROMPTS];
};

/* All prompts of one engine, in one of its slots: the others keep their conversations. */
static int compare_ask(struct compare *c, struct engine *engine, unsigned slot,
                       struct engine_steps *ret_steps, struct gfxb_error *err)
{
    int code = 0;
    for (size_t i = 0; i < COMPARE_PROMPTS && code == 0; i++) {
        struct buf CLEAN_BUF body = BUF_INIT(0);
        char *CLEAN_FREE request =
            engine->kind->steps_request(compare_prompts[i], COMPARE_TOKENS, COMPARE_LIKELY, slot);
        int64_t left = c->until - clock_now_ms();
        code = engine_post(engine, ENGINE_CALL_COMPLETION, request, left > 0 ? left : 0,
                           c->job->cancel, &body, err);
        if (code == 0)
            code = engine->kind->read_steps(buf_view(&body), &ret_steps[i]);
        if (code == -EPROTO)
            error_set(err, EPROTO, "the engine does not tell what its tokens' probabilities are");
    }
    return code;
}

/* The CPU's engine is started for this, and serves nobody. */
static int compare_ask_cpu(struct compare *c, struct gfxb_error *err)
{
    struct engine *engine = NULL;
    struct engine_spec spec = *c->job->cpu;
    spec.cancel = c->job->cancel;
    spec.ready_ms = c->job->patience_ms;
    c->until = clock_now_ms() + c->job->patience_ms;
    int code = engine_start(&spec, &engine, err);
    if (code < 0)
        return code;
    code = compare_ask(c, engine, 0, c->cpu, err);
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

/* Of one prompt: the mean difference of what the CPU holds most likely, as long as both take the
 * same tokens; and how sure the CPU was where they part, 0 never. */
static double compare_prompt(const struct engine_steps *cpu, const struct engine_steps *device,
                             double *ret_margin)
{
    double sum = 0;
    size_t n = 0;
    bool same = true;
    *ret_margin = 0;
    for (size_t i = 0; i < cpu->n && i < device->n && same; i++) {
        const struct engine_step *a = &cpu->step[i], *b = &device->step[i];
        for (size_t k = 0; k < a->n && k < COMPARE_BEST; k++, n++)
            sum += fabs(a->likely[k].log - compare_log_of(b, a->likely[k].token));
        same = a->token == b->token;
        if (!same && a->n > 1)
            *ret_margin = a->likely[0].log - a->likely[1].log;
    }
    return n ? sum / (double)n : 0;
}

static int compare_judge(const struct compare *c, struct engine_comparison *ret,
                         struct gfxb_error *err)
{
    struct engine_comparison result = {.allowed = COMPARE_FAR};
    char first[200] = "";
    unsigned far_off = 0;
    for (size_t i = 0; i < COMPARE_PROMPTS; i++) {
        double margin, mean = compare_prompt(&c->cpu[i], &c->device[i], &margin);
        if (!c->cpu[i].n)
            continue;
        /* No number at all is no small difference. */
        bool far = !c->device[i].n || !(mean <= COMPARE_FAR) || margin > COMPARE_MARGIN;
        bool differs = far || mean > COMPARE_MEAN;
        far_off += far;
        result.prompts++;
        result.differ += differs;
        result.greatest = mean > result.greatest ? mean : result.greatest;
        if (differs && !first[0])
            snprintf(first, sizeof(first), "'%.40s%s' (log-probabilities %.2f apart%s)",
                     compare_prompts[i], strlen(compare_prompts[i]) > 40 ? "..." : "", mean,
                     margin > COMPARE_MARGIN ? ", and the CPU is sure of another token" : "");
    }
    if (result.prompts < COMPARE_LEAST)
        return error_set(err, EPROTO, "the CPU's engine gives too few answers to compare");
    *ret = result;
    if (far_off < COMPARE_FEW && result.differ + 1 < result.prompts)
        return 0;
    return error_set(err, GFXB_E_MODEL_MISMATCH,
                     "%u of %u prompts begin otherwise than on the CPU: the first is %s",
                     result.differ, result.prompts, first);
}

int engine_compare(const struct engine_compare *job, struct engine_comparison *ret_comparison,
                   struct gfxb_error *err)
{
    struct compare *c = xcalloc(1, sizeof(*c));
    c->job = job;
    c->until = clock_now_ms() + job->patience_ms;
    int code = compare_ask(c, job->device, job->slot, c->device, err);
    if (code < 0)
        error_prefix(err, "on the device: ");
    if (code == 0) {
        code = compare_ask_cpu(c, err);
        if (code < 0)
            error_prefix(err, "on the CPU, to compare with: ");
    }
    if (code == 0)
        code = compare_judge(c, ret_comparison, err);
    free(c);
    return code;
}
