/* gguf.h - what the parts of the GGUF reader share: the head of a file with its metadata, and the weight types.
 *
 * Functions that can fail return 0 then, with the message in head->err, and 1 if not.
 */
#ifndef GGUF_H
#define GGUF_H

#include "../../llama.h"
#include "../shared/messages.h"
#include "source.h"

#include <stdio.h>

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
};

enum { GGUF_TYPE_F32 = 0 };

/* By the number that stands in files; NULL: there is no such type. */
const gguf_type *gguf_find_type(uint64_t number);

/* ---- The tokenizer: gguf_tokenizer.c ---- */

/* Sets s->tokenizer to what the metadata say of it; leaves it NULL if they say nothing. */
int gguf_read_tokenizer(gguf_head *h, llama_source *s);

#endif
