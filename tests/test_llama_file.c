/* test_llama_file.c - .llama files: written, loaded and run against the reference, and every way to be malformed.
 *
 * writer.c writes the files, and inside.c gives the weights that a file holds.
 */
#define _POSIX_C_SOURCE 200809L
#include "../tools/shared/messages.h"
#include "../tools/shared/numbers.h"
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "checkpoint.c"
#include "models.c"
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
enum { N_SHAPES = sizeof shapes / sizeof *shapes, POSITIONS = 36 };

/* A plain Llama. */
static model *llama_of(model_shape s, int type, uint64_t seed) {
    const llama_config f = {.dim = s.dim,
                            .hidden_dim = s.hidden_dim,
                            .n_layers = s.n_layers,
                            .n_heads = s.n_heads,
                            .n_kv_heads = s.n_kv_heads,
                            .head_dim = s.head_dim,
                            .vocab_size = s.vocab_size,
                            .seq_len = POSITIONS,
                            .shared_classifier = s.shared,
                            .norm_eps = 3e-5f,
                            .rope_theta = 123456};
    return model_make(&f, type, seed);
}

/* What a token reads: each tensor but the rotary tables and the embedding, or but the classifier if that is the
 * embedding. */
static uint64_t bytes_of_a_token(const llama_config *f, int type) {
    const writer_input in = {.config = *f, .type = type};
    uint64_t sum = 0;
    for (int id = TENSOR_FINAL_NORM; id < TENSORS; id++)
        for (int l = 0, rows, cols; l < (id < TENSOR_OF_LAYER ? 1 : f->n_layers); l++) {
            if (id == TENSOR_EMBEDDING && !f->shared_classifier) continue;
            tensor_shape(f, (enum tensor)id, l, &rows, &cols);
            sum += tensor_is_vector((enum tensor)id)
                       ? (size_t)rows * (size_t)cols * sizeof(float)
                       : inside_matrix_bytes(writer_type_of(&in, (enum tensor)id, l, 0), rows, cols);
        }
    return sum;
}

/* ---- The forward pass ---- */

static const char *const type_names[] = {"f32", "bf16", "q8", "q4_0", "q4", "q6"};

/* Runs the tokens step at a time (0: all) and compares the logits after each call. */
static double forward_error(llama_context *c, const int *tokens, int n, int step, const double *want, int vocab_size,
                            double *worst) {
    difference d = {0};
    llama_rewind(c, 0);
    for (int i = 0; i < n;) {
        const int some = step && step < n - i ? step : n - i;
        const float *logits = llama_forward(c, tokens + i, some, &err);
        if (!CHECK(logits)) return INFINITY;
        i += some;
        difference_add(&d, logits, want + (size_t)(i - 1) * (size_t)vocab_size, vocab_size);
    }
    *worst = difference_worst(&d);
    return difference_rms(&d);
}

/* Weights are exact, so what remains is how activations are rounded before each product: f32 not at all; bf16 to 2^-9
 * of each value; q8 and q4 to half of 1/127 of a group's largest, on average a hundredth of a typical one. Keys and
 * values are float16, 2^-12. Some ten products lie in a row, whose errors add as squares, and attention as sharp as
 * here amplifies them. Measured: over all shapes 1e-6, 0.0085, 0.026, 0.027 of the logits, in the worst of them
 * twice as much, in a single logit 5e-6, 0.03, 0.07, 0.06 of the largest. */
static const double all_bound[] = {3e-6, 0.013, 0.04, 0.04, 0.04, 0.04},
                    shape_bound[] = {1e-5, 0.03, 0.1, 0.1, 0.15, 0.15},
                    worst_bound[] = {1e-4, 0.06, 0.15, 0.15, 0.15, 0.15};
static double all_squares;
static int all_count;

static void check_shape(const model_shape *s, int type, uint64_t seed) {
    static const struct { int step, n_batch; } ways[] = {{1, 0}, {7, 0}, {0, 0}, {0, 5}, {2, 1}, {13, 16}};
    model *m = llama_of(*s, INSIDE_F32 + type, seed);
    file f = model_file(m, NULL);
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
    CHECK(g->weight_bytes == bytes_of_a_token(g, INSIDE_F32 + type));
    double *weights, *want = xmalloc((size_t)POSITIONS * (size_t)s->vocab_size * sizeof *want);
    reference_model r = model_reference(loaded, 0, &weights);
    int tokens[POSITIONS];
    for (int i = 0; i < POSITIONS; i++) tokens[i] = random_int(&seed, 0, s->vocab_size - 1);
    reference_forward(&r, tokens, POSITIONS, want, NULL);
    for (int k = 0; k < N_SETS; k++)
        for (int w = 0; w < (k ? 6 : 3); w++) { /* the plain set is slow */
            llama_context *c = model_context(sets[k], loaded, 0, ways[w].n_batch, 1);
            if (!c) break;
            double worst = 0, rms = forward_error(c, tokens, POSITIONS, ways[w].step, want, s->vocab_size, &worst);
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
                                        "q8 against the reference",  "q4_0 against the reference",
                                        "q4 against the reference",  "q6 against the reference"};
    for (int type = 0; type < 6; type++) {
        TEST(names[type]) {
            uint64_t seed = 100u + (unsigned)type;
            all_squares = 0, all_count = 0;
            for (int i = 0; i < N_SHAPES; i++)
                if (TAKEN(i + type)) check_shape(&shapes[i], type, 1000u * (unsigned)type + (unsigned)i);
            for (int i = 0; i < 6; i++) {
                model_shape s = {0};
                s.dim = random_int(&seed, 1, 90), s.hidden_dim = random_int(&seed, 1, 150),
                s.n_layers = random_int(&seed, 1, 3);
                s.n_kv_heads = random_int(&seed, 1, 3), s.n_heads = s.n_kv_heads * random_int(&seed, 1, 3);
                s.head_dim = 2 * random_int(&seed, 1, 20), s.vocab_size = random_int(&seed, 1, 100),
                s.shared = random_int(&seed, 0, 1);
                const uint64_t of_model = random_next(&seed);
                if (TAKEN(i + type)) check_shape(&s, type, of_model);
            }
            if (!SLOW) CHECK_NEAR(sqrt(all_squares / all_count), 0, all_bound[type]);
        }
    }
}

