#include "requests.h"

#include "control.h"
#include "freeze.h"
#include "identity.h"
#include "names.h"
#include "service.h"
#include "session.h"
#include "usage.h"

#include <errno.h>
#include <string.h>

enum { WORD = 64 };

/* The answer to what needs none: NULL when it is done, or what went wrong. */
static void done(uint16_t session, const char *wrong)
{
    control_send(session, DONE, wrong, wrong ? strlen(wrong) : 0);
}

/* The payload as a word. -> false: too long for any that is meant. */
static bool word(char into[WORD], const char *payload, size_t size)
{
    if (size >= WORD)
        return false;
    memcpy(into, payload, size);
    into[size] = 0;
    return true;
}

static const char *send_signal(const char *name)
{
    int number = signal_number(name);

    if (number < 0)
        return "no such signal";
    return service_signal(number) < 0 ? strerror(errno) : NULL;
}

void request_take(uint16_t session, uint8_t kind, char *payload, size_t size)
{
    char text[WORD] = "";
    bool is_word = word(text, payload, size);

    switch ((enum kind)kind) {
    case SIGNAL:
        done(session, is_word ? send_signal(text) : "no such signal");
        break;
    case TIME:
        done(session, is_word ? identity_time(text, true) : "not seconds since the epoch");
        break;
    case FREEZE:
        done(session, freeze());
        break;
    case THAW:
        done(session, thaw());
        break;
    case USAGE:
        usage_send(session);
        break;
    case EXEC:
        session_start(session, payload, size);
        break;
    case INPUT:
        session_input(session, payload, size);
        break;
    case RESIZE:
        session_resize(session, (uint8_t *)payload, size);
        break;
    case KILL:
        if (is_word)
            session_signal(session, signal_number(text));
        break;
    case MORE:
        session_more(session, (uint8_t *)payload, size);
        break;
    case HELLO:
    case OUTPUT:
    case ERRORS:
    case EXIT:
    case DONE:
        break; /* not from the host */
    }
}
