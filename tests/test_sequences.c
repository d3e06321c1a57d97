/* test_sequences.c - many sequences in one context: the same bits as alone, however they are cut and whoever is beside
 * them; forks that share pages; pages that are counted exactly; and what is refused or cancelled changes nothing.
 */
#include "test.h"

#include <limits.h>

#include "checkpoint.c"
#include "models.c"
#include "reference.c"

static llama_error err;

/* ---- Models ----
 * Of every type of weights one with a classifier of its own, and one whose classifier is the identity, which shows what
 * is normal inside: its logits are the hidden state. A layer sees all, one has a window, one has experts.
 */
enum { DIM = 48, VOCAB = 48, N_CTX = 1100, TYPES = 6, ROWS = 3, SUBJECTS = 2 * TYPES + ROWS };

typedef struct {
    llama_model *loaded;
    unsigned char *bytes; /* of its file */
    char name[32];
    int identity; /* 1: logits are hidden states */
    int rows;     /* 1: rows of llama2.c, which are the same to about 1e-5 only */
    const char *kv_type;
} subject;

static subject subjects[SUBJECTS];

static llama_model *load(subject *s, size_t size) {
    s->loaded = llama_load_memory(s->bytes, size, NULL, &err);
    if (!s->loaded) printf("test: %s\n", err.text), exit(1);
    /* So that a call of one token takes all threads: see LL_SMALL. */
    ((llama_config *)llama_get_config(s->loaded))->weight_bytes = 1 << 30;
    static const char *const kv_types[SUBJECTS] = {NULL, "q8", NULL, "q8", "f32", "q8", "q8", "f16", "q8", NULL, "q8"};
    s->kv_type = kv_types[s - subjects];
    return s->loaded;
}

static void make_subject(subject *s, int type, int identity) {
    static const char *const type_names[] = {"f32", "bf16", "q8", "q4_0", "q4", "q6"};
    static const llama_layer_kind kinds[] = {{0, 0, 0}, {0, 20, 0}, {0, 0, 1}};
    const llama_config f = {.dim = DIM,
                            .hidden_dim = 72,
                            .n_layers = 3,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = type % 3 ? 12 : 20, /* a tile of a page's values, or two */
                            .vocab_size = VOCAB,
                            .seq_len = N_CTX,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000,
                            .n_experts = 4,
                            .n_experts_used = 2,
                            .expert_dim = 24,
                            .layers = kinds};
    model *m = model_make(&f, INSIDE_F32 + type, 7 + (uint64_t)type);
    for (int i = 0; identity && i < VOCAB * DIM; i++) m->weights[TENSOR_CLASSIFIER][0][i] = i / DIM == i % DIM;
    if (identity) m->in.embedding_type = INSIDE_F32;
    const file made = model_file(m, NULL);
    snprintf(s->name, sizeof s->name, "%s%s", type_names[type], identity ? ", identity" : "");
    s->bytes = made.bytes, s->identity = identity;
    load(s, made.size);
    model_free(m);
}

static void make_subjects(void) {
    for (int i = 0; i < 2 * TYPES; i++) make_subject(&subjects[i], i % TYPES, i / TYPES);
    for (int version = 0; version < ROWS; version++) {
        subject *s = &subjects[2 * TYPES + version];
        const checkpoint_shape shape = {version, DIM, 72, 2, 4, 2, VOCAB, N_CTX, 0, 8};
        checkpoint made = checkpoint_make(shape, 5);
        snprintf(s->name, sizeof s->name, "llama2.c version %d", version);
        s->bytes = made.bytes, s->rows = 1;
        load(s, made.size);
        free(made.weights);
    }
}

static void free_subjects(void) {
    for (int i = 0; i < SUBJECTS; i++) llama_free(subjects[i].loaded), free(subjects[i].bytes);
}

/* ---- Contexts ---- */

static llama_options watched(model_watch *w) {
    const llama_options o = {
        .alloc = model_watch_alloc, .release = model_watch_release, .progress = model_watch_progress, .user = w};
    memset(w, 0, sizeof *w);
    return o;
}

static llama_context *create(const subject *s, const llama_options *o) {
    llama_options with = *o;
    with.kv_type = s->kv_type;
    llama_context *c = llama_context_create(s->loaded, &with, &err);
    if (!c && !strstr(err.text, "are not to be had")) printf("test: %s\n", err.text), exit(1);
    return c;
}

/* ---- Texts, and the logits after each of their tokens, alone and one by one ---- */

enum { TEXTS = 9, TEXT = 150 };
static const int text_length[TEXTS] = {TEXT, 9, 1, 64, 33, 65, 2, 5, 16};
static int text[TEXTS][TEXT];
static float want[TEXTS][TEXT][VOCAB];

static void make_texts(void) {
    uint64_t seed = 99;
    for (int t = 0; t < TEXTS; t++)
        for (int i = 0; i < TEXT; i++) text[t][i] = random_int(&seed, 0, VOCAB - 1);
}

static int same(const subject *s, const float *got, const float *wanted, int n) {
    float largest = 0;
    if (!s->rows) return !memcmp(got, wanted, (size_t)n * sizeof *got);
    for (int i = 0; i < n; i++) largest = fmaxf(largest, fabsf(wanted[i]));
    for (int i = 0; i < n; i++)
        if (!(fabsf(got[i] - wanted[i]) <= 1e-5f * largest)) return 0; /* measured: 4.4e-6 */
    return 1;
}

