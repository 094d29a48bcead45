"""Which rule a request matches: a reference of ten lines against the tables, and against HAProxy itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule
from fourfold.gateway.routing import NOTHING, Tables, normal, tables
from tests.gateway.rig import Client, Rig, with_rig
from tests.support.ports import free_port

HOSTS = [None, "a.test", "b.test", "*.test", "c.a.test", "*.a.test"]
PATHS = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/bc", "/a%20b", "/A"]
METHODS = [(), (), (), ("GET",), ("POST",), ("GET", "PUT")]
ASKED_HOSTS = ["a.test", "b.test", "x.test", "c.a.test", "d.a.test", "e.d.a.test", "test", "other.org"]
ASKED_PATHS = [*PATHS, "/a/", "/a/b/", "/a/b/c/d", "/abc", "/a/bcd", "//a", "/a//b", "/b", "/a?x=/a/b", "/a%20b/c"]


def matches(rule: Rule, host: str, path: str, method: str) -> bool:
    hosts = (None, host, "*." + host.partition(".")[2])
    inside = (path.partition("?")[0] + "/").startswith(rule.path.rstrip("/") + "/")
    return rule.host in hosts and inside and (not rule.methods or method in rule.methods)


def reference(rules: Iterable[Rule], host: str, path: str, method: str) -> str | None:
    found = [rule for rule in rules if matches(rule, host, path, method)]
    found.sort(key=lambda rule: (len(rule.path.rstrip("/")), specificity(rule.host), bool(rule.methods)))
    return found[-1].backend if found else None


def specificity(host: str | None) -> int:
    return 0 if host is None else 1 if host.startswith("*.") else 2


def distinct(choices: Iterable[tuple[str | None, str, tuple[str, ...]]]) -> list[Rule]:
    """Rules without conflicts, each to a backend of its own."""
    taken: set[tuple[str | None, str, str]] = set()
    rules, number = [], count()
    for host, path, methods in choices:
        keys = {(host, path, method) for method in methods or ("",)}
        if not keys & taken:
            taken |= keys
            rules.append(Rule(f"a.s{next(number)}", host, path, methods))
    return rules


def looked_up(made: Tables, host: str, path: str, method: str) -> str | None:
    """What HAProxy does with the tables."""
    best = NOTHING
    for table in ("", made.wildcards.get(host.partition(".")[2]), made.hosts.get(host)):
        if table is None:
            continue
        key = f"{table}{path.partition('?')[0]}/"
        prefix = max((entry for entry in made.paths if key.startswith(entry)), key=len, default=None)
        value = made.paths[prefix] if prefix else NOTHING
        node = [*value.split(":"), ""][2]
        value = made.methods.get(f"{node}:{method}", value)
        best = value if int(value.split(":")[0]) >= int(best.split(":")[0]) else best
    return best.split(":")[1] or None


choices = st.tuples(st.sampled_from(HOSTS), st.sampled_from(PATHS), st.sampled_from(METHODS))


@settings(deadline=None)
@given(
    st.lists(choices, max_size=20).map(distinct),
    st.sampled_from(ASKED_HOSTS),
    st.sampled_from(ASKED_PATHS),
    st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
)
def test_tables_choose_as_the_reference(rules: list[Rule], host: str, path: str, method: str) -> None:
    made = tables(normal(rules))
    assert looked_up(made, host, path, method) == reference(rules, host, path, method)


@with_rig
async def test_haproxy_chooses_as_the_reference(rig: Rig) -> None:
    """A dozen sets of rules on ports of their own; services without instances tell their names in the 503."""
    dice = random.Random(20_26)
    sets: dict[int, list[Rule]] = {}
    while len(sets) < 12:
        size = dice.choice([1, 5, 12, 40])
        chosen = [(dice.choice(HOSTS), dice.choice(PATHS), dice.choice(METHODS)) for _ in range(size)]
        sets[free_port()] = distinct(chosen)
    frontends = tuple(Frontend(f"127.0.0.1:{port}", tuple(rules)) for port, rules in sets.items())
    names = {rule.backend for rules in sets.values() for rule in rules}
    await rig.start(GatewayConfig(frontends, tuple(map(Backend, names))))

    async def ask_some(port: int, rules: list[Rule]) -> None:
        client = Client(port)
        for _ in range(60):
            host, path, method = dice.choice(ASKED_HOSTS), dice.choice(ASKED_PATHS), dice.choice(["GET", "POST", "PUT"])
            answer = await client.ask(path, method, {"Host": host})
            chosen = answer.body.decode().split()[0] if answer.status == 503 else None
            expected = reference(rules, host, path, method)
            assert (answer.status, chosen) == (503 if expected else 404, expected), (rules, host, path, method)
        await client.close()

    await asyncio.gather(*(ask_some(port, rules) for port, rules in sets.items()))


def test_tables_grow_with_the_rules_only() -> None:
    rules = [Rule(f"a.s{n}", host=f"h{n}.test", path="/x") for n in range(500)]
    rules += [Rule(f"a.p{n}", path=f"/p{n}") for n in range(500)]
    made = tables(normal(rules))
    assert len(made.paths) == 1000
