/* rope.c - contract in rope.h. */
#include "rope.h"

#include <math.h>

/* The pair that turns n times within the original length: i of n = length theta^(-2i/d) / 2 pi. */
static double rope_pair_that_turns(const rope_rule *r, double n) {
    return r->turning * log(r->original / (n * 2 * acos(-1))) / (2 * log(r->theta));
}

/* 1 up to low, 0 from high on, a straight line between; not a nan, whatever they are. */
static double rope_share_kept(double i, double low, double high) {
    const double share = (i - low) / (high - low > 0.001 ? high - low : 0.001);
    return share > 0 ? share < 1 ? 1 - share : 0 : 1;
}

/* YaRN (arXiv:2309.00071, 3.2): pairs that turn often within the old length stay as they are, those that turn less than
 * slow times are slowed by factor, those in between are blended, by their numbers. */
static double rope_yarn(const rope_rule *r, int i, double f) {
    double low = rope_pair_that_turns(r, r->fast), high = rope_pair_that_turns(r, r->slow);
    if (r->truncate) low = floor(low), high = ceil(high);
    const double keep = rope_share_kept(i, low > 0 ? low : 0, high < r->turning - 1 ? high : r->turning - 1);
    return f * keep + f / r->factor * (1 - keep);
}

/* Llama 3.1: as YaRN, but blended by how often a pair turns. */
static double rope_llama3(const rope_rule *r, double f) {
    const double turns = r->original * f / (2 * acos(-1));
    const double keep = turns >= r->high ? 1 : turns <= r->low ? 0 : (turns - r->low) / (r->high - r->low);
    return f * keep + f / r->factor * (1 - keep);
}

static double rope_frequency(const rope_rule *r, int i) {
    const double f = pow(r->theta, -2.0 * i / r->turning);
    switch (r->kind) {
    case ROPE_LINEAR: return f / r->factor;
    case ROPE_LLAMA3: return rope_llama3(r, f);
    case ROPE_YARN: return rope_yarn(r, i, f);
    case ROPE_FACTORS: return f / (double)r->factors[i];
    case ROPE_PLAIN: break;
    }
    return f;
}

void rope_table(const rope_rule *rule, int head_dim, float *frequency, float *amplitude) {
    for (int i = 0; i < head_dim / 2; i++) {
        const int turns = i < rule->turning / 2;
        frequency[i] = turns ? (float)rope_frequency(rule, i) : 0;
        if (amplitude) amplitude[i] = turns && rule->amplitude > 0 ? (float)rule->amplitude : 1;
    }
}

double rope_yarn_amplitude(double factor, double mscale) { return factor > 1 ? 0.1 * mscale * log(factor) + 1 : 1; }

double rope_long_amplitude(double length, double original) {
    return length > original ? sqrt(1 + log(length / original) / log(original)) : 1;
}
