#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#endif
#include "clock.h"

#include <stdio.h>
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

const char *clock_text(double s) {
    static char text[24];
    if (s >= 5400) snprintf(text, sizeof text, "%.1f h", s / 3600);
    else snprintf(text, sizeof text, s >= 100 ? "%.0f min" : "%.0f s", s >= 100 ? s / 60 : s);
    return text;
}
