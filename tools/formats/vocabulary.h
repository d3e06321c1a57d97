/* vocabulary.h - what readers of tokenizers share. */
#ifndef VOCABULARY_H
#define VOCABULARY_H

#include "../../llama.h"
#include "../../tokenizer.h"

/* Makes CONTROL of the pieces that are marks of a chat template (a Jinja text): of those that it has between quotes or
 * as text, or puts together from brackets and a word. Who types one does not get it then; decoding shows it as before.
 * Returns 0, or -1 without memory. */
int vocabulary_protect(tokenizer_piece *pieces, int n_pieces, const char *jinja, size_t size);

/* 1 for a piece that by its name ends a text or a turn: <|eot_id|> and the like. */
int vocabulary_is_end(const tokenizer_piece *p);

/* 1 for the name of a byte, such as <0x0A>. */
int vocabulary_is_byte_name(const char *name, size_t size);

/* Byte-level vocabularies write each byte as a printable character (GPT-2's bytes_to_unicode). Decodes such a
 * text of size bytes to out, which may be text itself, and returns how many bytes it was, or -1 if a character is not
 * of that alphabet. */
ptrdiff_t vocabulary_decode_bytes(const char *text, size_t size, char *out);

/* The other way: at most 2 * size bytes of out; returns how many. */
size_t vocabulary_encode_bytes(const char *text, size_t size, char *out);

/* The flat form that tokenizer.h describes, malloc'ed; NULL, and *size 0, without memory. */
void *vocabulary_save(const tokenizer *t, size_t *size);

/* tokenizer.bin or tokenizer.model in the directory of the file at path, malloc'ed; NULL if there is none. */
char *vocabulary_beside(const char *path);

/* The tokenizer that goes with a model from the file at path: that of file, if it is not NULL, else its own, else the
 * one beside it. NULL if there is none; err has a code if one could not be loaded. */
tokenizer *vocabulary_of_model(const llama_model *m, const char *path, const char *file, tokenizer_error *err);

#endif
