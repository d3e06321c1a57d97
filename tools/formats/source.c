/* source.c - what all inputs share. */
#include "source.h"

#include <stdlib.h>

void source_release(llama_source *s) {
    free(s->kinds), free(s->rope_frequencies), free(s->rope_amplitudes), free(s->tokenizer);
}
