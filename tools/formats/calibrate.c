/* calibrate.c - contract in calibrate.h.
 *
 * x is the residual stream of all samples in the model as it is, y in the one as it becomes. Layer by layer, part by
 * part: what the part's matrices have as input in both; then they are rounded (rounding.c); and when the layer is done
 * both streams go through it. An embedding that is the classifier too comes first, for what the classifier gets in the
 * model as it is; a classifier of its own comes last. An embedding that is no classifier multiplies nothing, and is
 * rounded to nearest.
 */
#include "calibrate.h"
#include "../shared/clock.h"
#include "../shared/compute.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "encode.h"
#include "rounding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 4096, /* tokens whose inputs are in memory at once */
    SOME = 3072   /* rows that are rounded before progress is told; of an embedding, that are in memory */
};

struct calibration {
    int layers;
    unsigned char **tiles; /* (1 + layers, TENSORS) the first are of the model; NULL: not encoded here */
};

typedef struct {            /* one of the two models, while its samples go through a layer */
    float *stream;          /* (windows * length, dim) */
    float *tensor[TENSORS]; /* of the layer */
    inside_layer **layer;   /* (threads) */
    float *input;           /* (BATCH, cols) of a part */
    float *begin;           /* (BATCH, dim) the stream where the part begins */
    inside_routes *routes;  /* (windows of a batch) */
} stream;

typedef struct {
    const calibrate_input *given;
    const writer_input *in;
    const llama_config *f;
    compute *c;
    calibration *out;
    calibrate_report *report;
    llama_error *err;
    int threads, length, windows, learned; /* windows in all, and those that are not held out */
    stream x, y;
    double done, total; /* operations, about */
} calibrator;

static int no_memory(const calibrator *k, const char *what) {
    return set_error(k->err, "no memory to calibrate %s", what);
}

static void *allocate(uint64_t count, uint64_t size) {
    const uint64_t bytes = mul_size(count, size);
    return bytes < SIZE_MAX ? malloc(bytes ? (size_t)bytes : 1) : NULL;
}

static float *floats(uint64_t rows, uint64_t cols) { return allocate(mul_size(rows, cols), sizeof(float)); }

/* More is done. Nonzero, with a message: cancelled. */
static int advance(calibrator *k, double operations) {
    k->done += operations;
    if (!k->given->progress || !k->given->progress(k->given->user, k->done, k->total)) return 0;
    return set_error(k->err, "cancelled");
}

static unsigned char **tiles_of(const calibration *c, enum tensor id, int layer) {
    return &c->tiles[(size_t)(id < TENSOR_OF_LAYER ? 0 : layer + 1) * TENSORS + (size_t)id];
}

const unsigned char *calibrate_encoded(void *from, enum tensor tensor, int layer) {
    return *tiles_of(from, tensor, layer);
}

void calibrate_free(calibration *c) {
    if (!c) return;
    for (size_t i = 0; c->tiles && i < (size_t)(c->layers + 1) * TENSORS; i++) free(c->tiles[i]);
    free(c->tiles), free(c);
}

/* What is no number becomes 0, so that what comes after it still says something. */
static void make_numbers(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] - x[i] == 0 ? x[i] : 0;
}

/* ---- Rounding ---- */

typedef struct { /* rows of a matrix to nearest, tile by tile */
    const float *w;
    float *q;
    unsigned char *tiles;
    int type, rows, cols;
} nearest_job;

static void round_tiles(const void *work, int begin, int end) {
    const nearest_job *j = work;
    const size_t bytes = inside_tile_bytes(j->type, j->cols), n = (size_t)j->cols;
    for (int i = begin; i < end; i++) {
        const int first = i * INSIDE_TILE, rows = j->rows - first < INSIDE_TILE ? j->rows - first : INSIDE_TILE;
        unsigned char *tile = j->tiles + (size_t)i * bytes;
        encode_tile(j->type, j->w + (size_t)first * n, rows, j->cols, tile);
        for (int r = 0; r < rows; r++) inside_decode_tile(j->type, tile, r, j->cols, j->q + (size_t)(first + r) * n);
        make_numbers(j->q + (size_t)first * n, (size_t)rows * n);
    }
}

/* Operations that a row of so many columns takes. */
static double row_cost(const rounding *r, int cols) { return (r ? 15.0 : 0.1) * cols * cols; }

