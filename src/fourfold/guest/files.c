#include "files.h"

#include "config.h"
#include "modules.h"
#include "report.h"
#include "root.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRETS "/run/secrets"

static void mounted(const char *source, const char *target, const char *type, unsigned long flags, const char *options)
{
    if (root_folder(target) < 0 || mount(source, target, type, flags, options) < 0)
        fail("cannot mount %s: %s", target, strerror(errno));
}

/* PATH:MODE:UID:GID:CONTENT, cut at the colons. */
static void take_file(char *text)
{
    static bool secrets_mounted;
    char *rest = text, *path = strsep(&rest, ":");
    unsigned long long mode = 0, uid = 0, gid = 0;

    if (*path != '/' || !rest || !text_number(strsep(&rest, ":"), 8, 07777, &mode) || !rest ||
        !text_number(strsep(&rest, ":"), 10, 0xfffffffe, &uid) || !rest ||
        !text_number(strsep(&rest, ":"), 10, 0xfffffffe, &gid) || !rest)
        fail("configuration: file=%.100s… is not PATH:MODE:UID:GID:CONTENT", path);
    if (!strncmp(path, SECRETS "/", strlen(SECRETS "/")) && !secrets_mounted) {
        mounted("secrets", SECRETS, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755");
        secrets_mounted = true;
    }
    char *copy = strdup(path);
    if (!copy || root_folder(dirname(copy)) < 0)
        fail("cannot make the folder of %s: %s", path, strerror(errno));
    free(copy);
    unlink(path); /* whatever is there: in a clone it may be a link that the service has made, to what is not its own */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, rest, strlen(rest)) < 0 || fchown(fd, (uid_t)uid, (gid_t)gid) < 0 ||
        fchmod(fd, (mode_t)mode) < 0)
        fail("cannot write %s: %s", path, strerror(errno));
    close(fd);
}

/* TAG:PATH:rw or ro. */
static void take_share(char *text)
{
    char *rest = text, *tag = strsep(&rest, ":"), *path = strsep(&rest, ":");

    if (!*tag || !path || *path != '/' || !rest || (strcmp(rest, "rw") != 0 && strcmp(rest, "ro") != 0))
        fail("configuration: share=%s is not TAG:PATH:rw or ro", tag);
    mounted(tag, path, "virtiofs", MS_NOSUID | MS_NODEV | (rest[1] == 'o' ? MS_RDONLY : 0), NULL);
}

static void each(const char *key, void (*take)(char *text))
{
    for (const char *value = NULL; (value = entries_next(config(), key, value));) {
        char *copy = strdup(value);
        if (!copy)
            fail("no memory for %s", key);
        take(copy);
        explicit_bzero(copy, strlen(copy));
        free(copy);
    }
}

void files_again(void)
{
    each("file", take_file);
}

void files_take(void)
{
    unsigned long long tmp = config_number("tmp", 0);
    char options[64];

    if (tmp) {
        snprintf(options, sizeof options, "mode=1777,size=%llu", tmp);
        mounted("tmp", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options);
    }
    if (entries_get(config(), "init")) /* systemd would mount one over what we put there, where there is none */
        mounted("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
    if (entries_get(config(), "share"))
        modules_load("shares");
    each("share", take_share);
    each("file", take_file);
}
