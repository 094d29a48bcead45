"""Images written from artifacts: the same bytes anywhere, the layers that were asked for, nothing secret."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.oci.compose import Composed
from fourfold.build.oci.export import Exporter, archive, write_layout
from fourfold.build.oci.pack import compress, diff_id, root_layer
from fourfold.build.oci.unpack import unpack
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.store import layout
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact, Image
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.images import Images

from .archives import entry, folder, hardlink, layer, symlink, tar
from .images import artifact

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="layers are unpacked as root, with their owners")
FILES = {
    "run": "#!/bin/sh\necho hello", "lib/a.py": "a = 1", ".venv/bin/python": "#!python", ".venv/lib/x.py": "x = 1",
    "vendor/bundle/g.rb": "g", "vendor/own.rb": "own", ".venvs": "not a dependency",
}  # fmt: skip
IMAGE = Image((), {"TZ": "UTC"}, dependencies=(".venv", "vendor/bundle", "absent"))


def export(paths: Paths, made: Artifact, **spec: Any) -> Composed:
    exporter = Exporter(Images(paths), CompressedLayers(paths), paths.work)
    return exporter.image(made, Service.model_validate({"source": ".", **spec}), "shop", "web")


def config_of(image: Composed) -> dict[str, Any]:
    content = image.members[f"blobs/sha256/{image.config}"]
    assert isinstance(content, bytes)
    return dict(json.loads(content))


def layers_of(image: Composed) -> list[dict[str, tarfile.TarInfo]]:
    manifest = image.members[f"blobs/sha256/{image.digest}"]
    assert isinstance(manifest, bytes)
    found = []
    for each, diff in zip(json.loads(manifest)["layers"], config_of(image)["rootfs"]["diff_ids"], strict=True):
        path = image.members["blobs/sha256/" + each["digest"].removeprefix("sha256:")]
        assert isinstance(path, Path) and path.stat().st_size == each["size"]
        content = gzip.decompress(path.read_bytes())
        assert "sha256:" + hashlib.sha256(content).hexdigest() == diff
        with tarfile.open(fileobj=io.BytesIO(content)) as opened:
            found.append({info.name: info for info in opened})
    return found


def test_dependencies_are_a_layer_of_their_own(paths: Paths) -> None:
    below, above = layers_of(export(paths, artifact(paths, FILES, IMAGE)))
    assert set(below) == {
        "app", "app/.venv", "app/.venv/bin", "app/.venv/bin/python", "app/.venv/lib", "app/.venv/lib/x.py",
        "app/vendor", "app/vendor/bundle", "app/vendor/bundle/g.rb",
    }  # fmt: skip
    assert set(above) == {
        "app", "app/.venvs", "app/run", "app/lib", "app/lib/a.py", "app/vendor", "app/vendor/own.rb"
    }  # fmt: skip
    assert list(above) == sorted(above)
    for info in [*below.values(), *above.values()]:
        assert (info.uid, info.gid, info.mtime) == (0, 0, 315_532_800)
        assert info.mode == (0o555 if info.isdir() or info.name.endswith(("run", "python")) else 0o444)


def test_an_edit_makes_the_last_layer_anew_only(paths: Paths) -> None:
    before = export(paths, artifact(paths, FILES, IMAGE))
    after = export(paths, artifact(paths, FILES | {"lib/a.py": "a = 2"}, IMAGE))
    first, second = config_of(before)["rootfs"]["diff_ids"], config_of(after)["rootfs"]["diff_ids"]
    assert first[0] == second[0] and first[1] != second[1] and before.digest != after.digest
    assert len(list(CompressedLayers(paths).list())) == 3


def test_the_same_in_another_folder_and_on_another_day(paths: Paths, tmp_path: Path) -> None:
    other = Paths.find({"FOURFOLD_HOME": str(tmp_path / "elsewhere" / "home")}, os.geteuid())
    layout.create(other, root=os.geteuid() == 0)
    one = artifact(paths, FILES, IMAGE)
    two = artifact(other, dict(reversed(FILES.items())), IMAGE, built_at=1e9)
    for path, _ in trees.walk(two.tree):
        os.utime(path, (5, 5))
    first, second = export(paths, one), export(other, two)
    assert first.digest == second.digest
    assert b"".join(archive(first).pieces) == b"".join(archive(second).pieces)


def test_how_it_runs(paths: Paths) -> None:
    made = artifact(
        paths, FILES, IMAGE, env={"PATH": "/app/.venv/bin", "PYTHONUNBUFFERED": "1"}, argv=("python", "run")
    )
    spec = {"port": 9000, "env": {"LOG": "info"}, "secrets": ["API_KEY"], "stop": {"signal": "INT"}}
    config = config_of(export(paths, made, **spec))["config"]
    assert config == {
        "Entrypoint": ["python", "run"], "ExposedPorts": {"9000/tcp": {}}, "StopSignal": "SIGINT",
        "User": "65534:65534", "WorkingDir": "/app",
        "Env": [
            "HOME=/tmp", "HOST=0.0.0.0", "LANG=C.UTF-8", "LOG=info",
            "PATH=/app/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PORT=9000",
            "PYTHONUNBUFFERED=1", "TZ=UTC",
        ],
        "Labels": {
            "dev.fourfold.app": "shop", "dev.fourfold.service": "web", "dev.fourfold.source": "5" * 64,
            "org.opencontainers.image.title": "web",
        },
    }  # fmt: skip


def test_a_ready_made_image_stays_as_it_was(paths: Paths) -> None:
    labels = {"team": "shop", "dev.fourfold.app": "another"}
    image = Image((), {"PATH": "/opt/bin"}, "nginx", "/srv", "SIGQUIT", labels=labels)
    made = artifact(paths, {}, image, argv=("nginx",), source="")
    exported = export(paths, made)
    config = config_of(exported)["config"]
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("nginx", "/srv", "SIGQUIT")
    assert config["Env"] == ["PATH=/opt/bin"] and layers_of(exported) == []
    assert (config["Labels"]["team"], config["Labels"]["dev.fourfold.app"]) == ("shop", "shop")
    assert config_of(export(paths, made, stop={"signal": "INT"}))["config"]["StopSignal"] == "SIGINT"


def test_what_is_no_container_is_refused(paths: Paths) -> None:
    made = artifact(paths, FILES, IMAGE)
    with pytest.raises(UserError, match="was not built as a container"):
        export(paths, Artifact(made.digest, made.tree, made.argv))
    with pytest.raises(WorldError, match="not in the store any more"):
        export(paths, artifact(paths, FILES, Image(("b" * 64,))))


BASE = tar([
    folder("etc", 0o700), entry("etc/.wh.motd"), folder("opt"), entry("opt/.wh..wh..opq"),
    entry("bin/su", content=b"su", mode=0o4755, uid=3), hardlink("bin/sudo", "bin/su"), symlink("lib", "usr/lib"),
    entry("ping", pax={"SCHILY.xattr.security.capability": "\x01\0\0\2\0\x20\0\0" + "\0" * 12}),
])  # fmt: skip


@as_root
def test_layers_of_a_base_come_out_as_they_went_in(paths: Paths, images: Images, tmp_path: Path) -> None:
    blob = layer(tmp_path, BASE)
    images.publish(blob.diff_id, *_unpacked(blob, paths))
    exported = export(paths, artifact(paths, FILES, Image((blob.diff_id,))))
    found = layers_of(exported)[0]
    assert {"etc", "etc/.wh.motd", "opt", "opt/.wh..wh..opq", "bin", "bin/su", "bin/sudo", "lib", "ping"} == set(found)
    assert (found["bin/su"].mode, found["bin/su"].uid, found["bin/su"].mtime) == (0o4755, 3, 1000)
    assert found["lib"].linkname == "usr/lib" and found["etc"].mode == 0o700
    content = b"".join(piece.content for piece in root_layer(images.folder(blob.diff_id)))
    again = tmp_path / "again"
    unpack(layer(tmp_path, content), again)
    assert diff_id(root_layer(again)) == hashlib.sha256(content).hexdigest()
    assert os.getxattr(again / "ping", "security.capability") == os.getxattr(
        images.folder(blob.diff_id) / "ping", "security.capability"
    )


def _unpacked(blob: Any, paths: Paths) -> tuple[Path, int]:
    root = paths.work / "unpack" / "root"
    return root, unpack(blob, root)


def test_what_is_compressed_already_is_stored(paths: Paths) -> None:
    noise = random.Random(1).randbytes(3_000_000)
    tree = artifact(paths, {"a.txt": "a" * 500_000, "z.txt": "z" * 500_000}, IMAGE).tree
    tree.chmod(0o755)
    (tree / "app.jar").write_bytes(noise)
    made = Artifact("a" * 64, tree, ("x",), image=IMAGE)
    image = export(paths, made)
    ((path,),) = [[each for each in image.members.values() if isinstance(each, Path)]]
    content = path.read_bytes()
    assert noise[100_000:160_000] in content and len(content) < 3_020_000
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as opened:
        assert {info.name: info.size for info in opened if info.isreg()} == {
            "app/a.txt": 500_000, "app/app.jar": 3_000_000, "app/z.txt": 500_000
        }  # fmt: skip


def test_pieces_are_one_tar_whatever_their_size(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_bytes(b"x" * 1_000_001)
    with (tmp_path / "out").open("wb") as file:
        written, whole = compress(root_layer(tmp_path / "tree"), file)
    content = (tmp_path / "out").read_bytes()
    assert written == hashlib.sha256(content).hexdigest()
    assert whole == hashlib.sha256(gzip.decompress(content)).hexdigest() == diff_id(root_layer(tmp_path / "tree"))


def test_a_layer_that_a_plain_header_cannot_hold(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.touch()
    os.truncate(layer, 8 * 1024**3)
    made = archive(Composed("", "", {"blobs/layer": layer}, layer.stat().st_size))
    first = next(made.pieces)
    with tarfile.open(fileobj=io.BytesIO(first)) as opened:
        member = opened.next()
    assert member is not None and (member.name, member.size) == ("blobs/layer", 8 * 1024**3)
    assert made.size == len(first) + member.size + 2 * tarfile.BLOCKSIZE


# what others make of them


def skopeo(*argv: str) -> str:
    return subprocess.run(["skopeo", "--insecure-policy", *argv], check=True, capture_output=True, text=True).stdout


def test_skopeo_reads_the_folder_and_the_archive(paths: Paths, tmp_path: Path) -> None:
    image = export(paths, artifact(paths, FILES, IMAGE), port=8080)
    write_layout(image, paths.work / "layout")
    inspected: Mapping[str, Any] = json.loads(skopeo("inspect", f"oci:{paths.work}/layout:image"))
    assert inspected["Digest"] == f"sha256:{image.digest}" and inspected["Os"] == "linux"
    assert len(inspected["Layers"]) == 2 and inspected["Labels"]["dev.fourfold.service"] == "web"
    (tmp_path / "image.tar").write_bytes(b"".join(archive(image).pieces))
    assert (tmp_path / "image.tar").stat().st_size == archive(image).size
    for source in (f"docker-archive:{tmp_path}/image.tar:shop-web:latest", f"oci-archive:{tmp_path}/image.tar:image"):
        skopeo("copy", source, f"oci:{tmp_path}/{source[:6]}:image")
        again = json.loads(skopeo("inspect", "--config", f"oci:{tmp_path}/{source[:6]}:image"))
        assert again["rootfs"]["diff_ids"] == config_of(image)["rootfs"]["diff_ids"]
