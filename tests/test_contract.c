/* test_contract.c - what llama.h promises besides the right logits: what is refused is refused before anything changes,
 * memory is counted and given back, a call may be cancelled at any point, threads may share a model.
 */
#if defined(__unix__) || defined(__APPLE__)
#define HAVE_PTHREADS
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#endif

#include "../llama.h"
#include "test.h"

#include "checkpoint.c"
#include "reference.c"

#include <limits.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static llama_error err;

enum { VOCAB = 40, N_CTX = 48 };

static checkpoint make(int version) {
    /* Large enough that some twenty tokens are worth more than one thread. */
    checkpoint_shape s = {0, 48, 150, 3, 6, 2, VOCAB, N_CTX, 0, 8};
    s.version = version;
    return checkpoint_make(s, 12);
}

static int tokens[N_CTX]; /* the sequence that all tests use */

static void fill_tokens(void) {
    uint64_t seed = 99;
    for (int i = 0; i < N_CTX; i++) tokens[i] = random_int(&seed, 0, VOCAB - 1);
}

/* ---- An allocator that counts, and fails when it is told to ---- */

typedef struct {
    long live, calls, fail_at; /* fail_at: the number of the call that fails, from 1; 0: none */
    size_t bytes;              /* asked for in total */
    size_t limit;              /* requests above it fail; 0: none do */
} counter;

static void *count_alloc(void *user, size_t size) {
    counter *n = user;
    n->calls++;
    if (n->calls == n->fail_at || (n->limit && size > n->limit)) return NULL;
    void *p = malloc(size);
    if (p) n->live++, n->bytes += size;
    if (p) memset(p, 0xcd, size < 1 << 24 ? size : 1 << 24); /* no zeros for who forgot to write them */
    return p;
}

static void count_release(void *user, void *p) {
    counter *n = user;
    if (!CHECK(p)) return;
    n->live--;
    free(p);
}

static llama_options counted(counter *n) {
    llama_options o = {0};
    o.alloc = count_alloc, o.release = count_release, o.user = n;
    o.n_threads = 2;
    return o;
}

static int clean_message(void) {
    return CHECK(err.text[0] && memchr(err.text, 0, sizeof err.text) && !strchr(err.text, '\n'));
}

