/* test_bpe.c - byte-level BPE, tokenizers made from parts, and the flat form. To see the words that a text is
 * cut into, it includes tokenizer.c.
 *
 * The ids to expect in real_cases.inc come from a program that is not ours; real_tokenizers.mjs makes them.
 */
#include "test.h"

#include "../tokenizer.c"

#include "real_cases.inc"
#include "rebuilt.h"

#include <time.h>

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n) { /* xorshift */
    random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
    return random_state % n;
}

/* --- A vocabulary: the bytes in GPT-2's order, what the merges make, special tokens --- */

typedef struct {
    tokenizer_piece piece[2048];
    char text[2048][128];
    int merge[4096][2];
    int ends[2];
    tokenizer_parts parts;
} vocabulary;

static void add_piece(vocabulary *v, const char *text, size_t size, int type) {
    int id = v->parts.n_pieces++;
    memcpy(v->text[id], text, size);
    v->piece[id] = (tokenizer_piece){v->text[id], size, 0, type, 0};
}

static void add_joined(vocabulary *v, int left, int right) { /* unless there is such a piece */
    char text[256];
    size_t size = v->piece[left].size + v->piece[right].size;
    memcpy(text, v->text[left], v->piece[left].size);
    memcpy(text + v->piece[left].size, v->text[right], v->piece[right].size);
    for (int i = 256; i < v->parts.n_pieces; i++)
        if (v->piece[i].size == size && memcmp(v->text[i], text, size) == 0) return;
    add_piece(v, text, size, TOKENIZER_NORMAL);
}

static void add_merge(vocabulary *v, int left, int right) {
    int n = v->parts.n_merges++;
    v->merge[n][0] = left, v->merge[n][1] = right;
    add_joined(v, left, right);
}

static vocabulary *new_vocabulary(void) {
    static vocabulary v;
    memset(&v, 0, sizeof v);
    v.parts = (tokenizer_parts){
        .kind = TOKENIZER_BYTE_LEVEL, .bos = -1, .pieces = v.piece, .ends = v.ends, .merges = (const int(*)[2])v.merge};
    for (int shown = 1; shown >= 0; shown--)
        for (int i = 0; i < 256; i++)
            if (((i > 32 && i < 127) || (i > 160 && i != 173)) == shown) add_piece(&v, (char[]){(char)i}, 1, 1);
    return &v;
}

static int byte_id(const vocabulary *v, int byte) {
    for (int i = 0; i < 256; i++)
        if ((unsigned char)v->text[i][0] == byte) return i;
    return -1;
}

