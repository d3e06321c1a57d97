/* template.c - contract in template.h. */
#include "template.h"

#include "jinja.h"
#include "../shared/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEMPLATE_MAX_NAME = 100, TEMPLATE_MAX_MESSAGES = 12 };

typedef struct { /* a conversation */
    int n;
    tokenizer_message messages[TEMPLATE_MAX_MESSAGES];
} template_talk;

typedef struct {
    const jinja_program *program;
    const template_source *source;
    tokenizer_form form; /* its texts are malloc'ed */
    const char *opens;   /* what opens an answer, of a template that knows nothing of that; else "" */
    tokenizer *bytes;    /* of 256 pieces, and with the form: its ids are the bytes of what is said */
    llama_error *why;
} template_proof;

static const char *const template_roles[] = {"", "system", "user", "assistant"};

static int template_mentions(const template_source *s, const char *word) {
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= s->size; i++)
        if (!memcmp(s->jinja + i, word, n)) return 1;
    return 0;
}

/* ---- Rendering ---- */

static json_node *template_put_bytes(json_node *n, const char *text, size_t size) {
    *n = (json_node){.type = JSON_STRING, .skip = 1, .size = (uint32_t)size, .text = text};
    return n + 1;
}

/* A key whose value follows, of that many nodes. */
static json_node *template_put_key(json_node *object, json_node *n, const char *key, uint32_t nodes) {
    object->size++;
    template_put_bytes(n, key, strlen(key))[-1].skip = 1 + nodes;
    return n + 1;
}

static json_node *template_put_message(json_node *n, const tokenizer_message *m) {
    const char *role = template_roles[m->role];
    json_node *object = n++;
    *object = (json_node){.type = JSON_OBJECT, .skip = 5};
    n = template_put_bytes(template_put_key(object, n, "role", 1), role, strlen(role));
    return template_put_bytes(template_put_key(object, n, "content", 1), m->text, m->size);
}

/* What the template makes of a conversation, and behind it what opens an answer, unless it ends with one; malloc'ed. */
static jinja_result template_render(const template_proof *p, const template_talk *talk, char **out) {
    const template_source *s = p->source;
    const jinja_limits limits = {100000, 4 << 20, 1 << 16, s->today.year, s->today.month, s->today.day};
    const int ask = !talk->n || talk->messages[talk->n - 1].role != TOKENIZER_ASSISTANT;
    const uint32_t messages = 1 + 5 * (uint32_t)talk->n;
    json_node nodes[16 + 5 * TEMPLATE_MAX_MESSAGES], *object = nodes, *n = nodes + 1;
    *object = (json_node){.type = JSON_OBJECT};
    n = template_put_key(object, n, "messages", messages);
    *n++ = (json_node){.type = JSON_ARRAY, .skip = messages, .size = (uint32_t)talk->n};
    for (int i = 0; i < talk->n; i++) n = template_put_message(n, &talk->messages[i]);
    n = template_put_key(object, n, "add_generation_prompt", 1);
    *n++ = (json_node){.type = ask ? JSON_TRUE : JSON_FALSE, .skip = 1};
    if (s->bos.text) n = template_put_bytes(template_put_key(object, n, "bos_token", 1), s->bos.text, s->bos.size);
    if (s->eos.text) n = template_put_bytes(template_put_key(object, n, "eos_token", 1), s->eos.text, s->eos.size);
    object->skip = (uint32_t)(n - nodes);
    size_t size;
    jinja_result result = jinja_render(p->program, object, &limits, out, &size, p->why);
    if (result != JINJA_DONE) return result;
    char *all = strlen(*out) == size ? realloc(*out, size + strlen(p->opens) + 1) : NULL;
    if (!all) {
        set_error(p->why, "chat template: its text has a zero, or there is no memory");
        free(*out), *out = NULL;
        return JINJA_LIMIT;
    }
    if (ask) strcpy(all + size, p->opens);
    *out = all;
    return JINJA_DONE;
}

/* Nothing can be said of a template that ends so. */
static int template_is_fatal(jinja_result result) { return result == JINJA_UNSUPPORTED || result == JINJA_LIMIT; }

