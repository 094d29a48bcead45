"""A backup of a daemon that serves: made in a thread, handed on piece by piece, told in events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fourfold.clock import rfc3339
from fourfold.control.keeping.making import Backup, Wanted, volumes
from fourfold.control.keeping.request import BackupRequest
from fourfold.control.parts import Parts


async def backup(parts: Parts, request: BackupRequest) -> AsyncIterator[bytes]:
    """Raises UserError and WorldError before the first piece is asked for."""
    wanted = Wanted(request.volumes, request.artifacts, request.keys, request.passphrase)
    made_at = rfc3339(parts.clock.now())
    made = await asyncio.to_thread(Backup, parts.paths, wanted, made_at, _with_volumes(parts))
    return _pieces(parts, made, request.actor)


def _with_volumes(parts: Parts) -> list[str]:
    """Services that have volumes, and run."""
    names = {".".join(folder.relative_to(parts.paths.volumes).parts[:2]) for folder in volumes(parts.paths.volumes)}
    return sorted(name for name in names if parts.registry.of_service(name))


async def _pieces(parts: Parts, made: Backup, actor: str) -> AsyncIterator[bytes]:
    pieces = made.pieces()
    size, step = 0, None
    try:
        with parts.building.holding(made.sources):  # gc leaves them
            while True:
                step = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
                if (piece := await asyncio.shield(step)) is None:
                    break
                size += len(piece)
                yield piece
    finally:
        if step is not None:
            await asyncio.wait({step})  # whoever read has gone, and a thread is still at it
        pieces.close()
        made.close()
    what = f"a backup was made: {', '.join(made.header.apps) or 'no apps'}"
    if made.left_out:
        what += f"; left out {made.left_out} sockets, pipes, devices and files that lie too deep"
    parts.bus.emit("backup.made", what, actor=actor or None, bytes=size, left_out=made.left_out)
