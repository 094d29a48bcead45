"""Why there are no containers here, said so that one knows what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.launch import seccomp
from fourfold.supervise import containers
from fourfold.supervise.cgroups.cgroups import Groups, Hierarchy
from fourfold.supervise.containers import read_profile, try_runtimes
from fourfold.supervise.spawner.request import explain, words_of_runtime
from fourfold.supervise.spawner.wire import Refused

SOME = Groups((Hierarchy(Path("/nonexistent"), 2, frozenset()),), None, {})


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)


def test_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert try_runtimes(SOME) == ((), {"containers": "containers need root"})


def test_no_groups() -> None:
    _, why = try_runtimes(Groups((), None, {"cpu": "no cpu controller: none is offered"}))
    assert why == {"containers": "no control groups can be made: no cpu controller: none is offered"}


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(containers, "_PARTS", {str(tmp_path / "tini-static"): "apt-get install tini"})
    assert try_runtimes(SOME)[1]["containers"].endswith("tini-static is missing: apt-get install tini")
    monkeypatch.setattr(containers, "_PARTS", {})
    monkeypatch.setattr(containers, "SYSTEM_PATH", str(tmp_path))
    working, why = try_runtimes(SOME)
    assert working == () and why["containers"] == why["runc"] == "runc is not installed: apt-get install runc"
    assert why["crun"] == "crun is not installed: apt-get install crun"


def test_one_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_PARTS", {})
    monkeypatch.setattr(containers, "_try", lambda name, groups: None if name == "crun" else f"{name}: broken")
    monkeypatch.setattr("shutil.which", lambda name, path: None if name == "runsc" else f"/bin/{name}")
    working, why = try_runtimes(SOME)
    assert working == ("crun",) and why["runc"] == "runc: broken" and "containers" not in why


@pytest.mark.parametrize(
    ("stage", "number", "detail", "why"),
    [
        ("root", 22, "rootfs", "root rootfs: Invalid argument"),
        ("bundle", 28, "/dev/shm/x", "bundle /dev/shm/x: No space left on device"),
        ("runtime", 0, '{"msg": "no such root"}', "runtime: no such root"),
    ],
)
def test_what_a_trial_failed_at(stage: str, number: int, detail: str, why: str) -> None:
    assert containers._outcome({"error": {"stage": stage, "errno": number, "detail": detail}}) == why
    said = explain("a.b", "/", Refused(stage, number, detail))
    assert said.hint


def test_a_profile_of_another_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "read_profile", dict)
    monkeypatch.setattr(containers, "_lacking", lambda groups: None)
    monkeypatch.setattr("shutil.which", lambda name, path: f"/bin/{name}")
    assert "runc could not be tried: " in try_runtimes(SOME)[1]["runc"]


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("{", "Expecting property name")])
def test_a_profile_that_cannot_be_used(
    content: str | None, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "seccomp.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(seccomp, "PROFILE", str(path))
    with pytest.raises(UserError, match=why) as caught:
        read_profile()
    assert caught.value.hint == "apt-get install golang-github-containers-common"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('{"level":"warning","msg":"w"}\n{"level":"error","msg":"no such root"}\n', "no such root"),
        ('{"level":"error","msg":"whole"}\n{"level":"err', "whole"),
        ("its runtime ended with status 9", "its runtime ended with status 9"),
        ("", ""),
    ],
)
def test_a_runtimes_last_words(said: str, words: str) -> None:
    assert words_of_runtime(said) == words
