/* What makes this machine itself, and must be new in each clone of a template: name, clock, random numbers. */
#pragma once

#include <stdbool.h>

/* Takes them from the configuration. `restored`: the clock is that of another time, whichever is later. */
void identity_take(bool restored);

/* Sets the clock to `text`, seconds since the epoch. -> NULL, or what is wrong. */
const char *identity_time(const char *text, bool also_back);