/* ---- Messages ---- */

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

/* Says where the text of a template leaves what was expected: from the marker on in which it does. Returns -1. */
static int template_differs(const template_proof *p, const char *text, const char *want) {
    char before[80], has[80], other[80];
    size_t same = 0, from;
    while (text[same] && text[same] == want[same]) same++;
    for (from = same; from > 0 && same - from < 24 && !strchr(">] \n", text[from - 1]); from--)
        if (text[from - 1] == '<' || text[from - 1] == '[') {
            from--;
            break;
        }
    if (text[from] != '<' && text[from] != '[') from = same;
    return set_error(p->why, "chat template: no form says it: %s%s it has %s, after others like it %s",
                     from ? "after " : "at the beginning", from ? template_shown(before, text, from, 1) : "",
                     template_shown(has, text + from, strlen(text + from), 0),
                     template_shown(other, want + from, strlen(want + from), 0));
}

/* ---- What stands between two texts ---- */

/* A conversation of roles, as in "sua", with texts that can be told apart. */
static template_talk template_make_talk(const char *roles) {
    static const char *const marks[] = {"Wq0z", "Wq1z", "Wq2z", "Wq3z", "Wq4z", "Wq5z",
                                        "Wq6z", "Wq7z", "Wq8z", "Wq9z", "WqAz", "WqBz"};
    template_talk talk = {.n = 0};
    for (; *roles; roles++) {
        const int role = *roles == 's' ? TOKENIZER_SYSTEM : *roles == 'u' ? TOKENIZER_USER : TOKENIZER_ASSISTANT;
        talk.messages[talk.n] = (tokenizer_message){role, marks[talk.n], 4};
        talk.n++;
    }
    return talk;
}

/* Where the texts are in what was rendered: place[k] of the k-th, in the order in which they stand there, which is that
 * of the messages, or with the system's before the last user's. Returns 0, or -1 and why. */
static int template_find_texts(template_proof *p, const template_talk *talk, const char *text, int order[],
                               const char *place[]) {
    for (int i = 0; i < talk->n; i++) {
        const char *mark = talk->messages[i].text, *at = strstr(text, mark);
        if (!at || strstr(at + 1, mark))
            return set_error(p->why, "chat template: no form says it: what the %s says is %s",
                             template_roles[talk->messages[i].role], at ? "there twice" : "left out");
        int k = i;
        for (; k > 0 && place[k - 1] > at; k--) place[k] = place[k - 1], order[k] = order[k - 1];
        place[k] = at, order[k] = i;
    }
    int last = talk->n - 1, moved = talk->n > 1 && order[0] != 0;
    while (last > 0 && talk->messages[last].role != TOKENIZER_USER) last--;
    for (int k = 0; k < talk->n; k++)
        if (order[k] != (!moved          ? k
                         : k + 1 < last  ? k + 1
                         : k + 1 == last ? 0
                                         : k) ||
            (moved && talk->messages[0].role != TOKENIZER_SYSTEM))
            return set_error(p->why, "chat template: no form says it: what is said stands in another order");
    if (moved) p->form.flags |= TOKENIZER_FORM_SYSTEM_LAST;
    return 0;
}

/* Takes down what stands between two texts; it must be what is known of it. */
static int template_take(template_proof *p, int from, int to, const char *text, size_t size) {
    const char *known = p->form.between[from][to];
    char *copy = known ? NULL : malloc(size + 1);
    if (known && strlen(known) == size && !memcmp(known, text, size)) return 0;
    if (known) return template_differs(p, text, known);
    if (!copy) return set_error(p->why, "chat template: no memory");
    memcpy(copy, text, size), copy[size] = 0;
    p->form.between[from][to] = copy;
    return 0; /* NOLINT(clang-analyzer-unix.Malloc): template_forget frees it */
}

static void template_forget(tokenizer_form *form, const tokenizer_form *but) {
    for (int i = 0; i < 16; i++)
        if (!but || !but->between[i / 4][i % 4]) free((char *)form->between[i / 4][i % 4]);
}

/* Learns what stands between the texts of a conversation. 0: done; 1: the template refuses it, or has it differently;
 * -1: nothing can be said of it at all. */
