/* gguf_metadata.c - the metadata of a GGUF file that is written: what a model is, and its tokenizer. Contract in
 * gguf_writer.h; gguf.c says how a file begins. */
#include "gguf_writer.h"
#include "../shared/numbers.h"
#include "vocabulary.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { GGUF_U32 = 4 }; /* value types that are written, beside those in gguf.h */

/* ---- Notes ---- */

void gguf_note(gguf_writer *w, const char *format, ...) {
    const size_t n = strlen(w->note);
    va_list args;
    if (w->file || n + 3 > sizeof w->note) return; /* all is said when the head is counted */
    va_start(args, format);
    if (n) strcpy(w->note + n, "; ");
    vsnprintf(w->note + strlen(w->note), sizeof w->note - strlen(w->note), format, args);
    va_end(args);
}

/* ---- One key ---- */

static void gguf_put_key(gguf_writer *w, const char *key, uint32_t type) {
    char full[GGUF_KEY];
    snprintf(full, sizeof full, "%s%s", *key == '.' ? w->plan.architecture->name : "", key);
    gguf_put_string(w, full, strlen(full));
    gguf_put_number(w, type, 4);
    w->n_keys++;
}

static void gguf_put_u32(gguf_writer *w, const char *key, int64_t value) { /* -1: 2^32 - 1, which is none */
    gguf_put_key(w, key, GGUF_U32);
    gguf_put_number(w, (uint64_t)value & UINT32_MAX, 4);
}

static void gguf_put_f32(gguf_writer *w, const char *key, float value) {
    gguf_put_key(w, key, GGUF_F32);
    gguf_put_number(w, bits_of_float(value), 4);
}

static void gguf_put_bool(gguf_writer *w, const char *key, int value) {
    gguf_put_key(w, key, GGUF_BOOL);
    gguf_put_number(w, value != 0, 1);
}

static void gguf_put_text(gguf_writer *w, const char *key, const char *text) {
    gguf_put_key(w, key, GGUF_STRING);
    gguf_put_string(w, text, strlen(text));
}

/* Behind it come its elements. */
static void gguf_put_array(gguf_writer *w, const char *key, uint32_t type, int count) {
    gguf_put_key(w, key, GGUF_ARRAY);
    gguf_put_number(w, type, 4);
    gguf_put_number(w, (uint64_t)count, 8);
}

/* ---- The model ---- */

/* llama.cpp knows by phi3 in a name that white space behind a mark is no text; but it then insists on these pieces. */
static int gguf_is_phi3_vocabulary(const tokenizer *t) {
    static const char *const names[] = {"</s>", "<unk>", "<s>", "<|endoftext|>"};
    int n = 0;
    for (int i = 0; i < 4 && t; i++) n += tokenizer_find(t, names[i], strlen(names[i])) >= 0;
    return n == 4;
}

static int gguf_says_phi3(const char *name) {
    for (; *name; name++)
        if ((*name == 'p' || *name == 'P') && (name[1] == 'h' || name[1] == 'H') &&
            (name[2] == 'i' || name[2] == 'I') && name[3 + (name[3] == '-')] == '3')
            return 1;
    return 0;
}

/* The output's name without directories and ending. */
static void gguf_put_name(gguf_writer *w) {
    const char *slash = strrchr(w->path, '/'), *name = slash ? slash + 1 : w->path, *dot = strrchr(name, '.');
    const int n = dot && dot > name ? (int)(dot - name) : (int)strlen(name);
    const int may = gguf_is_phi3_vocabulary(w->in->tokenizer), is = !strcmp(w->plan.architecture->name, "phi3");
    char full[160];
    snprintf(full, sizeof full, "%s%.*s", may && is && !gguf_says_phi3(name) ? "phi3 " : "", n < 120 ? n : 120, name);
    gguf_put_text(w, "general.name", !may && gguf_says_phi3(full) ? "model" : full);
}

