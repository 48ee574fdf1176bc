#include "engine/decimal.h"
#include "engine/proofs.h"

#include <string.h>

#include <errno.h>
#include <stdio.h>

#define PROOFS_FIRST_LINE "gfxbridge-proof 1"

/* One line stays one line: control characters become blanks. */
static void proofs_add_line(struct buf *to, const char *key, const char *value)
{
    buf_addf(to, "%s ", key);
    for (const char *c = value ? value : ""; *c; c++)
        buf_add_char(to, (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c);
    buf_add_char(to, '\n');
}

static void proofs_add_number(struct buf *to, const char *key, double value)
{
    buf_addf(to, "%s ", key);
    decimal_add(to, value);
    buf_add_char(to, '\n');
}

static const char *proofs_tri_name(enum tri value)
{
    return value == TRI_YES ? "yes" : value == TRI_NO ? "no" : "unknown";
}

void proofs_print(const char *fingerprint, const char *day, const struct engine_proof *proof,
                  struct buf *ret)
{
    buf_add_text(ret, PROOFS_FIRST_LINE "\n");
    proofs_add_line(ret, "fingerprint", fingerprint);
    proofs_add_line(ret, "passed", proof->passed ? "yes" : "no");
    proofs_add_line(ret, "code", gfxb_code_name(proof->code));
    proofs_add_line(ret, "day", day);
    proofs_add_line(ret, "sentence", proof->sentence);
    proofs_add_line(ret, "device", proof->device);
    proofs_add_line(ret, "shown", proof->shown);
    proofs_add_number(ret, "load-ms", proof->load_ms);
    proofs_add_number(ret, "first-token-ms", proof->first_token_ms);
    proofs_add_number(ret, "tokens-per-second", proof->tokens_per_second);
    if (proof->bench_speed > 0.0006) { /* what three digits show */
        proofs_add_number(ret, "bench-tokens-per-second", proof->bench_speed);
        proofs_add_line(ret, "bench-with", proof->bench_with);
    }
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%s %s", plan_rung_name(proof->rung[i].rung),
                 proofs_tri_name(proof->rung[i].ok));
        proofs_add_line(ret, key, proof->rung[i].detail);
    }
    buf_add_text(ret, "end\n");
}

static bool proofs_take_yes(struct str value, bool *ret_yes)
{
    *ret_yes = str_is(value, "yes");
    return *ret_yes || str_is(value, "no");
}

static bool proofs_take_text(struct str value, char **ret_text)
{
    free(*ret_text);
    *ret_text = str_dup(value);
    return *ret_text != NULL;
}

static bool proofs_take_fixed(struct str value, char *ret_text, size_t size)
{
    if (value.n >= size)
        return false;
    snprintf(ret_text, size, "%.*s", STR_ARG(value));
    return true;
}

static bool proofs_take_rung(struct engine_proof *proof, struct str key, struct str value)
{
    struct str ok;
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        struct engine_rung *rung = &proof->rung[i];
        if (!str_is(key, plan_rung_name(rung->rung)))
            continue;
        if (!str_cut(&value, ' ', &ok))
            return false;
        rung->ok = str_is(ok, "yes") ? TRI_YES : str_is(ok, "no") ? TRI_NO : TRI_UNKNOWN;
        return proofs_take_text(value, &rung->detail);
    }
    return true; /* a key of a newer gfxbridge */
}

static bool proofs_take(struct proofs_item *item, struct str key, struct str value)
{
    struct engine_proof *proof = &item->proof;
    if (str_is(key, "fingerprint"))
        return value.n && proofs_take_text(value, &item->fingerprint);
    if (str_is(key, "passed"))
        return proofs_take_yes(value, &proof->passed);
    if (str_is(key, "code"))
        return (proof->code = error_code_number(value)) >= 0;
    if (str_is(key, "day"))
        return proofs_take_fixed(value, item->day, sizeof(item->day));
    if (str_is(key, "sentence"))
        return proofs_take_text(value, &proof->sentence);
    if (str_is(key, "device"))
        return proofs_take_fixed(value, proof->device, sizeof(proof->device));
    if (str_is(key, "shown"))
        return proofs_take_fixed(value, proof->shown, sizeof(proof->shown));
    if (str_is(key, "load-ms"))
        return decimal_parse(value, &proof->load_ms) == 0;
    if (str_is(key, "first-token-ms"))
        return decimal_parse(value, &proof->first_token_ms) == 0;
    if (str_is(key, "tokens-per-second"))
        return decimal_parse(value, &proof->tokens_per_second) == 0;
    if (str_is(key, "bench-tokens-per-second"))
        return decimal_parse(value, &proof->bench_speed) == 0;
    if (str_is(key, "bench-with"))
        return proofs_take_fixed(value, proof->bench_with, sizeof(proof->bench_with));
    return proofs_take_rung(proof, key, value);
}

int proofs_parse(struct str text, struct proofs_item *ret_item)
{
    struct proofs_item item = {.fingerprint = NULL, .proof = {.code = -1}};
    struct str line, key;
    bool ended = false, ok = !memchr(text.n ? text.p : "", '\0', text.n) &&
                             str_cut(&text, '\n', &line) && str_is(line, PROOFS_FIRST_LINE);
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        item.proof.rung[i].rung = PLAN_E3 + (enum plan_rung)i;
        item.proof.rung[i].ok = TRI_UNKNOWN;
    }
    while (ok && !ended && str_cut(&text, '\n', &line)) {
        ended = str_is(line, "end");
        if (!ended && str_cut(&line, ' ', &key))
            ok = proofs_take(&item, key, line);
    }
    if (ok && !item.proof.sentence)
        item.proof.sentence = strdup("");
    item.proof.log_tail = strdup("");
    /* Passed and a reason against it is no proof. */
    if (!ok || !ended || !item.fingerprint || !item.proof.sentence || !item.proof.log_tail ||
        item.proof.code < 0 || item.proof.passed != (item.proof.code == GFXB_E_OK)) {
        proofs_item_done(&item);
        return -EBADMSG;
    }
    *ret_item = item;
    return 0;
}

void proofs_item_done(struct proofs_item *item)
{
    free(item->fingerprint);
    engine_proof_done(&item->proof);
    item->fingerprint = NULL;
}

bool proofs_is_name(const char *name)
{
    return strlen(name) == PROOFS_NAME + strlen(PROOFS_SUFFIX) &&
           str_ends(str_from(name), STR(PROOFS_SUFFIX)) &&
           strspn(name, "0123456789abcdef") == PROOFS_NAME;
}

void engine_proof_done(struct engine_proof *proof)
{
    for (size_t i = 0; i < ENGINE_RUNGS; i++)
        free(proof->rung[i].detail);
    free(proof->sentence);
    free(proof->log_tail);
    *proof = (struct engine_proof){.passed = false};
}
