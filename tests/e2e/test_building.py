"""`fourfold build`: images of a service that is not deployed, the same ones in every home, with no secret in them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.build.oci.registry import HOST, registry
from tests.e2e.home import Home, web_file

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="bases are made as root")

READY = "app: app\nservices:\n  web: {{image: 'docker://{}', pattern: container, port: 8080}}\n"


@pytest.fixture
def other() -> Iterator[Home]:
    home = Home()
    yield home
    home.close()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def inspect(place: str, *options: str) -> dict[str, Any]:
    said = subprocess.check_output(["skopeo", "--insecure-policy", "inspect", *options, place])
    return dict(json.loads(said))


def build(home: Home, file: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return home.run("build", "web", "-f", str(file), *arguments, code=code, patience=400)


def test_images_without_a_deployment(home: Home, other: Home, tmp_path: Path) -> None:
    text = web_file(home.port, extra="secrets: [PASSWORD]", GREETING="hello")
    file = home.app(text)
    home.run("secrets", "set", "-a", "app", "PASSWORD", stdin="hunter2-hunter2")
    refused = build(home, file, "--format", "oci", "--to", str(tmp_path / "x"), code=2)
    assert "it is built for pattern process" in refused.stderr and "--as container" in refused.stderr
    assert "web is built" in build(home, file, "--as", "container").stdout

    folder, archive = tmp_path / "image", tmp_path / "image.tar"
    build(home, file, "--as", "container", "--format", "oci", "--to", str(folder))
    said = build(home, file, "--as", "container", "--format", "docker-archive", "--to", str(archive), "-o", "json")
    digest = json.loads(said.stdout)["digest"]
    found = inspect(f"oci:{folder}:image")
    assert found["Digest"] == digest and len(found["Layers"]) == 2
    assert inspect(f"docker-archive:{archive}")["Labels"]["dev.fourfold.service"] == "web"
    config = inspect(f"oci:{folder}:image", "--config")["config"]
    assert "GREETING=hello" in config["Env"] and not any(each.startswith("PASSWORD") for each in config["Env"])
    assert b"hunter2" not in archive.read_bytes()
    assert not home.has_app(), "nothing was deployed"

    again = other.root / "elsewhere"
    again.mkdir()
    place = str(tmp_path / "same.tar")
    with umask(0o077):  # many administrators have it: nothing of it gets into a base
        same = other.app(text, "elsewhere/app")
        said = build(other, same, "--as", "container", "--format", "oci", "--to", place, "-o", "json")
    assert json.loads(said.stdout)["digest"] == digest
    assert (tmp_path / "same.tar").read_bytes() == archive.read_bytes()


def test_an_edit_makes_another_image(home: Home, tmp_path: Path) -> None:
    file = home.app(web_file(home.port))
    options = ("--as", "container", "--format", "oci", "-o", "json", "--to")
    first = json.loads(build(home, file, *options, str(tmp_path / "first")).stdout)
    (file.parent / "web/more.txt").write_text("more")
    second = json.loads(build(home, file, *options, str(tmp_path / "second")).stdout)
    assert first["digest"] != second["digest"]
    layers = [inspect(f"oci:{tmp_path}/{name}:image")["Layers"] for name in ("first", "second")]
    assert layers[0][:-1] == layers[1][:-1] and layers[0][-1] != layers[1][-1]


def test_pushed_and_pulled(home: Home, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as programs:
        home.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
        file = home.app(web_file(home.port))
        reference = f"{HOST}/shop/web:1"
        said = build(home, file, "--as", "container", "--format", f"registry:{reference}", "-o", "json")
        pushed = json.loads(said.stdout)
        assert pushed["reference"] == reference and pushed["digest"].startswith("sha256:")
        file.write_text(
            f"app: app\nservices:\n  web: {{image: 'docker://{reference}', pattern: container, port: 8080}}\n"
        )
        view = json.loads(build(home, file, "-o", "json").stdout)
        assert len(view["base"]) == 2 and "web.py" in view["argv"][-1]
        file.write_text(READY.format(f"{HOST}/shop/absent"))
        refused = build(home, file, code=2)
        assert "there is no such image" in refused.stderr and "check its name and its tag" in refused.stderr
