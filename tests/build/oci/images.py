"""Images for tests, made by hand: a layout of given layers, and an artifact of given files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fourfold.build.oci.compose import Run, compose
from fourfold.build.oci.export import write_layout
from fourfold.build.oci.layout import architecture
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact, Image
from fourfold.store.files.compressed import Compressed

from .archives import layer

RUN = Run(("/bin/web", "--fast"), {"PATH": "/bin", "A": "b=c"}, "nginx", "/srv", {"team": "shop"}, 80, "SIGQUIT")


def layout(folder: Path, layers: Sequence[bytes], run: Run = RUN, machine: str | None = None) -> Path:
    """An OCI layout with the tars `layers`, as another tool would have made it."""
    blobs = folder.with_name(folder.name + "-blobs")
    blobs.mkdir(parents=True, exist_ok=True)
    made = [layer(blobs, content) for content in layers]
    compressed = [Compressed(each.path, each.digest, each.diff_id, each.path.stat().st_size) for each in made]
    write_layout(compose(run, compressed, machine or architecture(), "shop-web:latest"), folder)
    return folder


def change(folder: Path, which: str, **values: Any) -> None:
    """Change the `manifest` or the `config` of a layout, with all digests on the way to it."""
    index = json.loads((folder / "index.json").read_bytes())
    manifest = json.loads(_blob(folder, index["manifests"][0]["digest"]).read_bytes())
    if which == "config":
        config = json.loads(_blob(folder, manifest["config"]["digest"]).read_bytes())
        manifest["config"] |= _put(folder, {**config, **values})
    index["manifests"][0] |= _put(folder, manifest if which == "config" else {**manifest, **values})
    (folder / "index.json").write_text(json.dumps(index))


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs/sha256" / digest.removeprefix("sha256:")


def _put(folder: Path, data: Any) -> dict[str, Any]:
    content = json.dumps(data).encode()
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    _blob(folder, digest).write_bytes(content)
    return {"digest": digest, "size": len(content)}


def artifact(paths: Paths, files: Mapping[str, str], image: Image, **given: Any) -> Artifact:
    """One with a sealed tree that is nowhere in a store."""
    tree = paths.work / f"tree-{len(list(paths.work.iterdir()))}"
    for name, text in files.items():
        place = tree / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755 if text.startswith("#!") else 0o644)
    tree.mkdir(exist_ok=True)
    trees.seal(tree)
    fields: dict[str, Any] = {"digest": "a" * 64, "tree": tree, "argv": ("/app/run",), "source": "5" * 64}
    return Artifact(image=image, **(fields | given))
