"""One launcher per pattern: which one makes an instance's Launch, and what this host cannot run. Pure."""

from __future__ import annotations

from dataclasses import replace

from fourfold.errors import UserError
from fourfold.launch import common, container, function, group, process, shared, vm
from fourfold.launch.common import Facts, limits
from fourfold.launch.model import Launch, Powers
from fourfold.spec.checks.groups import in_process
from fourfold.spec.groups import GROUP
from fourfold.spec.model import Service


def launch(pattern: str, service: Service, facts: Facts) -> Launch:
    """The Launch of one instance. Raises UserError if this host cannot give what the service must have."""
    if pattern == "function" and facts.function is not None:
        return function.launch(service, facts)
    if needs_machines(pattern, service):
        return vm.launch(service, facts, container=pattern != "vm")
    if pattern == "container":
        return container.launch(service, facts)
    if pattern == "shared":
        return shared.launch(service, facts)
    return group.launch(service, facts) if pattern == GROUP else process.launch(service, facts)


def is_machine(pattern: str, service: Service) -> bool:
    """Whether an instance is a virtual machine, be it a container in one."""
    return pattern == "vm" or (pattern == "container" and service.container.isolation == "vm")


def needs_machines(pattern: str, service: Service) -> bool:
    """Whether it runs in virtual machines: as one, or its sandboxes and what is run beside them."""
    return is_machine(pattern, service) or (pattern == "function" and function.is_in_machines(service))


def unenforced(pattern: str, service: Service, powers: Powers) -> dict[str, str]:
    """As `common.unenforced`. What a machine's service may take, its guest sees to, whatever this host can."""
    asked = limits(service)
    if pattern == "shared" and in_process(service):
        why = f"it shares a process with all members of {service.shared.group}, whose limits bound them together"
        return dict.fromkeys(common.unenforced(asked, Powers()), why)
    if is_machine(pattern, service):
        asked = replace(asked, memory=None, pids=None)
    return common.unenforced(asked, powers)


def program_memory(pattern: str, service: Service) -> int | None:
    """Bytes that its program may take; None: as much as there is."""
    if pattern == "function":
        return function.sandbox_memory(service)
    if pattern == "shared" and in_process(service):
        return None  # as much as its group has
    usual = vm.USUAL_MEMORY if is_machine(pattern, service) else None
    return service.resources.memory or usual


def memory_limit(pattern: str, service: Service) -> int | None:
    """Bytes that all processes of an instance may take of this host; None: it is not limited."""
    if pattern == "function" or (pattern == "shared" and in_process(service)):
        return None  # each sandbox is; the group as a whole is
    if not is_machine(pattern, service):
        return service.resources.memory
    whole = vm.is_whole_system(service, container=pattern == "container")
    return vm.host_memory(vm.machine_memory(service, whole), len(service.volumes))


def refuse_impossible(service: Service, pattern: str, powers: Powers) -> None:
    """Before anything changes: what a service cannot have under a pattern, on this host. Raises UserError."""
    if service.protocol == "tcp" and pattern in ("function", "shared"):
        raise UserError(
            f"cannot run it as pattern {pattern}: it speaks TCP, and such a service answers HTTP requests",
            "run it as a process, container or vm",
        )
    if is_machine(pattern, service):
        if pattern == "container" and service.container.network == "host":
            raise UserError(
                "cannot share the host's network: a container in a virtual machine has one of its own",
                "drop `network: host` or `isolation: vm` from its `container` block",
            )
        vm.refuse_impossible(service, powers, container=pattern != "vm")
    elif pattern == "container":
        container.refuse_impossible(service, powers)
    elif pattern == "function":
        function.refuse_impossible(service, powers)
    elif pattern == "shared":
        shared.refuse_impossible(service, powers)
    else:
        if service.image is not None:
            raise UserError(
                f"cannot run the image {service.image} as a process: its programs are made for what is in it",
                "run it as a container, or give `source` instead of `image`",
            )
        process.refuse_impossible(service, powers)
