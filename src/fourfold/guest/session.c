#include "session.h"

#include "cgroup.h"
#include "control.h"
#include "groups.h"
#include "loop.h"
#include "program.h"
#include "say.h"
#include "service.h"
#include "streams.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_SESSIONS = 64, CHUNK = 16384 };

struct session {
    uint16_t number;
    pid_t pid; /* -1: it has ended */
    int exit;
    bool tty;
    char *group;
    struct watch outputs[2]; /* fd -1: closed; of a terminal there is the first alone */
    struct watch input;
    size_t window;      /* bytes of output that the host takes before it says MORE */
    size_t taken;       /* bytes of input that it has not been told of */
    size_t input_size;  /* of what is in `pending` */
    bool input_ends;    /* behind that */
    char pending[WINDOW];
};

static struct session *sessions[MOST_SESSIONS];

static struct session **find(uint16_t number)
{
    for (size_t i = 0; i < MOST_SESSIONS; i++)
        if (sessions[i] && sessions[i]->number == number)
            return &sessions[i];
    return NULL;
}

static void shut(struct watch *watch)
{
    if (watch->fd < 0)
        return;
    loop_watch(watch, 0);
    close(watch->fd);
    watch->fd = -1;
}

static void forget(struct session **place)
{
    struct session *session = *place;

    shut(&session->input);
    shut(&session->outputs[0]);
    shut(&session->outputs[1]);
    groups_leave(session->group);
    free(session);
    *place = NULL;
}

static void refuse(uint16_t number, const struct mistake *mistake)
{
    char text[sizeof mistake->text + 1];
    uint8_t code = mistake->error == ENOENT ? 127 : 126; /* as of sh */

    int size = snprintf(text, sizeof text, "%s\n", mistake->text);
    control_send(number, ERRORS, text, (size_t)size);
    control_send(number, EXIT, &code, 1);
}

/* Sends what it has written, as far as the host takes it. -> whether the stream goes on. */
static bool relay(struct session *session, int index)
{
    char chunk[CHUNK];
    int fd = session->outputs[index].fd;

    while (session->window && control_has_room()) {
        ssize_t count = read(fd, chunk, session->window < sizeof chunk ? session->window : sizeof chunk);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return session->pid >= 0 || session->tty; /* whoever else holds a pipe is not waited for; a terminal is hung up */
        if (count <= 0)
            return false;
        session->window -= (size_t)count;
        control_send(session->number, index ? ERRORS : OUTPUT, chunk, (size_t)count);
    }
    return true;
}

/* Goes on with its output; the last of it is followed by EXIT. */
static void continue_output(struct session **place)
{
    struct session *session = *place;
    bool open = false;

    for (int i = 0; i < 2; i++) {
        struct watch *output = &session->outputs[i];
        if (output->fd >= 0 && !relay(session, i))
            shut(output);
        if (output->fd < 0)
            continue;
        open = true;
        loop_watch(output, session->window && control_has_room() ? EPOLLIN : 0);
    }
    if (open || session->pid >= 0)
        return;
    uint8_t code = (uint8_t)session->exit;
    control_send(session->number, EXIT, &code, 1);
    forget(place);
}

/* The slot of the session that this watch belongs to: it is there as long as the watch is. */
static struct session **owner(struct watch *watch)
{
    for (size_t i = 0; i < MOST_SESSIONS; i++)
        if (sessions[i] && (watch == &sessions[i]->input || watch == &sessions[i]->outputs[0] ||
                            watch == &sessions[i]->outputs[1]))
            return &sessions[i];
    return NULL;
}

static bool is_any(void)
{
    for (size_t i = 0; i < MOST_SESSIONS; i++)
        if (sessions[i])
            return true;
    return false;
}

/* What there was to send is sent; if the last one has ended, an idle machine may be waiting for that. */
static void settle(void)
{
    control_flush();
    if (!is_any())
        service_idle();
}

static void on_output(struct watch *watch, uint32_t events)
{
    (void)events;
    continue_output(owner(watch));
    settle();
}

static void grant(struct session *session)
{
    uint32_t taken = (uint32_t)session->taken;
    uint8_t payload[4] = {(uint8_t)taken, (uint8_t)(taken >> 8), (uint8_t)(taken >> 16), (uint8_t)(taken >> 24)};

    if (taken < WINDOW / 4 && (session->input_size || !taken))
        return;
    session->taken = 0;
    control_send(session->number, MORE, payload, sizeof payload);
}

