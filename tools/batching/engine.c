/* engine.c - contract in engine.h.
 *
 * Each pass evaluates one token of every text that is being written, and up to PIECE tokens of prompts: so a long
 * prompt comes in pieces, and nobody waits for it. A request enters when there are free pages for all that it may come
 * to, so none is ever put out again.
 *
 * What a prompt has in common with one that is there, or was lately, is forked, in whole pages. Where that one is still
 * being evaluated the later waits for it: of fifty prompts with one preface, the preface is evaluated once.
 */
#include "engine.h"
#include "../shared/adjust.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 1 << 19 };         /* logits that two threads look at sooner than one */
enum { PIECE = 256, ROWS = 64 };  /* tokens of prompts in a pass; of answers, whose logits are wanted */
enum { CONTEXT_BYTES = 1 << 30 }; /* about what a context may take that nobody has asked for */

typedef struct {
    request r;
    uint64_t turn; /* a later request has a higher one */
    int used;      /* 1: it has a request; 0: its sequence is kept, to be forked from */
    int *ids;      /* (n) of its text: the sequence's, and what is to be evaluated next */
    int n, n_prompt;
    int same;        /* of what the sequence holds, no more than so much is surely that of ids */
    int needs;       /* positions that it may come to */
    int from, share; /* share > 0: the first so many ids are another slot's, which may have yet to evaluate them */
    int keeps;       /* ids that no answer makes it go back into: of these others may have pages, and it theirs */
    /* text */
    llama_sampler *sampler;
    adjustment adjusted;
    int next, end_of_turn; /* the token that was drawn */
    float *logprobs;
    json_out text;
    const char *stopped;
    /* scores */
    int **answers, *lengths;    /* ids of prompt and answer; how many there are */
    int answer, scored, greedy; /* of the answer that is judged: tokens, and whether each was the likeliest */
    int count_from;             /* where those begin that are yet to be judged */
    double logprob;
    json_out scores;
    float *logits; /* (vocab_size) after the prompt, or the last token */
    float *hidden; /* (dim) */
    llama_error err;
} slot;

struct engine {
    engine_options o;
    llama_context *context;
    const llama_config *f;
    slot *slots; /* (o.n_sequences) */
    llama_item *items;
    int *which;  /* the slot of each item */
    int *order;  /* (busy) slots in use, the first comer first; the last may be waiting for room */
    int waiting; /* 1: it is */
    int n_items, longest, busy;
    uint64_t turn;              /* of the last that came */
    int piece, n_rows;          /* what is left to give away in this pass */
    float *rows;                /* (ROWS, vocab_size) logits of answers' tokens */
    unsigned char wanted[ROWS]; /* all ones */
    engine_counts counts;
};

/* ---- Making and freeing ---- */

/* As many tokens as fill every sequence, or CONTEXT_BYTES, but a whole text's at least. */
static int choose_context(const engine_options *o, llama_options *l, int longest) {
    for (l->n_ctx = longest; l->n_ctx < 1 << 27 && l->n_ctx / longest < o->n_sequences; l->n_ctx *= 2) {
        llama_options larger = *l;
        larger.n_ctx *= 2;
        if (llama_context_bytes(o->model, &larger) > CONTEXT_BYTES) break;
    }
    return l->n_ctx;
}

static int allocate_slots(engine *e) {
    const size_t n = (size_t)e->o.n_sequences, vocab = (size_t)e->f->vocab_size;
    e->slots = calloc(n, sizeof *e->slots);
    e->items = calloc(n, sizeof *e->items);
    e->which = calloc(n, sizeof *e->which), e->order = calloc(n, sizeof *e->order);
    if (e->o.kind == REQUEST_SCORE) e->rows = calloc(ROWS, vocab * sizeof *e->rows);
    if (!e->slots || !e->items || !e->which || !e->order || (e->o.kind == REQUEST_SCORE && !e->rows)) return -1;
    for (size_t i = 0; i < n; i++) {
        slot *s = &e->slots[i];
        const int embeds = e->o.kind == REQUEST_EMBED;
        float **to = embeds ? &s->hidden : &s->logits;
        if (!(*to = calloc(embeds ? (size_t)e->f->dim : vocab, sizeof **to))) return -1;
    }
    return 0;
}

