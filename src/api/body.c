/* body.c - reads a request body and refuses what the engine must not see. */
#include "api/dialect.h"

#include <errno.h>
#include <math.h>

/* A grammar of 100 KB keeps the engine busy for seconds before its first token, and one of 20,000
 * nested parentheses ends it (measured with Debian llama-server 0.7.0). */
#define BODY_GRAMMAR_MAX     65536
#define BODY_GRAMMAR_NESTING 256

/* ---- numbers ---- */

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

/* 0 also for null, and for a member that has no rule. */
static int number_check(const struct json_scan_member *m, struct dialect_error *ret_error)
{
    const struct number_rule *rule = number_find(m->name);
    if (!rule || m->kind == JSON_KIND_NULL)
        return 0;
    if (m->kind != JSON_KIND_NUMBER)
        return dialect_fail_at(ret_error, rule->name, "'%s' must be a number", rule->name);
    /* jansson, because it reads numbers the same in every locale; it refuses what overflows. */
    json_t *number = json_loadb(m->value.p, m->value.n, JSON_DECODE_ANY, NULL);
    double x = number ? json_number_value(number) : (double)INFINITY;
    json_decref(number);
    return number_judge(rule, x, ret_error);
}

/* ---- what the engine must not see ---- */

struct body_reading {
    struct dialect_body *body;
    struct dialect_error *error;
    bool told; /* *error is filled */
};

/* A string's text between its quotes. */
static struct str body_inner(struct str value)
{
    return (struct str){value.p + 1, value.n - 2};
}

/* Escapes are read as the engine reads them: it counts "\u0028" as a parenthesis, too. */
static int body_check_grammar(const struct json_scan_member *m, struct dialect_error *error)
{
    unsigned depth = 0, deepest = 0;
    size_t length = 0;
    if (m->kind != JSON_KIND_STRING)
        return 0;
    struct str rest = body_inner(m->value);
    for (int c; (c = json_scan_char(&rest)) >= 0; length++) {
        if (c == '(')
            depth++;
        else if (c == ')' && depth)
            depth--;
        deepest = depth > deepest ? depth : deepest;
    }
    if (length > BODY_GRAMMAR_MAX)
        return dialect_fail_at(error, "grammar", "the grammar is longer than %d bytes",
                               BODY_GRAMMAR_MAX);
    return deepest > BODY_GRAMMAR_NESTING
               ? dialect_fail_at(error, "grammar", "the grammar nests deeper than %d parentheses",
                                 BODY_GRAMMAR_NESTING)
               : 0;
}

/* Does a text, its escapes decoded, begin with this word in lower case? */
static bool body_begins(struct str rest, const char *word)
{
    for (; *word; word++) {
        int c = json_scan_char(&rest);
        if (c < 0 || c > 0x7f || str_lower((char)c) != *word)
            return false;
    }
    return true;
}

/* Is it data itself? A text without a scheme that begins with "http" would still be fetched by
 * engines that hand it to libcurl. */
static bool body_is_inline(struct str text)
{
    if (body_begins(text, "data:"))
        return true;
    if (body_begins(text, "http") || body_begins(text, "file"))
        return false;
    for (int c; (c = json_scan_char(&text)) >= 0;) {
        if (c == ':')
            return false;
    }
    return true;
}

/* Pictures, sounds and films come inside the request: an address would be fetched by the engine,
 * from wherever it points to. */
static int body_check_address(const struct json_scan_member *m, struct dialect_error *error)
{
    static const char *const holders[] = {"image_url",   "audio_url",   "video_url",
                                          "input_audio", "input_video", "source"};
    bool address = str_is(m->name, "image_url") || str_is(m->name, "video_url") ||
                   str_is(m->name, "audio_url") || str_is(m->name, "file_url");
    for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++)
        address |= str_is(m->name, "url") && str_is(m->parent, holders[i]);
    if (!address || m->kind != JSON_KIND_STRING || body_is_inline(body_inner(m->value)))
        return 0;
    return dialect_fail_at(error, "messages",
                           "images and sounds must be in the request, as data: URIs: nothing is "
                           "fetched from an address for a request");
}

