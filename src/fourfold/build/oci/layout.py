"""Reading an OCI image layout: index.json -> manifest -> configuration and layers. Nothing in it is trusted.

Sources: OCI image specification, image-layout.md, manifest.md, config.md; Docker's schema 2 has the same shape.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourfold.build.oci.unpack import Blob
from fourfold.errors import UserError
from fourfold.store.files.artifacts import Image

JSON_BYTES = 4 * 1024**2
MOST_LAYERS = 127
"""As many as Docker allows; overlayfs takes more."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SIGNAL = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]{0,15}|\d{1,2}")


@dataclass(frozen=True)
class ReadImage:
    """What an image's manifest and configuration say."""

    digest: str
    """SHA-256 in hex of the manifest."""
    blobs: tuple[Blob, ...]
    """Lowest layer first."""
    argv: tuple[str, ...] = ()
    """Entrypoint, then Cmd."""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    cwd: str = "/"
    stop_signal: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def image(self) -> Image:
        layers = _each_once(blob.diff_id for blob in self.blobs)
        return Image(layers, self.env, self.user, self.cwd, self.stop_signal, labels=self.labels)


def read(folder: Path, reference: str) -> ReadImage:
    """The one image of the layout in `folder`. Raises UserError, naming `reference`, for what no runtime could use."""
    try:
        index = _json(folder / "index.json")
        manifest_digest = _only(index["manifests"])
        manifest = _json(_blob(folder, manifest_digest))
        config = _json(_blob(folder, _sha256(manifest["config"])))
        return _image(folder, reference, manifest_digest, manifest, config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError) else str(error)
        raise UserError(
            f"cannot use {reference}: it is not a proper image ({what})", "build or pull it anew"
        ) from error


def _image(folder: Path, reference: str, digest: str, manifest: dict[str, Any], config: dict[str, Any]) -> ReadImage:
    _check_platform(config, reference)
    layers = [_sha256(layer) for layer in manifest["layers"]]
    diff_ids = [_sha256({"digest": text}) for text in config["rootfs"]["diff_ids"]]
    if len(layers) != len(diff_ids):
        raise ValueError(f"it has {len(layers)} layers and {len(diff_ids)} diff_ids")
    if len(layers) > MOST_LAYERS:
        raise ValueError(f"it has {len(layers)} layers, and {MOST_LAYERS} are the most")
    run = config.get("config") or {}
    signal = run.get("StopSignal") or None
    if signal is not None and not _SIGNAL.fullmatch(signal):
        raise ValueError(f"its stop signal is {signal[:40]!r}")
    cwd = _text(run.get("WorkingDir") or "/")
    return ReadImage(
        digest=digest,
        blobs=tuple(
            Blob(_blob(folder, layer), layer, diff_id, f"layer {number} of {reference}")
            for number, (layer, diff_id) in enumerate(zip(layers, diff_ids, strict=True), 1)
        ),
        argv=tuple(_text(word) for word in [*(run.get("Entrypoint") or []), *(run.get("Cmd") or [])]),
        env=dict(_setting(item) for item in run.get("Env") or []),
        user=_text(run.get("User") or ""),
        cwd=cwd if cwd.startswith("/") else f"/{cwd}",
        stop_signal=signal,
        labels={_text(name): _text(value) for name, value in (run.get("Labels") or {}).items()},
    )


def _check_platform(config: Mapping[str, Any], reference: str) -> None:
    machine = architecture()
    found = config.get("os") or "linux", config.get("architecture") or machine
    if found != ("linux", machine):
        raise UserError(
            f"cannot use {reference}: it is for {found[0]}/{found[1]}, and this host is linux/{machine}",
            "name an image that was built for this machine too",
        )


def architecture() -> str:
    """This machine's, in Go's words, as images have it."""
    return _MACHINES.get(platform.machine(), platform.machine())


def _only(manifests: list[Any]) -> str:
    if len(manifests) != 1:
        raise ValueError(f"its index names {len(manifests)} images")
    return _sha256(manifests[0])


def _sha256(descriptor: Mapping[str, Any]) -> str:
    """Digests become file names: whatever is not one stops here."""
    match = _DIGEST.fullmatch(descriptor["digest"])
    if match is None:
        raise ValueError(f"{str(descriptor['digest'])[:80]!r} is no SHA-256")
    return match[1]


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest


def _json(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        content = file.read(JSON_BYTES + 1)
    if len(content) > JSON_BYTES:
        raise ValueError(f"{path.name[:12]} is larger than {JSON_BYTES // 1024**2} MiB")
    data = json.loads(content)
    if not isinstance(data, dict):
        raise ValueError(f"{path.name[:12]} is no JSON object")
    return data


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{str(value)[:80]!r} is no text")
    return value


def _setting(item: Any) -> tuple[str, str]:
    name, _, value = _text(item).partition("=")
    return name, value


def _each_once(layers: Any) -> tuple[str, ...]:
    """overlayfs takes a folder once. Of one that comes twice, the upper hides all that the lower brings."""
    return tuple(reversed(dict.fromkeys(reversed(list(layers)))))
