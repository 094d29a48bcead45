"""What the host program is started as."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .control import Control, Guests


def main(argv: Sequence[str]) -> int:
    del sys.path[0]  # the program's own folder: guests do not look there
    sys.dont_write_bytecode = True
    if argv and argv[0] == "--alone":
        from . import alone

        purge()
        return alone.main(argv[1:])
    told = json.loads(os.environ["FOURFOLD_HOST"])
    control = Control(f"{told['folder']}/own/control.sock")
    guests: Guests
    if told["mode"] == "forked":
        from .forked import ForkedGuests

        guests = ForkedGuests(control, told["folder"], told["preload"])
    else:
        from .mounted import MountedGuests

        guests = MountedGuests(control, told["folder"])
    purge()
    control.serve(told["kind"], guests)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # threads that a guest has left behind end with it


def purge() -> None:
    """Take back the plain names that compiled modules put into sys.modules by themselves, as Cython's do."""
    from .worlds import importables

    own = importables(str(Path(__file__).parent.parent / "lib"))[0]
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]
