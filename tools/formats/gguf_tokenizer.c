/* gguf_tokenizer.c - the tokenizer that a GGUF file's metadata describe. Contract in gguf.h. */
#include "../../tokenizer.h"
#include "gguf.h"
#include "template.h"
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
    const char *jinja; /* the chat template; NULL: none */
    size_t jinja_size;
} gguf_vocabulary;

/* Pieces named <0x00>..<0xFF> are bytes whatever their type, if all are there: some converters call them normal. */
static void gguf_find_bytes_by_name(gguf_vocabulary *v) {
    char seen[256] = {0};
    int n_seen = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < v->parts.n_pieces && (pass == 0 || n_seen == 256); i++) {
            tokenizer_piece *p = &v->pieces[i];
            const int may = p->type == TOKENIZER_NORMAL || p->type == TOKENIZER_BYTE;
            if (!may || !vocabulary_is_byte_name(p->text, p->size)) continue;
            if (pass == 1) p->type = TOKENIZER_BYTE;
            char *byte = &seen[strtoul(p->text + 3, NULL, 16) & 255];
            if (!*byte) *byte = 1, n_seen++;
        }
}

/* Texts and types; the texts of byte-level pieces as the bytes that they stand for. */
static int gguf_read_pieces(gguf_head *h, gguf_vocabulary *v) {
    const int n = v->parts.n_pieces, is_scored = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    const gguf_entry *tokens, *types, *scores = NULL;
    if (!gguf_array(h, GGUF_TOKENS, GGUF_STRING, (uint64_t)n, &tokens) ||
        !gguf_array(h, GGUF_TOKEN_TYPE, GGUF_I32, (uint64_t)n, &types) ||
        (is_scored && !gguf_array(h, GGUF_SCORES, GGUF_F32, (uint64_t)n, &scores)))
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
    if (is_scored) gguf_find_bytes_by_name(v);
    return 1;
}

/* What a GGUF cannot say of Phi's marks: the line break behind one, which its template writes, is not part of a
 * text. */
static void gguf_strip_marks(const llama_source *s, gguf_vocabulary *v) {
    for (int i = 0; i < v->parts.n_pieces && !strcmp(s->config.architecture, "phi3"); i++) {
        tokenizer_piece *p = &v->pieces[i];
        const int marks = p->size > 4 && !memcmp(p->text, "<|", 2) && !memcmp(p->text + p->size - 2, "|>", 2);
        if (!marks || p->type != TOKENIZER_CONTROL) continue;
        static const char *const not [] = {"<|endoftext|>", "<|tool_", "<|/tool_"};
        int strips = 1;
        for (int k = 0; k < 3; k++)
            strips &= p->size < strlen(not [k]) || memcmp(p->text, not [k], strlen(not [k])) != 0;
        if (strips) p->flags |= TOKENIZER_RSTRIP;
    }
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
    if (!gguf_array(h, GGUF_MERGES, GGUF_STRING, GGUF_ANY, &e)) return 0;
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
    if (!gguf_token_id(h, GGUF_BOS_ID, n, &v->parts.bos) || !gguf_token_id(h, GGUF_EOS_ID, n, &eos) ||
        !gguf_token_id(h, GGUF_EOT_ID, n, &eot) || !gguf_token_id(h, GGUF_EOM_ID, n, &eom) ||
        !gguf_bool(h, GGUF_ADD_BOS, &v->parts.add_bos) || !gguf_add_end(h, v, eos) || !gguf_add_end(h, v, eot) ||
        !gguf_add_end(h, v, eom))
        return 0;
    for (int i = 0; i < n; i++) {
        const tokenizer_piece *p = &v->pieces[i];
        if (vocabulary_is_end(p) && !gguf_add_end(h, v, i)) return 0;
    }
    v->parts.ends = v->ends;
    return 1;
}

/* ---- How a text is cut into words ----
 *
 * tokenizer.ggml.pre has the name that llama.cpp's converter gives a tokenizer by what it makes of a test text: most
 * often that of the first model that had it. What follows from a name stands in llama.cpp, and is this. */

