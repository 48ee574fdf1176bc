/* options.c - Ollama's options, format, think and keep_alive in the engine's words. */
#include "api/ollama/ollama.h"

#include <errno.h>
#include <math.h>

/* The number for Ollama's repeat_last_n -1 (the whole context). */
#define OPTIONS_REPEAT_ALL  32768
#define OPTIONS_CONTEXT_MAX (16 << 20)

enum option_kind { OPTION_INT, OPTION_FLOAT, OPTION_BOOL, OPTION_STOP };

/* Options by their Ollama names. engine NULL: checked and ignored, because proofs decide where and
 * how a model runs, not requests. */
static const struct option_rule {
    const char *name;
    enum option_kind kind;
    const char *engine;
} option_rules[] = {
    {"num_predict", OPTION_INT, "n_predict"},
    {"temperature", OPTION_FLOAT, "temperature"},
    {"top_k", OPTION_INT, "top_k"},
    {"top_p", OPTION_FLOAT, "top_p"},
    {"min_p", OPTION_FLOAT, "min_p"},
    {"typical_p", OPTION_FLOAT, "typical_p"},
    {"repeat_last_n", OPTION_INT, "repeat_last_n"},
    {"repeat_penalty", OPTION_FLOAT, "repeat_penalty"},
    {"presence_penalty", OPTION_FLOAT, "presence_penalty"},
    {"frequency_penalty", OPTION_FLOAT, "frequency_penalty"},
    {"mirostat", OPTION_INT, "mirostat"},
    {"mirostat_tau", OPTION_FLOAT, "mirostat_tau"},
    {"mirostat_eta", OPTION_FLOAT, "mirostat_eta"},
    {"seed", OPTION_INT, "seed"},
    {"num_keep", OPTION_INT, "n_keep"},
    {"stop", OPTION_STOP, "stop"},
    {"num_ctx", OPTION_INT, NULL},
    {"num_batch", OPTION_INT, NULL},
    {"num_gpu", OPTION_INT, NULL},
    {"main_gpu", OPTION_INT, NULL},
    {"num_thread", OPTION_INT, NULL},
    {"num_gqa", OPTION_INT, NULL},
    {"use_mmap", OPTION_BOOL, NULL},
    {"use_mlock", OPTION_BOOL, NULL},
    {"low_vram", OPTION_BOOL, NULL},
    {"numa", OPTION_BOOL, NULL},
    {"vocab_only", OPTION_BOOL, NULL},
    {"logits_all", OPTION_BOOL, NULL},
    {"embedding_only", OPTION_BOOL, NULL},
    {"f16_kv", OPTION_BOOL, NULL},
    {"penalize_newline", OPTION_BOOL, NULL},
    {"tfs_z", OPTION_FLOAT, NULL},
    {"draft_num_predict", OPTION_INT, NULL},
};

static const struct option_rule *option_find(const char *name)
{
    for (size_t i = 0; i < sizeof(option_rules) / sizeof(option_rules[0]); i++) {
        if (strcmp(option_rules[i].name, name) == 0)
            return &option_rules[i];
    }
    return NULL;
}

bool ollama_is_option(const char *name)
{
    return option_find(name) != NULL;
}

/* Numbers of whole value pass as integers, as many clients send "4.0" for 4. */
static bool option_is_kind(const json_t *value, enum option_kind kind)
{
    double x = json_number_value(value);
    switch (kind) {
    case OPTION_INT:
        return json_is_integer(value) || (json_is_real(value) && x == floor(x));
    case OPTION_FLOAT:
        return json_is_number(value);
    case OPTION_BOOL:
        return json_is_boolean(value);
    case OPTION_STOP:
        return ollama_is_texts(value);
    }
    return false;
}

/* The engine's value for an option where the two differ. NULL: leave it out. */
static json_t *option_value(const struct option_rule *rule, json_t *value, unsigned context)
{
    double x = json_number_value(value);
    if (strcmp(rule->name, "num_predict") == 0 && x <= 0.0)
        return NULL; /* -1: without end, -2: until the context is full */
    if (strcmp(rule->name, "repeat_last_n") == 0 && x < 0.0)
        return json_integer(context ? (json_int_t)context : OPTIONS_REPEAT_ALL);
    if (strcmp(rule->name, "seed") == 0 && x < 0.0)
        return NULL; /* any */
    if (rule->kind == OPTION_STOP && json_is_string(value))
        return json_pack("[O]", value);
    return rule->kind == OPTION_INT ? json_integer((json_int_t)x) : json_incref(value);
}

/* 0: as it is. Whether it is a whole number is looked at with the others. */
static unsigned option_context(const json_t *options, struct dialect_error *error)
{
    double x = json_number_value(json_object_get(options, "num_ctx"));
    if (x > OPTIONS_CONTEXT_MAX)
        dialect_fail_at(error, "options", "option \"num_ctx\" must be at most %d",
                        OPTIONS_CONTEXT_MAX);
    return x > 0.0 && x <= OPTIONS_CONTEXT_MAX ? (unsigned)x : 0;
}

