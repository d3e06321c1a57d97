/* tokenizer.h - text to token ids and back: SentencePiece's BPE, and the byte-level BPE of GPT-2 and its successors.
 * C99, no dependencies.
 *
 * Compile tokenizer.c beside your program, or write in exactly one C or C++ source file
 *
 *     #define TOKENIZER_IMPLEMENTATION
 *     #include "tokenizer.h"
 *
 * Promises: no function here exits, aborts, prints, reads the environment or keeps a global state.
 * What fails says so by its return value and writes a code and one line of text to err, which may be NULL. A
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

/* What went wrong, for a program. */
enum {
    TOKENIZER_BAD_FILE = 1, /* it cannot be opened or read, is damaged, or is no tokenizer; or parts that make none */
    TOKENIZER_NO_MEMORY,
    TOKENIZER_BAD_TEXT,  /* too long */
    TOKENIZER_BAD_OPTION /* no such template, or messages in an order that it does not know */
};

typedef struct {    /* untouched on success */
    int code;       /* one of the above */
    char text[256]; /* for people: one line without a newline, always terminated */
} tokenizer_error;

/* Memory for the tokenizer and for the scratch of each tokenizer_encode. NULL: malloc and free. */
typedef struct {
    void *(*alloc)(void *user, size_t size); /* must align as malloc does */
    void (*release)(void *user, void *p);    /* never called with NULL */
    void *user;
} tokenizer_allocator;

/* Loads a llama2.c tokenizer.bin, a SentencePiece .model of type BPE, the flat form that tokenizer_save writes, or
 * that of a .llama file, of which only the tokenizer is read; which one it is shows from its bytes. vocab_size is the
 * model's, or 0 to take the file's own: a tokenizer.bin does not say how many pieces it holds, so with 0 they are
 * counted to the end of the file, and otherwise a different number is an error. NULL on failure. Free with
 * tokenizer_free. */
TOKENIZER_API tokenizer *tokenizer_load(const char *path, int vocab_size, const tokenizer_allocator *allocator,
                                        tokenizer_error *err);

/* The same from size bytes at data, which are copied. */
TOKENIZER_API tokenizer *tokenizer_load_memory(const void *data, size_t size, int vocab_size,
                                               const tokenizer_allocator *allocator, tokenizer_error *err);

TOKENIZER_API void tokenizer_free(tokenizer *t); /* NULL is allowed */

/* ---- Making a tokenizer from its parts, for those who read other files ---- */

enum { TOKENIZER_SENTENCEPIECE = 1, TOKENIZER_BYTE_LEVEL }; /* kinds */

/* Types of pieces, numbered as in .model and GGUF files. */
enum {
    TOKENIZER_NORMAL = 1,
    TOKENIZER_UNKNOWN,      /* SENTENCEPIECE: one, or none if there are pieces of type BYTE; a special token too */
    TOKENIZER_CONTROL,      /* a special token: text never becomes one unless TOKENIZER_SPECIAL asks for it */
    TOKENIZER_USER_DEFINED, /* matched in any text before all else */
    TOKENIZER_UNUSED,       /* no text becomes one; with no bytes it only pads the vocabulary to the model's */
    TOKENIZER_BYTE          /* <0x00>..<0xFF> of SENTENCEPIECE: all 256 or none */
};

/* What may be said of a CONTROL, UNKNOWN or USER_DEFINED piece: a sum of these. They are those of Hugging Face's added
 * tokens, and of the same meaning. */
enum {
    TOKENIZER_LSTRIP = 1,      /* takes the white space before it away */
    TOKENIZER_RSTRIP = 2,      /* and that after it */
    TOKENIZER_SINGLE_WORD = 4, /* is none where a letter, digit or _ is next to it */
    TOKENIZER_NORMALIZED = 8,  /* is looked for in the normalised text, after those that are looked for in the text */
    TOKENIZER_SEGMENT = 16, /* USER_DEFINED of SENTENCEPIECE: what is before and behind it are texts of their own, each
                                  normalised alone, as it always is with CONTROL and with BYTE_LEVEL. Otherwise it is a
                                  symbol inside of the text, as SentencePiece has it. */
    TOKENIZER_SHOWN = 16,   /* CONTROL: decoding gives its text, and not nothing */
    TOKENIZER_ADDED = 32 /* USER_DEFINED that cuts the text: it is no piece of the vocabulary that it was added to, so
                                  text that it does not cut, as TOKENIZER_SINGLE_WORD may have it, never becomes it */
};

typedef struct {
    const char *text; /* SENTENCEPIECE: with U+2581 for a space; BYTE_LEVEL: the bytes themselves */
    size_t size;
    float score; /* SENTENCEPIECE: the highest is merged first */
    int type;
    int flags;
} tokenizer_piece;

