/* test_kv.c - what keys and values are kept in: how far the types are from each other in every kernel set, the memory
 * they take, and which models int8 is not for.
 */
#include "test.h"

#include "checkpoint.c"
#include "models.c"
#include "reference.c"

static llama_error err;

enum { VOCAB = 60, N = 200 };

static const char *const kv_types[] = {"f32", "f16", "q8"};

static llama_config shape(int head_dim, int n_heads, int n_kv_heads) {
    static const llama_layer_kind kinds[] = {{0, 0, 0}, {0, 70, 0}};
    const llama_config f = {.dim = 48,
                            .hidden_dim = 64,
                            .n_layers = 2,
                            .n_heads = n_heads,
                            .n_kv_heads = n_kv_heads,
                            .head_dim = head_dim,
                            .vocab_size = VOCAB,
                            .seq_len = 512,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000,
                            .layers = kinds};
    return f;
}

static llama_context *context(const llama_model *m, const char *set, const char *kv_type, int n_batch) {
    const llama_options o = {.kernels = set, .kv_type = kv_type, .n_batch = n_batch, .n_ctx = 256, .n_threads = 1};
    return llama_context_create(m, &o, &err);
}

/* The logits (N, VOCAB) after each token of a text. 0: this set is not to be had. */
static int logits_of(const llama_model *m, const char *set, const char *kv_type, int n_batch, float *out) {
    int tokens[N];
    unsigned char wanted[N];
    memset(wanted, 1, sizeof wanted);
    for (int i = 0; i < N; i++) tokens[i] = (i * i + 3 * i) % VOCAB;
    llama_context *c = context(m, set, kv_type, n_batch);
    if (!c) return 0;
    const llama_item item = {0, N, tokens, wanted, out, NULL, 0};
    CHECK(llama_evaluate(c, &item, 1, &err) == 0);
    llama_context_free(c);
    return 1;
}

static double distance(const float *a, const float *b) { /* of logits, by their size */
    double far = 0, size = 0;
    for (int i = 0; i < N * VOCAB; i++) {
        const double d = (double)a[i] - (double)b[i];
        far += d * d, size += (double)b[i] * (double)b[i];
    }
    return sqrt(far / size);
}

/* Float16 has 11 bits, int8 7, of its largest number, and rounds queries too: measured 23 to 39 times as far. */
static void check_shape(const llama_config *f, uint64_t seed) {
    static float want[N * VOCAB], got[3][N * VOCAB], again[N * VOCAB];
    model *made = model_make(f, INSIDE_F32, seed);
    file bytes = model_file(made, NULL);
    llama_model *m = llama_load_memory(bytes.bytes, bytes.size, NULL, &err);
    if (!CHECK(m && logits_of(m, "plain", "f32", 0, want))) exit(1);
    for (int s = 0; s < N_SETS; s++) {
        for (int kv = 0; kv < 3; kv++) {
            if (!logits_of(m, sets[s], kv_types[kv], 0, got[kv])) break;
            if (kv == 2) {
                const double f32 = distance(got[0], want), f16 = distance(got[1], want), q8 = distance(got[2], want);
                if (!CHECK(f32 < 1e-5 && f16 > 1e-4 && f16 < 1e-3 && q8 > 15 * f16 && q8 < 60 * f16))
                    printf("  %s, head_dim %d, %d of %d heads: f32 %g, f16 %g, q8 %g\n", sets[s], f->head_dim,
                           f->n_kv_heads, f->n_heads, f32, f16, q8);
            }
            CHECK(logits_of(m, sets[s], kv_types[kv], 5 + s, again) && !memcmp(again, got[kv], sizeof again));
        }
    }
    llama_free(m), free(bytes.bytes), model_free(made);
}

static void test_distance(void) {
    static const int heads[][3] = {{8, 4, 4}, {24, 4, 2}, {64, 12, 1}, {80, 2, 2}, {128, 7, 1}, {130, 2, 1}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        static char names[6][64];
        snprintf(names[i], sizeof names[i], "heads of %d, %d to a kv head", heads[i][0], heads[i][1] / heads[i][2]);
        TEST(names[i]) {
            const llama_config f = shape(heads[i][0], heads[i][1], heads[i][2]);
            check_shape(&f, 5 + i);
        }
    }
}

