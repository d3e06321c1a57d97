/* test_tokenizer.c - the tokenizer through its header: what it encodes and decodes, what it refuses, and
 * the ids of SentencePiece itself. Run from the project's root; the files it writes it removes.
 *
 * The real tokenizers are in the directory LLAMA_TEST_DATA, or in ../shared/data. */
#if defined(__unix__) || defined(__APPLE__)
#define HAVE_POSIX
#define _XOPEN_SOURCE 700 /* pipe */
#endif

#include "test.h"

#include "../tokenizer.h"
#include "rebuilt.h"

#include <stdint.h>

#ifdef HAVE_POSIX
#include <unistd.h>
#endif

/* --- Making files in memory --- */

typedef struct {
    unsigned char p[1 << 16];
    size_t n;
} buffer;

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

static void put(buffer *b, const void *p, size_t n) {
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_u32(buffer *b, uint32_t x) {
    for (int i = 0; i < 4; i++) b->p[b->n++] = (unsigned char)(x >> 8 * i);
}

static void put_float(buffer *b, float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    put_u32(b, bits);
}

static void bin_piece(buffer *b, const char *text, float score) {
    put_float(b, score);
    put_u32(b, (uint32_t)strlen(text));
    put(b, text, strlen(text));
}

static void varint(buffer *b, uint64_t x) {
    for (; x > 127; x >>= 7) b->p[b->n++] = (unsigned char)(x | 128);
    b->p[b->n++] = (unsigned char)x;
}

static void field_varint(buffer *b, unsigned number, uint64_t x) { varint(b, number << 3), varint(b, x); }

static void field_bytes(buffer *b, unsigned number, const void *p, size_t n) {
    varint(b, number << 3 | 2), varint(b, n), put(b, p, n);
}

static void model_piece(buffer *b, const char *text, float score, unsigned type) {
    static buffer m;
    m.n = 0;
    field_bytes(&m, 1, text, strlen(text));
    varint(&m, 2 << 3 | 5), put_float(&m, score);
    if (type != NORMAL) field_varint(&m, 3, type);
    field_bytes(b, 1, m.p, m.n);
}

/* A field of one of the specs, which may come in parts. */
static void spec_varint(buffer *b, unsigned spec, unsigned number, uint64_t x) {
    static buffer m;
    m.n = 0;
    field_varint(&m, number, x);
    field_bytes(b, spec, m.p, m.n);
}

static void spec_bytes(buffer *b, unsigned spec, unsigned number, const void *p, size_t n) {
    static buffer m;
    m.n = 0;
    field_bytes(&m, number, p, n);
    field_bytes(b, spec, m.p, m.n);
}

#define TRAINER 2
#define NORMALIZER 3
#define MODEL_TYPE(b, x) spec_varint(b, TRAINER, 3, x)
#define SUFFIX(b, x) spec_varint(b, TRAINER, 24, x)
#define BYTE_FALLBACK(b, x) spec_varint(b, TRAINER, 35, x)
#define DUMMY_PREFIX(b, x) spec_varint(b, NORMALIZER, 3, x)
#define REMOVE_EXTRA(b, x) spec_varint(b, NORMALIZER, 4, x)
#define ESCAPE(b, x) spec_varint(b, NORMALIZER, 5, x)

static void byte_pieces(buffer *b, int model) {
    char text[16];
    for (int i = 0; i < 256; i++) {
        sprintf(text, "<0x%02X>", (unsigned)i);
        if (model) model_piece(b, text, 0, BYTE);
        else bin_piece(b, text, 0);
    }
}

/* Ids 0 to 258 are <unk> <s> </s> and the bytes, in both formats; tests add their own pieces from 259. */
static buffer *new_bin(void) {
    static buffer b;
    b.n = 0;
    put_u32(&b, 20);
    bin_piece(&b, "<unk>", 0), bin_piece(&b, "\n<s>\n", 0), bin_piece(&b, "\n</s>\n", 0);
    byte_pieces(&b, 0);
    return &b;
}

/* With bytes 0 there are no byte pieces, and tests add from 3. Spaces are kept unless a test says otherwise. */
static buffer *new_model(int bytes) {
    static buffer b;
    b.n = 0;
    model_piece(&b, "<unk>", 0, UNKNOWN), model_piece(&b, "<s>", 0, CONTROL), model_piece(&b, "</s>", 0, CONTROL);
    if (bytes) byte_pieces(&b, 1);
    MODEL_TYPE(&b, 2), BYTE_FALLBACK(&b, (uint64_t)bytes);
    REMOVE_EXTRA(&b, 0);
    return &b;
}

static tokenizer *load(const buffer *b) {
    tokenizer_error err = {0, ""};
    tokenizer *t = tokenizer_load_memory(b->p, b->n, 0, NULL, &err);
    if (!t) printf("not loaded: %s\n", err.text);
    CHECK(t != NULL);
    return t;
}

/* --- Encoding and decoding into static strings, to compare --- */

static const char *encoded_n(const tokenizer *t, const char *text, size_t n, int flags) {
    static char out[1 << 16];
    static int ids[1 << 13];
    char *p = out;
    ptrdiff_t count = tokenizer_encode(t, text, n, flags, ids, sizeof ids / sizeof *ids, NULL);
    *out = 0;
    CHECK(count >= 0 && (size_t)count <= tokenizer_bound(t, n));
    for (ptrdiff_t i = 0; i < count; i++) p += sprintf(p, "%d ", ids[i]);
    return out;
}

static const char *encoded(const tokenizer *t, const char *text) { return encoded_n(t, text, strlen(text), 0); }

static const char *decoded(const tokenizer *t, const int *ids, int n) { /* text without zeros */
    static char out[1 << 12];
    size_t total = 0, size;
    for (int i = 0; i < n; i++) {
        const char *p = tokenizer_decode(t, i ? ids[i - 1] : -1, ids[i], &size);
        memcpy(out + total, p, size);
        total += size;
    }
    out[total] = 0;
    return out;
}
#define DECODED(t, ...) decoded(t, (int[]){__VA_ARGS__}, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)))

/* Encodes, decodes token by token and compares. */
static int round_trip(const tokenizer *t, const char *text, size_t n, int flags) {
    size_t capacity = tokenizer_bound(t, n), at = 0, size;
    int *ids = malloc(capacity * sizeof *ids), previous = -1, same = 1;
    ptrdiff_t count = tokenizer_encode(t, text, n, flags, ids, capacity, NULL);
    if (count < 0 || (size_t)count > capacity) same = 0;
    for (ptrdiff_t i = 0; i < count && same; i++) {
        const char *p = tokenizer_decode(t, previous, ids[i], &size);
        if (size > n - at || memcmp(p, text + at, size) != 0) same = 0;
        at += size;
        previous = ids[i];
    }
    free(ids);
    return same && at == n;
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n) { /* xorshift */
    random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
    return random_state % n;
}

/* --- Encoding and decoding --- */

static void test_bin(void) {
    buffer *b = new_bin();
    /* 259.. */
    bin_piece(b, " ", -20), bin_piece(b, "a", -21), bin_piece(b, "b", -22), bin_piece(b, "c", -23);
    bin_piece(b, "ab", -2), bin_piece(b, "bc", -1), bin_piece(b, "abc", -5), bin_piece(b, " a", -3);
    bin_piece(b, " ab", -4), bin_piece(b, "aa", -6), bin_piece(b, "aaa", -7), bin_piece(b, "\xC3\xA9", -8);
    tokenizer *t = load(b);
    if (!t) return;

    TEST("bin: vocabulary, bos and end") {
        CHECK(tokenizer_vocab_size(t) == 271);
        CHECK(tokenizer_bos(t) == 1);
        CHECK(tokenizer_is_end(t, 2) && !tokenizer_is_end(t, 1) && !tokenizer_is_end(t, -1));
    }
    TEST("bin: merges in the order of scores") {
        CHECK_TEXT(encoded(t, "ab"), "267 ");           /* " a" has -3, "ab" -2, so: " " "ab", then " ab" */
        CHECK_TEXT(encoded(t, "abc"), "266 264 ");      /* "bc" goes first; "abc" then scores less than " a" */
        CHECK_TEXT(encoded(t, "cabc"), "259 262 265 "); /* no " a" here */
    }
    TEST("bin: of equal scores the leftmost") {
        CHECK_TEXT(encoded(t, "caaa"), "259 262 269 ");
        CHECK_TEXT(encoded(t, "caaaa"), "259 262 268 268 ");
        CHECK_TEXT(encoded(t, "caaaaa"), "259 262 268 269 "); /* aa aa a: the second can still grow */
    }
    TEST("bin: the space in front") {
        CHECK_TEXT(encoded(t, ""), "");
        CHECK_TEXT(encoded(t, " "), "259 259 ");
        CHECK_TEXT(encoded(t, "a"), "266 ");
        CHECK_TEXT(encoded(t, " a  "), "259 266 259 259 ");
        CHECK_TEXT(encoded(t, "\xE2\x96\x81"
                              "a"),
                   "259 266 "); /* the character that stands for a space is one */
    }
    TEST("bin: bytes for what is no piece") {
        CHECK_TEXT(encoded(t, "\xC3\xA9\xC3\xA8"), "259 270 198 171 ");
        CHECK_TEXT(encoded_n(t, "\0a\n", 3, 0), "259 3 260 13 ");
        CHECK_TEXT(encoded(t, "\xC3\xC3\xA9\xFF"), "259 198 270 258 "); /* no UTF-8: each byte as it is */
    }
    TEST("bin: no text is a control token") {
        CHECK_TEXT(encoded(t, "<s>"), "259 63 118 65 ");
        CHECK_TEXT(encoded(t, "\n<s>\n"), "259 13 63 118 65 13 ");
        CHECK_TEXT(encoded(t, "<0x41>"), "259 63 51 123 55 52 65 ");
    }
    TEST("bin: bos on request") {
        CHECK_TEXT(encoded_n(t, "a", 1, TOKENIZER_BOS), "1 266 ");
        CHECK_TEXT(encoded_n(t, "", 0, TOKENIZER_BOS), "1 ");
        CHECK_TEXT(encoded_n(t, NULL, 0, TOKENIZER_BOS), "1 ");
    }
    TEST("bin: no more ids than fit, but counts all") {
        int ids[4] = {-7, -7, -7, -7};
        CHECK(tokenizer_encode(t, "cccc", 4, TOKENIZER_BOS, ids, 3, NULL) == 6);
        CHECK(ids[0] == 1 && ids[1] == 259 && ids[2] == 262 && ids[3] == -7);
        CHECK(tokenizer_encode(t, "cccc", 4, 0, NULL, 0, NULL) == 5);
    }
    TEST("bin: a bound that cannot be is the largest number") {
        CHECK(tokenizer_bound(t, SIZE_MAX) == SIZE_MAX);
        CHECK(tokenizer_bound(t, SIZE_MAX - 1) == SIZE_MAX && tokenizer_bound(t, SIZE_MAX - 3) == SIZE_MAX - 1);
        CHECK(tokenizer_bound(t, 0) == 2 && tokenizer_bound(t, 10) == 12);
    }
    TEST("bin: decoding") {
        CHECK_TEXT(DECODED(t, 266), "a");           /* the space in front goes after nothing */
        CHECK_TEXT(DECODED(t, 1, 266, 266), "a a"); /* and after bos, */
        CHECK_TEXT(DECODED(t, 2, 266), " a");       /* not after others */
        CHECK_TEXT(DECODED(t, 259, 266), " a");     /* and only one */
        CHECK_TEXT(DECODED(t, 262, 198, 172, 2), "c\xC3\xA9");
        CHECK_TEXT(DECODED(t, 0), " \xE2\x81\x87 ");
        CHECK_TEXT(DECODED(t, -1, 271, 2147483647, -2147483647), "");
        size_t n = 9;
        CHECK(*tokenizer_decode(t, 5, 3, &n) == 0 && n == 1);
    }
    tokenizer_free(t);
}

static void test_model(void) {
    TEST("model: the same ids as from a bin") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -20, NORMAL), model_piece(b, "a", -21, NORMAL);
        model_piece(b, "b", -22, NORMAL), model_piece(b, "c", -23, NORMAL), model_piece(b, "ab", -2, NORMAL);
        model_piece(b, "bc", -1, NORMAL), model_piece(b,
                                                      "\xE2\x96\x81"
                                                      "a",
                                                      -3, NORMAL);
        tokenizer *t = load(b);
        CHECK(tokenizer_bos(t) == 1 && tokenizer_is_end(t, 2));
        CHECK_TEXT(encoded(t, "abc ab"), "265 264 259 263 ");
        CHECK_TEXT(encoded(t, "\xFF\n"), "259 258 13 ");
        CHECK_TEXT(DECODED(t, 265, 264, 265), "abc a");
        tokenizer_free(t);
    }
    TEST("model: one unknown token for a run, where there are no byte pieces") {
        buffer *b = new_model(0);
        model_piece(b, "\xE2\x96\x81", 0, NORMAL), model_piece(b, "a", 0, NORMAL);
        spec_bytes(b, TRAINER, 44, "[?]", 3);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "axyza\xFF\xFE"), "3 4 0 4 0 ");
        CHECK_TEXT(encoded(t, "x"), "3 0 ");
        CHECK_TEXT(DECODED(t, 3, 4, 0), "a[?]");
        tokenizer_free(t);
    }
    TEST("model: pieces that merge over characters that are none") {
        buffer *b = new_model(0);
        model_piece(b, "xyz", -2, NORMAL), model_piece(b, "xy", -1, NORMAL);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "xyzxyx"), "0 3 4 0 ");
        tokenizer_free(t);
    }
    TEST("model: where the space is no piece, it becomes three bytes, and the bound knows") {
        tokenizer *t = load(new_model(1));
        CHECK_TEXT(encoded(t, " "), "229 153 132 229 153 132 ");
        CHECK(tokenizer_bound(t, 1) == 7 && tokenizer_bound(t, SIZE_MAX / 3) == SIZE_MAX);
        tokenizer_free(t);
    }
    TEST("model: leading spaces of a text that a vocabulary normalises are not shown") {
        for (int remove = 0; remove < 2; remove++) {
            buffer *b = new_model(1);
            model_piece(b, "\xE2\x96\x81", -1, NORMAL), model_piece(b, "\xE2\x96\x81\x61", -2, NORMAL); /* 259, 260 */
            REMOVE_EXTRA(b, (uint64_t)remove);
            tokenizer *t = load(b);
            static const int ids[] = {1, 259, 260, 259, 260};
            char text[20];
            size_t n = 0, size;
            for (int i = 0; i < 5; i++, n += size) {
                const char *p = tokenizer_decode(t, i ? ids[i - 1] : -1, ids[i], &size);
                memcpy(text + n, p, size);
            }
            text[n] = 0;
            CHECK_TEXT(text, remove ? "a a" : " a  a");
            tokenizer_free(t);
        }
    }
    TEST("model: user-defined pieces come first, the longest, and never merge") {
        buffer *b = new_model(1);
        model_piece(b, "ab", 0, USER_DEFINED), model_piece(b, "abab", 0, USER_DEFINED); /* 259, 260 */
        model_piece(b, "a", -1, NORMAL), model_piece(b, "b", -2, NORMAL), model_piece(b, "ba", -3, NORMAL);
        model_piece(b, "bab", -4, NORMAL), model_piece(b, "\xE2\x96\x81", -5, NORMAL); /* 264, 265 */
        model_piece(b, "a b", 0, USER_DEFINED), model_piece(b, "<s>", 0, USER_DEFINED);
        model_piece(b,
                    "\xE2\x96\x81"
                    "ab",
                    0, NORMAL);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "ab"), "265 259 ");
        CHECK_TEXT(encoded(t, "ababab"), "265 260 259 ");
        CHECK_TEXT(encoded(t, "bab"), "265 262 259 ");
        CHECK_TEXT(encoded(t, "aabba"), "265 261 259 263 ");
        CHECK_TEXT(encoded(t, "a b"), "265 261 265 262 "); /* spaces are escaped first, so this is never found */
        CHECK_TEXT(encoded(t, "<s>"), "265 267 ");         /* a name that the vocabulary has as text too */
        CHECK_TEXT(DECODED(t, 265, 259, 266, 267, 1), "aba b<s>");
        tokenizer_free(t);
    }
    TEST("model: unused pieces take part in merging and are taken apart again") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL); /* 259, 260 */
        model_piece(b, "b", -9, UNUSED), model_piece(b, "ab", -1, UNUSED);
        model_piece(b, "abb", -2, NORMAL), model_piece(b, "aba", -3, UNUSED), model_piece(b, "ba", -4, NORMAL);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "ab"), "259 260 261 ");
        CHECK_TEXT(encoded(t, "abb"), "259 263 ");
        CHECK_TEXT(encoded(t, "aba"), "259 260 261 260 ");
        tokenizer_free(t);
    }
    TEST("model: extra spaces removed") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL); /* 259, 260 */
        model_piece(b, " a", 0, USER_DEFINED);
        REMOVE_EXTRA(b, 1);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "  a   a \n a  "), "259 260 259 260 259 13 259 260 ");
        CHECK_TEXT(encoded(t, " a"), "259 260 "); /* of a user-defined piece too */
        CHECK_TEXT(encoded(t, "   "), "");
        CHECK_TEXT(encoded(t, "\xE2\x96\x81"), "");
        CHECK_TEXT(encoded(t, "a\xE2\x96\x81 "), "259 260 ");
        tokenizer_free(t);
    }
    TEST("model: no space in front") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL);
        DUMMY_PREFIX(b, 0);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "a a"), "260 259 260 ");
        CHECK_TEXT(DECODED(t, 259, 260), " a");
        tokenizer_free(t);
    }
    TEST("model: the space behind") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL);
        SUFFIX(b, 1);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "a a"), "260 259 260 259 ");
        CHECK_TEXT(encoded(t, ""), "");
        tokenizer_piece pieces[261];
        for (int id = 0; id < 261; id++) CHECK(tokenizer_get_piece(t, id, &pieces[id]));
        const tokenizer_parts parts = {
            .pieces = pieces, .n_pieces = 261, .bos = -1, .add_dummy_prefix = TOKENIZER_PREFIX_NONE, .base = t};
        tokenizer *none = tokenizer_create(&parts, NULL, NULL);
        CHECK_TEXT(none ? encoded(none, "a a") : "", "260 259 260 ");
        tokenizer_free(none), tokenizer_free(t);
    }
    TEST("model: spaces as spaces") {
        buffer *b = new_model(1);
        model_piece(b, " ", -9, NORMAL), model_piece(b, "a", -9, NORMAL);
        ESCAPE(b, 0);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, " a"), "259 259 260 ");
        tokenizer_free(t);
    }
    TEST("model: bos and eos under other names, or none") {
        buffer *b = new_model(0);
        model_piece(b, "[b]", 0, CONTROL), model_piece(b, "[e]", 0, CONTROL);
        spec_bytes(b, TRAINER, 46, "[b]", 3), spec_bytes(b, TRAINER, 47, "[e]", 3);
        tokenizer *t = load(b);
        CHECK(tokenizer_bos(t) == 3 && tokenizer_is_end(t, 4) && !tokenizer_is_end(t, 2));
        tokenizer_free(t);
        spec_bytes(b, TRAINER, 46, "[none]", 6), spec_bytes(b, TRAINER, 47, "<unk>", 5);
        t = load(b);
        CHECK(tokenizer_bos(t) == -1 && !tokenizer_is_end(t, -1) && !tokenizer_is_end(t, 0));
        CHECK_TEXT(encoded_n(t, "", 0, TOKENIZER_BOS), "");
        tokenizer_free(t);
        model_piece(b, "\xE2\x96\x81<c>", 0, CONTROL);
        t = load(b);
        size_t n;
        tokenizer_decode(t, -1, 5, &n);
        CHECK(n == 0);
        tokenizer_free(t);
    }
    TEST("model: unknown fields are skipped") {
        buffer *b = new_model(0);
        model_piece(b, "\xE2\x96\x81", 0, NORMAL);
        field_varint(b, 200, UINT64_MAX), field_bytes(b, 4, "\n\0", 2), varint(b, 201 << 3 | 5), put_u32(b, 1);
        varint(b, 202 << 3 | 1), put_u32(b, 1), put_u32(b, 2), spec_varint(b, TRAINER, 11, 5);
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, " "), "3 3 ");
        tokenizer_free(t);
    }
}