enum {
    GGUF_MERGES_IGNORED = 1, /* a word that is a piece is taken whole */
    GGUF_BOS = 2,            /* a text starts with bos unless the file says otherwise */
    GGUF_NFC = 4             /* the original normalises, which neither the file nor llama.cpp does */
};
static const struct {
    const char *pre;
    int split, flags;
} gguf_pres[] = {
    {"llama-bpe", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS},
    {"llama3", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS}, /* its names in older files, */
    {"llama-v3", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS},
    {"falcon3", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS}, /* and others with Llama 3's rules */
    {"falcon-h1", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS},
    {"pixtral", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS}, /* Tekken's vocabulary, but not its pattern */
    {"midm-2.0", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS},
    {"lfm2", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS},
    {"jina-v5-nano", TOKENIZER_SPLIT_LLAMA3, GGUF_MERGES_IGNORED | GGUF_BOS},
    {"dbrx", TOKENIZER_SPLIT_LLAMA3, 0},      /* the same pattern without the rest: DBRX, OLMo 2, Phi 4 */
    {"smaug-bpe", TOKENIZER_SPLIT_LLAMA3, 0}, /* SmolLM 3 */
    {"glm4", TOKENIZER_SPLIT_LLAMA3, 0},      /* ChatGLM 4 and GLM 4 */
    {"chatglm-bpe", TOKENIZER_SPLIT_LLAMA3, 0},
    {"gpt-2", TOKENIZER_SPLIT_GPT2, 0},
    {"phi-2", TOKENIZER_SPLIT_GPT2, 0}, /* GPT-2's vocabulary and some */
    {"olmo", TOKENIZER_SPLIT_GPT2, 0},  /* GPT-NeoX's vocabulary */
    {"mpt", TOKENIZER_SPLIT_GPT2, 0},
    {"exaone4", TOKENIZER_SPLIT_GPT2, 0}, /* GPT-2's pattern and vocabularies of their own, to the encoders of Jina */
    {"jais", TOKENIZER_SPLIT_GPT2, 0},
    {"gigachat", TOKENIZER_SPLIT_GPT2, 0},
    {"a.x-4.0", TOKENIZER_SPLIT_GPT2, 0},
    {"mellum", TOKENIZER_SPLIT_GPT2, 0},
    {"trillion", TOKENIZER_SPLIT_GPT2, 0},
    {"granite-docling", TOKENIZER_SPLIT_GPT2, 0},
    {"modern-bert", TOKENIZER_SPLIT_GPT2, 0},
    {"jina-es", TOKENIZER_SPLIT_GPT2, 0},
    {"jina-de", TOKENIZER_SPLIT_GPT2, 0},
    {"jina-v2-es", TOKENIZER_SPLIT_GPT2, 0},
    {"jina-v2-de", TOKENIZER_SPLIT_GPT2, 0},
    {"starcoder", TOKENIZER_SPLIT_STARCODER, 0},
    {"refact", TOKENIZER_SPLIT_STARCODER, 0}, /* StarCoder's: Refact, Granite */
    {"smollm", TOKENIZER_SPLIT_STARCODER, 0}, /* its pattern: each digit alone, then as GPT-2 */
    {"codeshell", TOKENIZER_SPLIT_STARCODER, 0},
    {"exaone", TOKENIZER_SPLIT_STARCODER, 0},
    {"minerva-7b", TOKENIZER_SPLIT_STARCODER, 0},
    {"mellum2", TOKENIZER_SPLIT_STARCODER, 0},
    {"command-r", TOKENIZER_SPLIT_STARCODER, GGUF_NFC},
    {"qwen2", TOKENIZER_SPLIT_QWEN2, GGUF_NFC},     /* Qwen 3 too */
    {"deepseek-r1-qwen", TOKENIZER_SPLIT_QWEN2, 0}, /* with tokens of its own */
    {"f2llmv2", TOKENIZER_SPLIT_QWEN2, GGUF_NFC},   /* made from Qwen 3 */
    {"megrez", TOKENIZER_SPLIT_QWEN2, GGUF_NFC},
    {"stablelm2", TOKENIZER_SPLIT_QWEN2, 0}, /* Qwen's pattern and vocabularies of their own */
    {"kormo", TOKENIZER_SPLIT_QWEN2, 0},
    {"hunyuan", TOKENIZER_SPLIT_QWEN2, 0},
    {"solar-open", TOKENIZER_SPLIT_QWEN2, 0},
    {"grok-2", TOKENIZER_SPLIT_QWEN2, 0},
    {"bailingmoe", TOKENIZER_SPLIT_QWEN2, 0}, /* the same in other words: \s*[\r\n] for \s*[\r\n]+ */
    {"bailingmoe2", TOKENIZER_SPLIT_QWEN2, 0},
    {"llada-moe", TOKENIZER_SPLIT_QWEN2, 0},
    {"qwen35", TOKENIZER_SPLIT_QWEN35, GGUF_NFC},
    {"gpt-4o", TOKENIZER_SPLIT_GPT4O, 0}, /* Phi 4 mini, gpt-oss */
    {"llama4", TOKENIZER_SPLIT_GPT4O, 0}, /* its pattern and vocabularies of their own */
    {"kanana2", TOKENIZER_SPLIT_GPT4O, 0},
    {"talkie", TOKENIZER_SPLIT_GPT4O, 0},
    {"minimax-m2", TOKENIZER_SPLIT_GPT4O, 0},
    {"tekken", TOKENIZER_SPLIT_TEKKEN, GGUF_MERGES_IGNORED | GGUF_BOS},
    {"deepseek-v3", TOKENIZER_SPLIT_DEEPSEEK3, 0},
    {"hunyuan-dense", TOKENIZER_SPLIT_DEEPSEEK3, 0}, /* its pattern and vocabularies of their own */
    {"hy_v4", TOKENIZER_SPLIT_DEEPSEEK3, 0},
    {"joyai-llm", TOKENIZER_SPLIT_DEEPSEEK3, 0},
};

