/* DHCP's messages (RFC 2131, 2132), as Ethernet carries them. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lease_kind { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 };

struct lease {
    struct in_addr address, server, gateway; /* a gateway of 0: none */
    int prefix;
    int mtu; /* 0: not said */
    uint32_t seconds;
    struct in_addr resolvers[3];
    size_t resolver_count;
    char domain[128];
};

enum { LEASE_PACKET = 1500 };

/* A DISCOVER, or a REQUEST for the lease: one that is had already where `bound`. -> its size. */
size_t lease_ask(uint8_t packet[LEASE_PACKET], enum lease_kind kind, uint32_t transaction, const uint8_t hardware[6],
                 const struct lease *lease, bool bound);

/* Takes a packet that is an answer in this transaction. -> its kind; 0: it is none. */
enum lease_kind lease_take(struct lease *lease, const uint8_t *packet, size_t size, uint32_t transaction,
                           const uint8_t hardware[6]);
