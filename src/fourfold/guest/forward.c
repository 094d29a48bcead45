#include "forward.h"

#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSED 1

/* Neither waits for the other: one end may be full because it waits for what the other way brings. */
struct way {
    int from, to;
    size_t at, length; /* between them is what has been read and not yet written */
    char bytes[65536];
};

static struct pollfd waits_for(const struct way *way)
{
    bool full = way->at < way->length;

    return (struct pollfd){.fd = full ? way->to : way->from, .events = full ? POLLOUT : POLLIN};
}

static void go_on(struct way *way)
{
    ssize_t count;

    if (way->at < way->length) {
        count = send(way->to, way->bytes + way->at, way->length - way->at, MSG_DONTWAIT | MSG_NOSIGNAL);
        way->at += count > 0 ? (size_t)count : 0;
    } else {
        count = recv(way->from, way->bytes, sizeof way->bytes, MSG_DONTWAIT);
        way->at = 0;
        way->length = count > 0 ? (size_t)count : 0;
    }
    if (count > 0 || (count < 0 && errno == EAGAIN))
        return;
    shutdown(way->to, SHUT_WR);
    shutdown(way->from, SHUT_RD); /* where nobody takes it any more */
    way->from = way->to = -1;
}

_Noreturn void forward_main(const char *port_text)
{
    unsigned long long port;
    int there = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (there < 0 || !text_number(port_text, 10, UINT16_MAX, &port))
        _exit(REFUSED);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    if (connect(there, (struct sockaddr *)&address, sizeof address) < 0)
        _exit(REFUSED);
    struct way ways[] = {{.from = STDIN_FILENO, .to = there}, {.from = there, .to = STDIN_FILENO}};
    while (ways[0].from >= 0 || ways[1].from >= 0) {
        struct pollfd waiting[] = {waits_for(&ways[0]), waits_for(&ways[1])};
        if (poll(waiting, 2, -1) < 0)
            _exit(REFUSED);
        for (int i = 0; i < 2; i++)
            if (waiting[i].revents)
                go_on(&ways[i]);
    }
    _exit(0);
}
