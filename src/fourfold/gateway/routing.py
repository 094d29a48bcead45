"""Rules to lookup tables: HAProxy finds a request's rule with a few lookups in trees, however many rules there are.

The longest path wins, then a host before a wildcard before any host, then a method before any method. Each host has a
table of its own, in which every path carries the rules that it inherits from the paths above it: the longest path found
in a table leads to the best rule of that table. A request is looked up in at most three (its host's, the wildcard's,
any host's), and the values say how long their rule's path is, so that HAProxy can tell which of the three is best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fourfold.errors import UserError
from fourfold.gateway import naming
from fourfold.gateway.model import Rule


@dataclass
class Tables:
    """The maps of one frontend; each key and value is one word."""

    hosts: dict[str, str] = field(default_factory=dict)
    """`shop.example.com` -> table."""
    wildcards: dict[str, str] = field(default_factory=dict)
    """`example.com`, from `*.example.com` -> table."""
    paths: dict[str, str] = field(default_factory=dict)
    """`t1/catalog/` (table, path, slash) -> `9:shop.catalog`, and `:m7` after it where methods make a difference.
    The table of any host has no name: `/catalog/`."""
    methods: dict[str, str] = field(default_factory=dict)
    """`m7:POST` -> `9:shop.orders`."""


NOTHING = "0:"
"""Where no rule is for any method."""
Resolution = dict[str, Rule]
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


def tables(rules: Iterable[Rule]) -> Tables:
    """`rules` are normal."""
    by_host: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        by_host[rule.host or ""].append(rule)
    made = Tables()
    for number, host in enumerate(["", *sorted(by_host.keys() - {""})]):
        table = f"t{number}" if host else ""
        if host.startswith("*."):
            made.wildcards[host[2:]] = table
        elif host:
            made.hosts[host] = table
        _add_table(made, table, by_host[host])
    return made


def _add_table(made: Tables, table: str, rules: list[Rule]) -> None:
    resolved: dict[str, Resolution] = {}
    for rule in sorted(rules, key=lambda rule: (len(rule.path), bool(rule.methods))):
        if not rule.methods:
            resolved[rule.path] = {"": rule}
            continue
        resolution = resolved.setdefault(rule.path, dict(_above(resolved, rule.path)))
        resolution.update(dict.fromkeys(rule.methods, rule))
    for path, resolution in resolved.items():
        made.paths[f"{table}{path}/"] = _value(made, resolution)


def _above(resolved: Mapping[str, Resolution], path: str) -> Resolution:
    while path:
        path = path.rpartition("/")[0]
        if path in resolved:
            return resolved[path]
    return {}


def _value(made: Tables, resolution: Resolution) -> str:
    other = resolution.get("")
    default = _text(other) if other else NOTHING
    special = {method: rule for method, rule in resolution.items() if rule is not other}
    if not special:
        return default
    node = f"m{len(made.paths)}"  # one value is made for each path: the count is a name
    made.methods.update({f"{node}:{method}": _text(rule) for method, rule in sorted(special.items())})
    return f"{default}:{node}"


def _text(rule: Rule) -> str:
    """Weight (its path's length and one: HAProxy reads no negative numbers, so nothing weighs 0) and backend."""
    return f"{len(rule.path) + 1}:{rule.backend}"
