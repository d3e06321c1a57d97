/* protobuf.h - writes protocol buffers, as onnx.c needs them (protobuf.dev/programming-guides/encoding).
 *
 * A message is its fields one behind the other, each a tag, which is its number and how its value is written, and the
 * value: a whole number as a varint, 7 bits to a byte, the lowest first, the top bit of all but the last set; a float
 * as 4 bytes; text, bytes and messages inside as their length, a varint, and what they are. A field that repeats is
 * written as often.
 */
#ifndef PROTOBUF_H
#define PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct { /* all zeros: empty */
    unsigned char *data;
    size_t size, room;
    int failed; /* 1: memory ran out; nothing more is written, and data is of no use */
} protobuf;

void protobuf_uint(protobuf *p, int field, uint64_t value); /* int32 and int64 too: negative ones as 64 bits */
void protobuf_float(protobuf *p, int field, float value);
void protobuf_bytes(protobuf *p, int field, const void *data, size_t size);
void protobuf_text(protobuf *p, int field, const char *text);

/* What is written between the two is a message inside, or bytes. */
size_t protobuf_open(protobuf *p, int field);
void protobuf_close(protobuf *p, size_t opened);

/* Tag and length of size bytes that follow: appended, or written elsewhere. */
void protobuf_announce(protobuf *p, int field, uint64_t size);
void protobuf_append(protobuf *p, const void *data, size_t size);

void protobuf_free(protobuf *p); /* it is empty then */

#endif
