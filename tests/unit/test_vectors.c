/*
 * test_vectors.c - embeddings, rankings and forms without a server: what the engine is asked, and
 * what becomes of its answers however they are cut. The engine's answers here are a llama-server's
 * own (0.7.0), shortened.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/openai/form.h"
#include "api/openai/openai.h"
#include "api/vectors.h"
#include "filter_pieces.h"

#include <stdio.h>

static int64_t still(void)
{
    return 42;
}

/* ---- vectors ---- */

/* 3, 4, 12.5 and 1.5, -0.002, 0: as 32-bit numbers, the lowest byte first. */
#define FIRST  "AABAQAAAgEAAAEhB"
#define SECOND "AADAP28SA7sAAAAA"

static const char vectors[] =
    "{\"model\":\"m\",\"object\":\"list\",\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4},"
    "\"data\":[{\"embedding\":\"" FIRST "\",\"index\":0,\"object\":\"embedding\"},"
    "{\"embedding\":\"" SECOND "\",\"index\":1,\"object\":\"embedding\"}]}";

static void becomes(struct vectors_ask ask, const char *expected)
{
    json_t *input = json_string("x");
    ask.clock = still;
    if (ask.shape != VECTORS_OPENAI) /* which need not name one: the engine does */
        snprintf(ask.model, sizeof(ask.model), "m");
    for (size_t n = 1; n <= sizeof(vectors); n++) {
        struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
        assert_int_equal(convert(&vectors_ops, vectors_new(&ask, input), vectors, n, &out), 0);
        assert_string_equal(buf_text(&out), expected);
    }
    json_decref(input);
}

#define OLLAMA_END "],\"total_duration\":0,\"load_duration\":0,\"prompt_eval_count\":4}"
#define OPENAI_END "],\"model\":\"m\",\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4}}"

static void vectors_get_each_dialects_shape(void **state)
{
    becomes((struct vectors_ask){.shape = VECTORS_OLLAMA},
            "{\"model\":\"m\",\"embeddings\":[[3.0,4.0,12.5],[1.5,-0.00200000009,0.0]" OLLAMA_END);
    becomes((struct vectors_ask){.shape = VECTORS_OLLAMA_ONE}, "{\"embedding\":[3.0,4.0,12.5]}");
    becomes((struct vectors_ask){.shape = VECTORS_OPENAI, .base64 = true},
            "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
            "\"" FIRST "\"},{\"object\":\"embedding\",\"index\":1,\"embedding\":\"" SECOND
            "\"}" OPENAI_END);
}

/* The first numbers, scaled to length 1 again; all of them where there are no more. */
static void vectors_are_cut(void **state)
{
    becomes((struct vectors_ask){.shape = VECTORS_OLLAMA, .dimensions = 2},
            "{\"model\":\"m\",\"embeddings\":[[0.600000024,0.800000012],"
            "[0.999999106,-0.00133333215]" OLLAMA_END);
    becomes((struct vectors_ask){.shape = VECTORS_OLLAMA, .dimensions = 9},
            "{\"model\":\"m\",\"embeddings\":[[3.0,4.0,12.5],[1.5,-0.00200000009,0.0]" OLLAMA_END);
    becomes((struct vectors_ask){.shape = VECTORS_OPENAI, .dimensions = 2, .base64 = true},
            "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
            "\"mpkZP83MTD8=\"},{\"object\":\"embedding\",\"index\":1,\"embedding\":"
            "\"8f9/PzTDrro=\"}" OPENAI_END);
}

static void answers_without_vectors_are_none(void **state)
{
    static const char *const answers[] = {
        "",
        "{\"data\":[]}",
        "{\"data\":[{\"embedding\":\"AABAQ\"}]}",
        "{\"data\":[{\"embedding\":\"\"}]}",
        "{\"data\":[{\"embedding\":\"AA*AQAAAgEAAAEhB\"}]}",
        "{\"data\":[{\"embedding\":\"" FIRST,
    };
    const struct vectors_ask ask = {.shape = VECTORS_OLLAMA};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct buf CLEAN_BUF out = BUF_INIT(4096);
        assert_true(convert(&vectors_ops, vectors_new(&ask, NULL), answers[i], 3, &out) < 0);
    }
}

/* ---- what is too long is cut ---- */

#define REFUSAL                                                                                    \
    "{\"error\":{\"message\":\"input (9 tokens) is too large to process. increase the physical "   \
    "batch size (current batch size: 5)\"}}"

