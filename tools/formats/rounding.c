/* rounding.c - contract in rounding.h. What is done, for each row by itself:
 *
 *   target    t = w + 1/2 (w D + R) / H         D: sum of (x - y) y', R of (what the result lacks already) y'
 *   columns   one after the other becomes the nearest value of what it should be, given the errors of those before it
 *             (GPTQ, arXiv:2210.17323); a group's scale is looked for when its turn comes
 *   refit     the scales that fit the codes best: a system of equations as large as the row has groups
 *   descend   each code becomes the best one, given all others
 *
 * H here is the sum of y y', divided by the mean of its diagonal, with something added to that: see rounding_prepare.
 * H = V V' with V upper triangular says all that the first two steps need. The loss (t - q) H (t - q)' is the square of
 * (t - q) V, whose column j is e_j V_jj + sum over i < j of e_i V_ij: zero if e_j takes back what stands in the sum.
 *
 * Nearly all of the time goes into products of matrices: columns are taken in blocks, and what blocks before, or all
 * others, mean for one is a product. What is left is plain loops within a block.
 */
#include "rounding.h"
#include "../shared/inside.h"
#include "../shared/numbers.h"
#include "encode.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 256, /* columns */
    ROWS = 192,  /* that a thread takes: whole tiles, and whole blocks of a kernel */
    SOME = 48,   /* of them, whose systems are held at once */
    GROUP = INSIDE_Q4_GROUP,
    ROUNDS = 2,
    PASSES = 2 /* of refit; of descend in each */
};

typedef struct {    /* of one thread: some rows */
    float *t;       /* (ROWS, cols) target */
    float *e;       /* (ROWS, cols) what is left of it: t - q */
    float *th;      /* (ROWS, cols) t H */
    float *value;   /* (ROWS, cols) the codes' numbers of the book */
    float *block;   /* (ROWS, BLOCK) */
    float *left;    /* (ROWS, GROUP) or (groups) */
    float *scale;   /* (ROWS, groups) unit * units */
    float *system;  /* (SOME, groups (groups + 1) / 2) lower triangles */
    float *product; /* (SOME, cols) */
    double *factor; /* the same triangle, (groups) behind it */
    float unit[ROWS];
    signed char *units;   /* (ROWS, groups) */
    unsigned char *codes; /* (ROWS, cols) */
} workspace;

struct rounding {
    compute *c;
    int cols, groups;
    int count, crossed; /* inputs so far; whether x was known */
    float *h;           /* (cols, cols) */
    float *v;           /* (cols, cols) upper triangle */
    float *d;           /* (cols, cols) */
    float *inverse;     /* (cols, BLOCK) of V's blocks on the diagonal, upper triangles */
    float *weight;      /* (cols) diagonal of h */
    float *difference;  /* (SLICE, cols) x - y */
    float *column;      /* (cols, BLOCK) */
    float scaling;      /* what the sums were multiplied by */
    workspace *work;    /* (threads) */
    char *memory;
};
enum { SLICE = 512 };

