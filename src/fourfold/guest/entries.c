#include "entries.h"

#include <string.h>

bool entries_valid(const struct entries *entries)
{
    const char *end = entries->text + entries->size;

    if (entries->size && end[-1])
        return false;
    for (const char *at = entries->text; at < end; at += strlen(at) + 1)
        if (!strchr(at, '=') || *at == '=')
            return false;
    return true;
}

const char *entries_next(const struct entries *entries, const char *key, const char *after)
{
    const char *at = after ? after + strlen(after) + 1 : entries->text;
    size_t length = strlen(key);

    for (; at < entries->text + entries->size; at += strlen(at) + 1)
        if (!strncmp(at, key, length) && at[length] == '=')
            return at + length + 1;
    return NULL;
}

const char *entries_get(const struct entries *entries, const char *key)
{
    return entries_next(entries, key, NULL);
}

size_t entries_count(const struct entries *entries, const char *key)
{
    size_t count = 0;

    for (const char *value = NULL; (value = entries_next(entries, key, value));)
        count++;
    return count;
}
