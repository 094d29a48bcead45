"""From texts to an `App`, without touching a file: read, refuse, check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from fourfold.errors import Problem, SpecError
from fourfold.spec.app import App
from fourfold.spec.base import Model
from fourfold.spec.checks.checks import Finding, Parts, check
from fourfold.spec.gateway import Gateway
from fourfold.spec.groups import Group
from fourfold.spec.model import External, Service
from fourfold.spec.places import at, refuse
from fourfold.spec.problems import translate
from fourfold.spec.tree import read_tree
from fourfold.spec.yaml.node import UNUSABLE, UNUSABLE_TEXT, Node, Path, from_plain, plain

_M = TypeVar("_M", bound=Model)
Checks = Callable[[Parts], Iterable[Finding]]


def parse(texts: Sequence[tuple[str, str]], environ: Mapping[str, str], further: Checks | None = None) -> App:
    """A service file and its overlays, each (name, text), lowest first -> the app.

    Raises SpecError with all that is wrong in them, and what `further` finds.
    """
    tree, problems = read_tree(texts, environ)
    return _judge(tree, problems, [name for name, _ in texts], further)


def parse_json(data: Any) -> App:
    """An app as JSON, from a client -> the app. Raises SpecError: what comes over the API is judged like a file."""
    if not isinstance(data, dict):
        raise SpecError([Problem("", "expected an app as a map")])
    tree = from_plain(data)
    return _judge(tree, [at(tree, path, UNUSABLE_TEXT) for path in _unusable(tree)], [])


def _unusable(node: Node) -> Iterator[Path]:
    for child in node.children():
        yield from _unusable(child)
    if isinstance(node.value, str) and UNUSABLE.search(node.value):
        yield node.path


def _judge(tree: Node, problems: list[Problem], names: list[str], further: Checks | None = None) -> App:
    app: App | None = None
    data = plain(tree)
    try:
        app = App.model_validate(data)
        parts = Parts.of(app)
    except ValidationError as error:
        problems += _elsewhere(translate(error, tree), problems)
        parts = _readable_parts(data)
    findings = [*check(parts), *(further(parts) if further is not None else ())]
    problems += [at(tree, finding.path, finding.message, finding.hint) for finding in findings]
    refuse(problems, names)
    assert app is not None  # every ValidationError gave a problem
    return app


def _elsewhere(found: list[Problem], told: list[Problem]) -> list[Problem]:
    """Without those at a place of which something was told already: one cause, one problem."""
    places = {(problem.file, problem.line, problem.column) for problem in told if problem.line}
    return [problem for problem in found if (problem.file, problem.line, problem.column) not in places]


def _readable_parts(data: dict[str, Any]) -> Parts:
    """What can be checked although something else is wrong: bad services without their bad keys."""
    services, externals, groups = (_map(data, key) for key in ("services", "externals", "groups"))
    good = _valid(Service, services)
    partial = _valid(Service, {name: _good_keys(entry) for name, entry in services.items() if name not in good})
    name = data.get("app")
    return Parts(
        app=name if isinstance(name, str) else None,
        services=good | partial,
        partial=frozenset(partial),
        externals=_valid(External, externals),
        gateway=_valid(Gateway, {"": data.get("gateway") or {}}).get(""),
        names=frozenset(services) | frozenset(externals),
        groups=_valid(Group, groups),
        declared=frozenset(groups),
    )


def _map(data: dict[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _valid(kind: type[_M], entries: Mapping[str, Any]) -> dict[str, _M]:
    valid = {}
    for name, entry in entries.items():
        try:
            valid[name] = kind.model_validate(entry)
        except ValidationError:
            continue
    return valid


def _good_keys(entry: Any) -> Any:
    try:
        Service.model_validate(entry)
    except ValidationError as error:
        bad = {item["loc"][0] for item in error.errors(include_url=False, include_context=False) if item["loc"]}
        return {key: value for key, value in entry.items() if key not in bad} if isinstance(entry, dict) else entry
    return entry