static size_t sum_sizes(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

/* Takes room for so many items at a cache line's boundary; with base NULL it only counts. */
static void *carve(char *base, size_t *at, uint64_t count, size_t size) {
    const uint64_t bytes = mul_size(count, size);
    const size_t begin = *at;
    *at = bytes > SIZE_MAX / 2 ? SIZE_MAX : sum_sizes(begin, ((size_t)bytes + 63) / 64 * 64);
    return base ? base + begin : NULL;
}

static void lay_out_work(workspace *w, int cols, char *base, size_t *at) {
    const uint64_t n = (uint64_t)cols, groups = (n + GROUP - 1) / GROUP, triangle = groups * (groups + 1) / 2;
    w->t = carve(base, at, ROWS * n, sizeof(float));
    w->e = carve(base, at, ROWS * n, sizeof(float));
    w->th = carve(base, at, ROWS * n, sizeof(float));
    w->value = carve(base, at, ROWS * n, sizeof(float));
    w->block = carve(base, at, ROWS * BLOCK, sizeof(float));
    w->left = carve(base, at, groups > ROWS * GROUP ? groups : ROWS * GROUP, sizeof(float));
    w->scale = carve(base, at, ROWS * groups, sizeof(float));
    w->system = carve(base, at, SOME * triangle, sizeof(float));
    w->product = carve(base, at, SOME * n, sizeof(float));
    w->factor = carve(base, at, triangle + groups, sizeof(double));
    w->units = carve(base, at, ROWS * groups, 1);
    w->codes = carve(base, at, ROWS * n, 1);
}

static size_t lay_out(rounding *r, int cols, int threads, char *base) {
    const uint64_t n = (uint64_t)cols;
    size_t at = 0;
    workspace unused;
    r->h = carve(base, &at, n * n, sizeof(float));
    r->v = carve(base, &at, n * n, sizeof(float));
    r->d = carve(base, &at, n * n, sizeof(float));
    r->inverse = carve(base, &at, n * BLOCK, sizeof(float));
    r->column = carve(base, &at, n * BLOCK, sizeof(float));
    r->weight = carve(base, &at, n, sizeof(float));
    r->difference = carve(base, &at, SLICE * n, sizeof(float));
    r->work = carve(base, &at, (uint64_t)threads, sizeof(workspace));
    for (int i = 0; i < threads && at < SIZE_MAX; i++) lay_out_work(base ? &r->work[i] : &unused, cols, base, &at);
    return at;
}

size_t rounding_bytes(int cols, int threads) {
    rounding r;
    return sum_sizes(lay_out(&r, cols, threads, NULL), 64);
}

rounding *rounding_create(compute *c, int cols) {
    const size_t bytes = rounding_bytes(cols, compute_threads(c));
    rounding *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->memory = bytes < SIZE_MAX ? malloc(bytes) : NULL;
    if (!r->memory) return free(r), NULL;
    lay_out(r, cols, compute_threads(c), r->memory + (64 - (uintptr_t)r->memory % 64));
    r->c = c, r->cols = cols, r->groups = (cols + GROUP - 1) / GROUP;
    return r;
}

void rounding_free(rounding *r) {
    if (r) free(r->memory);
    free(r);
}

/* ---- Inputs ---- */

void rounding_begin(rounding *r) { r->count = r->crossed = 0; }

/* The sums of y y', of which only blocks from the diagonal on are needed, and of (x - y) y'. */
void rounding_add(rounding *r, const float *y, const float *x, size_t stride, int count) {
    const size_t n = (size_t)r->cols;
    if (count < 1) return;
    for (int i = 0, width; i < r->cols; i += width) {
        width = r->cols - i < 2 * BLOCK ? r->cols - i : 2 * BLOCK;
        compute_product(r->c, r->h + (size_t)i * n + (size_t)i, n, turned(y + i, stride), as_is(y + i, stride), width,
                        r->cols - i, count, r->count > 0);
    }
    for (int first = 0, some; x && first < count; first += some) {
        some = count - first < SLICE ? count - first : SLICE;
        for (size_t t = 0; t < (size_t)some; t++)
            for (size_t k = 0; k < n; k++)
                r->difference[t * n + k] = x[((size_t)first + t) * stride + k] - y[((size_t)first + t) * stride + k];
        compute_product(r->c, r->d, n, turned(r->difference, n), as_is(y + (size_t)first * stride, stride), r->cols,
                        r->cols, some, r->crossed);
        r->crossed = 1;
    }
    r->count += count;
}

/* ---- H = V V' ---- */

/* A block on the diagonal, (n, n) at v: becomes its factor, and inverse that one's inverse. 0, or -1 if it has none. */
static int factor_block(float *v, size_t stride, int n, float *inverse) {
    static const double least = 1e-9; /* the diagonal was about 1 */
    for (int j = n - 1; j >= 0; j--) {
        const float *row = v + (size_t)j * stride;
        double sum = row[j];
        for (int k = j + 1; k < n; k++) sum -= (double)row[k] * row[k];
        if (!(sum > least && sum <= FLT_MAX)) return -1;
        const double pivot = sqrt(sum);
        v[(size_t)j * stride + (size_t)j] = (float)pivot;
        for (int i = 0; i < j; i++) {
            float *other = v + (size_t)i * stride;
            double dot = other[j];
            for (int k = j + 1; k < n; k++) dot -= (double)other[k] * row[k];
            other[j] = (float)(dot / pivot);
        }
    }
    for (int i = n - 1; i >= 0; i--) { /* row i of the inverse: what makes row i of V times it that of 1 */
        const float *row = v + (size_t)i * stride;
        double sum[BLOCK] = {0};
        for (int k = i + 1; k < n; k++)
            for (int j = k; j < n; j++) sum[j] -= (double)row[k] * inverse[k * BLOCK + j];
        for (int j = 0; j < n; j++) inverse[i * BLOCK + j] = (float)(j < i ? 0 : ((j == i ? 1 : sum[j]) / row[i]));
    }
    return 0;
}

/* From the last block of columns to the first: what those behind it explain is taken off, the rest is its own. */
static int factor_all(rounding *r) {
    const int n = r->cols, last = (n - 1) / BLOCK * BLOCK;
    const size_t stride = (size_t)n;
    for (int j = last; j >= 0; j -= BLOCK) {
        const int end = n - j < BLOCK ? n : j + BLOCK, width = end - j;
        float *column = r->column, *inverse = r->inverse + (size_t)j * BLOCK;
        if (end < n)
            compute_product(r->c, column, BLOCK, as_is(r->v + end, stride),
                            turned(r->v + (size_t)j * stride + (size_t)end, stride), end, width, n - end, 0);
        for (int i = 0; end < n && i < end; i++)
            for (int k = 0; k < width; k++) r->v[(size_t)i * stride + (size_t)(j + k)] -= column[i * BLOCK + k];
        if (factor_block(r->v + (size_t)j * stride + (size_t)j, stride, width, inverse)) return -1;
        for (int i = 0; i < j; i++)
            memcpy(column + (size_t)i * BLOCK, r->v + (size_t)i * stride + (size_t)j, (size_t)width * sizeof *column);
        if (j)
            compute_product(r->c, r->v + j, stride, as_is(column, BLOCK), turned(inverse, BLOCK), j, width, width, 0);
    }
    return 0;
}

/* To the diagonal is added what keeps noise out: of few inputs for so many columns more is noise. A hundredth is what
 * GPTQ adds, and right for thousands of inputs; below that it was measured to be far too little, on austen.llama: of
 * 512 tokens, KL is 0.0126 with a hundredth and 0.0058 with this, 0.0081 to nearest. */
int rounding_prepare(rounding *r) {
    const size_t n = (size_t)r->cols;
    double sum = 0;
    if (!r->count) return -1;
    for (size_t i = 0; i < n; i++) sum += r->h[i * n + i];
    r->scaling = (float)((double)n / sum);
    if (!(sum > 1e-30 && sum <= FLT_MAX && r->scaling > 0)) return -1;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++) r->h[i * n + j] *= r->scaling, r->h[j * n + i] = r->h[i * n + j];
    for (size_t i = 0; r->crossed && i < n * n; i++) r->d[i] *= r->scaling;
    float added = 0, damping = 2 * (float)r->cols / (float)r->count;
    if (damping < 0.01f) damping = 0.01f;
    for (int i = 0; i < 4; i++, damping *= 10) {
        for (size_t k = 0; k < n; k++) r->h[k * n + k] += damping - added, r->weight[k] = r->h[k * n + k];
        added = damping;
        memcpy(r->v, r->h, n * n * sizeof *r->v);
        if (!factor_all(r)) return 0;
    }
    return -1;
}

