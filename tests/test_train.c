/* test_train.c - the parts of tools/train: products on the kernels, float32 gradients, the learned tokenizer, what is
 * held out, and states as files of strangers.
 */
#include "../tools/shared/inside.h"
#include "../tools/shared/files.h"
#include "../tools/shared/numbers.h"
#include "../tools/training/bpe.h"
#include "../tools/training/corpus.h"
#include "../tools/training/grad.h"
#include "../tools/training/state.h"

#include "test.h"

static uint64_t seed = 1;

static int below(int n) { return (int)(split_mix(&seed) % (uint64_t)n); }
static float unit(void) { return (float)((double)(split_mix(&seed) >> 40) * 0x1p-23 - 1); } /* -1..1 */

/* ---- Products ---- */

static double element(factor f, int i, int j) {
    return (double)f.p[f.turned ? (size_t)j * f.stride + (size_t)i : (size_t)i * f.stride + (size_t)j];
}

/* The largest error of a product, alone or by all threads; nan if it writes beside out. */
static double product_error(compute *c, int m, int n, int k, int turn_a, int turn_b, int add, int alone) {
    const size_t a_stride = (size_t)(turn_a ? m : k) + 3, b_stride = (size_t)(turn_b ? k : n) + 1;
    const size_t stride = (size_t)n + 2;
    const size_t a_size = a_stride * (size_t)(turn_a ? k : m), b_size = b_stride * (size_t)(turn_b ? n : k);
    float *a = malloc(a_size * sizeof *a), *b = malloc(b_size * sizeof *b);
    float *out = malloc((size_t)m * stride * sizeof *out);
    double error = 0;
    for (size_t i = 0; i < a_size; i++) a[i] = unit();
    for (size_t i = 0; i < b_size; i++) b[i] = unit();
    for (size_t i = 0; i < (size_t)m * stride; i++) out[i] = 5;
    const factor fa = {a, a_stride, turn_a}, fb = {b, b_stride, turn_b};
    (alone ? compute_product_alone : compute_product)(c, out, stride, fa, fb, m, n, k, add);
    for (int i = 0; i < m; i++)
        for (size_t j = 0; j < stride; j++) {
            double want = j >= (size_t)n ? 5 : add ? 5 : 0;
            for (int l = 0; l < k && j < (size_t)n; l++) want += element(fa, i, l) * element(fb, l, (int)j);
            const double e = fabs((double)out[(size_t)i * stride + j] - want);
            error = e <= error ? error : e;
        }
    free(a), free(b), free(out);
    return error;
}

static void test_products(compute *c) {
    static const int sizes[] = {1, 2, 11, 12, 13, 16, 17, 40, 130};
    for (int round = 0; round < 200; round++)
        CHECK_NEAR(
            product_error(c, sizes[below(9)], sizes[below(9)], sizes[below(9)], below(2), below(2), below(2), below(2)),
            0, 2e-5);
    CHECK_NEAR(product_error(c, 401, 33, 600, 0, 0, 1, 0), 0, 2e-4); /* more than a panel, more than a chunk */
    CHECK_NEAR(product_error(c, 30, 530, 300, 1, 1, 0, 1), 0, 2e-4);
}

/* ---- Loops that threads share ---- */

static void count_items(const void *work, int begin, int end) {
    int *const *counts = work;
    for (int i = begin; i < end; i++) (*counts)[i]++;
}

/* Each item once, with more items than threads and fewer; and often, so that some loops go on alone. */
static void test_parallel(void) {
    enum { MOST = 1000, ROUNDS = 300 };
    static int counts[MOST + 1];
    for (int threads = 1; threads <= 5; threads++) {
        compute *c = compute_create(threads);
        int *const p = counts;
        if (!CHECK(c)) return;
        for (int round = 0; round < ROUNDS; round++) {
            const int n = round < 50 ? round : below(MOST + 1);
            memset(counts, 0, sizeof counts);
            compute_parallel(c, n, count_items, &p);
            int wrong = 0;
            for (int i = 0; i <= MOST; i++) wrong += counts[i] != (i < n);
            CHECK(!wrong);
        }
        compute_free(c);
    }
}

