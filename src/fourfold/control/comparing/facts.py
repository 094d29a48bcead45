"""What an instance was seen to have of its own, and what is in its artifact. Seen, never assumed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fourfold.control.comparing import looking, seen
from fourfold.control.comparing.look import Asked, Found
from fourfold.control.registry import key_of
from fourfold.cost.comparison import Facts
from fourfold.errors import NotFoundError
from fourfold.launch.patterns import needs_machines, unenforced
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact
from fourfold.store.model import InstanceRow

if TYPE_CHECKING:
    from fourfold.control.parts import Parts

_MACHINE, _GVISOR = "qemu-system-", "runsc"
_SLACK = 0.1
"""Seconds: clock ticks after boot say when a process was started, and files when they were written."""


@dataclass(frozen=True)
class _Subject:
    """What is looked at of an instance."""

    row: InstanceRow
    spec: Service
    artifact: Artifact
    pid: int
    """Of the program's first process; of a virtual machine, QEMU's; of a function, a sandbox's."""
    user: seen.User
    machine: bool
    own_process: bool


async def facts_of(parts: Parts, app: str, service: str) -> Facts | None:
    """Of a ready instance, best after it was under load. None: there is none, or it may not be looked at.

    Takes a second or a few: all files that it can reach are looked through, by another process that gives way.
    """
    subject = _subject(parts, f"{app}.{service}")
    if subject is None:
        return None
    pid, machine = subject.pid, subject.machine
    program = seen.program(pid)
    if machine and not program.startswith(_MACHINE):
        return None  # it has just ended
    own_kernel = machine or program == _GVISOR
    own_network = machine or _not(seen.same_network(pid, os.getpid()))
    own_files = own_kernel or _not(seen.same_files(pid, os.getpid()))
    ports = await _ports(parts, subject, own_network or False)
    files = await _files(parts, subject, own_files or False) if program != _GVISOR else None
    written = await _written_in_guest(parts, subject) if machine else (files.written if files is not None else None)
    whole = files is not None and files.whole
    unseen = {"open_ports": ports is None, "files_written": written is None or not whole}
    return Facts(
        own_process=subject.own_process,
        own_user=_own_user(parts, subject),
        own_file_system=own_files,
        own_network=own_network,
        own_kernel=own_kernel,
        kernel=await _kernel(parts, subject, own_kernel),
        limits_enforced=_limits(subject),
        limits_missing=unenforced(subject.row.pattern, subject.spec, parts.supervisor.powers),
        setuid_files=files.setuid_files if files is not None and whole else None,
        packages=files.packages if files is not None and whole else None,
        open_ports=ports or (),
        files_written=tuple(written or ()),
        unseen=tuple(name for name, is_unseen in unseen.items() if is_unseen),
    )


def _subject(parts: Parts, key: str) -> _Subject | None:
    rows = [row for row in parts.registry.of_service(key) if (row.role, row.state) == ("serve", "ready")]
    for row in rows:
        pid = _sandbox(parts, row) if row.pattern == "function" else row.pid
        user = seen.user(pid) if pid is not None else None
        build = parts.registry.build(key_of(row), row.release, row.pattern)
        if pid is None or user is None or build is None:
            continue
        try:
            artifact = parts.artifacts.get(build.artifact)
        except NotFoundError:
            continue
        spec = parts.registry.spec(key, row.release)
        others = [each for each in parts.registry.instances.values() if each.id != row.id and each.state != "exited"]
        own_process = all(each.pid != pid for each in others)
        return _Subject(row, spec, artifact, pid, user, needs_machines(row.pattern, spec), own_process)
    return None


def _sandbox(parts: Parts, row: InstanceRow) -> int | None:
    """The newest process in one."""
    return max(_in_sandboxes(parts, row), key=lambda pid: (seen.started_at(pid, 0.0) or 0.0, pid), default=None)


def _in_sandboxes(parts: Parts, row: InstanceRow) -> set[int]:
    """An invoker's processes that are not root's, as it is itself."""
    return {pid for pid in parts.supervisor.pids(row.id) if (user := seen.user(pid)) is not None and user.uid != 0}


def _not(same: bool | None) -> bool | None:
    return None if same is None else not same


def _own_user(parts: Parts, subject: _Subject) -> bool:
    """Neither the daemon's nor that of an instance of another service."""
    key = key_of(subject.row)
    others = (row for row in parts.registry.instances.values() if key_of(row) != key and row.state != "exited")
    users = {user.uid for row in others if row.pid is not None and (user := seen.user(row.pid)) is not None}
    return subject.user.uid not in {os.geteuid(), *users}


async def _kernel(parts: Parts, subject: _Subject, own: bool) -> str | None:
    if not own:
        return os.uname().release
    if subject.artifact.boot is None:
        return None
    return await asyncio.to_thread(looking.kernel_of, parts, subject.artifact)


def _limits(subject: _Subject) -> tuple[str, ...]:
    if not subject.own_process:
        return ()  # what its host has bounds all of its guests together
    own = {*seen.limits(subject.pid), *(["memory"] if subject.machine else [])}
    return tuple(sorted(own))


async def _ports(parts: Parts, subject: _Subject, own_network: bool) -> tuple[int, ...] | None:
    row, function = subject.row, subject.row.pattern == "function"
    if not subject.machine:
        pids = _in_sandboxes(parts, row) if function else parts.supervisor.pids(row.id)
        return await asyncio.to_thread(seen.ports, {subject.pid, *pids}, own_network)
    usage = await parts.supervisor.guest_usage(row.id) if not function else None
    return seen.guest_ports(usage.listens) if usage is not None else None


async def _files(parts: Parts, subject: _Subject, own: bool) -> Found | None:
    """What of a process is shared with others counts as written by it when it belongs to its user."""
    if subject.machine:
        boot = subject.artifact.boot
        disks = [parts.disks.path(disk) for disk in boot.disks] if boot is not None else []
        return await looking.unpacked(disks, parts.paths.work)
    root = os.geteuid() == 0
    asked = Asked(
        root=f"/proc/{subject.pid}/root",
        skipped=await asyncio.to_thread(seen.skipped, subject.pid, _volumes(subject)),
        uid=subject.user.uid if root else None,
        gid=subject.user.gid,
        groups=subject.user.groups,
        since=_since(parts, subject),
        only_mine=not own,
    )
    return await looking.looked(asked)


async def _written_in_guest(parts: Parts, subject: _Subject) -> list[str] | None:
    """Of a sandbox that is a machine nothing is known: it has no way in."""
    if subject.row.pattern == "function":
        return None
    asked = Asked("/", skipped=(*_volumes(subject), *seen.SCRATCH), since=subject.row.started_at)
    return await looking.written_in_guest(parts, subject.row, subject.artifact.runtime, asked)


def _volumes(subject: _Subject) -> list[str]:
    return [volume.path for volume in subject.spec.volumes]


def _since(parts: Parts, subject: _Subject) -> float | None:
    """Where it is no process of its own: since it was begun in its host."""
    if not subject.own_process:
        return subject.row.started_at
    begun = seen.started_at(subject.pid, parts.clock.now())
    return begun - _SLACK if begun is not None else None
