/* hf_tokenizer.c - the tokenizer of a Hugging Face directory: pieces, special tokens, ends, chat template.
 *
 * tokenizer.json is what Hugging Face's own code reads: all tokens, those added later too. It is of one of two kinds:
 *
 *   byte-level      Llama 3: a vocabulary in GPT-2's alphabet of bytes, merges in order of rank
 *   SentencePiece   Llama 2, Mistral: made from tokenizer.model, with its scores turned into an order of merges
 *
 * For the second kind tokenizer.model, if it is there, is read instead, since it is the original and has the rules
 * of normalisation; only tokens added to it are taken from tokenizer.json. Without it, the order of the merges
 * becomes scores again.
 *
 * The embedding may have more rows than the tokenizer has pieces (it is often padded to a round number): the rest
 * become unused pieces. A piece without a row is an error, but for a special token added later: no text becomes it, so
 * it is left out, and that is said. A padding token is often one more than the embedding was made for.
 */
#include "hf_tokenizer.h"
#include "../../tokenizer.h"
#include "../shared/files.h"
#include "../shared/messages.h"
#include "template.h"
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

#define HF_SPACE "\xE2\x96\x81" /* U+2581, SentencePiece's space */
#define HF_MAX_ENDS 64
#define HF_MAX_TEMPLATE ((size_t)1 << 20)