/* w (rows, cols) becomes q and tiles: with r by the inputs that it knows, else to nearest. */
static int round_rows(calibrator *k, rounding *r, int type, const float *w, const float *residual, float *q,
                      unsigned char *tiles, int rows, int cols) {
    const size_t bytes = inside_tile_bytes(type, cols), n = (size_t)cols;
    for (int first = 0, some; first < rows; first += some) {
        some = rows - first < SOME ? rows - first : SOME;
        const size_t at = (size_t)first * n;
        unsigned char *to = tiles + (size_t)(first / INSIDE_TILE) * bytes;
        const rounding_rows known = {w + at, residual ? residual + at : NULL, q + at, to, some};
        const nearest_job nearest = {w + at, q + at, to, type, some, cols};
        if (r) rounding_round(r, &known);
        else compute_parallel(k->c, (some + INSIDE_TILE - 1) / INSIDE_TILE, round_tiles, &nearest);
        if (advance(k, some * row_cost(r, cols))) return -1;
    }
    return 0;
}

/* ---- A layer ---- */

static void close_stream(calibrator *k, stream *s) {
    for (int i = 0; s->layer && i < k->threads; i++) inside_layer_close(s->layer[i]);
    for (int id = TENSOR_OF_LAYER; id < TENSORS; id++) free(s->tensor[id]), s->tensor[id] = NULL;
    free(s->layer), s->layer = NULL;
}

static void close_layer(calibrator *k) { close_stream(k, &k->x), close_stream(k, &k->y); }

static int open_stream(calibrator *k, stream *s, int layer) {
    s->layer = calloc((size_t)k->threads, sizeof(inside_layer *));
    for (int i = 0; s->layer && i < k->threads; i++) {
        s->layer[i] =
            inside_layer_open(k->f, layer, k->in->rope_frequencies, k->in->rope_amplitudes, s->tensor, k->length);
        if (!s->layer[i]) return -1;
    }
    return s->layer ? 0 : -1;
}

/* Its weights into x, and into y if both is 1. */
static int open_layer(calibrator *k, int layer, int both) {
    for (int id = TENSOR_OF_LAYER, rows, cols; id < TENSORS; id++) {
        if (!tensor_shape(k->f, (enum tensor)id, layer, &rows, &cols)) continue;
        const size_t n = (size_t)rows * (size_t)cols;
        k->x.tensor[id] = floats((uint64_t)rows, (uint64_t)cols);
        k->y.tensor[id] = both ? floats((uint64_t)rows, (uint64_t)cols) : NULL;
        if (!k->x.tensor[id] || (both && !k->y.tensor[id])) return no_memory(k, tensor_name((enum tensor)id));
        if (k->in->rows(k->in->user, (enum tensor)id, layer, 0, rows, k->x.tensor[id], k->err)) return -1;
        if (id == TENSOR_ROUTER || tensor_is_vector((enum tensor)id)) make_numbers(k->x.tensor[id], n);
        if (both) memcpy(k->y.tensor[id], k->x.tensor[id], n * sizeof(float));
    }
    if (open_stream(k, &k->x, layer) || (both && open_stream(k, &k->y, layer))) return no_memory(k, "a layer");
    return 0;
}

typedef struct { /* windows that go through a layer, or through it as far as a part */
    calibrator *k;
    enum inside_part part;
    int first, stride; /* window; columns of an input, for each token of the window */
    int both;
} run_job;

static void run_windows(const void *work, int begin, int end) {
    const run_job *j = work;
    const calibrator *k = j->k;
    const size_t n = (size_t)k->length, dim = (size_t)k->f->dim;
    for (int i = begin; i < end; i++)
        for (int which = 0; which <= j->both; which++) {
            const stream *s = which ? &k->y : &k->x;
            float *rows = s->stream + (size_t)(j->first + i) * n * dim, *at = rows;
            if (j->part < INSIDE_PARTS) {
                at = s->begin + (size_t)i * n * dim;
                memcpy(at, rows, n * dim * sizeof *at);
            }
            inside_layer_run(s->layer[compute_thread()], at, k->length, j->part,
                             j->part < INSIDE_PARTS ? s->input + (size_t)i * n * (size_t)j->stride : NULL,
                             s->routes ? &s->routes[i] : NULL);
        }
}

static double layer_weights(const llama_config *f, int layer) {
    double sum = 0;
    for (int id = TENSOR_WQ, rows, cols; id < TENSORS; id++)
        if (tensor_shape(f, (enum tensor)id, layer, &rows, &cols)) {
            const int mixture = id > TENSOR_ROUTER && f->layers && f->layers[layer].experts;
            sum += (double)rows * cols * (mixture ? (double)f->n_experts_used / f->n_experts : 1);
        }
    return sum;
}

/* All windows through the whole of the layer. */
static int pass_layer(calibrator *k, int layer, int both) {
    const int step = 16;
    for (int first = 0; first < k->windows; first += step) {
        const int count = k->windows - first < step ? k->windows - first : step;
        const run_job j = {k, INSIDE_PARTS, first, 0, both};
        compute_parallel(k->c, count, run_windows, &j);
        if (advance(k, 2.0 * (1 + both) * count * k->length * layer_weights(k->f, layer))) return -1;
    }
    return 0;
}