/* The first that fits; of those that say what becomes of words that are pieces, and of NFC, if there is one. */
const char *gguf_find_pre(int split, int ignore_merges, int nfc, int *same_words) {
    const char *found = NULL;
    for (int pass = 0; pass < 3 && !found; pass++)
        for (size_t i = sizeof gguf_pres / sizeof *gguf_pres; i--;) {
            const int flags = gguf_pres[i].flags;
            const int same = !(flags & GGUF_MERGES_IGNORED) == !ignore_merges, same_nfc = !(flags & GGUF_NFC) == !nfc;
            if (gguf_pres[i].split != split || (pass < 2 && !same) || (pass < 1 && !same_nfc)) continue;
            found = gguf_pres[i].pre;
            *same_words = same;
        }
    return found;
}

static int gguf_read_pre(gguf_head *h, llama_source *s, tokenizer_parts *parts) {
    const char *pre;
    size_t size;
    if (!gguf_text(h, GGUF_PRE, &pre, &size)) return 0;
    for (size_t i = 0; i < sizeof gguf_pres / sizeof *gguf_pres; i++) {
        const int flags = gguf_pres[i].flags;
        if (!pre || !gguf_same(pre, size, gguf_pres[i].pre)) continue;
        parts->split = gguf_pres[i].split;
        parts->ignore_merges = (flags & GGUF_MERGES_IGNORED) != 0;
        parts->add_bos = (flags & GGUF_BOS) != 0;
        if (flags & GGUF_NFC)
            source_note(s, "text is not brought into Unicode's form NFC, as the original does: a GGUF cannot say so");
        return 1;
    }
    if (!pre) return gguf_fail(h, "tokenizer.ggml.pre is missing");
    return gguf_fail(h, "tokenizer.ggml.pre is \"%.*s\", which is not known", gguf_shown(size), pre);
}

