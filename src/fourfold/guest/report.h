/* What the host is told of the machine's life: lines on the port `fourfold.report`. */
#pragma once

/* From now on lines go there too; before, and where there is no such port, to the console alone. */
void report_open(void);

/* One whole line. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `failed WHAT`, and the end of the machine. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
