"""What the API may ask of the control layer. One method per thing a user can do; every argument already validated.

All raise `errors.UserError` (refused, nothing changed) or `errors.WorldError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol

from fourfold.control import views as v
from fourfold.store.events import ALL, Which
from fourfold.supervise.attach import Attached
from fourfold.supervise.model import LogLine

if TYPE_CHECKING:
    from fourfold.build.disk.export import DiskImage
    from fourfold.build.oci.export import Archive
    from fourfold.control.access import NewTokenView, TokenRequest, TokenView
    from fourfold.control.advicerequest import AdviceRequest
    from fourfold.control.bakery.door import Door
    from fourfold.control.comparing.request import CompareRequest
    from fourfold.cost.advice.model import Advice
    from fourfold.cost.comparison import Comparison


class Facade(Protocol):
    # apps
    async def info(self) -> v.InfoView: ...
    async def apps(self) -> list[v.AppView]: ...
    async def status(self, app: str) -> v.StatusView: ...
    async def plan(self, request: v.UpRequest) -> v.PlanView: ...
    async def up(self, request: v.UpRequest) -> v.OperationView: ...
    async def down(self, app: str, purge: bool, actor: str) -> v.OperationView: ...

    # what a service is built into, without deploying it; requests are those of `up`
    async def build(self, request: v.UpRequest, form: str | None = None) -> v.OperationView: ...
    async def artifact(self, request: v.UpRequest) -> v.ArtifactView: ...
    async def image(self, request: v.UpRequest) -> Archive: ...
    async def disk(self, request: v.UpRequest, form: str) -> DiskImage: ...
    async def push(self, request: v.UpRequest, reference: str) -> v.ImageView: ...

    @property
    def bakery(self) -> Door:
        """Builds of their own, in a queue."""
        ...

    # services
    async def scale(self, app: str, service: str, instances: int | None, in_file: bool, actor: str) -> v.OperationView:
        """None: as the file says, which may be that its load says so."""
        ...

    async def rollback(self, app: str, service: str, to: int | None, actor: str) -> v.OperationView: ...
    async def promote(self, app: str, service: str, full: bool, actor: str) -> v.OperationView: ...
    async def abort(self, app: str, service: str, actor: str) -> v.OperationView: ...
    async def restart(self, app: str, services: Sequence[str], actor: str) -> v.OperationView: ...
    async def stop(self, app: str, services: Sequence[str], actor: str) -> v.OperationView: ...
    async def take_out(self, app: str, service: str, actor: str) -> v.OperationView:
        """Remove one service, as `up --prune` removes those that the file does not have any more."""
        ...

    async def history(self, app: str, service: str | None) -> list[v.ReleaseView]: ...
    async def explain(self, app: str, service: str) -> v.ExplainView: ...

    async def invoke(
        self, app: str, service: str, payload: bytes, context: str, tail: bool, release: int | None
    ) -> v.InvocationView:
        """One event, answered. `context` is the client's, as JSON; `release`: that one, where it still runs."""
        ...

    async def invoke_later(self, app: str, service: str, payload: bytes, context: str) -> v.QueuedView:
        """Keep one event for a service: it is on disk when this returns, and delivered as soon as that is possible."""
        ...

    async def cost(self, app: str, asked: v.CostRequest) -> v.CostView:
        """Of services under all patterns, and what functions took. SpecError: the price file is wrong."""
        ...

    async def compare(self, app: str, service: str, request: CompareRequest) -> v.OperationView:
        """Measure the release that it is on under several patterns, beside it. Cancel it at any time: what it has
        started is taken away."""
        ...

    async def comparison(self, app: str, service: str) -> Comparison:
        """The newest one. Raises NotFoundError when there is none."""
        ...

    async def usage(self, app: str, service: str | None) -> v.UsageView:
        """What services took and answered in each hour of the last month."""
        ...

    async def advise(self, app: str, request: AdviceRequest) -> list[Advice]:
        """The pattern that fits each service, and why."""
        ...

    async def cancel(self, operation: str, actor: str) -> None:
        """End one that waits or builds. Raises NotFoundError, or ConflictError for one that has changed something."""
        ...

    # what happened and happens
    def events(
        self,
        app: str | None,
        after: int,
        follow: bool,
        operation: str | None = None,
        tail: int | None = None,
        which: Which = ALL,
    ) -> AsyncIterator[v.EventView]:
        """Past events with seq > `after` (the newest `tail` of them), then (with `follow`) new ones as they happen; of
        an operation, to its end."""
        ...

    def logs(
        self, app: str, services: Sequence[str], since: float | None, tail: int | None, previous: bool, follow: bool
    ) -> AsyncIterator[tuple[str, LogLine]]:
        """(instance id, line), in order of time over all instances. `gateway` is a service name too: its access log."""
        ...

    async def top(self, app: str | None) -> list[v.TopRow]: ...
    async def routes(self, app: str) -> list[v.RouteView]: ...
    async def metrics(self) -> str:
        """In Prometheus' text format."""
        ...

    # a program in or beside a service; the caller pumps bytes and then takes the exit code
    async def exec(
        self, app: str, service: str, instance: str | None, argv: Sequence[str], tty: bool, actor: str = ""
    ) -> Attached: ...
    async def run(self, app: str, service: str, argv: Sequence[str], tty: bool, actor: str = "") -> Attached: ...

    # jobs, and events that were given up
    async def start_run(self, app: str, service: str, event: str, actor: str) -> v.RunView: ...
    async def runs(self, app: str, service: str | None) -> list[v.RunView]:
        """Newest first."""
        ...

    def follow_run(self, app: str, run: str, skip: int) -> AsyncIterator[LogLine | v.RunView]:
        """What it writes, without the first `skip` lines, over all its tries; last how it ended."""
        ...

    async def failed_events(self, app: str, service: str | None) -> list[v.FailedView]:
        """Newest first."""
        ...

    async def replay_events(self, app: str, service: str | None, ids: Sequence[str] | None, actor: str) -> list[str]:
        """Deliver events once more that were given up: those named, or (None) all of the service. Their ids."""
        ...

    # secrets
    async def secrets(self, app: str) -> list[v.SecretView]: ...
    async def set_secrets(self, app: str, values: dict[str, str], actor: str) -> None: ...
    async def remove_secrets(self, app: str, names: list[str], actor: str) -> None: ...

    # tokens of the API over the network
    async def tokens(self) -> list[TokenView]: ...
    async def create_token(self, request: TokenRequest) -> NewTokenView: ...
    async def remove_token(self, name: str, actor: str) -> None: ...

    # webhooks
    async def hooks(self, app: str) -> list[v.HookView]: ...
    async def test_hooks(self, app: str, actor: str) -> list[v.HookTestView]:
        """Send each a test event, once."""
        ...

    # sources
    async def offer_source(self, manifest: dict[str, object]) -> tuple[str, list[str]]:
        """A manifest (see build.manifest) -> its digest and the digests of the blobs that are still missing."""
        ...

    async def receive_blobs(self, pieces: AsyncIterator[bytes]) -> None:
        """See store.incoming.Frames."""
        ...

    # the machine
    async def gc(self, actor: str = "") -> v.GcView: ...
    async def doctor(self) -> list[v.CheckView]: ...
    async def shutdown(self, actor: str = "") -> None:
        """End the daemon; instances and the spawner go on."""
        ...
