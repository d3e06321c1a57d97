/* writer.h - writes .llama files. The format is described in llama.c, which is included here because its
 * types, tiles and order of tensors are what a writer needs.
 *
 * Tensors stream through: a few tiles of rows at a time are asked for as float32, encoded by all threads, and
 * written. Memory does not grow with the model.
 */
#ifndef WRITER_H
#define WRITER_H

#include "../llama.c"
#include "source.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

typedef struct {
    llama_config config;           /* sizes, shared_classifier, norm_eps, rope_theta */
    const float *rope_frequencies; /* (head_dim / 2) */
    int type;                      /* of the matrices, from writer_type */
    const void *tokenizer;         /* as tokenizer.h describes it; NULL: none */
    size_t tokenizer_size;
    /* As in source.h. */
    int (*rows)(void *user, enum source_tensor tensor, int layer, int first, int count, float *out, llama_error *err);
    int (*progress)(void *user, uint64_t done, uint64_t total); /* bytes of output; NULL: none; nonzero cancels */
    void *user;
} writer_input;

typedef struct {
    uint64_t bytes;         /* of the file */
    uint64_t weights;       /* values in matrices */
    double bits_per_weight; /* of matrices, padding and scales included */
    double mse, signal;     /* mean squared error of the weights in matrices; their mean square */
} writer_report;

/* "f32", "bf16", "q8" or "q4" to a type; -1: none of them. */
static inline int writer_type(const char *name) {
    static const char *const names[] = {"f32", "bf16", "q8", "q4"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, names[i])) return LL_F32 + i;
    return -1;
}

/* ---- Encoding ---- */

/* The whole number next to v, low..high. A cast that truncates vectorises; lrintf is a call. */
static inline int writer_round(float v, int low, int high) {
    const float bounded = v < (float)low ? (float)low : v > (float)high ? (float)high : v;
    return (int)(bounded < 0 ? bounded - 0.5f : bounded + 0.5f);
}

enum { WRITER_NAN = 0x7e00 }; /* the scale of a group that holds nan or infinity: damage stays visible */

/* The largest magnitude; nan if there is one. */
static inline float writer_largest(const float *x, int n) {
    float max = 0;
    for (int i = 0; i < n; i++) max = fabsf(x[i]) <= max ? max : fabsf(x[i]);
    for (int i = 0; i < n; i++) max = x[i] == x[i] ? max : x[i];
    return max;
}

/* Eight bits leave little to gain from a search: the largest magnitude becomes 127. Where float16 has few bits
 * left, the scale is rounded up, or the largest value would be cut by many steps. */
static inline uint16_t writer_quantize_q8(const float *x, int n, signed char *q) {
    const float max = writer_largest(x, n);
    uint16_t half = ll_to_f16(max / 127.0f);
    if (!(max <= FLT_MAX)) return WRITER_NAN;
    if (half < 0x400 && 127.0f * ll_from_f16(half) < max) half++;
    const float scale = ll_from_f16(half), inverse = scale > 0 ? 1.0f / scale : 0;
    for (int i = 0; i < n; i++) q[i] = (signed char)writer_round(x[i] * inverse, -127, 127);
    return half;
}

/* For integers q next to x * inverse, the scale that fits them best is xq / qq, and leaves the squared error
 * xx - xq^2 / qq. Returns what is taken off the error; x is filled up with zeros. In lanes, to vectorise. */
static inline float writer_gain_q4(const float x[LL_Q4_GROUP], float inverse, float *scale) {
    float xq[8] = {0}, qq[8] = {0}, sum_xq = 0, sum_qq = 0;
    for (int i = 0; i < LL_Q4_GROUP; i += 8)
        for (int j = 0; j < 8; j++) {
            const float q = (float)writer_round(x[i + j] * inverse, -8, 7);
            xq[j] += x[i + j] * q;
            qq[j] += q * q;
        }
    for (int j = 0; j < 8; j++) sum_xq += xq[j], sum_qq += qq[j];
    *scale = sum_qq > 0 ? sum_xq / sum_qq : 0;
    return *scale * sum_xq;
}