static const char hf_llama3_split[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                                      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

typedef struct {
    const char *directory;
    llama_error *err;
    llama_source *source;
    int vocab_size;
    const json_node *config;                                  /* config.json */
    json_text tokenizer, tokenizer_config, generation_config; /* nodes is NULL where there is no such file */
    const json_node *model, *vocab, *merge_list;              /* in tokenizer.json */
    json_index index;                                         /* of vocab */
    tokenizer *base;                                          /* tokenizer.model, if that is used */
    tokenizer_piece *pieces;                                  /* (vocab_size) by id; those of base are left empty */
    char *bytes; /* what the pieces of a byte-level vocabulary point into */
    int (*merges)[2];
    int ends[HF_MAX_ENDS];
    tokenizer_parts parts;
} hf_tokens;

/* Fails about tokenizer.json; the text is the file's. */
static int hf_bad_token(const hf_tokens *k, const char *what, const char *text, const char *why) {
    return set_error(k->err, "%.100s/tokenizer.json: %s \"%.60s\": %s", k->directory, what, text, why);
}

static int hf_load_optional(const hf_tokens *k, json_text *j, const char *name) {
    if (!file_is_in(k->directory, name)) return 0;
    char *path = path_join(k->directory, name, k->err);
    const int result = path ? json_load(j, path, k->err) : -1;
    free(path);
    return result;
}

static int hf_is(const json_node *n, const char *type) { return json_is_text(json_get(n, "type"), type); }

/* The one or two steps that a normalizer or pre_tokenizer has, a Sequence or not. -1 if there are more. */
static int hf_steps(const json_node *n, const char *list_name, const json_node *step[2]) {
    step[0] = step[1] = NULL;
    if (!n || n->type == JSON_NULL) return 0;
    step[0] = n;
    if (!hf_is(n, "Sequence")) return 1;
    const json_node *list = json_get(n, list_name);
    if (!json_is(list, JSON_ARRAY) || list->size < 1 || list->size > 2) return -1;
    step[0] = list + 1;
    if (list->size == 2) step[1] = step[0] + step[0]->skip;
    return (int)list->size;
}

/* ---- Rules: what text goes through before it is looked up ---- */

static int hf_is_replace(const json_node *n) {
    return hf_is(n, "Replace") && json_is_text(json_get(json_get(n, "pattern"), "String"), " ") &&
           json_is_text(json_get(n, "content"), HF_SPACE);
}

/* Is a space put before the text? 1, 0, or -1 if the rules are not SentencePiece's. They come in two forms. */
static int hf_dummy_prefix(const json_node *root) {
    const json_node *step[2], *before[2], *meta;
    const int n = hf_steps(json_get(root, "normalizer"), "normalizers", step);
    const int n_before = hf_steps(json_get(root, "pre_tokenizer"), "pretokenizers", before), no_meta = !n_before;
    meta = n_before == 1 ? before[0] : NULL;
    if (n == 2 && no_meta && hf_is(step[0], "Prepend") && json_is_text(json_get(step[0], "prepend"), HF_SPACE) &&
        hf_is_replace(step[1]))
        return 1;
    if (n == 1 && no_meta && hf_is_replace(step[0])) return 0;
    if (n != 0 || !hf_is(meta, "Metaspace") || !json_is_text(json_get(meta, "replacement"), HF_SPACE)) return -1;
    if (!json_is(json_get(meta, "split"), JSON_FALSE)) return -1;
    const json_node *scheme = json_get(meta, "prepend_scheme");
    if (json_is_text(scheme, "never")) return 0;
    if (json_is_text(scheme, "always") || json_is_text(scheme, "first")) return 1;
    return scheme ? -1 : !json_is(json_get(meta, "add_prefix_space"), JSON_FALSE);
}

static int hf_check_byte_level(const hf_tokens *k) {
    const json_node *step[2], *root = k->tokenizer.nodes, *normalizer = json_get(root, "normalizer");
    const int n = hf_steps(json_get(root, "pre_tokenizer"), "pretokenizers", step);
    if (normalizer && normalizer->type != JSON_NULL)
        return set_error(k->err, "%.120s/tokenizer.json: normalizer is %s, not null", k->directory,
                         json_type_name(normalizer));
    const json_node *pattern =
        n == 2 && hf_is(step[0], "Split") ? json_get(json_get(step[0], "pattern"), "Regex") : NULL;
    if (json_is(pattern, JSON_STRING) && !json_is_text(pattern, hf_llama3_split))
        return hf_bad_token(k, "pre_tokenizer splits by", pattern->text, "not Llama 3's pattern");
    if (!pattern || !json_is_text(json_get(step[0], "behavior"), "Isolated") ||
        json_is(json_get(step[0], "invert"), JSON_TRUE) || !hf_is(step[1], "ByteLevel") ||
        !json_is(json_get(step[1], "add_prefix_space"), JSON_FALSE) ||
        !json_is(json_get(step[1], "use_regex"), JSON_FALSE))
        return set_error(k->err, "%.120s/tokenizer.json: pre_tokenizer is not Llama 3's: Split, then ByteLevel",
                         k->directory);
    return 0;
}

/* What changes how merging works, and llama.c does not have. */
static int hf_check_model(const hf_tokens *k) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_node *dropout = json_get(k->model, "dropout");
    for (int i = 0; i < 2; i++) {
        const json_node *value = json_get(k->model, affixes[i]);
        if (value && value->type != JSON_NULL && !json_is_text(value, ""))
            return set_error(k->err, "%.120s/tokenizer.json: %s is not supported", k->directory, affixes[i]);
    }
    if (dropout && dropout->type != JSON_NULL && !(dropout->type == JSON_NUMBER && dropout->number == 0))
        return set_error(k->err, "%.120s/tokenizer.json: dropout is not supported", k->directory);
    return 0;
}

/* ---- Pieces ---- */

/* The slot of id for a piece with this name; NULL if it has no row or is another's. */
static tokenizer_piece *hf_slot(const hf_tokens *k, const json_node *name, const json_node *id) {
    uint64_t n;
    if (!json_is(name, JSON_STRING) || !name->size) {
        set_error(k->err, "%.120s/tokenizer.json: a token's content is %s, not a text", k->directory,
                  json_is(name, JSON_STRING) ? "empty" : json_type_name(name));
    } else if (!json_whole(id, &n)) {
        hf_bad_token(k, "token", name->text, "its id is not a whole number");
    } else if (n >= (uint64_t)k->vocab_size) {
        char why[80];
        snprintf(why, sizeof why, "its id is %.0f, the embedding has %d rows", (double)n, k->vocab_size);
        hf_bad_token(k, "token", name->text, why);
    } else {
        return &k->pieces[n];
    }
    return NULL;
}

