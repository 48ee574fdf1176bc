/* session_ask.c - one answer from a walked path, whatever becomes of its engines on the way. */
#include "session/session.h"
#include "session/session_private.h"

#include <errno.h>

enum {
    PATH_DOUBTFUL_MIN = 32, /* bytes of a repetition that are no accident */
    PATH_PERIOD_MAX = 16,
};

/* What an engine that computes wrongly says, mostly: nothing, or one thing over and over ("GGGG",
 * "#### #### "). A model may say so too. */
static bool session_is_doubtful(const struct engine_reply *reply)
{
    size_t most = 0;
    for (size_t period = 1; period <= PATH_PERIOD_MAX && period < reply->n; period++) {
        size_t same = 0;
        for (size_t i = period; i < reply->n; i++)
            same += reply->text[i] == reply->text[i - period];
        most = same + period > most ? same + period : most;
    }
    return reply->n == 0 || (reply->n >= PATH_DOUBTFUL_MIN && most >= reply->n / 10 * 9);
}

static bool session_is_engines_fault(int code)
{
    return code == EPROTO ||
           (code >= GFXB_E_GFX_UNKNOWN && code < GFXB_E_TABLE && code != GFXB_E_DISK_FULL);
}

static int session_ask_once(const struct session_request *request, struct session *path,
                            const struct engine_chat *chat, struct engine_reply *ret_reply,
                            struct gfxb_error *err)
{
    int result = path->engine ? 0 : session_start_running(request, path, err);
    if (result == 0)
        result = engine_chat(path->engine, chat, ret_reply, err);
    if (result < 0 || !session_is_doubtful(ret_reply))
        return result;
    result = session_prove_again(request, path, err);
    if (result < 0)
        engine_reply_done(ret_reply);
    return result;
}

int session_ask(const struct session_request *request, struct session *path,
                const struct engine_chat *chat, void (*on_again)(void *context),
                struct engine_reply *ret_reply, struct gfxb_error *err)
{
    for (;;) {
        struct gfxb_error why = {.code = 0};
        int result = session_ask_once(request, path, chat, ret_reply, &why);
        if (result == 0) {
            session_settle(request, path);
            return 0;
        }
        if (!session_is_engines_fault(why.code))
            return error_set(err, why.code, "%s", why.text);
        on_again(chat->context);
        log_at(request->log, LOG_WARNING, "%s failed while it answered: %s",
               plan_backend_name(path->running->backend), why.text);
        result = session_fail_over(request, path, &why, err);
        if (result < 0)
            return result;
    }
}
