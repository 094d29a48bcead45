/* Machines whose PID 1 is another's init: what we are there. */
#pragma once

/* Leaves PID 1 to the program `init`, with a unit that runs us as the agent. */
_Noreturn void agent_leave(const char *init);

/* The agent: runs the service, and talks to the host, as PID 1 does elsewhere. */
_Noreturn void agent_main(void);