/* 1 if an added token has no row and needs none. */
static int hf_is_beyond(const hf_tokens *k, const json_node *token) {
    const json_node *name = json_get(token, "content"), *id = json_get(token, "id");
    uint64_t n;
    if (!json_is(name, JSON_STRING) || !json_is(json_get(token, "special"), JSON_TRUE) || !json_whole(id, &n) ||
        n < (uint64_t)k->vocab_size)
        return 0;
    source_skip(k->source, "token %.40s: its id is %.0f, the embedding has %d rows", name->text, (double)n,
                k->vocab_size);
    return 1;
}

/* Those added to a vocabulary; special ones only come from templates, others from any text. One may be listed twice. */
static int hf_read_added(hf_tokens *k) {
    const json_node *list = json_get(k->tokenizer.nodes, "added_tokens");
    if (!json_is(list, JSON_ARRAY)) return 0;
    const int n_base = k->base ? tokenizer_vocab_size(k->base) : 0;
    JSON_EACH(token, list) {
        const json_node *name = json_get(token, "content");
        if (hf_is_beyond(k, token)) continue;
        tokenizer_piece *p = hf_slot(k, name, json_get(token, "id"));
        if (!p) return -1;
        const int id = (int)(p - k->pieces), special = json_is(json_get(token, "special"), JSON_TRUE);
        if (id < n_base && tokenizer_find(k->base, name->text, name->size) != id)
            return hf_bad_token(k, "added token", name->text, "tokenizer.model has another piece with its id");
        if (id < n_base) continue;
        const tokenizer_piece piece = {name->text, name->size, 0, special ? TOKENIZER_CONTROL : TOKENIZER_USER_DEFINED};
        if (p->size && (p->size != piece.size || memcmp(p->text, piece.text, p->size) || p->type != piece.type))
            return hf_bad_token(k, "added token", name->text, "its id is another's too");
        if (!special &&
            (json_is(json_get(token, "lstrip"), JSON_TRUE) || json_is(json_get(token, "rstrip"), JSON_TRUE) ||
             json_is(json_get(token, "single_word"), JSON_TRUE)))
            return hf_bad_token(k, "added token", name->text, "lstrip, rstrip and single_word are not supported");
        *p = piece;
    }
    return 0;
}

static int hf_is_byte_name(const json_node *name) {
    static const char digits[] = "0123456789ABCDEF";
    const char *s = name->text;
    return name->size == 6 && !memcmp(s, "<0x", 3) && s[3] && strchr(digits, s[3]) && s[4] && strchr(digits, s[4]) &&
           s[5] == '>';
}

/* The vocabulary, after the added tokens, some of which it may contain: under their names, not in the alphabet. */
static int hf_read_vocab(hf_tokens *k) {
    const json_node *unknown = json_get(k->model, "unk_token");
    const int byte_level = k->parts.kind == TOKENIZER_BYTE_LEVEL;
    char *out = k->bytes;
    JSON_EACH(name, k->vocab) {
        tokenizer_piece *p = hf_slot(k, name, name + 1);
        if (!p) return -1;
        if (p->size && (p->size != name->size || memcmp(p->text, name->text, p->size)))
            return hf_bad_token(k, "token", name->text, "its id is another's too");
        const int is_unknown = !byte_level && json_is(unknown, JSON_STRING) && json_is_text(name, unknown->text);
        if (is_unknown) p->type = TOKENIZER_UNKNOWN;
        if (p->size) continue;
        *p = (tokenizer_piece){name->text, name->size, 0, is_unknown ? TOKENIZER_UNKNOWN : TOKENIZER_NORMAL};
        if (!byte_level) {
            if (hf_is_byte_name(name) && json_is(json_get(k->model, "byte_fallback"), JSON_TRUE))
                p->type = TOKENIZER_BYTE;
            continue;
        }
        const ptrdiff_t n = vocabulary_decode_bytes(name->text, name->size, out);
        if (n < 0) return hf_bad_token(k, "token", name->text, "it has characters outside the byte-level alphabet");
        p->text = out;
        p->size = (size_t)n;
        out += n;
    }
    return 0;
}

/* ---- Merges ---- */

