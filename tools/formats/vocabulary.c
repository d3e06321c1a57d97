/* vocabulary.c - contract in vocabulary.h. */
#include "vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int contains(const char *text, size_t size, const char *word, size_t n) {
    for (const char *p = text; size >= n && (p = memchr(p, *word, size - n + 1 - (size_t)(p - text))); p++)
        if (!memcmp(p, word, n)) return 1;
    return 0;
}

/* ---- Marks of a template ---- */

typedef struct {
    char *p; /* each text of a template between two zeros */
    size_t n;
} literals;

/* Moves *p on behind a string of Jinja, whose first quote is before it. */
static void read_string(literals *out, const char **p, const char *end, char quote) {
    for (; *p < end && **p != quote; ++*p) {
        if (**p == '\\' && *p + 1 < end) {
            ++*p;
            out->p[out->n++] = (char)(**p == 'n' ? '\n' : **p == 't' ? '\t' : **p == 'r' ? '\r' : **p);
        } else {
            out->p[out->n++] = **p;
        }
    }
    if (*p < end) ++*p;
    out->p[out->n++] = 0;
}

/* Moves *p on behind {{ .. }}, {% .. %} or {# .. #}, of which only the first two bytes are before it. */
static void read_code(literals *out, const char **p, const char *end, char kind) {
    const char close = (char)(kind == '{' ? '}' : kind);
    while (*p < end) {
        const char c = *(*p)++;
        if (c == close && *p < end && **p == '}') {
            ++*p;
            return;
        }
        if (kind != '#' && (c == '\'' || c == '"')) read_string(out, p, end, c);
    }
}

/* What a template has as text and between quotes, malloc'ed. */
static int read_literals(literals *out, const char *jinja, size_t size) {
    const char *p = jinja, *end = jinja + size;
    out->n = 0;
    out->p = malloc(2 * size + 2); /* at most a zero for each byte */
    if (!out->p) return -1;
    out->p[out->n++] = 0;
    while (p < end) {
        if (*p == '{' && p + 1 < end && (p[1] == '{' || p[1] == '%' || p[1] == '#')) {
            if (out->p[out->n - 1]) out->p[out->n++] = 0;
            p += 2;
            read_code(out, &p, end, p[-1]);
        } else {
            out->p[out->n++] = *p++;
        }
    }
    out->p[out->n++] = 0;
    return 0;
}

/* Is there a text of the template that ends with this, and one that begins with that? */
static int is_joined(const literals *l, const char *left, const char *right) {
    char end[8], begin[8];
    const size_t n_left = strlen(left), n_right = strlen(right);
    memcpy(end, left, n_left + 1);
    memcpy(begin + 1, right, n_right);
    begin[0] = 0;
    return contains(l->p, l->n, end, n_left + 1) && contains(l->p, l->n, begin, n_right + 1);
}

/* A mark has a letter and a sign, such as <|user|> or USER:, and is not what a text has too, such as "the" or "\n\n".
 * An ordinary piece must have brackets around it. */
static int may_be_mark(const tokenizer_piece *p) {
    int letter = 0, sign = 0;
    if (p->size < 3 || (p->type != TOKENIZER_NORMAL && p->type != TOKENIZER_USER_DEFINED)) return 0;
    const char first = p->text[0], last = p->text[p->size - 1];
    if (p->type == TOKENIZER_NORMAL && !(first == '<' && last == '>') && !(first == '[' && last == ']')) return 0;
    for (size_t i = 0; i < p->size; i++) {
        const unsigned char c = (unsigned char)p->text[i];
        if (c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) letter = 1;
        else if (c > ' ' && !(c >= '0' && c <= '9')) sign = 1;
    }
    return letter && sign;
}

int vocabulary_protect(tokenizer_piece *pieces, int n_pieces, const char *jinja, size_t size) {
    static const char *const brackets[][2] = {{"<|", "|>"}, {"<", ">"}, {"[", "]"}};
    literals l;
    int joined[3];
    if (read_literals(&l, jinja, size)) return -1;
    for (int i = 0; i < 3; i++) joined[i] = is_joined(&l, brackets[i][0], brackets[i][1]);
    for (int id = 0; id < n_pieces; id++) {
        tokenizer_piece *p = &pieces[id];
        if (!may_be_mark(p)) continue;
        int is_mark = contains(l.p, l.n, p->text, p->size);
        for (int i = 0; i < 3 && p->type == TOKENIZER_USER_DEFINED; i++) {
            const size_t n = strlen(brackets[i][0]);
            is_mark = is_mark || (joined[i] && p->size > 2 * n && !memcmp(p->text, brackets[i][0], n) &&
                                  !memcmp(p->text + p->size - n, brackets[i][1], n));
        }
        if (is_mark) p->type = TOKENIZER_CONTROL, p->flags |= TOKENIZER_SHOWN;
    }
    free(l.p);
    return 0;
}

/* ---- Names of pieces ---- */

/* Of Llama 3, Granite, GPT-2 and Qwen, ChatML, Phi 3, Gemma, DeepSeek. */
int vocabulary_is_end(const tokenizer_piece *p) {
    static const char *const known[] = {
        "<|eot_id|>",      "<|eom_id|>",
        "<|end_of_text|>", "<|endoftext|>",
        "<|im_end|>",      "<|end|>",
        "<end_of_turn>",   "<\xEF\xBD\x9C\x65nd\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};
    if (p->type == TOKENIZER_UNUSED || p->type == TOKENIZER_BYTE) return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (p->size == strlen(known[i]) && !memcmp(p->text, known[i], p->size)) return 1;
    return 0;
}

int vocabulary_is_byte_name(const char *name, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    return size == 6 && !memcmp(name, "<0x", 3) && name[3] && strchr(digits, name[3]) && name[4] &&
           strchr(digits, name[4]) && name[5] == '>';
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

size_t vocabulary_encode_bytes(const char *text, size_t size, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)text[i];
        unsigned c = byte;
        if (alphabet_byte(c) < 0)
            for (c = 0x100; alphabet_byte(c) != byte;) c++;
        if (c < 0x80) out[n++] = (char)c;
        else out[n++] = (char)(0xC0 | c >> 6), out[n++] = (char)(0x80 | (c & 63));
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

char *vocabulary_beside(const char *path) {
    static const char *const names[] = {"tokenizer.bin", "tokenizer.model"};
    const char *slash = strrchr(path, '/');
    const size_t directory = slash ? (size_t)(slash - path) + 1 : 0;
    char *found = malloc(directory + sizeof "tokenizer.model");
    for (int i = 0; found && i < 2; i++) {
        memcpy(found, path, directory);
        strcpy(found + directory, names[i]);
        FILE *file = fopen(found, "rb");
        if (!file) continue;
        fclose(file);
        return found;
    }
    free(found);
    return NULL;
}

tokenizer *vocabulary_of_model(const llama_model *m, const char *path, const char *file, tokenizer_error *err) {
    const int n = llama_get_config(m)->vocab_size;
    size_t size;
    const void *own = llama_get_tokenizer(m, &size);
    char *beside = own || file ? NULL : vocabulary_beside(path);
    tokenizer *t = NULL;
    if (file || beside) t = tokenizer_load(file ? file : beside, n, NULL, err);
    else if (own) t = tokenizer_load_memory(own, size, n, NULL, err);
    free(beside);
    return t;
}
