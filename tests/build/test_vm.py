"""Virtual machines baked from real packages: what is in them, what an edit makes again, and that they boot."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.disk import erofs
from fourfold.build.make import BuildLimits
from fourfold.build.oci.export import Exporter, write_layout
from fourfold.errors import UserError, WorldError
from fourfold.spec.model import Service
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images
from tests.support.mounts import mounts_of

from .helpers import Home, write
from .machine import Machine

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="bases are root's"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="machines are of x86_64"),
    pytest.mark.timeout(600),
]
MEBIBYTE = 1 << 20
SERVER = """
import http.server, os, six
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        root = sorted(os.listdir("/"))
        text = f"{six.__version__} {os.getuid()} {os.path.exists('/bin/sh')} {root}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
PYTHON = {"requirements.txt": "six==1.16.0\n", "app.py": SERVER}
STATIC = """
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    char request[4096], answer[] = "HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\nConnection: close\\r\\n\\r\\nstatic";
    if (bind(server, (struct sockaddr *)&place, sizeof place) || listen(server, 16))
        return 1;
    for (;;) {
        int client = accept(server, 0, 0);
        if (read(client, request, sizeof request) < 0 || write(client, answer, sizeof answer - 1) < 0)
            return 2;
        close(client);
    }
}
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Home]:
    """One home for all: kernel and bases are made once."""
    folder = Path(tempfile.mkdtemp(prefix="fourfold-machines-"))
    yield Home(folder)
    trees.remove(folder)


@pytest.fixture
def home(shared: Home) -> Iterator[Home]:
    shared.lines.clear()
    yield shared
    assert shared.left_over == []
    assert mounts_of(shared.root) == []


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="fourfold-machine-"))
    yield made
    trees.remove(made)


def build(home: Home, source: Path, service: str = "web", **spec: Any) -> Artifact:
    return asyncio.run(home.build(source, service, pattern="vm", port=8080, **spec))


def size(home: Home, artifact: Artifact) -> int:
    """Of what an exported image holds: the kernel in its compressed form, and all else as it is."""
    assert artifact.boot is not None
    disks, kernels = Disks(home.paths), list(home.paths.images.glob("layers/*/root/boot/vmlinuz-*cloud*"))
    return kernels[0].stat().st_size + sum(disks.size(key) for key in (artifact.boot.initrd, *artifact.boot.disks))


def root_of(home: Home, artifact: Artifact, target: Path) -> Path:
    """All its disks, unpacked on each other."""
    assert artifact.boot is not None
    for key in artifact.boot.disks:
        place = Disks(home.paths).path(key)
        subprocess.run(["fsck.erofs", f"--extract={target}", "--overwrite", place], check=True, capture_output=True)
    return target


def static_server(source: Path) -> Path:
    write(source, {})
    (source.parent / "server.c").write_text(STATIC)
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", source / "server", source.parent / "server.c"], check=True)
    return source


@pytest.mark.full
def test_python_is_baked_and_boots(home: Home, source: Path, folder: Path) -> None:
    artifact = build(home, write(source, PYTHON), run="python app.py")
    assert artifact.argv == ("python", "app.py")
    assert size(home, artifact) < 60 * MEBIBYTE
    with Machine(artifact, Disks(home.paths), folder) as machine:
        version, uid, shell, root = machine.answer().split(" ", 3)
    assert (version, uid, shell) == ("1.16.0", "1000", "False")
    assert "'app'" in root


def test_an_edit_makes_only_its_own_disk_again(home: Home, source: Path) -> None:
    first = build(home, write(source, PYTHON), run="python app.py")
    home.lines.clear()
    write(source, {"app.py": SERVER + "# edited\n"})
    second = build(home, source, run="python app.py")
    assert first.boot is not None and second.boot is not None
    assert second.boot.disks[:-1] == first.boot.disks[:-1]
    assert second.boot.disks[-1] != first.boot.disks[-1]
    assert (second.boot.kernel, second.boot.initrd) == (first.boot.kernel, first.boot.initrd)
    assert second.digest != first.digest
    assert home.lines == []
    again = build(home, source, run="python app.py --other $PORT")
    assert again.digest == second.digest
    assert again.argv == ("python", "app.py", "--other", "8080")


SHELLS = re.compile(r"(ba|da|z|k|c|tc|fi)?sh|busybox|rbash")
MANAGERS = re.compile(r"apt.*|dpkg.*|pip3?|npm|npx|yarn|gem|uv|ensurepip|sshd|ssh|init|systemd|login|su|sudo")


def test_minimal_holds_nothing_but_the_service(home: Home, source: Path, folder: Path) -> None:
    root = root_of(home, build(home, write(source, PYTHON), run="python app.py"), folder / "root")
    programs = []
    for path, status in trees.walk(root):
        name = path.relative_to(root)
        assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), name
        assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode), name
        if not str(name).startswith("usr/share/doc/"):  # whose copyright files are named by programs
            assert not SHELLS.fullmatch(path.name), name
            assert stat.S_ISDIR(status.st_mode) or not MANAGERS.fullmatch(path.name), name
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111 and name.parts[0] != "app" and is_program(path):
            programs.append(str(name))
        assert "security.capability" not in os.listxattr(path, follow_symlinks=False), name
    assert sorted(programs) == sorted(
        ["usr/bin/env", *(name for name in programs if re.search(r"python3\.\d+$", name))]
    )
    assert len(programs) == 2
    assert not (root / "var/lib/dpkg").exists()


def is_program(path: Path) -> bool:
    """An ELF file that is started, not loaded: it names what loads it, and is no library."""
    return path.read_bytes()[:4] == b"\x7fELF" and ".so" not in path.name


def test_a_static_program_has_no_system_at_all(home: Home, source: Path, folder: Path) -> None:
    artifact = build(home, static_server(source), "static", run="./server")
    assert artifact.argv == ("./server",)
    assert size(home, artifact) < 20 * MEBIBYTE
    root = root_of(home, artifact, folder / "root")
    assert not [path for path in root.rglob("*") if ".so" in path.name]
    assert (root / "etc/ssl/certs/ca-certificates.crt").is_file()
    assert (root / "usr/share/zoneinfo/Asia/Seoul").is_file()
    assert (root / "etc/passwd").is_file()
    with Machine(artifact, Disks(home.paths), folder, memory=96) as machine:
        assert machine.answer() == "static"


def test_the_same_input_gives_the_same_digests_elsewhere(home: Home, source: Path) -> None:
    """Another home, another day, the service's files written anew; the kernel and bases fetched anew."""
    first = build(home, write(source, PYTHON), run="python app.py")
    folder = Path(tempfile.mkdtemp(prefix="fourfold-elsewhere-"))
    try:
        other = Home(folder / "home")
        second = build(other, write(folder / "elsewhere" / "app", PYTHON), run="python app.py")
        assert first.boot == second.boot
        assert first.digest == second.digest
        assert first.boot is not None
        for key in (first.boot.kernel, first.boot.initrd, *first.boot.disks):
            assert Disks(home.paths).path(key).read_bytes() == Disks(other.paths).path(key).read_bytes()
    finally:
        trees.remove(folder)