/* ---- Gradients in float32 ----
 * Along the gradient g of a tensor the loss rises by |g|^2: one difference of two losses that are far apart. */

static double slope_error(grad *g, const llama_config *f, const grad_tensor *t, const int *ids, const int *next) {
    const grad_pass forward = {0, 1, 0, 0};
    const size_t n = (size_t)t->rows * (size_t)t->cols;
    float *w = grad_weights(g) + t->offset, *dw = grad_gradients(g) + t->offset;
    double square = 0, loss[2];
    (void)f;
    for (size_t i = 0; i < n; i++) square += (double)dw[i] * (double)dw[i];
    const double h = 0.004 / square; /* the loss changes by 0.004 either way */
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++) w[i] = (float)((double)w[i] + (side ? -2 : 1) * h * (double)dw[i]);
        loss[side] = grad_run(g, ids, next, 2, &forward);
    }
    for (size_t i = 0; i < n; i++) w[i] = (float)((double)w[i] + h * (double)dw[i]);
    return fabs((loss[0] - loss[1]) / (2 * h) / square - 1);
}

static void test_float_gradients(int threads, double *sum) {
    const llama_config f = {.dim = 36,
                            .hidden_dim = 50,
                            .n_layers = 2,
                            .n_heads = 6,
                            .n_kv_heads = 2,
                            .head_dim = 6,
                            .vocab_size = 70,
                            .seq_len = 75,
                            .shared_classifier = 0,
                            .norm_eps = 1e-5f};
    const float rope[3] = {1, 0.2f, 0.04f};
    const grad_pass pass = {1, 1, 0, 0};
    int ids[150], next[150];
    seed = 5;
    for (int i = 0; i < 150; i++) ids[i] = below(70), next[i] = below(70);
    compute *c = compute_create(threads);
    grad *g = c ? grad_create(&f, rope, 2, c, NULL) : NULL;
    if (!CHECK(g)) return;
    for (size_t i = 0; i < grad_count(&f); i++) grad_weights(g)[i] = 0.5f * unit();
    *sum = grad_run(g, ids, next, 2, &pass);
    for (int i = 0; i < grad_tensor_count(&f) && threads == 1; i++) {
        const grad_tensor t = grad_tensor_at(&f, i);
        if (!CHECK(slope_error(g, &f, &t, ids, next) < 1e-3))
            printf("%s of layer %d: %g\n", tensor_name(t.id), t.layer, slope_error(g, &f, &t, ids, next));
    }
    for (size_t i = 0; i < grad_count(&f); i++) *sum = *sum * 1.0000001 + (double)grad_gradients(g)[i];
    grad_free(g), compute_free(c);
}

/* ---- The tokenizer ---- */

/* A text of words that repeat, with line breaks, punctuation, letters beyond ASCII and bytes that are no text. */
static size_t make_text(char *text, size_t room) {
    static const char *const words[] = {
        "the",     "house",           "houses", "mother",   "other",  "there", "n\xC3\xA4her", "anna", "banana",
        "aaaaaaa", "\xE2\x80\x9Cyes", "1234",   "\xFF\xFE", "abcabc", "x",     "<s>",          "Mr"};
    static const char *const ends[] = {" ", " ", " ", ", ", ".\n", "  ", "\n\n", "-", ";--", "'s "};
    size_t n = 0;
    while (n + 32 < room) n += (size_t)sprintf(text + n, "%s%s", words[below(below(17) + 1)], ends[below(10)]);
    return n;
}

