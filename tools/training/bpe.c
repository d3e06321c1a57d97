/* bpe.c - byte-pair encoding learned. Contract in bpe.h.
 *
 * The text is cut into words that no piece will cross, and each different word is kept once with the number of times
 * it occurs: a novel of 700,000 words has some 20,000 of them. A word is a row of parts, at first its characters. Two
 * neighbours are a candidate for a piece. Again and again the most frequent candidate becomes one, and the words
 * that hold it are cut anew.
 *
 * Candidates are told apart by their text, not by the two parts: so does tokenizer_encode, which joins the neighbours
 * whose text is the piece of the highest score, that is, the earliest learned. Words are cut by the same rule.
 */
#include "bpe.h"

#include "../shared/messages.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LONGEST = 48, /* bytes of a piece */
    WORD = 4096,  /* bytes of a word; longer ones, which no language has, are cut: only the counts suffer */
    NONE = -1
};

typedef struct {    /* a text that is part of a word, and may become a piece */
    size_t at;      /* in the text */
    int size, rank; /* rank: when it became a piece, NONE if it has not */
    int64_t count;  /* how often it stands in the text as two neighbours; of a character, how often at all */
    int *words;     /* that hold it, or once did; some twice */
    int n_words, room;
} candidate;

typedef struct {
    size_t at;
    int size, n; /* bytes; parts */
    int *ends;   /* (n) of the parts, from the start of the word */
    int64_t count;
} word;

typedef struct { /* a hash table from texts to numbers, with open addressing; the owner knows the texts */
    int *slots;  /* NONE: free */
    size_t room, used;
} table;

typedef struct {
    int64_t count; /* when it was put here: no less than the candidate's now */
    int candidate;
} entry;

typedef struct {
    const unsigned char *text;
    size_t size;
    word *words;
    int n_words, words_room;
    candidate *list;
    int n_list, list_room;
    table word_table, list_table;
    entry *heap; /* the most frequent first; of equals the shorter, then the first in the text */
    size_t n_heap, heap_room;
    int *pieces; /* (n_pieces) candidates in the order learned */
    int n_pieces;
    int failed; /* no memory */
} learner;

/* Room for one more item of an array that doubles; 0 without memory. */
static int grow(learner *l, void *array, int n, int *room, size_t item) {
    void **p = (void **)array, *larger;
    if (n < *room) return 1;
    const int next = *room > INT32_MAX / 2 ? 0 : *room ? 2 * *room : 4;
    larger = next && (size_t)next <= SIZE_MAX / item ? realloc(*p, (size_t)next * item) : NULL;
    if (!larger) return l->failed = 1, 0;
    *p = larger, *room = next;
    return 1;
}

/* ---- Texts to numbers ---- */

static uint32_t hash(const unsigned char *p, int size) {
    uint32_t h = 2166136261u;
    for (int i = 0; i < size; i++) h = (h ^ p[i]) * 16777619u;
    return h ^ h >> 15;
}

static size_t text_of(const learner *l, const table *t, int i, int *size) {
    *size = t == &l->word_table ? l->words[i].size : l->list[i].size;
    return t == &l->word_table ? l->words[i].at : l->list[i].at;
}

/* The slot that holds this text, or the free one where it belongs. */
static int *find_slot(const learner *l, const table *t, const unsigned char *p, int size) {
    for (size_t i = hash(p, size) & (t->room - 1);; i = (i + 1) & (t->room - 1)) {
        int have;
        if (t->slots[i] == NONE) return &t->slots[i];
        const unsigned char *q = l->text + text_of(l, t, t->slots[i], &have);
        if (have == size && !memcmp(p, q, (size_t)size)) return &t->slots[i];
    }
}

