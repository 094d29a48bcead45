"""Deployments with steps (canary, blue-green): from rows to what the planner and the gateway need. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fourfold.gateway.model import InstanceStats
from fourfold.gateway.weights import weights
from fourfold.plan import model as m
from fourfold.spec.deploy import STAGED, Deploy
from fourfold.spec.model import Service
from fourfold.store.model import Deployment, InstanceRow

Answers = Mapping[str, tuple[int, int]]
"""Instance -> requests and errors that it has answered, ever."""
NONE = (0, 0)


def steps(deploy: Deploy) -> tuple[m.Step, ...]:
    if deploy.strategy == "canary":
        return tuple(m.Step(step.weight, step.pause) for step in deploy.stages)
    if deploy.strategy == "blue-green":
        return (m.Step(0, None if deploy.promote == "manual" else 0.0, instances=100),)
    return ()


def judging(spec: Service) -> m.Judging:
    """One that nobody asks anything is judged by its health alone."""
    asked = spec.port is not None or spec.function.handler is not None
    return m.Judging(spec.deploy.min_requests if asked else 0, spec.deploy.max_errors)


def goes_by_steps(deploy: Deploy, previous: Mapping[str, Any], new: Mapping[str, Any], kind: str) -> bool:
    """`previous`, `new`: what a service was and is to be, as `goals.rollback_point` has it; `kind`: of the operation.

    Not for a restart, a scale or a rollback: they bring what has served already.
    """
    if deploy.strategy not in STAGED or not previous or kind == "rollback":
        return False
    if any(point["stopped"] or point["removed"] for point in (previous, new)):
        return False
    differs = ("release", "secrets_digest", "pattern")
    return any(_value(previous, key) != _value(new, key) for key in differs)


def _value(point: Mapping[str, Any], key: str) -> Any:
    return point["overrides"].get(key, point[key])


def percent(deployment: Deployment, among: tuple[m.Step, ...]) -> int | None:
    """What new instances get together at its step; None: no more and no less than others."""
    if not among or deployment.step >= len(among):
        return None
    if deployment.step_at is not None:
        return among[deployment.step].weight
    return among[deployment.step - 1].weight if deployment.step else 0


def shares(
    rows: Iterable[InstanceRow], goal: str, stable: str, part: int | None, count: int, rolling_back: bool
) -> dict[str, int]:
    """Instance -> its weight, of those that get requests. `goal`, `stable`: revisions, where it goes and whence it
    came; `count`: how many there are to be.

    As long as those of `stable` are all there, nobody else gets what is theirs: what an earlier deployment has left,
    or what is gone back from, may be broken. What failed at a step gets nothing as long as one of `goal` is there: it
    was to have a part only, and must not get more of it for having failed.
    """
    serving = [row for row in rows if row.state == "ready" and row.role == "serve"]
    new = [row.id for row in serving if row.revision == goal]
    kept = [row.id for row in serving if row.revision == stable and stable != goal]
    rest = [row.id for row in serving if row.revision not in (goal, stable)]
    if rolling_back:
        carries = bool(new) if part is not None else len(new) >= count > 0
        return dict.fromkeys(new, 1) | dict.fromkeys([*kept, *rest], 0 if carries else 1)
    if part is None:
        return dict.fromkeys((row.id for row in serving), 1)
    silent = rest if len(kept) >= count > 0 else []
    old = [*kept, *(name for name in rest if name not in silent)]
    of_old, of_new = weights(len(old), len(new), part)
    return dict.fromkeys(old, of_old) | dict.fromkeys(new, of_new) | dict.fromkeys(silent, 0)


def marks(rows: Iterable[InstanceRow], answers: Answers) -> dict[str, list[int]]:
    """What is stored when a step begins."""
    return {row.id: list(answers[row.id]) for row in rows if row.id in answers}


def answered(deployment: Deployment, rows: Iterable[InstanceRow], answers: Answers) -> tuple[m.Answered, m.Answered]:
    """By the new instances and by the others, since the step began."""
    new, old = m.Answered(), m.Answered()
    for row in rows:
        now, then = answers.get(row.id, NONE), deployment.marks.get(row.id, NONE)
        requests, errors = max(0, now[0] - then[0]), max(0, now[1] - then[1])
        if row.revision == deployment.revision:
            new = m.Answered(new.requests + requests, new.errors + errors)
        else:
            old = m.Answered(old.requests + requests, old.errors + errors)
    return new, old


def forgotten(deployments: Iterable[Deployment], answers: Answers) -> dict[str, tuple[int, int]]:
    """What was counted when their steps began beyond what a daemon that has just started knows: events, of which only
    the one before knew."""
    marked = [(name, then) for deployment in deployments for name, then in deployment.marks.items()]
    known = [(name, then, answers.get(name, NONE)) for name, then in marked]
    return {
        name: (then[0] - now[0], max(0, then[1] - now[1])) for name, then, now in known if now[0] < then[0]
    }  # fmt: skip


def read(stats: Mapping[str, InstanceStats]) -> dict[str, tuple[int, int]]:
    return {name: (each.requests, each.errors_5xx) for name, each in stats.items()}


def added(one: Answers, other: Answers) -> dict[str, tuple[int, int]]:
    found = dict(one)
    for name, (requests, errors) in other.items():
        known = found.get(name, NONE)
        found[name] = (known[0] + requests, known[1] + errors)
    return found


def entered(deployment: Deployment, step: int, now: float) -> Deployment:
    """It goes on to a step, whose instances are still to come."""
    return replace(deployment, step=step, step_at=None, promoted=False, progressed_at=now)


def begun(deployment: Deployment, marked: dict[str, list[int]], now: float) -> Deployment:
    return replace(deployment, step_at=now, marks=marked, progressed_at=now)