/* Four bits are few enough that clipping the largest values, or giving the one value -8 to either sign, pays
 * for itself in finer steps. So scales from max / 6 to max / 9 of both signs are tried, each fitted to the
 * integers it gives, and the one with the least squared error is kept. On Gaussian weights the error is
 * 11% below that of max / -8, and 30% below that of max / 7. */
static inline uint16_t writer_quantize_q4(const float *from, int n, signed char *q) {
    enum { STEPS = 7 };
    float x[LL_Q4_GROUP] = {0}, best = 0, most = 0;
    for (int i = 0; i < n; i++) x[i] = from[i];
    const float max = writer_largest(x, LL_Q4_GROUP);
    if (!(max <= FLT_MAX)) return WRITER_NAN;
    for (int i = 0; max > 1e-30f && i < 2 * STEPS; i++) { /* float16 has no scale for less */
        float scale;
        const float gain = writer_gain_q4(x, (i % 2 ? -1.0f : 1.0f) * (6.0f + 0.5f * (float)(i / 2)) / max, &scale);
        if (gain > most) most = gain, best = scale;
    }
    const uint16_t half = ll_to_f16(best);
    const float scale = ll_from_f16(half), inverse = scale != 0 ? 1.0f / scale : 0;
    for (int i = 0; i < LL_Q4_GROUP; i++) q[i] = (signed char)writer_round(x[i] * inverse, -8, 7);
    return half;
}

static inline void writer_put16(unsigned char *p, uint16_t v) {
    p[0] = (unsigned char)v, p[1] = (unsigned char)(v >> 8);
}
static inline void writer_put32(unsigned char *p, uint32_t v) {
    writer_put16(p, (uint16_t)v), writer_put16(p + 2, (uint16_t)(v >> 16));
}
static inline void writer_put64(unsigned char *p, uint64_t v) {
    writer_put32(p, (uint32_t)v), writer_put32(p + 4, (uint32_t)(v >> 32));
}
static inline void writer_put_f32(unsigned char *p, float f) {
    const union { float f; uint32_t u; } x = {f};
    writer_put32(p, x.u);
}

/* One row of a q8 or q4 tile. */
static inline void writer_encode_groups(ll_type type, const float *x, int cols, int r, unsigned char *tile) {
    const int group = type == LL_Q8 ? LL_Q8_GROUP : LL_Q4_GROUP;
    const size_t group_bytes = (size_t)group * (type == LL_Q8 ? 16 : 8);
    for (int g = 0, k = 0; k < cols; g++, k += group) {
        const int n = cols - k < group ? cols - k : group;
        unsigned char *scale = tile + g % 2 * 32 + 2 * r, *out = tile + LL_LINE + (g % 2 ? group_bytes : 0) + 4 * r;
        signed char q[LL_Q8_GROUP] = {0};
        writer_put16(scale, type == LL_Q8 ? writer_quantize_q8(x + k, n, q) : writer_quantize_q4(x + k, n, q));
        for (int i = 0; i < group; i++) {
            if (type == LL_Q8) out[i / 4 * LL_LINE + i % 4] = (unsigned char)q[i];
            else out[i / 8 * LL_LINE + i % 4] |= (unsigned char)((q[i] + 8) << (i % 8 / 4 * 4));
        }
        if (g % 2) tile += LL_LINE + 2 * group_bytes;
    }
}

/* tile = rows (count <= LL_TILE, cols). */
static inline void writer_encode_tile(ll_type type, const float *rows, int count, int cols, unsigned char *tile) {
    memset(tile, 0, ll_tile_bytes(type, cols));
    for (int r = 0; r < LL_TILE; r++) {
        const float *x = rows + (size_t)r * (size_t)cols;
        if (r >= count) break;
        for (int k = 0; type == LL_F32 && k < cols; k++) writer_put_f32(tile + (size_t)k * LL_LINE + 4 * r, x[k]);
        for (int k = 0; type == LL_BF16 && k < cols; k++)
            writer_put16(tile + (size_t)(k / 2) * LL_LINE + 4 * r + 2 * (k % 2), ll_to_bf16(x[k]));
        if (type == LL_Q8 || type == LL_Q4) writer_encode_groups(type, x, cols, r, tile);
    }
}

