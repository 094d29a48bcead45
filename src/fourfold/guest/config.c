#include "config.h"

#include "disks.h"
#include "given.h"
#include "reads.h"
#include "report.h"
#include "say.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK = 4096, /* a multiple of every disk's sector: O_DIRECT wants that of place, size and memory */
    HEADER = 28,
    DIGITS = 10,
    MOST = 16 << 20,
};
static const char MAGIC[] = "FOURFOLD GUEST 1 ";

static int fd = -1;
static struct entries entries;
static _Alignas(BLOCK) char first[BLOCK]; /* of the disk, as it was read last */

const struct entries *config(void)
{
    return &entries;
}

unsigned long long config_number(const char *key, unsigned long long otherwise)
{
    const char *text = entries_get(&entries, key);
    unsigned long long number;

    if (!text)
        return otherwise;
    if (!text_number(text, 10, (unsigned long long)1 << 62, &number))
        fail("configuration: %s=%s is not a number", key, text);
    return number;
}

/* O_DIRECT: what a restored machine has in its caches is the disk of another. */
static void open_disk(void)
{
    char device[64];

    if (fd >= 0)
        return;
    if (!disk_find("fourfold-config", device, sizeof device))
        fail("no disk fourfold-config");
    fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        fail("cannot open fourfold-config (%s): %s", device, strerror(errno));
}

static ssize_t read_block(void *block, size_t size, off_t place)
{
    ssize_t count;

    do
        count = pread(fd, block, size, place);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        fail("cannot read fourfold-config: %s", strerror(errno));
    return count;
}

static bool written(const char *block)
{
    for (size_t i = 0; i < HEADER; i++)
        if (block[i])
            return true;
    return false;
}

static void say_unknown(void)
{
    static const char *const known[] = {
        "hostname", "mac", "address", "gateway", "mtu", "dhcp", "time", "seed", "argv", "env", "cwd", "uid", "gid",
        "groups", "file", "share", "tmp", "pids", "memory", "descriptors", "stop", "grace", "init", "idle",
        "wait", "read",
    };

    for (const char *at = entries.text; at < entries.text + entries.size; at += strlen(at) + 1) {
        size_t length = strcspn(at, "="), i = 0, count = sizeof known / sizeof *known;
        while (i < count && (strlen(known[i]) != length || strncmp(known[i], at, length) != 0))
            i++;
        if (i == count)
            say("configuration: %.*s means nothing to me", (int)length, at);
    }
}

/* Takes the entries from the disk whose first block is in `first`, behind those that win over them. */
static void take(void)
{
    char digits[DIGITS + 1];
    unsigned long long size;

    memcpy(digits, first + HEADER - 1 - DIGITS, DIGITS);
    digits[DIGITS] = 0;
    if (memcmp(first, MAGIC, strlen(MAGIC)) != 0 || first[HEADER - 1] != '\n' ||
        !text_number(digits, 10, MOST, &size))
        fail("fourfold-config begins with something else");
    size_t whole = (HEADER + (size_t)size + BLOCK - 1) / BLOCK * BLOCK;
    char *disk = aligned_alloc(BLOCK, whole);
    struct entries given = given_read();
    char *text = malloc(given.size + (size_t)size + 1);
    if (!disk || !text)
        fail("no memory for a configuration of %llu bytes", size);
    size_t there = 0;
    for (ssize_t count; there < whole && (count = read_block(disk + there, whole - there, (off_t)there)) > 0;) {
        there += (size_t)count;
        if (count % BLOCK)
            break; /* the disk's end */
    }
    if (there < HEADER + size)
        fail("fourfold-config ends early");
    memcpy(text, given.text ? given.text : "", given.size);
    memcpy(text + given.size, disk + HEADER, size);
    text[given.size + size] = 0;
    explicit_bzero(disk, whole);
    free(disk);
    if (given.text)
        explicit_bzero(given.text, given.size);
    free(given.text);
    if (entries.text)
        explicit_bzero(entries.text, entries.size);
    free(entries.text);
    entries = (struct entries){text, given.size + (size_t)size};
    if (!entries_valid(&entries))
        fail("fourfold-config holds something else than KEY=VALUE");
    say_unknown();
}

bool config_read(void)
{
    static const struct timespec pause = {.tv_nsec = 1500000};

    open_disk();
    read_block(first, sizeof first, 0);
    if (written(first)) {
        take();
        if (!entries_get(&entries, "wait"))
            return false;
        reads_take(&entries);
    }
    report("waiting");
    while (!config_changed())
        nanosleep(&pause, NULL); /* nobody can tell a guest that it has been restored: it has to look */
    return true;
}

void config_load(const char *path)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0 || fstat(file, &about) < 0 || about.st_size > MOST)
        fail("cannot read %s: %s", path, strerror(errno));
    char *text = calloc(1, (size_t)about.st_size + 1);
    if (!text || read(file, text, (size_t)about.st_size) != about.st_size)
        fail("cannot read %s: %s", path, strerror(errno));
    close(file);
    unlink(path); /* it may have secrets; nobody needs it again */
    entries = (struct entries){text, (size_t)about.st_size};
    if (!entries_valid(&entries))
        fail("%s holds something else than KEY=VALUE", path);
}

bool config_changed(void)
{
    static _Alignas(BLOCK) char now[BLOCK];
    open_disk();
    bool changed = read_block(now, sizeof now, 0) > 0 && memcmp(now, first, sizeof now) != 0 && written(now);

    if (changed) {
        memcpy(first, now, sizeof first);
        take();
    }
    return changed;
}
