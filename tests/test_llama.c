/* test_llama.c - the forward pass against the reference, on random models of every shape and on a real one. */
#include "../llama.h"
#include "test.h"

#include "checkpoint.c"
#include "reference.c"

static llama_error err;

/* The shapes: sizes that are multiples of a kernel's width and sizes that are multiples of nothing, the smallest
 * possible, one head and many, all kv heads and one. Group sizes divide dim, as export.py makes them, but hidden_dim
 * need not be a multiple: the groups of w2 then cross its rows. */
static const checkpoint_shape shapes[] = {
    /* version, dim, hidden, layers, heads, kv heads, vocab, seq_len, shared, group */
    {0, 64, 172, 2, 8, 4, 96, 36, 0, 4},  {0, 20, 36, 2, 5, 1, 37, 40, 0, 20}, {0, 6, 10, 1, 3, 3, 11, 20, 0, 2},
    {0, 2, 1, 1, 1, 1, 1, 1, 0, 1},       {0, 48, 80, 3, 6, 2, 50, 37, 0, 16}, {0, 90, 33, 2, 3, 1, 65, 37, 0, 30},
    {0, 128, 96, 1, 1, 1, 30, 35, 0, 64}, {0, 24, 56, 2, 12, 6, 17, 36, 0, 8}, {0, 72, 100, 2, 4, 2, 257, 34, 0, 72},
    {0, 34, 7, 1, 1, 1, 19, 50, 0, 17},   {0, 32, 64, 4, 2, 2, 64, 33, 0, 32}, {0, 70, 130, 1, 7, 7, 3, 35, 0, 5},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void random_tokens(int *tokens, int n, int vocab_size, uint64_t seed) {
    for (int i = 0; i < n; i++) tokens[i] = random_int(&seed, 0, vocab_size - 1);
}

/* The largest difference between logits, as a share of the largest logit. */
static double difference(const float *got, const double *want, int n) {
    double scale = 0, worst = 0;
    for (int i = 0; i < n; i++) scale = fmax(scale, fabs(want[i]));
    for (int i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]) / scale;
        if (isnan(d)) return INFINITY; /* fmax would drop it */
        worst = fmax(worst, d);
    }
    return worst;
}

static int same_bits(const float *a, const float *b, int n) { return memcmp(a, b, (size_t)n * sizeof *a) == 0; }

/* A model, its reference logits for n random tokens, and its name for the messages. */
typedef struct {
    checkpoint file;
    llama_model *model;
    int *tokens, n, vocab_size;
    double *logits; /* (n, vocab_size) */
    char name[128];
} subject;

static subject subject_make(checkpoint_shape s, int n, uint64_t seed) {
    subject t = {0};
    t.file = checkpoint_make(s, seed);
    t.n = n;
    t.vocab_size = s.vocab_size;
    t.tokens = xmalloc((size_t)n * sizeof *t.tokens);
    t.logits = xmalloc((size_t)n * (size_t)s.vocab_size * sizeof *t.logits);
    random_tokens(t.tokens, n, s.vocab_size, seed + 1);
    reference_forward(&t.file.model, t.tokens, n, t.logits, NULL);
    snprintf(t.name, sizeof t.name, "version %d, dim %d, hidden %d, %d layers, heads %d/%d, vocab %d, %s", s.version,
             s.dim, s.hidden_dim, s.n_layers, s.n_heads, s.n_kv_heads, s.vocab_size, s.shared ? "shared" : "separate");
    err.text[0] = 0;
    t.model = llama_load_memory(t.file.bytes, t.file.size, NULL, &err);
    if (!CHECK(t.model)) printf("  %s: %s\n", t.name, err.text);
    return t;
}

static void subject_free(subject *t) {
    llama_free(t->model);
    checkpoint_free(&t->file);
    free(t->tokens);
    free(t->logits);
}

/* The sets of kernels that this build and processor have; test_kernels fills the list. */
static const char *kernels[6];
static int n_kernels;

static llama_context *context_with(const char *set, const llama_model *m, int n_ctx, int n_batch, int n_threads) {
    llama_options o = {0};
    o.kernels = set, o.n_ctx = n_ctx, o.n_batch = n_batch, o.n_threads = n_threads;
    llama_context *c = llama_context_create(m, &o, &err);
    if (!CHECK(c)) printf("  %s\n", err.text);
    return c;
}

static llama_context *context_make(const llama_model *m, int n_ctx, int n_batch, int n_threads) {
    return context_with(NULL, m, n_ctx, n_batch, n_threads);
}

