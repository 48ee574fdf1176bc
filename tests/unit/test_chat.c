/*
 * test_chat.c - the model of messages that all dialects share: requests that are put together,
 * other forms of them for templates that refuse the usual one, and the engine's events as blocks,
 * wherever its bytes are cut and whatever nonsense they hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/chat/chat.h"

#include <errno.h>
#include <stdio.h>

/* ---- other forms of a request ---- */

static void folds_to(const char *messages, unsigned attempt, const char *expected)
{
    struct buf CLEAN_BUF body = BUF_INIT(1 << 16);
    buf_addf(&body, "{\"messages\":%s}", messages);
    bool folded = chat_fold(&body, attempt);
    assert_int_equal(folded, expected != NULL);
    if (!expected)
        return;
    json_t *ours = json_loads(buf_text(&body), 0, NULL);
    json_t *theirs = json_loads(expected, 0, NULL);
    assert_non_null(theirs);
    if (!json_equal(json_object_get(ours, "messages"), theirs))
        fail_msg("%s", buf_text(&body));
    json_decref(ours);
    json_decref(theirs);
}

#define SAYS(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"

static void system_messages_become_what_strict_templates_take(void **state)
{
    folds_to("[" SAYS("system", "a") "," SAYS("developer", "b") "," SAYS("user", "c") "]", 0,
             "[" SAYS("system", "a\\n\\nb") "," SAYS("user", "c") "]");
    folds_to("[" SAYS("user", "a") "," SAYS("system", "b") "]", 0,
             "[" SAYS("user", "a\\n\\nb") "]");
    folds_to("[" SAYS("system", "s") "," SAYS("user", "a") "," SAYS("assistant", "b") "," SAYS(
                 "system", "c") "," SAYS("user", "d") "]",
             0,
             "[" SAYS("system", "s") "," SAYS("user", "a") "," SAYS("assistant", "b") "," SAYS(
                 "user", "c\\n\\nd") "]");
    folds_to("[" SAYS("user", "a") "," SAYS("assistant", "b") "," SAYS("system", "c") "]", 0,
             "[" SAYS("user", "a") "," SAYS("assistant", "b") "," SAYS("user", "c") "]");
    folds_to("[" SAYS("system", "a") "," SAYS("user", "b") "]", 0,
             "[" SAYS("user", "a\\n\\nb") "]");
    folds_to("[" SAYS("system", "a") "," SAYS("user", "b") "]", 1,
             "[" SAYS("user", "a\\n\\nb") "]");
    folds_to("[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}," SAYS("system", "b") "]",
             0,
             "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"},"
             "{\"type\":\"text\",\"text\":\"b\"}]}]");
}

static void a_request_without_another_form_stays(void **state)
{
    folds_to("[" SAYS("user", "a") "," SAYS("assistant", "b") "]", 0, NULL);
    folds_to("[" SAYS("system", "a") "," SAYS("user", "b") "]", 2, NULL);
    folds_to("[]", 0, NULL);
    folds_to("5", 0, NULL);
    folds_to("[5,null,\"x\",{\"role\":5},{\"role\":\"user\"}]", 0, NULL);
}

#define CALLS(arguments)                                                                           \
    "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\","         \
    "\"arguments\":" arguments "}}]}]"

static void arguments_of_a_call_are_an_object(void **state)
{
    folds_to(CALLS("\"{\\\"a\\\": \\\"b\""), 0,
             CALLS("\"{\\\"arguments\\\":\\\"{\\\\\\\"a\\\\\\\": \\\\\\\"b\\\"}\""));
    folds_to(CALLS("\"\""), 0, CALLS("\"{}\""));
    folds_to(CALLS("\"[1]\""), 0, CALLS("\"{\\\"arguments\\\":\\\"[1]\\\"}\""));
    folds_to(CALLS("{\"a\":1}"), 0, CALLS("\"{\\\"a\\\":1}\""));
    folds_to(CALLS("\"{ }\""), 0, NULL);
}

/* ---- requests ---- */

