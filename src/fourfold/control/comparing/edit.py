"""A source with one file edited, as somebody who goes on working on it would: what a rebuild is measured with. Pure."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace

from fourfold.store.manifest import Entry, Manifest

_COMMENTS = {
    (".py", ".rb", ".sh", ".pl"): b"\n# %s\n",
    (".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".java", ".go", ".kt", ".rs", ".c", ".cs"): b"\n// %s\n",
    (".css",): b"\n/* %s */\n",
    (".html", ".htm", ".md"): b"\n<!-- %s -->\n",
    (".txt",): b"\n%s\n",
}
"""How a file ends -> what can be appended to it without changing what it does; what programs are made of first."""
_SPECIAL = ("requirements.txt", "robots.txt")
"""Whose edit is no edit of the program: dependencies would be resolved again."""
_ARCHIVES = (".jar", ".war", ".zip")
LARGEST = 1024 * 1024
"""Bytes of a text that is edited."""
LARGEST_PROGRAM = 256 * 1024 * 1024
"""Of an archive or an executable: it is held in memory."""
ADDED = "edited-to-compare.txt"


@dataclass(frozen=True)
class Edited:
    manifest: Manifest
    path: str
    """Of the file that was edited or added."""
    digest: str
    content: bytes


def edited(manifest: Manifest, read: Callable[[Entry], bytes], mark: str) -> Edited | None:
    """`read` gives a file's content; `mark` is what the edit adds, so that two differ. None: there is nothing to edit,
    as with an image that was made elsewhere, or it is too large."""
    text = mark.encode()
    files = [each for each in manifest.entries if each.link is None]
    if not files:
        return None
    is_one = len(manifest.entries) == 1
    if is_one and files[0].size > LARGEST_PROGRAM:
        return None
    if is_one and files[0].path.lower().endswith(_ARCHIVES):
        return _replaced(manifest, files[0], _archive(read(files[0]), text))
    for ends, comment in _COMMENTS.items():
        for each in sorted(files, key=lambda each: (each.path.count("/"), each.path)):
            name = each.path.rpartition("/")[2]
            if name.endswith(ends) and name not in _SPECIAL and each.size <= LARGEST:
                return _replaced(manifest, each, read(each) + comment % text)
    if is_one:  # an executable: what follows its end is not loaded
        return _replaced(manifest, files[0], read(files[0]) + b"\n# " + text + b"\n")
    added = _entry(Entry(ADDED), text + b"\n")
    return Edited(Manifest.of([*manifest.entries, added]), ADDED, added.sha256, text + b"\n")


def _replaced(manifest: Manifest, old: Entry, content: bytes) -> Edited:
    new = _entry(old, content)
    entries = [new if each is old else each for each in manifest.entries]
    return Edited(Manifest.of(entries), old.path, new.sha256, content)


def _entry(entry: Entry, content: bytes) -> Entry:
    return replace(entry, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _archive(content: bytes, text: bytes) -> bytes:
    """With one more file in it."""
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        name = f"{ADDED}.{hashlib.sha256(text).hexdigest()[:8]}"
        archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()