static int template_learn(template_proof *p, const char *roles) {
    const template_talk talk = template_make_talk(roles);
    const tokenizer_form before = p->form;
    const char *place[TEMPLATE_MAX_MESSAGES], *at;
    int order[TEMPLATE_MAX_MESSAGES] = {0}, from = 0, failed;
    char *text;
    const jinja_result result = template_render(p, &talk, &text);
    if (result != JINJA_DONE) return template_is_fatal(result) ? -1 : 1;
    at = text;
    failed = template_find_texts(p, &talk, text, order, place);
    for (int k = 0; k < talk.n && !failed; k++) {
        const tokenizer_message *m = &talk.messages[order[k]];
        failed = template_take(p, from, m->role, at, (size_t)(place[k] - at));
        from = m->role, at = place[k] + m->size;
    }
    if (!failed) failed = template_take(p, from, 0, at, strlen(at));
    if (failed) template_forget(&p->form, &before), p->form = before;
    free(text);
    return failed ? 1 : 0;
}

/* What ends an answer: what is behind one that ends a conversation; but if there always another one is opened, or it
 * may not end one, what stands before the next turn's beginning. */
static int template_learn_end(template_proof *p) {
    const template_talk talk = template_make_talk("ua");
    char *text;
    const jinja_result result = template_render(p, &talk, &text);
    const char *next = p->form.between[TOKENIZER_ASSISTANT][TOKENIZER_USER],
               *opens = p->form.between[0][TOKENIZER_USER];
    size_t n = strlen(next);
    if (template_is_fatal(result)) return -1;
    const char *end = result == JINJA_DONE ? strstr(text, talk.messages[1].text) : NULL;
    if (end) end += talk.messages[1].size;
    if (end && (template_mentions(p->source, "add_generation_prompt") || !strncmp(next, end, strlen(end))))
        next = end, n = strlen(end);
    else
        for (size_t k = strlen(opens); k > 0 && n > 0 && next[n - 1] == opens[k - 1]; k--) n--;
    const int failed = template_take(p, TOKENIZER_ASSISTANT, 0, next, n);
    free(text);
    return failed;
}

/* Older templates know nothing of opening an answer: whoever uses them does it, as they do before an answer. */
static int template_open_answers(template_proof *p) {
    const char *asks = p->form.between[TOKENIZER_USER][0],
               *before = p->form.between[TOKENIZER_USER][TOKENIZER_ASSISTANT];
    const size_t n = strlen(asks);
    if (template_mentions(p->source, "add_generation_prompt") || strncmp(asks, before, n) != 0 ||
        strspn(before + n, " ") == strlen(before + n))
        return 0;
    p->opens = before + n;
    free((char *)asks), p->form.between[TOKENIZER_USER][0] = NULL;
    return template_take(p, TOKENIZER_USER, 0, before, strlen(before));
}

/* All orders that a template has: user and answer in turn, which it must, and those that it may. */
static int template_learn_orders(template_proof *p) {
    static const char *const others[] = {"su", "suau", "uu", "uaau", "au", "sau", "usu", "uasu", "ssu", "s", ""};
    llama_error ignored = {0}, *why = p->why;
    if (template_learn(p, "u") || template_learn(p, "uau") || template_open_answers(p) || template_learn_end(p))
        return -1;
    p->why = &ignored;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (template_learn(p, others[i]) < 0) {
            *why = ignored, p->why = why;
            return -1;
        }
    p->why = why;
    return 0;
}

/* ---- What a form gives ---- */

/* A byte-level tokenizer without merges, which has the form: what it makes of a conversation is the text's bytes. */
static int template_make_bytes(template_proof *p) {
    static const tokenizer_piece none;
    tokenizer_piece pieces[256];
    char texts[256];
    tokenizer_error why;
    tokenizer_parts parts = {.kind = TOKENIZER_BYTE_LEVEL, .pieces = pieces, .n_pieces = 256, .bos = -1};
    for (int i = 0; i < 256; i++) {
        texts[i] = (char)i, pieces[i] = none;
        pieces[i].text = texts + i, pieces[i].size = 1, pieces[i].type = TOKENIZER_NORMAL;
    }
    parts.chat_template = TOKENIZER_OWN, parts.form = &p->form;
    tokenizer_free(p->bytes);
    p->bytes = tokenizer_create(&parts, NULL, &why);
    return p->bytes ? 0 : set_error(p->why, "chat template: %.200s", why.text);
}

