#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#endif
#include "clock.h"

#include <time.h>

double clock_seconds(void) {
#ifdef CLOCK_MONOTONIC
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#else
    return (double)clock() / CLOCKS_PER_SEC; /* real time on Windows, processor time elsewhere */
#endif
}

double clock_work(void) {
#if defined(CLOCK_THREAD_CPUTIME_ID) && (defined(__unix__) || defined(__APPLE__))
    struct timespec t;
    if (!clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)) return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#endif
    return clock_seconds();
}
