"""What may stand in HAProxy's configuration: every name, host, path and address is checked here before it is written.

Nothing is escaped that can be refused: a character with a meaning to HAProxy (space, quote, `#`, newline, `:`) never
gets as far as the file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from fourfold.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_METHOD = re.compile(r"[A-Z]{1,20}(-[A-Z]{1,20})*")


def name(value: str) -> str:
    """A backend's or server's name, as it is."""
    if not _NAME.fullmatch(value):
        raise UserError(
            f"cannot use the name {value!r} in the gateway: it must be letters, digits, '.', '_' and '-'",
            "at most 128 of them, starting with a letter or digit",
        )
    return value


def host(value: str) -> str:
    """A route's host in lower case: `shop.example.com` or `*.example.com` (exactly one label in place of the star)."""
    lowered = value.lower().removesuffix(".")
    if len(lowered) <= 253 and _HOST.fullmatch(lowered):
        return lowered
    hint = "write a name such as shop.example.com or *.example.com, without scheme, port or path"
    if value == "*":
        hint = "leave the host out to match every host"
    elif not value.isascii():
        hint = "write an international name in its ASCII form (xn--…)"
    raise UserError(f"cannot route the host {value!r}: it is not a host name", hint)


def path(value: str) -> str:
    """A route's path without a slash at its end: `/catalog`; the root is the empty string."""
    segments = value.split("/")
    if not value.startswith("/") or not _PATH.fullmatch(value):
        hint = "it starts with / and holds no spaces, quotes, '#', '?' or empty segments; percent-encode the rest (%20)"
        raise UserError(f"cannot route the path {value!r}: it is not the path of a URL", hint)
    if "." in segments or ".." in segments:
        raise UserError(f"cannot route the path {value!r}: clients never send '.' and '..'", "write it without them")
    if len(value) > 1024:
        raise UserError(f"cannot route a path of {len(value)} characters", "keep it below 1024")
    return value.rstrip("/")


def methods(values: Iterable[str]) -> tuple[str, ...]:
    for value in values:
        if not _METHOD.fullmatch(value):
            raise UserError(f"cannot route the method {value!r}: it is not an HTTP method", "write GET, POST, …")
    return tuple(sorted(set(values)))


def seconds(value: float, what: str) -> str:
    """A duration as HAProxy writes it: `1500ms`. HAProxy keeps at most 24 days."""
    milliseconds = round(value * 1000)
    if not 1 <= milliseconds <= 24 * 24 * 3600 * 1000:
        raise UserError(f"cannot use {value:g} s as {what}: it must lie between 1 ms and 24 days")
    return f"{milliseconds}ms"


def port(value: int, what: str) -> int:
    if not 1 <= value <= 65535:
        raise UserError(f"cannot use port {value} for {what}: ports are 1 to 65535")
    return value


def address(host: str, number: int, what: str) -> str:
    """`127.0.0.1:80` or `[::1]:80` of a literal address."""
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        raise UserError(f"cannot use the address {host!r} for {what}: it is not an IP address") from None
    text = f"[{parsed}]" if parsed.version == 6 else str(parsed)
    return f"{text}:{port(number, what)}"


def listen(value: str) -> tuple[str, int]:
    """`:8080` -> ("", 8080); `localhost:80` -> ("127.0.0.1", 80); `[::1]:80` -> ("::1", 80). "" is every address."""
    given, colon, number = value.rpartition(":")
    bare = given[1:-1] if given.startswith("[") and given.endswith("]") else given
    if not (colon and number.isascii() and number.isdigit()) or (":" in bare and bare == given):
        hint = "write :8080, 127.0.0.1:8080 or [::1]:8080"
        raise UserError(f"cannot listen on {value!r}: it is not an address", hint)
    port(int(number), f"listening on {value!r}")
    if bare in ("", "*", "0.0.0.0"):
        return "", int(number)
    if bare == "localhost":
        return "127.0.0.1", int(number)
    try:
        return str(ipaddress.ip_address(bare)), int(number)
    except ValueError:
        hint = "write :8080 for every address, or one of this machine's addresses"
        raise UserError(f"cannot listen on {value!r}: {bare!r} is not an IP address", hint) from None
