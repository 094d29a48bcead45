"""The content-addressed stores: what is written is whole and what it says it is, or it is not there."""

from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from fourfold.errors import NotFoundError, UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact, Artifacts, Lock
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Entry, Manifest

from .helpers import write

CONTENT = b"hello"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = "a" * 64
DEPS = "d" * 64


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def frame(content: bytes, digest: str | None = None) -> bytes:
    return f"{digest or digest_of(content)} {len(content)}\n".encode() + content


def receive(blobs: Blobs, stream: bytes, cut: int = 1 << 16, fail: bool = False) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(stream), cut):
            yield stream[start : start + cut]
        if fail:
            raise ConnectionResetError("gone")

    asyncio.run(blobs.receive(pieces()))


def files(paths: Paths) -> list[Path]:
    return [path for path in paths.state.rglob("*") if path.is_file()]


def test_a_blob_is_kept_under_its_digest(paths: Paths) -> None:
    blobs = Blobs(paths)
    assert blobs.missing([DIGEST, DIGEST]) == [DIGEST]
    receive(blobs, frame(CONTENT))
    receive(blobs, frame(CONTENT))
    assert blobs.missing([DIGEST]) == []
    assert blobs.path(DIGEST).read_bytes() == CONTENT
    assert [(kept.digest, kept.size) for kept in blobs.list()] == [(DIGEST, 5)]
    assert (blobs.remove(DIGEST), blobs.remove(DIGEST)) == (5, 0)


def test_what_is_not_what_it_says_leaves_nothing(paths: Paths) -> None:
    blobs = Blobs(paths)
    with pytest.raises(UserError, match="what came has the digest"):
        receive(blobs, frame(b"other", DIGEST))
    with pytest.raises(UserError, match="longer than a source may be"):
        blobs.add(DIGEST, [b"x" * (1 << 24)] * 33)
    with pytest.raises(ConnectionResetError):
        receive(blobs, frame(CONTENT) + frame(b"second")[:-1], fail=True)
    with pytest.raises(UserError, match="ended in the middle"):
        receive(blobs, frame(CONTENT)[:-1])
    for header in (b"../../etc/passwd 1\n", b"x" * 500, f"{DIGEST} -1\n".encode(), f"{DIGEST} 999999999999\n".encode()):
        with pytest.raises(UserError, match="no digest and size"):
            receive(blobs, header)
    assert files(paths) == []


def test_what_breaks_off_closes_its_own_file_and_no_other(paths: Paths) -> None:
    """By its number alone, its object would close that once more when it goes, whoever has it by then."""
    with Blobs(paths).incoming() as incoming:
        incoming.begin(DIGEST)
        incoming.write(CONTENT)
    ours = os.pipe()
    del incoming
    gc.collect()
    for descriptor in ours:
        os.close(descriptor)  # OSError: it is closed already


@pytest.mark.parametrize("cut", [1, 7, 64, 1 << 16])
def test_a_stream_of_blobs_may_be_cut_anywhere(paths: Paths, cut: int) -> None:
    blobs = Blobs(paths)
    contents = [b"", b"\n", CONTENT, CONTENT, bytes(range(256)) * 3]
    receive(blobs, b"".join(map(frame, contents)), cut)
    assert {blobs.path(digest_of(content)).read_bytes() for content in contents} == set(contents)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(paths)} == {0o444}
    assert list(paths.work.iterdir()) == []


