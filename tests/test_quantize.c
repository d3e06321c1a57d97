/* test_quantize.c - q4: its encoder against the same search in double precision and plain loops; and calibration, which
 * rounds by what goes through a model: that it helps, that what it says of the change is so, and what it does where
 * there is nothing to learn from.
 */
#include "../tools/formats/calibrate.h"
#include "../tools/formats/encode.h"
#include "../tools/formats/rounding.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/numbers.h"
#include "test.h"

#include <float.h>

#include "checkpoint.c"
#include "models.c"
#include "kinds.c"
#include "reference.c"

static llama_error err;

/* ---- The encoder ---- */

static double next_to(double v) { /* of two as near, the larger */
    double best = encode_book[0];
    for (int i = 1; i < ENCODE_CODES; i++)
        if (fabs(v - encode_book[i]) <= fabs(v - best)) best = encode_book[i];
    return best;
}

/* What a scale takes off the squared error once it is fitted to its codes, and that one. */
static double fitted(const float *x, const float *weight, int n, double inverse, double *scale) {
    double xc = 0, cc = 0;
    for (int i = 0; i < n; i++) {
        const double c = next_to(x[i] * inverse), w = weight ? weight[i] : 1;
        xc += w * x[i] * c, cc += w * c * c;
    }
    *scale = cc > 0 ? xc / cc : 0;
    return *scale * xc;
}

static double search(const float *x, const float *weight, int n) {
    double top = 0, most = 0, best = 0, scale;
    for (int i = 0; i < n; i++) top = fmax(top, fabs((double)x[i]));
    for (int i = 0; i < 14 && top > 0; i++) {
        const double gain = fitted(x, weight, n, (i % 2 ? -1 : 1) * (0.8 + 0.05 * (i / 2)) * 63 / top, &scale);
        if (gain > most) most = gain, best = scale;
    }
    if (best != 0 && fitted(x, weight, n, 1 / best, &scale) > most) best = scale;
    return best;
}

static double error_of(const float *x, const float *weight, int n, double scale) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const double e = x[i] - (scale != 0 ? scale * next_to(x[i] / scale) : 0);
        sum += (weight ? weight[i] : 1) * e * e;
    }
    return sum;
}

static void some_weights(float *x, int n, double size, uint64_t *seed) { /* nearly Gaussian */
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < 6; j++) sum += random_real(seed, -1, 1);
        x[i] = (float)(size * sum);
    }
}

static void test_scale(void) {
    TEST("q4: book and borders are llama.c's values and the middles between them") {
        for (int i = 0; i < ENCODE_CODES; i++) CHECK(encode_book[i] == inside_q4_values()[i]);
        for (int i = 0; i + 1 < ENCODE_CODES; i++) CHECK(2 * encode_border[i] == encode_book[i] + encode_book[i + 1]);
        for (float v = -70; v < 70; v += 0.25f) CHECK(encode_book[encode_nearest(v)] == next_to(v));
    }
    TEST("q4: a group's scale is the best of those tried, with and without weights") {
        uint64_t seed = 1;
        int other = 0;
        for (int i = 0; i < (SLOW ? 600 : 3000); i++) {
            float x[INSIDE_Q4_GROUP], weight[INSIDE_Q4_GROUP];
            const int n = i % 3 ? INSIDE_Q4_GROUP : random_int(&seed, 1, INSIDE_Q4_GROUP);
            const double size = pow(10, random_real(&seed, -25, 30));
            some_weights(x, n, size, &seed);
            for (int k = 0; k < n; k++) weight[k] = (float)random_real(&seed, 0, 3);
            const float *w = i % 2 ? weight : NULL;
            const double got = encode_scale(x, w, n), want = search(x, w, n);
            other += !(fabs(got - want) <= 1e-5 * fabs(want));
            CHECK(error_of(x, w, n, got) <= 1.05 * error_of(x, w, n, want) + 1e-12 * size * size);
        }
        if (!CHECK(other <= 30)) printf("  %d scales are others\n", other); /* ties that rounding decides */
    }
}

