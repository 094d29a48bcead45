/* The machine's one interface, as the configuration has it. */
#pragma once

/* What needs no configuration: loopback. */
void network_begin(void);

/* Takes the configuration's hardware and network address, mtu and route, also in place of others it has had. */
void network_take(void);

/* An address by DHCP, where the configuration wants it so. Part of the above, but where PID 1 is left to another: the
 * agent is there to renew it. */
void network_dhcp(void);
