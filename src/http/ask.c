/* ask.c - one call over a unix socket, waited for on a loop of its own. */
#include "http/http.h"

#include <errno.h>
#include <fcntl.h>

enum {
    ASK_TICK_MS = 100, /* how late a cancel flag may be seen */
    ASK_LAST_MS = 500, /* for what is still in the socket of a process that has ended */
};

struct ask {
    const struct http_ask *request;
    struct loop *loop;
    struct http_call *call; /* NULL: over */
    struct loop_timer tick;
    struct loop_source process; /* readable once it has ended */
    int64_t last;               /* the process has ended: not beyond this; 0 it runs */
    int status, code;
};

static void ask_end_with(struct ask *ask, int code)
{
    ask->code = code;
    loop_stop(ask->loop);
}

static void ask_on_head(void *owner, const struct http_answer *answer)
{
    struct ask *ask = owner;
    ask->status = answer->status;
}

static void ask_on_body(void *owner, struct str bytes)
{
    struct ask *ask = owner;
    const struct http_ask *r = ask->request;
    int code = r->on_bytes && ask->code == 0 ? r->on_bytes(r->context, bytes) : 0;
    if (code < 0)
        ask_end_with(ask, code);
}

static void ask_on_end(void *owner)
{
    struct ask *ask = owner;
    ask->call = NULL;
    loop_stop(ask->loop);
}

static void ask_on_broken(void *owner, int code, bool local)
{
    struct ask *ask = owner;
    (void)local;
    ask->call = NULL;
    ask_end_with(ask, code);
}

static const struct http_call_ops ask_ops = {ask_on_head, ask_on_body, ask_on_end, ask_on_broken};

static void ask_on_process(struct loop_source *source, unsigned events)
{
    struct ask *ask = container_of(source, struct ask, process);
    (void)events;
    loop_close(ask->loop, source);
    ask->last = clock_now_ms() + ASK_LAST_MS;
}

static void ask_tick(struct loop_timer *timer)
{
    struct ask *ask = container_of(timer, struct ask, tick);
    const struct http_ask *r = ask->request;
    int64_t until = r->until ? r->until(r->context) : 0, now = clock_now_ms();
    if (r->cancel && *r->cancel)
        ask_end_with(ask, -EINTR);
    else if (until && now >= until)
        ask_end_with(ask, -ETIMEDOUT);
    else if (ask->last && now >= ask->last)
        ask_end_with(ask, -ECONNRESET);
    else
        loop_timer_set(ask->loop, timer,
                       until && until - now < ASK_TICK_MS ? until - now : ASK_TICK_MS);
}

static int ask_watch_process(struct ask *ask)
{
    if (ask->request->pidfd < 0)
        return 0;
    ask->process.fd = fcntl(ask->request->pidfd, F_DUPFD_CLOEXEC, 3);
    if (ask->process.fd < 0)
        return -errno;
    return loop_watch(ask->loop, &ask->process, LOOP_READ);
}

static int ask_start(struct ask *ask, struct http_endpoint *endpoint)
{
    struct http_call_request call = {
        .path = ask->request->path, .body = ask->request->body, .ops = &ask_ops, .owner = ask};
    int result = ask_watch_process(ask);
    if (result < 0)
        return result;
    ask->call = http_call_start(endpoint, &call);
    ask_tick(&ask->tick);
    return 0;
}

/* The few codes that callers tell apart. */
static int ask_code(int code)
{
    switch (-code) {
    case ENOENT:
        return -ECONNREFUSED;
    case EPIPE:
        return -ECONNRESET;
    default:
        return code;
    }
}

int http_ask(const struct http_ask *request, int *ret_status)
{
    struct ask ask = {.request = request,
                      .tick = {.due = ask_tick},
                      .process = {.fd = -1, .ready = ask_on_process}};
    struct http_endpoint *endpoint = NULL;
    int result = loop_new(&ask.loop, NULL);
    if (result < 0)
        return result;
    result = http_endpoint_new(ask.loop, request->socket, request->key, request->pid, &endpoint);
    if (result == 0)
        result = ask_start(&ask, endpoint);
    if (result == 0 && ask.code == 0)
        loop_run(ask.loop);
    result = ask_code(result < 0 ? result : ask.code);
    if (ask.call)
        http_call_cancel(ask.call);
    http_endpoint_free(endpoint);
    loop_timer_clear(ask.loop, &ask.tick);
    loop_close(ask.loop, &ask.process);
    loop_free(ask.loop);
    if (result == 0)
        *ret_status = ask.status;
    return result;
}
