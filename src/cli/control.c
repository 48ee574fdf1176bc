/* control.c - calls to the running server of this user, over its control socket. */
#include "cli/cli.h"
#include "http/http.h"

enum {
    CONTROL_ANSWER_MAX = 16 << 20,
    CONTROL_DEADLINE_MS = 10000, /* a server that lives answers to its status long before */
};

#define CONTROL_STATUS "/internal/status"

/* One call under way. */
struct control {
    const char *socket, *path;
    int64_t until;
    struct buf answer;
    int status;
};

static int control_take(void *context, struct str bytes)
{
    struct control *control = context;
    buf_add_str(&control->answer, bytes);
    return buf_ok(&control->answer) ? 0 : -EFBIG;
}

static int64_t control_until(void *context);

static int control_call(struct control *control, const char *body)
{
    struct http_ask ask = {.socket = control->socket,
                           .path = control->path,
                           .body = str_from(body),
                           .pidfd = -1,
                           .on_bytes = control_take,
                           .until = control_until,
                           .context = control};
    control->until = clock_now_ms() + CONTROL_DEADLINE_MS;
    control->answer = BUF_INIT(CONTROL_ANSWER_MAX);
    return http_ask(&ask, &control->status);
}

static bool control_lives(const char *socket)
{
    struct control control = {.socket = socket, .path = CONTROL_STATUS};
    bool lives = control_call(&control, NULL) == 0;
    buf_done(&control.answer);
    return lives;
}

/* A call that takes long (to load a model) is waited for as long as the server answers others. */
static int64_t control_until(void *context)
{
    struct control *control = context;
    if (strcmp(control->path, CONTROL_STATUS) != 0 && clock_now_ms() >= control->until &&
        control_lives(control->socket))
        control->until = clock_now_ms() + CONTROL_DEADLINE_MS;
    return control->until;
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

static const char *control_socket(struct cli *cli)
{
    if (!cli->runtime_dir)
        cli_die(cli, GFXB_E_USAGE,
                "no place for a socket: this user has no home directory; give --data-dir DIR");
    if (!cli->socket)
        cli->socket = cli_keep(cli, http_control_path(cli->runtime_dir));
    if (!cli->socket)
        cli_die(cli, ENAMETOOLONG, "the path of the runtime directory is too long: %s",
                cli->runtime_dir);
    return cli->socket;
}

bool control_runs(struct cli *cli)
{
    return control_lives(control_socket(cli));
}

json_t *control_ask(struct cli *cli, const char *path, json_t *body)
{
    control_socket(cli);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct control control = {.socket = cli->socket, .path = path};
    int result = control_call(&control, text);
    json_decref(body);
    free(text);
    if (result == -ECONNREFUSED)
        cli_die(cli, ENOENT, "no server of this user runs: gfxbridge serve starts one");
    if (result == -ETIMEDOUT)
        cli_die(cli, ETIMEDOUT,
                "the server of this user does not answer within %d s: it is stopped, or this "
                "computer is too busy",
                CONTROL_DEADLINE_MS / 1000);
    if (result < 0)
        cli_die(cli, -result, "cannot ask the server at %s: %s", cli->socket,
                error_errno_text(-result));
    json_decref(cli->answer);
    cli->answer = json_loadb(buf_text(&control.answer), control.answer.n, JSON_DECODE_ANY, NULL);
    buf_done(&control.answer);
    if (control.status != 200 || !cli->answer)
        cli_die(cli, EREMOTEIO, "%s",
                cli->answer ? control_message(cli->answer) : "the server's answer is no JSON");
    return cli->answer;
}