/* Keeps a third of the slots free. */
static int make_room(learner *l, table *t) {
    if (t->room && t->used < t->room / 3 * 2) return 1;
    const table old = *t;
    const size_t room = old.room ? 2 * old.room : 1024;
    int *slots = room <= SIZE_MAX / sizeof *slots ? malloc(room * sizeof *slots) : NULL;
    if (!slots) return l->failed = 1, 0;
    for (size_t i = 0; i < room; i++) slots[i] = NONE;
    t->slots = slots, t->room = room;
    for (size_t i = 0; i < old.room; i++) {
        int size;
        if (old.slots[i] == NONE) continue;
        const size_t at = text_of(l, t, old.slots[i], &size);
        *find_slot(l, t, l->text + at, size) = old.slots[i];
    }
    free(old.slots);
    return 1;
}

/* ---- Words ---- */

static int is_space(unsigned char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static int is_letter(unsigned char c) { /* or digit, or part of a character beyond ASCII */
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Bytes of the character at p, or 0 if it is not UTF-8 (RFC 3629). */
static int character_size(const unsigned char *p, size_t left) {
    const int n = *p < 0x80 ? 1 : *p < 0xC2 ? 0 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : *p < 0xF5 ? 4 : 0;
    if ((size_t)n > left) return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F) || (*p == 0xF0 && p[1] < 0x90) ||
        (*p == 0xF4 && p[1] > 0x8F))
        return 0;
    return n;
}

/* 1 if the character here may be a piece: not zero, which ends the text of a piece, nor what stands for a space. */
static int is_usable(const learner *l, size_t at, int n) {
    return n && l->text[at] && !(n == 3 && !memcmp(l->text + at, "\xE2\x96\x81", 3));
}

/* The end of the word that begins at a usable character; known tells of those that have a place in the vocabulary. */
static size_t word_end(const learner *l, size_t at, int (*known)(const learner *l, size_t at, int n)) {
    const size_t begin = at;
    while (at < l->size && at - begin < WORD) {
        const int n = character_size(l->text + at, l->size - at);
        const unsigned char c = l->text[at], before = at > begin ? l->text[at - 1] : ' ';
        if (!known(l, at, n)) break;
        if (!is_space(before) && (is_space(c) || is_letter(c) != is_letter(before))) break;
        at += (size_t)n;
    }
    return at;
}

/* The candidate with this text, which is made if there is none; NONE without memory. */
static int candidate_of(learner *l, size_t at, int size) {
    if (!make_room(l, &l->list_table)) return NONE;
    int *slot = find_slot(l, &l->list_table, l->text + at, size);
    if (*slot != NONE) return *slot;
    if (!grow(l, &l->list, l->n_list, &l->list_room, sizeof *l->list)) return NONE;
    l->list[l->n_list] = (candidate){.at = at, .size = size, .rank = NONE};
    l->list_table.used++;
    return *slot = l->n_list++;
}

static void count_characters(learner *l) {
    for (size_t at = 0; at < l->size && !l->failed;) {
        const int n = character_size(l->text + at, l->size - at);
        const int i = is_usable(l, at, n) ? candidate_of(l, at, n) : NONE;
        if (i != NONE) l->list[i].count++;
        at += n ? (size_t)n : 1;
    }
}

/* Has the character a place in the vocabulary? Those that have are ranked. */
static int is_known(const learner *l, size_t at, int n) {
    if (!is_usable(l, at, n)) return 0;
    const int i = *find_slot(l, &l->list_table, l->text + at, n);
    return i != NONE && l->list[i].rank != NONE;
}

static void add_word(learner *l, size_t at, int size) {
    if (!make_room(l, &l->word_table)) return;
    int *slot = find_slot(l, &l->word_table, l->text + at, size);
    if (*slot != NONE) {
        l->words[*slot].count++;
        return;
    }
    if (!grow(l, &l->words, l->n_words, &l->words_room, sizeof *l->words)) return;
    word *w = &l->words[l->n_words];
    *w = (word){.at = at, .size = size, .count = 1, .ends = malloc((size_t)size * sizeof *w->ends)};
    if (!w->ends) {
        l->failed = 1;
        return;
    }
    for (int i = 0; i < size;) {
        i += character_size(l->text + at + i, l->size - at - (size_t)i);
        w->ends[w->n++] = i;
    }
    *slot = l->n_words++;
    l->word_table.used++;
}

