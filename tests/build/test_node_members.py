"""Groups of kind `node`: what its members are started by, from tables."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fourfold.build.kinds import node
from fourfold.build.model import Runtime
from fourfold.errors import UserError
from fourfold.spec.groups import Group
from fourfold.spec.model import Service
from tests.build.helpers import HOST, listing

GROUP = Group(kind="node").as_host()


def package(**scripts: str) -> dict[str, str]:
    return {"package.json": json.dumps({"name": "x", "scripts": scripts}), "server.js": ""}


def plan(files: dict[str, str], **spec: Any) -> Any:
    spec |= {"pattern": "shared", "shared": {"group": "apps", "kind": "node"}, "port": 8080}
    return node.guest(listing(files), Service.model_validate(spec), HOST)


@pytest.mark.parametrize(
    ("files", "run", "argv"),
    [
        ({"server.js": ""}, None, ["server.js"]),
        ({"package.json": '{"main": "lib/a.js"}', "lib/a.js": ""}, None, ["lib/a.js"]),
        (package(start="node dist/server.js --quiet"), None, ["dist/server.js", "--quiet"]),
        (package(start="node server.js"), "npm start", ["server.js"]),
        (package(start="npm run -s serve", serve="node --enable-source-maps a.mjs"), "npm --silent start",
         ["--enable-source-maps", "a.mjs"]),
        (package(), "npm start", ["server.js"]),
        (package(), "exec /usr/bin/node 'my server.js' \"a b\" '$x'", ["my server.js", "a b", "$x"]),
        (package(), ["node", "server.js", "$PORT"], ["server.js", "$PORT"]),
        (package(), ["/usr/bin/env", "node", "server.js"], ["server.js"]),
        ({"Procfile": "web: node web.js\nworker: node worker.js", "web.js": ""}, None, ["web.js"]),
    ],
)  # fmt: skip
def test_a_script_and_its_arguments(files: dict[str, str], run: Any, argv: list[str]) -> None:
    assert plan(files, **({"run": run} if run else {})).argv == tuple(argv)


@pytest.mark.parametrize(
    ("files", "run", "why"),
    [
        (package(), "node server.js --port $PORT", "a shell would have to read that"),
        (package(), "node a.js && node b.js", "a shell would have to read that"),
        (package(), "node server.js > log", "a shell would have to read that"),
        (package(), "node 'server.js", "a quote does not end"),
        (package(start="next start"), None, "cannot run `next start`"),
        (package(), "npx http-server", "that is another program"),
        (package(), "npm run serve", "no script serve"),
        (package(start="npm start"), None, "start each other"),
        (package(), "node", "without a script"),
        (package(start="MODE=a node server.js"), None, "the value of MODE"),
        ({"app.py": ""}, "python app.py", "that is another program"),
        ({"app.py": "", "more.py": ""}, None, "cannot find what to run"),
        ({".nvmrc": "18", "server.js": ""}, None, "nodejs18 (.nvmrc asks for it): its group has nodejs20"),
        ({"package.json": '{"engines": {"node": ">=22"}}', "server.js": ""}, None, "cannot use Node.js >=22"),
    ],
)
def test_what_no_worker_can_be_started_by(files: dict[str, str], run: Any, why: str) -> None:
    with pytest.raises(UserError) as error:
        plan(files, env={"MODE": "b"}, **({"run": run} if run else {}))
    assert why in str(error.value)
    assert error.value.hint


def test_assignments_in_front_become_variables() -> None:
    made = plan(package(start="NODE_ENV=staging NAME='a b' node server.js"))
    assert made.argv == ("server.js",)
    assert (made.env["NODE_ENV"], made.env["NAME"]) == ("staging", "a b")


def test_what_the_parent_needs() -> None:
    old = replace(HOST, runtimes={"nodejs16": Runtime("nodejs16", "/usr/bin/node", "16.1.0")})
    with pytest.raises(UserError, match="cannot share nodejs16"):
        node.host(GROUP, old)
    with pytest.raises(UserError, match=r"cannot run python3\.11 in a group of kind node"):
        node.host(Group(kind="node", runtime="python3.11").as_host(), HOST)
    with pytest.raises(UserError, match="needs `setpriv`"):
        node.host(GROUP, replace(HOST, tools={}))
