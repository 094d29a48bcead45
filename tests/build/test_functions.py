"""Functions of each language: built, and called by their clients against a Runtime API."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.zip import Zipped, write_zip
from fourfold.errors import UserError
from fourfold.store.files.artifacts import Artifact
from tests.support.ports import free_port
from tests.support.runtimes import java

from .building import build
from .helpers import Home, write
from .runtime_api import RuntimeApi, Told, client, runtime_api

pytestmark = pytest.mark.e2e


def function(home: Home, source: Path, handler: str | None, **given: object) -> Artifact:
    block = {**({"handler": handler} if handler else {}), **dict(given.pop("function", {}))}  # type: ignore[call-overload]
    return build(home, source, "f", pattern="function", function=block, **given)


PYTHON = """
import os
import bottle
def handler(event, context):
    if event == "fail":
        raise ValueError("no")
    import lib
    return {"event": event, "id": context.aws_request_id, "bottle": bottle.__name__, "lib": lib.X}
"""


def test_a_python_handler_with_a_dependency_and_a_layer(home: Home, source: Path) -> None:
    write(source, {"app.py": PYTHON, "requirements.txt": "bottle\n", "shared/python/lib.py": "X = 'layer'"})
    made = function(home, source, "app.handler", function={"layers": ["shared"]})
    assert made.function is not None and made.function.kind == "python" and made.function.handler == "app.handler"
    assert made.function.layers == (".fourfold/layers/0",)
    assert any("awslambdaric==" in lock.text for lock in made.locks.values())
    with runtime_api() as api, client(made, api):
        answer = api.call([1])
        assert answer.json == {"event": [1], "id": "id-1", "bottle": "bottle", "lib": "layer"}
        failed = api.call("fail")
        assert failed.place == "invocation/id-2/error"
        assert failed.json["errorType"] == "ValueError" and failed.json["errorMessage"] == "no"
    home.lines.clear()
    write(source, {"app.py": PYTHON + "\n"})
    function(home, source, "app.handler", function={"layers": ["shared"]})
    assert home.lines == [], "an edit installs neither the dependencies nor the client again"


NODE = {
    "index.js": """
