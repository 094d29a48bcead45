"""Functions as values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fourfold.functions.model import Answer, Invocation
from fourfold.spec.model import Service
from fourfold.store.tables.functions import FunctionRow

LATEST = "$LATEST"
ACCOUNT = "000000000000"
State = Literal["Pending", "Active", "Inactive", "Failed"]
Update = Literal["InProgress", "Successful", "Failed"]

SETTINGS = (
    "Role", "Description", "Tags", "DeadLetterConfig", "TracingConfig", "Architectures", "LoggingConfig",
    "Reserved", "Policies", "Urls", "Async",
)  # fmt: skip
"""Keys of FunctionRow.settings. Policies, Urls and Async are maps by qualifier ($LATEST: the function itself)."""


@dataclass(frozen=True)
class Condition:
    """How a function is, in AWS's words."""

    state: State
    reason: str = ""
    code: str = ""
    update: Update = "Successful"
    update_reason: str = ""
    update_code: str = ""


@dataclass(frozen=True)
class Function:
    """One function as of now: its present release, or what it is to become."""

    app: str
    service: str
    name: str
    managed: bool
    row: FunctionRow
    spec: Service
    source: str
    release: int
    """0: nothing of it was deployed yet."""
    condition: Condition
    modified_at: float

    @property
    def key(self) -> str:
        return f"{self.app}.{self.service}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an invocation goes."""

    app: str
    service: str
    version: str
    arn: str
    reserved: int | None


class Invoke(Protocol):
    def __call__(self, app: str, service: str, invocation: Invocation, /) -> Awaitable[Answer]:
        """Raises NotFoundError or WorldError when nothing of the service can take it now."""
        ...


Enqueue = Callable[[str, str, bytes, str, str], Coroutine[Any, Any, None]]
"""(app, service, payload, client context, request id): on disk when it returns."""
