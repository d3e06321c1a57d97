/* test_beams.c - beam search against all texts there are, where the beams are enough for all, and against its
 * definition in llama.h, one text after the other, where they are not; what it does to a context, and what is refused.
 */
#include "test.h"

#include "models.c"
#include "reference.c"

#include "checkpoint.c"

static llama_error err;

enum { DIM = 32, N_CTX = 300, LONGEST = 12, MOST_BEAMS = 130, PAGES = 20 };

static llama_model *loaded;
static unsigned char *bytes;
static int vocab_size;
static int twins; /* 1: tokens 2 k and 2 k + 1 of the next model are the same */

static void open_model(int vocabulary, uint64_t seed) {
    const llama_config f = {.dim = DIM,
                            .hidden_dim = 48,
                            .n_layers = 2,
                            .n_heads = 2,
                            .n_kv_heads = 1,
                            .head_dim = 16,
                            .vocab_size = vocabulary,
                            .seq_len = N_CTX,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000};
    model *m = model_make(&f, INSIDE_Q8, seed);
    for (int i = 0; twins && i < vocabulary * DIM; i++)
        if (i / DIM % 2)
            for (int id = TENSOR_EMBEDDING; id <= TENSOR_CLASSIFIER; id++)
                m->weights[id][0][i] = m->weights[id][0][i - DIM];
    const file made = model_file(m, NULL);
    model_free(m);
    bytes = made.bytes, loaded = llama_load_memory(made.bytes, made.size, NULL, &err), vocab_size = vocabulary;
    if (!loaded) printf("test: %s\n", err.text), exit(1);
}

static void close_model(void) { llama_free(loaded), free(bytes); }

static llama_context *create(int n_ctx, int n_sequences, int n_ctx_sequence) {
    const llama_options o = {
        .n_threads = 1, .n_ctx = n_ctx, .n_sequences = n_sequences, .n_ctx_sequence = n_ctx_sequence};
    llama_context *c = llama_context_create(loaded, &o, &err);
    if (!c) printf("test: %s\n", err.text), exit(1);
    return c;
}

static int is_end(void *user, int token) { return token < *(int *)user; } /* so many of them end a text */

static int prompt[N_CTX];

static void make_prompt(int n, uint64_t seed) {
    for (int i = 0; i < n; i++) prompt[i] = random_int(&seed, 0, vocab_size - 1);
}

/* ---- The definition ---- */

typedef struct {
    double sum, score;
    int n, ended, tokens[LONGEST];
} text;

typedef struct {
    text *list;
    int n;
} texts;

static void add(texts *to, text t) {
    to->list = realloc(to->list, (size_t)(to->n + 1) * sizeof t);
    to->list[to->n++] = t;
}

static int by_score(const void *a, const void *b) {
    const double x = ((const text *)a)->score, y = ((const text *)b)->score;
    return (x < y) - (x > y);
}

static void sort(texts *t) {
    if (t->n) qsort(t->list, (size_t)t->n, sizeof *t->list, by_score);
}

static double score(double sum, int n, double penalty) { return sum / pow((5.0 + n) / 6, penalty); }

/* All continuations of a text by one token, by a context that reads nothing else. */
static void continue_text(llama_context *c, int n_prompt, const text *t, int ends, texts *to) {
    llama_rewind(c, 0);
    const float *logits = llama_forward(c, prompt, n_prompt, &err);
    if (t->n) logits = llama_forward(c, t->tokens, t->n, &err);
    double all = 0;
    for (int i = 0; i < vocab_size; i++) all += exp((double)logits[i]);
    for (int i = 0; i < vocab_size; i++) {
        text next = *t;
        next.tokens[next.n++] = i, next.ended = i < ends;
        next.sum += (double)logits[i] - log(all), next.score = next.sum;
        add(to, next);
    }
}

