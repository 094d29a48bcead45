"""Whatever a request says of who asks, over the network it is the token's name."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from fourfold.api.network.acting import Caller, acting
from fourfold.control.access import TokenRequest
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.facade import Facade
from fourfold.control.keeping.request import BackupRequest
from fourfold.control.routing.maintaining import Page
from fourfold.control.views import UpRequest
from fourfold.errors import ForbiddenError, UserError
from tests.api.fake import FakeFacade

UP = UpRequest(spec={"app": "shop", "services": {"web": {"source": "./x"}}}, sources={}, actor="mallory")
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
    "Mapping[str, int | None]": {"x": 1},
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


@pytest.mark.parametrize(
    ("service", "caller", "said"),
    [
        ({"source": "./x"}, Caller("ci", "deploy", "shop"), None),
        ({"image": "docker://x/y"}, Caller("ci", "deploy"), None),
        ({"image": "oci:/root/x"}, Caller("ci", "admin"), "names a place on the machine"),
        ({"image": "docker-archive:x.tar"}, Caller("ci", "admin"), "names a place on the machine"),
        ({"source": "./x", "container": {"base": "oci:/x"}}, Caller("ci", "deploy"), "names a place on the machine"),
        ({"source": "./x", "vm": {"base": "oci:/x"}}, Caller("ci", "deploy"), "names a place on the machine"),
        ({"source": "./x", "container": {"dockerfile": "D"}}, Caller("ci", "deploy"), "takes a token of role admin"),
        ({"source": "./x", "container": {"dockerfile": "D"}}, Caller("ci", "admin", "shop"), "role admin for all apps"),
        ({"source": "./x", "container": {"dockerfile": "D"}}, Caller("ci", "admin"), None),
    ],
)
def test_files_of_this_machine_are_not_for_tokens(service: dict[str, Any], caller: Caller, said: str | None) -> None:
    fake = FakeFacade()
    pattern = {"pattern": "container"} if "image" in service else {}
    request = UpRequest(spec={"app": "shop", "services": {"web": service | pattern}}, sources={}, file="/srv/f.yaml")
    for method in ("up", "plan", "build", "artifact", "image"):
        try:
            asyncio.run(getattr(acting(fake, caller), method)(request))
        except (UserError, ForbiddenError) as error:
            assert said is not None and said in error.what
        else:
            assert said is None
    told = [request.file for _, (request, *_) in fake.calls]
    assert told == ([] if said else ["ci:/srv/f.yaml"] * 5)


@pytest.mark.parametrize(
    ("caller", "allowed"),
    [(Caller("ann", "deploy"), True), (Caller("bob", "deploy"), False), (Caller("bob", "admin"), True)],
)
def test_builds_are_removed_by_their_owners_and_admins(caller: Caller, allowed: bool) -> None:
    fake = FakeFacade()
    for ends in (acting(fake, caller).bakery.remove("b1", "ann"), acting(fake, caller).cancel("b1", "ann")):
        try:
            asyncio.run(ends)
        except ForbiddenError as error:
            assert not allowed and "not one of token bob" in error.what
        else:
            assert allowed
    assert (("cancel", ("b1", caller.name)) in fake.calls) == allowed
    assert (("remove", ("b1", caller.name)) in fake.bakery.calls) == allowed


def test_a_certificate_of_several_apps_is_not_for_a_token_of_one() -> None:
    fake = FakeFacade()
    fake.apps_known = ["shop"]
    with pytest.raises(ForbiddenError, match="others on its address have it too"):
        asyncio.run(acting(fake, Caller("ci", "deploy", "shop")).renew_certificate("shop", b"", b"", ""))
    assert [name for name, _ in fake.calls if name == "renew_certificate"] == []
    asyncio.run(acting(fake, Caller("ci", "deploy")).renew_certificate("shop", b"c", b"k", ""))
    assert fake.calls[-1] == ("renew_certificate", ("shop", b"c", b"k", "ci"))


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
