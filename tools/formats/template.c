/* template.c - contract in template.h. */
#include "template.h"

#include "jinja.h"
#include "../shared/messages.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEMPLATE_MAX_NAME = 100, TEMPLATE_MAX_MESSAGES = 6, TEMPLATE_MAX_TEXT = 4096 };

/* ---- Forms: what tokenizer.c says of a conversation, with markers as their text ---- */

/* In patterns @ stands for the message's text, $ for eos and ^ for bos. */
typedef struct {
    const char *name, *system, *user, *answer, *ask;
    int begins;        /* bos stands before it all: 1; or may, which is the vocabulary's to say: 2; 0: no */
    int trims;         /* texts lose white space at their ends */
    int system_inside; /* the system's part is the beginning of the first user's text */
    int with_tokens;   /* only for vocabularies with the marks as tokens: 1, or without: 0; -1: for both */
    int plain_answers; /* says nothing of answers that are empty or have white space at their ends */
} template_form;

/* A model of mistral begins its answers with the space that stands before them, which tokenizer.c takes for one. */
static const template_form template_forms[] = {
    {"llama2", "<<SYS>>\n@\n<</SYS>>\n\n", "^[INST] @ [/INST]", " @ $", "", 0, 1, 1, -1, 0},
    {"llama3", "<|start_header_id|>system<|end_header_id|>\n\n@<|eot_id|>",
     "<|start_header_id|>user<|end_header_id|>\n\n@<|eot_id|>",
     "<|start_header_id|>assistant<|end_header_id|>\n\n@<|eot_id|>",
     "<|start_header_id|>assistant<|end_header_id|>\n\n", 2, 1, 0, -1, 0},
    {"chatml", "<|im_start|>system\n@<|im_end|>\n", "<|im_start|>user\n@<|im_end|>\n",
     "<|im_start|>assistant\n@<|im_end|>\n", "<|im_start|>assistant\n", 2, 0, 0, -1, 0},
    {"zephyr", "<|system|>\n@$\n", "<|user|>\n@$\n", "<|assistant|>\n@$\n", "<|assistant|>\n", 2, 0, 0, -1, 0},
    {"mistral", "@\n\n", "[INST] @ [/INST]", " @$", "", 1, 0, 1, 0, 1},
    {"mistral", "@\n\n", "[INST] @[/INST]", " @$", "", 1, 0, 1, 1, 1},
};
enum { TEMPLATE_N_FORMS = sizeof template_forms / sizeof *template_forms };

typedef struct {
    char p[TEMPLATE_MAX_TEXT]; /* with a zero; all that is said of a probe is far shorter */
    size_t n;
} template_text;

static void template_say(template_text *out, const char *text, size_t size) {
    if (size >= sizeof out->p - out->n) size = sizeof out->p - out->n - 1;
    if (size) memcpy(out->p + out->n, text, size);
    out->n += size;
    out->p[out->n] = 0;
}

/* text, without white space at its ends if trims. */
static void template_say_trimmed(template_text *out, const char *text, int trims) {
    size_t size = strlen(text);
    while (trims && isspace((unsigned char)*text)) text++, size--;
    while (trims && size && isspace((unsigned char)text[size - 1])) size--;
    template_say(out, text, size);
}

static void template_say_pattern(template_text *out, const char *pattern, const char *text, int trims,
                                 const template_tokens *t) {
    for (; *pattern; pattern++) {
        const template_name name = *pattern == '^' ? t->bos : t->eos;
        if (*pattern == '@') template_say_trimmed(out, text, trims);
        else if (*pattern == '^' || *pattern == '$') template_say(out, name.text, name.size);
        else template_say(out, pattern, 1);
    }
}

/* ---- Probes: conversations that end with the user's turn, since what is asked for is an answer ---- */

typedef struct {
    int n, has_system;
    const char *texts[TEMPLATE_MAX_MESSAGES]; /* the system's, if there is one, then the user's and answers in turn */
} template_probe;

enum { TEMPLATE_N_KINDS = 6, TEMPLATE_N_PROBES = TEMPLATE_N_KINDS * 2 * 3 };

static template_probe template_make_probe(int i) {
    static const char *const plain[] = {"Hi", "Hello.", "one two", "3", "What?", "Be kind."};
    static const char *const odd[] = {"a", "", " b ", "\nc\n", "d\n\ne"};
    const int kind = i % TEMPLATE_N_KINDS,
              turns = i / TEMPLATE_N_KINDS % 3; /* plain ones first: they make the clearest messages */
    template_probe probe = {.has_system = i / TEMPLATE_N_KINDS / 3};
    if (probe.has_system) probe.texts[probe.n++] = kind ? odd[(kind + 1) % 5] : plain[5];
    for (int k = 0; k <= 2 * turns; k++) probe.texts[probe.n++] = kind ? odd[(kind + k) % 5] : plain[k];
    return probe;
}

static const char *template_role_of(const template_probe *probe, int i) {
    if (probe->has_system && i == 0) return "system";
    return (i - probe->has_system) % 2 ? "assistant" : "user";
}

