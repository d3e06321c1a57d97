/* corpus.h - the text that a model learns from: what is held out of it, and which part of it is learned when. */
#ifndef CORPUS_H
#define CORPUS_H

#include "../../llama.h"

typedef struct {
    char *learn, *held; /* malloc'ed: corpus_free */
    size_t learn_size, held_size;
    int chapters; /* 0: there were too few, so blocks were held out */
} corpus;

/* Cuts a text into chapters, which begin at lines whose first word is "chapter" in any case, or into blocks of lines if
 * there are fewer than every of them, and holds out one of every so many (0: none): whole chapters, because a
 * sentence between two known ones is guessed too easily. 0, or -1 without memory. */
int corpus_split(corpus *c, const char *text, size_t size, int every, llama_error *err);
void corpus_free(corpus *c);

/* A text of n ids seen through windows of so many tokens. Each window begins with the id that begins a text, as a
 * model's context does. */
typedef struct {
    const int *ids;
    const unsigned char *begins; /* (n) 1: a paragraph begins with this token; or NULL */
    size_t n, count;             /* count: windows of an epoch */
    int length, bos;
    uint64_t seed;
    size_t *order; /* (count) of this epoch's windows */
    uint64_t epoch;
} windows;

/* order is NULL until windows_take needs it: windows_free. */
void windows_open(windows *w, const int *ids, const unsigned char *begins, size_t n, int length, int bos,
                  uint64_t seed);
void windows_free(windows *w);

/* Window i in the order of the text: tokens (length) and what follows each. */
void windows_at(const windows *w, size_t start, int *tokens, int *next);

/* Window i of an endless sequence: epoch after epoch, each in an order of its own, and cut at other places. A function
 * of i and the seed only, so that a run can go on anywhere. A window begins where a paragraph does, if one begins in
 * the half window before the cut: so the model learns that texts do not begin within a sentence. 0, or -1 without
 * memory. */
int windows_take(windows *w, uint64_t i, int *tokens, int *next);

#endif