/* The filter's answer to the engine's; NULL: it asks nothing more. */
static const char *step(struct serve_filter *f, bool refused, const char *answer,
                        enum engine_call *call, struct buf *body)
{
    buf_clear(body);
    return vectors_ops.step(f, engine_kind_of_model(NULL), refused, str_from(answer), call, body)
               ? buf_text(body)
               : NULL;
}

static void a_long_text_loses_its_end(void **state)
{
    struct buf CLEAN_BUF body = BUF_INIT(4096);
    json_t *input = json_pack("[s, s, s]", "abcdefg", "ok", "abcd");
    struct vectors_ask ask = {.shape = VECTORS_OLLAMA, .truncate = true};
    enum engine_call call;
    snprintf(ask.model, sizeof(ask.model), "m");
    struct serve_filter *f = vectors_new(&ask, input);
    assert_string_equal(step(f, true, REFUSAL, &call, &body),
                        "{\"content\":\"\",\"add_special\":true}");
    assert_int_equal(call, ENGINE_CALL_TOKENIZE);
    assert_string_equal(step(f, false, "{\"tokens\":[2,3]}", &call, &body),
                        "{\"content\":\"abcdefg\",\"add_special\":true}");
    /* "ok" cannot have more than five tokens with its marks */
    assert_string_equal(step(f, false, "{\"tokens\":[2,11,12,13,14,15,16,17,3]}", &call, &body),
                        "{\"content\":\"abcd\",\"add_special\":true}");
    assert_string_equal(step(f, false, "{\"tokens\":[2,11,12,13,3]}", &call, &body),
                        "{\"model\":\"m\",\"input\":[[2,11,12,13,3],\"ok\",\"abcd\"],"
                        "\"encoding_format\":\"base64\"}");
    assert_int_equal(call, ENGINE_CALL_EMBEDDINGS);
    assert_null(step(f, true, REFUSAL, &call, &body)); /* once */
    vectors_ops.reset(f);
    assert_non_null(step(f, true, REFUSAL, &call, &body)); /* another engine, from the start */
    vectors_ops.free(f);
    ask.truncate = false;
    f = vectors_new(&ask, input);
    assert_null(step(f, true, REFUSAL, &call, &body));
    vectors_ops.free(f);
    json_decref(input);
}

/* Of a text of megabytes the engine is asked about its beginning only, which is enough. */
static void a_huge_text_is_cut_before_it_is_counted(void **state)
{
    struct buf CLEAN_BUF body = BUF_INIT(4096);
    char text[100], expected[300];
    enum engine_call call;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text + 79, "\xc3\xa4", 2); /* 5 tokens have 80 bytes */
    json_t *input = json_string(text);
    struct serve_filter *f =
        vectors_new(&(struct vectors_ask){.shape = VECTORS_OLLAMA, .truncate = true}, input);
    step(f, true, REFUSAL, &call, &body);
    snprintf(expected, sizeof(expected), "{\"content\":\"%.79s\",\"add_special\":true}", text);
    assert_string_equal(step(f, false, "{\"tokens\":[2,3]}", &call, &body), expected);
    snprintf(expected, sizeof(expected), "{\"input\":[\"%.79s\"],\"encoding_format\":\"base64\"}",
             text);
    assert_string_equal(step(f, false, "{\"tokens\":[2,7,3]}", &call, &body), expected);
    vectors_ops.free(f);
    json_decref(input);
}

/* ---- requests ---- */

/* The message of what is wrong with the body; "" nothing is. ret_body: what the engine is asked;
 * NULL not wanted. */
static const char *read_request(chat_read *read, const char *text, char *ret_body, size_t size,
                                struct serve_filter **ret_filter,
                                const struct serve_filter_ops **ret_ops)
{
    static struct dialect_body body;
    struct chat_call call = {.options = {.pin = -1}};
    dialect_body_read(str_from(text), &body);
    json_t *root = chat_load(&body);
    chat_request_init(&call.request, &body.error);
    dialect_body_model(&body, false, call.model);
    if (root)
        read(&body, root, &call);
    if (ret_body) {
        char *CLEAN_FREE dumped = json_dumps(call.request.body, JSON_COMPACT);
        snprintf(ret_body, size, "%s", dumped);
    }
    if (ret_filter) {
        *ret_filter = call.filter;
        *ret_ops = call.filter_ops;
    } else if (call.filter) {
        call.filter_ops->free(call.filter);
    }
    chat_request_done(&call.request);
    json_decref(root);
    return body.error.status ? body.error.message : "";
}

