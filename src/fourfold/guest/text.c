#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t text_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t count = -1;

    if (fd < 0)
        return -1;
    while (length < size - 1 && (count = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)count;
    int error = errno;
    close(fd);
    errno = error;
    if (count < 0)
        return -1;
    if (length && text[length - 1] == '\n')
        length--;
    text[length] = 0;
    return (ssize_t)length;
}

int text_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    int result = write_all(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

bool text_number(const char *text, int base, unsigned long long most, unsigned long long *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false; /* strtoull takes blanks and signs */
    errno = 0;
    *number = strtoull(text, &end, base);
    return !errno && !*end && *number <= most;
}

int write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size) {
        ssize_t count = write(fd, at, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        at += count;
        size -= (size_t)count;
    }
    return 0;
}
