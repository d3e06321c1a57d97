/* json_writer.h - JSON texts in the making, in memory that grows. Who writes one keeps to its grammar himself: what is
 * done here is the commas, and what numbers and strings need.
 */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include "../../llama.h"
#include "../shared/messages.h"

typedef struct {
    char *text; /* malloc'ed, terminated; NULL: nothing yet */
    size_t size, capacity;
    int failed; /* 1: there was no memory, and something is missing */
} json_out;

void json_out_free(json_out *j);

/* Text as it is. */
void json_put(json_out *j, const char *format, ...) PRINTF_LIKE(2, 3);
void json_put_bytes(json_out *j, const char *text, size_t size);

/* A string with its quotes. What is no UTF-8 becomes U+FFFD: no JSON text could have it. */
void json_put_string(json_out *j, const char *text, size_t size);

/* The shortest number that becomes value again, as a float32 if is_float. */
void json_put_number(json_out *j, double value, int is_float);

/* Begins an item of a container: a comma unless it is the first, a new line, so many levels in. */
void json_next(json_out *j, int level);

/* The same for an item of an object, up to its colon. */
void json_key(json_out *j, int level, const char *key);
void json_key_text(json_out *j, int level, const char *key, const char *text); /* NULL: null */
void json_key_int(json_out *j, int level, const char *key, int value);
void json_key_flag(json_out *j, int level, const char *key, int value);
void json_key_number(json_out *j, int level, const char *key, double value, int is_float);

/* Ends a container that began with bracket, { or [, on a line of its own. */
void json_end(json_out *j, int level, char bracket);

#endif
