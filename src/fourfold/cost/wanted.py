"""What a service file asks for, as far as it costs something, and what it rules out."""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.cost.comparison import PATTERNS, Pattern
from fourfold.cost.model import Wanted
from fourfold.spec.checks.functions import functions_and_jobs
from fourfold.spec.checks.groups import as_guest
from fourfold.spec.groups import Group
from fourfold.spec.model import Service


def wanted(
    service: Service,
    storage_bytes: int = 0,
    instances: tuple[int, int] | None = None,
    members: int = 1,
    hosts: int | None = None,
) -> Wanted:
    """`storage_bytes`: of its artifact; `instances`: how many at least and at most, when not as it says; `members` and
    `hosts`: of its group."""
    least, most = instances or (service.count, service.most)
    return Wanted(
        min_instances=0 if service.job is not None else least,
        max_instances=None if service.job is not None else most,
        memory_limit=service.resources.memory,
        cpu_limit=service.resources.cpu,
        storage_bytes=storage_bytes,
        job=service.job is not None,
        members=members,
        hosts=hosts,
        provisioned=least * service.function.provisioned,  # each invoker has its own
        max_sandboxes=most * service.function.concurrency,
    )


def of_file(services: Mapping[str, Service], groups: Mapping[str, Group]) -> dict[str, Wanted]:
    """Of all services of a file, by their names."""
    hosts = {name: each.instances for name, each in groups.items()}
    return {
        name: wanted(each, members=_members(services, name), hosts=hosts.get(each.shared.group or ""))
        for name, each in services.items()
    }


def _members(services: Mapping[str, Service], name: str) -> int:
    """Of the group that it names: itself, and those that run in it."""
    group = services[name].shared.group
    if group is None:
        return 1
    return 1 + sum(
        other != name and each.pattern == "shared" and each.shared.group == group for other, each in services.items()
    )


def impossible(service: Service) -> dict[Pattern, str]:
    """Patterns under which it cannot run, wherever that is -> why."""
    found: dict[Pattern, str] = {}
    for pattern in PATTERNS:
        under = service.model_copy(update={"pattern": pattern})
        refused = [*functions_and_jobs((), under), *(as_guest((), under) if pattern == "shared" else ())]
        if refused:
            found[pattern] = refused[0][1]
    return found