/* 0 if this set of kernels is not to be had. */
static int expect_texts(const subject *s, const char *set) {
    const llama_options o = {.kernels = set, .n_ctx = TEXT, .n_threads = 1, .n_batch = 1};
    llama_context *c = create(s, &o);
    for (int t = 0; c && t < TEXTS; t++) {
        llama_rewind(c, 0);
        for (int i = 0; i < text_length[t]; i++) {
            const float *logits = llama_forward(c, text[t] + i, 1, &err);
            if (CHECK(logits)) memcpy(want[t][i], logits, sizeof want[t][i]);
        }
    }
    llama_context_free(c);
    return c != NULL;
}

/* ---- In company ---- */

enum { ALL_AT_ONCE, ONE_BESIDE_SINGLES, RANDOM, WAYS };
enum { LAST, ALL, SOME, NONE, KINDS }; /* of what is wanted */

typedef struct {
    int kind, from;
    unsigned char wanted[TEXT];
    float logits[(TEXT + 1) * VOCAB], hidden[DIM + 1];
} answer;
static answer answers[TEXTS];
static const float untouched = -12345;

/* The next n tokens of a text, and a random part of what can be wanted of them. */
static llama_item ask(const subject *s, int t, int from, int n, uint64_t *seed) {
    answer *a = &answers[t];
    a->kind = random_int(seed, 0, KINDS - 1), a->from = from;
    llama_item it = {t,
                     n,
                     text[t] + from,
                     a->kind == LAST ? NULL : a->wanted,
                     a->kind == NONE ? NULL : a->logits,
                     NULL,
                     random_int(seed, 0, 1)};
    if (s->identity && random_int(seed, 0, 3)) it.hidden = a->hidden;
    for (int i = 0; i < TEXT; i++) a->wanted[i] = (unsigned char)(a->kind == ALL || random_int(seed, 0, 2) == 0);
    for (int i = 0; i < (TEXT + 1) * VOCAB; i++) a->logits[i] = untouched;
    for (int i = 0; i <= DIM; i++) a->hidden[i] = untouched;
    return it;
}

static int answered(const subject *s, const llama_item *it) {
    const answer *a = &answers[it->sequence];
    const float *got = a->logits;
    int good = 1;
    for (int i = 0; i < it->n && it->logits; i++)
        if (it->wanted ? it->wanted[i] : i == it->n - 1)
            good &= same(s, got, want[it->sequence][a->from + i], VOCAB), got += VOCAB;
    good &= *got == untouched && a->hidden[DIM] == untouched;
    if (!it->hidden) return good && a->hidden[0] == untouched;
    for (int d = 0; d < DIM; d++) {
        double sum = 0;
        for (int i = 0; i < it->n; i++) sum += want[it->sequence][a->from + i][d];
        if (it->mean) good &= fabs(a->hidden[d] - sum / it->n) <= 1e-6 * it->n;
        else good &= a->hidden[d] == want[it->sequence][a->from + it->n - 1][d];
    }
    return good;
}

static int next_part(int way, int t, int left, uint64_t *seed) {
    if (way == ALL_AT_ONCE || left < 2) return left;
    if (way == ONE_BESIDE_SINGLES) return t && text_length[t] - left < 4 ? 1 : left;
    const int most = random_int(seed, 0, 2) ? random_int(seed, 0, 1) ? left : 6 : 1;
    return random_int(seed, 0, 4) ? random_int(seed, 1, most < left ? most : left) : 0;
}

/* All texts, one way. Returns how many answers are not as they are alone. */
static int read_texts(const subject *s, llama_context *c, int way, uint64_t *seed) {
    int done[TEXTS] = {0}, bad = 0;
    for (int left = 1; left;) {
        llama_item items[TEXTS];
        int n = 0;
        left = 0;
        for (int t = 0; t < TEXTS; t++) {
            const int rest = text_length[t] - done[t], part = rest ? next_part(way, t, rest, seed) : 0;
            left += rest - part;
            if (!part) continue;
            const int at = way == ALL_AT_ONCE ? n : random_int(seed, 0, n); /* in any order */
            memmove(items + at + 1, items + at, (size_t)(n - at) * sizeof *items);
            items[at] = ask(s, t, done[t], part, seed), n++;
            done[t] += part;
        }
        if (n && !CHECK(llama_evaluate(c, items, n, &err) == 0)) return printf("  %s\n", err.text), 1;
        for (int i = 0; i < n; i++) bad += !answered(s, &items[i]);
        CHECK(!llama_logits(c));
    }
    for (int t = 0; t < TEXTS; t++) CHECK(llama_length(c, t) == text_length[t] && llama_fork(c, t, t, 0, &err) == 0);
    return bad;
}

/* ThreadSanitizer, under which all takes long, looks for what threads do to each other, whatever the kernels are,
 * and in fewer cases of a kind: each STEPth. */
#ifdef __SANITIZE_THREAD__
enum { FEWEST = 2, SETS = 2, STEP = 3 };
#else
enum { FEWEST = 1, SETS = N_SETS, STEP = SLOW ? 3 : 1 };
#endif

/* Which subjects are read with which set of kernels and how many threads. Of those whose logits are the hidden state
 * some. Fewer with threads, for those of busy cores wait for each other; of each type some. */
static int is_tried(int i, int k, int threads) {
    if (!TAKEN(i + k) || (subjects[i].identity && (k ? (i + k) % 3 : i % 2))) return 0;
    return threads == 1 || ((i + k) % 4 == 0 && (i + k) / 4 % 2 == threads - 2);
}