/* A merge is "left right" or ["left", "right"]. 0 if it is neither. */
static int hf_split_merge(const json_node *merge, const char *text[2], size_t size[2]) {
    if (merge->type == JSON_ARRAY && merge->size == 2 && merge->skip == 3) {
        for (int i = 0; i < 2; i++) {
            if (merge[1 + i].type != JSON_STRING) return 0;
            text[i] = merge[1 + i].text, size[i] = merge[1 + i].size;
        }
        return 1;
    }
    const char *space = merge->type == JSON_STRING ? memchr(merge->text, ' ', merge->size) : NULL;
    if (!space) return 0;
    text[0] = merge->text, size[0] = (size_t)(space - merge->text);
    text[1] = space + 1, size[1] = merge->size - size[0] - 1;
    return 1;
}

static int hf_vocab_id(const hf_tokens *k, const char *text, size_t size) {
    const json_node *id = json_find(&k->index, text, size);
    return id ? (int)id->number : -1;
}

/* Ids of left, right and both together; joined has room for the longest token. */
static int hf_read_merge(const hf_tokens *k, const json_node *merge, size_t longest, char *joined, int id[3]) {
    const char *text[2];
    size_t size[2];
    if (!hf_split_merge(merge, text, size))
        return set_error(k->err, "%.120s/tokenizer.json: line %lu: a merge is not two tokens", k->directory,
                         (unsigned long)merge->line);
    const char *shown = merge->type == JSON_ARRAY ? text[0] : merge->text;
    for (int i = 0; i < 2; i++)
        if ((id[i] = hf_vocab_id(k, text[i], size[i])) < 0)
            return hf_bad_token(k, "merge", shown,
                                i ? "its right part is not in the vocabulary"
                                  : "its left part is not in the vocabulary");
    id[2] = -1;
    if (size[0] + size[1] <= longest) {
        memcpy(joined, text[0], size[0]);
        memcpy(joined + size[0], text[1], size[1]);
        id[2] = hf_vocab_id(k, joined, size[0] + size[1]);
    }
    return id[2] < 0 ? hf_bad_token(k, "merge", shown, "what it makes is not in the vocabulary") : 0;
}

static int hf_is_one_character(const tokenizer_piece *p) {
    for (size_t i = 1; i < p->size; i++)
        if ((p->text[i] & 0xC0) != 0x80) return 0;
    return 1;
}

/* SentencePiece joins the pair whose piece has the best score, Hugging Face the pair that comes first in its list. That
 * is the same if all pairs that make a piece stand together. A piece that no pair makes is out of reach of any text. */
static int hf_score(hf_tokens *k, int id, int *previous, float *score) {
    tokenizer_piece *p = &k->pieces[id];
    if (id == *previous) return 0;
    if (p->score < 0) return hf_bad_token(k, "merges to", p->text, "not one after the other, as SentencePiece would");
    *previous = id;
    p->score = --*score;
    return 0;
}

static void hf_hide_unmade(hf_tokens *k, float score) {
    for (int id = 0; id < k->vocab_size; id++) {
        tokenizer_piece *p = &k->pieces[id];
        if (p->type != TOKENIZER_NORMAL || p->score < 0 || hf_is_one_character(p)) continue;
        p->type = TOKENIZER_UNUSED;
        p->score = score - 1;
    }
}

static int hf_read_merges(hf_tokens *k) {
    size_t longest = 0;
    const int is_scored = k->parts.kind == TOKENIZER_SENTENCEPIECE;
    int previous = -1, n = 0, result = 0;
    float score = 0;
    JSON_EACH(name, k->vocab)
        if (name->size > longest) longest = name->size;
    char *joined = malloc(longest + 1);
    k->merges = malloc(((size_t)k->merge_list->size + 1) * sizeof *k->merges);
    if (!joined || !k->merges || json_index_make(&k->index, k->vocab)) {
        free(joined);
        return set_error(k->err, "%.120s/tokenizer.json: no memory", k->directory);
    }
    JSON_EACH(merge, k->merge_list) {
        int id[3];
        if ((result = hf_read_merge(k, merge, longest, joined, id))) break;
        if (is_scored && (result = hf_score(k, id[2], &previous, &score))) break;
        k->merges[n][0] = id[0], k->merges[n++][1] = id[1];
    }
    free(joined);
    if (is_scored) {
        hf_hide_unmade(k, score);
    } else {
        k->parts.merges = (const int(*)[2])k->merges;
        k->parts.n_merges = n;
    }
    return result;
}

