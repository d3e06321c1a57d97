/* grad.c - forward, backward and AdamW, read top to bottom. Contract in grad.h.
 *
 *   1. Weights      where each tensor lies
 *   2. Memory       what the forward pass leaves for the backward pass
 *   3. Steps        each with its derivative after it
 *   4. The model    forward, loss, backward
 *   5. AdamW
 *
 * In comments d followed by a name is the derivative of the loss by that value, how much the loss rises for a little
 * more of it: dx for x. The chain rule in one sentence: if x has a part in some values y, and in the loss only through
 * them, then dx is the sum over all y of dy times the derivative of y by x. So the backward pass begins at the loss and
 * goes through the steps of the forward pass in reverse; each makes, of the derivatives by what it gave, those by what
 * it got, and needs to know nothing of what comes after it.
 *
 * Everything is (rows, cols), row-major, and a row of an activation is a token. With y = x . w^T the chain rule says
 *
 *     dx = dy . w        dw += dy^T . x
 *
 * so each product forward is two products of the same size backward, and training costs three times the forward
 * pass. Sums over tokens are made in an order that does not depend on the number of threads.
 */
#include "grad.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static real square_root(real x) { return sizeof(real) == sizeof(float) ? (real)sqrtf((float)x) : (real)sqrt(x); }

/* ==== 1. Weights ================================================================================ */

static const enum tensor of_layer[] = {TENSOR_ATTENTION_NORM,
                                       TENSOR_FFN_NORM,
                                       TENSOR_WQ,
                                       TENSOR_WK,
                                       TENSOR_WV,
                                       TENSOR_WO,
                                       TENSOR_W1,
                                       TENSOR_W3,
                                       TENSOR_W2};
enum { PER_LAYER = sizeof of_layer / sizeof *of_layer };

static size_t tensor_size(const llama_config *f, enum tensor id) {
    int rows, cols;
    tensor_shape(f, id, 0, &rows, &cols);
    return (size_t)rows * (size_t)cols;
}

/* The tensors before the layers. */
static int whole_tensors(const llama_config *f, enum tensor id[3]) {
    int n = 0;
    id[n++] = TENSOR_EMBEDDING;
    if (!f->shared_classifier) id[n++] = TENSOR_CLASSIFIER;
    id[n++] = TENSOR_FINAL_NORM;
    return n;
}

int grad_tensor_count(const llama_config *f) { return (f->shared_classifier ? 2 : 3) + PER_LAYER * f->n_layers; }

grad_tensor grad_tensor_at(const llama_config *f, int i) {
    enum tensor whole[3];
    const int before = whole_tensors(f, whole);
    grad_tensor t = {i < before ? whole[i] : of_layer[(i - before) % PER_LAYER], 0, 0, 0, 0};
    size_t layer = 0;
    for (int k = 0; k < PER_LAYER; k++) layer += tensor_size(f, of_layer[k]);
    for (int k = 0; k < before && k < i; k++) t.offset += tensor_size(f, whole[k]);
    if (i >= before) {
        t.layer = (i - before) / PER_LAYER;
        t.offset += layer * (size_t)t.layer;
        for (int k = 0; k < (i - before) % PER_LAYER; k++) t.offset += tensor_size(f, of_layer[k]);
    }
    tensor_shape(f, t.id, 0, &t.rows, &t.cols);
    return t;
}

grad_tensor grad_find_tensor(const llama_config *f, enum tensor id, int layer) {
    int i = 0;
    grad_tensor t = grad_tensor_at(f, 0);
    if (id == TENSOR_CLASSIFIER && f->shared_classifier) return t; /* the embedding */
    while (t.id != id || t.layer != layer) t = grad_tensor_at(f, ++i);
    return t;
}

size_t grad_count(const llama_config *f) {
    uint64_t layer = 0, sum = 0;
    enum tensor whole[3];
    const int before = whole_tensors(f, whole);
    for (int k = 0; k < PER_LAYER + before; k++) {
        int rows, cols;
        tensor_shape(f, k < PER_LAYER ? of_layer[k] : whole[k - PER_LAYER], 0, &rows, &cols);
        *(k < PER_LAYER ? &layer : &sum) += (uint64_t)rows * (uint64_t)cols; /* each below 2^56 */
    }
    layer = mul_size(layer, (uint64_t)f->n_layers);
    return layer > SIZE_MAX / 16 || sum > SIZE_MAX / 16 - layer ? SIZE_MAX : (size_t)(sum + layer);
}

/* ==== 2. Memory ================================================================================= */

typedef struct {                     /* pointers into the weights, or into the gradients */
    real *attention_norm, *ffn_norm; /* (dim) */
    real *wqkv;                      /* (q + 2 kv, dim) */
    real *wo;                        /* (dim, q) */
    real *w13;                       /* (2 hidden, dim) */
    real *w2;                        /* (dim, hidden) */
} layer_weights;

typedef struct {
    real *all; /* (count) */
    real *embedding, *classifier, *final_norm;
    layer_weights *layers;
} weights;

