"""docs/scaling.md: its file is one, and what it says of numbers is so."""

from __future__ import annotations

import re
from pathlib import Path

from fourfold.control.scaling.loads import WARM_INTERVALS
from fourfold.control.scaling.scaling import GLANCES
from fourfold.control.settings import Settings
from fourfold.plan.scaling import DEVIATIONS, POOLS
from fourfold.spec.parse import parse
from fourfold.spec.scaling import TOLERANCE, PerInstance, Window

PAGE = (Path(__file__).parents[2] / "docs/scaling.md").read_text()
WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 8: "eight"}


def test_its_file_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert str(parse([("fourfold.yaml", text)], {}).services["web"].instances) == "2-8 at 50 rps"


def test_every_metric_has_a_row() -> None:
    section = PAGE.partition("## What is measured\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ["per_instance", *PerInstance.model_fields]


def test_its_numbers() -> None:
    text = " ".join(PAGE.split())
    assert TOLERANCE == 0.1 and "more than a tenth" in text
    assert f"looks every {WORDS[int(Settings().scale_interval)]} seconds" in text
    assert Window().down == 300 and "the last five minutes" in text
    assert f"mean of {WORDS[GLANCES]} looks" in text
    assert f"ready for {WORDS[WARM_INTERVALS]} intervals" in text
    assert f"{WORDS[int(DEVIATIONS)]} standard deviations" in text
    assert f"last {', '.join(WORDS[each] for each in POOLS[1:-1])} or {WORDS[POOLS[-1]]} together" in text