def test_what_minimal_cannot_run_is_refused_early(home: Home, source: Path) -> None:
    write(source, PYTHON)

    def plan(**spec: Any) -> None:
        asyncio.run(home.builder.plan(home.request(source, pattern="vm", port=8080, **spec)))

    with pytest.raises(UserError, match=r"it has no shell, and `python a\.py && true` needs one for ") as caught:
        plan(run="python a.py && true")
    assert "vm: {base: debian}" in str(caught.value.hint)
    with pytest.raises(UserError, match=r"`\$CATALOG_URL`, which is not known when it is built"):
        plan(run="python app.py --catalog $CATALOG_URL")
    with pytest.raises(UserError, match=r"cannot run `health\.command` of web on the base minimal"):
        plan(run="python app.py", health={"command": "test -f /tmp/ready"})
    plan(run="python app.py", health={"command": ["python", "check.py"]})
    plan(run="python a.py && true", vm={"base": "debian"})
    with pytest.raises(UserError, match=r"cannot use python3\.8") as caught:
        plan(run="python app.py", runtime="python3.8")
    assert "`vm.base`" in str(caught.value.hint)
    write(source, {"start.sh": "#!/bin/sh\nexec python app.py\n"})
    with pytest.raises(UserError, match=r"\./start\.sh is a script for a shell"):
        build(home, source, run="./start.sh")


def test_a_tree_over_the_limit_is_refused(home: Home, source: Path) -> None:
    write(source, {"server": "x" * (2 * MEBIBYTE)})
    (source / "server").chmod(0o755)
    small = Home(home.root, limits=BuildLimits(size=MEBIBYTE))
    with pytest.raises(WorldError, match="the limit is 1 MiB"):
        build(small, source, "large", run=["/app/server"])


