/* files.c - contract in files.h. */
#if defined(__unix__) || defined(__APPLE__)
#define FILES_POSIX 1
#define _POSIX_C_SOURCE 200809L /* fseeko, stat, fstat, fsync, fileno, fcntl */
#define _FILE_OFFSET_BITS 64    /* and with 64 bits on a 32-bit system */
#endif

#include "files.h"
#include "inside.h"
#include "messages.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#ifdef FILES_POSIX
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#elif defined(__MINGW32__)
#include <direct.h>
#include <dirent.h>
#endif

/* ---- Reading ---- */

#if defined(_WIN32)
#define FILE_SEEK(file, offset, from) _fseeki64(file, (__int64)(offset), from)
#define FILE_TELL(file) _ftelli64(file)
#elif defined(FILES_POSIX)
#define FILE_SEEK(file, offset, from) fseeko(file, (off_t)(offset), from)
#define FILE_TELL(file) ftello(file)
#else
#define FILE_SEEK(file, offset, from) ((offset) > LONG_MAX ? -1 : fseek(file, (long)(offset), from))
#define FILE_TELL(file) ftell(file)
#endif

int file_read_at(FILE *file, uint64_t offset, void *out, size_t size) {
    if (offset > INT64_MAX || FILE_SEEK(file, offset, SEEK_SET)) return -1;
    return fread(out, 1, size, file) == size ? 0 : -1;
}

int file_size(FILE *file, uint64_t *size) {
    if (FILE_SEEK(file, 0, SEEK_END)) return -1;
    const int64_t end = (int64_t)FILE_TELL(file);
    if (end < 0 || end == INT64_MAX) return -1; /* a pipe; a directory */
    *size = (uint64_t)end;
    return 0;
}

char *file_read(const char *path, size_t limit, size_t *size, llama_error *err) {
    uint64_t bytes = 0;
    char *data = NULL;
    FILE *file = fopen(path, "rb");
    if (!file) return set_error(err, "%.120s: cannot open: %s", path, strerror(errno)), NULL;
    if (file_size(file, &bytes)) {
        set_error(err, "%.120s: not a file", path);
    } else if (bytes > limit) {
        set_error(err, "%.120s: %llu bytes, more than %zu", path, (unsigned long long)bytes, limit);
    } else if (!(data = malloc((size_t)bytes + 1))) {
        set_error(err, "%.120s: no memory for %llu bytes", path, (unsigned long long)bytes);
    } else if (file_read_at(file, 0, data, (size_t)bytes)) {
        set_error(err, "%.120s: cannot read: %s", path, strerror(errno));
        free(data);
        data = NULL;
    } else {
        *size = (size_t)bytes;
        data[*size] = 0;
    }
    fclose(file);
    return data;
}

int file_start(const char *path, void *out, int size) {
    FILE *file = fopen(path, "rb");
    if (!file) return -1;
    const int n = (int)fread(out, 1, (size_t)size, file);
    fclose(file);
    return n;
}

/* ---- Names ---- */

char *path_join(const char *directory, const char *name, llama_error *err) {
    const size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s", directory, name);
    else set_error(err, "%.120s: no memory", directory);
    return path;
}

int file_is_in(const char *directory, const char *name) {
    char *path = path_join(directory, name, NULL);
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (file) fclose(file);
    free(path);
    return file != NULL;
}

const char *foreign_ending(const char *path) {
    static const char *const endings[] = {".gguf", ".ggml", ".bin",   ".safetensors", ".pt",
                                          ".pth",  ".onnx", ".model", ".json"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcmp(dot, endings[i])) return dot;
    return NULL;
}

void llama_name(const char *path, char *name, size_t size) {
    size_t end = strlen(path), begin;
    while (end && path[end - 1] == '/') end--;
    for (begin = end; begin && path[begin - 1] != '/';) begin--;
    const char *ending = path[end] ? NULL : foreign_ending(path + begin);
    if (ending) end = (size_t)(ending - path);
    if (begin == end || path[begin] == '.') snprintf(name, size, "model.llama"); /* . and .. are no names */
    else snprintf(name, size, "%.*s.llama", (int)(end - begin < 200 ? end - begin : 200), path + begin);
}

