"""Guests for tests: a machine of QEMU's whose root is a few programs of this host."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.disk.guest import find_compiler
from tests.guest.kernel import initial, kernel
from tests.support.wait import until

PATIENCE = 60.0
QEMU = "qemu-system-x86_64"
PROGRAMS = (
    "sh",
    "cat",
    "sleep",
    "head",
    "tail",
    "id",
    "stty",
    "date",
    "ls",
    "mount",
    "ip",
    "hostname",
    "dd",
    "kill",
    "mkdir",
)
SIZE = 65536
"""Of the disk with the configuration."""
Pairs = Sequence[tuple[str, str]]

_PARAMETERS = (
    "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check cryptomgr.notests "
    "8250.nr_uarts=1 rcupdate.rcu_expedited=1 random.trust_cpu=on pci=off"
)

needs_guests = pytest.mark.skipif(
    not (kernel() and shutil.which(QEMU) and shutil.which("mkfs.erofs")),
    reason="no kernel ($FOURFOLD_TEST_KERNEL), qemu-system-x86_64 or mkfs.erofs",
)


def configuration(pairs: Pairs) -> bytes:
    body = b"".join(f"{key}={value}\0".encode() for key, value in pairs)
    return (b"FOURFOLD GUEST 1 %010d\n" % len(body) + body).ljust(SIZE, b"\0")


def shell(script: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The configuration of a guest whose service is a script."""
    return [("argv", "/bin/sh"), ("argv", "-c"), ("argv", script), ("uid", "1000"), ("gid", "1000"), *more]


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("report", "output", "console"):
            (folder / name).touch()

    @property
    def report(self) -> list[str]:
        return (self.folder / "report").read_text().split("\n")[:-1]

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    @property
    def console(self) -> str:
        return (self.folder / "console").read_text(errors="replace")

    @property
    def control(self) -> Path:
        return self.folder / "control"

    def configure(self, pairs: Pairs | None) -> None:
        (self.folder / "config").write_bytes(configuration(pairs) if pairs is not None else bytes(SIZE))

    def start(self, *extra: str, memory: int = 128) -> None:
        assert self.process is None or self.process.poll() is not None
        self.process = subprocess.Popen(
            [*self._argv(memory), *extra], stdin=subprocess.DEVNULL, stderr=(self.folder / "qemu").open("wb"),
        )  # fmt: skip

    def until(self, line: str) -> None:
        """Until the guest has reported it."""

        def reported() -> bool:
            assert line in self.report or self.process is None or self.process.poll() is None
            return line in self.report

        try:
            until(reported, PATIENCE, line)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.report}\n{self.console}{(self.folder / 'qemu').read_text()}"
            ) from None

    def ended(self) -> list[str]:
        """Its report, once it has powered down."""
        assert self.process is not None
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end\n{self.report}\n{self.console}") from None
        return self.report

    def command(self, *commands: dict[str, Any]) -> list[Any]:
        """To QEMU itself. -> its answers."""
        answers = []
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.folder / "qmp"))
            with sock.makefile("rw") as stream:
                stream.readline()
                for command in ({"execute": "qmp_capabilities"}, *commands):
                    stream.write(json.dumps(command) + "\n")
                    stream.flush()
                    while not {"return", "error"} & (answer := json.loads(stream.readline())).keys():
                        pass
                    assert "return" in answer, answer
                    answers.append(answer["return"])
        return answers[1:]

    def query(self, what: str) -> Any:
        return self.command({"execute": what})[0]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _argv(self, memory: int) -> list[str]:
        root = kernel()
        return [
            QEMU, "-M", "microvm", "-accel", "tcg", "-cpu", "max", "-m", str(memory), "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", "-serial", f"file:{self.folder / 'console'}",
            "-kernel", f"{root}/vmlinux", "-initrd", str(common() / "initial"), "-append", _parameters(),
            *self._disk("fourfold-0", common() / "root.erofs"), *self._disk("fourfold-config", self.folder / "config"),
            "-device", "virtio-serial-device",
            *self._port("report", f"file,path={self.folder / 'report'}"),
            *self._port("output", f"file,path={self.folder / 'output'}"),
            *self._port("control", f"socket,path={self.folder / 'control'},server=on,wait=off"),
            "-chardev", f"socket,id=qmp,path={self.folder / 'qmp'},server=on,wait=off",
            "-mon", "chardev=qmp,mode=control",
            "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-device,netdev=net",
        ]  # fmt: skip

    def _disk(self, serial: str, path: Path) -> list[str]:
        return [
            "-drive", f"id={serial},if=none,format=raw,file={path},readonly=on",
            "-device", f"virtio-blk-device,drive={serial},serial={serial}",
        ]  # fmt: skip

    def _port(self, name: str, chardev: str) -> list[str]:
        kind, _, rest = chardev.partition(",")
        return [
            "-chardev",
            f"{kind},id={name},{rest}",
            "-device",
            f"virtserialport,chardev={name},name=fourfold.{name}",
        ]


@contextmanager
def machine(pairs: Pairs | None, *extra: str, memory: int = 128) -> Iterator[Machine]:
    """One that is started with this configuration (None: zeros), and gone afterwards."""
    with made(pairs) as it:
        it.start(*extra, memory=memory)
        yield it


@contextmanager
def made(pairs: Pairs | None) -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="ff-guest-"))
    it = Machine(folder)
    try:
        it.configure(pairs)
        yield it
    finally:
        it.kill()
        shutil.rmtree(folder)


@lru_cache
def common() -> Path:
    """A folder with `root.erofs` and `initial`, made once."""
    folder = Path(tempfile.mkdtemp(prefix="ff-guests-"))
    _compile(folder / "init")
    (folder / "initial").write_bytes(initial((folder / "init").read_bytes()))
    _root(folder / "root")
    subprocess.run(
        ["mkfs.erofs", "--all-root", str(folder / "root.erofs"), str(folder / "root")], check=True, capture_output=True
    )
    return folder


def _compile(target: Path) -> None:
    find_compiler().compile(target, "-Werror")


def _root(root: Path) -> None:
    """Programs with the libraries that they are linked with, for their users to be."""
    (root / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        path = shutil.which(name)
        if path is None:
            continue
        shutil.copy(path, root / "bin" / name)
        libraries = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", libraries):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nservice:x:1000:1000::/:/bin/sh\n")


@lru_cache
def _parameters() -> str:
    cpus = re.search(r"^cpu MHz\s*:\s*(\S+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return _PARAMETERS + (f" tsc_early_khz={int(float(cpus[1]) * 1000)}" if cpus else "")
