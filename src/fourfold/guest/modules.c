#include "modules.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int folder = -1;

void modules_open(void)
{
    folder = open("/modules", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void load(const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        say("cannot load %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    unlinkat(folder, name, 0); /* its memory is needed elsewhere; a leftover only costs some */
}

void modules_load(const char *list)
{
    int fd = openat(folder, list, O_RDONLY | O_CLOEXEC);
    FILE *lines = fd < 0 ? NULL : fdopen(fd, "r");
    char name[256];

    if (!lines)
        return; /* a kernel with all of it built in */
    while (fgets(name, sizeof name, lines)) {
        name[strcspn(name, "\n")] = 0;
        if (*name)
            load(name);
    }
    fclose(lines);
}
