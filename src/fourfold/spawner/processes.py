"""All processes of the machine, for trees that no cgroup holds together: one look serves many who ask."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable

from fourfold.spawner import process
from fourfold.spawner.process import Stat, read_text

MARKER = "FOURFOLD_TREE"
"""Where there are no cgroups, this variable is how children of an instance are found: `<instance>:<pid>:<start>`."""


class Processes:
    """What was seen at the last look. A look costs some 20 µs for each process on the machine, be they anybody's."""

    def __init__(self) -> None:
        self.living: dict[int, Stat] = {}
        self.cost = 0.0
        """Seconds that the last look took."""
        self._looked_at = -math.inf
        self._children: dict[int, list[int]] = {}
        self._sessions: dict[int, list[int]] = {}
        self._marks: dict[int, tuple[int, str]] = {}
        """pid -> start time and marker. An environment is read once: it stays what the program was started with."""

    def look(self, since: float) -> None:
        """See what is there, unless the last look began after `since` (monotonic)."""
        if self._looked_at > since:
            return
        self._looked_at = time.monotonic()
        found = ((pid, Stat.of(pid)) for pid in process.all_pids())
        self.living = {pid: stat for pid, stat in found if stat is not None and stat.state not in "ZX"}
        self._children, self._sessions = defaultdict(list), defaultdict(list)
        for pid, stat in self.living.items():
            self._children[stat.parent].append(pid)
            self._sessions[stat.session].append(pid)
        self._marks = {pid: mark for pid, mark in self._marks.items() if pid in self.living}
        self.cost = time.monotonic() - self._looked_at

    def of_session(self, session: int) -> list[int]:
        return self._sessions.get(session, [])

    def marked(self, marker: str, start_time: int) -> list[int]:
        """Of those that started then or later."""
        later = ((pid, stat) for pid, stat in self.living.items() if stat.start_time >= start_time)
        return [pid for pid, stat in later if self._mark(pid, stat) == marker]

    def with_descendants(self, pids: Iterable[int]) -> set[int]:
        found: set[int] = set()
        unvisited = list(pids)
        while unvisited:
            pid = unvisited.pop()
            if pid not in found:
                found.add(pid)
                unvisited += self._children.get(pid, [])
        return found

    def _mark(self, pid: int, stat: Stat) -> str:
        start_time, mark = self._marks.get(pid, (-1, ""))
        if start_time == stat.start_time:
            return mark
        environment = read_text(f"/proc/{pid}/environ") or ""
        mark = next((each for each in environment.split("\0") if each.startswith(f"{MARKER}=")), "")
        if environment:  # there is none for a moment while a program is exec'ed
            self._marks[pid] = stat.start_time, mark
        return mark