int is_directory(const char *path) {
#ifdef FILES_POSIX
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
#else
    return file_is_in(path, "config.json");
#endif
}

int is_special(const char *path) {
#ifdef FILES_POSIX
    struct stat s;
    return !stat(path, &s) && !S_ISREG(s.st_mode);
#else
    return (void)path, 0;
#endif
}

int file_is_special(FILE *file) {
#ifdef FILES_POSIX
    struct stat s;
    return !fstat(fileno(file), &s) && !S_ISREG(s.st_mode);
#else
    return (void)file, 0;
#endif
}

/* ---- Writing ---- */

int file_lock(FILE *file) {
#ifdef FILES_POSIX
    struct flock whole;
    memset(&whole, 0, sizeof whole);
    whole.l_type = F_WRLCK, whole.l_whence = SEEK_SET;
    return fcntl(fileno(file), F_SETLK, &whole) && (errno == EACCES || errno == EAGAIN) ? -1 : 0;
#else
    return (void)file, 0;
#endif
}

int file_may_be_replaced(const char *path) {
    char start[8];
    if (is_special(path)) return 0;
    const int n = file_start(path, start, sizeof start);
    return n <= 0 || (n == sizeof start && !memcmp(start, inside_magic(), sizeof start));
}

int replacement_open(replacement *r, const char *path, llama_error *err) {
    const size_t size = strlen(path) + sizeof ".part";
    r->path = path;
    r->part = malloc(size);
    if (!r->part) return set_error(err, "%.120s: no memory", path);
    snprintf(r->part, size, "%s.part", path);
    r->file = fopen(r->part, "wb");
    if (r->file) return 0;
    set_error(err, "%.120s: cannot open: %s", path, strerror(errno));
    free(r->part);
    return -1;
}

void replacement_drop(replacement *r) {
    if (r->file) fclose(r->file);
    remove(r->part);
    free(r->part);
}

static int flush_to_disk(FILE *file) {
    if (fflush(file)) return -1;
#ifdef FILES_POSIX
    if (fsync(fileno(file)) && errno != EINVAL && errno != ENOTSUP) return -1; /* a device has nothing to wait for */
#endif
    return 0;
}

int replacement_close(replacement *r, llama_error *err) {
    int result = flush_to_disk(r->file) ? set_error(err, "%.120s: cannot write: %s", r->path, strerror(errno)) : 0;
    if (fclose(r->file) && !result) result = set_error(err, "%.120s: cannot write: %s", r->path, strerror(errno));
    r->file = NULL;
    return result;
}

int replacement_end(replacement *r, llama_error *err) {
    int result = r->file ? replacement_close(r, err) : 0;
#ifdef _WIN32
    if (!result) remove(r->path); /* there rename does not replace */
#endif
    if (!result && rename(r->part, r->path))
        result = set_error(err, "%.120s: cannot rename %.60s: %s", r->path, r->part, strerror(errno));
    if (result) return replacement_drop(r), result;
    free(r->part);
    return 0;
}

/* ---- Directories ---- */

int directory_make(const char *path, llama_error *err) {
#if defined(FILES_POSIX)
    const int result = mkdir(path, 0777);
#elif defined(__MINGW32__)
    const int result = _mkdir(path);
#else
    const int result = (errno = ENOSYS, -1);
#endif
    return result ? set_error(err, "%.120s: cannot make this directory: %s", path, strerror(errno)) : 0;
}

void directory_remove(const char *path) {
#if defined(FILES_POSIX)
    rmdir(path);
#elif defined(__MINGW32__)
    _rmdir(path);
#else
    (void)path;
#endif
}

int directory_each(const char *path, int (*visit)(void *user, const char *name), void *user, llama_error *err) {
    int result = 0;
#if defined(FILES_POSIX) || defined(__MINGW32__)
    DIR *d = opendir(path);
    if (!d) return set_error(err, "%.120s: cannot read this directory: %s", path, strerror(errno));
    for (struct dirent *e; !result && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) result = visit(user, e->d_name);
    closedir(d);
#else
    result = ((void)visit, (void)user, set_error(err, "%.120s: directories cannot be read here", path));
#endif
    return result;
}