/* ---- Parts ---- */

static const struct {
    int count;
    enum tensor id[3];
} part_of[INSIDE_PARTS] = {
    {3, {TENSOR_WQ, TENSOR_WK, TENSOR_WV}}, {1, {TENSOR_WO}}, {2, {TENSOR_W1, TENSOR_W3}}, {1, {TENSOR_W2}}};

static void free_inputs(stream *s, int windows) {
    for (int i = 0; s->routes && i < windows; i++) free(s->routes[i].token), free(s->routes[i].begin);
    free(s->routes), free(s->input), free(s->begin);
    s->routes = NULL, s->input = s->begin = NULL;
}

/* Room for the inputs of so many windows. stride: columns for each of their tokens. */
static int make_inputs(const calibrator *k, stream *s, int windows, int stride, int mixture) {
    const uint64_t n = (uint64_t)windows * (uint64_t)k->length;
    s->input = floats(n, (uint64_t)stride), s->begin = floats(n, (uint64_t)k->f->dim);
    if (!s->input || !s->begin) return -1;
    if (mixture && !(s->routes = calloc((size_t)windows, sizeof *s->routes))) return -1;
    for (int i = 0; mixture && i < windows; i++) {
        s->routes[i].token = allocate((uint64_t)k->length * (uint64_t)k->f->n_experts_used, sizeof(int));
        s->routes[i].begin = allocate((uint64_t)k->f->n_experts + 1, sizeof(int));
        if (!s->routes[i].token || !s->routes[i].begin) return -1;
    }
    return 0;
}

/* Adds to sums (dim, cols) what the stream lacks at each token, times the input. */
static void add_residual(calibrator *k, float *sums, int tokens, int cols, int add) {
    const size_t dim = (size_t)k->f->dim;
    for (size_t i = 0; i < (size_t)tokens * dim; i++) k->x.begin[i] -= k->y.begin[i];
    compute_product(k->c, sums, (size_t)cols, turned(k->x.begin, dim), as_is(k->y.input, (size_t)cols), k->f->dim, cols,
                    tokens, add);
}

/* What r, and for wo and w2 the residual, has to know of a part. */
static int learn_part(calibrator *k, rounding *r, enum inside_part part, float *residual, int cols, double weights) {
    const int step = BATCH / k->length > 1 ? BATCH / k->length : 1, most = step < k->learned ? step : k->learned;
    int result =
        make_inputs(k, &k->x, most, cols, 0) || make_inputs(k, &k->y, most, cols, 0) ? no_memory(k, "inputs") : 0;
    rounding_begin(r);
    for (int first = 0; first < k->learned && !result; first += step) {
        const int count = k->learned - first < step ? k->learned - first : step, tokens = count * k->length;
        const run_job j = {k, part, first, cols, 1};
        compute_parallel(k->c, count, run_windows, &j);
        rounding_add(r, k->y.input, k->x.input, (size_t)cols, tokens);
        if (residual) add_residual(k, residual, tokens, cols, first > 0);
        result = advance(k, tokens * (4 * weights * (int)part / INSIDE_PARTS + 3.0 * cols * cols));
    }
    free_inputs(&k->x, most), free_inputs(&k->y, most);
    return result;
}

/* Rounds one of a layer's matrices, or one expert of it: rows [first, first + rows). */
static int round_matrix(calibrator *k, rounding *r, enum tensor id, int layer, const float *residual, int expert,
                        int rows, int cols) {
    const int type = writer_type_of(k->in, id, layer, 0), by_inputs = k->given->rounded && type == INSIDE_Q4;
    const inside_tensor t = inside_tensor_of(k->f, id, layer);
    const size_t at = (size_t)expert * (size_t)rows * (size_t)cols;
    unsigned char **tiles = tiles_of(k->out, id, layer), *to;
    if (!*tiles) *tiles = allocate(inside_matrix_bytes(type, t.rows, t.cols), 1);
    if (!*tiles) return no_memory(k, t.name);
    to = *tiles + (size_t)expert * inside_matrix_bytes(type, rows, cols);
    if (!by_inputs) r = NULL;
    if (round_rows(k, r, type, k->x.tensor[id] + at, residual, k->y.tensor[id] + at, to, rows, cols)) return -1;
    make_numbers(k->x.tensor[id] + at, (size_t)rows * (size_t)cols);
    return k->report->matrices += by_inputs, k->report->nearest += by_inputs && !r, 0;
}