/* A part of Llama 3's vocabulary, and then its special tokens. */
static vocabulary *new_llama3(void) {
    vocabulary *v = new_vocabulary();
    for (size_t i = 0; i < sizeof llama3_1_merges / sizeof *llama3_1_merges; i += 2)
        add_merge(v, llama3_1_merges[i], llama3_1_merges[i + 1]);
    static const char *const names[] = {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eot|>"};
    v->parts.bos = v->parts.n_pieces;
    v->parts.add_bos = v->parts.ignore_merges = 1;
    v->parts.chat_template = TOKENIZER_LLAMA3;
    v->parts.n_ends = 2;
    v->ends[0] = v->parts.bos + 1, v->ends[1] = v->parts.bos + 2;
    for (int i = 0; i < 4; i++) add_piece(v, names[i], strlen(names[i]), TOKENIZER_CONTROL);
    return v;
}

static tokenizer *create(const vocabulary *v) {
    tokenizer_error err = {0, ""};
    tokenizer *t = tokenizer_create(&v->parts, NULL, &err);
    if (!t) printf("not created: %s\n", err.text);
    CHECK(t != NULL);
    return t;
}

static const char *encoded_n(const tokenizer *t, const char *text, size_t n, int flags) {
    static char out[1 << 16];
    static int ids[1 << 13];
    char *p = out;
    ptrdiff_t count = tokenizer_encode(t, text, n, flags, ids, sizeof ids / sizeof *ids, NULL);
    *out = 0;
    CHECK(count >= 0 && (size_t)count <= tokenizer_bound(t, n));
    for (ptrdiff_t i = 0; i < count; i++) p += sprintf(p, "%s%d", i ? " " : "", ids[i]);
    return out;
}

static const char *encoded(const tokenizer *t, const char *text, int flags) {
    return encoded_n(t, text, strlen(text), flags);
}

static int round_trip(const tokenizer *t, const char *text, size_t n) {
    size_t at = 0, size;
    int *ids = malloc((n + 1) * sizeof *ids), same = 1;
    ptrdiff_t count = tokenizer_encode(t, text, n, 0, ids, n + 1, NULL);
    for (ptrdiff_t i = 0; i < count && same; i++) {
        const char *p = tokenizer_decode(t, i ? ids[i - 1] : -1, ids[i], &size);
        same = size <= n - at && memcmp(p, text + at, size) == 0;
        at += size;
    }
    free(ids);
    return same && count >= 0 && at == n;
}

/* --- Cutting text into words --- */

static int words_split; /* TOKENIZER_SPLIT_.. */

static void check_words(const char *words) { /* which are separated by bars */
    char text[256], got[256], *to = text, *out = got;
    for (const char *p = words; *p; p++)
        if (*p != '|') *to++ = *p;
    const tk_words w = {to, words_split};
    for (const char *p = text; p < to;) {
        const char *next = tk_word(&w, p);
        if (p > text) *out++ = '|';
        while (p < next) *out++ = *p++;
    }
    *out = 0;
    CHECK_TEXT(got, words);
}

#define CHECK_WORDS(...)                                                                                               \
    do {                                                                                                               \
        static const char *const list[] = {__VA_ARGS__};                                                               \
        for (size_t i_ = 0; i_ < sizeof list / sizeof *list; i_++) check_words(list[i_]);                              \
    } while (0)

static void test_words(void) {
    TEST("words: contractions, in either case and wherever they stand") {
        CHECK_WORDS("it|'s", "IT|'S", "'re|ally", "'Ve|'M|'lL|'d|'t", "don|'t|x", "'s|ss|'a", "'''|s", "'r", "'l|'ll",
                    "'ve|'v", "'", "'R", "'rE|'Re|'RE", " '|s", "x|'s|'s", "1|'d");
        CHECK_WORDS("'\xC5\xBF|x", "'\xC5\xBE"); /* the long s, and another letter */
    }
    TEST("words: letters, and one character before them that is no letter, number or end of line") {
        CHECK_WORDS("Hello| world", "-a|--|a", "\xC2\xA0word", "\ta", "$a", "a|.b", "1|a", "\n|a", "\r|a", " | a",
                    "\t|\ta", "_a|_");
        CHECK_WORDS("\xE2\x82\xAC"
                    "a",
                    "\xD0\x96\xD0\xB8|\xE2\x80\x94\xD1\x82", "\xE6\x97\xA5\xE6\x9C\xAC",
                    "\xF0\x9D\x94\x98"
                    "a",
                    "a\xC2\xAA\xC2\xB5");
        CHECK_WORDS("\xE0\xA4\xA8|\xE0\xA4\xBF\xE0\xA4\xAF", "\xCC\x81"
                                                             "a"); /* marks are no letters */
        CHECK_WORDS("\xFF"
                    "a|\xFF\xFF|a",
                    "a|\xE0\x81\x81|a", "a|\xC3\xC3\xA9"); /* nor is what is no UTF-8 */
    }
    TEST("words: up to three numbers") {
        CHECK_WORDS("1", "123|4", "123|456|7", "a|1|b", " |1", " | |1", "-|1", "1|.|5");
        CHECK_WORDS("\xD9\xA1\xD9\xA2\xD9\xA3|\xD9\xA4", "\xC2\xBD\xC2\xB2|x", "\xE2\x85\xAB|a");
    }
    TEST("words: what is left, with a space before and ends of lines behind") {
        CHECK_WORDS("!!!", " !!!", " | !!!", "!\n\n| a", "!\r\n| \n", "\t|!", "...\r\n|x", "_|1|_|1", "a|?!|1");
        CHECK_WORDS("\xC2\xA0|!", "\xF0\x9F\x99\x82| \xF0\x9F\x99\x82", "\xEF\xBB\xBF\n", "\xC2\x85|!", "a|\xFF|1");
    }
    TEST("words: white space") {
        CHECK_WORDS(" ", "   ", "a|  ", "a|  | b", "a|\n|b", "a|\n\n|b", "a| \n \n|  | b", "  \n", "\r\n\r\n|a",
                    "  \n|  ", "\t|1", "\n|  | x", " \r|x", "\v\f", "\n| |1", "  | !", "\t|\t|1", "a|\t |\tb");
        CHECK_WORDS("\xE3\x80\x80|1", "\xE2\x80\xA8| a", "a| \xC2\x85| b",
                    "\xE2\x80\x8B"); /* the last is a format character */
    }
    TEST("words: characters that are none") {
        static const struct {
            const char *text;
            int32_t code;
            size_t size;
        } cases[] = {
            {"\xC3\xA9", 0xE9, 2},
            {"\xC3", -1, 1},
            {"\x80", -1, 1},
            {"\xC0\x80", -1, 1},
            {"\xE0\x80\x80", -1, 1},
            {"\xE0\xA0\x80", 0x800, 3},
            {"\xED\x9F\xBF", 0xD7FF, 3},
            {"\xED\xA0\x80", -1, 1},
            {"\xED\xBF\xBF", -1, 1},
            {"\xEE\x80\x80", 0xE000, 3},
            {"\xF0\x8F\xBF\xBF", -1, 1},
            {"\xF0\x90\x80\x80", 0x10000, 4},
            {"\xF4\x8F\xBF\xBF", 0x10FFFF, 4},
            {"\xF4\x90\x80\x80", -1, 1},
            {"\xF8\x88\x80\x80", -1, 1},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            size_t size;
            CHECK(tk_code_point(cases[i].text, strlen(cases[i].text), &size) == cases[i].code);
            CHECK(size == cases[i].size);
        }
    }
}

/* --- Against others --- */

static void check_llama3(const tokenizer *t) {
    for (size_t i = 0; t && i < sizeof real_texts / sizeof *real_texts; i++) {
        if (!CHECK_TEXT(encoded(t, real_texts[i], 0), llama3_1_ids[i])) printf("  text   %s\n", real_texts[i]);
        CHECK(round_trip(t, real_texts[i], strlen(real_texts[i])));
    }
}

static void test_llama3(void) {
    TEST("a part of Llama 3's vocabulary: the reference's ids") {
        tokenizer *t = create(new_llama3());
        check_llama3(t);
        tokenizer_free(t);
    }
}

/* As the definition says: the first of all rules that joins two neighbours, where it does so first, and again. */
static const char *naive(const vocabulary *v, const char *text, size_t n) {
    static char out[4096];
    static int ids[1024];
    for (size_t i = 0; i < n; i++) ids[i] = byte_id(v, (unsigned char)text[i]);
    for (int rank = 0; rank < v->parts.n_merges;) {
        const int *m = v->merge[rank];
        size_t at = 0;
        while (at + 1 < n && (ids[at] != m[0] || ids[at + 1] != m[1])) at++;
        if (at + 1 >= n) {
            rank++;
            continue;
        }
        char joined[256];
        size_t a = v->piece[m[0]].size, b = v->piece[m[1]].size;
        memcpy(joined, v->text[m[0]], a), memcpy(joined + a, v->text[m[1]], b);
        for (int id = 0; id < v->parts.n_pieces; id++)
            if (v->piece[id].size == a + b && !memcmp(v->text[id], joined, a + b)) ids[at] = id;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
        rank = 0;
    }
    char *p = out;
    *out = 0;
    for (size_t i = 0; i < n; i++) p += sprintf(p, "%s%d", i ? " " : "", ids[i]);
    return out;
}

static void add_random_merge(vocabulary *v) {
    int n = v->parts.n_pieces - 256, side[2];
    for (int i = 0; i < 2; i++)
        side[i] = random_below(3) && n ? 256 + (int)random_below((uint32_t)n) : byte_id(v, 'a' + (int)random_below(3));
    if (v->piece[side[0]].size + v->piece[side[1]].size > 10) return;
    for (int i = 0; i < v->parts.n_merges; i++)
        if (v->merge[i][0] == side[0] && v->merge[i][1] == side[1]) return;
    add_merge(v, side[0], side[1]);
}

static void test_against_naive(void) {
    TEST("random merges: the same as by definition") {
        for (int round = 0; round < 300; round++) {
            vocabulary *v = new_vocabulary();
            for (int i = 0; i < 40; i++) add_random_merge(v);
            tokenizer *t = create(v);
            for (int i = 0; t && i < 20; i++) {
                char text[64];
                size_t n = 1 + random_below(60);
                for (size_t j = 0; j < n; j++) text[j] = (char)('a' + random_below(3)); /* all one word */
                if (!CHECK_TEXT(encoded_n(t, text, n, 0), naive(v, text, n))) break;
            }
            tokenizer_free(t);
        }
    }
}

/* --- Special tokens --- */

static void test_special(void) {
    tokenizer *t = create(new_llama3());
    if (!t) return;
    int bos = tokenizer_bos(t);
    char want[300], plain[200];
    TEST("special tokens are found by name") {
        CHECK(bos > 256 && tokenizer_find(t, "<|begin_of_text|>", 17) == bos);
        CHECK(tokenizer_find(t, "<|eot_id|>", 10) == bos + 2 && tokenizer_find(t, "<|none|>", 8) == -1);
        CHECK(tokenizer_find(t, "a", 1) == 64 && tokenizer_find(t, "", 0) == -1);
        CHECK(!tokenizer_is_end(t, bos) && tokenizer_is_end(t, bos + 1) && tokenizer_is_end(t, bos + 2));
        CHECK(!tokenizer_is_end(t, -1) && !tokenizer_is_end(t, bos + 3));
    }
    TEST("special tokens that are typed stay text") {
        size_t size;
        CHECK(strlen(encoded(t, "<|eot_id|>", 0)) > 10);
        CHECK(round_trip(t, "a<|eot_id|>b", 12));
        CHECK(tokenizer_decode(t, -1, bos + 2, &size) && size == 0);
    }
    TEST("special tokens become what they are where asked for") {
        sprintf(want, "64 %d 65", bos + 2);
        CHECK_TEXT(encoded(t, "a<|eot_id|>b", TOKENIZER_SPECIAL), want);
        sprintf(want, "%d %d", bos + 2, bos + 3);
        CHECK_TEXT(encoded(t, "<|eot_id|><|eot|>", TOKENIZER_SPECIAL), want);
        strcpy(plain, encoded(t, "<|eot", 0));
        sprintf(want, "%s %d", plain, bos + 2);
        CHECK_TEXT(encoded(t, "<|eot<|eot_id|>", TOKENIZER_SPECIAL), want);
        sprintf(want, "64 220 %d 220", bos + 2); /* the parts are texts of their own */
        CHECK_TEXT(encoded(t, "a <|eot_id|> ", TOKENIZER_SPECIAL), want);
    }
    TEST("bos, where the tokenizer's file says so") {
        sprintf(want, "%d 64", bos);
        CHECK_TEXT(encoded(t, "a", TOKENIZER_BOS), want);
        vocabulary *v = new_llama3();
        v->parts.add_bos = 0;
        tokenizer *without = create(v);
        CHECK_TEXT(encoded(without, "a", TOKENIZER_BOS), "64");
        CHECK(tokenizer_bos(without) == bos);
        tokenizer_free(without);
    }
    tokenizer_free(t);
    TEST("user-defined pieces are matched in any text, the longest first; unused ones never") {
        vocabulary *v = new_vocabulary();
        add_piece(v, "ab", 2, TOKENIZER_USER_DEFINED), add_piece(v, "abc", 3, TOKENIZER_USER_DEFINED);
        add_piece(v, "xy", 2, TOKENIZER_UNUSED);
        add_piece(v, "", 0, TOKENIZER_UNUSED), add_piece(v, "", 0, TOKENIZER_UNUSED);
        v->parts.ignore_merges = 1;
        tokenizer *u = create(v);
        size_t size;
        CHECK_TEXT(encoded(u, "aabcabxy", 0), "64 257 256 87 88");
        CHECK(tokenizer_vocab_size(u) == 261);
        CHECK(tokenizer_decode(u, -1, 260, &size) && size == 0);
        tokenizer_free(u);
    }
    TEST("user-defined pieces that mark turns are special tokens") {
        vocabulary *v = new_vocabulary();
        add_piece(v, "<|im_start|>", 12, TOKENIZER_USER_DEFINED), add_piece(v, "<end>", 5, TOKENIZER_USER_DEFINED);
        v->ends[0] = 257, v->parts.n_ends = 1;
        tokenizer *u = create(v);
        CHECK(strlen(encoded(u, "<|im_start|>", 0)) > 20 && strlen(encoded(u, "<end>", 0)) > 8);
        CHECK_TEXT(encoded(u, "<|im_start|><end>", TOKENIZER_SPECIAL), "256 257");
        tokenizer_free(u);
    }
    TEST("whole words first only with ignore_merges") {
        for (int ignore = 0; ignore < 2; ignore++) {
            vocabulary *v = new_vocabulary();
            add_piece(v, "abc", 3, TOKENIZER_NORMAL);
            add_merge(v, 64, 65);
            v->parts.ignore_merges = ignore;
            tokenizer *u = create(v);
            CHECK_TEXT(encoded(u, "abc", 0), ignore ? "256" : "257 66");
            CHECK_TEXT(encoded(u, "abcd", 0), "257 66 67");
            tokenizer_free(u);
        }
    }
    TEST("a pair joins by its ids, not by its text") {
        vocabulary *v = new_vocabulary();
        add_merge(v, 64, 65);  /* ab */
        add_merge(v, 65, 66);  /* bc */
        add_merge(v, 64, 257); /* a + bc, which never meet: ab goes first */
        tokenizer *u = create(v);
        CHECK_TEXT(encoded(u, "abc", 0), "256 66");
        CHECK_TEXT(encoded(u, "bcabc", 0), "257 256 66");
        tokenizer_free(u);
    }
}

/* --- What is refused --- */

static void refuses(const char *why, const tokenizer_parts *parts) {
    tokenizer_error err = {0, ""};
    tokenizer *t = tokenizer_create(parts, NULL, &err);
    CHECK(err.code == TOKENIZER_BAD_FILE);
    if (!CHECK(!t && strstr(err.text, why))) printf("  wanted \"%s\", got \"%s\"\n", why, err.text);
    tokenizer_free(t);
}

/* A byte-level vocabulary whose bytes come behind these pieces. */
static tokenizer *behind(const tokenizer_piece *first, int n, const int (*merges)[2], int n_merges, int ignore_merges) {
    static tokenizer_piece pieces[300];
    static char bytes[256];
    tokenizer_parts parts = {.kind = TOKENIZER_BYTE_LEVEL, .pieces = pieces, .n_pieces = n + 256, .bos = -1};
    tokenizer_error err = {0, ""};
    parts.merges = merges, parts.n_merges = n_merges, parts.ignore_merges = ignore_merges;
    for (int i = 0; i < n; i++) pieces[i] = first[i];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        pieces[n + i] = (tokenizer_piece){&bytes[i], 1, 0, TOKENIZER_NORMAL, 0};
    }
    tokenizer *t = tokenizer_create(&parts, NULL, &err);
    CHECK_TEXT(err.text, "");
    return t;
}

