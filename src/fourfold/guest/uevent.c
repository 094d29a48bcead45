#include "uevent.h"

#include "loop.h"
#include "report.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int events = -1;

void uevent_open(void)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};

    events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (events < 0 || bind(events, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        fail("cannot hear of devices: %s", strerror(errno));
}

static void forget(void)
{
    char message[4096];

    while (recv(events, message, sizeof message, 0) > 0 || errno == ENOBUFS || errno == EINTR)
        ; /* what it was is looked up in /sys; a lost one does not matter then */
}

bool uevent_wait(bool (*there)(void), uint64_t limit_ms)
{
    uint64_t end = loop_now() + limit_ms;

    for (;;) {
        forget();
        if (there())
            return true;
        uint64_t now = loop_now();
        struct pollfd waited = {.fd = events, .events = POLLIN};
        if (now >= end || (poll(&waited, 1, (int)(end - now)) < 0 && errno != EINTR))
            return false;
    }
}

void uevent_close(void)
{
    close(events);
    events = -1;
}
