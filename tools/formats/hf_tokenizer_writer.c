/* hf_tokenizer_writer.c - contract in hf_tokenizer_writer.h; hf_tokenizer.c describes the files.
 *
 * A tokenizer.json merges by rank alone. Where scores say what is merged each pair of pieces that makes a third is a
 * merge: in order of the third's score, and of the ids of the two where it can be made in several ways.
 *
 * Hugging Face's library numbers added tokens that its vocabulary has not by itself, in order, from the vocabulary's
 * size on. So only those at the end can be kept out of the vocabulary; the others are in it under their names, which no
 * merge makes.
 */
#include "hf_tokenizer_writer.h"
#include "export.h"
#include "hf_tokenizer.h"
#include "vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { /* two pieces that make a third */
    int left, right, id;
    float score;
} hf_pair;

typedef struct {
    const tokenizer *t;
    tokenizer_parts parts;
    const char *name; /* of the output, for messages */
    llama_error *err;
    json_out *out;
    char *text;        /* room for the longest piece in the alphabet of bytes */
    int first_outside; /* added tokens from this id on are not in the vocabulary */
    int unknown;       /* its id, -1: none */
    int has_bytes;     /* the kind falls back to pieces of type BYTE */
    char *jinja;       /* the chat template; NULL: none */
} hf_token_writer;

static int hf_refuse(const hf_token_writer *w, const char *what) {
    return set_error(w->err, "%.120s: a tokenizer.json cannot say %s", w->name, what);
}

static tokenizer_piece hf_piece(const hf_token_writer *w, int id) {
    tokenizer_piece p = {"", 0, 0, TOKENIZER_UNUSED, 0};
    tokenizer_get_piece(w->t, id, &p);
    return p;
}

/* ---- Which pieces stand where ---- */

static int hf_is_added(const tokenizer_piece *p) {
    return p->type == TOKENIZER_CONTROL || p->type == TOKENIZER_UNKNOWN || p->type == TOKENIZER_USER_DEFINED;
}

/* 1 if it is written at all. Of two with the same text the first has it. */
static int hf_is_written(const hf_token_writer *w, int id) {
    const tokenizer_piece p = hf_piece(w, id);
    return p.size && p.type != TOKENIZER_UNUSED && tokenizer_find(w->t, p.text, p.size) == id;
}

/* Those at the end that may be outside of the vocabulary, if nothing is missing before them. */
static void hf_choose_outside(hf_token_writer *w) {
    int n = 0, last = -1;
    w->first_outside = w->parts.n_pieces;
    for (int id = 0; id < w->parts.n_pieces; id++) {
        if (!hf_is_written(w, id)) continue;
        const tokenizer_piece p = hf_piece(w, id);
        const int may =
            n == id && (p.type == TOKENIZER_CONTROL || (p.type == TOKENIZER_USER_DEFINED && p.flags & TOKENIZER_ADDED));
        if (!may) w->first_outside = w->parts.n_pieces;
        else if (w->first_outside == w->parts.n_pieces) w->first_outside = id;
        last = id, n++;
    }
    if (last < 0 || w->first_outside > last) w->first_outside = w->parts.n_pieces;
}

static void hf_measure(hf_token_writer *w, size_t *longest) {
    w->unknown = -1;
    *longest = 0;
    for (int id = 0; id < w->parts.n_pieces; id++) {
        const tokenizer_piece p = hf_piece(w, id);
        if (p.type == TOKENIZER_UNKNOWN) w->unknown = id;
        if (p.type == TOKENIZER_BYTE) w->has_bytes = 1;
        if (p.size > *longest) *longest = p.size;
    }
}

/* What the kind has that no tokenizer.json here says. */
static int hf_check(const hf_token_writer *w) {
    tokenizer_rules rules;
    if (w->parts.kind == TOKENIZER_BYTE_LEVEL)
        return hf_split_patterns(w->parts.split) ? 0 : hf_refuse(w, "how this one splits text");
    tokenizer_get_rules(w->t, &rules);
    if (rules.charsmap) return hf_refuse(w, "which characters become others (precompiled_charsmap)");
    if (rules.space_is_suffix) return hf_refuse(w, "that a space goes behind a text (treat_whitespace_as_suffix)");
    if (!rules.escape_spaces) return hf_refuse(w, "that spaces are not escaped (escape_whitespaces)");
    if (w->parts.remove_extra_whitespaces) return hf_refuse(w, "that spaces are taken away (remove_extra_whitespaces)");
    for (int id = 0; id < w->parts.n_pieces && tokenizer_get_merges(w->t, NULL) < 0; id++) {
        const tokenizer_piece p = hf_piece(w, id);
        if (p.type == TOKENIZER_UNUSED && p.size) return hf_refuse(w, "that pieces only lead to others (UNUSED)");
    }
    return 0;
}

