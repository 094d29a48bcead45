"""Where the old and the new release of a service cannot be served side by side, and why."""

from __future__ import annotations

from collections.abc import Iterator

from fourfold.spec.deploy import STAGED
from fourfold.spec.model import Service
from fourfold.spec.yaml.node import Path

Found = tuple[Path, str, str | None]
INSTEAD = "use the strategy rolling, with `min_ready`"


def contradiction(service: Service, pattern: str) -> str | None:
    """Why its strategy cannot be followed under a pattern, or None."""
    strategy = service.deploy.strategy
    if strategy not in STAGED:
        return None
    if pattern == "group":
        return f"{strategy} is not for groups: their members would have to run in both releases of it"
    if pattern == "shared":
        return f"{strategy} is not for members of a group: each of its instances has one of them"
    if strategy == "canary" and service.protocol == "tcp":
        return "canary is judged by requests, which are not seen where a service speaks TCP"
    if service.job is not None:
        return f"{strategy} is not for jobs: no requests pass from one release to another"
    if service.host_port(pattern) is not None:
        return f"{strategy} needs both releases side by side, and they cannot have one fixed port"
    return None


def strategies(path: Path, service: Service) -> Iterator[Found]:
    if message := contradiction(service, service.pattern):
        yield (*path, "deploy", "strategy"), message, INSTEAD