static int template_is_plain(const char *text) {
    return *text && !isspace((unsigned char)*text) && !isspace((unsigned char)text[strlen(text) - 1]);
}

/* Whether a form says something of a probe. */
static int template_is_judged(const template_form *f, const template_probe *probe) {
    for (int i = probe->has_system + 1; i < probe->n && f->plain_answers; i += 2)
        if (!template_is_plain(probe->texts[i])) return 0;
    return 1;
}

/* ask 0: without what opens an answer. */
static void template_say_form(template_text *out, const template_form *f, const template_probe *probe,
                              const template_tokens *t, int ask) {
    out->n = 0;
    if (f->begins == 1) template_say_pattern(out, "^", "", 0, t);
    for (int i = 0; i < probe->n; i++) {
        const char *role = template_role_of(probe, i), *text = probe->texts[i];
        template_text inner = {.n = 0};
        if (*role == 's' && f->system_inside) continue;
        if (i == 1 && probe->has_system && f->system_inside) {
            template_say_pattern(&inner, f->system, probe->texts[0], 0, t);
            template_say(&inner, text, strlen(text));
            text = inner.p;
        }
        template_say_pattern(out, *role == 's' ? f->system : *role == 'u' ? f->user : f->answer, text, f->trims, t);
    }
    if (ask) template_say_pattern(out, f->ask, "", 0, t);
}

/* ---- Templates ---- */

static json_node *template_put_bytes(json_node *n, const char *text, size_t size) {
    *n = (json_node){.type = JSON_STRING, .skip = 1, .size = (uint32_t)size, .text = text};
    return n + 1;
}

static json_node *template_put_text(json_node *n, const char *text) {
    return template_put_bytes(n, text, strlen(text));
}

/* A key whose value follows, of that many nodes. */
static json_node *template_put_key(json_node *object, json_node *n, const char *key, uint32_t nodes) {
    object->size++;
    template_put_text(n, key)[-1].skip = 1 + nodes;
    return n + 1;
}

static json_node *template_put_message(json_node *n, const char *role, const char *text) {
    json_node *object = n++;
    *object = (json_node){.type = JSON_OBJECT, .skip = 5};
    n = template_put_text(template_put_key(object, n, "role", 1), role);
    return template_put_text(template_put_key(object, n, "content", 1), text);
}

static jinja_result template_render_probe(const jinja_program *p, const template_probe *probe, const template_tokens *t,
                                          char **out, size_t *size, llama_error *why) {
    static const jinja_limits limits = {.max_steps = 200000, .max_memory = 16 << 20, .max_output = 1 << 20};
    json_node nodes[16 + 5 * TEMPLATE_MAX_MESSAGES], *object = nodes, *n = nodes + 1;
    *object = (json_node){.type = JSON_OBJECT};
    n = template_put_key(object, n, "messages", 1 + 5 * (uint32_t)probe->n);
    *n++ = (json_node){.type = JSON_ARRAY, .skip = 1 + 5 * (uint32_t)probe->n, .size = (uint32_t)probe->n};
    for (int i = 0; i < probe->n; i++) n = template_put_message(n, template_role_of(probe, i), probe->texts[i]);
    n = template_put_key(object, n, "add_generation_prompt", 1);
    *n++ = (json_node){.type = JSON_TRUE, .skip = 1};
    if (t->bos.text) n = template_put_bytes(template_put_key(object, n, "bos_token", 1), t->bos.text, t->bos.size);
    if (t->eos.text) n = template_put_bytes(template_put_key(object, n, "eos_token", 1), t->eos.text, t->eos.size);
    object->skip = (uint32_t)(n - nodes);
    return jinja_render(p, object, &limits, out, size, why);
}

int template_marks_are_tokens(const tokenizer_piece *pieces, int n) {
    for (int i = 0; i < n; i++)
        if (pieces[i].size == 6 && !memcmp(pieces[i].text, "[INST]", 6) &&
            (pieces[i].type == TOKENIZER_CONTROL || pieces[i].type == TOKENIZER_USER_DEFINED))
            return 1;
    return 0;
}

/* ---- Judging ---- */

typedef struct {
    int differs, agreed, several; /* probes that agreed, of which several have answers */
    int begins;                   /* bos stood there: 1, did not: 0, nothing is known: -1 */
    size_t same;                  /* bytes of the first text that differs, which are the same */
    char message[300];
} template_verdict;

/* In quotes, line breaks as \n: the first bytes of a text or the last, of whole characters. */
static const char *template_shown(char out[80], const char *text, size_t n, int last) {
    enum { MOST = 28 };
    const size_t cut = n > MOST ? n - MOST : 0;
    char *p = out;
    if (!n) return "nothing";
    if (last) text += cut;
    n -= cut;
    while (cut && last && n && (*text & 0xC0) == 0x80) text++, n--;
    while (cut && !last && n && (text[n] & 0xC0) == 0x80) n--;
    *p++ = '"';
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\n') *p++ = '\\', *p++ = 'n';
        else *p++ = text[i];
    strcpy(p, "\"");
    return out;
}

