#include "cgroup.h"

#include "say.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *base;

void cgroup_begin(const char *path)
{
    base = path;
    if (cgroup_set(base, "cgroup.subtree_control", "+memory +pids") < 0)
        say("no limits: %s", strerror(errno));
    /* so that a service with many processes leaves time to us, and to sessions */
    if (cgroup_set(base, "cgroup.subtree_control", "+cpu") < 0)
        say("no shares of the processor: %s", strerror(errno));
}

char *cgroup_make(const char *name)
{
    char *path;

    if (asprintf(&path, "%s/%s", base, name) < 0)
        return NULL;
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return path;
    free(path);
    return NULL;
}

bool cgroup_remove(char *path)
{
    if (rmdir(path) < 0 && errno != ENOENT)
        return false;
    free(path);
    return true;
}

int cgroup_set(const char *path, const char *file, const char *value)
{
    char name[320];

    snprintf(name, sizeof name, "%s/%s", path, file);
    return text_write(name, value);
}

uint64_t cgroup_get(const char *path, const char *file, const char *key)
{
    char name[320], text[4096];

    snprintf(name, sizeof name, "%s/%s", path, file);
    if (text_read(name, text, sizeof text) < 0)
        return 0;
    if (!key)
        return strtoull(text, NULL, 10);
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        size_t length = strlen(key);
        if (!strncmp(line, key, length) && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
    }
    return 0;
}

void cgroup_kill(const char *path)
{
    if (cgroup_set(path, "cgroup.kill", "1") < 0 && errno != ENOENT)
        say("cannot end what is in %s: %s", path, strerror(errno));
}
