/* gguf.h - what the parts of the GGUF reader share, and the writer with them: architectures, names and keys, weight
 * types; and the head of a file with its metadata.
 *
 * Functions of the reader that can fail return 0 then, with the message in head->err, and 1 if not.
 */
#ifndef GGUF_H
#define GGUF_H

#include "../../llama.h"
#include "../shared/messages.h"
#include "../shared/tensors.h"
#include "source.h"

#include <stdio.h>

/* ---- Architectures: gguf_names.c ---- */

enum {
    GGUF_HALVES = 1,    /* Rows of q and k lie in halves: element i of a head turns with element i + turning / 2.
                          Elsewhere whoever writes the files has put neighbours together, as llama.c has them. */
    GGUF_FUSED = 2,     /* attn_qkv holds q, k and v, one below the other, and ffn_up gate and up. */
    GGUF_EXPERTS = 4,   /* There may be a mixture of experts, in every layer then. */
    GGUF_FACTORS = 8,   /* There may be divisors of rotary frequencies: rope_freqs, or rope_factors_long and _short. */
    GGUF_SCALES = 16,   /* The embedding, q . k, and what a layer adds are multiplied by keys, logits divided by one. */
    GGUF_MINICPM = 32,  /* Older files lack those keys: then 12, 1 / sqrt(head_dim), 1.4 / sqrt(layers), dim / 256. */
    GGUF_ROOT = 64,     /* The embedding is multiplied by sqrt(dim). */
    GGUF_CAPS = 128,    /* q . k and logits are capped: caps[], or what keys say. */
    GGUF_WINDOW = 256,  /* attention.sliding_window holds for every layer, or for those that the pattern says. */
    GGUF_PATTERN = 512, /* Of each period layers, or of as many as a key says, all but the last have it. */
    GGUF_LOCAL = 1024   /* Layers with a window have a rotary base of their own, which no scaling concerns. */
};

typedef struct {
    const char *name;
    int extras;    /* LLAMA_* that each model has */
    int optional;  /* those that it has if the file has their tensors */
    int features;  /* of the above */
    float caps[2]; /* of q . k and of logits, where no key says so; 0: none */
    int window;    /* where no key says so; 0: none */
    int period;    /* of the pattern */
    int unturned;  /* the last of each so many layers does not rotate; 0: all do */
    int large;     /* a model of that many layers divides q . k by sqrt(dim / heads), no key says so */
} gguf_architecture;

const gguf_architecture *gguf_architecture_at(int i); /* NULL behind the last */

/* ---- Tensors: gguf_names.c ----
 *
 * Each that a model of n_layers layers may have has a slot; a name leads to its slot by arithmetic, so that nothing
 * is searched, and a slot that is filled twice is a duplicate. */

enum { GGUF_FREQS = TENSORS, GGUF_LONG, GGUF_SHORT, GGUF_QKV }; /* those that are none of a .llama file */

typedef struct {
    const char *name; /* of layers: what stands behind "blk.N." */
    int tensor;       /* enum tensor, or of the above */
    int experts;      /* of all experts of a mixture: three dimensions */
} gguf_name;

enum { GGUF_N_NAMES = 28, GGUF_MODEL_NAMES = 6, GGUF_LAYER_NAMES = GGUF_N_NAMES - GGUF_MODEL_NAMES };
extern const gguf_name gguf_names[GGUF_N_NAMES];

enum { GGUF_MAX_NAME = 64 }; /* of a tensor, as the format says */

size_t gguf_slots(int n_layers); /* how many there are */
int gguf_slot_name(size_t slot); /* index of gguf_names */
int gguf_slot_layer(size_t slot);
void gguf_spell(size_t slot, char name[GGUF_MAX_NAME + 1]);

/* The slot of one of llama.c's tensors, or one of ours. */
size_t gguf_slot(const llama_config *c, int tensor, int layer);

/* Rows, of one expert if it has several, and columns that the configuration asks for, where turning numbers of a head
 * turn; rows 0: the model has it not. Returns 1 if it must be there. */
int gguf_shape(const gguf_architecture *a, const llama_config *c, int turning, int name, int layer, int *rows,
               int *cols);

/* Which number of heads side by side, as the file has them, is number i as llama.c has it; and the other way. Of the
 * tensors, those whose rows, or numbers, are those of heads that turn. */
int gguf_place(const gguf_architecture *a, int head_dim, int turning, int i);
int gguf_unplace(const gguf_architecture *a, int head_dim, int turning, int i);
int gguf_is_of_heads(int tensor);

