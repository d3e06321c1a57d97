/* test_real.c - how texts are split and encoded, as Hugging Face's library does: each split of tokenizer.h, and real
 * tokenizers with few of their pieces. real_tokenizers.mjs writes real_cases.inc, and compares the whole ones. To see
 * the words that a text is cut into, it includes tokenizer.c.
 *
 *     test_real SPLIT     the words of texts from stdin, each ended by a zero byte, for real_tokenizers.mjs
 */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */

#include "test.h"

#include "../tokenizer.c"
#include "../tools/formats/hf_tokenizer.h"

#include "real_cases.inc"

#include <unistd.h>

enum { N_TEXTS = sizeof real_texts / sizeof *real_texts, MOST_PIECES = 4096 };

/* The bytes of the words of a text, in numbers. */
static const char *words_of(int split, const char *text, size_t n) {
    static char sizes[1 << 20];
    const tk_words w = {text + n, split};
    char *out = sizes;
    *out = 0;
    for (const char *p = text, *next; p < w.end; p = next) {
        next = tk_word(&w, p);
        out += sprintf(out, "%s%d", p > text ? " " : "", (int)(next - p));
    }
    return sizes;
}

static void print_words(int split) {
    static char text[1 << 16];
    size_t n = 0;
    for (int c; (c = getchar()) != EOF;) {
        if (n < sizeof text) text[n++] = (char)c;
        if (c) continue;
        puts(words_of(split, text, n - 1));
        n = 0;
    }
}

static void test_words(void) {
    static const char *const *const words[] = {llama3_words, gpt2_words,  starcoder_words, qwen2_words,
                                               qwen35_words, gpt4o_words, tekken_words,    deepseek3_words};
    for (int split = 0; split < TK_N_SPLITS; split++)
        TEST("the words of a split")
            for (int i = 0; i < N_TEXTS; i++)
                if (!CHECK_TEXT(words_of(split, real_texts[i], strlen(real_texts[i])), words[split][i]))
                    printf("  split %d, text %s\n", split, real_texts[i]);
}

/* ---- tokenizer.json ---- */

static char pieces[MOST_PIECES][64];

static int find_piece(int n, const char *piece) {
    for (int i = 0; i < n; i++)
        if (!strcmp(pieces[i], piece)) return i;
    return -1;
}

/* The symbols and what the merges make of them, in order; returns how many. */
static int make_pieces(const char *const *symbols, int n, const short *merges, int n_merges) {
    for (int i = 0; i < n; i++) {
        static const int starts[] = {33, 161 - 94, 174 - 94 - 12}; /* of 94, of 12, and of the rest */
        int c = i + starts[i < 94 ? 0 : i < 94 + 12 ? 1 : 2];
        char *end = pieces[i];
        if (symbols) strcpy(end, symbols[i]);
        else end[tk_spell(c, end)] = 0;
    }
    for (int i = 0; i < n_merges; i++) {
        char joined[2 * sizeof pieces[0]];
        snprintf(joined, sizeof joined, "%s%s", pieces[merges[2 * i]], pieces[merges[2 * i + 1]]);
        if (find_piece(n, joined) < 0) strcpy(pieces[n++], joined);
    }
    return n;
}

static void put_string(FILE *file, const char *s) {
    for (putc('"', file); *s; s++) {
        if (*s == '"' || *s == '\\') putc('\\', file);
        if (*s == '\n' || *s == '\t') fputs(*s == '\n' ? "\\n" : "\\t", file);
        else putc(*s, file);
    }
    putc('"', file);
}

/* Writes json with the vocabulary and the merges in place of each "@". */
static void put_json(FILE *file, int i, int n_pieces) {
    const char *json = real[i].json, *vocab = strstr(json, "\"@\""), *merges = strstr(vocab + 1, "\"@\"");
    fwrite(json, 1, (size_t)(vocab - json), file);
    for (int id = 0; id < n_pieces; id++) {
        putc(id ? ',' : '{', file);
        put_string(file, pieces[id]);
        fprintf(file, ":%d", id);
    }
    fprintf(file, "}%.*s", (int)(merges - vocab - 3), vocab + 3);
    for (int m = 0; m < real[i].n_merges; m++) {
        const char *left = pieces[real[i].merges[2 * m]], *right = pieces[real[i].merges[2 * m + 1]];
        char both[200];
        fputs(m ? "," : "[", file);
        if (real[i].is_pairs) {
            putc('[', file), put_string(file, left);
            putc(',', file), put_string(file, right), putc(']', file);
        } else {
            sprintf(both, "%s %s", left, right);
            put_string(file, both);
        }
    }
    fprintf(file, "]%s", merges + 3);
}

/* Number i of the real ones; reads it as tools/convert does. */
static tokenizer *open_real(int i) {
    char directory[] = "tests/bin/real-XXXXXX", path[100];
    llama_source s = {.config = {.vocab_size = MOST_PIECES}};
    llama_error err;
    tokenizer *t = NULL;
    const int n = make_pieces(real[i].symbols, real[i].n_symbols, real[i].merges, real[i].n_merges);
    if (!mkdtemp(directory)) return NULL;
    snprintf(path, sizeof path, "%s/tokenizer.json", directory);
    FILE *file = fopen(path, "wb");
    if (file) {
        put_json(file, i, n);
        fclose(file);
        if (hf_read_tokenizer(&s, directory, NULL, &err)) printf("%s\n", err.text);
        else t = tokenizer_load_memory(s.tokenizer, s.tokenizer_size, 0, NULL, NULL);
        free(s.tokenizer);
    }
    remove(path);
    rmdir(directory);
    return t;
}

static const char *encoded(const tokenizer *t, const char *text) {
    static char words[8000];
    static int ids[1000];
    const ptrdiff_t n = tokenizer_encode(t, text, strlen(text), 0, ids, 1000, NULL);
    char *out = words;
    *out = 0;
    for (ptrdiff_t i = 0; i < n && i < 1000; i++) out += sprintf(out, i ? " %d" : "%d", ids[i]);
    return words;
}

static void test_tokenizers(void) {
    for (size_t i = 0; i < sizeof real / sizeof *real; i++)
        TEST(real[i].name) {
            tokenizer *t = open_real((int)i);
            CHECK(t != NULL);
            for (int text = 0; t && text < N_TEXTS; text++)
                if (!CHECK_TEXT(encoded(t, real_texts[text]), real[i].ids[text]))
                    printf("  text   %s\n", real_texts[text]);
            tokenizer_free(t);
        }
}

int main(int n_args, char **args) {
    if (n_args > 1) return print_words(atoi(args[1])), 0;
    test_words();
    test_tokenizers();
    return test_end();
}
