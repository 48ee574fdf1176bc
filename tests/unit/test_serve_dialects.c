/*
 * test_serve_dialects.c - the dialects without a server: what a request may be, what the engine is
 * asked for it, and what becomes of the engine's bytes however they are cut. The engine's answers
 * here are a llama-server's own (0.7.0), shortened.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/ollama/ollama.h"
#include "api/serve.h"
#include "filter_pieces.h"

#include <errno.h>
#include <stdio.h>

static struct dialect_error why;

/* ---- JSON texts ---- */

static void a_text_is_json_exactly_when_jansson_says_so(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "[1,2]",
        "{\"a\":{\"b\":[true,false,null]}}",
        " { \"a\" : 1 } ",
        "\"x\"",
        "1",
        "-0",
        "01",
        "1.",
        ".5",
        "1e5",
        "1e",
        "1E+2",
        "-",
        "+1",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "{a:1}",
        "{'a':1}",
        "nul",
        "nulll",
        "truefalse",
        "[1 2]",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"a\tb\"",
        "\"\xc3\xa9\"",
        "\"\xc3\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\xe0\x80\x80\"",
        "\"abc",
        "{} {}",
        "{}x",
        "[[[[]]]]",
        "{\"\":1}",
        "NaN",
        "Infinity",
        "{\"a\":1}\n",
        "[-1.5e-3]",
        "[1.5e]",
        "[--1]",
        "[\"\\\"\"]",
        "\"\\/\"",
        "",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        int code = json_scan(str_from(texts[i]), NULL, NULL, NULL);
        if ((code == 0) != (value != NULL))
            fail_msg("'%s': we say %d, jansson %s", texts[i], code, value ? "takes it" : "not");
        json_decref(value);
    }
}

static void nesting_has_a_limit(void **state)
{
    char text[2 * JSON_SCAN_DEPTH + 4];
    for (size_t depth = JSON_SCAN_DEPTH; depth <= JSON_SCAN_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(json_scan((struct str){text, 2 * depth}, NULL, NULL, NULL),
                         depth > JSON_SCAN_DEPTH ? -EINVAL : 0);
    }
}

/* ---- bodies ---- */

static bool read_body(const char *text, struct dialect_body *ret)
{
    dialect_body_read(str_from(text), ret);
    why = ret->error;
    return why.status == 0;
}

static void members_are_found(void **state)
{
    struct dialect_body body;
    assert_true(
        read_body(" {\"model\" : \"x\", \"messages\":[{\"model\":\"inner\"}], \"n\": 2} ", &body));
    assert_int_equal(body.n, 3);
    assert_true(str_is(dialect_body_find(&body, "model")->value, "\"x\""));
    assert_null(dialect_body_find(&body, "inner"));
}

static void bodies_that_an_engine_must_not_see_are_refused(void **state)
{
    static const char *const bodies[] = {
        "[]",
        "5",
        "",
        "{\"model\":\"a\",\"model\":\"b\"}",
        "{\"mod\\u0065l\":\"a\"}",
        "{\"max_tokens\":4294967296}",
        "{\"max_tokens\":-2}",
        "{\"max_tokens\":1.5}",
        "{\"max_tokens\":\"5\"}",
        "{\"max_tokens\":true}",
        "{\"max_tokens\":99999999999999999999999}",
        "{\"n_discard\":-1}",
        "{\"temperature\":1e300}",
        "{\"temperature\":1e999}",
        "{\"n\":0}",
        "{\"top_logprobs\":100000}",
        "{\"seed\":18446744073709551616}",
        "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
        "\"http://127.0.0.1/x.png\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
        "\"file:///etc/passwd\"}}]}]}",
        "{\"input\":[{\"content\":[{\"type\":\"input_image\",\"image_url\":\"https://x/\"}]}]}",
        "{\"messages\":[{\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
        "\"https://x/\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"HTTP:\\/\\/x\"}}]}]}",
    };
    struct dialect_body body;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        if (read_body(bodies[i], &body))
            fail_msg("taken: %s", bodies[i]);
        assert_int_equal(why.status, 400);
        assert_true(why.message[0] != '\0');
    }
}

static void bodies_of_real_clients_are_taken(void **state)
{
    static const char *const bodies[] = {
        "{\"max_tokens\":null,\"temperature\":0,\"seed\":-1,\"top_k\":40.0}",
        "{\"max_tokens\":-1,\"n_predict\":2147483647,\"repeat_last_n\":-1}",
        "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
        "\"data:image/png;base64,AAAA\"}}]}]}",
        "{\"tools\":[{\"function\":{\"parameters\":{\"properties\":{\"url\":{\"type\":\"string\","
        "\"default\":\"https://x/\"}}}}}]}",
        "{\"messages\":[{\"content\":\"see https://x/\",\"url\":\"https://x/\"}]}",
        "{\"grammar\":\"root ::= (\\\"a\\\" | (\\\"b\\\"))\"}",
    };
    struct dialect_body body;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        if (!read_body(bodies[i], &body))
            fail_msg("refused: %s: %s", bodies[i], why.message);
    }
}