static void test_piece_zero(void) {
    TEST("piece 0 is a piece like others: made by a merge, special, user-defined, a word") {
        static const tokenizer_piece ab = {"ab", 2, 0, TOKENIZER_NORMAL, 0}, name = {"<x>", 3, 0, TOKENIZER_CONTROL, 0};
        static const tokenizer_piece user = {"ab", 2, 0, TOKENIZER_USER_DEFINED, 0};
        static const int merge[][2] = {{1 + 'a', 1 + 'b'}, {0, 1 + 'c'}};
        tokenizer *t = behind(&ab, 1, merge, 1, 0);
        CHECK_TEXT(encoded(t, "ab", 0), "0");
        CHECK_TEXT(encoded(t, "xabab", 0), "121 0 0");
        CHECK(tokenizer_find(t, "ab", 2) == 0);
        tokenizer_free(t);
        t = behind(&ab, 1, NULL, 0, 1);
        CHECK_TEXT(encoded(t, "ab", 0), "0");
        CHECK_TEXT(encoded(t, "abab", 0), "98 99 98 99");
        tokenizer_free(t);
        t = behind(&name, 1, NULL, 0, 0);
        CHECK_TEXT(encoded(t, "a<x>b", TOKENIZER_SPECIAL), "98 0 99");
        CHECK(tokenizer_find(t, "<x>", 3) == 0);
        tokenizer_free(t);
        t = behind(&user, 1, NULL, 0, 0);
        CHECK_TEXT(encoded(t, "cabc", 0), "100 0 100");
        tokenizer_free(t);
        /* The piece before the one that a merge makes is not tried for it, nor one behind the last. */
        static const tokenizer_piece two[] = {{"abc", 3, 0, TOKENIZER_NORMAL, 0}, {"ab", 2, 0, TOKENIZER_NORMAL, 0}};
        static const int both[][2] = {{2 + 'a', 2 + 'b'}, {1, 2 + 'c'}};
        t = behind(two, 2, both, 2, 0);
        CHECK_TEXT(encoded(t, "abcab", 0), "0 1");
        tokenizer_free(t);
    }
    TEST("piece 0 of SentencePiece: made by a merge, a byte") {
        static tokenizer_piece pieces[300];
        static char names[256][8];
        static const tokenizer_piece rest[] = {{"ab", 2, -1, TOKENIZER_NORMAL, 0},
                                               {"<unk>", 5, 0, TOKENIZER_UNKNOWN, 0},
                                               {"a", 1, -2, TOKENIZER_NORMAL, 0},
                                               {"b", 1, -3, TOKENIZER_NORMAL, 0}};
        tokenizer_parts parts = {.kind = TOKENIZER_SENTENCEPIECE, .pieces = rest, .n_pieces = 4, .bos = -1};
        tokenizer *t = tokenizer_create(&parts, NULL, NULL);
        CHECK_TEXT(encoded(t, "aabb", 0), "2 0 3");
        tokenizer_free(t);
        for (int i = 0; i < 256; i++) {
            sprintf(names[i], "<0x%02X>", (unsigned)i);
            pieces[i] = (tokenizer_piece){names[i], 6, 0, TOKENIZER_BYTE, 0};
        }
        memcpy(pieces + 256, rest, sizeof rest);
        parts.pieces = pieces, parts.n_pieces = 260;
        t = tokenizer_create(&parts, NULL, NULL);
        CHECK_TEXT(encoded_n(t, "a\0", 2, 0), "258 0");
        tokenizer_free(t);
    }
}

