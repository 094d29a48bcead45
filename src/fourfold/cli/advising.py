"""From the service file to advice: by the daemon, or by its file alone where none runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from fourfold.build.model import Listing
from fourfold.build.pack import Packed
from fourfold.cli.appname import find_file
from fourfold.cli.client import NoDaemonError
from fourfold.cli.session import Session
from fourfold.cli.upload import load_file, pack_all, sources
from fourfold.control.advicerequest import AdviceRequest
from fourfold.control.fitting import from_file, services_of
from fourfold.control.seen import seen
from fourfold.cost.advice.model import Advice
from fourfold.cost.advice.source import Source
from fourfold.errors import UserError
from fourfold.store.manifest import Entry

if TYPE_CHECKING:
    from fourfold.spec.load import Loaded

Seen: TypeAlias = dict[str, Source]


def advices(session: Session, services: list[str] | None, assume: list[str]) -> list[Advice]:
    options = session.options
    assumed = dict(_assumed(text) for text in assume)
    if options.file is None and (options.app is not None or find_file(options) is None):
        return _ask(session, session.app, AdviceRequest(services=services, assume=assumed))
    loaded = load_file(session)
    services_of(loaded.app, services)
    found, digests = _look(session, loaded)
    request = AdviceRequest(
        spec=loaded.app.model_dump(mode="json"),
        services=services,
        sources=found,
        digests=digests,
        assume=assumed,
        file=options.file,
    )
    try:
        return _ask(session, loaded.app.app, request)
    except NoDaemonError:
        return from_file(loaded.app, request)


def _ask(session: Session, app: str, request: AdviceRequest) -> list[Advice]:
    return session.client.post(list[Advice], f"/v1/apps/{app}/advice", request.model_dump(mode="json"))


def _assumed(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UserError(f"cannot suppose {text!r}: it is not FACT=VALUE", "such as --assume untrusted=yes")
    return name.strip(), value.strip()


def _look(session: Session, loaded: Loaded) -> tuple[Seen, dict[str, str]]:
    """Into all sources, as services that could share a process count for each other; and their digests."""
    from fourfold.cli.progress import Progress
    from fourfold.cli.steps import Steps

    found: Seen = {}
    digests: dict[str, str] = {}
    for source, packed in pack_all(loaded, sources(loaded, None), session.paths, Progress(Steps({}))):
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
