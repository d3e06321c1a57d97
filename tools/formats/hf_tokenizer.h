/* hf_tokenizer.h - the tokenizer of a Hugging Face directory, for hf.c, which reads the rest. */
#ifndef HF_TOKENIZER_H
#define HF_TOKENIZER_H

#include "json.h"
#include "source.h"

/* Sets s->tokenizer from the directory's files; leaves it NULL if there are none. config is config.json.
 * 0, or -1 with a message. */
int hf_read_tokenizer(llama_source *s, const char *directory, const json_node *config, llama_error *err);

#endif
