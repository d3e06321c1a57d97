/* output.c - contract in output.h. */
#include "output.h"
#include "lines.h"
#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int output_cannot_write(const output *o, llama_error *err) {
    return set_error(err, "%.120s: cannot write: %s", o->path, errno ? strerror(errno) : "input or output error");
}

static int output_append(output *o, const char *path, llama_error *err) {
    *o = (output){fopen(path, "ab"), path};
    if (!o->file) return set_error(err, "%.120s: cannot open: %s", path, strerror(errno));
    if (file_is_special(o->file) || !file_lock(o->file)) return 0;
    fclose(o->file), o->file = NULL;
    return set_error(err, "%.120s: another program is writing it", path);
}

/* Whether a program is writing the file. Reading it gives a lock up, so this is asked before, and again by
 * output_append behind. */
static int output_is_free(const char *path, llama_error *err) {
    output o;
    char byte;
    if (file_start(path, &byte, 1) < 0) return 1; /* there is none */
    if (output_append(&o, path, err)) return 0;
    fclose(o.file);
    return 1;
}

int output_open(output *o, const char *path, llama_error *err) {
    char byte;
    *o = (output){stdout, "standard output"};
    if (!path) return 0;
    if (is_directory(path)) return set_error(err, "%.120s: is a directory", path);
    if (!is_special(path) && file_start(path, &byte, 1) > 0)
        return set_error(err, "%.120s: exists: remove it to start anew, or go on with it by --resume", path);
    return output_append(o, path, err);
}

int output_line(output *o, const char *text, size_t size, llama_error *err) {
    errno = 0;
    if (fwrite(text, 1, size, o->file) != size || putc('\n', o->file) == EOF || fflush(o->file))
        return output_cannot_write(o, err);
    return 0;
}

int output_close(output *o, llama_error *err) {
    errno = 0;
    const int bad = o->file == stdout ? fflush(stdout) : o->file ? fclose(o->file) : 0;
    o->file = NULL;
    return bad ? output_cannot_write(o, err) : 0;
}

/* ---- Going on ---- */

/* A line that ended in an error is known by its number: its id may be another's, or none. */
static void output_line_key(char key[32], uint64_t line) { snprintf(key, 32, "line %llu", (unsigned long long)line); }

/* Whose error it was, so that it is not taken for that of a line which has come in its place. */
static uint64_t output_id_hash(const char *id) {
    return id ? inside_hash(1, (const unsigned char *)id, strlen(id)) : 0;
}

static int output_mark(ids *done, const char *id, uint64_t number, int state, uint64_t value, llama_error *err) {
    ids_entry *e = ids_add(done, id);
    if (!e) return set_error(err, "no memory");
    if (e->line)
        return set_error(err, "line %llu has the id %.60s, as line %llu", (unsigned long long)number, id,
                         (unsigned long long)e->line);
    e->line = number, e->state = state, e->value = value;
    return 0;
}

/* What of a result tells by which options it came: a text's tokens, and the number of scores. */
static uint64_t output_value(const json_node *result, int *state) {
    const json_node *scores = json_get(result, "scores");
    uint64_t tokens = 0;
    *state = OUTPUT_RESULT;
    if (json_is(scores, JSON_ARRAY)) return scores->size;
    if (json_is_text(json_get(result, "stopped"), "length")) *state |= OUTPUT_LENGTH;
    if (json_get(result, "logprobs")) *state |= OUTPUT_LOGPROBS;
    return json_whole(json_get(result, "tokens"), &tokens) ? tokens : 0;
}

/* Whether a result can be that of a request. */
static int output_fits(const ids_entry *e, const request *r, request_kind kind, llama_error *err) {
    const unsigned long long value = e->value;
    const uint64_t n = (uint64_t)r->settings.n;
    if (kind == REQUEST_SCORE && value != (uint64_t)r->n_answers)
        return set_error(err, "line %llu has %d answers, its result %llu scores", (unsigned long long)r->line,
                         r->n_answers, value);
    if (kind != REQUEST_TEXT) return 0;
    if (value > n || (e->state & OUTPUT_LENGTH && value != n))
        return set_error(err, "line %llu is to have %d tokens%s, its result has %llu", (unsigned long long)r->line,
                         r->settings.n, value > n ? " at most" : "", value);
    if (!(e->state & OUTPUT_LOGPROBS) != !r->settings.logprobs)
        return set_error(err, "line %llu is to be with%s logprobs, its result is not", (unsigned long long)r->line,
                         r->settings.logprobs ? "" : "out");
    return 0;
}

/* A whole line of the file: an error's, or a result as this kind of run writes it. Sets *failed. */
static int output_read_line(const one_line *line, uint64_t number, const request_rules *rules, ids *done, int *failed,
                            llama_error *err) {
    static const char *const members[][2] = {{"text", "stopped"}, {"embedding", "tokens"}, {"scores", "scores"}};
    const char *const *must = members[rules->kind];
    json_text j = {NULL, 0, NULL};
    llama_error why;
    uint64_t at;
    char *id = NULL, key[32];
    int result = -1, state;
    if (line->text && !json_parse(&j, line->text, line->size, "line", &why) && j.nodes->type == JSON_OBJECT) {
        const json_node *from = json_get(j.nodes, "line");
        *failed = json_is(json_get(j.nodes, "error"), JSON_STRING) && from && json_whole(from, &at) && at;
        if (*failed) {
            output_line_key(key, at);
            id = request_id(j.nodes, 0, &why);
            result = output_mark(done, key, number, OUTPUT_ERROR, output_id_hash(id), err);
        } else if (json_get(j.nodes, "id") && json_get(j.nodes, must[0]) && json_get(j.nodes, must[1]) &&
                   (id = request_id(j.nodes, 0, &why))) {
            at = output_value(j.nodes, &state);
            result = output_mark(done, id, number, state, at, err);
        } else {
            set_error(err, "line %llu is no result of such a run", (unsigned long long)number);
        }
    } else {
        set_error(err, "line %llu is no result", (unsigned long long)number);
    }
    free(id), json_free(&j);
    return result;
}