/* ---- Texts ---- */

/* As the vocabulary has it. */
static void hf_put_piece(hf_token_writer *w, int id) {
    const tokenizer_piece p = hf_piece(w, id);
    if (w->parts.kind == TOKENIZER_BYTE_LEVEL && !hf_is_added(&p))
        json_put_string(w->out, w->text, vocabulary_encode_bytes(p.text, p.size, w->text));
    else json_put_string(w->out, p.text, p.size);
}

static void hf_put_token(json_out *j, int level, const char *key, const tokenizer *t, int id) {
    tokenizer_piece p;
    if (!tokenizer_get_piece(t, id, &p)) return;
    json_key(j, level, key);
    json_put_string(j, p.text, p.size);
}

/* ---- Merges ---- */

/* 1 if text can become it, as part of a merge or as what it makes. */
static int hf_may_merge(const hf_token_writer *w, int id) {
    const tokenizer_piece p = hf_piece(w, id);
    return p.type == TOKENIZER_NORMAL || (p.type == TOKENIZER_USER_DEFINED && !(p.flags & TOKENIZER_ADDED));
}

static int hf_find_part(const hf_token_writer *w, const char *text, size_t size) {
    const int id = tokenizer_find(w->t, text, size);
    return id >= 0 && hf_may_merge(w, id) ? id : -1;
}

static int hf_compare_pairs(const void *x, const void *y) {
    const hf_pair *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    if (a->left != b->left) return a->left < b->left ? -1 : 1;
    return (a->right > b->right) - (a->right < b->right);
}

/* All pairs that make a piece, malloc'ed and in order; NULL without memory. */
static hf_pair *hf_pairs_of_scores(const hf_token_writer *w, size_t *n) {
    size_t capacity = 1024;
    hf_pair *pairs = malloc(capacity * sizeof *pairs);
    *n = 0;
    for (int id = 0; id < w->parts.n_pieces && pairs; id++) {
        const tokenizer_piece p = hf_piece(w, id);
        if (!hf_may_merge(w, id) || !hf_is_written(w, id)) continue;
        for (size_t i = 1; i < p.size && pairs; i++) {
            if (((unsigned char)p.text[i] & 0xC0) == 0x80) continue; /* inside a character */
            const int left = hf_find_part(w, p.text, i), right = hf_find_part(w, p.text + i, p.size - i);
            if (left < 0 || right < 0) continue;
            if (*n == capacity) {
                hf_pair *more = realloc(pairs, 2 * capacity * sizeof *more);
                if (!more) free(pairs);
                pairs = more, capacity *= 2;
            }
            if (pairs) pairs[(*n)++] = (hf_pair){left, right, id, p.score};
        }
    }
    if (pairs) qsort(pairs, *n, sizeof *pairs, hf_compare_pairs);
    return pairs;
}

/* Old readers know only strings, which no piece with a space can be in. */
static int hf_has_spaces(const hf_token_writer *w) {
    for (int id = 0; id < w->parts.n_pieces; id++) {
        const tokenizer_piece p = hf_piece(w, id);
        if (w->parts.kind == TOKENIZER_SENTENCEPIECE && !hf_is_added(&p) && memchr(p.text, ' ', p.size)) return 1;
    }
    return 0;
}

/* "left right", or ["left", "right"]: the two quotes in the middle become a space. */
static void hf_put_merge(hf_token_writer *w, int left, int right, int as_list) {
    json_out *j = w->out;
    json_next(j, 3);
    if (as_list) json_put(j, "[");
    hf_put_piece(w, left);
    if (as_list) json_put(j, ", ");
    const size_t middle = j->size;
    hf_put_piece(w, right);
    if (as_list) json_put(j, "]");
    if (as_list || j->failed) return;
    j->text[middle - 1] = ' ';
    memmove(j->text + middle, j->text + middle + 1, j->size - middle);
    j->size--;
}

