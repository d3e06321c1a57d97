/* tokenize.c - text on stdin to token ids on stdout, and with -d back.
 *
 * Ids are printed on one line, separated by spaces, without the id that starts a text; with -0 stdin holds many
 * texts, each ended by a zero byte, and each gets a line. Decoding writes
 * the bytes and nothing else. As SentencePiece's decode does, it takes off the space that encoding put
 * before the text: one, from the first token that is not a control token.
 */
#include "../llama.h"
#include "../tokenizer.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: tokenize FILE < text > ids\n"
                            "       tokenize FILE -0 < texts, each with a zero byte after it > lines of ids\n"
                            "       tokenize FILE -d < ids > text\n"
                            "FILE is a .llama file, a llama2.c tokenizer.bin or a SentencePiece .model of type BPE.\n";

static int fail(const char *what, const char *why) {
    fprintf(stderr, "tokenize: %s%s%s\n", what, *why ? ": " : "", why);
    return 1;
}

/* All of stdin with a zero after it, or NULL with errno set. */
static char *read_stdin(size_t *size) {
    size_t capacity = 1 << 16;
    char *data = malloc(capacity);
    *size = 0;
    while (data) {
        *size += fread(data + *size, 1, capacity - 1 - *size, stdin);
        if (*size < capacity - 1) break;
        char *larger = capacity <= (size_t)-1 / 2 ? realloc(data, capacity *= 2) : NULL;
        if (!larger) free(data);
        data = larger;
    }
    if (!data) return errno = ENOMEM, NULL;
    if (ferror(stdin)) return free(data), NULL;
    data[*size] = 0;
    return data;
}

static int encode(const tokenizer *t, const char *text, size_t size) {
    tokenizer_error err;
    int *ids = NULL;
    size_t capacity = size + 1; /* enough for most vocabularies */
    for (;;) {
        ids = capacity < SIZE_MAX / sizeof *ids ? malloc(capacity * sizeof *ids) : NULL;
        if (!ids) return fail("no memory for the ids", "");
        ptrdiff_t n = tokenizer_encode(t, text, size, 0, ids, capacity, &err);
        if (n < 0) return free(ids), fail(err.text, "");
        if ((size_t)n <= capacity) {
            for (ptrdiff_t i = 0; i < n; i++) printf("%s%d", i ? " " : "", ids[i]);
            free(ids);
            putchar('\n'); /* main looks at ferror */
            return 0;
        }
        free(ids);
        capacity = (size_t)n;
    }
}

static int encode_all(const tokenizer *t, const char *text, size_t size) {
    for (const char *end = text + size; text < end;) {
        size_t n = strlen(text); /* there is a zero after the last one too */
        if (encode(t, text, n)) return 1;
        text += n + 1;
    }
    return 0;
}

static int decode(const tokenizer *t, char *text, size_t size) {
    int previous = -1;
    if (strlen(text) != size) return fail("the ids hold a zero byte", "");
    for (char *word = strtok(text, " \t\r\n\v\f"); word; word = strtok(NULL, " \t\r\n\v\f")) {
        char *end, what[80];
        errno = 0;
        long id = strtol(word, &end, 10);
        if (*end || errno || id < 0 || id >= tokenizer_vocab_size(t)) {
            snprintf(what, sizeof what, "\"%.30s\" is no id from 0 to %d", word, tokenizer_vocab_size(t) - 1);
            for (char *p = what; *p; p++)
                if (iscntrl((unsigned char)*p)) *p = '?';
            return fail(what, "");
        }
        size_t n;
        const char *p = tokenizer_decode(t, previous, (int)id, &n);
        fwrite(p, 1, n, stdout);
        tokenizer_decode(t, (int)id, (int)id, &n);
        if (n) previous = (int)id; /* a control token shows nothing: the text has yet to start */
    }
    return 0;
}

/* The tokenizer of a .llama file or the one that the file is. */
static tokenizer *load(const char *path, tokenizer_error *err) {
    char start[8] = "";
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(start, 1, sizeof start, file) : 0;
    if (file) fclose(file);
    if (n < sizeof start || memcmp(start, "llama.c\n", sizeof start)) return tokenizer_load(path, 0, NULL, err);

    llama_error why;
    llama_model *model = llama_load(path, NULL, &why);
    if (!model) return snprintf(err->text, sizeof err->text, "%.250s", why.text), NULL;
    tokenizer *t = NULL;
    size_t size;
    const void *data = llama_get_tokenizer(model, &size);
    if (data) t = tokenizer_load_memory(data, size, llama_get_config(model)->vocab_size, NULL, err);
    else snprintf(err->text, sizeof err->text, "%.200s holds no tokenizer", path);
    llama_free(model);
    return t;
}

int main(int argc, char **argv) {
    const char *path = NULL;
    int backwards = 0, many = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0 || fflush(stdout);
        if (!strcmp(argv[i], "-d")) backwards = 1;
        else if (!strcmp(argv[i], "-0")) many = 1;
        else if (argv[i][0] == '-' || path) return fputs(usage, stderr), 2;
        else path = argv[i];
    }
    if (!path) return fputs(usage, stderr), 2;

    tokenizer_error err;
    tokenizer *t = load(path, &err);
    if (!t) return fail(err.text, "");
    size_t size;
    errno = 0;
    char *text = read_stdin(&size);
    int status = !text       ? fail("cannot read stdin", strerror(errno))
                 : backwards ? decode(t, text, size)
                 : many      ? encode_all(t, text, size)
                             : encode(t, text, size);
    if ((fflush(stdout) || ferror(stdout)) && !status) status = fail("cannot write", strerror(errno));
    free(text);
    tokenizer_free(t);
    return status;
}
