/* Signals by their names. */
#pragma once

/* Of `TERM` or `SIGTERM`; -1 where there is none of that name. */
int signal_number(const char *name);
