"""From texts to an `App`, without touching a file: read, merge, fill in, refuse, check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from fourfold.errors import Problem, SpecError
from fourfold.spec.app import App
from fourfold.spec.base import Model
from fourfold.spec.checks import Parts, check
from fourfold.spec.gateway import Gateway
from fourfold.spec.groups import Group
from fourfold.spec.interpolate import interpolate
from fourfold.spec.model import External, Service
from fourfold.spec.node import Node, from_plain, merge, plain
from fourfold.spec.problems import at, refuse, translate

_M = TypeVar("_M", bound=Model)


def parse(texts: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> App:
    """A service file and its overlays, each (name, text), lowest first -> the app.

    Raises SpecError with all that is wrong in them.
    """
    from fourfold.spec import yaml  # the daemon is sent JSON, and starts 25 ms sooner without

    trees: list[Node] = []
    problems: list[Problem] = []
    for name, text in texts:
        try:
            trees.append(_without_extensions(yaml.read(text, name)))
        except SpecError as error:
            problems += error.problems
    names = [name for name, _ in texts]
    refuse(problems, names)
    tree = trees[0]
    for overlay in trees[1:]:
        tree = merge(tree, overlay)
    tree, found = interpolate(tree, environ)
    problems += found
    tree, found = _apply_defaults(tree)
    return _judge(tree, problems + found, names)


def parse_json(data: Any) -> App:
    """An app as JSON, from a client -> the app. Raises SpecError: what comes over the API is judged like a file."""
    if not isinstance(data, dict):
        raise SpecError([Problem("", "expected an app as a map")])
    return _judge(from_plain(data), [], [])


def _judge(tree: Node, problems: list[Problem], names: list[str]) -> App:
    app: App | None = None
    data = plain(tree)
    try:
        app = App.model_validate(data)
        parts = Parts.of(app)
    except ValidationError as error:
        problems += _elsewhere(translate(error, tree), problems)
        parts = _readable_parts(data)
    problems += [at(tree, finding.path, finding.message, finding.hint) for finding in check(parts)]
    refuse(problems, names)
    assert app is not None  # every ValidationError gave a problem
    return app


def _without_extensions(node: Node) -> Node:
    """The tree without `x-…` keys."""
    if isinstance(node.value, dict):
        kept = {key: _without_extensions(child) for key, child in node.value.items() if not key.startswith("x-")}
        return replace(node, value=kept)
    if isinstance(node.value, list):
        return replace(node, value=[_without_extensions(child) for child in node.value])
    return node


def _apply_defaults(tree: Node) -> tuple[Node, list[Problem]]:
    """`defaults` merged under every service, and gone.

    What is wrong in it is found in the services, and told once, at its own place.
    """
    assert isinstance(tree.value, dict)
    defaults = tree.value.get("defaults")
    if defaults is None:
        return tree, []
    top = {key: child for key, child in tree.value.items() if key != "defaults"}
    if defaults.value is None:
        return replace(tree, value=top), []
    if not isinstance(defaults.value, dict):
        return replace(tree, value=top), [at(tree, ("defaults",), "expected a map: keys of services")]
    services = top.get("services")
    if services is not None and isinstance(services.value, dict):
        merged = {name: _over(defaults, service) for name, service in services.value.items()}
        top["services"] = replace(services, value=merged)
    return replace(tree, value=top), []


def _over(defaults: Node, service: Node) -> Node:
    if service.value is None:
        return replace(service, value=defaults.value)
    merged = merge(defaults, service)
    return replace(merged, key=service.key)


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
