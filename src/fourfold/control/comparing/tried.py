"""One pattern of a comparison: how far it has come, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fourfold.control.comparing.candidate import CandidateApp
from fourfold.cost.comparison import Facts, Pattern
from fourfold.cost.rounds import Measured, Round


@dataclass
class Tried:
    """Fields are as in `cost.comparison.PatternResult`."""

    pattern: Pattern
    live: bool
    app: CandidateApp | None = None
    """None: the service cannot run so."""
    source: str = ""
    """Digest of what it was built from last."""
    up: bool = False
    """It is there, well, and can be measured."""
    came_up: bool = False
    reason: str | None = None
    build_seconds: float | None = None
    rebuild_seconds: float | None = None
    artifact_bytes: int | None = None
    base_bytes: int | None = None
    cold_start_seconds: float | None = None
    next_instance_memory_bytes: int | None = None
    deploy_seconds: float | None = None
    requests_lost_in_deploy: int | None = None
    rounds: list[Round] = field(default_factory=list)
    facts: Facts | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its app; empty without one."""
        return self.app.name if self.app is not None else ""

    def note(self, *texts: str) -> None:
        self.notes += [text for text in texts if text not in self.notes]

    def measured(self) -> Measured:
        return Measured(
            pattern=self.pattern,
            available=self.came_up,
            reason=self.reason,
            live=self.live,
            build_seconds=self.build_seconds,
            rebuild_seconds=self.rebuild_seconds,
            artifact_bytes=self.artifact_bytes,
            base_bytes=self.base_bytes,
            cold_start_seconds=self.cold_start_seconds,
            next_instance_memory_bytes=self.next_instance_memory_bytes,
            deploy_seconds=self.deploy_seconds,
            requests_lost_in_deploy=self.requests_lost_in_deploy,
            rounds=tuple(self.rounds),
            facts=self.facts,
            notes=tuple(self.notes),
        )
