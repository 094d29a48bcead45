/* Words for whoever reads the console. */
#pragma once

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
