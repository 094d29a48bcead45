"""What functions have taken and cost: their usage journals, summed by month.

Journals of invokers that are no more are folded into one small file per function, so that they do not fill the disk:
its sums and the names of the files in them are written at once, and only then are those removed. Whenever the daemon
dies, each line is counted once.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fourfold.control import views as v
from fourfold.control.functions import usage_folder
from fourfold.control.settings import Settings
from fourfold.cost.functions import Taken, bill, invocation
from fourfold.cost.prices import FunctionPrice
from fourfold.errors import UserError, WorldError
from fourfold.functions.journal import SUFFIX, from_line
from fourfold.paths import Paths
from fourfold.store.sources import write_atomically

Months = dict[str, Taken]
"""`2026-11` -> what was taken in it, by UTC."""
SUMS = "sums.json"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def month_of(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def check_month(text: str) -> str:
    if not _MONTH.fullmatch(text):
        raise UserError(f"cannot show the cost of {text!r}: it is no month", "give one such as 2026-11")
    return text


class Costing:
    """All of it reads or writes files: call it in a thread from asyncio."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._folding = threading.Lock()
        self._price = FunctionPrice(settings.price_gb_second, settings.price_request)

    def view(self, app: str, service: str | None, month: str) -> v.CostView:
        """Of all functions of an app that have ever run, or of one. WorldError: a journal cannot be read."""
        names = [service] if service is not None else self.services(app)
        rows = [self._row(name, self.months(app, name).get(month, Taken())) for name in names]
        return v.CostView(
            prices=v.PricesView(as_of={}, sources={}, file=None),
            services=[],
            app=app,
            month=month,
            price_gb_second=self._price.gb_second,
            price_request=self._price.request,
            functions=rows,
            total_usd=sum(row.total_usd for row in rows),
        )

    def months(self, app: str, service: str) -> Months:
        folder = usage_folder(self._paths, app, service)
        try:
            with self._folding:
                sums, folded = _read_sums(folder)
                for path in _journals(folder):
                    if path.name not in folded:
                        _add(sums, _months_of(path))
        except OSError as error:
            raise WorldError(f"cannot read the usage of {service}: {error.strerror} ({error.filename})") from error
        return sums

    def journals(self) -> list[str]:
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
                    _add(sums, _months_of(path))
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

    def _row(self, service: str, taken: Taken) -> v.FunctionCostView:
        costs = bill(taken, self._price)
        return v.FunctionCostView(
            service=service,
            requests=taken.requests,
            failed=taken.failed,
            billed_ms=taken.billed_ms,
            gb_seconds=taken.gb_seconds,
            requests_usd=costs.requests,
            duration_usd=costs.duration,
            total_usd=costs.total,
        )


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


def _months_of(path: Path) -> Months:
    found: Months = {}
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            if (usage := from_line(line)) is not None:
                month = month_of(usage.at)
                taken = invocation(usage.memory, usage.billed_ms, usage.ended != "ok")
                found[month] = found.get(month, Taken()) + taken
    return found


def _add(sums: Months, more: Months) -> None:
    for month, taken in more.items():
        sums[month] = sums.get(month, Taken()) + taken


def _read_sums(folder: Path) -> tuple[Months, set[str]]:
    """And the names of the journals that they hold and that may still be there."""
    try:
        stored: dict[str, Any] = json.loads((folder / SUMS).read_bytes())
    except FileNotFoundError:
        return {}, set()
    return {month: Taken(**each) for month, each in stored["months"].items()}, set(stored["folded"])


def _write_sums(folder: Path, sums: Months, folded: set[str]) -> None:
    content = {"months": {month: asdict(taken) for month, taken in sums.items()}, "folded": sorted(folded)}
    write_atomically(folder / SUMS, json.dumps(content, indent=1).encode(), 0o600)
