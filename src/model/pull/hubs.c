#include "model/pull/hubs.h"

/* Made by the build from data/hubs.tsv (tools/embed.py). */
extern const char model_data_hubs[], model_data_hubs_end[];

enum { HUBS_NAME, HUBS_HOST, HUBS_ENDPOINT };

static struct str hubs_field(enum model_hub hub, unsigned column)
{
    static const char *const columns[] = {"hub", "host", "endpoint", "source", NULL};
    static const char *const names[] = {[MODEL_HUB_HF] = "hub", [MODEL_HUB_OLLAMA] = "ollama"};
    struct str bytes = {model_data_hubs, (size_t)(model_data_hubs_end - model_data_hubs)};
    struct table table;
    struct table_row row;
    table_init(&table, "hubs.tsv", bytes, columns);
    while (table_next(&table, &row, NULL) == 1) {
        if (str_is(row.field[HUBS_NAME], names[hub]))
            return row.field[column];
    }
    return STR_NONE;
}

struct str model_hub_endpoint(enum model_hub hub)
{
    return hubs_field(hub, HUBS_ENDPOINT);
}

struct str model_hub_host(enum model_hub hub)
{
    return hubs_field(hub, HUBS_HOST);
}
