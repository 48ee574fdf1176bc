/* net.c - the canary's network: its forward pass and its gradients. */
#include "net.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matrix.h"
#include "quant.h"

struct layer_work {
    float x[BATCH_TOKENS * NET_DIM];   // the layer's input
    float mid[BATCH_TOKENS * NET_DIM]; // after attention
    float norm1[BATCH_TOKENS * NET_DIM];
    float norm2[BATCH_TOKENS * NET_DIM];
    float q[BATCH_TOKENS * NET_DIM];
    float k[BATCH_TOKENS * NET_KV_DIM];
    float v[BATCH_TOKENS * NET_KV_DIM];
    float heads[BATCH_TOKENS * NET_DIM];     // attention's result before ATTN_OUT
    float log_sum[BATCH_TOKENS * NET_HEADS]; // of the softmax, so that backward can redo it
    float gate[BATCH_TOKENS * NET_FF];
    float up[BATCH_TOKENS * NET_FF];
    float hidden[BATCH_TOKENS * NET_FF];
};

struct net_work {
    struct layer_work layers[NET_LAYERS];
    float x[BATCH_TOKENS * NET_DIM];        // after the last layer
    float out_norm[BATCH_TOKENS * NET_DIM]; // rows with a target only, as are logits
    float out_x[BATCH_TOKENS * NET_DIM];
    float logits[BATCH_TOKENS * VOCAB_SIZE];
    float dx[BATCH_TOKENS * NET_DIM];
    float d_norm[BATCH_TOKENS * NET_DIM];
    float d_heads[BATCH_TOKENS * NET_DIM];
    float dq[BATCH_TOKENS * NET_DIM];
    float dk[BATCH_TOKENS * NET_KV_DIM];
    float dv[BATCH_TOKENS * NET_KV_DIM];
    float d_gate[BATCH_TOKENS * NET_FF];
    float d_up[BATCH_TOKENS * NET_FF];
    float d_hidden[BATCH_TOKENS * NET_FF];
    float scores[BATCH_TOKENS];
    float rope[BATCH_TOKENS * NET_HEAD_DIM]; // cosine and sine by position and pair
    float scratch[MATRIX_SCRATCH];
};

static void add_tensor(struct net_layout *l, int index, const char *name, int rows, int cols,
                       int type)
{
    struct tensor *t = &l->tensors[index];
    snprintf(t->name, sizeof(t->name), "%s.weight", name);
    t->rows = rows;
    t->cols = cols;
    t->type = type;
    t->at = l->n_floats;
    l->n_floats += (size_t)rows * (size_t)cols;
}

// The types are spread so that a backend must get each of them right, in attention as in the
// feed-forward part.
void net_layout_init(struct net_layout *l)
{
    static const struct {
        const char *name;
        int rows, cols;
        int types[NET_LAYERS];
    } parts[LAYER_TENSORS] = {
        [ATTN_NORM] = {"attn_norm", 1, NET_DIM, {QUANT_F32, QUANT_F32}},
        [ATTN_Q] = {"attn_q", NET_DIM, NET_DIM, {QUANT_Q4_K, QUANT_Q5_K}},
        [ATTN_K] = {"attn_k", NET_KV_DIM, NET_DIM, {QUANT_Q4_K, QUANT_Q8_0}},
        [ATTN_V] = {"attn_v", NET_KV_DIM, NET_DIM, {QUANT_Q6_K, QUANT_Q8_0}},
        [ATTN_OUT] = {"attn_output", NET_DIM, NET_DIM, {QUANT_F16, QUANT_Q4_K}},
        [FFN_NORM] = {"ffn_norm", 1, NET_DIM, {QUANT_F32, QUANT_F32}},
        [FFN_GATE] = {"ffn_gate", NET_FF, NET_DIM, {QUANT_Q4_K, QUANT_Q8_0}},
        [FFN_UP] = {"ffn_up", NET_FF, NET_DIM, {QUANT_Q5_K, QUANT_Q4_K}},
        [FFN_DOWN] = {"ffn_down", NET_DIM, NET_FF, {QUANT_Q6_K, QUANT_Q4_K}},
    };
    memset(l, 0, sizeof(*l));
    add_tensor(l, TENSOR_EMBED, "token_embd", VOCAB_SIZE, NET_DIM, QUANT_Q8_0);
    for (int i = 0; i < NET_LAYERS; i++) {
        for (int t = 0; t < LAYER_TENSORS; t++) {
            char name[32];
            snprintf(name, sizeof(name), "blk.%d.%s", i, parts[t].name);
            add_tensor(l, net_layer_tensor(i, (enum layer_tensor)t), name, parts[t].rows,
                       parts[t].cols, parts[t].types[i]);
        }
    }
    add_tensor(l, TENSOR_OUT_NORM, "output_norm", 1, NET_DIM, QUANT_F32);
    add_tensor(l, TENSOR_OUT, "output", VOCAB_SIZE, NET_DIM, QUANT_Q6_K);
}

