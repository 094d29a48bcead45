"""The JSON of an OCI image: configuration, manifest, index, and Docker's own list for `docker load`. Pure.

Sources: OCI image specification (config.md, manifest.md, image-layout.md); Docker Image Specification v1.2 for
manifest.json. Compact and sorted, so that equal content has equal digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourfold.store.files.compressed import Compressed

_MEDIA = "application/vnd.oci.image."
CREATED = "1980-01-01T00:00:00Z"
"""As the files in the layers: an image that says when it was made is another one each day."""

Member = bytes | Path
"""Content of a file, or where it is."""


@dataclass(frozen=True)
class Run:
    """How the image says to run."""

    entrypoint: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    cwd: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    stop_signal: str | None = None


@dataclass(frozen=True)
class Composed:
    """A whole image as the files of a layout."""

    digest: str
    """SHA-256 in hex of the manifest: what registries call the image's digest."""
    config: str
    """SHA-256 in hex of the configuration: what Docker calls the image's id."""
    members: Mapping[str, Member]
    """Path in the layout -> content."""
    size: int
    """Bytes of all members."""


def compose(run: Run, layers: Sequence[Compressed], architecture: str, tag: str) -> Composed:
    """`tag` is what `docker load` names it: `NAME:TAG`."""
    config = _dump(_config(run, layers, architecture))
    manifest = _dump(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}manifest.v1+json",
            "config": _descriptor(config, "config.v1+json"),
            "layers": [
                {"mediaType": f"{_MEDIA}layer.v1.tar+gzip", "digest": f"sha256:{each.digest}", "size": each.size}
                for each in layers
            ],
        }
    )
    named = {"annotations": {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": "image"}}
    index = {"schemaVersion": 2, "manifests": [_descriptor(manifest, "manifest.v1+json") | named]}
    list_of_docker = [
        {
            "Config": _place(_sha256(config)),
            "RepoTags": [tag],
            "Layers": [_place(each.digest) for each in layers],
        }
    ]
    members: dict[str, Member] = {
        "oci-layout": _dump({"imageLayoutVersion": "1.0.0"}),
        "index.json": _dump(index),
        "manifest.json": _dump(list_of_docker),
        _place(_sha256(config)): config,
        _place(_sha256(manifest)): manifest,
        **{_place(each.digest): each.path for each in layers},
    }
    sizes = {_place(each.digest): each.size for each in layers}
    size = sum(len(each) if isinstance(each, bytes) else sizes[name] for name, each in members.items())
    return Composed(_sha256(manifest), _sha256(config), dict(sorted(members.items())), size)


def _config(run: Run, layers: Sequence[Compressed], architecture: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Entrypoint": list(run.entrypoint),
        "Env": [f"{name}={value}" for name, value in sorted(run.env.items())],
        "WorkingDir": run.cwd,
        "Labels": dict(run.labels),
    }
    if run.user:
        config["User"] = run.user
    if run.port is not None:
        config["ExposedPorts"] = {f"{run.port}/tcp": {}}
    if run.stop_signal is not None:
        config["StopSignal"] = run.stop_signal
    return {
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each.diff_id}" for each in layers]},
        "history": [{"created": CREATED, "created_by": "fourfold build"} for _ in layers],
    }


def _descriptor(content: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": _MEDIA + kind, "digest": f"sha256:{_sha256(content)}", "size": len(content)}


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _dump(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
