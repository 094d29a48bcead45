/* The end of the machine. */
#pragma once

_Noreturn void power_down(void);
