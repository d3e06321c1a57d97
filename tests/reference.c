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

/* y = W x, with W (rows, cols). */
static void ref_matmul(double *y, const double *w, const double *x, int rows, int cols) {
    for (int r = 0; r < rows; r++) {
        y[r] = 0;
        for (int c = 0; c < cols; c++) y[r] += w[(size_t)r * (size_t)cols + (size_t)c] * x[c];
    }
}

/* y = weight * x / sqrt(mean(x^2) + eps) */
static void ref_rmsnorm(double *y, const double *x, const double *weight, int n, double eps) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) y[i] = weight[i] * x[i] / sqrt(sum / n + eps);
}

/* Turns each pair (2i, 2i+1) of a head by pos * freq[i]. */
static void ref_rope(double *head, const double *freq, int head_dim, int pos) {
    for (int i = 0; i < head_dim / 2; i++) {
        double c = cos(pos * freq[i]), s = sin(pos * freq[i]);
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

void reference_rope_freq(double *freq, int head_dim, double theta) {
    for (int i = 0; i < head_dim / 2; i++) freq[i] = pow(theta, -2.0 * i / head_dim);
}

void reference_forward(const reference_model *m, const int *tokens, int n, double *logits) {
    int dim = m->dim, hidden = m->hidden_dim, hd = m->head_dim;
    int q_dim = m->n_heads * hd, kv_dim = m->n_kv_heads * hd;
    int group = m->n_heads / m->n_kv_heads; /* query heads that share a key and value head */
    double *x = ref_array(n, dim);          /* residual stream */
    double *norm = ref_array(1, dim);
    double *q = ref_array(n, q_dim), *k = ref_array(n, kv_dim), *v = ref_array(n, kv_dim);
    double *att = ref_array(1, n), *heads = ref_array(1, q_dim);
    double *gate = ref_array(1, hidden), *up = ref_array(1, hidden), *out = ref_array(1, dim);

    for (int t = 0; t < n; t++)
        memcpy(x + (size_t)t * (size_t)dim, m->embedding + (size_t)tokens[t] * (size_t)dim, (size_t)dim * sizeof *x);

    for (int l = 0; l < m->n_layers; l++) {
        size_t L = (size_t)l;
        const double *wq = m->wq + L * (size_t)q_dim * (size_t)dim, *wo = m->wo + L * (size_t)dim * (size_t)q_dim;
        const double *wk = m->wk + L * (size_t)kv_dim * (size_t)dim, *wv = m->wv + L * (size_t)kv_dim * (size_t)dim;
        const double *w1 = m->w1 + L * (size_t)hidden * (size_t)dim, *w2 = m->w2 + L * (size_t)dim * (size_t)hidden;
        const double *w3 = m->w3 + L * (size_t)hidden * (size_t)dim;

        /* Queries, keys and values of every position. */
        for (int t = 0; t < n; t++) {
            ref_rmsnorm(norm, x + t * dim, m->attention_norm + L * (size_t)dim, dim, m->norm_eps);
            ref_matmul(q + t * q_dim, wq, norm, q_dim, dim);
            ref_matmul(k + t * kv_dim, wk, norm, kv_dim, dim);
            ref_matmul(v + t * kv_dim, wv, norm, kv_dim, dim);
            for (int h = 0; h < m->n_heads; h++) ref_rope(q + t * q_dim + h * hd, m->rope_freq, hd, t);
            for (int h = 0; h < m->n_kv_heads; h++) ref_rope(k + t * kv_dim + h * hd, m->rope_freq, hd, t);
        }

        for (int t = 0; t < n; t++) {
            /* Attention: each head mixes the values of the positions up to its own. */
            for (int h = 0; h < m->n_heads; h++) {
                int kv = h / group * hd; /* where this head's keys and values start in a row */
                for (int s = 0; s <= t; s++) {
                    att[s] = 0;
                    for (int i = 0; i < hd; i++) att[s] += q[t * q_dim + h * hd + i] * k[s * kv_dim + kv + i];
                    att[s] /= sqrt(hd);
                }
                ref_softmax(att, t + 1);
                for (int i = 0; i < hd; i++) {
                    heads[h * hd + i] = 0;
                    for (int s = 0; s <= t; s++) heads[h * hd + i] += att[s] * v[s * kv_dim + kv + i];
                }
            }
            ref_matmul(out, wo, heads, dim, q_dim);
            for (int i = 0; i < dim; i++) x[t * dim + i] += out[i];

            /* Feed-forward: W2 (silu(W1 x) * W3 x). */
            ref_rmsnorm(norm, x + t * dim, m->ffn_norm + L * (size_t)dim, dim, m->norm_eps);
            ref_matmul(gate, w1, norm, hidden, dim);
            ref_matmul(up, w3, norm, hidden, dim);
            for (int i = 0; i < hidden; i++) gate[i] = ref_silu(gate[i]) * up[i];
            ref_matmul(out, w2, gate, dim, hidden);
            for (int i = 0; i < dim; i++) x[t * dim + i] += out[i];
        }
    }

    for (int t = 0; t < n; t++) {
        ref_rmsnorm(norm, x + t * dim, m->final_norm, dim, m->norm_eps);
        ref_matmul(logits + (size_t)t * (size_t)m->vocab_size, m->classifier, norm, m->vocab_size, dim);
    }
    free(x), free(norm), free(q), free(k), free(v), free(att), free(heads), free(gate), free(up), free(out);
}

double reference_logprob(const double *logits, int vocab_size, int token) {
    double max = logits[0], sum = 0;
    for (int i = 1; i < vocab_size; i++) max = fmax(max, logits[i]);
    for (int i = 0; i < vocab_size; i++) sum += exp(logits[i] - max);
    return logits[token] - max - log(sum);
}
