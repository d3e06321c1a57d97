/* test_speculate.c - looking ahead changes nothing but time: the same logits to the bit, so the same tokens, of every
 * type of weights, with lookups and drafts, with every kind of sampler; guesses follow what is right; and what is
 * refused or fails leaves all as it was.
 */
#include "test.h"

#include "checkpoint.c"
#include "models.c"
#include "reference.c"

static llama_error err;

enum { DIM = 48, VOCAB = 40, N_CTX = 500, TYPES = 6, ROWS = 3, SUBJECTS = TYPES + ROWS, MOST = 11 };

typedef struct {
    llama_model *loaded, *draft; /* the same; the draft pretends to be small */
    unsigned char *bytes;        /* of its file */
    char name[32];
    int rows; /* 1: rows of llama2.c */
} subject;

static subject subjects[SUBJECTS];

static llama_model *load(const unsigned char *bytes, size_t size, uint64_t weight_bytes) {
    llama_model *m = llama_load_memory(bytes, size, NULL, &err);
    if (!m) printf("test: %s\n", err.text), exit(1);
    /* So that a call of one token takes all threads, and guesses cost what they do with large models. */
    ((llama_config *)llama_get_config(m))->weight_bytes = weight_bytes;
    return m;
}

static void load_twice(subject *s, unsigned char *bytes, size_t size) {
    s->bytes = bytes, s->loaded = load(bytes, size, 1 << 30), s->draft = load(bytes, size, 1 << 26);
}

static void make_subject(subject *s, int type, int vocab_size) {
    static const char *const names[] = {"f32", "bf16", "q8", "q4_0", "q4", "q6"};
    const llama_config f = {.dim = DIM,
                            .hidden_dim = 72,
                            .n_layers = 2,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = 12,
                            .vocab_size = vocab_size,
                            .seq_len = N_CTX,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000};
    model *m = model_make(&f, INSIDE_F32 + type, 7); /* the same weights of all types: drafts that agree, mostly */
    for (int i = 0; i < vocab_size * DIM; i++) m->weights[TENSOR_CLASSIFIER][0][i] *= 2; /* not all as likely */
    const file made = model_file(m, NULL);
    snprintf(s->name, sizeof s->name, "%s", names[type]);
    load_twice(s, made.bytes, made.size);
    model_free(m);
}

static void make_subjects(void) {
    for (int i = 0; i < TYPES; i++) make_subject(&subjects[i], i, VOCAB);
    for (int version = 0; version < ROWS; version++) {
        subject *s = &subjects[TYPES + version];
        const checkpoint_shape shape = {version, DIM, 72, 2, 4, 2, VOCAB, N_CTX, 0, 8};
        checkpoint made = checkpoint_make(shape, 5);
        snprintf(s->name, sizeof s->name, "llama2.c version %d", version);
        s->rows = 1;
        load_twice(s, made.bytes, made.size);
        free(made.weights);
    }
}

static void free_subject(subject *s) { llama_free(s->loaded), llama_free(s->draft), free(s->bytes); }

static llama_context *create(const subject *s, llama_options o) {
    llama_context *c = llama_context_create(s->loaded, &o, &err);
    if (!c && !strstr(err.text, "are not to be had")) printf("test: %s\n", err.text), exit(1);
    return c;
}

static llama_speculator *look_ahead(llama_context *c, const llama_model *draft, const llama_sampler *sampler,
                                    const char *kv_type) {
    const llama_options o = {.n_threads = 1, .kv_type = kv_type};
    llama_speculator *s = llama_speculator_create(c, draft, sampler, MOST, &o, &err);
    if (!s) printf("test: %s\n", err.text), exit(1);
    return s;
}

/* ---- The same text ---- */

enum { SETTINGS = 4, PROMPT = 6, LENGTH = 70 };

typedef struct { /* what the hooks saw */
    long adjusted, checked, sum;
} seen;

static void adjust(void *user, float *logits, int vocab_size) {
    seen *w = user;
    w->adjusted++;
    logits[w->adjusted % vocab_size] -= 1; /* another one each time: who asks once too often gets another text */
}

static int check(void *user, int token) {
    seen *w = user;
    w->checked++, w->sum = w->sum * 31 % 1000003 + token;
    return token % 7 != 3;
}

