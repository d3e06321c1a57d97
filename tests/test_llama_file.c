/* test_llama_file.c - .llama files: written, loaded and run against the reference, and every way to be malformed.
 *
 * writer.c writes the files, and inside.c gives the weights that a file holds.
 */
#define _POSIX_C_SOURCE 200809L
#include "../tools/formats/writer.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/messages.h"
#include "../tools/shared/numbers.h"
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "checkpoint.c"
#include "reference.c"

#if defined(__unix__) || defined(__APPLE__)
#define HAVE_POSIX
#include <sys/stat.h>
#include <unistd.h>
#endif

static llama_error err;

/* ---- Models to write ---- */

typedef struct {
    int dim, hidden_dim, n_layers, n_heads, n_kv_heads, head_dim, vocab_size, shared;
} model_shape;

/* Among them: one of everything, dims that are no multiple of anything, heads narrower and wider than dim. */
static const model_shape shapes[] = {
    {64, 172, 2, 8, 4, 8, 96, 0},    {20, 36, 2, 5, 1, 6, 37, 1},    {6, 10, 1, 3, 3, 2, 11, 0},
    {1, 1, 1, 1, 1, 2, 1, 1},        {48, 80, 3, 6, 2, 16, 50, 0},   {90, 33, 2, 3, 1, 30, 65, 1},
    {128, 96, 1, 1, 1, 130, 30, 0},  {72, 100, 2, 4, 2, 34, 257, 1}, {17, 65, 1, 4, 2, 10, 33, 0},
    {130, 257, 1, 2, 1, 64, 100, 1},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_TENSORS = TENSOR_W3 + 1, POSITIONS = 36 };

typedef struct {
    writer_input in; /* user is this struct */
    model_shape shape;
    float *weights[N_TENSORS]; /* of all layers */
    float *frequencies;
    int fail_tensor; /* rows fails there; -1: nowhere */
    int calls, cancel_at;
} model;

/* Rows and columns of a tensor, and of how many layers there is one. */
static void shape_of(const model_shape *s, int tensor, int *rows, int *cols, int *layers) {
    const int q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim, d = s->dim, h = s->hidden_dim;
    const int shape[N_TENSORS][2] = {{s->vocab_size, d},
                                     {s->vocab_size, d},
                                     {1, d},
                                     {1, d},
                                     {1, d},
                                     {q, d},
                                     {kv, d},
                                     {kv, d},
                                     {d, q},
                                     {h, d},
                                     {d, h},
                                     {h, d}};
    *rows = shape[tensor][0], *cols = shape[tensor][1];
    *layers = tensor <= TENSOR_FINAL_NORM ? 1 : s->n_layers;
}

static int give_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *e) {
    const model *m = user;
    int rows, cols, layers;
    shape_of(&m->shape, (int)tensor, &rows, &cols, &layers);
    if ((int)tensor == m->fail_tensor)
        return set_error(e, "tensor %d of layer %d is not to be had", (int)tensor, layer);
    CHECK(layer >= 0 && layer < layers && first >= 0 && count > 0 && first + count <= rows);
    const float *from = m->weights[tensor] + ((size_t)layer * (size_t)rows + (size_t)first) * (size_t)cols;
    memcpy(out, from, (size_t)count * (size_t)cols * sizeof *out);
    return 0;
}

static model *model_make(model_shape s, int type, uint64_t seed) {
    model *m = xmalloc(sizeof *m);
    memset(m, 0, sizeof *m);
    m->shape = s, m->fail_tensor = -1, m->cancel_at = -1;
    for (int t = 0; t < N_TENSORS; t++) {
        int rows, cols, layers;
        shape_of(&s, t, &rows, &cols, &layers);
        /* As in checkpoint.c: activations near 1, attention far from uniform. */
        double deviation = t == TENSOR_EMBEDDING ? 0.05 : (t == TENSOR_WQ || t == TENSOR_WK ? 1.5 : 1) / sqrt(cols);
        if (t == TENSOR_CLASSIFIER || t == TENSOR_W2) deviation *= 2;
        const int norm = t == TENSOR_FINAL_NORM || t == TENSOR_ATTENTION_NORM || t == TENSOR_FFN_NORM;
        const size_t n = (size_t)layers * (size_t)rows * (size_t)cols;
        m->weights[t] = xmalloc(n * sizeof(float));
        for (size_t i = 0; i < n; i++)
            m->weights[t][i] =
                (float)((norm ? 1 : 0) + (norm ? 0.2 : deviation) * random_real(&seed, -1.7320508, 1.7320508));
    }
    m->frequencies = xmalloc((size_t)s.head_dim / 2 * sizeof(float));
    for (int i = 0; i < s.head_dim / 2; i++) m->frequencies[i] = (float)random_real(&seed, 0, 2);
    llama_config *f = &m->in.config;
    f->dim = s.dim, f->hidden_dim = s.hidden_dim, f->n_layers = s.n_layers, f->n_heads = s.n_heads,
    f->n_kv_heads = s.n_kv_heads;
    f->head_dim = s.head_dim, f->vocab_size = s.vocab_size, f->seq_len = POSITIONS, f->shared_classifier = s.shared;
    f->norm_eps = 3e-5f, f->rope_theta = 123456;
    m->in.rope_frequencies = m->frequencies;
    m->in.type = type, m->in.rows = give_rows, m->in.user = m;
    return m;
}

static void model_free(model *m) {
    for (int t = 0; t < N_TENSORS; t++) free(m->weights[t]);
    free(m->frequencies);
    free(m);
}

/* The file of a model, in a block of exactly its size. */
typedef struct {
    unsigned char *bytes;
    size_t size;
} file;

static file build(const model *m, writer_report *report) {
    file f = {NULL, 0};
    void *data = NULL;
    if (!CHECK(writer_build(&m->in, &data, &f.size, report, &err) == 0)) {
        printf("  %s\n", err.text);
        exit(test_end());
    }
    f.bytes = data;
    return f;
}

/* What a token reads: each tensor but the embedding, or but the classifier if that is the embedding. */
static uint64_t bytes_of_a_token(const model_shape *s, int type) {
    uint64_t sum = 0;
    for (int t = TENSOR_CLASSIFIER; t < N_TENSORS; t++) {
        int rows, cols, layers;
        shape_of(s, t, &rows, &cols, &layers);
        const int norm = tensor_is_norm((enum tensor)t);
        sum += (uint64_t)layers * (norm ? (size_t)cols * sizeof(float) : inside_matrix_bytes(type, rows, cols));
    }
    return sum;
}