static void test_kernels(void) {
    TEST("kernels by name: those that are there, and no others") {
        /* The slowest first; a new set goes into this list, or it fails below. The last three are none. */
        static const char *const names[] = {"plain", "avx2",    "avxvnni", "avx512", "avx512bf16",
                                            "neon",  "neondot", "",        "PLAIN",  "plain "};
        enum { N_NAMES = 10, N_SETS = 7 };
        subject t = subject_make(shapes[1], 4, 1);
        for (int i = 0; t.model && i < N_NAMES; i++) {
            llama_options o = {0};
            memset(&err, 0, sizeof err);
            o.kernels = names[i];
            llama_context *c = llama_context_create(t.model, &o, &err);
            if (c) CHECK_TEXT(llama_context_kernels(c), names[i]);
            else CHECK(strstr(err.text, names[i]) && strstr(err.text, "kernels"));
            if (c && i < N_SETS) kernels[n_kernels++] = names[i];
            CHECK(c || i); /* plain is always there */
            CHECK(!c || i < N_SETS);
            llama_context_free(c);
        }
        /* The fastest is one of them. */
        llama_context *c = t.model ? context_make(t.model, 0, 0, 1) : NULL;
        int found = 0;
        for (int i = 0; c && i < n_kernels; i++) found |= strcmp(kernels[i], llama_context_kernels(c)) == 0;
        CHECK(found);
        llama_context_free(c);
        subject_free(&t);
    }
}

/* Feeds the tokens step at a time (0: all at once) and compares the logits after each call with the reference;
 * keeps a copy of the last ones in last, if that is given. */
static void check_forward(const subject *t, llama_context *c, int step, float *last) {
    double worst = 0;
    llama_rewind(c, 0);
    for (int i = 0; i < t->n;) {
        int n = step && step < t->n - i ? step : t->n - i;
        const float *logits = llama_forward(c, t->tokens + i, n, &err);
        if (!CHECK(logits)) {
            printf("  %s: %s\n", t->name, err.text);
            return;
        }
        i += n;
        CHECK(llama_position(c) == i);
        worst = fmax(worst, difference(logits, t->logits + (size_t)(i - 1) * (size_t)t->vocab_size, t->vocab_size));
        if (last && i == t->n) memcpy(last, logits, (size_t)t->vocab_size * sizeof *last);
    }
    if (!CHECK(worst <= 1e-4)) {
        printf("  %s, %d at a time, kernels %s: off by %g\n", t->name, step, llama_context_kernels(c), worst);
    }
}

static void test_reference(void) {
    static const struct {
        int step, n_batch;
    } ways[] = {{1, 0}, {7, 0}, {0, 0}, {0, 5}, {33, 0}, {2, 0}, {0, 1}, {0, 16}, {11, 3}};
    for (int version = 0; version <= 2; version++) {
        static const char *names[] = {"version 0 against the reference", "version 1 against the reference",
                                      "version 2 against the reference"};
        TEST(names[version]) {
            for (int i = 0; i < 2 * N_SHAPES; i++) {
                checkpoint_shape s = shapes[i / 2];
                s.version = version;
                s.shared = i % 2;
                subject t = subject_make(s, s.seq_len, (uint64_t)(100 * version + i));
                for (int k = SLOW * (i % 3); t.model && k < n_kernels; k += SLOW ? 3 : 1) {
                    /* All of the ways for the fastest set, the first four for the others: only kernels differ. */
                    int n_ways = k == n_kernels - 1 ? (int)(sizeof ways / sizeof *ways) : 4;
                    for (int w = 0; w < n_ways; w++) {
                        llama_context *c = context_with(kernels[k], t.model, 0, ways[w].n_batch, 1);
                        if (c) check_forward(&t, c, ways[w].step, NULL);
                        llama_context_free(c);
                    }
                }
                subject_free(&t);
            }
        }
    }
    TEST("random shapes against the reference") {
        uint64_t seed = 7;
        for (int i = 0; i < 60; i++) {
            checkpoint_shape s = {0};
            int head_dim = 2 * random_int(&seed, 1, 12);
            s.version = i % 3;
            s.n_kv_heads = random_int(&seed, 1, 3);
            s.n_heads = s.n_kv_heads * random_int(&seed, 1, 3);
            s.dim = head_dim * s.n_heads;
            s.hidden_dim = random_int(&seed, 1, 100);
            s.n_layers = random_int(&seed, 1, 3);
            s.vocab_size = random_int(&seed, 1, 100);
            s.seq_len = random_int(&seed, 1, 50);
            s.shared = random_int(&seed, 0, 1);
            s.group_size = random_int(&seed, 0, 1) ? head_dim : 2;
            subject t = subject_make(s, s.seq_len, random_next(&seed));
            int n_batch = random_int(&seed, 0, 20), step = random_int(&seed, 0, 20);
            llama_context *c = t.model ? context_with(kernels[i % n_kernels], t.model, 0, n_batch, 1) : NULL;
            if (c) check_forward(&t, c, step, NULL);
            llama_context_free(c);
            subject_free(&t);
        }
    }
}

