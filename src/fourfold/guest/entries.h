/* Lists of KEY=VALUE\0, as the configuration and EXEC have them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct entries {
    char *text;  /* ends with a NUL */
    size_t size; /* of the entries, their NULs included */
};

/* Whether each is KEY=VALUE\0. */
bool entries_valid(const struct entries *entries);

/* The value of the first entry with this key behind `after`, itself a value (NULL: of all); NULL where there is none. */
const char *entries_next(const struct entries *entries, const char *key, const char *after);

/* The only, or first, value; NULL where there is none. */
const char *entries_get(const struct entries *entries, const char *key);

/* How many values it has. */
size_t entries_count(const struct entries *entries, const char *key);
