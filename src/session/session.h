/*
 * session.h - the outward header of session/: the life of a model, from a request to an engine that
 * answers. Used by run, chat, bench and serve.
 *
 * A bring-up plans, installs, proves, starts, and looks where the weights are; what fails on the
 * way is an input of the next plan. session_ask answers one question, whatever becomes of engines
 * meanwhile. When an engine is lost, one rule says whose fault it was (docs/how-it-decides.md,
 * "Whose fault it was").
 *
 * What begins with session_ blocks; a session belongs to one thread at a time. The pool keeps the
 * sessions of a server, each on a thread of its own: what begins with pool_ is called in the loop's
 * thread and never blocks.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "engine/engine.h"
#include "http/http.h"
#include "node/node.h"

/* The states of a model's life; table.c says what leads from one to the next. */
enum session_state {
    SESSION_STOPPED,
    SESSION_FINDING,      /* which file does its name mean? */
    SESSION_WAITING,      /* for memory, which others have */
    SESSION_STARTING,     /* plan, install, prove */
    SESSION_LOADING,      /* a proven choice loads the model */
    SESSION_READY,        /* its engine runs, and no request is under way */
    SESSION_BUSY,         /* its engine runs, and requests are under way */
    SESSION_FAILING_OVER, /* its engine was lost; the next one is on its way */
    SESSION_DOUBTFUL,     /* its engine gave no answers: its choice proves itself again */
    SESSION_BACKING_OFF,  /* no choice works now; it is tried again after a pause */
    SESSION_FAILED,       /* no choice works: that is told for a while */
    SESSION_STOPPING,     /* its engine is being ended */
    SESSION_RESTARTING,   /* the same, and it starts again with other options */
    SESSION_STATES
};

/* A choice that failed: it stands in the plan with its own code. */
struct session_failure {
    char *fingerprint, *detail;
    int code;
    bool broke; /* it was proven, and could not start the model */
};

/* Strings and arrays are lent for as long as a session of this request is used. */
struct session_request {
    const struct machine *machine;
    const struct gfx_tables *tables;
    const struct root *root;     /* the live computer */
    struct plan_request request; /* installed, proof and canary_version are filled in here */
    const char *data_dir;        /* NULL, for session_plan alone: nothing is installed or proven */
    const char *runtime_dir;     /* made when absent */
    const char *slots_dir; /* where slots are kept of models that come back; NULL: they are not */
    /* Where paired computers are listed, which help where this one alone does not do (or with
     * request.want_set); NULL: none are asked. */
    const char *config_dir;
    const char *model;               /* a GGUF file; NULL: the canary */
    const char *mmproj;              /* the model's projector; NULL none */
    const struct model_known *known; /* the model's row of the list; NULL none */
    uint32_t context;                /* tokens of one request; 0: its recipe's, or what fits */
    const struct log *log;           /* NULL none */
    struct package_net net;          /* how packages are fetched; its cancel is the next field */
    const atomic_int *cancel;        /* not 0: give up with "interrupted"; NULL never */
    unsigned slots;                  /* requests at the same time, as far as memory allows; 0: 1 */
    /* For the engine that serves, not for proofs; as in struct engine_spec. */
    unsigned http_threads;
    const char *const *args;           /* behind the choice's own; NULL none */
    struct engine_deadlines deadlines; /* of proofs; 0: the backend's own */
    bool thorough;                     /* a proof asks the seeded canaries as well */
    bool recheck;                      /* what session_check_model has stored counts for nothing */
    bool unconfined;                   /* engines are started without the sandbox */
    void (*on_load)(void *context);    /* a proven choice is about to load the model; NULL none */
    void *load_context;
};

enum { SESSION_PROVIDERS_MAX = 8 };

enum { SESSION_SLOTS = 4 }; /* of a server, unless its settings say otherwise */

struct blame;
struct session_nodes;

/* What is on disk, the plan from it, and the engine that was brought up. All of it is owned by the
 * session. All zero is a session in which nothing was done yet. */
