"""The system calls that containers may make: the profile of Debian's golang-github-containers-common, for one machine.

That file is in the shape of containers/common (pkg/seccomp/types.go): rules hold for some architectures, kernels and
capabilities only. An OCI runtime wants the rules that hold here (runtime-spec, config-linux.md, "Seccomp").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

PROFILE = "/usr/share/containers/seccomp.json"

_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}
"""What uname says -> Go's name for it, libseccomp's."""
_OTHERS = -10_000


def translate(
    profile: Mapping[str, Any], capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """-> `linux.seccomp` of a config.json. `machine` as uname says it, `kernel` as (6, 1). KeyError: not a profile.

    Programs for the machine's other architectures (32 bits) are killed: each more costs a start some 7 ms of compiling.
    """
    go_name, architecture = _ARCHITECTURES.get(machine, (machine, ""))
    rules = (
        _rule(rule)
        for rule in profile["syscalls"]
        if _holds(rule.get("includes") or {}, capabilities, go_name, kernel, otherwise=True)
        and not _holds(rule.get("excludes") or {}, capabilities, go_name, kernel, otherwise=False)
    )
    return {
        "defaultAction": profile["defaultAction"],
        **_errno("defaultErrnoRet", profile.get("defaultErrnoRet")),
        **({"architectures": [architecture]} if architecture else {}),
        "syscalls": list(rules),
    }


def ordered(profile: Mapping[str, Any], number: Callable[[str], int]) -> dict[str, Any]:
    """The same rules as libseccomp compiles them soonest: a start is 1 ms shorter.

    `number`: of a system call by its name. libseccomp keeps a list by number, and adds to its front; and to what only
    other machines have, and nobody can call here, it gives numbers below `_OTHERS` (seccomp.h).
    """
    rules = []
    for rule in profile["syscalls"]:
        numbers = {name: known for name in rule["names"] if (known := number(name)) > _OTHERS}
        if names := sorted(numbers, key=numbers.__getitem__, reverse=True):
            rules.append({**rule, "names": names})
    return {**profile, "syscalls": rules}


def _holds(
    condition: Mapping[str, Any], capabilities: Collection[str], go_name: str, kernel: tuple[int, int], otherwise: bool
) -> bool:
    """Included: all that is named must hold. Excluded: one is enough. `otherwise` is what an empty condition means."""
    held = []
    if names := condition.get("caps"):
        held.append(all(name in capabilities for name in names) if otherwise else bool({*names} & {*capabilities}))
    if names := condition.get("arches"):
        held.append(go_name in names)
    if version := condition.get("minKernel"):
        held.append(kernel >= tuple(int(part) for part in version.split(".")[:2]))
    return all(held) if otherwise else any(held)


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    made = {"names": list(rule["names"]), "action": rule["action"], **_errno("errnoRet", rule.get("errnoRet"))}
    if arguments := rule.get("args"):
        made["args"] = [dict(argument) for argument in arguments]
    return made


def _errno(key: str, value: int | None) -> dict[str, int]:
    return {} if value is None else {key: value}
