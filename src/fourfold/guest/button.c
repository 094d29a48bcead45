#include "button.h"

#include "loop.h"
#include "say.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MOST = 32 };

static struct watch devices[MOST];

static void on_event(struct watch *watch, uint32_t events)
{
    struct input_event event[16];
    ssize_t size = read(watch->fd, event, sizeof event);

    (void)events;
    if (size < 0 && errno != EAGAIN && errno != EINTR) { /* it has been unplugged */
        loop_watch(watch, 0);
        close(watch->fd);
        return;
    }
    for (ssize_t i = 0; i < size / (ssize_t)sizeof *event; i++)
        if (event[i].type == EV_KEY && event[i].code == KEY_POWER && event[i].value == 1) {
            say("the power button");
            service_stop();
        }
}

static bool has_power_key(int fd)
{
    unsigned char keys[KEY_MAX / 8 + 1] = {0};

    return ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 && keys[KEY_POWER / 8] >> (KEY_POWER % 8) & 1;
}

void button_begin(void)
{
    for (int i = 0; i < MOST; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return; /* they are numbered without gaps */
        if (!has_power_key(fd)) {
            close(fd);
            continue;
        }
        devices[i] = (struct watch){.fd = fd, .handler = on_event};
        loop_watch(&devices[i], EPOLLIN);
    }
}
