/* export.h - a model of ours in the formats of others: what tools/convert does where the name of its output asks for
 * it.
 *
 * What was settled when a model was converted stays settled: rotary tables, norms with their 1, a divided residual
 * stream are written as whatever says the same in that format. What it cannot say is refused by name. Weights stream
 * through, some rows at a time; whatever fails, what was at path stays, and nothing else is left.
 */
#ifndef EXPORT_H
#define EXPORT_H

#include "../../llama.h"
#include "../../tokenizer.h"

typedef struct {
    const llama_model *model;
    const tokenizer *tokenizer; /* NULL: none */
    const char *type;           /* of matrices, as the format names it, in lower case; NULL: what loses least */
    int (*progress)(void *user, uint64_t done, uint64_t total); /* bytes of output; NULL: none; nonzero cancels */
    void *user;
} export_input;

typedef struct {
    uint64_t bytes;        /* of all files */
    const char *format;    /* "GGUF" */
    char type[16];         /* of most matrices */
    char architecture[32]; /* as the format names it */
    char note[200];        /* what who uses it should know, matrices of another type, say; empty: nothing */
} export_report;

/* Each: 0, or -1 with a message that names the output and what is wrong. */
int export_gguf(const export_input *in, const char *path, export_report *report, llama_error *err);
int export_hf(const export_input *in, const char *directory, export_report *report, llama_error *err);
int export_onnx(const export_input *in, const char *path, export_report *report, llama_error *err);
int export_llama2c(const export_input *in, const char *path, export_report *report, llama_error *err);

/* A chat template as a Jinja program that says the same, malloc'ed; NULL with a message. bos_token and eos_token are
 * variables in it. chat_template as in tokenizer.h, 0: the tokenizer's own. */
char *export_template(const tokenizer *t, int chat_template, llama_error *err);

#endif
