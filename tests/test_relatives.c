/* test_relatives.c - what Llama's relatives add, each alone and in random company, against reference.c: biases, norms,
 * GELU, caps, scales, rotary tables, windows, mixtures of experts; in every weight type and set of kernels, as a prompt
 * at once, token by token and cut at random places.
 */
#include "test.h"

#include <limits.h>

#include "checkpoint.c"
#include "models.c"
#include "kinds.c"
#include "reference.c"

static llama_error err;

static const char *const type_names[] = {"f32", "bf16", "q8", "q4_0", "q4", "q6"};

/* ---- The forward pass ---- */

/* test_llama_file.c says where they come from: of the root mean square over all models, over one, and of the worst
 * logit. Measured: 8e-7, 0.009, 0.03, 0.03 over all. */
static const double all_bound[] = {3e-6, 0.013, 0.04, 0.04, 0.04, 0.04}, rms_bound[] = {1e-5, 0.03, 0.1, 0.1, 0.1, 0.1},
                    worst_bound[] = {5e-5, 0.1, 0.25, 0.25, 0.35, 0.35};
/* Activations are rounded before the router too, so tokens are taken that leave it no doubt. */
static const double clear[] = {1e-3, 0.1, 0.4, 0.4, 0.4, 0.4};

/* Random tokens, each of which leaves a margin of least, as far as tries tell; (n, vocab_size) logits after them. */
static void choose_tokens(const reference_model *r, double least, int *tokens, int n, double *logits, uint64_t *seed) {
    double *margins = xmalloc((size_t)n * sizeof *margins);
    int unclear = 0;
    for (int i = 0; i < n; i++) tokens[i] = random_int(seed, 0, r->vocab_size - 1);
    reference_forward(r, tokens, n, logits, margins);
    for (int tries = 0, i = 0; i < n; i++)
        if (margins[i] < least && tries < 20 * n) {
            tokens[i] = random_int(seed, 0, r->vocab_size - 1);
            reference_forward(r, tokens, n, logits, margins);
            tries++, i--;
        } else unclear += margins[i] < least;
    if (!CHECK(unclear == 0)) printf("  %d tokens leave the router in doubt\n", unclear);
    free(margins);
}

typedef struct {
    llama_model *loaded;
    int vocab_size, n, n_ctx, n_batch, type;
    int *tokens;    /* (n) */
    double *logits; /* (n, vocab_size) of the reference */
} subject;

/* In one set of kernels. Returns the root mean square of the difference. */
static double check_set(const subject *s, llama_context *c, const char *set, uint64_t *seed) {
    const size_t row = (size_t)s->vocab_size;
    const int cuts[] = {0, 2, 5, s->n / 2 + 1};
    float *want = xmalloc((size_t)s->n * row * sizeof *want), *logprobs = xmalloc((size_t)s->n * sizeof *logprobs);
    difference d = {0};
    for (int t = 0; t < s->n; t++) {
        const float *logits = llama_forward(c, s->tokens + t, 1, &err);
        if (!CHECK(logits)) break;
        memcpy(want + (size_t)t * row, logits, row * sizeof *want);
        difference_add(&d, logits, s->logits + (size_t)t * row, s->vocab_size);
    }
    const double rms = difference_rms(&d), worst = difference_worst(&d);
    if (!CHECK(rms <= rms_bound[s->type] && worst <= worst_bound[s->type]))
        printf("  %s, %s: off by %g, worst %g\n", type_names[s->type], set, rms, worst);
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++)
        if (!CHECK(model_other_logits(c, s->tokens, s->n, cuts[k], want, s->vocab_size, seed) == 0))
            printf("  %s, %s: other bits in calls of up to %d tokens\n", type_names[s->type], set, cuts[k]);
    llama_rewind(c, s->n / 2); /* keeps half, goes on */
    const float *again = llama_forward(c, s->tokens + s->n / 2, s->n - s->n / 2, &err);
    CHECK(again && !memcmp(again, want + (size_t)(s->n - 1) * row, row * sizeof *want));
    llama_rewind(c, 0);
    CHECK(llama_score(c, s->tokens, s->n, logprobs, &err) == 0);
    for (int t = 0; t + 1 < s->n; t++)
        if (!CHECK_NEAR(logprobs[t], llama_logprob(want + (size_t)t * row, s->vocab_size, s->tokens[t + 1]), 1e-5))
            break;
    free(want), free(logprobs);
    return rms;
}

static double squares[6]; /* of the differences, by type */
static int counts[6];

