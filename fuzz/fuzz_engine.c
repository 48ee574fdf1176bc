/*
 * fuzz_engine.c - what an engine says: device lists, logs, memory maps, event streams and their
 * JSON, last words; and the text of a stored proof. The first byte chooses the reader. Anything
 * goes but a crash, a hang, or a result outside of its limits.
 */
#include "engine/engine_private.h"
#include "http/http.h"

#include <stdlib.h>

static void require(bool good)
{
    if (!good)
        abort();
}

static void read_devices(struct str bytes)
{
    struct engine_devices devices = {.n = 0};
    engine_kind_llama.read_devices(bytes, &devices);
    for (size_t i = 0; i < devices.n; i++)
        require(devices.item[i].name[0] && strlen(devices.item[i].name) < 32);
    engine_devices_done(&devices);
}

static void read_placement(struct str bytes)
{
    char text[300];
    struct engine_placement placement;
    engine_kind_llama.read_placement(bytes, &placement);
    require(placement.n <= ENGINE_PLACEMENT_MAX && placement.gpu_mib >= 0.0 &&
            placement.cpu_mib >= 0.0);
    for (size_t i = 0; i < placement.n; i++)
        (void)placement_names(&placement.item[i], "Vulkan0,ROCm0");
    engine_placement_text(&placement, text, sizeof(text));
    require(text[0] != '\0');
}

static void read_maps(struct str bytes)
{
    struct maps maps;
    const struct maps_library *a = NULL, *b = NULL;
    maps_parse(bytes, STR("/data/p"), &maps);
    require(maps.n <= MAPS_LIBRARIES_MAX);
    require(!maps_are_mixed(&maps, &a, &b) || !str_eq(a->tree, b->tree));
}

static int take_event(void *context, struct str field, struct str value)
{
    struct buf *seen = context;
    require(str_is(field, "data") || str_is(field, "error"));
    buf_addf(seen, "%zu %zu\n", field.n, value.n);
    return 0;
}

/* The same events whatever the pieces that a stream comes in. */
static void read_events(struct str bytes)
{
    struct buf CLEAN_BUF whole = BUF_INIT(1u << 24), CLEAN_BUF parts = BUF_INIT(1u << 24);
    struct sse sse;
    sse_init(&sse, take_event, &whole);
    require(sse_feed(&sse, bytes) == 0);
    sse_done(&sse);
    sse_init(&sse, take_event, &parts);
    for (size_t at = 0, n = 1; at < bytes.n; at += n, n = n % 7 + 1) {
        size_t left = bytes.n - at;
        require(sse_feed(&sse, (struct str){bytes.p + at, left < n ? left : n}) == 0);
    }
    sse_done(&sse);
    require(str_eq(buf_view(&whole), buf_view(&parts)));
}

static void read_last_words(struct str bytes)
{
    struct gfxb_error err = {.code = 0};
    struct engine_cause cause[8];
    require(engine_cause_find(bytes, cause, 8) <= 8);
    require(diagnose_explain(&engine_kind_llama, 6, bytes, "while loading", &err) < 0 &&
            err.text[0] != '\0');
    require(diagnose_last_words(&engine_kind_llama, bytes).n <= 240);
}

static void read_chunk(struct str bytes)
{
    struct engine_chunk chunk;
    if (engine_kind_llama.read_chunk(STR("data"), bytes, &chunk) != 0)
        return;
    require(chunk.tokens >= -1 && chunk.tokens_per_second >= 0.0);
    require(memchr(chunk.refusal, '\0', sizeof(chunk.refusal)) != NULL);
    json_decref(chunk.json);
}

/* What is read is written the same way again. */
static void read_proof(struct str bytes)
{
    struct proofs_item item, again;
    struct buf CLEAN_BUF text = BUF_INIT(1u << 24), CLEAN_BUF twice = BUF_INIT(1u << 24);
    if (proofs_parse(bytes, &item) < 0)
        return;
    proofs_print(&item, &text);
    require(proofs_parse(buf_view(&text), &again) == 0);
    proofs_print(&again, &twice);
    require(str_eq(buf_view(&text), buf_view(&twice)));
    proofs_item_done(&again);
    proofs_item_done(&item);
}

static void read_timings(struct str bytes)
{
    struct engine_timings timings;
    json_t *ids = NULL;
    if (engine_kind_llama.read_timings(bytes, &timings) == 0)
        require(timings.prompt_per_second >= 0.0 && timings.tokens_per_second >= 0.0);
    if (engine_kind_llama.read_ids(bytes, &ids) < 0)
        return;
    char *CLEAN_FREE request = engine_kind_llama.timed_request(ids, 100, 1);
    require(str_has(str_from(request), STR("\"n_predict\":1")));
    json_decref(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct str) = {
        read_devices,    read_placement, read_maps,  read_events,
        read_last_words, read_proof,     read_chunk, read_timings,
    };
    if (size == 0)
        return 0;
    /* An exact copy, so that a byte beyond the end is seen. */
    char *bytes = malloc(size);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    readers[data[0] % (sizeof(readers) / sizeof(readers[0]))]((struct str){bytes, size - 1});
    free(bytes);
    return 0;
}