static int hf_put_merges(hf_token_writer *w) {
    const int n = tokenizer_get_merges(w->t, NULL), as_list = hf_has_spaces(w);
    json_key(w->out, 2, "merges");
    json_put(w->out, "[");
    if (n >= 0) {
        int(*merges)[2] = malloc(((size_t)n + 1) * sizeof *merges);
        if (!merges) return -1;
        tokenizer_get_merges(w->t, merges);
        for (int i = 0; i < n; i++) hf_put_merge(w, merges[i][0], merges[i][1], as_list);
        free(merges);
    } else {
        size_t count;
        hf_pair *pairs = hf_pairs_of_scores(w, &count);
        if (!pairs) return -1;
        for (size_t i = 0; i < count; i++) hf_put_merge(w, pairs[i].left, pairs[i].right, as_list);
        free(pairs);
    }
    json_end(w->out, 2, '[');
    return 0;
}

/* ---- tokenizer.json ---- */

/* 1 if decoding shows a special token, since the template has it as text: it is one for no reader then. */
static int hf_is_shown(const hf_token_writer *w, const tokenizer_piece *p) {
    if (!(p->flags & TOKENIZER_SHOWN) || !w->jinja) return 0;
    for (const char *at = w->jinja; (at = memchr(at, *p->text, strlen(at))); at++)
        if (!strncmp(at, p->text, p->size)) return 1;
    return 0;
}

/* A piece that SentencePiece finds inside of the text is found in the normalised one, if that has no prefix. */
static int hf_is_normalized(const hf_token_writer *w, const tokenizer_piece *p) {
    if (w->parts.kind == TOKENIZER_BYTE_LEVEL || p->type != TOKENIZER_USER_DEFINED || p->flags)
        return !!(p->flags & TOKENIZER_NORMALIZED);
    return w->parts.add_dummy_prefix == TOKENIZER_PREFIX_NEVER;
}

static void hf_put_added(hf_token_writer *w) {
    json_key(w->out, 1, "added_tokens");
    json_put(w->out, "[");
    for (int id = 0; id < w->parts.n_pieces; id++) {
        const tokenizer_piece p = hf_piece(w, id);
        if (!hf_is_added(&p) || !hf_is_written(w, id)) continue;
        json_next(w->out, 2);
        json_put(w->out, "{");
        json_key_int(w->out, 3, "id", id);
        hf_put_token(w->out, 3, "content", w->t, id);
        json_key_flag(w->out, 3, "single_word", p.flags & TOKENIZER_SINGLE_WORD);
        json_key_flag(w->out, 3, "lstrip", p.flags & TOKENIZER_LSTRIP);
        json_key_flag(w->out, 3, "rstrip", p.flags & TOKENIZER_RSTRIP);
        json_key_flag(w->out, 3, "normalized", hf_is_normalized(w, &p));
        json_key_flag(w->out, 3, "special", p.type != TOKENIZER_USER_DEFINED && !hf_is_shown(w, &p));
        json_end(w->out, 2, '{');
    }
    json_end(w->out, 1, '[');
}

static const char hf_replace[] =
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" HF_SPACE "\"}";

static void hf_put_normalizer(hf_token_writer *w) {
    const int prefix = w->parts.add_dummy_prefix;
    json_key(w->out, 1, "normalizer");
    if (w->parts.kind == TOKENIZER_BYTE_LEVEL) json_put(w->out, w->parts.nfc ? "{\"type\": \"NFC\"}" : "null");
    else if (prefix == TOKENIZER_PREFIX_NEVER) json_put(w->out, "%s", hf_replace);
    else if (prefix == TOKENIZER_PREFIX_EACH)
        json_put(w->out,
                 "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"" HF_SPACE
                 "\"}, %s]}",
                 hf_replace);
    else json_put(w->out, "null");
}

