"""What `fourfold compare` prints: a column for each pattern, and in words what no figure says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from fourfold.cli.comparison import rows as comparison_rows
from fourfold.cli.comparison.rows import Cell, Row
from fourfold.cli.printing import formats, money
from fourfold.cost.comparison import PatternResult

if TYPE_CHECKING:
    from fourfold.cost.comparison import Comparison, Load, Machine

Paint = Callable[[str, str], str]
"""(text, colour) -> the text as it is shown."""
SIGNS = {"best": "+", "worst": "!"}
COLOURS = {"best": "green", "worst": "red"}
_NOISY, _GAP = "?", "  "
_SOURCES = {
    "described": "as described",
    "file": "from a file",
    "recorded": "from its access log",
    "default": "made up, as nothing is known of what it is asked",
}


def page(comparison: Comparison, paint: Paint, verbose: bool = False, width: int | None = None) -> list[str]:
    """All lines. `verbose`: ranges of the rounds, and what was written, too. `width`: of the terminal; a table that is
    wider comes in several parts."""
    shown = [each for each in comparison.patterns if each.available]
    lines = [*_head(comparison)]
    if shown:
        rows = [*comparison_rows.figures(shown)]
        facts = [*comparison_rows.facts(shown)]
        lines += ["", *table(shown, [*rows, *([_gap(len(shown))] if rows and facts else []), *facts], paint, width)]
        lines += ["", paint(_legend(rows, shown), "dim")]
    if verbose and (ranges := [*comparison_rows.ranges(shown)]):
        lines += ["", "Lowest and highest of the rounds:", "", *table(shown, ranges, paint, width)]
    if said := [*_said(comparison, paint, verbose)]:
        lines += ["", *said]
    return lines


def table(results: Sequence[PatternResult], rows: Sequence[Row], paint: Paint, width: int | None = None) -> list[str]:
    """Each cell has a place for its sign behind its text, so that figures stand below each other."""
    names = [f"{each.pattern}{' *' if each.live else '  '}" for each in results]
    texts = [[_text(cell) for cell in row.cells] for row in rows]
    widths = [max(len(name), *(len(line[at]) for line in texts), 0) for at, name in enumerate(names)]
    first = max((len(row.label) for row in rows), default=0)
    lines: list[str] = []
    for part in _parts(widths, width - first if width is not None else None):
        header = _GAP.join(names[at].rjust(widths[at]) for at in part)
        lines += ["", paint(f"{'':{first}}{_GAP}{header}".rstrip(), "bold")]
        for row, line in zip(rows, texts, strict=True):
            cells = _GAP.join(_painted(row.cells[at], line[at].rjust(widths[at]), paint) for at in part)
            lines.append(f"{row.label:{first}}{_GAP}{cells}".rstrip())
    return lines[1:]


def _parts(widths: Sequence[int], room: int | None) -> Iterator[list[int]]:
    """Columns that stand beside each other."""
    part: list[int] = []
    for at in range(len(widths)):
        if part and room is not None and sum(widths[each] + len(_GAP) for each in (*part, at)) > room:
            yield part
            part = []
        part.append(at)
    yield part


def _gap(columns: int) -> Row:
    return Row("", (Cell(""),) * columns)


def _text(cell: Cell) -> str:
    return f"{cell.text} {_NOISY if cell.noisy else SIGNS.get(cell.standing or '', ' ')}"


def _painted(cell: Cell, text: str, paint: Paint) -> str:
    return paint(text, COLOURS[cell.standing]) if cell.standing and not cell.noisy else text


def _legend(rows: Sequence[Row], shown: Sequence[PatternResult]) -> str:
    cells = [cell for row in rows for cell in row.cells]
    parts = ["+ best  ! worst"] if any(cell.standing for cell in cells) else []
    parts += ["? its rounds differ too much to tell"] if any(cell.noisy for cell in cells) else []
    parts += ["* it runs so now"] if any(each.live for each in shown) else []
    return "  ".join(parts)


# -- in words ---------------------------------------------------------------------------------------------------------


def _head(comparison: Comparison) -> Iterator[str]:
    rounds = formats.count(comparison.rounds, "round")
    took = formats.seconds(comparison.seconds)
    quick = ", quick" if comparison.quick else ""
    where = _machine(comparison.machine)
    yield f"{comparison.app}.{comparison.service}, release {comparison.release}: {rounds} in {took}{quick}, on {where}"
    yield _load(comparison.load)


def _machine(machine: Machine) -> str:
    under = f", virtual machines under {machine.accelerator.upper()}" if machine.accelerator else ""
    cores = formats.count(machine.cores, "core")
    return f"{cores} and {formats.size(machine.memory_bytes)}, Linux {machine.kernel}{under}"


def _load(load: Load) -> str:
    if not load.distinct_requests:
        return "asked nothing: it takes no requests"
    different = formats.count(load.distinct_requests, "request")
    such = f", such as {load.examples[0]}" if load.examples else ""
    rate = comparison_rows.number(load.requests_per_second)
    long = formats.seconds(load.duration_seconds)
    return f"asked {rate} times a second for {long} a round: {different} {_SOURCES[load.source]}{such}"


def _said(comparison: Comparison, paint: Paint, verbose: bool) -> Iterator[str]:
    if comparison.noise:
        yield f"{paint('noisy:', 'yellow')} {comparison.noise}"
    for each in comparison.patterns:
        if not each.available:
            yield f"{each.pattern}: {paint('not available', 'yellow')}: {each.reason or 'no reason is known'}"
        elif each.reason:
            yield f"{each.pattern}: {paint('not measured to its end', 'yellow')}: {each.reason}"
        for note in each.notes:
            yield f"{each.pattern}: {note}"
        if each.facts is not None:
            for limit, why in each.facts.limits_missing.items():
                yield f"{each.pattern}: {limit} is not limited: {why}"
            if verbose:
                for path in each.facts.files_written:
                    yield f"{each.pattern}: wrote {path}, which goes with the instance"
    if comparison.requests_per_month is not None and any(each.monthly_cost is not None for each in comparison.patterns):
        dates = {each.costs.as_of for each in comparison.patterns if each.costs is not None and each.costs.as_of}
        of = f" at prices of {' and '.join(sorted(dates))}" if dates else ""
        yield f"a month is one of {money.rounded(comparison.requests_per_month)} requests{of}"
    for line in money.break_evens(comparison.break_even):
        yield f"in the cloud {line}"
