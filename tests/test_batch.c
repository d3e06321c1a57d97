/* test_batch.c - the parts of tools/batch: lines, requests, sets of ids, and what adjusts logits, against a direct
 * definition.
 */
#include "../tools/batching/engine.h"
#include "../tools/batching/ids.h"
#include "../tools/batching/lines.h"
#include "../tools/batching/request.h"
#include "../tools/shared/adjust.h"
#include "../tools/shared/numbers.h"
#include "test.h"

#include <limits.h>

static llama_error err;
static uint64_t seed = 1;
static int below(int n) { return (int)(split_mix(&seed) % (uint64_t)n); }

/* ---- Lines ---- */

static const char path[] = "tests/bin/batch.txt";

static void write_file(const char *text, size_t size) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, size, f) != size || fclose(f)) printf("cannot write %s\n", path), exit(1);
}

static void test_lines(void) {
    lines l;
    one_line line;
    TEST("lines") {
        write_file("a\n\nb\0c\r\nlast", 11 + 1);
        CHECK(!lines_open(&l, path, &err));
        static const struct {
            const char *text;
            size_t size;
            int whole;
        } want[] = {{"a", 1, 1}, {"", 0, 1}, {"b\0c\r", 4, 1}, {"last", 4, 0}};
        for (int i = 0; i < 4; i++) {
            CHECK(lines_next(&l, &line, 1, &err) == 1 && l.number == (uint64_t)i + 1);
            CHECK(line.size == want[i].size && !memcmp(line.text, want[i].text, line.size));
            CHECK(line.whole == want[i].whole);
        }
        CHECK(lines_next(&l, &line, 1, &err) == 0 && l.offset == 12);
        lines_close(&l);
        write_file("", 0);
        CHECK(!lines_open(&l, path, &err) && lines_next(&l, &line, 1, &err) == 0);
        lines_close(&l);
        CHECK(lines_open(&l, "tests/bin/none", &err) == -1 && strstr(err.text, "cannot open"));
    }
    TEST("a line that is too long is not held, and the next is there") {
        const size_t n = 3 * (size_t)LINES_LONGEST;
        char *text = malloc(n + 3);
        memset(text, 'x', n);
        memcpy(text + n, "\ny", 3);
        write_file(text, n + 2);
        CHECK(!lines_open(&l, path, &err));
        CHECK(lines_next(&l, &line, 1, &err) == 1 && !line.text && l.offset == n + 1);
        CHECK(l.capacity <= 2 * (size_t)LINES_LONGEST);
        CHECK(lines_next(&l, &line, 1, &err) == 1 && line.size == 1 && *line.text == 'y' && l.number == 2);
        lines_close(&l);
        text[LINES_LONGEST] = '\n'; /* the longest that there may be */
        write_file(text, n);
        CHECK(!lines_open(&l, path, &err));
        CHECK(lines_next(&l, &line, 1, &err) == 1 && line.text && line.size == LINES_LONGEST);
        CHECK(lines_next(&l, &line, 1, &err) == 1 && !line.text && !line.whole);
        lines_close(&l);
        free(text);
    }
    TEST("the mark of UTF-8 at the beginning, there only; blank lines") {
        static const char text[] = "\xEF\xBB\xBF{\n\xEF\xBB\xBF\n \t\r\n\r";
        static const size_t sizes[] = {1, 3, 3, 1};
        write_file(text, sizeof text - 1);
        CHECK(!lines_open(&l, path, &err) && !lines_are_typed(&l));
        for (int i = 0; i < 4; i++) {
            CHECK(lines_next(&l, &line, 1, &err) == 1 && line.size == sizes[i]);
            CHECK(line_is_blank(&line) == (i >= 2));
        }
        CHECK(l.offset == sizeof text - 1);
        lines_close(&l);
        CHECK(!line_is_blank(&(one_line){NULL, 0, 1}) && !line_is_blank(&(one_line){"\0", 1, 1}));
    }
    remove(path);
}

