#include "freeze.h"

#include "cgroup.h"
#include "config.h"
#include "files.h"
#include "identity.h"
#include "loop.h"
#include "network.h"
#include "report.h"
#include "say.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, LOOK_MS = 2 };

static struct watch look;

static const char *set(const char *value)
{
    return cgroup_set(service_group(), "cgroup.freeze", value) < 0 ? strerror(errno) : NULL;
}

static void on_look(struct watch *watch, uint32_t events)
{
    const char *wrong;

    (void)watch;
    (void)events;
    if (!config_changed())
        return;
    loop_timer_stop(&look);
    identity_take(true);
    network_take();
    files_again();
    if ((wrong = set("0")))
        fail("cannot thaw the service: %s", wrong);
    report("started");
}

/* Waits until all of the group stands still; the kernel says when its events change. */
static const char *frozen(void)
{
    char path[320];
    uint64_t end = loop_now() + PATIENCE_MS;

    snprintf(path, sizeof path, "%s/cgroup.events", service_group());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return strerror(errno);
    const char *wrong = NULL;
    for (;;) {
        char text[256];
        struct pollfd changed = {.fd = fd, .events = POLLPRI};
        ssize_t count = pread(fd, text, sizeof text - 1, 0);
        text[count > 0 ? count : 0] = 0;
        if (strstr(text, "frozen 1"))
            break;
        uint64_t now = loop_now();
        if (now >= end) {
            wrong = "its processes do not stand still";
            break;
        }
        poll(&changed, 1, (int)(end - now)); /* looked at again, whatever it says */
    }
    close(fd);
    return wrong;
}

const char *freeze(void)
{
    const char *wrong = set("1");

    if (!wrong)
        wrong = frozen();
    if (wrong)
        set("0");
    else
        loop_timer(&look, on_look, LOOK_MS, LOOK_MS);
    return wrong;
}

const char *thaw(void)
{
    loop_timer_stop(&look);
    return set("0");
}
