/*
 * request.h - from this user's options, environment and directories to what the rooms below are
 * asked for; and what several commands do with it. Private to cli/.
 */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "cli/cli.h"
#include "engine/engine.h"
#include "model/model.h"
#include "package/package.h"
#include "session/session.h"

/* ---- how this user's packages are fetched ---- */

/*
 * GFXBRIDGE_MIRROR, GFXBRIDGE_CA_FILE and the settings that sources of packages ask for; an empty
 * one counts as not set. Lends from the environment and cli.
 */
struct package_net cli_package_net(struct cli *cli);

/* "WHAT: 1.2 of 3.4 MB (35 %), 5.6 MB/s, 0:42 left" to stderr, without a newline. */
void cli_progress_line(const char *what, const struct fetch_progress *p, int64_t seconds);

/* ---- where this user's models are ---- */

enum { CLI_MODELS_MAX = 16 };

struct cli_models {
    struct model_env env;
    char *owned[CLI_MODELS_MAX];
    size_t n;
};

/*
 * HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME; HF_ENDPOINT; HF_TOKEN,
 * HF_TOKEN_PATH; HF_HUB_OFFLINE; OLLAMA_MODELS; LLAMA_CACHE; GFXBRIDGE_OLLAMA_REGISTRY, and those
 * of net.h. env.machine stays NULL: whether a model fits is not asked unless the caller sets it.
 */
void cli_models_init(struct cli *cli, struct cli_models *ret_models);
void cli_models_done(struct cli_models *models);

/* model_find in these directories. */
int cli_find_model(struct cli *cli, const char *name, struct model *ret_model,
                   struct gfxb_error *err);

/* ---- which choice is wanted: plan, run, backends and others ---- */

/* The first options of a command that plans, in this order; its own follow. */
#define CLI_REQUEST_OPTIONS                                                                        \
    {"backend", "rocm|vulkan|cpu|vulkan-software", "only this backend"},                           \
        {"policy", "rocm-first|fastest|vulkan|cpu", "how to rank them (default rocm-first)"},      \
        {"gpu", "PCI", "only this GPU, by its PCI address"},                                       \
    {                                                                                              \
        "allow-override", NULL, "also code objects of an equal target, once proven"                \
    }
enum {
    CLI_REQUEST_BACKEND,
    CLI_REQUEST_POLICY,
    CLI_REQUEST_GPU,
    CLI_REQUEST_OVERRIDE,
    CLI_REQUEST_NEXT
};

/* Everything of a request but the model: the machine, the tables, the places, the request. For a
 * captured machine nothing counts as installed or proven, unless --data-dir names what does. */
int cli_session_request(struct cli *cli, const struct cli_args *args,
                        struct session_request *ret_request, struct gfxb_error *err);

/* GFXBRIDGE_SANDBOX=off: engines are started without the sandbox. */
bool cli_is_unconfined(void);

/* The choice that an engine runs on, its reasons and its notes, to stderr. */
void cli_tell_choice(const struct session *session);

/* Exit code of a bring-up that ended nowhere, after its sentence (and with --verbose every
 * backend's reason) went to stderr; other failures are handed back as they are. */
int cli_nowhere(const struct cli *cli, const struct session *session, int result,
                const struct gfxb_error *err);

/* ---- chat.c: a conversation on the terminal ---- */

/*
 * Ask and answer until the user ends it: line editing with a history that is kept in the data
 * directory, several lines between """ and """, /help for the rest. SIGINT stops the answer, not
 * the program. A model samples as it says, the canary greedily. *session is the request's, walked;
 * when its engine breaks it becomes the next choice's. An exit code, or a negative error with *err
 * filled.
 */
int chat_run(struct cli *cli, const struct session_request *request, struct session *session,
             unsigned max_tokens, struct gfxb_error *err);

/* ---- control.c: the running server of this user ---- */

/*
 * Ask this user's server; body is taken over (NULL: GET). On success *ret_answer is the JSON of a
 * good answer, for the caller to release. Its refusal is an error with its own words.
 */
int control_ask(const struct cli *cli, const char *session, json_t *body, json_t **ret_answer,
                struct gfxb_error *err);

#endif