/* Bytes of a position of the cache, from two lengths of a context that differ in nothing else. */
static double position_bytes(const llama_model *m, const char *kv_type) {
    llama_options o = {.kv_type = kv_type, .n_threads = 1, .n_batch = 8, .n_ctx_sequence = 64};
    o.n_ctx = 1 << 20;
    const size_t much = llama_context_bytes(m, &o);
    o.n_ctx = 1 << 19;
    return (double)(much - llama_context_bytes(m, &o)) / (1 << 19);
}

static void test_memory(void) {
    TEST("int8 takes half of float16's memory, and its scales") {
        static const struct {
            int head_dim;
            double share;
        } all[] = {{64, 0.535}, {128, 0.52}, {256, 0.515}};
        for (int i = 0; i < 3; i++) {
            const llama_config f = shape(all[i].head_dim, 2, 2);
            model *made = model_make(&f, INSIDE_Q8, 1);
            file bytes = model_file(made, NULL);
            llama_model *m = llama_load_memory(bytes.bytes, bytes.size, NULL, &err);
            const double f32 = position_bytes(m, "f32"), f16 = position_bytes(m, "f16"), q8 = position_bytes(m, "q8");
            CHECK(position_bytes(m, NULL) == f16 && fabs(f32 / f16 - 2) < 1e-3);
            if (!CHECK(q8 / f16 < all[i].share && q8 / f16 > 0.5)) printf("  %d: %g\n", all[i].head_dim, q8 / f16);
            llama_free(m), free(bytes.bytes), model_free(made);
        }
    }
    TEST("by default float16, but float32 where weights are") {
        const llama_config f = shape(32, 2, 2);
        for (int type = INSIDE_F32; type <= INSIDE_Q6; type++) {
            model *made = model_make(&f, type, 1);
            file bytes = model_file(made, NULL);
            llama_model *m = llama_load_memory(bytes.bytes, bytes.size, NULL, &err);
            CHECK(position_bytes(m, NULL) == position_bytes(m, type == INSIDE_F32 ? "f32" : "f16"));
            llama_free(m), free(bytes.bytes), model_free(made);
        }
    }
}

static void test_refused(void) {
    static const char *const no_types[] = {"", "q4", "F16", "q8 ", "float32"};
    llama_config f = shape(16, 2, 2);
    f.extras = LLAMA_QKV_BIAS;
    TEST("biases that int8 has no bits for") {
        static const struct {
            float bias;
            int layer, at, good;
        } all[] = {{50, 1, 31, 1}, {-50, 0, 0, 1}, {51, 0, 0, 0}, {-300, 1, 31, 0}, {NAN, 1, 7, 0}};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            model *made = model_make(&f, INSIDE_Q8, 2);
            made->weights[TENSOR_K_BIAS][all[i].layer][all[i].at] = all[i].bias;
            file bytes = model_file(made, NULL);
            llama_model *m = llama_load_memory(bytes.bytes, bytes.size, NULL, &err);
            for (int kv = 0; m && kv < 3; kv++) {
                llama_context *c = context(m, NULL, kv_types[kv], 0);
                CHECK(!c == (kv == 2 && !all[i].good));
                if (!c) CHECK(err.code == LLAMA_BAD_OPTION && strstr(err.text, all[i].layer ? "layer 1" : "layer 0"));
                llama_context_free(c);
            }
            CHECK(m != NULL);
            llama_free(m), free(bytes.bytes), model_free(made);
        }
    }
    TEST("types that there are not") {
        model *made = model_make(&f, INSIDE_Q8, 2);
        file bytes = model_file(made, NULL);
        llama_model *m = llama_load_memory(bytes.bytes, bytes.size, NULL, &err);
        for (size_t i = 0; i < sizeof no_types / sizeof *no_types; i++) {
            const llama_options o = {.kv_type = no_types[i]};
            CHECK(!context(m, NULL, no_types[i], 0) && strstr(err.text, "not f32, f16 or q8"));
            CHECK(llama_context_bytes(m, &o) == SIZE_MAX);
        }
        llama_free(m), free(bytes.bytes), model_free(made);
    }
}

int main(void) {
    writer_threads(1);
    test_distance();
    test_memory();
    test_refused();
    return test_end();
}
