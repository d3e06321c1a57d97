/* tokenizer.c - how a text becomes token ids, and ids a text. The contract is in tokenizer.h.
 *
 *    1. Vocabulary        pieces with their ids, and how to find them
 *    2. Tools             characters, memory, errors
 *    3. Normalisation     the text as pieces spell it
 *    4. Splitting         into spans that no merge bridges, and those into symbols
 *    5. Merging           byte pair encoding itself
 *    6. Encoding          from a text to ids, with all of the above
 *    7. Decoding          and back
 *    8. Chat templates    what a conversation looks like to a model
 *    9. Public functions
 *
 *    and what a reader may skip:
 *
 *   10. Building          from a list of pieces to a vocabulary that finds them
 *   11. File formats      tokenizer.bin, SentencePiece's .model, the flat form
 *   12. Loading and saving
 *   13. Unicode           which characters are letters, and which are numbers
 *
 * Byte pair encoding (BPE; Sennrich, Haddow and Birch, arXiv:1508.07909) reads a text in four steps. This is how
 * SentencePiece (Kudo and Richardson, arXiv:1808.06226) takes them:
 *
 * 1. Normalise. The text is taken as it is, except for spaces: each becomes the visible character
 *    U+2581 (written _ here), so that a space is an ordinary part of pieces, and one more is put in
 *    front, so that a word is the same at the start of a text as inside. "the cat" -> "_the_cat".
 *
 * 2. Split into symbols, one per character. A user-defined piece is one symbol, and final.
 *
 * 3. Merge. The vocabulary is a list of pieces with a score each. Of all neighbours that make a piece
 *    of the vocabulary when joined, join the pair whose piece scores best (the leftmost of equals), and
 *    again, until nothing joins. Training had joined, again and again, the pair that was most frequent in
 *    its text, and gave out scores in that order (0, -1, -2, ...). So encoding repeats the merges of training:
 *
 *        _ t h e _ c a t     _t scores best (-1), before at (-12), he (-95), th (-127), ...
 *        _t h e _ c a t      now _th (-7)
 *        _th e _ c a t       at
 *        _th e _ c at        _c, then _the, then _cat
 *        _the _cat           ids 278 and 6635 of Llama 2
 *
 * 4. What is left over. A symbol that is no piece becomes the byte pieces <0x00>..<0xFF> of its bytes,
 *    or, in a vocabulary without those, the unknown token.
 *
 * Byte-level BPE, which Llama 3 uses, has less to do in each step. Nothing is normalised. A regular expression cuts
 * the text into words, and a word's symbols are its bytes, so that nothing is ever left over. And it is written down
 * which pairs merge, in order, where SentencePiece merges whatever makes a piece.
 *
 * The file has the rest of it, too: how that takes O(n log n) time and not n squared, whatever the text and whoever
 * wrote the vocabulary. Shapes stand in comments as (rows, columns). Statics are called tk_* and macros TK_* so that
 * this file can be included into a program with names of its own.
 */
#include "tokenizer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TK_MAX_FILE ((size_t)64 << 20)  /* the largest known tokenizers are a quarter of this */
#define TK_MAX_TEXT ((size_t)INT32_MAX) /* positions in a text are int32_t */
#define TK_MAX_PIECE 0xFFFFFF           /* the flat form has 24 bits for it */
#define TK_MAX_MERGES (1 << 22)         /* ranks must be exact as floats; 15 times Llama 3's */
#define TK_MAX_ENDS 64
#define TK_MAX_MATCH 1000 /* bytes of what is looked for at each character: user-defined pieces and replacements */
#define TK_ADJACENT_BITS 18
#define TK_SPACE "\xE2\x96\x81" /* U+2581, three bytes */

enum { TK_N_TEMPLATES = TOKENIZER_MISTRAL };

/* ==== 1. Vocabulary =============================================================================
 *
 * All that training leaves behind: pieces of text, numbered, and which of them to make first. SentencePiece
 * gives each piece a score, byte-level BPE each merge a rank; both tell the order in which training found them.
 */

typedef struct {
    const char *text;    /* as encoding compares it, spaces as U+2581; inside tokenizer.bytes */
    const char *surface; /* as decoding writes it; may be the same memory */
    int32_t size, surface_size;
    float score;
    int type;
} tk_piece;

typedef struct {
    int32_t left, right, rank, id; /* pieces left and right become piece id */
} tk_merge;

typedef struct {
    uint32_t hash;
    int32_t id;
} tk_slot;

typedef struct {
    const char *p;
    size_t size;
} tk_bytes;

/* A place to write to; with p NULL it only counts. */
typedef struct {
    char *p;
    size_t n;
} tk_out;

struct tokenizer {
    tokenizer_allocator memory;
    int kind;

    tk_piece *pieces; /* (n_pieces) by id */
    int32_t n_pieces;
    tk_out bytes; /* what the pieces point into */

    /* Finding a piece by its text: slots in order of hash, and where each range of hashes starts. */
    tk_slot *slots;    /* (n_pieces) */
    uint32_t *buckets; /* ((1 << bucket_bits) + 2) indices of slots */
    int bucket_bits;
    int32_t longest;  /* bytes of the longest piece that text can become */
    int32_t *user;    /* (n_user) ids of the user-defined pieces, sorted by their bytes */
    int32_t *special; /* (n_special) the same of the control pieces */
    int32_t n_user, n_special;
    unsigned char adjacent[(1 << TK_ADJACENT_BITS) / 8]; /* SENTENCEPIECE: see tk_adjacent_bit */

    int bos, unk; /* ids, -1 if there is none */
    int ends[TK_MAX_ENDS], n_ends;
    int byte_ids[256]; /* the pieces that stand for a byte each, or -1 */
    int add_bos, chat_template;
    size_t growth; /* ids that one byte of text can become at most */

    /* BYTE_LEVEL: merges in order of left and right; those of a left piece start at first_merge[left]. */
    tk_merge *merges;      /* (n_merges) */
    uint32_t *first_merge; /* (n_pieces + 2) */
    int32_t n_merges;
    int ignore_merges; /* a word that is a piece is taken whole */

    /* SENTENCEPIECE: how text is normalised, and what becomes of symbols that are no piece. */
    int dummy_prefix;        /* a space is put in front of a text, */
    int space_is_suffix;     /* or behind it */
    int remove_extra_spaces; /* those at the ends go, and several become one */
    int escape_spaces;       /* they are written as U+2581 */
    int byte_fallback;       /* to bytes, and not to the unknown token */
    int has_unused;          /* some pieces only lead to others, see tk_emit_text */
    char *map; /* (map_size) precompiled_charsmap: which characters to replace by what, see tk_replacement */
    size_t map_size, n_trie;
};

/* ---- Look-up ----
 *
 * Merging asks for each two neighbours whether they make a piece, so this is where the time goes. There are more
 * buckets than pieces: to hash the text and to compare it once is all that most questions take. Inside a bucket
 * slots are sorted, so that a file made of colliding pieces costs a binary search and not a linear one: no
 * input makes loading or encoding quadratic, and no secret seed is needed.
 */

/* Control, unknown and byte pieces have a name that text never matches. (SentencePiece's unused pieces take
 * part in merging and are then taken apart.) */
static int tk_is_reserved(const tokenizer *t, const tk_piece *p) {
    return p->type == TOKENIZER_CONTROL || p->type == TOKENIZER_UNKNOWN || p->type == TOKENIZER_BYTE ||
           (p->type == TOKENIZER_UNUSED && t->kind == TOKENIZER_BYTE_LEVEL);
}

/* FNV-1a, mixed once more so that all of the upper bits, which choose the bucket, depend on the last bytes too. The
 * lowest bit keeps reserved names apart from text: SentencePiece lets the same one be in both. */
static uint32_t tk_hash(const char *p, size_t n, int reserved) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 16777619u;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    return (h & ~1u) | (reserved ? 1u : 0u);
}

static int tk_compare_bytes(const char *a, size_t na, const char *b, size_t nb) {
    int c = memcmp(a, b, na < nb ? na : nb);
    return c ? c : (na > nb) - (na < nb);
}

/* The id of the piece with this text, or -1. */
static int32_t tk_find(const tokenizer *t, const char *p, size_t n, int reserved) {
    uint32_t hash = tk_hash(p, n, reserved);
    const uint32_t *bucket = &t->buckets[hash >> (32 - t->bucket_bits)];
    uint32_t lo = bucket[0], hi = bucket[1];
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        tk_slot s = t->slots[mid];
        const tk_piece *q = &t->pieces[s.id];
        int c = hash != s.hash ? (hash < s.hash ? -1 : 1) : tk_compare_bytes(p, n, q->text, (size_t)q->size);
        if (c == 0) return s.id;
        if (c < 0) hi = mid;
        else lo = mid + 1;
    }
    return -1;
}

