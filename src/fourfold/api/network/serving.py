"""The listener on the network in the daemon: where it answers, and to whom it tells what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI

from fourfold.api.network.guard import Guard
from fourfold.api.network.listener import Network
from fourfold.api.network.pair import Pair
from fourfold.api.network.refusals import Refusals
from fourfold.control.parts import Parts
from fourfold.control.views import CheckView


@contextlib.asynccontextmanager
async def on_network(parts: Parts, app: FastAPI) -> AsyncIterator[None]:
    """The API where `api_listen` says, for as long as this lasts."""
    settings = parts.settings

    def tell(reason: str, client: str, why: str, count: int) -> None:
        parts.bus.emit(
            "security.refused", f"the API has refused {client}: {why}", reason=reason, client=client, count=count
        )

    refusals = Refusals(tell, time.monotonic)
    folder = parts.paths.config
    pair = Pair(folder / settings.api_cert, folder / settings.api_key) if settings.api_cert else None
    network = Network(Guard(app, parts.access, refusals), settings.api_address, pair, refusals)
    parts.access.listener = lambda: check(network, refusals, settings.api_listen)
    running = asyncio.create_task(network.run())
    try:
        yield
    finally:
        parts.access.listener = None
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def check(network: Network, refusals: Refusals, address: str) -> CheckView:
    """As `doctor` shows it."""
    if network.problem is not None:
        return CheckView(
            name="api",
            state="failed",
            message=network.problem,
            hint="see api_listen, api_cert, api_key in fourfold.toml",
        )
    counted = ", ".join(f"{reason} {count}" for reason, count in sorted(refusals.counts.items()))
    return CheckView(
        name="api", state="ok", message=f"answers at {address}; refused since it started: {counted or 'nobody'}"
    )
