/* The disk `fourfold-config`. */
#pragma once

#include "entries.h"

#include <stdbool.h>

/* Reads it into the one configuration there is, and says `waiting` where it is not written yet. -> whether it waited. */
bool config_read(void);

/* Reads it from a file that has the entries alone, and removes that. */
void config_load(const char *path);

/* Whether another one is there now than that which was read last; it is the configuration from then on. */
bool config_changed(void);

const struct entries *config(void);

/* A number of the configuration: `otherwise` where it is not there; fails where it is none. */
unsigned long long config_number(const char *key, unsigned long long otherwise);
