/* tokenize.c - text on stdin to token ids on stdout, and with -d back.
 *
 * Ids are printed on one line, separated by spaces, without the id that starts a text; with -0 stdin holds many
 * texts, each ended by a zero byte, and each gets a line. Decoding writes
 * the bytes and nothing else. As SentencePiece's decode does, it takes off the space that encoding put
 * before the text: one, from the first token that is not a control token.
 */
#include "../llama.h"
#include "../tokenizer.h"
#include "shared/files.h"
#include "shared/inside.h"
#include "shared/options.h"
#include "shared/terminal.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: tokenize FILE < text > ids\n"
                            "       tokenize FILE -0 < texts, each with a zero byte after it > lines of ids\n"
                            "       tokenize FILE -d < ids > text\n"
                            "FILE is a .llama file, a llama2.c tokenizer.bin or a SentencePiece .model of type BPE.\n";

static struct { /* what the command line asks for */
    const char *file;
    int backwards, many;
} arg;

static const option options[] = {
    {'d', NULL, NULL, FLAG, &arg.backwards, 0, 1, 0, NULL},
    {'0', NULL, NULL, FLAG, &arg.many, 0, 1, 0, NULL},
    {'h', "help", NULL, HELP, NULL, 0, 0, 0, NULL},
};

/* The usage is short enough to say all of it, whatever is wrong. */
static void wrong(option_fault fault, const option *o, const char *argument) {
    (void)fault, (void)o, (void)argument;
    fputs(usage, stderr);
    exit(STATUS_USAGE);
}

static const command_line line = {
    .program = "tokenize",
    .hint = "",
    .help = usage,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .names = {&arg.file},
    .wrong = wrong,
};

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

static void encode(const tokenizer *t, const char *text, size_t size) {
    tokenizer_error err;
    size_t capacity = size + 1; /* enough for most vocabularies */
    for (;;) {
        int *ids = capacity < SIZE_MAX / sizeof *ids ? malloc(capacity * sizeof *ids) : NULL;
        if (!ids) fail("no memory for the ids");
        const ptrdiff_t n = tokenizer_encode(t, text, size, 0, ids, capacity, &err);
        if (n < 0) free(ids), fail("%s", err.text);
        for (ptrdiff_t i = 0; (size_t)n <= capacity && i < n; i++) printf("%s%d", i ? " " : "", ids[i]);
        free(ids);
        if ((size_t)n <= capacity) break;
        capacity = (size_t)n;
    }
    putchar('\n'); /* main looks at ferror */
}

static void encode_all(const tokenizer *t, const char *text, size_t size) {
    for (const char *end = text + size; text < end;) {
        const size_t n = strlen(text); /* there is a zero after the last one too */
        encode(t, text, n);
        text += n + 1;
    }
}

static void decode(const tokenizer *t, char *text, size_t size) {
    int previous = -1;
    if (strlen(text) != size) fail("the ids hold a zero byte");
    for (char *word = strtok(text, " \t\r\n\v\f"); word; word = strtok(NULL, " \t\r\n\v\f")) {
        char *end;
        errno = 0;
        const long id = strtol(word, &end, 10);
        if (*end || errno || id < 0 || id >= tokenizer_vocab_size(t))
            fail("\"%.30s\" is no id from 0 to %d", word, tokenizer_vocab_size(t) - 1);
        size_t n;
        const char *p = tokenizer_decode(t, previous, (int)id, &n);
        fwrite(p, 1, n, stdout);
        tokenizer_decode(t, (int)id, (int)id, &n);
        if (n) previous = (int)id; /* a control token shows nothing: the text has yet to start */
    }
}

/* The tokenizer of a .llama file or the one that the file is. */
static tokenizer *load(const char *path, tokenizer_error *err) {
    char start[8];
    const int n = file_start(path, start, sizeof start);
    if (n < (int)sizeof start || memcmp(start, inside_magic(), sizeof start)) return tokenizer_load(path, 0, NULL, err);

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
    tokenizer_error err;
    options_parse(&line, argc, argv);
    if (!arg.file) wrong(OPTION_NEEDS_VALUE, NULL, "FILE");
    tokenizer *t = load(arg.file, &err);
    if (!t) fail("%s", err.text);
    size_t size;
    errno = 0;
    char *text = read_stdin(&size);
    if (!text) fail("cannot read stdin: %s", strerror(errno));
    if (arg.backwards) decode(t, text, size);
    else if (arg.many) encode_all(t, text, size);
    else encode(t, text, size);
    if (fflush(stdout) || ferror(stdout)) fail("cannot write: %s", strerror(errno));
    free(text);
    tokenizer_free(t);
    return 0;
}
