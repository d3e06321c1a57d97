/* test_added.c - how texts are cut before they are merged: into words, by each of the patterns; at the pieces that were
 * added to a vocabulary, by what is said of them; and where a space is put in front. To see the words it includes
 * tokenizer.c.
 *
 * What to expect in added_cases.inc comes from Hugging Face's library: added_cases.mjs makes it.
 */
#include "test.h"

#include "../tokenizer.c"

#include "added_cases.inc"

#include <time.h>

#define SPACE "\xE2\x96\x81"

/* --- Words --- */

static const char *const split_names[] = {"Llama 3",  "GPT-2",  "StarCoder", "Qwen 2",
                                          "Qwen 3.5", "GPT-4o", "Tekken",    "DeepSeek 3"};

/* Sizes of the words of a text. */
static const char *sizes_of(int split, const char *text, size_t size) {
    static char out[1 << 12];
    char *to = out;
    const tk_words w = {text + size, split};
    *out = 0;
    for (const char *p = text; p < w.end;) {
        const char *next = tk_word(&w, p);
        to += sprintf(to, p > text ? " %d" : "%d", (int)(next - p));
        p = next;
    }
    return out;
}

/* Each word between bars. test_real.c has more. */
static void check_words(int split, const char *words) {
    char text[256], want[256], *to = text, *out = want;
    for (const char *p = words, *begin = p; p == words || p[-1]; p++) {
        if (*p && *p != '|') {
            *to++ = *p;
            continue;
        }
        out += sprintf(out, begin > words ? " %d" : "%d", (int)(p - begin));
        begin = p + 1;
    }
    if (!CHECK_TEXT(sizes_of(split, text, (size_t)(to - text)), want)) printf("  text   %s\n", words);
}

static void test_words(void) {
    TEST("GPT-2: lower case after an apostrophe, digits without end, ends of lines as other white space") {
        check_words(TOKENIZER_SPLIT_GPT2, "it|'s|'|S| 12345|  | 6|!\xFF|\n|\n|a| \n  | b|  ");
    }
    TEST("StarCoder: each digit alone, and white space ends at it") {
        check_words(TOKENIZER_SPLIT_STARCODER, "a|1|2|  |3| |4| b| |\xC2\xBD|.");
    }
    TEST("GPT-4o: where small letters end, and where letters of no case stand between capitals") {
        check_words(TOKENIZER_SPLIT_GPT4O, "camel|Case|XMLHttp|AB\xE3\x81\x82|CD's|\xC7\x85o| $|A'LL|!!/\n//\n");
        check_words(TOKENIZER_SPLIT_TEKKEN, "A|'LL|1|2|\xCC\x81|AB|.\xCC\x81"
                                            "ABab\xCC\x81| \xCC\x81|\xFF\xFF");
    }
    TEST("DeepSeek 3: control characters and what is no UTF-8") {
        check_words(TOKENIZER_SPLIT_DEEPSEEK3, "\1|\2a|\1\2|!|\1| .|\1|1|\1\1");
        check_words(TOKENIZER_SPLIT_DEEPSEEK3,
                    "\xFF\xFF|a|.b|..|b| |\xE4\xB8\xAD|  |1|\xE9\xBE\xA5\xE3\x82\xA2|\xE9\xBE\xA6");
        check_words(TOKENIZER_SPLIT_DEEPSEEK3, "\xE3\x82\xA0|\n|\xE3\x83\xBB|\r\n|!\n"); /* signs of kana */
    }
}

/* --- A small vocabulary --- */

enum { FIRST = 258, TOOL = 263, MOST = 300 }; /* after <unk>, <s> and the bytes */

typedef struct {
    tokenizer_piece pieces[MOST];
    char names[256][8];
    int merges[2][2];
    tokenizer_parts parts;
} vocabulary;

static void add(vocabulary *v, const char *text, int type, int flags) {
    v->pieces[v->parts.n_pieces++] = (tokenizer_piece){text, strlen(text), 0, type, flags};
}