static void test_company(void) {
    TEST("in company as alone: the same bits") {
        static const int batches[] = {200, 7, 32, 1, 100, 19};
        uint64_t seed = 4;
        for (int i = 0; i < SUBJECTS; i++)
            for (int k = 0; k < SETS; k++) {
                int expected = 0;
                for (int threads = FEWEST; threads <= 3; threads++) {
                    if (!is_tried(i, k, threads)) continue;
                    if (!expected && !expect_texts(&subjects[i], sets[k])) break;
                    expected = 1;
                    const int n_batch = batches[random_int(&seed, 0, threads == 1 ? 5 : 2)];
                    model_watch w;
                    llama_options o = watched(&w);
                    o.kernels = sets[k], o.n_ctx = 14 * LLAMA_PAGE, o.n_sequences = TEXTS;
                    o.n_threads = threads, o.n_batch = n_batch;
                    llama_context *c = create(&subjects[i], &o);
                    for (int way = 0; way < WAYS; way++) {
                        if (threads > 1 ? way != i % WAYS : way == (i + k) % WAYS) continue;
                        const int bad = read_texts(&subjects[i], c, way, &seed);
                        if (!CHECK(!bad))
                            printf("  %s, %s, %d threads, n_batch %d, way %d: %d others\n", subjects[i].name, sets[k],
                                   threads, n_batch, way, bad);
                    }
                    CHECK(llama_free_pages(c) == 14);
                    llama_context_free(c);
                    CHECK(w.live == 0);
                }
            }
    }
    TEST("a mean is the same bits in company, and whatever n_batch is") {
        const subject *s = &subjects[TYPES];
        float mean[4][DIM], other[DIM];
        for (int k = 0; k < 4; k++) {
            const llama_options o = {
                .n_ctx = 256, .n_sequences = 2, .n_batch = k < 2 ? 200 : 9, .n_threads = 1 + k % 2};
            llama_context *c = create(s, &o);
            const llama_item items[] = {{1, 33, text[4], NULL, NULL, other, 1},
                                        {0, 60, text[3], NULL, NULL, mean[k], 1}};
            CHECK(llama_evaluate(c, items + k % 2, 2 - k % 2, &err) == 0);
            CHECK(!memcmp(mean[k], mean[0], sizeof *mean));
            llama_context_free(c);
        }
    }
}

/* ---- A context, and what it should be ----
 * The mirror remembers each sequence's tokens, and counts pages in its own way. Whatever is done is checked: lengths
 * and free pages always, logits against a context that has this one text only.
 */
enum { MOST = 24, LONGEST = 1090, PAGES = 80 };

typedef struct {
    const subject *subject;
    llama_context *c, *fresh;
    model_watch watch;
    int n_sequences, n_pages, longest, n_free;
    int length[MOST], tokens[MOST][LONGEST], page[MOST][LONGEST / LLAMA_PAGE + 1];
    int shared[PAGES];
    int n_read, read[LONGEST]; /* what fresh holds */
    uint64_t seed;
} mirror;

static mirror *mirror_open(const subject *s, const char *set, int n_sequences, int n_pages, int longest, int threads,
                           int n_batch) {
    mirror *m = xmalloc(sizeof *m);
    memset(m, 0, sizeof *m);
    m->subject = s, m->n_sequences = n_sequences, m->n_pages = m->n_free = n_pages, m->longest = longest, m->seed = 11;
    llama_options o = watched(&m->watch);
    o.n_ctx = n_pages * LLAMA_PAGE - 3, o.n_ctx_sequence = longest, o.n_sequences = n_sequences;
    o.n_threads = threads, o.n_batch = n_batch, o.kernels = set;
    m->c = create(s, &o);
    const llama_options alone = {.n_ctx = longest, .n_threads = 1, .n_batch = 40, .kernels = set};
    m->fresh = create(s, &alone);
    return m;
}

static int mirror_same(const mirror *m) {
    int good = llama_free_pages(m->c) == m->n_free && llama_length(m->c, -1) == -1 &&
               llama_length(m->c, m->n_sequences) == -1 && llama_position(m->c) == m->length[0];
    for (int s = 0; s < m->n_sequences; s++) good &= llama_length(m->c, s) == m->length[s];
    return good;
}

static int pages_of(int n) { return (n + LLAMA_PAGE - 1) / LLAMA_PAGE; }

static int mirror_take(mirror *m) {
    int p = 0;
    while (m->shared[p]) p++;
    m->shared[p] = 1, m->n_free--;
    return p;
}

static void mirror_cut(mirror *m, int s, int n) {
    for (int i = pages_of(n); i < pages_of(m->length[s]); i++) m->n_free += !--m->shared[m->page[s][i]];
    m->length[s] = n;
}

static int mirror_fork(mirror *m, int to, int from, int n) {
    if (!CHECK(llama_fork(m->c, to, from, n, &err) == 0)) return printf("  %s\n", err.text), 0;
    if (to == from) mirror_cut(m, to, n);
    else {
        mirror_cut(m, to, 0);
        memcpy(m->tokens[to], m->tokens[from], (size_t)n * sizeof(int));
        for (int i = 0; i < pages_of(n); i++) m->shared[m->page[to][i] = m->page[from][i]]++;
        m->length[to] = n;
    }
    return CHECK(mirror_same(m));
}

/* The logits after a sequence's tokens, from a context that has no other; what it has of them already it keeps. */
static int mirror_good(mirror *m, int s, const float *logits) {
    const int *tokens = m->tokens[s], n = m->length[s];
    int from = 0;
    while (from < m->n_read && from < n - 1 && m->read[from] == tokens[from]) from++;
    llama_rewind(m->fresh, from);
    const float *wanted = llama_forward(m->fresh, tokens + from, n - from, NULL);
    memcpy(m->read, tokens, (size_t)n * sizeof *tokens), m->n_read = n;
    return wanted && same(m->subject, logits, wanted, VOCAB);
}