/* How BYTE_LEVEL cuts a text into words, named for who began it. tokenizer.c has their regular expressions. */
enum {
    TOKENIZER_SPLIT_LLAMA3,
    TOKENIZER_SPLIT_GPT2,
    TOKENIZER_SPLIT_STARCODER, /* each digit alone, then as GPT-2 */
    TOKENIZER_SPLIT_QWEN2,
    TOKENIZER_SPLIT_QWEN35,
    TOKENIZER_SPLIT_GPT4O,
    TOKENIZER_SPLIT_TEKKEN,
    TOKENIZER_SPLIT_DEEPSEEK3
};

/* Where SENTENCEPIECE puts a space in front of a text. */
enum {
    TOKENIZER_PREFIX_NEVER,
    TOKENIZER_PREFIX_EACH,    /* everywhere: SentencePiece's own rule, and Hugging Face's Prepend */
    TOKENIZER_PREFIX_MISSING, /* where none is: Metaspace, "always" */
    TOKENIZER_PREFIX_FIRST,   /* the same, but not after a special token: Metaspace, "first" */
    TOKENIZER_PREFIX_NONE /* nowhere: Metaspace, "never", which, as all of Metaspace, replaces spaces late: a piece with
                                 TOKENIZER_NORMALIZED is looked for in the text before that */
};

/* ---- Chat templates as data ---- */

enum { TOKENIZER_SYSTEM = 1, TOKENIZER_USER, TOKENIZER_ASSISTANT }; /* roles */

enum { /* what goes from the ends of a text: a sum of these */
       TOKENIZER_TRIM_LEFT = 1,
       TOKENIZER_TRIM_RIGHT = 2,
       TOKENIZER_TRIM = 3,      /* white space at both */
       TOKENIZER_TRIM_LINES = 4 /* of it line breaks alone */
};

/* A sum of these. */
enum {
    TOKENIZER_FORM_JOINED = 1,          /* a system's text and the user's behind it are trimmed as one */
    TOKENIZER_FORM_SYSTEM_LAST = 2,     /* the system's text, the first, goes before the last user's */
    TOKENIZER_FORM_NO_EMPTY_SYSTEM = 4, /* a system's text that is empty is none */
    TOKENIZER_FORM_SPOKEN = 8, /* of an answer, but if it is the last text, only what is behind its last </think> */
    TOKENIZER_FORM_FIRST_THOUGHT = 16, /* or first */
    TOKENIZER_FORM_KEEPS_THOUGHT = 32  /* all of the last answer, whatever comes behind it */
};

/* What a conversation looks like to a model: what is written between two texts. */
typedef struct {
    /* [from][to]: after a text of role from (0: at the beginning) and before one of role to (0: after the last text:
     * what opens an answer, and behind an answer, what ends it). NULL: the template has no such order. Names of special
     * tokens become those; \1 stands for bos, \2 for eos, \3 for bos if texts begin with it, \4 for a space unless the
     * tokenizer puts one there itself, behind a special token; \5 for one that is not put before a special token. */
    const char *between[4][4];
    int trim[4]; /* of each role's texts; [0] of what TOKENIZER_FORM_SPOKEN leaves */
    int flags;
} tokenizer_form;

typedef struct {
    int kind;
    const tokenizer_piece *pieces; /* (n_pieces) by id */
    int n_pieces;
    const int (*merges)[2]; /* (n_merges) ids of left and right, the first merged first; left + right is a piece */
    int n_merges;           /* too. SENTENCEPIECE: in place of scores, where there are any */
    int bos;                /* the id that starts a text; -1: none */
    int add_bos;            /* 1: a text starts with it */
    const int *ends;        /* (n_ends) ids that end a text or a turn, the main one (eos) first; up to 64 */
    int n_ends;
    int chat_template;            /* a TOKENIZER_LLAMA2.. below; 0: none */
    const tokenizer_form *form;   /* with TOKENIZER_OWN; else NULL */
    int add_dummy_prefix;         /* SENTENCEPIECE: a TOKENIZER_PREFIX_.. */
    int remove_extra_whitespaces; /* SENTENCEPIECE */
    int ignore_merges;            /* BYTE_LEVEL: a word that is a piece is taken whole, whatever the merges say */
    int split;                    /* BYTE_LEVEL: a TOKENIZER_SPLIT_.. */
    int nfc;                      /* BYTE_LEVEL: text is brought into Unicode's form NFC first */
    /* Not NULL: a SENTENCEPIECE tokenizer of the same pieces (tokenizer_get_piece tells them) and perhaps more, whose
     * way to normalise a text is taken; kind, add_dummy_prefix and remove_extra_whitespaces are then its own. */
    const tokenizer *base;
} tokenizer_parts;

