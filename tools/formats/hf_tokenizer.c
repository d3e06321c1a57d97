/* hf_tokenizer.c - the tokenizer of a Hugging Face directory: pieces, special tokens, ends, chat template.
 *
 * tokenizer.json is what Hugging Face's own code reads: all tokens, those added later too. It is of one of two kinds:
 *
 *   byte-level      GPT-2, Llama 3, Qwen: a vocabulary in GPT-2's alphabet of bytes
 *   SentencePiece   Llama 2, Mistral, Gemma: made from tokenizer.model, with its scores turned into merges
 *
 * Both have merges in order of rank, and rules in steps: a normalizer, then a pre_tokenizer, each a step or a Sequence
 * of steps. What comes to one of the forms that tokenizer.h knows is taken; any other step is refused by its name.
 *
 * tokenizer.model is read where there is no tokenizer.json, and where it has all of that one's pieces and more of its
 * own; where the two differ that is said. Tokens were added to it in added_tokens.json, an object of names and ids, or,
 * in later directories, in tokenizer_config.json's added_tokens_decoder, which has what tokenizer.json's added_tokens
 * have.
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

#define HF_MAX_ENDS 64
#define HF_MAX_TEMPLATE ((size_t)1 << 20)

/* The steps of a normalizer or pre_tokenizer. */
enum { HF_MAX_STEPS = 8 };
typedef struct {
    const json_node *step[HF_MAX_STEPS];
    int n;
} hf_steps;

typedef struct {
    const char *directory;
    llama_error *err;
    llama_source *source;
    int vocab_size;
    const char *file;                                         /* that tokens are read from */
    const json_node *config;                                  /* config.json */
    json_text tokenizer, tokenizer_config, generation_config; /* nodes is NULL where there is no such file */
    json_text added, special;                                 /* added_tokens.json, special_tokens_map.json */
    hf_steps normalizer, pre_tokenizer;                       /* in tokenizer.json */
    const json_node *model, *vocab, *merge_list;
    json_index index;        /* of vocab */
    tokenizer *base;         /* tokenizer.model, if that is used */
    tokenizer_piece *pieces; /* (vocab_size) by id */
    char *bytes;             /* what the pieces of a byte-level vocabulary point into */
    int (*merges)[2];
    int ends[HF_MAX_ENDS];
    const char *jinja; /* the chat template, in template_file or a JSON text; NULL: none */
    size_t jinja_size;
    char *template_file;
    tokenizer_parts parts;
} hf_tokens;

/* Fails about the file that is read; the text is its. */
static int hf_bad_token(const hf_tokens *k, const char *what, const char *text, const char *why) {
    return set_error(k->err, "%.100s/%s: %s \"%.60s\": %s", k->directory, k->file, what, text, why);
}

static int hf_load_optional(const hf_tokens *k, json_text *j, const char *name) {
    if (!file_is_in(k->directory, name)) return 0;
    char *path = path_join(k->directory, name, k->err);
    const int result = path ? json_load(j, path, k->err) : -1;
    free(path);
    return result;
}

static int hf_is(const json_node *n, const char *type) { return json_is_text(json_get(n, "type"), type); }

static int hf_no_memory(const hf_tokens *k) {
    return set_error(k->err, "%.120s: no memory for the tokenizer", k->directory);
}

/* Fails about a step, or what it says of key. */
static int hf_bad_step(const hf_tokens *k, const char *what, const json_node *step, const char *key) {
    const json_node *type = json_get(step, "type"), *value = json_get(step, key);
    return set_error(k->err, "%.100s/tokenizer.json: %s %.40s%s%s%s%.40s is not supported", k->directory, what,
                     json_is(type, JSON_STRING) ? type->text : json_type_name(type), *key ? " with " : "", key,
                     *key ? " " : "",
                     !*key                         ? ""
                     : json_is(value, JSON_STRING) ? value->text
                                                   : json_type_name(value));
}

/* ---- Rules: what text goes through before it is looked up ---- */