static vocabulary *new_vocabulary(int prefix) {
    static vocabulary v;
    static const char *const more[] = {SPACE, "a", "b", "ab", SPACE "ab"};
    memset(&v, 0, sizeof v);
    v.parts =
        (tokenizer_parts){.kind = TOKENIZER_SENTENCEPIECE, .pieces = v.pieces, .bos = -1, .add_dummy_prefix = prefix};
    add(&v, "<unk>", TOKENIZER_UNKNOWN, 0), add(&v, "<s>", TOKENIZER_CONTROL, 0);
    for (int i = 0; i < 256; i++) {
        sprintf(v.names[i], "<0x%02X>", (unsigned)i);
        add(&v, v.names[i], TOKENIZER_BYTE, 0);
    }
    for (int i = 0; i < 5; i++) add(&v, more[i], TOKENIZER_NORMAL, 0);
    v.merges[0][0] = FIRST + 1, v.merges[0][1] = FIRST + 2, v.merges[1][0] = FIRST, v.merges[1][1] = FIRST + 3;
    v.parts.merges = (const int(*)[2])v.merges, v.parts.n_merges = 2;
    return &v;
}

static vocabulary *new_bytes(int split, int nfc) {
    static vocabulary v;
    memset(&v, 0, sizeof v);
    v.parts =
        (tokenizer_parts){.kind = TOKENIZER_BYTE_LEVEL, .pieces = v.pieces, .bos = -1, .split = split, .nfc = nfc};
    for (int i = 0; i < 256; i++) {
        v.names[i][0] = (char)i;
        v.pieces[v.parts.n_pieces++] = (tokenizer_piece){v.names[i], 1, 0, TOKENIZER_NORMAL, 0};
    }
    return &v;
}

/* Saved and loaded again, so that all of it is in the flat form. */
static tokenizer *create(const vocabulary *v) {
    tokenizer_error err = {0, ""};
    tokenizer *t = tokenizer_create(&v->parts, NULL, &err), *u = NULL;
    const size_t size = t ? tokenizer_save(t, NULL, 0) : 0;
    char *flat = malloc(size + 1);
    if (t && flat && tokenizer_save(t, flat, size)) u = tokenizer_load_memory(flat, size, 0, NULL, &err);
    CHECK_TEXT(err.text, "");
    tokenizer_free(t);
    free(flat);
    if (!CHECK(u != NULL)) exit(1);
    return u;
}

static const char *ids_of(const tokenizer *t, const char *text, int flags) {
    static char out[1 << 12];
    int ids[400];
    const ptrdiff_t n = tokenizer_encode(t, text, strlen(text), flags, ids, 400, NULL);
    CHECK(n >= 0 && (size_t)n <= tokenizer_bound(t, strlen(text)));
    char *to = out;
    *out = 0;
    for (ptrdiff_t i = 0; i < n; i++) to += sprintf(to, i ? " %d" : "%d", ids[i]);
    return out;
}

static const char *text_of(const tokenizer *t, const int *ids, int n) {
    static char out[400];
    char *to = out;
    for (int i = 0; i < n; i++) {
        size_t size;
        const char *p = tokenizer_decode(t, i ? ids[i - 1] : -1, ids[i], &size);
        memcpy(to, p, size);
        to += size;
    }
    *to = 0;
    return out;
}

/* --- Added pieces --- */

