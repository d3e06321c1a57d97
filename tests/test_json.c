/* test_json.c - the JSON reader of tools/: what it accepts, what it refuses and with which words, and how long it
 * takes. */
#include "../tools/formats/json.h"
#include "test.h"

#include <time.h>

static llama_error err;

static int parse(json_text *j, const char *text) { return json_parse(j, text, strlen(text), "t", &err); }

/* The message for a text that is refused; "" if it is not. */
static const char *refusal(const char *text, size_t size) {
    json_text j;
    err.text[0] = 0;
    if (!json_parse(&j, text, size, "t", &err)) strcpy(err.text, "");
    json_free(&j);
    return err.text;
}

static void test_values(void) {
    json_text j;
    TEST("values") {
        CHECK(!parse(&j, " {\"a\": [1, -2.5e3, \"x\\ny\", true, false, null, {}, []],\n\"b\":{\"c\":\"d\"}}\r\n"));
        const json_node *a = json_get(j.nodes, "a"), *item = a + 1;
        static const json_type types[] = {JSON_NUMBER, JSON_NUMBER, JSON_STRING, JSON_TRUE,
                                          JSON_FALSE,  JSON_NULL,   JSON_OBJECT, JSON_ARRAY};
        CHECK(j.nodes->type == JSON_OBJECT && j.nodes->size == 2 && j.nodes->skip == j.count && j.count == 15);
        CHECK(a && a->type == JSON_ARRAY && a->size == 8 && a->skip == 9 && a->line == 1);
        for (int i = 0; i < 8; i++) CHECK(item[i].type == types[i] && item[i].skip == 1);
        CHECK(item[0].number == 1 && item[1].number == -2500);
        CHECK_TEXT(item[2].text, "x\ny");
        CHECK(json_is_text(json_get(json_get(j.nodes, "b"), "c"), "d"));
        CHECK(json_get(j.nodes, "b")->line == 2);
        CHECK(!json_get(j.nodes, "c") && !json_get(a, "c") && !json_get(NULL, "c"));
        int n = 0;
        JSON_EACH(key, j.nodes) n += key->type == JSON_STRING && (key + 1)->type >= JSON_ARRAY;
        CHECK(n == 2);
        json_free(&j);
    }
    TEST("a value alone") {
        CHECK(!parse(&j, "7") && j.count == 1 && j.nodes->number == 7);
        json_free(&j);
        CHECK(!parse(&j, "\"\"") && j.nodes->size == 0 && !*j.nodes->text);
        json_free(&j);
    }
    TEST("escapes") {
        CHECK(!parse(&j, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\xF0\x9F\x98\x80\\u0000.\""));
        static const char want[] = "\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xF0\x9F\x98\x80\0.";
        CHECK(j.nodes->size == sizeof want - 1 && !memcmp(j.nodes->text, want, sizeof want));
        json_free(&j);
        CHECK(!parse(&j, "\"\\u007F\\u0080\\u07FF\\u0800\\uFFFF\\uD800\\uDC00\\uDBFF\\uDFFF\""));
        CHECK_TEXT(j.nodes->text, "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
        json_free(&j);
    }
    TEST("numbers") {
        static const struct {
            const char *text;
            double value;
        } good[] = {{"0", 0},     {"-0", 0},     {"10", 10},           {"0.5", 0.5},
                    {"1E2", 100}, {"1e+2", 100}, {"-1.25e-1", -0.125}, {"1e-400", 0}};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            CHECK(!parse(&j, good[i].text) && j.nodes->number == good[i].value);
            json_free(&j);
        }
    }
    TEST("whole numbers") {
        /* clang-format off */
        static const struct { const char *text; int ok; double value; } table[] = {
            {"0", 1, 0}, {"9007199254740991", 1, 9007199254740991.0}, {"1e3", 1, 1000}, {"9007199254740992", 0, 0},
            {"-1", 0, 0}, {"1.5", 0, 0}, {"1e300", 0, 0}, {"\"1\"", 0, 0}, {"true", 0, 0}};
        /* clang-format on */
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            uint64_t value = 0;
            CHECK(!parse(&j, table[i].text) && json_whole(j.nodes, &value) == table[i].ok &&
                  (double)value == table[i].value);
            json_free(&j);
        }
        uint64_t value;
        CHECK(!json_whole(NULL, &value));
    }
}