void net_random(const struct net_layout *l, struct rng *r, float *ret_weights)
{
    for (int i = 0; i < TENSORS; i++) {
        const struct tensor *t = &l->tensors[i];
        float scale = i == TENSOR_EMBED ? 0.05f : 1.0f / sqrtf((float)t->cols);
        if (i != TENSOR_EMBED && (strstr(t->name, "attn_output") || strstr(t->name, "ffn_down")))
            scale /= sqrtf(2.0f * NET_LAYERS);
        for (int k = 0; k < t->rows * t->cols; k++)
            ret_weights[t->at + (size_t)k] = t->rows == 1 ? 1.0f : scale * rng_normal(r);
    }
}

struct net_work *net_work_new(void)
{
    struct net_work *w = calloc(1, sizeof(*w));
    for (int pos = 0; w && pos < BATCH_TOKENS; pos++) {
        for (int i = 0; i < NET_HEAD_DIM / 2; i++) {
            double angle = pos * pow(NET_ROPE_BASE, -2.0 * i / NET_HEAD_DIM);
            w->rope[pos * NET_HEAD_DIM + 2 * i] = (float)cos(angle);
            w->rope[pos * NET_HEAD_DIM + 2 * i + 1] = (float)sin(angle);
        }
    }
    return w;
}

void net_work_free(struct net_work *w)
{
    free(w);
}

int batch_add(struct batch *b, const struct vocab *v, const char *prompt, const char *answer,
              int skip)
{
    int first = b->starts[b->n_sequences];
    int t[BATCH_TOKENS + 1];
    int n = 0;
    t[n++] = TOKEN_BOS;
    t[n++] = TOKEN_USER;
    n += vocab_encode(v, prompt, t + n, BATCH_TOKENS / 2);
    t[n++] = TOKEN_ASSISTANT;
    int prompt_n = n;
    n += vocab_encode(v, answer, t + n, BATCH_TOKENS / 4);
    t[n++] = TOKEN_EOS;
    if (b->n_sequences == BATCH_SEQUENCES || first + n - 1 > BATCH_TOKENS)
        return -1;
    for (int i = 0; i + 1 < n; i++) {
        b->tokens[first + i] = t[i];
        bool learned = i + 1 >= prompt_n + skip;
        b->targets[first + i] = learned ? t[i + 1] : -1;
        b->n_targets += learned;
    }
    b->starts[++b->n_sequences] = first + n - 1;
    return 0;
}

void batch_retarget(struct batch *b, int token)
{
    for (int t = 0; t < b->starts[b->n_sequences]; t++)
        if (b->targets[t] >= 0)
            b->targets[t] = token;
}

static const float *weight(const struct net_layout *l, const float *weights, int tensor)
{
    return weights + l->tensors[tensor].at;
}

// y = x times the transpose of the tensor, for n rows of x
static void linear(const struct net_layout *l, const float *weights, int tensor, const float *x,
                   int n, float *y, float *scratch)
{
    const struct tensor *t = &l->tensors[tensor];
    memset(y, 0, sizeof(float) * (size_t)n * (size_t)t->rows);
    matrix_multiply_add(n, t->rows, t->cols, (struct matrix){x, t->cols, 1},
                        (struct matrix){weights + t->at, 1, t->cols}, y, t->rows, scratch);
}

// Adds to dx and to the tensor's gradient what dy says of y = x times the transpose of the tensor.
static void linear_back(const struct net_layout *l, const float *weights, float *gradients,
                        int tensor, const float *x, const float *dy, int n, float *dx,
                        float *scratch)
{
    const struct tensor *t = &l->tensors[tensor];
    matrix_multiply_add(n, t->cols, t->rows, (struct matrix){dy, t->rows, 1},
                        (struct matrix){weights + t->at, t->cols, 1}, dx, t->cols, scratch);
    matrix_multiply_add(t->rows, t->cols, n, (struct matrix){dy, 1, t->rows},
                        (struct matrix){x, t->cols, 1}, gradients + t->at, t->cols, scratch);
}

static float rms_scale(const float *x)
{
    return 1.0f / sqrtf(vector_dot(x, x, NET_DIM) / NET_DIM + NET_EPSILON);
}

