/* hf_config_writer.h - config.json of a model of ours, for hf_writer.c, which writes the weights. */
#ifndef HF_CONFIG_WRITER_H
#define HF_CONFIG_WRITER_H

#include "../../llama.h"
#include "../../tokenizer.h"
#include "hf_config.h"
#include "json_writer.h"

#define HF_WRITTEN_BY "\"written_by\": \"llama.c" /* in config.json: this may be replaced */

typedef struct {
    const llama_model *model;
    const tokenizer_parts *tokens; /* bos and ends; NULL: there is no tokenizer */
    const char *dtype;             /* "bfloat16" */
} hf_config_input;

typedef struct {
    const hf_family *family;
    hf_form form; /* how the family has the weights */
    int is_near;  /* 1: the rotary tables are what the parameters give but for their last bits */
} hf_config_choice;

/* Writes config.json: as the family that the model remembers if that can say it, else as the first that can. What is
 * written was read again and is the model's configuration. 0, or -1 with a message that begins with name and says what
 * of the model the family that is nearest has otherwise. */
int hf_write_config(const hf_config_input *in, const char *name, json_out *out, hf_config_choice *choice,
                    llama_error *err);

/* "bos_token_id" and "eos_token_id", which generation_config.json has too. */
void hf_write_token_ids(json_out *out, const tokenizer_parts *tokens);

#endif
