"""One launcher per pattern: which one makes an instance's Launch, and what this host cannot run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fourfold.errors import UserError
from fourfold.launch import container, process
from fourfold.launch.common import Facts
from fourfold.launch.model import Launch, Powers
from fourfold.spec.model import Service

LAUNCHERS: Mapping[str, Callable[[Service, Facts], Launch]] = {
    "process": process.launch,
    "container": container.launch,
}


def launch(pattern: str, service: Service, facts: Facts) -> Launch:
    """The Launch of one instance. Raises UserError if this host cannot give what the service must have."""
    return LAUNCHERS[pattern](service, facts)


def refuse_impossible(service: Service, pattern: str, powers: Powers) -> None:
    """Before anything changes: what a service cannot have under a pattern, on this host. Raises UserError."""
    if pattern == "process":
        if service.image is not None:
            raise UserError(
                f"cannot run the image {service.image} as a process: its programs are made for what is in it",
                "run it as a container, or give `source` instead of `image`",
            )
        process.refuse_impossible(service, powers)
    else:
        container.refuse_impossible(service, powers)