/* The merge of two neighbours, or NULL. */
static const tk_merge *tk_find_merge(const tokenizer *t, int32_t left, int32_t right) {
    uint32_t lo = t->first_merge[left], hi = t->first_merge[left + 1];
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const tk_merge *m = &t->merges[mid];
        if (m->right == right) return m;
        if (m->right > right) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

/* First of the listed pieces lo..hi, which share their first depth bytes, whose next byte is at least c; a
 * piece that ends there comes before all others. */
static int32_t tk_match_bound(const tokenizer *t, const int32_t *list, int32_t lo, int32_t hi, int32_t depth, int c) {
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        const tk_piece *p = &t->pieces[list[mid]];
        if (p->size <= depth || (unsigned char)p->text[depth] < c) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* The longest of the n_list listed pieces that text begins with, or -1. The list is sorted by bytes, which makes it
 * a trie that needs no memory: each byte of text narrows the range of pieces that begin as the text does. */
static int32_t tk_match(const tokenizer *t, const int32_t *list, int32_t n_list, const char *p, size_t n) {
    int32_t best = -1, lo = 0, hi = n_list;
    for (int32_t depth = 0; lo < hi && (size_t)depth < n; depth++) {
        int c = (unsigned char)p[depth];
        lo = tk_match_bound(t, list, lo, hi, depth, c);
        hi = tk_match_bound(t, list, lo, hi, depth, c + 1);
        if (lo < hi && t->pieces[list[lo]].size == depth + 1) best = list[lo];
    }
    return best;
}

/* Bytes of the longest user-defined piece that text begins with, or 0. */
static size_t tk_user_match(const tokenizer *t, const char *p, size_t n) {
    int32_t id = tk_match(t, t->user, t->n_user, p, n);
    return id < 0 ? 0 : (size_t)t->pieces[id].size;
}

/* ==== 2. Tools ================================================================================== */

/* Bytes of the character at p, of n > 0 bytes; 1 for a byte that starts none. (What has the form of a
 * character but stands for none, such as half a surrogate pair, is no piece either: it becomes bytes.) */
static size_t tk_char_size(const char *p, size_t n) {
    const unsigned char *u = (const unsigned char *)p;
    size_t size = u[0] < 0xC2 ? 1 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : u[0] < 0xF5 ? 4 : 1;
    if (size > n) return 1;
    for (size_t i = 1; i < size; i++)
        if ((u[i] & 0xC0) != 0x80) return 1;
    return size;
}

static uint32_t tk_u32(const char *p) {
    const unsigned char *u = (const unsigned char *)p;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

/* Writes code and one line of text to err, whatever the arguments hold, and returns 0 for the caller to return. */
static int tk_fail(tokenizer_error *err, int code, const char *format, ...) {
    if (!err) return 0;
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    for (char *p = err->text, *end = p + strlen(p); p < end;) {
        size_t n = tk_char_size(p, (size_t)(end - p));
        if (n == 1 && (*p < ' ' || *p > '~')) *p = '?';
        p += n;
    }
    return 0;
}

/* *out = a * b + c, or 0 if that overflows. Every size that depends on input goes through here. */
static int tk_size(size_t a, size_t b, size_t c, size_t *out) {
    if (b && a > SIZE_MAX / b) return 0;
    if (a * b > SIZE_MAX - c) return 0;
    *out = a * b + c;
    return 1;
}

/* One byte at least: malloc(0) may give NULL without having failed. */
static void *tk_alloc(const tokenizer_allocator *m, size_t count, size_t each, tokenizer_error *err) {
    size_t size = 0;
    void *p = tk_size(count, each, 0, &size) ? m->alloc(m->user, size ? size : 1) : NULL;
    if (!p) tk_fail(err, TOKENIZER_NO_MEMORY, "no memory for %zu x %zu bytes", count, each);
    return p;
}

static void tk_release(const tokenizer_allocator *m, void *p) {
    if (p) m->release(m->user, p);
}

/* Appends to out, and returns where. */
static char *tk_write(tk_out *out, const char *p, size_t n) {
    char *at = out->p ? out->p + out->n : NULL;
    if (at && n == 1) *at = *p;
    else if (at && n) memcpy(at, p, n);
    out->n += n;
    return at;
}

/* ==== 3. Normalisation ==========================================================================
 *
 * Only of SentencePiece, and of its vocabularies most do no more than to write a space as a character that can be
 * seen. So nothing is lost that decoding would have to guess, such as where a language puts spaces: the paper's
 * Decode(Encode(Normalize(text))) = Normalize(text). A vocabulary may also bring replacements of its own, such as
 * those of Unicode's NFKC, and want extra spaces removed; then the text as it was does not come back.
 */

/* tk_write with every `from` turned into `to`: a space, or the character that stands for one. */
static char *tk_write_spaced(tk_out *out, const char *p, size_t n, const char *from, const char *to) {
    char *at = out->p ? out->p + out->n : NULL;
    size_t n_from = strlen(from), n_to = strlen(to);
    for (const char *end = p + n; p < end;) {
        int match = *p == *from && (size_t)(end - p) >= n_from && memcmp(p, from, n_from) == 0;
        if (match) tk_write(out, to, n_to);
        else tk_write(out, p, 1);
        p += match ? n_from : 1;
    }
    return at;
}

/* Finds the longest string that is to be replaced at p: what by (zero-terminated), and in *used its bytes.
 *
 * Those strings are a trie, stored as a double array in the format of darts-clone: one array of units serves all
 * nodes, whose children lie between each other's. The child of a node by byte c is
 *
 *     child = base(node) ^ c,  if the unit there has the label c; if not there is none,
 *
 * and base(node) = node ^ offset. A unit holds its label in bits 0-7; in bit 8 whether a string ends here, the
 * place of whose replacement is then the unit at base(node); in bits 10-30 the offset, in units of 256 if bit 9 is
 * set. What units say was not checked when they were loaded, so here each step is. */
static const char *tk_replacement(const tokenizer *t, const char *p, size_t n, size_t *used) {
    const char *found = NULL;
    size_t at = 0;
    if (t->n_trie == 0) return NULL;
    const char *trie = t->map + 4, *rules = trie + 4 * t->n_trie;
    for (size_t i = 0;; i++) {
        uint32_t unit = tk_u32(trie + 4 * at);
        at ^= (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
        if (i > 0 && (unit & 0x100) && at < t->n_trie) {
            uint32_t rule = tk_u32(trie + 4 * at) & 0x7FFFFFFFu;
            if (rule < t->map_size - 4 - 4 * t->n_trie) found = rules + rule, *used = i;
        }
        if (i == n || i == TK_MAX_MATCH) break;
        at ^= (unsigned char)p[i];
        if (at >= t->n_trie || (tk_u32(trie + 4 * at) & 0x800000FFu) != (unsigned char)p[i]) break;
    }
    return found;
}

/* What the text at p is normalised to, one step: *to and *n_to; returns the bytes of text used up. A user-defined
 * piece comes first, and as it is, for it means these bytes and no others. */
static size_t tk_normal_step(const tokenizer *t, const char *p, size_t n, const char **to, size_t *n_to) {
    size_t used = t->n_user ? tk_user_match(t, p, n) : 0;
    *to = p;
    if (used == 0) {
        const char *replacement = tk_replacement(t, p, n, &used);
        if (replacement) {
            *to = replacement;
            *n_to = strlen(replacement);
            return used;
        }
        used = tk_char_size(p, n);
    }
    *n_to = used;
    return used;
}

/* What the text is a part of. */
typedef enum {
    TK_WHOLE,
    TK_INNER, /* it goes on where another ended, and may not be the last: no spaces are put or taken away at its ends */
    TK_LAST   /* it goes on and ends */
} tk_part;

/* Writes the normalised text to out; where out only counts, spaces at the end that will go count too.
 * Stops early at more than TK_MAX_TEXT. */
static void tk_normalize(const tokenizer *t, const char *p, size_t size, tk_part part, tk_out *out) {
    const int begins = part == TK_WHOLE, ends = part != TK_INNER;
    const char *space = t->escape_spaces ? TK_SPACE : " ", *end = p + size, *to;
    size_t n_space = strlen(space), n, used;
    if (t->remove_extra_spaces && begins)
        for (; p < end; p += used) {
            used = tk_normal_step(t, p, (size_t)(end - p), &to, &n);
            if (n != 1 || *to != ' ') break;
        }
    if (p == end) return;

    if (t->dummy_prefix && !t->space_is_suffix && begins) tk_write(out, space, n_space);
    int after_space = t->remove_extra_spaces && begins;
    for (; p < end && out->n <= TK_MAX_TEXT; p += used) {
        used = tk_normal_step(t, p, (size_t)(end - p), &to, &n);
        while (after_space && n && *to == ' ') to++, n--;
        if (n == 0) continue;
        after_space = t->remove_extra_spaces && to[n - 1] == ' ';
        tk_write_spaced(out, to, n, " ", space);
    }
    if (t->remove_extra_spaces && ends && out->p) /* also those that it holds as U+2581, as SentencePiece does */
        while (out->n >= n_space && memcmp(out->p + out->n - n_space, space, n_space) == 0) out->n -= n_space;
    if (t->dummy_prefix && t->space_is_suffix && ends) tk_write(out, space, n_space);
}

/* ==== 4. Splitting ==============================================================================
 *
 * Into spans first, and each is merged on its own. Byte-level BPE learned its merges inside of words, so words are
 * what it merges. SentencePiece merges the text as a whole; but where no piece could reach across, two halves come
 * to the same, and small ones need little memory and a small heap.
 */

/* A part of a span that is one piece already, or one character. Symbols are a linked list in an array, so that two
 * become one without moving the rest: the left one grows, the right one is left behind with no bytes. */
typedef struct {
    int32_t start, size;  /* in encoder.text; size 0: merged into an earlier symbol */
    int32_t before, next; /* neighbours in the list, -1 at its ends */
    int32_t id;           /* -1: not looked up yet */
    int final;            /* user-defined: never merged */
} tk_symbol;

/* ---- SentencePiece: spans ---- */

/* The bit of t->adjacent for a character that follows the byte before it. It is set if some piece holds the
 * two side by side (or two others with the same bit: as in a Bloom filter a bit too many joins two spans into one,
 * which costs time and changes nothing). Where it is not set, no merge ever bridges the two. Llama 2's 32,000 pieces
 * set 3,223 of the 262,144 bits, and the 4 MB of Jane Austen's novels fall into 933,244 spans, words and parts of
 * words; the longest, a name after 55 spaces, has 62 symbols. */
static uint32_t tk_adjacent_bit(const char *p, size_t n) {
    uint32_t h = (unsigned char)p[-1];
    for (size_t i = 0; i < n; i++) h = h * 16777619u ^ (unsigned char)p[i];
    return h * 0x9E3779B1u >> (32 - TK_ADJACENT_BITS);
}

/* Splits text at *at into symbols as far as merges can reach, moves *at there and returns how many there
 * are. With symbols NULL it only counts. */
static int32_t tk_split_span(const tokenizer *t, tk_bytes text, size_t *at, tk_symbol *symbols) {
    int32_t n = 0;
    for (;;) {
        const char *p = text.p + *at;
        size_t left = text.size - *at, user = t->n_user ? tk_user_match(t, p, left) : 0;
        size_t size = user ? user : tk_char_size(p, left);
        if (symbols) symbols[n] = (tk_symbol){(int32_t)*at, (int32_t)size, n - 1, n + 1, -1, user != 0};
        n++;
        *at += size;
        if (*at == text.size) break;
        uint32_t bit = tk_adjacent_bit(p + size, tk_char_size(p + size, left - size));
        if (!(t->adjacent[bit >> 3] >> (bit & 7) & 1)) break;
    }
    if (symbols) symbols[n - 1].next = -1;
    return n;
}

/* ---- Byte-level BPE: words ----
 *
 * The pattern of Llama 3 is this, of whose alternatives the first that matches is taken, and takes all it can:
 *
 *     (?i:'s|'t|'re|'ve|'m|'ll|'d)   how English words end after an apostrophe
 *     [^\r\n\p{L}\p{N}]?\p{L}+       letters, and one character before them: most often the space
 *     \p{N}{1,3}                     up to three digits
 *     [ ]?[^\s\p{L}\p{N}]+[\r\n]*    other characters, a space before and newlines after
 *     \s*[\r\n]+                     white space up to its last newline
 *     \s+(?!\S)                      white space without its last character, which belongs to what follows
 *     \s+                            or with it, if it is the only one
 *
 * By hand each costs one look at the characters it takes and one at those after, so that no text takes quadratic
 * time; what an engine with backtracking does to a megabyte of spaces is the reason.
 *
 * What leaves room for opinion is as in the regular expressions of Rust, which OpenAI's tiktoken and Hugging
 * Face's tokenizers use: \s is White_Space (U+0085 is, U+FEFF is not), and (?i:'s) matches U+017F, the long s,
 * too. Bytes that are no UTF-8 are single characters that are neither letter nor number nor space, as U+FFFD
 * is, by which those tokenizers replace them; here they stay what they are.
 */

enum { TK_OTHER, TK_LETTER, TK_NUMBER, TK_BLANK, TK_NEWLINE, TK_NOTHING }; /* NOTHING: the text has ended */

/* The code point at p, of n > 0 bytes, and in *size its bytes; -1 for a byte that is no UTF-8. */
static int32_t tk_code_point(const char *p, size_t n, size_t *size) {
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000}, first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const unsigned char *u = (const unsigned char *)p;
    *size = tk_char_size(p, n);
    int32_t c = u[0] & first[*size];
    if (*size == 1) return u[0] < 0x80 ? c : -1;
    for (size_t i = 1; i < *size; i++) c = c << 6 | (u[i] & 0x3F);
    if (c >= least[*size] && c <= 0x10FFFF && (c & ~0x7FF) != 0xD800) return c;
    *size = 1;
    return -1;
}

static int tk_is_blank(int32_t c) {
    return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static int tk_letter_or_number(int32_t c); /* TK_LETTER, TK_NUMBER or TK_OTHER, from the tables of the last room */

/* What the character at p is to the pattern, and its bytes. */
static int tk_kind(const char *p, const char *end, size_t *size) {
    *size = 0;
    if (p == end) return TK_NOTHING;
    int32_t c = tk_code_point(p, (size_t)(end - p), size);
    if (c == '\n' || c == '\r') return TK_NEWLINE;
    if (tk_is_blank(c)) return TK_BLANK;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return TK_LETTER;
    if (c < 0x80) return c >= '0' && c <= '9' ? TK_NUMBER : TK_OTHER; /* -1 too */
    return tk_letter_or_number(c);
}

/* The end of the characters of that kind from p on, of which there are at most limit. */
static const char *tk_skip(const char *p, const char *end, int kind, size_t limit) {
    size_t size;
    while (limit-- && tk_kind(p, end, &size) == kind) p += size;
    return p;
}

/* Bytes of 's, 't, 're, 've, 'm, 'll or 'd at p, in either case, or 0. */
static size_t tk_contraction(const char *p, size_t n) {
    static const char *const two = "sStTmMdD", *const three = "rReEvVeElLlL"; /* and for the last two letters */
    if (n < 2 || p[0] != '\'' || p[1] == 0) return 0;
    if (strchr(two, p[1])) return 2;
    if (n < 3) return 0;
    for (int i = 0; i < 12; i += 4)
        if ((p[1] == three[i] || p[1] == three[i + 1]) && (p[2] == three[i + 2] || p[2] == three[i + 3])) return 3;
    return memcmp(p + 1, "\xC5\xBF", 2) == 0 ? 3 : 0; /* U+017F */
}

/* The end of the word that begins with white space at p and matches one of the last three alternatives. */
static const char *tk_blank_word(const char *p, const char *end) {
    const char *at = p, *last = p, *newline = NULL; /* last: the last character's start */
    size_t size;
    for (int kind; kind = tk_kind(at, end, &size), kind == TK_BLANK || kind == TK_NEWLINE; at += size) {
        last = at;
        if (kind == TK_NEWLINE) newline = at + size;
    }
    if (newline) return newline;
    return at == end || last == p ? at : last; /* the last one goes with the word that follows */
}

/* The end of the first word of a text that is not empty. Two characters tell which alternative it is. */
static const char *tk_word(const char *p, const char *end) {
    size_t size, next_size, n = tk_contraction(p, (size_t)(end - p));
    if (n) return p + n;
    int kind = tk_kind(p, end, &size), next = tk_kind(p + size, end, &next_size);
    if (kind == TK_LETTER || (next == TK_LETTER && (kind == TK_OTHER || kind == TK_BLANK)))
        return tk_skip(p + size, end, TK_LETTER, SIZE_MAX);
    if (kind == TK_NUMBER) return tk_skip(p, end, TK_NUMBER, 3);
    if (kind == TK_OTHER || (*p == ' ' && next == TK_OTHER))
        return tk_skip(tk_skip(p + size, end, TK_OTHER, SIZE_MAX), end, TK_NEWLINE, SIZE_MAX);
    return tk_blank_word(p, end);
}

/* Splits the word of n bytes at start into symbols: its bytes, each of which is a piece. */
static void tk_split_word(const tokenizer *t, const char *text, size_t start, size_t n, tk_symbol *symbols) {
    for (size_t i = 0; i < n; i++) {
        int32_t at = (int32_t)i, id = t->byte_ids[(unsigned char)text[start + i]];
        symbols[i] = (tk_symbol){(int32_t)(start + i), 1, at - 1, at + 1, id, 0};
    }
    symbols[n - 1].next = -1;
}

/* ==== 5. Merging ================================================================================
 *
 * Of the symbols s_0 s_1 .. of a span
 *
 *     while some s_i s_i+1 make a piece when joined:
 *         i = the pair whose piece scores best; of equals the leftmost
 *         s_i <- s_i s_i+1, and s_i+1 is gone
 *
 * To search all pairs for each merge takes quadratic time. What a merge changes, though, is next to it: so the pairs
 * that can join wait in a heap, best first, as SentencePiece's paper has it. n symbols are n - 1 pairs to begin with;
 * each of at most n - 1 merges takes one pair out and puts at most two in, those with its neighbours. That makes
 * fewer than 2n pairs at a time and 3n in all, each a look-up and O(log n) in the heap: O(n log n) for a vocabulary,
 * whose longest piece bounds the time of a look-up.
 *
 * A merge also makes pairs invalid, and those are not searched for: they stay in the heap until their turn comes, and
 * are then known by their size. Symbols only grow. If the two together have as many bytes as when the pair was
 * pushed, neither has been merged with another since.
 */

typedef struct {
    float score;  /* of the piece; BYTE_LEVEL: minus the merge's rank, which is the same thing */
    int32_t left; /* index of the left symbol */
    int32_t size; /* bytes of both, when the pair was found: if they differ now, the pair is gone */
    int32_t id;
} tk_pair;

/* One call of tokenizer_encode. */
typedef struct {
    const tokenizer *t;
    tk_bytes text;      /* normalised */
    tk_symbol *symbols; /* (max_symbols), one span of text or one word at a time */
    tk_pair *heap;      /* (2 * max_symbols) */
    size_t max_symbols, n_heap;
    int32_t *left_half; /* (n_pieces) for unused pieces, bytes of the left half; NULL if there are none */
    int *ids;
    size_t capacity, n_ids;
    int after_unknown;
    tk_part part;
    tokenizer_error *err;
} tk_encoder;

/* Makes room for n symbols. What they were is lost. */
static int tk_reserve(tk_encoder *e, size_t n) {
    const tokenizer *t = e->t;
    if (n <= e->max_symbols) return 1;
    if (n < 2 * e->max_symbols) n = 2 * e->max_symbols;
    if (n < 64) n = 64;
    tk_release(&t->memory, e->symbols);
    tk_release(&t->memory, e->heap);
    e->symbols = (tk_symbol *)tk_alloc(&t->memory, n, sizeof *e->symbols, e->err);
    e->heap = e->symbols ? (tk_pair *)tk_alloc(&t->memory, 2 * n, sizeof *e->heap, e->err) : NULL;
    e->max_symbols = e->heap ? n : 0;
    return e->heap != NULL;
}

/* The order of the heap. Of pairs that are equal in it all but one are gone, so how a heap treats equals changes no
 * ids. */
static int tk_pair_before(const tk_pair *a, const tk_pair *b) {
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

/* A binary heap: no pair is before the one at (i - 1) / 2, its parent. */
static void tk_push(tk_encoder *e, tk_pair x) {
    size_t i = e->n_heap++;
    for (; i > 0 && tk_pair_before(&x, &e->heap[(i - 1) / 2]); i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = x;
}

static tk_pair tk_pop(tk_encoder *e) {
    tk_pair top = e->heap[0], x = e->heap[--e->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < e->n_heap; i = child) {
        if (child + 1 < e->n_heap && tk_pair_before(&e->heap[child + 1], &e->heap[child])) child++;
        if (!tk_pair_before(&e->heap[child], &x)) break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = x;
    return top;
}

/* Pushes the pair of neighbours left and right if they can be joined. */
static void tk_push_if_piece(tk_encoder *e, int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const tk_symbol *a = &e->symbols[left], *b = &e->symbols[right];
    if (e->t->kind == TOKENIZER_BYTE_LEVEL) {
        const tk_merge *m = tk_find_merge(e->t, a->id, b->id);
        if (m) tk_push(e, (tk_pair){-(float)m->rank, left, a->size + b->size, m->id});
        return;
    }
    if (a->final || b->final || b->size > e->t->longest - a->size) return;
    int32_t size = a->size + b->size, id = tk_find(e->t, e->text.p + a->start, (size_t)size, 0);
    if (id < 0) return;
    tk_push(e, (tk_pair){e->t->pieces[id].score, left, size, id});
    if (e->left_half) e->left_half[id] = a->size; /* see tk_emit_text */
}

/* Merges the n symbols of a span until nothing joins. */
static void tk_merge_all(tk_encoder *e, int32_t n) {
    for (int32_t i = 1; i < n; i++) tk_push_if_piece(e, i - 1, i);
    while (e->n_heap) {
        tk_pair pair = tk_pop(e);
        tk_symbol *a = &e->symbols[pair.left];
        if (a->size == 0 || a->next < 0 || a->size + e->symbols[a->next].size != pair.size) continue;
        tk_symbol *b = &e->symbols[a->next];
        a->size = pair.size;
        a->id = pair.id;
        a->next = b->next;
        b->size = 0;
        if (a->next >= 0) e->symbols[a->next].before = pair.left;
        tk_push_if_piece(e, a->before, pair.left);
        tk_push_if_piece(e, pair.left, a->next);
    }
}

/* ==== 6. Encoding ===============================================================================
 *
 * All of the above for a text, and what merging leaves to be decided: of a symbol, its ids; of a text in which
 * special tokens count, where these are.
 */

/* What there is no room for is counted all the same: that is how a caller learns how much he needs. */
static void tk_emit(tk_encoder *e, int id) {
    if (e->n_ids < e->capacity) e->ids[e->n_ids] = id;
    e->n_ids++;
}

/* Emits the ids of what became a symbol: of a piece, or of its bytes, or one unknown token for a run of
 * unknown symbols.
 *
 * An unused piece took part in merging, since others may be made of it, and is now taken apart again: into the two
 * that it was made of, and those too if they are unused. left_half has them since the pair was found, and may have
 * them by piece: they are the same wherever it is found, as nothing outside of it took part in making them. */
static void tk_emit_text(tk_encoder *e, int32_t start, int32_t size, int32_t id) {
    const tokenizer *t = e->t;
    tk_pair *stack = e->heap; /* empty by now, and there are no more parts than symbols */
    size_t n = 0;
    stack[n++] = (tk_pair){0, start, size, id};
    while (n) {
        tk_pair x = stack[--n];
        const char *p = e->text.p + x.left;
        id = x.id >= 0 ? x.id : tk_find(t, p, (size_t)x.size, 0);
        if (id >= 0 && t->pieces[id].type == TOKENIZER_UNUSED && e->left_half[id]) {
            int32_t left = e->left_half[id];
            stack[n++] = (tk_pair){0, x.left + left, x.size - left, -1};
            stack[n++] = (tk_pair){0, x.left, left, -1};
        } else if (id >= 0) {
            tk_emit(e, (int)id);
        } else if (t->byte_fallback) {
            for (int32_t i = 0; i < x.size; i++) tk_emit(e, t->byte_ids[(unsigned char)p[i]]);
        } else if (!e->after_unknown) {
            tk_emit(e, t->unk);
        }
        e->after_unknown = id < 0;
    }
}

/* Encodes the normalised text, which is not empty, span by span. The longest is looked for first: it is the memory
 * that all need, and is most often some words' worth; only a text without any border needs its own length. */
static int tk_encode_normal(tk_encoder *e) {
    const tokenizer *t = e->t;
    int32_t longest = 0;
    for (size_t at = 0; at < e->text.size;) {
        int32_t n = tk_split_span(t, e->text, &at, NULL);
        if (n > longest) longest = n;
    }
    if (!tk_reserve(e, (size_t)longest)) return 0;
    if (t->has_unused && !e->left_half) {
        e->left_half = (int32_t *)tk_alloc(&t->memory, (size_t)t->n_pieces, sizeof *e->left_half, e->err);
        if (!e->left_half) return 0;
        memset(e->left_half, 0, (size_t)t->n_pieces * sizeof *e->left_half);
    }
    for (size_t at = 0; at < e->text.size;) {
        tk_merge_all(e, tk_split_span(t, e->text, &at, e->symbols));
        for (int32_t i = 0; i >= 0; i = e->symbols[i].next)
            tk_emit_text(e, e->symbols[i].start, e->symbols[i].size, e->symbols[i].id);
    }
    return 1;
}

/* Normalises twice: to know how much memory that takes, and to fill it. */
static int tk_encode_sentencepiece(tk_encoder *e, tk_bytes text) {
    const tokenizer *t = e->t;
    tk_out counted = {NULL, 0}, normal = {NULL, 0};
    tk_normalize(t, text.p, text.size, e->part, &counted);
    if (counted.n > TK_MAX_TEXT)
        return tk_fail(e->err, TOKENIZER_BAD_TEXT, "a text of %zu bytes is too long", text.size);
    if (counted.n == 0) return 1;
    normal.p = (char *)tk_alloc(&t->memory, counted.n, 1, e->err);
    if (!normal.p) return 0;
    tk_normalize(t, text.p, text.size, e->part, &normal);
    e->text = (tk_bytes){normal.p, normal.n};
    int ok = normal.n == 0 || tk_encode_normal(e);
    tk_release(&t->memory, normal.p);
    return ok;
}

/* Encodes a word of n bytes. With ignore_merges, which is Llama 3's, a word that is a piece is taken whole even if
 * merges would lead elsewhere. */
static int tk_encode_word(tk_encoder *e, size_t start, size_t n) {
    const tokenizer *t = e->t;
    int32_t whole = t->ignore_merges && n <= (size_t)t->longest ? tk_find(t, e->text.p + start, n, 0) : -1;
    if (whole >= 0) return tk_emit(e, (int)whole), 1;
    if (!tk_reserve(e, n)) return 0;
    tk_split_word(t, e->text.p, start, n, e->symbols);
    tk_merge_all(e, (int32_t)n);
    for (int32_t i = 0; i >= 0; i = e->symbols[i].next) tk_emit(e, (int)e->symbols[i].id);
    return 1;
}

static int tk_encode_byte_level(tk_encoder *e, tk_bytes text) {
    if (text.size > TK_MAX_TEXT)
        return tk_fail(e->err, TOKENIZER_BAD_TEXT, "a text of %zu bytes is too long", text.size);
    const char *p = text.p, *end = p + text.size;
    e->text = text;
    while (p < end) {
        const char *next = tk_word(p, end);
        if (!tk_encode_word(e, (size_t)(p - text.p), (size_t)(next - p))) return 0;
        p = next;
    }
    return 1;
}

static int tk_encode_plain(tk_encoder *e, tk_bytes text) {
    return e->t->kind == TOKENIZER_BYTE_LEVEL ? tk_encode_byte_level(e, text) : tk_encode_sentencepiece(e, text);
}

/* Encodes a text; with special, names of special tokens in it become those, the longest where several begin. The
 * parts between are texts of their own, as the references have it: where a text gets a space in front, each does.
 * (SentencePiece's user-defined pieces are matched as it normalises.) */
static int tk_encode(tk_encoder *e, tk_bytes text, int special) {
    const tokenizer *t = e->t;
    int32_t n_user = t->kind == TOKENIZER_BYTE_LEVEL ? t->n_user : 0, n_special = special ? t->n_special : 0;
    size_t start = 0;
    for (size_t at = 0; at < text.size && n_user + n_special > 0;) {
        const char *p = text.p + at;
        int32_t id = tk_match(t, t->special, n_special, p, text.size - at);
        int32_t user = tk_match(t, t->user, n_user, p, text.size - at);
        if (id < 0 || (user >= 0 && t->pieces[user].size > t->pieces[id].size)) id = user;
        if (id >= 0) {
            if (at > start && !tk_encode_plain(e, (tk_bytes){text.p + start, at - start})) return 0;
            tk_emit(e, (int)id);
            e->part = TK_WHOLE;
            e->after_unknown = 0;
            start = at + (size_t)t->pieces[id].size;
        }
        at = id >= 0 ? start : at + 1;
    }
    return start == text.size || tk_encode_plain(e, (tk_bytes){text.p + start, text.size - start});
}

static tk_encoder tk_begin(const tokenizer *t, int *ids, size_t capacity, tokenizer_error *err) {
    tk_encoder e;
    memset(&e, 0, sizeof e);
    e.t = t, e.ids = ids, e.capacity = capacity, e.err = err;
    return e;
}

/* What encoding returns; frees the scratch. */
static ptrdiff_t tk_finish(tk_encoder *e, int ok) {
    tk_release(&e->t->memory, e->symbols);
    tk_release(&e->t->memory, e->heap);
    tk_release(&e->t->memory, e->left_half);
    return ok ? (ptrdiff_t)e->n_ids : -1;
}

/* ==== 7. Decoding ===============================================================================
 *
 * Each id has its bytes, and a text is these, one after the other; a character may be spread over several. Only the
 * space that normalisation put in front is taken off again: from the first piece of a text, if it begins with one.
 */

TOKENIZER_API const char *tokenizer_decode(const tokenizer *t, int previous, int id, size_t *size) {
    *size = 0;
    if (id < 0 || id >= t->n_pieces) return "";
    const tk_piece *p = &t->pieces[id];
    int skip = t->kind == TOKENIZER_SENTENCEPIECE && (previous < 0 || previous == t->bos) &&
               (t->dummy_prefix || t->remove_extra_spaces) && !tk_is_reserved(t, p) && p->size >= 3 &&
               memcmp(p->text, TK_SPACE, 3) == 0;
    *size = (size_t)(p->surface_size - skip);
    return p->surface + skip;
}

/* The last three bytes may begin a character. It is one that can still become whole if its first byte wants more, and
 * its second, where that is narrower, is no sign of another form of a shorter character, of half a surrogate pair, or
 * of what lies beyond Unicode. */
TOKENIZER_API size_t tokenizer_whole(const char *bytes, size_t size) {
    for (size_t n = 1; n <= 3 && n <= size; n++) {
        const unsigned char *u = (const unsigned char *)bytes + (size - n);
        if ((u[0] & 0xC0) == 0x80) continue;
        size_t wanted = u[0] < 0xC2 ? 1 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : u[0] < 0xF5 ? 4 : 1;
        int low = u[0] == 0xE0   ? 0xA0
                  : u[0] == 0xF0 ? 0x90
                                 : 0x80,
            high = u[0] == 0xED   ? 0x9F
                   : u[0] == 0xF4 ? 0x8F
                                  : 0xBF;
        return n >= wanted || (n > 1 && (u[1] < low || u[1] > high)) ? size : size - n;
    }
    return size;
}

/* ==== 8. Chat templates =========================================================================
 *
 * A model that talks was trained on conversations that were written down in one way, and answers best to the same.
 * Each template as published with its models:
 *
 *     llama2   <s>[INST] <<SYS>>\nSYSTEM\n<</SYS>>\n\nUSER [/INST] ANSWER </s><s>[INST] USER [/INST]
 *     llama3   <|begin_of_text|>, then of each message <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>,
 *              then <|start_header_id|>assistant<|end_header_id|>\n\n
 *     chatml   of each message <|im_start|>ROLE\nTEXT<|im_end|>\n, then <|im_start|>assistant\n
 *     zephyr   of each message <|ROLE|>\nTEXT</s>\n, then <|assistant|>\n
 *     mistral  <s>[INST] SYSTEM\n\nUSER [/INST] ANSWER</s>[INST] USER [/INST]
 *
 * llama2 and llama3 trim the texts; mistral trims answers on the left, where the model's own begin with the
 * space. Later Mistral vocabularies have [INST] as a special token, and then no space stands before [/INST]. (Llama
 * 3.1's template puts two dates before the system message; they are left to the caller.)
 *
 * Markers become special tokens where the vocabulary has them and are text otherwise. Messages are always text:
 * what lies between two special tokens is encoded as one, without looking for special tokens in it.
 */

/* A conversation is said twice: first to count its bytes, and then, when there is memory for them, to encode them. */
typedef struct {
    tk_encoder e;
    int chat_template;
    tk_out text;       /* with p NULL, in the first pass, only counted */
    size_t start;      /* text before is encoded */
    int after_special; /* nothing was written since a special token */
    int failed;
} tk_chat;

/* Encodes what was said since the last special token, as one text. */
static void tk_flush(tk_chat *c) {
    if (c->text.n > c->start && !c->failed)
        c->failed = !tk_encode(&c->e, (tk_bytes){c->text.p + c->start, c->text.n - c->start}, 0);
    c->start = c->text.n;
}

static void tk_say(tk_chat *c, const char *p, size_t n) {
    if (n == 0) return;
    tk_write(&c->text, p, n);
    c->after_special = 0;
}

static void tk_say_string(tk_chat *c, const char *s) { tk_say(c, s, strlen(s)); }

static void tk_say_special(tk_chat *c, int id) {
    c->after_special = 1;
    if (!c->text.p) return;
    tk_flush(c);
    tk_emit(&c->e, id);
    c->e.part = TK_WHOLE;
    c->e.after_unknown = 0;
}

/* A template's marker. Returns 1 if it is a special token. */
static int tk_say_marker(tk_chat *c, const char *name) {
    const tokenizer *t = c->e.t;
    int32_t id = tk_find(t, name, strlen(name), 1);
    if (id < 0) id = tk_match(t, t->user, t->n_user, name, strlen(name));
    if (id >= 0 && (size_t)t->pieces[id].size == strlen(name)) return tk_say_special(c, (int)id), 1;
    tk_say_string(c, name);
    return 0;
}

static void tk_say_eos(tk_chat *c) {
    if (c->e.t->n_ends) tk_say_special(c, c->e.t->ends[0]);
    else tk_say_string(c, "</s>");
}

/* A space, which after a special token the tokenizer may put there itself. */
static void tk_say_space(tk_chat *c) {
    int given = c->after_special && c->e.t->kind == TOKENIZER_SENTENCEPIECE && c->e.t->dummy_prefix;
    if (!given) tk_say(c, " ", 1);
}

/* Without white space at its ends. From the right a character is looked for by its last bytes. */
static tk_bytes tk_trim(tk_bytes s, int left, int right) {
    size_t size;
    while (left && s.size && tk_is_blank(tk_code_point(s.p, s.size, &size))) s.p += size, s.size -= size;
    while (right && s.size) {
        size_t n = 1;
        while (n < 3 && n < s.size && (s.p[s.size - n] & 0xC0) == 0x80) n++;
        if (!tk_is_blank(tk_code_point(s.p + s.size - n, n, &size)) || size != n) break;
        s.size -= n;
    }
    return s;
}

static const char *const tk_roles[] = {NULL, "system", "user", "assistant"};

static void tk_open_turn(tk_chat *c, int role) {
    char marker[16];
    switch (c->chat_template) {
    case TOKENIZER_LLAMA3:
        tk_say_marker(c, "<|start_header_id|>");
        tk_say_string(c, tk_roles[role]);
        tk_say_marker(c, "<|end_header_id|>");
        tk_say_string(c, "\n\n");
        break;
    case TOKENIZER_CHATML:
        tk_say_marker(c, "<|im_start|>");
        tk_say_string(c, tk_roles[role]);
        tk_say_string(c, "\n");
        break;
    case TOKENIZER_ZEPHYR:
        snprintf(marker, sizeof marker, "<|%s|>", tk_roles[role]);
        tk_say_marker(c, marker);
        tk_say_string(c, "\n");
        break;
    }
}

/* What follows an answer, and with llama3, chatml and zephyr any message. */
static void tk_close_turn(tk_chat *c, tk_bytes text) {
    switch (c->chat_template) {
    case TOKENIZER_LLAMA2: /* the model often wrote the space itself */
        if (text.size == 0 || text.p[text.size - 1] != ' ') tk_say(c, " ", 1);
        tk_say_eos(c);
        break;
    case TOKENIZER_LLAMA3: tk_say_marker(c, "<|eot_id|>"); break;
    case TOKENIZER_CHATML:
        tk_say_marker(c, "<|im_end|>");
        tk_say_string(c, "\n");
        break;
    case TOKENIZER_ZEPHYR:
        tk_say_eos(c);
        tk_say_string(c, "\n");
        break;
    case TOKENIZER_MISTRAL: tk_say_eos(c); break;
    }
}

/* A user's message of llama2 and mistral, with the system's inside. */
static void tk_say_instruction(tk_chat *c, const tokenizer_message *system, tk_bytes text) {
    int is_llama2 = c->chat_template == TOKENIZER_LLAMA2;
    if (is_llama2 && c->e.t->bos >= 0) tk_say_special(c, c->e.t->bos);
    int special = tk_say_marker(c, "[INST]");
    tk_say_space(c);
    if (is_llama2) text = tk_trim(text, !system, 1);
    if (system) {
        if (is_llama2) tk_say_string(c, "<<SYS>>\n");
        tk_say(c, system->text, system->size);
        if (is_llama2) tk_say_string(c, "\n<</SYS>>");
        if (!is_llama2 || text.size) tk_say_string(c, "\n\n");
    }
    tk_say(c, text.p, text.size);
    if (!special) tk_say(c, " ", 1);
    tk_say_marker(c, "[/INST]");
}

static void tk_say_message(tk_chat *c, const tokenizer_message *messages, int i) {
    tk_bytes text = {messages[i].text, messages[i].size};
    int role = messages[i].role;
    if (c->chat_template == TOKENIZER_LLAMA3) text = tk_trim(text, 1, 1);
    if (c->chat_template != TOKENIZER_LLAMA2 && c->chat_template != TOKENIZER_MISTRAL) {
        tk_open_turn(c, role);
        tk_say(c, text.p, text.size);
        tk_close_turn(c, text);
    } else if (role == TOKENIZER_USER) {
        tk_say_instruction(c, i == 1 && messages[0].role == TOKENIZER_SYSTEM ? messages : NULL, text);
    } else if (role == TOKENIZER_ASSISTANT) {
        text = tk_trim(text, 1, c->chat_template == TOKENIZER_LLAMA2);
        tk_say_space(c);
        tk_say(c, text.p, text.size);
        tk_close_turn(c, text);
    }
}

static void tk_say_chat(tk_chat *c, const tokenizer_message *messages, int n, int first) {
    const tokenizer *t = c->e.t;
    int begins = c->chat_template == TOKENIZER_LLAMA3 || c->chat_template == TOKENIZER_MISTRAL ||
                 (c->chat_template != TOKENIZER_LLAMA2 && t->add_bos);
    c->e.part = first > 0 ? TK_LAST : TK_WHOLE;
    c->after_special = 0;
    if (first == 0 && begins && t->bos >= 0) tk_say_special(c, t->bos);
    if (first > 0) tk_close_turn(c, (tk_bytes){messages[first - 1].text, messages[first - 1].size});
    for (int i = first; i < n; i++) tk_say_message(c, messages, i);
    if (n == 0 || messages[n - 1].role != TOKENIZER_ASSISTANT) tk_open_turn(c, TOKENIZER_ASSISTANT);
    if (c->text.p) tk_flush(c);
}

/* llama2 and mistral know only a system message at the start, then user and assistant in turn. */
static int tk_check_chat(int chat_template, const tokenizer_message *messages, int n, int first, tokenizer_error *err) {
    int strict = chat_template == TOKENIZER_LLAMA2 || chat_template == TOKENIZER_MISTRAL, expected = TOKENIZER_USER;
    if (first < 0 || first > n) return tk_fail(err, TOKENIZER_BAD_OPTION, "first message %d of %d", first, n);
    for (int i = 0; i < n; i++) {
        int role = messages[i].role;
        if (role < TOKENIZER_SYSTEM || role > TOKENIZER_ASSISTANT)
            return tk_fail(err, TOKENIZER_BAD_OPTION, "message %d has role %d", i, role);
        if (!strict || (i == 0 && role == TOKENIZER_SYSTEM)) continue;
        if (role != expected)
            return tk_fail(err, TOKENIZER_BAD_OPTION, "message %d is the %s's; %s needs the %s's there", i,
                           tk_roles[role], tokenizer_template_name(chat_template), tk_roles[expected]);
        expected = role == TOKENIZER_USER ? TOKENIZER_ASSISTANT : TOKENIZER_USER;
    }
    if (first > 0 && messages[first - 1].role != TOKENIZER_ASSISTANT)
        return tk_fail(err, TOKENIZER_BAD_OPTION, "message %d, before the first to render, is not the assistant's",
                       first - 1);
    if (strict && (n == 0 || messages[n - 1].role == TOKENIZER_SYSTEM))
        return tk_fail(err, TOKENIZER_BAD_OPTION, "%s needs a message of the user's",
                       tokenizer_template_name(chat_template));
    return 1;
}

/* ==== 9. Public functions =======================================================================
 *
 * tokenizer_decode is room 7; those that load and save a tokenizer are in room 12, behind what they need.
 */

TOKENIZER_API void tokenizer_free(tokenizer *t) {
    if (!t) return;
    tokenizer_allocator m = t->memory;
    void *parts[] = {t->pieces,  t->bytes.p, t->slots,       t->buckets, t->user,
                     t->special, t->merges,  t->first_merge, t->map,     t};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tk_release(&m, parts[i]);
}

TOKENIZER_API int tokenizer_vocab_size(const tokenizer *t) { return (int)t->n_pieces; }

TOKENIZER_API int tokenizer_get_piece(const tokenizer *t, int id, tokenizer_piece *piece) {
    if (id < 0 || id >= t->n_pieces) return 0;
    const tk_piece *p = &t->pieces[id];
    piece->text = p->text, piece->size = (size_t)p->size, piece->score = p->score, piece->type = p->type;
    return 1;
}

TOKENIZER_API int tokenizer_find(const tokenizer *t, const char *text, size_t size) {
    int32_t id = tk_find(t, text, size, 1);
    return (int)(id >= 0 ? id : tk_find(t, text, size, 0));
}

TOKENIZER_API int tokenizer_bos(const tokenizer *t) { return t->bos; }

TOKENIZER_API int tokenizer_is_end(const tokenizer *t, int id) {
    for (int i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id) return 1;
    return 0;
}

TOKENIZER_API size_t tokenizer_bound(const tokenizer *t, size_t size) {
    size_t bound;
    /* one more byte for the space in front, one more id for bos */
    if (size == SIZE_MAX || !tk_size(size + 1, t->growth, 1, &bound)) return SIZE_MAX;
    return bound;
}

TOKENIZER_API ptrdiff_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int flags, int *ids,
                                         size_t capacity, tokenizer_error *err) {
    tk_encoder e = tk_begin(t, ids, capacity, err);
    e.part = flags & TOKENIZER_CONTINUE ? TK_INNER : TK_WHOLE;
    if ((flags & TOKENIZER_BOS) && t->add_bos && t->bos >= 0) tk_emit(&e, t->bos);
    return tk_finish(&e, size == 0 || tk_encode(&e, (tk_bytes){text, size}, flags & TOKENIZER_SPECIAL));
}

static const char *const tk_templates[] = {NULL, "llama2", "llama3", "chatml", "zephyr", "mistral"};

TOKENIZER_API int tokenizer_template_find(const char *name) {
    for (int i = 1; i <= TK_N_TEMPLATES && name; i++)
        if (strcmp(name, tk_templates[i]) == 0) return i;
    return 0;
}

TOKENIZER_API const char *tokenizer_template_name(int chat_template) {
    return chat_template > 0 && chat_template <= TK_N_TEMPLATES ? tk_templates[chat_template] : NULL;
}

TOKENIZER_API int tokenizer_template(const tokenizer *t) { return t->chat_template; }

TOKENIZER_API ptrdiff_t tokenizer_encode_chat(const tokenizer *t, int chat_template, const tokenizer_message *messages,
                                              int n, int first, int *ids, size_t capacity, tokenizer_error *err) {
    tk_chat c;
    memset(&c, 0, sizeof c);
    c.e = tk_begin(t, ids, capacity, err);
    c.chat_template = chat_template ? chat_template : t->chat_template;
    if (!tokenizer_template_name(c.chat_template))
        return tk_fail(err, TOKENIZER_BAD_OPTION, "chat template %d: there is none of that number", c.chat_template),
               -1;
    if (!tk_check_chat(c.chat_template, messages, n, first, err)) return -1;
    tk_say_chat(&c, messages, n, first);
    c.text.p = (char *)tk_alloc(&t->memory, c.text.n, 1, err);
    if (!c.text.p) return -1;
    c.text.n = 0;
    tk_say_chat(&c, messages, n, first);
    tk_release(&t->memory, c.text.p);
    return tk_finish(&c.e, !c.failed);
}

TOKENIZER_API int tokenizer_end_of_turn(const tokenizer *t, int chat_template) {
    const char *name = chat_template == TOKENIZER_LLAMA3 ? "<|eot_id|>" : "<|im_end|>";
    if (chat_template == TOKENIZER_LLAMA3 || chat_template == TOKENIZER_CHATML)
        return tokenizer_find(t, name, strlen(name));
    return t->n_ends ? t->ends[0] : -1;
}

/* ################################################################################################
 *
 * A reader may stop here. What follows makes a tokenizer of a file's bytes, which anyone may have
 * written, and says what is wrong with those that make none.
 *
 * ################################################################################################ */

/* ==== 10. Building ==============================================================================
 *
 * Whatever is read, a file or the parts of a caller, is read twice by the same function: once to check all of it
 * and to count, and once more, when there is memory for what was counted, to keep it. So memory is bounded by what
 * a file holds, not by what it claims. What was kept is then put in order for the look-ups of room 1.
 */

typedef struct {
    tokenizer *t;
    tokenizer_error *err;
    tk_bytes file;
    const tokenizer_parts *parts;
    int model_type;
    tk_bytes bos, eos, unk_surface, charsmap, denormalizer; /* inside file, or constants */
} tk_loader;

static tk_bytes tk_string(const char *s) { return (tk_bytes){s, strlen(s)}; }

static int tk_equal(tk_bytes a, const char *s) { return a.size == strlen(s) && memcmp(a.p, s, a.size) == 0; }

/* How much of a text a message shows. */
static int tk_shown(size_t n) { return n < 40 ? (int)n : 40; }

/* plain: the file has spaces as spaces. */
static int tk_add_piece(tk_loader *l, tk_bytes text, int plain, uint32_t score_bits, int type) {
    tokenizer *t = l->t;
    int id = (int)t->n_pieces++;
    if (type < TOKENIZER_NORMAL || type > TOKENIZER_BYTE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d has type %d", id, type);
    if (text.size == 0 && type != TOKENIZER_UNUSED) return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d is empty", id);
    if ((score_bits & 0x7F800000u) == 0x7F800000u)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d: the score is not a number", id);
    tk_out *out = &t->bytes;
    if (text.size > TK_MAX_PIECE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d has %zu bytes: too many", id, text.size);
    if (out->n > TK_MAX_FILE * 4 || (size_t)id >= TK_MAX_FILE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d: too many", id);

    tk_piece p = {NULL, NULL, 0, 0, 0, type};
    memcpy(&p.score, &score_bits, sizeof p.score);
    size_t start = out->n;
    if (t->kind == TOKENIZER_BYTE_LEVEL) {
        p.text = p.surface = tk_write(out, text.p, text.size);
        p.size = p.surface_size = (int32_t)text.size;
    } else {
        p.text = tk_write_spaced(out, text.p, text.size, plain ? " " : TK_SPACE, TK_SPACE);
        p.size = (int32_t)(out->n - start);
        start = out->n;
        p.surface = tk_write_spaced(out, text.p, text.size, plain ? " " : TK_SPACE, " ");
        p.surface_size = (int32_t)(out->n - start);
    }
    if (t->pieces) t->pieces[id] = p;
    return 1;
}

static int tk_add_merge(tk_loader *l, int64_t left, int64_t right) {
    tokenizer *t = l->t;
    int32_t rank = t->n_merges++;
    if (rank >= TK_MAX_MERGES) return tk_fail(l->err, TOKENIZER_BAD_FILE, "more than %d merges", TK_MAX_MERGES);
    if (left < 0 || left >= t->n_pieces || right < 0 || right >= t->n_pieces)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "merge %d: no pieces %.0f and %.0f", (int)rank, (double)left,
                       (double)right);
    if (t->merges) t->merges[rank] = (tk_merge){(int32_t)left, (int32_t)right, rank, -1};
    return 1;
}

static int tk_add_end(tk_loader *l, int id) {
    tokenizer *t = l->t;
    if (t->n_ends == TK_MAX_ENDS)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "more than %d ids end a text", TK_MAX_ENDS);
    if (id < 0 || id >= t->n_pieces)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "end id %d: the vocabulary has %d pieces", id, (int)t->n_pieces);
    t->ends[t->n_ends++] = id;
    return 1;
}

static int tk_hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* The byte that a piece such as <0x0A> stands for, or -1. */
static int tk_byte_of(const tk_piece *p) {
    if (p->size != 6 || memcmp(p->text, "<0x", 3) || p->text[5] != '>') return -1;
    int high = tk_hex(p->text[3]), low = tk_hex(p->text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Sets the bits of all characters of a piece but the first, with the byte before each. */
static void tk_mark_adjacent(tokenizer *t, const tk_piece *piece) {
    const char *p = piece->text, *end = p + piece->size;
    for (p += tk_char_size(p, (size_t)(end - p)); p < end;) {
        size_t n = tk_char_size(p, (size_t)(end - p));
        uint32_t bit = tk_adjacent_bit(p, n);
        t->adjacent[bit >> 3] |= (unsigned char)(1u << (bit & 7));
        p += n;
    }
}

/* A byte piece, such as <0x0A>: its text is a name, and it is decoded as the byte. */
static int tk_assign_byte(tk_loader *l, int id) {
    tokenizer *t = l->t;
    tk_piece *p = &t->pieces[id];
    int shown = tk_shown((size_t)p->size), byte = tk_byte_of(p);
    char c = (char)byte;
    if (t->kind == TOKENIZER_BYTE_LEVEL) return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d is of type BYTE", id);
    if (!t->byte_fallback)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d is of type BYTE, but trainer_spec.byte_fallback is false",
                       id);
    if (byte < 0) return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d, \"%.*s\", names no byte", id, shown, p->text);
    if (t->byte_ids[byte] >= 0)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d, %.*s, is also piece %d", id, shown, p->text,
                       t->byte_ids[byte]);
    t->byte_ids[byte] = id;
    p->surface = tk_write(&t->bytes, &c, 1);
    p->surface_size = 1;
    return 1;
}

/* A piece that text can become. */
static int tk_assign_text(tk_loader *l, int id) {
    tokenizer *t = l->t;
    const tk_piece *p = &t->pieces[id];
    if (p->size > t->longest) t->longest = p->size;
    if (p->type == TOKENIZER_UNUSED) t->has_unused = 1;
    if (p->type == TOKENIZER_USER_DEFINED) t->n_user++;
    if (p->type == TOKENIZER_USER_DEFINED && p->size > TK_MAX_MATCH)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d is of type USER_DEFINED and %d bytes long, more than %d",
                       id, (int)p->size, TK_MAX_MATCH);
    if (t->kind == TOKENIZER_SENTENCEPIECE) tk_mark_adjacent(t, p);
    return 1;
}

/* What each type of piece is to the tokenizer. */
static int tk_assign(tk_loader *l) {
    tokenizer *t = l->t;
    int n_bytes = 0;
    for (int i = 0; i < 256; i++) t->byte_ids[i] = -1;
    for (int id = 0; id < (int)t->n_pieces; id++) {
        tk_piece *p = &t->pieces[id];
        if (p->type == TOKENIZER_UNKNOWN) {
            if (t->unk >= 0)
                return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d is of type UNKNOWN, and so is piece %d", id,
                               t->unk);
            t->unk = id;
            p->surface = tk_write(&t->bytes, l->unk_surface.p, l->unk_surface.size);
            p->surface_size = (int32_t)l->unk_surface.size;
        } else if (p->type == TOKENIZER_CONTROL) {
            p->surface_size = 0;
            if (p->size <= TK_MAX_MATCH) t->n_special++;
        } else if (p->type == TOKENIZER_BYTE) {
            if (!tk_assign_byte(l, id)) return 0;
            n_bytes++;
        }
        if (!tk_is_reserved(t, p) && p->size > 0 && !tk_assign_text(l, id)) return 0;
    }
    if (t->kind == TOKENIZER_BYTE_LEVEL) return 1;
    if (t->unk < 0) return tk_fail(l->err, TOKENIZER_BAD_FILE, "no piece is of type UNKNOWN");
    if (t->byte_fallback && n_bytes < 256) return tk_fail(l->err, TOKENIZER_BAD_FILE, "%d byte pieces of 256", n_bytes);
    return 1;
}

static int tk_compare_slots(const tokenizer *t, tk_slot a, tk_slot b, int by_hash) {
    if (by_hash && a.hash != b.hash) return a.hash < b.hash ? -1 : 1;
    const tk_piece *p = &t->pieces[a.id], *q = &t->pieces[b.id];
    return tk_compare_bytes(p->text, (size_t)p->size, q->text, (size_t)q->size);
}

/* Heapsort: n log n on any input, in place, without recursion. */
static void tk_sort(const tokenizer *t, tk_slot *a, size_t n, int by_hash) {
    for (size_t start = n / 2, end = n; end > 1;) {
        if (start > 0) {
            start--; /* first make a heap, */
        } else {
            tk_slot largest = a[0]; /* then move its top behind its end */
            a[0] = a[--end];
            a[end] = largest;
        }
        tk_slot x = a[start];
        size_t i = start;
        for (size_t child; (child = 2 * i + 1) < end; i = child) {
            if (child + 1 < end && tk_compare_slots(t, a[child], a[child + 1], by_hash) < 0) child++;
            if (tk_compare_slots(t, x, a[child], by_hash) >= 0) break;
            a[i] = a[child];
        }
        a[i] = x;
    }
}

/* Two pieces of the same text would be one to look up. In order of hash they are neighbours. */
static int tk_check_distinct(tk_loader *l, size_t n_slots) {
    const tokenizer *t = l->t;
    for (size_t i = 1; i < n_slots; i++) {
        if (tk_compare_slots(t, t->slots[i - 1], t->slots[i], 1)) continue;
        int32_t a = t->slots[i - 1].id, b = t->slots[i].id;
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d, \"%.*s\", is also piece %d", (int)(a > b ? a : b),
                       tk_shown((size_t)t->pieces[a].size), t->pieces[a].text, (int)(a < b ? a : b));
    }
    return 1;
}

/* Puts the pieces in order of hash: first into their buckets, then each bucket in order. (A counting sort whose
 * counts stand two places on: summed up, buckets[b + 1] is where b begins, and when b is full, where b + 1 does.) */
static int tk_fill_slots(tk_loader *l, size_t n_buckets) {
    tokenizer *t = l->t;
    int shift = 32 - t->bucket_bits;
    memset(t->buckets, 0, (n_buckets + 2) * sizeof *t->buckets);
    for (int32_t id = 0; id < t->n_pieces; id++) {
        const tk_piece *p = &t->pieces[id];
        if (p->size) t->buckets[(tk_hash(p->text, (size_t)p->size, tk_is_reserved(t, p)) >> shift) + 2]++;
    }
    for (size_t b = 2; b < n_buckets + 2; b++) t->buckets[b] += t->buckets[b - 1];
    for (int32_t id = 0; id < t->n_pieces; id++) {
        const tk_piece *p = &t->pieces[id];
        uint32_t hash = tk_hash(p->text, (size_t)p->size, tk_is_reserved(t, p));
        if (p->size) t->slots[t->buckets[(hash >> shift) + 1]++] = (tk_slot){hash, id};
    }
    for (size_t b = 0; b < n_buckets; b++) tk_sort(t, t->slots + t->buckets[b], t->buckets[b + 1] - t->buckets[b], 1);
    return tk_check_distinct(l, t->buckets[n_buckets]);
}

/* Lists the pieces of a type, sorted by their bytes. The slots serve as scratch. */
static void tk_list(tokenizer *t, int32_t *list, int type) {
    size_t n = 0;
    for (int32_t id = 0; id < t->n_pieces; id++)
        if (t->pieces[id].type == type && t->pieces[id].size <= TK_MAX_MATCH) t->slots[n++] = (tk_slot){0, id};
    tk_sort(t, t->slots, n, 0);
    for (size_t i = 0; i < n; i++) list[i] = t->slots[i].id;
}

/* Sorts the pieces by hash, and those that are looked for in text by their bytes. */
static int tk_index(tk_loader *l) {
    tokenizer *t = l->t;
    size_t n = (size_t)t->n_pieces, n_buckets;
    for (t->bucket_bits = 4; n >> t->bucket_bits; t->bucket_bits++) continue;
    n_buckets = (size_t)1 << t->bucket_bits;
    t->user = (int32_t *)tk_alloc(&t->memory, (size_t)t->n_user, sizeof *t->user, l->err);
    t->special = t->user ? (int32_t *)tk_alloc(&t->memory, (size_t)t->n_special, sizeof *t->special, l->err) : NULL;
    t->buckets = t->special ? (uint32_t *)tk_alloc(&t->memory, n_buckets + 2, sizeof *t->buckets, l->err) : NULL;
    t->slots = t->buckets ? (tk_slot *)tk_alloc(&t->memory, n, sizeof *t->slots, l->err) : NULL;
    if (!t->slots) return 0;

    tk_list(t, t->user, TOKENIZER_USER_DEFINED);
    tk_list(t, t->special, TOKENIZER_CONTROL);
    return tk_fill_slots(l, n_buckets);
}

/* What normalisation replaces: uint32 size, a trie of that many bytes, then strings that end in zero.
 * One byte may become a whole replacement by it, and of a byte come up to three ids if the vocabulary does not have
 * what stands for a space: together growth, the bound of what encoding makes of a text. */
static int tk_load_map(tk_loader *l) {
    tokenizer *t = l->t;
    tk_bytes map = l->charsmap;
    t->growth = tk_find(t, TK_SPACE, 3, 0) >= 0 || !t->escape_spaces ? 1 : 3;
    if (map.size == 0) return 1;
    uint32_t size = map.size >= 4 ? tk_u32(map.p) : 0;
    if (size == 0 || size % 4 || size > map.size - 4 || map.size - 4 == size || map.p[map.size - 1])
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "normalizer_spec.precompiled_charsmap: %zu bytes with a trie of %lu",
                       map.size, (unsigned long)size);
    t->map = (char *)tk_alloc(&t->memory, map.size, 1, l->err);
    if (!t->map) return 0;
    memcpy(t->map, map.p, map.size);
    t->map_size = map.size;
    t->n_trie = size / 4;
    size_t longest = 1;
    for (size_t i = 4 + size, n; i < t->map_size; i += n + 1) {
        n = strlen(t->map + i);
        if (n > longest) longest = n;
    }
    if (longest > TK_MAX_MATCH)
        return tk_fail(l->err, TOKENIZER_BAD_FILE,
                       "normalizer_spec.precompiled_charsmap has a rule of %zu bytes, more than %d", longest,
                       TK_MAX_MATCH);
    t->growth *= longest;
    return 1;
}

/* Sorts by left or by right, keeping the order of equals, so that by right and then by left makes both. A counting
 * sort as in tk_fill_slots: first[i] becomes the first with i or more. */
static void tk_sort_merges(const tk_merge *in, tk_merge *out, int32_t n, uint32_t *first, int32_t n_pieces,
                           int by_left) {
    memset(first, 0, ((size_t)n_pieces + 2) * sizeof *first);
    for (int32_t i = 0; i < n; i++) first[(by_left ? in[i].left : in[i].right) + 2]++;
    for (int32_t i = 2; i < n_pieces + 2; i++) first[i] += first[i - 1];
    for (int32_t i = 0; i < n; i++) out[first[(by_left ? in[i].left : in[i].right) + 1]++] = in[i];
}

static int tk_is_joined(const tokenizer *t, int32_t id, const tk_piece *a, const tk_piece *b) {
    if (id >= t->n_pieces) return 0;
    const tk_piece *p = &t->pieces[id];
    return p->size == a->size + b->size && !tk_is_reserved(t, p) && memcmp(p->text, a->text, (size_t)a->size) == 0 &&
           memcmp(p->text + a->size, b->text, (size_t)b->size) == 0;
}

/* Finds out what each merge makes: most often the same as the one before or the next piece. */
static int tk_resolve_merges(tk_loader *l, char *joined) {
    const tokenizer *t = l->t;
    int32_t last = 0;
    for (int32_t i = 0; i < t->n_merges; i++) {
        tk_merge *m = &t->merges[i];
        const tk_piece *a = &t->pieces[m->left], *b = &t->pieces[m->right];
        if (tk_is_reserved(t, a) || tk_is_reserved(t, b))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "merge %d: pieces %d and %d are not both text", (int)i,
                           (int)m->left, (int)m->right);
        for (int32_t id = last; id < last + 2 && m->id < 0; id++)
            if (tk_is_joined(t, id, a, b)) m->id = id;
        if (m->id < 0 && a->size <= t->longest - b->size) {
            memcpy(joined, a->text, (size_t)a->size);
            memcpy(joined + a->size, b->text, (size_t)b->size);
            m->id = tk_find(t, joined, (size_t)(a->size + b->size), 0);
        }
        if (m->id < 0)
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "merge %d: pieces %d and %d joined are no piece", (int)i,
                           (int)m->left, (int)m->right);
        last = m->id;
    }
    return 1;
}