engine *engine_create(const engine_options *o, llama_error *err) {
    engine *e = calloc(1, sizeof *e);
    if (!e) return set_error(err, "no memory"), NULL;
    e->o = *o, e->f = llama_get_config(o->model);
    llama_options l = {.n_sequences = o->n_sequences,
                       .n_batch = PIECE + o->n_sequences,
                       .n_threads = o->n_threads,
                       .kv_type = o->kv_type,
                       .progress = o->progress,
                       .user = o->user};
    e->longest = l.n_ctx_sequence = o->n_ctx && o->n_ctx < e->f->seq_len ? o->n_ctx : e->f->seq_len;
    l.n_ctx = o->n_ctx ? o->n_ctx : choose_context(o, &l, e->longest);
    memset(e->wanted, 1, sizeof e->wanted);
    e->context = llama_context_create(o->model, &l, err);
    if (e->context && !allocate_slots(e)) return e;
    if (e->context) set_error(err, "no memory for %d sequences", o->n_sequences);
    engine_free(e);
    return NULL;
}

/* What belongs to the request and not to the place. */
static void clear_slot(slot *s) {
    for (int i = 0; s->answers && i < s->r.n_answers; i++) free(s->answers[i]);
    free(s->answers), free(s->lengths), free(s->logprobs), free(s->adjusted.marks);
    llama_sampler_free(s->sampler);
    json_out_free(&s->text), json_out_free(&s->scores);
    request_free(&s->r);
    s->answers = NULL, s->lengths = NULL, s->logprobs = NULL, s->adjusted.marks = NULL, s->sampler = NULL;
    s->used = s->share = 0, s->stopped = NULL, s->keeps = INT_MAX;
}

void engine_free(engine *e) {
    if (!e) return;
    for (int i = 0; e->slots && i < e->o.n_sequences; i++) {
        clear_slot(&e->slots[i]);
        free(e->slots[i].ids), free(e->slots[i].logits), free(e->slots[i].hidden);
    }
    free(e->slots), free(e->items), free(e->which), free(e->order), free(e->rows);
    llama_context_free(e->context);
    free(e);
}

int engine_busy(const engine *e) { return e->busy; }
engine_counts engine_count(const engine *e) { return e->counts; }
int engine_sequences(const engine *e) { return e->o.n_sequences; }
int engine_context_length(const engine *e) { return e->longest; }

double engine_part(const engine *e) {
    double sum = 0;
    for (int k = 0; k < e->busy; k++) {
        const slot *s = &e->slots[e->order[k]];
        const double part = s->needs ? (double)llama_length(e->context, e->order[k]) / s->needs : 0;
        if (s->answers) sum += s->answer > 0 ? (double)s->answer / s->r.n_answers : 0;
        else sum += part < 1 ? part : 1;
    }
    return sum;
}

/* ---- Results ---- */

static void begin_result(json_out *out, const char *id) { json_put(out, "{\"id\": %s", id ? id : "null"); }

void engine_error(json_out *out, const char *id, uint64_t line, const char *why) {
    begin_result(out, id);
    json_put(out, ", \"line\": %llu, \"error\": ", (unsigned long long)line);
    json_put_string(out, why, strlen(why));
    json_put(out, "}");
}

static void put_numbers(json_out *out, const float *x, int n) {
    for (int i = 0; i < n; i++) {
        json_put(out, i ? ", " : "[");
        json_put_number(out, x[i], 1);
    }
    json_put(out, n ? "]" : "[]");
}