/* Decodes a tile by the layout's words: a line of units; then for four groups a line of scales and their lines. */
static double value_at(const unsigned char *tile, int r, int k) {
    const int g = k / 32, j = k % 32;
    const unsigned char *bundle = tile + 64 + g / 4 * (64 + 4 * 256), *line = bundle + 64 + g % 4 * 256 + j / 8 * 64;
    const int code = line[4 * r + j % 4] >> (j % 8 < 4 ? 0 : 4) & 15;
    return (double)get_f32(tile + 4 * r) * (signed char)bundle[g % 4 * 16 + r] * inside_q4_values()[code];
}

/* What encode_tile makes of a row: its unit, scales and codes come of the search alone. */
static int wrong_values(const float *x, int cols, const unsigned char *tile, int r, const float *decoded) {
    double scale[64], largest = 0, error = 0, best = 0;
    int bad = 0;
    for (int k = 0; k < cols; k += 32) {
        scale[k / 32] = search(x + k, NULL, cols - k < 32 ? cols - k : 32);
        largest = fmax(largest, fabs(scale[k / 32]));
    }
    for (int k = 0; k < cols; k++) {
        const double unit = largest / 127, s = unit > 0 ? unit * rint(scale[k / 32] / unit) : 0;
        const double want = s != 0 ? s * next_to(x[k] / s) : 0;
        error += (x[k] - decoded[k]) * (x[k] - (double)decoded[k]), best += (x[k] - want) * (x[k] - want);
        bad += !(fabs(value_at(tile, r, k) - decoded[k]) <= 1e-6 * fabs((double)decoded[k]));
    }
    return bad + !(error <= 1.003 * best + 1e-8 * largest * largest);
}

static void test_tiles(void) {
    static const int columns[] = {1, 31, 32, 33, 96, 127, 128, 129, 172, 256, 320, 1000};
    TEST("q4: tiles, of rows by the search, as they are described") {
        uint64_t seed = 2;
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
            const int n = columns[c], count = c % 2 ? 16 : 11;
            const size_t bytes = inside_tile_bytes(INSIDE_Q4, n), bundles = (size_t)(n + 127) / 128;
            static float x[16 * 1000], row[1000];
            unsigned char *tile = xmalloc(bytes);
            int bad = 0;
            CHECK(bytes == 64 + 64 * bundles + 256 * (size_t)((n + 31) / 32));
            for (int r = 0; r < count; r++) some_weights(x + r * n, n, pow(10, random_real(&seed, -4, 2)), &seed);
            encode_tile(INSIDE_Q4, x, count, n, tile);
            for (int r = 0; r < 16; r++) {
                inside_decode_tile(INSIDE_Q4, tile, r, n, row);
                if (r < count) bad += wrong_values(x + r * n, n, tile, r, row);
                else
                    for (int k = 0; k < n; k++) bad += row[k] != 0;
            }
            for (int k = (n + 31) / 32; k < (int)bundles * 4; k++) /* scales of groups that are not there */
                for (int r = 0; r < 16; r++) bad += tile[64 + k / 4 * (64 + 1024) + k % 4 * 16 + r] != 0;
            if (!CHECK(bad == 0)) printf("  %d columns\n", n);
            free(tile);
        }
    }
}

/* A row of n values, all but [at] of size, into row 3 of a tile; *tile_row as it is decoded. */
static void encode_one(const float *x, int n, float *row) {
    static float rows[16 * 128];
    static unsigned char tile[8192];
    uint64_t seed = 3;
    some_weights(rows, 16 * n, 1, &seed);
    memcpy(rows + 3 * n, x, (size_t)n * sizeof *x);
    encode_tile(INSIDE_Q4, rows, 16, n, tile);
    for (int r = 0; r < 16; r++) { /* what is in a row spoils no other */
        inside_decode_tile(INSIDE_Q4, tile, r, n, row);
        for (int k = 0; r != 3 && k < n; k++) CHECK(fabsf(row[k] - rows[r * n + k]) < 1);
    }
    inside_decode_tile(INSIDE_Q4, tile, 3, n, row);
}

