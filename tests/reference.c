/* reference.c - see reference.h. Read reference_forward first. */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double *ref_array(int rows, int cols) {
    double *a = calloc((size_t)rows * (size_t)cols, sizeof *a);
    if (!a) {
        fprintf(stderr, "reference: out of memory\n");
        exit(1);
    }
    return a;
}

/* y = W x + bias, with W (rows, cols). */
static void ref_matmul(double *y, const double *w, const double *bias, const double *x, int rows, int cols) {
    for (int r = 0; r < rows; r++) {
        y[r] = 0;
        for (int c = 0; c < cols; c++) y[r] += w[(size_t)r * (size_t)cols + (size_t)c] * x[c];
        if (bias) y[r] += bias[r];
    }
}

/* y = weight * x / sqrt(mean(x^2) + eps); y may be x. No weight: y = x. */
static void ref_rmsnorm(double *y, const double *x, const double *weight, int n, double eps) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) y[i] = weight ? weight[i] * x[i] / sqrt(sum / n + eps) : x[i];
}

/* Turns each pair (2i, 2i+1) of a head by pos * freq[i], and makes it amplitude[i] times as long. */
static void ref_rope(double *head, const double *freq, const double *amplitude, int head_dim, int pos) {
    for (int i = 0; i < head_dim / 2; i++) {
        double length = amplitude ? amplitude[i] : 1;
        double c = length * cos(pos * freq[i]), s = length * sin(pos * freq[i]);
        double a = head[2 * i], b = head[2 * i + 1];
        head[2 * i] = a * c - b * s;
        head[2 * i + 1] = a * s + b * c;
    }
}

static void ref_softmax(double *x, int n) {
    double max = x[0], sum = 0;
    for (int i = 1; i < n; i++) max = fmax(max, x[i]);
    for (int i = 0; i < n; i++) sum += x[i] = exp(x[i] - max);
    for (int i = 0; i < n; i++) x[i] /= sum;
}

static double ref_silu(double x) { return x / (1 + exp(-x)); }

static double ref_gelu(double x) { return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x))); }

static double ref_cap(double x, double cap) { return cap > 0 ? cap * tanh(x / cap) : x; }

void reference_rope_freq(double *freq, int head_dim, double theta) {
    for (int i = 0; i < head_dim / 2; i++) freq[i] = pow(theta, -2.0 * i / head_dim);
}

/* Heads (count, head_dim) side by side: RMSNorm of each, or of all of them, then rotation. */
static void ref_turn(const reference_model *m, const reference_layer *w, double *heads, const double *norm, int count,
                     int pos) {
    int hd = m->head_dim, half = hd / 2, is_long = m->rope_short && m->n_ctx > m->rope_short;
    int table = (w->rope + (is_long ? m->n_ropes : 0)) * half;
    if (m->wide_norm) ref_rmsnorm(heads, heads, norm, count * hd, m->norm_eps);
    for (int h = 0; h < count; h++) {
        if (!m->wide_norm) ref_rmsnorm(heads + h * hd, heads + h * hd, norm, hd, m->norm_eps);
        ref_rope(heads + h * hd, m->rope_freq + table, m->rope_amplitude ? m->rope_amplitude + table : NULL, hd, pos);
    }
}

/* heads = what the query heads q of position t find in the keys and values (n, kv_dim) up to it. */
static void ref_attend(const reference_model *m, int window, double *heads, const double *q, const double *k,
                       const double *v, int t) {
    int hd = m->head_dim, kv_dim = m->n_kv_heads * hd;
    int group = m->n_heads / m->n_kv_heads; /* query heads that share a key and value head */
    int first = window && t - window >= 0 ? t - window + 1 : 0, count = t + 1 - first; /* those seen */
    double scale = m->attention_scale > 0 ? m->attention_scale : 1 / sqrt(hd);
    double *att = ref_array(1, count);
    for (int h = 0; h < m->n_heads; h++) {
        int kv = h / group * hd; /* where this head's keys and values start in a row */
        for (int s = 0; s < count; s++) {
            att[s] = 0;
            for (int i = 0; i < hd; i++) att[s] += q[h * hd + i] * k[(first + s) * kv_dim + kv + i];
            att[s] = ref_cap(scale * att[s], m->score_cap);
        }
        ref_softmax(att, count);
        for (int i = 0; i < hd; i++) {
            heads[h * hd + i] = 0;
            for (int s = 0; s < count; s++) heads[h * hd + i] += att[s] * v[(first + s) * kv_dim + kv + i];
        }
    }
    free(att);
}

/* out += weight * W2 (act(W1 x) * W3 x) */
static void ref_feed_forward(const reference_model *m, double *out, double weight, const double *w1, const double *w3,
                             const double *w2, const double *x, int hidden) {
    double *gate = ref_array(1, hidden), *up = ref_array(1, hidden), *down = ref_array(1, m->dim);
    ref_matmul(gate, w1, NULL, x, hidden, m->dim);
    ref_matmul(up, w3, NULL, x, hidden, m->dim);
    for (int i = 0; i < hidden; i++) gate[i] = (m->gelu ? ref_gelu(gate[i]) : ref_silu(gate[i])) * up[i];
    ref_matmul(down, w2, NULL, gate, m->dim, hidden);
    for (int i = 0; i < m->dim; i++) out[i] += weight * down[i];
    free(gate), free(up), free(down);
}

