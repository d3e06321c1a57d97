/* models.c - see models.h. */
#include "models.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/messages.h"
#include "../tools/shared/numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

void writer_threads(int n) {
#ifdef _OPENMP
    omp_set_num_threads(n);
#else
    (void)n;
#endif
}

/* ---- Weights ---- */

/* Mean and deviation. As in checkpoint.c: activations near 1, attention far from uniform; and a router that prefers
 * some experts clearly. Embeddings are small, so that the first norm feels its epsilon. */
static void weights_of(const llama_config *f, enum tensor id, int cols, double *mean, double *deviation) {
    const int is_norm = id == TENSOR_FINAL_NORM || id == TENSOR_ATTENTION_NORM || id == TENSOR_FFN_NORM ||
                        (id >= TENSOR_Q_NORM && id < TENSOR_WQ);
    *mean = is_norm || id == TENSOR_ROPE || id == TENSOR_ROPE_AMPLITUDES;
    *deviation = 1 / sqrt(cols);
    if (tensor_is_vector(id)) *deviation = is_norm ? 0.2 : 0.3;
    if (id == TENSOR_ROPE) *deviation = 1 / 1.7320508; /* 0 to 2 */
    if (id == TENSOR_WQ || id == TENSOR_WK) *deviation *= 1.5;
    if (id == TENSOR_CLASSIFIER || id == TENSOR_W2 || id == TENSOR_ROUTER) *deviation *= 2;
    if (id == TENSOR_EMBEDDING) *deviation = f->extras & LLAMA_NO_PRE_NORM ? 1 : 0.05;
}

static void model_fill(model *m, enum tensor id, int layer, uint64_t *seed) {
    int rows, cols;
    double mean, deviation;
    if (!tensor_shape(&m->in.config, id, layer, &rows, &cols)) return;
    const size_t n = (size_t)rows * (size_t)cols;
    float *w = m->weights[id][layer] = xmalloc(n * sizeof *w);
    weights_of(&m->in.config, id, cols, &mean, &deviation);
    for (size_t i = 0; i < n; i++) w[i] = (float)(mean + deviation * random_real(seed, -1.7320508, 1.7320508));
}

model *model_make(const llama_config *config, int type, uint64_t seed) {
    model *m = xmalloc(sizeof *m);
    memset(m, 0, sizeof *m);
    llama_config *f = &m->in.config;
    *f = *config;
    if (f->n_layers > REFERENCE_LAYERS) exit(1);
    if (f->layers) memcpy(m->kinds, f->layers, (size_t)f->n_layers * sizeof *m->kinds);
    f->layers = m->kinds;
    for (int id = 0; id < TENSORS; id++)
        for (int l = 0; l < (id < TENSOR_OF_LAYER ? 1 : f->n_layers); l++) model_fill(m, (enum tensor)id, l, &seed);
    m->in.rope_frequencies = m->weights[TENSOR_ROPE][0];
    m->in.rope_amplitudes = m->weights[TENSOR_ROPE_AMPLITUDES][0];
    m->in.type = type, m->in.rows = model_rows, m->in.user = m;
    return m;
}

void model_free(model *m) {
    for (int id = 0; id < TENSORS; id++)
        for (int l = 0; l < REFERENCE_LAYERS; l++) free(m->weights[id][l]);
    free(m);
}

/* ---- The file ---- */

int model_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err) {
    const model *m = user;
    int rows = 0, cols = 0;
    const int known = layer >= 0 && layer < m->in.config.n_layers && m->weights[tensor][layer];
    if (known) tensor_shape(&m->in.config, tensor, layer, &rows, &cols);
    if (first < 0 || count <= 0 || first + count > rows)
        return set_error(err, "rows %d to %d of %s, layer %d, of %d", first, first + count, tensor_name(tensor), layer,
                         rows);
    const size_t n = (size_t)cols;
    memcpy(out, m->weights[tensor][layer] + (size_t)first * n, (size_t)count * n * sizeof *out);
    return 0;
}

file model_file(const model *m, writer_report *report) {
    llama_error why = {0, ""};
    file f = {NULL, 0};
    void *data = NULL;
    if (writer_build(&m->in, &data, &f.size, report, &why)) {
        printf("test: %s\n", why.text);
        exit(1);
    }
    f.bytes = data;
    return f;
}

