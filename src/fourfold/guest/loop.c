#include "loop.h"

#include "report.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int the_loop = -1;

void loop_watch(struct watch *watch, uint32_t events)
{
    if (the_loop < 0 && (the_loop = epoll_create1(EPOLL_CLOEXEC)) < 0)
        fail("no event loop: %s", strerror(errno));
    if (events == watch->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int operation = !events ? EPOLL_CTL_DEL : watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(the_loop, operation, watch->fd, &event) < 0)
        fail("cannot wait for descriptor %d: %s", watch->fd, strerror(errno));
    watch->events = events;
}

void loop_timer(struct watch *timer, void (*handler)(struct watch *, uint32_t), uint64_t first_ms, uint64_t every_ms)
{
    struct itimerspec times = {
        .it_value = {(time_t)(first_ms / 1000), (long)(first_ms % 1000) * 1000000 + !first_ms},
        .it_interval = {(time_t)(every_ms / 1000), (long)(every_ms % 1000) * 1000000},
    };

    loop_timer_stop(timer);
    timer->handler = handler;
    timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer->fd < 0 || timerfd_settime(timer->fd, 0, &times, NULL) < 0)
        fail("no timer: %s", strerror(errno));
    timer->is_timer = true;
    loop_watch(timer, EPOLLIN);
}

void loop_timer_stop(struct watch *timer)
{
    if (!timer->events)
        return;
    loop_watch(timer, 0);
    close(timer->fd);
}

void loop_run(void)
{
    for (;;) {
        struct epoll_event event; /* one at a time: a handler may end the watch of the next */
        int count = epoll_wait(the_loop, &event, 1, -1);
        if (count < 0 && errno != EINTR)
            fail("the event loop broke: %s", strerror(errno));
        if (count == 1) {
            struct watch *watch = event.data.ptr;
            uint64_t times; /* the kernel starts a timer that repeats again when this is read */
            if (watch->is_timer && read(watch->fd, &times, sizeof times) < 0)
                continue;
            watch->handler(watch, event.events);
        }
    }
}

uint64_t loop_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
