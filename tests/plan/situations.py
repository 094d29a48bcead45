"""What situations of the planner are made of: goals and instances, as of one moment."""

from __future__ import annotations

from fourfold.plan import model as m

NOW = 1000.0


def goal(key: str = "a.x", revision: str = "2", count: int = 1, **rest: object) -> m.Goal:
    return m.Goal(key=key, revision=revision, count=count, **rest)  # type: ignore[arg-type]


def inst(
    name: str, state: m.State = "ready", revision: str = "2", since: float = NOW - 100, **rest: object
) -> m.Instance:
    key = str(rest.pop("key", "a.x"))
    return m.Instance(id=name, key=key, revision=revision, state=state, since=since, **rest)  # type: ignore[arg-type]


DEPLOYING = m.Deploying(started_at=NOW - 1, progressed_at=NOW - 1)
FAILED = m.Ended(code=3, what="exit code 3")
