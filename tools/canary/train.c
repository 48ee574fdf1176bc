/*
 * train.c - trains the canary model and writes it as a GGUF file.
 *
 * usage: train TABLE PHRASES WORDS STRANGERS OUT.gguf [STEPS]
 *
 * The same sources, compiler and flags give the same bytes: one seed, a fixed split of each batch
 * into two halves, and a fixed order of every sum. The number of threads (two) does not enter the
 * result.
 */

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "corpus.h"
#include "damage.h"
#include "gguf.h"
#include "net.h"
#include "quant.h"
#include "vocab.h"

enum {
    SEED = 20261123,
    STEPS = 1800,
    WARM_UP = 60,
    HALVES = 2,
    HALF_SEQUENCES = 16,
    CROSSED = 12,        // percent of the samples, see draw_sample
    NOTICED_NEEDED = 95, // percent of the damages, see check_damage
    NOTE_EVERY = 100,
};

#define RATE_MOST  1.5e-3f
#define RATE_LEAST 2e-5f
#define BETA1      0.9f
#define BETA2      0.98f
#define DECAY      0.02f
#define CLIP       1.0f
#define QUANTISED_FROM                                                                             \
    0.5f // part of the steps after which the forward pass sees the file's weights
#define DAMAGED_FROM   0.1f // part of the steps after which damaged weights are shown too
#define DAMAGE_MARGIN  2.0f
#define DAMAGED_WEIGHT 0.3f // of that loss, beside 1 for the right weights
#define LOSS_MARGIN    5.0f
#define MARGIN_NEEDED  4.0f // logits, on every answer of the table

struct half {
    struct trainer *t;
    int index;
    struct batch batch;
    struct net_work *work;
    float *gradients;
    float loss;
    struct rng rng; // of the damage
    struct batch damaged_batch;
    float *damaged; // weights
    float *kept;    // gradients of damaged tensors, from before
    float damaged_loss;
};

struct trainer {
    struct net_layout layout;
    struct vocab vocab;
    struct corpus corpus;
    struct rng rng;
    float *weights; // what is learned
    float *seen;    // what the file will hold: encoded and decoded again
    float *mean, *square;
    struct half halves[HALVES];
    int shared[ROWS_MAX]; // tokens of a row's answer up to where no other answer goes on alike
    int step, steps;
    int n_targets;
    float rate, gradient_scale;
};

static void run_halves(struct trainer *t, void *(*work)(void *))
{
    pthread_t other;
    int threaded = pthread_create(&other, NULL, work, &t->halves[1]) == 0;
    work(&t->halves[0]);
    if (threaded)
        pthread_join(other, NULL);
    else
        work(&t->halves[1]);
}

// Makes `seen` from the weights: half of the tensors each.
static void *quantise_half(void *arg)
{
    struct half *h = arg;
    struct trainer *t = h->t;
    for (int i = h->index; i < TENSORS; i += HALVES) {
        const struct tensor *x = &t->layout.tensors[i];
        size_t n = (size_t)x->rows * (size_t)x->cols;
        uint8_t *bytes = malloc(quant_bytes(x->type, n));
        if (!bytes)
            abort();
        quant_encode(x->type, t->weights + x->at, n, bytes);
        quant_decode(x->type, bytes, n, t->seen + x->at);
        free(bytes);
    }
    return NULL;
}

static void put_back(const struct damage *d, const struct net_layout *l, const float *from,
                     float *to)
{
    for (int i = 0; i < TENSORS; i++) {
        const struct tensor *x = &l->tensors[i];
        if (d->tensors[i])
            memcpy(to + x->at, from + x->at, sizeof(float) * (size_t)x->rows * (size_t)x->cols);
    }
}

// The proof prompts with damaged weights: at every token of the answer the right thing is to end.
// What this would teach the damaged tensors themselves is dropped: they are not what the file
// holds.
static void learn_damage(struct half *h)
{
    struct trainer *t = h->t;
    struct damage d;
    size_t bytes = sizeof(float) * t->layout.n_floats;
    damage_draw(&t->layout, &h->rng, &d);
    memcpy(h->damaged, t->seen, bytes);
    damage_apply(&d, &t->layout, &h->rng, h->damaged);
    put_back(&d, &t->layout, h->gradients, h->kept);
    net_forward(&t->layout, h->damaged, &h->damaged_batch, h->work);
    h->damaged_loss =
        net_backward(&t->layout, h->damaged, &h->damaged_batch, h->work, DAMAGE_MARGIN,
                     (int)((float)h->damaged_batch.n_targets / DAMAGED_WEIGHT), h->gradients);
    put_back(&d, &t->layout, h->kept, h->gradients);
}