/* Hands a result over, and the place to the next. Returns 0, the next one -1. */
static int finish(engine *e, slot *s, json_out *out, int failed) {
    const uint64_t line = s->r.line;
    if (out->failed) {
        json_out_free(out);
        engine_error(out, s->r.id, line, "no memory for the result"), failed = 1;
    }
    int at = 0;
    while (&e->slots[e->order[at]] != s) at++;
    memmove(e->order + at, e->order + at + 1, (size_t)(e->busy - at - 1) * sizeof *e->order);
    e->busy--;
    clear_slot(s);
    e->o.done(e->o.user, line, out, failed);
    json_out_free(out);
    return 0;
}

static int finish_with_error(engine *e, slot *s, const char *why) {
    json_out out = {NULL, 0, 0, 0};
    engine_error(&out, s->r.id, s->r.line, why);
    finish(e, s, &out, 1);
    return -1;
}

static int all_finite(const float *x, int n) {
    int good = 1;
    for (int i = 0; i < n; i++) good &= x[i] - x[i] == 0;
    return good;
}

static int finish_text(engine *e, slot *s) {
    json_out out = {NULL, 0, 0, 0};
    const int n = s->n - s->n_prompt;
    const char *text = s->text.text ? s->text.text : "";
    size_t size = tokenizer_whole(text, s->text.size);
    while (s->r.messages && size && isspace((unsigned char)*text)) text++, size--; /* a template's, as in a chat */
    while (s->r.messages && size && isspace((unsigned char)text[size - 1])) size--;
    if (s->text.failed || (s->logprobs && !all_finite(s->logprobs, n)))
        return finish_with_error(e, s, s->text.failed ? "no memory" : "the model's probabilities are not numbers");
    begin_result(&out, s->r.id);
    json_put(&out, ", \"text\": ");
    json_put_string(&out, text, size);
    json_put(&out, ", \"tokens\": %d, \"stopped\": \"%s\"", n, s->stopped);
    if (s->logprobs) json_put(&out, ", \"logprobs\": "), put_numbers(&out, s->logprobs, n);
    json_put(&out, "}");
    return finish(e, s, &out, 0);
}

static int finish_embedding(engine *e, slot *s) {
    json_out out = {NULL, 0, 0, 0};
    double length = 0;
    for (int d = 0; d < e->f->dim; d++) length += (double)s->hidden[d] * s->hidden[d];
    if (!(length > 0 && length - length == 0)) return finish_with_error(e, s, "the vector has no length");
    for (int d = 0; d < e->f->dim && !e->o.raw; d++) s->hidden[d] = (float)(s->hidden[d] / sqrt(length));
    begin_result(&out, s->r.id);
    json_put(&out, ", \"embedding\": ");
    put_numbers(&out, s->hidden, e->f->dim);
    json_put(&out, ", \"tokens\": %d}", s->n);
    return finish(e, s, &out, 0);
}

/* ---- A request enters ---- */

/* Ids of a text, malloc'ed, or NULL with a message. */
static int *encode_text(const engine *e, const char *text, size_t size, int flags, int *n, llama_error *err) {
    tokenizer_error why;
    size_t room = size / 2 + 16;
    for (;;) {
        int *ids = malloc(room * sizeof *ids);
        const ptrdiff_t got = ids ? tokenizer_encode(e->o.tokens, text, size, flags, ids, room, &why) : -1;
        if (got >= 0 && (size_t)got <= room) return *n = (int)got, ids;
        free(ids);
        if (got < 0) return set_error(err, "%s", ids ? why.text : "no memory"), NULL;
        room = (size_t)got;
    }
}

static int *encode_messages(const engine *e, const request *r, int *n, llama_error *err) {
    tokenizer_error why;
    int *ids = NULL;
    if (!tokenizer_get_form(e->o.tokens, e->o.template))
        return set_error(err, "the model has no chat template; --template NAME chats all the same"), NULL;
    ptrdiff_t got = tokenizer_encode_chat(e->o.tokens, e->o.template, r->messages, r->n_messages, 0, NULL, 0, &why);
    if (got >= 0) ids = malloc(((size_t)got + 1) * sizeof *ids);
    if (got >= 0 && ids)
        got = tokenizer_encode_chat(e->o.tokens, e->o.template, r->messages, r->n_messages, 0, ids, (size_t)got, &why);
    if (got >= 0 && ids) return *n = (int)got, ids;
    free(ids);
    return set_error(err, "%s", got < 0 ? why.text : "no memory"), NULL;
}

