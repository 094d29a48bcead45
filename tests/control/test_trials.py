"""What is tried is what is needed, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fourfold.control.instances import trials
from fourfold.control.instances.trials import Trials
from fourfold.control.parts import Parts
from fourfold.launch.model import Powers
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact, Boot
from fourfold.store.files.disks import Disks
from fourfold.supervise.supervisor import Supervisor
from tests.store.samples import instance

KEYS = ("a" * 64, "b" * 64)


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.tried: list[str] = []
        self.host = SimpleNamespace(powers=Powers())
        disks = Disks(Paths.find({"FOURFOLD_HOME": str(folder)}, 0))
        self.trials = Trials(cast(Supervisor, self.host), disks, folder / "accelerator.json")
        given: dict[str, dict[str, Any]] = {
            "with_containers": {"containers": True, "runtimes": ("runc",)},
            "with_machines": {"machines": True, "shares": True},
            "with_accelerator": {"accelerator": "tcg"},
        }
        for name, found in given.items():
            monkeypatch.setattr(trials, name, self._trial(name, found))

    def _trial(self, name: str, found: dict[str, Any]) -> Any:
        def trial(powers: Powers, **named: Path) -> Powers:
            self.tried.append(name)
            return replace(powers, **found)

        return trial

    def look_for(self, *asked: tuple[str, dict[str, Any]]) -> list[str]:
        self.tried.clear()
        asyncio.run(self.trials.look_for((how, Service.model_validate(spec)) for how, spec in asked))
        return self.tried

    def settle(self, *boots: Boot | None) -> list[str]:
        self.tried.clear()
        made = (cast(Artifact, SimpleNamespace(boot=boot)) for boot in boots)
        asyncio.run(self.trials.settle(made))
        return self.tried


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    return Scene(monkeypatch, tmp_path)


def test_processes_need_no_trial(scene: Scene) -> None:
    assert scene.look_for(("process", {})) == []


def test_each_is_tried_when_it_is_needed_and_once(scene: Scene) -> None:
    assert scene.look_for(("container", {}), ("process", {})) == ["with_containers"]
    assert scene.look_for(("vm", {}), ("container", {})) == ["with_machines"]
    assert scene.look_for(("vm", {}), ("container", {})) == []
    assert scene.look_for(("container", {"container": {"runtime": "crun"}})) == ["with_containers"]
    assert scene.host.powers.machines and scene.host.powers.containers


def test_a_container_in_a_machine_needs_no_runtime(scene: Scene) -> None:
    assert scene.look_for(("container", {"container": {"isolation": "vm"}})) == ["with_machines"]


def test_what_boots_first_decides_under_what(scene: Scene) -> None:
    boot = Boot(*KEYS, ())
    assert scene.settle(boot) == [], "there are no machines here"
    scene.look_for(("vm", {}))
    assert scene.settle(None) == []
    assert scene.settle(boot, boot) == ["with_accelerator"] and scene.host.powers.accelerator == "tcg"
    assert scene.settle(boot) == []


def test_what_is_started_again_is_looked_for_again(scene: Scene) -> None:
    """Its program may have come back, without a deploy."""
    spec = Service.model_validate({"run": "./x"})
    registry = SimpleNamespace(spec=lambda key, release: spec, build=lambda key, release, pattern: None)
    parts = SimpleNamespace(registry=registry, trials=scene.trials, artifacts=None)
    rows = [instance("a", pattern="container"), instance("b", pattern="process")]
    asyncio.run(Parts.settle(cast(Parts, parts), rows))
    assert scene.tried == ["with_containers"]


def test_what_worked_once_is_looked_at_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program may have gone, while the daemon ran."""
    scene.look_for(("container", {}), ("vm", {}))
    for name, found in (("with_containers", {"containers": False, "runtimes": ()}), ("with_machines", {})):
        monkeypatch.setattr(trials, name, scene._trial(name, found))
    asyncio.run(scene.trials.look_anew())
    assert scene.tried[2:] == ["with_containers", "with_machines"] and not scene.host.powers.containers
    assert scene.look_for(("container", {})) == ["with_containers"], "it may have come back"
