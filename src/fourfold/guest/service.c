#include "service.h"

#include "cgroup.h"
#include "config.h"
#include "loop.h"
#include "names.h"
#include "output.h"
#include "power.h"
#include "program.h"
#include "report.h"
#include "say.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE = 10 };

static pid_t service = -1;
static char *group;
static struct watch grace;

const char *service_group(void)
{
    return group;
}

static void limit(const char *key, const char *file)
{
    const char *value = entries_get(config(), key);

    if (value && cgroup_set(group, file, value) < 0)
        fail("cannot limit %s to %s: %s", key, value, strerror(errno));
}

void service_start(void)
{
    struct program program;
    struct mistake mistake;

    group = cgroup_make("service");
    if (!group)
        fail("no control group: %s", strerror(errno));
    limit("memory", "memory.max");
    limit("pids", "pids.max");
    if (config_number("idle", 0))
        return;
    if (!program_parse(&program, config(), &mistake))
        fail("%s", mistake.text);
    int output = output_open(program.uid, program.gid), input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0)
        fail("cannot open /dev/null: %s", strerror(errno));
    service = program_start(&program, (int[]){input, output, output}, false, group, &mistake);
    if (service < 0)
        fail("%s", mistake.text);
    close(input);
    if (output != STDERR_FILENO)
        close(output);
    program_free(&program);
}

int service_signal(int number)
{
    if (service < 0) {
        errno = ESRCH;
        return -1;
    }
    return kill(service, number);
}

static void on_grace(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    if (service < 0)
        power_down(); /* an idle machine: whatever runs in it ends with it */
    cgroup_kill(group);
    service_signal(SIGKILL); /* should the service, as root, have hidden the control groups from us */
}

void service_stop(void)
{
    const char *name = entries_get(config(), "stop");
    int number = name ? signal_number(name) : SIGTERM;

    if (grace.events)
        return; /* it has been asked already */
    number = number > 0 ? number : SIGTERM;
    /* Not at once: whoever asks for it is answered before. */
    uint64_t patience = service >= 0 || sessions_signal(number) ? config_number("grace", GRACE) * 1000 : 1;
    loop_timer(&grace, on_grace, patience, 0);
    if (service >= 0)
        service_signal(number);
}

void service_idle(void)
{
    if (service < 0 && grace.events)
        power_down();
}

bool service_reap(pid_t pid, int status)
{
    if (pid != service)
        return false;
    bool oom = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && cgroup_get(group, "memory.events", "oom_kill");
    cgroup_kill(group);
    output_finish();
    if (WIFSIGNALED(status))
        report("ended signal %d%s", WTERMSIG(status), oom ? " oom" : "");
    else
        report("ended exit %d", WEXITSTATUS(status));
    return true;
}
