#include "lease.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

enum {
    SERVER_PORT = 67,
    CLIENT_PORT = 68,
    COOKIE = 0x63825363,
    SUBNET_MASK = 1,
    ROUTER = 3,
    RESOLVERS = 6,
    HOST_NAME = 12,
    DOMAIN = 15,
    MTU = 26,
    REQUESTED = 50,
    SECONDS = 51,
    KIND = 53,
    SERVER = 54,
    WANTED = 55,
    END = 255,
    SMALLEST = 300, /* of a BOOTP message: some relays drop smaller ones */
};

struct message {
    uint8_t operation, type, length, hops;
    uint32_t transaction;
    uint16_t seconds, flags;
    struct in_addr client, yours, next, relay;
    uint8_t hardware[16], name[64], file[128];
    uint32_t cookie;
} __attribute__((packed));

struct packet {
    struct iphdr ip;
    struct udphdr udp;
    struct message message;
} __attribute__((packed));

static uint16_t checksum(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(at[i] << 8 | at[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static uint8_t *option(uint8_t *at, int code, const void *value, size_t size)
{
    *at++ = (uint8_t)code;
    *at++ = (uint8_t)size;
    memcpy(at, value, size);
    return at + size;
}

size_t lease_ask(uint8_t bytes[LEASE_PACKET], enum lease_kind kind, uint32_t transaction, const uint8_t hardware[6],
                 const struct lease *lease, bool bound)
{
    static const uint8_t wanted[] = {SUBNET_MASK, ROUTER, RESOLVERS, DOMAIN, MTU, SECONDS};
    struct packet packet = {
        .message = {.operation = 1, .type = 1, .length = 6, .transaction = transaction, .cookie = htonl(COOKIE)},
    };
    char host[64] = "";
    uint8_t code = (uint8_t)kind, *at = bytes + sizeof packet;

    memset(bytes, 0, LEASE_PACKET);
    memcpy(packet.message.hardware, hardware, 6);
    at = option(at, KIND, &code, 1);
    if (bound) {
        packet.message.client = lease->address;
    } else if (kind == REQUEST) {
        at = option(at, REQUESTED, &lease->address, 4);
        at = option(at, SERVER, &lease->server, 4);
    }
    at = option(at, WANTED, wanted, sizeof wanted);
    if (gethostname(host, sizeof host - 1) == 0 && *host && strcmp(host, "(none)") != 0)
        at = option(at, HOST_NAME, host, strlen(host));
    *at++ = END;
    size_t size = (size_t)(at - bytes);
    if (size < SMALLEST + sizeof packet.ip + sizeof packet.udp)
        size = SMALLEST + sizeof packet.ip + sizeof packet.udp;
    packet.ip = (struct iphdr){
        .version = 4, .ihl = 5, .tot_len = htons((uint16_t)size), .ttl = 64, .protocol = IPPROTO_UDP,
        .saddr = bound ? lease->address.s_addr : 0, .daddr = INADDR_BROADCAST,
    };
    packet.ip.check = checksum(&packet.ip, sizeof packet.ip);
    /* UDP's own checksum is optional: 0 is none */
    packet.udp = (struct udphdr){.source = htons(CLIENT_PORT), .dest = htons(SERVER_PORT),
                                 .len = htons((uint16_t)(size - sizeof packet.ip))};
    memcpy(bytes, &packet, sizeof packet);
    return size;
}

static int prefix_of(struct in_addr mask)
{
    int prefix = 0;

    for (uint32_t bits = ntohl(mask.s_addr); bits & 0x80000000; bits <<= 1)
        prefix++;
    return prefix;
}

/* Takes one option. */
static void take_option(struct lease *lease, uint8_t *kind, int code, const uint8_t *value, size_t size)
{
    struct in_addr address = {0};
    uint32_t number = 0;

    if (size >= 4) {
        memcpy(&address, value, 4);
        number = ntohl(address.s_addr);
    }
    switch (code) {
    case KIND:
        *kind = size ? *value : 0;
        break;
    case SUBNET_MASK:
        lease->prefix = prefix_of(address);
        break;
    case ROUTER:
        lease->gateway = address;
        break;
    case SERVER:
        lease->server = address;
        break;
    case SECONDS:
        lease->seconds = number;
        break;
    case MTU:
        lease->mtu = size == 2 ? value[0] << 8 | value[1] : 0;
        break;
    case RESOLVERS:
        for (size_t i = 0; i + 4 <= size && lease->resolver_count < 3; i += 4)
            memcpy(&lease->resolvers[lease->resolver_count++], value + i, 4);
        break;
    case DOMAIN:
        if (size < sizeof lease->domain)
            memcpy(lease->domain, value, size); /* the rest is zeros */
        break;
    default:
        break;
    }
}

enum lease_kind lease_take(struct lease *lease, const uint8_t *bytes, size_t size, uint32_t transaction,
                           const uint8_t hardware[6])
{
    struct packet packet;
    struct lease found = {.prefix = 24, .seconds = 3600};
    uint8_t kind = 0;

    if (size < sizeof packet)
        return 0;
    memcpy(&packet, bytes, sizeof packet);
    /* IP options are not expected of a server on this link */
    if (packet.ip.version != 4 || packet.ip.ihl != 5 || packet.ip.protocol != IPPROTO_UDP ||
        packet.udp.dest != htons(CLIENT_PORT) || packet.message.operation != 2 ||
        packet.message.transaction != transaction || packet.message.cookie != htonl(COOKIE) ||
        memcmp(packet.message.hardware, hardware, 6) != 0)
        return 0;
    found.address = packet.message.yours;
    for (size_t at = sizeof packet; at + 1 < size && bytes[at] != END;) {
        if (!bytes[at]) { /* a pad */
            at++;
            continue;
        }
        size_t length = bytes[at + 1];
        if (at + 2 + length > size)
            break;
        take_option(&found, &kind, bytes[at], bytes + at + 2, length);
        at += 2 + length;
    }
    if (kind == OFFER || kind == ACK)
        *lease = found;
    return kind;
}
