"""What a load generator saw, as a value with a summary for people. Times are seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

FAILURES_KEPT = 1000
"""The first this many are kept one by one; all are counted."""


@dataclass(frozen=True)
class Failure:
    at: float
    """Seconds since the load began."""
    kind: str
    """`refused`, `reset`, `closed`, `closed-idle` (on a connection that had been used before: a client may retry it),
    `short`, `malformed`, `timeout`, `status 503`, …"""
    detail: str


@dataclass
class Report:
    ok: int = 0
    failed: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    last_ok: float = 0.0
    longest_gap: float = 0.0
    """The longest time without a single good answer."""

    @classmethod
    def of_all(cls, reports: Iterable[Report]) -> Report:
        """What several loads at the same time saw together; the gap is the longest that one of them had."""
        total = cls()
        for each in reports:
            total.ok += each.ok
            total.failed += each.failed
            total.seconds = max(total.seconds, each.seconds)
            total.kinds += each.kinds
            total.versions += each.versions
            total.failures += each.failures
            total.latencies += each.latencies
            total.longest_gap = max(total.longest_gap, each.longest_gap)
        return total

    def add_success(self, began: float, ended: float, version: str | None) -> None:
        self.ok += 1
        self.latencies.append(ended - began)
        self.note_gap(ended)
        self.last_ok = ended
        if version is not None:
            self.versions[version] += 1

    def add_failure(self, failure: Failure) -> None:
        self.failed += 1
        self.kinds[failure.kind] += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)

    def note_gap(self, now: float) -> None:
        self.longest_gap = max(self.longest_gap, now - self.last_ok)

    def percentile(self, percent: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0

    def __str__(self) -> str:
        ms = [f"p{percent} {self.percentile(percent) * 1000:.1f} ms" for percent in (50, 95, 99)]
        lines = [
            f"{self.ok} ok, {self.failed} failed in {self.seconds:.1f} s ({self.ok / max(self.seconds, 1e-9):.0f}/s), "
            f"{', '.join(ms)}, longest gap {self.longest_gap * 1000:.0f} ms"
        ]
        lines += [f"  answered by {version}: {count}" for version, count in self.versions.most_common()]
        lines += [f"  {kind}: {count}" for kind, count in self.kinds.most_common()]
        lines += [f"  at {f.at:.3f} s: {f.kind}: {f.detail}" for f in self.failures[:5]]
        return "\n".join(lines)

    def summary(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "kinds": dict(self.kinds),
            "versions": dict(self.versions),
            "p50": self.percentile(50),
            "p95": self.percentile(95),
            "p99": self.percentile(99),
            "longest_gap": self.longest_gap,
        }
