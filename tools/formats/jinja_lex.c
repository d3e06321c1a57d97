/* jinja_lex.c - a template's text becomes tokens. Contract in jinja_lex.h. */
#include "jinja_lex.h"

#include <stdlib.h>
#include <string.h>

void jp_fail(jp_parser *p, const char *what, const char *text, size_t size) {
    p->c->line = p->now.line;
    jn_fail(p->c, JINJA_ERROR, "%s%.*s", what, (int)(size < 60 ? size : 60), text);
}

/* The text with line breaks as \n, and without one that ends it. */
void jp_begin(jp_parser *p, const char *text, size_t size) {
    char *copy = jn_allocate(p->c, size + 1), *to = copy;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r' && i + 1 < size && text[i + 1] == '\n') continue;
        *to++ = text[i] == '\r' ? '\n' : text[i];
    }
    if (to > copy && to[-1] == '\n') to--;
    *to = 0;
    p->at = copy, p->end = to;
    p->line = 1;
    p->line_begins = 1;
    p->inside = JP_END;
}

/* ---- Between tags ---- */

static const char *jp_skip_space(jp_parser *p, const char *at) {
    for (size_t size; at < p->end && jn_is_space(jn_code_point(at, p->end, &size)); at += size) p->line += *at == '\n';
    return at;
}

static void jp_count_lines(jp_parser *p, const char *from, const char *to) {
    for (; from < to; from++) p->line += *from == '\n';
}

/* text, up to end, without the white space it ends with. */
static const char *jp_trim_end(const char *text, const char *end) {
    while (end > text) {
        size_t size = jn_last_char_size(text, end);
        if (!jn_is_space(jn_code_point(end - size, end, &size))) break;
        end -= size;
    }
    return end;
}

/* The next tag's beginning, or the end. */
static const char *jp_find_tag(const char *at, const char *end) {
    for (; at < end && (at = memchr(at, '{', (size_t)(end - at))); at++)
        if (end - at > 1 && (at[1] == '{' || at[1] == '%' || at[1] == '#')) return at;
    return end;
}

/* The text before a tag, without what the tag's sign or lstrip_blocks take away. */
static const char *jp_end_of_data(jp_parser *p, const char *tag) {
    const char sign = tag + 2 < p->end ? tag[2] : 0, *line = tag;
    if (tag == p->end) return tag;
    if (sign == '-') return jp_trim_end(p->at, tag);
    if (tag[1] == '{' || sign == '+') return tag;
    while (line > p->at && line[-1] != '\n') line--;
    return (line > p->at || p->line_begins) && jp_trim_end(line, tag) == line ? line : tag;
}

/* After the end of a block or comment: trim_blocks takes the line break away. */
static void jp_after_tag(jp_parser *p, int sign) {
    const char *from = p->at;
    if (sign == '-') p->at = jp_skip_space(p, p->at);
    else if (sign != '+' && p->inside != JP_PRINTED && p->at < p->end && *p->at == '\n') p->at++, p->line++;
    p->line_begins = p->at > from && p->at[-1] == '\n';
    p->inside = JP_END;
}

static void jp_skip_comment(jp_parser *p) {
    const char *begin = p->at + 2, *at;
    if (begin < p->end && (*begin == '-' || *begin == '+')) begin++;
    for (at = begin; at < p->end && (at = memchr(at, '#', (size_t)(p->end - at))); at++)
        if (p->end - at > 1 && at[1] == '}') break;
    p->now.line = p->line;
    if (!at || at >= p->end) jp_fail(p, "a comment without its end", "", 0);
    const int sign = at > begin ? at[-1] : 0;
    jp_count_lines(p, p->at, at);
    p->at = at + 2;
    p->inside = JP_CLOSE;
    jp_after_tag(p, sign == '-' || sign == '+' ? sign : 0);
}

/* If a block is {% word %}: its end, and the sign before it; else NULL. */
static const char *jp_is_block(jp_parser *p, const char *at, const char *word, int *sign) {
    const uint32_t line = p->line;
    const size_t n = strlen(word);
    at += 2;
    if (at < p->end && (*at == '-' || *at == '+')) at++;
    at = jp_skip_space(p, at);
    const int is_word = (size_t)(p->end - at) > n && !memcmp(at, word, n);
    if (is_word) at = jp_skip_space(p, at + n);
    *sign = is_word && at < p->end && (*at == '-' || *at == '+') ? *at++ : 0;
    p->line = line;
    return is_word && p->end - at > 1 && at[0] == '%' && at[1] == '}' ? at + 2 : NULL;
}

