#include "api/dialect_numbers.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>

struct number_rule {
    const char *name;
    bool whole; /* an integer: 4 and 4.0, not 4.5 */
    double least, most;
};

#define NUMBER_INT32 2147483647.0
/* Beyond this no sampler's setting has a meaning; far below what overflows its float. */
#define NUMBER_REAL 1e6

/* Sorted as one reads them: how much, how, and the rarer ones. Ranges are the engine's own where it
 * has some; n is checked against the engine's slots by the engine. */
static const struct number_rule number_rules[] = {
    {"max_tokens", true, -1, NUMBER_INT32},
    {"max_completion_tokens", true, -1, NUMBER_INT32},
    {"max_output_tokens", true, -1, NUMBER_INT32},
    {"n_predict", true, -1, NUMBER_INT32},
    {"n", true, 1, 64},
    {"n_cmpl", true, 1, 64},
    {"seed", true, -NUMBER_INT32 - 1, 4294967295.0},
    {"temperature", false, -1, 100},
    {"top_p", false, -1, NUMBER_REAL},
    {"top_k", true, -NUMBER_INT32, NUMBER_INT32},
    {"min_p", false, -1, NUMBER_REAL},
    {"typical_p", false, -1, NUMBER_REAL},
    {"top_n_sigma", false, -NUMBER_REAL, NUMBER_REAL},
    {"xtc_probability", false, -1, NUMBER_REAL},
    {"xtc_threshold", false, -1, NUMBER_REAL},
    {"dynatemp_range", false, 0, NUMBER_REAL},
    {"dynatemp_exponent", false, -NUMBER_REAL, NUMBER_REAL},
    {"repeat_last_n", true, -1, NUMBER_INT32},
    {"repeat_penalty", false, 0, NUMBER_REAL},
    {"presence_penalty", false, -NUMBER_REAL, NUMBER_REAL},
    {"frequency_penalty", false, -NUMBER_REAL, NUMBER_REAL},
    {"dry_multiplier", false, -NUMBER_REAL, NUMBER_REAL},
    {"dry_base", false, -NUMBER_REAL, NUMBER_REAL},
    {"dry_allowed_length", true, 0, NUMBER_INT32},
    {"dry_penalty_last_n", true, -1, NUMBER_INT32},
    {"mirostat", true, 0, 2},
    {"mirostat_tau", false, -NUMBER_REAL, NUMBER_REAL},
    {"mirostat_eta", false, -NUMBER_REAL, NUMBER_REAL},
    {"adaptive_target", false, -1, NUMBER_REAL},
    {"adaptive_decay", false, 0, 0.99},
    {"top_logprobs", true, 0, 1000},
    {"n_probs", true, 0, 1000},
    {"min_keep", true, 0, NUMBER_INT32},
    {"n_keep", true, -1, NUMBER_INT32},
    {"n_discard", true, 0, NUMBER_INT32}, /* CVE-2026-21869: negative writes out of bounds */
    {"n_indent", true, 0, NUMBER_INT32},
    {"n_cache_reuse", true, 0, NUMBER_INT32},
    {"id_slot", true, -1, 1024},
    {"t_max_predict_ms", true, -1, NUMBER_INT32},
    {"t_max_prompt_ms", true, -1, NUMBER_INT32},
    {"thinking_budget_tokens", true, -1, NUMBER_INT32},
    {"reasoning_budget", true, -1, NUMBER_INT32},
    {"dimensions", true, 1, NUMBER_INT32},
    {"embd_normalize", true, -1, 1024},
    {"top_n", true, 0, NUMBER_INT32},
    {"sse_ping_interval", true, 1, 3600},
};

static const struct number_rule *number_find(struct str name)
{
    for (size_t i = 0; i < sizeof(number_rules) / sizeof(number_rules[0]); i++) {
        if (str_is(name, number_rules[i].name))
            return &number_rules[i];
    }
    return NULL;
}

static int number_judge(const struct number_rule *rule, double x, struct dialect_error *ret_error)
{
    if (!(x >= rule->least && x <= rule->most))
        return dialect_fail_at(ret_error, rule->name, "'%s' must be between %.10g and %.10g",
                               rule->name, rule->least, rule->most);
    if (rule->whole && x != (double)(int64_t)x)
        return dialect_fail_at(ret_error, rule->name, "'%s' must be a whole number", rule->name);
    return 0;
}

int dialect_number_fits(const char *name, double value, struct dialect_error *ret_error)
{
    const struct number_rule *rule = number_find(str_from(name));
    return rule ? number_judge(rule, value, ret_error) : 0;
}

int dialect_number_check(struct str name, struct str value, enum json_kind kind,
                         struct dialect_error *ret_error)
{
    const struct number_rule *rule = number_find(name);
    if (!rule || kind == JSON_KIND_NULL)
        return 0;
    if (kind != JSON_KIND_NUMBER)
        return dialect_fail_at(ret_error, rule->name, "'%s' must be a number", rule->name);
    /* jansson, because it reads numbers the same in every locale; it refuses what overflows. */
    json_t *number = json_loadb(value.p, value.n, JSON_DECODE_ANY, NULL);
    double x = number ? json_number_value(number) : (double)INFINITY;
    json_decref(number);
    return number_judge(rule, x, ret_error);
}
