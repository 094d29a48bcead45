/* On the host, started by QEMU: a connection of a guest that has no network but QEMU's own. */
#pragma once

/* Standard input is that connection, both ways; it goes on to this port of the host's loopback. */
_Noreturn void forward_main(const char *port);
