"""Links that a build lays where the builder writes and removes afterwards, as root, lead nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fourfold.build import result
from fourfold.build.layers import KEEP, Layers
from fourfold.build.model import BuildPlan, Layer
from fourfold.errors import WorldError
from fourfold.store.files import trees

from .helpers import write


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return write(tmp_path / "victim", {"shims/precious": "1", "bundle/precious": "1"})


def untouched(victim: Path) -> bool:
    return sorted(path.relative_to(victim).as_posix() for path in victim.rglob("*")) == [
        "bundle", "bundle/precious", "shims", "shims/precious",
    ]  # fmt: skip


def test_finishing_follows_no_link(tmp_path: Path, victim: Path) -> None:
    tree = write(tmp_path / "tree", {"a": ""})
    (tree / ".fourfold").symlink_to(victim)
    plan = BuildPlan(
        drop=(".fourfold/shims",), files={".fourfold/static.py": "x"}, links={".fourfold/bin/python": "/x"}
    )
    result.finish(tree, plan)
    assert untouched(victim)
    assert (tree / ".fourfold/static.py").read_text() == "x" and not (tree / ".fourfold").is_symlink()


def test_keeping_a_layer_follows_no_link(tmp_path: Path, victim: Path) -> None:
    tree = write(tmp_path / "work/tree", {"a": ""})
    (tree / "vendor").symlink_to(victim)
    layers = Layers(tmp_path / "layers", link=True)
    layer = Layer(None, (), ("vendor/bundle",), "vendor/bundle/precious")
    kept = layers.keep("k" * 64, layer, tree, None)
    assert untouched(victim)
    assert kept.lock is None and list(kept.tree.iterdir()) == []


def test_old_layers_go(tmp_path: Path) -> None:
    layers = Layers(tmp_path / "layers", link=True)
    layer = Layer(None, (), ("d",), "lock")
    names = [f"l{number}" for number in range(KEEP + 2)]
    for number, name in enumerate(names):
        tree = write(tmp_path / name / "tree", {"d/x": name, "lock": name})
        layers.keep(name, layer, tree, None)
        os.utime(tmp_path / "layers" / name, (number, number))  # the clock of file systems may stand still meanwhile
    assert [layers.find(name) is None for name in names] == [True, True, *[False] * KEEP]
    found = layers.find(names[-1])
    assert found is not None and found.lock is not None and found.lock.text == names[-1]
    layers.put(found, layer, write(tmp_path / "into", {}))
    assert (tmp_path / "into/d/x").read_text() == (tmp_path / "into/lock").read_text() == names[-1]
    trees.remove(tmp_path / "layers")


def test_folders_too_deep_to_be_named_are_refused_and_removed(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {})
    deep = "import os\nfor _ in range(60): os.mkdir('n' * 200); os.chdir('n' * 200)"
    subprocess.run([sys.executable, "-c", deep], cwd=tree, check=True)
    with pytest.raises(WorldError, match="too long"):
        result.check(tree, 10**9, None)
    trees.remove(tree)
    assert not tree.exists()
