/* The power button: what the host presses to end the machine. */
#pragma once

void button_begin(void);
