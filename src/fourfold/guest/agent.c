#include "agent.h"

#include "button.h"
#include "cgroup.h"
#include "config.h"
#include "control.h"
#include "loop.h"
#include "network.h"
#include "reaper.h"
#include "report.h"
#include "root.h"
#include "say.h"
#include "service.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not what a Fourfold uses that is installed in the guest: that one has /run/fourfold and fourfold.service. */
#define FOLDER "/run/fourfold-guest"
#define UNIT "fourfold-guest.service"
#define CONFIG FOLDER "/config"
#define PROGRAM FOLDER "/guest"
#define UNITS "/run/systemd/system"
enum { STOPPING_SECONDS = 10, GRACE = 10 }; /* what the agent itself may take to end, besides the service */

static void folder(const char *path)
{
    if (root_folder(path) < 0)
        fail("cannot make %s: %s", path, strerror(errno));
}

static void put(const char *path, mode_t mode, const char *content, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    if (fd < 0 || write_all(fd, content, size) < 0)
        fail("cannot write %s: %s", path, strerror(errno));
    close(fd);
}

static void put_program(void)
{
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(PROGRAM, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    ssize_t count = -1;

    if (from >= 0 && to >= 0)
        while ((count = sendfile(to, from, NULL, 1 << 20)) > 0)
            ;
    if (count < 0)
        fail("cannot write " PROGRAM ": %s", strerror(errno));
    close(from);
    close(to);
}

static void put_unit(void)
{
    char unit[512];

    folder(UNITS "/multi-user.target.wants");
    int size = snprintf(unit, sizeof unit,
                        "[Unit]\nDescription=The service of this machine\n\n"
                        "[Service]\nType=exec\nExecStart=" PROGRAM " agent\nDelegate=yes\nKillMode=mixed\n"
                        "TimeoutStopSec=%llu\nStandardOutput=null\nStandardError=journal+console\n",
                        config_number("grace", GRACE) + STOPPING_SECONDS);
    put(UNITS "/" UNIT, 0644, unit, (size_t)size);
    if (symlink("../" UNIT, UNITS "/multi-user.target.wants/" UNIT) < 0)
        fail("cannot have the service started: %s", strerror(errno));
}

void agent_leave(const char *init)
{
    folder(FOLDER);
    put(CONFIG, 0600, config()->text, config()->size);
    put_program();
    put_unit();
    execve(init, (char *[]){(char *)init, NULL}, (char *[]){"HOME=/", "TERM=linux", NULL});
    fail("cannot run %s: %s", init, strerror(errno));
}

/* Moves into a group of our own below the unit's, for those with processes cannot have limits for others. */
static void enter_group(void)
{
    static char base[512] = "/sys/fs/cgroup";
    char own[256], agent[sizeof base + 16];

    if (text_read("/proc/self/cgroup", own, sizeof own) < 0 || strncmp(own, "0::", 3) != 0 || strchr(own, '\n'))
        fail("no control group of version 2");
    strncat(base, own + 3, sizeof base - strlen(base) - 1);
    snprintf(agent, sizeof agent, "%s/agent", base);
    if ((mkdir(agent, 0755) < 0 && errno != EEXIST) || cgroup_set(agent, "cgroup.procs", "0") < 0)
        fail("cannot enter %s: %s", agent, strerror(errno));
    cgroup_begin(base);
}

void agent_main(void)
{
    umask(0);
    report_open();
    config_load(CONFIG);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) /* so that what loses its parent in a session is ended with it */
        say("cannot be a subreaper: %s", strerror(errno));
    if (text_write("/proc/self/oom_score_adj", "-1000") < 0) /* as PID 1, it is not the one that is to end */
        say("cannot be spared: %s", strerror(errno));
    enter_group();
    network_dhcp();
    reaper_begin();
    button_begin();
    service_start();
    report("started");
    control_begin();
    loop_run();
}
