/* gguf_tokenizer.c - the tokenizer that a GGUF file's metadata describe. Contract in gguf.h. */
#include "../../tokenizer.h"
#include "gguf.h"
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

enum { GGUF_MAX_ENDS = 64 }; /* as many as a tokenizer takes */

/* The vocabulary as tokenizer_create takes it. Its texts point into the head. */
typedef struct {
    tokenizer_parts parts;
    tokenizer_piece *pieces;
    int (*merges)[2];
    int ends[GGUF_MAX_ENDS];
} gguf_vocabulary;

/* Texts and types; the texts of byte-level pieces as the bytes that they stand for. */
static int gguf_read_pieces(gguf_head *h, gguf_vocabulary *v) {
    const int n = v->parts.n_pieces, is_scored = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    const gguf_entry *tokens, *types, *scores = NULL;
    if (!gguf_array(h, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)n, &tokens) ||
        !gguf_array(h, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)n, &types) ||
        (is_scored && !gguf_array(h, "tokenizer.ggml.scores", GGUF_F32, (uint64_t)n, &scores)))
        return 0;
    v->parts.pieces = v->pieces = malloc((size_t)n * sizeof *v->pieces);
    if (!v->pieces) return gguf_fail(h, "no memory for %d tokens", n);
    size_t at = tokens->at;
    for (int i = 0; i < n; i++) {
        tokenizer_piece *p = &v->pieces[i];
        const double type = gguf_element(h, types, (uint64_t)i);
        char *text = gguf_next_string(h, &at, &p->size);
        if (!(type >= TOKENIZER_NORMAL && type <= TOKENIZER_BYTE))
            return gguf_fail(h, "tokenizer.ggml.token_type[%d] is %.0f, not 1..6", i, type);
        p->text = text;
        p->type = (int)type;
        p->flags = p->type == TOKENIZER_USER_DEFINED ? TOKENIZER_SEGMENT : 0; /* as llama.cpp does with all */
        p->score = scores ? (float)gguf_element(h, scores, (uint64_t)i) : 0;
        if (is_scored || p->type != TOKENIZER_NORMAL) continue;
        const ptrdiff_t size = vocabulary_decode_bytes(text, p->size, text);
        if (size < 0) return gguf_fail(h, "tokenizer.ggml.tokens[%d] has a character that stands for no byte", i);
        p->size = (size_t)size;
    }
    return 1;
}

/* --- Merges are written as two texts with a space between, and wanted as two ids --- */

static int gguf_compare_pieces(const void *a, const void *b) {
    const tokenizer_piece *p = *(const tokenizer_piece *const *)a, *q = *(const tokenizer_piece *const *)b;
    const int c = memcmp(p->text, q->text, p->size < q->size ? p->size : q->size);
    return c ? c : (p->size > q->size) - (p->size < q->size);
}

/* The pieces that text may become, in order of their bytes. */
static const tokenizer_piece **gguf_sort_pieces(gguf_head *h, const gguf_vocabulary *v, size_t *n) {
    const tokenizer_piece **order = malloc((size_t)v->parts.n_pieces * sizeof *order);
    if (!order) return gguf_fail(h, "no memory for %d tokens", v->parts.n_pieces), NULL;
    *n = 0;
    for (int i = 0; i < v->parts.n_pieces; i++)
        if (v->pieces[i].type == TOKENIZER_NORMAL) order[(*n)++] = &v->pieces[i];
    qsort(order, *n, sizeof *order, gguf_compare_pieces);
    return order;
}

/* Merge i, whose text is at *at. order has the n pieces that it may name. */
static int gguf_read_merge(gguf_head *h, gguf_vocabulary *v, const tokenizer_piece **order, size_t n, size_t *at,
                           int i) {
    size_t size;
    char *text = gguf_next_string(h, at, &size), *space = memchr(text, ' ', size);
    if (!space) return gguf_fail(h, "tokenizer.ggml.merges[%d] \"%.*s\" has no space", i, gguf_shown(size), text);
    char *const starts[2] = {text, space + 1}, *const ends[2] = {space, text + size};
    for (int side = 0; side < 2; side++) {
        const ptrdiff_t n_bytes =
            vocabulary_decode_bytes(starts[side], (size_t)(ends[side] - starts[side]), starts[side]);
        const tokenizer_piece key = {.text = starts[side], .size = (size_t)n_bytes}, *p = &key;
        const tokenizer_piece **found = n_bytes < 0 ? NULL : bsearch(&p, order, n, sizeof *order, gguf_compare_pieces);
        if (!found) return gguf_fail(h, "tokenizer.ggml.merges[%d]: its %s is no token", i, side ? "right" : "left");
        v->merges[i][side] = (int)(*found - v->pieces);
    }
    return 1;
}

static int gguf_read_merges(gguf_head *h, gguf_vocabulary *v) {
    const gguf_entry *e;
    size_t n;
    if (!gguf_array(h, "tokenizer.ggml.merges", GGUF_STRING, GGUF_ANY, &e)) return 0;
    const int n_merges = (int)e->count; /* fits: the head is limited to GGUF_MAX_HEAD */
    v->merges = malloc((size_t)(e->count + 1) * sizeof *v->merges);
    if (!v->merges) return gguf_fail(h, "no memory for %d merges", n_merges);
    const tokenizer_piece **order = gguf_sort_pieces(h, v, &n);
    if (!order) return 0;
    size_t at = e->at;
    while (v->parts.n_merges < n_merges && gguf_read_merge(h, v, order, n, &at, v->parts.n_merges)) v->parts.n_merges++;
    free(order);
    v->parts.merges = (const int(*)[2])v->merges;
    return v->parts.n_merges == n_merges;
}