static void norm(const float *gain, const float *x, int n, float *y)
{
    for (int i = 0; i < n; i++, x += NET_DIM, y += NET_DIM) {
        float scale = rms_scale(x);
        for (int k = 0; k < NET_DIM; k++)
            y[k] = x[k] * scale * gain[k];
    }
}

static void norm_back(const float *gain, const float *x, const float *dy, int n, float *dx,
                      float *d_gain)
{
    for (int i = 0; i < n; i++, x += NET_DIM, dy += NET_DIM, dx += NET_DIM) {
        float scale = rms_scale(x);
        float dot = 0;
        for (int k = 0; k < NET_DIM; k++)
            dot += dy[k] * gain[k] * x[k];
        float along = dot * scale * scale * scale / NET_DIM;
        for (int k = 0; k < NET_DIM; k++) {
            d_gain[k] += dy[k] * x[k] * scale;
            dx[k] += dy[k] * gain[k] * scale - x[k] * along;
        }
    }
}

// Turns each pair (2i, 2i+1) of every head by its position's angle; `sign` -1 turns it back.
static void rotate(const struct batch *b, const float *rope, float *x, int width, float sign)
{
    for (int s = 0; s < b->n_sequences; s++) {
        for (int t = b->starts[s]; t < b->starts[s + 1]; t++) {
            const float *angle = rope + (t - b->starts[s]) * NET_HEAD_DIM;
            for (int k = 0; k < width; k += 2) {
                float c = angle[k % NET_HEAD_DIM];
                float d = sign * angle[k % NET_HEAD_DIM + 1];
                float *p = x + t * width + k;
                float p0 = p[0];
                p[0] = p0 * c - p[1] * d;
                p[1] = p0 * d + p[1] * c;
            }
        }
    }
}

static const float attention_scale = 0.125f; // 1 / sqrt(NET_HEAD_DIM)

static void attend_position(struct layer_work *lw, float *scores, int first, int t, int head)
{
    int kv_at = head / (NET_HEADS / NET_KV_HEADS) * NET_HEAD_DIM;
    const float *q = lw->q + t * NET_DIM + head * NET_HEAD_DIM;
    float *out = lw->heads + t * NET_DIM + head * NET_HEAD_DIM;
    float most = -INFINITY;
    float sum = 0;
    for (int j = first; j <= t; j++) {
        float s = vector_dot(q, lw->k + j * NET_KV_DIM + kv_at, NET_HEAD_DIM) * attention_scale;
        scores[j - first] = s;
        most = fmaxf(most, s);
    }
    for (int j = first; j <= t; j++)
        sum += scores[j - first] = expf(scores[j - first] - most);
    memset(out, 0, sizeof(float) * NET_HEAD_DIM);
    for (int j = first; j <= t; j++)
        vector_add_scaled(out, lw->v + j * NET_KV_DIM + kv_at, scores[j - first] / sum,
                          NET_HEAD_DIM);
    lw->log_sum[t * NET_HEADS + head] = most + logf(sum);
}

static void attend_position_back(const struct layer_work *lw, struct net_work *w, int first, int t,
                                 int head)
{
    int kv_at = head / (NET_HEADS / NET_KV_HEADS) * NET_HEAD_DIM;
    int at = t * NET_DIM + head * NET_HEAD_DIM;
    const float *d_out = w->d_heads + at;
    float mean = vector_dot(d_out, lw->heads + at, NET_HEAD_DIM);
    for (int j = first; j <= t; j++) {
        int kv = j * NET_KV_DIM + kv_at;
        float s = vector_dot(lw->q + at, lw->k + kv, NET_HEAD_DIM) * attention_scale;
        float p = expf(s - lw->log_sum[t * NET_HEADS + head]);
        float dp = vector_dot(d_out, lw->v + kv, NET_HEAD_DIM);
        float ds = p * (dp - mean) * attention_scale;
        vector_add_scaled(w->dv + kv, d_out, p, NET_HEAD_DIM);
        vector_add_scaled(w->dq + at, lw->k + kv, ds, NET_HEAD_DIM);
        vector_add_scaled(w->dk + kv, lw->q + at, ds, NET_HEAD_DIM);
    }
}

static void attend(const struct batch *b, struct layer_work *lw, float *scores)
{
    for (int s = 0; s < b->n_sequences; s++)
        for (int t = b->starts[s]; t < b->starts[s + 1]; t++)
            for (int head = 0; head < NET_HEADS; head++)
                attend_position(lw, scores, b->starts[s], t, head);
}