static void continue_input(struct session *session)
{
    while (session->input_size && session->input.fd >= 0) {
        ssize_t count = write(session->input.fd, session->pending, session->input_size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            break;
        if (count < 0) {
            shut(&session->input); /* it reads no more */
            break;
        }
        session->input_size -= (size_t)count;
        session->taken += (size_t)count;
        memmove(session->pending, session->pending + count, session->input_size);
    }
    if (session->input.fd < 0) { /* it is as if it had read it */
        session->taken += session->input_size;
        session->input_size = 0;
    } else if (!session->input_size && session->input_ends) {
        shut(&session->input);
    } else {
        loop_watch(&session->input, session->input_size ? EPOLLOUT : 0);
    }
    grant(session);
}

static void on_input(struct watch *watch, uint32_t events)
{
    (void)events;
    continue_input(*owner(watch));
    control_flush();
}

static struct session *start(uint16_t number, char *payload, size_t size, struct mistake *mistake)
{
    struct entries entries = {payload, size};
    struct program program;
    struct streams streams;
    struct session *session = NULL;

    if (!entries_valid(&entries)) {
        *mistake = (struct mistake){EINVAL, "cannot run a program: not entries"};
        return NULL;
    }
    if (!program_parse(&program, &entries, mistake))
        return NULL;
    if (!streams_open(&streams, entries_get(&entries, "tty"), program.uid, mistake)) {
        program_free(&program);
        return NULL;
    }
    char *group = groups_enter();
    pid_t pid = program_start(&program, streams.theirs, streams.tty, group, mistake);
    if (pid >= 0 && !(session = calloc(1, sizeof *session))) {
        kill(pid, SIGKILL); /* fails only when it has ended */
        *mistake = (struct mistake){ENOMEM, "cannot run a program: no memory for its streams"};
    }
    streams_close_theirs(&streams);
    program_free(&program);
    if (!session) {
        streams_close_ours(&streams);
        groups_leave(group);
        return NULL;
    }
    session->number = number;
    session->pid = pid;
    session->group = group;
    session->tty = streams.tty;
    session->window = WINDOW;
    session->input = (struct watch){.fd = streams.ours[0], .handler = on_input};
    session->outputs[0] = (struct watch){.fd = streams.ours[1], .handler = on_output};
    session->outputs[1] = (struct watch){.fd = streams.ours[2], .handler = on_output};
    return session;
}

void session_start(uint16_t number, char *payload, size_t size)
{
    struct mistake mistake = {EMFILE, "cannot run a program: too many run already"};
    struct session **place = NULL;

    if (find(number))
        return; /* a client that does not keep count of its own */
    for (size_t i = 0; i < MOST_SESSIONS && !place; i++)
        if (!sessions[i])
            place = &sessions[i];
    if (place && (*place = start(number, payload, size, &mistake)))
        continue_output(place);
    else
        refuse(number, &mistake);
}

void session_input(uint16_t number, const char *bytes, size_t size)
{
    struct session **place = find(number), *session = place ? *place : NULL;

    if (!session || session->input_ends)
        return;
    if (size > WINDOW - session->input_size) {
        say("session %u was sent more than it asked for", number);
        return;
    }
    memcpy(session->pending + session->input_size, bytes, size);
    session->input_size += size;
    if (!size && !session->tty)
        session->input_ends = true;
    else if (!size && session->input_size < WINDOW)
        session->pending[session->input_size++] = 4; /* ^D: what ends the input of a terminal */
    continue_input(session);
}

void session_resize(uint16_t number, const uint8_t *payload, size_t size)
{
    struct session **place = find(number);

    if (place && (*place)->tty && size == 4 && (*place)->outputs[0].fd >= 0)
        streams_resize((*place)->outputs[0].fd, payload[0] | payload[1] << 8, payload[2] | payload[3] << 8);
}

void session_signal(uint16_t number, int signal)
{
    struct session **place = find(number);

    if (place && (*place)->pid >= 0 && signal > 0)
        kill(-(*place)->pid, signal); /* fails only when nobody is left */
}

void session_more(uint16_t number, const uint8_t *payload, size_t size)
{
    struct session **place = find(number);

    if (!place || size != 4)
        return;
    size_t more = payload[0] | payload[1] << 8 | payload[2] << 16 | (size_t)payload[3] << 24;
    size_t room = WINDOW - (*place)->window;
    (*place)->window += more < room ? more : room;
    continue_output(place);
}

void session_reap(pid_t pid, int status)
{
    groups_tidy();
    for (size_t i = 0; i < MOST_SESSIONS; i++) {
        if (!sessions[i] || sessions[i]->pid != pid)
            continue;
        sessions[i]->pid = -1;
        sessions[i]->exit = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        continue_output(&sessions[i]);
        settle();
        return;
    }
}

void sessions_continue(void)
{
    for (size_t i = 0; i < MOST_SESSIONS; i++)
        if (sessions[i])
            continue_output(&sessions[i]);
}

size_t sessions_signal(int signal)
{
    size_t count = 0;

    for (size_t i = 0; i < MOST_SESSIONS; i++) {
        if (!sessions[i])
            continue;
        count++;
        if (sessions[i]->pid >= 0)
            kill(-sessions[i]->pid, signal); /* fails only when nobody is left */
    }
    return count;
}

void sessions_end(void)
{
    for (size_t i = 0; i < MOST_SESSIONS; i++) {
        if (!sessions[i])
            continue;
        if (sessions[i]->group)
            cgroup_kill(sessions[i]->group);
        else if (sessions[i]->pid >= 0)
            kill(-sessions[i]->pid, SIGKILL); /* fails only when nobody is left */
        forget(&sessions[i]);
    }
}