/* The reference of a model as its file holds it; weights is what it points into. */
static reference_model reference_of(const model *m, const llama_model *loaded, double **weights) {
    const model_shape *s = &m->shape;
    const double *start[N_TENSORS];
    size_t count = (size_t)s->head_dim / 2;
    int rows, cols, layers;
    for (int t = 0; t < N_TENSORS; t++) {
        shape_of(s, t, &rows, &cols, &layers);
        count += (size_t)layers * (size_t)rows * (size_t)cols;
    }
    double *next = *weights = xmalloc(count * sizeof *next);
    for (int t = 0; t < N_TENSORS; t++) {
        shape_of(s, t, &rows, &cols, &layers);
        float *row = xmalloc((size_t)cols * sizeof *row);
        start[t] = next;
        for (int l = 0; l < layers; l++)
            for (int r = 0; r < rows; r++) {
                inside_rows(loaded, (enum tensor)t, l, r, 1, row);
                for (int k = 0; k < cols; k++) *next++ = (double)row[k];
            }
        free(row);
    }
    for (int i = 0; i < s->head_dim / 2; i++) next[i] = (double)m->frequencies[i];
    reference_model r = {s->dim,
                         s->hidden_dim,
                         s->n_layers,
                         s->n_heads,
                         s->n_kv_heads,
                         s->head_dim,
                         s->vocab_size,
                         (double)m->in.config.norm_eps,
                         next,
                         start[TENSOR_EMBEDDING],
                         start[TENSOR_ATTENTION_NORM],
                         start[TENSOR_WQ],
                         start[TENSOR_WK],
                         start[TENSOR_WV],
                         start[TENSOR_WO],
                         start[TENSOR_FFN_NORM],
                         start[TENSOR_W1],
                         start[TENSOR_W2],
                         start[TENSOR_W3],
                         start[TENSOR_FINAL_NORM],
                         start[s->shared ? TENSOR_EMBEDDING : TENSOR_CLASSIFIER]};
    return r;
}

/* How many threads the writer uses. Most tests take one: where other programs keep the processors busy, a small model
 * spends its time waiting for the second. */
static void writer_threads(int n) {
#ifdef _OPENMP
    omp_set_num_threads(n);
#else
    (void)n;
#endif
}

static const char *const sets[] = {"plain",      "avx2",           "avxvnni", "avx512", "avx512wide",
                                   "avx512bf16", "avx512bf16wide", "neon",    "neondot"};
enum { N_SETS = sizeof sets / sizeof *sets };

static llama_context *context_with(const char *set, const llama_model *m, int n_batch, int n_threads) {
    llama_options o = {0};
    o.kernels = set, o.n_batch = n_batch, o.n_threads = n_threads;
    llama_context *c = llama_context_create(m, &o, &err);
    if (!c && !strstr(err.text, "are not to be had")) CHECK(c);
    return c;
}

/* ---- The forward pass ---- */

static const char *const type_names[] = {"f32", "bf16", "q8", "q4"};

/* The root of the mean squared difference of n logits, as a share of want's: sums of squares over all positions. */
static void add_difference(const float *got, const double *want, int n, double *error, double *signal, double *worst) {
    for (int i = 0; i < n; i++) {
        const double d = (double)got[i] - want[i];
        *error += isfinite(d) ? d * d : INFINITY;
        *signal += want[i] * want[i];
        *worst = fmax(*worst, fabs(d));
    }
}

/* Runs the tokens step at a time (0: all) and compares the logits after each call. */
static double forward_error(llama_context *c, const int *tokens, int n, int step, const double *want, int vocab_size,
                            double *worst) {
    double error = 0, signal = 0, scale = 0;
    llama_rewind(c, 0);
    *worst = 0;
    for (int i = 0; i < n;) {
        const int some = step && step < n - i ? step : n - i;
        const float *logits = llama_forward(c, tokens + i, some, &err);
        if (!CHECK(logits)) return INFINITY;
        i += some;
        const double *w = want + (size_t)(i - 1) * (size_t)vocab_size;
        add_difference(logits, w, vocab_size, &error, &signal, worst);
        for (int k = 0; k < vocab_size; k++) scale = fmax(scale, fabs(w[k]));
    }
    *worst /= scale;
    return sqrt(error / signal);
}

/* Weights are exact, so what remains is how activations are rounded before each product: f32 not at all; bf16 to 2^-9
 * of each value; q8 and q4 to half of 1/127 of a group's largest, on average a hundredth of a typical one. Keys and
 * values are float16, 2^-12. Some ten products lie in a row, whose errors add as squares, and attention as sharp as
 * here amplifies them. Measured: over all shapes 1e-6, 0.0085, 0.026, 0.027 of the logits, in the worst of them
 * twice as much, in a single logit 5e-6, 0.03, 0.07, 0.06 of the largest. */
static const double all_bound[] = {3e-6, 0.013, 0.04, 0.04}, shape_bound[] = {1e-5, 0.03, 0.1, 0.1},
                    worst_bound[] = {1e-4, 0.06, 0.15, 0.15};
static double all_squares;
static int all_count;

static void check_shape(const model_shape *s, int type, uint64_t seed) {
    static const struct { int step, n_batch; } ways[] = {{1, 0}, {7, 0}, {0, 0}, {0, 5}, {2, 1}, {13, 16}};
    model *m = model_make(*s, INSIDE_F32 + type, seed);
    file f = build(m, NULL);
    llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
    if (!CHECK(loaded)) {
        printf("  %s\n", err.text);
        free(f.bytes), model_free(m);
        return;
    }
    const llama_config *g = llama_get_config(loaded);
    CHECK(g->dim == s->dim && g->hidden_dim == s->hidden_dim && g->n_layers == s->n_layers && g->n_heads == s->n_heads);
    CHECK(g->n_kv_heads == s->n_kv_heads && g->head_dim == s->head_dim && g->vocab_size == s->vocab_size);
    CHECK(g->seq_len == POSITIONS && g->shared_classifier == s->shared && g->norm_eps == (float)3e-5 &&
          g->rope_theta == 123456);
    CHECK_TEXT(g->format, ".llama");
    CHECK_TEXT(g->weight_type, type_names[type]);
    CHECK(g->weight_bytes == bytes_of_a_token(s, INSIDE_F32 + type));
    double *weights, *want = xmalloc((size_t)POSITIONS * (size_t)s->vocab_size * sizeof *want);
    reference_model r = reference_of(m, loaded, &weights);
    int tokens[POSITIONS];
    for (int i = 0; i < POSITIONS; i++) tokens[i] = random_int(&seed, 0, s->vocab_size - 1);
    reference_forward(&r, tokens, POSITIONS, want);
    for (int k = 0; k < N_SETS; k++)
        for (int w = 0; w < (k ? 6 : 3); w++) { /* the plain set is slow */
            llama_context *c = context_with(sets[k], loaded, ways[w].n_batch, 1);
            if (!c) break;
            double worst, rms = forward_error(c, tokens, POSITIONS, ways[w].step, want, s->vocab_size, &worst);
            all_squares += rms * rms, all_count++;
            if (!CHECK(rms <= shape_bound[type] && worst <= worst_bound[type]))
                printf("  %s, %s, dim %d, head_dim %d, %d at a time: off by %g, worst %g\n", type_names[type], sets[k],
                       s->dim, s->head_dim, ways[w].step, rms, worst);
            llama_context_free(c);
        }
    free(weights), free(want);
    llama_free(loaded);
    free(f.bytes), model_free(m);
}