/* A model in one type, in all sets of kernels, or in the first and one more. */
static void check_model(const llama_config *f, int type, int n, int all_sets, uint64_t seed) {
    model *m = model_make(f, INSIDE_F32 + type, seed);
    stop_some(m, &seed);
    file made = model_file(m, NULL);
    subject s = {.loaded = llama_load_memory(made.bytes, made.size, NULL, &err),
                 .vocab_size = f->vocab_size,
                 .n = n,
                 .n_ctx = n > 64 ? n : 64,
                 .n_batch = random_int(&seed, 0, 2) * 13,
                 .type = type};
    if (!CHECK(s.loaded)) printf("  %s\n", err.text);
    double *weights = NULL;
    s.tokens = xmalloc((size_t)n * sizeof *s.tokens);
    s.logits = xmalloc((size_t)n * (size_t)f->vocab_size * sizeof *s.logits);
    if (s.loaded) {
        const reference_model r = model_reference(s.loaded, s.n_ctx, &weights);
        choose_tokens(&r, clear[type], s.tokens, n, s.logits, &seed);
    }
    const int one = 1 + (int)(seed % (N_SETS - 1));
    for (int k = 0; k < N_SETS && s.loaded; k++) {
        llama_context *c =
            all_sets || k == 0 || k == one ? model_context(sets[k], s.loaded, s.n_ctx, s.n_batch, 1) : NULL;
        if (!c) continue;
        const double rms = check_set(&s, c, sets[k], &seed);
        squares[type] += rms * rms, counts[type]++;
        llama_context_free(c);
    }
    free(s.tokens), free(s.logits), free(weights);
    llama_free(s.loaded);
    free(made.bytes), model_free(m);
}

static void test_features(void) {
    for (int i = 0; i < N_FEATURES; i++)
        TEST(features[i].name) {
            const llama_config f = with(&features[i]);
            for (int type = 0; type < 6; type++)
                if (TAKEN(i + type))
                    check_model(&f, type, 24, type == 0 || type == 1 + i % 3, 100u * (unsigned)i + (unsigned)type);
        }
}

static void test_combinations(void) {
    static char names[40][64];
    uint64_t seed = 17;
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "random combination %d", i);
        TEST(names[i]) {
            llama_layer_kind kinds[3] = {{0, 0, 0}};
            const llama_config f = any(kinds, &seed);
            const int n = random_int(&seed, 1, 40);
            const uint64_t of_model = random_next(&seed);
            if (TAKEN(i)) check_model(&f, i % 4, n, 1, of_model);
            if (test_state.bad)
                printf("  dim %d, hidden_dim %d, %d layers, %d heads, %d kv heads of %d, extras %d, experts %d of %d\n",
                       f.dim, f.hidden_dim, f.n_layers, f.n_heads, f.n_kv_heads, f.head_dim, f.extras, f.n_experts_used,
                       f.n_experts);
        }
    }
}

/* Attention goes through the positions 256 at a time. */
static void test_long_windows(void) {
    static const int windows[] = {1, 16, 255, 256, 257, 300, 400, 513, 1000};
    static char names[3][64];
    for (int i = 0; i < 3; i++) {
        const int *w = windows + 3 * i;
        const llama_layer_kind kinds[] = {{0, w[0], 0}, {0, w[1], 0}, {0, w[2], 0}};
        snprintf(names[i], sizeof names[i], "windows of %d, %d and %d in a text of 600", w[0], w[1], w[2]);
        TEST(names[i]) {
            llama_config f = plain();
            f.dim = 10, f.hidden_dim = 5, f.n_heads = 3, f.n_kv_heads = 1, f.n_layers = 3, f.vocab_size = 20;
            f.layers = kinds;
            check_model(&f, 0, 600, !SLOW, 5u + (unsigned)i);
            check_model(&f, 1 + i, 600, 0, 6);
        }
    }
}