static int calibrate_part(calibrator *k, int layer, enum inside_part part) {
    const int of_stream = part == INSIDE_O || part == INSIDE_DOWN, post = k->f->extras & LLAMA_POST_NORM;
    int rows, cols, result = 0;
    tensor_shape(k->f, part_of[part].id[0], layer, &rows, &cols);
    rounding *r = rounding_create(k->c, cols);
    float *residual = of_stream && !post ? floats((uint64_t)rows, (uint64_t)cols) : NULL;
    if (!r || (of_stream && !post && !residual)) result = no_memory(k, tensor_name(part_of[part].id[0]));
    if (!result) result = learn_part(k, r, part, residual, cols, layer_weights(k->f, layer));
    const int useful = !result && !rounding_prepare(r);
    for (int i = 0; i < part_of[part].count && !result; i++) {
        const enum tensor id = part_of[part].id[i];
        tensor_shape(k->f, id, layer, &rows, &cols);
        result = round_matrix(k, useful ? r : NULL, id, layer, residual, 0, rows, cols);
    }
    rounding_free(r), free(residual);
    return result;
}

/* ---- Experts ---- */

/* Where x gave a token of a window to the expert too: the row; -1: it did not. */
static int row_of(const inside_routes *routes, int expert, int token) {
    for (int i = routes->begin[expert]; i < routes->begin[expert + 1]; i++)
        if (routes->token[i] == token) return i;
    return -1;
}

/* An expert's inputs, in the order of tokens, to x and y (.., cols); returns how many. Where only y came to it, there
 * is no difference to learn from. */
static int gather(const calibrator *k, enum inside_part part, int expert, int cols, float *x, float *y) {
    const size_t n = (size_t)k->length * (size_t)(part == INSIDE_DOWN ? k->f->n_experts_used : 1), size = (size_t)cols;
    int count = 0;
    for (int window = 0; window < k->learned; window++) {
        const inside_routes *a = &k->x.routes[window], *b = &k->y.routes[window];
        for (int i = b->begin[expert]; i < b->begin[expert + 1]; i++, count++) {
            const int token = b->token[i], own = part == INSIDE_DOWN ? i : token;
            const int other = part == INSIDE_DOWN ? row_of(a, expert, token) : token;
            const float *from = k->y.input + ((size_t)window * n + (size_t)own) * size;
            const float *before = other < 0 ? from : k->x.input + ((size_t)window * n + (size_t)other) * size;
            memcpy(y + (size_t)count * size, from, size * sizeof *y);
            memcpy(x + (size_t)count * size, before, size * sizeof *x);
        }
    }
    return count;
}

/* As calibrate_part, each expert by what comes to it. */
static int calibrate_experts(calibrator *k, int layer, enum inside_part part) {
    const int down = part == INSIDE_DOWN, dim = k->f->dim, inner = k->f->expert_dim;
    const int cols = down ? inner : dim, rows = down ? dim : inner, stride = cols * (down ? k->f->n_experts_used : 1);
    const uint64_t tokens = (uint64_t)k->learned * (uint64_t)k->length;
    float *x = floats(tokens, (uint64_t)cols), *y = floats(tokens, (uint64_t)cols);
    rounding *r = rounding_create(k->c, cols);
    const run_job j = {k, part, 0, stride, 1};
    int result = make_inputs(k, &k->x, k->learned, stride, 1) || make_inputs(k, &k->y, k->learned, stride, 1);
    if (result || !x || !y || !r) result = no_memory(k, "experts");
    if (!result) compute_parallel(k->c, k->learned, run_windows, &j);
    for (int e = 0; e < k->f->n_experts && !result; e++) {
        const int count = gather(k, part, e, cols, x, y);
        rounding_begin(r);
        rounding_add(r, y, x, (size_t)cols, count);
        const int useful = !rounding_prepare(r);
        for (int i = 0; i < part_of[part].count && !result; i++)
            result = round_matrix(k, useful ? r : NULL, part_of[part].id[i], layer, NULL, e, rows, cols);
    }
    free_inputs(&k->x, k->learned), free_inputs(&k->y, k->learned);
    rounding_free(r), free(x), free(y);
    return result;
}

/* 1: this part's matrices are rounded by their inputs. */
static int is_learned(const calibrator *k, int layer, int part) {
    return k->given->rounded && writer_type_of(k->in, part_of[part].id[0], layer, 0) == INSIDE_Q4;
}

static int round_layer(calibrator *k, int layer) {
    const int mixture = k->f->layers && k->f->layers[layer].experts;
    int result = 0;
    for (int part = 0; part < INSIDE_PARTS && !result; part++)
        if (is_learned(k, layer, part))
            result = (mixture && part >= INSIDE_GATE_UP ? calibrate_experts : calibrate_part)(k, layer,
                                                                                              (enum inside_part)part);
        else
            for (int i = 0; i < part_of[part].count && !result; i++) {
                const enum tensor id = part_of[part].id[i];
                const inside_tensor t = inside_tensor_of(k->f, id, layer);
                for (int e = 0; e < (t.experts ? t.experts : 1) && !result; e++)
                    result = round_matrix(k, NULL, id, layer, NULL, e, t.experts ? t.expert_rows : t.rows, t.cols);
                free(*tiles_of(k->out, id, layer)), *tiles_of(k->out, id, layer) = NULL; /* the writer does the same */
            }
    return result;
}

