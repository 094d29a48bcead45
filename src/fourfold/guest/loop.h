/* The one event loop: whoever waits for a descriptor registers a watch. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct watch {
    int fd;
    void (*handler)(struct watch *watch, uint32_t events);
    uint32_t events; /* those it is registered for; 0: it is not registered */
    bool is_timer;
};

/* Waits for `events` on it from now on; none: no longer. The watch must live as long as it is registered. */
void loop_watch(struct watch *watch, uint32_t events);

/* A timer that calls its handler: once after `first_ms`, then every `every_ms` where that is not 0. */
void loop_timer(struct watch *timer, void (*handler)(struct watch *, uint32_t), uint64_t first_ms, uint64_t every_ms);

/* No longer. Harmless where it was never started. */
void loop_timer_stop(struct watch *timer);

/* Handles events for ever. */
_Noreturn void loop_run(void);

/* Milliseconds on a clock that nobody sets. */
uint64_t loop_now(void);