/* --- Parts of a text --- */

/* The ids of two parts, the second going on where the first ended. */
static const char *in_parts(const tokenizer *t, const char *first, const char *second) {
    static char out[1 << 12];
    int n = snprintf(out, sizeof out, "%s", encoded(t, first));
    snprintf(out + n, sizeof out - (size_t)n, "%s", encoded_n(t, second, strlen(second), TOKENIZER_CONTINUE));
    return out;
}

static void test_continue(void) {
    TEST("a part goes on where another ended: no space in front, its own stay") {
        buffer *b = new_bin();
        bin_piece(b, " ", -20), bin_piece(b, "a", -21), bin_piece(b, "b", -22), bin_piece(b, " a", -3); /* 259.. */
        tokenizer *t = load(b);
        CHECK_TEXT(in_parts(t, "a", "b"), "262 261 ");
        CHECK_TEXT(in_parts(t, "a", " a"), "262 262 ");
        CHECK_TEXT(in_parts(t, "a", "  a "), "262 259 262 259 ");
        CHECK_TEXT(in_parts(t, "a", " "), "262 259 ");
        CHECK_TEXT(in_parts(t, "a", ""), "262 ");
        CHECK_TEXT(encoded_n(t, "b", 1, TOKENIZER_BOS | TOKENIZER_CONTINUE), "1 261 ");
        CHECK_TEXT(encoded_n(t, "b</s>b", 6, TOKENIZER_SPECIAL | TOKENIZER_CONTINUE), "261 2 259 261 ");
        CHECK_TEXT(encoded_n(t, "</s>b", 5, TOKENIZER_SPECIAL | TOKENIZER_CONTINUE), "2 259 261 ");
        int ids[] = {262, 261};
        CHECK_TEXT(decoded(t, ids, 2), "ab");
        tokenizer_free(t);
    }
    TEST("a part where extra spaces are removed") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL); /* 259, 260 */
        REMOVE_EXTRA(b, 1);
        tokenizer *t = load(b);
        CHECK_TEXT(in_parts(t, "a", "a"), "259 260 260 ");
        CHECK_TEXT(in_parts(t, "a", "   a"), "259 260 259 260 ");
        CHECK_TEXT(in_parts(t, "a", "a   "), "259 260 260 259 ");
        CHECK_TEXT(in_parts(t, "a", "   "), "259 260 259 ");
        CHECK_TEXT(in_parts(t, "   ", "a"), "260 ");
        CHECK_TEXT(in_parts(t, "a", "\xE2\x96\x81"), "259 260 259 ");
        tokenizer_free(t);
    }
    TEST("a part where the space is put behind") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL);
        SUFFIX(b, 1);
        tokenizer *t = load(b);
        CHECK_TEXT(in_parts(t, "a", "a"), "260 259 260 ");
        CHECK_TEXT(in_parts(t, "", "a a"), "260 259 260 ");
        tokenizer_free(t);
    }
    TEST("a part where the space is no piece: bytes within the bound") {
        tokenizer *t = load(new_model(1));
        CHECK_TEXT(encoded_n(t, "  ", 2, TOKENIZER_CONTINUE), "229 153 132 229 153 132 ");
        tokenizer_free(t);
    }
}