static void test_forward(void) {
    static const char *const names[] = {"f32 against the reference", "bf16 against the reference",
                                        "q8 against the reference", "q4 against the reference"};
    for (int type = 0; type < 4; type++) {
        TEST(names[type]) {
            uint64_t seed = 100u + (unsigned)type;
            all_squares = 0, all_count = 0;
            for (int i = 0; i < N_SHAPES; i++) check_shape(&shapes[i], type, 1000u * (unsigned)type + (unsigned)i);
            for (int i = 0; i < 6; i++) {
                model_shape s = {0};
                s.dim = random_int(&seed, 1, 90), s.hidden_dim = random_int(&seed, 1, 150),
                s.n_layers = random_int(&seed, 1, 3);
                s.n_kv_heads = random_int(&seed, 1, 3), s.n_heads = s.n_kv_heads * random_int(&seed, 1, 3);
                s.head_dim = 2 * random_int(&seed, 1, 20), s.vocab_size = random_int(&seed, 1, 100),
                s.shared = random_int(&seed, 0, 1);
                check_shape(&s, type, random_next(&seed));
            }
            CHECK_NEAR(sqrt(all_squares / all_count), 0, all_bound[type]);
        }
    }
}

static void test_threads(void) {
    static const model_shape s = {128, 301, 1, 8, 2, 20, 700, 0};
    TEST("any number of threads gives the same bits") {
        enum { N = 33 };
        for (int type = 0; type < 4; type++) {
            model *m = model_make(s, INSIDE_F32 + type, 50u + (unsigned)type);
            file f = build(m, NULL);
            llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
            int tokens[N];
            float *first = xmalloc(700 * sizeof *first), scores[2][N] = {{0}, {0}};
            for (int i = 0; i < N; i++) tokens[i] = i * 97 % 700;
            for (int k = type % 2; k < N_SETS && CHECK(loaded); k += 2)
                for (int threads = 1; threads <= 3; threads++) {
                    llama_context *c = context_with(sets[k], loaded, 20, threads);
                    if (!c) break;
                    const float *logits = llama_forward(c, tokens, N, &err);
                    if (CHECK(logits) && threads == 1) memcpy(first, logits, 700 * sizeof *first);
                    if (!CHECK(memcmp(first, logits, 700 * sizeof *first) == 0))
                        printf("  %s, %s, %d threads\n", type_names[type], sets[k], threads);
                    llama_rewind(c, 0);
                    CHECK(llama_score(c, tokens, N, scores[threads > 1], &err) == 0);
                    CHECK(threads == 1 || memcmp(scores[0], scores[1], sizeof scores[0]) == 0);
                    llama_context_free(c);
                }
            free(first), llama_free(loaded), free(f.bytes), model_free(m);
        }
    }
}

/* How many of the calls that a text of n tokens is cut into, at random places, give other logits than its tokens one by
 * one, which are in want (n, vocab_size). cut 0: into none. */
static int other_logits(llama_context *c, const int *tokens, int n, int cut, const float *want, int vocab_size,
                        uint64_t *seed) {
    int other = 0;
    llama_rewind(c, 0);
    for (int at = 0, some; at < n; at += some) {
        some = cut ? random_int(seed, 1, cut) : n;
        if (some > n - at) some = n - at;
        const float *logits = llama_forward(c, tokens + at, some, &err);
        if (!CHECK(logits)) return -1;
        other += memcmp(logits, want + (size_t)(at + some - 1) * (size_t)vocab_size,
                        (size_t)vocab_size * sizeof *logits) != 0;
    }
    return other;
}

/* For a set of kernels a token's sums come in one order: however a text is cut into calls, its logits are the same
 * bits. */
static void test_order(void) {
    enum { N = 70 };
    static const int some[] = {0, 7, 2}; /* two query heads to a kv head, and one */
    static const char *const names[] = {"one order of sums, f32", "one order of sums, bf16", "one order of sums, q8",
                                        "one order of sums, q4"};
    uint64_t seed = 31;
    for (int type = 0; type < 4; type++)
        for (int i = 0; i < 3; i++) {
            TEST(names[type]) {
                model *m = model_make(shapes[some[i]], INSIDE_F32 + type, seed++);
                file f = build(m, NULL);
                llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
                const int vocab_size = m->shape.vocab_size;
                float *want = xmalloc((size_t)N * (size_t)vocab_size * sizeof *want);
                int tokens[N];
                for (int t = 0; t < N; t++) tokens[t] = random_int(&seed, 0, vocab_size - 1);
                for (size_t s = 0; loaded && s < sizeof sets / sizeof *sets; s++) {
                    const llama_options o = {.n_ctx = N, .n_batch = 50, .n_threads = 1, .kernels = sets[s]};
                    llama_context *c = llama_context_create(loaded, &o, NULL);
                    for (int t = 0; c && t < N; t++) {
                        const float *logits = llama_forward(c, tokens + t, 1, &err);
                        if (CHECK(logits))
                            memcpy(want + (size_t)t * (size_t)vocab_size, logits, (size_t)vocab_size * sizeof *want);
                    }
                    const int cuts[] = {0, 2, 3, 5, 7, 13, 40};
                    for (size_t k = 0; c && k < sizeof cuts / sizeof *cuts; k++)
                        if (!CHECK(other_logits(c, tokens, N, cuts[k], want, vocab_size, &seed) == 0))
                            printf("  %s, up to %d tokens a call\n", sets[s], cuts[k]);
                    llama_context_free(c);
                }
                free(want), llama_free(loaded), free(f.bytes), model_free(m);
            }
        }
}

static void test_loading(void) {
    TEST("from memory at any alignment allowed, from a file mapped or copied: the same bits, the tokenizer as it was") {
        for (int type = 0; type < 4; type++) {
            static const char tokenizer[] = "these bytes\0 are not looked\n at";
            model *m = model_make(shapes[0], INSIDE_F32 + type, 60);
            m->in.tokenizer = tokenizer, m->in.tokenizer_size = sizeof tokenizer;
            file f = build(m, NULL);
            static const int tokens[] = {1, 2, 3, 4, 5, 95, 0};
            float first[96];
            char path[64];
            snprintf(path, sizeof path, "%s", temporary_path());
            CHECK(write_file(path, f.bytes, f.size));
            for (int way = 0; way < 4; way++) {
                unsigned char *moved = xmalloc(f.size + 4);
                llama_options o = {0};
                size_t size = 0;
                o.copy = way == 3;
                memcpy(moved + 4, f.bytes, f.size);
                llama_model *loaded = way < 2 ? llama_load_memory(way ? moved + 4 : f.bytes, f.size, NULL, &err)
                                              : llama_load(path, &o, &err);
                if (!CHECK(loaded)) {
                    printf("  %s\n", err.text);
                    free(moved);
                    continue;
                }
                const void *got = llama_get_tokenizer(loaded, &size);
                CHECK(got && size == sizeof tokenizer && memcmp(got, tokenizer, size) == 0);
                llama_context *c = context_with(NULL, loaded, 0, 1);
                const float *logits = c ? llama_forward(c, tokens, 7, &err) : NULL;
                if (CHECK(logits) && !way) memcpy(first, logits, sizeof first);
                CHECK(logits && memcmp(first, logits, sizeof first) == 0);
                llama_context_free(c);
                llama_free(loaded);
                free(moved);
            }
            remove(path);
            free(f.bytes), model_free(m);
        }
    }
    TEST("no tokenizer") {
        model *m = model_make(shapes[2], INSIDE_Q8, 61);
        file f = build(m, NULL);
        size_t size = 5;
        llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
        if (CHECK(loaded)) CHECK(llama_get_tokenizer(loaded, &size) == NULL && size == 0);
        llama_free(loaded);
        free(f.bytes), model_free(m);
    }
}