/* ---- Target ---- */

/* e / H, in place: e / V' from the last block to the first, then / V from the first to the last. */
static void solve(const rounding *r, workspace *w, int rows) {
    const int n = r->cols, last = (n - 1) / BLOCK * BLOCK;
    const size_t stride = (size_t)n;
    for (int step = 0, blocks = last / BLOCK + 1; step < 2 * blocks; step++) {
        const int back = step < blocks, j = back ? last - step * BLOCK : (step - blocks) * BLOCK;
        const int end = n - j < BLOCK ? n : j + BLOCK, width = end - j, known = back ? n - end : j;
        const float *inverse = r->inverse + (size_t)j * BLOCK, *at = r->v + (size_t)j * stride + (size_t)end;
        if (known)
            compute_product_alone(r->c, w->block, BLOCK, as_is(back ? w->e + end : w->e, stride),
                                  back ? turned(at, stride) : as_is(r->v + j, stride), rows, width, known, 0);
        for (int i = 0; i < rows; i++)
            for (int k = 0; k < width; k++)
                w->block[i * BLOCK + k] =
                    w->e[(size_t)i * stride + (size_t)(j + k)] - (known ? w->block[i * BLOCK + k] : 0);
        compute_product_alone(r->c, w->e + j, stride, as_is(w->block, BLOCK),
                              back ? turned(inverse, BLOCK) : as_is(inverse, BLOCK), rows, width, width, 0);
    }
}

