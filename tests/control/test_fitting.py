"""What stops services under each pattern, in the words of `up`; which could share a process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.advising.fitting import blockers, from_file, mates
from fourfold.control.advising.impossible import EVERYTHING
from fourfold.control.advising.request import AdviceRequest
from fourfold.cost.advice.model import Blocker
from fourfold.cost.advice.source import Source
from fourfold.errors import NotFoundError, UserError
from fourfold.launch.model import Powers
from tests.cost.advice.rig import LIMIT, app_of, source_of

WEB = {"source": "./x", "run": "node x.js", "port": 8080}
NODE = Source(language="nodejs", package="folder")
GROUPS = {"web": {"kind": "node"}}


def found(
    service: dict[str, Any],
    source: Source | None = NODE,
    powers: Powers | None = None,
    groups: dict[str, Any] | None = None,
) -> dict[str, tuple[Blocker, ...]]:
    stops = blockers(app_of(service, groups), "it", source, powers, LIMIT)
    return {str(pattern): each for pattern, each in stops.items()}


@pytest.mark.parametrize(
    ("service", "pattern", "kind", "why"),
    [
        ({"image": "docker://x", "pattern": "container"}, "process", "program", "an image runs as a container"),
        (
            {"image": "docker://x", "pattern": "container"},
            "function",
            "program",
            "an image runs as a container or in a",
        ),
        ({"image": "docker://x", "pattern": "container"}, "shared", "program", "an image has a file system of its own"),
        ({"source": "./x", "run": "./x"}, "function", "program", "as a function it needs something that takes events"),
        ({"source": "./x", "run": "./x", "job": {}}, "function", "program", "a job runs to its end, a function waits"),
        ({"source": "./x", "run": "./x", "job": {}}, "shared", "program", "a group keeps its members running"),
        (
            {**WEB, "volumes": [{"name": "d", "path": "/d"}]},
            "function",
            "program",
            "the sandboxes of a function have no v",
        ),
        (
            {**WEB, "function": {"timeout": "10m"}},
            "function",
            "program",
            "cannot give an event 600 s: a function has at m",
        ),
        ({**WEB, "port": {"fixed": 7000}}, "shared", "program", "a new version runs beside the old one in its group"),
        ({**WEB, "secrets": ["KEY"]}, "shared", "program", "all members of a group run as one user"),
        ({**WEB, "resources": {"memory": "1Mi"}}, "vm", "program", "cannot run as a virtual machine with 1 MiB"),
        (
            {"source": "./x", "function": {"handler": "a.b"}},
            "shared",
            "program",
            "a handler is called by a server of o",
        ),
        (WEB, "shared", "setting", "it does not say in which group it runs"),
        ({**WEB, "instances": 2}, "shared", "setting", "one of it runs in each instance of its group"),
    ],
)
def test_what_stops_it(service: dict[str, Any], pattern: str, kind: str, why: str) -> None:
    stops = found(service)[pattern]
    assert any(each.kind == kind and each.why.startswith(why) for each in stops), stops


def test_what_nothing_stops_is_not_listed() -> None:
    member = {**WEB, "pattern": "shared", "shared": {"group": "web"}}
    assert found(member, groups=GROUPS) == {}
    assert found(WEB).keys() == {"shared"}, "and that only for want of a line"


def test_a_group_that_is_there_is_named_and_else_one_to_add() -> None:
    (said,) = found(WEB, groups=GROUPS)["shared"]
    assert said.fix == "add `shared: {group: web}` to it"
    (said,) = found(WEB)["shared"]
    assert said.fix == "add `node: {kind: node}` to `groups`, and `shared: {group: node}` to it"


@pytest.mark.parametrize(
    ("run", "source", "fits"),
    [
        ("node x.js", {"language": "nodejs"}, True),
        ("uvicorn app:app", {"language": "python"}, True),
        ("python -m app", {"language": "python"}, False),
        (None, {"language": "python", "procfile": "worker: python w.py\nweb: gunicorn shop:app"}, True),
        (None, {"language": "python", "procfile": "web: ./serve"}, False),
        (None, {"language": "python"}, False),
        ("ruby x.rb", {"language": "ruby"}, False),
        ("java -jar x.jar", {"language": "java"}, False),
        ("x", {"language": "java", "package": "war"}, True),
        ("x", {"language": "java", "package": "bundle"}, True),
        ("x", None, False),
    ],
)
def test_which_kind_of_group_fits(run: str | None, source: dict[str, Any] | None, fits: bool) -> None:
    (said,) = found({**WEB, "run": run}, source_of(source))["shared"]
    assert (said.kind == "setting") is fits


def test_what_this_machine_cannot_is_told_only_when_it_was_asked() -> None:
    weak = Powers(missing={"containers": "not root", "functions": "not root", "machines": "no QEMU"})
    assert found(WEB, powers=EVERYTHING).keys() == {"shared"}
    stops = found(WEB, powers=weak)
    assert stops["container"][0].kind == stops["vm"][0].kind == stops["function"][0].kind == "host"
    assert "not root" in stops["container"][0].why
    no_network = replace(EVERYTHING, network=False, missing={"network": "not root"})
    assert "cannot give it a network of its own: not root" in found(WEB, powers=no_network)["vm"][0].why


def test_other_services_do_not_matter() -> None:
    app = app_of(WEB, other={"source": "./y", "run": "./y", "volumes": [{"name": "d", "path": "/d"}]})
    assert "function" not in blockers(app, "it", NODE, None, LIMIT)


def test_mates() -> None:
    app = app_of(WEB, other=WEB, keeps={**WEB, "volumes": [{"name": "d", "path": "/d"}]}, ruby=WEB)
    ruby = Source(language="ruby", package="folder")
    sources = {"it": NODE, "other": NODE, "keeps": NODE, "ruby": ruby}
    assert mates(app, "it", sources) == ("other",)
    assert mates(app, "keeps", sources) == ()
    assert mates(app, "ruby", sources) == ()
    member = {**WEB, "pattern": "shared", "shared": {"group": "web"}}
    grouped = app_of(member, GROUPS, other=member, alone=WEB)
    assert mates(grouped, "it", {}) == ("other",), "whatever is known of their sources"


def test_by_the_file_alone() -> None:
    app = app_of(WEB, other={"source": "./y", "run": "./y"})
    (one,) = from_file(app, AdviceRequest(services=["other"]))
    assert (one.service, one.advised) == ("other", "process")
    assert "this machine" in one.unknown
    assert [each.service for each in from_file(app, AdviceRequest())] == ["it", "other"]


def test_what_is_not_there_is_refused() -> None:
    app = app_of(WEB, GROUPS)
    with pytest.raises(UserError, match="cannot advise on web: it is a group"):
        from_file(app, AdviceRequest(services=["web"]))
    with pytest.raises(NotFoundError, match="cannot find service nope: shop has it"):
        from_file(app, AdviceRequest(services=["nope"]))
    with pytest.raises(UserError, match="cannot suppose untrustd") as caught:
        from_file(app, AdviceRequest(assume={"untrustd": "yes"}))
    assert "untrusted" in str(caught.value.hint)
