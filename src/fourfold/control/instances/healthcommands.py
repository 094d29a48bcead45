"""Health commands: run in instances, as `exec` runs programs there."""

from __future__ import annotations

import asyncio

from fourfold.control.instances.starter import Starter
from fourfold.control.registry import Registry, key_of
from fourfold.errors import FourfoldError
from fourfold.supervise.supervisor import Supervisor


class HealthCommands:
    def __init__(self, registry: Registry, starter: Starter, supervisor: Supervisor) -> None:
        self._registry = registry
        self._starter = starter
        self._supervisor = supervisor

    async def run(self, name: str, argv: tuple[str, ...], timeout: float) -> str | None:
        """In a running instance: None if it exits with 0, else what was wrong."""
        row = self._registry.instances[name]
        spec = self._registry.spec(key_of(row), row.release)
        try:
            launch = self._starter.launch(row, spec, argv)
            values = self._registry.store.secrets.resolve(row.app, {use.name for use in spec.secrets})
            attached = await self._supervisor.enter(launch, values, tty=False)
        except FourfoldError as error:
            return f"health command: {error}"
        output = b""
        try:
            async with asyncio.timeout(timeout):
                await attached.close_input()
                while (piece := await attached.read()) is not None:
                    output = (output + piece[1])[-200:]
                code = await attached.wait()
        except TimeoutError:
            return f"health command did not end within {timeout:g} s"
        finally:
            await attached.close()
        said = output.decode(errors="replace").strip().splitlines()
        return None if code == 0 else f"health command exited with {code}" + (f": {said[-1]}" if said else "")
