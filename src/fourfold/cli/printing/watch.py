"""Show something again and again, in place, until Ctrl-C."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fourfold.cli.options import Options
from fourfold.cli.printing.output import is_screen
from fourfold.errors import UserError

EVERY = 1.0
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The alternate screen, as `top` and `less` use it (xterm control sequences, private mode 1049)."""

Pressed = Callable[[str], bool]
"""Takes a key; False: that was the end."""


def watch(
    show: Callable[[], list[str]], options: Options, every: float = EVERY, pressed: Pressed | None = None
) -> None:
    """With `pressed`, keys are taken as they come, and what they change is shown at once.

    Raises UserError when standard output is no screen, and whatever `show` raises.
    """
    if not is_screen(sys.stdout):
        raise UserError("cannot watch: standard output is not a terminal", "leave --watch out")
    lines = show()  # an error is told on the ordinary screen
    with _keys(pressed is not None) as wait:
        sys.stdout.write(_ENTER)
        try:
            while True:
                size = shutil.get_terminal_size()
                shown = "\n".join(f"{line[: size.columns]}{_CLEAR_LINE}" for line in lines[: size.lines])
                sys.stdout.write(_HOME + shown + _CLEAR_REST)
                sys.stdout.flush()
                for key in wait(every):
                    if pressed is not None and not pressed(key):
                        return
                lines = show()
        finally:
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()


@contextmanager
def _keys(wanted: bool) -> Iterator[Callable[[float], str]]:
    """What waits so many seconds, or until keys come, and gives these. Ctrl-C stays what it is."""
    if not (wanted and sys.stdin.isatty()):
        yield _wait
        return
    before = termios.tcgetattr(0)
    tty.setcbreak(0)
    try:
        yield _read
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)  # not waiting for output that nobody reads


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _read(seconds: float) -> str:
    """Several at once when they were typed that fast; escape sequences of other keys mean nothing to anybody."""
    if not select.select([0], [], [], seconds)[0]:
        return ""
    keys = os.read(0, 1024).decode(errors="replace")
    return "" if keys.startswith("\x1b") else keys or "\x04"
