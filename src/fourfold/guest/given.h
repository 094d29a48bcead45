/* What whoever runs an exported image gives it beside its disk. */
#pragma once

#include "entries.h"

/* Entries of the configuration, from the machine's OEM strings; its text is the caller's, NULL where there are none. */
struct entries given_read(void);
