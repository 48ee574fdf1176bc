/*
 * supervisor.h - one model, kept running on the best choice that works: started, watched, failed
 * over, backed off. A thread of its own does what blocks; no call waits for it but supervisor_wait
 * and supervisor_free. Part of engine/engine.h, which includes it.
 */
#ifndef SESSION_SUPERVISOR_H
#define SESSION_SUPERVISOR_H

#include "session/session.h"

enum supervisor_state {
    SUPERVISOR_STOPPED,
    SUPERVISOR_STARTING, /* plan, install, prove */
    SUPERVISOR_LOADING,  /* a proven choice loads the model */
    SUPERVISOR_READY,
    SUPERVISOR_BUSY,         /* ready, and requests are under way */
    SUPERVISOR_FAILING_OVER, /* its engine is lost; the next one is on its way */
    SUPERVISOR_BACKING_OFF,  /* nothing works now; it is tried again after a pause */
};

struct supervisor_spec {
    struct session_request
        path;              /* lent until supervisor_free; cancel, failed and on_load are ours */
    int gap_ms;            /* so long without an answer while requests are under way, and then the
                              engine does not even say how they stand: it hangs. 0: the default */
    unsigned nonsense_max; /* so many useless answers in a row condemn it; 0: the default */
};

/* A change of state other than between ready and busy. */
struct supervisor_event {
    enum supervisor_state state;
    uint64_t generation;
    struct gfxb_error why; /* failing over, backing off */
    bool tried_all;        /* backing off: not even one that had failed before was left out */
};

/* A running engine, as copies. */
struct supervisor_endpoint {
    uint64_t generation; /* one start of one engine */
    pid_t pid;
    char socket[108], key[80], backend[24], device[256], package[96];
};

enum supervisor_outcome {
    SUPERVISOR_OK,
    SUPERVISOR_BROKEN,   /* the connection was lost */
    SUPERVISOR_STALLED,  /* the caller has waited long enough */
    SUPERVISOR_NONSENSE, /* an answer that is none */
    SUPERVISOR_CANCELLED,
};

struct supervisor;

/* It does nothing before supervisor_start. */
int supervisor_new(const struct supervisor_spec *spec, struct supervisor **ret_supervisor,
                   struct gfxb_error *err);
void supervisor_free(struct supervisor *supervisor);

/* What is wanted of it from now on. Starting while it backs off ends the pause. */
void supervisor_start(struct supervisor *supervisor);
void supervisor_stop(struct supervisor *supervisor);

/* Readable while events wait. When nobody takes them the oldest ones are lost. */
int supervisor_fd(const struct supervisor *supervisor);
bool supervisor_next_event(struct supervisor *supervisor, struct supervisor_event *ret_event);
enum supervisor_state supervisor_state(struct supervisor *supervisor);

/*
 * Until it is in this state: busy is ready too, and stopped means that the engine is gone. 0,
 * -ETIMEDOUT, or where ready is wanted and nothing works the code of the reason.
 */
int supervisor_wait(struct supervisor *supervisor, enum supervisor_state state, int ms,
                    struct gfxb_error *err);

/* False: none is ready. */
bool supervisor_endpoint(struct supervisor *supervisor, struct supervisor_endpoint *ret_endpoint);

/* Traffic, told from any thread; news of an engine of another generation is ignored. */
void supervisor_request_began(struct supervisor *supervisor, uint64_t generation);
void supervisor_request_ended(struct supervisor *supervisor, uint64_t generation,
                              enum supervisor_outcome outcome);

#endif