/* A tokenizer from its parts, which are checked and copied. Byte-level vocabularies have a piece for each
 * single byte. NULL on failure.
 *
 * Pieces of type NORMAL or USER_DEFINED that start or end a text, or bear the name of a mark of turns in a chat, are
 * made CONTROL, here and where a file is loaded; so no user can end his turn by typing it. A merge that such a piece
 * has part in is left out. */
TOKENIZER_API tokenizer *tokenizer_create(const tokenizer_parts *parts, const tokenizer_allocator *allocator,
                                          tokenizer_error *err);

/* Writes the flat form, which tokenizer_load_memory reads, if its size is at most capacity. Returns the size;
 * capacity 0 asks for it. */
TOKENIZER_API size_t tokenizer_save(const tokenizer *t, void *out, size_t capacity);

/* ---- Using it ---- */

TOKENIZER_API int tokenizer_vocab_size(const tokenizer *t);

/* Piece id as tokenizer_create takes it, of any type. Returns 1, or 0 for an id outside of the vocabulary, and leaves
 * *piece alone then. Its text is the tokenizer's, not terminated, may hold zeros, and stays valid until tokenizer_free;
 * what is shown of it in a text is tokenizer_decode's to say. */
TOKENIZER_API int tokenizer_get_piece(const tokenizer *t, int id, tokenizer_piece *piece);

/* The rest of it, for those who write it elsewhere. *parts becomes what tokenizer_create takes for the same tokenizer,
 * but that pieces and merges are NULL: n_pieces times tokenizer_get_piece, and tokenizer_get_merges, give those.
 * What it points to stays valid until tokenizer_free. base is t itself in SENTENCEPIECE, whose rules parts alone
 * cannot say: tokenizer_get_rules does. */
TOKENIZER_API void tokenizer_get_parts(const tokenizer *t, tokenizer_parts *parts);

/* merges (n_merges of the above) = ids of left and right, the first merged first; NULL only counts. Returns how many
 * there are; -1 if none say what is merged, but the scores of pieces. */
TOKENIZER_API int tokenizer_get_merges(const tokenizer *t, int (*merges)[2]);

/* What the .model that a SENTENCEPIECE tokenizer comes from says of text; all 0 but for escape_spaces and unknown if it
 * comes from elsewhere. Of BYTE_LEVEL all is 0. */
typedef struct {
    const char *charsmap; /* (charsmap_size) precompiled_charsmap: which characters become others; NULL: none do */
    size_t charsmap_size;
    const char *unknown; /* (unknown_size) what the unknown piece is decoded to; NULL: there is none */
    size_t unknown_size;
    int escape_spaces;   /* spaces are written as U+2581, as nearly everywhere */
    int space_is_suffix; /* what add_dummy_prefix puts in front of a text goes behind it */
} tokenizer_rules;

TOKENIZER_API void tokenizer_get_rules(const tokenizer *t, tokenizer_rules *rules);

/* The id of the piece with these bytes, special tokens included ("<|eot_id|>"), or -1. */
TOKENIZER_API int tokenizer_find(const tokenizer *t, const char *text, size_t size);

/* The id that starts a text, or -1 if the tokenizer has none. */
TOKENIZER_API int tokenizer_bos(const tokenizer *t);

/* 1 if id ends a text (any of the end-of-sequence ids), else 0. */
TOKENIZER_API int tokenizer_is_end(const tokenizer *t, int id);

enum {
    TOKENIZER_BOS = 1,     /* put the id that starts a text first, unless the tokenizer's file says not to */
    TOKENIZER_SPECIAL = 2, /* names of special tokens in the text become those: for texts that programmers
                              write, such as templates; never for what a user typed */
    TOKENIZER_CONTINUE = 4 /* the text goes on where another ended: see below */
};

/* What becomes of spaces. BYTE_LEVEL keeps all and puts none anywhere. SENTENCEPIECE, as its vocabulary says,
 *   - puts one in front of a text that is not empty (most do, by one of the rules TOKENIZER_PREFIX_..; a few put it
 *     behind): "ing" becomes " ing";
 *   - takes away those at the ends and makes one of several (remove_extra_whitespaces; Llama's do not). Of a text of
 *     spaces alone nothing is left then, not even the one in front.
 * With TOKENIZER_CONTINUE none is put anywhere, and those at the ends stay, of several in a row one if the vocabulary
 * says so. "Go" and then "ing" are a "Going", "Go" and " on" a "Go on". It may go with TOKENIZER_BOS. Of a text that
 * TOKENIZER_SPECIAL splits, only what comes before the first special token continues.
 *
 * No piece reaches from one part of a text into the next, so the ids are not always those of the whole. */

/* Most ids that tokenizer_encode can make of size bytes, bos included; SIZE_MAX if that overflows. */
TOKENIZER_API size_t tokenizer_bound(const tokenizer *t, size_t size);

