#include "listening.h"

#include <stdio.h>
#include <string.h>

static void append(char *text, size_t room, const char *address)
{
    size_t length = strlen(text);

    if (length + strlen(address) + 2 <= room)
        snprintf(text + length, room - length, "%s%s", length ? "," : "", address);
}

void listening(char *text, size_t room)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    char line[256], address[64], state[8];

    *text = 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        FILE *table = fopen(tables[i], "re");
        while (table && fgets(line, sizeof line, table))
            /* 0A is TCP_LISTEN of the kernel's net/tcp_states.h */
            if (sscanf(line, " %*[0-9]: %63s %*s %7s", address, state) == 2 && !strcmp(state, "0A"))
                append(text, room, address);
        if (table)
            fclose(table);
    }
}
