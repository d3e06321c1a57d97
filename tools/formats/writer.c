/* writer.c - contract in writer.h. */
#include "writer.h"
#include "encode.h"
#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int writer_type(const char *name) {
    static const char *const names[] = {"f32", "bf16", "q8", "q4_0", "q4", "q6"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (!strcmp(name, names[i])) return INSIDE_F32 + i;
    return -1;
}

/* ---- The file ---- */

typedef struct { /* where the bytes go: a file, or memory of exactly the size */
    FILE *file;
    unsigned char *memory;
    uint64_t at, total;
    const writer_input *in;
    double error, signal; /* sums of squares */
    uint64_t hash;        /* of the tensors so far */
    llama_error *err;
} writer_sink;

static int writer_put(writer_sink *s, const void *data, size_t size) {
    if (s->memory) memcpy(s->memory + s->at, data, size);
    else if (fwrite(data, 1, size, s->file) != size) return set_error(s->err, "cannot write: %s", strerror(errno));
    s->at += size;
    if (s->in->progress && s->in->progress(s->in->user, s->at, s->total)) return set_error(s->err, "cancelled");
    return 0;
}

/* Part of a tensor: whole lines of 64 bytes but for a vector's last one, which is filled up with zeros. */
static int writer_put_tensor(writer_sink *s, const void *data, size_t size) {
    unsigned char last[64] = {0};
    const size_t whole = size / 64 * 64;
    if (whole < size) memcpy(last, (const unsigned char *)data + whole, size - whole);
    s->hash = inside_hash(inside_hash(s->hash, data, whole), last, whole < size ? 64 : 0);
    return writer_put(s, data, size);
}

/* Where a tensor begins that has room from `at` on. Processors fetch lines in pairs and blocks: measured on Zen 5,
 * decode of matrices at odd multiples of 64 bytes is 15 to 25% slower, of f32 at any but multiples of 1,024 (the
 * lines of the 16 columns that use one line of activations) 10 to 20%. */
static uint64_t writer_place(uint64_t at, const inside_tensor *t) {
    const uint64_t step = t->vector ? INSIDE_LINE : 1024;
    return (at + step - 1) / step * step;
}

static int writer_align(writer_sink *s, const inside_tensor *t) {
    static const char zeros[1024];
    return writer_put(s, zeros, (size_t)(writer_place(s->at, t) - s->at));
}

