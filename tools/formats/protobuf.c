/* protobuf.c - contract in protobuf.h. */
#include "protobuf.h"
#include "../shared/numbers.h"

#include <stdlib.h>
#include <string.h>

enum { PROTOBUF_VARINT = 0, PROTOBUF_LENGTH = 2, PROTOBUF_4_BYTES = 5 }; /* how a value is written */
enum { PROTOBUF_LONGEST = 10 };                                          /* bytes of a varint of 64 bits */

/* Makes room for size bytes at the end, which are counted as there; NULL: none. */
static unsigned char *protobuf_grow(protobuf *p, size_t size) {
    if (size > SIZE_MAX / 4 - p->size) p->failed = 1;
    if (!p->failed && p->size + size > p->room) {
        const size_t room = 2 * (p->size + size) + 64;
        unsigned char *data = realloc(p->data, room);
        if (data) p->data = data, p->room = room;
        else p->failed = 1;
    }
    if (p->failed) return NULL;
    p->size += size;
    return p->data + p->size - size;
}

static size_t protobuf_encode(unsigned char out[PROTOBUF_LONGEST], uint64_t value) {
    size_t n = 0;
    for (; value > 127; value >>= 7) out[n++] = (unsigned char)(value & 127) | 128;
    out[n++] = (unsigned char)value;
    return n;
}

void protobuf_append(protobuf *p, const void *data, size_t size) {
    unsigned char *to = protobuf_grow(p, size);
    if (to && size) memcpy(to, data, size);
}

static void protobuf_varint(protobuf *p, uint64_t value) {
    unsigned char bytes[PROTOBUF_LONGEST];
    protobuf_append(p, bytes, protobuf_encode(bytes, value));
}

static void protobuf_tag(protobuf *p, int field, int written_as) {
    protobuf_varint(p, (uint64_t)field << 3 | (uint64_t)written_as);
}

void protobuf_uint(protobuf *p, int field, uint64_t value) {
    protobuf_tag(p, field, PROTOBUF_VARINT);
    protobuf_varint(p, value);
}

void protobuf_float(protobuf *p, int field, float value) {
    unsigned char bytes[4];
    put_f32(bytes, value);
    protobuf_tag(p, field, PROTOBUF_4_BYTES);
    protobuf_append(p, bytes, sizeof bytes);
}

void protobuf_announce(protobuf *p, int field, uint64_t size) {
    protobuf_tag(p, field, PROTOBUF_LENGTH);
    protobuf_varint(p, size);
}

void protobuf_bytes(protobuf *p, int field, const void *data, size_t size) {
    protobuf_announce(p, field, size);
    protobuf_append(p, data, size);
}

void protobuf_text(protobuf *p, int field, const char *text) { protobuf_bytes(p, field, text, strlen(text)); }

size_t protobuf_open(protobuf *p, int field) {
    protobuf_tag(p, field, PROTOBUF_LENGTH);
    return p->size;
}

/* The length stands before what it counts, so that moves. */
void protobuf_close(protobuf *p, size_t opened) {
    unsigned char length[PROTOBUF_LONGEST];
    if (p->failed) return;
    const size_t size = p->size - opened, n = protobuf_encode(length, size);
    if (!protobuf_grow(p, n)) return;
    memmove(p->data + opened + n, p->data + opened, size);
    memcpy(p->data + opened, length, n);
}

void protobuf_free(protobuf *p) {
    free(p->data);
    memset(p, 0, sizeof *p);
}