/* What the pieces of the ids spell; the space before the text is not among it. */
static int spells(const tokenizer *t, const int *ids, ptrdiff_t n, const char *text, size_t size) {
    size_t at = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        size_t k;
        const char *p = tokenizer_decode(t, i ? ids[i - 1] : -1, ids[i], &k);
        if (at + k > size || memcmp(text + at, p, k)) return 0;
        at += k;
    }
    return at == size;
}

static void test_bpe_text(int vocab) {
    enum { ROOM = 20000 };
    static char text[ROOM];
    static int ids[4 * ROOM];
    llama_error err = {0, ""};
    tokenizer_error encode_err;
    size_t tokens;
    const size_t size = make_text(text, ROOM);
    tokenizer *t = bpe_learn(text, size, vocab, &tokens, &err);
    if (!CHECK_TEXT(err.text, "")) return;
    const ptrdiff_t n = tokenizer_encode(t, text, size, 0, ids, 4 * ROOM, &encode_err);
    CHECK(tokenizer_vocab_size(t) == vocab && tokenizer_bos(t) == 1 && tokenizer_is_end(t, 2));
    CHECK(spells(t, ids, n, text, size));
    /* Every piece that learning made of the text is one of encoding's; bytes, which learning leaves out, are more. */
    ptrdiff_t others = 0;
    for (ptrdiff_t i = 0; i < n; i++) others += ids[i] >= BPE_FIRST;
    CHECK(others == (ptrdiff_t)tokens || others == (ptrdiff_t)tokens + 1); /* the space before the text */
    for (ptrdiff_t i = 0; i < n; i++) CHECK(ids[i] > 2);
    tokenizer_free(t);
}

static void test_bpe(void) {
    llama_error err = {0, ""};
    const char *text = "aaab ab ab\n";
    tokenizer *t = bpe_learn(text, strlen(text), BPE_FIRST + 4 + 2, NULL, &err);
    if (CHECK(t)) { /* "ab" stands there three times, " ab" then twice */
        CHECK(tokenizer_find(t, "ab", 2) == BPE_FIRST && tokenizer_find(t,
                                                                        "\xE2\x96\x81"
                                                                        "ab",
                                                                        5) == BPE_FIRST + 1);
        CHECK(tokenizer_find(t, "a", 1) >= BPE_FIRST + 2 && tokenizer_find(t, "\n", 1) > 0);
    }
    tokenizer_free(t);
    CHECK(!bpe_learn(text, strlen(text), BPE_FIRST + 100, NULL, &err) && strstr(err.text, "too large"));
    CHECK(!bpe_learn(text, strlen(text), 100, NULL, &err) && strstr(err.text, "too small"));
    CHECK(!bpe_learn("", 0, 300, NULL, &err));
    for (int round = 0; round < 20; round++) test_bpe_text(BPE_FIRST + 1 + below(120));
}

/* ---- Held-out text and windows ---- */

static void test_corpus(void) {
    char text[6000];
    size_t n = (size_t)sprintf(text, "Title\n\n");
    corpus c;
    for (int i = 0; i < 20; i++)
        n += (size_t)sprintf(text + n, "%s %d\nchapters of text %d\n", i % 2 ? "CHAPTER" : " Chapter", i, i);
    CHECK(!corpus_split(&c, text, n, 10, NULL) && c.chapters == 20);
    CHECK_TEXT(c.held, "CHAPTER 9\nchapters of text 9\nCHAPTER 19\nchapters of text 19\n");
    CHECK(c.learn_size + c.held_size == n && !memcmp(c.learn, text, 60));
    corpus_free(&c);
    CHECK(!corpus_split(&c, text, n, 0, NULL) && !c.held_size && c.learn_size == n);
    corpus_free(&c);
    memset(text, 'x', sizeof text); /* no chapters, no lines */
    CHECK(!corpus_split(&c, text, sizeof text, 10, NULL) && !c.chapters);
    CHECK(c.held_size > 100 && c.held_size < 1000 && c.held_size + c.learn_size == sizeof text);
    corpus_free(&c);
    CHECK(!corpus_split(&c, "", 0, 10, NULL) && !c.learn_size && !c.held_size);
    corpus_free(&c);
}