/* ---- Ids ---- */

static void test_ids(void) {
    TEST("a set of ids") {
        ids s = {NULL, 0, 0, NULL, 0, 0};
        char id[32];
        CHECK(!ids_find(&s, "1"));
        for (int round = 0; round < 2; round++)
            for (int i = 0; i < 5000; i++) {
                snprintf(id, sizeof id, i % 2 ? "%d" : "\"%d\"", i / 2);
                ids_entry *e = ids_add(&s, id);
                CHECK(e && e->line == (round ? (uint64_t)i + 1 : 0));
                if (e) e->line = (uint64_t)i + 1;
            }
        CHECK(s.count == 5000 && !ids_find(&s, "2500") && ids_find(&s, "\"7\"")->line == 15);
        ids_free(&s);
    }
}

/* ---- Requests ---- */

static request_settings defaults = {.n = 256, .temperature = 0.8, .top_k = 40, .top_p = 0.95, .seed = 3};
static const option options[] = {
    {'n', "n", "N", WHOLE, &defaults.n, 1, INT_MAX, REQUEST_KEY, ""},
    {'t', "temperature", "T", REAL, &defaults.temperature, 0, 1000, REQUEST_KEY, ""},
    {0, "temp", "T", REAL, &defaults.temperature, 0, 1000, 0, NULL},
    {0, "top-p", "P", REAL, &defaults.top_p, 1e-6, 1, REQUEST_KEY, ""},
    {'s', "seed", "N", WHOLE, &defaults.seed, 0, INT_MAX, REQUEST_KEY, ""},
    {0, "logprobs", NULL, FLAG, &defaults.logprobs, 0, 1, REQUEST_KEY, ""},
};
static request_rules rules = {.options = options, .n_options = 6, .defaults = &defaults, .stop = NULL};

static int parse(request *r, const char *text) { return request_parse(r, text, strlen(text), 7, &rules, &err); }

static void test_requests(void) {
    request r;
    rules.kind = REQUEST_TEXT;
    TEST("a request") {
        CHECK(!parse(
            &r, "{\"id\": \"a\\u0000\\\"\", \"prompt\": \"x\\u0000y\", \"n\": 5, \"top_p\": 0.5, \"logprobs\": true, "
                "\"seed\": 9007199254740991, \"stop\": \"z\"}\r"));
        CHECK_TEXT(r.id, "\"a\\u0000\\\"\"");
        CHECK(r.prompt.size == 3 && !memcmp(r.prompt.text, "x\0y", 3) && r.settings.n == 5 && r.settings.logprobs);
        CHECK(r.settings.top_p == 0.5 && r.settings.temperature == 0.8 && r.settings.top_k == 40);
        CHECK(r.seed == 9007199254740991u && r.n_stops == 1 && r.stops[0].size == 1 && *r.stops[0].text == 'z');
        request_free(&r);
    }
    TEST("what a line does not say") {
        rules.stop = "end";
        CHECK(!parse(&r, "{\"prompt\": \"\"}") && r.prompt.text && !r.prompt.size);
        CHECK_TEXT(r.id, "7");
        CHECK(r.seed == 3 && r.settings.n == 256 && r.n_stops == 1 && r.stops[0].size == 3);
        request_free(&r);
        CHECK(!parse(&r, "{\"prompt\": \"\", \"stop\": []}") && !r.n_stops);
        request_free(&r);
        rules.stop = NULL;
    }
    TEST("so many texts to stop at, and no more") {
        for (int n = REQUEST_MOST_TEXTS; n <= REQUEST_MOST_TEXTS + 1; n++) {
            char line[8 * REQUEST_MOST_TEXTS] = "{\"prompt\": \"\", \"stop\": [\"a\"";
            for (int i = 1; i < n; i++) strcat(line, ",\"a\"");
            strcat(line, "]}");
            const int bad = parse(&r, line);
            CHECK(n <= REQUEST_MOST_TEXTS ? !bad && r.n_stops == n : bad && strstr(err.text, "has 257 strings"));
            request_free(&r);
        }
    }
    TEST("messages") {
        CHECK(!parse(
            &r,
            "{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}, {\"content\": \"b\", \"role\": \"user\"}]}"));
        CHECK(r.n_messages == 2 && r.messages[0].role == TOKENIZER_SYSTEM && r.messages[1].role == TOKENIZER_USER);
        CHECK(r.messages[1].size == 1 && *r.messages[1].text == 'b');
        request_free(&r);
    }
    TEST("other kinds") {
        rules.kind = REQUEST_SCORE;
        CHECK(!parse(&r, "{\"id\": 0, \"prompt\": \"x\", \"answers\": [\"a\", \"bc\"]}") && r.n_answers == 2);
        CHECK_TEXT(r.id, "0");
        request_free(&r);
        rules.kind = REQUEST_EMBED;
        CHECK(!parse(&r, "{\"text\": \"x\"}") && r.prompt.size == 1);
        request_free(&r);
    }
}