/* {% raw %} at p->at, whose end is after: what stands up to {% endraw %} is text. */
static jp_token jp_raw(jp_parser *p, const char *after, int sign) {
    const char *tag, *end = NULL;
    int end_sign = 0;
    jp_token t = {.type = JP_DATA, .line = p->line};
    jp_count_lines(p, p->at, after);
    p->at = after;
    if (sign == '-') p->at = jp_skip_space(p, p->at);
    p->line_begins = p->at[-1] == '\n';
    for (tag = p->at; tag < p->end; tag++) {
        tag = jp_find_tag(tag, p->end);
        if (tag < p->end && tag[1] == '%' && (end = jp_is_block(p, tag, "endraw", &end_sign))) break;
    }
    p->now = t;
    if (!end) jp_fail(p, "{% raw %} without {% endraw %}", "", 0);
    t.text = p->at;
    t.size = (size_t)(jp_end_of_data(p, tag) - p->at);
    jp_count_lines(p, p->at, end);
    p->at = end;
    p->inside = JP_CLOSE;
    jp_after_tag(p, end_sign);
    return t;
}

static jp_token jp_outside(jp_parser *p) {
    for (;;) {
        int sign;
        const char *tag = jp_find_tag(p->at, p->end), *end = jp_end_of_data(p, tag), *raw = NULL;
        jp_token t = {.type = JP_DATA, .line = p->line, .text = p->at, .size = (size_t)(end - p->at)};
        jp_count_lines(p, p->at, tag);
        if (p->at < tag) p->line_begins = 0;
        p->at = tag;
        if (t.size) return p->line_begins = 0, t;
        if (tag == p->end) return (jp_token){.type = JP_END, .line = p->line};
        if (tag[1] == '#') {
            jp_skip_comment(p);
            continue;
        }
        if (tag[1] == '%' && (raw = jp_is_block(p, tag, "raw", &sign)) && sign != '+') { /* + has no meaning there */
            t = jp_raw(p, raw, sign);
            if (t.size) return t;
            continue;
        }
        p->inside = tag[1] == '{' ? JP_PRINTED : JP_CLOSE;
        p->brackets = 0;
        p->at += tag + 2 < p->end && (tag[2] == '-' || tag[2] == '+') ? 3 : 2;
        return (jp_token){.type = tag[1] == '{' ? JP_OPEN : JP_BLOCK, .line = p->line};
    }
}

/* ---- Inside of tags ---- */

static int jp_is_name(int ch, int first) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || (!first && ch >= '0' && ch <= '9');
}

static int jp_is_digit(int ch) { return ch >= '0' && ch <= '9'; }

static unsigned long jp_hex(jp_parser *p, const char *at, int n) {
    unsigned long u = 0;
    for (int i = 0; i < n; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *found = at + i < p->end && at[i] ? strchr(digits, at[i]) : NULL;
        if (!found) jp_fail(p, "a malformed escape in a text", "", 0);
        u = u << 4 | (unsigned long)((found - digits) & 15);
    }
    if (u > 0x10FFFF || (u >= 0xD800 && u < 0xE000)) jp_fail(p, "an escape that is no character", "", 0);
    return u;
}

/* The escape at at, which is a backslash. Python's: one that it does not know stays as it is. */
static const char *jp_escape(jp_parser *p, jn_text *t, const char *at) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char e = at[1], *found = e ? strchr(from, e) : NULL;
    if (found) jn_put(p->c, t, &to[found - from], 1);
    if (found || e == '\n') return at + 2;
    if (e == 'x' || e == 'u' || e == 'U') {
        const int n = e == 'x' ? 2 : e == 'u' ? 4 : 8;
        jn_put_utf8(p->c, t, jp_hex(p, at + 2, n));
        return at + 2 + n;
    }
    if (e >= '0' && e <= '7') {
        unsigned long u = 0;
        int n = 1;
        for (; n < 4 && at + n < p->end && at[n] >= '0' && at[n] <= '7'; n++) u = u * 8 + (unsigned long)(at[n] - '0');
        jn_put_utf8(p->c, t, u);
        return at + n;
    }
    if (e == 'N') jp_fail(p, "an escape by a character's name is not supported", "", 0);
    jn_put(p->c, t, at, 1);
    return at + 1;
}