static llama_sampler *sampler_of(int setting, uint64_t seed, seen *w) {
    llama_sampling o = llama_sampling_default();
    o.seed = seed, o.temperature = setting ? 0.5f : 0;
    if (setting == 2) o.repeat_penalty = 1.2f, o.repeat_window = 20;
    if (setting == 3) o.adjust = adjust, o.check = check, o.user = w, o.top_k = 0, o.min_p = 0.02f;
    llama_sampler *s = llama_sampler_create(subjects->loaded, &o, NULL, &err);
    if (!s) printf("test: %s\n", err.text), exit(1);
    memset(w, 0, sizeof *w);
    return s;
}

typedef struct {
    int text[LENGTH];
    float logits[LENGTH][VOCAB];
    seen seen;
} story;

/* A text that begins with the seed's tokens; with a speculator by it. */
static void tell(story *t, llama_context *c, llama_sampler *sampler, llama_speculator *s, uint64_t seed) {
    llama_rewind(c, 0);
    for (int i = 0; i < PROMPT; i++) llama_sampler_accept(sampler, t->text[i] = random_int(&seed, 0, VOCAB - 1));
    const float *logits = s ? llama_speculate(s, t->text, PROMPT, &err) : llama_forward(c, t->text, PROMPT, &err);
    for (int n = PROMPT; n < LENGTH; n++) {
        if (!CHECK(logits)) return;
        memcpy(t->logits[n], logits, sizeof t->logits[n]);
        t->text[n] = llama_sample(sampler, logits, &err);
        logits = s ? llama_speculate(s, t->text, n + 1, &err) : llama_forward(c, t->text + n, 1, &err);
    }
    CHECK(!s || llama_position(c) >= LENGTH);
}

static llama_speculation total;

/* With this setting, seed, set of kernels: alone, with lookups, with a draft. */
static void compare(const subject *s, const char *set, int threads, int setting, uint64_t seed) {
    static story want, got;
    static const char *const caches[] = {NULL, "q8", "f16"};
    const char *kv = caches[(seed + (uint64_t)setting) % 3];
    const subject *drafts[] = {NULL, s, &subjects[seed % TYPES]};
    llama_context *c = create(s, (llama_options){.kernels = set, .n_threads = threads, .n_batch = 64, .kv_type = kv});
    if (!c) return;
    llama_sampler *sampler = sampler_of(setting, seed, &want.seen);
    tell(&want, c, sampler, NULL, seed);
    for (int way = 0; way < 3; way++) {
        llama_sampler_free(sampler);
        sampler = sampler_of(setting, seed, &got.seen);
        llama_speculator *ahead = look_ahead(c, drafts[way] ? drafts[way]->draft : NULL, sampler, kv);
        tell(&got, c, sampler, ahead, seed);
        if (!CHECK(!memcmp(got.text, want.text, sizeof got.text)) ||
            !CHECK(!memcmp(got.logits[PROMPT], want.logits[PROMPT], (LENGTH - PROMPT) * sizeof *got.logits)) ||
            !CHECK(!memcmp(&got.seen, &want.seen, sizeof got.seen)))
            printf("  %s, %s, %d threads, setting %d, seed %d, way %d\n", s->name, set, threads, setting, (int)seed,
                   way);
        const llama_speculation count = llama_speculated(ahead);
        CHECK(count.accepted <= count.proposed && count.passes + count.accepted + PROMPT > LENGTH);
        /* The same model with the same numbers is always right: but for what the hooks do. */
        if (way == 1 && setting < 3 && !s->rows) CHECK(count.accepted + MOST >= count.proposed);
        total.passes += count.passes, total.proposed += count.proposed, total.accepted += count.accepted;
        llama_speculator_free(ahead);
    }
    llama_sampler_free(sampler);
    llama_context_free(c);
}

static void test_same(void) {
    TEST("the same tokens, logits and calls of hooks as without") {
        for (int i = 0; i < SUBJECTS; i++)
            for (int setting = 0; setting < SETTINGS; setting++)
                for (uint64_t seed = 0; seed < 2; seed++)
                    /* Other threads are few: those of busy cores wait for each other. */
                    if (TAKEN(i + setting + (int)seed))
                        compare(&subjects[i], NULL, (i + setting) % 4 || seed ? 1 : 2 + i % 2, setting, seed);
        CHECK(total.accepted > total.proposed / 2 && total.accepted > total.passes / 4);
    }
    TEST("by all sets of kernels") {
        for (int i = 0; i < SUBJECTS; i++)
            for (int k = SLOW * (i % 3); k < N_SETS; k += SLOW ? 3 : 1)
                compare(&subjects[i], sets[k], 1, (i + k) % SETTINGS, (uint64_t)(i + k));
    }
}

