/* PID 1 of a virtual machine: see README.md. */

#include "agent.h"
#include "button.h"
#include "cgroup.h"
#include "config.h"
#include "control.h"
#include "disks.h"
#include "files.h"
#include "forward.h"
#include "identity.h"
#include "modules.h"
#include "network.h"
#include "port.h"
#include "reads.h"
#include "reaper.h"
#include "report.h"
#include "root.h"
#include "loop.h"
#include "service.h"
#include "uevent.h"

#include <string.h>
#include <unistd.h>

static void boot(void)
{
    root_begin();
    uevent_open();
    modules_open();
    modules_load("list");
    port_wait();
    report_open();
    button_begin(); /* what is pressed from now on is taken once the service runs */
    disk_wait();
    root_enter();
    cgroup_begin("/sys/fs/cgroup");
    network_begin();
    report("booted");
}

int main(int count, char **words)
{
    if (count > 1 && !strcmp(words[1], "agent") && getpid() != 1)
        agent_main();
    if (count > 2 && !strcmp(words[1], "forward"))
        forward_main(words[2]);
    if (count > 1 && !strcmp(words[1], "reads") && getpid() != 1)
        reads_main();
    boot();
    bool waited = config_read();
    identity_take(waited);
    network_take();
    uevent_close();
    files_take();
    const char *init = entries_get(config(), "init");
    if (init)
        agent_leave(init);
    reaper_begin();
    service_start();
    report("started");
    control_begin();
    loop_run();
}
