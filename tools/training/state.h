/* state.h - a training run on disk: all that it needs to go on as if it had never stopped.
 *
 * A file of a fixed header, then the settings, the rotary frequencies, the tokenizer, and three arrays of float32:
 * weights and both moments. Little-endian, as llama.c's files:
 *
 *      0  char[8]     "llamatr\n"
 *      8  uint32      1, the version of the format
 *     12  uint32      number of settings
 *     16  uint32[8]   dim, hidden_dim, n_layers, n_heads, n_kv_heads, head_dim, vocab_size, seq_len
 *     48  uint32      1 if the classifier is the embedding
 *     52  float32[2]  norm_eps, rope_theta
 *     60  uint32      0
 *     64  uint64      steps made
 *     72  uint64      hash of the training text
 *     80  float64     the lowest held-out loss so far; infinity: none
 *     88  uint64      bytes of the tokenizer
 *     96  float64     running mean of the training loss
 *    104  uint64      hash of the whole file, these eight bytes taken as zeros
 *    112  float64[]   settings: what the numbers mean is the program's business, and that of older files too, which
 *                     have fewer
 *         float32[]   (head_dim / 2) rotary frequencies
 *         char[]      tokenizer
 *         float32[]   (3, grad_count)
 */
#ifndef STATE_H
#define STATE_H

#include "../../llama.h"

enum { STATE_SETTINGS = 32, STATE_HEADER = 112 };

typedef struct {
    llama_config config;
    double settings[STATE_SETTINGS];
    int n_settings;
    uint64_t step, text_hash;
    double lowest, mean;
    size_t count; /* weights */
    /* Where the arrays are: in the caller's memory to write, in data after state_read; there maybe unaligned. */
    const void *rope, *tokenizer, *weights, *moment1, *moment2;
    size_t tokenizer_size;
} train_state;

/* Checks size bytes of anything and fills s, which then points into data. name is for messages. 0, or -1. */
int state_read(const void *data, size_t size, const char *name, train_state *s, llama_error *err);

/* Replaces the file at path once all is on the disk; if anything fails, what was there stays. 0, or -1. */
int state_write(const train_state *s, const char *path, llama_error *err);

/* A hash of bytes, to be given the hash of those before them, 0 at first; all but the last multiples of 8 bytes. */
uint64_t state_hash(const void *data, size_t size, uint64_t before);

#endif
