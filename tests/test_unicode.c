/* test_unicode.c - what tokenizer.c says of characters, and how it normalises them. To see that, it includes
 * tokenizer.c. What to expect is Node's word: unicode_tables.mjs writes unicode_cases.inc.
 */
#include "test.h"

#include "../tokenizer.c"

#include "unicode_cases.inc"

/* FNV-1a over the numbers of all categories. */
static void test_categories(void) {
    TEST("categories of all code points") {
        uint32_t hash = 2166136261u;
        int count[TK_WHITE + 1] = {0};
        for (int32_t c = 0; c < 0x110000; c++) {
            hash = (hash ^ (uint32_t)tk_category(c)) * 16777619u;
            count[tk_category(c)]++;
        }
        CHECK(hash == category_hash);
        for (int i = 0; i <= TK_WHITE; i++) CHECK(count[i] == category_counts[i]);
    }
    TEST("the category of no code point") { CHECK(tk_category(-1) == TK_NONE); }
}

int main(void) {
    test_categories();
    return test_end();
}