static void test_config(void) {
    TEST("the configuration is what the header says") {
        for (int version = 0; version <= 2; version++) {
            for (int shared = 0; shared <= 1; shared++) {
                checkpoint_shape s = {0, 24, 56, 2, 12, 6, 17, 70, 0, 8};
                s.version = version, s.shared = shared;
                subject t = subject_make(s, 1, 1);
                const llama_config *g = t.model ? llama_get_config(t.model) : NULL;
                if (!CHECK(g)) continue;
                CHECK(g->dim == 24 && g->hidden_dim == 56 && g->n_layers == 2 && g->n_heads == 12);
                CHECK(g->n_kv_heads == 6 && g->head_dim == 2 && g->vocab_size == 17 && g->seq_len == 70);
                CHECK(g->shared_classifier == shared);
                CHECK_NEAR(g->norm_eps, 1e-5, 1e-11);
                CHECK_NEAR(g->rope_theta, 10000, 0);
                char format[] = "llama2.c version 0";
                format[sizeof format - 2] = (char)('0' + version);
                CHECK_TEXT(g->format, format);
                CHECK(g->weight_type && g->weight_type[0]);
                /* A token reads every matrix and every norm once, but not the embedding unless it is the classifier. */
                const size_t matrices = 17 * 24 + 2 * (24 * 24 + 2 * 12 * 24 + 24 * 24 + 3 * 56 * 24), norms = 5 * 24;
                CHECK(g->weight_bytes == 4 * norms + (version == 2 ? matrices + matrices / 8 * 4 : 4 * matrices));
                subject_free(&t);
            }
        }
    }
}

/* Models large enough that a call shares its work out: with a tiny one it may well stay on one thread. Few calls,
 * because where other programs keep the processors busy every barrier may cost a millisecond. */
static void test_threads(void) {
    static const struct {
        checkpoint_shape shape;
        int step, n, n_batch;
    } cases[] = {
        {{0, 90, 201, 2, 3, 1, 307, 64, 0, 30}, 0, 40, 16},  {{1, 128, 300, 1, 1, 1, 200, 64, 1, 64}, 13, 39, 0},
        {{2, 120, 254, 2, 6, 2, 600, 64, 0, 24}, 0, 50, 33}, {{0, 64, 333, 2, 32, 4, 513, 64, 1, 16}, 20, 40, 3},
        {{0, 240, 300, 1, 3, 1, 4500, 64, 1, 30}, 1, 3, 0},  {{1, 34, 300, 2, 1, 1, 19, 300, 0, 17}, 0, 300, 0},
    };
    TEST("any number of threads gives the same bits") {
        for (int i = 0; i < 6; i++) {
            subject t = subject_make(cases[i].shape, cases[i].n, 200u + (unsigned)i);
            size_t size = (size_t)t.vocab_size * sizeof(float), scores_size = (size_t)t.n * sizeof(float);
            float *first = xmalloc(size), *again = xmalloc(size);
            float *scores = xmalloc(scores_size), *scores_again = xmalloc(scores_size);
            memset(scores, 0, scores_size);
            memset(scores_again, 0, scores_size);
            for (int threads = 1; t.model && threads <= 3; threads++) {
                llama_context *c = context_with(kernels[i % n_kernels], t.model, 0, cases[i].n_batch, threads);
                if (!c) continue;
                int n = llama_context_threads(c);
                CHECK(n == threads || n == 1); /* 1: built without OpenMP */
                check_forward(&t, c, cases[i].step, threads == 1 ? first : again);
                llama_rewind(c, 0);
                CHECK(llama_score(c, t.tokens, t.n, threads == 1 ? scores : scores_again, &err) == 0);
                if (threads > 1) CHECK(same_bits(first, again, t.vocab_size) && same_bits(scores, scores_again, t.n));
                llama_context_free(c);
            }
            free(first), free(again), free(scores), free(scores_again);
            subject_free(&t);
        }
    }
    TEST("by default a context has at least one thread") {
        subject t = subject_make(shapes[1], 4, 3);
        llama_context *c = t.model ? llama_context_create(t.model, NULL, &err) : NULL;
        if (CHECK(c)) CHECK(llama_context_threads(c) >= 1);
        if (c) check_forward(&t, c, 0, NULL);
        llama_context_free(c);
        subject_free(&t);
    }
}