/* ---- Any text: cut, gone on with, changed, evaluated by others ---- */

static void test_any_text(void) {
    TEST("whatever the text is, and whoever evaluated it: the logits after it") {
        for (int i = 0; i < TYPES; i++) { /* of rows the bits depend on how a text is cut */
            llama_context *c = create(&subjects[i], (llama_options){.n_threads = 1, .n_ctx = 100});
            llama_context *fresh = create(&subjects[i], (llama_options){.n_threads = 1, .n_ctx = 100});
            llama_speculator *s = look_ahead(c, i % 2 ? subjects->draft : NULL, NULL, NULL);
            uint64_t seed = 3 + (uint64_t)i;
            int text[100], n = 0, bad = 0;
            for (int step = 0; step < 60; step++) {
                const int what = random_int(&seed, 0, 9);
                if (what == 0 || n > 96) n = random_int(&seed, 0, n); /* cut */
                const int before = n;
                if (what == 1) llama_rewind(c, random_int(&seed, 0, before)); /* by others, anywhere */
                const int more = what < 4 && n < 80 ? random_int(&seed, 1, 9) : 1;
                for (int j = 0; j < more; j++, n++) /* tokens that repeat themselves now and then */
                    text[n] = n > 5 && random_int(&seed, 0, 3) ? text[n - 5] : random_int(&seed, 0, 4);
                if (what == 2) { /* by llama_forward */
                    llama_rewind(c, before);
                    CHECK(n == before || llama_forward(c, text + before, n - before - (n - before > 1), &err));
                }
                const float *got = llama_speculate(s, text, n, &err);
                llama_rewind(fresh, 0);
                const float *want = llama_forward(fresh, text, n, &err);
                if (!CHECK(got && want)) break;
                bad += memcmp(got, want, VOCAB * sizeof *got) != 0;
                CHECK(llama_position(c) >= n && llama_position(c) <= n + MOST);
            }
            if (!CHECK(!bad)) printf("  %s: %d others\n", subjects[i].name, bad);
            llama_speculator_free(s);
            llama_context_free(c), llama_context_free(fresh);
        }
    }
}

/* ---- How many guesses ---- */

/* The guesses of a text of N_CTX tokens, of which each is the one `period` before it, or with 0 a random one; from
 * position `from` on. */
static llama_speculation guesses(int period, int from, const llama_model *draft) {
    int text[N_CTX];
    uint64_t seed = 17;
    llama_context *c = create(&subjects[2], (llama_options){.n_threads = 1});
    llama_speculator *s = look_ahead(c, draft, NULL, NULL);
    llama_speculation before = {0, 0, 0}, all;
    for (int n = 0; n < N_CTX; n++) {
        if (n == from) before = llama_speculated(s);
        text[n] = period && n >= period ? text[n - period] : random_int(&seed, 0, VOCAB - 1);
        CHECK(llama_speculate(s, text, n + 1, &err));
    }
    all = llama_speculated(s);
    all.passes -= before.passes, all.proposed -= before.proposed, all.accepted -= before.accepted;
    llama_speculator_free(s);
    llama_context_free(c);
    return all;
}

