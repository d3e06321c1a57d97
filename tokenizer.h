/* tokenizer.h - text to token ids and back, as SentencePiece's BPE does. C99, no dependencies.
 *
 * Compile tokenizer.c beside your program, or write in exactly one C source file
 *
 *     #define TOKENIZER_IMPLEMENTATION
 *     #include "tokenizer.h"
 *
 * Promises: no function here exits, aborts, prints, reads the environment or keeps a global state.
 * What fails says so by its return value and writes one line to err->text; err may be NULL. A
 * tokenizer is read-only once loaded: any number of threads may share it.
 *
 * Compile-time switch: TOKENIZER_API, linkage of the public functions (default: extern).
 */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stddef.h>

#ifndef TOKENIZER_API
#define TOKENIZER_API extern
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tokenizer tokenizer;

typedef struct {
    char text[256]; /* one line without a newline, always terminated; untouched on success */
} tokenizer_error;

/* Memory for the tokenizer and for the scratch of each tokenizer_encode. NULL: malloc and free. */
typedef struct {
    void *(*alloc)(void *user, size_t size); /* must align as malloc does */
    void (*release)(void *user, void *p);    /* never called with NULL */
    void *user;
} tokenizer_allocator;

/* Loads a llama2.c tokenizer.bin or a SentencePiece .model of type BPE; which one it is shows from its
 * bytes. vocab_size is the model's, or 0 to take the file's own: a tokenizer.bin does not say how many
 * pieces it holds, so with 0 they are counted to the end of the file, and otherwise a different
 * number is an error. NULL on failure. Free with tokenizer_free. */
TOKENIZER_API tokenizer *tokenizer_load(const char *path, int vocab_size, const tokenizer_allocator *allocator,
                                        tokenizer_error *err);

/* The same from size bytes at data, which are copied. */
TOKENIZER_API tokenizer *tokenizer_load_memory(const void *data, size_t size, int vocab_size,
                                               const tokenizer_allocator *allocator, tokenizer_error *err);

TOKENIZER_API void tokenizer_free(tokenizer *t); /* NULL is allowed */

TOKENIZER_API int tokenizer_vocab_size(const tokenizer *t);

/* The id that starts a text, or -1 if the tokenizer has none. */
TOKENIZER_API int tokenizer_bos(const tokenizer *t);

/* 1 if id ends a text (any of the end-of-sequence ids), else 0. */
TOKENIZER_API int tokenizer_is_end(const tokenizer *t, int id);

enum {
    TOKENIZER_BOS = 1 /* put the id that starts a text first */
};

/* Most ids that tokenizer_encode can make of size bytes, bos included; SIZE_MAX if that overflows. */
TOKENIZER_API size_t tokenizer_bound(const tokenizer *t, size_t size);

/* Encodes size bytes of text (any bytes: what is no UTF-8 becomes byte pieces) with flags from the enum
 * above. Text never turns into control tokens: "<s>" is three characters. Writes at most capacity ids
 * and returns how many there are, which may be more (capacity 0 counts; ids may then be NULL); -1 on
 * failure (no memory, or a text of gigabytes). Time is O(n log n).
 *
 * The ids are those of SentencePiece, exactly, for any UTF-8. With byte pieces, and unless the vocabulary
 * normalises its text, decoding gives every text back, with one exception: the character U+2581, which
 * stands for a space in pieces, comes back as a space. */
TOKENIZER_API ptrdiff_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int flags,
                                         int *ids, size_t capacity, tokenizer_error *err);

/* The bytes of token id as they continue a text in which previous stands before it (-1: id is the
 * first). *size becomes their number; they may hold zeros, need not end at a character's end, and stay
 * valid until tokenizer_free. Control tokens and ids outside the vocabulary give no bytes; the unknown
 * token gives what the file says it looks like, or " \xE2\x81\x87 ". The one space that encoding puts before
 * a text is taken off after bos or -1. */
TOKENIZER_API const char *tokenizer_decode(const tokenizer *t, int previous, int id, size_t *size);

#ifdef __cplusplus
}
#endif
#endif /* TOKENIZER_H */

#ifdef TOKENIZER_IMPLEMENTATION
#undef TOKENIZER_IMPLEMENTATION
#include "tokenizer.c"
#endif
