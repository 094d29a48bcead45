"""What the client sends of a source, what it leaves out, and what it refuses."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fourfold.build import hashcache, outputs
from fourfold.build.pack import Limits, Packed, pack
from fourfold.errors import NotFoundError, UserError

from .helpers import write

NOBODY = 65534


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write(tmp_path / "app", {"main.py": "1"})


def packed(app: Path, **options: object) -> Packed:
    return pack(app, environ={"FOURFOLD_HOME": str(app.parent / "home")}, **options)  # type: ignore[arg-type]


def names(app: Path) -> list[str]:
    return [entry.path for entry in packed(app).manifest.entries]


def test_a_folder_is_its_files_and_their_modes(app: Path) -> None:
    write(app, {"bin/run": "#!/bin/sh", "data/empty": ""})
    (app / "bin/run").chmod(0o4700)
    (app / "link").symlink_to("data/empty")
    (app / "hollow").mkdir()
    made = packed(app)
    assert [(entry.path, entry.mode, entry.size, entry.link) for entry in made.manifest.entries] == [
        ("bin/run", 0o755, 9, None),
        ("data/empty", 0o644, 0, None),
        ("link", 0o644, 0, "data/empty"),
        ("main.py", 0o644, 1, None),
    ]
    assert {path.name for path in made.files.values()} == {"run", "empty", "main.py"}


def test_what_the_command_writes_is_no_part_of_it(app: Path) -> None:
    write(app, {"out/web.json": "", "log": "", "kept": ""})
    (app.parent / "same").symlink_to(app)
    made = packed(
        app, writes=[app.parent / "same/out/web.json", app / "log", app / "not there", app.parent / "app.log"]
    )
    assert [entry.path for entry in made.manifest.entries] == ["kept", "main.py"]
    assert made.left_out == ("log", "out/web.json")


@pytest.fixture
def image(app: Path) -> Path:
    """One that `build` has written there."""
    path = app / "web.qcow2"
    path.write_bytes(bytes(outputs.SMALLEST))
    outputs.mark(path)
    if not os.listxattr(path):
        pytest.skip("a file system without attributes")
    return path


def test_an_image_of_an_earlier_build_is_left_out_and_told(app: Path, image: Path) -> None:
    write(app, {"web-image/oci-layout": "{}", "web-image/blobs/1": ""})
    outputs.mark(app / "web-image")
    assert packed(app).left_out == ("web-image/", "web.qcow2")
    image.rename(app / "other.qcow2")
    assert names(app) == ["main.py"]


def test_what_only_looks_like_an_image_of_ours_is_sent(app: Path, image: Path) -> None:
    write(app, {"layout/oci-layout": "{}"})
    (app / "copy.qcow2").write_bytes(image.read_bytes())
    image.write_bytes(bytes(outputs.SMALLEST + 1))
    assert packed(app).left_out == ()
    assert names(app) == ["copy.qcow2", "layout/oci-layout", "main.py", "web.qcow2"]


def test_a_rule_brings_an_image_back(app: Path, image: Path) -> None:
    write(app, {".fourfoldignore": "!*.qcow2\n"})
    assert image.name in names(app)
    write(app, {".fourfoldignore": "*.qcow2\n"})
    assert packed(app).left_out == ()


def test_one_file_is_a_source_too(app: Path) -> None:
    made = packed(app / "main.py")
    assert [entry.path for entry in made.manifest.entries] == ["main.py"]


@pytest.mark.parametrize(
    ("ignore", "files", "kept"),
    [
        ({".gitignore": "\ufeffx\ny\n"}, ["x", "y", "z"], ["z"]),
        ({".gitignore": "*.log\n!keep.log\n"}, ["a.log", "keep.log", "d/b.log"], ["keep.log"]),
        ({".gitignore": "/dist/\n"}, ["dist/a", "d/dist/b"], ["d/dist/b"]),
        ({"d/.gitignore": "x\n"}, ["x", "d/x", "d/e/x"], ["x"]),
        ({".gitignore": "x\n", "d/.gitignore": "!x\n"}, ["x", "d/x"], ["d/x"]),
        ({".gitignore": "d/\n", "d/.gitignore": "!x\n"}, ["d/x"], []),
        ({".dockerignore": "*.md\n"}, ["a.md", "d/b.md"], ["d/b.md"]),
        ({".dockerignore": "**/*.md\n"}, ["a.md", "d/b.md"], []),
        ({".dockerignore": "*\n!src\n!a.txt\n"}, ["a.txt", "b.txt", "src/c", "lib/d"], ["a.txt", "src/c"]),
        ({".dockerignore": "src\n!src/a\n"}, ["src/a", "src/b"], ["src/a"]),
        ({".gitignore": "dist/\n", ".fourfoldignore": "!dist/\n"}, ["dist/a"], ["dist/a"]),
        ({}, [".env", ".env.local", "d/.env", ".env.example"], [".env.example"]),
        ({".fourfoldignore": "!/.env\n"}, [".env", "d/.env"], [".env"]),
        ({".fourfoldignore": "# note\n\nbig\n"}, ["big/a", "small"], ["small"]),
        ({}, [".git/x", "node_modules/a", "d/node_modules/a", ".venv/b", "d/__pycache__/c", "ok"], ["ok"]),
        ({}, ["fourfold.yaml", "fourfold.staging.yml", "d/fourfold.yaml"], ["d/fourfold.yaml"]),
    ],
)  # fmt: skip
def test_what_is_left_out(tmp_path: Path, ignore: dict[str, str], files: list[str], kept: list[str]) -> None:
    app = write(tmp_path / "app", {**ignore, **{name: name for name in files}})
    assert [name for name in names(app) if not name.endswith("ignore")] == kept


def test_rules_of_the_repository_around_it_hold(tmp_path: Path) -> None:
    write(tmp_path, {".git/HEAD": "", ".gitignore": "*.tmp\n/services/web/out\n/web\n"})
    app = write(tmp_path / "services/web", {"a.tmp": "", "out/x": "", "web": "", "main.py": ""})
    assert names(app) == ["main.py", "web"]


def test_files_can_be_excluded_by_path(app: Path) -> None:
    write(app, {"shop.yaml": "app: shop"})
    assert [entry.path for entry in packed(app, exclude=[app / "shop.yaml"]).manifest.entries] == ["main.py"]


def refusal(app: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        packed(app, **options)
    assert caught.value.hint
    return f"{caught.value.what} ({caught.value.hint})"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "d/../../x"])
def test_links_out_are_refused_by_name(app: Path, target: str) -> None:
    (app / "out").symlink_to(target)
    assert f"'{app}/out'" in refusal(app)


def test_sockets_and_pipes_are_refused_by_name(app: Path) -> None:
    os.mkfifo(app / "pipe")
    assert "pipe" in refusal(app)
    (app / "pipe").unlink()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(app / "sock"))
    server.close()
    assert "it is a socket" in refusal(app)


def test_all_that_is_refused_is_told_at_once(app: Path) -> None:
    write(app, {"deep/inner/x": ""})
    os.mkfifo(app / "deep/inner/pipe")
    (app / "out").symlink_to("/etc/passwd")
    for number in range(12):
        os.mkfifo(app / f"more{number:02}")
    text = refusal(app)
    assert text.count("it is a pipe") + text.count("absolute path") == 10
    assert "deep/inner/pipe" in text and f"'{app}/out'" in text and "and 4 more" in text


def test_names_that_are_not_utf8_are_refused(app: Path) -> None:
    Path(os.fsdecode(os.fsencode(app) + b"/caf\xe9")).write_text("")
    assert "caf\\xe9" in refusal(app)


def test_unreadable_files_are_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = write(Path(folder) / "app", {"main.py": "1"})
        (app / "main.py").chmod(0)
        Path(folder).chmod(0o755)
        with ordinary_user():
            assert "Permission denied" in refusal(app)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root reads everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_too_large_names_the_largest_folders(app: Path) -> None:
    write(app, {"data/films/a": "x" * 3_000_000, "data/b": "x" * 1_500_000})
    text = refusal(app, limits=Limits(size=2_000_000))
    assert "data/films (3 MiB), data (1 MiB)" in text and ".fourfoldignore" in text
    assert "has 3 files, the limit is 2 files" in refusal(app, limits=Limits(files=2))


def test_a_source_that_is_not_there(app: Path) -> None:
    with pytest.raises(NotFoundError, match="No such file"):
        packed(app / "gone")


def test_an_ignore_file_in_another_encoding_is_named(app: Path) -> None:
    (app / ".gitignore").write_bytes(b"\xff\xfe\x00")
    assert ".gitignore" in refusal(app)


def old(folder: Path) -> None:
    """As if written a minute ago: what changed just now is hashed again (see hashcache)."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 60, time.time() - 60))


