/* samples.c - contract in samples.h. */
#include "samples.h"
#include "../../tokenizer.h"
#include "../shared/compute.h"
#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"

#include <stdlib.h>
#include <string.h>

static tokenizer *samples_tokenizer(const writer_input *in) {
    if (!in->tokenizer) return NULL;
    return tokenizer_load_memory(in->tokenizer, in->tokenizer_size, in->config.vocab_size, NULL, NULL);
}

static int samples_allocate(samples *s, int count, int length, llama_error *err) {
    const uint64_t bytes = mul_size(mul_size((uint64_t)count, (uint64_t)length), sizeof *s->tokens);
    s->count = count, s->length = length;
    s->tokens = bytes < SIZE_MAX ? malloc((size_t)bytes) : NULL;
    return s->tokens ? 0 : set_error(err, "no memory for %d samples of %d tokens", count, length);
}

/* ---- What the model writes ---- */

typedef struct {
    const samples *s;
    const llama_model *model;
    const tokenizer *tokens;
    int first; /* window of item 0 */
    int *failed;
    samples_progress *progress;
    void *user;
    volatile int *cancelled; /* by the first thread, which alone tells how far it is */
} writing;

/* One window. Where weights make no numbers nothing is drawn: the last token comes again. */
static void write_window(const writing *w, llama_context *c, llama_sampler *sampler, int *ids, int window) {
    const int n = w->s->length, bos = w->tokens ? tokenizer_bos(w->tokens) : -1;
    const int vocab = llama_get_config(w->model)->vocab_size;
    llama_rewind(c, 0);
    ids[0] = bos >= 0 ? bos : (int)((uint32_t)(window + 1) * UINT32_C(2654435761) % (uint32_t)vocab);
    for (int i = 1; i < n && !*w->cancelled; i++) {
        const int ended = bos >= 0 && ids[i - 1] != bos && tokenizer_is_end(w->tokens, ids[i - 1]);
        const float *logits = llama_forward(c, ids + i - 1, 1, NULL);
        const int id = ended ? bos : logits ? llama_sample(sampler, logits, NULL) : -1;
        ids[i] = id >= 0 ? id : ids[i - 1];
        if (!compute_thread() && w->progress)
            *w->cancelled |= w->progress(w->user, w->first + (double)i / n, w->s->count);
    }
}

/* Every thread has a context of its own, because one sequence keeps few threads busy. */
static void write_windows(const void *work, int begin, int end) {
    const writing *w = work;
    const llama_options options = {.n_ctx = w->s->length, .n_threads = 1, .n_batch = 1};
    llama_context *c = llama_context_create(w->model, &options, NULL);
    for (int i = begin; i < end; i++) {
        const int window = w->first + i;
        llama_sampling how = llama_sampling_default();
        how.temperature = 1, how.top_k = 0, how.top_p = 1, how.seed = (uint64_t)window + 1;
        llama_sampler *sampler = llama_sampler_create(w->model, &how, NULL, NULL);
        w->failed[i] = !c || !sampler;
        if (c && sampler) write_window(w, c, sampler, w->s->tokens + (size_t)window * (size_t)w->s->length, window);
        llama_sampler_free(sampler);
    }
    llama_context_free(c);
}

static int write_all(const samples *s, const llama_model *m, const tokenizer *t, compute *c, samples_progress *progress,
                     void *user, llama_error *err) {
    enum { MOST = 64 };
    int failed[MOST];
    volatile int cancelled = 0;
    const int some = compute_threads(c) < MOST ? compute_threads(c) : MOST;
    for (int first = 0; first < s->count; first += some) {
        const int n = s->count - first < some ? s->count - first : some;
        const writing w = {s, m, t, first, failed, progress, user, &cancelled};
        compute_parallel(c, n, write_windows, &w);
        if (cancelled) return set_error(err, "cancelled");
        for (int i = 0; i < n; i++)
            if (failed[i]) return set_error(err, "no memory to write samples");
    }
    return 0;
}

int samples_write(samples *s, const writer_input *in, int count, int length, int threads, samples_progress *progress,
                  void *user, llama_error *err) {
    writer_input copy = *in;
    void *data = NULL;
    size_t size;
    copy.type = INSIDE_Q8, copy.embedding_type = 0, copy.encoded = NULL, copy.tokenizer = NULL, copy.tokenizer_size = 0;
    s->tokens = NULL;
    if (samples_allocate(s, count, length, err) || writer_build(&copy, &data, &size, NULL, err)) return -1;
    llama_model *m = llama_load_memory(data, size, NULL, err);
    compute *c = compute_create(threads);
    tokenizer *t = samples_tokenizer(in);
    int result = m ? 0 : -1;
    if (!result && !c) result = set_error(err, "no memory to write samples");
    if (!result) result = write_all(s, m, t, c, progress, user, err);
    tokenizer_free(t), compute_free(c), llama_free(m), free(data);
    return result;
}

/* ---- A text ---- */

int samples_read(samples *s, const writer_input *in, const char *path, int count, int length, llama_error *err) {
    enum { MOST = 1 << 28 };
    size_t size;
    s->tokens = NULL;
    tokenizer *t = samples_tokenizer(in);
    if (!t) return set_error(err, "%.120s: the model has no tokenizer to read it with", path);
    char *text = file_read(path, MOST, &size, err);
    if (!text) return tokenizer_free(t), -1;
    const size_t bound = tokenizer_bound(t, size);
    int *ids = bound < SIZE_MAX / sizeof *ids ? malloc((bound + 1) * sizeof *ids) : NULL;
    const ptrdiff_t n = ids ? tokenizer_encode(t, text, size, 0, ids, bound, NULL) : -1;
    const int bos = tokenizer_bos(t), first = bos >= 0 ? 1 : 0, own = length - first;
    const int there = n > 0 && own > 0 ? (int)(n / own) : 0, used = there < count ? there : count;
    int result = n < 0 ? set_error(err, "%.120s: no memory for its tokens", path) : 0;
    if (!result && used < 2)
        result = set_error(err, "%.120s: %d tokens are too few, at least %d needed", path, (int)n, 2 * length);
    if (!result) result = samples_allocate(s, used, length, err);
    for (int i = 0; !result && i < used; i++) {
        int *to = s->tokens + (size_t)i * (size_t)length;
        to[0] = bos;
        memcpy(to + first, ids + (size_t)((int64_t)i * there / used) * (size_t)own, (size_t)own * sizeof *to);
    }
    free(ids), free(text), tokenizer_free(t);
    return result;
}
