"""Layers and records of images: published whole, removed record first, forgotten when a layer is gone."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.paths import Paths
from fourfold.store.files.artifacts import Image
from fourfold.store.files.images import Images, Record

ONE, TWO = (hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two"))


@pytest.fixture
def images(paths: Paths) -> Images:
    return Images(paths)


def staged(paths: Paths, text: str = "hello") -> Path:
    root = paths.work / "unpack" / "root"
    root.mkdir(parents=True)
    (root / "etc").mkdir(mode=0o700)
    (root / "etc/motd").write_text(text)
    (root / "etc/motd").chmod(0o4755)
    return root


def record(*layers: str) -> Record:
    image = Image(layers, env={"PATH": "/bin"}, user="nginx", stop_signal="SIGQUIT", dependencies=(".venv",))
    return Record("docker://nginx:1", ONE, image, ("nginx", "-g"))


def test_a_published_layer_is_there_as_it_was(paths: Paths, images: Images) -> None:
    assert not images.has(ONE) and images.size(ONE) == 0
    root = images.publish(ONE, staged(paths), 4096)
    assert root == images.folder(ONE) and (root / "etc/motd").read_text() == "hello"
    assert (root / "etc/motd").stat().st_mode & 0o7777 == 0o4755 and (root / "etc").stat().st_mode & 0o777 == 0o700
    assert images.has(ONE) and images.size(ONE) == 4096
    assert [(kept.digest, kept.size) for kept in images.list()] == [(ONE, 4096)]
    assert list((paths.work / "unpack").iterdir()) == [], "nothing is left where it was made"


def test_the_first_one_published_stays(paths: Paths, images: Images) -> None:
    images.publish(ONE, staged(paths), 1)
    root = images.publish(ONE, staged(paths, "other"), 2)
    assert (root / "etc/motd").read_text() == "hello" and images.size(ONE) == 1
    assert list((paths.work / "unpack").iterdir()) == []


def test_a_removal_that_broke_off_leaves_nothing_that_is_found(paths: Paths, images: Images) -> None:
    root = images.publish(ONE, staged(paths), 1)
    (root.parent / "layer.json").unlink()  # what `remove` does first
    assert not images.has(ONE)
    assert [kept.digest for kept in images.list()] == [ONE], "gc finds it"
    assert (images.publish(ONE, staged(paths, "again"), 2) / "etc/motd").read_text() == "again"
    assert images.remove(ONE) > 0
    assert not images.has(ONE) and list(images.list()) == [] and images.remove(ONE) == 0


def test_asking_for_a_layer_makes_it_young(paths: Paths, images: Images) -> None:
    root = images.publish(ONE, staged(paths), 1)
    os.utime(root.parent / "layer.json", (1, 1))
    assert [kept.used_at for kept in images.list()] == [1]
    assert images.has(ONE)
    assert next(iter(images.list())).used_at > 1


def test_names_that_are_no_digests_are_refused(images: Images) -> None:
    for name in ("../x", "", "A" * 64, ONE + "/.."):
        with pytest.raises(UserError, match="as a digest"):
            images.folder(name)


def test_records_come_back_as_they_were(paths: Paths, images: Images) -> None:
    assert images.records.get("docker://nginx:1") is None
    images.publish(ONE, staged(paths), 1)
    images.records.put(record(ONE))
    assert images.records.get("docker://nginx:1") == record(ONE)
    (kept,) = images.records.list()
    assert images.records.read(kept.digest) == record(ONE)
    assert images.records.remove(kept.digest) == kept.size and images.records.remove(kept.digest) == 0
    assert images.records.get("docker://nginx:1") is None


def test_a_record_is_none_any_more_when_a_layer_is_gone(paths: Paths, images: Images) -> None:
    images.publish(ONE, staged(paths), 1)
    images.records.put(record(ONE, TWO))
    assert images.records.get("docker://nginx:1") is None
    images.publish(TWO, staged(paths), 1)
    assert images.records.get("docker://nginx:1") is not None


def test_the_folder_is_the_daemons_alone(paths: Paths) -> None:
    assert paths.images.stat().st_mode & 0o777 == 0o700
