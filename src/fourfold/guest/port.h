/* The virtio-serial ports, by their names. */
#pragma once

/* Waits until the ports of this machine have been found, where it has any. */
void port_wait(void);

/* Its descriptor; -1 where there is none of that name. Writing waits for the host. */
int port_open(const char *name);