file model_version_1(const file *two) {
    enum { HEADER = 128, OFFSET = 48, SIZE = 56 };
    const size_t n = (size_t)get_uint(two->bytes + 72, 4), layers = (size_t)get_uint(two->bytes + 24, 4);
    const unsigned char *from = two->bytes + INSIDE_HEADER + INSIDE_KIND * layers;
    const size_t tokenizer = (size_t)get_uint(two->bytes + 56, 8), size = (size_t)get_uint(two->bytes + 64, 8);
    unsigned char *room = xmalloc(two->size), *to = room + HEADER;
    size_t at = HEADER + n * INSIDE_ENTRY;
    memset(room, 0, two->size);
    memcpy(room, two->bytes, 76);
    put_uint(room + 8, 1, 4), put_uint(room + 56, size ? at : 0, 8);
    memcpy(room + at, two->bytes + tokenizer, size);
    at += size;
    for (size_t i = 0; i < n; i++, from += INSIDE_ENTRY, to += INSIDE_ENTRY) {
        const size_t bytes = (size_t)get_uint(from + SIZE, 8);
        at = (at + 63) / 64 * 64;
        memcpy(to, from, INSIDE_ENTRY);
        put_uint(to + OFFSET, at, 8);
        memcpy(room + at, two->bytes + get_uint(from + OFFSET, 8), bytes);
        at += bytes;
    }
    const file one = {xmalloc(at), at}; /* of exactly its size, so that a sanitizer sees a step beyond */
    memcpy(one.bytes, room, at);
    free(room);
    return one;
}

/* ---- The reference ---- */

/* Where a tensor of a layer goes; NULL: none of a layer, or none of the reference. */
static const double **reference_field(reference_model *r, enum tensor id, int layer) {
    reference_layer *w = &r->layers[layer];
    switch (id) {
    case TENSOR_ROPE: return &r->rope_freq;
    case TENSOR_ROPE_AMPLITUDES: return &r->rope_amplitude;
    case TENSOR_FINAL_NORM: return &r->final_norm;
    case TENSOR_EMBEDDING: return &r->embedding;
    case TENSOR_CLASSIFIER: return &r->classifier;
    case TENSOR_ATTENTION_NORM: return &w->attention_norm;
    case TENSOR_FFN_NORM: return &w->ffn_norm;
    case TENSOR_Q_BIAS: return &w->q_bias;
    case TENSOR_K_BIAS: return &w->k_bias;
    case TENSOR_V_BIAS: return &w->v_bias;
    case TENSOR_O_BIAS: return &w->o_bias;
    case TENSOR_Q_NORM: return &w->q_norm;
    case TENSOR_K_NORM: return &w->k_norm;
    case TENSOR_ATTENTION_POST_NORM: return &w->attention_post_norm;
    case TENSOR_FFN_POST_NORM: return &w->ffn_post_norm;
    case TENSOR_WQ: return &w->wq;
    case TENSOR_WK: return &w->wk;
    case TENSOR_WV: return &w->wv;
    case TENSOR_WO: return &w->wo;
    case TENSOR_ROUTER: return &w->router;
    case TENSOR_W1: return &w->w1;
    case TENSOR_W3: return &w->w3;
    case TENSOR_W2: return &w->w2;
    case TENSORS: break;
    }
    return NULL;
}

/* Puts all weights at *next, which moves, if that is not NULL. Returns how many they are. */
static size_t reference_fill(reference_model *r, const llama_model *loaded, double *to) {
    const llama_config *f = llama_get_config(loaded);
    size_t count = 0;
    for (int id = 0; id < TENSORS; id++)
        for (int l = 0, rows, cols; l < (id < TENSOR_OF_LAYER ? 1 : f->n_layers); l++) {
            if (!tensor_shape(f, (enum tensor)id, l, &rows, &cols)) continue;
            float *row = xmalloc((size_t)cols * sizeof *row);
            if (to) *reference_field(r, (enum tensor)id, l) = to + count;
            for (int i = 0; i < rows; i++, count += (size_t)cols) {
                if (!to) continue;
                inside_rows(loaded, (enum tensor)id, l, i, 1, row);
                for (int k = 0; k < cols; k++) to[count + (size_t)k] = (double)row[k];
            }
            free(row);
        }
    return count;
}

