/* vectors.c - the engine's vectors become a dialect's, one by one as they pass; texts that are too
 * long for it are cut, where the dialect says so. */
#include "api/vectors.h"

#include <errno.h>
#include <math.h>
#include <openssl/evp.h>

/* A vector of 65,536 numbers in base64; today's largest models have 8,192. */
#define VECTORS_MOST (350u << 10)
/* Bytes of a token, on the average of a text, in any language. */
#define VECTORS_TOKEN_BYTES 16

static const char vectors_mark[] = "\"embedding\":\"";

/* What a text that is too long is asked about before it is cut. */
enum vectors_step {
    VECTORS_ALL,     /* the vectors of everything */
    VECTORS_MARKS,   /* the tokens that the engine puts around a text */
    VECTORS_TOKENS,  /* those of input[at] */
    VECTORS_SHORTER, /* the vectors, again */
};

/*
 * {"model","object","usage","data":[{"embedding":"base64",...},...]} becoming the dialect's.
 * Vectors are converted as they pass, so an answer of hundreds of megabytes needs memory for one of
 * them. Between the vectors stands nothing that a client wrote but the name of the model, which has
 * no quotes.
 */
struct serve_filter {
    struct vectors_ask about;
    json_t *input; /* owned: an array */
    int64_t began, answered;
    const struct engine_kind *engine; /* NULL until its head */
    size_t matched;                   /* bytes of vectors_mark that the last ones are */
    bool inside;                      /* of a vector */
    size_t vectors;                   /* begun so far */
    struct buf kept;                  /* the vector that is passing */
    struct dialect_tail seen;         /* for usage, which stands before the vectors */
    enum vectors_step step;
    json_t *shorter; /* input as it is cut so far */
    json_t *marks;   /* tokens around a text */
    size_t at;       /* of the input that is being looked at */
    uint64_t most;   /* tokens */
};

/* ---- one vector ---- */

/* The numbers of f->kept, as many as are wanted; to be freed. NULL: they are none. */
static float *vectors_decode(struct serve_filter *f, size_t *ret_n)
{
    const char *text = buf_text(&f->kept);
    size_t padding = f->kept.n && text[f->kept.n - 1] == '='
                         ? f->kept.n > 1 && text[f->kept.n - 2] == '=' ? 2 : 1
                         : 0;
    size_t bytes = f->kept.n / 4 * 3, n = (bytes - padding) / sizeof(float),
           want = f->about.dimensions;
    float *numbers = xcalloc(bytes / sizeof(float) + 1, sizeof(float));
    double sum = 0.0;
    if (f->kept.n % 4 || n == 0 ||
        EVP_DecodeBlock((unsigned char *)numbers, (const unsigned char *)text, (int)f->kept.n) <
            0) {
        free(numbers);
        return NULL;
    }
    *ret_n = want && want < n ? want : n;
    for (size_t i = 0; i < *ret_n; i++)
        sum += (double)numbers[i] * (double)numbers[i];
    for (size_t i = 0; want && want < n && sum > 0.0 && i < *ret_n; i++)
        numbers[i] = (float)((double)numbers[i] / sqrt(sum));
    return numbers;
}

/* jansson writes numbers the same in every locale; 9 digits are a float to the bit. */
static void vectors_put_numbers(const float *numbers, size_t n, struct buf *out)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_real((double)numbers[i]));
    char *CLEAN_FREE text = json_dumps(array, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(array);
    buf_add_text(out, text);
}

static void vectors_put_base64(const float *numbers, size_t n, struct buf *out)
{
    size_t bytes = n * sizeof(*numbers);
    char *CLEAN_FREE text = xcalloc(bytes / 3 * 4 + 5, 1);
    EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)numbers, (int)bytes);
    buf_addf(out, "\"%s\"", text);
}

static int vectors_put(struct serve_filter *f, struct buf *out)
{
    size_t n;
    float *CLEAN_FREE numbers = vectors_decode(f, &n);
    bool openai = f->about.shape == VECTORS_OPENAI;
    buf_clear(&f->kept);
    if (!numbers)
        return -EBADMSG;
    if (f->about.shape == VECTORS_OLLAMA_ONE && f->vectors > 1)
        return 0;
    if (f->vectors > 1)
        buf_add_char(out, ',');
    if (openai)
        buf_addf(out, "{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", f->vectors - 1);
    (f->about.base64 ? vectors_put_base64 : vectors_put_numbers)(numbers, n, out);
    if (openai)
        buf_add_char(out, '}');
    return 0;
}

/* ---- all of them ---- */

