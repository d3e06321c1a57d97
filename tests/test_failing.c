/* test_failing.c - every allocation fails in turn, of whatever reads files or encodes texts: the library, the
 * tokenizer, the inputs of tools/convert, the JSON reader.
 *
 * The targets of fuzz.h do with an input what a program would and end the process where a promise is broken: a crash,
 * an empty message, a block or a file that is not given back. Their seeds are valid inputs of every kind.
 */
#if defined(__unix__) || defined(__APPLE__)
#include "fuzz_targets.c"

#include "test.h"

enum { MANY = SLOW ? 40 : 150 };

static long failures; /* allocations that failed, over all inputs of a target */

/* The first, the second ... allocation fails, until there are no more. Where there are thousands, since a template is
 * rendered some hundred times, most behind the first are those of another rendering: some of them do. */
static void fail_in_turn(void *user, const void *data, size_t size) {
    const fuzz_target *target = user;
    /* A seed lies where the next one will: and what fuzz_run allows must not count for the seeds. */
    void *copy = malloc(size ? size : 1);
    if (!CHECK(copy)) return;
    memcpy(copy, data, size);
    CHECK(fuzz_run(target, copy, size, 0) == 1);
    const long calls = fuzz_memory.calls;
    for (long fail_at = 1; fail_at <= calls; fail_at += fail_at < MANY ? 1 : 1 + calls / MANY) {
        fuzz_run(target, copy, size, fail_at);
        CHECK(fuzz_memory.failed);
        failures++;
    }
    fuzz_allow(0, 0, SIZE_MAX / 2); /* for the next seed */
    free(copy);
}

int main(void) {
    for (const fuzz_target *t = fuzz_targets; t->name; t++)
        TEST(t->name) {
            failures = 0;
            fuzz_seeds(t, fail_in_turn, (void *)(uintptr_t)t);
            CHECK(failures > 0);
        }
    return test_end();
}
#else
#include "test.h"

int main(void) {
    SKIP("failing allocations", "needs POSIX");
    return test_end();
}
#endif
