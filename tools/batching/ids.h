/* ids.h - a set of ids, as request.h writes them, to look up what was seen. */
#ifndef IDS_H
#define IDS_H

#include "../../llama.h"

typedef struct {
    uint64_t hash;
    size_t at;     /* where it lies in the set's text */
    uint64_t line; /* the caller's, as the next are */
    int state;
    uint64_t value;
} ids_entry;

typedef struct {
    ids_entry *entries; /* (capacity, a power of 2) line 0: free */
    size_t capacity, count;
    char *text; /* (size of room for text_capacity) one behind the other, each with a zero at its end */
    size_t size, text_capacity;
} ids;

/* The entry of an id, which is new if its line is 0: the caller then sets that. Valid until the next call. NULL without
 * memory. */
ids_entry *ids_add(ids *s, const char *id);
ids_entry *ids_find(const ids *s, const char *id); /* NULL: it is not there */
void ids_free(ids *s);

#endif