static void test_positions(void) {
    TEST("a context longer than seq_len") {
        for (int version = 0; version <= 2; version++) {
            checkpoint_shape s = {0, 24, 20, 2, 3, version == 1 ? 3 : 1, 50, 8, 0, 8};
            s.version = version;
            subject t = subject_make(s, 555, 31);
            for (int i = 0; t.model && i < 3 * n_kernels; i++) {
                if (!TAKEN(i / 3 + i + version)) continue;
                static const int steps[] = {1, 540, 0}, batches[] = {0, 64, 600};
                llama_context *c = context_with(kernels[i / 3], t.model, 555, batches[i % 3], 1 + i % 3 / 2);
                if (!c) continue;
                CHECK(llama_context_length(c) == 555);
                check_forward(&t, c, steps[i % 3], NULL);
                CHECK(llama_forward(c, t.tokens, 1, &err) == NULL); /* full */
                llama_context_free(c);
            }
            subject_free(&t);
        }
    }
    TEST("a context shorter than seq_len, and the default length") {
        checkpoint_shape s = {1, 20, 36, 2, 5, 1, 37, 40, 1, 20};
        subject t = subject_make(s, 5, 32);
        llama_context *c = t.model ? context_make(t.model, 5, 0, 1) : NULL;
        if (c) CHECK(llama_context_length(c) == 5);
        if (c) check_forward(&t, c, 0, NULL);
        llama_context_free(c);
        c = t.model ? llama_context_create(t.model, NULL, &err) : NULL;
        if (CHECK(c)) CHECK(llama_context_length(c) == 40);
        llama_context_free(c);
        subject_free(&t);
    }
    TEST("what comes later does not change what came before") {
        /* Rewinds after a call that went further: stale keys and values beyond the position must not be seen. */
        enum { N = 37 };
        subject t = subject_make(shapes[4], N, 33);
        llama_context *c = t.model ? context_make(t.model, 0, 0, 1) : NULL;
        uint64_t seed = 5;
        for (int i = 0; c && i < 40; i++) {
            int keep = random_int(&seed, 0, llama_position(c)), n;
            if (keep == N) continue;
            n = random_int(&seed, 1, N - keep);
            llama_rewind(c, keep);
            CHECK(llama_position(c) == keep);
            const float *logits = llama_forward(c, t.tokens + keep, n, &err);
            if (!CHECK(logits)) break;
            CHECK_NEAR(difference(logits, t.logits + (size_t)(keep + n - 1) * 50, 50), 0, 1e-4);
        }
        llama_context_free(c);
        subject_free(&t);
    }
}