reference_model model_reference(const llama_model *loaded, int n_ctx, double **weights) {
    const llama_config *f = llama_get_config(loaded);
    reference_model r = {.dim = f->dim,
                         .hidden_dim = f->hidden_dim,
                         .n_layers = f->n_layers,
                         .n_heads = f->n_heads,
                         .n_kv_heads = f->n_kv_heads,
                         .head_dim = f->head_dim,
                         .vocab_size = f->vocab_size,
                         .norm_eps = (double)f->norm_eps,
                         .n_ropes = f->n_ropes ? f->n_ropes : 1,
                         .rope_short = f->rope_short,
                         .n_ctx = n_ctx,
                         .attention_scale = (double)f->attention_scale,
                         .embedding_scale = (double)f->embedding_scale,
                         .score_cap = (double)f->score_cap,
                         .logit_cap = (double)f->logit_cap,
                         .wide_norm = !!(f->extras & LLAMA_WIDE_NORM),
                         .gelu = !!(f->extras & LLAMA_GELU),
                         .renormalise = !!(f->extras & LLAMA_RENORMALISE),
                         .n_experts = f->n_experts,
                         .n_experts_used = f->n_experts_used,
                         .expert_dim = f->expert_dim};
    *weights = xmalloc(reference_fill(&r, loaded, NULL) * sizeof **weights);
    reference_fill(&r, loaded, *weights);
    if (f->shared_classifier) r.classifier = r.embedding;
    for (int l = 0; l < f->n_layers; l++) {
        r.layers[l].rope = f->layers ? f->layers[l].rope : 0;
        r.layers[l].window = f->layers ? f->layers[l].window : 0;
    }
    return r;
}

/* ---- Running ---- */

const char *const sets[N_SETS] = {"plain",      "avx2",           "avxvnni", "avx512", "avx512wide",
                                  "avx512bf16", "avx512bf16wide", "neon",    "neondot"};

llama_context *model_context(const char *set, const llama_model *m, int n_ctx, int n_batch, int n_threads) {
    llama_error why = {0, ""};
    const llama_options o = {.kernels = set, .n_ctx = n_ctx, .n_batch = n_batch, .n_threads = n_threads};
    llama_context *c = llama_context_create(m, &o, &why);
    if (!c && !strstr(why.text, "are not to be had")) {
        printf("test: %s\n", why.text);
        exit(1);
    }
    return c;
}

void *model_watch_alloc(void *watch, size_t size) {
    model_watch *w = watch;
    if (++w->calls == w->fail_at) return NULL;
    w->bytes += size, w->live++;
    return memset(xmalloc(size), 0xff, size);
}

void model_watch_release(void *watch, void *p) {
    ((model_watch *)watch)->live--;
    free(p);
}

int model_watch_progress(void *watch, float done) {
    model_watch *w = watch;
    if (!(done >= 0 && done <= 1)) printf("test: progress of %g\n", (double)done), exit(1);
    return ++w->seen == w->cancel_at;
}

int model_other_logits(llama_context *c, const int *tokens, int n, int cut, const float *want, int vocab_size,
                       uint64_t *seed) {
    const size_t row = (size_t)vocab_size;
    int other = 0;
    llama_rewind(c, 0);
    for (int at = 0, some; at < n; at += some) {
        some = cut ? random_int(seed, 1, cut) : n;
        if (some > n - at) some = n - at;
        const float *logits = llama_forward(c, tokens + at, some, NULL);
        if (!logits) return -1;
        other += memcmp(logits, want + (size_t)(at + some - 1) * row, row * sizeof *logits) != 0;
    }
    return other;
}

void difference_add(difference *d, const float *got, const double *want, int n) {
    for (int i = 0; i < n; i++) {
        const double off = (double)got[i] - want[i];
        d->error += isfinite(off) ? off * off : INFINITY;
        d->signal += want[i] * want[i];
        d->worst = fmax(d->worst, isfinite(off) ? fabs(off) : INFINITY);
        d->largest = fmax(d->largest, fabs(want[i]));
    }
}

double difference_rms(const difference *d) { return sqrt(d->error / d->signal); }
double difference_worst(const difference *d) { return d->worst / d->largest; }
