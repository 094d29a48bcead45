"""A template is used only as it was made; one that anybody has touched, or that never reached the disk, is none."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.paths import Paths
from fourfold.store.files.templates import MEMORY, STATE, Origin, Templates, sweep_templates
from tests.support.wait import until

KEY, OTHER = "a" * 64, "b" * 64
ORIGIN = Origin(app="shop", service="catalog", artifact="c" * 64, boot_id="this boot")
HOUR = 3600.0


@pytest.fixture
def templates(paths: Paths) -> Templates:
    return Templates(paths)


def publish(paths: Paths, templates: Templates, key: str = KEY, origin: Origin = ORIGIN) -> Path:
    staged = paths.work / f"template-{key[:8]}"
    staged.mkdir()
    (staged / MEMORY).write_bytes(b"m" * 8192)
    (staged / STATE).write_bytes(b"s" * 100)
    folder = templates.publish(key, staged, origin)
    until(lambda: clock_of_files(paths) > (folder / MEMORY).stat().st_ctime_ns)
    return folder


def clock_of_files(paths: Paths) -> int:
    """It is some milliseconds coarse: what is touched within those looks as before."""
    (paths.work / "now").write_text("")
    return (paths.work / "now").stat().st_ctime_ns


def test_it_is_found_by_its_key(paths: Paths, templates: Templates) -> None:
    folder = publish(paths, templates)
    os.utime(folder, (1.0, 1.0))
    assert templates.find(KEY, "this boot") == folder
    assert (folder / MEMORY).read_bytes() == b"m" * 8192
    assert templates.origin(KEY) == ORIGIN
    assert [each.digest for each in templates.list()] == [KEY]
    assert folder.stat().st_mtime > 1.0, "marked as just used"
    assert templates.find(OTHER, "this boot") is None


def test_publishing_takes_the_place_of_an_older_one(paths: Paths, templates: Templates) -> None:
    publish(paths, templates)
    publish(paths, templates, origin=replace(ORIGIN, artifact="d" * 64))
    assert templates.find(KEY, "this boot") is not None
    assert (found := templates.origin(KEY)) is not None and found.artifact == "d" * 64


def write(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"x")


def write_and_hide(file: Path) -> None:
    before = file.stat()
    write(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_mapped(file: Path) -> None:
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as memory:
        memory[0] = 1


def exchange(file: Path) -> None:
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)


@pytest.mark.parametrize("name", [MEMORY, STATE])
@pytest.mark.parametrize("harm", [write, write_and_hide, write_mapped, exchange, Path.unlink])
def test_one_that_was_touched_is_none(
    paths: Paths, templates: Templates, name: str, harm: Callable[[Path], None]
) -> None:
    folder = publish(paths, templates)
    harm(folder / name)
    assert templates.find(KEY, "this boot") is None
    assert not folder.exists()


def test_machines_that_go_on_from_it_do_not_touch_it(paths: Paths, templates: Templates) -> None:
    folder = publish(paths, templates)
    with (folder / MEMORY).open("r+b") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE) as memory:
        memory[0] = 1  # as QEMU does: opened for writing, mapped for itself
    assert templates.find(KEY, "this boot") == folder


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"files": 1}', b'"x"'])
def test_a_record_that_says_nothing(paths: Paths, templates: Templates, record: bytes) -> None:
    folder = publish(paths, templates)
    (folder / "template.json").write_bytes(record)
    assert templates.find(KEY, "this boot") is None
    assert not folder.exists()
    assert templates.origin(KEY) is None


def test_after_a_restart_of_the_host_only_what_reached_the_disk_counts(paths: Paths, templates: Templates) -> None:
    publish(paths, templates)
    publish(paths, templates, key=OTHER)
    templates.sync(OTHER)
    templates.sync("e" * 64)  # removed meanwhile
    assert templates.find(KEY, "next boot") is None
    assert templates.find(OTHER, "next boot") is not None
    assert not (paths.templates / ("e" * 64)).exists()


def test_what_no_service_starts_from_is_garbage_after_an_hour(paths: Paths, templates: Templates) -> None:
    folder = publish(paths, templates)
    now = folder.stat().st_mtime + 2 * HOUR
    assert sweep_templates(templates, {ORIGIN.artifact}, now).removed == {"templates": 0}
    assert sweep_templates(templates, set(), now - 1.5 * HOUR).removed == {"templates": 0}, "just used"
    collected = sweep_templates(templates, {"d" * 64}, now)
    assert collected.removed == {"templates": 1} and collected.freed_bytes > 0
    assert not folder.exists()


def test_of_what_a_service_starts_from_the_last_is_kept(paths: Paths, templates: Templates) -> None:
    """An earlier release of the same artifact, or another QEMU, has had a template of its own."""
    earlier, last = publish(paths, templates), publish(paths, templates, OTHER)
    now = last.stat().st_mtime + 2 * HOUR
    os.utime(earlier, (now - 1.5 * HOUR,) * 2)
    os.utime(last, (now - 1.2 * HOUR,) * 2)
    assert sweep_templates(templates, {ORIGIN.artifact}, now).removed == {"templates": 1}
    assert last.exists() and not earlier.exists()
