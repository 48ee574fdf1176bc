/* control.c - calls to the running server of this user, over its control socket. */
#include "cli/request.h"

#include "base/xalloc.h"
#include "http/http.h"

#include <errno.h>

enum {
    CONTROL_ANSWER_MAX = 16 << 20,
    CONTROL_DEADLINE_MS = 10000, /* a server that lives answers to its status long before */
};

#define CONTROL_STATUS "/internal/status"

/* One call under way. */
struct control {
    const char *socket, *path;
    int64_t until;
    struct buf *answer; /* NULL: not wanted */
};

static int control_take(void *context, struct str bytes)
{
    const struct control *control = context;
    if (control->answer)
        buf_add_str(control->answer, bytes);
    return !control->answer || buf_ok(control->answer) ? 0 : -EFBIG;
}

static bool control_lives(const char *socket);

/* A call that takes long (to load a model) is waited for as long as the server answers others. */
static int64_t control_until(void *context)
{
    struct control *control = context;
    if (strcmp(control->path, CONTROL_STATUS) != 0 && clock_now_ms() >= control->until &&
        control_lives(control->socket))
        control->until = clock_now_ms() + CONTROL_DEADLINE_MS;
    return control->until;
}

static int control_call(const char *socket, const char *path, const char *body,
                        struct buf *ret_answer, int *ret_status)
{
    struct control control = {socket, path, clock_now_ms() + CONTROL_DEADLINE_MS, ret_answer};
    struct http_ask ask = {.socket = socket,
                           .path = path,
                           .body = str_from(body),
                           .pidfd = -1,
                           .on_bytes = control_take,
                           .until = control_until,
                           .context = &control};
    return http_ask(&ask, ret_status);
}

static bool control_lives(const char *socket)
{
    int status;
    return control_call(socket, CONTROL_STATUS, NULL, NULL, &status) == 0;
}

static int control_failed(int code, const char *socket, struct gfxb_error *err)
{
    if (code == -ECONNREFUSED)
        return error_set(err, ENOENT, "no server of this user runs: gfxbridge serve starts one");
    if (code == -ETIMEDOUT)
        return error_set(err, ETIMEDOUT,
                         "the server of this user does not answer within %d s: it is stopped, or "
                         "this computer is too busy",
                         CONTROL_DEADLINE_MS / 1000);
    return error_set(err, -code, "cannot ask the server at %s: %s", socket,
                     error_errno_text(-code));
}

/* {"error":"text"} or {"error":{"message":"text"}} */
static const char *control_message(const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *text = json_string_value(error);
    if (!text)
        text = json_string_value(json_object_get(error, "message"));
    return text ? text : "it refuses without a reason";
}

int control_ask(const struct cli *cli, const char *path, json_t *body, json_t **ret_answer,
                struct gfxb_error *err)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(CONTROL_ANSWER_MAX);
    char *CLEAN_FREE text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    int status = 0;
    json_decref(body);
    if (!cli->runtime_dir)
        return error_set(err, GFXB_E_USAGE,
                         "no place for a socket: this user has no home directory; give --data-dir "
                         "DIR");
    char *CLEAN_FREE socket = http_control_path(cli->runtime_dir);
    if (!socket)
        return error_set(err, ENAMETOOLONG, "the path of the runtime directory is too long: %s",
                         cli->runtime_dir);
    int result = control_call(socket, path, text, &bytes, &status);
    if (result < 0)
        return control_failed(result, socket, err);
    json_t *answer = json_loadb(buf_text(&bytes), bytes.n, JSON_DECODE_ANY, NULL);
    if (status == 200 && answer) {
        *ret_answer = answer;
        return 0;
    }
    result = error_set(err, EREMOTEIO, "%s",
                       answer ? control_message(answer) : "the server's answer is no JSON");
    json_decref(answer);
    return result;
}
