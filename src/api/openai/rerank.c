/* rerank.c - rankings as Cohere and Jina define them ("documents"), and as
 * text-embeddings-inference does ("texts"). */
#include "api/openai/openai.h"

#include <errno.h>
#include <math.h>

#define RERANK_ANSWER_MAX (64u << 20)

static const struct chat_field rerank_fields[] = {
    {"model", CHAT_FIELD_READ, "s", NULL},
    {"query", CHAT_FIELD_READ, "s", NULL},
    {"documents", CHAT_FIELD_READ, "a", NULL},
    {"texts", CHAT_FIELD_READ, "a", NULL},
    {"top_n", CHAT_FIELD_READ, "n", NULL},
    {"return_documents", CHAT_FIELD_READ, "b", NULL},
    {"return_text", CHAT_FIELD_READ, "b", NULL},
    {"raw_scores", CHAT_FIELD_READ, "b", NULL},
    {"rank_fields", CHAT_FIELD_REFUSED, NULL, "is not supported: send one text for each document"},
    {"max_chunks_per_doc", CHAT_FIELD_REFUSED, NULL, "is not supported: documents stay whole"},
    {"max_tokens_per_doc", CHAT_FIELD_REFUSED, NULL, "is not supported: documents stay whole"},
    {"truncate", CHAT_FIELD_REFUSED, NULL, "is not supported: documents stay whole"},
    {0},
};

/* Its scores are the engine's: any number, the larger the better. */
struct serve_filter {
    json_t *documents; /* owned: texts */
    struct buf answer; /* the engine's */
    size_t top;
    bool texts; /* as text-embeddings-inference has it */
    bool with_text, raw;
};

struct rerank_score {
    size_t index;
    double score;
};

static int rerank_compare(const void *a, const void *b)
{
    const struct rerank_score *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score ? 1 : -1) : x->index < y->index ? -1 : 1;
}

static const char *rerank_head(struct serve_filter *f, const struct engine_kind *engine)
{
    return DIALECT_JSON_TYPE;
}

static int rerank_feed(struct serve_filter *f, struct str bytes, struct buf *out,
                       struct gfxb_error *err)
{
    buf_add_str(&f->answer, bytes);
    return buf_ok(&f->answer) ? 0 : error_set(err, ENOMEM, "the ranking does not fit into memory");
}

/* One result for each document; false: it is not that. */
static bool rerank_scores(const json_t *results, struct rerank_score *score, size_t n)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)results, i, item)
    {
        json_t *index = json_object_get(item, "index");
        json_t *value = json_object_get(item, "relevance_score");
        json_int_t at = json_integer_value(index);
        if (i >= n || !json_is_integer(index) || at < 0 || (size_t)at >= n ||
            !json_is_number(value))
            return false;
        score[i] = (struct rerank_score){(size_t)at, json_number_value(value)};
    }
    return json_array_size(results) == n;
}

static json_t *rerank_result(const struct serve_filter *f, const struct rerank_score *score)
{
    /* Between 0 and 1, as the APIs have it. */
    double value = f->raw ? score->score : 1.0 / (1.0 + exp(-score->score));
    json_t *text = f->with_text ? json_array_get(f->documents, score->index) : NULL;
    json_int_t index = (json_int_t)score->index;
    if (f->texts)
        return json_pack("{s:I, s:f, s:O*}", "index", index, "score", value, "text", text);
    json_t *document = text ? json_pack("{s:O}", "text", text) : NULL;
    return json_pack("{s:I, s:f, s:o*}", "index", index, "relevance_score", value, "document",
                     document);
}

static int rerank_end(struct serve_filter *f, struct buf *out, struct gfxb_error *err)
{
    json_t *answer = json_loadb(buf_text(&f->answer), f->answer.n, 0, NULL), *list = json_array();
    size_t n = json_array_size(f->documents);
    struct rerank_score *CLEAN_FREE score = xcalloc(n, sizeof(*score));
    bool good = rerank_scores(json_object_get(answer, "results"), score, n);
    if (good)
        qsort(score, n, sizeof(*score), rerank_compare);
    for (size_t i = 0; good && i < n && i < f->top; i++)
        json_array_append_new(list, rerank_result(f, &score[i]));
    json_object_set(answer, "results", list);
    int code = good ? chat_put_json(out, json_incref(f->texts ? list : answer))
                    : error_set(err, EPROTO, "the engine's answer is no ranking");
    json_decref(list);
    json_decref(answer);
    return code;
}

static void rerank_reset(struct serve_filter *f)
{
    buf_clear(&f->answer);
}

static void rerank_free(struct serve_filter *f)
{
    buf_done(&f->answer);
    json_decref(f->documents);
    free(f);
}

static const struct serve_filter_ops rerank_ops = {.head = rerank_head,
                                                   .feed = rerank_feed,
                                                   .end = rerank_end,
                                                   .reset = rerank_reset,
                                                   .free = rerank_free};

/* The texts of documents, a new array; a document is a text or an object with one. */
static json_t *rerank_texts(const json_t *documents, const char *name, struct dialect_error *error)
{
    json_t *texts = json_array(), *item;
    size_t i;
    json_array_foreach((json_t *)documents, i, item)
    {
        json_t *text = json_is_object(item) ? json_object_get(item, "text") : item;
        if (!json_is_string(text))
            dialect_fail_at(error, name, "'%s' must be texts, or objects with a \"text\"", name);
        json_array_append(texts, text);
    }
    if (json_array_size(documents) == 0)
        dialect_fail_at(error, name, "'%s' must not be empty", name);
    return texts;
}

void rerank_read(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    struct chat_request *r = &call->request;
    bool texts = !chat_get(root, "documents") && chat_get(root, "texts");
    const char *name = texts ? "texts" : "documents";
    chat_read_fields(r, rerank_fields, root);
    if (!chat_text(root, "query")[0])
        dialect_fail_at(r->error, "query", "'query' must be a text, and not empty");
    json_t *documents = rerank_texts(chat_get(root, name), name, r->error);
    size_t top = (size_t)json_number_value(chat_get(root, "top_n")); /* looked at by body.c */
    json_decref(r->body);
    r->messages = NULL;
    r->body = json_pack("{s:s*, s:s, s:O}", "model", call->model[0] ? call->model : NULL, "query",
                        chat_text(root, "query"), "documents", documents);
    call->call = ENGINE_CALL_RERANK;
    call->stream = false;
    struct serve_filter *f = xcalloc(1, sizeof(*f));
    *f = (struct serve_filter){
        .documents = documents,
        .answer = BUF_INIT(RERANK_ANSWER_MAX),
        .top = top ? top : SIZE_MAX,
        .texts = texts,
        .with_text = json_is_true(chat_get(root, texts ? "return_text" : "return_documents")),
        .raw = texts && json_is_true(chat_get(root, "raw_scores"))};
    call->filter_ops = &rerank_ops;
    call->filter = f;
}
