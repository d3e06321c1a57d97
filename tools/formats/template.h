/* template.h - what a chat template, a Jinja program, says of conversations, as a form that tokenizer.h has.
 *
 * The program is run here, when a model is converted, and never later. Conversations with texts that can be told apart
 * show what stands between two of them; others, with texts that are empty, have white space at their ends or thoughts
 * inside, show what becomes of texts. Then the form is proved: on conversations of one to five turns, with a system's
 * text and without, it gives what the template gives, as text and as ids, or the template refuses. */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "../../tokenizer.h"
#include "source.h"

typedef struct {
    const char *text; /* NULL: the template does not get it */
    size_t size;
} template_name;

typedef struct {
    const char *jinja; /* NULL: there is none */
    size_t size;
    template_name bos, eos;
    source_date today; /* what it takes for that */
} template_source;

/* A tokenizer of these parts with what the template says, as one of the forms with a name where it is that one. If it
 * is none that a form can say the tokenizer has none, and s->template_error is the first difference, or what else is
 * wrong with it. NULL, and err, if the parts make no tokenizer. */
tokenizer *template_tokenizer(const tokenizer_parts *parts, const template_source *source, llama_source *s,
                              tokenizer_error *err);

#endif
