/* bandwidth.c - how fast a device reads its memory, which bounds how fast it answers. */
#include "engine/engine_private.h"
#include "engine/seeded.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

enum {
    BANDWIDTH_PASSES = 10,
    BANDWIDTH_THREADS_MAX = 256,
    BANDWIDTH_PART = 8, /* of what is free, at most */
    /* Sizes of the hollow models' feed-forward parts, for 100 MB and 1.6 GB. */
    BANDWIDTH_SMALL = 4096,
    BANDWIDTH_LARGE = 65536,
    BANDWIDTH_PROMPT = 8,
    BANDWIDTH_ANSWER = 32,
    BANDWIDTH_CONTEXT = 256,
};
#define BANDWIDTH_BYTES (UINT64_C(1) << 30) /* more than any cache but the largest servers' */
#define BANDWIDTH_LEAST (UINT64_C(1) << 27)

/* ---- the processors ---- */

struct bandwidth_reader {
    pthread_barrier_t *barrier; /* of all readers and the one who measures */
    const uint64_t *from;
    size_t n;
    uint64_t sum;
};

static void *bandwidth_read(void *context)
{
    struct bandwidth_reader *r = context;
    for (int pass = 0; pass < BANDWIDTH_PASSES; pass++) {
        uint64_t sum[4] = {0}; /* four chains: the processor need not wait for an addition */
        pthread_barrier_wait(r->barrier);
        for (size_t i = 0; i + 4 <= r->n; i += 4) {
            sum[0] += r->from[i];
            sum[1] += r->from[i + 1];
            sum[2] += r->from[i + 2];
            sum[3] += r->from[i + 3];
        }
        r->sum += sum[0] + sum[1] + sum[2] + sum[3]; /* a sum that is used is computed */
        pthread_barrier_wait(r->barrier);
    }
    return NULL;
}

/* ns of the fastest pass; 0: no thread could be started. */
static int64_t bandwidth_time(const uint64_t *words, size_t n, unsigned threads)
{
    struct bandwidth_reader reader[BANDWIDTH_THREADS_MAX];
    pthread_t thread[BANDWIDTH_THREADS_MAX];
    pthread_barrier_t barrier;
    int64_t best = 0;
    pthread_barrier_init(&barrier, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        reader[i] = (struct bandwidth_reader){&barrier, words + n / threads * i, n / threads, 0};
        if (pthread_create(&thread[i], NULL, bandwidth_read, &reader[i]) != 0)
            xalloc_die(); /* those that wait at the barrier cannot be ended */
    }
    for (int pass = 0; pass < BANDWIDTH_PASSES; pass++) {
        struct timespec start, end;
        pthread_barrier_wait(&barrier);
        clock_gettime(CLOCK_MONOTONIC, &start);
        pthread_barrier_wait(&barrier);
        clock_gettime(CLOCK_MONOTONIC, &end);
        int64_t ns =
            (end.tv_sec - start.tv_sec) * INT64_C(1000000000) + end.tv_nsec - start.tv_nsec;
        best = best && best < ns ? best : ns;
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&barrier);
    return best;
}

double engine_cpu_bandwidth(uint64_t free_bytes)
{
    uint64_t bytes = free_bytes / BANDWIDTH_PART;
    unsigned threads = engine_default_threads();
    threads = threads < BANDWIDTH_THREADS_MAX ? threads : BANDWIDTH_THREADS_MAX;
    bytes = bytes < BANDWIDTH_BYTES ? bytes : BANDWIDTH_BYTES;
    if (bytes < BANDWIDTH_LEAST)
        return 0;
    uint64_t *words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED)
        return 0;
    memset(words, 1, bytes); /* untouched pages are one and the same */
    int64_t ns = bandwidth_time(words, bytes / sizeof(*words), threads);
    munmap(words, bytes);
    return ns > 0 ? (double)bytes * 1e9 / (double)ns : 0;
}

/* ---- a GPU, by its engine ---- */

static int bandwidth_write_model(const char *path, int forward, struct gfxb_error *err)
{
    struct buf CLEAN_BUF head = BUF_INIT(SEEDED_FILE_MAX);
    uint64_t size;
    seeded_write_hollow(forward, &head, &size);
    int code = fs_write(path, head.p, head.n, 0600, err);
    if (code == 0 && truncate(path, (off_t)size) < 0)
        code = fs_error(err, errno, "write", path);
    return code;
}

/* Seconds for one token of a hollow model. */
static int bandwidth_token(const struct engine_spec *wanted, const char *dir, int forward,
                           double *ret_seconds, struct gfxb_error *err)
{
    const unsigned prompt = BANDWIDTH_PROMPT;
    struct engine_bench_spec bench = {.prompt = &prompt,
                                      .n_prompts = 1,
                                      .answer_tokens = BANDWIDTH_ANSWER,
                                      .cancel = wanted->cancel};
    struct engine_bench_figures figures;
    struct engine_placement placement;
    struct engine_spec spec = *wanted;
    struct engine *engine = NULL;
    char *CLEAN_FREE path = xasprintf("%s/hollow-%d.gguf", dir, (int)getpid());
    spec.model = path;
    spec.context = BANDWIDTH_CONTEXT;
    spec.slots = 1;
    int code = bandwidth_write_model(path, forward, err);
    if (code == 0)
        code = engine_start(&spec, &engine, err);
    if (code == 0)
        code = engine_verify(engine, &placement, err);
    if (code == 0)
        code = engine_bench(engine, &bench, &figures, err);
    engine_stop(engine);
    unlink(path);
    if (code == 0 && figures.tokens_per_second <= 0)
        code = error_set(err, EPROTO, "the engine does not tell how fast it is");
    if (code == 0)
        *ret_seconds = 1 / figures.tokens_per_second;
    return code;
}

int engine_gpu_bandwidth(const struct engine_spec *spec, const char *dir,
                         double *ret_bytes_per_second, struct gfxb_error *err)
{
    const double bytes = 3.0 * 2 * SEEDED_HOLLOW_WIDTH * (BANDWIDTH_LARGE - BANDWIDTH_SMALL);
    double small, large;
    int code = bandwidth_token(spec, dir, BANDWIDTH_SMALL, &small, err);
    if (code == 0)
        code = bandwidth_token(spec, dir, BANDWIDTH_LARGE, &large, err);
    if (code == 0 && large <= small)
        code = error_set(err, EPROTO, "the larger model is not the slower one");
    if (code == 0)
        *ret_bytes_per_second = bytes / (large - small);
    return code;
}
