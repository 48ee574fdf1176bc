/* supervisor_private.h - the supervisor from the inside. Private to its files, and its tests. */
#ifndef SESSION_SUPERVISOR_PRIVATE_H
#define SESSION_SUPERVISOR_PRIVATE_H

#include "engine/engine.h"
#include "session/session.h"
#include "session/supervisor.h"

#include <pthread.h>

/* ---- the table ---- */

enum { SUPERVISOR_STATES = SUPERVISOR_BACKING_OFF + 1 };

enum supervisor_input {
    SUPERVISOR_EV_START,         /* it is wanted */
    SUPERVISOR_EV_STOP,          /* it is not wanted any more */
    SUPERVISOR_EV_LOAD,          /* a proven choice loads the model */
    SUPERVISOR_EV_UP,            /* an engine runs and was verified */
    SUPERVISOR_EV_NOTHING_WORKS, /* the walk ended nowhere */
    SUPERVISOR_EV_BEGAN,         /* a request */
    SUPERVISOR_EV_IDLE,          /* the last request ended */
    SUPERVISOR_EV_DIED,
    SUPERVISOR_EV_HUNG,
    SUPERVISOR_EV_BABBLED, /* useless answers again and again */
    SUPERVISOR_EV_PAUSED,  /* the pause is over */
    SUPERVISOR_EVENTS
};

/* What the thread has to do once the state has changed. */
enum supervisor_action {
    SUPERVISOR_DO_NOTHING,
    SUPERVISOR_DO_WALK,  /* end what runs; session_walk, past what has failed */
    SUPERVISOR_DO_END,   /* end what runs */
    SUPERVISOR_DO_PAUSE, /* longer each time; then forget what has failed */
};

struct supervisor_cell {
    bool set; /* false: the event is ignored */
    enum supervisor_state next;
    enum supervisor_action action;
};

struct supervisor_cell supervisor_cell(enum supervisor_state state, enum supervisor_input input);

/* ---- the thing ---- */

enum {
    SUPERVISOR_QUEUE = 16, /* events that wait */
    SUPERVISOR_FAILED_MAX = 32,
};

struct supervisor {
    struct supervisor_spec spec;
    atomic_int cancel; /* of the walk, or a look at the engine */
    int event_fd;      /* readable: events wait */
    int wake_fd;       /* readable: the thread is to look */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool ending;
    bool acting; /* the thread does what it was told */
    enum supervisor_action todo;
    enum supervisor_state state;
    struct supervisor_event event[SUPERVISOR_QUEUE];
    size_t n_events;
    struct supervisor_endpoint endpoint;
    struct gfxb_error why; /* of the last failure */
    bool tried_all;
    unsigned underway, useless; /* requests; useless answers in a row */
    bool answered;              /* this engine has answered something */
    int64_t sign_at;            /* monotonic ms of the last sign of life */
    /* Of the thread alone: */
    struct session path;
    struct session_failure failed[SUPERVISOR_FAILED_MAX];
    size_t n_failed;
    char *dying; /* the fingerprint whose deaths are counted; NULL none */
    unsigned deaths;
    unsigned nowhere; /* walks in a row since an engine last ran */
    int pause_ms;
};

/* Under the lock: the table's cell for this event, its news, and the thread's task. */
void supervisor_turn(struct supervisor *s, enum supervisor_input input);
void *supervisor_thread(void *supervisor);

#endif
