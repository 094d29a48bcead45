/* What the machine takes, as it sees it itself. */
#pragma once

#include <stdint.h>

/* Answers USAGE. */
void usage_send(uint16_t session);