/* The merges, and the pieces of single bytes, of which byte-level BPE needs all. */
static int tk_load_merges(tk_loader *l) {
    tokenizer *t = l->t;
    size_t n = (size_t)t->n_merges;
    t->growth = 1;
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        t->byte_ids[i] = (int)tk_find(t, &c, 1, 0);
        if (t->byte_ids[i] < 0) return tk_fail(l->err, TOKENIZER_BAD_FILE, "no piece is the byte 0x%02X", (unsigned)i);
    }
    char *joined = (char *)tk_alloc(&t->memory, (size_t)t->longest, 1, l->err);
    int ok = joined && tk_resolve_merges(l, joined);
    tk_release(&t->memory, joined);
    t->first_merge =
        ok ? (uint32_t *)tk_alloc(&t->memory, (size_t)t->n_pieces + 2, sizeof *t->first_merge, l->err) : NULL;
    tk_merge *by_right = t->first_merge ? (tk_merge *)tk_alloc(&t->memory, n, sizeof *by_right, l->err) : NULL;
    if (!by_right) return 0;
    tk_sort_merges(t->merges, by_right, t->n_merges, t->first_merge, t->n_pieces, 0);
    tk_sort_merges(by_right, t->merges, t->n_merges, t->first_merge, t->n_pieces, 1);
    tk_release(&t->memory, by_right);
    for (size_t i = 1; i < n; i++) {
        const tk_merge *a = &t->merges[i - 1], *b = &t->merges[i];
        if (a->left == b->left && a->right == b->right)
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "merge %d is also merge %d", (int)b->rank, (int)a->rank);
    }
    return 1;
}