/* What is looked for at each character is at most 1000 bytes long. */
static void test_max_match(void) {
    static char text[1002];
    tokenizer_piece p = {text, 1000, 0, TOKENIZER_CONTROL, 0};
    memset(text, 'x', 1001);
    TEST("special tokens of 1000 bytes are found in a text, longer ones by name only") {
        for (p.size = 999; p.size <= 1001; p.size++) {
            tokenizer *t = behind(&p, 1, NULL, 0, 0);
            CHECK(tokenizer_find(t, text, p.size) == 0);
            ptrdiff_t n = tokenizer_encode(t, text, p.size, TOKENIZER_SPECIAL, NULL, 0, NULL);
            CHECK(n == (p.size <= 1000 ? 1 : 1001));
            tokenizer_free(t);
        }
    }
    TEST("user-defined pieces may have 1000 bytes, and no more") {
        p.type = TOKENIZER_USER_DEFINED, p.size = 1000;
        tokenizer *t = behind(&p, 1, NULL, 0, 0);
        CHECK(tokenizer_encode(t, text, 1000, 0, NULL, 0, NULL) == 1);
        CHECK(tokenizer_encode(t, text, 999, 0, NULL, 0, NULL) == 999);
        tokenizer_free(t);
        tokenizer_piece pieces[] = {{"<unk>", 5, 0, TOKENIZER_UNKNOWN, 0}, p};
        tokenizer_parts parts = {.kind = TOKENIZER_SENTENCEPIECE, .pieces = pieces, .n_pieces = 2, .bos = -1};
        pieces[1].size = 1001;
        refuses("piece 1 is of type USER_DEFINED and 1001 bytes long, more than 1000", &parts);
        pieces[1].size = 1000;
        t = tokenizer_create(&parts, NULL, NULL);
        CHECK_TEXT(encoded_n(t, text, 1000, 0), "1");
        tokenizer_free(t);
    }
}

