/* test_state.c - sequences as bytes: they go on with the same bits, in any context of the same model, and what is cut,
 * mutated or of something else is refused and changes nothing.
 */
#include "test.h"

#include "checkpoint.c"
#include "models.c"
#include "reference.c"

static llama_error err;

enum { VOCAB = 60, LENGTH = 150, CONTEXT = 256, TYPES = 6 };

typedef struct { /* a model and what its file lies in */
    llama_model *loaded;
    file file;
} subject;

static subject load(int type, uint64_t seed, int head_dim) {
    const llama_layer_kind kinds[] = {{0, 0, 0}, {0, 20, 0}};
    const llama_config f = {.dim = 40,
                            .hidden_dim = 56,
                            .n_layers = 2,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = head_dim,
                            .vocab_size = VOCAB,
                            .seq_len = CONTEXT,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000,
                            .layers = kinds};
    model *m = model_make(&f, type, seed);
    subject s = {NULL, model_file(m, NULL)};
    s.loaded = llama_load_memory(s.file.bytes, s.file.size, NULL, &err);
    if (!CHECK(s.loaded)) printf("  %s\n", err.text), exit(1);
    model_free(m);
    return s;
}

static void unload(subject *s) { llama_free(s->loaded), free(s->file.bytes); }

static const char *kv_type; /* of the caches that are made */

static llama_context *context(const llama_model *m, int n_ctx, int n_sequences, const char *set) {
    llama_options o = {0};
    o.kv_type = kv_type;
    o.n_ctx = n_ctx, o.n_sequences = n_sequences, o.n_threads = 1, o.kernels = set;
    return llama_context_create(m, &o, &err);
}

/* Appends tokens of a text that depends on the sequence; the logits after the last into out (VOCAB). */
static void append(llama_context *c, int sequence, int n, float *out) {
    int tokens[LENGTH];
    const int at = llama_length(c, sequence);
    for (int i = 0; i < n; i++) tokens[i] = (at + i) * 7 % VOCAB;
    const llama_item item = {sequence, n, tokens, NULL, out, NULL, 0};
    CHECK(llama_evaluate(c, &item, 1, &err) == 0);
}

static unsigned char *save(llama_context *c, int sequence, size_t *size) {
    *size = llama_state_bytes(c, sequence);
    unsigned char *p = xmalloc(*size);
    CHECK(*size >= 64 && llama_save(c, sequence, p, *size, &err) == 0);
    return p;
}

static void test_going_on(void) {
    static const int lengths[] = {0, 1, 15, 16, 63, 64, 65, 128, LENGTH - 1};
    TEST("a restored sequence goes on with the same bits, elsewhere too, in every type and set") {
        static const char *const kv_types[2 * TYPES] = {NULL, NULL,  NULL, NULL,  NULL,  NULL,
                                                        "q8", "f32", "q8", "f32", "f16", "q8"};
        for (int i = 0; i < 2 * TYPES; i++) {
            const int type = i % TYPES, head_dims[] = {10, 16, 66, 130}; /* one group of q8, two, three */
            subject s = load(INSIDE_F32 + type, 3u + (unsigned)type, i < TYPES ? 10 : head_dims[i % 4]);
            kv_type = kv_types[i];
            for (int k = 0; k < N_SETS; k++)
                for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
                    llama_context *one = context(s.loaded, LENGTH, 1, sets[k]), *other = NULL;
                    float want[VOCAB], got[VOCAB], ignored[VOCAB];
                    size_t size;
                    if (!one) break; /* not to be had */
                    if (lengths[j]) append(one, 0, lengths[j], ignored);
                    unsigned char *state = save(one, 0, &size);
                    append(one, 0, 1, want);
                    other = context(s.loaded, 4 * CONTEXT, 5, sets[k]);
                    append(other, 1, 70, ignored), append(other, 3, 90, ignored); /* others, and what it replaces */
                    CHECK(llama_restore(other, 3, state, size, &err) == 0 && llama_length(other, 3) == lengths[j]);
                    append(other, 3, 1, got);
                    CHECK(memcmp(want, got, sizeof want) == 0);
                    /* The same bytes come out again. */
                    CHECK(llama_fork(other, 3, 3, lengths[j], &err) == 0);
                    size_t again;
                    unsigned char *second = save(other, 3, &again);
                    CHECK(again == size && memcmp(state, second, size) == 0);
                    /* And into itself, where it was. */
                    CHECK(llama_restore(one, 0, state, size, &err) == 0 && !llama_logits(one));
                    append(one, 0, 1, got);
                    CHECK(memcmp(want, got, sizeof want) == 0);
                    /* A sequence of the same tokens is the same bytes, however they were cut and whatever lay there. */
                    if (lengths[j]) {
                        CHECK(llama_fork(other, 3, 3, 0, &err) == 0);
                        if (lengths[j] > 1) append(other, 4, lengths[j] - 1, ignored);
                        append(other, 4, 1, ignored);
                        unsigned char *third = save(other, 4, &again);
                        CHECK(again == size && memcmp(state, third, size) == 0);
                        free(third);
                    }
                    free(state), free(second), llama_context_free(one), llama_context_free(other);
                }
            unload(&s);
            kv_type = NULL;
        }
    }
}

