/* What of the root's files is in memory: a template reads it before it is kept, for its clones to find it there. */
#pragma once

#include "entries.h"

/* Prints `read=FIRST:COUNT:PATH` entries, in pages, and ends. */
_Noreturn void reads_main(void);

/* Reads what entries `read` name, where it is. */
void reads_take(const struct entries *entries);