static void test_score(void) {
    TEST("llama_score against the reference") {
        for (int i = 0; i < 3 * N_SHAPES; i++) {
            checkpoint_shape s = shapes[i / 3];
            s.version = i % 3;
            s.shared = i % 2;
            subject t = subject_make(s, s.seq_len, 400u + (unsigned)i);
            float *got = xmalloc((size_t)t.n * sizeof *got);
            const char *set = kernels[i % n_kernels];
            llama_context *c = t.model ? context_with(set, t.model, 0, i % 4 * 5, 1) : NULL;
            for (int prefix = 0; c && prefix < 2; prefix++) {
                int start = prefix ? t.n / 3 : 0; /* some of it forward, the rest scored */
                llama_rewind(c, 0);
                if (start) CHECK(llama_forward(c, t.tokens, start, &err));
                for (int k = 0; k < t.n; k++) got[k] = 1; /* 1 is no log-probability */
                if (!CHECK(llama_score(c, t.tokens + start, t.n - start, got, &err) == 0)) break;
                CHECK(llama_position(c) == t.n);
                for (int k = start; k + 1 < t.n; k++) {
                    const double *logits = t.logits + (size_t)k * (size_t)t.vocab_size;
                    double want = reference_logprob(logits, t.vocab_size, t.tokens[k + 1]);
                    if (!CHECK_NEAR(got[k - start], want, 1e-4 * (1 + fabs(want)))) break;
                }
                CHECK(got[t.n - start - 1] == 1.0f); /* n - 1 of them, not n */
            }
            llama_context_free(c);
            free(got);
            subject_free(&t);
        }
    }
    TEST("llama_forward goes on where llama_score ended") {
        subject t = subject_make(shapes[0], 36, 41);
        llama_context *c = t.model ? context_make(t.model, 0, 16, 2) : NULL;
        float logprobs[36];
        if (c && CHECK(llama_score(c, t.tokens, 28, logprobs, &err) == 0)) {
            const float *logits = llama_forward(c, t.tokens + 28, 8, &err);
            if (CHECK(logits)) CHECK_NEAR(difference(logits, t.logits + 35 * 96, 96), 0, 1e-4);
        }
        llama_context_free(c);
        subject_free(&t);
    }
    TEST("llama_logprob of the logits agrees with llama_score") {
        subject t = subject_make(shapes[0], 36, 42);
        llama_context *c = t.model ? context_make(t.model, 0, 0, 1) : NULL;
        float logprobs[36];
        if (c && CHECK(llama_score(c, t.tokens, 36, logprobs, &err) == 0)) {
            llama_rewind(c, 0);
            for (int i = 0; i < 35; i++) {
                const float *logits = llama_forward(c, t.tokens + i, 1, &err);
                if (!CHECK(logits)) break;
                CHECK_NEAR(llama_logprob(logits, 96, t.tokens[i + 1]), logprobs[i], 1e-4);
            }
        }
        llama_context_free(c);
        subject_free(&t);
    }
}

/* Every way to load a model must give the same bits. */
static void test_loading(void) {
    TEST("from a file, mapped or copied, and from memory: the same bits") {
        for (int i = 0; i < 6; i++) {
            checkpoint_shape s = shapes[i % 2];
            s.version = i / 2;
            subject t = subject_make(s, s.seq_len, 500u + (unsigned)i);
            char path[64];
            snprintf(path, sizeof path, "%s", temporary_path());
            if (!CHECK(write_file(path, t.file.bytes, t.file.size))) continue;
            size_t size = (size_t)s.vocab_size * sizeof(float);
            float *first = xmalloc(size), *again = xmalloc(size);
            for (int way = 0; way < 4; way++) {
                llama_options o = {0};
                unsigned char *moved = NULL;
                llama_model *m;
                o.copy = way == 2;
                if (way == 0) m = t.model;
                else if (way < 3) m = llama_load(path, &o, &err);
                else { /* the least alignment that the header allows, and no byte behind the end */
                    moved = xmalloc(t.file.size + 4);
                    memcpy(moved + 4, t.file.bytes, t.file.size);
                    m = llama_load_memory(moved + 4, t.file.size, NULL, &err);
                }
                if (CHECK(m)) {
                    llama_context *c = context_make(m, 0, 0, 1);
                    if (c) check_forward(&t, c, 0, way ? again : first);
                    if (way) CHECK(same_bits(first, again, s.vocab_size));
                    llama_context_free(c);
                } else printf("  %s: %s\n", t.name, err.text);
                if (way) llama_free(m);
                free(moved);
            }
            CHECK(remove(path) == 0);
            free(first);
            free(again);
            subject_free(&t);
        }
    }
    TEST("a copied file may go while the model is in use") {
        subject t = subject_make(shapes[1], 40, 77);
        char path[64];
        llama_options o = {0};
        o.copy = 1;
        snprintf(path, sizeof path, "%s", temporary_path());
        CHECK(write_file(path, t.file.bytes, t.file.size));
        llama_model *m = llama_load(path, &o, &err);
        CHECK(write_file(path, "", 0)); /* cut: a mapped file would end the process */
        CHECK(remove(path) == 0);
        llama_context *c = CHECK(m) ? context_make(m, 0, 0, 1) : NULL;
        if (c) check_forward(&t, c, 0, NULL);
        llama_context_free(c);
        llama_free(m);
        subject_free(&t);
    }
    TEST("success leaves the error text alone") {
        checkpoint file = checkpoint_make(shapes[1], 5);
        llama_error e;
        int token = 3;
        float logprob;
        strcpy(e.text, "as before");
        llama_model *m = llama_load_memory(file.bytes, file.size, NULL, &e);
        llama_context *c = m ? llama_context_create(m, NULL, &e) : NULL;
        llama_sampler *s = m ? llama_sampler_create(m, NULL, NULL, &e) : NULL;
        if (CHECK(c && s)) {
            const float *logits = llama_forward(c, &token, 1, &e);
            CHECK(logits && llama_sample(s, logits, &e) >= 0);
            CHECK(llama_score(c, &token, 1, &logprob, &e) == 0);
        }
        CHECK_TEXT(e.text, "as before");
        llama_sampler_free(s);
        llama_context_free(c);
        llama_free(m);
        checkpoint_free(&file);
    }
}

