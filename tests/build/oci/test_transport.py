"""Images fetched and sent: skopeo's complaints as sentences, and the whole way there and back through a registry."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.build.oci import transport
from fourfold.build.oci.export import Exporter, archive, write_layout
from fourfold.build.oci.pull import resolve
from fourfold.build.oci.transport import check_reference, explained, registry_of
from fourfold.build.oci.unpack import UnpackLimits
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Image
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.images import Images
from tests.support.wait import until

from .archives import entry, folder, symlink, tar
from .images import artifact, change, layout
from .registry import HOST, PASSWORD, registry

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="layers are unpacked as root, with their owners")
BASE, UPPER = (
    tar([folder("bin"), entry("bin/web", content=b"web", mode=0o755)]),
    tar([entry("bin/.wh.web"), entry("new")]),
)
REFERENCE = f"docker://{HOST}/shop/web:1"


def no_log(line: str) -> None:
    return


# what is said

SAID = {
    'msg="pinging container registry localhost:1: Get \\"https://localhost:1/v2/\\": dial tcp [::1]:1: connect: '
    'connection refused"': (WorldError, "the registry localhost:1 cannot be reached"),
    'msg="pinging container registry nowhere: dial tcp: lookup nowhere: no such host"': (
        WorldError, "cannot be reached",
    ),
    'msg="reading manifest 1 in docker.io/ann/x: errors:\\ndenied: requested access to the resource is denied\\n'
    'unauthorized: authentication required\\n"': (UserError, "wants a login"),
    'msg="unable to retrieve auth token: invalid username/password: unauthorized"': (UserError, "wants a login"),
    'msg="reading manifest 9 in docker.io/library/alpine: manifest unknown: manifest unknown"': (
        UserError, "no such image",
    ),
    'msg="reading manifest 9 in localhost:1/x: name unknown: repository name not known to registry"': (
        UserError, "no such image",
    ),
    'msg="choosing image instance: no image found in manifest list for architecture amd64, variant \\"\\", OS linux"': (
        UserError, "no image for this machine",
    ),
    'msg="pinging container registry r: Get \\"https://r/v2/\\": http: server gave HTTP response to HTTPS client"': (
        UserError, "does not speak TLS",
    ),
    'msg="pinging container registry r: Get \\"https://r/v2/\\": x509: certificate signed by unknown authority"': (
        UserError, "certificate is not trusted",
    ),
    'msg="reading manifest: toomanyrequests: You have reached your pull rate limit"': (WorldError, "more requests"),
    'msg="writing blob: write /x/y: no space left on device"': (WorldError, "the disk is full"),
    'msg="Invalid source name docker://A: invalid reference format: repository name must be lowercase"': (
        UserError, "its name is malformed",
    ),
    'msg="open /x: permission denied"': (WorldError, "skopeo: open /x"),
    "something quite different": (WorldError, "something quite different"),
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_complaints(said: str) -> None:
    kind, words = SAID[said]
    error = explained("pull", "docker://localhost:1/x", f'time="2026" level=fatal {said}\n')
    assert type(error) is kind and words in str(error) and error.what.startswith("cannot pull docker://localhost:1/x")
    assert "skopeo: " in error.what and error.hint and "{" not in error.hint


@pytest.mark.parametrize(
    "said", ["archive/tar: invalid tar header", "unexpected EOF", "reading tarfile: unexpected EOF: x509"]
)
def test_complaints_about_an_archive_name_no_registry(said: str) -> None:
    error = explained("pull", "docker-archive:/x.tar.gz", f'level=fatal msg="{said}"')
    assert type(error) is UserError and "the archive is broken, or compressed" in error.what
    for said in ("timeout", "unauthorized", "parsing: invalid character"):
        assert type(explained("pull", "oci:/x", said)) is WorldError
        assert "registry" not in str(explained("pull", "oci:/x", said))


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("docker://alpine:3", "docker.io"), ("docker://ann/web", "docker.io"), ("docker://localhost/web", "localhost"),
        ("docker://r.example/web", "r.example"), ("docker://127.0.0.1:5000/a/b:1", "127.0.0.1:5000"),
    ],
)  # fmt: skip
def test_registry_of(reference: str, host: str) -> None:
    assert registry_of(reference) == host


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("alpine", "docker://alpine"), ("docker-daemon:x:1", "docker://"), ("dir:/etc", "docker://"),
        ("--help", "docker://"), ("oci:image", "oci:/"), ("docker-archive:./x.tar", "docker-archive:/"), ("", "docker://"),
    ],
)  # fmt: skip
def test_what_is_no_reference(reference: str, hint: str) -> None:
    with pytest.raises(UserError, match="as an image") as caught:
        check_reference(reference)
    assert hint in str(caught.value.hint)


def test_without_skopeo(paths: Paths, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="skopeo is not installed") as caught:
        asyncio.run(resolve("docker://alpine", images, paths.work, no_log))
    assert caught.value.hint == "apt-get install skopeo"


# images of this host


@as_root
def test_an_oci_folder(paths: Paths, images: Images, tmp_path: Path) -> None:
    lines: list[str] = []
    reference = f"oci:{layout(tmp_path / 'image', [BASE, UPPER])}:image"
    found = asyncio.run(resolve(reference, images, paths.work, lines.append))
    image, argv = found.image, found.argv
    assert argv == ("/bin/web", "--fast") and image.user == "nginx" and len(image.layers) == 2
    assert (images.folder(image.layers[0]) / "bin/web").read_text() == "web"
    assert images.size(image.layers[0]) > 0 and list(paths.work.iterdir()) == []
    assert lines == [f"Fetching {reference}", f"Unpacking layer 1 of {reference}", f"Unpacking layer 2 of {reference}"]
    lines.clear()
    assert asyncio.run(resolve(reference, images, paths.work, lines.append)).image == image and lines == []
    shutil.rmtree(tmp_path / "image")
    layout(tmp_path / "image", [BASE])
    again = asyncio.run(resolve(reference, images, paths.work, lines.append)).image
    assert again.layers == image.layers[:1] and lines == [f"Fetching {reference}"], "another one now"


@as_root
def test_layers_that_one_above_hides_are_left_out(paths: Paths, images: Images, tmp_path: Path) -> None:
    hiding = tar([entry(".wh..wh..opq"), entry("new")])
    reference = f"oci:{layout(tmp_path / 'image', [BASE, hiding, UPPER])}:image"
    layers = asyncio.run(resolve(reference, images, paths.work, no_log)).image.layers
    assert len(layers) == 2 and (images.folder(layers[0]) / "new").exists()


@as_root
def test_an_archive_of_docker(paths: Paths, images: Images, tmp_path: Path) -> None:
    exporter = Exporter(images, CompressedLayers(paths), paths.work)
    made = artifact(paths, {"run": "#!/bin/sh", ".venv/x": "x"}, Image((), dependencies=(".venv",)), argv=("./run",))
    image = exporter.image(made, Service(source=".", port=80), "shop", "web")
    (tmp_path / "image.tar").write_bytes(b"".join(archive(image).pieces))
    reference = f"docker-archive:{tmp_path}/image.tar"
    record = asyncio.run(resolve(reference, images, paths.work, no_log))
    found = record.image
    assert record.argv == ("./run",) and found.cwd == "/app" and found.env["PORT"] == "80"
    assert found.stop_signal == "SIGTERM"
    assert (images.folder(found.layers[1]) / "app/run").read_text() == "#!/bin/sh"


@as_root
@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ([tar([symlink("a", "/"), entry("a/evil")])], "a link or a file"),
        ([BASE, tar([entry("../evil")])], "layer 2 of"),
    ],
)
def test_a_hostile_image_leaves_nothing(
    paths: Paths, images: Images, tmp_path: Path, layers: list[bytes], why: str
) -> None:
    reference = f"oci:{layout(tmp_path / 'image', layers)}:image"
    with pytest.raises(UserError, match=why):
        asyncio.run(resolve(reference, images, paths.work, no_log))
    assert list(paths.work.iterdir()) == [] and list(images.records.list()) == []
    assert len(list(images.list())) == len(layers) - 1, "whole layers may stay; never a part of one"


@as_root
def test_a_pull_that_is_cancelled_leaves_nothing(paths: Paths, images: Images, tmp_path: Path) -> None:
    reference = f"oci:{layout(tmp_path / 'image', [tar([entry(f'f{n}') for n in range(20_000)])])}:image"
    unpacking = asyncio.Event()

    async def cancelled() -> None:
        task = asyncio.create_task(
            resolve(reference, images, paths.work, lambda line: unpacking.set() if "Unpack" in line else None)
        )
        await unpacking.wait()
        while not any(paths.work.glob("*/unpacked/f*")):  # noqa: ASYNC110 - a thread makes them
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list(paths.work.iterdir()) == [] and list(images.list()) == []


def test_what_is_not_on_this_host(paths: Paths, images: Images, tmp_path: Path) -> None:
    for reference in (f"oci:{tmp_path}/none", f"docker-archive:{tmp_path}/none.tar"):
        with pytest.raises(UserError, match="No such file"):
            asyncio.run(resolve(reference, images, paths.work, no_log))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/index.json").write_text("{}")
    with pytest.raises((UserError, WorldError), match="skopeo: "):
        asyncio.run(resolve(f"oci:{tmp_path}/broken", images, paths.work, no_log))


def test_of_another_machine(paths: Paths, images: Images, tmp_path: Path) -> None:
    folder = layout(tmp_path / "image", [BASE])
    change(folder, "config", architecture="s390x")
    with pytest.raises(UserError, match=r"s390x|architecture"):
        asyncio.run(resolve(f"oci:{folder}:image", images, paths.work, no_log))


# a registry

with_registry = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network namespace")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with registry(tmp_path_factory.mktemp("registry") / "open") as folder:
        yield folder


@pytest.fixture
def online(programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))


@with_registry
def test_push_and_pull(online: None, paths: Paths, images: Images) -> None:
    exporter = Exporter(images, CompressedLayers(paths), paths.work)
    made = artifact(paths, {"run": "#!/bin/sh", ".venv/x": "x"}, Image((), dependencies=(".venv",)), argv=("./run",))
    image = exporter.image(made, Service(source="."), "shop", "web")
    write_layout(image, paths.work / "layout")
    asyncio.run(transport.send(paths.work / "layout", REFERENCE))
    record = asyncio.run(resolve(REFERENCE, images, paths.work, no_log))
    assert record.digest == image.digest and record.argv == ("./run",)
    lines: list[str] = []
    asyncio.run(resolve(REFERENCE, images, paths.work, lines.append))
    assert lines == [], "a tag stays what it was"
    asyncio.run(resolve(REFERENCE, images, paths.work, lines.append, fresh=True))
    assert lines == [f"Fetching {REFERENCE}"]
    asyncio.run(resolve(f"docker://{HOST}/shop/web@sha256:{image.digest}", images, paths.work, no_log))


@with_registry
@pytest.mark.parametrize(
    ("reference", "kind", "why"),
    [
        (f"docker://{HOST}/shop/web:absent", UserError, "there is no such image"),
        (f"docker://{HOST}/absent:1", UserError, "there is no such image"),
        ("docker://127.0.0.1:5001/x", WorldError, "the registry 127.0.0.1:5001 cannot be reached"),
        ("docker://registry.invalid/x", WorldError, "the registry registry.invalid cannot be reached"),
        (f"docker://{HOST}/UPPER", UserError, "its name is malformed"),
    ],
)
def test_what_registries_refuse(
    online: None, paths: Paths, images: Images, reference: str, kind: type[Exception], why: str
) -> None:
    with pytest.raises(kind, match=why):
        asyncio.run(resolve(reference, images, paths.work, no_log))
    assert list(paths.work.iterdir()) == []


@with_registry
def test_a_registry_that_wants_a_login(
    paths: Paths, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = layout(tmp_path / "image", [BASE])
    auth = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(auth))
    with registry(tmp_path / "closed", login=True) as folder:
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        with pytest.raises(UserError, match="wants a login") as caught:
            asyncio.run(resolve(REFERENCE, images, paths.work, no_log))
        assert f"skopeo login {HOST}" in str(caught.value.hint)
        with pytest.raises(UserError, match="wants a login"):
            asyncio.run(transport.send(made, REFERENCE))
        token = base64.b64encode(":".join(PASSWORD).encode()).decode()
        auth.write_text(json.dumps({"auths": {HOST: {"auth": token}}}))
        asyncio.run(transport.send(made, REFERENCE))
        assert asyncio.run(resolve(REFERENCE, images, paths.work, no_log)).argv == ("/bin/web", "--fast")


@with_registry
def test_what_is_too_large(
    online: None, paths: Paths, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = f"oci:{layout(tmp_path / 'image', [BASE])}:image"
    with pytest.raises(UserError, match="more than 0 MiB"):
        asyncio.run(resolve(reference, images, paths.work, no_log, limits=UnpackLimits(size=600)))
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "skopeo").write_text('#!/bin/sh\nfor last; do :; done\nlast=${last#oci:}; mkdir -p "${last%:image}"\n'
                                 'head -c 3000000 /dev/zero > "${last%:image}/x"; exec sleep 60\n')  # fmt: skip
    (slow / "skopeo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    monkeypatch.setattr(transport, "FETCHED_BYTES", 1_000_000)
    with pytest.raises(UserError, match="it is larger than"):
        asyncio.run(resolve("docker://127.0.0.1/x", images, paths.work, no_log))
    assert list(paths.work.iterdir()) == []


def test_a_daemon_that_is_killed_leaves_no_skopeo(tmp_path: Path) -> None:
    note = 'echo $$ >"${0%/*}/new"; mv "${0%/*}/new" "${0%/*}/pid"'
    (tmp_path / "skopeo").write_text(f"#!/bin/sh\n{note}; exec sleep 60\n")
    (tmp_path / "skopeo").chmod(0o755)
    code = (
        "import asyncio, sys; from pathlib import Path; from fourfold.build.oci.transport import fetch; "
        "asyncio.run(fetch('docker://127.0.0.1/x', Path(sys.argv[1])))"
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    daemon = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "layout")], env=env)
    try:
        until(lambda: (tmp_path / "pid").exists(), what="skopeo to start")
    finally:
        daemon.kill()
        daemon.wait()
    skopeo = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    until(lambda: not skopeo.exists() or ") Z " in skopeo.read_text(), what="skopeo to end")
