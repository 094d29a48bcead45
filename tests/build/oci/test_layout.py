"""What is read from an image's manifest and configuration, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fourfold.build.oci.compose import Run
from fourfold.build.oci.layout import read
from fourfold.errors import UserError

from .archives import entry, tar
from .images import change, layout

ONE, TWO = tar([entry("one")]), tar([entry("two")])


def test_what_an_image_says(tmp_path: Path) -> None:
    found = read(layout(tmp_path / "image", [ONE, TWO]), "oci:x")
    assert found.argv == ("/bin/web", "--fast") and found.env == {"PATH": "/bin", "A": "b=c"}
    assert (found.user, found.cwd, found.stop_signal) == ("nginx", "/srv", "SIGQUIT")
    assert found.image.labels == {"team": "shop"}
    assert [blob.name for blob in found.blobs] == ["layer 1 of oci:x", "layer 2 of oci:x"]
    assert found.image.layers == tuple(blob.diff_id for blob in found.blobs)


def test_an_image_that_says_nothing(tmp_path: Path) -> None:
    folder = layout(tmp_path / "image", [], Run(()))
    change(folder, "config", config=None)
    found = read(folder, "oci:x")
    assert found.argv == () and found.env == {} and found.cwd == "/" and found.image.layers == () and not found.labels


def test_a_layer_that_comes_twice_is_mounted_once(tmp_path: Path) -> None:
    found = read(layout(tmp_path / "image", [ONE, TWO, ONE]), "oci:x")
    assert len(found.blobs) == 3 and found.image.layers == (found.blobs[1].diff_id, found.blobs[0].diff_id)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "layers that lead out": ("manifest", {"layers": [{"digest": "sha256:../../../etc/passwd"}]}, "is no SHA-256"),
    "another hash": ("manifest", {"layers": [{"digest": "md5:" + "0" * 32}]}, "is no SHA-256"),
    "fewer layers than diff_ids": ("manifest", {"layers": []}, "0 layers and 1 diff_ids"),
    "layers that are none": ("manifest", {"layers": [7]}, "not a proper image"),
    "no layers": ("manifest", {"layers": None}, "not a proper image"),
    "no rootfs": ("config", {"rootfs": {}}, "diff_ids"),
    "diff_ids that are none": ("config", {"rootfs": {"diff_ids": ["/etc"]}}, "is no SHA-256"),
    "another machine": ("config", {"architecture": "s390x"}, "it is for linux/s390x, and this host is"),
    "another system": ("config", {"os": "windows"}, "it is for windows/"),
    "words that are none": ("config", {"config": {"Cmd": [1]}}, "'1' is no text"),
    "labels that are none": ("config", {"config": {"Labels": {"a": 1}}}, "'1' is no text"),
    "labels of another form": ("config", {"config": {"Labels": ["a=b"]}}, "not a proper image"),
    "a zero byte": ("config", {"config": {"Env": ["A=\0"]}}, "is no text"),
    "a signal that is none": ("config", {"config": {"StopSignal": "; rm"}}, "stop signal"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    which, values, why = REFUSED[case]
    folder = layout(tmp_path / "image", [ONE])
    change(folder, which, **values)
    with pytest.raises(UserError, match=why) as caught:
        read(folder, "oci:/srv/image")
    assert "oci:/srv/image" in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"manifests": []}', '{"manifests": 1}', "[" * 100_000, " " * 5_000_000]
)
def test_an_index_that_is_none(tmp_path: Path, content: str) -> None:
    folder = layout(tmp_path / "image", [ONE])
    (folder / "index.json").write_text(content)
    with pytest.raises(UserError, match="cannot use oci:x: it is not a proper image"):
        read(folder, "oci:x")
