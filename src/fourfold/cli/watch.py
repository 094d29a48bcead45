"""Show something again and again, in place, until Ctrl-C."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

from fourfold.cli.options import Options
from fourfold.errors import UserError

EVERY = 1.0
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The alternate screen, as `top` and `less` use it (xterm control sequences, private mode 1049)."""


def watch(show: Callable[[], list[str]], options: Options) -> None:
    """Raises UserError when standard output is no terminal, and whatever `show` raises."""
    if not sys.stdout.isatty():
        raise UserError("cannot watch: standard output is not a terminal", "leave --watch out")
    lines = show()  # an error is told on the ordinary screen
    sys.stdout.write(_ENTER)
    try:
        while True:
            size = shutil.get_terminal_size()
            shown = "\n".join(f"{line[: size.columns]}{_CLEAR_LINE}" for line in lines[: size.lines])
            sys.stdout.write(_HOME + shown + _CLEAR_REST)
            sys.stdout.flush()
            time.sleep(EVERY)
            lines = show()
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
