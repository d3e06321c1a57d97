/* overflow.c - contract in overflow.h. */
#include "overflow.h"
#include "../shared/messages.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Halves round to nearest, and what lies between the largest and the next power of two becomes that, which is infinity,
 * from the middle on. Scales are F16: that of Q8_0 is the largest number of a block by 127, that of Q4_0 by 8. */
static const struct {
    const char *type;
    float end, largest;
} overflow_types[] = {{"F16", 65520, 65504},
                      {"BF16", 0x1.FFp127f, 0x1.FEp127f},
                      {"Q8_0", 127 * 65520.0f, 127 * 65504.0f},
                      {"Q4_0", 8 * 65520.0f, 8 * 65504.0f}};
enum { OVERFLOW_TYPES = sizeof overflow_types / sizeof *overflow_types };

static int overflow_find(const char *type) {
    int i = 0;
    while (i < OVERFLOW_TYPES && strcmp(overflow_types[i].type, type)) i++;
    return i;
}

float overflow_end(const char *type) {
    const int i = overflow_find(type);
    return i < OVERFLOW_TYPES ? overflow_types[i].end : INFINITY;
}

int overflow_count(float end, const float *x, size_t n) {
    int count = 0;
    for (size_t i = 0; i < n; i++) count += fabsf(x[i]) >= end && fabsf(x[i]) <= FLT_MAX;
    return count;
}

int overflow_refuse(llama_error *err, const char *path, const char *tensor, const char *type) {
    const int i = overflow_find(type);
    return set_error(err, "%.120s%s%.80s has numbers beyond %g, which %s cannot hold; --type f32 can", path ? path : "",
                     path ? ": " : "", tensor, i < OVERFLOW_TYPES ? (double)overflow_types[i].largest : (double)FLT_MAX,
                     type);
}