/* ==== 11. File formats ==========================================================================
 *
 * Each has a reader, which hands on what it finds to tk_add_piece, tk_add_merge and tk_add_end.
 */

/* An id that is not larger than any vocabulary; 2^32 - 1 is -1, which stands for none. */
static int tk_id(uint32_t x) { return x == UINT32_MAX ? -1 : x > INT32_MAX ? INT32_MAX : (int)x; }

static uint32_t tk_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* ---- llama2.c's tokenizer.bin ---- */

/* int32 max_token_length, then for each piece float score, int32 length and
 * the bytes, little-endian. Types are not written; the exporter puts <unk> <s> </s> first. */
static int tk_read_bin(tk_loader *l) {
    const char *p = l->file.p, *end = p + l->file.size;
    uint32_t longest = tk_u32(p);
    for (p += 4; p < end;) {
        int id = (int)l->t->n_pieces;
        if (end - p < 8)
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d is cut off: the file ends in its score or length", id);
        uint32_t score = tk_u32(p), size = tk_u32(p + 4);
        p += 8;
        if (size > longest)
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d has length %.0f, but max_token_length is %.0f", id,
                           size > INT32_MAX ? size - 4294967296.0 : size, (double)longest);
        if (size > (size_t)(end - p))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d has length %.0f, but the file ends after %.0f", id,
                           (double)size, (double)(end - p));
        tk_bytes text = {p, size};
        if (id == 1 && !tk_equal(text, "\n<s>\n") && !tk_equal(text, "<s>"))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece 1 is \"%.*s\", not <s>", tk_shown(size), p);
        if (id == 2 && !tk_equal(text, "\n</s>\n") && !tk_equal(text, "</s>"))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece 2 is \"%.*s\", not </s>", tk_shown(size), p);
        int type = id == 0 ? TOKENIZER_UNKNOWN : id <= 2 ? TOKENIZER_CONTROL : TOKENIZER_NORMAL;
        if (size == 6 && memcmp(p, "<0x", 3) == 0 && p[5] == '>') type = TOKENIZER_BYTE, l->t->byte_fallback = 1;
        if (id == 1) l->bos = text = tk_string("<s>"); /* the exporter put newlines around it */
        if (id == 2) l->eos = text = tk_string("</s>");
        if (!tk_add_piece(l, text, 1, score, type)) return 0;
        p += size;
    }
    if (l->t->n_pieces < 3)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "%d pieces: <unk>, <s> and </s> are missing", (int)l->t->n_pieces);
    return 1;
}

