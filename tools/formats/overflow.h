/* overflow.h - numbers that the type of an output cannot hold.
 *
 * Infinity in their place would be another model, and nothing would tell: all writers refuse them, by the tensor's name
 * and with a type that can. What is infinite or no number in the model itself stays so.
 */
#ifndef OVERFLOW_H
#define OVERFLOW_H

#include "../../llama.h"

#include <stddef.h>

/* From which magnitude on a type, "F16" say, has infinity for a number, or for the scale of a block that it is in. */
float overflow_end(const char *type);

int overflow_count(float end, const float *x, size_t n); /* of n numbers */

/* -1, with the message; path NULL: it does not begin with one. */
int overflow_refuse(llama_error *err, const char *path, const char *tensor, const char *type);

#endif
