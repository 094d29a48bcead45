"""Groups and their members: which kind's file says how they are built. Pure.

Each of `build/kinds/` has `host(service, host)`, the plan of the host program, and `guest(listing, service, host)`,
that of a member, whose argv is as hosts/README.md has it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from fourfold.build.kinds import osgi, python, tomcat
from fourfold.build.model import BuildPlan, Host, Listing
from fourfold.errors import UserError
from fourfold.spec import groups
from fourfold.spec.model import Service
from fourfold.spec.shared import Kind


class KindModule(Protocol):
    def host(self, service: groups.Host, host: Host) -> BuildPlan: ...

    def guest(self, listing: Listing, service: Service, host: Host) -> BuildPlan: ...


def kind_module(kind: Kind) -> KindModule:
    return cast(KindModule, import_module(f"fourfold.build.kinds.{kind}"))


def as_group(service: Service, host: Host) -> BuildPlan:
    """The host program of a group. Raises UserError where this host lacks what it is built of."""
    assert isinstance(service, groups.Host), "what is built for pattern group is a group"
    return kind_module(service.group.kind).host(service, host)


def as_guest(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """A member of a group. Raises UserError for what cannot be one, and as `detect` does."""
    kind = service.shared.kind
    assert kind is not None, "the daemon fills in the kind of the member's group"
    if service.function.handler is not None:
        raise UserError(
            "cannot run a handler in a group: members serve HTTP themselves",
            "run it under pattern function, or as a process",
        )
    return kind_module(kind).guest(listing, service, host)


def as_alone(listing: Listing, service: Service, host: Host) -> BuildPlan | None:
    """What can only run in a host program, in one of its own, under any pattern. None: it is no such thing."""
    if python.is_alone(service):
        return python.alone(listing, service, host)
    if tomcat.is_webapp(listing, service):
        return tomcat.alone(listing, service, host)
    return osgi.alone(listing, service, host) if osgi.is_bundles(listing, service) else None