/* Equal products of the router: the first of the experts it is. */
static void test_ties(void) {
    TEST("of equal experts the first") {
        const llama_layer_kind kinds[] = {{0, 0, 1}};
        llama_config f = plain();
        f.n_layers = 1, f.n_experts = 40, f.n_experts_used = 3, f.expert_dim = 10, f.layers = kinds;
        f.extras = LLAMA_RENORMALISE;
        model *m = model_make(&f, INSIDE_F32, 7);
        float *router = m->weights[TENSOR_ROUTER][0];
        const size_t row = (size_t)f.dim;
        for (size_t e = 1; e < 40; e++) /* 39 is 0 again, so are 5, 10, ..: every third choice cuts through equals */
            memcpy(router + e * row, router + (e == 39 ? 0 : e % 5) * row, row * sizeof *router);
        file made = model_file(m, NULL);
        llama_model *loaded = llama_load_memory(made.bytes, made.size, NULL, &err);
        double *weights = NULL, *want = xmalloc(20 * 50 * sizeof *want);
        int tokens[20];
        for (int i = 0; i < 20; i++) tokens[i] = i * 7 % 50;
        if (CHECK(loaded)) {
            const reference_model r = model_reference(loaded, 64, &weights);
            reference_forward(&r, tokens, 20, want, NULL);
        }
        for (int k = 0; k < N_SETS && loaded; k++) {
            llama_context *c = model_context(sets[k], loaded, 0, 0, 1);
            const float *logits = c ? llama_forward(c, tokens, 20, &err) : NULL;
            difference d = {0};
            if (logits) difference_add(&d, logits, want + (size_t)19 * 50, 50);
            if (logits && !CHECK(difference_worst(&d) < 1e-5))
                printf("  %s: off by %g\n", sets[k], difference_worst(&d));
            llama_context_free(c);
        }
        free(weights), free(want);
        llama_free(loaded);
        free(made.bytes), model_free(m);
    }
}

/* A vocabulary so large that a second thread is worth while: its rows of the classifier are read for each token. */
static void test_threads(void) {
    enum { N = 100, VOCAB = 5000 };
    static const char *const names[] = {"two threads give the same bits, f32", "two threads give the same bits, bf16",
                                        "two threads give the same bits, q8",  "two threads give the same bits, q4_0",
                                        "two threads give the same bits, q4",  "two threads give the same bits, q6"};
    for (int type = 0; type < 6; type++)
        TEST(names[type]) {
            llama_config f = with(&features[N_FEATURES - 1]);
            uint64_t seed = 40u + (unsigned)type;
            f.vocab_size = VOCAB, f.seq_len = N;
            model *m = model_make(&f, INSIDE_F32 + type, seed);
            file made = model_file(m, NULL);
            llama_model *loaded = llama_load_memory(made.bytes, made.size, NULL, &err);
            float *want = xmalloc(VOCAB * sizeof *want), scores[2][N];
            int tokens[N];
            for (int i = 0; i < N; i++) tokens[i] = random_int(&seed, 0, VOCAB - 1);
            if (loaded) CHECK(N * llama_get_config(loaded)->weight_bytes > 8 << 20); /* or all would run on one */
            for (int k = SLOW * (type % 3); k < N_SETS && CHECK(loaded); k += SLOW ? 3 : 1)
                for (int threads = 1; threads <= 3; threads++) {
                    llama_context *c = model_context(sets[k], loaded, 0, threads > 1 ? 0 : 37, threads);
                    if (!c) break;
                    const float *logits = llama_forward(c, tokens, N, &err);
                    if (CHECK(logits) && threads == 1) memcpy(want, logits, VOCAB * sizeof *want);
                    if (!CHECK(logits && !memcmp(want, logits, VOCAB * sizeof *want)))
                        printf("  %s, %d threads: other logits\n", sets[k], threads);
                    llama_rewind(c, 0);
                    CHECK(llama_score(c, tokens, N, scores[threads > 1], &err) == 0);
                    CHECK(threads == 1 || !memcmp(scores[0], scores[1], (N - 1) * sizeof *scores[0]));
                    llama_context_free(c);
                }
            free(want);
            llama_free(loaded);
            free(made.bytes), model_free(m);
        }
}

/* ---- What is no number ---- */

/* 1 if a token was sampled although one weight, which the tokens use, is no number. */
static int hides(const llama_config *f, int type, enum tensor id, int layer, float value) {
    static const int tokens[] = {3, 0, 3, 1};
    model *m = model_make(f, type, 90);
    int rows, cols, hidden = 0;
    tensor_shape(f, id, layer, &rows, &cols);
    const int row = id == TENSOR_EMBEDDING ? 3 : rows / 2;
    m->weights[id][layer][(size_t)row * (size_t)cols + (size_t)cols / 3] = value;
    file made = model_file(m, NULL);
    llama_model *loaded = llama_load_memory(made.bytes, made.size, NULL, &err);
    llama_sampler *sampler = CHECK(loaded) ? llama_sampler_create(loaded, NULL, NULL, &err) : NULL;
    for (int k = SLOW * ((int)id + layer) % 3; k < N_SETS && CHECK(sampler); k += SLOW ? 3 : 1) {
        llama_context *c = model_context(sets[k], loaded, 0, 0, 1);
        for (int n = 1; c && n <= 4; n += 3) { /* alone, and among others */
            llama_rewind(c, 0);
            const float *logits = llama_forward(c, tokens, n, &err);
            hidden |= CHECK(logits) && llama_sample(sampler, logits, &err) != -1;
        }
        llama_context_free(c);
    }
    llama_sampler_free(sampler);
    llama_free(loaded);
    free(made.bytes), model_free(m);
    return hidden;
}