/* ---- SentencePiece's .model: a protocol buffer, that is fields, each a number, a wire type and a value ---- */

typedef struct {
    uint32_t number;
    int wire; /* 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes */
    uint64_t value;
    tk_bytes bytes;
} tk_field;

static int tk_varint(tk_bytes *in, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (in->size == 0) return 0;
        unsigned char c = (unsigned char)*in->p++;
        in->size--;
        *value |= (uint64_t)(c & 127) << shift;
        if (c < 128) return 1;
    }
    return 0;
}

/* Takes the next field off in. 0 if it is malformed. */
static int tk_next_field(tk_bytes *in, tk_field *f) {
    uint64_t tag, size = 0;
    if (!tk_varint(in, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return 0;
    f->number = (uint32_t)(tag >> 3);
    f->wire = (int)(tag & 7);
    f->value = 0;
    if (f->wire == 0) {
        if (!tk_varint(in, &f->value)) return 0;
    } else if (f->wire == 1 || f->wire == 5) {
        size = f->wire == 1 ? 8 : 4;
    } else if (f->wire != 2 || !tk_varint(in, &size)) {
        return 0;
    }
    if (size > in->size) return 0;
    f->bytes = (tk_bytes){in->p, (size_t)size};
    if (f->wire == 5) f->value = tk_u32(in->p);
    in->p += size;
    in->size -= (size_t)size;
    return 1;
}

static int tk_want(tk_loader *l, const tk_field *f, int wire, const char *what) {
    return f->wire == wire || tk_fail(l->err, TOKENIZER_BAD_FILE, "%s has wire type %d, not %d", what, f->wire, wire);
}

static int tk_read_piece(tk_loader *l, tk_bytes in) {
    char what[40];
    snprintf(what, sizeof what, "piece %d", (int)l->t->n_pieces);
    static const int wires[] = {0, 2, 5, 0};
    tk_bytes text = {"", 0};
    uint64_t score = 0, type = TOKENIZER_NORMAL;
    while (in.size) {
        tk_field f;
        if (!tk_next_field(&in, &f)) return tk_fail(l->err, TOKENIZER_BAD_FILE, "%s: malformed or cut off", what);
        if (f.number <= 3 && !tk_want(l, &f, wires[f.number], what)) return 0;
        if (f.number == 1) text = f.bytes;
        if (f.number == 2) score = f.value;
        if (f.number == 3) type = f.value;
    }
    if (type < TOKENIZER_NORMAL || type > TOKENIZER_BYTE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "%s has type %.0f", what, (double)type);
    return tk_add_piece(l, text, 0, (uint32_t)score, (int)type);
}

/* trainer_spec (2), normalizer_spec (3) or denormalizer_spec (5): of each, what changes ids. */
static int tk_read_spec(tk_loader *l, uint32_t spec, tk_bytes in) {
    const struct {
        uint32_t spec, number;
        const char *name;
        int *value;
        tk_bytes *bytes;
    } known[] = {
        {2, 3, "trainer_spec.model_type", &l->model_type, NULL},
        {2, 24, "trainer_spec.treat_whitespace_as_suffix", &l->t->space_is_suffix, NULL},
        {2, 35, "trainer_spec.byte_fallback", &l->t->byte_fallback, NULL},
        {2, 44, "trainer_spec.unk_surface", NULL, &l->unk_surface},
        {2, 46, "trainer_spec.bos_piece", NULL, &l->bos},
        {2, 47, "trainer_spec.eos_piece", NULL, &l->eos},
        {3, 2, "normalizer_spec.precompiled_charsmap", NULL, &l->charsmap},
        {3, 3, "normalizer_spec.add_dummy_prefix", &l->t->dummy_prefix, NULL},
        {3, 4, "normalizer_spec.remove_extra_whitespaces", &l->t->remove_extra_spaces, NULL},
        {3, 5, "normalizer_spec.escape_whitespaces", &l->t->escape_spaces, NULL},
        {5, 2, "denormalizer_spec.precompiled_charsmap", NULL, &l->denormalizer},
    };
    tk_field f;
    while (in.size) {
        if (!tk_next_field(&in, &f))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "field %d is malformed or cut off", (int)spec);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (known[i].spec != spec || known[i].number != f.number) continue;
            if (!tk_want(l, &f, known[i].value ? 0 : 2, known[i].name)) return 0;
            if (known[i].value) *known[i].value = f.value > INT32_MAX ? -1 : (int)f.value;
            else *known[i].bytes = f.bytes;
        }
    }
    return 1;
}

