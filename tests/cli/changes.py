"""What tests of changes have in common: a service file, what an operation tells, what was asked."""

from __future__ import annotations

from typing import Any

from fourfold.control import views as v
from tests.api import sample
from tests.api.serving import Serving

FILE = """\
app: shop
services:
  catalog: {source: ./catalog, run: python app.py, instances: 2}
  orders: {source: ./catalog, run: python orders.py}
  docs: {source: ./docs, run: python docs.py}
"""


def step(seq: int, kind: str, message: str, service: str | None = None, **data: Any) -> v.EventView:
    instance = data.pop("instance", None)
    return sample.event(seq, kind, message, service=service, instance=instance, data=data)


GOOD = [
    step(1, "operation.started", "up of shop begins"),
    step(2, "build.log", "Collecting flask", "catalog"),
    step(3, "deploy.started", "deploys release 3", "catalog"),
    step(4, "deploy.done", "catalog is done in 1.4 s", "catalog"),
    step(5, "operation.done", "up of shop done in 1.5 s"),
]
BAD = [
    step(1, "deploy.failed", "catalog release 4 failed: exit code 3", "catalog", reason="exit code 3"),
    step(2, "deploy.rolled-back", "catalog serves release 3 as before", "catalog"),
    step(3, "operation.failed", "up of shop failed: catalog: exit code 3", failed={"catalog": "exit code 3"}),
]


def asked(server: Serving, method: str) -> list[Any]:
    return [arguments for name, arguments in server.facade.calls if name == method]
