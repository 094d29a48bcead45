"""Whatever a request says of who asks, over the network it is the token's name."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from fourfold.api.acting import Caller, acting
from fourfold.control.access import TokenRequest
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.facade import Facade
from fourfold.control.keeping.request import BackupRequest
from fourfold.control.maintaining import Page
from fourfold.control.views import UpRequest
from fourfold.errors import ForbiddenError
from tests.api.fake import FakeFacade

UP = UpRequest(spec={"app": "shop", "services": {}}, sources={}, actor="mallory")
SAMPLES: dict[str, Any] = {
    "CompareRequest": CompareRequest(actor="mallory"),
    "TokenRequest": TokenRequest(name="new", role="read", actor="mallory"),
    "v.UpRequest": UP,
    "BackupRequest": BackupRequest(keys="none", actor="mallory"),
    "Page": Page("soon back", "text/plain", 60.0, ()),
    "bytes": b"x",
    "str": "x",
    "int": 1,
    "bool": False,
    "int | None": None,
    "str | None": None,
    "Sequence[str]": ["x"],
    "list[str]": ["x"],
    "Sequence[str] | None": None,
    "dict[str, str]": {"A": "b"},
}


def changes() -> list[str]:
    """Methods of the facade that are told who asks."""
    found = []
    for name, method in inspect.getmembers(Facade, inspect.isfunction):
        parameters = inspect.signature(method).parameters
        requests = ("v.UpRequest", "CompareRequest", "TokenRequest", "BackupRequest")
        if "actor" in parameters or any(each.annotation in requests for each in parameters.values()):
            found.append(name)
    return found


@pytest.mark.parametrize("name", changes())
def test_the_actor_is_the_token(name: str) -> None:
    fake = FakeFacade()
    fake.apps_known = ["x"]
    parameters = inspect.signature(getattr(Facade, name)).parameters
    arguments = [
        "mallory" if each.name == "actor" else SAMPLES[str(each.annotation)]
        for each in parameters.values()
        if each.name != "self"
    ]
    asyncio.run(getattr(acting(fake, Caller("ci", "admin")), name)(*arguments))
    ((_, told),) = fake.calls
    said = repr(told)
    assert "mallory" not in said
    assert "ci" in said or not any("actor" in str(each) for each in told)


def test_only_an_admin_purges() -> None:
    fake = FakeFacade()
    with pytest.raises(ForbiddenError, match="takes admin"):
        asyncio.run(acting(fake, Caller("ci", "deploy")).down("shop", True, ""))
    assert fake.calls == []
    asyncio.run(acting(fake, Caller("ci", "deploy")).down("shop", False, ""))
    assert fake.calls == [("down", ("shop", False, "ci"))]


def test_of_one_app() -> None:
    fake = FakeFacade()
    fake.apps_known = ["shop", "other"]
    mine = acting(fake, Caller("ci", "read", "shop"))
    assert [app.name for app in asyncio.run(mine.apps())] == ["shop"]
    assert asyncio.run(mine.info()).apps == ["shop"]
    asyncio.run(mine.top(None))
    assert fake.calls[-1] == ("top", ("shop",))
    with pytest.raises(ForbiddenError, match="for app shop only"):
        mine.events("other", 0, False)
    with pytest.raises(ForbiddenError, match="the requests of all apps"):
        mine.logs("shop", ["web", "gateway"], None, None, False, False)
