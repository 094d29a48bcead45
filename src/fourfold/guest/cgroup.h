/* Control groups of version 2. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The group that ours are made in: `/sys/fs/cgroup`, or a delegated one. */
void cgroup_begin(const char *base);

/* Makes the group NAME in it and gives its path, which stays valid; NULL with errno. */
char *cgroup_make(const char *name);

/* Removes it and frees the path. -> false where processes are left in it. */
bool cgroup_remove(char *path);

/* -> 0; -1 with errno. */
int cgroup_set(const char *path, const char *file, const char *value);

/* A number: of the whole file, or of its line `KEY number`. 0 where there is none. */
uint64_t cgroup_get(const char *path, const char *file, const char *key);

/* Ends all that is in it, at once. */
void cgroup_kill(const char *path);
