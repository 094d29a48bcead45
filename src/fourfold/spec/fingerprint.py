"""What a release holds of a service, and what differs between two."""

from __future__ import annotations

from typing import Any

from fourfold.spec.function import Function
from fourfold.spec.model import PATTERNS, Service


def fingerprint(service: Service) -> dict[str, Any]:
    """The service (or group) as JSON, without what a release does not hold: its pattern and its count.

    It has the blocks of all patterns: moving to another one needs no new release.
    """
    made = service.model_dump(mode="json", exclude={"pattern": True, "instances": True, "group": {"instances"}})
    if service.protocol == "http":  # a release that was stored before there was another one says nothing
        del made["protocol"]
    return made


_EVERYWHERE = ("handler", "timeout", "concurrency", "payload", "paths", "retries", "max_age", "on_failure")
"""Keys of the block `function` that handlers and asynchronous events obey under every pattern."""


def under(pattern: str, release: dict[str, Any]) -> dict[str, Any]:
    """What matters of a fingerprint while the service runs under a pattern: without the blocks of others."""
    if isinstance(group := release.get("group"), dict):
        return group  # all else of a group follows from that
    unused = set(PATTERNS) - {pattern}
    used = {key: value for key, value in release.items() if key not in unused}
    if pattern != "function":
        # A release that was stored before there were functions has no such block.
        block = Function().model_dump(mode="json") | (release.get("function") or {})
        used["function"] = {key: block[key] for key in _EVERYWHERE}
    if pattern != "shared" and (app := (release.get("shared") or {}).get("app")):
        used["shared"] = {"app": app}  # what runs without `run`, under every pattern
    return used


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`env.LOG_LEVEL changed`, `health added`, `secrets.API_KEY removed`: dotted keys in order; never values."""
    return _differences(_named(old), _named(new), "")


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str) -> list[str]:
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        name = f"{prefix}{key}"
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines += _differences(before, after, f"{name}.")
        elif before is None:
            lines.append(f"{name} added")
        else:
            lines.append(f"{name} removed" if after is None else f"{name} changed")
    return lines


def _named(release: dict[str, Any]) -> dict[str, Any]:
    """Lists whose entries have a name become maps, so that one entry can be told from another."""
    named = dict(release)
    for key, by in (("secrets", "env"), ("volumes", "name")):
        if isinstance(entries := release.get(key), list):
            named[key] = {entry[by]: entry for entry in entries}
    return named
