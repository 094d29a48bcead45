"""What the daemon asks for, as values; its end is `fourfold.supervise.spawner.request`. JSON with these very keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

PROTOCOL = 7
"""Raised when requests or answers change. The journal is read across versions (`known`): it must not need a number."""

T = TypeVar("T")


def known(kind: type[T], entries: Mapping[str, Any]) -> T:
    """A dataclass of those of `entries` that it has: an older or newer version wrote them. TypeError: too few."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in entries.items() if name in names})


class Failed(Exception):
    """A start that did not come about: at which `stage`, with which errno, about what (a path, a command)."""

    def __init__(self, stage: str, errno: int, detail: str = "") -> None:
        super().__init__(stage, errno, detail)
        self.stage = stage
        self.errno = errno
        self.detail = detail

    def as_json(self) -> dict[str, Any]:
        return {"stage": self.stage, "errno": self.errno, "detail": self.detail}


@dataclass(frozen=True)
class User:
    uid: int
    gid: int
    name: str
    home: str


@dataclass(frozen=True)
class Bridge:
    """A network namespace of its own, with `eth0` on a bridge of this host."""

    name: str
    """Of the bridge."""
    address: str
    """With its prefix length: 10.177.0.5/16."""
    gateway: str


@dataclass(frozen=True)
class Bundle:
    """What a runtime is given to start the program with. It is the runtime that is forked and exec'ed."""

    folder: str
    """Of this start alone, and removed after it; what the runtime keeps is in there too."""
    files: list[tuple[str, str]]
    """(path, content) in BUNDLE, which only the runtime sees: in memory, in a mount namespace of its own."""
    overlays: dict[str, list[str]]
    """Folder in BUNDLE -> folders of the host that it shows, lowest first; what is written there is in memory."""
    points: list[str]
    """Folders to make in there."""
    size: int
    """Bytes that all of this may take."""
    unmounted: list[str]
    """Mount points of the host that the runtime must not see."""
    cgroups: list[str]
    """Groups that it runs in itself. Those of the Spawn are the program's, and empty at first."""
    leaves: bool
    """It leaves the program behind, with its pid in PID_FILE, and ends with 0. Else the program ends with it."""
    binds: dict[str, str] = field(default_factory=dict)
    """File in BUNDLE -> file of the host that it shows."""
    written: list[str] = field(default_factory=list)
    """Those of them that can be opened for writing."""
    fifos: dict[str, str] = field(default_factory=dict)
    """FIFO in BUNDLE -> what can be read from it; it stays open for writing, so that it has no end."""
    opened: list[tuple[str, str]] = field(default_factory=list)
    """What it has open from descriptor 3 on, in this order: (`tap`, ""), an interface on the bridge that the network
    names; (`listen`, name), a Unix socket in `folder`; (`append`, name), a file in `folder`; (`read`, path)."""
    helpers: dict[str, list[str]] = field(default_factory=dict)
    """Socket in BUNDLE -> program that listens there, on its descriptor 3. They run in the same groups, as the spawner
    does, and end with it."""
    groups: list[int] = field(default_factory=list)
    """That its user is a member of, for it."""
    hidden: list[str] = field(default_factory=list)
    """Folders of the host that are empty in its view; those of the Spawn are for programs without a bundle."""
    as_user: bool = False
    """It runs as the user of the Spawn itself; BUNDLE is that user's. Else it is the runtime that needs root."""
    reports: bool = False
    """How the program ended stands in HOW_IT_ENDED, in its folder: `ended exit 7`, `ended signal 9 oom`."""
    small_pages: bool = False
    """It has no transparent huge pages, even where it asks for them."""


BUNDLE, PID_FILE, REPORT, HOW_IT_ENDED = "bundle", "pid", "report", "guest"
"""In a bundle's folder: a mount point, the pid of what was left behind, what the runtime says when it fails, what a
virtual machine reports."""