static void test_extremes(void) {
    enum { N = 100 };
    float x[N] = {0}, row[N];
    TEST("q4: zeros stay zeros, next to nothing becomes that") {
        encode_one(x, N, row);
        for (int k = 0; k < N; k++) CHECK(row[k] == 0);
        for (int k = 0; k < N; k++) x[k] = k % 2 ? 1e-42f : -FLT_MIN;
        encode_one(x, N, row);
        for (int k = 0; k < N; k++) CHECK(row[k] == 0);
        for (int k = 0; k < N; k++) x[k] = k < 32 ? 0 : 1; /* a group of zeros beside others */
        encode_one(x, N, row);
        for (int k = 0; k < N; k++) CHECK_NEAR(row[k], x[k], 1e-2);
    }
    TEST("q4: one value, of either sign, and the largest numbers") {
        for (int sign = -1; sign <= 1; sign += 2)
            for (int size = 0; size < 4; size++) {
                static const float sizes[] = {FLT_MAX, 1e30f, 1, 1e-25f};
                for (int k = 0; k < N; k++) x[k] = (float)sign * sizes[size];
                encode_one(x, N, row);
                for (int k = 0; k < N; k++) CHECK_NEAR(row[k] / x[k], 1, 1e-2);
            }
    }
    TEST("q4: a huge value leaves its group the nearest scale, and the others theirs as far as units go") {
        uint64_t seed = 4;
        some_weights(x, N, 1, &seed);
        x[40] = 1e4f;
        encode_one(x, N, row);
        CHECK_NEAR(row[40], 1e4, 100);
    }
    TEST("q4: nan and infinity show in their row, and in no other") {
        static const float bad[] = {NAN, INFINITY, -INFINITY};
        for (int i = 0; i < 3; i++) {
            uint64_t seed = 5;
            some_weights(x, N, 1, &seed);
            x[70] = bad[i];
            encode_one(x, N, row);
            CHECK(isnan(row[70]));
        }
    }
}

/* ---- Rounding by inputs ---- */

enum { ROWS = 40, COLS = 300, TOKENS = 900, REPEATS = 70 }; /* the same tokens so often: many, for little damping */

typedef struct {
    float w[ROWS * COLS], x[TOKENS * COLS], y[TOKENS * COLS], lacks[TOKENS * ROWS], residual[ROWS * COLS];
    double h[COLS][COLS], target[ROWS][COLS];
} inputs;

/* Inputs of a few directions more than others; y and x differ; what the stream lacks goes with y. */
static void make_inputs(inputs *in, uint64_t *seed) {
    static float mix[12 * COLS];
    some_weights(mix, 12 * COLS, 1, seed), some_weights(in->w, ROWS * COLS, 0.05, seed);
    memset(in->residual, 0, sizeof in->residual);
    for (int t = 0; t < TOKENS; t++) {
        float *x = in->x + t * COLS, *y = in->y + t * COLS, *lacks = in->lacks + t * ROWS;
        some_weights(x, COLS, 1, seed), some_weights(lacks, ROWS, 0.3, seed);
        for (int m = 0; m < 12; m++)
            for (int k = 0, by = random_int(seed, -2, 2); k < COLS; k++) x[k] += (float)by * mix[m * COLS + k];
        for (int k = 0; k < COLS; k++) y[k] = 0.8f * x[k] + 0.1f * x[(k + 1) % COLS];
        for (int r = 0; r < ROWS; r++) {
            lacks[r] += 0.1f * y[r];
            for (int k = 0; k < COLS; k++) in->residual[r * COLS + k] += REPEATS * lacks[r] * y[k];
        }
    }
}

/* target = w + 1/2 (w D + R) / H, by elimination, with H as rounding.c has it. */
static void make_target(inputs *in, int known) {
    static double a[COLS][COLS + ROWS], d[COLS][COLS];
    double mean = 0;
    memset(in->h, 0, sizeof in->h), memset(d, 0, sizeof d), memset(a, 0, sizeof a);
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < COLS; i++)
            for (int j = 0; j < COLS; j++) {
                const double x = in->x[t * COLS + i], y = in->y[t * COLS + i], z = in->y[t * COLS + j];
                in->h[i][j] += y * z, d[i][j] += (x - y) * z;
            }
    for (int i = 0; i < COLS; i++) mean += in->h[i][i] / COLS;
    for (int i = 0; i < COLS; i++) in->h[i][i] += 0.01 * mean;
    for (int i = 0; i < COLS; i++) {
        memcpy(a[i], in->h[i], sizeof in->h[i]);
        for (int r = 0; r < ROWS; r++) {
            a[i][COLS + r] = in->residual[r * COLS + i] / REPEATS;
            for (int k = 0; k < COLS; k++) a[i][COLS + r] += in->w[r * COLS + k] * d[k][i];
        }
    }
    for (int p = 0; p < COLS; p++) /* H is symmetric and positive: no rows need change places */
        for (int i = 0; i < COLS; i++) {
            const double by = a[i][p] / a[p][p];
            for (int j = p; i != p && j < COLS + ROWS; j++) a[i][j] -= by * a[p][j];
        }
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < COLS; k++)
            in->target[r][k] = in->w[r * COLS + k] + (known ? 0.5 * a[k][COLS + r] / a[k][k] : 0);
}

