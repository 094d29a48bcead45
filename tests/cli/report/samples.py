"""Comparisons as they come out of real ones: of all five patterns, and of what can be missing."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

from fourfold.cost.comparison import (
    BreakEven,
    Comparison,
    Costs,
    Facts,
    Latency,
    Load,
    Machine,
    Pattern,
    PatternResult,
    Range,
)

MIB = 2**20
SHARES = (*(step / 20 for step in range(1, 19)), 0.925, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.999, 1.0)
MARKUP = "<script>alert('x')</script> & \"quotes\""


def latency(middle: float, wide: float) -> Latency:
    """Log-normal, as latencies nearly are: `middle` in seconds, `wide` of its logarithm."""

    def within(share: float) -> float:
        return middle * math.exp(wide * NormalDist().inv_cdf(min(share, 0.9995)))

    curve = tuple((share, within(share)) for share in SHARES)
    return Latency(p50=within(0.5), p95=within(0.95), p99=within(0.99), curve=curve)


def around(value: float, share: float, rounds: int = 5) -> Range:
    return Range(low=value * (1 - share), high=value * (1 + share), rounds=rounds)


def stepped(place: str, base: float, each: float, step: float, first: float = 0.0) -> Costs:
    """`base` dollars and as much again for each `step` of requests, `each` for a million of requests."""
    points = []
    for index in range(37):
        requests = 1000 * 10 ** (index / 6)
        points.append(
            (
                requests,
                first + base * max(1, math.ceil(requests / step)) + each * requests / 1e6
                if base
                else each * requests / 1e6,
            )
        )
    return Costs(place=place, as_of="2026-11", points=tuple(points))


def result(pattern: Pattern, start: float, memory: int, **others: Any) -> PatternResult:
    p50, wide = others.pop("answers")
    facts: Facts = others.pop("facts")
    return PatternResult(
        pattern=pattern,
        available=True,
        start_seconds=start,
        restart_seconds=start * 1.1 + 0.3,
        idle_memory_bytes=memory,
        loaded_memory_bytes=int(memory * 1.25),
        latency_seconds=latency(p50, wide),
        requests=3000,
        requests_lost_in_deploy=0,
        facts=facts,
        spread={
            "start_seconds": around(start, 0.12),
            "restart_seconds": around(start * 1.1 + 0.3, 0.08),
            "idle_memory_bytes": around(memory, 0.01),
            "loaded_memory_bytes": around(memory * 1.25, 0.03),
            "latency_seconds.p50": around(latency(p50, wide).p50, 0.04),
            "latency_seconds.p95": around(latency(p50, wide).p95, 0.09),
            "latency_seconds.p99": around(latency(p50, wide).p99, 0.2),
            "requests_per_second": around(others["requests_per_second"], 0.04),
            "cpu_seconds_per_1000_requests": around(others["cpu_seconds_per_1000_requests"], 0.03),
        },
        **others,
    )


HOST = "6.18.0-1-amd64"
LIMITS = ("cpu", "memory", "pids")
WRITTEN = ("/app/cache/thumbs.db", "/app/run/catalog.pid", "/var/log/catalog/access.log")

PROCESS = result(
    "process", 0.31, 34 * MIB, answers=(0.0021, 0.35), live=True, build_seconds=2.4, rebuild_seconds=0.42,
    artifact_bytes=6_400_000, base_bytes=0, cold_start_seconds=0.36, next_instance_memory_bytes=26 * MIB,
    cpu_seconds_per_1000_requests=0.92, requests_per_second=1180, deploy_seconds=1.9, monthly_cost=2.10,
    own_hardware_monthly_cost=0.23,
    facts=Facts(own_process=True, own_user=True, own_file_system=False, own_network=False, own_kernel=False,
                kernel=HOST, limits_enforced=LIMITS, setuid_files=14, packages=612, open_ports=(41233,),
                files_written=WRITTEN),
    costs=stepped("EC2 host", 2.10, 0, 0.09e9),
)  # fmt: skip
SHARED = result(
    "shared", 0.19, 41 * MIB, answers=(0.0024, 0.5), build_seconds=2.6, rebuild_seconds=0.45,
    artifact_bytes=6_400_000, base_bytes=0, cold_start_seconds=0.88, next_instance_memory_bytes=7 * MIB,
    cpu_seconds_per_1000_requests=0.98, requests_per_second=1090, deploy_seconds=1.2, monthly_cost=0.62,
    own_hardware_monthly_cost=0.07,
    facts=Facts(own_process=False, own_user=False, own_file_system=False, own_network=False, own_kernel=False,
                kernel=HOST, limits_enforced=(), setuid_files=14, packages=612, open_ports=(41240,),
                limits_missing={"memory": "it shares a process with all members of webapps"}),
    costs=stepped("EC2 host", 0.62, 0, 0.11e9),
    notes=("two members of the group import the same package in versions that differ",),
)  # fmt: skip
CONTAINER = result(
    "container", 0.52, 36 * MIB, answers=(0.0023, 0.36), build_seconds=6.1, rebuild_seconds=0.95,
    artifact_bytes=9_800_000, base_bytes=88_000_000, cold_start_seconds=0.61, next_instance_memory_bytes=29 * MIB,
    cpu_seconds_per_1000_requests=1.02, requests_per_second=1050, deploy_seconds=2.4, monthly_cost=9.01,
    own_hardware_monthly_cost=0.25,
    facts=Facts(own_process=True, own_user=True, own_file_system=True, own_network=True, own_kernel=False,
                kernel=HOST, limits_enforced=LIMITS, setuid_files=0, packages=118, open_ports=(8080,),
                files_written=WRITTEN[:2]),
    costs=stepped("Fargate", 9.01, 0, 0.09e9),
)  # fmt: skip
VM = result(
    "vm", 4.8, 236 * MIB, answers=(0.0125, 0.55), build_seconds=17.5, rebuild_seconds=4.9,
    artifact_bytes=31_000_000, base_bytes=96_000_000, cold_start_seconds=21.0, next_instance_memory_bytes=141 * MIB,
    cpu_seconds_per_1000_requests=11.4, requests_per_second=92, deploy_seconds=11.8, monthly_cost=3.80,
    own_hardware_monthly_cost=0.98,
    facts=Facts(own_process=True, own_user=True, own_file_system=True, own_network=True, own_kernel=True,
                kernel="6.1.0-41-cloud-amd64", limits_enforced=(*LIMITS, "io"), setuid_files=0, packages=96,
                open_ports=(8080,)),
    costs=stepped("EC2", 3.80, 0, 0.02e9),
    notes=("virtual machines are emulated here: under KVM they start and answer many times faster",),
)  # fmt: skip
FUNCTION = result(
    "function", 0.24, 52 * MIB, answers=(0.0031, 0.62), build_seconds=3.4, rebuild_seconds=0.7,
    artifact_bytes=6_600_000, base_bytes=88_000_000, cold_start_seconds=0.29, next_instance_memory_bytes=13 * MIB,
    cpu_seconds_per_1000_requests=1.6, requests_per_second=640, deploy_seconds=2.1, monthly_cost=0.89,
    own_hardware_monthly_cost=0.19,
    facts=Facts(own_process=True, own_user=True, own_file_system=True, own_network=True, own_kernel=False,
                kernel=HOST, limits_enforced=("cpu", "memory"), setuid_files=0, packages=None, open_ports=(),
                unseen=("files_written",)),
    costs=stepped("Lambda", 0, 0.34, 1),
)  # fmt: skip

COMPARISON = Comparison(
    app="shop",
    service="catalog",
    release=7,
    made_at="2026-11-26T05:04:11Z",
    quick=False,
    rounds=5,
    seconds=741.0,
    machine=Machine(cores=2, memory_bytes=24 * 2**30, kernel=HOST, accelerator="tcg"),
    load=Load(
        source="recorded",
        requests_per_second=20,
        duration_seconds=30,
        distinct_requests=14,
        examples=("GET /items/1", "GET /items?page=2", "GET /search?q=lamp"),
    ),
    patterns=(PROCESS, SHARED, CONTAINER, VM, FUNCTION),
    requests_per_month=2.7e6,
    break_even=(
        BreakEven(between=("function", "shared"), requests_per_month=1.82e6),
        BreakEven(between=("function", "process"), requests_per_month=6.18e6),
        BreakEven(between=("function", "vm"), requests_per_month=11.2e6),
        BreakEven(between=("function", "container"), requests_per_month=26.5e6),
    ),
)
"""All five, the machine quiet."""

QUICK = COMPARISON.model_copy(
    update={
        "quick": True,
        "rounds": 2,
        "seconds": 171.0,
        "noise": f"other programs took 1.3 of 2 cores in 9 of 10 rounds {MARKUP}: compare again later",
        "load": Load(
            source="default",
            requests_per_second=10,
            duration_seconds=5,
            distinct_requests=1,
            examples=(f"GET /{MARKUP}",),
        ),
        "break_even": (),
        "patterns": (
            PROCESS.model_copy(
                update={"too_noisy": ("start_seconds", "latency_seconds.p99"), "notes": (MARKUP,), "costs": None}
            ),
            PatternResult(pattern="shared", available=False, reason=f"cannot run as part of a group: {MARKUP}"),
            CONTAINER.model_copy(
                update={"reason": "its deploy failed: not ready in 60 s", "deploy_seconds": None, "costs": None}
            ),
            PatternResult(
                pattern="vm", available=False, reason="cannot run virtual machines: qemu-system-x86_64 is missing"
            ),
            PatternResult(pattern="function", available=False, reason="no `function.handler` and no `port`"),
        ),
    }
)
"""Two of five, a busy machine, no prices, and markup wherever words come from elsewhere."""

NOTHING = COMPARISON.model_copy(
    update={
        "break_even": (),
        "patterns": tuple(
            PatternResult(pattern=each.pattern, available=False, reason="cannot run here")
            for each in COMPARISON.patterns
        ),
    }
)
"""No pattern could run."""


def _alike(each: PatternResult) -> PatternResult:
    return each.model_copy(
        update={
            "start_seconds": 0.5,
            "next_instance_memory_bytes": 30 * MIB,
            "latency_seconds": PROCESS.latency_seconds,
            "facts": PROCESS.facts,
            "costs": Costs(place="EC2 host", points=((1e3, 3.0), (1e6, 3.0), (1e9, 3.0))),
            "notes": ("x" * 400,),
        }
    )


CROWDED = COMPARISON.model_copy(
    update={
        "app": "an-app-with-a-name-that-is-quite-a-lot-longer-than-others",
        "service": "a-service-with-a-name-that-nobody-would-have-thought-of-before",
        "patterns": tuple(_alike(each) for each in COMPARISON.patterns),
        "break_even": tuple(
            BreakEven(between=("process", "vm"), requests_per_month=1e6 * factor) for factor in (1, 1.1, 1.3, 1.4)
        ),
    }
)
"""All patterns alike, so that everything is in the same place; long words."""
