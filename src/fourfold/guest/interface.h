/* Settings of a network interface: netdevice(7). */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Each: -> 0; -1 with errno. */
int interface_up(const char *name, bool up);
int interface_hardware(const char *name, const uint8_t address[6]);
int interface_mtu(const char *name, int mtu);
int interface_address(const char *name, struct in_addr address, int prefix);
/* The default route; the gateway may lie outside the interface's own network. */
int interface_gateway(const char *name, struct in_addr gateway, struct in_addr address, int prefix);

/* Its hardware address and index. */
int interface_of(const char *name, uint8_t hardware[6], int *index);