static void test_memory(void) {
    checkpoint file = make(2);
    char path[64];
    snprintf(path, sizeof path, "%s", temporary_path());
    CHECK(write_file(path, file.bytes, file.size));

    TEST("every allocation fails in turn: NULL, a message, nothing leaked") {
        for (int way = 0; way < 3; way++) { /* from memory, from a file, from a copied file */
            int done = 0;
            for (long fail = 1; !done && fail < 100; fail++) {
                counter n = {0};
                llama_options o = counted(&n);
                o.copy = way == 2;
                n.fail_at = fail;
                memset(&err, 0, sizeof err);
                llama_model *m = way ? llama_load(path, &o, &err) : llama_load_memory(file.bytes, file.size, &o, &err);
                llama_context *c = m ? llama_context_create(m, &o, &err) : NULL;
                llama_sampler *s = c ? llama_sampler_create(m, NULL, &o, &err) : NULL;
                done = s != NULL;
                if (!done) {
                    clean_message();
                    CHECK(strstr(err.text, "memory") && err.code == LLAMA_NO_MEMORY);
                    CHECK(n.calls == fail); /* it gave up at once */
                }
                llama_sampler_free(s);
                llama_context_free(c);
                llama_free(m);
                CHECK(n.live == 0);
            }
            CHECK(done);
        }
    }
    TEST("without err too") {
        for (long fail = 1; fail < 10; fail++) {
            counter n = {0};
            llama_options o = counted(&n);
            n.fail_at = fail;
            llama_model *m = llama_load(path, &o, NULL);
            llama_context *c = m ? llama_context_create(m, &o, NULL) : NULL;
            llama_sampler *s = c ? llama_sampler_create(m, NULL, &o, NULL) : NULL;
            llama_sampler_free(s);
            llama_context_free(c);
            llama_free(m);
            CHECK(n.live == 0);
        }
    }
    TEST("a refused file leaks nothing") {
        for (size_t size = 0; size < file.size; size += 1 + size / 9) {
            counter n = {0};
            llama_options o = counted(&n);
            CHECK(!llama_load_memory(file.bytes, size, &o, &err));
            CHECK(n.live == 0);
        }
        counter n = {0};
        llama_options o = counted(&n);
        CHECK(!llama_load("tests/there-is-no-such-file.bin", &o, &err) && err.code == LLAMA_BAD_FILE);
        err.code = 0;
        CHECK(!llama_load("tests", &o, &err) && err.code == LLAMA_BAD_FILE);
        CHECK(n.live == 0);
    }
    TEST("no allocation after llama_context_create") {
        counter n = {0};
        llama_options o = counted(&n);
        o.n_batch = 5;
        llama_model *m = llama_load_memory(file.bytes, file.size, &o, &err);
        llama_context *c = m ? llama_context_create(m, &o, &err) : NULL;
        llama_sampling sampling = llama_sampling_default();
        sampling.repeat_penalty = 1.5f;
        llama_sampler *s = m ? llama_sampler_create(m, &sampling, &o, &err) : NULL;
        long calls = n.calls;
        for (int i = 0; CHECK(c && s) && i < 5; i++) {
            float logprobs[N_CTX];
            const float *logits = llama_forward(c, tokens, N_CTX - 7, &err);
            for (int k = 0; k < 7; k++) {
                int id = logits ? llama_sample(s, logits, &err) : -1;
                if (CHECK(id >= 0)) logits = llama_forward(c, &id, 1, &err);
            }
            CHECK(!llama_forward(c, tokens, 1, &err));
            llama_rewind(c, 3);
            CHECK(llama_score(c, tokens, N_CTX - 3, logprobs, &err) == 0);
            llama_rewind(c, 0);
        }
        CHECK(n.calls == calls);
        llama_sampler_free(s);
        llama_context_free(c);
        llama_free(m);
        CHECK(n.live == 0);
    }
    TEST("llama_context_bytes is what llama_context_create allocates") {
        llama_model *m = llama_load_memory(file.bytes, file.size, NULL, &err);
        for (int i = 0; CHECK(m) && i < 24; i++) {
            static const int lengths[] = {0, 1, 7, 300}, batches[] = {0, 1, 64};
            counter n = {0};
            llama_options o = counted(&n);
            o.n_ctx = lengths[i % 4], o.n_batch = batches[i / 4 % 3], o.n_threads = 1 + i / 12 * 2;
            llama_context *c = llama_context_create(m, &o, &err);
            CHECK(c && n.bytes == llama_context_bytes(m, &o));
            llama_context_free(c);
            CHECK(n.live == 0);
        }
        if (m) CHECK(llama_context_bytes(m, NULL) > 0);
        llama_free(m);
    }
    TEST("an absurd context is refused with the number of bytes") {
        llama_model *m = llama_load_memory(file.bytes, file.size, NULL, &err);
        for (int n_ctx = 1 << 26; CHECK(m) && n_ctx <= 1 << 28; n_ctx *= 2) {
            counter n = {0};
            llama_options o = counted(&n);
            char text[32];
            n.limit = 1 << 24; /* as if that were all the memory there is */
            o.n_ctx = n_ctx;
            memset(&err, 0, sizeof err);
            llama_context *c = llama_context_create(m, &o, &err);
            CHECK(!c && n.live == 0);
            clean_message();
            size_t bytes = llama_context_bytes(m, &o);
            CHECK(bytes > n.limit);
            snprintf(text, sizeof text, "%lu", (unsigned long)bytes);
            if (bytes < ULONG_MAX && !CHECK(strstr(err.text, text))) printf("  %s\n", err.text);
            llama_context_free(c);
        }
        llama_free(m);
    }
    TEST("context options out of range are refused by name") {
        static const char *const names[] = {"n_ctx", "n_threads", "n_batch"};
        llama_model *m = llama_load_memory(file.bytes, file.size, NULL, &err);
        for (int i = 0; CHECK(m) && i < 6; i++) {
            llama_options o = {0};
            int value = i < 3 ? -1 : INT_MIN;
            if (i % 3 == 0) o.n_ctx = value;
            if (i % 3 == 1) o.n_threads = value;
            if (i % 3 == 2) o.n_batch = value;
            memset(&err, 0, sizeof err);
            CHECK(!llama_context_create(m, &o, &err));
            clean_message();
            CHECK(strstr(err.text, names[i % 3]) && err.code == LLAMA_BAD_OPTION);
            CHECK(llama_context_bytes(m, &o) == SIZE_MAX);
        }
        for (int over = 0; m && over < 2; over++)
            for (int i = 0; i < 3; i++) { /* the largest value is out of memory's range, not of its own */
                llama_options o = {0};
                counter n = {0};
                o.alloc = count_alloc, o.release = count_release, o.user = &n;
                n.fail_at = 1;
                if (i == 0) o.n_ctx = (1 << 28) + over;
                if (i == 1) o.n_threads = 1024 + over;
                if (i == 2) o.n_batch = (1 << 28) + over;
                CHECK(!llama_context_create(m, &o, &err));
                CHECK(err.code == (over ? LLAMA_BAD_OPTION : LLAMA_NO_MEMORY));
            }
        llama_free(m);
    }
    TEST("more threads than a system can have are refused, or fewer are taken") {
        /* An OpenMP runtime that cannot start its threads ends the process. */
        llama_model *m = llama_load_memory(file.bytes, file.size, NULL, &err);
        for (int n_threads = 1 << 16; CHECK(m) && n_threads <= 1 << 26; n_threads <<= 2) {
            counter n = {0};
            llama_options o = counted(&n);
            n.limit = 1 << 28;
            o.n_threads = n_threads;
            memset(&err, 0, sizeof err);
            llama_context *c = llama_context_create(m, &o, &err);
            if (c) CHECK(llama_context_threads(c) <= 4096);
            else CHECK(strstr(err.text, "n_threads"));
            if (c && llama_context_threads(c) <= 4096) CHECK(llama_forward(c, tokens, N_CTX, &err));
            llama_context_free(c);
            CHECK(n.live == 0);
        }
        llama_free(m);
    }
    TEST("data that is not aligned is refused") {
        unsigned char *moved = xmalloc(file.size + 4);
        for (int shift = 1; shift < 4; shift++) {
            memcpy(moved + shift, file.bytes, file.size);
            memset(&err, 0, sizeof err);
            CHECK(!llama_load_memory(moved + shift, file.size, NULL, &err) && err.code == LLAMA_BAD_OPTION);
            clean_message();
        }
        free(moved);
    }
    TEST("freeing nothing") {
        llama_free(NULL);
        llama_context_free(NULL);
        llama_sampler_free(NULL);
    }
    remove(path);
    checkpoint_free(&file);
}