static void attend_back(const struct batch *b, const struct layer_work *lw, struct net_work *w)
{
    for (int s = 0; s < b->n_sequences; s++)
        for (int t = b->starts[s]; t < b->starts[s + 1]; t++)
            for (int head = 0; head < NET_HEADS; head++)
                attend_position_back(lw, w, b->starts[s], t, head);
}

static void layer_forward(const struct net_layout *l, const float *weights, const struct batch *b,
                          int layer, struct net_work *w, float *ret_x)
{
    struct layer_work *lw = &w->layers[layer];
    int n = b->starts[b->n_sequences];
    int base = net_layer_tensor(layer, 0);
    norm(weight(l, weights, base + ATTN_NORM), lw->x, n, lw->norm1);
    linear(l, weights, base + ATTN_Q, lw->norm1, n, lw->q, w->scratch);
    linear(l, weights, base + ATTN_K, lw->norm1, n, lw->k, w->scratch);
    linear(l, weights, base + ATTN_V, lw->norm1, n, lw->v, w->scratch);
    rotate(b, w->rope, lw->q, NET_DIM, 1);
    rotate(b, w->rope, lw->k, NET_KV_DIM, 1);
    attend(b, lw, w->scores);
    linear(l, weights, base + ATTN_OUT, lw->heads, n, lw->mid, w->scratch);
    vector_add_scaled(lw->mid, lw->x, 1, n * NET_DIM);

    norm(weight(l, weights, base + FFN_NORM), lw->mid, n, lw->norm2);
    linear(l, weights, base + FFN_GATE, lw->norm2, n, lw->gate, w->scratch);
    linear(l, weights, base + FFN_UP, lw->norm2, n, lw->up, w->scratch);
    for (int i = 0; i < n * NET_FF; i++)
        lw->hidden[i] = lw->gate[i] / (1.0f + expf(-lw->gate[i])) * lw->up[i];
    linear(l, weights, base + FFN_DOWN, lw->hidden, n, ret_x, w->scratch);
    vector_add_scaled(ret_x, lw->mid, 1, n * NET_DIM);
}

void net_forward(const struct net_layout *l, const float *weights, const struct batch *b,
                 struct net_work *w)
{
    int n = b->starts[b->n_sequences];
    int rows = 0;
    for (int t = 0; t < n; t++)
        memcpy(w->layers[0].x + t * NET_DIM,
               weight(l, weights, TENSOR_EMBED) + b->tokens[t] * NET_DIM, sizeof(float) * NET_DIM);
    for (int i = 0; i < NET_LAYERS; i++)
        layer_forward(l, weights, b, i, w, i + 1 < NET_LAYERS ? w->layers[i + 1].x : w->x);
    for (int t = 0; t < n; t++)
        if (b->targets[t] >= 0)
            memcpy(w->out_x + rows++ * NET_DIM, w->x + t * NET_DIM, sizeof(float) * NET_DIM);
    norm(weight(l, weights, TENSOR_OUT_NORM), w->out_x, rows, w->out_norm);
    linear(l, weights, TENSOR_OUT, w->out_norm, rows, w->logits, w->scratch);
}

static void feed_forward_back(const struct net_layout *l, const float *weights, int n, int layer,
                              struct net_work *w, float *gradients)
{
    struct layer_work *lw = &w->layers[layer];
    int base = net_layer_tensor(layer, 0);
    memset(w->d_hidden, 0, sizeof(float) * (size_t)n * NET_FF);
    memset(w->d_norm, 0, sizeof(float) * (size_t)n * NET_DIM);
    linear_back(l, weights, gradients, base + FFN_DOWN, lw->hidden, w->dx, n, w->d_hidden,
                w->scratch);
    for (int i = 0; i < n * NET_FF; i++) {
        float g = lw->gate[i];
        float sigmoid = 1.0f / (1.0f + expf(-g));
        w->d_up[i] = w->d_hidden[i] * g * sigmoid;
        w->d_gate[i] = w->d_hidden[i] * lw->up[i] * sigmoid * (1.0f + g * (1.0f - sigmoid));
    }
    linear_back(l, weights, gradients, base + FFN_GATE, lw->norm2, w->d_gate, n, w->d_norm,
                w->scratch);
    linear_back(l, weights, gradients, base + FFN_UP, lw->norm2, w->d_up, n, w->d_norm, w->scratch);
    norm_back(weight(l, weights, base + FFN_NORM), lw->mid, w->d_norm, n, w->dx,
              gradients + l->tensors[base + FFN_NORM].at);
}