static void a_grammar_cannot_overflow_the_engines_stack(void **state)
{
    struct dialect_body body;
    struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
    buf_add_text(&text, "{\"grammar\":\"root ::= ");
    for (int i = 0; i < 20000; i++)
        buf_add_char(&text, '(');
    buf_add_text(&text, "\"}");
    assert_false(read_body(buf_text(&text), &body));
    assert_string_equal(why.param, "grammar");
}

/* A client may spell any character of a text as an escape: the engine reads the character. */
static void guards_read_what_the_engine_reads(void **state)
{
    static const char *const refused[] = {
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"http\\u003a//127.0.0.1/\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"\\u0068ttp\\u003A//x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"file\\u003a\\/\\/\\/x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"image_url\":\"http\\u003a//x\"}]}]}",
        "{\"messages\":[{\"content\":[{\"audio_url\":{\"url\":\"http\\u003a//x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"audio_url\":\"http\\u003a//x\"}]}]}",
        "{\"messages\":[{\"content\":[{\"video_url\":{\"url\":\"http\\u003a//x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"video_url\":\"http\\u003a//x\"}]}]}",
        "{\"messages\":[{\"content\":[{\"input_audio\":{\"url\":\"http\\u003a//x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"input_video\":{\"url\":\"http\\u003a//x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"source\":{\"url\":\"http\\u003a//x\"}}]}]}",
        "{\"input\":[{\"content\":[{\"file_url\":\"http\\u003a//x\"}]}]}",
        /* The name is an escape, whatever the value is. */
        "{\"messages\":[{\"content\":[{\"image_url\":{\"ur\\u006c\":\"http://x\"}}]}]}",
        "{\"gramm\\u0061r\":\"root ::= x\"}",
        /* "data:" that is none once it is read. */
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"\\u0020data:,http://x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"\\u0164ata:,http://x\"}}]}]}",
        /* libcurl guesses the scheme. */
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"http.example/x\"}}]}]}",
    };
    static const char *const taken[] = {
        /* Encoders that write "/" as "\/" and "+" as "\u002B" are common. */
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":"
        "\"data:image\\/png;base64,iVBOR\\u002B\\/A=\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"\\u0064ata\\u003a,x\"}}]}]}",
        "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"iVBOR\\u002BAA=\"}}]}]}",
        "{\"grammar\":\"root ::= \\u0028\\u0022a\\u0022\\u0029\"}",
    };
    struct dialect_body body;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (read_body(refused[i], &body))
            fail_msg("taken: %s", refused[i]);
    }
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        if (!read_body(taken[i], &body))
            fail_msg("refused: %s: %s", taken[i], why.message);
    }
}

static void an_escaped_grammar_cannot_overflow_the_engines_stack(void **state)
{
    static const char *const parentheses[] = {"(", "\\u0028"};
    struct dialect_body body;
    for (size_t i = 0; i < sizeof(parentheses) / sizeof(parentheses[0]); i++) {
        for (int n = 256; n <= 257; n++) {
            struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
            buf_add_text(&text, "{\"grammar\":\"root ::= ");
            for (int k = 0; k < n; k++)
                buf_add_text(&text, parentheses[i]);
            buf_add_text(&text, "\"}");
            assert_int_equal(read_body(buf_text(&text), &body), n <= 256);
        }
    }
}

/* Escapes make a text longer, not its grammar. */
static void the_length_of_a_grammar_is_counted_without_escapes(void **state)
{
    struct dialect_body body;
    for (int n = 65536; n <= 65537; n++) {
        struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
        buf_add_text(&text, "{\"grammar\":\"");
        for (int k = 0; k < n; k++)
            buf_add_text(&text, "\\u0061");
        buf_add_text(&text, "\"}");
        assert_int_equal(read_body(buf_text(&text), &body), n <= 65536);
    }
}