static void test_pieces(void) {
    TEST("a piece by its id, of every type") {
        buffer *b = new_model(1);
        model_piece(b,
                    "\xE2\x96\x81"
                    "a",
                    -3, NORMAL);
        model_piece(b, "un", -4, UNUSED), model_piece(b, "us", -5, USER_DEFINED); /* 260, 261 */
        tokenizer *t = load(b);
        static const struct {
            int id, type;
            const char *text;
            float score;
        } want[] = {{0, TOKENIZER_UNKNOWN, "<unk>", 0}, {1, TOKENIZER_CONTROL, "<s>", 0},
                    {2, TOKENIZER_CONTROL, "</s>", 0},  {3, TOKENIZER_BYTE, "<0x00>", 0},
                    {258, TOKENIZER_BYTE, "<0xFF>", 0}, {259, TOKENIZER_NORMAL, "\xE2\x96\x81\x61", -3},
                    {260, TOKENIZER_UNUSED, "un", -4},  {261, TOKENIZER_USER_DEFINED, "us", -5}};
        for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
            tokenizer_piece p = {NULL, 0, 0, 0, 0};
            CHECK(tokenizer_get_piece(t, want[i].id, &p) == 1);
            CHECK(p.type == want[i].type && p.score == want[i].score && p.size == strlen(want[i].text));
            CHECK(p.text && memcmp(p.text, want[i].text, p.size) == 0);
        }
        for (int id = 0; id < tokenizer_vocab_size(t); id++) {
            tokenizer_piece p;
            CHECK(tokenizer_get_piece(t, id, &p) && tokenizer_find(t, p.text, p.size) == id);
        }
        tokenizer_piece kept = {"kept", 4, 1, NORMAL, 0};
        static const int outside[] = {-1, 262, 2147483647, -2147483647 - 1};
        for (int i = 0; i < 4; i++) CHECK(tokenizer_get_piece(t, outside[i], &kept) == 0);
        CHECK_TEXT(kept.text, "kept");
        tokenizer_free(t);
    }
}

/* By definition: of all that can be the beginning of a character, and is no whole one, the table has a 1. */
static void test_whole(void) {
    static unsigned char begins[1 << 24]; /* by the bytes, a 1 before them in the first byte that is free */
    static unsigned char text[16] = "text";
    for (uint32_t c = 0x80; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        uint32_t first = c < 0x800 ? 0xC0 | c >> 6 : c < 0x10000 ? 0xE0 | c >> 12 : 0xF0 | c >> 18;
        int later = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        for (int i = 0; i < later; i++, first = first << 8 | 0x80 | (c >> 6 * (later - i) & 0x3F))
            begins[first & 0xFFFFFF] = (unsigned char)(i + 1);
    }
    TEST("bytes that may become a character are held back, others not") {
        int bad = 0;
        for (uint32_t x = 0; x < 1 << 24; x++) {
            uint32_t last = x & 0xFF, two = x & 0xFFFF;
            size_t held = begins[x] == 3 ? 3 : begins[two] == 2 ? 2 : begins[last] == 1 ? 1 : 0;
            if (x >> 16 < 0x7F && x >> 16 > 1) continue; /* they are all alike */
            text[4] = (unsigned char)(x >> 16), text[5] = (unsigned char)(x >> 8), text[6] = (unsigned char)x;
            bad += tokenizer_whole((const char *)text, 7) != 7 - held;
        }
        CHECK(bad == 0);
    }
    TEST("an emoji that arrives byte by byte") {
        static const char emoji[] = "\xF0\x9F\x98\x80";
        CHECK(tokenizer_whole("", 0) == 0 && tokenizer_whole(NULL, 0) == 0);
        for (size_t n = 1; n <= 4; n++) CHECK(tokenizer_whole(emoji, n) == (n < 4 ? 0 : 4));
        for (size_t n = 1; n <= 3; n++) CHECK(tokenizer_whole(emoji + 1, n) == n); /* without its beginning */
        CHECK(tokenizer_whole("a\xC3", 2) == 1 && tokenizer_whole("a\xC3\xA9", 3) == 3);
        CHECK(tokenizer_whole("\xED\xA0", 2) == 2 && tokenizer_whole("\xC0", 1) == 1);
    }
}

