"""What the daemon reckons cost with: recorded hours, the newest comparison, the service's spec, price files."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fourfold.control import views as v
from fourfold.control.advising.impossible import impossible
from fourfold.control.costing.costing import Costing, check_month
from fourfold.control.costing.journals import Journals
from fourfold.control.costing.metering import Metering
from fourfold.control.settings import Settings
from fourfold.cost.comparison import PATTERNS, Comparison, Latency, Load, Machine, PatternResult
from fourfold.cost.results import Measured
from fourfold.cost.usagefile import parse_usage, to_csv
from fourfold.errors import SpecError, UserError, WorldError
from fourfold.functions.journal import to_line
from fourfold.functions.model import Usage
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.model import ComparisonRow, UsageHour
from tests.control.rig import Rig, rigged
from tests.store.samples import release, service_row

MIB = 2**20


class Counting:
    """In place of looks at what runs: there is nothing."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None

    async def look(self) -> None:
        self.looks += 1
        if self.error is not None:
            raise self.error


def costing(rig: Rig, **settings: Any) -> tuple[Costing, Counting]:
    counting = Counting()
    made = Costing(
        rig.paths, Settings(**settings), rig.registry, Journals(rig.paths), cast(Metering, counting),
        Artifacts(rig.paths), rig.clock,
    )  # fmt: skip
    return made, counting


