/* A program as the configuration and EXEC describe it, and its start. */
#pragma once

#include "entries.h"

#include <stdbool.h>
#include <sys/types.h>

struct program {
    char **argv; /* ends with NULL, as does env */
    char **env;
    const char *cwd;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
    unsigned int descriptors; /* that it may have open at most */
};

/* What kept a program from running, such as "cannot run /app/x: No such file or directory". */
struct mistake {
    int error;
    char text[256];
};

/* Takes it out of the entries, whose text it keeps pointing to. -> false with the mistake. */
bool program_parse(struct program *program, const struct entries *entries, struct mistake *mistake);

void program_free(struct program *program);

/* Starts it in the control group (NULL: ours) with these three as its standard streams; `terminal`: they are one, to
 * be its controlling one. It leads a session and process group of its own. -> its pid when it runs; -1 with the
 * mistake. */
pid_t program_start(const struct program *program, const int streams[3], bool terminal, const char *cgroup,
                    struct mistake *mistake);