static const struct {
    request_kind kind;
    const char *text, *why, *id;
} refused[] = {
    {REQUEST_TEXT, " ", "no JSON, byte 1", NULL},
    {REQUEST_TEXT, "Emma was", "no JSON, byte 0: no value; expected {\"prompt\": ..}", NULL},
    {REQUEST_SCORE, "Emma was", "; expected {\"prompt\": .., \"answers\": [..]}", NULL},
    {REQUEST_EMBED, "\"Emma was\"", "the line is a string: expected {\"text\": ..}", NULL},
    {REQUEST_TEXT, "{\"prompt\": 1", "no JSON, byte ", NULL},
    {REQUEST_TEXT, "{\"prompt\": \"\xFF\"}", "invalid UTF-8", NULL},
    {REQUEST_TEXT, "{\"prompt\": \"\\ud800\"}", "surrogate", NULL},
    {REQUEST_TEXT, "{\"prompt\": \"a\", \"prompt\": \"b\"}", "an object has the key \"prompt\" twice", NULL},
    {REQUEST_TEXT, "[1]", "the line is an array: expected {\"prompt\": ..}", NULL},
    {REQUEST_TEXT, "{\"id\": -1, \"prompt\": \"\"}", "\"id\" is a number: expected", NULL},
    {REQUEST_TEXT, "{\"id\": null, \"prompt\": \"\"}", "\"id\" is null", NULL},
    {REQUEST_TEXT, "{\"id\": 1}", "neither \"prompt\" nor \"messages\"", "1"},
    {REQUEST_TEXT, "{\"id\": 1, \"prompt\": \"\", \"messages\": [{\"role\": \"user\", \"content\": \"\"}]}", "both",
     "1"},
    {REQUEST_TEXT, "{\"prompt\": 1}", "\"prompt\" is a number: expected a string", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"temp\": 1}", "unknown key \"temp\": did you mean \"temperature\"?", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"top-p\": 1}", "unknown key \"top-p\": did you mean \"top_p\"?", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"max-new_tokens\": 1}", "did you mean \"n\"?", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"none\": 1}", "unknown key \"none\"", "7"},
    {REQUEST_TEXT, "{\"text\": \"\"}", "unknown key \"text\": that is for --embed", "7"},
    {REQUEST_SCORE, "{\"text\": \"\"}", "did you mean \"prompt\"?", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"n\\u0000\": 1}", "unknown key \"n\"", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"n\": 1.5}", "\"n\" is 1.5: expected a whole number from 1 to", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"n\": 0}", "\"n\" is 0", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"n\": \"5\"}", "\"n\" is a string: expected a number", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"n\": 1e300}", "\"n\" is 1e+300", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"top_p\": 0}", "\"top_p\" is 0: expected a number from 1e-06 to 1", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"seed\": 9007199254740992}", "\"seed\" is", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"logprobs\": 1}", "\"logprobs\" is a number: expected true or false", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"stop\": [\"a\", \"\"]}", "\"stop\"[1] is empty", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"stop\": [1]}", "\"stop\"[0] is a number", "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"dry_breakers\": \"a\"}", "expected an array of strings", "7"},
    {REQUEST_TEXT, "{\"messages\": []}", "\"messages\" is empty", "7"},
    {REQUEST_TEXT, "{\"messages\": [1]}", "\"messages\"[0] is a number", "7"},
    {REQUEST_TEXT, "{\"messages\": [{\"role\": \"tool\", \"content\": \"\"}]}", "the role tool: expected system", "7"},
    {REQUEST_TEXT, "{\"messages\": [{\"role\": \"user\"}]}", "a content that is missing", "7"},
    {REQUEST_TEXT, "{\"messages\": [{\"role\": \"user\", \"content\": \"\", \"name\": \"\"}]}", "unknown key \"name\"",
     "7"},
    {REQUEST_TEXT, "{\"prompt\": \"\", \"answers\": [\"\"]}", "\"answers\": that is for --score", "7"},
    {REQUEST_SCORE, "{\"prompt\": \"\"}", "no \"answers\"", "7"},
    {REQUEST_SCORE, "{\"prompt\": \"\", \"answers\": []}", "no \"answers\"", "7"},
    {REQUEST_SCORE, "{\"prompt\": \"\", \"answers\": [\"a\"], \"n\": 1}", "unknown key \"n\"", "7"},
    {REQUEST_EMBED, "{\"prompt\": \"\"}", "\"prompt\": with --embed it is \"text\"", "7"},
    {REQUEST_EMBED, "{}", "no \"text\"", "7"},
};

