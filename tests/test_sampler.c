/* test_sampler.c - the sampler against a naive reference that sorts the whole vocabulary, and against its promises. */
#include "../llama.h"
#include "test.h"

#include "checkpoint.c"
#include "reference.c"

#include <float.h>
#include <limits.h>

static llama_error err;

/* A sampler takes only the vocabulary's size from its model: the smallest model there is, with that many tokens. */
static llama_model *model_make(int vocab_size, checkpoint *file) {
    checkpoint_shape s = {0, 2, 1, 1, 1, 1, 1, 1, 1, 1};
    s.vocab_size = vocab_size;
    *file = checkpoint_make(s, 1);
    llama_model *m = llama_load_memory(file->bytes, file->size, NULL, &err);
    if (!CHECK(m)) printf("  %s\n", err.text);
    return m;
}

/* Everything off: a draw from softmax(logits). */
static llama_sampling plain(void) {
    llama_sampling o = {0};
    o.temperature = 1;
    o.top_p = 1;
    o.repeat_penalty = 1;
    return o;
}

/* One sampler of a vocabulary of its own; the model may go at once. */
static llama_sampler *sampler_make(int vocab_size, llama_sampling o) {
    checkpoint file;
    llama_model *m = model_make(vocab_size, &file);
    llama_sampler *s = m ? llama_sampler_create(m, &o, NULL, &err) : NULL;
    if (!CHECK(s)) printf("  %s\n", err.text);
    llama_free(m);
    checkpoint_free(&file);
    return s;
}

/* ---- The reference ---- */

enum { MAX_VOCAB = 5000, MAX_WINDOW = 100 };

typedef struct {
    llama_sampling o;
    int vocab_size;
    uint64_t state;
    int recent[4 * MAX_WINDOW], n_recent; /* every token so far, the oldest first */
} naive_sampler;

typedef struct {
    float logit;
    int id;
    double p;
} naive_candidate;

