/* session_private.h - the table of a session's life, the rule of blame, and the parts of a
 * bring-up. Private to session/ and its tests. */
#ifndef SESSION_SESSION_PRIVATE_H
#define SESSION_SESSION_PRIVATE_H

#include "session/session.h"

/* ---- table.c: states and events ---- */

enum session_event {
    SESSION_EV_WANTED,        /* somebody asks for the model */
    SESSION_EV_UNWANTED,      /* unload it */
    SESSION_EV_RELOAD,        /* start it with other options, or on another choice */
    SESSION_EV_FOUND,         /* the file that its name means is known */
    SESSION_EV_FITS,          /* there is memory for it, and a thread */
    SESSION_EV_LOADS,         /* a proven choice loads the model */
    SESSION_EV_UP,            /* an engine runs and was verified */
    SESSION_EV_NOTHING_NOW,   /* no choice works, but one that was left out may again */
    SESSION_EV_NOTHING_WORKS, /* no choice works, or there is no such model */
    SESSION_EV_BEGAN,         /* a request */
    SESSION_EV_IDLE,          /* the last request ended */
    SESSION_EV_LOST,          /* the engine ended, or hangs */
    SESSION_EV_DOUBTED,       /* it runs, and gives no answers */
    SESSION_EV_JUDGED,        /* its choice has proved itself again, or has failed */
    SESSION_EV_DUE,           /* the time of the state is over */
    SESSION_EV_ENDED,         /* the engine is gone */
    SESSION_EV_CHECKED,       /* the model computes as on the CPU: changes no state */
    SESSION_EVENTS
};

/* What has to be done once the state has changed. */
enum session_action {
    SESSION_DO_NOTHING,
    SESSION_DO_FIND,     /* which file does the name mean? */
    SESSION_DO_MAKE_FIT, /* make room in memory for it */
    SESSION_DO_BRING_UP, /* end what runs; bring up the best choice */
    SESSION_DO_PROVE,    /* end what runs; prove its choice again */
    SESSION_DO_SERVE,    /* hand it the requests that wait */
    SESSION_DO_REST,     /* tell those who wait, where there is no hope; then wait a while */
    SESSION_DO_END,      /* end what runs */
    SESSION_DO_FORGET,   /* nothing of it is left */
};

struct session_cell {
    bool set; /* false: the event is ignored */
    enum session_state next;
    enum session_action action;
};

struct session_cell session_cell(enum session_state state, enum session_event event);

/* ---- blame.c: whose fault was it? docs/how-it-decides.md has the rule in words ---- */

enum blame_loss {
    BLAME_BROKE,  /* the engine crashed, exited or hung: its own doing, or a request's */
    BLAME_KILLED, /* ended from outside: this says nothing about a request or a choice */
};

/* One engine that broke, until every request that was under way in it has had its second try. */
struct blame_case {
    struct blame_case *next;
    char *fingerprint; /* the choice's */
    struct gfxb_error why;
    unsigned open;  /* suspects that have not been answered yet */
    bool excused;   /* one of them ended another engine too, or left: the choice may be innocent */
    bool explained; /* one of them ended another engine all alone */
    bool first;     /* the choice had answered nothing before */
};

struct blame_choice {
    char *fingerprint;
    bool last_resort;     /* the CPU: never rejected for a crash */
    bool aside;           /* left out for a while, in memory only; why says for what */
    unsigned faults;      /* requests that it failed and another choice answered */
    unsigned killed;      /* its engines killed in a row without an answer */
    unsigned unexplained; /* its engines that broke, and nobody knows by what */
    uint64_t answers;
    struct gfxb_error why;
};

/* Of one session. All zero is the beginning. */
struct blame {
    struct blame_choice *choice;
    size_t n;
    size_t running, home; /* indexes: of the choice that runs now; before a suspect was sent away */
    bool away;            /* a choice other than home runs, for the sake of suspects */
    struct blame_case *open;   /* with suspects that wait for their second try */
    struct blame_case *starts; /* choices that could not start the model, until one answers */
};

void blame_done(struct blame *b);

/* An engine of this choice runs now; proven ones among those that failed before it could not start
 * the model. */
void blame_up(struct blame *b, const char *fingerprint, bool last_resort,
              const struct session_failure *failed, size_t n);
/* The running engine was lost with these requests under way: sets the fate of each. others: there
 * were more, which will not be tried again and may have caused it. */
void blame_lost(struct blame *b, enum blame_loss loss, const struct gfxb_error *why,
                struct blame_request *const *requests, size_t n, bool others);