/* A model's name needs no escapes. */
static void vectors_begin(const struct serve_filter *f, struct buf *out)
{
    if (f->about.shape == VECTORS_OPENAI)
        buf_add_text(out, "{\"object\":\"list\",\"data\":[");
    else if (f->about.shape == VECTORS_OLLAMA)
        buf_addf(out, "{\"model\":\"%s\",\"embeddings\":[", f->about.model);
    else
        buf_add_text(out, "{\"embedding\":");
}

static int vectors_take_inside(struct serve_filter *f, struct str *bytes, struct buf *out)
{
    const char *end = memchr(bytes->p, '"', bytes->n);
    struct str piece = {bytes->p, end ? (size_t)(end - bytes->p) : bytes->n};
    size_t taken = piece.n + (end != NULL);
    *bytes = (struct str){bytes->p + taken, bytes->n - taken};
    buf_add_str(&f->kept, piece);
    f->inside = !end;
    if (!buf_ok(&f->kept))
        return -EBADMSG;
    return end ? vectors_put(f, out) : 0;
}

/* The mark's first byte occurs three times in it, but a failed match can only restart at the byte
 * itself. */
static void vectors_take_outside(struct serve_filter *f, char c, struct buf *out)
{
    if (c == vectors_mark[f->matched])
        f->matched++;
    else
        f->matched = c == vectors_mark[0] ? 1 : 0;
    if (f->matched < sizeof(vectors_mark) - 1)
        return;
    f->matched = 0;
    f->inside = true;
    if (!f->vectors++)
        vectors_begin(f, out);
}

static int vectors_feed(struct serve_filter *f, struct str bytes, struct buf *out,
                        struct gfxb_error *err)
{
    int code = 0;
    dialect_tail_feed(&f->seen, bytes);
    while (bytes.n && code == 0) {
        if (f->inside) {
            code = vectors_take_inside(f, &bytes, out);
            continue;
        }
        vectors_take_outside(f, bytes.p[0], out);
        bytes = (struct str){bytes.p + 1, bytes.n - 1};
    }
    return code < 0 ? error_set(err, EPROTO, "the engine's answer has no valid vectors") : 0;
}

/* The engine's name of the model, which stands before the vectors. */
static struct str vectors_model(const struct serve_filter *f)
{
    struct str head = {f->seen.head, f->seen.head_n}, name;
    const char *mark = memmem(head.p, head.n, "\"model\":\"", 9);
    struct str rest = mark ? str_skip(head, (size_t)(mark - head.p) + 9) : STR_NONE;
    return str_cut(&rest, '"', &name) ? name : str_from(f->about.model);
}

static int vectors_end(struct serve_filter *f, struct buf *out, struct gfxb_error *err)
{
    struct pool_timings timings;
    int64_t now = f->about.clock();
    if (f->inside || !f->vectors)
        return error_set(err, EPROTO, "the engine's answer is incomplete");
    dialect_tail_end(&f->seen, f->engine ? f->engine->figures : NULL, &timings);
    unsigned long long tokens = timings.prompt_tokens;
    if (f->about.shape == VECTORS_OPENAI)
        buf_addf(out,
                 "],\"model\":\"%.*s\",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}}",
                 STR_ARG(vectors_model(f)), tokens, tokens);
    else if (f->about.shape == VECTORS_OLLAMA)
        buf_addf(out,
                 "],\"total_duration\":%lld,\"load_duration\":%lld,\"prompt_eval_count\":%llu}",
                 (long long)(now - f->began), (long long)(f->answered - f->began), tokens);
    else
        buf_add_char(out, '}');
    return 0;
}

static const char *vectors_head(struct serve_filter *f, const struct engine_kind *engine)
{
    f->engine = engine;
    f->answered = f->about.clock();
    return DIALECT_JSON_TYPE;
}

static void vectors_forget(struct serve_filter *f)
{
    buf_done(&f->kept);
    json_decref(f->shorter);
    json_decref(f->marks);
}

static void vectors_reset(struct serve_filter *f)
{
    vectors_forget(f);
    *f = (struct serve_filter){
        .about = f->about, .input = f->input, .began = f->began, .kept = BUF_INIT(VECTORS_MOST)};
}

static void vectors_free(struct serve_filter *f)
{
    vectors_forget(f);
    json_decref(f->input);
    free(f);
}

/* ---- what is asked ---- */

static json_t *vectors_body(const struct serve_filter *f, json_t *input)
{
    const char *model = f->about.model[0] ? f->about.model : NULL; /* the engine knows its own */
    return json_pack("{s:s*, s:O, s:s}", "model", model, "input", input, "encoding_format",
                     "base64");
}

static void vectors_dump(json_t *value, struct buf *out)
{
    char *CLEAN_FREE text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    buf_add_text(out, text);
}

