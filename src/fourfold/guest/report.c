#include "report.h"

#include "port.h"
#include "power.h"
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int port = -1;

void report_open(void)
{
    port = port_open("fourfold.report");
}

static void send(const char *prefix, const char *format, va_list arguments)
{
    char line[512];
    size_t length = (size_t)snprintf(line, sizeof line, "%s", prefix);

    vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    for (char *at = line; *at; at++)
        if (*at == '\n')
            *at = ' ';
    say("%s", line);
    if (port < 0)
        return;
    length = strlen(line);
    line[length++] = '\n';
    ssize_t written;
    do
        written = write(port, line, length);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        say("cannot report: %s", strerror(errno));
}

void report(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    send("", format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    send("failed ", format, arguments);
    va_end(arguments);
    power_down();
}