/* ---- Malformed files ---- */

/* An allocator that remembers the largest request: what a file claims must not decide what is allocated. */
static size_t largest;
static void *watched_alloc(void *user, size_t size) {
    (void)user;
    if (size > largest) largest = size;
    return size > 1 << 28 ? NULL : malloc(size);
}
static void watched_free(void *user, void *p) { (void)user, free(p); }

/* Loading must fail with a message that names where it is from and holds both texts (NULL: any). */
static void refused(const unsigned char *data, size_t size, const char *what, const char *value, int from_file) {
    unsigned char *bytes = xmalloc(size);
    if (size) memcpy(bytes, data, size);
    for (int way = 0; way <= from_file; way++) {
        char path[64] = "memory";
        llama_options o = {0};
        llama_model *m;
        memset(&err, 0, sizeof err);
        o.alloc = watched_alloc, o.release = watched_free;
        largest = 0;
        if (way) {
            snprintf(path, sizeof path, "%s", temporary_path());
            if (!CHECK(write_file(path, bytes, size))) break;
            m = llama_load(path, &o, &err);
            remove(path);
        } else m = llama_load_memory(bytes, size, &o, &err);
        int ok =
            CHECK(m == NULL) & CHECK(err.text[0] && memchr(err.text, 0, sizeof err.text) && !strchr(err.text, '\n'));
        ok &= CHECK(largest <= size + (1 << 20)) & CHECK(strstr(err.text, path));
        ok &= CHECK(!what || strstr(err.text, what)) & CHECK(!value || strstr(err.text, value));
        if (!ok) printf("  wanted %s %s, got: %s\n", what ? what : "-", value ? value : "-", err.text);
        llama_free(m);
    }
    free(bytes);
}

/* Loads what may be a model; if it is one, three tokens go through it. All is well that no sanitizer minds. */
static int survives(const unsigned char *data, size_t size, const char *set) {
    unsigned char *bytes = xmalloc(size);
    llama_options o = {0};
    if (size) memcpy(bytes, data, size);
    memset(&err, 0, sizeof err);
    o.n_ctx = 3, o.n_threads = 1, o.kernels = set;
    o.alloc = watched_alloc, o.release = watched_free;
    llama_model *m = llama_load_memory(bytes, size, &o, &err);
    if (m) {
        int tokens[3] = {0, 0, 0};
        size_t length;
        const unsigned char *tokenizer = llama_get_tokenizer(m, &length);
        unsigned sum = 0;
        for (size_t i = 0; i < length; i++) sum += tokenizer[i]; /* its bytes are there */
        tokens[1] = llama_get_config(m)->vocab_size - 1;
        llama_context *c = llama_context_create(m, &o, &err);
        if (!c && strstr(err.text, "are not to be had")) o.kernels = NULL, c = llama_context_create(m, &o, &err);
        if (c) CHECK(llama_forward(c, tokens, 3, &err));
        else CHECK(err.text[0] && sum < UINT_MAX);
        llama_context_free(c);
        llama_free(m);
    } else CHECK(err.text[0]);
    free(bytes);
    return m != NULL;
}

/* The smallest model with two layers, and a tokenizer of ten bytes. */
static file small_file(int type, int shared) {
    static const model_shape s = {4, 6, 2, 2, 1, 2, 5, 0};
    model *m = model_make(s, type, 70);
    m->shape.shared = m->in.config.shared_classifier = shared;
    m->in.tokenizer = "tokenizer!", m->in.tokenizer_size = 10;
    file f = build(m, NULL);
    model_free(m);
    return f;
}

/* Writes size bytes of value, little-endian. */
static void put(unsigned char *p, int size, uint64_t value) {
    for (int i = 0; i < size; i++) p[i] = (unsigned char)(value >> 8 * i);
}

enum { N_SMALL = 4 + 9 * 2, TABLE_END = 128 + 64 * N_SMALL, WQ = 6, LAST = N_SMALL - 1 };
/* Where a field of tensor i lies. */
enum { NAME = 0, TYPE = 32, ROWS = 36, COLS = 40, OFFSET = 48, SIZE = 56 };
static size_t entry(int i, int field) { return 128 + 64 * (size_t)i + (size_t)field; }

