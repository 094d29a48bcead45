"""Which file of a source is edited, and that what it does stays the same."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest

from fourfold.control.comparing.edit import ADDED, LARGEST_PROGRAM, Edited, edited
from fourfold.store.manifest import Entry, Manifest


def edit(files: dict[str, bytes], mark: str = "m1") -> Edited | None:
    entries = [Entry(path, 0o755, len(each), hashlib.sha256(each).hexdigest()) for path, each in files.items()]
    return edited(Manifest.of(entries), lambda entry: files[entry.path], mark)


@pytest.mark.parametrize(
    ("files", "path", "content"),
    [
        ({"app.py": b"x = 1", "requirements.txt": b"flask"}, "app.py", b"x = 1\n# m1\n"),
        ({"README.md": b"#", "lib/deep/a.js": b"a()", "z.js": b"z()"}, "z.js", b"z()\n// m1\n"),
        ({"Main.java": b"class Main {}", "style.css": b""}, "Main.java", b"class Main {}\n// m1\n"),
        ({"index.html": b"<p>", "style.css": b"p {}"}, "style.css", b"p {}\n/* m1 */\n"),
        ({"package.json": b"{}", "data.bin": b"\0"}, ADDED, b"m1\n"),
        ({"requirements.txt": b"flask", "data.bin": b"\0"}, ADDED, b"m1\n"),
        ({"server": b"\x7fELF"}, "server", b"\x7fELF\n# m1\n"),
    ],
)
def test_edits(files: dict[str, bytes], path: str, content: bytes) -> None:
    made = edit(files)
    assert made is not None
    assert (made.path, made.content) == (path, content)
    (entry,) = [each for each in made.manifest.entries if each.path == path]
    assert (
        (entry.size, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest()) == (len(content), made.digest)
    )
    assert {each.path for each in made.manifest.entries} == {*files, path}


def test_an_archive_has_one_file_more() -> None:
    made = edit({"shop.jar": archive("Main.class")})
    assert made is not None
    with zipfile.ZipFile(io.BytesIO(made.content)) as opened:
        assert opened.testzip() is None
        assert len(opened.namelist()) == 2
        assert opened.read("Main.class") == b"Main.class"
    again = edit({"shop.jar": made.content}, "m2")
    assert again is not None
    with zipfile.ZipFile(io.BytesIO(again.content)) as opened:
        assert len(set(opened.namelist())) == 3


def test_two_edits_differ() -> None:
    one, other = edit({"app.py": b"x"}, "m1"), edit({"app.py": b"x"}, "m2")
    assert one is not None
    assert other is not None
    assert one.manifest.digest != other.manifest.digest


def test_of_an_image_there_is_nothing_to_edit() -> None:
    assert edit({}) is None


@pytest.mark.parametrize("path", ["server", "shop.jar"])
def test_what_is_too_large_to_be_held_in_memory_is_not_read(path: str) -> None:
    entry = Entry(path, 0o755, LARGEST_PROGRAM + 1, "0" * 64)
    assert edited(Manifest.of([entry]), lambda entry: pytest.fail("it was read"), "m1") is None


def archive(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(name, name)
    return buffer.getvalue()