static void test_windows(void) {
    int ids[107], tokens[10], next[10], again[10], seen[107] = {0};
    windows w, other;
    for (int i = 0; i < 107; i++) ids[i] = 3 + i;
    windows_open(&w, ids, NULL, 107, 10, 1, 42);
    windows_open(&other, ids, NULL, 107, 10, 1, 42);
    CHECK(w.count == 9);
    for (int epoch = 0; epoch < 2; epoch++, memset(seen, 0, sizeof seen))
        for (int i = 0; i < 9; i++) {
            CHECK(!windows_take(&w, (uint64_t)(9 * epoch + i), tokens, next));
            CHECK(tokens[0] == 1 && !memcmp(tokens + 1, next, 9 * sizeof *next));
            for (int k = 0; k < 10; k++) CHECK(next[k] == next[0] + k && !seen[next[k] - 3]++);
        }
    CHECK(!windows_take(&other, 17, tokens, again) && !memcmp(next, again, sizeof next)); /* wherever it starts */
    windows_free(&w);
    unsigned char begins[107] = {1}; /* a paragraph begins with every eighth token, then one that is too long */
    for (int i = 0; i < 60; i++) begins[i] = i % 8 == 0;
    windows_open(&w, ids, begins, 107, 10, 1, 42);
    for (uint64_t i = 0; i < 90; i++) {
        CHECK(!windows_take(&w, i, tokens, next) && !windows_take(&other, i, tokens, again));
        const int cut = again[0] - 3, back = cut - (next[0] - 3); /* from where it would be cut to where it begins */
        CHECK(back == (cut < 60 && cut % 8 <= 5 ? cut % 8 : cut >= 60 && cut - 56 <= 5 ? cut - 56 : 0));
        for (int k = 0; k < 10; k++) CHECK(next[k] == next[0] + k && next[k] < 3 + 107);
    }
    windows_free(&w), windows_free(&other);
}

/* ---- States ---- */

static const llama_config state_shape = {.dim = 4,
                                         .hidden_dim = 3,
                                         .n_layers = 1,
                                         .n_heads = 2,
                                         .n_kv_heads = 1,
                                         .head_dim = 2,
                                         .vocab_size = 5,
                                         .seq_len = 8,
                                         .shared_classifier = 1,
                                         .norm_eps = 1e-5f,
                                         .rope_theta = 10000};

/* The bytes of a state file, malloc'ed. */
static unsigned char *make_state(size_t *size) {
    float values[3][200], rope[1] = {1};
    const char *path = "tests/bin/state";
    for (int i = 0; i < 600; i++) values[i / 200][i % 200] = unit();
    train_state s = {.config = state_shape,
                     .settings = {1.5, -2},
                     .n_settings = 2,
                     .step = 77,
                     .text_hash = 1234,
                     .lowest = 3.25,
                     .mean = 4.5,
                     .count = grad_count(&state_shape),
                     .rope = rope,
                     .tokenizer = "tokens",
                     .tokenizer_size = 6,
                     .weights = values[0],
                     .moment1 = values[1],
                     .moment2 = values[2]};
    llama_error err = {0, ""};
    CHECK(!state_write(&s, path, &err));
    CHECK_TEXT(err.text, "");
    unsigned char *data = (unsigned char *)file_read(path, 1 << 20, size, &err);
    train_state got;
    if (!CHECK(data && !state_read(data, *size, path, &got, &err))) return data;
    CHECK(got.step == 77 && got.text_hash == 1234 && got.n_settings == 2 && got.tokenizer_size == 6);
    CHECK(got.lowest < 3.26 && got.mean > 4.49 && got.settings[0] > 1.49 && got.settings[1] < -1.99);
    CHECK(got.count == s.count && !memcmp(got.tokenizer, "tokens", 6) && !memcmp(got.rope, rope, 4));
    CHECK(!memcmp(got.weights, values[0], 4 * s.count) && !memcmp(got.moment2, values[2], 4 * s.count));
    remove(path);
    return data;
}

