/* tokenize.c - text on stdin to token ids on stdout, and with -d back.
 *
 * Ids are printed on one line, separated by spaces, without the id that starts a text; with -0 stdin holds many
 * texts, each ended by a zero byte, and each gets a line. Decoding writes the bytes and nothing else. As
 * SentencePiece's decode does, it takes off the space that encoding put before the text: one, from the first token
 * that is not a control token.
 *
 * Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage.
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

static struct { /* what the command line asks for */
    const char *file;
    int backwards, many;
} arg;

static const option options[] = {
    {'d', "decode", NULL, FLAG, &arg.backwards, 0, 1, 0, "ids to text"},
    {'0', "null", NULL, FLAG, &arg.many, 0, 1, 0, "texts that each end with a zero byte: a line each"},
    {'h', "help", NULL, HELP, NULL, 0, 0, 0, "print this"},
    {0, "version", NULL, VERSION, NULL, 0, 0, 0, "print the version"},
};

static const command_line line = {
    .program = "tokenize",
    .hint = "\nusage: tokenize TOKENIZER [options] <TEXT >IDS, see tokenize --help",
    .help = "usage: tokenize TOKENIZER [options] <TEXT >IDS\n"
            "Prints the ids of the tokens of a text, which it reads from standard input.\n"
            "TOKENIZER is a .llama file, the tokenizer.bin of a llama2.c model, or a\n"
            "SentencePiece tokenizer.model of type BPE.\n\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .names = {&arg.file},
};

/* All of stdin with a zero after it, or NULL with errno set. */
static char *read_stdin(size_t *size) {
    size_t capacity = 1 << 16;
    char *data = malloc(capacity);
    *size = 0;
    while (data) {
        *size += fread(data + *size, 1, capacity - 1 - *size, stdin);
        if (*size < capacity - 1) break; /* on a terminal more might follow the end, but nobody means that */
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

/* ---- The tokenizer ---- */

/* Ends with the commands that make a tokenizer of what is at from. */
NORETURN static void advise_to_convert(const char *what, const char *from) {
    char name[256];
    llama_name(from, name, sizeof name);
    fail(
        "%.120s is %s; its tokenizer comes with the model: tools/convert \"%.120s\" \"%s\", then tools/tokenize \"%s\"",
        arg.file, what, from, name, name);
}

/* The directory that the file is in. */
static const char *directory(void) {
    static char name[256];
    const char *slash = strrchr(arg.file, '/');
    snprintf(name, sizeof name, "%.*s", slash ? (int)(slash - arg.file) : 1, slash ? arg.file : ".");
    return name[0] ? name : "/";
}

/* Ends with what to name instead of a model that has no tokenizer in it. */
NORETURN static void advise_tokenizer(void) {
    static const char *const names[] = {"tokenizer.bin", "tokenizer.model"};
    for (int i = 0; i < 2; i++)
        if (file_is_in(directory(), names[i]))
            fail("%.200s is a model without a tokenizer; beside it is one: tools/tokenize \"%.200s/%s\"", arg.file,
                 directory(), names[i]);
    fail("%.200s is a model without a tokenizer; name the file that goes with it: tools/tokenize tokenizer.bin",
         arg.file);
}

/* What was named as a tokenizer and is none: what it is, if that can be told, and what to do instead. */
NORETURN static void refuse(const char *why) {
    const char *path = arg.file;
    char start[9] = "";
    const int n = is_directory(path) ? 0 : file_start(path, start, sizeof start);
    if (is_directory(path)) advise_to_convert("a directory, perhaps from Hugging Face", path);
    if (n < 0 && (strchr(path, ' ') || !path[strcspn(path, "./")]))
        fail("no file is named \"%.200s\"; a text comes on standard input: printf '%%s' \"%.200s\" | tools/tokenize "
             "tools/model/austen.llama",
             path, path);
    if (n < 0) fail("%s; there is a tokenizer in tools/model: tools/tokenize tools/model/austen.llama", why);
    if (n >= 4 && !memcmp(start, "GGUF", 4)) advise_to_convert("a GGUF file", path);
    if (n == sizeof start && start[8] == '{') advise_to_convert("a safetensors file, part of a directory", directory());
    if (start[0] == '{') advise_to_convert("JSON, part of a directory from Hugging Face", directory());
    llama_model *model = llama_load(path, NULL, NULL);
    llama_free(model);
    if (model) advise_tokenizer();
    fail("%s", why);
}

/* The tokenizer of a .llama file or the one that the file is. */
static tokenizer *load(const char *path) {
    char start[8];
    tokenizer_error err = {0, ""};
    llama_error why;
    const int n = file_start(path, start, sizeof start);
    if (n < (int)sizeof start || memcmp(start, inside_magic(), sizeof start)) {
        tokenizer *t = tokenizer_load(path, 0, NULL, &err);
        if (!t) refuse(err.text);
        return t;
    }
    llama_model *model = llama_load(path, NULL, &why);
    if (!model) fail("%s", why.text);
    size_t size;
    const void *data = llama_get_tokenizer(model, &size);
    if (!data) advise_tokenizer();
    tokenizer *t = tokenizer_load_memory(data, size, llama_get_config(model)->vocab_size, NULL, &err);
    if (!t) fail("%.200s: %.200s", path, err.text);
    llama_free(model);
    return t;
}

int main(int argc, char **argv) {
    options_parse(&line, argc, argv);
    if (!arg.file) misuse("no TOKENIZER");
    tokenizer *t = load(arg.file);
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
