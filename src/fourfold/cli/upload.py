"""From the service file to an `UpRequest`: pack every source once, send what the daemon does not have yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from fourfold.build.pack import Packed, pack
from fourfold.cli.appname import need_file
from fourfold.cli.client import Client
from fourfold.cli.formats import count, size
from fourfold.cli.git import commit
from fourfold.cli.progress import Progress
from fourfold.cli.session import Session
from fourfold.control.views import UpRequest
from fourfold.errors import NotFoundError, UserError, WorldError
from fourfold.spec.load import Loaded, load

AT_ONCE = 4
"""Uploads at the same time."""
PIECE = 256 * 1024


@dataclass(frozen=True)
class Source:
    """One source and the services that are built from it."""

    path: Path
    services: list[str]


def load_file(session: Session) -> Loaded:
    options = session.options
    loaded = load(need_file(options), env=options.env, environ=os.environ)
    if options.app and options.app != loaded.app.app:
        raise UserError(
            f"cannot use {loaded.file} for {options.app}: it describes {loaded.app.app}",
            "leave -a out, or name another file with -f",
        )
    return loaded


def sources(loaded: Loaded, services: list[str] | None) -> list[Source]:
    """Each folder or file once. Raises NotFoundError for a service that the file does not have."""
    known = loaded.app.services
    if missing := [name for name in services or [] if name not in known]:
        raise NotFoundError(f"cannot find {', '.join(missing)} in {loaded.file}: services are {', '.join(known)}")
    found: dict[Path, list[str]] = {}
    for name in known if services is None else services:
        # Not resolved: pack itself looks at the links that the name goes through.
        path = Path(os.path.abspath(loaded.file.absolute().parent / known[name].source))  # noqa: PTH100
        found.setdefault(path, []).append(name)
    return [Source(path, names) for path, names in found.items()]


def pack_all(loaded: Loaded, wanted: list[Source], view: Progress) -> list[tuple[Source, Packed]]:
    packed = []
    for source in wanted:
        view.working(source.services, "packing")
        packed.append((source, pack(source.path, exclude=loaded.files)))
    return packed


def send_all(client: Client, packed: list[tuple[Source, Packed]], view: Progress) -> None:
    """Offer each manifest, then send the blobs that are missing, several at once."""
    for source, content in packed:
        answer = client.post(dict[str, object], "/v1/sources", content.manifest.as_json())
        missing = answer.get("missing")
        if not isinstance(missing, list):
            raise WorldError(f"cannot understand the daemon's answer: {answer!r}")
        if missing:
            _send(client, source, content, [str(digest) for digest in missing], view)
        view.working(source.services, "sent")


def _send(client: Client, source: Source, content: Packed, missing: list[str], view: Progress) -> None:
    sizes = content.manifest.blobs
    total = sum(sizes[digest] for digest in missing)
    sent = 0
    lock = Lock()

    def one(digest: str) -> None:
        nonlocal sent
        client.put_blob(digest, _read(content.files[digest]))
        with lock:
            sent += sizes[digest]
            view.sending(source.services, f"sending {size(sent)} of {size(total)}")

    view.working(source.services, f"sending {size(total)} in {count(len(missing), 'file')}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(one, digest) for digest in missing]:
            done.result()


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise UserError(f"cannot send {path}: {error.strerror}", "it changed while it was sent: do it again") from None


def request(
    session: Session, loaded: Loaded, packed: list[tuple[Source, Packed]], services: list[str] | None
) -> UpRequest:
    digests = {name: content.manifest.digest for source, content in packed for name in source.services}
    return UpRequest(
        spec=loaded.app.model_dump(mode="json"),
        sources=digests,
        services=services,
        file=str(loaded.file.absolute()),
        actor=session.actor,
        commit=commit(loaded.file.absolute().parent),
    )
