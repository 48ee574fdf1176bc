#include "cli/control.h"

#include <errno.h>

enum { CONTROL_ANSWER_MAX = 16 << 20 };

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
    bool failed = body && !text;
    int status = 0;
    json_decref(body);
    if (failed)
        return error_set(err, ENOMEM, "out of memory");
    if (!cli->runtime_dir)
        return error_set(err, GFXB_E_USAGE,
                         "no place for a socket: this user has no home directory; give --data-dir "
                         "DIR");
    int result = serve_control(cli->runtime_dir, path, text, &status, &bytes, err);
    if (result < 0)
        return result;
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