static void jp_string(jp_parser *p, jp_token *t) {
    const char quote = *p->at, *at = p->at + 1;
    jn_text text = {0};
    p->now = *t;
    t->type = JP_STRING;
    for (;;) {
        const char *from = at;
        while (at < p->end && *at != quote && *at != '\\') at++;
        jn_put(p->c, &text, from, (size_t)(at - from));
        if (at + 1 >= p->end && !(at < p->end && *at == quote)) jp_fail(p, "a text without its end", "", 0);
        if (*at == quote) break;
        at = jp_escape(p, &text, at);
    }
    jp_count_lines(p, p->at, at);
    p->at = at + 1;
    t->value = jn_text_value(p->c, &text);
}

/* Digits with single underscores between them, without these to out. */
static const char *jp_digits(const char *at, const char *end, char *out, size_t *n, size_t max) {
    while (at < end && (jp_is_digit(*at) || (*at == '_' && end - at > 1 && jp_is_digit(at[1])))) {
        if (*at != '_' && *n < max) out[(*n)++] = *at;
        at++;
    }
    return at;
}

static void jp_number(jp_parser *p, jp_token *t) {
    char s[400];
    size_t n = 0;
    const char *at = jp_digits(p->at, p->end, s, &n, 300);
    t->type = JP_INTEGER;
    if (p->end - at > 1 && *at == '.' && jp_is_digit(at[1])) {
        s[n++] = '.';
        at = jp_digits(at + 1, p->end, s, &n, 350);
        t->type = JP_FLOAT;
    }
    const char *e = at < p->end && (*at | 32) == 'e' ? at + 1 : NULL;
    const int sign = e && e < p->end && (*e == '-' || *e == '+') ? *e++ : '+';
    if (e && e < p->end && jp_is_digit(*e)) {
        s[n++] = 'e', s[n++] = (char)sign;
        at = jp_digits(e, p->end, s, &n, 390);
        t->type = JP_FLOAT;
    }
    s[n] = 0;
    p->now = *t;
    if (t->type == JP_INTEGER && (n > 18 || (n > 1 && *s == '0') || (at < p->end && jp_is_name(*at, 1))))
        jp_fail(p, "a number that is not supported: ", p->at, (size_t)(at - p->at) + (at < p->end));
    t->value = t->type == JP_INTEGER ? jn_int(atoll(s)) : jn_float(strtod(s, NULL));
    p->at = at;
}

static void jp_operator(jp_parser *p, jp_token *t) {
    static const char *const pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
    const char ch = *p->at;
    t->type = JP_OPERATOR;
    t->op = (unsigned char)ch;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (p->end - p->at > 1 && ch == pairs[i][0] && p->at[1] == pairs[i][1]) t->op = ch << 8 | pairs[i][1];
    p->now = *t;
    if ((unsigned char)ch >= 128)
        jp_fail(p, "outside of texts this is not supported: ", p->at, jn_char_size(p->at, p->end));
    if (!ch || !strchr("+-*/%~<>=()[]{}|,.:!", ch) || t->op == '!')
        jp_fail(p, "nothing begins with ", p->at, jn_char_size(p->at, p->end));
    if (strchr("([{", ch)) p->brackets++;
    if (strchr(")]}", ch) && !p->brackets--) jp_fail(p, "unexpected ", p->at, 1);
    p->at += t->op > 255 ? 2 : 1;
}

jp_token jp_lex(jp_parser *p) {
    if (p->inside == JP_END) return jp_outside(p);
    p->at = jp_skip_space(p, p->at);
    jp_token t = {.type = JP_END, .line = p->line, .text = p->at};
    const char *at = p->at;
    if (at == p->end) return t;
    const char *close = p->inside == JP_CLOSE ? "%}" : "}}";
    const int sign = *at == '-' || (*at == '+' && p->inside == JP_CLOSE) ? *at++ : 0;
    if (!p->brackets && p->end - at > 1 && at[0] == close[0] && at[1] == close[1]) {
        t.type = p->inside;
        p->at = at + 2;
        jp_after_tag(p, sign);
        return t;
    }
    at = p->at;
    if (jp_is_name(*at, 1)) {
        while (at < p->end && jp_is_name(*at, 0)) at++;
        t.type = JP_NAME;
        p->at = at;
    } else if (*at == '"' || *at == '\'') jp_string(p, &t);
    else if (jp_is_digit(*at)) jp_number(p, &t);
    else jp_operator(p, &t);
    t.size = (size_t)(p->at - t.text);
    return t;
}
