"""What requests carry and what only the API itself answers; everything else is in `control.views`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fourfold.control.views import UpRequest
from fourfold.gateway.model import CONTENT_TYPE, MOST_PAGE

MOST = 2**53 - 1
"""Numbers in requests are no larger: up to there JSON is exact (RFC 8259, section 6), and so is the OpenAPI document,
which has bounds as floats."""


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemBody(Shape):
    """One thing wrong in a service file."""

    path: str
    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    hint: str | None = None


class ErrorBody(Shape):
    """Every error, whatever its status."""

    status: int
    """As the answer's own; streams and WebSockets, which have begun with success, have it only here."""
    error: str
    """One sentence: cannot X: why."""
    hint: str | None = None
    """What to do."""
    problems: list[ProblemBody] = []
    """With a service file that is refused: everything wrong in it."""
    fields: dict[str, str] = {}
    """With a request that cannot be read: the fields of its body or query that are wrong, and why."""


class Acted(Shape):
    actor: str = Field(default="", max_length=200, description="Who asks, for the history and the events")


Count = Annotated[int, Field(ge=0, le=10_000)]


class ScaleBody(Acted):
    instances: Count | None = Field(description="Null is as the file says, or as its load says")
    in_file: bool = Field(default=False, description="The service file says so too: no override")


class ScaleSeveralBody(Acted):
    instances: dict[str, Count | None] = Field(min_length=1, description="Service -> how many, or null")
    in_file: bool = Field(default=False, description="The service file says so too: no override")


class PromoteBody(Acted):
    full: bool = Field(default=False, description="Past all steps, not only to the next one")


class RollbackBody(Acted):
    to: int | None = Field(default=None, ge=1, le=MOST, description="Release to go back to; null is the one before")


class InvokeBody(Shape):
    payload: str = Field(default="{}", max_length=6 * 1024 * 1024, description="The event, as JSON")
    context: str = Field(default="", max_length=3583, description="The client's context, as JSON")
    tail: bool = Field(default=False, description="Answer the end of the log too")
    release: int | None = Field(default=None, ge=1, le=MOST, description="That one, where it still runs")


class InvokeLaterBody(Shape):
    payload: str = Field(default="{}", max_length=1024 * 1024, description="The event, as JSON")
    context: str = Field(default="", max_length=3583, description="The client's context, as JSON")


class ServicesBody(Acted):
    services: list[str] = Field(default=[], description="Empty is all services of the app")


class RunBody(Acted):
    event: str = Field(default="", max_length=32 * 1024, description="What it finds in FOURFOLD_EVENT")


class ReplayBody(Acted):
    service: str | None = Field(default=None, description="Of which the events are")
    ids: list[str] | None = Field(default=None, description="Which; null is all of the service")


class DownBody(Acted):
    purge: bool = Field(default=False, description="Delete volumes, secrets and history too")


class SecretsBody(Acted):
    values: dict[str, str] = Field(min_length=1, description="Name -> value; values are never answered again")


class MaintenanceBody(Acted):
    services: list[str] = Field(default=[], description="Empty is all of the app, also what it gets later")
    page: str | None = Field(default=None, max_length=MOST_PAGE, description="What is answered; null is a sentence")
    content_type: str = Field(
        default="text/plain; charset=utf-8",
        pattern=f"^{CONTENT_TYPE}$",
        max_length=100,
        description="Of the page",
    )
    retry_after: float = Field(default=60, ge=1, le=30 * 86_400, description="Seconds, for clients to try again after")
    allowed: list[str] = Field(default=[], description="Networks whose clients reach the service all the same")


class CertificateBody(Acted):
    certificate: str = Field(max_length=200_000, description="PEM: the certificate, then its chain")
    key: str = Field(max_length=50_000, description="PEM; never answered again")


class PushBody(Shape):
    """What to push, and where to."""

    request: UpRequest
    """As for `up`, of one service."""
    reference: str = Field(min_length=1, max_length=500, description="HOST/NAME:TAG")


class DiskBody(Shape):
    """Which disk to make, or of a function its zip."""

    request: UpRequest
    """As for `up`, of one service of pattern vm, or of pattern function."""
    format: str = Field(max_length=20, description="raw, qcow2, vmdk, vdi, vhd or ova; zip")


class Offer(Shape):
    """What the daemon says to a source's manifest."""

    digest: str
    """Of the manifest: names the source."""
    missing: list[str]
    """Digests of the blobs to send with `POST /v1/blobs`."""


class LogLineBody(Shape):
    """One line of NDJSON of `GET …/logs`."""

    instance: str
    at: str
    text: str


class Start(Shape):
    """First message on an exec or run WebSocket."""

    argv: list[str] = Field(min_length=1)
    tty: bool = False
    rows: int | None = Field(default=None, ge=1, le=65535)
    columns: int | None = Field(default=None, ge=1, le=65535)
    instance: str | None = None
    """Which instance to enter (exec); null is any ready one."""
    actor: str = Field(default="", max_length=200)
    """Who asks, for the events."""