/* The tensors of a file, in its order: for (id, layer, t). */
#define WRITER_EACH_TENSOR(f, id, layer, t)                                                                            \
    for (int layer##_ = -1, layer = 0; layer##_ < (f)->n_layers; layer = ++layer##_)                                   \
        for (enum tensor id = layer##_ < 0 ? (enum tensor)0 : TENSOR_OF_LAYER;                                         \
             id < (layer##_ < 0 ? TENSOR_OF_LAYER : TENSORS); id = (enum tensor)(id + 1))                              \
            for (inside_tensor t = inside_tensor_of(f, id, layer); t.rows; t.rows = 0)

int writer_type_of(const writer_input *in, enum tensor id, int layer, int vector) {
    /* What is a small part of the weights and most of q4's loss: of a model of 8.9 million, whose tied embedding is 12%
     * of it, six bits there take the KL divergence from 4.2 to 1.3 thousandths, and another fifth off it in what the
     * first layers add, which all others build on. */
    const int first = id == TENSOR_W2 && layer < (in->config.n_layers + 7) / 8;
    if (vector) return INSIDE_VECTOR;
    if (id < TENSOR_OF_LAYER && in->embedding_type) return in->embedding_type;
    if (in->type == INSIDE_Q4 && (id < TENSOR_OF_LAYER || first)) return INSIDE_Q6;
    return id == TENSOR_ROUTER ? INSIDE_F32 : in->type; /* which expert comes first hangs on little; and it is small */
}

/* The entries of the table at p, unless that is NULL; returns where the last tensor ends. */
static uint64_t writer_table(const writer_input *in, unsigned char *p, uint64_t at) {
    const llama_config *f = &in->config;
    WRITER_EACH_TENSOR(f, id, layer, t) {
        const int type = writer_type_of(in, id, layer, t.vector);
        const size_t bytes = inside_matrix_bytes(type, t.rows, t.cols);
        at = writer_place(at, &t);
        if (p) {
            if (id < TENSOR_OF_LAYER) snprintf((char *)p, 32, "%s", t.name);
            else snprintf((char *)p, 32, "layers.%d.%s", layer & 0xffffff, t.name);
            put_uint(p + 32, (uint32_t)type, 4), put_uint(p + 36, (uint32_t)t.rows, 4);
            put_uint(p + 40, (uint32_t)t.cols, 4), put_uint(p + 48, at, 8), put_uint(p + 56, bytes, 8);
            p += INSIDE_ENTRY;
        }
        at += bytes;
    }
    return at;
}

size_t writer_header(const writer_input *in, unsigned char *p, uint64_t *end) {
    const llama_config *f = &in->config;
    const size_t count = inside_tensor_count(f), kinds = (size_t)f->n_layers * INSIDE_KIND;
    const size_t size = INSIDE_HEADER + kinds + count * INSIDE_ENTRY;
    const int field[] = {f->dim,        f->hidden_dim, f->n_layers,   f->n_heads,
                         f->n_kv_heads, f->head_dim,   f->vocab_size, f->seq_len};
    const int extra[] = {f->n_experts, f->n_experts_used, f->expert_dim, f->n_ropes, f->rope_short};
    const float number[] = {f->attention_scale, f->embedding_scale, f->score_cap, f->logit_cap};
    *end = writer_table(in, p ? p + INSIDE_HEADER + kinds : NULL, size + in->tokenizer_size);
    if (!p) return size;
    memcpy(p, inside_magic(), 8);
    put_uint(p + 8, 2, 4), put_uint(p + 12, (uint32_t)f->shared_classifier, 4);
    for (int i = 0; i < 8; i++) put_uint(p + 16 + 4 * i, (uint32_t)field[i], 4);
    put_f32(p + 48, f->norm_eps), put_f32(p + 52, f->rope_theta);
    put_uint(p + 56, in->tokenizer_size ? size : 0, 8), put_uint(p + 64, in->tokenizer_size, 8);
    put_uint(p + 72, (uint32_t)count, 4), put_uint(p + 76, (uint32_t)f->extras, 4);
    for (int i = 0; i < 4; i++) put_f32(p + 80 + 4 * i, number[i]);
    for (int i = 0; i < 5; i++) put_uint(p + 96 + 4 * i, (uint32_t)extra[i], 4);
    memcpy(p + 128, f->architecture, strlen(f->architecture));
    for (int l = 0; f->layers && l < f->n_layers; l++) {
        unsigned char *kind = p + INSIDE_HEADER + (size_t)l * INSIDE_KIND;
        put_uint(kind, (uint32_t)f->layers[l].rope, 4), put_uint(kind + 4, (uint32_t)f->layers[l].window, 4);
        put_uint(kind + 8, (uint32_t)f->layers[l].experts, 4);
    }
    return size;
}

/* Squares of what the tile holds and of what is lost in it, compared as a reader decodes it. */
static void writer_measure(int type, const unsigned char *tile, const float *rows, int count, int cols, float *row,
                           double sum[2]) {
    for (int r = 0; r < count; r++, rows += cols) {
        inside_decode_tile(type, tile, r, cols, row);
        for (int k = 0; k < cols; k++) {
            const double x = rows[k], e = x - row[k];
            sum[0] += e * e, sum[1] += x * x;
        }
    }
}

static void *writer_allocate(uint64_t count, uint64_t size) {
    const uint64_t bytes = mul_size(count, size);
    return bytes < SIZE_MAX ? malloc((size_t)bytes) : NULL;
}

/* A matrix, some tiles at a time: about 4 MB of rows, so that all threads have work. Each of several experts begins
 * with a tile of its own. */
static int writer_matrix(writer_sink *s, enum tensor id, int layer, const inside_tensor *t) {
    const int type = writer_type_of(s->in, id, layer, t->vector), rows_of_one = t->experts ? t->expert_rows : t->rows;
    const size_t tile_bytes = inside_tile_bytes(type, t->cols), row_floats = (size_t)t->cols;
    const size_t tile_floats = row_floats * INSIDE_TILE;
    const int tiles_of_one = (rows_of_one + INSIDE_TILE - 1) / INSIDE_TILE;
    const int all = tiles_of_one * (t->experts ? t->experts : 1), some = (int)((1 << 20) / tile_floats) + 1;
    const int step = some < tiles_of_one ? some : tiles_of_one;
    float *rows = writer_allocate((uint64_t)step, mul_size(tile_floats + row_floats, sizeof(float)));
    unsigned char *tiles = writer_allocate((uint64_t)step, tile_bytes);
    double(*sum)[2] = writer_allocate((uint64_t)step, sizeof *sum);
    const unsigned char *known = s->in->encoded ? s->in->encoded(s->in->from, id, layer) : NULL;
    int result = 0;
    if (!rows || !tiles || !sum) result = set_error(s->err, "no memory for %d rows of %s", step * INSIDE_TILE, t->name);
    for (int first = 0, count; first < all && !result; first += count) {
        const int one = first / tiles_of_one, tile = first % tiles_of_one, begin = tile * INSIDE_TILE;
        count = tiles_of_one - tile < step ? tiles_of_one - tile : step;
        const int n = rows_of_one - begin < count * INSIDE_TILE ? rows_of_one - begin : count * INSIDE_TILE;
        result = s->in->rows(s->in->user, id, layer, one * rows_of_one + begin, n, rows, s->err);
        if (result) break;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
        for (int i = 0; i < count; i++) {
            const float *x = rows + (size_t)i * tile_floats;
            unsigned char *to = tiles + (size_t)i * tile_bytes;
            const int here = n - i * INSIDE_TILE < INSIDE_TILE ? n - i * INSIDE_TILE : INSIDE_TILE;
            sum[i][0] = sum[i][1] = 0;
            if (known) memcpy(to, known + (size_t)(first + i) * tile_bytes, tile_bytes);
            else encode_tile(type, x, here, t->cols, to);
            writer_measure(type, to, x, here, t->cols, rows + (size_t)step * tile_floats + (size_t)i * row_floats,
                           sum[i]);
        }
        for (int i = 0; i < count; i++) s->error += sum[i][0], s->signal += sum[i][1];
        result = writer_put_tensor(s, tiles, (size_t)count * tile_bytes);
    }
    free(rows), free(tiles), free(sum);
    return result;
}

static int writer_vector(writer_sink *s, enum tensor id, int layer, const inside_tensor *t) {
    const float *given = id == TENSOR_ROPE              ? s->in->rope_frequencies
                         : id == TENSOR_ROPE_AMPLITUDES ? s->in->rope_amplitudes
                                                        : NULL;
    float *x = malloc((size_t)t->cols * sizeof(float));
    int result = x ? 0 : set_error(s->err, "no memory for %s", t->name);
    if (!result && given) memcpy(x, given, (size_t)t->cols * sizeof(float));
    else if (!result) result = s->in->rows(s->in->user, id, layer, 0, 1, x, s->err);
    for (int i = 0; !result && i < t->cols; i++) { /* in place: a float becomes its four bytes */
        const float f = x[i];
        put_f32((unsigned char *)(x + i), f);
    }
    if (!result) result = writer_put_tensor(s, x, (size_t)t->cols * sizeof(float));
    free(x);
    return result;
}

static int writer_tensors(writer_sink *s) {
    const llama_config *f = &s->in->config;
    s->hash = UINT64_C(0xcbf29ce484222325);
    WRITER_EACH_TENSOR(f, id, layer, t) {
        int result = writer_align(s, &t);
        if (!result) result = t.vector ? writer_vector(s, id, layer, &t) : writer_matrix(s, id, layer, &t);
        if (result) return result;
    }
    return 0;
}

enum { WRITER_HASH = 120 }; /* its place in the header */

/* The hash is known last and stands first. */
static int writer_put_hash(writer_sink *s) {
    unsigned char hash[8];
    put_uint(hash, s->hash ? s->hash : 1, 8);
    if (s->memory) return memcpy(s->memory + WRITER_HASH, hash, 8), 0;
    if (fseek(s->file, WRITER_HASH, SEEK_SET) || fwrite(hash, 1, 8, s->file) != 8)
        return set_error(s->err, "cannot write: %s", strerror(errno));
    return 0;
}

/* Everything, into a sink whose total is set. */
static int writer_emit(writer_sink *s) {
    uint64_t end;
    const size_t size = writer_header(s->in, NULL, &end);
    unsigned char *header = calloc(1, size);
    int result = header ? 0 : set_error(s->err, "no memory for a header of %zu bytes", size);
    if (!result) writer_header(s->in, header, &end);
    if (!result) result = writer_put(s, header, size);
    if (!result && s->in->tokenizer_size) result = writer_put(s, s->in->tokenizer, s->in->tokenizer_size);
    if (!result) result = writer_tensors(s);
    if (!result) result = writer_put_hash(s);
    free(header);
    return result;
}

static void writer_fill_report(const writer_sink *s, writer_report *report) {
    const llama_config *f = &s->in->config;
    uint64_t bytes = 0;
    memset(report, 0, sizeof *report);
    WRITER_EACH_TENSOR(f, id, layer, t) {
        if (t.vector) continue;
        report->weights += (uint64_t)(t.experts ? t.experts * t.expert_rows : t.rows) * (uint64_t)t.cols;
        bytes += inside_matrix_bytes(writer_type_of(s->in, id, layer, t.vector), t.rows, t.cols);
    }
    report->bytes = s->total;
    report->bits_per_weight = 8.0 * (double)bytes / (double)report->weights;
    report->mse = s->error / (double)report->weights;
    report->signal = s->signal / (double)report->weights;
}

/* Checks what a reader would refuse, and measures the file. */
static int writer_begin(writer_sink *s, const writer_input *in, llama_error *err) {
    memset(s, 0, sizeof *s);
    s->in = in, s->err = err;
    if (inside_check_config(&in->config, "model", err)) return -1;
    writer_header(in, NULL, &s->total);
    return 0;
}

int writer_write(const writer_input *in, const char *path, writer_report *report, llama_error *err) {
    writer_sink s;
    replacement out;
    llama_error why = {0};
    if (writer_begin(&s, in, &why)) return set_error(err, "%.120s: %s", path, why.text);
    if (replacement_open(&out, path, err)) return -1;
    s.file = out.file;
    if (writer_emit(&s)) {
        replacement_drop(&out);
        return set_error(err, "%.120s: %s", path, why.text);
    }
    if (replacement_end(&out, err)) return -1;
    if (report) writer_fill_report(&s, report);
    return 0;
}

int writer_build(const writer_input *in, void **data, size_t *size, writer_report *report, llama_error *err) {
    writer_sink s;
    if (writer_begin(&s, in, err)) return -1;
    if (s.total > SIZE_MAX || !(s.memory = malloc((size_t)s.total)))
        return set_error(err, "no memory for a model of %" PRIu64 " bytes", s.total);
    if (writer_emit(&s)) {
        free(s.memory);
        return -1;
    }
    if (report) writer_fill_report(&s, report);
    *data = s.memory, *size = (size_t)s.total;
    return 0;
}