static void find_words(learner *l) {
    for (size_t at = 0; at < l->size && !l->failed;) {
        const size_t end = word_end(l, at, is_known);
        if (end > at) add_word(l, at, (int)(end - at));
        const int n = character_size(l->text + at, l->size - at);
        at = end > at ? end : at + (size_t)(n ? n : 1);
    }
}

/* ---- The most frequent candidate ---- */

static int comes_before(const learner *l, entry a, entry b) {
    const candidate *x = &l->list[a.candidate], *y = &l->list[b.candidate];
    if (a.count != b.count) return a.count > b.count;
    return x->size != y->size ? x->size < y->size : a.candidate < b.candidate;
}

static void push(learner *l, int i) {
    if (l->n_heap == l->heap_room) {
        const size_t room = l->heap_room ? 2 * l->heap_room : 1024;
        entry *larger = room <= SIZE_MAX / sizeof *larger ? realloc(l->heap, room * sizeof *larger) : NULL;
        if (!larger) {
            l->failed = 1;
            return;
        }
        l->heap = larger, l->heap_room = room;
    }
    const entry e = {l->list[i].count, i};
    size_t k = l->n_heap++;
    for (; k > 0 && comes_before(l, e, l->heap[(k - 1) / 2]); k = (k - 1) / 2) l->heap[k] = l->heap[(k - 1) / 2];
    l->heap[k] = e;
}

static entry pop(learner *l) {
    const entry top = l->heap[0], e = l->heap[--l->n_heap];
    size_t k = 0;
    for (size_t child; (child = 2 * k + 1) < l->n_heap; k = child) {
        if (child + 1 < l->n_heap && comes_before(l, l->heap[child + 1], l->heap[child])) child++;
        if (!comes_before(l, l->heap[child], e)) break;
        l->heap[k] = l->heap[child];
    }
    l->heap[k] = e;
    return top;
}

/* Counts only fall behind an entry's back: a candidate that has gained has a newer entry. */
static int most_frequent(learner *l) {
    while (l->n_heap) {
        const entry e = pop(l);
        const candidate *c = &l->list[e.candidate];
        if (c->rank != NONE || c->count < 2) continue;
        if (c->count == e.count) return e.candidate;
        if (c->count < e.count) push(l, e.candidate);
    }
    return NONE;
}

/* ---- Merging ---- */

static int part_start(const word *w, int part) { return part ? w->ends[part - 1] : 0; }

/* Adds the neighbours of a word to the candidates (sign 1), or takes them away (-1). */
static void count_neighbours(learner *l, int index, int sign) {
    const word *w = &l->words[index];
    for (int i = 0; i + 1 < w->n && !l->failed; i++) {
        const int start = part_start(w, i), size = w->ends[i + 1] - start;
        const int found = size <= LONGEST ? candidate_of(l, w->at + (size_t)start, size) : NONE;
        if (found == NONE) continue;
        candidate *c = &l->list[found];
        c->count += sign * w->count;
        if (sign < 0) continue;
        if (!c->n_words || c->words[c->n_words - 1] != index) {
            if (!grow(l, &c->words, c->n_words, &c->room, sizeof *c->words)) return;
            c->words[c->n_words++] = index;
        }
        push(l, found);
    }
}

