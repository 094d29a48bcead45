#include "control.h"

#include "loop.h"
#include "port.h"
#include "report.h"
#include "requests.h"
#include "say.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    OUT = 256 << 10,
    OUTPUT_LIMIT = OUT / 2, /* output of sessions goes in up to here */
    REPLY_ROOM = OUT / 4,   /* and nothing more is asked for when less than this is free */
};

static struct watch port = {.fd = -1};
static bool greeted; /* the client has said HELLO */
static bool fresh;   /* and nothing has been written since: the port may not know yet that it is there */
static bool lost;    /* what came was no frame: the rest of this client is not understood */

/* A client that ended within a frame. Its successor's HELLO looks like the rest of that, where we have not seen that
 * there was none in between: it is taken out when it is the last there is and nothing comes after it for a while. Ticks
 * count, not time: while the machine stands still, its client does too. */
static struct watch silence;
static unsigned int ticks;
enum { TICK_MS = 250, HELLO_TICKS = 4, FRAME_TICKS = 20, HELLO_SIZE = 16 };

static uint8_t in[FRAME_HEADER + MOST_PAYLOAD];
static size_t in_size;
static uint8_t out[OUT];
static size_t out_from, out_size;

void control_send(uint16_t session, enum kind kind, const void *payload, size_t size)
{
    if (out_from + out_size + FRAME_HEADER + size > OUT) {
        memmove(out, out + out_from, out_size);
        out_from = 0;
    }
    if (out_size + FRAME_HEADER + size > OUT) {
        say("a frame is lost: the host does not read");
        return;
    }
    uint8_t *frame = out + out_from + out_size;
    uint8_t header[FRAME_HEADER] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), (uint8_t)(size >> 24),
                                    (uint8_t)session, (uint8_t)(session >> 8), (uint8_t)kind, 0};
    memcpy(frame, header, FRAME_HEADER);
    if (size)
        memcpy(frame + FRAME_HEADER, payload, size);
    out_size += FRAME_HEADER + size;
}

bool control_has_room(void)
{
    return out_size < OUTPUT_LIMIT;
}

void control_flush(void)
{
    while (out_size) {
        ssize_t count = write(port.fd, out + out_from, out_size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            break; /* EAGAIN: an event comes when the host has read; others: it is gone, and its end is read as such */
        fresh = false;
        out_from += (size_t)count;
        out_size -= (size_t)count;
    }
    if (!out_size)
        out_from = 0;
}

/* There is no client. What one sends can come before the news of it, so a HELLO that could not be answered stands. */
static void forget_client(void)
{
    if (fresh)
        return;
    sessions_end();
    in_size = out_from = out_size = 0;
    greeted = lost = false;
}

static void take_frame(uint16_t session, uint8_t kind, char *payload, size_t size)
{
    if (kind == HELLO && size == HELLO_SIZE) {
        sessions_end();
        out_from = out_size = 0; /* of a client before: this one looks for its own HELLO */
        greeted = fresh = true;
        control_send(session, HELLO, payload, size);
    } else if (greeted) {
        request_take(session, kind, payload, size);
    }
}

/* Takes the whole frames out of what has come. */
static void take_frames(void)
{
    size_t at = 0;

    while (!lost && in_size - at >= FRAME_HEADER) {
        uint8_t *header = in + at;
        size_t size = header[0] | header[1] << 8 | header[2] << 16 | (size_t)header[3] << 24;
        if (size > MOST_PAYLOAD) {
            lost = true;
            break;
        }
        if (in_size - at < FRAME_HEADER + size || OUT - out_size < REPLY_ROOM)
            break;
        at += FRAME_HEADER + size;
        take_frame((uint16_t)(header[4] | header[5] << 8), header[6], (char *)header + FRAME_HEADER, size);
    }
    memmove(in, in + at, in_size - at);
    in_size -= at;
    if (lost && in_size > FRAME_HEADER + HELLO_SIZE) { /* what a HELLO may be in is kept */
        memmove(in, in + in_size - FRAME_HEADER - HELLO_SIZE, FRAME_HEADER + HELLO_SIZE);
        in_size = FRAME_HEADER + HELLO_SIZE;
    }
}

static void take_all(void)
{
    for (;;) {
        control_flush();
        if (OUT - out_size < REPLY_ROOM)
            return; /* goes on when the host has read */
        take_frames();
        control_flush();
        sessions_continue();
        ssize_t count = read(port.fd, in + in_size, sizeof in - in_size);
        if (count > 0) {
            in_size += (size_t)count;
            ticks = 0;
        }
        if (count == 0)
            forget_client();
        else if (count < 0 && errno != EINTR && errno != EAGAIN)
            say("control channel: %s", strerror(errno));
        if (count == 0 || (count < 0 && errno != EINTR))
            return;
    }
}

/* Whether what has come ends with a HELLO. */
static bool ends_with_hello(void)
{
    static const uint8_t header[FRAME_HEADER] = {HELLO_SIZE, 0, 0, 0, 0, 0, HELLO};

    return in_size >= sizeof header + HELLO_SIZE &&
           !memcmp(in + in_size - HELLO_SIZE - sizeof header, header, sizeof header);
}

/* Whether the rest of a frame is waited for, and not the host to read. */
static bool within_frame(void)
{
    return (in_size || lost) && OUT - out_size >= REPLY_ROOM;
}

static void on_event(struct watch *watch, uint32_t events);

static void on_silence(struct watch *watch, uint32_t events)
{
    ticks++;
    take_all(); /* it may have come while all stood still */
    bool hello = ends_with_hello();
    if (within_frame() && ticks >= (hello ? HELLO_TICKS : FRAME_TICKS)) {
        size_t end = in_size;
        say("the control channel: a client ended within a frame");
        fresh = false;
        forget_client();
        if (hello)
            take_frame(0, HELLO, (char *)in + end - HELLO_SIZE, HELLO_SIZE);
    }
    on_event(watch, events);
}

static void on_event(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    take_all();
    if (!within_frame())
        loop_timer_stop(&silence);
    else if (!silence.events)
        loop_timer(&silence, on_silence, TICK_MS, TICK_MS);
}

void control_begin(void)
{
    port = (struct watch){.fd = port_open("fourfold.control"), .handler = on_event};
    if (port.fd < 0)
        return;
    if (fcntl(port.fd, F_SETFL, O_NONBLOCK) < 0)
        fail("control channel: %s", strerror(errno));
    loop_watch(&port, EPOLLIN | EPOLLOUT | EPOLLET); /* edges: without a client the port is hung up all the time */
}