static void test_threads(void) {
    static const model_shape s = {128, 301, 1, 8, 2, 20, 700, 0};
    TEST("any number of threads gives the same bits") {
        enum { N = 80 }; /* so much work that threads share it in every type */
        for (int type = 0; type < 6; type++) {
            model *m = llama_of(s, INSIDE_F32 + type, 50u + (unsigned)type);
            file f = model_file(m, NULL);
            llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
            int tokens[N];
            float *first = xmalloc(700 * sizeof *first), scores[2][N] = {{0}, {0}};
            for (int i = 0; i < N; i++) tokens[i] = i * 97 % 700;
            if (loaded) CHECK(N * llama_get_config(loaded)->weight_bytes > 8 << 20);
            for (int k = type % 2; k < N_SETS && CHECK(loaded); k += 2)
                for (int threads = 1; threads <= 3; threads++) {
                    llama_context *c = model_context(sets[k], loaded, N, 20, threads);
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

/* For a set of kernels a token's sums come in one order: however a text is cut into calls, its logits are the same
 * bits. */
static void test_order(void) {
    enum { N = 70 };
    static const int some[] = {0, 7, 2}; /* two query heads to a kv head, and one */
    static const char *const names[] = {"one order of sums, f32",  "one order of sums, bf16", "one order of sums, q8",
                                        "one order of sums, q4_0", "one order of sums, q4",   "one order of sums, q6"};
    uint64_t seed = 31;
    for (int type = 0; type < 6; type++)
        for (int i = 0; i < 3; i++) {
            TEST(names[type]) {
                model *m = llama_of(shapes[some[i]], INSIDE_F32 + type, seed++);
                file f = model_file(m, NULL);
                llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
                const int vocab_size = m->in.config.vocab_size;
                float *want = xmalloc((size_t)N * (size_t)vocab_size * sizeof *want);
                int tokens[N];
                for (int t = 0; t < N; t++) tokens[t] = random_int(&seed, 0, vocab_size - 1);
                for (int s = SLOW * (type + i) % 3; loaded && s < N_SETS; s += SLOW ? 3 : 1) {
                    const llama_options o = {.n_ctx = N, .n_batch = 50, .n_threads = 1, .kernels = sets[s]};
                    llama_context *c = llama_context_create(loaded, &o, NULL);
                    for (int t = 0; c && t < N; t++) {
                        const float *logits = llama_forward(c, tokens + t, 1, &err);
                        if (CHECK(logits))
                            memcpy(want + (size_t)t * (size_t)vocab_size, logits, (size_t)vocab_size * sizeof *want);
                    }
                    const int cuts[] = {0, 2, 3, 5, 7, 13, 40};
                    for (size_t k = 0; c && k < sizeof cuts / sizeof *cuts; k++)
                        if (!CHECK(model_other_logits(c, tokens, N, cuts[k], want, vocab_size, &seed) == 0))
                            printf("  %s, up to %d tokens a call\n", sets[s], cuts[k]);
                    llama_context_free(c);
                }
                free(want), llama_free(loaded), free(f.bytes), model_free(m);
            }
        }
}

static void test_loading(void) {
    TEST("from memory at any alignment allowed, from a file mapped or copied: the same bits, the tokenizer as it was") {
        for (int type = 0; type < 6; type++) {
            static const char tokenizer[] = "these bytes\0 are not looked\n at";
            model *m = llama_of(shapes[0], INSIDE_F32 + type, 60);
            m->in.tokenizer = tokenizer, m->in.tokenizer_size = sizeof tokenizer;
            file f = model_file(m, NULL);
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
                CHECK(way < 2 || (uintptr_t)inside_file(loaded, &size) % 4096 == 0);
                const void *got = llama_get_tokenizer(loaded, &size);
                CHECK(got && size == sizeof tokenizer && memcmp(got, tokenizer, size) == 0);
                llama_context *c = model_context(NULL, loaded, 0, 0, 1);
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
        model *m = llama_of(shapes[2], INSIDE_Q8, 61);
        file f = model_file(m, NULL);
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
        ok &= CHECK(largest <= size + (1 << 20) + 4096) & CHECK(strstr(err.text, path));
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
    model *m = llama_of(s, type, 70);
    m->in.config.shared_classifier = shared;
    m->in.tokenizer = "tokenizer!", m->in.tokenizer_size = 10;
    file f = model_file(m, NULL);
    model_free(m);
    return f;
}

/* Writes size bytes of value, little-endian. */
static void put(unsigned char *p, int size, uint64_t value) {
    for (int i = 0; i < size; i++) p[i] = (unsigned char)(value >> 8 * i);
}

/* The same with all that Llama's relatives add, but what excludes another; its second layer is a mixture. */
static file rich_file(int type) {
    static const llama_layer_kind kinds[] = {{0, 0, 0}, {1, 3, 1}};
    const llama_config f = {.dim = 4,
                            .hidden_dim = 6,
                            .n_layers = 2,
                            .n_heads = 2,
                            .n_kv_heads = 1,
                            .head_dim = 2,
                            .vocab_size = 5,
                            .seq_len = 9,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000,
                            .extras = LLAMA_QKV_BIAS | LLAMA_O_BIAS | LLAMA_HEAD_NORM | LLAMA_POST_NORM | LLAMA_GELU |
                                      LLAMA_RENORMALISE | LLAMA_ROPE_AMPLITUDES,
                            .attention_scale = 0.5f,
                            .embedding_scale = 2,
                            .score_cap = 3,
                            .logit_cap = 4,
                            .n_experts = 3,
                            .n_experts_used = 2,
                            .expert_dim = 5,
                            .n_ropes = 2,
                            .rope_short = 2,
                            .layers = kinds,
                            .architecture = "everything"};
    model *m = model_make(&f, type, 71);
    m->in.tokenizer = "tokenizer!", m->in.tokenizer_size = 10;
    file made = model_file(m, NULL);
    model_free(m);
    return made;
}

/* Of files with two layers. N_RICH: 18 of the second layer, which has a router. */
enum { TABLE = INSIDE_HEADER + 2 * INSIDE_KIND, N_SMALL = 4 + 9 * 2, N_RICH = 5 + 17 + 18 };
enum { TABLE_END = TABLE + INSIDE_ENTRY * N_SMALL, WQ = 6, LAST = N_SMALL - 1 };
/* Where a field of tensor i lies. */
enum { NAME = 0, TYPE = 32, ROWS = 36, COLS = 40, OFFSET = 48, SIZE = 56 };
/* The next size to cut a file to: up to the end of its table each, behind it, where most is filling, every 13th. */
static size_t next_size(size_t size, size_t table_end) { return size + (size < table_end ? 1 : 13); }
static size_t entry(int i, int field) { return TABLE + INSIDE_ENTRY * (size_t)i + (size_t)field; }

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
        {"version 0", 8, 4, 0, "version of the format is 0", "known are 1 and 2"},
        {"version 1, which ends sooner", 8, 4, 1, "a tensor is \"\"", "rope_frequencies"},
        {"version 3", 8, 4, 3, "version of the format is 3", "known are 1 and 2"},
        {"version 2^32 - 1", 8, 4, UINT32_MAX, "version", "4294967295"},
        {"classifier flag 2", 12, 4, 2, "shared_classifier is 2", "not 0 or 1"},
        {"classifier flag 2^31", 12, 4, 1u << 31, "shared_classifier", "2147483648"},
        {"a classifier of its own that is called shared", 12, 4, 1, "a tensor is \"classifier\"",
         "not \"layers.0.attention_norm\""},
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
        {"tokenizer in the table", 56, 8, TABLE_END - 1, "tokenizer", "allowed are 1696"},
        {"tokenizer behind the end", 56, 8, 1 << 20, "tokenizer", "1048576 + 10"},
        {"tokenizer at 2^63", 56, 8, UINT64_C(1) << 63, "tokenizer", "9223372036854775808"},
        {"tokenizer at 2^64 - 5", 56, 8, UINT64_MAX - 4, "tokenizer", "18446744073709551611"},
        {"tokenizer over the tensors", 64, 8, 200, "rope_frequencies takes bytes", NULL},
        {"tokenizer longer than the file", 64, 8, 1 << 20, "tokenizer", "1696 + 1048576"},
        {"tokenizer of 2^64 - 1 bytes", 64, 8, UINT64_MAX, "tokenizer", "18446744073709551615"},
        {"no tensors", 72, 4, 0, "a table of 0 tensors for 2 layers", NULL},
        {"2 tensors", 72, 4, 2, "2 tensors are too few", "2 layers"},
        {"a tensor too few", 72, 4, N_SMALL - 1, "21 tensors are too few", NULL},
        {"a tensor too many", 72, 4, N_SMALL + 1, "the tokenizer takes bytes 1696 + 10", "allowed are 1760"},
        {"2^32 - 1 tensors", 72, 4, UINT32_MAX, "a table of 4294967295 tensors", "cut short"},
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
            refused(f.bytes, f.size, "layers: cut short?", NULL, layers == 1 << 24);
        }
        free(f.bytes);
    }
}

/* ---- What version 2 adds ---- */

static void test_config(void) {
    TEST(".llama: all that version 2 adds comes back") {
        uint64_t hash[6];
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            file f = rich_file(type);
            llama_model *m = llama_load_memory(f.bytes, f.size, NULL, &err);
            if (CHECK(m)) {
                const llama_config *g = llama_get_config(m);
                CHECK(g->extras == (LLAMA_QKV_BIAS | LLAMA_O_BIAS | LLAMA_HEAD_NORM | LLAMA_POST_NORM | LLAMA_GELU |
                                    LLAMA_RENORMALISE | LLAMA_ROPE_AMPLITUDES));
                CHECK(g->attention_scale == 0.5f && g->embedding_scale == 2 && g->score_cap == 3 && g->logit_cap == 4);
                CHECK(g->n_experts == 3 && g->n_experts_used == 2 && g->expert_dim == 5);
                CHECK(g->n_ropes == 2 && g->rope_short == 2);
                CHECK(!g->layers[0].rope && !g->layers[0].window && !g->layers[0].experts);
                CHECK(g->layers[1].rope == 1 && g->layers[1].window == 3 && g->layers[1].experts == 1);
                CHECK_TEXT(g->architecture, "everything");
                hash[type - INSIDE_F32] = g->hash;
            }
            llama_free(m);
            free(f.bytes);
        }
        for (int i = 0; i < 6; i++) CHECK(hash[i] && hash[i] != hash[(i + 1) % 6]); /* other weights, another hash */
    }
    TEST(".llama: the hash is that of the weights, all of them and nothing else") {
        static const model_shape s = {4, 6, 2, 2, 1, 2, 5, 0};
        uint64_t first = 0;
        for (int change = 0; change <= TENSORS; change++) {
            model *m = llama_of(s, INSIDE_BF16, 73);
            float *w = change < TENSORS ? m->weights[change][change < TENSOR_OF_LAYER ? 0 : 1] : NULL;
            if (change && change < TENSORS && !w) {
                model_free(m);
                continue;
            }
            if (change && w) w[1] += 0.25f;
            if (change == TENSORS) m->in.config.seq_len++, m->in.tokenizer = "t", m->in.tokenizer_size = 1;
            if (!change) m->in.config.norm_eps = 0;
            file f = model_file(m, NULL);
            llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
            const uint64_t hash = CHECK(loaded) ? llama_get_config(loaded)->hash : 0;
            if (!change) first = hash;
            else CHECK(hash && (hash == first) == (change == TENSORS));
            llama_free(loaded);
            free(f.bytes), model_free(m);
        }
    }
}

/* Fields of the header and of the layers' kinds out of their ranges; rich: in a file that has all of them. */
static void test_extras(void) {
    static const struct {
        const char *name;
        int rich;
        size_t at;
        int size;
        uint64_t value;
        const char *what, *text;
    } table[] = {
        {"extras of a later version", 1, 76, 4, 512, "extras is 512, not between 0 and 511", NULL},
        {"extras negative", 1, 76, 4, 0x80000000, "extras is -2147483648", NULL},
        {"norms of heads and of all heads", 1, 76, 4, LLAMA_HEAD_NORM | LLAMA_WIDE_NORM, "extras are 12", NULL},
        {"attention_scale negative", 0, 80, 4, 0xbf800000, "attention_scale is -1, not 0 or above", NULL},
        {"attention_scale nan", 0, 80, 4, 0x7fc00000, "attention_scale is nan", NULL},
        {"attention_scale infinite", 0, 80, 4, 0x7f800000, "attention_scale is inf", NULL},
        {"embedding_scale negative", 0, 84, 4, 0xbf800000, "embedding_scale is -1, not 0 or above", NULL},
        {"embedding_scale nan", 1, 84, 4, 0x7fc00000, "embedding_scale is nan", NULL},
        {"embedding_scale infinite", 0, 84, 4, 0x7f800000, "embedding_scale is inf", NULL},
        {"score_cap negative", 0, 88, 4, 0xbf800000, "score_cap is -1, not 0 or above", NULL},
        {"score_cap nan", 1, 88, 4, 0x7fc00000, "score_cap is nan", NULL},
        {"score_cap infinite", 0, 88, 4, 0x7f800000, "score_cap is inf", NULL},
        {"logit_cap negative", 0, 92, 4, 0xbf800000, "logit_cap is -1, not 0 or above", NULL},
        {"logit_cap nan", 1, 92, 4, 0x7fc00000, "logit_cap is nan", NULL},
        {"logit_cap infinite", 0, 92, 4, 0x7f800000, "logit_cap is inf", NULL},
        {"n_experts negative", 1, 96, 4, UINT32_MAX, "n_experts is -1, not between 0 and 65535", NULL},
        {"n_experts 65536", 1, 96, 4, 65536, "n_experts is 65536, not between 0 and 65535", NULL},
        {"n_experts 0, but some used", 1, 96, 4, 0, "n_experts_used is 2, not between 0 and 0", NULL},
        {"n_experts, but none used", 0, 96, 4, 3, "n_experts_used is 0, not between 1 and 3", NULL},
        {"an expert more", 1, 96, 4, 4, "layers.1.router", "implies 4 x 4"},
        {"an expert less", 1, 96, 4, 2, "layers.1.router", "implies 2 x 4"},
        {"n_experts_used negative", 1, 100, 4, UINT32_MAX, "n_experts_used is -1, not between 1 and 3", NULL},
        {"n_experts_used 0", 1, 100, 4, 0, "n_experts_used is 0, not between 1 and 3", NULL},
        {"n_experts_used 4 of 3", 1, 100, 4, 4, "n_experts_used is 4, not between 1 and 3", NULL},
        {"experts used where there are none", 0, 100, 4, 1, "n_experts_used is 1, not between 0 and 0", NULL},
        {"expert_dim negative", 1, 104, 4, UINT32_MAX, "expert_dim is -1, not between 1 and 268435456", NULL},
        {"expert_dim 0", 1, 104, 4, 0, "expert_dim is 0, not between 1 and 268435456", NULL},
        {"expert_dim 2^28 + 1", 1, 104, 4, (1 << 28) + 1, "expert_dim is 268435457", NULL},
        {"expert_dim without experts", 0, 104, 4, 5, "expert_dim is 5, not between 0 and 0", NULL},
        {"experts of too many rows", 1, 104, 4, 1 << 28, "3 experts of 268435456 are too large", NULL},
        {"experts of another width", 1, 104, 4, 17, "layers.1.w1", "implies 96 x 4"},
        {"n_ropes negative", 1, 108, 4, UINT32_MAX, "n_ropes is -1, not between 0 and 64", NULL},
        {"n_ropes 65", 1, 108, 4, 65, "n_ropes is 65, not between 0 and 64", NULL},
        {"n_ropes 0, and a layer that names the second", 1, 108, 4, 0, "layer 1: rope is 1, not between 0 and 0", NULL},
        {"n_ropes 1, and a layer that names the second", 1, 108, 4, 1, "layer 1: rope is 1, not between 0 and 0", NULL},
        {"a rotary table more", 1, 108, 4, 3, "rope_frequencies is 1 x 4", "implies 1 x 6"},
        {"rope_short negative", 1, 112, 4, UINT32_MAX, "rope_short is -1, not between 0 and 268435456", NULL},
        {"rope_short 2^28 + 1", 1, 112, 4, (1 << 28) + 1, "rope_short is 268435457", NULL},
        {"rope_short 0, and tables for it", 1, 112, 4, 0, "rope_frequencies is 1 x 4", "implies 1 x 2"},
        {"rope_short, and no tables for it", 0, 112, 4, 1, "rope_frequencies is 1 x 1", "implies 1 x 2"},
        {"byte 116", 0, 116, 1, 1, "byte 116 of the header is 1", NULL},
        {"byte 119", 1, 119, 1, 255, "byte 119 of the header is 255", NULL},
        {"byte 160", 1, 160, 1, 7, "byte 160 of the header is 7", NULL},
        {"byte 255", 0, 255, 1, 1, "byte 255 of the header is 1", NULL},
        {"an architecture of 32 letters", 1, 159, 1, 'x', "byte 159 of the header is 120", NULL},
        {"an architecture with a control character", 1, 130, 1, 27, "byte 130 of the header is 27", NULL},
        {"an architecture with a byte of more than one", 1, 129, 1, 0xc3, "byte 129 of the header is 195", NULL},
        {"a layer's rope negative", 0, 256, 4, UINT32_MAX, "layer 0: rope is -1, not between 0 and 0", NULL},
        {"a layer's rope 1, of one", 0, 272, 4, 1, "layer 1: rope is 1, not between 0 and 0", NULL},
        {"a layer's rope 2, of two", 1, 256, 4, 2, "layer 0: rope is 2, not between 0 and 1", NULL},
        {"a layer's rope of the second half", 1, 272, 4, 3, "layer 1: rope is 3, not between 0 and 1", NULL},
        {"a layer's window negative", 0, 260, 4, UINT32_MAX, "layer 0: window is -1, not between 0 and 268435456",
         NULL},
        {"a layer's window 2^28 + 1", 1, 276, 4, (1 << 28) + 1, "layer 1: window is 268435457", NULL},
        {"a layer's experts 2", 1, 280, 4, 2, "layer 1: experts is 2, not between 0 and 1", NULL},
        {"a layer's experts negative", 1, 264, 4, UINT32_MAX, "layer 0: experts is -1, not between 0 and 1", NULL},
        {"a layer's experts where there are none", 0, 264, 4, 1, "layer 0: experts is 1, not between 0 and 0", NULL},
        {"one mixture less", 1, 280, 4, 0, "a tensor is \"layers.1.router\", not \"layers.1.w1\"", NULL},
        {"one mixture more", 1, 264, 4, 1, "a tensor is \"layers.0.w1\", not \"layers.0.router\"", NULL},
        {"a layer's last number", 0, 268, 4, 1, "layer 0: what follows is 1, not between 0 and 0", NULL},
        {"a layer's last number, of the last layer", 1, 284, 4, 1u << 31, "layer 1: what follows is -2147483648", NULL},
    };
    static char what[80][96];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(what[i], sizeof what[i], ".llama header: %s", table[i].name);
        TEST(what[i]) {
            file f = table[i].rich ? rich_file(INSIDE_Q8) : small_file(INSIDE_Q8, 0);
            put(f.bytes + table[i].at, table[i].size, table[i].value);
            refused(f.bytes, f.size, table[i].what, table[i].text, 1);
            free(f.bytes);
        }
    }
    TEST(".llama header: rotary tables and experts that are too many together") {
        file f = rich_file(INSIDE_F32);
        put(f.bytes + 36, 4, 1 << 22), put(f.bytes + 108, 4, 64);
        refused(f.bytes, f.size, "128 rotary tables of 4194304 or ", NULL, 1);
        free(f.bytes);
        f = rich_file(INSIDE_F32);
        put(f.bytes + 96, 4, 65535), put(f.bytes + 104, 4, 8192);
        refused(f.bytes, f.size, "65535 experts of 8192 are too large", NULL, 1);
        put(f.bytes + 104, 4, 5), put(f.bytes + 16, 4, 8192);
        refused(f.bytes, f.size, "65535 experts of 8192 are too large", NULL, 1);
        free(f.bytes);
    }
    TEST(".llama header: each of the extras decides which tensors there are") {
        /* Without it, and with it where it was not; but of two norms of heads there is one only. */
        static const int with[] = {LLAMA_QKV_BIAS,  LLAMA_O_BIAS,      LLAMA_HEAD_NORM,      LLAMA_WIDE_NORM,
                                   LLAMA_POST_NORM, LLAMA_NO_PRE_NORM, LLAMA_ROPE_AMPLITUDES};
        for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
            file f = rich_file(INSIDE_Q4), plain = small_file(INSIDE_Q4, 0);
            unsigned extras = (unsigned)get_uint(f.bytes + 76, 4) ^ (unsigned)with[i];
            if (with[i] == LLAMA_WIDE_NORM) extras ^= LLAMA_HEAD_NORM;
            put(f.bytes + 76, 4, extras), put(plain.bytes + 76, 4, (unsigned)with[i]);
            refused(f.bytes, f.size, with[i] == LLAMA_WIDE_NORM ? "layers.0.q_norm is 1 x 2" : "a tensor is", NULL, 0);
            refused(plain.bytes, plain.size, "a tensor is", NULL, 0);
            free(f.bytes), free(plain.bytes);
        }
        for (int extra = LLAMA_GELU; extra <= LLAMA_RENORMALISE; extra *= 2) { /* these have none */
            file f = rich_file(INSIDE_Q4), plain = small_file(INSIDE_Q4, 0);
            put(f.bytes + 76, 4, get_uint(f.bytes + 76, 4) ^ (unsigned)extra),
                put(plain.bytes + 76, 4, (unsigned)extra);
            CHECK(survives(f.bytes, f.size, NULL) && survives(plain.bytes, plain.size, NULL));
            free(f.bytes), free(plain.bytes);
        }
    }
}

