/* test_unicode.c - what tokenizer.c knows of characters: their categories, and how texts are normalised. To see that,
 * it includes tokenizer.c. What to expect is Node's word; unicode_tables.mjs writes unicode_cases.inc.
 *
 *     test_unicode --categories     the category of each code point, a line each
 *     test_unicode --nfc            texts from stdin, each ended by a zero byte, in NFC
 *
 * is for unicode_tables.mjs --check, which compares all that Node and patience offer.
 */
#include "test.h"

#include "../tokenizer.c"

#include "unicode_cases.inc"

#include <time.h>

static uint32_t hash; /* FNV-1a */

static void hash_begin(void) { hash = 2166136261u; }

static void hash_bytes(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)p[i]) * 16777619u;
}

static int is_code_point(int32_t c) { return c < 0xD800 || c > 0xDFFF; }

/* The normalised text, in memory that tokenizer.c's own count says is enough. */
static tk_out nfc(const char *p, size_t n) {
    tk_out counted = {NULL, 0}, out = {NULL, 0};
    tk_nfc(p, n, &counted);
    out.p = malloc(counted.n + 1);
    tk_nfc(p, n, &out);
    CHECK(out.n <= counted.n && counted.n <= 3 * n);
    out.p[out.n] = 0;
    return out;
}

static int is_nfc(const char *p, size_t n) {
    const char *starter;
    return tk_nfc_prefix(p, p + n, &starter) == p + n;
}

static void test_categories(void) {
    TEST("categories of all code points") {
        int count[TK_WHITE + 1] = {0};
        hash_begin();
        for (int32_t c = 0; c < 0x110000; c++) {
            char category = (char)tk_category(c);
            hash_bytes(&category, 1);
            count[tk_category(c)]++;
        }
        CHECK(hash == category_hash);
        for (int i = 0; i <= TK_WHITE; i++) CHECK(count[i] == category_counts[i]);
    }
    TEST("characters of words") {
        hash_begin();
        for (int32_t c = 0; c < 0x110000; c++) {
            char is_word = (char)tk_is_word(c);
            hash_bytes(&is_word, 1);
        }
        CHECK(hash == word_hash);
    }
    TEST("no code point has no category") { CHECK(tk_category(-1) == TK_NONE); }
}

static void test_code_points(void) {
    TEST("NFD of all code points") {
        hash_begin();
        for (int32_t c = 1; c < 0x110000; c++) {
            int32_t parts[4];
            char bytes[4];
            if (!is_code_point(c)) continue;
            for (int n = tk_decompose(c, parts); n-- > 0;) hash_bytes(bytes, tk_spell(parts[n], bytes));
        }
        CHECK(hash == nfd_hash);
    }
    TEST("NFC of all code points, and of what they decompose to") {
        hash_begin();
        for (int32_t c = 1; c < 0x110000; c++) {
            int32_t parts[4];
            char bytes[4], apart[16];
            size_t n = 0;
            if (!is_code_point(c)) continue;
            tk_out once = nfc(bytes, tk_spell(c, bytes));
            hash_bytes(once.p, once.n);
            for (int i = tk_decompose(c, parts); i-- > 0;) n += tk_spell(parts[i], apart + n);
            tk_out again = nfc(apart, n);
            CHECK_TEXT(again.p, once.p);
            free(once.p);
            free(again.p);
        }
        CHECK(hash == nfc_hash);
    }
}

static void test_texts(void) {
    TEST("NFC of random texts") {
        for (size_t i = 0; i < sizeof nfc_cases / sizeof *nfc_cases; i++) {
            const char *from = nfc_cases[i][0], *to = nfc_cases[i][1];
            tk_out out = nfc(from, strlen(from));
            if (!CHECK_TEXT(out.p, to)) printf("  from   %s\n", from);
            if (is_nfc(from, strlen(from))) CHECK_TEXT(from, to);
            free(out.p);
        }
    }
    TEST("what is in NFC needs no copy") {
        static const char *const texts[] = {"",
                                            "plain",
                                            "\xC3\xA9t\xC3\xA9",
                                            "\xE6\x97\xA5\xE6\x9C\xAC",
                                            "\xED\x95\x9C\xEA\xB5\xAD",
                                            "\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA4\xB8\xE0\xA5\x8D\xE0\xA4\xA4\xE0\xA5\x87",
                                            "\xFF\xC3"};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) CHECK(is_nfc(texts[i], strlen(texts[i])));
        CHECK(!is_nfc("e\xCC\x81", 3) && !is_nfc("\xE2\x84\xAB", 3));
    }
}

/* A mark behind what is no UTF-8 has nothing to join, one before it is not kept from its starter. */
static void test_bytes(void) {
    TEST("bytes that are no UTF-8 stay, between what is normalised") {
        static const char *const cases[][2] = {
            {"\xFF", "\xFF"},
            {"\xC3", "\xC3"},
            {"e\xCC", "e\xCC"},
            {"e\xCC\x81\x81", "\xC3\xA9\x81"},
            {"e\xFF\xCC\x81", "e\xFF\xCC\x81"},
            {"\xED\xA0\x80\xCC\x81", "\xED\xA0\x80\xCC\x81"},
            {"\xF0\x8F\xBF\xBF\xCC\x81\xCC\x96", "\xF0\x8F\xBF\xBF\xCC\x96\xCC\x81"},
            {"\xE1\x84\x80\xE1\x85\xE1\x85\xA1", "\xE1\x84\x80\xE1\x85\xE1\x85\xA1"},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            tk_out out = nfc(cases[i][0], strlen(cases[i][0]));
            CHECK_TEXT(out.p, cases[i][1]);
            free(out.p);
        }
    }
    TEST("zeros are characters") {
        tk_out out = nfc("\0e\xCC\x81\0\xCC\x81", 7);
        CHECK(out.n == 6 && memcmp(out.p, "\0\xC3\xA9\0\xCC\x81", 6) == 0);
        free(out.p);
    }
}

static void test_time(void) {
    static const char *const repeated[] = {"a",
                                           "\xCC\x81",
                                           "\xCC\x81\xCC\x96",
                                           "e\xCC\x81",
                                           "\xCD\x85\xCC\xB4",
                                           "\xCD\x84",
                                           "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8",
                                           "\xE0\xA5\x98",
                                           "\xEF\xAC\xAC",
                                           "\xFF"};
    for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++)
        TEST("a megabyte of the same takes no quadratic time") {
            size_t size = strlen(repeated[i]), n = ((size_t)1 << 20) / size * size;
            char *text = malloc(n);
            for (size_t at = 0; at < n; at += size) memcpy(text + at, repeated[i], size);
            clock_t start = clock();
            tk_out out = nfc(text, n);
            CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 20); /* a tenth of a second without sanitizers */
            free(out.p);
            free(text);
        }
}

/* ---- For the script ---- */

static void print_nfc(void) {
    static char text[1 << 16];
    size_t n = 0;
    for (int c; (c = getchar()) != EOF;) {
        if (n < sizeof text) text[n++] = (char)c;
        if (c) continue;
        tk_out out = nfc(text, n);
        fwrite(out.p, 1, out.n, stdout);
        free(out.p);
        n = 0;
    }
}

int main(int n_args, char **args) {
    if (n_args > 1 && strcmp(args[1], "--categories") == 0) {
        for (int32_t c = 0; c < 0x110000; c++) printf("%d\n", tk_category(c));
    } else if (n_args > 1) {
        print_nfc();
    } else {
        test_categories();
        test_code_points();
        test_texts();
        test_bytes();
        test_time();
        return test_end();
    }
    return 0;
}
