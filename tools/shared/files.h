/* files.h - whole files, files beyond 2 GB, and files that replace others. */
#ifndef FILES_H
#define FILES_H

#include "../../llama.h"

#include <stdio.h>

/* size bytes of an open file from byte offset on; files may be larger than a long can count. 0, or -1. */
int file_read_at(FILE *file, uint64_t offset, void *out, size_t size);
int file_size(FILE *file, uint64_t *size); /* 0, or -1 */

/* A whole file of at most limit bytes and a zero after them, malloc'ed; NULL with a message. */
char *file_read(const char *path, size_t limit, size_t *size, llama_error *err);

/* The first bytes of a file, which tell what it is: how many there are, size at most; -1 with errno if it cannot be
 * opened. */
int file_start(const char *path, void *out, int size);

/* ---- Names ---- */

/* directory/name, malloc'ed; NULL with a message. */
char *path_join(const char *directory, const char *name, llama_error *err);
int file_is_in(const char *directory, const char *name);

/* The ending of a name that promises another format than .llama, ".gguf" say; NULL if it does not. */
const char *foreign_ending(const char *path);

/* What a .llama file made of what is at path may be called: its last name, without such an ending. */
void llama_name(const char *path, char *name, size_t size);

int is_directory(const char *path); /* without POSIX: one that holds config.json */
int is_special(const char *path);   /* a directory, a device, a pipe: not to be replaced by a file */
int file_is_special(FILE *file);    /* the same of an open one */

/* ---- Writing ---- */

/* Locks a file that is open for writing against other programs that ask, until this one closes it, or another FILE
 * of it. 0, also where there are no locks; -1: another has it. */
int file_lock(FILE *file);

/* 1 if nothing is lost: there is no file, or an empty one, or a .llama file, which a program here could have written.
 * So a slip does not cost a text, or an input whose name is the same. */
int file_may_be_replaced(const char *path);

/* What is written goes to path.part and takes the place of the file at path once all of it is on the disk: whatever
 * fails, what was at path stays, and nothing else is left. */
typedef struct {
    FILE *file; /* to write to */
    const char *path;
    char *part;
} replacement;

int replacement_open(replacement *r, const char *path, llama_error *err); /* 0, or -1: then there is nothing to end */
/* Puts all of it on the disk, still as path.part, and closes it: for those who write several, to end all of them at
 * once. 0, or -1; then as after 0 there is replacement_end or replacement_drop to call. */
int replacement_close(replacement *r, llama_error *err);
int replacement_end(replacement *r, llama_error *err); /* 0, or -1; r is gone either way */
void replacement_drop(replacement *r);                 /* instead: the file at path stays */

/* ---- Directories; without POSIX or MinGW there are none to be made ---- */

int directory_make(const char *path, llama_error *err); /* 0, or -1 */
void directory_remove(const char *path);                /* an empty one */

/* Calls visit for each name in it, without . and .., until that is not 0, which is returned; -1, with a message, if it
 * cannot be read. */
int directory_each(const char *path, int (*visit)(void *user, const char *name), void *user, llama_error *err);

#endif