typedef struct {
    int sequence, n;
} part;

/* Pages that the tokens of a list take: in the mirror's own way, by doing it and, if `keep` is 0, undoing it. */
static int mirror_grow(mirror *m, const part *list, int count, int keep) {
    const int before = m->n_free;
    int needed = 0;
    int(*page)[LONGEST / LLAMA_PAGE + 1] = xmalloc(sizeof m->page), *shared = xmalloc(sizeof m->shared);
    memcpy(page, m->page, sizeof m->page), memcpy(shared, m->shared, sizeof m->shared);
    for (int i = 0; i < count && needed <= before; i++) {
        const int s = list[i].sequence, at = m->length[s] / LLAMA_PAGE, end = pages_of(m->length[s] + list[i].n);
        if (m->length[s] % LLAMA_PAGE && m->shared[m->page[s][at]] > 1) {
            if (++needed > before) break;
            m->shared[m->page[s][at]]--, m->page[s][at] = mirror_take(m);
        }
        for (int k = pages_of(m->length[s]); k < end && ++needed <= before; k++) m->page[s][k] = mirror_take(m);
    }
    if (!keep) {
        memcpy(m->page, page, sizeof m->page), memcpy(m->shared, shared, sizeof m->shared);
        m->n_free = before;
    }
    free(page), free(shared);
    return needed;
}

/* Evaluates random tokens; cancel_at: as in model_watch. What cannot be done must be refused, and change nothing.
 * Returns 1 if it was done, 0 if not, -1 if that was wrong. */
static int mirror_add(mirror *m, const part *list, int count, long cancel_at, int check) {
    static float logits[MOST][VOCAB];
    llama_item items[MOST];
    int long_one = 0;
    for (int i = 0; i < count; i++) {
        const int s = list[i].sequence, n = list[i].n;
        const llama_item it = {s, n, m->tokens[s] + m->length[s], NULL, logits[i], NULL, 0};
        long_one |= m->length[s] + n > m->longest;
        for (int k = m->length[s]; k < m->length[s] + n && k < LONGEST; k++)
            m->tokens[s][k] = random_int(&m->seed, 0, VOCAB - 1);
        items[i] = it;
    }
    const int needed = long_one ? 0 : mirror_grow(m, list, count, 0), fits = !long_one && needed <= m->n_free;
    memset(&err, 0, sizeof err);
    m->watch.seen = 0, m->watch.cancel_at = cancel_at;
    const int result = llama_evaluate(m->c, items, count, &err), cancelled = cancel_at && m->watch.seen >= cancel_at;
    m->watch.cancel_at = 0;
    if (!fits || cancelled) {
        char both[80] = "";
        CHECK(result == -1 && err.code == (fits ? LLAMA_CANCELLED : LLAMA_NO_ROOM));
        snprintf(both, sizeof both, "%d of %d are free", m->n_free, m->n_pages);
        if (!fits && !long_one) CHECK(strstr(err.text, both) && atoi(err.text) >= needed && needed > m->n_free);
        return CHECK(mirror_same(m)) ? 0 : -1;
    }
    if (!CHECK(result == 0)) return printf("  %s\n", err.text), -1;
    mirror_grow(m, list, count, 1);
    for (int i = 0; i < count; i++) m->length[list[i].sequence] += list[i].n;
    for (int i = 0; i < count && check; i++)
        if (!CHECK(mirror_good(m, list[i].sequence, logits[i]))) {
            printf("  sequence %d, item %d of %d, %d tokens: other bits\n", list[i].sequence, i, count, list[i].n);
            return -1;
        }
    return CHECK(mirror_same(m)) ? 1 : -1;
}

/* One token more for each sequence, all in one call, and whether that gives what it should. */
static int mirror_step(mirror *m) {
    part list[MOST];
    for (int s = 0; s < m->n_sequences; s++) list[s].sequence = s, list[s].n = 1;
    return mirror_add(m, list, m->n_sequences, 0, 1) == 1;
}

static int add(mirror *m, int sequence, int n) {
    const part one = {sequence, n};
    return CHECK(mirror_add(m, &one, 1, 0, 1) == 1);
}

static void mirror_close(mirror *m) {
    for (int s = 0; s < m->n_sequences; s++) mirror_fork(m, s, s, 0);
    CHECK(m->n_free == m->n_pages && llama_free_pages(m->c) == m->n_pages);
    llama_context_free(m->c), llama_context_free(m->fresh);
    free(m);
}

/* ---- Forks ---- */

static void fork_everywhere(const subject *s, const char *set, int threads) {
    static const int at[] = {0, 1, 15, 63, 64, 65, 100, 127, 128, 129, 149, 150};
    if (threads < FEWEST) return;
    mirror *m = mirror_open(s, set, 5, 24, 300, threads, 23);
    add(m, 0, 150);
    for (size_t i = 0; i < sizeof at / sizeof *at; i += STEP) {
        mirror_fork(m, 1, 0, at[i]); /* to what is not empty, from the second on */
        add(m, 1, 1), add(m, 1, 9);
        add(m, 0, 1); /* both go on as they would have */
        mirror_fork(m, 2, 1, m->length[1] - random_int(&m->seed, 0, 1));
        mirror_fork(m, 3, 2, m->length[2]); /* a fork of a fork */
        mirror_fork(m, 4, 0, m->length[0] - 1);
        mirror_step(m);
        mirror_fork(m, 0, 0, 150); /* cut, and the same again with others beside it */
        add(m, 3, 60), add(m, 2, 1);
        mirror_step(m);
        mirror_fork(m, 0, 0, 150);
    }
    mirror_fork(m, 0, 0, 70); /* cut inside a page that others have too */
    add(m, 0, 3);
    mirror_step(m);
    mirror_fork(m, 1, 1, m->length[1]); /* nothing */
    mirror_step(m);
    mirror_close(m);
}

