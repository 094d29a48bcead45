"""The bakery: sources go in with nothing but curl, images and zips come out; turns, quotas, deaths and cancelling."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.home import Home
from tests.support.wait import until

FILE = """\
app: shop
notify: {url: "https://hooks.example/token"}
services:
  web: {source: ./web, run: [/app/hello], container: {base: scratch}}
  fn: {source: ./fn, pattern: function, function: {handler: app.handler}}
  slow: {source: ./web, run: ./hello, build: "%s"}
"""
HELLO = '#include <stdio.h>\nint main(void) { puts("hello from the bakery"); }\n'
HANDLER = "def handler(event, context):\n    return event\n"


@pytest.fixture
def daemon(home: Home) -> Iterator[Home]:
    home.start_daemon(FOURFOLD_BAKERY_QUEUE="3", FOURFOLD_BUILDS="2")
    yield home


def source(folder: Path, build: str = "sleep 43216", **more: str) -> Path:
    """A tar.gz, as `git archive --prefix` makes one, of a program that needs nothing and of a handler."""
    web = folder / "shop-1.0" / "web"
    for name in ("web", "fn"):
        (folder / "shop-1.0" / name).mkdir(parents=True)
    (folder / "hello.c").write_text(HELLO)
    subprocess.run(["gcc", "-static", "-Os", "-o", web / "hello", folder / "hello.c"], check=True)
    for name, text in {"fn/app.py": HANDLER, "fn/.env": "SECRET=1", "fourfold.yaml": FILE % build, **more}.items():
        (folder / "shop-1.0" / name).write_text(text)
    (folder / "shop-1.0/fourfold.None.yaml").write_bytes(b"\xff")  # an overlay that nobody asks for
    archive = folder / "src.tar.gz"
    subprocess.run(["tar", "-C", folder, "-czf", archive, "shop-1.0"], check=True)
    return archive


def curl(home: Home, *arguments: str | Path) -> bytes:
    said = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "--unix-socket", home.socket, *arguments], capture_output=True
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def send(home: Home, archive: Path, query: str) -> dict[str, Any]:
    said = curl(home, "--data-binary", f"@{archive}", f"http://bakery/v1/builds?{query}")
    return dict(json.loads(said))


def ended(home: Home, id: str) -> dict[str, Any]:
    """Its log is followed until it has."""
    kinds = [
        json.loads(line.removeprefix(b"data: "))["kind"]
        for line in curl(home, "-N", f"http://bakery/v1/events?operation={id}&follow=true").splitlines()
        if line.startswith(b"data: ")
    ]
    assert kinds[0] == "operation.queued" and kinds[-1] in ("operation.done", "operation.failed")
    return show(home, id)


def show(home: Home, id: str) -> dict[str, Any]:
    return dict(json.loads(curl(home, f"http://bakery/v1/builds/{id}")))


def state(home: Home, id: str) -> str:
    return str(show(home, id)["state"])


def sleepers() -> list[str]:
    found = subprocess.run(["pgrep", "-x", "sleep", "-a"], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if "43216" in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="images are made as root")
def test_sources_in_and_artifacts_out(daemon: Home, tmp_path: Path) -> None:
    """As an image that runs, a zip and a tar, each the same as `fourfold build` makes it; taken in parts too."""
    archive = source(tmp_path)
    made = {
        pattern: ended(daemon, send(daemon, archive, f"{query}&actor=ann")["id"])
        for pattern, query in {
            "container": "service=web&pattern=container&format=docker-archive",
            "function": "service=fn",
            "process": "service=web",
        }.items()
    }
    assert [each["state"] for each in made.values()] == ["done"] * 3, [each["error"] for each in made.values()]
    files = {}
    for pattern, view in made.items():
        place = tmp_path / view["name"]
        url = f"http://bakery/v1/builds/{view['id']}/artifact"
        half = view["size_bytes"] // 2
        place.write_bytes(curl(daemon, "-r", f"0-{half}", url))
        curl(daemon, "-C", "-", "-o", place, f"http://bakery/v1/artifacts/{view['digest']}")
        assert hashlib.sha256(place.read_bytes()).hexdigest() == view["digest"]
        files[pattern] = place

    with zipfile.ZipFile(files["function"]) as opened:
        assert set(opened.namelist()) == {"app.py"}, "no .env, and no service file"
    (tmp_path / "tree").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "tree", "-xzf", files["process"]], check=True)
    assert subprocess.check_output([tmp_path / "tree/app/hello"]) == b"hello from the bakery\n"
    for kind in ("docker-archive", "oci-archive"):
        place = f"oci:{tmp_path}/{kind}"
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"{kind}:{files['container']}", place], check=True)

    file = tmp_path / "shop-1.0/fourfold.yaml"
    (tmp_path / "shop-1.0/fn/.env").unlink()
    for name, pattern, form in (("web", "container", "docker-archive"), ("fn", "function", "zip")):
        to = tmp_path / f"mine.{form}"
        daemon.run("build", name, "-f", str(file), "--as", pattern, "--format", form, "--to", str(to))
        assert to.read_bytes() == files[pattern].read_bytes()

    listed = json.loads(curl(daemon, "http://bakery/v1/builds?actor=ann"))
    assert [each["pattern"] for each in listed] == ["process", "function", "container"]
    curl(daemon, "-X", "DELETE", f"http://bakery/v1/builds/{made['function']['id']}")
    assert len(json.loads(curl(daemon, "http://bakery/v1/builds"))) == 2
    assert not (daemon.state / "bakery" / made["function"]["digest"]).exists()


def test_turns_quotas_cancelling_and_deaths(daemon: Home, tmp_path: Path) -> None:
    archive = source(tmp_path)
    first = send(daemon, archive, "service=slow&actor=ann")["id"]
    until(lambda: state(daemon, first) == "building" and sleepers(), 60, "the first to be built")
    second = send(daemon, archive, "service=slow&actor=ann")["id"]
    third = send(daemon, archive, "service=fn&actor=ann")["id"]
    with daemon.api() as api:
        content = archive.read_bytes()
        refused = api.post("/v1/builds", params={"service": "web", "actor": "ann"}, content=content)
        assert refused.status_code == 429 and "3 may" in refused.json()["error"] and "retry-after" in refused.headers
    other = send(daemon, archive, "service=fn&actor=bob")["id"]
    assert [show(daemon, id)["position"] for id in (other, second, third)] == [1, 2, 3], "bob need not wait for all"
    early = subprocess.run(
        ["curl", "-sS", "--unix-socket", daemon.socket, f"http://bakery/v1/builds/{first}/artifact"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(early.stdout)["status"] == 409

    daemon.kill_daemon()
    until(lambda: not sleepers(), 60, "the build to die with its daemon")
    daemon.start_daemon(FOURFOLD_BAKERY_QUEUE="3", FOURFOLD_BUILDS="2")
    until(lambda: state(daemon, first) == "building" and sleepers(), 60, "the first to begin again")
    assert [show(daemon, id)["position"] for id in (other, second, third)] == [1, 2, 3]

    daemon.run("cancel", second)
    curl(daemon, "-X", "DELETE", f"http://bakery/v1/builds/{first}?actor=carla")
    assert not sleepers()
    assert show(daemon, first)["error"] == "cancelled by carla" and state(daemon, second) == "cancelled"
    assert [ended(daemon, id)["state"] for id in (other, third)] == ["done", "done"]
    assert not [path for path in (daemon.state / "work").iterdir() if not path.name.startswith("removed-")]
    told = curl(daemon, f"http://bakery/v1/events?operation={first}").decode()
    assert curl(daemon, "http://bakery/v1/events?app=shop") == b"[]", "they are none of the app's that may run here"
    assert '"of":"shop.slow"' in told.replace(" ", "") and '"cancelled":"carla"' in told.replace(" ", "")
    stored = b"".join(path.read_bytes() for path in daemon.state.glob("fourfold.db*"))
    assert b"hooks.example" not in stored
    assert "begins again: the daemon was restarted" in told and "was cancelled by carla" in told


def test_what_is_refused_changes_nothing(daemon: Home, tmp_path: Path) -> None:
    archive = source(tmp_path, **{"bad.yaml": ""}).read_bytes()
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../etc/cron.d/evil"))
    local = {"file": "app: a\nservices: {web: {image: 'oci:/etc', pattern: container}}"}
    with daemon.api() as api:

        def post(query: str, content: bytes) -> httpx.Response:
            return api.post(f"/v1/builds?{query}", content=content)

        answers = {
            "must be relative": post("service=web", evil.getvalue()),
            "no tar archive": post("service=web", b" " * 2048),
            "say which": post("", archive),
            "it has web, fn, slow": post("service=nothing", archive),
            "of which there is": post("service=web&pattern=container&format=qcow2", archive),
            "the source has a fourfold.yaml": post("service=web&run=sh", archive),
            "no fourfold.staging.yaml": post("service=web&env=staging", archive),
            "names a place on the machine": api.post("/v1/builds", json=local),
            "its source was not named": api.post("/v1/builds", json={"spec": {"app": "a", "services": {"web": {}}}}),
        }
        said = {part: answer.json() for part, answer in answers.items()}
        assert {answer.status_code for answer in answers.values()} <= {404, 422}, said
        for part, body in said.items():
            assert part in f"{body['error']} {body['hint']}", body
        assert api.get("/v1/builds").json() == []
        assert api.get("/v1/builds/nothing").status_code == 404
        assert api.get("/v1/artifacts/..%2f..%2ffourfold.db").status_code == 404
        failed = api.post("/v1/builds", params={"run": "./x", "build": "exit 7", "actor": "ann"}, content=gzip_of("x"))
        body = failed.json()
    assert failed.status_code == 202, body
    view = ended(daemon, body["id"])
    assert view["state"] == "failed" and "exit code 7" in view["error"] and view["digest"] is None


def gzip_of(name: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.mode = 0o755
        tar.addfile(info)
    return made.getvalue()


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="disks are made as root")
def test_a_disk_is_the_one_that_the_command_makes(home: Home, tmp_path: Path) -> None:
    """Which `test_exported` boots."""
    home.start_daemon()
    archive = source(tmp_path)
    made = ended(home, send(home, archive, "service=web&pattern=vm&format=qcow2")["id"])
    assert made["state"] == "done", made
    (tmp_path / "shop-1.0/fn/.env").unlink()
    file, to = str(tmp_path / "shop-1.0/fourfold.yaml"), tmp_path / "mine.qcow2"
    home.run("build", "web", "-f", file, "--as", "vm", "--format", "qcow2", "--to", str(to), patience=600)
    assert hashlib.sha256(to.read_bytes()).hexdigest() == made["digest"]
