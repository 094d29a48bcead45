"""One scrape: what was counted, and what is the case now, as text."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from fourfold import __version__
from fourfold.control.goals import SYSTEM, pattern_of
from fourfold.control.instances.taken import Taken, taken
from fourfold.control.metrics import catalog as c
from fourfold.control.metrics.exposition import family, histogram, labels
from fourfold.control.metrics.sampling import usages
from fourfold.control.metrics.tally import Tally
from fourfold.control.parts import Parts
from fourfold.control.registry import key_of
from fourfold.control.reporting.status import shown_state
from fourfold.control.views import State
from fourfold.errors import FourfoldError
from fourfold.gateway.model import InstanceStats
from fourfold.launch.patterns import memory_limit
from fourfold.store.model import InstanceRow, ServiceRow
from fourfold.store.tables.hooks import HookRow
from fourfold.supervise.model import Usage

STATES: tuple[State, ...] = ("starting", "ready", "unready", "draining", "stopping", "backoff", "crash-loop")


@dataclass(frozen=True)
class _Instance:
    labels: str
    row: InstanceRow
    taken: Taken
    usage: Usage | None
    stats: InstanceStats | None
    limit: int | None
    invoker: Mapping[str, Any] | None
    """Of pattern function, when it answers: `functions.invoker.Invoker.state`."""


async def scrape(parts: Parts) -> str:
    """What comparisons run beside live services is not in it."""
    with suppress(FourfoldError):  # a full disk, say: what was counted until then is told all the same
        await parts.tallies.look()
    hidden = {name for name, row in parts.registry.apps.items() if row.candidate_of is not None}
    services = [row for _, row in sorted(parts.registry.services.items()) if row.app not in hidden]
    instances = await _instances(parts, hidden)
    lines = [
        *_services(parts, services),
        *_takings(instances),
        *_functions(instances),
        *_now(parts, services, instances),
        *_counted(parts.tallies.tally, hidden),
        *_daemon(parts),
    ]
    return "\n".join(lines) + "\n"


async def _instances(parts: Parts, hidden: set[str]) -> list[_Instance]:
    there = sorted(parts.registry.instances.values(), key=lambda row: row.id)
    rows = [row for row in there if row.pid is not None and row.state != "exited" and row.app not in hidden]
    invokers = [row.id for row in rows if row.pattern == "function" and row.state in ("ready", "draining")]
    found, hosted, served, told = await asyncio.gather(
        usages(parts, rows),
        parts.neighbours.hosted({row.host for row in rows if row.host is not None}),
        _served(parts),
        asyncio.gather(*map(parts.invoking.state, invokers)),
    )
    states = dict(zip(invokers, told, strict=True))
    return [
        _Instance(
            labels(c.CPU.labels, (row.app, row.service, row.id)),
            row,
            taken(found.get(row.id), hosted.get(row.id)),
            found.get(row.id),
            served.get(row.id),
            _limit(parts, row),
            states.get(row.id),
        )
        for row in rows
    ]


async def _served(parts: Parts) -> Mapping[str, InstanceStats]:
    try:
        return await parts.gateway.served()
    except FourfoldError:
        return parts.gateway.last_served


def _limit(parts: Parts, row: InstanceRow) -> int | None:
    if row.app == SYSTEM or row.id not in parts.registry.instances:
        return None
    return memory_limit(row.pattern, parts.registry.spec(key_of(row), row.release))


def _services(parts: Parts, services: Iterable[ServiceRow]) -> Iterator[str]:
    services = list(services)
    names = {key_of(row): labels(("app", "service"), (row.app, row.name)) for row in services}
    yield from family(
        c.SERVICE_INFO,
        ((labels(c.SERVICE_INFO.labels, (s.app, s.name, pattern_of(s), str(s.release))), 1) for s in services),
    )
    yield from family(c.DESIRED, ((names[f"{s.app}.{s.name}"], parts.status.desired(s)) for s in services))
    states = {key: Counter(shown_state(row) for row in parts.registry.of_service(key)) for key in names}
    yield from family(
        c.INSTANCES,
        (
            (labels(c.INSTANCES.labels, (s.app, s.name, state)), states[f"{s.app}.{s.name}"][state])
            for s in services
            for state in (*STATES, *sorted(states[f"{s.app}.{s.name}"].keys() - {*STATES}))
        ),
    )
    open_now = {key: float(parts.registry.running_deployment(key) is not None) for key in names}
    yield from family(c.UNDER_WAY, ((names[key], count) for key, count in open_now.items()))
    lines = parts.events.queue.lines
    waiting = {key: len(line.events) if (line := lines.find(key)) is not None else 0 for key in names}
    yield from family(c.QUEUED, ((names[key], count) for key, count in waiting.items()))


def _takings(instances: list[_Instance]) -> Iterator[str]:
    measured = [(each.labels, each.usage) for each in instances if each.usage is not None]
    yield from family(c.RESTARTS, ((each.labels, each.row.restarts) for each in instances))
    yield from family(c.STARTED, ((e.labels, e.row.started_at) for e in instances if e.row.started_at is not None))
    yield from family(c.CPU, ((e.labels, e.taken.cpu_seconds) for e in instances if e.taken.cpu_seconds is not None))
    yield from family(
        c.MEMORY, ((e.labels, e.taken.memory_bytes) for e in instances if e.taken.memory_bytes is not None)
    )
    yield from family(c.MEMORY_LIMIT, ((e.labels, e.limit) for e in instances if e.limit is not None))
    yield from family(c.PROCESSES, ((written, usage.processes) for written, usage in measured))
    yield from family(c.THREADS, ((e.labels, e.taken.threads) for e in instances if e.taken.threads is not None))
    yield from family(c.FILES, ((written, usage.descriptors) for written, usage in measured))
    yield from family(c.READ, ((written, usage.read_bytes) for written, usage in measured))
    yield from family(c.WRITTEN, ((written, usage.written_bytes) for written, usage in measured))


ENDINGS = ("ok", "error", "timeout", "crash", "oom", "throttled", "refused")
"""Of an invoker's totals; the last two had no sandbox."""