static void inputs_are_texts_or_tokens(void **state)
{
    static const struct {
        const char *input;
        bool good;
    } cases[] = {
        {"\"a\"", true},        {"[\"a\",\"b\"]", true}, {"[1,2]", true},  {"[[1,2],[3]]", true},
        {"\"\"", false},        {"[]", false},           {"[[]]", false},  {"[\"a\",\"\"]", false},
        {"[\"a\",1]", false},   {"[1,\"a\"]", false},    {"[1.5]", false}, {"[[\"a\"]]", false},
        {"[\"a\",[1]]", false}, {"{\"a\":1}", false},    {"null", false},  {"7", false},
        {"[[[1]]]", false},     {"[null]", false},
    };
    char text[200];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "{\"model\":\"m\",\"input\":%s}", cases[i].input);
        const char *why = read_request(embeddings_read, text, NULL, 0, NULL, NULL);
        if ((why[0] == '\0') != cases[i].good)
            fail_msg("%s: %s", text, why);
    }
    assert_non_null(
        strstr(read_request(embeddings_read, "{\"input\":\"a\",\"encoding_format\":\"int8\"}", NULL,
                            0, NULL, NULL),
               "encoding_format"));
    read_request(embeddings_read, "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":8}", text,
                 sizeof(text), NULL, NULL);
    assert_string_equal(text, "{\"model\":\"m\",\"input\":[\"a\"],\"encoding_format\":\"base64\"}");
    read_request(embeddings_read, "{\"input\":\"a\",\"dimensions\":8}", text, sizeof(text), NULL,
                 NULL);
    assert_string_equal(text, "{\"input\":[\"a\"],\"encoding_format\":\"base64\"}");
}

/* ---- rankings ---- */

static const char ranking[] =
    "{\"model\":\"m\",\"object\":\"list\",\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9},"
    "\"results\":[{\"index\":0,\"relevance_score\":0.0},{\"index\":2,\"relevance_score\":2.0},"
    "{\"index\":1,\"relevance_score\":-800.0}]}";

static void ranks(const char *request, const char *asked, const char *expected)
{
    for (size_t n = 1; n <= sizeof(ranking); n += 7) {
        struct buf CLEAN_BUF out = BUF_INIT(4096);
        struct serve_filter *f;
        const struct serve_filter_ops *ops;
        char body[300];
        assert_string_equal(read_request(rerank_read, request, body, sizeof(body), &f, &ops), "");
        assert_string_equal(body, asked);
        assert_int_equal(convert(ops, f, ranking, n, &out), 0);
        assert_string_equal(buf_text(&out), expected);
    }
}

#define ASKED "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\",\"b\",\"c\"]}"
#define RANK_HEAD                                                                                  \
    "{\"model\":\"m\",\"object\":\"list\",\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9},"     \
    "\"results\":["

static void rankings_are_sorted_with_scores_up_to_1(void **state)
{
    ranks(ASKED, ASKED,
          RANK_HEAD
          "{\"index\":2,\"relevance_score\":0.880797077978},"
          "{\"index\":0,\"relevance_score\":0.5},{\"index\":1,\"relevance_score\":0.0}]}");
    ranks(
        "{\"model\":\"m\",\"query\":\"q\",\"documents\":[{\"text\":\"a\"},\"b\",{\"text\":\"c\"}],"
        "\"top_n\":2,\"return_documents\":true}",
        ASKED,
        RANK_HEAD "{\"index\":2,\"relevance_score\":0.880797077978,\"document\":{\"text\":\"c\"}},"
                  "{\"index\":0,\"relevance_score\":0.5,\"document\":{\"text\":\"a\"}}]}");
    ranks("{\"model\":\"m\",\"query\":\"q\",\"texts\":[\"a\",\"b\",\"c\"],\"raw_scores\":true,"
          "\"return_text\":true}",
          ASKED,
          "[{\"index\":2,\"score\":2.0,\"text\":\"c\"},{\"index\":0,\"score\":0.0,\"text\":\"a\"},"
          "{\"index\":1,\"score\":-800.0,\"text\":\"b\"}]");
}

