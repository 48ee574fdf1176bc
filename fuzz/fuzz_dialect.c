/*
 * fuzz_dialect.c - requests of clients and answers of engines, as the dialects read them. The first
 * byte chooses the reader. Anything goes but a crash, a hang, a difference between pieces and the
 * whole, or a text that one reader of JSON takes and the other does not.
 */
#include "api/anthropic/anthropic.h"
#include "api/ollama/ollama.h"
#include "api/openai/form.h"
#include "api/openai/openai.h"
#include "api/serve.h"
#include "api/vectors.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

/* A call without an id gets a random one: the same answer read twice must get the same. */
ssize_t getrandom(void *bytes, size_t n, unsigned flags)
{
    (void)flags;
    memset(bytes, 0, n);
    return (ssize_t)n;
}

static void require(bool good)
{
    if (!good)
        abort();
}

static int64_t still(void)
{
    return 1795560795000000042;
}

/* ---- the guards, once more on decoded values ---- */

static bool is_address(const char *name, const char *parent)
{
    static const char *const names[] = {"image_url", "audio_url", "video_url", "file_url"};
    static const char *const holders[] = {"image_url",   "audio_url",   "video_url",
                                          "input_audio", "input_video", "source"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
        if (strcmp(name, "url") == 0 && strcmp(parent, holders[i]) == 0)
            return true;
    }
    return false;
}

static void require_shallow(struct str grammar)
{
    int depth = 0;
    for (size_t i = 0; i < grammar.n; i++) {
        depth += grammar.p[i] == '(' ? 1 : grammar.p[i] == ')' && depth ? -1 : 0;
        require(depth <= 256);
    }
}

static void require_guarded(const json_t *value, const char *parent, bool top)
{
    const char *name;
    json_t *member;
    size_t i;
    json_array_foreach((json_t *)value, i, member) require_guarded(member, parent, false);
    json_object_foreach((json_t *)value, name, member)
    {
        struct str text = {json_string_value(member), json_string_length(member)};
        if (text.p && is_address(name, parent))
            require(strncasecmp(text.p, "data:", 5) == 0 ||
                    (!str_has(text, STR(":")) && strncasecmp(text.p, "http", 4) != 0));
        if (text.p && top && strcmp(name, "grammar") == 0)
            require_shallow(text);
        require_guarded(member, name, false);
    }
}

/* What was taken, as a second reader sees it: it takes all but numbers that are too large. */
static void check_guards(struct str bytes)
{
    json_error_t why;
    json_t *value = json_loadb(bytes.p, bytes.n, JSON_ALLOW_NUL, &why);
    require(value || json_error_code(&why) == json_error_numeric_overflow);
    require_guarded(value, "", true);
    json_decref(value);
}

static void read_body(struct str bytes)
{
    struct dialect_body body;
    char name[DIALECT_NAME_SIZE];
    dialect_body_read(bytes, &body);
    if (body.error.status) {
        require(body.error.status == 400 && body.error.message[0]);
        return;
    }
    check_guards(bytes);
    dialect_body_model(&body, true, name);
    require(body.error.status || !name[0] || dialect_name_ok(str_from(name)));
    (void)dialect_body_flag(&body, "stream", true);
}

/* A refusal says why, and what is taken is a request for the engine. */
static void read_requests(struct str bytes)
{
    static const char *const paths[] = {"/api/chat", "/api/generate", "/api/embed",
                                        "/api/embeddings"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct dialect_body body;
        struct ollama_call about = {.empty = false};
        struct chat_call call = {.options = {.pin = -1}};
        dialect_body_read(bytes, &body);
        json_t *root = chat_load(&body);
        chat_request_init(&call.request, &body.error);
        if (root)
            ollama_read(paths[i], &body, root, &call, &about);
        require(root || body.error.status);
        require(body.error.status == 0 || (body.error.status >= 400 && body.error.message[0]));
        chat_request_end(&call.request, true);
        chat_request_done(&call.request);
        if (call.filter)
            call.filter_ops->free(call.filter);
        json_decref(root);
    }
}

/* The same of OpenAI's and Anthropic's; and the other forms of what is taken. */
static void read_chats(struct str bytes)
{
    static chat_read *const reads[] = {responses_read, completion_read, anthropic_read,
                                       anthropic_read_count};
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        struct dialect_body body;
        struct chat_call call = {.stream = false};
        struct buf text = BUF_INIT(1 << 26);
        dialect_body_read(bytes, &body);
        json_t *root = chat_load(&body);
        chat_request_init(&call.request, &body.error);
        if (root)
            reads[i](&body, root, &call);
        require(body.error.status == 0 || body.error.message[0]);
        chat_request_end(&call.request, true);
        if (chat_put_json(&text, json_incref(call.request.body)) == 0 && chat_fold(&text, 0))
            (void)chat_fold(&text, 1);
        if (call.writer)
            call.ops->free(call.writer);
        buf_done(&text);
        chat_request_done(&call.request);
        json_decref(root);
    }
}