/* ---- Keys that are read here and written: of the file; of the architecture, behind its name; of the tokenizer ---- */

#define GGUF_ARCHITECTURE "general.architecture"
#define GGUF_ALIGNMENT "general.alignment"

#define GGUF_BLOCK_COUNT ".block_count"
#define GGUF_CONTEXT_LENGTH ".context_length"
#define GGUF_EMBEDDING_LENGTH ".embedding_length"
#define GGUF_FEED_FORWARD_LENGTH ".feed_forward_length"
#define GGUF_HEAD_COUNT ".attention.head_count"
#define GGUF_HEAD_COUNT_KV ".attention.head_count_kv"
#define GGUF_KEY_LENGTH ".attention.key_length"
#define GGUF_VALUE_LENGTH ".attention.value_length"
#define GGUF_NORM_EPSILON ".attention.layer_norm_rms_epsilon"
#define GGUF_SLIDING_WINDOW ".attention.sliding_window"
#define GGUF_SLIDING_WINDOW_PATTERN ".attention.sliding_window_pattern"
#define GGUF_SCORE_CAP ".attn_logit_softcapping"
#define GGUF_LOGIT_CAP ".final_logit_softcapping"
#define GGUF_EXPERT_COUNT ".expert_count"
#define GGUF_EXPERT_USED_COUNT ".expert_used_count"
#define GGUF_EXPERT_LENGTH ".expert_feed_forward_length"
#define GGUF_EXPERT_WEIGHTS_NORM ".expert_weights_norm"
#define GGUF_EMBEDDING_SCALE ".embedding_scale"
#define GGUF_RESIDUAL_SCALE ".residual_scale"
#define GGUF_LOGIT_SCALE ".logit_scale"
#define GGUF_ATTENTION_SCALE ".attention.scale"
#define GGUF_ROPE_BASE ".rope.freq_base"
#define GGUF_ROPE_BASE_LOCAL ".rope.freq_base_swa"
#define GGUF_ROPE_DIMENSIONS ".rope.dimension_count"
#define GGUF_ROPE_SCALING ".rope.scaling.type"
#define GGUF_ROPE_FACTOR ".rope.scaling.factor"
#define GGUF_ROPE_AMPLITUDE ".rope.scaling.attn_factor"
#define GGUF_ROPE_ORIGINAL ".rope.scaling.original_context_length"
#define GGUF_YARN_FAST ".rope.scaling.yarn_beta_fast"
#define GGUF_YARN_SLOW ".rope.scaling.yarn_beta_slow"

#define GGUF_TOKENIZER "tokenizer.ggml.model"
#define GGUF_PRE "tokenizer.ggml.pre"
#define GGUF_TOKENS "tokenizer.ggml.tokens"
#define GGUF_SCORES "tokenizer.ggml.scores"
#define GGUF_TOKEN_TYPE "tokenizer.ggml.token_type"
#define GGUF_MERGES "tokenizer.ggml.merges"
#define GGUF_BOS_ID "tokenizer.ggml.bos_token_id"
#define GGUF_EOS_ID "tokenizer.ggml.eos_token_id"
#define GGUF_EOT_ID "tokenizer.ggml.eot_token_id"
#define GGUF_EOM_ID "tokenizer.ggml.eom_token_id"
#define GGUF_ADD_BOS "tokenizer.ggml.add_bos_token"
#define GGUF_ADD_SPACE_PREFIX "tokenizer.ggml.add_space_prefix"
#define GGUF_REMOVE_SPACES "tokenizer.ggml.remove_extra_whitespaces"
#define GGUF_CHAT_TEMPLATE "tokenizer.chat_template"

/* ---- The head: gguf_head.c ---- */

typedef struct {
    size_t at, size; /* in the head */
} gguf_string;

typedef struct {
    gguf_string key;
    uint32_t type; /* of the value, or of an array's elements: never an array */
    int is_array;
    uint64_t count; /* 1 if it is no array */
    size_t at;      /* of the first element, in the head */
} gguf_entry;

typedef struct {
    llama_error *err; /* of the call under way */
    char name[128];   /* the file's, for messages: the end says more of a long path */
    FILE *file;
    uint64_t file_size;

    unsigned char *bytes; /* (n_bytes) the file's first bytes, as far as read */
    size_t n_bytes, at;   /* what is before at is taken */
    char what[80];        /* what is being taken, for messages */
    gguf_entry *entries;
    int n_entries;
    char architecture[32];
} gguf_head;

/* Returns 0, for the caller to return. */
int gguf_fail(gguf_head *h, const char *format, ...) PRINTF_LIKE(2, 3);