/* The running choice has failed the canary again, whether that is stored or not (too little memory
 * is not): others come first from now on. */
void blame_failed_proof(struct blame *b, const struct gfxb_error *why);
/*
 * The running engine has answered the request. The cases that are decided against a choice by that,
 * to be rejected on disk and freed with blame_cases_free; NULL none.
 */
struct blame_case *blame_answered(struct blame *b, struct blame_request *r);
/* It is answered by the engine that was lost, which had sent everything before. */
void blame_innocent(struct blame *b, struct blame_request *r);
/* It will not be answered: its client left, or its answer was cut. */
void blame_left(struct blame *b, struct blame_request *r);
/* The suspects are done, and the choice that they were sent away from is not rejected. */
bool blame_wants_home(const struct blame *b);
void blame_cases_free(struct blame_case *list);
/* All that was set aside may be tried again. */
void blame_forget(struct blame *b);

/* What a bring-up has to know now. */
void blame_history(const struct blame *b, bool served, struct session_history *ret_history);

/* ---- plan.c and bring_up.c ---- */

/* Does it run a model on the CPU? Behind that there is nothing, and the model may be at fault. */
bool session_is_last_resort(const struct session *session);

/* What is stored of this model on the choices of the proofs that the plan is to see. */
void session_read_checks(const struct session_request *r, struct session *session);
/* "STATE PATH": the state of the model's files and of its recipe's arguments. To be freed; NULL:
 * the files are not there, or it is the canary. */
char *session_model_state(const struct session_request *r, const struct session *session);
/* bring_up.c: how an engine of this package is started, as far as the request says; cache_dir is
 * lent, session_home to be freed. */
void session_spec(const struct session_request *r, const struct package *package,
                  const char *cache_dir, struct engine_spec *ret_spec);
char *session_home(const struct session_request *r, const struct package *package);
/* The trial of the CPU with any package, without a GPU. */
struct plan_choice session_cpu_choice(void);

/* tuned.c: what is stored for the model on the choices of the plan. */
void session_read_tuned(const struct session_request *r, struct session *session);
/* Answers at the same time that tune found best for the model; 0: it did not look. */
unsigned session_tuned_slots(const struct session *session);
/* How the running engine was lost. One that broke with settings of tune says nothing about its
 * choice: they are not used again in this session. */
enum blame_loss session_loss(struct session *session, bool broke);
/* Where an object "of" something (a fingerprint) and the request's model is stored; to be freed. */
char *tuned_path(const struct session_request *r, const char *of, const char *suffix);
/* As a whole, or not at all. */
int tuned_write(const struct session_request *r, const char *path, const json_t *object,
                struct gfxb_error *err);
json_t *tuned_read(const char *path); /* NULL: there is none */
/* All of the request's model on the choices of these fingerprints (NULL: on all) but this path
 * (NULL none). */
int tuned_remove_all(const struct session_request *r, const json_t *of, const char *but,
                     unsigned *ret_n, struct gfxb_error *err);
/* bring_up.c: what the model needs on this choice with these settings (NULL none) is tested. */
int session_prove_need(const struct session_request *r, struct session *session,
                       const struct plan_choice *choice, const json_t *settings,
                       struct gfxb_error *err);

/* ---- slots.c: where the request has slots_dir; else they do nothing ---- */

/* Makes session->slots_dir for the model in its state on this choice, and removes what was kept of
 * it in others. fingerprint NULL: nothing is kept. */
void session_slots_open(const struct session_request *r, struct session *session,
                        const char *fingerprint);
/* What was kept goes back into the running engine; nothing of it stays on disk. */
void session_slots_restore(const struct session_request *r, struct session *session);
/* Keep what the running engine's slots hold, as far as the disk has room. */
void session_slots_save(const struct session_request *r, struct session *session);
void session_slots_forget(struct session *session);

/* What the package room needs to know of a request. */
struct package_env session_package_env(const struct session_request *r);
/* The kind of engine that is to answer: the model's, else the one that was named. */
const struct engine_kind *session_kind(const struct session_request *r);
/* Read packages and proofs again and plan; failures of this bring-up count as the newest proofs. */
int session_make_plan(const struct session_request *r, struct session *session,
                      struct gfxb_error *err);
void session_forget_failures(struct session *session);

/* ---- nodes.c: other computers ---- */

/* Is it time to ask them: nothing works on this one alone, or they are wanted, and they were not
 * asked in this bring-up? After a plan. */
