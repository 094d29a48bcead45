/* What the host asks for. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Does what the frame says. The payload may be changed; behind it there is nothing of use. */
void request_take(uint16_t session, uint8_t kind, char *payload, size_t size);