/* A trie of one rule, "A" to text: the root's children are at 256 ^ byte, the rule's leaf at 320. */
static size_t charsmap(unsigned char *p, const char *text, size_t n) {
    static buffer m;
    m.n = 0;
    put_u32(&m, 512 * 4);
    for (uint32_t i = 0; i < 512; i++)
        put_u32(&m, i == 0                   ? 256u << 10
                    : i == (256 ^ 'A')       ? 1u << 10 | 0x100 | 'A'
                    : i == ((256 ^ 'A') ^ 1) ? 0x80000000u | 1
                                             : 0x80000000u);
    put(&m, "\0", 1), put(&m, text, n);
    memcpy(p, m.p, m.n);
    return m.n;
}

/* A trie of one rule, n times "A" to text: node i + 1 is at base(i) ^ 'A', and base(i) at 256 + 2i. */
static size_t long_charsmap(unsigned char *p, uint32_t n, const char *text) {
    static buffer m;
    static uint32_t unit[4096];
    uint32_t node = 0;
    for (uint32_t i = 0; i < 4096; i++) unit[i] = 0x80000000u;
    for (uint32_t i = 0; i <= n; i++) {
        uint32_t base = 256 + 2 * i;
        unit[node] = (node ^ base) << 10 | (i ? 'A' : 0) | (i == n ? 0x100 : 0);
        if (i == n) unit[base] = 0x80000000u;
        node = base ^ 'A';
    }
    m.n = 0, put_u32(&m, 4 * 4096);
    for (uint32_t i = 0; i < 4096; i++) put_u32(&m, unit[i]);
    put(&m, text, strlen(text) + 1);
    memcpy(p, m.p, m.n);
    return m.n;
}

static void test_long_rules(void) {
    static unsigned char map[1 << 15];
    static char text[1002];
    TEST("rules of 1000 bytes are found and make 1000, and no more") {
        for (uint32_t n = 999; n <= 1001; n++) {
            buffer *b = new_model(1);
            model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL);
            spec_bytes(b, NORMALIZER, 2, map, long_charsmap(map, n, "a"));
            tokenizer *t = load(b);
            memset(text, 'A', n);
            ptrdiff_t count = t ? tokenizer_encode(t, text, n, 0, NULL, 0, NULL) : -1;
            CHECK(count == (n <= 1000 ? 2 : 1002));
            CHECK(t && tokenizer_encode(t, text, n - 1, 0, NULL, 0, NULL) == (ptrdiff_t)n);
            tokenizer_free(t);

            memset(text, 'a', n), text[n] = 0;
            b = new_model(1);
            model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL);
            spec_bytes(b, NORMALIZER, 2, map, long_charsmap(map, 1, text));
            t = tokenizer_load_memory(b->p, b->n, 0, NULL, NULL);
            CHECK((t != NULL) == (n <= 1000));
            if (t) CHECK(tokenizer_encode(t, "A", 1, 0, NULL, 0, NULL) == (ptrdiff_t)n + 1);
            if (t) CHECK(tokenizer_bound(t, 1) == 2 * n + 1);
            tokenizer_free(t);
        }
    }
}

static void test_rules(void) {
    static unsigned char map[4096];
    TEST("model: rules of normalisation") {
        buffer *b = new_model(1);
        model_piece(b, "\xE2\x96\x81", -9, NORMAL), model_piece(b, "a", -9, NORMAL), model_piece(b, "b", -9, NORMAL);
        model_piece(b, "bA", 0, USER_DEFINED);
        spec_bytes(b, NORMALIZER, 2, map, charsmap(map, "a b", 4));
        tokenizer *t = load(b);
        CHECK_TEXT(encoded(t, "A"), "259 260 259 261 ");
        CHECK_TEXT(encoded(t, "aAB\xFF"), "259 260 260 259 261 69 258 ");
        CHECK_TEXT(encoded(t, "AbAA"), "259 260 259 261 262 260 259 261 "); /* not inside user-defined pieces */
        CHECK_TEXT(encoded(t, "AAAAAAAAAA"), "259 260 259 261 260 259 261 260 259 261 260 259 261 260 259 261 "
                                             "260 259 261 260 259 261 260 259 261 260 259 261 260 259 261 ");
        tokenizer_free(t);
    }
    TEST("model: rules that are broken anywhere do no harm") {
        size_t n = charsmap(map, "a b", 4);
        for (int round = 0; round < 1000; round++) {
            buffer *b = new_model(0);
            model_piece(b, "a", 0, NORMAL);
            unsigned char saved[4096];
            memcpy(saved, map, n);
            for (uint32_t i = 0; i <= random_below(8); i++)
                saved[random_below((uint32_t)n)] = (unsigned char)random_below(256);
            for (uint32_t i = 0; i < 3; i++) { /* and often the units that are used */
                static const size_t unit[] = {0, 256 ^ 'A', (256 ^ 'A') ^ 1};
                if (random_below(2)) saved[4 + 4 * unit[i] + random_below(4)] = (unsigned char)random_below(256);
            }
            spec_bytes(b, NORMALIZER, 2, saved, n - random_below(2));
            tokenizer *t = tokenizer_load_memory(b->p, b->n, 0, NULL, NULL);
            if (t) encoded(t, "AAbA ABA");
            tokenizer_free(t);
        }
    }
}

/* --- Against the plain definition: quadratic, every pair looked for after each merge --- */

static int find(char pieces[][8], int n, const char *p, size_t size) {
    for (int i = 0; i < n; i++)
        if (strlen(pieces[i]) == size && memcmp(pieces[i], p, size) == 0) return i;
    return -1;
}

static const char *naive(char pieces[][8], const float *scores, int n_pieces, const char *text) {
    static char out[1 << 12], word[256];
    size_t sizes[256], n = 0;
    sprintf(word, " %s", text);
    for (; word[n]; n++) sizes[n] = 1;
    for (;;) {
        size_t best = n, at = 0;
        float best_score = -1e30f;
        for (size_t i = 0; i + 1 < n; at += sizes[i++]) {
            int id = find(pieces, n_pieces, word + at, sizes[i] + sizes[i + 1]);
            if (id >= 0 && scores[id] > best_score) best = i, best_score = scores[id];
        }
        if (best == n) break;
        sizes[best] += sizes[best + 1];
        memmove(sizes + best + 1, sizes + best + 2, (n - best - 2) * sizeof *sizes);
        n--;
    }
    char *p = out;
    *p = 0;
    for (size_t i = 0, at = 0; i < n; at += sizes[i++]) {
        int id = find(pieces, n_pieces, word + at, sizes[i]);
        p += sprintf(p, "%d ", id >= 0 ? id + 259 : (unsigned char)word[at] + 3);
    }
    return out;
}

static void test_against_naive(void) {
    TEST("the same ids as the quadratic definition") {
        for (int vocabulary = 0; vocabulary < 60; vocabulary++) {
            char pieces[60][8] = {{0}};
            float scores[60];
            int n = 0, alphabet = 2 + (int)random_below(3);
            buffer *b = new_bin();
            while (n < 60) {
                char piece[8] = " ";
                uint32_t size = n == 0 ? 1 : 1 + random_below(1 + random_below(6));
                for (uint32_t i = 0; n && i < size; i++) piece[i] = " abc"[random_below((uint32_t)alphabet)];
                if (find(pieces, n, piece, size) >= 0 && random_below(20)) continue;
                if (find(pieces, n, piece, size) >= 0) break; /* few short words: enough */
                strcpy(pieces[n], piece);
                scores[n] = -(float)random_below(12); /* many are equal */
                bin_piece(b, piece, scores[n++]);
            }
            tokenizer *t = load(b);
            for (int round = 0; t && round < 30; round++) {
                char text[64] = {0};
                for (uint32_t i = 0, size = 1 + random_below(60); i < size; i++) text[i] = " abcd"[random_below(5)];
                if (!CHECK_TEXT(encoded(t, text), naive(pieces, scores, n, text))) break;
            }
            tokenizer_free(t);
        }
    }
    TEST("every one of 200,000 pieces is found, though some of their hashes are equal") {
        enum { side = 447 };
        size_t n = 4 + 8 * 3 + 5 + 3 + 4 + (size_t)side * side * (8 + 6);
        unsigned char *file = malloc(n), *p = file;
        buffer *b = new_bin();
        b->n = 4;
        bin_piece(b, "<unk>", 0), bin_piece(b, "<s>", 0), bin_piece(b, "</s>", 0);
        memcpy(p, b->p, b->n), p += b->n;
        for (unsigned i = 0; i < side * side; i++) { /* two characters of three bytes each */
            unsigned x = 0x4E00 + i / side, y = 0x6000 + i % side * 7;
            unsigned char piece[14] = {0, 0, 0, 0, 6, 0, 0, 0};
            piece[8] = (unsigned char)(0xE0 | x >> 12), piece[11] = (unsigned char)(0xE0 | y >> 12);
            piece[9] = (unsigned char)(0x80 | (x >> 6 & 63)), piece[12] = (unsigned char)(0x80 | (y >> 6 & 63));
            piece[10] = (unsigned char)(0x80 | (x & 63)), piece[13] = (unsigned char)(0x80 | (y & 63));
            memcpy(p, piece, 14), p += 14;
        }
        tokenizer *t = tokenizer_load_memory(file, (size_t)(p - file), 0, NULL, NULL);
        int bad = !t;
        for (int i = 0; t && i < side * side; i++) {
            int ids[3] = {0};
            const char *text = (const char *)p - ((size_t)(side * side - i) * 14 - 8);
            if (tokenizer_encode(t, text, 6, 0, ids, 3, NULL) != 2 || ids[0] != 0 || ids[1] != 3 + i) bad++;
        }
        CHECK(bad == 0);
        tokenizer_free(t);
        free(file);
    }
}

