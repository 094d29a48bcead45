"""Real bases and what is built in them. Packages come from this host's apt sources and registries."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fourfold.build.bases import make
from fourfold.build.bases.bases import Bases
from fourfold.build.bases.make import this_system
from fourfold.build.bases.systems import recipe
from fourfold.build.host import find_host
from fourfold.build.oci.export import Exporter, write_layout
from fourfold.clock import SystemClock
from fourfold.errors import UserError, WorldError
from fourfold.spec.model import Service
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.images import Images
from tests.support.mounts import mounts_of
from tests.support.runtimes import java

from .helpers import Home, write

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="containers are root's")]
DEFAULTS = find_host(os.environ)
PYTHON = {"requirements.txt": "six==1.16.0\n", "app.py": "import six, sys; print(six.__version__, sys.prefix)"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Home]:
    """One home for all: bases are made once."""
    folder = Path(tempfile.mkdtemp(prefix="fourfold-bases-"))
    yield Home(folder)
    trees.remove(folder)


@pytest.fixture
def home(shared: Home) -> Iterator[Home]:
    shared.lines.clear()
    yield shared
    assert shared.left_over == []
    assert mounts_of(shared.root) == []


def build(home: Home, source: Path, service: str = "web", **spec: Any) -> Artifact:
    return asyncio.run(home.build(source, service, pattern="container", **spec))


def run(home: Home, artifact: Artifact, *argv: str) -> str:
    """What it prints, run in the folders of its image, read-only, with /app."""
    assert artifact.image is not None
    layers = [str(Images(home.paths).folder(digest)) for digest in artifact.image.layers]
    assert len(layers) == 1
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", layers[0], "/", "--dev", "/dev"]
    command += ["--proc", "/proc", "--tmpfs", "/tmp", "--ro-bind", str(artifact.tree), "/app", "--chdir", "/app"]
    command += ["--clearenv"]
    for name, value in {**artifact.image.env, **artifact.env}.items():
        command += ["--setenv", name, value]
    done = subprocess.run([*command, "--", *(argv or artifact.argv)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_python_is_installed_for_its_base(home: Home, source: Path) -> None:
    artifact = build(home, write(source, PYTHON))
    assert run(home, artifact) == "1.16.0 /app/.venv"
    assert artifact.image is not None
    assert artifact.image.dependencies == (".venv",)
    assert artifact.argv == ("/app/.venv/bin/python", "app.py")
    modules = "ssl, urllib.request, sqlite3, ctypes, zoneinfo, lzma, bz2, hashlib, readline"
    counted = run(
        home, artifact, "python3", "-c", f"import {modules}; print(len(ssl.create_default_context().get_ca_certs()))"
    )
    assert int(counted) > 50
    assert run(home, artifact, "sh", "-c", "date +%Z; getent passwd root | cut -d: -f3") == "UTC\n0"


def test_an_edit_makes_only_the_tree_again(home: Home, source: Path) -> None:
    first = build(home, write(source, PYTHON))
    home.lines.clear()
    write(source, {"app.py": "print('new')"})
    second = build(home, source)
    assert run(home, second) == "new"
    assert second.image == first.image
    assert home.lines == []


def test_a_move_keeps_the_versions_of_dependencies(home: Home, source: Path) -> None:
    write(source, {"requirements.txt": "six\n", "app.py": "import six"})
    process = asyncio.run(home.build(source, "moved"))
    home.lines.clear()
    artifact = build(home, source, "moved")
    assert dict(artifact.locks) == dict(process.locks)
    assert "Dependencies have not changed: using the versions of the last build." in home.lines


def test_the_base_is_another_system_than_the_host(home: Home, source: Path) -> None:
    looks = (
        "ls /usr/bin/gcc /usr/bin/bwrap /usr/bin/java /var/lib/fourfold; touch /usr/x /etc/x; ls /host/usr/bin/env; "
        "id -u"
    )
    artifact = build(home, write(source, PYTHON), build=f"({looks}) >seen 2>&1 || true")
    seen = (artifact.tree / "seen").read_text()
    assert seen.count("No such file or directory") == 4
    assert seen.count("Read-only file system") + seen.count("Permission denied") == 2
    assert str(home.builder._owner[0]) in seen


def test_node_runs_with_its_packages(home: Home, source: Path) -> None:
    files = {"package.json": '{"dependencies": {"ms": "2.1.3"}}', "server.js": "console.log(require('ms')('2 days'))"}
    artifact = build(home, write(source, files), "node")
    assert run(home, artifact) == "172800000"
    assert run(home, artifact, "npm", "--version")
    version = run(home, artifact, "node", "--version")
    assert f"nodejs{version[1:3]}" == artifact.runtime == DEFAULTS.family("nodejs")[0].name


def test_ruby_runs_with_bundler(home: Home, source: Path) -> None:
    files = {"Gemfile": 'source "https://rubygems.org"\n', "app.rb": "require 'openssl'; puts RUBY_ENGINE"}
    assert run(home, build(home, write(source, files), "ruby")) == "ruby"


TRUST = """
import java.security.KeyStore;
import java.io.File;
public class Main {
  public static void main(String[] words) throws Exception {
    var store = KeyStore.getInstance(new File(System.getProperty("java.home"), "lib/security/cacerts"), (char[]) null);
    System.out.println(store.size() > 50);
  }
}
"""
JAR = "javac -d classes Main.java && jar --create --file app.jar --main-class Main -C classes ."


def test_java_is_built_once_for_both_patterns(home: Home, source: Path) -> None:
    write(source, {"Main.java": TRUST})
    process = asyncio.run(home.build(source, "java", build=JAR))
    home.lines.clear()
    artifact = build(home, source, "java", build=JAR)
    assert run(home, artifact) == "true"
    assert run(home, artifact, "java", "-Xshare:on", "-version") == ""
    assert not [line for line in home.lines if "javac" in line]
    assert (process.tree / "app.jar").stat().st_ino == (artifact.tree / "app.jar").stat().st_ino
    assert process.digest != artifact.digest


@pytest.mark.full
def test_an_extension_in_c_is_compiled_beside_the_base(home: Home, source: Path) -> None:
    setup = (
        "from setuptools import Extension, setup\n"
        "setup(name='own', version='1', ext_modules=[Extension('own', ['own.c'])])\n"
    )
    code = (
        '#include <Python.h>\nstatic struct PyModuleDef own = {PyModuleDef_HEAD_INIT, "own", 0, -1, 0};\n'
        "PyMODINIT_FUNC PyInit_own(void) { return PyModule_Create(&own); }\n"
    )
    artifact = build(
        home, write(source, {"setup.py": setup, "own.c": code, "app.py": "import own; print(own.__name__)"})
    )
    assert run(home, artifact) == "own"
    assert run(home, artifact, "sh", "-c", "ls /usr/bin/gcc || true") == ""


def test_scratch_takes_static_programs_only(home: Home, source: Path) -> None:
    write(source, {"run": "#!/bin/sh\n"})
    with pytest.raises(UserError, match="needs /bin/sh, which is not there"):
        build(home, source, container={"base": "scratch"})
    with pytest.raises(UserError, match="the base scratch has no Python"):
        build(home, write(source, {"app.py": ""}), "python", container={"base": "scratch"})
    (source / "app.py").rename(source / "server")
    with pytest.raises(UserError, match="it has no /bin/sh"):
        build(home, source, "shell", run="./server", container={"base": "scratch"})


def test_what_cannot_be_is_refused_early(home: Home, source: Path) -> None:
    write(source, {"app.py": "", ".python-version": "3.8"})
    with pytest.raises(UserError, match=r"cannot use python3\.8 .*: a base of \w+ \w+ has python3"):
        asyncio.run(home.builder.plan(home.request(source, pattern="container")))
    write(source, {".python-version": ""})
    with pytest.raises(UserError, match="begins with none of"):
        asyncio.run(home.builder.plan(home.request(source, pattern="container", container={"base": "alpine"})))


def test_an_image_as_base_is_looked_into(home: Home, source: Path) -> None:
    """An image of several layers: a base, and what was built on it."""
    made = build(home, write(source, PYTHON), "web")
    layout = Path(tempfile.mkdtemp(prefix="fourfold-layout-"))
    try:
        work = home.paths.work
        exporter = Exporter(Images(home.paths), CompressedLayers(home.paths), work)
        write_layout(
            exporter.image(made, Service.model_validate({"pattern": "container"}), "shop", "web"), layout / "image"
        )
        base = f"oci:{layout / 'image'}"
        files = {"requirements.txt": "six==1.15.0\n", "app.py": "import six; print(six.__version__)"}
        artifact = build(home, write(source, files), "over", container={"base": base})
        assert artifact.image is not None
        assert len(artifact.image.layers) > 1
        assert artifact.runtime == made.runtime
        assert (artifact.tree / ".venv/bin/python").readlink() == Path(f"/usr/bin/{made.runtime}")
        with pytest.raises(UserError, match=r"the image oci:\S+ has no Java at all"):
            build(home, source, "java", runtime=java(), container={"base": base})
    finally:
        shutil.rmtree(layout)


def bases(home: Home) -> Bases:
    return Bases(home.paths, SystemClock(), Images(home.paths))


def test_the_same_packages_give_the_same_base(home: Home) -> None:
    wanted = recipe(this_system(), [DEFAULTS.family("python")[0].name])
    made = [asyncio.run(bases(home).get(wanted, None, home.lines.append, fresh)) for fresh in ("", "again")]
    assert made[0].digest == made[1].digest
    assert made[0].made_at < made[1].made_at


def test_a_base_is_made_once_and_tells_its_age(home: Home) -> None:
    class Later:
        def now(self) -> float:
            return time.time() + 40 * 86_400

    async def both() -> None:
        own = bases(home)
        await asyncio.gather(*(own.get(recipe(this_system(), ()), None, home.lines.append, "once") for _ in range(3)))

    asyncio.run(both())
    assert len([line for line in home.lines if line.startswith("Making")]) == 1
    home.lines.clear()
    asyncio.run(Bases(home.paths, Later(), Images(home.paths)).get(recipe(this_system(), ()), None, home.lines.append))
    assert home.lines == [f"warning: the base {this_system()} is 40 days old: --rebuild makes it anew."]


@pytest.mark.parametrize("said", ["running apt-get update", "extracting archives", "success in"])
def test_a_base_that_is_not_finished_leaves_nothing(home: Home, said: str) -> None:
    async def cancel() -> None:
        reached = asyncio.Event()

        def log(line: str) -> None:
            if said in line:
                reached.set()

        task = asyncio.create_task(bases(home).get(recipe(this_system(), [java()]), None, log, "cancelled"))
        await asyncio.wait_for(reached.wait(), 240)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert mounts_of(home.root) == []
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if str(home.root) in " ".join(each.info["cmdline"] or [])
    ]


def test_a_mirror_that_is_not_there_is_told(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    system = this_system()
    (tmp_path / "sources.list.d").mkdir()
    monkeypatch.setattr(make, "_APT", tmp_path)
    with pytest.raises(UserError, match="names no source of this release"):
        asyncio.run(bases(home).get(recipe(system, ["java8"]), None, home.lines.append))
    (tmp_path / "sources.list").write_text(f"deb http://127.0.0.1:9/{system.vendor} {system.codename} main\n")
    with pytest.raises(WorldError, match=r"could not be had from this host's apt sources\n.*127\.0\.0\.1") as caught:
        asyncio.run(bases(home).get(recipe(system, ["java8"]), None, home.lines.append))
    assert "apt-get update" in str(caught.value.hint)


def test_without_mmdebstrap_it_says_so_before_anything(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "MMDEBSTRAP", "/nonexistent/mmdebstrap")
    write(source, {"package.json": "{}", "app.rb": "puts 1", "server.js": ""})
    request = home.request(source, pattern="container", runtime="nodejs24")
    with pytest.raises(UserError) as caught:
        asyncio.run(home.builder.plan(request))
    assert caught.value.hint == "apt-get install mmdebstrap"


def test_a_services_own_dockerfile(home: Home, source: Path) -> None:
    write(source, {"Dockerfile": 'FROM scratch\nCOPY x /x\nENTRYPOINT ["/x", "--go"]\n', "x": "#!/bin/sh\n"})
    artifact = build(home, source, "own", container={"dockerfile": "Dockerfile"})
    assert artifact.argv == ("/x", "--go")
    assert list(artifact.tree.iterdir()) == []
    assert build(home, source, "own", run=["/y"], container={"dockerfile": "Dockerfile"}).argv == ("/y",)
    with pytest.raises(UserError, match="its source has no Other"):
        asyncio.run(home.builder.plan(home.request(source, pattern="container", container={"dockerfile": "Other"})))


def test_a_ready_image(home: Home, source: Path) -> None:
    made = build(home, write(source, PYTHON), "web")
    layout = Path(tempfile.mkdtemp(prefix="fourfold-layout-", dir=home.root))
    exporter = Exporter(Images(home.paths), CompressedLayers(home.paths), home.paths.work)
    write_layout(
        exporter.image(made, Service.model_validate({"pattern": "container"}), "shop", "web"), layout / "image"
    )
    artifact = build(home, write(source, {}), "ready", image=f"oci:{layout / 'image'}")
    assert artifact.argv == made.argv
    assert artifact.image is not None
    assert artifact.image.user
    assert list(artifact.tree.iterdir()) == []