/* Errors are in Ollama's words, which some clients show. */
static void option_add(json_t *request, const struct option_rule *rule, json_t *value,
                       unsigned context, struct dialect_error *error)
{
    static const char *const kind[] = {
        [OPTION_INT] = "integer",
        [OPTION_FLOAT] = "float32",
        [OPTION_BOOL] = "boolean",
        [OPTION_STOP] = "array of strings",
    };
    if (!option_is_kind(value, rule->kind)) {
        dialect_fail_at(error, "options", "option \"%s\" must be of type %s", rule->name,
                        kind[rule->kind]);
        return;
    }
    json_t *theirs = rule->engine ? option_value(rule, value, context) : NULL;
    if (json_is_number(theirs))
        dialect_number_check(str_from(rule->engine), json_number_value(theirs), error);
    if (theirs)
        json_object_set_new(request, rule->engine, theirs);
}

unsigned ollama_add_options(json_t *request, const json_t *root, struct dialect_error *error)
{
    json_t *options = ollama_member(root, "options", JSON_OBJECT, error), *value;
    const char *name;
    unsigned context = option_context(options, error);
    json_object_foreach(options, name, value)
    {
        const struct option_rule *rule = option_find(name);
        if (rule && !json_is_null(value))
            option_add(request, rule, value, context, error);
    }
    return context;
}

/* ---- format and think ---- */

void ollama_add_format(struct chat_request *r, const json_t *format, bool raw)
{
    const char *word = json_string_value(format);
    bool any = word && strcmp(word, "json") == 0;
    if (!format || (word && word[0] == '\0'))
        return;
    if (!any && !json_is_object(format))
        dialect_fail_at(r->error, "format",
                        "invalid format: expected \"json\" or a JSON Schema object");
    else
        chat_set_schema(r, any ? NULL : format, "format");
    if (raw) {
        json_object_del(r->body, "response_format");
        json_object_set_new(r->body, "json_schema",
                            any ? json_object() : json_incref((json_t *)format));
    }
}

void ollama_add_think(struct chat_request *r, const json_t *think)
{
    const char *level = json_string_value(think);
    if (!think)
        return;
    if (!json_is_boolean(think) && !str_list_has(STR("low medium high max"), str_from(level)))
        dialect_fail_at(r->error, "think",
                        "invalid think value: it must be true, false, \"low\", \"medium\", "
                        "\"high\" or \"max\"");
    else
        chat_set_thinking(r, !json_is_false(think), level);
}

/* ---- keep_alive ---- */

/* Digits off *text, put behind those of *number: how many. */
static size_t keep_digits(struct str *text, double *number)
{
    size_t n = 0;
    for (; n < text->n && text->p[n] >= '0' && text->p[n] <= '9'; n++)
        *number = *number * 10.0 + (text->p[n] - '0');
    *text = str_skip(*text, n);
    return n;
}

/* Go's durations: numbers with units ("1h30m", "1.5h", "-1s", "500ms"), and "0". */
static int keep_parse(struct str text, double *ret_seconds)
{
    static const struct {
        struct str unit;
        double seconds;
    } units[] = {
        {{"ns", 2}, 1e-9}, {{"us", 2}, 1e-6}, {{"ms", 2}, 1e-3},
        {{"s", 1}, 1.0},   {{"m", 1}, 60.0},  {{"h", 1}, 3600.0},
    };
    enum { UNITS = sizeof(units) / sizeof(units[0]) };
    bool negative = str_strip(&text, STR("-"));
    double sum = 0.0;
    if (!negative)
        str_strip(&text, STR("+"));
    if (str_is(text, "0"))
        text = STR_NONE;
    else if (!text.n)
        return -EINVAL;
    while (text.n) {
        double number = 0.0;
        size_t whole = keep_digits(&text, &number), part = 0, u = 0;
        if (str_strip(&text, STR(".")))
            part = keep_digits(&text, &number);
        while (u < UNITS && !str_strip(&text, units[u].unit))
            u++;
        if (whole + part == 0 || u == UNITS)
            return -EINVAL;
        sum += number / pow(10.0, (double)part) * units[u].seconds;
    }
    *ret_seconds = negative ? -sum : sum;
    return 0;
}

int64_t ollama_keep_alive(const json_t *value, struct dialect_error *error)
{
    double seconds = json_number_value(value);
    struct str text = str_from(json_string_value(value));
    if (!value || json_is_null(value) || (json_is_string(value) && text.n == 0))
        return POOL_KEEP_DEFAULT;
    if (!json_is_number(value) && (!json_is_string(value) || keep_parse(text, &seconds) < 0)) {
        dialect_fail_at(error, "keep_alive",
                        "'keep_alive' must be a duration with a unit (\"5m\"), or a number of "
                        "seconds that is not in quotes");
        return POOL_KEEP_DEFAULT;
    }
    /* a part of a second is not "at once" */
    return seconds < 0.0 || seconds > 3e9 ? POOL_KEEP_FOREVER : (int64_t)ceil(seconds);
}
