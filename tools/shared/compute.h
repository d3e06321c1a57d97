/* compute.h - the arithmetic that takes the time in training and calibration: products of matrices; softmax, SwiGLU.
 *
 * Products run on the tile kernels of llama.c, which is why they are here and not where they are needed. Compiled with
 * TRAIN_DOUBLE everything is in double and in plain loops: a test then compares gradients with finite differences to
 * many digits.
 *
 * No value depends on the number of threads.
 */
#ifndef COMPUTE_H
#define COMPUTE_H

#include <stddef.h>

#ifdef TRAIN_DOUBLE
typedef double real;
#else
typedef float real;
#endif

typedef struct compute compute; /* threads and their scratch memory */

/* threads 0: one per core. NULL without memory. */
compute *compute_create(int threads);
void compute_free(compute *c); /* NULL is allowed */
int compute_threads(const compute *c);
int compute_thread(void); /* which of them runs this: 0..threads-1 */

/* Has body do items 0..n-1 of some work, in ranges that threads take as they come, or all of them at once by this
 * thread while others do not help. So body gives the same whatever the ranges are; items should take about the same
 * time. It must not come here again. */
typedef void compute_body(const void *work, int begin, int end);
void compute_parallel(compute *c, int n, compute_body *body, const void *work);

/* A matrix as a factor: its element (i, j) is p[i * stride + j], or p[j * stride + i] if it is turned. */
typedef struct {
    const real *p;
    size_t stride;
    int turned;
} factor;

static inline factor as_is(const real *p, size_t stride) {
    const factor f = {p, stride, 0};
    return f;
}
static inline factor turned(const real *p, size_t stride) {
    const factor f = {p, stride, 1};
    return f;
}

/* out (m, n) = a (m, k) . b (k, n), added to what is there if add. All threads. */
void compute_product(compute *c, real *out, size_t stride, factor a, factor b, int m, int n, int k, int add);

/* The same by the thread that calls it, inside of a parallel loop. */
void compute_product_alone(compute *c, real *out, size_t stride, factor a, factor b, int m, int n, int k, int add);

/* *max = max(*max, x), x = e^(x - *max); returns the sum of x. */
real compute_softmax(const compute *c, real *x, int n, real *max);

/* out = silu(a) * b, silu(z) = z / (1 + e^-z); and the gradients of a and b given that of out. */
void compute_swiglu(const compute *c, real *out, const real *a, const real *b, int n);
void compute_swiglu_back(const compute *c, real *restrict da, real *restrict db, const real *restrict dout,
                         const real *restrict a, const real *restrict b, int n);

#endif
