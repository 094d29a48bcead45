#include "network.h"

#include "config.h"
#include "dhcp.h"
#include "interface.h"
#include "report.h"
#include "say.h"
#include "text.h"
#include "uevent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define ETH "eth0"

void network_begin(void)
{
    if (interface_up("lo", true) < 0)
        fail("no loopback: %s", strerror(errno));
    /* the machine is the service's alone: it may use every port, and ping */
    if (text_write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0") < 0 ||
        text_write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647") < 0)
        say("cannot open low ports and ping to all: %s", strerror(errno));
}

static bool there(void)
{
    return if_nametoindex(ETH) != 0;
}

static void take_hardware(const char *text)
{
    unsigned int byte[6];
    uint8_t address[6];
    char rest;

    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &rest) != 6)
        fail("configuration: mac=%s is none", text);
    for (int i = 0; i < 6; i++)
        address[i] = (uint8_t)byte[i];
    if (interface_hardware(ETH, address) < 0)
        fail("cannot take the hardware address %s: %s", text, strerror(errno));
}

static void take_address(const char *text, const char *gateway_text)
{
    char ip[INET_ADDRSTRLEN] = "";
    const char *slash = strchr(text, '/');
    struct in_addr address, gateway;
    unsigned long long prefix = 32;

    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    if (length < sizeof ip)
        memcpy(ip, text, length);
    if (inet_pton(AF_INET, ip, &address) != 1 || (slash && !text_number(slash + 1, 10, 32, &prefix)))
        fail("configuration: address=%s is none", text);
    if (interface_address(ETH, address, (int)prefix) < 0 || interface_up(ETH, true) < 0)
        fail("cannot take the address %s: %s", text, strerror(errno));
    if (!gateway_text)
        return;
    if (inet_pton(AF_INET, gateway_text, &gateway) != 1)
        fail("configuration: gateway=%s is none", gateway_text);
    if (interface_gateway(ETH, gateway, address, (int)prefix) < 0)
        fail("no route by the gateway %s: %s", gateway_text, strerror(errno));
}

void network_take(void)
{
    const char *mac = entries_get(config(), "mac"), *address = entries_get(config(), "address");
    int mtu = (int)config_number("mtu", 0);
    bool dhcp = !address && config_number("dhcp", 0);

    if (!address && !dhcp)
        return;
    if (!uevent_wait(there, 5000))
        fail("no network interface " ETH);
    if (mac) {
        if (interface_up(ETH, false) < 0) /* some cards take another address only then; routes go with it */
            fail("cannot set " ETH " down: %s", strerror(errno));
        take_hardware(mac);
    }
    if (mtu && interface_mtu(ETH, mtu) < 0)
        fail("cannot take the mtu %d: %s", mtu, strerror(errno));
    if (address)
        take_address(address, entries_get(config(), "gateway"));
    else if (!entries_get(config(), "init"))
        dhcp_take(ETH);
}

void network_dhcp(void)
{
    if (!entries_get(config(), "address") && config_number("dhcp", 0))
        dhcp_take(ETH);
}