/* As state_read wants it to be: a hash made for the bytes. */
static void repair_hash(unsigned char *p, size_t size) {
    memset(p + 104, 0, 8);
    uint64_t h = state_hash(p + STATE_HEADER, size - STATE_HEADER, state_hash(p, STATE_HEADER, 0));
    for (int i = 0; i < 8; i++, h >>= 8) p[104 + i] = (unsigned char)(h & 255);
}

static void test_states(void) {
    size_t size = 0;
    unsigned char *data = make_state(&size);
    train_state s;
    llama_error err;
    for (size_t n = 0; n < size && data; n++) { /* in memory of exactly the size, for the sanitizer */
        unsigned char *cut = malloc(n ? n : 1);
        memcpy(cut, data, n);
        CHECK(state_read(cut, n, "s", &s, &err));
        free(cut);
    }
    for (size_t i = 0; i < size && data; i++) { /* a bit that fell over */
        data[i] ^= (unsigned char)(1 << i % 8);
        CHECK(state_read(data, size, "s", &s, &err));
        data[i] ^= (unsigned char)(1 << i % 8);
    }
    unsigned char *other = malloc(size);
    for (int round = 0; round < 20000 && data; round++) { /* made to deceive: the hash is right */
        memcpy(other, data, size);
        for (int k = below(3); k >= 0; k--)
            other[below(STATE_HEADER)] = (unsigned char)(below(2) ? below(256) : 255 * below(2));
        repair_hash(other, size);
        if (state_read(other, size, "s", &s, &err)) continue;
        CHECK((const unsigned char *)s.moment2 + 4 * s.count == other + size);
        CHECK(s.config.head_dim % 2 == 0 && s.config.n_heads % s.config.n_kv_heads == 0);
        CHECK(s.n_settings <= STATE_SETTINGS);
    }
    free(other), free(data);
    CHECK(state_write(&s, "tests/bin/no/such/directory", &err) && strstr(err.text, "cannot open"));
}

/* Makes a state what an older program would have written: without the last settings. For test_train.sh. */
static int make_older(const char *path, int settings) {
    size_t size = 0;
    unsigned char *data = (unsigned char *)file_read(path, 1 << 24, &size, NULL);
    const size_t end = STATE_HEADER + 8 * (size_t)settings;
    if (!data || size < end || data[12] < settings) return free(data), 1;
    const size_t cut = 8 * ((size_t)data[12] - (size_t)settings);
    memmove(data + end, data + end + cut, size - end - cut);
    data[12] = (unsigned char)settings;
    repair_hash(data, size - cut);
    FILE *file = fopen(path, "wb");
    const int bad = !file || fwrite(data, 1, size - cut, file) != size - cut;
    if (file) fclose(file);
    free(data);
    return bad;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "older")) return make_older(argv[2], atoi(argv[3]));
    compute *c = compute_create(2);
    double one = 0, three = 1;
    TEST("products against plain loops") { test_products(c); }
    TEST("every item of a loop once") { test_parallel(); }
    TEST("float32 gradients against differences of the loss") { test_float_gradients(1, &one); }
    TEST("the same gradients with any number of threads") {
        seed = 5;
        test_float_gradients(2, &one);
        test_float_gradients(3, &three);
        CHECK_NEAR(one, three, 0);
    }
    TEST("learned tokenizers encode as they were learned") { test_bpe(); }
    TEST("chapters are held out") { test_corpus(); }
    TEST("windows") { test_windows(); }
    TEST("states are checked") { test_states(); }
    compute_free(c);
    return test_end();
}
