#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void say(const char *format, ...)
{
    char line[512] = "fourfold: ";
    size_t start = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line + start, sizeof line - start - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t end = strlen(line);
    line[end++] = '\n';
    if (write(STDERR_FILENO, line, end) < 0)
        return; /* the console is all there is to complain to */
}