static void test_header(void) {
    static const char *const fields[] = {"dim",        "hidden_dim", "n_layers",   "n_heads",
                                         "n_kv_heads", "head_dim",   "vocab_size", "seq_len"};
    static char names[8][64];
    for (int i = 0; i < 8; i++) {
        snprintf(names[i], sizeof names[i], ".llama, %s: zero, negative, absurd, another", fields[i]);
        TEST(names[i]) {
            static const int values[] = {0, -1, INT_MIN, (1 << 28) + 1, INT_MAX, 1 << 28, (1 << 24) + 1};
            for (int v = 0; v < 7; v++) {
                file f = small_file(INSIDE_F32, 0);
                const unsigned was = f.bytes[16 + 4 * i];
                char text[32];
                snprintf(text, sizeof text, "%d", values[v]);
                put(f.bytes + 16 + 4 * i, 4, (uint32_t)values[v]);
                if (v < 5)
                    refused(f.bytes, f.size, fields[i], text, 1); /* the rest are in range, and fit nothing else */
                else if (i < 7) refused(f.bytes, f.size, NULL, i == 2 || i == 6 ? text : NULL, 1);
                if (i < 7) { /* one more than there is */
                    put(f.bytes + 16 + 4 * i, 4, was + 1);
                    refused(f.bytes, f.size, NULL, NULL, 0);
                }
                free(f.bytes);
            }
        }
    }
    static const struct {
        const char *name;
        size_t at;
        int size;
        uint64_t value;
        const char *what, *text;
    } table[] = {
        {"version 0", 8, 4, 0, "version of the format is 0", "known is 1"},
        {"version 2", 8, 4, 2, "version of the format is 2", "known is 1"},
        {"version 2^32 - 1", 8, 4, UINT32_MAX, "version", "4294967295"},
        {"classifier flag 2", 12, 4, 2, "shared_classifier is 2", "not 0 or 1"},
        {"classifier flag 2^31", 12, 4, 1u << 31, "shared_classifier", "2147483648"},
        {"a classifier of its own that is called shared", 12, 4, 1, "22 tensors", "many"},
        {"odd head_dim", 36, 4, 3, "head_dim is 3", "even"},
        {"heads that kv heads do not divide", 32, 4, 3, "n_heads 2", "n_kv_heads 3"},
        {"heads whose width overflows", 28, 4, 1 << 28, "n_heads 268435456 x head_dim 2", "too large"},
        {"norm_eps nan", 48, 4, 0x7fc00000, "norm_eps", "nan"},
        {"norm_eps negative", 48, 4, 0xbf800000, "norm_eps is -1", NULL},
        {"norm_eps 2", 48, 4, 0x40000000, "norm_eps is 2", NULL},
        {"rope_theta 0", 52, 4, 0, "rope_theta is 0", NULL},
        {"rope_theta negative", 52, 4, 0xc0000000, "rope_theta is -2", NULL},
        {"rope_theta infinite", 52, 4, 0x7f800000, "rope_theta is inf", NULL},
        {"rope_theta nan", 52, 4, 0xffc00000, "rope_theta", "nan"},
        {"tokenizer at 0", 56, 8, 0, "tokenizer", "0 + 10"},
        {"tokenizer in the table", 56, 8, TABLE_END - 1, "tokenizer", "allowed are 1536"},
        {"tokenizer behind the end", 56, 8, 1 << 20, "tokenizer", "1048576 + 10"},
        {"tokenizer at 2^63", 56, 8, UINT64_C(1) << 63, "tokenizer", "9223372036854775808"},
        {"tokenizer at 2^64 - 5", 56, 8, UINT64_MAX - 4, "tokenizer", "18446744073709551611"},
        {"tokenizer over the tensors", 64, 8, 200, "rope_frequencies takes bytes", NULL},
        {"tokenizer longer than the file", 64, 8, 1 << 20, "tokenizer", "1536 + 1048576"},
        {"tokenizer of 2^64 - 1 bytes", 64, 8, UINT64_MAX, "tokenizer", "18446744073709551615"},
        {"no tensors", 72, 4, 0, "0 tensors are too few", "2 layers"},
        {"a tensor too few", 72, 4, N_SMALL - 1, "21 tensors are too few", NULL},
        {"a tensor too many", 72, 4, N_SMALL + 1, "23 tensors are too many", NULL},
        {"2^32 - 1 tensors", 72, 4, UINT32_MAX, "4294967295 tensors are too many", NULL},
    };
    static char what[64][96];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(what[i], sizeof what[i], ".llama header: %s", table[i].name);
        TEST(what[i]) {
            file f = small_file(INSIDE_Q8, 0);
            put(f.bytes + table[i].at, table[i].size, table[i].value);
            refused(f.bytes, f.size, table[i].what, table[i].text, 1);
            free(f.bytes);
        }
    }
    TEST(".llama header: layers for as many tensors as the file says, and no file as long") {
        file f = small_file(INSIDE_F32, 1);
        for (int layers = 1 << 24; layers > 100; layers /= 2) {
            put(f.bytes + 24, 4, (uint32_t)layers);
            put(f.bytes + 72, 4, 3 + 9 * (uint32_t)layers);
            refused(f.bytes, f.size, "table of tensors alone needs", NULL, layers == 1 << 24);
        }
        free(f.bytes);
    }
}

static void test_table(void) {
    /* wq: 4 x 4 q8, one tile of 64 + 1024 bytes. */
    static const struct {
        const char *name;
        int tensor, field, size;
        uint64_t value;
        const char *what, *text;
    } table[] = {
        {"another name", WQ, NAME + 10, 1, 'Q', "tensor 6 is \"layers.0.wQ\"", "\"layers.0.wq\""},
        {"a name that goes on", WQ, NAME + 11, 1, 'x', "tensor 6 is \"layers.0.wqx\"", NULL},
        {"a name with bytes behind its end", WQ, NAME + 20, 1, 'x', "tensor 6", NULL},
        {"no name", WQ, NAME, 8, 0, "tensor 6 is \"\"", NULL},
        {"a name with control characters", WQ, NAME, 4, 0x0a1b0a1b, "tensor 6 is \"????", NULL},
        {"a vector as a matrix", 0, TYPE, 4, INSIDE_F32, "rope_frequencies has type 1, not 0", NULL},
        {"a matrix as a vector", WQ, TYPE, 4, 0, "layers.0.wq has type 0, not 1 to 4", NULL},
        {"a type that is not known", WQ, TYPE, 4, 5, "layers.0.wq has type 5", NULL},
        {"type 2^32 - 1", WQ, TYPE, 4, UINT32_MAX, "layers.0.wq has type 4294967295", NULL},
        {"a known type of another size", WQ, TYPE, 4, INSIDE_F32, "layers.0.wq has size 1088", "imply 256"},
        {"no rows", WQ, ROWS, 4, 0, "layers.0.wq is 0 x 4", "4 x 4"},
        {"a row too many", WQ, ROWS, 4, 5, "layers.0.wq is 5 x 4", "4 x 4"},
        {"2^32 - 1 rows", WQ, ROWS, 4, UINT32_MAX, "layers.0.wq is 4294967295 x 4", NULL},
        {"no columns", WQ, COLS, 4, 0, "layers.0.wq is 4 x 0", NULL},
        {"2^31 columns", WQ, COLS, 4, UINT64_C(1) << 31, "layers.0.wq is 4 x 2147483648", NULL},
        {"a size of 0", WQ, SIZE, 8, 0, "layers.0.wq has size 0", "imply 1088"},
        {"a byte too many", WQ, SIZE, 8, 1089, "layers.0.wq has size 1089", "imply 1088"},
        {"a size of 2^63", WQ, SIZE, 8, UINT64_C(1) << 63, "layers.0.wq has size 9223372036854775808", NULL},
        {"a size of 2^32 and the right one", WQ, SIZE, 8, (UINT64_C(1) << 32) + 1088, "layers.0.wq has size 4294968384",
         NULL},
        {"an offset of 0", WQ, OFFSET, 8, 0, "layers.0.wq takes bytes 0 + 1088", "allowed are"},
        {"an offset in the table", 0, OFFSET, 8, 128, "rope_frequencies takes bytes 128 + 4", "allowed are 1546"},
        {"an offset in the tokenizer", 0, OFFSET, 8, 1536, "rope_frequencies takes bytes 1536 + 4", "allowed are 1546"},
        {"an offset far behind the end", WQ, OFFSET, 8, 1 << 20, "layers.0.wq takes bytes 1048576 + 1088", "cut short"},
        {"an offset of 2^63", WQ, OFFSET, 8, UINT64_C(1) << 63, "layers.0.wq takes bytes 9223372036854775808",
         "cut short"},
        {"an offset of 2^64 - 64", WQ, OFFSET, 8, UINT64_MAX - 63, "layers.0.wq takes bytes 18446744073709551552",
         NULL},
        {"an offset of 2^64 - 1", WQ, OFFSET, 8, UINT64_MAX, "layers.0.wq has offset 18446744073709551615",
         "multiple of 64"},
    };
    static char what[32][96];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(what[i], sizeof what[i], ".llama table: %s", table[i].name);
        TEST(what[i]) {
            file f = small_file(INSIDE_Q8, 0);
            put(f.bytes + entry(table[i].tensor, table[i].field), table[i].size, table[i].value);
            refused(f.bytes, f.size, table[i].what, table[i].text, 1);
            free(f.bytes);
        }
    }
    TEST(".llama table: offsets that are no multiple of 64, that overlap, that go backwards, for every tensor") {
        file f = small_file(INSIDE_Q4, 0);
        for (int i = 0; i < N_SMALL; i++) {
            unsigned char *p = f.bytes + entry(i, OFFSET), *next = f.bytes + entry((i + 1) % N_SMALL, OFFSET);
            const uint64_t offset = get_uint(p, 8), other = get_uint(next, 8);
            char name[33] = {0}, text[32];
            memcpy(name, f.bytes + entry(i, NAME), 32);
            for (int off = 1; off < 64; off = 2 * off + 1) {
                put(p, 8, offset + (uint64_t)off);
                snprintf(text, sizeof text, "offset %" PRIu64, offset + (uint64_t)off);
                refused(f.bytes, f.size, name, text, 0);
            }
            put(p, 8, offset - 64);
            snprintf(text, sizeof text, "bytes %" PRIu64 " + ", offset - 64);
            refused(f.bytes, f.size, name, text, 0);
            put(p, 8, other), put(next, 8, offset);
            refused(f.bytes, f.size, "takes bytes", "allowed are", 0);
            put(p, 8, offset), put(next, 8, other);
            if (i < LAST) { /* the same bytes twice */
                put(next, 8, offset);
                refused(f.bytes, f.size, "takes bytes", "allowed are", 0);
                put(next, 8, other);
            }
        }
        llama_model *m = llama_load_memory(f.bytes, f.size, NULL, &err);
        CHECK(m); /* all is as it was */
        llama_free(m);
        free(f.bytes);
    }
    TEST(".llama table: wq, wk and wv, or w1 and w3, of different types") {
        /* With one column, f32 and bf16 take the same room. */
        static const model_shape s = {1, 3, 2, 2, 2, 2, 5, 0};
        static const struct {
            int tensor, allowed;
        } cases[] = {{6, 0}, {7, 0}, {8, 0}, {10, 0}, {11, 0}, {2, 1}, {3, 1}};
        for (int i = 0; i < 7; i++)
            for (int layer = 0; layer < 2; layer++) {
                model *m = model_make(s, INSIDE_F32, 71);
                file f = build(m, NULL);
                char text[32];
                snprintf(text, sizeof text, "layer %d: the types of", layer);
                put(f.bytes + entry(cases[i].tensor + (cases[i].allowed ? 0 : 9 * layer), TYPE), 4, INSIDE_BF16);
                if (cases[i].allowed) CHECK(survives(f.bytes, f.size, NULL));
                else refused(f.bytes, f.size, text, "differ", 0);
                free(f.bytes), model_free(m);
            }
    }
}

