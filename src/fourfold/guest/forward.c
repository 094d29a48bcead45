#include "forward.h"

#include "text.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSED 1

static void pass(struct pollfd *from, int to)
{
    char bytes[65536];
    ssize_t length = read(from->fd, bytes, sizeof bytes);

    if (length > 0 && write_all(to, bytes, (size_t)length) == 0)
        return;
    shutdown(to, SHUT_WR);
    if (length > 0)
        shutdown(from->fd, SHUT_RD); /* nobody takes it any more */
    from->fd = -1;
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
    struct pollfd sides[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = there, .events = POLLIN}};
    while (sides[0].fd >= 0 || sides[1].fd >= 0) {
        if (poll(sides, 2, -1) < 0)
            _exit(REFUSED);
        if (sides[0].fd >= 0 && sides[0].revents)
            pass(&sides[0], there);
        if (sides[1].fd >= 0 && sides[1].revents)
            pass(&sides[1], STDIN_FILENO);
    }
    _exit(0);
}