def _functions(instances: Iterable[_Instance]) -> Iterator[str]:
    def named(metric: c.Metric, row: InstanceRow, *more: str) -> str:
        return labels(metric.labels, (row.app, row.service, row.id, *more))

    states = [(each.row, each.invoker) for each in instances if each.invoker is not None]
    endings = ((row, name, state["totals"].get(name, 0)) for row, state in states for name in ENDINGS)
    yield from family(c.INVOCATIONS, ((named(c.INVOCATIONS, row, name), count) for row, name, count in endings))
    yield from family(c.COLD, ((named(c.COLD, row), state["totals"].get("cold", 0)) for row, state in states))
    boxes = ((row, name, count) for row, state in states for name, count in state["sandboxes"].items())
    yield from family(c.SANDBOXES, ((named(c.SANDBOXES, row, name), count) for row, name, count in boxes))
    yield from family(c.WAITING, ((named(c.WAITING, row), state["waiting"]) for row, state in states))


def _now(parts: Parts, services: Iterable[ServiceRow], instances: Iterable[_Instance]) -> Iterator[str]:
    in_flight: Counter[str] = Counter({labels(("app", "service"), (row.app, row.name)): 0 for row in services})
    up = 0
    for each in instances:
        if each.stats is not None:
            in_flight[labels(("app", "service"), (each.row.app, each.row.service))] += each.stats.in_flight
        up |= each.row.app == SYSTEM and each.row.state == "ready"
    yield from family(c.IN_FLIGHT, in_flight.items())
    yield from family(c.GATEWAY_UP, [("", up)])
    yield from _webhooks(parts.notifying.hooks.all())
    working, waiting = parts.operations.counts()
    yield from family(c.OPERATIONS, [('{state="running"}', working), ('{state="waiting"}', waiting)])
    yield from family(c.BUILDS_NOW, [("", parts.building.under_way)])


def _webhooks(rows: Iterable[HookRow]) -> Iterator[str]:
    """Several may have one host: together."""
    delivered: Counter[tuple[str, ...]] = Counter()
    failing: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        delivered[row.app, row.host, "delivered"] += row.delivered
        delivered[row.app, row.host, "given-up"] += row.given_up
        failing[row.app, row.host] |= row.failing_since is not None
    for metric, counts in ((c.HOOKED, delivered), (c.HOOKS_FAILING, failing)):
        yield from family(metric, ((labels(metric.labels, names), count) for names, count in counts.items()))


def _counted(tally: Tally, hidden: set[str]) -> Iterator[str]:
    for metric in c.METRICS:
        series = (
            (labels(metric.labels, of), counts)
            for of, counts in tally.series(metric)
            if not hidden.intersection(of[:1])
        )
        if metric.kind == "histogram":
            yield from histogram(metric, series)
        elif metric.kind == "counter":
            yield from family(metric, ((written, counts[0]) for written, counts in series))


def _daemon(parts: Parts) -> Iterator[str]:
    yield from family(c.INFO, [(labels(c.INFO.labels, (__version__,)), 1)])
    for metric in (c.LAG, c.COMMITS):
        yield from histogram(metric, (("", counts) for _, counts in parts.tallies.own.series(metric)))
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        facts: Mapping[c.Metric, float] = {
            c.DAEMON_CPU: times.user + times.system,
            c.DAEMON_MEMORY: process.memory_info().rss,
            c.DAEMON_THREADS: process.num_threads(),
            c.DAEMON_FILES: process.num_fds(),
            c.DAEMON_STARTED: process.create_time(),
        }
    for metric, value in facts.items():
        yield from family(metric, [("", value)])