/* The ids of a conversation in a form, or of a text with the names of special tokens if text is not NULL: malloc'ed, or
 * NULL. *n becomes how many they are; -1 if the form does not know the conversation. */
static int *template_ids(const tokenizer *t, int chat_template, const template_talk *talk, const char *text, int *n) {
    tokenizer_error why = {0};
    int *ids = NULL;
    ptrdiff_t count = 0;
    for (int pass = 0; pass < 2 && count >= 0; pass++) {
        const size_t room = (size_t)count;
        if (pass && !(ids = malloc((room + 1) * sizeof *ids))) break;
        if (text) count = tokenizer_encode(t, text, strlen(text), TOKENIZER_SPECIAL, ids, room, &why);
        else count = tokenizer_encode_chat(t, chat_template, talk->messages, talk->n, 0, ids, room, &why);
    }
    if (count < 0) free(ids), ids = NULL;
    *n = count >= 0 ? (int)count : why.code == TOKENIZER_BAD_OPTION ? -1 : 0;
    return ids;
}

static int template_same_ids(const int *a, int n, const int *b, int m) {
    return n == m && !memcmp(a, b, (size_t)n * sizeof *a);
}

/* 0: a tokenizer's form gives what the template does, or one of the two refuses; 1: it does not, and why is said. -1:
 * nothing can be said of the template. */
static int template_compare(template_proof *p, const tokenizer *t, const template_talk *talk) {
    char *text;
    int n = 0, m = 0, differs;
    const jinja_result result = template_render(p, talk, &text);
    if (result != JINJA_DONE) return template_is_fatal(result) ? -1 : 0;
    int *said = template_ids(t, TOKENIZER_OWN, talk, NULL, &n), *wanted = template_ids(t, 0, NULL, text, &m);
    differs = said && wanted && !template_same_ids(said, n, wanted, m);
    if ((!said && n >= 0) || !wanted) differs = set_error(p->why, "chat template: no memory for its text");
    else if (differs && t != p->bytes) set_error(p->why, "chat template: no form says it: its text has other tokens");
    else if (differs) {
        char *want = malloc((size_t)n + 1);
        for (int i = 0; want && i < n; i++) want[i] = (char)said[i];
        if (want) want[n] = 0, template_differs(p, text, want);
        free(want);
    }
    free(text), free(said), free(wanted);
    return differs;
}

/* ---- What becomes of texts ---- */

static int template_agrees(template_proof *p, const char *roles, int at, const char *text) {
    template_talk talk = template_make_talk(roles);
    llama_error ignored = {0}, *why = p->why;
    talk.messages[at].text = text, talk.messages[at].size = strlen(text);
    if (template_make_bytes(p)) return -1;
    p->why = &ignored;
    const int differs = template_compare(p, p->bytes, &talk);
    p->why = why;
    if (differs < 0) *why = ignored;
    return differs < 0 ? -1 : !differs;
}

/* Sets *field to the first of n values with which the form agrees on that text; 0 if it does with none. */
static int template_try(template_proof *p, int *field, const int *values, int n, const char *roles, int at,
                        const char *text) {
    const int before = *field;
    for (int i = 0; i < n; i++) {
        *field = values[i];
        const int agrees = template_agrees(p, roles, at, text);
        if (agrees < 0) return -1;
        if (agrees) return 0;
    }
    *field = before;
    return 0;
}

