#include "port.h"

#include "text.h"
#include "uevent.h"
#include "say.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "/sys/class/virtio-ports"

/* Calls `found` for each port with a name until it says that this is it. */
static bool find(const char *name, char *device, size_t size)
{
    DIR *ports = opendir(FOLDER);
    bool found = false;

    if (!ports)
        return false; /* no such driver: a machine without ports */
    for (struct dirent *entry; !found && (entry = readdir(ports));) {
        char path[320], is[64];
        snprintf(path, sizeof path, FOLDER "/%s/name", entry->d_name);
        if (entry->d_name[0] == '.' || text_read(path, is, sizeof is) < 0 || strcmp(is, name) != 0)
            continue;
        found = snprintf(device, size, "/dev/%s", entry->d_name) < (int)size;
    }
    closedir(ports);
    return found;
}

/* Whether the machine has a virtio-serial device: VIRTIO_ID_CONSOLE is 3. */
static bool expected(void)
{
    DIR *devices = opendir("/sys/bus/virtio/devices");
    bool found = false;

    if (!devices)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(devices));) {
        char path[320], id[16];
        snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/device", entry->d_name);
        found = entry->d_name[0] != '.' && text_read(path, id, sizeof id) > 0 && !strcmp(id, "0x0003");
    }
    closedir(devices);
    return found;
}

static bool all_there(void)
{
    char device[320];

    return find("fourfold.report", device, sizeof device) && find("fourfold.output", device, sizeof device) &&
           find("fourfold.control", device, sizeof device);
}

void port_wait(void)
{
    if (expected() && !uevent_wait(all_there, 3000)) /* their names come after the device */
        say("not all ports are there");
}

int port_open(const char *name)
{
    char device[320];

    if (!find(name, device, sizeof device))
        return -1;
    int fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        say("cannot open port %s: %s", name, strerror(errno));
    return fd;
}
