"""A service and facts become the Launch of an invoker: from tables, on no host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.functions.model import CONFIG, Config, SandboxNetwork, SandboxUser
from fourfold.launch import patterns
from fourfold.launch.common import Facts, FunctionFacts
from fourfold.launch.function import ending, function_name
from fourfold.launch.model import Launch, Listen, Powers, SecretRef, User
from fourfold.spec.model import Service

NETWORK = SandboxNetwork("fourfold0", "10.177.0.1", 16, "10.177.128.16/28")
FUNCTION = FunctionFacts(
    interpreter="/usr/bin/python3",
    kind="python",
    argv=("/usr/bin/python3.11",),
    handler="app.handler",
    layers=("/state/artifacts/abc/tree/.fourfold/layer",),
    memory=128 * 2**20,
    socket="/run/fourfold/functions/0123456789ab",
    usage="/state/usage/shop.thumb",
    network=NETWORK,
    hidden=("/state", "/run/fourfold"),
)
FACTS = Facts(
    app="shop",
    service="thumb",
    instance="shop.thumb-3-k7f2",
    release=3,
    tree="/state/artifacts/abc/tree",
    argv=(),
    artifact_env={"PATH": "/var/task/.venv/bin"},
    powers=Powers(users=True, private=True, network=True, functions=True),
    user=User(799001, 799001, "thumb"),
    port=20001,
    urls={"DB_URL": "postgres://db"},
    function=FUNCTION,
)
ENV = {"env": {"LD_PRELOAD": "/app/evil.so", "A": "b"}, "secrets": ["KEY"]}


def made(service: dict[str, Any], function: dict[str, Any] | None = None, **facts: Any) -> Launch:
    given = replace(FACTS, function=replace(FUNCTION, **(function or {})), **facts)
    return patterns.launch("function", Service.model_validate(service), given)


def config(launch: Launch) -> Config:
    return Config.from_json(str(launch.env[CONFIG]))


def test_what_an_invoker_gets() -> None:
    got = made({"function": {"handler": "app.handler", "timeout": "30s", "concurrency": 4}} | ENV)
    assert got.argv == ("/usr/bin/python3", "-I", "-m", "fourfold.functions")
    assert (got.user, got.private, got.network, got.needs_bridge) == (None, False, "host", True)
    assert got.listen == Listen("127.0.0.1", 20001) and (got.stop.signal, got.stop.grace) == ("TERM", 31.0)
    assert got.limits.memory is None and got.limits.pids == 256 + 1024 * 6
    told = config(got)
    assert (told.kind, told.handler, told.timeout, told.concurrency) == ("python", "app.handler", 30.0, 4)
    assert told.user == SandboxUser(799001, 799001, "thumb") and told.network == NETWORK
    assert (told.memory, told.port, told.function_name) == (128 * 2**20, 20001, "shop-thumb")
    assert (told.tree, told.layers, told.hidden) == (FACTS.tree, FUNCTION.layers, FUNCTION.hidden)


def test_what_the_service_says_reaches_its_sandboxes_alone() -> None:
    got = made({"function": {"handler": "app.handler"}} | ENV)
    assert {name for name in got.env if not name.startswith("fn.")} == {CONFIG, "LANG"}
    wanted: dict[str, str | SecretRef] = {
        "fn.LD_PRELOAD": "/app/evil.so", "fn.A": "b", "fn.KEY": SecretRef("KEY"), "fn.DB_URL": "postgres://db",
        "fn.FOURFOLD_APP": "shop", "fn.TMPDIR": "/tmp", "fn.USER": "thumb",
    }  # fmt: skip
    assert wanted.items() <= got.env.items()
    assert str(got.env["fn.PATH"]).startswith("/var/task/.venv/bin:") and "fn.PORT" not in got.env


@pytest.mark.parametrize(("port", "inside"), [(8000, "8000"), ({"fixed": 9000}, "9000")])
def test_a_program_behind_the_adapter_has_its_very_port(port: Any, inside: str) -> None:
    got = made({"run": "x", "port": port, "resources": {"memory": "64Mi", "pids": 10}}, {"handler": ""})
    assert (got.env["fn.PORT"], got.env["fn.HOST"]) == (inside, "127.0.0.1")
    assert got.listen == Listen("127.0.0.1", 20001) and config(got).memory == 64 * 2**20
    assert got.limits.pids == 256 + 10 * 12 and "fn.FOURFOLD_READY_PATH" not in got.env
    got = made({"run": "x", "port": port, "health": {"path": "/well"}}, {"handler": ""})
    assert (got.env["fn.FOURFOLD_READY_PATH"], got.env["fn.FOURFOLD_READY_HOST"]) == ("/well", "localhost")


def test_what_runs_beside_it_is_as_a_process() -> None:
    got = patterns.launch("function", Service.model_validate({"run": "x"}), replace(FACTS, argv=("ls",), function=None))
    assert got.argv == ("ls",) and got.private and got.user == FACTS.user and CONFIG not in got.env


@pytest.mark.parametrize(
    ("service", "powers", "said"),
    [
        ({"volumes": [{"name": "d", "path": "/d"}]}, {}, "cannot give volume d to a function: its sandboxes keep"),
        ({"secrets": [{"K": {"name": "k", "file": "/run/secrets/k"}}]}, {}, "cannot give secret k to a function as a"),
        ({"image": "docker://nginx"}, {}, "cannot run the image docker://nginx as a function"),
        ({}, {"functions": False, "missing": {"functions": "not root"}}, "cannot run as a function: not root"),
    ],
)
def test_what_is_refused(service: dict[str, Any], powers: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        patterns.refuse_impossible(Service.model_validate(service), "function", replace(FACTS.powers, **powers))
    assert refused.value.hint


def test_limits_that_are_told() -> None:
    plain, small = Service.model_validate({}), Service.model_validate({"resources": {"memory": "64Mi"}})
    assert patterns.program_memory("function", plain) == 128 * 2**20
    assert patterns.program_memory("function", small) == 64 * 2**20
    assert patterns.memory_limit("function", small) is None
    assert patterns.unenforced("function", small, Powers()) == {"memory": "this host cannot enforce it"}


def test_it_may_end_what_it_has_begun() -> None:
    assert ending(Service.model_validate({"stop": {"grace": "60s"}})) == 60.0
    assert ending(Service.model_validate({"function": {"timeout": "100s"}})) == 101.0


def test_what_clients_call_it() -> None:
    assert (function_name("shop", "thumb"), function_name("lambda", "thumb")) == ("shop-thumb", "thumb")