/* ---- A real model ---- */

typedef struct {
    int tokens[64], n;
    double nll;
    int best_id[10];
    double best[10], sum, l2;
} golden;

/* Reads what GOLDEN.txt says of stories260K; 1 if it was all there. */
static int golden_read(golden *g, const char *path) {
    char line[4096];
    FILE *f = path ? fopen(path, "r") : NULL;
    int found = 0, left = 0;
    if (!f) return 0;
    while (fgets(line, sizeof line, f) && found < 4) {
        if (left) {
            int i = 10 - left--;
            found += sscanf(line, "%d %lf", &g->best_id[i], &g->best[i]) == 2 && !left;
        } else if (strncmp(line, "ids (BOS first):", 16) == 0) {
            char *p = line + 16, *end;
            for (long id = strtol(p, &end, 10); end != p && g->n < 64; id = strtol(p, &end, 10)) {
                g->tokens[g->n++] = (int)id;
                p = end;
            }
            found += g->n > 1;
        } else if (sscanf(line, "stories260K nll: mean_nll %lf", &g->nll) == 1) found++;
        else if (strncmp(line, "stories260K logits", 18) == 0) left = 10;
        else if (sscanf(line, "sum %lf l2 %lf", &g->sum, &g->l2) == 2) found++;
    }
    fclose(f);
    return found == 4;
}

static void check_golden(const golden *g, const float *logits, int vocab_size) {
    double sum = 0, squares = 0;
    for (int i = 0; i < 10; i++) CHECK_NEAR(logits[g->best_id[i]], g->best[i], 1e-3);
    for (int i = 0; i < vocab_size; i++) {
        sum += (double)logits[i], squares += (double)logits[i] * (double)logits[i];
        int rank = 0;
        for (int k = 0; k < 10; k++) rank += g->best_id[k] == i;
        if (!rank) CHECK(logits[i] <= logits[g->best_id[9]]); /* the ten best are the ten best */
    }
    CHECK_NEAR(sum, g->sum, 0.05); /* of 512 logits, each to 1e-4 */
    CHECK_NEAR(sqrt(squares), g->l2, 1e-3);
}

static void test_stories(void) {
    golden g = {0};
    const char *path;
    if (!golden_read(&g, data_path("GOLDEN.txt")) || !(path = data_path("stories260K.bin"))) {
        SKIP("stories260K: golden logits", "no ../shared/data");
        SKIP("stories260K: golden nll", "no ../shared/data");
        return;
    }
    llama_model *m = NULL;
    llama_context *c = NULL;
    TEST("stories260K: golden logits") {
        m = llama_load(path, NULL, &err);
        c = CHECK(m) ? context_make(m, 0, 0, 0) : NULL;
        if (c) {
            CHECK(llama_get_config(m)->vocab_size == 512 && llama_get_config(m)->shared_classifier);
            const float *logits = llama_forward(c, g.tokens, g.n, &err);
            if (CHECK(logits)) check_golden(&g, logits, 512);
            llama_rewind(c, 0);
            for (int i = 0; i < g.n; i++) logits = llama_forward(c, g.tokens + i, 1, &err);
            if (CHECK(logits)) check_golden(&g, logits, 512);
        }
    }
    TEST("stories260K: golden nll") {
        float logprobs[64];
        if (c) {
            llama_rewind(c, 0);
            if (CHECK(llama_score(c, g.tokens, g.n, logprobs, &err) == 0)) {
                double nll = 0;
                for (int i = 0; i < g.n - 1; i++) nll -= (double)logprobs[i];
                CHECK_NEAR(nll / (g.n - 1), g.nll, 1e-4);
            }
        } else CHECK(c != NULL);
    }
    llama_context_free(c);
    llama_free(m);
}

int main(void) {
    test_kernels();
    test_reference();
    test_config();
    test_threads();
    test_positions();
    test_score();
    test_loading();
    test_stories();
    return test_end();
}
