"""What is read of an image, which anybody may have made."""

from __future__ import annotations

import os
from pathlib import Path

from fourfold.control.instances.containers import read_file


def test_the_uppermost_layer_has_the_say(tmp_path: Path) -> None:
    layers = [tmp_path / str(number) for number in range(3)]
    for layer in layers:
        (layer / "etc").mkdir(parents=True)
    (layers[0] / "etc/passwd").write_text("lowest")
    assert read_file(layers, "etc", "passwd") == "lowest"
    (layers[1] / "etc/passwd").write_text("upper")
    assert read_file(layers, "etc", "passwd") == "upper"
    assert read_file(layers, "etc", "group") == ""


def test_no_link_is_followed_and_nothing_waits(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/passwd").write_text("of the host")
    linked, link, pipe = (tmp_path / name for name in ("linked", "link", "pipe"))
    linked.mkdir()
    (linked / "etc").symlink_to(tmp_path / "outside")
    (link / "etc").mkdir(parents=True)
    (link / "etc/passwd").symlink_to(tmp_path / "outside/passwd")
    (pipe / "etc").mkdir(parents=True)
    os.mkfifo(pipe / "etc/passwd")
    for layer in (linked, link, pipe):
        assert read_file([layer], "etc", "passwd") == ""