static void test_added(void) {
    tokenizer *t = NULL;
    for (size_t i = 0; i < sizeof added_cases / sizeof *added_cases; i++) {
        const int prefix = added_cases[i].prefix, flags = added_cases[i].flags;
        if (!i || prefix != added_cases[i - 1].prefix || flags != added_cases[i - 1].flags) {
            vocabulary *v = new_vocabulary(prefix);
            add(v, "<tool>", TOKENIZER_USER_DEFINED, flags | TOKENIZER_SEGMENT);
            tokenizer_free(t);
            t = create(v);
        }
        TEST(added_cases[i].text)
            if (!CHECK_TEXT(ids_of(t, added_cases[i].text, TOKENIZER_SPECIAL), added_cases[i].ids))
                printf("  prefix %d, flags %d\n", prefix, flags);
    }
    tokenizer_free(t);
    TEST("a text that goes on gets no space, whatever the rule") {
        for (int prefix = 0; prefix <= TOKENIZER_PREFIX_NONE; prefix++) {
            t = create(new_vocabulary(prefix));
            CHECK_TEXT(ids_of(t, "ab", TOKENIZER_CONTINUE), "261");
            tokenizer_free(t);
        }
    }
    TEST("a symbol of SentencePiece's stays inside of its text") {
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_EACH);
        add(v, "<tool>", TOKENIZER_USER_DEFINED, 0);
        t = create(v);
        CHECK_TEXT(ids_of(t, "ab<tool>ab", 0), "262 263 261");
        tokenizer_free(t);
    }
    TEST("an added piece with the bytes of another: the one where it cuts, the other where merges make it") {
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_NEVER);
        add(v, "ab", TOKENIZER_USER_DEFINED, TOKENIZER_SEGMENT | TOKENIZER_SINGLE_WORD);
        t = create(v);
        CHECK_TEXT(ids_of(t, "ab abab", 0), "263 262 261");
        tokenizer_free(t);
    }
    TEST("what was added comes only where it cuts the text, not where merges or a whole word would make it") {
        const int flags = TOKENIZER_SEGMENT | TOKENIZER_ADDED | TOKENIZER_SINGLE_WORD;
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_NEVER);
        add(v, "c", TOKENIZER_USER_DEFINED, flags), add(v, "b", TOKENIZER_USER_DEFINED, flags);
        t = create(v);
        CHECK_TEXT(ids_of(t, "c", 0), "263");
        CHECK_TEXT(ids_of(t, "ac b ab", 0), "259 101 258 264 262"); /* the byte of c; b by itself */
        tokenizer_free(t);
        v = new_vocabulary(TOKENIZER_PREFIX_NEVER); /* with scores in place of merges */
        v->parts.merges = NULL, v->parts.n_merges = 0;
        add(v, "bb", TOKENIZER_USER_DEFINED, flags);
        t = create(v);
        CHECK_TEXT(ids_of(t, "bb abb", 0), "263 262 260");
        tokenizer_free(t);
        v = new_bytes(TOKENIZER_SPLIT_LLAMA3, 0);
        v->parts.ignore_merges = 1;
        add(v, "ab", TOKENIZER_USER_DEFINED, flags);
        t = create(v);
        CHECK_TEXT(ids_of(t, "ab_ab", 0), "97 98 95 97 98");
        CHECK_TEXT(ids_of(t, "_.ab", 0), "95 46 256");
        tokenizer_free(t);
    }
    TEST("the unknown token is a special one") {
        t = create(new_vocabulary(TOKENIZER_PREFIX_NEVER));
        CHECK_TEXT(ids_of(t, "a<unk>b", TOKENIZER_SPECIAL), "259 0 260");
        CHECK(strcmp(ids_of(t, "a<unk>b", 0), "259 0 260") != 0);
        tokenizer_free(t);
    }
    TEST("the bound knows of pieces of one byte") {
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_EACH);
        add(v, "\n", TOKENIZER_USER_DEFINED, TOKENIZER_SEGMENT);
        t = create(v);
        CHECK_TEXT(ids_of(t, "a\nb\na", 0), "258 259 263 258 260 263 258 259");
        tokenizer_free(t);
    }
    TEST("white space that one takes away and another finds again") { /* where Hugging Face's library stops */
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_NEVER);
        add(v, "<x>", TOKENIZER_USER_DEFINED, TOKENIZER_SEGMENT | TOKENIZER_RSTRIP | TOKENIZER_LSTRIP);
        add(v, "\n", TOKENIZER_USER_DEFINED, TOKENIZER_SEGMENT | TOKENIZER_RSTRIP);
        t = create(v);
        CHECK_TEXT(ids_of(t, "a <x>\n \nb", 0), "259 263 264 264 260");
        tokenizer_free(t);
        v = new_vocabulary(TOKENIZER_PREFIX_NEVER);
        add(v, "\n", TOKENIZER_USER_DEFINED, TOKENIZER_SEGMENT | TOKENIZER_RSTRIP | TOKENIZER_LSTRIP);
        t = create(v);
        CHECK_TEXT(ids_of(t, "a \n\n b\n", 0), "259 263 260 263"); /* as there */
        tokenizer_free(t);
    }
}

