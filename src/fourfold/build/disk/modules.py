"""Kernel modules: which there are, what each needs, and in which order they are to be loaded.

What a module needs stands in itself (section .modinfo: `depends=`, `softdep=`), so that no depmod need have run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fourfold.build.disk.bzimage import decompress

_SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")
_FACT = re.compile(rb"\0(depends|softdep)=([^\0]*)")
_ALIASES = {"crc32c": ("crc32c_generic", "crc32c")}
"""What libcrc32c asks for by what it does, not by name; it may be built in."""


class Modules:
    """Below the folder `root`, `lib/modules/RELEASE/kernel`."""

    def __init__(self, root: Path) -> None:
        self._files = {_name(path): path for path in sorted(root.rglob("*.ko*")) if _SUFFIX.search(path.name)}
        self._read: dict[str, bytes] = {}

    def content(self, name: str) -> bytes:
        """Decompressed."""
        if name not in self._read:
            self._read[name] = decompress(self._files[name].read_bytes())
        return self._read[name]

    def path(self, name: str) -> Path:
        return self._files[name]

    def needed(self, wanted: Iterable[str]) -> list[str]:
        """Those of `wanted` and what they need, each after all that it needs; what is built in is left out."""
        found: dict[str, None] = {}
        for name in wanted:
            self._add(name.replace("-", "_"), found, ())
        return list(found)

    def _add(self, name: str, found: dict[str, None], above: tuple[str, ...]) -> None:
        if name in found or name not in self._files or name in above:
            return
        for other in self._requires(name):
            self._add(other, found, (*above, name))
        found[name] = None

    def _requires(self, name: str) -> Iterator[str]:
        for kind, value in _FACT.findall(self.content(name)):
            text = value.decode("ascii", "replace").replace("-", "_")
            if kind == b"depends":
                yield from filter(None, text.split(","))
            elif text.startswith("pre:"):
                for each in text.removeprefix("pre:").partition("post:")[0].split():
                    yield from _ALIASES.get(each, (each,))


def _name(path: Path) -> str:
    return _SUFFIX.sub("", path.name).replace("-", "_")
