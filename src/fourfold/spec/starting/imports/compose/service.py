"""One service of a Compose file -> one of ours. Pure."""

from __future__ import annotations

from typing import Any

from fourfold.spec.fields import SIGNALS
from fourfold.spec.starting.imports.compose import health, storage
from fourfold.spec.starting.imports.compose.env import environment
from fourfold.spec.starting.imports.compose.keys import DEPLOY, UNKNOWN, WHY
from fourfold.spec.starting.imports.compose.model import Compose, as_list, as_map
from fourfold.spec.starting.imports.compose.ports import ports, settle_port
from fourfold.spec.starting.imports.compose.source import Program, program
from fourfold.spec.starting.imports.model import Drafted
from fourfold.spec.starting.imports.values import binary, duration, seconds, size

DONE = frozenset(
    [
        "image",
        "build",
        "command",
        "entrypoint",
        "ports",
        "expose",
        "environment",
        "env_file",
        "depends_on",
        "healthcheck",
        "volumes",
        "secrets",
        "deploy",
        "scale",
        "restart",
        "stop_signal",
        "stop_grace_period",
        "profiles",
        "links",
        "mem_limit",
        "cpus",
        "pids_limit",
        "read_only",
        "network_mode",
        "init",
        "extends",
        "runtime",
    ]
)
"""Keys that are handled here, or that nothing is lost of."""
_ORDER = (
    "source", "image", "pattern", "build", "run", "static", "port", "protocol", "route", "health", "instances",
    "resources", "env", "secrets", "volumes", "depends_on", "deploy", "stop", "restart", "container",
)  # fmt: skip


def service(compose: Compose, name: str, said: dict[str, Any]) -> Drafted:
    """Everything of it that has a counterpart, and a note for everything else."""
    made = Drafted(compose.names[name], f"`{name}` of {compose.file}")
    profiles = [compose.text(each) for each in as_list(said.get("profiles"))]
    if profiles and not compose.profiles & {*profiles, "*"}:
        made.off = f"only in profile {', '.join(filter(None, profiles))}: take it in, or not"
    found = program(compose, made, said)
    publishing = ports(compose, made, said, found)
    env = environment(compose, made, said, found)
    settle_port(made, publishing, env.pop("PORT", None), found)
    health.health(compose, made, said.get("healthcheck"), publishing)
    _size(compose, made, said)
    if env:
        made.keys["env"] = env
    storage.volumes(compose, made, said.get("volumes"), found)
    _needs(compose, made, said)
    _ending(compose, made, said)
    _container(compose, made, said, found)
    for key, value in said.items():
        if key in DONE or key.startswith("x-") or value in (None, False, [], {}):
            continue
        if key == "networks" and not any(as_map(value).values()):
            continue  # said once, where the file names them all
        made.note(key, WHY.get(key, UNKNOWN), value)
    made.keys = {key: made.keys[key] for key in _ORDER if key in made.keys}
    return made


def _size(compose: Compose, made: Drafted, said: dict[str, Any]) -> None:
    deploy = as_map(said.get("deploy"))
    limits = as_map(as_map(deploy.get("resources")).get("limits"))
    count = compose.text(deploy.get("replicas", said.get("scale")))
    if count.isdecimal() and count != "1":
        made.keys["instances"] = min(int(count), 10_000)
    bounds: dict[str, Any] = {}
    cpu, memory = (
        compose.text(limits.get(key, said.get(other))) for key, other in (("cpus", "cpus"), ("memory", "mem_limit"))
    )
    if cpu:
        try:
            bounds["cpu"] = float(cpu) if 0 < float(cpu) <= 1024 else None
        except ValueError:
            made.note("cpus", "it is no number", cpu)
    if memory and (count_of := size(memory)) and count_of >= 1024 * 1024:
        bounds["memory"] = binary(count_of)
    pids = compose.text(limits.get("pids", said.get("pids_limit")))
    if pids.isdecimal() and 0 < int(pids) <= 4_000_000:
        bounds["pids"] = int(pids)
    if bounds := {key: value for key, value in bounds.items() if value is not None}:
        made.keys["resources"] = bounds
    reserved = as_map(deploy.get("resources")).get("reservations")
    if reserved:
        made.note("deploy.resources.reservations", "nothing is reserved here; limits are bounds", reserved)
    for key, value in deploy.items():
        if key in DEPLOY and value and value != "replicated":
            if key == "restart_policy" and "restart" not in said:
                condition, most = (compose.text(as_map(value).get(each)) for each in ("condition", "max_attempts"))
                _restart(made, f"{condition or 'any'}:{most}")
                continue
            made.note(f"deploy.{key}", DEPLOY[key], value)


def _needs(compose: Compose, made: Drafted, said: dict[str, Any]) -> None:
    needed = said.get("depends_on")
    names = [str(each) for each in (needed if isinstance(needed, dict | list) else [])]
    for link in as_list(said.get("links")):
        target, _, alias = compose.text(link).partition(":")
        names.append(target)
        if alias and alias != target:
            made.note("links", f"it is called {compose.names.get(target, target)} here", link)
    found = [compose.names[each] for each in dict.fromkeys(names) if each in compose.names]
    if found := [each for each in found if each != made.name]:
        made.keys["depends_on"] = found
    for name, how in as_map(needed).items():
        if as_map(how).get("condition") == "service_completed_successfully":
            why = "make it `deploy: {before: …}` of this one, or a job: what ends is started again here"
            made.note(f"depends_on.{name}.condition", why, "service_completed_successfully")


def _ending(compose: Compose, made: Drafted, said: dict[str, Any]) -> None:
    stop: dict[str, Any] = {}
    signal = compose.text(said.get("stop_signal")).removeprefix("SIG")
    if signal and signal != "TERM":
        if signal in SIGNALS:
            stop["signal"] = signal
        else:
            made.note("stop_signal", "no signal that is known here", signal)
    if (grace := duration(compose.text(said.get("stop_grace_period")))) is not None and grace != 10:
        stop["grace"] = seconds(grace)
    if stop:
        made.keys["stop"] = stop
    restart = said.get("restart")
    _restart(made, "no" if restart is False else compose.text(restart))


def _restart(made: Drafted, said: str) -> None:
    condition, _, most = said.partition(":")
    policy = {"no": "never", "none": "never", "on-failure": "on-failure"}.get(condition)
    if policy:
        made.keys["restart"] = {"policy": policy}
    if most:
        made.note("restart", "there is no last try: the wait before the next one grows instead", said)


def _container(compose: Compose, made: Drafted, said: dict[str, Any], found: Program) -> None:
    block = dict(made.keys.get("container", {}))
    if (found.image or "dockerfile" in block) and said.get("read_only") is not True:
        block["read_only"] = False
        made.remarks.setdefault("container", "as in Docker; leave it out if it writes to its volumes and /tmp only")
    network = compose.text(said.get("network_mode"))
    if network == "host":
        block["network"] = "host"
    elif network not in ("", "bridge", "default"):
        made.note("network_mode", WHY["network_mode"], network)
    runtime = compose.text(said.get("runtime"))
    if runtime in ("crun", "runsc"):
        block["runtime"] = runtime
    elif runtime not in ("", "runc"):
        made.note("runtime", WHY["runtime"], runtime)
    if block:
        made.keys["container"] = block
