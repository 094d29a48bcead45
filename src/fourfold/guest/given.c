#include "given.h"

#include "report.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SMBIOS (DMTF DSP0134), type 11 "OEM Strings": a header whose second byte is its length, then strings, each ended by
   a NUL, and an empty one. Only root reads them. */
#define FOLDER "/sys/firmware/dmi/entries"
static const char OURS[] = "fourfold:";
enum { MOST = 65536 };

static char table[MOST + 1];

static size_t read_table(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 0;

    if (fd < 0)
        return 0;
    for (ssize_t count; size < MOST && (count = read(fd, table + size, MOST - size)) > 0;)
        size += (size_t)count;
    close(fd);
    table[size] = 0;
    return size;
}

static void add(struct entries *entries, const char *entry)
{
    size_t length = strlen(entry) + 1;
    char *text = realloc(entries->text, entries->size + length);

    if (!text)
        fail("no memory for what the machine is given");
    memcpy(text + entries->size, entry, length);
    *entries = (struct entries){text, entries->size + length};
}

struct entries given_read(void)
{
    struct entries found = {NULL, 0};
    DIR *tables = opendir(FOLDER);

    if (!tables)
        return found; /* a machine without SMBIOS */
    for (struct dirent *entry; (entry = readdir(tables));) {
        char path[320];
        snprintf(path, sizeof path, FOLDER "/%s/raw", entry->d_name);
        if (strncmp(entry->d_name, "11-", 3) != 0)
            continue;
        size_t size = read_table(path);
        for (size_t at = (unsigned char)table[1]; at < size && table[at]; at += strlen(table + at) + 1)
            if (!strncmp(table + at, OURS, strlen(OURS)))
                add(&found, table + at + strlen(OURS));
    }
    closedir(tables);
    explicit_bzero(table, sizeof table);
    return found;
}