/* ---- Embedding and classifier: a row a token, some rows at a time ---- */

/* Both streams begin with the rows of their tokens. */
static void place_rows(calibrator *k, int first, int count, const float *w, const float *q) {
    const size_t dim = (size_t)k->f->dim;
    const float scale = k->f->embedding_scale > 0 ? k->f->embedding_scale : 1;
    for (size_t i = 0; i < (size_t)k->windows * (size_t)k->length; i++) {
        const int row = k->given->texts->tokens[i] - first;
        if (row < 0 || row >= count) continue;
        for (size_t d = 0; d < dim; d++) {
            k->x.stream[i * dim + d] = w[(size_t)row * dim + d] * scale;
            if (q) k->y.stream[i * dim + d] = q[(size_t)row * dim + d] * scale;
        }
    }
}

typedef int rows_seen(calibrator *k, void *to, int first, int count, const float *w, const float *q);

static int place_both(calibrator *k, void *to, int first, int count, const float *w, const float *q) {
    (void)to;
    return place_rows(k, first, count, w, q), 0;
}
static int place_source(calibrator *k, void *to, int first, int count, const float *w, const float *q) {
    (void)to, (void)q;
    return place_rows(k, first, count, w, NULL), 0;
}

/* Reads an embedding or classifier, some rows at a time, and has seen look at them, and at what they become: by r if it
 * is not NULL, or as they are encoded already, or to nearest; with keep they are encoded. */
static int each_rows(calibrator *k, enum tensor id, rounding *r, int keep, rows_seen *seen, void *to) {
    const int rows = k->f->vocab_size, cols = k->f->dim, type = writer_type_of(k->in, id, 0, 0), some = SOME;
    const size_t bytes = inside_tile_bytes(type, cols), n = (size_t)cols;
    unsigned char **all = tiles_of(k->out, id, 0), *tiles = NULL;
    float *w = floats(SOME, n), *q = floats(SOME, n);
    const int known = !keep && *all;
    if (keep) *all = allocate(inside_matrix_bytes(type, rows, cols), 1);
    else if (!known) tiles = allocate(SOME / INSIDE_TILE, bytes);
    int result = w && q && (keep || known ? *all : tiles) ? 0 : no_memory(k, tensor_name(id));
    for (int first = 0, count; first < rows && !result; first += count) {
        count = rows - first < some ? rows - first : some;
        unsigned char *at = keep || known ? *all + (size_t)(first / INSIDE_TILE) * bytes : tiles;
        result = k->in->rows(k->in->user, id, 0, first, count, w, k->err);
        if (!result && !known) result = round_rows(k, r, type, w, NULL, q, at, count, cols);
        for (int i = 0; !result && known && i < count; i++)
            inside_decode_tile(type, at + (size_t)(i / INSIDE_TILE) * bytes, i % INSIDE_TILE, cols, q + (size_t)i * n);
        make_numbers(w, (size_t)count * n), make_numbers(q, (size_t)count * n);
        if (!result) result = seen(k, to, first, count, w, q);
    }
    free(w), free(q), free(tiles);
    return result;
}

/* out (count, dim) = norm of rows of a stream. */
static int final_norm(calibrator *k, const stream *s, int first, int count, float *out) {
    const size_t dim = (size_t)k->f->dim;
    float *weight = floats(1, dim);
    int result = weight ? 0 : no_memory(k, "the last norm");
    if (!result) result = k->in->rows(k->in->user, TENSOR_FINAL_NORM, 0, 0, 1, weight, k->err);
    if (!result) make_numbers(weight, dim);
    for (size_t i = 0; !result && i < (size_t)count; i++)
        inside_norm(out + i * dim, s->stream + ((size_t)first + i) * dim, weight, k->f->dim, k->f->norm_eps);
    free(weight);
    return result;
}

/* What the classifier gets, of all samples that are not held out. */
static int learn_classifier(calibrator *k, rounding *r, int both) {
    const int tokens = k->learned * k->length;
    float *x = floats(BATCH, (uint64_t)k->f->dim), *y = floats(BATCH, (uint64_t)k->f->dim);
    int result = x && y ? 0 : no_memory(k, "the classifier");
    rounding_begin(r);
    for (int first = 0, count; first < tokens && !result; first += count) {
        count = tokens - first < BATCH ? tokens - first : BATCH;
        result = final_norm(k, &k->x, first, count, x);
        if (!result && both) result = final_norm(k, &k->y, first, count, y);
        if (!result) rounding_add(r, both ? y : x, both ? x : NULL, (size_t)k->f->dim, count);
    }
    free(x), free(y);
    return result;
}

