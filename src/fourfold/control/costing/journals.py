"""What functions have taken: their usage journals, summed by month, and by hour as far back as hours are kept.

Journals of invokers that are no more are folded into one small file per function, so that they do not fill the disk:
its sums and the names of the files in them are written at once, and only then are those removed. Whenever the daemon
dies, each line is counted once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fourfold.control.instances.functions import usage_folder
from fourfold.cost.functions import Taken, invocation
from fourfold.errors import WorldError
from fourfold.functions.journal import SUFFIX, from_line
from fourfold.functions.model import Usage
from fourfold.paths import Paths
from fourfold.store.files.sources import write_atomically
from fourfold.store.tables.usage import HOUR, KEEP_HOURS

SUMS = "sums.json"


def month_of(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


@dataclass
class Sums:
    """Of one function."""

    months: dict[str, Taken] = field(default_factory=dict)
    """`2026-11`, by UTC."""
    hours: dict[int, Taken] = field(default_factory=dict)
    """By the epoch second of their beginning."""

    def add(self, usage: Usage) -> None:
        taken = invocation(usage.memory, usage.billed_ms, usage.ended != "ok")
        month, hour = month_of(usage.at), int(usage.at // HOUR) * HOUR
        self.months[month] = self.months.get(month, Taken()) + taken
        self.hours[hour] = self.hours.get(hour, Taken()) + taken

    def recent(self) -> Sums:
        oldest = max(self.hours, default=0) - KEEP_HOURS * HOUR
        return Sums(self.months, {hour: taken for hour, taken in self.hours.items() if hour >= oldest})


class Journals:
    """All of it reads or writes files: call it in a thread from asyncio."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._folding = threading.Lock()

    def sums(self, app: str, service: str) -> Sums:
        """Up to now. WorldError: a journal cannot be read."""
        folder = usage_folder(self._paths, app, service)
        try:
            with self._folding:
                sums, folded = _read_sums(folder)
                for path in _journals(folder):
                    if path.name not in folded:
                        _add(sums, path)
        except OSError as error:
            raise WorldError(f"cannot read the usage of {service}: {error.strerror} ({error.filename})") from error
        return sums

    def names(self) -> list[str]:
        """Names of all."""
        return [path.name for path in self._paths.usage.glob(f"*/*{SUFFIX}")]

    def fold(self, is_over: Callable[[str], bool]) -> int:
        """Sum up the journals of which `is_over(file name)` says that nobody writes to them; -> bytes freed."""
        folders = list(self._paths.usage.iterdir()) if self._paths.usage.is_dir() else []
        return sum(self._fold(folder, is_over) for folder in folders)

    def _fold(self, folder: Path, is_over: Callable[[str], bool]) -> int:
        freed = 0
        with self._folding:
            sums, folded = _read_sums(folder)
            over = [path for path in _journals(folder) if path.name in folded or is_over(path.name)]
            for path in over:
                if path.name not in folded:
                    _add(sums, path)
            if over:
                _write_sums(folder, sums, {path.name for path in over})
            for path in over:
                freed += path.stat().st_size
                path.unlink()
        return freed

    def services(self, app: str) -> list[str]:
        """Those that have ever run as functions."""
        if not self._paths.usage.is_dir():
            return []
        found = (folder.name.partition(".") for folder in self._paths.usage.iterdir())
        return sorted(name for of, _, name in found if of == app)


def is_over(running: Iterable[str], names: Collection[str]) -> Callable[[str], bool]:
    """`running`: instances that may write; `names`: of all files, `INSTANCE-….NUMBER.usage`."""
    alive = tuple(f"{name}-" for name in running)
    newest: dict[str, int] = {}
    for name in names:
        of, number = _parts(name)
        newest[of] = max(newest.get(of, 0), number)
    known = set(names)  # one that was begun since is somebody's

    def over(name: str) -> bool:
        of, number = _parts(name)
        return name in known and (not name.startswith(alive) or number < newest[of])

    return over


def _parts(name: str) -> tuple[str, int]:
    of, _, number = name.removesuffix(SUFFIX).rpartition(".")
    return of, int(number) if number.isdecimal() else 0


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def _add(sums: Sums, path: Path) -> None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            if (usage := from_line(line)) is not None:
                sums.add(usage)


def _read_sums(folder: Path) -> tuple[Sums, set[str]]:
    """And the names of the journals that they hold and that may still be there."""
    try:
        stored: dict[str, Any] = json.loads((folder / SUMS).read_bytes())
    except FileNotFoundError:
        return Sums(), set()
    months = {month: Taken(**each) for month, each in stored["months"].items()}
    hours = {int(hour): Taken(**each) for hour, each in stored.get("hours", {}).items()}
    return Sums(months, hours), set(stored["folded"])


def _write_sums(folder: Path, sums: Sums, folded: set[str]) -> None:
    kept = sums.recent()
    content = {
        "months": {month: asdict(taken) for month, taken in kept.months.items()},
        "hours": {hour: asdict(taken) for hour, taken in kept.hours.items()},
        "folded": sorted(folded),
    }
    write_atomically(folder / SUMS, json.dumps(content, indent=1).encode(), 0o600)
