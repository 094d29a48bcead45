"""Artifact -> OCI image: base layers, dependencies, application. No tar and no gzip is made for anything but this."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fourfold.build.oci.compose import Composed, Member, Run, compose
from fourfold.build.oci.layout import architecture
from fourfold.build.oci.pack import TIME, Piece, compress, diff_id, root_layer, tree_layer
from fourfold.build.oci.tar import CHUNK
from fourfold.errors import UserError, WorldError
from fourfold.spec.model import Service
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact, Image
from fourfold.store.files.compressed import Compressed, CompressedLayers
from fourfold.store.files.images import Images
from fourfold.store.files.staging import staging

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = "65534:65534"
"""Whom an image of ours runs as elsewhere, where the service's own user is not known. It needs no root."""


class Exporter:
    """Makes images of artifacts whose `image` is set. Slow the first time; then what has not changed is linked."""

    def __init__(self, images: Images, compressed: CompressedLayers, work: Path) -> None:
        self._images = images
        self._compressed = compressed
        self._work = work

    def image(self, artifact: Artifact, spec: Service, app: str, service: str) -> Composed:
        """The image's files; those that are paths stay where they are until gc. Blocking: for a thread.

        Raises UserError for an artifact that is no container's, WorldError when the disk refuses.
        """
        if artifact.image is None:
            raise UserError(f"cannot make an image of {service}: it was not built as a container", "use --as container")
        layers = [*self._of_base(artifact.image), *self._of_tree(artifact, artifact.image)]
        run = run_of(artifact, artifact.image, spec, {"app": app, "service": service})
        return compose(run, layers, architecture(), f"{app}-{service}:latest")

    def _of_base(self, image: Image) -> Iterator[Compressed]:
        for digest in image.layers:
            if not self._images.has(digest):
                raise WorldError(
                    f"cannot make an image: its layer {digest[:12]} is not in the store any more", "build it again"
                )
            yield self._layer(digest, partial(root_layer, self._images.folder(digest)))

    def _of_tree(self, artifact: Artifact, image: Image) -> Iterator[Compressed]:
        """Dependencies first: they stay the same while the application is edited."""
        if not artifact.tree.is_dir() or not any(artifact.tree.iterdir()):
            return
        dependencies = [name for name in image.dependencies if trees.folder_in(artifact.tree, name) is not None]
        above = {str(parent) for name in dependencies for parent in Path(name).parents}

        def in_dependencies(name: str) -> bool:
            return any(name == each or name.startswith(f"{each}/") for each in dependencies)

        if dependencies:
            yield self._of_content(artifact.tree, lambda name: name in above or in_dependencies(name))
        yield self._of_content(artifact.tree, lambda name: not in_dependencies(name))

    def _of_content(self, tree: Path, wanted: Callable[[str], bool]) -> Compressed:
        make = partial(tree_layer, tree, wanted)
        return self._layer(diff_id(make()), make)

    def _layer(self, key: str, make: Callable[[], Iterable[Piece]]) -> Compressed:
        if (found := self._compressed.find(key)) is not None:
            return found
        with staging(self._work, "layer", "make an image") as folder:
            with (folder / "new").open("wb") as file:
                digest, tar = compress(make(), file)
            return self._compressed.publish(key, folder / "new", digest, tar)


def run_of(artifact: Artifact, image: Image, spec: Service, names: dict[str, str]) -> Run:
    """How the image runs wherever it goes. Pure. Secrets are not in it: they are given to whoever runs it."""
    ready_made = not artifact.source
    env = {"PATH": SYSTEM_PATH, **({} if ready_made else {"HOME": "/tmp", "LANG": "C.UTF-8"}), **image.env}
    own = dict(artifact.env)
    if "PATH" in own:
        own["PATH"] = ":".join(dict.fromkeys(f"{own['PATH']}:{env['PATH']}".split(":")))
    port = spec.own_port
    env |= own | spec.env | ({} if port is None else {"PORT": str(port), "HOST": "0.0.0.0"})
    labels = {**image.labels, **{f"dev.fourfold.{key}": value for key, value in names.items()}}
    labels |= {"org.opencontainers.image.title": names["service"]}
    if artifact.source:
        labels |= {"dev.fourfold.source": artifact.source}
    return Run(
        entrypoint=artifact.argv,
        env=env,
        user=image.user or ("" if ready_made else NOBODY),
        cwd=image.cwd,
        labels=labels,
        port=port,
        stop_signal=_stop_signal(image, spec),
    )


def _stop_signal(image: Image, spec: Service) -> str:
    own = spec.stop.signal.removeprefix("SIG")
    return image.stop_signal if image.stop_signal and own == "TERM" else f"SIG{own}"


def write_layout(image: Composed, folder: Path) -> None:
    """As a folder on the store's file system: layers are hard links."""
    for name, content in image.members.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            place.write_bytes(content)
        elif not trees.linked(content, place):
            raise WorldError(f"cannot make an image: {content} has too many links", "fourfold gc")


@dataclass(frozen=True)
class Archive:
    """An image as one tar: an OCI layout that `docker load` takes too, since it has Docker's list beside."""

    digest: str
    """SHA-256 in hex of the manifest."""
    size: int
    """Bytes of all `pieces`."""
    pieces: Iterator[bytes]
    """Once; reading blocks."""


def archive(image: Composed) -> Archive:
    block = tarfile.BLOCKSIZE
    infos = [_info(name, content) for name, content in image.members.items()]
    size = sum(len(_header(info)) + -(-info.size // block) * block for info in infos)
    return Archive(image.digest, size + 2 * block, _tar(image))


def _info(name: str, content: Member) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = 0o644, TIME
    info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return info


def _header(info: tarfile.TarInfo) -> bytes:
    """Of a layer of 8 GiB and more it has an extended header: a plain one cannot say its size."""
    return info.tobuf(tarfile.PAX_FORMAT)


def _tar(image: Composed) -> Iterator[bytes]:
    for name, content in image.members.items():
        info = _info(name, content)
        yield _header(info)
        if isinstance(content, bytes):
            yield content
        else:
            with content.open("rb") as file:
                while piece := file.read(CHUNK):
                    yield piece
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