/* Samples through the model as it is. */
static int pass_source(calibrator *k) {
    int result = each_rows(k, TENSOR_EMBEDDING, NULL, 0, place_source, NULL);
    for (int l = 0; l < k->f->n_layers && !result; l++) {
        result = open_layer(k, l, 0);
        if (!result) result = pass_layer(k, l, 0);
        close_layer(k);
    }
    return result;
}

/* 1: this one is rounded by what the classifier gets. */
static int is_calibrated(const calibrator *k, enum tensor id) {
    return k->given->rounded && writer_type_of(k->in, id, 0, 0) == INSIDE_Q4 &&
           (id == TENSOR_CLASSIFIER || k->f->shared_classifier);
}

static int see_nothing(calibrator *k, void *to, int first, int count, const float *w, const float *q) {
    return (void)k, (void)to, (void)first, (void)count, (void)w, (void)q, 0;
}

/* The embedding, and where both streams begin; or a classifier of its own. */
static int round_vocabulary(calibrator *k, enum tensor id) {
    const int calibrated = is_calibrated(k, id), last = id == TENSOR_CLASSIFIER;
    if (last && !calibrated) return 0;
    if (calibrated && !last && pass_source(k)) return -1;
    rounding *r = calibrated ? rounding_create(k->c, k->f->dim) : NULL;
    int result = calibrated && !r ? no_memory(k, tensor_name(id)) : 0, useful = 0;
    if (!result && calibrated) result = learn_classifier(k, r, last);
    if (!result && calibrated) useful = !rounding_prepare(r);
    if (!result) result = each_rows(k, id, useful ? r : NULL, calibrated, last ? see_nothing : place_both, NULL);
    k->report->matrices += calibrated, k->report->nearest += calibrated && !useful;
    rounding_free(r);
    return result;
}

/* ---- What changed ---- */

typedef struct { /* of a held out token; sums of e^(logit - max), and of that times the difference of logits */
    double max[2], sum[2], difference, next[2];
} scored;

typedef struct {
    calibrator *k;
    float *norm[2], *logits[2]; /* (held tokens, dim), (held tokens, SOME) */
    scored *scores;
    int first, count; /* rows of the classifier */
} measuring;

static void score_tokens(const void *work, int begin, int end) {
    const measuring *m = work;
    const calibrator *k = m->k;
    const int *tokens = k->given->texts->tokens + (size_t)k->learned * (size_t)k->length;
    for (int t = begin; t < end; t++) {
        scored *s = &m->scores[t];
        float *p = m->logits[0] + (size_t)t * SOME, *q = m->logits[1] + (size_t)t * SOME, *of[] = {p, q};
        const int next = t % k->length < k->length - 1 ? tokens[t + 1] - m->first : -1;
        for (int i = 0; i < 2; i++) { /* sums are brought down to a new maximum */
            double max = s->max[i];
            if (k->f->logit_cap > 0) inside_cap(of[i], m->count, k->f->logit_cap);
            for (int j = 0; j < m->count; j++) max = of[i][j] > max ? of[i][j] : max;
            const double by = exp(s->max[i] - max);
            s->max[i] = max, s->sum[i] *= by, s->difference *= i ? 1 : by;
            if (next >= 0 && next < m->count) s->next[i] = of[i][next];
        }
        for (int j = 0; j < m->count; j++) {
            const double e = exp(p[j] - s->max[0]);
            s->sum[0] += e, s->sum[1] += exp(q[j] - s->max[1]), s->difference += e * ((double)p[j] - q[j]);
        }
    }
}

static int score_rows(calibrator *k, void *to, int first, int count, const float *w, const float *q) {
    measuring *m = to;
    const int held = (k->windows - k->learned) * k->length;
    const size_t dim = (size_t)k->f->dim;
    m->first = first, m->count = count;
    compute_product(k->c, m->logits[0], SOME, as_is(m->norm[0], dim), turned(w, dim), held, count, k->f->dim, 0);
    compute_product(k->c, m->logits[1], SOME, as_is(m->norm[1], dim), turned(q, dim), held, count, k->f->dim, 0);
    compute_parallel(k->c, held, score_tokens, m);
    return advance(k, 4.0 * held * count * k->f->dim);
}

