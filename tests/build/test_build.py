"""Real builds of real sources: what they give, what is kept, and what they cannot do."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.build import BuildRequest
from fourfold.build.host import find_host
from fourfold.build.make import BuildLimits
from fourfold.errors import NotFoundError, UserError, WorldError
from fourfold.launch.model import Limits, Powers
from fourfold.spec.model import Service
from fourfold.store import trees
from fourfold.store.artifacts import Artifact
from fourfold.supervise.cgroupfind import find
from fourfold.supervise.supervisor import Supervisor

from .helpers import Home, environment, write

pytestmark = pytest.mark.e2e


def run(artifact: Artifact, *argv: str) -> str:
    """What the artifact prints, run as an instance sees it: the tree at /app, read-only, as another user."""
    command = ["bwrap", "--unshare-pid", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
    command += [word for name in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    command += ["--ro-bind", str(artifact.tree), "/app", "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/app"]
    command += ["--ro-bind", "/etc", "/etc"]
    other = ["/usr/bin/setpriv", "--reuid=790123", "--regid=790123", "--clear-groups"] if os.geteuid() == 0 else []
    argv = argv or artifact.argv
    done = subprocess.run(
        [*command, *other, *argv], env=environment(artifact, HOME="/tmp"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build(home: Home, source: Path, service: str = "web", **spec: Any) -> Artifact:
    return asyncio.run(home.build(source, service, **spec))


def failure(home: Home, source: Path, **spec: Any) -> WorldError:
    with pytest.raises(WorldError) as caught:
        build(home, source, **spec)
    assert home.left_over == []
    assert list(home.builder._artifacts.list()) == []
    return caught.value


def test_a_source_without_a_build_is_its_own_artifact(home: Home, source: Path) -> None:
    write(source, {"index.txt": "hello", "bin/x": "#!/bin/sh\necho x"})
    (source / "bin/x").chmod(0o755)
    artifact = build(home, source, run="/usr/bin/python3 -m http.server $PORT")
    assert home.lines == [] and home.left_over == []
    assert artifact.argv == ("/bin/sh", "-c", "exec /usr/bin/python3 -m http.server $PORT")
    modes = {
        str(path.relative_to(artifact.tree)): stat.S_IMODE(status.st_mode) for path, status in trees.walk(artifact.tree)
    }
    assert modes == {"index.txt": 0o444, "bin": 0o555, "bin/x": 0o555}
    assert stat.S_IMODE(artifact.tree.stat().st_mode) == 0o555


def test_the_same_source_is_not_built_again(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    first = build(home, source, build="date +%N > made", run="cat made")
    home.lines.clear()
    again = build(home, source, build="date +%N > made", run="cat made made")
    assert home.lines == []
    assert (again.digest, again.tree) == (first.digest, first.tree)
    assert again.argv == ("/bin/sh", "-c", "exec cat made made"), "another `run` needs no new build"
    assert build(home, source, build="date > made", run="cat made").digest != first.digest


def test_python_with_a_dependency(home: Home, source: Path) -> None:
    write(source, {"requirements.txt": "bottle\n", "app.py": "import bottle; print('one', bottle.__name__)"})
    first = build(home, source)
    assert run(first) == "one bottle"
    assert run(first, "bottle.py", "--version").startswith("Bottle")
    (lock,) = first.locks.values()
    assert "bottle==" in lock.text and "--hash=sha256:" in lock.text
    home.lines.clear()
    write(source, {"app.py": "import bottle; print('two', bottle.__name__)"})
    second = build(home, source)
    assert run(second) == "two bottle" and run(first) == "one bottle"
    assert home.lines == [], "an edit of the source alone installs nothing"


BACKEND = '[build-system]\nrequires=["hatchling"]\nbuild-backend="hatchling.build"\n'
LIB = {"lib1/pyproject.toml": f'[project]\nname="lib1"\nversion="7"\n{BACKEND}', "lib1/lib1/__init__.py": "X = 'lib'"}


def test_python_dependencies_in_the_source_itself(home: Home, source: Path) -> None:
    write(source, {**LIB, "requirements.txt": "./lib1\nsix\n", "app.py": "import lib1, six; print(lib1.X)"})
    assert run(build(home, source)) == "lib"


def test_a_uv_lock_with_a_dependency_in_the_source(home: Home, source: Path) -> None:
    project = '[project]\nname="x"\nversion="1"\nrequires-python=">=3.11"\ndependencies=["lib1", "six"]\n'
    project += '[tool.uv.sources]\nlib1={path="lib1", editable=true}\n'
    write(source, {**LIB, "pyproject.toml": project, "app.py": "import lib1, six; print(lib1.X, lib1.__file__)"})
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "lock", "-q", "--python", "/usr/bin/python3"], cwd=source, check=True)
    said = run(build(home, source))
    assert said.startswith("lib /app/.venv/"), "not a link into the build's own folders"


def test_a_version_from_history_is_not_needed(home: Home, source: Path) -> None:
    scm = '[project]\nname="my-shop"\ndynamic=["version"]\n[build-system]\nrequires=["setuptools", "setuptools-scm"]\n'
    scm += 'build-backend="setuptools.build_meta"\n[tool.setuptools_scm]\n[tool.setuptools]\npy-modules=["shop"]\n'
    write(source, {"pyproject.toml": scm, "shop.py": ""})
    artifact = build(home, source, run=["python", "-c", "import shop; print('up')"])
    assert run(artifact, "/app/.venv/bin/python", "-c", "import shop; print('up')") == "up"


def test_a_lost_layer_is_made_anew_from_its_lock(home: Home, source: Path) -> None:
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__version__)"})
    newest = run(build(home, source))
    trees.remove(home.paths.caches / "shop.web/layers")
    record = next(home.paths.artifacts.glob("*/artifact.json"))
    data = json.loads(record.read_text())
    (lock,) = data["locks"].values()
    assert f"six=={newest}" in lock["text"]
    lock["text"] = "six==1.16.0\n"
    record.write_text(json.dumps(data))
    write(source, {"more.py": ""})
    assert run(build(home, source)) == "1.16.0" != newest
    assert "Dependencies have not changed: using the versions of the last build." in home.lines


def test_a_fresh_build_uses_nothing_of_earlier_ones(home: Home, source: Path) -> None:
    """Dependencies that are not pinned come in their newest versions; builds after it go on from those."""
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__version__)"})
    first = build(home, source)
    newest = run(first)
    as_if_resolved_long_ago(home, first, "1.16.0")
    write(source, {"more.py": ""})
    assert run(build(home, source)) == "1.16.0" != newest
    fresh = build(home, source, fresh="op1")
    assert run(fresh) == newest and fresh.digest == build(home, source, fresh="op1").digest
    assert fresh.digest not in (first.digest, build(home, source).digest)
    write(source, {"yet-more.py": ""})
    assert run(build(home, source)) == newest


def as_if_resolved_long_ago(home: Home, artifact: Artifact, version: str) -> None:
    """Its lock names an older version, and the layer made from it is lost."""
    trees.remove(home.paths.caches / "shop.web/layers")
    record = home.paths.artifacts / artifact.digest / "artifact.json"
    data = json.loads(record.read_text())
    (lock,) = data["locks"].values()
    lock["text"] = f"six=={version}\n"
    record.write_text(json.dumps(data))


def test_a_python_project_is_installed(home: Home, source: Path) -> None:
    pyproject = (
        '[project]\nname="shop"\nversion="1"\nscripts={shopd="shop:main"}\n[build-system]\nrequires=["hatchling"]\n'
    )
    write(
        source,
        {
            "pyproject.toml": pyproject + 'build-backend="hatchling.build"\n',
            "src/shop/__init__.py": "def main(): print('up')",
        },
    )
    artifact = build(home, source)
    assert artifact.argv == ("/app/.venv/bin/shopd",)
    assert run(artifact) == "up"
    assert not (artifact.tree / ".fourfold/backend").exists()


def test_node_with_a_package(home: Home, source: Path) -> None:
    package = {
        "name": "x",
        "version": "1.0.0",
        "dependencies": {"ms": "2.1.3"},
        "devDependencies": {"isarray": "2.0.5"},
    }
    write(
        source,
        {"package.json": json.dumps(package), "server.js": "console.log(require('ms')('1d'), process.env.NODE_ENV)"},
    )
    artifact = build(home, source)
    assert run(artifact) == "86400000 production"
    assert not (artifact.tree / "node_modules/isarray").exists()
    assert any("no package-lock.json" in line for line in home.lines)
    built = build(
        home, source, build="npm ci && node -e \"require('fs').writeFileSync('b', String(require('isarray')([])))\""
    )
    assert (built.tree / "b").read_text() == "true"
    assert not (built.tree / "node_modules/isarray").exists(), "development dependencies go behind the build"
    assert run(built) == "86400000 production"


def test_a_package_lock_that_does_not_fit_is_told_in_npms_own_words(home: Home, source: Path) -> None:
    package = {"name": "x", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}}
    write(source, {"package.json": json.dumps(package), "server.js": ""})
    subprocess.run(["npm", "install", "-s", "--package-lock-only"], cwd=source, check=True)
    write(source, {"package.json": json.dumps({**package, "dependencies": {"isarray": "2.0.5"}})})
    error = failure(home, source)
    assert error.what.startswith("cannot build web: `install npm packages` ended with exit code 1\n")
    assert "Missing: isarray@2.0.5 from lock file" in error.what
    assert "--legacy-peer-deps" not in error.what, "not npm's manual"


def test_ruby_with_a_gemfile(home: Home, source: Path) -> None:
    write(source, {"Gemfile": 'source "https://rubygems.org"\n', "app.rb": "puts RUBY_ENGINE"})
    assert run(build(home, source)) == "ruby"


def test_a_jar_is_made_and_found(home: Home, source: Path) -> None:
    write(
        source, {"src/Main.java": 'class Main { public static void main(String[] a) { System.out.println("jar"); } }'}
    )
    made = build(home, source, build="javac -d c src/Main.java && jar --create --file o.jar --main-class Main -C c .")
    assert made.argv[1:] == ("-jar", "/app/o.jar")
    assert run(made) == "jar"
    (source.parent / "orders.jar").write_bytes((made.tree / "o.jar").read_bytes())
    alone = build(home, source.parent / "orders.jar")
    assert alone.argv[1:] == ("-jar", "/app/orders.jar") and run(alone) == "jar"


def test_an_executable(home: Home, source: Path) -> None:
    write(source, {"tool": "#!/bin/sh\necho tool\n"})
    artifact = build(home, source / "tool")
    assert run(artifact) == "tool"
    (digest,) = home.sources.get(artifact.source).blobs
    assert stat.S_IMODE(home.blobs.path(digest).stat().st_mode) == 0o444, "the store's own file stays as it is"


def zipped(source: Path, members: dict[str, str], link: str | None = None) -> Path:
    source.mkdir(exist_ok=True)
    with zipfile.ZipFile(source / "app.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
        if link is not None:
            info = zipfile.ZipInfo("link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, link)
    return source / "app.zip"


def test_a_zip_is_unpacked(home: Home, source: Path) -> None:
    archive = zipped(source, {"shop-1.0/app.py": "print('zip')", "__MACOSX/x": ""})
    assert run(build(home, archive)) == "zip"
    assert len(list(home.sources.list())) == 2, "gc keeps what was in it as long as the zip"


@pytest.mark.parametrize(
    ("members", "link", "said"),
    [
        ({"../evil": "x"}, None, "relative"),
        ({"/etc/evil": "x"}, None, "relative"),
        ({"a": "x"}, "/etc", "absolute"),
        ({"a": "x"}, "../..", "out of the source"),
        ({"bomb": "\0" * 2_000_000}, None, "more than a source may"),
    ],
)
def test_a_malicious_zip_is_refused(
    home: Home,
    source: Path,
    members: dict[str, str],
    link: str | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fourfold.build.unpack.MAX_BYTES", 1_000_000)
    with pytest.raises(UserError, match=said):
        build(home, zipped(source, members, link))
    assert home.left_over == []


def test_a_zip_that_lies_about_its_size_is_refused(home: Home, source: Path) -> None:
    archive = zipped(source, {"app.py": "#" * 100_000})
    raw = archive.read_bytes()
    real = (100_000).to_bytes(4, "little")
    archive.write_bytes(raw.replace(real, (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match="cannot unpack"):
        build(home, archive)
    (source / "app.zip").write_bytes(io.BytesIO(b"PK no zip").getvalue())
    with pytest.raises(UserError, match="not a zip"):
        build(home, archive)


def test_a_build_has_no_network_and_sees_nothing_of_the_host(home: Home, source: Path) -> None:
    write(source, {"look.py": LOOK})
    artifact = build(home, source, build="python look.py > seen.json", run="cat seen.json")
    seen = json.loads((artifact.tree / "seen.json").read_text())
    assert seen["network"] == "blocked"
    assert seen["home"] == ["build"] and seen["there"] == []
    assert seen["uid"] != 0 and seen["processes"] < 10
    assert seen["usr"] == "read-only"


LOOK = """
import json, os, socket
def connect():
    try:
        socket.create_connection(("1.1.1.1", 53), 2)
    except OSError:
        return "blocked"
    return "open"