static void test_adaptive(void) {
    TEST("a text that repeats itself takes all guesses there may be") {
        static const int periods[] = {30, 5, 1}; /* guesses go round */
        for (int i = 0; i < 6; i++) {
            /* With a draft that is never right too. */
            const llama_speculation g = guesses(periods[i % 3], 250, i < 3 ? NULL : subjects->draft);
            CHECK(g.accepted + MOST >= g.proposed && g.passes <= 250 / (MOST + 1) + 3);
        }
    }
    TEST("of places that agree as much the newest is gone on with") {
        enum { BLOCK = 20, FIRST = 8 }; /* noise, six tokens, and what follows them: in the first blocks another */
        llama_context *c = create(&subjects[2], (llama_options){.n_threads = 1});
        llama_speculator *s = look_ahead(c, NULL, NULL, NULL);
        llama_speculation before = {0, 0, 0};
        int text[N_CTX];
        uint64_t seed = 19;
        for (int n = 0; n < 24 * BLOCK; n++) {
            const int at = n % BLOCK, late = n / BLOCK >= FIRST;
            if (n == 10 * BLOCK) before = llama_speculated(s);
            text[n] = at < 7 ? random_int(&seed, 0, VOCAB - 1) : at < 13 ? 25 + at : at - 13 + 16 * late;
            CHECK(llama_speculate(s, text, n + 1, &err));
        }
        const llama_speculation all = llama_speculated(s);
        /* Measured: 139 and 141; of the oldest place, or with lengths that leave the cost out, 150 and 130 or worse. */
        CHECK(all.passes - before.passes <= 144 && all.accepted - before.accepted >= 136);
        llama_speculator_free(s);
        llama_context_free(c);
    }
    TEST("noise is not guessed at: not at all, once that is known") {
        const llama_speculation first = guesses(0, 0, NULL), later = guesses(0, 200, NULL);
        CHECK(first.proposed < 60);
        CHECK(later.proposed <= 6 && later.passes + later.accepted == N_CTX - 200);
    }
    TEST("a draft that is never right is asked ever less") {
        /* What the model says is not what comes. */
        const llama_speculation first = guesses(0, 0, subjects->draft), later = guesses(0, 250, subjects->draft);
        CHECK(first.proposed > 4 && first.proposed < 150);
        CHECK(later.proposed <= 12);
    }
    TEST("what the caller has evaluated needs no pass") {
        llama_context *c = create(&subjects[0], (llama_options){.n_threads = 1});
        llama_speculator *s = look_ahead(c, NULL, NULL, NULL);
        const int text[] = {1, 2, 3, 4};
        const float *logits = llama_forward(c, text, 4, &err);
        CHECK(logits && llama_speculate(s, text, 4, &err) == logits && !llama_speculated(s).passes);
        llama_speculator_free(s);
        llama_context_free(c);
    }
    TEST("no guesses are no guesses") {
        llama_context *c = create(&subjects[0], (llama_options){.n_threads = 1});
        llama_speculator *s = llama_speculator_create(c, NULL, NULL, 0, NULL, &err);
        const int text[] = {1, 2, 1, 2, 1, 2, 1, 2};
        for (int n = 1; n <= 8; n++) CHECK(llama_speculate(s, text, n, &err) && llama_position(c) == n);
        CHECK(llama_speculated(s).passes == 8 && !llama_speculated(s).proposed);
        llama_speculator_free(s);
        llama_context_free(c);
    }
}

/* ---- What fails ---- */

static void refused(llama_speculator *s, int code, const char *word) {
    CHECK(!s);
    CHECK(err.code == code);
    if (!CHECK(strstr(err.text, word) && !strchr(err.text, '\n'))) printf("  said %s\n", err.text);
    llama_speculator_free(s);
}

