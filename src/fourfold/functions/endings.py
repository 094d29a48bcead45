"""How invocations end, in the words of AWS Lambda: bodies of errors that the platform answers, lines of the log. Pure.

Recorded from AWS and from aws-lambda-rie; the log's lines: Lambda developer guide, "Viewing function logs".
"""

from __future__ import annotations

import json
import math
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

MAX_PAYLOAD = 6_291_556
"""Bytes of an answer at most: 6 MB, and what the envelope may take."""
MAX_EVENT = 6 * 1024 * 1024
"""Bytes of a synchronous event at most."""

Ended = Literal["ok", "error", "timeout", "crash", "oom"]
UNHANDLED = "Unhandled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one invocation ended, for whoever asked."""

    status: int
    """200, 429, 503: as in model.Answer."""
    payload: bytes
    error: str = ""
    ended: Ended | None = "ok"
    """None: it did not begin."""
    error_type: str = ""
    content_type: str = "application/json"
    streamed: bool = False
    """The function gave it as a stream."""
    log: bytes = b""


def platform_error(kind: str, request_id: str, why: str) -> bytes:
    return json.dumps(
        {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {why}"}, separators=(",", ":")
    ).encode()


def timed_out(request_id: str, timeout: float) -> Outcome:
    body = platform_error("Sandbox.Timedout", request_id, f"Task timed out after {timeout:.2f} seconds")
    return Outcome(200, body, UNHANDLED, "timeout", "Sandbox.Timedout")


def exited(request_id: str, code: int | None, number: int | None, oom: bool) -> Outcome:
    """Its runtime ended with exit `code`, or by signal `number`, before it had answered."""
    kind = "Runtime.OutOfMemory" if oom else "Runtime.ExitError"
    if code == 0 and not oom:
        why = "Runtime exited without providing a reason"
    else:
        why = f"Runtime exited with error: {exit_words(code, number)}"
    return Outcome(200, platform_error(kind, request_id, why), UNHANDLED, "oom" if oom else "crash", kind)


def exit_words(code: int | None, number: int | None) -> str:
    """As Go's os/exec says it, which is what AWS's own runtime supervisor is written in."""
    if number is None:
        return f"exit status {code}"
    return f"signal: {SIGNALS.get(number, f'signal {number}')}"


SIGNALS: dict[int, str] = {
    signal.SIGHUP: "hangup", signal.SIGINT: "interrupt", signal.SIGQUIT: "quit", signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap", signal.SIGABRT: "aborted", signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception", signal.SIGKILL: "killed", signal.SIGUSR1: "user defined signal 1",
    signal.SIGSEGV: "segmentation fault", signal.SIGUSR2: "user defined signal 2", signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock", signal.SIGTERM: "terminated",
}  # fmt: skip


def too_large() -> Outcome:
    message = f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes)."
    body = json.dumps(
        {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}, separators=(",", ":")
    ).encode()
    return Outcome(200, body, UNHANDLED, "error", "Function.ResponseSizeTooLarge")


def throttled() -> Outcome:
    """TooManyRequestsException, as the API words it."""
    body = {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."}
    return Outcome(429, json.dumps(body, separators=(",", ":")).encode(), ended=None)


def unavailable(why: str) -> Outcome:
    """ServiceException: nothing ran, and the same event may be given to another instance."""
    return Outcome(503, json.dumps({"Type": "Service", "message": why}).encode(), ended=None)


def reported(body: bytes, error_type: str) -> Outcome:
    """An error that the runtime told us itself: what it said, to the letter."""
    return Outcome(200, body, UNHANDLED, "error", error_type)


def start_line(request_id: str, version: str) -> str:
    return f"START RequestId: {request_id} Version: {version}\n"


@dataclass(frozen=True, slots=True)
class Took:
    """What one invocation took."""

    duration_ms: float
    init_ms: float
    """0: the sandbox was warm."""
    billed_ms: int
    memory: int
    used: int


def took(duration: float, init: float, memory: int, used: int, provisioned: bool) -> Took:
    """From seconds and bytes. Since August 2025 AWS bills the init of an on-demand sandbox to its first event."""
    duration_ms, init_ms = duration * 1000, init * 1000
    billed = max(1, math.ceil(round(duration_ms + (0 if provisioned else init_ms), 2)))
    return Took(duration_ms, init_ms, billed, memory, used)


def end_lines(request_id: str, what: Took, outcome: Outcome) -> str:
    init = f"Init Duration: {what.init_ms:.2f} ms\t" if what.init_ms else ""
    status = ""
    if outcome.ended == "timeout":
        status = "Status: timeout\t"
    elif outcome.ended != "ok":
        status = f"Status: error\tError Type: {outcome.error_type}\t"
    return (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {what.duration_ms:.2f} ms\tBilled Duration: {what.billed_ms} ms\t"
        f"Memory Size: {megabytes(what.memory)} MB\tMax Memory Used: {megabytes(what.used)} MB\t{init}{status}\n"
    )


def timeout_line(now: float, request_id: str, timeout: float) -> str:
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{at} {request_id} Task timed out after {timeout:.2f} seconds\n\n"


def crash_line(outcome: Outcome) -> str:
    return f"{json.loads(outcome.payload)['errorMessage']}\n{outcome.error_type}\n"


def init_line(init: float, status: str, error_type: str, phase: str) -> str:
    """Of an init that came to nothing; `phase`: init, or invoke when it was tried again."""
    kind = f"\tError Type: {error_type}" if error_type else ""
    return f"INIT_REPORT Init Duration: {init * 1000:.2f} ms\tPhase: {phase}\tStatus: {status}{kind}\n"


def megabytes(size: int) -> int:
    return math.ceil(size / (1024 * 1024))