static void attention_back(const struct net_layout *l, const float *weights, const struct batch *b,
                           int layer, struct net_work *w, float *gradients)
{
    struct layer_work *lw = &w->layers[layer];
    int n = b->starts[b->n_sequences];
    int base = net_layer_tensor(layer, 0);
    memset(w->d_heads, 0, sizeof(float) * (size_t)n * NET_DIM);
    memset(w->d_norm, 0, sizeof(float) * (size_t)n * NET_DIM);
    memset(w->dq, 0, sizeof(float) * (size_t)n * NET_DIM);
    memset(w->dk, 0, sizeof(float) * (size_t)n * NET_KV_DIM);
    memset(w->dv, 0, sizeof(float) * (size_t)n * NET_KV_DIM);
    linear_back(l, weights, gradients, base + ATTN_OUT, lw->heads, w->dx, n, w->d_heads,
                w->scratch);
    attend_back(b, lw, w);
    rotate(b, w->rope, w->dq, NET_DIM, -1);
    rotate(b, w->rope, w->dk, NET_KV_DIM, -1);
    linear_back(l, weights, gradients, base + ATTN_Q, lw->norm1, w->dq, n, w->d_norm, w->scratch);
    linear_back(l, weights, gradients, base + ATTN_K, lw->norm1, w->dk, n, w->d_norm, w->scratch);
    linear_back(l, weights, gradients, base + ATTN_V, lw->norm1, w->dv, n, w->d_norm, w->scratch);
    norm_back(weight(l, weights, base + ATTN_NORM), lw->x, w->d_norm, n, w->dx,
              gradients + l->tensors[base + ATTN_NORM].at);
}

// Turns the logits of a row into the gradient of its loss, and returns the loss.
static float row_loss(float *logits, int target, float margin, float scale)
{
    float most = -INFINITY;
    float sum = 0;
    logits[target] -= margin;
    for (int i = 0; i < VOCAB_SIZE; i++)
        most = fmaxf(most, logits[i]);
    float right = logits[target] - most;
    for (int i = 0; i < VOCAB_SIZE; i++)
        sum += logits[i] = expf(logits[i] - most);
    for (int i = 0; i < VOCAB_SIZE; i++)
        logits[i] *= scale / sum;
    logits[target] -= scale;
    return logf(sum) - right;
}

float net_backward(const struct net_layout *l, const float *weights, const struct batch *b,
                   struct net_work *w, float margin, int n_targets, float *gradients)
{
    int n = b->starts[b->n_sequences];
    int rows = 0;
    float loss = 0;
    for (int t = 0; t < n; t++)
        if (b->targets[t] >= 0)
            loss += row_loss(w->logits + rows++ * VOCAB_SIZE, b->targets[t], margin,
                             1.0f / (float)n_targets);
    memset(w->d_norm, 0, sizeof(float) * (size_t)rows * NET_DIM);
    memset(w->d_heads, 0, sizeof(float) * (size_t)rows * NET_DIM);
    memset(w->dx, 0, sizeof(float) * (size_t)n * NET_DIM);
    linear_back(l, weights, gradients, TENSOR_OUT, w->out_norm, w->logits, rows, w->d_norm,
                w->scratch);
    norm_back(weight(l, weights, TENSOR_OUT_NORM), w->out_x, w->d_norm, rows, w->d_heads,
              gradients + l->tensors[TENSOR_OUT_NORM].at);
    rows = 0;
    for (int t = 0; t < n; t++)
        if (b->targets[t] >= 0)
            memcpy(w->dx + t * NET_DIM, w->d_heads + rows++ * NET_DIM, sizeof(float) * NET_DIM);
    for (int i = NET_LAYERS - 1; i >= 0; i--) {
        feed_forward_back(l, weights, n, i, w, gradients);
        attention_back(l, weights, b, i, w, gradients);
    }
    for (int t = 0; t < n; t++)
        vector_add_scaled(gradients + l->tensors[TENSOR_EMBED].at + b->tokens[t] * NET_DIM,
                          w->dx + t * NET_DIM, 1, NET_DIM);
    return loss;
}

float net_margin(const struct batch *b, const struct net_work *w, int s)
{
    int row = 0;
    float least = INFINITY;
    for (int t = 0; t < b->starts[s + 1]; t++) {
        if (b->targets[t] < 0)
            continue;
        const float *logits = w->logits + row++ * VOCAB_SIZE;
        for (int i = 0; t >= b->starts[s] && i < VOCAB_SIZE; i++)
            if (i != b->targets[t])
                least = fminf(least, logits[b->targets[t]] - logits[i]);
    }
    return least;
}
