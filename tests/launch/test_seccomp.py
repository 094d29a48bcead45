"""A profile of containers-common becomes what an OCI runtime reads: the rules that hold here, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.launch.seccomp import ordered, translate


def rule(name: str, **conditions: Any) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", **conditions}


PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "defaultErrno": "ENOSYS",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        rule("read", includes={}, excludes=None),
        rule("arch_prctl", includes={"arches": ["amd64", "x32"]}),
        rule("cacheflush", includes={"arches": ["arm", "arm64"]}),
        rule("chroot", includes={"caps": ["CAP_SYS_CHROOT"]}),
        rule("bpf", includes={"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}),
        rule("mount", excludes={"caps": ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]}),
        rule("process_vm_readv", includes={"minKernel": "4.8"}),
        rule("new", includes={"minKernel": "6.9"}),
        rule("old", excludes={"minKernel": "4.8"}),
    ],
}


@pytest.mark.parametrize(
    ("capabilities", "machine", "kernel", "expected"),
    [
        ([], "x86_64", (6, 1), "read arch_prctl mount process_vm_readv"),
        ([], "x86_64", (6, 12), "read arch_prctl mount process_vm_readv new"),
        ([], "aarch64", (4, 4), "read cacheflush mount old"),
        (["CAP_SYS_CHROOT"], "x86_64", (6, 1), "read arch_prctl chroot process_vm_readv"),
        (["CAP_BPF"], "riscv64", (6, 1), "read mount process_vm_readv"),
        (["CAP_BPF", "CAP_SYS_ADMIN"], "riscv64", (6, 1), "read bpf process_vm_readv"),
    ],
)
def test_rules(capabilities: list[str], machine: str, kernel: tuple[int, int], expected: str) -> None:
    made = translate(PROFILE, capabilities, machine, kernel)
    assert [name for each in made["syscalls"] for name in each["names"]] == expected.split()


def test_order() -> None:
    numbers = {"read": 0, "openat": 257, "semop": -201, "vm86": -10_130, "new": -1}
    both = {"names": ["semop", "read", "vm86", "new", "openat"], "action": "SCMP_ACT_ALLOW"}
    made = ordered({**PROFILE, "syscalls": [both, rule("vm86"), rule("read")]}, numbers.__getitem__)
    assert made == {**PROFILE, "syscalls": [{**both, "names": ["openat", "read", "new", "semop"]}, rule("read")]}


def test_shape() -> None:
    argument = {"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
    refused = {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [argument], "errnoRet": 22, "errno": "EINVAL"}
    made = translate({**PROFILE, "syscalls": [rule("read"), refused]}, (), "x86_64", (6, 1))
    assert made == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [argument]},
        ],
    }


def test_a_machine_that_it_does_not_know() -> None:
    assert "architectures" not in translate(PROFILE, (), "sparc64", (6, 1))
