/* Small readers of the guest's own text files and directories: without allocation and without stdio, which cost more than the rest of this program. */
#ifndef BANGER_LINES_H
#define BANGER_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* Calls for each line of the file, without its newline; lines beyond 4 KiB are skipped. Stops when the callback returns false. */
void each_line(const char *path, bool (*take)(char *line, void *state), void *state);

/* Cuts the text at the next separator and moves on behind it; an empty text at the end. */
char *next_field(char **text, char separator);

/* Reads a small file whole, NUL-terminated; the number of bytes, or -1. */
long read_text(const char *path, char *text, size_t capacity);

/* Calls for each entry but `.` and `..` of an open directory. Returns false when it cannot be read or the callback says so. */
bool each_entry(int directory, bool (*take)(const char *name, void *state), void *state);

/* A decimal number at *text, which moves behind it; 0 without one. */
unsigned long take_number(const char **text);

#endif