/* ---- tokenizer.json, tokenizer.model ---- */

static int hf_read_tokenizer_json(hf_tokens *k) {
    k->vocab = json_get(k->model, "vocab");
    k->merge_list = json_get(k->model, "merges");
    if (!json_is(k->vocab, JSON_OBJECT) || !json_is(k->merge_list, JSON_ARRAY))
        return set_error(k->err,
                         "%.120s/tokenizer.json: model's vocab is %s and its merges are %s, not an object and an array",
                         k->directory, json_type_name(k->vocab), json_type_name(k->merge_list));
    k->parts.ignore_merges = json_is(json_get(k->model, "ignore_merges"), JSON_TRUE);
    size_t size = 0;
    JSON_EACH(name, k->vocab) size += name->size;
    k->bytes = malloc(size + 1);
    if (!k->bytes) return set_error(k->err, "%.120s/tokenizer.json: no memory", k->directory);
    if (k->parts.kind == TOKENIZER_BYTE_LEVEL) {
        if (hf_check_byte_level(k)) return -1;
    } else if ((k->parts.add_dummy_prefix = hf_dummy_prefix(k->tokenizer.nodes)) < 0) {
        return set_error(k->err, "%.120s/tokenizer.json: normalizer and pre_tokenizer are not SentencePiece's",
                         k->directory);
    }
    return hf_check_model(k) || hf_read_added(k) || hf_read_vocab(k) || hf_read_merges(k) ? -1 : 0;
}

static int hf_read_tokenizer_model(hf_tokens *k) {
    tokenizer_error why;
    char *path = path_join(k->directory, "tokenizer.model", k->err);
    if (!path) return -1;
    k->base = tokenizer_load(path, 0, NULL, &why);
    if (!k->base) set_error(k->err, "%s", why.text);
    const int n = k->base ? tokenizer_vocab_size(k->base) : 0;
    int result = k->base ? 0 : -1;
    if (n > k->vocab_size)
        result = set_error(k->err, "%.120s: %d pieces, the embedding has %d rows", path, n, k->vocab_size);
    free(path);
    return result ? result : hf_read_added(k);
}

/* Sets the kind, and reads the pieces of it. */
static int hf_read_pieces(hf_tokens *k) {
    const json_node *root = k->tokenizer.nodes, *fallback;
    k->model = json_get(root, "model");
    if (root && !hf_is(k->model, "BPE")) {
        const json_node *type = json_get(k->model, "type");
        return set_error(k->err, "%.120s/tokenizer.json: model's type is %.40s, not BPE", k->directory,
                         json_is(type, JSON_STRING) ? type->text : json_type_name(type));
    }
    fallback = json_get(k->model, "byte_fallback");
    k->parts.kind = root && !json_is(fallback, JSON_TRUE) ? TOKENIZER_BYTE_LEVEL : TOKENIZER_SENTENCEPIECE;
    if (k->parts.kind == TOKENIZER_SENTENCEPIECE && file_is_in(k->directory, "tokenizer.model"))
        return hf_read_tokenizer_model(k);
    return hf_read_tokenizer_json(k);
}

/* ---- Where texts begin and end ---- */

/* The id of a token that tokenizer_config.json names, by a string or an object with its content; -1 if it names none;
 * -2 failed. */
static int hf_named_token(const hf_tokens *k, const char *key) {
    const json_node *name = json_get(k->tokenizer_config.nodes, key);
    if (json_is(name, JSON_OBJECT)) name = json_get(name, "content");
    if (!json_is(name, JSON_STRING) || !name->size) return -1;
    int id = k->base ? tokenizer_find(k->base, name->text, name->size) : -1;
    for (int i = 0; id < 0 && i < k->vocab_size; i++)
        if (k->pieces[i].size == name->size && !memcmp(k->pieces[i].text, name->text, name->size)) id = i;
    if (id >= 0) return id;
    set_error(k->err, "%.100s/tokenizer_config.json: %s is \"%.60s\", which is not in the vocabulary", k->directory,
              key, name->text);
    return -2;
}

