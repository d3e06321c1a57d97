/* fuzz.h - between what makes inputs (fuzz.c; or libFuzzer, AFL++) and what they are given to (fuzz_targets.c).
 *
 * A target does with an input all that a program would do with a stranger's file, and checks what the headers promise:
 * refused or usable, with a message of one line, in memory bounded by what the file holds, and nothing leaked. A
 * promise that is broken ends the process by abort(), as a sanitizer does.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

typedef void fuzz_add(void *user, const void *data, size_t size);

typedef struct {
    const char *name;
    int (*run)(const unsigned char *data, size_t size); /* 1: accepted, 0: refused */
    void (*seeds)(fuzz_add *add, void *user);           /* gives valid inputs, all of which are accepted */
    const char *words; /* what texts of this kind are made of, one a line; "" if it is a binary format */
} fuzz_target;

extern const fuzz_target fuzz_targets[]; /* up to one whose name is NULL */

/* Gives the seeds of a target to add. */
void fuzz_seeds(const fuzz_target *target, fuzz_add *add, void *user);

/* Gives a copy of exactly size bytes to the target, and checks its memory. fail_at is the number of the allocation that
 * fails, from 1; 0: none does. Returns what the target does. */
int fuzz_run(const fuzz_target *target, const void *data, size_t size, long fail_at);

/* Called with each message by which an input is refused; NULL: not. Different words mean that the input got further. */
extern void (*fuzz_on_refusal)(const char *text);

#endif
