"""`build`: what is asked for, said, and written where the user wants it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import UserError
from tests.api import sample
from tests.api.serving import Serving
from tests.cli.conftest import Cli

DONE = [
    sample.event(1, "build.started", "building", service="catalog"),
    sample.event(2, "build.done", "built in 0.1 s", service="catalog"),
    sample.event(3, "operation.done", "build of shop done in 0.1 s"),
]
BLOB = b"layer" * 50_000
NAMES = ("oci-layout", "index.json", "manifest.json", "blobs/sha256/" + hashlib.sha256(BLOB).hexdigest())


@pytest.fixture
def app(home: Path) -> Path:
    work = home / "work"
    (work / "fourfold.yaml").write_text("app: shop\nservices:\n  catalog: {source: ./catalog, run: python app.py}\n")
    (work / "catalog").mkdir()
    (work / "catalog/app.py").write_text("print(1)")
    return work


@pytest.fixture
def archive(server: Serving) -> bytes:
    server.facade.happened = DONE
    content = image()
    server.facade.image_pieces = [content[at : at + 9999] for at in range(0, len(content), 9999)]
    return content


def image(names: tuple[str, ...] = NAMES) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(BLOB)
            opened.addfile(info, io.BytesIO(BLOB))
    return out.getvalue()


def asked(server: Serving, method: str) -> list[Any]:
    return [arguments for name, arguments in server.facade.calls if name == method]


def test_without_a_format_it_says_what_was_built(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = DONE
    result = cli("build", "catalog", "--as", "container")
    assert result.code == 0, result.err
    assert result.out == (
        "catalog is built: 3.0 MiB (pattern container, python3.11)\n"
        "  on a base of 1 layer, 60 MiB\n"
        f"  digest {'d' * 64}\n"
    )  # fmt: skip
    [(request,)] = asked(server, "build")
    assert request.services == ["catalog"] and request.overrides == {"catalog": {"pattern": "container"}}
    assert asked(server, "artifact") == [(request,)] and asked(server, "up") == []
    result = cli("build", "catalog", "-o", "json")
    assert json.loads(result.out)["digest"] == "d" * 64
    assert asked(server, "build")[1][0].overrides == {}


def test_what_was_built_anew_is_what_is_taken(cli: Cli, server: Serving, app: Path, archive: bytes) -> None:
    assert cli("build", "catalog", "--rebuild").code == 0
    assert cli("build", "catalog", "--as", "container", "--format", "oci", "--rebuild").code == 0
    assert [(request.rebuild, request.rebuilt) for request, *_ in asked(server, "build")] == [(True, "")] * 2
    taken = [*asked(server, "artifact"), *asked(server, "image")]
    assert [(request.rebuild, request.rebuilt) for request, *_ in taken] == [(False, "op1")] * 2


def test_an_oci_folder(cli: Cli, server: Serving, app: Path, archive: bytes) -> None:
    result = cli("build", "catalog", "--as", "container", "--format", "oci")
    assert result.code == 0, result.err
    assert result.out == f"wrote catalog-image: 990 KiB, sha256:{'f' * 64}\n"
    found = {path.relative_to(app / "catalog-image").as_posix() for path in (app / "catalog-image").rglob("*")}
    assert found == {*NAMES, "blobs", "blobs/sha256"}
    assert (app / "catalog-image" / NAMES[3]).read_bytes() == BLOB
    again = cli("build", "catalog", "--as", "container", "--format", "oci")
    assert again.code == 2 and "the folder is not empty" in again.err
    (app / "empty").mkdir()
    assert cli("build", "catalog", "--format", "oci", "--to", "empty").code == 0
    assert [form for _, form in asked(server, "build")] == ["oci", "oci"], "so that a machine is refused unbuilt"
    assert sorted(path.name for path in app.iterdir()) == ["catalog", "catalog-image", "empty", "fourfold.yaml"]


@pytest.mark.parametrize(
    ("form", "to", "place"),
    [("docker-archive", None, "catalog.tar"), ("oci", "x.tar", "x.tar"), ("docker-archive", "y", "y")],
)
def test_a_file(cli: Cli, server: Serving, app: Path, archive: bytes, form: str, to: str | None, place: str) -> None:
    result = cli("build", "catalog", "--format", form, *(["--to", to] if to else []), "-o", "json")
    assert result.code == 0, result.err
    assert json.loads(result.out) == {"digest": f"sha256:{'f' * 64}", "size_bytes": len(archive), "path": place}
    assert (app / place).read_bytes() == archive
    assert sorted(path.name for path in app.iterdir()) == sorted(["catalog", place, "fourfold.yaml"])


def test_a_pipe_stays_one(cli: Cli, server: Serving, app: Path, archive: bytes) -> None:
    pipe = app.parent / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        result = cli("build", "catalog", "--format", "docker-archive", "--to", str(pipe))
        assert (result.code, read.result(30)) == (0, archive)
    assert pipe.is_fifo()


def test_standard_output(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = DONE
    server.facade.image_pieces = [b"one", b"two"]
    result = cli("build", "catalog", "--format", "docker-archive", "--to", "-")
    assert (result.code, result.out) == (0, "onetwo") and "sha256:fff" in result.err


def test_a_registry(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = DONE
    result = cli("build", "catalog", "--as", "container", "--format", "registry:localhost:5000/shop/catalog:1")
    assert result.code == 0, result.err
    assert result.out == f"pushed localhost:5000/shop/catalog:1: 1.0 KiB, sha256:{'f' * 64}\n"
    assert asked(server, "push")[0][1] == "localhost:5000/shop/catalog:1"


def test_a_disk(cli: Cli, server: Serving, app: Path) -> None:
    file = app / "fourfold.yaml"
    file.write_text(file.read_text().replace("run:", "secrets: [TOKEN, {KEY: {name: k, file: /run/secrets/k}}], run:"))
    server.facade.happened = DONE
    server.facade.image_pieces = [b"boots", bytes(100_000), b"end", bytes(70_000)]
    content = b"".join(server.facade.image_pieces)
    digest = f"sha256:{'ab' * 32}"
    (app / "catalog.raw").write_bytes(b"an older one")
    result = cli("build", "catalog", "--as", "vm", "--format", "raw")
    assert result.code == 0, result.err
    assert result.out == f"wrote catalog.raw: 166 KiB, {digest}\n"
    assert "note: it holds no secrets; whoever runs it gives it TOKEN, /run/secrets/k\n" in result.err
    assert "catalog: making a disk, format raw\n" in result.err
    assert (app / "catalog.raw").read_bytes() == content
    result = cli("build", "catalog", "--as", "vm", "--format", "qcow2", "--to", "x", "-o", "json")
    assert json.loads(result.out) == {
        "digest": digest, "size_bytes": len(content), "path": "x", "format": "qcow2",
        "withheld": ["TOKEN", "/run/secrets/k"],
    }  # fmt: skip
    assert sorted(path.name for path in app.iterdir()) == ["catalog", "catalog.raw", "fourfold.yaml", "x"]
    assert [arguments[1] for arguments in asked(server, "build")] == ["raw", "qcow2"]
    assert [arguments[1] for arguments in asked(server, "disk")] == ["raw", "qcow2"]


def test_a_zip(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = DONE
    server.facade.image_pieces = [b"PK", bytes(2000)]
    result = cli("build", "catalog", "--as", "function", "--format", "zip")
    assert (result.code, result.out) == (0, f"wrote catalog.zip: 2.0 KiB, sha256:{'ab' * 32}\n")
    assert "catalog: making a zip\n" in result.err
    assert [arguments[1] for arguments in asked(server, "disk")] == ["zip"]


def test_a_folder_without_nameless_files(
    cli: Cli, server: Serving, app: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on NFS."""
    opened = os.open

    def refusing(path: str | Path, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    result = cli("build", "catalog", "--format", "docker-archive", "--to", "y")
    assert result.code == 0, result.err
    assert (app / "y").read_bytes() == archive
    assert sorted(path.name for path in app.iterdir()) == ["catalog", "fourfold.yaml", "y"]


@pytest.mark.parametrize("form", ["raw", "docker-archive"])
def test_an_answer_that_breaks_off(cli: Cli, server: Serving, app: Path, form: str) -> None:
    """Nothing half-made is left, and what was there before stays."""

    def breaking() -> Iterator[bytes]:
        yield b"boots"
        raise OSError(errno.EIO, "the daemon's disk")

    server.facade.happened = DONE
    server.facade.breaks = breaking
    (app / "y").write_bytes(b"an older one")
    result = cli("build", "catalog", "--as", "vm", "--format", form, "--to", "y")
    assert result.code == 1 and "the daemon went away while it answered" in result.err
    assert (app / "y").read_bytes() == b"an older one"
    assert sorted(path.name for path in app.iterdir()) == ["catalog", "fourfold.yaml", "y"]


REFUSED = {
    ("nothing",): "cannot find nothing",
    ("catalog", "--format", "war"): "cannot make an image in format 'war'",
    ("catalog", "--format", "docker-archive:x.tar"): "say `--format docker-archive --to x.tar`",
    ("catalog", "--format", "registry:"): "names no image",
    ("catalog", "--format", "registry:x/y", "--to", "z"): "cannot use --to with a registry",
    ("catalog", "--to", "x"): "cannot use --to without --format",
    ("catalog", "--format", "docker-archive", "--to", "catalog"): "it is a folder",
    ("catalog", "--format", "oci", "--to", "fourfold.yaml"): "it is no folder",
    ("catalog", "--format", "oci", "--to", "absent/x"): "is not there",
    ("catalog", "--format", "qcow2", "--to", ""): "--to names no place",
    ("catalog", "--as", "lambda"): "lambda",
    ("catalog", "--as", "vm", "--format", "qcow"): "did you mean qcow2?",
    ("catalog", "--as", "vm", "--format", "raw", "--to", "catalog"): "it is a folder",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_refused_before_anything_is_asked(cli: Cli, server: Serving, app: Path, arguments: tuple[str, ...]) -> None:
    result = cli("build", *arguments)
    assert result.code == 2 and REFUSED[arguments] in result.err
    assert server.facade.calls == []


def test_what_the_daemon_refuses(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = DONE
    server.facade.fails = {"image": UserError("cannot make an image of catalog", "say --as container")}
    result = cli("build", "catalog", "--format", "oci")
    assert result.code == 2 and "say --as container" in result.err
    assert sorted(path.name for path in app.iterdir()) == ["catalog", "fourfold.yaml"]


def test_images_in_the_source_are_no_part_of_the_next(
    cli: Cli, server: Serving, app: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is written, and those of other formats that were before it."""
    monkeypatch.chdir(app / "catalog")
    for name in ("one.tar", "one.tar", "two.tar"):
        result = cli("build", "catalog", "--as", "container", "--format", "docker-archive", "--to", name)
        assert result.code == 0
    assert "note: one.tar: left out of the source" in result.err
    requests = [arguments[0] for arguments in asked(server, "build")]
    assert len({request.sources["catalog"] for request in requests}) == 1


def test_a_build_that_failed(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = [
        sample.event(1, "build.failed", "cannot build catalog: exit code 3", service="catalog"),
        sample.event(2, "operation.failed", "build of shop failed: cannot build catalog: exit code 3"),
    ]
    result = cli("build", "catalog", "--format", "oci")
    assert result.code == 1 and "exit code 3" in result.err and asked(server, "image") == []


def test_a_build_that_its_input_does_not_allow(cli: Cli, server: Serving, app: Path) -> None:
    """To run it again does not help: CI servers need not try."""
    why = "cannot pull docker://nosuch: there is no such image"
    server.facade.happened = [
        sample.event(1, "build.failed", why, service="catalog"),
        sample.event(2, "operation.failed", f"catalog: {why}", data={"hint": "check its name", "exit_code": 2}),
    ]
    result = cli("build", "catalog", "--format", "oci", "--progress", "json")
    said = json.loads(result.err.splitlines()[-1])
    assert (result.code, said["exit_code"], said["hint"]) == (2, 2, "check its name")
    assert cli("events", "-f", "--operation", "op1").code == 2


@pytest.mark.parametrize("name", ["../evil", "/evil", "blobs/sha256/x", "link"])
def test_nothing_else_is_written(cli: Cli, server: Serving, app: Path, name: str) -> None:
    server.facade.happened = DONE
    server.facade.image_pieces = [image((*NAMES, name))]
    result = cli("build", "catalog", "--format", "oci")
    assert result.code == 1 and "cannot understand" in result.err
    assert sorted(path.name for path in app.iterdir()) == ["catalog", "fourfold.yaml"]
    assert not (app.parent / "evil").exists()
