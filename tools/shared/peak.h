/* peak.h - what the machine can do at best, now, to measure a program against: all threads together, in a loop that
 * does nothing else, on the widest vectors that the processor has. Each takes some milliseconds. */
#ifndef PEAK_H
#define PEAK_H

#include <stddef.h>

/* Billions of operations a second, two to a multiply-add; 0 where no such instruction is known. */
double peak_f32(int threads);
double peak_bf16(int threads);
double peak_int8(int threads);

/* Billions of bytes a second of a plain read of n bytes, each thread its own part. */
double peak_read(const void *p, size_t n, int threads);

#endif
