/* Kinds of frames on the port `fourfold.control`; supervise/machines/guest.py has the same. */
#pragma once

enum kind {
    HELLO = 1,
    SIGNAL = 2,
    EXEC = 4,
    INPUT = 5,
    RESIZE = 6,
    KILL = 7,
    USAGE = 8,
    TIME = 9,
    FREEZE = 10,
    THAW = 11,
    MORE = 12,
    OUTPUT = 32,
    ERRORS = 33,
    EXIT = 34,
    DONE = 35,
};

enum {
    FRAME_HEADER = 8,
    MOST_PAYLOAD = 1 << 20, /* of a frame from the host: EXEC with its environment */
    WINDOW = 65536,         /* bytes of a session that may be on the way in each direction before there is MORE */
};
