"""The Python host, told what a supervisor would tell it: mounted and forked, with apps that do what apps do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.build import BuildRequest
from fourfold.spec.groups import Group
from fourfold.spec.model import Service
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact
from tests.build.helpers import Home, write
from tests.hosts.apps import SITE, alone, asynchronous, installed, is_zombie, plain
from tests.hosts.rig import RefusedError, Rig
from tests.hosts.semantics import FILES
from tests.support.wait import until

pytestmark = pytest.mark.e2e
APP = ("app:app", "/app")
PACKED = (*APP, f"/app/{SITE}")


@dataclass
class Builds:
    home: Home

    def group(self) -> Artifact:
        source = write(self.home.root / "empty", {})
        spec = Group(kind="python").as_host()
        return asyncio.run(
            self.home.builder.build(BuildRequest("shop", "py", spec, self.home.send(source), "group"), print)
        )

    def member(self, name: str, source: Path, pattern: str = "shared", **spec: Any) -> Artifact:
        service = Service.model_validate({"pattern": pattern, "port": 8000, **spec})
        told = service.model_copy(update={"shared": service.shared.model_copy(update={"kind": "python"})})
        return asyncio.run(
            self.home.builder.build(BuildRequest("shop", name, told, self.home.send(source), pattern), print)
        )


@pytest.fixture(scope="module")
def builds() -> Iterator[Builds]:
    folder = Path(tempfile.mkdtemp(prefix="fourfold-build-"))
    yield Builds(Home(folder))
    trees.remove(folder)


@pytest.fixture(scope="module")
def program(builds: Builds) -> Artifact:
    found = builds.group()
    return found.located(found.tree)


@pytest.fixture
def mounted(program: Artifact) -> Iterator[Rig]:
    with Rig(program.argv, "python", env=program.env) as rig:
        yield rig


def test_two_members_with_modules_of_the_same_names_and_two_releases_of_one(mounted: Rig, tmp_path: Path) -> None:
    orders = mounted.start("orders", plain(tmp_path, "orders"), APP, {"WHO": "me"})
    stock = mounted.start("stock", plain(tmp_path, "stock"), APP, {"WHO": "you"})
    newer = mounted.start("orders-2", plain(tmp_path, "orders", "2"), APP)
    told = [mounted.get(each).json for each in (orders, stock, newer)]
    assert [(each["name"], each["version"], each["who"]) for each in told] == [
        ("orders", "1", "me"),
        ("stock", "1", "you"),
        ("orders", "2", None),
    ]
    assert [each["cwd"] for each in told] == [str(each.tree) for each in (orders, stock, newer)]
    assert len({each["pid"] for each in told}) == 1
    assert mounted.get(stock, "/boom").status == 500
    assert until(lambda: "a bad request" in stock.said) and "asked for /" in stock.said
    assert "bad request" not in orders.said + mounted.output.read_text()
    mounted.stop(orders)
    assert mounted.ended(orders) == {
        "event": "ended", "guest": "orders", "run": "1", "code": None, "signal": None, "said": ""
    }  # fmt: skip
    assert mounted.refuses(orders)
    left = mounted.get(newer).json
    assert left["version"] == "2" and told[0]["module"] not in left["modules"]
    usage = mounted.usage()["guests"]
    assert (usage["stock"]["requests"], usage["stock"]["errors"], usage["orders-2"]["requests"]) == (2, 1, 2)
    assert mounted.terminate() == 0


@pytest.mark.parametrize("mode", ["mounted", "forked"])
def test_its_own_modules_are_what_they_are_in_a_process(program: Artifact, tmp_path: Path, mode: str) -> None:
    with Rig(program.argv, "python", mode=mode, env=program.env) as rig:
        quiet = rig.start("quiet", plain(tmp_path, "quiet"), APP)
        guest = rig.start("all", write(tmp_path / "all", FILES), PACKED, {"WHO": "me", "PYTHONPATH": "/app/third"})
        rig.get(quiet)
        failed = rig.get(guest).json
        if mode == "forked":  # one for all, as in any process: the standard library's if the server has imported it
            assert len({"its own calendar", "others' calendar"} & failed.keys()) == 1
            failed = {name: why for name, why in failed.items() if "calendar" not in name}
        assert failed == {}
        said = guest.said
        assert "from a child" in said and "mine shop a debug line" in said and "mine asyncio of a library" in said
        rig.stop(guest)
        rig.ended(guest)
        assert guest.said.endswith("at its end\n")
        assert "mine" not in quiet.said + rig.output.read_text()


def test_requests_in_progress_are_answered_before_it_ends(mounted: Rig, tmp_path: Path) -> None:
    guest = mounted.start("orders", plain(tmp_path, "orders"), APP)
    mounted.get(guest)
    answers: list[int] = []
    go = tmp_path / "go"
    asking = threading.Thread(target=lambda: answers.append(mounted.get(guest, f"/wait?{go}").status))
    asking.start()
    until(lambda: mounted.usage()["guests"]["orders"]["longest"] > 0.1)
    mounted.stop(guest)
    until(lambda: mounted.refuses(guest))
    go.touch()
    asking.join()
    assert answers == [200] and mounted.ended(guest)["said"] == ""


def test_whose_cpu_it_was_is_measured(mounted: Rig, tmp_path: Path) -> None:
    busy = mounted.start("busy", plain(tmp_path, "busy"), APP)
    idle = mounted.start("idle", plain(tmp_path, "idle"), APP)
    for guest in (busy, idle):
        mounted.get(guest)
    before = mounted.usage()["guests"]
    mounted.get(busy, "/spin?0.5")
    after = mounted.usage()["guests"]
    grown = {name: after[name]["cpu_seconds"] - before[name]["cpu_seconds"] for name in ("busy", "idle")}
    assert grown["busy"] >= 0.5 and grown["idle"] < 0.3


def test_why_a_start_failed_is_told_in_the_words_of_the_program(mounted: Rig, tmp_path: Path) -> None:
    def said(name: str, tree: Path, *argv: str, port: int | None = None) -> str:
        told: str = mounted.ended(mounted.start(name, tree, argv or APP, port=port))["said"]
        return told

    broken = plain(tmp_path, "broken", **{"tools.py": "", "other.py": "import absent_module"})
    assert said("absent", broken, "other:app", "/app") == "ModuleNotFoundError: No module named 'absent_module'"
    assert "other.py" in (mounted.folder / "absent.log").read_text()
    assert "fourfold_host" not in (mounted.folder / "absent.log").read_text()
    assert said("nowhere", broken, "nothing:app", "/app") == "ModuleNotFoundError: No module named 'nothing'"
    assert said("unnamed", broken, "app:main", "/app") == "LoadError: cannot find the app app:main: app has no 'main'"
    assert said("failing", asynchronous(tmp_path, fails=True)) == "no database"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert "Address already in use" in said("taken", broken, *APP, port=taken.getsockname()[1])
    django = write(tmp_path / "django", {"app.py": "", **installed("Django", "5.1", {"django/__init__.py": ""})})
    assert "use `mode: forked` in the group" in said("django", django, *PACKED)
    assert [each["guest"] for each in mounted.list()["ended"]][:2] == ["absent", "nowhere"]
    assert mounted.list()["guests"] == []


def test_a_lifespan_is_gone_through(mounted: Rig, tmp_path: Path) -> None:
    guest = mounted.start("async", asynchronous(tmp_path), APP)
    assert mounted.get(guest).text == "async" and guest.said == "up\n"
    mounted.stop(guest)
    mounted.ended(guest)
    assert guest.said == "up\ndown\n"


def test_whoever_blocks_spins_or_leaks_is_named_and_the_others_go_on(mounted: Rig, tmp_path: Path) -> None:
    guest = mounted.start("spins", asynchronous(tmp_path), APP)
    other = mounted.start("other", plain(tmp_path, "other"), APP)
    mounted.get(guest)
    asking = threading.Thread(target=_ask_in_vain, args=(guest.port, "/spin"), daemon=True)
    asking.start()
    assert mounted.note(guest, "stuck")["said"].startswith("its event loop has not run for 5 s: app.py:1")
    assert mounted.get(other).status == 200
    mounted.kill(guest)
    mounted.ended(guest)
    assert mounted.refuses(guest)
    mounted.get(other, "/thread")
    mounted.stop(other)
    mounted.ended(other)
    assert mounted.note(other, "leak")["said"] == "1 of its threads run on (sleeper)"
    assert not [event for event in mounted.events if event["guest"] == "spins" and event.get("kind") == "leak"]


def test_what_a_member_forks_holds_nothing_of_others_and_ends_when_it_is_told_to(mounted: Rig, tmp_path: Path) -> None:
    forks = mounted.start("forks", plain(tmp_path, "forks"), APP)
    other = mounted.start("other", plain(tmp_path, "other"), APP)
    mounted.get(other)
    with socket.create_connection(("127.0.0.1", other.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(1)
        child = mounted.get(forks, "/fork").json["version"]
        mounted.stop(other)
        mounted.ended(other)
        assert mounted.refuses(other)
        connection.settimeout(20)
        while connection.recv(65536):
            pass
    os.kill(child, signal.SIGTERM)
    until(lambda: is_zombie(child), what="the child to end")
    assert mounted.get(forks).status == 200


def test_nothing_is_kept_of_those_that_have_ended(mounted: Rig, tmp_path: Path) -> None:
    kept = "import json, linecache, sys\nimport pages.page\ndef app(environ, start):\n"
    kept += "    if environ['PATH_INFO'] == '/boom': raise ValueError()\n    start('200 OK', [])\n"
    kept += "    return [json.dumps([*sys.path_importer_cache, *linecache.cache]).encode()]\n"
    tree = write(tmp_path / "kept", {"app.py": kept, "pages/__init__.py": "", "pages/page.py": ""})
    watching, ended = (mounted.start(name, tree, APP) for name in ("watching", "ended"))
    assert mounted.get(ended, "/boom").status == 500
    of_it = {str(ended.tree), f"{ended.tree}/pages", f"{ended.tree}/app.py"}
    assert of_it <= set(mounted.get(watching).json)
    mounted.stop(ended)
    mounted.ended(ended)
    until(lambda: not of_it & set(mounted.get(watching).json), what="it to be forgotten")
    assert f"{watching.tree}/pages" in mounted.get(watching).json


def _ask_in_vain(port: int, path: str) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        connection.recv(1)


def test_dependencies_are_shared_where_they_are_the_same(mounted: Rig, tmp_path: Path) -> None:
    uses = "import lib, deep\nVERSION = lib.V + deep.V + ' ' + lib.__name__ + ' ' + deep.__name__\n"

    def member(name: str, lib: str, deep: str, more: dict[str, str] | None = None) -> Path:
        files = {
            **installed("lib", lib, {"lib.py": f"V = {lib!r}\n", "lib_late.py": "L = 1\n"}),
            **installed("deep", deep, {"deep/__init__.py": f"import lib\nV = {deep!r} + lib.V\n"}, requires="lib>=1"),
        }
        tree = plain(tmp_path, name, **{"uses.py": uses, **files, **(more or {})})
        text = (tree / "app.py").read_text().replace('VERSION = "1"', "from uses import VERSION")
        (tree / "app.py").write_text(text.replace("print(", "import lib_late; print("))
        return tree

    first = mounted.start("first", member("first", "1", "1"), PACKED)
    assert mounted.get(first).json["version"] == "111 lib deep"
    same = mounted.start("same", member("same", "1", "1"), PACKED)
    mounted.stop(first)
    mounted.ended(first)
    trees.remove(first.tree)
    assert mounted.get(same).json["version"] == "111 lib deep", "what is shared outlives who brought it"
    newer = mounted.start("newer", member("newer", "2", "1"), PACKED)
    version = mounted.get(newer).json["version"]
    assert version.split()[0] == "212" and ".lib guest" in version, "and what needs it is its own as well"
    speed = installed("speed", "1", {f"speed{EXTENSION_SUFFIXES[0]}": ""}, requires="lib")
    refused = mounted.start("compiled", member("compiled", "2", "1", speed), PACKED)
    assert mounted.ended(refused)["said"] == (
        "cannot mount compiled: it has lib 2, which speed needs, and this process has lib 1, which first brought; "
        "speed is compiled, and a process can have one of it: use the same version, or `mode: forked` in the group"
    )
    path = member("first-2", "2", "1", speed)
    again = mounted.start("first-2", path, PACKED, service="first")
    assert "move it out (`fourfold deploy first --as process`), restart the group" in mounted.ended(again)["said"]


@pytest.mark.parametrize("mode", ["mounted", "forked"])
def test_members_packages_come_before_those_of_the_interpreter(program: Artifact, tmp_path: Path, mode: str) -> None:
    own = tmp_path / "python"
    subprocess.run([program.argv[0], "-m", "venv", "--without-pip", own], check=True)
    write(own / SITE.removeprefix(".venv/"), {"lib.py": "V = 'the interpreter'\n", "more.py": "V = 'more'\n"})
    app = "import lib, more\ndef app(environ, start):\n    start('200 OK', [])\n"
    app += "    return [f'{lib.V}, {more.V}'.encode()]\n"
    tree = write(tmp_path / "member", {"app.py": app, **installed("lib", "1", {"lib.py": "V = 'the member'\n"})})
    with Rig((str(own / "bin/python"), *program.argv[1:]), "python", mode=mode, env=program.env) as rig:
        assert rig.get(rig.start("member", tree, PACKED)).text == "the member, more"


def test_an_app_that_is_an_installed_package_is_each_members_own(mounted: Rig, tmp_path: Path) -> None:
    text = (plain(tmp_path, "made") / "app.py").read_text()
    files = {"served/__init__.py": text.replace("from tools import NAME", "NAME = __name__")}
    tree = write(tmp_path / "tree", {"requirements.txt": "served", **installed("served", "1", files)})
    one, two = (
        mounted.start(name, tree, ("served:app", "/app", f"/app/{SITE}"), {"WHO": name}) for name in ("one", "two")
    )
    told = [mounted.get(each).json for each in (one, two)]
    assert [each["who"] for each in told] == ["one", "two"]
    assert told[0]["module"] != told[1]["module"]


def test_requests_of_the_control_socket_that_cannot_be_done(mounted: Rig, tmp_path: Path) -> None:
    guest = mounted.start("orders", plain(tmp_path, "orders"), APP)
    again = mounted.start("orders", plain(tmp_path, "orders"), APP)
    assert again.pid == guest.pid
    with pytest.raises(RefusedError, match="another run of it is still there"):
        mounted.start("orders", guest.tree, APP, run="2")
    with pytest.raises(RefusedError, match="it is not there"):
        mounted.ask("stop", guest="orders", run="7", grace=1)
    with pytest.raises(RefusedError, match="cannot do 'dance'"):
        mounted.ask("dance")
    with pytest.raises(RefusedError, match="KeyError: 'guest'"):
        mounted.ask("start")
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(mounted.folder / "own/control.sock"))
        rude.sendall(b"nonsense\n\xff\n[]\n")
        answers = rude.makefile().readline()
        assert json.loads(answers)["error"].startswith("cannot do that: JSONDecodeError")
    mounted.get(guest)
    mounted.stop(guest)
    mounted.ended(guest)
    assert [each["guest"] for each in mounted.list()["ended"]] == ["orders"]
    mounted.forget(guest)
    assert mounted.list()["ended"] == []


def test_forked_members_have_processes_that_share_what_was_preloaded(program: Artifact, tmp_path: Path) -> None:
    library = installed("big", "1", {"big.py": "import os\nDATA = os.getpid()\n"})
    other = installed("big", "2", {"big.py": "DATA = 0\n"})
    uses = {"extra.py": "import big, os\n"}

    def member(name: str, packages: dict[str, str]) -> Path:
        tree = plain(tmp_path, name, **{**uses, **packages})
        text = (tree / "app.py").read_text()
        (tree / "app.py").write_text(text.replace('VERSION = "1"', "import big\nVERSION = big.DATA"))
        return tree

    with Rig(program.argv, "python", mode="forked", preload=["big"], env=program.env) as rig:
        first = rig.start("first", member("first", library), PACKED, {"WHO": "me"})
        second = rig.start("second", member("second", library), PACKED)
        apart = rig.start("apart", member("apart", other), PACKED, {"WHO": "you"})
        told = [rig.get(each).json for each in (first, second, apart)]
        assert [each["version"] for each in told] == [rig.process.pid, rig.process.pid, 0]
        assert [each["pid"] for each in told] == [first.pid, second.pid, apart.pid]
        assert [each["who"] for each in told] == ["me", None, "you"]
        assert [each["module"] for each in told] == ["app"] * 3
        assert "shares nothing with the group: big 1 is preloaded, and it has 2" in apart.said
        assert "asked for /" in first.said and told[0]["cwd"] == str(first.tree)
        child = rig.get(second, "/fork").json["version"]
        os.kill(child, signal.SIGTERM)
        until(lambda: is_zombie(child), what="TERM to end a child of a worker")
        child = rig.get(first, "/fork").json["version"]
        _ask_in_vain(first.port, "/exit")
        assert (rig.ended(first)["code"], rig.ended(first)["signal"]) == (3, None)
        assert rig.note(first, "leak")["said"] == "it ended and left processes behind; they were killed"
        until(lambda: not Path(f"/proc/{child}").exists() or is_zombie(child), what="what it left to be killed")
        rig.kill(second)
        assert (rig.ended(second)["code"], rig.ended(second)["signal"]) == (None, signal.SIGKILL)
        broken = rig.start("broken", write(tmp_path / "broken", {"app.py": "import absent"}), APP)
        assert (rig.ended(broken)["code"], rig.ended(broken)["said"]) == (
            1, "ModuleNotFoundError: No module named 'absent'"
        )  # fmt: skip
        rig.process.kill()
        rig.process.wait()
        until(lambda: not Path(f"/proc/{apart.pid}").exists() or is_zombie(apart.pid), what="the worker to die too")


def test_forked_members_have_random_numbers_of_their_own(program: Artifact, tmp_path: Path) -> None:
    numbers = "import os\ndef seed():\n    global state\n    state = os.urandom(8).hex()\nseed()\n"
    library = installed("numpy", "1", {"numpy/__init__.py": "from . import random\n", "numpy/random.py": numbers})
    app = "import json, numpy\ndef app(environ, start):\n    start('200 OK', [])\n"
    app += "    return [json.dumps([numpy.random.state, numpy.__file__]).encode()]\n"
    tree = write(tmp_path / "app", {"app.py": app, **library})
    with Rig(program.argv, "python", mode="forked", preload=["numpy"], env=program.env) as rig:
        told = [rig.get(rig.start(name, tree, PACKED)).json for name in ("first", "second")]
        assert told[0][0] != told[1][0]
        assert {each[1] for each in told} == {f"{rig.folder}/own/packages/numpy/__init__.py"}


def test_real_frameworks_side_by_side_and_the_same_app_alone(builds: Builds, mounted: Rig, tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples/webapps"
    flask = builds.member("reviews", examples / "reviews", run="gunicorn -w 2 app:app")
    fast = builds.member("search", examples / "search", shared={"group": "py", "app": "app:app"})
    reviews = mounted.start("reviews", flask.tree, flask.argv, flask.env)
    search = mounted.start("search", fast.tree, fast.argv, fast.env)
    mounted.get(
        reviews,
        "/reviews/tea",
        method="POST",
        body=b"stars=5&text=fine",
        **{"content-type": "application/x-www-form-urlencoded"},
    )
    assert mounted.get(reviews, "/reviews/tea").json == {"product": "tea", "stars": 5.0, "reviews": ["fine"]}
    assert mounted.get(search, "/search?q=tea").json["found"] == [{"name": "green tea", "price": 4.5}]
    newer = mounted.start("search-2", fast.tree, fast.argv, fast.env)
    mounted.get(newer, "/search?q=tea")
    for guest in (search, reviews, newer):
        mounted.stop(guest)
        mounted.ended(guest)
    process = builds.member("search", examples / "search", "process", shared={"app": "app:app"})
    assert alone(process.located(process.tree), "/search?q=cup") == {"found": [{"name": "cup", "price": 9.9}]}
    assert [event for event in mounted.events if event.get("kind") == "leak"] == []
    assert (mounted.folder / "own/packages/flask").is_dir()