/* (target - q) H (target - q)', of all rows. */
static double loss(const inputs *in, const float *q) {
    double sum = 0;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < COLS; i++)
            for (int j = 0; j < COLS; j++)
                sum += (in->target[r][i] - q[r * COLS + i]) * in->h[i][j] * (in->target[r][j] - q[r * COLS + j]);
    return sum;
}

static double loss_nearest(const inputs *in) {
    static float x[ROWS * COLS], q[ROWS * COLS];
    unsigned char *tile = xmalloc(inside_tile_bytes(INSIDE_Q4, COLS));
    for (int i = 0; i < ROWS * COLS; i++) x[i] = (float)in->target[i / COLS][i % COLS];
    for (int r = 0; r < ROWS; r++) {
        if (r % 16 == 0) encode_tile(INSIDE_Q4, x + r * COLS, ROWS - r < 16 ? ROWS - r : 16, COLS, tile);
        inside_decode_tile(INSIDE_Q4, tile, r % 16, COLS, q + r * COLS);
    }
    free(tile);
    return loss(in, q);
}

static void test_rounding(void) {
    TEST("rounding: a fifteenth of the error of rounding to nearest is left, and each step helps") {
        static float q[ROWS * COLS], row[COLS];
        inputs *in = xmalloc(sizeof *in);
        uint64_t seed = 6;
        compute *c = compute_create(1);
        rounding *r = rounding_create(c, COLS);
        const size_t bytes = inside_tile_bytes(INSIDE_Q4, COLS);
        unsigned char *tiles = xmalloc(3 * bytes);
        make_inputs(in, &seed);
        for (int known = 0; known < 2; known++) {
            const rounding_rows rows = {in->w, known ? in->residual : NULL, q, tiles, ROWS};
            make_target(in, known);
            rounding_begin(r);
            for (int t = 0; t < REPEATS * TOKENS; t += 300)
                rounding_add(r, in->y + t % TOKENS * COLS, known ? in->x + t % TOKENS * COLS : NULL, COLS, 300);
            CHECK(!rounding_prepare(r));
            rounding_round(r, &rows);
            const double got = loss(in, q), nearest = loss_nearest(in);
            if (!CHECK(got > 0 && got < (known ? 0.069 : 0.0665) * nearest))
                printf("  %d: %g of %g\n", known, got, nearest);
            for (int i = 0; i < ROWS; i++) {
                inside_decode_tile(INSIDE_Q4, tiles + (size_t)(i / 16) * bytes, i % 16, COLS, row);
                CHECK(!memcmp(row, q + i * COLS, sizeof row));
            }
        }
        rounding_begin(r);
        CHECK(rounding_prepare(r) == -1); /* there was no input */
        memset(in->y, 0, sizeof in->y), rounding_add(r, in->y, NULL, COLS, TOKENS), CHECK(rounding_prepare(r) == -1);
        in->y[7] = INFINITY, rounding_begin(r), rounding_add(r, in->y, NULL, COLS, TOKENS);
        CHECK(rounding_prepare(r) == -1);
        rounding_free(r), compute_free(c), free(tiles), free(in);
    }
}

/* ---- Calibration ---- */

enum { LENGTH = 32, LEARNED = 24, HELD = 4 };

typedef struct {
    model *m;
    samples texts;
    calibrate_report report;
    file bytes; /* of the model as it became */
} calibrated;

static llama_config shape(int tied) {
    const llama_config f = {.dim = 64,
                            .hidden_dim = 100,
                            .n_layers = 2,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = 16,
                            .vocab_size = 90,
                            .seq_len = 64,
                            .shared_classifier = tied,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000};
    return f;
}