/* How many of n numbers come before x[i]: larger ones, and equal ones with a smaller index. */
static int ref_rank(const double *x, int n, int i) {
    int rank = 0;
    for (int j = 0; j < n; j++) rank += x[j] > x[i] || (x[j] == x[i] && j < i);
    return rank;
}

/* out += p_e * (expert e of x), for the experts with the largest p = softmax(router x). */
static void ref_mixture(const reference_model *m, const reference_layer *w, double *out, const double *x,
                        double *margin) {
    int n = m->n_experts, used = m->n_experts_used;
    double *score = ref_array(1, n), *p = ref_array(1, n), sum = 0, last = 0, next = -INFINITY;
    ref_matmul(score, w->router, NULL, x, n, m->dim);
    memcpy(p, score, (size_t)n * sizeof *p);
    ref_softmax(p, n);
    for (int e = 0; e < n; e++) {
        int rank = ref_rank(score, n, e);
        if (rank < used) sum += p[e];
        if (rank == used - 1) last = score[e];
        if (rank == used) next = score[e];
    }
    *margin = fmin(*margin, last - next);
    for (int e = 0; e < n; e++) {
        size_t at = (size_t)e * (size_t)m->expert_dim * (size_t)m->dim;
        double weight = m->renormalise ? p[e] / sum : p[e];
        if (ref_rank(score, n, e) < used)
            ref_feed_forward(m, out, weight, w->w1 + at, w->w3 + at, w->w2 + at, x, m->expert_dim);
    }
    free(score), free(p);
}

/* One layer, x (n, dim) to x. */
static void ref_layer(const reference_model *m, const reference_layer *w, double *x, int n, double *margins) {
    int dim = m->dim, q_dim = m->n_heads * m->head_dim, kv_dim = m->n_kv_heads * m->head_dim;
    double *q = ref_array(n, q_dim), *k = ref_array(n, kv_dim), *v = ref_array(n, kv_dim);
    double *norm = ref_array(1, dim), *heads = ref_array(1, q_dim), *out = ref_array(1, dim);

    /* Queries, keys and values of every position. */
    for (int t = 0; t < n; t++) {
        ref_rmsnorm(norm, x + t * dim, w->attention_norm, dim, m->norm_eps);
        ref_matmul(q + t * q_dim, w->wq, w->q_bias, norm, q_dim, dim);
        ref_matmul(k + t * kv_dim, w->wk, w->k_bias, norm, kv_dim, dim);
        ref_matmul(v + t * kv_dim, w->wv, w->v_bias, norm, kv_dim, dim);
        ref_turn(m, w, q + t * q_dim, w->q_norm, m->n_heads, t);
        ref_turn(m, w, k + t * kv_dim, w->k_norm, m->n_kv_heads, t);
    }

    for (int t = 0; t < n; t++) {
        /* Attention: each head mixes the values of the positions up to its own. */
        ref_attend(m, w->window, heads, q + t * q_dim, k, v, t);
        ref_matmul(out, w->wo, w->o_bias, heads, dim, q_dim);
        ref_rmsnorm(out, out, w->attention_post_norm, dim, m->norm_eps);
        for (int i = 0; i < dim; i++) x[t * dim + i] += out[i];

        /* Feed-forward. */
        memset(out, 0, (size_t)dim * sizeof *out);
        ref_rmsnorm(norm, x + t * dim, w->ffn_norm, dim, m->norm_eps);
        if (w->router) ref_mixture(m, w, out, norm, &margins[t]);
        else ref_feed_forward(m, out, 1, w->w1, w->w3, w->w2, norm, m->hidden_dim);
        ref_rmsnorm(out, out, w->ffn_post_norm, dim, m->norm_eps);
        for (int i = 0; i < dim; i++) x[t * dim + i] += out[i];
    }
    free(q), free(k), free(v), free(norm), free(heads), free(out);
}

void reference_forward(const reference_model *m, const int *tokens, int n, double *logits, double *margins) {
    double *x = ref_array(n, m->dim); /* residual stream */
    double *norm = ref_array(1, m->dim), *margin = ref_array(1, n);
    double scale = m->embedding_scale > 0 ? m->embedding_scale : 1;
    for (int t = 0; t < n; t++)
        for (int i = 0; i < m->dim; i++)
            x[t * m->dim + i] = scale * m->embedding[(size_t)tokens[t] * (size_t)m->dim + (size_t)i];
    for (int t = 0; t < n; t++) margin[t] = INFINITY;

    for (int l = 0; l < m->n_layers; l++) ref_layer(m, &m->layers[l], x, n, margin);

    for (int t = 0; t < n; t++) {
        double *out = logits + (size_t)t * (size_t)m->vocab_size;
        ref_rmsnorm(norm, x + t * m->dim, m->final_norm, m->dim, m->norm_eps);
        ref_matmul(out, m->classifier, NULL, norm, m->vocab_size, m->dim);
        for (int i = 0; i < m->vocab_size; i++) out[i] = ref_cap(out[i], m->logit_cap);
    }
    if (margins) memcpy(margins, margin, (size_t)n * sizeof *margins);
    free(x), free(norm), free(margin);
}

double reference_logprob(const double *logits, int vocab_size, int token) {
    double max = logits[0], sum = 0;
    for (int i = 1; i < vocab_size; i++) max = fmax(max, logits[i]);
    for (int i = 0; i < vocab_size; i++) sum += exp(logits[i] - max);
    return logits[token] - max - log(sum);
}
