/* tokens.c - tokens DIRECTORY|FILE.gguf TOKENS.jsonl - compares what a tokenizer makes of texts with what Hugging
 * Face's own library does. Each line of the file has a text, its ids, and what decoding gives where that is not the
 * text:
 *
 *     {"text": "a  b", "ids": [1, 261, 30166, 289], "decoded": "a  b"}
 *
 * Prints each text that has other ids, or comes back another; ends with 1 if there is one. A directory may be without
 * a model.
 */
#include "../tokenizer.h"
#include "../tools/formats/hf_tokenizer.h"
#include "../tools/shared/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16 };

static void quit(const char *why) {
    printf("%s\n", why);
    exit(2);
}

static double largest_id(const json_node *tokenizer) {
    const json_node *vocab = json_get(json_get(tokenizer, "model"), "vocab"),
                    *added = json_get(tokenizer, "added_tokens");
    double largest = 0;
    if (vocab)
        JSON_EACH(name, vocab) largest = name[1].number > largest ? name[1].number : largest;
    if (added)
        JSON_EACH(token, added) {
            const json_node *id = json_get(token, "id");
            if (id && id->number > largest) largest = id->number;
        }
    return largest;
}

/* As many rows as config.json says, or as the tokenizer needs. */
static int rows_of(const char *directory, json_text *config) {
    llama_error err;
    json_text tokenizer;
    memset(config, 0, sizeof *config);
    const char *const names[] = {"config.json", "tokenizer.json"};
    for (int i = 0; i < 2; i++) {
        if (!file_is_in(directory, names[i])) continue;
        char *path = path_join(directory, names[i], &err);
        if (!path || json_load(i ? &tokenizer : config, path, &err)) quit(err.text);
        free(path);
        const json_node *size = i ? NULL : json_get(config->nodes, "vocab_size");
        if (!i && !size) size = json_get(json_get(config->nodes, "text_config"), "vocab_size");
        if (size) return (int)size->number;
        if (!i) continue;
        const int rows = (int)largest_id(tokenizer.nodes) + 1;
        json_free(&tokenizer);
        return rows;
    }
    return 0;
}

static tokenizer *open_tokenizer(const char *path) {
    llama_error err = {.text = "no tokenizer"};
    tokenizer_error why;
    llama_source of_directory = {.tokenizer = NULL}, *s = &of_directory;
    const size_t n = strlen(path);
    if (n > 5 && !strcmp(path + n - 5, ".gguf")) {
        if (!(s = source_open_gguf(path, NULL, &err))) quit(err.text);
        if (!s->tokenizer) quit(s->tokenizer_error.text);
    } else {
        json_text config;
        s->config.vocab_size = rows_of(path, &config);
        if (hf_read_tokenizer(s, path, config.nodes, &err) || !s->tokenizer) quit(err.text);
        json_free(&config);
    }
    if (*s->skipped) printf("left out: %s\n", s->skipped);
    tokenizer *t = tokenizer_load_memory(s->tokenizer, s->tokenizer_size, 0, NULL, &why);
    if (!t) quit(why.text);
    if (s == &of_directory) free(s->tokenizer);
    else s->close(s);
    return t;
}

static int same_ids(const json_node *want, const int *ids, ptrdiff_t n) {
    int i = 0;
    if (n != (ptrdiff_t)want->size) return 0;
    JSON_EACH(id, want)
        if (id->number != ids[i++]) return 0;
    return 1;
}

static int decodes_to(const tokenizer *t, const int *ids, ptrdiff_t n, const json_node *want) {
    size_t at = 0, size;
    for (ptrdiff_t i = 0; i < n; i++) {
        const char *p = tokenizer_decode(t, i ? ids[i - 1] : -1, ids[i], &size);
        if (size > want->size - at || memcmp(p, want->text + at, size) != 0) return 0;
        at += size;
    }
    return at == want->size;
}

static int compare(const tokenizer *t, const char *line, size_t size) {
    static int ids[MOST];
    llama_error err;
    json_text j;
    if (json_parse(&j, line, size, "tokens", &err)) quit(err.text);
    const json_node *text = json_get(j.nodes, "text"), *want = json_get(j.nodes, "ids"),
                    *decoded = json_get(j.nodes, "decoded");
    if (!json_is(text, JSON_STRING) || !json_is(want, JSON_ARRAY)) quit("no text, or no ids");
    const ptrdiff_t n = tokenizer_encode(t, text->text, text->size, TOKENIZER_BOS | TOKENIZER_SPECIAL, ids, MOST, NULL);
    if (n < 0 || n > MOST) quit("too many ids");
    const int ids_differ = !same_ids(want, ids, n);
    const int differs = ids_differ || !decodes_to(t, ids, n, decoded ? decoded : text);
    if (differs) {
        printf(ids_differ ? "ids of %.*s\n  are" : "decoded is %.*s, which is not what it should be:", (int)size, line);
        for (ptrdiff_t i = 0; i < n; i++) printf(" %d", ids[i]);
        printf("\n");
    }
    json_free(&j);
    return differs;
}

int main(int argc, char **argv) {
    llama_error err;
    size_t size;
    int differ = 0, n = 0;
    if (argc != 3) quit("usage: tokens DIRECTORY|FILE.gguf TOKENS.jsonl");
    char *lines = file_read(argv[2], (size_t)1 << 28, &size, &err);
    if (!lines) quit(err.text);
    tokenizer *t = open_tokenizer(argv[1]);
    for (char *p = lines, *end = lines + size; p < end; n++) {
        char *newline = memchr(p, '\n', (size_t)(end - p));
        const size_t length = newline ? (size_t)(newline - p) : (size_t)(end - p);
        differ += compare(t, p, length);
        p += length + 1;
    }
    printf("%d of %d differ\n", differ, n);
    tokenizer_free(t);
    free(lines);
    return differ > 0;
}