/* What goes through the model lies mostly in a few directions, as in one that has learned something. */
static void give_direction(model *m) {
    float *e = m->weights[TENSOR_EMBEDDING][0];
    for (int i = 0; i < m->in.config.vocab_size; i++)
        for (int d = 0; d < m->in.config.dim; d++) e[i * m->in.config.dim + d] *= d % 8 ? 2 : 10;
}

static calibrated run(model *m, int learned, int rounded, int threads) {
    calibrated c = {.m = m};
    const calibrate_input in = {&m->in, &c.texts, HELD, rounded, threads, NULL, NULL};
    if (samples_write(&c.texts, &m->in, learned + HELD, LENGTH, threads, NULL, NULL, &err)) exit((puts(err.text), 1));
    calibration *known = calibrate(&in, &c.report, &err);
    if (!known) exit((puts(err.text), 1));
    m->in.encoded = calibrate_encoded, m->in.from = known;
    c.bytes = model_file(m, NULL);
    m->in.encoded = NULL;
    calibrate_free(known);
    return c;
}

static void run_free(calibrated *c) { free(c->texts.tokens), free(c->bytes.bytes); }

/* Mean KL of one way of rounding. */
static double change(model *m, int rounded, calibrate_report *report) {
    calibrated c = run(m, LEARNED, rounded, 1);
    *report = c.report;
    run_free(&c);
    return report->kl;
}

static void test_gain(void) {
    TEST("calibration: less changes than by rounding to nearest") {
        for (int i = 0; i < 7; i++) {
            if (!TAKEN(i + 1)) continue;
            static const int extras[] = {
                0, 0, LLAMA_QKV_BIAS | LLAMA_O_BIAS, LLAMA_HEAD_NORM | LLAMA_GELU, LLAMA_POST_NORM, LLAMA_RENORMALISE,
                0};
            static const llama_layer_kind mixed[] = {{0, 0, 1}, {0, 7, 0}};
            llama_config f = shape(i % 2);
            f.extras = extras[i];
            if (i == 5) f.n_experts = 4, f.n_experts_used = 2, f.expert_dim = 40, f.layers = mixed;
            if (i == 6) f.embedding_scale = 3, f.logit_cap = 9, f.score_cap = 5;
            model *m = model_make(&f, INSIDE_Q4, 10 + (uint64_t)i);
            calibrate_report nearest, best;
            m->in.embedding_type = i < 5 ? INSIDE_Q4 : 0;
            give_direction(m);
            const double before = change(m, 0, &nearest), after = change(m, 1, &best);
            if (!CHECK(after > 0 && after < 0.8 * before)) printf("  model %d: %g to %g\n", i, before, after);
            CHECK(best.nearest == 0 && best.matrices >= 13 && nearest.matrices == 0);
            model_free(m);
        }
    }
}

/* The model's matrices as a file holds them. */
typedef struct {
    const llama_model *loaded;
} holder;

static int held_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *unused) {
    (void)unused;
    return inside_rows(((const holder *)user)->loaded, tensor, layer, first, count, out), 0;
}

/* Mean KL of held out samples, by forward passes of two models of float32. */
static double forward_kl(const model *m, const calibrated *c) {
    const int vocab = m->in.config.vocab_size;
    writer_input source = m->in, result = m->in;
    llama_model *became = llama_load_memory(c->bytes.bytes, c->bytes.size, NULL, &err), *loaded[2];
    void *data[2];
    size_t size[2];
    double sum = 0;
    holder of = {became};
    const llama_options options = {.n_ctx = LENGTH, .n_threads = 1}; /* tables for short contexts, as there */
    source.type = result.type = INSIDE_F32, source.embedding_type = result.embedding_type = 0;
    result.rows = held_rows, result.user = &of;
    if (!became || writer_build(&source, &data[0], &size[0], NULL, &err) ||
        writer_build(&result, &data[1], &size[1], NULL, &err))
        exit((puts(err.text), 1));
    for (int i = 0; i < 2; i++) loaded[i] = llama_load_memory(data[i], size[i], NULL, &err);
    for (int w = c->texts.count - HELD; w < c->texts.count; w++) {
        llama_context *p = llama_context_create(loaded[0], &options, &err),
                      *q = llama_context_create(loaded[1], &options, &err);
        for (int i = 0; i < LENGTH; i++) {
            const int *id = c->texts.tokens + w * LENGTH + i;
            const float *a = llama_forward(p, id, 1, &err), *b = llama_forward(q, id, 1, &err);
            for (int j = 0; j < vocab; j++) {
                const double log_p = llama_logprob(a, vocab, j), log_q = llama_logprob(b, vocab, j);
                sum += exp(log_p) * (log_p - log_q) / (HELD * LENGTH);
            }
        }
        llama_context_free(p), llama_context_free(q);
    }
    for (int i = 0; i < 2; i++) llama_free(loaded[i]), free(data[i]);
    llama_free(became);
    return sum;
}

