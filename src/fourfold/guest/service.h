/* The one program that this machine is for. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Starts it as the configuration says. */
void service_start(void);

/* A process has ended. -> whether it was the service; then there is nothing left but to power down. */
bool service_reap(pid_t pid, int status);

/* Sends a signal to its main process. -> 0; -1 with errno. */
int service_signal(int number);

/* The signal `stop`, SIGKILL after `grace`. In an idle machine that is for the programs that run in it. */
void service_stop(void);

/* No program of an idle machine runs: powers down if that is what it is waiting for. */
void service_idle(void);

/* Its control group. */
const char *service_group(void);