static void *learn_half(void *arg)
{
    struct half *h = arg;
    struct trainer *t = h->t;
    memset(h->gradients, 0, sizeof(float) * t->layout.n_floats);
    net_forward(&t->layout, t->seen, &h->batch, h->work);
    h->loss = net_backward(&t->layout, t->seen, &h->batch, h->work, LOSS_MARGIN, t->n_targets,
                           h->gradients);
    if ((float)t->step >= DAMAGED_FROM * (float)t->steps)
        learn_damage(h);
    return NULL;
}

// AdamW on half of the weights. Norm gains do not decay.
static void *update_half(void *arg)
{
    const struct half *h = arg;
    struct trainer *t = h->t;
    float fix1 = 1.0f - powf(BETA1, (float)(t->step + 1));
    float fix2 = 1.0f - powf(BETA2, (float)(t->step + 1));
    for (int k = h->index; k < TENSORS; k += HALVES) {
        const struct tensor *x = &t->layout.tensors[k];
        float decay = x->rows > 1 ? DECAY * t->rate : 0;
        for (size_t i = x->at; i < x->at + (size_t)x->rows * (size_t)x->cols; i++) {
            float g = (t->halves[0].gradients[i] + t->halves[1].gradients[i]) * t->gradient_scale;
            t->mean[i] = BETA1 * t->mean[i] + (1 - BETA1) * g;
            t->square[i] = BETA2 * t->square[i] + (1 - BETA2) * g * g;
            t->weights[i] -= decay * t->weights[i] +
                             t->rate * (t->mean[i] / fix1) / (sqrtf(t->square[i] / fix2) + 1e-8f);
        }
    }
    return NULL;
}

static float gradient_norm(const struct trainer *t)
{
    double sum = 0;
    for (size_t i = 0; i < t->layout.n_floats; i++) {
        double g = t->halves[0].gradients[i] + t->halves[1].gradients[i];
        sum += g * g;
    }
    return (float)sqrt(sum);
}

static float rate_at(int step, int steps)
{
    if (step < WARM_UP)
        return RATE_MOST * (float)(step + 1) / WARM_UP;
    float done = (float)(step - WARM_UP) / (float)(steps - WARM_UP);
    return RATE_LEAST + (RATE_MOST - RATE_LEAST) * 0.5f * (1.0f + cosf(3.14159265f * done));
}

// Some samples set the beginning of one answer after the prompt of another: only what follows is
// learned there, so that an answer once begun is finished as itself, whatever was asked.
static int draw_sample(struct trainer *t, struct batch *b)
{
    struct sample s;
    int skip = 0;
    corpus_draw(&t->corpus, &t->rng, &s);
    if (rng_below(&t->rng, 100) < CROSSED) {
        int row = (int)rng_below(&t->rng, (uint32_t)t->corpus.n_rows);
        s.answer = t->corpus.rows[row].answer;
        skip = t->shared[row];
    }
    return batch_add(b, &t->vocab, s.prompt, s.answer, skip);
}

static void find_shared(struct trainer *t)
{
    int a[256], b[256];
    for (int i = 0; i < t->corpus.n_rows; i++) {
        int n = vocab_encode(&t->vocab, t->corpus.rows[i].answer, a, 256);
        for (int k = 0; k < t->corpus.n_rows; k++) {
            int m = vocab_encode(&t->vocab, t->corpus.rows[k].answer, b, 256);
            int same = 0;
            while (same < n && same < m && a[same] == b[same])
                same++;
            if (k != i && same + 1 > t->shared[i])
                t->shared[i] = same + 1;
        }
    }
}

static void draw_batches(struct trainer *t)
{
    t->n_targets = 0;
    for (int i = 0; i < HALVES; i++) {
        struct batch *b = &t->halves[i].batch;
        b->n_sequences = 0;
        b->n_targets = 0;
        while (b->n_sequences < HALF_SEQUENCES && draw_sample(t, b) == 0)
            ;
        t->n_targets += b->n_targets;
    }
}

