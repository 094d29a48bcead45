"""What rounds of measurements gave, pattern by pattern: what `summary` makes a comparison of. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.cost.comparison import Facts, Latency, Load, Machine, Pattern


@dataclass(frozen=True)
class Round:
    """Of one pattern. None: not measured. Fields as in `PatternResult`."""

    start_seconds: float | None = None
    restart_seconds: float | None = None
    idle_memory_bytes: int | None = None
    loaded_memory_bytes: int | None = None
    cpu_seconds_per_1000_requests: float | None = None
    requests_per_second: float | None = None
    latency: Latency | None = None
    requests: int = 0
    errors: int = 0
    other_cores: float | None = None
    """Mean of cores that were busy with what is neither measured nor measures, from the round's start to its end."""
    notes: tuple[str, ...] = ()


@dataclass
class Measured:
    """Of one pattern, over all rounds, filled in as it is seen. The numbers here are measured once; fields as in
    `PatternResult`."""

    pattern: Pattern
    available: bool = True
    reason: str | None = None
    live: bool = False
    build_seconds: float | None = None
    rebuild_seconds: float | None = None
    artifact_bytes: int | None = None
    base_bytes: int | None = None
    cold_start_seconds: float | None = None
    next_instance_memory_bytes: int | None = None
    deploy_seconds: float | None = None
    requests_lost_in_deploy: int | None = None
    rounds: tuple[Round, ...] = ()
    facts: Facts | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What was compared, where and how. Fields as in `Comparison`."""

    app: str
    service: str
    release: int
    made_at: str
    quick: bool
    seconds: float
    machine: Machine
    load: Load
