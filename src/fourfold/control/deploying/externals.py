"""Whether what an app uses and does not run is there, before anything is deployed that depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fourfold.errors import WorldError
from fourfold.spec.model import External

AGAIN_SECONDS = 0.2


async def check_externals(externals: Mapping[str, External]) -> None:
    """Raises WorldError that names every one that is not there within its timeout."""
    errors = await asyncio.gather(*(_until_there(name, external) for name, external in externals.items()))
    if wrong := [error for error in errors if error is not None]:
        raise WorldError(
            "; ".join(wrong), "nothing was deployed: start it, or drop `check` if it may be away for a while"
        )


async def _until_there(name: str, external: External) -> str | None:
    """What was wrong last; None once it answers."""
    if external.check == "none":
        return None
    error = "no answer"
    try:
        async with asyncio.timeout(external.timeout):
            while True:
                try:
                    await (_tcp(external) if external.check == "tcp" else _http(external))
                    return None
                except (OSError, WorldError) as refused:
                    error = str(refused) or type(refused).__name__
                await asyncio.sleep(AGAIN_SECONDS)
    except TimeoutError:
        return f"external {name} ({external.url}) is not there after {external.timeout:g} s: {error}"


async def _tcp(external: External) -> None:
    assert external.address is not None
    _, writer = await asyncio.open_connection(*external.address)
    writer.close()


async def _http(external: External) -> None:
    """Any answer but one of the 5xx: whether one may log in is not our business."""
    import httpx  # a tenth of a daemon's start, and few apps ask for it

    try:
        async with httpx.AsyncClient(timeout=external.timeout) as client:
            answer = await client.get(external.url)
    except httpx.HTTPError as error:
        raise WorldError(str(error) or type(error).__name__) from error
    if answer.status_code >= 500:
        raise WorldError(f"it answers {answer.status_code}")