static void test_refused(void) {
    vocabulary *v = new_vocabulary();
    tokenizer_parts *p = &v->parts, good;
    add_piece(v, "ab", 2, TOKENIZER_NORMAL), add_piece(v, "<s>", 3, TOKENIZER_CONTROL);
    good = *p;
    TEST("refused: numbers out of range") {
        static const int many[65] = {0};
        p->kind = 0, refuses("kind 0", p), p->kind = 3, refuses("kind 3", p), *p = good;
        p->bos = 258, refuses("bos id 258", p), p->bos = -2, refuses("bos id -2", p), *p = good;
        v->ends[0] = 258, p->n_ends = 1, refuses("end id 258", p), v->ends[0] = -1, refuses("end id -1", p), *p = good;
        p->ends = many, p->n_ends = 65, refuses("more than 64", p), *p = good;
        p->ends = many, p->n_ends = 64;
        tokenizer *most = tokenizer_create(p, NULL, NULL);
        CHECK(most != NULL), tokenizer_free(most), *p = good;
        p->chat_template = 7, refuses("template 7", p), p->chat_template = -1, refuses("template -1", p), *p = good;
        p->split = 8, refuses("split 8", p), p->split = -1, refuses("split -1", p), *p = good;
        p->add_dummy_prefix = 5, refuses("prefix 5", p), p->add_dummy_prefix = -1, refuses("prefix -1", p), *p = good;
        p->n_pieces = 0, refuses("no pieces", p), p->n_pieces = 255, refuses("no piece is the byte 0xAD", p), *p = good;
    }
    TEST("refused: merges of what is not there") {
        static const int negative[1][2] = {{-1, 5}}, far[1][2] = {{64, INT32_MAX}}, special[1][2] = {{64, 257}};
        static const int nowhere[1][2] = {{64, 66}}, twice[2][2] = {{64, 65}, {64, 65}};
        p->n_merges = 1;
        p->merges = negative, refuses("no pieces -1 and 5", p);
        p->merges = far, refuses("no pieces 64 and 2147483647", p);
        p->merges = nowhere, refuses("pieces 64 and 66 joined are no piece", p);
        p->merges = special, v->piece[257].type = TOKENIZER_UNUSED, refuses("not both text", p);
        v->piece[257].type = TOKENIZER_CONTROL;
        tokenizer *without = tokenizer_create(p, NULL, NULL); /* which no text can come to */
        CHECK(without != NULL), tokenizer_free(without);
        p->merges = twice, p->n_merges = 2, refuses("merge 1 is also merge 0", p);
        *p = good;
        enum { MOST = 1 << 22 };
        int(*zeros)[2] = calloc(MOST + 1, sizeof *zeros);
        if (!CHECK(zeros)) exit(1);
        p->merges = (const int(*)[2])zeros;
        p->n_merges = MOST, refuses("merge 0: pieces 0 and 0 joined are no piece", p);
        p->n_merges = MOST + 1, refuses("more than 4194304 merges", p), *p = good;
        free(zeros);
    }
    TEST("refused: pieces that cannot be") {
        tokenizer_piece *piece = &v->piece[256], saved = *piece;
        piece->type = 0, refuses("piece 256 has type 0", p), piece->type = 7, refuses("piece 256 has type 7", p);
        piece->type = TOKENIZER_BYTE, refuses("piece 256 is of type BYTE", p), *piece = saved;
        piece->size = 0, refuses("piece 256 is empty", p), piece->size = 1, refuses("is also piece 64", p);
        char *text = calloc(1, 1 << 23);
        if (!CHECK(text)) exit(1);
        piece->size = (size_t)1 << 23, piece->text = text, refuses("piece 256 has 8388608 bytes: too many", p);
        piece->size--;
        tokenizer *largest = tokenizer_create(p, NULL, NULL);
        CHECK(largest && tokenizer_find(largest, text, piece->size) == 256);
        tokenizer_free(largest), free(text), *piece = saved;
        piece->flags = 1, refuses("piece 256 of type 1 has flags 1", p), piece->type = TOKENIZER_CONTROL;
        piece->flags = 64, refuses("flags 64", p), piece->flags = -1, refuses("flags -1", p), *piece = saved;
        piece->score = (float)NAN, refuses("score is not a number", p), *piece = saved;
        p->kind = TOKENIZER_SENTENCEPIECE, refuses("no piece is of type UNKNOWN", p), *p = good;
        tokenizer *base = create(v);
        p->base = base, refuses("base is no SENTENCEPIECE", p), *p = good;
        tokenizer_free(base);
    }
}

/* --- SentencePiece from parts --- */

/* With all: upon another, with a special token and a piece that pads. */
static tokenizer *new_sentencepiece(int all) {
    static const tokenizer_piece pieces[] = {
        {"<unk>", 5, 0, TOKENIZER_UNKNOWN, 0},
        {"<s>", 3, 0, TOKENIZER_CONTROL, 0},
        {"</s>", 4, 0, TOKENIZER_CONTROL, 0},
        {"\xE2\x96\x81", 3, -9, TOKENIZER_NORMAL, 0},
        {"a", 1, -9, TOKENIZER_NORMAL, 0},
        {"b", 1, -9, TOKENIZER_NORMAL, 0},
        {"\xE2\x96\x81"
         "a",
         4, -1, TOKENIZER_NORMAL, 0},
        {"\xE2\x96\x81"
         "ab",
         5, -2, TOKENIZER_NORMAL, 0},
    };
    static const tokenizer_piece more[] = {{"[INST]", 6, 0, TOKENIZER_CONTROL, 0}, {"", 0, 0, TOKENIZER_UNUSED, 0}};
    static const int eos = 2;
    tokenizer_parts parts = {.kind = TOKENIZER_SENTENCEPIECE,
                             .pieces = pieces,
                             .n_pieces = 8,
                             .bos = 1,
                             .add_bos = 1,
                             .ends = &eos,
                             .n_ends = 1,
                             .add_dummy_prefix = 1};
    tokenizer_error err = {0, ""};
    tokenizer *t = tokenizer_create(&parts, NULL, &err), *base = t;
    if (all) {
        tokenizer_piece list[10];
        for (int i = 0; i < 10; i++)
            if (i >= 8 || !tokenizer_get_piece(t, i, &list[i])) list[i] = more[i - 8];
        parts.base = base, parts.pieces = list, parts.n_pieces = 10, parts.add_dummy_prefix = 0;
        parts.chat_template = TOKENIZER_MISTRAL;
        t = tokenizer_create(&parts, NULL, &err);
        tokenizer_free(base);
    }
    CHECK_TEXT(err.text, "");
    return t;
}

