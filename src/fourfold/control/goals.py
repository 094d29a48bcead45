"""Rows -> what the planner understands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.control.deploying import stages
from fourfold.control.registry import Live, Registry, key_of
from fourfold.control.routing.claims import successors
from fourfold.launch.function import ending
from fourfold.launch.model import Powers
from fourfold.launch.patterns import is_machine
from fourfold.plan import model as m
from fourfold.spec.model import Service
from fourfold.store.model import Deployment, InstanceRow, ServiceRow

SYSTEM = "fourfold"
"""The app that Fourfold's own services belong to; users' apps cannot have this name."""
GATEWAY = f"{SYSTEM}.gateway"
UNSCALED = ("shared", "function")
"""Patterns under which the load of a service does not say how many instances it has."""
GATEWAY_RESTARTS = m.Restarting(backoff_min=0.1, backoff_max=0.5)
"""However often it dies, it is back within a second: all apps need it."""


def pattern_of(row: ServiceRow) -> str:
    """The pattern that its instances are to run under."""
    return str(row.overrides.get("pattern", row.pattern))


def revision(row: ServiceRow) -> str:
    """What must be the same for an instance to be kept."""
    return f"{row.release}.{pattern_of(row)}.{row.restart_nonce}.{row.secrets_digest[:12]}"


def host_key(row: ServiceRow, spec: Service) -> str | None:
    """Key of the group whose instances carry this service's; `spec` is that of the release that it is to run."""
    named = pattern_of(row) == "shared" and spec.shared.group
    return f"{row.app}.{named}" if named else None


RESTORED = (
    "release", "pattern", "instances", "scaling", "stopped", "removed", "restart_nonce", "secrets_digest", "depends_on",
    "overrides", "internal_port", "scaled",
)  # fmt: skip


def rollback_point(row: ServiceRow) -> dict[str, Any]:
    """What a deployment keeps so that it can be undone."""
    return {name: getattr(row, name) for name in RESTORED}


def moves(deployment: Deployment) -> bool:
    """Whether it leads the service to another pattern."""
    before = deployment.previous.get("overrides", {}).get("pattern", deployment.previous.get("pattern"))
    return before not in (None, deployment.pattern)


def described(deployment: Deployment) -> str:
    """`release 3`, or `release 3 as container` where it moves."""
    return f"release {deployment.release}" + (f" as {deployment.pattern}" if moves(deployment) else "")


def restored(row: ServiceRow, point: dict[str, Any]) -> ServiceRow:
    """As it was; where its load says how many there are, not fewer than then, nor than now. One that was stored before
    its load could scale it has no `scaling`."""
    found = replace(row, **({"scaling": None, "scaled": None} | point | {"depends_on": tuple(point["depends_on"])}))
    if found.scaling is None:
        return found
    return replace(found, scaled=clamped(found.scaling, max(found.scaled or 0, row.scaled or 0)))


def wanted_count(row: ServiceRow, deployment: Deployment | None) -> int:
    """How many instances: none when stopped, or when its first deployment failed (there is nothing to go back to)."""
    if row.stopped or row.removed:
        return 0
    if deployment is not None and deployment.state == "failed" and not deployment.previous:
        return 0
    return desired(row)


def desired(row: ServiceRow) -> int:
    """Of a member: in each instance of its group, however many there were or will be under another pattern."""
    if pattern_of(row) == "shared":
        return 1
    return count_of(row)


def count_of(row: ServiceRow) -> int:
    """What a command said, else what its load asks for, else what the file says."""
    if "instances" in row.overrides or (bounds := scales(row)) is None:
        return int(row.overrides.get("instances", row.instances))
    return clamped(bounds, row.scaled)


def scales(row: ServiceRow) -> dict[str, Any] | None:
    """Its `scaling`, where its load may say how many there are; a command may still say something else.

    Not of a member of a group, of which each host has one, nor of an invoker, which makes as many sandboxes as its
    events need.
    """
    return None if pattern_of(row) in UNSCALED else row.scaling


def clamped(scaling: Mapping[str, Any], count: int | None) -> int:
    """The count within its bounds; the least there may be when nothing is known yet."""
    return min(max(count or 0, int(scaling["min"])), int(scaling["max"]))


