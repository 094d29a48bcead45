"""Rules to lookup tables: HAProxy finds a request's rule with a few lookups in trees, however many rules there are.

Precedence (longest path, then host before wildcard before any host, then method before any method) is settled here,
once: each host gets a table of its own into which the rules of less specific hosts are merged, and each path in it
carries the rules that it inherits from the paths above. At run time the longest path in the host's table is the answer.

The price is size: hosts times rules without a host. One map entry is some 100 bytes in HAProxy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fourfold.errors import UserError
from fourfold.gateway import naming
from fourfold.gateway.model import Rule

ANY_HOST = "t0"


@dataclass(frozen=True)
class Tagged:
    """A rule with the short name under which backends recognise it (`r3`)."""

    tag: str
    rule: Rule

    def __str__(self) -> str:
        return f"{self.tag}:{self.rule.backend}"


@dataclass
class Tables:
    """The maps of one frontend; each key and value is one word."""

    hosts: dict[str, str] = field(default_factory=dict)
    """`shop.example.com` -> table."""
    wildcards: dict[str, str] = field(default_factory=dict)
    """`example.com`, from `*.example.com` -> table."""
    paths: dict[str, str] = field(default_factory=dict)
    """`t1/catalog/` (table, path, slash) -> `r3:shop.catalog`, with `:m7` after it where methods make a difference."""
    methods: dict[str, str] = field(default_factory=dict)
    """`m7:POST` -> `r4:shop.orders`."""


Resolution = dict[str, Tagged]
"""Method -> rule; "" is any other method."""


def normal(rules: Iterable[Rule]) -> list[Rule]:
    """The rules with checked, uniform hosts, paths and methods, without repetitions, in a fixed order."""
    uniform = {
        replace(
            rule,
            backend=naming.name(rule.backend),
            host=None if rule.host is None else naming.host(rule.host),
            path=naming.path(rule.path),
            methods=naming.methods(rule.methods),
        )
        for rule in rules
    }
    ordered = sorted(uniform, key=lambda rule: (rule.host or "", rule.path, rule.methods, rule.backend))
    _refuse_conflicts(ordered)
    return ordered


def _refuse_conflicts(rules: Iterable[Rule]) -> None:
    taken: dict[tuple[str | None, str, str], Rule] = {}
    for rule in rules:
        for method in rule.methods or ("",):
            other = taken.setdefault((rule.host, rule.path, method), rule)
            if other is rule:
                continue
            where = f"{rule.host or ''}{rule.path or '/'}"
            what = f"{method} {where}".strip()
            if other.backend == rule.backend:
                raise UserError(f"cannot route {what}: {rule.backend} has it twice, differently", "keep one of them")
            raise UserError(
                f"cannot route {what} to {rule.backend}: {other.backend} has that route",
                "give one of them another host, path or method",
            )


def tables(rules: Iterable[Tagged]) -> Tables:
    """`rules` are normal and tagged."""
    by_host: dict[str | None, list[Tagged]] = defaultdict(list)
    for tagged in rules:
        by_host[tagged.rule.host].append(tagged)
    made = Tables()
    _add_table(made, ANY_HOST, [by_host[None]])
    for number, host in enumerate(sorted(key for key in by_host if key), start=1):
        chain = [by_host[host], by_host[None]]
        if host.startswith("*."):
            made.wildcards[host[2:]] = f"t{number}"
        else:
            made.hosts[host] = f"t{number}"
            chain.insert(1, by_host.get("*." + host.partition(".")[2], []))
        _add_table(made, f"t{number}", chain)
    return made


def _add_table(made: Tables, table: str, chain: list[list[Tagged]]) -> None:
    """`chain`: the rules of the host, then of ever less specific ones."""
    at_path: dict[str, list[Tagged]] = defaultdict(list)
    for rules in reversed(chain):
        for tagged in sorted(rules, key=lambda item: bool(item.rule.methods)):
            at_path[tagged.rule.path].append(tagged)
    resolved: dict[str, Resolution] = {}
    for path in sorted(at_path, key=len):
        resolution = dict(_above(resolved, path))
        for tagged in at_path[path]:
            if not tagged.rule.methods:
                resolution.clear()
            for method in tagged.rule.methods or ("",):
                resolution[method] = tagged
        resolved[path] = resolution
        made.paths[f"{table}{path}/"] = _value(made, resolution)


def _above(resolved: Mapping[str, Resolution], path: str) -> Resolution:
    while path:
        path = path.rpartition("/")[0]
        if path in resolved:
            return resolved[path]
    return {}


def _value(made: Tables, resolution: Resolution) -> str:
    other = resolution.get("")
    default = str(other) if other else ":"
    special = {method: tagged for method, tagged in resolution.items() if tagged is not other}
    if not special:
        return default
    node = f"m{len(made.paths)}"  # one value is made for each path: the count is a name
    made.methods.update({f"{node}:{method}": str(tagged) for method, tagged in sorted(special.items())})
    return f"{default}:{node}"
