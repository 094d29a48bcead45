"""Layers stay while an artifact or a record of this month names them; archives of layers are bounded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fourfold.paths import Paths
from fourfold.store.files.artifacts import Artifact, Artifacts, Image
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.images import Images, Record
from fourfold.store.garbage import images as imagegc
from fourfold.store.garbage.images import sweep_images

NOW, HOUR, DAY = 10_000_000.0, 3600.0, 86_400.0


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture
def images(paths: Paths) -> Images:
    return Images(paths)


@pytest.fixture
def compressed(paths: Paths) -> CompressedLayers:
    return CompressedLayers(paths)


def add_layer(paths: Paths, images: Images, name: str, age: float) -> None:
    root = paths.work / f"stage-{name}" / "root"
    root.mkdir(parents=True)
    (root / "file").write_text(name)
    folder = images.publish(digest(name), root, 1)
    root.parent.rmdir()
    os.utime(folder.parent / "layer.json", (NOW - age, NOW - age))


def add_record(paths: Paths, images: Images, name: str, age: float, *layers: str) -> None:
    images.records.put(Record(name, digest(name), Image(tuple(digest(layer) for layer in layers))))
    os.utime(paths.images / "records" / f"{digest(name)}.json", (NOW - age, NOW - age))


def add_archive(paths: Paths, compressed: CompressedLayers, name: str, age: float, size: int = 1) -> None:
    folder = paths.work / f"archive-{name}"
    folder.mkdir()
    (folder / "new").write_bytes(b"x" * size)
    path = compressed.publish(digest(name), folder / "new", digest("gz" + name), digest(name)).path
    os.utime(path.with_name("layer.json"), (NOW - age, NOW - age))


def names(found: Images | CompressedLayers) -> set[str]:
    known = {digest(name): name for name in ("artifacts", "records", "old", "nobodys", "young", "a", "b", "c", "d")}
    return {known[each.digest] for each in found.list()}


def test_what_nothing_names_goes(paths: Paths, images: Images, compressed: CompressedLayers) -> None:
    for name in ("artifacts", "records", "old", "nobodys"):
        add_layer(paths, images, name, 2 * HOUR)
    add_layer(paths, images, "young", HOUR / 2)
    add_record(paths, images, "debian python3.11", 29 * DAY, "records", "artifacts")
    add_record(paths, images, "docker://old", 31 * DAY, "old", "records")
    artifacts = Artifacts(paths)
    (paths.work / "tree").mkdir()
    artifacts.publish(Artifact(digest("x"), paths.work / "tree", ("x",), image=Image((digest("artifacts"),))))
    done = sweep_images(images, compressed, artifacts, NOW)
    assert names(images) == {"artifacts", "records", "young"}
    assert [images.records.read(each.digest).name for each in images.records.list()] == ["debian python3.11"]
    assert done.removed == {"image records": 1, "layers": 2, "layer archives": 0} and done.freed_bytes > 0
    assert sweep_images(images, compressed, artifacts, NOW).freed_bytes == 0
    assert list(paths.work.iterdir()) == []


def test_a_local_image_that_was_changed_since_goes(paths: Paths, images: Images, compressed: CompressedLayers) -> None:
    for name in ("a", "b", "c", "d"):
        add_layer(paths, images, name, 2 * HOUR)
    add_record(paths, images, "dockerfile before", 2 * HOUR, "a", "b")
    add_record(paths, images, "dockerfile now", 2 * HOUR, "a", "c")
    add_record(paths, images, "oci:/just/fetched", HOUR / 2, "d")
    artifacts = Artifacts(paths)
    (paths.work / "tree").mkdir()
    image = Image((digest("a"), digest("c")))
    artifacts.publish(Artifact(digest("x"), paths.work / "tree", ("x",), image=image))
    sweep_images(images, compressed, artifacts, NOW)
    assert names(images) == {"a", "c", "d"}
    left = {images.records.read(each.digest).name for each in images.records.list()}
    assert left == {"dockerfile now", "oci:/just/fetched"}


def test_what_a_removal_left_is_found(paths: Paths, images: Images, compressed: CompressedLayers) -> None:
    add_layer(paths, images, "old", 2 * HOUR)
    (images.folder(digest("old")).parent / "layer.json").unlink()
    os.utime(images.folder(digest("old")).parent, (1, 1))
    add_archive(paths, compressed, "a", 0)
    folder = compressed.find(digest("a"))
    assert folder is not None
    folder.path.with_name("layer.json").unlink()
    os.utime(folder.path.parent, (1, 1))
    assert sweep_images(images, compressed, Artifacts(paths), NOW).removed["layers"] == 1
    assert list(images.list()) == [] and list(compressed.list()) == []


def test_archives_are_bounded(
    paths: Paths, images: Images, compressed: CompressedLayers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagegc, "COMPRESSED_BYTES", 100_000)
    for name, age in (("a", HOUR / 2), ("b", 2 * HOUR), ("c", 3 * HOUR), ("d", 8 * DAY)):
        add_archive(paths, compressed, name, age, 40_000)
    done = sweep_images(images, compressed, Artifacts(paths), NOW)
    assert names(compressed) == {"a", "b"} and done.removed["layer archives"] == 2
    monkeypatch.setattr(imagegc, "COMPRESSED_BYTES", 1)
    sweep_images(images, compressed, Artifacts(paths), NOW)
    assert names(compressed) == {"a"}, "used a moment ago"


def test_archives_come_back_as_they_were(paths: Paths, compressed: CompressedLayers) -> None:
    assert compressed.find(digest("a")) is None
    add_archive(paths, compressed, "a", 9 * DAY, 7)
    found = compressed.find(digest("a"))
    assert found is not None and found.path.read_bytes() == b"x" * 7
    assert (found.digest, found.diff_id, found.size) == (digest("gza"), digest("a"), 7)
    assert next(iter(compressed.list())).used_at > NOW, "asked for: it is young again"
    assert not Path(paths.work / "archive-a").exists()
