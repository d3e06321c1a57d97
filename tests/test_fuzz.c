/* test_fuzz.c - some seconds of fuzzing, so that it is part of every test run; make fuzz goes deeper. See fuzz.c. */
#if defined(__unix__) || defined(__APPLE__)
#define FUZZ_NO_MAIN
#include "fuzz.c"

#include "fuzz_targets.c"

#include "test.h"

int main(void) {
    enum { SECONDS = 5, N = sizeof fuzz_targets / sizeof *fuzz_targets - 1 };
    fuzz_program = "make fuzz SECONDS=0 && .build/fuzz/fuzz";
    fuzz_directory = "tests/bin";
    fuzz_catch();
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
