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


@dataclass(frozen=True)
class Tagged:
    """A rule with the short name under which backends recognise it (`r3`).

    As text: name, weight (its path's length and one), backend. HAProxy reads no negative numbers, so nothing weighs 0.
    """

    tag: str
    rule: Rule

    def __str__(self) -> str:
        return f"{self.tag}:{len(self.rule.path) + 1}:{self.rule.backend}"


@dataclass
class Tables:
    """The maps of one frontend; each key and value is one word."""

    hosts: dict[str, str] = field(default_factory=dict)
    """`shop.example.com` -> table."""
    wildcards: dict[str, str] = field(default_factory=dict)
    """`example.com`, from `*.example.com` -> table."""
    paths: dict[str, str] = field(default_factory=dict)
    """`t1/catalog/` (table, path, slash) -> `r3:9:shop.catalog`, and `:m7` after it where methods make a difference.
    The table of any host has no name: `/catalog/`."""
    methods: dict[str, str] = field(default_factory=dict)
    """`m7:POST` -> `r4:9:shop.orders`."""


NOTHING = "-:0:"
"""Where no rule is for any method."""
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
    by_host: dict[str, list[Tagged]] = defaultdict(list)
    for tagged in rules:
        by_host[tagged.rule.host or ""].append(tagged)
    made = Tables()
    for number, host in enumerate(["", *sorted(by_host.keys() - {""})]):
        table = f"t{number}" if host else ""
        if host.startswith("*."):
            made.wildcards[host[2:]] = table
        elif host:
            made.hosts[host] = table
        _add_table(made, table, by_host[host])
    return made


def _add_table(made: Tables, table: str, rules: list[Tagged]) -> None:
    resolved: dict[str, Resolution] = {}
    for tagged in sorted(rules, key=lambda item: (len(item.rule.path), bool(item.rule.methods))):
        path = tagged.rule.path
        if not tagged.rule.methods:
            resolved[path] = {"": tagged}
            continue
        resolution = resolved.setdefault(path, dict(_above(resolved, path)))
        resolution.update(dict.fromkeys(tagged.rule.methods, tagged))
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
    default = str(other) if other else NOTHING
    special = {method: tagged for method, tagged in resolution.items() if tagged is not other}
    if not special:
        return default
    node = f"m{len(made.paths)}"  # one value is made for each path: the count is a name
    made.methods.update({f"{node}:{method}": str(tagged) for method, tagged in sorted(special.items())})
    return f"{default}:{node}"
