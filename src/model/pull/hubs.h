/* hubs.h - data/hubs.tsv: where models come from unless the user says otherwise. Part of
 * model/model.h. */
#ifndef MODEL_PULL_HUBS_H
#define MODEL_PULL_HUBS_H

#include "base/base.h"

enum model_hub { MODEL_HUB_HF, MODEL_HUB_OLLAMA };

/* "https://...", without a "/" at the end; a view into the table. */
struct str model_hub_endpoint(enum model_hub hub);
/* The host in names: "registry.ollama.ai". */
struct str model_hub_host(enum model_hub hub);

#endif