/* --- Marks --- */

static void test_marks(void) {
    static const char *const names[] = {"<|im_start|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "[INST]"};
    TEST("marks of turns are special tokens, whatever their type") {
        for (int type = TOKENIZER_NORMAL; type <= TOKENIZER_USER_DEFINED; type += 3) {
            vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_NEVER);
            for (int i = 0; i < 5; i++) add(v, names[i], type, 0);
            tokenizer *t = create(v);
            for (int i = 0; i < 5; i++) {
                char want[16], ids[400];
                sprintf(want, "%d", TOOL + i);
                strcpy(ids, ids_of(t, names[i], 0));
                CHECK(!strstr(ids, want));
                CHECK_TEXT(ids_of(t, names[i], TOKENIZER_SPECIAL), want);
                CHECK_TEXT(text_of(t, &(int){TOOL + i}, 1), "");
            }
            tokenizer_free(t);
        }
    }
    TEST("so is what starts or ends a text, but a single byte; and what merges make it goes") {
        static const int ends[] = {FIRST + 4, FIRST + 1};
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_EACH);
        v->parts.ends = ends, v->parts.n_ends = 2, v->parts.bos = FIRST + 3;
        tokenizer *t = create(v);
        CHECK_TEXT(ids_of(t, "ab", 0), "258 259 260");
        CHECK(tokenizer_is_end(t, FIRST + 4) && tokenizer_is_end(t, FIRST + 1));
        tokenizer_free(t);
    }
    TEST("one that is shown") {
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_NEVER);
        add(v, "<think>", TOKENIZER_CONTROL, TOKENIZER_SHOWN), add(v, "<tool>", TOKENIZER_CONTROL, 0);
        tokenizer *t = create(v);
        CHECK_TEXT(text_of(t, (int[]){TOOL, FIRST + 3, TOOL + 1}, 3), "<think>ab");
        CHECK_TEXT(ids_of(t, "<think>", TOKENIZER_SPECIAL), "263");
        CHECK(strcmp(ids_of(t, "<think>", 0), "263") != 0);
        tokenizer_free(t);
    }
    TEST("of a .model too") {
        static const char *const pieces[][2] = {
            {"<unk>", "\2"}, {"<|im_end|>", "\4"}, {"<|im_start|>", "\1"}, {"a", "\1"}};
        char file[200];
        size_t n = 0;
        for (int i = 0; i < 4; i++) {
            const size_t size = strlen(pieces[i][0]);
            n += (size_t)sprintf(file + n, "\n%c\n%c%s\x18%c", (char)(size + 4), (char)size, pieces[i][0],
                                 *pieces[i][1]);
        }
        n += (size_t)sprintf(file + n, "\x12\2\x18\2"); /* of kind BPE */
        tokenizer_error err = {0, ""};
        tokenizer *t = tokenizer_load_memory(file, n, 0, NULL, &err);
        CHECK_TEXT(err.text, "");
        if (!CHECK(t != NULL)) exit(1);
        CHECK_TEXT(ids_of(t, "a<|im_end|><|im_start|>", 0), "0 3 0 3 0");
        CHECK_TEXT(ids_of(t, "<|im_end|><|im_start|>", TOKENIZER_SPECIAL), "1 2");
        tokenizer_free(t);
    }
}

/* --- White space around special tokens of a chat, and inside its texts --- */

