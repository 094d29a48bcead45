"""From what somebody sent to what is to be built. Raises UserError: nothing has changed then.

Whoever may ask for builds need not be trusted: nothing that is asked for names a place on this machine.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fourfold.build.ignore import ALWAYS, OWN_FILES, UNASKED
from fourfold.control.bakery.shapes import BakeRequest, UploadQuery
from fourfold.control.deploying.exports import FORMS
from fourfold.control.deploying.places import refuse_places
from fourfold.control.groups.groups import spec_of
from fourfold.errors import NotFoundError, UserError
from fourfold.spec.app import App
from fourfold.spec.model import Service
from fourfold.spec.parse import parse, parse_json
from fourfold.store.manifest import Entry, Manifest

FILE = "fourfold.yaml"
_INSTEAD = ("app", "runtime", "run", "build", "port", "handler")
"""Of a query: what is said instead of a file."""


@dataclass(frozen=True)
class Order:
    """What is to be built."""

    app: App
    service: str
    pattern: str
    format: str

    @property
    def spec(self) -> Service:
        return spec_of(self.app, self.service)


def read_request(request: BakeRequest) -> Order:
    if (request.file is None) == (request.spec is None):
        raise UserError("cannot build: either `file` or `spec` must say what", "`file` is the text of a fourfold.yaml")
    app = parse_json(request.spec) if request.file is None else parse([(FILE, request.file)], {})
    return order_of(app, request.service, request.pattern, request.format)


def read_upload(query: UploadQuery, files: Mapping[str, str]) -> Order:
    """`files`: the service file and its overlays at the top of the source, name -> text."""
    if FILE in files:
        if given := [name for name in _INSTEAD if getattr(query, name) is not None]:
            raise UserError(f"cannot use {', '.join(given)}: the source has a {FILE}", "write it there")
        texts = [(FILE, files[FILE])]
        if query.env is not None:
            overlay = f"fourfold.{query.env}.yaml"
            if overlay not in files:
                raise UserError(f"cannot use the environment {query.env}: the source has no {overlay}")
            texts.append((overlay, files[overlay]))
        return order_of(parse(texts, {}), query.service, query.pattern, query.format)
    service: dict[str, Any] = {"source": "./"}
    service |= {name: value for name in ("runtime", "run", "build", "port") if (value := getattr(query, name))}
    service |= {"function": {"handler": query.handler}} if query.handler else {}
    service |= {"pattern": query.pattern} if query.pattern else {}
    app = parse_json({"app": query.app or "app", "services": {query.service or "app": service}})
    return order_of(app, query.service, query.pattern, query.format)


def order_of(app: App, service: str | None, pattern: str | None, form: str | None) -> Order:
    names = list(app.services)
    if service is None and len(names) != 1:
        raise UserError(f"cannot build {len(names)} services at once", f"say which: service={' or '.join(names)}")
    name = service or names[0]
    if name not in app.services:
        raise NotFoundError(f"cannot find service {name} in the file: it has {', '.join(names)}")
    spec = app.services[name]
    refuse_places(name, spec)
    if spec.container.dockerfile is not None:
        raise UserError(
            f"cannot build {name}: a Dockerfile is built as root and with a network, which is not for what others send",
            "leave `container.dockerfile` out, and name a base: `container: {base: docker://HOST/NAME:TAG}`",
        )
    wanted = pattern or spec.pattern
    forms = FORMS.get(wanted, ())
    if form is not None and form not in forms:
        raise UserError(
            f"cannot make {form!r} of {name}: it is built for pattern {wanted}, of which there is {', '.join(forms)}",
            "say another `format` or another `pattern`",
        )
    return Order(app, name, wanted, form or forms[0])


def source_of(spec: Service, name: str, whole: Manifest) -> Manifest:
    """The part of what was sent that `source` of the service names."""
    if spec.image is not None:
        return Manifest.of(())
    folder = posixpath.normpath(spec.source)
    if folder.startswith(("/", "..")):
        raise UserError(f"cannot build {name}: its source {spec.source!r} is not in what was sent", "begin it with ./")
    if folder == ".":
        entries = list(whole.entries)
    else:
        below = f"{folder}/"
        entries = [
            replace(entry, path=entry.path.removeprefix(below))
            for entry in whole.entries
            if entry.path.startswith(below)
        ] or [replace(entry, path=posixpath.basename(folder)) for entry in whole.entries if entry.path == folder]
    kept = [entry for entry in entries if _belongs(entry)]
    if not kept:
        raise UserError(f"cannot build {name}: its source {spec.source!r} is not in what was sent, or is empty")
    return Manifest.of(kept)


def _belongs(entry: Entry) -> bool:
    """Without what `fourfold build` leaves out unasked too."""
    parts = entry.path.split("/")
    if ALWAYS.intersection(parts) or parts[-1] in UNASKED:
        return False
    return len(parts) > 1 or OWN_FILES.fullmatch(parts[0]) is None
