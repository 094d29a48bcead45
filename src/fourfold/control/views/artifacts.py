"""What services are built into."""

from __future__ import annotations

from fourfold.control.views.base import AnyPattern, View


class LayerView(View):
    """A layer of a base, unpacked."""

    digest: str
    size_bytes: int


class ArtifactView(View):
    """What a service was built into."""

    service: str
    pattern: AnyPattern
    digest: str
    runtime: str | None
    argv: list[str]
    size_bytes: int
    """Of its own files; those of `base` come on top."""
    base: list[LayerView]
    """Of patterns container and vm, lowest first."""
    disks: list[LayerView] = []
    """What it boots: kernel, initial file system, then its disks, lowest first."""


class ImageView(View):
    """An image that was pushed."""

    digest: str
    """Of its manifest, `sha256:…`: what registries know it by."""
    size_bytes: int
    reference: str
