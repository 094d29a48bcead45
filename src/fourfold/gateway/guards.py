"""What stands between a route and its service: maintenance, limits, passwords. Pure.

Each is a few lines in the section of that route, so that others pay nothing for it. `deny` counts as `dreq`.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import math
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from fourfold.errors import UserError
from fourfold.gateway import naming
from fourfold.gateway.model import CONTENT_TYPE, MOST_PAGE, Auth, Limits, Maintenance, Rule
from fourfold.gateway.spread import Section

MOST_CLIENTS = 100_000
"""Remembered at once for each limited route, at some 100 bytes; beyond that the one longest away is forgotten."""
_REALM = re.compile(r"[A-Za-z0-9 ._-]{1,64}")
_TEXT = "content-type text/plain string"
_DOTS = r"(^|[/\\])\.\.?([/\\;]|$)"
"""A segment `.` or `..`: clients resolve these, so that none that means well sends one."""


def guards(part: Section, maps: dict[str, str]) -> Iterator[str]:
    """In this order: who is limited is so before a password is looked at."""
    if part.rule is None:
        return
    if part.backend.maintenance is not None:
        yield from _maintenance(part.backend.maintenance, maps)
    if part.rule.hsts:
        yield f'  http-after-response set-header Strict-Transport-Security "max-age={round(part.rule.hsts)}"'
    if part.guarded:
        yield from _spellings(part.guarded)
    if part.rule.limits is not None:
        yield from _limits(part.rule.limits, part.service)
    if part.rule.auth is not None:
        yield from _auth(part.rule.auth, maps)


def _spellings(guarded: tuple[Rule, ...]) -> Iterator[str]:
    """A path that programs read as a guarded one, but we do not, would come past its guard: `/%61dmin`, `/x/../admin`,
    `//admin`, `/ADMIN`, `/admin;x`. What is spelled as it should be has gone to that guard's own section."""
    refusal = f'deny_status 400 {_TEXT} "spell this path as it is: it leads to what is guarded\\n"'
    yield "  http-request set-var(txn.spelled) path,url_dec"
    yield f"  http-request deny {refusal} unless {{ var(txn.spelled) -m found }}"
    yield f"  http-request deny {refusal} if {{ var(txn.spelled) -m reg '{_DOTS}' }}"
    for rule in guarded:
        only = f" {{ method {' '.join(rule.methods)} }}" if rule.methods else ""
        if rule.host:
            host = rule.host.removeprefix("*")
            how = "-m end" if host != rule.host else "-m str"
            only += f" {{ req.hdr(host),host_only,rtrim(.) -i {how} {host} }}"
        yield f"  http-request deny {refusal} if {{ var(txn.spelled) -i -m reg '{_spelled(rule.path)}' }}{only}"


def _spelled(path: str) -> str:
    """A regular expression (PCRE) of what servers take for this path: any slashes, parameters after segments."""
    segments = (unquote_to_bytes(segment) for segment in path.strip("/").split("/"))
    plain = ("".join(chr(c) if chr(c).isalnum() and c < 128 else f"\\x{c:02x}" for c in each) for each in segments)
    return "^" + "".join(rf"[/\\]+{segment}(;[^/\\]*)?" for segment in plain) + r"([/\\?#]|$)"


def _maintenance(given: Maintenance, maps: dict[str, str]) -> Iterator[str]:
    if len(given.page.encode()) > MOST_PAGE:
        raise UserError(
            f"cannot answer a maintenance page of {len(given.page.encode()):,} bytes: the gateway takes {MOST_PAGE:,}",
            "leave pictures and fonts out of it",
        )
    if not re.fullmatch(CONTENT_TYPE, given.content_type):
        raise UserError(f"cannot answer a maintenance page as {given.content_type!r}: that is no type of content")
    name = f"page-{hashlib.sha256(given.page.encode()).hexdigest()[:12]}.txt"
    maps[name] = given.page
    networks = [str(ipaddress.ip_network(each, strict=False)) for each in given.allowed]
    unless = f" unless {{ src {' '.join(networks)} }}" if networks else ""
    fields = f"hdr Retry-After {max(1, math.ceil(given.retry_after))} hdr Cache-Control no-store"
    yield f'  http-request return status 503 content-type "{given.content_type}" file {name} {fields}{unless}'


def _limits(limits: Limits, service: str) -> Iterator[str]:
    """At most `burst` requests in each window. Those that are refused do not count: who goes on asking gets his share.

    An IPv6 client has a /64 for itself, and so one place in the table.
    """
    if limits.rate is not None:
        window = naming.seconds(limits.window, f"the time in which {service} takes {limits.burst} requests")
        kind, key, places = ("integer", "int(0)", 1) if limits.shared else ("ipv6", "src,ipmask(32,64)", MOST_CLIENTS)
        kept = naming.seconds(2 * limits.window + 1, f"the time for which {service} remembers clients")
        yield f"  stick-table type {kind} size {places} expire {kept} store gpc0_rate({window})"
        yield f"  http-request track-sc0 {key}"
        later = f"hdr Retry-After {max(1, math.ceil(limits.window))}"
        refusal = f'deny_status 429 {_TEXT} "too many requests\\n" {later}'
        yield f"  http-request deny {refusal} if {{ sc0_gpc0_rate ge {limits.burst} }}"
        yield "  http-request sc-inc-gpc0(0)"
    if limits.body is not None:
        # Of HTTP/1 a field tells that there is a body of unknown length, of HTTP/2 nothing but its first byte.
        unknown = f'deny_status 411 {_TEXT} "say how long the body is: Content-Length\\n"'
        yield f"  http-request deny {unknown} if {{ req.hdr(transfer-encoding) -m found }}"
        yield "  http-request wait-for-body time 10s at-least 1 unless { req.hdr(content-length) -m found }"
        yield f"  http-request deny {unknown} if {{ req.body_len gt 0 }} !{{ req.hdr(content-length) -m found }}"
        too_large = f'deny_status 413 {_TEXT} "the body is larger than {limits.body} bytes\\n"'
        yield f"  http-request deny {too_large} if {{ req.hdr_val(content-length) gt {limits.body} }}"


def _auth(auth: Auth, maps: dict[str, str]) -> Iterator[str]:
    """A keyed hash of what is given is looked up: as cheap for a thousand users, and no password is on disk.

    The service is told who it is, and no password.
    """
    if not _REALM.fullmatch(auth.realm):
        raise UserError(f"cannot ask for passwords for {auth.realm!r}: letters, digits, blanks and . _ - only")
    text = "".join(f"{digest} {name}\n" for name, digest in sorted(auth.users))
    file = f"users-{hashlib.sha256(text.encode()).hexdigest()[:12]}.map"
    maps[file] = text
    key = base64.b64encode(bytes.fromhex(auth.key)).decode()
    yield "  http-request set-var(txn.password) http_auth_pass"
    found = f"http_auth_user,concat(:,txn.password),hmac(sha256,{key}),hex,map_str({file})"
    yield f"  http-request set-var(txn.user) {found}"
    yield "  http-request unset-var(txn.password)"
    asked = f"""hdr WWW-Authenticate 'Basic realm="{auth.realm}", charset="UTF-8"'"""
    refusal = f'deny_status 401 {_TEXT} "this needs a name and a password\\n" {asked} hdr Cache-Control no-store'
    yield f"  http-request deny {refusal} unless {{ var(txn.user) -m found }}"
    yield "  http-request set-header X-Forwarded-User %[var(txn.user)]"
    yield "  http-request del-header authorization"