struct session {
    struct package_list packages;
    struct plan_installed *installed;
    struct engine_proofs *stored;
    struct plan_proof *proof; /* stored ones, then failures */
    size_t n_proofs;
    struct plan_provider unusable[SESSION_PROVIDERS_MAX]; /* strings owned */
    size_t n_unusable;
    bool providers_asked;
    struct session_failure *failure; /* of this bring-up */
    size_t n_failures;
    struct plan *plan;
    struct engine *engine;             /* running and verified; NULL */
    struct engine_placement placement; /* of the running engine */
    double load_ms;                    /* how long its start took */
    unsigned context, slots;           /* tokens of one of its answers; answers at the same time */
    const struct plan_choice *running; /* the plan's choice that the engine is */
    const struct package *package;     /* and its package */
    char *model;                       /* path of the model file that it runs */
    char *slots_dir;                   /* that its engine may save its slots in; NULL none */
    char *model_state;                 /* session_model_state before it was started */
    struct model_use *use;             /* what the model's file says; NULL: the canary */
    uint32_t use_context;              /* that was asked for when it was read */
    char *tested;                      /* kinds of model that were tested for it now; NULL none */
    bool proof_failed;                 /* a proof was tried and failed on the way */
    json_t *tuned;                     /* what tune stored for this model as it is now; NULL none */
    const json_t *trial;               /* settings to start with instead; lent; NULL none */
    bool with_settings;                /* the running engine has settings of tune */
    bool untuned;                      /* an engine with settings of tune broke: not used again */
    struct blame *blame;               /* of session_ask; NULL: no engine was lost yet */
    struct session_nodes *nodes;       /* other computers; NULL: none were asked */
};

/* Only the plan, from what is on disk now: changes nothing, needs no network but for
 * request.want_set. */
int session_plan(const struct session_request *request, struct session *ret_session,
                 struct gfxb_error *err);

/* What a bring-up knows of engines that were lost. All zero for the first one; everything is owned.
 */
struct session_history {
    struct session_failure *failed; /* choices that are left out, with their codes */
    size_t n_failed;
    /* Fingerprints of choices that are taken only when no other installed one is left: they lost an
     * engine with a request to be tried elsewhere. */
    char **avoid;
    size_t n_avoid;
    bool served; /* users wait: what is installed and proven comes before what must be fetched */
};

/* Copies it: one more choice that is left out. */
void session_history_add(struct session_history *history, const struct session_failure *failure);
void session_history_done(struct session_history *history);

/*
 * Until an engine runs the model on the best choice that works; one that ran in *session before is
 * ended first. On success session->running says which, and the plan why not the better ones. When
 * nothing works *session is still filled, *err holds the reason of the last resort, and the
 * result is its code. Interrupted and failures of this process or computer (no memory, descriptor
 * or thread, an unwritable directory) end the bring-up at once: session_is_ours.
 */
int session_bring_up(const struct session_request *request, const struct session_history *history,
                     struct session *session, struct gfxb_error *err);

/* Is this code (positive) a failure of our own process or of this computer, which says nothing
 * about a choice or an engine? */
bool session_is_ours(int code);

/*
 * One answer of the session's model, which was brought up. An engine that breaks, hangs
 * (chat->silence_ms) or answers nonsense is replaced, by another choice where there is one, and the
 * answer begins again, of which on_again is told with chat's context. A choice is rejected on disk
 * when another one then gave the answer, or when the canary fails on it again. An answer that looks
 * like garbage makes the choice prove itself again before it stands. Codes of engine_chat, where it
 * is not the engine's fault, of session_bring_up, and request-poison: the request ended two
 * engines.
 */
int session_ask(const struct session_request *request, struct session *session,
                const struct engine_chat *chat, void (*on_again)(void *context),
                struct engine_reply *ret_reply, struct gfxb_error *err);

/* Store that this combination fails, until one of its parts changes or it is verified again. */
int session_reject(const struct session_request *request, const char *fingerprint,
                   const struct gfxb_error *why, struct gfxb_error *err);

/*
 * Prove the plan's choice at this index, again or for the first time, and store the outcome. Its
 * package must be installed. A failed proof is a success of the call: *ret_proof says so.
 */
int session_prove(const struct session_request *request, struct session *session, size_t choice,
                  struct engine_proof *ret_proof, struct gfxb_error *err);

/* Stop the running engine and prove its choice again, which is stored. 0: it computes rightly, and
 * no engine runs; else the code of why not. */
int session_prove_again(const struct session_request *request, struct session *session,
                        struct gfxb_error *err);

/* How session_check_model goes about it. */
struct session_check {
    int patience_ms;          /* for the device, and for the CPU */
    bool idle;                /* the CPU's part computes only while nobody else wants it */
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
};