static int by_id(const void *a, const void *b) {
    const naive_candidate *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_rank(const void *a, const void *b) {
    const naive_candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void naive_softmax(naive_candidate *c, int n, double temperature) {
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) max = fmax(max, (double)c[i].logit);
    for (int i = 0; i < n; i++) sum += c[i].p = exp(((double)c[i].logit - max) / temperature);
    for (int i = 0; i < n; i++) c[i].p /= sum;
}

/* Two numbers so close that an implementation in floats may order them the other way. */
static int close_to(double a, double b) { return fabs(a - b) < 1e-5; }

/* Those of n candidates, ranked, that are within so many deviations of all finite ones below the best. */
static int naive_top_n_sigma(const naive_candidate *c, int n, double sigmas, int *unsure) {
    double mean = 0, variance = 0;
    int finite = 0, kept = 0;
    for (int i = 0; i < n && !isinf(c[i].logit); i++) mean += (double)c[i].logit, finite++;
    mean /= finite;
    for (int i = 0; i < finite; i++) variance += pow((double)c[i].logit - mean, 2) / finite;
    const double bound = (double)c[0].logit - sigmas * sqrt(variance), near = 1e-5 * (1 + fabs((double)c[0].logit));
    while (kept < finite && (double)c[kept].logit >= bound) kept++;
    for (int i = 0; i < finite; i++) *unsure |= fabs((double)c[i].logit - bound) < near;
    return kept;
}

/* Which of n candidates a uniform number falls on. */
static int naive_draw(naive_sampler *s, naive_candidate *c, int n, int *unsure) {
    double u = (double)(random_next(&s->state) >> 40) / 16777216, sum = 0;
    int i = 0;
    naive_softmax(c, n, (double)s->o.temperature);
    for (; i < n - 1; i++) {
        sum += c[i].p;
        *unsure |= close_to(sum, u);
        if (u < sum) break;
    }
    return i;
}

/* The hook: refuses tokens by what depends on id and *user only; with an odd *user nearly all. */
static int check_some(void *user, int token) {
    unsigned salt = *(unsigned *)user, x = ((unsigned)token * 2654435761u + salt) >> 7;
    return salt % 2 ? x % 50 == 0 : x % 3 != 0;
}

/* What llama.h says, stage by stage. *unsure becomes 1 if rounding decides. */
static int naive_sample(naive_sampler *s, const float *logits, int *unsure) {
    static float l[MAX_VOCAB];
    static naive_candidate c[MAX_VOCAB];
    int n = s->vocab_size, kept;
    *unsure = 0;

    memcpy(l, logits, (size_t)n * sizeof *l);
    if (s->o.adjust) s->o.adjust(s->o.user, l, n);

    int first = s->n_recent > s->o.repeat_window ? s->n_recent - s->o.repeat_window : 0;
    for (int i = first; i < s->n_recent; i++) {
        int id = s->recent[i], before = 0;
        for (int k = first; k < i; k++) before |= s->recent[k] == id; /* each token once */
        if (!before) l[id] = l[id] > 0 ? l[id] / s->o.repeat_penalty : l[id] * s->o.repeat_penalty;
    }

    for (int i = 0; i < n; i++) {
        if (isnan(l[i]) || (isinf(l[i]) && l[i] > 0)) return -1;
        c[i].logit = l[i];
        c[i].id = i;
    }
    qsort(c, (size_t)n, sizeof *c, by_rank);
    if (isinf(c[0].logit)) return -1;

    if (s->o.temperature > 0) {
        int ranked = s->o.top_p < 1 || (s->o.top_k > 0 && s->o.top_k < n);
        if (s->o.top_n_sigma > 0) n = naive_top_n_sigma(c, n, (double)s->o.top_n_sigma, unsure);
        if (s->o.top_k > 0 && s->o.top_k < n) n = s->o.top_k;
        naive_softmax(c, n, 1);
        if (s->o.top_p < 1) {
            double sum = 0;
            for (kept = 0; kept < n && (kept == 0 || sum < (double)s->o.top_p); kept++) {
                sum += c[kept].p;
                *unsure |= close_to(sum, (double)s->o.top_p);
            }
            n = kept;
        }
        for (kept = 0; kept < n && c[kept].p >= (double)s->o.min_p * c[0].p; kept++) {}
        for (int i = 1; i < n; i++) *unsure |= s->o.min_p > 0 && close_to(c[i].p / c[0].p, (double)s->o.min_p);
        n = kept;

        /* The draw walks through what is left: by rank if a stage ranked it, else by id. */
        if (!ranked) qsort(c, (size_t)n, sizeof *c, by_id);
        int drawn = naive_draw(s, c, n, unsure);
        while (s->o.check && n > 0 && !s->o.check(s->o.user, c[drawn].id)) {
            memmove(c + drawn, c + drawn + 1, (size_t)(n - 1 - drawn) * sizeof *c);
            while (--n > 0 && isinf(c[n - 1].logit)) {} /* what is forbidden is nobody's choice */
            if (n > 0) drawn = naive_draw(s, c, n, unsure);
        }
        if (n == 0) {
            for (int id = 0; id < s->vocab_size; id++)
                if (!isinf(l[id]) && s->o.check(s->o.user, id)) c[n].logit = l[id], c[n++].id = id;
            if (n == 0) return -1;
            drawn = naive_draw(s, c, n, unsure);
        }
        c[0] = c[drawn];
    } else if (s->o.check) {
        for (kept = 0; kept < n && !isinf(c[kept].logit) && !s->o.check(s->o.user, c[kept].id); kept++) {}
        if (kept == n || isinf(c[kept].logit)) return -1;
        c[0] = c[kept];
    }
    s->recent[s->n_recent++] = c[0].id;
    return c[0].id;
}

/* ---- Random cases against it ---- */

/* An adjust hook: biases one token in seven, forbids one in five; what depends only on the id and on *user. */
static void adjust_some(void *user, float *logits, int vocab_size) {
    unsigned salt = *(unsigned *)user;
    for (unsigned i = 0; i < (unsigned)vocab_size; i++) {
        if ((i * 2654435761u + salt) % 7 == 0) logits[i] += 1.5f;
        if ((i * 2246822519u + salt) % 5 == 0) logits[i] = -INFINITY;
    }
}

static void random_logits(float *l, int n, uint64_t *seed) {
    int kind = random_int(seed, 0, 4);
    double scale = random_real(seed, 0.5, 8), shift = random_real(seed, -20, 20);
    for (int i = 0; i < n; i++) {
        double x = random_real(seed, -1, 1) + random_real(seed, -1, 1) + random_real(seed, -1, 1);
        l[i] = (float)(x * scale + shift);
        if (kind == 1) l[i] = (float)(floor(x * 4) / 2);                /* many ties, many zeros */
        if (kind == 2 && random_int(seed, 0, 2) == 0) l[i] = -INFINITY; /* masked by the caller */
        if (kind == 3) l[i] = (float)(i % 13 == 5 ? 12 + x : x * 0.1);  /* a few good ones */
    }
}

static llama_sampling random_sampling(int vocab_size, uint64_t *seed) {
    llama_sampling o = plain();
    if (random_int(seed, 0, 4)) o.temperature = (float)random_real(seed, 0.1, 2);
    if (random_int(seed, 0, 9) == 0) o.temperature = 0;
    if (random_int(seed, 0, 1)) o.top_k = random_int(seed, 1, random_int(seed, 0, 1) ? 50 : vocab_size + 10);
    if (random_int(seed, 0, 1)) o.top_p = (float)random_real(seed, 0.01, 0.999);
    if (random_int(seed, 0, 1)) o.min_p = (float)(random_int(seed, 0, 9) ? random_real(seed, 0.001, 0.5) : 1);
    if (random_int(seed, 0, 1)) o.repeat_penalty = (float)random_real(seed, 0.5, 2);
    o.repeat_window = random_int(seed, 0, 1) ? random_int(seed, 0, 5) : MAX_WINDOW;
    if (random_int(seed, 0, 2) == 0) o.top_n_sigma = (float)random_real(seed, 0.1, 3);
    o.seed = random_next(seed);
    return o;
}

static void test_reference(void) {
    static const int sizes[] = {1, 2, 3, 17, 64, 100, 512, MAX_VOCAB};
    static float logits[MAX_VOCAB], before[MAX_VOCAB];
    int steps = 0, unsure_steps = 0;
    TEST("thousands of random cases against the reference") {
        uint64_t seed = 2024;
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            int n = sizes[k];
            checkpoint file;
            llama_model *m = model_make(n, &file);
            for (int i = 0; m && i < (n > 1000 ? 60 : 800); i++) {
                naive_sampler naive = {0};
                unsigned salt = (unsigned)random_int(&seed, 0, 1000000);
                naive.o = random_sampling(n, &seed);
                naive.vocab_size = n;
                naive.state = naive.o.seed;
                naive.o.user = &salt;
                if (random_int(&seed, 0, 2) == 0) naive.o.adjust = adjust_some;
                if (random_int(&seed, 0, 2) == 0) naive.o.check = check_some;
                llama_sampler *s = llama_sampler_create(m, &naive.o, NULL, &err);
                if (!CHECK(s)) break;
                int going = 1;
                for (int step = 0; step < 8 && going; step++) {
                    int unsure;
                    for (int a = random_int(&seed, 0, 6) - 3; a > 0; a--) { /* a prompt, or another's choice */
                        int id = random_int(&seed, 0, n - 1);
                        llama_sampler_accept(s, id);
                        naive.recent[naive.n_recent++] = id;
                    }
                    random_logits(logits, n, &seed);
                    memcpy(before, logits, sizeof before);
                    int want = naive_sample(&naive, logits, &unsure), got = llama_sample(s, logits, &err);
                    CHECK(memcmp(before, logits, (size_t)n * sizeof *logits) == 0);
                    steps++;
                    unsure_steps += unsure;
                    /* Two that differ by rounding go on with different tokens to penalise; a failure draws no number,
                     * or one: that is nobody's business. */
                    going = got == want && got >= 0;
                    if (got != want && !unsure) {
                        CHECK(got == want);
                        const llama_sampling *o = &naive.o;
                        printf("  vocab %d, temperature %g, top_k %d, top_p %g, ", n, (double)o->temperature, o->top_k,
                               (double)o->top_p);
                        printf("min_p %g, penalty %g over %d, step %d: %d, not %d\n", (double)o->min_p,
                               (double)o->repeat_penalty, o->repeat_window, step, got, want);
                    }
                }
                llama_sampler_free(s);
            }
            llama_free(m);
            checkpoint_free(&file);
        }
        CHECK(steps > 10000);
        CHECK(unsure_steps < steps / 10);
    }
}

