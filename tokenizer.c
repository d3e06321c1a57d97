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
 *   13. Unicode           what characters are: letters, numbers, ...
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
 * Byte-level BPE, which GPT-2 began and Llama 3 and Qwen use, has less to do in each step. Nothing is normalised, or
 * only to NFC. A regular expression cuts the text into words, and a word's symbols are its bytes, so that nothing is
 * ever left over. And it is written down which pairs merge, in order, where SentencePiece merges whatever makes a
 * piece. (Hugging Face writes SentencePiece's vocabularies down in that way too.)
 *
 * Tokens that were added to a vocabulary later are found first of all, and cut the text.
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
#define TK_MAX_PIECE 0x7FFFFF           /* the flat form has 23 bits for it */
#define TK_MAX_MERGES (1 << 22)         /* ranks must be exact as floats; 15 times Llama 3's */
#define TK_MAX_ENDS 64
#define TK_MAX_MATCH 1000 /* bytes of what is looked for at each character: user-defined pieces and replacements */
#define TK_ADJACENT_BITS 18
#define TK_ALL_FLAGS (2 * TOKENIZER_ADDED - 1)
#define TK_MAX_FORM ((size_t)1 << 20) /* bytes of a chat template's texts */
#define TK_ALL_FORM_FLAGS (2 * TOKENIZER_FORM_KEEPS_THOUGHT - 1)
#define TK_SPACE "\xE2\x96\x81" /* U+2581, three bytes */

enum { TK_N_TEMPLATES = TOKENIZER_OWN, TK_N_SPLITS = TOKENIZER_SPLIT_DEEPSEEK3 + 1 };

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
    int type, flags;
    int is_twin; /* added, and there is another of the same bytes that merges make: found only where it cuts a text */
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

/* Pieces that are looked for in a text, sorted by their bytes. */
typedef struct {
    int32_t *ids;
    int32_t n;
} tk_list;

/* Those that are matched as SentencePiece normalises; and those that cut the text before it is encoded, added ones in
 * any text, special ones where that is asked for. Of these two + 1 is the list of those with TOKENIZER_NORMALIZED. */
enum { TK_SYMBOLS, TK_ADDED, TK_SPECIAL = TK_ADDED + 2, TK_N_LISTS = TK_SPECIAL + 2 };

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
    int32_t longest; /* bytes of the longest piece that text can become */
    tk_list lists[TK_N_LISTS];
    unsigned char adjacent[(1 << TK_ADJACENT_BITS) / 8]; /* SENTENCEPIECE: see tk_adjacent_bit */

    int bos, unk; /* ids, -1 if there is none */
    int ends[TK_MAX_ENDS], n_ends;
    int byte_ids[256]; /* the pieces that stand for a byte each, or -1 */
    int add_bos, chat_template;
    tokenizer_form form; /* with TOKENIZER_OWN */
    char *form_text;     /* what it points into */
    size_t growth;       /* ids that one byte of text can become at most */

    /* Merges in order of left and right; those of a left piece start at first_merge[left]. */
    tk_merge *merges;      /* (n_merges) */
    uint32_t *first_merge; /* (n_pieces + 2) */
    int32_t n_merges;
    int ranked; /* they say what is merged, and not the scores: in BYTE_LEVEL, and in some SENTENCEPIECE */

    /* BYTE_LEVEL */
    int split;         /* how a text is cut into words, a TOKENIZER_SPLIT_.. */
    int nfc;           /* it is brought into NFC first */
    int ignore_merges; /* a word that is a piece is taken whole */

    /* SENTENCEPIECE: how text is normalised, and what becomes of symbols that are no piece. */
    int prefix;              /* where a space is put in front of a text, a TOKENIZER_PREFIX_.., */
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

/* Control, unknown and byte pieces have a name that text never matches, and added ones are found otherwise.
 * (SentencePiece's unused pieces take part in merging and are then taken apart.) */
static int tk_is_reserved(const tokenizer *t, const tk_piece *p) {
    return p->type == TOKENIZER_CONTROL || p->type == TOKENIZER_UNKNOWN || p->type == TOKENIZER_BYTE ||
           (p->type == TOKENIZER_UNUSED && t->ranked) || p->is_twin || (p->flags & TOKENIZER_ADDED);
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

/* The longest of the listed pieces that text begins with, or -1. The list is sorted by bytes, which makes it
 * a trie that needs no memory: each byte of text narrows the range of pieces that begin as the text does. */
static int32_t tk_match(const tokenizer *t, const tk_list *list, const char *p, size_t n) {
    int32_t best = -1, lo = 0, hi = list->n;
    for (int32_t depth = 0; lo < hi && (size_t)depth < n; depth++) {
        int c = (unsigned char)p[depth];
        lo = tk_match_bound(t, list->ids, lo, hi, depth, c);
        hi = tk_match_bound(t, list->ids, lo, hi, depth, c + 1);
        if (lo < hi && t->pieces[list->ids[lo]].size == depth + 1) best = list->ids[lo];
    }
    return best;
}

/* Bytes of the longest user-defined symbol that text begins with, or 0. */
static size_t tk_match_symbol(const tokenizer *t, const char *p, size_t n) {
    int32_t id = tk_match(t, &t->lists[TK_SYMBOLS], p, n);
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

/* What Unicode says of a code point, from the table of the last room: its category, of those that a pattern may ask
 * for (TK_N: Nd and Nl, which are in words, TK_NO: the other numbers), or White_Space, which goes together with none of
 * them. TK_NONE: neither, or no code point (-1). */
enum { TK_NONE, TK_LU, TK_LL, TK_LT, TK_LM, TK_LO, TK_M, TK_N, TK_NO, TK_P, TK_S, TK_WHITE };
static int tk_category(int32_t c);

/* The same for the character that ends at p + n. It is looked for by its last bytes. */
static int32_t tk_last_code_point(const char *p, size_t n, size_t *size) {
    size_t i = 1;
    while (i < 4 && i < n && (p[n - i] & 0xC0) == 0x80) i++;
    int32_t c = tk_code_point(p + n - i, i, size);
    if (*size == i) return c;
    *size = 1;
    return -1;
}

/* White space, as Unicode has it, or as Python's str.strip, which takes four separators of ASCII too. */
static int tk_is_blank(int32_t c, int python) {
    return c >= 0 && (tk_category(c) == TK_WHITE || (python && c >= 0x1C && c <= 0x1F));
}

/* Without white space at its ends. */
static tk_bytes tk_trim(tk_bytes s, int left, int right, int python) {
    size_t size;
    while (left && s.size && tk_is_blank(tk_code_point(s.p, s.size, &size), python)) s.p += size, s.size -= size;
    while (right && s.size && tk_is_blank(tk_last_code_point(s.p, s.size, &size), python)) s.size -= size;
    return s;
}

static tk_bytes tk_string(const char *s) { return (tk_bytes){s, strlen(s)}; }

static int tk_same(tk_bytes a, tk_bytes b) { return a.size == b.size && (!a.size || memcmp(a.p, b.p, a.size) == 0); }

static int tk_equal(tk_bytes a, const char *s) { return tk_same(a, tk_string(s)); }

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
 * Mostly of SentencePiece, and of its vocabularies most do no more than to write a space as a character that can be
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
    size_t used = tk_match_symbol(t, p, n);
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
    TK_WHOLE, /* nothing: it is all, or stands between special tokens */
    TK_INNER, /* it goes on where another ended, and may not be the last: no spaces are put or taken away at its ends */
    TK_LAST   /* it goes on and ends */
} tk_part;

static int tk_has_prefix(const tokenizer *t) { return t->prefix && t->prefix != TOKENIZER_PREFIX_NONE; }

/* Does a text get a space in front that goes on (part), or stands where a special token came before it (after)? */
static int tk_wants_prefix(const tokenizer *t, tk_bytes text, tk_part part, int after) {
    if (part != TK_WHOLE || !tk_has_prefix(t) || (after && t->prefix == TOKENIZER_PREFIX_FIRST)) return 0;
    if (t->prefix == TOKENIZER_PREFIX_EACH) return 1;
    return *text.p != ' ' && (text.size < 3 || memcmp(text.p, TK_SPACE, 3) != 0);
}

/* Writes the normalised text to out; where out only counts, spaces at the end that will go count too.
 * Stops early at more than TK_MAX_TEXT. */
static void tk_normalize(const tokenizer *t, tk_bytes text, tk_part part, int prefix, tk_out *out) {
    const int begins = part == TK_WHOLE, ends = part != TK_INNER;
    const char *space = t->escape_spaces ? TK_SPACE : " ", *p = text.p, *end = p + text.size, *to;
    size_t n_space = strlen(space), n, used;
    if (t->remove_extra_spaces && begins)
        for (; p < end; p += used) {
            used = tk_normal_step(t, p, (size_t)(end - p), &to, &n);
            if (n != 1 || *to != ' ') break;
        }
    if (p == end) return;

    if (prefix && !t->space_is_suffix) tk_write(out, space, n_space);
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
    if (tk_has_prefix(t) && t->space_is_suffix && ends) tk_write(out, space, n_space);
}

/* ---- NFC ----
 *
 * Unicode's composed form (UAX #15). An accented letter can be one code point or a letter and a mark, and marks above
 * and below a letter may come in either order: what looks the same is to be the same.
 *
 *     Decompose   Code points are taken apart, as far as that goes.
 *     Order       Marks have a class, by where they go. Of those in a row the lowest comes first; equals stay.
 *     Compose     A starter, which is what has class 0, takes in each code point behind it with which the tables join
 *                 it to one, unless between them is left a starter, or a mark of the same class or a higher one.
 *
 * Most text is composed already, and the tables tell of each code point whether that can be seen: it is, as long as
 * marks are in order and none of its code points is one that may change, or be taken in. Only around these the three
 * steps are taken, from the starter before them to the next. All takes linear time and no memory but the output. A
 * byte that is no UTF-8 is a starter which nothing joins, as a code point -1 - byte, and stays what it is.
 */

enum { TK_NFC_CLASS = 63, TK_NFC_CHANGES = 64 };
static int tk_nfc_property(int32_t c);                    /* the class, and whether it may change or be taken in */
static int tk_decompose(int32_t c, int32_t parts[4]);     /* to how many; the last one is the first */
static int32_t tk_compose(int32_t first, int32_t second); /* -1: they stay two */

static int tk_class(int32_t c) { return tk_nfc_property(c) & TK_NFC_CLASS; }

/* Writes UTF-8 and returns its size. */
static size_t tk_spell(int32_t c, char bytes[4]) {
    static const int first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (c < 0) c = -1 - c;
    bytes[0] = (char)(first[n] | c >> 6 * (n - 1));
    for (size_t i = 1; i < n; i++) bytes[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3F));
    return n;
}

/* The text that is read, decomposed. */
typedef struct {
    const char *p, *end;
    int32_t parts[4];
    int n; /* of parts: these come before p */
} tk_decomposed;

static int tk_has_part(const tk_decomposed *d) { return d->n || d->p < d->end; }

static int32_t tk_next_part(tk_decomposed *d) {
    if (d->n == 0) {
        size_t size;
        int32_t c = tk_code_point(d->p, (size_t)(d->end - d->p), &size);
        d->n = tk_decompose(c < 0 ? -1 - (unsigned char)*d->p : c, d->parts);
        d->p += size;
    }
    return d->parts[--d->n];
}

/* The text that is written, composed. */
typedef struct {
    tk_out *out;
    int32_t starter; /* the last one, or -1 */
    size_t at, size; /* where it stands in out */
    int last;        /* class of what comes last */
} tk_composed;

/* Writes c, or joins it to the starter; which can take in three at most, so that not much has to move. */
static void tk_write_composed(tk_composed *s, int32_t c) {
    char bytes[4];
    int mark = tk_class(c);
    int32_t joined = s->last == 0 || s->last < mark ? tk_compose(s->starter, c) : -1;
    size_t n = tk_spell(joined < 0 ? c : joined, bytes);
    if (joined < 0) {
        if (mark == 0) s->starter = c, s->at = s->out->n, s->size = n;
        s->last = mark;
        tk_write(s->out, bytes, n);
        return;
    }
    if (s->out->p) {
        char *p = s->out->p + s->at;
        memmove(p + n, p + s->size, s->out->n - s->at - s->size);
        memcpy(p, bytes, n);
    }
    s->out->n += n - s->size;
    s->starter = joined, s->size = n;
}

/* Puts the next n marks in order behind what is written, and *marks reads them there: sizes has the bytes of each
 * class. */
static void tk_sort_marks(const tk_out *out, tk_decomposed *marks, size_t n, const size_t *sizes) {
    char bytes[4], *at[TK_NFC_CLASS + 1], *start = out->p + out->n, *end = start;
    for (int i = 0; i <= TK_NFC_CLASS; i++) at[i] = end, end += sizes[i];
    while (n--) {
        int32_t c = tk_next_part(marks);
        size_t size = tk_spell(c, bytes);
        char **to = &at[tk_class(c)];
        memcpy(*to, bytes, size);
        *to += size;
    }
    marks->p = start, marks->end = end, marks->n = 0;
}

/* Writes the marks that come next. Those that had to be sorted are read from where they are written: joined or not,
 * none takes more than it had. Where out only counts these are all counted. */
static void tk_write_marks(tk_composed *s, tk_decomposed *text) {
    size_t sizes[TK_NFC_CLASS + 1] = {0}, total = 0, n = 0;
    int sorted = 1, last = 0;
    tk_decomposed marks = *text, next = *text;
    for (; tk_has_part(&next); *text = next, n++) {
        char bytes[4];
        int32_t c = tk_next_part(&next);
        int mark = tk_class(c);
        size_t size = tk_spell(c, bytes);
        if (mark == 0) break;
        sizes[mark] += size, total += size;
        sorted = sorted && mark >= last;
        last = mark;
    }
    if (!sorted && !s->out->p) {
        s->out->n += total, s->last = TK_NFC_CLASS;
        return;
    }
    if (!sorted) tk_sort_marks(s->out, &marks, n, sizes);
    while (n--) tk_write_composed(s, tk_next_part(&marks));
}

/* The end of the text from p on that is composed already and in order. *starter: its last one, or p. */
static const char *tk_nfc_prefix(const char *p, const char *end, const char **starter) {
    int last = 0;
    *starter = p;
    for (size_t size; p < end; p += size) {
        int property = tk_nfc_property(tk_code_point(p, (size_t)(end - p), &size));
        if (property >= TK_NFC_CHANGES || (property && property < last)) break;
        if (property == 0) *starter = p;
        last = property;
    }
    return p;
}

/* Writes the text in NFC; where out only counts, that or a little more. Stops early at more than TK_MAX_TEXT. */
static void tk_nfc(const char *p, size_t n, tk_out *out) {
    const char *end = p + n, *starter;
    while (p < end && out->n <= TK_MAX_TEXT) {
        const char *changes = tk_nfc_prefix(p, end, &starter);
        if (changes == end) starter = end;
        tk_write(out, p, (size_t)(starter - p));
        p = changes;
        for (size_t size; p < end && tk_nfc_property(tk_code_point(p, (size_t)(end - p), &size)); p += size) continue;
        tk_composed written = {out, -1, 0, 0, 0};
        tk_decomposed text = {starter, p, {0}, 0};
        while (tk_has_part(&text) && out->n <= TK_MAX_TEXT) {
            tk_write_marks(&written, &text);
            if (tk_has_part(&text)) tk_write_composed(&written, tk_next_part(&text));
        }
    }
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
        size_t left = text.size - *at, user = tk_match_symbol(t, p, left);
        size_t size = user ? user : tk_char_size(p, left);
        int32_t id = symbols && t->ranked ? tk_find(t, p, size, 0) : -1;
        if (symbols) symbols[n] = (tk_symbol){(int32_t)*at, (int32_t)size, n - 1, n + 1, id, user != 0};
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
 * A regular expression cuts the text into words: of its alternatives the first that matches is taken, and takes all it
 * can. Each function below has one beside it, and does by hand what it says: each word costs one look at the characters
 * it takes and one at those after, so that no text takes quadratic time; what an engine with backtracking does to a
 * megabyte of spaces is the reason.
 *
 * What leaves room for opinion is as in the regular expressions of Rust, which OpenAI's tiktoken and Hugging
 * Face's tokenizers use: \s is White_Space (U+0085 is, U+FEFF is not), and (?i:'s) matches U+017F, the long s,
 * too. Bytes that are no UTF-8 are single characters of the category of U+FFFD, by which those tokenizers replace them;
 * here they stay what they are.
 */

/* Sets of characters: a bit for each category, and for what patterns set apart from their category. */
enum {
    TK_UPPER = 1 << TK_LU | 1 << TK_LT,
    TK_LOWER = 1 << TK_LL,
    TK_CASELESS = 1 << TK_LM | 1 << TK_LO,
    TK_LETTER = TK_UPPER | TK_LOWER | TK_CASELESS,
    TK_MARK = 1 << TK_M,
    TK_NUMBER = 1 << TK_N | 1 << TK_NO,
    TK_SIGN = 1 << TK_P | 1 << TK_S,
    TK_OTHER = 1 << TK_NONE | TK_MARK | TK_SIGN,
    TK_BLANK = 1 << TK_WHITE,
    TK_NEWLINE = TK_BLANK << 1, /* \r and \n */
    TK_KANA_HAN = TK_NEWLINE << 1
};

typedef struct {
    const char *end; /* of the text */
    int split;       /* TOKENIZER_SPLIT_.. */
} tk_words;

enum { TK_IN_KANA_HAN = TK_N_SPLITS }; /* DEEPSEEK3 inside of a run of kana and Han, which is a text of its own */

/* The set that the character at p is in, and its bytes. 0: the text has ended. */
static int tk_kind(const tk_words *w, const char *p, size_t *size) {
    *size = 0;
    if (p == w->end) return 0;
    int32_t c = tk_code_point(p, (size_t)(w->end - p), size);
    if (w->split == TOKENIZER_SPLIT_DEEPSEEK3 || w->split == TK_IN_KANA_HAN) {
        const int is_kana_han = (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
        if (is_kana_han && w->split == TOKENIZER_SPLIT_DEEPSEEK3) return TK_KANA_HAN;
        if (!is_kana_han && w->split == TK_IN_KANA_HAN) return *size = 0, 0;
    }
    if (c == '\n' || c == '\r') return TK_NEWLINE;
    return 1 << tk_category(c < 0 ? 0xFFFD : c);
}

/* The end of the characters of a set from p on, of which there are at most limit. */
static const char *tk_skip(const tk_words *w, const char *p, int set, size_t limit) {
    size_t size;
    while (limit-- && (tk_kind(w, p, &size) & set)) p += size;
    return p;
}

/* Bytes of 's, 't, 're, 've, 'm, 'll or 'd at p, or 0. */
static size_t tk_contraction(const char *p, size_t n, int any_case) {
    static const char *const ends[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (n < 2 || *p != '\'') return 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t k = 0;
        while (ends[i][k] && k + 1 < n && (p[k + 1] == ends[i][k] || (any_case && p[k + 1] == ends[i][k] - 'a' + 'A')))
            k++;
        if (!ends[i][k]) return k + 1;
    }
    return any_case && n > 2 && memcmp(p + 1, "\xC5\xBF", 2) == 0 ? 3 : 0; /* U+017F */
}

/* The end of the word that begins with white space at p:
 *
 *     \s*[\r\n]+      white space up to its last newline, if those are in newlines
 *     \s+(?!\S)       white space without its last character, which belongs to what follows
 *     \s+             or with it, if it is the only one
 *
 * Where a character of edges follows, the text was cut before, and has ended there. */
static const char *tk_blank_word(const tk_words *w, const char *p, int newlines, int edges) {
    const char *at = p, *last = p, *newline = NULL; /* last: the last character's start */
    size_t size;
    int kind;
    for (; kind = tk_kind(w, at, &size), kind & (TK_BLANK | TK_NEWLINE); at += size) {
        last = at;
        if (kind & newlines) newline = at + size;
    }
    if (newline) return newline;
    return kind == 0 || (kind & edges) || last == p ? at : last;
}

/* GPT-2:
 *
 *     's|'t|'re|'ve|'m|'ll|'d   how English words end after an apostrophe
 *      ?\p{L}+                  letters, a space before them
 *      ?\p{N}+                  digits
 *      ?[^\s\p{L}\p{N}]+        other characters
 *     \s+(?!\S)|\s+
 *
 * StarCoder and SmolLM: \p{N} first, and what is left of the text is cut as by GPT-2. digits is TK_NUMBER then. */
static const char *tk_word_gpt2(const tk_words *w, const char *p, int digits) {
    size_t size, next_size, n = tk_contraction(p, (size_t)(w->end - p), 0);
    if (n) return p + n;
    int kind = tk_kind(w, p, &size), next = tk_kind(w, p + size, &next_size);
    if (kind & digits) return p + size;
    if (*p == ' ' && (next & (TK_LETTER | TK_NUMBER | TK_OTHER) & ~digits)) p += size, kind = next;
    if (kind & (TK_BLANK | TK_NEWLINE)) return tk_blank_word(w, p, 0, digits);
    return tk_skip(w, p, kind & TK_LETTER ? TK_LETTER : kind & TK_NUMBER ? TK_NUMBER : TK_OTHER, SIZE_MAX);
}

/* Llama 3:
 *
 *     (?i:'s|'t|'re|'ve|'m|'ll|'d)
 *     [^\r\n\p{L}\p{N}]?\p{L}+       letters, and one character before them: most often the space
 *     \p{N}{1,3}                     up to three digits
 *      ?[^\s\p{L}\p{N}]+[\r\n]*      other characters, a space before and newlines after
 *     \s*[\r\n]+|\s+(?!\S)|\s+
 *
 * Qwen 2: \p{N} in place of \p{N}{1,3}. Qwen 3.5: that, and [\p{L}\p{M}]+ in place of \p{L}+, [^\s\p{L}\p{M}\p{N}]+ of
 * the other; a mark is then a letter. */
static const char *tk_word_llama3(const tk_words *w, const char *p, int letters, size_t digits) {
    size_t size, next_size, n = tk_contraction(p, (size_t)(w->end - p), 1);
    if (n) return p + n;
    int kind = tk_kind(w, p, &size), next = tk_kind(w, p + size, &next_size), others = TK_OTHER & ~letters;
    if ((kind & letters) || ((next & letters) && (kind & (TK_OTHER | TK_BLANK))))
        return tk_skip(w, p + size, letters, SIZE_MAX);
    if (kind & TK_NUMBER) return tk_skip(w, p, TK_NUMBER, digits);
    if ((kind & others) || (*p == ' ' && (next & others)))
        return tk_skip(w, tk_skip(w, p + size, others, SIZE_MAX), TK_NEWLINE, SIZE_MAX);
    return tk_blank_word(w, p, TK_NEWLINE, 0);
}

/* The end of letters and marks from p on that match U*D+, where U is [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and D is
 * [\p{Ll}\p{Lm}\p{Lo}\p{M}], or else U+D*. U takes all it can. If no lower case follows, the last that is in both U and
 * D is left to D and what comes after it to the next word; if there is none, all of it is U+. */
static const char *tk_cased_letters(const tk_words *w, const char *p) {
    const char *both = NULL;
    size_t size;
    int kind;
    for (; kind = tk_kind(w, p, &size), kind & (TK_UPPER | TK_CASELESS | TK_MARK); p += size)
        if (!(kind & TK_UPPER)) both = p + size;
    if (kind & TK_LOWER) return tk_skip(w, p, TK_LOWER | TK_CASELESS | TK_MARK, SIZE_MAX);
    return both ? both : p;
}

/* GPT-4o, with U and D as above, so that "camelCase" is two words:
 *
 *     [^\r\n\p{L}\p{N}]?U*D+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *     [^\r\n\p{L}\p{N}]?U+D*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *     \p{N}{1,3}
 *      ?[^\s\p{L}\p{N}]+[\r\n/]*
 *     \s*[\r\n]+|\s+(?!\S)|\s+
 *
 * Tekken: without 's and the like, and \p{N} in place of \p{N}{1,3}. (Where a word begins with a mark it does not
 * matter whether that is taken for the character before the letters or for one of them.) */
static const char *tk_word_gpt4o(const tk_words *w, const char *p, int contractions, size_t digits) {
    size_t size, next_size;
    int kind = tk_kind(w, p, &size), next = tk_kind(w, p + size, &next_size), letters = TK_LETTER | TK_MARK;
    if ((kind & letters) || ((next & letters) && (kind & (TK_OTHER | TK_BLANK)))) {
        p = tk_cased_letters(w, kind & letters ? p : p + size);
        return contractions ? p + tk_contraction(p, (size_t)(w->end - p), 1) : p;
    }
    if (kind & TK_NUMBER) return tk_skip(w, p, TK_NUMBER, digits);
    if ((kind & TK_OTHER) || (*p == ' ' && (next & TK_OTHER))) {
        p = tk_skip(w, p + size, TK_OTHER, SIZE_MAX);
        while (p < w->end && (*p == '\r' || *p == '\n' || *p == '/')) p++;
        return p;
    }
    return tk_blank_word(w, p, TK_NEWLINE, 0);
}

static int tk_is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* DeepSeek 3, three in turn, each of which cuts the pieces that the one before made:
 *
 *     \p{N}{1,3}
 *     [\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+    Han and kana
 *     [!-/:-@[-`{-~][A-Za-z]+                       letters after one of ASCII's signs
 *         [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
 *          ?[\p{P}\p{S}]+[\r\n]*
 *         \s*[\r\n]+|\s+(?!\S)|\s+
 *
 * and what none of them matches, such as control characters, are words too, up to where the next match begins. */
static const char *tk_word_deepseek3(const tk_words *w, const char *p) {
    const int letters = TK_LETTER | TK_MARK, before = 1 << TK_NONE | TK_BLANK, edges = TK_NUMBER | TK_KANA_HAN;
    size_t size, next_size;
    tk_words inside = *w;
    inside.split = TK_IN_KANA_HAN;
    if (tk_kind(w, p, &size) & TK_KANA_HAN) w = &inside;
    int kind = tk_kind(w, p, &size), next = tk_kind(w, p + size, &next_size);
    if (kind & TK_NUMBER) return tk_skip(w, p, TK_NUMBER, 3);
    if ((kind & TK_SIGN) && *p > ' ' && *p <= '~' && next && tk_is_ascii_letter(p[1])) {
        while (++p < w->end && tk_is_ascii_letter(*p)) continue;
        return p;
    }
    if ((kind & letters) || ((next & letters) && (kind & before))) return tk_skip(w, p + size, letters, SIZE_MAX);
    if ((kind & TK_SIGN) || (*p == ' ' && (next & TK_SIGN)))
        return tk_skip(w, tk_skip(w, p + size, TK_SIGN, SIZE_MAX), TK_NEWLINE, SIZE_MAX);
    if (kind & (TK_BLANK | TK_NEWLINE)) return tk_blank_word(w, p, TK_NEWLINE, edges);
    do {
        p += size, kind = next, size = next_size;
        next = tk_kind(w, p + size, &next_size);
    } while ((kind & 1 << TK_NONE) && !(next & letters));
    return p;
}

/* The end of the first word of a text that is not empty. */
static const char *tk_word(const tk_words *w, const char *p) {
    switch (w->split) {
    case TOKENIZER_SPLIT_GPT2: return tk_word_gpt2(w, p, 0);
    case TOKENIZER_SPLIT_STARCODER: return tk_word_gpt2(w, p, TK_NUMBER);
    case TOKENIZER_SPLIT_QWEN2: return tk_word_llama3(w, p, TK_LETTER, 1);
    case TOKENIZER_SPLIT_QWEN35: return tk_word_llama3(w, p, TK_LETTER | TK_MARK, 1);
    case TOKENIZER_SPLIT_GPT4O: return tk_word_gpt4o(w, p, 1, 3);
    case TOKENIZER_SPLIT_TEKKEN: return tk_word_gpt4o(w, p, 0, 1);
    case TOKENIZER_SPLIT_DEEPSEEK3: return tk_word_deepseek3(w, p);
    default: return tk_word_llama3(w, p, TK_LETTER, 3);
    }
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
    float score;  /* of the piece; where merges are listed: minus the merge's rank, which is the same thing */
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
    int special;       /* names of special tokens in the text become those */
    int after_special; /* the text that comes stands behind something that is no text */
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
    if (a->final || b->final) return;
    if (e->t->ranked) {
        const tk_merge *m = a->id < 0 || b->id < 0 ? NULL : tk_find_merge(e->t, a->id, b->id);
        if (m) tk_push(e, (tk_pair){-(float)m->rank, left, a->size + b->size, m->id});
        return;
    }
    if (b->size > e->t->longest - a->size) return;
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
 * All of the above for a text, and what merging leaves to be decided: of a symbol, its ids; of a text, where the pieces
 * are that were added or are special.
 */

/* What there is no room for is counted all the same: that is how a caller learns how much he needs. */
static void tk_emit(tk_encoder *e, int id) {
    if (e->n_ids < e->capacity) e->ids[e->n_ids] = id;
    e->n_ids++;
}

/* Emits a token that is no part of a text: what comes then is another. */
static void tk_emit_special(tk_encoder *e, int id) {
    tk_emit(e, id);
    e->part = TK_WHOLE;
    e->after_special = 1;
    e->after_unknown = 0;
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

static int tk_encode_words(tk_encoder *e) {
    const char *begin = e->text.p, *p = begin;
    const tk_words w = {p + e->text.size, e->t->split};
    while (p < w.end) {
        const char *next = tk_word(&w, p);
        if (!tk_encode_word(e, (size_t)(p - begin), (size_t)(next - p))) return 0;
        p = next;
    }
    return 1;
}

/* Writes the text, which is not empty, as it is normalised. */
static void tk_write_normal(const tk_encoder *e, tk_bytes text, tk_out *out) {
    const tokenizer *t = e->t;
    if (t->kind == TOKENIZER_BYTE_LEVEL) tk_nfc(text.p, text.size, out);
    else tk_normalize(t, text, e->part, tk_wants_prefix(t, text, e->part, e->after_special), out);
}

static int tk_encode_step(tk_encoder *e, tk_bytes text, int step);

/* Normalises twice: to know how much memory that takes, and to fill it. Then goes on with the next step. */
static int tk_encode_normalized(tk_encoder *e, tk_bytes text, int step) {
    const tokenizer *t = e->t;
    tk_out counted = {NULL, 0}, normal = {NULL, 0};
    tk_write_normal(e, text, &counted);
    if (counted.n > TK_MAX_TEXT)
        return tk_fail(e->err, TOKENIZER_BAD_TEXT, "a text of %zu bytes is too long", text.size);
    if (counted.n == 0) return 1;
    normal.p = (char *)tk_alloc(&t->memory, counted.n, 1, e->err);
    if (!normal.p) return 0;
    tk_write_normal(e, text, &normal);
    int ok = normal.n == 0 || tk_encode_step(e, (tk_bytes){normal.p, normal.n}, step);
    tk_release(&t->memory, normal.p);
    return ok;
}

/* ---- Pieces that cut the text ----
 *
 * Added and special pieces are found in the text before it is encoded, the longest where several begin, and the parts
 * between are texts of their own. So Hugging Face and llama.cpp have it. */

/* Is it what \w matches in the regular expressions of Rust: Alphabetic, M, Nd, Pc and Join_Control? What is Alphabetic
 * and none of L, M and Nl are letters in circles and squares. */
static int tk_is_word(int32_t c) {
    int set = 1 << (c < 0 ? TK_NONE : tk_category(c));
    return (set & (TK_LETTER | TK_MARK | 1 << TK_N)) || c == '_' || c == 0x200C || c == 0x200D || c == 0x203F ||
           c == 0x2040 || c == 0x2054 || c == 0xFE33 || c == 0xFE34 || (c >= 0xFE4D && c <= 0xFE4F) || c == 0xFF3F ||
           (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
           (c >= 0x1F170 && c <= 0x1F189);
}

static int tk_is_inside_word(tk_bytes text, size_t from, size_t to) {
    size_t size;
    return (from > 0 && tk_is_word(tk_last_code_point(text.p, from, &size))) ||
           (to < text.size && tk_is_word(tk_code_point(text.p + to, text.size - to, &size)));
}

/* The longest of the pieces that the text has at p, or -1; in *size the bytes that it takes there. Hugging Face
 * normalises what it looks for in normalised text: with a space in front where each text gets one. */
static int32_t tk_match_cut(const tk_encoder *e, const char *p, size_t n, int normalized, size_t *size) {
    const tokenizer *t = e->t;
    size_t prefix = normalized && t->kind == TOKENIZER_SENTENCEPIECE && t->prefix == TOKENIZER_PREFIX_EACH ? 3 : 0;
    if (n < prefix || memcmp(p, TK_SPACE, prefix) != 0) return -1;
    int32_t id = tk_match(t, &t->lists[TK_ADDED + normalized], p + prefix, n - prefix), special = -1;
    if (e->special) special = tk_match(t, &t->lists[TK_SPECIAL + normalized], p + prefix, n - prefix);
    if (special >= 0 && (id < 0 || t->pieces[special].size > t->pieces[id].size)) id = special;
    if (id >= 0) *size = prefix + (size_t)t->pieces[id].size;
    return id;
}

/* Encodes a text and the pieces that cut it, those with TOKENIZER_NORMALIZED or those without. The white space that one
 * takes away may have the next in it, which counts all the same, unless it would take away what is before it: it is
 * then gone itself. blank is how far it is known to reach. */
static int tk_encode_cut(tk_encoder *e, tk_bytes text, int normalized, int step) {
    const tokenizer *t = e->t;
    size_t start = 0, at = 0, size = 0, blank = 0;
    int any = t->lists[TK_ADDED + normalized].n || (e->special && t->lists[TK_SPECIAL + normalized].n);
    while (any && at < text.size) {
        int32_t id = tk_match_cut(e, text.p + at, text.size - at, normalized, &size);
        size_t from = at, to = at += id < 0 ? 1 : size;
        if (id < 0) continue;
        int flags = t->pieces[id].flags;
        if ((flags & TOKENIZER_SINGLE_WORD) && tk_is_inside_word(text, from, to)) continue;
        if ((flags & TOKENIZER_LSTRIP) && from > start)
            from = start + tk_trim((tk_bytes){text.p + start, from - start}, 0, 1, 0).size;
        if ((flags & TOKENIZER_RSTRIP) && to >= blank)
            blank = text.size - tk_trim((tk_bytes){text.p + to, text.size - to}, 1, 0, 0).size;
        if (flags & TOKENIZER_RSTRIP) to = blank;
        if ((flags & TOKENIZER_LSTRIP) && to <= start) continue;
        if (from > start && !tk_encode_step(e, (tk_bytes){text.p + start, from - start}, step)) return 0;
        tk_emit_special(e, (int)id);
        start = to;
    }
    return start >= text.size || tk_encode_step(e, (tk_bytes){text.p + start, text.size - start}, step);
}

/* The steps in which a text is encoded. Most normalise before they look for pieces in the normalised text; Metaspace
 * belongs to what comes after it, and so normalises each part between them. */
enum { TK_CUT, TK_NORMALIZE, TK_CUT_NORMALIZED, TK_NORMALIZE_PARTS, TK_MERGE };

/* Encodes a text that is not empty, from a step on. */
static int tk_encode_step(tk_encoder *e, tk_bytes text, int step) {
    const tokenizer *t = e->t;
    int is_sentencepiece = t->kind == TOKENIZER_SENTENCEPIECE,
        late = is_sentencepiece && t->prefix > TOKENIZER_PREFIX_EACH;
    if (step == TK_CUT) return tk_encode_cut(e, text, 0, TK_NORMALIZE);
    if (step == TK_NORMALIZE && !late && (is_sentencepiece || t->nfc))
        return tk_encode_normalized(e, text, TK_CUT_NORMALIZED);
    if (step <= TK_CUT_NORMALIZED) return tk_encode_cut(e, text, 1, TK_NORMALIZE_PARTS);
    if (step == TK_NORMALIZE_PARTS && late) return tk_encode_normalized(e, text, TK_MERGE);
    if (text.size > TK_MAX_TEXT)
        return tk_fail(e->err, TOKENIZER_BAD_TEXT, "a text of %zu bytes is too long", text.size);
    e->text = text;
    return is_sentencepiece ? tk_encode_normal(e) : tk_encode_words(e);
}

/* Encodes a text; with special, names of special tokens in it become those. */
static int tk_encode(tk_encoder *e, tk_bytes text, int special) {
    e->special = special;
    return text.size == 0 || tk_encode_step(e, text, TK_CUT);
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
 * space that normalisation put in front is taken off again: from the first piece of a text, if it begins with one. (Of
 * special tokens some are shown all the same: those that an answer may have inside, such as <think>.)
 */

/* Is the space dropped that a piece begins with? Where a text begins; and, in a vocabulary that makes one of several,
 * after a piece that is a space alone, as which a text may begin too. */
static int tk_drops_space(const tokenizer *t, int previous) {
    if (previous < 0 || previous == t->bos) return tk_has_prefix(t) || t->remove_extra_spaces;
    if (!t->remove_extra_spaces || previous >= t->n_pieces) return 0;
    const tk_piece *p = &t->pieces[previous];
    return p->size == 3 && memcmp(p->text, TK_SPACE, 3) == 0;
}

TOKENIZER_API const char *tokenizer_decode(const tokenizer *t, int previous, int id, size_t *size) {
    *size = 0;
    if (id < 0 || id >= t->n_pieces) return "";
    const tk_piece *p = &t->pieces[id];
    int is_text = !tk_is_reserved(t, p) || p->type == TOKENIZER_USER_DEFINED;
    int skip = t->kind == TOKENIZER_SENTENCEPIECE && is_text && p->size >= 3 && memcmp(p->text, TK_SPACE, 3) == 0 &&
               tk_drops_space(t, previous);
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
 * A model that talks was trained on conversations that were written down in one way, and answers best to the same. How
 * is a template; ours say what is written between two texts, and nothing else is ever written: a form, see
 * tokenizer.h. Those that have a name, as published with their models:
 *
 *     llama2   <s>[INST] <<SYS>>\nSYSTEM\n<</SYS>>\n\nUSER [/INST] ANSWER </s><s>[INST] USER [/INST]
 *     llama3   <|begin_of_text|>, then of each message <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>,
 *              then <|start_header_id|>assistant<|end_header_id|>\n\n
 *     chatml   of each message <|im_start|>ROLE\nTEXT<|im_end|>\n, then <|im_start|>assistant\n
 *     zephyr   of each message <|ROLE|>\nTEXT</s>\n, then <|assistant|>\n
 *     mistral  <s>[INST] SYSTEM\n\nUSER [/INST] ANSWER</s>[INST] USER [/INST]
 *
 * llama2 and llama3 trim the texts; mistral trims answers on the left, where the model's own begin with the
 * space. Later Mistral vocabularies have [INST] as a special token, and then no space stands before [/INST].
 *
 * Markers become special tokens where the vocabulary has them and are text otherwise. Messages are always text:
 * what lies between two special tokens is encoded as one, without looking for special tokens in it.
 */

/* Turns of their own in any order: what begins it all, opens a turn of each role, and ends one. */
#define TK_TURNS(BEGIN, SYSTEM, USER, ANSWER, END)                                                                     \
    {                                                                                                                  \
        {BEGIN ANSWER, BEGIN SYSTEM, BEGIN USER, BEGIN ANSWER}, {END ANSWER, END SYSTEM, END USER, END ANSWER},        \
            {END ANSWER, END SYSTEM, END USER, END ANSWER}, {                                                          \
            END, END SYSTEM, END USER, END ANSWER                                                                      \
        }                                                                                                              \
    }

static const struct {
    const char *name;
    tokenizer_form form;
} tk_templates[] = {
    {"llama2",
     {{{NULL, "\1[INST]\4<<SYS>>\n", "\1[INST]\4", NULL},
       {NULL, NULL, "\n<</SYS>>\n\n", NULL},
       {"\5[/INST]", NULL, NULL, "\5[/INST]\4"},
       {" \2", NULL, " \2\1[INST]\4", NULL}},
      {0, 0, TOKENIZER_TRIM, TOKENIZER_TRIM},
      TOKENIZER_FORM_JOINED}},
    {"llama3",
     {TK_TURNS("\1", "<|start_header_id|>system<|end_header_id|>\n\n", "<|start_header_id|>user<|end_header_id|>\n\n",
               "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
      {0, TOKENIZER_TRIM, TOKENIZER_TRIM, TOKENIZER_TRIM},
      0}},
    {"chatml",
     {TK_TURNS("\3", "<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n"),
      {0, 0, 0, 0},
      0}},
    {"zephyr", {TK_TURNS("\3", "<|system|>\n", "<|user|>\n", "<|assistant|>\n", "\2\n"), {0, 0, 0, 0}, 0}},
    {"mistral",
     {{{NULL, "\1[INST]\4", "\1[INST]\4", NULL},
       {NULL, NULL, "\n\n", NULL},
       {"\5[/INST]", NULL, NULL, "\5[/INST]\4"},
       {"\2", NULL, "\2[INST]\4", NULL}},
      {0, 0, 0, TOKENIZER_TRIM_LEFT},
      0}},
};

/* A conversation is said twice: first to count its bytes, and then, when there is memory for them, to encode them. */
typedef struct {
    tk_encoder e;
    const tokenizer_form *form;
    tk_out text;       /* with p NULL, in the first pass, only counted */
    size_t start;      /* text before is encoded */
    int after_special; /* nothing was written since a special token */
    int strip_left;    /* white space after that token is no text */
    int spaced;        /* a space that would come next was written already */
    int failed;
} tk_chat;

/* Encodes what was said since the last special token, as one text, without what the tokens around it take away. */
static void tk_flush(tk_chat *c, int strip_right) {
    if (c->text.n > c->start && !c->failed) {
        tk_bytes text = {c->text.p + c->start, c->text.n - c->start};
        c->failed = !tk_encode(&c->e, tk_trim(text, c->strip_left, strip_right, 0), 0);
    }
    c->start = c->text.n;
}

static void tk_say(tk_chat *c, const char *p, size_t n) {
    if (n == 0) return;
    tk_write(&c->text, p, n);
    c->after_special = 0;
}

static void tk_say_special(tk_chat *c, int id) {
    c->after_special = 1;
    if (!c->text.p) return;
    int flags = c->e.t->pieces[id].flags;
    tk_flush(c, flags & TOKENIZER_LSTRIP);
    c->strip_left = flags & TOKENIZER_RSTRIP;
    tk_emit_special(&c->e, id);
}

/* The special token whose name, the longest, a text begins with, or -1. */
static int32_t tk_match_special(const tokenizer *t, const char *p, size_t n) {
    int32_t a = tk_match(t, &t->lists[TK_SPECIAL], p, n), b = tk_match(t, &t->lists[TK_SPECIAL + 1], p, n);
    return a < 0 || (b >= 0 && t->pieces[b].size > t->pieces[a].size) ? b : a;
}

/* What stands between two texts, with the signs that tokenizer.h explains. */
static void tk_say_between(tk_chat *c, const char *p) {
    const tokenizer *t = c->e.t;
    int each = t->kind == TOKENIZER_SENTENCEPIECE && t->prefix == TOKENIZER_PREFIX_EACH;
    if (c->spaced && *p == ' ') p++;
    c->spaced = 0;
    for (size_t left = strlen(p), size; left; p += size, left -= size) {
        int32_t id = tk_match_special(t, p, left);
        size = id < 0 ? 1 : (size_t)t->pieces[id].size;
        if (id >= 0) tk_say_special(c, (int)id);
        else if (*p == 1 || *p == 3) {
            if (t->bos >= 0 && (*p == 1 || t->add_bos)) tk_say_special(c, t->bos);
        } else if (*p == 2) {
            if (t->n_ends) tk_say_special(c, t->ends[0]);
            else tk_say(c, "</s>", 4);
        } else if (*p == 4) {
            if (!(c->after_special && each)) tk_say(c, " ", 1);
        } else if (*p == 5) {
            if (tk_match_special(t, p + 1, left - 1) < 0) tk_say(c, " ", 1);
        } else tk_say(c, p, 1);
    }
}

/* Without what a sum of TOKENIZER_TRIM.. says. */
static tk_bytes tk_trim_as(tk_bytes s, int trim) {
    int left = trim & TOKENIZER_TRIM_LEFT, right = trim & TOKENIZER_TRIM_RIGHT;
    if (!(trim & TOKENIZER_TRIM_LINES)) return tk_trim(s, left, right, 1);
    while (left && s.size && *s.p == '\n') s.p++, s.size--;
    while (right && s.size && s.p[s.size - 1] == '\n') s.size--;
    return s;
}

/* What is written of an answer to which more is said: perhaps not what was thought before it. */
static tk_bytes tk_spoken(const tokenizer_form *f, tk_bytes text) {
    static const char mark[] = "</think>";
    size_t n = sizeof mark - 1, begin = 0;
    for (size_t at = 0; at + n <= text.size; at++) {
        if (memcmp(text.p + at, mark, n) != 0) continue;
        begin = at + n;
        if (f->flags & TOKENIZER_FORM_FIRST_THOUGHT) break;
    }
    return begin ? tk_trim_as((tk_bytes){text.p + begin, text.size - begin}, f->trim[0]) : text;
}

/* An answer's text, in which a model that thinks wrote the names of these two as tokens. */
static void tk_say_answer(tk_chat *c, tk_bytes text) {
    const tokenizer *t = c->e.t;
    for (size_t n; text.size; text.p += n, text.size -= n) {
        int32_t id = *text.p == '<' ? tk_match_special(t, text.p, text.size) : -1;
        const tk_piece *p = id < 0 ? NULL : &t->pieces[id];
        n = p ? (size_t)p->size : 1;
        if (p && (tk_equal((tk_bytes){p->text, n}, "<think>") || tk_equal((tk_bytes){p->text, n}, "</think>")))
            tk_say_special(c, (int)id);
        else tk_say(c, text.p, n);
    }
}

/* thinks: of an answer, whether all is written. */
static void tk_say_message(tk_chat *c, const tokenizer_message *m, int from, int thinks) {
    const tokenizer_form *f = c->form;
    int joins = from == TOKENIZER_SYSTEM && m->role == TOKENIZER_USER && (f->flags & TOKENIZER_FORM_JOINED);
    int trim = f->trim[m->role];
    tk_bytes text = {m->text, m->size};
    text = tk_trim_as(text, joins ? trim & ~TOKENIZER_TRIM_LEFT : trim);
    if (m->role == TOKENIZER_ASSISTANT && !thinks) text = tk_spoken(f, text);
    tk_say_between(c, f->between[from][m->role]);
    if (m->role == TOKENIZER_ASSISTANT) tk_say_answer(c, text);
    else tk_say(c, text.p, text.size);
    if (joins && (trim & TOKENIZER_TRIM_RIGHT) && c->text.p) {
        text = (tk_bytes){c->text.p + c->start, c->text.n - c->start};
        c->text.n = c->start + tk_trim_as(text, trim & ~TOKENIZER_TRIM_LEFT).size;
    }
}

/* Whether a conversation only grows: what stands before an answer is what opened it, but for a space, which models
 * write themselves, and later messages change nothing. */
static int tk_form_grows(const tokenizer_form *f) {
    const char *opens = f->between[TOKENIZER_USER][0], *before = f->between[TOKENIZER_USER][TOKENIZER_ASSISTANT];
    size_t n = opens ? strlen(opens) : 0;
    if (f->flags & (TOKENIZER_FORM_SYSTEM_LAST | TOKENIZER_FORM_SPOKEN)) return 0;
    return opens && before && strncmp(opens, before, n) == 0 && strspn(before + n, " \4") == strlen(before + n);
}

/* The order in which a form has n messages: that of number k. */
static int tk_place(const tokenizer_form *f, const tokenizer_message *messages, int n, int k) {
    int last = n - 1;
    if (!(f->flags & TOKENIZER_FORM_SYSTEM_LAST) || n == 0 || messages[0].role != TOKENIZER_SYSTEM) return k;
    while (last > 0 && messages[last].role != TOKENIZER_USER) last--;
    return k + 1 < last ? k + 1 : k + 1 == last ? 0 : k;
}

/* Whether a form says nothing of a message. */
static int tk_is_left_out(const tokenizer_form *f, const tokenizer_message *m) {
    int trim = f->trim[TOKENIZER_SYSTEM];
    return (f->flags & TOKENIZER_FORM_NO_EMPTY_SYSTEM) && m->role == TOKENIZER_SYSTEM &&
           tk_trim_as((tk_bytes){m->text, m->size}, trim).size == 0;
}

static void tk_say_chat(tk_chat *c, const tokenizer_message *messages, int n, int first) {
    int from = first > 0 ? TOKENIZER_ASSISTANT : 0, thinks = c->form->flags & TOKENIZER_FORM_SPOKEN ? n - 1 : 0;
    while ((c->form->flags & TOKENIZER_FORM_KEEPS_THOUGHT) && thinks > 0 &&
           messages[thinks].role != TOKENIZER_ASSISTANT)
        thinks--;
    c->e.part = first > 0 ? TK_LAST : TK_WHOLE;
    c->after_special = 0;
    if (first > 0 && messages[first - 1].size && (c->form->trim[from] & TOKENIZER_TRIM_RIGHT))
        c->spaced =
            messages[first - 1].text[messages[first - 1].size - 1] == ' '; /* the model often writes it itself */
    for (int k = first; k < n; k++) {
        const tokenizer_message *m = &messages[tk_place(c->form, messages, n, k)];
        if (tk_is_left_out(c->form, m)) continue;
        tk_say_message(c, m, from, k >= thinks);
        from = m->role;
    }
    tk_say_between(c, c->form->between[from][0]);
    if (c->text.p) tk_flush(c, 0);
}

static const char *const tk_roles[] = {NULL, "system", "user", "assistant"};

/* Whether a form says what stands between all of the messages, and what after the last. */
static int tk_check_order(const tk_chat *c, const char *name, const tokenizer_message *messages, int n) {
    const tokenizer_form *f = c->form;
    int from = 0;
    for (int k = 0; k < n; k++) {
        int i = tk_place(f, messages, n, k), role = messages[i].role;
        if (tk_is_left_out(f, &messages[i])) continue;
        if (!f->between[from][role])
            return tk_fail(c->e.err, TOKENIZER_BAD_OPTION, "message %d is the %s's; %s needs the %s's there", i,
                           tk_roles[role], name,
                           tk_roles[from == TOKENIZER_USER ? TOKENIZER_ASSISTANT : TOKENIZER_USER]);
        from = role;
    }
    if (f->between[from][0]) return 1;
    return tk_fail(c->e.err, TOKENIZER_BAD_OPTION, "%s needs a message of the user's", name);
}

static int tk_check_chat(const tk_chat *c, const char *name, const tokenizer_message *messages, int n, int first) {
    if (first < 0 || first > n) return tk_fail(c->e.err, TOKENIZER_BAD_OPTION, "first message %d of %d", first, n);
    for (int i = 0; i < n; i++)
        if (messages[i].role < TOKENIZER_SYSTEM || messages[i].role > TOKENIZER_ASSISTANT)
            return tk_fail(c->e.err, TOKENIZER_BAD_OPTION, "message %d has role %d", i, messages[i].role);
    if (first > 0 && messages[first - 1].role != TOKENIZER_ASSISTANT)
        return tk_fail(c->e.err, TOKENIZER_BAD_OPTION, "message %d, before the first to render, is not the assistant's",
                       first - 1);
    if (first > 0 && !tk_form_grows(c->form))
        return tk_fail(c->e.err, TOKENIZER_BAD_OPTION, "%s changes what was said before: no first message but 0", name);
    return tk_check_order(c, name, messages, n);
}

/* ==== 9. Public functions =======================================================================
 *
 * tokenizer_decode is room 7; those that load and save a tokenizer are in room 12, behind what they need.
 */

TOKENIZER_API void tokenizer_free(tokenizer *t) {
    if (!t) return;
    tokenizer_allocator m = t->memory;
    for (int i = 0; i < TK_N_LISTS; i++) tk_release(&m, t->lists[i].ids);
    void *parts[] = {t->pieces, t->bytes.p, t->slots, t->buckets, t->merges, t->first_merge, t->map, t->form_text, t};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tk_release(&m, parts[i]);
}

TOKENIZER_API int tokenizer_vocab_size(const tokenizer *t) { return (int)t->n_pieces; }

TOKENIZER_API int tokenizer_get_piece(const tokenizer *t, int id, tokenizer_piece *piece) {
    if (id < 0 || id >= t->n_pieces) return 0;
    const tk_piece *p = &t->pieces[id];
    piece->text = p->text, piece->size = (size_t)p->size, piece->score = p->score;
    piece->type = p->type, piece->flags = p->flags;
    return 1;
}

TOKENIZER_API void tokenizer_get_parts(const tokenizer *t, tokenizer_parts *parts) {
    memset(parts, 0, sizeof *parts);
    parts->kind = t->kind;
    parts->n_pieces = (int)t->n_pieces, parts->n_merges = (int)t->n_merges;
    parts->bos = t->bos, parts->add_bos = t->add_bos;
    parts->ends = t->ends, parts->n_ends = t->n_ends;
    parts->chat_template = t->chat_template;
    if (t->chat_template == TOKENIZER_OWN) parts->form = &t->form;
    parts->add_dummy_prefix = t->prefix, parts->remove_extra_whitespaces = t->remove_extra_spaces;
    parts->ignore_merges = t->ignore_merges, parts->split = t->split, parts->nfc = t->nfc;
    if (t->kind == TOKENIZER_SENTENCEPIECE) parts->base = t;
}

TOKENIZER_API int tokenizer_get_merges(const tokenizer *t, int (*merges)[2]) {
    if (!t->ranked) return -1;
    for (int32_t i = 0; i < t->n_merges && merges; i++) {
        const tk_merge *m = &t->merges[i];
        merges[m->rank][0] = (int)m->left, merges[m->rank][1] = (int)m->right;
    }
    return (int)t->n_merges;
}

TOKENIZER_API void tokenizer_get_rules(const tokenizer *t, tokenizer_rules *rules) {
    memset(rules, 0, sizeof *rules);
    if (t->kind != TOKENIZER_SENTENCEPIECE) return;
    if (t->map_size) rules->charsmap = t->map, rules->charsmap_size = t->map_size;
    if (t->unk >= 0) {
        const tk_piece *p = &t->pieces[t->unk];
        rules->unknown = p->surface, rules->unknown_size = (size_t)p->surface_size;
    }
    rules->escape_spaces = t->escape_spaces, rules->space_is_suffix = t->space_is_suffix;
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

TOKENIZER_API int tokenizer_template_find(const char *name) {
    for (int i = 1; i < TOKENIZER_OWN && name; i++)
        if (strcmp(name, tk_templates[i - 1].name) == 0) return i;
    return 0;
}

TOKENIZER_API const char *tokenizer_template_name(int chat_template) {
    return chat_template > 0 && chat_template < TOKENIZER_OWN ? tk_templates[chat_template - 1].name : NULL;
}

TOKENIZER_API int tokenizer_template(const tokenizer *t) { return t->chat_template; }

TOKENIZER_API const tokenizer_form *tokenizer_get_form(const tokenizer *t, int chat_template) {
    if (!chat_template) chat_template = t->chat_template;
    if (chat_template == TOKENIZER_OWN && t->chat_template == TOKENIZER_OWN) return &t->form;
    return tokenizer_template_name(chat_template) ? &tk_templates[chat_template - 1].form : NULL;
}

TOKENIZER_API int tokenizer_chat_grows(const tokenizer *t, int chat_template) {
    const tokenizer_form *form = tokenizer_get_form(t, chat_template);
    return form && tk_form_grows(form);
}

TOKENIZER_API ptrdiff_t tokenizer_encode_chat(const tokenizer *t, int chat_template, const tokenizer_message *messages,
                                              int n, int first, int *ids, size_t capacity, tokenizer_error *err) {
    tk_chat c;
    memset(&c, 0, sizeof c);
    c.e = tk_begin(t, ids, capacity, err);
    c.form = tokenizer_get_form(t, chat_template);
    if (!c.form)
        return tk_fail(err, TOKENIZER_BAD_OPTION, "chat template %d: there is none of that number", chat_template), -1;
    const char *name = tokenizer_template_name(chat_template ? chat_template : t->chat_template);
    if (!tk_check_chat(&c, name ? name : "the model's template", messages, n, first)) return -1;
    tk_say_chat(&c, messages, n, first);
    c.text.p = (char *)tk_alloc(&t->memory, c.text.n, 1, err);
    if (!c.text.p) return -1;
    c.text.n = 0;
    tk_say_chat(&c, messages, n, first);
    tk_release(&t->memory, c.text.p);
    return tk_finish(&c.e, !c.failed);
}

/* The first special token behind an answer. */
TOKENIZER_API int tokenizer_end_of_turn(const tokenizer *t, int chat_template) {
    const tokenizer_form *form = tokenizer_get_form(t, chat_template);
    const char *p = form ? form->between[TOKENIZER_ASSISTANT][TOKENIZER_USER] : NULL;
    for (; p && *p && *p != 2; p++) {
        int32_t id = tk_match_special(t, p, strlen(p));
        if (id >= 0) return (int)id;
    }
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
    tokenizer_form form;                                    /* its texts too */
} tk_loader;

/* How much of a text a message shows. */
static int tk_shown(size_t n) { return n < 40 ? (int)n : 40; }

/* plain: the file has spaces as spaces. */
static int tk_add_piece(tk_loader *l, tk_bytes text, int plain, uint32_t score_bits, int type, int flags) {
    tokenizer *t = l->t;
    int id = (int)t->n_pieces++;
    if (type < TOKENIZER_NORMAL || type > TOKENIZER_BYTE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d has type %d", id, type);
    int may = type == TOKENIZER_CONTROL || type == TOKENIZER_UNKNOWN || type == TOKENIZER_USER_DEFINED;
    if (flags && (flags < 0 || flags > TK_ALL_FLAGS || !may))
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d of type %d has flags %d", id, type, flags);
    if (text.size == 0 && type != TOKENIZER_UNUSED) return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d is empty", id);
    if ((score_bits & 0x7F800000u) == 0x7F800000u)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d: the score is not a number", id);
    tk_out *out = &t->bytes;
    if (text.size > TK_MAX_PIECE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d has %zu bytes: too many", id, text.size);
    if (out->n > TK_MAX_FILE * 4 || (size_t)id >= TK_MAX_FILE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d: too many", id);

    /* what is looked for in text whose spaces have been replaced has none either */
    plain = plain || ((flags & TOKENIZER_NORMALIZED) && t->escape_spaces && t->prefix <= TOKENIZER_PREFIX_EACH);
    tk_piece p = {NULL, NULL, 0, 0, 0, type, flags, 0};
    memcpy(&p.score, &score_bits, sizeof p.score);
    size_t start = out->n;
    if (t->kind == TOKENIZER_BYTE_LEVEL) {
        p.text = p.surface = out->p ? out->p + out->n : NULL;
        if ((flags & TOKENIZER_NORMALIZED) && t->nfc) tk_nfc(text.p, text.size, out);
        else tk_write(out, text.p, text.size);
        p.size = p.surface_size = (int32_t)(out->n - start);
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

/* Whether a piece marks turns, or where texts begin and end. It is then a special token whatever it is called, or a
 * user could end a turn by typing it. (A single byte is not for one use alone.) */
static int tk_is_mark(const tk_loader *l, int id, tk_bytes text) {
    static const char *const names[] = {"<|start_header_id|>",
                                        "<|end_header_id|>",
                                        "<|eot_id|>",
                                        "<|eom_id|>",
                                        "<|im_start|>",
                                        "<|im_end|>",
                                        "<|system|>",
                                        "<|user|>",
                                        "<|assistant|>",
                                        "<|end|>",
                                        "<|endoftext|>",
                                        "<|end_of_text|>",
                                        "<|begin_of_text|>",
                                        "<start_of_turn>",
                                        "<end_of_turn>",
                                        "<|start_of_role|>",
                                        "<|end_of_role|>",
                                        "[INST]",
                                        "[/INST]",
                                        "<<SYS>>",
                                        "<</SYS>>"};
    const tokenizer_parts *parts = l->parts;
    if (text.size < 2) return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && (*text.p == '<' || *text.p == '['); i++)
        if (tk_equal(text, names[i])) return 1;
    for (int i = 0; parts && i < parts->n_ends; i++)
        if (parts->ends[i] == id) return 1;
    return parts && parts->bos == id;
}

/* A piece of a file that says of types what it likes. */
static int tk_add_typed(tk_loader *l, tk_bytes text, int plain, uint32_t score_bits, int type, int flags) {
    if ((type == TOKENIZER_NORMAL || type == TOKENIZER_USER_DEFINED || type == TOKENIZER_CONTROL) &&
        tk_is_mark(l, (int)l->t->n_pieces, text)) {
        type = TOKENIZER_CONTROL;
        flags &= ~TOKENIZER_SHOWN;
    }
    return tk_add_piece(l, text, plain, score_bits, type, flags);
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

/* The list in which a piece is looked for, or -1. */
static int tk_list_of(const tokenizer *t, const tk_piece *p) {
    int normalized = (p->flags & TOKENIZER_NORMALIZED) != 0;
    int is_special = p->type == TOKENIZER_CONTROL || p->type == TOKENIZER_UNKNOWN;
    if (is_special && p->size <= TK_MAX_MATCH) return TK_SPECIAL + normalized;
    if (p->type != TOKENIZER_USER_DEFINED) return -1;
    int cuts = t->kind == TOKENIZER_BYTE_LEVEL || p->flags;
    return cuts ? TK_ADDED + normalized : TK_SYMBOLS;
}

/* A piece that text can become. */
static void tk_assign_text(tokenizer *t, const tk_piece *p) {
    if (p->size > t->longest) t->longest = p->size;
    if (p->type == TOKENIZER_UNUSED) t->has_unused = 1;
    if (t->kind == TOKENIZER_SENTENCEPIECE) tk_mark_adjacent(t, p);
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
            if (!(p->flags & TOKENIZER_SHOWN)) p->surface_size = 0;
        } else if (p->type == TOKENIZER_BYTE) {
            if (!tk_assign_byte(l, id)) return 0;
            n_bytes++;
        }
        if (p->type == TOKENIZER_USER_DEFINED && p->size > TK_MAX_MATCH)
            return tk_fail(l->err, TOKENIZER_BAD_FILE,
                           "piece %d is of type USER_DEFINED and %d bytes long, more than %d", id, (int)p->size,
                           TK_MAX_MATCH);
        if (!tk_is_reserved(t, p) && p->size > 0) tk_assign_text(t, p);
        if (tk_list_of(t, p) >= 0) t->lists[tk_list_of(t, p)].n++;
    }
    if (t->kind == TOKENIZER_BYTE_LEVEL) return 1;
    if (t->unk < 0 && !t->byte_fallback) return tk_fail(l->err, TOKENIZER_BAD_FILE, "no piece is of type UNKNOWN");
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

/* Two pieces of the same text would be one to look up. In order of hash they are neighbours. An added one is found
 * otherwise, and becomes the twin of the other: *twins counts those. */
static int tk_check_distinct(tk_loader *l, size_t n_slots, int *twins) {
    const tokenizer *t = l->t;
    for (size_t i = 1; i < n_slots; i++) {
        if (tk_compare_slots(t, t->slots[i - 1], t->slots[i], 1)) continue;
        int32_t a = t->slots[i - 1].id, b = t->slots[i].id;
        int a_list = tk_list_of(t, &t->pieces[a]), b_list = tk_list_of(t, &t->pieces[b]);
        if (a_list == b_list || (a_list < TK_ADDED && b_list < TK_ADDED))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %d, \"%.*s\", is also piece %d", (int)(a > b ? a : b),
                           tk_shown((size_t)t->pieces[a].size), t->pieces[a].text, (int)(a < b ? a : b));
        int is_a = a_list >= TK_ADDED && (b_list < TK_ADDED || a > b);
        t->pieces[is_a ? a : b].is_twin = 1;
        ++*twins;
    }
    return 1;
}

/* Puts the pieces in order of hash: first into their buckets, then each bucket in order. (A counting sort whose
 * counts stand two places on: summed up, buckets[b + 1] is where b begins, and when b is full, where b + 1 does.) */
static int tk_fill_slots(tk_loader *l, size_t n_buckets, int *twins) {
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
    return tk_check_distinct(l, t->buckets[n_buckets], twins);
}

/* Fills a list, sorted by bytes. The slots serve as scratch. */
static int tk_fill_list(tk_loader *l, int list) {
    tokenizer *t = l->t;
    int32_t *ids = (int32_t *)tk_alloc(&t->memory, (size_t)t->lists[list].n, sizeof *ids, l->err);
    size_t n = 0;
    t->lists[list].ids = ids;
    if (!ids) return 0;
    for (int32_t id = 0; id < t->n_pieces; id++)
        if (tk_list_of(t, &t->pieces[id]) == list) t->slots[n++] = (tk_slot){0, id};
    tk_sort(t, t->slots, n, 0);
    for (size_t i = 0; i < n; i++) ids[i] = t->slots[i].id;
    return 1;
}

/* Sorts the pieces by hash, and those that are looked for in text by their bytes. */
static int tk_index(tk_loader *l) {
    tokenizer *t = l->t;
    size_t n = (size_t)t->n_pieces, n_buckets;
    for (t->bucket_bits = 4; n >> t->bucket_bits; t->bucket_bits++) continue;
    n_buckets = (size_t)1 << t->bucket_bits;
    t->buckets = (uint32_t *)tk_alloc(&t->memory, n_buckets + 2, sizeof *t->buckets, l->err);
    t->slots = t->buckets ? (tk_slot *)tk_alloc(&t->memory, n, sizeof *t->slots, l->err) : NULL;
    if (!t->slots) return 0;
    for (int list = 0; list < TK_N_LISTS; list++)
        if (!tk_fill_list(l, list)) return 0;
    int twins = 0, once = 0;
    return tk_fill_slots(l, n_buckets, &twins) && (!twins || tk_fill_slots(l, n_buckets, &once));
}

/* What normalisation replaces: uint32 size, a trie of that many bytes, then strings that end in zero. One byte may
 * become a whole replacement by it. */
static int tk_load_map(tk_loader *l) {
    tokenizer *t = l->t;
    tk_bytes map = l->charsmap;
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

/* The bound of what encoding makes of a byte: three bytes by NFC; three ids if the vocabulary does not have what stands
 * for a space; and an id and a space in front of what comes then, if a single byte cuts the text. */
static void tk_set_growth(tokenizer *t) {
    size_t space = tk_find(t, TK_SPACE, 3, 0) >= 0 || !t->escape_spaces ? 1 : 3;
    t->growth = t->kind == TOKENIZER_SENTENCEPIECE ? space : t->nfc ? 3 : 1;
    for (int list = TK_ADDED; list < TK_N_LISTS && t->prefix; list++)
        for (int32_t i = 0; i < t->lists[list].n; i++)
            if ((size_t)t->pieces[t->lists[list].ids[i]].size * t->growth < 1 + space) {
                t->growth += space;
                return;
            }
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

/* The id of the control token of that name, or -1. */
static int tk_control(const tokenizer *t, tk_bytes name) {
    int32_t id = tk_find(t, name.p, name.size, 1);
    return id >= 0 && t->pieces[id].type == TOKENIZER_CONTROL ? (int)id : -1;
}

/* Finds out what each merge makes: most often the same as the one before or the next piece. Those of special tokens are
 * left out: none comes from a text. */
static int tk_resolve_merges(tk_loader *l, char *joined) {
    tokenizer *t = l->t;
    int32_t last = 0, kept = 0;
    for (int32_t i = 0; i < t->n_merges; i++) {
        tk_merge *m = &t->merges[i];
        const tk_piece *a = &t->pieces[m->left], *b = &t->pieces[m->right];
        if (a->type == TOKENIZER_CONTROL || b->type == TOKENIZER_CONTROL) continue;
        if (tk_is_reserved(t, a) || tk_is_reserved(t, b))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "merge %d: pieces %d and %d are not both text", (int)i,
                           (int)m->left, (int)m->right);
        for (int32_t id = last; id < last + 2 && m->id < 0; id++)
            if (tk_is_joined(t, id, a, b)) m->id = id;
        if (m->id < 0) {
            memcpy(joined, a->text, (size_t)a->size);
            memcpy(joined + a->size, b->text, (size_t)b->size);
            m->id = tk_find(t, joined, (size_t)(a->size + b->size), 0);
            if (m->id < 0 && tk_control(t, (tk_bytes){joined, (size_t)(a->size + b->size)}) >= 0) continue;
        }
        if (m->id < 0)
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "merge %d: pieces %d and %d joined are no piece", (int)i,
                           (int)m->left, (int)m->right);
        last = m->id;
        t->merges[kept] = *m;
        t->merges[kept].rank = kept;
        kept++;
    }
    t->n_merges = kept;
    return 1;
}

/* The pieces of single bytes, of which byte-level BPE needs all. */
static int tk_load_bytes(tk_loader *l) {
    tokenizer *t = l->t;
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        t->byte_ids[i] = (int)tk_find(t, &c, 1, 0);
        if (t->byte_ids[i] < 0) return tk_fail(l->err, TOKENIZER_BAD_FILE, "no piece is the byte 0x%02X", (unsigned)i);
    }
    return 1;
}

static int tk_load_merges(tk_loader *l) {
    tokenizer *t = l->t;
    char *joined = (char *)tk_alloc(&t->memory, (size_t)t->longest, 2, l->err);
    int ok = joined && tk_resolve_merges(l, joined);
    tk_release(&t->memory, joined);
    size_t n = (size_t)t->n_merges;
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
        if (!tk_add_typed(l, text, 1, score, type, 0)) return 0;
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
    return tk_add_typed(l, text, 0, (uint32_t)score, (int)type, 0);
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
        {3, 3, "normalizer_spec.add_dummy_prefix", &l->t->prefix, NULL},
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
    if (l->t->prefix) l->t->prefix = TOKENIZER_PREFIX_EACH;
    if (l->bos.size == 0) l->bos = tk_string("<s>");
    if (l->eos.size == 0) l->eos = tk_string("</s>");
    return 1;
}

/* ---- The flat form, which tokenizer_save writes ----
 *
 *     char   magic[8]            "llamatok"
 *     uint32 fields[13]          as in the enum below
 *     uint32 ends[n_ends]        ids, eos first
 *     uint32 pieces[n_pieces][2] flags % 32 << 27 | type << 24 | flags / 32 << 23 | bytes of text, score (a float)
 *     uint32 merges[n_merges][2] ids of left and right
 *     char   map[map_size]       SentencePiece's precompiled_charsmap
 *     char   unknown[unk_size]   how the unknown piece is decoded
 *     char   form[form_size]     of a chat template that is the file's own: uint32 flags, with trim[0..3] in three bits
 *                                each from 8 on; uint32 with bit 4 * from + to of each between[from][to] that
 *                                is there; those, each ended by a zero
 *     char   texts[]             of all pieces, one after the other; SENTENCEPIECE: with U+2581 for a space
 *
 * little-endian, without padding; the file ends with the last text. Version 2 is the same with 12 fields, version 1
 * with 10: a BYTE_LEVEL tokenizer splits as Llama 3, where a prefix is put it is TOKENIZER_PREFIX_EACH, and no piece
 * has flags.
 */

enum {
    TK_VERSION, /* 3 */
    TK_KIND,
    TK_FLAGS, /* see tk_flag */
    TK_TEMPLATE,
    TK_BOS, /* 2^32 - 1: none */
    TK_N_ENDS,
    TK_N_PIECES,
    TK_N_MERGES,
    TK_MAP_SIZE,
    TK_UNK_SIZE,
    TK_SPLIT,
    TK_PREFIX,
    TK_FORM_SIZE,
    TK_N_FIELDS
};

static const char tk_magic[] = {'l', 'l', 'a', 'm', 'a', 't', 'o', 'k'};

/* Bit i of TK_FLAGS is the i-th of these. */
static int *tk_flag(tokenizer *t, int i) {
    int *flags[] = {&t->add_bos,       &t->ignore_merges,   &t->prefix, &t->remove_extra_spaces,
                    &t->escape_spaces, &t->space_is_suffix, &t->nfc,    &t->ranked};
    return i < (int)(sizeof flags / sizeof *flags) ? flags[i] : NULL;
}

static int tk_read_flat_header(tk_loader *l, uint32_t *field, size_t *head) {
    tokenizer *t = l->t;
    size_t n_fields = TK_N_FIELDS;
    memset(field, 0, TK_N_FIELDS * sizeof *field);
    for (size_t i = 0; i < n_fields; i++) {
        if (l->file.size < sizeof tk_magic + 4 * (i + 1))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "cut off: %zu bytes", l->file.size);
        field[i] = tk_u32(l->file.p + sizeof tk_magic + 4 * i);
        if (field[TK_VERSION] < 1 || field[TK_VERSION] > 3)
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "version %lu, not 1 to 3", (unsigned long)field[TK_VERSION]);
        n_fields = field[TK_VERSION] == 1 ? TK_SPLIT : field[TK_VERSION] == 2 ? TK_FORM_SIZE : TK_N_FIELDS;
    }
    *head = sizeof tk_magic + 4 * n_fields;
    uint64_t size = *head + 4 * (uint64_t)field[TK_N_ENDS] + 8 * (uint64_t)field[TK_N_PIECES] +
                    8 * (uint64_t)field[TK_N_MERGES] + field[TK_MAP_SIZE] + field[TK_UNK_SIZE] + field[TK_FORM_SIZE];
    if (size > l->file.size)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "cut off: %zu bytes, but %lu ends, %lu pieces and %lu merges",
                       l->file.size, (unsigned long)field[TK_N_ENDS], (unsigned long)field[TK_N_PIECES],
                       (unsigned long)field[TK_N_MERGES]);
    t->kind = field[TK_KIND] > TOKENIZER_BYTE_LEVEL ? 0 : (int)field[TK_KIND];
    t->chat_template = tk_id(field[TK_TEMPLATE]);
    for (int i = 0; tk_flag(t, i); i++) *tk_flag(t, i) = field[TK_FLAGS] >> i & 1;
    if (field[TK_VERSION] == 1) return 1;
    t->prefix = tk_id(field[TK_PREFIX]);
    t->split = tk_id(field[TK_SPLIT]);
    return 1;
}

/* No bytes: a form that knows no conversation. */
static int tk_read_form(tk_loader *l, tk_bytes in) {
    tokenizer_form *f = &l->form;
    memset(f, 0, sizeof *f);
    if (in.size == 0) return 1;
    if (in.size < 8) return tk_fail(l->err, TOKENIZER_BAD_FILE, "the chat template is cut off: %zu bytes", in.size);
    uint32_t flags = tk_u32(in.p), there = tk_u32(in.p + 4);
    in.p += 8, in.size -= 8;
    f->flags = tk_id(flags & ~(uint32_t)0xFFF00);
    for (int role = 0; role < 4; role++) f->trim[role] = flags >> (8 + 3 * role) & 7;
    for (int i = 0; i < 16; i++) {
        if (!(there >> i & 1)) continue;
        const char *end = in.size ? (const char *)memchr(in.p, 0, in.size) : NULL;
        if (!end) return tk_fail(l->err, TOKENIZER_BAD_FILE, "the chat template's text %d is cut off", i);
        f->between[i / 4][i % 4] = in.p;
        in.size -= (size_t)(end + 1 - in.p), in.p = end + 1;
    }
    if (!in.size && there < 1 << 16) return 1;
    return tk_fail(l->err, TOKENIZER_BAD_FILE, "the chat template has %zu bytes too many, texts %lx", in.size,
                   (unsigned long)there);
}

static int tk_read_flat(tk_loader *l) {
    uint32_t field[TK_N_FIELDS];
    size_t begin = 0;
    if (!tk_read_flat_header(l, field, &begin)) return 0;
    const char *ends = l->file.p + begin, *pieces = ends + 4 * field[TK_N_ENDS];
    const char *merges = pieces + 8 * field[TK_N_PIECES], *map = merges + 8 * field[TK_N_MERGES];
    const char *unknown = map + field[TK_MAP_SIZE], *form = unknown + field[TK_UNK_SIZE];
    const char *text = form + field[TK_FORM_SIZE];
    size_t left = l->file.size - (size_t)(text - l->file.p);
    for (uint32_t id = 0; id < field[TK_N_PIECES]; id++) {
        uint32_t head = tk_u32(pieces + 8 * id), size = head & 0xFFFFFF, type = head >> 24, flags = 0;
        if (field[TK_VERSION] > 1) {
            flags = type >> 3 | (size >> 23) << 5;
            type &= 7;
            size &= TK_MAX_PIECE;
        }
        if (size > left) return tk_fail(l->err, TOKENIZER_BAD_FILE, "piece %lu is cut off", (unsigned long)id);
        if (type == TOKENIZER_BYTE) l->t->byte_fallback = 1;
        if (!tk_add_piece(l, (tk_bytes){text, size}, 0, tk_u32(pieces + 8 * id + 4), (int)type, (int)flags)) return 0;
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
    return tk_read_form(l, (tk_bytes){form, field[TK_FORM_SIZE]});
}

static void tk_write_u32(tk_out *out, uint32_t x) {
    char bytes[4] = {(char)(x & 255), (char)(x >> 8 & 255), (char)(x >> 16 & 255), (char)(x >> 24)};
    tk_write(out, bytes, 4);
}

static void tk_write_form(const tokenizer_form *f, tk_out *out) {
    uint32_t flags = (uint32_t)f->flags, there = 0;
    for (int role = 0; role < 4; role++) flags |= (uint32_t)f->trim[role] << (8 + 3 * role);
    for (int i = 0; i < 16; i++) there |= (uint32_t)(f->between[i / 4][i % 4] != NULL) << i;
    tk_write_u32(out, flags);
    tk_write_u32(out, there);
    for (int i = 0; i < 16; i++)
        if (there >> i & 1) tk_write(out, f->between[i / 4][i % 4], strlen(f->between[i / 4][i % 4]) + 1);
}

static void tk_save(const tokenizer *t, tk_out *out) {
    const tk_piece *unknown = t->unk >= 0 ? &t->pieces[t->unk] : NULL;
    size_t unknown_size = unknown && t->kind == TOKENIZER_SENTENCEPIECE ? (size_t)unknown->surface_size : 0;
    tk_out form = {NULL, 0};
    if (t->chat_template == TOKENIZER_OWN) tk_write_form(&t->form, &form);
    uint32_t field[TK_N_FIELDS] = {0};
    field[TK_VERSION] = 3;
    field[TK_KIND] = (uint32_t)t->kind;
    field[TK_TEMPLATE] = (uint32_t)t->chat_template;
    field[TK_BOS] = (uint32_t)t->bos;
    field[TK_N_ENDS] = (uint32_t)t->n_ends;
    field[TK_N_PIECES] = (uint32_t)t->n_pieces;
    field[TK_N_MERGES] = (uint32_t)t->n_merges;
    field[TK_MAP_SIZE] = (uint32_t)t->map_size;
    field[TK_UNK_SIZE] = (uint32_t)unknown_size;
    field[TK_SPLIT] = (uint32_t)t->split;
    field[TK_PREFIX] = (uint32_t)t->prefix;
    field[TK_FORM_SIZE] = (uint32_t)form.n;
    for (int i = 0; tk_flag((tokenizer *)t, i); i++)
        field[TK_FLAGS] |= (uint32_t)(*tk_flag((tokenizer *)t, i) != 0) << i;
    tk_write(out, tk_magic, sizeof tk_magic);
    for (int i = 0; i < TK_N_FIELDS; i++) tk_write_u32(out, field[i]);
    for (int i = 0; i < t->n_ends; i++) tk_write_u32(out, (uint32_t)t->ends[i]);
    for (int32_t id = 0; id < t->n_pieces; id++) {
        const tk_piece *p = &t->pieces[id];
        uint32_t low = (uint32_t)p->flags & 31, high = (uint32_t)p->flags >> 5;
        tk_write_u32(out, low << 27 | (uint32_t)p->type << 24 | high << 23 | (uint32_t)p->size);
        tk_write_u32(out, tk_bits(p->score));
    }
    for (int32_t i = 0; i < t->n_merges; i++) { /* back in order of rank */
        tk_out at = {out->p ? out->p + out->n + 8 * (size_t)t->merges[i].rank : NULL, 0};
        tk_write_u32(&at, (uint32_t)t->merges[i].left);
        tk_write_u32(&at, (uint32_t)t->merges[i].right);
    }
    out->n += 8 * (size_t)t->n_merges;
    if (t->map_size) tk_write(out, t->map, t->map_size);
    if (unknown_size) tk_write(out, unknown->surface, unknown_size);
    if (form.n) tk_write_form(&t->form, out);
    for (int32_t id = 0; id < t->n_pieces; id++) tk_write(out, t->pieces[id].text, (size_t)t->pieces[id].size);
}

/* ---- Parts, from memory ---- */

/* What the parts take over from another tokenizer. */
static int tk_read_base(tk_loader *l, const tokenizer *base) {
    tokenizer *t = l->t;
    if (base->kind != TOKENIZER_SENTENCEPIECE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "the base is no SENTENCEPIECE tokenizer");
    t->kind = base->kind;
    if (!t->prefix) t->prefix = base->prefix;
    t->remove_extra_spaces = base->remove_extra_spaces;
    t->escape_spaces = base->escape_spaces;
    t->space_is_suffix = base->space_is_suffix;
    l->charsmap = (tk_bytes){base->map, base->map_size};
    if (base->unk < 0) return 1;
    l->unk_surface = (tk_bytes){base->pieces[base->unk].surface, (size_t)base->pieces[base->unk].surface_size};
    return 1;
}

static int tk_read_parts(tk_loader *l) {
    const tokenizer_parts *parts = l->parts;
    tokenizer *t = l->t;
    t->kind = parts->kind;
    t->prefix = parts->add_dummy_prefix;
    t->remove_extra_spaces = parts->remove_extra_whitespaces != 0;
    t->ignore_merges = parts->ignore_merges != 0;
    t->split = parts->split;
    t->nfc = parts->nfc != 0;
    t->ranked = parts->merges != NULL;
    t->chat_template = parts->chat_template;
    if (parts->form) l->form = *parts->form;
    t->bos = parts->bos;
    t->add_bos = parts->add_bos != 0;
    if (parts->base && !tk_read_base(l, parts->base)) return 0;
    for (int i = 0; i < parts->n_pieces; i++) {
        const tokenizer_piece *p = &parts->pieces[i];
        if (p->type == TOKENIZER_BYTE) t->byte_fallback = 1;
        if (!tk_add_typed(l, (tk_bytes){p->text, p->size}, 0, tk_bits(p->score), p->type, p->flags)) return 0;
    }
    for (int i = 0; i < parts->n_merges; i++)
        if (!tk_add_merge(l, parts->merges[i][0], parts->merges[i][1])) return 0;
    for (int i = 0; i < parts->n_ends; i++)
        if (!tk_add_end(l, parts->ends[i])) return 0;
    return 1;
}

/* ==== 12. Loading and saving ==================================================================== */

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

/* What readers found, but for pieces and merges. */
static int tk_check_rules(tk_loader *l, int vocab_size) {
    tokenizer *t = l->t;
    if (t->kind != TOKENIZER_SENTENCEPIECE && t->kind != TOKENIZER_BYTE_LEVEL)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "kind %d, not SENTENCEPIECE or BYTE_LEVEL", t->kind);
    if (t->chat_template < 0 || t->chat_template > TK_N_TEMPLATES)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "chat template %d of %d", t->chat_template, TK_N_TEMPLATES);
    if (t->chat_template == TOKENIZER_OWN &&
        !(l->form.between[0][TOKENIZER_USER] && l->form.between[TOKENIZER_USER][0]))
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "the chat template has no place for what a user says");
    if (l->form.flags < 0 || l->form.flags > TK_ALL_FORM_FLAGS)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "the chat template has flags %d", l->form.flags);
    for (int role = 0; role < 4; role++)
        if (l->form.trim[role] < 0 || l->form.trim[role] > (TOKENIZER_TRIM | TOKENIZER_TRIM_LINES))
            return tk_fail(l->err, TOKENIZER_BAD_FILE, "the chat template trims %d", l->form.trim[role]);
    if (t->split < 0 || t->split >= TK_N_SPLITS)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "split %d, not 0 to %d", t->split, TK_N_SPLITS - 1);
    if (t->prefix < 0 || t->prefix > TOKENIZER_PREFIX_NONE)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "prefix %d, not 0 to %d", t->prefix, TOKENIZER_PREFIX_NONE);
    if (t->n_pieces == 0) return tk_fail(l->err, TOKENIZER_BAD_FILE, "no pieces");
    if (vocab_size && vocab_size != t->n_pieces)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "%d pieces, but the model has a vocab_size of %d", (int)t->n_pieces,
                       vocab_size);
    if (t->bos < -1 || t->bos >= t->n_pieces)
        return tk_fail(l->err, TOKENIZER_BAD_FILE, "bos id %d: the vocabulary has %d pieces", t->bos, (int)t->n_pieces);
    if (t->kind == TOKENIZER_BYTE_LEVEL) t->ranked = 1;
    if (t->n_merges && !t->ranked) return tk_fail(l->err, TOKENIZER_BAD_FILE, "%d merges", (int)t->n_merges);
    return 1;
}

/* Keeps the form that was read, with its texts. */
static int tk_load_form(tk_loader *l) {
    tokenizer *t = l->t;
    size_t size = 0;
    if (t->chat_template != TOKENIZER_OWN) return 1;
    t->form = l->form;
    for (int i = 0; i < 16; i++)
        if (l->form.between[i / 4][i % 4]) size += strlen(l->form.between[i / 4][i % 4]) + 1;
    if (size > TK_MAX_FORM) return tk_fail(l->err, TOKENIZER_BAD_FILE, "a chat template of %zu bytes: too many", size);
    t->form_text = (char *)tk_alloc(&t->memory, size, 1, l->err);
    if (!t->form_text) return 0;
    tk_out out = {t->form_text, 0};
    for (int i = 0; i < 16; i++) {
        const char **text = &t->form.between[i / 4][i % 4];
        if (*text) *text = tk_write(&out, *text, strlen(*text) + 1);
    }
    return 1;
}

/* Runs the reader twice, to count and to keep, and makes of what it read something that can encode. */
static int tk_load(tk_loader *l, tk_reader *reader, int vocab_size) {
    tokenizer *t = l->t;
    if (!reader(l) || !tk_check_rules(l, vocab_size)) return 0;
    t->pieces = (tk_piece *)tk_alloc(&t->memory, (size_t)t->n_pieces, sizeof *t->pieces, l->err);
    if (!t->pieces) return 0;
    /* tk_assign writes a surface of one byte for each byte piece, and that of the unknown piece */
    t->bytes.p = (char *)tk_alloc(&t->memory, t->bytes.n + 256 + l->unk_surface.size, 1, l->err);
    if (!t->bytes.p) return 0;
    t->merges = (tk_merge *)tk_alloc(&t->memory, (size_t)t->n_merges, sizeof *t->merges, l->err);
    if (!t->merges) return 0;
    t->n_pieces = t->n_merges = t->n_ends = 0;
    t->bytes.n = 0;
    if (!reader(l) || !tk_check_rules(l, vocab_size) || !tk_assign(l) || !tk_index(l)) return 0;
    tk_set_growth(t);
    if (!(t->kind == TOKENIZER_BYTE_LEVEL ? tk_load_bytes(l) : tk_load_map(l))) return 0;
    return (!t->ranked || tk_load_merges(l)) && tk_load_form(l);
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
    t->add_bos = t->prefix = t->remove_extra_spaces = t->escape_spaces = 1;
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
 * Unicode 17.0, made by tests/unicode_tables.mjs.
 */

// clang-format off
static const unsigned char tk_ascii[] = { /* categories of the first 128 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 11, 11, 11, 11, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11, 9, 9, 9,
    10, 9, 9, 9, 9, 9, 9, 10, 9, 9, 9, 9, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 9, 9, 10, 10, 10, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 9, 10, 9, 10, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 9, 10, 9, 10, 0,
};
static const uint32_t tk_categories[] = { /* code point, category: from 128 on, each to the next */
    0x800, 0x85B, 0x860, 0xA0B, 0xA19, 0xA2A, 0xA79, 0xA8A, 0xAA5, 0xAB9, 0xACA, 0xAD0, 0xAEA, 0xB28, 0xB4A, 0xB52,
    0xB69, 0xB8A, 0xB98, 0xBA5, 0xBB9, 0xBC8, 0xBF9, 0xC01, 0xD7A, 0xD81, 0xDEC, 0xE02, 0xF7A, 0xF82, 0x100C, 0x1382,
    0x139C, 0x1492, 0x14AC, 0x1781, 0x179C, 0x17F2, 0x1811, 0x182C, 0x1861, 0x187C, 0x1891, 0x18BC, 0x18D2, 0x18E1,
    0x191C, 0x1931, 0x194C, 0x1961, 0x198C, 0x19A2, 0x19C1, 0x19DC, 0x19F1, 0x1A0C, 0x1A61, 0x1A7C, 0x1AB2, 0x1ACC,
    0x1AE1, 0x1AFC, 0x1B11, 0x1B3C, 0x1B71, 0x1B8C, 0x1BA2, 0x1BB5, 0x1BCC, 0x1BE2, 0x1C05, 0x1C41, 0x1C53, 0x1C62,
    0x1C71, 0x1C83, 0x1C92, 0x1CA1, 0x1CB3, 0x1CC2, 0x1CDC, 0x1DD2, 0x1DEC, 0x1F02, 0x1F11, 0x1F23, 0x1F32, 0x1F4C,
    0x1F61, 0x1F8C, 0x2342, 0x23A1, 0x23BC, 0x23D1, 0x23EC, 0x2402, 0x241C, 0x2431, 0x246C, 0x2502, 0x2945, 0x2962,
    0x2B04, 0x2C2A, 0x2C64, 0x2D2A, 0x2E04, 0x2E5A, 0x2EC4, 0x2EDA, 0x2EE4, 0x2EFA, 0x3006, 0x370C, 0x3744, 0x375A,
    0x376C, 0x3780, 0x37A4, 0x37B2, 0x37E9, 0x37F1, 0x3800, 0x384A, 0x3861, 0x3879, 0x3881, 0x38B0, 0x38C1, 0x38D0,
    0x38E1, 0x38FC, 0x3911, 0x3A20, 0x3A31, 0x3ABC, 0x3AD2, 0x3CFC, 0x3D12, 0x3D21, 0x3D4C, 0x3D62, 0x3D8C, 0x3F02,
    0x3F4C, 0x3F6A, 0x3F7C, 0x3F91, 0x3FAC, 0x3FC2, 0x3FD1, 0x42FC, 0x4312, 0x460C, 0x482A, 0x4836, 0x48AC, 0x4C01,
    0x4C1C, 0x4CF2, 0x4D0C, 0x5300, 0x5311, 0x5570, 0x5594, 0x55A9, 0x5602, 0x5899, 0x58B0, 0x58DA, 0x5900, 0x5916,
    0x5BE9, 0x5BF6, 0x5C09, 0x5C16, 0x5C39, 0x5C46, 0x5C69, 0x5C76, 0x5C80, 0x5D05, 0x5EB0, 0x5EF5, 0x5F39, 0x5F50,
    0x606A, 0x6099, 0x60BA, 0x60C9, 0x60EA, 0x6106, 0x61B9, 0x61C0, 0x61D9, 0x6205, 0x6404, 0x6415, 0x64B6, 0x6607,
    0x66A9, 0x66E5, 0x6706, 0x6715, 0x6D49, 0x6D55, 0x6D66, 0x6DD0, 0x6DEA, 0x6DF6, 0x6E54, 0x6E76, 0x6E9A, 0x6EA6,
    0x6EE5, 0x6F07, 0x6FA5, 0x6FDA, 0x6FF5, 0x7009, 0x70E0, 0x7105, 0x7116, 0x7125, 0x7306, 0x74B0, 0x74D5, 0x7A66,
    0x7B15, 0x7B20, 0x7C07, 0x7CA5, 0x7EB6, 0x7F44, 0x7F6A, 0x7F79, 0x7FA4, 0x7FB0, 0x7FD6, 0x7FEA, 0x8005, 0x8166,
    0x81A4, 0x81B6, 0x8244, 0x8256, 0x8284, 0x8296, 0x82E0, 0x8309, 0x83F0, 0x8405, 0x8596, 0x85C0, 0x85E9, 0x85F0,
    0x8605, 0x86B0, 0x8705, 0x888A, 0x8895, 0x8900, 0x8976, 0x8A05, 0x8C94, 0x8CA6, 0x8E20, 0x8E36, 0x9045, 0x93A6,
    0x93D5, 0x93E6, 0x9505, 0x9516, 0x9585, 0x9626, 0x9649, 0x9667, 0x9709, 0x9714, 0x9725, 0x9816, 0x9840, 0x9855,
    0x98D0, 0x98F5, 0x9910, 0x9935, 0x9A90, 0x9AA5, 0x9B10, 0x9B25, 0x9B30, 0x9B65, 0x9BA0, 0x9BC6, 0x9BD5, 0x9BE6,
    0x9C50, 0x9C76, 0x9C90, 0x9CB6, 0x9CE5, 0x9CF0, 0x9D76, 0x9D80, 0x9DC5, 0x9DE0, 0x9DF5, 0x9E26, 0x9E40, 0x9E67,
    0x9F05, 0x9F2A, 0x9F48, 0x9FAA, 0x9FC5, 0x9FD9, 0x9FE6, 0x9FF0, 0xA016, 0xA040, 0xA055, 0xA0B0, 0xA0F5, 0xA110,
    0xA135, 0xA290, 0xA2A5, 0xA310, 0xA325, 0xA340, 0xA355, 0xA370, 0xA385, 0xA3A0, 0xA3C6, 0xA3D0, 0xA3E6, 0xA430,
    0xA476, 0xA490, 0xA4B6, 0xA4E0, 0xA516, 0xA520, 0xA595, 0xA5D0, 0xA5E5, 0xA5F0, 0xA667, 0xA706, 0xA725, 0xA756,
    0xA769, 0xA770, 0xA816, 0xA840, 0xA855, 0xA8E0, 0xA8F5, 0xA920, 0xA935, 0xAA90, 0xAAA5, 0xAB10, 0xAB25, 0xAB40,
    0xAB55, 0xABA0, 0xABC6, 0xABD5, 0xABE6, 0xAC60, 0xAC76, 0xACA0, 0xACB6, 0xACE0, 0xAD05, 0xAD10, 0xAE05, 0xAE26,
    0xAE40, 0xAE67, 0xAF09, 0xAF1A, 0xAF20, 0xAF95, 0xAFA6, 0xB000, 0xB016, 0xB040, 0xB055, 0xB0D0, 0xB0F5, 0xB110,
    0xB135, 0xB290, 0xB2A5, 0xB310, 0xB325, 0xB340, 0xB355, 0xB3A0, 0xB3C6, 0xB3D5, 0xB3E6, 0xB450, 0xB476, 0xB490,
    0xB4B6, 0xB4E0, 0xB556, 0xB580, 0xB5C5, 0xB5E0, 0xB5F5, 0xB626, 0xB640, 0xB667, 0xB70A, 0xB715, 0xB728, 0xB780,
    0xB826, 0xB835, 0xB840, 0xB855, 0xB8B0, 0xB8E5, 0xB910, 0xB925, 0xB960, 0xB995, 0xB9B0, 0xB9C5, 0xB9D0, 0xB9E5,
    0xBA00, 0xBA35, 0xBA50, 0xBA85, 0xBAB0, 0xBAE5, 0xBBA0, 0xBBE6, 0xBC30, 0xBC66, 0xBC90, 0xBCA6, 0xBCE0, 0xBD05,
    0xBD10, 0xBD76, 0xBD80, 0xBE67, 0xBF08, 0xBF3A, 0xBFB0, 0xC006, 0xC055, 0xC0D0, 0xC0E5, 0xC110, 0xC125, 0xC290,
    0xC2A5, 0xC3A0, 0xC3C6, 0xC3D5, 0xC3E6, 0xC450, 0xC466, 0xC490, 0xC4A6, 0xC4E0, 0xC556, 0xC570, 0xC585, 0xC5B0,
    0xC5C5, 0xC5E0, 0xC605, 0xC626, 0xC640, 0xC667, 0xC700, 0xC779, 0xC788, 0xC7FA, 0xC805, 0xC816, 0xC849, 0xC855,
    0xC8D0, 0xC8E5, 0xC910, 0xC925, 0xCA90, 0xCAA5, 0xCB40, 0xCB55, 0xCBA0, 0xCBC6, 0xCBD5, 0xCBE6, 0xCC50, 0xCC66,
    0xCC90, 0xCCA6, 0xCCE0, 0xCD56, 0xCD70, 0xCDC5, 0xCDF0, 0xCE05, 0xCE26, 0xCE40, 0xCE67, 0xCF00, 0xCF15, 0xCF36,
    0xCF40, 0xD006, 0xD045, 0xD0D0, 0xD0E5, 0xD110, 0xD125, 0xD3B6, 0xD3D5, 0xD3E6, 0xD450, 0xD466, 0xD490, 0xD4A6,
    0xD4E5, 0xD4FA, 0xD500, 0xD545, 0xD576, 0xD588, 0xD5F5, 0xD626, 0xD640, 0xD667, 0xD708, 0xD79A, 0xD7A5, 0xD800,
    0xD816, 0xD840, 0xD855, 0xD970, 0xD9A5, 0xDB20, 0xDB35, 0xDBC0, 0xDBD5, 0xDBE0, 0xDC05, 0xDC70, 0xDCA6, 0xDCB0,
    0xDCF6, 0xDD50, 0xDD66, 0xDD70, 0xDD86, 0xDE00, 0xDE67, 0xDF00, 0xDF26, 0xDF49, 0xDF50, 0xE015, 0xE316, 0xE325,
    0xE346, 0xE3B0, 0xE3FA, 0xE405, 0xE464, 0xE476, 0xE4F9, 0xE507, 0xE5A9, 0xE5C0, 0xE815, 0xE830, 0xE845, 0xE850,
    0xE865, 0xE8B0, 0xE8C5, 0xEA40, 0xEA55, 0xEA60, 0xEA75, 0xEB16, 0xEB25, 0xEB46, 0xEBD5, 0xEBE0, 0xEC05, 0xEC50,
    0xEC64, 0xEC70, 0xEC86, 0xECF0, 0xED07, 0xEDA0, 0xEDC5, 0xEE00, 0xF005, 0xF01A, 0xF049, 0xF13A, 0xF149, 0xF15A,
    0xF186, 0xF1AA, 0xF207, 0xF2A8, 0xF34A, 0xF356, 0xF36A, 0xF376, 0xF38A, 0xF396, 0xF3A9, 0xF3E6, 0xF405, 0xF480,
    0xF495, 0xF6D0, 0xF716, 0xF859, 0xF866, 0xF885, 0xF8D6, 0xF980, 0xF996, 0xFBD0, 0xFBEA, 0xFC66, 0xFC7A, 0xFCD0,
    0xFCEA, 0xFD09, 0xFD5A, 0xFD99, 0xFDB0, 0x10005, 0x102B6, 0x103F5, 0x10407, 0x104A9, 0x10505, 0x10566, 0x105A5,
    0x105E6, 0x10615, 0x10626, 0x10655, 0x10676, 0x106E5, 0x10716, 0x10755, 0x10826, 0x108E5, 0x108F6, 0x10907, 0x109A6,
    0x109EA, 0x10A01, 0x10C60, 0x10C71, 0x10C80, 0x10CD1, 0x10CE0, 0x10D02, 0x10FB9, 0x10FC4, 0x10FD2, 0x11005, 0x12490,
    0x124A5, 0x124E0, 0x12505, 0x12570, 0x12585, 0x12590, 0x125A5, 0x125E0, 0x12605, 0x12890, 0x128A5, 0x128E0, 0x12905,
    0x12B10, 0x12B25, 0x12B60, 0x12B85, 0x12BF0, 0x12C05, 0x12C10, 0x12C25, 0x12C60, 0x12C85, 0x12D70, 0x12D85, 0x13110,
    0x13125, 0x13160, 0x13185, 0x135B0, 0x135D6, 0x13609, 0x13698, 0x137D0, 0x13805, 0x1390A, 0x139A0, 0x13A01, 0x13F60,
    0x13F82, 0x13FE0, 0x14009, 0x14015, 0x166DA, 0x166E9, 0x166F5, 0x1680B, 0x16815, 0x169B9, 0x169D0, 0x16A05, 0x16EB9,
    0x16EE7, 0x16F15, 0x16F90, 0x17005, 0x17126, 0x17160, 0x171F5, 0x17326, 0x17359, 0x17370, 0x17405, 0x17526, 0x17540,
    0x17605, 0x176D0, 0x176E5, 0x17710, 0x17726, 0x17740, 0x17805, 0x17B46, 0x17D49, 0x17D74, 0x17D89, 0x17DBA, 0x17DC5,
    0x17DD6, 0x17DE0, 0x17E07, 0x17EA0, 0x17F08, 0x17FA0, 0x18009, 0x180B6, 0x180E0, 0x180F6, 0x18107, 0x181A0, 0x18205,
    0x18434, 0x18445, 0x18790, 0x18805, 0x18856, 0x18875, 0x18A96, 0x18AA5, 0x18AB0, 0x18B05, 0x18F60, 0x19005, 0x191F0,
    0x19206, 0x192C0, 0x19306, 0x193C0, 0x1940A, 0x19410, 0x19449, 0x19467, 0x19505, 0x196E0, 0x19705, 0x19750, 0x19805,
    0x19AC0, 0x19B05, 0x19CA0, 0x19D07, 0x19DA8, 0x19DB0, 0x19DEA, 0x1A005, 0x1A176, 0x1A1C0, 0x1A1E9, 0x1A205, 0x1A556,
    0x1A5F0, 0x1A606, 0x1A7D0, 0x1A7F6, 0x1A807, 0x1A8A0, 0x1A907, 0x1A9A0, 0x1AA09, 0x1AA74, 0x1AA89, 0x1AAE0, 0x1AB06,
    0x1ADE0, 0x1AE06, 0x1AEC0, 0x1B006, 0x1B055, 0x1B346, 0x1B455, 0x1B4D0, 0x1B4E9, 0x1B507, 0x1B5A9, 0x1B61A, 0x1B6B6,
    0x1B74A, 0x1B7D9, 0x1B806, 0x1B835, 0x1BA16, 0x1BAE5, 0x1BB07, 0x1BBA5, 0x1BE66, 0x1BF40, 0x1BFC9, 0x1C005, 0x1C246,
    0x1C380, 0x1C3B9, 0x1C407, 0x1C4A0, 0x1C4D5, 0x1C507, 0x1C5A5, 0x1C784, 0x1C7E9, 0x1C802, 0x1C89C, 0x1C8B0, 0x1C901,
    0x1CBB0, 0x1CBD1, 0x1CC09, 0x1CC80, 0x1CD06, 0x1CD39, 0x1CD46, 0x1CE95, 0x1CED6, 0x1CEE5, 0x1CF46, 0x1CF55, 0x1CF76,
    0x1CFA5, 0x1CFB0, 0x1D002, 0x1D2C4, 0x1D6B2, 0x1D784, 0x1D792, 0x1D9B4, 0x1DC06, 0x1E00C, 0x1E962, 0x1E9EC, 0x1F002,
    0x1F081, 0x1F0FC, 0x1F112, 0x1F160, 0x1F181, 0x1F1E0, 0x1F202, 0x1F281, 0x1F2FC, 0x1F312, 0x1F381, 0x1F3FC, 0x1F412,
    0x1F460, 0x1F481, 0x1F4E0, 0x1F502, 0x1F580, 0x1F591, 0x1F5A0, 0x1F5B1, 0x1F5C0, 0x1F5D1, 0x1F5E0, 0x1F5FC, 0x1F612,
    0x1F681, 0x1F6FC, 0x1F712, 0x1F7E0, 0x1F802, 0x1F883, 0x1F902, 0x1F983, 0x1FA02, 0x1FA83, 0x1FB02, 0x1FB50, 0x1FB62,
    0x1FB81, 0x1FBC3, 0x1FBDA, 0x1FBE2, 0x1FBFA, 0x1FC22, 0x1FC50, 0x1FC62, 0x1FC81, 0x1FCC3, 0x1FCDA, 0x1FD02, 0x1FD40,
    0x1FD62, 0x1FD81, 0x1FDC0, 0x1FDDA, 0x1FE02, 0x1FE81, 0x1FEDA, 0x1FF00, 0x1FF22, 0x1FF50, 0x1FF62, 0x1FF81, 0x1FFC3,
    0x1FFDA, 0x1FFF0, 0x2000B, 0x200B0, 0x20109, 0x2028B, 0x202A0, 0x202FB, 0x20309, 0x2044A, 0x20459, 0x2052A, 0x20539,
    0x205FB, 0x20600, 0x20708, 0x20714, 0x20720, 0x20748, 0x207AA, 0x207D9, 0x207F4, 0x20808, 0x208AA, 0x208D9, 0x208F0,
    0x20904, 0x209D0, 0x20A0A, 0x20C20, 0x20D06, 0x20F10, 0x2100A, 0x21021, 0x2103A, 0x21071, 0x2108A, 0x210A2, 0x210B1,
    0x210DC, 0x210F2, 0x21101, 0x2112C, 0x2114A, 0x21151, 0x2116A, 0x21191, 0x211EA, 0x21241, 0x2125A, 0x21261, 0x2127A,
    0x21281, 0x2129A, 0x212A1, 0x212EA, 0x212F2, 0x21301, 0x2133C, 0x21355, 0x21392, 0x213AA, 0x213C2, 0x213E1, 0x2140A,
    0x2145C, 0x21472, 0x214AA, 0x214E2, 0x214FA, 0x21508, 0x21607, 0x2183C, 0x21857, 0x21898, 0x218AA, 0x218C0, 0x2190A,
    0x23089, 0x230CA, 0x23299, 0x232BA, 0x242A0, 0x2440A, 0x244B0, 0x24608, 0x249CA, 0x24EA8, 0x2500A, 0x27689, 0x27768,
    0x2794A, 0x27C59, 0x27C7A, 0x27E69, 0x27F0A, 0x29839, 0x2999A, 0x29D89, 0x29DCA, 0x29FC9, 0x29FEA, 0x2B740, 0x2B76A,
    0x2C001, 0x2C2FC, 0x2C312, 0x2C60C, 0x2C621, 0x2C64C, 0x2C662, 0x2C67C, 0x2C6D1, 0x2C70C, 0x2C742, 0x2C75C, 0x2C772,
    0x2C7C4, 0x2C7E1, 0x2C80C, 0x2CE42, 0x2CE5A, 0x2CEBC, 0x2CEF6, 0x2CF2C, 0x2CF40, 0x2CF99, 0x2CFD8, 0x2CFE9, 0x2D002,
    0x2D260, 0x2D272, 0x2D280, 0x2D2D2, 0x2D2E0, 0x2D305, 0x2D680, 0x2D6F4, 0x2D709, 0x2D710, 0x2D7F6, 0x2D805, 0x2D970,
    0x2DA05, 0x2DA70, 0x2DA85, 0x2DAF0, 0x2DB05, 0x2DB70, 0x2DB85, 0x2DBF0, 0x2DC05, 0x2DC70, 0x2DC85, 0x2DCF0, 0x2DD05,
    0x2DD70, 0x2DD85, 0x2DDF0, 0x2DE06, 0x2E009, 0x2E2F4, 0x2E309, 0x2E50A, 0x2E529, 0x2E5E0, 0x2E80A, 0x2E9A0, 0x2E9BA,
    0x2EF40, 0x2F00A, 0x2FD60, 0x2FF0A, 0x3000B, 0x30019, 0x3004A, 0x30054, 0x30065, 0x30077, 0x30089, 0x3012A, 0x30149,
    0x3020A, 0x30217, 0x302A6, 0x30309, 0x30314, 0x3036A, 0x30387, 0x303B4, 0x303C5, 0x303D9, 0x303EA, 0x30400, 0x30415,
    0x30970, 0x30996, 0x309BA, 0x309D4, 0x309F5, 0x30A09, 0x30A15, 0x30FB9, 0x30FC4, 0x30FF5, 0x31000, 0x31055, 0x31300,
    0x31315, 0x318F0, 0x3190A, 0x31928, 0x3196A, 0x31A05, 0x31C0A, 0x31E60, 0x31EFA, 0x31F05, 0x3200A, 0x321F0, 0x32208,
    0x322AA, 0x32488, 0x3250A, 0x32518, 0x3260A, 0x32808, 0x328AA, 0x32B18, 0x32C0A, 0x34005, 0x4DC0A, 0x4E005, 0xA0154,
    0xA0165, 0xA48D0, 0xA490A, 0xA4C70, 0xA4D05, 0xA4F84, 0xA4FE9, 0xA5005, 0xA60C4, 0xA60D9, 0xA6105, 0xA6207, 0xA62A5,
    0xA62C0, 0xA640C, 0xA66E5, 0xA66F6, 0xA6739, 0xA6746, 0xA67E9, 0xA67F4, 0xA680C, 0xA69C4, 0xA69E6, 0xA6A05, 0xA6E67,
    0xA6F06, 0xA6F29, 0xA6F80, 0xA700A, 0xA7174, 0xA720A, 0xA722C, 0xA7302, 0xA732C, 0xA7704, 0xA7712, 0xA779C, 0xA77D1,
    0xA77EC, 0xA7884, 0xA789A, 0xA78BC, 0xA78F5, 0xA790C, 0xA7942, 0xA796C, 0xA7AA1, 0xA7AEC, 0xA7B01, 0xA7B4C, 0xA7C41,
    0xA7C7C, 0xA7CB1, 0xA7CCC, 0xA7DC1, 0xA7DD0, 0xA7F14, 0xA7F5C, 0xA7F75, 0xA7F84, 0xA7FA2, 0xA7FB5, 0xA8026, 0xA8035,
    0xA8066, 0xA8075, 0xA80B6, 0xA80C5, 0xA8236, 0xA828A, 0xA82C6, 0xA82D0, 0xA8308, 0xA836A, 0xA83A0, 0xA8405, 0xA8749,
    0xA8780, 0xA8806, 0xA8825, 0xA8B46, 0xA8C60, 0xA8CE9, 0xA8D07, 0xA8DA0, 0xA8E06, 0xA8F25, 0xA8F89, 0xA8FB5, 0xA8FC9,
    0xA8FD5, 0xA8FF6, 0xA9007, 0xA90A5, 0xA9266, 0xA92E9, 0xA9305, 0xA9476, 0xA9540, 0xA95F9, 0xA9605, 0xA97D0, 0xA9806,
    0xA9845, 0xA9B36, 0xA9C19, 0xA9CE0, 0xA9CF4, 0xA9D07, 0xA9DA0, 0xA9DE9, 0xA9E05, 0xA9E56, 0xA9E64, 0xA9E75, 0xA9F07,
    0xA9FA5, 0xA9FF0, 0xAA005, 0xAA296, 0xAA370, 0xAA405, 0xAA436, 0xAA445, 0xAA4C6, 0xAA4E0, 0xAA507, 0xAA5A0, 0xAA5C9,
    0xAA605, 0xAA704, 0xAA715, 0xAA77A, 0xAA7A5, 0xAA7B6, 0xAA7E5, 0xAAB06, 0xAAB15, 0xAAB26, 0xAAB55, 0xAAB76, 0xAAB95,
    0xAABE6, 0xAAC05, 0xAAC16, 0xAAC25, 0xAAC30, 0xAADB5, 0xAADD4, 0xAADE9, 0xAAE05, 0xAAEB6, 0xAAF09, 0xAAF25, 0xAAF34,
    0xAAF56, 0xAAF70, 0xAB015, 0xAB070, 0xAB095, 0xAB0F0, 0xAB115, 0xAB170, 0xAB205, 0xAB270, 0xAB285, 0xAB2F0, 0xAB302,
    0xAB5BA, 0xAB5C4, 0xAB602, 0xAB694, 0xAB6AA, 0xAB6C0, 0xAB702, 0xABC05, 0xABE36, 0xABEB9, 0xABEC6, 0xABEE0, 0xABF07,
    0xABFA0, 0xAC005, 0xD7A40, 0xD7B05, 0xD7C70, 0xD7CB5, 0xD7FC0, 0xF9005, 0xFA6E0, 0xFA705, 0xFADA0, 0xFB002, 0xFB070,
    0xFB132, 0xFB180, 0xFB1D5, 0xFB1E6, 0xFB1F5, 0xFB29A, 0xFB2A5, 0xFB370, 0xFB385, 0xFB3D0, 0xFB3E5, 0xFB3F0, 0xFB405,
    0xFB420, 0xFB435, 0xFB450, 0xFB465, 0xFBB2A, 0xFBD35, 0xFD3E9, 0xFD40A, 0xFD505, 0xFD90A, 0xFD925, 0xFDC8A, 0xFDD00,
    0xFDF05, 0xFDFCA, 0xFE006, 0xFE109, 0xFE1A0, 0xFE206, 0xFE309, 0xFE530, 0xFE549, 0xFE62A, 0xFE639, 0xFE64A, 0xFE670,
    0xFE689, 0xFE69A, 0xFE6A9, 0xFE6C0, 0xFE705, 0xFE750, 0xFE765, 0xFEFD0, 0xFF019, 0xFF04A, 0xFF059, 0xFF0BA, 0xFF0C9,
    0xFF107, 0xFF1A9, 0xFF1CA, 0xFF1F9, 0xFF211, 0xFF3B9, 0xFF3EA, 0xFF3F9, 0xFF40A, 0xFF412, 0xFF5B9, 0xFF5CA, 0xFF5D9,
    0xFF5EA, 0xFF5F9, 0xFF665, 0xFF704, 0xFF715, 0xFF9E4, 0xFFA05, 0xFFBF0, 0xFFC25, 0xFFC80, 0xFFCA5, 0xFFD00, 0xFFD25,
    0xFFD80, 0xFFDA5, 0xFFDD0, 0xFFE0A, 0xFFE70, 0xFFE8A, 0xFFEF0, 0xFFFCA, 0xFFFE0, 0x100005, 0x1000C0, 0x1000D5,
    0x100270, 0x100285, 0x1003B0, 0x1003C5, 0x1003E0, 0x1003F5, 0x1004E0, 0x100505, 0x1005E0, 0x100805, 0x100FB0,
    0x101009, 0x101030, 0x101078, 0x101340, 0x10137A, 0x101407, 0x101758, 0x10179A, 0x1018A8, 0x1018CA, 0x1018F0,
    0x10190A, 0x1019D0, 0x101A0A, 0x101A10, 0x101D0A, 0x101FD6, 0x101FE0, 0x102805, 0x1029D0, 0x102A05, 0x102D10,
    0x102E06, 0x102E18, 0x102FC0, 0x103005, 0x103208, 0x103240, 0x1032D5, 0x103417, 0x103425, 0x1034A7, 0x1034B0,
    0x103505, 0x103766, 0x1037B0, 0x103805, 0x1039E0, 0x1039F9, 0x103A05, 0x103C40, 0x103C85, 0x103D09, 0x103D17,
    0x103D60, 0x104001, 0x10427C, 0x104292, 0x104505, 0x1049E0, 0x104A07, 0x104AA0, 0x104B01, 0x104D40, 0x104D82,
    0x104FC0, 0x105005, 0x105280, 0x105305, 0x105640, 0x1056F9, 0x105701, 0x1057B0, 0x1057C1, 0x1058B0, 0x1058C1,
    0x105930, 0x105941, 0x105960, 0x105972, 0x105A20, 0x105A32, 0x105B20, 0x105B32, 0x105BA0, 0x105BB2, 0x105BD0,
    0x105C05, 0x105F40, 0x106005, 0x107370, 0x107405, 0x107560, 0x107605, 0x107680, 0x107804, 0x107860, 0x107874,
    0x107B10, 0x107B24, 0x107BB0, 0x108005, 0x108060, 0x108085, 0x108090, 0x1080A5, 0x108360, 0x108375, 0x108390,
    0x1083C5, 0x1083D0, 0x1083F5, 0x108560, 0x108579, 0x108588, 0x108605, 0x10877A, 0x108798, 0x108805, 0x1089F0,
    0x108A78, 0x108B00, 0x108E05, 0x108F30, 0x108F45, 0x108F60, 0x108FB8, 0x109005, 0x109168, 0x1091C0, 0x1091F9,
    0x109205, 0x1093A0, 0x1093F9, 0x109405, 0x1095A0, 0x109805, 0x109B80, 0x109BC8, 0x109BE5, 0x109C08, 0x109D00,
    0x109D28, 0x10A005, 0x10A016, 0x10A040, 0x10A056, 0x10A070, 0x10A0C6, 0x10A105, 0x10A140, 0x10A155, 0x10A180,
    0x10A195, 0x10A360, 0x10A386, 0x10A3B0, 0x10A3F6, 0x10A408, 0x10A490, 0x10A509, 0x10A590, 0x10A605, 0x10A7D8,
    0x10A7F9, 0x10A805, 0x10A9D8, 0x10AA00, 0x10AC05, 0x10AC8A, 0x10AC95, 0x10AE56, 0x10AE70, 0x10AEB8, 0x10AF09,
    0x10AF70, 0x10B005, 0x10B360, 0x10B399, 0x10B405, 0x10B560, 0x10B588, 0x10B605, 0x10B730, 0x10B788, 0x10B805,
    0x10B920, 0x10B999, 0x10B9D0, 0x10BA98, 0x10BB00, 0x10C005, 0x10C490, 0x10C801, 0x10CB30, 0x10CC02, 0x10CF30,
    0x10CFA8, 0x10D005, 0x10D246, 0x10D280, 0x10D307, 0x10D3A0, 0x10D407, 0x10D4A5, 0x10D4E4, 0x10D4F5, 0x10D501,
    0x10D660, 0x10D696, 0x10D6E9, 0x10D6F4, 0x10D702, 0x10D860, 0x10D8EA, 0x10D900, 0x10E608, 0x10E7F0, 0x10E805,
    0x10EAA0, 0x10EAB6, 0x10EAD9, 0x10EAE0, 0x10EB05, 0x10EB20, 0x10EC25, 0x10EC54, 0x10EC65, 0x10EC80, 0x10ED09,
    0x10ED1A, 0x10ED90, 0x10EFA6, 0x10F005, 0x10F1D8, 0x10F275, 0x10F280, 0x10F305, 0x10F466, 0x10F518, 0x10F559,
    0x10F5A0, 0x10F705, 0x10F826, 0x10F869, 0x10F8A0, 0x10FB05, 0x10FC58, 0x10FCC0, 0x10FE05, 0x10FF70, 0x110006,
    0x110035, 0x110386, 0x110479, 0x1104E0, 0x110528, 0x110667, 0x110706, 0x110715, 0x110736, 0x110755, 0x110760,
    0x1107F6, 0x110835, 0x110B06, 0x110BB9, 0x110BD0, 0x110BE9, 0x110C26, 0x110C30, 0x110D05, 0x110E90, 0x110F07,
    0x110FA0, 0x111006, 0x111035, 0x111276, 0x111350, 0x111367, 0x111409, 0x111445, 0x111456, 0x111475, 0x111480,
    0x111505, 0x111736, 0x111749, 0x111765, 0x111770, 0x111806, 0x111835, 0x111B36, 0x111C15, 0x111C59, 0x111C96,
    0x111CD9, 0x111CE6, 0x111D07, 0x111DA5, 0x111DB9, 0x111DC5, 0x111DD9, 0x111E00, 0x111E18, 0x111F50, 0x112005,
    0x112120, 0x112135, 0x1122C6, 0x112389, 0x1123E6, 0x1123F5, 0x112416, 0x112420, 0x112805, 0x112870, 0x112885,
    0x112890, 0x1128A5, 0x1128E0, 0x1128F5, 0x1129E0, 0x1129F5, 0x112A99, 0x112AA0, 0x112B05, 0x112DF6, 0x112EB0,
    0x112F07, 0x112FA0, 0x113006, 0x113040, 0x113055, 0x1130D0, 0x1130F5, 0x113110, 0x113135, 0x113290, 0x1132A5,
    0x113310, 0x113325, 0x113340, 0x113355, 0x1133A0, 0x1133B6, 0x1133D5, 0x1133E6, 0x113450, 0x113476, 0x113490,
    0x1134B6, 0x1134E0, 0x113505, 0x113510, 0x113576, 0x113580, 0x1135D5, 0x113626, 0x113640, 0x113666, 0x1136D0,
    0x113706, 0x113750, 0x113805, 0x1138A0, 0x1138B5, 0x1138C0, 0x1138E5, 0x1138F0, 0x113905, 0x113B60, 0x113B75,
    0x113B86, 0x113C10, 0x113C26, 0x113C30, 0x113C56, 0x113C60, 0x113C76, 0x113CB0, 0x113CC6, 0x113D15, 0x113D26,
    0x113D35, 0x113D49, 0x113D60, 0x113D79, 0x113D90, 0x113E16, 0x113E30, 0x114005, 0x114356, 0x114475, 0x1144B9,
    0x114507, 0x1145A9, 0x1145C0, 0x1145D9, 0x1145E6, 0x1145F5, 0x114620, 0x114805, 0x114B06, 0x114C45, 0x114C69,
    0x114C75, 0x114C80, 0x114D07, 0x114DA0, 0x115805, 0x115AF6, 0x115B60, 0x115B86, 0x115C19, 0x115D85, 0x115DC6,
    0x115DE0, 0x116005, 0x116306, 0x116419, 0x116445, 0x116450, 0x116507, 0x1165A0, 0x116609, 0x1166D0, 0x116805,
    0x116AB6, 0x116B85, 0x116B99, 0x116BA0, 0x116C07, 0x116CA0, 0x116D07, 0x116E40, 0x117005, 0x1171B0, 0x1171D6,
    0x1172C0, 0x117307, 0x1173A8, 0x1173C9, 0x1173FA, 0x117405, 0x117470, 0x118005, 0x1182C6, 0x1183B9, 0x1183C0,
    0x118A01, 0x118BFC, 0x118C12, 0x118E07, 0x118EA8, 0x118F30, 0x118FF5, 0x119070, 0x119095, 0x1190A0, 0x1190C5,
    0x119140, 0x119155, 0x119170, 0x119185, 0x119306, 0x119360, 0x119376, 0x119390, 0x1193B6, 0x1193F5, 0x119406,
    0x119415, 0x119426, 0x119449, 0x119470, 0x119507, 0x1195A0, 0x119A05, 0x119A80, 0x119AA5, 0x119D16, 0x119D80,
    0x119DA6, 0x119E15, 0x119E29, 0x119E35, 0x119E46, 0x119E50, 0x11A005, 0x11A016, 0x11A0B5, 0x11A336, 0x11A3A5,
    0x11A3B6, 0x11A3F9, 0x11A476, 0x11A480, 0x11A505, 0x11A516, 0x11A5C5, 0x11A8A6, 0x11A9A9, 0x11A9D5, 0x11A9E9,
    0x11AA30, 0x11AB05, 0x11AF90, 0x11B009, 0x11B0A0, 0x11B606, 0x11B680, 0x11BC05, 0x11BE19, 0x11BE20, 0x11BF07,
    0x11BFA0, 0x11C005, 0x11C090, 0x11C0A5, 0x11C2F6, 0x11C370, 0x11C386, 0x11C405, 0x11C419, 0x11C460, 0x11C507,
    0x11C5A8, 0x11C6D0, 0x11C709, 0x11C725, 0x11C900, 0x11C926, 0x11CA80, 0x11CA96, 0x11CB70, 0x11D005, 0x11D070,
    0x11D085, 0x11D0A0, 0x11D0B5, 0x11D316, 0x11D370, 0x11D3A6, 0x11D3B0, 0x11D3C6, 0x11D3E0, 0x11D3F6, 0x11D465,
    0x11D476, 0x11D480, 0x11D507, 0x11D5A0, 0x11D605, 0x11D660, 0x11D675, 0x11D690, 0x11D6A5, 0x11D8A6, 0x11D8F0,
    0x11D906, 0x11D920, 0x11D936, 0x11D985, 0x11D990, 0x11DA07, 0x11DAA0, 0x11DB05, 0x11DD94, 0x11DDA5, 0x11DDC0,
    0x11DE07, 0x11DEA0, 0x11EE05, 0x11EF36, 0x11EF79, 0x11EF90, 0x11F006, 0x11F025, 0x11F036, 0x11F045, 0x11F110,
    0x11F125, 0x11F346, 0x11F3B0, 0x11F3E6, 0x11F439, 0x11F507, 0x11F5A6, 0x11F5B0, 0x11FB05, 0x11FB10, 0x11FC08,
    0x11FD5A, 0x11FF20, 0x11FFF9, 0x120005, 0x1239A0, 0x124007, 0x1246F0, 0x124709, 0x124750, 0x124805, 0x125440,
    0x12F905, 0x12FF19, 0x12FF30, 0x130005, 0x134300, 0x134406, 0x134415, 0x134476, 0x134560, 0x134605, 0x143FB0,
    0x144005, 0x146470, 0x161005, 0x1611E6, 0x161307, 0x1613A0, 0x168005, 0x16A390, 0x16A405, 0x16A5F0, 0x16A607,
    0x16A6A0, 0x16A6E9, 0x16A705, 0x16ABF0, 0x16AC07, 0x16ACA0, 0x16AD05, 0x16AEE0, 0x16AF06, 0x16AF59, 0x16AF60,
    0x16B005, 0x16B306, 0x16B379, 0x16B3CA, 0x16B404, 0x16B449, 0x16B45A, 0x16B460, 0x16B507, 0x16B5A0, 0x16B5B8,
    0x16B620, 0x16B635, 0x16B780, 0x16B7D5, 0x16B900, 0x16D404, 0x16D435, 0x16D6B4, 0x16D6D9, 0x16D707, 0x16D7A0,
    0x16E401, 0x16E5FC, 0x16E612, 0x16E808, 0x16E979, 0x16E9B0, 0x16EA01, 0x16EB90, 0x16EBB2, 0x16ED40, 0x16F005,
    0x16F4B0, 0x16F4F6, 0x16F505, 0x16F516, 0x16F880, 0x16F8F6, 0x16F934, 0x16FA00, 0x16FE04, 0x16FE29, 0x16FE34,
    0x16FE46, 0x16FE50, 0x16FF06, 0x16FF24, 0x16FF47, 0x16FF70, 0x170005, 0x18CD60, 0x18CFF5, 0x18D1F0, 0x18D805,
    0x18DF30, 0x1AFF04, 0x1AFF40, 0x1AFF54, 0x1AFFC0, 0x1AFFD4, 0x1AFFF0, 0x1B0005, 0x1B1230, 0x1B1325, 0x1B1330,
    0x1B1505, 0x1B1530, 0x1B1555, 0x1B1560, 0x1B1645, 0x1B1680, 0x1B1705, 0x1B2FC0, 0x1BC005, 0x1BC6B0, 0x1BC705,
    0x1BC7D0, 0x1BC805, 0x1BC890, 0x1BC905, 0x1BC9A0, 0x1BC9CA, 0x1BC9D6, 0x1BC9F9, 0x1BCA00, 0x1CC00A, 0x1CCF07,
    0x1CCFAA, 0x1CCFD0, 0x1CD00A, 0x1CEB40, 0x1CEBAA, 0x1CED10, 0x1CEE0A, 0x1CEF10, 0x1CF006, 0x1CF2E0, 0x1CF306,
    0x1CF470, 0x1CF50A, 0x1CFC40, 0x1D000A, 0x1D0F60, 0x1D100A, 0x1D1270, 0x1D129A, 0x1D1656, 0x1D16AA, 0x1D16D6,
    0x1D1730, 0x1D17B6, 0x1D183A, 0x1D1856, 0x1D18CA, 0x1D1AA6, 0x1D1AEA, 0x1D1EB0, 0x1D200A, 0x1D2426, 0x1D245A,
    0x1D2460, 0x1D2C08, 0x1D2D40, 0x1D2E08, 0x1D2F40, 0x1D300A, 0x1D3570, 0x1D3608, 0x1D3790, 0x1D4001, 0x1D419C,
    0x1D41B2, 0x1D4341, 0x1D44DC, 0x1D44F2, 0x1D4550, 0x1D4562, 0x1D4681, 0x1D481C, 0x1D4832, 0x1D49C1, 0x1D49D0,
    0x1D49E1, 0x1D4A00, 0x1D4A21, 0x1D4A30, 0x1D4A51, 0x1D4A70, 0x1D4A91, 0x1D4AD0, 0x1D4AE1, 0x1D4B5C, 0x1D4B72,
    0x1D4BA0, 0x1D4BB2, 0x1D4BC0, 0x1D4BD2, 0x1D4C40, 0x1D4C52, 0x1D4D01, 0x1D4E9C, 0x1D4EB2, 0x1D5041, 0x1D5060,
    0x1D5071, 0x1D50B0, 0x1D50D1, 0x1D5150, 0x1D5161, 0x1D51D0, 0x1D51E2, 0x1D5381, 0x1D53A0, 0x1D53B1, 0x1D53F0,
    0x1D5401, 0x1D5450, 0x1D5461, 0x1D5470, 0x1D54A1, 0x1D5510, 0x1D5522, 0x1D56C1, 0x1D585C, 0x1D5872, 0x1D5A01,
    0x1D5B9C, 0x1D5BB2, 0x1D5D41, 0x1D5EDC, 0x1D5EF2, 0x1D6081, 0x1D621C, 0x1D6232, 0x1D63C1, 0x1D655C, 0x1D6572,
    0x1D6701, 0x1D689C, 0x1D68B2, 0x1D6A60, 0x1D6A81, 0x1D6C1A, 0x1D6C22, 0x1D6DBA, 0x1D6DC2, 0x1D6E21, 0x1D6FBA,
    0x1D6FC2, 0x1D715A, 0x1D7162, 0x1D71C1, 0x1D735A, 0x1D7362, 0x1D74FA, 0x1D7502, 0x1D7561, 0x1D76FA, 0x1D7702,
    0x1D789A, 0x1D78A2, 0x1D7901, 0x1D7A9A, 0x1D7AA2, 0x1D7C3A, 0x1D7C42, 0x1D7CAC, 0x1D7CC0, 0x1D7CE7, 0x1D800A,
    0x1DA006, 0x1DA37A, 0x1DA3B6, 0x1DA6DA, 0x1DA756, 0x1DA76A, 0x1DA846, 0x1DA85A, 0x1DA879, 0x1DA8C0, 0x1DA9B6,
    0x1DAA00, 0x1DAA16, 0x1DAB00, 0x1DF002, 0x1DF0A5, 0x1DF0B2, 0x1DF1F0, 0x1DF252, 0x1DF2B0, 0x1E0006, 0x1E0070,
    0x1E0086, 0x1E0190, 0x1E01B6, 0x1E0220, 0x1E0236, 0x1E0250, 0x1E0266, 0x1E02B0, 0x1E0304, 0x1E06E0, 0x1E08F6,
    0x1E0900, 0x1E1005, 0x1E12D0, 0x1E1306, 0x1E1374, 0x1E13E0, 0x1E1407, 0x1E14A0, 0x1E14E5, 0x1E14FA, 0x1E1500,
    0x1E2905, 0x1E2AE6, 0x1E2AF0, 0x1E2C05, 0x1E2EC6, 0x1E2F07, 0x1E2FA0, 0x1E2FFA, 0x1E3000, 0x1E4D05, 0x1E4EB4,
    0x1E4EC6, 0x1E4F07, 0x1E4FA0, 0x1E5D05, 0x1E5EE6, 0x1E5F05, 0x1E5F17, 0x1E5FB0, 0x1E5FF9, 0x1E6000, 0x1E6C05,
    0x1E6DF0, 0x1E6E05, 0x1E6E36, 0x1E6E45, 0x1E6E66, 0x1E6E75, 0x1E6EE6, 0x1E6F05, 0x1E6F56, 0x1E6F60, 0x1E6FE5,
    0x1E6FF4, 0x1E7000, 0x1E7E05, 0x1E7E70, 0x1E7E85, 0x1E7EC0, 0x1E7ED5, 0x1E7EF0, 0x1E7F05, 0x1E7FF0, 0x1E8005,
    0x1E8C50, 0x1E8C78, 0x1E8D06, 0x1E8D70, 0x1E9001, 0x1E921C, 0x1E9232, 0x1E9446, 0x1E94B4, 0x1E94C0, 0x1E9507,
    0x1E95A0, 0x1E95E9, 0x1E9600, 0x1EC718, 0x1ECACA, 0x1ECAD8, 0x1ECB0A, 0x1ECB18, 0x1ECB50, 0x1ED018, 0x1ED2EA,
    0x1ED2F8, 0x1ED3E0, 0x1EE005, 0x1EE040, 0x1EE055, 0x1EE200, 0x1EE215, 0x1EE230, 0x1EE245, 0x1EE250, 0x1EE275,
    0x1EE280, 0x1EE295, 0x1EE330, 0x1EE345, 0x1EE380, 0x1EE395, 0x1EE3A0, 0x1EE3B5, 0x1EE3C0, 0x1EE425, 0x1EE430,
    0x1EE475, 0x1EE480, 0x1EE495, 0x1EE4A0, 0x1EE4B5, 0x1EE4C0, 0x1EE4D5, 0x1EE500, 0x1EE515, 0x1EE530, 0x1EE545,
    0x1EE550, 0x1EE575, 0x1EE580, 0x1EE595, 0x1EE5A0, 0x1EE5B5, 0x1EE5C0, 0x1EE5D5, 0x1EE5E0, 0x1EE5F5, 0x1EE600,
    0x1EE615, 0x1EE630, 0x1EE645, 0x1EE650, 0x1EE675, 0x1EE6B0, 0x1EE6C5, 0x1EE730, 0x1EE745, 0x1EE780, 0x1EE795,
    0x1EE7D0, 0x1EE7E5, 0x1EE7F0, 0x1EE805, 0x1EE8A0, 0x1EE8B5, 0x1EE9C0, 0x1EEA15, 0x1EEA40, 0x1EEA55, 0x1EEAA0,
    0x1EEAB5, 0x1EEBC0, 0x1EEF0A, 0x1EEF20, 0x1F000A, 0x1F02C0, 0x1F030A, 0x1F0940, 0x1F0A0A, 0x1F0AF0, 0x1F0B1A,
    0x1F0C00, 0x1F0C1A, 0x1F0D00, 0x1F0D1A, 0x1F0F60, 0x1F1008, 0x1F10DA, 0x1F1AE0, 0x1F1E6A, 0x1F2030, 0x1F210A,
    0x1F23C0, 0x1F240A, 0x1F2490, 0x1F250A, 0x1F2520, 0x1F260A, 0x1F2660, 0x1F300A, 0x1F6D90, 0x1F6DCA, 0x1F6ED0,
    0x1F6F0A, 0x1F6FD0, 0x1F700A, 0x1F7DA0, 0x1F7E0A, 0x1F7EC0, 0x1F7F0A, 0x1F7F10, 0x1F800A, 0x1F80C0, 0x1F810A,
    0x1F8480, 0x1F850A, 0x1F85A0, 0x1F860A, 0x1F8880, 0x1F890A, 0x1F8AE0, 0x1F8B0A, 0x1F8BC0, 0x1F8C0A, 0x1F8C20,
    0x1F8D0A, 0x1F8D90, 0x1F900A, 0x1FA580, 0x1FA60A, 0x1FA6E0, 0x1FA70A, 0x1FA7D0, 0x1FA80A, 0x1FA8B0, 0x1FA8EA,
    0x1FAC70, 0x1FAC8A, 0x1FAC90, 0x1FACDA, 0x1FADD0, 0x1FADFA, 0x1FAEB0, 0x1FAEFA, 0x1FAF90, 0x1FB00A, 0x1FB930,
    0x1FB94A, 0x1FBF07, 0x1FBFAA, 0x1FBFB0, 0x200005, 0x2A6E00, 0x2A7005, 0x2B81E0, 0x2B8205, 0x2CEAE0, 0x2CEB05,
    0x2EBE10, 0x2EBF05, 0x2EE5E0, 0x2F8005, 0x2FA1E0, 0x300005, 0x3134B0, 0x313505, 0x3347A0, 0xE01006, 0xE01F00,
};
static const uint32_t tk_nfc_edges[] = { /* code point, property: each to the next */
    0x000, 0x30073, 0x30533, 0x30673, 0x30D33, 0x30F73, 0x31033, 0x31173, 0x31233, 0x31373, 0x31534, 0x3162E, 0x31A34,
    0x31B6C, 0x31C2E, 0x3212A, 0x3236E, 0x3276A, 0x3292E, 0x32D6E, 0x32F2E, 0x3306E, 0x3322E, 0x33401, 0x33841, 0x3392E,
    0x33D33, 0x34040, 0x34273, 0x34340, 0x34577, 0x34633, 0x3472E, 0x34A33, 0x34D2E, 0x34F00, 0x35033, 0x3532E, 0x35733,
    0x35834, 0x3592E, 0x35B33, 0x35C35, 0x35D36, 0x35F35, 0x36036, 0x36235, 0x36333, 0x37000, 0x37440, 0x37500, 0x37E40,
    0x37F00, 0x38740, 0x38800, 0x48333, 0x48800, 0x5912E, 0x59233, 0x5962E, 0x59733, 0x59A2F, 0x59B2E, 0x59C33, 0x5A22E,
    0x5A833, 0x5AA2E, 0x5AB33, 0x5AD2F, 0x5AE32, 0x5AF33, 0x5B006, 0x5B107, 0x5B208, 0x5B309, 0x5B40A, 0x5B50B, 0x5B60C,
    0x5B70D, 0x5B80E, 0x5B90F, 0x5BB10, 0x5BC11, 0x5BD12, 0x5BE00, 0x5BF13, 0x5C000, 0x5C114, 0x5C215, 0x5C300, 0x5C433,
    0x5C52E, 0x5C600, 0x5C70E, 0x5C800, 0x61033, 0x6181A, 0x6191B, 0x61A1C, 0x61B00, 0x64B17, 0x64C18, 0x64D19, 0x64E1A,
    0x64F1B, 0x6501C, 0x6511D, 0x6521E, 0x65373, 0x6556E, 0x6562E, 0x65733, 0x65C2E, 0x65D33, 0x65F2E, 0x66000, 0x6701F,
    0x67100, 0x6D633, 0x6DD00, 0x6DF33, 0x6E32E, 0x6E433, 0x6E500, 0x6E733, 0x6E900, 0x6EA2E, 0x6EB33, 0x6ED2E, 0x6EE00,
    0x71120, 0x71200, 0x73033, 0x7312E, 0x73233, 0x7342E, 0x73533, 0x7372E, 0x73A33, 0x73B2E, 0x73D33, 0x73E2E, 0x73F33,
    0x7422E, 0x74333, 0x7442E, 0x74533, 0x7462E, 0x74733, 0x7482E, 0x74933, 0x74B00, 0x7EB33, 0x7F22E, 0x7F333, 0x7F400,
    0x7FD2E, 0x7FE00, 0x81633, 0x81A00, 0x81B33, 0x82400, 0x82533, 0x82800, 0x82933, 0x82E00, 0x8592E, 0x85C00, 0x89733,
    0x8992E, 0x89C33, 0x8A000, 0x8CA33, 0x8CF2E, 0x8D433, 0x8E200, 0x8E32E, 0x8E433, 0x8E62E, 0x8E733, 0x8E92E, 0x8EA33,
    0x8ED2E, 0x8F017, 0x8F118, 0x8F219, 0x8F333, 0x8F62E, 0x8F733, 0x8F92E, 0x8FB33, 0x90000, 0x93C43, 0x93D00, 0x94D05,
    0x94E00, 0x95133, 0x9522E, 0x95333, 0x95500, 0x95840, 0x96000, 0x9BC03, 0x9BD00, 0x9BE40, 0x9BF00, 0x9CD05, 0x9CE00,
    0x9D740, 0x9D800, 0x9DC40, 0x9DE00, 0x9DF40, 0x9E000, 0x9FE33, 0x9FF00, 0xA3340, 0xA3400, 0xA3640, 0xA3700, 0xA3C03,
    0xA3D00, 0xA4D05, 0xA4E00, 0xA5940, 0xA5C00, 0xA5E40, 0xA5F00, 0xABC03, 0xABD00, 0xACD05, 0xACE00, 0xB3C03, 0xB3D00,
    0xB3E40, 0xB3F00, 0xB4D05, 0xB4E00, 0xB5640, 0xB5800, 0xB5C40, 0xB5E00, 0xBBE40, 0xBBF00, 0xBCD05, 0xBCE00, 0xBD740,
    0xBD800, 0xC3C03, 0xC3D00, 0xC4D05, 0xC4E00, 0xC5521, 0xC5662, 0xC5700, 0xCBC03, 0xCBD00, 0xCC240, 0xCC300, 0xCCD05,
    0xCCE00, 0xCD540, 0xCD700, 0xD3B05, 0xD3D00, 0xD3E40, 0xD3F00, 0xD4D05, 0xD4E00, 0xD5740, 0xD5800, 0xDCA45, 0xDCB00,
    0xDCF40, 0xDD000, 0xDDF40, 0xDE000, 0xE3823, 0xE3A05, 0xE3B00, 0xE4824, 0xE4C00, 0xEB825, 0xEBA05, 0xEBB00, 0xEC826,
    0xECC00, 0xF182E, 0xF1A00, 0xF352E, 0xF3600, 0xF372E, 0xF3800, 0xF392C, 0xF3A00, 0xF4340, 0xF4400, 0xF4D40, 0xF4E00,
    0xF5240, 0xF5300, 0xF5740, 0xF5800, 0xF5C40, 0xF5D00, 0xF6940, 0xF6A00, 0xF7127, 0xF7228, 0xF7340, 0xF7429, 0xF7540,
    0xF7700, 0xF7840, 0xF7900, 0xF7A28, 0xF7E00, 0xF8028, 0xF8140, 0xF8233, 0xF8405, 0xF8500, 0xF8633, 0xF8800, 0xF9340,
    0xF9400, 0xF9D40, 0xF9E00, 0xFA240, 0xFA300, 0xFA740, 0xFA800, 0xFAC40, 0xFAD00, 0xFB940, 0xFBA00, 0xFC62E, 0xFC700,
    0x102E40, 0x102F00, 0x103703, 0x103800, 0x103905, 0x103B00, 0x108D2E, 0x108E00, 0x116140, 0x117600, 0x11A840,
    0x11C300, 0x135D33, 0x136000, 0x171405, 0x171600, 0x173405, 0x173500, 0x17D205, 0x17D300, 0x17DD33, 0x17DE00,
    0x18A932, 0x18AA00, 0x19392F, 0x193A33, 0x193B2E, 0x193C00, 0x1A1733, 0x1A182E, 0x1A1900, 0x1A6005, 0x1A6100,
    0x1A7533, 0x1A7D00, 0x1A7F2E, 0x1A8000, 0x1AB033, 0x1AB52E, 0x1ABB33, 0x1ABD2E, 0x1ABE00, 0x1ABF2E, 0x1AC133,
    0x1AC32E, 0x1AC533, 0x1ACA2E, 0x1ACB33, 0x1ADD2E, 0x1ADE00, 0x1AE033, 0x1AE62E, 0x1AE733, 0x1AEB36, 0x1AEC00,
    0x1B3403, 0x1B3540, 0x1B3600, 0x1B4405, 0x1B4500, 0x1B6B33, 0x1B6C2E, 0x1B6D33, 0x1B7400, 0x1BAA05, 0x1BAC00,
    0x1BE603, 0x1BE700, 0x1BF205, 0x1BF400, 0x1C3703, 0x1C3800, 0x1CD033, 0x1CD300, 0x1CD401, 0x1CD52E, 0x1CDA33,
    0x1CDC2E, 0x1CE033, 0x1CE100, 0x1CE201, 0x1CE900, 0x1CED2E, 0x1CEE00, 0x1CF433, 0x1CF500, 0x1CF833, 0x1CFA00,
    0x1DC033, 0x1DC22E, 0x1DC333, 0x1DCA2E, 0x1DCB33, 0x1DCD36, 0x1DCE2B, 0x1DCF2E, 0x1DD02A, 0x1DD133, 0x1DF634,
    0x1DF732, 0x1DF92E, 0x1DFA2D, 0x1DFB33, 0x1DFC35, 0x1DFD2E, 0x1DFE33, 0x1DFF2E, 0x1E0000, 0x1F7140, 0x1F7200,
    0x1F7340, 0x1F7400, 0x1F7540, 0x1F7600, 0x1F7740, 0x1F7800, 0x1F7940, 0x1F7A00, 0x1F7B40, 0x1F7C00, 0x1F7D40,
    0x1F7E00, 0x1FBB40, 0x1FBC00, 0x1FBE40, 0x1FBF00, 0x1FC940, 0x1FCA00, 0x1FCB40, 0x1FCC00, 0x1FD340, 0x1FD400,
    0x1FDB40, 0x1FDC00, 0x1FE340, 0x1FE400, 0x1FEB40, 0x1FEC00, 0x1FEE40, 0x1FF000, 0x1FF940, 0x1FFA00, 0x1FFB40,
    0x1FFC00, 0x1FFD40, 0x1FFE00, 0x200040, 0x200200, 0x20D033, 0x20D201, 0x20D433, 0x20D801, 0x20DB33, 0x20DD00,
    0x20E133, 0x20E200, 0x20E501, 0x20E733, 0x20E82E, 0x20E933, 0x20EA01, 0x20EC2E, 0x20F033, 0x20F100, 0x212640,
    0x212700, 0x212A40, 0x212C00, 0x232940, 0x232B00, 0x2ADC40, 0x2ADD00, 0x2CEF33, 0x2CF200, 0x2D7F05, 0x2D8000,
    0x2DE033, 0x2E0000, 0x302A2D, 0x302B32, 0x302C34, 0x302D2F, 0x302E30, 0x303000, 0x309944, 0x309B00, 0xA66F33,
    0xA67000, 0xA67433, 0xA67E00, 0xA69E33, 0xA6A000, 0xA6F033, 0xA6F200, 0xA80605, 0xA80700, 0xA82C05, 0xA82D00,
    0xA8C405, 0xA8C500, 0xA8E033, 0xA8F200, 0xA92B2E, 0xA92E00, 0xA95305, 0xA95400, 0xA9B303, 0xA9B400, 0xA9C005,
    0xA9C100, 0xAAB033, 0xAAB100, 0xAAB233, 0xAAB42E, 0xAAB500, 0xAAB733, 0xAAB900, 0xAABE33, 0xAAC000, 0xAAC133,
    0xAAC200, 0xAAF605, 0xAAF700, 0xABED05, 0xABEE00, 0xF90040, 0xFA0E00, 0xFA1040, 0xFA1100, 0xFA1240, 0xFA1300,
    0xFA1540, 0xFA1F00, 0xFA2040, 0xFA2100, 0xFA2240, 0xFA2300, 0xFA2540, 0xFA2700, 0xFA2A40, 0xFA6E00, 0xFA7040,
    0xFADA00, 0xFB1D40, 0xFB1E16, 0xFB1F40, 0xFB2000, 0xFB2A40, 0xFB3700, 0xFB3840, 0xFB3D00, 0xFB3E40, 0xFB3F00,
    0xFB4040, 0xFB4200, 0xFB4340, 0xFB4500, 0xFB4640, 0xFB4F00, 0xFE2033, 0xFE272E, 0xFE2E33, 0xFE3000, 0x101FD2E,
    0x101FE00, 0x102E02E, 0x102E100, 0x1037633, 0x1037B00, 0x10A0D2E, 0x10A0E00, 0x10A0F33, 0x10A1000, 0x10A3833,
    0x10A3901, 0x10A3A2E, 0x10A3B00, 0x10A3F05, 0x10A4000, 0x10AE533, 0x10AE62E, 0x10AE700, 0x10D2433, 0x10D2800,
    0x10D6933, 0x10D6E00, 0x10EAB33, 0x10EAD00, 0x10EFA2E, 0x10EFC00, 0x10EFD2E, 0x10F0000, 0x10F462E, 0x10F4833,
    0x10F4B2E, 0x10F4C33, 0x10F4D2E, 0x10F5100, 0x10F8233, 0x10F832E, 0x10F8433, 0x10F852E, 0x10F8600, 0x1104605,
    0x1104700, 0x1107005, 0x1107100, 0x1107F05, 0x1108000, 0x110B905, 0x110BA43, 0x110BB00, 0x1110033, 0x1110300,
    0x1112740, 0x1112800, 0x1113305, 0x1113500, 0x1117303, 0x1117400, 0x111C005, 0x111C100, 0x111CA03, 0x111CB00,
    0x1123505, 0x1123603, 0x1123700, 0x112E903, 0x112EA05, 0x112EB00, 0x1133B03, 0x1133D00, 0x1133E40, 0x1133F00,
    0x1134D05, 0x1134E00, 0x1135740, 0x1135800, 0x1136633, 0x1136D00, 0x1137033, 0x1137500, 0x113B840, 0x113B900,
    0x113BB40, 0x113BC00, 0x113C240, 0x113C300, 0x113C540, 0x113C600, 0x113C740, 0x113CA00, 0x113CE05, 0x113D100,
    0x1144205, 0x1144300, 0x1144603, 0x1144700, 0x1145E33, 0x1145F00, 0x114B040, 0x114B100, 0x114BA40, 0x114BB00,
    0x114BD40, 0x114BE00, 0x114C205, 0x114C303, 0x114C400, 0x115AF40, 0x115B000, 0x115BF05, 0x115C003, 0x115C100,
    0x1163F05, 0x1164000, 0x116B605, 0x116B703, 0x116B800, 0x1172B05, 0x1172C00, 0x1183905, 0x1183A03, 0x1183B00,
    0x1193040, 0x1193100, 0x1193D05, 0x1193F00, 0x1194303, 0x1194400, 0x119E005, 0x119E100, 0x11A3405, 0x11A3500,
    0x11A4705, 0x11A4800, 0x11A9905, 0x11A9A00, 0x11C3F05, 0x11C4000, 0x11D4203, 0x11D4300, 0x11D4405, 0x11D4600,
    0x11D9705, 0x11D9800, 0x11F4105, 0x11F4300, 0x1611E40, 0x1612A00, 0x1612F05, 0x1613000, 0x16AF001, 0x16AF500,
    0x16B3033, 0x16B3700, 0x16D6740, 0x16D6900, 0x16FF002, 0x16FF200, 0x1BC9E01, 0x1BC9F00, 0x1D15E40, 0x1D1652C,
    0x1D16701, 0x1D16A00, 0x1D16D31, 0x1D16E2C, 0x1D17300, 0x1D17B2E, 0x1D18300, 0x1D18533, 0x1D18A2E, 0x1D18C00,
    0x1D1AA33, 0x1D1AE00, 0x1D1BB40, 0x1D1C100, 0x1D24233, 0x1D24500, 0x1E00033, 0x1E00700, 0x1E00833, 0x1E01900,
    0x1E01B33, 0x1E02200, 0x1E02333, 0x1E02500, 0x1E02633, 0x1E02B00, 0x1E08F33, 0x1E09000, 0x1E13033, 0x1E13700,
    0x1E2AE33, 0x1E2AF00, 0x1E2EC33, 0x1E2F000, 0x1E4EC34, 0x1E4EE2E, 0x1E4EF33, 0x1E4F000, 0x1E5EE33, 0x1E5EF2E,
    0x1E5F000, 0x1E6E333, 0x1E6E400, 0x1E6E633, 0x1E6E700, 0x1E6EE33, 0x1E6F000, 0x1E6F533, 0x1E6F600, 0x1E8D02E,
    0x1E8D700, 0x1E94433, 0x1E94A03, 0x1E94B00, 0x2F80040, 0x2FA1E00,
};
static const uint32_t tk_part_edges[] = { /* code point, index in tk_parts: those in a row, and where it ends */
    0xC0000, 0xC7006, 0xD100F, 0xD9015, 0xE001A, 0xE7020, 0xF1029, 0xF902F, 0xFF034, 0x112045, 0x128059, 0x134062,
    0x139066, 0x14306C, 0x14C072, 0x154078, 0x16808A, 0x1A00A1, 0x1AF0A3, 0x1CD0A5, 0x1DE0B5, 0x1E60BB, 0x1F40C6,
    0x1F80C8, 0x21E0EC, 0x2260EE, 0x3400FC, 0x3430FE, 0x374100, 0x37E101, 0x385102, 0x38C108, 0x38E109, 0x3AA10C,
    0x3CA113, 0x3D3118, 0x40011A, 0x40311C, 0x40711D, 0x40C11E, 0x419121, 0x439122, 0x450123, 0x453125, 0x457126,
    0x45C127, 0x47612A, 0x4C112C, 0x4D012E, 0x4D6132, 0x4DA134, 0x4E213A, 0x4EA140, 0x4F814C, 0x62214E, 0x6C0153,
    0x6C2154, 0x6D3155, 0x929156, 0x931157, 0x934158, 0x958159, 0x9CB161, 0x9DC163, 0x9DF165, 0xA33166, 0xA36167,
    0xA59168, 0xA5E16B, 0xB4816C, 0xB4B16D, 0xB5C16F, 0xB94171, 0xBCA172, 0xC48175, 0xCC0176, 0xCC7177, 0xCCA179,
    0xD4A17B, 0xDDA17E, 0xDDC17F, 0xF43182, 0xF4D183, 0xF52184, 0xF57185, 0xF5C186, 0xF69187, 0xF73188, 0xF75189,
    0xF7818B, 0xF8118C, 0xF9318D, 0xF9D18E, 0xFA218F, 0xFA7190, 0xFAC191, 0xFB9192, 0x1026193, 0x1B06194, 0x1B08195,
    0x1B0A196, 0x1B0C197, 0x1B0E198, 0x1B12199, 0x1B3B19A, 0x1B3D19B, 0x1B4019C, 0x1B4319E, 0x1E0019F, 0x1E9B239,
    0x1EA023A, 0x1F00294, 0x1F182AA, 0x1F202B0, 0x1F482D6, 0x1F502DC, 0x1F592E4, 0x1F5B2E5, 0x1F5D2E6, 0x1F5F2E7,
    0x1F80306, 0x1FB633B, 0x1FBE342, 0x1FC1343, 0x1FC6347, 0x1FD6355, 0x1FDD35B, 0x1FF236E, 0x1FF6371, 0x2000379,
    0x212637B, 0x212A37C, 0x219A37E, 0x21AE380, 0x21CD381, 0x2204384, 0x2209385, 0x220C386, 0x2224387, 0x2226388,
    0x2241389, 0x224438A, 0x224738B, 0x224938C, 0x226038D, 0x226238E, 0x226D38F, 0x2274394, 0x2278396, 0x2280398,
    0x228439A, 0x228839C, 0x22AC39E, 0x22E03A2, 0x22EA3A6, 0x23293AA, 0x2ADC3AC, 0x304C3AD, 0x304E3AE, 0x30503AF,
    0x30523B0, 0x30543B1, 0x30563B2, 0x30583B3, 0x305A3B4, 0x305C3B5, 0x305E3B6, 0x30603B7, 0x30623B8, 0x30653B9,
    0x30673BA, 0x30693BB, 0x30703BC, 0x30733BE, 0x30763C0, 0x30793C2, 0x307C3C4, 0x30943C6, 0x309E3C7, 0x30AC3C8,
    0x30AE3C9, 0x30B03CA, 0x30B23CB, 0x30B43CC, 0x30B63CD, 0x30B83CE, 0x30BA3CF, 0x30BC3D0, 0x30BE3D1, 0x30C03D2,
    0x30C23D3, 0x30C53D4, 0x30C73D5, 0x30C93D6, 0x30D03D7, 0x30D33D9, 0x30D63DB, 0x30D93DD, 0x30DC3DF, 0x30F43E1,
    0x30F73E2, 0x30FE3E6, 0xF9003E7, 0xFA104F5, 0xFA124F6, 0xFA154F7, 0xFA20501, 0xFA22502, 0xFA25503, 0xFA2A505,
    0xFA70549, 0xFB1D5B3, 0xFB1F5B4, 0xFB2A5B5, 0xFB385C2, 0xFB3E5C7, 0xFB405C8, 0xFB435CA, 0xFB465CC, 0x105C95D5,
    0x105E45D6, 0x1109A5D7, 0x1109C5D8, 0x110AB5D9, 0x1112E5DA, 0x1134B5DC, 0x113835DE, 0x113855DF, 0x1138E5E0,
    0x113915E1, 0x113C55E2, 0x113C75E3, 0x114BB5E5, 0x114BE5E7, 0x115BA5E8, 0x119385EA, 0x161215EB, 0x16D685F3,
    0x1D15E5F6, 0x1D1BB5FD, 0x2F800603, 0xF0000821,
};
static const uint32_t tk_parts[] = { /* first part, index in tk_seconds */
    0x4101, 0x4102, 0x4103, 0x4104, 0x4108, 0x410A, 0x4316, 0x4501, 0x4502, 0x4503, 0x4508, 0x4901, 0x4902, 0x4903,
    0x4908, 0x4E04, 0x4F01, 0x4F02, 0x4F03, 0x4F04, 0x4F08, 0x5501, 0x5502, 0x5503, 0x5508, 0x5902, 0x6101, 0x6102,
    0x6103, 0x6104, 0x6108, 0x610A, 0x6316, 0x6501, 0x6502, 0x6503, 0x6508, 0x6901, 0x6902, 0x6903, 0x6908, 0x6E04,
    0x6F01, 0x6F02, 0x6F03, 0x6F04, 0x6F08, 0x7501, 0x7502, 0x7503, 0x7508, 0x7902, 0x7908, 0x4105, 0x6105, 0x4106,
    0x6106, 0x4117, 0x6117, 0x4302, 0x6302, 0x4303, 0x6303, 0x4307, 0x6307, 0x430C, 0x630C, 0x440C, 0x640C, 0x4505,
    0x6505, 0x4506, 0x6506, 0x4507, 0x6507, 0x4517, 0x6517, 0x450C, 0x650C, 0x4703, 0x6703, 0x4706, 0x6706, 0x4707,
    0x6707, 0x4716, 0x6716, 0x4803, 0x6803, 0x4904, 0x6904, 0x4905, 0x6905, 0x4906, 0x6906, 0x4917, 0x6917, 0x4907,
    0x4A03, 0x6A03, 0x4B16, 0x6B16, 0x4C02, 0x6C02, 0x4C16, 0x6C16, 0x4C0C, 0x6C0C, 0x4E02, 0x6E02, 0x4E16, 0x6E16,
    0x4E0C, 0x6E0C, 0x4F05, 0x6F05, 0x4F06, 0x6F06, 0x4F0B, 0x6F0B, 0x5202, 0x7202, 0x5216, 0x7216, 0x520C, 0x720C,
    0x5302, 0x7302, 0x5303, 0x7303, 0x5316, 0x7316, 0x530C, 0x730C, 0x5416, 0x7416, 0x540C, 0x740C, 0x5504, 0x7504,
    0x5505, 0x7505, 0x5506, 0x7506, 0x550A, 0x750A, 0x550B, 0x750B, 0x5517, 0x7517, 0x5703, 0x7703, 0x5903, 0x7903,
    0x5908, 0x5A02, 0x7A02, 0x5A07, 0x7A07, 0x5A0C, 0x7A0C, 0x4F11, 0x6F11, 0x5511, 0x7511, 0x410C, 0x610C, 0x490C,
    0x690C, 0x4F0C, 0x6F0C, 0x550C, 0x750C, 0xDC05, 0xFC05, 0xDC02, 0xFC02, 0xDC0C, 0xFC0C, 0xDC01, 0xFC01, 0xC405,
    0xE405, 0x22605, 0x22705, 0xC605, 0xE605, 0x470C, 0x670C, 0x4B0C, 0x6B0C, 0x4F17, 0x6F17, 0x1EA05, 0x1EB05, 0x1B70C,
    0x2920C, 0x6A0C, 0x4702, 0x6702, 0x4E01, 0x6E01, 0xC502, 0xE502, 0xC602, 0xE602, 0xD802, 0xF802, 0x410D, 0x610D,
    0x410E, 0x610E, 0x450D, 0x650D, 0x450E, 0x650E, 0x490D, 0x690D, 0x490E, 0x690E, 0x4F0D, 0x6F0D, 0x4F0E, 0x6F0E,
    0x520D, 0x720D, 0x520E, 0x720E, 0x550D, 0x750D, 0x550E, 0x750E, 0x5315, 0x7315, 0x5415, 0x7415, 0x480C, 0x680C,
    0x4107, 0x6107, 0x4516, 0x6516, 0xD605, 0xF605, 0xD505, 0xF505, 0x4F07, 0x6F07, 0x22E05, 0x22F05, 0x5905, 0x7905,
    0x30000, 0x30100, 0x31300, 0x30802, 0x2B900, 0x3B00, 0xA802, 0x39102, 0xB700, 0x39502, 0x39702, 0x39902, 0x39F02,
    0x3A502, 0x3A902, 0x3CA02, 0x39908, 0x3A508, 0x3B102, 0x3B502, 0x3B702, 0x3B902, 0x3CB02, 0x3B908, 0x3C508, 0x3BF02,
    0x3C502, 0x3C902, 0x3D202, 0x3D208, 0x41501, 0x41508, 0x41302, 0x40608, 0x41A02, 0x41801, 0x42306, 0x41806, 0x43806,
    0x43501, 0x43508, 0x43302, 0x45608, 0x43A02, 0x43801, 0x44306, 0x4740D, 0x4750D, 0x41606, 0x43606, 0x41006, 0x43006,
    0x41008, 0x43008, 0x41506, 0x43506, 0x4D808, 0x4D908, 0x41608, 0x43608, 0x41708, 0x43708, 0x41805, 0x43805, 0x41808,
    0x43808, 0x41E08, 0x43E08, 0x4E808, 0x4E908, 0x42D08, 0x44D08, 0x42305, 0x44305, 0x42308, 0x44308, 0x4230B, 0x4430B,
    0x42708, 0x44708, 0x42B08, 0x44B08, 0x62727, 0x62728, 0x64828, 0x62729, 0x64A28, 0x6D528, 0x6C128, 0x6D228, 0x9282A,
    0x9302A, 0x9332A, 0x9152A, 0x9162A, 0x9172A, 0x91C2A, 0x9212A, 0x9222A, 0x92B2A, 0x92F2A, 0x9C72C, 0x9C72D, 0x9A12B,
    0x9A22B, 0x9AF2B, 0xA322E, 0xA382E, 0xA162E, 0xA172E, 0xA1C2E, 0xA2B2E, 0xB4731, 0xB4730, 0xB4732, 0xB212F, 0xB222F,
    0xB9234, 0xBC633, 0xBC733, 0xBC634, 0xC4635, 0xCBF37, 0xCC637, 0xCC638, 0xCC636, 0xCCA37, 0xD4639, 0xD4739, 0xD463A,
    0xDD93B, 0xDD93C, 0xDDC3B, 0xDD93D, 0xF4242, 0xF4C42, 0xF5142, 0xF5642, 0xF5B42, 0xF4041, 0xF713E, 0xF713F, 0xFB240,
    0xFB340, 0xF7140, 0xF9242, 0xF9C42, 0xFA142, 0xFA642, 0xFAB42, 0xF9041, 0x102543, 0x1B0544, 0x1B0744, 0x1B0944,
    0x1B0B44, 0x1B0D44, 0x1B1144, 0x1B3A44, 0x1B3C44, 0x1B3E44, 0x1B3F44, 0x1B4244, 0x4114, 0x6114, 0x4207, 0x6207,
    0x4212, 0x6212, 0x421B, 0x621B, 0xC702, 0xE702, 0x4407, 0x6407, 0x4412, 0x6412, 0x441B, 0x641B, 0x4416, 0x6416,
    0x4418, 0x6418, 0x11201, 0x11301, 0x11202, 0x11302, 0x4518, 0x6518, 0x451A, 0x651A, 0x22806, 0x22906, 0x4607,
    0x6607, 0x4705, 0x6705, 0x4807, 0x6807, 0x4812, 0x6812, 0x4808, 0x6808, 0x4816, 0x6816, 0x4819, 0x6819, 0x491A,
    0x691A, 0xCF02, 0xEF02, 0x4B02, 0x6B02, 0x4B12, 0x6B12, 0x4B1B, 0x6B1B, 0x4C12, 0x6C12, 0x1E3605, 0x1E3705, 0x4C1B,
    0x6C1B, 0x4C18, 0x6C18, 0x4D02, 0x6D02, 0x4D07, 0x6D07, 0x4D12, 0x6D12, 0x4E07, 0x6E07, 0x4E12, 0x6E12, 0x4E1B,
    0x6E1B, 0x4E18, 0x6E18, 0xD502, 0xF502, 0xD508, 0xF508, 0x14C01, 0x14D01, 0x14C02, 0x14D02, 0x5002, 0x7002, 0x5007,
    0x7007, 0x5207, 0x7207, 0x5212, 0x7212, 0x1E5A05, 0x1E5B05, 0x521B, 0x721B, 0x5307, 0x7307, 0x5312, 0x7312, 0x15A07,
    0x15B07, 0x16007, 0x16107, 0x1E6207, 0x1E6307, 0x5407, 0x7407, 0x5412, 0x7412, 0x541B, 0x741B, 0x5418, 0x7418,
    0x5513, 0x7513, 0x551A, 0x751A, 0x5518, 0x7518, 0x16802, 0x16902, 0x16A08, 0x16B08, 0x5604, 0x7604, 0x5612, 0x7612,
    0x5701, 0x7701, 0x5702, 0x7702, 0x5708, 0x7708, 0x5707, 0x7707, 0x5712, 0x7712, 0x5807, 0x7807, 0x5808, 0x7808,
    0x5907, 0x7907, 0x5A03, 0x7A03, 0x5A12, 0x7A12, 0x5A1B, 0x7A1B, 0x681B, 0x7408, 0x770A, 0x790A, 0x17F07, 0x4112,
    0x6112, 0x4109, 0x6109, 0xC202, 0xE202, 0xC201, 0xE201, 0xC209, 0xE209, 0xC204, 0xE204, 0x1EA003, 0x1EA103, 0x10202,
    0x10302, 0x10201, 0x10301, 0x10209, 0x10309, 0x10204, 0x10304, 0x1EA006, 0x1EA106, 0x4512, 0x6512, 0x4509, 0x6509,
    0x4504, 0x6504, 0xCA02, 0xEA02, 0xCA01, 0xEA01, 0xCA09, 0xEA09, 0xCA04, 0xEA04, 0x1EB803, 0x1EB903, 0x4909, 0x6909,
    0x4912, 0x6912, 0x4F12, 0x6F12, 0x4F09, 0x6F09, 0xD402, 0xF402, 0xD401, 0xF401, 0xD409, 0xF409, 0xD404, 0xF404,
    0x1ECC03, 0x1ECD03, 0x1A002, 0x1A102, 0x1A001, 0x1A101, 0x1A009, 0x1A109, 0x1A004, 0x1A104, 0x1A012, 0x1A112,
    0x5512, 0x7512, 0x5509, 0x7509, 0x1AF02, 0x1B002, 0x1AF01, 0x1B001, 0x1AF09, 0x1B009, 0x1AF04, 0x1B004, 0x1AF12,
    0x1B012, 0x5901, 0x7901, 0x5912, 0x7912, 0x5909, 0x7909, 0x5904, 0x7904, 0x3B10F, 0x3B110, 0x1F0001, 0x1F0101,
    0x1F0002, 0x1F0102, 0x1F001D, 0x1F011D, 0x3910F, 0x39110, 0x1F0801, 0x1F0901, 0x1F0802, 0x1F0902, 0x1F081D,
    0x1F091D, 0x3B50F, 0x3B510, 0x1F1001, 0x1F1101, 0x1F1002, 0x1F1102, 0x3950F, 0x39510, 0x1F1801, 0x1F1901, 0x1F1802,
    0x1F1902, 0x3B70F, 0x3B710, 0x1F2001, 0x1F2101, 0x1F2002, 0x1F2102, 0x1F201D, 0x1F211D, 0x3970F, 0x39710, 0x1F2801,
    0x1F2901, 0x1F2802, 0x1F2902, 0x1F281D, 0x1F291D, 0x3B90F, 0x3B910, 0x1F3001, 0x1F3101, 0x1F3002, 0x1F3102,
    0x1F301D, 0x1F311D, 0x3990F, 0x39910, 0x1F3801, 0x1F3901, 0x1F3802, 0x1F3902, 0x1F381D, 0x1F391D, 0x3BF0F, 0x3BF10,
    0x1F4001, 0x1F4101, 0x1F4002, 0x1F4102, 0x39F0F, 0x39F10, 0x1F4801, 0x1F4901, 0x1F4802, 0x1F4902, 0x3C50F, 0x3C510,
    0x1F5001, 0x1F5101, 0x1F5002, 0x1F5102, 0x1F501D, 0x1F511D, 0x3A510, 0x1F5901, 0x1F5902, 0x1F591D, 0x3C90F, 0x3C910,
    0x1F6001, 0x1F6101, 0x1F6002, 0x1F6102, 0x1F601D, 0x1F611D, 0x3A90F, 0x3A910, 0x1F6801, 0x1F6901, 0x1F6802,
    0x1F6902, 0x1F681D, 0x1F691D, 0x3B101, 0x3AC00, 0x3B501, 0x3AD00, 0x3B701, 0x3AE00, 0x3B901, 0x3AF00, 0x3BF01,
    0x3CC00, 0x3C501, 0x3CD00, 0x3C901, 0x3CE00, 0x1F001E, 0x1F011E, 0x1F021E, 0x1F031E, 0x1F041E, 0x1F051E, 0x1F061E,
    0x1F071E, 0x1F081E, 0x1F091E, 0x1F0A1E, 0x1F0B1E, 0x1F0C1E, 0x1F0D1E, 0x1F0E1E, 0x1F0F1E, 0x1F201E, 0x1F211E,
    0x1F221E, 0x1F231E, 0x1F241E, 0x1F251E, 0x1F261E, 0x1F271E, 0x1F281E, 0x1F291E, 0x1F2A1E, 0x1F2B1E, 0x1F2C1E,
    0x1F2D1E, 0x1F2E1E, 0x1F2F1E, 0x1F601E, 0x1F611E, 0x1F621E, 0x1F631E, 0x1F641E, 0x1F651E, 0x1F661E, 0x1F671E,
    0x1F681E, 0x1F691E, 0x1F6A1E, 0x1F6B1E, 0x1F6C1E, 0x1F6D1E, 0x1F6E1E, 0x1F6F1E, 0x3B106, 0x3B105, 0x1F701E, 0x3B11E,
    0x3AC1E, 0x3B11D, 0x1FB61E, 0x39106, 0x39105, 0x39101, 0x38600, 0x3911E, 0x3B900, 0xA81D, 0x1F741E, 0x3B71E,
    0x3AE1E, 0x3B71D, 0x1FC61E, 0x39501, 0x38800, 0x39701, 0x38900, 0x3971E, 0x1FBF01, 0x1FBF02, 0x1FBF1D, 0x3B906,
    0x3B905, 0x3CA01, 0x39000, 0x3B91D, 0x3CA1D, 0x39906, 0x39905, 0x39901, 0x38A00, 0x1FFE01, 0x1FFE02, 0x1FFE1D,
    0x3C506, 0x3C505, 0x3CB01, 0x3B000, 0x3C10F, 0x3C110, 0x3C51D, 0x3CB1D, 0x3A506, 0x3A505, 0x3A501, 0x38E00, 0x3A110,
    0xA801, 0x38500, 0x6000, 0x1F7C1E, 0x3C91E, 0x3CE1E, 0x3C91D, 0x1FF61E, 0x39F01, 0x38C00, 0x3A901, 0x38F00, 0x3A91E,
    0xB400, 0x200200, 0x200300, 0x3A900, 0x4B00, 0xC500, 0x21901C, 0x21921C, 0x21941C, 0x21D01C, 0x21D41C, 0x21D21C,
    0x22031C, 0x22081C, 0x220B1C, 0x22231C, 0x22251C, 0x223C1C, 0x22431C, 0x22451C, 0x22481C, 0x3D1C, 0x22611C,
    0x224D1C, 0x3C1C, 0x3E1C, 0x22641C, 0x22651C, 0x22721C, 0x22731C, 0x22761C, 0x22771C, 0x227A1C, 0x227B1C, 0x22821C,
    0x22831C, 0x22861C, 0x22871C, 0x22A21C, 0x22A81C, 0x22A91C, 0x22AB1C, 0x227C1C, 0x227D1C, 0x22911C, 0x22921C,
    0x22B21C, 0x22B31C, 0x22B41C, 0x22B51C, 0x300800, 0x300900, 0x2ADD1C, 0x304B45, 0x304D45, 0x304F45, 0x305145,
    0x305345, 0x305545, 0x305745, 0x305945, 0x305B45, 0x305D45, 0x305F45, 0x306145, 0x306445, 0x306645, 0x306845,
    0x306F45, 0x306F46, 0x307245, 0x307246, 0x307545, 0x307546, 0x307845, 0x307846, 0x307B45, 0x307B46, 0x304645,
    0x309D45, 0x30AB45, 0x30AD45, 0x30AF45, 0x30B145, 0x30B345, 0x30B545, 0x30B745, 0x30B945, 0x30BB45, 0x30BD45,
    0x30BF45, 0x30C145, 0x30C445, 0x30C645, 0x30C845, 0x30CF45, 0x30CF46, 0x30D245, 0x30D246, 0x30D545, 0x30D546,
    0x30D845, 0x30D846, 0x30DB45, 0x30DB46, 0x30A645, 0x30EF45, 0x30F045, 0x30F145, 0x30F245, 0x30FD45, 0x8C4800,
    0x66F400, 0x8ECA00, 0x8CC800, 0x6ED100, 0x4E3200, 0x53E500, 0x9F9C00, 0x9F9C00, 0x595100, 0x91D100, 0x558700,
    0x594800, 0x61F600, 0x766900, 0x7F8500, 0x863F00, 0x87BA00, 0x88F800, 0x908F00, 0x6A0200, 0x6D1B00, 0x70D900,
    0x73DE00, 0x843D00, 0x916A00, 0x99F100, 0x4E8200, 0x537500, 0x6B0400, 0x721B00, 0x862D00, 0x9E1E00, 0x5D5000,
    0x6FEB00, 0x85CD00, 0x896400, 0x62C900, 0x81D800, 0x881F00, 0x5ECA00, 0x671700, 0x6D6A00, 0x72FC00, 0x90CE00,
    0x4F8600, 0x51B700, 0x52DE00, 0x64C400, 0x6AD300, 0x721000, 0x76E700, 0x800100, 0x860600, 0x865C00, 0x8DEF00,
    0x973200, 0x9B6F00, 0x9DFA00, 0x788C00, 0x797F00, 0x7DA000, 0x83C900, 0x930400, 0x9E7F00, 0x8AD600, 0x58DF00,
    0x5F0400, 0x7C6000, 0x807E00, 0x726200, 0x78CA00, 0x8CC200, 0x96F700, 0x58D800, 0x5C6200, 0x6A1300, 0x6DDA00,
    0x6F0F00, 0x7D2F00, 0x7E3700, 0x964B00, 0x52D200, 0x808B00, 0x51DC00, 0x51CC00, 0x7A1C00, 0x7DBE00, 0x83F100,
    0x967500, 0x8B8000, 0x62CF00, 0x6A0200, 0x8AFE00, 0x4E3900, 0x5BE700, 0x601200, 0x738700, 0x757000, 0x531700,
    0x78FB00, 0x4FBF00, 0x5FA900, 0x4E0D00, 0x6CCC00, 0x657800, 0x7D2200, 0x53C300, 0x585E00, 0x770100, 0x844900,
    0x8AAA00, 0x6BBA00, 0x8FB000, 0x6C8800, 0x62FE00, 0x82E500, 0x63A000, 0x756500, 0x4EAE00, 0x516900, 0x51C900,
    0x688100, 0x7CE700, 0x826F00, 0x8AD200, 0x91CF00, 0x52F500, 0x544200, 0x597300, 0x5EEC00, 0x65C500, 0x6FFE00,
    0x792A00, 0x95AD00, 0x9A6A00, 0x9E9700, 0x9ECE00, 0x529B00, 0x66C600, 0x6B7700, 0x8F6200, 0x5E7400, 0x619000,
    0x620000, 0x649A00, 0x6F2300, 0x714900, 0x748900, 0x79CA00, 0x7DF400, 0x806F00, 0x8F2600, 0x84EE00, 0x902300,
    0x934A00, 0x521700, 0x52A300, 0x54BD00, 0x70C800, 0x88C200, 0x8AAA00, 0x5EC900, 0x5FF500, 0x637B00, 0x6BAE00,
    0x7C3E00, 0x737500, 0x4EE400, 0x56F900, 0x5BE700, 0x5DBA00, 0x601C00, 0x73B200, 0x746900, 0x7F9A00, 0x804600,
    0x923400, 0x96F600, 0x974800, 0x981800, 0x4F8B00, 0x79AE00, 0x91B400, 0x96B800, 0x60E100, 0x4E8600, 0x50DA00,
    0x5BEE00, 0x5C3F00, 0x659900, 0x6A0200, 0x71CE00, 0x764200, 0x84FC00, 0x907C00, 0x9F8D00, 0x668800, 0x962E00,
    0x528900, 0x677B00, 0x67F300, 0x6D4100, 0x6E9C00, 0x740900, 0x755900, 0x786B00, 0x7D1000, 0x985E00, 0x516D00,
    0x622E00, 0x967800, 0x502B00, 0x5D1900, 0x6DEA00, 0x8F2A00, 0x5F8B00, 0x614400, 0x681700, 0x738700, 0x968600,
    0x522900, 0x540F00, 0x5C6500, 0x661300, 0x674E00, 0x68A800, 0x6CE500, 0x740600, 0x75E200, 0x7F7900, 0x88CF00,
    0x88E100, 0x91CC00, 0x96E200, 0x533F00, 0x6EBA00, 0x541D00, 0x71D000, 0x749800, 0x85FA00, 0x96A300, 0x9C5700,
    0x9E9F00, 0x679700, 0x6DCB00, 0x81E800, 0x7ACB00, 0x7B2000, 0x7C9200, 0x72C000, 0x709900, 0x8B5800, 0x4EC000,
    0x833600, 0x523A00, 0x520700, 0x5EA600, 0x62D300, 0x7CD600, 0x5B8500, 0x6D1E00, 0x66B400, 0x8F3B00, 0x884C00,
    0x964D00, 0x898B00, 0x5ED300, 0x514000, 0x55C000, 0x585A00, 0x667400, 0x51DE00, 0x732A00, 0x76CA00, 0x793C00,
    0x795E00, 0x796500, 0x798F00, 0x975600, 0x7CBE00, 0x7FBD00, 0x861200, 0x8AF800, 0x903800, 0x90FD00, 0x98EF00,
    0x98FC00, 0x992800, 0x9DB400, 0x90DE00, 0x96B700, 0x4FAE00, 0x50E700, 0x514D00, 0x52C900, 0x52E400, 0x535100,
    0x559D00, 0x560600, 0x566800, 0x584000, 0x58A800, 0x5C6400, 0x5C6E00, 0x609400, 0x616800, 0x618E00, 0x61F200,
    0x654F00, 0x65E200, 0x669100, 0x688500, 0x6D7700, 0x6E1A00, 0x6F2200, 0x716E00, 0x722B00, 0x742200, 0x789100,
    0x793E00, 0x794900, 0x794800, 0x795000, 0x795600, 0x795D00, 0x798D00, 0x798E00, 0x7A4000, 0x7A8100, 0x7BC000,
    0x7DF400, 0x7E0900, 0x7E4100, 0x7F7200, 0x800500, 0x81ED00, 0x827900, 0x827900, 0x845700, 0x891000, 0x899600,
    0x8B0100, 0x8B3900, 0x8CD300, 0x8D0800, 0x8FB600, 0x903800, 0x96E300, 0x97FF00, 0x983B00, 0x607500, 0x242EE00,
    0x821800, 0x4E2600, 0x51B500, 0x516800, 0x4F8000, 0x514500, 0x518000, 0x52C700, 0x52FA00, 0x559D00, 0x555500,
    0x559900, 0x55E200, 0x585A00, 0x58B300, 0x594400, 0x595400, 0x5A6200, 0x5B2800, 0x5ED200, 0x5ED900, 0x5F6900,
    0x5FAD00, 0x60D800, 0x614E00, 0x610800, 0x618E00, 0x616000, 0x61F200, 0x623400, 0x63C400, 0x641C00, 0x645200,
    0x655600, 0x667400, 0x671700, 0x671B00, 0x675600, 0x6B7900, 0x6BBA00, 0x6D4100, 0x6EDB00, 0x6ECB00, 0x6F2200,
    0x701E00, 0x716E00, 0x77A700, 0x723500, 0x72AF00, 0x732A00, 0x747100, 0x750600, 0x753B00, 0x761D00, 0x761F00,
    0x76CA00, 0x76DB00, 0x76F400, 0x774A00, 0x774000, 0x78CC00, 0x7AB100, 0x7BC000, 0x7C7B00, 0x7D5B00, 0x7DF400,
    0x7F3E00, 0x800500, 0x835200, 0x83EF00, 0x877900, 0x894100, 0x898600, 0x899600, 0x8ABF00, 0x8AF800, 0x8ACB00,
    0x8B0100, 0x8AFE00, 0x8AED00, 0x8B3900, 0x8B8A00, 0x8D0800, 0x8F3800, 0x907200, 0x919900, 0x927600, 0x967C00,
    0x96E300, 0x975600, 0x97DB00, 0x97FF00, 0x980B00, 0x983B00, 0x9B1200, 0x9F9C00, 0x2284A00, 0x2284400, 0x233D500,
    0x3B9D00, 0x401800, 0x403900, 0x2524900, 0x25CD000, 0x27ED300, 0x9F4300, 0x9F8E00, 0x5D91F, 0x5F220, 0x5E925,
    0x5E926, 0xFB4925, 0xFB4926, 0x5D020, 0x5D021, 0x5D023, 0x5D123, 0x5D223, 0x5D323, 0x5D423, 0x5D523, 0x5D623,
    0x5D823, 0x5D923, 0x5DA23, 0x5DB23, 0x5DC23, 0x5DE23, 0x5E023, 0x5E123, 0x5E323, 0x5E423, 0x5E623, 0x5E723, 0x5E823,
    0x5E923, 0x5EA23, 0x5D522, 0x5D124, 0x5DB24, 0x5E424, 0x105D207, 0x105DA07, 0x1109947, 0x1109B47, 0x110A547,
    0x1113148, 0x1113248, 0x1134749, 0x113474A, 0x113824E, 0x113844C, 0x1138B4D, 0x113904E, 0x113C24D, 0x113C24B,
    0x113C24E, 0x114B950, 0x114B94F, 0x114B951, 0x115B852, 0x115B952, 0x1193553, 0x1611E54, 0x1611E57, 0x1611E55,
    0x1612955, 0x1611E56, 0x1612155, 0x1612255, 0x1612156, 0x16D6758, 0x16D6358, 0x16D6958, 0x1D15759, 0x1D15859,
    0x1D15F5A, 0x1D15F5B, 0x1D15F5C, 0x1D15F5D, 0x1D15F5E, 0x1D1B959, 0x1D1BA59, 0x1D1BB5A, 0x1D1BC5A, 0x1D1BB5B,
    0x1D1BC5B, 0x4E3D00, 0x4E3800, 0x4E4100, 0x2012200, 0x4F6000, 0x4FAE00, 0x4FBB00, 0x500200, 0x507A00, 0x509900,
    0x50E700, 0x50CF00, 0x349E00, 0x2063A00, 0x514D00, 0x515400, 0x516400, 0x517700, 0x2051C00, 0x34B900, 0x516700,
    0x518D00, 0x2054B00, 0x519700, 0x51A400, 0x4ECC00, 0x51AC00, 0x51B500, 0x291DF00, 0x51F500, 0x520300, 0x34DF00,
    0x523B00, 0x524600, 0x527200, 0x527700, 0x351500, 0x52C700, 0x52C900, 0x52E400, 0x52FA00, 0x530500, 0x530600,
    0x531700, 0x534900, 0x535100, 0x535A00, 0x537300, 0x537D00, 0x537F00, 0x537F00, 0x537F00, 0x20A2C00, 0x707000,
    0x53CA00, 0x53DF00, 0x20B6300, 0x53EB00, 0x53F100, 0x540600, 0x549E00, 0x543800, 0x544800, 0x546800, 0x54A200,
    0x54F600, 0x551000, 0x555300, 0x556300, 0x558400, 0x558400, 0x559900, 0x55AB00, 0x55B300, 0x55C200, 0x571600,
    0x560600, 0x571700, 0x565100, 0x567400, 0x520700, 0x58EE00, 0x57CE00, 0x57F400, 0x580D00, 0x578B00, 0x583200,
    0x583100, 0x58AC00, 0x214E400, 0x58F200, 0x58F700, 0x590600, 0x591A00, 0x592200, 0x596200, 0x216A800, 0x216EA00,
    0x59EC00, 0x5A1B00, 0x5A2700, 0x59D800, 0x5A6600, 0x36EE00, 0x36FC00, 0x5B0800, 0x5B3E00, 0x5B3E00, 0x219C800,
    0x5BC300, 0x5BD800, 0x5BE700, 0x5BF300, 0x21B1800, 0x5BFF00, 0x5C0600, 0x5F5300, 0x5C2200, 0x378100, 0x5C6000,
    0x5C6E00, 0x5CC000, 0x5C8D00, 0x21DE400, 0x5D4300, 0x21DE600, 0x5D6E00, 0x5D6B00, 0x5D7C00, 0x5DE100, 0x5DE200,
    0x382F00, 0x5DFD00, 0x5E2800, 0x5E3D00, 0x5E6900, 0x386200, 0x2218300, 0x387C00, 0x5EB000, 0x5EB300, 0x5EB600,
    0x5ECA00, 0x2A39200, 0x5EFE00, 0x2233100, 0x2233100, 0x820100, 0x5F2200, 0x5F2200, 0x38C700, 0x232B800, 0x261DA00,
    0x5F6200, 0x5F6B00, 0x38E300, 0x5F9A00, 0x5FCD00, 0x5FD700, 0x5FF900, 0x608100, 0x393A00, 0x391C00, 0x609400,
    0x226D400, 0x60C700, 0x614800, 0x614C00, 0x614E00, 0x614C00, 0x617A00, 0x618E00, 0x61B200, 0x61A400, 0x61AF00,
    0x61DE00, 0x61F200, 0x61F600, 0x621000, 0x621B00, 0x625D00, 0x62B100, 0x62D400, 0x635000, 0x22B0C00, 0x633D00,
    0x62FC00, 0x636800, 0x638300, 0x63E400, 0x22BF100, 0x642200, 0x63C500, 0x63A900, 0x3A2E00, 0x646900, 0x647E00,
    0x649D00, 0x647700, 0x3A6C00, 0x654F00, 0x656C00, 0x2300A00, 0x65E300, 0x66F800, 0x664900, 0x3B1900, 0x669100,
    0x3B0800, 0x3AE400, 0x519200, 0x519500, 0x670000, 0x669C00, 0x80AD00, 0x43D900, 0x671700, 0x671B00, 0x672100,
    0x675E00, 0x675300, 0x233C300, 0x3B4900, 0x67FA00, 0x678500, 0x685200, 0x688500, 0x2346D00, 0x688E00, 0x681F00,
    0x691400, 0x3B9D00, 0x694200, 0x69A300, 0x69EA00, 0x6AA800, 0x236A300, 0x6ADB00, 0x3C1800, 0x6B2100, 0x238A700,
    0x6B5400, 0x3C4E00, 0x6B7200, 0x6B9F00, 0x6BBA00, 0x6BBB00, 0x23A8D00, 0x21D0B00, 0x23AFA00, 0x6C4E00, 0x23CBC00,
    0x6CBF00, 0x6CCD00, 0x6C6700, 0x6D1600, 0x6D3E00, 0x6D7700, 0x6D4100, 0x6D6900, 0x6D7800, 0x6D8500, 0x23D1E00,
    0x6D3400, 0x6E2F00, 0x6E6E00, 0x3D3300, 0x6ECB00, 0x6EC700, 0x23ED100, 0x6DF900, 0x6F6E00, 0x23F5E00, 0x23F8E00,
    0x6FC600, 0x703900, 0x701E00, 0x701B00, 0x3D9600, 0x704A00, 0x707D00, 0x707700, 0x70AD00, 0x2052500, 0x714500,
    0x2426300, 0x719C00, 0x243AB00, 0x722800, 0x723500, 0x725000, 0x2460800, 0x728000, 0x729500, 0x2473500, 0x2481400,
    0x737A00, 0x738B00, 0x3EAC00, 0x73A500, 0x3EB800, 0x3EB800, 0x744700, 0x745C00, 0x747100, 0x748500, 0x74CA00,
    0x3F1B00, 0x752400, 0x24C3600, 0x753E00, 0x24C9200, 0x757000, 0x2219F00, 0x761000, 0x24FA100, 0x24FB800, 0x2504400,
    0x3FFC00, 0x400800, 0x76F400, 0x250F300, 0x250F200, 0x2511900, 0x2513300, 0x771E00, 0x771F00, 0x771F00, 0x774A00,
    0x403900, 0x778B00, 0x404600, 0x409600, 0x2541D00, 0x784E00, 0x788C00, 0x78CC00, 0x40E300, 0x2562600, 0x795600,
    0x2569A00, 0x256C500, 0x798F00, 0x79EB00, 0x412F00, 0x7A4000, 0x7A4A00, 0x7A4F00, 0x2597C00, 0x25AA700, 0x25AA700,
    0x7AEE00, 0x420200, 0x25BAB00, 0x7BC600, 0x7BC900, 0x422700, 0x25C8000, 0x7CD200, 0x42A000, 0x7CE800, 0x7CE300,
    0x7D0000, 0x25F8600, 0x7D6300, 0x430100, 0x7DC700, 0x7E0200, 0x7E4500, 0x433400, 0x2622800, 0x2624700, 0x435900,
    0x262D900, 0x7F7A00, 0x2633E00, 0x7F9500, 0x7FFA00, 0x800500, 0x264DA00, 0x2652300, 0x806000, 0x265A800, 0x807000,
    0x2335F00, 0x43D500, 0x80B200, 0x810300, 0x440B00, 0x813E00, 0x5AB500, 0x267A700, 0x267B500, 0x2339300, 0x2339C00,
    0x820100, 0x820400, 0x8F9E00, 0x446B00, 0x829100, 0x828B00, 0x829D00, 0x52B300, 0x82B100, 0x82B300, 0x82BD00,
    0x82E600, 0x26B3C00, 0x82E500, 0x831D00, 0x836300, 0x83AD00, 0x832300, 0x83BD00, 0x83E700, 0x845700, 0x835300,
    0x83CA00, 0x83CC00, 0x83DC00, 0x26C3600, 0x26D6B00, 0x26CD500, 0x452B00, 0x84F100, 0x84F300, 0x851600, 0x273CA00,
    0x856400, 0x26F2C00, 0x455D00, 0x456100, 0x26FB100, 0x270D200, 0x456B00, 0x865000, 0x865C00, 0x866700, 0x866900,
    0x86A900, 0x868800, 0x870E00, 0x86E200, 0x877900, 0x872800, 0x876B00, 0x878600, 0x45D700, 0x87E100, 0x880100,
    0x45F900, 0x886000, 0x886300, 0x2766700, 0x88D700, 0x88DE00, 0x463500, 0x88FA00, 0x34BB00, 0x278AE00, 0x2796600,
    0x46BE00, 0x46C700, 0x8AA000, 0x8AED00, 0x8B8A00, 0x8C5500, 0x27CA800, 0x8CAB00, 0x8CC100, 0x8D1B00, 0x8D7700,
    0x27F2F00, 0x2080400, 0x8DCB00, 0x8DBC00, 0x8DF000, 0x208DE00, 0x8ED400, 0x8F3800, 0x285D200, 0x285ED00, 0x909400,
    0x90F100, 0x911100, 0x2872E00, 0x911B00, 0x923800, 0x92D700, 0x92D800, 0x927C00, 0x93F900, 0x941500, 0x28BFA00,
    0x958B00, 0x499500, 0x95B700, 0x28D7700, 0x49E600, 0x96C300, 0x5DB200, 0x972300, 0x2914500, 0x2921A00, 0x4A6E00,
    0x4A7600, 0x97E000, 0x2940A00, 0x4AB200, 0x2949600, 0x980B00, 0x980B00, 0x982900, 0x295B600, 0x98E200, 0x4B3300,
    0x992900, 0x99A700, 0x99C200, 0x99FE00, 0x4BCE00, 0x29B3000, 0x9B1200, 0x9C4000, 0x9CFD00, 0x4CCE00, 0x4CED00,
    0x9D6700, 0x2A0CE00, 0x4CF800, 0x2A10500, 0x2A20E00, 0x2A29100, 0x9EBB00, 0x4D5600, 0x9EF900, 0x9EFE00, 0x9F0500,
    0x9F0F00, 0x9F1600, 0x9F3B00, 0x2A60000,
};
static const uint32_t tk_seconds[] = { /* second parts, 0 for none */
    0x0, 0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x309, 0x30A, 0x30B, 0x30C, 0x30F, 0x311, 0x313, 0x314,
    0x31B, 0x323, 0x324, 0x325, 0x326, 0x327, 0x328, 0x32D, 0x32E, 0x330, 0x331, 0x338, 0x342, 0x345, 0x5B4, 0x5B7,
    0x5B8, 0x5B9, 0x5BC, 0x5BF, 0x5C1, 0x5C2, 0x653, 0x654, 0x655, 0x93C, 0x9BC, 0x9BE, 0x9D7, 0xA3C, 0xB3C, 0xB3E,
    0xB56, 0xB57, 0xBBE, 0xBD7, 0xC56, 0xCC2, 0xCD5, 0xCD6, 0xD3E, 0xD57, 0xDCA, 0xDCF, 0xDDF, 0xF72, 0xF74, 0xF80,
    0xFB5, 0xFB7, 0x102E, 0x1B35, 0x3099, 0x309A, 0x110BA, 0x11127, 0x1133E, 0x11357, 0x113B8, 0x113BB, 0x113C2,
    0x113C9, 0x114B0, 0x114BA, 0x114BD, 0x115AF, 0x11930, 0x1611E, 0x1611F, 0x16120, 0x16129, 0x16D67, 0x1D165, 0x1D16E,
    0x1D16F, 0x1D170, 0x1D171, 0x1D172,
};
static const uint32_t tk_composites[] = { /* what two parts compose, in order of these */
    0x226E, 0x2260, 0x226F, 0xC0, 0xC1, 0xC2, 0xC3, 0x100, 0x102, 0x226, 0xC4, 0x1EA2, 0xC5, 0x1CD, 0x200, 0x202,
    0x1EA0, 0x1E00, 0x104, 0x1E02, 0x1E04, 0x1E06, 0x106, 0x108, 0x10A, 0x10C, 0xC7, 0x1E0A, 0x10E, 0x1E0C, 0x1E10,
    0x1E12, 0x1E0E, 0xC8, 0xC9, 0xCA, 0x1EBC, 0x112, 0x114, 0x116, 0xCB, 0x1EBA, 0x11A, 0x204, 0x206, 0x1EB8, 0x228,
    0x118, 0x1E18, 0x1E1A, 0x1E1E, 0x1F4, 0x11C, 0x1E20, 0x11E, 0x120, 0x1E6, 0x122, 0x124, 0x1E22, 0x1E26, 0x21E,
    0x1E24, 0x1E28, 0x1E2A, 0xCC, 0xCD, 0xCE, 0x128, 0x12A, 0x12C, 0x130, 0xCF, 0x1EC8, 0x1CF, 0x208, 0x20A, 0x1ECA,
    0x12E, 0x1E2C, 0x134, 0x1E30, 0x1E8, 0x1E32, 0x136, 0x1E34, 0x139, 0x13D, 0x1E36, 0x13B, 0x1E3C, 0x1E3A, 0x1E3E,
    0x1E40, 0x1E42, 0x1F8, 0x143, 0xD1, 0x1E44, 0x147, 0x1E46, 0x145, 0x1E4A, 0x1E48, 0xD2, 0xD3, 0xD4, 0xD5, 0x14C,
    0x14E, 0x22E, 0xD6, 0x1ECE, 0x150, 0x1D1, 0x20C, 0x20E, 0x1A0, 0x1ECC, 0x1EA, 0x1E54, 0x1E56, 0x154, 0x1E58, 0x158,
    0x210, 0x212, 0x1E5A, 0x156, 0x1E5E, 0x15A, 0x15C, 0x1E60, 0x160, 0x1E62, 0x218, 0x15E, 0x1E6A, 0x164, 0x1E6C,
    0x21A, 0x162, 0x1E70, 0x1E6E, 0xD9, 0xDA, 0xDB, 0x168, 0x16A, 0x16C, 0xDC, 0x1EE6, 0x16E, 0x170, 0x1D3, 0x214,
    0x216, 0x1AF, 0x1EE4, 0x1E72, 0x172, 0x1E76, 0x1E74, 0x1E7C, 0x1E7E, 0x1E80, 0x1E82, 0x174, 0x1E86, 0x1E84, 0x1E88,
    0x1E8A, 0x1E8C, 0x1EF2, 0xDD, 0x176, 0x1EF8, 0x232, 0x1E8E, 0x178, 0x1EF6, 0x1EF4, 0x179, 0x1E90, 0x17B, 0x17D,
    0x1E92, 0x1E94, 0xE0, 0xE1, 0xE2, 0xE3, 0x101, 0x103, 0x227, 0xE4, 0x1EA3, 0xE5, 0x1CE, 0x201, 0x203, 0x1EA1,
    0x1E01, 0x105, 0x1E03, 0x1E05, 0x1E07, 0x107, 0x109, 0x10B, 0x10D, 0xE7, 0x1E0B, 0x10F, 0x1E0D, 0x1E11, 0x1E13,
    0x1E0F, 0xE8, 0xE9, 0xEA, 0x1EBD, 0x113, 0x115, 0x117, 0xEB, 0x1EBB, 0x11B, 0x205, 0x207, 0x1EB9, 0x229, 0x119,
    0x1E19, 0x1E1B, 0x1E1F, 0x1F5, 0x11D, 0x1E21, 0x11F, 0x121, 0x1E7, 0x123, 0x125, 0x1E23, 0x1E27, 0x21F, 0x1E25,
    0x1E29, 0x1E2B, 0x1E96, 0xEC, 0xED, 0xEE, 0x129, 0x12B, 0x12D, 0xEF, 0x1EC9, 0x1D0, 0x209, 0x20B, 0x1ECB, 0x12F,
    0x1E2D, 0x135, 0x1F0, 0x1E31, 0x1E9, 0x1E33, 0x137, 0x1E35, 0x13A, 0x13E, 0x1E37, 0x13C, 0x1E3D, 0x1E3B, 0x1E3F,
    0x1E41, 0x1E43, 0x1F9, 0x144, 0xF1, 0x1E45, 0x148, 0x1E47, 0x146, 0x1E4B, 0x1E49, 0xF2, 0xF3, 0xF4, 0xF5, 0x14D,
    0x14F, 0x22F, 0xF6, 0x1ECF, 0x151, 0x1D2, 0x20D, 0x20F, 0x1A1, 0x1ECD, 0x1EB, 0x1E55, 0x1E57, 0x155, 0x1E59, 0x159,
    0x211, 0x213, 0x1E5B, 0x157, 0x1E5F, 0x15B, 0x15D, 0x1E61, 0x161, 0x1E63, 0x219, 0x15F, 0x1E6B, 0x1E97, 0x165,
    0x1E6D, 0x21B, 0x163, 0x1E71, 0x1E6F, 0xF9, 0xFA, 0xFB, 0x169, 0x16B, 0x16D, 0xFC, 0x1EE7, 0x16F, 0x171, 0x1D4,
    0x215, 0x217, 0x1B0, 0x1EE5, 0x1E73, 0x173, 0x1E77, 0x1E75, 0x1E7D, 0x1E7F, 0x1E81, 0x1E83, 0x175, 0x1E87, 0x1E85,
    0x1E98, 0x1E89, 0x1E8B, 0x1E8D, 0x1EF3, 0xFD, 0x177, 0x1EF9, 0x233, 0x1E8F, 0xFF, 0x1EF7, 0x1E99, 0x1EF5, 0x17A,
    0x1E91, 0x17C, 0x17E, 0x1E93, 0x1E95, 0x1FED, 0x385, 0x1FC1, 0x1EA6, 0x1EA4, 0x1EAA, 0x1EA8, 0x1DE, 0x1FA, 0x1FC,
    0x1E2, 0x1E08, 0x1EC0, 0x1EBE, 0x1EC4, 0x1EC2, 0x1E2E, 0x1ED2, 0x1ED0, 0x1ED6, 0x1ED4, 0x1E4C, 0x22C, 0x1E4E, 0x22A,
    0x1FE, 0x1DB, 0x1D7, 0x1D5, 0x1D9, 0x1EA7, 0x1EA5, 0x1EAB, 0x1EA9, 0x1DF, 0x1FB, 0x1FD, 0x1E3, 0x1E09, 0x1EC1,
    0x1EBF, 0x1EC5, 0x1EC3, 0x1E2F, 0x1ED3, 0x1ED1, 0x1ED7, 0x1ED5, 0x1E4D, 0x22D, 0x1E4F, 0x22B, 0x1FF, 0x1DC, 0x1D8,
    0x1D6, 0x1DA, 0x1EB0, 0x1EAE, 0x1EB4, 0x1EB2, 0x1EB1, 0x1EAF, 0x1EB5, 0x1EB3, 0x1E14, 0x1E16, 0x1E15, 0x1E17,
    0x1E50, 0x1E52, 0x1E51, 0x1E53, 0x1E64, 0x1E65, 0x1E66, 0x1E67, 0x1E78, 0x1E79, 0x1E7A, 0x1E7B, 0x1E9B, 0x1EDC,
    0x1EDA, 0x1EE0, 0x1EDE, 0x1EE2, 0x1EDD, 0x1EDB, 0x1EE1, 0x1EDF, 0x1EE3, 0x1EEA, 0x1EE8, 0x1EEE, 0x1EEC, 0x1EF0,
    0x1EEB, 0x1EE9, 0x1EEF, 0x1EED, 0x1EF1, 0x1EE, 0x1EC, 0x1ED, 0x1E0, 0x1E1, 0x1E1C, 0x1E1D, 0x230, 0x231, 0x1EF,
    0x1FBA, 0x386, 0x1FB9, 0x1FB8, 0x1F08, 0x1F09, 0x1FBC, 0x1FC8, 0x388, 0x1F18, 0x1F19, 0x1FCA, 0x389, 0x1F28, 0x1F29,
    0x1FCC, 0x1FDA, 0x38A, 0x1FD9, 0x1FD8, 0x3AA, 0x1F38, 0x1F39, 0x1FF8, 0x38C, 0x1F48, 0x1F49, 0x1FEC, 0x1FEA, 0x38E,
    0x1FE9, 0x1FE8, 0x3AB, 0x1F59, 0x1FFA, 0x38F, 0x1F68, 0x1F69, 0x1FFC, 0x1FB4, 0x1FC4, 0x1F70, 0x3AC, 0x1FB1, 0x1FB0,
    0x1F00, 0x1F01, 0x1FB6, 0x1FB3, 0x1F72, 0x3AD, 0x1F10, 0x1F11, 0x1F74, 0x3AE, 0x1F20, 0x1F21, 0x1FC6, 0x1FC3,
    0x1F76, 0x3AF, 0x1FD1, 0x1FD0, 0x3CA, 0x1F30, 0x1F31, 0x1FD6, 0x1F78, 0x3CC, 0x1F40, 0x1F41, 0x1FE4, 0x1FE5, 0x1F7A,
    0x3CD, 0x1FE1, 0x1FE0, 0x3CB, 0x1F50, 0x1F51, 0x1FE6, 0x1F7C, 0x3CE, 0x1F60, 0x1F61, 0x1FF6, 0x1FF3, 0x1FD2, 0x390,
    0x1FD7, 0x1FE2, 0x3B0, 0x1FE7, 0x1FF4, 0x3D3, 0x3D4, 0x407, 0x4D0, 0x4D2, 0x403, 0x400, 0x4D6, 0x401, 0x4C1, 0x4DC,
    0x4DE, 0x40D, 0x4E2, 0x419, 0x4E4, 0x40C, 0x4E6, 0x4EE, 0x40E, 0x4F0, 0x4F2, 0x4F4, 0x4F8, 0x4EC, 0x4D1, 0x4D3,
    0x453, 0x450, 0x4D7, 0x451, 0x4C2, 0x4DD, 0x4DF, 0x45D, 0x4E3, 0x439, 0x4E5, 0x45C, 0x4E7, 0x4EF, 0x45E, 0x4F1,
    0x4F3, 0x4F5, 0x4F9, 0x4ED, 0x457, 0x476, 0x477, 0x4DA, 0x4DB, 0x4EA, 0x4EB, 0x622, 0x623, 0x625, 0x624, 0x626,
    0x6C2, 0x6D3, 0x6C0, 0x929, 0x931, 0x934, 0x9CB, 0x9CC, 0xB4B, 0xB48, 0xB4C, 0xB94, 0xBCA, 0xBCC, 0xBCB, 0xC48,
    0xCC0, 0xCCA, 0xCC7, 0xCC8, 0xCCB, 0xD4A, 0xD4C, 0xD4B, 0xDDA, 0xDDC, 0xDDE, 0xDDD, 0x1026, 0x1B06, 0x1B08, 0x1B0A,
    0x1B0C, 0x1B0E, 0x1B12, 0x1B3B, 0x1B3D, 0x1B40, 0x1B41, 0x1B43, 0x1E38, 0x1E39, 0x1E5C, 0x1E5D, 0x1E68, 0x1E69,
    0x1EAC, 0x1EB6, 0x1EAD, 0x1EB7, 0x1EC6, 0x1EC7, 0x1ED8, 0x1ED9, 0x1F02, 0x1F04, 0x1F06, 0x1F80, 0x1F03, 0x1F05,
    0x1F07, 0x1F81, 0x1F82, 0x1F83, 0x1F84, 0x1F85, 0x1F86, 0x1F87, 0x1F0A, 0x1F0C, 0x1F0E, 0x1F88, 0x1F0B, 0x1F0D,
    0x1F0F, 0x1F89, 0x1F8A, 0x1F8B, 0x1F8C, 0x1F8D, 0x1F8E, 0x1F8F, 0x1F12, 0x1F14, 0x1F13, 0x1F15, 0x1F1A, 0x1F1C,
    0x1F1B, 0x1F1D, 0x1F22, 0x1F24, 0x1F26, 0x1F90, 0x1F23, 0x1F25, 0x1F27, 0x1F91, 0x1F92, 0x1F93, 0x1F94, 0x1F95,
    0x1F96, 0x1F97, 0x1F2A, 0x1F2C, 0x1F2E, 0x1F98, 0x1F2B, 0x1F2D, 0x1F2F, 0x1F99, 0x1F9A, 0x1F9B, 0x1F9C, 0x1F9D,
    0x1F9E, 0x1F9F, 0x1F32, 0x1F34, 0x1F36, 0x1F33, 0x1F35, 0x1F37, 0x1F3A, 0x1F3C, 0x1F3E, 0x1F3B, 0x1F3D, 0x1F3F,
    0x1F42, 0x1F44, 0x1F43, 0x1F45, 0x1F4A, 0x1F4C, 0x1F4B, 0x1F4D, 0x1F52, 0x1F54, 0x1F56, 0x1F53, 0x1F55, 0x1F57,
    0x1F5B, 0x1F5D, 0x1F5F, 0x1F62, 0x1F64, 0x1F66, 0x1FA0, 0x1F63, 0x1F65, 0x1F67, 0x1FA1, 0x1FA2, 0x1FA3, 0x1FA4,
    0x1FA5, 0x1FA6, 0x1FA7, 0x1F6A, 0x1F6C, 0x1F6E, 0x1FA8, 0x1F6B, 0x1F6D, 0x1F6F, 0x1FA9, 0x1FAA, 0x1FAB, 0x1FAC,
    0x1FAD, 0x1FAE, 0x1FAF, 0x1FB2, 0x1FC2, 0x1FF2, 0x1FB7, 0x1FCD, 0x1FCE, 0x1FCF, 0x1FC7, 0x1FF7, 0x1FDD, 0x1FDE,
    0x1FDF, 0x219A, 0x219B, 0x21AE, 0x21CD, 0x21CF, 0x21CE, 0x2204, 0x2209, 0x220C, 0x2224, 0x2226, 0x2241, 0x2244,
    0x2247, 0x2249, 0x226D, 0x2262, 0x2270, 0x2271, 0x2274, 0x2275, 0x2278, 0x2279, 0x2280, 0x2281, 0x22E0, 0x22E1,
    0x2284, 0x2285, 0x2288, 0x2289, 0x22E2, 0x22E3, 0x22AC, 0x22AD, 0x22AE, 0x22AF, 0x22EA, 0x22EB, 0x22EC, 0x22ED,
    0x3094, 0x304C, 0x304E, 0x3050, 0x3052, 0x3054, 0x3056, 0x3058, 0x305A, 0x305C, 0x305E, 0x3060, 0x3062, 0x3065,
    0x3067, 0x3069, 0x3070, 0x3071, 0x3073, 0x3074, 0x3076, 0x3077, 0x3079, 0x307A, 0x307C, 0x307D, 0x309E, 0x30F4,
    0x30AC, 0x30AE, 0x30B0, 0x30B2, 0x30B4, 0x30B6, 0x30B8, 0x30BA, 0x30BC, 0x30BE, 0x30C0, 0x30C2, 0x30C5, 0x30C7,
    0x30C9, 0x30D0, 0x30D1, 0x30D3, 0x30D4, 0x30D6, 0x30D7, 0x30D9, 0x30DA, 0x30DC, 0x30DD, 0x30F7, 0x30F8, 0x30F9,
    0x30FA, 0x30FE, 0x105C9, 0x105E4, 0x1109A, 0x1109C, 0x110AB, 0x1112E, 0x1112F, 0x1134B, 0x1134C, 0x11383, 0x11385,
    0x1138E, 0x11391, 0x113C7, 0x113C5, 0x113C8, 0x114BC, 0x114BB, 0x114BE, 0x115BA, 0x115BB, 0x11938, 0x16121, 0x16123,
    0x16125, 0x16122, 0x16126, 0x16128, 0x16127, 0x16124, 0x16D69, 0x16D68, 0x16D6A,
};
// clang-format on

#define TK_COUNT(table) (sizeof(table) / sizeof *(table))

/* The last of the edges that is at most key; the first is. */
static size_t tk_edge(const uint32_t *edges, size_t n, uint32_t key) {
    size_t lo = 0;
    while (n > 1) {
        size_t half = n / 2;
        if (edges[lo + half] <= key) lo += half;
        n -= half;
    }
    return lo;
}

/* Many capitals have their small letter right behind them: where these take turns the table has one number for all. */
static int tk_category(int32_t c) {
    const int alternate = TK_WHITE + 1;
    if (c < 0) return TK_NONE;
    if (c < 0x80) return tk_ascii[c];
    uint32_t edge = tk_categories[tk_edge(tk_categories, TK_COUNT(tk_categories), (uint32_t)c << 4 | 15)];
    int category = (int)(edge & 15);
    if (category != alternate) return category;
    return ((uint32_t)c - (edge >> 4)) & 1 ? TK_LL : TK_LU;
}

static int tk_nfc_property(int32_t c) {
    if (c < 0x300) return 0;
    return (int)(tk_nfc_edges[tk_edge(tk_nfc_edges, TK_COUNT(tk_nfc_edges), (uint32_t)c << 8 | 255)] & 255);
}

/* Where c stands in tk_parts, or -1. From U+F0000 on all is private, and the edges end. */
static int32_t tk_part_index(int32_t c) {
    if (c < 0xC0 || c >= 0xF0000) return -1;
    const uint32_t *edge = &tk_part_edges[tk_edge(tk_part_edges, TK_COUNT(tk_part_edges), (uint32_t)c << 12 | 0xFFF)];
    uint32_t i = (edge[0] & 0xFFF) + ((uint32_t)c - (edge[0] >> 12));
    return i < (edge[1] & 0xFFF) ? (int32_t)i : -1;
}

/* Syllables of Hangul, from U+AC00 on, are 19 leading consonants by 21 vowels by 28 trailing ones, the first of which
 * is none. */
static int tk_decompose(int32_t c, int32_t parts[4]) {
    int n = 0;
    if (c >= 0xAC00 && c < 0xAC00 + 19 * 21 * 28) {
        int32_t syllable = c - 0xAC00;
        if (syllable % 28) parts[n++] = 0x11A7 + syllable % 28;
        parts[n++] = 0x1161 + syllable / 28 % 21;
        parts[n++] = 0x1100 + syllable / 28 / 21;
        return n;
    }
    for (int32_t i; (i = tk_part_index(c)) >= 0; c = (int32_t)(tk_parts[i] >> 8))
        if (tk_parts[i] & 255) parts[n++] = (int32_t)tk_seconds[tk_parts[i] & 255];
    parts[n++] = c;
    return n;
}

static int32_t tk_compose(int32_t first, int32_t second) {
    int32_t leading = first - 0x1100, vowel = second - 0x1161, syllable = first - 0xAC00, trailing = second - 0x11A7;
    if (leading >= 0 && leading < 19 && vowel >= 0 && vowel < 21) return 0xAC00 + (leading * 21 + vowel) * 28;
    if (syllable >= 0 && syllable < 19 * 21 * 28 && syllable % 28 == 0 && trailing > 0 && trailing < 28)
        return first + trailing;
    if (first < 0 || second < 0x300) return -1;
    size_t i = tk_edge(tk_seconds, TK_COUNT(tk_seconds), (uint32_t)second), lo = 0, hi = TK_COUNT(tk_composites);
    uint32_t parts = (uint32_t)first << 8 | (uint32_t)i;
    if (tk_seconds[i] != (uint32_t)second) return -1;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        uint32_t found = tk_parts[tk_part_index((int32_t)tk_composites[mid])];
        if (found == parts) return (int32_t)tk_composites[mid];
        if (found < parts) lo = mid + 1;
        else hi = mid;
    }
    return -1;
}

#undef TK_COUNT
#undef TK_MAX_FILE
#undef TK_MAX_TEXT
#undef TK_MAX_PIECE
#undef TK_MAX_MERGES
#undef TK_MAX_ENDS
#undef TK_MAX_MATCH
#undef TK_ADJACENT_BITS
#undef TK_ALL_FLAGS
#undef TK_SPACE