/* Says where a template's text leaves a form's: from the marker on in which it does. */
static void template_describe(template_verdict *v, const char *name, const char *text, size_t size,
                              const template_text *want) {
    char before[80], has[80], other[80];
    size_t same = 0, from;
    while (same < size && same < want->n && text[same] == want->p[same]) same++;
    for (from = same; from > 0 && same - from < 24 && !strchr(">] \n", text[from - 1]); from--)
        if (text[from - 1] == '<' || text[from - 1] == '[') {
            from--;
            break;
        }
    if (text[from] != '<' && text[from] != '[') from = same;
    v->same = same;
    snprintf(v->message, sizeof v->message, "%s%s it has %s, %s has %s", from ? "after " : "at the beginning",
             from ? template_shown(before, text, from, 1) : "", template_shown(has, text + from, size - from, 0), name,
             template_shown(other, want->p + from, want->n - from, 0));
}

static void template_judge(template_verdict *v, const template_form *f, const template_probe *probe, const char *text,
                           size_t size, const template_tokens *t, int ask) {
    template_text want;
    const size_t n = t->bos.text ? t->bos.size : 0;
    if (v->differs || !template_is_judged(f, probe)) return;
    template_say_form(&want, f, probe, t, ask);
    const int equal = size == want.n && !memcmp(text, want.p, size);
    const int begins = !equal && f->begins == 2 && n && size >= n && !memcmp(text, t->bos.text, n);
    if (begins) text += n, size -= n;
    v->differs = (begins ? size != want.n || memcmp(text, want.p, size) : !equal) || (v->begins == !begins);
    if (v->differs) {
        template_describe(v, f->name, text, size, &want);
        if (begins) v->same += n;
    } else v->agreed++, v->several += probe->n > 2, v->begins = begins;
}

/* All probes: 0, or -1 if the template is none that we can run. *accepted: how many it did not refuse. */
static int template_judge_all(const jinja_program *p, const template_tokens *t, int ask, template_verdict *verdicts,
                              int *accepted, llama_error *why) {
    memset(verdicts, 0, TEMPLATE_N_FORMS * sizeof *verdicts);
    for (int f = 0; f < TEMPLATE_N_FORMS; f++) verdicts[f].begins = -1;
    *accepted = 0;
    for (int i = 0; i < TEMPLATE_N_PROBES; i++) {
        const template_probe probe = template_make_probe(i);
        char *text;
        size_t size;
        const jinja_result result = template_render_probe(p, &probe, t, &text, &size, why);
        if (result == JINJA_UNSUPPORTED || result == JINJA_LIMIT) return -1;
        if (result != JINJA_DONE) continue; /* it refuses: nothing is claimed for these */
        *accepted += 1;
        for (int f = 0; f < TEMPLATE_N_FORMS; f++)
            if (template_forms[f].with_tokens < 0 || template_forms[f].with_tokens == (t->marks_are_tokens != 0))
                template_judge(&verdicts[f], &template_forms[f], &probe, text, size, t, ask);
        free(text);
    }
    return 0;
}

/* The form that all of it agreed with, or NULL with the first difference from the closest. */
static const char *template_conclude(const template_verdict *verdicts, int accepted, llama_error *why) {
    const template_verdict *best = &verdicts[0];
    for (int f = 0; f < TEMPLATE_N_FORMS; f++) {
        const template_verdict *v = &verdicts[f];
        if (!v->differs && v->several) return template_forms[f].name;
        if (v->agreed > best->agreed || (v->agreed == best->agreed && v->same > best->same)) best = v;
    }
    if (!accepted) return NULL; /* why has what it said of the last */
    if (!best->differs) return set_error(why, "chat template: it refuses conversations of several turns"), NULL;
    return set_error(why, "chat template: none of the known forms: %.220s", best->message), NULL;
}

static int template_mentions(const char *jinja, size_t size, const char *word) {
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= size; i++)
        if (!memcmp(jinja + i, word, n)) return 1;
    return 0;
}

const char *template_find(const char *jinja, size_t size, const template_tokens *tokens, llama_error *why) {
    template_verdict verdicts[TEMPLATE_N_FORMS];
    int accepted = 0;
    if (tokens->bos.size > TEMPLATE_MAX_NAME || tokens->eos.size > TEMPLATE_MAX_NAME)
        return set_error(why, "chat template: bos or eos of more than %d bytes", TEMPLATE_MAX_NAME), NULL;
    jinja_program *p = jinja_parse(jinja, size, "chat template", why);
    if (!p) return NULL;
    const char *form = NULL;
    int failed = template_judge_all(p, tokens, 1, verdicts, &accepted, why);
    if (!failed) form = template_conclude(verdicts, accepted, why);
    /* Older ones know nothing of opening an answer: whoever uses them does it, as the form does. */
    if (!failed && !form && !template_mentions(jinja, size, "add_generation_prompt")) {
        llama_error first = *why;
        failed = template_judge_all(p, tokens, 0, verdicts, &accepted, why);
        if (!failed) form = template_conclude(verdicts, accepted, why);
        if (!form) *why = first;
    }
    jinja_free(p);
    return form;
}
