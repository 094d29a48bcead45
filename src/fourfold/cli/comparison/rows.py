"""A comparison's figures and facts as rows of text, one cell for each pattern. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fourfold.cli.printing import formats
from fourfold.cli.printing.money import dollars
from fourfold.cli.report.words import in_gib
from fourfold.cost.figures import BY_NAME, Standing, standings, value

if TYPE_CHECKING:
    from fourfold.cost.comparison import Facts, PatternResult

NOTHING = "-"


@dataclass(frozen=True)
class Cell:
    text: str
    standing: Standing | None = None
    noisy: bool = False


@dataclass(frozen=True)
class Row:
    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class _Kind:
    label: str
    show: Callable[[float], str]


def number(value: float) -> str:
    """`12345.6` -> `12,346`, `4.523` -> `4.52`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(value: float) -> str:
    return formats.size(int(value))


KINDS: dict[str, _Kind] = {
    "build_seconds": _Kind("build, first", formats.duration),
    "rebuild_seconds": _Kind("build, after an edit", formats.duration),
    "artifact_bytes": _Kind("artifact", size),
    "start_seconds": _Kind("start", formats.duration),
    "cold_start_seconds": _Kind("start, the very first", formats.duration),
    "restart_seconds": _Kind("restart", formats.duration),
    "idle_memory_bytes": _Kind("memory, idle", size),
    "loaded_memory_bytes": _Kind("memory, under load", size),
    "next_instance_memory_bytes": _Kind("memory, each next one", size),
    "cpu_seconds_per_1000_requests": _Kind("CPU, 1000 requests", formats.duration),
    "requests_per_second": _Kind("requests/s, at most", number),
    "latency_seconds.p50": _Kind("answered in, p50", formats.duration),
    "latency_seconds.p95": _Kind("answered in, p95", formats.duration),
    "latency_seconds.p99": _Kind("answered in, p99", formats.duration),
    "errors": _Kind("errors", number),
    "deploy_seconds": _Kind("deploy of an edit", formats.duration),
    "requests_lost_in_deploy": _Kind("requests lost in it", number),
    "monthly_cost": _Kind("a month, cloud", dollars),
    "own_hardware_monthly_cost": _Kind("a month, own hardware", dollars),
}
"""Of each of `cost.figures.FIGURES`, in that order."""


def figures(results: Sequence[PatternResult]) -> Iterator[Row]:
    """Those that any of the patterns has."""
    for name, kind in KINDS.items():
        values = [value(each, name) for each in results]
        if any(each is not None for each in values):
            placed = standings(results, BY_NAME[name])
            cells = (
                Cell(NOTHING if found is None else kind.show(found), placed.get(each.pattern), name in each.too_noisy)
                for each, found in zip(results, values, strict=True)
            )
            yield Row(kind.label, tuple(cells))
            if name in _BESIDE:
                label, show = _BESIDE[name]
                texts = [show(each) for each in results]
                if any(text != NOTHING for text in texts):
                    yield Row(f"  {label}", tuple(map(Cell, texts)))


def _base(result: PatternResult) -> str:
    return size(result.base_bytes) if result.base_bytes else NOTHING


def _density(result: PatternResult) -> str:
    each = result.next_instance_memory_bytes
    return NOTHING if each is None else in_gib(each)


def _place(result: PatternResult) -> str:
    return NOTHING if result.costs is None else result.costs.place


_BESIDE: dict[str, tuple[str, Callable[[PatternResult], str]]] = {
    "artifact_bytes": ("on a base of", _base),
    "next_instance_memory_bytes": ("so many in a GiB", _density),
    "monthly_cost": ("rented at", _place),
}
"""What is said below a figure."""


def ranges(results: Sequence[PatternResult]) -> Iterator[Row]:
    """From the lowest round to the highest."""
    for name, kind in KINDS.items():
        found = [each.spread.get(name) for each in results]
        if any(each is not None and each.rounds > 1 for each in found):
            texts = (NOTHING if each is None else f"{kind.show(each.low)} to {kind.show(each.high)}" for each in found)
            yield Row(kind.label, tuple(map(Cell, texts)))


_SHOWN: dict[str, Callable[[Facts], str]] = {
    "own process": lambda facts: _truth(facts.own_process),
    "own user": lambda facts: _truth(facts.own_user),
    "own file system": lambda facts: _truth(facts.own_file_system),
    "own network": lambda facts: _truth(facts.own_network),
    "own kernel": lambda facts: _kernel(facts),
    "limits": lambda facts: " ".join(facts.limits_enforced) or "none",
    "setuid files": lambda facts: _count(facts.setuid_files),
    "packages": lambda facts: _count(facts.packages),
    "open ports": lambda facts: _seen(facts, "open_ports", " ".join(map(str, facts.open_ports)) or "none"),
    "files written": lambda facts: _seen(facts, "files_written", str(len(facts.files_written))),
}


def facts(results: Sequence[PatternResult]) -> Iterator[Row]:
    """Nothing where no pattern was looked into."""
    for label, show in _SHOWN.items():
        texts = [NOTHING if each.facts is None else show(each.facts) for each in results]
        if any(text != NOTHING for text in texts):
            yield Row(label, tuple(map(Cell, texts)))


def _truth(fact: bool | None) -> str:
    return NOTHING if fact is None else "yes" if fact else "no"


def _kernel(facts: Facts) -> str:
    if not facts.own_kernel:
        return _truth(facts.own_kernel)
    return f"yes, {facts.kernel.partition('-')[0]}" if facts.kernel else "yes"


def _seen(facts: Facts, name: str, text: str) -> str:
    return NOTHING if name in facts.unseen else text


def _count(fact: int | None) -> str:
    return NOTHING if fact is None else f"{fact:,}"