/* Joins the neighbours that are the earliest learned piece, the first of them first, until none are a piece. */
static int merge(learner *l, word *w) {
    int merged = 0;
    for (;;) {
        int best = NONE, rank = INT32_MAX;
        for (int i = 0; i + 1 < w->n; i++) {
            const int start = part_start(w, i), size = w->ends[i + 1] - start;
            const int found = size <= LONGEST ? *find_slot(l, &l->list_table, l->text + w->at + start, size) : NONE;
            if (found != NONE && l->list[found].rank != NONE && l->list[found].rank < rank)
                rank = l->list[found].rank, best = i;
        }
        if (best == NONE) return merged;
        memmove(w->ends + best, w->ends + best + 1, (size_t)(w->n - best - 1) * sizeof *w->ends);
        w->n--, merged = 1;
    }
}

static int holds(const word *w, const learner *l, const candidate *c) {
    for (int i = 0; i + 1 < w->n; i++) {
        const int start = part_start(w, i);
        if (w->ends[i + 1] - start == c->size && !memcmp(l->text + w->at + start, l->text + c->at, (size_t)c->size))
            return 1;
    }
    return 0;
}

static void learn_piece(learner *l, int found) {
    const int n = l->list[found].n_words;
    int *words = l->list[found].words;
    l->list[found].words = NULL, l->list[found].n_words = l->list[found].room = 0; /* the list may move */
    l->pieces[l->n_pieces] = found;
    l->list[found].rank = l->n_pieces++;
    for (int i = 0; i < n && !l->failed; i++) {
        if (!holds(&l->words[words[i]], l, &l->list[found])) continue;
        count_neighbours(l, words[i], -1);
        merge(l, &l->words[words[i]]);
        count_neighbours(l, words[i], 1);
    }
    free(words);
}

/* ---- The vocabulary ---- */

static int more_frequent(const void *a, const void *b) {
    const candidate *x = *(candidate *const *)a, *y = *(candidate *const *)b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : x->at < y->at ? -1 : 1;
}

typedef struct {
    const unsigned char *p;
    int size;
} character;

/* list (n <= most) = the characters, first the space, which encoding puts before a text, then the most frequent. Ranks
 * them: behind all pieces. */
static int rank_characters(learner *l, character *list, int most) {
    candidate **sorted = malloc(((size_t)l->n_list + 1) * sizeof *sorted);
    int n = 0;
    if (!sorted) return l->failed = 1, 0;
    for (int i = 0; i < l->n_list; i++) sorted[i] = &l->list[i];
    for (int i = 0; i < l->n_list; i++) /* first of all */
        if (l->text[l->list[i].at] == ' ') l->list[i].count = INT64_MAX;
    qsort(sorted, (size_t)l->n_list, sizeof *sorted, more_frequent);
    if (!l->n_list || sorted[0]->count < INT64_MAX) list[n++] = (character){(const unsigned char *)" ", 1};
    for (int i = 0; i < l->n_list && n < most; i++) {
        sorted[i]->rank = INT32_MAX - 1;
        list[n++] = (character){l->text + sorted[i]->at, sorted[i]->size};
    }
    free(sorted);
    return n;
}

/* Writes a text as pieces have it, spaces as U+2581; returns where it ends. */
static char *write_piece(char *out, const unsigned char *p, int size) {
    for (int i = 0; i < size; i++)
        if (p[i] == ' ') memcpy(out, "\xE2\x96\x81", 3), out += 3;
        else *out++ = (char)p[i];
    return out;
}

static void add_piece(tokenizer_parts *parts, tokenizer_piece *pieces, char **memory, const unsigned char *p, int size,
                      float score, int type) {
    char *end = write_piece(*memory, p, size);
    pieces[parts->n_pieces++] = (tokenizer_piece){*memory, (size_t)(end - *memory), score, type, 0};
    *memory = end;
}