static void gguf_put_general(gguf_writer *w) {
    const gguf_type *type = gguf_find_type((uint64_t)w->type);
    gguf_put_text(w, GGUF_ARCHITECTURE, w->plan.architecture->name);
    gguf_put_text(w, "general.type", "model");
    gguf_put_name(w);
    gguf_put_u32(w, "general.file_type", type->file_type);
    if (type->block > 1) gguf_put_u32(w, "general.quantization_version", 2); /* that of ggml since May 2023 */
    gguf_put_u32(w, GGUF_ALIGNMENT, GGUF_WRITTEN_ALIGNMENT);
}

/* llama.cpp takes the width of Mixtral's experts, of architecture llama, from the length of the feed-forward part. */
static void gguf_put_experts(gguf_writer *w) {
    const llama_config *c = w->config;
    const int own = strcmp(w->plan.architecture->name, "llama") != 0;
    gguf_put_u32(w, GGUF_FEED_FORWARD_LENGTH, c->n_experts && !own ? c->expert_dim : c->hidden_dim);
    if (!c->n_experts) return;
    gguf_put_u32(w, GGUF_EXPERT_COUNT, c->n_experts);
    gguf_put_u32(w, GGUF_EXPERT_USED_COUNT, c->n_experts_used);
    if (own) gguf_put_u32(w, GGUF_EXPERT_LENGTH, c->expert_dim);
}

/* What the reader of a file has no need of is written for others: vocab_size, lengths of heads, a window of 0, without
 * which some of them refuse Phi. */
static void gguf_put_shape(gguf_writer *w) {
    const llama_config *c = w->config;
    const gguf_plan *p = &w->plan;
    const gguf_architecture *a = p->architecture;
    gguf_put_u32(w, ".vocab_size", c->vocab_size);
    gguf_put_u32(w, GGUF_CONTEXT_LENGTH, c->seq_len);
    gguf_put_u32(w, GGUF_EMBEDDING_LENGTH, c->dim);
    gguf_put_u32(w, GGUF_BLOCK_COUNT, c->n_layers);
    gguf_put_experts(w);
    gguf_put_u32(w, GGUF_HEAD_COUNT, c->n_heads);
    gguf_put_u32(w, GGUF_HEAD_COUNT_KV, c->n_kv_heads);
    gguf_put_u32(w, GGUF_KEY_LENGTH, c->head_dim);
    gguf_put_u32(w, GGUF_VALUE_LENGTH, c->head_dim);
    gguf_put_f32(w, GGUF_NORM_EPSILON, c->norm_eps);
    if (p->window || a->features & GGUF_PATTERN || a->features & GGUF_FUSED)
        gguf_put_u32(w, GGUF_SLIDING_WINDOW, p->window);
    if (p->window && a->features & GGUF_PATTERN && p->period != a->period)
        gguf_put_u32(w, GGUF_SLIDING_WINDOW_PATTERN, p->period);
    if (c->score_cap > 0) gguf_put_f32(w, GGUF_SCORE_CAP, c->score_cap);
    if (c->logit_cap > 0) gguf_put_f32(w, GGUF_LOGIT_CAP, c->logit_cap);
    if (!(a->features & GGUF_SCALES)) return;
    gguf_put_f32(w, GGUF_EMBEDDING_SCALE, c->embedding_scale > 0 ? c->embedding_scale : 1);
    gguf_put_f32(w, GGUF_RESIDUAL_SCALE, 1); /* these two are in the weights, or in the epsilon of norms */
    gguf_put_f32(w, GGUF_LOGIT_SCALE, 1);
    if (c->attention_scale > 0 && p->query_factor == 1) gguf_put_f32(w, GGUF_ATTENTION_SCALE, c->attention_scale);
}