static void test_refused(void) {
    request r;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        TEST(refused[i].text) {
            rules.kind = refused[i].kind;
            err.text[0] = 0;
            CHECK(parse(&r, refused[i].text) == -1);
            if (!CHECK(strstr(err.text, refused[i].why))) printf("said %s\n", err.text);
            if (refused[i].id) CHECK_TEXT(r.id, refused[i].id);
            else CHECK(!r.id);
            request_free(&r);
        }
    TEST("an id that is too long, and nesting a million deep") {
        const size_t n = 2000000;
        char *text = malloc(n + 1);
        memset(text, '[', n);
        CHECK(request_parse(&r, text, n, 7, &rules, &err) == -1 && strstr(err.text, "no JSON") && !r.id);
        request_free(&r);
        memset(text, 'x', n);
        memcpy(text, "{\"id\":\"", 7), memcpy(text + 7 + REQUEST_LONGEST_ID + 1, "\"}", 3);
        CHECK(parse(&r, text) == -1 && strstr(err.text, "\"id\" has 1001 bytes") && !r.id);
        request_free(&r);
        free(text);
    }
}

/* ---- DRY and XTC against what they are defined as ---- */

enum { VOCAB = 12 };

/* The penalty of one token, by looking at all lengths at all places. */
static double dry_of(const adjustment *a, int token) {
    const int from = a->dry_range && a->n_tokens > a->dry_range ? a->n_tokens - a->dry_range : 0;
    int longest = 0;
    if (a->marks[token] == ADJUST_BREAKER) return 0;
    for (int length = 1; length <= 50; length++)
        for (int at = from + length; at < a->n_tokens; at++) { /* the token, behind a match of so many */
            int same = a->tokens[at] == token;
            for (int k = 0; k < length; k++) {
                const int one = a->tokens[at - length + k], other = a->tokens[a->n_tokens - length + k];
                same &= one == other && a->marks[one] != ADJUST_BREAKER;
            }
            if (same) longest = length;
        }
    return longest >= a->dry_allowed ? a->dry_multiplier * pow(a->dry_base, longest - a->dry_allowed) : 0;
}