/* ---- The file ---- */

typedef struct { /* where the bytes go: a file, or memory of exactly the size */
    FILE *file;
    unsigned char *memory;
    uint64_t at, total;
    const writer_input *in;
    double error, signal; /* sums of squares */
    llama_error *err;
} writer_sink;

static inline int writer_put(writer_sink *s, const void *data, size_t size) {
    if (s->memory) memcpy(s->memory + s->at, data, size);
    else if (fwrite(data, 1, size, s->file) != size) return ll_fail(s->err, "cannot write: %s", strerror(errno)), -1;
    s->at += size;
    if (s->in->progress && s->in->progress(s->in->user, s->at, s->total)) return ll_fail(s->err, "cancelled"), -1;
    return 0;
}

static inline int writer_align(writer_sink *s) {
    static const char zeros[64];
    return s->at % 64 ? writer_put(s, zeros, (size_t)(64 - s->at % 64)) : 0;
}

static inline uint64_t writer_round64(uint64_t n) { return (n + 63) / 64 * 64; }

static inline ll_type writer_type_of(const writer_input *in, const ll_tensor *t) {
    return t->vector ? LL_F32_ROWS : (ll_type)in->type;
}

/* Header and table of tensors into p, or only their size if p is NULL; *end becomes the size of the file. */
static inline size_t writer_header(const writer_input *in, unsigned char *p, uint64_t *end) {
    const llama_config *f = &in->config;
    const int n = ll_tensor_count(f);
    const size_t size = LL_HEADER + (size_t)n * LL_ENTRY;
    const int field[] = {f->dim,        f->hidden_dim, f->n_layers,   f->n_heads,
                         f->n_kv_heads, f->head_dim,   f->vocab_size, f->seq_len};
    uint64_t at = size + in->tokenizer_size;
    for (int i = 0; i < n; i++) {
        const ll_tensor t = ll_tensor_at(f, i);
        const ll_type type = writer_type_of(in, &t);
        const size_t bytes = ll_matrix_bytes(type, t.rows, t.cols);
        at = writer_round64(at);
        if (p) {
            unsigned char *e = p + LL_HEADER + (size_t)i * LL_ENTRY;
            memcpy(e, t.name, 32);
            writer_put32(e + 32, (uint32_t)type), writer_put32(e + 36, (uint32_t)t.rows),
                writer_put32(e + 40, (uint32_t)t.cols);
            writer_put64(e + 48, at), writer_put64(e + 56, bytes);
        }
        at += bytes;
    }
    *end = at;
    if (!p) return size;
    memcpy(p, ll_magic, 8);
    writer_put32(p + 8, 1), writer_put32(p + 12, (uint32_t)f->shared_classifier);
    for (int i = 0; i < 8; i++) writer_put32(p + 16 + 4 * i, (uint32_t)field[i]);
    writer_put_f32(p + 48, f->norm_eps), writer_put_f32(p + 52, f->rope_theta);
    writer_put64(p + 56, in->tokenizer_size ? size : 0), writer_put64(p + 64, in->tokenizer_size);
    writer_put32(p + 72, (uint32_t)n);
    return size;
}

/* Squares of what the tile holds and of what is lost in it, compared as a reader decodes it. */
static inline void writer_measure(ll_type type, const unsigned char *tile, const float *rows, int count, int cols,
                                  float *row, double sum[2]) {
    for (int r = 0; r < count; r++, rows += cols) {
        ll_unpack_tiled(type, tile, r, cols, row);
        for (int k = 0; k < cols; k++) {
            const double x = rows[k], e = x - row[k];
            sum[0] += e * e, sum[1] += x * x;
        }
    }
}

