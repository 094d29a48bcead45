#include "disks.h"

#include "report.h"
#include "text.h"
#include "uevent.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "/sys/class/block"

static bool has_serial(const char *device, const char *name)
{
    static const char *const files[] = {"serial", "device/serial"}; /* of virtio-blk; of NVMe */
    char path[320], serial[64];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, FOLDER "/%s/%s", device, files[i]);
        if (text_read(path, serial, sizeof serial) < 0)
            continue;
        size_t length = strlen(serial); /* NVMe pads it */
        while (length && serial[length - 1] == ' ')
            serial[--length] = 0;
        if (!strcmp(serial, name))
            return true;
    }
    return false;
}

static bool has_partname(const char *device, const char *name)
{
    char path[320], uevent[512];

    snprintf(path, sizeof path, FOLDER "/%s/uevent", device);
    if (text_read(path, uevent, sizeof uevent) < 0)
        return false;
    for (char *rest = uevent, *line; (line = strsep(&rest, "\n"));)
        if (!strncmp(line, "PARTNAME=", 9) && !strcmp(line + 9, name))
            return true;
    return false;
}

bool disk_find(const char *name, char *device, size_t size)
{
    DIR *disks = opendir(FOLDER);
    bool found = false;

    if (!disks)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(disks));)
        if (entry->d_name[0] != '.' && (has_serial(entry->d_name, name) || has_partname(entry->d_name, name)))
            found = snprintf(device, size, "/dev/%s", entry->d_name) < (int)size;
    closedir(disks);
    return found;
}

static bool there(void)
{
    char device[64];

    return disk_find("fourfold-config", device, sizeof device) && disk_find("fourfold-0", device, sizeof device);
}

void disk_wait(void)
{
    char device[64];

    if (!uevent_wait(there, 20000)) /* SATA links take some seconds */
        fail("no disk %s", disk_find("fourfold-0", device, sizeof device) ? "fourfold-config" : "fourfold-0");
}