/* ---- One thing at a time ---- */

static void test_greedy(void) {
    TEST("greedy takes the largest logit, of equal ones the smaller id") {
        llama_sampling o = plain();
        o.temperature = 0;
        o.top_k = 1, o.top_p = 0.01f, o.min_p = 1;
        llama_sampler *s = sampler_make(7, o);
        static const float a[] = {-3, 2, 1, 2, -8, 2, 0}, b[] = {-5, -5, -5, -5, -5, -5, -5};
        static const float c[] = {0, 1, 2, 3, 4, 5, 6};
        static const float d[] = {-0.0f, 0.0f, -1, 0, -2, -0.0f, -9};
        if (s) {
            CHECK(llama_sample(s, a, &err) == 1);
            CHECK(llama_sample(s, b, &err) == 0);
            CHECK(llama_sample(s, c, &err) == 6);
            CHECK(llama_sample(s, d, &err) == 0); /* -0 equals 0 */
        }
        llama_sampler_free(s);
    }
    TEST("top_k 1 takes the best too, and so do a tiny top_p, min_p 1 and a tiny temperature") {
        static const float l[] = {0, 3, 3, 2.5f, -1};
        for (int i = 0; i < 5; i++) {
            llama_sampling o = plain();
            if (i == 0) o.top_k = 1;
            if (i == 1) o.top_p = 1e-6f;
            if (i == 2) o.min_p = 1;
            if (i == 3) o.temperature = 1e-30f;
            if (i == 4) o.temperature = 1e-45f; /* the smallest float: its inverse is none */
            llama_sampler *s = sampler_make(5, o);
            for (int k = 0; s && k < 100; k++) {
                int id = llama_sample(s, l, &err);
                CHECK(id == 1 || (i >= 2 && id == 2)); /* the equal one is as probable as the best */
            }
            llama_sampler_free(s);
        }
    }
}

/* Draws many times and compares the counts with n probabilities; what has probability 0 must never come. */
static void check_distribution(const float *logits, int n, llama_sampling o, const double *p) {
    enum { DRAWS = 120000 };
    int count[16] = {0}, freedom = -1;
    double chi = 0;
    llama_sampler *s = sampler_make(n, o);
    for (int i = 0; s && i < DRAWS; i++) {
        int id = llama_sample(s, logits, &err);
        if (!CHECK(id >= 0 && id < n)) break;
        count[id]++;
    }
    for (int i = 0; s && i < n; i++) {
        if (p[i] <= 0) {
            CHECK(count[i] == 0);
            continue;
        }
        freedom++;
        chi += pow(count[i] - p[i] * DRAWS, 2) / (p[i] * DRAWS);
    }
    /* Mean freedom, variance twice that: five deviations. */
    CHECK(chi <= freedom + 5 * sqrt(2.0 * freedom) + 1e-9);
    llama_sampler_free(s);
}

static void test_distributions(void) {
    enum { N = 8 };
    static const double probability[N] = {0.05, 0.3, 0.02, 0.2, 0.25, 0.1, 0.05, 0.03};
    float logits[N];
    double want[N];
    llama_sampling o;
    for (int i = 0; i < N; i++) logits[i] = (float)log(probability[i]) + 3;

    TEST("temperature 1 draws from the softmax") { check_distribution(logits, N, plain(), probability); }
    TEST("temperature flattens and sharpens") {
        static const float t[] = {0.5f, 0.8f, 1.7f, 1e30f};
        for (int k = 0; k < 4; k++) {
            double sum = 0;
            for (int i = 0; i < N; i++) sum += want[i] = pow(probability[i], 1 / (double)t[k]);
            for (int i = 0; i < N; i++) want[i] /= sum;
            o = plain(), o.temperature = t[k], o.seed = (uint64_t)k;
            check_distribution(logits, N, o, want);
        }
    }
    TEST("top-k keeps the k largest") {
        static const double three[N] = {0, 0.3 / 0.75, 0, 0.2 / 0.75, 0.25 / 0.75, 0, 0, 0};
        o = plain(), o.top_k = 3;
        check_distribution(logits, N, o, three);
    }
    TEST("top-p keeps the fewest tokens that sum to p or more") {
        static const double three[N] = {0, 0.3 / 0.75, 0, 0.2 / 0.75, 0.25 / 0.75, 0, 0, 0};
        o = plain(), o.top_p = 0.7f; /* 0.3 + 0.25 are too few, 0.2 more are enough */
        check_distribution(logits, N, o, three);
        /* Exactly representable: two of four equal ones sum to 0.5, and that is 0.5 or more. */
        static const float four[4] = {1, 1, 1, 1};
        static const double two[4] = {0.5, 0.5, 0, 0};
        o.top_p = 0.5f;
        check_distribution(four, 4, o, two);
        /* The same of what top-k has ranked. */
        static const float five[5] = {1, 1, -2, 1, 1};
        static const double two_of_five[5] = {0.5, 0.5, 0, 0, 0};
        o.top_k = 4;
        check_distribution(five, 5, o, two_of_five);
    }
    TEST("min-p keeps what is at least min_p times as probable as the best") {
        static const double four[N] = {0, 0.3 / 0.85, 0, 0.2 / 0.85, 0.25 / 0.85, 0.1 / 0.85, 0, 0};
        o = plain(), o.min_p = 0.25f; /* 0.075 */
        check_distribution(logits, N, o, four);
    }
    TEST("top-p counts what top-k has left; both see probabilities before temperature") {
        /* Of the best three, 0.4 + 0.333 reach 0.7; of all, only three would. */
        static const double two[N] = {0, 0.3 / 0.55, 0, 0, 0.25 / 0.55, 0, 0, 0};
        double hot[N] = {0};
        o = plain(), o.top_k = 3, o.top_p = 0.7f;
        check_distribution(logits, N, o, two);
        o.temperature = 100; /* nearly flat: would keep three if it came first */
        hot[1] = pow(0.3, 0.01) / (pow(0.3, 0.01) + pow(0.25, 0.01));
        hot[4] = 1 - hot[1];
        check_distribution(logits, N, o, hot);
    }
}

