"""The listener for mail, which all triggers of kind ses share: there while one of them is.

It answers 250 after the events are stored, 550 for an address that no trigger wants, and 4xx, so that the sender tries
again, when it cannot say: a service that is stopped or moved now, a store that takes nothing more (RFC 5321, 4.2).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fourfold.clock import Clock
from fourfold.control.triggers.shapes import ses
from fourfold.control.triggers.shapes.common import encoded, function_arn
from fourfold.control.triggers.source import Site
from fourfold.errors import FourfoldError, WorldError

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

log = logging.getLogger(__name__)

MOST_BYTES = 10 * 1024 * 1024
"""Of one mail. It is in memory while it comes in."""
MOST_CONNECTIONS = 50
MOST_RECIPIENTS = 100
IDLE_SECONDS = 60.0
START_SECONDS = 10.0
"""After a start, not all triggers are here yet: what nobody wants may be wanted in a moment."""
LEFT_SECONDS = 24 * 3600.0
"""How long an address that a trigger has left is answered with "later": its service may only be stopped."""
ELSEWHERE = "us-east-1"


@dataclass(eq=False)
class Rule:
    """One trigger's: `a@example.com`, `example.com` (all of it) or `.example.com` (all of its subdomains)."""

    recipient: str
    site: Site

    def wants(self, address: str) -> bool:
        return matches(self.recipient, address)


def matches(recipient: str, address: str) -> bool:
    """As SES's receipt rules do it; upper case counts as lower case."""
    rule, address = recipient.lower(), address.lower()
    domain = address.rpartition("@")[2]
    if "@" in rule:
        return rule == address
    return domain.endswith(rule) if rule.startswith(".") else domain == rule


class Listener:
    def __init__(self, listen: str, clock: Clock) -> None:
        """`listen`: `127.0.0.1:2525`."""
        self._listen = listen
        self._clock = clock
        self._rules: list[Rule] = []
        self._left: dict[str, float] = {}
        self._server: asyncio.Server | None = None
        self._started = 0.0
        self._open: set[asyncio.BaseTransport] = set()
        self._changing = asyncio.Lock()

    async def join(self, rule: Rule) -> None:
        """Raises WorldError when nothing can listen there."""
        async with self._changing:
            if self._server is None:
                self._server = await self._start()
                self._started = self._clock.now()
            self._rules.append(rule)
            self._left.pop(rule.recipient, None)

    async def leave(self, rule: Rule) -> None:
        async with self._changing:
            self._rules.remove(rule)
            now = self._clock.now()
            self._left = {each: at for each, at in self._left.items() if now - at < LEFT_SECONDS}
            self._left[rule.recipient] = now
            if not self._rules and self._server is not None:
                self._server.close()
                for transport in list(self._open):
                    transport.close()
                self._server = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens now."""
        if self._server is None:
            return None
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def _start(self) -> asyncio.Server:
        host, _, port = self._listen.rpartition(":")
        protocol = self._protocol()
        try:
            return await asyncio.get_running_loop().create_server(protocol, host.strip("[]") or None, int(port))
        except OSError as error:
            hint = "set smtp_listen in fourfold.toml"
            raise WorldError(f"cannot listen for mail at {self._listen}: {error.strerror or error}", hint) from error

    def _protocol(self) -> Any:
        from aiosmtpd.smtp import SMTP  # few need it

        logging.getLogger("mail.log").setLevel(logging.WARNING)  # it has a line for each command of each client
        opened = self._open

        class Connection(SMTP):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                if len(opened) >= MOST_CONNECTIONS and isinstance(transport, asyncio.WriteTransport):
                    transport.write(b"421 4.3.2 too many connections: try again later\r\n")
                    transport.close()
                    return
                opened.add(transport)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                if self.transport in opened:
                    opened.discard(self.transport)
                    super().connection_lost(error)

        return lambda: Connection(
            Handler(self), data_size_limit=MOST_BYTES, enable_SMTPUTF8=True, hostname="fourfold", ident="Fourfold",
            timeout=IDLE_SECONDS,
        )  # fmt: skip

    # -- what connections ask -------------------------------------------------------------------------------------

    def wants(self, address: str) -> bool | None:
        """None: not now."""
        if any(rule.wants(address) for rule in self._rules):
            return True
        now = self._clock.now()
        if now - self._started < START_SECONDS:
            return None
        left = (each for each, at in self._left.items() if now - at < LEFT_SECONDS)
        return None if any(matches(each, address) for each in left) else False

    async def take(self, sender: str, recipients: list[str], raw: bytes) -> str:
        """Its id, once it is stored for all triggers that want it. Raises FourfoldError."""
        mail = ses.Mail(secrets.token_hex(20), sender, tuple(recipients), raw, self._clock.now())
        wanted = [(rule, [each for each in recipients if rule.wants(each)]) for rule in self._rules]
        if {each for _, theirs in wanted for each in theirs} != set(recipients):
            raise WorldError("a service that wants it was stopped just now")
        for rule, theirs in wanted:
            if theirs:
                arn = function_arn(rule.site.app, rule.site.service, ELSEWHERE)
                await rule.site.enqueue(encoded(ses.event(mail, theirs, arn, self._clock.now())))
        return mail.id


class Handler:
    """What aiosmtpd calls; what they give is the answer to the client."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        wanted = self._listener.wants(address)
        if not wanted:
            return "450 4.2.1 not now: try again later" if wanted is None else "550 5.1.1 nobody here wants its mail"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        recipients = list(dict.fromkeys(str(each) for each in envelope.rcpt_tos))
        try:
            id = await self._listener.take(envelope.mail_from or "", recipients, content)
        except FourfoldError as error:
            log.warning("mail was not taken: %s", error)
            return "451 4.3.0 cannot store it now: try again later"
        return f"250 2.0.0 OK: stored as {id}"


class SesSource:
    def __init__(self, site: Site, listener: Listener) -> None:
        assert site.spec.ses is not None
        self._rule = Rule(site.spec.ses.recipient, site)
        self._listener = listener

    async def run(self) -> None:
        await self._listener.join(self._rule)
        try:
            await asyncio.Event().wait()
        finally:
            with suppress(ValueError):
                await asyncio.shield(self._listener.leave(self._rule))