static void test_sentencepiece(void) {
    for (int all = 0; all < 2; all++) {
        TEST(all ? "SentencePiece from parts upon a base" : "SentencePiece from parts") {
            tokenizer *t = new_sentencepiece(all);
            CHECK(tokenizer_vocab_size(t) == (all ? 10 : 8) && tokenizer_bos(t) == 1 && tokenizer_is_end(t, 2));
            CHECK(tokenizer_template(t) == (all ? TOKENIZER_MISTRAL : 0));
            CHECK_TEXT(encoded(t, "ab b", TOKENIZER_BOS), "1 7 3 5");
            CHECK_TEXT(encoded(t, "ab</s>ab", 0), "7 0 4 5");
            CHECK_TEXT(encoded(t, "ab</s>ab", TOKENIZER_SPECIAL), "7 2 7");
            CHECK_TEXT(encoded(t, "[INST]ab[INST]", TOKENIZER_SPECIAL), all ? "8 7 8" : "3 0 4 5 0");
            tokenizer_free(t);
        }
    }
}

/* --- Telling its parts --- */

static void test_parts(void) {
    static const int swapped[2] = {1, 0};
    tokenizer_parts parts;
    TEST("a tokenizer tells all that it takes to make it again: byte-level") {
        vocabulary *v = new_llama3();
        static const tokenizer_form form = {.between = {{NULL, NULL, "<|eot_id|>", NULL}, {NULL}, {"\1"}}, .flags = 4};
        v->parts.chat_template = TOKENIZER_OWN, v->parts.form = &form;
        v->parts.split = TOKENIZER_SPLIT_QWEN2, v->parts.nfc = 1;
        add_piece(v, "typed", 5, TOKENIZER_USER_DEFINED);
        v->piece[v->parts.n_pieces - 1].flags = TOKENIZER_LSTRIP | TOKENIZER_ADDED;
        tokenizer *t = create(v);
        int(*merges)[2] = malloc(sizeof v->merge);
        tokenizer_get_parts(t, &parts);
        CHECK(parts.kind == TOKENIZER_BYTE_LEVEL && parts.n_pieces == v->parts.n_pieces && !parts.base);
        CHECK(parts.bos == v->parts.bos && parts.n_ends == 2 && !memcmp(parts.ends, v->ends, sizeof v->ends));
        CHECK(parts.ignore_merges && parts.nfc && parts.split == TOKENIZER_SPLIT_QWEN2 && parts.form->flags == 4);
        CHECK(parts.n_merges == v->parts.n_merges && tokenizer_get_merges(t, merges) == parts.n_merges);
        CHECK(!memcmp(merges, v->merge, (size_t)parts.n_merges * sizeof *merges));
        tokenizer_rules rules;
        tokenizer_get_rules(t, &rules);
        CHECK(!rules.charsmap && !rules.unknown && !rules.escape_spaces);
        CHECK(is_rebuilt(t));
        tokenizer_free(t);
        free(merges);
    }
    TEST("a tokenizer tells all that it takes to make it again: SentencePiece, by scores and by merges") {
        for (int all = 0; all < 2; all++) {
            tokenizer *t = new_sentencepiece(all);
            CHECK(is_rebuilt(t) && tokenizer_get_merges(t, NULL) == -1);
            tokenizer_free(t);
        }
        static const tokenizer_piece pieces[] = {
            {"a", 1, 0, 1, 0}, {"b", 1, 0, 1, 0}, {"ba", 2, 0, 1, 0}, {"?", 1, 0, TOKENIZER_UNKNOWN, 0}};
        for (int n = 0; n < 2; n++) { /* with none of them nothing joins, whatever the scores */
            const tokenizer_parts of = {.kind = TOKENIZER_SENTENCEPIECE,
                                        .pieces = pieces,
                                        .n_pieces = 4,
                                        .merges = &swapped,
                                        .n_merges = n,
                                        .bos = -1,
                                        .add_dummy_prefix = TOKENIZER_PREFIX_FIRST};
            tokenizer *t = tokenizer_create(&of, NULL, NULL);
            if (!CHECK(t != NULL)) continue;
            tokenizer_get_parts(t, &parts);
            CHECK(parts.n_merges == n && tokenizer_get_merges(t, NULL) == n);
            CHECK(parts.add_dummy_prefix == TOKENIZER_PREFIX_FIRST && parts.bos == -1 && !parts.n_ends);
            CHECK(is_rebuilt(t));
            tokenizer_free(t);
        }
    }
}

/* --- The flat form --- */

static unsigned char *save(const tokenizer *t, size_t *size) {
    *size = tokenizer_save(t, NULL, 0);
    unsigned char *p = malloc(*size); /* exact, so that what goes beyond is seen */
    CHECK(tokenizer_save(t, p, *size) == *size);
    return p;
}

static tokenizer *reload(const tokenizer *t) {
    size_t size, again;
    tokenizer_error err = {0, ""};
    unsigned char *p = save(t, &size);
    tokenizer *u = tokenizer_load_memory(p, size, tokenizer_vocab_size(t), NULL, &err);
    CHECK_TEXT(err.text, "");
    unsigned char *q = save(u, &again);
    CHECK(size == again && memcmp(p, q, size) == 0);
    free(p), free(q);
    return u;
}