def add_hours(rig: Rig, count: int = 3, pattern: str = "process") -> None:
    """The last `count` whole ones: 3,600 requests each, of 10 ms CPU; one instance with 100 MiB."""
    present = int(rig.clock.now() // 3600) * 3600
    for number in range(1, count + 1):
        rig.store.usage.add(
            UsageHour("shop", "web", present - number * 3600, pattern, 3600, 36, 72.0, 36.0, 3600.0 * 100 * MIB, 3600.0)
        )


def compared(**given: Any) -> Comparison:
    result = PatternResult(
        pattern="process", available=True, loaded_memory_bytes=200 * MIB, idle_memory_bytes=150 * MIB,
        next_instance_memory_bytes=180 * MIB, cpu_seconds_per_1000_requests=5.0, requests_per_second=100.0,
        latency_seconds=Latency(p50=0.01, p95=0.02, p99=0.03), start_seconds=1.0,
    )  # fmt: skip
    no = PatternResult(pattern="shared", available=False, reason="it has no group")
    return Comparison(
        app="shop", service="web", release=1, made_at="2026-11-26T05:00:00Z", quick=True, rounds=2, seconds=100.0,
        machine=Machine(cores=2, memory_bytes=8 << 30, kernel="6.1"),
        load=Load(source="default", requests_per_second=5.0, duration_seconds=5.0, distinct_requests=1),
        patterns=(result, no),
    )  # fmt: skip


@rigged
async def test_traffic_is_that_of_recorded_hours_and_footprints_are_estimated_from_them(rig: Rig) -> None:
    made, counting = costing(rig)
    add_hours(rig)
    (cost,) = (await made.view("shop", v.CostRequest())).services
    assert counting.looks == 1, "up to now"
    assert (cost.now, cost.hours, cost.requests_per_month) == ("process", 3, 3600 * 730)
    assert {each.pattern for each in cost.patterns} == {"process", "shared", "container", "vm", "function"}
    assert all(each.estimated for each in cost.patterns) and not cost.unavailable and not cost.curves
    (curved,) = (await made.view("shop", v.CostRequest(service="web", curves=True))).services
    assert curved.curves.keys() == {"process", "shared", "container", "vm", "function"}


@rigged
async def test_what_was_measured_goes_before_what_was_taken(rig: Rig) -> None:
    made, _ = costing(rig)
    add_hours(rig)
    stored = compared()
    rig.store.comparisons.put(ComparisonRow("op", "shop", "web", 1, 1.0, stored.model_dump_json()))
    (cost,) = (await made.view("shop", v.CostRequest())).services
    assert cost.unavailable["shared"] == "it has no group"
    assert (cost.release, cost.measured) == (1, Measured(made_at="2026-11-26T05:00:00Z", release=1))
    process = next(each for each in cost.patterns if each.pattern == "process")
    assert {each.pattern: each.estimated for each in cost.patterns} == {
        "process": False, "container": True, "vm": True, "function": True,
    }, "what was not tried is estimated from what was"  # fmt: skip
    priced = await made.priced("shop", stored)
    assert priced.patterns[0].monthly_cost == pytest.approx(process.monthly_cost)
    assert priced.patterns[0].costs is not None and priced.patterns[1].monthly_cost is None


@rigged
async def test_nothing_is_made_up_where_nothing_is_known(rig: Rig) -> None:
    made, counting = costing(rig)
    counting.error = WorldError("the disk is full")
    (cost,) = (await made.view("shop", v.CostRequest())).services
    assert (cost.hours, cost.requests_per_month, cost.patterns, cost.cheapest) == (0, 0.0, (), None)
    assert cost.measured is None
    assert "fourfold compare web" in cost.unavailable["process"]
    assert (await made.view("shop", v.CostRequest(service="other"))).services == []


@rigged
async def test_of_a_group_its_members_are_asked(rig: Rig) -> None:
    made, _ = costing(rig)
    rig.store.releases.add(release("pages", 1, spec={"group": {"kind": "python"}}))
    with rig.registry.transaction():
        rig.registry.put_service(service_row("pages", pattern="group"))
    assert [each.service for each in (await made.view("shop", v.CostRequest())).services] == ["web"]
    with pytest.raises(UserError, match="cannot tell what pages takes: it is a group"):
        await made.view("shop", v.CostRequest(service="pages"))


@rigged
async def test_functions_are_counted_by_their_journals(rig: Rig) -> None:
    made, _ = costing(rig, price_gb_second=1.0, price_request=0.5)
    at = rig.clock.now() - 3600
    folder = rig.paths.usage / "shop.web"
    folder.mkdir(parents=True)
    usage = Usage(at, "id", 1, 100.0, 100, 0.0, 128 * MIB, 50 * MIB, "ok")
    (folder / "shop.web-1-a-1.0.usage").write_bytes(to_line(usage) * 4)
    found = await made.view("shop", v.CostRequest(month="1970-01"))
    (row,) = found.functions
    assert (row.service, row.requests, row.gb_seconds, row.requests_usd) == ("web", 4, 0.05, 2.0)
    assert (found.total_usd, found.price_gb_second) == (2.05, 1.0)
    (hour,) = (await made.usage("shop")).hours
    assert (hour.pattern, hour.requests, hour.response_seconds) == ("function", 4.0, 0.1)
    assert made.services("shop") == ["web"] and made.services("other") == []


@rigged
async def test_a_sandbox_takes_no_more_than_it_may_whatever_its_invoker_takes_with_all_of_them(rig: Rig) -> None:
    made, _ = costing(rig)
    rig.store.releases.add(release("thumb", 1, spec={"source": "./x", "function": {"handler": "a.b"}}))
    with rig.registry.transaction():
        rig.registry.put_service(service_row("thumb", pattern="function"))
    hour = int(rig.clock.now() // 3600 - 1) * 3600
    rig.store.usage.add(UsageHour("shop", "thumb", hour, "function", 0, 0, 0.0, 36.0, 3600.0 * 700 * MIB, 3600.0))
    folder = rig.paths.usage / "shop.thumb"
    folder.mkdir(parents=True)
    usage = Usage(hour + 60, "id", 1, 100.0, 100, 0.0, 128 * MIB, 50 * MIB, "ok")
    (folder / "shop.thumb-1-a-1.0.usage").write_bytes(to_line(usage) * 4)
    (cost,) = (await made.view("shop", v.CostRequest(service="thumb"))).services
    assert {each.pattern: each.size for each in cost.patterns}["function"] == "160 MB", "128 and a quarter more"


@rigged
async def test_usage_is_told_by_pattern(rig: Rig) -> None:
    made, _ = costing(rig)
    add_hours(rig, 2)
    add_hours(rig, 1, "container")
    hours = (await made.usage("shop", "web")).hours
    assert [(each.pattern, each.requests, each.instances) for each in hours] == [
        ("process", 3600, 1), ("process", 3600, 1), ("container", 3600, 1),
    ]  # fmt: skip
    assert hours[0].memory_bytes == 100 * MIB and hours[0].response_seconds == 0.02


@rigged
async def test_a_job_costs_the_same_by_the_hours_that_are_exported(rig: Rig) -> None:
    """It came to be two days ago, and ran once: the hours before and after that are told too."""
    made, _ = costing(rig)
    spec, begun = {"source": "./x", "run": "x", "job": {}}, rig.clock.now()
    rig.store.releases.add(release("nightly", 1, spec=spec, created_at=begun))
    with rig.registry.transaction():
        rig.registry.put_service(service_row("nightly"))
    rig.clock.time += 2 * 86_400
    ran = int(begun // 3600 + 20) * 3600
    rig.store.usage.add(UsageHour("shop", "nightly", ran, "process", 1, 0, 60.0, 50.0, 60.0 * 100 * MIB, 60.0))
    (cost,) = (await made.view("shop", v.CostRequest(service="nightly"))).services
    rows = [each.model_dump() for each in (await made.usage("shop", "nightly")).hours]
    (exported,) = parse_usage(to_csv(rows), "hours.csv")
    assert len(exported.traffic.hours) == cost.hours == 49
    assert exported.traffic.requests_per_month == pytest.approx(cost.requests_per_month) == pytest.approx(730 / 49)
    assert len(rows) == 3, "what lies between is none without a line"


@rigged
async def test_price_files(rig: Rig) -> None:
    text = "own_hardware: {as_of: 2026-11, source: invoices, core_hour: 7}"
    rig.paths.config.mkdir(exist_ok=True)
    made, _ = costing(rig)
    assert made.prices()[1] is None
    (rig.paths.config / "prices.yaml").write_text(text)
    found, file = made.prices()
    assert (found.own_hardware.core_hour, file) == (7, str(rig.paths.config / "prices.yaml"))
    given, name = made.prices(v.PriceText(name="mine.yaml", text="lambda: {request: 3}"))
    assert (given.lambda_.request, name) == (3, "mine.yaml") and given.own_hardware.core_hour != 7
    other, _ = costing(rig, prices="gone.yaml", price_request=9.0)
    with pytest.raises(UserError, match=r"gone\.yaml"):
        other.prices()
    (rig.paths.config / "gone.yaml").write_text("lambda: {request: 3}")
    assert other.prices()[0].lambda_.request == 9.0, "the setting is the last word"
    (rig.paths.config / "gone.yaml").write_text("lambda: {request: much}")
    with pytest.raises(SpecError):
        await other.view("shop", v.CostRequest())
    with pytest.raises(SpecError):
        await other.priced("shop", compared())


@pytest.mark.parametrize("text", ["2026", "2026-13", "November", "2026-1", ""])
def test_nonsense_is_no_month(text: str) -> None:
    with pytest.raises(UserError, match="it is no month"):
        check_month(text)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"source": "./x", "port": 8080}, {}),
        (
            {"source": "./x"},
            {"shared": "it needs a port of its own", "function": "needs something that takes events"},
        ),
        ({"source": "./x", "job": {}}, {"shared": "a job runs to its end", "function": "a job runs to its end"}),
        (
            {"image": "redis", "port": 6379},
            {
                "process": "cannot run the image",
                "shared": "a file system of its own",
                "function": "cannot run the image",
            },
        ),
        (
            {"source": "./x", "function": {"handler": "a.b", "timeout": "900s"}},
            {"shared": "a handler is called by", "function": "at most 300 s"},
        ),
    ],
)
def test_what_cannot_run_so_anywhere(spec: dict[str, Any], wanted: dict[str, str]) -> None:
    service = Service.model_validate(spec)
    found = {pattern: impossible("web", service, pattern, 300.0) for pattern in PATTERNS}
    assert {pattern for pattern, why in found.items() if why} == wanted.keys()
    assert all(wanted[pattern] in why for pattern, why in found.items() if why), found