/* Forbids all tokens but one, or nothing when it is negative. */
static void adjust_only(void *user, float *logits, int vocab_size) {
    int only = *(int *)user;
    for (int i = 0; i < vocab_size; i++)
        if (only >= 0 && i != only) logits[i] = -INFINITY;
}

static void adjust_nan(void *user, float *logits, int vocab_size) { logits[vocab_size - 1] = *(float *)user; }

typedef struct {
    int calls, vocab_size;
    float seen[4];
} adjust_log;

static void adjust_record(void *user, float *logits, int vocab_size) {
    adjust_log *log = user;
    log->calls++;
    log->vocab_size = vocab_size;
    memcpy(log->seen, logits, sizeof log->seen);
    memset(logits, 0, sizeof log->seen); /* spoils the copy */
    logits[2] = 1;
}

static void test_adjust(void) {
    TEST("adjust forbids and biases, also for greedy") {
        static const float l[] = {5, 1, 2, 3};
        int only = 1;
        llama_sampling o = plain();
        o.adjust = adjust_only, o.user = &only;
        for (int greedy = 0; greedy < 2; greedy++) {
            o.temperature = greedy ? 0 : 1;
            llama_sampler *s = sampler_make(4, o);
            for (int i = 0; s && i < 50; i++) {
                only = i % 4;
                CHECK(llama_sample(s, l, &err) == only);
            }
            llama_sampler_free(s);
        }
    }
    TEST("adjust gets a copy of the logits as they were given, before the penalty") {
        static const float l[] = {5, -1, 2, 3};
        float copy[4];
        adjust_log log = {0};
        llama_sampling o = plain();
        o.temperature = 0;
        o.repeat_penalty = 1.5f, o.repeat_window = 10;
        o.adjust = adjust_record, o.user = &log;
        llama_sampler *s = sampler_make(4, o);
        memcpy(copy, l, sizeof l);
        for (int i = 1; s && i <= 3; i++) {
            CHECK(llama_sample(s, copy, &err) == 2);
            CHECK(log.calls == i && log.vocab_size == 4);
            CHECK(memcmp(log.seen, l, sizeof l) == 0 && memcmp(copy, l, sizeof l) == 0);
        }
        llama_sampler_free(s);
    }
}

static int refuse_listed(void *user, int token) { /* counts how often it is asked */
    int *list = user;
    list[0]++;
    for (int i = 1; list[i] >= 0; i++)
        if (list[i] == token) return 0;
    return 1;
}

static void test_refusals(void) {
    static const float logits[] = {1, 5, 4, -INFINITY, 3, 2};
    int refused[8] = {0, 1, 2, -1};
    llama_sampling o = plain();
    o.check = refuse_listed, o.user = refused;
    TEST("check: greedy takes the next best, and asks no more than it must") {
        o.temperature = 0;
        llama_sampler *s = sampler_make(6, o);
        CHECK(llama_sample(s, logits, &err) == 4 && refused[0] == 3);
        refused[1] = -1, refused[0] = 0;
        CHECK(llama_sample(s, logits, &err) == 1 && refused[0] == 1);
        llama_sampler_free(s);
    }
    TEST("check: beyond what was kept the vocabulary is asked; forbidden tokens are not") {
        const int all[] = {0, 0, 1, 2, 3, 4, 5, -1};
        refused[0] = 0, refused[1] = 1, refused[2] = -1;
        o.temperature = 1, o.top_k = 1;
        llama_sampler *s = sampler_make(6, o);
        int seen[6] = {0};
        for (int i = 0; i < 2000; i++) seen[llama_sample(s, logits, &err)]++;
        CHECK(!seen[1] && !seen[3] && seen[0] && seen[2] > seen[4] && seen[4] > seen[5] && seen[5] > seen[0]);
        memcpy(refused, all, sizeof all);
        memset(&err, 0, sizeof err);
        CHECK(llama_sample(s, logits, &err) == -1 && err.code == LLAMA_BAD_LOGITS && strstr(err.text, "refused"));
        llama_sampler_free(s);
    }
}

