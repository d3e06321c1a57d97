/* test.h - the few macros that every test program uses.
 *
 *     int main(void) {
 *         TEST("rope turns pairs") { CHECK(x == 1); CHECK_NEAR(y, 2.0, 1e-6); }
 *         if (!have_data) SKIP("golden logits", "no ../shared/data");
 *         return test_end();
 *     }
 *
 * A test passes when none of its checks failed. The last line printed is "N passed, N failed, N skipped".
 *
 * Under the address sanitizer, which looks for wrong accesses and makes all slow, SLOW is 1 and of the many cases of a
 * kind that differ in numbers only, a third run, TAKEN(i) of them: other ones for each kind that is added to i. All of
 * them run without it.
 */
#ifndef TEST_H
#define TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define TEST_SLOW
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define TEST_SLOW
#endif
#ifdef TEST_SLOW
enum { SLOW = 1 };
#else
enum { SLOW = 0 };
#endif
#define TAKEN(i) (!SLOW || (i) % 3 == 0)

static struct {
    const char *name;
    int open, bad, passed, failed, skipped;
} test_state;

static inline void test_close(void) {
    if (!test_state.open) return;
    if (test_state.bad) test_state.failed++;
    else test_state.passed++;
    test_state.open = 0;
}

static inline int test_start(const char *name) {
    test_close();
    test_state.name = name;
    test_state.open = 1;
    test_state.bad = 0;
    return 1;
}

static inline int test_check(int ok, const char *file, int line, const char *what) {
    if (!ok) {
        printf("%s:%d: %s: failed: %s\n", file, line, test_state.name, what);
        test_state.bad = 1;
    }
    return ok;
}

static inline int test_near(double got, double want, double tolerance, const char *file, int line, const char *what) {
    int ok = fabs(got - want) <= tolerance; /* false for nan */
    if (!ok) {
        printf("%s:%d: %s: %s is %.9g, wanted %.9g within %g\n", file, line, test_state.name, what, got, want,
               tolerance);
        test_state.bad = 1;
    }
    return ok;
}

static inline int test_text(const char *got, const char *want, const char *file, int line) {
    int ok = got && strcmp(got, want) == 0;
    if (!ok) {
        printf("%s:%d: %s:\n  got    %s\n  wanted %s\n", file, line, test_state.name, got ? got : "(null)", want);
        test_state.bad = 1;
    }
    return ok;
}

static inline int test_end(void) {
    test_close();
    printf("%d passed, %d failed, %d skipped\n", test_state.passed, test_state.failed, test_state.skipped);
    return test_state.failed != 0;
}

#define TEST(name) if (test_start(name))
#define CHECK(condition) test_check((condition) != 0, __FILE__, __LINE__, #condition)
#define CHECK_NEAR(got, want, tolerance) test_near(got, want, tolerance, __FILE__, __LINE__, #got)
#define CHECK_TEXT(got, want) test_text(got, want, __FILE__, __LINE__)
#define SKIP(name, why) (test_close(), printf("skipped: %s: %s\n", name, why), test_state.skipped++)

#endif
