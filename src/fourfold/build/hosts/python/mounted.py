"""All guests in this process: each in a thread with a loop, under module names, with output and loggers of its own.

The main thread answers the control socket and looks after the others; it runs nothing of theirs.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import caches, forks, logs, owners, surroundings
from .control import Control, Unfit
from .guest import PATIENCE, Mounted
from .memory import Memory
from .owners import Owner
from .packages import Common, ConflictError, is_site, put_first, read, require_version, with_path
from .worlds import World, follow_threads

STUCK = 5.0
"""Seconds that a loop may do one thing."""
LONG = 86_400.0
SWITCH = 0.001
"""Seconds that a thread keeps Python's lock while others wait for it. Usually 5 ms: that adds up where some spin."""


@dataclass
class _Grave:
    """A guest that has ended, until it is looked at what it left behind."""

    guest: str
    owner: Owner
    tree: str
    seen: weakref.ref[Any] | None
    where: Callable[[], str]
    due: float


class MountedGuests:
    def __init__(self, control: Control, folder: str) -> None:
        self._control = control
        self._guests: dict[str, Mounted] = {}
        self._graves: list[_Grave] = []
        self._common = Common(Path(folder) / "own/packages")
        self._common.folder.mkdir()
        self._preparing = threading.Lock()
        self._number = 0
        self._memory = Memory()
        self._closing = False
        put_first(str(self._common.folder))
        owners.install()
        follow_threads(owners.world)
        logs.install()
        surroundings.install()
        signal.signal(signal.SIGTERM, self._terminated)
        signal.set_wakeup_fd(control.waker.fileno(), warn_on_full_buffer=False)
        sys.setswitchinterval(SWITCH)
        forks.install(self._forked)

    def _terminated(self, *_: object) -> None:
        self._closing = True

    def _forked(self) -> None:
        """In a child that a guest has forked, as multiprocessing does: it is no host."""
        self._control.close()
        for guest in self._guests.values():
            guest.forked()

    @property
    def done(self) -> bool:
        return self._closing and not self._guests

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, run = asked["guest"], asked["run"]
        there = self._guests.get(name)
        if there is not None and there.run != run:
            raise Unfit(f"cannot start {name}: another run of it is still there")
        if there is None and (name, run) not in self._control.ended:
            if self._closing:
                raise Unfit(f"cannot start {name}: the host is ending")
            if asked["port"] is None:
                raise Unfit(f"cannot start {name}: it needs a port to serve on")
            self._begin(asked)
        return {"pid": os.getpid()}

    def _begin(self, asked: Mapping[str, Any]) -> None:
        out = surroundings.appending(asked["log"])
        self._number += 1
        word = re.sub(r"\W", "_", asked["name"])
        sources = with_path([folder for folder in asked["argv"][1:] if not is_site(folder)], asked["env"])
        world = World(f"guest{self._number}_{word}", sources, asked["tree"])
        env = surroundings.environment(os.environ, asked)
        owner = Owner(world, surroundings.encoded(env), out)
        owner.loggers = logs.Loggers()
        target, *folders = asked["argv"]
        place = (asked["host"], int(asked["port"]))
        guest = Mounted(asked["guest"], asked["run"], asked["name"], target, asked["tree"], folders, place, owner)
        guest.thread = threading.Thread(target=guest.live, args=(self._prepare,), name=asked["guest"], daemon=True)
        self._guests[guest.name] = guest
        owners.start_as(owner, guest.thread)

    def _prepare(self, guest: Mounted) -> None:
        """Have its dependencies where it finds them. Raises ConflictError and OSError."""
        with owners.as_host(), self._preparing:
            for folder in filter(is_site, guest.folders):
                require_version(folder)
                dists = [each if not guest.is_app(each) else replace(each, local=True) for each in read(folder)]
                if any(dist.name == "django" for dist in dists):
                    raise ConflictError(
                        "Django's settings are the process's, and its apps go by their modules' names, which are "
                        "changed here: use `mode: forked` in the group"
                    )
                own = self._common.own(dists, guest.service)
                for dist in own:
                    guest.owner.world.claim(folder, dist.modules)
                    guest.owner.metadata[dist.name] = Path(folder, dist.info)
                self._common.take([dist for dist in dists if dist not in own], guest.service)
            importlib.invalidate_caches()

    def stop(self, guest: str, run: str, grace: float) -> None:
        self._there(guest, run).stop(grace)

    def kill(self, guest: str, run: str) -> None:
        self._there(guest, run).kill()

    def _there(self, guest: str, run: str) -> Mounted:
        there = self._guests.get(guest)
        if there is None or there.run != run:
            raise Unfit(f"cannot end {guest}: it is not there")
        return there

    def running(self) -> list[dict[str, Any]]:
        return [{"guest": each.name, "run": each.run, "pid": os.getpid()} for each in self._guests.values()]

    def usage(self) -> dict[str, Any]:
        guests = {each.name: each.usage(self._memory.of(each.owner)) for each in self._guests.values()}
        return {"guests": guests, "whole": {"heap_bytes": self._memory.whole, "heap_most": None}}

    def tick(self) -> None:
        now = time.monotonic()
        if self._closing:
            for guest in self._guests.values():
                if guest.grace is None:
                    guest.stop(LONG)
        self._memory.look([each.owner for each in self._guests.values()], now)
        for guest in list(self._guests.values()):
            if not guest.thread.is_alive():
                self._bury(guest, now)
            elif guest.deadline is not None and now > guest.deadline:
                if guest.killed:
                    self._bury(guest, now)
                else:
                    guest.kill()
            elif guest.beat is not None:
                self._watch(guest, now)
        for grave in [grave for grave in self._graves if now > grave.due]:
            self._graves.remove(grave)
            self._look_into(grave)

    def _watch(self, guest: Mounted, now: float) -> None:
        assert guest.beat is not None
        is_stuck = now - guest.beat > STUCK
        if is_stuck and not guest.is_stuck:
            said = f"its event loop has not run for {STUCK:.0f} s: {guest.where()}"
            self._control.post({"event": "note", "guest": guest.name, "kind": "stuck", "said": said})
        guest.is_stuck = is_stuck

    def _bury(self, guest: Mounted, now: float) -> None:
        del self._guests[guest.name]
        event = {"event": "ended", "guest": guest.name, "run": guest.run, "code": None, "signal": None}
        self._control.post({**event, "said": guest.said})
        guest.owner.world.close()
        guest.app = guest.server = guest.loop = None
        self._memory.forget(guest.owner)
        self._graves.append(_Grave(guest.name, guest.owner, guest.tree, guest.seen, guest.where, now + PATIENCE))

    def _look_into(self, grave: _Grave) -> None:
        caches.forget(str(self._common.folder), grave.tree)
        gc.collect()
        threads = grave.owner.threads
        left = []
        if threads:
            names = ", ".join(sorted(thread.name for thread in threads)[:3])
            left.append(f"{len(threads)} of its threads run on ({names})")
            left += [grave.where()] if any(thread.name == grave.guest for thread in threads) else []
        if grave.seen is not None and grave.seen() is not None and not threads:
            left.append("something holds its app, so that the memory is not given back")
        if left:
            said = "; ".join(left)
            self._control.post({"event": "note", "guest": grave.guest, "kind": "leak", "said": said})
        else:
            grave.owner.out.close()