def test_an_interrupted_bake_leaves_nothing(home: Home, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while the disk is made: it is made to its end, or not at all, and the next one has it whole."""
    build(home, write(source, PYTHON), "cut", run="python app.py")
    program = source.parent / "slow"
    fifo = source.parent / "fifo"
    os.mkfifo(fifo)
    program.write_text(f'#!/bin/sh\nread line <{fifo}\nexec /usr/bin/mkfs.erofs "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(erofs, "MKFS", str(program))
    write(source, {"app.py": SERVER + "# cut\n"})

    async def cancel() -> None:
        task = asyncio.create_task(home.build(source, "cut", pattern="vm", port=8080, run="python app.py"))
        opened = await asyncio.to_thread(fifo.open, "w")  # once mkfs is there
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        opened.write("go\n")
        opened.close()

    asyncio.run(cancel())
    assert home.left_over == []
    monkeypatch.setattr(erofs, "MKFS", "/usr/bin/mkfs.erofs")
    assert build(home, source, "cut", run="python app.py").boot is not None


@pytest.mark.full
def test_an_image_is_booted(home: Home, source: Path, folder: Path) -> None:
    """As base, as it is, and for a container that wants a kernel of its own: the same disk."""
    made = asyncio.run(home.build(write(source, PYTHON), "web", pattern="container", port=8080))
    exporter = Exporter(Images(home.paths), CompressedLayers(home.paths), home.paths.work)
    layout = folder / "image"
    spec = Service.model_validate({"pattern": "container", "port": 8080})
    write_layout(exporter.image(made, spec, "shop", "web"), layout)
    write(source.parent / "none", {})
    ready = build(home, source.parent / "none", "ready", image=f"oci:{layout}")
    light = asyncio.run(
        home.build(
            source.parent / "none", "light", pattern="container", container={"isolation": "vm"}, image=f"oci:{layout}"
        )
    )
    over = build(home, source, "over", run=["python3", "app.py"], vm={"base": f"oci:{layout}"})
    assert ready.boot is not None and light.boot is not None and over.boot is not None
    assert len(ready.boot.disks) == 1
    assert light.boot == ready.boot
    assert over.boot.disks[0] == ready.boot.disks[0]
    assert len(over.boot.disks) == 2
    assert ready.image is not None
    assert len(ready.image.layers) > 1
    with Machine(over, Disks(home.paths), folder, memory=256) as machine:
        assert machine.answer().split()[2] == "True"


def test_without_a_compiler_or_tools_it_says_so(home: Home, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erofs, "MKFS", "/nonexistent/mkfs.erofs")
    with pytest.raises(UserError) as caught:
        asyncio.run(home.builder.plan(home.request(write(source, PYTHON), pattern="vm")))
    assert caught.value.hint == "apt-get install erofs-utils"


CALLED = ["/usr/bin/python3", "-m", "http.server", "8080"]
"""Of a source that has no file in Python."""


def test_a_whole_system_has_what_its_program_calls(home: Home, source: Path) -> None:
    request = home.request(write(source, {"page.txt": ""}), pattern="vm", port=8080, run=CALLED, vm={"base": "debian"})
    assert [name[:6] for name in asyncio.run(home.builder.machines.recipe(request)).runtimes] == ["python"]


@pytest.mark.full
def test_a_whole_system(home: Home, source: Path, folder: Path) -> None:
    artifact = build(home, write(source, {"page.txt": ""}), run=CALLED, vm={"base": "debian"})
    root = root_of(home, artifact, folder / "root")
    assert (root / "sbin/init").resolve().name == "systemd"
    assert (root / "usr/bin/python3").is_file()
    assert (root / "usr/sbin/sshd").is_file()
    assert not list((root / "etc/ssh").glob("ssh_host_*"))
    assert (root / "etc/machine-id").read_text() == ""
    assert list((root / "usr/lib/modules").glob("*/modules.dep"))
    assert not (root / "etc/resolv.conf").exists()
    assert not [path for path, status in trees.walk(root) if status.st_mode & stat.S_ISUID]
    again = build(home, source, "again", fresh="anew", run=CALLED, vm={"base": "debian"})
    assert again.boot is not None and artifact.boot is not None
    assert (again.boot.kernel, again.boot.disks[0]) == (artifact.boot.kernel, artifact.boot.disks[0])
