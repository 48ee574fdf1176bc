/* request.h - the options that say which path is wanted, shared by plan, run and backends. */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "cli/cli.h"
#include "engine/engine.h"
#include "session/session.h"

/* The first options of a command that plans, in this order; its own follow. */
#define CLI_WISH_OPTIONS                                                                           \
    {"backend", "rocm|vulkan|cpu|vulkan-software", "only this backend"},                           \
        {"policy", "rocm-first|fastest|vulkan|cpu", "how to rank them (default rocm-first)"},      \
        {"gpu", "PCI", "only this GPU, by its PCI address"},                                       \
    {                                                                                              \
        "allow-override", NULL, "also code objects of an equal target, once proven"                \
    }
enum { CLI_WISH_BACKEND, CLI_WISH_POLICY, CLI_WISH_GPU, CLI_WISH_OVERRIDE, CLI_WISH_NEXT };

/* Everything of a request but the model: the machine, the tables, the places, the request. For a
 * captured machine nothing counts as installed or proven, unless --data-dir names what does. */
int cli_path_request(struct cli *cli, const struct cli_args *args,
                     struct session_request *ret_request, struct gfxb_error *err);

/* GFXBRIDGE_SANDBOX=off: engines are started without the sandbox. */
bool cli_is_unconfined(void);

/* "not rocm: ..." to stderr, one line for every backend that would have come before the chosen one.
 */
void cli_why_not(const struct plan *plan, const struct plan_choice *chosen);

/* The path that an engine runs on, its reasons and its notes, to stderr. */
void cli_tell_path(const struct session *path);

/* Exit code of a walk that ended nowhere, after its sentence (and with --verbose every backend's
 * reason) went to stderr; other failures are handed back as they are. */
int cli_nowhere(const struct cli *cli, const struct session *path, int result,
                const struct gfxb_error *err);

#endif
