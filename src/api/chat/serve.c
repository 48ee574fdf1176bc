/* serve.c - a chat from the client to the engine and back; large requests are read on a thread. */
#include "api/serve.h"
#include "api/chat/chat.h"

/* jansson reads and writes some 100 MB/s: a body of this size takes 3 ms. */
enum { CHAT_INLINE_MAX = 256 << 10 };

struct chat_job {
    struct http_exchange *x; /* NULL: the client has left */
    chat_read *read;
    char *text; /* owned: a large body, which may outlive its exchange; NULL it is small */
    struct chat_call call;
    struct dialect_body body;
    struct buf out, probe; /* for the engine */
};

static int chat_dump(const char *bytes, size_t n, void *out)
{
    buf_add(out, bytes, n);
    return 0;
}

/* An engine that must answer by a schema cannot call tools. So it is asked without the schema
 * first: does it call one? */
static void chat_add_probe(const json_t *request, struct buf *out)
{
    const char *format = chat_text(json_object_get(request, "response_format"), "type");
    const char *choice = chat_text(request, "tool_choice");
    if (json_array_size(json_object_get(request, "tools")) == 0 || strcmp(choice, "none") == 0 ||
        !str_starts(str_from(format), STR("json_")))
        return;
    json_t *probe = json_copy((json_t *)request);
    json_object_del(probe, "response_format");
    json_dump_callback(probe, chat_dump, out, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(probe);
}

/* From the client's body to the engine's. */
static void chat_convert(struct chat_job *job, struct str text)
{
    struct dialect_body *body = &job->body;
    struct chat_call *call = &job->call;
    dialect_body_read(text, body);
    json_t *root = chat_load(body);
    chat_request_init(&call->request, &body->error);
    chat_check_size(root, &body->error);
    if (root && !body->error.status) {
        dialect_body_model(body, false, call->model);
        call->stream = dialect_body_flag(body, "stream", false);
        job->read(body, root, call);
    }
    if (call->as_it_came) {
        buf_add_str(&job->out, body->text);
    } else if (root && !body->error.status) {
        chat_request_end(&call->request, call->ops != NULL);
        json_dump_callback(call->request.body, chat_dump, &job->out,
                           JSON_COMPACT | JSON_REAL_PRECISION(12));
    }
    if (root && !body->error.status && call->call == ENGINE_CALL_CHAT)
        chat_add_probe(call->request.body, &job->probe);
    json_decref(root);
}

/* Does a request let the model call tools? */
static bool chat_calls(const json_t *body)
{
    return json_array_size(json_object_get(body, "tools")) > 0 &&
           strcmp(chat_text(body, "tool_choice"), "none") != 0;
}

/* In the loop. Takes the job over. */
static void chat_go_on(struct chat_job *job)
{
    struct chat_call *call = &job->call;
    struct chat_options about = {.stream = call->stream,
                                 .hide_thinking = call->request.hide_thinking,
                                 .one_call = call->request.one_call,
                                 .no_top = call->request.no_top};
    bool ask = job->x && !dialect_refuse(job->x, &job->body.error);
    if (ask && call->instead) {
        call->instead(job->x, call);
        ask = false;
    }
    if (ask)
        serve_relay(job->x,
                    &(struct serve_relay){
                        .model = str_from(call->model),
                        .options = call->options,
                        .call = call->call,
                        .body = job->out,
                        .probe = job->probe,
                        .tools = chat_calls(call->request.body),
                        .stream = call->stream,
                        .fold = chat_fold,
                        .dimensions = call->dimensions,
                        .ops = call->ops ? &chat_filter_ops : call->filter_ops,
                        .filter = call->ops ? chat_filter_new(call->ops, call->writer, &about)
                                            : call->filter,
                    });
    else if (call->writer)
        call->ops->free(call->writer);
    else if (call->filter)
        call->filter_ops->free(call->filter);
    if (!ask) {
        buf_done(&job->out);
        buf_done(&job->probe);
    }
    chat_request_done(&call->request);
    free(job->text);
    free(job);
}

/* ---- large ones ---- */

static void chat_on_thread(void *context)
{
    struct chat_job *job = context;
    chat_convert(job, str_from(job->text));
}

static void chat_on_done(void *context)
{
    struct chat_job *job = context;
    if (job->x)
        http_set_worker(job->x, NULL, NULL);
    chat_go_on(job);
}

static void chat_on_cancel(void *worker)
{
    struct chat_job *job = worker;
    job->x = NULL;
}

static const struct http_worker_ops chat_worker_ops = {.cancel = chat_on_cancel};

void chat_serve(struct http_exchange *x, chat_read *read)
{
    struct str text = http_request(x)->body;
    struct chat_job *job = xcalloc(1, sizeof(*job));
    *job = (struct chat_job){.x = x,
                             .read = read,
                             .call = {.options = SERVE_OPTIONS, .call = ENGINE_CALL_CHAT},
                             .out = BUF_INIT(SIZE_MAX / 2),
                             .probe = BUF_INIT(SIZE_MAX / 2)};
    if (text.n > CHAT_INLINE_MAX)
        job->text = str_dup(text); /* no memory: it is read here */
    if (job->text) {
        http_set_worker(x, &chat_worker_ops, job);
        if (work_run(serve_of(x)->work, chat_on_thread, chat_on_done, job) == 0)
            return;
        http_set_worker(x, NULL, NULL);
    }
    chat_convert(job, text);
    chat_go_on(job);
}
