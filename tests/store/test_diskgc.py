"""Disks stay while an artifact names them, and a while longer: a base's disk is asked for again."""

from __future__ import annotations

import hashlib
import os

import pytest

from fourfold.paths import Paths
from fourfold.store.files.artifacts import Artifact, Artifacts, Boot
from fourfold.store.files.disks import Disks
from fourfold.store.garbage import disks as diskgc
from fourfold.store.garbage.disks import sweep_disks

NOW, HOUR, DAY = 10_000_000.0, 3600.0, 86_400.0


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def add(paths: Paths, name: str, age: float, size: int = 1) -> None:
    folder = paths.work / f"disk-{name}"
    folder.mkdir(parents=True)
    (folder / "new").write_bytes(b"x" * size)
    os.utime(Disks(paths).publish(key(name), folder / "new"), (NOW - age, NOW - age))


def booted(paths: Paths, *names: str) -> None:
    kernel, initrd, *disks = map(key, names)
    tree = paths.work / "artifact" / "tree"
    tree.mkdir(parents=True)
    Artifacts(paths).publish(Artifact(key("artifact"), tree, ("x",), boot=Boot(kernel, initrd, tuple(disks))))


def left(paths: Paths) -> set[str]:
    known = {key(name): name for name in ("linux", "init", "base", "app", "old", "young", "recent", "large")}
    return {known[each.digest] for each in Disks(paths).list()}


def test_what_an_artifact_boots_stays(paths: Paths) -> None:
    for name in ("linux", "init", "base", "app", "old"):
        add(paths, name, 90 * DAY)
    add(paths, "recent", 2 * DAY)
    booted(paths, "linux", "init", "base", "app")
    collected = sweep_disks(Disks(paths), Artifacts(paths), NOW)
    assert left(paths) == {"linux", "init", "base", "app", "recent"}
    assert collected.removed == {"disks": 1}
    assert collected.freed_bytes > 0


def test_too_much_goes_before_its_time(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskgc, "UNNAMED_BYTES", 20_000)
    add(paths, "young", HOUR / 2, size=30_000)
    add(paths, "recent", 2 * HOUR)
    sweep_disks(Disks(paths), Artifacts(paths), NOW)
    assert left(paths) == {"young"}
