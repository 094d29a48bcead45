"""What an instance has of its own: which boundaries there are, and how many of them a pattern was seen to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fourfold.cli.report import words
from fourfold.cost.comparison import PatternResult

if TYPE_CHECKING:
    from fourfold.cost.comparison import Comparison, Facts, Pattern

BOUNDARIES = {
    "own_process": "process",
    "own_user": "user",
    "own_file_system": "file system",
    "own_network": "network",
    "own_kernel": "kernel",
}
"""Field of Facts -> what it is; each keeps something in that the one above it lets out."""


@dataclass(frozen=True)
class Said:
    """A cell of the table of facts."""

    text: str
    sign: str | None = None
    """yes, no, unknown; None: it is no such fact."""
    more: tuple[str, ...] = ()
    """Lines below it, smaller."""


@dataclass(frozen=True)
class FactRow:
    title: str
    meaning: str | None
    cells: tuple[tuple[Pattern, Said], ...]

    @property
    def short(self) -> bool:
        """Its cells need little room."""
        return all(len(said.text) <= 10 and not said.more for _, said in self.cells)


UNSEEN = Said("not seen", "unknown")


def owned(facts: Facts | None) -> int | None:
    """How many are its own. None: not each of them was seen."""
    seen = [getattr(facts, field, None) for field in BOUNDARIES]
    return None if None in seen else sum(map(bool, seen))


def which(facts: Facts) -> str:
    """Those that are its own, in a few words."""
    own = [name for field, name in BOUNDARIES.items() if getattr(facts, field)]
    others = [name for field, name in BOUNDARIES.items() if not getattr(facts, field)]
    if not own or not others:
        return "all its own" if own else "all shared"
    return f"all but {others[0]}" if len(others) == 1 else ", ".join(own)


def rows(comparison: Comparison) -> tuple[FactRow, ...]:
    """None where nobody looked."""
    results = [result for result in comparison.patterns if result.facts is not None]
    if not results:
        return ()
    made = [FactRow(f"Its own {name}", None, tuple((result.pattern, _yes_or_no(result, field)) for result in results))
            for field, name in BOUNDARIES.items()]  # fmt: skip
    others = (
        ("Kernel", None, _kernel),
        ("Limits that hold", "of those the service has", _limits),
        ("Setuid files", "that a program in it could reach", lambda facts: _counted(facts.setuid_files)),
        ("Packages", "of the system and of the language", lambda facts: _counted(facts.packages)),
        ("Open ports", None, _ports),
        ("Files written", "on its own disk, gone with the instance", _written),
    )
    for title, meaning, said in others:
        cells = tuple((result.pattern, said(result.facts)) for result in results if result.facts)
        if any(cell.sign != "unknown" for _, cell in cells):
            made.append(FactRow(title, meaning, cells))
    return tuple(made)


def _yes_or_no(result: PatternResult, field: str) -> Said:
    found = getattr(result.facts, field)
    if found is None:
        return UNSEEN
    return Said("yes", "yes") if found else Said("no", "no")


def _kernel(facts: Facts) -> Said:
    return Said(facts.kernel) if facts.kernel else UNSEEN


def _limits(facts: Facts) -> Said:
    reasons: dict[str, list[str]] = {}
    for limit, why in facts.limits_missing.items():
        reasons.setdefault(why, []).append(limit)
    missing = tuple(f"not {words.listed(limits)}: {why}" for why, limits in reasons.items())
    if not facts.limits_enforced and not missing:
        return Said("none asked for")
    return Said(words.listed(facts.limits_enforced) or "none", None, missing)


def _counted(number: int | None) -> Said:
    return UNSEEN if number is None else Said(f"{number:,}")


def _ports(facts: Facts) -> Said:
    if "open_ports" in facts.unseen:
        return UNSEEN
    return Said(", ".join(map(str, facts.open_ports)) or "none")


def _written(facts: Facts) -> Said:
    if "files_written" in facts.unseen:
        return UNSEEN
    if not facts.files_written:
        return Said("none")
    return Said(words.count(len(facts.files_written), "file"), None, facts.files_written)