/* After four tokens. */
static void logits_of(const file *f, float *out, int vocab_size) {
    static const int tokens[] = {3, 0, 4, 1};
    llama_model *m = llama_load_memory(f->bytes, f->size, NULL, &err);
    llama_context *c = CHECK(m) ? model_context(NULL, m, 0, 0, 1) : NULL;
    const float *logits = c ? llama_forward(c, tokens, 4, &err) : NULL;
    if (CHECK(logits)) memcpy(out, logits, (size_t)vocab_size * sizeof *out);
    llama_context_free(c);
    llama_free(m);
}

static void test_version_1(void) {
    TEST(".llama version 1: loads, runs to the same bits, and has nothing that version 2 adds") {
        for (int i = 0; i < N_SHAPES * 4; i++) {
            const model_shape *s = &shapes[i / 4];
            if (s->vocab_size < 5) continue;
            model *m = llama_of(*s, INSIDE_F32 + i % 4, 74u + (unsigned)i);
            m->in.tokenizer = "tokenizer!", m->in.tokenizer_size = i % 3 ? 10 : 0;
            strcpy(m->in.config.architecture, "llama");
            file two = model_file(m, NULL), one = model_version_1(&two);
            float *want = xmalloc((size_t)s->vocab_size * sizeof *want),
                  *got = xmalloc((size_t)s->vocab_size * sizeof *got);
            memset(got, 0, (size_t)s->vocab_size * sizeof *got);
            logits_of(&two, want, s->vocab_size);
            for (int full = 0; full < 2; full++) { /* what else is in the header is not looked at */
                if (full) memset(one.bytes + 76, 255, 128 - 76);
                logits_of(&one, got, s->vocab_size);
                CHECK(!memcmp(got, want, (size_t)s->vocab_size * sizeof *got));
                llama_model *loaded = llama_load_memory(one.bytes, one.size, NULL, &err);
                size_t size = 0;
                if (!CHECK(loaded)) break;
                const llama_config *f = llama_get_config(loaded);
                CHECK(f->dim == s->dim && f->vocab_size == s->vocab_size && f->seq_len == POSITIONS &&
                      f->shared_classifier == s->shared && f->norm_eps == (float)3e-5 && f->rope_theta == 123456);
                CHECK(!f->extras && !f->n_ropes && !f->rope_short && !f->n_experts && !f->n_experts_used &&
                      !f->expert_dim);
                CHECK(f->attention_scale == 0 && f->embedding_scale == 0 && f->score_cap == 0 && f->logit_cap == 0);
                CHECK(!f->hash && !f->architecture[0]);
                for (int l = 0; f->layers && l < f->n_layers; l++)
                    CHECK(!f->layers[l].rope && !f->layers[l].window && !f->layers[l].experts);
                const void *tokenizer = llama_get_tokenizer(loaded, &size);
                CHECK(i % 3 ? size == 10 && !memcmp(tokenizer, "tokenizer!", 10) : !tokenizer);
                llama_free(loaded);
            }
            free(want), free(got), free(two.bytes), free(one.bytes), model_free(m);
        }
    }
    TEST(".llama version 1: truncations, and bytes behind the last tensor") {
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            file two = small_file(type, type % 2), one = model_version_1(&two);
            for (size_t size = 0; size < one.size; size = next_size(size, TABLE_END))
                refused(one.bytes, size, NULL, NULL, size % 997 == 0);
            refused(one.bytes, 127, "127 bytes", "128-byte header", 1);
            refused(one.bytes, 128, "128 bytes", "cut short", 1);
            refused(one.bytes, one.size - 1, "layers.1.w2", "cut short", 1);
            unsigned char *longer = xmalloc(one.size + 64);
            memset(longer, 0, one.size + 64);
            memcpy(longer, one.bytes, one.size);
            refused(longer, one.size + 64, "its tensors end at", NULL, 1);
            free(longer), free(two.bytes), free(one.bytes);
        }
    }
}

