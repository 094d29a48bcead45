"""The Tomcat host program, built as a group is, with web applications built as members are."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.build import BuildRequest
from fourfold.errors import WorldError
from fourfold.spec.groups import GROUP, Group
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact
from tests.build.helpers import Home
from tests.support.ports import free_port
from tests.support.wait import until

from .rig import Guest, RefusedError, Rig

PROBE = Path(__file__).parent / "webapps/probe"
BUILD = "javac -d webapp/WEB-INF/classes src/probe/*.java && jar --create --file probe.war -C webapp ."
MIGRATION = "/usr/share/tomcat-jakartaee-migration/lib/*"


@dataclass(frozen=True)
class Made:
    home: Home
    group: Artifact
    probe: Artifact

    def build(self, source: Path, **spec: Any) -> Artifact:
        return asyncio.run(self.home.build(source, **spec))

    def member(self, source: Path, **spec: Any) -> Artifact:
        shared = {"group": "webapps", "kind": "tomcat"}
        return self.build(source, pattern="shared", shared=shared, port=8080, **spec)


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    folder = Path(tempfile.mkdtemp(prefix="fourfold-tomcat-"))
    home = Home(folder)
    empty = folder / "empty"
    empty.mkdir()
    spec = Group(kind="tomcat").as_host()
    request = BuildRequest("shop", "webapps", spec, home.send(empty), GROUP)
    group = asyncio.run(home.builder.build(request, home.lines.append))
    made = Made(home, group.located(group.tree), group)
    yield Made(home, made.group, made.member(PROBE, build=BUILD))
    trees.remove(folder)


@pytest.fixture(scope="module")
def rig(made: Made) -> Iterator[Rig]:
    with Rig(made.group.argv, "tomcat", env=made.group.env) as rig:
        yield rig


def start(rig: Rig, made: Made, name: str, path: str = "/", **env: str) -> Guest:
    return rig.start(name, made.probe.tree, made.probe.argv, env, path=path)


def do(rig: Rig, guest: Guest, what: str, value: str = "", path: str = "") -> str:
    return rig.get(guest, f"{path}/do/{what}?value={value}").text


def test_each_has_its_settings_log_and_path(made: Made, rig: Rig) -> None:
    one = start(rig, made, "one", "/shop", MODE="told", LIMIT="7", API_KEY="k1")
    two = start(rig, made, "two", API_KEY="k2")
    assert do(rig, one, "setting", "API_KEY", "/shop") == "k1 k1 String"
    assert do(rig, two, "setting", "API_KEY") == "k2 k2 String"
    assert do(rig, one, "setting", "MODE", "/shop") == "told told String"
    assert do(rig, one, "setting", "LIMIT", "/shop") == "7 7 Integer"  # as web.xml declares it
    assert rig.get(one, "/shop/page.jsp").text.strip() == "2 /shop"
    assert (rig.get(one, "/").status, rig.get(two, "/page.jsp").text.strip()) == (404, "2")
    do(rig, one, "print", "only-one", "/shop")
    do(rig, two, "print", "only-two")
    until(lambda: "only-two" in two.said, 60, "what it prints")
    assert "only-one" in one.said and "only-one" not in two.said and "only-" not in rig.output.read_text()
    assert do(rig, two, "find", "fourfold.host.Guests") == "not found"
    for guest in (one, two):
        rig.stop(guest)
        assert rig.ended(guest)["said"] == ""
        assert rig.refuses(guest)
        assert "probe: good bye" in guest.said
    assert {end["guest"] for end in rig.list()["ended"]} == {"one", "two"}
    rig.forget(one)
    rig.forget(two)
    assert rig.list()["ended"] == []


def test_usage_is_by_guest(made: Made, rig: Rig, tmp_path: Path) -> None:
    busy, idle = start(rig, made, "busy"), start(rig, made, "idle")
    assert rig.get(idle, "/do/fail?value=x").status == 500
    before = rig.usage()["guests"]["busy"]
    do(rig, busy, "burn", "300")
    do(rig, busy, "keep", "20000000")
    assert do(rig, busy, "again") == "answered"
    usage = rig.usage()
    after = usage["guests"]["busy"]
    assert after["cpu_seconds"] - before["cpu_seconds"] >= 0.25
    assert after["allocated_bytes"] - before["allocated_bytes"] >= 20_000_000
    assert (after["requests"], after["errors"], after["busy"]) == (3, 0, 0)
    until(lambda: rig.usage()["guests"]["idle"]["errors"] == 1, 60, "the failure, which is told before it is counted")
    assert 0 < usage["whole"]["heap_bytes"] < usage["whole"]["heap_most"]
    go = tmp_path / "go"
    thread = threading.Thread(target=do, args=(rig, busy, "await", str(go)))
    thread.start()
    until(lambda: rig.usage()["guests"]["busy"]["busy"] == 1, 60, "a request in progress")
    until(lambda: rig.usage()["guests"]["busy"]["longest"] > 0.1, 60, "it to take long")
    go.touch()
    thread.join()
    rig.kill(busy)
    rig.kill(idle)
    rig.ended(busy)
    rig.ended(idle)


def test_a_request_in_progress_is_answered_and_a_stuck_one_is_not_waited_for_forever(
    made: Made, rig: Rig, tmp_path: Path
) -> None:
    guest = start(rig, made, "drained")
    answers: list[str] = []
    do(rig, guest, "print", "up")
    go = tmp_path / "go"
    thread = threading.Thread(target=lambda: answers.append(do(rig, guest, "await", str(go))))
    thread.start()
    until(lambda: rig.usage()["guests"]["drained"]["busy"] == 1, 60, "the request")
    rig.stop(guest, grace=60)
    with pytest.raises(RefusedError, match="its run 1 has not ended yet"):
        rig.start("drained", made.probe.tree, made.probe.argv, run="2")
    until(lambda: rig.refuses(guest), 60, "no new connections")
    go.touch()
    assert rig.ended(guest)["said"] == ""
    thread.join()
    assert answers == ["came"]
    guest = start(rig, made, "stuck")
    do(rig, guest, "print", "up")
    threading.Thread(target=_ignored, args=(rig, guest, "sleep", "600000"), daemon=True).start()
    until(lambda: rig.usage()["guests"]["stuck"]["busy"] == 1, 60, "the request")
    rig.stop(guest, grace=0.2)
    assert rig.ended(guest)["said"] == "it was ended with 1 request in progress"
    with pytest.raises(RefusedError, match="it does not run here"):
        rig.stop(guest)


def _ignored(*arguments: Any) -> None:
    with suppress(OSError):
        do(*arguments)


def test_what_is_left_behind_is_told(made: Made, rig: Rig) -> None:
    clean, leaking = start(rig, made, "clean"), start(rig, made, "leaking")
    do(rig, leaking, "leak", "forgotten-worker")
    do(rig, clean, "setting", "PORT")
    rig.stop(clean)
    rig.stop(leaking)
    said = rig.note(leaking, "leak")["said"]
    assert "1 of its threads still run: forgotten-worker" in said
    assert not any(event["event"] == "note" and event["guest"] == "clean" for event in rig.events)


def test_a_broken_one_ends_with_its_cause_and_the_others_serve(made: Made, rig: Rig, tmp_path: Path) -> None:
    good = start(rig, made, "good")
    bad = start(rig, made, "bad", MISSING_CLASS="com.example.Driver")
    end = rig.ended(bad)
    assert end["said"].startswith("java.lang.ClassNotFoundException: com.example.Driver (at probe.Probe$Start.context")
    assert (end["code"], end["signal"]) == (None, None)
    assert "LIMIT is not a java.lang.Integer" in rig.ended(start(rig, made, "mistyped", LIMIT="ten"))["said"]
    assert len(rig.ended(start(rig, made, "talkative", FAIL_WITH="no! "))["said"]) < 2100
    (tmp_path / "broken.war").write_bytes(b"PK, or not")
    assert "zip" in rig.ended(rig.start("broken", tmp_path, ["/app/broken.war"]))["said"].lower()
    port = free_port()
    first = rig.start("first", made.probe.tree, made.probe.argv, port=port)
    assert do(rig, first, "print", "x") == "printed"
    assert "in use" in rig.ended(rig.start("second", made.probe.tree, made.probe.argv, port=port))["said"]
    assert do(rig, good, "print", "x") == "printed"
    rig.kill(first)
    rig.kill(good)
    rig.ended(first)
    rig.ended(good)


def test_members_of_the_days_of_javax_are_converted(made: Made, rig: Rig, tmp_path: Path) -> None:
    new = made.probe.tree / ".fourfold/webapp.war"
    tool = ["java", "-cp", MIGRATION, "org.apache.tomcat.jakartaee.MigrationCLI", "-profile=JEE8"]
    subprocess.run([*tool, new, tmp_path / "old.war"], check=True, capture_output=True)
    artifact = made.member(tmp_path / "old.war")
    assert any("converting it to jakarta.servlet" in line for line in made.home.lines)
    old = rig.start("old", artifact.tree, artifact.argv, {"A": "b"})
    assert do(rig, old, "setting", "A") == "b b String"
    rig.kill(old)
    rig.ended(old)
    (tmp_path / "no.war").write_text("not a zip")
    with pytest.raises(WorldError, match=r"cannot read webapp\.war: File is not a zip file"):
        made.member(tmp_path / "no.war")


def test_alone_it_runs_as_a_process(made: Made, tmp_path: Path) -> None:
    artifact = made.build(made.probe.tree / ".fourfold/webapp.war", port=8080, route={"path": "/probe"})
    here, port = artifact.located(artifact.tree), free_port()
    env = {**here.env, "HOST": "127.0.0.1", "PORT": str(port), "GREETING": "hello"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(here.argv, env=env, stdout=log, stderr=log, cwd=here.tree)
    try:
        fetch = ["curl", "-fs", f"http://127.0.0.1:{port}/probe/do/setting?value=GREETING"]
        until(lambda: subprocess.run(fetch).returncode == 0, 60, "an answer")
        assert subprocess.run(fetch, capture_output=True, text=True).stdout == "hello hello String"
        process.terminate()
        assert process.wait(60) == 143
        assert "probe: good bye" in (tmp_path / "log").read_text()
    finally:
        process.kill()
    process = subprocess.Popen(here.argv, env=env, cwd=here.tree)
    try:
        until(lambda: subprocess.run(fetch).returncode == 0, 60, "an answer")
        subprocess.run([*fetch[:2], f"http://127.0.0.1:{port}/probe/do/exit?value=4"])
        assert process.wait(30) == 4
    finally:
        process.kill()
    failing = subprocess.run(
        here.argv, env={**env, "MISSING_CLASS": "x.Y"}, capture_output=True, text=True, timeout=120, cwd=here.tree
    )
    assert failing.returncode == 1
    assert "error: cannot start" in failing.stderr and "java.lang.ClassNotFoundException: x.Y" in failing.stderr


def test_one_that_ends_the_process_is_named(made: Made) -> None:
    """Although it does so in a request, which is in progress until the process is gone."""
    with Rig(made.group.argv, "tomcat", env=made.group.env) as rig:
        start(rig, made, "other")
        guest = start(rig, made, "fatal")
        do(rig, guest, "print", "up")
        _ignored(rig, guest, "exit", "3")
        assert rig.process.wait(30) == 3
        assert rig.ended(guest)["said"] == "it has called System.exit, which ends its group and all in it"
        assert "error: fatal has called System.exit" in rig.output.read_text()


def test_the_host_ends_its_guests_with_itself(made: Made, rig: Rig) -> None:
    """The last one."""
    guest = start(rig, made, "last")
    do(rig, guest, "print", "up")
    assert rig.terminate() == 143
    assert "probe: good bye" in guest.said