static void check_figures(model *m, int rounded, const char *name) {
    calibrated c = run(m, 4, rounded, 1);
    const double want = forward_kl(m, &c);
    if (!CHECK(fabs(c.report.kl - want) <= 1e-3 * want + 1e-6))
        printf("  %s: says %g, is %g\n", name, c.report.kl, want);
    run_free(&c), model_free(m);
}

static void test_figures(void) {
    TEST("calibration: what it says of the change is that of the file that is written, whatever the family") {
        for (int i = 0; i < N_FEATURES; i++) {
            llama_config f = with(&features[i]);
            f.shared_classifier = i % 2;
            model *m = model_make(&f, INSIDE_Q4, 30 + (uint64_t)i);
            m->in.embedding_type = i % 5 == 0 ? INSIDE_Q8 : i % 5 < 3 ? INSIDE_Q4 : 0;
            if (TAKEN(i + i / 3)) check_figures(m, i % 3 != 2, features[i].name);
            else model_free(m);
        }
    }
    TEST("calibration: ... or any company of them") {
        uint64_t seed = 80;
        for (int i = 0; i < 12; i++) {
            llama_layer_kind kinds[3];
            llama_config f = any(kinds, &seed);
            model *m = model_make(&f, INSIDE_Q4, random_next(&seed));
            m->in.embedding_type = i % 2 ? 0 : INSIDE_Q4;
            stop_some(m, &seed);
            if (TAKEN(i)) check_figures(m, 1, "random");
            else model_free(m);
        }
    }
}

static void test_threads(void) {
    TEST("calibration: the same file whatever the number of threads") {
        static const llama_layer_kind mixed[] = {{0, 0, 1}, {0, 0, 0}};
        llama_config f = shape(1);
        f.n_experts = 3, f.n_experts_used = 1, f.expert_dim = 20, f.layers = mixed;
        model *m = model_make(&f, INSIDE_Q4, 50);
        m->in.embedding_type = INSIDE_Q4;
        calibrated one = run(m, LEARNED, 1, 1);
        for (int threads = 2; threads <= 3; threads++) {
            calibrated more = run(m, LEARNED, 1, threads);
            CHECK(!memcmp(one.texts.tokens, more.texts.tokens, sizeof(int) * (LEARNED + HELD) * LENGTH));
            CHECK(one.bytes.size == more.bytes.size && !memcmp(one.bytes.bytes, more.bytes.bytes, one.bytes.size));
            run_free(&more);
        }
        run_free(&one), model_free(m);
    }
}

/* ---- Where there is little or nothing to learn from ---- */

