"""A control layer that is not there: answers sample values, remembers what it was asked, and fails when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from fourfold.build.disk.export import DiskImage
from fourfold.build.oci.export import Archive
from fourfold.control import views as v
from fourfold.control.access import NewTokenView, TokenRequest, TokenView
from fourfold.control.advising.request import AdviceRequest
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.keeping.request import BackupRequest
from fourfold.control.routing.maintaining import Page
from fourfold.cost.advice.model import Advice
from fourfold.cost.comparison import Comparison
from fourfold.errors import NotFoundError
from fourfold.store.tables.events import ALL, Which
from fourfold.supervise.model import LogLine
from tests.api.fakebakery import FakeBakery
from tests.api.fakeprogram import FakeProgram
from tests.api.sample import AT, run_view, status, token_view


class FakeFacade:
    """A `control.facade.Facade`. `fails[method]` is raised by it; `calls` are (method, arguments) of changes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._bakery = FakeBakery()
        self.fails: dict[str, Exception] = {}
        self.state = status()
        self.spawner_version = "0.1.0"
        self.backed_up: list[bytes | Exception] = [b"fourfold-", b"backup"]
        self.lambda_api: str | None = None
        self.advices: list[Advice] = []
        self.apps_known = ["shop"]
        self.webhooks: list[v.HookView] = []
        self.happened: list[v.EventView] = []
        self.lines: list[tuple[str, LogLine]] = []
        self.after_items: Exception | None = None
        """Raised by events and logs after their last item."""
        self.following = 0
        """Streams that are being followed now."""
        self.news = asyncio.Event()
        """Set (on the server's loop) to let followers look again."""
        self.program = FakeProgram()
        self.blobs: dict[str, bytes] = {}
        self.broken_off: Exception | None = None
        self.missing: list[str] = []
        self.changes: list[v.ChangeView] = []
        self.explained: dict[str, v.ExplainView] = {}
        self.checks = [v.CheckView(name="haproxy", state="ok", message="HAProxy 2.6.12")]
        self.rows: list[v.TopRow] = []
        self.releases: list[v.ReleaseView] = []
        self.answered = v.InvocationView(
            request_id="1-2", status=200, payload='{"ok": true}', error=None, log=None, version="$LATEST"
        )
        self.costs = v.CostView(
            prices=v.PricesView(as_of={}, sources={}, file=None), services=[],
            app="shop", month="2026-11", price_gb_second=0.0000166667, price_request=2e-7, functions=[], total_usd=0,
        )  # fmt: skip
        self.compared: Comparison | None = None
        self.used = v.UsageView(app="shop", hours=[])
        self.secret_values: dict[str, str] = {}
        self.tokens_there: list[TokenView] = []
        self.waiting_for: str | None = None
        self.image_pieces: list[bytes] = []
        self.breaks: Callable[[], Iterator[bytes]] | None = None
        """What comes in place of `image_pieces`, whatever was promised."""
        self.run_lines: list[LogLine] = []
        self.run_ended = run_view()
        self.run_hangs = False
        """Runs do not end."""
        self.failed: list[v.FailedView] = []
        self.pid = 811
        self.ended: Callable[[], object] = lambda: None
        """Called by shutdown."""

    def _asked(self, method: str, *arguments: Any) -> None:
        self.calls.append((method, arguments))
        if error := self.fails.get(method):
            raise error

    def _app(self, app: str) -> None:
        if app not in self.apps_known:
            known = ", ".join(self.apps_known) or "none"
            raise NotFoundError(f"cannot find app {app}: apps here are {known}", "bring it up with: fourfold up")

    def _operation(self, app: str, kind: str, services: Sequence[str]) -> v.OperationView:
        return v.OperationView(
            id="op1", app=app, kind=kind, services=list(services), after=0, waiting_for=self.waiting_for,
            hint="it ends soon" if self.waiting_for else None,
        )  # fmt: skip

    async def info(self) -> v.InfoView:
        self._asked("info")
        return v.InfoView(
            version="0.1.0", pid=self.pid, user="root", home="/var/lib/fourfold", apps=self.apps_known, started_at=AT,
            lambda_api=self.lambda_api, spawner=v.SpawnerView(pid=810, version=self.spawner_version),
        )  # fmt: skip

    async def apps(self) -> list[v.AppView]:
        """Not among `calls`: commands of tests beside this one ask every daemon that they find."""
        return [
            v.AppView(
                name=name,
                services=1,
                ready=2,
                desired=2,
                gateway="http://127.0.0.1:8080",
                file="/srv/shop/fourfold.yaml",
                updated_at=AT,
            )
            for name in self.apps_known
        ]

    async def status(self, app: str) -> v.StatusView:
        self._asked("status", app)
        self._app(app)
        return self.state

    async def plan(self, request: v.UpRequest) -> v.PlanView:
        self._asked("plan", request)
        return v.PlanView(app=request.spec["app"], changes=self.changes)

    async def up(self, request: v.UpRequest) -> v.OperationView:
        self._asked("up", request)
        return self._operation(request.spec["app"], "up", request.services or list(request.spec["services"]))

    async def down(self, app: str, purge: bool, actor: str) -> v.OperationView:
        self._asked("down", app, purge, actor)
        self._app(app)
        return self._operation(app, "down", [])

    async def build(self, request: v.UpRequest, form: str | None = None) -> v.OperationView:
        self._asked("build", request, *([form] if form else []))
        return self._operation(request.spec["app"], "build", request.services or [])

    async def artifact(self, request: v.UpRequest) -> v.ArtifactView:
        self._asked("artifact", request)
        return v.ArtifactView(
            service=(request.services or ["catalog"])[0],
            pattern="container",
            digest="d" * 64,
            runtime="python3.11",
            argv=["python3", "app.py"],
            size_bytes=3 * 1024**2,
            base=[v.LayerView(digest="e" * 64, size_bytes=60 * 1024**2)],
        )

    async def image(self, request: v.UpRequest) -> Archive:
        self._asked("image", request)
        return Archive("f" * 64, sum(map(len, self.image_pieces)) + bool(self.breaks), self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        return self.breaks() if self.breaks else iter(self.image_pieces)

    async def disk(self, request: v.UpRequest, form: str) -> DiskImage:
        self._asked("disk", request, form)
        return DiskImage("ab" * 32, sum(map(len, self.image_pieces)) + bool(self.breaks), self._pieces())

    async def push(self, request: v.UpRequest, reference: str) -> v.ImageView:
        self._asked("push", request, reference)
        return v.ImageView(digest=f"sha256:{'f' * 64}", size_bytes=1024, reference=reference)

    @property
    def bakery(self) -> FakeBakery:
        return self._bakery

    async def scale(self, app: str, counts: Mapping[str, int | None], in_file: bool, actor: str) -> v.OperationView:
        self._asked("scale", app, counts, in_file, actor)
        return self._operation(app, "scale", list(counts))

    async def rollback(self, app: str, service: str, to: int | None, actor: str) -> v.OperationView:
        self._asked("rollback", app, service, to, actor)
        return self._operation(app, "rollback", [service])

    async def promote(self, app: str, service: str, full: bool, actor: str) -> v.OperationView:
        self._asked("promote", app, service, full, actor)
        return self._operation(app, "deployment", [service])

    async def abort(self, app: str, service: str, actor: str) -> v.OperationView:
        self._asked("abort", app, service, actor)
        return self._operation(app, "deployment", [service])

    async def restart(self, app: str, services: Sequence[str], actor: str) -> v.OperationView:
        self._asked("restart", app, list(services), actor)
        return self._operation(app, "restart", services)

    async def stop(self, app: str, services: Sequence[str], actor: str) -> v.OperationView:
        self._asked("stop", app, list(services), actor)
        return self._operation(app, "stop", services)

    async def invoke(
        self, app: str, service: str, payload: bytes, context: str, tail: bool, release: int | None
    ) -> v.InvocationView:
        self._asked("invoke", app, service, payload, context, tail, release)
        return self.answered

    async def invoke_later(self, app: str, service: str, payload: bytes, context: str) -> v.QueuedView:
        self._asked("invoke_later", app, service, payload, context)
        return v.QueuedView(id=self.answered.request_id)

    async def cost(self, app: str, asked: v.CostRequest) -> v.CostView:
        self._asked("cost", app, asked.model_dump(exclude_defaults=True))
        return self.costs

    async def compare(self, app: str, service: str, request: CompareRequest) -> v.OperationView:
        self._asked("compare", app, service, request)
        return self._operation(app, "compare", [service])

    async def comparison(self, app: str, service: str) -> Comparison:
        self._asked("comparison", app, service)
        if self.compared is None:
            raise NotFoundError(f"cannot show a comparison of {service}: it was never compared")
        return self.compared

    async def usage(self, app: str, service: str | None) -> v.UsageView:
        self._asked("usage", app, service)
        return self.used

    async def take_out(self, app: str, service: str, actor: str) -> v.OperationView:
        self._asked("take_out", app, service, actor)
        return self._operation(app, "remove", [service])

    async def advise(self, app: str, request: AdviceRequest) -> list[Advice]:
        self._asked("advise", app, request)
        return self.advices

    async def cancel(self, operation: str, actor: str) -> None:
        self._asked("cancel", operation, actor)

    async def history(self, app: str, service: str | None) -> list[v.ReleaseView]:
        self._asked("history", app, service)
        return [release for release in self.releases if service in (None, release.service)]

    async def explain(self, app: str, service: str) -> v.ExplainView:
        self._asked("explain", app, service)
        if service not in self.explained:
            raise NotFoundError(f"cannot find service {service} in {app}: services are catalog")
        return self.explained[service]

    async def events(
        self,
        app: str | None,
        after: int,
        follow: bool,
        operation: str | None = None,
        tail: int | None = None,
        which: Which = ALL,
    ) -> AsyncIterator[v.EventView]:
        self._asked("events", app, after, follow, operation, tail, *([which] if which != ALL else []))
        left_out = 0 if tail is None else max(0, len(self.happened) - tail)
        async for item in self._stream(self.happened, follow):
            if item.seq > after and item not in self.happened[:left_out]:
                yield item

    async def logs(
        self, app: str, services: Sequence[str], since: float | None, tail: int | None, previous: bool, follow: bool
    ) -> AsyncIterator[tuple[str, LogLine]]:
        self._asked("logs", app, list(services), since, tail, previous, follow)
        async for item in self._stream(self.lines, follow):
            yield item

    async def _stream(self, items: list[Any], follow: bool) -> AsyncIterator[Any]:
        self.following += 1
        try:
            sent = 0
            while True:
                self.news.clear()  # before it looks: what comes while the last of these is sent is news
                for item in items[sent:]:
                    sent += 1
                    yield item
                if self.after_items:
                    raise self.after_items
                if not follow:
                    return
                await self.news.wait()
        finally:
            self.following -= 1

    async def hooks(self, app: str) -> list[v.HookView]:
        self._asked("hooks", app)
        return self.webhooks

    async def test_hooks(self, app: str, actor: str) -> list[v.HookTestView]:
        self._asked("test_hooks", app, actor)
        return [v.HookTestView(host=hook.host, error=hook.error) for hook in self.webhooks]

    async def metrics(self) -> str:
        return "# TYPE fourfold_gateway_up gauge\nfourfold_gateway_up 1\n"

    async def top(self, app: str | None) -> list[v.TopRow]:
        self._asked("top", app)
        return self.rows

    async def routes(self, app: str) -> list[v.RouteView]:
        self._asked("routes", app)
        return [
            v.RouteView(
                service="catalog",
                route="/catalog",
                requests=12,
                errors_5xx=0,
                errors_4xx=1,
                in_flight=0,
                response_seconds=0.01,
            )
        ]

    async def exec(
        self, app: str, service: str, instance: str | None, argv: Sequence[str], tty: bool, actor: str = ""
    ) -> FakeProgram:
        self._asked("exec", app, service, instance, list(argv), tty)
        self.program.actor = actor
        return self.program

    async def run(self, app: str, service: str, argv: Sequence[str], tty: bool, actor: str = "") -> FakeProgram:
        self._asked("run", app, service, list(argv), tty)
        self.program.actor = actor
        return self.program

    async def start_run(self, app: str, service: str, event: str, actor: str) -> v.RunView:
        self._asked("start_run", app, service, event, actor)
        return self.run_ended.model_copy(update={"state": "running", "ended_at": None, "code": None})

    async def runs(self, app: str, service: str | None) -> list[v.RunView]:
        self._asked("runs", app, service)
        return [self.run_ended] if service in (None, self.run_ended.service) else []

    async def follow_run(self, app: str, run: str, skip: int) -> AsyncIterator[LogLine | v.RunView]:
        self._asked("follow_run", app, run, skip)
        for line in self.run_lines[skip:]:
            yield line
        if self.run_hangs:
            await asyncio.Event().wait()
        yield self.run_ended

    async def failed_events(self, app: str, service: str | None) -> list[v.FailedView]:
        self._asked("failed_events", app, service)
        return self.failed

    async def replay_events(self, app: str, service: str | None, ids: Sequence[str] | None, actor: str) -> list[str]:
        self._asked("replay_events", app, service, ids, actor)
        return [event.id for event in self.failed if ids is None or event.id in ids]

    async def tokens(self) -> list[TokenView]:
        self._asked("tokens")
        return self.tokens_there

    async def create_token(self, request: TokenRequest) -> NewTokenView:
        self._asked("create_token", request)
        self.tokens_there.append(token_view(request.name, request.role, request.app))
        return NewTokenView(**self.tokens_there[-1].model_dump(), secret="ff_new")

    async def remove_token(self, name: str, actor: str) -> None:
        self._asked("remove_token", name, actor)

    async def secrets(self, app: str) -> list[v.SecretView]:
        self._asked("secrets", app)
        return [v.SecretView(name=name, updated_at=AT) for name in sorted(self.secret_values)]

    async def set_secrets(self, app: str, values: dict[str, str], actor: str) -> None:
        self._asked("set_secrets", app, values, actor)
        self.secret_values |= values

    async def remove_secrets(self, app: str, names: list[str], actor: str) -> None:
        self._asked("remove_secrets", app, names, actor)
        for name in names:
            self.secret_values.pop(name, None)

    async def begin_maintenance(self, app: str, services: Sequence[str], page: Page, actor: str) -> list[str]:
        self._asked("begin_maintenance", app, services, page, actor)
        return list(services) or ["catalog", "orders"]

    async def end_maintenance(self, app: str, services: Sequence[str], actor: str) -> list[str]:
        self._asked("end_maintenance", app, services, actor)
        return [name for name in ("catalog", "orders") if not services or name in services]

    async def certificate(self, app: str) -> v.CertificateView:
        self._asked("certificate", app)
        return self._certificate()

    def _certificate(self) -> v.CertificateView:
        files = ["/srv/c.pem", "/srv/k.pem"]
        return v.CertificateView(
            names=["shop.test"], issuer="Fake CA", begins_at=AT, ends_at=AT, days=30, files=files, shared=True,
            watched=True,
        )  # fmt: skip

    async def renew_certificate(self, app: str, chain: bytes, key: bytes, actor: str) -> v.CertificateView:
        self._asked("renew_certificate", app, chain, key, actor)
        return self._certificate()

    async def offer_source(self, manifest: dict[str, object]) -> tuple[str, list[str]]:
        self._asked("offer_source", manifest)
        return "a" * 64, self.missing

    async def receive_blobs(self, pieces: AsyncIterator[bytes]) -> None:
        self._asked("receive_blobs")
        try:
            rest = b"".join([piece async for piece in pieces])
        except Exception as error:
            self.broken_off = error
            raise
        while rest:
            header, _, rest = rest.partition(b"\n")
            digest, size = header.decode().split()
            self.blobs[digest], rest = rest[: int(size)], rest[int(size) :]

    async def gc(self, actor: str = "") -> v.GcView:
        self._asked("gc", *([actor] if actor else []))
        return v.GcView(removed={"releases": 2, "blobs": 40}, freed_bytes=52428800)

    async def doctor(self) -> list[v.CheckView]:
        self._asked("doctor")
        return self.checks

    async def backup(self, request: BackupRequest) -> AsyncIterator[bytes]:
        self._asked("backup", request)

        async def pieces() -> AsyncIterator[bytes]:
            for piece in self.backed_up:
                if isinstance(piece, Exception):
                    raise piece
                yield piece

        return pieces()

    async def shutdown(self, actor: str = "") -> None:
        self._asked("shutdown", *([actor] if actor else []))
        self.ended()