/* Collects the steps, those of Sequences too, however deep: in the flat array of nodes they are all on the way. */
static int hf_read_steps(const hf_tokens *k, const char *what, hf_steps *s) {
    const json_node *root = json_get(k->tokenizer.nodes, what);
    for (const json_node *n = root, *end = root ? root + root->skip : NULL; n < end;) {
        const int is_step = n->type == JSON_OBJECT && !hf_is(n, "Sequence");
        if (is_step && s->n == HF_MAX_STEPS)
            return set_error(k->err, "%.120s/tokenizer.json: %s has more than %d steps", k->directory, what,
                             HF_MAX_STEPS);
        if (is_step) s->step[s->n++] = n;
        n += is_step ? n->skip : 1;
    }
    return 0;
}

/* Replace " " by SentencePiece's space. */
static int hf_is_replace(const json_node *n) {
    return hf_is(n, "Replace") && json_is_text(json_get(json_get(n, "pattern"), "String"), " ") &&
           json_is_text(json_get(n, "content"), HF_SPACE);
}

/* Metaspace, which does what Replace and Prepend do, but puts no space where one is. */
static int hf_read_metaspace(hf_tokens *k, const json_node *step) {
    const json_node *scheme = json_get(step, "prepend_scheme");
    const int prefix = json_is_text(scheme, "first") ? TOKENIZER_PREFIX_FIRST : TOKENIZER_PREFIX_MISSING;
    if (!json_is_text(json_get(step, "replacement"), HF_SPACE))
        return hf_bad_step(k, "pre_tokenizer", step, "replacement");
    if (!json_is(json_get(step, "split"), JSON_FALSE)) return hf_bad_step(k, "pre_tokenizer", step, "split");
    if (scheme && !json_is_text(scheme, "first") && !json_is_text(scheme, "always") && !json_is_text(scheme, "never"))
        return hf_bad_step(k, "pre_tokenizer", step, "prepend_scheme");
    const int never =
        json_is_text(scheme, "never") || (!scheme && json_is(json_get(step, "add_prefix_space"), JSON_FALSE));
    k->parts.add_dummy_prefix = never ? TOKENIZER_PREFIX_NONE : prefix;
    return 0;
}

/* Replace, Prepend before or after it or not; or Metaspace. Gemma's Split by " " finds none after Replace. */
static int hf_read_sentencepiece(hf_tokens *k) {
    const hf_steps *a = &k->normalizer, *b = &k->pre_tokenizer;
    int replaces = 0;
    for (int i = 0; i < a->n; i++) {
        const int prepends = hf_is(a->step[i], "Prepend") && json_is_text(json_get(a->step[i], "prepend"), HF_SPACE);
        if (!prepends && !hf_is_replace(a->step[i])) return hf_bad_step(k, "normalizer", a->step[i], "");
        if (prepends) k->parts.add_dummy_prefix = TOKENIZER_PREFIX_EACH;
        else replaces = 1;
    }
    for (int i = 0; i < b->n; i++) {
        const int is_metaspace = hf_is(b->step[i], "Metaspace") && a->n == 0 && !replaces;
        if (is_metaspace && hf_read_metaspace(k, b->step[i])) return -1;
        if (is_metaspace) replaces = 1;
        else if (!replaces || !hf_is(b->step[i], "Split") ||
                 !json_is_text(json_get(json_get(b->step[i], "pattern"), "String"), " "))
            return hf_bad_step(k, "pre_tokenizer", b->step[i], "");
    }
    if (replaces) return 0;
    return set_error(k->err,
                     "%.120s/tokenizer.json: neither the normalizer nor the pre_tokenizer replaces spaces, nor "
                     "is it a byte-level one",
                     k->directory);
}

