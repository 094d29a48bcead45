"""Cases of advice from a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from fourfold.control.advising.fitting import blockers, mates
from fourfold.control.groups.groups import spec_of
from fourfold.cost.advice.case import Case, Price
from fourfold.cost.advice.rules import standard
from fourfold.cost.advice.source import Source
from fourfold.cost.comparison import Comparison, Load, Machine, Pattern, PatternResult
from fourfold.cost.model import Hour, Traffic
from fourfold.spec.app import App
from fourfold.spec.parse import parse_json

LIMIT = 300.0
ROWS: list[dict[str, Any]] = YAML(typ="safe").load((Path(__file__).parent / "archetypes.yaml").read_text())


def app_of(service: Mapping[str, Any], groups: Mapping[str, Any] | None = None, **others: Any) -> App:
    return parse_json({"app": "shop", "groups": groups or {}, "services": {"it": service, **others}})


def source_of(given: Mapping[str, Any] | None) -> Source | None:
    return None if given is None else Source(**{"package": "folder", **given})


def traffic_of(day: Sequence[str], response_seconds: float | None = None, days: int = 7) -> Traffic:
    """`["9 x 0", "15 x 200"]`: the hours of each day."""
    hours = [float(word[1]) for part in day for word in [part.split(" x ")] for _ in range(int(word[0]))]
    return Traffic(tuple(Hour(3600.0 * at, each, None, None, response_seconds) for at, each in enumerate(hours * days)))


def compared(patterns: Mapping[str, Mapping[str, Any]], **more: Any) -> Comparison:
    results = [PatternResult(**{"pattern": name, "available": True, **each}) for name, each in patterns.items()]
    kept: dict[str, Any] = {
        "app": "shop",
        "service": "it",
        "release": 3,
        "made_at": "2026-11-20T10:00:00Z",
        "quick": False,
        "rounds": 5,
        "seconds": 600.0,
        "machine": Machine(cores=2, memory_bytes=2**33, kernel="6.1", accelerator="kvm"),
        "load": Load(source="default", requests_per_second=50, duration_seconds=5, distinct_requests=1),
        "patterns": tuple(results),
    }
    return Comparison(**{**kept, **more})


def case_of(given: Mapping[str, Any]) -> Case:
    """As rows of `archetypes.yaml` have it."""
    app = app_of(given["service"], given.get("groups"))
    source = source_of(given.get("source"))
    spec = app.services["it"]
    prices = {cast(Pattern, name): Price(float(each), "EC2") for name, each in given.get("prices", {}).items()}
    return Case(
        app="shop",
        service="it",
        spec=spec_of(app, "it"),
        now=spec.pattern,
        source=source,
        mates=tuple(given.get("mates", mates(app, "it", {"it": source}))),
        blockers=blockers(app, "it", source, None, LIMIT),
        comparison=compared(given["measured"]) if "measured" in given else None,
        traffic=traffic_of(given["traffic"], given.get("response_seconds")) if "traffic" in given else None,
        prices=prices,
        supposed=standard().assumed(given.get("assume", {})),
    )