/* *id = a token's id, -1 if the file says that there is none, which it does by 2^32 - 1; else unchanged. */
static int gguf_token_id(gguf_head *h, const char *key, int n_pieces, int *id) {
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(h, key, full);
    if (e && !e->is_array && gguf_is_integer(e) && gguf_element(h, e, 0) == UINT32_MAX) return *id = -1, 1;
    return gguf_int(h, key, 0, n_pieces - 1, 0, id);
}

static int gguf_add_end(gguf_head *h, gguf_vocabulary *v, int id) {
    for (int i = 0; i < v->parts.n_ends; i++)
        if (v->ends[i] == id) return 1;
    if (id < 0 || id >= v->parts.n_pieces) return 1; /* none; a default that the vocabulary is too small for */
    if (v->parts.n_ends == GGUF_MAX_ENDS)
        return gguf_fail(h, "tokenizer.ggml.tokens: more than %d end a text", GGUF_MAX_ENDS);
    v->ends[v->parts.n_ends++] = id;
    return 1;
}

/* bos, and all that end a text, eos first: those that have a key, and control tokens with a name that says so. */
static int gguf_read_special(gguf_head *h, gguf_vocabulary *v) {
    const int is_scored = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    const int n = v->parts.n_pieces;
    int eos = is_scored ? 2 : -1, eot = -1, eom = -1;
    v->parts.bos = is_scored && n > 1 ? 1 : -1;
    v->parts.add_bos = 1;
    if (!gguf_token_id(h, "tokenizer.ggml.bos_token_id", n, &v->parts.bos) ||
        !gguf_token_id(h, "tokenizer.ggml.eos_token_id", n, &eos) ||
        !gguf_token_id(h, "tokenizer.ggml.eot_token_id", n, &eot) ||
        !gguf_token_id(h, "tokenizer.ggml.eom_token_id", n, &eom) ||
        !gguf_bool(h, "tokenizer.ggml.add_bos_token", &v->parts.add_bos) || !gguf_add_end(h, v, eos) ||
        !gguf_add_end(h, v, eot) || !gguf_add_end(h, v, eom))
        return 0;
    for (int i = 0; i < n; i++) {
        const tokenizer_piece *p = &v->pieces[i];
        if (vocabulary_is_end(p) && !gguf_add_end(h, v, i)) return 0;
    }
    v->parts.ends = v->ends;
    return 1;
}

/* *kind = the kind of vocabulary, 0 if there is none. */
static int gguf_vocabulary_kind(gguf_head *h, int *kind) {
    static const char *const pres[] = {"llama-bpe", "llama3", "llama-v3"};
    const char *model, *pre;
    size_t model_size, pre_size;
    *kind = 0;
    if (!gguf_text(h, "tokenizer.ggml.model", &model, &model_size) ||
        !gguf_text(h, "tokenizer.ggml.pre", &pre, &pre_size))
        return 0;
    if (!model) return gguf_has(h, "tokenizer.ggml.tokens") ? gguf_fail(h, "tokenizer.ggml.model is missing") : 1;
    if (gguf_same(model, model_size, "none") || gguf_same(model, model_size, "no_vocab")) return 1;
    if (gguf_same(model, model_size, "llama")) return *kind = TOKENIZER_SENTENCEPIECE, 1;
    if (!gguf_same(model, model_size, "gpt2"))
        return gguf_fail(h, "tokenizer.ggml.model is \"%.*s\", not llama or gpt2", gguf_shown(model_size), model);
    for (int i = 0; i < 3; i++)
        if (gguf_same(pre, pre_size, pres[i])) return *kind = TOKENIZER_BYTE_LEVEL, 1;
    return gguf_fail(h, "tokenizer.ggml.pre is \"%.*s\", not llama-bpe", gguf_shown(pre_size), pre ? pre : "");
}

static int gguf_read_vocabulary(gguf_head *h, gguf_vocabulary *v) {
    const char *jinja;
    size_t size;
    v->parts.ignore_merges = v->parts.kind == TOKENIZER_BYTE_LEVEL; /* as all with this pre-tokenizer */
    v->parts.add_dummy_prefix = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    if (!gguf_read_pieces(h, v) || (v->parts.kind == TOKENIZER_BYTE_LEVEL && !gguf_read_merges(h, v)) ||
        !gguf_read_special(h, v) || !gguf_bool(h, "tokenizer.ggml.add_space_prefix", &v->parts.add_dummy_prefix) ||
        !gguf_bool(h, "tokenizer.ggml.remove_extra_whitespaces", &v->parts.remove_extra_whitespaces) ||
        !gguf_text(h, "tokenizer.chat_template", &jinja, &size))
        return 0;
    v->parts.chat_template = jinja ? tokenizer_template_find(vocabulary_template(jinja, size)) : 0;
    return 1;
}

/* The flat form. */
static int gguf_save_tokenizer(gguf_head *h, const tokenizer_parts *parts, void **flat, size_t *size) {
    tokenizer_error why;
    tokenizer *t = tokenizer_create(parts, NULL, &why);
    if (!t) return gguf_fail(h, "tokenizer.ggml: %.120s", why.text);
    *flat = vocabulary_save(t, size);
    tokenizer_free(t);
    return *flat ? 1 : gguf_fail(h, "no memory for the tokenizer");
}

int gguf_read_tokenizer(gguf_head *h, int vocab_size, void **flat, size_t *size) {
    gguf_vocabulary v = {.parts.n_pieces = vocab_size};
    *flat = NULL;
    *size = 0;
    if (!gguf_vocabulary_kind(h, &v.parts.kind)) return 0;
    const int ok = !v.parts.kind || (gguf_read_vocabulary(h, &v) && gguf_save_tokenizer(h, &v.parts, flat, size));
    free(v.pieces);
    free(v.merges);
    return ok;
}
