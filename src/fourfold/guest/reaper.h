/* Ended processes: children, and those that lost their parents. */
#pragma once

void reaper_begin(void);
