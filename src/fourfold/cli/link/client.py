"""The REST client: the only way in which the command line talks to the daemon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from fourfold import __version__
from fourfold.cli.link.connection import Answer, BrokenError, ConnectError, Connection
from fourfold.cli.link.endpoint import CONNECT, Endpoint, connects
from fourfold.errors import (
    ConflictError,
    FourfoldError,
    NotFoundError,
    Problem,
    RefusedError,
    SpecError,
    UserError,
    WorldError,
)

if TYPE_CHECKING:
    from fourfold.control.views import EventView

V = TypeVar("V")
_SAFE = "/%:@!$&'()*+,;=~"
"""In paths, beside letters, digits, - . and _; what else a name may hold is escaped."""


class NoDaemonError(WorldError):
    """Nothing answers on the socket."""


class LostError(WorldError):
    """The daemon went away in the middle of an answer."""


class QuietError(WorldError):
    """Nothing came within the time that the caller gave."""


class Answered(dict[str, Any]):
    """An object of the daemon's JSON, whose members are attributes too.

    What members it has, says the class of `control.views` that it is declared to be. It is not checked: importing
    these classes takes longer than most commands, and daemon and command are of one version, or it is said that they
    are not (`Client.differs`).
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the daemon's answer has no {name}") from None


class Client:
    """Safe to use from several threads. Raises what the daemon answers as the same FourfoldError it was there."""

    def __init__(
        self, endpoint: Endpoint, hint: Callable[[], str] | None = None, *, patience: float | None = None
    ) -> None:
        """`hint` says what to do when nothing answers there; an answer may take `patience` seconds to begin."""
        self.endpoint = endpoint
        self._hint = hint
        self._patience = patience  # none: changes may wait for others
        self._idle: list[Connection] = []

    def get(self, path: str, /, **params: Any) -> Any:
        return self.ask("GET", path, **params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> Any:
        return self.ask("POST", path, body, **params)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> Any:
        """What the answer says: Answered, a list of them, or plain JSON. None: only that it was done."""
        with self._translated():
            text = b"".join(self._send(method, path, params, body, self._patience))
        try:
            return json.loads(text, object_hook=Answered) if text else None
        except ValueError as error:
            raise self.differs() or _not_understood(text) from error

    def send_blobs(self, content: Iterator[bytes]) -> None:
        with self._translated():
            for _ in self._send("POST", "/v1/blobs", {}, content, self._patience):
                pass

    @contextmanager
    def download(self, path: str, body: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, str], Iterator[bytes]]]:
        """Headers and content of an answer that is too large to keep. Raises LostError when it breaks off."""
        with self._translated(), self._answer("POST", path, {}, body, self._patience) as answer:
            yield answer.headers, answer.pieces()

    def events(
        self,
        *,
        app: str | None = None,
        after: int = 0,
        operation: str | None = None,
        kind: Sequence[str] = (),
        since: str | None = None,
        read_timeout: float | None = None,
    ) -> Iterator[EventView]:
        """Past events, then new ones as they happen; ends when the daemon does.

        Raises QuietError when nothing comes for `read_timeout` seconds, LostError when the daemon is gone at once.
        """
        params = {"app": app, "after": after, "operation": operation, "kind": list(kind), "since": since}
        failed = False
        for line in self._lines("/v1/events", params | {"follow": "true"}, read_timeout):
            field, _, value = line.partition(": ")
            if (field, value) == ("event", "error"):
                failed = True
            elif field == "data" and failed:
                raise error_from(value)
            elif field == "data":
                yield json.loads(value, object_hook=Answered)

    def logs(self, app: str, **params: Any) -> Iterator[dict[str, str]]:
        """Lines as `{"instance", "at", "text"}`, in order of time."""
        for line in self._lines(f"/v1/apps/{app}/logs", params, None):
            item = json.loads(line)
            if "error" in item:
                raise error_from(line)
            yield item

    def run_lines(self, app: str, run: str, skip: int, read_timeout: float | None) -> Iterator[dict[str, Any]]:
        """Lines of a run as `logs` gives them, then how it ended (RunView); raises as `events` does."""
        path = f"/v1/apps/{quote(app, safe='')}/runs/{quote(run, safe='')}/follow"
        for line in self._lines(path, {"skip": skip}, read_timeout):
            item = json.loads(line, object_hook=Answered)
            if "error" in item:
                raise error_from(line)
            yield item

    def _lines(self, path: str, params: Mapping[str, Any], timeout: float | None) -> Iterator[str]:
        """Lines end at newlines only: `str.splitlines` also splits at U+2028 and others, which JSON may hold."""
        rest = b""
        with self._translated():
            for piece in self._send("GET", path, params, None, timeout):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if line:
                        yield line.decode()
            if rest:  # by no daemon: a page of a proxy, most likely
                raise self.differs() or _not_understood(rest)

    def _send(self, *request: Any) -> Iterator[bytes]:
        with self._answer(*request) as answer:
            yield from answer.pieces()

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        body: Mapping[str, Any] | Iterator[bytes] | None,
        timeout: float | None,
    ) -> Iterator[Answer]:
        """Raises the error that it is, if it is one."""
        query = urlencode({name: value for name, value in params.items() if value is not None}, doseq=True)
        target = quote(path, safe=_SAFE) + (f"?{query}" if query else "")
        content = json.dumps(body).encode() if isinstance(body, Mapping) else body
        kind = "application/json" if isinstance(body, Mapping) else "application/octet-stream"
        connection, answer = self._asked(method, target, content, kind, timeout)
        try:
            if answer.status >= 300:
                raise self._refusal(answer)
            yield answer
        finally:
            if connection.reusable:
                self._idle.append(connection)
            else:
                connection.close()

    def _refusal(self, answer: Answer) -> FourfoldError:
        text = b""
        with suppress(BrokenError):  # proxies end theirs by closing the connection
            for piece in answer.pieces():
                text += piece
        to = f" to {answer.headers['location']!r}" if "location" in answer.headers else ""
        return _stated(text.decode("utf-8", "replace")) or WorldError(
            f"cannot use what answers at {self.endpoint.where}: no daemon, but HTTP status {answer.status}{to}",
            "a proxy or another program answers there: see whether the daemon runs that it stands for",
        )

    def _asked(
        self, method: str, target: str, content: bytes | Iterator[bytes] | None, kind: str, timeout: float | None
    ) -> tuple[Connection, Answer]:
        """On a connection that was kept, or on a new one. Who keeps one may close it at the moment in which it is
        asked: what changes nothing is asked again then (RFC 9110, 9.2.2)."""
        kept = self._kept()
        connection = kept or Connection(self.endpoint)
        try:
            return connection, connection.ask(method, target, content, kind, timeout)
        except BaseException as error:
            connection.close()
            if kept and method == "GET" and isinstance(error, BrokenError):
                return self._asked(method, target, content, kind, timeout)
            raise

    def _kept(self) -> Connection | None:
        while self._idle:
            if (kept := self._idle.pop()).is_fresh():
                return kept
            kept.close()
        return None

    def shaped(self, kind: type[V], answer: Any) -> V:
        """The answer as what it is declared to be, for who needs its methods. Raises WorldError."""
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(kind).validate_python(answer)
        except ValidationError as error:
            raise self.differs() or WorldError("cannot understand the daemon's answer") from error

    def differs(self) -> WorldError | None:
        """That the daemon is of another version, which explains an answer that was not understood: most likely the
        package was upgraded and the daemon was not."""
        try:
            with self._translated():
                info = json.loads(b"".join(self._send("GET", "/v1/info", {}, None, CONNECT)))
            version = str(info["version"])
        except WorldError as error:
            return error
        except (FourfoldError, ValueError, KeyError, TypeError):
            what = f"cannot understand what answers at {self.endpoint.where}: it does not say that it is a daemon"
            return WorldError(what, "a proxy or another program answers there")
        if version == __version__:
            return None
        from fourfold.supervise.spawner.versions import is_newer

        where = "over there" if self.endpoint.remote else "(services keep running)"
        restart = f"start this version: `fourfold daemon restart` {where}"
        return WorldError(
            f"cannot understand the daemon's answer: it is version {version}, this command is {__version__}",
            f"install Fourfold {version} here too" if is_newer(version, __version__) else restart,
        )

    def answers(self) -> bool:
        """Whether a daemon is there now."""
        if (socket := self.endpoint.socket) is not None and not self.endpoint.remote:
            return connects(socket)
        try:
            with self._answer("GET", "/v1/info", {}, None, CONNECT):
                return True
        except (ConnectError, BrokenError, TimeoutError):
            return False
        except FourfoldError as error:
            return isinstance(error, UserError)

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
        except ConnectError as error:
            raise self.unreachable(error) from error
        except TimeoutError as error:
            raise QuietError("cannot wait longer") from error
        except BrokenError as error:
            words = self.endpoint.words()
            if "open failed" in words:  # of ssh: nothing listens over there
                raise self.unreachable(error) from error
            see = "run it again" if self.endpoint.remote else "see `fourfold doctor --offline`, then run `fourfold up`"
            raise LostError(
                f"cannot go on: the daemon went away while it answered ({words or error})",
                f"services keep running; {see}",
            ) from error


def error_from(text: str) -> FourfoldError:
    """The error that the daemon raised, from its JSON."""
    return _stated(text) or _not_understood(text.encode())


def _not_understood(text: bytes) -> WorldError:
    return WorldError(f"cannot understand the daemon's answer: {text[:200]!r}")


def _stated(text: str) -> FourfoldError | None:
    try:
        body = json.loads(text)
        status, what, hint = int(body["status"]), str(body["error"]), body.get("hint")
        problems = [Problem(**problem) for problem in body.get("problems", [])]
        fields = dict(body.get("fields", {}))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if problems:
        return SpecError(problems)
    if fields:
        return RefusedError(what, hint, fields)
    kinds: dict[int, type[FourfoldError]] = {404: NotFoundError, 409: ConflictError}
    return kinds.get(status, WorldError if status >= 500 else UserError)(what, hint)
