#include "power.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

/* systemd's SIGRTMIN+4, "powers off the machine": counted from glibc's SIGRTMIN, which is not that of every C library. */
enum { SYSTEMD_POWER_OFF = 34 + 4 };

/* The console is the service's log, and "reboot: Power down" no line of it; it is of the highest level (syslog(2)). */
static void hush(void)
{
    int file = open("/proc/sys/kernel/printk", O_WRONLY | O_CLOEXEC);

    if (file < 0)
        return;
    if (write(file, "0", 1) < 0)
        say("cannot silence the kernel: %s", strerror(errno));
    close(file);
}

void power_down(void)
{
    sync(); /* shared folders: what was written there is the host's before we say goodbye */
    if (getpid() != 1) { /* the agent: it is systemd that ends the machine, asked as systemd(1) says */
        kill(1, SYSTEMD_POWER_OFF);
        _exit(0);
    }
    hush();
    reboot(RB_POWER_OFF);
    say("cannot power down: %s", strerror(errno));
    _exit(1); /* the kernel panics, and reboots, which ends the machine too */
}