static void check_damage(const llama_config *f, int type, enum tensor id, int layer, float value) {
    int rows, cols;
    if (!tensor_shape(f, id, layer, &rows, &cols)) return;
    if (!CHECK(!hides(f, type, id, layer, value)))
        printf("  %g in %s of layer %d, %s\n", (double)value, tensor_name(id), layer, type_names[type - INSIDE_F32]);
}

static void test_damage(void) {
    const llama_layer_kind kinds[3] = {{0, 5, 1}, {1, 0, 0}, {0, 18, 1}};
    llama_config f = with(&features[N_FEATURES - 1]);
    f.layers = kinds;
    f.rope_short = 0, f.logit_cap = 0; /* all tables are used; an infinite logit shows */
    TEST("a router with a weight that is no number leaves no token to sample") {
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++)
            for (int renormalise = 0; renormalise < 2; renormalise++) {
                f.extras = (f.extras & ~LLAMA_RENORMALISE) | (renormalise ? LLAMA_RENORMALISE : 0);
                check_damage(&f, type, TENSOR_ROUTER, 0, NAN), check_damage(&f, type, TENSOR_ROUTER, 2, NAN);
            }
    }
    TEST("weights that are no numbers leave no token to sample") {
        f.n_experts_used = f.n_experts;
        for (int type = INSIDE_F32; type <= INSIDE_Q4; type += 2)
            for (int id = 0; id < TENSORS; id++)
                for (int l = 0; l < (id < TENSOR_OF_LAYER ? 1 : f.n_layers); l++) {
                    check_damage(&f, type, (enum tensor)id, l, NAN);
                    check_damage(&f, type, (enum tensor)id, l, INFINITY);
                    /* That forbids a token, as llama.h says, or an expert. */
                    if (id == TENSOR_CLASSIFIER || id == TENSOR_ROUTER) continue;
                    check_damage(&f, type, (enum tensor)id, l, -INFINITY);
                }
    }
}

/* Of what no layer has a header can claim any size. */
static void test_memory(void) {
    TEST("what no layer has takes no memory") {
        static const llama_layer_kind dense[3], mixtures[] = {{0, 0, 1}, {0, 0, 1}};
        llama_config f[4] = {plain(), plain(), plain(), plain()};
        size_t bytes[4];
        f[1].n_experts = 65535, f[1].n_experts_used = 65535, f[1].expert_dim = 4096;
        f[2].n_experts = f[3].n_experts = 3, f[2].n_experts_used = f[3].n_experts_used = 2;
        f[2].expert_dim = f[3].expert_dim = 20, f[3].hidden_dim = 1 << 28;
        for (int i = 0; i < 4; i++) {
            f[i].layers = i < 2 ? dense : mixtures;
            model *m = model_make(&f[i], INSIDE_Q8, 3);
            file made = model_file(m, NULL);
            llama_model *loaded = llama_load_memory(made.bytes, made.size, NULL, &err);
            bytes[i] = CHECK(loaded) ? llama_context_bytes(loaded, NULL) : 0;
            llama_free(loaded);
            free(made.bytes), model_free(m);
        }
        CHECK(bytes[0] && bytes[1] == bytes[0] && bytes[2] && bytes[3] == bytes[2]);
    }
}

static void test_sum(void) {
    static const char *const names[] = {"f32, over all models",  "bf16, over all models", "q8, over all models",
                                        "q4_0, over all models", "q4, over all models",   "q6, over all models"};
    for (int i = 0; i < 6; i++)
        TEST(names[i]) CHECK_NEAR(sqrt(squares[i] / counts[i]), 0, all_bound[i]);
}

int main(void) {
    writer_threads(1);
    test_features();
    test_combinations();
    test_long_windows();
    test_sum();
    test_ties();
    test_threads();
    test_damage();
    test_memory();
    return test_end();
}