/* An id in config.json or generation_config.json; -2 if it is none. */
static int hf_checked_id(const hf_tokens *k, const json_node *id, const char *file, const char *key) {
    uint64_t n;
    if (json_whole(id, &n) && n < (uint64_t)k->vocab_size) return (int)n;
    set_error(k->err, "%.120s/%s: %s is %.10g, not an id below %d", k->directory, file, key,
              json_is(id, JSON_NUMBER) ? id->number : -1.0, k->vocab_size);
    return -2;
}

static int hf_add_end(hf_tokens *k, int id) {
    for (int i = 0; i < k->parts.n_ends; i++)
        if (k->ends[i] == id) return 0;
    if (k->parts.n_ends == HF_MAX_ENDS)
        return set_error(k->err, "%.120s: more than %d tokens end a text", k->directory, HF_MAX_ENDS);
    k->ends[k->parts.n_ends++] = id;
    return 0;
}

/* eos_token_id of a file: a number, or a list. */
static int hf_add_end_ids(hf_tokens *k, const json_node *root, const char *file) {
    const json_node *value = json_get(root, "eos_token_id"), *first = value;
    if (!value || value->type == JSON_NULL) return 0;
    if (value->type == JSON_ARRAY) first = value + 1;
    for (const json_node *id = first; id < value + value->skip; id += id->skip) {
        const int n = hf_checked_id(k, id, file, "eos_token_id");
        if (n < 0 || hf_add_end(k, n)) return -1;
    }
    return 0;
}

/* All that any of the files calls an end, and all that end a turn by their names. */
static int hf_read_ends(hf_tokens *k) {
    const int eos = hf_named_token(k, "eos_token");
    if (eos == -2 || (eos >= 0 && hf_add_end(k, eos))) return -1;
    if (hf_add_end_ids(k, k->generation_config.nodes, "generation_config.json") ||
        hf_add_end_ids(k, k->config, "config.json"))
        return -1;
    for (int id = 0; id < k->vocab_size; id++) {
        const tokenizer_piece *p = &k->pieces[id];
        if ((p->type == TOKENIZER_CONTROL || p->type == TOKENIZER_USER_DEFINED) &&
            vocabulary_ends_turn(p->text, p->size) && hf_add_end(k, id))
            return -1;
    }
    k->parts.ends = k->ends;
    return 0;
}

static int hf_read_bos(hf_tokens *k) {
    static const char key[] = "bos_token_id";
    const json_node *generation = json_get(k->generation_config.nodes, key), *config = json_get(k->config, key);
    int id = hf_named_token(k, "bos_token");
    if (id == -1 && json_is(generation, JSON_NUMBER)) id = hf_checked_id(k, generation, "generation_config.json", key);
    if (id == -1 && json_is(config, JSON_NUMBER)) id = hf_checked_id(k, config, "config.json", key);
    if (id == -1 && k->base) id = tokenizer_bos(k->base);
    k->parts.bos = id;
    return id == -2 ? -1 : 0;
}

/* The first thing that a TemplateProcessing puts into a text: 1 if it is a special token, 0 if it is the text, -1 if
 * n is none. */
static int hf_template_starts_special(const json_node *n) {
    const json_node *single = hf_is(n, "TemplateProcessing") ? json_get(n, "single") : NULL;
    if (!json_is(single, JSON_ARRAY) || !single->size) return -1;
    return json_get(single + 1, "SpecialToken") != NULL;
}

/* tokenizer_config.json decides, else the post_processor, else what the class of the kind does. */
static void hf_read_add_bos(hf_tokens *k) {
    const json_node *said = json_get(k->tokenizer_config.nodes, "add_bos_token");
    const json_node *post = json_get(k->tokenizer.nodes, "post_processor"), *list = json_get(post, "processors");
    int starts = hf_template_starts_special(post);
    if (json_is(list, JSON_ARRAY))
        JSON_EACH(step, list)
            if (starts < 0) starts = hf_template_starts_special(step);
    if (starts < 0) starts = k->parts.kind == TOKENIZER_SENTENCEPIECE;
    if (said && (said->type == JSON_TRUE || said->type == JSON_FALSE)) starts = said->type == JSON_TRUE;
    k->parts.add_bos = starts && k->parts.bos >= 0;
}

