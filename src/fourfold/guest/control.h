/* The control channel: the port `fourfold.control`, one client of the host at a time. */
#pragma once

#include "protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void control_begin(void);

/* Queues a frame for the client. There is always room for the small ones. */
void control_send(uint16_t session, enum kind kind, const void *payload, size_t size);

/* Whether there is room for output of sessions too: what the client does not take, they keep. */
bool control_has_room(void);

/* Writes what is queued, as far as the host takes it. */
void control_flush(void);