static int tk_read_model(tk_loader *l) {
    static const char *const names[] = {"?", "UNIGRAM", "BPE", "WORD", "CHAR"};
    tk_bytes in = l->file;
    tk_field f;
    while (in.size) {
        double at = (double)(in.p - l->file.p);
        if (!tk_next_field(&in, &f))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "malformed or cut off at byte %.0f", at);
        if (f.number > 5 || f.number == 4) continue;
        if (!tk_want(l, &f, 2, "a part of a SentencePiece model")) return 0;
        if (!(f.number == 1 ? tk_read_piece(l, f.bytes) : tk_read_spec(l, f.number, f.bytes))) return 0;
    }
    if (l->model_type != 2)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "trainer_spec.model_type is %d (%s), only 2 (BPE) is supported",
                       l->model_type, names[l->model_type > 0 && l->model_type < 5 ? l->model_type : 0]);
    if (l->denormalizer.size)
        return tk_fail(l->err, TOKENIZER_BAD_FILE,
                       "denormalizer_spec.precompiled_charsmap of %zu bytes is not supported", l->denormalizer.size);
    if (l->bos.size == 0) l->bos = tk_string("<s>");
    if (l->eos.size == 0) l->eos = tk_string("</s>");
    return 1;
}

/* ---- The flat form, which tokenizer_save writes ----
 *
 *     char   magic[8]            "llamatok"
 *     uint32 fields[10]          as in the enum below
 *     uint32 ends[n_ends]        ids, eos first
 *     uint32 pieces[n_pieces][2] type << 24 | bytes of text, score (a float)
 *     uint32 merges[n_merges][2] ids of left and right
 *     char   map[map_size]       SentencePiece's precompiled_charsmap
 *     char   unknown[unk_size]   how the unknown piece is decoded
 *     char   texts[]             of all pieces, one after the other; SENTENCEPIECE: with U+2581 for a space
 *
 * little-endian, without padding; the file ends with the last text.
 */

enum {
    TK_VERSION, /* 1 */
    TK_KIND,
    TK_FLAGS, /* see tk_flag */
    TK_TEMPLATE,
    TK_BOS, /* 2^32 - 1: none */
    TK_N_ENDS,
    TK_N_PIECES,
    TK_N_MERGES,
    TK_MAP_SIZE,
    TK_UNK_SIZE,
    TK_N_FIELDS
};

static const char tk_magic[] = {'l', 'l', 'a', 'm', 'a', 't', 'o', 'k'};

/* Bit i of TK_FLAGS is the i-th of these. */
static int *tk_flag(tokenizer *t, int i) {
    int *flags[] = {&t->add_bos,       &t->ignore_merges,  &t->dummy_prefix, &t->remove_extra_spaces,
                    &t->escape_spaces, &t->space_is_suffix};
    return i < (int)(sizeof flags / sizeof *flags) ? flags[i] : NULL;
}

static int tk_read_flat_header(tk_loader *l, uint32_t *field) {
    tokenizer *t = l->t;
    if (l->file.size < sizeof tk_magic + 4 * TK_N_FIELDS)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "cut off: %zu bytes", l->file.size);
    for (int i = 0; i < TK_N_FIELDS; i++) field[i] = tk_u32(l->file.p + sizeof tk_magic + 4 * i);
    if (field[TK_VERSION] != 1)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "version %lu, not 1", (unsigned long)field[TK_VERSION]);
    uint64_t size = sizeof tk_magic + 4 * TK_N_FIELDS + 4 * (uint64_t)field[TK_N_ENDS] +
                    8 * (uint64_t)field[TK_N_PIECES] + 8 * (uint64_t)field[TK_N_MERGES] + field[TK_MAP_SIZE] +
                    field[TK_UNK_SIZE];
    if (size > l->file.size)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "cut off: %zu bytes, but %lu ends, %lu pieces and %lu merges",
                       l->file.size, (unsigned long)field[TK_N_ENDS], (unsigned long)field[TK_N_PIECES],
                       (unsigned long)field[TK_N_MERGES]);
    if (field[TK_TEMPLATE] > TK_N_TEMPLATES)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "chat template %lu of %d", (unsigned long)field[TK_TEMPLATE],
                       TK_N_TEMPLATES);
    t->kind = field[TK_KIND] > TOKENIZER_BYTE_LEVEL ? 0 : (int)field[TK_KIND];
    t->chat_template = (int)field[TK_TEMPLATE];
    for (int i = 0; tk_flag(t, i); i++) *tk_flag(t, i) = field[TK_FLAGS] >> i & 1;
    return 1;
}

static int tk_read_flat(tk_loader *l) {
    uint32_t field[TK_N_FIELDS];
    if (!tk_read_flat_header(l, field)) return 0;
    const char *ends = l->file.p + sizeof tk_magic + 4 * TK_N_FIELDS, *pieces = ends + 4 * field[TK_N_ENDS];
    const char *merges = pieces + 8 * field[TK_N_PIECES], *map = merges + 8 * field[TK_N_MERGES];
    const char *unknown = map + field[TK_MAP_SIZE], *text = unknown + field[TK_UNK_SIZE];
    size_t left = l->file.size - (size_t)(text - l->file.p);
    for (uint32_t id = 0; id < field[TK_N_PIECES]; id++) {
        uint32_t head = tk_u32(pieces + 8 * id), size = head & 0xFFFFFF;
        if (size > left) return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %lu is cut off", (unsigned long)id);
        if (head >> 24 == TOKENIZER_BYTE) l->t->byte_fallback = 1;
        if (!tk_add_piece(l, (tk_bytes){text, size}, 0, tk_u32(pieces + 8 * id + 4), (int)(head >> 24))) return 0;
        text += size;
        left -= size;
    }
    if (left) return tk_fail(l->err, TOKENIZER_BAD_FILE, "%zu bytes too many after the last piece", left);
    for (uint32_t i = 0; i < field[TK_N_MERGES]; i++)
        if (!tk_add_merge(l, tk_u32(merges + 8 * i), tk_u32(merges + 8 * i + 4))) return 0;
    for (uint32_t i = 0; i < field[TK_N_ENDS]; i++)
        if (!tk_add_end(l, tk_id(tk_u32(ends + 4 * i)))) return 0;
    l->t->bos = tk_id(field[TK_BOS]);
    l->charsmap = (tk_bytes){map, field[TK_MAP_SIZE]};
    l->unk_surface = (tk_bytes){unknown, field[TK_UNK_SIZE]};
    return 1;
}

static void tk_write_u32(tk_out *out, uint32_t x) {
    char bytes[4] = {(char)(x & 255), (char)(x >> 8 & 255), (char)(x >> 16 & 255), (char)(x >> 24)};
    tk_write(out, bytes, 4);
}

static void tk_save(const tokenizer *t, tk_out *out) {
    const tk_piece *unknown = t->unk >= 0 ? &t->pieces[t->unk] : NULL;
    size_t unknown_size = unknown && t->kind == TOKENIZER_SENTENCEPIECE ? (size_t)unknown->surface_size : 0;
    uint32_t field[TK_N_FIELDS] = {0};
    field[TK_VERSION] = 1;
    field[TK_KIND] = (uint32_t)t->kind;
    field[TK_TEMPLATE] = (uint32_t)t->chat_template;
    field[TK_BOS] = (uint32_t)t->bos;
    field[TK_N_ENDS] = (uint32_t)t->n_ends;
    field[TK_N_PIECES] = (uint32_t)t->n_pieces;
    field[TK_N_MERGES] = (uint32_t)t->n_merges;
    field[TK_MAP_SIZE] = (uint32_t)t->map_size;
    field[TK_UNK_SIZE] = (uint32_t)unknown_size;
    for (int i = 0; tk_flag((tokenizer *)t, i); i++)
        field[TK_FLAGS] |= (uint32_t)(*tk_flag((tokenizer *)t, i) != 0) << i;
    tk_write(out, tk_magic, sizeof tk_magic);
    for (int i = 0; i < TK_N_FIELDS; i++) tk_write_u32(out, field[i]);
    for (int i = 0; i < t->n_ends; i++) tk_write_u32(out, (uint32_t)t->ends[i]);
    for (int32_t id = 0; id < t->n_pieces; id++) {
        tk_write_u32(out, (uint32_t)t->pieces[id].type << 24 | (uint32_t)t->pieces[id].size);
        tk_write_u32(out, tk_bits(t->pieces[id].score));
    }
    for (int32_t i = 0; i < t->n_merges; i++) { /* back in order of rank */
        tk_out at = {out->p ? out->p + out->n + 8 * (size_t)t->merges[i].rank : NULL, 0};
        tk_write_u32(&at, (uint32_t)t->merges[i].left);
        tk_write_u32(&at, (uint32_t)t->merges[i].right);
    }
    out->n += 8 * (size_t)t->n_merges;
    if (t->map_size) tk_write(out, t->map, t->map_size);
    if (unknown_size) tk_write(out, unknown->surface, unknown_size);
    for (int32_t id = 0; id < t->n_pieces; id++) tk_write(out, t->pieces[id].text, (size_t)t->pieces[id].size);
}

/* ---- Parts, from memory ---- */

/* What the parts take over from another tokenizer. */
static int tk_read_base(tk_loader *l, const tokenizer *base) {
    tokenizer *t = l->t;
    if (base->kind != TOKENIZER_SENTENCEPIECE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "the base is no SENTENCEPIECE tokenizer");
    t->kind = base->kind;
    t->byte_fallback = base->byte_fallback;
    t->dummy_prefix = base->dummy_prefix;
    t->remove_extra_spaces = base->remove_extra_spaces;
    t->escape_spaces = base->escape_spaces;
    t->space_is_suffix = base->space_is_suffix;
    l->charsmap = (tk_bytes){base->map, base->map_size};
    l->unk_surface = (tk_bytes){base->pieces[base->unk].surface, (size_t)base->pieces[base->unk].surface_size};
    for (int32_t id = 0; id < base->n_pieces; id++) {
        const tk_piece *p = &base->pieces[id];
        if (!tk_add_piece(l, (tk_bytes){p->text, (size_t)p->size}, 0, tk_bits(p->score), p->type)) return 0;
    }
    for (int i = 0; i < base->n_ends && l->parts->n_ends == 0; i++)
        if (!tk_add_end(l, base->ends[i])) return 0;
    return 1;
}

/* Whether a user-defined piece marks turns. It is then a special token, or a user could end a turn by typing it. */
static int tk_marks_turns(const tokenizer_parts *parts, int id, const tokenizer_piece *p) {
    static const char *const names[] = {
        "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",    "<|im_start|>", "<|im_end|>",
        "<|system|>",          "<|user|>",          "<|assistant|>", "[INST]",       "[/INST]"};
    if (p->type != TOKENIZER_USER_DEFINED) return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tk_equal((tk_bytes){p->text, p->size}, names[i])) return 1;
    for (int i = 0; i < parts->n_ends; i++)
        if (parts->ends[i] == id) return 1;
    return id == parts->bos;
}

