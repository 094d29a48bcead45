#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static void shut(int fds[3])
{
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static bool open_terminal(struct streams *streams, const char *size, uid_t uid)
{
    int rows = 24, columns = 80, unlocked = 0;

    sscanf(size, "%d:%d", &rows, &columns); /* as they were, where it says something else */
    int ours = streams->ours[1] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (ours < 0 || ioctl(ours, TIOCSPTLCK, &unlocked) < 0)
        return false;
    int theirs = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (theirs < 0)
        return false;
    streams->theirs[0] = theirs;
    streams->theirs[1] = fcntl(theirs, F_DUPFD_CLOEXEC, 0);
    streams->theirs[2] = fcntl(theirs, F_DUPFD_CLOEXEC, 0);
    streams->ours[0] = fcntl(ours, F_DUPFD_CLOEXEC, 0);
    if (streams->theirs[1] < 0 || streams->theirs[2] < 0 || streams->ours[0] < 0 || fchown(theirs, uid, (gid_t)-1) < 0)
        return false;
    streams_resize(ours, rows, columns);
    return true;
}

static bool open_pipes(struct streams *streams, uid_t uid)
{
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
            return false;
        streams->ours[i] = ends[i == 0];
        streams->theirs[i] = ends[i != 0];
        if (fchown(ends[0], uid, (gid_t)-1) < 0 || fcntl(streams->ours[i], F_SETFL, O_NONBLOCK) < 0)
            return false;
    }
    return true;
}

bool streams_open(struct streams *streams, const char *size, uid_t uid, struct mistake *mistake)
{
    *streams = (struct streams){.tty = size != NULL, .theirs = {-1, -1, -1}, .ours = {-1, -1, -1}};
    if (size ? open_terminal(streams, size, uid) : open_pipes(streams, uid))
        return true;
    mistake->error = errno;
    snprintf(mistake->text, sizeof mistake->text, "cannot run a program: no %s: %s", size ? "terminal" : "pipes",
             strerror(errno));
    streams_close_theirs(streams);
    streams_close_ours(streams);
    return false;
}

void streams_close_theirs(struct streams *streams)
{
    shut(streams->theirs);
}

void streams_close_ours(struct streams *streams)
{
    shut(streams->ours);
}

void streams_resize(int fd, int rows, int columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

    ioctl(fd, TIOCSWINSZ, &size); /* fails only when it is hung up */
}
