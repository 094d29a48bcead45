"""The daemon's composition root: settings, lock, control, API, until it is told to end.

It may be killed at any moment: instances, spawner and gateway go on, and the next one converges from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from getpass import getpass
from pathlib import Path
from typing import IO, Any, Protocol

from fourfold.api.ready import notifier
from fourfold.control import logformat
from fourfold.control.core import Control
from fourfold.control.facade import Facade
from fourfold.control.faults import clock_of
from fourfold.control.goals import GATEWAY
from fourfold.control.loops import keep_running
from fourfold.control.parts import Parts, open_parts
from fourfold.control.reporting.doctor import examine
from fourfold.control.settings import load_settings
from fourfold.errors import ConflictError, UserError, WorldError
from fourfold.gateway.render import MASTER_SOCKET
from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.supervise.machines.accelerators import with_machines
from fourfold.supervise.powers import probe, with_containers

log = logging.getLogger("fourfold")

LOOK_EVERY = 2.0
"""Seconds between two looks at the folders."""
PRIORITY = -10
"""Nice value of the daemon, and so of the spawner that it starts; instances get 0 (spawner.child)."""


def doctor(paths: Paths) -> None:
    for check in examine(paths, with_machines(with_containers(probe(paths.state)))):
        print(json.dumps(check.model_dump()))


PASSPHRASE = "FOURFOLD_PASSPHRASE"


def restore(paths: Paths, file: str, *, force: bool, without_keys: bool) -> None:
    """Make this home of a backup; prints what came of it as JSON. No daemon may run."""
    from fourfold.control.keeping.restore import restore as make

    layout.create(paths, root=os.geteuid() == 0)
    with only_one(paths), _opened(file) as raw:
        layout.empty_work(paths)  # of a restore that was killed
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        made = make(paths, raw, now=now, force=force, without_keys=without_keys, passphrase=_passphrase)
    print(json.dumps(asdict(made)))


def _opened(file: str) -> IO[bytes]:
    if file == "-":
        return os.fdopen(os.dup(0), "rb")
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise UserError(f"cannot read the backup {file}: {error.strerror}") from error


def _passphrase() -> str:
    """From the environment, or of whoever sits at the terminal."""
    if (given := os.environ.get(PASSPHRASE)) is not None:
        return given
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))  # else it would be read of standard input: the backup
    except OSError:
        raise UserError(
            "cannot open the keys in the backup: they are sealed, and there is nobody to ask; nothing was changed",
            f"give the passphrase in {PASSPHRASE} or --passphrase-file; --without-keys restores all but what is secret",
        ) from None
    return getpass("passphrase of the backup: ")


async def run(paths: Paths) -> None:
    """Begins with Python's garbage collection off (`fourfold.daemon`), and turns it on once it serves."""
    _go_before_services()
    ready = notifier(os.environ)
    settings = load_settings(paths.settings, os.environ)
    logformat.use(settings.log_format)
    layout.create(paths, root=os.geteuid() == 0)
    with only_one(paths):
        parts, (serve, open_lambda_api) = await asyncio.gather(
            open_parts(paths, settings, clock_of(os.environ)), asyncio.to_thread(_load_api)
        )
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        parts.bus.emit("daemon.started", "the daemon has started", pid=os.getpid())
        work = asyncio.create_task(parts.run())
        control = Control(parts, stop)
        lambda_api = await open_lambda_api(parts, control)
        keeping = asyncio.create_task(keep_running("folders", partial(_keep_folders, parts)))
        scraping = asyncio.create_task(_scraping(control, settings.metrics_listen))
        tidying = asyncio.create_task(control.sweep())
        server = asyncio.create_task(serve(parts, control, paths.socket, ready))
        gc.freeze()
        gc.enable()
        ended = asyncio.create_task(stop.wait())
        await asyncio.wait({work, server, ended}, return_when=asyncio.FIRST_COMPLETED)
        await control.close()
        parts.bus.close()
        await lambda_api.close()
        await _end(keeping, tidying, scraping, server, work, ended)
        await parts.close()


async def _keep_folders(parts: Parts) -> None:
    """Whoever clears caches or temporary files may think that `run`, `work` or `caches` can go."""
    unheard = False
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if not parts.paths.daemon_lock.exists():  # all of it was moved or removed: nothing is begun in its old place
            continue
        if gone := layout.missing(parts.paths):
            layout.create(parts.paths, root=os.geteuid() == 0)
            log.warning("another program has removed %s: there again, and empty", ", ".join(map(str, gone)))
        if parts.paths.gateway in gone:
            what = f"another program has emptied {parts.paths.run}: its folders are there again"
            parts.bus.emit("daemon.run-folder-emptied", f"{what}; `fourfold restart` for what had sockets in there")
        was_unheard, unheard = unheard, not (parts.paths.gateway / MASTER_SOCKET).exists()
        if unheard and was_unheard:  # twice: HAProxy itself may just have put another one in its place
            for row in parts.registry.of_service(GATEWAY):
                if row.state in ("ready", "unready"):  # nobody can tell that one anything any more
                    with contextlib.suppress(WorldError):
                        await parts.supervisor.kill(row.id)


async def _scraping(control: Control, address: str) -> None:
    if address:
        from fourfold.api.scraping import Scraping

        await Scraping(control.metrics, address).run()


class _Closes(Protocol):
    async def close(self) -> None: ...


_Serve = Callable[[Parts, Facade, Path, Callable[[], None]], Coroutine[Any, Any, None]]
_OpenLambdaApi = Callable[[Parts, Facade], Coroutine[Any, Any, _Closes]]


def _load_api() -> tuple[_Serve, _OpenLambdaApi]:
    """Importing FastAPI takes a third of a second: meanwhile this host is looked at and the spawner started."""
    from fourfold.api.app import create_app
    from fourfold.api.aws.listener import open_lambda_api
    from fourfold.api.server import serve

    async def serve_all(parts: Parts, facade: Facade, socket: Path, ready: Callable[[], None]) -> None:
        app = create_app(facade)
        if not parts.settings.api_listen:
            await serve(app, socket, ready)
            return
        from fourfold.api.network.serving import on_network  # with TLS: for those who ask for it

        async with on_network(parts, app):
            await serve(app, socket, ready)

    return serve_all, open_lambda_api


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs; a task that had failed shows its error."""
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _go_before_services() -> None:
    """A service that takes all CPU must not keep us from answering, or from starting again one that has died."""
    with contextlib.suppress(OSError):  # without root it is as it is
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


@contextlib.contextmanager
def only_one(paths: Paths) -> Iterator[None]:
    """Two daemons on one state would fight. The lock goes with the process, however it ends."""
    with paths.daemon_lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, socket = layout.holder(paths)
            hint = "use it, or end it with: fourfold daemon stop"
            if socket != str(paths.socket):
                hint = f"use it, with the XDG_RUNTIME_DIR or FOURFOLD_HOME that it has, or end it: kill {pid}"
            raise ConflictError(
                f"cannot start the daemon: one runs already for {paths.state} (pid {pid}, at {socket})", hint
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n{paths.socket}\n")
        file.flush()
        yield
