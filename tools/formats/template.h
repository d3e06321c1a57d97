/* template.h - which of tokenizer.h's chat templates a Jinja text is. */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "../../llama.h"
#include "../../tokenizer.h"

typedef struct {
    const char *text; /* NULL: the template does not get it */
    size_t size;
} template_name;

typedef struct {
    template_name bos, eos;
    int marks_are_tokens; /* the vocabulary has [INST] as a token of its own */
} template_tokens;

/* Whether it has. */
int template_marks_are_tokens(const tokenizer_piece *pieces, int n);

/* The name of the form that a template has: "llama2", "llama3", "chatml", "zephyr" or "mistral". That is proved: on
 * conversations that end with the user's turn, of one to five turns, with a system message and without, of texts that
 * are plain, empty, or have white space at their ends, it gives the form's text, or refuses. NULL if it has none, with
 * the first difference from the form that it is closest to, or what else is wrong with it. */
const char *template_find(const char *jinja, size_t size, const template_tokens *tokens, llama_error *why);

#endif
