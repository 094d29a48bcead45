"""`fourfold init` from files of other tools, as somebody calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fourfold.spec.load import load
from tests.cli.conftest import Cli

COMPOSE = "services: {web: {image: nginx, ports: ['80'], privileged: true, environment: {API_KEY: '${API_KEY}'}}}"


@pytest.fixture
def work(home: Path) -> Path:
    return home / "work"


def test_what_was_made_of_what_and_what_is_next(cli: Cli, work: Path) -> None:
    (work / "compose.yaml").write_text(COMPOSE)
    done = cli("init")
    assert (done.code, done.out) == (0, "fourfold.yaml\n")
    assert "made of compose.yaml: 1 service; 1 thing not carried over, each with a comment" in done.err
    assert "look it over, then: fourfold secrets set API_KEY && fourfold up" in done.err
    assert list(load(work / "fourfold.yaml", env=None, environ={}).app.services) == ["web"]
    (work / "Procfile").write_text("job: ./run\n")
    done = cli("init", "--from", "Procfile")
    assert done.code == 2 and "it is there already" in done.err
    (work / "fourfold.yaml").unlink()
    assert "made of Procfile: 1 service\n" in cli("init", "--from", str(work / "Procfile")).err


def test_services_that_stand_there_as_comments_are_not_counted_as_services(cli: Cli, work: Path) -> None:
    off = "debug: {image: a, profiles: [debug]}, api: {build: ./api, privileged: true}"
    (work / "compose.yaml").write_text(f"services: {{web: {{image: nginx}}, {off}}}")
    assert "1 service; 2 things not carried over" in cli("init").err
    assert "# FROM\n" not in (work / "fourfold.yaml").read_text()
    (work / "fourfold.yaml").unlink()
    (work / "compose.yaml").write_text(f"services: {{{off}}}")
    assert "0 services; 2 things not carried over" in (told := cli("init").err)
    assert "nothing was found that can be started as it is: say in it what runs and how" in told


def test_the_result_comes_before_what_is_said_of_it_in_one_file_too(work: Path) -> None:
    (work / "index.html").touch()
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "fourfold", "init"]
    done = subprocess.run(command, env=buffered, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.stdout == "fourfold.yaml\nlook it over, then: fourfold up\n"


def test_javascript_runs_only_where_somebody_says_so(cli: Cli, work: Path) -> None:
    (work / "ecosystem.config.js").write_text(
        "require('fs').writeFileSync('ran', ''); module.exports = [{script: 'a.js'}]"
    )
    (work / "index.html").touch()
    done = cli("init")
    assert done.code == 0 and "rm fourfold.yaml && fourfold init --from ecosystem.config.js\n" in done.err
    assert not (work / "ran").exists()
    (work / "fourfold.yaml").unlink()
    done = cli("init", "-y")
    assert "running ecosystem.config.js with node" in done.err and (work / "ran").exists()
    assert "run: node a.js" in (work / "fourfold.yaml").read_text()


def test_paths_that_javascript_makes_absolute_are_of_the_source_again(cli: Cli, work: Path) -> None:
    (work / "api" / "src").mkdir(parents=True)
    apps = (
        "{script: path.resolve(__dirname, 'a.js'), cwd: __dirname, env: {DATA: __dirname + '/data', OTHER: '/srv'}}",
        "{script: path.join(__dirname, 'api/src/b.js'), cwd: path.join(__dirname, 'api')}",
    )
    (work / "ecosystem.config.js").write_text(f"const path = require('path'); module.exports = [{', '.join(apps)}]")
    assert cli("init", "-y").code == 0
    made = load(work / "fourfold.yaml", env=None, environ={}).app.services
    assert [(each.source, each.run) for each in made.values()] == [(".", "node ./a.js"), ("./api", "node ./src/b.js")]
    assert made["a"].env == {"DATA": "./data", "OTHER": "/srv"}
    assert "cwd" not in (work / "fourfold.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.yaml", None, "cannot read none.yaml"),
        ("../up.yaml", "services: {a: {image: b}}", "cannot read ../up.yaml"),
        ("link.yaml", None, "cannot read link.yaml"),
        ("bad.yaml", "services: [", "bad.yaml:1:12: not YAML: the file ends in the middle"),
        ("Makefile", "all:", "its name does not say what it is"),
        ("throws.config.js", "null.x", "cannot read throws.config.js: "),
        ("other.config.js", "module.exports = 1", "other.config.js:1:1: apps: names no script"),
    ],
)
def test_refused_before_anything_is_written(cli: Cli, work: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (work / name).write_text(text)
    (work / "link.yaml").symlink_to("/etc/passwd")
    done = cli("init", "--from", name)
    assert done.code == 2 and said in done.err, done.err
    assert not (work / "fourfold.yaml").exists()
