"""From the service file to an `UpRequest`: pack every source once, send what the daemon does not have yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.build.pack import Packed, pack
from fourfold.cli.appname import need_file
from fourfold.cli.git import commit
from fourfold.cli.link.client import Client
from fourfold.cli.printing.formats import count, size
from fourfold.cli.printing.progress import Progress
from fourfold.cli.session import Session
from fourfold.errors import NotFoundError, UserError, WorldError, together
from fourfold.paths import Paths
from fourfold.spec.outline import Outline, outline

if TYPE_CHECKING:
    from fourfold.spec.load import Loaded

PIECE = 256 * 1024


@dataclass(frozen=True)
class Source:
    """One source and the services that are built from it."""

    path: Path
    services: list[str]


def load_file(session: Session, needed: Collection[str] = ()) -> Loaded:
    """`needed`: see `spec.load`."""
    from fourfold.spec.load import load

    options = session.options
    loaded = load(need_file(options), env=options.env, environ=os.environ, needed=needed)
    _same_app(options.app, loaded.file, loaded.app.app)
    return loaded


def read_file(session: Session, needed: Collection[str] | None) -> Outline:
    """What has to be known of the file to bring it up: much sooner there than all of it.

    `needed`: whose sources have to be on the disk, see `spec.load`."""
    options = session.options
    found = outline(need_file(options), env=options.env, environ=os.environ, needed=needed)
    _same_app(options.app, found.file, found.app)
    return found


def check(client: Client, file: Outline) -> None:
    """Before anything is packed and sent for it. Raises SpecError."""
    with file.judged():
        try:
            client.post(f"/v1/apps/{file.app}/check", file.data)
        except NotFoundError:  # the daemon is older than this
            file.judge()


def _same_app(wanted: str | None, file: Path, app: str) -> None:
    if wanted and wanted != app:
        raise UserError(
            f"cannot use {file} for {wanted}: it describes {app}", "leave -a out, or name another file with -f"
        )


def sources(file: Outline, services: list[str] | None) -> list[Source]:
    """Each folder or file once; groups and ready-made images have none. Raises NotFoundError for a service the file
    has not."""
    known = file.everything
    if missing := [name for name in services or [] if name not in known]:
        raise NotFoundError(f"cannot find {', '.join(missing)} in {file.file}: services are {', '.join(known)}")
    found: dict[Path, list[str]] = {}
    for name in known if services is None else services:
        if name in file.groups or known[name].get("image") is not None:
            continue
        # Not resolved: pack itself looks at the links that the name goes through.
        path = Path(os.path.abspath(file.file.absolute().parent / (known[name].get("source") or ".")))  # noqa: PTH100
        found.setdefault(path, []).append(name)
    return [Source(path, names) for path, names in found.items()]


def pack_all(
    file: Outline, wanted: list[Source], paths: Paths, view: Progress, target: Path | None = None
) -> list[tuple[Source, Packed]]:
    """What Fourfold itself keeps is never part of a source, even where its home lies inside of one; nor is what this
    command writes: its output, where that goes to a file, and the file `target`."""
    exclude = [*file.files, paths.state, paths.run, paths.config]
    writes = [*_own_output(), *([target.absolute()] if target else [])]
    packed = []
    refused: list[UserError] = []
    for source in wanted:
        view.working(source.services, "packing")
        try:
            packed.append((source, pack(source.path, exclude=exclude, writes=writes)))
        except UserError as error:
            refused.append(error)
            continue
        if left_out := packed[-1][1].left_out:
            listed = ", ".join(left_out[:3]) + (f" and {len(left_out) - 3} others" if len(left_out) > 3 else "")
            view.note(f"{listed}: left out of the source, written by this command or a `fourfold build` before it")
    if refused:
        raise together(refused)
    return packed


def _own_output() -> Iterator[Path]:
    for descriptor in (1, 2):
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                yield Path(f"/proc/self/fd/{descriptor}").readlink()


def send_all(client: Client, packed: list[tuple[Source, Packed]], view: Progress) -> None:
    """Offer each manifest, then send the blobs that are missing."""
    for source, content in packed:
        answer: dict[str, object] = client.post("/v1/sources", content.manifest.as_json())
        missing = answer.get("missing")
        if not isinstance(missing, list):
            raise WorldError(f"cannot understand the daemon's answer: {answer!r}")
        if missing:
            _send(client, source, content, [str(digest) for digest in missing], view)
        view.working(source.services, "sent")


def _send(client: Client, source: Source, content: Packed, missing: list[str], view: Progress) -> None:
    sizes = content.manifest.blobs
    total = size(sum(sizes[digest] for digest in missing))
    view.working(source.services, f"sending {total} in {count(len(missing), 'file')}")

    def shown() -> Iterator[bytes]:
        sent = 0
        for piece in _gathered(_frames(content, missing)):
            yield piece
            sent += len(piece)
            view.sending(source.services, f"sending {size(sent)} of {total}")

    client.send_blobs(shown())


def _frames(content: Packed, missing: list[str]) -> Iterator[bytes]:
    """For each blob a line `SHA256 SIZE`, then its bytes."""
    sizes = content.manifest.blobs
    for digest in missing:
        left = sizes[digest]
        yield f"{digest} {left}\n".encode()
        path = content.files[digest]
        try:
            with path.open("rb") as file:
                while left and (piece := file.read(min(PIECE, left))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise _changed(path, error.strerror) from error
        if left:
            raise _changed(path, "it became shorter")


def _changed(path: Path, why: str | None) -> UserError:
    return UserError(f"cannot send {path}: {why}", "it changed while it was sent: do it again")


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces together: each that is sent costs system calls on both sides."""
    pending: list[bytes] = []
    waiting = 0
    for piece in pieces:
        pending.append(piece)
        waiting += len(piece)
        if waiting >= PIECE:
            yield b"".join(pending)
            pending, waiting = [], 0
    yield b"".join(pending)


def _certificate(file: Outline) -> str | None:
    """The daemon may be on another machine. What this user cannot read is left to the daemon, and its error."""
    tls = (file.data.get("gateway") or {}).get("tls")
    if not tls:
        return None
    from fourfold.gateway.certificates import read

    files = (str(file.file.absolute().parent / str(tls.get(name))) for name in ("cert", "key"))
    try:
        return "\n".join(read(path, "gateway.tls").decode("latin-1") for path in files)
    except UserError:
        return None


def request(
    session: Session, file: Outline, packed: list[tuple[Source, Packed]], services: list[str] | None
) -> dict[str, Any]:
    """An UpRequest."""
    return {
        "spec": file.data,
        "sources": {name: content.manifest.digest for source, content in packed for name in source.services},
        "services": services,
        "file": str(file.file.absolute()),
        "certificate": _certificate(file),
        "actor": session.actor,
        "commit": commit(file.file.absolute().parent),
    }