/* Prompt and answer as one text, cut where the prompt's ids end: so harnesses do it. White space at the prompt's end is
 * the answer's. */
static int *encode_pair(const engine *e, const request *r, const request_text *answer, int *n, llama_error *err) {
    const size_t size = r->prompt.size + answer->size;
    char *both = malloc(size + 1);
    if (!both) return set_error(err, "no memory"), NULL;
    if (r->prompt.size) memcpy(both, r->prompt.text, r->prompt.size);
    memcpy(both + r->prompt.size, answer->text, answer->size);
    int *ids = encode_text(e, both, size, TOKENIZER_BOS, n, err);
    free(both);
    return ids;
}

/* Behind messages: their ids, then the answer's. */
static int *encode_reply(const engine *e, const slot *s, const request_text *answer, int *n, llama_error *err) {
    int *ids = encode_text(e, answer->text, answer->size, TOKENIZER_CONTINUE, n, err);
    int *all = ids ? malloc(((size_t)s->n + (size_t)*n) * sizeof *all) : NULL;
    if (all) {
        memcpy(all, s->ids, (size_t)s->n * sizeof *all);
        memcpy(all + s->n, ids, (size_t)*n * sizeof *all);
        *n += s->n;
    } else if (ids) {
        set_error(err, "no memory");
    }
    free(ids);
    return all;
}

static const char *why_so_long(const engine *e) {
    return e->longest == e->f->seq_len ? "the model's most" : "as -c says";
}

/* Ids of the prompt that an answer leaves as they are. Where a piece of both makes the prompt another, its last page is
 * evaluated again, whole, so that no page is gone back into that others may share. */
static int kept_by(const slot *s, const int *own, int n) {
    const int first = s->n_prompt < n ? s->n_prompt : n - 1; /* the answer's first token */
    int common = 0;
    while (common < s->n_prompt && common < n && own[common] == s->ids[common]) common++;
    if (common == s->n_prompt && common < n) return common;
    return (common < first ? common : first - 1) / LLAMA_PAGE * LLAMA_PAGE;
}

static int prepare_answers(engine *e, slot *s, llama_error *err) {
    const int n = s->r.n_answers;
    s->answers = calloc((size_t)n, sizeof *s->answers), s->lengths = calloc((size_t)n, sizeof *s->lengths);
    if (!s->answers || !s->lengths) return set_error(err, "no memory");
    for (int i = 0; i < n; i++) {
        const request_text *a = &s->r.answers[i];
        s->answers[i] =
            s->r.messages ? encode_reply(e, s, a, &s->lengths[i], err) : encode_pair(e, &s->r, a, &s->lengths[i], err);
        if (!s->answers[i]) return -1;
        if (s->lengths[i] - 1 > s->needs) s->needs = s->lengths[i] - 1;
        const int kept = kept_by(s, s->answers[i], s->lengths[i]);
        if (kept < s->keeps) s->keeps = kept;
        if (s->needs > e->longest)
            return set_error(err, "prompt and \"answers\"[%d] have %d tokens, the context only %d, %s", i,
                             s->lengths[i], e->longest, why_so_long(e));
    }
    s->answer = -1;
    return 0;
}