bool session_wants_nodes(const struct session_request *r, const struct session *session);
/* Ask them all; those that do not answer are noted with the reason. The plan before is forgotten by
 * then. Only failures of our own process are failures. */
int session_ask_nodes(const struct session_request *r, struct session *session,
                      struct gfxb_error *err);
/* What was asked becomes part of the request; lent. One that failed just now has that as its code,
 * for a second and twice as long each time. */
void session_take_nodes(const struct session *session, struct plan_request *request);
/* A new bring-up asks again. The plan is forgotten by then. */
void session_forget_nodes(struct session *session);
/* As plan_installed has it, where nodes were found: lent. */
const char *session_protocol(const struct session_request *r, struct session *session,
                             const struct package *package);
/* The links of a choice's members, into the spec; nothing for a choice of this computer alone.
 * Codes of node_link_open. They are open until session_stop_engine. */
int session_open_links(struct session *session, const struct plan_choice *choice,
                       struct engine_spec *spec, struct gfxb_error *err);
/* 0, or the code and reason of the first link that was lost. blame: an engine failed, and a loss
 * that is noticed within seconds was the cause. */
int session_check_links(struct session *session, struct gfxb_error *err);
int session_blame_links(struct session *session, struct gfxb_error *err);
void session_close_links(struct session *session);
/* A code of another computer, which says nothing about a choice, an engine or a request? */
bool session_is_nodes(int code);
void session_nodes_done(struct session *session);

/* ---- where a pool's engines come from: worker.c, or the script of a test or bench ---- */

/* What a worker tells the pool. */
struct session_news {
    enum session_event event; /* LOADS, UP, NOTHING_WORKS, LOST, JUDGED, ENDED or CHECKED */
    struct gfxb_error why;    /* of NOTHING_WORKS and LOST */
    enum blame_loss loss;     /* of LOST */
    bool passed;              /* of JUDGED */
    bool checked;             /* of UP and CHECKED: the model computes as on the CPU */
    /* Of UP: */
    struct pool_endpoint endpoint; /* but for http and generation */
    char socket[108], key[80];
    bool last_resort;
    const char *fingerprint;              /* of its choice; lent */
    const struct session_failure *failed; /* choices that were passed over; lent */
    size_t n_failed;
};

/* In the loop's thread, and never from within a call of struct session_engines. */
void pool_news(struct pool_model *m, const struct session_news *news);

enum session_order_kind {
    SESSION_BRING_UP, /* LOADS may come, then UP, or NOTHING_WORKS; after UP perhaps LOST */
    SESSION_PROVE,    /* JUDGED or NOTHING_WORKS */
    SESSION_REJECT,
    SESSION_END, /* stop what is under way, whatever it is: ENDED, and no more */
};

struct session_order {
    enum session_order_kind kind;
    struct pool_options options;    /* bring up */
    struct session_history history; /* bring up; taken over */
    bool keep;                      /* end: what its slots hold, for its next start */
    char *fingerprint;              /* reject; taken over */
    struct gfxb_error why;          /* reject */
};

/* Everything returns at once; what it leads to is told by pool_news. */
struct session_engines {
    /* 0 and an engine that does nothing yet; -EAGAIN: no thread, -EMFILE: no descriptor. */
    int (*open)(struct pool_model *m, void **ret_engine, struct gfxb_error *err);
    void (*order)(void *engine, const struct session_order *order);
    /* Requests that are under way in it now; answered: one has just been. */
    void (*traffic)(void *engine, unsigned requests, bool answered);
    void (*close)(void *engine); /* before anything was asked of it, or after ENDED */
};

extern const struct session_engines session_workers;

/* ---- the pool from the inside ---- */

struct pool_queue {
    struct pool_waiter *first, *last;
    unsigned n;
};

enum {
    POOL_NAMES_MAX = 16,  /* names that a model was asked for by */
    POOL_USELESS_MAX = 3, /* answers in a row that were none: the engine is doubted */
};