/* The patterns that are known, in turn; tokenizer.c has them in lines. */
#define HF_CASED(more)                                                                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" more                   \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" more
#define HF_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define HF_BLANKS "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const char hf_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static const struct {
    int split;
    const char *patterns[HF_SPLIT_PATTERNS];
} hf_splits[] = {
    {TOKENIZER_SPLIT_GPT2, {hf_gpt2}},
    {TOKENIZER_SPLIT_STARCODER, {"\\p{N}", hf_gpt2}},
    {TOKENIZER_SPLIT_LLAMA3,
     {HF_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" HF_BLANKS}},
    {TOKENIZER_SPLIT_QWEN2,
     {HF_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" HF_BLANKS}},
    {TOKENIZER_SPLIT_QWEN35,
     {HF_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" HF_BLANKS}},
    {TOKENIZER_SPLIT_GPT4O, {HF_CASED(HF_CONTRACTIONS "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" HF_BLANKS}},
    {TOKENIZER_SPLIT_TEKKEN, {HF_CASED("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" HF_BLANKS}},
    {TOKENIZER_SPLIT_DEEPSEEK3,
     {"\\p{N}{1,3}", "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
      "| ?[\\p{P}\\p{S}]+[\\r\\n]*" HF_BLANKS}},
};

const char *const *hf_split_patterns(int split) {
    for (size_t i = 0; i < sizeof hf_splits / sizeof *hf_splits; i++)
        if (hf_splits[i].split == split) return hf_splits[i].patterns;
    return NULL;
}

/* The next character of a pattern: \r, \n and \" may as well be the characters themselves. */
static char hf_pattern_character(const char **p) {
    static const char escaped[] = "rn\"", meant[] = "\r\n\"";
    const char *found = **p == '\\' && (*p)[1] ? strchr(escaped, (*p)[1]) : NULL;
    if (!found) return *(*p)++;
    *p += 2;
    return meant[found - escaped];
}

static int hf_is_pattern(const char *a, const char *b) {
    while (*a && *b)
        if (hf_pattern_character(&a) != hf_pattern_character(&b)) return 0;
    return !*a && !*b;
}

/* Adds what a step of a byte-level pre_tokenizer cuts by. Parts that match and parts that do not are words alike
 * (Isolated), or only those that match are (Removed, inverted), which is the same where all is matched: by all known
 * patterns alone, but not by one of several. */
static int hf_read_split(const hf_tokens *k, const json_node *step, int is_last, const char *patterns[], int *n) {
    const json_node *pattern = json_get(json_get(step, "pattern"), "Regex"), *behavior = json_get(step, "behavior");
    const int is_isolated = json_is_text(behavior, "Isolated");
    const int is_kept = json_is_text(behavior, "Removed") && json_is(json_get(step, "invert"), JSON_TRUE);
    if (hf_is(step, "Digits")) {
        patterns[(*n)++] = json_is(json_get(step, "individual_digits"), JSON_TRUE) ? "\\p{N}" : "\\p{N}+";
        return 0;
    }
    if (hf_is(step, "ByteLevel")) {
        if (!is_last) return hf_bad_step(k, "pre_tokenizer", step, "");
        if (!json_is(json_get(step, "add_prefix_space"), JSON_FALSE))
            return hf_bad_step(k, "pre_tokenizer", step, "add_prefix_space");
        if (!json_is(json_get(step, "use_regex"), JSON_FALSE)) patterns[(*n)++] = hf_gpt2;
        return 0;
    }
    if (!hf_is(step, "Split")) return hf_bad_step(k, "pre_tokenizer", step, "");
    if (!json_is(pattern, JSON_STRING)) return hf_bad_step(k, "pre_tokenizer", step, "pattern");
    if (!is_isolated && !(is_kept && k->pre_tokenizer.n <= 2)) return hf_bad_step(k, "pre_tokenizer", step, "behavior");
    patterns[(*n)++] = pattern->text;
    return 0;
}

static int hf_read_byte_level(hf_tokens *k) {
    const hf_steps *a = &k->normalizer, *b = &k->pre_tokenizer;
    const char *patterns[HF_MAX_STEPS];
    int n = 0;
    for (int i = 0; i < a->n; i++) {
        if (!hf_is(a->step[i], "NFC")) return hf_bad_step(k, "normalizer", a->step[i], "");
        k->parts.nfc = 1;
    }
    for (int i = 0; i < b->n; i++)
        if (hf_read_split(k, b->step[i], i == b->n - 1, patterns, &n)) return -1;
    for (size_t i = 0; i < sizeof hf_splits / sizeof *hf_splits; i++) {
        int same = 0;
        while (same < n && same < HF_SPLIT_PATTERNS && hf_splits[i].patterns[same] &&
               hf_is_pattern(hf_splits[i].patterns[same], patterns[same]))
            same++;
        k->parts.split = hf_splits[i].split;
        if (n > 0 && same == n && (n == HF_SPLIT_PATTERNS || !hf_splits[i].patterns[n])) return 0;
    }
    return set_error(k->err, "%.100s/tokenizer.json: pre_tokenizer splits by \"%.80s\"%s, a pattern that is not known",
                     k->directory, n ? patterns[0] : "", n > 1 ? " and more" : "");
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
    if (k->parts.kind == TOKENIZER_BYTE_LEVEL) return 0;
    if (json_is(json_get(k->model, "ignore_merges"), JSON_TRUE))
        return set_error(k->err,
                         "%.120s/tokenizer.json: ignore_merges without a byte-level pre_tokenizer is not "
                         "supported",
                         k->directory);
    if (!json_is(json_get(k->model, "byte_fallback"), JSON_TRUE) && !json_is(json_get(k->model, "fuse_unk"), JSON_TRUE))
        return set_error(k->err,
                         "%.120s/tokenizer.json: neither byte_fallback nor fuse_unk is true: that is not "
                         "supported",
                         k->directory);
    return 0;
}

/* ---- Pieces ---- */

static int hf_is_text(const tokenizer_piece *p, const json_node *name) {
    return p->size == name->size && !memcmp(p->text, name->text, p->size);
}

/* The slot of id for a piece with this name; NULL if it has no row. */
static tokenizer_piece *hf_slot(const hf_tokens *k, const json_node *name, const json_node *id) {
    uint64_t n;
    if (!json_is(name, JSON_STRING) || !name->size) {
        set_error(k->err, "%.120s/%s: a token's content is %s, not a text", k->directory, k->file,
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

/* A token that was added to a vocabulary. */
typedef struct {
    const json_node *name;
    json_node id;
    int special, flags;
} hf_added;

/* What tokenizer.json's added_tokens and tokenizer_config.json's added_tokens_decoder say of a token, but for its
 * id. */
static hf_added hf_added_token(const json_node *token) {
    static const struct {
        const char *key;
        int flag;
    } known[] = {{"lstrip", TOKENIZER_LSTRIP},
                 {"rstrip", TOKENIZER_RSTRIP},
                 {"single_word", TOKENIZER_SINGLE_WORD},
                 {"normalized", TOKENIZER_NORMALIZED}};
    hf_added a = {.name = json_get(token, "content"), .special = json_is(json_get(token, "special"), JSON_TRUE)};
    for (int i = 0; i < 4; i++)
        if (json_is(json_get(token, known[i].key), JSON_TRUE)) a.flags |= known[i].flag;
    return a;
}

/* 1 if an added token has no row and needs none. */
static int hf_is_beyond(const hf_tokens *k, const hf_added *a) {
    uint64_t n;
    if (!json_is(a->name, JSON_STRING) || !a->special || !json_whole(&a->id, &n) || n < (uint64_t)k->vocab_size)
        return 0;
    source_skip(k->source, "token %.40s: its id is %.0f, the embedding has %d rows", a->name->text, (double)n,
                k->vocab_size);
    return 1;
}

/* Special ones only come from templates, others from any text; what is special once stays it. */
static int hf_add(hf_tokens *k, const hf_added *a) {
    if (hf_is_beyond(k, a)) return 0;
    tokenizer_piece *p = hf_slot(k, a->name, &a->id);
    if (!p) return -1;
    if (p->size && !hf_is_text(p, a->name))
        return hf_bad_token(k, "added token", a->name->text, "its id is another's too");
    const int special = a->special || p->type == TOKENIZER_CONTROL;
    /* what tokenizer.json's vocabulary has is read later */
    const int is_added = !p->size || (p->flags & TOKENIZER_ADDED) ? TOKENIZER_ADDED : 0;
    if (p->type == TOKENIZER_UNKNOWN || p->type == TOKENIZER_BYTE) return 0;
    *p = (tokenizer_piece){a->name->text, a->name->size, p->score, special ? TOKENIZER_CONTROL : TOKENIZER_USER_DEFINED,
                           a->flags | (special ? 0 : TOKENIZER_SEGMENT | is_added)};
    return 0;
}

/* Is the name that of a special token: in special_tokens_map.json or tokenizer_config.json, as the value of a key,
 * or in a list of such? */
static int hf_is_special(const hf_tokens *k, const char *name) {
    const json_node *const roots[] = {k->special.nodes, k->tokenizer_config.nodes};
    for (int i = 0; i < 2; i++) {
        if (!json_is(roots[i], JSON_OBJECT)) continue;
        JSON_EACH(key, roots[i]) {
            const json_node *value = key + 1;
            const size_t n = key->size;
            const int is_list = n > 7 && !strcmp(key->text + n - 7, "_tokens") && value->type == JSON_ARRAY;
            if (!is_list && !(n > 6 && !strcmp(key->text + n - 6, "_token"))) continue;
            for (const json_node *item = is_list ? value + 1 : value; item < value + value->skip; item += item->skip)
                if (json_is_text(item, name) || json_is_text(json_get(item, "content"), name)) return 1;
        }
    }
    return 0;
}

/* tokenizer_config.json's added_tokens_decoder: keys are ids. With tokenizer.json, which should have the same, what
 * does not fit into that is left out. */
static int hf_read_added_decoder(hf_tokens *k) {
    const json_node *list = json_get(k->tokenizer_config.nodes, "added_tokens_decoder");
    k->file = "tokenizer_config.json";
    if (!json_is(list, JSON_OBJECT)) return 0;
    JSON_EACH(key, list) {
        char *end;
        hf_added a = hf_added_token(key + 1);
        a.id = (json_node){.type = JSON_NUMBER, .skip = 1, .number = strtod(key->text, &end)};
        if (!key->size || *end) return hf_bad_token(k, "added_tokens_decoder", key->text, "that is no id");
        uint64_t n;
        if (k->vocab && json_whole(&a.id, &n) && n < (uint64_t)k->vocab_size && json_is(a.name, JSON_STRING) &&
            k->pieces[n].size && !hf_is_text(&k->pieces[n], a.name)) {
            source_note(k->source,
                        "tokenizer_config.json's token %.40s, whose id is %.40s's in tokenizer.json, is left out",
                        a.name->text, k->pieces[n].text);
            continue;
        }
        if (hf_add(k, &a)) return -1;
    }
    return 0;
}

/* All that were added, wherever that is written. One may be listed twice. */
static int hf_read_added(hf_tokens *k) {
    const json_node *list = json_get(k->tokenizer.nodes, "added_tokens");
    k->file = "tokenizer.json";
    if (json_is(list, JSON_ARRAY))
        JSON_EACH(token, list) {
            hf_added a = hf_added_token(token);
            const json_node *id = json_get(token, "id");
            if (id) a.id = *id;
            if (hf_add(k, &a)) return -1;
        }
    k->file = "added_tokens.json";
    if (!k->tokenizer.nodes && json_is(k->added.nodes, JSON_OBJECT))
        JSON_EACH(name, k->added.nodes) {
            const hf_added a = {.name = name, .id = name[1], .special = hf_is_special(k, name->text)};
            if (hf_add(k, &a)) return -1;
        }
    return hf_read_added_decoder(k);
}

/* The vocabulary, after the added tokens, some of which it may contain: under their names, not in the alphabet. */
static int hf_read_vocab(hf_tokens *k) {
    const json_node *unknown = json_get(k->model, "unk_token");
    const int byte_level = k->parts.kind == TOKENIZER_BYTE_LEVEL;
    char *out = k->bytes;
    k->file = "tokenizer.json";
    JSON_EACH(name, k->vocab) {
        tokenizer_piece *p = hf_slot(k, name, name + 1);
        if (!p) return -1;
        if (p->size && !hf_is_text(p, name)) return hf_bad_token(k, "token", name->text, "its id is another's too");
        const int is_unknown = !byte_level && json_is(unknown, JSON_STRING) && json_is_text(name, unknown->text);
        if (is_unknown) p->type = TOKENIZER_UNKNOWN;
        p->flags &= ~TOKENIZER_ADDED;
        if (p->size) continue;
        *p = (tokenizer_piece){name->text, name->size, 0, is_unknown ? TOKENIZER_UNKNOWN : TOKENIZER_NORMAL, 0};
        if (!byte_level) {
            if (vocabulary_is_byte_name(name->text, name->size) &&
                json_is(json_get(k->model, "byte_fallback"), JSON_TRUE))
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

static int hf_read_merges(hf_tokens *k) {
    size_t longest = 0;
    int n = 0, result = 0;
    JSON_EACH(name, k->vocab)
        if (name->size > longest) longest = name->size;
    char *joined = malloc(longest + 1);
    k->merges = malloc(((size_t)k->merge_list->size + 1) * sizeof *k->merges);
    if (!joined || !k->merges || json_index_make(&k->index, k->vocab)) {
        free(joined);
        return hf_no_memory(k);
    }
    JSON_EACH(merge, k->merge_list) {
        int id[3];
        if ((result = hf_read_merge(k, merge, longest, joined, id))) break;
        k->merges[n][0] = id[0], k->merges[n++][1] = id[1];
    }
    free(joined);
    k->parts.merges = (const int(*)[2])k->merges;
    k->parts.n_merges = n;
    return result;
}

/* ---- tokenizer.json, tokenizer.model ---- */

static void hf_clear_pieces(hf_tokens *k) {
    for (int id = 0; id < k->vocab_size; id++) k->pieces[id] = (tokenizer_piece){"", 0, 0, TOKENIZER_UNUSED, 0};
}

static int hf_read_tokenizer_json(hf_tokens *k) {
    const json_node *root = k->tokenizer.nodes;
    k->model = json_get(root, "model");
    if (!hf_is(k->model, "BPE")) {
        const json_node *type = json_get(k->model, "type");
        return set_error(k->err, "%.120s/tokenizer.json: model's type is %.40s, not BPE", k->directory,
                         json_is(type, JSON_STRING) ? type->text : json_type_name(type));
    }
    k->vocab = json_get(k->model, "vocab");
    k->merge_list = json_get(k->model, "merges");
    if (!json_is(k->vocab, JSON_OBJECT) || !json_is(k->merge_list, JSON_ARRAY))
        return set_error(k->err,
                         "%.120s/tokenizer.json: model's vocab is %s and its merges are %s, not an object and an array",
                         k->directory, json_type_name(k->vocab), json_type_name(k->merge_list));
    if (hf_read_steps(k, "normalizer", &k->normalizer) || hf_read_steps(k, "pre_tokenizer", &k->pre_tokenizer))
        return -1;
    k->parts.kind = TOKENIZER_SENTENCEPIECE;
    for (int i = 0; i < k->pre_tokenizer.n; i++)
        if (hf_is(k->pre_tokenizer.step[i], "ByteLevel")) k->parts.kind = TOKENIZER_BYTE_LEVEL;
    k->parts.ignore_merges = json_is(json_get(k->model, "ignore_merges"), JSON_TRUE);
    size_t size = 0;
    JSON_EACH(name, k->vocab) size += name->size;
    k->bytes = malloc(size + 1);
    if (!k->bytes) return hf_no_memory(k);
    if (k->parts.kind == TOKENIZER_BYTE_LEVEL ? hf_read_byte_level(k) : hf_read_sentencepiece(k)) return -1;
    return hf_check_model(k) || hf_read_added(k) || hf_read_vocab(k) || hf_read_merges(k) ? -1 : 0;
}

/* Loads tokenizer.model; NULL with a message. */
static tokenizer *hf_load_model(const hf_tokens *k, llama_error *err) {
    tokenizer_error why;
    char *path = path_join(k->directory, "tokenizer.model", err);
    if (!path) return NULL;
    tokenizer *t = tokenizer_load(path, 0, NULL, &why);
    if (!t) set_error(err, "%s", why.text);
    free(path);
    return t;
}

/* Takes the pieces of tokenizer.model, k->base, and those added to it. */
static int hf_take_model(hf_tokens *k) {
    const int n = tokenizer_vocab_size(k->base);
    if (n > k->vocab_size)
        return set_error(k->err, "%.120s/tokenizer.model: %d pieces, the embedding has %d rows", k->directory, n,
                         k->vocab_size);
    hf_clear_pieces(k);
    for (int id = 0; id < n; id++) tokenizer_get_piece(k->base, id, &k->pieces[id]);
    k->parts.merges = NULL;
    k->parts.n_merges = 0;
    return hf_read_added(k);
}

/* Compares tokenizer.model with tokenizer.json, which was read and most often has all of the other's pieces. The one
 * that has all of the other's and more is taken, and tokenizer.json if both have pieces of their own, as Hugging
 * Face does. */
static int hf_compare_model(hf_tokens *k) {
    llama_error why;
    int more = 0, fewer = 0, other = -1;
    tokenizer *t = hf_load_model(k, &why);
    if (!t) return source_note(k->source, "tokenizer.json is taken, since %.100s", why.text), 0;
    const int n = tokenizer_vocab_size(t);
    for (int id = 0; id < n || id < k->vocab_size; id++) {
        tokenizer_piece mine = {"", 0, 0, TOKENIZER_UNUSED, 0}, p = mine;
        if (id < k->vocab_size) mine = k->pieces[id];
        if (id < n) tokenizer_get_piece(t, id, &p);
        if (p.size && !mine.size) more++;
        else if (p.size && (p.size != mine.size || memcmp(p.text, mine.text, p.size))) other = other < 0 ? id : other;
        else if (!p.size && mine.type != TOKENIZER_UNUSED && mine.type != TOKENIZER_CONTROL &&
                 mine.type != TOKENIZER_USER_DEFINED)
            fewer++;
    }
    if (other >= 0)
        source_note(k->source, "tokenizer.json is taken, whose piece %d is another than tokenizer.model's", other);
    else if (fewer)
        source_note(k->source, "tokenizer.json is taken, since tokenizer.model lacks %d of its pieces", fewer);
    else if (more)
        source_note(k->source, "tokenizer.model is taken, since tokenizer.json lacks %d of its pieces", more);
    if (more && !fewer && other < 0) {
        k->base = t;
        return hf_take_model(k);
    }
    tokenizer_free(t);
    return 0;
}

static int hf_read_pieces(hf_tokens *k) {
    const int has_model = file_is_in(k->directory, "tokenizer.model");
    hf_clear_pieces(k);
    /* Some write a tokenizer.json of added tokens alone beside the model that they were added to. */
    const json_node *model = json_get(k->tokenizer.nodes, "model");
    if (k->tokenizer.nodes && (!has_model || !hf_is(model, "BPE") || json_get(model, "vocab"))) {
        if (hf_read_tokenizer_json(k)) return -1;
        return has_model && k->parts.kind == TOKENIZER_SENTENCEPIECE ? hf_compare_model(k) : 0;
    }
    k->base = hf_load_model(k, k->err);
    if (!k->base) return -1;
    /* what the class LlamaTokenizer does then; with neither all is as in tokenizer.model */
    if (json_is(json_get(k->tokenizer_config.nodes, "add_prefix_space"), JSON_FALSE))
        k->parts.add_dummy_prefix = TOKENIZER_PREFIX_NONE;
    else if (json_is(json_get(k->tokenizer_config.nodes, "legacy"), JSON_FALSE))
        k->parts.add_dummy_prefix = TOKENIZER_PREFIX_FIRST;
    return hf_take_model(k);
}

/* ---- Where texts begin and end ---- */

/* The id of a token that tokenizer_config.json names, by a string or an object with its content; -1 if it names none;
 * -2 failed. */
static int hf_named_token(const hf_tokens *k, const char *key) {
    const json_node *name = json_get(k->tokenizer_config.nodes, key);
    if (json_is(name, JSON_OBJECT)) name = json_get(name, "content");
    if (!json_is(name, JSON_STRING) || !name->size) return -1;
    for (int id = 0; id < k->vocab_size; id++)
        if (hf_is_text(&k->pieces[id], name)) return id;
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
    const int eos_is_said = k->parts.n_ends > 0;
    for (int id = 0; id < k->vocab_size; id++)
        if ((vocabulary_is_end(&k->pieces[id]) || (k->base && tokenizer_is_end(k->base, id) && !eos_is_said)) &&
            hf_add_end(k, id))
            return -1;
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

static int hf_take_template(hf_tokens *k, const char *jinja, size_t size, int is_default) {
    if (is_default) k->jinja = jinja, k->jinja_size = size;
    return vocabulary_protect(k->pieces, k->vocab_size, jinja, size) ? hf_no_memory(k) : 0;
}

static int hf_read_template(hf_tokens *k) {
    static const char file[] = "chat_template.jinja";
    const json_node *text = json_get(k->tokenizer_config.nodes, "chat_template");
    if (file_is_in(k->directory, file)) {
        size_t size;
        char *path = path_join(k->directory, file, k->err);
        k->template_file = path ? file_read(path, HF_MAX_TEMPLATE, &size, k->err) : NULL;
        free(path);
        return k->template_file ? hf_take_template(k, k->template_file, size, 1) : -1;
    }
    if (json_is(text, JSON_STRING)) return hf_take_template(k, text->text, text->size, 1);
    if (!json_is(text, JSON_ARRAY)) return 0;
    JSON_EACH(item, text) {
        const json_node *one = json_get(item, "template");
        if (json_is(one, JSON_STRING) &&
            hf_take_template(k, one->text, one->size, json_is_text(json_get(item, "name"), "default")))
            return -1;
    }
    return 0;
}

/* ---- All of it ---- */

static int hf_build(hf_tokens *k, llama_source *s) {
    tokenizer_error why;
    k->parts.base = k->base;
    k->parts.pieces = k->pieces;
    k->parts.n_pieces = k->vocab_size;
    const template_source jinja = {k->jinja, k->jinja_size, hf_token_name(k, "bos_token"),
                                   hf_token_name(k, "eos_token"), s->today};
    tokenizer *t = template_tokenizer(&k->parts, &jinja, s, &why);
    if (!t) return set_error(k->err, "%.120s: tokenizer: %.120s", k->directory, why.text);
    s->tokenizer = vocabulary_save(t, &s->tokenizer_size);
    tokenizer_free(t);
    return s->tokenizer ? 0 : hf_no_memory(k);
}

static int hf_read_all(hf_tokens *k, llama_source *s) {
    k->pieces = malloc((size_t)k->vocab_size * sizeof *k->pieces);
    if (!k->pieces) return set_error(k->err, "%.120s: no memory for %d pieces", k->directory, k->vocab_size);
    if (hf_load_optional(k, &k->tokenizer, "tokenizer.json") ||
        hf_load_optional(k, &k->tokenizer_config, "tokenizer_config.json") ||
        hf_load_optional(k, &k->generation_config, "generation_config.json") ||
        hf_load_optional(k, &k->added, "added_tokens.json") ||
        hf_load_optional(k, &k->special, "special_tokens_map.json"))
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
    json_free(&k.added), json_free(&k.special);
    free(k.pieces), free(k.bytes), free(k.merges), free(k.template_file);
    return result;
}
