/* What the service prints, from its pipe to the port `fourfold.output`, as fast as the host takes it. */
#pragma once

/* -> the end of the pipe that the service writes to; the console where there is no such port. */
int output_open(unsigned int uid, unsigned int gid);

/* The service has ended: what it wrote is delivered, waiting for the host if need be. */
void output_finish(void);
