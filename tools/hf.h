/* hf.h - between hf.c, which reads the configuration and the weights of a Hugging Face directory, and
 * hf_tokenizer.c, which reads its tokenizer.
 */
#ifndef HF_H
#define HF_H

#include "json.h"
#include "source.h"

/* directory/name, malloc'ed; NULL with a message. */
char *hf_path(const char *directory, const char *name, llama_error *err);
int hf_exists(const char *directory, const char *name);

/* Sets s->tokenizer from the directory's files; leaves it NULL if there are none. config is config.json.
 * 0, or -1 with a message. */
int hf_read_tokenizer(llama_source *s, const char *directory, const json_node *config, llama_error *err);

#endif
