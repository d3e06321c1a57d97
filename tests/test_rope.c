/* test_rope.c - rotary tables against values that transformers' formulas give (in Python, double precision). */
#include "../tools/formats/rope.h"
#include "test.h"

enum { D = 12 };

static void check(const rope_rule *rule, const double want[D / 2]) {
    float frequency[D / 2], amplitude[D / 2];
    rope_table(rule, D, frequency, amplitude);
    for (int i = 0; i < D / 2; i++) {
        CHECK_NEAR(frequency[i] / want[i], 1, 1e-6);
        CHECK(amplitude[i] == 1);
    }
}

int main(void) {
    TEST("plain") {
        check(&(rope_rule){.theta = 10000, .turning = D},
              (double[]){1, 0.215443469, 0.0464158883, 0.01, 0.00215443469, 0.000464158883});
    }
    TEST("linear") {
        check(&(rope_rule){.kind = ROPE_LINEAR, .theta = 10000, .turning = D, .factor = 4},
              (double[]){0.25, 0.0538608673, 0.0116039721, 0.0025, 0.000538608673, 0.000116039721});
    }
    TEST("llama3") {
        check(
            &(rope_rule){
                .kind = ROPE_LLAMA3, .theta = 500000, .turning = D, .factor = 8, .original = 8192, .low = 1, .high = 4},
            (double[]){1, 0.112246205, 0.0125992105, 0.000524846161, 1.98425131e-05, 2.2272468e-06});
    }
    TEST("YaRN") {
        rope_rule r = {.kind = ROPE_YARN,
                       .theta = 10000,
                       .turning = D,
                       .factor = 4,
                       .original = 4096,
                       .fast = 32,
                       .slow = 1,
                       .truncate = 1};
        check(&r, (double[]){1, 0.215443469, 0.0377129093, 0.00625, 0.000942565177, 0.000116039721});
        r.truncate = 0;
        check(&r, (double[]){1, 0.215443469, 0.0458537901, 0.00655697152, 0.000696968978, 0.000116039721});
        r.truncate = 1, r.original = 64, r.factor = 8, r.fast = 8, r.slow = 2;
        check(&r, (double[]){1, 0.121186951, 0.00580198604, 0.00125, 0.000269304336, 5.80198604e-05});
    }
    TEST("YaRN's bounds may be one") { /* both below 0: all is slowed but the pair at the bound */
        check(&(rope_rule){.kind = ROPE_YARN,
                           .theta = 10000,
                           .turning = D,
                           .factor = 2,
                           .original = 6,
                           .fast = 32,
                           .slow = 1,
                           .truncate = 1},
              (double[]){1, 0.215443469 / 2, 0.0464158883 / 2, 0.005, 0.00215443469 / 2, 0.000464158883 / 2});
    }
    TEST("factors of their own, and a part that does not turn") {
        static const float factors[] = {1, 2, 4};
        float frequency[5], amplitude[5];
        const rope_rule r = {.kind = ROPE_FACTORS, .theta = 1000, .turning = 6, .factors = factors, .amplitude = 1.5};
        rope_table(&r, 10, frequency, amplitude);
        CHECK_NEAR(frequency[0], 1, 1e-7);
        CHECK_NEAR(frequency[1], 0.05, 1e-8);
        CHECK_NEAR(frequency[2], 0.0025, 1e-9);
        CHECK(frequency[3] == 0 && frequency[4] == 0);
        CHECK(amplitude[0] == 1.5f && amplitude[2] == 1.5f && amplitude[3] == 1 && amplitude[4] == 1);
        rope_table(&r, 10, frequency, NULL);
    }
    TEST("nothing turns") {
        float frequency[2] = {5, 5};
        rope_table(&(rope_rule){.theta = 10000}, 4, frequency, NULL);
        CHECK(frequency[0] == 0 && frequency[1] == 0);
    }
    TEST("amplitudes") {
        CHECK_NEAR(rope_yarn_amplitude(4, 1), 1.138629436, 1e-9);
        CHECK_NEAR(rope_yarn_amplitude(4, 0.7), 1.097040605, 1e-9);
        CHECK(rope_yarn_amplitude(1, 1) == 1 && rope_yarn_amplitude(0.5, 1) == 1);
        CHECK_NEAR(rope_long_amplitude(131072, 4096), 1.190238071, 1e-9);
        CHECK(rope_long_amplitude(4096, 4096) == 1 && rope_long_amplitude(10, 4096) == 1);
    }
    return test_end();
}