static int tk_read_parts(tk_loader *l) {
    const tokenizer_parts *parts = l->parts;
    tokenizer *t = l->t;
    t->kind = parts->kind;
    t->dummy_prefix = parts->add_dummy_prefix != 0;
    t->remove_extra_spaces = parts->remove_extra_whitespaces != 0;
    t->ignore_merges = parts->ignore_merges != 0;
    t->chat_template = parts->chat_template;
    t->bos = parts->bos;
    t->add_bos = parts->add_bos != 0;
    if (t->chat_template < 0 || t->chat_template > TK_N_TEMPLATES)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "chat template %d of %d", t->chat_template, TK_N_TEMPLATES);
    if (parts->base && !tk_read_base(l, parts->base)) return 0;
    for (int i = 0; i < parts->n_pieces; i++) {
        const tokenizer_piece *p = &parts->pieces[i];
        int type = tk_marks_turns(parts, (int)t->n_pieces, p) ? TOKENIZER_CONTROL : p->type;
        if (type == TOKENIZER_BYTE) t->byte_fallback = 1;
        if (!tk_add_piece(l, (tk_bytes){p->text, p->size}, 0, tk_bits(p->score), type)) return 0;
    }
    for (int i = 0; i < parts->n_merges && !parts->base; i++)
        if (!tk_add_merge(l, parts->merges[i][0], parts->merges[i][1])) return 0;
    for (int i = 0; i < parts->n_ends; i++)
        if (!tk_add_end(l, parts->ends[i])) return 0;
    return 1;
}

/* ==== 12. Loading and saving ==================================================================== */

/* The id of the control token of that name, or -1. */
static int tk_control(const tokenizer *t, tk_bytes name) {
    int32_t id = tk_find(t, name.p, name.size, 1);
    return id >= 0 && t->pieces[id].type == TOKENIZER_CONTROL ? (int)id : -1;
}

/* Reads all that l has, of one format, and hands on what it finds. */
typedef int tk_reader(tk_loader *l);

/* The reader of a file, which shows from its first bytes: a tokenizer.bin starts with a small int32; a
 * .model with field 1, a message that holds something. NULL if it is none of them. */
static tk_reader *tk_find_reader(tk_loader *l) {
    const char *p = l->file.p;
    size_t size = l->file.size;
    if (size >= sizeof tk_magic && memcmp(p, tk_magic, sizeof tk_magic) == 0) return tk_read_flat;
    if (size >= 4 && p[2] == 0 && p[3] == 0) return tk_read_bin;
    if (size >= 3 && p[0] == 0x0A && p[2] != 0) return tk_read_model;
    tk_fail(l->err, TOKENIZER_BAD_FILE, "neither a tokenizer.bin nor a SentencePiece .model; it starts with \"%.*s\"",
            size < 20 ? (int)size : 20, p);
    return NULL;
}

/* Runs the reader twice, to count and to keep, and makes of what it read something that can encode. */
static int tk_load(tk_loader *l, tk_reader *reader, int vocab_size) {
    tokenizer *t = l->t;
    if (!reader(l)) return 0;
    if (t->kind != TOKENIZER_SENTENCEPIECE && t->kind != TOKENIZER_BYTE_LEVEL)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "kind %d, not SENTENCEPIECE or BYTE_LEVEL", t->kind);
    if (t->n_pieces == 0) return tk_fail(l->err, TOKENIZER_BAD_FILE, "no pieces");
    if (vocab_size && vocab_size != t->n_pieces)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "%d pieces, but the model has a vocab_size of %d", (int)t->n_pieces,
                       vocab_size);
    if (t->bos < -1 || t->bos >= t->n_pieces)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "bos id %d: the vocabulary has %d pieces", t->bos, (int)t->n_pieces);
    if (t->n_merges && t->kind != TOKENIZER_BYTE_LEVEL)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "%d merges", (int)t->n_merges);

    t->pieces = (tk_piece *)tk_alloc(&t->memory, (size_t)t->n_pieces, sizeof *t->pieces, l->err);
    if (!t->pieces) return 0;
    /* tk_assign writes a surface of one byte for each byte piece, and that of the unknown piece */
    t->bytes.p = (char *)tk_alloc(&t->memory, t->bytes.n + 256 + l->unk_surface.size, 1, l->err);
    if (!t->bytes.p) return 0;
    t->merges = (tk_merge *)tk_alloc(&t->memory, (size_t)t->n_merges, sizeof *t->merges, l->err);
    if (!t->merges) return 0;
    t->n_pieces = t->n_merges = t->n_ends = 0;
    t->bytes.n = 0;
    if (!reader(l) || !tk_assign(l) || !tk_index(l)) return 0;
    return t->kind == TOKENIZER_BYTE_LEVEL ? tk_load_merges(l) : tk_load_map(l);
}

/* ---- A .llama file: a model, and inside it a tokenizer ----
 *
 * It begins with the magic "llama.c\n"; bytes 56 and 64 are, in every version of the format, the tokenizer's offset and
 * size, both uint64 and little-endian. Size 0: there is none.
 */

enum { TK_INSIDE = 72 }; /* where those end */

static int tk_is_llama(tk_bytes file) { return file.size >= 8 && memcmp(file.p, "llama.c\n", 8) == 0; }

/* Where the tokenizer lies in the file of which head is the beginning; whether the file is as long is not checked. */
static int tk_find_inside(tk_bytes head, uint64_t *offset, size_t *size, tokenizer_error *err) {
    if (head.size < TK_INSIDE)
        return tk_fail(err, TOKENIZER_BAD_FILE, "cut off: %zu bytes, fewer than a .llama file's header has", head.size);
    uint64_t bytes = tk_u32(head.p + 64) | (uint64_t)tk_u32(head.p + 68) << 32;
    *offset = tk_u32(head.p + 56) | (uint64_t)tk_u32(head.p + 60) << 32;
    if (bytes == 0) return tk_fail(err, TOKENIZER_BAD_FILE, "the tokenizer's size is 0: this .llama file holds none");
    if (bytes > TK_MAX_FILE)
        return tk_fail(err, TOKENIZER_BAD_FILE, "the tokenizer's size is %" PRIu64 ", more than %zu", bytes,
                       TK_MAX_FILE);
    if (*offset < TK_INSIDE)
        return tk_fail(err, TOKENIZER_BAD_FILE, "the tokenizer's offset is %" PRIu64 ", inside the header", *offset);
    *size = (size_t)bytes;
    return 1;
}

static int tk_fail_beyond(tokenizer_error *err, uint64_t offset, size_t size) {
    return tk_fail(err, TOKENIZER_BAD_FILE, "the tokenizer takes bytes %" PRIu64 " + %zu, beyond the file's end",
                   offset, size);
}

/* Loads a file. Those of others name bos and eos by their text. */
static int tk_load_file(tk_loader *l, int vocab_size) {
    tokenizer *t = l->t;
    if (l->file.size == 0) return tk_fail(l->err, TOKENIZER_BAD_FILE, "the file is empty");
    if (tk_is_llama(l->file)) {
        uint64_t offset = 0;
        size_t size = 0, all = l->file.size;
        if (!tk_find_inside(l->file, &offset, &size, l->err)) return 0;
        if (offset > all || size > all - offset) return tk_fail_beyond(l->err, offset, size);
        l->file = (tk_bytes){l->file.p + (size_t)offset, size};
    }
    if (l->file.size > TK_MAX_FILE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "more than %zu bytes: too many for a tokenizer", TK_MAX_FILE);
    tk_reader *reader = tk_find_reader(l);
    if (!reader) return 0;
    if (reader == tk_read_bin) t->remove_extra_spaces = 0; /* as in Llama's own tokenizers */
    if (!tk_load(l, reader, vocab_size)) return 0;
    if (reader == tk_read_flat) return 1;
    t->bos = tk_control(t, l->bos);
    int eos = tk_control(t, l->eos);
    return eos < 0 || tk_add_end(l, eos);
}

/* Moves file on by n bytes, which may be gigabytes: where it can seek it does, in steps that fit into a long, and reads
 * the last byte of each to see that it is there. A pipe is read. */
static int tk_skip_bytes(FILE *file, uint64_t n) {
    for (int seeks = 1; n > 0; n--) {
        long step = n < 1 << 30 ? (long)n - 1 : (1 << 30) - 1;
        if (seeks && step > 0) {
            seeks = fseek(file, step, SEEK_CUR) == 0;
            if (seeks) n -= (uint64_t)step;
        }
        if (getc(file) == EOF) return 0;
    }
    return 1;
}

/* What is left of file, but no more than limit bytes together with head, which comes first: in a buffer that grows with
 * what really comes. */
static char *tk_read_rest(FILE *file, tk_bytes head, size_t limit, const tokenizer_allocator *m, size_t *size,
                          tokenizer_error *err) {
    size_t capacity = limit < 1 << 16 ? limit : 1 << 16;
    char *data = (char *)tk_alloc(m, capacity, 1, err);
    if (data && head.size) memcpy(data, head.p, head.size);
    *size = head.size;
    while (data && (*size += fread(data + *size, 1, capacity - *size, file)) == capacity && *size < limit) {
        capacity = capacity > limit / 2 ? limit : 2 * capacity;
        char *larger = (char *)tk_alloc(m, capacity, 1, err);
        if (larger) memcpy(larger, data, *size);
        tk_release(m, data);
        data = larger;
    }
    return data;
}

/* The whole of a file that may be a pipe, or of a .llama file the tokenizer. */
static char *tk_read_file(const char *path, const tokenizer_allocator *m, size_t *size, tokenizer_error *err) {
    char start[TK_INSIDE], *data = NULL;
    tk_bytes head = {start, 0};
    uint64_t offset = 0;
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (!file) {
        tk_fail(err, TOKENIZER_BAD_FILE, "cannot open: %s", errno ? strerror(errno) : "unknown reason");
        return NULL;
    }
    head.size = fread(start, 1, sizeof start, file);
    if (!tk_is_llama(head)) {
        data = tk_read_rest(file, head, TK_MAX_FILE + 1, m, size, err);
    } else if (tk_find_inside(head, &offset, size, err)) {
        size_t want = *size;
        head.size = 0;
        if (!tk_skip_bytes(file, offset - TK_INSIDE)) tk_fail_beyond(err, offset, want);
        else data = tk_read_rest(file, head, want, m, size, err);
        if (data && *size < want) {
            tk_fail_beyond(err, offset, want);
            tk_release(m, data);
            data = NULL;
        }
    }
    if (ferror(file)) {
        tk_fail(err, TOKENIZER_BAD_FILE, "cannot read: %s", errno ? strerror(errno) : "unknown reason");
        tk_release(m, data);
        data = NULL;
    }
    fclose(file);
    return data;
}

static void *tk_std_alloc(void *user, size_t size) { return (void)user, malloc(size); }
static void tk_std_release(void *user, void *p) { (void)user, free(p); }

static tokenizer_allocator tk_allocator_of(const tokenizer_allocator *allocator) {
    tokenizer_allocator standard = {tk_std_alloc, tk_std_release, NULL};
    return allocator ? *allocator : standard;
}

/* From a file in memory or, if they are given, from parts. The values set first hold for a .model that says nothing of
 * them. */
static tokenizer *tk_make(tk_bytes file, const tokenizer_parts *parts, int vocab_size,
                          const tokenizer_allocator *allocator, tokenizer_error *err) {
    tokenizer_allocator m = tk_allocator_of(allocator);
    tokenizer *t = (tokenizer *)tk_alloc(&m, 1, sizeof *t, err);
    tk_loader l;
    if (!t) return NULL;
    memset(&l, 0, sizeof l);
    l.t = t, l.err = err, l.file = file, l.parts = parts;
    memset(t, 0, sizeof *t);
    t->memory = m;
    t->kind = TOKENIZER_SENTENCEPIECE;
    t->bos = t->unk = -1;
    t->add_bos = t->dummy_prefix = t->remove_extra_spaces = t->escape_spaces = 1;
    l.model_type = 1;
    l.unk_surface = tk_string(" \xE2\x81\x87 ");
    if (parts ? tk_load(&l, tk_read_parts, 0) : tk_load_file(&l, vocab_size)) return t;
    tokenizer_free(t);
    return NULL;
}

TOKENIZER_API tokenizer *tokenizer_create(const tokenizer_parts *parts, const tokenizer_allocator *allocator,
                                          tokenizer_error *err) {
    return tk_make(tk_string(""), parts, 0, allocator, err);
}

TOKENIZER_API tokenizer *tokenizer_load_memory(const void *data, size_t size, int vocab_size,
                                               const tokenizer_allocator *allocator, tokenizer_error *err) {
    tk_bytes file = {(const char *)data, size};
    return tk_make(file, NULL, vocab_size, allocator, err);
}

TOKENIZER_API tokenizer *tokenizer_load(const char *path, int vocab_size, const tokenizer_allocator *allocator,
                                        tokenizer_error *err) {
    tokenizer_allocator m = tk_allocator_of(allocator);
    tokenizer_error reason = {0, ""};
    size_t size = 0;
    char *data = tk_read_file(path, &m, &size, &reason);
    tokenizer *t = data ? tokenizer_load_memory(data, size, vocab_size, allocator, &reason) : NULL;
    tk_release(&m, data);
    size_t n = strlen(path); /* of a very long path the end says more */
    if (!t) tk_fail(err, reason.code, "%s%s: %s", n > 120 ? "..." : "", n > 120 ? path + n - 120 : path, reason.text);
    return t;
}

TOKENIZER_API size_t tokenizer_save(const tokenizer *t, void *out, size_t capacity) {
    tk_out counted = {NULL, 0}, written = {(char *)out, 0};
    tk_save(t, &counted);
    if (counted.n <= capacity) tk_save(t, &written);
    return counted.n;
}

/* ==== 13. Unicode ===============================================================================
 *
 * Unicode 17.0, made by tests/unicode_tables.mjs. Each is a list of code points at which the category begins or
 * ends, in turn.
 */

