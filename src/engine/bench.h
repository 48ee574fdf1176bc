/* bench.h - how fast a running engine is. Part of engine/engine.h, which includes it. */
#ifndef ENGINE_BENCH_H
#define ENGINE_BENCH_H

#include "engine/engine.h"

/* By the engine's own counts and clock; 0: not measured, for it did not tell. */
struct engine_bench_figures {
    unsigned prompt_tokens, answer_tokens; /* of one run */
    double prompt_per_second;              /* medians of the runs */
    double tokens_per_second;
    unsigned runs;
};

struct engine_bench {
    struct engine_bench_figures brief, full; /* the short prompt and the long one */
};

struct engine_bench_spec {
    unsigned brief_tokens, full_tokens; /* of the prompts; the context holds them and the answer */
    unsigned answer_tokens;
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    const struct log *log;    /* told how long the long prompt takes; NULL none */
};

/* A warm-up, then each prompt up to three times, without the prompt cache; no run begins more than
 * a minute after the first of its kind. The codes are engine_chat's. */
int engine_bench(struct engine *engine, const struct engine_bench_spec *spec,
                 struct engine_bench *ret_bench, struct gfxb_error *err);

#endif