static void names_of_models_hold_no_path(void **state)
{
    static const char *const good[] = {"canary",          "llama3.2:latest",
                                       "org/repo:Q4_K_M", "hf.co/org/repo:Q8_0",
                                       "user.My-Model",   "a@b+c"};
    static const char *const bad[] = {"",      "/etc/passwd", "../x",   "a/../b", "a b",
                                      ".x",    "a\nb",        "a//b",   "-m",     "a\\b",
                                      "a\xc3", "a;b",         "http?x", "~/x",    "a%2e"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(dialect_name_ok(str_from(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (dialect_name_ok(str_from(bad[i])))
            fail_msg("a name: %s", bad[i]);
    }
}

/* ---- errors ---- */

static void errors_have_the_shape_of_their_path(void **state)
{
    static const struct {
        const char *path, *body;
    } cases[] = {
        {"/v1/chat/completions", "{\"error\":{\"message\":\"no\",\"type\":\"not_found_error\","
                                 "\"param\":\"model\",\"code\":\"model_not_found\"}}"},
        {"/api/v1/models/x", "{\"error\":{\"message\":\"no\",\"type\":\"not_found_error\","
                             "\"param\":\"model\",\"code\":\"model_not_found\"}}"},
        {"/v1/messages", "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\","
                         "\"message\":\"no\"}}"},
        {"/api/chat", "{\"error\":\"no\"}"},
        {"/api/v1/load", "{\"error\":\"no\"}"},
        {"/v0/pull", "{\"error\":\"no\"}"},
    };
    const struct dialect_error e = {
        .status = 404, .code = "model_not_found", .param = "model", .message = "no"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf CLEAN_BUF out = BUF_INIT(4096);
        dialect_error_body(dialect_of_path(str_from(cases[i].path)), &e, &out);
        assert_string_equal(buf_text(&out), cases[i].body);
    }
}

/* A buffer may end in the middle of a character; names of files may be no UTF-8 at all. */
static void what_is_no_utf8_costs_a_character_not_the_answer(void **state)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"Gr\xc3\xbc\xc3", "\"Gr\xc3\xbc?\""},
        {"\xff\xc3\xa9", "\"?\xc3\xa9\""},
        {"", "\"\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *value = report_json_string(cases[i].text);
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        assert_string_equal(text, cases[i].json);
        free(text);
        json_decref(value);
    }
    char cut[8];
    dialect_copy(cut, sizeof(cut), "abcde\xe2\x82\xac");
    assert_string_equal(cut, "abcde");
    for (size_t n = 0; n < 4; n++) {
        struct buf CLEAN_BUF long_text = BUF_INIT(4096), CLEAN_BUF body = BUF_INIT(8192);
        buf_add(&long_text, "xxx", n);
        for (int i = 0; i < 300; i++)
            buf_add_text(&long_text, "\xe2\x82\xac");
        why.status = 0;
        dialect_fail(&why, 400, "%s", buf_text(&long_text));
        dialect_error_body(DIALECT_OLLAMA, &why, &body);
        assert_null(strchr(buf_text(&body), '?'));
    }
}

static void an_unknown_path_is_told_as_its_api_does(void **state)
{
    static const struct {
        const char *path, *body;
    } cases[] = {
        {"/api/v1/nosuch", "{\"error\":{\"message\":\"no\",\"path\":\"/api/v1/nosuch\","
                           "\"type\":\"not_found\"}}"},
        {"/v0/a\xff",
         "{\"error\":{\"message\":\"no\",\"path\":\"/v0/a?\",\"type\":\"not_found\"}}"},
        {"/api/nosuch", "{\"error\":\"no\"}"},
        {"/nosuch", "{\"error\":{\"message\":\"no\",\"type\":\"not_found_error\","
                    "\"param\":null,\"code\":\"not_found\"}}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf CLEAN_BUF out = BUF_INIT(4096);
        const struct str path = str_from(cases[i].path);
        const struct dialect_error e = {
            .status = 404, .code = "not_found", .path = path, .message = "no"};
        dialect_error_body(dialect_of_path(path), &e, &out);
        assert_string_equal(buf_text(&out), cases[i].body);
    }
}

static void an_engines_refusal_keeps_its_words_and_gets_the_right_status(void **state)
{
    static const struct {
        long status;
        const char *body;
        int ours;
        const char *message, *code;
    } cases[] = {
        {400,
         "{\"error\":{\"code\":400,\"message\":\"request (5 tokens) exceeds the available context "
         "size (4 tokens)\",\"type\":\"exceed_context_size_error\",\"n_ctx\":4}}",
         400,
         "prompt is too long: 0 tokens > 4, the maximum context length of m as it is loaded; "
         "gfxbridge load m --context 4096 loads it with more",
         "context_length_exceeded"},
        {400,
         "{\"error\":{\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":27000,"
         "\"n_ctx\":8192}}",
         400,
         "prompt is too long: 27000 tokens > 8192, the maximum context length of m as it is "
         "loaded; "
         "gfxbridge load m --context 32768 loads it with more",
         "context_length_exceeded"},
        {500,
         "{\"error\":{\"message\":\"input (50000 tokens) is too large to process. increase the "
         "physical batch size (current batch size: 512)\"}}",
         400,
         "prompt is too long: 50000 tokens > 512, the maximum context length of m, which was "
         "trained for 40960",
         "context_length_exceeded"},
        {500, "{\"error\":{\"code\":500,\"message\":\"Failed to parse tools: x\"}}", 400,
         "Failed to parse tools: x", NULL},
        {500, "{\"error\":{\"code\":500,\"message\":\"Compute error.\"}}", 500, "Compute error.",
         NULL},
        {401, "{\"error\":{\"message\":\"Invalid API Key\"}}", 502, "Invalid API Key", NULL},
        {501, "{\"error\":{\"message\":\"x\",\"type\":\"not_supported_error\"}}", 501, "x",
         "not_supported"},
        {500, "<html>", 500, "the engine refused the request without a reason", NULL},
    };
    char name[] = "m";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        dialect_error_of_engine(engine_kind_of_model(NULL),
                                &(struct pool_found){.name = name, .context = 40960},
                                cases[i].status, str_from(cases[i].body), &why);
        assert_int_equal(why.status, cases[i].ours);
        assert_string_equal(why.message, cases[i].message);
        if (cases[i].code)
            assert_string_equal(why.code, cases[i].code);
        else
            assert_null(why.code);
    }
}

/* ---- figures in passing ---- */

#define TIMINGS                                                                                    \
    "\"timings\":{\"cache_n\":4,\"prompt_n\":12,\"prompt_ms\":6.0,\"prompt_per_second\":2000.5,"   \
    "\"predicted_n\":17,\"predicted_ms\":34.0,\"predicted_per_second\":500.25}"

static void token_counts_are_read_in_passing(void **state)
{
    static const struct {
        const char *text;
        uint64_t prompt, cached, tokens;
        double per_second;
    } cases[] = {
        {"data: {\"choices\":[{\"delta\":{}}]," TIMINGS "}\n\ndata: [DONE]\n\n", 16, 4, 17, 500.25},
        {"{\"choices\":[{\"message\":{\"content\":\"\\\"timings\\\":{\\\"cache_n\\\":9\"}}],"
         "\"usage\":{\"completion_tokens\":2,\"prompt_tokens\":5,\"total_tokens\":7,"
         "\"prompt_tokens_details\":{\"cached_tokens\":3}}}",
         5, 3, 2, 0},
        {"{\"type\":\"message\",\"usage\":{\"cache_read_input_tokens\":4,\"input_tokens\":1,"
         "\"output_tokens\":5}}",
         5, 4, 5, 0},
        {"{\"model\":\"x\",\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4},\"data\":[]}", 4, 0,
         0, 0},
        {"{\"usage\":{\"input_tokens\":5,\"output_tokens\":3,\"total_tokens\":8,"
         "\"input_tokens_details\":{\"cached_tokens\":4}}}",
         5, 4, 3, 0},
        {"", 0, 0, 0, 0},
        {"\"timings\":{\"cache_n\":-5,\"prompt_n\":1e99,\"predicted_n\":}", 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 40; step++) {
            struct dialect_tail tail = {.tail_n = 0};
            struct pool_timings t;
            struct str rest = str_from(cases[i].text);
            while (rest.n) {
                size_t n = rest.n < step ? rest.n : step;
                dialect_tail_feed(&tail, (struct str){rest.p, n});
                rest = (struct str){rest.p + n, rest.n - n};
            }
            dialect_tail_end(&tail, engine_kind_of_model(NULL)->figures, &t);
            assert_int_equal(t.prompt_tokens, cases[i].prompt);
            assert_int_equal(t.cached_tokens, cases[i].cached);
            assert_int_equal(t.tokens, cases[i].tokens);
            assert_true(t.tokens_per_second == cases[i].per_second);
        }
    }
}

static void only_the_end_of_a_long_answer_is_kept(void **state)
{
    struct dialect_tail tail = {.tail_n = 0};
    struct pool_timings t;
    for (int i = 0; i < 1000; i++)
        dialect_tail_feed(&tail, STR("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"));
    dialect_tail_feed(&tail, STR("data: {" TIMINGS "}\n\n"));
    dialect_tail_end(&tail, engine_kind_of_model(NULL)->figures, &t);
    assert_int_equal(t.tokens, 17);
}

/* ---- Ollama's requests ---- */

/* The engine's request; NULL: none is needed, or *why says what is wrong. */
static json_t *ask(const char *path, const char *text, struct ollama_call *about)
{
    struct dialect_body body;
    struct chat_call call = {.options = {.pin = -1}};
    read_body(text, &body);
    json_t *root = chat_load(&body), *request = NULL;
    chat_request_init(&call.request, &body.error);
    if (root)
        ollama_read(path, &body, root, &call, about);
    if (root && !body.error.status && !about->empty) {
        if (call.request.messages)
            chat_request_end(&call.request, true);
        request = json_incref(call.request.body);
    }
    chat_request_done(&call.request);
    if (call.filter)
        call.filter_ops->free(call.filter);
    json_decref(root);
    why = body.error;
    return request;
}

/* The engine is asked for exactly this. */
static void asks(const char *path, const char *text, const char *expected)
{
    struct ollama_call call;
    json_t *request = ask(path, text, &call), *wanted = json_loads(expected, 0, NULL);
    assert_non_null(wanted);
    if (!request)
        fail_msg("refused: %s: %s", text, why.message);
    json_object_del(request, "stream");
    json_object_del(request, "stream_options");
    if (!json_equal(request, wanted)) {
        char *got = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);
        fail_msg("%s\nbecame %s\nnot    %s", text, got, expected);
    }
    json_decref(request);
    json_decref(wanted);
}