typedef struct {          /* what a layer computed for all n tokens of a batch, and the backward pass needs */
    real *x;              /* (n, dim) what came in */
    real *normed, *scale; /* (n, dim) norm(x); (n) 1 / rms(x) */
    real *qkv;            /* (n, q + 2 kv) after rotation */
    real *logsum;         /* (n, n_heads) of the scores of a query: log of the sum of e^score */
    real *mixed;          /* (n, q) what attention gives */
    real *middle;         /* (n, dim) x + wo . mixed */
    real *middle_normed, *middle_scale;
    real *h;     /* (n, 2 hidden) w1 . middle_normed and w3 . middle_normed */
    real *gated; /* (n, hidden) silu(h1) * h3 */
} activations;

enum {
    QUERIES = 64,    /* whose scores are in memory at a time, for each thread */
    HEAD_ROWS = 512, /* tokens whose logits are */
    SUM_ROWS = 64,   /* tokens that one thread sums, where a sum is over tokens */
    PART = 1 << 14   /* weights that one thread sums, or steps along, at a time */
};

static size_t parts_of(size_t n) { return (n + PART - 1) / PART; }

struct grad {
    llama_config f;
    compute *c;
    int batch, q, kv, qkv; /* q = n_heads * head_dim, kv = n_kv_heads * head_dim, qkv = q + 2 kv */
    size_t count;          /* weights */
    weights w, dw;
    activations *layers; /* (n_layers + 1): the last has only x, which goes to the classifier, normed and scale */
    real *rope;          /* (seq_len, head_dim) cosine and sine of each pair */
    real *branch;        /* (n, dim) what a branch adds to x, or its derivative */
    real *dx, *dnormed;  /* (n, dim) */
    real *dqkv, *dmixed; /* (n, qkv), (n, q) */
    real *dh, *dgated;   /* (n, 2 hidden), (n, hidden) */
    real *logits;        /* (HEAD_ROWS, vocab_size), and their derivative */
    real *losses;        /* (n) */
    real *partial;       /* (n / SUM_ROWS, dim) sums over some tokens */
    double *squares;     /* (count / PART) sums of some derivatives' squares */
    real *scores;        /* (threads, 2, QUERIES, seq_len) */
    void *memory;
    /* of the pass that is running: */
    int n; /* tokens */
    double dropout;
    uint64_t seed;
};

/* Lays one array after another, each aligned to 64 bytes, into g->memory, or only counts if that is NULL. */
typedef struct {
    char *base;
    uint64_t size;
} carver;

static real *carve(carver *m, uint64_t rows, uint64_t cols) {
    real *p = m->base ? (real *)(void *)(m->base + m->size) : NULL;
    const uint64_t bytes = mul_size(mul_size(rows, cols), sizeof(real));
    m->size = bytes > UINT64_MAX / 2 - m->size ? UINT64_MAX / 2 : (m->size + bytes + 63) / 64 * 64;
    return p;
}

static void carve_activations(grad *g, carver *m, activations *a, int last) {
    const uint64_t n = (uint64_t)g->batch * (uint64_t)g->f.seq_len, dim = (uint64_t)g->f.dim;
    const uint64_t hidden = (uint64_t)g->f.hidden_dim;
    a->x = carve(m, n, dim);
    a->normed = carve(m, n, dim), a->scale = carve(m, n, 1);
    if (last) return;
    a->qkv = carve(m, n, (uint64_t)g->qkv);
    a->logsum = carve(m, n, (uint64_t)g->f.n_heads);
    a->mixed = carve(m, n, (uint64_t)g->q);
    a->middle = carve(m, n, dim), a->middle_normed = carve(m, n, dim), a->middle_scale = carve(m, n, 1);
    a->h = carve(m, n, 2 * hidden);
    a->gated = carve(m, n, hidden);
}

static uint64_t carve_all(grad *g, char *base) {
    carver m = {base, 0};
    const llama_config *f = &g->f;
    const uint64_t n = (uint64_t)g->batch * (uint64_t)f->seq_len, dim = (uint64_t)f->dim;
    g->w.all = carve(&m, g->count, 1), g->dw.all = carve(&m, g->count, 1);
    for (int l = 0; l <= f->n_layers; l++) carve_activations(g, &m, &g->layers[l], l == f->n_layers);
    g->rope = carve(&m, (uint64_t)f->seq_len, (uint64_t)f->head_dim);
    g->branch = carve(&m, n, dim), g->dx = carve(&m, n, dim), g->dnormed = carve(&m, n, dim);
    g->dqkv = carve(&m, n, (uint64_t)g->qkv), g->dmixed = carve(&m, n, (uint64_t)g->q);
    g->dh = carve(&m, n, 2 * (uint64_t)f->hidden_dim), g->dgated = carve(&m, n, (uint64_t)f->hidden_dim);
    g->logits = carve(&m, HEAD_ROWS, (uint64_t)f->vocab_size);
    g->losses = carve(&m, n, 1);
    g->partial = carve(&m, n / SUM_ROWS + 1, dim);
    g->squares = (double *)(void *)carve(&m, parts_of(g->count), sizeof(double) / sizeof(real));
    g->scores = carve(&m, 2 * (uint64_t)compute_threads(g->c) * QUERIES, (uint64_t)f->seq_len);
    return m.size;
}

