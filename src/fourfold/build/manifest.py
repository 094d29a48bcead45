"""The manifest of a source. It lives in `store`, which keeps manifests and must not import upwards."""

from fourfold.store.manifest import MAX_BYTES, MAX_FILES, Entry, Manifest

__all__ = ["MAX_BYTES", "MAX_FILES", "Entry", "Manifest"]