/* ---- A context and the logits that it should give ---- */

typedef struct {
    checkpoint file;
    llama_model *model;
    llama_context *context;
} session;

static session session_open(int version, const llama_options *o) {
    session s;
    s.file = make(version);
    s.model = llama_load_memory(s.file.bytes, s.file.size, NULL, &err);
    s.context = s.model ? llama_context_create(s.model, o, &err) : NULL;
    if (!CHECK(s.context)) printf("  %s\n", err.text);
    return s;
}

static void session_close(session *s) {
    llama_context_free(s->context);
    llama_free(s->model);
    checkpoint_free(&s->file);
}

/* 1 if the n tokens from begin on give these logits, bit for bit. */
static int gives(llama_context *c, int begin, int n, const float *want) {
    const float *logits = llama_forward(c, tokens + begin, n, &err);
    return logits && memcmp(logits, want, VOCAB * sizeof *want) == 0;
}

/* What an undisturbed context gives for tokens [0, begin) in one call, [begin, begin + n) in the next. */
static void expect(float *want, int version, const llama_options *o, int begin, int n) {
    session s = session_open(version, o);
    const float *logits = NULL;
    if (s.context && begin) CHECK(llama_forward(s.context, tokens, begin, &err));
    if (s.context) logits = llama_forward(s.context, tokens + begin, n, &err);
    if (CHECK(logits)) memcpy(want, logits, VOCAB * sizeof *want);
    session_close(&s);
}

