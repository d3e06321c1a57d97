/* gguf_plan.h - as which architecture of GGUF a model of ours is written, and with what.
 *
 * An architecture computes what its name says and its keys; the model's own is tried, then plain llama. What a key
 * cannot say is said by weights if it can: a scale of q . k by those of the queries, rotary frequencies by divisors.
 */
#ifndef GGUF_PLAN_H
#define GGUF_PLAN_H

#include "gguf.h"

typedef struct {
    const gguf_architecture *architecture;
    int turning;         /* numbers of a head that turn */
    float query_factor;  /* queries are multiplied by it, or the weights of their norm */
    int window, period;  /* with GGUF_WINDOW and GGUF_PATTERN */
    int ignored_window;  /* 1: llama.cpp reads the window and does not apply it */
    float base, local;   /* rotary; the second with GGUF_LOCAL */
    const char *scaling; /* what GGUF_ROPE_SCALING says; NULL: nothing */
    float factor;        /* of scaling; 0: none */
    float amplitude;     /* what GGUF_ROPE_AMPLITUDE says */
    int original;        /* what GGUF_ROPE_ORIGINAL says; 0: nothing */
    float *divisors[3];  /* (turning / 2) of GGUF_FREQS, GGUF_LONG and GGUF_SHORT; malloc'ed, NULL: none */
} gguf_plan;

/* 0, or -1 with a message that begins with name and says what no architecture can. */
int gguf_make_plan(gguf_plan *p, const llama_model *m, const char *name, llama_error *err);
void gguf_free_plan(gguf_plan *p);

/* The divisors of a tensor from GGUF_FREQS to GGUF_SHORT; NULL: the file has it not. */
const float *gguf_divisors(const gguf_plan *p, int tensor);

#endif
