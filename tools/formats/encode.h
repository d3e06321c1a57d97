/* encode.h - float32 rows become tiles of any type, as llama.c, room 2, describes them. And the parts of q4, for who
 * knows more of a matrix than its values: calibrate.c.
 */
#ifndef ENCODE_H
#define ENCODE_H

#include "../shared/inside.h"

/* tile = rows (count <= INSIDE_TILE, cols) of type INSIDE_F32 and so on; rows beyond count become zeros. */
void encode_tile(int type, const float *rows, int count, int cols, unsigned char *tile);

/* ---- q4: value = unit of the row * scale of the group * book[code] ---- */

enum { ENCODE_CODES = 16 };
extern const float encode_book[ENCODE_CODES];       /* rising whole numbers */
extern const float encode_border[ENCODE_CODES - 1]; /* in the middle between two that follow each other */

/* The code of the number of the book that is next to v: how many borders are not above it. In loops this becomes
 * comparisons of vectors, where a search would not. */
static inline int encode_nearest(float v) {
    int code = 0;
    for (int i = 0; i < ENCODE_CODES - 1; i++) code += v >= encode_border[i];
    return code;
}

/* The scale, of any sign, with which the book comes next to n <= INSIDE_Q4_GROUP values: the least sum of
 * weight * error^2 of those tried. weight NULL: all 1. 0 for values that are next to nothing; nan if one is no
 * number. */
float encode_scale(const float *x, const float *weight, int n);

/* The unit for scales of which this is the largest magnitude, and a scale as the whole number of units next to it. */
float encode_unit(float largest);
int encode_units(float scale, float unit);

/* Codes (n) of values that share a scale, the row's unit times the group's. */
void encode_codes(const float *x, int n, float scale, unsigned char *codes);

/* Row r of a tile, which was zeros there: of INSIDE_Q4 or INSIDE_Q6, by itself; of INSIDE_Q4, of a unit, scales
 * (groups) and codes (cols) that are known. */
void encode_row(int type, const float *x, int cols, int r, unsigned char *tile);
void encode_put(unsigned char *tile, int cols, int r, float unit, const signed char *scales,
                const unsigned char *codes);

#endif