static void test_forks(void) {
    TEST("a fork goes on as if it had been evaluated itself, and so does the original") {
        static const int some[] = {0, 3, 2 * TYPES}; /* which pages there are is the same for all types */
        for (int i = 0; i < 3; i++) fork_everywhere(&subjects[some[i]], NULL, 1 + i % 2);
        fork_everywhere(&subjects[0], "plain", 1);
        fork_everywhere(&subjects[1], "plain", 3);
    }
    TEST("pages are counted exactly") {
        enum { FORKS = 16 };
        for (int way = 0; way < 3; way++) {
            mirror *m = mirror_open(&subjects[0], NULL, 1 + FORKS, 40, LONGEST, 1, 256);
            part list[1 + FORKS];
            add(m, 0, 1000);
            const int before = llama_free_pages(m->c);
            CHECK(before == 40 - 16);
            for (int i = 1; i <= FORKS; i++) mirror_fork(m, i, 0, 1000), list[i].sequence = i, list[i].n = 1;
            list[0].sequence = 0, list[0].n = 1;
            CHECK(llama_free_pages(m->c) == before);
            if (way == 1) mirror_fork(m, 0, 0, 0); /* nobody but the forks has the page: one can keep it */
            /* Else one copy for each fork. If the original is written to as well, it is one of 17, of which one keeps
             * the page. */
            CHECK(mirror_add(m, list + (way != 2), FORKS + (way == 2), 0, 1) == 1);
            CHECK(llama_free_pages(m->c) == before - (way == 1 ? 15 : 16));
            CHECK(mirror_add(m, list + 1, FORKS, 0, 1) == 1);
            CHECK(llama_free_pages(m->c) == before - (way == 1 ? 15 : 16));
            for (int i = 1; i <= FORKS; i++) CHECK(llama_fork(m->c, i, i, 960, &err) == 0), mirror_cut(m, i, 960);
            CHECK(llama_free_pages(m->c) == (way == 1 ? 40 - 15 : before)); /* what is left is in common */
            mirror_close(m);
        }
    }
}

/* ---- What is refused, and what is cancelled ---- */

/* Of different lengths in one page: in whichever order they come, the one that keeps it must not write over what the
 * others have there, for they may get it back. */
static void share_a_page(mirror *m, int order) {
    static const int lengths[6][3] = {{50, 30, 40}, {50, 40, 30}, {30, 50, 40},
                                      {40, 50, 30}, {30, 40, 50}, {40, 30, 50}};
    for (int s = 0; s < m->n_sequences; s++) mirror_fork(m, s, s, 0);
    add(m, 3, 64 + 50);
    for (int s = 0; s < 3; s++) mirror_fork(m, s, 3, 64 + lengths[order][s]);
    if (order % 2) mirror_fork(m, 3, 3, 0);
    else add(m, 3, 70);
}

static void test_cancelled(void) {
    TEST("a call that is cancelled at any point changes nothing") {
        for (int i = 0; i < SUBJECTS; i += i == 0 ? 2 : 10)
            for (int threads = FEWEST; threads <= 2; threads++)
                for (int order = i % 2; order < 6; order += STEP) {
                    mirror *m = mirror_open(&subjects[i], NULL, 5, 16, 300, threads, 16);
                    share_a_page(m, order);
                    const part list[] = {{0, 30}, {4, 3}, {1, 1}, {2, 17}};
                    long at = 1;
                    for (; at < 100; at++) {
                        const int done = mirror_add(m, list, 4, at, 1);
                        if (done > 0) break;
                        if (at % 3 == order % 3) { /* all of them are still what they were */
                            mirror_fork(m, 4, 2, m->length[2] - 1), add(m, 4, 1);
                            mirror_fork(m, 4, 0, m->length[0]), add(m, 4, 1);
                            mirror_fork(m, 4, 4, 0);
                        }
                    }
                    CHECK(at > (subjects[i].rows ? 8 : 12) - 1 && at < 100);
                    mirror_step(m);
                    mirror_close(m);
                }
    }
    TEST("llama_forward and llama_score too, with copies of shared pages") {
        mirror *m = mirror_open(&subjects[0], NULL, 3, 8, 200, 1, 5);
        add(m, 1, 100);
        mirror_fork(m, 0, 1, 99);
        int tokens[20];
        float logprobs[20];
        for (int i = 0; i < 20; i++) tokens[i] = i;
        for (int score = 0; score < 2; score++)
            for (long at = 1; at <= 12; at++) {
                m->watch.seen = 0, m->watch.cancel_at = at;
                CHECK(score ? llama_score(m->c, tokens, 20, logprobs, &err) : !llama_forward(m->c, tokens, 20, &err));
                CHECK(err.code == LLAMA_CANCELLED && m->watch.seen == at && !llama_logits(m->c) && mirror_same(m));
            }
        m->watch.cancel_at = 0;
        mirror_step(m);
        mirror_close(m);
    }
}