/* t of rows that are numbers, in the place of w. Half of what would take back all errors of earlier layers: they were
 * seen on these inputs only, and the whole has been measured to be worse. */
static void make_target(const rounding *r, workspace *w, const float *residual, int rows) {
    const size_t n = (size_t)r->cols, count = (size_t)rows * n;
    if (!residual && !r->crossed) return;
    for (size_t i = 0; i < count; i++) w->e[i] = residual ? residual[i] * r->scaling : 0;
    if (r->crossed) compute_product_alone(r->c, w->e, n, as_is(w->t, n), as_is(r->d, n), rows, r->cols, r->cols, 1);
    solve(r, w, rows);
    for (size_t i = 0; i < count; i++) w->t[i] += 0.5f * w->e[i];
}

/* ---- Columns ---- */

static void first_units(const rounding *r, workspace *w, int rows) {
    for (int i = 0; i < rows; i++) {
        float largest = 0;
        for (int g = 0, k = 0; g < r->groups; g++, k += GROUP) {
            const int n = r->cols - k < GROUP ? r->cols - k : GROUP;
            const float scale = fabsf(encode_scale(w->t + (size_t)i * (size_t)r->cols + k, r->weight + k, n));
            if (!(scale <= largest)) largest = scale;
        }
        w->unit[i] = encode_unit(largest);
    }
}

/* Columns [k, k + n) of row i, one group, which should be left (n): each error is taken back by those behind it, as the
 * inverse U of V says. */
static void round_group(const rounding *r, workspace *w, int i, int k, int n, const float *inverse, float *left) {
    const size_t at = (size_t)i * (size_t)r->cols + (size_t)k, g = (size_t)i * (size_t)r->groups + (size_t)(k / GROUP);
    w->units[g] = (signed char)encode_units(encode_scale(left, r->weight + k, n), w->unit[i]);
    const float scale = w->scale[g] = w->unit[i] * (float)w->units[g], by = scale != 0 ? 1 / scale : 0;
    for (int j = 0; j < n; j++, inverse += BLOCK) {
        const int code = encode_nearest(left[j] * by);
        const float value = encode_book[code], error = (left[j] - value * scale) / inverse[j];
        w->codes[at + (size_t)j] = (unsigned char)code, w->value[at + (size_t)j] = value;
        w->e[at + (size_t)j] = w->t[at + (size_t)j] - value * scale;
        for (int l = j + 1; l < n; l++) left[l] -= error * inverse[l];
    }
}

static void round_columns(const rounding *r, workspace *w, int rows) {
    const size_t stride = (size_t)r->cols;
    for (int j = 0, width; j < r->cols; j += width) {
        width = r->cols - j < BLOCK ? r->cols - j : BLOCK;
        if (j)
            compute_product_alone(r->c, w->block, BLOCK, as_is(w->e, stride), as_is(r->v + j, stride), rows, width, j,
                                  0);
        else memset(w->block, 0, ROWS * BLOCK * sizeof *w->block);
        for (int o = 0, n; o < width; o += n) {
            const float *inverse = r->inverse + (size_t)(j + o) * BLOCK + o;
            n = width - o < GROUP ? width - o : GROUP;
            if (o)
                compute_product_alone(r->c, w->block + o, BLOCK, as_is(w->e + j, stride),
                                      as_is(r->v + (size_t)j * stride + (size_t)(j + o), stride), rows, n, o, 1);
            compute_product_alone(r->c, w->left, GROUP, as_is(w->block + o, BLOCK), as_is(inverse, BLOCK), rows, n, n,
                                  0);
            for (int i = 0; i < rows; i++) {
                float *left = w->left + i * GROUP;
                for (int k = 0; k < n; k++) left[k] += w->t[(size_t)i * stride + (size_t)(j + o + k)];
                round_group(r, w, i, j + o, n, inverse, left);
            }
        }
    }
}

/* ---- Scales that fit the codes, codes that fit the scales ---- */

static double dot(const double *a, const double *b, int n) {
    double lane[4] = {0};
    int i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++) lane[j] += a[i + j] * b[i + j];
    for (; i < n; i++) lane[0] += a[i] * b[i];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* x of A x = b, A a lower triangle row by row, in place of b. 0, or -1 if it has none. */
