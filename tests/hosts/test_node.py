"""The Node.js host with real workers."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.build import BuildRequest
from fourfold.build.kinds import node
from fourfold.spec.groups import Group
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact
from tests.build.helpers import Home, write
from tests.hosts.rig import Guest, RefusedError, Rig
from tests.support.wait import until

EXAMPLES = Path(__file__).parents[2] / "examples" / "webapps"
GROUP = Group(kind="node").as_host()


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="fourfold-node-"))
    yield Home(folder)
    trees.remove(folder)


@pytest.fixture(scope="module")
def program(home: Home) -> Artifact:
    empty = write(home.root / "empty", {})
    request = BuildRequest("shop", "apps", GROUP, home.send(empty), "group")
    artifact = asyncio.run(home.builder.build(request, home.lines.append))
    return artifact.located(artifact.tree)


@pytest.fixture
def rig(program: Artifact) -> Iterator[Rig]:
    with Rig(program.argv, "node", env={**program.env, "ALL": "see this", "ONLY": "the group"}) as made:
        yield made


SERVER = """
const http = require('http');
const children = require('child_process');
const { env, argv } = process;
http.createServer((request, response) => {
  if (request.url === '/throw') throw new TypeError('no such colour\\nas mauve');
  if (request.url === '/exit') { console.log('that is enough'); process.exit(3); }
  if (request.url === '/child') children.spawn('/bin/sleep', ['1000'], { stdio: 'ignore' }).unref();
  if (request.url === '/block') { console.log('blocking'); for (;;); }
  response.end(JSON.stringify({ env, argv: argv.slice(2), cwd: process.cwd(), pid: process.pid }));
}).listen(env.PORT, env.HOST);
if (argv.includes('stubborn')) process.on('SIGTERM', () => console.log('not yet'));
if (argv.includes('broken')) require('./missing.js');
"""


@pytest.fixture(scope="module")
def tree(home: Home) -> Path:
    return write(home.root / "tree", {"server.js": SERVER})


def test_each_guest_is_a_worker_of_its_own(rig: Rig, tree: Path) -> None:
    one = rig.start("one", tree, ["server.js", "a b"], {"ONLY": "one"}, run="1")
    two = rig.start("two", tree, ["/app/server.js"], {"PATH": "/bin"})
    seen = rig.get(one).json
    assert (seen["pid"], seen["cwd"], seen["argv"], seen["env"]["ONLY"]) == (one.pid, str(one.tree), ["a b"], "one")
    assert (seen["env"]["PORT"], seen["env"]["HOST"]) == (str(one.port), "127.0.0.1")
    other = rig.get(two).json
    assert other["pid"] == two.pid != one.pid and "FOURFOLD_HOST" not in other["env"]
    assert (other["env"]["ONLY"], seen["env"]["ALL"], other["env"]["ALL"]) == ("the group", "see this", "see this")
    listed = rig.list()
    assert listed == {
        "kind": "node",
        "pid": rig.process.pid,
        "guests": [{"guest": "one", "run": "1", "pid": one.pid}, {"guest": "two", "run": "1", "pid": two.pid}],
        "ended": [],
    }
    assert rig.start("one", tree, ["server.js"]).pid == one.pid, "asked again, it answers again"
    with pytest.raises(RefusedError, match="run 1 of it is still there"):
        rig.start("one", tree, ["server.js"], run="2")
    assert (rig.folder / "own/control.sock").stat().st_mode & 0o777 == 0o600
    rig.stop(one)
    assert rig.ended(one) == {
        "event": "ended", "guest": "one", "run": "1", "code": None, "signal": signal.SIGTERM, "said": "",
    }  # fmt: skip
    assert rig.refuses(one)
    assert rig.get(two).json["pid"] == two.pid, "the other one stays"
    again = rig.start("one", tree, ["server.js"], run="2")
    assert rig.get(again).json["pid"] == again.pid
    assert [end["run"] for end in rig.list()["ended"]] == ["1"]
    rig.forget(one)
    assert rig.list()["ended"] == []


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/exit", 3, ""),
        ("/throw", 1, "TypeError: no such colour (server.js:6:"),
    ],
)
def test_an_end_of_its_own_is_told_with_its_last_words(rig: Rig, tree: Path, path: str, code: int, said: str) -> None:
    guest = rig.start("one", tree, ["server.js"])
    with pytest.raises(OSError):
        rig.get(guest, path)
    ended = rig.ended(guest)
    assert (ended["code"], ended["signal"]) == (code, None)
    assert ended["said"].startswith(said) and bool(ended["said"]) == bool(said)
    assert rig.list()["ended"] == [ended], "kept until it is stored"


def test_a_start_that_fails_says_why(rig: Rig, tree: Path) -> None:
    ended = rig.ended(rig.start("one", tree, ["server.js", "broken"]))
    assert ended["code"] == 1
    assert ended["said"].startswith("Error: Cannot find module './missing.js' (server.js:13:")
    assert "MODULE_NOT_FOUND" in (rig.folder / "one.log").read_text(), "all of it is in its log"
    assert rig.ended(rig.start("two", tree, ["none.js"]))["said"].startswith("Error: Cannot find module '/")
    with pytest.raises(RefusedError, match="there is no /nowhere"):
        start_by_hand(rig, tree="/nowhere")
    with pytest.raises(RefusedError, match="`run` is not a number"):
        start_by_hand(rig, run=None)
    with pytest.raises(RefusedError, match="`argv` is not a list"):
        start_by_hand(rig, argv=[])
    with pytest.raises(RefusedError, match="cannot end run 1 of nobody"):
        rig.ask("stop", guest="nobody", run="1", grace=1)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("class Odd extends Error { get name() { return 'Odd'; } }\nthrow new Odd('colour')", "Odd: colour (x.js:2:"),
        ("Promise.reject(new RangeError('far'))", "RangeError: far (x.js:1:"),
        ("Promise.reject('a reason')", "UnhandledPromiseRejection: This"),
        ("throw 'a text'", "a text"),
        ("throw new Error('outer', { cause: new Error('inner') })", "Error: outer (x.js:1:"),
        ("let =", "SyntaxError: Unexpected end of input (x.js:1)"),
        ("console.error('Error: only told'); process.exitCode = 1", ""),
    ],
)
def test_errors_that_nobody_catches(rig: Rig, home: Home, script: str, said: str) -> None:
    (home.root / "script").mkdir(exist_ok=True)
    ended = rig.ended(rig.start("one", write(home.root / "script", {"x.js": script}), ["x.js"]))
    assert ended["said"].startswith(said) and bool(ended["said"]) == bool(said), ended


def start_by_hand(rig: Rig, **given: Any) -> None:
    log = f"{rig.folder}/x.log"
    usual: dict[str, Any] = {"tree": "/tmp", "argv": ["x.js"], "env": {}, "log": log, "host": None, "port": None}
    rig.ask("start", **{"guest": "x", "run": 1, "path": "/", "name": "x", **usual, **given})


def test_who_does_not_end_is_killed_with_all_that_it_started(rig: Rig, tree: Path) -> None:
    patient, slow = (rig.start(name, tree, ["server.js", "stubborn"]) for name in ("patient", "slow"))
    for guest in (patient, slow):
        rig.get(guest, "/child")
    rig.stop(slow, grace=0.2)
    assert rig.ended(slow)["signal"] == signal.SIGKILL
    rig.stop(patient, grace=1000)
    until(lambda: "not yet" in patient.said, what="the signal to arrive")
    rig.kill(patient)
    assert rig.ended(patient)["signal"] == signal.SIGKILL
    until(lambda: not members_of(patient.pid) and not members_of(slow.pid), what="their children to be gone")


def members_of(session: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_what_it_leaves_behind_is_killed_and_told(rig: Rig, tree: Path) -> None:
    guest = rig.start("one", tree, ["server.js"])
    rig.get(guest, "/child")
    rig.stop(guest)
    rig.ended(guest)
    assert rig.note(guest, "leak")["said"] == "it ended and left processes behind; they were killed"
    until(lambda: not members_of(guest.pid), what="its child to be gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(rig: Rig, tree: Path, number: int) -> None:
    guests = [rig.start(name, tree, ["server.js"]) for name in ("one", "two")]
    for guest in guests:
        rig.get(guest)
    if number == signal.SIGTERM:
        assert rig.terminate() == 0
    else:
        rig.process.kill()
        rig.process.wait()
    until(lambda: not any(members_of(guest.pid) for guest in guests), what="the workers to end")


def test_a_blocked_event_loop_is_seen_from_outside(rig: Rig, tree: Path) -> None:
    guest, free = rig.start("one", tree, ["server.js"]), rig.start("two", tree, ["server.js"])
    rig.get(guest)
    rig.get(free)
    assert rig.usage()["guests"]["one"] == {"busy": 0, "longest": 0}
    with socket.create_connection(("127.0.0.1", guest.port)) as first:
        first.sendall(b"GET /block HTTP/1.0\r\n\r\n")
        until(lambda: "blocking" in guest.said, what="it to block")
        with socket.create_connection(("127.0.0.1", guest.port)):
            until(lambda: rig.usage()["guests"]["one"]["longest"] > 0.1, what="a connection that waits")
            assert rig.usage()["guests"]["two"] == {"busy": 0, "longest": 0}
    rig.kill(guest)
    rig.ended(guest)


def test_a_connection_that_waits_for_long_is_told_once() -> None:
    script = """
        const { Waiting } = require(process.argv[1]);
        const waiting = new Waiting((guest, seconds) => console.log(guest, seconds));
        const ports = new Map([[Number(process.argv[2]), 'slow']]);
        for (const now of [100, 103, 106, 109]) waiting.look(ports, now);
        console.log(JSON.stringify(waiting.look(ports, 110)));
    """
    place = Path(node.__file__).parents[1] / "hosts/node/waiting.cjs"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x")
        told = subprocess.run(
            ["/usr/bin/node", "-e", script, place, str(server.getsockname()[1])], check=True, capture_output=True
        )
    assert told.stdout.decode().splitlines() == ["slow 6", '{"slow":{"busy":1,"longest":10}}']


def test_nonsense_on_the_socket_harms_nobody(rig: Rig, tree: Path) -> None:
    guest = rig.start("one", tree, ["server.js"])
    with connected(rig) as other:
        other.sendall(b'nonsense\n[1]\n{"id": 1, "do": "constructor"}\n{"id": 2, "do": ["start"]}\n\n')
        other.sendall(b'{"id": 3, ')
        other.sendall(b'"do": "list"}\n')
        answers = [json.loads(line) for line in read_lines(other, 5)]
        assert [answer["id"] for answer in answers] == [None, None, 1, 2, 3]
        assert "cannot do" in answers[2]["error"] and answers[4]["ok"]["kind"] == "node"
    with connected(rig) as flood, pytest.raises(OSError):
        for _ in range(1000):
            flood.sendall(b"x" * 100_000)
    many = [connected(rig) for _ in range(100)]
    for each in many:
        each.close()
    with connected(rig) as deaf:
        deaf.setblocking(False)
        with pytest.raises(OSError):
            for _ in range(10_000_000):
                deaf.send(b'{"id": 1, "do": "list"}\n')
    assert rig.get(guest).json["pid"] == guest.pid
    assert rig.list()["guests"]


def connected(rig: Rig) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(20)
    made.connect(str(rig.folder / "own/control.sock"))
    return made


def read_lines(connection: socket.socket, count: int) -> list[bytes]:
    with connection.makefile("rb") as lines:
        return [lines.readline() for _ in range(count)]


def test_the_examples_run_side_by_side(home: Home, program: Artifact) -> None:
    """An Express app from npm, and an ES module without dependencies."""
    shared = {"pattern": "shared", "shared": {"group": "node", "kind": "node"}, "port": 8080}
    built = {
        name: asyncio.run(home.build(EXAMPLES / name, name, **shared))  # type: ignore[arg-type]
        for name in ("quotes", "clock")
    }
    with Rig(program.argv, "node", env=program.env) as rig:
        guests: dict[str, Guest] = {
            name: rig.start(name, artifact.tree, artifact.argv, {**artifact.env, "ZONE": "Asia/Seoul"})
            for name, artifact in built.items()
        }
        assert len(rig.get(guests["quotes"], "/quotes").json["quotes"]) == 3
        assert rig.get(guests["quotes"], "/quotes/9").status == 404
        assert rig.get(guests["clock"]).json["zone"] == "Asia/Seoul"
        for guest in guests.values():
            rig.stop(guest)
            assert rig.ended(guest)["code"] == 0, "they end by themselves"