static void refuses(const char *path, const char *text, const char *sentence)
{
    struct ollama_call call;
    assert_null(ask(path, text, &call));
    if (why.status != 400 || !strstr(why.message, sentence))
        fail_msg("%s: %d %s", text, why.status, why.message);
}

#define HI "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

static void a_chat_becomes_a_chat(void **state)
{
    asks("/api/chat", "{" HI "}", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}");
    asks("/api/chat",
         "{" HI ",\"options\":{\"num_predict\":5,\"temperature\":0.5,\"top_k\":4.0,\"stop\":\"x\","
         "\"repeat_last_n\":-1,\"num_ctx\":2048,\"seed\":7,\"num_gpu\":99,\"unknown\":{}}}",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"n_predict\":5,"
         "\"temperature\":0.5,\"top_k\":4,\"stop\":[\"x\"],\"repeat_last_n\":2048,\"seed\":7}");
    asks("/api/chat",
         "{" HI ",\"format\":\"json\",\"think\":\"low\",\"tools\":[],\"options\":null}",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"response_format\":{\"type\":"
         "\"json_object\"},\"chat_template_kwargs\":{\"enable_thinking\":true,"
         "\"reasoning_effort\":\"low\"}}");
    asks("/api/chat", "{" HI ",\"format\":{\"type\":\"object\"},\"think\":false,\"logprobs\":true}",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"response_format\":{\"type\":"
         "\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":{\"type\":\"object\"}}},"
         "\"chat_template_kwargs\":{\"enable_thinking\":false},\"logprobs\":true,"
         "\"top_logprobs\":1}");
}

static void images_become_parts(void **state)
{
    asks("/api/chat",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"What?\",\"images\":["
         "\"iVBORw0KGgoAAA==\",\"/9j/4AAQ\"]}]}",
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What?\"},"
         "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw0KGgoAAA==\""
         "}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/jpeg;base64,/9j/4AAQ\"}}]}"
         "]}");
}

static void calls_of_tools_find_their_answers(void **state)
{
    asks("/api/chat",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"thinking\":"
         "\"hm\",\"tool_calls\":[{\"function\":{\"name\":\"a\",\"arguments\":{\"x\":1}}},"
         "{\"id\":\"mine\",\"function\":{\"name\":\"b\",\"arguments\":{}}}]},"
         "{\"role\":\"tool\",\"tool_name\":\"b\",\"content\":\"2\"},"
         "{\"role\":\"tool\",\"content\":\"1\"}]}",
         "{\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\","
         "\"tool_calls\":[{\"id\":\"call_0\",\"type\":\"function\",\"function\":{\"name\":\"a\","
         "\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"mine\",\"type\":\"function\",\"function\":{"
         "\"name\":\"b\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"content\":\"2\","
         "\"tool_call_id\":\"mine\",\"name\":\"b\"},{\"role\":\"tool\",\"content\":\"1\","
         "\"tool_call_id\":\"call_0\"}]}");
}

static void generate_has_four_ways(void **state)
{
    struct ollama_call call;
    asks("/api/generate", "{\"model\":\"m\",\"prompt\":\"Hi\",\"system\":\"S\",\"context\":[]}",
         "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":"
         "\"Hi\"}]}");
    asks("/api/generate",
         "{\"model\":\"m\",\"prompt\":\"Hi\",\"raw\":true,\"format\":\"json\",\"think\":true}",
         "{\"prompt\":\"Hi\",\"json_schema\":{}}");
    asks("/api/generate", "{\"model\":\"m\",\"prompt\":\"a\",\"suffix\":\"b\"}",
         "{\"input_prefix\":\"a\",\"input_suffix\":\"b\"}");
    assert_null(ask("/api/generate", "{\"model\":\"m:latest\",\"keep_alive\":0}", &call));
    assert_int_equal(why.status, 0);
    assert_true(call.empty && call.keep_alive == 0 && call.stream);
    assert_string_equal(call.model, "m:latest");
}

static void bad_requests_are_told_as_ollama_does(void **state)
{
    refuses("/api/chat", "{}", "model is required");
    refuses("/api/chat", "{\"model\":5}", "'model' must be a string");
    refuses("/api/chat", "{\"model\":\"../x\"}", "not a model's name");
    refuses("/api/chat", "{" HI ",\"stream\":\"no\"}", "'stream' must be true or false");
    refuses("/api/chat", "{" HI ",\"options\":{\"temperature\":\"hot\"}}",
            "option \"temperature\" must be of type float32");
    refuses("/api/chat", "{" HI ",\"options\":{\"num_ctx\":1.5}}",
            "option \"num_ctx\" must be of type integer");
    refuses("/api/chat", "{" HI ",\"options\":{\"num_ctx\":1e12}}", "at most");
    refuses("/api/chat", "{" HI ",\"options\":{\"use_mmap\":1}}", "boolean");
    refuses("/api/chat", "{" HI ",\"options\":{\"stop\":[1]}}", "array of strings");
    refuses("/api/chat", "{" HI ",\"options\":{\"num_predict\":1e12}}", "between");
    refuses("/api/chat", "{" HI ",\"options\":5}", "must be an object");
    refuses("/api/chat", "{" HI ",\"format\":\"xml\"}", "invalid format");
    refuses("/api/chat", "{" HI ",\"think\":\"much\"}", "invalid think value");
    refuses("/api/chat", "{" HI ",\"keep_alive\":\"5 min\"}", "keep_alive");
    refuses("/api/chat", "{" HI ",\"tools\":5}", "must be an array");
    refuses("/api/chat", "{\"model\":\"m\",\"messages\":5}", "must be an array");
    refuses("/api/chat", "{\"model\":\"m\",\"messages\":[5]}", "role");
    refuses("/api/chat", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":5}]}",
            "string");
    refuses("/api/chat",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"images\":[\"###\"]}]}", "base64");
    refuses("/api/chat",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[5]}]}",
            "tool call");
    refuses("/api/generate", "{\"model\":\"m\",\"prompt\":\"a\",\"template\":\"x\"}", "template");
    refuses("/api/generate", "{\"model\":\"m\",\"prompt\":\"a\",\"context\":[1]}", "context");
    refuses("/api/generate", "{\"model\":\"m\",\"prompt\":5}", "'prompt'");
    refuses("/api/embed", "{\"model\":\"m\",\"input\":[1]}", "'input'");
    refuses("/api/embed", "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":0}", "dimensions");
}

