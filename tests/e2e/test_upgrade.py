"""A new version takes over daemon and spawner while services serve; an older one is refused while they do."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import fourfold
from tests.e2e.home import Home, web_file
from tests.e2e.traffic import Traffic

NEWER = "9.9.0"


def checkout(folder: Path, version: str) -> Path:
    """Another version of the program, whose store has one more table. -> what PYTHONPATH is to say."""
    here = Path(fourfold.__file__).parent
    shutil.copytree(here, folder / "fourfold", ignore=shutil.ignore_patterns("__pycache__"))
    init = folder / "fourfold" / "__init__.py"
    init.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text()))
    migrations = folder / "fourfold/store/migrations"
    newest = max(int(path.name.partition("_")[0]) for path in migrations.glob("*.sql"))
    (migrations / f"{newest + 1:04}_of_the_newer_one.sql").write_text("CREATE TABLE newer (a TEXT) STRICT;\n")
    return folder


def versions(home: Home, program: str = "") -> dict[str, str]:
    told = json.loads(home.run("version", "-o", "json", PYTHONPATH=program).stdout)
    return {"command": told["version"], "daemon": told["daemon"]["version"], "spawner": told["spawner"]["version"]}


@pytest.mark.patterns("process", "shared", "container", "function", "vm")
def test_a_new_version_touches_no_instance_and_none_goes_back(home: Home, tmp_path: Path) -> None:
    file = home.app(web_file(home.port, instances=2, VERSION="one"))
    home.run("up", "-f", str(file))
    before = {instance["id"]: instance["pid"] for instance in home.instances()}
    spawner, old = home.spawner().pid, fourfold.__version__
    newer = str(checkout(tmp_path, NEWER))
    with Traffic(home.port) as traffic:
        traffic.flow()
        assert "warning: the daemon is version" in home.run("version", PYTHONPATH=newer).stderr
        said = home.run("daemon", "restart", PYTHONPATH=newer).stderr
        assert f"the daemon is version {NEWER} " in said
        assert versions(home, newer) == {"command": NEWER, "daemon": NEWER, "spawner": NEWER}
        assert home.spawner().pid == spawner
        assert list(home.state.glob("fourfold.db.version-*")), "the way back"
        traffic.flow()

        refused = home.run("daemon", "restart", code=2).stderr
        assert f"cannot go from {NEWER}, which runs here, back to {old}" in refused
        assert versions(home)["daemon"] == NEWER, "it was not ended for that"
        home.run("daemon", "stop")
        refused = home.run("up", "-f", str(file), code=2).stderr
        assert "a newer Fourfold wrote it" in refused and "install the newer Fourfold again" in refused
        traffic.flow()

        home.run("up", "-f", str(file), PYTHONPATH=newer)
        assert {instance["id"]: instance["pid"] for instance in home.instances()} == before
        home.web(file, instances=2, VERSION="two")
        home.run("up", "-f", str(file), PYTHONPATH=newer)
        traffic.flow()
    assert set(traffic.unharmed()) == {"one", "two"}
