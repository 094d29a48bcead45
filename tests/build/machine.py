"""What was baked, booted by plain QEMU: as little as it takes to get one answer."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from pathlib import Path

from fourfold.store.files.artifacts import Artifact
from fourfold.store.files.disks import Disks
from tests.support.wait import until

GUEST, GATEWAY = "10.0.2.15", "10.0.2.2"
"""Of QEMU's user networking."""


def configuration(entries: list[tuple[str, str]]) -> bytes:
    """guest/README.md"""
    body = b"".join(f"{key}={value}\0".encode() for key, value in entries)
    return (b"FOURFOLD GUEST 1 %010d\n" % len(body) + body).ljust(64 * 1024, b"\0")


def parameters() -> str:
    found = re.search(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())
    early = f" tsc_early_khz={int(float(found[1]) * 1000)}" if found else ""
    return f"console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check pci=off{early}"


class Machine:
    """A context manager: the guest runs in it."""

    def __init__(self, artifact: Artifact, disks: Disks, folder: Path, memory: int = 160, extra: str = "") -> None:
        assert artifact.boot is not None
        self._folder = folder
        env = {"PATH": "/usr/local/bin:/usr/bin", "PORT": "8080", "HOST": "0.0.0.0", **artifact.env}
        entries = [("address", f"{GUEST}/24"), ("gateway", GATEWAY), ("cwd", "/app"), ("uid", "1000"), ("gid", "1000")]
        entries += [("argv", word) for word in artifact.argv] + [("env", f"{key}={env[key]}") for key in env]
        entries += [("init", extra)] if extra else []
        (folder / "config").write_bytes(configuration(entries))
        places = {f"fourfold-{number}": disks.path(key) for number, key in enumerate(artifact.boot.disks)}
        places["fourfold-config"] = folder / "config"
        argv = [
            *["nice", "-n", "19", "qemu-system-x86_64", "-M", "microvm", "-accel", "tcg,tb-size=64", "-m", str(memory)],
            *["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-append", parameters()],
            *["-kernel", str(disks.path(artifact.boot.kernel)), "-initrd", str(disks.path(artifact.boot.initrd))],
            *["-serial", f"file:{folder / 'console'}", "-device", "virtio-serial-device"],
            *["-monitor", "stdio", "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:0-:8080"],
            *["-device", "virtio-net-device,netdev=net"],
        ]
        for port in ("report", "output"):
            argv += ["-chardev", f"file,id={port},path={folder / port}"]
            argv += ["-device", f"virtserialport,chardev={port},name=fourfold.{port}"]
        argv += ["-chardev", "null,id=control", "-device", "virtserialport,chardev=control,name=fourfold.control"]
        for name, path in places.items():
            argv += ["-drive", f"id={name},if=none,format=raw,readonly=on,file={path}"]
            argv += ["-device", f"virtio-blk-device,drive={name},serial={name}"]
        self._argv = argv

    def __enter__(self) -> Machine:
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("info usernet\n")
        forwarded = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)")
        seen = ""
        while (match := forwarded.search(seen)) is None:
            line = self._process.stdout.readline()
            assert line, seen
            seen += line
        self._port = int(match[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def said(self) -> str:
        """All that it wrote, for people."""
        names = ("console", "report", "output")
        return "\n".join(
            f"{name}: {(self._folder / name).read_text(errors='replace')}"
            for name in names
            if (self._folder / name).exists()
        )

    def answer(self, path: str = "/", seconds: float = 400) -> str:
        """Of the service, once there is one."""

        def asked() -> str | None:
            if self._process.poll() is not None:
                return f"QEMU ended with {self._process.returncode}"
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as response:
                return str(response.read().decode())

        try:
            return until(asked, seconds, "an answer of the service") or ""
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None