static void test_refusals(void) {
    enum { BEGIN = 10, N = 6 };
    static const int bad[] = {-1, INT_MIN, VOCAB, VOCAB + 1, INT_MAX};
    llama_options o = {0};
    float want[VOCAB], logprobs[2 * N_CTX];
    o.n_threads = 1, o.n_batch = 4;

    TEST("a bad token is refused wherever it stands, and nothing has changed") {
        expect(want, 0, &o, BEGIN, N);
        session s = session_open(0, &o);
        llama_context *c = s.context;
        if (c) CHECK(llama_forward(c, tokens, BEGIN, &err));
        for (int i = 0; c && i < 5 * N; i++) {
            int list[N];
            char text[32];
            memcpy(list, tokens + BEGIN, sizeof list);
            list[i % N] = bad[i / N];
            snprintf(text, sizeof text, "%d", bad[i / N]);
            for (int score = 0; score < 2; score++) {
                memset(&err, 0, sizeof err);
                if (score) CHECK(llama_score(c, list, N, logprobs, &err) == -1);
                else CHECK(llama_forward(c, list, N, &err) == NULL);
                clean_message();
                CHECK(strstr(err.text, text) && err.code == LLAMA_BAD_TOKEN);
                CHECK(llama_position(c) == BEGIN);
            }
            CHECK(llama_forward(c, list, N, NULL) == NULL);
            CHECK(gives(c, BEGIN, N, want));
            llama_rewind(c, BEGIN);
        }
        session_close(&s);
    }
    TEST("no tokens, or a negative number of them") {
        session s = session_open(0, &o);
        for (int i = 0; s.context && i < 3; i++) {
            static const int n[] = {0, -1, INT_MIN};
            memset(&err, 0, sizeof err);
            CHECK(llama_forward(s.context, tokens, n[i], &err) == NULL && err.code == LLAMA_BAD_TOKEN);
            clean_message();
            CHECK(llama_forward(s.context, NULL, n[i], NULL) == NULL);
            CHECK(llama_score(s.context, tokens, n[i], logprobs, &err) == -1);
            CHECK(llama_score(s.context, tokens, n[i], logprobs, NULL) == -1);
            CHECK(llama_position(s.context) == 0);
        }
        session_close(&s);
    }
    TEST("more tokens than there is room for: both numbers, and nothing has changed") {
        static int many[N_CTX + 50];
        expect(want, 0, &o, BEGIN, N);
        session s = session_open(0, &o);
        llama_context *c = s.context;
        if (c) CHECK(llama_forward(c, tokens, BEGIN, &err));
        for (int n = N_CTX - BEGIN + 1; c && n < N_CTX + 50; n += 9) {
            char asked[32], room[32], length[32];
            snprintf(asked, sizeof asked, "%d", n);
            snprintf(room, sizeof room, "%d", N_CTX - BEGIN);
            snprintf(length, sizeof length, "%d", N_CTX);
            memset(&err, 0, sizeof err);
            CHECK(llama_forward(c, many, n, &err) == NULL && err.code == LLAMA_NO_ROOM);
            clean_message();
            CHECK(strstr(err.text, asked) && (strstr(err.text, room) || strstr(err.text, length)));
            CHECK(llama_forward(c, many, INT_MAX, NULL) == NULL);
            CHECK(llama_score(c, many, n, logprobs, &err) == -1);
            CHECK(llama_position(c) == BEGIN);
            CHECK(gives(c, BEGIN, N, want));
            llama_rewind(c, BEGIN);
        }
        /* All that there is room for is allowed, to the last. */
        if (c) CHECK(llama_forward(c, tokens + BEGIN, N_CTX - BEGIN, &err) && llama_position(c) == N_CTX);
        if (c) CHECK(llama_forward(c, tokens, 1, &err) == NULL && llama_position(c) == N_CTX);
        session_close(&s);
    }
    TEST("scoring one token needs no room for a result") {
        session s = session_open(0, &o);
        if (s.context) CHECK(llama_score(s.context, tokens, 1, logprobs, &err) == 0 && llama_position(s.context) == 1);
        session_close(&s);
    }
}

