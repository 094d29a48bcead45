"""What is known of a service: from its file, its source, traffic, prices and measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.cost.advice.case import Case, Price
from fourfold.cost.advice.facts import facts_of
from fourfold.cost.advice.measured import measured
from fourfold.cost.advice.model import Blocker, Known
from fourfold.cost.advice.rules import standard
from fourfold.cost.comparison import Facts, Latency, Machine, Pattern
from fourfold.cost.model import Hour, Traffic
from tests.cost.advice.rig import case_of, compared, traffic_of

WEB = {"source": "./x", "run": "./x", "port": 8080}


def values(case: Case) -> dict[str, Any]:
    return {name: known.value for name, known in facts_of(case, standard()).items()}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (WEB, {"kind": "web", "exposed": False, "chosen": False, "now": "process", "keeps_data": False}),
        ({**WEB, "route": {"path": "/", "timeout": "10m"}}, {"exposed": True, "longest_answer": 600.0}),
        ({"source": "./x", "run": "./x"}, {"kind": "worker"}),
        ({"source": "./x", "run": "./x", "job": {}}, {"kind": "job", "scheduled": False}),
        ({"source": "./x", "function": {"handler": "a.b"}}, {"kind": "handler"}),
        ({"source": "./x", "function": {"handler": "a.b"}, "run": "./x", "port": 1}, {"kind": "web"}),
        ({"source": "./x", "static": {}}, {"kind": "static"}),
        ({**WEB, "pattern": "vm"}, {"chosen": True, "vm.is_now": True, "process.is_now": False}),
        ({**WEB, "port": {"fixed": 7000}}, {"fixed_port": True}),
        ({**WEB, "port": {"fixed": 80}}, {"fixed_port": True, "root": True}),
        ({**WEB, "volumes": [{"name": "d", "path": "/d"}]}, {"keeps_data": True}),
        ({**WEB, "secrets": ["KEY"]}, {"secrets": True}),
        ({**WEB, "container": {"runtime": "runsc"}}, {"untrusted": True, "container_kernel": True}),
        ({**WEB, "container": {"isolation": "vm"}}, {"untrusted": True, "container_kernel": True}),
        ({**WEB, "function": {"isolation": "vm"}}, {"untrusted": True, "sandbox_kernel": True}),
        (WEB, {"untrusted": False}),
        ({**WEB, "resources": {"memory": "64Mi"}}, {"memory_limit": 2.0**26}),
        ({**WEB, "runtime": "python3.11"}, {"language": "python"}),
    ],
)
def test_from_the_file(service: dict[str, Any], expected: dict[str, Any]) -> None:
    found = values(case_of({"service": service}))
    assert {name: found[name] for name in expected} == expected


def test_from_the_source() -> None:
    found = facts_of(
        case_of({"service": WEB, "source": {"language": "nodejs", "signs": {"writes": "a.js:3"}}}), standard()
    )
    assert found["writes"] == Known(True, "source", "a.js:3")
    assert found["connections"] == Known(False, "source")
    nothing = values(case_of({"service": WEB, "source": {"language": "nodejs"}}))
    assert "writes" not in nothing, "libraries write too: that no line does proves nothing"
    assert "language" not in values(case_of({"service": WEB}))


@pytest.mark.parametrize(
    ("service", "fixed"),
    [
        (WEB, Known(True, "source", "x.js:7")),
        ({**WEB, "run": "node x.js --port $PORT"}, Known(False, "file")),
        ({"source": "./x", "run": "./x"}, Known(False, "file")),
    ],
)
def test_a_port_that_is_written_down_in_the_source(service: dict[str, Any], fixed: Known) -> None:
    source = {"language": "nodejs", "signs": {"fixed_port": "x.js:7"}}
    assert facts_of(case_of({"service": service, "source": source}), standard())["fixed_port"] == fixed


def test_an_index_page_makes_it_files_unless_something_is_run() -> None:
    source = {"language": "files"}
    assert values(case_of({"service": {"source": "./x", "port": 1}, "source": source}))["kind"] == "static"
    assert values(case_of({"service": WEB, "source": source}))["kind"] == "web"


def test_from_traffic() -> None:
    traffic = traffic_of(["18 x 0", "6 x 1200"], response_seconds=0.5)
    case = replace(case_of({"service": WEB}), traffic=traffic)
    found = values(case)
    assert found["quiet_hours"] == 0.75
    assert found["peak_to_mean"] == 4
    assert found["in_progress"] == pytest.approx(7200 * 0.5 / 86400)
    untimed = tuple(each if each.requests else replace(each, response_seconds=None) for each in traffic.hours)
    assert values(replace(case, traffic=Traffic(untimed)))["in_progress"] == found["in_progress"], "none is answered"


def test_a_few_hours_tell_nothing() -> None:
    case = replace(case_of({"service": WEB}), traffic=Traffic((Hour(0.0, 10), Hour(3600.0, 0))))
    found = values(case)
    assert "quiet_hours" not in found
    assert "peak_to_mean" not in found


def test_no_requests_at_all_have_no_peak() -> None:
    found = values(replace(case_of({"service": WEB}), traffic=traffic_of(["24 x 0"])))
    assert found["quiet_hours"] == 1.0
    assert "peak_to_mean" not in found


def test_prices_are_held_against_the_cheapest_that_can_be() -> None:
    case = replace(
        case_of({"service": WEB}),
        traffic=traffic_of(["24 x 9"]),
        prices={"process": Price(10, "own hardware"), "vm": Price(25, "EC2", True), "function": Price(1, "Lambda")},
        blockers={"function": (Blocker(kind="program", why="no"),)},
    )
    found = facts_of(case, standard())
    assert found["vm.cost_ratio"] == Known(2.5, "prices", "EC2, estimated")
    assert found["vm.cost_more"].value == 15
    assert "function.cost_more" not in found


def test_what_it_costs_counts_only_where_its_traffic_is_known() -> None:
    prices: dict[Pattern, Price] = {"process": Price(1, "own hardware"), "vm": Price(5, "EC2")}
    case = replace(case_of({"service": WEB}), traffic=Traffic((Hour(0.0, 10),)), prices=prices)
    assert "vm.cost_more" not in values(case)


def test_what_costs_nothing_has_no_ratio() -> None:
    prices: dict[Pattern, Price] = {"process": Price(0, "own hardware"), "vm": Price(5, "EC2")}
    case = replace(case_of({"service": WEB}), traffic=traffic_of(["24 x 9"]), prices=prices)
    found = values(case)
    assert found["vm.cost_more"] == 5
    assert "vm.cost_ratio" not in found


def test_what_the_user_says_overrules_everything() -> None:
    row = {"service": {**WEB, "container": {"isolation": "vm"}}, "assume": {"untrusted": "no"}}
    assert facts_of(case_of(row), standard())["untrusted"] == Known(False, "you")


@pytest.mark.parametrize(
    ("facts", "writes"),
    [
        (Facts(), Known(False, "measured")),
        (Facts(files_written=("/a",)), Known(True, "measured", "/a")),
        (Facts(files_written=("/a",), unseen=("files_written",)), Known(True, "measured", "/a")),
        (Facts(unseen=("files_written",)), None),
    ],
)
def test_what_could_not_be_seen_is_not_known(facts: Facts, writes: Known | None) -> None:
    assert dict(measured(compared({"process": {"facts": facts}}))).get("writes") == writes


def test_from_a_comparison() -> None:
    fast, slow = Latency(p50=0.001, p95=0.002, p99=0.003), Latency(p50=0.01, p95=0.02, p99=0.03)
    found = dict(
        measured(
            compared(
                {
                    "process": {
                        "start_seconds": 0.4,
                        "next_instance_memory_bytes": 40_000_000,
                        "loaded_memory_bytes": 50_000_000,
                        "latency_seconds": fast,
                        "requests_per_second": 1000,
                        "requests": 200,
                        "requests_lost_in_deploy": 0,
                        "facts": Facts(limits_missing={"io": "no blkio", "pids": "no blkio"}, setuid_files=18),
                    },
                    "function": {
                        "start_seconds": 1.5,
                        "next_instance_memory_bytes": 30_000_000,
                        "latency_seconds": slow,
                        "requests_per_second": 100,
                        "requests": 200,
                        "errors": 4,
                        "facts": Facts(files_written=("/srv/app/cache.db",)),
                    },
                    "vm": {"available": False, "reason": "no QEMU", "start_seconds": 9},
                },
                machine=Machine(cores=2, memory_bytes=1, kernel="6", accelerator="tcg"),
            )
        )
    )
    assert found["starts_in"] == Known(1.5, "measured", "as a function")
    assert found["memory"].value == 50_000_000
    assert found["writes"] == Known(True, "measured", "/srv/app/cache.db")
    assert found["emulated"].value is True
    assert found["function.next_share"].value == 0.75
    assert found["function.memory_more"].value == 0
    assert found["function.p99_ratio"].value == pytest.approx(10)
    assert found["function.throughput_share"].value == pytest.approx(0.1)
    assert found["function.error_share"] == Known(0.02, "measured", "of 200")
    assert found["process.unlimited"] == Known(True, "measured", "io, pids: no blkio")
    assert found["process.setuid"].value == 18
    assert "function.setuid" not in found, "this host does not let us see"
    assert found["function.unlimited"].value is False
    assert found["process.requests_lost"].value == 0
    assert not any(name.startswith("vm.") for name in found), "it did not run"


def test_what_rounds_do_not_agree_on_is_not_known() -> None:
    one = {"start_seconds": 0.4, "too_noisy": ("start_seconds", "latency_seconds"), "requests_per_second": 5}
    noisy = {**one, "latency_seconds": Latency(p50=1, p95=1, p99=1)}
    found = dict(measured(compared({"process": noisy})))
    assert found.keys() == {"process.throughput_share", "emulated"}


def test_nothing_written_is_known_only_where_somebody_looked() -> None:
    assert dict(measured(compared({"process": {"facts": Facts()}})))["writes"].value is False
    assert "writes" not in dict(measured(compared({"process": {}})))


def test_an_emulated_machine_says_nothing_of_how_fast_machines_are() -> None:
    slow = {"requests_per_second": 10, "cpu_seconds_per_1000_requests": 6, "start_seconds": 5}
    fast = {"requests_per_second": 1000, "cpu_seconds_per_1000_requests": 0.4, "start_seconds": 0.1}
    emulated = Machine(cores=2, memory_bytes=1, kernel="6", accelerator="tcg")
    found = dict(measured(compared({"process": fast, "vm": slow}, machine=emulated)))
    assert found.keys() & {"vm.cpu_ratio", "vm.throughput_share"} == set()
    assert found["vm.start"].value == 5
    found = dict(measured(compared({"process": fast, "vm": slow})))
    assert found["vm.cpu_ratio"].value == pytest.approx(15)


def test_one_noisy_percentile_is_left_out() -> None:
    noisy = {"latency_seconds": Latency(p50=1, p95=1, p99=1), "too_noisy": ("latency_seconds.p99",)}
    assert "process.p99" not in dict(measured(compared({"process": noisy})))