/* Anthropic's answer, streamed and whole. */
static void read_messages(struct str bytes)
{
    for (int stream = 0; stream < 2; stream++) {
        const struct anthropic_about about = {.model = "m", .stream = stream, .max_tokens = 9};
        const struct chat_options options = {.stream = stream};
        struct buf CLEAN_BUF out = BUF_INIT(1u << 24);
        struct gfxb_error err = {.code = 0};
        struct serve_filter *f =
            chat_filter_new(&anthropic_writer_ops, anthropic_writer_new(&about), &options);
        chat_filter_ops.head(f, engine_kind_of_model(NULL));
        int code = chat_filter_ops.feed(f, bytes, &out, &err);
        if (code == 0)
            code = chat_filter_ops.end(f, &out, &err);
        require(code == 0 || err.text[0]);
        chat_filter_ops.free(f);
    }
}

static int convert(struct str bytes, const struct ollama_call *call, size_t step, struct buf *out)
{
    bool embed = call->kind == OLLAMA_EMBED;
    const struct serve_filter_ops *ops = embed ? &vectors_ops : &chat_filter_ops;
    const struct vectors_ask ask = {.shape = VECTORS_OLLAMA, .model = "m", .clock = still};
    const struct chat_options about = {.stream = call->stream};
    struct serve_filter *f =
        embed ? vectors_new(&ask, NULL)
              : chat_filter_new(&ollama_writer_ops, ollama_writer_new(call, still), &about);
    struct gfxb_error err = {.code = 0};
    int code = 0;
    ops->head(f, engine_kind_of_model(NULL));
    for (size_t at = 0, n = step; at < bytes.n && code == 0; at += n, n = n % 7 + step) {
        size_t left = bytes.n - at;
        code = ops->feed(f, (struct str){bytes.p + at, left < n ? left : n}, out, &err);
    }
    if (code == 0)
        code = ops->end(f, out, &err);
    require(code == 0 || err.text[0]);
    ops->free(f);
    return code;
}

static void read_answers(struct str bytes)
{
    for (int i = 0; i < 3; i++) {
        const struct ollama_call call = {
            .kind = i == 2 ? OLLAMA_EMBED : OLLAMA_CHAT, .model = "m", .stream = i == 0};
        struct buf CLEAN_BUF whole = BUF_INIT(1u << 24), CLEAN_BUF parts = BUF_INIT(1u << 24);
        int code = convert(bytes, &call, SIZE_MAX / 2, &whole);
        require(code == convert(bytes, &call, 1, &parts));
        require(code < 0 || str_eq(buf_view(&whole), buf_view(&parts)));
    }
}

static void read_figures(struct str bytes)
{
    struct dialect_tail tail = {.tail_n = 0};
    struct pool_timings t;
    struct dialect_error error;
    char name[] = "model";
    const struct pool_found model = {.name = name};
    dialect_tail_feed(&tail, bytes);
    dialect_tail_end(&tail, engine_kind_of_model(NULL)->figures, &t);
    require(t.tokens_per_second >= 0.0);
    dialect_error_of_engine(engine_kind_of_model(NULL), &model, 500, bytes, &error);
    require(error.status >= 400 && error.message[0]);
}

static void read_words(struct str bytes)
{
    char text[64];
    (void)dialect_query(bytes, "show_all", text, sizeof(text));
    (void)dialect_of_path(bytes);
    json_t *value = json_stringn(bytes.p, bytes.n);
    struct dialect_error error = {.status = 0};
    require(!value || ollama_keep_alive(value, &error) >= POOL_KEEP_DEFAULT);
    json_decref(value);
}

/* Parts lie within the form, and are found by their names. */
static void read_form(struct str bytes)
{
    struct dialect_error error = {.status = 0};
    struct form form;
    form_read(STR("multipart/form-data; boundary=b"), bytes, &form, &error);
    for (size_t i = 0; i < form.n && !error.status; i++) {
        struct str value = form.part[i].value;
        require(!value.n || (value.p >= bytes.p && value.p + value.n <= bytes.p + bytes.n));
        require(form.part[i].name[0] && form_find(&form, form.part[i].name));
    }
    form_read(bytes, STR_NONE, &form, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct str) = {read_body,    read_requests, read_answers,
                                                  read_figures, read_words,    read_form,
                                                  read_chats,   read_messages};
    if (size == 0)
        return 0;
    /* An exact copy, so that a byte beyond the end is seen. */
    char *bytes = malloc(size);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    readers[data[0] % (sizeof(readers) / sizeof(readers[0]))]((struct str){bytes, size - 1});
    free(bytes);
    return 0;
}