/* All that can be done with a tokenizer, to see that none of it does harm. */
static void use(const tokenizer *t) {
    static const char text[] = "ab a<|eot_id|>[INST] it's 12\n\xFF\xE2\x96\x81";
    static const tokenizer_message messages[] = {{TOKENIZER_USER, text, sizeof text}, {TOKENIZER_ASSISTANT, "b", 1}};
    int ids[512];
    size_t size, sum = 0;
    for (int flags = 0; flags < 4; flags++) CHECK(tokenizer_encode(t, text, sizeof text, flags, ids, 512, NULL) >= 0);
    for (int template = 1; template <= 5; template ++)
        CHECK(tokenizer_encode_chat(t, template, messages, 2, 0, ids, 512, NULL) >= 0);
    for (int id = -1; id <= tokenizer_vocab_size(t); id++) {
        const char *p = tokenizer_decode(t, -1, id, &size);
        for (size_t i = 0; i < size; i++) sum += (unsigned char)p[i];
    }
    CHECK(sum > 0);
    free(save(t, &size));
}

static void test_flat(void) {
    TEST("flat: what is saved comes back, byte-level") {
        tokenizer *t = create(new_llama3()), *u = reload(t);
        CHECK(tokenizer_bos(u) == tokenizer_bos(t) && tokenizer_is_end(u, tokenizer_bos(t) + 2));
        CHECK(tokenizer_template(u) == TOKENIZER_LLAMA3);
        check_llama3(u);
        tokenizer_free(t), tokenizer_free(u);
    }
    TEST("flat: what is saved comes back, SentencePiece") {
        tokenizer *t = new_sentencepiece(1), *u = reload(t);
        CHECK(tokenizer_template(u) == TOKENIZER_MISTRAL);
        CHECK_TEXT(encoded(u, "ab b", TOKENIZER_BOS), "1 7 3 5");
        CHECK_TEXT(encoded(u, "[INST]ab", TOKENIZER_SPECIAL), "8 7");
        tokenizer_free(t), tokenizer_free(u);
    }
    TEST("flat: many numbers and few bytes of text") {
        static const int ends[64] = {0};
        static tokenizer_piece pieces[101];
        tokenizer_parts parts = {.kind = TOKENIZER_SENTENCEPIECE, .pieces = pieces, .n_pieces = 101, .bos = -1};
        for (int i = 0; i < 101; i++) pieces[i] = (tokenizer_piece){"", 0, 0, TOKENIZER_UNUSED, 0};
        pieces[100] = (tokenizer_piece){"u", 1, 0, TOKENIZER_UNKNOWN, 0};
        parts.ends = ends, parts.n_ends = 64;
        tokenizer *t = tokenizer_create(&parts, NULL, NULL), *u = t ? reload(t) : NULL;
        CHECK(u && tokenizer_vocab_size(u) == 101 && tokenizer_is_end(u, 0));
        tokenizer_free(t), tokenizer_free(u);
    }
    TEST("flat: too small a buffer is left alone") {
        tokenizer *t = new_sentencepiece(0);
        char p[4] = "abc";
        CHECK(tokenizer_save(t, p, 3) > 3 && strcmp(p, "abc") == 0);
        tokenizer_free(t);
    }
    TEST("flat: versions 1 and 2") { /* are version 3 without its last fields, if those are 0 */
        tokenizer *t = create(new_llama3());
        tokenizer_error err = {0, ""};
        size_t size;
        for (int version = 1; version <= 2; version++) {
            unsigned char *p = save(t, &size);
            const size_t without = version == 1 ? 12 : 4;
            p[8] = (unsigned char)version;
            memmove(p + 60 - without, p + 60, size - 60);
            tokenizer *u = tokenizer_load_memory(p, size - without, 0, NULL, &err);
            CHECK_TEXT(err.text, "");
            if (u) check_llama3(u);
            tokenizer_free(u), free(p);
        }
        tokenizer_free(t);
    }
    TEST("flat: another version is refused") {
        tokenizer *t = new_sentencepiece(0);
        tokenizer_error err = {0, ""};
        size_t size;
        unsigned char *p = save(t, &size);
        p[8] = 4;
        CHECK(!tokenizer_load_memory(p, size, 0, NULL, &err));
        CHECK_TEXT(err.text, "version 4, not 1 to 3");
        free(p), tokenizer_free(t);
    }
    TEST("flat: numbers, and what is said of them") {
        static const struct {
            size_t at; /* of a field */
            uint32_t value;
            const char *why;
        } bad[] = {
            {8, 0, "version 0, not 1 to 3"},
            {8, 0xFFFFFFFF, "version 4294967295, not 1 to 3"},
            {12, 0, "kind 0, not SENTENCEPIECE or BYTE_LEVEL"},
            {12, 3, "kind 0, not SENTENCEPIECE or BYTE_LEVEL"},
            {20, 6, "the chat template has no place for what a user says"},
            {20, 7, "chat template 7 of 6"},
            {24, 8, "bos id 8: the vocabulary has 8 pieces"},
            {24, 0x80000000, "bos id 2147483647: the vocabulary has 8 pieces"},
            {24, 0xFFFFFFFE, "bos id 2147483647: the vocabulary has 8 pieces"},
            {32, 0xFFFFFFFF, "cut off: 159 bytes, but 1 ends, 4294967295 pieces and 0 merges"},
            {32, 7, "13 bytes too many after the last piece"},
            {48, 8, "split 8, not 0 to 7"},
            {48, 0xFFFFFFFF, "split -1, not 0 to 7"},
            {52, 5, "prefix 5, not 0 to 4"},
            {60, 8, "end id 8: the vocabulary has 8 pieces"},
            {60, 0xFFFFFFFF, "end id -1: the vocabulary has 8 pieces"},
            {67, 9, "piece 0 of type 1 has flags 1"},
        };
        tokenizer *t = new_sentencepiece(0);
        size_t size;
        unsigned char *p = save(t, &size);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            unsigned char *copy = malloc(size);
            tokenizer_error err = {0, ""};
            memcpy(copy, p, size);
            for (int k = 0; k < 4; k++) copy[bad[i].at + (size_t)k] = (unsigned char)(bad[i].value >> 8 * k);
            CHECK(!tokenizer_load_memory(copy, size, 0, NULL, &err));
            CHECK_TEXT(err.text, bad[i].why);
            free(copy);
        }
        tokenizer_error err = {0, ""};
        CHECK(!tokenizer_load_memory(p, 59, 0, NULL, &err));
        CHECK_TEXT(err.text, "cut off: 59 bytes");
        CHECK(!tokenizer_load_memory(p, 60, 0, NULL, &err));
        CHECK_TEXT(err.text, "cut off: 60 bytes, but 1 ends, 8 pieces and 0 merges");
        free(p), tokenizer_free(t);
    }
    TEST("flat: the wrong number of pieces") {
        tokenizer *t = new_sentencepiece(0);
        tokenizer_error err = {0, ""};
        size_t size;
        unsigned char *p = save(t, &size);
        CHECK(!tokenizer_load_memory(p, size, 9, NULL, &err));
        CHECK_TEXT(err.text, "8 pieces, but the model has a vocab_size of 9");
        free(p), tokenizer_free(t);
    }
}

