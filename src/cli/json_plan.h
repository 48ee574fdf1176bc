/* json_plan.h - a plan and its choices as JSON objects, for plan and run. */
#ifndef CLI_JSON_PLAN_H
#define CLI_JSON_PLAN_H

#include "cli/cli.h"

json_t *cli_json_choice(const struct plan_choice *choice);
json_t *cli_json_plan(const struct plan *plan); /* policy, choices, chosen */

#endif
