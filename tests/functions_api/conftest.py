from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functions_api.world import World

SOON = {"Delay": 0, "MaxAttempts": 900}
ROLE = "arn:aws:iam::000000000000:role/r"


def zipped(text: str = "def handler(event, context): return event\n", name: str = "app.py") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), text)
    return made.getvalue()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


@pytest.fixture
def client(world: World) -> Any:
    return world.client()


@pytest.fixture
def create(client: Any) -> Callable[..., Any]:
    """Make a function and wait until it is Active."""

    def made(name: str = "f", *, wait: bool = True, **more: Any) -> Any:
        given = {"Runtime": "python3.11", "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": zipped()}}
        answer = client.create_function(FunctionName=name, **(given | more))
        if wait:
            client.get_waiter("function_active_v2").wait(
                FunctionName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 900}
            )
        return answer

    return made
