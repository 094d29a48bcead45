"""Disks for other hypervisors boot to a served 200 under plain QEMU, with a BIOS and with UEFI."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.home import Home, web_file
from tests.support.ports import free_port
from tests.support.small import small_folder
from tests.support.wait import until

PATIENCE = 240
UEFI = "/usr/share/OVMF/OVMF_CODE_4M.fd"
LIST_RUN = ("run: exec /usr/bin/python3 web.py", "run: [/usr/bin/python3, web.py]")
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def baker() -> Iterator[tuple[Home, Path]]:
    """A Fourfold with an app whose service has a secret; nothing is ever deployed."""
    home = Home(pattern="vm")
    try:
        yield home, home.app(text(home))
    finally:
        home.close()


def text(home: Home) -> str:
    return web_file(home.port, extra="secrets: [PASSWORD]", GREETING="hello").replace(*LIST_RUN)


@pytest.fixture
def pattern() -> str:
    return "vm"


def bake(baker: tuple[Home, Path], form: str, to: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    home, file = baker
    return home.run("build", "web", "-f", str(file), "--format", form, "--to", str(to), code=code, patience=900)


@contextmanager
def running(
    disk: Path, form: str, bios: bool, *extra: str, bus: str = "virtio", card: str = "virtio-net-pci"
) -> Iterator[str]:
    """Under QEMU alone, as anybody would start it; gives the address of its service."""
    port = free_port()
    console = disk.with_suffix(".console")
    firmware = [] if bios else ["-drive", f"if=pflash,format=raw,readonly=on,file={UEFI}"]
    argv = [
        *("qemu-system-x86_64", "-M", "pc" if bios else "q35", "-accel", "tcg", "-m", "512", *firmware),
        *("-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{console}"),
        *("-drive", f"file={disk},format={form},if={bus},snapshot=on"),
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:8080", "-device", f"{card},netdev=net"),
        *extra,
    ]
    machine = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:

        def answers() -> bool:
            assert machine.poll() is None, "the machine has ended"
            return httpx.get(f"{url}/healthz", timeout=5, verify=False).status_code == 200

        try:
            until(answers, PATIENCE, "the service to answer", every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{console.read_text(errors='replace')[-3000:]}") from None
        yield url
    finally:
        machine.kill()
        machine.wait()


def test_raw_boots_with_a_bios(baker: tuple[Home, Path], tmp_path: Path) -> None:
    said = bake(baker, "raw", tmp_path / "web.raw")
    assert "note: it holds no secrets; whoever runs it gives it PASSWORD" in said.stderr
    (tmp_path / "secret").write_text("fourfold:env=PASSWORD=hunter2-hunter2")
    given = ("-smbios", f"type=11,path={tmp_path}/secret,value=fourfold:env=GREETING=hi,value=another")
    with running(tmp_path / "web.raw", "raw", True, *given) as url:
        environment = httpx.get(f"{url}/env", timeout=15).json()
    assert environment["PORT"] == "8080"
    assert environment["GREETING"] == "hi" and environment["PASSWORD"] == "hunter2-hunter2"


def test_qcow2_boots_with_uefi(baker: tuple[Home, Path], tmp_path: Path) -> None:
    bake(baker, "qcow2", tmp_path / "web.qcow2")
    with running(tmp_path / "web.qcow2", "qcow2", bios=False) as url:
        environment = httpx.get(f"{url}/env", timeout=15).json()
    assert environment["GREETING"] == "hello" and "PASSWORD" not in environment


@pytest.mark.full
def test_raw_boots_with_uefi_and_qcow2_with_a_bios(baker: tuple[Home, Path], tmp_path: Path) -> None:
    for form, bios in (("raw", False), ("qcow2", True)):
        bake(baker, form, tmp_path / f"web.{form}")
        with running(tmp_path / f"web.{form}", form, bios) as url:
            assert httpx.get(url, timeout=15).status_code == 200


@pytest.mark.full
@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhd", "ova"])
def test_the_hardware_of_other_hypervisors(baker: tuple[Home, Path], tmp_path: Path, form: str) -> None:
    """IDE and E1000, as VirtualBox and VMware have them."""
    disk = tmp_path / f"web.{form}"
    bake(baker, form, disk)
    if form == "ova":
        with tarfile.open(disk) as package:
            package.extract("app-web-disk1.vmdk", tmp_path)
        disk, form = tmp_path / "app-web-disk1.vmdk", "vmdk"
    with running(disk, "vpc" if form == "vhd" else form, bios=True, bus="ide", card="e1000") as url:
        assert httpx.get(url, timeout=15).status_code == 200


def test_the_same_bytes_elsewhere_and_no_secret_in_them(baker: tuple[Home, Path], tmp_path: Path) -> None:
    home, _ = baker
    home.run("secrets", "set", "-a", "app", "PASSWORD", stdin="hunter2-hunter2")
    bake(baker, "raw", tmp_path / "one.raw")
    other = Home(pattern="vm")
    try:
        other.take_images(home.images)
        other.port = home.port
        bake((other, other.app(text(home), "elsewhere")), "raw", tmp_path / "two.raw")
    finally:
        other.close()
    one, two = ((tmp_path / name).read_bytes() for name in ("one.raw", "two.raw"))
    assert hashlib.sha256(one).hexdigest() == hashlib.sha256(two).hexdigest()
    assert b"hunter2" not in one and b"GREETING=hello\0" in one


def test_progress_and_exit_codes_for_programs(baker: tuple[Home, Path], tmp_path: Path) -> None:
    home, file = baker
    command = ("build", "web", "-f", str(file), "-o", "json", "--progress", "json")
    said = home.run(*command, "--format", "qcow2", "--to", str(tmp_path / "x"), patience=900)
    result = json.loads(said.stdout)
    content = (tmp_path / "x").read_bytes()
    assert result["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}" and result["size_bytes"] == len(content)
    assert (result["format"], result["withheld"]) == ("qcow2", ["PASSWORD"])
    events = [json.loads(line) for line in said.stderr.splitlines()]
    kinds = [event["kind"] for event in events]
    assert {"build.started", "build.done", "operation.done"} <= set(kinds) and kinds[-1] == "note"
    for options, code in ((("--as", "process", "--format", "raw"), 2), (("--format", "vhdx"), 2)):
        failed = home.run(*command, *options, code=code)
        error = json.loads(failed.stderr.splitlines()[-1])
        assert error["kind"] == "error" and error["exit_code"] == code and error["hint"] and not failed.stdout


def test_whoever_is_interrupted_leaves_nothing(baker: tuple[Home, Path], tmp_path: Path) -> None:
    """With an older image in the place, which stays."""
    home, file = baker
    place = tmp_path / "web.ova"
    place.write_bytes(b"an older one")
    bake(baker, "raw", tmp_path / "raw")
    (tmp_path / "raw").unlink()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        process = home.start(
            "build", "web", "-f", str(file), "--format", "ova", "--to", str(place), "--progress", "json"
        )
        assert process.stdout is not None
        for line in process.stdout:
            if '"making a disk' in line:
                break
        os.kill(process.pid, number)
        process.stdout.read()
        expected = {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
        assert process.wait(60) == expected
        assert [path.name for path in tmp_path.iterdir()] == ["web.ova"]
        assert place.read_bytes() == b"an older one"
    work = home.home / "state" / "work"
    until(lambda: not list(work.glob("image-*")), 60, "the daemon to clean up")


def test_a_place_without_room(baker: tuple[Home, Path], tmp_path: Path) -> None:
    with small_folder(tmp_path / "small", 10 * 1024**2):
        place = tmp_path / "small/web.raw"
        place.write_bytes(b"an older one")
        said = bake(baker, "raw", place, code=1)
        assert (
            f"cannot write the image to {place}: No space left on device" in said.stderr and "hint: make" in said.stderr
        )
        assert [path.name for path in place.parent.iterdir()] == ["web.raw"]
        assert place.read_bytes() == b"an older one"
