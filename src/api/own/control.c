/* control.c - the control socket: what status and stop answer, and how the command line asks. */
#include "api/dialect.h"

#include "http/server.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* ---- the server's side ---- */

static json_t *control_counters(const struct serve_counters *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "answered",
                     (json_int_t)c->requests[2], "refused", (json_int_t)c->requests[4], "failed",
                     (json_int_t)c->requests[5], "failovers", (json_int_t)c->failovers, "replays",
                     (json_int_t)c->replays, "prompt_tokens", (json_int_t)c->prompt_tokens,
                     "tokens", (json_int_t)c->tokens, "tokens_per_second",
                     c->last.tokens_per_second);
}

static json_t *control_model(const struct serve_model *m)
{
    json_t *model = control_counters(&m->counters);
    json_object_set_new(model, "name", report_json_text(m->name));
    json_object_set_new(model, "state", json_string(serve_model_state_name(m->state)));
    json_object_set_new(model, "backend", report_json_text(m->backend));
    json_object_set_new(model, "device", report_json_text(m->device));
    json_object_set_new(model, "package", report_json_text(m->package));
    json_object_set_new(model, "active", json_integer(m->active));
    json_object_set_new(model, "waiting", json_integer(m->waiting));
    json_object_set_new(model, "pinned", json_boolean(m->pinned));
    json_object_set_new(model, "bytes", report_json_bytes(m->bytes));
    json_object_set_new(model, "expires_at",
                        m->expires_at ? json_integer(m->expires_at) : json_null());
    return model;
}

static json_t *control_addresses(const struct serve *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_listeners; i++) {
        char address[256];
        listen_address(&s->listener[i], address, sizeof(address));
        if (!s->listener[i].control)
            json_array_append_new(list, json_string(address));
    }
    return list;
}

static void control_status(struct http_exchange *x)
{
    const struct serve *s = serve_of(x);
    struct serve_model model;
    json_t *models = json_array();
    for (size_t i = 0; serve_model_at(s, i, &model); i++)
        json_array_append_new(models, control_model(&model));
    json_t *status = json_pack(
        "{s:i, s:i, s:s, s:o, s:I, s:b, s:i, s:i, s:o, s:o}", "schema", 1, "pid", getpid(),
        "version", GFXB_VERSION, "addresses", control_addresses(s), "uptime_seconds",
        (json_int_t)(time(NULL) - s->started_at), "draining", s->draining, "connections",
        (int)serve_connections(s), "waiting", (int)pool_waiting(s->pool), "totals",
        control_counters(&s->totals), "models", models);
    dialect_reply_json(x, 200, status);
}

static void control_stop(struct http_exchange *x)
{
    struct serve *s = serve_of(x);
    http_reply(x, 200, "application/json", STR("{\"stopping\":true}\n"), NULL);
    http_server_drain(s);
}

const struct http_route control_routes[] = {
    {HTTP_GET, "/internal/status", control_status, HTTP_CONTROL},
    {HTTP_POST, "/internal/stop", control_stop, HTTP_CONTROL},
    {0},
};

/* ---- the command line's side: one request, waited for ---- */

static int control_connect(const char *runtime_dir, struct gfxb_error *err)
{
    char *CLEAN_FREE path = listen_control_path(runtime_dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path)
        return error_set(err, ENAMETOOLONG, "the path of the runtime directory is too long: %s",
                         runtime_dir);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int code = errno;
    if (fd >= 0)
        close(fd);
    if (code == ENOENT || code == ECONNREFUSED)
        return error_set(err, ENOENT, "no server of this user runs: gfxbridge serve starts one");
    return error_set(err, code, "cannot reach the server at %s: %s", path, error_errno_text(code));
}

static int control_send(int fd, const char *path, const char *body)
{
    struct buf CLEAN_BUF out = BUF_INIT(1 << 20);
    buf_addf(&out, "%s %s HTTP/1.0\r\nHost: localhost\r\n", body ? "POST" : "GET", path);
    if (body)
        buf_addf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    buf_add_text(&out, "\r\n");
    buf_add_text(&out, body ? body : "");
    for (size_t sent = 0; !out.failed && sent < out.n;) {
        ssize_t n = send(fd, out.p + sent, out.n - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        sent += n > 0 ? (size_t)n : 0;
    }
    return out.failed ? -E2BIG : 0;
}

/* The whole answer: of HTTP/1.0 it ends with the connection. */
static int control_receive(int fd, struct buf *in)
{
    for (;;) {
        char *room = buf_room(in, 65536);
        ssize_t n = room ? recv(fd, room, 65536, 0) : -1;
        if (!room)
            return -EFBIG;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n > 0)
            buf_grew(in, (size_t)n);
    }
}

int serve_control(const char *runtime_dir, const char *path, const char *body, int *ret_status,
                  struct buf *ret_body, struct gfxb_error *err)
{
    struct buf CLEAN_BUF in = BUF_INIT(64 << 20);
    struct http_answer head;
    size_t from = 0;
    int CLEAN_CLOSE fd = control_connect(runtime_dir, err);
    if (fd < 0)
        return fd;
    int result = control_send(fd, path, body);
    if (result == 0)
        result = control_receive(fd, &in);
    size_t end = result == 0 ? http_head_end(buf_view(&in), &from) : 0;
    if (result == 0 && (!end || http_answer_read((struct str){in.p, end}, &head) < 0))
        result = -EPROTO;
    if (result < 0)
        return error_set(err, -result, "the server did not answer: %s", error_errno_text(-result));
    buf_add(ret_body, in.p + end, in.n - end);
    *ret_status = head.status;
    return buf_ok(ret_body) ? 0 : error_set(err, ENOMEM, "out of memory");
}