static void point_into(const grad *g, weights *w) {
    const llama_config *f = &g->f;
    w->embedding = w->all + grad_find_tensor(f, TENSOR_EMBEDDING, 0).offset;
    w->classifier = w->all + grad_find_tensor(f, TENSOR_CLASSIFIER, 0).offset;
    w->final_norm = w->all + grad_find_tensor(f, TENSOR_FINAL_NORM, 0).offset;
    for (int l = 0, first = f->shared_classifier ? 2 : 3; l < f->n_layers; l++, first += PER_LAYER) {
        real *at[PER_LAYER];
        for (int k = 0; k < PER_LAYER; k++) at[k] = w->all + grad_tensor_at(f, first + k).offset;
        w->layers[l] = (layer_weights){at[0], at[1], at[2], at[5], at[6], at[8]};
    }
}

grad *grad_create(const llama_config *config, const real *rope, int batch, compute *c, llama_error *err) {
    grad *g = calloc(1, sizeof *g);
    if (!g) return set_error(err, "no memory"), NULL;
    const llama_config *f = &g->f;
    const size_t layers = (size_t)config->n_layers;
    g->f = *config, g->c = c, g->batch = batch;
    g->q = f->n_heads * f->head_dim, g->kv = f->n_kv_heads * f->head_dim, g->qkv = g->q + 2 * g->kv;
    g->count = grad_count(f);
    g->layers = calloc(layers + 1, sizeof *g->layers);
    g->w.layers = calloc(layers, sizeof *g->w.layers), g->dw.layers = calloc(layers, sizeof *g->dw.layers);
    if (!g->layers || !g->w.layers || !g->dw.layers) return grad_free(g), set_error(err, "no memory"), NULL;
    const uint64_t bytes = carve_all(g, NULL) + 64;
    g->memory = bytes <= SIZE_MAX / 2 ? malloc((size_t)bytes) : NULL;
    if (!g->memory) {
        grad_free(g);
        return set_error(err, "no memory: a batch of %d x %d tokens takes %.1f GB", batch, config->seq_len,
                         (double)bytes * 1e-9),
               NULL;
    }
    carve_all(g, (char *)g->memory + (64 - (uintptr_t)g->memory % 64));
    memset(g->w.all, 0, g->count * sizeof(real)), memset(g->dw.all, 0, g->count * sizeof(real));
    point_into(g, &g->w), point_into(g, &g->dw);
    for (int t = 0; t < f->seq_len; t++)
        for (int i = 0; i < f->head_dim; i += 2) {
            const double angle = (double)t * (double)rope[i / 2];
            real *turn = g->rope + (size_t)t * (size_t)f->head_dim + i;
            turn[0] = (real)cos(angle), turn[1] = (real)sin(angle);
        }
    return g;
}

void grad_free(grad *g) {
    if (!g) return;
    free(g->layers), free(g->w.layers), free(g->dw.layers), free(g->memory);
    free(g);
}

real *grad_weights(grad *g) { return g->w.all; }
real *grad_gradients(grad *g) { return g->dw.all; }

static double uniform(uint64_t *state) { return ((double)(split_mix(state) >> 11) + 0.5) * 0x1p-53; } /* 0 < u < 1 */

void grad_initialise(grad *g, uint64_t seed) {
    const double pi = 3.14159265358979323846;
    for (int i = 0; i < grad_tensor_count(&g->f); i++) {
        const grad_tensor t = grad_tensor_at(&g->f, i);
        const int adds = t.id == TENSOR_WO || t.id == TENSOR_W2;
        const double size = adds ? 0.02 / sqrt(2.0 * g->f.n_layers) : 0.02;
        real *w = g->w.all + t.offset;
        for (size_t k = 0, n = (size_t)t.rows * (size_t)t.cols; k < n; k++) /* Box and Muller, 1958 */
            if (tensor_is_vector(t.id)) w[k] = 1;
            else {
                const double u = uniform(&seed), v = uniform(&seed);
                w[k] = (real)(size * sqrt(-2 * log(u)) * cos(2 * pi * v));
            }
    }
}

/* ==== 3. Steps ==================================================================================
 * What can be done in any order, tokens most often, is done by all threads: a step then is a loop from begin to end,
 * and a function that tells compute_parallel of how much, and with what.
 */
typedef struct { /* what such a loop needs of all this */
    grad *g;
    const activations *a;
    real *y, *scale; /* what it writes */
    const real *x, *dy, *weight, *branch;
    const int *ids;
    int first, back;
    double share;
    uint64_t key;
} work;

static real dot(const real *a, const real *b, int n) { /* in lanes, to vectorise */
    real lane[16] = {0}, sum = 0;
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += a[i + j] * b[i + j];
    for (; i < n; i++) sum += a[i] * b[i];
    for (int j = 0; j < 16; j++) sum += lane[j];
    return sum;
}

/* ---- y = x . w^T: (n, rows) = (n, cols) . (rows, cols)^T ---- */

static void multiply(grad *g, real *y, const real *x, const real *w, int n, int rows, int cols) {
    compute_product(g->c, y, (size_t)rows, as_is(x, (size_t)cols), turned(w, (size_t)cols), n, rows, cols, 0);
}

static void multiply_back(grad *g, real *dx, real *dw, const real *dy, const real *x, const real *w, int n, int rows,
                          int cols) {
    compute_product(g->c, dx, (size_t)cols, as_is(dy, (size_t)rows), as_is(w, (size_t)cols), n, cols, rows, 0);
    compute_product(g->c, dw, (size_t)cols, turned(dy, (size_t)rows), as_is(x, (size_t)cols), rows, cols, n, 1);
}

