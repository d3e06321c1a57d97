/* hf_tokenizer.h - the tokenizer of a Hugging Face directory, for hf.c, which reads the rest, and for what writes
 * one. */
#ifndef HF_TOKENIZER_H
#define HF_TOKENIZER_H

#include "json.h"
#include "source.h"

/* Sets s->tokenizer from the directory's files; leaves it NULL if there are none. config is config.json.
 * 0, or -1 with a message. */
int hf_read_tokenizer(llama_source *s, const char *directory, const json_node *config, llama_error *err);

/* ---- What both directions know ---- */

#define HF_SPACE "\xE2\x96\x81" /* U+2581, SentencePiece's space */

/* The regular expressions that a TOKENIZER_SPLIT_.. cuts by, in turn, up to the first NULL; NULL: none are known. */
enum { HF_SPLIT_PATTERNS = 3 };
const char *const *hf_split_patterns(int split);

extern const char hf_gpt2[]; /* the one that ByteLevel has inside */

#endif
