"""`cost` against a fake control layer, and of exported hours without any."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fourfold.cli.printing import money
from fourfold.control import views as v
from fourfold.cost.comparison import BreakEven
from fourfold.cost.estimate import under_all
from fourfold.cost.model import Wanted
from fourfold.cost.results import Measured, ServiceCost
from fourfold.cost.service import service_cost
from tests.api.serving import Serving
from tests.cli.conftest import Cli
from tests.cost.examples import PRICES, footprint, monthly_requests

HOURS = "hour,service,requests,cpu_seconds,memory_bytes\n" + "".join(
    f"2026-11-22T{hour:02}:00:00Z,{name},{requests},{requests * 0.004},80000000\n"
    for hour in range(24)
    for name, requests in (("catalog", 10_000), ("webhook", 2))
)


def costs(**more: object) -> ServiceCost:
    made = service_cost(
        "catalog", "container", monthly_requests(5e6), under_all(footprint("container")), Wanted(min_instances=2),
        PRICES, curves=True,
    )  # fmt: skip
    return made.model_copy(update=more)


def test_services(cli: Cli, server: Serving) -> None:
    cost = costs(unavailable={"vm": "no /dev/kvm"}, curves={})
    cost = cost.model_copy(update={"patterns": tuple(each for each in cost.patterns if each.pattern != "vm")})
    prices = v.PricesView(as_of=PRICES.as_of(), sources=PRICES.sources(), file=None)
    server.facade.costs = server.facade.costs.model_copy(update={"services": [cost], "prices": prices})
    result = cli("cost")
    lines = result.out.splitlines()
    assert lines[0] == "catalog, runs as container: 5 million requests a month, by 24 hours of traffic"
    assert lines[1].split("  ")[0] == "PATTERN" and lines[4].startswith("container  Fargate   0.25 vCPU, 0.5 GB")
    assert "2  $18.02      2%            15%" in lines[4] and lines[4].endswith("  now")
    assert lines[2].startswith("process    EC2 host  share of m6i.xlarge") and lines[5].startswith("function   Lambda")
    assert [line.count("+") for line in lines[2:6]] == [1, 0, 0, 1] and "~$" in lines[5] and "vm: no /dev/kvm" in lines
    assert lines[-2].startswith("function is cheaper below ") and lines[-2].endswith("container above")
    assert "~: made of estimated figures; `fourfold compare SERVICE` measures them" in result.err
    assert "prices: EC2 host, EC2, Fargate, Lambda as of 2026-06; own hardware an example of 2026-06" in result.err


def test_what_may_no_longer_hold_is_said() -> None:
    measured = Measured(made_at="2026-11-20T05:00:00Z", release=3)
    assert not [line for line in money.service(costs(release=3, measured=measured)) if "2026-11-20" in line]
    busy = measured.model_copy(update={"noise": "other programs took 1.0 of 2 cores"})
    assert money.service(costs(release=5, measured=busy))[-2:] == [
        "measured of release 3, 2026-11-20; release 5 runs now: `fourfold compare catalog` measures it again",
        "the comparison of 2026-11-20 that these figures are from was noisy: other programs took 1.0 of 2 cores",
    ]


@pytest.mark.parametrize(
    ("mean", "peak", "said"),
    [(2.0, 2, "2"), (0.0, 0, "0"), (1.24, 3, "1.2, at most 3"), (8.5e-5, 1, "<0.01, at most 1"), (12.6, 13, "13")],
)
def test_instances(mean: float, peak: int, said: str) -> None:
    each = costs().patterns[0].model_copy(update={"instances_mean": mean, "instances_peak": peak})
    row = money.service(costs(patterns=(each,)))[2]
    assert re.split(" {2,}", row)[3] == said


def test_the_sum_says_whose_costs_are_not_in_it() -> None:
    known, unknown = costs(), costs(service="cache", patterns=())
    assert (money.total([known, known]) or "").startswith("all as they run: $36.04 a month in the cloud, $")
    assert (money.total([known, unknown, known]) or "").startswith("all but cache as they run: $36.04 a month in the")
    assert money.total([known, unknown]) is None


def test_curves_and_other_prices(cli: Cli, server: Serving, home: Path) -> None:
    server.facade.costs = server.facade.costs.model_copy(update={"services": [costs()]})
    Path("my.yaml").write_text("own_hardware: {core_hour: 1}\n")
    result = cli("cost", "catalog", "--curve", "--prices", "my.yaml")
    (asked,) = [arguments for method, arguments in server.facade.calls if method == "cost"]
    given = {"name": "my.yaml", "text": "own_hardware: {core_hour: 1}\n"}
    assert asked == ("shop", {"service": "catalog", "curves": True, "prices": given})
    table = result.out.split("catalog, dollars a month in the cloud:\n")[1].splitlines()
    assert table[0].split() == ["REQUESTS", "A", "MONTH", "PROCESS", "SHARED", "CONTAINER", "VM", "FUNCTION"]
    assert [line.split()[0] for line in table[1:3]] == ["1,000", "3,160"] and "1 billion" in table[-1]
    assert cli("cost", "--prices", "none.yaml").code == 2


def test_functions(cli: Cli, server: Serving) -> None:
    row = v.FunctionCostView(
        service="thumb", requests=1200, failed=3, billed_ms=61_000, gb_seconds=7.625, requests_usd=0.00024,
        duration_usd=0.000127, total_usd=0.000367,
    )  # fmt: skip
    other = row.model_copy(update={"service": "index", "total_usd": 12.5})
    server.facade.costs = server.facade.costs.model_copy(update={"functions": [row, other], "total_usd": 12.500367})
    result = cli("cost", "--month", "2026-11")
    assert result.out == (
        "functions in 2026-11, as they were billed:\n"
        "FUNCTION  REQUESTS  FAILED     BILLED  GB-SECONDS  FOR REQUESTS  FOR DURATION        TOTAL\n"
        "thumb         1200       3  1 min 1 s       7.625   $0.00024000   $0.00012700  $0.00036700\n"
        "index         1200       3  1 min 1 s       7.625   $0.00024000   $0.00012700       $12.50\n"
        "                                                                                    $12.50\n"
    )
    assert "2026-11, at $0.0000166667 per GB-second, $0.2 per million requests" in result.err
    assert json.loads(cli("cost", "thumb", "-o", "json").out)["functions"][0]["gb_seconds"] == 7.625
    asked = [arguments for method, arguments in server.facade.calls if method == "cost"]
    assert asked == [("shop", {"month": "2026-11"}), ("shop", {"service": "thumb"})]


def test_nothing_is_up(cli: Cli, server: Serving) -> None:
    assert cli("cost").out == "no service is up\n", "it may have run: `down` keeps what was counted"


def test_exported_hours_need_no_daemon(cli: Cli, home: Path) -> None:
    Path("hours.csv").write_text(HOURS)
    result = cli("cost", "--usage", "hours.csv")
    assert result.code == 0
    assert "catalog: 7.3 million requests a month, by 24 hours of traffic\n" in result.out
    assert "webhook: 1,460 requests a month" in result.out and "each at its cheapest: $" in result.out
    assert " a month in the cloud, $" in result.out and result.out.endswith(" on own hardware\n")
    Path("fourfold.yaml").write_text(
        "app: shop\nservices: {catalog: {run: x, instances: 3, resources: {memory: 1Gi}}}\n"
    )
    Path("prices.yaml").write_text("places: {vm: host}\n")
    found = json.loads(cli("cost", "catalog", "--usage", "hours.csv", "--prices", "prices.yaml", "-o", "json").out)
    by_pattern = {each["pattern"]: each for each in found["services"][0]["patterns"]}
    assert by_pattern["container"]["size"] == "0.25 vCPU, 1 GB" and by_pattern["container"]["instances_peak"] == 3
    assert by_pattern["vm"]["place"] == "EC2 host" and found["prices"]["file"] == "prices.yaml"
    assert all(each["estimated"] for each in by_pattern.values())


@pytest.mark.parametrize(
    ("hours", "arguments", "said"),
    [
        (HOURS, ("--month", "2026-11"), "cannot take --month with --usage"),
        (HOURS, ("other",), "cannot find service other in hours.csv"),
        (HOURS, ("--prices", "bad.yaml"), "bad.yaml:1:1: own: unknown key"),
        ("hour,requests\n0,5\n", (), "no hour of hours.csv tells both its memory and its CPU"),
        ("hour,requests\n0,x\n", (), "hours.csv:2: requests: expected a number"),
        ("\x00", (), "unknown column"),
        ("\udcff", (), "it is not UTF-8, at byte 0"),
    ],
)
def test_what_is_refused(cli: Cli, home: Path, hours: str, arguments: tuple[str, ...], said: str) -> None:
    Path("hours.csv").write_bytes(hours.encode("utf-8", "surrogateescape"))
    Path("bad.yaml").write_text("own: 1\n")
    result = cli("cost", "--usage", "hours.csv", *arguments)
    assert (result.code, result.out) == (2, "") and said in result.err


def test_an_instance_takes_what_it_took_under_the_pattern_that_it_runs_under_at_last(cli: Cli, home: Path) -> None:
    Path("hours.csv").write_text(
        "hour,pattern,requests,cpu_seconds,memory_bytes\n0,vm,3600,30,900000000\n3600,process,3600,10,50000000\n"
    )
    (service,) = json.loads(cli("cost", "--usage", "hours.csv", "-o", "json").out)["services"]
    sizes = {each["pattern"]: each["size"] for each in service["patterns"]}
    assert (service["hours"], service["now"], sizes["function"]) == (2, "process", "128 MB")


def test_an_invalid_service_file_is_said_and_not_used(cli: Cli, home: Path) -> None:
    Path("hours.csv").write_text(HOURS)
    Path("fourfold.yaml").write_text("app: [\n")
    result = cli("cost", "--usage", "hours.csv")
    assert result.code == 0 and "fourfold.yaml is not used, as it is not valid" in result.err


def test_export(cli: Cli, server: Serving, home: Path) -> None:
    hour = v.HourView(
        hour="2026-11-22T08:00:00Z", service="catalog", pattern="vm", requests=3600, cpu_seconds=14.4,
        memory_bytes=8e7, response_seconds=0.01, instances=1.5,
    )  # fmt: skip
    server.facade.used = v.UsageView(app="shop", hours=[hour])
    result = cli("cost", "catalog", "--export", "hours.csv")
    assert (result.code, result.out, result.err) == (0, "", "1 hour of shop in hours.csv\n")
    assert server.facade.calls[-1] == ("usage", ("shop", "catalog"))
    priced = json.loads(cli("cost", "--usage", "hours.csv", "-o", "json").out)["services"][0]
    assert (priced["service"], priced["now"], priced["requests_per_month"]) == ("catalog", "vm", 3600 * 730)
    assert "by 1 hour of traffic, which says little about a month" in cli("cost", "--usage", "hours.csv").out
    Path("hours.json").write_text(cli("cost", "--export", "-", "-o", "json").out)
    assert json.loads(cli("cost", "--usage", "hours.json", "-o", "json").out)["services"][0] == priced
    assert cli("cost", "--export", "/nonexistent/x").code == 2
    assert "cannot take --export with other options" in cli("cost", "--export", "x", "--curve").err


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([("function", "vm", 2e6)], "function is cheaper below 2 million requests a month, vm above"),
        (
            [("function", "vm", 2e6), ("function", "vm", 5e7)],
            "function is cheaper below 2 million requests a month, vm above 50 million; "
            "in between now one, now the other",
        ),
        (
            [("function", "vm", 2e6), ("vm", "function", 5e7)],
            "function is cheaper below 2 million and above 50 million requests a month, vm in between",
        ),
    ],
)
def test_break_evens(found: list[tuple[str, str, float]], said: str) -> None:
    changes = [BreakEven.model_validate({"between": (a, b), "requests_per_month": at}) for a, b, at in found]
    assert money.break_evens(changes) == [said]


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (1e-6, "<$0.0001"),
        (0.00123, "$0.0012"),
        (0.0994, "$0.099"),
        (0.0996, "$0.10"),
        (0.123, "$0.12"),
        (999.996, "$1,000"),
        (18.024, "$18.02"),
        (2345.6, "$2,346"),
    ],
)
def test_dollars(amount: float, text: str) -> None:
    assert money.dollars(amount) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (12, "12"), (1460.2, "1,460"), (152_900, "153,000"), (999_999, "1 million"), (5.256e6, "5.26 million"),
     (2.5e9, "2.5 billion")],
)  # fmt: skip
def test_rounded(count: float, text: str) -> None:
    assert money.rounded(count) == text
