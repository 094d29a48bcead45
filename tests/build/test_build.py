"""Real builds of real sources: what they give, what is kept, and what they cannot do."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from fourfold.build.build import BuildRequest
from fourfold.errors import NotFoundError
from fourfold.spec.model import Service
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact

from .building import build, failure, run
from .helpers import Home, write

pytestmark = pytest.mark.e2e


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


def test_a_failing_step_is_named_with_its_last_lines(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    colours = r"printf '\033[1;31mbro\033[0mken\033]0;title\007\n' >&2"
    error = failure(home, source, build=f"seq 1 100; {colours}; exit 7", run="x")
    assert error.what.startswith(f"cannot build web: `seq 1 100; {colours}; exit 7` ended with exit code 7\n")
    assert error.what.endswith("  100\n  broken")
    assert "  1\n" not in error.what
    assert "no network" in (error.hint or "")


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
