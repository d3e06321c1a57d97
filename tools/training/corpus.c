/* corpus.c - chapters and windows. Contract in corpus.h. */
#include "corpus.h"
#include "../shared/messages.h"
#include "grad.h"
#include "../shared/numbers.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 2000 }; /* bytes: shorter blocks would not be independent of what stands around them */

static size_t line_end(const char *text, size_t size, size_t at) { /* behind its line break */
    const char *end = memchr(text + at, '\n', size - at);
    return end ? (size_t)(end - text) + 1 : size;
}

static int starts_chapter(const char *line, size_t size) {
    static const char word[] = "chapter";
    size_t at = 0, k = 0;
    while (at < size && (line[at] == ' ' || line[at] == '\t' || line[at] == '#')) at++;
    for (; k < sizeof word - 1; k++)
        if (at + k >= size || (line[at + k] | 32) != word[k]) return 0;
    return at + k == size || !strchr("abcdefghijklmnopqrstuvwxyz'-", line[at + k] | 32);
}

static int count_chapters(const char *text, size_t size) {
    int n = 0;
    for (size_t at = 0; at < size; at = line_end(text, size, at))
        if (n < 1 << 30) n += starts_chapter(text + at, line_end(text, size, at) - at);
    return n;
}

/* The end of the block that begins at at: of lines, or of characters where there are none. */
static size_t block_end(const char *text, size_t size, size_t at, size_t block) {
    if (size - at <= block) return size;
    size_t end = line_end(text, size, at + block - 1);
    if (end - at <= 2 * block) return end;
    for (end = at + block; end < size && (text[end] & 0xC0) == 0x80;) end++; /* not within a character */
    return end;
}

int corpus_split(corpus *c, const char *text, size_t size, int every, llama_error *err) {
    memset(c, 0, sizeof *c);
    c->learn = malloc(size + 1), c->held = malloc(size + 1);
    if (!c->learn || !c->held) return corpus_free(c), set_error(err, "no memory for a text of %zu bytes", size);
    const int found = count_chapters(text, size), chapters = every && found >= every ? found : 0;
    const size_t fine = every ? size / (10 * (size_t)every) : size, coarse = every ? size / (2 * (size_t)every) : size;
    const size_t block = (fine > BLOCK ? fine : coarse < BLOCK ? coarse : BLOCK) + 1;
    c->chapters = chapters;
    int part = -1; /* what comes before the first chapter belongs to it */
    for (size_t at = 0, end; at < size; at = end) {
        end = chapters ? line_end(text, size, at) : block_end(text, size, at, block);
        if (!chapters || starts_chapter(text + at, end - at)) part++;
        const int held = every && part >= 0 && part % every == every - 1;
        memcpy(held ? c->held + c->held_size : c->learn + c->learn_size, text + at, end - at);
        *(held ? &c->held_size : &c->learn_size) += end - at;
    }
    c->learn[c->learn_size] = c->held[c->held_size] = 0;
    return 0;
}

void corpus_free(corpus *c) {
    free(c->learn), free(c->held);
    memset(c, 0, sizeof *c);
}

/* ---- Windows ---- */

void windows_open(windows *w, const int *ids, const unsigned char *begins, size_t n, int length, int bos,
                  uint64_t seed) {
    const windows new = {.ids = ids, .begins = begins, .n = n, .length = length, .bos = bos, .seed = seed};
    *w = new;
    /* One less than fits in n, so that an epoch may begin anywhere in the first window; but all of a short text. */
    w->count = n / (size_t)length;
    if (w->count > 1 && n % (size_t)length != (size_t)length - 1) w->count--;
}

void windows_free(windows *w) {
    free(w->order);
    w->order = NULL;
}

void windows_at(const windows *w, size_t start, int *tokens, int *next) {
    const size_t length = (size_t)w->length;
    tokens[0] = w->bos;
    memcpy(tokens + 1, w->ids + start, (length - 1) * sizeof *tokens);
    memcpy(next, w->ids + start, length * sizeof *next);
}

static uint64_t epoch_seed(const windows *w, uint64_t epoch) { return mix_bits(w->seed ^ mix_bits(epoch + 1)); }

/* Fisher and Yates' shuffle. The bias of % is below 2^-40 for any text that there is. */
static void shuffle(windows *w, uint64_t epoch) {
    uint64_t state = epoch_seed(w, epoch);
    for (size_t i = 0; i < w->count; i++) w->order[i] = i;
    for (size_t i = w->count; i > 1; i--) {
        const size_t k = (size_t)(split_mix(&state) % i), was = w->order[k];
        w->order[k] = w->order[i - 1], w->order[i - 1] = was;
    }
    w->epoch = epoch;
}

/* Where the paragraph begins that token start stands in, if that is near; else start. */
static size_t paragraph_start(const windows *w, size_t start) {
    const size_t most = (size_t)w->length / 2;
    for (size_t back = 0; w->begins && back <= most && back <= start; back++)
        if (w->begins[start - back]) return start - back;
    return start;
}

int windows_take(windows *w, uint64_t i, int *tokens, int *next) {
    const uint64_t epoch = i / w->count;
    if (!w->order || w->epoch != epoch) {
        if (!w->order) w->order = malloc(w->count * sizeof *w->order);
        if (!w->order) return -1;
        shuffle(w, epoch);
    }
    const size_t length = (size_t)w->length, spare = w->n - w->count * length;
    const size_t choices = spare < length ? spare + 1 : length;
    const size_t cut = (size_t)(epoch_seed(w, epoch) % choices) + w->order[i % w->count] * length;
    windows_at(w, paragraph_start(w, cut), tokens, next);
    return 0;
}
