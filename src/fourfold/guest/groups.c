#include "groups.h"

#include "cgroup.h"
#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LEFT = 256 };

static char *left[MOST_LEFT];

char *groups_enter(void)
{
    static unsigned int count;
    char name[32];

    snprintf(name, sizeof name, "exec-%u", count++);
    char *path = cgroup_make(name);
    if (!path)
        say("cannot make the control group %s: %s", name, strerror(errno));
    return path;
}

void groups_leave(char *path)
{
    if (!path || cgroup_remove(path))
        return;
    for (size_t i = 0; i < MOST_LEFT; i++)
        if (!left[i]) {
            left[i] = path;
            return;
        }
    free(path); /* so many left something running behind them: this group stays until the machine ends */
}

void groups_tidy(void)
{
    for (size_t i = 0; i < MOST_LEFT; i++)
        if (left[i] && cgroup_remove(left[i]))
            left[i] = NULL;
}