/* As llama.h says it. */
static texts search(int n_prompt, int beams, int most, double penalty, int ends) {
    llama_context *c = create(0, 1, 0);
    texts open = {NULL, 0}, done = {NULL, 0};
    add(&open, (text){0, 0, 0, 0, {0}});
    for (int length = 1; length <= most; length++) {
        texts all = {NULL, 0}, next = {NULL, 0};
        for (int i = 0; i < open.n; i++) continue_text(c, n_prompt, &open.list[i], ends, &all);
        sort(&all);
        for (int i = 0; i < all.n && next.n < beams; i++) {
            text t = all.list[i];
            if (!t.ended) add(&next, t);
            else t.score = score(t.sum, t.n, penalty), add(&done, t);
        }
        free(all.list), free(open.list);
        open = next;
        sort(&done);
        if (!open.n || (done.n && score(open.list->sum, most, penalty) <= done.list->score)) break;
    }
    for (int i = 0; i < open.n; i++)
        open.list[i].score = score(open.list[i].sum, open.list[i].n, penalty), add(&done, open.list[i]);
    sort(&done);
    free(open.list);
    llama_context_free(c);
    if (done.n > beams) done.n = beams;
    return done;
}

/* ---- The library's ---- */

static int found_tokens[MOST_BEAMS][LONGEST];
static llama_beam found[MOST_BEAMS];

static int beam_search(llama_context *c, int beams, int most, float penalty, int ends, const llama_options *o) {
    const llama_beaming b = {beams, most, penalty, ends ? is_end : NULL, &ends};
    for (int i = 0; i < MOST_BEAMS; i++) found[i].tokens = found_tokens[i];
    return llama_beam_search(c, &b, found, o, &err);
}

static int same(const llama_beam *got, const text *want) {
    return got->n == want->n && got->ended == want->ended && fabs(got->sum - want->sum) < 1e-5 &&
           fabs(got->score - want->score) < 1e-5 && !memcmp(got->tokens, want->tokens, (size_t)got->n * sizeof(int));
}

static void compare(int n_prompt, int beams, int most, float penalty, int ends) {
    llama_context *c = create(PAGES * LLAMA_PAGE, beams, N_CTX);
    make_prompt(n_prompt, (uint64_t)(beams + most));
    CHECK(llama_forward(c, prompt, n_prompt, &err));
    texts want = search(n_prompt, beams, most, (double)penalty, ends);
    const int n = beam_search(c, beams, most, penalty, ends, NULL), pages = llama_free_pages(c);
    int bad = n != want.n;
    for (int i = 0; i < n && !bad; i++) bad = !same(&found[i], &want.list[i]);
    if (!CHECK(!bad))
        printf("  prompt %d, %d beams of %d, penalty %g, %d ends: %d of %d\n", n_prompt, beams, most, (double)penalty,
               ends, n, want.n);
    CHECK(llama_position(c) == n_prompt && pages == PAGES - (n_prompt + LLAMA_PAGE - 1) / LLAMA_PAGE);
    free(want.list);
    llama_context_free(c);
}

static void test_definition(void) {
    static const float penalties[] = {0, 0.6f, 1, 3};
    TEST("by its definition") {
        int early = 0;
        for (int i = 0; i < 40; i++) {
            open_model(9 + i % 5, (uint64_t)i);
            const int most = 1 + i * 7 % LONGEST;
            compare(i % 3 ? 1 + i : 60 + i % 7, 1 + i % 6, most, penalties[i % 4], i % 3);
            early += found[0].n < most;
            close_model();
        }
        CHECK(early > 5);
    }
}

/* The best of all texts up to a length, by trying them all. */
static void try_all(llama_context *c, int n_prompt, const text *t, int most, double penalty, int ends, text *best) {
    texts next = {NULL, 0};
    continue_text(c, n_prompt, t, ends, &next);
    for (int i = 0; i < next.n; i++) {
        text *u = &next.list[i];
        u->score = score(u->sum, u->n, penalty);
        if (u->ended || u->n == most) *best = best->n && best->score >= u->score ? *best : *u;
        else try_all(c, n_prompt, u, most, penalty, ends, best);
    }
    free(next.list);
}

