"""What tests of changes have in common: a service file, what an operation tells, what was asked, Ctrl-C meanwhile."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from fourfold.control import views as v
from tests.api import sample
from tests.api.serving import Serving, eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Result

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


def interrupted(cli: Cli, server: Serving, *line: str) -> Result:
    """What a command ends with that is interrupted, as by Ctrl-C, while it waits."""

    def interrupt() -> None:
        eventually(lambda: server.facade.following == 1)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    thread = threading.Thread(target=interrupt)
    thread.start()
    result = cli(*line)
    thread.join()
    signal.signal(signal.SIGINT, before)
    return result
