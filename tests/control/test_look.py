"""What the program finds that looks through an instance's files."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from fourfold.control.comparing import look
from fourfold.control.comparing.look import Asked, Found, Look
from fourfold.control.comparing.looking import unpacked
from tests.support.nobody import as_nobody

LONG_AGO = 1_000_000_000.0
NOBODY = 65534


def lay(root: Path, files: Mapping[str, str], old: bool = True) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if old:
            os.utime(path, (LONG_AGO, LONG_AGO))


def test_counts_packages_of_the_system_and_of_languages(tmp_path: Path) -> None:
    status = "Package: {}\nStatus: install ok {}\n\n"
    lay(
        tmp_path,
        {
            "var/lib/dpkg/status": "".join(status.format(*each) for each in [("a", "installed"), ("b", "installed")])
            + status.format("c", "config-files"),
            "usr/share/doc/a/copyright": "",
            "usr/lib/python3/dist-packages/a-1.dist-info/METADATA": "",  # that is package a
            "app/.venv/lib/python3.11/site-packages/flask-3.0.dist-info/METADATA": "",
            "app/node_modules/left-pad/package.json": "{}",
            "app/node_modules/left-pad/test/package.json": "{}",
            "app/node_modules/@types/node/package.json": "{}",
            "app/node_modules/.bin/x/package.json": "{}",
            "app/package.json": "{}",
            "app/WEB-INF/lib/guava.jar": "",
            "usr/local/bundle/specifications/rack-3.0.gemspec": "",
        },
    )
    assert Look(Asked(str(tmp_path)), str(tmp_path)).run().packages == 2 + 5


@pytest.mark.parametrize(
    ("files", "packages"),
    [
        ({"usr/share/doc/libc6/copyright": "", "usr/share/doc/x/README": ""}, 1),
        ({"lib/apk/db/installed": "C:x\nP:musl\n\nP:busybox\n"}, 2),
        ({"app/main": ""}, 0),
    ],
)
def test_systems_have_their_lists_in_different_places(tmp_path: Path, files: dict[str, str], packages: int) -> None:
    lay(tmp_path, files)
    assert Look(Asked(str(tmp_path)), str(tmp_path)).run().packages == packages


def test_set_user_id_programs(tmp_path: Path) -> None:
    lay(tmp_path, {"bin/su": "", "bin/wall": "", "bin/plain": "", "etc/data": "", "skipped/sudo": ""})
    for name, mode in {"bin/su": 0o4755, "bin/wall": 0o2755, "bin/plain": 0o755, "etc/data": 0o2644}.items():
        (tmp_path / name).chmod(mode)
    (tmp_path / "skipped/sudo").chmod(0o4755)
    (tmp_path / "bin/link").symlink_to("su")
    found = Look(Asked(str(tmp_path), skipped=("/skipped",)), str(tmp_path)).run()
    assert found.setuid_files == 2


def test_what_was_written_since(tmp_path: Path) -> None:
    lay(tmp_path, {"app/linked": ""})
    (tmp_path / "other").hardlink_to(tmp_path / "app/linked")  # another link is a change, and no writing
    since = (tmp_path / "app/linked").stat().st_ctime
    many = {f"many/{each:02}": "" for each in range(25)}
    lay(tmp_path, {"srv/new": "", "tmp/x": "", "srv/kept/new": "", **many}, old=False)
    lay(tmp_path, {"srv/unpacked": ""})
    asked = Asked(str(tmp_path), skipped=("/tmp", "/many"), since=since)
    assert Look(asked, str(tmp_path)).run().written == ["/srv/kept/new", "/srv/new", "/srv/unpacked"]
    assert len(Look(Asked(str(tmp_path), since=since), str(tmp_path)).run().written) == 20
    assert Look(Asked(str(tmp_path)), str(tmp_path)).run().written == []


def test_it_gives_up_and_says_so(tmp_path: Path) -> None:
    lay(tmp_path, {"a/b": ""})
    assert not Look(Asked(str(tmp_path), seconds=-1.0), str(tmp_path)).run().whole


@as_nobody
def test_only_what_its_user_can_reach(tmp_path: Path) -> None:
    """In its root, as its user: links lead nowhere else, and a folder of others is closed."""
    lay(tmp_path, {"bin/su": "", "closed/su": "", "var/mine": "", "var/theirs": ""})
    for name in ("bin/su", "closed/su"):
        (tmp_path / name).chmod(0o4755)
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "usr").symlink_to("/usr")
    os.chown(tmp_path / "var/mine", NOBODY, NOBODY)
    tmp_path.chmod(0o755)
    asked = Asked(str(tmp_path), uid=NOBODY, gid=NOBODY, since=LONG_AGO - 1, only_mine=True)
    argv = [sys.executable, "-I", "-m", look.__name__]
    done = subprocess.run(argv, input=json.dumps(asdict(asked)), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"setuid_files": 1, "packages": 0, "written": ["/var/mine"], "whole": True}


def test_disks_of_virtual_machines(tmp_path: Path) -> None:
    base, tree, work = (tmp_path / name for name in ("base", "tree", "work"))
    lay(base, {"usr/bin/su": "", "usr/share/doc/login/copyright": ""})
    (base / "usr/bin/su").chmod(0o4755)
    lay(tree, {"app/lib/x.jar": ""})
    work.mkdir()
    for folder in (base, tree):
        subprocess.run(["mkfs.erofs", "--quiet", f"{folder}.img", folder], check=True, capture_output=True)
    found = asyncio.run(unpacked([tmp_path / "base.img", tmp_path / "tree.img"], work))
    assert found == Found(setuid_files=1, packages=2)
    assert list(work.iterdir()) == []
    (tmp_path / "tree.img").write_bytes(b"no disk")
    assert asyncio.run(unpacked([tmp_path / "tree.img"], work)) is None
    assert list(work.iterdir()) == []
