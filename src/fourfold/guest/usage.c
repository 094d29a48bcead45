#include "usage.h"

#include "cgroup.h"
#include "control.h"
#include "listening.h"
#include "loop.h"
#include "service.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of /proc/meminfo, in bytes; 0 where it is not there. */
static unsigned long long memory(const char *text, const char *key)
{
    const char *line = strstr(text, key);

    return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

void usage_send(uint16_t session)
{
    char about[4096], listens[1024], text[2048];

    if (text_read("/proc/meminfo", about, sizeof about) < 0)
        *about = 0;
    unsigned long long total = memory(about, "MemTotal:"), available = memory(about, "MemAvailable:");
    uint64_t cpu = cgroup_get(service_group(), "cpu.stat", "usage_usec");
    uint64_t uptime = loop_now();
    listening(listens, sizeof listens);
    int size = snprintf(text, sizeof text,
                        "cpu_seconds=%llu.%06llu%cmemory_bytes=%llu%cmemory_total=%llu%cprocesses=%llu%cuptime=%llu.%03llu%c"
                        "listens=%s",
                        (unsigned long long)cpu / 1000000, (unsigned long long)cpu % 1000000, 0, total - available, 0,
                        total, 0, (unsigned long long)cgroup_get(service_group(), "pids.current", NULL), 0,
                        (unsigned long long)uptime / 1000, (unsigned long long)uptime % 1000, 0, listens);
    control_send(session, USAGE, text, (size_t)size + 1);
}