/* The last pattern may be the one that ByteLevel has inside. */
static void hf_put_splits(hf_token_writer *w) {
    const char *const *patterns = hf_split_patterns(w->parts.split);
    int i = 0, is_inside = 0;
    json_put(w->out, "{\"type\": \"Sequence\", \"pretokenizers\": [");
    for (; i < HF_SPLIT_PATTERNS && patterns[i]; i++) {
        if ((is_inside = patterns[i] == hf_gpt2)) break;
        json_next(w->out, 2);
        json_put(w->out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        json_put_string(w->out, patterns[i], strlen(patterns[i]));
        json_put(w->out, "}, \"behavior\": \"Isolated\", \"invert\": false}");
    }
    json_next(w->out, 2);
    json_put(w->out,
             "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}",
             is_inside ? "true" : "false");
    json_end(w->out, 1, '[');
    json_put(w->out, "}");
}

static void hf_put_pre_tokenizer(hf_token_writer *w) {
    static const char *const schemes[] = {NULL, NULL, "always", "first", "never"};
    json_key(w->out, 1, "pre_tokenizer");
    if (w->parts.kind == TOKENIZER_BYTE_LEVEL) hf_put_splits(w);
    else if (!schemes[w->parts.add_dummy_prefix]) json_put(w->out, "null");
    else
        json_put(w->out,
                 "{\"type\": \"Metaspace\", \"replacement\": \"" HF_SPACE "\", \"prepend_scheme\": \"%s\", \"split\": "
                 "false}",
                 schemes[w->parts.add_dummy_prefix]);
}

/* Puts the token in front that begins a text. */
static void hf_put_template(hf_token_writer *w) {
    const tokenizer_piece bos = hf_piece(w, w->parts.bos);
    static const char *const sequences[] = {"single", "pair"};
    json_put(w->out, "{\"type\": \"TemplateProcessing\"");
    for (int pair = 0; pair < 2; pair++) {
        json_key(w->out, 2, sequences[pair]);
        json_put(w->out, "[");
        for (int i = 0; i <= pair; i++) {
            if (i) json_put(w->out, ", ");
            if (w->parts.add_bos) {
                json_put(w->out, "{\"SpecialToken\": {\"id\": ");
                json_put_string(w->out, bos.text, bos.size);
                json_put(w->out, ", \"type_id\": %d}}, ", i);
            }
            json_put(w->out, "{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", 'A' + i, i);
        }
        json_put(w->out, "]");
    }
    json_key(w->out, 2, "special_tokens");
    json_put(w->out, "{");
    if (w->parts.add_bos) {
        json_put_string(w->out, bos.text, bos.size);
        json_put(w->out, ": {\"id\": ");
        json_put_string(w->out, bos.text, bos.size);
        json_put(w->out, ", \"ids\": [%d], \"tokens\": [", w->parts.bos);
        json_put_string(w->out, bos.text, bos.size);
        json_put(w->out, "]}");
    }
    json_put(w->out, "}}");
}

static void hf_put_post_processor(hf_token_writer *w) {
    static const char bytes[] =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": false, \"use_regex\": true}";
    const int byte_level = w->parts.kind == TOKENIZER_BYTE_LEVEL;
    json_key(w->out, 1, "post_processor");
    if (byte_level && !w->parts.add_bos) {
        json_put(w->out, "%s", bytes);
        return;
    }
    if (byte_level) json_put(w->out, "{\"type\": \"Sequence\", \"processors\": [%s, ", bytes);
    hf_put_template(w);
    if (byte_level) json_put(w->out, "]}");
}

static void hf_put_decoder(hf_token_writer *w) {
    const int prefix = w->parts.add_dummy_prefix;
    json_key(w->out, 1, "decoder");
    if (w->parts.kind == TOKENIZER_BYTE_LEVEL) {
        json_put(w->out,
                 "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}");
        return;
    }
    json_put(w->out,
             "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": \"" HF_SPACE
             "\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}%s]}",
             prefix == TOKENIZER_PREFIX_NEVER || prefix == TOKENIZER_PREFIX_NONE
                 ? ""
                 : ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
}

static int hf_put_model(hf_token_writer *w) {
    const int sentencepiece = w->parts.kind == TOKENIZER_SENTENCEPIECE;
    json_key(w->out, 1, "model");
    json_put(w->out, "{");
    json_key_text(w->out, 2, "type", "BPE");
    json_key_text(w->out, 2, "dropout", NULL);
    if (sentencepiece && w->unknown >= 0) hf_put_token(w->out, 2, "unk_token", w->t, w->unknown);
    else json_key_text(w->out, 2, "unk_token", NULL);
    json_key_text(w->out, 2, "continuing_subword_prefix", NULL);
    json_key_text(w->out, 2, "end_of_word_suffix", NULL);
    json_key_flag(w->out, 2, "fuse_unk", sentencepiece);
    json_key_flag(w->out, 2, "byte_fallback", sentencepiece && w->has_bytes);
    json_key_flag(w->out, 2, "ignore_merges", !sentencepiece && w->parts.ignore_merges);
    json_key(w->out, 2, "vocab");
    json_put(w->out, "{");
    for (int id = 0; id < w->first_outside; id++) {
        if (!hf_is_written(w, id)) continue;
        json_next(w->out, 3);
        hf_put_piece(w, id);
        json_put(w->out, ": %d", id);
    }
    json_end(w->out, 2, '{');
    if (hf_put_merges(w)) return -1;
    json_end(w->out, 1, '{');
    return 0;
}

static int hf_put_tokenizer(hf_token_writer *w) {
    json_put(w->out, "{");
    json_key_text(w->out, 1, "version", "1.0");
    json_key_text(w->out, 1, "truncation", NULL);
    json_key_text(w->out, 1, "padding", NULL);
    hf_put_added(w);
    hf_put_normalizer(w);
    hf_put_pre_tokenizer(w);
    hf_put_post_processor(w);
    hf_put_decoder(w);
    if (hf_put_model(w)) return -1;
    json_end(w->out, 0, '{');
    json_put(w->out, "\n");
    return 0;
}

/* ---- tokenizer_config.json ---- */

static void hf_put_tokenizer_config(const hf_token_writer *w, int seq_len, json_out *j) {
    json_put(j, "{");
    json_key_text(j, 1, "tokenizer_class", "PreTrainedTokenizerFast");
    hf_put_token(j, 1, "bos_token", w->t, w->parts.bos);
    if (w->parts.n_ends) hf_put_token(j, 1, "eos_token", w->t, w->parts.ends[0]);
    if (w->parts.kind == TOKENIZER_SENTENCEPIECE) hf_put_token(j, 1, "unk_token", w->t, w->unknown);
    json_key_flag(j, 1, "add_bos_token", w->parts.add_bos);
    json_key_flag(j, 1, "add_eos_token", 0);
    json_key_flag(j, 1, "clean_up_tokenization_spaces", 0);
    json_key_int(j, 1, "model_max_length", seq_len);
    if (w->jinja) json_key_text(j, 1, "chat_template", w->jinja);
    json_end(j, 0, '{');
    json_put(j, "\n");
}

/* ---- All of it ---- */

static void hf_note_symbols(const hf_token_writer *w, char *note, size_t size) {
    int n = 0;
    for (int id = 0; id < w->parts.n_pieces; id++) {
        const tokenizer_piece p = hf_piece(w, id);
        n += p.type == TOKENIZER_USER_DEFINED && !p.flags && w->parts.kind == TOKENIZER_SENTENCEPIECE &&
             w->parts.add_dummy_prefix != TOKENIZER_PREFIX_NEVER;
    }
    if (n && !*note) snprintf(note, size, "%d added tokens cut the text: what follows one gets a space in front", n);
}

int hf_write_tokenizer(const tokenizer *t, int seq_len, const char *name, json_out *json, json_out *config, char *note,
                       size_t size, llama_error *err) {
    hf_token_writer w = {.t = t, .name = name, .err = err, .out = json};
    size_t longest;
    llama_error why = {0, ""};
    tokenizer_get_parts(t, &w.parts);
    hf_measure(&w, &longest);
    if (hf_check(&w)) return -1;
    w.text = malloc(2 * longest + 1);
    if (!w.text) return set_error(err, "%.120s: no memory for the tokenizer", name);
    *note = 0;
    if (w.parts.chat_template && !(w.jinja = export_template(t, 0, &why)))
        snprintf(note, size, "without the chat template: %.80s", why.text);
    hf_choose_outside(&w);
    const int result = hf_put_tokenizer(&w) ? set_error(err, "%.120s: no memory for the tokenizer", name) : 0;
    hf_put_tokenizer_config(&w, seq_len, config);
    hf_note_symbols(&w, note, size);
    free(w.text), free(w.jinja);
    return result;
}
