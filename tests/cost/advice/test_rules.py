"""Rules are data: each is asked for what it says, and each mistake in them is told when they are read."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fourfold.cost.advice.engine import judge
from fourfold.cost.advice.model import Known
from fourfold.cost.advice.rules import Rules, parse, standard
from fourfold.cost.comparison import PATTERNS
from fourfold.errors import UserError

CASES: dict[str, Any] = YAML(typ="safe").load((Path(__file__).parent / "cases.yaml").read_text())
ALWAYS = {"plain", "machine-weighs", "fate-shared"}
FACTS = """
facts:
  kind: {of: [web, job], what: it}
  load: {is: number, what: it}
  start: {is: seconds, each: true, what: it}
"""
NOTHING = "scenarios: []"


def held(given: dict[str, Any], rules: Rules) -> set[str]:
    facts = {name: Known(value, "file") for name, value in given.items() if value is not None}
    return {reason.rule for found in judge(rules, facts).reasons.values() for reason in found}


def test_every_rule_has_a_case() -> None:
    assert {rule.id for rule in standard().rules} == ALWAYS | CASES.keys()


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_holds_for_what_it_says_and_not_beyond(rule: str) -> None:
    case = CASES[rule]
    assert rule in held(case["holds"], standard())
    assert rule not in held({**case["holds"], **case["not"]}, standard())


def test_what_is_not_known_holds_nothing() -> None:
    assert held({}, standard()) == ALWAYS


def test_reasons_say_their_facts_and_where_they_are_from() -> None:
    facts = {"kind": Known("web", "file"), "quiet_hours": Known(0.82, "traffic", "312 hours")}
    reasons = {each.rule: each for each in judge(standard(), facts).reasons["function"]}
    quiet = reasons["mostly-quiet"]
    assert quiet.text.startswith("82 % of its hours have no request: ")
    assert (quiet.origin, quiet.evidence, quiet.points) == ("traffic", "312 hours", 3)


def test_no_sentence_of_a_rule_has_a_slot_left() -> None:
    for rule, case in CASES.items():
        facts = {name: Known(value, "file") for name, value in case["holds"].items()}
        for found in judge(standard(), facts).reasons.values():
            assert all("{" not in reason.text for reason in found), rule


def test_a_sentence_can_end_at_its_first_colon() -> None:
    """Where there is one line for a service."""
    assert [each.id for each in standard().rules if each.because.partition(": ")[0].count("`") % 2] == []


def test_patterns_that_do_as_well_leave_it_where_it_is() -> None:
    rules = parse(FACTS, "{rules: [], archetypes: []}", NOTHING)
    assert judge(rules, {"now": Known("vm", "file")}).order[0] == "vm"
    assert judge(rules, {}).order == ("process", "container", "shared", "function", "vm")


def rule(text: str) -> str:
    return f"{{rules: [{{id: r, effect: {{vm: 1}}, because: x, {text}}}], archetypes: []}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when: {lod: '> 1'}", "r: there is no fact lod"),
        ("when: {load: 3}", "r: load is a number: compare it"),
        ("when: {kind: wb}", "r: kind is one of web, job, not 'wb'"),
        ("effect: {vn: 1}", "r: 'vn' is no pattern"),
        ("effect: {'*': 1}", "r: '*' is no pattern"),
        ("because: 'at {load}'", "r: its sentence names load, which it does not ask for"),
        ("when: {'*.start': '> 1s'}", "r: *.start is of each pattern, and it does not say of which"),
        ("when: {start: '> 1s'}", "r: start is of a pattern: write *.start or container.start"),
        ("when: {vn.start: '> 1s'}", "r: there is no fact vn.start"),
        ("when: {vm.load: '> 1'}", "r: there is no fact vm.load"),
    ],
)
def test_mistakes_in_rules_are_told(text: str, message: str) -> None:
    kept = {"effect": "effect: {vm: 1}, ", "because": "because: x, "}
    given = rule(text).replace(kept.get(text.partition(":")[0], "\0"), "", 1)
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        parse(FACTS, given, NOTHING)


def test_rules_of_one_name_are_told() -> None:
    one = "{id: r, effect: {vm: 1}, because: x}"
    with pytest.raises(ValueError, match="r: two rules have this name"):
        parse(FACTS, f"{{rules: [{one}, {one}], archetypes: []}}", NOTHING)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("untrustd", "yes", "there is no such fact"),
        ("start", "1s", "there is no such fact"),
        ("vn.start", "1s", "there is no such fact"),
        ("untrusted", "perhaps", "it is yes or no"),
        ("kind", "wb", "it is one of web, handler"),
        ("quiet_hours", "most", "such as 80%"),
        ("memory", "lots", "such as 256Mi"),
        ("quiet_hours", "nan", "such as 80%"),
        ("quiet_hours", "-10%", "such as 80%"),
        ("quiet_hours", "120%", "such as 80%"),
        ("peak_to_mean", "inf", "such as 3"),
        ("now", "vm", "it is what is"),
    ],
)
def test_what_cannot_be_supposed_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        standard().assumed({name: value})
    assert message in f"{caught.value.what} {caught.value.hint}"


def test_what_a_user_supposes() -> None:
    given = {"untrusted": "yes", "quiet_hours": "80%", "memory": "1Gi", "function.start": "200ms", "kind": "job"}
    found = {name: known.value for name, known in standard().assumed(given).items()}
    assert found == {"untrusted": True, "quiet_hours": 0.8, "memory": 2**30, "function.start": 0.2, "kind": "job"}


def test_every_pattern_can_be_advised_and_every_fact_is_asked_for() -> None:
    rules = standard()
    for pattern in PATTERNS:
        assert any(count > 0 for rule in rules.rules for name, count in rule.effect.items() if name in (pattern, "*"))
    asked = {name.rpartition(".")[2] for rule in rules.rules for name in rule.when}
    asked |= {name.rpartition(".")[2] for each in rules.archetypes for name in each.when}
    assert rules.facts.keys() - asked == {"now"}, "which settles what is equal"


def test_the_data_is_part_of_the_package() -> None:
    names = {each.name for each in files("fourfold.cost.advice").iterdir()}
    assert {"facts.yaml", "rules.yaml", "scenarios.yaml", "signs.yaml"} <= names
