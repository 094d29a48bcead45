/* An address by DHCP, and its renewal. */
#pragma once

/* Waits for an address; fails where nobody gives one for a minute. Renews it in the event loop from then on. */
void dhcp_take(const char *interface);
