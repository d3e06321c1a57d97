/* tokens.c - tokens DIRECTORY|FILE.gguf TOKENS.jsonl - compares what a tokenizer makes of texts with what Hugging
 * Face's own library does. Each line of the file has a text, its ids, and what decoding gives where that is not the
 * text:
 *
 *     {"text": "a  b", "ids": [1, 261, 30166, 289], "decoded": "a  b"}
 *
 * golden.json beside it may have conversations, with the ids that the model's template gives, or null where it refuses:
 *
 *     {"chat": [{"messages": [{"role": "user", "content": "a"}], "ids": [1, 261], ..}, ..], ..}
 *
 * Prints each text that has other ids, or comes back another, and each such conversation; ends with 1 if there is
 * one. A directory may be without a model.
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

/* Whether the name of a special token is in what someone says: to the template it is one, to us it is text. */
static int has_mark(const tokenizer *t, const tokenizer_message *m) {
    static int ids[2][MOST];
    const ptrdiff_t n = tokenizer_encode(t, m->text, m->size, 0, ids[0], MOST, NULL),
                    special = tokenizer_encode(t, m->text, m->size, TOKENIZER_SPECIAL, ids[1], MOST, NULL);
    return m->role != TOKENIZER_ASSISTANT && (n != special || memcmp(ids[0], ids[1], (size_t)n * sizeof(int)) != 0);
}

static int compare_chat(const tokenizer *t, const json_node *chat) {
    static int ids[MOST];
    tokenizer_message messages[16];
    const json_node *list = json_get(chat, "messages"), *want = json_get(chat, "ids");
    int n = 0;
    JSON_EACH(one, list) {
        const json_node *role = json_get(one, "role"), *text = json_get(one, "content");
        messages[n] = (tokenizer_message){json_is_text(role, "system") ? TOKENIZER_SYSTEM
                                          : json_is_text(role, "user") ? TOKENIZER_USER
                                                                       : TOKENIZER_ASSISTANT,
                                          text->text, text->size};
        if (n == 15 || has_mark(t, &messages[n])) return 0;
        n++;
    }
    const ptrdiff_t count = tokenizer_encode_chat(t, 0, messages, n, 0, ids, MOST, NULL);
    if (!json_is(want, JSON_ARRAY) ? count < 0 : count >= 0 && same_ids(want, ids, count)) return 0;
    printf("the conversation that ends with \"%.*s\"\n  is", (int)messages[n - 1].size, messages[n - 1].text);
    for (ptrdiff_t i = 0; i < count; i++) printf(" %d", ids[i]);
    printf("\n");
    return 1;
}

/* Conversations of golden.json beside the file of texts. */
static int compare_chats(const tokenizer *t, const char *path) {
    const char *slash = strrchr(path, '/');
    char beside[1000];
    llama_error err;
    json_text j;
    int differ = 0, n = 0;
    snprintf(beside, sizeof beside, "%.*sgolden.json", slash ? (int)(slash - path) + 1 : 0, path);
    FILE *file = fopen(beside, "rb");
    if (!file) return 0;
    fclose(file);
    if (json_load(&j, beside, &err)) quit(err.text);
    const json_node *chats = json_get(j.nodes, "chat");
    if (json_is(chats, JSON_ARRAY))
        JSON_EACH(chat, chats) differ += compare_chat(t, chat), n++;
    json_free(&j);
    printf("%d of %d chats differ\n", differ, n);
    return differ;
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
    const int chats = compare_chats(t, argv[2]);
    printf("%d of %d differ\n", differ, n);
    tokenizer_free(t);
    free(lines);
    return differ + chats > 0;
}