static void keep_alive_is_a_duration_or_seconds(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"\"5m\"", 300},
        {"\"1h30m\"", 5400},
        {"\"1.5h\"", 5400},
        {"\"500ms\"", 1},
        {"\"-1m\"", -1},
        {"-1", -1},
        {"0", 0},
        {"30", 30},
        {"\"0\"", 0},
        {"\"\"", POOL_KEEP_DEFAULT},
        {"null", POOL_KEEP_DEFAULT},
        {"1e300", -1},
    };
    static const char *const bad[] = {"\"m\"",     "\"300\"", "\"-1\"", "\"5x\"", "\"5m5\"",
                                      "\"1..5h\"", "\"-\"",   "true",   "[]",     "\" 5m\""};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *value = json_loads(cases[i].text, JSON_DECODE_ANY, NULL);
        why.status = 0;
        assert_int_equal(ollama_keep_alive(value, &why), cases[i].seconds);
        assert_int_equal(why.status, 0);
        json_decref(value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *value = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        why.status = 0;
        ollama_keep_alive(value, &why);
        assert_int_equal(why.status, 400);
        json_decref(value);
    }
}

/* ---- Ollama's answers ---- */

static int64_t still(void)
{
    return 1795560795000000042;
}

#define WHEN "\"created_at\":\"2026-11-24T22:53:15.000000042Z\""

