"""Advice as people read it: a table of services, and a page for one. Pure but for the width of the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fourfold.cli.options import Options
from fourfold.cli.printing import formats, output
from fourfold.cost.advice.model import Reason
from fourfold.cost.advice.words import dollars

if TYPE_CHECKING:
    from fourfold.cost.advice.model import Advice, Change, PatternAdvice

SURE = {"sure": "sure", "fairly": "fairly sure", "unsure": "not sure"}
_COLOURS = {"advised": "green", "close": "yellow", "possible": "blue", "poor": "dim", "impossible": "red"}
_SURE_COLOURS = {"sure": "green", "fairly": "yellow", "unsure": "yellow"}
_WIDEST = 110
_KEPT = "\0"
"""A space at which no line is broken."""
_NAME = 11
"""Columns of a pattern's name."""
_ORIGINS = {
    "general": "",
    "taken": "unless you say otherwise",
    "file": "service file",
    "source": "source",
    "host": "this machine",
    "prices": "prices",
    "traffic": "traffic",
    "measured": "measured",
    "you": "as you say",
}


def overview(found: Sequence[Advice], options: Options) -> list[str]:
    """One line for each service."""
    rows = [(each.service, each.now, _advised(each), SURE[each.sure], _short(each)) for each in found]
    lines = formats.table(("SERVICE", "NOW", "ADVICE", "HOW SURE", "BECAUSE"), rows)
    if sys.stdout.isatty():
        lines = [_cut(line, _width()) for line in lines]
    words = {"not sure": "yellow", "fairly sure": "yellow", "none": "red"}
    return output.shade(lines, words, options)


def page(advice: Advice, options: Options) -> list[str]:
    said: set[str] = set()
    return [
        *_head(advice, options),
        "",
        *(line for each in advice.patterns for line in _pattern(each, said, options)),
        *_changes(advice.changes),
        *_lists(advice),
    ]


def _head(advice: Advice, options: Options) -> Iterator[str]:
    name = output.paint(advice.service, "bold", options)
    if advice.advised is None:
        yield f"{name} runs under no pattern as it is"
    elif advice.advised == advice.now:
        yield f"{name}: {output.paint(advice.advised, 'green', options)}, as it is"
    else:
        yield f"{name}: {output.paint(advice.advised, 'green', options)} instead of {advice.now}"
    if advice.better is not None:
        yield from _wrapped(f"{advice.better} would be better: {_stop(advice)}", "  ", "  ")
    what = f"{_capital(advice.archetype)}. " if advice.archetype else ""
    sure = _capital(SURE[advice.sure])
    why = f": {advice.why_sure}" if advice.why_sure else ""
    unknown = f" Not known: {', '.join(advice.unknown)}." if advice.unknown else ""
    text = f"{what}{sure}{why}. Drawn from {_and(advice.known)}.{unknown}"
    for line in _wrapped(text, "  ", "  "):
        yield line.replace(sure, output.paint(sure, _SURE_COLOURS[advice.sure], options), 1)


def _pattern(each: PatternAdvice, said: set[str], options: Options) -> Iterator[str]:
    """`said`: reasons that stand above already, in full; here they are short."""
    cost = f"   {dollars(each.monthly_cost)} a month: {each.place}" if each.monthly_cost is not None else ""
    standing = (
        output.paint(each.standing, _COLOURS[each.standing], options) if _COLOURS[each.standing] else each.standing
    )
    yield f"  {output.paint(each.pattern.ljust(_NAME), 'bold', options)}{standing}{cost}"
    for blocker in each.blockers:
        needs = "needs" if blocker.kind == "setting" else "no"
        fix = f" ({blocker.fix})" if blocker.fix else ""
        yield from _wrapped(f"{blocker.why}{fix}", f"    {needs.ljust(6)}", " " * 10)
    if each.standing != "impossible":
        for reason in each.reasons:
            yield from _reason(reason, reason.text in said, options)
            said.add(reason.text)


def _reason(reason: Reason, short: bool, options: Options) -> Iterator[str]:
    """`++  requests from outside reach it: …  [service file]`: as many signs as it weighs, three at most."""
    sign = ("+" if reason.points > 0 else "-") * min(abs(reason.points), 3)
    whence = ", ".join(filter(None, (_ORIGINS[reason.origin], reason.evidence)))
    text = reason.text.partition(": ")[0] if short else f"{reason.text}{f' [{whence}]' if whence else ''}"
    lines = _wrapped(text, f"    {sign.ljust(6)}", " " * 10)
    colour = "green" if reason.points > 0 else "red"
    for line in lines:
        yield line.replace(sign, output.paint(sign, colour, options), 1) if line.startswith(f"    {sign}") else line


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield ""
    yield "  It would be another, if"
    for change in sorted(changes, key=lambda each: not each.open):
        about = "not known yet" if change.open else ""
        how = ": ".join(filter(None, (about, _whole(change.how or ""))))
        text = f"{change.condition}{f' ({how})' if how else ''}"
        yield from _wrapped(text, f"    {change.pattern.ljust(_NAME)}", " " * (4 + _NAME))


def _lists(advice: Advice) -> Iterator[str]:
    if advice.notes:
        yield ""
        for note in advice.notes:
            yield from _wrapped(f"{_capital(note)}.", "  ", "  ")
    if advice.surer:
        yield ""
        yield "  To be surer"
        for each in advice.surer:
            yield f"    {each.command}"
            yield from _wrapped(each.tells, " " * 10, " " * 10)
    if advice.move is not None:
        yield ""
        yield f"  To move it, {'after this in its file' if advice.first else 'with no request lost'}"
        for line in advice.first:
            yield from _wrapped(line, "    ", "    ")
        yield f"    {advice.move}"


def _advised(advice: Advice) -> str:
    if advice.advised is None:
        return "none"
    return "stay" if advice.advised == advice.now else advice.advised


def _short(advice: Advice) -> str:
    """What keeps it from a better one, else the reason that counts most, for the advised one or against the one that it
    runs under; without what follows from it."""
    best = advice.patterns[0]
    if advice.advised is None:
        return best.blockers[0].why if best.blockers else ""
    if advice.better is not None:
        return f"{advice.better} would be better: {_stop(advice)}"
    now = next((each for each in advice.patterns if each.pattern == advice.now), best)
    reasons = [each for each in best.reasons if each.points > 0]
    reasons += [each for each in now.reasons if each.points < 0 and now is not best]
    reason = max(reasons, key=lambda each: abs(each.points), default=None)
    return reason.text.partition(": ")[0] if reason is not None else advice.why_sure


def _stop(advice: Advice) -> str:
    """What keeps the better one from being advised."""
    better = next(each for each in advice.patterns if each.pattern == advice.better)
    return next(each.why for each in better.blockers if each.kind != "setting")


def _whole(text: str) -> str:
    """A command stays on one line, so that it can be copied."""
    return text.replace(" ", _KEPT) if text.startswith("fourfold ") else text


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    """Within the terminal; commands are not broken at their hyphens."""
    width = max(_width(), len(first) + 30)
    lines = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
    )
    return [line.replace(_KEPT, " ") for line in lines]


def _width() -> int:
    return min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