static void gguf_put_rotation(gguf_writer *w) {
    const gguf_plan *p = &w->plan;
    gguf_put_u32(w, GGUF_ROPE_DIMENSIONS, p->turning);
    gguf_put_f32(w, GGUF_ROPE_BASE, p->base);
    if (p->architecture->features & GGUF_LOCAL && p->window) gguf_put_f32(w, GGUF_ROPE_BASE_LOCAL, p->local);
    if (p->scaling) gguf_put_text(w, GGUF_ROPE_SCALING, p->scaling);
    if (p->factor > 0) gguf_put_f32(w, GGUF_ROPE_FACTOR, p->factor);
    if (p->amplitude != 1) gguf_put_f32(w, GGUF_ROPE_AMPLITUDE, p->amplitude);
    if (p->original) gguf_put_u32(w, GGUF_ROPE_ORIGINAL, p->original);
}

/* ---- The tokenizer ---- */

typedef struct {
    gguf_writer *w;
    const tokenizer *t;
    tokenizer_parts parts;
    int (*merges)[2]; /* (parts.n_merges) by rank */
    char *text;       /* room for the longest text, and what is written for it */
} gguf_tokens;

static int gguf_no_memory(gguf_writer *w) {
    set_error(w->err, "%.120s: no memory for the tokenizer's keys", w->path);
    return 0;
}

/* What is written for a piece, in k->text or its own: the bytes of a byte-level one in GPT-2's alphabet; one that is
 * matched in the text as it is, with spaces as spaces; and each that only fills up by a name that no other has. */
static const char *gguf_token_text(const gguf_tokens *k, int id, tokenizer_piece *p, size_t *size) {
    const int bytes = k->parts.kind == TOKENIZER_BYTE_LEVEL;
    *size = p->size;
    if (!p->size) {
        *size = (size_t)sprintf(k->text, "[PAD%d]", id);
        for (int i = 2; tokenizer_find(k->t, k->text, *size) >= 0; i++)
            *size = (size_t)sprintf(k->text, "[PAD%d.%d]", id, i);
        return k->text;
    }
    if (bytes && (p->type == TOKENIZER_NORMAL || p->type == TOKENIZER_UNUSED))
        return *size = vocabulary_encode_bytes(p->text, p->size, k->text), k->text;
    if (bytes || p->type != TOKENIZER_USER_DEFINED) return p->text;
    *size = 0;
    for (size_t i = 0; i < p->size; i++)
        if (p->size - i >= 3 && !memcmp(p->text + i, "\xE2\x96\x81", 3)) k->text[(*size)++] = ' ', i += 2;
        else k->text[(*size)++] = p->text[i];
    return k->text;
}

static void gguf_put_tokens(gguf_tokens *k) {
    const int n = k->parts.n_pieces;
    tokenizer_piece p;
    size_t size;
    gguf_put_array(k->w, GGUF_TOKENS, GGUF_STRING, n);
    for (int id = 0; id < n && tokenizer_get_piece(k->t, id, &p); id++) {
        const char *text = gguf_token_text(k, id, &p, &size);
        gguf_put_string(k->w, text, size);
    }
    gguf_put_array(k->w, GGUF_TOKEN_TYPE, GGUF_I32, n);
    for (int id = 0; id < n && tokenizer_get_piece(k->t, id, &p); id++) gguf_put_number(k->w, (uint64_t)p.type, 4);
}

/* What left and right of a merge are, and their texts side by side in k->text. */
static size_t gguf_join(const gguf_tokens *k, int i, tokenizer_piece side[2]) {
    size_t n = 0;
    for (int s = 0; s < 2; s++) {
        if (!tokenizer_get_piece(k->t, k->merges[i][s], &side[s])) return 0;
        memcpy(k->text + n, side[s].text, side[s].size);
        n += side[s].size;
    }
    return n;
}

/* Where merges say what is joined, scores that say the same: minus the rank of the first merge that makes a piece. */
static int gguf_put_scores(gguf_tokens *k) {
    const int n = k->parts.n_pieces, by_merges = tokenizer_get_merges(k->t, NULL) >= 0;
    float *scores = calloc((size_t)n, sizeof *scores);
    tokenizer_piece p, side[2];
    if (!scores) return gguf_no_memory(k->w);
    for (int id = 0; id < n && tokenizer_get_piece(k->t, id, &p); id++)
        scores[id] = !by_merges ? p.score : p.type == TOKENIZER_NORMAL ? -1.0f - (float)k->parts.n_merges : 0;
    for (int i = by_merges ? k->parts.n_merges : 0; i--;) { /* the first comes last */
        const size_t size = gguf_join(k, i, side);
        const int id = tokenizer_find(k->t, k->text, size);
        if (id >= 0) scores[id] = -(float)i;
    }
    gguf_put_array(k->w, GGUF_SCORES, GGUF_F32, n);
    for (int id = 0; id < n; id++) gguf_put_number(k->w, bits_of_float(scores[id]), 4);
    free(scores);
    return 1;
}