def usr():
    try:
        open("/usr/x", "w")
    except OSError:
        return "read-only"
    return "writable"
print(json.dumps({
    "network": connect(), "usr": usr(), "home": os.listdir("/home"), "uid": os.getuid(),
    "there": [path for path in ("/root", "/var", "/run", "/srv", "/etc/shadow", "/mnt") if os.path.exists(path)],
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
}))
"""


def test_a_failing_step_is_named_with_its_last_lines(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    colours = r"printf '\033[1;31mbro\033[0mken\033]0;title\007\n' >&2"
    error = failure(home, source, build=f"seq 1 100; {colours}; exit 7", run="x")
    assert error.what.startswith(f"cannot build web: `seq 1 100; {colours}; exit 7` ended with exit code 7\n")
    assert error.what.endswith("  100\n  broken")
    assert "  1\n" not in error.what
    assert "no network" in (error.hint or "")


def processes_with(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def gone(mark: str) -> bool:
    deadline = time.monotonic() + 10
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not processes_with(mark)


def test_a_build_over_its_time_is_ended_with_all_its_processes(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    home = Home(home.root, BuildLimits(seconds=1.5))
    error = failure(home, source, build="setsid sleep 43211 & sleep 43211", run="x")
    assert "time for the build was up" in error.what
    assert gone("43211")


def test_a_cancelled_build_leaves_nothing(home: Home, source: Path) -> None:
    mark = f"43212{os.getpid()}"
    write(source, {"a": ""})

    async def cancelled() -> None:
        task = asyncio.create_task(home.build(source, build=f"sleep {mark}", run="x"))
        while not processes_with(mark):
            assert not task.done(), task
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for _ in range(20):  # the earlier it comes, the less there is that bubblewrap has set up
        asyncio.run(cancelled())
        assert gone(mark)
    assert home.left_over == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the limit counts all processes of a user: needs one of its own")
def test_a_fork_bomb_meets_a_limit_and_is_ended(home: Home, source: Path) -> None:
    write(source, {"bomb.sh": "while true; do sh -c 'sleep 43213' & done 2>&1 | head -n 1000000 >/dev/null\n"})
    home = Home(home.root, BuildLimits(seconds=4))
    most = 0

    async def watch() -> None:
        nonlocal most
        task = asyncio.create_task(home.build(source, build="sh bomb.sh", run="x"))
        while not task.done():
            most = max(most, len(processes_with("43213")))
            await asyncio.sleep(0.2)
        with pytest.raises(WorldError):
            await task

    asyncio.run(watch())
    assert most < 1100
    assert gone("43213")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs control groups of its own")
def test_a_build_is_bounded_as_a_whole(home: Home, source: Path) -> None:
    """By files in /tmp, say, which are memory: no process is over a limit of its own."""
    write(source, {"a": ""})
    supervisor = Supervisor(home.paths, Powers(), on_exit=print)
    supervisor._groups = find(home.paths.run, home.paths.state)
    if "memory" in supervisor._groups.missing:
        pytest.skip(supervisor._groups.missing["memory"])
    home = Home(home.root, BuildLimits(seconds=60), confine=lambda: supervisor.pen(Limits(memory=96 * 1024**2)))
    error = failure(
        home, source, build="for n in $(seq 12); do head -c 16000000 /dev/zero > /tmp/$n; done; false", run="x"
    )
    assert "ran out of memory" in error.what and "build_memory" in (error.hint or "")
    build(home, source, build="cat /proc/self/cgroup > groups; nice > nice", run="x")
    (artifact,) = list(home.builder._artifacts.list())
    tree = home.builder._artifacts.tree(artifact.digest)
    assert "/pen-" in (tree / "groups").read_text()
    assert (tree / "nice").read_text().strip() == str(min(19, 10 + os.getpriority(os.PRIO_PROCESS, 0)))
    assert supervisor._groups.names() == set(), "nothing is left of it"
    supervisor._groups.close()


def test_a_result_over_its_size_is_refused_with_its_largest_folders(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    home = Home(home.root, BuildLimits(size=2_000_000))
    error = failure(home, source, build="mkdir out; head -c 3000000 /dev/zero > out/x", run="x")
    assert "the limit is 1 MiB" in error.what and "out (2 MiB)" in (error.hint or "")


def test_a_build_that_fills_the_disk_is_ended(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    home = Home(home.root, BuildLimits(size=5_000_000))
    error = failure(home, source, build="while true; do head -c 100000 /dev/zero > x$(date +%N); done", run="x")
    assert "wrote more than" in error.what


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("ln -s /etc/shadow stolen", "link stolen points out"),
        ("ln -s ../../.. up", "link up points out"),
        ("mkfifo pipe", "pipe is a device"),
        ("cp /usr/bin/id id && chmod 4755 id", "set-user-id"),
    ],
)
def test_what_a_build_must_not_leave_in_the_tree(home: Home, source: Path, command: str, said: str) -> None:
    write(source, {"a": ""})
    assert said in failure(home, source, build=command, run="x").what


def test_a_build_cannot_change_what_is_kept(home: Home, source: Path) -> None:
    """Layers are given as hard links: writing through one would change every artifact that has it."""
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__name__)"})
    first = build(home, source)
    tamper = (
        "f=$(echo .venv/lib/python3*/site-packages/six.py); (echo boom >> $f) 2>/dev/null; "
        "chmod u+w $f 2>/dev/null; rm $f; echo 'x=1' > $f"
    )
    build(home, source, build=tamper, run="x")
    assert run(first) == "six"
    write(source, {"b.py": ""})
    assert run(build(home, source)) == "six"


def test_two_builds_of_the_same_wait_for_each_other(home: Home, source: Path) -> None:
    write(source, {"a": ""})

    async def both() -> list[Artifact]:
        return await asyncio.gather(*(home.build(source, build="date +%N > made", run="x") for _ in range(3)))

    made = asyncio.run(both())
    assert len({artifact.digest for artifact in made}) == 1
    assert home.lines.count("$ date +%N > made") == 1


def test_a_long_log_is_cut_and_says_so(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    build(home, source, build="seq 1 30000; head -c 1000000 /dev/zero | tr '\\0' x", run="x")
    assert len(home.lines) < 10_100
    assert "the rest is not shown" in home.lines[-1]
    assert max(map(len, home.lines)) <= 4096


def test_a_source_whose_content_never_came(home: Home, source: Path) -> None:
    write(source, {"a": "b"})
    home.send(source)
    for kept in list(home.blobs.list()):
        home.blobs.remove(kept.digest)
    (digest,) = [kept.digest for kept in home.sources.list()]
    request = BuildRequest("shop", "web", Service(run="x"), digest)
    with pytest.raises(NotFoundError, match="'a' was never sent"):
        asyncio.run(home.builder.build(request, print))
    assert home.left_over == []


WITHOUT_ROOT = """
import asyncio, sys
from pathlib import Path
from tests.build.helpers import Home
home = Home(Path(sys.argv[1]) / "other")
def build(**spec):
    return asyncio.run(home.build(Path(sys.argv[2]), **spec))
