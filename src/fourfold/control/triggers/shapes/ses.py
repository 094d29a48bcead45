"""Mail, as Amazon SES tells functions of it (SES Developer Guide, "Event data for receipt rules: Lambda action").

There is no body in it: a function gets the headers, and who it is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.utils import formatdate
from typing import Any

from fourfold.control.triggers.shapes.common import timestamp

MOST_HEADER_BYTES = 10 * 1024
"""Of names and values together: SES leaves out those beyond, and says `headersTruncated`."""
UNCHECKED = {"status": "GRAY"}
"""SES's word for "could not tell": nothing here looks for spam, viruses or forged senders."""
SINGLE = ("Subject", "Date", "Message-ID", "Sender")
LISTS = ("From", "To", "Cc", "Bcc", "Reply-To")


@dataclass(frozen=True)
class Mail:
    """One message, as it came in by SMTP."""

    id: str
    """A name of ours, of 40 hexadecimal digits, as SES gives one."""
    sender: str
    """Of the envelope; empty: a bounce."""
    recipients: tuple[str, ...]
    """Of the envelope, all of them."""
    raw: bytes
    received: float
    """Epoch seconds."""


def event(mail: Mail, recipients: Sequence[str], arn: str, now: float) -> dict[str, Any]:
    """`recipients`: those that the rule is for; `arn`: whom the event is for."""
    headers, truncated = _headers(mail.raw)
    at = timestamp(mail.received)
    receipt = {
        "timestamp": at,
        "processingTimeMillis": max(1, round((now - mail.received) * 1000)),
        "recipients": list(recipients),
        **{f"{what}Verdict": UNCHECKED for what in ("spam", "virus", "spf", "dkim", "dmarc")},
        "action": {"type": "Lambda", "functionArn": arn, "invocationType": "Event"},
    }
    told = {
        "timestamp": at,
        "source": mail.sender,
        "messageId": mail.id,
        "destination": list(mail.recipients),
        "headersTruncated": truncated,
        "headers": [{"name": name, "value": value} for name, value in headers],
        "commonHeaders": _common(headers, mail),
    }
    return {"Records": [{"eventSource": "aws:ses", "eventVersion": "1.0", "ses": {"mail": told, "receipt": receipt}}]}


def _headers(raw: bytes) -> tuple[list[tuple[str, str]], bool]:
    """In their order, unfolded and decoded; whether some had to be left out."""
    kept: list[tuple[str, str]] = []
    size = 0
    for name, value in BytesHeaderParser().parsebytes(raw).items():
        text = _decoded(str(value))
        size += len(name) + len(text)
        if size > MOST_HEADER_BYTES:
            return kept, True
        kept.append((name, text))
    return kept, False


def _decoded(value: str) -> str:
    unfolded = " ".join(line.strip() for line in value.splitlines())
    try:
        text = str(make_header(decode_header(unfolded)))
    except (LookupError, ValueError):  # a character set that is none
        text = unfolded
    return text.encode(errors="replace").decode()


def _common(headers: Sequence[tuple[str, str]], mail: Mail) -> dict[str, Any]:
    """Those that programs look for: the first of each. What every mail should have is never missing."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value)
    lists = {_camel(name): _addresses(found[name.lower()]) for name in LISTS if name.lower() in found}
    singles = {_camel(name): found[name.lower()] for name in SINGLE if name.lower() in found}
    always = {
        "returnPath": mail.sender,
        "from": [mail.sender],
        "to": [],
        "subject": "",
        "date": formatdate(mail.received),
        "messageId": f"<{mail.id}@fourfold>",
    }
    return always | lists | singles


def _camel(name: str) -> str:
    """`Reply-To` -> `replyTo`, `Message-ID` -> `messageId`."""
    first, *others = name.split("-")
    return first.lower() + "".join(each.capitalize() for each in others)


def _addresses(value: str) -> list[str]:
    """Split at the commas that are not inside quotes, brackets or comments."""
    found, depth, quoted = [""], 0, False
    for place, sign in enumerate(value):
        if sign == '"' and value[place - 1 : place] != "\\":
            quoted = not quoted
        depth += 0 if quoted else (sign in "<(") - (sign in ">)")
        if sign == "," and not quoted and depth <= 0:
            found.append("")
        else:
            found[-1] += sign
    return [each.strip() for each in found if each.strip()]
