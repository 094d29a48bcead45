"""What is sent."""

from __future__ import annotations

import json
from typing import Any

from fourfold.control.notifying.message import body, headers, signature, text
from fourfold.store.model import Event

EVENT = Event(
    812,
    1795684798.776,
    "shop",
    "web",
    "shop.web-3-k7f2",
    "instance.exited",
    "a <b> & c",
    "ann",
    {"code": 1, "oom": False},
)


def test_an_event_as_json() -> None:
    told: dict[str, Any] = json.loads(body(EVENT, "json", "web1"))
    assert told == {
        "id": "evt_812_1795684798776",
        "type": "instance.exited",
        "timestamp": "2026-11-26T09:19:58.776Z",
        "machine": "web1",
        "app": "shop",
        "service": "web",
        "instance": "shop.web-3-k7f2",
        "message": "a <b> & c",
        "actor": "ann",
        "data": {"code": 1, "oom": False},
    }


def test_as_a_text() -> None:
    told = json.loads(body(EVENT, "slack", "web1"))
    assert told == {"text": ":warning: *shop/web* a &lt;b&gt; &amp; c (by ann) [instance.exited, web1]"}
    assert text(Event(1, 1.0, "shop", None, None, "secrets.set", "set"), "m") == "*shop* set [secrets.set, m]"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of its reference libraries' own tests: key, id, time, payload and signature."""
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    content = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", content, key) == expected


def test_headers() -> None:
    plain = headers(EVENT, b"{}", 1000.9, None)
    assert plain == {
        "content-type": "application/json",
        "user-agent": "fourfold",
        "webhook-id": "evt_812_1795684798776",
        "webhook-timestamp": "1000",
    }
    signed = headers(EVENT, b"{}", 1000.9, "not base64 at all")
    assert signed["webhook-signature"] == signature(plain["webhook-id"], "1000", b"{}", "not base64 at all")
    assert headers(EVENT, b"{}", 1.0, "whsec_???")["webhook-signature"].startswith("v1,")