/* A matrix, some tiles at a time: about 4 MB of rows, so that all threads have work. */
static inline int writer_matrix(writer_sink *s, const ll_tensor *t, enum source_tensor id, int layer) {
    const ll_type type = (ll_type)s->in->type;
    const size_t tile_bytes = ll_tile_bytes(type, t->cols), row_floats = (size_t)t->cols;
    const size_t tile_floats = row_floats * LL_TILE;
    const int all = (t->rows + LL_TILE - 1) / LL_TILE, some = (int)((1 << 20) / tile_floats) + 1,
              step = some < all ? some : all;
    float *rows = (float *)malloc(ll_mul((size_t)step, ll_mul(tile_floats + row_floats, sizeof(float))));
    unsigned char *tiles = (unsigned char *)malloc(ll_mul((size_t)step, tile_bytes));
    double(*sum)[2] = (double(*)[2])malloc((size_t)step * sizeof *sum);
    int result =
        rows && tiles && sum ? 0 : (ll_fail(s->err, "no memory for %d rows of %s", step * LL_TILE, t->name), -1);
    for (int first = 0; first < all && !result; first += step) {
        const int count = all - first < step ? all - first : step, begin = first * LL_TILE;
        const int n = t->rows - begin < count * LL_TILE ? t->rows - begin : count * LL_TILE;
        result = s->in->rows(s->in->user, id, layer, begin, n, rows, s->err);
        if (result) break;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
        for (int i = 0; i < count; i++) {
            const float *x = rows + (size_t)i * tile_floats;
            unsigned char *tile = tiles + (size_t)i * tile_bytes;
            const int here = n - i * LL_TILE < LL_TILE ? n - i * LL_TILE : LL_TILE;
            sum[i][0] = sum[i][1] = 0;
            writer_encode_tile(type, x, here, t->cols, tile);
            writer_measure(type, tile, x, here, t->cols, rows + (size_t)step * tile_floats + (size_t)i * row_floats,
                           sum[i]);
        }
        for (int i = 0; i < count; i++) s->error += sum[i][0], s->signal += sum[i][1];
        result = writer_put(s, tiles, (size_t)count * tile_bytes);
    }
    free(rows), free(tiles), free(sum);
    return result;
}

static inline int writer_vector(writer_sink *s, const ll_tensor *t, enum source_tensor id, int layer) {
    float *x = (float *)malloc((size_t)t->cols * sizeof(float));
    int result = x ? 0 : (ll_fail(s->err, "no memory for %s", t->name), -1);
    if (!result) result = s->in->rows(s->in->user, id, layer, 0, 1, x, s->err);
    for (int i = 0; !result && i < t->cols; i++) { /* in place: a float becomes its four bytes */
        const float f = x[i];
        writer_put_f32((unsigned char *)(x + i), f);
    }
    if (!result) result = writer_put(s, x, (size_t)t->cols * sizeof(float));
    free(x);
    return result;
}

static inline int writer_tensors(writer_sink *s) {
    static const enum source_tensor of_layer[] = {SOURCE_ATTENTION_NORM,
                                                  SOURCE_FFN_NORM,
                                                  SOURCE_WQ,
                                                  SOURCE_WK,
                                                  SOURCE_WV,
                                                  SOURCE_WO,
                                                  SOURCE_W1,
                                                  SOURCE_W3,
                                                  SOURCE_W2};
    static const enum source_tensor whole[] = {SOURCE_FINAL_NORM, SOURCE_FINAL_NORM, SOURCE_EMBEDDING,
                                               SOURCE_CLASSIFIER};
    const llama_config *f = &s->in->config;
    const int before = 4 - f->shared_classifier;
    for (int i = 0; i < ll_tensor_count(f); i++) {
        const ll_tensor t = ll_tensor_at(f, i);
        const enum source_tensor id = i < before ? whole[i] : of_layer[(i - before) % 9];
        const int layer = i < before ? 0 : (i - before) / 9;
        int result = writer_align(s);
        if (!result && i == 0) result = writer_put(s, s->in->rope_frequencies, (size_t)f->head_dim / 2 * sizeof(float));
        else if (!result) result = t.vector ? writer_vector(s, &t, id, layer) : writer_matrix(s, &t, id, layer);
        if (result) return result;
    }
    return 0;
}

