/* Control groups of sessions: each has its own, so that all of it can be ended. */
#pragma once

/* A new group for one more; NULL where none can be made. */
char *groups_enter(void);

/* Nobody needs it any more: it goes when the last process in it has. Takes NULL as well. */
void groups_leave(char *path);

/* Processes have ended: removes the groups that wait for that. */
void groups_tidy(void);
