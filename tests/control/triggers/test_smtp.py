"""Mail: who gets it, and what the sender is told."""

from __future__ import annotations

import asyncio
import smtplib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aws_lambda_powertools.utilities.parser.models import SesModel

from fourfold.clock import SystemClock
from fourfold.control.triggers import smtp
from fourfold.control.triggers.smtp import Listener, SesSource, matches
from fourfold.errors import WorldError
from tests.control.triggers.rig import Rig, running, until
from tests.support import wait

MAIL = b"From: Ada <ada@example.org>\r\nTo: in@example.com\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.mark.parametrize(
    ("rule", "address", "expected"),
    [
        ("in@example.com", "IN@Example.com", True),
        ("in@example.com", "out@example.com", False),
        ("in@example.com", "in@example.com.evil.org", False),
        ("example.com", "any@example.com", True),
        ("example.com", "any@sub.example.com", False),
        ("example.com", "any@badexample.com", False),
        (".example.com", "any@sub.example.com", True),
        (".example.com", "any@example.com", False),
    ],
)
def test_rules(rule: str, address: str, expected: bool) -> None:
    assert matches(rule, address) is expected


def send(listener: Listener, *recipients: str, raw: bytes = MAIL) -> dict[str, tuple[int, bytes]]:
    """Recipients that were refused; raises what smtplib raises."""
    assert listener.address is not None
    with smtplib.SMTP(*listener.address, timeout=60) as client:
        return client.sendmail("ada@example.org", list(recipients), raw)


def test_mail_becomes_events_of_those_who_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "START_SECONDS", 0.0)
    rig = Rig(tmp_path, {})
    listener = Listener("127.0.0.1:0", SystemClock())

    async def refused(*recipients: str) -> int:
        try:
            await asyncio.to_thread(send, listener, *recipients)
        except smtplib.SMTPDataError as error:
            return error.smtp_code
        except smtplib.SMTPRecipientsRefused as error:
            return error.recipients[recipients[0]][0]
        raise AssertionError("it was taken")

    async def go() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(SesSource(rig.site(ses={"recipient": "example.com"}), listener)))
            async with running(SesSource(rig.site(ses={"recipient": "in@example.net"}), listener)):
                await until(lambda: listener.wants("in@example.net"))
                told = await asyncio.to_thread(send, listener, "in@example.com", "in@example.net", "no@example.org")
                assert list(told) == ["no@example.org"] and told["no@example.org"][0] == 550
                assert await refused("no@example.org") == 550
                rig.refuse = WorldError("the disk is full")
                assert await refused("in@example.com") == 451
                rig.refuse = None
                with pytest.raises(smtplib.SMTPSenderRefused):  # its size is told beforehand
                    await asyncio.to_thread(send, listener, "in@example.com", raw=b"x" * (smtp.MOST_BYTES + 1))
            assert await refused("in@example.net") == 450  # its service is stopped: it may come back
        assert listener.address is None

    asyncio.run(go())
    assert [event["Records"][0]["ses"]["receipt"]["recipients"] for event in rig.queued] == [
        ["in@example.com"],
        ["in@example.net"],
    ]
    for event in rig.queued:
        SesModel.model_validate(event)
    assert rig.queued[0]["Records"][0]["ses"]["mail"]["commonHeaders"]["subject"] == "hello"


def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "MOST_CONNECTIONS", 1)
    rig = Rig(tmp_path, {})
    listener = Listener("127.0.0.1:0", SystemClock())

    def one_too_many() -> int:
        assert listener.address is not None
        with smtplib.SMTP(*listener.address, timeout=60), pytest.raises(smtplib.SMTPConnectError) as caught:
            smtplib.SMTP(*listener.address, timeout=60)
        return caught.value.smtp_code

    async def go() -> None:
        async with running(SesSource(rig.site(ses={"recipient": "example.com"}), listener)):
            await until(lambda: listener.address)
            assert await asyncio.to_thread(one_too_many) == 421
            await asyncio.to_thread(wait.until, lambda: send(listener, "in@example.com") == {})

    asyncio.run(go())
    assert len(rig.queued) == 1


def test_just_started_it_refuses_nobody_for_good(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {})
    listener = Listener("127.0.0.1:0", SystemClock())

    async def go() -> None:
        async with running(SesSource(rig.site(ses={"recipient": "example.com"}), listener)):
            await until(lambda: listener.address)
            assert listener.wants("no@example.org") is None

    asyncio.run(go())


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {})

    async def go() -> None:
        first = Listener("127.0.0.1:0", SystemClock())
        async with running(SesSource(rig.site(ses={"recipient": "example.com"}), first)):
            await until(lambda: first.address)
            assert first.address is not None
            second = Listener(f"127.0.0.1:{first.address[1]}", SystemClock())
            with pytest.raises(WorldError, match=r"cannot listen for mail at .*in use"):
                await SesSource(rig.site(ses={"recipient": "example.com"}), second).run()

    asyncio.run(go())
