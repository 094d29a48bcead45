"""The queue of builds: stored before it is answered, made a few at a time in turn, begun again by a new daemon."""

from __future__ import annotations

import asyncio
import builtins
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fourfold.control.bakery.asked import FILE, Order, read_request, read_upload, source_of
from fourfold.control.bakery.door import Taken
from fourfold.control.bakery.quota import Quota
from fourfold.control.bakery.shapes import BakeRequest, BakeView, UploadQuery
from fourfold.control.bakery.shelf import Shelf
from fourfold.control.bakery.turns import in_turn
from fourfold.control.bakery.views import name_of, view_of
from fourfold.control.bakery.work import Baker, request_of, tag_of
from fourfold.control.ids import letters
from fourfold.control.loops import AGAIN_SECONDS
from fourfold.control.parts import Parts
from fourfold.errors import ConflictError, FourfoldError, NotFoundError, UserError, WorldError
from fourfold.store.files import trees
from fourfold.store.files.bakery import BakeryFiles
from fourfold.store.manifest import Manifest
from fourfold.store.room import require_room, while_room
from fourfold.store.tables.bakes import OPEN, Bake

log = logging.getLogger(__name__)


class Bakery:
    """Satisfies `control.bakery.door.Door`. `resume` goes on with what a daemon before this one has left."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._bakes = parts.store.bakes
        self._files = BakeryFiles(parts.paths)
        self._quota = Quota(self._bakes, parts.settings)
        self._shelf = Shelf(self._files, self._bakes)
        self._baker = Baker(parts, self._files, self._quota, self._shelf)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelled: dict[str, str] = {}
        """Id -> by whom."""
        self._coming: Counter[str] = Counter()
        """Actor -> sources that are just being received."""
        self._closed = False
        # One is left to `up`, which must not wait for a quarter of an hour because somebody bakes images.
        self._at_once = max(1, parts.settings.builds - 1)

    # -- asked --------------------------------------------------------------------------------------------------------

    async def submit(self, request: BakeRequest) -> BakeView:
        self._quota.check(request.actor)
        order = await asyncio.to_thread(read_request, request)
        if order.spec.image is not None:
            source = await asyncio.to_thread(self._parts.sources.put, Manifest.of(()))
        elif request.source is None:
            raise UserError(
                f"cannot build {order.service}: its source was not named",
                "POST /v1/sources first, or POST a tar of it to /v1/builds",
            )
        else:
            source = request.source
            await asyncio.to_thread(self._parts.stored.check_source, source)
        return await self._queue(order, source, request.actor)

    async def upload(self, query: UploadQuery, pieces: AsyncIterator[bytes]) -> BakeView:
        self._quota.check(query.actor, self._coming[query.actor])
        self._coming[query.actor] += 1
        try:
            whole = await self._receive(while_room(pieces, self._require_room))
            order, source = await asyncio.to_thread(self._read, query, whole)
        finally:
            self._coming -= Counter((query.actor,))  # none is left of a 0
        return await self._queue(order, source, query.actor)

    def _read(self, query: UploadQuery, whole: Manifest) -> tuple[Order, str]:
        from fourfold.spec.yaml import yaml

        wanted = {FILE} if query.env is None else {FILE, f"fourfold.{query.env}.yaml"}
        files = {}
        for entry in whole.entries:
            if entry.link is None and entry.path in wanted:
                with self._parts.blobs.path(entry.sha256).open("rb") as file:
                    files[entry.path] = yaml.decode(file.read(yaml.MAX_BYTES + 1), entry.path)
        order = read_upload(query, files)
        return order, self._parts.sources.put(source_of(order.spec, order.service, whole))

    async def _receive(self, pieces: AsyncIterator[bytes]) -> Manifest:
        from fourfold.build.untar import receive, unpack_archive

        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._parts.paths.work, prefix="upload-"))
        try:
            await receive(pieces, folder / "source")
            return await asyncio.to_thread(unpack_archive, folder / "source", "the source", self._parts.blobs)
        finally:
            await asyncio.shield(asyncio.to_thread(trees.remove, folder))

    def _require_room(self) -> None:
        require_room(self._parts.paths.state, self._parts.settings.free_bytes, "take a build")

    async def _queue(self, order: Order, source: str, actor: str) -> BakeView:
        """Raises UserError for what cannot be built here: nothing is queued then."""
        await asyncio.to_thread(self._require_room)
        id = letters(12)
        # Nobody is told of a build, and the addresses of webhooks are secrets.
        spec = order.app.model_copy(update={"notify": []}).model_dump(mode="json")
        row = Bake(
            id, order.app.app, order.service, order.pattern, order.format, source, spec, actor, self._parts.clock.now()
        )
        wanted = request_of(row)
        await self._baker.exports.check([wanted], row.format)
        await self._parts.builder.plan(wanted)
        self._quota.check(actor)  # others of theirs may have come meanwhile
        self._bakes.put(row)
        place = len(self._waiting())
        self._emit(row, "operation.queued", f"build of {row.service} for {row.pattern} waits: {place} in the queue")
        self._pump()
        return view_of(self._need(id), self._position(id), self._parts.clock.now(), self._parts.settings.bakery_days)

    # -- looked at ----------------------------------------------------------------------------------------------------

    async def list(self, by: str | None, app: str | None, limit: int) -> builtins.list[BakeView]:
        places = {row.id: place for place, row in enumerate(self._waiting(), 1)}
        now, days = self._parts.clock.now(), self._parts.settings.bakery_days
        return [view_of(row, places.get(row.id), now, days) for row in self._bakes.recent(by, app, limit)]

    async def get(self, id: str) -> BakeView:
        return view_of(self._need(id), self._position(id), self._parts.clock.now(), self._parts.settings.bakery_days)

    async def take(self, id: str) -> Taken:
        row = self._need(id)
        if row.state != "done":
            hint = f"follow it: GET /v1/events?operation={id}&follow=true" if row.state in OPEN else row.error or None
            raise ConflictError(f"cannot take the artifact of build {id}: it is {row.state}", hint)
        return self._taken(row)

    async def take_digest(self, digest: str) -> Taken:
        row = self._bakes.of_digest(digest)
        if row is None:
            raise NotFoundError(f"cannot find the artifact {digest[:12]}: no build here has made it")
        return self._taken(row)

    def _taken(self, row: Bake) -> Taken:
        if not self._files.has(row.digest):
            raise NotFoundError(f"cannot find the artifact of build {row.id}: its file is lost", "build it again")
        return Taken(self._files.path(row.digest), name_of(row), row.digest)

    def _need(self, id: str) -> Bake:
        if (row := self._bakes.get(id)) is None:
            raise NotFoundError(
                f"cannot find build {id}: it is not known, or was forgotten", "GET /v1/builds lists all"
            )
        return row

    def _waiting(self) -> builtins.list[Bake]:
        """In the order in which they will be made."""
        queued = [row for row in self._bakes.open() if row.state == "queued"]
        return in_turn(queued, self._bakes.served())

    def _position(self, id: str) -> int | None:
        return next((place for place, row in enumerate(self._waiting(), 1) if row.id == id), None)

    # -- ended before their time --------------------------------------------------------------------------------------

    async def remove(self, id: str, actor: str) -> None:
        row = self._need(id)
        if (task := self._tasks.get(id)) is not None:
            self._cancelled[id] = actor or "somebody"
            task.cancel()
            await asyncio.wait({task})
            self._cancelled.pop(id, None)
            row = self._need(id)
            if row.state in OPEN:  # it had not even begun
                self._end(row, actor)
        elif row.state in OPEN:
            self._end(row, actor)
        else:
            self._bakes.remove(id)
            await self._shelf.drop(row.digest)

    def _end(self, row: Bake, by: str) -> None:
        why = f"cancelled by {by or 'somebody'}"
        self._bakes.put(replace(row, state="cancelled", ended_at=self._parts.clock.now(), error=why))
        self._emit(row, "operation.failed", f"build of {row.service} was {why}", cancelled=by or "somebody")

    # -- made ---------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """What was being made when a daemon died begins again: nothing of it is left."""
        for row in self._bakes.open():
            if row.state == "building" and row.id not in self._tasks:
                self._start(row, f"build of {row.service} begins again: the daemon was restarted")
        self._pump()

    def _pump(self) -> None:
        """Begin as many as may be made at once."""
        try:
            self._begin()
        except WorldError as error:  # the store refuses: what waits is not lost
            log.error("%s", error)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._pump)

    def _begin(self) -> None:
        while not self._closed and len(self._tasks) < self._at_once and (waiting := self._waiting()):
            self._start(waiting[0], f"build of {waiting[0].service} for {waiting[0].pattern} begins")

    def _start(self, row: Bake, told: str) -> None:
        row = replace(row, state="building", started_at=self._parts.clock.now())
        self._bakes.put(row)
        self._emit(row, "operation.started", told)
        task = asyncio.create_task(self._make(row))
        self._tasks[row.id] = task
        task.add_done_callback(partial(self._left, row.id))

    def _left(self, id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[id]
        self._shelf.let_go(id)
        self._parts.operations.ended.set()  # its artifact is garbage now
        if not self._closed:
            self._pump()

    async def _make(self, row: Bake) -> None:
        facts: dict[str, Any] = {}
        try:
            ended, said = await self._made(row)
            kind = "operation.done" if ended.state == "done" else "operation.failed"
        except asyncio.CancelledError:
            if row.id not in self._cancelled:
                raise  # the daemon ends: the next one begins again
            facts["cancelled"] = by = self._cancelled.pop(row.id)
            ended = replace(row, state="cancelled", error=f"cancelled by {by}")
            kind, said = "operation.failed", f"build of {row.service} was cancelled by {by}"
        ended = replace(ended, ended_at=self._parts.clock.now())
        await self._store(ended)
        facts |= {"digest": ended.digest, "size_bytes": ended.size} if ended.digest else {}
        self._emit(ended, kind, said, hint=ended.hint, **facts)

    async def _made(self, row: Bake) -> tuple[Bake, str]:
        """How it has ended, and that in words."""
        try:
            made = await self._baker.bake(row)
        except FourfoldError as error:
            return replace(row, state="failed", error=error.what, hint=error.hint), error.what
        except Exception:
            log.exception("build %s of %s", row.id, row.service)
            what = f"cannot build {row.service}: a fault in Fourfold, see the daemon's log"
            return replace(row, state="failed", error=what), what
        seconds = self._parts.clock.now() - (row.started_at or row.created_at)
        return made, f"build of {row.service} done in {seconds:.1f} s: {made.size:,} bytes, sha256:{made.digest}"

    async def _store(self, row: Bake) -> None:
        while True:
            try:
                return self._bakes.put(row)
            except WorldError as error:
                log.error("%s", error)
                await asyncio.sleep(AGAIN_SECONDS)

    def _emit(self, row: Bake, kind: str, message: str, **data: Any) -> None:
        self._parts.bus.emit(kind, message, **tag_of(row.app, row.service, row.actor, row.id) | data)

    async def close(self) -> None:
        self._closed = True
        for task in (tasks := [*self._tasks.values()]):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