static void test_exhaustive(void) {
    TEST("with room for all texts: the best there is") {
        for (int i = 0; i < 16; i++) {
            static const float penalties[] = {0, 0.6f, 1, 2.5f};
            const int most = 1 + i % 4, ends = i % 3;
            text best = {0, 0, 0, 0, {0}};
            open_model(3 + i % 2, 100 + (uint64_t)i);
            make_prompt(5, 1);
            llama_context *c = create(2 * N_CTX * 64, 128, N_CTX), *alone = create(0, 1, 0);
            try_all(alone, 5, &(text){0, 0, 0, 0, {0}}, most, (double)penalties[i / 4], ends, &best);
            CHECK(llama_forward(c, prompt, 5, &err));
            const int n = beam_search(c, ends ? 81 : 128, most, penalties[i / 4], ends, NULL);
            CHECK(n > 0 && (ends || vocab_size < 4 || most < 4 || n == 128));
            if (ends || vocab_size < 4 || most < 4) CHECK(same(&found[0], &best));
            for (int k = 1; k < n; k++) CHECK(found[k - 1].score >= found[k].score);
            llama_context_free(c), llama_context_free(alone);
            close_model();
        }
    }
}

/* ---- The context ---- */

typedef struct {
    model_watch of; /* first, so that it is one */
    const llama_context *c;
    int least; /* pages that were free, at least */
} watch;

static int watch_progress(void *user, float done) {
    watch *w = user;
    if (w->c && llama_free_pages(w->c) < w->least) w->least = llama_free_pages(w->c);
    return model_watch_progress(&w->of, done);
}

static void test_equals(void) {
    TEST("of texts that are as likely the one with the smaller tokens comes first") {
        twins = 1, open_model(20, 5), twins = 0;
        make_prompt(5, 2);
        for (int n = 1; n <= 3; n++) {
            llama_context *c = create(64 * 4, n, 0);
            CHECK(llama_forward(c, prompt, 5, &err) && beam_search(c, n, 8, 1, 0, NULL) == n);
            for (int i = 0; i < found->n; i++) CHECK(found->tokens[i] % 2 == 0);
            llama_context_free(c);
        }
        close_model();
    }
}

static void test_no_numbers(void) {
    open_model(20, 5);
    make_prompt(5, 2);
    llama_context *c = create(64 * 4, 4, 0);
    TEST("tokens that logits forbid are in no text, and logits that are no numbers end the search") {
        float *logits = (float *)llama_forward(c, prompt, 5, &err);
        for (int i = 0; logits && i < vocab_size; i++)
            if (i != 3 && i != 7) logits[i] = -INFINITY;
        CHECK(beam_search(c, 4, 1, 1, 0, NULL) == 2 && found[0].tokens[0] + found[1].tokens[0] == 10);
        llama_rewind(c, 0);
        logits = (float *)llama_forward(c, prompt, 5, &err);
        if (CHECK(logits)) logits[9] = NAN;
        CHECK(beam_search(c, 4, 2, 1, 0, NULL) == -1 && err.code == LLAMA_BAD_LOGITS && llama_position(c) == 5);
    }
    llama_context_free(c);
    close_model();
}

static void test_context(void) {
    open_model(20, 5);
    make_prompt(130, 2);
    TEST("one beam is greedy, and goes to the end of the context") {
        llama_context *c = create(8, 1, 0);
        CHECK(llama_forward(c, prompt, 5, &err));
        CHECK(beam_search(c, 1, LONGEST, 1, 0, NULL) == 1 && found->n == 4 && !found->ended);
        llama_rewind(c, 0);
        const float *logits = llama_forward(c, prompt, 5, &err);
        for (int i = 0; i < 4 && CHECK(logits); i++) {
            for (int id = 0; id < vocab_size; id++) CHECK(logits[id] <= logits[found->tokens[i]]);
            logits = i < 3 ? llama_forward(c, &found->tokens[i], 1, &err) : logits;
        }
        llama_context_free(c);
    }
    TEST("beams share the prompt, and leave it and others as they were") {
        watch w = {{0}, NULL, 0};
        const llama_options o = {
            .n_threads = 1, .n_ctx = 9 * LLAMA_PAGE, .n_sequences = 6, .progress = watch_progress, .user = &w};
        llama_context *c = llama_context_create(loaded, &o, &err);
        float before[20], after[20];
        const llama_item beside = {5, 3, prompt, NULL, NULL, NULL, 0};
        CHECK(llama_evaluate(c, &beside, 1, &err) == 0);
        CHECK(llama_forward(c, prompt, 130, &err)); /* three pages, one of them begun */
        w.c = c, w.least = 9;
        CHECK(beam_search(c, 5, 10, 1, 0, NULL) == 5);
        CHECK(w.least >= 9 - 1 - 2 - 6); /* five pages for five beams, and the prompt's own */
        CHECK(llama_free_pages(c) == 9 - 1 - 3 && llama_length(c, 5) == 3 && !llama_logits(c));
        const llama_item next = {0, 1, prompt, NULL, after, NULL, 0};
        CHECK(llama_evaluate(c, &next, 1, &err) == 0);
        llama_rewind(c, 0);
        CHECK(llama_forward(c, prompt, 130, &err));
        memcpy(before, llama_forward(c, prompt, 1, &err), sizeof before);
        CHECK(!memcmp(before, after, sizeof before));
        llama_context_free(c);
    }
    close_model();
}

