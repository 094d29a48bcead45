"""Groups and their members: what a member has of its group, and what is refused of both. Raises UserError (exit 2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from fourfold.control.deploying.changes import Wish
from fourfold.control.goals import host_key
from fourfold.control.registry import Registry, key_of
from fourfold.errors import UserError
from fourfold.spec.app import App
from fourfold.spec.checks.groups import fits
from fourfold.spec.groups import Host
from fourfold.spec.model import Service
from fourfold.store.model import ServiceRow


def spec_of(app: App, name: str) -> Service:
    """A service or group of the file as releases have it: members with what their group says, under every pattern, so
    that moving one in or out needs no new release."""
    spec = app.everything[name]
    group = app.groups.get(spec.shared.group) if spec.shared.group is not None else None
    if group is None:
        return spec
    shared = spec.shared.model_copy(update={"kind": group.kind, "mode": group.mode})
    return spec.model_copy(update={"shared": shared, "runtime": spec.runtime or group.runtime})


def missing(registry: Registry, app: App, wishes: Iterable[Wish]) -> list[str]:
    """Groups that the members among these need and that do not run: they are brought up with them."""
    wishes = list(wishes)
    wanted = dict.fromkeys(w.spec.shared.group for w in wishes if w.pattern == "shared" and w.spec.shared.group)
    named = {wish.name for wish in wishes}
    return [name for name in wanted if name not in named and not _runs(registry, f"{app.app}.{name}")]


def _runs(registry: Registry, key: str) -> bool:
    row, deployment = registry.services.get(key), registry.deployments.get(key)
    failed = deployment is not None and deployment.state == "failed" and not deployment.previous
    return row is not None and not (row.stopped or row.removed or failed)


def check_groups(registry: Registry, app: App, wishes: Sequence[Wish]) -> None:
    """What the file does not show, because commands move services, or because only some of it is deployed."""
    named = {wish.name for wish in wishes}
    for wish in wishes:
        if wish.pattern == "shared":
            _check_member(registry, app, wish, named)
        if isinstance(wish.spec, Host):
            _check_alone(registry, app, wish, wishes)


def _check_member(registry: Registry, app: App, wish: Wish, named: Collection[str]) -> None:
    name = wish.spec.shared.group
    if name is None:
        raise UserError(
            f"cannot run {wish.name} in a group: it does not say in which",
            "add `shared: {group: NAME}` to it, one of `groups` in the file",
        )
    for _, what, hint in fits((), app.services[wish.name], name, app.groups[name]):
        raise UserError(f"cannot run {wish.name} in group {name}: {what}", hint)
    row = registry.services.get(f"{app.app}.{name}")
    if name in named or row is None or row.removed:
        return
    if _kind(registry.spec(key_of(row), row.release)) != _kind(app.groups[name].as_host()):
        raise UserError(
            f"cannot deploy {wish.name} without its group {name}: that runs with another kind, mode or runtime than "
            "the file says",
            f"deploy them together: fourfold deploy {name} {wish.name}",
        )


def _check_alone(registry: Registry, app: App, wish: Wish, wishes: Sequence[Wish]) -> None:
    """A group of another kind or runtime takes only what is built for that."""
    row = registry.services.get(f"{app.app}.{wish.name}")
    if row is None or row.removed or _kind(registry.spec(key_of(row), row.release)) == _kind(wish.spec):
        return
    named = {each.name for each in wishes}
    if left := [each.name for each in members(registry, app.app, wish.name) if each.name not in named]:
        raise UserError(
            f"cannot deploy group {wish.name} without {', '.join(left)}: its kind, mode or runtime has changed, and "
            "its members are built for that",
            f"deploy them together: fourfold deploy {' '.join([wish.name, *left])}",
        )


def members(registry: Registry, app: str, group: str) -> list[ServiceRow]:
    """Services that run in a group, or are to."""
    rows = (row for row in registry.of_app(app) if not row.removed)
    return [row for row in rows if host_key(row, registry.spec(key_of(row), row.release)) == f"{app}.{group}"]


def check_scale(registry: Registry, row: ServiceRow) -> None:
    """Of a member there is one in each instance of its group."""
    key = host_key(row, registry.spec(key_of(row), row.release))
    if key is not None:
        group = key.partition(".")[2]
        raise UserError(
            f"cannot scale {row.name}: one of it runs in each instance of its group {group}",
            f"scale that: fourfold scale {group}=2; or move it out: fourfold deploy {row.name} --as process",
        )


def check_restart(registry: Registry, row: ServiceRow, others: Sequence[str]) -> None:
    """A member comes back with its group only."""
    key = host_key(row, registry.spec(key_of(row), row.release))
    group = registry.services.get(key) if key is not None else None
    if group is not None and group.stopped and group.name not in others:
        raise UserError(
            f"cannot start {row.name}: its group {group.name} is stopped", f"fourfold restart {group.name} {row.name}"
        )


def check_rollback(registry: Registry, row: ServiceRow, release: int) -> None:
    """An older release may have been built for another group, and an older group for other members."""
    spec = registry.spec(key_of(row), release)
    if isinstance(spec, Host):
        for member in members(registry, row.app, row.name):
            theirs = registry.spec(key_of(member), member.release)
            if _built_for(theirs) != _kind(spec):
                raise UserError(
                    f"cannot roll group {row.name} back to release {release}: that is of another kind, mode or "
                    f"runtime, and {member.name} is not built for it",
                    "change the file, then: fourfold up",
                )
        return
    key = host_key(row, spec)
    if key is None:
        return
    group = registry.services.get(key)
    kind = _kind(registry.spec(key, group.release)) if group is not None and not group.removed else None
    if kind != _built_for(spec):
        why = "is not there any more" if kind is None else "is of another kind, mode or runtime now"
        raise UserError(
            f"cannot roll {row.name} back to release {release}: the group {spec.shared.group} that it ran in {why}",
            f"move it out first: fourfold deploy {row.name} --as process",
        )


Built = tuple[str | None, str, str | None]
"""Kind, mode, runtime."""


def _built_for(member: Service) -> Built:
    return member.shared.kind, member.shared.mode, member.runtime


def _kind(spec: Service) -> Built:
    assert isinstance(spec, Host)
    return spec.group.kind, spec.group.mode, spec.runtime
