/* Devices as they come. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* To be called before the first module is loaded. */
void uevent_open(void);

/* Waits until `there()` holds, looking again whenever the kernel has found something; for `limit_ms` at most. */
bool uevent_wait(bool (*there)(void), uint64_t limit_ms);

/* Nobody waits any more. */
void uevent_close(void);