@dataclass(frozen=True)
class Spawn:
    """One program to start."""

    instance: str
    run: int
    argv: list[str]
    env: dict[str, str]
    cwd: str
    user: User | None
    mounts: list[tuple[str, str, bool]]
    """(source on the host, target, read-only)"""
    files: list[tuple[str, str]]
    """(path under /run/secrets, content)"""
    hidden: list[str]
    """Folders of the host that are empty in its view."""
    private: bool
    user_namespace: bool
    """Make the namespaces inside a user namespace: what an ordinary user may do."""
    network: str | Bridge
    """`host`, `none` or a bridge."""
    tmp_bytes: int
    cgroups: list[str]
    """Folders of the groups it joins; with `inside`, those belong to that instance."""
    log: str | None
    log_bytes: int
    held: bool
    """Its three streams were passed along; it ends when the connection that asked for it does."""
    tty: bool
    inside: str | None
    """Instance that it belongs to, whose namespaces it enters; with a bundle the runtime does that."""
    bundle: Bundle | None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Spawn:
        """TypeError when keys are missing or unknown: daemon and spawner are of different versions."""
        user, network, bundle = fields["user"], fields["network"], fields["bundle"]
        values = {
            "user": User(**user) if user else None,
            "network": Bridge(**network) if isinstance(network, Mapping) else network,
            "bundle": Bundle(**bundle) if bundle else None,
        }
        return cls(**{**fields, **values})


@dataclass(frozen=True)
class Started:
    """What the journal holds about a program that was started; nothing secret."""

    instance: str
    run: int
    pid: int
    start_time: int
    boot_id: str
    cgroups: list[str] = field(default_factory=list)
    log: str | None = None
    log_bytes: int = 0
    held: bool = False
    inside: str | None = None
    private: bool = False
    user_namespace: bool = False
    network: str = "host"
    """`host`, `none` or `bridge`."""
    runtime_cgroups: list[str] = field(default_factory=list)
    """Groups of its runtime, which may hold the program too."""
    folder: str = ""
    """Removed when it has ended."""
    bundled: bool = False
    """Its first process is an init that tells of a signal as 128 + number."""
    reports: bool = False
    """How it ended stands in HOW_IT_ENDED, in its folder."""
    pending: bool = False
    """The pid is that of a runtime which has yet to leave the program behind."""

    @property
    def key(self) -> tuple[str, int]:
        """A pid alone is somebody else's as soon as it has been waited for."""
        return self.instance, self.run

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Started:
        return known(cls, entries)

    @classmethod
    def of(cls, spawn: Spawn, pid: int, start_time: int, boot_id: str) -> Started:
        bundle = spawn.bundle if spawn.inside is None else None
        return cls(
            instance=spawn.instance,
            run=spawn.run,
            pid=pid,
            start_time=start_time,
            boot_id=boot_id,
            cgroups=spawn.cgroups,
            log=spawn.log,
            log_bytes=spawn.log_bytes,
            held=spawn.held,
            inside=spawn.inside,
            private=spawn.private,
            user_namespace=spawn.user_namespace,
            network=spawn.network if isinstance(spawn.network, str) else "bridge",
            runtime_cgroups=bundle.cgroups if bundle else [],
            folder=bundle.folder if bundle else "",
            bundled=bundle is not None and not bundle.as_user,
            reports=bundle is not None and bundle.reports,
            pending=bundle is not None and bundle.leaves,
        )

    def as_json(self) -> dict[str, Any]:
        return {**vars(self)}

    @property
    def owned_cgroups(self) -> list[str]:
        """Groups that hold this program and its children alone."""
        return [] if self.inside else self.cgroups


@dataclass(frozen=True)
class Ended:
    """One exit; `code` and `signal` are both None when nobody could tell."""

    seq: int
    instance: str
    run: int
    code: int | None
    signal: int | None
    oom: bool
    at: float
    said: str = ""
    """Of one that was to report how it ended and did not: what it reported last, else how its process ended."""
    cpu_seconds: float | None = None
    """That all its processes took; None when nobody counted."""
    memory_bytes: int | None = None
    """The most that one of its processes had; at least what the spawner had when it forked (getrusage(2))."""

    def as_json(self) -> dict[str, Any]:
        return {**vars(self)}
