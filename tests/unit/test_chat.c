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

#include "api/openai/openai.h"
#include "filter_pieces.h"

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
    folds_to("[" SAYS("user", "a") ",{\"role\":\"system\"},{\"role\":\"user\"}]", 0,
             "[" SAYS("user", "a") "]");
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
    folds_to(CALLS("[1]"), 0, CALLS("\"{\\\"arguments\\\":[1]}\""));
    folds_to(CALLS("5"), 0, CALLS("\"{\\\"arguments\\\":5}\""));
    folds_to(CALLS("null"), 0, CALLS("\"{}\""));
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
    chat_request_end(&r, true);
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

static void texts_around_an_image_stay_in_order(void **state)
{
    struct dialect_error error = {.status = 0};
    struct chat_request r;
    json_t *url = json_string("data:,");
    chat_request_init(&r, &error);
    json_t *message = chat_add_message(&r, "user");
    chat_add_text(message, "a");
    chat_add_text(message, "");
    chat_add_text(message, "b");
    chat_add_image(&r, message, url, "input");
    chat_add_text(message, "c");
    chat_request_end(&r, false);
    json_t *expected = json_loads(
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\nb\"},{\"type\":"
        "\"image_url\",\"image_url\":{\"url\":\"data:,\"}},{\"type\":\"text\",\"text\":\"c\"}]}]",
        0, NULL);
    assert_true(json_equal(r.messages, expected));
    json_decref(expected);
    json_decref(url);
    chat_request_done(&r);
}

/* Work that grows with the square of these numbers takes longer than a test may. */
static void many_texts_are_joined(void **state)
{
    enum { MANY = 1 << 18 };
    struct dialect_error error = {.status = 0};
    struct chat_request r;
    json_t *allowed = json_array();
    chat_request_init(&r, &error);
    json_t *message = chat_add_message(&r, "user");
    for (size_t i = 0; i < MANY; i++)
        chat_add_text(message, "abcdefg");
    for (size_t i = 0; i < MANY / 4; i++) {
        char name[32];
        snprintf(name, sizeof(name), "f%zu", i);
        chat_add_text(chat_add_message(&r, "system"), "s");
        chat_add_tool(&r, name, NULL, NULL);
        if (i % 2)
            json_array_append_new(allowed, json_string(name));
    }
    chat_set_choice(&r, "auto", allowed, "tool_choice");
    chat_request_end(&r, false);
    assert_int_equal(error.status, 0);
    assert_int_equal(json_string_length(json_object_get(message, "content")), MANY * 8 - 1);
    assert_int_equal(json_array_size(json_object_get(r.body, "tools")), MANY / 8);
    char *text = json_dumps(r.body, 0);
    struct buf CLEAN_BUF body = BUF_INIT(SIZE_MAX / 2);
    buf_add_text(&body, text);
    assert_true(chat_fold(&body, 0));
    free(text);
    json_decref(allowed);
    chat_request_done(&r);
}

