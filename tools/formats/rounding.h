/* rounding.h - q4 of a matrix whose inputs are known: which codes lose least of what it gives.
 *
 * With w a row of the matrix, q what it becomes and y its inputs, what is lost of a product is (w - q) y; its mean
 * square is (w - q) H (w - q)', H the mean of y y'. So errors of one column can be taken back by others, as far as
 * their inputs go together. And where y are the inputs in a model whose earlier layers are rounded already, x what they
 * were before, a row t in the place of w can take back some of that too.
 */
#ifndef ROUNDING_H
#define ROUNDING_H

#include "../shared/compute.h"

#include <stddef.h>

typedef struct rounding rounding; /* for matrices of so many columns; all threads of a compute work on it */

rounding *rounding_create(compute *c, int cols); /* NULL without memory */
void rounding_free(rounding *r);                 /* NULL is allowed */
size_t rounding_bytes(int cols, int threads);    /* that it takes; SIZE_MAX: too many */

/* Forgets all inputs; then takes count of them after those it has: y (count, stride), and x, what they were before; or
 * NULL where that is not known. */
void rounding_begin(rounding *r);
void rounding_add(rounding *r, const float *y, const float *x, size_t stride, int count);

/* After the inputs, before the matrices. 0; -1 if they say nothing: they are none, or zeros, or no numbers. */
int rounding_prepare(rounding *r);

typedef struct {           /* some rows of a matrix, from the beginning of a tile on */
    const float *w;        /* (rows, cols) */
    const float *residual; /* (rows, cols) sum of l y' over the inputs, l what the products' sums lack; NULL: 0 */
    float *q;              /* (rows, cols) what w becomes */
    unsigned char *tiles;  /* the same, as INSIDE_Q4 */
    int rows;
} rounding_rows;

/* A row that is no number becomes what the writer makes of it, and zeros in q. The same bits for
 * any number of threads. */
void rounding_round(rounding *r, const rounding_rows *rows);

#endif
