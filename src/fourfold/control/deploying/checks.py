"""What an `up` must be refused for, before anything changes. Raises UserError (exit code 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface
from typing import Any

from fourfold.control.comparing.left import TO_TAKE_AWAY
from fourfold.control.deploying.changes import Wish
from fourfold.control.goals import on_bridge, pattern_of
from fourfold.control.instances.addresses import block_size, next_block
from fourfold.control.registry import Registry
from fourfold.control.settings import Settings
from fourfold.errors import NotFoundError, UserError
from fourfold.gateway.listening import refuse_taken
from fourfold.launch.model import Powers
from fourfold.launch.patterns import is_machine, refuse_impossible
from fourfold.spec.app import App
from fourfold.spec.checks.strategies import INSTEAD, contradiction
from fourfold.spec.model import Service
from fourfold.spec.parse import parse_json


def read_app(spec: Mapping[str, Any]) -> App:
    """The App that a client sent, judged like a file: the API is open to any program of its owner."""
    return parse_json(spec)


def chosen(app: App, services: list[str] | None) -> list[str]:
    """Names of the services and groups that a request is about. Raises NotFoundError."""
    for name in services or ():
        if name not in app.everything:
            raise NotFoundError(f"cannot find service {name} in the file: it has {', '.join(sorted(app.everything))}")
    return list(app.everything) if services is None else list(dict.fromkeys(services))


def refuse_candidate(registry: Registry, app: str, candidate_of: str | None) -> None:
    """What a comparison runs for a while is its own, and it takes that away again."""
    beside = registry.store.meta.get(TO_TAKE_AWAY + app)
    if beside is not None and candidate_of is None:
        raise UserError(
            f"cannot bring up {app}: that is what a comparison of {beside} runs now",
            "give the app another name",
        )


def check_powers(name: str, spec: Service, pattern: str, powers: Powers) -> None:
    try:
        refuse_impossible(spec, pattern, powers)
    except UserError as error:
        raise UserError(f"{name}: {error}", error.hint) from error


def check_timeout(name: str, spec: Service, pattern: str, most: float) -> None:
    """What takes longer is no function: it would hold a sandbox that events wait for."""
    if pattern == "function" and spec.function.timeout > most:
        raise UserError(
            f"{name}: cannot give an event {spec.function.timeout:g} s: a function has at most {most:g} s here",
            "lower `function.timeout`, make it a job or a process, or raise function_timeout in fourfold.toml",
        )


def check_strategy(name: str, spec: Service, pattern: str) -> None:
    """Under the pattern that a command gives, which the file's own checks do not know of."""
    if why := contradiction(spec, pattern):
        raise UserError(f"{name}: cannot deploy it so: {why}", INSTEAD)


_OWN_NETWORK = {
    "container": "set `network: host` in its `container` block",
    "vm": "run it as a process: `pattern: process`",
    "function": "run it as a process: `pattern: process`",
}


def check_network(name: str, spec: Service, pattern: str, powers: Powers) -> None:
    """Before anything is built: a container or machine that could not be connected."""
    if on_bridge(pattern, spec, powers) and not powers.network:
        instead = _OWN_NETWORK["vm" if is_machine(pattern, spec) else pattern]
        raise UserError(
            f"{name}: cannot give it a network of its own: {powers.missing.get('network', 'not here')}",
            f"install what is missing and run the daemon as root, or {instead}",
        )


def check_block(name: str, spec: Service, pattern: str, bridge: IPv4Interface) -> None:
    """Before anything is built: an invoker whose sandboxes need more addresses than there are at all."""
    size = block_size(spec.function.concurrency, spec.function.provisioned)
    if pattern == "function" and next_block(bridge, size, (), (), None) is None:
        raise UserError(
            f"{name}: cannot have {size} addresses for its sandboxes, as many as its function.concurrency of "
            f"{spec.function.concurrency} needs: functions have the upper half of `bridge`, {bridge.network}",
            "lower function.concurrency, or give `bridge` in fourfold.toml a larger network",
        )


def check_listen(app: App, settings: Settings) -> None:
    """The gateway's address must stay clear of the ports that Fourfold gives out itself."""
    port = int(app.gateway.listen.rpartition(":")[2])
    for name in ("ports", "internal_ports"):
        low, high = getattr(settings, name)
        if low <= port <= high:
            raise UserError(
                f"cannot listen on {app.gateway.listen}: {low} to {high} are for services ({name} in fourfold.toml)",
                "choose another port for gateway.listen, or another range",
            )


def check_fixed_ports(registry: Registry, app: App, wishes: Iterable[Wish]) -> None:
    """A fixed port belongs to one instance of this host, and to no other program of it."""
    ours = {row.port for row in registry.instances.values() if row.address is None}
    taken = {
        port: key
        for key, row in registry.services.items()
        if not row.removed and (port := registry.spec(key, row.release).host_port(pattern_of(row))) is not None
    }
    for wish in wishes:
        port = wish.spec.host_port(wish.pattern)
        if port is None:
            continue
        refuse_several(wish.name, wish.spec, wish.pattern, wish.most)
        owner = "the gateway" if app.gateway.listen.endswith(f":{port}") else taken.get(port)
        if owner is not None and owner != f"{app.app}.{wish.name}":
            raise UserError(f"cannot give {wish.name} the port {port}: {owner} has it", "choose another port")
        if owner is None and port not in ours:
            refuse_taken([(wish.name, "127.0.0.1", port)], ipv6=False)
        taken[port] = f"{app.app}.{wish.name}"


def refuse_job(name: str, spec: Service, what: str) -> None:
    """Of what only services that stay can be asked."""
    if spec.job is not None:
        raise UserError(
            f"cannot {what} {name}: it is a job, whose runs come and go", f"start one: fourfold run {name}"
        )  # fmt: skip


def refuse_several(name: str, spec: Service, pattern: str, instances: int) -> None:
    """Instances of a container have an address each, and the port with it."""
    if instances > 1 and spec.host_port(pattern) is not None:
        raise UserError(
            f"cannot run {instances} instances of {name} as a {pattern}: its port is fixed",
            "drop `fixed` from its port, or scale it to 1",
        )