/* --- What is refused --- */

static const char *refusal(const void *p, size_t n, int vocab_size) {
    static tokenizer_error err;
    strcpy(err.text, "(accepted)");
    err.code = -7;
    tokenizer *t = tokenizer_load_memory(p, n, vocab_size, NULL, &err);
    CHECK((t == NULL) == (strcmp(err.text, "(accepted)") != 0));
    CHECK(err.code == (t ? -7 : TOKENIZER_BAD_FILE));
    CHECK(strchr(err.text, '\n') == NULL);
    tokenizer_free(t);
    return err.text;
}

static const char *refused(const buffer *b) { return refusal(b->p, b->n, 0); }

/* A bin whose second piece has a length that it does not have. */
static buffer *bin_claims(uint32_t longest, uint32_t length) {
    static buffer b;
    b.n = 0, put_u32(&b, longest), bin_piece(&b, "<unk>", 0), put_u32(&b, 0), put_u32(&b, length);
    return &b;
}

static void test_malformed_bin(void) {
    TEST("malformed bin") {
        buffer *b;
        CHECK_TEXT(refusal("", 0, 0), "the file is empty");
        CHECK_TEXT(refusal("\x05\0", 2, 0), "neither a tokenizer.bin nor a SentencePiece .model; it starts with \"?\"");
        CHECK_TEXT(refusal("\x05\0\0\0", 4, 0), "0 pieces: <unk>, <s> and </s> are missing");
        CHECK_TEXT(refusal("<!DOCTYPE html>\n<html>", 22, 0),
                   "neither a tokenizer.bin nor a SentencePiece .model; it starts with \"<!DOCTYPE html>?<htm\"");
        CHECK_TEXT(refusal("{\n  \"version\": \"1.0\"", 20, 0),
                   "neither a tokenizer.bin nor a SentencePiece .model; it starts with \"{?  \"version\": \"1.0\"\"");
        CHECK_TEXT(refusal("\xFFzip\xC3\xA9\xC3\x7F", 8, 0),
                   "neither a tokenizer.bin nor a SentencePiece .model; it starts with \"?zip\xC3\xA9??\"");
        b = new_bin(), bin_piece(b, "the", -1);
        CHECK_TEXT(refusal(b->p, b->n, 260), "(accepted)");
        CHECK_TEXT(refusal(b->p, b->n, 32000), "260 pieces, but the model has a vocab_size of 32000");
        CHECK_TEXT(refusal(b->p, b->n, -1), "260 pieces, but the model has a vocab_size of -1");
        bin_piece(b, "", -1);
        CHECK_TEXT(refused(b), "piece 260 is empty");
        b = new_bin(), bin_piece(b, "the", -1), bin_piece(b, "<s>", 0), bin_piece(b, "the", -2);
        CHECK_TEXT(refused(b), "piece 261, \"the\", is also piece 259");
        b = new_bin(), bin_piece(b, "the", (float)NAN);
        CHECK_TEXT(refused(b), "piece 259: the score is not a number");
        b = new_bin(), bin_piece(b, "the", -(float)INFINITY);
        CHECK_TEXT(refused(b), "piece 259: the score is not a number");
        b = new_bin(), bin_piece(b, "a piece of 21 letters", 0);
        CHECK_TEXT(refused(b), "piece 259 has length 21, but max_token_length is 20");
        b = new_bin(), put_u32(b, 0), put_u32(b, 0xFFFFFFFF);
        CHECK_TEXT(refused(b), "piece 259 has length -1, but max_token_length is 20");
        CHECK_TEXT(refused(bin_claims(20, 0x7FFFFFFF)), "piece 1 has length 2147483647, but max_token_length is 20");
        CHECK_TEXT(refused(bin_claims(20, 0x80000000)), "piece 1 has length -2147483648, but max_token_length is 20");
        CHECK_TEXT(refused(bin_claims(0xFFFF, 0xFFFFFFFF)), "piece 1 has length -1, but max_token_length is 65535");
        CHECK_TEXT(refused(bin_claims(0xFFFF, 0x10000)), "piece 1 has length 65536, but max_token_length is 65535");
        b = new_bin(), put_u32(b, 0), put_u32(b, 7), put(b, "abc", 3);
        CHECK_TEXT(refused(b), "piece 259 has length 7, but the file ends after 3");
        b = new_bin(), put_u32(b, 0), put(b, "\3\0\0", 3);
        CHECK_TEXT(refused(b), "piece 259 is cut off: the file ends in its score or length");
        b = new_bin(), bin_piece(b, "<0xZZ>", 0);
        CHECK_TEXT(refused(b), "piece 259, \"<0xZZ>\", names no byte");
        b = new_bin(), bin_piece(b, "<0x-1>", 0);
        CHECK_TEXT(refused(b), "piece 259, \"<0x-1>\", names no byte");
        b = new_bin(), bin_piece(b, "<0x0A>", 0);
        CHECK_TEXT(refused(b), "piece 259, <0x0A>, is also piece 13");
        b = new_bin(), b->n = 4, bin_piece(b, "<unk>", 0), bin_piece(b, "the", 0);
        CHECK_TEXT(refused(b), "piece 1 is \"the\", not <s>");
        b = new_bin(), b->n = 4, bin_piece(b, "<unk>", 0), bin_piece(b, "<s>", 0), bin_piece(b, "<s>", 0);
        CHECK_TEXT(refused(b), "piece 2 is \"<s>\", not </s>");
        b->n -= 11, bin_piece(b, "</s>", 0), bin_piece(b, "<0x41>", 0);
        CHECK_TEXT(refused(b), "1 byte pieces of 256");
    }
}

static void test_largest(void) {
    enum { MOST = 64 << 20 };
    TEST("a file of 64 MB may be a tokenizer, a larger one not") {
        unsigned char *file = calloc(1, MOST + 1);
        if (!CHECK(file)) exit(1);
        memcpy(file, "text", 4);
        CHECK(strstr(refusal(file, MOST, 0), "neither a tokenizer.bin nor"));
        CHECK_TEXT(refusal(file, MOST + 1, 0), "more than 67108864 bytes: too many for a tokenizer");
        free(file);
        const char *path = "tests/test_tokenizer.tmp";
        for (int over = 0; over < 2; over++) {
            tokenizer_error err = {0, ""};
            FILE *f = fopen(path, "wb");
            CHECK(f && fputs("text", f) >= 0 && fseek(f, MOST - 1 + over, SEEK_SET) == 0 && putc(0, f) == 0);
            CHECK(f && fclose(f) == 0);
            CHECK(tokenizer_load(path, 0, NULL, &err) == NULL);
            CHECK(strstr(err.text, over ? "more than 67108864 bytes" : "neither a tokenizer.bin nor"));
        }
        remove(path);
    }
}

/* A file may hold a piece as long as a tokenizer.bin has them, but not claim one. */
static void test_long_piece(void) {
    enum { LENGTH = 0xFFFF, HEAD = 4 + 3 * 8 + 5 + 3 + 4 };
    TEST("a piece of 64 KB, there or not") {
        unsigned char *file = calloc(1, HEAD + 8 + LENGTH), *p = file;
        char *text = malloc(LENGTH);
        buffer *b = new_bin();
        if (!CHECK(file && text)) exit(1);
        b->n = 0, put_u32(b, LENGTH), bin_piece(b, "<unk>", 0), bin_piece(b, "<s>", 0), bin_piece(b, "</s>", 0);
        memcpy(p, b->p, b->n), p += b->n;
        b->n = 0, put_u32(b, 0), put_u32(b, LENGTH);
        memcpy(p, b->p, b->n), p += b->n;
        for (int i = 0; i < LENGTH; i++) p[i] = (unsigned char)(text[i] = (char)('a' + i % 26));
        CHECK_TEXT(refusal(file, (size_t)(p - file) + LENGTH, 0), "(accepted)");
        CHECK_TEXT(refusal(file, 160, 0), "piece 3 has length 65535, but the file ends after 112");
        tokenizer *t = tokenizer_load_memory(file, (size_t)(p - file) + LENGTH, 4, NULL, NULL);
        size_t size = 0;
        CHECK(t && tokenizer_find(t, text, LENGTH) == 3);
        CHECK(t && tokenizer_decode(t, 1, 3, &size) && size == LENGTH);
        CHECK(t && tokenizer_encode(t, text, LENGTH, 0, NULL, 0, NULL) > 0);
        tokenizer_free(t), free(file), free(text);
    }
}