/* Encodes size bytes of text (any bytes: what is no UTF-8 becomes byte pieces) with a sum of the flags above. Without
 * TOKENIZER_SPECIAL "<s>" is three characters and never a control token. Writes at most capacity ids and returns how
 * many there are, which may be more (capacity 0 counts; ids may then be NULL); -1 on failure (no memory, or a text of
 * gigabytes). Time is O(n log n).
 *
 * The ids are exactly those of SentencePiece, or of Hugging Face's tokenizers, for any UTF-8. Decoding gives every
 * text back, byte for byte, with byte-level BPE without NFC; with SentencePiece if there are byte pieces and the
 * vocabulary does not normalise its text, with one exception: the character U+2581, which stands for a space in pieces,
 * comes back as a space. What added pieces take away (TOKENIZER_LSTRIP, ..) does not come back, nor does a space at the
 * beginning of a text that gets none in front since it has one. */
TOKENIZER_API ptrdiff_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int flags, int *ids,
                                         size_t capacity, tokenizer_error *err);

/* The bytes of token id as they continue a text in which previous stands before it (-1: id is the
 * first). *size becomes their number; they may hold zeros, need not end at a character's end, and stay
 * valid until tokenizer_free. Control tokens (but those with TOKENIZER_SHOWN) and ids outside the vocabulary give no
 * bytes; the unknown token gives what the file says it looks like, or " \xE2\x81\x87 ". The one space that encoding
 * puts before a text is taken off after bos or -1; with remove_extra_whitespaces a second one in a row is too. */
TOKENIZER_API const char *tokenizer_decode(const tokenizer *t, int previous, int id, size_t *size);

/* How many of the first bytes of a text that comes in parts can be shown: all, but for a UTF-8 character at the end
 * that is not whole yet, up to three bytes. (An emoji may take four tokens.) Bytes that can never become UTF-8 are not
 * held back. */
TOKENIZER_API size_t tokenizer_whole(const char *bytes, size_t size);

/* ---- Chat ---- */

enum { /* templates */
       TOKENIZER_LLAMA2 = 1,
       TOKENIZER_LLAMA3,
       TOKENIZER_CHATML,
       TOKENIZER_ZEPHYR,
       TOKENIZER_MISTRAL,
       TOKENIZER_OWN /* the form that the tokenizer's file brings */
};

/* "llama2", "llama3", "chatml", "zephyr", "mistral" to a template; 0 for any other name or NULL. */
TOKENIZER_API int tokenizer_template_find(const char *name);
TOKENIZER_API const char *tokenizer_template_name(int chat_template); /* NULL if there is no such template, or OWN */
TOKENIZER_API int tokenizer_template(const tokenizer *t);             /* what the file says; 0: nothing */

typedef struct {
    int role;
    const char *text;
    size_t size;
} tokenizer_message;

/* Encodes n messages of a conversation as a template has them (0: the tokenizer's own), bos included, up to
 * where the assistant's answer begins; if the last message is an answer, to its end. Nothing in a message
 * becomes a special token, but for <think> and </think> in an answer, where the model wrote those. Returns as
 * tokenizer_encode does.
 *
 * With first > 0 only what comes after the text of message first - 1, an answer: the end of its turn, which
 * the model may or may not have written, then messages first.. . So a conversation is kept in the context of
 * a model and grows by the new ids alone: an answer's ids are those that the model chose, without the one
 * that ended it (tokenizer_is_end, or tokenizer_end_of_turn). Where tokenizer_chat_grows says 0 that is an error:
 * later messages change what was there, and first is 0; what the ids share with those in the context is kept. */
TOKENIZER_API ptrdiff_t tokenizer_encode_chat(const tokenizer *t, int chat_template, const tokenizer_message *messages,
                                              int n, int first, int *ids, size_t capacity, tokenizer_error *err);

/* 1 if a template (0: the tokenizer's own) only adds to what was said. 0 if, say, it leaves out what an earlier answer
 * thought, or puts the system's text before the last question; or if there is none. */
TOKENIZER_API int tokenizer_chat_grows(const tokenizer *t, int chat_template);

/* The template as data, for those who write it elsewhere; NULL if there is none. Valid until tokenizer_free. */
TOKENIZER_API const tokenizer_form *tokenizer_get_form(const tokenizer *t, int chat_template);

/* The id by which a model that follows the template ends its turn, or -1. */
TOKENIZER_API int tokenizer_end_of_turn(const tokenizer *t, int chat_template);

#ifdef __cplusplus
}
#endif
#endif /* TOKENIZER_H */

#ifdef TOKENIZER_IMPLEMENTATION
#undef TOKENIZER_IMPLEMENTATION
#include "tokenizer.c"
#endif