static void test_chat(void) {
    static const int eos = 1;
    TEST("marks that take white space away") {
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_EACH);
        v->parts.ends = &eos, v->parts.n_ends = 1;
        add(v, "<|user|>", TOKENIZER_CONTROL, TOKENIZER_RSTRIP);
        add(v, "<|assistant|>", TOKENIZER_CONTROL, TOKENIZER_RSTRIP | TOKENIZER_LSTRIP);
        tokenizer *t = create(v);
        const tokenizer_message message = {TOKENIZER_USER, " \tab ", 5};
        int ids[40];
        /* <|user|> \n \t a b space </s> \n <|assistant|> \n */
        CHECK(tokenizer_encode_chat(t, TOKENIZER_ZEPHYR, &message, 1, 0, ids, 40, NULL) == 5);
        CHECK(ids[0] == TOOL && ids[1] == FIRST + 4 && ids[2] == FIRST && ids[3] == 1 && ids[4] == TOOL + 1);
        tokenizer_free(t);
    }
    TEST("what Python calls white space is trimmed") {
        vocabulary *v = new_vocabulary(TOKENIZER_PREFIX_NEVER);
        static const char *const marks[] = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};
        for (int i = 0; i < 3; i++) add(v, marks[i], TOKENIZER_CONTROL, 0);
        tokenizer *t = create(v);
        const tokenizer_message message = {TOKENIZER_USER, "\x1C\xC2\x85 ab\x1F\x1D\x1E\n", 10};
        int ids[60], n_other = 0;
        const ptrdiff_t n = tokenizer_encode_chat(t, TOKENIZER_LLAMA3, &message, 1, 0, ids, 60, NULL);
        for (ptrdiff_t i = 0; i < n; i++) n_other += ids[i] >= 2 + 0x1C && ids[i] <= 2 + 0x1F;
        CHECK(n > 0 && !n_other);
        tokenizer_free(t);
    }
}

/* --- NFC --- */

static void test_nfc(void) {
    TEST("NFC") {
        tokenizer *t = create(new_bytes(TOKENIZER_SPLIT_QWEN2, 1));
        CHECK_TEXT(ids_of(t, "e\xCC\x81", 0), "195 169");
        CHECK_TEXT(ids_of(t, "\xCD\x84", 0), "204 136 204 129"); /* which is longer then */
        tokenizer_free(t);
        t = create(new_bytes(TOKENIZER_SPLIT_QWEN2, 0));
        CHECK_TEXT(ids_of(t, "e\xCC\x81", 0), "101 204 129");
        tokenizer_free(t);
    }
    TEST("pieces that are looked for in NFC, and in the text as it is") {
        for (int i = 0; i < 2; i++) {
            vocabulary *v = new_bytes(TOKENIZER_SPLIT_QWEN2, 1);
            add(v, "e\xCC\x81!", TOKENIZER_USER_DEFINED, i ? TOKENIZER_NORMALIZED : 0);
            tokenizer *t = create(v);
            CHECK_TEXT(ids_of(t, "e\xCC\x81!\xC3\xA9!", 0), i ? "256 256" : "256 195 169 33");
            tokenizer_free(t);
        }
    }
}

/* --- Long texts --- */

static void test_long(void) {
    static const char *const units[] = {"a",
                                        "A",
                                        " ",
                                        "\n",
                                        " \n",
                                        "1",
                                        "!",
                                        "\1",
                                        "'s",
                                        "aA",
                                        "\xE3\x81\x82",
                                        ("\xE3\x81\x82"
                                         "A"),
                                        "\xCC\x81",
                                        "\xFF",
                                        "the 12 ",
                                        "\t<x>",
                                        "<x> ",
                                        "\xCC\x81\xCC\xA3"};
    enum { LENGTH = 1 << 18 };
    char *text = malloc(LENGTH);
    int *ids = malloc(3 * LENGTH * sizeof *ids);
    if (!CHECK(text && ids)) exit(1);
    for (int split = 0; split < TK_N_SPLITS; split++)
        TEST(split_names[split]) {
            vocabulary *v = new_bytes(split, split == TOKENIZER_SPLIT_QWEN2);
            add(v, "<x>", TOKENIZER_USER_DEFINED, TOKENIZER_LSTRIP | TOKENIZER_RSTRIP);
            add(v, " ", TOKENIZER_USER_DEFINED, TOKENIZER_RSTRIP | TOKENIZER_NORMALIZED);
            tokenizer *t = create(v);
            for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
                const size_t n = strlen(units[i]);
                for (size_t j = 0; j < LENGTH; j++) text[j] = units[i][j % n];
                const clock_t start = clock();
                CHECK(tokenizer_encode(t, text, LENGTH, 0, ids, 3 * LENGTH, NULL) > 0);
                CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 20); /* 10 ms without sanitizers */
            }
            tokenizer_free(t);
        }
    free(text), free(ids);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_words();
    test_added();
    test_marks();
    test_chat();
    test_nfc();
    test_long();
    return test_end();
}