static void test_malformed_model(void) {
    TEST("malformed model") {
        buffer *b;
        static unsigned char map[4096];
        static char big[1200];
        memset(big, 'x', sizeof big - 1);
        b = new_model(0), MODEL_TYPE(b, 1);
        CHECK_TEXT(refused(b), "trainer_spec.model_type is 1 (UNIGRAM), only 2 (BPE) is supported");
        b->n = 0, model_piece(b, "<unk>", 0, UNKNOWN);
        CHECK_TEXT(refused(b), "trainer_spec.model_type is 1 (UNIGRAM), only 2 (BPE) is supported");
        static const char *const types[] = {"0 (?)", "1 (UNIGRAM)", NULL, "3 (WORD)", "4 (CHAR)", "5 (?)"};
        for (uint64_t i = 0; i <= 5; i++) {
            char want[100];
            if (i == 2) continue;
            sprintf(want, "trainer_spec.model_type is %s, only 2 (BPE) is supported", types[i]);
            MODEL_TYPE(b, i);
            CHECK_TEXT(refused(b), want);
        }
        MODEL_TYPE(b, UINT64_C(1) << 31);
        CHECK_TEXT(refused(b), "trainer_spec.model_type is -1 (?), only 2 (BPE) is supported");
        MODEL_TYPE(b, 77);
        CHECK_TEXT(refused(b), "trainer_spec.model_type is 77 (?), only 2 (BPE) is supported");
        b = new_model(0), b->n = 0, model_piece(b, "a", 0, NORMAL), MODEL_TYPE(b, 2);
        CHECK_TEXT(refused(b), "no piece is of type UNKNOWN");
        b = new_model(0), model_piece(b, "x", 0, UNKNOWN);
        CHECK_TEXT(refused(b), "piece 3 is of type UNKNOWN, and so is piece 0");
        CHECK_TEXT(refusal(b->p, b->n, 5), "4 pieces, but the model has a vocab_size of 5");
        b = new_model(0), model_piece(b, "", 0, NORMAL);
        CHECK_TEXT(refused(b), "piece 3 is empty");
        b = new_model(0), model_piece(b, "x", 0, NORMAL), model_piece(b, "x", 0, USER_DEFINED);
        CHECK_TEXT(refused(b), "piece 4, \"x\", is also piece 3");
        b = new_model(0), model_piece(b, "</s>", 0, CONTROL);
        CHECK_TEXT(refused(b), "piece 3, \"</s>\", is also piece 2");
        b = new_model(0), model_piece(b, "x", (float)NAN, NORMAL);
        CHECK_TEXT(refused(b), "piece 3: the score is not a number");
        b = new_model(0), model_piece(b, "x", 0, 7);
        CHECK_TEXT(refused(b), "piece 3 has type 7");
        b = new_model(0), model_piece(b, "x", 0, 0);
        CHECK_TEXT(refused(b), "piece 3 has type 0");
        b = new_model(0), model_piece(b, "<0x00>", 0, BYTE);
        CHECK_TEXT(refused(b), "piece 3 is of type BYTE, but trainer_spec.byte_fallback is false");
        BYTE_FALLBACK(b, 1);
        CHECK_TEXT(refused(b), "1 byte pieces of 256");
        b = new_model(1), model_piece(b, "<0x-1>", 0, BYTE);
        CHECK_TEXT(refused(b), "piece 259, \"<0x-1>\", names no byte");
        b = new_model(1), model_piece(b, "<0x0a>", 0, BYTE);
        CHECK_TEXT(refused(b), "piece 259, \"<0x0a>\", names no byte");
        char name[50], want[100]; /* of a text at most 40 bytes are shown */
        for (int n = 39; n <= 41; n++) {
            sprintf(name, "%.*s", n, big);
            sprintf(want, "piece 4, \"%.*s\", is also piece 3", n < 40 ? n : 40, big);
            b = new_model(0), model_piece(b, name, 0, NORMAL), model_piece(b, name, 0, NORMAL);
            CHECK_TEXT(refused(b), want);
        }
        b = new_model(0), model_piece(b, big, 0, USER_DEFINED);
        CHECK_TEXT(refused(b), "piece 3 is of type USER_DEFINED and 1199 bytes long, more than 1000");
        b = new_model(0), field_varint(b, 1, 5);
        CHECK_TEXT(refused(b), "a part of a SentencePiece model has wire type 0, not 2");
        b = new_model(0), field_bytes(b, 1, "\x08\x01", 2);
        CHECK_TEXT(refused(b), "piece 3 has wire type 0, not 2");
        b = new_model(0), field_bytes(b, 1, "\x0A\x05xyz", 5);
        CHECK_TEXT(refused(b), "piece 3: malformed or cut off");
        b = new_model(0), field_bytes(b, 1, "\x0B", 1); /* the start of a group */
        CHECK_TEXT(refused(b), "piece 3: malformed or cut off");
        b = new_model(0), spec_bytes(b, TRAINER, 3, "x", 1);
        CHECK_TEXT(refused(b), "trainer_spec.model_type has wire type 2, not 0");
        b = new_model(0), field_bytes(b, TRAINER, "\x18", 1);
        CHECK_TEXT(refused(b), "field 2 is malformed or cut off");
        b = new_model(0), b->n = 0, put(b, "\x0A\x7Fxyz", 5);
        CHECK_TEXT(refused(b), "malformed or cut off at byte 0");
        b->n = 0, put(b, "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01xyz", 14); /* a length of 2^64 - 1 */
        CHECK_TEXT(refused(b), "malformed or cut off at byte 0");
        b->n = 0, put(b, "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01xyz", 15); /* more than ten bytes */
        CHECK_TEXT(refused(b), "malformed or cut off at byte 0");
        b = new_model(0), varint(b, 0), varint(b, 0);
        CHECK(strstr(refused(b), "malformed or cut off at byte ") != NULL);
        b = new_model(0), spec_bytes(b, NORMALIZER, 2, "abc", 3);
        CHECK_TEXT(refused(b), "normalizer_spec.precompiled_charsmap: 3 bytes with a trie of 0");
        static const struct {
            const char *map;
            size_t size;
            int trie;
        } maps[] = {{"\0\0\0\0\0", 5, 0},        {"\4\0\0\0???\0", 8, 4},     {"\4\0\0\0???", 7, 4},
                    {"\5\0\0\0?????x\0", 11, 5}, {"\6\0\0\0??????\0", 11, 6}, {"\4\0\0\0????x", 9, 4}};
        for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
            sprintf(want, "normalizer_spec.precompiled_charsmap: %d bytes with a trie of %d", (int)maps[i].size,
                    maps[i].trie);
            b = new_model(0), spec_bytes(b, NORMALIZER, 2, maps[i].map, maps[i].size);
            CHECK_TEXT(refused(b), want);
        }
        b = new_model(0), spec_bytes(b, NORMALIZER, 2, "\4\0\0\0\0\0\0\0\0", 9);
        CHECK_TEXT(refused(b), "(accepted)");
        b = new_model(0), spec_bytes(b, NORMALIZER, 2, map, charsmap(map, big, sizeof big));
        CHECK_TEXT(refused(b), "normalizer_spec.precompiled_charsmap has a rule of 1199 bytes, more than 1000");
        b = new_model(0), spec_bytes(b, 5, 2, "abc", 3);
        CHECK_TEXT(refused(b), "denormalizer_spec.precompiled_charsmap of 3 bytes is not supported");
    }
}

static void test_path(void) {
    TEST("files by path") {
        const char *path = "tests/test_tokenizer.tmp";
        char name[400];
        tokenizer_error err;
        CHECK(tokenizer_load("tests/no-such-file", 0, NULL, &err) == NULL && err.code == TOKENIZER_BAD_FILE);
        CHECK(strncmp(err.text, "tests/no-such-file: cannot open: ", 33) == 0);
        CHECK(tokenizer_load("tests/no-such-file", 0, NULL, NULL) == NULL);
        memset(name, 'n', sizeof name), name[sizeof name - 1] = 0;
        CHECK(tokenizer_load(name, 0, NULL, &err) == NULL && strstr(err.text, "n: cannot open: ") != NULL);
        for (size_t n = 119; n <= 122; n++) { /* of a long path its last 120 bytes are shown */
            memset(name, 'n', n), name[0] = '/', name[n] = 0;
            CHECK(tokenizer_load(name, 0, NULL, &err) == NULL);
            const char *shown = n > 120 ? name + n - 120 : name;
            CHECK(strncmp(err.text, "...", 3) == 0 ? n > 120 && strncmp(err.text + 3, shown, 120) == 0
                                                   : n <= 120 && strncmp(err.text, shown, n) == 0);
            CHECK(strcspn(err.text, ":") == (n > 120 ? 123 : n));
        }

        buffer *b = new_bin();
        for (int i = 0; i < 3000; i++) sprintf(name, "piece %d", i), bin_piece(b, name, 0);
        FILE *f = fopen(path, "wb");
        CHECK(f && fwrite(b->p, 1, b->n, f) == b->n && fclose(f) == 0);
        tokenizer *t = tokenizer_load(path, 3259, NULL, NULL);
        CHECK(t && tokenizer_vocab_size(t) == 3259);
        tokenizer_free(t);
        CHECK(tokenizer_load(path, 7, NULL, &err) == NULL);
        CHECK_TEXT(err.text, "tests/test_tokenizer.tmp: 3259 pieces, but the model has a vocab_size of 7");
        f = fopen(path, "wb");
        CHECK(f && fclose(f) == 0);
        CHECK(tokenizer_load(path, 0, NULL, &err) == NULL);
        CHECK_TEXT(err.text, "tests/test_tokenizer.tmp: the file is empty");
        remove(path);
    }
}

