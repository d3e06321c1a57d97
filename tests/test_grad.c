/* test_grad.c - the trainer's gradients against finite differences, in double.
 *
 * The parts are included here, compiled for double: with float32 a difference of two losses has too few digits. That
 * float32 and the kernels give the same is in test_train.c.
 */
#define TRAIN_DOUBLE
#include "../tools/shared/compute.c"
#include "../tools/training/grad.c"

#include "test.h"

typedef struct {
    const char *name;
    llama_config f;
    double dropout;
} model_case;

/* clang-format off */
static const model_case cases[] = {
    {"grouped queries, shared classifier", {.dim = 12, .hidden_dim = 10, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2,
        .head_dim = 6, .vocab_size = 17, .seq_len = 7, .shared_classifier = 1}, 0},
    {"heads of their own, classifier of its own", {.dim = 5, .hidden_dim = 7, .n_layers = 1, .n_heads = 3,
        .n_kv_heads = 3, .head_dim = 2, .vocab_size = 11, .seq_len = 9, .shared_classifier = 0}, 0},
    {"one key head, more queries than at a time", {.dim = 8, .hidden_dim = 6, .n_layers = 1, .n_heads = 2,
        .n_kv_heads = 1, .head_dim = 4, .vocab_size = 13, .seq_len = 67, .shared_classifier = 1}, 0},
    {"dropout", {.dim = 10, .hidden_dim = 9, .n_layers = 2, .n_heads = 2, .n_kv_heads = 1, .head_dim = 4,
        .vocab_size = 12, .seq_len = 6, .shared_classifier = 0}, 0.3},
};
/* clang-format on */
enum { BATCH = 2 };

/* Weights as they might be after some training: large enough that nothing is close to linear. */
static void randomise(grad *g) {
    uint64_t seed = 7;
    for (int i = 0; i < grad_tensor_count(&g->f); i++) {
        const grad_tensor t = grad_tensor_at(&g->f, i);
        for (size_t k = 0; k < (size_t)t.rows * (size_t)t.cols; k++)
            g->w.all[t.offset + k] = (tensor_is_vector(t.id) ? 1 : 0) + (uniform(&seed) - 0.5);
    }
}

/* Largest difference of any derivative in a tensor from (loss(w + h) - loss(w - h)) / 2h, over the largest one. */
static double tensor_error(grad *g, const grad_tensor *t, const int *tokens, const int *next, grad_pass pass) {
    const double h = 1e-5, share = pass.share;
    double error = 0, size = 0;
    pass.backward = 0;
    for (size_t k = 0; k < (size_t)t->rows * (size_t)t->cols; k++) {
        double *w = g->w.all + t->offset + k, was = *w, dw = g->dw.all[t->offset + k];
        *w = was + h;
        const double more = grad_run(g, tokens, next, BATCH, &pass);
        *w = was - h;
        const double less = grad_run(g, tokens, next, BATCH, &pass);
        *w = was;
        const double slope = share * (more - less) / (2 * h);
        error = fabs(slope - dw) > error ? fabs(slope - dw) : error;
        size = fabs(slope) > size ? fabs(slope) : size;
        if (dw != dw) return INFINITY;
    }
    return size > 0 ? error / size : INFINITY;
}

static void test_gradients(const model_case *m, compute *c) {
    double rope[8];
    int tokens[BATCH * 128], next[BATCH * 128];
    uint64_t seed = 3;
    llama_config f = m->f;
    f.norm_eps = 1e-5f, f.rope_theta = 10000;
    for (int i = 0; i < f.head_dim / 2; i++) rope[i] = pow(100, -2.0 * i / f.head_dim);
    for (int i = 0; i < BATCH * f.seq_len; i++) {
        tokens[i] = (int)(split_mix(&seed) % (uint64_t)f.vocab_size);
        next[i] = (int)(split_mix(&seed) % (uint64_t)f.vocab_size);
    }
    grad *g = grad_create(&f, rope, BATCH, c, NULL);
    if (!CHECK(g)) return;
    randomise(g);
    const grad_pass pass = {1, 0.25, m->dropout, 99};
    grad_run(g, tokens, next, BATCH, &pass);
    for (int i = 0; i < grad_tensor_count(&f); i++) {
        const grad_tensor t = grad_tensor_at(&f, i);
        char name[160];
        snprintf(name, sizeof name, "%s: %s of layer %d", m->name, tensor_name(t.id), t.layer);
        TEST(name) { CHECK_NEAR(tensor_error(g, &t, tokens, next, pass), 0, 1e-6); }
    }
    grad_free(g);
}

/* AdamW on one weight, by the formula. */
static void test_adamw(compute *c) {
    const llama_config f = {.dim = 2,
                            .hidden_dim = 1,
                            .n_layers = 1,
                            .n_heads = 1,
                            .n_kv_heads = 1,
                            .head_dim = 2,
                            .vocab_size = 2,
                            .seq_len = 2,
                            .shared_classifier = 1};
    const double rope[1] = {1};
    adamw o = {.rate = 0.1, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .decay = 0.5, .clip = 1, .step = 1};
    grad *g = grad_create(&f, rope, 1, c, NULL);
    double *m = calloc(g->count, sizeof *m), *v = calloc(g->count, sizeof *v), w = 0.7, m1 = 0, v1 = 0;
    const size_t at = grad_find_tensor(&f, TENSOR_WO, 0).offset;
    const size_t norm_at = grad_find_tensor(&f, TENSOR_FFN_NORM, 0).offset;
    g->w.all[at] = g->w.all[norm_at] = w;
    for (; o.step <= 3; o.step++) {
        const double slope = 3.0 * (double)o.step;
        g->dw.all[at] = slope;
        CHECK_NEAR(adamw_step(g, &o, m, v), slope, 1e-12);
        const double d = 1; /* clipped */
        m1 = 0.9 * m1 + 0.1 * d, v1 = 0.95 * v1 + 0.05 * d * d;
        const double m2 = m1 / (1 - pow(0.9, (double)o.step)), v2 = v1 / (1 - pow(0.95, (double)o.step));
        w -= 0.1 * (m2 / (sqrt(v2) + 1e-8) + 0.5 * w);
        CHECK_NEAR(g->w.all[at], w, 1e-12);
    }
    CHECK_NEAR(g->w.all[norm_at], 0.7, 0); /* no decay */
    CHECK_NEAR(g->dw.all[at], 0, 0);
    g->dw.all[0] = 1, o.freeze_embedding = 1, w = g->w.all[0];
    CHECK_NEAR(adamw_step(g, &o, m, v), 0, 0);
    CHECK_NEAR(g->w.all[0], w, 0);
    g->dw.all[at] = NAN, w = g->w.all[at];
    CHECK(!(adamw_step(g, &o, m, v) < 1));
    CHECK_NEAR(g->w.all[at], w, 0);
    free(m), free(v), grad_free(g);
}

int main(void) {
    compute *c = compute_create(1); /* products this small are slower with more */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) test_gradients(&cases[i], c);
    TEST("AdamW") { test_adamw(c); }
    TEST("sizes that overflow") {
        const llama_config f = {.dim = 1 << 28,
                                .hidden_dim = 1 << 28,
                                .n_layers = 1 << 24,
                                .n_heads = 1,
                                .n_kv_heads = 1,
                                .head_dim = 2,
                                .vocab_size = 1 << 28,
                                .seq_len = 1 << 28};
        CHECK(grad_count(&f) == SIZE_MAX);
    }
    compute_free(c);
    return test_end();
}
