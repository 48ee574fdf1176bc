/* body.c - reads a request body and refuses what the engine must not see. */
#include "api/dialect.h"

#include <errno.h>
#include <math.h>

/* A grammar of 100 KB keeps the engine busy for seconds before its first token, and one of 20,000
 * nested parentheses ends it (measured with llama.cpp 0.7.0). */
#define BODY_GRAMMAR_MAX     65536
#define BODY_GRAMMAR_NESTING 256

/* ---- numbers ---- */

struct number_rule {
    const char *name;
    bool whole; /* an integer: 4 and 4.0, not 4.5 */
    double least, most;
};

#define NUMBER_INT32 2147483647.0
/* No setting of a sampler is larger in practice, and a float holds much more. */
#define NUMBER_REAL 1e6

/* Common ones first. Ranges are the engine's own where it has some. The engine checks n against its
 * slots. */
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

void dialect_number_check(struct str name, double x, struct dialect_error *error)
{
    const struct number_rule *rule = number_find(name);
    if (!rule)
        return;
    if (!(x >= rule->least && x <= rule->most))
        dialect_fail_at(error, rule->name, "'%s' must be between %.10g and %.10g", rule->name,
                        rule->least, rule->most);
    else if (rule->whole && x != (double)(int64_t)x)
        dialect_fail_at(error, rule->name, "'%s' must be a whole number", rule->name);
}

static void number_check(const struct json_scan_member *m, struct dialect_error *error)
{
    const struct number_rule *rule = number_find(m->name);
    if (!rule || m->kind == JSON_KIND_NULL)
        return;
    if (m->kind != JSON_KIND_NUMBER) {
        dialect_fail_at(error, rule->name, "'%s' must be a number", rule->name);
        return;
    }
    /* jansson, because it reads numbers the same in every locale; it refuses what overflows. */
    json_t *number = json_loadb(m->value.p, m->value.n, JSON_DECODE_ANY, NULL);
    dialect_number_check(m->name, number ? json_number_value(number) : (double)INFINITY, error);
    json_decref(number);
}

/* ---- what the engine must not see ---- */

/* A string's text between its quotes. */
static struct str body_inner(const struct json_scan_member *m)
{
    return (struct str){m->value.p + 1, m->value.n - 2};
}