def test_unchanged_files_are_not_read_again(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(app, {f"d{index}": str(index) for index in range(50)})
    old(app)
    monkeypatch.setattr(hashcache, "_TICK_NS", 0)  # ctime cannot be set back
    first = packed(app)
    read: list[str] = []
    original = hashcache._hash

    def reading(path: str, status: os.stat_result) -> str:
        read.append(path)
        return original(path, status)

    monkeypatch.setattr(hashcache, "_hash", reading)
    assert packed(app).manifest == first.manifest
    assert read == []
    (app / "d7").write_text("8")
    assert packed(app).manifest != first.manifest
    assert [Path(path).name for path in read] == ["d7"]


def test_what_changed_just_now_is_read_again(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within one tick of the clock, of the same size, leaves no other trace."""
    monkeypatch.setattr(hashcache, "_TICK_NS", 10**18)  # whatever the machine's speed, it counts as just now
    packed(app)
    monkeypatch.setattr(hashcache, "_hash", lambda path, status: "f" * 64)
    assert list(packed(app).files) == ["f" * 64]


def test_a_damaged_cache_is_as_if_empty(app: Path) -> None:
    first = packed(app).manifest
    for file in (app.parent / "home/cache").iterdir():
        file.write_bytes(b'{"version": 1, "files": {"main.py": 3}}')
    assert packed(app).manifest == first
