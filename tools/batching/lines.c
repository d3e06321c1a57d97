/* lines.c - contract in lines.h. */
#if defined(__unix__) || defined(__APPLE__)
#define LINES_POSIX 1
#define _POSIX_C_SOURCE 200809L /* fileno, isatty, poll, read */
#endif

#include "lines.h"
#include "../shared/messages.h"
#include "../shared/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef LINES_POSIX
#include <poll.h>
#include <unistd.h>
#elif defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

enum { LINES_FIRST = 1 << 16 };

int lines_open(lines *l, const char *path, llama_error *err) {
    *l = (lines){.file = path ? fopen(path, "rb") : stdin, .path = path ? path : "standard input"};
    if (!l->file) return set_error(err, "%.120s: cannot open: %s", l->path, strerror(errno));
#ifdef _WIN32
    _setmode(_fileno(l->file), _O_BINARY);
#endif
    l->buffer = malloc(l->capacity = LINES_FIRST);
    if (l->buffer) return 0;
    lines_close(l);
    return set_error(err, "%.120s: no memory", path ? path : "standard input");
}

int lines_are_typed(const lines *l) {
#ifdef LINES_POSIX
    return isatty(fileno(l->file));
#else
    return (void)l, 0;
#endif
}

void lines_close(lines *l) {
    if (l->file && l->file != stdin) fclose(l->file);
    free(l->buffer);
    *l = (lines){.file = NULL};
}

int line_is_blank(const one_line *line) {
    size_t i = 0;
    while (i < line->size && strchr(" \t\r", line->text[i]) && line->text[i]) i++;
    return line->text && i == line->size;
}

/* Reads what there is, at least a byte, into n bytes of room. 0: the end; -1: it failed; -2: nothing yet. */
static ptrdiff_t lines_read(lines *l, char *out, size_t n, int wait) {
#ifdef LINES_POSIX
    /* poll is not taken up again after a signal, as read would be */
    struct pollfd p = {.fd = fileno(l->file), .events = POLLIN};
    const int ready = poll(&p, 1, wait ? -1 : 0);
    if (ready <= 0) return ready == 0 || errno == EINTR ? -2 : -1;
    return read(p.fd, out, n);
#else
    (void)wait;
    const size_t got = fread(out, 1, n, l->file);
    return got || !ferror(l->file) ? (ptrdiff_t)got : -1;
#endif
}

/* Makes room behind what is there; a line that has become too long is left out. */
static int lines_room(lines *l, llama_error *err) {
    if (l->begin) memmove(l->buffer, l->buffer + l->begin, l->size);
    l->begin = 0;
    if (l->size > LINES_LONGEST) l->skipping = 1;
    if (l->skipping) l->offset += l->size, l->size = l->searched = 0;
    if (l->size < l->capacity) return 0;
    const size_t capacity = 2 * l->capacity + LINES_FIRST;
    char *more = realloc(l->buffer, capacity);
    if (!more) return set_error(err, "%.120s: no memory for a line", l->path);
    l->buffer = more, l->capacity = capacity;
    return 0;
}

/* Gives the first n bytes as a line, of which `end` more are its end. */
static int lines_give(lines *l, one_line *line, size_t n, size_t end) {
    const int fits = !l->skipping && n <= LINES_LONGEST;
    *line = (one_line){fits ? l->buffer + l->begin : NULL, fits ? n : 0, end > 0};
    if (!l->number && line->size >= 3 && !memcmp(line->text, "\xEF\xBB\xBF", 3)) line->text += 3, line->size -= 3;
    l->begin += n + end, l->size -= n + end, l->offset += n + end, l->searched = 0;
    l->skipping = 0;
    l->number++;
    return 1;
}

int lines_next(lines *l, one_line *line, int wait, llama_error *err) {
    for (;;) {
        char *from = l->buffer + l->begin;
        const char *end = memchr(from + l->searched, '\n', l->size - l->searched);
        if (end) return lines_give(l, line, (size_t)(end - from), 1);
        l->searched = l->size;
        if (l->ended) return l->size || l->skipping ? lines_give(l, line, l->size, 0) : 0;
        if (lines_room(l, err)) return -1;
        const ptrdiff_t got = lines_read(l, l->buffer + l->size, l->capacity - l->size, wait);
        if (got == -2 && wait && !interrupted) continue;
        if (got == -2) return 2;
        if (got < 0) return set_error(err, "%.120s: cannot read: %s", l->path, strerror(errno));
        l->ended = got == 0;
        l->size += (size_t)got;
    }
}