static void test_penalty(void) {
    TEST("repetition: divides what is positive, multiplies what is negative, once per token") {
        static const float up[] = {4, 3, 0, -1}, down[] = {-1, -1.5f, -9, -9};
        llama_sampling o = plain();
        o.temperature = 0;
        o.repeat_penalty = 2, o.repeat_window = 4;
        llama_sampler *s = sampler_make(4, o);
        if (s) {
            CHECK(llama_sample(s, up, &err) == 0);
            CHECK(llama_sample(s, up, &err) == 1);   /* 2 against 3 */
            CHECK(llama_sample(s, up, &err) == 0);   /* 2 against 1.5 */
            CHECK(llama_sample(s, up, &err) == 0);   /* the second 0 in the window does not count again */
            CHECK(llama_sample(s, down, &err) == 0); /* -2 against -3; both are among the last four */
            llama_sampler_accept(s, 0), llama_sampler_accept(s, 0), llama_sampler_accept(s, 0);
            CHECK(llama_sample(s, down, &err) == 1); /* 1 is out of the window: -2 against -1.5 */
        }
        llama_sampler_free(s);
    }
    TEST("repetition: the window is that many tokens long") {
        enum { N = 40 };
        float flat[N];
        for (int i = 0; i < N; i++) flat[i] = 1;
        for (int window = 0; window <= 30; window++) {
            llama_sampling o = plain();
            o.temperature = 0;
            o.repeat_penalty = 1.1f, o.repeat_window = window;
            llama_sampler *s = sampler_make(N, o);
            /* Of equal logits the smallest id outside the window wins: 0 comes back as soon as it has left. */
            for (int i = 0; s && i < 100; i++) CHECK(llama_sample(s, flat, &err) == i % (window + 1));
            llama_sampler_free(s);
        }
    }
    TEST("repetition: tokens that were accepted count, others than tokens do no harm") {
        static const float l[] = {4, 3, 2.5f, 1};
        llama_sampling o = plain();
        o.temperature = 0;
        o.repeat_penalty = 2, o.repeat_window = 64;
        llama_sampler *s = sampler_make(4, o);
        if (s) {
            llama_sampler_accept(s, 0);
            llama_sampler_accept(s, -1), llama_sampler_accept(s, 4), llama_sampler_accept(s, INT_MAX);
            llama_sampler_accept(s, INT_MIN);
            CHECK(llama_sample(s, l, &err) == 1);
        }
        llama_sampler_free(s);
    }
    TEST("repetition: a penalty of 1 and a window of 0 are off") {
        static const float l[] = {4, 3};
        for (int i = 0; i < 2; i++) {
            llama_sampling o = plain();
            o.temperature = 0;
            o.repeat_penalty = i ? 5 : 1, o.repeat_window = i ? 0 : 64;
            llama_sampler *s = sampler_make(2, o);
            for (int k = 0; s && k < 5; k++) CHECK(llama_sample(s, l, &err) == 0);
            llama_sampler_free(s);
        }
    }
}

/* ---- Rewind, reset, copy ---- */

enum { SEEN = 300, HISTORY = 1024 };

/* A greedy sampler that saw n tokens. Of equal logits it takes the smallest id outside its window. */
static llama_sampler *sampler_seen(int window, const int *seen, int n) {
    llama_sampling o = plain();
    o.temperature = 0, o.repeat_penalty = 2, o.repeat_window = window;
    llama_sampler *s = sampler_make(SEEN, o);
    for (int i = 0; s && i < n; i++) llama_sampler_accept(s, seen[i]);
    return s;
}

/* Whether a token is in the window: 2 / 2 loses against 1.5. */
static int penalises(const llama_sampler *s, int id) {
    float l[SEEN];
    for (int i = 0; i < SEEN; i++) l[i] = i == id ? 2 : 1.5f;
    llama_sampler *copy = llama_sampler_copy(s, NULL, &err);
    int drawn = copy ? llama_sample(copy, l, &err) : -1;
    llama_sampler_free(copy);
    return drawn != id;
}

/* Frees both. 1 if their windows hold the same tokens, and they go on alike for so long that their order has told. */
static int go_on_alike(llama_sampler *a, llama_sampler *b) {
    static float l[SEEN];
    int same = a && b;
    for (int i = 0; same && i < SEEN; i++) same = penalises(a, i) == penalises(b, i);
    for (int i = 0; i < SEEN; i++) l[i] = 1;
    for (int i = 0; same && i < SEEN; i++) same = llama_sample(a, l, &err) == llama_sample(b, l, &err);
    llama_sampler_free(a), llama_sampler_free(b);
    return same;
}

static void test_rewind(void) {
    static int seen[3000];
    uint64_t seed = 7;
    for (int i = 0; i < 3000; i++) seen[i] = i * 7 % SEEN; /* all different, in a window of less than that */
    TEST("rewound, the window is that of the time") {
        static const int windows[] = {1, 5, 64, 200}, all[] = {1, 60, 1000, 1024, 1088, 1224, 1225, 3000};
        for (int w = 0; w < 4; w++)
            for (int a = 0; a < 8; a++) {
                const int back[] = {0, 1, windows[w], HISTORY - 1, HISTORY};
                for (int k = 0; k < 5; k++) {
                    llama_sampler *s = sampler_seen(windows[w], seen, all[a]);
                    if (s) llama_sampler_rewind(s, back[k]);
                    int n = back[k] < all[a] ? all[a] - back[k] : 0;
                    if (!CHECK(go_on_alike(s, sampler_seen(windows[w], seen, n))))
                        printf("  window %d, %d tokens, %d back\n", windows[w], all[a], back[k]);
                }
            }
    }
    TEST("rewound and gone on with others, again and again") {
        static int list[9000];
        int n = 0;
        llama_sampler *s = sampler_seen(64, seen, 0);
        for (int round = 0; s && round < 200; round++) {
            int more = random_int(&seed, 0, 80), back = random_int(&seed, 0, 70);
            for (int i = 0; i < more && n < 9000; i++)
                llama_sampler_accept(s, list[n++] = random_int(&seed, 0, SEEN - 1));
            if (back > n) back = n;
            llama_sampler_rewind(s, back);
            n -= back;
            if (round % 10 == 0) CHECK(go_on_alike(llama_sampler_copy(s, NULL, &err), sampler_seen(64, list, n)));
        }
        llama_sampler_free(s);
    }
    TEST("rewound too far, it sees what is left; by less than nothing, or without a window, nothing happens") {
        llama_sampler *s = sampler_seen(64, seen, 3000);
        if (s) llama_sampler_rewind(s, HISTORY + 4);
        CHECK(go_on_alike(s, sampler_seen(64, seen + 3000 - HISTORY - 64, 60)));
        s = sampler_seen(64, seen, 3000);
        if (s) llama_sampler_rewind(s, INT_MAX);
        CHECK(go_on_alike(s, sampler_seen(64, seen, 0)));
        s = sampler_seen(64, seen, 100);
        if (s) llama_sampler_rewind(s, -1), llama_sampler_rewind(s, INT_MIN);
        CHECK(go_on_alike(s, sampler_seen(64, seen, 100)));
        s = sampler_seen(64, seen, 100);
        if (s) llama_sampler_reset(s);
        CHECK(go_on_alike(s, sampler_seen(64, seen, 0)));
        s = sampler_seen(0, seen, 10);
        if (s) llama_sampler_rewind(s, 1), llama_sampler_rewind(s, INT_MAX);
        CHECK(go_on_alike(s, sampler_seen(0, seen, 0)));
    }
}

