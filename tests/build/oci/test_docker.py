"""What Debian's Docker makes of our images, by `docker load` and `docker run`. Its dockerd is started here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fourfold.build.oci.export import Exporter, archive
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Image
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.images import Images
from tests.support.wait import until

from .images import artifact

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dockerd needs root")
_OPTIONS = ("--iptables=false", "--ip6tables=false", "--bridge=none")


@contextmanager
def dockerd() -> Iterator[list[str]]:
    """The start of a `docker` command line for an engine of its own: in a network and a mount namespace of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ff-docker-"))  # its socket's path must be short
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    argv = ["unshare", "--net", "--mount", "dockerd", f"--host=unix://{folder}/socket", *places, *_OPTIONS]
    docker = ["docker", f"--host=unix://{folder}/socket"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        until(lambda: subprocess.run([*docker, "version"], capture_output=True).returncode == 0, 60, "dockerd", 0.2)
        yield docker
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def test_docker_runs_it(paths: Paths, tmp_path: Path) -> None:
    made = artifact(paths, {"page": "hello"}, Image(()), argv=("/app/ldconfig", "-N", "-v", "-f", "/app/page"))
    made.tree.chmod(0o755)
    shutil.copy("/sbin/ldconfig", made.tree)  # Debian's is static
    exporter = Exporter(Images(paths), CompressedLayers(paths), paths.work)
    image = exporter.image(made, Service.model_validate({"source": ".", "port": 8080}), "shop", "web")
    (tmp_path / "image.tar").write_bytes(b"".join(archive(image).pieces))
    with dockerd() as docker:
        loaded = subprocess.run([*docker, "load", "-i", tmp_path / "image.tar"], capture_output=True, text=True)
        assert loaded.stdout == "Loaded image: shop-web:latest\n", loaded.stderr
        inspected = subprocess.run(
            [*docker, "image", "inspect", "shop-web"], capture_output=True, text=True, check=True
        )
        (found,) = json.loads(inspected.stdout)
        assert found["Id"] == f"sha256:{image.config}"
        assert found["Config"]["ExposedPorts"] == {"8080/tcp": {}} and found["Config"]["User"] == "65534:65534"
        argv = [*docker, "run", "--rm", "--network=none", "--entrypoint=/app/ldconfig", "shop-web", "--version"]
        ran = subprocess.run(argv, capture_output=True, text=True)
        assert ran.returncode == 0 and ran.stdout.startswith("ldconfig"), ran.stderr
