"""The listener of Lambda's API in the daemon: where it answers, with which keys, over which parts."""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import logging

from fourfold.api.aws import keys
from fourfold.api.aws.api import Api, limit_for
from fourfold.api.aws.call import Site
from fourfold.api.aws.http import Listener
from fourfold.api.aws.sigv4 import Verifier
from fourfold.control.facade import Facade
from fourfold.control.lambdas.deploying import Deploying
from fourfold.control.lambdas.model import Enqueue
from fourfold.control.parts import Parts
from fourfold.errors import UserError, WorldError

log = logging.getLogger(__name__)

REMEMBERED = "lambda_listen"
"""In `meta`: the address that was asked for, and the one that it became."""
TRIES = 200
"""Ports after the one that is taken."""


class LambdaApi:
    """What is closed again."""

    def __init__(self, parts: Parts, listener: Listener | None, work: asyncio.Task[None]) -> None:
        self._parts = parts
        self._listener = listener
        self._work = work

    async def close(self) -> None:
        self._parts.status.lambda_api = None
        self._work.cancel()
        if self._listener is not None:
            await self._listener.close()


async def open_lambda_api(parts: Parts, facade: Facade) -> LambdaApi:
    """Where `lambda_listen` says; `off`: nowhere. Raises UserError.

    No port that is free is no reason for the rest of the daemon not to work: the log tells.
    """
    deploying = Deploying(parts.registry, facade)
    parts.lambdas.wake = deploying.wake
    listener = None
    if parts.settings.lambda_listen != "off":
        try:
            listener = await _listen(parts, deploying)
        except WorldError as error:
            log.error("%s; %s", error, error.hint)
    return LambdaApi(parts, listener, asyncio.create_task(deploying.run(parts.lambdas)))


async def _listen(parts: Parts, deploying: Deploying) -> Listener:
    wanted = parts.settings.lambda_listen
    host, port = _split(wanted)
    if not ipaddress.ip_address(host).is_loopback and not parts.settings.lambda_plain:
        raise UserError(
            f"cannot listen on {wanted} with Lambda's API: it speaks plain HTTP, and others reach that address",
            "put a proxy with TLS in front of a loopback address; or set `lambda_plain = true` in fourfold.toml",
        )
    pair = keys.load(parts.paths.lambda_keys)
    site = Site(
        parts.lambdas,
        deploying,
        parts.sources,
        parts.blobs,
        parts.invoking.invoke,
        _enqueue(parts),
        lambda text: hmac.digest(pair.secret.encode(), text.encode(), "sha256").hex(),
    )
    listener = Listener(Api(site, Verifier(pair.id, pair.secret), parts.clock.now).handle, limit_for(pair.id))
    found = await _open(listener, parts, wanted, host, port)
    shown = f"[{host}]" if ":" in host else host
    site.url = parts.status.lambda_api = f"http://{shown}:{found}"
    return listener


def _enqueue(parts: Parts) -> Enqueue:
    async def enqueue(app: str, service: str, payload: bytes, context: str, request_id: str) -> None:
        await parts.events.queue.enqueue(
            app, service, payload, source="lambda", client_context=context, request_id=request_id
        )

    return enqueue


async def _open(listener: Listener, parts: Parts, wanted: str, host: str, port: int) -> int:
    """At the port that it had, the one asked for, or a free one after it, which it keeps."""
    was, _, kept = (parts.store.meta.get(REMEMBERED) or "").partition(" ")
    ports = [*([int(kept)] if was == wanted and kept else []), *range(port, min(port + TRIES, 65_536))]
    for each in ports:
        try:
            found = await listener.open(host, each)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise WorldError(
                    f"cannot listen on {wanted} with Lambda's API: {error.strerror}",
                    "see lambda_listen in fourfold.toml",
                ) from error
            continue
        if (was, kept) != (wanted, str(found)):
            parts.store.meta.put(REMEMBERED, f"{wanted} {found}")
        if found != port:
            log.warning("Lambda's API: another program has %s; it answers at port %d", wanted, found)
        return found
    raise WorldError(
        f"cannot listen on {wanted} with Lambda's API: that port and the {TRIES} after it are taken",
        "set lambda_listen in fourfold.toml, or FOURFOLD_LAMBDA_LISTEN=off",
    )


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