static struct serve_filter *filter(const struct ollama_call *call)
{
    const struct chat_options about = {.stream = call->stream};
    return chat_filter_new(&ollama_writer_ops, ollama_writer_new(call, still), &about);
}

/* The engine's bytes become exactly this, wherever they are cut. */
static void becomes(struct ollama_call call, const char *engine, const char *expected)
{
    snprintf(call.model, sizeof(call.model), "m");
    for (size_t n = 1; n <= strlen(engine) + 1; n++) {
        struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
        assert_int_equal(convert(&chat_filter_ops, filter(&call), engine, n, &out), 0);
        assert_string_equal(buf_text(&out), expected);
    }
}

#define EVENT(delta)                                                                               \
    "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":" delta "}],\"model\":"     \
    "\"x\",\"object\":\"chat.completion.chunk\"}\n\n"
#define LAST(reason)                                                                               \
    "data: {\"choices\":[{\"finish_reason\":\"" reason "\",\"index\":0,\"delta\":{}}]}\n\n"        \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":17}," TIMINGS     \
    "}\n\ndata: [DONE]\n\n"
#define DURATIONS                                                                                  \
    "\"prompt_eval_count\":16,\"prompt_eval_duration\":6000000,\"eval_count\":17,"                 \
    "\"eval_duration\":34000000"

static const char chat_events[] =
    EVENT("{\"role\":\"assistant\",\"content\":null}") ": ping\n\n" EVENT(
        "{\"reasoning_content\":\"hm\"}") EVENT("{\"content\":\"Gr\xc3\xbc\\u00df\\n\"}")
        EVENT("{\"content\":\"e\"}") LAST("length");

