/* test_example.c - the README's example with the model that comes along, and what else a program does with a model and
 * its tokenizer together. Run from the project's root. */
#include "test.h"

#include <stddef.h>

/* What the example prints, and what it complains of. */
static char said[1 << 14], complaint[300];
static size_t n_said;

static size_t say(const void *p, size_t size, size_t n) {
    if (size * n < sizeof said - n_said) memcpy(said + n_said, p, size * n), n_said += size * n;
    said[n_said] = 0;
    return n;
}

#define main example
#define fwrite(p, size, n, file) ((void)(file), say(p, size, n))
#define fprintf(file, ...) ((void)(file), snprintf(complaint, sizeof complaint, __VA_ARGS__))
#define putchar(c) say((char[]){c}, 1, 1)
#include "example.c"
#undef main
#undef fwrite
#undef fprintf
#undef putchar

static const char *const austen = "tools/model/austen.llama";

static int run(const char *a, const char *b, const char *c) {
    char *argv[] = {"example", (char *)a, (char *)b, (char *)c, NULL};
    n_said = 0, *said = 0;
    return example(c ? 4 : b ? 3 : 2, argv);
}

/* Ids of two parts of a text, and the logarithm of the probability that the second comes behind the first. */
static double score(llama_context *c, const tokenizer *t, const char *first, const char *second, int flags, int *ids,
                    int *n) {
    float logprobs[64];
    double sum = 0;
    int start = (int)tokenizer_encode(t, first, strlen(first), TOKENIZER_BOS, ids, 32, NULL);
    *n = start + (int)tokenizer_encode(t, second, strlen(second), flags, ids + start, 32, NULL);
    llama_rewind(c, 0);
    CHECK(llama_score(c, ids, *n, logprobs, NULL) == 0);
    for (int i = start - 1; i < *n - 1; i++) sum += (double)logprobs[i];
    return sum;
}

int main(void) {
    TEST("the README's example: a .llama file is its own tokenizer") {
        CHECK(run(austen, "It is", NULL) == 0 && n_said > 100);
        char first[sizeof said];
        memcpy(first, said, sizeof said);
        CHECK(run(austen, austen, "It is") == 0);
        CHECK_TEXT(said, first);
    }
    TEST("the README's example: what fails has a status and a line") {
        CHECK(run(austen, NULL, NULL) == 2 && strstr(complaint, "usage: example MODEL [TOKENIZER] PROMPT"));
        CHECK(run("tests/no-such-file", "It is", NULL) == 1 && strstr(complaint, "tests/no-such-file: cannot open"));
    }
    TEST("a choice scored by parts is scored as the whole") {
        llama_model *m = llama_load(austen, NULL, NULL);
        tokenizer *t = tokenizer_load(austen, 0, NULL, NULL);
        llama_context *c = m ? llama_context_create(m, NULL, NULL) : NULL;
        int whole[64], parts[64], n, n_parts;
        if (CHECK(t && c)) {
            double all = score(c, t, "She was not", " Going", TOKENIZER_CONTINUE, whole, &n);
            double most = score(c, t, "She was not", " Go", TOKENIZER_CONTINUE, parts, &n_parts);
            double rest = score(c, t, "She was not Go", "ing", TOKENIZER_CONTINUE, parts, &n_parts);
            CHECK(n == n_parts && memcmp(whole, parts, (size_t)n * sizeof *whole) == 0);
            CHECK_NEAR(most + rest, all, 1e-3);
            CHECK(rest > score(c, t, "She was not Go", "ing", 0, parts, &n_parts) + 5);
        }
        llama_context_free(c), tokenizer_free(t), llama_free(m);
    }
    return test_end();
}