/* Those of pieces that are found in a text before any merge are not written: they name what GPT-2's alphabet does not
 * spell. */
static int gguf_is_written(const gguf_tokens *k, int i, tokenizer_piece side[2]) {
    return gguf_join(k, i, side) && side[0].type == TOKENIZER_NORMAL && side[1].type == TOKENIZER_NORMAL;
}

static void gguf_put_merges(gguf_tokens *k) {
    tokenizer_piece side[2];
    int n = 0;
    for (int i = 0; i < k->parts.n_merges; i++) n += gguf_is_written(k, i, side);
    gguf_put_array(k->w, GGUF_MERGES, GGUF_STRING, n);
    for (int i = 0; i < k->parts.n_merges; i++) {
        if (!gguf_is_written(k, i, side)) continue;
        size_t size = vocabulary_encode_bytes(side[0].text, side[0].size, k->text);
        k->text[size++] = ' ';
        size += vocabulary_encode_bytes(side[1].text, side[1].size, k->text + size);
        gguf_put_string(k->w, k->text, size);
    }
}

/* Is one of the first n ends this id, or does its name say that it ends a text? Readers know those without a key. */
static int gguf_is_known_end(const gguf_tokens *k, int n, int id) {
    tokenizer_piece p;
    for (int i = 0; i < n; i++)
        if (k->parts.ends[i] == id) return 1;
    return tokenizer_get_piece(k->t, id, &p) && vocabulary_is_end(&p);
}

/* eos, and two more keys: the end of a turn, and what is left. */
static void gguf_put_ends(gguf_tokens *k) {
    static const char *const keys[] = {GGUF_EOT_ID, GGUF_EOM_ID};
    const tokenizer_parts *parts = &k->parts;
    const int eos = parts->n_ends ? parts->ends[0] : -1, turn = tokenizer_end_of_turn(k->t, 0);
    int used = 0, lost = 0;
    if (eos >= 0 || parts->kind == TOKENIZER_SENTENCEPIECE) gguf_put_u32(k->w, GGUF_EOS_ID, eos);
    if (turn >= 0 && turn != eos && tokenizer_is_end(k->t, turn)) gguf_put_u32(k->w, keys[used++], turn);
    for (int i = 1; i < parts->n_ends; i++) {
        if (gguf_is_known_end(k, i, parts->ends[i]) || (used && parts->ends[i] == turn)) continue;
        if (used < 2) gguf_put_u32(k->w, keys[used++], parts->ends[i]);
        else lost++;
    }
    if (lost) gguf_note(k->w, "%d more tokens end a text than GGUF has keys for", lost);
}

/* What a reader will not do as the original does. */
static void gguf_note_rules(gguf_tokens *k, int same_words) {
    const tokenizer_parts *parts = &k->parts;
    tokenizer_rules rules;
    tokenizer_piece p;
    char lost[160] = "";
    int strips = 0;
    const int marks = strcmp(k->w->plan.architecture->name, "phi3") != 0;
    tokenizer_get_rules(k->t, &rules);
    for (int id = 0; id < parts->n_pieces && tokenizer_get_piece(k->t, id, &p); id++)
        strips |= p.flags & (TOKENIZER_LSTRIP | (marks ? TOKENIZER_RSTRIP : 0) | TOKENIZER_SINGLE_WORD);
    const int prefix = parts->add_dummy_prefix;
    const struct {
        int is;
        const char *what;
    } all[] = {{parts->nfc, "Unicode's form NFC"},
               {!same_words, "whether words are taken whole"},
               {strips, "white space beside tokens"},
               {prefix == TOKENIZER_PREFIX_MISSING || prefix == TOKENIZER_PREFIX_FIRST, "no second space in front"},
               {rules.charsmap != NULL, "replaced characters"},
               {rules.space_is_suffix, "the space behind"},
               {parts->kind == TOKENIZER_SENTENCEPIECE && !rules.escape_spaces, "spaces as they are"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].is) {
            const size_t n = strlen(lost);
            snprintf(lost + n, sizeof lost - n, "%s%s", n ? ", " : "", all[i].what);
        }
    if (*lost) gguf_note(k->w, "of the tokenizer GGUF cannot say: %s", lost);
}