// clang-format off
static const uint32_t tk_letters[] = { /* \p{L} */
    65, 91, 97, 123, 170, 171, 181, 182, 186, 187, 192, 215, 216, 247, 248, 706, 710, 722, 736, 741, 748, 749, 750, 751,
    880, 885, 886, 888, 890, 894, 895, 896, 902, 903, 904, 907, 908, 909, 910, 930, 931, 1014, 1015, 1154, 1162, 1328,
    1329, 1367, 1369, 1370, 1376, 1417, 1488, 1515, 1519, 1523, 1568, 1611, 1646, 1648, 1649, 1748, 1749, 1750, 1765,
    1767, 1774, 1776, 1786, 1789, 1791, 1792, 1808, 1809, 1810, 1840, 1869, 1958, 1969, 1970, 1994, 2027, 2036, 2038,
    2042, 2043, 2048, 2070, 2074, 2075, 2084, 2085, 2088, 2089, 2112, 2137, 2144, 2155, 2160, 2184, 2185, 2192, 2208,
    2250, 2308, 2362, 2365, 2366, 2384, 2385, 2392, 2402, 2417, 2433, 2437, 2445, 2447, 2449, 2451, 2473, 2474, 2481,
    2482, 2483, 2486, 2490, 2493, 2494, 2510, 2511, 2524, 2526, 2527, 2530, 2544, 2546, 2556, 2557, 2565, 2571, 2575,
    2577, 2579, 2601, 2602, 2609, 2610, 2612, 2613, 2615, 2616, 2618, 2649, 2653, 2654, 2655, 2674, 2677, 2693, 2702,
    2703, 2706, 2707, 2729, 2730, 2737, 2738, 2740, 2741, 2746, 2749, 2750, 2768, 2769, 2784, 2786, 2809, 2810, 2821,
    2829, 2831, 2833, 2835, 2857, 2858, 2865, 2866, 2868, 2869, 2874, 2877, 2878, 2908, 2910, 2911, 2914, 2929, 2930,
    2947, 2948, 2949, 2955, 2958, 2961, 2962, 2966, 2969, 2971, 2972, 2973, 2974, 2976, 2979, 2981, 2984, 2987, 2990,
    3002, 3024, 3025, 3077, 3085, 3086, 3089, 3090, 3113, 3114, 3130, 3133, 3134, 3160, 3163, 3164, 3166, 3168, 3170,
    3200, 3201, 3205, 3213, 3214, 3217, 3218, 3241, 3242, 3252, 3253, 3258, 3261, 3262, 3292, 3295, 3296, 3298, 3313,
    3315, 3332, 3341, 3342, 3345, 3346, 3387, 3389, 3390, 3406, 3407, 3412, 3415, 3423, 3426, 3450, 3456, 3461, 3479,
    3482, 3506, 3507, 3516, 3517, 3518, 3520, 3527, 3585, 3633, 3634, 3636, 3648, 3655, 3713, 3715, 3716, 3717, 3718,
    3723, 3724, 3748, 3749, 3750, 3751, 3761, 3762, 3764, 3773, 3774, 3776, 3781, 3782, 3783, 3804, 3808, 3840, 3841,
    3904, 3912, 3913, 3949, 3976, 3981, 4096, 4139, 4159, 4160, 4176, 4182, 4186, 4190, 4193, 4194, 4197, 4199, 4206,
    4209, 4213, 4226, 4238, 4239, 4256, 4294, 4295, 4296, 4301, 4302, 4304, 4347, 4348, 4681, 4682, 4686, 4688, 4695,
    4696, 4697, 4698, 4702, 4704, 4745, 4746, 4750, 4752, 4785, 4786, 4790, 4792, 4799, 4800, 4801, 4802, 4806, 4808,
    4823, 4824, 4881, 4882, 4886, 4888, 4955, 4992, 5008, 5024, 5110, 5112, 5118, 5121, 5741, 5743, 5760, 5761, 5787,
    5792, 5867, 5873, 5881, 5888, 5906, 5919, 5938, 5952, 5970, 5984, 5997, 5998, 6001, 6016, 6068, 6103, 6104, 6108,
    6109, 6176, 6265, 6272, 6277, 6279, 6313, 6314, 6315, 6320, 6390, 6400, 6431, 6480, 6510, 6512, 6517, 6528, 6572,
    6576, 6602, 6656, 6679, 6688, 6741, 6823, 6824, 6917, 6964, 6981, 6989, 7043, 7073, 7086, 7088, 7098, 7142, 7168,
    7204, 7245, 7248, 7258, 7294, 7296, 7307, 7312, 7355, 7357, 7360, 7401, 7405, 7406, 7412, 7413, 7415, 7418, 7419,
    7424, 7616, 7680, 7958, 7960, 7966, 7968, 8006, 8008, 8014, 8016, 8024, 8025, 8026, 8027, 8028, 8029, 8030, 8031,
    8062, 8064, 8117, 8118, 8125, 8126, 8127, 8130, 8133, 8134, 8141, 8144, 8148, 8150, 8156, 8160, 8173, 8178, 8181,
    8182, 8189, 8305, 8306, 8319, 8320, 8336, 8349, 8450, 8451, 8455, 8456, 8458, 8468, 8469, 8470, 8473, 8478, 8484,
    8485, 8486, 8487, 8488, 8489, 8490, 8494, 8495, 8506, 8508, 8512, 8517, 8522, 8526, 8527, 8579, 8581, 11264, 11493,
    11499, 11503, 11506, 11508, 11520, 11558, 11559, 11560, 11565, 11566, 11568, 11624, 11631, 11632, 11648, 11671,
    11680, 11687, 11688, 11695, 11696, 11703, 11704, 11711, 11712, 11719, 11720, 11727, 11728, 11735, 11736, 11743,
    11823, 11824, 12293, 12295, 12337, 12342, 12347, 12349, 12353, 12439, 12445, 12448, 12449, 12539, 12540, 12544,
    12549, 12592, 12593, 12687, 12704, 12736, 12784, 12800, 13312, 19904, 19968, 42125, 42192, 42238, 42240, 42509,
    42512, 42528, 42538, 42540, 42560, 42607, 42623, 42654, 42656, 42726, 42775, 42784, 42786, 42889, 42891, 42973,
    42993, 43010, 43011, 43014, 43015, 43019, 43020, 43043, 43072, 43124, 43138, 43188, 43250, 43256, 43259, 43260,
    43261, 43263, 43274, 43302, 43312, 43335, 43360, 43389, 43396, 43443, 43471, 43472, 43488, 43493, 43494, 43504,
    43514, 43519, 43520, 43561, 43584, 43587, 43588, 43596, 43616, 43639, 43642, 43643, 43646, 43696, 43697, 43698,
    43701, 43703, 43705, 43710, 43712, 43713, 43714, 43715, 43739, 43742, 43744, 43755, 43762, 43765, 43777, 43783,
    43785, 43791, 43793, 43799, 43808, 43815, 43816, 43823, 43824, 43867, 43868, 43882, 43888, 44003, 44032, 55204,
    55216, 55239, 55243, 55292, 63744, 64110, 64112, 64218, 64256, 64263, 64275, 64280, 64285, 64286, 64287, 64297,
    64298, 64311, 64312, 64317, 64318, 64319, 64320, 64322, 64323, 64325, 64326, 64434, 64467, 64830, 64848, 64912,
    64914, 64968, 65008, 65020, 65136, 65141, 65142, 65277, 65313, 65339, 65345, 65371, 65382, 65471, 65474, 65480,
    65482, 65488, 65490, 65496, 65498, 65501, 65536, 65548, 65549, 65575, 65576, 65595, 65596, 65598, 65599, 65614,
    65616, 65630, 65664, 65787, 66176, 66205, 66208, 66257, 66304, 66336, 66349, 66369, 66370, 66378, 66384, 66422,
    66432, 66462, 66464, 66500, 66504, 66512, 66560, 66718, 66736, 66772, 66776, 66812, 66816, 66856, 66864, 66916,
    66928, 66939, 66940, 66955, 66956, 66963, 66964, 66966, 66967, 66978, 66979, 66994, 66995, 67002, 67003, 67005,
    67008, 67060, 67072, 67383, 67392, 67414, 67424, 67432, 67456, 67462, 67463, 67505, 67506, 67515, 67584, 67590,
    67592, 67593, 67594, 67638, 67639, 67641, 67644, 67645, 67647, 67670, 67680, 67703, 67712, 67743, 67808, 67827,
    67828, 67830, 67840, 67862, 67872, 67898, 67904, 67930, 67968, 68024, 68030, 68032, 68096, 68097, 68112, 68116,
    68117, 68120, 68121, 68150, 68192, 68221, 68224, 68253, 68288, 68296, 68297, 68325, 68352, 68406, 68416, 68438,
    68448, 68467, 68480, 68498, 68608, 68681, 68736, 68787, 68800, 68851, 68864, 68900, 68938, 68966, 68975, 68998,
    69248, 69290, 69296, 69298, 69314, 69320, 69376, 69405, 69415, 69416, 69424, 69446, 69488, 69506, 69552, 69573,
    69600, 69623, 69635, 69688, 69745, 69747, 69749, 69750, 69763, 69808, 69840, 69865, 69891, 69927, 69956, 69957,
    69959, 69960, 69968, 70003, 70006, 70007, 70019, 70067, 70081, 70085, 70106, 70107, 70108, 70109, 70144, 70162,
    70163, 70188, 70207, 70209, 70272, 70279, 70280, 70281, 70282, 70286, 70287, 70302, 70303, 70313, 70320, 70367,
    70405, 70413, 70415, 70417, 70419, 70441, 70442, 70449, 70450, 70452, 70453, 70458, 70461, 70462, 70480, 70481,
    70493, 70498, 70528, 70538, 70539, 70540, 70542, 70543, 70544, 70582, 70583, 70584, 70609, 70610, 70611, 70612,
    70656, 70709, 70727, 70731, 70751, 70754, 70784, 70832, 70852, 70854, 70855, 70856, 71040, 71087, 71128, 71132,
    71168, 71216, 71236, 71237, 71296, 71339, 71352, 71353, 71424, 71451, 71488, 71495, 71680, 71724, 71840, 71904,
    71935, 71943, 71945, 71946, 71948, 71956, 71957, 71959, 71960, 71984, 71999, 72000, 72001, 72002, 72096, 72104,
    72106, 72145, 72161, 72162, 72163, 72164, 72192, 72193, 72203, 72243, 72250, 72251, 72272, 72273, 72284, 72330,
    72349, 72350, 72368, 72441, 72640, 72673, 72704, 72713, 72714, 72751, 72768, 72769, 72818, 72848, 72960, 72967,
    72968, 72970, 72971, 73009, 73030, 73031, 73056, 73062, 73063, 73065, 73066, 73098, 73112, 73113, 73136, 73180,
    73440, 73459, 73474, 73475, 73476, 73489, 73490, 73524, 73648, 73649, 73728, 74650, 74880, 75076, 77712, 77809,
    77824, 78896, 78913, 78919, 78944, 82939, 82944, 83527, 90368, 90398, 92160, 92729, 92736, 92767, 92784, 92863,
    92880, 92910, 92928, 92976, 92992, 92996, 93027, 93048, 93053, 93072, 93504, 93549, 93760, 93824, 93856, 93881,
    93883, 93908, 93952, 94027, 94032, 94033, 94099, 94112, 94176, 94178, 94179, 94180, 94194, 94196, 94208, 101590,
    101631, 101663, 101760, 101875, 110576, 110580, 110581, 110588, 110589, 110591, 110592, 110883, 110898, 110899,
    110928, 110931, 110933, 110934, 110948, 110952, 110960, 111356, 113664, 113771, 113776, 113789, 113792, 113801,
    113808, 113818, 119808, 119893, 119894, 119965, 119966, 119968, 119970, 119971, 119973, 119975, 119977, 119981,
    119982, 119994, 119995, 119996, 119997, 120004, 120005, 120070, 120071, 120075, 120077, 120085, 120086, 120093,
    120094, 120122, 120123, 120127, 120128, 120133, 120134, 120135, 120138, 120145, 120146, 120486, 120488, 120513,
    120514, 120539, 120540, 120571, 120572, 120597, 120598, 120629, 120630, 120655, 120656, 120687, 120688, 120713,
    120714, 120745, 120746, 120771, 120772, 120780, 122624, 122655, 122661, 122667, 122928, 122990, 123136, 123181,
    123191, 123198, 123214, 123215, 123536, 123566, 123584, 123628, 124112, 124140, 124368, 124398, 124400, 124401,
    124608, 124639, 124640, 124643, 124644, 124646, 124647, 124654, 124656, 124661, 124670, 124672, 124896, 124903,
    124904, 124908, 124909, 124911, 124912, 124927, 124928, 125125, 125184, 125252, 125259, 125260, 126464, 126468,
    126469, 126496, 126497, 126499, 126500, 126501, 126503, 126504, 126505, 126515, 126516, 126520, 126521, 126522,
    126523, 126524, 126530, 126531, 126535, 126536, 126537, 126538, 126539, 126540, 126541, 126544, 126545, 126547,
    126548, 126549, 126551, 126552, 126553, 126554, 126555, 126556, 126557, 126558, 126559, 126560, 126561, 126563,
    126564, 126565, 126567, 126571, 126572, 126579, 126580, 126584, 126585, 126589, 126590, 126591, 126592, 126602,
    126603, 126620, 126625, 126628, 126629, 126634, 126635, 126652, 131072, 173792, 173824, 178206, 178208, 183982,
    183984, 191457, 191472, 192094, 194560, 195102, 196608, 201547, 201552, 210042,
};
static const uint32_t tk_numbers[] = { /* \p{N} */
    48, 58, 178, 180, 185, 186, 188, 191, 1632, 1642, 1776, 1786, 1984, 1994, 2406, 2416, 2534, 2544, 2548, 2554, 2662,
    2672, 2790, 2800, 2918, 2928, 2930, 2936, 3046, 3059, 3174, 3184, 3192, 3199, 3302, 3312, 3416, 3423, 3430, 3449,
    3558, 3568, 3664, 3674, 3792, 3802, 3872, 3892, 4160, 4170, 4240, 4250, 4969, 4989, 5870, 5873, 6112, 6122, 6128,
    6138, 6160, 6170, 6470, 6480, 6608, 6619, 6784, 6794, 6800, 6810, 6992, 7002, 7088, 7098, 7232, 7242, 7248, 7258,
    8304, 8305, 8308, 8314, 8320, 8330, 8528, 8579, 8581, 8586, 9312, 9372, 9450, 9472, 10102, 10132, 11517, 11518,
    12295, 12296, 12321, 12330, 12344, 12347, 12690, 12694, 12832, 12842, 12872, 12880, 12881, 12896, 12928, 12938,
    12977, 12992, 42528, 42538, 42726, 42736, 43056, 43062, 43216, 43226, 43264, 43274, 43472, 43482, 43504, 43514,
    43600, 43610, 44016, 44026, 65296, 65306, 65799, 65844, 65856, 65913, 65930, 65932, 66273, 66300, 66336, 66340,
    66369, 66370, 66378, 66379, 66513, 66518, 66720, 66730, 67672, 67680, 67705, 67712, 67751, 67760, 67835, 67840,
    67862, 67868, 68028, 68030, 68032, 68048, 68050, 68096, 68160, 68169, 68221, 68223, 68253, 68256, 68331, 68336,
    68440, 68448, 68472, 68480, 68521, 68528, 68858, 68864, 68912, 68922, 68928, 68938, 69216, 69247, 69405, 69415,
    69457, 69461, 69573, 69580, 69714, 69744, 69872, 69882, 69942, 69952, 70096, 70106, 70113, 70133, 70384, 70394,
    70736, 70746, 70864, 70874, 71248, 71258, 71360, 71370, 71376, 71396, 71472, 71484, 71904, 71923, 72016, 72026,
    72688, 72698, 72784, 72813, 73040, 73050, 73120, 73130, 73184, 73194, 73552, 73562, 73664, 73685, 74752, 74863,
    90416, 90426, 92768, 92778, 92864, 92874, 93008, 93018, 93019, 93026, 93552, 93562, 93824, 93847, 94196, 94199,
    118000, 118010, 119488, 119508, 119520, 119540, 119648, 119673, 120782, 120832, 123200, 123210, 123632, 123642,
    124144, 124154, 124401, 124411, 125127, 125136, 125264, 125274, 126065, 126124, 126125, 126128, 126129, 126133,
    126209, 126254, 126255, 126270, 127232, 127245, 130032, 130042,
};

// clang-format on

/* Whether an odd number of edges is at c or before it. */
static int tk_in_table(const uint32_t *edges, size_t n, uint32_t c) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (edges[mid] <= c) lo = mid + 1;
        else hi = mid;
    }
    return (int)(lo & 1);
}

static int tk_letter_or_number(int32_t c) {
    if (tk_in_table(tk_letters, sizeof tk_letters / sizeof *tk_letters, (uint32_t)c)) return TK_LETTER;
    return tk_in_table(tk_numbers, sizeof tk_numbers / sizeof *tk_numbers, (uint32_t)c) ? TK_NUMBER : TK_OTHER;
}

#undef TK_MAX_FILE
#undef TK_MAX_TEXT
#undef TK_MAX_PIECE
#undef TK_MAX_MERGES
#undef TK_MAX_ENDS
#undef TK_MAX_MATCH
#undef TK_ADJACENT_BITS
#undef TK_SPACE