/* Marks the tokens that have a breaker in them. */
static int mark_breakers(const engine *e, slot *s, llama_error *err) {
    static const request_text usual[] = {{"\n", 1}, {":", 1}, {"\"", 1}, {"*", 1}};
    const request_text *list = s->r.breakers ? s->r.breakers : usual;
    const int count = s->r.breakers ? s->r.n_breakers : 4, vocab = e->f->vocab_size;
    unsigned char *marks = s->adjusted.marks = calloc((size_t)vocab, 1);
    if (!marks) return set_error(err, "no memory");
    for (int id = 0; id < vocab; id++) {
        size_t size;
        const char *text = tokenizer_decode(e->o.tokens, id, id, &size);
        for (int i = 0; i < count; i++)
            for (size_t at = 0; at + list[i].size <= size; at++)
                if (!memcmp(text + at, list[i].text, list[i].size)) marks[id] = ADJUST_BREAKER;
    }
    return 0;
}

static int prepare_sampler(engine *e, slot *s, llama_error *err) {
    const request_settings *w = &s->r.settings;
    const int adjusts = w->dry_multiplier > 0 || w->xtc_probability > 0;
    s->adjusted = (adjustment){.dry_multiplier = w->dry_multiplier,
                               .dry_base = w->dry_base,
                               .dry_allowed = w->dry_allowed_length,
                               .dry_range = w->dry_range,
                               .xtc_probability = w->xtc_probability,
                               .xtc_threshold = w->xtc_threshold,
                               .min_p = w->min_p,
                               .state = mix_bits(s->r.seed)}; /* other numbers than the sampler's own */
    const llama_sampling how = {.temperature = (float)w->temperature,
                                .top_k = w->top_k,
                                .top_p = (float)w->top_p,
                                .min_p = (float)w->min_p,
                                .repeat_penalty = (float)w->repeat_penalty,
                                .repeat_window = w->repeat_window < e->longest ? w->repeat_window : e->longest,
                                .seed = s->r.seed,
                                .adjust = adjusts ? adjust_logits : NULL,
                                .user = &s->adjusted,
                                .top_n_sigma = (float)w->top_n_sigma};
    s->sampler = llama_sampler_create(e->o.model, &how, NULL, err);
    if (!s->sampler || (w->dry_multiplier > 0 && mark_breakers(e, s, err))) return -1;
    for (int i = 0; i < s->n; i++) llama_sampler_accept(s->sampler, s->ids[i]);
    const double all = (double)s->n + w->n - 1;
    s->needs = w->n > 1 && all < e->longest ? (int)all : w->n > 1 ? e->longest : s->n;
    const size_t most = (size_t)(s->needs - s->n) + 1;
    s->end_of_turn = s->r.messages ? tokenizer_end_of_turn(e->o.tokens, e->o.template) : -1;
    if (w->logprobs && !(s->logprobs = malloc(most * sizeof *s->logprobs))) return set_error(err, "no memory");
    int *ids = realloc(s->ids, ((size_t)s->n + most) * sizeof *ids);
    if (!ids) return set_error(err, "no memory");
    s->ids = ids;
    return 0;
}

/* All that can be wrong with a request, and all that it needs, before it has a sequence. */
static int prepare(engine *e, slot *s, llama_error *err) {
    const request *r = &s->r;
    size_t size = r->prompt.size;
    while (e->o.kind == REQUEST_SCORE && size && isspace((unsigned char)r->prompt.text[size - 1])) size--;
    s->ids = r->messages ? encode_messages(e, r, &s->n, err)
                         : encode_text(e, r->prompt.text, size, TOKENIZER_BOS, &s->n, err);
    if (!s->ids) return s->n = 0, -1;
    s->n_prompt = s->needs = s->n, s->same = s->keeps = INT_MAX;
    if (!s->n) return set_error(err, "the prompt is empty, and this tokenizer has no token that begins a text");
    if (s->n > e->longest)
        return set_error(err, "the prompt has %d tokens, the context only %d, %s", s->n, e->longest, why_so_long(e));
    if (e->o.kind == REQUEST_SCORE) return prepare_answers(e, s, err);
    return e->o.kind == REQUEST_TEXT ? prepare_sampler(e, s, err) : 0;
}

/* ---- Pages, and beginnings in common ---- */

static int pages_of(int positions) { return (positions + LLAMA_PAGE - 1) / LLAMA_PAGE; }