static void test_refused(void) {
    subject other;
    seen none;
    make_subject(&other, 0, VOCAB + 1);
    llama_context *c = create(&subjects[2], (llama_options){.n_threads = 1, .n_ctx = 40});
    llama_sampler *sampler = sampler_of(1, 1, &none);
    TEST("options that cannot be") {
        refused(llama_speculator_create(c, NULL, NULL, -1, NULL, &err), LLAMA_BAD_OPTION, "most is -1, not");
        refused(llama_speculator_create(c, NULL, NULL, 256, NULL, &err), LLAMA_BAD_OPTION, "most is 256, not");
        refused(llama_speculator_create(c, other.loaded, NULL, 4, NULL, &err), LLAMA_BAD_OPTION,
                "the draft has a vocabulary of 41 tokens, the model one of 40");
        llama_sampler *bad = llama_sampler_create(other.loaded, NULL, NULL, &err);
        refused(llama_speculator_create(c, NULL, bad, 4, NULL, &err), LLAMA_BAD_OPTION,
                "sampler has a vocabulary of 41");
        refused(llama_speculator_create(c, subjects->loaded, NULL, 4, &(llama_options){.kernels = "none"}, &err),
                LLAMA_BAD_OPTION, "none");
        llama_sampler_free(bad);
    }
    TEST("a text that cannot be: all is as it was") {
        llama_speculator *s = look_ahead(c, NULL, NULL, NULL);
        int text[50] = {1, 2, 3, 1, 2};
        CHECK(llama_speculate(s, text, 5, &err));
        const int position = llama_position(c);
        CHECK(!llama_speculate(s, text, 0, &err) && err.code == LLAMA_BAD_TOKEN);
        CHECK(!llama_speculate(s, text, 41, &err) && err.code == LLAMA_NO_ROOM && strstr(err.text, "holds 40"));
        text[6] = VOCAB;
        CHECK(!llama_speculate(s, text, 7, &err) && err.code == LLAMA_BAD_TOKEN &&
              strstr(err.text, "token 6 of 7 is 40"));
        text[6] = -1;
        CHECK(!llama_speculate(s, text, 8, NULL));
        CHECK(llama_position(c) == position);
        CHECK(llama_speculate(s, text, 6, &err) != NULL);
        llama_speculator_free(s);
    }
    TEST("a text to the very end of the context") {
        int text[40];
        llama_speculator *s = look_ahead(c, subjects->draft, NULL, NULL);
        for (int n = 0; n < 40; n++) text[n] = n % 3, CHECK(llama_speculate(s, text, n + 1, &err));
        CHECK(llama_position(c) == 40);
        llama_speculator_free(s);
    }
    TEST("every allocation failing") {
        model_watch w = {0};
        const llama_options o = {
            .alloc = model_watch_alloc, .release = model_watch_release, .user = &w, .n_threads = 1};
        llama_speculator_free(llama_speculator_create(c, subjects->loaded, sampler, 4, &o, &err));
        const long calls = w.calls;
        CHECK(calls == 3 && !w.live);
        for (long at = 1; at <= calls; at++) {
            w.calls = 0, w.fail_at = at;
            refused(llama_speculator_create(c, subjects->loaded, sampler, 4, &o, &err), LLAMA_NO_MEMORY, "no memory");
            CHECK(!w.live);
        }
        w.calls = 0, w.fail_at = 0;
        llama_speculator *s = llama_speculator_create(c, subjects->loaded, sampler, 4, &o, &err);
        const int text[] = {1, 2, 1, 2, 1, 2};
        for (int n = 1; n <= 6; n++) CHECK(llama_speculate(s, text, n, &err));
        CHECK(w.calls == 3); /* nothing is allocated later */
        llama_speculator_free(s);
        CHECK(!w.live);
        llama_speculator_free(NULL);
    }
    llama_sampler_free(sampler);
    llama_context_free(c);
    free_subject(&other);
}

static void test_failing(void) {
    TEST("a cancelled call can be made again") {
        model_watch w = {0};
        static story want;
        llama_sampler *sampler = sampler_of(1, 5, &want.seen);
        llama_context *c =
            create(&subjects[2], (llama_options){.n_threads = 1, .progress = model_watch_progress, .user = &w});
        tell(&want, c, sampler, NULL, 5);
        llama_speculator *s = look_ahead(c, subjects[2].draft, NULL, NULL);
        int cancelled = 0;
        for (int n = 1; n <= LENGTH; n++) {
            w.seen = 0, w.cancel_at = 1 + n % 2;
            const float *logits = llama_speculate(s, want.text, n, &err);
            if (!logits) {
                CHECK(err.code == LLAMA_CANCELLED && llama_position(c) < n);
                w.seen = w.cancel_at, cancelled++;
                logits = llama_speculate(s, want.text, n, &err);
            }
            CHECK(logits && (n < PROMPT || n == LENGTH || !memcmp(logits, want.logits[n], sizeof want.logits[n])));
        }
        CHECK(cancelled > 5);
        llama_speculator_free(s);
        llama_sampler_free(sampler);
        llama_context_free(c);
    }
    TEST("pages that others hold are not needed for guesses") {
        llama_context *c =
            create(&subjects[2], (llama_options){.n_threads = 1, .n_ctx = 2 * LLAMA_PAGE, .n_sequences = 2});
        llama_speculator *s = look_ahead(c, NULL, NULL, NULL);
        int text[LLAMA_PAGE + 1];
        const llama_item item = {1, 1, text, NULL, NULL, NULL, 0};
        for (int n = 0; n <= LLAMA_PAGE; n++) text[n] = n % 3;
        CHECK(llama_evaluate(c, &item, 1, &err) == 0);
        for (int n = 1; n <= LLAMA_PAGE; n++) CHECK(llama_speculate(s, text, n, &err));
        CHECK(!llama_speculate(s, text, LLAMA_PAGE + 1, &err) && err.code == LLAMA_NO_ROOM);
        CHECK(llama_length(c, 1) == 1);
        llama_speculator_free(s);
        llama_context_free(c);
    }
}

int main(void) {
    writer_threads(1);
    make_subjects();
    test_same();
    test_any_text();
    test_adaptive();
    test_refused();
    test_failing();
    for (int i = 0; i < SUBJECTS; i++) free_subject(&subjects[i]);
    return test_end();
}