/* --- .llama files --- */

enum { LLAMA_HEADER = 128, LLAMA_GAP = 1000, LLAMA_WEIGHTS = 3000 };

static void put_u64_at(unsigned char *p, uint64_t x) {
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(x >> 8 * i);
}

/* The header, a gap, a tokenizer of size bytes, and what may be weights; all else is 0xEE. */
static buffer *new_llama(size_t *size) {
    static buffer b;
    tokenizer *t = load(new_bin());
    *size = tokenizer_save(t, NULL, 0);
    memset(b.p, 0xEE, sizeof b.p);
    memcpy(b.p, "llama.c\n", 8);
    put_u64_at(b.p + 56, LLAMA_HEADER + LLAMA_GAP), put_u64_at(b.p + 64, *size);
    tokenizer_save(t, b.p + LLAMA_HEADER + LLAMA_GAP, *size);
    b.n = LLAMA_HEADER + LLAMA_GAP + *size + LLAMA_WEIGHTS;
    tokenizer_free(t);
    return &b;
}

static int write_tmp(const void *p, size_t n, long at) {
    FILE *f = fopen("tests/test_tokenizer.tmp", at ? "r+b" : "wb");
    if (!f) return 0;
    int done = fseek(f, at, SEEK_SET) == 0 && fwrite(p, 1, n, f) == n;
    return (fclose(f) == 0) & done;
}

/* What a .llama file is refused for, by its path and from memory alike. */
static const char *refused_llama(const buffer *b) {
    static tokenizer_error err;
    void *exact = malloc(b->n ? b->n : 1);
    strcpy(err.text, "(accepted)");
    memcpy(exact, b->p, b->n);
    CHECK(write_tmp(b->p, b->n, 0));
    tokenizer *t = tokenizer_load("tests/test_tokenizer.tmp", 0, NULL, &err);
    const char *path = "tests/test_tokenizer.tmp: ", *text = err.text;
    if (!t && CHECK(strncmp(text, path, strlen(path)) == 0)) text += strlen(path);
    CHECK_TEXT(refusal(exact, b->n, 0), text);
    tokenizer_free(t), free(exact);
    return text;
}

static const char *refused_numbers(uint64_t offset, uint64_t size) {
    size_t right;
    buffer *b = new_llama(&right);
    put_u64_at(b->p + 56, offset), put_u64_at(b->p + 64, size);
    return refused_llama(b);
}

static void test_llama(void) {
    enum { AT = LLAMA_HEADER + LLAMA_GAP };
    const char *path = "tests/test_tokenizer.tmp";
    size_t size;
    buffer *b = new_llama(&size);
    char text[100];
    TEST(".llama: its tokenizer, from a file and from memory") {
        CHECK(write_tmp(b->p, b->n, 0));
        for (int way = 0; way < 2; way++) {
            tokenizer *t =
                way ? tokenizer_load_memory(b->p, b->n, 259, NULL, NULL) : tokenizer_load(path, 259, NULL, NULL);
            if (!CHECK(t)) continue;
            CHECK_TEXT(encoded_n(t, "a", 1, TOKENIZER_BOS), "1 229 153 132 100 ");
            CHECK(tokenizer_vocab_size(t) == 259 && tokenizer_is_end(t, 2));
            tokenizer_free(t);
        }
        b->p[8] = 77; /* another version of the format has it in the same place */
        CHECK_TEXT(refused_llama(b), "(accepted)");
        b->n = AT + size; /* it may end the file */
        CHECK_TEXT(refused_llama(b), "(accepted)");
    }
    TEST(".llama: hostile numbers") {
        CHECK_TEXT(refused_numbers(0, 0), "the tokenizer's size is 0: this .llama file holds none");
        CHECK_TEXT(refused_numbers(AT, 0), "the tokenizer's size is 0: this .llama file holds none");
        CHECK_TEXT(refused_numbers(71, size), "the tokenizer's offset is 71, inside the header");
        CHECK_TEXT(refused_numbers(0, size), "the tokenizer's offset is 0, inside the header");
        CHECK(strstr(refused_numbers(72, size), "neither a tokenizer.bin nor"));
        CHECK_TEXT(refused_numbers(AT, (64 << 20) + 1), "the tokenizer's size is 67108865, more than 67108864");
        CHECK_TEXT(refused_numbers(AT, UINT64_MAX), "the tokenizer's size is 18446744073709551615, more than 67108864");
        CHECK_TEXT(refused_numbers(AT, UINT64_C(1) << 32), "the tokenizer's size is 4294967296, more than 67108864");
        CHECK_TEXT(refused_numbers(AT, 64 << 20), "the tokenizer takes bytes 1128 + 67108864, beyond the file's end");
        static const uint64_t far[] = {100000, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX};
        for (int i = 0; i < 4; i++) {
            static const char takes[] = "the tokenizer takes bytes ";
            const char *got = refused_numbers(far[i], size);
            CHECK(strncmp(got, takes, sizeof takes - 1) == 0 && strstr(got, ", beyond the file's end"));
            CHECK(strtoull(got + sizeof takes - 1, NULL, 10) == far[i]);
        }
        uint64_t last = AT + LLAMA_WEIGHTS; /* where a tokenizer of that size would just fit */
        CHECK(strstr(refused_numbers(last, size), "neither a tokenizer.bin nor"));
        CHECK(strstr(refused_numbers(last + 1, size), "beyond the file's end"));
    }
    TEST(".llama: cut short anywhere") {
        b = new_llama(&size);
        for (b->n = 8; b->n < AT + size; b->n += b->n < 80 ? 1 : 97) {
            const char *got = refused_llama(b);
            sprintf(text, "cut off: %d bytes, fewer than a .llama file's header has", (int)b->n);
            if (b->n < 72) CHECK_TEXT(got, text);
            else CHECK(strstr(got, ", beyond the file's end"));
        }
        b->n = AT + size - 1;
        CHECK(strstr(refused_llama(b), ", beyond the file's end"));
    }
    TEST(".llama: gigabytes are not read") {
        /* Around where one step of a seek ends. */
        for (long at = 72 + (1L << 30) - 1; at <= 72 + (1L << 30) + 1; at++) {
            b = new_llama(&size);
            put_u64_at(b->p + 56, (uint64_t)at);
            if (!CHECK(write_tmp(b->p, b->n, 0) && write_tmp(b->p + AT, size, at))) break;
            tokenizer_error err = {0, ""};
            tokenizer *t = tokenizer_load(path, 0, NULL, &err);
            CHECK_TEXT(err.text, "");
            CHECK(t && tokenizer_vocab_size(t) == 259);
            tokenizer_free(t);
        }
    }
#ifdef HAVE_POSIX
    TEST(".llama: from a pipe, whole and cut short") {
        for (int cut = 0; cut < 2; cut++) {
            int fd[2];
            char name[32];
            tokenizer_error err = {0, ""};
            b = new_llama(&size);
            if (!CHECK(pipe(fd) == 0)) break;
            size_t n = cut ? AT + size - 1 : b->n;
            CHECK(write(fd[1], b->p, n) == (ssize_t)n);
            close(fd[1]);
            snprintf(name, sizeof name, "/dev/fd/%d", fd[0]);
            tokenizer *t = tokenizer_load(name, 0, NULL, &err);
            CHECK((t == NULL) == cut && (strstr(err.text, "beyond the file's end") != NULL) == cut);
            if (t) CHECK_TEXT(encoded(t, "a"), "229 153 132 100 ");
            tokenizer_free(t);
            close(fd[0]);
        }
    }
#endif
    remove(path);
}

/* Whatever was loaded must work. */
static void use(const tokenizer *t) {
    size_t n;
    encoded(t, "<s>abc ab\xC3\xA9 \xE2\x96\x81\xFF the");
    for (int id = -1; id <= tokenizer_vocab_size(t); id++) tokenizer_decode(t, id - 1, id, &n);
}

