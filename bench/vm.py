"""Virtual machines: how soon they serve, cold and from templates, what they take, and how soon an edit is baked.

Start: from the request to the first 200 through the gateway, of a static service and one of Python, booted cold, from a
template of the booted machine, and from one of the ready service. Memory: what each further machine takes that it does
not share (proportional set size of all of one service's, three against one). Bake: a service that was never baked on
bases that are there; after an edit, for machines of this host and as qcow2. The peer of that is what mkosi and Packer's
QEMU builder do by their documentation, by hand: mmdebstrap with kernel and interpreter, the service copied in, ext4 by
`mke2fs -d`, qcow2 by `qemu-img convert`; after an edit with its tree of packages kept, as mkosi's cache does. Not by
Debian's mkosi (14) itself: it mounts the EFI partition of what it makes, and the test hosts' kernel has no vfat. Nor by
Packer: it boots a whole system for each bake, which without KVM takes 20 s and more by itself (docs/vms.md).
`python -m bench.vm [--rounds 5]`
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.support.wait import until

from bench.container import PROGRAM, PYTHON
from bench.contenders import Fourfold
from bench.figures import table, verdict
from bench.machine import ENV, folder, get, need_root_and_parts, processes_of

STATIC = """
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    static const char answer[] = "HTTP/1.0 200 OK\\r\\n\\r\\nthis is VERSION";
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(getenv("PORT")))};
    int server = socket(AF_INET, SOCK_STREAM, 0), client;
    char asked[4096];

    if (bind(server, (struct sockaddr *)&here, sizeof here) || listen(server, 128))
        return 1;
    while ((client = accept(server, NULL, NULL)) >= 0) {
        if (read(client, asked, sizeof asked) > 0 && write(client, answer, sizeof answer - 1) > 0)
            shutdown(client, SHUT_WR);
        close(client);
    }
}
"""
KINDS = {
    "static": {"runtime": "static", "run": ["/app/web"]},
    "python": {"runtime": PYTHON, "run": ["python3", "web.py"]},
}
TEMPLATES = {"cold": "off", "boot": "boot", "ready": "ready"}
COLD, READY = {"static": 3.0, "python": 7.0}, {"static": 0.4, "python": 0.7}
SIZES = {"static": 20, "python": 60}
IN_ITS_OWN_NETWORK = "FOURFOLD_BENCH_NETWORK"
_MIB = 1024 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.vm", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    need_root_and_parts()
    if IN_ITS_OWN_NETWORK not in os.environ:
        os.environ[IN_ITS_OWN_NETWORK] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.support.netns", "--", sys.executable, "-m",
                                  "bench.vm", *sys.argv[1:]])  # fmt: skip
    with folder() as base, Ours(base) as ours:
        first = {kind: ours.prepare(kind) for kind in KINDS}
        for kind in KINDS:
            ours.start(f"{kind}-ready")  # the services know each other by now, which a template of a ready one holds
            ours.learn(f"{kind}-boot")
        starts: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in TEMPLATES} for kind in KINDS}
        for _ in range(options.rounds):
            for kind in KINDS:
                for name in TEMPLATES:
                    starts[kind][name].append(ours.start(f"{kind}-{name}"))
        memory = {f"{kind}-{name}": ours.memory(f"{kind}-{name}") for kind in KINDS for name in ("boot", "ready")}
        bakes: dict[str, list[float]] = {"fourfold": [], "qcow2": [], "by hand": []}
        peer = Peer(base / "peer", base / "python")
        from_nothing = peer.from_nothing()
        for number in range(options.rounds):
            bakes["fourfold"].append(ours.bake(f"local {number}"))
            bakes["qcow2"].append(ours.bake(f"qcow2 {number}", ("--format", "qcow2", "--to", str(base / "new.qcow2"))))
            bakes["by hand"].append(peer.after_an_edit(f"peer {number}"))
        sizes = {kind: ours.size(kind, base / f"{kind}.qcow2") for kind in KINDS}
    return report(first, starts, memory, bakes, from_nothing, sizes)


def report(
    first: dict[str, float],
    starts: dict[str, dict[str, list[float]]],
    memory: dict[str, float],
    bakes: dict[str, list[float]],
    from_nothing: float,
    sizes: dict[str, float],
) -> int:
    held = True
    for kind, rounds in starts.items():
        print(table(f"A machine with a {kind} service, to its first 200", "seconds", rounds, "cold"))
        cold, boot, ready = (median(rounds[name]) for name in TEMPLATES)
        held &= verdict("cold", cold, COLD[kind])
        held &= verdict("cold / from a booted template", cold / boot, 2.0, at_least=True)
        held &= verdict("from a ready template", ready, READY[kind])
    print("\nMemory of each further machine (MiB)")
    for name, taken in memory.items():
        held &= verdict(name, taken, 32.0)
    print(table("\nOne source file of a Python service edited, to its image", "seconds", bakes))
    held &= verdict("local", median(bakes["fourfold"]), 2.0)
    held &= verdict("qcow2", median(bakes["qcow2"]), 4.0)
    for kind, seconds in first.items():
        held &= verdict(f"first bake of a {kind} service, bases there", seconds, 10.0)
    print(f"          by hand, from nothing: {from_nothing:.1f}")
    print("\nImages as qcow2 (MB)")
    for kind, size in sizes.items():
        held &= verdict(kind, size, SIZES[kind])
    return 0 if held else 1


class Ours:
    def __init__(self, base: Path) -> None:
        self._base = base
        self._keeper = Fourfold(base / "fourfold")
        self._path = base / "fourfold.yaml"

    def __enter__(self) -> Ours:
        self._keeper.prepare()
        for kind in KINDS:
            write(self._base / kind, kind, "first")
        write(self._base / "other", "static", "other")
        services = {"other": self._service("other", "static", "off")}
        for kind in KINDS:
            services |= {f"{kind}-{name}": self._service(kind, kind, how) for name, how in TEMPLATES.items()}
        listen = f"127.0.0.1:{self._keeper.gateway}"
        content = {"app": "bench", "services": services, "gateway": {"listen": listen}}
        self._path.write_text(json.dumps(content))
        self._build("other")  # the bases
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.stop()

    def _service(self, source: str, kind: str, how: str) -> dict[str, object]:
        return {
            "source": f"./{source}", "pattern": "vm", "port": 8080, **KINDS[kind], "resources": {"memory": "64Mi"},
            "route": {"path": f"/{source}-{how}", "strip": True}, "vm": {"template": how},
            "stop": {"drain": 0, "grace": 1}, "health": {"grace": "120s"}, "deploy": {"timeout": "180s"},
        }  # fmt: skip

    def _command(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        done = self._keeper.command(*arguments)
        if done.returncode != 0:
            raise RuntimeError(f"fourfold {' '.join(arguments)}: {done.stderr!r}")
        return done

    def _build(self, service: str, more: Sequence[str] = ()) -> float:
        began = time.monotonic()
        self._command("build", service, "-f", str(self._path), "--as", "vm", *more)
        return time.monotonic() - began

    def prepare(self, kind: str) -> float:
        """-> seconds of its first bake. Afterwards its services are deployed, and there are templates."""
        if kind == "python":
            self._build(f"{kind}-cold")  # its interpreter, once for all
            write(self._base / kind, kind, "again")
        seconds = self._build(f"{kind}-cold")
        for name in TEMPLATES:
            self._command("deploy", "-f", str(self._path), f"{kind}-{name}")
            self._scale(f"{kind}-{name}", 0)
        return seconds

    def _scale(self, service: str, instances: int) -> None:
        self._command("scale", "-a", "bench", f"{service}={instances}")

    def start(self, service: str) -> float:
        """As the CLI asks, without the CLI."""
        kind, _, name = service.partition("-")
        asked = f"GET /{kind}-{TEMPLATES[name]} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()
        with self._keeper.api() as api:
            began = time.monotonic()
            api.post(f"/v1/apps/bench/services/{service}/scale", json={"instances": 1}).raise_for_status()
            until(lambda: b"this is" in get(self._keeper.gateway, asked), 180, "an answer", every=0.002)
            seconds = time.monotonic() - began
        self._scale(service, 0)
        return seconds

    def learn(self, service: str) -> None:
        """Its second machine shows what it reads, which the template of those to come has in its memory."""
        self._scale(service, 1)
        until(lambda: self._has_learned(service), 60, "the template")
        self._scale(service, 0)

    def _has_learned(self, service: str) -> bool:
        events = self._command("events", "-a", "bench").stdout.decode().splitlines()
        return any(f" {service} " in line and "with what it reads" in line for line in events)

    def memory(self, service: str) -> float:
        """MiB."""
        taken = []
        for count in (1, 3):
            self._scale(service, count)
            taken.append(sum(proportional(pid) for pid in self._machines(service)))
        self._scale(service, 0)
        return (taken[1] - taken[0]) / 2 / _MIB

    def _machines(self, service: str) -> list[int]:
        found = processes_of(self._keeper.folder / "home")
        return [pid for pid in found if f"bench.{service}-".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def bake(self, version: str, more: Sequence[str] = ()) -> float:
        write(self._base / "python", "python", version)
        return self._build("python-cold", more)

    def size(self, kind: str, image: Path) -> float:
        """MB."""
        self._build(f"{kind}-cold", ("--format", "qcow2", "--to", str(image)))
        return image.stat().st_size / 1000**2


class Peer:
    def __init__(self, work: Path, source: Path) -> None:
        self._work = work
        self._source = source
        self._root = work / "root"

    def from_nothing(self) -> float:
        self._work.mkdir()
        began = time.monotonic()
        packages = "linux-image-cloud-amd64,systemd-sysv,python3-minimal,libpython3-stdlib,netbase"
        run("mmdebstrap", "--quiet", "--variant=apt", f"--include={packages}", "bookworm", str(self._root))
        self._pack()
        return time.monotonic() - began

    def after_an_edit(self, version: str) -> float:
        write(self._source, "python", version)
        began = time.monotonic()
        self._pack()
        return time.monotonic() - began

    def _pack(self) -> None:
        shutil.copytree(self._source, self._root / "app", dirs_exist_ok=True)
        raw, image = self._work / "disk.raw", self._work / "disk.qcow2"
        for old in (raw, image):
            old.unlink(missing_ok=True)
        run("mke2fs", "-q", "-t", "ext4", "-d", str(self._root), str(raw), "2G")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image))


def run(*argv: str) -> None:
    subprocess.run(argv, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def write(source: Path, kind: str, version: str) -> None:
    """A service that answers with its version."""
    source.mkdir(exist_ok=True)
    if kind == "python":
        (source / "web.py").write_text(PROGRAM.replace("VERSION", version))
        return
    with contextlib.suppress(FileNotFoundError):
        (source / "web").unlink()
    text = STATIC.replace("VERSION", version).encode()
    argv = ["gcc", "-O2", "-static", "-s", "-x", "c", "-o", str(source / "web"), "-"]
    subprocess.run(argv, input=text, env=ENV, check=True)


def proportional(pid: int) -> int:
    """Bytes: what a process has for itself, and its share of what others have too (proc(5), smaps_rollup)."""
    found = re.search(r"^Pss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