struct pool_model {
    struct pool_model *next;
    struct pool *pool;
    enum session_state state;
    char *names[POOL_NAMES_MAX]; /* as it was asked for; [0] is its own once found */
    size_t n_names;
    struct pool_found found;
    uint64_t stamp; /* of the files of found, when they were looked up */
    bool stale;     /* they are other ones now, or gone: no request gets here any more */
    void *engine;   /* of pool_config.engines; NULL none */
    struct loop_timer timer;
    struct pool_endpoint *endpoint;  /* NULL: no engine is ready */
    struct pool_queue queue, active; /* active: of all its endpoints */
    struct blame blame;
    struct pool_waiter *watched; /* a suspect that is alone in the engine; NULL none */
    int64_t watched_until;
    int64_t hold_until, doubt_at; /* an answer was none: is the engine dying? */
    int64_t left_at;              /* a request left this endpoint without an answer; 0 none has */
    unsigned useless;             /* answers in a row that were none */
    struct pool_waiter *doubter;  /* the request that the engine is doubted for; NULL left */
    struct gfxb_error why;        /* failed: why */
    struct gfxb_error lost;       /* why the last engine was lost; .code 0: none was */
    bool serving;                 /* pool_serve is at work */
    bool aside;                   /* it ends to come back: what its slots hold is kept */
    bool reload;                  /* end it, and start it again, once nobody uses it */
    bool pinned;
    /* Context and backend: wanted; of the last bring-up; of the last that ran. */
    struct pool_options options, asked, worked;
    bool has_worked;             /* worked is filled in */
    unsigned too_large;          /* a context that could not be had since it was loaded; 0 none */
    bool served;                 /* an engine of it ran since it was loaded */
    bool checked;                /* it computes as on the CPU, by what is stored */
    unsigned nowhere;            /* bring-ups in a row that ended nowhere */
    int64_t pause_ms;            /* the last one; 0 none yet */
    int64_t keep;                /* seconds */
    int64_t used_at;             /* ms of the loop's clock */
    int64_t loaded_at, last_use; /* unix seconds */
    int64_t expires_at;
    struct pool_counters counters;
};

struct pool {
    struct pool_config config;
    const struct session_engines *engines;
    struct pool_model *models;
    size_t n_models, waiting, looking; /* looking: names that are being looked up */
    uint64_t budget;                   /* bytes for all models; 0 unknown */
    uint64_t generation;
    struct pool_counters totals;
    bool draining, ending;
    /* Written by the workers' threads too: is the whole server idle? */
    atomic_uint busy;     /* requests in engines, and engines that are being brought up */
    atomic_llong used_at; /* monotonic ms: when one of them began or ended last */
    atomic_int comparing; /* a model is compared with the CPU: one at a time */
    atomic_int give_way;  /* of that: a request or an order is there */
    void (*ended)(void *context);
    void *ended_context;
};

/* pool_life.c: an event of a model's life, and what follows from it. The model may be gone
 * afterwards. */
void pool_turn(struct pool_model *m, enum session_event event);
/* Look again at what is due when, and at what may be done now. The model may be gone afterwards. */
void pool_look(struct pool_model *m);
void pool_due(struct loop_timer *timer);
void pool_order(struct pool_model *m, const struct session_order *order);
void pool_check_end(struct pool *pool);

/* Tokens that the model takes, of those that are wished for. */
unsigned pool_context(const struct pool_model *m, unsigned wish);

/* What tells the files of a model from others at the same place, or from none. */
uint64_t pool_stamp(const struct pool_found *found);
/* It is to go, once the requests that have it are done. The model may be gone afterwards. */
void pool_let_go(struct pool_model *m);

/* pool.c */
struct pool_model *pool_find(const struct pool *pool, struct str name);
struct pool_model *pool_model_new(struct pool *pool, struct str name);
void pool_add_name(struct pool_model *m, struct str name);
void pool_model_free(struct pool_model *m);
/* Hand requests of its queue to its engine, as many as it takes. */
void pool_serve(struct pool_model *m);
/* Everybody who waits is told. loads_only: only those who wait for nothing but the loading. */
void pool_fail(struct pool_model *m, const struct gfxb_error *why, bool loads_only);
/* Those who wait for what it cannot answer are told. */
void pool_sort_out(struct pool_model *m);
/* Its engine is of no use any more. */
void pool_drop_endpoint(struct pool_model *m);
/* The engine was lost: the rule says what becomes of the requests that were under way in it. */
void pool_lost_engine(struct pool_model *m, enum blame_loss loss, const struct gfxb_error *why);
/* The canary was right: the engine that gave no answers is not at fault in general. */
void pool_charge_doubter(struct pool_model *m);
/* Its files are other ones now, or gone: who waits goes over to the fresh one. It may be gone
 * afterwards. */
void pool_retire(struct pool_model *m, struct pool_model *fresh);
/* Its waiters go over to the other model, with what they asked for. */
void pool_join(struct pool_model *m, struct pool_model *other);

#endif
