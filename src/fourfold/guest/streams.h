/* Standard streams of a session: three pipes, or a pseudo-terminal. */
#pragma once

#include "program.h"

#include <stdbool.h>
#include <sys/types.h>

struct streams {
    bool tty;
    int theirs[3];
    int ours[3]; /* its input, output and errors; of a terminal there are no errors: -1 */
};

/* `size`: `ROWS:COLUMNS` of a terminal, NULL for pipes. -> false with the mistake. */
bool streams_open(struct streams *streams, const char *size, uid_t uid, struct mistake *mistake);

void streams_close_theirs(struct streams *streams);
void streams_close_ours(struct streams *streams);

/* Of a terminal. */
void streams_resize(int fd, int rows, int columns);