/* A byte-level vocabulary that is small enough to damage in every way. */
static tokenizer *new_small(void) {
    vocabulary *v = new_vocabulary();
    add_merge(v, 64, 65), add_merge(v, 65, 64), add_merge(v, 256, 66), add_merge(v, 220, 64);
    add_piece(v, "<|eot_id|>", 10, TOKENIZER_CONTROL), add_piece(v, "12", 2, TOKENIZER_USER_DEFINED);
    v->ends[0] = v->parts.bos = 260, v->parts.n_ends = 1, v->parts.add_bos = 1;
    return create(v);
}

static void test_damaged(void) {
    for (int kind = 0; kind < 2; kind++) {
        size_t size;
        tokenizer *t = kind ? new_sentencepiece(1) : new_small();
        unsigned char *p = save(t, &size);
        tokenizer_free(t);
        TEST(kind ? "flat: every prefix of a SentencePiece is refused"
                  : "flat: every prefix of a byte-level is refused") {
            for (size_t n = 0; n < size; n++) {
                tokenizer_error err = {0, ""};
                unsigned char *exact = malloc(n ? n : 1);
                memcpy(exact, p, n);
                CHECK(!tokenizer_load_memory(exact, n, 0, NULL, &err) && err.text[0]);
                free(exact);
            }
        }
        TEST(kind ? "flat: a damaged SentencePiece does no harm" : "flat: a damaged byte-level does no harm") {
            int loaded = 0;
            for (int round = 0; round < 4000; round++) {
                unsigned char *q = malloc(size);
                memcpy(q, p, size);
                for (uint32_t i = 0; i <= random_below(3); i++) {
                    uint32_t at = random_below(4) ? random_below((uint32_t)size) : 8 + random_below(40);
                    q[at] = (unsigned char)(random_below(2) ? random_below(256) : q[at] ^ 1u << random_below(8));
                }
                tokenizer *u = tokenizer_load_memory(q, size, 0, NULL, NULL);
                free(q);
                if (u) loaded++, use(u);
                tokenizer_free(u);
            }
            CHECK(loaded > 100);
        }
        free(p);
    }
}

/* --- Memory --- */

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

/* Creates, saves, loads, encodes. 0 if memory was short. */
static int live(const vocabulary *v, const tokenizer_allocator *a, const unsigned char *flat, size_t size,
                tokenizer_error *err) {
    static const tokenizer_message message = {TOKENIZER_USER, "ab the", 6};
    int ids[100];
    tokenizer *t = tokenizer_create(&v->parts, a, err), *u = t ? tokenizer_load_memory(flat, size, 0, a, err) : NULL;
    int ok = u && tokenizer_encode(u, "ababab <|eot_id|> x12", 21, TOKENIZER_SPECIAL, ids, 100, err) >= 0 &&
             tokenizer_encode_chat(u, TOKENIZER_ZEPHYR, &message, 1, 0, ids, 100, err) >= 0;
    tokenizer_free(t), tokenizer_free(u);
    return ok;
}

static void test_allocations(void) {
    TEST("every allocation failing in turn") {
        size_t size;
        vocabulary *v = new_llama3();
        tokenizer *t = create(v);
        unsigned char *flat = save(t, &size);
        int done = 0;
        for (int fail_at = 0; !done && fail_at < 100; fail_at++) {
            counter c = {0, 0, fail_at};
            tokenizer_allocator a = {counted_alloc, counted_release, &c};
            tokenizer_error err = {0, ""};
            done = live(v, &a, flat, size, &err);
            CHECK(c.live == 0 && (done ? c.calls <= fail_at : strstr(err.text, "no memory for ") != NULL));
            CHECK(err.code == (done ? 0 : TOKENIZER_NO_MEMORY));
        }
        CHECK(done);
        free(flat);
        tokenizer_free(t);
    }
}

/* --- Long texts and any bytes --- */

static void test_long(void) {
    static const char *const units[] = {"a", " ", "\n",  " \n", "ab",         "the ",         "\xFF",     "'s",
                                        "1", "!", "\t ", " x",  "<|eot_id|>", "\xE4\xB8\xAD", "<|eot_id|"};
    enum { LENGTH = 1 << 20 };
    char *text = malloc(LENGTH);
    int *ids = malloc((LENGTH + 1) * sizeof *ids);
    tokenizer *t = create(new_llama3());
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        TEST("a megabyte of the same takes no quadratic time") {
            size_t n = strlen(units[i]);
            for (size_t j = 0; j < LENGTH; j++) text[j] = units[i][j % n];
            clock_t start = clock();
            CHECK(tokenizer_encode(t, text, LENGTH, i > 11 ? TOKENIZER_SPECIAL : 0, ids, LENGTH + 1, NULL) > 0);
            CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 20); /* half a second without sanitizers */
        }
    }
    TEST("any bytes come back") {
        for (int round = 0; round < 300; round++) {
            size_t n = random_below(2000);
            for (size_t i = 0; i < n; i++)
                text[i] = (char)(random_below(2) ? random_below(256) : random_below(4) ? 32 + random_below(95) : ' ');
            CHECK(round_trip(t, text, n));
        }
    }
    tokenizer_free(t);
    free(text), free(ids);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_words();
    test_llama3();
    test_against_naive();
    test_special();
    test_piece_zero();
    test_max_match();
    test_refused();
    test_sentencepiece();
    test_parts();
    test_flat();
    test_damaged();
    test_allocations();
    test_long();
    return test_end();
}
