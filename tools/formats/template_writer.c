/* template_writer.c - a chat template's form as a Jinja program. Contract in export.h.
 *
 * What stands between two texts is a table in the program too, and so it goes through a conversation as tokenizer.c
 * does: what is between, then the text, for each message.
 */
#include "export.h"

#include "../shared/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { /* text that grows; p is NULL once there was no memory */
    char *p;
    size_t n, capacity;
} template_out;

static void template_put_size(template_out *out, const char *text, size_t size) {
    if (out->p && size >= out->capacity - out->n) {
        out->capacity = 2 * (out->capacity + size);
        char *more = realloc(out->p, out->capacity);
        if (!more) free(out->p);
        out->p = more;
    }
    if (!out->p) return;
    memcpy(out->p + out->n, text, size);
    out->p[out->n += size] = 0;
}

static void template_put(template_out *out, const char *text) { template_put_size(out, text, strlen(text)); }

/* ---- What stands between two texts ---- */

typedef struct { /* a tokenizer, and what texts between are looked through for */
    const tokenizer *t;
    tokenizer_piece *marks; /* (n) its special tokens */
    int n, add_bos, each;   /* each: it puts a space in front of each text */
} template_vocabulary;

static int template_read_vocabulary(template_vocabulary *v, const tokenizer *t) {
    tokenizer_parts parts;
    tokenizer_piece piece;
    tokenizer_get_parts(t, &parts);
    *v =
        (template_vocabulary){t, malloc(((size_t)parts.n_pieces + 1) * sizeof piece), 0, parts.add_bos,
                              parts.kind == TOKENIZER_SENTENCEPIECE && parts.add_dummy_prefix == TOKENIZER_PREFIX_EACH};
    for (int id = 0; v->marks && tokenizer_get_piece(t, id, &piece); id++)
        if (piece.type == TOKENIZER_CONTROL) v->marks[v->n++] = piece;
    return v->marks ? 0 : -1;
}

/* The bytes of a special token's name, the longest, that a text begins with; 0: of none. */
static size_t template_mark(const template_vocabulary *v, const char *text, size_t n) {
    size_t longest = 0;
    for (int i = 0; i < v->n; i++)
        if (v->marks[i].size > longest && v->marks[i].size <= n && *v->marks[i].text == *text &&
            !memcmp(v->marks[i].text, text, v->marks[i].size))
            longest = v->marks[i].size;
    return longest;
}

/* As an expression, with the signs that tokenizer.h explains as what they come to with this vocabulary. */
static void template_put_between(template_out *out, const template_vocabulary *v, const char *text) {
    int after = 0; /* a special token */
    template_put(out, "'");
    for (size_t left = strlen(text), n; left; text += n, left -= n) {
        const size_t mark = template_mark(v, text, left);
        const int is_after = after;
        n = mark ? mark : 1, after = mark > 0;
        if (mark) template_put_size(out, text, n);
        else if (*text == 1 || (*text == 3 && v->add_bos)) template_put(out, "' ~ bos_token ~ '"), after = 1;
        else if (*text == 2) template_put(out, "' ~ eos_token ~ '"), after = 1;
        else if (*text == 3 || (*text == 4 && is_after && v->each)) continue;
        else if (*text == 5 && template_mark(v, text + 1, left - 1)) continue;
        else if (*text == 4 || *text == 5) template_put(out, " ");
        else if (*text == '\n') template_put(out, "\\n");
        else if (*text == '\'' || *text == '\\') template_put(out, *text == '\'' ? "\\'" : "\\\\");
        else template_put_size(out, text, 1);
    }
    template_put(out, "'");
}

static const char *const template_role_names[] = {"", "system", "user", "assistant"};

static void template_put_table(template_out *out, const template_vocabulary *v, const tokenizer_form *f) {
    template_put(out, "{%- set between = {");
    for (int from = 0; from < 4; from++) {
        template_put(out, from ? ",\n  '" : "\n  '"), template_put(out, template_role_names[from]),
            template_put(out, "': {");
        for (int to = 0, n = 0; to < 4; to++) {
            if (!f->between[from][to]) continue;
            template_put(out, n++ ? ", '" : "'"), template_put(out, template_role_names[to]), template_put(out, "': ");
            template_put_between(out, v, f->between[from][to]);
        }
        template_put(out, "}");
    }
    template_put(out, "} -%}\n");
}

/* What ends a turn that no answer is asked for: as it ends an answer, if that begins what is between, else all of
 * it. */
static const char *template_closing(const tokenizer_form *f, int from) {
    const char *end = f->between[TOKENIZER_ASSISTANT][0], *all = f->between[from][0];
    return end && all && !strncmp(all, end, strlen(end)) ? end : all;
}

/* ---- What becomes of texts ---- */

