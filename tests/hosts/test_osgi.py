"""The host program of kind osgi, under Equinox and Felix: guests apart from each other, and what goes wrong in them."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.build import Builder, BuildRequest
from fourfold.build.host import find_host
from fourfold.build.kinds import osgi
from fourfold.clock import SystemClock
from fourfold.spec.groups import GROUP, Group
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact
from tests.build.helpers import Home
from tests.support.ports import free_port
from tests.support.wait import until

from .rig import Guest, Rig

HERE = Path(__file__).parent / "osgi"
HOST = find_host(os.environ)


@dataclass(frozen=True)
class Trials:
    """The host program for each framework, and classes that bundles are made of."""

    home: Home
    classes: Path

    def host(self, framework: str) -> Artifact:
        tools = {name: path for name, path in HOST.tools.items() if name == framework or name not in osgi.FRAMEWORKS}
        builder = Builder(self.home.paths, SystemClock(), host=replace(HOST, tools=tools))
        empty = self.classes.parent / "empty"
        empty.mkdir(exist_ok=True)
        spec = Group(kind="osgi").as_host()
        artifact = asyncio.run(
            builder.build(BuildRequest("shop", "webapps", spec, self.home.send(empty), GROUP), print)
        )
        return artifact.located(artifact.tree)

    def rig(self, framework: str = "equinox") -> Rig:
        artifact = self.host(framework)
        return Rig(artifact.argv, "osgi", env=artifact.env)

    def member(self, name: str, todo: str, **headers: str) -> tuple[Path, list[str]]:
        """A tree and an argv: a bundle that does what `todo` says, and the bundle with what it imports."""
        tree = self.classes.parent / name
        tree.mkdir()
        api = {"Bundle-SymbolicName": "trial.api; singleton:=true", "Export-Package": 'trial.api;version="1.0"'}
        self._jar(tree / "api.jar", "trial/api", api)
        own = {
            "Bundle-SymbolicName": "trial.web",
            "Bundle-Version": "1.0.0",
            "Bundle-Activator": "trial.Activator",
            "Import-Package": "trial.api,org.osgi.framework,com.sun.net.httpserver",
            "Trial-Do": todo,
            "Trial-Version": name,
        }
        self._jar(tree / "web.jar", "trial", {**own, **{key.replace("_", "-"): text for key, text in headers.items()}})
        return tree, ["/app/web.jar", "/app/api.jar"]

    def _jar(self, place: Path, package: str, headers: dict[str, str]) -> None:
        lines = ["Manifest-Version: 1.0", "Bundle-ManifestVersion: 2", *(f"{key}: {headers[key]}" for key in headers)]
        with zipfile.ZipFile(place, "w") as jar:
            jar.writestr("META-INF/MANIFEST.MF", "\r\n".join([*lines, "", ""]))
            for each in sorted((self.classes / package).glob("*.class")):
                jar.write(each, f"{package}/{each.name}")


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    folder = Path(tempfile.mkdtemp(prefix="fourfold-osgi-"))
    classes = folder / "classes"
    sources = [str(path) for path in HERE.glob("*.java")]
    command = [HOST.tools["javac"], "--release", "17", "-cp", HOST.tools["equinox"], "-d", str(classes), *sources]
    subprocess.run(command, check=True)
    yield Trials(Home(folder / "home"), classes)
    trees.remove(folder)


@pytest.mark.parametrize("framework", osgi.FRAMEWORKS)
def test_two_releases_stand_side_by_side_and_apart(trials: Trials, framework: str) -> None:
    with trials.rig(framework) as rig:
        guests = []
        for name in ("one", "two"):
            tree, argv = trials.member(f"{framework}-{name}", "serve offer")
            guests.append(rig.start(name, tree, argv, {"COLOUR": f"{name}'s"}))
        old, new = guests
        for guest in guests:
            # Its own variables, its own copy of the class that both share the name of, its own bundles and services.
            version = f"{framework}-{guest.name}"
            assert rig.get(guest).text.split("\n") == [
                version,
                f"{guest.name}'s",
                "1",
                "3",
                f"offered by {version}",
                "",
            ]
        assert len(rig.list()["guests"]) == 2
        rig.stop(old)
        assert rig.ended(old)["said"] == ""
        assert rig.refuses(old)
        # What has stayed was not restarted when the packages were refreshed.
        assert rig.get(new).text.split("\n")[2] == "2"
        assert new.said.count("start ") == 1
        assert [old.said.count(word) for word in ("start ", "asked ", "stop")] == [1, 1, 1]
        assert "two" not in old.said
        until(lambda: rig.get(new, "/50") and usage(rig, new)["cpu_seconds"] > 0.2, 60, "CPU time")
        assert usage(rig, new)["cpu"] == "measured"
        assert usage(rig, new)["threads"] >= 1
        again = rig.start("one", old.tree, ["/app/web.jar", "/app/api.jar"], {"COLOUR": "red"}, run="2")
        assert "red" in rig.get(again).text
        assert rig.terminate() == 143
        assert "stop" in new.said


def test_what_goes_wrong_in_one_is_told_in_the_words_of_the_framework(trials: Trials) -> None:
    with trials.rig() as rig:
        tree, argv = trials.member("well", "serve")
        well = rig.start("well", tree, argv)
        tree, argv = trials.member("unresolved", "serve", Import_Package="nobody.has.this,org.osgi.framework")
        said = rig.ended(rig.start("unresolved", tree, argv))["said"]
        assert said.startswith("Could not resolve module: trial.web")
        assert "\n" not in said
        assert "Unresolved requirement: Import-Package: nobody.has.this" in said
        tree, argv = trials.member("throws", "throw")
        throws = rig.start("throws", tree, argv)
        assert rig.ended(throws)["said"].startswith("java.io.IOException: nobody listens (at trial.Activator.start")
        assert "no database" in throws.said
        mute = rig.start("mute", *trials.member("mute", "mute"))
        assert "cannot be printed: java.lang.UnsupportedOperationException" in rig.ended(mute)["said"]
        missing = rig.start("missing", tree, ["/app/no.jar"])
        assert "no.jar" in rig.ended(missing)["said"]
        for guest in (throws, mute, missing):
            rig.forget(guest)
        assert [each["guest"] for each in rig.list()["ended"]] == ["unresolved"]
        # Nothing of them is left: the same bundles are installed again.
        tree, argv = trials.member("mended", "serve")
        assert rig.get(rig.start("mended", tree, argv)).status == 200
        assert rig.get(well).status == 200


def test_what_hangs_is_ended_all_the_same_and_what_stays_is_told(trials: Trials) -> None:
    with trials.rig() as rig:
        tree, argv = trials.member("starting", "hang-start")
        starting = rig.start("starting", tree, argv)
        until(lambda: "start starting" in starting.said, 60, "its activator")
        rig.kill(starting)
        rig.ended(starting)
        tree, argv = trials.member("stopping", "serve hang-stop leak")
        stopping = rig.start("stopping", tree, argv)
        rig.get(stopping)
        rig.stop(stopping, grace=60)
        until(lambda: "stop" in stopping.said.split("\n"), 60, "its activator")
        rig.kill(stopping)
        rig.ended(stopping)
        idle, busy = (rig.start(name, *trials.member(name, f"serve {name}")) for name in ("daemon", "leak"))
        for guest in (busy, idle):
            rig.get(guest)
        for guest in (busy, idle):
            rig.stop(guest)
        ends = [event["guest"] for event in rig.events if rig.ended(busy) and event["event"] == "ended"]
        assert ends[2:] == ["daemon", "leak"], "nobody waits for daemons, which a JVM does not either"
        assert "left behind" in rig.note(stopping, "leak")["said"]
        notes = [event["guest"] for event in rig.events if event["event"] == "note"]
        assert not {"starting", "daemon"}.intersection(notes)


def test_the_same_bundles_in_a_process_of_their_own(trials: Trials) -> None:
    """Of bundles that a build makes: they are found in its result."""
    source, _ = trials.member("alone", "serve")
    spec: dict[str, Any] = {"build": "mkdir target && mv *.jar target", "port": 8080, "shared": {"kind": "osgi"}}
    shared = asyncio.run(trials.home.build(source, "web", **spec, pattern="shared"))
    assert shared.argv == ("/app/target/api.jar", "/app/target/web.jar")
    assert not (shared.tree / ".fourfold/host").exists()
    alone = asyncio.run(trials.home.build(source, "web", **spec))
    alone = alone.located(alone.tree)
    port, temporary = free_port(), Path(tempfile.mkdtemp())
    env = {**alone.env, "HOST": "127.0.0.1", "PORT": str(port), "COLOUR": "blue"}
    argv = [alone.argv[0], f"-Djava.io.tmpdir={temporary}", *alone.argv[1:]]
    with subprocess.Popen(argv, env=env, cwd=alone.tree) as process:
        try:
            status, text = until(lambda: fetch(port, "/"), 60, "an answer")
            assert (status, text.split("\n")[:2]) == (200, ["alone", "blue"])
            assert any(temporary.iterdir())
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 143
    assert not any(temporary.iterdir())
    temporary.rmdir()


def usage(rig: Rig, guest: Guest) -> dict[str, Any]:
    found: dict[str, Any] = rig.usage()["guests"][guest.name]
    return found


def fetch(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