static int solve_system(double *a, double *b, int n) {
    double *row = a;
    for (int i = 0; i < n; row += ++i) { /* A = L L', and L z = b on the way */
        double *other = a;
        for (int j = 0; j < i; other += ++j) row[j] = (row[j] - dot(row, other, j)) / other[j];
        const double pivot = row[i] - dot(row, row, i);
        if (!(pivot > 0)) return -1;
        row[i] = sqrt(pivot);
        b[i] = (b[i] - dot(row, b, i)) / row[i];
    }
    for (int i = n - 1; i >= 0; i--) { /* L' x = z */
        row -= i + 1;
        b[i] /= row[i];
        for (int j = 0; j < i; j++) b[j] -= row[j] * b[i];
    }
    return 0;
}

/* out[g] = sum of a b over the columns of each group from the first on. */
static void dot_groups(float *out, const float *a, const float *b, int cols) {
    for (int k = 0; k < cols; k += GROUP) {
        const int n = cols - k < GROUP ? cols - k : GROUP;
        float lane[8] = {0};
        int i = 0;
        for (; i + 8 <= n; i += 8)
            for (int j = 0; j < 8; j++) lane[j] += a[k + i + j] * b[k + i + j];
        for (; i < n; i++) lane[0] += a[k + i] * b[k + i];
        *out++ = ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    }
}

/* The systems of some rows: A[g][f] = c_g H c_f', c_g the numbers of group g, zeros around. What is computed of a group
 * g is its products with all f >= g, which are column g of the triangle. */
static void make_systems(const rounding *r, workspace *w, int first, int rows) {
    const size_t stride = (size_t)r->cols, triangle = (size_t)r->groups * (size_t)(r->groups + 1) / 2;
    for (int g = 0, k = 0; g < r->groups; g++, k += GROUP) {
        const int n = r->cols - k < GROUP ? r->cols - k : GROUP, behind = r->cols - k;
        compute_product_alone(r->c, w->product, stride, as_is(w->value + (size_t)first * stride + (size_t)k, stride),
                              as_is(r->h + (size_t)k * stride + (size_t)k, stride), rows, behind, n, 0);
        for (int i = 0; i < rows; i++) {
            const float *value = w->value + (size_t)(first + i) * stride + (size_t)k;
            float *column = w->left, *to = w->system + (size_t)i * triangle;
            dot_groups(column, w->product + (size_t)i * stride, value, behind);
            for (int f = g; f < r->groups; f++) to[(size_t)f * (size_t)(f + 1) / 2 + (size_t)g] = column[f - g];
        }
    }
}

/* Scales, then their unit and whole numbers of it; codes stay. */
static void refit(const rounding *r, workspace *w, int rows) {
    const size_t stride = (size_t)r->cols, groups = (size_t)r->groups, triangle = groups * (groups + 1) / 2;
    double *a = w->factor, *b = a + triangle;
    for (int first = 0, some; first < rows; first += some) {
        some = rows - first < SOME ? rows - first : SOME;
        make_systems(r, w, first, some);
        for (int i = first; i < first + some; i++) {
            float *scale = w->scale + (size_t)i * groups, largest = 0, *right = w->left;
            double mean = 0;
            dot_groups(right, w->th + (size_t)i * stride, w->value + (size_t)i * stride, r->cols);
            for (size_t g = 0; g < triangle; g++) a[g] = w->system[(size_t)(i - first) * triangle + g];
            for (size_t g = 0; g < groups; g++) mean += a[g * (g + 3) / 2] / (double)groups, b[g] = right[g];
            for (size_t g = 0; g < groups; g++) a[g * (g + 3) / 2] += 1e-9 * mean;
            if (solve_system(a, b, r->groups)) continue;
            for (size_t g = 0; g < groups; g++) largest = fabs(b[g]) <= largest ? largest : (float)fabs(b[g]);
            if (!(largest <= FLT_MAX)) continue;
            w->unit[i] = encode_unit(largest);
            for (size_t g = 0; g < groups; g++) {
                w->units[(size_t)i * groups + g] = (signed char)encode_units((float)b[g], w->unit[i]);
                scale[g] = w->unit[i] * (float)w->units[(size_t)i * groups + g];
            }
        }
    }
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t k = 0; k < stride; k++)
            w->e[i * stride + k] = w->t[i * stride + k] - w->scale[i * groups + k / GROUP] * w->value[i * stride + k];
}