static void template_put_trim(template_out *out, int trim) {
    static const char *const methods[] = {"", "lstrip", "rstrip", "strip"};
    if (!(trim & TOKENIZER_TRIM)) return;
    template_put(out, "."), template_put(out, methods[trim & TOKENIZER_TRIM]);
    template_put(out, trim & TOKENIZER_TRIM_LINES ? "('\\n')" : "()");
}

static void template_put_texts(template_out *out, const tokenizer_form *f) {
    for (int role = 1; role < 4; role++) {
        if (!(f->trim[role] & TOKENIZER_TRIM)) continue;
        template_put(out, "{%- if m.role == '"), template_put(out, template_role_names[role]);
        template_put(out, "' %}{% set text = text"), template_put_trim(out, f->trim[role]);
        template_put(out, " %}{% endif -%}\n");
    }
    if (f->flags & TOKENIZER_FORM_SPOKEN) {
        const int keeps = f->flags & TOKENIZER_FORM_KEEPS_THOUGHT, first = f->flags & TOKENIZER_FORM_FIRST_THOUGHT;
        template_put(out, "{%- if m.role == 'assistant' and '</think>' in text and ");
        template_put(out, keeps ? "loop.index0 < ns.answer" : "not loop.last");
        template_put(out, " %}{% set text = text.split('</think>'");
        template_put(out, first ? ", 1)[1]" : ")[-1]"), template_put_trim(out, f->trim[0]);
        template_put(out, " %}{% endif -%}\n");
    }
    template_put(out, "{%- set said = between[ns.role][m.role] ~ text -%}\n");
    if (f->flags & TOKENIZER_FORM_JOINED) {
        template_put(
            out, "{%- if ns.role == 'system' and m.role == 'user' %}{% set said = (between.system.user ~ m.content)");
        template_put_trim(out, f->trim[TOKENIZER_USER] & ~TOKENIZER_TRIM_LEFT);
        template_put(out, " %}{% endif -%}\n");
    }
}

/* ---- The program ---- */

static void template_put_program(template_out *out, const template_vocabulary *v, const tokenizer_form *f) {
    const int no_empty = f->flags & TOKENIZER_FORM_NO_EMPTY_SYSTEM;
    template_put_table(out, v, f);
    template_put(out, "{%- set ns = namespace(role='', answer=-1) -%}\n");
    if (f->flags & TOKENIZER_FORM_SYSTEM_LAST)
        template_put(out, "{%- set last = 1 if messages[-1].role == 'user' else 2 -%}\n"
                          "{%- if messages[0].role == 'system' and messages|length > last %}{% set messages = "
                          "messages[1:-last] + messages[:1] + messages[-last:] %}{% endif -%}\n");
    if (f->flags & TOKENIZER_FORM_KEEPS_THOUGHT)
        template_put(out, "{%- for m in messages %}{% if m.role == 'assistant' %}{% set ns.answer = loop.index0 %}"
                          "{% endif %}{% endfor -%}\n");
    template_put(out,
                 "{%- for m in messages -%}\n{%- set text = m.content -%}\n"
                 "{%- if between[ns.role][m.role] is not defined %}{{ raise_exception('The ' ~ m.role ~ \"'s turn has "
                 "no place there\") }}{% endif -%}\n");
    template_put_texts(out, f);
    if (no_empty) template_put(out, "{%- if m.role != 'system' or text -%}\n");
    template_put(out, "{{- said -}}\n{%- set ns.role = m.role -%}\n");
    if (no_empty) template_put(out, "{%- endif -%}\n");
    template_put(out,
                 "{%- endfor -%}\n{%- if add_generation_prompt or ns.role == 'assistant' -%}\n"
                 "{%- if between[ns.role][''] is not defined %}{{ raise_exception('Somebody has to say something') }}"
                 "{% endif -%}\n{{- between[ns.role][''] -}}\n");
    for (int from = TOKENIZER_SYSTEM; from <= TOKENIZER_USER; from++) {
        const char *closing = template_closing(f, from);
        if (!closing) continue;
        template_put(out, "{%- elif ns.role == '"), template_put(out, template_role_names[from]),
            template_put(out, "' -%}\n{{- ");
        template_put_between(out, v, closing), template_put(out, " -}}\n");
    }
    template_put(out, "{%- endif -%}\n");
}

char *export_template(const tokenizer *t, int chat_template, llama_error *err) {
    const tokenizer_form *f = tokenizer_get_form(t, chat_template);
    template_vocabulary v;
    template_out out = {malloc(1024), 0, 1024};
    if (!f) return free(out.p), set_error(err, "there is no chat template"), NULL;
    if (!template_read_vocabulary(&v, t)) template_put_program(&out, &v, f);
    else free(out.p), out.p = NULL;
    free(v.marks);
    if (!out.p) set_error(err, "no memory for the chat template");
    return out.p;
}
