"""Two homes: one with something of everything, and an empty one."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fourfold.control.keeping import vault
from fourfold.control.keeping.making import Backup, Wanted
from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Entry, Manifest
from fourfold.store.store import Store
from fourfold.store.tables.locks import Lock, Locks
from tests.store.samples import FixedClock, app_row, build, open_in, release, service_row

CONTENT = b"print('hello')\n"
BLOB = hashlib.sha256(CONTENT).hexdigest()
SOURCE = Manifest.of([Entry("app.py", 0o644, len(CONTENT), BLOB)])
ARTIFACT, LOCK_KEY = "a" * 64, "b" * 64
PASSPHRASE = "correct horse battery"
ODD = os.fsdecode(b"line\nbreak \\ and \xff")
"""A name as services may well make one."""


def new_home() -> Iterator[Paths]:
    """A short path: a Unix socket is made in it."""
    with tempfile.TemporaryDirectory(prefix="ff-") as folder:
        paths = Paths.find({"FOURFOLD_HOME": folder}, os.geteuid())
        layout.create(paths, root=os.geteuid() == 0)
        yield paths


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """scrypt takes long on purpose; tests/e2e/test_backup.py has it as it is."""
    monkeypatch.setattr(vault, "_N", 2**4)


@pytest.fixture
def empty() -> Iterator[Paths]:
    yield from new_home()


@pytest.fixture
def home() -> Iterator[Paths]:
    for paths in new_home():
        store = open_in(paths, FixedClock())
        try:
            fill(paths, store)
            yield paths
        finally:
            store.database.close()  # open until here: a daemon has it open too


def fill(paths: Paths, store: Store) -> None:
    blobs = Blobs(paths)
    blobs.add(BLOB, [CONTENT])
    Sources(paths, blobs).put(SOURCE)
    with store.database.transaction():
        store.apps.put(app_row(services=("web",)))
        store.releases.add(release(source=SOURCE.digest))
        store.builds.put(build(artifact=ARTIFACT))
        store.services.put(service_row(uid=os.geteuid()))
    store.secrets.set_many("shop", {"API_KEY": "s3cret"})
    Locks(paths.locks).put(LOCK_KEY, 7.0, Lock("uv.lock", "six==1.16\n"))
    (paths.certificates / "shop-0123.pem").write_text("a certificate and its key\n")
    (paths.certificates / "shop-0123.pem").chmod(0o600)
    paths.lambda_keys.write_text("{}")
    paths.settings.write_text("builds = 3\n")
    usage = paths.usage / "shop.web"
    usage.mkdir()
    (usage / "sums.json").write_text("{}")
    tree = paths.artifacts / ARTIFACT / "tree"
    tree.mkdir(parents=True)
    (tree / "app.py").write_bytes(CONTENT)
    record: dict[str, Any] = {
        "digest": ARTIFACT,
        "argv": [],
        "env": {},
        "runtime": None,
        "source": "",
        "locks": {},
        "size": 1,
    }
    (tree.parent / "artifact.json").write_text(json.dumps(record | {"size": 1, "built_at": 1.0}))
    volume = paths.volumes / "shop" / "web" / "data"
    (volume / "deep" / ODD).mkdir(parents=True)
    (volume / "deep" / ODD / "file").write_bytes(b"\0" * 300_000 + b"end")
    (volume / "empty").touch(0o640)
    (volume / "program").write_text("#!/bin/sh\n")
    (volume / "program").chmod(0o4755)
    (volume / "out").symlink_to("/etc/passwd")
    (volume / "twin").hardlink_to(volume / "program")
    (volume / ("x" * 200)).write_text("a long name")
    os.mkfifo(volume / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(volume / "s"))


def made(paths: Paths, **given: Any) -> bytes:
    fields: dict[str, Any] = {"volumes": True, "artifacts": True, "keys": "sealed", "passphrase": PASSPHRASE}
    backup = Backup(paths, Wanted(**(fields | given)), "2026-11-26T09:00:00Z", ["shop.web"])
    try:
        return b"".join(backup.pieces())
    finally:
        backup.close()


def all_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file, link and folder: mode and content."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (status.st_mode, content)
    return found