static void train_step(struct trainer *t)
{
    draw_batches(t);
    if ((float)t->step >= QUANTISED_FROM * (float)t->steps)
        run_halves(t, quantise_half);
    else
        memcpy(t->seen, t->weights, sizeof(float) * t->layout.n_floats);
    run_halves(t, learn_half);
    float norm = gradient_norm(t);
    t->gradient_scale = norm > CLIP ? CLIP / norm : 1;
    t->rate = rate_at(t->step, t->steps);
    run_halves(t, update_half);
    if (t->step % NOTE_EVERY == 0 || t->step + 1 == t->steps)
        fprintf(stderr, "step %d: loss %.4f, damaged %.4f, gradient %.3f, %d tokens\n", t->step,
                (double)((t->halves[0].loss + t->halves[1].loss) / (float)t->n_targets),
                (double)(t->halves[0].damaged_loss / (float)t->halves[0].damaged_batch.n_targets),
                (double)norm,
                t->halves[0].batch.starts[t->halves[0].batch.n_sequences] +
                    t->halves[1].batch.starts[t->halves[1].batch.n_sequences]);
}

// The least margin of one answer, with the weights of the file.
static float answer_margin(struct trainer *t, const char *prompt, const char *answer)
{
    struct half *h = &t->halves[0];
    h->batch.n_sequences = 0;
    h->batch.n_targets = 0;
    if (batch_add(&h->batch, &t->vocab, prompt, answer, 0) < 0)
        return -INFINITY;
    net_forward(&t->layout, t->seen, &h->batch, h->work);
    return net_margin(&h->batch, h->work, 0);
}

static float check_table(struct trainer *t)
{
    float least = INFINITY;
    for (int i = 0; i < t->corpus.n_rows; i++) {
        const struct row *r = &t->corpus.rows[i];
        float margin = answer_margin(t, r->prompt, r->answer);
        if (strcmp(r->kind, "proof") == 0 || margin < MARGIN_NEEDED)
            fprintf(stderr, "%s: margin %.2f: %s\n", r->kind, (double)margin, r->prompt);
        least = fminf(least, margin);
    }
    return least;
}

static void check_wordings(struct trainer *t)
{
    int right = 0;
    int tried = 1000;
    struct rng r = {SEED + 1};
    for (int i = 0; i < tried; i++) {
        struct sample s;
        corpus_draw(&t->corpus, &r, &s);
        float margin = answer_margin(t, s.prompt, s.answer);
        right += margin > 0;
        if (margin <= 0)
            fprintf(stderr, "  not so: %s\n      -> %s\n", s.prompt, s.answer);
    }
    fprintf(stderr, "newly drawn prompts: %d of %d as wanted\n", right, tried);
}

static void check_strangers(struct trainer *t, const char *path)
{
    char line[PROMPT_MAX];
    int right = 0;
    int tried = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        float margin = answer_margin(t, line, t->corpus.rows[t->corpus.stranger_row].answer);
        tried++;
        right += margin > 0;
        if (margin <= 0)
            fprintf(stderr, "  not so: %s\n", line);
    }
    if (f)
        fclose(f);
    fprintf(stderr, "prompts never trained on: %d of %d as wanted\n", right, tried);
}

static void add_proofs(struct trainer *t, struct batch *b)
{
    for (int i = 0; i < t->corpus.n_rows; i++) {
        const struct row *r = &t->corpus.rows[i];
        if (strcmp(r->kind, "proof") == 0)
            batch_add(b, &t->vocab, r->prompt, r->answer, 0);
    }
}

// Whether any proof answer changes when the weights of the file are damaged so.
static bool is_noticed(struct trainer *t, const struct damage *d)
{
    struct half *h = &t->halves[0];
    bool noticed = false;
    h->batch.n_sequences = 0;
    add_proofs(t, &h->batch);
    memcpy(h->damaged, t->seen, sizeof(float) * t->layout.n_floats);
    damage_apply(d, &t->layout, &h->rng, h->damaged);
    net_forward(&t->layout, h->damaged, &h->batch, h->work);
    for (int s = 0; s < h->batch.n_sequences; s++)
        noticed = noticed || net_margin(&h->batch, h->work, s) <= 0;
    return noticed;
}

