#include "identity.h"

#include "config.h"
#include "report.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { SEED = 64 };

const char *identity_time(const char *text, bool also_back)
{
    char *end;
    errno = 0;
    double seconds = strtod(text, &end);
    struct timespec now;

    if (errno || *end || end == text || !(seconds >= 0 && seconds < 1e11))
        return "not seconds since the epoch";
    struct timespec then = {.tv_sec = (time_t)seconds};
    then.tv_nsec = (long)((seconds - (double)then.tv_sec) * 1e9);
    clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    if (!also_back && (now.tv_sec > then.tv_sec || (now.tv_sec == then.tv_sec && now.tv_nsec >= then.tv_nsec)))
        return NULL;
    return clock_settime(CLOCK_REALTIME, &then) < 0 ? strerror(errno) : NULL;
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

static void reseed(const char *hex)
{
    struct {
        struct rand_pool_info info;
        unsigned char bytes[SEED];
    } pool = {.info = {.entropy_count = SEED * 8, .buf_size = SEED}};

    if (strlen(hex) != 2 * (size_t)SEED)
        fail("configuration: seed has not %d bytes", SEED);
    for (size_t i = 0; i < SEED; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            fail("configuration: seed is not hex");
        pool.bytes[i] = (unsigned char)(high << 4 | low);
    }
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
        fail("cannot take the seed: %s", strerror(errno));
    close(fd);
    explicit_bzero(&pool, sizeof pool);
}

void identity_take(bool restored)
{
    const char *value, *wrong;

    if ((value = entries_get(config(), "seed")))
        reseed(value);
    if ((value = entries_get(config(), "time")) && (wrong = identity_time(value, restored)))
        say("cannot set the clock to %s: %s", value, wrong);
    if ((value = entries_get(config(), "hostname")) && sethostname(value, strlen(value)) < 0)
        fail("cannot take the name %s: %s", value, strerror(errno));
}