/* Scales, which no writer of ours makes: it shows in the logits, and llama_sample says so. (Weights: check_damage.) */
static void test_no_numbers(void) {
    static const struct {
        const char *name;
        int type, tensor, bytes; /* of the first scale of a tile, whose row is 0 */
        uint64_t value;
    } table[] = {
        {"q8 scale of nan in wo", INSIDE_Q8, WQ + 3, 2, 0x7e00},
        {"q8 scale of infinity", INSIDE_Q8, 3, 2, 0x7c00},
        {"q4 scale of nan in w1", INSIDE_Q4, WQ + 4, 2, 0xfe00},
        {"q4 scale of infinity", INSIDE_Q4, 3, 2, 0x7c00},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].name) {
            file f = small_file(table[i].type, 0);
            put(f.bytes + get_uint(f.bytes + entry(table[i].tensor, OFFSET), 8), table[i].bytes, table[i].value);
            llama_model *m = llama_load_memory(f.bytes, f.size, NULL, &err);
            for (int k = 0; k < N_SETS && CHECK(m); k++) {
                static const int tokens[] = {1, 4, 2};
                llama_context *c = context_with(sets[k], m, 0, 1);
                if (!c) continue;
                const float *logits = llama_forward(c, tokens, 3, &err);
                for (int greedy = 0; greedy < 2 && CHECK(logits); greedy++) {
                    llama_sampling how = llama_sampling_default();
                    if (greedy) how.temperature = 0;
                    llama_sampler *s = llama_sampler_create(m, &how, NULL, &err);
                    memset(&err, 0, sizeof err);
                    CHECK(s && llama_sample(s, logits, &err) == -1);
                    if (!CHECK(strstr(err.text, "nan") || strstr(err.text, "inf")))
                        printf("  %s: %s\n", sets[k], err.text);
                    llama_sampler_free(s);
                }
                llama_context_free(c);
            }
            llama_free(m);
            free(f.bytes);
        }
}

static void test_sizes(void) {
    TEST(".llama: every truncation") {
        static const model_shape one = {1, 1, 1, 1, 1, 2, 1, 0};
        for (int type = INSIDE_F32; type <= INSIDE_Q4; type++) {
            model *m = model_make(one, type, 72);
            m->in.tokenizer = "tokenizer!", m->in.tokenizer_size = 10;
            file f = build(m, NULL);
            for (size_t size = 0; size < f.size; size++) refused(f.bytes, size, NULL, NULL, size % 997 == 0);
            refused(f.bytes, 100, "100 bytes", "128-byte header", 1);
            refused(f.bytes, 200, "200 bytes", "cut short", 1);
            refused(f.bytes, f.size - 1, "layers.0.w2", "cut short", 1);
            free(f.bytes), model_free(m);
        }
    }
    TEST(".llama: bytes behind the last tensor") {
        file f = small_file(INSIDE_BF16, 0);
        for (size_t more = 1; more < 5000; more = 3 * more + 1) {
            unsigned char *longer = xmalloc(f.size + more);
            char have[48], end[48];
            memset(longer, 0, f.size + more);
            memcpy(longer, f.bytes, f.size);
            snprintf(have, sizeof have, "the file has %lu bytes", (unsigned long)(f.size + more));
            snprintf(end, sizeof end, "its tensors end at %lu", (unsigned long)f.size);
            refused(longer, f.size + more, have, end, more == 1);
            free(longer);
        }
        free(f.bytes);
    }
}

/* ---- Mutations ---- */

static void mutate(unsigned char *p, size_t size, uint64_t *seed) {
    for (int k = random_int(seed, 1, 4); k > 0; k--) {
        /* Most in the header and the table, some in the weights. */
        const int where = random_int(seed, 0, 3);
        const size_t limit = where == 0   ? 80
                             : where == 1 ? TABLE_END
                                          : size,
                     at = (size_t)random_int(seed, 0, (int)limit - 8);
        switch (random_int(seed, 0, 4)) {
        case 0: p[at] ^= (unsigned char)(1 << random_int(seed, 0, 7)); break;
        case 1: p[at] = (unsigned char)random_int(seed, 0, 255); break;
        case 2: put(p + at / 4 * 4, 4, (uint64_t)random_int(seed, 0, 16)); break;
        case 3: put(p + at / 8 * 8, 8, UINT64_MAX >> random_int(seed, 0, 63)); break;
        case 4:
            put(p + at / 8 * 8, 8, get_uint(p + at / 8 * 8, 8) + 64u * (unsigned)random_int(seed, 0, 64) - 2048);
            break;
        }
    }
}