class Goals:
    """What all services should be. A goal is made anew only when a row that it follows from is: rows never change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[ServiceRow, Deployment | None, bool, m.Goal]] = {}

    def now(self) -> dict[str, m.Goal]:
        registry, known = self._registry, {}
        for key, row in registry.services.items():
            deployment, before = registry.deployments.get(key), self._known.get(key)
            held = _port_is_held(registry, row)
            if before is not None and before[0] is row and before[1] is deployment and before[2] == held:
                known[key] = before
            else:
                known[key] = (row, deployment, held, goal_of(registry, key))
        self._known = known
        found = {key: each for key, (*_, each) in known.items()} | {GATEWAY: goal_of(registry, GATEWAY)}
        for key, heirs in successors(registry).items():
            found[key] = replace(found[key], successors=heirs)
        for key, (new, old) in registry.answered.items():
            if key in found and (deploying := found[key].deploying) is not None:
                found[key] = replace(found[key], deploying=replace(deploying, new=new, old=old))
        return found


def shares(registry: Registry, key: str) -> dict[str, int]:
    """Instance -> its weight in the gateway, while a deployment with steps goes on; all others have 1."""
    deployment = registry.running_deployment(key)
    if deployment is None or not deployment.staged:
        return {}
    row = registry.services[key]
    spec = registry.spec(key, deployment.release)
    rows, back = registry.of_service(key), deployment.state == "rolling-back"
    stable = stable_revision(row, deployment) or ""
    part = stages.percent(deployment, stages.steps(spec.deploy))
    return stages.shares(rows, revision(row), stable, part, wanted_count(row, deployment), back)


def internal_port(row: ServiceRow, deployment: Deployment | None) -> int | None:
    """Where others reach it; a release that has no port any more leaves the one before it reachable until it is there.

    None: it has no port, and nothing of it is for the gateway.
    """
    if row.internal_port is None and deployment is not None and deployment.state in ("running", "failed"):
        return deployment.previous.get("internal_port")
    return row.internal_port


def on_bridge(pattern: str, spec: Service, powers: Powers) -> bool:
    """Whether an instance has an address of its own, and so all ports; or gives its sandboxes some."""
    if is_machine(pattern, spec):
        return not is_forwarded(pattern, spec, powers)
    return pattern == "function" or (pattern == "container" and spec.container.network == "bridge")


def is_forwarded(pattern: str, spec: Service, powers: Powers) -> bool:
    """Whether an instance is a machine that a port of this host's loopback leads to."""
    return powers.forwarded and is_machine(pattern, spec)


def needs_bridge(registry: Registry, powers: Powers) -> bool:
    """Some instance is on it, or is to be."""
    if any((row.address or row.block) is not None and row.state != "exited" for row in registry.instances.values()):
        return True
    wanted = (row for row in registry.services.values() if not (row.stopped or row.removed))
    return any(on_bridge(pattern_of(row), registry.spec(key_of(row), row.release), powers) for row in wanted)


def goal_of(registry: Registry, key: str) -> m.Goal:
    if key == GATEWAY:  # it runs while any app has something to reach
        wanted = any(internal_port(row, registry.deployments.get(key)) for key, row in registry.services.items())
        ending = m.Ending(drain=None)
        return m.Goal(GATEWAY, revision="haproxy", count=int(wanted), restarting=GATEWAY_RESTARTS, ending=ending)
    row = registry.services[key]
    deployment = registry.deployments.get(key)
    found = goal(row, registry.spec(key, row.release), deployment, _port_is_held(registry, row))
    if deployment is None or deployment.state != "rolling-back" or not deployment.staged:
        return found
    failed = registry.spec(key, deployment.release).deploy  # `step` is one of that
    return replace(found, rollout=replace(found.rollout, steps=stages.steps(failed)))


def _port_is_held(registry: Registry, row: ServiceRow) -> bool:
    """Whether instances that are to be replaced, or leave, have the very port of the host that new ones need."""
    key, wanted = key_of(row), revision(row)
    others = [
        each
        for each in registry.of_service(key)
        if each.role == "serve" and (each.revision != wanted or each.state in m.LEAVING)
    ]
    if not others:  # all is as it should be: most services, in every plan
        return False
    port = registry.spec(key, row.release).host_port(pattern_of(row))
    return port is not None and any(registry.spec(key, each.release).host_port(each.pattern) == port for each in others)