one = build()
tamper = "f=$(echo .venv/lib/python3*/site-packages/six.py); chmod u+w $f; echo boom > $f; id -u > id"
two = build(build=tamper, run="x")
build(build="true")
app = Path(sys.argv[2]) / "app.py"
app.write_text("import sys; print(sys.argv[0])")
requirements = app.with_name("requirements.txt").rename(app.with_name("other.txt"))
plain = build(runtime="python3.98")
requirements.rename(app.with_name("requirements.txt"))
own = build(runtime="python3.98")
print(plain.tree, own.tree)
print(one.tree, asyncio.run(home.builder.isolation()), (two.tree / "id").read_text().strip(), home.left_over, sep="|")
"""


@contextmanager
def reachable(checkout: Path) -> Iterator[tuple[list[str], Path]]:
    """The start of a command line, and where the checkout is for it: it may lie in /root, where no one else can go."""
    place = Path(tempfile.mkdtemp(prefix="fourfold-checkout-"))
    place.chmod(0o755)
    mount = f'mount --bind {shlex.quote(str(checkout))} {place} && cd {place} && exec "$@"'
    yield ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"], place
    place.rmdir()


def test_without_root_builds_work_the_same(home: Home, source: Path) -> None:
    """The same in a process of another user: `user` mode where the kernel lets user namespaces be made."""
    if os.geteuid() != 0:
        pytest.skip("this run is without root already")
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__name__)"})
    mine = home.root / "mine/bin/python3.98"  # as pyenv's and uv's are: outside of /usr
    mine.parent.mkdir(parents=True)
    shutil.copy("/usr/bin/python3", mine)
    for folder in (home.root, source.parent):
        subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with reachable(Path(__file__).parents[2]) as (inside, checkout):
        done = subprocess.run(
            [*inside, *other, checkout / ".venv/bin/python", "-c", WITHOUT_ROOT, home.root, source],
            capture_output=True,
            text=True,
            env={
                "PATH": f"{mine.parent}:/usr/bin:/bin",
                "HOME": "/nonexistent",
                "PYTHONPATH": f"{checkout}/src:{checkout}",
            },
        )
    assert done.returncode == 0, done.stdout + done.stderr
    others, rest = done.stdout.splitlines()
    plain, own = map(Path, others.split())
    assert (plain / ".fourfold/bin/python").readlink() == (own / ".venv/bin/python").readlink() == mine
    tree, mode, uid, left = rest.split("|")
    assert (mode, uid.strip(), left.strip()) == ("user", "65534", "[]")
    assert run(Artifact("", Path(tree), ("/app/.venv/bin/python", "app.py"))) == "six"


@pytest.mark.skipif(os.geteuid() != 0, reason="without root, builds run as this user")
def test_a_uv_that_only_root_can_reach_is_used_all_the_same(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fourfold.build.build.find_mode", lambda uid: "none")
    home = Home(home.root, unisolated=True)
    home.root.chmod(0o755)
    source.parent.chmod(0o700)
    host = find_host(os.environ)
    shutil.copy(host.tools["uv"], source.parent / "uv")
    home.builder._given = replace(host, tools={**host.tools, "uv": str(source.parent / "uv")})
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__name__)"})
    assert run(build(home, source)) == "six"


@pytest.mark.skipif(os.geteuid() != 0, reason="what is refused to root")
@pytest.mark.parametrize(("bwrap", "why"), [("/nonexistent", "is not installed"), ("/usr/bin/true", "cannot make")])
def test_as_root_nothing_is_built_on_the_bare_host(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch, bwrap: str, why: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("fourfold.build.build.find_mode", lambda uid: "none")
        patched.setattr("fourfold.build.workspace.BWRAP", bwrap)
        write(source, {"a": ""})
        request = BuildRequest("shop", "web", Service(build="true", run="x"), home.send(source))
        for ask in (home.builder.plan(request), home.builder.build(request, print)):
            with pytest.raises(UserError, match=f"cannot build web apart from this host: bubblewrap {why}") as caught:
                asyncio.run(ask)
            assert "unisolated_builds" in (caught.value.hint or "")
        assert build(home, source, run="x").argv, "what needs no build runs nothing"
    assert build(home, source, build="true", run="x"), "bubblewrap was installed meanwhile"


def test_where_no_namespaces_can_be_made_builds_still_work_and_say_so(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fourfold.build.build.find_mode", lambda uid: "none")
    home = Home(home.root, unisolated=True)
    home.root.chmod(0o755)
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__name__)"})
    artifact = build(home, source, build="sleep 43214 & id -u > id; pwd > cwd")
    assert home.lines[0].startswith("WARNING: this build is not kept apart from this host")
    assert gone("43214"), "what a step leaves in the background ends with it"
    assert (artifact.tree / "id").read_text().strip() == ("799999" if os.geteuid() == 0 else str(os.geteuid()))
    assert run(artifact) == "six", "paths are those of /app all the same"
    placed = artifact.located(artifact.tree)
    assert subprocess.check_output(placed.argv, cwd=artifact.tree, env=environment(placed), text=True) == "six\n"