static void test_rewind(void) {
    llama_options o = {0};
    float want[VOCAB];
    o.n_threads = 1, o.n_batch = 8;
    TEST("rewound to a prefix, the same logits bit for bit") {
        for (int version = 0; version <= 2; version++) {
            session s = session_open(version, &o);
            llama_context *c = s.context;
            for (int keep = 0; c && keep < 30; keep += 1 + keep / 3) {
                expect(want, version, &o, keep, 7);
                llama_rewind(c, 0);
                if (keep) CHECK(llama_forward(c, tokens, keep, &err));
                for (int i = 0; i < 3; i++) {
                    CHECK(gives(c, keep, 7, want));
                    CHECK(llama_forward(c, tokens, 3 * i + 1, &err)); /* goes on with something else */
                    llama_rewind(c, keep);
                    CHECK(llama_position(c) == keep);
                }
            }
            session_close(&s);
        }
    }
    TEST("a position out of range is clamped") {
        session s = session_open(1, &o);
        llama_context *c = s.context;
        if (c) {
            CHECK(llama_position(c) == 0);
            llama_rewind(c, 5);
            CHECK(llama_position(c) == 0);
            CHECK(llama_forward(c, tokens, 9, &err));
            llama_rewind(c, 10), llama_rewind(c, INT_MAX);
            CHECK(llama_position(c) == 9);
            llama_rewind(c, -1);
            CHECK(llama_position(c) == 0);
            CHECK(llama_forward(c, tokens, 9, &err));
            llama_rewind(c, INT_MIN);
            CHECK(llama_position(c) == 0);
        }
        session_close(&s);
    }
}

/* ---- Progress ---- */

typedef struct {
    int calls, cancel_at; /* the number of the call that cancels, from 1; 0: none */
    int bad;
    float last;
} progress_log;

static int log_progress(void *user, float done) {
    progress_log *p = user;
    if (!(done >= p->last && done >= 0 && done <= 1)) p->bad = 1;
    p->last = done;
    return ++p->calls == p->cancel_at;
}

static void test_progress(void) {
    TEST("progress stays between 0 and 1 and never goes back; it comes at least once a layer") {
        for (int threads = 1; threads <= 2; threads++) {
            for (int n = 1; n <= N_CTX; n += 1 + n / 2) {
                float logprobs[N_CTX];
                progress_log log = {0};
                llama_options o = {0};
                o.n_threads = threads, o.n_batch = 10;
                o.progress = log_progress, o.user = &log;
                session s = session_open(1, &o);
                if (s.context) CHECK(llama_forward(s.context, tokens, n, &err));
                CHECK(!log.bad && log.calls >= 3 * ((n + 9) / 10));
                memset(&log, 0, sizeof log);
                llama_rewind(s.context, 0);
                if (s.context) CHECK(llama_score(s.context, tokens, n, logprobs, &err) == 0);
                CHECK(!log.bad && log.calls >= 3 * ((n + 9) / 10));
                session_close(&s);
            }
        }
    }
    TEST("cancelled at any call: a message, the position as before, and then as if nothing had been") {
        enum { BEGIN = 9, N = 25 };
        for (int threads = 1; threads <= 2; threads++) {
            progress_log log = {0};
            llama_options o = {0};
            float want[VOCAB], scores[N], logprobs[N];
            o.n_threads = threads, o.n_batch = 10;
            expect(want, 0, &o, BEGIN, N);
            o.progress = log_progress, o.user = &log;
            session s = session_open(0, &o);
            llama_context *c = s.context;
            if (c) CHECK(llama_forward(c, tokens, BEGIN, &err));
            for (int score = 0; c && score < 2; score++) {
                memset(&log, 0, sizeof log);
                if (score) CHECK(llama_score(c, tokens + BEGIN, N, scores, &err) == 0);
                else CHECK(gives(c, BEGIN, N, want));
                for (int at = 1, calls = log.calls; at <= calls; at++) {
                    llama_rewind(c, BEGIN);
                    memset(&log, 0, sizeof log);
                    memset(&err, 0, sizeof err);
                    log.cancel_at = at;
                    if (score) CHECK(llama_score(c, tokens + BEGIN, N, logprobs, &err) == -1);
                    else CHECK(llama_forward(c, tokens + BEGIN, N, &err) == NULL);
                    clean_message();
                    CHECK(strstr(err.text, "cancel") && err.code == LLAMA_CANCELLED);
                    CHECK(log.calls == at); /* not asked again */
                    CHECK(llama_position(c) == BEGIN);
                    memset(&log, 0, sizeof log);
                    if (!score) CHECK(gives(c, BEGIN, N, want));
                    else if (CHECK(llama_score(c, tokens + BEGIN, N, logprobs, &err) == 0))
                        CHECK(memcmp(logprobs, scores, (N - 1) * sizeof *scores) == 0);
                }
                llama_rewind(c, BEGIN);
            }
            session_close(&s);
        }
    }
    TEST("the same logits with and without progress") {
        llama_options o = {0};
        progress_log log = {0};
        float want[VOCAB];
        o.n_threads = 1;
        expect(want, 0, &o, 5, 20);
        o.progress = log_progress, o.user = &log;
        session s = session_open(0, &o);
        if (s.context) CHECK(llama_forward(s.context, tokens, 5, &err));
        log.last = 0;
        if (s.context) CHECK(gives(s.context, 5, 20, want));
        session_close(&s);
    }
}

