/* slots.c - what an engine's slots hold is saved and restored. */
#include "engine/engine_private.h"

#include <errno.h>

enum { SLOTS_READ_MS = 5000, SLOTS_WRITE_MS = 20000 }; /* some GB for one slot */

int engine_slots_read(struct engine *engine, const atomic_int *cancel,
                      unsigned ret_tokens[ENGINE_SLOTS_MAX], size_t *ret_n, struct gfxb_error *err)
{
    struct buf CLEAN_BUF body = BUF_INIT(0);
    int n = engine_ask(engine, engine->kind->alive_path, NULL, SLOTS_READ_MS, cancel, &body, err);
    if (n < 0)
        return n;
    n = engine->kind->read_slots(buf_view(&body), ret_tokens, ENGINE_SLOTS_MAX);
    if (n < 0)
        return error_set(err, EPROTO, "the engine does not tell what its slots hold");
    *ret_n = (size_t)n;
    return 0;
}

static int slot_move(struct engine *engine, unsigned slot, bool save, const atomic_int *cancel,
                     struct gfxb_error *err)
{
    struct buf CLEAN_BUF body = BUF_INIT(0);
    char *CLEAN_FREE path = engine->kind->slot_path(slot, save);
    char *CLEAN_FREE request = engine->kind->slot_request(slot);
    return engine_ask(engine, path, request, SLOTS_WRITE_MS, cancel, &body, err);
}

int engine_slot_save(struct engine *engine, unsigned slot, const atomic_int *cancel,
                     struct gfxb_error *err)
{
    return slot_move(engine, slot, true, cancel, err);
}

int engine_slot_restore(struct engine *engine, unsigned slot, const atomic_int *cancel,
                        struct gfxb_error *err)
{
    return slot_move(engine, slot, false, cancel, err);
}
