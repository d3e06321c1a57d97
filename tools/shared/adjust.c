/* adjust.c - contract in adjust.h. */
#include "adjust.h"
#include "numbers.h"

#include <math.h>

enum { LONGEST_MATCH = 50 }; /* fits beside ADJUST_BREAKER; base to that power is a number */

/* How many of the tokens before t[at] are those before the end of t (n), up to a breaker. */
static int match_before(const adjustment *a, const int *t, int n, int at) {
    int length = 0;
    while (length < LONGEST_MATCH && length < at && t[at - 1 - length] == t[n - 1 - length] &&
           a->marks[t[n - 1 - length]] != ADJUST_BREAKER)
        length++;
    return length;
}

/* A token that stands behind several matches pays for the longest. */
static void penalise_repetition(adjustment *a, float *logits) {
    const int n = a->dry_range && a->dry_range < a->n_tokens ? a->dry_range : a->n_tokens;
    const int *t = a->tokens + a->n_tokens - n;
    const int least = a->dry_allowed > 1 ? a->dry_allowed : 1;
    for (int at = 1; at < n; at++) {
        const int length = t[at - 1] == t[n - 1] ? match_before(a, t, n, at) : 0;
        if (length >= least && length > a->marks[t[at]])
            a->marks[t[at]] = (unsigned char)length; /* never a breaker's */
    }
    for (int at = 1; at < n; at++) {
        unsigned char *length = &a->marks[t[at]];
        if (!*length || *length == ADJUST_BREAKER) continue;
        const double penalty = a->dry_multiplier * pow(a->dry_base, *length - a->dry_allowed);
        logits[t[at]] -= (float)(penalty < 1e30 ? penalty : 1e30); /* a logit stays a number */
        *length = 0;
    }
}

static double logit_bound(double max, double share) { return share > 0 ? max + log(share) : -INFINITY; }

static void exclude_top_choices(const adjustment *a, float *logits, int n) {
    double max = -INFINITY, sum = 0, least = INFINITY;
    for (int i = 0; i < n; i++) max = logits[i] > max ? logits[i] : max;
    for (int i = 0; i < n; i++)
        if (logits[i] < logit_bound(max, a->min_p)) logits[i] = -INFINITY;
        else sum += exp(logits[i] - max);
    const double bound = logit_bound(max + log(sum), a->xtc_threshold);
    for (int i = 0; i < n; i++)
        if (logits[i] >= bound && logits[i] < least) least = logits[i];
    for (int i = 0; i < n; i++)
        if (logits[i] >= bound && logits[i] > least) logits[i] = -INFINITY;
}

void adjust_logits(void *user, float *logits, int vocab_size) {
    adjustment *a = user;
    if (a->dry_multiplier > 0 && a->n_tokens > 1) penalise_repetition(a, logits);
    if (a->xtc_probability > 0 && (double)(split_mix(&a->state) >> 11) * 0x1p-53 < a->xtc_probability)
        exclude_top_choices(a, logits, vocab_size);
}
