/* checkpoint.c - see checkpoint.h. */
#include "checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double random_real(uint64_t *state, double low, double high) {
    return low + (high - low) * (double)(random_next(state) >> 11) / 9007199254740992.0; /* 2^53 */
}

int random_int(uint64_t *state, int low, int high) {
    return low + (int)(random_next(state) % ((uint64_t)((int64_t)high - low) + 1));
}

void *xmalloc(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p) {
        fprintf(stderr, "test: out of memory\n");
        exit(1);
    }
    return p;
}

/* ---- Files ---- */

int write_file(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    if (!f) return 0;
    int ok = fwrite(data, 1, size, f) == size;
    return fclose(f) == 0 && ok;
}

const char *temporary_path(void) {
    static char path[64];
    static unsigned count;
    /* The process, the clock and an address, so that the same test built in two ways may run twice at once. */
    unsigned long long unique = (unsigned long long)time(NULL) * 1000003u ^ (unsigned long long)(uintptr_t)&unique ^
                                (unsigned long long)clock() << 20;
#if defined(__unix__) || defined(__APPLE__)
    unique += (unsigned long long)getpid() << 28;
#endif
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%stest-%llx-%u.tmp", i ? "" : "tests/bin/", unique & 0xffffffffffffu, count++);
        if (write_file(path, "", 0)) {
            remove(path);
            break;
        }
    }
    return path;
}

const char *data_path(const char *name) {
    static char path[512];
    const char *folder = getenv("LLAMA_TEST_DATA");
    snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : "../shared/data", name);
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f ? path : NULL;
}

/* ---- The bytes of a checkpoint ---- */

void checkpoint_put_int(unsigned char *p, int32_t value) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)((uint32_t)value >> 8 * i);
}

static void put_bytes(checkpoint *c, const void *data, size_t size) {
    memcpy(c->bytes + c->size, data, size);
    c->size += size;
}

static void put_float(checkpoint *c, float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    checkpoint_put_int(c->bytes + c->size, bits);
    c->size += 4;
}

size_t checkpoint_field(int version, int field) { return (version ? 8u : 0u) + 4u * (unsigned)field; }

static void put_header(checkpoint *c) {
    const checkpoint_shape *s = &c->shape;
    int fields[7];
    fields[FIELD_DIM] = s->dim;
    fields[FIELD_HIDDEN_DIM] = s->hidden_dim;
    fields[FIELD_N_LAYERS] = s->n_layers;
    fields[FIELD_N_HEADS] = s->n_heads;
    fields[FIELD_N_KV_HEADS] = s->n_kv_heads;
    fields[FIELD_VOCAB_SIZE] = s->version == 0 && !s->shared ? -s->vocab_size : s->vocab_size;
    fields[FIELD_SEQ_LEN] = s->seq_len;
    c->header_size = s->version ? 256 : 28;
    memset(c->bytes, 0, c->header_size);
    for (int i = 0; i < 7; i++) checkpoint_put_int(c->bytes + checkpoint_field(s->version, i), fields[i]);
    if (s->version) {
        checkpoint_put_int(c->bytes, 0x616b3432);
        checkpoint_put_int(c->bytes + 4, s->version);
        c->bytes[OFFSET_SHARED] = (unsigned char)s->shared;
    }
    if (s->version == 2) checkpoint_put_int(c->bytes + OFFSET_GROUP_SIZE, s->group_size);
    c->size = c->header_size;
}

/* Writes n weights, and puts in their place what a reader gets back: a float, or an int8 times the scale of its group.
 * Groups run over the tensor as one long row, so that a group may end in the next row. */
static void put_floats(checkpoint *c, double *w, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float value = (float)w[i];
        put_float(c, value);
        w[i] = (double)value;
    }
}

static void put_int8(checkpoint *c, double *w, size_t n) {
    size_t group = (size_t)c->shape.group_size;
    float *scale = xmalloc(n / group * sizeof *scale);
    for (size_t g = 0; g < n / group; g++) {
        double max = 0;
        for (size_t i = g * group; i < (g + 1) * group; i++) max = fmax(max, fabs(w[i]));
        scale[g] = (float)(max / 127);
        for (size_t i = g * group; i < (g + 1) * group; i++) {
            int q = (int)floor(w[i] * 127 / max + 0.5);
            c->bytes[c->size++] = (unsigned char)q; /* the int8's bit pattern */
            w[i] = q * (double)scale[g];
        }
    }
    for (size_t g = 0; g < n / group; g++) put_float(c, scale[g]);
    free(scale);
}

/* A tensor of one layer after the other. Only matrices are quantised, each layer's on its own. */
static void put_tensor(checkpoint *c, const double *tensor, int layers, size_t n, int matrix) {
    for (size_t l = 0; l < (size_t)layers; l++) {
        double *w = c->weights + (tensor - c->weights) + l * n;
        if (c->shape.version == 2 && matrix) put_int8(c, w, n);
        else put_floats(c, w, n);
    }
}

