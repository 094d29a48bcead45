"""See a run of a job through: print what it writes, take its exit code."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from fourfold.cli.link.client import LostError, NoDaemonError, QuietError
from fourfold.cli.link.following import until_back
from fourfold.cli.printing import output
from fourfold.cli.session import Session
from fourfold.errors import WorldError

if TYPE_CHECKING:
    from fourfold.control.views import RunView


def start(session: Session, service: str) -> int:
    """Start a run of a job and wait for its end, unless --detach; the exit code."""
    path = f"/v1/apps/{quote(session.app, safe='')}/services/{quote(service, safe='')}/runs"
    run: RunView = session.client.post(path, {"actor": session.actor})
    if not session.options.wait:
        if session.options.json:
            output.as_json(run)
        else:
            output.data(run.id)
            output.say(f"started; see it: fourfold logs -f {service}; fourfold history {service}", session.options)
        return 0
    try:
        return _ended(session, _followed(session, run))
    except KeyboardInterrupt:
        print(file=sys.stderr)  # after the terminal's ^C
        output.say(f"interrupted: the run goes on; end it with: fourfold stop {service}", session.options)
        return 130


def _followed(session: Session, run: RunView) -> RunView:
    """Prints its lines; goes on where it was when the daemon is restarted meanwhile."""
    timeout = session.options.timeout
    deadline = time.monotonic() + timeout if timeout is not None else None
    printed = 0
    while True:
        try:
            left = None if deadline is None else max(0.001, deadline - time.monotonic())
            for item in session.client.run_lines(session.app, run.id, printed, left):
                if "attempts" in item:
                    return cast("RunView", item)
                printed += 1
                if session.options.json:
                    print(json.dumps(item, ensure_ascii=False), flush=True)
                else:
                    print(item["text"], flush=True)
                if deadline is not None and time.monotonic() > deadline:
                    raise QuietError("cannot wait longer")
        except QuietError:
            raise WorldError(
                f"cannot see the run of {run.service} end: it takes longer than {timeout:g} s",
                f"it goes on; see: fourfold history {run.service}",
            ) from None
        except (LostError, NoDaemonError):
            pass
        until_back(session.client)


def _ended(session: Session, run: RunView) -> int:
    if session.options.json:
        output.as_json(run)
    if run.state == "ok":
        return 0
    tries = f" (tried {run.attempts} times)" if run.attempts > 1 else ""
    output.say(f"the run of {run.service} failed: {run.reason}{tries}", session.options)
    return run.code if run.state == "failed" and run.code else 1