/* ---- The table of tensors ---- */

static void test_table(void) {
    /* wq: 4 x 4 q8, one tile of 64 + 1024 bytes. */
    static const struct {
        const char *name;
        int tensor, field, size;
        uint64_t value;
        const char *what, *text;
    } table[] = {
        {"another name", WQ, NAME + 10, 1, 'Q', "a tensor is \"layers.0.wQ\"", "\"layers.0.wq\""},
        {"a name that goes on", WQ, NAME + 11, 1, 'x', "a tensor is \"layers.0.wqx\"", NULL},
        {"a name with bytes behind its end", WQ, NAME + 20, 1, 'x', "a tensor is \"layers.0.wq\"", NULL},
        {"no name", WQ, NAME, 8, 0, "a tensor is \"\"", NULL},
        {"a name with control characters", WQ, NAME, 4, 0x0a1b0a1b, "a tensor is \"????", NULL},
        {"a vector as a matrix", 0, TYPE, 4, INSIDE_F32, "rope_frequencies has type 1, not 0", NULL},
        {"a matrix as a vector", WQ, TYPE, 4, 0, "layers.0.wq has type 0, not 1 to 6", NULL},
        {"a type that is not known", WQ, TYPE, 4, 7, "layers.0.wq has type 7", NULL},
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
        {"an offset in the table", 0, OFFSET, 8, 128, "rope_frequencies takes bytes 128 + 4", "allowed are 1706"},
        {"an offset in the tokenizer", 0, OFFSET, 8, 1664, "rope_frequencies takes bytes 1664 + 4", "allowed are 1706"},
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
            /* the last line of the tensor before, or of the table */
            const uint64_t before =
                (i ? get_uint(p - INSIDE_ENTRY, 8) + get_uint(p - INSIDE_ENTRY + 8, 8) + 63 : offset) / 64 * 64;
            put(p, 8, before - 64);
            snprintf(text, sizeof text, "bytes %" PRIu64 " + ", before - 64);
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
    TEST(".llama table: each tensor of a relative: another name, type, shape, size, place") {
        file f = rich_file(INSIDE_Q8);
        CHECK(get_uint(f.bytes + 72, 4) == N_RICH);
        for (int i = 0; i < N_RICH; i++) {
            char name[33] = {0}, text[64];
            unsigned char *p = f.bytes + entry(i, 0);
            memcpy(name, p, 32);
            const uint64_t type = get_uint(p + TYPE, 4), size = get_uint(p + SIZE, 8), offset = get_uint(p + OFFSET, 8);
            static const struct {
                int field, size;
                uint64_t add;
                const char *what;
            } changes[] = {{NAME, 1, 1, "\""},
                           {NAME + 31, 1, 1, "\""},
                           {TYPE, 4, 1, " has "},
                           {TYPE, 4, UINT32_MAX, " has "},
                           {ROWS, 4, 1, " is "},
                           {ROWS, 4, UINT32_MAX, " is "},
                           {COLS, 4, 1, " is "},
                           {COLS, 4, UINT32_MAX, " is "},
                           {SIZE, 8, 1, " has size "},
                           {SIZE, 8, UINT64_MAX, " has size "},
                           {OFFSET, 8, 32, " has offset "}};
            for (size_t k = 0; k < sizeof changes / sizeof *changes; k++) {
                const uint64_t was = get_uint(p + changes[k].field, changes[k].size);
                put(p + changes[k].field, changes[k].size, was + changes[k].add);
                snprintf(text, sizeof text, k < 2 ? "not \"%s%s" : "%s%s", name, changes[k].what);
                refused(f.bytes, f.size, text, NULL, 0);
                put(p + changes[k].field, changes[k].size, was);
            }
            /* The other kind: a vector as a matrix, a matrix as a vector; the router is float32 only. */
            put(p + TYPE, 4, type ? 0 : INSIDE_F32);
            refused(f.bytes, f.size, name,
                    type == 0            ? "not 0 to 0"
                    : type == INSIDE_F32 ? "not 1 to 1"
                                         : "not 1 to 6",
                    0);
            put(p + TYPE, 4, type);
            CHECK((type == INSIDE_F32) == (strstr(name, "router") != NULL));
            put(p + OFFSET, 8, f.size / 64 * 64 + 64);
            snprintf(text, sizeof text, "%s takes bytes", name);
            refused(f.bytes, f.size, text, "cut short", 0);
            put(p + OFFSET, 8, offset);
            CHECK(size);
        }
        CHECK(survives(f.bytes, f.size, NULL)); /* all is as it was */
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
                model *m = llama_of(s, INSIDE_F32, 71);
                file f = model_file(m, NULL);
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
        {"q4_0 scale of nan in w1", INSIDE_Q4_0, WQ + 4, 2, 0xfe00},
        {"q4_0 scale of infinity", INSIDE_Q4_0, 3, 2, 0x7c00},
        {"q4 row of nan in w1", INSIDE_Q4, WQ + 4, 4, 0xffc00000},
        {"q4 row of infinity", INSIDE_Q4, 3, 4, 0x7f800000},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].name) {
            file f = small_file(table[i].type, 0);
            put(f.bytes + get_uint(f.bytes + entry(table[i].tensor, OFFSET), 8), table[i].bytes, table[i].value);
            llama_model *m = llama_load_memory(f.bytes, f.size, NULL, &err);
            for (int k = 0; k < N_SETS && CHECK(m); k++) {
                static const int tokens[] = {1, 4, 2};
                llama_context *c = model_context(sets[k], m, 0, 0, 1);
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
    TEST(".llama: truncations") {
        static const model_shape one = {1, 1, 1, 1, 1, 2, 1, 0};
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            model *m = llama_of(one, type, 72);
            m->in.tokenizer = "tokenizer!", m->in.tokenizer_size = 10;
            file f = model_file(m, NULL);
            for (size_t size = 0; size < f.size; size = next_size(size, TABLE_END))
                refused(f.bytes, size, NULL, NULL, size % 997 == 0);
            refused(f.bytes, 100, "100 bytes", "128-byte header", 1);
            refused(f.bytes, 200, "200 bytes", "256-byte header", 1);
            refused(f.bytes, 300, "300 bytes", "cut short", 1);
            refused(f.bytes, f.size - 1, "layers.0.w2", "cut short", 1);
            free(f.bytes), model_free(m);
        }
    }
    TEST(".llama: truncations of a relative") {
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            file f = rich_file(type);
            for (size_t size = 0; size < f.size; size = next_size(size, TABLE + INSIDE_ENTRY * N_RICH))
                refused(f.bytes, size, NULL, NULL, size % 997 == 0);
            refused(f.bytes, 255, "255 bytes", "256-byte header", 1);
            refused(f.bytes, TABLE, "cut short", NULL, 1);
            free(f.bytes);
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
        const size_t limit = where == 0   ? TABLE
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
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++)
            for (int kind = 0; kind < 3; kind++) {
                file f = kind < 2 ? small_file(type, kind) : rich_file(type);
                unsigned char *p = xmalloc(f.size);
                for (int round = 0; round < (SLOW ? 800 : 1500); round++, runs++) {
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
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            model *m = llama_of(shapes[1], type, 82);
            file f = model_file(m, NULL);
            const size_t begin = TABLE + INSIDE_ENTRY * inside_tensor_count(&m->in.config);
            for (int round = 0; round < (SLOW ? 30 : 60); round++) {
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
static void check_damage(int type, enum tensor tensor, float value) {
    static const model_shape s = {40, 70, 2, 4, 2, 10, 30, 0};
    static const int tokens[] = {3, 0, 3, 1};
    model *m = llama_of(s, type, 90);
    int rows, cols;
    if (!tensor_shape(&m->in.config, tensor, 0, &rows, &cols)) {
        model_free(m);
        return;
    }
    const int row = tensor == TENSOR_EMBEDDING ? 3 : rows / 2;
    m->weights[tensor][0][(size_t)row * (size_t)cols + (size_t)cols / 3] = value;
    file f = model_file(m, NULL);
    llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
    llama_sampler *sampler = CHECK(loaded) ? llama_sampler_create(loaded, NULL, NULL, &err) : NULL;
    for (int k = SLOW * ((int)tensor + type) % 3; k < N_SETS && CHECK(sampler); k += SLOW ? 3 : 1) {
        llama_context *c = model_context(sets[k], loaded, 0, 0, 1);
        if (!c) continue;
        for (int n = 1; n <= 4; n += 3) { /* alone, and among others */
            llama_rewind(c, 0);
            const float *logits = llama_forward(c, tokens, n, &err);
            const int got = CHECK(logits) ? llama_sample(sampler, logits, &err) : 0;
            if (!CHECK(got == -1 && strstr(err.text, "the model's weights are damaged")))
                printf("  %g in %s, tensor %d, kernels %s, %d tokens: token %d\n", (double)value,
                       type_names[type - INSIDE_F32], (int)tensor, sets[k], n, got);
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
                                        "q4_0: weights that are no numbers leave no token to sample",
                                        "q4: weights that are no numbers leave no token to sample",
                                        "q6: weights that are no numbers leave no token to sample"};
    for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
        TEST(names[type - INSIDE_F32]) {
            for (int id = TENSOR_FINAL_NORM; id < TENSORS; id++) {
                check_damage(type, (enum tensor)id, NAN);
                if (id == TENSOR_CLASSIFIER) continue; /* -infinity forbids a token, as llama.h says */
                check_damage(type, (enum tensor)id, INFINITY);
                check_damage(type, (enum tensor)id, -INFINITY);
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

static int calls, cancel_at = -1; /* of progress, so far; which of them cancels */

static int count_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    CHECK(done <= total && done > 0);
    return calls++ == cancel_at;
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
        calls = 0;
    }
}

static enum tensor not_to_be_had;

static int give_some(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *e) {
    if (tensor == not_to_be_had) return set_error(e, "tensor %d of layer %d is not to be had", (int)tensor, layer);
    return model_rows(user, tensor, layer, first, count, out, e);
}

static void test_writer(void) {
    char path[64], part[80], path_in[80];
    snprintf(path, sizeof path, "%s", temporary_path());
    snprintf(part, sizeof part, "%s.part", path);
    TEST("writer: a file is what the memory is, replaces what was there, and its tensors are aligned") {
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            model *m = llama_of(shapes[type], type, 95);
            writer_report a, b;
            file f = model_file(m, &a);
            if (type % 2) CHECK(write_file(path, "what was there", 14) && write_file(part, "of a former crash", 17));
            m->in.progress = count_progress;
            if (!CHECK(writer_write(&m->in, path, &b, &err) == 0)) printf("  %s\n", err.text);
            CHECK(holds(path, f.bytes, f.size) && !exists(part) && calls > 10);
            const unsigned char *e = f.bytes + INSIDE_HEADER + (size_t)m->in.config.n_layers * INSIDE_KIND;
            for (size_t k = 0; k < inside_tensor_count(&m->in.config); k++, e += INSIDE_ENTRY)
                CHECK(get_uint(e + 48, 8) % (get_uint(e + 32, 4) == INSIDE_VECTOR ? 64 : 1024) == 0);
            CHECK(a.bytes == f.size && b.bytes == a.bytes && b.weights == a.weights && b.mse == a.mse &&
                  b.signal == a.signal);
            remove(path);
            free(f.bytes), model_free(m);
        }
    }
    TEST("writer: any number of threads writes the same bytes") {
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            model_shape s = {90, 200, 1, 3, 1, 30, 700, 1};
            if (type == INSIDE_BF16) s.vocab_size = 12000; /* more rows than are encoded at once */
            model *m = llama_of(s, type, 94);
            writer_report a, b;
            file one = model_file(m, &a);
            writer_threads(3);
            file three = model_file(m, &b);
            writer_threads(1);
            CHECK(one.size == three.size && memcmp(one.bytes, three.bytes, one.size) == 0 &&
                  memcmp(&a, &b, sizeof a) == 0);
            free(one.bytes), free(three.bytes), model_free(m);
        }
    }
    TEST("writer: cancelled at any time") {
        model *m = llama_of(shapes[2], INSIDE_Q8, 96);
        m->in.progress = count_progress;
        for (int at = 0;; at++) {
            cancel_at = at, calls = 0;
            int result = writer_write(&m->in, path, NULL, NULL);
            CHECK(exists(path) == (result == 0) && !exists(part));
            remove(path);
            if (result == 0) break; /* it is done before so many calls */
            calls = 0;
            write_fails(m, path, "cancelled");
            void *data = NULL;
            size_t size;
            calls = 0;
            CHECK(writer_build(&m->in, &data, &size, NULL, &err) == -1 && !data && strstr(err.text, "cancelled"));
        }
        CHECK(cancel_at > 10);
        model_free(m);
    }
    TEST("writer: rows that are not to be had") {
        model *m = llama_of(shapes[2], INSIDE_BF16, 97);
        m->in.rows = give_some;
        for (int id = TENSOR_FINAL_NORM, rows, cols; id < TENSORS; id++) {
            char what[32];
            if (!tensor_shape(&m->in.config, (enum tensor)id, 0, &rows, &cols)) continue;
            not_to_be_had = (enum tensor)id;
            snprintf(what, sizeof what, "tensor %d of layer 0", id);
            write_fails(m, path, what);
        }
        model_free(m);
    }
    TEST("writer: a directory that is not there, a name that is a directory") {
        model *m = llama_of(shapes[2], INSIDE_BF16, 98);
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
        model *m = llama_of(shapes[2], INSIDE_BF16, 99);
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
            model *m = llama_of(shapes[2], INSIDE_BF16, 100);
            write_fails(m, path_in, "cannot open");
            model_free(m);
        }
        rmdir(path);
    }
    if (!exists("/dev/full") || symlink("/dev/full", part) != 0) SKIP("writer: a full disk", "no /dev/full");
    else {
        TEST("writer: a full disk") {
            for (int large = 0; large < 2; large++) { /* noticed when it is flushed, or before */
                model *m = llama_of(shapes[large ? 0 : 3], INSIDE_F32, 101);
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
            model *m = llama_of(*s, INSIDE_F32 + type, 110u + (unsigned)i);
            writer_report report;
            file f = model_file(m, &report);
            llama_model *loaded = llama_load_memory(f.bytes, f.size, NULL, &err);
            double error = 0, signal = 0, count = 0, bits = 0, line[] = {32, 16, 8, 4};
            for (int t = 0, rows, cols; t < TENSORS && CHECK(loaded); t++) {
                const enum tensor id = (enum tensor)t;
                const int layers = id < TENSOR_OF_LAYER ? 1 : s->n_layers;
                if (tensor_is_vector(id) || !tensor_shape(&m->in.config, id, 0, &rows, &cols)) continue;
                float *row = xmalloc((size_t)cols * sizeof *row);
                for (int l = 0; l < layers; l++)
                    for (int r = 0; r < rows; r++) {
                        const float *x = m->weights[id][l] + (size_t)r * (size_t)cols;
                        inside_rows(loaded, id, l, r, 1, row);
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
    test_config();
    test_extras();
    test_version_1();
    test_table();
    test_sizes();
    test_no_numbers();
    test_mutations();
    test_damage();
    test_writer();
    test_report();
    return test_end();
}