/* ---- RMSNorm: y = weight * x * s, s = 1 / sqrt(mean(x^2) + eps)        (arXiv:1910.07467)
 *
 *     ds/dx = -s^3 x / dim        dx += s * (weight * dy) - x * s^3 / dim * sum(weight * dy * x) ---- */

static void norm_tokens(const void *with, int begin, int end) {
    const work *o = with;
    const int dim = o->g->f.dim;
    for (int t = begin; t < end; t++) {
        const real *in = o->x + (size_t)t * (size_t)dim;
        real *out = o->y + (size_t)t * (size_t)dim;
        const real s = o->scale[t] = 1 / square_root(dot(in, in, dim) / (real)dim + (real)o->g->f.norm_eps);
        for (int i = 0; i < dim; i++) out[i] = o->weight[i] * (in[i] * s);
    }
}

static void norm(grad *g, real *y, real *scale, const real *x, const real *weight) {
    const work o = {.g = g, .y = y, .scale = scale, .x = x, .weight = weight};
    compute_parallel(g->c, g->n, norm_tokens, &o);
}

/* One token of it; sum (dim) += the derivative of the weight. */
static void norm_back_token(real *dx, real *sum, const real *dy, const real *x, const real *weight, real s, int dim) {
    real lane[16] = {0}, d = 0;
    int i = 0;
    for (; i + 16 <= dim; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += weight[i + j] * dy[i + j] * x[i + j];
    for (; i < dim; i++) d += weight[i] * dy[i] * x[i];
    for (int j = 0; j < 16; j++) d += lane[j];
    d *= s * s * s / (real)dim;
    for (i = 0; i < dim; i++) dx[i] += s * weight[i] * dy[i] - d * x[i];
    for (i = 0; i < dim; i++) sum[i] += dy[i] * x[i] * s;
}

static void norm_back_blocks(const void *with, int begin, int end) {
    const work *o = with;
    const int dim = o->g->f.dim, n = o->g->n;
    for (int b = begin; b < end; b++) {
        real *sum = o->g->partial + (size_t)b * (size_t)dim;
        for (int i = 0; i < dim; i++) sum[i] = 0;
        for (int t = b * SUM_ROWS; t < (b + 1) * SUM_ROWS && t < n; t++) {
            const size_t at = (size_t)t * (size_t)dim;
            norm_back_token(o->y + at, sum, o->dy + at, o->x + at, o->weight, o->scale[t], dim);
        }
    }
}

static void norm_back(grad *g, real *dx, real *dweight, const real *dy, const real *x, real *scale,
                      const real *weight) {
    const int dim = g->f.dim, blocks = (g->n + SUM_ROWS - 1) / SUM_ROWS;
    const work o = {.g = g, .y = dx, .scale = scale, .x = x, .dy = dy, .weight = weight};
    compute_parallel(g->c, blocks, norm_back_blocks, &o);
    for (int b = 0; b < blocks; b++)
        for (int i = 0; i < dim; i++) dweight[i] += g->partial[(size_t)b * (size_t)dim + (size_t)i];
}

/* ---- Rotation (arXiv:2104.09864) of queries and keys in qkv, forward by the position's angle, or back. Queries are
 * also multiplied by 1 / sqrt(head_dim), which belongs to their products with keys but costs less here. A rotation is
 * orthogonal, so that its derivative is the rotation back. ---- */

static void rotate_tokens(const void *with, int begin, int end) {
    const work *o = with;
    const grad *g = o->g;
    const int d = g->f.head_dim, heads = g->f.n_heads + g->f.n_kv_heads;
    const real factor_q = 1 / square_root((real)d), sign = o->back ? -1 : 1;
    for (int t = begin; t < end; t++) {
        const real *turn = g->rope + (size_t)(t % g->f.seq_len) * (size_t)d;
        real *x = o->y + (size_t)t * (size_t)g->qkv;
        for (int h = 0; h < heads; h++, x += d) {
            const real s = h < g->f.n_heads ? factor_q : 1;
            for (int i = 0; i < d; i += 2) {
                const real a = s * x[i], b = s * x[i + 1], cosine = turn[i], sine = sign * turn[i + 1];
                x[i] = a * cosine - b * sine;
                x[i + 1] = a * sine + b * cosine;
            }
        }
    }
}

static void rotate(grad *g, real *qkv, int back) {
    const work o = {.g = g, .y = qkv, .back = back};
    compute_parallel(g->c, g->n, rotate_tokens, &o);
}

/* ---- Attention of one head: p = softmax(q . k^T), each query over the keys up to its own; mixed = p . v
 *
 *     dv = p^T . dmixed        dp = dmixed . v^T
 *     dscore = p * (dp - sum(p * dp)), where sum(p * dp) = sum(mixed * dmixed)
 *     dq = dscore . k          dk = dscore^T . q
 *
 * Some queries at a time; the backward pass computes p again, which takes less time than to write and read it
 * (arXiv:2205.14135). For that one number a query is kept, the logarithm of the sum of e^score: p = e^score / sum is
 * e^(score - log sum). ---- */

typedef struct { /* where a head's rows lie in q, k, v and mixed, from one token of a sequence on */
    size_t q, k, v, mixed;
} place;

static place head_place(const grad *g, int sequence, int head) {
    const size_t first = (size_t)sequence * (size_t)g->f.seq_len, d = (size_t)g->f.head_dim;
    const size_t group = (size_t)(head / (g->f.n_heads / g->f.n_kv_heads));
    const place p = {first * (size_t)g->qkv + (size_t)head * d, first * (size_t)g->qkv + (size_t)g->q + group * d,
                     first * (size_t)g->qkv + (size_t)(g->q + g->kv) + group * d,
                     first * (size_t)g->q + (size_t)head * d};
    return p;
}

static void attend(grad *g, const activations *a, int sequence, int head) {
    const int length = g->f.seq_len, d = g->f.head_dim;
    const size_t row = (size_t)g->qkv, out = (size_t)g->q;
    const place at = head_place(g, sequence, head);
    real *p = g->scores + 2 * (size_t)compute_thread() * QUERIES * (size_t)length;
    for (int begin = 0; begin < length; begin += QUERIES) {
        const int end = begin + QUERIES < length ? begin + QUERIES : length, n = end - begin;
        const real *q = a->qkv + at.q + (size_t)begin * row;
        compute_product_alone(g->c, p, (size_t)end, as_is(q, row), turned(a->qkv + at.k, row), n, end, d, 0);
        for (int t = begin; t < end; t++) {
            real *score = p + (size_t)(t - begin) * (size_t)end, max = score[0];
            const real sum = compute_softmax(g->c, score, t + 1, &max), inverse = 1 / sum;
            for (int i = 0; i <= t; i++) score[i] *= inverse;
            for (int i = t + 1; i < end; i++) score[i] = 0;
            a->logsum[((size_t)sequence * (size_t)length + (size_t)t) * (size_t)g->f.n_heads + (size_t)head] =
                max + (real)log((double)sum);
        }
        compute_product_alone(g->c, a->mixed + at.mixed + (size_t)begin * out, out, as_is(p, (size_t)end),
                              as_is(a->qkv + at.v, row), n, d, end, 0);
    }
}

/* p and dscore (queries, end) of the queries begin to end. */
static void scores_back(grad *g, const activations *a, int sequence, int head, int begin, int end, real *p,
                        real *dscore) {
    const int length = g->f.seq_len, d = g->f.head_dim;
    const size_t row = (size_t)g->qkv, out = (size_t)g->q;
    const place at = head_place(g, sequence, head);
    const real *q = a->qkv + at.q + (size_t)begin * row, *dmixed = g->dmixed + at.mixed + (size_t)begin * out;
    const real *mixed = a->mixed + at.mixed + (size_t)begin * out;
    compute_product_alone(g->c, p, (size_t)end, as_is(q, row), turned(a->qkv + at.k, row), end - begin, end, d, 0);
    compute_product_alone(g->c, dscore, (size_t)end, as_is(dmixed, out), turned(a->qkv + at.v, row), end - begin, end,
                          d, 0);
    for (int t = begin; t < end; t++, p += end, dscore += end, mixed += out, dmixed += out) {
        real max = a->logsum[((size_t)sequence * (size_t)length + (size_t)t) * (size_t)g->f.n_heads + (size_t)head];
        const real sum = dot(mixed, dmixed, d);
        compute_softmax(g->c, p, t + 1, &max); /* no score is above the logarithm of the sum: p is e^(score - it) */
        for (int i = 0; i <= t; i++) dscore[i] = p[i] * (dscore[i] - sum);
        for (int i = t + 1; i < end; i++) p[i] = dscore[i] = 0;
    }
}

/* The heads that share a key and value head add to the same dk and dv: one thread does them all. */
static void attend_back(grad *g, const activations *a, int sequence, int group) {
    const int length = g->f.seq_len, d = g->f.head_dim, heads = g->f.n_heads / g->f.n_kv_heads;
    const size_t row = (size_t)g->qkv, out = (size_t)g->q;
    real *p = g->scores + 2 * (size_t)compute_thread() * QUERIES * (size_t)length;
    real *dscore = p + (size_t)QUERIES * (size_t)length;
    const place first = head_place(g, sequence, group * heads);
    for (int t = 0; t < length; t++)
        for (int i = 0; i < d; i++)
            g->dqkv[first.k + (size_t)t * row + (size_t)i] = g->dqkv[first.v + (size_t)t * row + (size_t)i] = 0;
    for (int h = group * heads; h < (group + 1) * heads; h++)
        for (int begin = 0; begin < length; begin += QUERIES) {
            const int end = begin + QUERIES < length ? begin + QUERIES : length, n = end - begin;
            const place at = head_place(g, sequence, h);
            const real *q = a->qkv + at.q + (size_t)begin * row;
            const real *dmixed = g->dmixed + at.mixed + (size_t)begin * out;
            scores_back(g, a, sequence, h, begin, end, p, dscore);
            compute_product_alone(g->c, g->dqkv + at.q + (size_t)begin * row, row, as_is(dscore, (size_t)end),
                                  as_is(a->qkv + at.k, row), n, d, end, 0);
            compute_product_alone(g->c, g->dqkv + at.k, row, turned(dscore, (size_t)end), as_is(q, row), end, d, n, 1);
            compute_product_alone(g->c, g->dqkv + at.v, row, turned(p, (size_t)end), as_is(dmixed, out), end, d, n, 1);
        }
}

static void attend_heads(const void *with, int begin, int end) {
    const work *o = with;
    const int heads = o->g->f.n_heads;
    for (int i = begin; i < end; i++) attend(o->g, o->a, i / heads, i % heads);
}

static void attend_back_groups(const void *with, int begin, int end) {
    const work *o = with;
    const int groups = o->g->f.n_kv_heads;
    for (int i = begin; i < end; i++) attend_back(o->g, o->a, i / groups, i % groups);
}

static void attention(grad *g, const activations *a) {
    const work o = {.g = g, .a = a};
    compute_parallel(g->c, g->n / g->f.seq_len * g->f.n_heads, attend_heads, &o);
}

static void attention_back(grad *g, const activations *a) {
    const work o = {.g = g, .a = a};
    compute_parallel(g->c, g->n / g->f.seq_len * g->f.n_kv_heads, attend_back_groups, &o);
}

/* ---- SwiGLU (arXiv:2002.05202): gated = silu(h1) * h3 ---- */

static void swiglu_tokens(const void *with, int begin, int end) {
    const work *o = with;
    const size_t hidden = (size_t)o->g->f.hidden_dim;
    for (int t = begin; t < end; t++) {
        const real *h = o->a->h + (size_t)t * 2 * hidden;
        compute_swiglu(o->g->c, o->a->gated + (size_t)t * hidden, h, h + hidden, (int)hidden);
    }
}

static void swiglu_back_tokens(const void *with, int begin, int end) {
    const work *o = with;
    const size_t hidden = (size_t)o->g->f.hidden_dim;
    for (int t = begin; t < end; t++) {
        const real *h = o->a->h + (size_t)t * 2 * hidden;
        real *dh = o->g->dh + (size_t)t * 2 * hidden;
        compute_swiglu_back(o->g->c, dh, dh + hidden, o->g->dgated + (size_t)t * hidden, h, h + hidden, (int)hidden);
    }
}

static void swiglu(grad *g, const activations *a) {
    const work o = {.g = g, .a = a};
    compute_parallel(g->c, g->n, swiglu_tokens, &o);
}

static void swiglu_back(grad *g, const activations *a) {
    const work o = {.g = g, .a = a};
    compute_parallel(g->c, g->n, swiglu_back_tokens, &o);
}

/* ---- y = x + dropped(branch): with dropout a share of the branch's values is left out, and what stays is enlarged
 * to make up for it (arXiv:1207.0580). Which ones is a function of the pass's seed, the place in the model and in
 * the array, so that the backward pass finds the same. y may be branch; x may be NULL for zeros. ---- */

static void add_branch_tokens(const void *with, int begin, int end) {
    const work *o = with;
    const int dim = o->g->f.dim;
    const unsigned dropped = (unsigned)(o->g->dropout * 65536.0);
    const real keep = (real)(1 / (1 - (double)dropped / 65536.0));
    for (int t = begin; t < end; t++) {
        const size_t at = (size_t)t * (size_t)dim;
        real *out = o->y + at;
        const real *in = o->branch + at;
        for (int i = 0; dropped && i < dim; i += 4) { /* 16 random bits for each */
            const uint64_t bits = mix_bits(o->key + (at + (size_t)i) * 0x9E3779B97F4A7C15u);
            for (int j = 0; j < 4 && i + j < dim; j++)
                out[i + j] = (bits >> (16 * j) & 0xFFFF) < dropped ? 0 : keep * in[i + j];
        }
        if (!dropped && out != in) memcpy(out, in, (size_t)dim * sizeof *out);
        for (int i = 0; o->x && i < dim; i++) out[i] += o->x[at + (size_t)i];
    }
}

static void add_branch(grad *g, real *y, const real *x, const real *branch, int where) {
    const work o = {.g = g, .y = y, .x = x, .branch = branch, .key = mix_bits(g->seed + (uint64_t)where)};
    compute_parallel(g->c, g->n, add_branch_tokens, &o);
}

/* ==== 4. The model ============================================================================== */

static void embed_tokens(const void *with, int begin, int end) {
    const work *o = with;
    const size_t dim = (size_t)o->g->f.dim;
    for (int t = begin; t < end; t++)
        memcpy(o->y + (size_t)t * dim, o->g->w.embedding + (size_t)o->ids[t] * dim, dim * sizeof *o->y);
}

static void embed(grad *g, real *x, const int *tokens) {
    const work o = {.g = g, .y = x, .ids = tokens};
    compute_parallel(g->c, g->n, embed_tokens, &o);
    add_branch(g, x, NULL, x, 2 * g->f.n_layers);
}

/* Tokens repeat, so that threads share out columns. */
enum { SLICE = 32 };

static void embed_back_slices(const void *with, int begin, int end) {
    const work *o = with;
    const size_t dim = (size_t)o->g->f.dim, first = (size_t)begin * SLICE, last = (size_t)end * SLICE;
    for (int t = 0; t < o->g->n; t++) {
        real *row = o->g->dw.embedding + (size_t)o->ids[t] * dim;
        const real *dx = o->g->dx + (size_t)t * dim;
        for (size_t i = first; i < last && i < dim; i++) row[i] += dx[i];
    }
}

static void embed_back(grad *g, const int *tokens) {
    const work o = {.g = g, .ids = tokens};
    add_branch(g, g->dx, NULL, g->dx, 2 * g->f.n_layers);
    compute_parallel(g->c, (g->f.dim + SLICE - 1) / SLICE, embed_back_slices, &o);
}

static void forward_layer(grad *g, int l) {
    const llama_config *f = &g->f;
    const layer_weights *w = &g->w.layers[l];
    const activations *a = &g->layers[l];
    norm(g, a->normed, a->scale, a->x, w->attention_norm);
    multiply(g, a->qkv, a->normed, w->wqkv, g->n, g->qkv, f->dim);
    rotate(g, a->qkv, 0);
    attention(g, a);
    multiply(g, g->branch, a->mixed, w->wo, g->n, f->dim, g->q);
    add_branch(g, a->middle, a->x, g->branch, 2 * l);

    norm(g, a->middle_normed, a->middle_scale, a->middle, w->ffn_norm);
    multiply(g, a->h, a->middle_normed, w->w13, g->n, 2 * f->hidden_dim, f->dim);
    swiglu(g, a);
    multiply(g, g->branch, a->gated, w->w2, g->n, f->dim, f->hidden_dim);
    add_branch(g, g->layers[l + 1].x, a->middle, g->branch, 2 * l + 1);
}

/* g->dx holds the derivative of what the layer gave, and becomes that of what it got: the residual stream adds, so
 * that the derivative passes along unchanged and each branch adds its own. */
static void backward_layer(grad *g, int l) {
    const llama_config *f = &g->f;
    const layer_weights *w = &g->w.layers[l], *dw = &g->dw.layers[l];
    const activations *a = &g->layers[l];
    add_branch(g, g->branch, NULL, g->dx, 2 * l + 1);
    multiply_back(g, g->dgated, dw->w2, g->branch, a->gated, w->w2, g->n, f->dim, f->hidden_dim);
    swiglu_back(g, a);
    multiply_back(g, g->dnormed, dw->w13, g->dh, a->middle_normed, w->w13, g->n, 2 * f->hidden_dim, f->dim);
    norm_back(g, g->dx, dw->ffn_norm, g->dnormed, a->middle, a->middle_scale, w->ffn_norm);

    add_branch(g, g->branch, NULL, g->dx, 2 * l);
    multiply_back(g, g->dmixed, dw->wo, g->branch, a->mixed, w->wo, g->n, f->dim, g->q);
    attention_back(g, a);
    rotate(g, g->dqkv, 1);
    multiply_back(g, g->dnormed, dw->wqkv, g->dqkv, a->normed, w->wqkv, g->n, g->qkv, f->dim);
    norm_back(g, g->dx, dw->attention_norm, g->dnormed, a->x, a->scale, w->attention_norm);
}

/* The loss of tokens first..first + count, and in place of their logits x its derivative by them, times share.
 *
 * The loss is -log p[next] with p = softmax(x), that is p[i] = e^x[i] / sum of all e^x. The logarithm of a quotient is
 * a difference:
 *
 *     loss = log(sum of all e^x) - x[next]
 *
 * so that the logarithm of the sum is all that has to be computed. No p is needed, which may be too small for a float,
 * and its logarithm then -infinity. The derivative of the first term by x[i] is e^x[i] / sum, which is p[i]; that of
 * x[next] is 1 for i = next and 0 for the others:
 *
 *     dx[i] = p[i] - (i == next)
 *
 * Each token is to lose as much as it was believed in, and the right one to gain what it lacked; where the model is
 * sure and right nothing changes. Softmax takes the largest x off all of them, so that no e^x overflows, and here it
 * is added to the logarithm again. */
static void cross_entropy_tokens(const void *with, int begin, int end) {
    const work *o = with;
    const int vocab = o->g->f.vocab_size;
    for (int t = begin; t < end; t++) {
        real *row = o->g->logits + (size_t)t * (size_t)vocab, max = row[0];
        const int next = o->ids[o->first + t];
        const real target = row[next], sum = compute_softmax(o->g->c, row, vocab, &max);
        o->g->losses[o->first + t] = (real)log((double)sum) + max - target;
        const real s = (real)o->share / sum;
        for (int i = 0; i < vocab; i++) row[i] *= s;
        row[next] -= (real)o->share;
    }
}

static void cross_entropy(grad *g, const int *next, int first, int count, double share) {
    const work o = {.g = g, .ids = next, .first = first, .share = share};
    compute_parallel(g->c, count, cross_entropy_tokens, &o);
}

/* From what the last layer gave to the losses; backward to g->dnormed. Some tokens at a time: logits are large. */
static void classify(grad *g, const int *next, const grad_pass *pass) {
    const int vocab = g->f.vocab_size, dim = g->f.dim;
    const activations *last = &g->layers[g->f.n_layers];
    norm(g, last->normed, last->scale, last->x, g->w.final_norm);
    for (int first = 0; first < g->n; first += HEAD_ROWS) {
        const int count = g->n - first < HEAD_ROWS ? g->n - first : HEAD_ROWS;
        const size_t at = (size_t)first * (size_t)dim;
        multiply(g, g->logits, last->normed + at, g->w.classifier, count, vocab, dim);
        cross_entropy(g, next, first, count, pass->share / (double)g->n);
        if (pass->backward)
            multiply_back(g, g->dnormed + at, g->dw.classifier, g->logits, last->normed + at, g->w.classifier, count,
                          vocab, dim);
    }
}

double grad_run(grad *g, const int *tokens, const int *next, int sequences, const grad_pass *pass) {
    const activations *last = &g->layers[g->f.n_layers];
    double sum = 0;
    g->n = sequences * g->f.seq_len, g->dropout = pass->dropout, g->seed = pass->seed;
    embed(g, g->layers[0].x, tokens);
    for (int l = 0; l < g->f.n_layers; l++) forward_layer(g, l);
    classify(g, next, pass);
    if (pass->backward) {
        memset(g->dx, 0, (size_t)g->n * (size_t)g->f.dim * sizeof *g->dx);
        norm_back(g, g->dx, g->dw.final_norm, g->dnormed, last->x, last->scale, g->w.final_norm);
        for (int l = g->f.n_layers - 1; l >= 0; l--) backward_layer(g, l);
        embed_back(g, tokens);
    }
    for (int t = 0; t < g->n; t++) sum += (double)g->losses[t];
    return sum / (double)g->n;
}

double grad_operations(const llama_config *f, int backward) {
    const double q = (double)f->n_heads * f->head_dim, kv = (double)f->n_kv_heads * f->head_dim;
    const double attention = q * (f->seq_len + 1.0); /* q . k and p . v, half of the context on average */
    const double layer = f->dim * (2 * q + 2 * kv + 3.0 * f->hidden_dim) + attention;
    return 2 * (layer * f->n_layers + (double)f->vocab_size * f->dim) * (backward ? 3 : 1);
}

/* ==== 5. AdamW ==================================================================================
 *     m = beta1 m + (1 - beta1) dw        v = beta2 v + (1 - beta2) dw^2
 *     w -= rate * (m' / (sqrt(v') + epsilon) + decay * w), with m' = m / (1 - beta1^step), v' likewise
 *
 * m and v are means of the last derivatives and of their squares, in which older ones count less and less. Both begin
 * as 0, so that in the first steps they are means of a few derivatives and many zeros: after the first, m is dw / 10
 * and v is dw^2 / 20 (beta1 0.9, beta2 0.95), and m / sqrt(v) is 0.45 where it should be 1; with the more usual beta2
 * of 0.999 it would be 3.2, and the first steps, of random weights, the longest. What the derivatives count for in
 * them adds up to 1 - beta^step; divided by that, they are means of derivatives alone. Later it is as good as 1.
 */
static void square_parts(const void *with, int begin, int end) {
    const grad *g = with;
    for (size_t i = (size_t)begin; i < (size_t)end; i++) {
        const size_t first = i * PART, left = g->count - first;
        const real *x = g->dw.all + first;
        const int n = (int)(left < PART ? left : PART);
        g->squares[i] = 0;
        for (int k = 0; k < n; k += 256) g->squares[i] += (double)dot(x + k, x + k, n - k < 256 ? n - k : 256);
    }
}

static double gradient_length(grad *g) {
    const size_t parts = parts_of(g->count);
    double sum = 0;
    compute_parallel(g->c, (int)parts, square_parts, g);
    for (size_t i = 0; i < parts; i++) sum += g->squares[i];
    return sqrt(sum);
}

typedef struct {
    const grad *g;
    const adamw *o;
    grad_tensor t;
    real shrink, *moment1, *moment2;
} update;

static void adamw_parts(const void *with, int begin, int end) {
    const update *u = with;
    const adamw *o = u->o;
    const real b1 = (real)o->beta1, b2 = (real)o->beta2, epsilon = (real)o->epsilon;
    const real rate = (real)(o->rate / (1 - pow(o->beta1, (double)o->step)));
    const real correct = (real)(1 / (1 - pow(o->beta2, (double)o->step)));
    const real keep = (real)(tensor_is_vector(u->t.id) ? 1 : 1 - o->rate * o->decay);
    const size_t size = (size_t)u->t.rows * (size_t)u->t.cols, last = (size_t)end * PART;
    const size_t first = (size_t)begin * PART, n = (last < size ? last : size) - first;
    real *w = u->g->w.all + u->t.offset + first;
    const real *dw = u->g->dw.all + u->t.offset + first;
    real *m = u->moment1 + u->t.offset + first, *v = u->moment2 + u->t.offset + first;
    for (size_t k = 0; k < n; k++) {
        const real d = dw[k] * u->shrink;
        m[k] = b1 * m[k] + (1 - b1) * d;
        v[k] = b2 * v[k] + (1 - b2) * d * d;
        w[k] = keep * w[k] - rate * m[k] / (square_root(v[k] * correct) + epsilon);
    }
}

double adamw_step(grad *g, const adamw *o, real *moment1, real *moment2) {
    if (o->freeze_embedding) memset(g->dw.embedding, 0, tensor_size(&g->f, TENSOR_EMBEDDING) * sizeof(real));
    const double length = gradient_length(g);
    if (!(length <= 1e300)) return length;
    const real shrink = (real)(o->clip > 0 && length > o->clip ? o->clip / length : 1);
    for (int i = o->freeze_embedding; i < grad_tensor_count(&g->f); i++) {
        const update u = {g, o, grad_tensor_at(&g->f, i), shrink, moment1, moment2};
        compute_parallel(g->c, (int)parts_of((size_t)u.t.rows * (size_t)u.t.cols), adamw_parts, &u);
    }
    memset(g->dw.all, 0, g->count * sizeof(real));
    return length;
}
