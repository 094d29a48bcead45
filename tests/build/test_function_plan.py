"""What a handler is written in, and what is prepared for it: plans from listings, without building anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.build.function import as_function, as_server, kind_of
from fourfold.build.functionlayers import with_layers
from fourfold.build.model import APP
from fourfold.errors import UserError
from fourfold.spec.model import Service

from .helpers import HOST, listing

JDK = replace(HOST, tools={**HOST.tools, "javac": "/usr/bin/javac"})


def service(handler: str | None, **given: Any) -> Service:
    return Service.model_validate({"function": {"handler": handler} if handler else {}, **given})


@pytest.mark.parametrize(
    ("files", "handler", "kind"),
    [
        (["app.py"], "app.handler", "python"),
        (["shop/orders.py"], "shop.orders.handler", "python"),
        (["shop/orders.py"], "shop/orders.handler", "python"),
        (["src/app.py"], "app.handler", "python"),
        (["index.js"], "index.handler", "nodejs"),
        (["index.mjs", "app.py"], "index.handler", "nodejs"),
        (["src/fn.cjs"], "src/fn.deep.handler", "nodejs"),
        (["a.jar"], "shop.Orders::place", "java"),
        (["bootstrap"], "anything", "provided"),
        (["package.json", "ts/index.ts"], "dist/index.handler", "nodejs"),
    ],
)
def test_the_language_is_told_by_the_handler(files: list[str], handler: str, kind: str) -> None:
    contents = dict.fromkeys(files, "{}" if "package.json" in files else "x")
    assert kind_of(listing(contents), service(handler)) == kind


def test_python_gets_awslambdaric_unless_it_brings_it() -> None:
    plan = as_function(listing({"app.py": ""}), service("app.handler"), HOST)
    assert plan.function is not None and plan.function.argv == ("/usr/bin/python3.11",)
    assert [layer.keep for layer in plan.layers] == [(".fourfold/runtime",)]
    plan = as_function(listing({"app.py": "", "requirements.txt": "awslambdaric==3.0\n"}), service("app.handler"), HOST)
    assert plan.function is not None and plan.function.argv == (f"{APP}/.venv/bin/python",)
    assert [layer.keep for layer in plan.layers] == [(".venv",)]


def test_node_gets_our_client_unless_it_brings_one() -> None:
    plan = as_function(listing({"index.js": ""}), service("index.handler"), HOST)
    assert plan.function is not None
    assert plan.function.argv == ("/usr/bin/node", f"{APP}/.fourfold/runtime/client.cjs", "index.handler")
    package = '{"dependencies": {"aws-lambda-ric": "3.3.0"}}'
    plan = as_function(listing({"index.js": "", "package.json": package}), service("index.handler"), HOST)
    assert plan.function is not None
    assert plan.function.argv[1:] == (f"{APP}/node_modules/.bin/aws-lambda-ric", "index.handler")
    assert ".fourfold/runtime/client.cjs" not in plan.files


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        ({"index.js": "1" * 65535}, 0),
        ({"index.js": "1" * 65535, "lib/a.cjs": "1"}, 1),
        ({"index.js": "", "data.json": "1" * 65536}, 0),
        ({"index.js": "", "package.json": '{"dependencies": {"is-odd": "3.0.1"}}'}, 1),
    ],
)
def test_long_javascript_is_compiled_ahead(files: dict[str, str], steps: int) -> None:
    plan = as_function(listing(files), service("index.handler"), HOST)
    assert [str(step) for step in plan.steps] == ["compile the modules of the handler"] * steps


def test_java_needs_a_jdk() -> None:
    source, wanted = listing({"a.jar": ""}), service("shop.Orders::place")
    with pytest.raises(UserError, match=r"java17 of this host is a JRE"):
        as_function(source, wanted, HOST)
    plan = as_function(source, wanted, JDK)
    assert plan.function is not None and plan.function.argv[1] == "@.fourfold/runtime/java.args"
    quoted = as_function(source, service("x.Y::z'$(touch)"), JDK).steps[-1].argv[2]
    assert """'x.Y::z'"'"'$(touch)'""" in quoted, "nothing of a handler's name is a command"


def test_another_handler_is_another_artifact() -> None:
    source = listing({"app.py": ""})
    one, two = (as_function(source, service(name), HOST).identity() for name in ("app.a", "app.b"))
    assert one != two
    assert as_server(source, service("app.a"), HOST).identity() == as_server(source, service("app.b"), HOST).identity()


def test_the_server_needs_a_python() -> None:
    source, wanted = listing({"index.js": ""}), service("index.handler")
    plan = as_server(source, wanted, HOST)
    assert plan.argv is not None and plan.argv[:3] == ("/usr/bin/python3.11", "-Es", f"{APP}/.fourfold")
    assert [each.name for each in plan.beside] == ["python3.11"]
    none = {name: each for name, each in HOST.runtimes.items() if not name.startswith("python")}
    with pytest.raises(UserError, match=r"cannot use Python .the server that calls the handler asks for it."):
        as_server(source, wanted, replace(HOST, runtimes=none))
    old = {**none, "python3.9": replace(HOST.runtimes["python3.11"], name="python3.9", version="3.9")}
    with pytest.raises(UserError, match=r"3\.10 or later"):
        as_server(source, wanted, replace(HOST, runtimes=old, defaults={}))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"volumes": [{"name": "v", "path": "/v"}]}, "volumes: the sandboxes of a function have no volumes"),
        ({"secrets": [{"K": {"name": "k", "file": "/run/secrets/k"}}]}, "no secret files"),
        ({"runtime": "java99"}, "cannot use java99"),
        (
            {"runtime": "python3.11", "function": {"handler": "app"}},
            "cannot call the handler app: it does not name a function",
        ),
        (
            {"runtime": "nodejs20", "function": {"handler": "app."}},
            "cannot call the handler app.: it does not name a function",
        ),
    ],
)
def test_what_stands_in_the_way_of_a_function(given: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        as_function(listing({"app.py": "", "a.jar": ""}), service("app.handler", **given), JDK)


def test_layers_are_moved_to_folders_of_ours() -> None:
    manifest = listing({"app.py": "1", "libs/python/a.py": "2", "libs2/x": "3"}).manifest
    made = with_layers(manifest, ["libs", "libs2/"], lambda entry: manifest)
    assert [entry.path for entry in made.entries] == [
        ".fourfold/layers/0/python/a.py", ".fourfold/layers/1/x", "app.py",
    ]  # fmt: skip
    with pytest.raises(UserError, match="cannot find the layer"):
        with_layers(manifest, ["nowhere.zip"], lambda entry: manifest)
