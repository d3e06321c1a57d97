/* compute.c - matrix products for training, on the kernels of llama.c. Contract in compute.h.
 *
 * A kernel multiplies a block of a few rows, packed column by column, by a tile of 16 columns, packed row by row. So
 * a product is cut into panels of rows and columns that fit the second-level cache when packed, and each panel's
 * inner dimension into chunks whose tile fits the first. A panel is one thread's work; panels begin at multiples of
 * a block and of a tile, so that every element is summed in the same order however many threads there are.
 */
#include "compute.h"
#include "../shared/inside.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    COLS = INSIDE_TILE,
    CHUNK = 256,      /* of the inner dimension: a tile is then 16 KB, a block 12 KB */
    PANEL_ROWS = 384, /* 384 KB packed */
    PANEL_COLS = 512  /* 512 KB */
};

struct compute {
#ifndef TRAIN_DOUBLE
    inside_kernels kernels;
#endif
    int threads;
    char *memory;   /* what scratch lies in */
    float *scratch; /* (threads, SCRATCH) a packed panel of rows, then one of columns */
};
enum { SCRATCH = CHUNK * (PANEL_ROWS + PANEL_COLS), ALIGNED = 64 };

compute *compute_create(int threads) {
    compute *c = calloc(1, sizeof *c);
    if (!c) return NULL;
#ifndef TRAIN_DOUBLE
    c->kernels = inside_find_kernels();
#endif
    c->threads = 1;
#ifdef _OPENMP
    c->threads = threads > 0 ? threads : inside_cores();
#endif
    (void)threads;
    c->memory = malloc((size_t)c->threads * SCRATCH * sizeof(float) + ALIGNED);
    if (!c->memory) return free(c), NULL;
    c->scratch = (float *)(void *)(c->memory + (ALIGNED - (uintptr_t)c->memory % ALIGNED));
    return c;
}

void compute_free(compute *c) {
    if (c) free(c->memory);
    free(c);
}

int compute_threads(const compute *c) { return c->threads; }

int compute_thread(void) {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

typedef struct {
    int begin, end;
} span;

static span span_of(int n, int parts, int i) { /* the i-th of so many even parts */
    const span s = {(int)((int64_t)n * i / parts), (int)((int64_t)n * (i + 1) / parts)};
    return s;
}

#ifndef TRAIN_DOUBLE

static const float *at(factor f, int i, int j) {
    return f.p + (size_t)(f.turned ? j : i) * f.stride + (size_t)(f.turned ? i : j);
}

/* out: for each block of rows (k, block), the last one (k, what is left). */
static void pack_rows(const compute *c, float *out, factor a, span rows, span k) {
    const int block = c->kernels.block, n = k.end - k.begin;
    for (int i = rows.begin; i < rows.end && !a.turned; i += block) {
        const int some = rows.end - i < block ? rows.end - i : block;
        c->kernels.pack(out + (size_t)(i - rows.begin) * (size_t)n, at(a, i, k.begin), a.stride, n, some);
    }
    for (int j = 0; j < n && a.turned; j++) /* along the rows of memory */
        for (int i = rows.begin; i < rows.end; i += block) {
            const int some = rows.end - i < block ? rows.end - i : block;
            const float *from = at(a, i, k.begin + j);
            float *to = out + (size_t)(i - rows.begin) * (size_t)n + (size_t)j * (size_t)some;
            if (some == 12) memcpy(to, from, 12 * sizeof *to); /* a constant size is a few instructions */
            else memcpy(to, from, (size_t)some * sizeof *to);
        }
}

/* out: for each tile of columns (k, COLS), filled up with zeros. */
static void pack_cols(const compute *c, float *out, factor b, span cols, span k) {
    const int n = k.end - k.begin, whole = cols.begin + (cols.end - cols.begin) / COLS * COLS;
    for (int j = cols.begin; j < whole && b.turned; j += COLS)
        c->kernels.pack(out + (size_t)(j - cols.begin) * (size_t)n, at(b, k.begin, j), b.stride, n, COLS);
    for (int i = 0; i < n && !b.turned; i++)
        for (int j = cols.begin; j < whole; j += COLS)
            memcpy(out + (size_t)(j - cols.begin) * (size_t)n + (size_t)i * COLS, at(b, k.begin + i, j),
                   COLS * sizeof *out);
    if (whole == cols.end) return;
    out += (size_t)(whole - cols.begin) * (size_t)n;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < COLS; j++) out[i * COLS + j] = whole + j < cols.end ? *at(b, k.begin + i, whole + j) : 0;
}

