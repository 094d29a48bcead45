"""From texts to the tree of a service file: read, merge, fill in. What its keys mean is not asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fourfold.errors import Problem, SpecError
from fourfold.spec.interpolate import interpolate
from fourfold.spec.places import at, refuse
from fourfold.spec.yaml.node import Node, merge


def read_tree(texts: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """A service file and its overlays, each (name, text), lowest first -> one tree, and what is wrong in it so far.

    Raises SpecError where they are not YAML.
    """
    from fourfold.spec.yaml import yaml  # the daemon is sent JSON, and starts 25 ms sooner without

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
    return tree, problems + found


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
