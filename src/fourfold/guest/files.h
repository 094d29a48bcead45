/* What the configuration wants written or mounted before the program starts. */
#pragma once

/* `tmp`, `share` and `file`. */
void files_take(void);

/* The files of another configuration, over those of the first. */
void files_again(void);
