"""What a client asks for, service by service, as wishes. Raises UserError (exit code 2): nothing has changed yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fourfold.control.deploying.changes import Wish, overrides_for
from fourfold.control.goals import count_of
from fourfold.control.groups.groups import spec_of
from fourfold.control.parts import Parts
from fourfold.control.views import UpRequest
from fourfold.errors import UserError
from fourfold.spec.app import App
from fourfold.spec.groups import Host
from fourfold.spec.model import PATTERNS, Service
from fourfold.store.manifest import Manifest

MOST_INSTANCES = 10_000


def wish_of(parts: Parts, app: App, name: str, request: UpRequest) -> Wish:
    spec = located(spec_of(app, name), Path(request.file).parent)
    source = source_of(parts, spec, name, request)
    row = parts.registry.services.get(f"{app.app}.{name}")
    digest = parts.store.secrets.digest(app.app, {use.name for use in spec.secrets})
    given = request.overrides.get(name, {})
    check_overrides(name, given)
    counted = count_of(row) if row is not None else None
    overrides = overrides_for(row, given, request.reset, spec)
    wish = Wish(name, spec, source, digest, overrides, request.rebuild, counted)
    if isinstance(spec, Host) and "pattern" in given:
        raise UserError(
            f"cannot run {name} as a {given['pattern']}: it is a group", "name the members that are to move"
        )
    if wish.pattern == "shared" and "instances" in given:
        raise UserError(
            f"cannot run {given['instances']} instances of {name}: one of it runs in each instance of its group",
            f"give them to the group {spec.shared.group}",
        )
    return wish


def source_of(parts: Parts, spec: Service, name: str, request: UpRequest) -> str:
    """Digest of what it is built from; of an empty source for a ready-made image, and for a group."""
    if spec.image is not None or isinstance(spec, Host):
        return parts.sources.put(Manifest.of(()))
    if name not in request.sources:
        raise UserError(f"cannot deploy {name}: its source was not sent", "POST /v1/sources first")
    parts.stored.check_source(request.sources[name])
    return request.sources[name]


def located(spec: Service, folder: Path) -> Service:
    """With an image in a file or folder named by its whole path: the daemon works elsewhere than the client."""
    container = spec.container.model_copy(update={"base": _located(spec.container.base, folder)})
    machine = spec.vm.model_copy(update={"base": _located(spec.vm.base, folder)})
    image = spec.image and _located(spec.image, folder)
    return spec.model_copy(update={"image": image, "container": container, "vm": machine})


def _located(reference: str, folder: Path) -> str:
    kind, colon, place = reference.partition(":")
    if kind not in ("oci", "docker-archive") or not colon or place.startswith("/"):
        return reference
    return f"{kind}:{folder / place}"


def check_overrides(name: str, given: dict[str, Any]) -> None:
    for key, value in given.items():
        if key == "pattern" and value not in PATTERNS:
            raise UserError(f"cannot run {name} as {value!r}: the patterns are {', '.join(PATTERNS)}")
        if key == "instances" and not (type(value) is int and 0 <= value <= MOST_INSTANCES):
            raise UserError(f"cannot run {value!r} instances of {name}: give a number from 0 to {MOST_INSTANCES}")
        if key not in ("pattern", "instances"):
            raise UserError(f"cannot override {key} of {name}: only pattern and instances")