static void test_poor(void) {
    calibrate_report report;
    TEST("calibration: inputs that are all alike") {
        llama_config f = shape(0);
        model *m = model_make(&f, INSIDE_Q4, 60);
        float *e = m->weights[TENSOR_EMBEDDING][0];
        for (int i = f.dim; i < f.vocab_size * f.dim; i++) e[i] = e[i - f.dim];
        const double kl = change(m, 1, &report);
        CHECK(kl >= -1e-6 && kl < 1 && report.nearest == 0);
        model_free(m);
    }
    TEST("calibration: inputs that are zeros: to nearest, and said") {
        llama_config f = shape(0);
        model *m = model_make(&f, INSIDE_Q4, 61);
        memset(m->weights[TENSOR_ATTENTION_NORM][1], 0, (size_t)f.dim * sizeof(float));
        const double kl = change(m, 1, &report);
        CHECK(kl >= 0 && kl < 1);
        CHECK(report.nearest == 4); /* wq, wk, wv of the second layer; and wo, to which zeros come */
        model_free(m);
    }
    TEST("calibration: a few tokens are no worse than none") {
        llama_config f = shape(0);
        model *m = model_make(&f, INSIDE_Q4, 64);
        give_direction(m);
        calibrated some = run(m, 2, 1, 1), none = run(m, 2, 0, 1);
        if (!CHECK(some.report.kl < none.report.kl)) printf("  %g, %g\n", some.report.kl, none.report.kl);
        run_free(&some), run_free(&none), model_free(m);
    }
    TEST("calibration: fewer tokens than columns, and experts to which none comes") {
        static const llama_layer_kind mixed[] = {{0, 0, 1}, {0, 0, 1}};
        llama_config f = shape(1);
        f.n_experts = 33, f.n_experts_used = 1, f.expert_dim = 20, f.layers = mixed;
        model *m = model_make(&f, INSIDE_Q4, 62);
        calibrated c = run(m, 1, 1, 1);
        CHECK(c.report.kl > 0 && c.report.kl < 1 && c.report.nearest > 20 && c.report.nearest < c.report.matrices);
        run_free(&c), model_free(m);
    }
    TEST("calibration: nan, infinity and a huge value: their rows show it, the others are as good as ever") {
        llama_config f = shape(0);
        model *m = model_make(&f, INSIDE_Q4, 63);
        float row[100];
        m->weights[TENSOR_WV][0][3 * 64 + 5] = NAN, m->weights[TENSOR_W1][1][7 * 64 + 60] = INFINITY;
        m->weights[TENSOR_WO][1][2 * 64 + 1] = 1e20f;
        calibrated c = run(m, LEARNED, 1, 1);
        llama_model *loaded = llama_load_memory(c.bytes.bytes, c.bytes.size, NULL, &err);
        CHECK(loaded && isfinite(c.report.kl));
        inside_rows(loaded, TENSOR_WV, 0, 3, 1, row), CHECK(isnan(row[5]));
        inside_rows(loaded, TENSOR_WV, 0, 4, 1, row), CHECK(isfinite(row[5]));
        inside_rows(loaded, TENSOR_W1, 1, 7, 1, row), CHECK(isnan(row[60]));
        inside_rows(loaded, TENSOR_W1, 1, 8, 1, row),
            CHECK(fabsf(row[60] - m->weights[TENSOR_W1][1][8 * 64 + 60]) < 0.2);
        inside_rows(loaded, TENSOR_WO, 1, 2, 1, row), CHECK_NEAR(row[1], 1e20, 1e19);
        llama_free(loaded), run_free(&c), model_free(m);
    }
}

static int stop(void *user, double done, double total) {
    (void)done, (void)total;
    return --*(int *)user < 0;
}

static void test_cancel(void) {
    TEST("calibration: cancelled at any step, and what it would take") {
        llama_config f = shape(1);
        model *m = model_make(&f, INSIDE_Q4, 70);
        m->in.embedding_type = INSIDE_Q4;
        samples texts;
        calibrate_report report;
        double seconds;
        uint64_t bytes;
        int steps = 0, left;
        CHECK(!samples_write(&texts, &m->in, 3, 8, 1, NULL, NULL, &err));
        calibrate_input in = {&m->in, &texts, 1, 1, 1, stop, &left};
        for (calibration *c = NULL; !c && steps < 1000; steps += SLOW ? 2 : 1) {
            left = steps, err.text[0] = 0;
            c = calibrate(&in, &report, &err);
            if (!c) CHECK_TEXT(err.text, "cancelled");
            calibrate_free(c);
            if (c) break;
        }
        CHECK(steps > 15 && steps < 1000);
        calibrate_predict(&in, &bytes, &seconds);
        CHECK(bytes > 1000000 && bytes < 100000000 && seconds > 0 && seconds < 60);
        left = 2;
        free(texts.tokens);
        CHECK(samples_write(&texts, &m->in, 3, 8, 1, stop, &left, &err) == -1);
        CHECK_TEXT(err.text, "cancelled");
        free(texts.tokens), model_free(m);
    }
}

int main(void) {
    writer_threads(1); /* most tests take one: small models would spend their time waiting for the second */
    test_scale();
    test_tiles();
    test_extremes();
    test_rounding();
    test_gain();
    test_figures();
    test_threads();
    test_poor();
    test_cancel();
    return test_end();
}