/* KL = sum p (log p - log q), log p = logit - max - log sum. */
static void sum_scores(calibrator *k, const scored *scores, int held) {
    calibrate_report *r = k->report;
    for (int t = 0; t < held; t++) {
        const scored *s = &scores[t];
        const double log_p = s->max[0] + log(s->sum[0]), log_q = s->max[1] + log(s->sum[1]);
        r->kl += (s->difference / s->sum[0] - log_p + log_q) / held;
        if (t % k->length == k->length - 1) continue;
        const double share = (double)k->length / held / (k->length - 1);
        r->source += (log_p - s->next[0]) * share, r->result += (log_q - s->next[1]) * share;
    }
    r->measured = held;
}

static int measure(calibrator *k) {
    const int held = (k->windows - k->learned) * k->length;
    const uint64_t n = (uint64_t)held, dim = (uint64_t)k->f->dim;
    if (!held) return 0;
    measuring m = {k, {floats(n, dim), floats(n, dim)}, {floats(n, SOME), floats(n, SOME)}, NULL, 0, 0};
    m.scores = allocate(n, sizeof *m.scores);
    int result = m.norm[0] && m.norm[1] && m.logits[0] && m.logits[1] && m.scores ? 0 : no_memory(k, "logits");
    for (int t = 0; !result && t < held; t++) m.scores[t] = (scored){{-1e30, -1e30}, {0, 0}, 0, {0, 0}};
    if (!result) result = final_norm(k, &k->x, k->learned * k->length, held, m.norm[0]);
    if (!result) result = final_norm(k, &k->y, k->learned * k->length, held, m.norm[1]);
    if (!result)
        result = each_rows(k, k->f->shared_classifier ? TENSOR_EMBEDDING : TENSOR_CLASSIFIER, NULL, 0, score_rows, &m);
    if (!result) sum_scores(k, m.scores, held);
    for (int i = 0; i < 2; i++) free(m.norm[i]), free(m.logits[i]);
    free(m.scores);
    return result;
}

/* ---- All of it ---- */

/* Operations of all steps, about, as advance counts them. */
static double all_operations(const calibrator *k) {
    const llama_config *f = k->f;
    const double tokens = (double)k->windows * k->length, learned = (double)k->learned * k->length, dim = f->dim;
    const int tied = is_calibrated(k, TENSOR_EMBEDDING);
    double sum = 4.0 * (k->windows - k->learned) * k->length * dim * f->vocab_size;
    for (int id = TENSOR_EMBEDDING; id <= TENSOR_CLASSIFIER; id++)
        if (is_calibrated(k, (enum tensor)id)) sum += 15 * dim * dim * f->vocab_size;
    for (int l = 0; l < f->n_layers; l++) {
        const double weights = layer_weights(f, l);
        const int mixture = f->layers && f->layers[l].experts;
        sum += (4 + 2 * tied) * tokens * weights;
        for (int part = 0; part < INSIDE_PARTS; part++)
            for (int i = 0; i < part_of[part].count && is_learned(k, l, part); i++) {
                const inside_tensor t = inside_tensor_of(f, part_of[part].id[i], l);
                sum += 15.0 * t.rows * t.cols * t.cols;
                if (!i && !(mixture && part >= INSIDE_GATE_UP))
                    sum += learned * (4 * weights * part / INSIDE_PARTS + 3.0 * t.cols * t.cols);
            }
    }
    return sum;
}

static int run_all(calibrator *k) {
    const uint64_t tokens = (uint64_t)k->windows * (uint64_t)k->length;
    k->x.stream = floats(tokens, (uint64_t)k->f->dim), k->y.stream = floats(tokens, (uint64_t)k->f->dim);
    int result = k->x.stream && k->y.stream ? 0 : no_memory(k, "samples");
    k->total = all_operations(k);
    if (!result) result = round_vocabulary(k, TENSOR_EMBEDDING);
    for (int l = 0; l < k->f->n_layers && !result; l++) {
        result = open_layer(k, l, 1);
        if (!result) result = round_layer(k, l);
        if (!result) result = pass_layer(k, l, 1);
        close_layer(k);
    }
    if (!result && !k->f->shared_classifier) result = round_vocabulary(k, TENSOR_CLASSIFIER);
    if (!result) result = measure(k);
    free(k->x.stream), free(k->y.stream);
    return result;
}

static calibrator begin_calibration(const calibrate_input *given) {
    calibrator k = {.given = given, .in = given->in, .f = &given->in->config, .c = compute_create(given->threads)};
    k.length = given->texts->length, k.windows = given->texts->count, k.learned = k.windows - given->held;
    k.threads = k.c ? compute_threads(k.c) : 1;
    return k;
}

