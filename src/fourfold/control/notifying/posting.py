"""One request to a webhook, and what its answer means."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

import httpx

from fourfold.control.notifying.notifying import Answer

TIMEOUT = 10.0
AGAIN = (408, 425, 429)
"""Of 4xx, those that may be taken later (RFC 9110, section 15.5; RFC 8470; RFC 6585)."""


class Poster:
    """Follows no redirect: what is sent may be meant for nobody else."""

    def __init__(self) -> None:
        logging.getLogger("httpcore").setLevel(logging.WARNING)  # it would write down urls, tokens and all
        # Each hook has one connection at a time, and none waits for those of others.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._client = httpx.AsyncClient(timeout=TIMEOUT, limits=limits, follow_redirects=False)

    async def post(self, url: str, content: bytes, headers: dict[str, str]) -> Answer:
        try:
            async with (
                asyncio.timeout(TIMEOUT),  # httpx counts from byte to byte
                self._client.stream("POST", url, content=content, headers=headers) as answer,
            ):
                status = answer.status_code  # of its body nothing is read
                wait = answer.headers.get("retry-after", "")
        except (TimeoutError, httpx.TimeoutException):
            return Answer(f"no answer within {TIMEOUT:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Answer(_without(str(error) or type(error).__name__, url))
        if 200 <= status < 300:
            return Answer()
        said = f"it answers {status} {HTTPStatus(status).phrase if status in _KNOWN else ''}".strip()
        return Answer(said, final=300 <= status < 500 and status not in AGAIN, wait=_seconds(wait))


_KNOWN = frozenset(HTTPStatus)


def _seconds(retry_after: str) -> float:
    """Of `Retry-After`; its other form, a date, counts as none."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 7 else 0.0


def _without(text: str, url: str) -> str:
    """An error that names the url, or what of it may be secret."""
    path = url.partition("://")[2].partition("/")[2]
    return text.replace(url, "the url").replace(path, "…") if path else text.replace(url, "the url")