static void test_mutations(void) {
    TEST(".llama: random mutations do no harm") {
        uint64_t seed = 80;
        int loaded = 0, runs = 0;
        for (int type = INSIDE_F32; type <= INSIDE_Q4; type++)
            for (int shared = 0; shared < 2; shared++) {
                file f = small_file(type, shared);
                unsigned char *p = xmalloc(f.size);
                for (int round = 0; round < 1500; round++, runs++) {
                    const char *set = sets[round % N_SETS];
                    memcpy(p, f.bytes, f.size);
                    mutate(p, f.size, &seed);
                    loaded += survives(p, f.size, set);
                }
                free(p), free(f.bytes);
            }
        CHECK(loaded > runs / 20 && loaded < runs); /* weights of any bits are weights */
        if (test_state.bad) printf("  %d of %d loaded\n", loaded, runs);
    }
    TEST(".llama: weights of random bits do no harm") {
        uint64_t seed = 81;
        for (int type = INSIDE_F32; type <= INSIDE_Q4; type++) {
            model *m = model_make(shapes[1], type, 82);
            file f = build(m, NULL);
            const size_t begin = 128 + 64 * (size_t)inside_tensor_count(&m->in.config);
            for (int round = 0; round < 60; round++) {
                /* All of the bits, or only small floats: exponents from deep below one. */
                for (size_t i = begin; i < f.size; i++)
                    f.bytes[i] = (unsigned char)(random_next(&seed) & (round % 3 ? 255 : 0x80));
                const char *set = sets[round % N_SETS];
                CHECK(survives(f.bytes, f.size, set));
            }
            free(f.bytes), model_free(m);
        }
    }
}

/* ---- Damaged weights ---- */

/* One weight of a tensor in a row that the tokens use is no number: no token may be sampled. */
static void check_damage(int type, int tensor, float value) {
    static const model_shape s = {40, 70, 2, 4, 2, 10, 30, 0};
    static const int tokens[] = {3, 0, 3, 1};
    model *m = model_make(s, type, 90);
    int rows, cols, layers;
    shape_of(&s, tensor, &rows, &cols, &layers);
    m->weights[tensor]
              [(size_t)(tensor == TENSOR_EMBEDDING ? 3 : rows / 2) * (size_t)cols % ((size_t)rows * (size_t)cols) +
               (size_t)cols / 3] = value;
    file f = build(m, NULL);
    llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
    llama_sampler *sampler = CHECK(loaded) ? llama_sampler_create(loaded, NULL, NULL, &err) : NULL;
    for (int k = 0; k < N_SETS && CHECK(sampler); k++) {
        llama_context *c = context_with(sets[k], loaded, 0, 1);
        if (!c) continue;
        for (int n = 1; n <= 4; n += 3) { /* alone, and among others */
            llama_rewind(c, 0);
            const float *logits = llama_forward(c, tokens, n, &err);
            const int got = CHECK(logits) ? llama_sample(sampler, logits, &err) : 0;
            if (!CHECK(got == -1 && strstr(err.text, "the model's weights are damaged")))
                printf("  %g in %s, tensor %d, kernels %s, %d tokens: token %d\n", (double)value,
                       type_names[type - INSIDE_F32], tensor, sets[k], n, got);
        }
        llama_context_free(c);
    }
    llama_sampler_free(sampler), llama_free(loaded);
    free(f.bytes), model_free(m);
}

static void test_damage(void) {
    static const char *const names[] = {"f32: weights that are no numbers leave no token to sample",
                                        "bf16: weights that are no numbers leave no token to sample",
                                        "q8: weights that are no numbers leave no token to sample",
                                        "q4: weights that are no numbers leave no token to sample"};
    for (int type = INSIDE_F32; type <= INSIDE_Q4; type++) {
        TEST(names[type - INSIDE_F32]) {
            for (int tensor = 0; tensor < N_TENSORS; tensor++) {
                check_damage(type, tensor, NAN);
                if (tensor == TENSOR_CLASSIFIER) continue; /* -infinity forbids a token, as llama.h says */
                check_damage(type, tensor, INFINITY);
                check_damage(type, tensor, -INFINITY);
            }
        }
    }
}

/* ---- The writer ---- */

