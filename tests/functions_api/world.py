"""Lambda's API over a real store and registry; what deploys and what invokes are doubles that can be told to fail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from fourfold.api.aws.api import Api, limit_for
from fourfold.api.aws.call import Site
from fourfold.api.aws.http import Listener
from fourfold.api.aws.sigv4 import Verifier
from fourfold.control import views as v
from fourfold.control.deploying.checks import read_app
from fourfold.control.lambdas.deploying import Deploying
from fourfold.control.lambdas.lambdas import Lambdas
from fourfold.control.registry import Registry
from fourfold.errors import UserError, WorldError
from fourfold.functions.model import Answer, Invocation
from fourfold.paths import Paths
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.model import Service
from fourfold.store import layout
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.model import Deployment, Release, ServiceRow
from fourfold.store.store import Store
from tests.store.samples import app_row, open_in

KEY, SECRET = "AKIAFOURFOLDTESTS000", "secret"
T = TypeVar("T")


def refusal(call: Callable[..., Any], **given: Any) -> tuple[int, str, str]:
    """Status, code and message of what a call is refused with."""
    try:
        call(**given)
    except ClientError as error:
        answer: Any = error.response
        message = answer["Error"].get("Message") or answer.get("Message", "")
        return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], message
    raise AssertionError(f"not refused: {call} {given}")


class WallClock:
    def now(self) -> float:
        return time.time()


class Deploys:
    """Stands for the facade: an `up` makes the rows that a good deployment leaves, once `gate` is open."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.gate = asyncio.Event()
        self.gate.set()
        self.judges = asyncio.Event()
        """Cleared: nobody comes to know whether something can be deployed."""
        self.judges.set()
        self.judging = 0
        self.fails: str | None = None
        """What the next builds say."""
        self.asked: list[tuple[str, str]] = []
        self._requests: dict[str, Callable[[], None]] = {}

    async def plan(self, request: v.UpRequest) -> v.PlanView:
        self.judging += 1
        await self.judges.wait()
        read_app(request.spec)
        runtimes = [service.get("runtime") for service in request.spec["services"].values()]
        if "python3.99" in runtimes:
            raise UserError("cannot build: there is no python3.99 here", "python3.11 is here")
        return v.PlanView(app=request.spec["app"], changes=[])

    async def up(self, request: v.UpRequest) -> v.OperationView:
        (name,) = request.services or [""]
        self.asked.append(("up", name))
        return self._begin(name, lambda: self._deployed(request, name))

    async def take_out(self, app: str, service: str, actor: str) -> v.OperationView:
        self.asked.append(("take_out", service))
        row = self._registry.services[f"{app}.{service}"]
        return self._begin(service, lambda: self._registry.remove_service(row))

    def _begin(self, name: str, work: Callable[[], None]) -> v.OperationView:
        id = f"op{len(self.asked)}"
        self._requests[id] = work
        return v.OperationView(id=id, app="lambda", kind="deploy", services=[name], after=0)

    async def events(
        self, app: str | None, after: int, follow: bool, operation: str | None = None, tail: int | None = None
    ) -> AsyncIterator[v.EventView]:
        await self.gate.wait()
        kind, message = "operation.done", ""
        if self.fails:
            kind, message = "operation.failed", self.fails
        else:
            with self._registry.transaction():
                self._requests.pop(str(operation))()
        yield v.EventView(seq=1, at="", app=app, service=None, instance=None, kind=kind, message=message, actor=None,
                          data={})  # fmt: skip

    def _deployed(self, request: v.UpRequest, name: str) -> None:
        app = read_app(request.spec)
        self.add(app.app, name, fingerprint(app.services[name]), request.sources[name], app.services[name].pattern)

    def add(self, app: str, name: str, spec: dict[str, Any], source: str, pattern: str = "function") -> None:
        """A service that was deployed well."""
        registry, now = self._registry, time.time()
        if app not in registry.apps:
            registry.put_app(app_row(app))
        old = registry.services.get(f"{app}.{name}")
        number = registry.store.releases.next_number(app, name)
        registry.add_release(Release(app, name, number, spec, source, "ann", None, None, now))
        row = ServiceRow(app, name, number, pattern, 1, (), 790_000, None)
        registry.put_service(row)
        registry.add_deployment(
            Deployment(
                0,
                app,
                name,
                "op",
                "r",
                number,
                {"release": old.release} if old else {},
                "done",
                None,
                True,
                "ann",
                now,
                now,
                now,
            )
        )


@dataclass
class Functions:
    """Stands for what runs: answers with what `answers` has for a service, else with the event itself."""

    answers: dict[str, Answer] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    asked: list[tuple[str, Invocation]] = field(default_factory=list)
    stored: list[tuple[str, bytes, str, str]] = field(default_factory=list)
    full: bool = False

    async def invoke(self, app: str, service: str, invocation: Invocation) -> Answer:
        self.asked.append((f"{app}.{service}", invocation))
        if f"{app}.{service}" in self.gone:
            raise WorldError(f"cannot invoke {service}: nothing of it is ready")
        found = self.answers.get(f"{app}.{service}", Answer(200, invocation.payload))
        return replace(found, log="bG9n") if invocation.tail else found

    async def enqueue(self, app: str, service: str, payload: bytes, context: str, id: str) -> None:
        if self.full:
            raise WorldError("cannot write the store: its disk is full")
        self.stored.append((f"{app}.{service}", payload, context, id))


class World:
    """The listener and all behind it, on a thread of its own."""

    def __init__(self, home: Path) -> None:
        self.paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        self.functions = Functions()
        self.deploys: Deploys
        self.lambdas: Lambdas
        self.registry: Registry
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)

    async def _run(self) -> None:
        layout.create(self.paths, root=False)
        self._end = asyncio.Event()
        store: Store = open_in(self.paths)
        self.registry = Registry(store)
        self.deploys = Deploys(self.registry)
        deploying = Deploying(self.registry, self.deploys)
        self.lambdas = Lambdas(self.registry, WallClock(), "us-east-1")
        self.lambdas.wake = deploying.wake
        blobs = Blobs(self.paths)
        site = Site(
            self.lambdas, deploying, Sources(self.paths, blobs), blobs, self.functions.invoke, self.functions.enqueue,
            lambda text: f"proof-of-{text[:4]}",
        )  # fmt: skip
        listener = Listener(Api(site, Verifier(KEY, SECRET), time.time).handle, limit_for(KEY))
        self.port = await listener.open("127.0.0.1", 0)
        site.url = f"http://127.0.0.1:{self.port}"
        work = asyncio.create_task(deploying.run(self.lambdas))
        self._started.set_result(None)
        await self._end.wait()
        work.cancel()
        await listener.close(1)
        store.database.close()

    def __enter__(self) -> World:
        self._thread.start()
        self._started.result(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    def on_loop(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return self.await_(run())

    def await_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def spec(self, name: str) -> Service:
        """Of a function's present release."""
        row = self.registry.services[f"lambda.{name}"]
        return self.on_loop(lambda: self.registry.spec(f"lambda.{name}", row.release))

    def hold(self) -> None:
        """Deployments do not come to their end until `go_on`."""
        self.on_loop(self.deploys.gate.clear)

    def go_on(self) -> None:
        self.on_loop(self.deploys.gate.set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str = KEY, secret: str = SECRET) -> Any:
        return boto3.client(
            "lambda", endpoint_url=self.url, aws_access_key_id=key, aws_secret_access_key=secret,
            region_name="us-east-1", config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )  # fmt: skip
