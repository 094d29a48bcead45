"""Advice on one service: the pattern that fits it, why, what would change that, how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from fourfold.cost.advice.case import Case
from fourfold.cost.advice.conditions import holds
from fourfold.cost.advice.engine import Outcome, judge
from fourfold.cost.advice.facts import facts_of
from fourfold.cost.advice.model import Advice, Blocker, Change, Command, Facts, PatternAdvice
from fourfold.cost.advice.rules import Rules, standard
from fourfold.cost.comparison import PATTERNS, Pattern

Standing = Literal["advised", "close", "possible", "poor", "impossible"]
_CLOSE, _POSSIBLE = 1, 3
"""Points behind the advised one."""
_CLEAR = 2
"""Points by which the advised one must lead for the answer to be sure."""


def advise(case: Case, rules: Rules | None = None) -> Advice:
    rules = rules or standard()
    facts = facts_of(case, rules)
    blocked = {pattern: case.blockers.get(pattern, ()) for pattern in PATTERNS}
    possible = [pattern for pattern in PATTERNS if not _stops(blocked[pattern])]
    outcome = judge(rules, facts)
    best = outcome.best(possible)
    changes = tuple(_changes(case, rules, facts, outcome, blocked, best))
    sure, why = _sureness(case, outcome, possible, best, changes)
    known, unknown = _knowledge(case)
    return Advice(
        app=case.app,
        service=case.service,
        now=case.now,
        advised=best,
        better=outcome.order[0] if best not in (None, outcome.order[0]) else None,
        archetype=next((each.name for each in rules.archetypes if holds(each.when, facts)), None),
        sure=sure,
        why_sure=why,
        known=known,
        unknown=unknown,
        patterns=tuple(_patterns(case, outcome, blocked, best)),
        changes=changes,
        surer=tuple(_surer(case, changes)),
        first=tuple(each.fix or each.why for each in blocked[best]) if best is not None else (),
        move=_command(case, f"deploy {case.service} --as {best}") if best not in (None, case.now) else None,
        notes=tuple(_notes(case, best, possible)),
    )


def _stops(blockers: tuple[Blocker, ...]) -> bool:
    return any(each.kind != "setting" for each in blockers)


def _patterns(
    case: Case, outcome: Outcome, blocked: Mapping[Pattern, tuple[Blocker, ...]], best: Pattern | None
) -> Iterator[PatternAdvice]:
    for pattern in sorted(outcome.order, key=lambda each: (each != best, _stops(blocked[each]))):
        price = case.prices.get(pattern) if case.knows_traffic else None
        yield PatternAdvice(
            pattern=pattern,
            standing=_standing(pattern, outcome, blocked, best),
            points=outcome.points[pattern],
            reasons=outcome.reasons[pattern],
            blockers=blocked[pattern],
            monthly_cost=price.dollars if price is not None else None,
            place=price.place if price is not None else None,
        )


def _standing(
    pattern: Pattern, outcome: Outcome, blocked: Mapping[Pattern, tuple[Blocker, ...]], best: Pattern | None
) -> Standing:
    if _stops(blocked[pattern]):
        return "impossible"
    if pattern == best or best is None:
        return "advised"
    behind = outcome.points[best] - outcome.points[pattern]
    return "close" if behind <= _CLOSE else "possible" if behind <= _POSSIBLE else "poor"


def _changes(
    case: Case,
    rules: Rules,
    facts: Facts,
    outcome: Outcome,
    blocked: Mapping[Pattern, tuple[Blocker, ...]],
    best: Pattern | None,
) -> Iterator[Change]:
    """What stops a better one; what would bring another one out if it were so, judged like the service itself."""
    possible = [pattern for pattern in PATTERNS if not _stops(blocked[pattern])]
    for pattern in outcome.order:
        if pattern == best:
            break
        stops = [each for each in blocked[pattern] if each.kind != "setting"]
        condition = f"this did not stop it: {'; '.join(each.why for each in stops)}"
        fixes = "; ".join(each.fix for each in stops if each.fix)
        yield Change(pattern=pattern, condition=condition, open=False, how=fixes or None)
    for scenario in rules.scenarios:
        if not holds(scenario.when, facts) or (scenario.unless and holds(scenario.unless, facts)):
            continue
        other = judge(rules, {**facts, **scenario.supposes}).best(possible)
        if other is not None and other != best:
            is_open = next(iter(scenario.supposes)) not in facts
            how = _learn(case, scenario.learn) if is_open or scenario.learn == "you" else None
            yield Change(pattern=other, condition=scenario.says, open=is_open, how=how and how.command)


def _sureness(
    case: Case, outcome: Outcome, possible: list[Pattern], best: Pattern | None, changes: tuple[Change, ...]
) -> tuple[Literal["sure", "fairly", "unsure"], str]:
    if best is None:
        return "sure", "something stops it under every pattern"
    if len(possible) == 1:
        return "sure", "it runs under no other pattern as it is"
    open_ones = [each for each in changes if each.open]
    second = outcome.best([pattern for pattern in possible if pattern != best])
    lead = outcome.points[best] - outcome.points[second] if second is not None else _CLEAR
    unknown = f"{_count(len(open_ones), 'thing')} that nobody has looked at would change it"
    if not open_ones and lead >= _CLEAR:
        if _is_noisy(case):
            return "fairly", "the machine was busy when it was measured"
        if _is_stale(case):
            return "fairly", "an older release ran when it was measured"
        return "sure", "nothing that is not known would change it"
    if len(open_ones) > 1:
        return "unsure", unknown
    if lead < _CLOSE:
        close = f"{second} does as well, and it stays where it is" if best == case.now else f"{second} does as well"
        return "unsure", f"{close}; {unknown}" if open_ones else close
    close = f"{second} is close" if lead < _CLEAR else ""
    return "fairly", "; ".join(filter(None, (close, unknown if open_ones else "")))


def _is_noisy(case: Case) -> bool:
    return case.comparison is not None and case.comparison.noise is not None


def _is_stale(case: Case) -> bool:
    return case.comparison is not None and case.release not in (None, case.comparison.release)


def _knowledge(case: Case) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the advice is drawn from, and what it is not."""
    known, unknown = ["its service file"], list[str]()
    (known if case.source is not None else unknown).append("its source")
    comparison, hours = case.comparison, len(case.traffic.hours) if case.traffic is not None else 0
    if comparison is not None:
        known.append(f"measurements of {comparison.made_at[:10]} ({_count(comparison.rounds, 'round')})")
    else:
        unknown.append("measurements")
    if case.knows_traffic:
        known.append(f"{hours} hours of traffic")
    else:
        unknown.append(f"traffic ({_count(hours, 'hour')} so far)" if hours else "traffic")
    (known if case.prices and case.knows_traffic else unknown).append("costs")
    (known if case.asked_daemon else unknown).append("this machine")
    return tuple(known), tuple(unknown)


