"""The listener of Lambda's API in the daemon: where it answers, with which keys, over which parts."""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

from fourfold.api.aws import keys
from fourfold.api.aws.api import Api, limit
from fourfold.api.aws.call import Site
from fourfold.api.aws.http import Listener
from fourfold.api.aws.sigv4 import Verifier
from fourfold.control.parts import Parts
from fourfold.errors import UserError, WorldError

log = logging.getLogger(__name__)

REMEMBERED = "lambda_listen"
"""In `meta`: the address that was asked for, and the one that it became."""
TRIES = 200
"""Ports after the one that is taken."""


@asynccontextmanager
async def listening(parts: Parts, site: Site) -> AsyncIterator[None]:
    """While inside, Lambda's API answers where `lambda_listen` says; `off`: nowhere. Raises UserError, WorldError."""
    wanted = parts.settings.lambda_listen
    if wanted == "off":
        yield
        return
    host, port = _split(wanted)
    if not ipaddress.ip_address(host).is_loopback and not parts.settings.lambda_plain:
        raise UserError(
            f"cannot listen on {wanted} with Lambda's API: it speaks plain HTTP, and others reach that address",
            "put a proxy with TLS in front of a loopback address; or set `lambda_plain = true` in fourfold.toml",
        )
    pair = keys.load(parts.paths.lambda_keys)
    api = Api(site, Verifier(pair.id, pair.secret), parts.clock.now)
    site.sign = lambda text: hmac.digest(pair.secret.encode(), text.encode(), sha256).hex()
    listener = Listener(api.handle, limit)
    found = await _open(listener, parts, wanted, host, port)
    shown = f"[{host}]" if ":" in host else host
    site.url = parts.status.lambda_api = f"http://{shown}:{found}"
    deploying = asyncio.create_task(site.deploying.run(site.lambdas))
    try:
        yield
    finally:
        parts.status.lambda_api = None
        deploying.cancel()
        await listener.close()


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