/* A refusal: one line, and the context's sequence goes on as if nothing had been. */
static int refused(llama_context *c, const unsigned char *state, size_t size, const char *why) {
    const int length = llama_length(c, 1), pages = llama_free_pages(c);
    unsigned char *copy = xmalloc(size); /* so that reading behind its end shows */
    memcpy(copy, state, size);
    memset(&err, 0, sizeof err);
    int good = llama_restore(c, 1, copy, size, &err) == -1 && err.code && *err.text && !strchr(err.text, '\n');
    good &= llama_length(c, 1) == length && llama_free_pages(c) == pages;
    if (why && !strstr(err.text, why)) printf("  wanted %s, got %s\n", why, err.text), good = 0;
    free(copy);
    return good;
}

static void test_refusals(void) {
    subject s = load(INSIDE_Q8, 20, 10), wider = load(INSIDE_Q8, 20, 12), other = load(INSIDE_Q8, 21, 10),
            floats = load(INSIDE_F32, 20, 10);
    float before[VOCAB], after[VOCAB];
    size_t size;
    llama_context *c = context(s.loaded, CONTEXT, 2, NULL), *d = context(s.loaded, CONTEXT, 2, NULL);
    append(c, 0, 100, before), append(c, 1, 70, before);
    append(d, 0, LENGTH, after);
    unsigned char *state = save(d, 0, &size);
    TEST("a saved sequence cut anywhere is refused") {
        for (size_t n = 0; n < size; n += n < 300 ? 1 : 97) CHECK(refused(c, state, n, NULL));
        CHECK(refused(c, state, size - 1, "cut short"));
    }
    TEST("a bit changed anywhere is refused") {
        for (size_t i = 0; i < size; i += i < 300 ? 1 : 89) {
            state[i] ^= (unsigned char)(1 << i % 8);
            CHECK(refused(c, state, size, NULL));
            state[i] ^= (unsigned char)(1 << i % 8);
        }
    }
    TEST("another model's, and another cache's, are refused by name") {
        const subject *wrong[] = {&wider, &other, &floats, &s, &s};
        static const char *const why[] = {"head_dim", "other weights", "bytes of a number",
                                          "bytes of a number 2, here 1", "bytes of a number 2, here 4"};
        static const char *const kv_types[] = {NULL, NULL, NULL, "q8", "f32"};
        for (int i = 0; i < 5; i++) {
            kv_type = kv_types[i];
            llama_context *e = context(wrong[i]->loaded, CONTEXT, 2, NULL);
            append(e, 1, 3, after);
            CHECK(refused(e, state, size, why[i]));
            llama_context_free(e);
        }
        kv_type = NULL;
    }
    TEST("no room: too long for a sequence, and too few pages, with both numbers") {
        llama_options o = {0};
        o.n_ctx = CONTEXT, o.n_sequences = 2, o.n_ctx_sequence = LENGTH - 1, o.n_threads = 1;
        llama_context *e = llama_context_create(s.loaded, &o, &err);
        CHECK(refused(e, state, size, "149"));
        llama_context_free(e);
        e = context(s.loaded, CONTEXT, 2, NULL);
        append(e, 0, 130, after), append(e, 1, 1, after); /* three pages, and one that it may have back */
        CHECK(refused(e, state, size, "3 pages of 64 tokens are needed, 1 of 4 are free"));
        CHECK(llama_fork(e, 0, 0, 64, &err) == 0 && llama_restore(e, 1, state, size, &err) == 0);
        llama_context_free(e);
    }
    TEST("bad arguments") {
        CHECK(llama_state_bytes(c, 2) == 0 && llama_state_bytes(c, -1) == 0);
        CHECK(llama_save(c, 2, state, size, &err) == -1 && llama_restore(c, -1, state, size, &err) == -1);
        CHECK(llama_save(d, 0, state, size - 1, &err) == -1 && strstr(err.text, "needs"));
    }
    TEST("after all of that the sequence goes on with the same bits") {
        llama_context *e = context(s.loaded, CONTEXT, 1, NULL);
        append(e, 0, 70, after), append(e, 0, 1, after), append(c, 1, 1, before);
        CHECK(memcmp(before, after, sizeof before) == 0);
        llama_context_free(e);
    }
    llama_context_free(c), llama_context_free(d), free(state);
    unload(&s), unload(&wider), unload(&other), unload(&floats);
}

/* Files without a hash of their weights: it is computed, and tells one from another. */
static void test_hashes(void) {
    TEST("llama2.c's files have their weights hashed") {
        for (int version = 0; version < 3; version++) {
            const checkpoint_shape shape = {version, 32, 48, 2, 4, 2, VOCAB, CONTEXT, 0, 8};
            checkpoint one = checkpoint_make(shape, 5), two = checkpoint_make(shape, 6);
            llama_model *m[] = {llama_load_memory(one.bytes, one.size, NULL, &err),
                                llama_load_memory(two.bytes, two.size, NULL, &err)};
            llama_context *c = context(m[0], CONTEXT, 2, NULL), *d = context(m[1], CONTEXT, 2, NULL);
            float out[VOCAB];
            size_t size;
            append(c, 0, 40, out);
            unsigned char *state = save(c, 0, &size);
            CHECK(llama_restore(c, 1, state, size, &err) == 0);
            CHECK(refused(d, state, size, "other weights"));
            free(state), llama_context_free(c), llama_context_free(d), llama_free(m[0]), llama_free(m[1]);
            checkpoint_free(&one), checkpoint_free(&two);
        }
    }
}

int main(void) {
    writer_threads(1);
    test_going_on();
    test_refusals();
    test_hashes();
    return test_end();
}
