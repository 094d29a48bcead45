"""What a service file asks for, as far as it costs something."""

from __future__ import annotations

from fourfold.cost.model import Wanted
from fourfold.spec.model import Service


def wanted(service: Service, storage_bytes: int = 0, instances: int | None = None, members: int = 1) -> Wanted:
    """`storage_bytes`: of its artifact and volumes; `instances`: what a command set it to; `members`: of its group."""
    return Wanted(
        min_instances=0 if service.job is not None else service.instances if instances is None else instances,
        memory_limit=service.resources.memory,
        cpu_limit=service.resources.cpu,
        storage_bytes=storage_bytes,
        job=service.job is not None,
        members=members,
        provisioned=service.function.provisioned,
    )
