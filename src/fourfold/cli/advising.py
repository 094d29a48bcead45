"""From the service file to advice: by the daemon, or by its file alone where none runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fourfold.build.model import Listing
from fourfold.cli.appname import find_file
from fourfold.cli.link.client import NoDaemonError
from fourfold.cli.session import Session
from fourfold.cli.upload import load_file, pack_all, sources
from fourfold.control.advising.fitting import from_file, services_of
from fourfold.control.advising.request import AdviceRequest
from fourfold.control.advising.seen import seen
from fourfold.control.costing.pricefile import read_prices, read_text
from fourfold.cost.advice.model import Advice
from fourfold.cost.advice.source import Source
from fourfold.cost.usagefile import UNNAMED, parse_usage
from fourfold.errors import UserError
from fourfold.spec.outline import of
from fourfold.store.manifest import Entry

if TYPE_CHECKING:
    from fourfold.build.pack import Packed
    from fourfold.cost.model import Hour
    from fourfold.spec.load import Loaded

Seen: TypeAlias = dict[str, Source]


def advices(session: Session, services: list[str] | None, assume: list[str], usage: str | None) -> list[Advice]:
    options = session.options
    assumed = dict(_assumed(text) for text in assume)
    if options.file is None and (options.app is not None or find_file(options) is None):
        hours = _exported(usage, services)
        return _ask(session, session.app, AdviceRequest(services=services, assume=assumed, usage=hours))
    loaded = load_file(session)
    services_of(loaded.app, services)
    found, digests = _look(session, loaded)
    request = AdviceRequest(
        spec=loaded.app.model_dump(mode="json"),
        services=services,
        sources=found,
        digests=digests,
        assume=assumed,
        usage=_exported(usage, services or list(loaded.app.services)),
        file=options.file,
    )
    try:
        return _ask(session, loaded.app.app, request)
    except NoDaemonError:
        if session.remote:
            raise
        return from_file(loaded.app, request, read_prices(None) if request.usage else None)


def _ask(session: Session, app: str, request: AdviceRequest) -> list[Advice]:
    answer = session.client.post(f"/v1/apps/{app}/advice", request.model_dump(mode="json"))
    return session.client.shaped(list[Advice], answer)


def _assumed(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UserError(f"cannot suppose {text!r}: it is not FACT=VALUE", "such as --assume untrusted=yes")
    return name.strip(), value.strip()


def _exported(file: str | None, services: list[str] | None) -> dict[str, list[Hour]]:
    """Hours of services; those of a file that names none are of the only one that is asked about.

    Raises UserError, SpecError for a file that cannot be read, is wrong, or is about others.
    """
    if file is None:
        return {}
    found = {each.service: list(each.traffic.hours) for each in parse_usage(read_text(Path(file)), file)}
    if services is not None and len(services) == 1 and found.keys() == {UNNAMED}:
        return {services[0]: found[UNNAMED]}
    if services is not None and not found.keys() & set(services):
        raise UserError(
            f"cannot use {file}: it is about {', '.join(found)}, and not about {', '.join(services)}",
            "name services in its column `service`",
        )
    return {name: hours for name, hours in found.items() if services is None or name in services}


def _look(session: Session, loaded: Loaded) -> tuple[Seen, dict[str, str]]:
    """Into all sources, as services that could share a process count for each other; and their digests."""
    from fourfold.cli.printing.progress import Progress
    from fourfold.cli.printing.steps import Steps

    outline = of(loaded, os.environ)
    found: Seen = {}
    digests: dict[str, str] = {}
    for source, packed in pack_all(outline, sources(outline, None), session.paths, Progress(Steps({}))):
        looked = seen(_listing(packed))
        for name in source.services:
            found[name], digests[name] = looked, packed.manifest.digest
    return found, digests


def _listing(packed: Packed) -> Listing:
    files: Mapping[str, object] = packed.files

    def read(entry: Entry) -> bytes | None:
        try:
            return packed.files[entry.sha256].read_bytes() if entry.sha256 in files else None
        except OSError:
            return None  # it has gone since: less is known then

    return Listing(packed.manifest, read)
