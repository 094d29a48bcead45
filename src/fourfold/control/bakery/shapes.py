"""What `/v1/builds` takes and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fourfold.control.views import View
from fourfold.spec.model import Pattern

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    service: Name | None = Field(default=None, description="Which of the file's services; not needed if it has one")
    pattern: Pattern | None = Field(default=None, description="Built for this pattern, whatever the file says")
    format: str | None = Field(
        default=None,
        max_length=20,
        description="tar.gz (process, shared), oci or docker-archive (container), qcow2, raw, vmdk, vdi, vhd or ova "
        "(vm), zip (function); left out: the first one of the pattern",
    )
    actor: str = Field(default="", max_length=200, description="Who asks: builds of each take turns with the others'")


class BakeRequest(_Asked):
    """A build of a source that the daemon has, or of a ready-made image."""

    file: str | None = Field(default=None, max_length=1024 * 1024, description="The text of a service file")
    spec: dict[str, Any] | None = Field(default=None, description="Or the same as JSON")
    source: Digest | None = Field(
        default=None, description="Digest of the source, as POST /v1/sources answers it; none for a ready-made image"
    )


class UploadQuery(_Asked):
    """What is not in the `fourfold.yaml` at the top of the source; without one, all that a build needs."""

    env: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="The overlay fourfold.ENV.yaml of the source"
    )
    app: Name | None = Field(default=None, description="Without a file: name of the app; `app`, if left out")
    runtime: str | None = Field(default=None, max_length=40, description="Without a file: python3.11, nodejs20, …")
    run: str | None = Field(default=None, max_length=4000, description="Without a file: the command that runs it")
    build: str | None = Field(default=None, max_length=4000, description="Without a file: the command that builds it")
    port: int | None = Field(default=None, ge=1, le=65_535, description="Without a file: where it listens")
    handler: str | None = Field(default=None, max_length=200, description="Without a file: a function's handler")


class BakeView(View):
    """A build. Follow it with `GET /v1/events?operation=ID&follow=true`; then take `/v1/builds/ID/artifact`."""

    id: str
    app: str
    service: str
    pattern: Pattern
    format: str
    source: str
    """Digest of its manifest."""
    actor: str
    state: Literal["queued", "building", "done", "failed", "cancelled"]
    position: int | None
    """Of one that waits: 1 is the next."""
    created_at: str
    started_at: str | None
    ended_at: str | None
    seconds: float | None
    """That it took, or takes up to now; without the time in the queue."""
    digest: str | None
    """SHA-256 in hex of the file."""
    size_bytes: int | None
    name: str
    """What the file is called when it is taken."""
    kept_until: str | None
    """When the build and its file are forgotten."""
    runtime: str | None
    argv: list[str]
    """What it runs, as seen from inside."""
    error: str | None
    hint: str | None
