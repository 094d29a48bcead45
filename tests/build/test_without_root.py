"""Who builds, and where builds cannot be kept apart from the host."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.build.build import BuildRequest
from fourfold.build.host import find_host
from fourfold.errors import UserError
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact

from .building import build, gone, run, seconds
from .helpers import Home, environment, write

pytestmark = pytest.mark.e2e


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
    mark = seconds(4)
    artifact = build(home, source, build=f"sleep {mark} & id -u > id; pwd > cwd")
    assert home.lines[0].startswith("WARNING: this build is not kept apart from this host")
    assert gone(mark), "what a step leaves in the background ends with it"
    assert (artifact.tree / "id").read_text().strip() == ("799999" if os.geteuid() == 0 else str(os.geteuid()))
    assert run(artifact) == "six", "paths are those of /app all the same"
    placed = artifact.located(artifact.tree)
    assert subprocess.check_output(placed.argv, cwd=artifact.tree, env=environment(placed), text=True) == "six\n"