/* One tile of the last columns: the kernel writes all 16, but the matrix has only so many. */
static void narrow_tile(const compute *c, float *out, size_t stride, int cols, const float *tile, const float *block,
                        int k, int rows, int add) {
    float wide[INSIDE_BLOCK * COLS];
    c->kernels.tile(wide, COLS, tile, block, k, rows, 0);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            float *o = out + (size_t)i * stride + j;
            *o = add ? *o + wide[i * COLS + j] : wide[i * COLS + j];
        }
}

/* A block of rows by a tile of columns, two tiles, or what there is of a last one. Two tiles at once give what they
 * give one by one, except where a kernel sums one or two rows in another order. */
static void multiply_block(const compute *c, float *out, size_t stride, const float *tile, int width,
                           const float *block, int k, int rows, int add) {
    inside_tile_fn *one = c->kernels.tile, *pair = c->kernels.pair;
    if (width < COLS) narrow_tile(c, out, stride, width, tile, block, k, rows, add);
    else if (width == 2 * COLS && pair && rows > 2) pair(out, stride, tile, block, k, rows, add);
    else
        for (int j = 0; j < width; j += COLS) one(out + j, stride, tile + (size_t)j * (size_t)k, block, k, rows, add);
}

/* A panel of a product. */
static void multiply_panel(const compute *c, real *out, size_t stride, factor a, factor b, span rows, span cols, int k,
                           int add) {
    float *packed = c->scratch + (size_t)compute_thread() * SCRATCH, *tiles = packed + CHUNK * PANEL_ROWS;
    const int chunks = (k + CHUNK - 1) / CHUNK, block = c->kernels.block;
    for (int chunk = 0; chunk < chunks; chunk++, add = 1) {
        const span inner = span_of(k, chunks, chunk);
        const int n = inner.end - inner.begin;
        pack_rows(c, packed, a, rows, inner);
        pack_cols(c, tiles, b, cols, inner);
        for (int j = cols.begin, width; j < cols.end; j += width) {
            const float *tile = tiles + (size_t)(j - cols.begin) * (size_t)n;
            width = j + 2 * COLS <= cols.end ? 2 * COLS : cols.end - j < COLS ? cols.end - j : COLS;
            for (int i = rows.begin; i < rows.end; i += block)
                multiply_block(c, out + (size_t)i * stride + j, stride, tile, width,
                               packed + (size_t)(i - rows.begin) * (size_t)n, n,
                               rows.end - i < block ? rows.end - i : block, add);
        }
    }
}

static int row_unit(const compute *c) { return c->kernels.block; }

real compute_softmax(const compute *c, real *x, int n, real *max) { return c->kernels.softmax(x, n, max); }

void compute_swiglu(const compute *c, real *out, const real *a, const real *b, int n) {
    memcpy(out, a, (size_t)n * sizeof *out);
    c->kernels.swiglu(out, b, n);
}

#else /* TRAIN_DOUBLE: what is computed, in plain loops */

static void multiply_panel(const compute *c, real *out, size_t stride, factor a, factor b, span rows, span cols, int k,
                           int add) {
    (void)c;
    for (int i = rows.begin; i < rows.end; i++)
        for (int j = cols.begin; j < cols.end; j++) {
            real sum = 0;
            for (int l = 0; l < k; l++)
                sum += a.p[a.turned ? (size_t)l * a.stride + (size_t)i : (size_t)i * a.stride + (size_t)l] *
                       b.p[b.turned ? (size_t)j * b.stride + (size_t)l : (size_t)l * b.stride + (size_t)j];
            real *o = out + (size_t)i * stride + j;
            *o = add ? *o + sum : sum;
        }
}

