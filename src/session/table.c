/* table.c - the life of a session as one table: what an event does in each state. */
#include "session/session_private.h"

#define TO(state, what)                                                                            \
    {                                                                                              \
        true, SESSION_##state, SESSION_DO_##what                                                   \
    }
#define IN(state) [SESSION_##state]
#define ON(event) [SESSION_EV_##event]

/* An empty cell: the event is ignored in this state. */
static const struct session_cell session_table[SESSION_STATES][SESSION_EVENTS] = {
    IN(STOPPED) = {ON(WANTED) = TO(FINDING, FIND)},
    IN(FINDING) = {ON(FOUND) = TO(WAITING, MAKE_FIT), ON(NOTHING_WORKS) = TO(FAILED, REST)},
    IN(WAITING) = {ON(FITS) = TO(STARTING, BRING_UP), ON(DUE) = TO(WAITING, MAKE_FIT),
                   ON(NOTHING_WORKS) = TO(FAILED, REST), ON(UNWANTED) = TO(STOPPING, END)},
    IN(STARTING) = {ON(LOADS) = TO(LOADING, NOTHING), ON(UP) = TO(READY, SERVE),
                    ON(NOTHING_NOW) = TO(BACKING_OFF, REST), ON(NOTHING_WORKS) = TO(FAILED, REST),
                    ON(UNWANTED) = TO(STOPPING, END)},
    IN(LOADING) = {ON(UP) = TO(READY, SERVE), ON(NOTHING_NOW) = TO(BACKING_OFF, REST),
                   ON(NOTHING_WORKS) = TO(FAILED, REST), ON(UNWANTED) = TO(STOPPING, END)},
    IN(READY) = {ON(BEGAN) = TO(BUSY, NOTHING), ON(LOST) = TO(FAILING_OVER, BRING_UP),
                 ON(DOUBTED) = TO(DOUBTFUL, PROVE), ON(RELOAD) = TO(RESTARTING, END),
                 ON(UNWANTED) = TO(STOPPING, END)},
    IN(BUSY) = {ON(IDLE) = TO(READY, NOTHING), ON(LOST) = TO(FAILING_OVER, BRING_UP),
                ON(UNWANTED) = TO(STOPPING, END)},
    IN(FAILING_OVER) = {ON(UP) = TO(READY, SERVE), ON(NOTHING_NOW) = TO(BACKING_OFF, REST),
                        ON(NOTHING_WORKS) = TO(FAILED, REST), ON(UNWANTED) = TO(STOPPING, END)},
    IN(DOUBTFUL) = {ON(JUDGED) = TO(FAILING_OVER, BRING_UP), ON(NOTHING_WORKS) = TO(FAILED, REST),
                    ON(UNWANTED) = TO(STOPPING, END)},
    IN(BACKING_OFF) = {ON(DUE) = TO(FAILING_OVER, BRING_UP), ON(UNWANTED) = TO(STOPPING, END)},
    /* It stays a while, so that the same error is told at once. */
    IN(FAILED) = {ON(WANTED) = TO(WAITING, MAKE_FIT), /* with other options */
                  ON(DUE) = TO(STOPPING, END), ON(UNWANTED) = TO(STOPPING, END)},
    IN(STOPPING) = {ON(ENDED) = TO(STOPPED, FORGET), ON(WANTED) = TO(RESTARTING, NOTHING)},
    IN(RESTARTING) = {ON(ENDED) = TO(WAITING, MAKE_FIT), ON(UNWANTED) = TO(STOPPING, NOTHING)},
};

struct session_cell session_cell(enum session_state state, enum session_event event)
{
    return session_table[state][event];
}
