/* Small files and numbers as text: what /proc, /sys and the configuration are made of. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The file's content without the last newline. -> its length; -1 with errno. */
ssize_t text_read(const char *path, char *text, size_t size);

/* -> 0; -1 with errno. */
int text_write(const char *path, const char *text);

/* A whole decimal (or octal, …) number without sign, at most `most`. */
bool text_number(const char *text, int base, unsigned long long most, unsigned long long *number);

/* All of it, however often a write takes a part. -> 0; -1 with errno. */
int write_all(int fd, const void *bytes, size_t size);