static int row_unit(const compute *c) { return (void)c, 1; }

real compute_softmax(const compute *c, real *x, int n, real *max) {
    real sum = 0;
    (void)c;
    for (int i = 0; i < n; i++) *max = x[i] > *max ? x[i] : *max;
    for (int i = 0; i < n; i++) sum += x[i] = exp(x[i] - *max);
    return sum;
}

void compute_swiglu(const compute *c, real *out, const real *a, const real *b, int n) {
    (void)c;
    for (int i = 0; i < n; i++) out[i] = a[i] / (1 + exp(-a[i])) * b[i];
}

#endif

/* silu'(z) = s (1 + z (1 - s)) with s = 1 / (1 + e^-z). The softmax kernel is the fastest e^x at hand: of numbers that
 * are not above 0, less the largest of them and 0, it makes just that. */
void compute_swiglu_back(const compute *c, real *restrict da, real *restrict db, const real *restrict dout,
                         const real *restrict a, const real *restrict b, int n) {
    real zero = 0;
    for (int i = 0; i < n; i++) da[i] = a[i] < 0 ? a[i] : -a[i];
    compute_softmax(c, da, n, &zero);
    for (int i = 0; i < n; i++) {
        const real e = da[i], s = (a[i] < 0 ? e : 1) / (1 + e), silu = a[i] * s;
        da[i] = dout[i] * b[i] * (s + silu * (1 - s));
        db[i] = dout[i] * silu;
    }
}

typedef struct {
    int rows, cols; /* panels down and across */
} grid;

/* Panels no larger than fits, and as many as keep so many threads equally busy, if the matrix is large enough. */
static grid grid_of(const compute *c, int m, int n, int threads) {
    const int unit = row_unit(c), blocks = (m + unit - 1) / unit, tiles = (n + COLS - 1) / COLS;
    const int most = PANEL_ROWS / unit;
    grid g = {(blocks + most - 1) / most, (tiles + PANEL_COLS / COLS - 1) / (PANEL_COLS / COLS)};
    while (g.rows * g.cols % threads && g.rows * g.cols < 4 * threads) {
        if (g.rows < blocks && (blocks * unit / g.rows >= tiles * COLS / g.cols || g.cols == tiles)) g.rows++;
        else if (g.cols < tiles) g.cols++;
        else break;
    }
    return g;
}

static void multiply_cell(const compute *c, real *out, size_t stride, factor a, factor b, int m, int n, int k, int add,
                          grid g, int cell) {
    const int unit = row_unit(c);
    span rows = span_of((m + unit - 1) / unit, g.rows, cell / g.cols);
    span cols = span_of((n + COLS - 1) / COLS, g.cols, cell % g.cols);
    rows.begin *= unit, rows.end = rows.end * unit < m ? rows.end * unit : m;
    cols.begin *= COLS, cols.end = cols.end * COLS < n ? cols.end * COLS : n;
    multiply_panel(c, out, stride, a, b, rows, cols, k, add);
}

void compute_product(compute *c, real *out, size_t stride, factor a, factor b, int m, int n, int k, int add) {
    const grid g = grid_of(c, m, n, c->threads);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
#endif
    for (int cell = 0; cell < g.rows * g.cols; cell++) multiply_cell(c, out, stride, a, b, m, n, k, add, g, cell);
}

void compute_product_alone(compute *c, real *out, size_t stride, factor a, factor b, int m, int n, int k, int add) {
    const grid g = grid_of(c, m, n, 1);
    for (int cell = 0; cell < g.rows * g.cols; cell++) multiply_cell(c, out, stride, a, b, m, n, k, add, g, cell);
}
