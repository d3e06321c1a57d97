/* test_fuzz.c - some seconds of fuzzing, so that it is part of every test run, and the inputs that ever failed. See
 * fuzz.c; make fuzz goes deeper.
 */
#if defined(__unix__) || defined(__APPLE__)
#define FUZZ_NO_MAIN
#include "fuzz.c"

#include "fuzz_targets.c"

#include "test.h"

/* Inputs that failed once: a seed with a change. */
static const struct {
    const char *name, *target;
    int seed;
    const char *from, *to;
} cases[] = {
    {"hf: memory for a head_dim that only config.json claims", "hf", 0, "\"head_dim\":2", "\"head_dim\":134217728"},
};

static void test_case(const char *target, int seed, const char *from, const char *to) {
    fuzz_corpus *c = calloc(1, sizeof *c);
    const fuzz_target *t = fuzz_targets;
    const size_t n = strlen(from);
    size_t at = 0;
    while (strcmp(t->name, target)) t++;
    fuzz_begin(c, t, 1);
    fuzz_load(c->kept[seed].p, c->kept[seed].n);
    while (at + n < fuzz_in.n && memcmp(fuzz_in.p + at, from, n)) at++;
    CHECK(at + n < fuzz_in.n);
    fuzz_replace(at, n, to, strlen(to));
    fuzz_try(c); /* which aborts if it fails */
    fuzz_end(c);
}

int main(void) {
    enum { SECONDS = 5, N = sizeof fuzz_targets / sizeof *fuzz_targets - 1 };
    fuzz_program = "make fuzz SECONDS=0 && .build/fuzz/fuzz";
    fuzz_directory = "tests/bin";
    fuzz_catch();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        TEST(cases[i].name) test_case(cases[i].target, cases[i].seed, cases[i].from, cases[i].to);
    for (int i = 0; i < N; i++)
        TEST(fuzz_targets[i].name) {
            fuzz_corpus *c = calloc(1, sizeof *c);
            if (!CHECK(c)) break;
            CHECK(fuzz_begin(c, &fuzz_targets[i], 1) == 0); /* all seeds are accepted */
            fuzz_slice(c, (double)SECONDS / N, 1000000);
            CHECK(c->runs > (long)c->n_seeds);
            fuzz_end(c);
        }
    return test_end();
}
#else
#include "test.h"

int main(void) {
    SKIP("fuzzing", "needs POSIX");
    return test_end();
}
#endif
