/* Kernel modules out of the initial file system. */
#pragma once

/* Keeps hold of the modules' folder, wherever the root goes. To be called first. */
void modules_open(void);

/* Loads those that the file `list` names, a line each, in that order. A module that is not taken is said, not fatal. */
void modules_load(const char *list);
