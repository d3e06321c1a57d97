/* ids.c - contract in ids.h: a hash table with linear probing, at most half full. */
#include "ids.h"
#include "../shared/inside.h"

#include <stdlib.h>
#include <string.h>

/* Where it is, or where it would be. */
static ids_entry *ids_place(const ids *s, const char *id, uint64_t hash) {
    size_t i = (size_t)hash & (s->capacity - 1);
    while (s->entries[i].line && (s->entries[i].hash != hash || strcmp(s->text + s->entries[i].at, id)))
        i = (i + 1) & (s->capacity - 1);
    return &s->entries[i];
}

static uint64_t ids_hash(const char *id) { return inside_hash(3, (const unsigned char *)id, strlen(id)); }

static int ids_grow(ids *s) {
    const ids old = *s;
    s->capacity = old.capacity ? 2 * old.capacity : 64;
    s->entries = s->capacity <= SIZE_MAX / sizeof *s->entries ? calloc(s->capacity, sizeof *s->entries) : NULL;
    if (!s->entries) return *s = old, -1;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].line) *ids_place(s, s->text + old.entries[i].at, old.entries[i].hash) = old.entries[i];
    free(old.entries);
    return 0;
}

static int ids_keep(ids *s, const char *id, size_t n) {
    if (n > s->text_capacity - s->size) {
        const size_t capacity = 2 * s->text_capacity + n + 1024;
        char *text = realloc(s->text, capacity);
        if (!text) return -1;
        s->text = text, s->text_capacity = capacity;
    }
    memcpy(s->text + s->size, id, n);
    s->size += n;
    return 0;
}

ids_entry *ids_add(ids *s, const char *id) {
    const uint64_t hash = ids_hash(id);
    const size_t n = strlen(id) + 1;
    if (2 * s->count >= s->capacity && ids_grow(s)) return NULL;
    ids_entry *e = ids_place(s, id, hash);
    if (e->line) return e;
    if (ids_keep(s, id, n)) return NULL;
    *e = (ids_entry){hash, s->size - n, 0, 0, 0};
    s->count++;
    return e;
}

ids_entry *ids_find(const ids *s, const char *id) {
    ids_entry *e = s->capacity ? ids_place(s, id, ids_hash(id)) : NULL;
    return e && e->line ? e : NULL;
}

void ids_free(ids *s) {
    free(s->entries), free(s->text);
    *s = (ids){NULL, 0, 0, NULL, 0, 0};
}