static int exists(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

/* 1 if path holds exactly these bytes. */
static int holds(const char *path, const void *data, size_t size) {
    unsigned char *p = xmalloc(size + 1);
    FILE *f = fopen(path, "rb");
    const int same = f && fread(p, 1, size + 1, f) == size && memcmp(p, data, size) == 0;
    if (f) fclose(f);
    free(p);
    return same;
}

static int count_progress(void *user, uint64_t done, uint64_t total) {
    model *m = user;
    CHECK(done <= total && done > 0);
    return m->calls++ == m->cancel_at;
}

/* Writing fails with the message, leaves nothing of its own, and what was there before. */
static void write_fails(model *m, const char *path, const char *what) {
    char part[128];
    snprintf(part, sizeof part, "%s.part", path);
    for (int before = 0; before < 2; before++) {
        if (before && !write_file(path, "what was there", 14)) break;
        memset(&err, 0, sizeof err);
        int ok = CHECK(writer_write(&m->in, path, NULL, &err) == -1) & CHECK(strstr(err.text, what)) &
                 CHECK(strstr(err.text, path));
        if (!ok) printf("  wanted %s, got: %s\n", what, err.text);
        CHECK(!exists(part));
        if (before) CHECK(holds(path, "what was there", 14));
        else CHECK(!exists(path));
        remove(path), remove(part);
        m->calls = 0;
    }
}

static void test_writer(void) {
    char path[64], part[80], path_in[80];
    snprintf(path, sizeof path, "%s", temporary_path());
    snprintf(part, sizeof part, "%s.part", path);
    TEST("writer: a file is what the memory is, and replaces what was there") {
        for (int type = INSIDE_F32; type <= INSIDE_Q4; type++) {
            model *m = model_make(shapes[type], type, 95);
            writer_report a, b;
            file f = build(m, &a);
            if (type % 2) CHECK(write_file(path, "what was there", 14) && write_file(part, "of a former crash", 17));
            m->in.progress = count_progress;
            if (!CHECK(writer_write(&m->in, path, &b, &err) == 0)) printf("  %s\n", err.text);
            CHECK(holds(path, f.bytes, f.size) && !exists(part) && m->calls > 10);
            CHECK(a.bytes == f.size && b.bytes == a.bytes && b.weights == a.weights && b.mse == a.mse &&
                  b.signal == a.signal);
            remove(path);
            free(f.bytes), model_free(m);
        }
    }
    TEST("writer: any number of threads writes the same bytes") {
        for (int type = INSIDE_F32; type <= INSIDE_Q4; type++) {
            model_shape s = {90, 200, 1, 3, 1, 30, 700, 1};
            if (type == INSIDE_BF16) s.vocab_size = 12000; /* more rows than are encoded at once */
            model *m = model_make(s, type, 94);
            writer_report a, b;
            file one = build(m, &a);
            writer_threads(3);
            file three = build(m, &b);
            writer_threads(1);
            CHECK(one.size == three.size && memcmp(one.bytes, three.bytes, one.size) == 0 &&
                  memcmp(&a, &b, sizeof a) == 0);
            free(one.bytes), free(three.bytes), model_free(m);
        }
    }
    TEST("writer: cancelled at any time") {
        model *m = model_make(shapes[2], INSIDE_Q8, 96);
        m->in.progress = count_progress;
        for (int at = 0;; at++) {
            m->cancel_at = at, m->calls = 0;
            int result = writer_write(&m->in, path, NULL, NULL);
            CHECK(exists(path) == (result == 0) && !exists(part));
            remove(path);
            if (result == 0) break; /* it is done before so many calls */
            m->calls = 0;
            write_fails(m, path, "cancelled");
            void *data = NULL;
            size_t size;
            m->calls = 0;
            CHECK(writer_build(&m->in, &data, &size, NULL, &err) == -1 && !data && strstr(err.text, "cancelled"));
        }
        CHECK(m->cancel_at > 10);
        model_free(m);
    }
    TEST("writer: rows that are not to be had") {
        model *m = model_make(shapes[2], INSIDE_BF16, 97);
        for (int tensor = 0; tensor < N_TENSORS; tensor++) {
            char what[32];
            m->fail_tensor = tensor;
            snprintf(what, sizeof what, "tensor %d of layer 0", tensor);
            write_fails(m, path, what);
        }
        model_free(m);
    }
    TEST("writer: a directory that is not there, a name that is a directory") {
        model *m = model_make(shapes[2], INSIDE_BF16, 98);
        write_fails(m, "tests/there-is-no-such-directory/x.llama", "cannot open");
#ifdef HAVE_POSIX
        if (CHECK(mkdir(path, 0777) == 0)) {
            CHECK(writer_write(&m->in, path, NULL, &err) == -1);
            CHECK(strstr(err.text, "cannot rename") && !exists(part));
            CHECK(rmdir(path) == 0);
        }
#endif
        model_free(m);
    }
    TEST("writer: sizes that no reader takes") {
        model *m = model_make(shapes[2], INSIDE_BF16, 99);
        m->in.config.head_dim = 3;
        write_fails(m, path, "head_dim is 3");
        m->in.config.head_dim = 2, m->in.config.vocab_size = 0;
        write_fails(m, path, "vocab_size is 0");
        model_free(m);
    }
#ifdef HAVE_POSIX
    snprintf(path_in, sizeof path_in, "%s/x.llama", path);
    if (geteuid() == 0 || mkdir(path, 0555) != 0)
        SKIP("writer: a directory that may not be written", "root may write everywhere");
    else {
        TEST("writer: a directory that may not be written") {
            model *m = model_make(shapes[2], INSIDE_BF16, 100);
            write_fails(m, path_in, "cannot open");
            model_free(m);
        }
        rmdir(path);
    }
    if (!exists("/dev/full") || symlink("/dev/full", part) != 0) SKIP("writer: a full disk", "no /dev/full");
    else {
        TEST("writer: a full disk") {
            for (int large = 0; large < 2; large++) { /* noticed when it is flushed, or before */
                model *m = model_make(shapes[large ? 0 : 3], INSIDE_F32, 101);
                for (int before = 0; before < 2; before++) {
                    if (before) CHECK(write_file(path, "what was there", 14));
                    if (!exists(part)) CHECK(symlink("/dev/full", part) == 0);
                    CHECK(writer_write(&m->in, path, NULL, &err) == -1);
                    if (!CHECK(strstr(err.text, "cannot write") && strstr(err.text, path))) printf("  %s\n", err.text);
                    CHECK(!exists(part) && (before ? holds(path, "what was there", 14) : !exists(path)));
                    remove(path);
                }
                model_free(m);
            }
        }
        remove(part);
    }
#else
    (void)path_in;
    SKIP("writer: a directory that may not be written", "no POSIX");
    SKIP("writer: a full disk", "no POSIX");
#endif
}

static void test_report(void) {
    TEST("writer: bits per weight and squared error are right") {
        for (int i = 0; i < N_SHAPES * 4; i++) {
            const int type = i % 4;
            const model_shape *s = &shapes[i / 4];
            model *m = model_make(*s, INSIDE_F32 + type, 110u + (unsigned)i);
            writer_report report;
            file f = build(m, &report);
            llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
            double error = 0, signal = 0, count = 0, bits = 0, line[] = {32, 16, 8, 4};
            for (int t = 0; t < N_TENSORS && CHECK(loaded); t++) {
                int rows, cols, layers;
                shape_of(s, t, &rows, &cols, &layers);
                if (t == TENSOR_FINAL_NORM || t == TENSOR_ATTENTION_NORM || t == TENSOR_FFN_NORM ||
                    (t == TENSOR_CLASSIFIER && s->shared))
                    continue;
                float *row = xmalloc((size_t)cols * sizeof *row);
                for (int l = 0; l < layers; l++)
                    for (int r = 0; r < rows; r++) {
                        const float *x = m->weights[t] + ((size_t)l * (size_t)rows + (size_t)r) * (size_t)cols;
                        inside_rows(loaded, (enum tensor)t, l, r, 1, row);
                        for (int k = 0; k < cols; k++) {
                            error += ((double)x[k] - (double)row[k]) * ((double)x[k] - (double)row[k]);
                            signal += (double)x[k] * (double)x[k];
                        }
                    }
                free(row);
                /* Rows to a multiple of 16, columns to one of a pair or group, and a line of scales to two groups. */
                const int unit = type == 0 ? 1 : type == 1 ? 2 : type == 2 ? 64 : 32, units = (cols + unit - 1) / unit;
                const double tile = 16.0 * units * unit * line[type] + (type < 2 ? 0 : 8.0 * 64 * ((units + 1) / 2));
                bits += layers * ((rows + 15) / 16) * tile;
                count += (double)layers * rows * cols;
            }
            CHECK(report.bytes == f.size && (double)report.weights == count);
            CHECK_NEAR(report.bits_per_weight, bits / count, 1e-9 * bits / count);
            CHECK_NEAR(report.mse, error / count, 1e-9 * error / count);
            CHECK_NEAR(report.signal, signal / count, 1e-9 * signal / count);
            CHECK(type || report.mse == 0);
            llama_free(loaded);
            free(f.bytes), model_free(m);
        }
    }
}

int main(void) {
    writer_threads(1);
    test_forward();
    test_threads();
    test_order();
    test_loading();
    test_header();
    test_table();
    test_sizes();
    test_no_numbers();
    test_mutations();
    test_damage();
    test_writer();
    test_report();
    return test_end();
}