static void refused(mirror *m, const llama_item *items, int n, int code, const char *says) {
    memset(&err, 0, sizeof err);
    CHECK(llama_evaluate(m->c, items, n, NULL) == -1);
    CHECK(llama_evaluate(m->c, items, n, &err) == -1 && err.code == code && mirror_same(m));
    if (!CHECK(strstr(err.text, says) && !strchr(err.text, '\n'))) printf("  %s\n", err.text);
}

static void fork_refused(mirror *m, int to, int from, int n, const char *says) {
    memset(&err, 0, sizeof err);
    CHECK(llama_fork(m->c, to, from, n, NULL) == -1);
    CHECK(llama_fork(m->c, to, from, n, &err) == -1 && err.code == LLAMA_BAD_OPTION && mirror_same(m));
    if (!CHECK(strstr(err.text, says))) printf("  %s\n", err.text);
}

static void refuse_all(mirror *m) {
    int tokens[LONGEST] = {1, 2, 3}, bad[] = {1, 2, VOCAB}, negative[] = {-1, 2};
    float logits[VOCAB];
    llama_item good = {0, 2, tokens, NULL, logits, NULL, 0}, items[MOST];
    const int last = m->n_sequences - 1;
    for (int s = 0; s <= last; s++)
        if (m->longest - m->length[s] < 3) mirror_fork(m, s, s, m->longest - 3); /* room for what is else wrong */
    items[0] = good;
    refused(m, items, 0, LLAMA_BAD_OPTION, "0 items");
    refused(m, items, -1, LLAMA_BAD_OPTION, "-1 items");
    for (int k = 0; k < 2; k++) { /* alone, or behind a good one */
        const llama_item *list = items + 1 - k;
        const int n = 1 + k;
        good.sequence = last, items[1] = good;
        items[1].sequence = -1, refused(m, list, n, LLAMA_BAD_OPTION, "sequence is -1, not between");
        items[1].sequence = last + 1, refused(m, list, n, LLAMA_BAD_OPTION, "not between 0 and");
        items[1].sequence = INT_MAX, refused(m, list, n, LLAMA_BAD_OPTION, "not between 0 and");
        items[1] = good, items[1].n = 0, refused(m, list, n, LLAMA_BAD_TOKEN, "0 tokens");
        items[1].n = INT_MIN, refused(m, list, n, LLAMA_BAD_TOKEN, "tokens given");
        items[1].n = INT_MAX, refused(m, list, n, LLAMA_NO_ROOM, "do not fit");
        items[1].n = m->longest - m->length[last] + 1, refused(m, list, n, LLAMA_NO_ROOM, "do not fit");
        items[1].n = 3, items[1].tokens = bad, refused(m, list, n, LLAMA_BAD_TOKEN, "token 2 of 3 is 48");
        items[1].n = 2, items[1].tokens = negative, refused(m, list, n, LLAMA_BAD_TOKEN, "is -1");
    }
    good.sequence = 0, items[1] = good, refused(m, items, 2, LLAMA_BAD_OPTION, "in the list already");
    good.sequence = 1, items[1] = items[2] = good, refused(m, items, 3, LLAMA_BAD_OPTION, "in the list already");
    fork_refused(m, -1, 0, 0, "sequence is -1"), fork_refused(m, 0, -1, 0, "sequence is -1");
    fork_refused(m, last + 1, 0, 0, "not between 0 and"), fork_refused(m, 0, last + 1, 0, "not between 0 and");
    fork_refused(m, 1, 0, -1, "cannot be had"), fork_refused(m, 0, 0, -1, "cannot be had");
    fork_refused(m, 1, 0, m->length[0] + 1, "cannot be had"), fork_refused(m, 0, 0, m->length[0] + 1, "cannot be had");
    fork_refused(m, 1, 0, INT_MAX, "cannot be had");
    /* More than there are pages for. */
    int asked = 0, needed = 0;
    for (int s = 0; s < m->n_sequences; s++, asked++) {
        good.sequence = s, good.n = m->longest - m->length[s], items[asked] = good;
        needed += pages_of(m->longest) - pages_of(m->length[s]);
        if (good.n < 1) asked--;
    }
    if (needed > m->n_free) refused(m, items, asked, LLAMA_NO_ROOM, "pages of 64 tokens are needed");
}

static void test_refused(void) {
    TEST("what is refused changes nothing") {
        mirror *m = mirror_open(&subjects[0], NULL, 4, 9, 200, 1, 16);
        refuse_all(m);
        mirror_step(m);
        add(m, 0, 99);
        for (int s = 1; s < 4; s++) mirror_fork(m, s, 0, 100 - s);
        refuse_all(m);
        mirror_step(m);
        mirror_fork(m, 0, 1, 20), mirror_fork(m, 3, 3, 0);
        refuse_all(m);
        mirror_step(m);
        mirror_close(m);
    }
    TEST("as many pages as there are can be used, and one more is refused with both numbers") {
        mirror *m = mirror_open(&subjects[0], NULL, 3, 6, 200, 1, 256);
        const part most[] = {{0, 128}, {1, 192}, {2, 64}}, more[] = {{0, 128}, {1, 192}, {2, 65}}, one = {0, 1};
        CHECK(mirror_add(m, more, 3, 0, 1) == 0);
        CHECK_TEXT(err.text, "7 pages of 64 tokens are needed, 6 of 6 are free");
        CHECK(mirror_add(m, most, 3, 0, 1) == 1 && m->n_free == 0);
        CHECK(mirror_add(m, &one, 1, 0, 1) == 0);
        CHECK_TEXT(err.text, "1 pages of 64 tokens are needed, 0 of 6 are free");
        CHECK(!llama_forward(m->c, &one.n, 1, &err) && err.code == LLAMA_NO_ROOM && mirror_same(m));
        mirror_fork(m, 0, 1, 100), mirror_fork(m, 2, 1, 90); /* a copy each, or one page more; three are free */
        add(m, 0, 28), add(m, 2, 1);
        mirror_fork(m, 1, 0, 127); /* nobody else has the page's end */
        mirror_fork(m, 1, 1, 0);
        mirror_close(m);
    }
    TEST("a copy that has no page is refused; the last one of those who share needs none") {
        mirror *m = mirror_open(&subjects[0], NULL, 3, 1, 64, 1, 256);
        const part both[] = {{1, 1}, {0, 1}};
        add(m, 0, 30);
        mirror_fork(m, 1, 0, 30);
        CHECK(mirror_add(m, both, 2, 0, 1) == 0 && mirror_add(m, both, 1, 0, 1) == 0 &&
              mirror_add(m, both + 1, 1, 0, 1) == 0);
        CHECK_TEXT(err.text, "1 pages of 64 tokens are needed, 0 of 1 are free");
        mirror_fork(m, 0, 0, 0);
        add(m, 1, 31);
        mirror_close(m);
    }
}