def goal(row: ServiceRow, spec: Service, deployment: Deployment | None, port_is_held: bool = False) -> m.Goal:
    ended_badly = deployment is not None and deployment.state in ("failed", "rolled-back")
    left = deployment is not None and deployment.state == "failed" and deployment.aborted is None
    frozen = left and spec.deploy.rollback == "off"
    return m.Goal(
        key=key_of(row),
        revision=revision(row),
        count=_count(row, spec, deployment, frozen),
        removed=row.removed,
        depends_on=tuple(f"{row.app}.{name}" for name in row.depends_on),
        host=host_key(row, spec),
        grace=spec.health.grace if spec.health else 30.0,
        rollout=rollout(spec, port_is_held, deployment is not None and deployment.staged),
        ending=m.Ending(spec.stop.drain if _gets_requests(spec, deployment) else None, _grace(row, spec, deployment)),
        restarting=m.Restarting(spec.restart.policy, spec.restart.backoff.min, spec.restart.backoff.max),
        deploying=_deploying(row, deployment),
        settled_at=(deployment.finished_at or 0.0) if deployment is not None else 0.0,
        failed=ended_badly,
        frozen=frozen,
    )


def _count(row: ServiceRow, spec: Service, deployment: Deployment | None, frozen: bool) -> int:
    if spec.job is not None:  # its runs are `control.delivering.jobs`' affair
        return 0
    return desired(row) if frozen and not (row.stopped or row.removed) else wanted_count(row, deployment)


def _gets_requests(spec: Service, deployment: Deployment | None) -> bool:
    """A release that has no port any more follows one that may still be answering."""
    return spec.port is not None or bool(deployment and deployment.previous.get("internal_port"))


def _grace(row: ServiceRow, spec: Service, deployment: Deployment | None) -> float:
    """Seconds from the signal to the kill. An invoker answers what it has taken, also one that leaves for another
    pattern."""
    before = deployment.previous if deployment is not None else {}
    patterns = (pattern_of(row), before.get("overrides", {}).get("pattern", before.get("pattern")))
    return ending(spec) if "function" in patterns else spec.stop.grace


def rollout(spec: Service, port_is_held: bool, staged: bool = False) -> m.Rollout:
    recreates = port_is_held or spec.deploy.strategy == "recreate"  # two cannot listen on one port
    return m.Rollout(
        strategy="recreate" if recreates else "rolling",
        steps=stages.steps(spec.deploy) if staged and not recreates else (),
        judging=stages.judging(spec),
        max_surge=spec.deploy.max_surge,
        max_unavailable=spec.deploy.max_unavailable,
        min_ready=spec.deploy.min_ready,
        timeout=spec.deploy.timeout,
        before=spec.deploy.before is not None,
    )


def rollout_of(registry: Registry, deployment: Deployment) -> m.Rollout:
    """How a deployment that is there goes on; a port that is held makes none of its steps go away."""
    return rollout(registry.spec(key_of(deployment), deployment.release), False, deployment.staged)


def stable_revision(row: ServiceRow, deployment: Deployment) -> str | None:
    """What a deployment goes back to when it fails."""
    return revision(restored(row, deployment.previous)) if deployment.previous else None


def _deploying(row: ServiceRow, deployment: Deployment | None) -> m.Deploying | None:
    if deployment is None or deployment.state not in ("running", "rolling-back"):
        return None
    return m.Deploying(
        started_at=deployment.started_at,
        progressed_at=deployment.progressed_at,
        before_done=deployment.before_done,
        rolling_back=deployment.state == "rolling-back",
        aborted=deployment.aborted,
        stable=stable_revision(row, deployment),
        step=deployment.step,
        step_since=deployment.step_at,
        promoted=deployment.promoted,
    )


def instance(row: InstanceRow, live: Live, in_flight: int, routed: bool) -> m.Instance:
    """`in_flight` counts only while it drains; `routed`: the gateway acts on its state."""
    assert row.state != "gone"
    return m.Instance(
        id=row.id,
        key=key_of(row),
        revision=row.revision,
        state=row.state,
        since=row.changed_at,
        before=row.role == "before",
        host=row.host,
        failures=row.failures,
        ended=_ended(row),
        in_flight=in_flight,
        routed=routed,
        sick=live.sick,
        probe_error=live.probe_error,
    )


def _ended(row: InstanceRow) -> m.Ended | None:
    if row.state != "exited" or row.exit is None:
        return None
    return m.Ended(
        code=row.exit["code"],
        what=row.exit["reason"],
        fatal=bool(row.exit.get("fatal")),
        rebooted=bool(row.exit.get("rebooted")),
        asked=bool(row.exit.get("asked")),
    )