static int body_take(void *context, const struct json_scan_member *m, struct gfxb_error *err)
{
    struct body_reading *reading = context;
    struct dialect_body *body = reading->body;
    int code = body_check_address(m, reading->error);
    if (code == 0 && m->depth == 1 && str_is(m->name, "grammar"))
        code = body_check_grammar(m, reading->error);
    if (code == 0 && m->depth == 1)
        code = number_check(m, reading->error);
    if (code == 0 && m->depth == 1) {
        for (size_t i = 0; i < body->n && code == 0; i++) {
            if (str_eq(body->member[i].name, m->name))
                code = dialect_fail(reading->error, 400, "'%.*s' is there twice", STR_ARG(m->name));
        }
        if (code == 0 && body->n == DIALECT_MEMBERS_MAX)
            code = dialect_fail(reading->error, 400, "more than %d members", DIALECT_MEMBERS_MAX);
        if (code == 0)
            body->member[body->n++] = (struct dialect_member){m->name, m->value, m->kind};
    }
    reading->told = code < 0;
    return code;
}

int dialect_body_read(struct str text, struct dialect_body *ret_body,
                      struct dialect_error *ret_error)
{
    struct gfxb_error err = {.code = 0};
    struct body_reading reading = {.body = ret_body, .error = ret_error};
    ret_body->text = str_trim(text);
    ret_body->n = 0;
    int code = json_scan(text, body_take, &reading, &err);
    if (code < 0)
        return reading.told ? code : dialect_fail(ret_error, 400, "%s", err.text);
    if (ret_body->text.p[0] != '{')
        return dialect_fail(ret_error, 400, "the request is not a JSON object");
    return 0;
}

/* ---- members ---- */

const struct dialect_member *dialect_body_find(const struct dialect_body *body, const char *name)
{
    for (size_t i = 0; i < body->n; i++) {
        if (str_is(body->member[i].name, name))
            return &body->member[i];
    }
    return NULL;
}

int dialect_body_flag(const struct dialect_body *body, const char *name, bool fallback,
                      bool *ret_value, struct dialect_error *ret_error)
{
    const struct dialect_member *m = dialect_body_find(body, name);
    if (m && m->kind != JSON_KIND_BOOL && m->kind != JSON_KIND_NULL)
        return dialect_fail_at(ret_error, name, "'%s' must be true or false", name);
    *ret_value = m && m->kind == JSON_KIND_BOOL ? str_is(m->value, "true") : fallback;
    return 0;
}

int dialect_body_text(const struct dialect_body *body, const char *name, char *ret, size_t size,
                      struct dialect_error *ret_error)
{
    const struct dialect_member *m = dialect_body_find(body, name);
    ret[0] = '\0';
    if (!m || m->kind == JSON_KIND_NULL)
        return 0;
    if (m->kind != JSON_KIND_STRING)
        return dialect_fail_at(ret_error, name, "'%s' must be a string", name);
    json_t *value = json_loadb(m->value.p, m->value.n, JSON_DECODE_ANY, NULL);
    size_t n = json_string_length(value);
    if (value && n < size)
        memcpy(ret, json_string_value(value), n + 1);
    json_decref(value);
    /* \u0000 makes it no value at all: jansson refuses it. */
    return !value || n >= size
               ? dialect_fail_at(ret_error, name, "'%s' is too long, or holds a NUL", name)
               : 0;
}

bool dialect_name_ok(struct str name)
{
    if (name.n == 0 || name.n > DIALECT_NAME_MAX || name.p[0] == '/' || name.p[0] == '.' ||
        name.p[0] == '-' || str_has(name, STR("..")) || str_has(name, STR("//")))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || !strchr("-_.:/@+", c)))
            return false;
    }
    return true;
}

int dialect_body_model(const struct dialect_body *body, bool also_name,
                       char ret_name[DIALECT_NAME_SIZE], struct dialect_error *ret_error)
{
    const char *member = also_name && !dialect_body_find(body, "model") ? "name" : "model";
    int code = dialect_body_text(body, member, ret_name, DIALECT_NAME_SIZE, ret_error);
    if (code < 0)
        return code;
    if (ret_name[0] && !dialect_name_ok(str_from(ret_name)))
        return dialect_fail_at(ret_error, member,
                               "that is not a model's name: it has letters, digits and -_.:/@+");
    return 0;
}

/* ---- a body of ours ---- */

void dialect_json_text(struct str text, struct buf *ret)
{
    buf_add_char(ret, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\')
            buf_add_char(ret, '\\');
        if (c < 0x20)
            buf_addf(ret, "\\u%04x", c);
        else
            buf_add_char(ret, (char)c);
    }
    buf_add_char(ret, '"');
}
