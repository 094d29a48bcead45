"""What the supervisor reports: facts about instances, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Identity:
    """Which process this is. A pid alone is never enough: pids are recycled and machines reboot."""

    pid: int
    start_time: int
    """Field 22 of /proc/PID/stat: clock ticks after boot."""
    boot_id: str


_SHELLS = {126: "a command that cannot be executed", 127: "no such command or library"}
"""What shells and inits mean by it: "Exit Status for Commands" of POSIX.1-2017, XCU 2.8.2. And ld.so(8)."""


@dataclass(frozen=True)
class Exit:
    """How an instance ended. `code` and `signal` are both None when nobody could tell (the spawner was dead)."""

    seq: int
    """Position in the spawner's journal; exits are acknowledged by it."""
    instance: str
    code: int | None
    signal: int | None
    oom: bool
    at: float
    run: int = 1
    """Which spawn of the instance it was: the `run` given to `Supervisor.start`."""
    said: str = ""
    """In words: of a virtual machine that did not tell how its program ended, an invoker or a guest that could not
    start, a guest of which nothing is known but that it is gone, or a host that was killed for it hung."""
    cpu_seconds: float | None = None
    """That it took from its start to its end; None when nobody counted."""
    memory_bytes: int | None = None
    """The most that one of its processes had, likewise."""

    def __str__(self) -> str:
        if self.said and not self.oom:
            return self.said
        if self.oom:
            return "killed: out of memory"
        if self.signal is not None:
            return f"killed by signal {self.signal}"
        if self.code is None:
            return "exit status unknown"
        meaning = _SHELLS.get(self.code)
        return f"exit code {self.code} ({meaning})" if meaning else f"exit code {self.code}"


@dataclass(frozen=True)
class Usage:
    """What an instance has taken, its whole process tree together."""

    cpu_seconds: float
    memory_bytes: int
    processes: int
    threads: int
    descriptors: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True)
class Note:
    """What a host tells of a guest that goes on, or has gone."""

    guest: str
    kind: Literal["leak", "stuck"]
    """It has ended and left something behind; it gets no further."""
    said: str


@dataclass(frozen=True)
class LogLine:
    at: float
    """When it was written, to about a quarter of a second (see spawner.logs)."""
    text: str