static void refused(llama_context *c, int beams, int most, float penalty, int code, const char *word) {
    const int position = llama_position(c);
    CHECK(beam_search(c, beams, most, penalty, 0, NULL) == -1);
    if (!CHECK(err.code == code && strstr(err.text, word) && !strchr(err.text, '\n'))) printf("  said %s\n", err.text);
    CHECK(llama_position(c) == position);
}

static void test_refused(void) {
    open_model(20, 5);
    make_prompt(100, 2);
    watch w = {{0}, NULL, 0};
    const llama_options o = {.alloc = model_watch_alloc,
                             .release = model_watch_release,
                             .user = &w,
                             .progress = watch_progress,
                             .n_threads = 1,
                             .n_ctx = 3 * LLAMA_PAGE,
                             .n_sequences = 4};
    llama_context *c = llama_context_create(loaded, &o, &err);
    TEST("options out of their range") {
        refused(c, 2, 5, 1, LLAMA_BAD_LOGITS, "no logits");
        CHECK(llama_forward(c, prompt, 3, &err));
        refused(c, 5, 5, 1, LLAMA_BAD_OPTION, "n_beams is 5, not between 1 and 4: the context has 4 sequences");
        refused(c, 0, 5, 1, LLAMA_BAD_OPTION, "n_beams is 0");
        refused(c, 2, 0, 1, LLAMA_BAD_OPTION, "most is 0");
        refused(c, 2, 5, -1, LLAMA_BAD_OPTION, "length_penalty is -1");
        refused(c, 2, 5, 11, LLAMA_BAD_OPTION, "length_penalty is 11");
        refused(c, 2, 5, (float)NAN, LLAMA_BAD_OPTION, "length_penalty");
        CHECK(llama_logits(c) != NULL);
    }
    TEST("no memory, no pages, a cancelled call") {
        w.of.calls = 0, w.of.fail_at = 1;
        CHECK(beam_search(c, 2, 5, 1, 0, &o) == -1 && err.code == LLAMA_NO_MEMORY && llama_logits(c));
        w.of.fail_at = 0, w.of.seen = 0, w.of.cancel_at = 5;
        CHECK(beam_search(c, 2, 5, 1, 0, &o) == -1 && err.code == LLAMA_CANCELLED);
        CHECK(llama_position(c) == 3 && llama_free_pages(c) == 2 && llama_length(c, 1) == 0 && w.of.live == 1);
        w.of.cancel_at = 0;
        llama_rewind(c, 0);
        CHECK(llama_forward(c, prompt, 70, &err)); /* room for one more */
        refused(c, 4, 5, 1, LLAMA_NO_ROOM, "pages");
        CHECK(llama_free_pages(c) == 1);
    }
    llama_context_free(c);
    CHECK(w.of.live == 0);
    close_model();
}

int main(void) {
    writer_threads(1);
    test_definition();
    test_exhaustive();
    test_equals();
    test_no_numbers();
    test_context();
    test_refused();
    return test_end();
}