/* What becomes of thoughts in an answer that others follow, and in the last. */
static int template_learn_thoughts(template_proof *p, const int *trims, int n_trims) {
    static const char thought[] = "<think>\nx\n</think>\n\n y \n\n", twice[] = "x</think>y</think>z";
    int *flags = &p->form.flags;
    const int before = template_agrees(p, "uauau", 1, thought), last = template_agrees(p, "uau", 1, thought);
    if (before || last < 0) return last < 0 || before < 0 ? -1 : 0;
    *flags |= TOKENIZER_FORM_SPOKEN | (last ? TOKENIZER_FORM_KEEPS_THOUGHT : 0);
    const int marks[] = {*flags, *flags | TOKENIZER_FORM_FIRST_THOUGHT};
    return template_try(p, &p->form.trim[0], trims, n_trims, "uauau", 1, thought) ||
           template_try(p, flags, marks, 2, "uauau", 1, twice);
}

static int template_learn_texts(template_proof *p) {
    static const int trims[] = {0, 3, 1, 2, 7, 5, 6}; /* of TOKENIZER_TRIM.. the sums that say something */
    enum { N_TRIMS = sizeof trims / sizeof *trims };
    static const char spaced[] = "\n \n x \n \n";
    tokenizer_form *f = &p->form;
    const int flags = f->flags;
    const int joined[] = {flags, flags | TOKENIZER_FORM_JOINED};
    if (template_try(p, &f->trim[TOKENIZER_USER], trims, N_TRIMS, "u", 0, spaced) ||
        template_try(p, &f->trim[TOKENIZER_ASSISTANT], trims, N_TRIMS, "uau", 1, spaced) ||
        template_try(p, &f->trim[TOKENIZER_SYSTEM], trims, N_TRIMS, "su", 0, spaced) ||
        template_try(p, &f->flags, joined, 2, "su", 1, spaced))
        return -1;
    const int empty[] = {f->flags, f->flags | TOKENIZER_FORM_NO_EMPTY_SYSTEM};
    if (template_try(p, &f->flags, empty, 2, "su", 0, "")) return -1;
    return template_learn_thoughts(p, trims, N_TRIMS);
}

/* ---- The proof ---- */

enum { TEMPLATE_N_TALKS = 120, TEMPLATE_N_PLAIN = 10 };

/* Conversation number i: first plain ones, which make the clearest messages; then of texts that are empty, or have
 * white space, or thoughts unless the ids are to be compared (a mark in a text is no token to us, whatever the
 * template makes of it), in turn; at last of roles in any order. */
static template_talk template_probe(int i, int thinks) {
    static const char *const plain[] = {"Hi", "Hello.", "one two", "3", "What?", "Be kind."};
    static const char *const odd[] = {"a",          "",           " b ",           "\nc\n", "d\n\ne",
                                      "\t\xCF\x84", "\xC2\xA0\"", "{x} & 'y'\n\n", "<b>",   "\xE4\xBD\xA0\xE5\xA5\xBD",
                                      "\n ",        "e\r\nf\t"};
    static const char *const thought[] = {"<think>\nx\n</think>\n\ny", "</think>z", "<think></think>\n",
                                          "a</think>b</think> c"};
    uint32_t random = (uint32_t)i * 2654435761u + 1;
    template_talk talk = {.n = 0};
    const int turns = i < TEMPLATE_N_PLAIN ? i / 2 : i % 5, free_order = i > TEMPLATE_N_TALKS * 3 / 4;
    int n = 1 + 2 * turns, role = TOKENIZER_USER;
    if (i % 2) talk.messages[talk.n++].role = TOKENIZER_SYSTEM;
    for (; n > 0; n--, role = role == TOKENIZER_USER ? TOKENIZER_ASSISTANT : TOKENIZER_USER)
        talk.messages[talk.n++].role = role;
    for (int k = 0; k < talk.n; k++) {
        tokenizer_message *m = &talk.messages[k];
        random = random * 1664525u + 1013904223u;
        m->text = i < TEMPLATE_N_PLAIN ? plain[(k + i) % 6] : odd[(random >> 16) % (sizeof odd / sizeof *odd)];
        if (free_order) m->role = 1 + (int)(random >> 8) % 3;
        if (thinks && i % 3 == 2 && m->role == TOKENIZER_ASSISTANT) m->text = thought[(random >> 16) % 4];
        m->size = strlen(m->text);
    }
    return talk;
}

/* 0 if the form is proved; 1 if it is not, -1 if nothing can be said. A conversation that ends with an answer may open
 * it in another way, and one of any order may be none that it has. */
