"""The control layer as the API sees it (`Facade`): the requests of all resources."""

from __future__ import annotations

from fourfold.control.comparing.left import left
from fourfold.control.requests.apps import Apps
from fourfold.control.requests.builds import Builds
from fourfold.control.requests.costs import Costs
from fourfold.control.requests.events import Events
from fourfold.control.requests.functions import Functions
from fourfold.control.requests.gateway import Gateway
from fourfold.control.requests.machine import Machine
from fourfold.control.requests.programs import Programs
from fourfold.control.requests.secrets import Secrets
from fourfold.control.requests.services import Services


class Control(Apps, Services, Builds, Functions, Programs, Costs, Events, Secrets, Gateway, Machine):
    """Satisfies `control.facade.Facade`. `stop` ends the daemon."""

    async def sweep(self) -> None:
        """What a daemon before this one did not see to its end: go on with builds, take away what comparisons left."""
        if self._parts.store.bakes.open():
            self.bakery.resume()
        if left(self._parts.store):
            await self._comparing.sweep()

    async def close(self) -> None:
        """Before the daemon's parts stop: what needs them to come to an end."""
        if "_comparing" in self.__dict__:
            await self._comparing.close()
        if "bakery" in self.__dict__:
            await self.bakery.close()
