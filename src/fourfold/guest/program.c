#include "program.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_GROUPS = 65536, DESCRIPTORS = 65536 };
static char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static char **words(const struct entries *entries, const char *key)
{
    size_t count = 0;
    char **list = calloc(entries_count(entries, key) + 1, sizeof *list);

    if (list)
        for (const char *value = NULL; (value = entries_next(entries, key, value));)
            list[count++] = (char *)value;
    return list;
}

static bool parse_groups(struct program *program, const char *text)
{
    char *copy = strdup(text), *rest = copy, *word;
    unsigned long long number;
    bool right = copy != NULL;

    program->groups = calloc(strlen(text) / 2 + 1, sizeof *program->groups);
    while (right && program->groups && (word = strsep(&rest, ",")))
        if ((right = text_number(word, 10, 0xfffffffe, &number) && program->group_count < MOST_GROUPS))
            program->groups[program->group_count++] = (gid_t)number;
    free(copy);
    return right && program->groups;
}

static bool parse_number(const struct entries *entries, const char *key, unsigned int usual, unsigned int *value)
{
    const char *text = entries_get(entries, key);
    unsigned long long number = usual;

    if (text && !text_number(text, 10, 0xfffffffe, &number))
        return false;
    *value = (unsigned int)number;
    return true;
}

bool program_parse(struct program *program, const struct entries *entries, struct mistake *mistake)
{
    const char *wrong = NULL, *groups = entries_get(entries, "groups");

    *program = (struct program){.cwd = entries_get(entries, "cwd")};
    if (!program->cwd)
        program->cwd = "/";
    program->argv = words(entries, "argv");
    program->env = words(entries, "env");
    if (!program->argv || !program->env)
        wrong = "no memory for its words";
    else if (!program->argv[0] || !*program->argv[0])
        wrong = "no argv";
    else if (!parse_number(entries, "uid", 0, &program->uid))
        wrong = "uid is not a number";
    else if (!parse_number(entries, "gid", 0, &program->gid))
        wrong = "gid is not a number";
    else if (!parse_number(entries, "descriptors", DESCRIPTORS, &program->descriptors))
        wrong = "descriptors is not a number";
    else if (groups && *groups && !parse_groups(program, groups))
        wrong = "groups are not numbers";
    if (!wrong)
        return true;
    mistake->error = EINVAL;
    snprintf(mistake->text, sizeof mistake->text, "cannot run a program: %s", wrong);
    program_free(program);
    return false;
}

void program_free(struct program *program)
{
    free(program->argv);
    free(program->env);
    free(program->groups);
    *program = (struct program){0};
}

enum stage { GROUP, TERMINAL, USER, FOLDER, RUN };
struct trouble {
    enum stage stage;
    int error;
};

/* What a program is not to have as PID 1, or the agent, has it. */
static void shed(const struct program *program)
{
    struct rlimit descriptors = {program->descriptors, program->descriptors};
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    text_write("/proc/self/oom_score_adj", "0"); /* it is 0 already where there is no such file */
    setrlimit(RLIMIT_NOFILE, &descriptors);      /* fails only where a unit of systemd allows less */
}

static int enter_group(const char *cgroup)
{
    char path[320];

    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
    return text_write(path, "0");
}

/* In the child, from the fork to the program. -> the stage that failed, with errno. */
static enum stage become(const struct program *program, const int streams[3], bool terminal, const char *cgroup)
{
    shed(program);
    if (cgroup && enter_group(cgroup) < 0)
        return GROUP;
    setsid(); /* cannot fail: we have just been forked */
    for (int i = 0; i < 3; i++)
        if (dup2(streams[i], i) < 0)
            return TERMINAL;
    if (terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        return TERMINAL;
    if (setgroups(program->group_count, program->groups) < 0 || setgid(program->gid) < 0 || setuid(program->uid) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return USER;
    if (chdir(program->cwd) < 0)
        return FOLDER;
    umask(022);
    environ = program->env;
    bool has_path = false;
    for (char **variable = program->env; *variable; variable++)
        has_path |= !strncmp(*variable, "PATH=", 5);
    if (!has_path)
        putenv(default_path);
    execvp(program->argv[0], program->argv);
    return RUN;
}

static void describe(struct mistake *mistake, const struct program *program, struct trouble trouble)
{
    const char *why = strerror(trouble.error);

    mistake->error = trouble.error;
    switch (trouble.stage) {
    case GROUP:
        snprintf(mistake->text, sizeof mistake->text, "cannot enter its control group: %s", why);
        break;
    case TERMINAL:
        snprintf(mistake->text, sizeof mistake->text, "cannot take its standard streams: %s", why);
        break;
    case USER:
        snprintf(mistake->text, sizeof mistake->text, "cannot become user %u: %s", program->uid, why);
        break;
    case FOLDER:
        snprintf(mistake->text, sizeof mistake->text, "cannot enter %.150s: %s", program->cwd, why);
        break;
    case RUN:
        snprintf(mistake->text, sizeof mistake->text, "cannot run %.150s: %s", program->argv[0], why);
        break;
    }
}

pid_t program_start(const struct program *program, const int streams[3], bool terminal, const char *cgroup,
                    struct mistake *mistake)
{
    int news[2]; /* closed by exec; else what went wrong */
    struct trouble trouble;
    pid_t pid = -1;

    bool piped = pipe2(news, O_CLOEXEC) == 0;
    if (!piped || (pid = fork()) < 0) {
        mistake->error = errno;
        snprintf(mistake->text, sizeof mistake->text, "cannot start a process: %s", strerror(errno));
        if (piped) {
            close(news[0]);
            close(news[1]);
        }
        return -1;
    }
    if (!pid) {
        trouble.stage = become(program, streams, terminal, cgroup);
        trouble.error = errno;
        if (write(news[1], &trouble, sizeof trouble) < 0)
            _exit(126);
        _exit(127);
    }
    close(news[1]);
    ssize_t count;
    do
        count = read(news[0], &trouble, sizeof trouble);
    while (count < 0 && errno == EINTR);
    close(news[0]);
    if (count != sizeof trouble)
        return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    describe(mistake, program, trouble);
    return -1;
}
