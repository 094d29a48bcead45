#include "dhcp.h"

#include "interface.h"
#include "lease.h"
#include "loop.h"
#include "report.h"
#include "say.h"
#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, FIRST_PAUSE_MS = 1000, LONGEST_PAUSE_MS = 16000, RENEWAL_PAUSE_MS = 60000 };

static enum { SELECTING, REQUESTING, BOUND, RENEWING } state;
static const char *interface;
static struct sockaddr_ll link_address; /* of all on it */
static uint8_t hardware[6];
static uint32_t transaction;
static struct lease lease;
static struct watch packets = {.fd = -1}, timer;
static uint64_t expires; /* on the clock of the loop */

/* Packets as they are: an interface without an address has no others. */
static void listen_to_link(void)
{
    int index;

    if (interface_of(interface, hardware, &index) < 0)
        fail("no interface %s: %s", interface, strerror(errno));
    link_address = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = index,
                                        .sll_halen = 6, .sll_addr = {255, 255, 255, 255, 255, 255}};
    packets.fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP));
    if (packets.fd < 0 || bind(packets.fd, (struct sockaddr *)&link_address, sizeof link_address) < 0)
        fail("no DHCP on %s: %s", interface, strerror(errno));
}

static void ask(void)
{
    uint8_t packet[LEASE_PACKET];
    enum lease_kind kind = state == SELECTING ? DISCOVER : REQUEST;
    size_t size = lease_ask(packet, kind, transaction, hardware, &lease, state == RENEWING);

    if (sendto(packets.fd, packet, size, 0, (struct sockaddr *)&link_address, sizeof link_address) < 0)
        say("cannot ask for an address: %s", strerror(errno)); /* it is asked again */
}

static void write_resolvers(void)
{
    char text[512] = "", address[INET_ADDRSTRLEN];
    size_t length = 0;

    if (*lease.domain)
        length = (size_t)snprintf(text, sizeof text, "search %s\n", lease.domain);
    for (size_t i = 0; i < lease.resolver_count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "nameserver %s\n",
                                   inet_ntop(AF_INET, &lease.resolvers[i], address, sizeof address));
    unlink("/etc/resolv.conf"); /* it may be a link to what only a running system has */
    int fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write_all(fd, text, length) < 0)
        say("cannot write /etc/resolv.conf: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void apply(void)
{
    if (lease.mtu >= 576 && interface_mtu(interface, lease.mtu) < 0)
        say("cannot take the mtu %d: %s", lease.mtu, strerror(errno));
    if (interface_address(interface, lease.address, lease.prefix) < 0)
        fail("cannot take the address %s: %s", inet_ntoa(lease.address), strerror(errno));
    if (lease.gateway.s_addr && interface_gateway(interface, lease.gateway, lease.address, lease.prefix) < 0)
        say("no route by %s: %s", inet_ntoa(lease.gateway), strerror(errno));
    write_resolvers();
}

/* Takes what has come. -> whether the state is another now. */
static bool take_packets(void)
{
    uint8_t packet[LEASE_PACKET];
    ssize_t size;

    while ((size = recv(packets.fd, packet, sizeof packet, 0)) >= 0) {
        struct lease offered;
        enum lease_kind kind = lease_take(&offered, packet, (size_t)size, transaction, hardware);
        if (state == SELECTING && kind == OFFER) {
            lease = offered;
            state = REQUESTING;
            return true;
        }
        if ((state == REQUESTING || state == RENEWING) && kind == ACK) {
            lease = offered;
            state = BOUND;
            return true;
        }
        if ((state == REQUESTING || state == RENEWING) && kind == NAK) {
            state = SELECTING;
            return true;
        }
    }
    return false;
}

static void renew(struct watch *watch, uint32_t events);

static void bound(void)
{
    loop_watch(&packets, 0);
    close(packets.fd);
    apply();
    expires = loop_now() + (uint64_t)lease.seconds * 1000;
    loop_timer(&timer, renew, (uint64_t)lease.seconds * 500, 0); /* T1 of RFC 2131, 4.4.5 */
}

static void on_packet(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    if (!take_packets())
        return;
    if (state == BOUND)
        bound();
    else
        ask();
}

/* Asks, and goes on asking; an address that has expired is looked for anew, and kept in the meantime. */
static void renew(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    if (state == BOUND) {
        state = RENEWING;
        listen_to_link();
        packets.handler = on_packet;
        loop_watch(&packets, EPOLLIN);
        loop_timer(&timer, renew, RENEWAL_PAUSE_MS, RENEWAL_PAUSE_MS);
    }
    if (loop_now() > expires)
        state = SELECTING;
    ask();
}

void dhcp_take(const char *name)
{
    uint64_t start = loop_now(), pause = FIRST_PAUSE_MS;

    interface = name;
    if (interface_up(interface, true) < 0)
        fail("cannot set %s up: %s", interface, strerror(errno));
    if (getrandom(&transaction, sizeof transaction, GRND_NONBLOCK) < 0)
        transaction = (uint32_t)start; /* too early for better: it only has to differ from the neighbours' */
    listen_to_link();
    state = SELECTING;
    while (state != BOUND) {
        uint64_t now = loop_now(), end = now + pause;
        if (now > start + PATIENCE_MS)
            fail("nobody gives %s an address by DHCP", interface);
        ask();
        bool changed = false;
        while (!changed && (now = loop_now()) < end) {
            struct pollfd waited = {.fd = packets.fd, .events = POLLIN};
            changed = poll(&waited, 1, (int)(end - now)) > 0 && take_packets();
        }
        if (!changed) {
            state = SELECTING;
            pause = pause < LONGEST_PAUSE_MS ? pause * 2 : pause;
        }
    }
    bound();
}