static void test_refused(void) {
    static const struct {
        const char *text, *want;
    } table[] = {
        {"", "t: line 1, byte 0: the text ends where a value is expected"},
        {" \n ", "t: line 2, byte 3: the text ends where a value is expected"},
        {"[1, 2", "t: line 1, byte 5: the text ends inside an array"},
        {"[1,", "t: line 1, byte 3: the text ends where a value is expected"},
        {"[1,]", "t: line 1, byte 3: no value"},
        {"[,1]", "t: line 1, byte 1: no value"},
        {"[1 2]", "t: line 1, byte 3: no ',' or ']'"},
        {"[1}", "t: line 1, byte 2: no ',' or ']'"},
        {"{\"a\":1]", "t: line 1, byte 6: no ',' or '}'"},
        {"{", "t: line 1, byte 1: the text ends inside an object"},
        {"{\"a\"", "t: line 1, byte 4: no ':' after a key"},
        {"{\"a\" 1}", "t: line 1, byte 5: no ':' after a key"},
        {"{\"a\":", "t: line 1, byte 5: the text ends where a value is expected"},
        {"{\"a\":1,}", "t: line 1, byte 7: no \" where a key is expected"},
        {"{a:1}", "t: line 1, byte 1: no \" where a key is expected"},
        {"{1:1}", "t: line 1, byte 1: no \" where a key is expected"},
        {"{\"a\":}", "t: line 1, byte 5: no value"},
        {"[\n1,\n2\n] x", "t: line 4, byte 9: something after the end of the value"},
        {"1 2", "t: line 1, byte 2: something after the end of the value"},
        {"]", "t: line 1, byte 0: no value"},
        {"nul", "t: line 1, byte 0: no value"},
        {"nulll", "t: line 1, byte 4: something after the end of the value"},
        {"True", "t: line 1, byte 0: no value"},
        {"NaN", "t: line 1, byte 0: no value"},
        {"'a'", "t: line 1, byte 0: no value"},
        {"// c\n1", "t: line 1, byte 0: no value"},
        {"\xEF\xBB\xBF{}", "t: line 1, byte 0: no value"},
        {"01", "t: line 1, byte 1: something after the end of the value"},
        {"-", "t: line 1, byte 1: a malformed number"},
        {"+1", "t: line 1, byte 0: no value"},
        {".5", "t: line 1, byte 0: no value"},
        {"1.", "t: line 1, byte 2: a malformed number"},
        {"1.e3", "t: line 1, byte 2: a malformed number"},
        {"1e", "t: line 1, byte 2: a malformed number"},
        {"1e+", "t: line 1, byte 3: a malformed number"},
        {"0x10", "t: line 1, byte 1: something after the end of the value"},
        {"1e999", "t: line 1, byte 5: a number too large"},
        {"-1e999", "t: line 1, byte 6: a number too large"},
        {"\"abc", "t: line 1, byte 4: the text ends inside a string"},
        {"\"abc\\", "t: line 1, byte 4: an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"},
        {"\"\\x41\"", "t: line 1, byte 1: an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"},
        {"\"\\u12\"", "t: line 1, byte 1: an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"},
        {"\"\\u12G4\"", "t: line 1, byte 1: an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"},
        {"\"\\uD83D\"", "t: line 1, byte 1: a surrogate without the other half of its pair"},
        {"\"\\uD83Dx\"", "t: line 1, byte 1: a surrogate without the other half of its pair"},
        {"\"\\uD83D\\u0041\"", "t: line 1, byte 1: a surrogate without the other half of its pair"},
        {"\"\\uD83D\\uD83D\"", "t: line 1, byte 1: a surrogate without the other half of its pair"},
        {"\"\\uDE00\"", "t: line 1, byte 1: a surrogate without the other half of its pair"},
        {"\"\\uDE00\\uD83D\"", "t: line 1, byte 1: a surrogate without the other half of its pair"},
        {"\"\\uD83D", "t: line 1, byte 1: a surrogate without the other half of its pair"},
        {"\"a\nb\"", "t: line 1, byte 2: a control character inside a string"},
        {"\"\t\"", "t: line 1, byte 1: a control character inside a string"},
        {"\"\x80\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xC0\xAF\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xE0\x80\xAF\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xED\xA0\x80\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xF0\x80\x80\xAF\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xFF\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xE2\x82\"", "t: line 1, byte 1: invalid UTF-8"},
        {"\"\xF0\x9F\x98", "t: line 1, byte 1: invalid UTF-8"},
        {"{\"a\":1,\"b\":2,\"\\u0061\":3}", "t: the object that starts in line 1 has the key \"a\" twice"},
        {"[{\"x\":{\"\":1,\"\":2}}]", "t: the object that starts in line 1 has the key \"\" twice"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].text) CHECK_TEXT(refusal(table[i].text, strlen(table[i].text)), table[i].want);
    TEST("a zero byte") {
        CHECK_TEXT(refusal("[1\0]", 4), "t: line 1, byte 2: no ',' or ']'");
        CHECK_TEXT(refusal("1\0", 2), "t: line 1, byte 1: something after the end of the value");
        CHECK_TEXT(refusal("\"a\0b\"", 5), "t: line 1, byte 2: a control character inside a string");
        CHECK_TEXT(refusal("\0", 1), "t: line 1, byte 0: no value");
    }
    TEST("the same key in different objects") CHECK_TEXT(refusal("[{\"a\":{\"a\":1}},{\"a\":2}]", 23), "");
    TEST("files") {
        json_text j;
        CHECK(json_load(&j, "tests/none.json", &err) == -1 && strstr(err.text, "tests/none.json: cannot open: "));
        CHECK(json_load(&j, ".", &err) == -1 && !strncmp(err.text, ".: ", 3));
        json_free(&j);
    }
}