static void bad_rankings_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"{\"documents\":[\"a\"]}", "query"},
        {"{\"query\":\"\",\"documents\":[\"a\"]}", "query"},
        {"{\"query\":\"q\"}", "documents"},
        {"{\"query\":\"q\",\"documents\":[]}", "documents"},
        {"{\"query\":\"q\",\"documents\":[1]}", "documents"},
        {"{\"query\":\"q\",\"documents\":[{\"title\":\"x\"}]}", "documents"},
        {"{\"query\":\"q\",\"documents\":[\"a\"],\"rank_fields\":[\"x\"]}", "rank_fields"},
        {"{\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":-1}", "top_n"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(
            strstr(read_request(rerank_read, bad[i][0], NULL, 0, NULL, NULL), bad[i][1]));
}

/* ---- forms ---- */

#define TYPE       "multipart/form-data; boundary=b"
#define PART(name) "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"

static void forms_are_read_strictly(void **state)
{
    static const struct {
        const char *type, *body;
        size_t parts; /* 0: refused */
    } cases[] = {
        {TYPE, PART("model") "m\r\n--b--\r\n", 1},
        {TYPE, PART("model") "m\r\n--b--", 1},
        {"Multipart/Form-Data; charset=utf-8; Boundary=\"b\"", PART("a") "\r\n--b--\r\n", 1},
        {TYPE, PART("a") "x\r\n" PART("c") "y\r\n--b--\r\n", 2},
        {TYPE, PART("a[]") "x\r\n" PART("a[]") "y\r\n--b--\r\n", 2},
        {TYPE, PART("a") "x\r\n" PART("a") "y\r\n--b--\r\n", 0},
        {TYPE, PART("a") "x\r\n--b", 0},
        {TYPE, PART("a") "x\r\n--b--\r\nmore", 0},
        {TYPE, "before\r\n" PART("a") "x\r\n--b--\r\n", 0},
        {TYPE, PART("") "x\r\n--b--\r\n", 0},
        {TYPE, PART("a\\\"") "x\r\n--b--\r\n", 0},
        {TYPE, "--b\r\nX: y\r\n\r\nx\r\n--b--\r\n", 0},
        {TYPE, "--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--b--\r\n", 0},
        {TYPE, "--b\r\nContent-Disposition: form-data; name=\"a\"; name=\"c\"\r\n\r\nx\r\n--b--",
         0},
        {TYPE, "--b\nContent-Disposition: form-data; name=\"a\"\n\nx\n--b--", 0},
        {TYPE, "", 0},
        {"multipart/form-data", PART("a") "x\r\n--b--\r\n", 0},
        {"multipart/form-data; boundary=", PART("a") "x\r\n--b--\r\n", 0},
        {"multipart/form-data; boundary=\"b", PART("a") "x\r\n--b--\r\n", 0},
        {"multipart/form-data; boundary=b; boundary=c", PART("a") "x\r\n--b--\r\n", 0},
        {"application/json", "{}", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dialect_error error = {.status = 0};
        struct form form;
        form_read(str_from(cases[i].type), str_from(cases[i].body), &form, &error);
        if ((error.status == 0) != (cases[i].parts > 0) ||
            (cases[i].parts && form.n != cases[i].parts))
            fail_msg("%s\n%s\n%zu %s", cases[i].type, cases[i].body, form.n, error.message);
    }
}

static void a_form_comes_back_as_it_was_written(void **state)
{
    static const char bytes[] = "\r\n--c\r\n\0--b\r\n";
    const struct str sound = {bytes, sizeof(bytes) - 1};
    struct buf CLEAN_BUF out = BUF_INIT(4096);
    struct dialect_error error = {.status = 0};
    struct form form;
    form_add(&out, "bound", "language", false, STR("de"));
    form_add(&out, "bound", "file", true, sound);
    buf_add_text(&out, "--bound--\r\n");
    form_read(STR("multipart/form-data; boundary=bound"), buf_view(&out), &form, &error);
    assert_int_equal(error.status, 0);
    assert_true(str_is(form_find(&form, "language")->value, "de"));
    assert_false(form_find(&form, "language")->file);
    assert_true(form_find(&form, "file")->file);
    assert_true(str_eq(form_find(&form, "file")->value, sound));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_get_each_dialects_shape),
        cmocka_unit_test(vectors_are_cut),
        cmocka_unit_test(answers_without_vectors_are_none),
        cmocka_unit_test(a_long_text_loses_its_end),
        cmocka_unit_test(a_huge_text_is_cut_before_it_is_counted),
        cmocka_unit_test(inputs_are_texts_or_tokens),
        cmocka_unit_test(rankings_are_sorted_with_scores_up_to_1),
        cmocka_unit_test(bad_rankings_are_refused),
        cmocka_unit_test(forms_are_read_strictly),
        cmocka_unit_test(a_form_comes_back_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
