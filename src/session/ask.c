/* ask.c - one answer from a session, whatever becomes of its engines on the way. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>

enum {
    ASK_DOUBTFUL_MIN = 32, /* bytes of a repetition that are no accident */
    ASK_PERIOD_MAX = 16,
    ASK_USELESS_MAX = 2, /* tries on one engine that runs and gives no answer */
};

/* One question on its way. */
struct ask {
    const struct session_request *request;
    struct session *session;
    const struct engine_chat *chat;
    enum session_state state;
    struct blame_request self;
    unsigned useless; /* answers in a row that were none, from an engine that runs */
};

/* An engine that computes wrongly says, mostly, nothing, or one thing over and over ("GGGG", "####
 * #### "). A model may say so too; one that was cut in its thoughts says nothing. */
static bool ask_is_doubtful(const struct engine_reply *reply)
{
    size_t most = 0;
    for (size_t period = 1; period <= ASK_PERIOD_MAX && period < reply->n; period++) {
        size_t same = 0;
        for (size_t i = period; i < reply->n; i++)
            same += reply->text[i] == reply->text[i - period];
        most = same + period > most ? same + period : most;
    }
    return (reply->n == 0 && !reply->thought) ||
           (reply->n >= ASK_DOUBTFUL_MIN && most >= reply->n / 10 * 9);
}

static bool ask_is_engines_fault(int code)
{
    return code == EPROTO ||
           (code >= GFXB_E_GFX_UNKNOWN && code < GFXB_E_TABLE && code != GFXB_E_DISK_FULL);
}

/* Whose engine runs now, and which choices could not start the model. */
static void ask_note_up(struct session *s)
{
    blame_up(s->blame, s->running->fingerprint, session_is_last_resort(s), s->failure,
             s->n_failures);
}

static int ask_bring_up(struct ask *a, struct gfxb_error *err)
{
    struct session_history history;
    blame_history(a->session->blame, true, &history);
    int result = session_bring_up(a->request, &history, a->session, err);
    session_history_done(&history);
    if (result == 0)
        ask_note_up(a->session);
    return result;
}

/* The event, and what the table says to do. */
static int ask_follow(struct ask *a, enum session_event event, struct gfxb_error *err)
{
    struct session_cell cell = session_cell(a->state, event);
    if (!cell.set)
        return 0;
    a->state = cell.next;
    if (cell.action == SESSION_DO_PROVE)
        return session_prove_again(a->request, a->session, err);
    if (cell.action != SESSION_DO_BRING_UP)
        return 0;
    int result = ask_bring_up(a, err);
    ask_follow(a, result < 0 ? SESSION_EV_NOTHING_WORKS : SESSION_EV_UP, NULL);
    return result;
}

/* An engine for the question: it may have ended since the last one, or been stopped. */
static int ask_prepare(struct ask *a, struct gfxb_error *err)
{
    struct session *session = a->session;
    struct gfxb_error why;
    if (!session->blame) {
        session->blame = xcalloc(1, sizeof(*session->blame));
        ask_note_up(session);
    }
    if (session->engine && session_check_links(session, &why) < 0) {
        blame_lost(session->blame, BLAME_KILLED, &why, NULL, 0, false);
    } else if (session->engine && engine_check(session->engine, &why) < 0) {
        blame_lost(session->blame, session_loss(session, engine_broke_itself(session->engine)),
                   &why, NULL, 0, false);
    } else if (session->engine && !blame_wants_home(session->blame)) {
        return 0;
    }
    return ask_follow(a, SESSION_EV_LOST, err);
}

/* Store what the answer has decided. */
static void ask_settle(struct ask *a)
{
    struct blame_case *against = blame_answered(a->session->blame, &a->self);
    for (const struct blame_case *k = against; k; k = k->next) {
        struct gfxb_error err;
        if (session_reject(a->request, k->fingerprint, &k->why, &err) < 0)
            log_at(a->request->log, LOG_WARNING, "%s", err.text);
    }
    blame_cases_free(against);
}

/* Its choice proves itself again. 0: it computes rightly; 1: it does not, which is stored by now;
 * negative: that could not be found out. */
