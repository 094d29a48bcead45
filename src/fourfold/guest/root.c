#include "root.h"

#include "disks.h"
#include "report.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_DISKS = 16 };

static void mounted(const char *source, const char *target, const char *type, unsigned long flags, const char *options)
{
    if (mount(source, target, type, flags, options) < 0)
        fail("cannot mount %s: %s", target, strerror(errno));
}

static void folder(const char *path)
{
    if (root_folder(path) < 0)
        fail("cannot make %s: %s", path, strerror(errno));
}

int root_folder(const char *path)
{
    char part[4096];
    size_t length = strlen(path);

    if (length >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end])
            continue;
        memcpy(part, path, end);
        part[end] = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

void root_begin(void)
{
    umask(0);
    folder("/dev");
    folder("/proc");
    folder("/sys");
    mounted("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console < 0)
        console = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3 && console >= 0; fd++)
        dup2(console, fd); /* cannot fail: both are there */
    if (console > 2)
        close(console);
    mounted("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mounted("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* Mounts fourfold-NUMBER below /disks, whatever it is of the file systems we make. -> false: there is none.
 * What is cached of erofs are files, not also what they were decompressed from. */
static bool disk(int number)
{
    static const char *const types[][2] = {
        {"erofs", "cache_strategy=disabled"}, {"squashfs", NULL}, {"ext4", NULL},
    };
    char name[32], device[64], target[32];

    snprintf(name, sizeof name, "fourfold-%d", number);
    if (!disk_find(name, device, sizeof device))
        return false;
    snprintf(target, sizeof target, "/disks/%d", number);
    folder(target);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (mount(device, target, types[i][0], MS_RDONLY | MS_NODEV, types[i][1]) == 0)
            return true;
        else if (errno != EINVAL && errno != ENODEV) /* another file system; one that this kernel does not know */
            break;
    fail("cannot mount %s (%s): %s", name, device, strerror(errno));
}

static void overlay(void)
{
    char options[64 + MOST_DISKS * 16] = "upperdir=/upper/root,workdir=/upper/work,lowerdir=";
    int count = 0;

    while (count < MOST_DISKS && disk(count))
        count++;
    for (int number = count - 1; number >= 0; number--) {
        size_t length = strlen(options);
        snprintf(options + length, sizeof options - length, "/disks/%d%s", number, number ? ":" : "");
    }
    folder("/upper");
    mounted("upper", "/upper", "tmpfs", 0, "mode=0755");
    folder("/upper/root");
    folder("/upper/work");
    folder("/root");
    mounted("root", "/root", "overlay", 0, options);
}

static void move(const char *what)
{
    char target[32];

    snprintf(target, sizeof target, "/root%s", what);
    folder(target);
    if (mount(what, target, NULL, MS_MOVE, NULL) < 0)
        fail("cannot move %s: %s", what, strerror(errno));
}

void root_enter(void)
{
    overlay();
    move("/dev");
    move("/proc");
    move("/sys");
    if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        fail("cannot enter the root: %s", strerror(errno));
    folder("/dev/pts");
    mounted("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
    folder("/dev/shm");
    mounted("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    folder("/run"); /* in memory as all that is written; with what the image has there, which some programs need */
    mounted("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    folder("/tmp");
    if (chmod("/tmp", 01777) < 0)
        say("cannot open /tmp to all: %s", strerror(errno));
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            say("cannot make %s: %s", links[i][1], strerror(errno));
}
