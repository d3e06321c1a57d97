/* hf_tokenizer_writer.h - the tokenizer of a model of ours in the files of a Hugging Face directory, for hf_writer.c.
 */
#ifndef HF_TOKENIZER_WRITER_H
#define HF_TOKENIZER_WRITER_H

#include "../../tokenizer.h"
#include "json_writer.h"

/* Writes tokenizer.json and tokenizer_config.json. What a tokenizer.json cannot say is refused by its name; a chat
 * template that cannot be written is left out, and note (size bytes) says so. 0, or -1 with a message that begins with
 * name. */
int hf_write_tokenizer(const tokenizer *t, int seq_len, const char *name, json_out *json, json_out *config, char *note,
                       size_t size, llama_error *err);

#endif
