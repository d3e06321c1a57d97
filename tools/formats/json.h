/* json.h - reads JSON texts (RFC 8259) that may be damaged or hostile.
 *
 * A text becomes one flat array of nodes in its own order: a container's items follow it. An object's items are its
 * keys, and the node after a key is its value, which JSON_EACH skips with the key:
 *
 *     JSON_EACH(key, object) use(key->text, key + 1);
 *     JSON_EACH(item, array) use(item);
 *
 * Nothing recurses, so nesting may be as deep as memory allows; time is linear, but for n log n in an object's keys,
 * which must differ. Strings must be valid UTF-8 and surrogates must come in pairs.
 */
#ifndef JSON_H
#define JSON_H

#include "../../llama.h"

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_type;

typedef struct {
    json_type type;
    uint32_t skip;    /* the next value is this node + skip */
    uint32_t size;    /* bytes of a string; items of a container */
    uint32_t line;    /* where it begins, from 1 */
    const char *text; /* a string or key: its bytes, and a zero after them */
    double number;
} json_node;

typedef struct {
    json_node *nodes; /* (count) the first is the whole text */
    size_t count;
    char *text; /* what the nodes' strings lie in */
} json_text;

/* Each returns 0, or -1 with a message: name: line, byte, and what is wrong there. */
int json_parse(json_text *j, const char *text, size_t size, const char *name, llama_error *err); /* copies text */
int json_load(json_text *j, const char *path, llama_error *err);
void json_free(json_text *j); /* also after a failure */

#define JSON_EACH(item, in)                                                                                            \
    for (const json_node *item = (in) + 1, *end_##item = (in) + (in)->skip; item < end_##item; item += item->skip)

/* The value of a key; NULL if there is none, or object is NULL or no object. Looks at each key: to use
 * all of a large object, iterate or make an index. */
const json_node *json_get(const json_node *object, const char *key);

/* An object's keys, sorted to be found in log n steps. */
typedef struct {
    struct json_key *keys;
    size_t count;
} json_index;

int json_index_make(json_index *index, const json_node *object); /* 0; -1: no memory */
void json_index_free(json_index *index);
const json_node *json_find(const json_index *index, const char *key, size_t size); /* its value, or NULL */

int json_is(const json_node *n, json_type type);        /* n may be NULL */
int json_is_text(const json_node *n, const char *text); /* 1 if n is this string */
int json_whole(const json_node *n, uint64_t *value);    /* 1 if n is a whole number below 2^53: exact in a double */
const char *json_type_name(const json_node *n);         /* "a string", ...; "missing" for NULL */

#endif
