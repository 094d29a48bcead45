"""A draft made valid: whatever our own checks refuse is taken out again, and noted with what they said. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fourfold.errors import Problem, SpecError
from fourfold.spec.parse import parse
from fourfold.spec.starting.imports.model import Draft, Drafted, Note
from fourfold.spec.starting.imports.writer import written

_ROUNDS = 20
_PLACE = re.compile(r"services\.([a-z0-9-]+)(?:\.(\w+))?")
_OPTIONAL = ("route", "health", "instances", "resources", "depends_on", "deploy", "stop", "restart", "volumes")


class _Anything(Mapping[str, str]):
    """An environment in which every variable is set."""

    def __getitem__(self, key: str) -> str:
        return "x"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def settled(draft: Draft) -> Draft:
    """The same draft, changed where it has to be: what other tools take may be more than what is possible here."""
    for _ in range(_ROUNDS):
        problems = list(_problems(draft))
        if not problems:
            break
        for problem in problems:
            _mend(draft, problem)
    return draft


def _problems(draft: Draft) -> Sequence[Problem]:
    if not draft.on:
        return []
    try:
        parse([("fourfold.yaml", written(draft))], _Anything())
    except SpecError as error:
        return error.problems
    return []


def _mend(draft: Draft, problem: Problem) -> None:
    if problem.path.startswith("gateway"):
        draft.notes.append(Note("gateway", problem.message, draft.gateway))
        draft.gateway = {}
        return
    match = _PLACE.match(problem.path)
    service = next((each for each in draft.services if match and each.name == match[1] and not each.off), None)
    if service is None or match is None:
        return
    _without(service, match[2], problem.message)


def _without(service: Drafted, key: str | None, message: str) -> None:
    if key == "port" and key in service.keys:
        service.keys.pop("route", None)  # it needs one
    if key in service.keys and key is not None:
        service.note(key, message, service.keys.pop(key))
    elif key in ("source", "image", None):
        service.off = service.off or message
    else:
        gone = next((each for each in _OPTIONAL if each in service.keys), None)
        if gone is None:
            service.off = message
        else:
            service.note(gone, message, service.keys.pop(gone))
