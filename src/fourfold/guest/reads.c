#include "reads.h"

#include "text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, MOST_PATH = 4096, AT_ONCE = 16 * PAGE, WINDOW = 16384 };
static const off_t MOST_SIZE = (off_t)4 << 30;

static int open_file(const char *path, struct stat *about)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0 && (fstat(fd, about) < 0 || !S_ISREG(about->st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void print(const char *path, size_t first, size_t count)
{
    char text[MOST_PATH + 64];
    int size = snprintf(text, sizeof text, "read=%zu:%zu:%s", first, count, path);

    if (write_all(STDOUT_FILENO, text, (size_t)size + 1) < 0)
        _exit(1); /* nobody listens any more */
}

/* One so large that the service may have made it, without a byte in it, is none that a template could read. */
static void look(const char *path)
{
    static unsigned char there[WINDOW];
    struct stat about;
    int fd = open_file(path, &about);
    size_t pages = fd < 0 || about.st_size > MOST_SIZE ? 0 : ((size_t)about.st_size + PAGE - 1) / PAGE;
    unsigned char *mapped = pages ? mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    for (size_t begin = 0; mapped != MAP_FAILED && begin < pages; begin += WINDOW) {
        size_t count = pages - begin < WINDOW ? pages - begin : WINDOW;
        if (mincore(mapped + begin * PAGE, count * PAGE, there) < 0)
            break;
        for (size_t at = 0, first; at < count; at++) {
            for (first = at; at < count && there[at] & 1;)
                at++;
            if (at > first)
                print(path, begin + first, at - first);
        }
    }
    if (mapped != MAP_FAILED)
        munmap(mapped, pages * PAGE);
    if (fd >= 0)
        close(fd);
}

/* `path` has room for MOST_PATH bytes. What else is mounted, all folders of it have another device. */
static void walk(char *path, dev_t root)
{
    struct stat about;
    size_t length = strlen(path);
    DIR *folder = lstat(length ? path : "/", &about) == 0 && about.st_dev == root ? opendir(length ? path : "/") : NULL;

    if (!folder)
        return;
    for (struct dirent *each; (each = readdir(folder));) {
        if (!strcmp(each->d_name, ".") || !strcmp(each->d_name, "..") ||
            length + strlen(each->d_name) + 2 > MOST_PATH)
            continue;
        sprintf(path + length, "/%s", each->d_name);
        if (each->d_type == DT_DIR)
            walk(path, root);
        else if (each->d_type == DT_REG)
            look(path);
    }
    path[length] = 0;
    closedir(folder);
}

_Noreturn void reads_main(void)
{
    char path[MOST_PATH] = "";
    struct stat root;

    if (nice(19) < 0 || stat("/", &root) < 0) /* the service is not to wait for this */
        _exit(1);
    walk(path, root.st_dev);
    _exit(0);
}

static void take(const char *path, unsigned long long first, unsigned long long count)
{
    static char read[AT_ONCE];
    struct stat about;
    int fd = open_file(path, &about);
    off_t at = (off_t)first * PAGE, end = at + (off_t)count * PAGE;

    if (fd < 0)
        return; /* of another release, or written by the service */
    for (ssize_t got; at < end; at += got) {
        size_t wanted = end - at < AT_ONCE ? (size_t)(end - at) : AT_ONCE;
        if ((got = pread(fd, read, wanted, at)) <= 0)
            break;
    }
    close(fd);
}

void reads_take(const struct entries *entries)
{
    for (const char *value = NULL; (value = entries_next(entries, "read", value));) {
        char *rest;
        unsigned long long first = strtoull(value, &rest, 10), count = *rest == ':' ? strtoull(rest + 1, &rest, 10) : 0;
        if (*rest == ':' && first < 1ull << 40 && count < 1ull << 40)
            take(rest + 1, first, count);
    }
}
