/* The root that the service sees: read-only disks on each other, a tmpfs over them. */
#pragma once

/* /dev, /proc and /sys of the initial file system; the console. */
void root_begin(void);

/* Mounts the disks, moves into them, and mounts what a program expects to find besides. */
void root_enter(void);

/* A folder and those on the way to it, 0755. -> 0; -1 with errno. */
int root_folder(const char *path);
