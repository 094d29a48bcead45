#include "output.h"

#include "loop.h"
#include "port.h"
#include "report.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 32768 }; /* a port takes no more at once */

static char chunk[CHUNK];
static size_t from, to; /* of what is in it and not yet written */
static struct watch source, port = {.fd = -1};

static void relay(void)
{
    /* nothing is read before the last is written: the service waits where the host is slow */
    loop_watch(&source, from == to ? EPOLLIN : 0);
    loop_watch(&port, from == to ? 0 : EPOLLOUT);
}

/* -> false: the service's end is closed, or the port is gone. */
static bool move(void)
{
    if (from == to) {
        ssize_t count = read(source.fd, chunk, sizeof chunk);
        if (count <= 0)
            return count < 0 && (errno == EAGAIN || errno == EINTR);
        from = 0;
        to = (size_t)count;
    }
    ssize_t count = write(port.fd, chunk + from, to - from);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    from += (size_t)count;
    return true;
}

static void on_event(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    if (move()) {
        relay();
        return;
    }
    if (from != to)
        say("output is lost: %s", strerror(errno));
    loop_watch(&source, 0);
    loop_watch(&port, 0);
}

int output_open(unsigned int uid, unsigned int gid)
{
    int ends[2];

    port.fd = port_open("fourfold.output");
    if (port.fd < 0)
        return STDERR_FILENO;
    /* a pipe of the service's own: it can open /dev/stdout, and never holds the port */
    if (pipe2(ends, O_CLOEXEC) < 0 || fchown(ends[0], uid, gid) < 0 ||
        fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(port.fd, F_SETFL, O_NONBLOCK) < 0)
        fail("no pipe for its output: %s", strerror(errno));
    source = (struct watch){.fd = ends[0], .handler = on_event};
    port.handler = on_event;
    relay();
    return ends[1];
}

void output_finish(void)
{
    if (port.fd < 0)
        return;
    for (;;) {
        ssize_t waiting = from != to;
        if (!waiting) {
            struct pollfd more = {.fd = source.fd, .events = POLLIN};
            if (poll(&more, 1, 0) <= 0 || !(more.revents & POLLIN))
                return;
        } else {
            struct pollfd room = {.fd = port.fd, .events = POLLOUT};
            poll(&room, 1, -1);
        }
        if (!move())
            return;
    }
}