static void a_stream_becomes_lines(void **state)
{
    becomes((struct ollama_call){.kind = OLLAMA_CHAT, .stream = true}, chat_events,
            "{\"model\":\"m\"," WHEN ",\"done\":false,\"message\":{\"role\":\"assistant\","
            "\"content\":\"\",\"thinking\":\"hm\"}}\n"
            "{\"model\":\"m\"," WHEN ",\"done\":false,\"message\":{\"role\":\"assistant\","
            "\"content\":\"Gr\xc3\xbc\xc3\x9f\\n\"}}\n"
            "{\"model\":\"m\"," WHEN ",\"done\":false,\"message\":{\"role\":\"assistant\","
            "\"content\":\"e\"}}\n"
            "{\"model\":\"m\"," WHEN ",\"done\":true,\"done_reason\":\"length\",\"message\":{"
            "\"role\":\"assistant\",\"content\":\"\"}," DURATIONS "}\n");
}

static void a_stream_becomes_one_object(void **state)
{
    becomes((struct ollama_call){.kind = OLLAMA_CHAT}, chat_events,
            "{\"model\":\"m\"," WHEN ",\"done\":true,\"done_reason\":\"length\",\"message\":{"
            "\"role\":\"assistant\",\"content\":\"Gr\xc3\xbc\xc3\x9f\\ne\",\"thinking\":\"hm\"}"
            "," DURATIONS "}");
    becomes((struct ollama_call){.kind = OLLAMA_GENERATE}, chat_events,
            "{\"model\":\"m\"," WHEN ",\"done\":true,\"done_reason\":\"length\",\"response\":"
            "\"Gr\xc3\xbc\xc3\x9f\\ne\",\"thinking\":\"hm\"," DURATIONS "}");
}

static void arguments_of_a_call_become_an_object(void **state)
{
    becomes(
        (struct ollama_call){.kind = OLLAMA_CHAT, .stream = true},
        EVENT("{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{"
              "\"name\":\"f\",\"arguments\":\"\"}}]}")
            EVENT("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]}")
                EVENT("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]}") EVENT(
                    "{\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"g\","
                    "\"arguments\":\"\"}}]}") LAST("tool_calls"),
        "{\"model\":\"m\"," WHEN ",\"done\":false,\"message\":{\"role\":\"assistant\","
        "\"content\":\"\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":"
        "\"f\",\"arguments\":{\"a\":1}}}]}}\n"
        "{\"model\":\"m\"," WHEN ",\"done\":false,\"message\":{\"role\":\"assistant\","
        "\"content\":\"\",\"tool_calls\":[{\"id\":\"c2\",\"function\":{\"index\":1,\"name\":"
        "\"g\",\"arguments\":{}}}]}}\n"
        "{\"model\":\"m\"," WHEN ",\"done\":true,\"done_reason\":\"stop\",\"message\":{\"role\":"
        "\"assistant\",\"content\":\"\"}," DURATIONS "}\n");
}

static void arguments_that_were_cut_off_are_not_lost(void **state)
{
    becomes((struct ollama_call){.kind = OLLAMA_CHAT},
            EVENT("{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\","
                  "\"arguments\":\"{\\\"a\"}}]}") LAST("length"),
            "{\"model\":\"m\"," WHEN ",\"done\":true,\"done_reason\":\"length\",\"message\":{"
            "\"role\":\"assistant\",\"content\":\"{\\\"a\"}," DURATIONS "}");
}

static void a_nul_in_the_answer_is_no_end_of_it(void **state)
{
    becomes((struct ollama_call){.kind = OLLAMA_GENERATE},
            EVENT("{\"content\":\"a\\u0000b\"}") LAST("stop"),
            "{\"model\":\"m\"," WHEN ",\"done\":true,\"done_reason\":\"stop\",\"response\":"
            "\"a\\u0000b\"," DURATIONS "}");
}

static void other_shapes_of_the_engine_are_read(void **state)
{
    becomes((struct ollama_call){.kind = OLLAMA_RAW, .stream = true},
            "data: {\"choices\":[{\"text\":\" a\",\"index\":0,\"finish_reason\":null}]}\n\n"
            "data: {\"choices\":[{\"text\":\"\",\"index\":0,\"finish_reason\":\"stop\"}]," TIMINGS
            "}\n\ndata: [DONE]\n\n",
            "{\"model\":\"m\"," WHEN ",\"done\":false,\"response\":\" a\"}\n"
            "{\"model\":\"m\"," WHEN
            ",\"done\":true,\"done_reason\":\"stop\",\"response\":\"\"," DURATIONS "}\n");
    becomes((struct ollama_call){.kind = OLLAMA_INFILL},
            "data: {\"index\":0,\"content\":\"mid\",\"stop\":false}\n\n"
            "data: {\"index\":0,\"content\":\"\",\"stop\":true,\"stop_type\":\"limit\"," TIMINGS
            "}\n\n",
            "{\"model\":\"m\"," WHEN ",\"done\":true,\"done_reason\":\"length\",\"response\":"
            "\"mid\"," DURATIONS "}");
}

