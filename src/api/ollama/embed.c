/* embed.c - the engine's vectors become Ollama's answer, copied as they pass. */
#include "api/ollama/ollama.h"

#include <errno.h>
#include <math.h>

/* A vector has a few kilobytes, at most 100 for the largest models. Only one that will be cut is
 * kept. */
#define EMBED_VECTOR_MAX (4u << 20)
enum { EMBED_DIMENSIONS_MAX = 65536 };

static const char embed_mark[] = "\"embedding\":[";

/*
 * {"model","object","usage","data":[{"embedding":[...],...},...]} becoming {"model","embeddings":
 * [[...],...],...}. Vectors are copied as they pass: an answer of hundreds of megabytes needs no
 * memory, and is not built twice. Between the vectors stands nothing that a client wrote but the
 * name of the model, which has no quotes.
 */
struct serve_filter {
    struct ollama_call about;
    ollama_clock *now;
    const struct engine_kind *engine; /* NULL until its head */
    int64_t began, answered;
    size_t matched;           /* bytes of embed_mark that the last ones are */
    bool inside;              /* of a vector */
    bool begun;               /* the head is written */
    size_t vectors;           /* begun so far */
    struct buf kept;          /* a vector that will be cut */
    struct dialect_tail seen; /* for usage, which stands before the vectors */
};

static void embed_begin(struct serve_filter *f, struct buf *out)
{
    bool one = f->about.kind == OLLAMA_EMBEDDINGS;
    if (f->begun)
        return;
    f->begun = true;
    if (one) /* a model's name needs no escapes */
        buf_add_text(out, "{\"embedding\":");
    else
        buf_addf(out, "{\"model\":\"%s\",\"embeddings\":[", f->about.model);
}

/* Cuts a vector to its first numbers and scales it to length 1 again. */
static int embed_cut(const struct serve_filter *f, struct buf *out)
{
    json_t *vector = json_loadb(buf_text(&f->kept), f->kept.n, 0, NULL);
    size_t n = json_array_size(vector), want = f->about.dimensions;
    double sum = 0.0;
    n = n < want ? n : want;
    for (size_t i = 0; i < n; i++) {
        double x = json_number_value(json_array_get(vector, i));
        sum += x * x;
    }
    json_t *cut = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(cut, json_real(json_number_value(json_array_get(vector, i)) /
                                             (sum > 0.0 ? sqrt(sum) : 1.0)));
    char *CLEAN_FREE text = json_dumps(cut, JSON_COMPACT | JSON_REAL_PRECISION(9));
    bool good = json_is_array(vector);
    json_decref(cut);
    json_decref(vector);
    if (good)
        buf_add_text(out, text);
    return good ? 0 : -EBADMSG;
}

/* Only the first vector counts for the older call. */
static bool embed_wanted(const struct serve_filter *f)
{
    return f->about.kind == OLLAMA_EMBED || f->vectors == 1;
}

static int embed_take_inside(struct serve_filter *f, struct str *bytes, struct buf *out)
{
    const char *end = memchr(bytes->p, ']', bytes->n);
    struct str piece = {bytes->p, end ? (size_t)(end - bytes->p) + 1 : bytes->n};
    struct buf *to = f->about.dimensions ? &f->kept : out;
    *bytes = (struct str){bytes->p + piece.n, bytes->n - piece.n};
    if (embed_wanted(f))
        buf_add_str(to, piece);
    f->inside = !end;
    if (!buf_ok(to))
        return -EBADMSG;
    if (!end || !f->about.dimensions || !embed_wanted(f))
        return 0;
    int code = embed_cut(f, out);
    buf_clear(&f->kept);
    return code;
}

/* The mark's first byte occurs twice in it ("embedding":[ has two quotes), but a failed match can
 * only restart at the byte itself. */
static void embed_take_outside(struct serve_filter *f, char c, struct buf *out)
{
    if (c == embed_mark[f->matched])
        f->matched++;
    else
        f->matched = c == embed_mark[0] ? 1 : 0;
    if (f->matched < sizeof(embed_mark) - 1)
        return;
    f->matched = 0;
    f->inside = true;
    embed_begin(f, out);
    if (f->vectors++ && f->about.kind == OLLAMA_EMBED)
        buf_add_char(out, ',');
    if (embed_wanted(f))
        buf_add_char(f->about.dimensions ? &f->kept : out, '[');
}

static int embed_feed(struct serve_filter *f, struct str bytes, struct buf *out,
                      struct gfxb_error *err)
{
    int code = 0;
    dialect_tail_feed(&f->seen, bytes);
    while (bytes.n && code == 0) {
        if (f->inside) {
            code = embed_take_inside(f, &bytes, out);
            continue;
        }
        embed_take_outside(f, bytes.p[0], out);
        bytes = (struct str){bytes.p + 1, bytes.n - 1};
    }
    return code < 0 ? error_set(err, EPROTO, "the engine's answer has no valid vectors") : 0;
}

static void embed_add_count(struct buf *out, const char *name, int64_t value)
{
    if (value > 0)
        buf_addf(out, ",\"%s\":%lld", name, (long long)value);
}

static int embed_end(struct serve_filter *f, struct buf *out, struct gfxb_error *err)
{
    struct pool_timings timings;
    if (f->inside || (f->about.kind == OLLAMA_EMBEDDINGS && !f->vectors))
        return error_set(err, EPROTO, "the engine's answer is incomplete");
    embed_begin(f, out);
    if (f->about.kind == OLLAMA_EMBEDDINGS) {
        buf_add_char(out, '}');
        return 0;
    }
    dialect_tail_end(&f->seen, f->engine ? f->engine->figures : NULL, &timings);
    buf_add_char(out, ']');
    embed_add_count(out, "total_duration", f->now() - f->began);
    embed_add_count(out, "load_duration", f->answered - f->began);
    embed_add_count(out, "prompt_eval_count", (int64_t)timings.prompt_tokens);
    buf_add_char(out, '}');
    return 0;
}

static const char *embed_head(struct serve_filter *f, const struct engine_kind *engine)
{
    f->engine = engine;
    f->answered = f->now();
    return DIALECT_JSON_TYPE;
}

static void embed_reset(struct serve_filter *f)
{
    buf_done(&f->kept);
    *f = (struct serve_filter){
        .about = f->about, .now = f->now, .began = f->began, .kept = BUF_INIT(EMBED_VECTOR_MAX)};
}

static void embed_free(struct serve_filter *f)
{
    buf_done(&f->kept);
    free(f);
}

const struct serve_filter_ops ollama_embed_ops = {
    .head = embed_head,
    .feed = embed_feed,
    .end = embed_end,
    .reset = embed_reset,
    .free = embed_free,
};

struct serve_filter *ollama_embed_new(const struct ollama_call *call, ollama_clock *clock)
{
    struct serve_filter *f = xcalloc(1, sizeof(*f));
    clock = clock ? clock : ollama_clock_now;
    *f = (struct serve_filter){.about = *call, .now = clock, .began = clock()};
    if (f->about.dimensions > EMBED_DIMENSIONS_MAX)
        f->about.dimensions = 0;
    embed_reset(f);
    return f;
}