/* ---- Sequence 0 and the options ---- */

static void test_sequence_0(void) {
    TEST("llama_forward, llama_score, llama_rewind and llama_logits beside other sequences") {
        const subject *s = &subjects[0];
        const llama_options o = {.n_ctx = 640, .n_sequences = 4, .n_threads = 1, .n_batch = 50};
        llama_context *c = create(s, &o);
        float logprobs[TEXT], row[VOCAB];
        expect_texts(s, llama_context_kernels(c));
        const llama_item other = {2, 33, text[4], NULL, row, NULL, 0}, first = {0, 64, text[3], NULL, row, NULL, 0};
        CHECK(!llama_logits(c) && llama_evaluate(c, &other, 1, &err) == 0 && !llama_logits(c) &&
              llama_position(c) == 0);
        const float *logits = llama_forward(c, text[0], 100, &err);
        CHECK(logits && !memcmp(logits, want[0][99], sizeof row) && llama_logits(c) == logits);
        CHECK(llama_position(c) == 100 && llama_length(c, 0) == 100 && llama_length(c, 2) == 33);
        CHECK(llama_fork(c, 1, 0, 100, &err) == 0 && llama_fork(c, 2, 2, 30, &err) == 0);
        CHECK(llama_logits(c) == logits && !memcmp(logits, want[0][99], sizeof row)); /* forks of others leave them */
        llama_rewind(c, 90);
        CHECK(!llama_logits(c) && llama_position(c) == 90 && llama_length(c, 1) == 100);
        CHECK(llama_score(c, text[0] + 90, 60, logprobs, &err) == 0 && llama_logits(c));
        CHECK(llama_logits(c) && !memcmp(llama_logits(c), want[0][149], sizeof row));
        for (int i = 0; i < 59; i++) CHECK(logprobs[i] == llama_logprob(want[0][90 + i], VOCAB, text[0][91 + i]));
        const llama_item more = {1, 50, text[0] + 100, NULL, row, NULL, 0}, bad = {9, 1, text[0], NULL, row, NULL, 0};
        CHECK(llama_evaluate(c, &bad, 1, &err) == -1 && llama_logits(c)); /* refused: nothing has changed */
        CHECK(llama_evaluate(c, &more, 1, &err) == 0 && !llama_logits(c) && !memcmp(row, want[0][149], sizeof row));
        llama_rewind(c, 200), CHECK(llama_position(c) == 150);
        llama_rewind(c, -1), CHECK(llama_position(c) == 0 && llama_length(c, 1) == 150);
        CHECK(llama_evaluate(c, &first, 1, &err) == 0 && !memcmp(row, want[3][63], sizeof row));
        CHECK(llama_fork(c, 0, 1, 99, &err) == 0 && llama_position(c) == 99 && !llama_logits(c));
        logits = llama_forward(c, text[0] + 99, 1, &err);
        CHECK(logits && !memcmp(logits, want[0][99], sizeof row));
        CHECK(llama_fork(c, 0, 1, 100, &err) == 0 && !llama_logits(c)); /* of the same length, but another */
        llama_context_free(c);
    }
}