/* Sets the kind of vocabulary, 0 if there is none. */
static int gguf_read_kind(gguf_head *h, tokenizer_parts *parts) {
    const char *model;
    size_t size;
    if (!gguf_text(h, GGUF_TOKENIZER, &model, &size)) return 0;
    if (!model) return gguf_has(h, GGUF_TOKENS) ? gguf_fail(h, "tokenizer.ggml.model is missing") : 1;
    if (gguf_same(model, size, "none") || gguf_same(model, size, "no_vocab")) return 1;
    if (gguf_same(model, size, "llama")) return parts->kind = TOKENIZER_SENTENCEPIECE, 1;
    if (gguf_same(model, size, "gpt2")) return parts->kind = TOKENIZER_BYTE_LEVEL, 1;
    return gguf_fail(h, "tokenizer.ggml.model is \"%.*s\", not llama or gpt2", gguf_shown(size), model);
}

static template_name gguf_token_name(const gguf_vocabulary *v, int id) {
    return id >= 0 ? (template_name){v->pieces[id].text, v->pieces[id].size} : (template_name){NULL, 0};
}

/* The template, and the marks of all there are: tokenizer.chat_template and tokenizer.chat_template.NAME. */
static int gguf_read_templates(gguf_head *h, gguf_vocabulary *v) {
    static const char key[] = GGUF_CHAT_TEMPLATE;
    const char *jinja;
    size_t size;
    if (!gguf_text(h, key, &jinja, &size)) return 0;
    v->jinja = jinja, v->jinja_size = size;
    for (int i = 0; i < h->n_entries; i++) {
        const gguf_entry *e = &h->entries[i];
        size_t at = e->at;
        if (e->is_array || e->type != GGUF_STRING || e->key.size < sizeof key - 1 ||
            memcmp(h->bytes + e->key.at, key, sizeof key - 1) != 0)
            continue;
        jinja = gguf_next_string(h, &at, &size);
        if (vocabulary_protect(v->pieces, v->parts.n_pieces, jinja, size))
            return gguf_fail(h, "no memory for the tokenizer");
    }
    return 1;
}

static int gguf_read_vocabulary(gguf_head *h, llama_source *s, gguf_vocabulary *v) {
    const int is_scored = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    v->parts.add_dummy_prefix = is_scored ? TOKENIZER_PREFIX_EACH : TOKENIZER_PREFIX_NEVER;
    v->parts.add_bos = is_scored;
    const int ok = (is_scored || gguf_read_pre(h, s, &v->parts)) && gguf_read_pieces(h, v) &&
                   (is_scored || gguf_read_merges(h, v)) && gguf_read_special(h, v) &&
                   gguf_bool(h, GGUF_ADD_SPACE_PREFIX, &v->parts.add_dummy_prefix) &&
                   gguf_bool(h, GGUF_REMOVE_SPACES, &v->parts.remove_extra_whitespaces) && gguf_read_templates(h, v);
    if (ok) gguf_strip_marks(s, v);
    return ok;
}

/* The flat form. */
static int gguf_save_tokenizer(gguf_head *h, const gguf_vocabulary *v, llama_source *s) {
    tokenizer_error why;
    const template_source jinja = {v->jinja, v->jinja_size, gguf_token_name(v, v->parts.bos),
                                   gguf_token_name(v, v->parts.n_ends ? v->ends[0] : -1), s->today};
    tokenizer *t = template_tokenizer(&v->parts, &jinja, s, &why);
    if (!t) return gguf_fail(h, "tokenizer.ggml: %.120s", why.text);
    s->tokenizer = vocabulary_save(t, &s->tokenizer_size);
    tokenizer_free(t);
    return s->tokenizer ? 1 : gguf_fail(h, "no memory for the tokenizer");
}

int gguf_read_tokenizer(gguf_head *h, llama_source *s) {
    gguf_vocabulary v = {.parts.n_pieces = s->config.vocab_size};
    if (!gguf_read_kind(h, &v.parts)) return 0;
    const int ok = !v.parts.kind || (gguf_read_vocabulary(h, s, &v) && gguf_save_tokenizer(h, &v, s));
    free(v.pieces);
    free(v.merges);
    return ok;
}
