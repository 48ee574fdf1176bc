/* test_seeded.c - seeded canaries: whole files that our own reader takes, and questions that stand.
 */
#include "engine/engine_private.h"
#include "engine/seeded.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

static struct str table_bytes(void)
{
    const struct engine_canary *canary = engine_kind_llama.canary;
    return (struct str){canary->seeded, (size_t)(canary->seeded_end - canary->seeded)};
}

/* Calls see with each row of data/seeded.tsv; returns how many there are. */
static size_t each_row(void (*see)(const struct table_row *row))
{
    static const char *const columns[] = {"canary", "shape",   "types",  "length", "seed",
                                          "answer", "margins", "change", "proof",  NULL};
    struct gfxb_error err;
    struct table table;
    struct table_row row;
    size_t n = 0;
    int more;
    table_init(&table, "data/seeded.tsv", table_bytes(), columns);
    for (; (more = table_next(&table, &row, &err)) > 0; n++)
        see(&row);
    assert_int_equal(more, 0);
    return n;
}

static void file_is_a_model(const struct table_row *row)
{
    struct gfxb_error err;
    struct gguf gguf;
    struct buf file = BUF_INIT(2 * SEEDED_FILE_MAX);
    assert_int_equal(seeded_write(row->field[1], row->field[2], 1, &file, &err), 0);
    assert_int_equal(gguf_read_bytes("seeded", file.p, file.n, file.n, &gguf, &err), 0);
    assert_int_equal(gguf_require_model(&gguf, "seeded", &err), 0);
    gguf_done(&gguf);
    buf_done(&file);
}

static void every_row_is_a_whole_model(void **state)
{
    (void)state;
    assert_true(each_row(file_is_a_model) >= 90);
}

/* A correct engine is never nearer than three times the distance between two correct ones. */
static void margin_is_safe(const struct table_row *row)
{
    struct str rest = row->field[6], word;
    double change, margin;
    assert_int_equal(decimal_parse(row->field[7], &change), 0);
    while (str_word(&rest, &word)) {
        assert_int_equal(decimal_parse(word, &margin), 0);
        assert_true(margin >= 2.5);
        assert_true(margin >= 3 * change);
    }
}

static void margins_are_safe(void **state)
{
    (void)state;
    each_row(margin_is_safe);
}

static unsigned bands_seen;

static void note_band(const struct table_row *row)
{
    static const unsigned from[] = {1, 2, 9, 100, 1024};
    uint64_t length;
    if (!str_is(row->field[8], "first"))
        return;
    assert_int_equal(str_to_u64(row->field[3], 10, &length), 0);
    for (unsigned i = 5; i-- > 0;) {
        if (length >= from[i]) {
            bands_seen |= 1u << i;
            break;
        }
    }
}

/* One token, 2 to 8, up to 32, some hundreds, 1,024 and more: engines change kernels there. */
static void every_proof_has_prompts_of_every_band(void **state)
{
    (void)state;
    each_row(note_band);
    assert_int_equal(bands_seen, 0x1f);
}

/* One prompt is asked as a list of tokens, several as a list of lists; so are the answers. */
static void several_prompts_are_one_request(void **state)
{
    uint32_t tokens[] = {300, 301, 302};
    const struct engine_tokens prompt[] = {{tokens, 3}, {tokens + 1, 1}};
    char text[8];
    (void)state;
    char *one = llama_tokens_request(prompt, 1, 2), *two = llama_tokens_request(prompt, 2, 2);
    assert_non_null(strstr(one, "\"prompt\":[300,301,302],"));
    assert_non_null(strstr(two, "\"prompt\":[[300,301,302],[301]],"));
    free(one);
    free(two);
    assert_int_equal(llama_read_answer(STR("{\"content\":\"abcd\"}"), 0, text, 8), 0);
    assert_string_equal(text, "abcd");
    struct str list = STR("[{\"content\":\"abcd\"},{\"content\":\"efgh\"}]");
    assert_int_equal(llama_read_answer(list, 1, text, 8), 0);
    assert_string_equal(text, "efgh");
    assert_int_equal(llama_read_answer(list, 2, text, 8), -EPROTO);
    assert_int_equal(llama_read_answer(STR("nonsense"), 0, text, 8), -EPROTO);
}

static void same_seed_same_bytes(void **state)
{
    struct gfxb_error err;
    struct buf a = BUF_INIT(2 * SEEDED_FILE_MAX), b = BUF_INIT(2 * SEEDED_FILE_MAX),
               c = BUF_INIT(2 * SEEDED_FILE_MAX);
    (void)state;
    assert_int_equal(seeded_write(STR("dense"), STR("Q4_K Q6_K"), 1, &a, &err), 0);
    assert_int_equal(seeded_write(STR("dense"), STR("Q4_K Q6_K"), 1, &b, &err), 0);
    assert_int_equal(seeded_write(STR("dense"), STR("Q4_K Q6_K"), 2, &c, &err), 0);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    assert_int_equal(a.n, c.n);
    assert_memory_not_equal(a.p, c.p, a.n);
    buf_done(&a);
    buf_done(&b);
    buf_done(&c);
}

/* The last matrix of the layers is before the output's norm and the output, which has as many
 * numbers. */
static void has_scales(struct str type, size_t block, size_t scale)
{
    struct gfxb_error err;
    struct buf CLEAN_BUF file = BUF_INIT(2 * SEEDED_FILE_MAX);
    size_t n = SEEDED_VOCAB * block, norm = 256 * sizeof(float);
    assert_int_equal(seeded_write(STR("dense"), type, 1, &file, &err), 0);
    const char *matrix = file.p + file.n - n - norm - n;
    for (size_t i = 0; i < n; i += block)
        assert_true(matrix[i + scale] || matrix[i + scale + 1]);
}

/* Scales of these are below 2^-14: written as 0 a whole type would say nothing. */
static void small_scales_are_not_lost(void **state)
{
    (void)state;
    has_scales(STR("Q6_K"), 210, 208);
    has_scales(STR("IQ4_XS"), 136, 0);
}

static void prompts_are_text(void **state)
{
    uint32_t tokens[300];
    char text[3];
    (void)state;
    seeded_prompt(7, 300, tokens);
    for (size_t i = 0; i < 300; i++) {
        assert_in_range(tokens[i], SEEDED_FIRST, SEEDED_VOCAB - 1);
        seeded_token_text(tokens[i], text);
        assert_int_equal(strlen(text), 2);
    }
    seeded_token_text(SEEDED_FIRST - 1, text);
    assert_string_equal(text, "");
}

static void what_is_not_known_is_refused(void **state)
{
    struct gfxb_error err;
    struct buf file = BUF_INIT(SEEDED_FILE_MAX);
    (void)state;
    assert_int_equal(seeded_write(STR("round"), STR("F16"), 1, &file, &err), -EINVAL);
    assert_int_equal(seeded_write(STR("dense"), STR("Q9_9"), 1, &file, &err), -EINVAL);
    assert_int_equal(seeded_write(STR("dense"), STR(""), 1, &file, &err), -EINVAL);
    assert_int_equal(file.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_scales_are_not_lost),
        cmocka_unit_test(every_row_is_a_whole_model),
        cmocka_unit_test(margins_are_safe),
        cmocka_unit_test(every_proof_has_prompts_of_every_band),
        cmocka_unit_test(several_prompts_are_one_request),
        cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(prompts_are_text),
        cmocka_unit_test(what_is_not_known_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
