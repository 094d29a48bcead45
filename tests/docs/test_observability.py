"""docs/observability.md has what there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from fourfold.control.metrics.catalog import METRICS

PAGE = (Path(__file__).parents[2] / "docs/observability.md").read_text()


def test_every_metric_with_its_kind_and_labels() -> None:
    rows = re.findall(r"^\| `((?:fourfold|process)_\w+)` \| (\w+) \| (.*?) \| .+ \|$", PAGE, re.MULTILINE)
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert told == {metric.name: (metric.kind, metric.labels) for metric in METRICS}


def test_questions_ask_for_what_there_is() -> None:
    known = {metric.name for metric in METRICS}
    (asked,) = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
    assert {name.removesuffix("_bucket") for name in re.findall(r"fourfold_\w+", asked)} <= known