/* Draws n tokens of SEEN by logits that fall slowly. */
static void draw(llama_sampler *s, int *ids, int n) {
    float l[SEEN];
    for (int i = 0; i < SEEN; i++) l[i] = 1 - 0.01f * (float)i;
    for (int i = 0; i < n; i++) ids[i] = llama_sample(s, l, &err);
}

static void *one_alloc(void *user, size_t size) { return (*(int *)user)-- > 0 ? malloc(size) : NULL; }
static void one_release(void *user, void *p) { ++*(int *)user, free(p); }

static void test_copies(void) {
    enum { N = 100 };
    llama_sampling o = plain();
    int first[N], again[N], copied[N];
    o.seed = 3, o.repeat_penalty = 1.5f, o.repeat_window = 20;
    TEST("reset, it draws as after it was created") {
        llama_sampler *s = sampler_make(SEEN, o);
        if (s) {
            draw(s, first, N);
            llama_sampler_reset(s);
            draw(s, again, N);
            CHECK(memcmp(first, again, sizeof first) == 0);
            llama_sampler_accept(s, 5), llama_sampler_reset(s), llama_sampler_rewind(s, 3);
            draw(s, again, N);
            CHECK(memcmp(first, again, sizeof first) == 0);
        }
        llama_sampler_free(s);
    }
    TEST("rewound, its generator goes on") {
        o.repeat_penalty = 1;
        llama_sampler *s = sampler_make(SEEN, o), *t = sampler_make(SEEN, o);
        if (s && t) {
            draw(s, first, N);
            draw(t, again, 10);
            llama_sampler_rewind(t, 10);
            draw(t, again + 10, N - 10);
            CHECK(memcmp(first, again, sizeof first) == 0);
        }
        llama_sampler_free(s), llama_sampler_free(t);
        o.repeat_penalty = 1.5f;
    }
    TEST("a copy draws the same tokens, and each goes its own way") {
        for (int window = 0; window <= 20; window += 20) {
            o.repeat_window = window;
            int allowed = 1;
            llama_options options = {0};
            options.alloc = one_alloc, options.release = one_release, options.user = &allowed;
            llama_sampler *s = sampler_make(SEEN, o);
            if (s) draw(s, first, 37);
            llama_sampler *copy = s ? llama_sampler_copy(s, &options, &err) : NULL;
            CHECK(copy && allowed == 0);
            err.code = 0;
            CHECK(!s || (llama_sampler_copy(s, &options, &err) == NULL && err.code == LLAMA_NO_MEMORY));
            allowed = 0;
            if (copy) {
                draw(copy, copied, N);
                draw(s, first, N);
                CHECK(memcmp(first, copied, sizeof first) == 0);
                llama_sampler_accept(copy, 0);
                draw(s, first, N), draw(s, first, N);
                draw(copy, copied, N);
                CHECK(memcmp(first, copied, sizeof first) != 0);
                llama_sampler_reset(s), llama_sampler_reset(copy);
                draw(s, first, N), draw(copy, copied, N);
                CHECK(memcmp(first, copied, sizeof first) == 0);
            }
            llama_sampler_free(copy), llama_sampler_free(s);
            CHECK(allowed == 1);
        }
    }
}

