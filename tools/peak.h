/* peak.h - what the machine's arithmetic can do at best, to measure a program against. */
#ifndef PEAK_H
#define PEAK_H

/* Billions of float32 operations a second of all threads together, now: two operations to a multiply-add, of the
 * widest vectors that the processor has. Takes a few milliseconds. 0 where no way to measure is known. */
double peak_f32(int threads);

#endif
