"""What is sent to a webhook. Pure.

Headers are those of Standard Webhooks (https://www.standardwebhooks.com): an id to tell a repeated delivery by, the
time, and a signature `v1,BASE64(HMAC-SHA256(key, "ID.TIMESTAMP.BODY"))`; a key that begins with `whsec_` is base64.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json

from fourfold.clock import rfc3339
from fourfold.store.model import Event

_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""https://api.slack.com/reference/surfaces/formatting, "Escaping text"."""
_MARKS = {
    "failed": ":x:",
    "crash-loop": ":x:",
    "exited": ":warning:",
    "unready": ":warning:",
    "done": ":white_check_mark:",
}


def body(event: Event, format: str, machine: str) -> bytes:
    """`machine`: name of the host that it happened on."""
    if format == "slack":
        return json.dumps({"text": text(event, machine)}).encode()
    told = {
        "id": event_id(event),
        "type": event.kind,
        "timestamp": rfc3339(event.at),
        "machine": machine,
        "app": event.app,
        "service": event.service,
        "instance": event.instance,
        "message": event.message,
        "actor": event.actor,
        "data": event.data,
    }
    return json.dumps(told).encode()


def text(event: Event, machine: str) -> str:
    """A line for people."""
    mark = _MARKS.get(event.kind.rpartition(".")[2], "")
    where = "/".join(filter(None, (event.app, event.service)))
    by = f" (by {event.actor})" if event.actor else ""
    words = f"{event.message}{by} [{event.kind}, {machine}]".translate(_SLACK)
    return " ".join(filter(None, (mark, f"*{where.translate(_SLACK)}*", words)))


def event_id(event: Event) -> str:
    """The same for each delivery of an event. Numbers begin anew with a new store, so that its time is in it too."""
    return f"evt_{event.seq}_{round(event.at * 1000)}"


def headers(event: Event, content: bytes, now: float, key: str | None) -> dict[str, str]:
    given = {
        "content-type": "application/json",
        "user-agent": "fourfold",
        "webhook-id": event_id(event),
        "webhook-timestamp": str(int(now)),
    }
    if key is not None:
        given["webhook-signature"] = signature(given["webhook-id"], given["webhook-timestamp"], content, key)
    return given


def signature(id: str, timestamp: str, content: bytes, key: str) -> str:
    signed = f"{id}.{timestamp}.".encode() + content
    return "v1," + base64.b64encode(hmac.digest(_key(key), signed, "sha256")).decode()


def _key(text: str) -> bytes:
    if text.startswith("whsec_"):
        try:
            return base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return text.encode()