/* Everything, into a sink whose total is set. */
static inline int writer_emit(writer_sink *s) {
    uint64_t end;
    const size_t size = writer_header(s->in, NULL, &end);
    unsigned char *header = (unsigned char *)calloc(1, size);
    int result = header ? 0 : (ll_fail(s->err, "no memory for a header of %zu bytes", size), -1);
    if (!result) writer_header(s->in, header, &end);
    if (!result) result = writer_put(s, header, size);
    if (!result && s->in->tokenizer_size) result = writer_put(s, s->in->tokenizer, s->in->tokenizer_size);
    if (!result) result = writer_tensors(s);
    free(header);
    return result;
}

static inline void writer_fill_report(const writer_sink *s, writer_report *report) {
    const llama_config *f = &s->in->config;
    uint64_t bytes = 0;
    memset(report, 0, sizeof *report);
    for (int i = 0; i < ll_tensor_count(f); i++) {
        const ll_tensor t = ll_tensor_at(f, i);
        if (t.vector) continue;
        report->weights += (uint64_t)t.rows * (uint64_t)t.cols;
        bytes += ll_matrix_bytes((ll_type)s->in->type, t.rows, t.cols);
    }
    report->bytes = s->total;
    report->bits_per_weight = 8.0 * (double)bytes / (double)report->weights;
    report->mse = s->error / (double)report->weights;
    report->signal = s->signal / (double)report->weights;
}

/* Checks what a reader would refuse, and measures the file. */
static inline int writer_begin(writer_sink *s, const writer_input *in, llama_error *err) {
    memset(s, 0, sizeof *s);
    s->in = in, s->err = err;
    if (ll_check_config(&in->config, "model", err)) return -1;
    writer_header(in, NULL, &s->total);
    return 0;
}

/* Writes to a temporary name beside path, and renames it once all is on the disk: whatever fails, what was at
 * path stays, and nothing else is left. report may be NULL. Returns 0, or -1 with a message. */
static inline int writer_write(const writer_input *in, const char *path, writer_report *report, llama_error *err) {
    writer_sink s;
    llama_error why = {{0}};
    const size_t length = strlen(path) + 6;
    char *part = (char *)malloc(length);
    if (!part) return ll_fail(err, "no memory"), -1;
    snprintf(part, length, "%s.part", path);
    int result = writer_begin(&s, in, &why);
    if (!result && !(s.file = fopen(part, "wb"))) result = (ll_fail(&why, "cannot open: %s", strerror(errno)), -1);
    const int opened = s.file != NULL;
    if (!result) result = writer_emit(&s);
    if (!result && fflush(s.file)) result = (ll_fail(&why, "cannot write: %s", strerror(errno)), -1);
#if defined(_POSIX_VERSION) && defined(_POSIX_C_SOURCE)
    if (!result && fsync(fileno(s.file)) && errno != EINVAL && errno != ENOTSUP)
        result = (ll_fail(&why, "cannot write: %s", strerror(errno)), -1);
#endif
    if (opened && fclose(s.file) && !result) result = (ll_fail(&why, "cannot write: %s", strerror(errno)), -1);
    if (!result && source_rename(part, path))
        result = (ll_fail(&why, "cannot rename %.60s: %s", part, strerror(errno)), -1);
    if (result && opened) remove(part);
    if (result) ll_fail(err, "%.120s: %s", path, why.text);
    else if (report) writer_fill_report(&s, report);
    free(part);
    return result;
}

/* The same into memory: *data is malloc'ed and 64-byte alignment is not promised. */
static inline int writer_build(const writer_input *in, void **data, size_t *size, writer_report *report,
                               llama_error *err) {
    writer_sink s;
    if (writer_begin(&s, in, err)) return -1;
    if (s.total > SIZE_MAX || !(s.memory = (unsigned char *)malloc((size_t)s.total)))
        return ll_fail(err, "no memory for a model of %" PRIu64 " bytes", s.total), -1;
    if (writer_emit(&s)) {
        free(s.memory);
        return -1;
    }
    if (report) writer_fill_report(&s, report);
    *data = s.memory, *size = (size_t)s.total;
    return 0;
}

#endif
