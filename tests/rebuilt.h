/* rebuilt.h - is a tokenizer made of what another tells of itself the same? By their flat forms, byte for byte. */
#ifndef REBUILT_H
#define REBUILT_H

#include "../tokenizer.h"

#include <stdlib.h>
#include <string.h>

static inline void *flat_form(const tokenizer *t, size_t *size) {
    *size = tokenizer_save(t, NULL, 0);
    void *flat = malloc(*size);
    if (flat) tokenizer_save(t, flat, *size);
    return flat;
}

static inline int is_rebuilt(const tokenizer *t) {
    tokenizer_parts parts;
    tokenizer_get_parts(t, &parts);
    const int n_merges = tokenizer_get_merges(t, NULL);
    tokenizer_piece *pieces = malloc((size_t)parts.n_pieces * sizeof *pieces);
    int(*merges)[2] = malloc((size_t)(parts.n_merges + 1) * sizeof *merges), same = 0;
    if (!pieces || !merges || n_merges > parts.n_merges) return 0;
    for (int id = 0; id < parts.n_pieces; id++) tokenizer_get_piece(t, id, &pieces[id]);
    parts.pieces = pieces;
    if (tokenizer_get_merges(t, merges) >= 0) parts.merges = (const int(*)[2])merges;
    tokenizer *again = tokenizer_create(&parts, NULL, NULL);
    if (again) {
        size_t size[2];
        void *flat[2] = {flat_form(t, &size[0]), flat_form(again, &size[1])};
        same = flat[0] && flat[1] && size[0] == size[1] && !memcmp(flat[0], flat[1], size[0]);
        free(flat[0]), free(flat[1]);
    }
    tokenizer_free(again);
    free(pieces), free(merges);
    return same;
}

#endif
