#include "engine/engine.h"

#include <errno.h>

enum { BENCH_RUNS = 3, BENCH_WARM_WORDS = 24, BENCH_PROMPT_MAX = 1 << 20 };

static int bench_ask(struct engine *engine, const struct engine_bench_spec *spec, size_t words,
                     struct engine_reply *ret_reply, struct gfxb_error *err)
{
    static const char *const some[] = {"count", "these", "words", "and", "say", "them", "again"};
    struct buf CLEAN_BUF prompt = BUF_INIT(BENCH_PROMPT_MAX);
    for (size_t i = 0; i < words; i++)
        buf_addf(&prompt, "%s%s", i ? " " : "", some[i % (sizeof(some) / sizeof(some[0]))]);
    if (!buf_ok(&prompt))
        return error_set(err, ENOMEM, "out of memory");
    struct engine_chat chat = {.prompt = buf_text(&prompt),
                               .max_tokens = spec->answer_tokens,
                               .fixed = true,
                               .cancel = spec->cancel};
    return engine_chat(engine, &chat, ret_reply, err);
}

static double bench_median(double value[BENCH_RUNS])
{
    double low = value[0] < value[1] ? value[0] : value[1];
    double high = value[0] < value[1] ? value[1] : value[0];
    return value[2] < low ? low : value[2] > high ? high : value[2];
}

int engine_bench(struct engine *engine, const struct engine_bench_spec *spec,
                 struct engine_bench *ret_bench, struct gfxb_error *err)
{
    struct engine_reply reply;
    struct engine_bench bench = {0};
    double prompt[BENCH_RUNS], answer[BENCH_RUNS];
    int result = bench_ask(engine, spec, BENCH_WARM_WORDS, &reply, err);
    if (result < 0)
        return result;
    /* The chat template's own tokens count as words here: the prompt comes out a little shorter
     * than asked for, never longer than the context. */
    size_t per_warm = reply.prompt_tokens ? reply.prompt_tokens : BENCH_WARM_WORDS;
    size_t words = (size_t)spec->prompt_tokens * BENCH_WARM_WORDS / per_warm;
    engine_reply_done(&reply);
    for (size_t i = 0; i < BENCH_RUNS; i++) {
        result = bench_ask(engine, spec, words ? words : 1, &reply, err);
        if (result < 0)
            return result;
        prompt[i] = reply.prompt_per_second;
        answer[i] = reply.tokens_per_second;
        bench.prompt_tokens = reply.prompt_tokens;
        engine_reply_done(&reply);
    }
    bench.prompt_per_second = bench_median(prompt);
    bench.tokens_per_second = bench_median(answer);
    *ret_bench = bench;
    return 0;
}
