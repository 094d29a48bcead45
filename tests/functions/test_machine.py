"""What the first process of a sandbox that is a virtual machine makes of the guest's reports, and what it may take."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.functions.cradle.box import Box
from fourfold.functions.cradle.machine import _status_of, memory, missing
from fourfold.functions.cradle.protocol import pair
from fourfold.functions.model import FULL_CORE, Config, SandboxMachine
from tests.functions.rig import make_config

MIB = 2**20
MACHINE = SandboxMachine({}, (), (), {}, (), 320 * MIB, "tcg", "169.254.100.2", "169.254.100.1:9001")


@pytest.mark.parametrize(
    ("line", "code", "number", "oom"),
    [
        ("ended exit 0", 0, None, False),
        ("ended exit 3", 3, None, False),
        ("ended signal 11", None, 11, False),
        ("ended signal 9 oom", None, 9, True),
        ("failed cannot run /var/task/bootstrap: No such file or directory", 127, None, False),
    ],
)
def test_how_the_program_ended(line: str, code: int | None, number: int | None, oom: bool) -> None:
    ours, _ = pair()
    read, write = os.pipe()
    os.close(write)
    box = Box(0, "s0.1", ours, read)
    assert box.note_ending(f"ended {_status_of(line)}")
    assert box.status == (code if code is not None else -(number or 0)) and box.oom is oom
    box.close()


@pytest.mark.parametrize(
    "line", ["booted", "waiting", "started", "failed no memory", "ended exit x", "ended exit 3 oom x"]
)
def test_what_is_no_end(line: str) -> None:
    assert _status_of(line) == ""


def test_what_it_may_take(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    assert memory(config) == (128 * MIB, 128 * MIB) and missing(config) == {}
    emulated = replace(config, machine=MACHINE)
    assert memory(emulated) == (320 * MIB, FULL_CORE) and "core" in missing(emulated)["cpu"]
    real = replace(config, machine=replace(MACHINE, accelerator="kvm"))
    assert memory(real) == (320 * MIB, 128 * MIB) and missing(real) == {}


def test_told_as_json(tmp_path: Path) -> None:
    told = replace(MACHINE, boot=("qemu",), go_on=("qemu", "-incoming"), guest=(("mac", "x"),), fifos={"a": "b"})
    config = make_config(tmp_path, machine=told)
    assert Config.from_json(config.to_json()) == config