const uuid = require('is-odd');
exports.handler = async (event, context) => {
  if (event === 'fail') throw new TypeError('no');
  return { event, id: context.awsRequestId, left: context.getRemainingTimeInMillis() > 0, odd: uuid(3) };
};
exports.deep = { called: (event, context, callback) => setTimeout(() => callback(null, event.x + 1), 5) };
exports.nothing = () => 5;
exports.stream = awslambda.streamifyResponse(async (event, stream) => {
  const out = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
  out.write('one '); out.write('two'); out.end();
});
exports.hangs = () => { setTimeout(() => { throw new RangeError('late'); }, 1); return new Promise(() => {}); };
""",
    "package.json": '{"dependencies": {"is-odd": "3.0.1"}}',
    "esm/mod.mjs": "import fs from 'fs'; export const handler = async (event) => [event, typeof fs.statSync];",
}


def test_a_node_handler_in_all_its_forms(home: Home, source: Path) -> None:
    write(source, NODE)
    made = function(home, source, "index.handler")
    assert made.function is not None and made.function.kind == "nodejs"
    with runtime_api() as api, client(made, api):
        assert api.call([1]).json == {"event": [1], "id": "id-1", "left": True, "odd": True}
        failed = api.call("fail")
        assert failed.place == "invocation/id-2/error" and failed.json["errorType"] == "TypeError"
        assert failed.json["trace"][0] == "TypeError: no"
        big = "ü" * 200_000
        assert api.call(big).json["event"] == big
    for handler, event, place, answer in (
        ("index.deep.called", {"x": 1}, "invocation/id-1/response", 2),
        ("index.nothing", {}, "invocation/id-1/response", None),
        ("esm/mod.handler", 7, "invocation/id-1/response", [7, "function"]),
    ):
        with runtime_api() as api, client(made, api, _HANDLER=handler):
            told = api.call(event)
            assert (told.place, told.json) == (place, answer)
    with runtime_api() as api, client(made, api, _HANDLER="index.stream"):
        told = api.call({})
        assert told.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
        assert told.body == b'{"statusCode":201}' + bytes(8) + b"one two"
    for handler, kind in (("index.missing", "Runtime.HandlerNotFound"), ("nowhere.x", "Runtime.ImportModuleError")):
        with runtime_api() as api, client(made, api, _HANDLER=handler):
            told = api.told.get(timeout=60)
            assert (told.place, told.json["errorType"]) == ("init/error", kind)
    with runtime_api() as api, client(made, api, _HANDLER="index.hangs") as process:
        assert api.call({}).json["errorType"] == "Runtime.UncaughtException"
        assert process.wait(60) == 128


JAVA = """
package shop;
import java.io.*;
import java.util.*;
public class Orders {
    public static class Order { private String id; public int count; public List<Line> lines;
        public String getId() { return id; } public void setId(String id) { this.id = id; } }
    public record Line(String name, double price) {}
    public Map<String, Object> place(Order order) {
        if (order.count < 0) throw new IllegalArgumentException("count");
        double sum = 0;
        for (Line line : order.lines) sum += line.price() * order.count;
        return Map.of("id", order.getId(), "sum", sum, "first", order.lines.get(0));
    }
    public int length(String text) { return text.length(); }
    public List<Integer> twice(List<Integer> numbers) {
        List<Integer> all = new ArrayList<>(numbers); all.addAll(numbers); return all; }
    public static void copy(InputStream in, OutputStream out) throws IOException { in.transferTo(out); }
}
"""


def jar(folder: Path, text: str = JAVA, name: str = "orders.jar") -> None:
    place = folder.parent / "java"
    write(place, {"shop/Orders.java": text})
    subprocess.run(["javac", "--release", "17", "-d", place / "out", place / "shop/Orders.java"], check=True)
    folder.mkdir(exist_ok=True)
    subprocess.run(["jar", "--create", "--file", folder / name, "-C", place / "out", "."], check=True)


def test_a_java_handler_in_all_its_forms(home: Home, source: Path) -> None:
    jar(source)
    made = function(home, source, "shop.Orders::place", runtime=java())
    assert made.function is not None and made.function.kind == "java"
    assert (made.tree / ".fourfold/runtime/classes.jsa").is_file(), "the archive of classes was made"
    assert list(zipped(made)[1]) == ["lib/orders.jar"]
    with runtime_api() as api, client(made, api):
        order = {"ID": "a", "count": 2, "lines": [{"name": "tea", "price": 1.5}], "more": None}
        assert api.call(order).json == {"id": "a", "sum": 3.0, "first": {"name": "tea", "price": 1.5}}
        failed = api.call({**order, "count": -1}).json
        assert failed["errorType"] == "java.lang.IllegalArgumentException" and failed["errorMessage"] == "count"
        assert failed["stackTrace"][0].startswith("shop.Orders.place")
    for name, event, answer in (
        ("length", "four", 4),
        ("twice", [1, 2], [1, 2, 1, 2]),
        ("copy", {"a": [None]}, {"a": [None]}),
    ):
        with runtime_api() as api, client(made, api, _HANDLER=f"shop.Orders::{name}"):
            assert api.call(event).json == answer
    with runtime_api() as api, client(made, api, _HANDLER="shop.Orders::nothing"):
        assert api.told.get(timeout=60).json["errorType"] == "java.lang.NoSuchMethodException"


def test_a_bootstrap_and_a_zip(home: Home, source: Path, tmp_path: Path) -> None:
    script = "#!/bin/sh\nexec /usr/bin/python3 -c \"\nimport os, urllib.request as r\nbase = 'http://' + os.environ["
    script += "'AWS_LAMBDA_RUNTIME_API'] + '/2018-06-01/runtime/invocation/'\nn = r.urlopen(base + 'next')\n"
    script += "r.urlopen(base + n.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', data=n.read()).read()\""
    source.mkdir()
    with zipfile.ZipFile(source / "f.zip", "w") as made_zip:
        made_zip.writestr("bootstrap", script)
    made = function(home, source / "f.zip", "any", runtime="provided")
    assert made.function is not None
    assert (made.function.kind, made.function.argv) == ("provided", ("/var/task/bootstrap",))
    with runtime_api() as api, client(made, api):
        assert api.call({"x": 1}).json == {"x": 1}
    with zipfile.ZipFile(source / "layer.zip", "w") as layer:
        layer.writestr("python/shared.py", "X = 1")
    write(source, {"app.py": ""})
    tree = function(home, source, "app.handler", function={"layers": ["layer.zip"]}).tree
    assert (tree / ".fourfold/layers/0/python/shared.py").is_file(), "its one folder stays"
    assert not (tree / "layer.zip").exists()


WEB = """
import http.server, json, os
calls = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        global calls
        calls += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 500 if body == b'"bad"' else 200
        data = json.dumps([self.command, self.path, body.decode(), self.headers.get("Cookie")]).encode()
        kind = "application/json"
        if self.path == "/binary":
            data, kind = bytes(range(256)), "image/png"
        if self.path.startswith("/length/"):
            data = b"x" * int(self.path[8:])
        if self.path.startswith("/status/"):
            status, data = int(self.path[8:]), b""
        if self.path == "/calls":
            data = str(calls).encode()
        if self.path == "/exit":
            os._exit(4)
        if self.path == "/hang-up":
            return self.connection.shutdown(2)
        if self.path in ("/events-stream", "/broken-stream"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\\r\\none\\r\\n")
            self.wfile.write(b"3\\r\\ntwo\\r\\n" + b"0\\r\\n\\r\\n" * (self.path == "/events-stream"))
            self.close_connection = self.path == "/broken-stream"
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
    do_GET = do_PUT = do_HEAD = do_POST
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_web_service_behind_the_adapter(home: Home, source: Path) -> None:
    write(source, {"app.py": WEB})
    made = function(home, source, None, port=free_port())
    assert made.function is not None and made.function.kind == "provided"
    v2: dict[str, Any] = {
        "version": "2.0",
        "rawPath": "/a%20b",
        "rawQueryString": "q=1",
        "cookies": ["x=1", "y=2"],
        "headers": {"host": "h"},
    }
    v2.update({"requestContext": {"http": {"method": "GET"}}, "isBase64Encoded": False})
    v1: dict[str, Any] = {
        "httpMethod": "POST",
        "path": "/p q",
        "headers": {"Host": "h"},
        "multiValueQueryStringParameters": {"a": ["1", "2"]},
    }
    v1.update({"requestContext": {}, "body": "aGk=", "isBase64Encoded": True})
    with runtime_api() as api, client(made, api):
        answer = api.call(v2).json
        assert json.loads(answer["body"]) == ["GET", "/a%20b?q=1", "", "x=1; y=2"]
        assert answer["statusCode"] == 200 and answer["cookies"] == ["a=1", "b=2"]
        answer = api.call(v1).json
        assert json.loads(answer["body"]) == ["POST", "/p%20q?a=1&a=2", "hi", None]
        assert answer["multiValueHeaders"]["Set-Cookie"] == ["a=1", "b=2"]
        assert api.call(v2 | {"rawPath": "/binary", "rawQueryString": ""}).json["isBase64Encoded"] is True
        assert api.call({"Records": []}).json == ["POST", "/events", '{"Records": []}', None]
        assert api.call("bad").place.endswith("/error")
        odd: dict[str, Any] = {"rawPath": None, "headers": None, "requestContext": {"http": {}}}
        assert json.loads(api.call(odd).json[2]) == odd, "it only looks like a request"
        for wrong in ({"headers": {"x": "a\r\nb: c"}}, {"rawPath": "/ HTTP/1.1\r\nx: y"}):
            assert api.call(v2 | wrong).place.endswith("/error"), "nothing of an event makes two headers of one"
        check_odd_answers(api, v2)
    made = function(home, source, None, port=free_port(), run="echo gone; exit 3")
    with runtime_api() as api, client(made, api):
        told = api.told.get(timeout=60)
        assert told.place == "init/error" and "exit status 3" in told.json["errorMessage"]


def check_odd_answers(api: RuntimeApi, event: dict[str, Any]) -> None:
    def ask(path: str, method: str = "GET", **more: Any) -> Told:
        given = event | {"rawPath": path, "rawQueryString": "", "requestContext": {"http": {"method": method}}}
        return api.call(given | more)

    for status in (204, 304):
        answer = ask(f"/status/{status}").json
        assert (answer["statusCode"], answer["body"]) == (status, "")
    answer = ask("/length/5", "HEAD").json
    assert (answer["body"], answer["headers"]["content-length"]) == ("", "5")
    half = 3_000_000
    assert ask(f"/length/{half}").json["body"] == "x" * half
    assert json.loads(ask("/p", "POST", body="y" * half).json["body"])[2] == "y" * half
    assert ask("/length/7000000").json["errorType"] == "Function.ResponseSizeTooLarge"
    assert ask("/events-stream").json["body"] == "onetwo", "whoever takes no stream gets it as a whole"
    asked = int(ask("/calls").json["body"])
    assert ask("/hang-up", "POST").place.endswith("/error")
    assert int(ask("/calls").json["body"]) == asked + 2, "what changes something is not asked twice"
    api.streams = True
    told = ask("/events-stream")
    head, _, body = told.body.partition(bytes(8))
    assert json.loads(head)["headers"]["Content-Type"] == "text/event-stream" and body == b"onetwo"
    assert told.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
    assert len(ask("/length/9000000").body) > 9_000_000
    broken = ask("/broken-stream")
    assert broken.headers["Lambda-Runtime-Function-Error-Type"] == "ServiceError"
    assert api.told.get(timeout=60).place.endswith("/error")
    gone = ask("/exit").json
    assert gone["errorType"] == "Runtime.ExitError" and gone["errorMessage"].endswith("exit status 4")


def zipped(artifact: Artifact) -> tuple[Zipped, dict[str, int]]:
    """What is in its zip, with its modes."""
    file = io.BytesIO()
    made = write_zip(artifact, file)
    with zipfile.ZipFile(file) as opened:
        return made, {info.filename: info.external_attr >> 16 & 0o777 for info in opened.infolist()}


def test_the_zip_for_aws(home: Home, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        source, {"app.py": PYTHON, "requirements.txt": "bottle==0.13.2\n", "run.sh": "#!/bin/sh\n", "lib.py": "X = 1"}
    )
    (source / "run.sh").chmod(0o755)
    made, names = zipped(function(home, source, "app.handler"))
    assert names["app.py"] == 0o644 and names["run.sh"] == 0o755 and "bottle.py" in names
    assert not [name for name in names if name.startswith((".fourfold", ".venv")) or "__pycache__" in name]
    assert list(names) == sorted(names)
    other = Home(tmp_path / "home")
    assert zipped(function(other, source, "app.handler"))[0] == made, "another host, another time: the same bytes"
    with zipfile.ZipFile(tmp_path / "again.zip", "w") as again:
        again.writestr("app.py", "def handler(event, context): return 5")
    with runtime_api() as api, client(function(home, tmp_path / "again.zip", "app.handler"), api):
        assert api.call({}).json == 5
    stored = made.size
    monkeypatch.setattr("fourfold.build.zip.MAX_ZIP", stored)
    artifact = function(home, source, "app.handler")
    assert zipped(artifact)[0] == made, "it just fits as it is"
    monkeypatch.setattr("fourfold.build.zip.MAX_ZIP", stored - 1)
    assert zipped(artifact)[0].size < stored, "compressed where it would be too large"
    monkeypatch.setattr("fourfold.build.zip.MAX_ZIP", 100)
    with pytest.raises(UserError, match="Zipped size must be smaller than 100 bytes"):
        zipped(artifact)
    monkeypatch.undo()
    write(source, {"web.py": WEB})
    with pytest.raises(UserError, match="no handler"):
        zipped(function(home, source, None, port=80, run="python web.py"))


def test_limits_and_hostile_zips(home: Home, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(source, {"app.py": "def handler(e, c): return e", "data": "x" * 5000})
    monkeypatch.setattr("fourfold.build.function.MAX_UNZIPPED", 4000)
    with pytest.raises(UserError, match="Unzipped size must be smaller than 4000 bytes"):
        function(home, source, "app.handler")
    monkeypatch.setattr("fourfold.build.function.MAX_ZIP", 100)
    for name in ("../out.py", "/etc/x"):
        place = source.parent / "bad.zip"
        with zipfile.ZipFile(place, "w") as bad:
            bad.writestr(name, "x")
        monkeypatch.setattr("fourfold.build.function.MAX_ZIP", 10_000)
        with pytest.raises(UserError, match="cannot"):
            function(home, place, "app.handler")
        monkeypatch.setattr("fourfold.build.function.MAX_ZIP", 100)
        with pytest.raises(UserError, match="Zipped size must be smaller than 100 bytes"):
            function(home, place, "app.handler")


@pytest.mark.parametrize(
    ("files", "given", "why"),
    [
        ({"a.txt": ""}, {"function": {"handler": "app.handler"}}, "no file of that name"),
        ({"app.py": ""}, {"function": {"handler": "app.handler"}, "runtime": "python3.4"}, "cannot use python3.4"),
        ({"app.py": ""}, {"function": {"handler": "app.h", "layers": ["lib"]}}, "no such folder or zip"),
        ({"app.py": ""}, {"runtime": "provided"}, "cannot find `bootstrap`"),
    ],
)
def test_what_cannot_be_a_function(
    home: Home, source: Path, files: dict[str, str], given: dict[str, Any], why: str
) -> None:
    write(source, files)
    with pytest.raises(UserError, match=why):
        build(home, source, "f", pattern="function", **given)