static void test_logits(void) {
    enum { N = 30 };
    float want[VOCAB], logprobs[N_CTX];
    llama_options o = {0};
    TEST("the logits after a call, and after a score those that llama_forward gives") {
        for (int version = 0; version <= 2; version++)
            for (int n_batch = 1; n_batch <= 40; n_batch += 13) {
                o.n_threads = 1, o.n_batch = n_batch;
                expect(want, version, &o, 0, N);
                session s = session_open(version, &o);
                llama_context *c = s.context;
                if (!c) break;
                CHECK(llama_logits(c) == NULL);
                const float *logits = llama_forward(c, tokens, N, &err);
                CHECK(logits && llama_logits(c) == logits);
                llama_rewind(c, N); /* nothing to forget */
                CHECK(llama_logits(c) == logits);
                llama_rewind(c, N - 1);
                CHECK(llama_logits(c) == NULL);
                llama_rewind(c, 0);
                CHECK(llama_logits(c) == NULL);
                CHECK(llama_score(c, tokens, N, logprobs, &err) == 0);
                logits = llama_logits(c);
                CHECK(logits && memcmp(logits, want, sizeof want) == 0);
                /* As many tokens again are another sequence, whatever its length. */
                llama_rewind(c, N - 2);
                CHECK(llama_score(c, tokens, 1, logprobs, &err) == 0 && llama_logits(c) != NULL);
                llama_rewind(c, N - 2);
                CHECK(llama_logits(c) == NULL);
                session_close(&s);
            }
    }
    TEST("no logits after a call that was cancelled, those of before or none after one that was refused") {
        progress_log log = {0};
        o.n_batch = 10;
        expect(want, 0, &o, 0, 9);
        o.progress = log_progress, o.user = &log;
        session s = session_open(0, &o);
        llama_context *c = s.context;
        for (int score = 0; c && score < 2; score++) {
            llama_rewind(c, 0);
            memset(&log, 0, sizeof log);
            CHECK(gives(c, 0, 9, want));
            CHECK(llama_forward(c, tokens, 0, &err) == NULL);
            CHECK(!llama_logits(c) || memcmp(llama_logits(c), want, sizeof want) == 0);
            memset(&log, 0, sizeof log);
            log.cancel_at = 2;
            if (score) CHECK(llama_score(c, tokens, 20, logprobs, &err) == -1);
            else CHECK(llama_forward(c, tokens, 20, &err) == NULL);
            CHECK(llama_position(c) == 9 && llama_logits(c) == NULL);
        }
        session_close(&s);
    }
}

/* ---- Threads of the caller ---- */

#ifdef HAVE_PTHREADS
typedef struct {
    const llama_model *model;
    const float *want;
    int ok, n_threads;
} worker;

/* Every round evaluates the same prompt in its own context; its own sampler takes its own tokens. */
static void *work(void *argument) {
    worker *w = argument;
    llama_error e;
    llama_options o = {0};
    o.n_threads = w->n_threads, o.n_batch = 7;
    llama_context *c = llama_context_create(w->model, &o, &e);
    llama_sampler *s = llama_sampler_create(w->model, NULL, NULL, &e);
    w->ok = c && s;
    for (int i = 0; w->ok && i < 10; i++) {
        llama_rewind(c, 0);
        const float *logits = llama_forward(c, tokens, 30, &e);
        w->ok = logits && memcmp(logits, w->want, VOCAB * sizeof *logits) == 0 && llama_sample(s, logits, &e) >= 0;
        w->ok &= llama_forward(c, tokens, N_CTX, &e) == NULL; /* an error of its own */
    }
    llama_sampler_free(s);
    llama_context_free(c);
    return NULL;
}

