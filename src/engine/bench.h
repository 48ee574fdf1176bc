/* bench.h - how fast a running engine is. Part of engine/engine.h, which includes it. */
#ifndef ENGINE_BENCH_H
#define ENGINE_BENCH_H

#include "engine/engine.h"

/* Tokens/s by the engine's own clock; 0: it did not tell. */
struct engine_bench {
    unsigned prompt_tokens;   /* of one prompt */
    double prompt_per_second; /* medians of the runs */
    double tokens_per_second;
};

struct engine_bench_spec {
    unsigned prompt_tokens; /* about this long */
    unsigned answer_tokens; /* at most */
    const volatile sig_atomic_t *cancel;
};

/* A warm-up, which also says how many tokens the words are in this model, then the median of three
 * runs without the prompt cache. The codes are engine_chat's. */
int engine_bench(struct engine *engine, const struct engine_bench_spec *spec,
                 struct engine_bench *ret_bench, struct gfxb_error *err);

#endif