/* ---- Chat template: a file of its own, one text, or a list of named ones ---- */

/* The name of a token in tokenizer_config.json, which is all that templates are given. */
static template_name hf_token_name(const hf_tokens *k, const char *key) {
    const json_node *token = json_get(k->tokenizer_config.nodes, key), *content = json_get(token, "content");
    if (content) token = content;
    return json_is(token, JSON_STRING) ? (template_name){token->text, token->size} : (template_name){NULL, 0};
}

static const char *hf_find_template(hf_tokens *k, const char *jinja, size_t size) {
    const template_tokens tokens = {hf_token_name(k, "bos_token"), hf_token_name(k, "eos_token"),
                                    template_marks_are_tokens(k->pieces, k->vocab_size)};
    return template_find(jinja, size, &tokens, &k->source->template_error);
}

static int hf_read_template(hf_tokens *k) {
    static const char file[] = "chat_template.jinja";
    const json_node *text = json_get(k->tokenizer_config.nodes, "chat_template");
    const char *name = NULL;
    if (file_is_in(k->directory, file)) {
        size_t size;
        char *path = path_join(k->directory, file, k->err);
        char *jinja = path ? file_read(path, HF_MAX_TEMPLATE, &size, k->err) : NULL;
        free(path);
        if (!jinja) return -1;
        name = hf_find_template(k, jinja, size);
        free(jinja);
    } else {
        if (json_is(text, JSON_ARRAY)) {
            const json_node *list = text;
            text = NULL;
            JSON_EACH(item, list)
                if (json_is_text(json_get(item, "name"), "default")) text = json_get(item, "template");
        }
        if (json_is(text, JSON_STRING)) name = hf_find_template(k, text->text, text->size);
    }
    k->parts.chat_template = tokenizer_template_find(name);
    return 0;
}

/* ---- All of it ---- */

static int hf_build(hf_tokens *k, llama_source *s) {
    tokenizer_error why;
    const int n_base = k->base ? tokenizer_vocab_size(k->base) : 0;
    k->parts.base = k->base;
    k->parts.pieces = k->pieces + n_base;
    k->parts.n_pieces = k->vocab_size - n_base;
    tokenizer *t = tokenizer_create(&k->parts, NULL, &why);
    if (!t) return set_error(k->err, "%.120s: tokenizer: %.120s", k->directory, why.text);
    s->tokenizer = vocabulary_save(t, &s->tokenizer_size);
    tokenizer_free(t);
    return s->tokenizer ? 0 : set_error(k->err, "%.120s: no memory for the tokenizer", k->directory);
}

static int hf_read_all(hf_tokens *k, llama_source *s) {
    k->pieces = malloc((size_t)k->vocab_size * sizeof *k->pieces);
    if (!k->pieces) return set_error(k->err, "%.120s: no memory for %d pieces", k->directory, k->vocab_size);
    for (int id = 0; id < k->vocab_size; id++) k->pieces[id] = (tokenizer_piece){"", 0, 0, TOKENIZER_UNUSED};
    if (hf_load_optional(k, &k->tokenizer, "tokenizer.json") ||
        hf_load_optional(k, &k->tokenizer_config, "tokenizer_config.json") ||
        hf_load_optional(k, &k->generation_config, "generation_config.json"))
        return -1;
    if (hf_read_pieces(k) || hf_read_bos(k) || hf_read_ends(k) || hf_read_template(k)) return -1;
    hf_read_add_bos(k);
    return hf_build(k, s);
}

int hf_read_tokenizer(llama_source *s, const char *directory, const json_node *config, llama_error *err) {
    if (!file_is_in(directory, "tokenizer.json") && !file_is_in(directory, "tokenizer.model")) return 0;
    hf_tokens k = {
        .directory = directory, .err = err, .source = s, .vocab_size = s->config.vocab_size, .config = config};
    const int result = hf_read_all(&k, s);
    tokenizer_free(k.base);
    json_index_free(&k.index);
    json_free(&k.tokenizer), json_free(&k.tokenizer_config), json_free(&k.generation_config);
    free(k.pieces), free(k.bytes), free(k.merges);
    return result;
}