/* Columns [k, k + n) of row i, with g (n) = e H there: a code moves if another is better, and g with it. */
static void descend_row(const rounding *r, workspace *w, int i, int k, int n, float *g) {
    const size_t stride = (size_t)r->cols;
    for (int j = 0; j < n; j++) {
        const size_t col = (size_t)(k + j), at = (size_t)i * stride + col;
        const float *h = r->h + col * stride, scale = w->scale[(size_t)i * (size_t)r->groups + col / GROUP];
        const float v = w->value[at] + g[j] / (h[col] * scale);
        const int code = w->codes[at];
        if (scale == 0 ||
            ((code == 0 || v >= encode_border[code - 1]) && (code == ENCODE_CODES - 1 || v < encode_border[code])))
            continue;
        const int next = encode_nearest(v);
        const float step = (encode_book[next] - w->value[at]) * scale;
        w->codes[at] = (unsigned char)next, w->value[at] = encode_book[next], w->e[at] -= step;
        for (int l = j + 1; l < n; l++) g[l] -= step * h[k + l];
    }
}

static void descend(const rounding *r, workspace *w, int rows) {
    const size_t stride = (size_t)r->cols;
    for (int j = 0, width; j < r->cols; j += width) {
        width = r->cols - j < BLOCK ? r->cols - j : BLOCK;
        compute_product_alone(r->c, w->block, BLOCK, as_is(w->e, stride), as_is(r->h + j, stride), rows, width, r->cols,
                              0);
        for (int i = 0; i < rows; i++) descend_row(r, w, i, j, width, w->block + i * BLOCK);
    }
}

/* ---- Rows ---- */

static int all_numbers(const float *x, size_t n) {
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * 0;
    return sum == 0;
}

/* Row i of a workspace, by itself if it is no number: into its tile, and as float. */
static void put_row(const rounding *r, const workspace *w, int i, const float *from, float *q, unsigned char *tile) {
    const size_t n = (size_t)r->cols, at = (size_t)i * n, groups = (size_t)r->groups;
    const int good = all_numbers(from, n) && all_numbers(w->e + at, n) && w->unit[i] <= FLT_MAX;
    if (good) encode_put(tile, r->cols, i % INSIDE_TILE, w->unit[i], w->units + (size_t)i * groups, w->codes + at);
    else encode_row(INSIDE_Q4, from, r->cols, i % INSIDE_TILE, tile);
    inside_decode_tile(INSIDE_Q4, tile, i % INSIDE_TILE, r->cols, q);
    for (size_t k = 0; k < n; k++) q[k] = q[k] == q[k] ? q[k] : 0; /* so that what follows still says something */
}

typedef struct {
    const rounding *r;
    const rounding_rows *rows;
} job;

static void round_some(const void *work, int begin, int end) {
    const job *j = work;
    const rounding *r = j->r;
    const size_t n = (size_t)r->cols, tile_bytes = inside_tile_bytes(INSIDE_Q4, r->cols);
    workspace *w = &r->work[compute_thread()];
    for (int b = begin; b < end; b++) {
        const int first = b * ROWS, rows = j->rows->rows - first < ROWS ? j->rows->rows - first : ROWS;
        const float *from = j->rows->w + (size_t)first * n, *residual = j->rows->residual;
        for (int i = 0; i < rows; i++)
            if (all_numbers(from + (size_t)i * n, n))
                memcpy(w->t + (size_t)i * n, from + (size_t)i * n, n * sizeof *from);
            else memset(w->t + (size_t)i * n, 0, n * sizeof *from);
        make_target(r, w, residual ? residual + (size_t)first * n : NULL, rows);
        first_units(r, w, rows);
        round_columns(r, w, rows);
        compute_product_alone(r->c, w->th, n, as_is(w->t, n), as_is(r->h, n), rows, r->cols, r->cols, 0);
        for (int round = 0; round < ROUNDS; round++) {
            refit(r, w, rows);
            for (int pass = 0; pass < PASSES; pass++) descend(r, w, rows);
        }
        for (int i = 0; i < rows; i++) {
            unsigned char *tile = j->rows->tiles + (size_t)((first + i) / INSIDE_TILE) * tile_bytes;
            if (i % INSIDE_TILE == 0) memset(tile, 0, tile_bytes);
            put_row(r, w, i, from + (size_t)i * n, j->rows->q + (size_t)(first + i) * n, tile);
        }
    }
}

void rounding_round(rounding *r, const rounding_rows *rows) {
    const job j = {r, rows};
    compute_parallel(r->c, (rows->rows + ROWS - 1) / ROWS, round_some, &j);
}