static void test_dry(void) {
    TEST("DRY is what it is defined as") {
        int tokens[80], penalised = 0;
        for (int round = 0; round < 300; round++) {
            unsigned char marks[VOCAB] = {0};
            float logits[VOCAB];
            const int kinds = 2 + below(VOCAB - 1), period = 1 + below(30);
            adjustment a = {.dry_multiplier = 0.8,
                            .dry_base = 1.75,
                            .dry_allowed = 1 + below(4),
                            .dry_range = below(2) ? 0 : 1 + below(60),
                            .marks = marks,
                            .tokens = tokens,
                            .n_tokens = 1 + below(80)};
            for (int i = 0; i < a.n_tokens; i++)
                tokens[i] = i >= period && below(20) ? tokens[i - period] : below(kinds < VOCAB ? kinds : VOCAB);
            if (below(2)) marks[below(VOCAB)] = ADJUST_BREAKER;
            for (int i = 0; i < VOCAB; i++) logits[i] = (float)i;
            unsigned char before[VOCAB];
            memcpy(before, marks, VOCAB);
            adjust_logits(&a, logits, VOCAB);
            CHECK(!memcmp(marks, before, VOCAB)); /* as they were, for the next token */
            for (int i = 0; i < VOCAB; i++) {
                const double want = i - dry_of(&a, i);
                CHECK_NEAR(logits[i], want, 1e-6 * (1 + fabs(want)));
                penalised += dry_of(&a, i) > 0;
            }
        }
        CHECK(penalised > 100);
    }
    TEST("DRY leaves numbers") {
        int tokens[200] = {0};
        unsigned char marks[VOCAB] = {0};
        float logits[VOCAB] = {0};
        adjustment a = {.dry_multiplier = 100, .dry_base = 100, .dry_allowed = 1, .marks = marks, .tokens = tokens};
        a.n_tokens = 200;
        adjust_logits(&a, logits, VOCAB);
        CHECK(logits[0] < -1e29f && logits[0] - logits[0] == 0 && logits[1] == 0);
    }
}

static void test_xtc(void) {
    TEST("XTC is what it is defined as") {
        int excluded = 0;
        for (int round = 0; round < 300; round++) {
            float logits[VOCAB], before[VOCAB];
            double p[VOCAB], sum = 0, max = -1e9, least = 2;
            adjustment a = {.xtc_probability = 1, .xtc_threshold = 0.05 + 0.01 * below(30), .min_p = 0.01 * below(20)};
            for (int i = 0; i < VOCAB; i++) {
                before[i] = logits[i] = (float)below(1000) / 250;
                max = before[i] > max ? before[i] : max;
            }
            for (int i = 0; i < VOCAB; i++) p[i] = exp(before[i] - max), p[i] = p[i] >= a.min_p ? p[i] : 0, sum += p[i];
            for (int i = 0; i < VOCAB; i++) p[i] /= sum;
            for (int i = 0; i < VOCAB; i++) least = p[i] >= a.xtc_threshold && p[i] < least ? p[i] : least;
            adjust_logits(&a, logits, VOCAB);
            for (int i = 0; i < VOCAB; i++) {
                const int out = p[i] == 0 || (p[i] >= a.xtc_threshold && p[i] > least);
                CHECK(logits[i] == (out ? -INFINITY : before[i]));
                excluded += out && p[i] > 0;
            }
        }
        CHECK(excluded > 50);
    }
    TEST("XTC comes as often as it is asked to, by numbers that a seed gives") {
        int came[2] = {0, 0};
        uint64_t state[2] = {5, 5};
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 2000; i++) {
                float logits[2] = {1, 0.5f};
                adjustment a = {.xtc_probability = 0.3, .xtc_threshold = 0.1, .state = state[k]};
                adjust_logits(&a, logits, 2);
                state[k] = a.state;
                came[k] += logits[0] < 0;
                CHECK(logits[1] == 0.5f);
            }
        CHECK(came[0] == came[1] && came[0] > 540 && came[0] < 660);
    }
}

int main(void) {
    test_lines();
    test_ids();
    test_requests();
    test_refused();
    test_dry();
    test_xtc();
    return test_end();
}
