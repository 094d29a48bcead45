"""A stored source as the builders' `Listing`: reads the few files that they look into, bounded."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from fourfold.build.archive import DAMAGED, Archive
from fourfold.build.model import Listing
from fourfold.errors import NotFoundError
from fourfold.store.files.blobs import Blobs
from fourfold.store.manifest import Entry, Manifest

READ_BYTES = 16 * 1024 * 1024
"""Locks with hashes are the largest files that builders read: some hundred bytes per wheel."""


def listing_of(manifest: Manifest, blobs: Blobs) -> Listing:
    def read(entry: Entry) -> bytes | None:
        if entry.size > READ_BYTES:
            return None
        try:
            return blobs.path(entry.sha256).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(
                f"cannot read {entry.path!r}: its content was never sent",
                "run the command again: it sends what is missing",
            ) from None

    def head(entry: Entry) -> bytes:
        path = blobs.path(entry.sha256)
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(256)

    def main_class(entry: Entry) -> str | None:
        return jar_main_class(blobs.path(entry.sha256)) if entry.link is None else None

    def headers(entry: Entry) -> dict[str, str]:
        return jar_headers(blobs.path(entry.sha256)) if entry.link is None else {}

    return Listing(manifest, read, head, main_class, headers)


def jar_main_class(jar: Path) -> str | None:
    """None without one, or when it is no readable JAR."""
    words = jar_headers(jar).get("main-class", "").split()
    return words[0] if words else None


def jar_headers(jar: Path) -> dict[str, str]:
    """The main section of META-INF/MANIFEST.MF (JAR File Specification), names in lower case; none: no readable JAR."""
    try:
        with Archive(jar) as file, zipfile.ZipFile(file) as opened, opened.open("META-INF/MANIFEST.MF") as member:
            text = member.read(READ_BYTES).decode(errors="replace")
    except (OSError, *DAMAGED):
        return {}
    unfolded = re.sub(r"\r?\n ", "", text)  # long values go on in lines that start with a blank
    main = re.split(r"\r?\n\r?\n|\r\r", unfolded.lstrip())[0]
    pairs = (line.partition(":") for line in main.splitlines())
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