static int ask_prove(struct ask *a, struct gfxb_error *err)
{
    struct gfxb_error verdict;
    int result = ask_follow(a, SESSION_EV_DOUBTED, &verdict);
    if (session_is_ours(-result) || -result == GFXB_E_DISK_FULL)
        return error_set(err, verdict.code, "%s", verdict.text);
    if (result < 0) {
        log_at(a->request->log, LOG_WARNING, "%s", verdict.text);
        blame_failed_proof(a->session->blame, &verdict);
    }
    return result < 0;
}

/* The question ended an engine, or nobody knows who did, once too often. */
static int ask_give_up(struct ask *a, const struct gfxb_error *why, struct gfxb_error *err)
{
    session_stop_engine(a->session);
    if (a->self.fate == BLAME_POISON)
        return error_set(err, GFXB_E_REQUEST_POISON,
                         "this request ended the engine twice, the second time on %s: %s",
                         plan_backend_name(a->session->running->backend), why->text);
    return error_set(err, why->code, "%s", why->text);
}

/* No answer came, and the engine, or something else, is at fault. 0: ask again. */
static int ask_failed(struct ask *a, const struct gfxb_error *why, struct gfxb_error *err)
{
    struct blame *blame = a->session->blame;
    struct blame_request *self = &a->self;
    struct engine *engine = a->session->engine;
    bool hangs = why->code == GFXB_E_ENGINE_HANG, ended = engine_check(engine, NULL) < 0;
    bool away = session_is_nodes(why->code); /* another computer was lost */
    int result = 0;
    if (ended || hangs || away) {
        bool killed = away || (ended && !engine_broke_itself(engine));
        blame_lost(blame, session_loss(a->session, !killed), why, &self, 1, false);
    } else if (++a->useless < ASK_USELESS_MAX) {
        return 0;
    } else {
        if (!self->suspect)
            result = ask_prove(a, err);
        if (result < 0)
            return result;
        if (result == 0)
            blame_lost(blame, BLAME_BROKE, why, &self, 1, false);
    }
    a->useless = 0;
    if (self->fate != BLAME_AGAIN)
        return ask_give_up(a, why, err);
    return ask_follow(a, a->state == SESSION_DOUBTFUL ? SESSION_EV_JUDGED : SESSION_EV_LOST, err);
}

/* One try. 0: the reply stands. 1: the choice has failed its proof, and another one is there. */
static int ask_once(struct ask *a, struct engine_reply *ret_reply, struct gfxb_error *err)
{
    ask_follow(a, SESSION_EV_BEGAN, NULL);
    int result = engine_chat(a->session->engine, a->chat, ret_reply, err);
    ask_follow(a, SESSION_EV_IDLE, NULL);
    if (result < 0 || !ask_is_doubtful(ret_reply))
        return result;
    result = ask_prove(a, err);
    if (result != 0)
        engine_reply_done(ret_reply);
    return result;
}

int session_ask(const struct session_request *request, struct session *session,
                const struct engine_chat *chat, void (*on_again)(void *context),
                struct engine_reply *ret_reply, struct gfxb_error *err)
{
    struct ask a = {request, session, chat, .state = SESSION_READY};
    int result = ask_prepare(&a, err);
    while (result == 0) {
        struct gfxb_error why = {.code = 0};
        int outcome = ask_once(&a, ret_reply, &why);
        if (outcome == 0) {
            ask_settle(&a);
            return 0;
        }
        if (outcome < 0 && !ask_is_engines_fault(why.code)) {
            result = error_set(err, why.code, "%s", why.text);
            break;
        }
        on_again(chat->context);
        if (outcome < 0)
            session_blame_links(session, &why);
        if (outcome < 0) {
            log_at(request->log, LOG_WARNING, "%s failed while it answered: %s",
                   plan_backend_name(session->running->backend), why.text);
            if (why.code == EPROTO)
                why.code = GFXB_E_ENGINE_CRASH;
            result = ask_failed(&a, &why, err);
        } else {
            result = ask_follow(&a, SESSION_EV_JUDGED, err);
        }
    }
    blame_left(session->blame, &a.self);
    return result;
}
