"""What of a live service its candidate has, and what it has not; why a pattern is not for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.comparing.candidate import Live, candidate, reason, refuse_job, with_more
from fourfold.cost.comparison import PATTERNS, Pattern
from fourfold.errors import UserError, WorldError
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.model import Service
from fourfold.spec.parse import parse_json

SERVICE: dict[str, Any] = {
    "source": "./web",
    "run": "uvicorn web:app",
    "port": 8080,
    "env": {"A": "1"},
    "volumes": [{"name": "data", "path": "/data"}],
    "depends_on": ["orders", "db"],
    "deploy": {"before": "./migrate"},
}
DB = {"db": {"url": "postgres://db/shop"}}


def live(**given: Any) -> Live:
    spec = fingerprint(Service.model_validate({**SERVICE, **given}))
    return Live("shop", "web", spec, "s" * 64, DB, runtime="python3.11", kind="python")


def made(pattern: Pattern, of: Live) -> Any:
    return candidate(of, pattern, f"compare-1-{pattern}", 4711)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_is_an_app_that_can_be_brought_up(pattern: Pattern) -> None:
    of = live(volumes=[]) if pattern in ("shared", "function") else live()
    app = parse_json(made(pattern, of).app)
    spec = app.services["web"]
    assert (spec.pattern, spec.instances, spec.env, spec.run) == (pattern, 1, {"A": "1"}, "uvicorn web:app")
    assert [route.path for route in spec.route] == ["/"], "so that it is routed at all"
    assert (spec.depends_on, spec.triggers, spec.deploy.before) == ([], [], None)
    assert app.gateway.listen == "127.0.0.1:4711"
    assert app.externals.keys() == {"db"}


def test_routes_stay() -> None:
    spec = parse_json(made("process", live(route={"path": "/web", "strip": True})).app).services["web"]
    assert [(route.path, route.strip) for route in spec.route] == [("/web", True)]


def test_routes_hold_nothing_back() -> None:
    route = {"path": "/web", "sticky": True, "limits": {"rate": "1/s", "body": "1KB"}, "auth": "STAFF"}
    spec = parse_json(made("process", live(route=route)).app).services["web"]
    assert [(each.path, each.sticky, each.limits.rate, each.auth) for each in spec.route] == [
        ("/web", False, None, None)
    ]


def test_without_a_port_it_has_no_route() -> None:
    app = made("process", live(port=None))
    assert not app.has_port
    assert not parse_json(app.app).services["web"].route


def test_lives_in_a_group_like_its_own() -> None:
    of = replace(live(volumes=[], shared={"group": "py"}), group="py", group_spec={"kind": "python", "mode": "forked"})
    assert (made("shared", of).group, made("process", of).group) == ("py", None)
    app = parse_json(made("shared", of).app)
    assert (app.groups["py"].mode, app.groups["py"].instances) == ("forked", 1)
    assert app.services["web"].shared.group == "py"
    alone = parse_json(made("process", of).app)
    assert (alone.services["web"].shared.group, alone.services["web"].pattern) == ("py", "process"), (
        "it is built as there"
    )
    assert parse_json(made("process", live()).app).groups == {}


def test_a_group_is_made_up() -> None:
    app = parse_json(made("shared", live(volumes=[], runtime="python3.11")).app)
    assert {name: (group.kind, group.runtime) for name, group in app.groups.items()} == {
        "web-group": ("python", "python3.11")
    }


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (replace(live(), runtime="ruby3.1", kind=None), "cannot run web in a group: there is none for ruby3.1"),
        (
            replace(live(), runtime="java17", kind=None),
            "cannot run web in a group: "
            "a Java program that is neither a web application nor a bundle has a JVM of its own",
        ),
        (live(), "members of a group have the files of their host, and no volumes of their own"),
        (live(volumes=[], port=None), "it needs a port of its own in its group"),
    ],
)
def test_why_it_lives_in_no_group(of: Live, why: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_json(made("shared", of).app)
    assert reason(raised.value, "", "web") == why


def test_a_job_is_refused() -> None:
    refuse_job("catalog", live(port=None).spec)
    with pytest.raises(UserError, match="cannot compare catalog: it is a job"):
        refuse_job("catalog", live(port=None, job={}).spec)


@pytest.mark.parametrize("pattern", ["process", "container", "vm"])
def test_more_of_it_is_for_scale(pattern: Pattern) -> None:
    assert with_more(made(pattern, live()), 3) is None


def test_more_of_a_member_are_further_members() -> None:
    wider = with_more(made("shared", live(volumes=[])), 3)
    assert wider is not None
    app = parse_json(wider.app)
    assert list(app.services) == ["web", "web-2", "web-3"]
    assert {each.shared.group for each in app.services.values()} == {"web-group"}
    assert not app.services["web-2"].route


def test_more_of_a_function_are_sandboxes() -> None:
    wider = with_more(made("function", live(volumes=[], function={"concurrency": 2})), 3)
    assert wider is not None
    function = parse_json(wider.app).services["web"].function
    assert (function.provisioned, function.concurrency) == (3, 3)


def test_a_reason_names_no_instance_that_nobody_can_see() -> None:
    failed = WorldError("compare-f76a-vm.catalog-1-7uyu did not stay up: exit code 1; see shop.catalog-1-ab2c")
    assert reason(failed, "compare-f76a-vm", "catalog") == "it did not stay up: exit code 1; see shop.catalog-1-ab2c"
    assert reason(UserError("no app.handler here"), "", "app") == "no app.handler here"


def test_a_reason_does_not_name_the_service_again() -> None:
    refused = UserError("catalog: cannot tell from `run` which app it serves")
    assert reason(refused, "", "catalog") == "cannot tell from `run` which app it serves"
