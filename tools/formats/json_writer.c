/* json_writer.c - contract in json_writer.h. */
#include "json_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_out_free(json_out *j) {
    free(j->text);
    memset(j, 0, sizeof *j);
}

/* Room for n more bytes and a zero; NULL without memory. */
static char *json_room(json_out *j, size_t n) {
    if (j->failed) return NULL;
    if (n > SIZE_MAX / 4 || j->size > SIZE_MAX / 4) return j->failed = 1, NULL;
    if (j->size + n >= j->capacity) {
        const size_t capacity = 2 * (j->size + n) + 256;
        char *text = realloc(j->text, capacity);
        if (!text) return j->failed = 1, NULL;
        j->text = text, j->capacity = capacity;
    }
    return j->text + j->size;
}

void json_put_bytes(json_out *j, const char *text, size_t n) {
    char *room = json_room(j, n);
    if (!room) return;
    memcpy(room, text, n);
    room[n] = 0;
    j->size += n;
}

void json_put(json_out *j, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    char *room = n < 0 ? NULL : json_room(j, (size_t)n);
    if (n < 0) j->failed = 1;
    if (room) vsnprintf(room, (size_t)n + 1, format, again), j->size += (size_t)n;
    va_end(again);
    va_end(args);
}

/* Bytes of the UTF-8 character at p, at most n; 0: there is none. */
static size_t json_utf8(const unsigned char *p, size_t n) {
    const unsigned char c = *p, second = n > 1 ? p[1] : 0;
    const size_t size = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (!size || size > n) return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    const int overlong = (c == 0xE0 && second < 0xA0) || (c == 0xF0 && second < 0x90);
    const int beyond = (c == 0xED && second >= 0xA0) || (c == 0xF4 && second >= 0x90);
    return overlong || beyond ? 0 : size;
}

void json_put_string(json_out *j, const char *text, size_t size) {
    static const char escaped[] = "\"\\\n\r\t\b\f", name[] = "\"\\nrtbf";
    json_put_bytes(j, "\"", 1);
    for (size_t i = 0, n; i < size; i += n) {
        const unsigned char c = (unsigned char)text[i];
        const char *found = c ? strchr(escaped, c) : NULL;
        n = 1;
        if (found) json_put(j, "\\%c", name[found - escaped]);
        else if (c < 0x20 || c == 0x7F) json_put(j, "\\u%04x", (unsigned)c);
        else if (!(n = json_utf8((const unsigned char *)text + i, size - i))) json_put(j, "\xEF\xBF\xBD"), n = 1;
        else json_put_bytes(j, text + i, n);
    }
    json_put_bytes(j, "\"", 1);
}

void json_put_number(json_out *j, double value, int is_float) {
    char text[40];
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value) {
        json_put(j, "%.1f", value); /* some readers want to see that it is no whole number's type */
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        const double again = strtod(text, NULL);
        if (is_float ? (float)again == (float)value : again == value) break;
    }
    json_put(j, "%s", text);
}

void json_next(json_out *j, int level) {
    const char last = j->size ? j->text[j->size - 1] : '{';
    json_put(j, last == '{' || last == '[' ? "\n%*s" : ",\n%*s", 2 * level, "");
}

void json_key(json_out *j, int level, const char *key) {
    json_next(j, level);
    json_put(j, "\"%s\": ", key);
}

void json_key_text(json_out *j, int level, const char *key, const char *text) {
    json_key(j, level, key);
    if (text) json_put_string(j, text, strlen(text));
    else json_put(j, "null");
}

void json_key_int(json_out *j, int level, const char *key, int value) {
    json_key(j, level, key);
    json_put(j, "%d", value);
}

void json_key_flag(json_out *j, int level, const char *key, int value) {
    json_key(j, level, key);
    json_put(j, value ? "true" : "false");
}

void json_key_number(json_out *j, int level, const char *key, double value, int is_float) {
    json_key(j, level, key);
    json_put_number(j, value, is_float);
}

void json_end(json_out *j, int level, char bracket) {
    json_put(j, "\n%*s%c", 2 * level, "", bracket == '{' ? '}' : ']');
}
