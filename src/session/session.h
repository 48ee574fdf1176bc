/*
 * session.h - the whole path, walked: plan, install, prove, and on to the next choice until one
 works.

 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "engine/engine.h"

/* Something that failed while the path was walked: it stands in the plan with its own code. */
struct session_failure {
    char *fingerprint, *detail;
    int code;
    bool broke; /* it was proven, and broke with what another choice may do: see session_settle */
};

struct session_request {
    const struct machine *machine;
    const struct gfx_tables *tables;
    const struct root *root;     /* the live computer */
    struct plan_request request; /* installed, proof and canary_version are filled in by the path */
    const char *data_dir;        /* NULL, for session_plan alone: nothing is installed or proven */
    const char *runtime_dir;     /* made when absent */
    const char *model;           /* a GGUF file; NULL: the canary */
    const char *mmproj;          /* the model's projector; NULL none */
    const struct model_known *known; /* the model's row of the list; NULL none */
    uint32_t context;                /* tokens for the model; 0: its recipe's, or what fits */
    const struct log *log;           /* NULL none */
    struct package_net net;          /* how packages are fetched; its cancel is the next field */
    const atomic_int *cancel;        /* not 0: give up with "interrupted"; NULL never */
    /* For the engine that serves, not for proofs; as in struct engine_spec. */
    unsigned slots, http_threads;
    const char *const *args;              /* behind the choice's own; NULL none */
    struct engine_deadlines deadlines;    /* of proofs; 0: the backend's own */
    bool unconfined;                      /* engines are started without the sandbox */
    const struct session_failure *failed; /* before this walk: rejected in it with their codes */
    size_t n_failed;
    void (*on_load)(void *context); /* a proven choice is about to load the model; NULL none */
    void *load_context;
};

enum { PATH_PROVIDERS_MAX = 8 };

/* Where the path stands or ended. Everything is owned by it. */
struct session {
    struct package_list packages;
    struct plan_installed *installed;
    struct engine_proofs *stored;
    struct plan_proof *proof; /* stored ones, then failures */
    size_t n_proofs;
    struct plan_provider unusable[PATH_PROVIDERS_MAX]; /* strings owned by the path */
    size_t n_unusable;
    bool providers_asked;
    struct session_failure *failure;
    size_t n_failures;
    struct plan *plan;
    struct engine *engine;             /* running and verified; NULL */
    struct engine_placement placement; /* of the running engine */
    double load_ms;                    /* and how long its start took */
    const struct plan_choice *running; /* the plan's choice that the engine is */
    const struct package *package;     /* and its package */
    char *model;                       /* path of the model file that it runs */
    struct model_use *use;             /* what the model's file says; NULL: the canary */
    bool proof_failed;                 /* a proof was tried and failed on the way */
};

/* Only the plan, from what is on disk now: changes nothing, needs no network. */
int session_plan(const struct session_request *request, struct session *ret_path,
                 struct gfxb_error *err);

/*
 * Until an engine runs the model on the best choice that works. On success ret_path->running says
 * which, and the plan why not the better ones. When nothing works ret_path is filled all the same,
 * *err holds the reason of the last resort, and the result is its code; interrupted and failures of
 * this computer (out of memory, an unwritable data directory) end the walk at once.
 */
int session_walk(const struct session_request *request, struct session *ret_path,
                 struct gfxb_error *err);

/*
 * One answer of the path's model. An engine that breaks, hangs (chat->silence_ms) or computes
 * wrongly is left for the next choice: *path becomes that walk, in which the old choice is rejected
 * with its reason, and the answer begins again, of which on_again is told with chat's context. Once
 * it has come session_settle is called. An answer that looks like garbage makes the choice prove
 * itself anew before it stands. Codes of engine_chat, where it is not the engine's fault, and of
 * session_walk.
 */
int session_ask(const struct session_request *request, struct session *path,
                const struct engine_chat *chat, void (*on_again)(void *context),
                struct engine_reply *ret_reply, struct gfxb_error *err);

/* The running engine did what was asked: what was proven and broke on the way to it is remembered,
 * so that no later walk begins with it. Before, the model or the prompt might have been at fault.
 */
void session_settle(const struct session_request *request, const struct session *path);

/* Store that this combination fails, until one of its parts changes or it is verified again. */
int session_remember(const char *data_dir, const char *fingerprint, const struct gfxb_error *why,
                     struct gfxb_error *err);

/*
 * Prove the plan's choice at this index, again or for the first time, and store the outcome. Its
 * package must be installed. A failed proof is a success of the call: *ret_proof says so.
 */
int session_prove(const struct session_request *request, struct session *path, size_t choice,
                  struct engine_proof *ret_proof, struct gfxb_error *err);

/* Start the request's model on the plan's choice at this index, which is proven: path->engine, for
 * the caller to end with session_stop_engine. */
int session_start_proven(const struct session_request *request, struct session *path, size_t choice,
                         struct gfxb_error *err);
void session_stop_engine(struct session *path);

/* Is there a package that session_prove could take, also after a failure? */
bool session_can_prove(const struct plan_choice *choice);
/* The backend that packages for it are of: vulkan-software's are Vulkan's. */
const char *session_package_backend(enum plan_backend backend);

/* Stops the engine and frees everything. */
void session_done(struct session *path);
/* The same for a path that session_plan made: there is no engine to stop. */
void session_plan_done(struct session *path);

#endif