/* Every prefix is refused, and so is, or is not, without a crash, every text with one byte changed. */
static void test_damaged(void) {
    static const char text[] =
        "{\"a\":[1,-2.5e3,\"x\\u00e9\\uD83D\\uDE00\xE2\x82\xAC\",true,{},[]],\"b\":{\"c\":null}}";
    TEST("every prefix") {
        for (size_t n = 0; n < sizeof text - 1; n++) CHECK(*refusal(text, n));
        CHECK_TEXT(refusal(text, sizeof text - 1), "");
    }
    TEST("every changed byte") {
        char *copy = malloc(sizeof text - 1);
        for (size_t i = 0; i < sizeof text - 1; i++)
            for (int c = 0; c < 256; c++) {
                memcpy(copy, text, sizeof text - 1);
                copy[i] = (char)c;
                refusal(copy, sizeof text - 1);
            }
        free(copy);
    }
}

static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; } /* the processor's: the machine may be busy */

static void test_large(void) {
    enum { DEEP = 1000000, KEYS = 128000, MERGES = 280000 };
    char *text = malloc(16u << 20);
    json_text j;
    TEST("nested a million deep") {
        memset(text, '[', DEEP);
        CHECK(strstr(refusal(text, DEEP), "byte 1000000: the text ends"));
        memset(text + DEEP, ']', DEEP);
        CHECK(!json_parse(&j, text, 2 * DEEP, "t", &err) && j.count == DEEP && j.nodes->skip == DEEP &&
              j.nodes[DEEP - 1].skip == 1);
        json_free(&j);
        for (int i = 0; i < DEEP; i++) memcpy(text + 5 * i, "{\"\":", 4), text[5 * i + 4] = ' ';
        CHECK(strstr(refusal(text, 5 * DEEP), "byte 5000000: the text ends"));
    }
    TEST("a large vocabulary takes no quadratic time") {
        size_t n = (size_t)sprintf(text, "{\"vocab\":{");
        for (int i = 0; i < KEYS; i++) n += (size_t)sprintf(text + n, "%s\"piece%d\":%d", i ? "," : "", i * 7, i);
        n += (size_t)sprintf(text + n, "},\"merges\":[");
        for (int i = 0; i < MERGES; i++) n += (size_t)sprintf(text + n, "%s[\"a%d\",\"b%d\"]", i ? "," : "", i, i);
        n += (size_t)sprintf(text + n, "]}");
        const double start = seconds();
        CHECK(!json_parse(&j, text, n, "t", &err));
        CHECK(seconds() - start < 20); /* a tenth of a second without sanitizers */
        CHECK(json_get(j.nodes, "vocab")->size == KEYS && json_get(j.nodes, "merges")->size == MERGES);
        json_index index;
        int bad = 0;
        CHECK(!json_index_make(&index, json_get(j.nodes, "vocab")));
        for (int i = 0; i < 7 * KEYS; i++) {
            const json_node *id = json_find(&index, text, (size_t)sprintf(text, "piece%d", i));
            bad += i % 7 ? id != NULL : !id || id->number != i / 7;
        }
        CHECK(!bad && !json_find(&index, "", 0));
        json_index_free(&index);
        json_free(&j);
    }
    free(text);
}

int main(void) {
    test_values();
    test_refused();
    test_damaged();
    test_large();
    return test_end();
}