static int held(const engine *e, int i) { /* ids of a slot that its sequence holds */
    const int length = llama_length(e->context, i);
    return length < e->slots[i].same ? length : e->slots[i].same;
}

/* Whole pages of a prompt that n ids begin with; a token is left to evaluate, whose logits are wanted. */
static int common_pages(const slot *s, const int *ids, int n) {
    int k = 0;
    while (k < n && k < s->n_prompt - 1 && k < s->keeps && ids[k] == s->ids[k]) k++;
    return k / LLAMA_PAGE * LLAMA_PAGE;
}

/* Looks for a slot whose text begins as that of slot i, by a page more than its own sequence does. */
static void find_share(engine *e, int i) {
    slot *s = &e->slots[i];
    s->share = llama_length(e->context, i);
    for (int k = 0; k < e->o.n_sequences; k++) {
        const slot *other = &e->slots[k];
        const int all = other->used ? other->n : held(e, k), n = all < other->keeps ? all : other->keeps;
        const int common = k == i || !other->ids ? 0 : common_pages(s, other->ids, n);
        if (common > s->share) s->share = common, s->from = k;
    }
    if (s->share == llama_length(e->context, i)) s->share = 0;
}

/* Forks what slot i has in common with another, once that is evaluated. 1: it has to wait for it. */
static int waits_for_share(engine *e, int i) {
    slot *s = &e->slots[i], *other = &e->slots[s->from];
    if (!s->share) return 0;
    const int same =
        other->ids && other->n >= s->share && !memcmp(other->ids, s->ids, (size_t)s->share * sizeof *s->ids);
    const int comes = other->used && other->turn < s->turn && other->same >= s->share;
    if (same && comes && held(e, s->from) < s->share) return 1;
    if (same && held(e, s->from) >= s->share) {
        e->counts.shared += (uint64_t)(s->share - llama_length(e->context, i));
        llama_fork(e->context, i, s->from, s->share, NULL);
    }
    s->share = 0;
    return 0;
}

/* Pages that the slots in use may still take. */
static int pages_promised(const engine *e) {
    int sum = 0;
    for (int i = 0; i < e->busy; i++)
        sum += pages_of(e->slots[e->order[i]].needs) - pages_of(llama_length(e->context, e->order[i]));
    return sum;
}

/* Whether there is room for all in use. Sequences that are only kept are forgotten for that. */
static int has_room(engine *e) {
    const int promised = pages_promised(e);
    for (int i = 0; llama_free_pages(e->context) < promised && i < e->o.n_sequences; i++)
        if (!e->slots[i].used) llama_fork(e->context, i, i, 0, NULL);
    return llama_free_pages(e->context) >= promised;
}

/* Lets the one in that waits, if there is room. */
static void let_in(engine *e) {
    if (!e->waiting) return;
    waits_for_share(e, e->order[e->busy - 1]);
    e->waiting = !has_room(e);
}

int engine_take(engine *e, request *r) {
    int i = 0;
    if (e->waiting || e->busy == e->o.n_sequences) return 0;
    while (e->slots[i].used) i++;
    slot *s = &e->slots[i];
    int *old = s->ids, n_old = held(e, i);
    s->r = *r, s->used = 1, s->ids = NULL, s->turn = ++e->turn;
    e->order[e->busy++] = i;
    const int failed = prepare(e, s, &s->err);
    llama_fork(e->context, i, i, failed || e->o.kind == REQUEST_EMBED ? 0 : common_pages(s, old, n_old), NULL);
    free(old);
    if (failed) return finish_with_error(e, s, s->err.text), 1;
    e->counts.shared += (uint64_t)llama_length(e->context, i);
    if (e->o.kind != REQUEST_EMBED) find_share(e, i);
    e->waiting = 1;
    let_in(e);
    return 1;
}

/* ---- Scores ---- */