static int template_prove(template_proof *p, const tokenizer *t) {
    for (int i = 0; i < TEMPLATE_N_TALKS; i++) {
        const template_talk talk = template_probe(i, t == p->bytes);
        if (!talk.n || talk.messages[talk.n - 1].role == TOKENIZER_ASSISTANT) continue;
        const int result = template_compare(p, t, &talk);
        if (result) return result;
    }
    return 0;
}

/* Leaves only system, user and answer in turn. */
static void template_be_strict(tokenizer_form *f) {
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++) {
            const int in_turn = (to == TOKENIZER_USER && from != TOKENIZER_USER) || (to == TOKENIZER_SYSTEM && !from) ||
                                (from == TOKENIZER_USER && (to == 0 || to == TOKENIZER_ASSISTANT)) ||
                                (from == TOKENIZER_ASSISTANT && to != TOKENIZER_ASSISTANT);
            const int moves = (f->flags & TOKENIZER_FORM_SYSTEM_LAST) != 0;
            if (in_turn && !(from == TOKENIZER_ASSISTANT && to == TOKENIZER_SYSTEM && !moves)) continue;
            free((char *)f->between[from][to]);
            f->between[from][to] = NULL;
        }
}

/* Derives a form and proves it as text. */
static int template_derive(template_proof *p) {
    if (template_learn_orders(p) || template_learn_texts(p) || template_make_bytes(p)) return -1;
    int result = template_prove(p, p->bytes);
    if (result <= 0) return result;
    template_be_strict(&p->form);
    return template_make_bytes(p) || template_prove(p, p->bytes) ? -1 : 0;
}

/* The form with a name that gives the same ids, or OWN. */
static int template_name_of(const tokenizer *t) {
    for (int name = 1; name < TOKENIZER_OWN; name++) {
        int same = tokenizer_chat_grows(t, name) == tokenizer_chat_grows(t, TOKENIZER_OWN);
        for (int i = 0; i < TEMPLATE_N_TALKS && same; i++) {
            const template_talk talk = template_probe(i, 1);
            int n = 0, m = 0, *own = template_ids(t, TOKENIZER_OWN, &talk, NULL, &n),
                *other = template_ids(t, name, &talk, NULL, &m);
            same = n < 0 || (own && other && template_same_ids(own, n, other, m));
            free(own), free(other);
        }
        if (same) return name;
    }
    return TOKENIZER_OWN;
}

/* ---- All of it ---- */

tokenizer *template_tokenizer(const tokenizer_parts *parts, const template_source *source, llama_source *s,
                              tokenizer_error *err) {
    llama_error *why = &s->template_error;
    template_proof p = {.source = source, .opens = "", .why = why};
    tokenizer_parts with = *parts;
    tokenizer *t = NULL;
    int proved = 0;
    if (source->jinja && (source->bos.size > TEMPLATE_MAX_NAME || source->eos.size > TEMPLATE_MAX_NAME))
        set_error(why, "chat template: bos or eos of more than %d bytes", TEMPLATE_MAX_NAME);
    else if (source->jinja && (p.program = jinja_parse(source->jinja, source->size, "chat template", why)))
        proved = !template_derive(&p);
    if (proved) {
        with.chat_template = TOKENIZER_OWN, with.form = &p.form;
        t = tokenizer_create(&with, NULL, err);
        proved = t && !template_prove(&p, t);
        if (proved) with.chat_template = template_name_of(t);
        if (with.chat_template != TOKENIZER_OWN) with.form = NULL;
    }
    if (!proved || with.chat_template != TOKENIZER_OWN) {
        if (!proved) with = *parts;
        tokenizer_free(t);
        t = tokenizer_create(&with, NULL, err);
    }
    if (proved) why->text[0] = 0; /* what single conversations were refused for */
    if (proved && source->today.year && template_mentions(source, "strftime_now"))
        source_note(s, "today is %04d-%02d-%02d to the chat template, from now on (see --date)", source->today.year,
                    source->today.month, source->today.day);
    template_forget(&p.form, NULL);
    tokenizer_free(p.bytes);
    jinja_free((jinja_program *)p.program);
    return t;
}