static void a_request_is_put_together(void **state)
{
    struct dialect_error error = {.status = 0};
    struct chat_request r;
    json_t *url = json_string("data:image/png;base64,AA=="), *cut = json_string("{\"x");
    chat_request_init(&r, &error);
    chat_add_text(chat_add_message(&r, "system"), "one");
    chat_add_text(chat_add_message(&r, "system"), "two");
    chat_add_text(chat_add_message(&r, "user"), "look");
    json_t *turn = chat_add_message(&r, "assistant");
    chat_add_thinking(turn, "hm");
    chat_add_call(turn, "c1", "see", cut);
    assert_ptr_equal(chat_add_message(&r, "assistant"), turn);
    json_t *result = chat_add_result(&r, "c1", NULL);
    chat_add_text(result, "here");
    chat_add_image(&r, result, url, "input");
    chat_request_end(&r);
    assert_int_equal(error.status, 0);
    json_t *expected = json_loads(
        "{\"messages\":[" SAYS("system", "one\\n\\ntwo") "," SAYS(
            "user",
            "look") ","
                    "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\",\"tool_"
                    "calls\":[{"
                    "\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"see\","
                    "\"arguments\":\"{\\\"arguments\\\":\\\"{\\\\\\\"x\\\"}\"}}]},"
                    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"here\"},"
                    "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{"
                    "\"url\":\"data:image/png;base64,AA==\"}}]}],"
                    "\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
        0, NULL);
    assert_non_null(expected);
    if (!json_equal(r.body, expected))
        fail_msg("%s", json_dumps(r.body, 0));
    json_decref(expected);
    json_decref(url);
    json_decref(cut);
    chat_request_done(&r);
}

static void files_of_text_are_given_as_text(void **state)
{
    static const struct {
        const char *data, *text;
    } files[] = {
        {"data:text/plain;base64,aGkK", "File f:\nhi\n"},
        {"data:text/plain;base64,aGk=", "File f:\nhi"},
        {"data:text/markdown,a%20b", "File f:\na b"},
        {"data:application/json;base64,e30=", "File f:\n{}"},
        {"plain", "File f:\nplain"},
        {"data:application/pdf;base64,aGkK", NULL},
        {"data:text/plain;base64,***", NULL},
        {"data:text/plain;base64,/w==", NULL},
        {"data:text/plain;base64,AGE=", NULL},
        {"data:", NULL},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        json_t *message = json_pack("{s:s}", "content", "");
        assert_int_equal(chat_add_file(message, "f", files[i].data), files[i].text != NULL);
        assert_string_equal(chat_text(message, "content"), files[i].text ? files[i].text : "");
        json_decref(message);
    }
}