static tokenizer *make_tokenizer(const learner *l, const character *characters, int n, llama_error *err) {
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    static const int ends[] = {2};
    const size_t count = (size_t)BPE_FIRST + (size_t)l->n_pieces + (size_t)n;
    tokenizer_piece *pieces = malloc(count * sizeof *pieces);
    char *memory = malloc(count * (3 * LONGEST + 8)), *end = memory;
    tokenizer *t = NULL;
    if (pieces && memory) {
        tokenizer_parts parts = {.kind = TOKENIZER_SENTENCEPIECE,
                                 .pieces = pieces,
                                 .bos = 1,
                                 .add_bos = 1,
                                 .ends = ends,
                                 .n_ends = 1,
                                 .add_dummy_prefix = 1};
        for (int i = 0; i < 3; i++)
            add_piece(&parts, pieces, &end, (const unsigned char *)special[i], (int)strlen(special[i]), 0,
                      i ? TOKENIZER_CONTROL : TOKENIZER_UNKNOWN);
        for (int i = 0; i < 256; i++) {
            char name[8];
            snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
            add_piece(&parts, pieces, &end, (const unsigned char *)name, 6, 0, TOKENIZER_BYTE);
        }
        for (int i = 0; i < l->n_pieces; i++)
            add_piece(&parts, pieces, &end, l->text + l->list[l->pieces[i]].at, l->list[l->pieces[i]].size, -(float)i,
                      TOKENIZER_NORMAL);
        for (int i = 0; i < n; i++)
            add_piece(&parts, pieces, &end, characters[i].p, characters[i].size, -(float)(l->n_pieces + i),
                      TOKENIZER_NORMAL);
        tokenizer_error why;
        t = tokenizer_create(&parts, NULL, &why);
        if (!t) set_error(err, "%s", why.text);
    } else {
        set_error(err, "no memory for a vocabulary of %zu pieces", count);
    }
    free(pieces), free(memory);
    return t;
}

/* Pieces until the vocabulary is full. characters has room for all of them. */
static tokenizer *learn(learner *l, int vocab_size, character *characters, llama_error *err) {
    const int n = rank_characters(l, characters, vocab_size - BPE_FIRST);
    if (!l->failed) find_words(l);
    for (int i = 0; i < l->n_list; i++) l->list[i].count = 0; /* from here on, of neighbours */
    for (int i = 0; i < l->n_words && !l->failed; i++) count_neighbours(l, i, 1);
    while (BPE_FIRST + n + l->n_pieces < vocab_size && !l->failed) {
        const int found = most_frequent(l);
        if (found == NONE)
            return set_error(err, "a vocabulary of %d is too large: the text has pieces for %d", vocab_size,
                             BPE_FIRST + n + l->n_pieces),
                   NULL;
        learn_piece(l, found);
    }
    return l->failed ? NULL : make_tokenizer(l, characters, n, err);
}

static void release(learner *l) {
    for (int i = 0; i < l->n_words; i++) free(l->words[i].ends);
    for (int i = 0; i < l->n_list; i++) free(l->list[i].words);
    free(l->words), free(l->list), free(l->word_table.slots), free(l->list_table.slots), free(l->heap), free(l->pieces);
}

tokenizer *bpe_learn(const char *text, size_t size, int vocab_size, size_t *tokens, llama_error *err) {
    learner l = {.text = (const unsigned char *)text, .size = size};
    if (vocab_size <= BPE_FIRST)
        return set_error(err, "a vocabulary of %d is too small: %d pieces are for single bytes and marks", vocab_size,
                         BPE_FIRST),
               NULL;
    l.pieces = malloc((size_t)vocab_size * sizeof *l.pieces);
    character *characters = malloc((size_t)vocab_size * sizeof *characters);
    l.failed = !l.pieces || !characters || !make_room(&l, &l.list_table) || !make_room(&l, &l.word_table);
    if (!l.failed) count_characters(&l);
    tokenizer *t = l.failed ? NULL : learn(&l, vocab_size, characters, err);
    if (l.failed) set_error(err, "no memory to learn from a text of %zu bytes", size);
    if (tokens) *tokens = 0;
    for (int i = 0; tokens && i < l.n_words; i++) *tokens += (size_t)l.words[i].count * (size_t)l.words[i].n;
    release(&l), free(characters);
    return t;
}