calibration *calibrate(const calibrate_input *given, calibrate_report *report, llama_error *err) {
    calibration *out = calloc(1, sizeof *out);
    calibrator k = begin_calibration(given);
    k.out = out, k.report = report, k.err = err;
    memset(report, 0, sizeof *report);
    if (out)
        out->layers = k.f->n_layers, out->tiles = calloc(((size_t)k.f->n_layers + 1) * TENSORS, sizeof *out->tiles);
    int result = k.c && out && out->tiles ? 0 : no_memory(&k, "a model");
    if (!result) result = run_all(&k);
    compute_free(k.c);
    if (result) return calibrate_free(out), NULL;
    return out;
}

/* ---- What it takes ---- */

static uint64_t plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static uint64_t largest(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t float_bytes(uint64_t rows, uint64_t cols) { return mul_size(mul_size(rows, cols), sizeof(float)); }

/* While a part is rounded. */
static uint64_t part_bytes(const calibrator *k, enum inside_part part, int mixture) {
    const int used = mixture && part == INSIDE_DOWN ? k->f->n_experts_used : 1;
    int rows, cols;
    tensor_shape(k->f, part_of[part].id[0], 0, &rows, &cols);
    const uint64_t learned = (uint64_t)k->learned * (uint64_t)k->length, few = learned < BATCH ? learned : BATCH;
    const uint64_t tokens = mixture && part >= INSIDE_GATE_UP ? learned : few, n = (uint64_t)cols;
    const uint64_t inputs = plus(float_bytes(2 * tokens, mul_size(n, (uint64_t)used)),
                                 float_bytes(2 * tokens, mixture ? plus(n, (uint64_t)k->f->dim) : (uint64_t)k->f->dim));
    return plus(plus(rounding_bytes(cols, k->threads), inputs), float_bytes((uint64_t)(mixture ? 0 : rows), n));
}

/* A layer's weights in both models, and what its largest part takes. */
static uint64_t layer_bytes(const calibrator *k, int layer) {
    const int mixture = k->f->layers && k->f->layers[layer].experts;
    uint64_t sum = mul_size(inside_layer_bytes(k->f, layer, k->length), 2 * (uint64_t)k->threads), part = 0;
    for (int id = TENSOR_OF_LAYER, rows, cols; id < TENSORS; id++)
        if (tensor_shape(k->f, (enum tensor)id, layer, &rows, &cols))
            sum = plus(sum, float_bytes(2 * (uint64_t)rows, (uint64_t)cols));
    for (int i = 0; i < INSIDE_PARTS && k->given->rounded; i++)
        part = largest(part, part_bytes(k, (enum inside_part)i, mixture));
    return plus(sum, part);
}

static uint64_t all_bytes(const calibrator *k) {
    const uint64_t dim = (uint64_t)k->f->dim, tokens = (uint64_t)k->windows * (uint64_t)k->length;
    const uint64_t held = (uint64_t)(k->windows - k->learned) * (uint64_t)k->length;
    uint64_t most = float_bytes(2 * held, dim + SOME), kept = 0;
    if (k->given->rounded) most = largest(most, rounding_bytes(k->f->dim, k->threads));
    most = plus(most, float_bytes(2 * SOME, dim));
    for (int l = 0; l < k->f->n_layers; l++) {
        most = largest(most, layer_bytes(k, l));
        for (int id = l ? TENSOR_WQ : TENSOR_EMBEDDING; id < TENSORS && k->given->rounded; id++) {
            const inside_tensor t = inside_tensor_of(k->f, (enum tensor)id, l);
            if (!t.rows || t.vector || id == TENSOR_ROUTER) continue;
            kept = plus(kept, inside_matrix_bytes(writer_type_of(k->in, (enum tensor)id, l, 0), t.rows, t.cols));
        }
    }
    return plus(plus(most, kept), float_bytes(2 * tokens, dim));
}

/* Operations in a second, of products as they are in rounding; 0 without memory. */
static double speed(compute *c) {
    enum { N = 768 };
    float *a = calloc(3 * N * N, sizeof *a);
    double best = 0;
    for (int i = 0; a && i < 3; i++) {
        const double start = clock_seconds();
        compute_product(c, a + 2 * N * N, N, as_is(a, N), as_is(a + N * N, N), N, N, N, 0);
        const double taken = clock_seconds() - start;
        if (taken > 0 && 2.0 * N * N * N / taken > best) best = 2.0 * N * N * N / taken;
    }
    free(a);
    return best;
}

void calibrate_predict(const calibrate_input *given, uint64_t *bytes, double *seconds) {
    calibrator k = begin_calibration(given);
    const double share = 0.6; /* of that speed, measured: the rest of the time goes into plain loops */
    const double rate = k.c ? speed(k.c) : 0;
    *bytes = all_bytes(&k);
    *seconds = rate > 0 ? all_operations(&k) / (rate * share) : 0;
    compute_free(k.c);
}