static void members_are_done_or_refused(void **state)
{
    static const struct chat_field fields[] = {
        {"top_p", CHAT_FIELD_COPIED, "n", NULL},
        {"max_output_tokens", CHAT_FIELD_COPIED, "n", "max_tokens"},
        {"stop", CHAT_FIELD_READ, "sa", NULL},
        {"store", CHAT_FIELD_IGNORED, "b", NULL},
        {"background", CHAT_FIELD_REFUSED, NULL, "is not supported"},
        {0},
    };
    static const struct {
        const char *root, *param;
    } cases[] = {
        {"{\"top_p\":0.5,\"max_output_tokens\":5,\"stop\":[],\"store\":true,\"other\":1}", NULL},
        {"{\"top_p\":null,\"background\":false,\"stop\":\"x\"}", NULL},
        {"{\"background\":null}", NULL},
        {"{\"background\":[]}", NULL},
        {"{\"background\":true}", "background"},
        {"{\"background\":{}}", "background"},
        {"{\"top_p\":\"x\"}", "top_p"},
        {"{\"store\":\"x\"}", "store"},
        {"{\"stop\":5}", "stop"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dialect_error error = {.status = 0};
        struct chat_request r;
        json_t *root = json_loads(cases[i].root, 0, NULL);
        chat_request_init(&r, &error);
        chat_read_fields(&r, fields, root);
        assert_int_equal(error.status, cases[i].param ? 400 : 0);
        assert_string_equal(error.param ? error.param : "", cases[i].param ? cases[i].param : "");
        if (i == 0)
            assert_int_equal(json_integer_value(json_object_get(r.body, "max_tokens")), 5);
        chat_request_done(&r);
        json_decref(root);
    }
}

/* ---- answers: what a writer is told, as a line of text ---- */

struct chat_writer {
    int free_calls;
};

static const char *log_type(struct chat_writer *w)
{
    return "text/plain";
}

static int log_begin(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    buf_add_text(out, "begin ");
    return 0;
}

static int log_open(struct chat_writer *w, const struct chat_answer *a, const struct chat_block *b,
                    struct buf *out)
{
    static const char *const kinds[] = {"thinking", "text", "call"};
    buf_addf(out, "%s%s%s%s%s(", kinds[b->kind], b->name[0] ? " " : "", b->name,
             b->name[0] ? " " : "", b->id);
    return 0;
}

static int log_piece(struct chat_writer *w, const struct chat_answer *a, const struct chat_block *b,
                     struct str text, json_t *logprobs, struct buf *out)
{
    buf_add_str(out, text);
    if (logprobs)
        buf_addf(out, "[%zu]", json_array_size(logprobs));
    return 0;
}

static int log_close(struct chat_writer *w, const struct chat_answer *a, const struct chat_block *b,
                     struct buf *out)
{
    buf_add_text(out, ") ");
    return 0;
}

static int log_end(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    buf_addf(out, "end %s %s %u/%u/%u", a->finish, a->stop_sequence ? a->stop_sequence : "-",
             (unsigned)a->prompt_tokens, (unsigned)a->cached_tokens, (unsigned)a->tokens);
    for (size_t i = 0; i < a->n; i++) {
        buf_add_text(out, " ");
        buf_add_str(out, buf_view(&a->block[i].text));
    }
    return 0;
}

static void log_free(struct chat_writer *w)
{
    w->free_calls++;
}

static const struct chat_writer_ops log_ops = {
    .type = log_type,
    .begin = log_begin,
    .open = log_open,
    .piece = log_piece,
    .close = log_close,
    .end = log_end,
    .free = log_free,
};

/* In pieces of n bytes, after an attempt that was cut off in the middle. */
static int answer_in_pieces(struct chat_options about, const char *engine, size_t n,
                            struct buf *out)
{
    struct chat_writer writer = {0};
    struct gfxb_error err = {.code = 0};
    struct serve_filter *f = chat_filter_new(&log_ops, &writer, &about);
    const struct serve_filter_ops *ops = &chat_filter_ops;
    struct str rest = str_from(engine);
    int code = 0;
    ops->head(f, engine_kind_of_model(NULL));
    ops->feed(f, (struct str){rest.p, rest.n / 2}, out, &err);
    ops->reset(f);
    buf_clear(out);
    ops->head(f, engine_kind_of_model(NULL));
    while (rest.n && code == 0) {
        size_t piece = rest.n < n ? rest.n : n;
        code = ops->feed(f, (struct str){rest.p, piece}, out, &err);
        rest = str_skip(rest, piece);
    }
    if (code == 0)
        code = ops->end(f, out, &err);
    ops->free(f);
    assert_int_equal(writer.free_calls, 1);
    return code;
}

static void tells(struct chat_options about, const char *engine, const char *expected)
{
    for (size_t n = 1; n <= strlen(engine) + 1; n++) {
        struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
        assert_int_equal(answer_in_pieces(about, engine, n, &out), 0);
        assert_string_equal(buf_text(&out), expected);
    }
}

#define EVENT(delta) "data: {\"choices\":[{\"index\":0,\"delta\":" delta "}]}\n\n"
#define LAST(reason)                                                                               \
    "data: {\"choices\":[{\"finish_reason\":\"" reason "\",\"index\":0,\"delta\":{}}]}\n\n"        \
    "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2,\"prompt_tokens\":9,"                \
    "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n"
#define CALL(index, id, name, arguments)                                                           \
    EVENT("{\"tool_calls\":[{\"index\":" index ",\"id\":\"" id "\",\"function\":{\"name\":\"" name \
          "\",\"arguments\":\"" arguments "\"}}]}")
#define MORE(index, arguments)                                                                     \
    EVENT("{\"tool_calls\":[{\"index\":" index ",\"function\":{\"arguments\":\"" arguments "\"}}]" \
          "}")

static const char mixed[] = EVENT("{\"role\":\"assistant\",\"content\":null}")
    EVENT("{\"reasoning_content\":\"hm\"}") EVENT("{\"reasoning_content\":\"!\"}")
        EVENT("{\"content\":\"Gr\xc3\xbc\\u00df\"}") EVENT("{\"content\":\"e\"}")
            CALL("0", "c1", "f", "{") MORE("0", "}") CALL("1", "c2", "g", "") LAST("tool_calls");

static void blocks_come_one_after_the_other(void **state)
{
    struct chat_options stream = {.stream = true};
    tells(stream, mixed,
          "begin thinking(hm!) text(Gr\xc3\xbc\xc3\x9f"
          "e) call f c1({}) call g c2() end tool_calls - 9/4/2 hm! Gr\xc3\xbc\xc3\x9f"
          "e {} ");
    stream.hide_thinking = stream.one_call = true;
    tells(stream, mixed,
          "begin text(Gr\xc3\xbc\xc3\x9f"
          "e) call f c1({}) end tool_calls - 9/4/2 Gr\xc3\xbc\xc3\x9f"
          "e {}");
    tells((struct chat_options){0}, mixed,
          "end tool_calls - 9/4/2 hm! Gr\xc3\xbc\xc3\x9f"
          "e {} ");
}

#define TOKEN "\"logprobs\":{\"content\":[{\"token\":\"x\",\"logprob\":-1}]}"

static void probabilities_belong_to_the_text_behind_them(void **state)
{
    tells((struct chat_options){.stream = true},
          "data: {\"choices\":[{\"delta\":{}," TOKEN "}]}\n\n"
          "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}," TOKEN "}]}\n\n"
          "data: {\"choices\":[{\"delta\":{}," TOKEN "}]}\n\n" LAST("stop"),
          "begin text(a[2][1]) end stop - 9/4/2 a");
}

static void the_sequence_that_stopped_it_is_told(void **state)
{
    tells((struct chat_options){.stream = true},
          "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],"
          "\"__verbose\":{\"stopping_word\":\"END\"}}\n\ndata: [DONE]\n\n",
          "begin text() end stop END 0/0/0 ");
}

static void an_answer_that_makes_no_sense_is_told_from_an_error(void **state)
{
    static const struct {
        const char *engine;
        int code;
    } cases[] = {
        {"data: nonsense\n\n", -EPROTO},
        {"data: 5\n\n", -EPROTO},
        {EVENT("{\"content\":\"a\"}"), -EPROTO}, /* no end */
        {MORE("0", "{}"), -EPROTO},              /* arguments of no call */
        {CALL("0", "a", "f", "") CALL("1", "b", "g", "") MORE("0", "{}"), -EPROTO},
        {EVENT("{\"tool_calls\":5}"), -EPROTO},
        {EVENT("{\"tool_calls\":[5]}"), -EPROTO},
        {"data: {\"error\":{\"message\":\"context\"}}\n\n", -EREMOTEIO},
        {"error: {\"code\":500,\"message\":\"context\"}\n\n", -EREMOTEIO},
        {"data: {}\n\ndata: [DONE]\n\n", 0},
        {EVENT("5") LAST("stop"), 0},
        {"data: {\"choices\":5}\n\ndata: [DONE]\n\n", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
        int code =
            answer_in_pieces((struct chat_options){.stream = true}, cases[i].engine, 7, &out);
        if (code != cases[i].code)
            fail_msg("%s: %d", cases[i].engine, code);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_messages_become_what_strict_templates_take),
        cmocka_unit_test(a_request_without_another_form_stays),
        cmocka_unit_test(arguments_of_a_call_are_an_object),
        cmocka_unit_test(a_request_is_put_together),
        cmocka_unit_test(files_of_text_are_given_as_text),
        cmocka_unit_test(members_are_done_or_refused),
        cmocka_unit_test(blocks_come_one_after_the_other),
        cmocka_unit_test(probabilities_belong_to_the_text_behind_them),
        cmocka_unit_test(the_sequence_that_stopped_it_is_told),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_told_from_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
