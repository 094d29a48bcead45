/* What the configuration wants written or mounted before the program starts. */
#pragma once

/* `tmp`, `share` and `file`. */
void files_take(void);