/* Escapes are read as the engine reads them: it counts "\u0028" as a parenthesis, too. */
static void body_check_grammar(const struct json_scan_member *m, struct dialect_error *error)
{
    unsigned depth = 0, deepest = 0;
    size_t length = 0;
    struct str rest = body_inner(m);
    for (int c; (c = json_scan_char(&rest)) >= 0; length++) {
        if (c == '(')
            depth++;
        else if (c == ')' && depth)
            depth--;
        deepest = depth > deepest ? depth : deepest;
    }
    if (length > BODY_GRAMMAR_MAX)
        dialect_fail_at(error, "grammar", "the grammar is longer than %d bytes", BODY_GRAMMAR_MAX);
    if (deepest > BODY_GRAMMAR_NESTING)
        dialect_fail_at(error, "grammar", "the grammar nests deeper than %d parentheses",
                        BODY_GRAMMAR_NESTING);
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

/* Is the text inline data? Text without a scheme that begins with "http" is not: engines that use
 * libcurl would fetch it. */
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

/* Images, sounds and videos must be in the request: the engine would fetch any address. */
static void body_check_address(const struct json_scan_member *m, struct dialect_error *error)
{
    static const struct str addresses = STR("image_url audio_url video_url file_url");
    static const struct str holders =
        STR("image_url audio_url video_url input_audio input_video source");
    bool address = str_list_has(addresses, m->name) ||
                   (str_is(m->name, "url") && str_list_has(holders, m->parent));
    if (address && !body_is_inline(body_inner(m)))
        dialect_fail_at(error, "messages",
                        "'%.*s': images, sounds and documents must be in the request; gfxbridge "
                        "fetches nothing from an address for a request",
                        STR_ARG(m->name));
}

static void body_add(struct dialect_body *body, const struct json_scan_member *m)
{
    for (size_t i = 0; i < body->n; i++) {
        if (str_eq(body->member[i].name, m->name))
            dialect_fail(&body->error, 400, "'%.*s' appears twice", STR_ARG(m->name));
    }
    if (body->n == DIALECT_MEMBERS_MAX)
        dialect_fail(&body->error, 400, "more than %d members", DIALECT_MEMBERS_MAX);
    else
        body->member[body->n++] = *m;
}

static int body_take(void *context, const struct json_scan_member *m, struct gfxb_error *err)
{
    struct dialect_body *body = context;
    bool text = m->kind == JSON_KIND_STRING, top = m->depth == 1;
    if (text)
        body_check_address(m, &body->error);
    if (text && top && str_is(m->name, "grammar"))
        body_check_grammar(m, &body->error);
    if (top) {
        number_check(m, &body->error);
        body_add(body, m);
    }
    return body->error.status ? -EINVAL : 0;
}

void dialect_body_read(struct str text, struct dialect_body *ret_body)
{
    struct gfxb_error err = {.code = 0};
    ret_body->text = str_trim(text);
    ret_body->n = 0;
    ret_body->error.status = 0;
    ret_body->error.param = NULL;
    if (json_scan(text, body_take, ret_body, &err) < 0)
        dialect_fail(&ret_body->error, 400, "%s", err.text);
    else if (ret_body->text.p[0] != '{')
        dialect_fail(&ret_body->error, 400, "the request is not a JSON object");
}

/* ---- members ---- */

const struct json_scan_member *dialect_body_find(const struct dialect_body *body, const char *name)
{
    for (size_t i = 0; i < body->n; i++) {
        if (str_is(body->member[i].name, name))
            return &body->member[i];
    }
    return NULL;
}

/* A member of this kind; NULL: absent or null, or of another kind, which is an error. */
static const struct json_scan_member *body_member(struct dialect_body *body, const char *name,
                                                  enum json_kind kind, const char *what)
{
    const struct json_scan_member *m = dialect_body_find(body, name);
    if (!m || m->kind == kind || m->kind == JSON_KIND_NULL)
        return m && m->kind == kind ? m : NULL;
    dialect_fail_at(&body->error, name, "'%s' must be %s", name, what);
    return NULL;
}

bool dialect_body_flag(struct dialect_body *body, const char *name, bool fallback)
{
    const struct json_scan_member *m = body_member(body, name, JSON_KIND_BOOL, "true or false");
    return m ? str_is(m->value, "true") : fallback;
}

void dialect_body_text(struct dialect_body *body, const char *name, char *ret, size_t size)
{
    const struct json_scan_member *m = body_member(body, name, JSON_KIND_STRING, "a string");
    ret[0] = '\0';
    if (!m)
        return;
    json_t *value = json_loadb(m->value.p, m->value.n, JSON_DECODE_ANY, NULL);
    size_t n = json_string_length(value);
    if (value && n < size)
        memcpy(ret, json_string_value(value), n + 1);
    else /* jansson refuses \u0000 */
        dialect_fail_at(&body->error, name, "'%s' is too long or contains a NUL", name);
    json_decref(value);
}

bool dialect_name_ok(struct str name)
{
    /* The address of a page, or a name. */
    const char *signs = str_strip(&name, STR("https://")) ? "-_.:/@+?=&%" : "-_.:/@+";
    if (name.n == 0 || name.n > DIALECT_NAME_MAX || name.p[0] == '/' || name.p[0] == '.' ||
        name.p[0] == '-' || str_has(name, STR("..")) || str_has(name, STR("//")))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || !strchr(signs, c)))
            return false;
    }
    return true;
}

void dialect_body_model(struct dialect_body *body, bool also_name, char ret_name[DIALECT_NAME_SIZE])
{
    const char *member = also_name && !dialect_body_find(body, "model") ? "name" : "model";
    dialect_body_text(body, member, ret_name, DIALECT_NAME_SIZE);
    if (ret_name[0] && !dialect_name_ok(str_from(ret_name)))
        dialect_fail_at(&body->error, member,
                        "not a model's name: a name has only letters, digits and -_.:/@+");
}