static buffer *small_file(int model) {
    buffer *b = model ? new_model(1) : new_bin();
    const char *pieces[] = {"\xE2\x96\x81", "a", "b", "ab", "\xE2\x96\x81\x61", "\xC3\xA9", "th", "the"};
    for (unsigned i = 0; i < sizeof pieces / sizeof *pieces; i++)
        if (model) model_piece(b, pieces[i], -(float)i, i == 3 ? UNUSED : i == 6 ? USER_DEFINED : NORMAL);
        else bin_piece(b, i == 0 ? " " : i == 4 ? " a" : pieces[i], -(float)i);
    return b;
}

static void test_parts(void) {
    static const char map[] = "\4\0\0\0\0\0\0\0x"; /* a trie that finds nothing, and one rule */
    TEST("a tokenizer tells all that it takes to make it again") {
        tokenizer_parts parts;
        tokenizer_rules rules;
        buffer *b = small_file(1);
        spec_bytes(b, NORMALIZER, 2, map, sizeof map), spec_bytes(b, TRAINER, 44, "[?]", 3);
        ESCAPE(b, 0), SUFFIX(b, 1);
        tokenizer *t = load(b);
        tokenizer_get_parts(t, &parts), tokenizer_get_rules(t, &rules);
        CHECK(parts.kind == TOKENIZER_SENTENCEPIECE && parts.n_pieces == tokenizer_vocab_size(t) && !parts.pieces);
        CHECK(parts.bos == 1 && parts.add_bos && parts.n_ends == 1 && parts.ends[0] == 2 && parts.base == t);
        CHECK(parts.n_merges == 0 && !parts.merges && tokenizer_get_merges(t, NULL) == -1);
        CHECK(rules.charsmap_size == sizeof map && !memcmp(rules.charsmap, map, sizeof map));
        CHECK(rules.unknown_size == 3 && !memcmp(rules.unknown, "[?]", 3));
        CHECK(!rules.escape_spaces && rules.space_is_suffix);
        CHECK(is_rebuilt(t));
        tokenizer_free(t);
        t = load(small_file(0));
        tokenizer_get_rules(t, &rules);
        CHECK(!rules.charsmap && !rules.charsmap_size && rules.escape_spaces && !rules.space_is_suffix);
        CHECK(is_rebuilt(t));
        tokenizer_free(t);
    }
}

static void test_hostile(void) {
    for (int model = 0; model < 2; model++) {
        TEST(model ? "every truncation of a model" : "every truncation of a bin") {
            buffer *b = small_file(model);
            int accepted = 0;
            for (size_t n = 0; n < b->n; n++) {
                void *exact = malloc(n ? n : 1); /* so that a read beyond it is seen */
                memcpy(exact, b->p, n);
                tokenizer_error err = {0, ""};
                tokenizer *t = tokenizer_load_memory(exact, n, 0, NULL, &err);
                free(exact);
                if (t) use(t), accepted++;
                else CHECK(err.text[0] != 0);
                tokenizer_free(t);
            }
            /* Only what is a whole vocabulary: 2 that end before the eight pieces (a bin without its bytes or
             * with them; a model, whose specs stand before these pieces, with one spec less or with all), and
             * 7 that end between them. */
            CHECK(accepted == 9);
        }
        TEST(model ? "mutations of a model" : "mutations of a bin") {
            for (int round = 0; round < 2000; round++) {
                buffer *b = small_file(model);
                size_t n = b->n;
                for (uint32_t i = 0; i <= random_below(4); i++) {
                    uint32_t at = random_below(3) ? (uint32_t)n - 1 - random_below(160) : random_below((uint32_t)n);
                    b->p[at] = random_below(2) ? (unsigned char)random_below(256) : b->p[random_below((uint32_t)n)];
                }
                if (random_below(4) == 0) n -= random_below(100);
                tokenizer *t = tokenizer_load_memory(b->p, n, 0, NULL, NULL);
                if (t) use(t);
                tokenizer_free(t);
            }
        }
    }
}

/* --- An allocator that counts and fails --- */

typedef struct {
    int live, calls, fail_at;
} counter;

static void *counted_alloc(void *user, size_t size) {
    counter *c = user;
    void *p = c->calls++ == c->fail_at ? NULL : malloc(size);
    if (p) c->live++;
    return p;
}

static void counted_release(void *user, void *p) {
    ((counter *)user)->live--;
    free(p);
}

static void test_allocations(void) {
    TEST("every allocation failing in turn") {
        static unsigned char map[4096];
        buffer *b = small_file(1);
        spec_bytes(b, NORMALIZER, 2, map, charsmap(map, "a b", 4));
        const char *path = "tests/test_tokenizer.tmp";
        FILE *f = fopen(path, "wb");
        CHECK(f && fwrite(b->p, 1, b->n, f) == b->n && fclose(f) == 0);
        int done = 0;
        for (int fail_at = 0; !done && fail_at < 50; fail_at++) {
            counter c = {0, 0, fail_at};
            tokenizer_allocator a = {counted_alloc, counted_release, &c};
            tokenizer_error err = {0, ""};
            int ids[20];
            tokenizer *t = tokenizer_load(path, 0, &a, &err);
            ptrdiff_t n = t ? tokenizer_encode(t, "ab the", 6, 0, ids, 20, &err) : -1;
            if (n < 0) CHECK(strstr(err.text, "no memory for ") != NULL && err.code == TOKENIZER_NO_MEMORY);
            else CHECK(c.calls == fail_at), done = 1;
            tokenizer_free(t);
            CHECK(c.live == 0);
        }
        CHECK(done);
        remove(path);
    }
}

/* --- Long texts, and any bytes --- */

static void test_long(void) {
    size_t n = 1 << 20;
    char *text = malloc(n);
    buffer *b = new_bin();
    bin_piece(b, " ", -9), bin_piece(b, "a", -9), bin_piece(b, "aa", -1), bin_piece(b, "aaaa", -2);
    bin_piece(b, "b", -9), bin_piece(b, "ab", -3);
    tokenizer *t = load(b);
    TEST("a megabyte of one letter") {
        memset(text, 'a', n);
        CHECK(round_trip(t, text, n, 0));
    }
    TEST("long texts of words, of spaces, of zeros") {
        n /= 4;
        for (size_t i = 0; i < n; i++) text[i] = " aabb"[random_below(5)];
        CHECK(round_trip(t, text, n, TOKENIZER_BOS));
        memset(text, ' ', n);
        CHECK(round_trip(t, text, n, 0));
        memset(text, 0, n);
        CHECK(round_trip(t, text, n, 0));
    }
    tokenizer_free(t);
    free(text);
}

/* Random bytes, but not the three that stand for a space: those decode to a space. */
static void random_bytes(char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        text[i] = (char)(random_below(2) ? random_below(256) : random_below(4) ? 32 + random_below(95) : ' ');
        if (i > 1 && memcmp(text + i - 2, "\xE2\x96\x81", 3) == 0) text[i] = 'x';
    }
}

static void test_round_trip(const tokenizer *t) {
    char text[200];
    int bad = 0;
    for (int round = 0; round < 2000; round++) {
        size_t n = random_below(sizeof text);
        random_bytes(text, n);
        if (!round_trip(t, text, n, round & TOKENIZER_BOS)) bad++;
    }
    CHECK(bad == 0);
}

/* --- SentencePiece's own ids --- */

static const struct {
    const char *text;
    size_t size;
    const char *ids;
} cases[] = {
#define CASE(text, ids) {text, sizeof text - 1, ids},
#include "tokenizer_cases.inc"
#undef CASE
};

static void test_data(const char *file) {
    char path[1000], name[100];
    const char *data = getenv("LLAMA_TEST_DATA");
    snprintf(name, sizeof name, "the ids of SentencePiece with %s", file);
    snprintf(path, sizeof path, "%s/%s", data ? data : "../shared/data", file);
    FILE *f = fopen(path, "rb");
    if (!f) {
        SKIP(name, "no LLAMA_TEST_DATA and no ../shared/data");
        return;
    }
    fclose(f);
    TEST(name) {
        tokenizer_error err = {0, ""};
        tokenizer *t = tokenizer_load(path, 32000, NULL, &err);
        CHECK_TEXT(err.text, "");
        for (size_t i = 0; t && i < sizeof cases / sizeof *cases; i++) {
            if (!CHECK_TEXT(encoded_n(t, cases[i].text, cases[i].size, 0), cases[i].ids))
                printf("  text   %s\n", cases[i].text);
            if (!strstr(cases[i].text, "\xE2\x96\x81")) CHECK(round_trip(t, cases[i].text, cases[i].size, 0));
        }
        if (t) test_round_trip(t);
        tokenizer_free(t);
    }
}

int main(void) {
    test_bin();
    test_model();
    test_continue();
    test_pieces();
    test_parts();
    test_whole();
    test_rules();
    test_long_rules();
    test_against_naive();
    test_malformed_bin();
    test_largest();
    test_long_piece();
    test_malformed_model();
    test_path();
    test_llama();
    test_hostile();
    test_allocations();
    test_long();
    for (int model = 0; model < 2; model++) {
        TEST(model ? "random bytes come back from a model" : "random bytes come back from a bin") {
            tokenizer *t = load(small_file(model));
            test_round_trip(t);
            tokenizer_free(t);
        }
    }
    test_data("llama2-tokenizer.bin");
    test_data("llama2-tokenizer.model");
    return test_end();
}
