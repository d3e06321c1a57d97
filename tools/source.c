/* source.c - what the inputs of tools/convert share. Contract in source.h. */
#define _POSIX_C_SOURCE 200809L /* fseeko */
#define _FILE_OFFSET_BITS 64    /* and with 64 bits on a 32-bit system */

#include "source.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int source_fail(llama_error *err, const char *format, ...) {
    if (!err) return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    for (char *p = err->text; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) *p = '?';
    return -1;
}

/* ---- Files ---- */

#ifdef _WIN32
#define SOURCE_SEEK(file, offset, from) _fseeki64(file, (__int64)(offset), from)
#define SOURCE_TELL(file) _ftelli64(file)
#else
#define SOURCE_SEEK(file, offset, from) fseeko(file, (off_t)(offset), from)
#define SOURCE_TELL(file) ftello(file)
#endif

int source_read_at(FILE *file, uint64_t offset, void *out, size_t size) {
    if (offset > INT64_MAX || SOURCE_SEEK(file, offset, SEEK_SET)) return -1;
    return fread(out, 1, size, file) == size ? 0 : -1;
}

int source_file_size(FILE *file, uint64_t *size) {
    if (SOURCE_SEEK(file, 0, SEEK_END)) return -1;
    const int64_t end = (int64_t)SOURCE_TELL(file);
    if (end < 0 || end == INT64_MAX) return -1; /* a pipe; a directory */
    *size = (uint64_t)end;
    return 0;
}

int source_rename(const char *from, const char *to) {
#ifdef _WIN32
    remove(to);
#endif
    return rename(from, to);
}

char *source_read_file(const char *path, size_t limit, size_t *size, llama_error *err) {
    uint64_t bytes = 0;
    char *data = NULL;
    FILE *file = fopen(path, "rb");
    if (!file) return source_fail(err, "%.120s: cannot open: %s", path, strerror(errno)), NULL;
    if (source_file_size(file, &bytes)) {
        source_fail(err, "%.120s: not a file", path);
    } else if (bytes > limit) {
        source_fail(err, "%.120s: %llu bytes, more than %zu", path, (unsigned long long)bytes, limit);
    } else if (!(data = malloc((size_t)bytes + 1))) {
        source_fail(err, "%.120s: no memory for %llu bytes", path, (unsigned long long)bytes);
    } else if (source_read_at(file, 0, data, (size_t)bytes)) {
        source_fail(err, "%.120s: cannot read: %s", path, strerror(errno));
        free(data);
        data = NULL;
    } else {
        data[*size = (size_t)bytes] = 0;
    }
    fclose(file);
    return data;
}

/* ---- Numbers ---- */

uint64_t source_mul(uint64_t a, uint64_t b) { return b && a > UINT64_MAX / b ? UINT64_MAX : a * b; }

void source_shape(const llama_config *f, enum source_tensor tensor, int *rows, int *cols) {
    const int q = f->n_heads * f->head_dim, kv = f->n_kv_heads * f->head_dim;
    *cols = f->dim;
    switch (tensor) {
    case SOURCE_EMBEDDING:
    case SOURCE_CLASSIFIER: *rows = f->vocab_size; break;
    case SOURCE_FINAL_NORM:
    case SOURCE_ATTENTION_NORM:
    case SOURCE_FFN_NORM: *rows = 1; break;
    case SOURCE_WQ: *rows = q; break;
    case SOURCE_WK:
    case SOURCE_WV: *rows = kv; break;
    case SOURCE_WO: *rows = f->dim, *cols = q; break;
    case SOURCE_W1:
    case SOURCE_W3: *rows = f->hidden_dim; break;
    case SOURCE_W2: *rows = f->dim, *cols = f->hidden_dim; break;
    }
}

float *source_rope(int head_dim, float theta) {
    float *f = malloc((size_t)(head_dim / 2) * sizeof *f);
    for (int i = 0; f && i < head_dim / 2; i++) f[i] = (float)pow((double)theta, -2.0 * i / head_dim);
    return f;
}

/* ---- Tokenizers ---- */

static int source_contains(const char *text, size_t size, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = text; size >= n && (p = memchr(p, *word, size - n + 1 - (size_t)(p - text))); p++)
        if (!memcmp(p, word, n)) return 1;
    return 0;
}

const char *source_template(const char *jinja, size_t size) {
    if (source_contains(jinja, size, "<|start_header_id|>")) return "llama3";
    if (source_contains(jinja, size, "<|im_start|>")) return "chatml";
    if (source_contains(jinja, size, "[INST]")) return source_contains(jinja, size, "<<SYS>>") ? "llama2" : "mistral";
    if (source_contains(jinja, size, "<|user|>")) return "zephyr";
    return NULL;
}

int source_ends_turn(const char *name, size_t size) {
    static const char *const known[] = {"<|eot_id|>", "<|eom_id|>", "<|im_end|>"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (size == strlen(known[i]) && !memcmp(name, known[i], size)) return 1;
    return 0;
}

/* The byte that a character of GPT-2's alphabet stands for, or -1. Printable characters of Latin-1 stand for
 * themselves; the other 68 bytes, in order, are U+0100 to U+0143. */
static int source_alphabet_byte(unsigned c) {
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

ptrdiff_t source_decode_bytes(const char *text, size_t size, char *out) {
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    ptrdiff_t n = 0;
    while (p < end) {
        unsigned c = *p++;
        /* All of the alphabet has at most two bytes in UTF-8. */
        if (c >= 0x80) c = (c & 0xE0) == 0xC0 && p < end && (*p & 0xC0) == 0x80 ? (c & 31) << 6 | (*p++ & 63) : ~0u;
        const int byte = source_alphabet_byte(c);
        if (byte < 0) return -1;
        out[n++] = (char)byte;
    }
    return n;
}
