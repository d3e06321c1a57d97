/* vocabulary.c - contract in vocabulary.h. */
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

static int contains(const char *text, size_t size, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = text; size >= n && (p = memchr(p, *word, size - n + 1 - (size_t)(p - text))); p++)
        if (!memcmp(p, word, n)) return 1;
    return 0;
}

const char *vocabulary_template(const char *jinja, size_t size) {
    if (contains(jinja, size, "<|start_header_id|>")) return "llama3";
    if (contains(jinja, size, "<|im_start|>")) return "chatml";
    if (contains(jinja, size, "[INST]")) return contains(jinja, size, "<<SYS>>") ? "llama2" : "mistral";
    if (contains(jinja, size, "<|user|>")) return "zephyr";
    return NULL;
}

int vocabulary_ends_turn(const char *name, size_t size) {
    static const char *const known[] = {"<|eot_id|>", "<|eom_id|>", "<|im_end|>"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (size == strlen(known[i]) && !memcmp(name, known[i], size)) return 1;
    return 0;
}

/* The byte that a character of GPT-2's alphabet stands for, or -1. Printable characters of Latin-1 stand for
 * themselves; the other 68 bytes, in order, are U+0100 to U+0143. */
static int alphabet_byte(unsigned c) {
    static const struct { unsigned first, last; } hidden[] = {{0, 0x20}, {0x7F, 0xA0}, {0xAD, 0xAD}};
    if (c < 0x100) {
        for (int i = 0; i < 3; i++)
            if (c >= hidden[i].first && c <= hidden[i].last) return -1;
        return (int)c;
    }
    c -= 0x100;
    for (int i = 0; i < 3; i++) {
        const unsigned n = hidden[i].last - hidden[i].first + 1;
        if (c < n) return (int)(hidden[i].first + c);
        c -= n;
    }
    return -1;
}

ptrdiff_t vocabulary_decode_bytes(const char *text, size_t size, char *out) {
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    ptrdiff_t n = 0;
    while (p < end) {
        unsigned c = *p++;
        /* All of the alphabet has at most two bytes in UTF-8. */
        if (c >= 0x80) c = (c & 0xE0) == 0xC0 && p < end && (*p & 0xC0) == 0x80 ? (c & 31) << 6 | (*p++ & 63) : ~0u;
        const int byte = alphabet_byte(c);
        if (byte < 0) return -1;
        out[n++] = (char)byte;
    }
    return n;
}

void *vocabulary_save(const tokenizer *t, size_t *size) {
    const size_t n = tokenizer_save(t, NULL, 0);
    void *flat = malloc(n);
    *size = flat ? n : 0;
    if (flat) tokenizer_save(t, flat, n);
    return flat;
}
