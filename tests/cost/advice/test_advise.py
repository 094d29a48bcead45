"""What would change an answer, how sure it is, what it draws upon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.cost.advice.advise import advise
from fourfold.cost.advice.case import Price
from fourfold.cost.advice.model import Advice, Blocker
from fourfold.cost.advice.rules import parse, standard
from fourfold.cost.comparison import PATTERNS, BreakEven
from tests.cost.advice.rig import ROWS, case_of, compared, traffic_of

WEB = {"source": "./x", "run": "node x.js", "port": 8080, "route": {"path": "/"}}
PLAIN = case_of({"service": WEB, "source": {"language": "nodejs"}})
RULES = """
rules:
  - {id: a, when: {kind: web}, effect: {container: 2}, because: x}
  - {id: b, when: {quiet_hours: '> 50%'}, effect: {function: 3}, because: x}
  - {id: c, when: {writes: true}, effect: {vm: 3}, because: x}
archetypes: []
"""
FACTS = """
facts:
  kind: {of: [web, worker], what: x}
  quiet_hours: {is: share, what: x}
  writes: {is: yes-no, what: x}
  peak_to_mean: {is: ratio, what: x}
"""
QUIET = "{id: quiet, supposes: {quiet_hours: 0.9}, says: it were quiet, learn: traffic}"
WRITES = "{id: writes, supposes: {writes: true}, says: it wrote, learn: measure}"
BUSY = "{id: busy, supposes: {peak_to_mean: 9}, says: it were busy, learn: traffic}"


def judged(*scenarios: str, **known: str) -> Advice:
    facts = FACTS + "".join(
        f"  {name}: {{is: yes-no, what: x}}\n"
        for name in ("exposed", "chosen", "triggered", "scheduled", "image", "dockerfile", "keeps_data", "secrets")
    )
    rules = parse(facts, RULES, f"scenarios: [{', '.join(scenarios)}]")
    return advise(replace(PLAIN, supposed=standard().assumed(known), mates=()), rules)


def test_sure_is_what_nothing_unknown_would_change() -> None:
    advice = judged(BUSY)
    assert (advice.advised, advice.sure, advice.changes) == ("container", "sure", ())
    assert advice.why_sure == "nothing that is not known would change it"


def test_fairly_sure_is_what_one_unknown_would_change() -> None:
    advice = judged(QUIET, BUSY)
    assert (advice.sure, advice.why_sure) == ("fairly", "1 thing that nobody has looked at would change it")
    (change,) = advice.changes
    assert (change.pattern, change.condition, change.open) == ("function", "it were quiet", True)


def test_not_sure_is_what_several_would() -> None:
    assert judged(QUIET, WRITES).sure == "unsure"


def test_what_is_known_leaves_no_doubt_and_is_told_all_the_same() -> None:
    advice = judged(QUIET, quiet_hours="10%")
    assert advice.sure == "sure"
    assert [(change.pattern, change.open, change.how) for change in advice.changes] == [("function", False, None)]


def test_what_is_so_already_would_change_nothing() -> None:
    scenario = QUIET.replace("says", "unless: {quiet_hours: '>= 40%'}, says")
    assert judged(scenario, quiet_hours="39%").changes != ()
    assert judged(scenario, quiet_hours="45%").changes == ()


def test_what_is_known_in_part_is_not_to_be_looked_up_again() -> None:
    """Hours without response times tell when it is asked, and not how many requests are in progress."""
    traffic = traffic_of(["14 x 0", "10 x 3"])
    advice = advise(replace(PLAIN, traffic=traffic))
    (change,) = [each for each in advice.changes if each.pattern == "function" and "bursts" in each.condition]
    assert (change.open, change.how) == (False, None)
    command = "fourfold advise it --usage FILE"
    assert command in [each.how for each in advise(PLAIN).changes]
    assert command not in [each.how for each in advice.changes]


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_what_would_change_it_does(row: dict[str, Any]) -> None:
    """Each that is told comes out so when it is supposed, and none of them is so already."""
    case = case_of(row)
    supposes = {each.says: each.supposes for each in standard().scenarios}
    for change in advise(case).changes:
        if change.condition in supposes:
            other = advise(replace(case, supposed={**case.supposed, **supposes[change.condition]}))
            assert other.advised == change.pattern
            assert change.condition not in [each.condition for each in other.changes]
        else:
            blockers = {name: found for name, found in case.blockers.items() if name != change.pattern}
            assert advise(replace(case, blockers=blockers)).advised == change.pattern


def test_equals_leave_it_where_it_is_and_unsure() -> None:
    tied = RULES.replace("container: 2", "container: 2, process: 2")
    facts = "facts: {kind: {of: [web], what: x}, quiet_hours: {is: share, what: x}, writes: {is: yes-no, what: x}}"
    advice = advise(PLAIN, parse(facts, tied, "scenarios: []"))
    assert (advice.advised, advice.sure) == ("process", "unsure")
    assert advice.why_sure == "container does as well, and it stays where it is"
    assert advice.move is None


def test_what_stops_a_better_one_is_what_would_change_it() -> None:
    stop = Blocker(kind="host", why="this host cannot start any", fix="install runc")
    advice = advise(replace(PLAIN, blockers={"container": (stop,)}))
    assert advice.advised == "process"
    assert advice.better == "container"
    first = advice.changes[0]
    assert first.pattern == "container"
    assert first.condition == "this did not stop it: this host cannot start any"
    assert first.how == "install runc"
    assert advice.patterns[-1].standing == "impossible"
    both = advise(replace(PLAIN, blockers={"container": (stop, Blocker(kind="program", why="it has no name"))}))
    assert both.changes[0].condition == "this did not stop it: this host cannot start any; it has no name"
    assert advise(PLAIN).better is None


@pytest.mark.parametrize(
    ("points", "standing"), [(5, "close"), (4, "close"), (3, "possible"), (2, "possible"), (1, "poor"), (-2, "poor")]
)
def test_how_far_behind_the_best_another_stands(points: int, standing: str) -> None:
    rule = f"{{id: a, when: {{kind: web}}, effect: {{container: 5, vm: {points}}}, because: x}}"
    facts = "facts: {kind: {of: [web], what: x}}"
    advice = advise(replace(PLAIN, mates=()), parse(facts, f"rules: [{rule}]\narchetypes: []", "scenarios: []"))
    assert {each.pattern: each.standing for each in advice.patterns}["vm"] == standing


def test_where_all_is_stopped_nothing_is_advised() -> None:
    stop = Blocker(kind="program", why="it has nothing to run")
    advice = advise(replace(PLAIN, blockers=dict.fromkeys(PATTERNS, (stop,))))
    assert (advice.advised, advice.sure, advice.move) == (None, "sure", None)
    assert {each.standing for each in advice.patterns} == {"impossible"}


def test_the_only_one_that_can_be_is_sure() -> None:
    stop = Blocker(kind="program", why="no")
    advice = advise(replace(PLAIN, blockers={each: (stop,) for each in PATTERNS if each != "vm"}))
    assert (advice.advised, advice.sure) == ("vm", "sure")


def test_it_says_what_it_knows_and_what_would_tell_more() -> None:
    advice = advise(PLAIN)
    assert advice.known == ("its service file", "its source")
    assert advice.unknown == ("measurements", "traffic", "costs", "this machine")
    assert [each.command.split()[1] for each in advice.surer] == ["compare", "advise"]
    full = replace(
        PLAIN,
        comparison=compared({"process": {}}),
        traffic=traffic_of(["24 x 9"]),
        prices={"process": Price(3, "own hardware")},
        asked_daemon=True,
    )
    advice = advise(full)
    assert (advice.unknown, advice.surer) == ((), ())
    assert advice.known[2:4] == ("measurements of 2026-11-20 (5 rounds)", "168 hours of traffic")


def test_commands_name_the_file_that_was_given() -> None:
    advice = advise(replace(PLAIN, file="shop.yaml"))
    assert advice.move == "fourfold deploy it --as container -f shop.yaml"


def test_notes_say_what_figures_are_worth() -> None:
    case = replace(
        PLAIN,
        comparison=compared({"process": {}}, noise="others took 40 % of its CPU"),
        release=5,
        traffic=traffic_of(["24 x 9"]),
        prices={"vm": Price(5, "EC2", estimated=True)},
        break_even=(
            BreakEven(between=("function", "container"), requests_per_month=1_234_567),
            BreakEven(between=("function", "container"), requests_per_month=2_345_678),
            BreakEven(between=("function", "vm"), requests_per_month=1_000),
        ),
    )
    assert advise(case).notes == (
        "measured while the machine was busy: others took 40 % of its CPU",
        "measured on release 3; release 5 runs now",
        "from 2,300,000 requests a month container is cheaper than function (now 6,600)",
        "costs are estimated, from what it takes as it runs, for patterns that nobody measured",
    )


@given(
    quiet=st.floats(0, 1),
    start=st.floats(0.001, 30),
    errors=st.floats(0, 1),
    prices=st.dictionaries(st.sampled_from(PATTERNS), st.floats(0, 1e6)),
    stopped=st.sets(st.sampled_from(PATTERNS)),
)
def test_whatever_is_known_the_advice_is_one_that_can_be(
    quiet: float, start: float, errors: float, prices: dict[str, float], stopped: set[str]
) -> None:
    known = {"quiet_hours": f"{quiet * 100}%", "starts_in": f"{start:.3f}s", "function.error_share": f"{errors:.3f}"}
    case = replace(
        PLAIN,
        supposed=standard().assumed(known),
        prices={each: Price(prices[each], "EC2") for each in PATTERNS if each in prices},
        blockers={each: (Blocker(kind="program", why="no"),) for each in PATTERNS if each in stopped},
    )
    advice = advise(case)
    assert (advice.advised is None) == (len(stopped) == len(PATTERNS))
    assert advice.advised not in stopped
    assert {each.pattern for each in advice.patterns} == set(PATTERNS)
    assert all(change.pattern != advice.advised for change in advice.changes)
    assert Advice.model_validate_json(advice.model_dump_json()) == advice


def test_a_busy_machine_and_an_older_release_leave_a_doubt_and_are_to_be_asked_again() -> None:
    scenarios = f"scenarios: [{BUSY}]"
    rules = parse(FACTS, RULES, scenarios)
    noisy = compared({"process": {}}, noise="others took 40 % of its CPU")
    advice = advise(replace(PLAIN, comparison=noisy), rules)
    assert (advice.sure, advice.why_sure) == ("fairly", "the machine was busy when it was measured")
    assert advice.surer[0].command == "fourfold compare it"
    quiet = replace(PLAIN, comparison=compared({"process": {}}), release=3)
    assert advise(quiet, rules).sure == "sure"
    advice = advise(replace(quiet, release=4), rules)
    assert (advice.sure, advice.why_sure) == ("fairly", "an older release ran when it was measured")