/* Uniform numbers with the given mean and standard deviation. */
static const double *fill(double **next, size_t n, double mean, double deviation, uint64_t *seed) {
    double *w = *next;
    for (size_t i = 0; i < n; i++) w[i] = mean + deviation * random_real(seed, -1.7320508, 1.7320508);
    *next += n;
    return w;
}

checkpoint checkpoint_make(checkpoint_shape s, uint64_t seed) {
    checkpoint c = {0};
    size_t dim = (size_t)s.dim, hidden = (size_t)s.hidden_dim;
    size_t layers = (size_t)s.n_layers, vocab = (size_t)s.vocab_size;
    size_t hd = dim / (size_t)s.n_heads, kv_dim = hd * (size_t)s.n_kv_heads;
    size_t per_layer = 2 * dim + 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden;
    size_t count = hd / 2 + 2 * vocab * dim + dim + layers * per_layer;
    size_t tables = s.version == 0 ? (size_t)s.seq_len * (hd / 2) * 2 : 0;
    double *next = c.weights = xmalloc(count * sizeof *next);
    c.shape = s;
    c.bytes = xmalloc(256 + (count + tables) * (s.version == 2 ? 5 : 4)); /* 5: groups of one have a scale each */

    reference_model *m = &c.model;
    m->dim = s.dim, m->hidden_dim = s.hidden_dim, m->n_layers = s.n_layers;
    m->n_heads = s.n_heads, m->n_kv_heads = s.n_kv_heads, m->head_dim = (int)hd, m->vocab_size = s.vocab_size;
    m->norm_eps = 1e-5;
    reference_rope_freq(next, m->head_dim, 10000);
    m->rope_freq = next, m->n_ropes = 1;
    next += hd / 2;
    /* Deviations that keep every activation near 1 - and the attention well away from uniform: an error anywhere then
     * shows in the logits. */
    double by_dim = 1 / sqrt((double)dim), by_hidden = 1 / sqrt((double)hidden);
    m->embedding = fill(&next, vocab * dim, 0, 0.05, &seed); /* small: the first norm then feels its epsilon */
    const double *attention_norm = fill(&next, layers * dim, 1, 0.2, &seed);
    const double *wq = fill(&next, layers * dim * dim, 0, 1.5 * by_dim, &seed);
    const double *wk = fill(&next, layers * kv_dim * dim, 0, 1.5 * by_dim, &seed);
    const double *wv = fill(&next, layers * kv_dim * dim, 0, by_dim, &seed);
    const double *wo = fill(&next, layers * dim * dim, 0, by_dim, &seed);
    const double *ffn_norm = fill(&next, layers * dim, 1, 0.2, &seed);
    const double *w1 = fill(&next, layers * hidden * dim, 0, by_dim, &seed);
    const double *w2 = fill(&next, layers * dim * hidden, 0, 2 * by_hidden, &seed);
    const double *w3 = fill(&next, layers * hidden * dim, 0, by_dim, &seed);
    m->final_norm = fill(&next, dim, 1, 0.2, &seed);
    m->classifier = s.shared ? m->embedding : fill(&next, vocab * dim, 0, 2 * by_dim, &seed);
    for (size_t l = 0; l < layers; l++) {
        reference_layer *w = &m->layers[l];
        w->attention_norm = attention_norm + l * dim, w->ffn_norm = ffn_norm + l * dim;
        w->wq = wq + l * dim * dim, w->wk = wk + l * kv_dim * dim, w->wv = wv + l * kv_dim * dim;
        w->wo = wo + l * dim * dim;
        w->w1 = w1 + l * hidden * dim, w->w2 = w2 + l * dim * hidden, w->w3 = w3 + l * hidden * dim;
    }

    put_header(&c);
    int n = s.n_layers;
    if (s.version == 0) {
        put_tensor(&c, m->embedding, 1, vocab * dim, 1);
        put_tensor(&c, attention_norm, n, dim, 0);
    } else {
        put_tensor(&c, attention_norm, n, dim, 0);
        put_tensor(&c, ffn_norm, n, dim, 0);
        put_tensor(&c, m->final_norm, 1, dim, 0);
        put_tensor(&c, m->embedding, 1, vocab * dim, 1);
    }
    put_tensor(&c, wq, n, dim * dim, 1);
    put_tensor(&c, wk, n, kv_dim * dim, 1);
    put_tensor(&c, wv, n, kv_dim * dim, 1);
    put_tensor(&c, wo, n, dim * dim, 1);
    if (s.version == 0) put_tensor(&c, ffn_norm, n, dim, 0);
    put_tensor(&c, w1, n, hidden * dim, 1);
    put_tensor(&c, w2, n, dim * hidden, 1);
    put_tensor(&c, w3, n, hidden * dim, 1);
    if (s.version == 0) {
        put_tensor(&c, m->final_norm, 1, dim, 0);
        /* The rotary tables: readers skip them, so nan must do no harm. */
        for (size_t i = 0; i < tables; i++) put_bytes(&c, "\xff\xff\xff\xff", 4);
    }
    if (!s.shared) put_tensor(&c, m->classifier, 1, vocab * dim, 1);
    return c;
}

void checkpoint_free(checkpoint *c) {
    free(c->bytes);
    free(c->weights);
    memset(c, 0, sizeof *c);
}
