/* A template of a ready service: it stands still while the machine is copied, and goes on as another. */
#pragma once

/* Stops the service's processes; from then on looks for another configuration, takes it and lets them go on.
 * -> NULL, or what went wrong. */
const char *freeze(void);

/* Lets them go on, as they are. */
const char *thaw(void);