int gguf_open_file(gguf_head *h, const char *path);
void gguf_free_bytes(gguf_head *h); /* and the metadata: what reads rows needs neither */

/* Takes size bytes, and sets *at to where they are; a number of size bytes; a string. */
int gguf_take(gguf_head *h, uint64_t size, size_t *at);
int gguf_take_number(gguf_head *h, int size, uint64_t *value);
int gguf_take_string(gguf_head *h, gguf_string *s);
int gguf_take_metadata(gguf_head *h, uint64_t count);

/* ---- Metadata, once taken. A key that begins with a dot is one of the architecture: ".block_count" stands for
 * "llama.block_count" in a file whose general.architecture is llama ---- */

enum { GGUF_I32 = 5, GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_F64 = 12 };
enum { GGUF_KEY = 96 }; /* of a key asked for, at most */

/* The entry of a key, or NULL; the key as the file writes it goes to full, for messages. */
const gguf_entry *gguf_find(const gguf_head *h, const char *key, char full[GGUF_KEY]);
int gguf_has(const gguf_head *h, const char *key);
int gguf_is_integer(const gguf_entry *e); /* of its elements */

/* Element i of a value of numbers. 64-bit integers above 2^53 lose bits, but no field allows those. */
double gguf_element(const gguf_head *h, const gguf_entry *e, uint64_t i);
int gguf_wrong_type(gguf_head *h, const char *full, const gguf_entry *e, const char *wanted);

/* *out = an integer of any type, low to high; unchanged if the key is missing and not required. The second: one that
 * may be given for each of n layers, if all are equal. */
int gguf_int(gguf_head *h, const char *key, int low, int high, int required, int *out);
int gguf_layers_int(gguf_head *h, const char *key, int n, int high, int required, int *out);
int gguf_float(gguf_head *h, const char *key, int required, float *out); /* above 0 and finite */
int gguf_bool(gguf_head *h, const char *key, int *out);

/* *out = a string inside the head, *size bytes; NULL if the key is missing. */
int gguf_text(gguf_head *h, const char *key, const char **out, size_t *size);
int gguf_same(const char *text, size_t size, const char *word);
int gguf_shown(size_t size); /* how much of a text a message shows */

/* *e = an array of count elements of a type; of any number of them if count is GGUF_ANY. */
#define GGUF_ANY UINT64_MAX
int gguf_array(gguf_head *h, const char *key, uint32_t type, uint64_t count, const gguf_entry **e);

/* The string at *at in the head, and *at behind it. In the head that taking has checked, so it does not fail. */
char *gguf_next_string(gguf_head *h, size_t *at, size_t *size);

/* ---- Weight types: gguf_types.c ---- */

typedef struct gguf_type gguf_type;
struct gguf_type {
    const char *name;
    int block, bytes; /* weights and bytes of a block */
    /* out (block x blocks) = the weights of so many blocks at p; NULL: not supported */
    void (*decode)(const gguf_type *type, const unsigned char *p, size_t blocks, float *out);
    int has_high, has_min; /* which parts a block has, where several types share a decoder */
    /* So many blocks at p = weights x, to the nearest that the type has; NULL: not written here */
    void (*encode)(const float *x, size_t blocks, unsigned char *p);
    int file_type; /* general.file_type of a file whose matrices are of it */
};

enum { GGUF_TYPE_F32 = 0, GGUF_TYPE_F16 = 1, GGUF_TYPE_Q4_0 = 2, GGUF_TYPE_Q8_0 = 8, GGUF_TYPE_BF16 = 30 };

/* By the number that stands in files; NULL: there is no such type. */
const gguf_type *gguf_find_type(uint64_t number);

/* The block of 32 that holds these integers times scale, an f16: q8_0 -128..127, q4_0 -8..7. */
void gguf_pack_q8_0(const signed char *q, uint16_t scale, unsigned char *p);
void gguf_pack_q4_0(const signed char *q, uint16_t scale, unsigned char *p);

/* ---- The tokenizer: gguf_tokenizer.c ---- */

/* Sets s->tokenizer to what the metadata say of it; leaves it NULL if they say nothing. */
int gguf_read_tokenizer(gguf_head *h, llama_source *s);

/* A name for GGUF_PRE by which words are cut so (TOKENIZER_SPLIT_..); *same_words 0 if what it says of ignore_merges is
 * the opposite: there is no better one. */
const char *gguf_find_pre(int split, int ignore_merges, int nfc, int *same_words);

#endif
