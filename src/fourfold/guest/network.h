/* The machine's one interface, as the configuration has it. */
#pragma once

/* What needs no configuration: loopback. */
void network_begin(void);

/* Takes the configuration's hardware and network address, mtu and route, also in place of others it has had. */
void network_take(void);