/* A part of a line of ours, or so little of one that nothing is lost. */
static int output_is_part(const one_line *line) {
    static const char begin[] = "{\"id\": ";
    const size_t n = line->size < sizeof begin - 1 ? line->size : sizeof begin - 1;
    return !line->text || !memcmp(line->text, begin, n);
}

/* Reads what is done; writes to `kept`, if it is not NULL, what is to stay. *changes: that is less than there is. */
static int output_read(const char *path, const request_rules *rules, int retry, ids *done, FILE *kept, int *changes,
                       llama_error *err) {
    lines l;
    one_line line;
    llama_error why = {0, ""};
    int got, failed, result = 0;
    *changes = 0;
    if (lines_open(&l, path, err)) return -1;
    while (!result && (got = lines_next(&l, &line, 1, &why)) == 1) {
        if (!line.whole) {
            *changes = 1;
            if (!output_is_part(&line)) result = set_error(&why, "its last line is no part of a result");
            continue;
        }
        result = output_read_line(&line, l.number, rules, done, &failed, &why);
        if (!result && failed && retry) *changes = 1;
        else if (!result && kept) fwrite(line.text, 1, line.size, kept), putc('\n', kept);
    }
    lines_close(&l);
    if (result || got < 0) return set_error(err, "%.80s: not of this run, and left alone: %.150s", path, why.text);
    return 0;
}

int resumed_has(const resumed *r, const char *id, uint64_t line) {
    char key[32];
    output_line_key(key, line);
    const ids_entry *e = ids_find(&r->done, key);
    if (!e && id) e = ids_find(&r->done, id);
    return e && (e->state & OUTPUT_RESULT || !r->retry);
}

/* A line of the input: what of it is done. The first of an id is meant by a result. */
static int output_look(const one_line *line, uint64_t number, const request_rules *rules, resumed *r,
                       llama_error *err) {
    char key[32];
    request asked = {.line = number};
    llama_error why = {0, "too long"};
    const int bad = line->text ? request_parse(&asked, line->text, line->size, number, rules, &why) : -1;
    int result = 0;
    output_line_key(key, number);
    ids_entry *e = ids_find(&r->done, key), *by_id = asked.id ? ids_find(&r->done, asked.id) : NULL;
    if (e) e->state |= OUTPUT_SEEN, r->failed += !r->retry;
    if (by_id && !e && by_id->state & OUTPUT_SEEN) by_id = NULL;
    if (by_id) by_id->state |= OUTPUT_SEEN;
    if (e && e->value != output_id_hash(asked.id) && (by_id || !r->retry))
        result = set_error(err, "line %llu is not the one that was an error", (unsigned long long)number);
    else if (by_id && bad)
        result = set_error(err, "line %llu has a result, but: %.150s", (unsigned long long)number, why.text);
    else if (by_id) result = output_fits(by_id, &asked, rules->kind, err);
    r->lines++, r->left += (uint64_t)(e ? r->retry : !by_id);
    request_free(&asked);
    return result;
}

/* Whether all that is done is the input's. */
static int output_compare(const char *path, const char *input, const request_rules *rules, resumed *r,
                          llama_error *err) {
    lines l;
    one_line line;
    llama_error why;
    int got, result = 0;
    if (lines_open(&l, input, err)) return -1;
    while (!result && (got = lines_next(&l, &line, 1, err)) == 1)
        if (!line_is_blank(&line)) result = output_look(&line, l.number, rules, r, &why);
    lines_close(&l);
    if (result) return set_error(err, "%.80s: not of this run, and left alone: %.150s", path, why.text);
    if (got) return -1;
    for (size_t i = 0; i < r->done.capacity; i++) {
        const ids_entry *e = &r->done.entries[i];
        if (e->line && !(e->state & OUTPUT_SEEN))
            return set_error(err, "%.80s: not of this run, and left alone: %.60s is not in %.80s", path,
                             r->done.text + e->at, input);
    }
    return 0;
}

/* What stays of the file becomes the file. */
static int output_rewrite(const char *path, const request_rules *rules, int retry, llama_error *err) {
    replacement part;
    ids again = {NULL, 0, 0, NULL, 0, 0};
    int changes;
    if (replacement_open(&part, path, err)) return -1;
    int result = output_read(path, rules, retry, &again, part.file, &changes, err);
    if (!result && ferror(part.file)) result = set_error(err, "%.120s: cannot write what stays of it", path);
    ids_free(&again);
    if (result) return replacement_drop(&part), result;
    return replacement_end(&part, err);
}

int output_resume(output *o, const char *path, const char *input, const request_rules *rules, int retry, resumed *r,
                  llama_error *err) {
    char byte;
    int changes = 0;
    *r = (resumed){.retry = retry};
    if (is_special(path)) return set_error(err, "%.120s: not a file that can be gone on with", path);
    if (!output_is_free(path, err)) return -1;
    if (file_start(path, &byte, 1) >= 0 && output_read(path, rules, retry, &r->done, NULL, &changes, err)) return -1;
    if (output_compare(path, input, rules, r, err)) return -1;
    if (changes && output_rewrite(path, rules, retry, err)) return -1;
    return output_append(o, path, err);
}

void resumed_free(resumed *r) { ids_free(&r->done); }