/* ---- what is too long is cut ---- */

/* Its first tokens, and what the engine puts behind a text. */
static void vectors_cut(struct serve_filter *f, const json_t *ids)
{
    size_t n = json_array_size(ids), marks = json_array_size(f->marks), before = 0;
    json_t *kept = json_array();
    if (n <= f->most) {
        json_decref(kept);
        return;
    }
    while (before < marks &&
           json_equal(json_array_get(ids, before), json_array_get(f->marks, before)))
        before++;
    size_t behind = marks - before, first = f->most > behind ? (size_t)f->most - behind : 0;
    for (size_t i = 0; i < first; i++)
        json_array_append(kept, json_array_get(ids, i));
    for (size_t i = before; i < marks; i++)
        json_array_append(kept, json_array_get(f->marks, i));
    json_array_set_new(f->shorter, f->at, kept);
}

/* text is taken over. */
static void vectors_ask_tokens(json_t *text, struct buf *ret_body)
{
    vectors_dump(json_pack("{s:o, s:b}", "content", text, "add_special", 1), ret_body);
}

/* The tokens of input[at], of which nobody looks at more than its beginning. */
static void vectors_ask_next(struct serve_filter *f, struct buf *ret_body)
{
    json_t *text = json_array_get(f->shorter, f->at);
    size_t n = json_string_length(text), most = (size_t)f->most * VECTORS_TOKEN_BYTES;
    if (n > most) {
        while (most > 0 && (json_string_value(text)[most] & 0xc0) == 0x80)
            most--; /* into the middle of a character */
        text = json_stringn(json_string_value(text), most);
        json_array_set_new(f->shorter, f->at, text);
    }
    vectors_ask_tokens(json_incref(text), ret_body);
}

/* The next text that may be too long, from f->at on: a token has one byte at least. */
static bool vectors_next(struct serve_filter *f)
{
    size_t marks = json_array_size(f->marks);
    for (; f->at < json_array_size(f->input); f->at++) {
        if (json_string_length(json_array_get(f->input, f->at)) + marks > f->most)
            return true;
    }
    return false;
}

static bool vectors_step(struct serve_filter *f, const struct engine_kind *engine, bool refused,
                         struct str answer, enum engine_call *ret_call, struct buf *ret_body)
{
    uint64_t tokens;
    json_t *ids = NULL;
    if (refused && (f->step != VECTORS_ALL || !f->about.truncate ||
                    !engine->read_excess(answer, &tokens, &f->most)))
        return false;
    *ret_call = ENGINE_CALL_TOKENIZE;
    if (refused) {
        f->step = VECTORS_MARKS;
        f->shorter = json_copy(f->input);
        vectors_ask_tokens(json_string(""), ret_body);
        return true;
    }
    int code = engine->read_ids(answer, &ids);
    if (f->step == VECTORS_MARKS) {
        f->marks = code == 0 ? ids : json_array(); /* there may be none */
    } else {
        if (code < 0)
            return false;
        vectors_cut(f, ids);
        json_decref(ids);
        f->at++;
    }
    bool more = vectors_next(f);
    f->step = more ? VECTORS_TOKENS : VECTORS_SHORTER;
    if (more) {
        vectors_ask_next(f, ret_body);
        return true;
    }
    *ret_call = ENGINE_CALL_EMBEDDINGS;
    vectors_dump(vectors_body(f, f->shorter), ret_body);
    return true;
}

const struct serve_filter_ops vectors_ops = {
    .head = vectors_head,
    .feed = vectors_feed,
    .end = vectors_end,
    .reset = vectors_reset,
    .step = vectors_step,
    .free = vectors_free,
};

static int64_t vectors_now(void)
{
    return clock_now_ms() * 1000000;
}

struct serve_filter *vectors_new(const struct vectors_ask *ask, json_t *input)
{
    struct serve_filter *f = xcalloc(1, sizeof(*f));
    json_t *list = json_is_array(input) ? json_incref(input) : json_pack("[O*]", input);
    *f = (struct serve_filter){.about = *ask, .input = list};
    f->about.clock = ask->clock ? ask->clock : vectors_now;
    f->began = f->about.clock();
    vectors_reset(f);
    return f;
}

void vectors_request(struct chat_call *call, const struct vectors_ask *ask, json_t *input)
{
    struct chat_request *r = &call->request;
    json_decref(r->body);
    r->messages = NULL;
    call->call = ENGINE_CALL_EMBEDDINGS;
    call->dimensions = ask->shape == VECTORS_OPENAI ? ask->dimensions : 0;
    call->filter_ops = &vectors_ops;
    call->filter = vectors_new(ask, input);
    r->body = vectors_body(call->filter, call->filter->input);
}
