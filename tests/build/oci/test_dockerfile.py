"""Dockerfiles: the command lines, and with Debian's buildah the whole way to an image."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.build.model import DIES_WITH_US
from fourfold.build.oci.dockerfile import Recipe, check_dockerfile, commands, dockerfile_image, find_tool, not_fetched
from fourfold.build.pack import pack
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.images import Images
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Entry, Manifest
from tests.support.mounts import mounts_of

RECIPE = Recipe("web", "5" * 64, "deploy/Dockerfile", Path("/state/caches/shop.web/buildah"))
GOOD = """\
FROM scratch
COPY hello.txt /srv/
COPY ldconfig /bin/
RUN --mount=type=cache,target=/kept ["/bin/ldconfig", "-C", "/srv/made"]
ENV GREETING=hello
USER 7
EXPOSE 8080
STOPSIGNAL SIGINT
WORKDIR /srv
ENTRYPOINT ["/srv/web"]
CMD ["--fast"]
"""
MOST = {"nofile": 64, "nproc": -1}
with_buildah = pytest.mark.skipif(os.geteuid() != 0, reason="buildah works as root here")


def test_buildahs_command_lines() -> None:
    (title, build), (_, push) = commands(RECIPE, "buildah", Path("/work/x"), fresh=False, most=MOST)
    assert title == "buildah bud -f deploy/Dockerfile"
    start = [*DIES_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "buildah"]
    places = ["--root", "/state/caches/shop.web/buildah", "--runroot", "/work/x/run"]
    assert build[:14] == [*start, *places] == push[:14]
    assert build[-3:] == ["-f", "/work/x/context/deploy/Dockerfile", "/work/x/context"] and "chroot" in build
    assert "--ulimit=nofile=64:64" in build and "--ulimit=nproc=-1:-1" in build
    assert push[-2:] == ["image", "oci:/work/x/layout:image"] and "--no-cache" not in build
    assert "--no-cache" in commands(RECIPE, "buildah", Path("/work/x"), fresh=True, most=MOST)[0][1]


def test_dockers_command_lines() -> None:
    (_, build), (_, save) = commands(RECIPE, "docker", Path("/work/x"), fresh=True, most=MOST)
    tag = build[build.index("-t") + 1]
    assert list(build) == [
        "docker", "build", "--no-cache", "-t", tag, "-f", "/work/x/context/deploy/Dockerfile", "/work/x/context",
    ]  # fmt: skip
    assert list(save) == ["docker", "save", "-o", "/work/x/image.tar", tag]


def test_without_a_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no buildah, and no Docker that answers") as caught:
        find_tool(RECIPE)
    assert caught.value.hint == "apt-get install buildah"
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(UserError, match="no Docker that answers"):
        find_tool(RECIPE)
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 0\n")
    assert find_tool(RECIPE) == "docker"


BEGINS = "Error: creating build container: initializing source docker://localhost:5000/co/base:1: "
"""buildah 1.28."""


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("reading manifest 1 in localhost:5000/co/base: manifest unknown: x", UserError, "check its name and its tag"),
        ("reading manifest 1 in localhost:5000/co/base: unauthorized: x", UserError, "skopeo login localhost:5000"),
        ('pinging container registry localhost:5000: Get "https://localhost:5000/v2/": http: server gave HTTP response '
         "to HTTPS client", UserError, "`insecure = true` in /etc/containers/registries.conf"),
        ('pinging container registry localhost:5000: Get "https://localhost:5000/v2/": dial tcp 127.0.0.1:5000: '
         "connect: connection refused", WorldError, "check its name, the network"),
    ],
)  # fmt: skip
def test_an_image_that_it_stands_on_and_cannot_have(said: str, kind: type[Exception], hint: str) -> None:
    error = not_fetched(["STEP 1/6: FROM localhost:5000/co/base:1", BEGINS + said])
    assert isinstance(error, kind) and error.hint is not None and hint in error.hint
    assert error.what.startswith("cannot pull docker://localhost:5000/co/base:1: ") and "buildah: " in error.what
    assert not_fetched(["STEP 2/6: RUN false", "Error: building at STEP: exit status 1"]) is None


def test_a_source_without_it() -> None:
    manifest = Manifest.of([Entry("Dockerfile", size=1, sha256="a" * 64)])
    with pytest.raises(UserError, match="its source has no deploy/Dockerfile"):
        check_dockerfile(RECIPE, manifest)


def send(paths: Paths, folder: Path) -> tuple[Sources, str]:
    blobs = Blobs(paths)
    sources = Sources(paths, blobs)
    packed = pack(folder, environ={"FOURFOLD_HOME": str(paths.state.parent)})
    for digest in blobs.missing(packed.manifest.blobs):
        blobs.add(digest, [packed.files[digest].read_bytes()])
    return sources, sources.put(packed.manifest)


@with_buildah
def test_an_image_of_a_dockerfile(paths: Paths, images: Images, tmp_path: Path) -> None:
    assert shutil.which("buildah"), "apt-get install buildah"
    (tmp_path / "app").mkdir()
    (tmp_path / "app/hello.txt").write_text("hello")
    shutil.copy("/sbin/ldconfig", tmp_path / "app")  # Debian's is static, and writes a file
    (tmp_path / "app/Dockerfile").write_text(GOOD)
    sources, digest = send(paths, tmp_path / "app")
    recipe = Recipe("web", digest, "Dockerfile", paths.caches / "shop.web" / "buildah", "shop")
    (recipe.storage / "tmp/left").mkdir(parents=True)
    lines: list[str] = []
    record = asyncio.run(dockerfile_image(recipe, images, sources, paths.work, lines.append))
    assert record.argv == ("/srv/web", "--fast")
    image = record.image
    assert (image.user, image.cwd, image.stop_signal, image.env["GREETING"]) == ("7", "/srv", "SIGINT", "hello")
    for name in ("hello.txt", "made"):
        assert any((images.folder(layer) / "srv" / name).is_file() for layer in image.layers)
    assert "$ buildah bud -f Dockerfile" in lines and list(paths.work.iterdir()) == []
    lines.clear()
    assert asyncio.run(dockerfile_image(recipe, images, sources, paths.work, lines.append)) == record
    assert lines == [], "it was built before"
    kept = [path.name for path in (recipe.storage / "tmp").iterdir()]
    assert kept and all(name.startswith("buildah-cache") for name in kept), "of this service alone"
    other = replace(recipe, app="blog")
    assert asyncio.run(dockerfile_image(other, images, sources, paths.work, lines.append)) != record
    assert lines, "what others had built is not taken"
    assert mounts_of(paths.state.parent) == []


@with_buildah
def test_a_dockerfile_that_fails(paths: Paths, images: Images, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text("FROM scratch\nCOPY absent.txt /\n")
    sources, digest = send(paths, tmp_path / "app")
    recipe = Recipe("web", digest, "Dockerfile", paths.caches / "shop.web" / "buildah")
    with pytest.raises(WorldError, match="cannot build web: `buildah bud -f Dockerfile` ended with") as caught:
        asyncio.run(dockerfile_image(recipe, images, sources, paths.work, lambda line: None))
    assert "absent.txt" in caught.value.what and list(paths.work.iterdir()) == []
    assert list(images.records.list()) == []
    running = subprocess.run(["pgrep", "-f", str(paths.state)], capture_output=True, text=True).stdout
    assert not running
