"""docs/advise.md: every fact, and what its example prints."""

from __future__ import annotations

import re
from pathlib import Path

from fourfold.cost.advice.rules import SEEN, Fact, standard
from tests.cli.conftest import Cli, cli, home  # noqa: F401

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/advise.md").read_text()


def row(fact: Fact) -> str:
    name = f"PATTERN.{fact.name}" if fact.each else fact.name
    kind = ", ".join(fact.choices) if fact.choices else fact.unit
    return f"| `{name}` | {fact.what} ({kind}) |"


def test_it_has_every_fact_that_can_be_supposed_and_no_other() -> None:
    listed = re.findall(r"^\| `.*$", PAGE.partition("## Supposing")[2], re.MULTILINE)
    assert listed == [row(fact) for fact in standard().facts.values() if fact.name not in SEEN]


def test_its_example_is_what_is_printed(cli: Cli) -> None:  # noqa: F811
    block = PAGE.partition("```\n$ fourfold advise -f examples/shop/fourfold.yaml\n")[2].partition("```")[0]
    assert cli("advise", "-f", str(ROOT / "examples/shop/fourfold.yaml")).out == block


def test_its_rule_is_one(cli: Cli) -> None:  # noqa: F811
    rules = (ROOT / "src/fourfold/cost/advice/rules.yaml").read_text()
    shown = PAGE.partition("```yaml\n")[2].partition("```")[0]
    assert all(line.strip() in rules for line in shown.splitlines())