/*
 * Does the running engine compute the session's model, which is a file (request->model), as the CPU
 * does? Asks both, stores the outcome for this model on this choice, and the next plan goes by it.
 * 0: it does, or -GFXB_E_MODEL_MISMATCH: it does not, stored or (which is logged) not. All else
 * (too little memory beside it, no time, files that were changed, a model that writes no text) says
 * nothing, and nothing is stored.
 */
int session_check_model(const struct session_request *request, struct session *session,
                        const struct session_check *check, struct engine_comparison *ret_comparison,
                        struct gfxb_error *err);

/* Start the request's model on the plan's choice at this index, which is proven: session->engine,
 * for the caller to end with session_stop_engine. */
int session_start_proven(const struct session_request *request, struct session *session,
                         size_t choice, struct gfxb_error *err);
void session_stop_engine(struct session *session);

/* Bytes a second that the plan's choice at this index, which is proven, reads from the memory that
 * it computes from: engine_gpu_bandwidth, or engine_cpu_bandwidth. No engine of the session runs.
 * *ret stays 0 where it is unknown, with the reason in *err. Only interrupted is a failure. */
int session_bandwidth(const struct session_request *request, struct session *session, size_t choice,
                      double *ret_bytes_per_second, struct gfxb_error *err);

/* ---- tune.c: the fastest settings of the engine for a model on this computer ---- */

struct session_tune {
    enum tune_for work;
    int64_t budget_ms;
    bool apply; /* store what wins, for later starts */
    /* What is measured now, how much of the search is done (of 1), and ms that are expected to be
     * left. */
    void (*progress)(void *context, const char *what, double done, int64_t left_ms);
    void *context;
};

/*
 * Brings the request's model up as it would be served, then measures settings beside the defaults
 * (docs/tune.md). Other choices of the plan that are proven are candidates too. *ret_result: a new
 * reference to what docs/tune.md calls the result; also on failure, where something has won by
 * then; else NULL. With apply what wins is stored at once, and used from the next start on. An
 * interrupted search goes on where it was. -EBUSY: another one runs.
 */
int session_tune(const struct session_request *request, const struct session_tune *tune,
                 struct session *session, json_t **ret_result, struct gfxb_error *err);

/* Forget what tune stored and measured for the request's model. */
int session_tune_reset(const struct session_request *request, unsigned *ret_n,
                       struct gfxb_error *err);

/* The settings that tune stored for this choice, an array of texts; lent; NULL none. */
const json_t *session_tuned_for(const struct session *session, const char *fingerprint);

/* Is there a package that session_prove could take, also after a failure? */
bool session_can_prove(const struct plan_choice *choice);
/* The backend that packages for it are of: vulkan-software's are Vulkan's. */
const char *session_package_backend(enum plan_backend backend);

/* Stops the engine and frees everything. */
void session_done(struct session *session);

/*
 * ---- the pool: the models of a server, and the requests that wait for them ----
 *
 * A model is loaded on first use, several at a time as memory allows; the least recently used one
 * goes first.
 */

struct pool;
struct pool_model;

/* A model on this disk. Everything is owned: pool_found_done. */
struct pool_found {
    char *name;     /* as it is called in every answer */
    char *path;     /* NULL: the built-in one */
    char *mmproj;   /* its projector; NULL none */
    char *named_by; /* the file that says which file the name means (model_named_by); NULL none */
    char **args;    /* of the server's own, beside the recipe's; NULL-terminated; NULL nothing */
    const struct model_known *known; /* its row of the list; NULL none */
    uint64_t bytes;                  /* memory that it needs; 0 unknown */
    uint32_t context, width;         /* tokens that it was trained for; numbers of a vector; or 0 */
    enum model_task task;
    bool hears; /* takes sounds */
    bool calls; /* its template has a place for tools */
};

void pool_found_done(struct pool_found *found);

enum { POOL_KEEP_DEFAULT = -2, POOL_KEEP_FOREVER = -1 };

/* What one request asks of its model. */
struct pool_options {
    unsigned context;   /* tokens of one request at least; 0 as it is */
    int64_t keep_alive; /* seconds that it stays after its last use, POOL_KEEP_ */
    int pin;            /* 1 pin, 0 unpin, -1 as it is */
    int backend;        /* enum plan_backend, or -1: any */
};

