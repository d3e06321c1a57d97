/* source.h - what every input of tools/convert offers, whatever its format.
 *
 * An input opens into a llama_source: a configuration, a tokenizer, and a function that gives any rows of any tensor
 * as float32. tools/convert asks for the tensors in the order of the .llama file and never holds more than
 * a few rows of them, so that a model larger than memory converts.
 *
 * Query and key rows come in llama.c's rotary order: neighbours (2i, 2i + 1) of a head turn together.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "../../llama.h"
#include "../shared/messages.h"
#include "../shared/tensors.h"

typedef struct { /* what a chat template takes for today; zeros: 2024-07-26 */
    int year, month, day;
} source_date;

typedef struct llama_source llama_source;
struct llama_source {
    /* All of it that a .llama file says but the hash; format names the input. */
    llama_config config;
    llama_layer_kind *kinds; /* what config.layers points to; malloc'ed, NULL: all layers are Llama's */
    float *rope_frequencies; /* (tables, head_dim / 2) angle per position of each pair, scaling included; malloc'ed */
    float *rope_amplitudes;  /* as many; malloc'ed, NULL without LLAMA_ROPE_AMPLITUDES */
    source_date today;       /* for the chat template */
    void *tokenizer;         /* the flat form that tokenizer.h describes; malloc'ed, NULL if the input has none */
    size_t tokenizer_size;
    llama_error tokenizer_error; /* why there is none although the input has one; empty: that is not so */
    llama_error template_error;  /* why it has no chat template although the input has one; empty: that is not so */
    char skipped[200];           /* what of the input is left out, for the report; empty: nothing */
    char note[200];              /* what who uses the tokenizer should know; empty: nothing */
    /* out (count, cols) = rows [first, first + count) of a tensor; a vector is one row,
     * rotary tables are not asked for, experts' rows are numbered as tensor_shape does. Called from one thread,
     * rows in rising order within a tensor. Returns 0, or -1 with a message. */
    int (*rows)(llama_source *s, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err);
    void (*close)(llama_source *s); /* frees the source itself and all it holds */
};

/* What every close frees but the source itself. */
void source_release(llama_source *s);

/* Adds a line's part to s->skipped, or to s->note. */
void source_skip(llama_source *s, const char *format, ...) PRINTF_LIKE(2, 3);
void source_note(llama_source *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* Each opens its kind of input and checks all of it but the weights' values; NULL with a message naming
 * file, field and value if it cannot be had, is damaged, or holds what llama.c cannot run. today may be NULL. */
llama_source *source_open_hf(const char *directory, const source_date *today, llama_error *err);
llama_source *source_open_gguf(const char *path, const source_date *today, llama_error *err);
llama_source *source_open_llama2c(const char *path, llama_error *err);

#endif