static void test_generator(void) {
    enum { N = 65536 };
    /* The first numbers of SplitMix64 as published with it: for seed 1234567, and for seed 0. */
    static const uint64_t seeds[] = {1234567, 0};
    static const uint64_t published[2][5] = {
        {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
         UINT64_C(4593380528125082431), UINT64_C(16408922859458223821)},
        {UINT64_C(0xe220a8397b1dcdaf), UINT64_C(0x6e789e6aa1b965f4), UINT64_C(0x06c45d188009454f),
         UINT64_C(0xf88bb8a8724c81ec), UINT64_C(0x1b39896a51a8749b)}};
    static float flat[N];
    checkpoint file;
    llama_model *m = NULL;
    TEST("the generator is SplitMix64") {
        m = model_make(N, &file);
        for (int k = 0; m && k < 2; k++) {
            llama_sampling o = plain();
            uint64_t state = o.seed = seeds[k];
            /* With 2^16 equal logits the drawn id is the upper 16 bits of the number. */
            llama_sampler *s = llama_sampler_create(m, &o, NULL, &err);
            for (int i = 0; CHECK(s) && i < 5; i++) {
                CHECK(random_next(&state) == published[k][i]);
                CHECK_NEAR(llama_sample(s, flat, &err), (double)(published[k][i] >> 48), 0);
            }
            llama_sampler_free(s);
        }
    }
    TEST("24 bits of it make the uniform number, no more and no less") {
        /* The first number of this seed is 0x1ffffffffff: 1 / 2^24, or with more bits almost 2 / 2^24. A first token of
         * half as much probability is missed, one of one and a half times as much is drawn. */
        for (int i = 0; i < 2; i++) {
            float l[2] = {0, 0};
            llama_sampling o = plain();
            o.seed = UINT64_C(0x33a301a8ca165b3b);
            l[0] = (float)log((i ? 1.5 : 0.5) / 16777216);
            llama_sampler *s = sampler_make(2, o);
            if (s) CHECK(llama_sample(s, l, &err) == (i ? 0 : 1));
            llama_sampler_free(s);
        }
    }
    TEST("one number per drawn token, also if there was no choice") {
        int only = 77;
        llama_sampling o = plain();
        o.seed = 1234567;
        o.adjust = adjust_only, o.user = &only;
        llama_sampler *s = m ? llama_sampler_create(m, &o, NULL, &err) : NULL;
        for (int i = 0; CHECK(s) && i < 5; i++) {
            only = i % 2 ? -1 : 77;
            CHECK_NEAR(llama_sample(s, flat, &err), i % 2 ? (double)(published[0][i] >> 48) : 77, 0);
        }
        llama_sampler_free(s);
    }
    TEST("the same seed gives the same tokens, another seed others") {
        int ids[3][100], same = 0;
        for (int k = 0; m && k < 3; k++) {
            llama_sampling o = plain();
            o.seed = UINT64_C(0x123456789abcdef0) + (k == 2 ? UINT64_C(1) << 63 : 0); /* all 64 bits count */
            llama_sampler *s = llama_sampler_create(m, &o, NULL, &err);
            for (int i = 0; CHECK(s) && i < 100; i++) ids[k][i] = llama_sample(s, flat, &err);
            llama_sampler_free(s);
        }
        CHECK(memcmp(ids[0], ids[1], sizeof ids[0]) == 0);
        for (int i = 0; i < 100; i++) same += ids[0][i] == ids[2][i];
        CHECK(same < 5);
    }
    llama_free(m);
    if (m) checkpoint_free(&file);
}

static void test_bad_logits(void) {
    static const float values[] = {NAN, INFINITY, -INFINITY};
    TEST("nan, +infinity, or all forbidden: -1 and a message") {
        for (int greedy = 0; greedy < 2; greedy++) {
            for (int v = 0; v < 3; v++) {
                for (int place = 0; place < 5; place++) {
                    float l[5] = {1, 2, 3, 2, 1};
                    llama_sampling o = plain();
                    o.temperature = greedy ? 0 : 0.8f;
                    o.top_k = place % 2; /* 1: the bad one might hide behind the best */
                    llama_sampler *s = sampler_make(5, o);
                    if (!s) continue;
                    l[place] = values[v];
                    for (int i = 0; v == 2 && i < 5; i++) l[i] = -INFINITY;
                    memset(&err, 0, sizeof err);
                    CHECK(llama_sample(s, l, &err) == -1 && err.code == LLAMA_BAD_LOGITS);
                    CHECK(err.text[0] && !strchr(err.text, '\n'));
                    CHECK(llama_sample(s, l, NULL) == -1);
                    for (int i = 0; i < 5; i++) l[i] = (float)(i == 1); /* and then it works as before */
                    CHECK(llama_sample(s, l, &err) >= 0);
                    llama_sampler_free(s);
                }
            }
        }
    }
    TEST("the same from the hook") {
        for (int v = 0; v < 2; v++) {
            static const float l[5] = {1, 2, 3, 2, 1};
            float bad = values[v];
            int none = 5; /* no such token: all are forbidden */
            llama_sampling o = plain();
            o.adjust = adjust_nan, o.user = &bad;
            llama_sampler *s = sampler_make(5, o);
            if (s) CHECK(llama_sample(s, l, &err) == -1);
            llama_sampler_free(s);
            o.adjust = adjust_only, o.user = &none;
            s = sampler_make(5, o);
            if (s) CHECK(llama_sample(s, l, &err) == -1);
            llama_sampler_free(s);
        }
    }
    TEST("the largest finite logits") {
        static const float l[2][4] = {{FLT_MAX, -FLT_MAX, FLT_MAX, 0}, {-FLT_MAX, -FLT_MAX, -INFINITY, -FLT_MAX}};
        for (int k = 0; k < 2; k++) {
            for (int i = 0; i < 8; i++) {
                llama_sampling o = plain();
                o.temperature = i & 1 ? 1e-30f : 1e30f;
                if (i & 2) o.top_p = 0.9f, o.min_p = 0.1f;
                if (i & 4) o.repeat_penalty = 0.5f, o.repeat_window = 2; /* may push a logit to infinity: then -1 */
                llama_sampler *s = sampler_make(4, o);
                for (int n = 0; s && n < 10; n++) {
                    int id = llama_sample(s, l[k], &err);
                    CHECK((id >= 0 && id < 4 && l[k][id] > -INFINITY) || (i & 4 && id == -1));
                }
                llama_sampler_free(s);
            }
        }
    }
}