/* What the engine says about its answers, and what is counted of them. */
struct pool_timings {
    uint64_t prompt_tokens, cached_tokens, tokens;
    double prompt_per_second, tokens_per_second; /* 0 unknown */
};

struct pool_counters {
    uint64_t requests[6]; /* [1..5]: by the first digit of the status; [0]: client left */
    uint64_t prompt_tokens, cached_tokens, tokens;
    double seconds;             /* under way, summed */
    double first_token_seconds; /* of the last answer; 0 unknown */
    struct pool_timings last;
    uint64_t failovers; /* engines lost while they served */
    uint64_t replays;   /* requests that were answered by another engine than the first */
    uint64_t loads;
};

struct session_engines;

/* Lent until pool_free. */
struct pool_config {
    struct loop *loop;
    struct work *work; /* for look-ups of names */
    const struct log *log;
    const struct session_request *request; /* of every model; model, mmproj, known, context, slots,
                                              http_threads, args and cancel are the pool's */
    /* Which file does the name mean? Blocks: called on a thread of work. -GFXB_E_MODEL_UNKNOWN
     * and others. */
    int (*find)(void *context, const char *name, struct pool_found *ret_found,
                struct gfxb_error *err);
    void *find_context;
    const struct session_engines *engines; /* NULL: real ones */
    const char *const *pinned;             /* models that are loaded at the start and stay */
    const char *default_model;             /* for requests without one while nothing is loaded */
    int64_t keep_alive;                    /* seconds, or POOL_KEEP_FOREVER */
    unsigned slots;                        /* answers at a time of one engine, at most */
    unsigned engine_requests;              /* requests at a time that one engine gets */
    unsigned queue;                        /* requests that may wait */
    unsigned max_models;                   /* loaded at a time; 0: no limit */
    bool no_self_check;                    /* models are not compared with the CPU by themselves */
    int idle_ms;                           /* so long without a request before they are; 0: 10 s */
    int alone_ms; /* a suspect that has done no harm for so long is no longer alone; 0: 10 s */
    int gap_ms;   /* an engine without an answer for so long, while requests are under way, is asked
                     for a sign of life; 0: ENGINE_SILENCE_MS */
};

/* How an attempt ended. */
enum pool_outcome {
    POOL_OK,
    POOL_DECLINED,  /* the engine refuses the request in words of its own */
    POOL_BROKEN,    /* the connection was lost, or an answer that is none */
    POOL_REFUSED,   /* nobody listened on the engine's socket */
    POOL_CANCELLED, /* it says nothing about the engine: the client left, or this process failed */
};

/* What becomes of a request whose engine was lost. */
enum blame_fate {
    BLAME_AGAIN,  /* it is tried again, alone when it is a suspect */
    BLAME_POISON, /* it has ended two engines */
    BLAME_ENOUGH, /* it was there too often when engines ended: it may be innocent */
};

/* A request as the rule sees it; part of its owner. All zero is a new one. */
struct blame_request {
    struct blame_case *suspect; /* the loss that it may have caused; NULL none */
    unsigned broke, killed;     /* engines that were lost under it */
    enum blame_fate fate;
};

/* One start of one engine; lives until the last request to it has ended. */
/* Another computer that holds layers of an engine's model. */
struct pool_node {
    char name[NODE_NAME];
    unsigned layers;
    uint64_t need_bytes, have_bytes;        /* for the model; free there before it was loaded */
    double bytes_per_second, round_trip_us; /* of the link; 0 not measured */
};

struct pool_endpoint {
    struct http_endpoint *http;
    const struct engine_kind *kind;
    char backend[24], device[256], package[96];
    struct pool_node node[FIT_NODES_MOST];
    size_t n_nodes;
    unsigned context, slots; /* tokens of one request; requests that it answers at the same time */
    int pid;                 /* 0 unknown */
    uint64_t generation;
    unsigned users;
    bool lost; /* it is the model's no more */
};