def test_many_blobs_are_flushed_together_before_they_get_their_names(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has its name before its content is on disk can be empty after a power cut."""
    blobs = Blobs(paths)
    flushed: list[tuple[int, int]] = []
    real = trees.flush

    def flush(what: Sequence[Path]) -> None:
        flushed.append((len(list(what)), len(list(blobs.list()))))
        real(what)

    monkeypatch.setattr(trees, "flush", flush)
    monkeypatch.setattr("fourfold.store.files.incoming.BATCH_FILES", 200)
    receive(blobs, b"".join(frame(str(number).encode()) for number in range(300)))
    folders = [count for count, _ in flushed[1::2]]
    assert flushed == [(200, 0), (folders[0], 200), (100, 200), (folders[1], 300)]


@pytest.mark.parametrize("name", ["../../etc/passwd", "", DIGEST.upper(), DIGEST + "\n", DIGEST[:63]])
def test_a_name_that_is_no_digest_touches_no_file(paths: Paths, name: str) -> None:
    for store in (Blobs(paths).path, Sources(paths, Blobs(paths)).get, Artifacts(paths).get, Artifacts(paths).remove):
        with pytest.raises(UserError, match="as a digest"):
            store(name)


def test_a_full_disk_is_said_and_leaves_nothing(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WorldError, match="No space left on device"):
        receive(Blobs(paths), frame(CONTENT))
    with pytest.raises(WorldError, match="No space left on device"):
        Sources(paths, Blobs(paths)).put(Manifest.of([]))
    assert files(paths) == []


def test_a_source_is_written_as_its_manifest_says(paths: Paths, tmp_path: Path) -> None:
    blobs = Blobs(paths)
    blobs.add(DIGEST, [CONTENT])
    sources = Sources(paths, blobs)
    manifest = Manifest.of([Entry("a/run", 0o755, 5, DIGEST), Entry("b", 0o644, 5, DIGEST), Entry("l", link="a/run")])
    assert sources.put(manifest) == sources.put(manifest) == manifest.digest
    sources.materialize(manifest.digest, tmp_path / "copy")
    sources.materialize(manifest.digest, tmp_path / "link", link=True)
    for tree, modes in (("copy", (0o755, 0o644)), ("link", (0o755, 0o444))):
        found = [(tmp_path / tree / name).stat() for name in ("a/run", "b")]
        assert tuple(status.st_mode & 0o777 for status in found) == modes
        assert (tmp_path / tree / "l").read_bytes() == CONTENT
    assert (tmp_path / "link/b").stat().st_ino == blobs.path(DIGEST).stat().st_ino
    assert (tmp_path / "copy/b").stat().st_ino != blobs.path(DIGEST).stat().st_ino
    assert [kept.digest for kept in sources.list()] == [manifest.digest]
    sources.remove(manifest.digest)
    with pytest.raises(NotFoundError):
        sources.get(manifest.digest)


def test_an_artifact_is_published_whole_found_and_removed(paths: Paths) -> None:
    artifacts = Artifacts(paths)
    tree = write(paths.work / "b/tree", {"app/x": "1"})
    trees.seal(tree)
    lock = Lock("requirements.lock", "six==1")
    made = artifacts.publish(Artifact(KEY, tree, ("x",), {"PATH": "/app"}, "python3.11", "s", {DEPS: lock}, 1, 2.0))
    assert not tree.exists()
    assert artifacts.find(KEY) == made == artifacts.get(KEY)
    assert artifacts.find("b" * 64) is None
    assert artifacts.lock(DEPS) == lock and artifacts.lock("e" * 64) is None
    assert [kept.digest for kept in artifacts.list()] == [KEY]
    assert artifacts.remove(KEY) > 0 and artifacts.remove(KEY) == 0
    assert artifacts.find(KEY) is None and files(paths) == []


def test_a_removal_that_broke_off_keeps_nothing_from_being_built_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Artifacts(paths)

    def publish() -> Artifact:
        tree = write(paths.work / "b/tree", {"x": "1"})
        trees.seal(tree)
        return artifacts.publish(Artifact(KEY, tree, ("x",)))

    def dies(root: Path) -> int:
        raise KeyboardInterrupt

    publish()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trees, "remove", dies)
        artifacts.remove(KEY)
    assert artifacts.find(KEY) is None and artifacts.lock(DEPS) is None
    assert [kept.digest for kept in artifacts.list()] == [KEY], "gc sees it"
    assert (publish().tree / "x").read_text() == "1"
    (artifacts.tree(KEY).parent / "artifact.json").unlink()
    assert artifacts.remove(KEY) > 0
    assert list(paths.artifacts.iterdir()) == []


def test_a_source_that_is_offered_again_touches_no_file_of_running_trees(paths: Paths, tmp_path: Path) -> None:
    blobs = Blobs(paths)
    blobs.add(DIGEST, [CONTENT])
    sources = Sources(paths, blobs)
    manifest = Manifest.of([Entry("a", 0o644, 5, DIGEST)])
    sources.offer(manifest)
    sources.materialize(manifest.digest, tmp_path / "tree", link=True)
    os.utime(tmp_path / "tree/a", (1000, 1000))
    before = (tmp_path / "tree/a").stat()
    assert sources.offer(manifest) == (manifest.digest, [])
    after = (tmp_path / "tree/a").stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


def test_whoever_offers_a_source_waits_for_blobs_that_are_being_removed(paths: Paths) -> None:
    """Else it could be told that a blob is there which the collector, who knew nothing of the source, then removes."""
    blobs = Blobs(paths)
    blobs.add(DIGEST, [CONTENT])
    manifest = Manifest.of([Entry("a", 0o644, 5, DIGEST)])
    with ThreadPoolExecutor(1) as pool:
        with blobs.lock:
            offer = pool.submit(Sources(paths, blobs).offer, manifest)
            assert not wait({offer}, timeout=0.2).done
            blobs.remove(DIGEST)
        assert offer.result() == (manifest.digest, [DIGEST])


def test_a_file_with_as_many_links_as_can_be_is_copied(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    blobs = Blobs(paths)
    blobs.add(DIGEST, [CONTENT])
    monkeypatch.setattr("os.link", full)
    sources = Sources(paths, blobs)
    sources.materialize(sources.put(Manifest.of([Entry("a", 0o644, 5, DIGEST)])), tmp_path / "tree", link=True)
    trees.copy(tmp_path / "tree", tmp_path / "copy", link=True)
    assert (tmp_path / "tree/a").read_bytes() == (tmp_path / "copy/a").read_bytes() == CONTENT


def test_of_a_link_only_the_link_is_removed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_bytes(bytes(9000))
    for leads in ("there", "there/file", "nowhere"):
        link = tmp_path / "link"
        link.symlink_to(leads)
        assert trees.remove(link) == 0 and not link.is_symlink()
    assert (tmp_path / "there/file").exists()


def test_paths_can_be_moved_where_nothing_can_be_mounted() -> None:
    artifact = Artifact(KEY, Path("/t"), ("/app/.venv/bin/x", "-d", "/apple"), {"PATH": "/app/bin:/usr/bin:/app"})
    placed = artifact.located(Path("/state/t"))
    assert placed.argv == ("/state/t/.venv/bin/x", "-d", "/apple")
    assert placed.env == {"PATH": "/state/t/bin:/usr/bin:/state/t"}