static void test_options(void) {
    checkpoint file;
    llama_model *m = NULL;
    TEST("the defaults") {
        llama_sampling o = llama_sampling_default();
        CHECK(o.temperature == 0.8f && o.top_k == 40 && o.top_p == 0.95f && o.min_p == 0);
        CHECK(o.repeat_penalty == 1 && o.repeat_window == 64 && o.seed == 0 && !o.adjust && !o.user);
    }
    TEST("no options are the defaults") {
        m = model_make(100, &file);
        llama_sampling o = llama_sampling_default();
        llama_sampler *a = m ? llama_sampler_create(m, NULL, NULL, &err) : NULL;
        llama_sampler *b = m ? llama_sampler_create(m, &o, NULL, &err) : NULL;
        float l[100];
        uint64_t seed = 3;
        for (int i = 0; CHECK(a && b) && i < 200; i++) {
            random_logits(l, 100, &seed);
            CHECK(llama_sample(a, l, &err) == llama_sample(b, l, &err));
        }
        llama_sampler_free(a);
        llama_sampler_free(b);
    }
    TEST("an option out of its range is refused by name") {
        static const struct {
            const char *field;
            double value;
        } bad[] = {
            /* clang-format off */
            {"temperature", -0.1}, {"temperature", (double)NAN}, {"temperature", (double)INFINITY},
            {"top_k", -1},         {"top_k", INT_MIN},           {"top_p", 0},
            {"top_p", -0.5},       {"top_p", 1.01},              {"top_p", (double)NAN},
            {"min_p", -0.1},       {"min_p", 1.1},               {"min_p", (double)NAN},
            {"repeat_penalty", 0}, {"repeat_penalty", -1},       {"repeat_penalty", (double)NAN},
            {"repeat_window", -1}, {"repeat_window", INT_MIN},   {"repeat_penalty", (double)INFINITY},
            {"top_n_sigma", -1},   {"top_n_sigma", (double)NAN}, {"top_n_sigma", (double)INFINITY},
            /* clang-format on */
        };
        for (size_t i = 0; m && i < sizeof bad / sizeof *bad; i++) {
            llama_sampling o = plain();
            const char *f = bad[i].field;
            float value = (float)bad[i].value;
            if (strcmp(f, "temperature") == 0) o.temperature = value;
            if (strcmp(f, "top_k") == 0) o.top_k = (int)bad[i].value;
            if (strcmp(f, "top_p") == 0) o.top_p = value;
            if (strcmp(f, "min_p") == 0) o.min_p = value;
            if (strcmp(f, "top_n_sigma") == 0) o.top_n_sigma = value;
            if (strcmp(f, "repeat_penalty") == 0) o.repeat_penalty = value;
            if (strcmp(f, "repeat_window") == 0) o.repeat_window = (int)bad[i].value;
            memset(&err, 0, sizeof err);
            llama_sampler *s = llama_sampler_create(m, &o, NULL, &err);
            CHECK(!s && err.code == LLAMA_BAD_OPTION);
            if (!CHECK(strstr(err.text, f))) printf("  %s %g: %s\n", f, bad[i].value, err.text);
            CHECK(llama_sampler_create(m, &o, NULL, NULL) == NULL);
            llama_sampler_free(s);
        }
    }
    TEST("the longest window is too long for memory, not for its range") {
        int allowed = 0;
        llama_options options = {0};
        llama_sampling o = plain();
        options.alloc = one_alloc, options.release = one_release, options.user = &allowed;
        o.repeat_window = 1 << 28;
        CHECK(m && !llama_sampler_create(m, &o, &options, &err) && err.code == LLAMA_NO_MEMORY);
        o.repeat_window++;
        CHECK(m && !llama_sampler_create(m, &o, &options, &err) && err.code == LLAMA_BAD_OPTION);
    }
    TEST("the ends of the ranges are allowed") {
        static const float l[100] = {0};
        for (int i = 0; m && i < 8; i++) {
            llama_sampling o = plain();
            if (i == 0) o.temperature = FLT_MAX;
            if (i == 1) o.temperature = FLT_MIN;
            if (i == 2) o.top_k = INT_MAX;
            if (i == 3) o.top_p = FLT_MIN;
            if (i == 4) o.min_p = 1;
            if (i == 5) o.repeat_penalty = FLT_MIN, o.repeat_window = 10;
            if (i == 6) o.repeat_penalty = FLT_MAX, o.repeat_window = 10;
            if (i == 7) o.seed = UINT64_MAX;
            llama_sampler *s = llama_sampler_create(m, &o, NULL, &err);
            for (int k = 0; CHECK(s) && k < 3; k++) {
                int id = llama_sample(s, l, &err);
                CHECK(id >= 0 && id < 100);
            }
            llama_sampler_free(s);
        }
    }
    llama_free(m);
    if (m) checkpoint_free(&file);
    llama_sampler_free(NULL);
}

static void test_logprob(void) {
    TEST("llama_logprob is the logarithm of the softmax") {
        static float l[1000];
        static double d[1000];
        uint64_t seed = 11;
        for (int i = 0; i < 200; i++) {
            int n = random_int(&seed, 1, 1000), id = random_int(&seed, 0, n - 1);
            random_logits(l, n, &seed);
            if (isinf(l[id])) l[id] = 0;
            for (int k = 0; k < n; k++) d[k] = (double)l[k];
            double want = reference_logprob(d, n, id);
            CHECK_NEAR(llama_logprob(l, n, id), want, 1e-5 * (1 + fabs(want)));
        }
    }
    TEST("llama_logprob far from zero") {
        static const float l[] = {1e4f, 1e4f, -1e4f, -INFINITY}, same[] = {-1e30f, -1e30f};
        CHECK_NEAR(llama_logprob(l, 4, 0), -log(2), 1e-6);
        CHECK_NEAR(llama_logprob(l, 4, 2), -2e4 - log(2), 1e-2);
        CHECK(isinf(llama_logprob(l, 4, 3)) && llama_logprob(l, 4, 3) < 0);
        CHECK_NEAR(llama_logprob(same, 2, 1), -log(2), 1e-6);
        CHECK_NEAR(llama_logprob(l, 1, 0), 0, 0);
    }
}

int main(void) {
    test_greedy();
    test_distributions();
    test_reference();
    test_adjust();
    test_refusals();
    test_penalty();
    test_rewind();
    test_copies();
    test_generator();
    test_bad_logits();
    test_options();
    test_logprob();
    return test_end();
}
