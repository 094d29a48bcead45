"""What virtual machines there can be here: decided by tries, remembered until a reboot."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from fourfold.launch.model import Powers
from fourfold.supervise.machines import accelerators
from fourfold.supervise.machines.accelerators import with_accelerator, with_machines

ABLE = Powers(machines=True, missing={"memory": "no"})


def tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str | None) -> list[str]:
    calls: list[str] = []

    def attempt(name: str, kernel: Path, initrd: Path) -> str | None:
        calls.append(name)
        return why

    monkeypatch.setattr(accelerators, "try_accelerator", attempt)
    monkeypatch.setattr(accelerators, "KVM", tmp_path / "kvm")
    monkeypatch.setattr(accelerators, "qemu_version", lambda: "QEMU 7.2")
    return calls


def decide(tmp_path: Path, powers: Powers = ABLE) -> Powers:
    return with_accelerator(powers, Path("kernel"), Path("initrd"), tmp_path / "state" / "accelerator.json")


def test_without_kvm_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = tried(monkeypatch, tmp_path, None)
    got = decide(tmp_path)
    assert (got.accelerator, calls) == ("tcg", []) and got.missing == {
        "memory": "no",
        "kvm": f"{tmp_path}/kvm is not there",
    }


@pytest.mark.parametrize(("why", "accelerator"), [(None, "kvm"), ("it spins", "tcg")])
def test_a_try_decides_and_is_remembered(
    why: str | None, accelerator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = tried(monkeypatch, tmp_path, why)
    (tmp_path / "kvm").touch()
    got = decide(tmp_path)
    assert got.accelerator == accelerator and got.missing.get("kvm") == why
    assert decide(tmp_path).accelerator == accelerator and calls == ["kvm"]
    known = tmp_path / "state" / "accelerator.json"
    known.write_text(json.dumps({"for": {"boot": "another"}, "why": None}))
    assert decide(tmp_path).accelerator == accelerator and calls == ["kvm"] * 2
    known.write_text("torn")
    assert decide(tmp_path).accelerator == accelerator and calls == ["kvm"] * 3


def test_what_is_not_there_is_not_asked_for(tmp_path: Path) -> None:
    assert decide(tmp_path, Powers()).accelerator is None


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "qemu", lambda: None)
    got = with_machines(Powers())
    assert not got.machines and "apt-get install qemu-system-x86" in got.missing["machines"]
    assert not got.shares


def test_without_virtiofsd_there_are_no_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_lacking", lambda: None)
    monkeypatch.setattr(accelerators, "virtiofsd", lambda: None)
    got = with_machines(Powers())
    assert got.machines and not got.shares and "virtiofsd" in got.missing["shares"]


def test_a_link_to_a_successor_is_the_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    new.touch(0o755)
    old.symlink_to("new")
    monkeypatch.setattr(accelerators, "_VIRTIOFSD", (str(old), str(new)))
    monkeypatch.setattr(accelerators, "QEMUS_VIRTIOFSD", str(old))
    monkeypatch.setattr(accelerators, "_lacking", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert accelerators.virtiofsd() == str(new)
    assert with_machines(Powers()).shares and not with_machines(Powers()).locks
    monkeypatch.setattr(accelerators, "QEMUS_VIRTIOFSD", str(new))
    assert with_machines(Powers()).locks


@pytest.mark.parametrize(("private", "why"), [(True, None), (False, "no namespaces")])
def test_an_ordinary_user_has_machines_without_a_bridge(
    monkeypatch: pytest.MonkeyPatch, private: bool, why: str | None
) -> None:
    monkeypatch.setattr(accelerators, "_lacking", lambda: None)
    monkeypatch.setattr(accelerators, "_no_user_network", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    got = with_machines(Powers(private=private, missing={} if private else {"private": "no namespaces"}))
    assert (got.machines, got.forwarded, got.missing.get("machines")) == (private, True, why)
    assert not got.shares and "virtiofsd" in got.missing["shares"]


def test_ticks_are_measured_alike() -> None:
    first = accelerators._ticks()
    accelerators._ticks.cache_clear()
    assert first == 0 or abs(accelerators._ticks() - first) < first / 1000


@pytest.mark.skipif(accelerators.qemu() is None, reason="no QEMU here")
def test_what_is_no_kernel_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(b"no kernel" * 1000)
    (tmp_path / "initrd").write_bytes(b"")
    got = accelerators.try_accelerator("tcg", tmp_path / "kernel", tmp_path / "initrd")
    assert got is not None and got.startswith("a trial guest ended: qemu")


@pytest.mark.parametrize(
    ("said", "there"), [("Available netdev backend types:\nsocket\nuser\ntap\n", True), ("tap\n", False)]
)
def test_user_networks_are_asked_for(monkeypatch: pytest.MonkeyPatch, said: str, there: bool) -> None:
    """Sandboxes of functions need them; other machines do not."""
    monkeypatch.setattr(accelerators, "_lacking", lambda: None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, said, ""))
    got = with_machines(Powers())
    assert got.machines and got.apart is there and ("apart" in got.missing) is not there


@pytest.mark.parametrize("error", [PermissionError("not for you"), subprocess.TimeoutExpired("qemu", 30)])
def test_a_qemu_that_does_not_answer_has_none(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(accelerators, "_lacking", lambda: None)
    monkeypatch.setattr(subprocess, "run", run)
    got = with_machines(Powers())
    assert not got.apart and str(error) in got.missing["apart"]
