/* Disks and partitions by the names that we gave them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The device of the disk with this serial number, or the partition with this name: `/dev/vda`. */
bool disk_find(const char *name, char *device, size_t size);

/* Waits until the configuration and the first disk of the root are there; fails after some seconds. */
void disk_wait(void);
