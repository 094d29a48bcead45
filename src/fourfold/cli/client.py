"""The REST client: the only way in which the command line talks to the daemon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from fourfold import __version__
from fourfold.cli.endpoint import CONNECT, Endpoint, connects
from fourfold.control import views as v
from fourfold.errors import (
    ConflictError,
    FourfoldError,
    NotFoundError,
    Problem,
    SpecError,
    UserError,
    WorldError,
)

V = TypeVar("V")


class NoDaemonError(WorldError):
    """Nothing answers on the socket."""


class LostError(WorldError):
    """The daemon went away in the middle of an answer."""


class QuietError(WorldError):
    """Nothing came within the time that the caller gave."""


class Client:
    """Safe to use from several threads. Raises what the daemon answers as the same FourfoldError it was there."""

    def __init__(
        self, endpoint: Endpoint, hint: Callable[[], str] | None = None, *, patience: float | None = None
    ) -> None:
        """`hint` says what to do when nothing answers there; an answer may take `patience` seconds to begin."""
        self.endpoint = endpoint
        self._hint = hint
        # Changes may wait for others: no limit on the answer's time.
        timeout = httpx.Timeout(patience, connect=CONNECT)
        self._http = httpx.Client(
            transport=endpoint.transport(), base_url=endpoint.url, headers=dict(endpoint.headers), timeout=timeout
        )

    def get(self, kind: type[V], path: str, /, **params: Any) -> V:
        return self._read(kind, self._send("GET", path, params=_given(params)))

    def post(self, kind: type[V], path: str, body: Mapping[str, Any] | None = None, **params: Any) -> V:
        return self._read(kind, self._send("POST", path, json=body, params=_given(params)))

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> None:
        """A request whose answer says nothing but that it was done."""
        self._send(method, path, json=body, params=_given(params))

    def ask(self, kind: type[V], method: str, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> V:
        """As `send`, where the answer says something."""
        return self._read(kind, self._send(method, path, json=body, params=_given(params)))

    def send_blobs(self, content: Iterator[bytes]) -> None:
        self._send("POST", "/v1/blobs", content=content)

    @contextmanager
    def download(self, path: str, body: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, str], Iterator[bytes]]]:
        """Headers and content of an answer that is too large to keep. Raises LostError when it breaks off."""
        with self._translated(), self._http.stream("POST", path, json=body) as answer:
            if answer.is_error:
                raise error_from(answer.read().decode())
            yield answer.headers, answer.iter_raw()

    def events(
        self,
        *,
        app: str | None = None,
        after: int = 0,
        operation: str | None = None,
        kind: Sequence[str] = (),
        since: str | None = None,
        read_timeout: float | None = None,
    ) -> Iterator[v.EventView]:
        """Past events, then new ones as they happen; ends when the daemon does.

        Raises QuietError when nothing comes for `read_timeout` seconds, LostError when the daemon is gone at once.
        """
        params = _given({"app": app, "after": after, "operation": operation, "kind": list(kind)})
        params |= _given({"since": since, "follow": "true"})
        failed = False
        for line in self._lines("/v1/events", params, read_timeout):
            field, _, value = line.partition(": ")
            if (field, value) == ("event", "error"):
                failed = True
            elif field == "data" and failed:
                raise error_from(value)
            elif field == "data":
                yield v.EventView.model_validate_json(value)

    def logs(self, app: str, **params: Any) -> Iterator[dict[str, str]]:
        """Lines as `{"instance", "at", "text"}`, in order of time."""
        for line in self._lines(f"/v1/apps/{app}/logs", _given(params), None):
            item = json.loads(line)
            if "error" in item:
                raise error_from(line)
            yield item

    def run_lines(
        self, app: str, run: str, skip: int, read_timeout: float | None
    ) -> Iterator[dict[str, str] | v.RunView]:
        """Lines of a run as `logs` gives them, then how it ended; raises as `events` does."""
        path = f"/v1/apps/{quote(app, safe='')}/runs/{quote(run, safe='')}/follow"
        for line in self._lines(path, {"skip": skip}, read_timeout):
            item = json.loads(line)
            if "error" in item:
                raise error_from(line)
            yield v.RunView.model_validate(item) if "attempts" in item else item

    def _lines(self, path: str, params: dict[str, Any], read_timeout: float | None) -> Iterator[str]:
        timeout = httpx.Timeout(None, connect=CONNECT, read=read_timeout)
        with self._translated(), self._http.stream("GET", path, params=params, timeout=timeout) as answer:
            if answer.is_error:
                raise error_from(answer.read().decode())
            yield from _split(answer.iter_bytes())

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._translated():
            answer = self._http.request(method, path, **request)
        if answer.is_error:
            raise error_from(answer.text)
        return answer

    def _read(self, kind: type[V], answer: httpx.Response) -> V:
        try:
            return TypeAdapter(kind).validate_json(answer.content)
        except ValidationError as error:
            raise self._foreign() from error

    def _foreign(self) -> WorldError:
        """The answer is of another shape: most likely the package was upgraded and the daemon was not."""
        try:
            version = str(self._send("GET", "/v1/info").json().get("version", "unknown"))
        except (FourfoldError, ValueError, AttributeError):
            version = "unknown"
        return WorldError(
            f"cannot understand the daemon's answer: it is version {version}, this command is {__version__}",
            "start this version: `fourfold daemon restart` (services keep running)",
        )

    def answers(self) -> bool:
        """Whether a daemon is there now."""
        if (socket := self.endpoint.socket) is not None and not self.endpoint.remote:
            return connects(socket)
        try:
            return not self._http.get("/v1/info", timeout=CONNECT).is_server_error
        except httpx.TransportError:
            return False

    def unreachable(self, error: Exception) -> NoDaemonError:
        words = self.endpoint.words()
        if self.endpoint.remote:
            what = f"cannot reach {self.endpoint.where}: {words or error}"
            untrusted = "certificate verify failed" in str(error)
            hint = "set FOURFOLD_CA to a file with the certificate of who signed it" if untrusted else None
            return NoDaemonError(what, hint or "see whether that machine is up and its daemon runs")
        foreign = "ermission" in str(error)
        why = "it belongs to another user" if foreign else "none runs there"
        return NoDaemonError(
            f"cannot reach the daemon at {self.endpoint.where}: {why}", self._hint() if self._hint else None
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self.unreachable(error) from error
        except httpx.ReadTimeout as error:
            raise QuietError("cannot wait longer") from error
        except httpx.TransportError as error:
            words = self.endpoint.words()
            if "open failed" in words:  # of ssh: nothing listens over there
                raise self.unreachable(error) from error
            raise LostError(
                f"cannot go on: the daemon went away while it answered ({words or error})",
                "services keep running; see `fourfold doctor --offline`, then run `fourfold up`",
            ) from error


def _split(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines end at newlines only: httpx's own `iter_lines` also splits at U+2028 and others, which JSON may hold."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line.decode()


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def error_from(text: str) -> FourfoldError:
    """The error that the daemon raised, from its JSON."""
    try:
        body = json.loads(text)
        status, what, hint = int(body["status"]), str(body["error"]), body.get("hint")
        problems = [Problem(**problem) for problem in body.get("problems", [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        return WorldError(f"cannot understand the daemon's answer: {text[:200]!r}")
    if problems:
        return SpecError(problems)
    kinds: dict[int, type[FourfoldError]] = {404: NotFoundError, 409: ConflictError}
    return kinds.get(status, WorldError if status >= 500 else UserError)(what, hint)
