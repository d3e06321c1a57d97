/* tokenizer.c - text to token ids and back. Contract in tokenizer.h.
 *
 * How byte pair encoding (BPE) reads a text, as SentencePiece does it:
 *
 * 1. Normalise. The text is taken as it is, except for spaces: each becomes the visible character
 *    U+2581 (written _ here), so that a space is an ordinary part of pieces, and one more is put in
 *    front, so that a word is the same at the start of a text as inside. "the cat" -> "_the_cat".
 *
 * 2. Split into symbols, one per character. A user-defined piece is one symbol, and final.
 *
 * 3. Merge. The vocabulary is a list of pieces with a score each. Of all neighbours that make a piece
 *    of the vocabulary when joined, join the pair whose piece scores best (the leftmost of equals), and
 *    again, until nothing joins. Training gave out the scores in the order in which it found the pieces
 *    (0, -1, -2, ...), so encoding repeats the merges of training:
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
 * Searching all pairs after each merge takes quadratic time. Here symbols are a linked list and the
 * pairs that can join wait in a heap, best first. A pair that has changed since it was pushed stays in
 * the heap and is recognised, when its turn comes, by its size: O(n log n) in all.
 *
 * The rooms: UTF-8; memory and errors; pieces and how to find them; reading the two file formats;
 * normalisation; merging; public functions.
 */
#include "tokenizer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TK_MAX_FILE ((size_t)64 << 20)  /* the largest known tokenizers are a quarter of this */
#define TK_MAX_TEXT ((size_t)INT32_MAX) /* positions in a text are int32_t */
#define TK_MAX_MATCH 1000               /* bytes of a user-defined piece, and of a rule: looked for at each character */
#define TK_JOIN_BITS 18
#define TK_SPACE "\xE2\x96\x81" /* U+2581, three bytes */

enum { TK_NORMAL = 1, TK_UNKNOWN, TK_CONTROL, TK_USER_DEFINED, TK_UNUSED, TK_BYTE }; /* as in .model files */

typedef struct {
    const char *text;    /* as encoding compares it, spaces as U+2581; inside tokenizer.bytes */
    const char *surface; /* as decoding writes it; may be the same memory */
    int32_t size, surface_size;
    float score;
    int type;
} tk_piece;

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

    tk_piece *pieces; /* (n_pieces) by id */
    int32_t n_pieces;
    tk_out bytes; /* what the pieces point into */

    /* Finding a piece by its text: slots in order of hash, and where each range of hashes starts. */
    tk_slot *slots;    /* (n_pieces) */
    uint32_t *buckets; /* ((1 << bucket_bits) + 1) indices of slots */
    int bucket_bits;
    int32_t longest; /* bytes of the longest piece that text can become */
    int32_t *user;   /* (n_user) ids of the user-defined pieces, sorted by their bytes */
    int32_t n_user;
    unsigned char joins[(1 << TK_JOIN_BITS) / 8]; /* see tk_join */

    int bos, eos, unk; /* ids, -1 if there is none */
    int byte_ids[256];
    int has_unused;

    int byte_fallback, dummy_prefix, remove_extra_spaces, escape_spaces, space_is_suffix;
    uint32_t *trie; /* (n_trie) which characters normalisation replaces, see tk_replacement */
    char *rules;    /* (n_rules) by what: strings that end in zero */
    size_t n_trie, n_rules;
    size_t growth; /* ids that one byte of text can become at most */
};

/* ---------------------------------------------------------------------------------------------------
 * UTF-8
 * ------------------------------------------------------------------------------------------------- */

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

/* ---------------------------------------------------------------------------------------------------
 * Memory and errors
 * ------------------------------------------------------------------------------------------------- */

