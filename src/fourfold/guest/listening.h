#pragma once

#include <stddef.h>

/* Where programs of this guest listen for TCP, as /proc/net/tcp writes it: `0100007F:1F90,00000000:0050`. */
void listening(char *text, size_t room);