static void too_many_messages_are_refused(void **state)
{
    static const char *const parts[] = {"{\"role\":\"user\"}", "{\"content\":[{},{}]}"};
    for (size_t i = 0; i < 2; i++) {
        struct dialect_error error = {.status = 0};
        json_t *root = json_pack("{s:[]}", "messages");
        json_t *messages = json_object_get(root, "messages");
        for (size_t k = 0; k < CHAT_OBJECTS_MAX / (i ? 3 : 1); k++)
            json_array_append_new(messages, json_loads(parts[i], 0, NULL));
        chat_check_size(root, &error);
        assert_int_equal(error.status, 0);
        for (size_t k = 0; k < 3; k++)
            json_array_append_new(messages, json_object());
        chat_check_size(root, &error);
        assert_int_equal(error.status, 400);
        assert_string_equal(error.param, "messages");
        json_decref(root);
    }
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
        {"", NULL},
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
    struct serve_filter *f = chat_filter_new(&log_ops, &writer, &about);
    int code = convert(&chat_filter_ops, f, engine, n, out);
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

static void probabilities_of_hidden_thoughts_are_hidden(void **state)
{
    tells((struct chat_options){.stream = true, .hide_thinking = true},
          "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}," TOKEN "}]}\n\n"
          "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}," TOKEN "}]}\n\n" LAST("stop"),
          "begin text(a[1]) end stop - 9/4/2 a");
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

/* A limit of ours does not make the engine a liar. */
static void an_answer_that_is_too_long_is_told_from_nonsense(void **state)
{
    struct buf CLEAN_BUF engine = BUF_INIT(SIZE_MAX / 2), CLEAN_BUF out = BUF_INIT(1 << 20);
    for (size_t i = 0; i < 4097; i++)
        buf_addf(&engine,
                 "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":%zu,"
                 "\"function\":{\"name\":\"f\"}}]}}]}\n\n",
                 i);
    buf_add_text(&engine, LAST("stop"));
    assert_int_equal(answer_in_pieces((struct chat_options){0}, buf_text(&engine), 65536, &out),
                     -EMSGSIZE);
    buf_clear(&engine);
    buf_add_text(&engine, EVENT("{\"content\":\"a\"}") "data: {\"prompt\":\"");
    for (size_t i = 0; i < 8u << 20; i++)
        buf_add_char(&engine, 'p');
    buf_add_text(&engine, "\"}\n\n" LAST("stop"));
    assert_int_equal(answer_in_pieces((struct chat_options){0}, buf_text(&engine), 65536, &out), 0);
}

/* ---- OpenAI's two dialects ---- */

struct reading {
    struct dialect_body body;
    struct chat_call call;
    json_t *root;
};

static void reading_start(struct reading *ret, chat_read *read, const char *text)
{
    memset(ret, 0, sizeof(*ret));
    dialect_body_read(str_from(text), &ret->body);
    ret->root = chat_load(&ret->body);
    chat_request_init(&ret->call.request, &ret->body.error);
    ret->call.stream = json_is_true(json_object_get(ret->root, "stream"));
    if (ret->root)
        read(&ret->body, ret->root, &ret->call);
}

static void reading_done(struct reading *reading)
{
    if (reading->call.writer)
        reading->call.ops->free(reading->call.writer);
    chat_request_done(&reading->call.request);
    json_decref(reading->root);
}

/* expected: the engine's messages. */
static void responses_input_is(const char *input, const char *expected)
{
    struct reading reading;
    char *text = xasprintf("{\"input\":%s}", input);
    reading_start(&reading, responses_read, text);
    chat_request_end(&reading.call.request, false);
    assert_string_equal(reading.body.error.message, "");
    assert_int_equal(reading.body.error.status, 0);
    json_t *theirs = json_loads(expected, 0, NULL);
    assert_non_null(theirs);
    if (!json_equal(reading.call.request.messages, theirs))
        fail_msg("%s", json_dumps(reading.call.request.messages, 0));
    json_decref(theirs);
    reading_done(&reading);
    free(text);
}

static void items_of_a_response_become_messages(void **state)
{
    responses_input_is("\"hi\"", "[" SAYS("user", "hi") "]");
    responses_input_is("[" SAYS("developer", "a") "," SAYS("user", "b") "]",
                       "[" SAYS("system", "a") "," SAYS("user", "b") "]");
    responses_input_is("[{\"type\":\"message\",\"role\":\"user\",\"content\":["
                       "{\"type\":\"input_text\",\"text\":\"a\"},"
                       "{\"type\":\"input_text\",\"text\":\"b\"}]}]",
                       "[" SAYS("user", "a\\nb") "]");
    responses_input_is("[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\","
                       "\"detail\":\"auto\",\"image_url\":\"data:image/png;base64,AA==\"}]}]",
                       "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{"
                       "\"url\":\"data:image/png;base64,AA==\"}}]}]");
    responses_input_is("[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\","
                       "\"filename\":\"f\",\"file_data\":\"data:text/plain;base64,aGk=\"}]}]",
                       "[" SAYS("user", "File f:\\nhi") "]");
    responses_input_is(
        "[{\"type\":\"reasoning\",\"id\":\"r\",\"summary\":[],"
        "\"encrypted_content\":\"gfxbridge:hm\"},"
        "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":[{"
        "\"type\":\"input_text\",\"text\":\"x\"}]}]",
        "[{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\",\"tool_calls\":[{"
        "\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"x\"}]");
}

#define ASKS(more)    "{\"input\":\"hi\"," more "}"
#define CONTENT(part) "{\"input\":[{\"role\":\"user\",\"content\":[" part "]}]}"
#define CHATS(more)   "{\"messages\":[" SAYS("user", "hi") "]," more "}"
#define CHAT_OF(part) "{\"messages\":[{\"role\":\"user\",\"content\":[" part "]}]}"
#define ENDLESS       "{\"type\":\"string\",\"minLength\":5,\"maxLength\":1}"
#define TOOL_F        "\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]"
#define CHAT_TOOL_F   "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"

static void what_cannot_be_done_is_refused_by_its_name(void **state)
{
    static const struct {
        chat_read *read;
        const char *text, *param, *named;
    } cases[] = {
        {responses_read, "{}", "input", "input"},
        {responses_read, "{\"input\":[]}", "input", "input"},
        {responses_read, "{\"input\":[5]}", "input", "input[0]"},
        {responses_read, "{\"input\":[{\"id\":\"x\"}]}", "input", "item_reference"},
        {responses_read, "{\"input\":[{\"type\":\"computer_call\"}]}", "input", "computer_call"},
        {responses_read, "{\"input\":[{\"role\":\"x\",\"content\":\"\"}]}", "input", "'x'"},
        {responses_read, "{\"input\":[{\"role\":\"user\"}]}", "input", "content"},
        {responses_read, "{\"input\":[{\"type\":\"function_call\",\"name\":\"f\"}]}", "input",
         "call_id"},
        {responses_read, CONTENT("{\"type\":\"x\"}"), "input", "'x'"},
        {responses_read, CONTENT("{\"type\":\"input_image\",\"file_id\":\"f\"}"), "input",
         "file_id"},
        {responses_read, CONTENT("{\"type\":\"input_image\"}"), "input", "image"},
        {responses_read, CONTENT("{\"type\":\"input_file\"}"), "input", "input_file"},
        {responses_read, CONTENT("{\"type\":\"input_file\",\"file_id\":\"f\"}"), "input",
         "file_id"},
        {responses_read, ASKS("\"background\":true"), "background", "background"},
        {responses_read, ASKS("\"conversation\":{\"id\":\"c\"}"), "conversation", "conversation"},
        {responses_read, ASKS("\"previous_response_id\":\"r\""), "previous_response_id",
         "previous_response_id"},
        {responses_read, ASKS("\"prompt\":{\"id\":\"p\"}"), "prompt", "prompt"},
        {responses_read, ASKS("\"include\":[\"x\"]"), "include", "'x'"},
        {responses_read, ASKS("\"truncation\":\"x\""), "truncation", "'x'"},
        {responses_read, ASKS("\"tools\":[{\"type\":\"web_search\"}]"), "tools", "web_search"},
        {responses_read, ASKS("\"tools\":[{\"type\":\"function\"}]"), "tools", "name"},
        {responses_read, ASKS("\"tools\":[{\"type\":\"file_search\"}]"), "tools", "file_search"},
        {responses_read,
         ASKS("\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"mcp\"}]"), "tools",
         "mcp"},
        {responses_read, ASKS(TOOL_F ",\"tool_choice\":{\"type\":\"function\",\"name\":\"g\"}"),
         "tool_choice", "tool_choice"},
        {responses_read, ASKS("\"tool_choice\":\"required\""), "tool_choice", "tools"},
        {responses_read, ASKS("\"tool_choice\":{\"type\":\"mcp\"}"), "tool_choice", "mcp"},
        {responses_read, ASKS("\"text\":{\"format\":{\"type\":\"x\"}}"), "text.format", "'x'"},
        {responses_read, ASKS("\"text\":{\"format\":{\"type\":\"json_schema\"}}"), "text.format",
         "schema"},
        {responses_read, ASKS("\"reasoning\":{\"effort\":\"x\"}"), "reasoning.effort", "'x'"},
        {completion_read, CHATS("\"audio\":{}"), "audio", "audio"},
        {completion_read, CHATS("\"modalities\":[\"audio\"]"), "modalities", "modalities"},
        {completion_read, CHATS("\"web_search_options\":{}"), "web_search_options", "web"},
        {completion_read, CHATS("\"functions\":[{}]"), "functions", "tools"},
        {completion_read, CHATS("\"response_format\":{\"type\":\"x\"}"), "response_format", "'x'"},
        {completion_read, CHATS("\"tools\":[{\"type\":\"custom\"}]"), "tools", "custom"},
        {completion_read, CHATS("\"tool_choice\":{\"type\":\"custom\"}"), "tool_choice", "custom"},
        {completion_read,
         CHATS(CHAT_TOOL_F ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"
                           "\"g\"}}"),
         "tool_choice", "tool_choice"},
        {completion_read, CHATS("\"reasoning_effort\":\"x\""), "reasoning_effort", "'x'"},
        {completion_read, CHAT_OF("{\"type\":\"x\"}"), "messages", "'x'"},
        {completion_read, CHAT_OF("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}"), "messages",
         "file_id"},
        {completion_read, CHAT_OF("{\"type\":\"file\",\"file\":{}}"), "messages", "file"},
        {completion_read, "{\"messages\":5}", "messages", "messages"},
        {completion_read, "{\"messages\":[]}", "messages", "messages"},
        {completion_read, "{}", "messages", "messages"},
        {completion_read, "{\"messages\":[" SAYS("function", "a") "]}", "messages", "function"},
        {completion_read,
         CHATS("\"response_format\":{\"type\":\"json_object\",\"schema\":" ENDLESS "}"),
         "response_format", "maxLength"},
        {completion_read, CHATS("\"json_schema\":" ENDLESS), "json_schema", "maxLength"},
        {completion_read, CHATS("\"response_format\":{\"type\":\"json_schema\"}"),
         "response_format", "schema"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reading reading;
        reading_start(&reading, cases[i].read, cases[i].text);
        const struct dialect_error *error = &reading.body.error;
        if (error->status != 400 || strcmp(error->param ? error->param : "", cases[i].param) != 0 ||
            !strstr(error->message, cases[i].named))
            fail_msg("%s: %d, %s: %s", cases[i].text, error->status, error->param, error->message);
        reading_done(&reading);
    }
}

static void a_chat_goes_as_it_came_unless_something_must_be_said_otherwise(void **state)
{
    static const struct {
        const char *text;
        bool as_it_came, writer;
    } cases[] = {
        {CHATS("\"top_k\":5,\"n\":1,\"logprobs\":true,\"top_logprobs\":1," CHAT_TOOL_F), true,
         false},
        {CHAT_OF("{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\"}"), true, false},
        {CHAT_OF("{\"type\":\"refusal\",\"refusal\":\"a\"}"), false, false},
        {CHATS(CHAT_TOOL_F ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"
                           "\"f\"}}"),
         false, false},
        {CHATS("\"n\":2"), false, true},
        {CHATS("\"logprobs\":true"), false, true},
        {CHATS("\"parallel_tool_calls\":false"), false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reading reading;
        reading_start(&reading, completion_read, cases[i].text);
        assert_int_equal(reading.body.error.status, 0);
        if (reading.call.as_it_came != cases[i].as_it_came ||
            (reading.call.writer != NULL) != cases[i].writer)
            fail_msg("%s", cases[i].text);
        reading_done(&reading);
    }
}

/* The answer of a dialect to a request, from these events of the engine. */
static void answers(chat_read *read, const char *text, const char *engine, struct buf *out)
{
    struct reading reading;
    struct gfxb_error err = {.code = 0};
    const struct serve_filter_ops *ops = &chat_filter_ops;
    reading_start(&reading, read, text);
    assert_int_equal(reading.body.error.status, 0);
    struct serve_filter *f = chat_filter_new(reading.call.ops, reading.call.writer,
                                             &(struct chat_options){.stream = reading.call.stream});
    reading.call.writer = NULL;
    ops->head(f, engine_kind_of_model(NULL));
    assert_int_equal(ops->feed(f, str_from(engine), out, &err), 0);
    assert_int_equal(ops->end(f, out, &err), 0);
    ops->free(f);
    reading_done(&reading);
}

/* The types of the events, in order; equal ones behind each other are one. *ret_last: the last one.
 * Their numbers have no gaps. */
static void responses_events(const struct buf *out, struct buf *ret_types, json_t **ret_last)
{
    struct str rest = buf_view(out), line;
    json_int_t sequence = 0;
    char last[80] = "";
    while (str_cut(&rest, '\n', &line)) {
        if (!str_strip(&line, STR("data: ")))
            continue;
        json_decref(*ret_last);
        *ret_last = json_loadb(line.p, line.n, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(*ret_last, "sequence_number")),
                         sequence++);
        const char *type = chat_text(*ret_last, "type") + strlen("response.");
        if (strcmp(last, type) != 0)
            buf_addf(ret_types, "%s ", type);
        snprintf(last, sizeof(last), "%s", type);
    }
}

static void a_response_has_events_of_each_item(void **state)
{
    struct buf CLEAN_BUF out = BUF_INIT(1 << 20), CLEAN_BUF types = BUF_INIT(1 << 16);
    json_t *last = NULL;
    answers(responses_read, "{\"input\":\"hi\",\"stream\":true,\"metadata\":{\"a\":\"b\"}}", mixed,
            &out);
    responses_events(&out, &types, &last);
    assert_string_equal(
        buf_text(&types),
        "created in_progress "
        "output_item.added content_part.added reasoning_text.delta reasoning_text.done "
        "content_part.done output_item.done "
        "output_item.added content_part.added output_text.delta output_text.done "
        "content_part.done output_item.done "
        "output_item.added function_call_arguments.delta function_call_arguments.done "
        "output_item.done output_item.added function_call_arguments.done output_item.done "
        "completed ");
    json_t *response = json_object_get(last, "response");
    assert_string_equal(chat_text(response, "status"), "completed");
    assert_int_equal(json_array_size(json_object_get(response, "output")), 4);
    assert_string_equal(chat_text(json_object_get(response, "metadata"), "a"), "b");
    json_t *usage = json_object_get(response, "usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "input_tokens")), 9);
    assert_int_equal(json_integer_value(json_object_get(usage, "total_tokens")), 11);
    json_decref(last);
}

/* Codex has them. The engine's functions have no namespaces. */
static void functions_of_a_namespace_keep_it(void **state)
{
    static const char text[] =
        "{\"input\":[{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"namespace\":"
        "\"n\","
        "\"arguments\":\"{}\"}],\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{"
        "\"type\":\"function\",\"name\":\"f\"}]}]}";
    struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
    struct reading reading;
    reading_start(&reading, responses_read, text);
    json_t *tool = json_array_get(json_object_get(reading.call.request.body, "tools"), 0);
    assert_string_equal(chat_text(json_object_get(tool, "function"), "name"), "n__f");
    json_t *call = json_array_get(
        json_object_get(json_array_get(reading.call.request.messages, 0), "tool_calls"), 0);
    assert_string_equal(chat_text(json_object_get(call, "function"), "name"), "n__f");
    reading_done(&reading);
    answers(responses_read, text, CALL("0", "c1", "n__f", "{}") LAST("tool_calls"), &out);
    json_t *root = json_loads(buf_text(&out), 0, NULL);
    json_t *item = json_array_get(json_object_get(root, "output"), 0);
    assert_string_equal(chat_text(item, "name"), "f");
    assert_string_equal(chat_text(item, "namespace"), "n");
    json_decref(root);
}

static void a_namespace_is_given_back_only_with_its_own_functions(void **state)
{
#define SPACE(name, function)                                                                      \
    "{\"type\":\"namespace\",\"name\":\"" name                                                     \
    "\",\"tools\":[{\"type\":\"function\",\"name\":\"" function "\"}]}"
    static const char text[] = ASKS("\"tools\":[" SPACE("a", "f") "," SPACE(
        "a__b", "g") ",{\"type\":\"function\",\"name\":\"a__h\"}]");
    static const char *const given[][2] = {{"a", "f"}, {"a__b", "g"}, {"", "a__h"}};
    struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
    answers(responses_read, text,
            CALL("0", "x", "a__f", "{}") CALL("1", "y", "a__b__g", "{}")
                CALL("2", "z", "a__h", "{}") LAST("tool_calls"),
            &out);
    json_t *root = json_loads(buf_text(&out), 0, NULL);
    for (size_t i = 0; i < 3; i++) {
        json_t *item = json_array_get(json_object_get(root, "output"), i);
        assert_string_equal(chat_text(item, "namespace"), given[i][0]);
        assert_string_equal(chat_text(item, "name"), given[i][1]);
    }
    json_decref(root);
}

static void names_of_tools_that_would_be_cut_are_refused(void **state)
{
    static const struct {
        chat_read *read;
        const char *format;
    } cases[] = {{responses_read, ASKS("\"tools\":[{\"type\":\"function\",\"name\":\"%0*d\"}]")},
                 {completion_read, CHATS("\"tools\":[{\"type\":\"function\",\"function\":{"
                                         "\"name\":\"%0*d\"}}]")}};
    for (size_t i = 0; i < 4; i++) {
        struct reading reading;
        char text[1024];
        snprintf(text, sizeof(text), cases[i / 2].format, i % 2 ? 256 : 255, 0);
        reading_start(&reading, cases[i / 2].read, text);
        assert_int_equal(reading.body.error.status, i % 2 ? 400 : 0);
        reading_done(&reading);
    }
}

static void a_response_that_was_cut_off_is_incomplete(void **state)
{
    static const char engine[] = EVENT("{\"content\":\"a\"}") LAST("length");
    struct buf CLEAN_BUF out = BUF_INIT(1 << 20), CLEAN_BUF whole = BUF_INIT(1 << 20);
    struct buf CLEAN_BUF types = BUF_INIT(1 << 16);
    json_t *last = NULL;
    answers(responses_read, "{\"input\":\"hi\",\"stream\":true}", engine, &out);
    responses_events(&out, &types, &last);
    assert_string_equal(chat_text(last, "type"), "response.incomplete");
    json_decref(last);
    answers(responses_read, "{\"input\":\"hi\"}", engine, &whole);
    last = json_loads(buf_text(&whole), 0, NULL);
    assert_string_equal(chat_text(last, "status"), "incomplete");
    assert_string_equal(chat_text(json_object_get(last, "incomplete_details"), "reason"),
                        "max_output_tokens");
    json_t *item = json_array_get(json_object_get(last, "output"), 0);
    assert_string_equal(chat_text(item, "status"), "incomplete");
    json_decref(last);
}

static void a_response_that_is_lost_has_failed(void **state)
{
    struct buf CLEAN_BUF out = BUF_INIT(1 << 20), CLEAN_BUF types = BUF_INIT(1 << 16);
    struct gfxb_error err;
    struct reading reading;
    json_t *last = NULL;
    reading_start(&reading, responses_read, "{\"input\":\"hi\",\"stream\":true}");
    struct serve_filter *f = chat_filter_new(reading.call.ops, reading.call.writer,
                                             &(struct chat_options){.stream = true});
    reading.call.writer = NULL;
    chat_filter_ops.head(f, engine_kind_of_model(NULL));
    chat_filter_ops.feed(f, STR(EVENT("{\"content\":\"a\"}")), &out, &err);
    error_set(&err, GFXB_E_ENGINE_CRASH, "the engine was lost");
    (chat_filter_ops.fail)(f, DIALECT_OPENAI, &err, &out);
    chat_filter_ops.free(f);
    responses_events(&out, &types, &last);
    json_t *response = json_object_get(last, "response");
    assert_string_equal(chat_text(last, "type"), "response.failed");
    assert_string_equal(chat_text(response, "status"), "failed");
    assert_string_equal(chat_text(json_object_get(response, "error"), "message"),
                        "the engine was lost");
    json_decref(last);
    reading_done(&reading);
}

static void several_choices_are_put_together(void **state)
{
    static const char engine[] =
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}}]}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"B\"},\"finish_reason\":"
        "\"length\"}],\"timings\":{\"predicted_n\":2}}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
        "data: {\"choices\":[],\"timings\":{\"predicted_n\":5},\"usage\":{\"prompt_tokens\":3,"
        "\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
    struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
    answers(completion_read, CHATS("\"n\":2"), engine, &out);
    json_t *root = json_loads(buf_text(&out), 0, NULL);
    json_t *theirs = json_loads(
        "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":\"stop\"},"
        "{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"bB\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":\"length\"}]",
        0, NULL);
    assert_true(json_equal(json_object_get(root, "choices"), theirs));
    json_t *usage = json_object_get(root, "usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")), 7);
    json_decref(theirs);
    json_decref(root);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_messages_become_what_strict_templates_take),
        cmocka_unit_test(a_request_without_another_form_stays),
        cmocka_unit_test(arguments_of_a_call_are_an_object),
        cmocka_unit_test(a_request_is_put_together),
        cmocka_unit_test(texts_around_an_image_stay_in_order),
        cmocka_unit_test(many_texts_are_joined),
        cmocka_unit_test(too_many_messages_are_refused),
        cmocka_unit_test(files_of_text_are_given_as_text),
        cmocka_unit_test(members_are_done_or_refused),
        cmocka_unit_test(blocks_come_one_after_the_other),
        cmocka_unit_test(probabilities_belong_to_the_text_behind_them),
        cmocka_unit_test(probabilities_of_hidden_thoughts_are_hidden),
        cmocka_unit_test(the_sequence_that_stopped_it_is_told),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_told_from_an_error),
        cmocka_unit_test(an_answer_that_is_too_long_is_told_from_nonsense),
        cmocka_unit_test(items_of_a_response_become_messages),
        cmocka_unit_test(what_cannot_be_done_is_refused_by_its_name),
        cmocka_unit_test(a_chat_goes_as_it_came_unless_something_must_be_said_otherwise),
        cmocka_unit_test(a_response_has_events_of_each_item),
        cmocka_unit_test(functions_of_a_namespace_keep_it),
        cmocka_unit_test(a_namespace_is_given_back_only_with_its_own_functions),
        cmocka_unit_test(names_of_tools_that_would_be_cut_are_refused),
        cmocka_unit_test(a_response_that_was_cut_off_is_incomplete),
        cmocka_unit_test(a_response_that_is_lost_has_failed),
        cmocka_unit_test(several_choices_are_put_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
