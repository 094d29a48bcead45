"""What is known of a service, as facts that rules ask for (`facts.yaml`). What is not known is not among them."""

from __future__ import annotations

from collections.abc import Iterator

from fourfold.cost.advice.case import LEAST_HOURS, Case
from fourfold.cost.advice.measured import measured
from fourfold.cost.advice.model import Facts, Known, Origin, Value
from fourfold.cost.advice.rules import Rules
from fourfold.cost.comparison import PATTERNS
from fourfold.cost.model import Traffic
from fourfold.spec.model import FixedPort, Service

Found = Iterator[tuple[str, Known]]
_DEFAULT_PATTERN = "process"


def facts_of(case: Case, rules: Rules) -> Facts:
    """Later ones win: what was measured over signs in the source, what the user says over everything."""
    found: dict[str, Known] = {
        name: Known(fact.taken, "taken") for name, fact in rules.facts.items() if fact.taken is not None
    }
    found.update(_file(case))
    found.update(_source(case))
    if case.traffic is not None:
        found.update(_traffic(case.traffic))
    if case.emulated is not None:
        found["emulated"] = Known(case.emulated, "host")
    if case.comparison is not None:
        found.update(measured(case.comparison))
    if case.knows_traffic:  # what it costs while nobody knows how much it is asked tells nothing
        found.update(_prices(case))
    found.update(case.supposed)
    return found


def kind_of(service: Service) -> str:
    if service.job is not None:
        return "job"
    if service.function.handler is not None and service.run is None:
        return "handler"
    if service.static is not None or service.runtime == "static":
        return "static"
    return "web" if service.port is not None else "worker"


def _file(case: Case) -> Found:
    spec = case.spec

    def known(value: Value, evidence: str = "") -> Known:
        return Known(value, "file", evidence)

    kind = kind_of(spec)
    if kind == "web" and case.source is not None and case.source.language == "files" and spec.run is None:
        kind = "static"
    yield "kind", known(kind)
    yield "now", known(case.now)
    for pattern in PATTERNS:
        yield f"{pattern}.is_now", known(pattern == case.now)
    yield "chosen", known(spec.pattern != _DEFAULT_PATTERN)
    yield "exposed", known(bool(spec.route))
    yield "triggered", known(bool(spec.triggers))
    yield "scheduled", known(any(each.schedule for each in spec.triggers))
    yield "image", known(spec.image is not None, spec.image or "")
    yield "dockerfile", known(spec.container.dockerfile is not None, spec.container.dockerfile or "")
    yield "keeps_data", known(bool(spec.volumes), ", ".join(each.path for each in spec.volumes))
    yield "secrets", known(bool(spec.secrets))
    if isinstance(spec.port, FixedPort):
        yield "fixed_port", known(True, f"port.fixed: {spec.port.fixed}")
        if spec.port.fixed < 1024:
            yield "root", known(True, f"port {spec.port.fixed}")
    else:
        yield "fixed_port", _fixed_by_its_source(case)
    if spec.resources.memory is not None:
        yield "memory_limit", known(float(spec.resources.memory))
    if spec.route:
        yield "longest_answer", known(max(route.timeout for route in spec.route))
    yield "mates", known(float(len(case.mates)), ", ".join(case.mates))
    if spec.shared.kind in ("tomcat", "osgi"):
        package = "war" if spec.shared.kind == "tomcat" else "bundle"
        yield "package", known(package, f"its group is of kind {spec.shared.kind}")
    yield from _isolation(spec, known)


def _fixed_by_its_source(case: Case) -> Known:
    """It listens where its source says, unless its command hands it `$PORT`."""
    where = case.source.signs.get("fixed_port") if case.source is not None else None
    run = case.spec.run or ""
    told = "PORT" in (run if isinstance(run, str) else " ".join(run))
    is_so = where is not None and not told and case.spec.port is not None
    return Known(is_so, "source" if is_so else "file", where or "" if is_so else "")


def _isolation(spec: Service, known: object) -> Found:
    """Whoever asks for a kernel of its own does not trust what runs there."""
    container = "container.isolation: vm" if spec.container.isolation == "vm" else ""
    if not container and spec.container.runtime == "runsc":
        container = "container.runtime: runsc"
    sandbox = "function.isolation: vm" if spec.function.isolation == "vm" else ""
    yield "container_kernel", Known(bool(container), "file", container)
    yield "sandbox_kernel", Known(bool(sandbox), "file", sandbox)
    if container or sandbox:
        yield "untrusted", Known(True, "file", container or sandbox)


def _source(case: Case) -> Found:
    source = case.source
    if case.spec.runtime is not None:
        language = case.spec.runtime.rstrip("0123456789.")
        named = {"static": "files", "provided": "binary", "node": "nodejs"}.get(language, language)
        if named in ("python", "nodejs", "java", "ruby", "go", "files", "binary"):
            yield "language", Known(named, "file", f"runtime: {case.spec.runtime}")
    if source is None:
        return
    if case.spec.runtime is None:
        yield "language", Known(source.language, "source")
    if case.spec.shared.kind is None:
        yield "package", Known(source.package, "source")
    for sign in ("connections", "background", "writes", "root"):
        where = source.signs.get(sign)
        if sign == "writes" and where is None:
            continue  # libraries write too: only a run tells that nothing does
        if where is not None or sign != "root" or not isinstance(case.spec.port, FixedPort):
            yield sign, Known(where is not None, "source", where or "")


def _traffic(traffic: Traffic) -> Found:
    hours = traffic.hours
    if len(hours) < LEAST_HOURS:
        return
    origin: Origin = "traffic"
    evidence = f"{len(hours)} hours"
    requests = [hour.requests for hour in hours]
    mean = sum(requests) / len(hours)
    yield "quiet_hours", Known(sum(each < 1 for each in requests) / len(hours), origin, evidence)
    if mean > 0:
        yield "peak_to_mean", Known(max(requests) / mean, origin, evidence)
    timed = [hour for hour in hours if hour.response_seconds is not None or not hour.requests]
    if any(hour.requests for hour in timed):
        busy = sum(hour.requests * (hour.response_seconds or 0) for hour in timed)
        yield "in_progress", Known(busy / (len(timed) * 3600), origin, evidence)


def _prices(case: Case) -> Found:
    possible = {pattern: each for pattern, each in case.prices.items() if not _is_blocked(case, pattern)}
    if not possible:
        return
    least = min(each.dollars for each in possible.values())
    for pattern, each in possible.items():
        evidence = f"{each.place}{', estimated' if each.estimated else ''}"
        yield f"{pattern}.cost_more", Known(each.dollars - least, "prices", evidence)
        if least > 0:
            yield f"{pattern}.cost_ratio", Known(each.dollars / least, "prices", evidence)


def _is_blocked(case: Case, pattern: str) -> bool:
    return any(each.kind != "setting" for name, found in case.blockers.items() if name == pattern for each in found)
