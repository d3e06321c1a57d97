/* adjust.h - samplers that llama_sampling has not, and that need nothing of it but its hook adjust, which comes before
 * its stages: DRY against repetition, and XTC against the expected.
 *
 * DRY ("don't repeat yourself", by p-e-w: text-generation-webui, pull request 5677): a token that would go on with what
 * the text says somewhere already loses multiplier * base^(n - allowed) from its logit, n being how many of the last
 * tokens stand before it there too, 50 at most, if n is at least allowed. So long repetitions become impossible, and
 * words and phrases stay as they are. A breaker, a line break say, ends what is compared, and never becomes less
 * likely.
 *
 * XTC ("exclude top choices", by the same: pull request 6335): with some probability all tokens that are at least
 * threshold likely are left out, but for the least likely of them. It is meant to come behind min-p, which would
 * otherwise be measured by what is left: so min_p is applied here, before it. Top-k and top-p come later.
 */
#ifndef ADJUST_H
#define ADJUST_H

#include <stdint.h>

enum { ADJUST_BREAKER = 128 };

typedef struct {
    double dry_multiplier, dry_base; /* multiplier 0: no DRY */
    int dry_allowed, dry_range;      /* tokens; how far back it looks, 0: to the beginning */
    unsigned char *marks; /* (vocab_size) ADJUST_BREAKER or 0 for each token, the other bits for what is computed here;
                             not needed without DRY */
    double xtc_probability, xtc_threshold, min_p; /* probability 0: no XTC, and no min_p here */
    uint64_t state;                               /* of XTC's random numbers: SplitMix64's */
    const int *tokens;                            /* (n_tokens) the text so far */
    int n_tokens;
} adjustment;

/* For llama_sampling.adjust; user is an adjustment. O(range) for DRY, 50 times that at worst; O(vocab_size) for XTC
 * when it is its turn. */
void adjust_logits(void *user, float *logits, int vocab_size);

#endif