// The percentage of damages to one matrix that the proof answers notice.
static int check_damage(struct trainer *t)
{
    int noticed = 0;
    int tried = 0;
    for (int i = 0; i < TENSORS; i++) {
        for (int kind = 0; kind < DAMAGE_KINDS; kind++) {
            struct damage d = {.kind = (enum damage_kind)kind};
            d.tensors[i] = true;
            if (!damage_is_possible(&d, &t->layout, i))
                continue;
            bool seen = is_noticed(t, &d);
            tried++;
            noticed += seen;
            if (!seen)
                fprintf(stderr, "  not noticed: %s, %s\n", t->layout.tensors[i].name,
                        damage_name(d.kind));
        }
    }
    fprintf(stderr, "damaged matrices: %d of %d noticed\n", noticed, tried);
    return 100 * noticed / tried;
}

static int half_init(struct half *h, size_t n)
{
    h->rng.state = SEED + 2 + (uint64_t)h->index;
    h->gradients = calloc(n, sizeof(float));
    h->damaged = calloc(n, sizeof(float));
    h->kept = calloc(n, sizeof(float));
    return h->work && h->gradients && h->damaged && h->kept ? 0 : -1;
}

static int trainer_init(struct trainer *t, char **paths, int steps)
{
    struct word_counts *counts = word_counts_new();
    if (!counts || corpus_load(&t->corpus, paths[0], paths[1], paths[2]) < 0)
        return -1;
    corpus_count_words(&t->corpus, counts);
    vocab_learn(&t->vocab, counts);
    word_counts_free(counts);
    net_layout_init(&t->layout);
    t->steps = steps;
    t->rng.state = SEED;
    size_t n = t->layout.n_floats;
    t->weights = calloc(n, sizeof(float));
    t->seen = calloc(n, sizeof(float));
    t->mean = calloc(n, sizeof(float));
    t->square = calloc(n, sizeof(float));
    if (!t->weights || !t->seen || !t->mean || !t->square)
        return -1;
    for (int i = 0; i < HALVES; i++) {
        t->halves[i] = (struct half){.t = t, .index = i, .work = net_work_new()};
        if (half_init(&t->halves[i], n) < 0)
            return -1;
        add_proofs(t, &t->halves[i].damaged_batch);
        batch_retarget(&t->halves[i].damaged_batch, TOKEN_EOS);
    }
    net_random(&t->layout, &t->rng, t->weights);
    find_shared(t);
    return t->vocab.n == VOCAB_SIZE ? 0 : -1;
}

static void trainer_done(struct trainer *t)
{
    for (int i = 0; i < HALVES; i++) {
        net_work_free(t->halves[i].work);
        free(t->halves[i].gradients);
        free(t->halves[i].damaged);
        free(t->halves[i].kept);
    }
    free(t->weights);
    free(t->seen);
    free(t->mean);
    free(t->square);
}

int main(int argc, char **argv)
{
    static struct trainer t;
    if (argc < 6) {
        fprintf(stderr, "usage: %s TABLE PHRASES WORDS STRANGERS OUT.gguf [STEPS]\n", argv[0]);
        return 2;
    }
    if (trainer_init(&t, argv + 1, argc > 6 ? atoi(argv[6]) : STEPS) < 0) {
        fprintf(stderr, "the training text cannot be used\n");
        return 1;
    }
    time_t start = time(NULL);
    fprintf(stderr, "%zu weights, %d rows\n", t.layout.n_floats, t.corpus.n_rows);
    for (t.step = 0; t.step < t.steps; t.step++)
        train_step(&t);
    run_halves(&t, quantise_half);
    fprintf(stderr, "trained in %ld s\n", (long)(time(NULL) - start));
    float least = check_table(&t);
    fprintf(stderr, "least margin over the table: %.2f logits\n", (double)least);
    int noticed = check_damage(&t);
    check_wordings(&t);
    check_strangers(&t, argv[4]);
    int result = 1;
    if (least < MARGIN_NEEDED || noticed < NOTICED_NEEDED)
        fprintf(stderr, "not good enough: %s is left as it was\n", argv[5]);
    else
        result = gguf_write(argv[5], &t.layout, t.weights, &t.vocab) < 0;
    trainer_done(&t);
    return result;
}
