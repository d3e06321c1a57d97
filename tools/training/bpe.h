/* bpe.h - learns a vocabulary from a text, as SentencePiece does for its type BPE (arXiv:1508.07909). */
#ifndef BPE_H
#define BPE_H

#include "../../llama.h"
#include "../../tokenizer.h"

/* A tokenizer of vocab_size pieces: <unk> <s> </s>, the 256 bytes, the pieces that merging makes, the most frequent
 * first, and the text's characters. It encodes the text into exactly the pieces that learning cut it into.
 *
 * A piece is spaces and line breaks, then either letters and digits or other characters, so that a word and the comma
 * behind it stay apart. Characters that do not fit the vocabulary, the rarest, are left to the bytes.
 *
 * *tokens, if not NULL, becomes how many pieces the text was cut into, without the space before it. NULL with a message
 * if there is no memory, or if the vocabulary is too small or larger than the text can fill. */
tokenizer *bpe_learn(const char *text, size_t size, int vocab_size, size_t *tokens, llama_error *err);

enum { BPE_FIRST = 3 + 256 }; /* pieces of any vocabulary */

#endif
