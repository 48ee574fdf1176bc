#include "session/session.h"
#include "session/supervisor_private.h"

#define TO(state, what)                                                                            \
    {                                                                                              \
        true, SUPERVISOR_##state, SUPERVISOR_DO_##what                                             \
    }
#define IN(state) [SUPERVISOR_##state]
#define ON(event) [SUPERVISOR_EV_##event]

/* An empty cell: the event is ignored in this state. */
static const struct supervisor_cell supervisor_table[SUPERVISOR_STATES][SUPERVISOR_EVENTS] = {
    IN(STOPPED) = {ON(START) = TO(STARTING, WALK)},
    IN(STARTING) = {ON(STOP) = TO(STOPPED, END), ON(LOAD) = TO(LOADING, NOTHING),
                    ON(UP) = TO(READY, NOTHING), ON(NOTHING_WORKS) = TO(BACKING_OFF, PAUSE)},
    IN(LOADING) = {ON(STOP) = TO(STOPPED, END), ON(UP) = TO(READY, NOTHING),
                   ON(NOTHING_WORKS) = TO(BACKING_OFF, PAUSE)},
    IN(READY) = {ON(STOP) = TO(STOPPED, END), ON(BEGAN) = TO(BUSY, NOTHING),
                 ON(DIED) = TO(FAILING_OVER, WALK), ON(HUNG) = TO(FAILING_OVER, WALK),
                 ON(BABBLED) = TO(FAILING_OVER, WALK)},
    IN(BUSY) = {ON(STOP) = TO(STOPPED, END), ON(IDLE) = TO(READY, NOTHING),
                ON(DIED) = TO(FAILING_OVER, WALK), ON(HUNG) = TO(FAILING_OVER, WALK),
                ON(BABBLED) = TO(FAILING_OVER, WALK)},
    IN(FAILING_OVER) = {ON(STOP) = TO(STOPPED, END), ON(UP) = TO(READY, NOTHING),
                        ON(NOTHING_WORKS) = TO(BACKING_OFF, PAUSE)},
    IN(BACKING_OFF) = {ON(STOP) = TO(STOPPED, END),
                       ON(START) = TO(STARTING, WALK), /* asked for: do not wait */
                       ON(PAUSED) = TO(STARTING, WALK)},
};

struct supervisor_cell supervisor_cell(enum supervisor_state state, enum supervisor_input input)
{
    return supervisor_table[state][input];
}