static void an_answer_without_an_end_is_none(void **state)
{
    static const char *const answers[] = {"", "data: {\"choices\":[{\"delta\":{}}]}\n\n",
                                          "data: 5\n", "data: {\n", "<html>"};
    const struct ollama_call call = {.kind = OLLAMA_CHAT, .model = "m"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct buf CLEAN_BUF out = BUF_INIT(4096);
        assert_true(convert(&chat_filter_ops, filter(&call), answers[i], 100, &out) < 0);
    }
}

/* ---- stored options ---- */

static void store(const struct serve *s, const char *name, const char *text)
{
    json_t *options = json_loads(text, 0, NULL);
    assert_int_equal(model_options_write(&s->models, name, options, NULL), 0);
    json_decref(options);
}

static void expect_stored(struct serve *s, const char *name, const char *model, int top_k)
{
    char *found = NULL;
    json_t *options = serve_options_now(s, name, &found);
    assert_string_equal(found, model);
    assert_int_equal(json_integer_value(json_object_get(options, "top_k")), top_k);
    json_decref(options);
    free(found);
}

/* The server keeps the table, and sees that it was replaced. */
static void stored_options_are_kept_until_they_change(void **state)
{
    char dir[] = "/tmp/gfxbridge-options-XXXXXX";
    struct serve s = {.models = {.data_dir = mkdtemp(dir)}};
    assert_non_null(s.models.data_dir);
    expect_stored(&s, "mario", "mario", 0);
    store(&s, "mario", "{\"model\":\"base\",\"top_k\":1}");
    expect_stored(&s, "mario", "base", 1);
    const json_t *kept = s.options;
    expect_stored(&s, "mario", "base", 1);
    assert_ptr_equal(s.options, kept);
    store(&s, "mario", "{\"model\":\"base\",\"top_k\":2}");
    expect_stored(&s, "mario", "base", 2);
    json_decref(s.options);
    assert_int_equal(fs_remove_tree(dir), 0);
}

/* Each request gets them, so they are small. */
static void a_stored_option_has_a_limit(void **state)
{
    struct dialect_error error = {.status = 0};
    char text[70000] = "";
    memset(text, 'x', 60000);
    json_t *value = json_string(text);
    serve_option_check("system", value, &error);
    assert_int_equal(error.status, 0);
    json_decref(value);
    memset(text, 'x', sizeof(text) - 1);
    value = json_pack("[{s:s, s:s}]", "role", "user", "content", text);
    serve_option_check("messages", value, &error);
    assert_int_equal(error.status, 400);
    assert_non_null(strstr(error.message, "64 KiB"));
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_json_exactly_when_jansson_says_so),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(bodies_that_an_engine_must_not_see_are_refused),
        cmocka_unit_test(bodies_of_real_clients_are_taken),
        cmocka_unit_test(a_grammar_cannot_overflow_the_engines_stack),
        cmocka_unit_test(guards_read_what_the_engine_reads),
        cmocka_unit_test(an_escaped_grammar_cannot_overflow_the_engines_stack),
        cmocka_unit_test(the_length_of_a_grammar_is_counted_without_escapes),
        cmocka_unit_test(names_of_models_hold_no_path),
        cmocka_unit_test(errors_have_the_shape_of_their_path),
        cmocka_unit_test(what_is_no_utf8_costs_a_character_not_the_answer),
        cmocka_unit_test(an_unknown_path_is_told_as_its_api_does),
        cmocka_unit_test(an_engines_refusal_keeps_its_words_and_gets_the_right_status),
        cmocka_unit_test(token_counts_are_read_in_passing),
        cmocka_unit_test(only_the_end_of_a_long_answer_is_kept),
        cmocka_unit_test(a_chat_becomes_a_chat),
        cmocka_unit_test(images_become_parts),
        cmocka_unit_test(calls_of_tools_find_their_answers),
        cmocka_unit_test(generate_has_four_ways),
        cmocka_unit_test(bad_requests_are_told_as_ollama_does),
        cmocka_unit_test(keep_alive_is_a_duration_or_seconds),
        cmocka_unit_test(a_stream_becomes_lines),
        cmocka_unit_test(a_stream_becomes_one_object),
        cmocka_unit_test(arguments_of_a_call_become_an_object),
        cmocka_unit_test(arguments_that_were_cut_off_are_not_lost),
        cmocka_unit_test(a_nul_in_the_answer_is_no_end_of_it),
        cmocka_unit_test(other_shapes_of_the_engine_are_read),
        cmocka_unit_test(an_answer_without_an_end_is_none),
        cmocka_unit_test(stored_options_are_kept_until_they_change),
        cmocka_unit_test(a_stored_option_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
