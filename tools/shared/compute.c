/* compute.c - matrix products, on the kernels of llama.c. Contract in compute.h.
 *
 * A kernel multiplies a block of a few rows, packed column by column, by a tile of 16 columns, packed row by row. So
 * a product is cut into panels of rows and columns that fit the second-level cache when packed, and each panel's
 * inner dimension into chunks whose tile fits the first. A panel is one thread's work; panels begin at multiples of
 * a block and of a tile, so that every element is summed in the same order however many threads there are.
 */
#include "compute.h"
#include "clock.h"
#include "inside.h"

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
    double lost, patience, alone_until; /* see judge_team */
    char *memory;                       /* what scratch lies in */
    float *scratch;                     /* (threads, SCRATCH) a packed panel of rows, then one of columns */
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
#ifdef KMP_VERSION_MAJOR
    kmp_set_blocktime(1); /* LLVM's threads would spin for 200 ms where there is nothing to do */
#endif
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

/* ---- Threads ---- */

#ifdef _OPENMP

typedef struct { /* what the threads of a parallel loop share */
    int n, size; /* items, and how many are taken at a time */
    int taken;   /* items that some thread has, or had */
    double work; /* seconds that cores worked for them, of all threads */
} loop;

static void take_parts(loop *l, compute_body *body, const void *work) {
    const double start = clock_work();
    for (;;) {
        int begin;
#pragma omp atomic capture
        {
            begin = l->taken;
            l->taken += l->size;
        }
        if (begin >= l->n) break;
        body(work, begin, l->n - begin < l->size ? l->n : begin + l->size);
    }
    const double took = clock_work() - start;
#pragma omp atomic
    l->work += took;
}

/* Whether threads help, by a loop that took them so many seconds. Alone, one would have taken the time that cores
 * worked for all of them; not the time that passed, of which a thread that is kept from its core counts milliseconds
 * for nothing. On a machine that is busy with something else that can be less, by far, than the loop took, which ends
 * with its last thread. What loops lose so is summed up, less what others win. Once it is more than a slip thread 0
 * goes on alone for a while, longer each time that another try ends so, until what tries cost is a percent. */
static void judge_team(compute *c, const loop *l, double seconds, double now) {
    const double slip = 0.002, most = 85;
    c->lost += seconds - l->work;
    if (c->lost < -slip) c->lost = 0, c->patience /= 4;
    if (c->lost < slip) return;
    if (c->patience < most) c->patience = 4 * c->patience + 1; /* 1, 5, 21, 85 */
    c->alone_until = now + c->patience * c->lost;
    c->lost = 0;
}

static int threads_now(const compute *c) {
    return c->threads > 1 && clock_seconds() >= c->alone_until ? c->threads : 1;
}

void compute_parallel(compute *c, int n, compute_body *body, const void *work) {
    if (n < 2 || threads_now(c) == 1) {
        body(work, 0, n);
        return;
    }
    const double start = clock_seconds();
    loop l = {.n = n, .size = n / (4 * c->threads) + 1};
#pragma omp parallel num_threads(c->threads)
    take_parts(&l, body, work);
    const double now = clock_seconds();
    judge_team(c, &l, now - start, now);
}

#else

static int threads_now(const compute *c) { return c->threads; }

void compute_parallel(compute *c, int n, compute_body *body, const void *work) {
    (void)c;
    body(work, 0, n);
}

#endif

/* ---- Products ---- */

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
 * give one by one. */
static void multiply_block(const compute *c, float *out, size_t stride, const float *tile, int width,
                           const float *block, int k, int rows, int add) {
    inside_tile_fn *one = c->kernels.tile;
    inside_pair_fn *pair = c->kernels.pair;
    if (width < COLS) narrow_tile(c, out, stride, width, tile, block, k, rows, add);
    else if (width == 2 * COLS && pair) pair(out, stride, tile, block, k, rows, add, NULL, 0);
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

typedef struct {
    compute *c;
    real *out;
    size_t stride;
    factor a, b;
    int m, n, k, add;
    grid g;
} product;

static void multiply_cells(const void *work, int begin, int end) {
    const product *p = work;
    const int unit = row_unit(p->c);
    for (int cell = begin; cell < end; cell++) {
        span rows = span_of((p->m + unit - 1) / unit, p->g.rows, cell / p->g.cols);
        span cols = span_of((p->n + COLS - 1) / COLS, p->g.cols, cell % p->g.cols);
        rows.begin *= unit, rows.end = rows.end * unit < p->m ? rows.end * unit : p->m;
        cols.begin *= COLS, cols.end = cols.end * COLS < p->n ? cols.end * COLS : p->n;
        multiply_panel(p->c, p->out, p->stride, p->a, p->b, rows, cols, p->k, p->add);
    }
}

void compute_product(compute *c, real *out, size_t stride, factor a, factor b, int m, int n, int k, int add) {
    const product p = {c, out, stride, a, b, m, n, k, add, grid_of(c, m, n, threads_now(c))};
    compute_parallel(c, p.g.rows * p.g.cols, multiply_cells, &p);
}

void compute_product_alone(compute *c, real *out, size_t stride, factor a, factor b, int m, int n, int k, int add) {
    const product p = {c, out, stride, a, b, m, n, k, add, grid_of(c, m, n, 1)};
    multiply_cells(&p, 0, p.g.rows * p.g.cols);
}