def _surer(case: Case, changes: tuple[Change, ...]) -> Iterator[Command]:
    """What would tell most first."""
    asked = {each.how for each in changes if each.open}
    commands = []
    if (case.comparison is None or _is_noisy(case) or _is_stale(case)) and case.spec.job is None:
        commands.append(_learn(case, "measure"))
    is_asked = case.spec.job is None and (case.spec.port is not None or case.spec.function.handler is not None)
    if is_asked and not case.knows_traffic:
        commands.append(_learn(case, "traffic"))
    if case.source is None and case.spec.image is None:
        commands.append(_learn(case, "source"))
    yield from sorted(commands, key=lambda command: command.command not in asked)


def _learn(case: Case, what: str) -> Command:
    if what == "measure":
        tells = "start, memory, speed and what it writes, under each pattern"
        return Command(command=_command(case, f"compare {case.service}"), tells=tells)
    if what == "traffic":
        tells = "when it is asked and what it costs, by hourly figures of yours; a day of traffic here tells it too"
        return Command(command=_command(case, f"advise {case.service} --usage FILE"), tells=tells)
    if what == "source":
        return Command(command=_command(case, f"advise {case.service}"), tells="where its source is: signs in its text")
    return Command(command=_command(case, f"advise {case.service} --assume untrusted=yes"), tells="only you know")


def _command(case: Case, what: str) -> str:
    return f"fourfold {what}{f' -f {case.file}' if case.file else ''}"


def _notes(case: Case, best: Pattern | None, possible: list[Pattern]) -> Iterator[str]:
    comparison = case.comparison
    if comparison is not None and comparison.noise is not None:
        yield f"measured while the machine was busy: {comparison.noise}"
    if comparison is not None and _is_stale(case):
        yield f"measured on release {comparison.release}; release {case.release} runs now"
    if case.knows_traffic:
        yield from _about_money(case, best, possible)


def _about_money(case: Case, best: Pattern | None, possible: list[Pattern]) -> Iterator[str]:
    """Where the advised pattern begins or ends to be the cheaper one."""
    now = case.traffic.requests_per_month if case.traffic is not None else 0.0
    for_good = {each.between: each.requests_per_month for each in case.break_even}  # the last, where they change often
    for (low, high), requests in for_good.items():
        if best in (low, high) and {low, high} <= set(possible):
            yield f"from {_about(requests)} requests a month {high} is cheaper than {low} (now {_about(now)})"
    if any(price.estimated for price in case.prices.values()):
        yield "costs are estimated, from what it takes as it runs, for patterns that nobody measured"


def _about(number: float) -> str:
    """Two digits, as more are not known: `88694` -> `89,000`."""
    digits = max(0, len(str(int(number))) - 2)
    return f"{round(number, -digits):,.0f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
