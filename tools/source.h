/* source.h - what every input of tools/convert offers, whatever its format.
 *
 * An input opens into a llama_source: a configuration, a tokenizer, and a function that gives any rows of any tensor
 * as float32. tools/convert asks for the tensors in the order of the .llama file and never holds more than
 * a few rows of them, so that a model larger than memory converts.
 *
 * Tensors are numbered by source_tensor and layer, and have the shapes of llama.c's ll_layer. Query and
 * key rows come in llama.c's rotary order: neighbours (2i, 2i + 1) of a head turn together.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "../llama.h"

#include <stdio.h>
#include <string.h>

enum source_tensor {
    SOURCE_EMBEDDING, SOURCE_CLASSIFIER, SOURCE_FINAL_NORM,                       /* layer is 0 */
    SOURCE_ATTENTION_NORM, SOURCE_FFN_NORM, SOURCE_WQ, SOURCE_WK, SOURCE_WV, SOURCE_WO, SOURCE_W1, SOURCE_W2, SOURCE_W3
};

typedef struct llama_source llama_source;
struct llama_source {
    llama_config config;      /* all sizes, norm_eps, rope_theta, shared_classifier; format names the input */
    float *rope_frequencies;  /* (head_dim / 2) angle per position of each pair, scaling included; malloc'ed */
    void *tokenizer;          /* the flat form that tokenizer.h describes; malloc'ed, NULL if the input has none */
    size_t tokenizer_size;
    /* out (count, cols) = rows [first, first + count) of a tensor; a norm is one row. Called from one thread,
     * rows in rising order within a tensor. Returns 0, or -1 with a message. */
    int (*rows)(llama_source *s, enum source_tensor tensor, int layer, int first, int count, float *out,
                llama_error *err);
    void (*close)(llama_source *s); /* frees the source itself and all it holds */
};

/* Each opens its kind of input and checks all of it but the weights' values; NULL with a message naming
 * file, field and value if it cannot be had, is damaged, or holds what llama.c cannot run. */
llama_source *source_open_hf(const char *directory, llama_error *err);
llama_source *source_open_gguf(const char *path, llama_error *err);
llama_source *source_open_llama2c(const char *path, llama_error *err);

/* ---- What the inputs share (source.c) ---- */

/* Lets the compiler check a format against what follows it. With -std=c99 MinGW's printf is C99's, but its compiler
 * takes it for Microsoft's. */
#if defined(__MINGW32__)
#define SOURCE_PRINTF(format_at, first) __attribute__((format(gnu_printf, format_at, first)))
#elif defined(__GNUC__)
#define SOURCE_PRINTF(format_at, first) __attribute__((format(printf, format_at, first)))
#else
#define SOURCE_PRINTF(format_at, first)
#endif

/* Writes one line to err, control characters masked, and returns -1. */
int source_fail(llama_error *err, const char *format, ...) SOURCE_PRINTF(2, 3);

/* size bytes of an open file from byte offset on; files may be larger than a long can count. 0, or -1. */
int source_read_at(FILE *file, uint64_t offset, void *out, size_t size);
int source_file_size(FILE *file, uint64_t *size); /* 0, or -1 */

/* rename that replaces a file, which Windows' own does not. 0, or -1 with errno. */
int source_rename(const char *from, const char *to);

/* A whole file of at most limit bytes and a zero after them, malloc'ed; NULL with a message. */
char *source_read_file(const char *path, size_t limit, size_t *size, llama_error *err);

/* a * b; UINT64_MAX, which no file has, instead of wrapping. */
uint64_t source_mul(uint64_t a, uint64_t b);

/* The shape of a tensor; a norm is one row. */
void source_shape(const llama_config *f, enum source_tensor tensor, int *rows, int *cols);

/* Inline, since they are called for each weight. */
static inline float source_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float source_bf16(uint16_t bits) { return source_float((uint32_t)bits << 16); }

/* Read with float32's exponent, whose bias is larger by 112, a half is too small by that much; a multiplication puts it
 * right, subnormal numbers included. Infinities and nans need the rest of the exponent's bits too. */
static inline float source_f16(uint16_t bits) {
    const float magnitude = source_float((uint32_t)(bits & 0x7FFF) << 13) * 0x1p112f;
    uint32_t u;
    memcpy(&u, &magnitude, sizeof u);
    u |= (uint32_t)(bits & 0x8000) << 16 | ((bits & 0x7C00) == 0x7C00 ? 0x7F800000u : 0);
    return source_float(u);
}

/* (head_dim / 2) base^(-2i / head_dim), computed as Hugging Face and llama.cpp do; malloc'ed, NULL without memory. */
float *source_rope(int head_dim, float theta);

/* The kind of chat template that a Jinja text is, told by its marks: "llama2", "llama3", "chatml", "zephyr" or
 * "mistral"; NULL if it is none of them. */
const char *source_template(const char *jinja, size_t size);

/* 1 for the names of tokens that end a turn: <|eot_id|> and the like. */
int source_ends_turn(const char *name, size_t size);

/* Byte-level vocabularies write each byte as a printable character (GPT-2's bytes_to_unicode). Decodes such a
 * text of size bytes to out, which may be text itself, and returns how many bytes it was, or -1 if a character is not
 * of that alphabet. */
ptrdiff_t source_decode_bytes(const char *text, size_t size, char *out);

#endif
