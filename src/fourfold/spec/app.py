"""The service file as one value."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import Field

from fourfold.spec import fields as f
from fourfold.spec.base import Model
from fourfold.spec.gateway import Gateway
from fourfold.spec.groups import Group
from fourfold.spec.model import External, Service
from fourfold.spec.notify import Notify


class App(Model):
    """A whole `fourfold.yaml`, after interpolation, overlays and defaults."""

    app: f.Name = Field(description="Its name on this machine")
    services: dict[f.Name, Service] = Field(min_length=1, description="What runs, by name")
    groups: dict[f.Name, Group] = Field(default={}, description="Processes that services of pattern shared live in")
    externals: dict[f.Name, External] = Field(default={}, description="What it uses and does not run, by name")
    notify: Annotated[list[Notify], f.OneOrMany] = Field(
        default=[], max_length=10, description="Where its events are sent to"
    )
    gateway: Gateway = Field(default=Gateway(), description="Where it is reached")

    @cached_property
    def everything(self) -> dict[str, Service]:
        """All that runs, by name: groups first, as the hosts that they are, then the services."""
        return {**{name: group.as_host() for name, group in self.groups.items()}, **self.services}
