#include "reaper.h"

#include "loop.h"
#include "power.h"
#include "report.h"
#include "service.h"
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static struct watch signals;

static void on_signal(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo signal = {0}; /* one SIGCHLD stands for all that have ended since */
    int status;
    pid_t pid;

    (void)events;
    if (read(watch->fd, &signal, sizeof signal) < 0 && errno != EAGAIN)
        fail("cannot hear of ended processes: %s", strerror(errno));
    if (signal.ssi_signo == SIGTERM)
        service_stop();
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (service_reap(pid, status))
            power_down();
        else
            session_reap(pid, status);
}

void reaper_begin(void)
{
    sigset_t children;

    signal(SIGPIPE, SIG_IGN); /* sessions that read no more */
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigaddset(&children, SIGTERM); /* systemd's word to the agent; nobody sends it to PID 1 */
    sigprocmask(SIG_BLOCK, &children, NULL);
    signals = (struct watch){.fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK), .handler = on_signal};
    if (signals.fd < 0)
        fail("cannot hear of ended processes: %s", strerror(errno));
    loop_watch(&signals, EPOLLIN);
}