static void judge(const engine *e, slot *s, const float *logits, int token) {
    const int n = e->f->vocab_size;
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    s->logprob += llama_logprob(logits, n, token);
    s->greedy &= best == token;
    s->scored++;
}

static int finish_scores(engine *e, slot *s) {
    json_out out = {NULL, 0, 0, 0};
    if (s->scores.failed) return finish_with_error(e, s, "no memory");
    begin_result(&out, s->r.id);
    json_put(&out, ", \"scores\": [%s]}", s->scores.text);
    return finish(e, s, &out, 0);
}

static int put_score(engine *e, slot *s) {
    if (s->logprob - s->logprob != 0) return finish_with_error(e, s, "the model's probabilities are not numbers");
    json_put(&s->scores, "%s{\"logprob\": ", s->answer ? ", " : "");
    json_put_number(&s->scores, s->logprob, 1);
    json_put(&s->scores, ", \"tokens\": %d, \"greedy\": %s}", s->scored, s->greedy ? "true" : "false");
    return 0;
}

/* Goes back to the prompt, or as far as the answer leaves it. Its first token is judged by the logits that are there.
 * 1: there is something to be evaluated, 0: nothing, -1: it failed. */
static int begin_answer(engine *e, int i) {
    slot *s = &e->slots[i];
    const int *own = s->answers[s->answer], n = s->lengths[s->answer], first = s->n_prompt < n ? s->n_prompt : n - 1;
    if (first < 1) return finish_with_error(e, s, "an answer alone needs a token that begins a text");
    const int kept = kept_by(s, own, n);
    s->logprob = 0, s->greedy = 1, s->scored = 0, s->count_from = first;
    if (kept == s->n_prompt) judge(e, s, s->logits, own[s->count_from++]);
    if (kept < s->same) s->same = kept;
    llama_fork(e->context, i, i, s->same, NULL);
    return s->count_from < n;
}

/* The prompt, or an answer, is evaluated. */
static int end_answer(engine *e, int i) {
    slot *s = &e->slots[i];
    for (int more = 0; !more;) {
        if (s->answer >= 0 && put_score(e, s)) return -1;
        if (++s->answer == s->r.n_answers) return finish_scores(e, s);
        more = begin_answer(e, i);
    }
    return 0;
}

/* ---- A pass ---- */

/* What slot i evaluates next: tokens up to `end` of what ids it has then. */
static int end_of(const slot *s, const int **ids) {
    const int judges = s->answers && s->answer >= 0;
    *ids = judges ? s->answers[s->answer] : s->ids;
    return judges ? s->lengths[s->answer] - 1 : s->n;
}

/* Gives a slot its part of the pass, if there is any left. */
static void add_item(engine *e, int i) {
    slot *s = &e->slots[i];
    const int *ids, at = llama_length(e->context, i), end = end_of(s, &ids), drawn = s->n > s->n_prompt;
    const int judges = ids != s->ids, embeds = e->o.kind == REQUEST_EMBED;
    int n = end - at;
    if (!drawn && !embeds && n > e->piece) n = e->piece; /* a vector is of all tokens of one call */
    if (judges && n > e->n_rows) n = e->n_rows;
    if (n < 1 || (embeds && e->piece <= 0)) return;
    llama_item *it = &e->items[e->n_items];
    *it = (llama_item){.sequence = i, .n = n, .tokens = ids + at, .mean = !e->o.last};
    if (embeds) it->hidden = s->hidden;
    else if (judges)
        it->wanted = e->wanted, it->logits = e->rows + (size_t)(ROWS - e->n_rows) * (size_t)e->f->vocab_size;
    else if (at + n == end) it->logits = s->logits;
    e->which[e->n_items++] = i;
    if (judges) e->n_rows -= n;
    if (!drawn) e->piece -= n, e->counts.prompt += (uint64_t)n;
}