/* Eight threads with a context each. */
static void share_model(int n_threads) {
    enum { WORKERS = 8 };
    float want[VOCAB];
    llama_options o = {0};
    pthread_t thread[WORKERS];
    worker w[WORKERS];
    o.n_threads = n_threads, o.n_batch = 7;
    expect(want, 0, &o, 0, 30);
    session s = session_open(0, &o);
    for (int i = 0; s.model && i < WORKERS; i++) {
        w[i].model = s.model, w[i].want = want, w[i].ok = 0, w[i].n_threads = n_threads;
        CHECK(pthread_create(&thread[i], NULL, work, &w[i]) == 0);
    }
    for (int i = 0; s.model && i < WORKERS; i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
        CHECK(w[i].ok);
    }
    session_close(&s);
}

/* What another thread wants of the one in llama_forward. The flag is the caller's own, and so is its lock. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t started;
    int calls, cancel;
} request;

static int ask(void *user, float done) {
    request *r = user;
    (void)done;
    pthread_mutex_lock(&r->lock);
    if (r->calls++ == 0) pthread_cond_signal(&r->started);
    while (!r->cancel) pthread_cond_wait(&r->started, &r->lock); /* else a fast machine would be done by then */
    const int cancel = r->cancel;
    pthread_mutex_unlock(&r->lock);
    return cancel;
}

static void *cancel_it(void *argument) {
    request *r = argument;
    pthread_mutex_lock(&r->lock);
    while (!r->calls) pthread_cond_wait(&r->started, &r->lock);
    r->cancel = 1;
    pthread_cond_broadcast(&r->started);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void test_threads(void) {
    TEST("contexts of eight threads share a model") { share_model(1); }
    TEST("and each may have threads of its own") { share_model(2); }
    TEST("another thread cancels") {
        for (int n_threads = 1; n_threads <= 2; n_threads++) {
            request r = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
            llama_options o = {0};
            pthread_t thread;
            o.n_threads = n_threads, o.n_batch = 7, o.progress = ask, o.user = &r;
            session s = session_open(0, &o);
            CHECK(pthread_create(&thread, NULL, cancel_it, &r) == 0);
            memset(&err, 0, sizeof err);
            if (s.context) CHECK(llama_forward(s.context, tokens, N_CTX, &err) == NULL);
            CHECK(pthread_join(thread, NULL) == 0);
            clean_message();
            CHECK(strstr(err.text, "cancel") && r.calls == 1 && llama_position(s.context) == 0);
            session_close(&s);
        }
    }
}
#else
static void test_threads(void) { SKIP("threads that share a model, or cancel", "no pthreads"); }
#endif

/* ---- A host that uses OpenMP itself ---- */

static void test_host(void) {
#ifdef _OPENMP
    TEST("called from within a host's parallel region, whatever becomes of the threads inside") {
        enum { HOST = 3 };
        float want[VOCAB];
        llama_options o = {0};
        int ok[HOST] = {0};
        o.n_threads = 2, o.n_batch = 7;
        expect(want, 0, &o, 0, 30);
        session s = session_open(0, &o);
        for (int nested = 0; s.model && nested < 2; nested++) { /* one level: the library gets one thread, not two */
            omp_set_max_active_levels(nested ? 2 : 1);
#pragma omp parallel for num_threads(HOST)
            for (int i = 0; i < HOST; i++) {
                llama_error e;
                llama_context *c = llama_context_create(s.model, &o, &e);
                const float *logits = c ? llama_forward(c, tokens, 30, &e) : NULL;
                ok[i] = logits && memcmp(logits, want, sizeof want) == 0;
                llama_context_free(c);
            }
            for (int i = 0; i < HOST; i++) CHECK(ok[i]);
        }
        session_close(&s);
    }
#else
    SKIP("called from within a host's parallel region", "no OpenMP");
#endif
}

int main(void) {
    fill_tokens();
    test_memory();
    test_refusals();
    test_rewind();
    test_progress();
    test_logits();
    test_threads();
    test_host();
    return test_end();
}
