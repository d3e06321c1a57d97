/* samples.h - texts to calibrate with, as tokens: windows of one length, each a sequence by itself. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "writer.h"

typedef struct {
    int count, length; /* windows, tokens of each */
    int *tokens;       /* (count, length); malloc'ed */
} samples;

/* done and total of whatever; nonzero cancels. */
typedef int samples_progress(void *user, double done, double total);

/* So many windows that the model itself writes, at temperature 1, by a q8 copy of it in memory: always the same ones.
 * Each begins with the token that begins a text, or a random one where none is known; and where a text ends the next
 * one begins. threads 0: one per core. Returns 0, or -1 with a message. */
int samples_write(samples *s, const writer_input *in, int count, int length, int threads, samples_progress *progress,
                  void *user, llama_error *err);

/* Windows of a text file, at most count of them, evenly over all of it, with the model's tokenizer. */
int samples_read(samples *s, const writer_input *in, const char *path, int count, int length, llama_error *err);

#endif
