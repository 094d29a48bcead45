"""What hosts say of their guests: compared with what is known, believed as far as it can be true.

A host is not trusted: pids that it names are looked at, guests that nobody recorded are none, and what is no value of
the protocol counts as nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fourfold.errors import WorldError
from fourfold.launch.model import Limits
from fourfold.spawner import kernel
from fourfold.spawner.process import open_exactly, status_of_zombie
from fourfold.supervise.hosts.folders import HostFolders
from fourfold.supervise.hosts.hosts import Guest, Host
from fourfold.supervise.hosts.workers import Workers
from fourfold.supervise.model import Exit, Identity, Note

log = logging.getLogger(__name__)

_LATE = 5.0
"""Seconds that a host has to tell that a worker of it has ended; then it is told without."""
_MOST_SAID = 4000
_MOST_TOLD = 1000
_MOST_STRANGERS = 100
_NOTE_EVERY = 10.0
"""Seconds between two notes of one kind about one guest."""


class Hearing:
    def __init__(
        self,
        folders: HostFolders,
        workers: Workers,
        hear: Callable[[Exit], None],
        note: Callable[[Note], None],
        tell: Callable[[Host, str, str, int], None],
    ) -> None:
        """`hear` gets each end, `note` what is noted of a guest; `tell` asks a host to kill or forget one, soon."""
        self._folders = folders
        self._workers = workers
        self._hear = hear
        self._note = note
        self._tell = tell

    def compare(self, host: Host, listed: Any) -> None:
        told = listed if isinstance(listed, dict) else {}
        for event in _objects(told.get("ended")):
            self._end_told(host, event)
        there = {(str(each["guest"]), int(each["run"])): each for each in _objects(told.get("guests"))}
        for guest in list(host.guests.values()):
            each = there.pop((guest.name, guest.record.run), None)
            if guest.ended or guest.starting:
                continue  # it is told again that it is to start, and answers again
            if each is None and guest.record.pid is None:
                del host.guests[guest.name]  # whoever was to tell the host of it died before: it has never been there
                continue
            if each is None:
                self.ended(host, guest, None, None, "its host knows nothing of it any more")
                continue
            try:
                self.started(host, guest, each)
            except WorldError as error:
                log.warning("%s", error)
        for name, run in list(there)[:_MOST_STRANGERS]:  # nobody wants those, or not any more
            self._tell(host, "kill", name, run)

    def event(self, host: Host, event: Mapping[str, Any]) -> None:
        name, kind, said = event.get("guest"), event.get("kind"), event.get("said")
        if event.get("event") == "ended":
            return self._end_told(host, event)
        known = isinstance(name, str) and (name in host.guests or name in host.told)
        if event.get("event") == "note" and known and isinstance(said, str) and (kind == "leak" or kind == "stuck"):
            note, now = Note(str(name), kind, said[:_MOST_SAID]), time.monotonic()
            if now - host.noted.get((note.guest, kind), -math.inf) > _NOTE_EVERY:
                host.noted[note.guest, kind] = now
                self._note(note)

    def started(self, host: Host, guest: Guest, answer: Any) -> Identity:
        """Before whatever its host says next is looked at: that may be its end. WorldError."""
        pid = answer.get("pid") if isinstance(answer, dict) else None
        identity = self._workers.identify(host.group, host.identity, pid) if type(pid) is int and pid > 0 else None
        others = [each.identity for each in host.guests.values() if each is not guest]
        if identity is None or (identity != host.identity and identity in others):
            raise WorldError(
                f"cannot start {guest.name}: its host {host.name} says that it is process {pid!r:.20}, which is not so"
            )
        if host.guests.get(guest.name) is not guest:
            raise WorldError(f"cannot start {guest.name}: it is not wanted any more")
        if identity != host.identity:
            self._workers.confine(host.group, guest.group, identity, Limits(**guest.record.limits))
        guest.record = replace(guest.record, pid=identity.pid, start_time=identity.start_time)
        with suppress(OSError):  # without it the next daemon hears it from the host
            self._folders.note(host.group, guest.name, guest.record)
        self.runs(host, guest, identity)
        return identity

    def runs(self, host: Host, guest: Guest, identity: Identity) -> None:
        guest.identity = identity
        if identity == host.identity or guest.pidfd >= 0:
            return
        loop, fd = asyncio.get_running_loop(), open_exactly(identity.pid, identity.start_time)
        if fd is None:
            loop.call_later(_LATE, self._is_late, host, guest)
            return
        guest.pidfd = fd
        loop.add_reader(fd, self._worker_ended, host, guest)

    def _worker_ended(self, host: Host, guest: Guest) -> None:
        """Its host is to tell, and to say how; unless it hangs."""
        asyncio.get_running_loop().remove_reader(guest.pidfd)
        asyncio.get_running_loop().call_later(_LATE, self._is_late, host, guest)

    def _is_late(self, host: Host, guest: Guest) -> None:
        if guest.identity is None or host.gone:
            return
        status = status_of_zombie(guest.identity.pid, guest.identity.start_time)
        if status is None and guest.pidfd >= 0:
            status = kernel.exit_status(guest.pidfd)
        code = os.waitstatus_to_exitcode(status) if status is not None else None
        by_signal = code is not None and code < 0
        self.ended(host, guest, None if by_signal else code, -code if code is not None and by_signal else None, "")

    def _end_told(self, host: Host, event: Mapping[str, Any]) -> None:
        name, run, said = event.get("guest"), event.get("run"), event.get("said")
        guest = host.guests.get(name) if isinstance(name, str) else None
        if guest is None or guest.record.run != run:
            if isinstance(name, str) and type(run) is int:
                self._tell(host, "forget", name, run)
            return
        code, number = _within(event.get("code"), 255), _within(event.get("signal"), 64)
        self.ended(host, guest, code, number or None, said[:_MOST_SAID] if isinstance(said, str) else "")

    def ended(self, host: Host, guest: Guest, code: int | None, number: int | None, said: str) -> None:
        if guest.ended:
            return
        oom = code != 0 and self._is_short_of_memory(host, guest, number)
        guest.ended, guest.identity = True, None
        host.told.pop(guest.name, None)
        host.told[guest.name] = guest.record.run
        if len(host.told) > _MOST_TOLD:
            oldest = next(iter(host.told))
            del host.told[oldest]
            for kind in ("leak", "stuck"):
                host.noted.pop((oldest, kind), None)
        unwatch(guest)
        exit = Exit(0, guest.name, code, number, oom, at=0.0, run=guest.record.run)
        if said and (code, number) != (None, None):
            said = f"{exit}: {said}"  # its last words do not say how it ended
        self._hear(replace(exit, said=said))

    def _is_short_of_memory(self, host: Host, guest: Guest, number: int | None) -> bool:
        """Whether a worker ended for that: maybe before it could be put into its group."""
        if guest.record.pid in (None, host.identity.pid):
            return False
        early = number == signal.SIGKILL and self._workers.memory_kills(host.group) > guest.kills
        return early or self._workers.memory_kills(host.group, guest.group) > 0


def unwatch(guest: Guest) -> None:
    """Let go of its process."""
    if guest.pidfd >= 0:
        with suppress(RuntimeError):  # the loop has ended
            asyncio.get_running_loop().remove_reader(guest.pidfd)
        os.close(guest.pidfd)
        guest.pidfd = -1


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """What is one of a list; a host may say anything."""
    found = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return [each for each in found if isinstance(each.get("guest"), str) and isinstance(each.get("run"), int)]


def _within(value: Any, most: int) -> int | None:
    return value if type(value) is int and 0 <= value <= most else None