static int gguf_put_template(gguf_tokens *k) {
    if (!tokenizer_get_form(k->t, 0)) return 1;
    llama_error why = {0, ""};
    char *jinja = export_template(k->t, 0, &why);
    if (!jinja) return set_error(k->w->err, "%.120s: %.120s", k->w->path, why.text), 0;
    gguf_put_text(k->w, GGUF_CHAT_TEMPLATE, jinja);
    free(jinja);
    return 1;
}

static int gguf_put_vocabulary(gguf_tokens *k) {
    const tokenizer_parts *parts = &k->parts;
    const int scored = parts->kind == TOKENIZER_SENTENCEPIECE;
    int same_words = 1;
    gguf_put_text(k->w, GGUF_TOKENIZER, scored ? "llama" : "gpt2");
    gguf_put_text(k->w, GGUF_PRE,
                  scored ? "default" : gguf_find_pre(parts->split, parts->ignore_merges, parts->nfc, &same_words));
    gguf_put_tokens(k);
    if (scored && !gguf_put_scores(k)) return 0;
    if (!scored) gguf_put_merges(k);
    if (parts->bos >= 0 || scored) gguf_put_u32(k->w, GGUF_BOS_ID, parts->bos);
    gguf_put_ends(k);
    for (int id = 0; id < parts->n_pieces; id++) {
        tokenizer_piece p;
        if (tokenizer_get_piece(k->t, id, &p) && p.type == TOKENIZER_UNKNOWN)
            gguf_put_u32(k->w, "tokenizer.ggml.unknown_token_id", id), id = parts->n_pieces - 1;
    }
    gguf_put_bool(k->w, GGUF_ADD_BOS, parts->add_bos && parts->bos >= 0);
    if (scored) {
        const int prefix = parts->add_dummy_prefix;
        gguf_put_bool(k->w, GGUF_ADD_SPACE_PREFIX, prefix && prefix != TOKENIZER_PREFIX_NONE);
        gguf_put_bool(k->w, GGUF_REMOVE_SPACES, parts->remove_extra_whitespaces);
    }
    gguf_note_rules(k, same_words);
    return gguf_put_template(k);
}

static int gguf_put_tokenizer(gguf_writer *w) {
    gguf_tokens k = {.w = w, .t = w->in->tokenizer};
    tokenizer_piece p;
    size_t longest = 64; /* of a name that is made up */
    if (!k.t) return gguf_note(w, "no tokenizer"), 1;
    tokenizer_get_parts(k.t, &k.parts);
    for (int id = 0; id < k.parts.n_pieces && tokenizer_get_piece(k.t, id, &p); id++)
        if (p.size > longest) longest = p.size;
    k.text = malloc(4 * longest + 1); /* two pieces, of which each byte may take two */
    k.merges = malloc(((size_t)k.parts.n_merges + 1) * sizeof *k.merges);
    if (k.merges) tokenizer_get_merges(k.t, k.merges);
    const int ok = k.text && k.merges ? gguf_put_vocabulary(&k) : gguf_no_memory(w);
    free(k.text), free(k.merges);
    return ok;
}

int gguf_put_metadata(gguf_writer *w) {
    gguf_put_general(w);
    gguf_put_shape(w);
    gguf_put_rotation(w);
    return gguf_put_tokenizer(w);
}