/* Texts that are being written first, then prompts in the order in which they came. */
static void plan(engine *e) {
    e->n_items = 0, e->piece = PIECE, e->n_rows = ROWS;
    for (int k = 0; k < e->busy; k++) {
        const slot *s = &e->slots[e->order[k]];
        if (s->n > s->n_prompt) add_item(e, e->order[k]);
    }
    for (int k = 0; k < e->busy - e->waiting; k++) {
        const slot *s = &e->slots[e->order[k]];
        if (s->n == s->n_prompt && !waits_for_share(e, e->order[k])) add_item(e, e->order[k]);
    }
}

/* What follows from an item's logits, for each slot alone: the next token, or an answer's score. */
static void use_logits(engine *e, const llama_item *it) {
    slot *s = &e->slots[it->sequence];
    const int *ids, length = llama_length(e->context, it->sequence), end = end_of(s, &ids);
    const int vocab = e->f->vocab_size;
    for (int k = 0; ids != s->ids && k < it->n; k++) {
        const int token = length - it->n + k + 1; /* which these logits are of */
        if (token >= s->count_from) judge(e, s, it->logits + (size_t)k * (size_t)vocab, ids[token]);
    }
    if (e->o.kind != REQUEST_TEXT || length < end) return;
    s->adjusted.tokens = s->ids, s->adjusted.n_tokens = s->n;
    s->next = llama_sample(s->sampler, s->logits, &s->err);
    if (s->logprobs && s->next >= 0) s->logprobs[s->n - s->n_prompt] = llama_logprob(s->logits, vocab, s->next);
}

/* Where the first stop text begins that ends behind `from`; the end if there is none. */
static size_t find_stop(const slot *s, size_t from) {
    size_t end = s->text.size;
    for (int i = 0; i < s->r.n_stops; i++) {
        const request_text *stop = &s->r.stops[i];
        for (size_t at = from < stop->size ? 0 : from - stop->size; at < end && at + stop->size <= s->text.size; at++)
            if (!memcmp(s->text.text + at, stop->text, stop->size)) end = at;
    }
    return end;
}

/* A token was drawn. */
static int go_on(engine *e, int i) {
    slot *s = &e->slots[i];
    const int id = s->next, previous = s->ids[s->n - 1];
    const size_t before = s->text.size;
    size_t size;
    if (id < 0) return finish_with_error(e, s, s->err.text);
    if (tokenizer_is_end(e->o.tokens, id) || id == s->end_of_turn || id == tokenizer_bos(e->o.tokens)) {
        s->stopped = "end";
        return finish_text(e, s);
    }
    s->ids[s->n++] = id;
    e->counts.drawn++;
    const char *bytes = tokenizer_decode(e->o.tokens, previous, id, &size);
    json_put_bytes(&s->text, bytes, size);
    const size_t end = s->text.failed ? 0 : find_stop(s, before);
    if (end < s->text.size) s->text.size = end, s->stopped = "stop";
    else if (s->n - s->n_prompt == s->r.settings.n) s->stopped = "length";
    else if (s->n > e->longest) s->stopped = "context";
    return s->stopped ? finish_text(e, s) : 0;
}

int engine_step(engine *e, llama_error *err) {
    let_in(e);
    plan(e);
    if (!e->n_items) return e->busy ? set_error(err, "no request can go on") : 0;
    if (llama_evaluate(e->context, e->items, e->n_items, err)) return -1;
    e->counts.passes++;
    const double logits = (double)e->n_items * e->f->vocab_size; /* to be looked at */
    (void)logits;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(llama_context_threads(e->context)) if (logits > LARGE)
#endif
    for (int k = 0; k < e->n_items; k++) use_logits(e, &e->items[k]);
    for (int k = 0; k < e->n_items; k++) {
        const int i = e->which[k];
        const int *ids, end = end_of(&e->slots[i], &ids);
        if (llama_length(e->context, i) < end) continue;
        if (e->o.kind == REQUEST_TEXT) go_on(e, i);
        else if (e->o.kind == REQUEST_SCORE) end_answer(e, i);
        else finish_embedding(e, &e->slots[i]);
    }
    return 0;
}