static void test_options(void) {
    const subject *s = &subjects[0];
    TEST("llama_context_bytes is what is allocated, at once") {
        uint64_t seed = 3;
        for (int i = 0; i < 60; i++) {
            model_watch w;
            llama_options o = watched(&w);
            o.n_ctx = random_int(&seed, 0, 600), o.n_sequences = random_int(&seed, 0, i % 10 ? 90 : 3000);
            o.n_ctx_sequence = random_int(&seed, 0, 1) * random_int(&seed, 0, 700);
            o.n_batch = random_int(&seed, 0, 80), o.n_threads = random_int(&seed, 0, 3);
            const subject *one = &subjects[i % SUBJECTS];
            o.kv_type = one->kv_type;
            const size_t bytes = llama_context_bytes(one->loaded, &o);
            llama_context *c = create(one, &o);
            CHECK(w.live == 1 && w.bytes == bytes);
            const int n_ctx = o.n_ctx ? o.n_ctx : N_CTX, sequences = o.n_sequences ? o.n_sequences : 1;
            const int longest = o.n_ctx_sequence && o.n_ctx_sequence < n_ctx ? o.n_ctx_sequence : n_ctx;
            CHECK(llama_free_pages(c) == pages_of(n_ctx) && llama_context_length(c) == longest);
            CHECK(llama_length(c, sequences - 1) == 0 && llama_length(c, sequences) == -1);
            const llama_item last = {sequences - 1, 1, text[0], NULL, want[0][0], want[0][1], 1};
            CHECK(llama_evaluate(c, &last, 1, &err) == 0 && w.live == 1);
            llama_context_free(c);
            CHECK(w.live == 0);
        }
    }
    TEST("options out of range are refused") {
        static const struct {
            int n_sequences, n_ctx_sequence;
            const char *says;
        } bad[] = {{-1, 0, "n_sequences is -1"},
                   {65537, 0, "n_sequences is 65537"},
                   {INT_MIN, 0, "n_sequences"},
                   {1, -1, "n_ctx_sequence is -1"},
                   {1, (1 << 28) + 1, "n_ctx_sequence is"},
                   {0, INT_MAX, "n_ctx_sequence is"}};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            const llama_options o = {.n_sequences = bad[i].n_sequences, .n_ctx_sequence = bad[i].n_ctx_sequence};
            err.code = 0;
            CHECK(!llama_context_create(s->loaded, &o, NULL) && !llama_context_create(s->loaded, &o, &err));
            CHECK(err.code == LLAMA_BAD_OPTION && strstr(err.text, bad[i].says));
            CHECK(llama_context_bytes(s->loaded, &o) == SIZE_MAX);
        }
        const llama_options most = {.n_ctx = 64, .n_sequences = 65536, .n_threads = 1, .n_batch = 4};
        llama_context *c = create(s, &most);
        CHECK(c && llama_length(c, 65535) == 0 && llama_length(c, 65536) == -1);
        llama_context_free(c);
    }
    TEST("a sequence is as long as n_ctx_sequence says, or n_ctx") {
        for (int k = 0; k < 3; k++) {
            const llama_options o = {.n_ctx = 100, .n_sequences = 3, .n_threads = 1, .n_ctx_sequence = k ? k * 70 : 0};
            llama_context *c = create(s, &o);
            const int longest = k == 1 ? 70 : 100;
            const llama_item item = {1, longest, text[0], NULL, NULL, NULL, 0};
            CHECK(llama_free_pages(c) == 2 && !llama_forward(c, text[0], longest + 1, &err) &&
                  err.code == LLAMA_NO_ROOM);
            CHECK(llama_evaluate(c, &item, 1, &err) == 0 && llama_free_pages(c) == 0);
            CHECK(llama_fork(c, 0, 1, longest, &err) == 0 && !llama_forward(c, text[0], 1, &err));
            llama_context_free(c);
        }
    }
}

/* ---- Many random operations ---- */

static int random_list(mirror *m, part *list) {
    int n = 0, most = random_int(&m->seed, 0, 5) ? 4 : 60;
    for (int s = 0; s < m->n_sequences; s++) {
        if (random_int(&m->seed, 0, 2)) continue;
        const int at = random_int(&m->seed, 0, n), left = m->longest - m->length[s];
        const part p = {s, random_int(&m->seed, 1, most)};
        if (p.n > left && (left < 1 || random_int(&m->seed, 0, 9))) continue; /* few are refused for that */
        memmove(list + at + 1, list + at, (size_t)(n - at) * sizeof *list);
        list[at] = p, n++;
    }
    return n;
}

static void walk(const subject *s, const char *set, int threads, int operations, int check) {
    if (threads < FEWEST) return;
    mirror *m = mirror_open(s, set, 7, 14, 180, threads, 24);
    int done[4] = {0};
    m->seed = (uint64_t)(operations + threads);
    for (int i = 0; i < operations; i++) {
        const int from = random_int(&m->seed, 0, 6), to = random_int(&m->seed, 0, 6);
        const int what = random_int(&m->seed, 0, 99);
        part list[MOST];
        if (what < 60) {
            const int n = random_list(m, list), cancel = random_int(&m->seed, 0, 4) ? 0 : random_int(&m->seed, 1, 12);
            const int result = n ? mirror_add(m, list, n, cancel, random_int(&m->seed, 1, check) == 1) : 0;
            if (result < 0) {
                printf("  operation %d of the walk\n", i);
                break;
            }
            done[result]++;
        } else if (what < 85) mirror_fork(m, to, from, random_int(&m->seed, 0, m->length[from])), done[2]++;
        else if (what < 95) mirror_fork(m, to, to, m->length[to] ? m->length[to] - 1 : 0);
        else if (what < 98) mirror_fork(m, to, from, 0);
        else refuse_all(m), done[3]++;
    }
    if (operations >= 200) /* of fewer, chance decides what they are */
        CHECK(done[0] > operations / 20 && done[1] > operations / 5 && done[2] > operations / 10 && done[3]);
    mirror_fork(m, 6, 6, 0), mirror_fork(m, 5, 5, 0);
    for (int k = 0; k < 7; k++) mirror_fork(m, k, k, m->length[k] * 2 / 3);
    mirror_close(m);
}

static void test_walks(void) {
    TEST("random walks") {
        walk(&subjects[0], NULL, 1, 2000 / STEP, 4);
        walk(&subjects[2], NULL, 2, 300 / STEP, 2);
        walk(&subjects[5], "plain", 1, 200 / STEP, 4);
        walk(&subjects[1], NULL, 3, 300 / STEP, 2);
        walk(&subjects[2 * TYPES], NULL, 1, 500 / STEP, 4);
    }
}

int main(void) {
    writer_threads(1);
    make_texts();
    make_subjects();
    test_company();
    test_forks();
    test_cancelled();
    if (FEWEST == 1) test_refused(), test_sequence_0(), test_options();
    test_walks();
    free_subjects();
    return test_end();
}