/* A request that waits for a model, or is under way in its engine; part of its owner. */
struct pool_waiter {
    bool load_only; /* only wants to know that the model is ready */
    /* Not NULL: can the model answer it? It is asked before the model is loaded; false: the waiter
     * fails. */
    bool (*takes)(struct pool_waiter *waiter, const struct pool_found *model);
    /* The engine is there: send the request to endpoint->http, and call pool_done or pool_again
     * later. With load_only the waiter is out of the pool already. May come from within pool_wait
     * and pool_again. */
    void (*ready)(struct pool_waiter *waiter);
    /* It cannot be answered; the waiter is out of the pool. May come from within pool_wait and
     * pool_again. */
    void (*failed)(struct pool_waiter *waiter, const struct gfxb_error *why);
    struct pool_endpoint *endpoint; /* while under way */
    unsigned attempts;
    /* The pool's own: */
    struct pool_waiter *next, *previous;
    struct pool_model *model; /* NULL: neither waiting nor under way */
    struct pool_options options;
    struct blame_request blame;
    unsigned useless, refused;
    uint64_t broken; /* the generation that its last connection was lost with; 0 none */
};

struct pool *pool_new(const struct pool_config *config);
/* Unload everything; done is called (in the loop) once nothing of it runs any more. */
void pool_end(struct pool *pool, void (*done)(void *context), void *context);
/* Only before anything was asked of it, or after pool_end is done. NULL is fine. */
void pool_free(struct pool *pool);
/* No new requests from now on: the server is shutting down. */
void pool_drain(struct pool *pool);
void pool_load_pinned(struct pool *pool);

/* Of requests without a name: the model that was used last, else the default one. Lent. */
struct str pool_default(const struct pool *pool);
void pool_wait(struct pool *pool, struct str name, const struct pool_options *options,
               struct pool_waiter *waiter);
/* The client left: out of the queue, or of what is under way. */
void pool_leave(struct pool_waiter *waiter);
/* The attempt is over, and no other one follows. */
void pool_done(struct pool_waiter *waiter, enum pool_outcome outcome);
/* The attempt failed before any of the answer was passed on: try again, where that makes sense. */
void pool_again(struct pool_waiter *waiter, enum pool_outcome outcome);

/* While it is under way: of its model. */
struct pool_counters *pool_counters(const struct pool_waiter *waiter);
/* While it waits or is under way: its model. */
const struct pool_found *pool_model_of(const struct pool_waiter *waiter);
/* Why its engine was lost, where that is known already; NULL it is not. */
const struct gfxb_error *pool_lost(const struct pool_waiter *waiter);

/* 0, or -ENOENT when it is not loaded. name empty: all. Requests under way are finished first. */
int pool_unload(struct pool *pool, struct str name, struct gfxb_error *err);

/* What people are told of a model. */
enum pool_state { POOL_LOADING, POOL_READY, POOL_FAILING_OVER, POOL_UNLOADING };

struct pool_status {
    const char *name; /* strings are lent until the loop goes on */
    const char *path;
    enum pool_state state;
    const char *backend, *device, *package; /* "" while no engine is ready */
    const struct pool_node *node;           /* lent too */
    size_t n_nodes;
    /* Tokens of one request, and requests that are answered at the same time; 0 while no engine is
     * ready. */
    unsigned context, slots;
    unsigned active, waiting; /* requests at the engine, and in our queue */
    bool pinned;
    bool checked; /* it computes as on the CPU: session_check_model passed */
    int64_t loaded_at, last_use, expires_at; /* unix seconds; expires_at 0: never */
    uint64_t bytes;                          /* memory that it is counted with */
    int pid;                                 /* 0 unknown */
    struct pool_counters counters;
};

size_t pool_count(const struct pool *pool);
/* False behind the last one. */
bool pool_at(const struct pool *pool, size_t index, struct pool_status *ret_status);
/* Requests that wait, of all models. */
size_t pool_waiting(const struct pool *pool);
struct pool_counters *pool_totals(struct pool *pool);

/* ---- offer.c: what this computer computes for paired ones ---- */

struct session_offer;

/*
 * Proves (or finds proven) the best choice whose package has a worker, and starts that once. Lends
 * the request, which asks for no model. Codes of session_bring_up, -GFXB_E_NODE_UNPROVEN: no
 * package has one, -ENOTSUP: this kernel has no sandbox for one.
 */
int session_offer_new(const struct session_request *request, struct session_offer **ret_offer,
                      struct gfxb_error *err);
/* Its side of a server, which serves it; no more than one. */
void session_offer_serve(struct session_offer *offer, struct node_server *ret_server);
void session_offer_free(struct session_offer *offer);

#endif
