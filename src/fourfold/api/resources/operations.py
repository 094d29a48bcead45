"""Operations: cancel one that has changed nothing yet."""

from __future__ import annotations

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.shapes import Acted

router = resource("operations")


@router.post("/v1/operations/{operation}/cancel", status_code=204)
async def cancel(facade: TheFacade, operation: str, body: Acted | None = None) -> None:
    """End an operation that waits for another one or builds; 409 once it has changed something."""
    await facade.cancel(operation, body.actor if body is not None else "")
