"""A comparison to begin with: what tests change of it."""

from __future__ import annotations

from fourfold.cost.comparison import Latency, Load, Machine
from fourfold.cost.rounds import Measured, Round, Subject

SUBJECT = Subject(
    app="shop",
    service="catalog",
    release=3,
    made_at="2026-11-26T05:00:00Z",
    quick=False,
    seconds=700.0,
    machine=Machine(cores=2, memory_bytes=24 * 1024**3, kernel="6.18.0", accelerator="tcg"),
    load=Load(source="recorded", requests_per_second=20, duration_seconds=10, distinct_requests=1, examples=("GET /",)),
)


def round_of(start: float, memory: int = 30_000_000, p50: float = 0.002, other: float | None = 0.0) -> Round:
    return Round(
        start_seconds=start,
        restart_seconds=start + 0.5,
        idle_memory_bytes=memory,
        loaded_memory_bytes=memory * 2,
        cpu_seconds_per_1000_requests=1.5,
        requests_per_second=900.0,
        latency=Latency(p50=p50, p95=p50 * 2, p99=p50 * 3, curve=((0.5, p50), (0.95, p50 * 2), (0.99, p50 * 3))),
        requests=200,
        other_cores=other,
    )


PROCESS = Measured(
    pattern="process", live=True, build_seconds=1.0, rounds=(round_of(0.2), round_of(0.22), round_of(0.21))
)
VM = Measured(pattern="vm", build_seconds=9.0, rounds=(round_of(4.0, 150_000_000), round_of(5.0, 151_000_000)))