/* Writes one line of text to err, whatever the arguments hold, and returns 0 for the caller to return. */
static int tk_fail(tokenizer_error *err, const char *format, ...) {
    if (!err) return 0;
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

static void *tk_std_alloc(void *user, size_t size) { return (void)user, malloc(size); }
static void tk_std_release(void *user, void *p) { (void)user, free(p); }

static void *tk_alloc(const tokenizer_allocator *m, size_t count, size_t each, tokenizer_error *err) {
    size_t size = 0;
    void *p = tk_size(count, each, 0, &size) ? m->alloc(m->user, size ? size : 1) : NULL;
    if (!p) tk_fail(err, "no memory for %zu x %zu bytes", count, each);
    return p;
}

static void tk_release(const tokenizer_allocator *m, void *p) {
    if (p) m->release(m->user, p);
}

static tk_bytes tk_string(const char *s) { return (tk_bytes){s, strlen(s)}; }

static int tk_equal(tk_bytes a, const char *s) { return a.size == strlen(s) && memcmp(a.p, s, a.size) == 0; }

/* How much of a text a message shows. */
static int tk_shown(size_t n) { return n < 40 ? (int)n : 40; }

/* Appends to out, and returns where. */
static char *tk_write(tk_out *out, const char *p, size_t n) {
    char *at = out->p ? out->p + out->n : NULL;
    if (at && n == 1) *at = *p;
    else if (at) memcpy(at, p, n);
    out->n += n;
    return at;
}

/* The same with every `from` turned into `to`: a space, or the character that stands for one. */
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

/* ---------------------------------------------------------------------------------------------------
 * Pieces, and how to find them
 *
 * A lookup hashes the text and searches the few slots whose hashes start with the same bits. Slots are
 * sorted, so that a file made of colliding pieces costs a binary search and not a linear one: no
 * input makes loading or encoding quadratic, and no secret seed is needed.
 * ------------------------------------------------------------------------------------------------- */

/* Control, unknown and byte pieces have a name that text never matches. */
static int tk_is_reserved(const tk_piece *p) {
    return p->type == TK_CONTROL || p->type == TK_UNKNOWN || p->type == TK_BYTE;
}

/* The last bit keeps reserved names apart from text: SentencePiece lets the same one be in both. */
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

/* First of the user-defined pieces lo..hi, which share their first depth bytes, whose next byte is at
 * least c; a piece that ends there comes before all others. */
static int32_t tk_user_bound(const tokenizer *t, int32_t lo, int32_t hi, int32_t depth, int c) {
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        const tk_piece *p = &t->pieces[t->user[mid]];
        if (p->size <= depth || (unsigned char)p->text[depth] < c) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* Bytes of the longest user-defined piece that text begins with, or 0. */
static size_t tk_user_match(const tokenizer *t, const char *p, size_t n) {
    size_t best = 0;
    int32_t lo = 0, hi = t->n_user;
    for (int32_t depth = 0; lo < hi && (size_t)depth < n; depth++) {
        int c = (unsigned char)p[depth];
        lo = tk_user_bound(t, lo, hi, depth, c);
        hi = tk_user_bound(t, lo, hi, depth, c + 1);
        if (lo < hi && t->pieces[t->user[lo]].size == depth + 1) best = (size_t)depth + 1;
    }
    return best;
}

/* The bit of t->joins for a character that follows the byte before it. It is set if some piece holds the
 * two side by side (or two others with the same bit). Where it is not, no merge ever bridges the two,
 * and the text falls into spans, most of them words, that are merged one after the other in little memory. */
static uint32_t tk_join(const char *p, size_t n) {
    uint32_t h = (unsigned char)p[-1];
    for (size_t i = 0; i < n; i++) h = h * 16777619u ^ (unsigned char)p[i];
    return h * 0x9E3779B1u >> (32 - TK_JOIN_BITS);
}

static void tk_add_joins(tokenizer *t, const tk_piece *piece) {
    const char *p = piece->text, *end = p + piece->size;
    for (p += tk_char_size(p, (size_t)(end - p)); p < end;) {
        size_t n = tk_char_size(p, (size_t)(end - p));
        uint32_t bit = tk_join(p, n);
        t->joins[bit >> 3] |= (unsigned char)(1u << (bit & 7));
        p += n;
    }
}

/* ---------------------------------------------------------------------------------------------------
 * Reading files
 *
 * Each format has a reader that hands pieces to tk_add_piece and is run twice: once to check everything
 * and to count, and once more, when there is memory for what was counted, to keep it. So memory is
 * bounded by what the file holds, not by what it claims.
 * ------------------------------------------------------------------------------------------------- */

typedef struct {
    tokenizer *t;
    tokenizer_error *err;
    tk_bytes file;
    int model_type;
    tk_bytes bos, eos, unk_surface, charsmap, denormalizer; /* inside file, or constants */
} tk_loader;

/* plain: the file has spaces as spaces. */
static int tk_add_piece(tk_loader *l, tk_bytes text, int plain, uint32_t score_bits, int type) {
    tokenizer *t = l->t;
    int id = (int)t->n_pieces++;
    if (text.size == 0) return tk_fail(l->err, "piece %d is empty", id);
    if ((score_bits & 0x7F800000u) == 0x7F800000u) return tk_fail(l->err, "piece %d: the score is not a number", id);

    tk_piece p = {.type = type};
    memcpy(&p.score, &score_bits, sizeof p.score);
    tk_out *out = &t->bytes;
    size_t start = out->n;
    p.text = tk_write_spaced(out, text.p, text.size, plain ? " " : TK_SPACE, TK_SPACE);
    p.size = (int32_t)(out->n - start); /* fits: files are limited to TK_MAX_FILE */
    start = out->n;
    p.surface = tk_write_spaced(out, text.p, text.size, plain ? " " : TK_SPACE, " ");
    p.surface_size = (int32_t)(out->n - start);
    if (t->pieces) t->pieces[id] = p;
    return 1;
}

static uint32_t tk_u32(const char *p) {
    const unsigned char *u = (const unsigned char *)p;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

/* llama2.c's tokenizer.bin: int32 max_token_length, then for each piece float score, int32 length and
 * the bytes, little-endian. Types are not written; the exporter puts <unk> <s> </s> first. */
static int tk_read_bin(tk_loader *l) {
    const char *p = l->file.p, *end = p + l->file.size;
    uint32_t longest = tk_u32(p);
    for (p += 4; p < end;) {
        int id = (int)l->t->n_pieces;
        if (end - p < 8) return tk_fail(l->err, "piece %d is cut off: the file ends in its score or length", id);
        uint32_t score = tk_u32(p), size = tk_u32(p + 4);
        p += 8;
        if (size > longest)
            return tk_fail(l->err, "piece %d has length %.0f, but max_token_length is %.0f", id,
                           size > INT32_MAX ? size - 4294967296.0 : size, (double)longest);
        if (size > (size_t)(end - p))
            return tk_fail(l->err, "piece %d has length %.0f, but the file ends after %.0f", id, (double)size,
                           (double)(end - p));
        tk_bytes text = {p, size};
        if (id == 1 && !tk_equal(text, "\n<s>\n") && !tk_equal(text, "<s>"))
            return tk_fail(l->err, "piece 1 is \"%.*s\", not <s>", tk_shown(size), p);
        if (id == 2 && !tk_equal(text, "\n</s>\n") && !tk_equal(text, "</s>"))
            return tk_fail(l->err, "piece 2 is \"%.*s\", not </s>", tk_shown(size), p);
        int type = id == 0 ? TK_UNKNOWN : id <= 2 ? TK_CONTROL : TK_NORMAL;
        if (size == 6 && memcmp(p, "<0x", 3) == 0 && p[5] == '>') type = TK_BYTE, l->t->byte_fallback = 1;
        if (id == 1) l->bos = text;
        if (id == 2) l->eos = text;
        if (!tk_add_piece(l, text, 1, score, type)) return 0;
        p += size;
    }
    if (l->t->n_pieces < 3) return tk_fail(l->err, "%d pieces: <unk>, <s> and </s> are missing", (int)l->t->n_pieces);
    return 1;
}

/* --- SentencePiece's .model is a protocol buffer: fields, each a number, a wire type and a value --- */

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
    return f->wire == wire || tk_fail(l->err, "%s has wire type %d, not %d", what, f->wire, wire);
}

static int tk_read_piece(tk_loader *l, tk_bytes in) {
    char what[40];
    snprintf(what, sizeof what, "piece %d", (int)l->t->n_pieces);
    static const int wires[] = {0, 2, 5, 0};
    tk_bytes text = {"", 0};
    uint64_t score = 0, type = TK_NORMAL;
    while (in.size) {
        tk_field f;
        if (!tk_next_field(&in, &f)) return tk_fail(l->err, "%s: malformed or cut off", what);
        if (f.number <= 3 && !tk_want(l, &f, wires[f.number], what)) return 0;
        if (f.number == 1) text = f.bytes;
        if (f.number == 2) score = f.value;
        if (f.number == 3) type = f.value;
    }
    if (type < TK_NORMAL || type > TK_BYTE) return tk_fail(l->err, "%s has type %.0f", what, (double)type);
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
        if (!tk_next_field(&in, &f)) return tk_fail(l->err, "field %d is malformed or cut off", (int)spec);
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
        if (!tk_next_field(&in, &f)) return tk_fail(l->err, "malformed or cut off at byte %.0f", at);
        if (f.number > 5 || f.number == 4) continue;
        if (!tk_want(l, &f, 2, "a part of a SentencePiece model")) return 0;
        if (!(f.number == 1 ? tk_read_piece(l, f.bytes) : tk_read_spec(l, f.number, f.bytes))) return 0;
    }
    if (l->model_type != 2)
        return tk_fail(l->err, "trainer_spec.model_type is %d (%s), only 2 (BPE) is supported", l->model_type,
                       names[l->model_type > 0 && l->model_type < 5 ? l->model_type : 0]);
    if (l->denormalizer.size)
        return tk_fail(l->err, "denormalizer_spec.precompiled_charsmap of %zu bytes is not supported",
                       l->denormalizer.size);
    if (l->bos.size == 0) l->bos = tk_string("<s>");
    if (l->eos.size == 0) l->eos = tk_string("</s>");
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Loading: from a list of pieces to something that can encode
 * ------------------------------------------------------------------------------------------------- */

static int tk_hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* The byte that a piece such as <0x0A> stands for, or -1. */
static int tk_byte_of(const tk_piece *p) {
    if (p->size != 6 || memcmp(p->text, "<0x", 3) || p->text[5] != '>') return -1;
    int high = tk_hex(p->text[3]), low = tk_hex(p->text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What each type of piece is to the tokenizer. */
static int tk_assign(tk_loader *l) {
    tokenizer *t = l->t;
    int n_bytes = 0;
    for (int i = 0; i < 256; i++) t->byte_ids[i] = -1;
    for (int32_t id = 0; id < t->n_pieces; id++) {
        tk_piece *p = &t->pieces[id];
        int shown = tk_shown((size_t)p->size), byte = tk_byte_of(p);
        if (p->type == TK_UNKNOWN) {
            if (t->unk >= 0) return tk_fail(l->err, "piece %d is of type UNKNOWN, and so is piece %d", (int)id, t->unk);
            t->unk = (int)id;
            p->surface = tk_write(&t->bytes, l->unk_surface.p, l->unk_surface.size);
            p->surface_size = (int32_t)l->unk_surface.size;
        } else if (p->type == TK_CONTROL) {
            p->surface_size = 0;
        } else if (p->type == TK_BYTE) {
            if (!t->byte_fallback)
                return tk_fail(l->err, "piece %d is of type BYTE, but trainer_spec.byte_fallback is false", (int)id);
            if (byte < 0) return tk_fail(l->err, "piece %d, \"%.*s\", names no byte", (int)id, shown, p->text);
            if (t->byte_ids[byte] >= 0)
                return tk_fail(l->err, "piece %d, %.*s, is also piece %d", (int)id, shown, p->text, t->byte_ids[byte]);
            t->byte_ids[byte] = (int)id;
            char c = (char)byte;
            p->surface = tk_write(&t->bytes, &c, 1);
            p->surface_size = 1;
            n_bytes++;
        }
        if (tk_is_reserved(p)) continue;
        if (p->size > t->longest) t->longest = p->size;
        if (p->type == TK_UNUSED) t->has_unused = 1;
        if (p->type == TK_USER_DEFINED) t->n_user++;
        if (p->type == TK_USER_DEFINED && p->size > TK_MAX_MATCH)
            return tk_fail(l->err, "piece %d is of type USER_DEFINED and %d bytes long, more than %d", (int)id,
                           (int)p->size, TK_MAX_MATCH);
        tk_add_joins(t, p);
    }
    if (t->unk < 0) return tk_fail(l->err, "no piece is of type UNKNOWN");
    if (t->byte_fallback && n_bytes < 256) return tk_fail(l->err, "%d byte pieces of 256", n_bytes);
    return 1;
}

/* Sorts the pieces by hash, and the user-defined ones by their bytes. */
static int tk_index(tk_loader *l) {
    tokenizer *t = l->t;
    size_t n = (size_t)t->n_pieces, n_user = 0, n_buckets;
    for (t->bucket_bits = 4; n >> t->bucket_bits; t->bucket_bits++) continue;
    n_buckets = (size_t)1 << t->bucket_bits;
    t->user = tk_alloc(&t->memory, (size_t)t->n_user, sizeof *t->user, l->err);
    t->buckets = t->user ? tk_alloc(&t->memory, n_buckets + 1, sizeof *t->buckets, l->err) : NULL;
    t->slots = t->buckets ? tk_alloc(&t->memory, n, sizeof *t->slots, l->err) : NULL;
    if (!t->slots) return 0;

    for (int32_t id = 0; id < t->n_pieces; id++)
        if (t->pieces[id].type == TK_USER_DEFINED) t->slots[n_user++].id = id;
    tk_sort(t, t->slots, n_user, 0);
    for (size_t i = 0; i < n_user; i++) t->user[i] = t->slots[i].id;

    for (int32_t id = 0; id < t->n_pieces; id++) {
        const tk_piece *p = &t->pieces[id];
        t->slots[id] = (tk_slot){tk_hash(p->text, (size_t)p->size, tk_is_reserved(p)), id};
    }
    tk_sort(t, t->slots, n, 1);
    for (size_t i = 1; i < n; i++) {
        if (tk_compare_slots(t, t->slots[i - 1], t->slots[i], 1)) continue;
        int32_t a = t->slots[i - 1].id, b = t->slots[i].id;
        return tk_fail(l->err, "piece %d, \"%.*s\", is also piece %d", (int)(a > b ? a : b),
                       tk_shown((size_t)t->pieces[a].size), t->pieces[a].text, (int)(a < b ? a : b));
    }
    for (size_t b = 0, i = 0; b <= n_buckets; b++) {
        while (i < n && t->slots[i].hash >> (32 - t->bucket_bits) < b) i++;
        t->buckets[b] = (uint32_t)i;
    }
    return 1;
}

/* The rules of normalisation: uint32 size, a trie of that many bytes, then strings that end in zero. */
static int tk_load_rules(tk_loader *l) {
    tokenizer *t = l->t;
    tk_bytes map = l->charsmap;
    t->growth = tk_find(t, TK_SPACE, 3, 0) >= 0 || !t->escape_spaces ? 1 : 3;
    if (map.size == 0) return 1;
    uint32_t size = map.size >= 4 ? tk_u32(map.p) : 0;
    if (size == 0 || size % 4 || size > map.size - 4 || map.size - 4 == size || map.p[map.size - 1])
        return tk_fail(l->err, "normalizer_spec.precompiled_charsmap: %zu bytes with a trie of %lu", map.size,
                       (unsigned long)size);
    t->n_trie = size / 4;
    t->n_rules = map.size - 4 - size;
    t->trie = tk_alloc(&t->memory, t->n_trie, sizeof *t->trie, l->err);
    t->rules = t->trie ? tk_alloc(&t->memory, t->n_rules, 1, l->err) : NULL;
    if (!t->rules) return 0;
    for (size_t i = 0; i < t->n_trie; i++) t->trie[i] = tk_u32(map.p + 4 + 4 * i);
    memcpy(t->rules, map.p + 4 + size, t->n_rules);
    size_t longest = 1;
    for (size_t i = 0, n; i < t->n_rules; i += n + 1) {
        n = strlen(t->rules + i);
        if (n > longest) longest = n;
    }
    if (longest > TK_MAX_MATCH)
        return tk_fail(l->err, "normalizer_spec.precompiled_charsmap has a rule of %zu bytes, more than %d", longest,
                       TK_MAX_MATCH);
    t->growth *= longest;
    return 1;
}

/* The id of the control token of that name, or -1. */
static int tk_control(const tokenizer *t, tk_bytes name) {
    int32_t id = tk_find(t, name.p, name.size, 1);
    return id >= 0 && t->pieces[id].type == TK_CONTROL ? (int)id : -1;
}

static int tk_load(tk_loader *l, int vocab_size) {
    tokenizer *t = l->t;
    const char *p = l->file.p;
    size_t size = l->file.size;
    if (size == 0) return tk_fail(l->err, "the file is empty");
    if (size > TK_MAX_FILE) return tk_fail(l->err, "more than %zu bytes: too many for a tokenizer", TK_MAX_FILE);
    /* A tokenizer.bin starts with a small int32; a .model with field 1, a message that holds something. */
    int bin = size >= 4 && p[2] == 0 && p[3] == 0, model = size >= 3 && p[0] == 0x0A && p[2] != 0;
    if (!bin && !model)
        return tk_fail(l->err, "neither a tokenizer.bin nor a SentencePiece .model; it starts with \"%.*s\"",
                       size < 20 ? (int)size : 20, p);
    int (*reader)(tk_loader *) = bin ? tk_read_bin : tk_read_model;
    if (bin) t->remove_extra_spaces = 0; /* as in Llama's own tokenizers */
    if (!reader(l)) return 0;
    if (vocab_size && vocab_size != t->n_pieces)
        return tk_fail(l->err, "%d pieces, but the model has a vocab_size of %d", (int)t->n_pieces, vocab_size);

    t->pieces = tk_alloc(&t->memory, (size_t)t->n_pieces, sizeof *t->pieces, l->err);
    if (!t->pieces) return 0;
    /* tk_assign writes a surface of one byte for each byte piece, and that of the unknown piece */
    t->bytes.p = tk_alloc(&t->memory, t->bytes.n + 256 + l->unk_surface.size, 1, l->err);
    if (!t->bytes.p) return 0;
    t->n_pieces = 0;
    t->bytes.n = 0;
    if (!reader(l) || !tk_assign(l) || !tk_index(l) || !tk_load_rules(l)) return 0;
    t->bos = tk_control(t, l->bos);
    t->eos = tk_control(t, l->eos);
    return 1;
}

/* The whole of a file that may be a pipe, in a buffer that grows with what really comes. */
static char *tk_read_file(const char *path, const tokenizer_allocator *m, size_t *size, tokenizer_error *err) {
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return tk_fail(err, "cannot open: %s", errno ? strerror(errno) : "unknown reason"), NULL;
    size_t capacity = 1 << 16;
    char *data = tk_alloc(m, capacity, 1, err);
    *size = 0;
    while (data && (*size += fread(data + *size, 1, capacity - *size, file)) == capacity && *size <= TK_MAX_FILE) {
        char *larger = tk_alloc(m, capacity *= 2, 1, err);
        if (larger) memcpy(larger, data, *size);
        tk_release(m, data);
        data = larger;
    }
    if (data && ferror(file)) {
        tk_fail(err, "cannot read: %s", errno ? strerror(errno) : "unknown reason");
        tk_release(m, data);
        data = NULL;
    }
    fclose(file);
    return data;
}

/* ---------------------------------------------------------------------------------------------------
 * Normalisation
 * ------------------------------------------------------------------------------------------------- */

/* Finds the longest rule that applies at p: its replacement (zero-terminated), and in *used the bytes it
 * replaces. The trie is a double array (the file format is that of darts-clone): a unit holds the byte
 * that leads to it, whether a rule ends there, and what to xor for the children's place. */
static const char *tk_replacement(const tokenizer *t, const char *p, size_t n, size_t *used) {
    const char *found = NULL;
    size_t at = 0;
    if (t->n_trie == 0) return NULL;
    for (size_t i = 0;; i++) {
        uint32_t unit = t->trie[at];
        at ^= (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
        if (i > 0 && (unit & 0x100) && at < t->n_trie) {
            uint32_t rule = t->trie[at] & 0x7FFFFFFFu;
            if (rule < t->n_rules) found = t->rules + rule, *used = i;
        }
        if (i == n || i == TK_MAX_MATCH) break;
        at ^= (unsigned char)p[i];
        if (at >= t->n_trie || (t->trie[at] & 0x800000FFu) != (unsigned char)p[i]) break;
    }
    return found;
}

/* What the text at p is normalised to, one step: *to and *n_to; returns the bytes of text used up. */
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

/* Writes the normalised text to out; where out only counts, spaces at the end that will go count too.
 * Stops early at more than TK_MAX_TEXT. */
static void tk_normalize(const tokenizer *t, const char *p, size_t size, tk_out *out) {
    const char *space = t->escape_spaces ? TK_SPACE : " ", *end = p + size, *to;
    size_t n_space = strlen(space), n, used;
    if (t->remove_extra_spaces)
        for (; p < end; p += used) {
            used = tk_normal_step(t, p, (size_t)(end - p), &to, &n);
            if (n != 1 || *to != ' ') break;
        }
    if (p == end) return;

    if (t->dummy_prefix && !t->space_is_suffix) tk_write(out, space, n_space);
    int after_space = t->remove_extra_spaces;
    for (; p < end && out->n <= TK_MAX_TEXT; p += used) {
        used = tk_normal_step(t, p, (size_t)(end - p), &to, &n);
        while (after_space && n && *to == ' ') to++, n--;
        if (n == 0) continue;
        after_space = t->remove_extra_spaces && to[n - 1] == ' ';
        tk_write_spaced(out, to, n, " ", space);
    }
    if (t->remove_extra_spaces && out->p) /* also those that the text holds as U+2581, as SentencePiece does */
        while (out->n >= n_space && memcmp(out->p + out->n - n_space, space, n_space) == 0) out->n -= n_space;
    if (t->dummy_prefix && t->space_is_suffix) tk_write(out, space, n_space);
}

/* ---------------------------------------------------------------------------------------------------
 * Merging
 * ------------------------------------------------------------------------------------------------- */

typedef struct {
    int32_t start, size;  /* in run.text; size 0: merged into an earlier symbol */
    int32_t before, next; /* neighbours in the list, -1 at its ends */
    int32_t id;           /* -1: not looked up yet */
    int final;            /* user-defined: never merged */
} tk_symbol;

typedef struct {
    float score;
    int32_t left; /* index of the left symbol */
    int32_t size; /* bytes of both, when the pair was found: if they differ now, the pair is gone */
    int32_t id;
} tk_pair;

/* One call of tokenizer_encode. */
typedef struct {
    const tokenizer *t;
    tk_out text;        /* normalised */
    tk_symbol *symbols; /* (symbols of the longest span) */
    tk_pair *heap;      /* (twice as many: each merge takes a pair out and puts up to two in) */
    size_t n_heap;
    int32_t *splits; /* (n_pieces) for unused pieces, bytes of the left half; NULL if there are none */
    int *ids;
    size_t capacity, n_ids;
    int after_unknown;
} tk_run;

static int tk_pair_before(const tk_pair *a, const tk_pair *b) {
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void tk_push(tk_run *r, tk_pair x) {
    size_t i = r->n_heap++;
    for (; i > 0 && tk_pair_before(&x, &r->heap[(i - 1) / 2]); i = (i - 1) / 2) r->heap[i] = r->heap[(i - 1) / 2];
    r->heap[i] = x;
}

static tk_pair tk_pop(tk_run *r) {
    tk_pair top = r->heap[0], x = r->heap[--r->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < r->n_heap; i = child) {
        if (child + 1 < r->n_heap && tk_pair_before(&r->heap[child + 1], &r->heap[child])) child++;
        if (!tk_pair_before(&r->heap[child], &x)) break;
        r->heap[i] = r->heap[child];
    }
    r->heap[i] = x;
    return top;
}

/* Pushes the pair of neighbours left and right if together they are a piece. */
static void tk_consider(tk_run *r, int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const tk_symbol *a = &r->symbols[left], *b = &r->symbols[right];
    if (a->final || b->final || b->size > r->t->longest - a->size) return;
    int32_t size = a->size + b->size, id = tk_find(r->t, r->text.p + a->start, (size_t)size, 0);
    if (id < 0) return;
    tk_push(r, (tk_pair){r->t->pieces[id].score, left, size, id});
    if (r->splits) r->splits[id] = a->size; /* the same wherever the piece is found: nothing outside reaches in */
}

static void tk_merge(tk_run *r, int32_t n) {
    for (int32_t i = 1; i < n; i++) tk_consider(r, i - 1, i);
    while (r->n_heap) {
        tk_pair pair = tk_pop(r);
        tk_symbol *a = &r->symbols[pair.left];
        if (a->size == 0 || a->next < 0 || a->size + r->symbols[a->next].size != pair.size) continue;
        tk_symbol *b = &r->symbols[a->next];
        a->size = pair.size;
        a->id = pair.id;
        a->next = b->next;
        b->size = 0;
        if (a->next >= 0) r->symbols[a->next].before = pair.left;
        tk_consider(r, a->before, pair.left);
        tk_consider(r, pair.left, a->next);
    }
}

static void tk_emit(tk_run *r, int id) {
    if (r->n_ids < r->capacity) r->ids[r->n_ids] = id;
    r->n_ids++;
}

/* Emits the ids of what became a symbol: of a piece, or of its bytes, or one unknown token for a run of
 * unknown symbols. An unused piece took part in merging and is now taken apart again. */
static void tk_emit_text(tk_run *r, int32_t start, int32_t size, int32_t id) {
    const tokenizer *t = r->t;
    tk_pair *stack = r->heap; /* empty by now, and there are no more parts than symbols */
    size_t n = 0;
    stack[n++] = (tk_pair){0, start, size, id};
    while (n) {
        tk_pair x = stack[--n];
        const char *p = r->text.p + x.left;
        id = x.id >= 0 ? x.id : tk_find(t, p, (size_t)x.size, 0);
        if (id >= 0 && t->pieces[id].type == TK_UNUSED && r->splits[id]) {
            int32_t left = r->splits[id];
            stack[n++] = (tk_pair){0, x.left + left, x.size - left, -1};
            stack[n++] = (tk_pair){0, x.left, left, -1};
        } else if (id >= 0) {
            tk_emit(r, (int)id);
        } else if (t->byte_fallback) {
            for (int32_t i = 0; i < x.size; i++) tk_emit(r, t->byte_ids[(unsigned char)p[i]]);
        } else if (!r->after_unknown) {
            tk_emit(r, t->unk);
        }
        r->after_unknown = id < 0;
    }
}

/* Splits text at *at into symbols as far as merges can reach, moves *at there and returns how many there
 * are. With symbols NULL it only counts. */
static int32_t tk_split(tk_run *r, size_t *at, tk_symbol *symbols) {
    const tokenizer *t = r->t;
    int32_t n = 0;
    for (;;) {
        const char *p = r->text.p + *at;
        size_t left = r->text.n - *at, user = t->n_user ? tk_user_match(t, p, left) : 0;
        size_t size = user ? user : tk_char_size(p, left);
        if (symbols) symbols[n] = (tk_symbol){(int32_t)*at, (int32_t)size, n - 1, n + 1, -1, user != 0};
        n++;
        *at += size;
        if (*at == r->text.n) break;
        uint32_t bit = tk_join(p + size, tk_char_size(p + size, left - size));
        if (!(t->joins[bit >> 3] >> (bit & 7) & 1)) break;
    }
    if (symbols) symbols[n - 1].next = -1;
    return n;
}

static int tk_encode(tk_run *r, tokenizer_error *err) {
    const tokenizer *t = r->t;
    int32_t longest = 0;
    for (size_t at = 0; at < r->text.n;) {
        int32_t n = tk_split(r, &at, NULL);
        if (n > longest) longest = n;
    }
    r->symbols = tk_alloc(&t->memory, (size_t)longest, sizeof *r->symbols, err);
    r->heap = r->symbols ? tk_alloc(&t->memory, (size_t)longest * 2, sizeof *r->heap, err) : NULL;
    if (!r->heap) return 0;
    if (t->has_unused) {
        r->splits = tk_alloc(&t->memory, (size_t)t->n_pieces, sizeof *r->splits, err);
        if (!r->splits) return 0;
        memset(r->splits, 0, (size_t)t->n_pieces * sizeof *r->splits);
    }
    for (size_t at = 0; at < r->text.n;) {
        tk_merge(r, tk_split(r, &at, r->symbols));
        for (int32_t i = 0; i >= 0; i = r->symbols[i].next)
            tk_emit_text(r, r->symbols[i].start, r->symbols[i].size, r->symbols[i].id);
    }
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Public functions
 * ------------------------------------------------------------------------------------------------- */

TOKENIZER_API void tokenizer_free(tokenizer *t) {
    if (!t) return;
    tokenizer_allocator m = t->memory;
    void *parts[] = {t->pieces, t->bytes.p, t->slots, t->buckets, t->user, t->trie, t->rules, t};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tk_release(&m, parts[i]);
}

TOKENIZER_API tokenizer *tokenizer_load_memory(const void *data, size_t size, int vocab_size,
                                               const tokenizer_allocator *allocator, tokenizer_error *err) {
    tokenizer_allocator m = {tk_std_alloc, tk_std_release, NULL};
    if (allocator) m = *allocator;
    tokenizer *t = tk_alloc(&m, 1, sizeof *t, err);
    if (!t) return NULL;
    memset(t, 0, sizeof *t);
    t->memory = m;
    t->bos = t->eos = t->unk = -1;
    t->dummy_prefix = t->remove_extra_spaces = t->escape_spaces = 1; /* what a .model means if it says nothing */
    tk_loader l = {.t = t, .err = err, .file = {data, size}, .model_type = 1};
    l.unk_surface = tk_string(" \xE2\x81\x87 ");
    if (tk_load(&l, vocab_size)) return t;
    tokenizer_free(t);
    return NULL;
}

TOKENIZER_API tokenizer *tokenizer_load(const char *path, int vocab_size, const tokenizer_allocator *allocator,
                                        tokenizer_error *err) {
    tokenizer_allocator m = {tk_std_alloc, tk_std_release, NULL};
    tokenizer_error reason = {""};
    size_t size = 0;
    if (allocator) m = *allocator;
    char *data = tk_read_file(path, &m, &size, &reason);
    tokenizer *t = data ? tokenizer_load_memory(data, size, vocab_size, allocator, &reason) : NULL;
    tk_release(&m, data);
    size_t n = strlen(path); /* of a very long path the end says more */
    if (!t) tk_fail(err, "%s%s: %s", n > 120 ? "..." : "", n > 120 ? path + n - 120 : path, reason.text);
    return t;
}

TOKENIZER_API int tokenizer_vocab_size(const tokenizer *t) { return (int)t->n_pieces; }

TOKENIZER_API int tokenizer_bos(const tokenizer *t) { return t->bos; }

TOKENIZER_API int tokenizer_is_end(const tokenizer *t, int id) { return id >= 0 && id == t->eos; }

TOKENIZER_API size_t tokenizer_bound(const tokenizer *t, size_t size) {
    size_t bound;
    /* one more byte for the space in front, one more id for bos */
    if (size == SIZE_MAX || !tk_size(size + 1, t->growth, 1, &bound)) return SIZE_MAX;
    return bound;
}

TOKENIZER_API ptrdiff_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int flags, int *ids,
                                         size_t capacity, tokenizer_error *err) {
    tk_run r = {.t = t, .ids = ids, .capacity = capacity};
    if ((flags & TOKENIZER_BOS) && t->bos >= 0) tk_emit(&r, t->bos);
    tk_out counted = {NULL, 0};
    if (size) tk_normalize(t, text, size, &counted);
    if (counted.n > TK_MAX_TEXT) return tk_fail(err, "a text of %zu bytes is too long", size), -1;
    int ok = 1;
    if (counted.n) {
        r.text.p = tk_alloc(&t->memory, counted.n, 1, err);
        if (r.text.p) tk_normalize(t, text, size, &r.text);
        ok = r.text.p && tk_encode(&r, err);
        tk_release(&t->memory, r.text.p);
        tk_release(&t->memory, r.symbols);
        tk_release(&t->memory, r.heap);
        tk_release(&t->memory, r.splits);
    }
    return ok ? (ptrdiff_t)r.n_ids : -1;
}

TOKENIZER_API const char *tokenizer_decode(const tokenizer *t, int previous, int id, size_t *size) {
    *size = 0;
    if (id < 0 || id >= t->n_pieces) return "";
    const tk_piece *p = &t->pieces[id];
    int skip = (previous < 0 || previous == t->bos) && (t->dummy_prefix || t->remove_extra_spaces) &&
               !tk_is_reserved(p) && p->size >= 3 && memcmp(p->text, TK_SPACE, 3) == 0;
    *size = (size_t)(p->surface_size - skip);
    return p->surface + skip;
}

#undef TK_MAX_FILE
#undef TK_MAX_TEXT
#undef TK_MAX_MATCH
#undef TK_JOIN_BITS
#undef TK_SPACE
