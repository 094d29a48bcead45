"""One app in a process that has nobody else: a worker of a forked group, and pattern process for `shared.app`."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, cast

from . import forks
from .packages import is_site, put_first, with_path
from .serving import App, listener, load, server, traceback_of
from .serving import run as run_server


def run(target: str, folders: Sequence[str], host: str, port: int) -> int:
    """Until TERM; then what is in progress is finished. Answers the exit code."""
    for stream in (sys.stdout, sys.stderr):
        cast(Any, stream).reconfigure(line_buffering=True, errors="backslashreplace")
    sys.path[:0] = with_path([folder for folder in folders if not is_site(folder)], os.environ)
    put_first(*filter(is_site, folders))
    app: App | None = None
    try:
        bound = listener(host, port)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        app = App(load(target, importlib.import_module), target)
        served = server(app)

        def end(*_: object) -> None:
            served.should_exit = True

        signal.signal(signal.SIGTERM, end)
        forks.install()
        run_server(loop, served, bound)
        return 0
    except SystemExit as error:
        if app is not None and app.failure:
            print(app.failure, file=sys.stderr)
        return error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        print(traceback_of(error), end="", file=sys.stderr)
        return 1


def main(argv: Sequence[str]) -> int:
    """`module:attribute FOLDER…`, at $HOST:$PORT."""
    target, *folders = argv
    return run(target, folders, os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"]))
